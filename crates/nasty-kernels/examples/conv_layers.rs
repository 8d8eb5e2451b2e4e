//! Throughput of the networks' convolutions at batch 128, against the cores' peak in a loop over registers.
//!
//! `cargo run --release -p nasty-kernels --example conv_layers -- [f32|bf16] [part of a layer's name]`
//!
//! `RAYON_NUM_THREADS` sets the threads, `NASTY_KERNELS` the instruction set. Taps outside the image count as work
//! that is not done, so that small images may exceed the peak.
#![allow(clippy::print_stdout, reason = "a benchmark prints")]

use nasty_kernels::measure::{conv_times, instruction_set, peak_flops};
use nasty_kernels::{ConvOptions, Precision};

/// Name, side of the image, input and output channels, kernel, stride, groups.
const LAYERS: [(&str, usize, usize, usize, usize, usize, usize); 36] = [
    ("stem 3-64", 32, 3, 64, 3, 1, 1),
    ("stem 3-16", 32, 3, 16, 3, 1, 1),
    ("resnet18 64", 32, 64, 64, 3, 1, 1),
    ("resnet18 64-128 /2", 32, 64, 128, 3, 2, 1),
    ("resnet18 128", 16, 128, 128, 3, 1, 1),
    ("resnet18 256", 8, 256, 256, 3, 1, 1),
    ("resnet18 256-512 /2", 8, 256, 512, 3, 2, 1),
    ("resnet18 512", 4, 512, 512, 3, 1, 1),
    ("resnet18 1x1 64-128 /2", 32, 64, 128, 1, 2, 1),
    ("resnet20 16", 32, 16, 16, 3, 1, 1),
    ("resnet20 16-32 /2", 32, 16, 32, 3, 2, 1),
    ("resnet20 32", 16, 32, 32, 3, 1, 1),
    ("resnet20 64", 8, 64, 64, 3, 1, 1),
    ("resnet50 1x1 64-256", 32, 64, 256, 1, 1, 1),
    ("resnet50 1x1 1024-256", 8, 1024, 256, 1, 1, 1),
    ("resnet50 1x1 512-2048", 4, 512, 2048, 1, 1, 1),
    ("densenet 1x1 256-128", 16, 256, 128, 1, 1, 1),
    ("densenet 128-32", 16, 128, 32, 3, 1, 1),
    ("resnext 8x64", 16, 512, 512, 3, 1, 8),
    ("mobilenet 1x1 16-96", 34, 16, 96, 1, 1, 1),
    ("mobilenet 1x1 24-144", 17, 24, 144, 1, 1, 1),
    ("mobilenet 1x1 144-24", 17, 144, 24, 1, 1, 1),
    ("mobilenet 1x1 32-192", 9, 32, 192, 1, 1, 1),
    ("mobilenet 1x1 64-384", 5, 64, 384, 1, 1, 1),
    ("mobilenet 1x1 384-64", 5, 384, 64, 1, 1, 1),
    ("mobilenet 1x1 160-960", 5, 160, 960, 1, 1, 1),
    ("mobilenet 1x1 960-160", 5, 960, 160, 1, 1, 1),
    ("mobilenet 1x1 320-1280", 5, 320, 1280, 1, 1, 1),
    ("mobilenet depthwise 96 /2", 34, 96, 96, 3, 2, 96),
    ("mobilenet depthwise 144", 17, 144, 144, 3, 1, 144),
    ("mobilenet depthwise 960", 5, 960, 960, 3, 1, 960),
    ("shufflenet 1x1 58", 16, 58, 58, 1, 1, 1),
    ("shufflenet 1x1 116", 8, 116, 116, 1, 1, 1),
    ("shufflenet 1x1 232", 4, 232, 232, 1, 1, 1),
    ("shufflenet 1x1 464-1024", 4, 464, 1024, 1, 1, 1),
    ("shufflenet depthwise 116", 8, 116, 116, 3, 1, 116),
];

const BATCH: usize = 128;

#[global_allocator]
static ALLOCATOR: nasty_kernels::Allocator = nasty_kernels::Allocator;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let precision = if arguments.iter().any(|a| a == "bf16") { Precision::Bf16 } else { Precision::F32 };
    let part = arguments.iter().find(|a| *a != "bf16" && *a != "f32").map_or("", String::as_str);
    let threads = rayon::current_num_threads();
    let peak = peak_flops(precision) * threads as f64;
    println!(
        "{}, {precision:?}, {threads} threads, {:.0} GFLOP/s at most; ms, GFLOP/s, share of that",
        instruction_set(),
        peak / 1e9
    );
    println!(
        "{:28}{:^26}{:^26}{:^26}{:^26}",
        "", "forward", "input's gradient", "weight's gradient", "both gradients"
    );
    for (name, side, cin, cout, kernel, stride, groups) in LAYERS.into_iter().filter(|l| l.0.contains(part)) {
        let options = ConvOptions { stride, padding: kernel / 2, groups, precision };
        let weight = [cout, cin / groups, kernel, kernel];
        let times = conv_times([BATCH, side, side, cin], weight, options, 5);
        print!("{name:28}");
        let all = [times.forward, times.backward_input, times.backward_weight, times.backward];
        for (time, flops) in all.into_iter().zip([1.0, 1.0, 1.0, 2.0].map(|n| n * times.flops)) {
            let flops = flops / time.as_secs_f64();
            print!("{:9.2}{:8.0}{:7.1} %", time.as_secs_f64() * 1e3, flops / 1e9, flops / peak * 100.0);
        }
        println!();
    }
}
