//! A victim behind its defences, with what its owner has for them, and as it is used with a data set.

use super::ask_options::AskOptions;
use super::misfit::Misfit;
use super::open_error::{OpenError, SHORTEST_SECRET};
use super::owners_network::{OwnersNetwork, bent, untrained_architecture};
use super::plain_victim::{Keeping, Opened, in_order_of, misfit, names_of, open_plain, owner_images};
use super::workplace::Workplace;
use crate::data::{ClassMap, DataName, DataSet, class_map};
use crate::defences::{Answers, Defended, Need, Owner, Secret};
use crate::training::Along;
use crate::victim::{Arranged, Request, Victim};
use std::path::Path;
use std::sync::Arc;

/// Images of the owner that a class tail's table is made of, at most.
const TAIL_IMAGES: usize = 5_000;

/// Opens the victim that `reference` means, asked as `how` says. A reference is a run's hash or folder, an imported network's
/// folder, an ONNX file, a server's address, or recorded answers.
///
/// # Errors
/// [`OpenError`].
pub fn open_victim(reference: &str, how: &AskOptions, workplace: &Workplace) -> Result<Opened, OpenError> {
    open(reference, how, workplace, &None)
}

/// As [`open_victim`], but a server is asked about each image once: its answers are kept in the workplace's store. Waits for
/// another process that asks the same server; `stop` ends the wait.
///
/// # Errors
/// [`OpenError`].
pub fn open_victim_once(
    reference: &str,
    how: &AskOptions,
    workplace: &Workplace,
    stop: &dyn Fn() -> bool,
) -> Result<Opened, OpenError> {
    open(reference, how, workplace, &Some(stop))
}

fn open(
    reference: &str,
    how: &AskOptions,
    workplace: &Workplace,
    keeping: &Keeping<'_>,
) -> Result<Opened, OpenError> {
    check_use(how)?;
    let plain = how.defence.layers().is_empty();
    // What defences serve goes through the interface, not what they are given.
    let inner = open_plain(reference, how.interface.filter(|_| plain), how, workplace, keeping)?;
    if plain {
        return Ok(inner);
    }
    let secret = how.secret_file.as_deref().map(read_secret).transpose()?;
    let mut notes = inner.notes.clone();
    let owner = owned(&inner, how, workplace, &mut notes)?;
    let defended = Defended::new(inner.victim.clone(), how.defence.clone(), secret, owner)?;
    let defended = match how.interface {
        Some(interface) => defended.behind(interface)?,
        None => defended,
    };
    Ok(Opened { victim: Arc::new(defended), undefended: Some(inner.victim), notes, ..inner })
}

/// Refuses a secret and a network of the owner's that no defence of `how` uses: what would have no effect is an error.
fn check_use(how: &AskOptions) -> Result<(), OpenError> {
    let needs = how.defence.needs();
    let keyed = how.defence.layers().iter().any(|layer| layer.facts().answers == Answers::Keyed);
    let given = [
        ("wrong", how.wrong.is_some(), &[Need::WrongRow][..]),
        ("proxy", how.proxy.is_some(), &[Need::ProxyLogits, Need::ProxyShift]),
        ("surrogate", how.surrogate.is_some(), &[Need::Gradients, Need::Direction]),
    ];
    let unused =
        |(_, given, uses): &(_, bool, &[Need])| *given && !uses.iter().any(|need| needs.contains(need));
    let mut unused: Vec<&'static str> = given.into_iter().filter(unused).map(|(name, ..)| name).collect();
    if how.secret_file.is_some() && !keyed {
        unused.push("secret-file");
    }
    match unused[..] {
        [] => Ok(()),
        _ => Err(OpenError::AskedOtherwise {
            reference: format!("`{}`", how.defence),
            why: "does not use all that is given with it",
            unused,
        }),
    }
}

