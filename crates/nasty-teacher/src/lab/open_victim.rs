//! What a person's word for a victim means: one of our networks, an ONNX file, an address, or recorded answers.

use super::ask_options::AskOptions;
use super::kept::Kept;
use super::misfit::Misfit;
use super::open_error::{OpenError, SHORTEST_SECRET};
use super::workplace::{Workplace, normalisation_of};
use crate::data::{ClassMap, DataName, DataSet, Framing, ImageSet, class_map};
use crate::defences::{Defended, Need, Owner, Secret};
use crate::nets::{self, CONFIG_FILE, Input};
use crate::victim::{
    Arranged, Asking, Guess, Interface, Onnx, OwnNetwork, Recorded, Request, Scale, Victim, VictimError,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A victim that was opened.
#[derive(Clone)]
pub struct Opened {
    /// The victim, behind its defences and its interface.
    pub victim: Arc<dyn Victim>,
    /// Where the answers of a server are kept; none for other victims, and where they are not.
    pub kept: Option<Arc<Kept>>,
    /// The victim without its defences; none if it has none.
    pub undefended: Option<Arc<dyn Victim>>,
    /// What it is, such as `network`.
    pub kind: &'static str,
    /// The file that describes it.
    pub file: Option<PathBuf>,
    /// What a person should know, such as what was guessed.
    pub notes: Vec<String>,
    /// What was guessed of how it is asked.
    pub guesses: Vec<Guess>,
    /// How it takes pictures of other sizes, where it says so.
    pub framing: Option<Framing>,
}

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

/// Whether, and until when, to wait for the claim to a server's answers; none where they are not kept.
type Keeping<'a> = Option<&'a dyn Fn() -> bool>;

fn open(
    reference: &str,
    how: &AskOptions,
    workplace: &Workplace,
    keeping: &Keeping<'_>,
) -> Result<Opened, OpenError> {
    let plain = how.defence.layers().is_empty();
    // What defences serve goes through the interface, not what they are given.
    let inner = open_plain(reference, how.interface.filter(|_| plain), how, workplace, keeping)?;
    if plain {
        return Ok(inner);
    }
    let secret = how.secret_file.as_deref().map(read_secret).transpose()?;
    let mut owner = Owner::default();
    let mut notes = inner.notes.clone();
    let mut other = |reference: &Option<String>| -> Result<Option<Arc<dyn Victim>>, OpenError> {
        let open = |reference: &String| {
            let opened = open_plain(reference, None, &AskOptions::default(), workplace, &None)?;
            notes.extend(opened.notes);
            Ok(opened.victim)
        };
        reference.as_ref().map(open).transpose()
    };
    for need in how.defence.needs() {
        match need {
            Need::ClassTails => {
                let data = how.owner_data.as_ref().ok_or(OpenError::NoOwnerData)?;
                owner.class_tails = Some(Arc::new(class_tails(&inner, data, workplace)?));
            }
            Need::WrongRow => owner.wrong = other(&how.wrong)?,
            Need::ProxyLogits => owner.proxy = other(&how.proxy)?,
            Need::Gradients | Need::Direction | Need::ProxyShift => {}
        }
    }
    let defended = Defended::new(inner.victim.clone(), how.defence.clone(), secret, owner)?;
    let defended = match how.interface {
        Some(interface) => defended.behind(interface)?,
        None => defended,
    };
    Ok(Opened { victim: Arc::new(defended), undefended: Some(inner.victim), notes, ..inner })
}

/// The victim without defences.
fn open_plain(
    reference: &str,
    interface: Option<Interface>,
    how: &AskOptions,
    workplace: &Workplace,
    keeping: &Keeping<'_>,
) -> Result<Opened, OpenError> {
    if is_address(reference) {
        return open_address(reference, interface, how, workplace, keeping);
    }
    let asked_otherwise = |why, unused: Vec<&'static str>| match unused[..] {
        [] => Ok(()),
        _ => Err(OpenError::AskedOtherwise { reference: reference.to_owned(), why, unused }),
    };
    let requests = how.http.said();
    if is_onnx(reference) {
        asked_otherwise("is a file, which is not asked by requests", requests)?;
        return Ok(open_onnx(Path::new(reference), interface, &how.asking, workplace)?);
    }
    if is_recorded(reference) {
        let used = Asking { output: None, labels: None, ..how.asking.clone() };
        let unused = [used.said(), requests].concat();
        asked_otherwise("is recorded answers: no image is sent anywhere", unused)?;
        return Ok(open_recorded(Path::new(reference), interface, &how.asking)?);
    }
    let unused = [how.asking.said(), requests].concat();
    asked_otherwise("is a network of this program: how it is asked stands in its config.json", unused)?;
    let folder = Path::new(reference);
    let folder = if folder.join(CONFIG_FILE).is_file() {
        folder.to_owned()
    } else {
        workplace.store.network(&workplace.store.resolve(reference)?)
    };
    let nets::Loaded { network, config, digest } = nets::load_known(&folder, &workplace.device)?;
    let victim = OwnNetwork::new(&network, normalisation_of(&config), digest, &workplace.device);
    let framing = Some(config.framing());
    let victim = victim.named(config.label_names);
    let victim = match interface {
        Some(interface) => victim.behind(interface)?,
        None => victim,
    };
    let file = Some(folder.join(CONFIG_FILE));
    Ok(Opened { file, framing, ..Opened::plain(Arc::new(victim), "network") })
}

/// Whether `reference` is the name of an ONNX file.
pub fn is_onnx(reference: &str) -> bool {
    Path::new(reference).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("onnx"))
}

