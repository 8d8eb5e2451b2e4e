//! One side of `benches/against_pytorch`: times steps of one network, driven over standard input.
//!
//!     cargo run --release --workspace --example step -- train resnet18 128 32 10 2 bf16
//!
//! (mode, network, batch, side of the images, classes, threads, f32 or bf16). Modes: `train` (forward, loss, backward, SGD with
//! momentum 0.9 and weight decay 5e-4), `infer` (answers of the prepared network, as evaluation asks for them), `parts` (train,
//! with the seconds of forward, loss, backward and optimiser beside the sum), `data` (train on batches that are rendered meanwhile,
//! with the seconds that were spent waiting for them beside the sum; above 64 pixels they are random crops of larger pictures,
//! resized, as for photos).
//!
//! First it prints `parameters N kernels NAME`. Then for every line with a number n it takes n steps and prints one
//! line of seconds a step; `memory` prints the resident KiB before the first step and at the peak.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::sync::Arc;
use std::time::Instant;

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Int, Tensor, TensorData};
use nasty_teacher::data::{
    Augmentation, Batch, Epoch, EpochBatches, ImageSet, Normalisation, Photo, epoch_batches,
};
use nasty_teacher::losses;
use nasty_teacher::nets::{Architecture, Input, Mode, Network, Precision, Prepared};
use nasty_teacher::training::Optimiser;

#[global_allocator]
static ALLOCATOR: nasty_teacher::Allocator = nasty_teacher::Allocator;

/// Images in memory for `data`: as many as an epoch of CIFAR has; fewer photos.
const IMAGES: usize = 50_000;
const PHOTOS: usize = 1_000;
/// Images with a larger side are parts of photos.
const LARGEST_ICON: usize = 64;
const CHANNELS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [mode, network, numbers @ .., precision] = &args[..] else {
        return Err("wanted: mode network batch side classes threads precision".into());
    };
    let precision = match precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("`{other}` is neither f32 nor bf16").into()),
    };
    let numbers: Vec<usize> = numbers.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let [batch, side, classes, threads] = numbers[..] else { return Err("four numbers are wanted".into()) };
    // As training does: batches are rendered by the process's threads, and steps taken by a pool's, on one of them.
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    pool.install(|| serve(mode, network, [batch, side, classes], precision).map_err(|e| e.to_string()))?;
    Ok(())
}

/// Answers the lines of standard input.
fn serve(
    mode: &str,
    network: &str,
    [batch, side, classes]: [usize; 3],
    precision: Precision,
) -> Result<(), Box<dyn Error>> {
    let architecture: Architecture = network.parse()?;
    let device = nasty_teacher::device::device("flex")?;
    let device = if mode == "infer" { device } else { device.autodiff() };
    let network = architecture
        .build(classes, Input { channels: CHANNELS, side }, 0, &device)?
        .with_precision(precision);
    let mut out = stdout().lock();
    writeln!(out, "parameters {} kernels {}", network.parameters(), nasty_kernels::instruction_set())?;
    out.flush()?;
    let before = resident("VmRSS")?;

    let mut bench = Bench::new(mode, network, [batch, side, classes], device)?;
    for line in stdin().lock().lines() {
        match line?.trim() {
            "memory" => writeln!(out, "{before} {}", resident("VmHWM")?)?,
            count => {
                let steps = (0..count.parse()?).map(|_| bench.step());
                let steps: Vec<String> = steps.collect::<Result<_, _>>()?;
                writeln!(out, "{}", steps.join(" "))?;
            }
        }
        out.flush()?;
    }
    Ok(())
}

/// KiB of this process, by the kernel's name for it.
fn resident(what: &str) -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with(what)).ok_or("no such line in the status")?;
    Ok(line.split_whitespace().nth(1).ok_or("a line without number")?.parse()?)
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Train,
    Infer,
    Parts,
    Data,
}

struct Bench {
    kind: Kind,
    network: Option<Network>,
    optimiser: ModuleOptimizer,
    device: Device,
    set: Arc<ImageSet>,
    batch: Batch,
    batch_size: usize,
    epoch: Option<EpochBatches>,
    images: Tensor<4>,
    prepared: Option<Prepared>,
}