/// What the owner of `inner` has for the defences of `how`, with `notes` on it.
fn owned(
    inner: &Opened,
    how: &AskOptions,
    workplace: &Workplace,
    notes: &mut Vec<String>,
) -> Result<Owner, OpenError> {
    let mut owner = Owner::default();
    let victim = &inner.victim;
    let mut other = |reference: &Option<String>| -> Result<Option<Arc<dyn Victim>>, OpenError> {
        let Some(reference) = reference else { return Ok(None) };
        if let Some(architecture) = untrained_architecture(reference) {
            notes.push(format!("{reference}: an untrained network"));
            let untrained =
                OwnersNetwork::untrained(architecture, inner, how.owner_data.as_ref(), workplace)?;
            return Ok(Some(untrained.victim(workplace)));
        }
        let opened = open_plain(reference, None, &AskOptions::default(), workplace, &None)?;
        notes.extend(opened.notes);
        Ok(Some(in_order_of(opened.victim, &**victim, reference)?))
    };
    for need in how.defence.needs() {
        let slope = |reference: &Option<String>, along| {
            let bend = |reference: &String| bent(reference, along, inner, how.owner_data.as_ref(), workplace);
            reference.as_ref().map(bend).transpose()
        };
        match need {
            Need::ClassTails => {
                let data = how.owner_data.as_ref().ok_or(OpenError::NoOwnerData { defence: "class-tail" })?;
                owner.class_tails = Some(Arc::new(class_tails(inner, data, workplace)?));
            }
            Need::WrongRow => owner.wrong = other(&how.wrong)?,
            Need::ProxyLogits => owner.proxy = other(&how.proxy)?,
            Need::Gradients => owner.surrogate = other(&how.surrogate)?,
            Need::Direction => owner.redirection = slope(&how.surrogate, Along::Ones)?,
            Need::ProxyShift => owner.shift = slope(&how.proxy, Along::Gradient)?,
        }
    }
    Ok(owner)
}

/// The table of a class tail: of the victim's answers to the training images of `data`, which its owner has.
///
/// # Errors
/// [`OpenError`] if the images cannot be read or do not fit, or the victim does not answer.
pub fn class_tails(
    opened: &Opened,
    data: &DataName,
    workplace: &Workplace,
) -> Result<crate::defences::ClassTails, OpenError> {
    let (images, _) = owner_images(opened, data, TAIL_IMAGES, workplace)?;
    Ok(Defended::class_tails(&*opened.victim, &Request::unchanged(&images))?)
}

/// The secret in the file at `path`: its bytes, without white space at the end, which editors add.
fn read_secret(path: &Path) -> Result<Secret, OpenError> {
    let refused = |found: String| OpenError::Secret { path: path.to_owned(), found };
    let bytes = std::fs::read(path).map_err(|e| refused(e.to_string()))?;
    let secret = bytes.trim_ascii_end();
    if secret.len() < SHORTEST_SECRET {
        return Err(refused(format!("{} bytes", secret.len())));
    }
    Ok(Secret::of(secret))
}

/// A victim as it is used with a data set.
pub struct FittedVictim {
    /// Its answers are in the order of the data's classes.
    pub victim: Arc<dyn Victim>,
    /// How they belonged to the classes.
    pub map: ClassMap,
    /// What a person should know of that.
    pub note: Option<String>,
}

/// `victim` as it is used with `data`: its classes are matched by name, and its answers put into the data's order.
///
/// # Errors
/// [`Misfit`] if it takes other images or tells other classes apart.
pub fn fit_victim(victim: &Arc<dyn Victim>, data: &DataSet) -> Result<FittedVictim, Misfit> {
    let images = &data.test;
    let shape = (images.channels, images.height, images.width);
    if let Some(input) = victim.input().filter(|input| shape != (input.channels, input.side, input.side)) {
        return Err(misfit(input, images));
    }
    let names = names_of(&**victim);
    let map = class_map(&names, &data.classes)?;
    let note = map.note(&names, &data.classes);
    let arranged = Arranged::new(victim.clone(), map.clone(), data.classes.clone());
    Ok(FittedVictim { victim: Arc::new(arranged), map, note })
}
