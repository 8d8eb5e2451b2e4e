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
const BATCH: usize = 4;

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
    let pixels = draw(BATCH * channels * side * side);
    let images =
        Tensor::<4>::from_data(TensorData::new(pixels.clone(), [BATCH, channels, side, side]), &device);
    let images = images.permute([0, 2, 3, 1]);
    // As after training: batch-norms know what they see (else a deep network hardly sees its input), and nothing is at
    // its initial value, so that nothing can be left out unnoticed.
    let before = network.state_dict();
    network.forward(images.clone(), Mode::Train);
    let settle = |(before, mut tensor): (NamedTensor, NamedTensor)| {
        let noise = draw(tensor.data.len());
        let vector = tensor.shape.len() == 1;
        let last = tensor.name.rsplit('.').next().unwrap_or_default().to_owned();
        for ((value, before), noise) in tensor.data.iter_mut().zip(before.data).zip(noise) {
            // One training pass moved the statistic by a tenth of the way.
            let seen = before + 10.0 * (*value - before);
            *value = match last.as_str() {
                "running_var" => seen.max(1e-3) * (0.1 * noise).exp(),
                "running_mean" => seen + 0.05 * noise,
                _ if vector => *value + 0.1 * noise,
                _ => *value,
            };
        }
        tensor
    };
    let state: Vec<NamedTensor> = before.into_iter().zip(network.state_dict()).map(settle).collect();
    let network: Network = network.load_state_dict(&state)?;
    let logits = network.forward(images, Mode::Eval).into_data().try_to_vec::<f32>()?;

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
