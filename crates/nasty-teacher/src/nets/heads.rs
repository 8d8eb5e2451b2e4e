//! Heads beside a network's own: classifiers that a training adds to it. They are no part of the trained network.

use std::rc::Rc;
use std::sync::Arc;

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};

use super::layers::{
    BatchNorm, Builder, Conv, ConvBn, Dropping, Kernel, Linear, Maps, Pass, TensorEntry, bilinear,
};
use super::state_dict;
use super::{Mode, NamedTensor, NetError, Network, Precision};

/// Stages that have an exit.
const EXITS: usize = 3;
/// Quarters that an image can be turned by.
const TURNS: usize = 4;

/// Three exits of a network, after stages 1, 2 and 3: those of self-distillation (Zhang et al., *Be Your Own Teacher*, ICCV 2019),
/// which the Skeptical Student has. An exit weighs its stage's maps by attention and halves them 3, 2 or 1 times by separable
/// convolutions that double the channels; the mean over the map goes through a linear layer of its own.
///
/// Of a network with more than four stages, the last four count; its own head comes after the last.
#[derive(Module, Debug)]
pub struct Exits {
    exits: Vec<Exit>,
    #[module(skip)]
    sides: [usize; EXITS],
    #[module(skip)]
    tensors: Arc<Vec<TensorEntry>>,
}

#[derive(Module, Debug)]
struct Exit {
    attention: Separable,
    attention_norm: BatchNorm,
    convs: Vec<Separable>,
    linear: Linear,
}

/// Two depthwise-separable convolutions, the first with stride 2.
#[derive(Module, Debug)]
struct Separable {
    depth1: Conv,
    point1: ConvBn,
    depth2: Conv,
    point2: ConvBn,
}

/// Tells by how many quarters images were turned, from what the network's last layer sees (Zhai et al., S4L, ICCV 2019).
#[derive(Module, Debug)]
pub struct Turns {
    linear: Linear,
    #[module(skip)]
    tensors: Arc<Vec<TensorEntry>>,
}

/// What holds for a head in training.
fn training_pass() -> Rc<Pass> {
    let (mode, precision) = (Mode::Train, Precision::F32);
    Rc::new(Pass { mode, precision, statistics: None, stages: None, dropping: None, frozen: 0 })
}

impl Separable {
    fn new(b: &Builder, input: usize, output: usize) -> Self {
        let depth =
            |name, stride| Conv::new(b, name, Kernel::new(3, input, input).stride(stride).groups(input));
        let point = |name, norm, output| ConvBn::new(b, name, norm, Kernel::new(1, input, output));
        Self {
            depth1: depth("depth1", 2),
            point1: point("point1", "norm1", input),
            depth2: depth("depth2", 1),
            point2: point("point2", "norm2", output),
        }
    }

    fn forward(&self, x: Maps) -> Maps {
        let x = self.point1.relu(self.depth1.forward(x));
        self.point2.relu(self.depth2.forward(x))
    }
}

impl Exit {
    fn new(b: &Builder, channels: usize, halvings: usize, classes: usize) -> Self {
        Self {
            attention: Separable::new(&b.at("attention"), channels, channels),
            attention_norm: BatchNorm::new(b, "attention_norm", channels),
            convs: (0..halvings)
                .map(|i| Separable::new(&b.at(format_args!("convs.{i}")), channels << i, channels << (i + 1)))
                .collect(),
            linear: Linear::new(b, "linear", channels << halvings, classes),
        }
    }

    /// Logits `[batch, classes]` of maps `[batch, side, side, channels]`.
    fn forward(&self, maps: Tensor<4>, pass: &Rc<Pass>) -> Tensor<2> {
        let side = maps.dims()[1];
        let attention =
            self.attention_norm.relu(self.attention.forward(Maps::new(maps.clone(), pass.clone())));
        let attention = activation::sigmoid(bilinear(attention.into_tensor(), side));
        let x = Maps::new(maps * attention, pass.clone());
        let x = self.convs.iter().fold(x, |x, conv| conv.forward(x));
        self.linear.forward(x.global_pool()).into_vectors()
    }
}

