//! Shared by the attacks' tests: a tiny victim, tiny images, an observer that stops the run.

use super::TestData;
use crate::data::{DataName, ImageSet, Normalisation};
use crate::nets::{Input, Mode, Network};
use crate::numerics::Provenance;
use crate::training::{EpochRow, Observer, RunContext};
use burn::tensor::{Device, Tensor, TensorData};
use std::path::Path;

pub(crate) const CLASSES: usize = 3;
pub(crate) const INPUT: Input = Input { channels: 1, side: 8 };

/// Stops after a number of steps.
pub(crate) struct StopAfter {
    steps: usize,
    seen: usize,
}

impl StopAfter {
    pub(crate) fn new(steps: usize) -> Self {
        Self { steps, seen: 0 }
    }
}

impl Observer for StopAfter {
    fn batch(&mut self, _: usize, _: usize, _: usize, _: f64) {
        self.seen += 1;
    }
    fn epoch(&mut self, _: &EpochRow, _: usize) {}
    fn stop(&self) -> bool {
        self.seen >= self.steps
    }
}

/// The context of a run with a state in `state_file`.
pub(crate) fn context<'a>(state_file: &'a Path, observer: &'a mut dyn Observer) -> RunContext<'a> {
    let weights = vec![("0".repeat(16), "f".repeat(16))];
    RunContext { state_file, provenance: Provenance::here("flex", weights), observer }
}

/// A victim whose running statistics are not those of its first weights.
pub(crate) fn victim(seed: u64) -> Network {
    let device = Device::flex();
    let network = "cnn2".parse::<crate::nets::Architecture>().expect("a name");
    let network = network.build(CLASSES, INPUT, seed, &device).expect("fits");
    let pixels: Vec<f32> = (0..20 * 64).map(|i| ((i * 31 % 97) as f32) / 40.0 - 1.0).collect();
    for _ in 0..20 {
        network
            .forward(Tensor::from_data(TensorData::new(pixels.clone(), [20, 8, 8, 1]), &device), Mode::Train);
    }
    network
}

pub(crate) fn normalisation() -> Normalisation {
    Normalisation { mean: vec![0.3], std: vec![0.35] }
}

pub(crate) fn test_images() -> ImageSet {
    let pixels = (0..12 * 64).map(|i| (i * 53 % 251) as u8).collect();
    ImageSet::new(8, 8, 1, pixels, (0..12).map(|i| i % 3).collect())
}

pub(crate) fn data() -> TestData {
    TestData { name: DataName::Quickstart, digest: "0".into(), side: None }
}
