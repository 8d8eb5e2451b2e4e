//! Describes a network without running it: sizes and layers.

use burn::tensor::Device;
use serde::Serialize;

use super::{Architecture, Input, LayerSummary, NetError};

/// A network's sizes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overview {
    /// The architecture, by its canonical name.
    pub architecture: Architecture,
    /// Other names that are accepted.
    pub aliases: &'static [&'static str],
    /// The number of classes.
    pub classes: usize,
    /// The shape of the images.
    pub input: Input,
    /// The smallest and the largest side that the structure allows.
    pub sides: [usize; 2],
    /// Trainable parameters.
    pub parameters: usize,
    /// Multiply-accumulates of convolutions and linear layers for one image.
    pub macs: u64,
    /// Layers with weights, in forward order.
    pub layers: Vec<LayerSummary>,
}

impl Architecture {
    /// Sizes and layers of the network for `classes` classes and images of shape `input`. Nothing is computed and no
    /// weight is drawn.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] for an input or class count that the structure does not allow.
    pub fn overview(&self, classes: usize, input: Input) -> Result<Overview, NetError> {
        let network = self.build(classes, input, 0, &Device::flex())?;
        let sides = self.sides();
        Ok(Overview {
            architecture: *self,
            aliases: self.aliases(),
            classes,
            input,
            sides: [*sides.start(), *sides.end()],
            parameters: network.parameters(),
            macs: network.macs(),
            layers: network.summary(),
        })
    }
}
