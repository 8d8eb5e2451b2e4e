//! Networks prepared for answering: made once from the weights, then asked many times.
//!
//! The graph that a network's own forward function writes down becomes a plan for the kernels. Batch-norm becomes part of the
//! weights before it, activations and sums become part of the operations before them, and no tensor framework runs between
//! the kernels. Answers are those of evaluation mode up to rounding.

use burn::tensor::{Device, Tensor, TensorData};
use nasty_kernels::infer::{Builder, ConvParts, Plan, ValueId};
use nasty_kernels::{Activation, ConvOptions};

use super::{Graph, Input, Mode, NamedTensor, Network, Node, Op, Precision};

/// A network that only answers, on the CPU. It can be asked by several threads at once.
///
/// An image's answer depends neither on the images that are asked with it nor on the number of threads.
#[derive(Debug)]
pub struct Prepared {
    plan: Plan,
    input: Input,
    classes: usize,
}

impl Network {
    /// The network prepared for answering with its present weights, in its precision.
    pub fn prepare(&self) -> Prepared {
        let Input { channels, side } = self.input();
        let graph = self.graph();
        let tensors = self.state_dict();
        let builder = Builder::new([side, side, channels]);
        let plan = Translation::new(&graph, tensors, self.precision(), builder).plan();
        Prepared { plan, input: self.input(), classes: self.classes() }
    }
}

impl Prepared {
    /// Logits `[n, classes]`, row-major, of normalised images `[n, side, side, channels]`, on the threads of the current pool.
    ///
    /// # Panics
    /// If the pixels are not those of whole images.
    pub fn logits(&self, images: &[f32]) -> Vec<f32> {
        self.plan.run(images)
    }

    /// What every operation is and how many seconds it takes for the images on one thread: where the time goes.
    ///
    /// # Panics
    /// If the pixels are not those of whole images.
    pub fn profile(&self, images: &[f32]) -> Vec<(&'static str, f64)> {
        self.plan.profile(images)
    }

    /// The shape of the images.
    pub fn input(&self) -> Input {
        self.input
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.classes
    }
}

/// A network that answers on its device: prepared on the CPU, elsewhere by the operations that train it.
#[derive(Debug)]
pub enum Answering {
    /// On the CPU.
    Prepared(Box<Prepared>),
    /// On another device.
    Network {
        /// Without autodiff.
        network: Box<Network>,
        /// Where it is.
        device: Device,
    },
}

impl Answering {
    /// `network` on `device`, without autodiff, with its present weights.
    pub fn new(network: &Network, device: &Device) -> Self {
        if *device == Device::flex() {
            return Self::Prepared(Box::new(network.prepare()));
        }
        Self::Network { network: Box::new(network.clone()), device: device.clone() }
    }

    /// Whether it is prepared: an image's logits then depend on the image alone, not on the batch.
    pub fn is_prepared(&self) -> bool {
        matches!(self, Self::Prepared(_))
    }

    /// Logits `[n, classes]`, row-major, of normalised images `[n, side, side, channels]`.
    ///
    /// # Panics
    /// If the pixels are not those of whole images.
    pub fn logits(&self, images: Vec<f32>) -> Vec<f32> {
        match self {
            Self::Prepared(network) => network.logits(&images),
            Self::Network { network, device } => {
                let Input { channels, side } = network.input();
                let shape = [images.len() / (side * side * channels), side, side, channels];
                let images = Tensor::from_data(TensorData::new(images, shape), device);
                let logits = network.forward(images, Mode::Eval).into_data().convert::<f32>();
                logits.try_into_vec().expect("converted to f32 just before")
            }
        }
    }
}

/// A graph on its way to a plan.
struct Translation<'a> {
    graph: &'a Graph,
    /// Weights are taken out as they are packed.
    tensors: Vec<NamedTensor>,
    precision: Precision,
    builder: Builder,
    /// The plan's values of the graph's, as far as they are computed.
    values: Vec<Option<ValueId>>,
    /// Nodes that became part of one before them.
    fused: Vec<bool>,
    /// For every value the nodes that read it.
    readers: Vec<Vec<usize>>,
}

