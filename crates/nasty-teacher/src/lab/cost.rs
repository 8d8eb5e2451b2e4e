//! The cost of a task, in image·MACs and by network: what a task adds up of itself.
//!
//! Training on an image costs three forward passes (forward, gradients of activations, gradients of weights). Logits of
//! a frozen network are computed once per image and epoch, by the first run that asks; later runs of the same seed find
//! them in the table.

use super::data_facts::DataFacts;
use crate::nets::{Architecture, Input, NetError, Precision};
use crate::training::NetworkRef;
use burn::tensor::Device;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

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

/// Where a task adds up what it costs.
pub struct Estimate<'a> {
    /// What is known of its data set.
    pub facts: &'a DataFacts,
    /// Where networks are built to see their size.
    pub device: &'a Device,
    pub(super) cost: &'a mut Cost,
    /// Multiply-accumulates of the networks seen so far: it takes a while to build one.
    pub(super) sizes: &'a mut Vec<(Shape, u64)>,
    /// Frozen networks whose logits an earlier task asked for, with the seed of the views.
    pub(super) asked: &'a mut HashSet<(String, u64)>,
    /// The architecture of a network that is named.
    pub(super) architecture: &'a dyn Fn(&NetworkRef) -> Option<Architecture>,
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
        let macs = match self.sizes.iter().find(|(known, _)| *known == shape) {
            Some((_, macs)) => *macs,
            None => {
                let macs = shape.macs(self.device)?;
                self.sizes.push((shape, macs));
                macs
            }
        };
        self.cost.add(shape, passes, macs);
        Ok(())
    }
}

/// Seconds of one image through a network of a shape.
pub type Rate<'a> = dyn FnMut(Shape) -> Result<Passes, NetError> + 'a;

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
    pub(super) fn add(&mut self, shape: Shape, passes: Passes, macs: u64) {
        self.macs += macs as f64 * (3.0 * passes.trained + passes.forward);
        match self.passes.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, sum)) => {
                sum.trained += passes.trained;
                sum.forward += passes.forward;
            }
            None => self.passes.push((shape, passes)),
        }
    }

    /// Seconds that the passes take, given the seconds of one image through a network of each shape.
    pub fn seconds(&self, rate: &mut Rate<'_>) -> Result<f64, NetError> {
        self.passes.iter().try_fold(0.0, |sum, (shape, passes)| {
            let each = rate(*shape)?;
            Ok(sum + each.trained * passes.trained + each.forward * passes.forward)
        })
    }
}
