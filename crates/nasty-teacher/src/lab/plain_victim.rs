//! A victim without defences, by a person's word for it: one of our networks, an ONNX file, an address, or recorded answers.

use super::ask_options::AskOptions;
use super::kept::Kept;
use super::misfit::Misfit;
use super::open_error::OpenError;
use super::store_error::StoreError;
use super::workplace::{Workplace, normalisation_of};
use crate::data::{ClassMap, DataName, Framing, ImageSet, class_map};
use crate::nets::{self, CONFIG_FILE, Input};
use crate::victim::{
    Arranged, Asking, Guess, Interface, Onnx, OwnNetwork, Recorded, Scale, Victim, VictimError,
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

/// Whether, and until when, to wait for the claim to a server's answers; none where they are not kept.
pub(super) type Keeping<'a> = Option<&'a dyn Fn() -> bool>;

/// The victim without defences.
pub(super) fn open_plain(
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
    let folder = own_folder(reference, workplace)?;
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

/// The folder of one of our networks.
pub(super) fn own_folder(reference: &str, workplace: &Workplace) -> Result<PathBuf, StoreError> {
    let folder = Path::new(reference);
    if folder.join(CONFIG_FILE).is_file() {
        return Ok(folder.to_owned());
    }
    Ok(workplace.store.network(&workplace.store.resolve(reference)?))
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

/// Training images of `data`, which the owner of the victim has, `most` at most and evenly spread over the set, and the names of its
/// classes.
pub(super) fn owner_images(
    opened: &Opened,
    data: &DataName,
    most: usize,
    workplace: &Workplace,
) -> Result<(ImageSet, Vec<String>), OpenError> {
    let set = workplace.data(data, opened.framing_for(data))?;
    let (train, input) = (&set.train, Input { channels: set.train.channels, side: set.train.height });
    if let Some(takes) = opened.victim.input().filter(|takes| *takes != input) {
        return Err(OpenError::OwnerData { data: data.clone(), misfit: misfit(takes, train) });
    }
    // Images of all classes, though files may be sorted by class.
    let step = train.len().div_ceil(most).max(1);
    let chosen: Vec<usize> = (0..train.len()).step_by(step).collect();
    Ok((train.subset(&chosen), set.classes.clone()))
}

/// The names of a victim's classes, or their numbers.
pub(super) fn names_of(victim: &dyn Victim) -> Vec<String> {
    names_or_numbers(victim.names(), victim.classes())
}

/// `names`, or the numbers of the `classes` if there are none.
pub(super) fn names_or_numbers(names: &[String], classes: usize) -> Vec<String> {
    match names {
        [] => (0..classes).map(|class| class.to_string()).collect(),
        names => names.to_vec(),
    }
}

/// `network`, called `reference`, with its answers in the order of the classes of `victim`.
pub(super) fn in_order_of(
    network: Arc<dyn Victim>,
    victim: &dyn Victim,
    reference: &str,
) -> Result<Arc<dyn Victim>, OpenError> {
    let (own, classes) = (names_of(&*network), names_of(victim));
    // Other numbers of classes are refused by the defences, which say what they need the network for.
    if own.len() != classes.len() {
        return Ok(network);
    }
    let map = class_map(&own, &classes)
        .map_err(|error| OpenError::OwnerNetwork { reference: reference.into(), source: error.into() })?;
    Ok(match map {
        ClassMap::Same | ClassMap::ByPosition { .. } => network,
        map @ ClassMap::ByName { .. } => Arc::new(Arranged::new(network, map, classes)),
    })
}

pub(super) fn misfit(network: Input, images: &ImageSet) -> Misfit {
    let found = format!("{}×{}×{}", images.channels, images.height, images.width);
    Misfit::Input { network, found }
}
