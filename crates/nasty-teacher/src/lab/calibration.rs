//! Measures the speed of this machine with a few steps of each network, and keeps the timings.

use super::cost::{Passes, Shape};
use crate::files::write_whole;
use crate::losses;
use crate::nets::{Answering, Mode, NetError, Precision};
use crate::training::Optimiser;
use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const FORMAT: u32 = 4;
/// Seconds that a measurement is kept for: other work on the machine may have slowed it down.
const KEPT: u64 = 24 * 60 * 60;
/// Steps are timed until this many seconds have passed.
const SECONDS: f64 = 0.5;
/// A batch's multiply-accumulates are kept below this, so that a step of the largest network takes seconds. A ResNet-18 has its 64 images:
/// with a quarter of them the update of its weights weighs so much that an image seems to take 1.6 times as long as in training.
const BATCH_MACS: u64 = 36_000_000_000;

/// Seconds an image takes, by network; measured when first asked for.
#[derive(Debug)]
pub struct Calibration {
    device: Device,
    file: Option<PathBuf>,
    kept: Kept,
    /// What the measurements depend on, beside the network.
    machine: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Kept {
    format: u32,
    rates: Vec<Rate>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Rate {
    machine: String,
    shape: Shape,
    seconds: Passes,
    /// When, in seconds since 1970.
    measured: u64,
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Calibration {
    /// The calibration of `device` (without autodiff), called `name`, kept in `file` (none: not kept).
    pub fn open(device: Device, name: &str, file: Option<PathBuf>) -> Self {
        let read = file.as_ref().and_then(|file| serde_json::from_slice(&std::fs::read(file).ok()?).ok());
        let kept = read.filter(|kept: &Kept| kept.format == FORMAT);
        let mut kept = kept.unwrap_or_else(|| Kept { format: FORMAT, rates: Vec::new() });
        kept.rates.retain(|rate| now().saturating_sub(rate.measured) < KEPT);
        let machine =
            format!("{} {name} {} threads", env!("CARGO_PKG_VERSION"), rayon::current_num_threads());
        Self { device, file, kept, machine }
    }

    /// Where it is usually kept: beside the data sets, under the home folder.
    pub fn usual_file() -> Option<PathBuf> {
        std::env::home_dir().map(|home| home.join(".cache/nasty-teacher/calibration.json"))
    }

    /// Seconds of one image through a network of `shape`, trained on and looked at.
    ///
    /// # Errors
    /// [`NetError`] if the network cannot be built.
    pub fn rate(&mut self, shape: Shape) -> Result<Passes, NetError> {
        if let Some(known) = self.kept.rates.iter().find(|r| r.machine == self.machine && r.shape == shape) {
            return Ok(known.seconds);
        }
        let seconds = measure(shape, &self.device)?;
        self.kept.rates.push(Rate { machine: self.machine.clone(), shape, seconds, measured: now() });
        if let Some(file) = &self.file {
            let text = serde_json::to_string_pretty(&self.kept).expect("plain data");
            let written = file
                .parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| write_whole(file, text.as_bytes()));
            if let Err(e) = written {
                tracing::warn!("{}: the calibration is not kept: {e}", file.display());
            }
        }
        Ok(seconds)
    }
}

fn measure(shape: Shape, device: &Device) -> Result<Passes, NetError> {
    let autodiff = device.clone().autodiff();
    let network = shape.architecture.build(shape.classes, shape.input, 0, &autodiff)?;
    let mut network = network.with_precision(shape.precision);
    let batch = (BATCH_MACS / network.macs().max(1)).clamp(2, 64) as usize;
    let size = [batch, shape.input.side, shape.input.side, shape.input.channels];
    let pixels: Vec<f32> = (0..size.iter().product()).map(|i| (i % 17) as f32 / 8.0 - 1.0).collect();
    let images = |device: &Device| Tensor::<4>::from_data(TensorData::new(pixels.clone(), size), device);
    let labels: Vec<i32> = (0..batch).map(|i| (i % shape.classes) as i32).collect();
    let mut optimiser = Optimiser::Sgd { momentum: 0.9, nesterov: false, weight_decay: 5e-4 }.build();
    let mut step = || {
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [batch]), &autodiff);
        let loss = losses::cross_entropy(network.forward(images(&autodiff), Mode::Train), labels, 0.0);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimiser.step(1e-3, network.clone(), gradients);
        loss.into_scalar::<f32>()
    };
    let trained = timed(&mut step) / batch as f64;
    let frozen = Answering::new(&network.valid().with_precision(Precision::F32), device);
    let mut pass = || frozen.logits(pixels.clone())[0];
    Ok(Passes { trained, forward: timed(&mut pass) / batch as f64 })
}

/// Seconds a call takes, the first one left out.
fn timed(call: &mut dyn FnMut() -> f32) -> f64 {
    call();
    let (begun, mut calls) = (Instant::now(), 0);
    while calls < 2 || (begun.elapsed().as_secs_f64() < SECONDS && calls < 20) {
        call();
        calls += 1;
    }
    begun.elapsed().as_secs_f64() / f64::from(calls)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Input;

    #[test]
    fn a_measurement_is_kept_for_a_day() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("calibration.json");
        let open = || {
            let device = crate::device::device("flex").expect("the CPU");
            Calibration::open(device, "flex", Some(file.clone()))
        };
        let architecture = "cnn2".parse().expect("a name");
        let input = Input { channels: 1, side: 8 };
        let shape = Shape { architecture, input, classes: 2, precision: Precision::F32 };
        open().rate(shape).expect("it can be built");
        assert_eq!(open().kept.rates.len(), 1);
        let mut old = open().kept;
        old.rates[0].measured -= KEPT;
        std::fs::write(&file, serde_json::to_vec(&old).expect("plain data")).expect("room");
        assert_eq!(open().kept.rates.len(), 0);
    }
}
