//! A network of the owner's whose weights a defence moves, or that nobody trained.

use super::open_error::OpenError;
use super::plain_victim::{
    Opened, in_order_of, is_address, is_onnx, misfit, names_or_numbers, own_folder, owner_images,
};
use super::workplace::{Workplace, normalisation_of};
use crate::data::{ClassMap, DataName, Normalisation, class_map};
use crate::defences::Slope;
use crate::nets::{self, Architecture, CONFIG_FILE, Input, Network};
use crate::training::{Along, Bent, bend};
use crate::victim::{OwnNetwork, Victim};
use std::path::Path;
use std::sync::Arc;

/// Training images of the owner's that the gradient of a proxy's loss is computed from, at most.
const GRADIENT_IMAGES: usize = 1_000;

/// A network with what is needed to ask it.
pub(super) struct OwnersNetwork {
    network: Network,
    normalisation: Normalisation,
    /// Empty if they are not known.
    names: Vec<String>,
    identity: String,
}

impl OwnersNetwork {
    /// An untrained network of this architecture, with the classes of `victim` and for the images of `data`, which also give its
    /// normalisation.
    ///
    /// # Errors
    /// [`OpenError`] without `data`, or if the architecture does not take such images.
    pub(super) fn untrained(
        architecture: Architecture,
        victim: &Opened,
        data: Option<&DataName>,
        workplace: &Workplace,
    ) -> Result<Self, OpenError> {
        let data = data.ok_or(OpenError::NoOwnerData { defence: "an untrained surrogate" })?;
        let (images, _) = owner_images(victim, data, GRADIENT_IMAGES, workplace)?;
        let input = Input { channels: images.channels, side: images.height };
        let network = architecture.build(victim.victim.classes(), input, 0, &workplace.device)?;
        let normalisation = Normalisation::of(&images);
        let identity = format!("untrained {architecture} {input:?} {normalisation:?}");
        Ok(Self { network, normalisation, names: victim.victim.names().to_vec(), identity })
    }

    fn open(
        reference: &str,
        victim: &Opened,
        data: Option<&DataName>,
        workplace: &Workplace,
    ) -> Result<Self, OpenError> {
        if let Some(architecture) = untrained_architecture(reference) {
            return Self::untrained(architecture, victim, data, workplace);
        }
        if is_address(reference) || is_onnx(reference) {
            return Err(OpenError::NoWeights { reference: reference.to_owned() });
        }
        let loaded = nets::load_known(&own_folder(reference, workplace)?, &workplace.device)?;
        let (normalisation, names) = (normalisation_of(&loaded.config), loaded.config.label_names);
        Ok(Self { network: loaded.network, normalisation, names, identity: loaded.digest })
    }

    /// It as a victim.
    pub(super) fn victim(self, workplace: &Workplace) -> Arc<dyn Victim> {
        let Self { network, normalisation, names, identity } = self;
        let victim = OwnNetwork::new(&network, normalisation, identity, &workplace.device);
        Arc::new(if names.is_empty() { victim } else { victim.named(names) })
    }
}

/// The architecture that `reference` names; none if it is a folder with a network, whatever that is called.
pub(super) fn untrained_architecture(reference: &str) -> Option<Architecture> {
    let is_network = Path::new(reference).join(CONFIG_FILE).is_file();
    reference.parse().ok().filter(|_| !is_network)
}

/// The slope of the answers of `reference`, one of our networks or the name of an architecture, `along` a direction of its weights. The
/// gradient is that of the training images of `data`.
///
/// # Errors
/// [`OpenError`].
pub(super) fn bent(
    reference: &str,
    along: Along,
    victim: &Opened,
    data: Option<&DataName>,
    workplace: &Workplace,
) -> Result<Slope, OpenError> {
    let needs_images = OpenError::NoOwnerData { defence: "a surrogate or proxy" };
    let data_name = data.ok_or(needs_images)?;
    let (mut images, classes) = owner_images(victim, data_name, GRADIENT_IMAGES, workplace)?;
    let own = OwnersNetwork::open(reference, victim, data, workplace)?;
    let mismatch = |source| OpenError::OwnerNetwork { reference: reference.into(), source };
    let takes = own.network.input();
    if (takes.channels, takes.side) != (images.channels, images.height) {
        return Err(mismatch(misfit(takes, &images)));
    }
    let names = names_or_numbers(&own.names, own.network.classes());
    let map = class_map(&names, &classes).map_err(|error| mismatch(error.into()))?;
    if let ClassMap::ByName { order, .. } = map {
        images.labels.iter_mut().for_each(|label| *label = order[usize::from(*label)] as u16);
    }
    let Bent { ahead, behind, step } =
        bend(&own.network, along, &images, &own.normalisation, &workplace.device)
            .ok_or_else(|| OpenError::Flat { reference: reference.to_owned() })?;
    let side = |network: Network, way: &str| {
        // All that decides the gradient beside the network: the images.
        let identity = format!("{} {way} {along:?} {data_name} {}", own.identity, images.digest());
        let (normalisation, names) = (own.normalisation.clone(), own.names.clone());
        let moved = OwnersNetwork { network, normalisation, names, identity };
        in_order_of(moved.victim(workplace), &*victim.victim, reference)
    };
    Ok(Slope { ahead: side(ahead, "ahead")?, behind: side(behind, "behind")?, step })
}