/// A linear map with its bias; batch-norms that follow can become part of it.
struct Folded {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Folded {
    /// `scale (W x + b) + shift`.
    fn fold(&mut self, scale: &[f64], shift: &[f64]) {
        let row = self.weight.len() / self.bias.len();
        for (weight, scale) in self.weight.chunks_exact_mut(row).zip(scale) {
            let scale = *scale as f32;
            weight.iter_mut().for_each(|w| *w *= scale);
        }
        for ((bias, scale), shift) in self.bias.iter_mut().zip(scale).zip(shift) {
            *bias = (f64::from(*bias) * scale + shift) as f32;
        }
    }
}

impl<'a> Translation<'a> {
    fn new(graph: &'a Graph, tensors: Vec<NamedTensor>, precision: Precision, builder: Builder) -> Self {
        let nodes = graph.nodes();
        let mut values = vec![None; nodes.len() + 1];
        values[0] = Some(ValueId::INPUT);
        let mut readers = vec![Vec::new(); nodes.len() + 1];
        for (i, node) in nodes.iter().enumerate() {
            node.inputs.iter().for_each(|&value| readers[value].push(i));
        }
        Self { graph, tensors, precision, builder, values, fused: vec![false; nodes.len()], readers }
    }

    fn plan(mut self) -> Plan {
        for i in 0..self.graph.nodes().len() {
            if !self.fused[i] {
                self.node(i);
            }
        }
        let logits = self.value(self.graph.logits());
        self.builder.finish(logits)
    }

    /// Adds node `i`, and what follows it that can be computed with it.
    fn node(&mut self, i: usize) {
        let node = &self.graph.nodes()[i];
        let x = self.value(node.inputs[0]);
        let y = match node.op {
            Op::Conv { .. } | Op::Linear { .. } => return self.linear_map(i),
            Op::BatchNorm { weight, epsilon } => {
                let (scale, shift) = self.scale_and_shift(weight, epsilon);
                let [scale, shift] = [scale, shift].map(|v| v.iter().map(|v| *v as f32).collect());
                let (activation, end) = self.activation_after(i);
                let y = self.builder.affine(x, scale, shift, activation);
                return self.set(end, y);
            }
            Op::Add => {
                let other = self.value(node.inputs[1]);
                let (activation, end) = self.activation_after(i);
                let y = self.builder.add(x, other, activation);
                return self.set(end, y);
            }
            Op::MaxPool(window) => {
                let (activation, end) = self.activation_after(i);
                let disjoint = window.padding == 0 && window.stride == window.size;
                let y = match disjoint {
                    true => self.builder.max_pool(x, window.size, activation),
                    false => self.builder.max_windows(x, window, activation),
                };
                return self.set(end, y);
            }
            Op::Concat => return self.concat(i),
            Op::Activate(activation) => self.builder.activate(x, activation),
            Op::Channels { start, length } => self.builder.channels(x, start, length),
            Op::ShuffleChannels { groups } => self.builder.shuffle_channels(x, groups),
            Op::PadChannels { zeros } => self.builder.pad_channels(x, zeros),
            Op::AvgPool { size, stride } => self.builder.average_pool(x, size, stride),
            Op::GlobalPool => self.builder.global_pool(x),
            Op::Flatten => self.builder.flatten(x),
            Op::AdaptivePool { size } => self.builder.adaptive_pool(x, size),
            Op::Curve(curve) => self.builder.curve(x, curve),
            Op::Gate => {
                let factors = self.value(node.inputs[1]);
                self.builder.gate(x, factors)
            }
            Op::Scale { weight } => {
                let scale = std::mem::take(&mut self.tensors[weight].data);
                let shift = vec![0.0; scale.len()];
                self.builder.affine(x, scale, shift, Activation::None)
            }
            Op::LayerNorm { weight, epsilon } => {
                let [gamma, beta] = [weight, weight + 1].map(|i| std::mem::take(&mut self.tensors[i].data));
                self.builder.layer_norm(x, gamma, beta, epsilon)
            }
        };
        self.set(i, y);
    }

