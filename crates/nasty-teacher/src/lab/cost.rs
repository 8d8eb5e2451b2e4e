//! The cost of an experiment, in image·MACs, and the estimated time on this machine.
//!
//! Training on an image costs three forward passes (forward, gradients of activations, gradients of weights). Logits of
//! a frozen network are computed once per image and epoch, by the first run that asks; later runs of the same seed find
//! them in the table.

use super::experiment::DataFacts;
use super::task::Task;
use crate::data::DataName;
use crate::nets::{Architecture, Input, NetError, Precision};
use crate::training::NetworkRef;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// Passes of images through networks.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// Images trained on and images only looked at, by network, input and classes.
    pub passes: Vec<(Shape, Passes)>,
    /// Multiply-accumulates of all of them.
    pub macs: f64,
}

/// A network's shape: what its speed depends on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// The architecture.
    pub architecture: Architecture,
    /// The images.
    pub input: Input,
    /// Classes.
    pub classes: usize,
    /// What it is trained in; answers are always f32.
    pub precision: Precision,
}

/// Numbers of images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Passes {
    /// Trained on.
    pub trained: f64,
    /// In evaluation mode.
    pub forward: f64,
}

/// What is known of a data set without reading it; nothing of a folder.
pub fn published_facts(name: &DataName) -> Option<DataFacts> {
    let (train, test, channels, side, classes) = match name {
        DataName::Quickstart => (6_000, 10_000, 1, 28, 10),
        DataName::Mnist | DataName::FashionMnist => (60_000, 10_000, 1, 28, 10),
        DataName::Cifar10 => (50_000, 10_000, 3, 32, 10),
        DataName::Cifar100 => (50_000, 10_000, 3, 32, 100),
        DataName::TinyImagenet => (100_000, 10_000, 3, 64, 200),
        DataName::Folder(_) => return None,
    };
    Some(DataFacts { digest: String::new(), train, test, input: Input { channels, side }, classes })
}

/// Where a task adds up what it costs.
pub struct Estimate<'a> {
    /// What is known of its data set.
    pub facts: &'a DataFacts,
    /// Where networks are built to see their size.
    pub device: &'a Device,
    cost: &'a mut Cost,
    /// Frozen networks whose logits an earlier task asked for, with the seed of the views.
    asked: &'a mut HashSet<(String, u64)>,
    /// The architecture of a network that is named.
    architecture: &'a dyn Fn(&NetworkRef) -> Option<Architecture>,
}

impl Estimate<'_> {
    /// A network for the task's data set, trained in f32.
    pub fn shape(&self, architecture: Architecture) -> Shape {
        let DataFacts { input, classes, .. } = *self.facts;
        Shape { architecture, input, classes, precision: Precision::F32 }
    }

    /// A network that another task makes, or that is there already.
    pub fn network(&self, reference: &NetworkRef) -> Option<Shape> {
        (self.architecture)(reference).map(|architecture| self.shape(architecture))
    }

    /// Whether no task before asked `network` for its logits on the views of `seed`: later ones find them in the table.
    pub fn is_first_to_ask(&mut self, network: &NetworkRef, seed: u64) -> bool {
        self.asked.insert((network.0.clone(), seed))
    }

    /// Adds `passes` of a network of `shape`.
    ///
    /// # Errors
    /// [`NetError`] if the network cannot be built.
    pub fn add(&mut self, shape: Shape, passes: Passes) -> Result<(), NetError> {
        self.cost.add(shape, passes, self.device)
    }
}

impl Shape {
    /// Multiply-accumulates of one forward pass of one image.
    ///
    /// # Errors
    /// [`NetError`] if the network cannot be built for these images.
    pub fn macs(&self, device: &Device) -> Result<u64, NetError> {
        Ok(self.architecture.build(self.classes, self.input, 0, device)?.macs())
    }
}

impl Cost {
    /// The cost of those of `tasks` that `left` says are still to be done; `there` knows networks that none of them makes.
    ///
    /// # Errors
    /// [`NetError`] if a network cannot be built for its data set.
    pub fn of<'t>(
        tasks: impl IntoIterator<Item = &'t Task> + Clone,
        left: &dyn Fn(&Task) -> bool,
        there: &dyn Fn(&NetworkRef) -> Option<Architecture>,
        facts: &dyn Fn(&DataName) -> Option<DataFacts>,
        device: &Device,
    ) -> Result<Self, NetError> {
        let mut cost = Self::default();
        let mut asked = HashSet::new();
        let made: HashMap<String, Architecture> =
            tasks.clone().into_iter().filter_map(|task| Some((task.hash(), task.makes()?))).collect();
        let architecture = |network: &NetworkRef| made.get(&network.0).copied().or_else(|| there(network));
        for task in tasks.into_iter().filter(|task| left(task)) {
            if let Some(facts) = &facts(task.data()) {
                let (cost, asked, architecture) = (&mut cost, &mut asked, &architecture);
                task.cost(&mut Estimate { facts, device, cost, asked, architecture })?;
            }
        }
        Ok(cost)
    }

    fn add(&mut self, shape: Shape, passes: Passes, device: &Device) -> Result<(), NetError> {
        self.macs += shape.macs(device)? as f64 * (3.0 * passes.trained + passes.forward);
        match self.passes.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, sum)) => {
                sum.trained += passes.trained;
                sum.forward += passes.forward;
            }
            None => self.passes.push((shape, passes)),
        }
        Ok(())
    }

    /// Seconds that the passes take, given the seconds of one image through a network of each shape.
    pub fn seconds(&self, rate: &mut dyn FnMut(Shape) -> Result<Passes, NetError>) -> Result<f64, NetError> {
        self.passes.iter().try_fold(0.0, |sum, (shape, passes)| {
            let each = rate(*shape)?;
            Ok(sum + each.trained * passes.trained + each.forward * passes.forward)
        })
    }
}