impl Bench {
    fn new(
        mode: &str,
        network: Network,
        [batch_size, side, classes]: [usize; 3],
        device: Device,
    ) -> Result<Self, Box<dyn Error>> {
        let kind = match mode {
            "train" => Kind::Train,
            "infer" => Kind::Infer,
            "parts" => Kind::Parts,
            "data" => Kind::Data,
            other => return Err(format!("`{other}` is not a mode").into()),
        };
        let photos = kind == Kind::Data && side > LARGEST_ICON;
        let count = match kind {
            Kind::Data if photos => PHOTOS,
            Kind::Data => IMAGES,
            _ => batch_size,
        };
        let pixels = (0..count * side * side * CHANNELS).map(|i| (i * 7919 % 251) as u8).collect();
        let labels = (0..count).map(|i| (i % classes) as u16).collect();
        let set = ImageSet::new(side, side, CHANNELS, pixels, labels);
        let set = Arc::new(if photos { set.with_photos(vec![Some(photo(side)); count]) } else { set });
        let batch = batches(&set, batch_size).next().ok_or("an empty batch")?;
        let optimiser = Optimiser::of_kind("sgd").ok_or("no SGD")?.build();
        let images = tensor(&batch, &set, &device);
        let prepared = (kind == Kind::Infer).then(|| network.prepare());
        let network = Some(network);
        Ok(Self { kind, network, optimiser, device, set, batch, batch_size, epoch: None, images, prepared })
    }

    /// Seconds, and the parts of them that the mode shows.
    fn step(&mut self) -> Result<String, Box<dyn Error>> {
        let begun = Instant::now();
        if let Some(prepared) = &self.prepared {
            std::hint::black_box(prepared.logits(&self.batch.pixels));
            return Ok(begun.elapsed().as_secs_f64().to_string());
        }
        let network = self.network.take().ok_or("a step failed")?;
        if self.kind == Kind::Data {
            self.batch = self.next_batch();
            self.images = tensor(&self.batch, &self.set, &self.device);
        }
        let got = Instant::now();
        let labels: Vec<i32> = self.batch.labels.iter().map(|l| i32::from(*l)).collect();
        let count = labels.len();
        let labels = Tensor::<1, Int>::from_data(TensorData::new(labels, [count]), &self.device);
        let logits = network.forward(self.images.clone(), Mode::Train);
        let forward = Instant::now();
        let loss = losses::cross_entropy(logits, labels, 0.0);
        let value = loss.clone().into_scalar::<f32>();
        if !value.is_finite() {
            return Err(format!("the loss became {value}").into());
        }
        let loss_done = Instant::now();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let backward = Instant::now();
        self.network = Some(self.optimiser.step(1e-3, network, gradients));
        let done = Instant::now();
        let seconds = |a: Instant, b: Instant| (b - a).as_secs_f64();
        let all = seconds(begun, done);
        Ok(match self.kind {
            Kind::Data => format!("{all}:{}", seconds(begun, got)),
            Kind::Parts => format!(
                "{all}:{}:{}:{}:{}",
                seconds(got, forward),
                seconds(forward, loss_done),
                seconds(loss_done, backward),
                seconds(backward, done)
            ),
            _ => all.to_string(),
        })
    }

    fn next_batch(&mut self) -> Batch {
        loop {
            match self.epoch.as_mut().and_then(Iterator::next) {
                Some(batch) if batch.labels.len() == self.batch_size => return batch,
                _ => self.epoch = Some(batches(&self.set, self.batch_size)),
            }
        }
    }
}

fn batches(set: &Arc<ImageSet>, batch_size: usize) -> EpochBatches {
    let normalisation = Normalisation { mean: vec![0.5; CHANNELS], std: vec![0.25; CHANNELS] };
    let epoch = Epoch { seed: 0, epoch: 0, batch_size, start_batch: 0, side: None };
    let augmentation = if set.height > LARGEST_ICON { Augmentation::photos() } else { Augmentation::cifar() };
    epoch_batches(set.clone(), &normalisation, &augmentation, epoch)
}

/// A picture of 4:3 around an image of this side, as `data.side` with the usual margin makes them: 256 pixels for 224.
fn photo(side: usize) -> Photo {
    let height = side * 8 / 7;
    let width = height * 4 / 3;
    let pixels = (0..height * width * CHANNELS).map(|i| (i * 7919 % 251) as u8).collect();
    Photo { height, width, pixels }
}

fn tensor(batch: &Batch, set: &ImageSet, device: &Device) -> Tensor<4> {
    let shape = [batch.labels.len(), set.height, set.width, set.channels];
    Tensor::from_data(TensorData::new(batch.pixels.clone(), shape), device)
}