    /// A convolution or linear layer, with the batch-norm, the sum and the activation that follow it.
    fn linear_map(&mut self, i: usize) {
        let node = &self.graph.nodes()[i];
        let (weight, bias) = match node.op {
            Op::Conv { weight, bias, .. } => (weight, bias),
            Op::Linear { weight } => (weight, Some(weight + 1)),
            _ => unreachable!("not a linear map"),
        };
        let outputs = node.shape[2];
        let mut folded = Folded {
            weight: std::mem::take(&mut self.tensors[weight].data),
            bias: bias.map_or(vec![0.0; outputs], |bias| std::mem::take(&mut self.tensors[bias].data)),
        };
        let mut end = i;
        while let Some((next, Op::BatchNorm { weight, epsilon })) = self.only_reader(end) {
            let (scale, shift) = self.scale_and_shift(*weight, *epsilon);
            folded.fold(&scale, &shift);
            end = self.fuse(next);
        }
        let mut residual = None;
        if let (Op::Conv { .. }, Some((next, Op::Add))) = (&node.op, self.only_reader(end)) {
            let inputs = &self.graph.nodes()[next].inputs;
            let other = if inputs[0] == end + 1 { inputs[1] } else { inputs[0] };
            // If it is not there yet, the sum is left to the branch that ends last.
            if let Some(value) = self.values[other] {
                residual = Some(value);
                end = self.fuse(next);
            }
        }
        let (activation, end) = self.activation_after(end);
        let x = self.value(node.inputs[0]);
        let Folded { weight, bias } = folded;
        let y = match node.op {
            Op::Conv { side, stride, padding, groups, .. } => {
                let options = ConvOptions { stride, padding, groups, precision: self.precision };
                let parts = ConvParts { weight: &weight, bias: &bias, side, options };
                self.builder.convolution(x, parts, residual, activation)
            }
            _ => self.builder.linear(x, &weight, &bias, activation),
        };
        self.set(end, y);
    }

    /// Two maps side by side; shuffled in two groups and split in halves, as ShuffleNet does, they are computed at once.
    fn concat(&mut self, i: usize) {
        let Node { inputs, .. } = &self.graph.nodes()[i];
        let [a, b] = [inputs[0], inputs[1]].map(|value| self.value(value));
        let same = self.builder.shape(a) == self.builder.shape(b);
        let (shuffle, half) = match self.only_reader(i) {
            Some((shuffle, Op::ShuffleChannels { groups: 2 })) if same => {
                (shuffle, self.graph.nodes()[shuffle].shape[2] / 2)
            }
            _ => {
                let y = self.builder.concat(a, b);
                return self.set(i, y);
            }
        };
        self.fuse(shuffle);
        let part = |reader: usize, start: usize| {
            self.graph.nodes()[reader].op == Op::Channels { start, length: half }
        };
        match self.readers[shuffle + 1][..] {
            [first, second] if half % 2 == 0 && part(first, 0) && part(second, half) => {
                let halves = self.builder.interleave_halves(a, b);
                for (reader, half) in [first, second].into_iter().zip(halves) {
                    self.fuse(reader);
                    self.set(reader, half);
                }
            }
            _ => {
                let y = self.builder.interleave(a, b);
                self.set(shuffle, y);
            }
        }
    }

    /// The plan's value of the graph's.
    fn value(&self, value: usize) -> ValueId {
        self.values[value].expect("nodes are in the order of computation")
    }

    /// Node `i` gives `y`.
    fn set(&mut self, i: usize, y: ValueId) {
        self.values[i + 1] = Some(y);
    }

    /// Marks node `i` as computed with the one before it.
    fn fuse(&mut self, i: usize) -> usize {
        self.fused[i] = true;
        i
    }

    /// The node that alone reads what node `i` gives.
    fn only_reader(&self, i: usize) -> Option<(usize, &'a Op)> {
        match self.readers[i + 1][..] {
            [next] if self.graph.logits() != i + 1 => Some((next, &self.graph.nodes()[next].op)),
            _ => None,
        }
    }

    /// The activation that alone reads what node `i` gives; and the last node then.
    fn activation_after(&mut self, i: usize) -> (Activation, usize) {
        match self.only_reader(i) {
            Some((next, Op::Activate(activation))) => (*activation, self.fuse(next)),
            _ => (Activation::None, i),
        }
    }

