//! Writes an untrained network twice: as a folder that `nasty serve` and `nasty evaluate` take, and as ONNX.
//!
//!     cargo run --release --workspace --example untrained -- resnet18 32 10 network network.onnx
//!
//! (network, side of the images, classes, folder, ONNX file.) Benchmarks and checks need weights, but not good ones.

use std::error::Error;
use std::path::Path;

use nasty_teacher::export::export;
use nasty_teacher::nets::{Architecture, Input, NetworkConfig, save};

const CHANNELS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [network, side, classes, folder, onnx] = &args[..] else {
        return Err("wanted: network side classes folder onnx-file".into());
    };
    let architecture: Architecture = network.parse()?;
    let (side, classes) = (side.parse()?, classes.parse()?);
    let device = nasty_teacher::device::device("flex")?;
    let network = architecture.build(classes, Input { channels: CHANNELS, side }, 0, &device)?;
    let names = (0..classes).map(|class| class.to_string()).collect();
    let config = NetworkConfig::new(&network, vec![0.5; CHANNELS], vec![0.25; CHANNELS], names);
    save(Path::new(folder), &network, &config)?;
    export(Path::new(onnx), &network, &config)?;
    Ok(())
}