fn open_onnx(
    path: &Path,
    interface: Option<Interface>,
    asking: &Asking,
    workplace: &Workplace,
) -> Result<Opened, VictimError> {
    let victim = Onnx::open(path, asking, &workplace.onnx)?;
    let (notes, guesses) = told(victim.notes(), victim.guesses());
    let victim = match interface {
        Some(interface) => victim.behind(interface)?,
        None => victim,
    };
    let file = Some(path.to_owned());
    Ok(Opened { file, notes, guesses, ..Opened::plain(Arc::new(victim), "ONNX file") })
}

/// The set whose answers are recorded by their place: the test images of the data set that a victim is used with.
pub const RECORDED_SET: &str = "test images";

/// Whether `reference` is recorded answers: a table, or a folder of arrays.
fn is_recorded(reference: &str) -> bool {
    let path = Path::new(reference);
    let kinds = ["npz", "csv", "parquet"];
    let is_file =
        path.extension().is_some_and(|found| kinds.iter().any(|kind| found.eq_ignore_ascii_case(kind)));
    is_file || ["logits.npy", "probabilities.npy"].iter().any(|name| path.join(name).is_file())
}

fn open_recorded(path: &Path, interface: Option<Interface>, asking: &Asking) -> Result<Opened, VictimError> {
    let victim = Recorded::open_as(path, asking.output)?.of_set(RECORDED_SET);
    let victim = match &asking.labels {
        Some(names) => victim.named(names.clone())?,
        None => victim,
    };
    let answers = if victim.scale() == Scale::Logits { "logits" } else { "probabilities" };
    let notes = vec![format!("{}: recorded answers, {answers}", path.display())];
    let victim = match interface {
        Some(interface) => victim.behind(interface)?,
        None => victim,
    };
    let file = Some(path.to_owned());
    Ok(Opened { file, notes, ..Opened::plain(Arc::new(victim), "recorded answers") })
}

/// Whether `reference` is a server's address.
pub fn is_address(reference: &str) -> bool {
    ["http://", "https://"].iter().any(|scheme| reference.starts_with(scheme))
}

#[cfg(not(feature = "download"))]
fn open_address(
    address: &str,
    _: Option<Interface>,
    _: &AskOptions,
    _: &Workplace,
    _: &Keeping<'_>,
) -> Result<Opened, OpenError> {
    let problem = "this build of the library has no HTTP (cargo feature `download`)".to_owned();
    Err(VictimError::Endpoint { address: address.to_owned(), problem }.into())
}

#[cfg(feature = "download")]
fn open_address(
    address: &str,
    interface: Option<Interface>,
    how: &AskOptions,
    workplace: &Workplace,
    keeping: &Keeping<'_>,
) -> Result<Opened, OpenError> {
    let victim = crate::victim::Http::open(address, &how.asking, &how.http)?;
    let (notes, guesses) = told(victim.notes(), victim.guesses());
    let Some(stop) = keeping else {
        let victim = match interface {
            Some(interface) => victim.behind(interface)?,
            None => victim,
        };
        return Ok(Opened { notes, guesses, ..Opened::plain(Arc::new(victim), "endpoint") });
    };
    let kept = Arc::new(Kept::open(Arc::new(victim), &workplace.store, stop)?);
    let victim: Arc<dyn Victim> = match interface {
        Some(interface) => Arc::new(crate::victim::Revealing::new(kept.clone(), interface)?),
        None => kept.clone(),
    };
    Ok(Opened { notes, guesses, kept: Some(kept), ..Opened::plain(victim, "endpoint") })
}

/// What is told of a foreign victim, and what was guessed.
fn told(notes: &[String], guesses: &[Guess]) -> (Vec<String>, Vec<Guess>) {
    let guessed: Vec<String> = guesses.iter().map(ToString::to_string).collect();
    let guessed = (!guessed.is_empty()).then(|| format!("guessed: {}", guessed.join(", ")));
    (notes.iter().cloned().chain(guessed).collect(), guesses.to_vec())
}

impl Opened {
    fn plain(victim: Arc<dyn Victim>, kind: &'static str) -> Self {
        let (notes, guesses) = (Vec::new(), Vec::new());
        Self { victim, kept: None, undefended: None, kind, file: None, notes, guesses, framing: None }
    }

    /// How the images of `data` are fitted to it: those of a folder only.
    pub fn framing_for(&self, data: &DataName) -> Option<Framing> {
        let square = || self.victim.input().map(|input| Framing::square(input.side));
        self.framing.or_else(square).filter(|_| matches!(data, DataName::Folder(_)))
    }
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
    let victim = &opened.victim;
    let set = workplace.data(data, opened.framing_for(data))?;
    let takes = victim.input();
    let (train, input) = (&set.train, Input { channels: set.train.channels, side: set.train.height });
    if takes.is_some_and(|takes| takes != input) {
        let misfit = misfit(takes.expect("tested just before"), train);
        return Err(OpenError::OwnerData { data: data.clone(), misfit });
    }
    // Images of all classes, though files may be sorted by class.
    let step = train.len().div_ceil(TAIL_IMAGES).max(1);
    let chosen: Vec<usize> = (0..train.len()).step_by(step).collect();
    let images = train.subset(&chosen);
    Ok(Defended::class_tails(&**victim, &Request::unchanged(&images))?)
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
    let numbers = || (0..victim.classes()).map(|class| class.to_string()).collect();
    let names = if victim.names().is_empty() { numbers() } else { victim.names().to_vec() };
    let map = class_map(&names, &data.classes)?;
    let note = map.note(&names, &data.classes);
    let arranged = Arranged::new(victim.clone(), map.clone(), data.classes.clone());
    Ok(FittedVictim { victim: Arc::new(arranged), map, note })
}

fn misfit(network: Input, images: &ImageSet) -> Misfit {
    let found = format!("{}×{}×{}", images.channels, images.height, images.width);
    Misfit::Input { network, found }
}
