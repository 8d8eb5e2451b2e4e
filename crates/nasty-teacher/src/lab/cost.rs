//! What an experiment costs, in image·MACs, and about how long it takes on this machine.
//!
//! Training an image costs three forward passes (forward, gradients of activations, gradients of weights). Logits of a
//! frozen network are computed once for each image and epoch, for the first run that asks; later runs of the same seed find
//! them in the table.

use super::experiment::{DataFacts, Resolved};
use super::task::Task;
use crate::analysis::tsne::TsneRecipe;
use crate::data::DataName;
use crate::nets::{Architecture, Input, NetError};
use crate::training::{Loss, NetworkRef};
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
    /// The cost of all tasks of an experiment, none of them done.
    ///
    /// # Errors
    /// [`NetError`] if a network cannot be built for its data set.
    pub fn of(
        resolved: &Resolved,
        facts: &dyn Fn(&DataName) -> Option<DataFacts>,
        device: &Device,
    ) -> Result<Self, NetError> {
        let mut cost = Self::default();
        let mut asked = HashSet::new();
        let tasks: HashMap<String, &Task> =
            resolved.tasks.iter().map(|(_, task)| (task.hash(), task)).collect();
        for (_, task) in &resolved.tasks {
            let Some(facts) = facts(task.data()) else { continue };
            let shape = |architecture| Shape { architecture, input: facts.input, classes: facts.classes };
            let network = |reference: &NetworkRef| match tasks.get(&reference.0) {
                Some(Task::Train(made)) => Some(shape(made.architecture)),
                _ => None,
            };
            match task {
                Task::Train(recipe) => {
                    let left = facts.train.saturating_sub(recipe.data.validation);
                    let trained = (recipe.data.subset.unwrap_or(left) * recipe.epochs) as f64;
                    let chosen_on = if recipe.data.validation > 0 { recipe.data.validation } else { 0 };
                    let forward = (chosen_on * recipe.epochs + facts.test) as f64;
                    cost.add(shape(recipe.architecture), Passes { trained, forward }, device)?;
                    if let Some(frozen) = recipe.objective.victim()
                        && let Some(frozen_shape) = network(frozen)
                        && asked.insert((frozen.0.clone(), recipe.seed))
                    {
                        cost.add(frozen_shape, Passes { trained: 0.0, forward: trained }, device)?;
                    }
                }
                Task::DataFree(recipe) => {
                    let images = (recipe.epochs * recipe.steps * recipe.batch) as f64;
                    let student = shape(recipe.student);
                    // The generator's passes are counted as so many more of the student's.
                    let generator = recipe.build_generator(facts.input, device)?.macs() as f64;
                    let generator = generator / student.macs(device)?.max(1) as f64;
                    let tested = (facts.test * recipe.epochs) as f64;
                    cost.add(
                        student,
                        Passes { trained: images * (1.0 + generator), forward: tested },
                        device,
                    )?;
                    if let Some(teacher) = network(&recipe.teacher) {
                        // Forward, and back to the images.
                        cost.add(teacher, Passes { trained: 0.0, forward: 2.0 * images }, device)?;
                    }
                }
                Task::Inversion(recipe) => {
                    let images = (recipe.steps * recipe.images) as f64;
                    if let Some(network) = network(&recipe.network) {
                        cost.add(network, Passes { trained: 0.0, forward: 2.0 * images }, device)?;
                    }
                }
                Task::Embedding(TsneRecipe { network: of, images, .. }) => {
                    if let Some(network) = network(of) {
                        cost.add(network, Passes { trained: 0.0, forward: *images as f64 }, device)?;
                    }
                }
                Task::Responses(recipe) => {
                    for network in recipe.networks.iter().filter_map(network) {
                        cost.add(network, Passes { trained: 0.0, forward: facts.test as f64 }, device)?;
                    }
                }
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
