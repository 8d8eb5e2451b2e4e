//! One side of `benches/against_onnxruntime`: times a prepared network's answers, driven over standard input.
//!
//!     cargo run --release --workspace --example answer -- resnet18 1 32 10 2 f32 resnet18.onnx
//!
//! (network, images at a time, side of the images, classes, threads, f32 or bf16, where the same network is written as ONNX.)
//!
//! First it prints `parameters N kernels NAME prepared SECONDS`. Then for every line with a number n it answers n times and prints
//! one line of seconds an answer; `logits` prints the answer to the images, `parts` every operation with its seconds on one thread
//! (the least of 21 runs), `memory` the resident KiB before the network was prepared, after that, and at the peak. Value i of the images is `(7919 i mod 251) / 125 − 1`, in the order image,
//! row, column, channel.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};
use std::path::Path;
use std::time::Instant;

use nasty_teacher::export::export;
use nasty_teacher::nets::{Architecture, Input, NetworkConfig, Precision};

#[global_allocator]
static ALLOCATOR: nasty_teacher::Allocator = nasty_teacher::Allocator;

const CHANNELS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [network, numbers @ .., precision, onnx] = &args[..] else {
        return Err("wanted: network images side classes threads precision onnx-file".into());
    };
    let precision = match precision.as_str() {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("`{other}` is neither f32 nor bf16").into()),
    };
    let numbers: Vec<usize> = numbers.iter().map(|n| n.parse()).collect::<Result<_, _>>()?;
    let [images, side, classes, threads] = numbers[..] else { return Err("four numbers are wanted".into()) };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let serve =
        || serve(network, [images, side, classes], precision, Path::new(onnx)).map_err(|e| e.to_string());
    pool.install(serve)?;
    Ok(())
}

/// Answers the lines of standard input.
fn serve(
    network: &str,
    [images, side, classes]: [usize; 3],
    precision: Precision,
    onnx: &Path,
) -> Result<(), Box<dyn Error>> {
    let architecture: Architecture = network.parse()?;
    let device = nasty_teacher::device::device("flex")?;
    let network = architecture
        .build(classes, Input { channels: CHANNELS, side }, 0, &device)?
        .with_precision(precision);
    let names = (0..classes).map(|class| class.to_string()).collect();
    export(onnx, &network, &NetworkConfig::new(&network, vec![0.0; CHANNELS], vec![1.0; CHANNELS], names))?;
    let parameters = network.parameters();
    let before = resident("VmRSS")?;
    let begun = Instant::now();
    let prepared = network.prepare();
    let seconds = begun.elapsed().as_secs_f64();
    let after = resident("VmRSS")?;
    drop(network);

    let mut out = stdout().lock();
    let kernels = nasty_kernels::instruction_set();
    writeln!(out, "parameters {parameters} kernels {kernels} prepared {seconds}")?;
    out.flush()?;
    let len = images * side * side * CHANNELS;
    let pixels: Vec<f32> = (0..len).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
    for line in stdin().lock().lines() {
        match line?.trim() {
            "memory" => writeln!(out, "{before} {after} {}", resident("VmHWM")?)?,
            "parts" => {
                let runs: Vec<_> = (0..21).map(|_| prepared.profile(&pixels)).collect();
                let parts: Vec<String> = (0..runs[0].len())
                    .map(|i| {
                        let least = runs.iter().map(|run| run[i].1).fold(f64::INFINITY, f64::min);
                        format!("{}:{least:.3e}", runs[0][i].0.replace(' ', "_"))
                    })
                    .collect();
                writeln!(out, "{}", parts.join(" "))?;
            }
            "logits" => {
                let logits: Vec<String> = prepared.logits(&pixels).iter().map(f32::to_string).collect();
                writeln!(out, "{}", logits.join(" "))?;
            }
            count => {
                let seconds = (0..count.parse()?).map(|_| {
                    let begun = Instant::now();
                    std::hint::black_box(prepared.logits(&pixels));
                    begun.elapsed().as_secs_f64().to_string()
                });
                writeln!(out, "{}", seconds.collect::<Vec<_>>().join(" "))?;
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
