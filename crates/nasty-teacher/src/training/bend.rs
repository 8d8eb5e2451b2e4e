//! A network moved a little along a direction of its weights, and as far against it. Defences learn from the difference how answers
//! change with the weights, without a pass backward for every class and image.

use super::Optimiser;
use crate::data::{Augmentation, ImageSet, Normalisation, render};
use crate::losses::cross_entropy;
use crate::nets::{Mode, Network};
use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::{Device, Int, Tensor, TensorData};

/// How far a network is moved, as a share of the length of its weights: little enough for its logits to change evenly, and enough for
/// their change not to vanish in rounding.
const SHARE: f64 = 1e-3;
/// Images a pass.
const BATCH: usize = 64;

/// A direction of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Along {
    /// The gradient of the mean cross entropy with the labels, in evaluation mode (antidistillation sampling).
    Gradient,
    /// 1 for every weight (gradient redirection's public code).
    Ones,
}

/// A network on both sides of where it was. Running statistics stay.
pub struct Bent {
    /// The network with weights θ + s·v.
    pub ahead: Network,
    /// The network with weights θ − s·v.
    pub behind: Network,
    /// s.
    pub step: f64,
}

/// `network`, of plain tensors on `device`, moved along a direction of its weights; labelled `images` are what
/// [`Along::Gradient`] is computed from. None if the direction is 0 or not finite.
pub fn bend(
    network: &Network,
    along: Along,
    images: &ImageSet,
    normalisation: &Normalisation,
    device: &Device,
) -> Option<Bent> {
    let network = network.clone().train();
    let direction = || {
        let gradient = mean_gradient(&network, images, normalisation, device);
        match along {
            Along::Gradient => gradient,
            Along::Ones => ones(&network, gradient),
        }
    };
    let mut lengths = Lengths { direction: direction(), of_direction: 0.0, of_weights: 0.0 };
    network.visit(&mut lengths);
    let step = SHARE * (lengths.of_weights / lengths.of_direction).sqrt();
    if !(step.is_finite() && step > 0.0) {
        return None;
    }
    // A step of plain descent moves by −rate·v.
    let mut descent = Optimiser::Sgd { momentum: 0.0, nesterov: false, weight_decay: 0.0 }.build();
    let mut moved = |rate: f64| descent.step(rate, network.clone(), direction()).valid();
    Some(Bent { ahead: moved(-step), behind: moved(step), step })
}

/// The gradient of the mean cross entropy of `images` by the weights of `network`.
fn mean_gradient(
    network: &Network,
    images: &ImageSet,
    normalisation: &Normalisation,
    device: &Device,
) -> GradientsParams {
    let device = device.clone().autodiff();
    let mut sum = GradientsAccumulator::new();
    let all: Vec<(usize, usize)> = (0..images.len()).map(|image| (image, 0)).collect();
    for items in all.chunks(BATCH) {
        let pixels = render(images, normalisation, &Augmentation::none(), items);
        let shape = [items.len(), images.height, images.width, images.channels];
        let seen = Tensor::<4>::from_data(TensorData::new(pixels, shape), &device);
        let labels: Vec<i32> = items.iter().map(|(image, _)| i32::from(images.labels[*image])).collect();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [items.len()]), &device);
        let share = items.len() as f64 / images.len() as f64;
        let loss = cross_entropy(network.forward(seen, Mode::Eval), labels, 0.0).mul_scalar(share);
        sum.accumulate(network, GradientsParams::from_grads(loss.backward(), network));
    }
    sum.grads()
}

/// 1 wherever `gradient` has a number.
fn ones(network: &Network, gradient: GradientsParams) -> GradientsParams {
    struct Ones(GradientsParams);
    impl ModuleVisitor for Ones {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.0.remove::<D>(param.id) {
                self.0.register(param.id, gradient.ones_like());
            }
        }
    }
    let mut ones = Ones(gradient);
    network.visit(&mut ones);
    ones.0
}

/// Squared lengths of a direction and of the weights that it moves.
struct Lengths {
    direction: GradientsParams,
    of_direction: f64,
    of_weights: f64,
}

impl ModuleVisitor for Lengths {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let squares = |tensor: Tensor<D>| f64::from(tensor.square().sum().into_scalar::<f32>());
        if let Some(direction) = self.direction.get::<D>(param.id) {
            self.of_direction += squares(direction);
            self.of_weights += squares(param.val().inner());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Input;
    use crate::training::host;

    fn network() -> Network {
        let input = Input { channels: 1, side: 8 };
        "cnn2"
            .parse::<crate::nets::Architecture>()
            .expect("a name")
            .build(3, input, 4, &Device::flex())
            .expect("fits")
    }

    fn images() -> ImageSet {
        let pixels = (0..100 * 64u32).map(|i| (i * 53 % 251) as u8).collect();
        ImageSet::new(8, 8, 1, pixels, (0..100).map(|i| i % 3).collect())
    }

    fn logits(network: &Network, images: &ImageSet) -> Vec<f32> {
        crate::training::all_logits(network, &normalisation(), images, &Device::flex())
    }

    fn normalisation() -> Normalisation {
        Normalisation { mean: vec![0.3], std: vec![0.35] }
    }

    /// Mean cross entropy.
    fn loss(network: &Network, images: &ImageSet) -> f64 {
        crate::training::evaluate(&logits(network, images), &images.labels, 3).loss
    }

    #[test]
    fn along_the_gradient_the_loss_rises_by_its_squared_length() {
        let (network, images) = (network(), images());
        let bent =
            bend(&network, Along::Gradient, &images, &normalisation(), &Device::flex()).expect("a slope");
        let rise = (loss(&bent.ahead, &images) - loss(&bent.behind, &images)) / (2.0 * bent.step);
        // ahead − behind = 2s·g, by the tensors themselves.
        let [ahead, behind] = [&bent.ahead, &bent.behind].map(Network::state_dict);
        let squared: f64 = ahead
            .iter()
            .zip(&behind)
            .flat_map(|(a, b)| a.data.iter().zip(&b.data))
            .map(|(a, b)| ((f64::from(*a) - f64::from(*b)) / (2.0 * bent.step)).powi(2))
            .sum();
        assert!(rise > 0.0 && (rise / squared - 1.0).abs() < 0.01, "{rise} {squared}");
    }

    #[test]
    fn all_ones_move_every_weight_alike_and_no_statistic() {
        let (network, images) = (network(), images());
        let bent = bend(&network, Along::Ones, &images, &normalisation(), &Device::flex()).expect("a slope");
        let pairs =
            network.state_dict().into_iter().zip(bent.ahead.state_dict()).zip(bent.behind.state_dict());
        for ((was, ahead), behind) in pairs {
            let is_weight = !was.name.contains("running_");
            for ((w, a), b) in was.data.iter().zip(&ahead.data).zip(&behind.data) {
                let by = if is_weight { bent.step } else { 0.0 };
                assert!(
                    (f64::from(a - w) - by).abs() < 1e-6 && (f64::from(w - b) - by).abs() < 1e-6,
                    "{}",
                    was.name
                );
            }
        }
        assert_ne!(
            host(Tensor::<1>::from_floats(logits(&bent.ahead, &images).as_slice(), &Device::flex())),
            logits(&network, &images)
        );
    }
}
