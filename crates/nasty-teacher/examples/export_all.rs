//! Exports one network of every architecture, with what it says about some images, for other programs to check:
//! `cargo run --release -p nasty-teacher --example export_all -- DIR [NAME…]`, then `python tools/verify_weights.py DIR`.

use burn::tensor::{Tensor, TensorData};
use nasty_teacher::device::device;
use nasty_teacher::nets::{Architecture, Input, Mode, NamedTensor, Network, NetworkConfig, export};
use nasty_teacher::random::{Purpose, Stream};
use safetensors::tensor::{Dtype, TensorView};
use std::error::Error;
use std::path::Path;

const CLASSES: usize = 10;
const BATCH: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("give a folder to write to")?;
    let mut architectures = arguments.map(|name| name.parse()).collect::<Result<Vec<Architecture>, _>>()?;
    if architectures.is_empty() {
        architectures = Architecture::all().collect();
    }
    for architecture in architectures {
        write(
            architecture,
            Input { channels: 3, side: 32 },
            &Path::new(&folder).join(architecture.to_string()),
        )?;
    }
    Ok(())
}

fn write(architecture: Architecture, input: Input, folder: &Path) -> Result<(), Box<dyn Error>> {
    let device = device("flex")?;
    let Input { channels, side } = input;
    let mut stream = Stream::new(7, Purpose::Noise, 0, 0);
    let mut draw = |count: usize| (0..count).map(|_| stream.normal()).collect::<Vec<f32>>();
    let network = architecture.build(CLASSES, input, 1, &device)?;
    // Batch-norms as after training: nothing at its initial value, so that nothing can be left out unnoticed.
    let settle = |mut tensor: NamedTensor| {
        let noise = draw(tensor.data.len());
        let vector = tensor.shape.len() == 1;
        for (value, noise) in tensor.data.iter_mut().zip(noise) {
            match tensor.name.rsplit('.').next() {
                Some("running_var") => *value = (0.3 * noise).exp(),
                Some(_) if vector => *value += 0.1 * noise,
                _ => {}
            }
        }
        tensor
    };
    let state: Vec<NamedTensor> = network.state_dict().into_iter().map(settle).collect();
    let network: Network = network.load_state_dict(&state)?;
    let pixels = draw(BATCH * channels * side * side);
    let images =
        Tensor::<4>::from_data(TensorData::new(pixels.clone(), [BATCH, channels, side, side]), &device);
    let logits = network.forward(images.permute([0, 2, 3, 1]), Mode::Eval).into_data().try_to_vec::<f32>()?;

    std::fs::create_dir_all(folder)?;
    let labels = (0..CLASSES).map(|c| c.to_string()).collect();
    let config = NetworkConfig::new(&network, vec![0.5; channels], vec![0.25; channels], labels);
    export(&folder.join("model.safetensors"), &network, &config)?;
    export(&folder.join("model.onnx"), &network, &config)?;
    let bytes = |values: &[f32]| values.iter().flat_map(|v| v.to_le_bytes()).collect::<Vec<u8>>();
    let (pixels, logits) = (bytes(&pixels), bytes(&logits));
    let tensors = [
        ("input", TensorView::new(Dtype::F32, vec![BATCH, channels, side, side], &pixels)?),
        ("logits", TensorView::new(Dtype::F32, vec![BATCH, CLASSES], &logits)?),
    ];
    std::fs::write(folder.join("expected.safetensors"), safetensors::serialize(tensors, None)?)?;
    Ok(())
}
