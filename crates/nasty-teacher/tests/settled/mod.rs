//! Networks as after training, without training: batch-norms know what they see, and nothing is at its initial value,
//! so that a deep network's answer depends on the image and nothing can be left out of a file unnoticed.

use burn::tensor::{Device, Tensor, TensorData};
use nasty_teacher::nets::{Architecture, Input, Mode, NamedTensor, NetError, Network};
use nasty_teacher::random::{Purpose, Stream};

/// A network, images `[batch, channels, side, side]`, and the logits `[batch, classes]` that it gives them.
pub(crate) struct Settled {
    pub(crate) network: Network,
    pub(crate) images: Vec<f32>,
    pub(crate) logits: Vec<f32>,
}

pub(crate) fn settled(
    architecture: Architecture,
    classes: usize,
    input: Input,
    batch: usize,
    device: &Device,
) -> Result<Settled, NetError> {
    let mut stream = Stream::new(7, Purpose::Noise, 0, 0);
    let mut draw = |count: usize| (0..count).map(|_| stream.normal()).collect::<Vec<f32>>();
    let mut network = architecture.build(classes, input, 1, device)?;
    if architecture.usual_side() == 224 {
        // Their published initial weights let little of the image through a network that was not trained.
        let mut state = network.state_dict();
        for tensor in state.iter_mut().filter(|tensor| tensor.shape.len() > 1) {
            let fan_in: usize = tensor.shape[1..].iter().product();
            let deviation = (2.0 / fan_in as f32).sqrt();
            tensor.data = draw(tensor.data.len()).into_iter().map(|noise| deviation * noise).collect();
        }
        network = network.load_state_dict(&state)?;
    }
    let Input { channels, side } = input;
    let images = draw(batch * channels * side * side);
    let data = TensorData::new(images.clone(), [batch, channels, side, side]);
    let maps = Tensor::<4>::from_data(data, device).permute([0, 2, 3, 1]);
    let before = network.state_dict();
    network.forward(maps.clone(), Mode::Train);
    // One training pass moves a statistic by a tenth of the way, in torchvision's MobileNetV3 by a hundredth.
    let passes = if architecture.to_string().starts_with("tv-mobilenet_v3") { 100.0 } else { 10.0 };
    let settle = |(before, mut tensor): (NamedTensor, NamedTensor)| {
        let noise = draw(tensor.data.len());
        let vector = tensor.shape.len() == 1;
        let last = tensor.name.rsplit('.').next().unwrap_or_default().to_owned();
        for ((value, before), noise) in tensor.data.iter_mut().zip(before.data).zip(noise) {
            let seen = before + passes * (*value - before);
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
    let network = network.load_state_dict(&state)?;
    let logits = network.forward(maps, Mode::Eval).into_data().convert::<f32>();
    Ok(Settled { network, images, logits: logits.try_to_vec().expect("converted just before") })
}