    /// What batch-norm with running statistics comes to; `weight` is the number of its weight.
    fn scale_and_shift(&self, weight: usize, epsilon: f64) -> (Vec<f64>, Vec<f64>) {
        let of = |i: usize| self.tensors[weight + i].data.iter().map(|v| f64::from(*v));
        let scale: Vec<f64> = of(0).zip(of(3)).map(|(gamma, var)| gamma / (var + epsilon).sqrt()).collect();
        let shift = of(1).zip(of(2)).zip(&scale).map(|((beta, mean), scale)| beta - mean * scale).collect();
        (scale, shift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nets::Architecture;

    /// Values of some images.
    fn pixels(images: usize, side: usize) -> Vec<f32> {
        (0..images * side * side * 3).map(|i| (i * 7919 % 251) as f32 / 125.0 - 1.0).collect()
    }

    fn network(name: &str, side: usize, precision: Precision) -> Network {
        let architecture: Architecture = name.parse().expect("a name");
        let input = Input { channels: 3, side };
        architecture
            .build(10, input, 1, &Device::flex())
            .expect("a side that it takes")
            .with_precision(precision)
    }

    fn evaluated(network: &Network, pixels: &[f32]) -> Vec<f32> {
        let side = network.input().side;
        let shape = [pixels.len() / (3 * side * side), side, side, 3];
        let images = Tensor::<4>::from_data(TensorData::new(pixels.to_vec(), shape), &Device::flex());
        network.forward(images, Mode::Eval).into_data().try_into_vec().expect("f32")
    }

    fn largest(values: impl Iterator<Item = f32>) -> f32 {
        values.fold(0.0, |most, v| most.max(v.abs()))
    }

    fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
        assert_eq!(a.len(), b.len());
        largest(a.iter().zip(b).map(|(a, b)| a - b))
    }

    /// One member of each family, at a side that leaves odd maps.
    const NETWORKS: [(&str, usize); 20] = [
        ("cnn16", 28),
        ("mlp", 8),
        ("preresnet20", 20),
        ("resnet20", 20),
        ("wrn-16-4", 18),
        ("resnet18", 18),
        ("resnet50", 10),
        ("shufflenetv2", 18),
        ("mobilenetv2", 18),
        ("densenet121", 16),
        ("tv-resnet18", 40),
        ("tv-resnext50_32x4d", 33),
        ("tv-mobilenet_v2", 40),
        ("tv-mobilenet_v3_small", 40),
        ("tv-shufflenet_v2_x1_0", 40),
        ("tv-densenet121", 40),
        ("tv-efficientnet_b0", 40),
        ("tv-vgg16_bn", 48),
        ("tv-convnext_tiny", 40),
        ("kd-resnet8x4", 16),
    ];

    #[test]
    fn answers_are_those_of_evaluation_mode() {
        for (name, side) in NETWORKS {
            let network = network(name, side, Precision::F32);
            let pixels = pixels(3, side);
            let (found, expected) = (network.prepare().logits(&pixels), evaluated(&network, &pixels));
            let error = largest_difference(&found, &expected) / largest(expected.iter().copied());
            assert!(error <= 1e-5, "{name}: {error:.1e} of the largest logit");
        }
    }

    #[test]
    fn bfloat16_is_as_near_to_f32_as_in_evaluation_mode() {
        for (name, side) in [("resnet18", 18), ("mobilenetv2", 18), ("preresnet20", 20)] {
            let exact = network(name, side, Precision::F32);
            let rounded = network(name, side, Precision::Bf16);
            let pixels = pixels(4, side);
            let expected = evaluated(&exact, &pixels);
            let usual = largest_difference(&evaluated(&rounded, &pixels), &expected);
            let found = largest_difference(&rounded.prepare().logits(&pixels), &expected);
            assert!(found > 0.0 && found <= 2.0 * usual, "{name}: {found:.1e}, usually {usual:.1e}");
        }
    }

    #[test]
    fn an_image_is_answered_alike_alone_and_among_others() {
        let network = network("shufflenetv2", 16, Precision::F32).prepare();
        let pixels = pixels(9, 16);
        let all = network.logits(&pixels);
        for (image, expected) in pixels.chunks_exact(16 * 16 * 3).zip(all.chunks_exact(10)) {
            assert_eq!(network.logits(image), expected);
        }
    }
}
