//! Checks whether a device trains as the CPU does.

use super::{Optimiser, host};
use crate::losses;
use crate::nets::{Architecture, Input, Mode};
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};

/// One small member of each family that trains differently.
const NETWORKS: [&str; 11] = [
    "mlp",
    "cnn4",
    "preresnet20",
    "resnet20",
    "wrn-10-1",
    "resnet18",
    "shufflenetv2",
    "mobilenetv2",
    "densenet121",
    "resnet50",
    "resnext29",
];
/// Enough values in a channel of the smallest maps that batch-norm does not blow rounding up.
const BATCH: usize = 16;
const CLASSES: usize = 3;
const STEPS: usize = 2;
/// Above this a device is wrong. Rounding gives up to 0.01 (MobileNetV2 between the CPU's own instruction sets), a wrong
/// gradient more: the second loss is far from the first.
const TOLERANCE: f32 = 0.05;

/// How far a network's training on a device is from the CPU's.
#[derive(Clone, Debug)]
pub struct DeviceCheck {
    /// The network.
    pub network: Architecture,
    /// The largest difference of the evaluation-mode logits of new weights and of the losses of two steps of SGD from
    /// them, relative to the CPU's value where that is above 1.
    pub difference: f32,
}

impl DeviceCheck {
    /// Trains `network` for two steps on the CPU and on `device` (without autodiff), from the same weights.
    fn of(network: Architecture, device: &Device) -> Self {
        let (here, there) = (course(network, &Device::flex()), course(network, device));
        Self { network, difference: difference(&here, &there) }
    }

    /// Whether rounding explains the difference.
    pub fn is_right(&self) -> bool {
        self.difference <= TOLERANCE
    }
}

/// Checks `device` (without autodiff) with one network of each family; lazily, for some devices take minutes for one.
pub fn check_device(device: &Device) -> impl Iterator<Item = DeviceCheck> {
    NETWORKS.iter().map(move |name| DeviceCheck::of(name.parse().expect("a name of the zoo"), device))
}

/// NaN where one side has one counts as infinitely far.
fn difference(here: &[f32], there: &[f32]) -> f32 {
    let one = |(a, b): (&f32, &f32)| (a - b).abs() / a.abs().max(1.0);
    let all = here.iter().zip(there).map(one);
    all.fold(0.0, |worst, d| if d.is_nan() { f32::INFINITY } else { worst.max(d) })
}

/// The logits, then the losses. (Logits after the steps would show little but how batch-norm blows rounding up.)
fn course(architecture: Architecture, device: &Device) -> Vec<f32> {
    let side = *architecture.sides().start().max(&16);
    let autodiff = device.clone().autodiff();
    let input = Input { channels: 3, side };
    let mut network = architecture.build(CLASSES, input, 0, &autodiff).expect("a side that it takes");
    let pixels: Vec<f32> =
        (0..BATCH * side * side * 3).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
    let images = |device| {
        let data = TensorData::new(pixels.clone(), [BATCH, side, side, 3]);
        Tensor::<4>::from_data(data, device)
    };
    let labels: Vec<i32> = (0..BATCH as i32).map(|i| i % CLASSES as i32).collect();
    let mut optimiser = Optimiser::of_kind("sgd").expect("a kind").build();
    let mut course = host(network.valid().forward(images(device), Mode::Eval));
    for _ in 0..STEPS {
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [BATCH]), &autodiff);
        let logits = network.forward(images(&autodiff), Mode::Train);
        let loss = losses::cross_entropy(logits, labels, 0.0);
        course.push(loss.clone().into_scalar::<f32>());
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimiser.step(0.1, network, gradients);
    }
    course
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_trains_as_itself_and_a_wrong_number_shows() {
        let (cpu, network) = (Device::flex(), "preresnet20".parse().expect("a name"));
        let right = course(network, &cpu);
        assert_eq!(right.len(), STEPS + BATCH * CLASSES);
        let losses = &right[BATCH * CLASSES..];
        assert!(
            (losses[1] / losses[0] - 1.0).abs() > 0.01 && right.iter().all(|v| v.is_finite()),
            "{right:?}"
        );
        assert_eq!(DeviceCheck::of(network, &cpu).difference, 0.0);
        for (at, value) in [(0, right[0] + 0.1), (BATCH * CLASSES, losses[0] * 1.1), (1, f32::NAN)] {
            let mut wrong = right.clone();
            wrong[at] = value;
            let check = DeviceCheck { network, difference: difference(&right, &wrong) };
            assert!(!check.is_right(), "{check:?}");
        }
    }
}
