//! Exports one network of every architecture, with what it says about some images, for other programs to check:
//! `cargo run --release -p nasty-teacher --example export_all -- DIR [NAME…]`, then `python tools/verify_weights.py DIR`.

#[path = "../tests/settled/mod.rs"]
mod settled;

use nasty_teacher::device::device;
use nasty_teacher::export::export;
use nasty_teacher::nets::{Architecture, Input, NetworkConfig};
use safetensors::tensor::{Dtype, TensorView};
use settled::{Settled, settled};
use std::error::Error;
use std::path::Path;

const CLASSES: usize = 10;
const BATCH: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("give a folder to write to")?;
    let mut architectures = arguments.map(|name| name.parse()).collect::<Result<Vec<Architecture>, _>>()?;
    if architectures.is_empty() {
        architectures = Architecture::all().collect();
    }
    for architecture in architectures {
        // Small, also for networks that are made for 224 pixels; 72 is no multiple of 32.
        let side = if architecture.usual_side() == 32 { 32 } else { 72 };
        write(architecture, Input { channels: 3, side }, &Path::new(&folder).join(architecture.to_string()))?;
    }
    Ok(())
}

fn write(architecture: Architecture, input: Input, folder: &Path) -> Result<(), Box<dyn Error>> {
    let Settled { network, images, logits } = settled(architecture, CLASSES, input, BATCH, &device("flex")?)?;
    let Input { channels, side } = input;
    std::fs::create_dir_all(folder)?;
    let labels = (0..CLASSES).map(|c| c.to_string()).collect();
    let config = NetworkConfig::new(&network, vec![0.5; channels], vec![0.25; channels], labels);
    export(&folder.join("model.safetensors"), &network, &config)?;
    export(&folder.join("model.onnx"), &network, &config)?;
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (images, logits) = (bytes(&images), bytes(&logits));
    let tensors = [
        ("input", TensorView::new(Dtype::F32, vec![BATCH, channels, side, side], &images)?),
        ("logits", TensorView::new(Dtype::F32, vec![BATCH, CLASSES], &logits)?),
    ];
    std::fs::write(folder.join("expected.safetensors"), safetensors::serialize(tensors, None)?)?;
    Ok(())
}
