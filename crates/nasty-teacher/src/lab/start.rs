//! Training that begins with the weights of a network.

use super::context::Context;
use super::error::JobError;
use super::workplace::normalisation_of;
use crate::data::{ClassMap, DataSet, Normalisation, Unnamed, class_map};
use crate::nets::{Loaded, Network, NetworkConfig};
use crate::training::Start;

/// A network with the weights of another one, and what is kept of that one beside them.
pub(super) struct Begun {
    pub(super) network: Network,
    pub(super) normalisation: Normalisation,
    /// Names of the classes, in the order of the data's.
    pub(super) classes: Vec<String>,
}

/// What becomes of the last layer of a network that training begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Head {
    /// It tells the data's classes apart and is kept, its outputs in the data's order.
    Kept(ClassMap),
    /// It tells other classes apart, as this says: a new one is drawn.
    New(String),
}

/// What becomes of the last layer of the network that `config` describes, on data with these classes.
pub fn head(config: &NetworkConfig, classes: &[String]) -> Head {
    match class_map(&config.label_names, classes) {
        Ok(map) => Head::Kept(map),
        Err(mismatch) => Head::New(mismatch.difference),
    }
}

/// `fresh`, a network on the autodiff device, with the weights of `start`.
///
/// # Errors
/// [`JobError`] if the start is not there, has other weights or takes images of other channels, or a stage to freeze is not
/// there.
pub(super) fn begin(
    start: &Start,
    fresh: Network,
    context: &mut Context<'_>,
    data: &DataSet,
) -> Result<Begun, JobError> {
    let Loaded { network: other, config, .. } = context.known_network(&start.network)?;
    let of = &start.network.0;
    if other.architecture() != fresh.architecture() {
        let (found, wanted) = (other.architecture(), fresh.architecture());
        return Err(context.refuse(format!("its start {of} is a {found}, the architecture is {wanted}")));
    }
    let (takes, given) = (other.input().channels, fresh.input().channels);
    if takes != given {
        let kind = |channels| if channels == 1 { "grey" } else { "colour" };
        let problem =
            format!("its start {of} takes {} images, the data has {} ones", kind(takes), kind(given));
        return Err(context.refuse(problem));
    }
    let device = &context.workplace.device;
    let (other, kept, classes) = match head(&config, &data.classes) {
        Head::New(_) => (other, false, data.classes.clone()),
        Head::Kept(map) => {
            if let (ClassMap::ByPosition { .. }, Some(note)) =
                (&map, map.note(&config.label_names, &data.classes))
            {
                context.tell(&start.network, &note);
            }
            let names = match map {
                ClassMap::ByPosition { unnamed: Unnamed::Data } => config.label_names.clone(),
                _ => data.classes.clone(),
            };
            let ordered = match map.order() {
                Some(order) => other.with_outputs(order, device)?,
                None => other,
            };
            (ordered, true, names)
        }
    };
    let network = fresh.with_weights_of(&other, kept)?;
    let network = match &start.freeze {
        Some(stage) => network.freeze(stage)?,
        None => network,
    };
    Ok(Begun { network, normalisation: normalisation_of(&config), classes })
}
