//! Where tasks are run: a store, data folders and a device.

use super::calibration::Calibration;
use super::cost::Cost;
use super::data_facts::{DataFacts, digest, published_facts};
use super::plan::State;
use super::result::Machine;
use super::store::Store;
use super::task::Task;
use crate::data::{DataError, DataName, DataRoots, DataSet, Framing, Normalisation, load};
use crate::nets::{self, CONFIG_FILE, NetError, Network, NetworkConfig};
use crate::numerics::Numerics;
use crate::training::NetworkRef;
use crate::victim::logits::{FILE_BUDGET, LogitTables, MEMORY_BUDGET};
use crate::victim::onnx::Runtime;
use burn::tensor::Device;
use std::sync::{Arc, Mutex, PoisonError};

/// Multiply-accumulates of images that take a few minutes on a usual machine.
const SHORT_MACS: f64 = 2e13;

/// Where jobs run: the store, the data, the device. None of it changes a result.
pub struct Workplace {
    /// The store.
    pub store: Store,
    /// Where data sets are looked for.
    pub roots: DataRoots,
    /// The device, without autodiff.
    pub device: Device,
    /// Its name.
    pub device_name: String,
    /// Keep the logits of frozen networks (the results are the same without).
    pub keep_logits: bool,
    /// Where ONNX files are computed.
    pub onnx: Runtime,
    /// The logits of frozen networks.
    pub(super) logits: LogitTables,
    /// Data sets read so far.
    loaded: Mutex<Vec<Loaded>>,
}

struct Loaded {
    name: DataName,
    side: Option<Framing>,
    digest: String,
    set: Arc<DataSet>,
}

impl Workplace {
    /// A workplace on `device`.
    pub fn new(store: Store, roots: DataRoots, device: Device, device_name: &str) -> Self {
        let logits = LogitTables::new(Some(store.root().join("logits")), MEMORY_BUDGET, FILE_BUDGET);
        let (device_name, loaded) = (device_name.to_owned(), Mutex::new(Vec::new()));
        let onnx = Runtime::default();
        Self { store, roots, device, device_name, keep_logits: true, onnx, logits, loaded }
    }

    /// The data set `name`, read once.
    ///
    /// # Errors
    /// [`DataError`] if it cannot be read.
    pub fn data(&self, name: &DataName, side: Option<Framing>) -> Result<Arc<DataSet>, DataError> {
        Ok(self.data_and_digest(name, side)?.0)
    }

    /// The data set `name`, read once, with its [`digest`].
    ///
    /// # Errors
    /// [`DataError`] if it cannot be read.
    pub fn data_and_digest(
        &self,
        name: &DataName,
        side: Option<Framing>,
    ) -> Result<(Arc<DataSet>, String), DataError> {
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = loaded.iter().find(|l| l.name == *name && l.side == side) {
            return Ok((found.set.clone(), found.digest.clone()));
        }
        let set = Arc::new(load(name, &self.roots, side)?);
        let digest = digest(&set);
        loaded.push(Loaded { name: name.clone(), side, digest: digest.clone(), set: set.clone() });
        Ok((set, digest))
    }

    /// What an experiment needs to know of the data set `name`, its images resized to `side`.
    ///
    /// # Errors
    /// [`DataError`] if it cannot be read.
    pub fn facts(&self, name: &DataName, side: Option<Framing>) -> Result<DataFacts, DataError> {
        let (data, digest) = self.data_and_digest(name, side)?;
        Ok(DataFacts::of(&data, digest))
    }

    /// The weights of `network`, on this workplace's device without autodiff, with their configuration.
    pub fn network(&self, network: &NetworkRef) -> Result<(Network, NetworkConfig), NetError> {
        nets::load(&self.store.network(network), &self.device)
    }

    /// As [`Self::network`], with the digest of the weights that are really there.
    pub(super) fn known_network(&self, network: &NetworkRef) -> Result<nets::Loaded, NetError> {
        nets::load_known(&self.store.network(network), &self.device)
    }

    /// Seconds that those of `tasks` that are not done take here, measured by `calibration`; begun ones count whole. None if that is
    /// too little to be worth measuring: less than some minutes.
    ///
    /// # Errors
    /// [`NetError`] if a network cannot be built for its data set.
    pub fn seconds_left<'t>(
        &self,
        tasks: impl IntoIterator<Item = &'t Task> + Clone,
        calibration: &mut Calibration,
    ) -> Result<Option<f64>, NetError> {
        let numerics = self.numerics();
        let left = |task: &Task| {
            !matches!(self.store.run(&task.hash()).state_on(&numerics), State::Done | State::NotFinite)
        };
        let there = |network: &NetworkRef| {
            let text = std::fs::read(self.store.network(network).join(CONFIG_FILE)).ok()?;
            Some(serde_json::from_slice::<NetworkConfig>(&text).ok()?.architecture)
        };
        let facts = |name: &DataName| self.known_facts(name).or_else(|| published_facts(name));
        let cost = Cost::of(tasks, &left, &there, &facts, &self.device)?;
        if cost.macs < SHORT_MACS {
            return Ok(None);
        }
        cost.seconds(&mut |shape| calibration.rate(shape)).map(Some)
    }

    /// What is known of the data set `name` if it was read before.
    fn known_facts(&self, name: &DataName) -> Option<DataFacts> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let found = loaded.iter().find(|l| l.name == *name)?;
        Some(DataFacts::of(&found.set, found.digest.clone()))
    }

    /// How numbers are rounded here.
    pub fn numerics(&self) -> Numerics {
        Numerics::here(&self.device_name)
    }

    /// What runs are made on here.
    pub fn machine(&self) -> Machine {
        Machine {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            threads: rayon::current_num_threads(),
            device: self.device_name.clone(),
        }
    }
}

/// The normalisation that a network's configuration asks for.
pub fn normalisation_of(config: &NetworkConfig) -> Normalisation {
    Normalisation { mean: config.mean.clone(), std: config.std.clone() }
}
