//! What a person's word for a victim means: one of our networks, so far.

use super::{Misfit, StoreError, Workplace, normalisation_of};
use crate::data::{DataError, DataName, DataSet, Framing, ImageSet, class_map};
use crate::defences::{DefenceError, Defended, Need, Owner, Secret, Stack};
use crate::nets::{self, CONFIG_FILE, Input, NetError};
use crate::victim::{Arranged, Interface, OwnNetwork, Request, Victim, VictimError};
use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Images of the owner that a class tail's table is made of, at most.
const TAIL_IMAGES: usize = 5_000;
/// Bytes of a secret, at least: a shorter one can be guessed.
const SHORTEST_SECRET: usize = 16;

/// How a victim is asked, and what stands in front of it. Plain data, without any secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AskOptions {
    /// How answers are given out; absent for as they are.
    pub interface: Option<Interface>,
    /// The defences in front of it.
    pub defence: Stack,
    /// The file with the owner's secret.
    pub secret_file: Option<PathBuf>,
    /// The data set of the owner's own images: its training images make the table of a class tail.
    pub owner_data: Option<DataName>,
    /// Adaptive misinformation: the network that was trained to be wrong.
    pub wrong: Option<String>,
    /// Product of experts: the proxy student.
    pub proxy: Option<String>,
}

/// A victim that was opened.
#[derive(Clone)]
pub struct Opened {
    /// The victim, behind its defences and its interface.
    pub victim: Arc<dyn Victim>,
    /// The victim without its defences; none if it has none.
    pub undefended: Option<Arc<dyn Victim>>,
    /// What it is, such as `network`.
    pub kind: &'static str,
    /// The file that describes it.
    pub file: Option<PathBuf>,
    /// What a person should know, such as what was guessed.
    pub notes: Vec<String>,
}

/// Why a victim cannot be opened.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum OpenError {
    /// The store.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Store(#[from] StoreError),
    /// A network's files.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Network(#[from] NetError),
    /// The victim.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Victim(#[from] VictimError),
    /// Its defences.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Defence(#[from] DefenceError),
    /// The owner's images.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Data(#[from] DataError),
    /// The secret.
    #[error("{}: expected a secret of at least {SHORTEST_SECRET} bytes, found {found}", path.display())]
    #[diagnostic(help(
        "`head -c 32 /dev/urandom > FILE` makes one; keep the file, or all keyed answers change"
    ))]
    Secret {
        /// The file.
        path: PathBuf,
        /// What it holds.
        found: String,
    },
    /// A class tail without images to make its table of.
    #[error("`class-tail` needs the owner's own images, found none")]
    #[diagnostic(help("name the data set that the victim was trained on"))]
    NoOwnerData,
    /// The owner's images are of other classes or sizes than the victim takes.
    #[error("the owner's data set {data} does not fit the victim")]
    OwnerData {
        /// Its name.
        data: DataName,
        /// Why not.
        #[source]
        #[diagnostic_source]
        misfit: Misfit,
    },
}

impl Classified for OpenError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Store(error) => error.class(),
            Self::Network(error) => error.class(),
            Self::Victim(error) => error.class(),
            Self::Data(error) => error.class(),
            Self::Defence(_) | Self::NoOwnerData | Self::OwnerData { .. } => ErrorClass::Usage,
            Self::Secret { .. } => ErrorClass::Data,
        }
    }
}

/// Opens the victim that `reference` means, asked as `how` says. A reference is a run's hash or folder, or an imported
/// network's folder.
///
/// # Errors
/// [`OpenError`].
pub fn open_victim(reference: &str, how: &AskOptions, workplace: &Workplace) -> Result<Opened, OpenError> {
    let plain = how.defence.layers().is_empty();
    // What defences serve goes through the interface, not what they are given.
    let inner = open_plain(reference, how.interface.filter(|_| plain), workplace)?;
    if plain {
        return Ok(inner);
    }
    let secret = how.secret_file.as_deref().map(read_secret).transpose()?;
    let mut owner = Owner::default();
    let other = |reference: &Option<String>| -> Result<Option<Arc<dyn Victim>>, OpenError> {
        let open = |reference: &String| Ok(open_plain(reference, None, workplace)?.victim);
        reference.as_ref().map(open).transpose()
    };
    for need in how.defence.needs() {
        match need {
            Need::ClassTails => {
                let data = how.owner_data.as_ref().ok_or(OpenError::NoOwnerData)?;
                owner.class_tails = Some(Arc::new(class_tails(&inner.victim, data, workplace)?));
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
    Ok(Opened { victim: Arc::new(defended), undefended: Some(inner.victim), ..inner })
}

/// The victim without defences.
fn open_plain(
    reference: &str,
    interface: Option<Interface>,
    workplace: &Workplace,
) -> Result<Opened, OpenError> {
    let folder = Path::new(reference);
    let folder = if folder.join(CONFIG_FILE).is_file() {
        folder.to_owned()
    } else {
        workplace.store.network(&workplace.store.resolve(reference)?)
    };
    let nets::Loaded { network, config, digest } = nets::load_known(&folder, &workplace.device)?;
    let victim = OwnNetwork::new(&network, normalisation_of(&config), digest, &workplace.device);
    let victim = victim.named(config.label_names);
    let victim = match interface {
        Some(interface) => victim.behind(interface)?,
        None => victim,
    };
    let file = Some(folder.join(CONFIG_FILE));
    Ok(Opened { victim: Arc::new(victim), undefended: None, kind: "network", file, notes: Vec::new() })
}

/// The table of a class tail: of the victim's answers to the training images of `data`, which its owner has.
fn class_tails(
    victim: &Arc<dyn Victim>,
    data: &DataName,
    workplace: &Workplace,
) -> Result<crate::defences::ClassTails, OpenError> {
    let set = workplace.data(data, side_for(&**victim, data))?;
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

/// The side that the images of `data` are resized to for `victim`: those of a folder only.
pub fn side_for(victim: &dyn Victim, data: &DataName) -> Option<Framing> {
    victim.input().map(|input| Framing::square(input.side)).filter(|_| matches!(data, DataName::Folder(_)))
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

/// `victim` as it is used with `data`, and what a person should know of that: its classes are matched by name, and its
/// answers put into the data's order.
///
/// # Errors
/// [`Misfit`] if it takes other images or tells other classes apart.
pub fn fit_victim(
    victim: &Arc<dyn Victim>,
    data: &DataSet,
) -> Result<(Arc<dyn Victim>, Option<String>), Misfit> {
    let images = &data.test;
    let shape = (images.channels, images.height, images.width);
    if let Some(input) = victim.input().filter(|input| shape != (input.channels, input.side, input.side)) {
        return Err(misfit(input, images));
    }
    let numbers = || (0..victim.classes()).map(|class| class.to_string()).collect();
    let names = if victim.names().is_empty() { numbers() } else { victim.names().to_vec() };
    let map = class_map(&names, &data.classes)?;
    let note = map.note(&names, &data.classes);
    Ok((Arc::new(Arranged::new(victim.clone(), map, data.classes.clone())), note))
}

fn misfit(network: Input, images: &ImageSet) -> Misfit {
    let found = format!("{}×{}×{}", images.channels, images.height, images.width);
    Misfit::Input { network, found }
}
