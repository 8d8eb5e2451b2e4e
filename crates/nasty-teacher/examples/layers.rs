//! Where a network's convolutions stand: every one of them by itself, against the cores' peak in a loop over registers.
//!
//!     cargo run --release --workspace --example layers -- resnet18 [f32|bf16] [batch] [side]
//!
//! Forward, the gradient of the input, that of the weight, and both gradients at once, as a training step computes
//! them. Below each column the sum over the network, and what it would be at the peak. `RAYON_NUM_THREADS` sets the
//! threads, `NASTY_KERNELS` the instruction set. Operations are counted by the definition of a convolution, products
//! with padding included, so Winograd's method and small images can exceed the peak.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use nasty_kernels::ConvOptions;
use nasty_kernels::measure::{ConvTimes, conv_times, instruction_set, peak_flops};
use nasty_teacher::nets::{Architecture, Graph, Input, Node, Op, Precision};

#[global_allocator]
static ALLOCATOR: nasty_teacher::Allocator = nasty_teacher::Allocator;

const REPEATS: usize = 5;
const COLUMNS: [&str; 4] = ["forward", "input's gradient", "weight's gradient", "both gradients"];
/// Times a convolution's operations that a column's computation does.
const WORK: [f64; 4] = [1.0, 1.0, 1.0, 2.0];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [network, rest @ ..] = &arguments[..] else {
        return Err("wanted: network [f32|bf16] [batch] [side]".into());
    };
    let precision = if rest.iter().any(|a| a == "bf16") { Precision::Bf16 } else { Precision::F32 };
    let numbers: Vec<usize> = rest
        .iter()
        .filter(|a| !["f32", "bf16"].contains(&a.as_str()))
        .map(|a| a.parse())
        .collect::<Result<_, _>>()?;
    let [batch, side] = [0, 1].map(|i| numbers.get(i).copied().unwrap_or([128, 32][i]));

    let architecture: Architecture = network.parse()?;
    let device = nasty_teacher::device::device("flex")?;
    let graph = architecture.build(10, Input { channels: 3, side }, 0, &device)?.graph();
    let mut layers: BTreeMap<_, usize> = BTreeMap::new();
    for node in graph.nodes() {
        if let Some(layer) = convolution(&graph, node) {
            *layers.entry(layer).or_default() += 1;
        }
    }

    let threads = rayon::current_num_threads();
    let peak = peak_flops(precision) * threads as f64;
    let set = instruction_set();
    println!(
        "{network}, {precision:?}, batch {batch}; {set}, {threads} threads, {:.0} GFLOP/s at most",
        peak / 1e9
    );
    println!("milliseconds and share of the peak; input, channels, kernel, stride, groups");
    print!("{:44}", "");
    COLUMNS.iter().for_each(|column| print!("{column:>19}"));
    println!();
    let (mut total, mut least) = ([0.0; 4], [0.0; 4]);
    for ([h, w, cin, cout, kernel, stride, padding, groups], count) in layers.into_iter().rev() {
        let options = ConvOptions { stride, padding, groups, precision };
        let times = conv_times([batch, h, w, cin], [cout, cin / groups, kernel, kernel], options, REPEATS);
        print!("{count:3} × {:38}", format!("{h}×{w} {cin}→{cout} {kernel}×{kernel} /{stride} {groups}"));
        for (i, time) in columns(&times).into_iter().enumerate() {
            let (seconds, at_peak) = (time.as_secs_f64(), WORK[i] * times.flops / peak);
            print!("{:10.2}{:7.1} %", seconds * 1e3, at_peak / seconds * 100.0);
            total[i] += count as f64 * seconds;
            least[i] += count as f64 * at_peak;
        }
        println!();
    }
    print!("{:44}", "all");
    total.iter().zip(&least).for_each(|(t, l)| print!("{:10.2}{:7.1} %", t * 1e3, l / t * 100.0));
    println!();
    let [forward, .., both] = total;
    let [forward_least, .., both_least] = least;
    println!(
        "a step's convolutions: {:.0} ms; by the definition at the peak {:.0} ms",
        (forward + both) * 1e3,
        (forward_least + both_least) * 1e3
    );
    Ok(())
}

fn columns(times: &ConvTimes) -> [Duration; 4] {
    [times.forward, times.backward_input, times.backward_weight, times.backward]
}

/// Height, width and channels of the input, channels of the output, kernel, stride, padding, groups.
fn convolution(graph: &Graph, node: &Node) -> Option<[usize; 8]> {
    let Op::Conv { side, stride, padding, groups, .. } = node.op else { return None };
    let [h, w, cin] = graph.shape(node.inputs[0]);
    Some([h, w, cin, node.shape[2], side, stride, padding, groups])
}
