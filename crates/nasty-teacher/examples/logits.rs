//! What a network's folder says about images, for other programs to compare with:
//! `cargo run --release -p nasty-teacher --example logits -- FOLDER IMAGES.safetensors OUT.safetensors`, `input`
//! `[batch, channels, side, side]` in, `logits` `[batch, classes]` out.

use std::error::Error;

use burn::tensor::{Tensor, TensorData};
use nasty_teacher::device::device;
use nasty_teacher::nets::{Mode, load};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, images, out] = arguments.as_slice() else { return Err("give FOLDER IMAGES OUT".into()) };
    let flex = device("flex")?;
    let (network, _) = load(folder.as_ref(), &flex)?;
    let bytes = std::fs::read(images)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let view = file.tensor("input")?;
    let [batch, channels, height, width] = view.shape() else {
        return Err("`input` must be [batch, channels, height, width]".into());
    };
    let values: Vec<f32> = view.data().as_chunks().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    let data = TensorData::new(values, [*batch, *channels, *height, *width]);
    let maps = Tensor::<4>::from_data(data, &flex).permute([0, 2, 3, 1]);
    let logits = network.forward(maps, Mode::Eval);
    let [batch, classes] = logits.dims();
    let values: Vec<f32> = logits.into_data().convert::<f32>().try_to_vec()?;
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    let tensors = [("logits", TensorView::new(Dtype::F32, vec![batch, classes], &bytes)?)];
    std::fs::write(out, safetensors::serialize(tensors, None)?)?;
    Ok(())
}
