//! Starting from the weights of another network, and freezing its first stages.

use std::collections::BTreeSet;

use burn::tensor::Device;

use super::{NetError, Network};

impl Network {
    /// The network with the weights of `other`, a network of the same architecture. Without `head` the last layer, whatever
    /// depends on the number of classes, keeps its own weights.
    ///
    /// # Errors
    /// [`NetError::State`] if other tensors than those of the last layer differ in name or shape.
    pub fn with_weights_of(self, other: &Network, head: bool) -> Result<Self, NetError> {
        let mut state = other.state_dict();
        if !head {
            let of_head = self.head()?;
            let own = self.state_dict();
            state.retain(|tensor| !of_head.contains(&tensor.name));
            state.extend(own.into_iter().filter(|tensor| of_head.contains(&tensor.name)));
        }
        self.load_state_dict(&state)
    }

    /// The names of the tensors whose shapes depend on the number of classes: two builds that differ in it show them.
    fn head(&self) -> Result<BTreeSet<String>, NetError> {
        let built = |classes| self.architecture().build(classes, self.input(), 0, &Device::flex());
        let (two, three) = (built(2)?, built(3)?);
        let both = two.tensors().iter().zip(three.tensors());
        Ok(both.filter(|(a, b)| a.shape != b.shape).map(|(a, _)| a.name.clone()).collect())
    }

    /// The network's stages in forward order, as the names of its tensors begin.
    pub fn stages(&self) -> Vec<String> {
        let names = || self.tensors().iter().map(|tensor| tensor.name.as_str());
        let mut stages: Vec<String> = Vec::new();
        let mut push = |stage: &str| {
            if !stages.iter().any(|known| known == stage) {
                stages.push(stage.to_owned());
            }
        };
        let first = |name: &str| name.split('.').next().unwrap_or(name).to_owned();
        let few = names().map(first).collect::<BTreeSet<_>>().len() < 4;
        for name in names() {
            let parts: Vec<&str> = name.split('.').collect();
            // The last part names a tensor of its module.
            let length = if few { 2 } else { 1 }.min(parts.len() - 1).max(1);
            push(&parts[..length].join("."));
        }
        stages
    }

    /// The network with its weights up to the stage `stage`, itself included, as they are: they get no gradients, and their
    /// batch-norms use the running statistics and leave them alone. `stage` is how names of tensors begin, such as `layer2`
    /// or `features.4`.
    ///
    /// # Errors
    /// [`NetError::Stage`] if no tensor's name begins so, or nothing would be left to train.
    pub fn freeze(self, stage: &str) -> Result<Self, NetError> {
        let inside = |name: &str| name.strip_prefix(stage).is_some_and(|rest| rest.starts_with('.'));
        let last = self.tensors().iter().rposition(|tensor| inside(&tensor.name));
        match last {
            Some(last) if last + 1 < self.tensors().len() => Ok(self.frozen(last + 1)),
            _ => Err(NetError::Stage {
                architecture: self.architecture().to_string(),
                stage: stage.to_owned(),
                stages: self.stages().join(", "),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Architecture, Input, Mode, NamedTensor};
    use burn::optim::{GradientsParams, SgdConfig};
    use burn::tensor::{Tensor, TensorData};

    /// The tensors of `state` by which it differs from `other`, in name or value.
    fn changed(state: &[NamedTensor], other: &[NamedTensor]) -> Vec<String> {
        let same = |tensor: &&NamedTensor| !other.contains(tensor);
        state.iter().filter(same).map(|tensor| tensor.name.clone()).collect()
    }

    fn built(name: &str, classes: usize, side: usize, seed: u64) -> Network {
        let architecture: Architecture = name.parse().expect("a name");
        let input = Input { channels: 3, side };
        architecture.build(classes, input, seed, &Device::flex().autodiff()).expect("built")
    }

    #[test]
    fn weights_are_taken_over_with_or_without_the_head() {
        for name in ["cnn2", "resnet20", "tv-mobilenet_v3_small", "tv-densenet121", "kd-vgg8"] {
            let start = built(name, 5, 32, 1);
            let same = built(name, 5, 32, 2).with_weights_of(&start, true).expect("the same shapes");
            assert_eq!(same.state_dict(), start.state_dict(), "{name}");
            let other = built(name, 7, 32, 2);
            let fresh = other.state_dict();
            assert!(built(name, 7, 32, 2).with_weights_of(&start, true).is_err(), "{name}");
            let begun = other.with_weights_of(&start, false).expect("all but the head").state_dict();
            let new = changed(&begun, &start.state_dict());
            assert!((1..=2).contains(&new.len()), "{name}: {new:?}");
            assert!(begun.iter().filter(|t| new.contains(&t.name)).all(|t| fresh.contains(t)), "{name}");
        }
        let error = built("resnet20", 5, 32, 1).with_weights_of(&built("cnn2", 5, 32, 1), true);
        assert!(matches!(error, Err(NetError::State { .. })));
    }

    #[test]
    fn frozen_stages_do_not_change_and_the_others_do() {
        let network = built("tv-resnet18", 4, 40, 1);
        assert_eq!(network.stages(), ["conv1", "bn1", "layer1", "layer2", "layer3", "layer4", "fc"]);
        assert_eq!(built("tv-mobilenet_v2", 4, 32, 1).stages()[..2], ["features.0", "features.1"]);
        let error = network.clone().freeze("layer9").expect_err("no such stage");
        assert!(error.to_string().contains("tv-resnet18 has no stage `layer9`"), "{error}");
        assert!(matches!(error, NetError::Stage { stages, .. } if stages.ends_with("layer4, fc")));
        assert!(network.clone().freeze("fc").is_err(), "nothing is left");

        let before = network.state_dict();
        let network = network.freeze("layer2").expect("a stage");
        // Loading leaves it frozen.
        let network = network.load_state_dict(&before).expect("its own");
        let device = Device::flex().autodiff();
        let pixels = (0..2 * 40 * 40 * 3).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect::<Vec<_>>();
        let images = Tensor::<4>::from_data(TensorData::new(pixels, [2, 40, 40, 3]), &device);
        let loss = network.forward(images, Mode::Train).powi_scalar(2).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let network = SgdConfig::new().init().step(0.1, network, gradients);
        let new = changed(&network.state_dict(), &before);
        let frozen = |name: &String| {
            ["conv1.", "bn1.", "layer1.", "layer2."].iter().any(|stage| name.starts_with(stage))
        };
        assert!(!new.iter().any(frozen), "{new:?}");
        for part in ["layer3.0.conv1.weight", "layer4.1.bn2.running_mean", "fc.bias"] {
            assert!(new.iter().any(|name| name == part), "{part} in {new:?}");
        }
    }
}