impl Network {
    /// Shapes `[height, width, channels]` of the maps after stages 1, 2 and 3.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] if its maps become smaller fewer than three times.
    pub fn exit_stages(&self) -> Result<[[usize; 3]; EXITS], NetError> {
        let stages = self.graph().stages();
        let first = stages.len().saturating_sub(EXITS + 1);
        stages[first..].first_chunk().copied().ok_or_else(|| NetError::Unbuildable {
            architecture: "a student with exits".into(),
            allowed: format!("networks of {EXITS} stages or more"),
            found: format!("{}, which has {} for these images", self.architecture(), stages.len()),
        })
    }

    /// Exits for this network, with initial weights that `seed` alone decides.
    ///
    /// # Errors
    /// As [`Self::exit_stages`].
    pub fn exits(&self, seed: u64, device: &Device) -> Result<Exits, NetError> {
        let stages = self.exit_stages()?;
        let b = Builder::of_heads(seed, device);
        let exit = |(i, [.., channels]): (usize, &[usize; 3])| {
            Exit::new(&b.at(format_args!("exits.{i}")), *channels, EXITS - i, self.classes())
        };
        let exits = stages.iter().enumerate().map(exit).collect();
        Ok(Exits { exits, sides: stages.map(|[side, ..]| side), tensors: Arc::new(b.entries()) })
    }

    /// A head for this network that tells how images were turned, with initial weights that `seed` alone decides.
    pub fn turns(&self, seed: u64, device: &Device) -> Turns {
        let graph = self.graph();
        let last = &graph.nodes()[graph.logits() - 1];
        let [.., features] = graph.shape(last.inputs[0]);
        let b = Builder::of_heads(seed, device);
        let linear = Linear::new(&b, "turns", features, TURNS);
        Turns { linear, tensors: Arc::new(b.entries()) }
    }
}

impl Exits {
    /// In training, with dropout as `dropping` decides: `network`'s own logits, and those of the exits after stages 1, 2 and 3, of
    /// normalised images `[batch, side, side, channels]`; all `[batch, classes]`.
    pub fn forward(
        &self,
        network: &Network,
        images: Tensor<4>,
        dropping: Dropping,
    ) -> (Tensor<2>, [Tensor<2>; EXITS]) {
        let (logits, stages) = network.with_stages(images, dropping, self.sides);
        let pass = training_pass();
        let mut exits = self.exits.iter();
        let exits = stages.map(|maps| exits.next().expect("an exit for each stage").forward(maps, &pass));
        (logits, exits)
    }

    /// All tensors, running statistics included.
    pub fn state_dict(&self) -> Vec<NamedTensor> {
        state_dict::read(self, &self.tensors)
    }

    /// The exits with the values of `tensors`.
    ///
    /// # Errors
    /// [`NetError::State`] unless names and shapes match one to one; [`NetError::NotFinite`] for a value that is not.
    pub fn load_state_dict(self, tensors: &[NamedTensor]) -> Result<Self, NetError> {
        let entries = self.tensors.clone();
        state_dict::write(self, "a student's exits", &entries, tensors)
    }
}

impl Turns {
    /// In training, with dropout as `dropping` decides: logits `[images, 4]` of normalised images
    /// `[images, side, side, channels]`.
    pub fn forward(&self, network: &Network, images: Tensor<4>, dropping: Dropping) -> Tensor<2> {
        let features = network.outputs_dropping(images, dropping).features;
        let [n, c] = features.dims();
        self.linear.forward(Maps::new(features.reshape([n, 1, 1, c]), training_pass())).into_vectors()
    }

    /// All tensors.
    pub fn state_dict(&self) -> Vec<NamedTensor> {
        state_dict::read(self, &self.tensors)
    }

    /// The head with the values of `tensors`.
    ///
    /// # Errors
    /// [`NetError::State`] unless names and shapes match one to one; [`NetError::NotFinite`] for a value that is not.
    pub fn load_state_dict(self, tensors: &[NamedTensor]) -> Result<Self, NetError> {
        let entries = self.tensors.clone();
        state_dict::write(self, "a head for turned images", &entries, tensors)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::{Architecture, Input};
    use burn::tensor::TensorData;

    fn network(name: &str, side: usize, device: &Device) -> Network {
        let architecture: Architecture = name.parse().expect("a name");
        architecture.build(5, Input { channels: 3, side }, 1, device).expect("built")
    }

    fn images(side: usize, device: &Device) -> Tensor<4> {
        let pixels = (0..2 * side * side * 3).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect();
        Tensor::from_data(TensorData::new(pixels, [2, side, side, 3]), device)
    }

    #[test]
    fn stages_end_where_the_side_becomes_smaller() {
        let stages = |name, side| network(name, side, &Device::flex()).exit_stages();
        assert_eq!(stages("resnet18", 32).expect("four"), [[32, 32, 64], [16, 16, 128], [8, 8, 256]]);
        assert_eq!(stages("preresnet20", 32).expect("three"), [[32, 32, 16], [16, 16, 32], [8, 8, 64]]);
        assert_eq!(stages("cnn16", 28).expect("four"), [[28, 28, 16], [14, 14, 32], [7, 7, 64]]);
        assert_eq!(stages("tv-resnet18", 64).expect("five"), [[16, 16, 64], [8, 8, 128], [4, 4, 256]]);
        let error = stages("mlp", 32).expect_err("no maps").to_string();
        assert_eq!(
            error,
            "a student with exits takes networks of 3 stages or more, found mlp, which has 0 for these images"
        );
    }

    #[test]
    fn exits_leave_a_networks_own_logits_as_they_are_and_every_part_learns() {
        let device = Device::flex().autodiff();
        let dropping = Dropping::new(0, 0);
        let names = ["cnn2", "preresnet20", "resnet20", "kd-resnet8x4", "kd-vgg8", "wrn-16-1", "mobilenetv2"];
        let others = ["shufflenetv2", "tv-mobilenet_v3_small"];
        for name in names.into_iter().chain(others) {
            let side = if name.starts_with("tv-") { 64 } else { 32 };
            let net = network(name, side, &device);
            let exits = net.exits(2, &device).expect("enough stages");
            let (logits, [first, second, third]) = exits.forward(&net, images(side, &device), dropping);
            let alone = network(name, side, &device).forward_dropping(images(side, &device), dropping);
            let same = (logits.clone() - alone).abs().max().into_scalar::<f32>();
            assert!(same < 1e-4, "{name}: {same}");
            assert!([&first, &second, &third].iter().all(|exit| exit.dims() == [2, 5]), "{name}");
            // The deepest exit's gradient reaches the first weights of the network.
            let loss = third.powi_scalar(2).sum() + first.sum() + second.sum();
            let mut gradients = loss.backward();
            let of_exits = burn::optim::GradientsParams::from_module(&mut gradients, &exits);
            let trainable = exits.tensors.iter().filter(|tensor| tensor.trainable).count();
            assert_eq!(of_exits.len(), trainable, "{name}");
            let of_network = burn::optim::GradientsParams::from_module(&mut gradients, &net);
            let first = of_network.get::<4>(burn::module::ParamId::from(0)).expect("a convolution");
            assert!(first.abs().max().into_scalar::<f32>() > 0.0, "{name}");
        }
    }

    #[test]
    fn heads_come_back_from_their_tensors_and_depend_on_the_seed() {
        let device = Device::flex();
        let net = network("cnn2", 32, &device);
        let exits = net.exits(3, &device).expect("enough stages");
        exits.forward(&net, images(32, &device), Dropping::new(0, 0));
        let state = exits.state_dict();
        assert!(state.iter().any(|t| t.name.ends_with("running_mean") && t.data.iter().any(|v| *v != 0.0)));
        let other = net.exits(4, &device).expect("enough stages");
        assert_ne!(other.state_dict(), state);
        assert_eq!(other.load_state_dict(&state).expect("its shapes").state_dict(), state);

        let turns = net.turns(3, &device);
        assert_eq!(turns.forward(&net, images(32, &device), Dropping::new(0, 0)).dims(), [2, 4]);
        let state = turns.state_dict();
        assert_eq!(net.turns(4, &device).load_state_dict(&state).expect("its shapes").state_dict(), state);
        assert!(turns.load_state_dict(&state[1..]).is_err());
    }
}
