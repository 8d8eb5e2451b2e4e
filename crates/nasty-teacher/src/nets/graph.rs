//! A network's graph, recorded by its own forward function: for summaries and exports.

use nasty_kernels::{Activation, Curve, MaxWindow};

/// One operation; tensors are given by their number in the state dictionary.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    /// Convolution with the same geometry in both directions.
    Conv {
        /// Number of the weight `[out, in / groups, side, side]`; `[out, in]` where a linear layer sees every pixel.
        weight: usize,
        /// Number of the bias `[out]`.
        bias: Option<usize>,
        /// Kernel side.
        side: usize,
        /// Distance of two windows.
        stride: usize,
        /// Zeros on every side.
        padding: usize,
        /// Groups of channels that do not see each other.
        groups: usize,
    },
    /// Batch-norm with the running statistics.
    BatchNorm {
        /// Number of the weight; bias, running mean and running variance are the next three.
        weight: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// Layer normalisation over the channels of every pixel.
    LayerNorm {
        /// Number of the weight; the bias is the next.
        weight: usize,
        /// Added to the variance.
        epsilon: f64,
    },
    /// Every channel times its element of a tensor.
    Scale {
        /// Number of the tensor, of as many elements as there are channels.
        weight: usize,
    },
    /// `x Wᵀ + b`.
    Linear {
        /// Number of the weight `[out, in]`; the bias is the next.
        weight: usize,
    },
    /// ReLU or ReLU6.
    Activate(Activation),
    /// Another activation.
    Curve(Curve),
    /// Sum of two inputs.
    Add,
    /// The first input, every channel times that of the second, which has one pixel.
    Gate,
    /// Channels of the second input behind those of the first.
    Concat,
    /// Some neighbouring channels.
    Channels {
        /// The first of them.
        start: usize,
        /// How many.
        length: usize,
    },
    /// Channels numbered `[groups, c / groups]` in the order `[c / groups, groups]`.
    ShuffleChannels {
        /// Number of groups; it divides the channels.
        groups: usize,
    },
    /// Channels of zeros on both sides of the input's.
    PadChannels {
        /// How many on each side.
        zeros: usize,
    },
    /// Maximum over windows.
    MaxPool(MaxWindow),
    /// Mean over windows; windows of one pixel subsample.
    AvgPool {
        /// Side of the window.
        size: usize,
        /// Distance of two windows.
        stride: usize,
    },
    /// Means over `size` × `size` parts of the image, which may overlap: along each direction part `i` of a side `s` goes
    /// from `⌊i s / size⌋` to `⌈(i + 1) s / size⌉` (PyTorch's adaptive average pool).
    AdaptivePool {
        /// Side of the output.
        size: usize,
    },
    /// Mean over the image.
    GlobalPool,
    /// All elements as one vector in the order channel, row, column.
    Flatten,
}

/// An operation at its place in the graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// What is done.
    pub op: Op,
    /// Numbers of the values that it takes: 0 is the network's input, `n + 1` what node `n` gives.
    pub inputs: Vec<usize>,
    /// Shape of what it gives: `[height, width, channels]`; vectors have height and width 1.
    pub shape: [usize; 3],
}

/// Nodes in the order of computation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Graph {
    input: [usize; 3],
    nodes: Vec<Node>,
    logits: usize,
}

/// A row of a network's summary: a layer with weights.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LayerSummary {
    /// Name of the layer, as in the state dictionary.
    pub name: String,
    /// `convolution`, `batch-norm`, `layer-norm`, `scale` or `linear`.
    pub kind: &'static str,
    /// Height, width and channels of what it gives.
    pub output: [usize; 3],
    /// Trainable parameters.
    pub parameters: usize,
    /// Multiply-accumulates for one image; 0 but for convolutions and linear layers.
    pub macs: u64,
}

impl Graph {
    pub(crate) fn new(input: [usize; 3]) -> Self {
        Self { input, nodes: Vec::new(), logits: 0 }
    }

    pub(crate) fn push(&mut self, op: Op, inputs: Vec<usize>, shape: [usize; 3]) -> usize {
        self.nodes.push(Node { op, inputs, shape });
        self.nodes.len()
    }

    pub(crate) fn end(&mut self, logits: usize) {
        self.logits = logits;
    }

    /// Shape `[height, width, channels]` of value `id`.
    pub fn shape(&self, id: usize) -> [usize; 3] {
        if id == 0 { self.input } else { self.nodes[id - 1].shape }
    }

    /// The nodes in the order of computation; node `n` gives value `n + 1`.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Number of the value that is the logits.
    pub fn logits(&self) -> usize {
        self.logits
    }

    /// Shapes `[height, width, channels]` of the maps that stages end in, in the order of computation. A stage ends where the side
    /// becomes smaller: it is the last value of its side that something with a smaller side is made of. The input is none.
    pub fn stages(&self) -> Vec<[usize; 3]> {
        let mut stages: Vec<[usize; 3]> = Vec::new();
        for node in self.nodes.iter().filter(|node| node.inputs[0] != 0) {
            let from = self.shape(node.inputs[0]);
            if node.shape[0] < from[0] {
                stages.retain(|known| known[0] != from[0]);
                stages.push(from);
            }
        }
        stages
    }

    /// Multiply-accumulates of a node for one image (convolutions and linear layers; the rest is left out, as is usual).
    pub(crate) fn macs(&self, node: &Node) -> u64 {
        let [h, w, c] = node.shape;
        let inputs = self.shape(node.inputs[0])[2];
        match node.op {
            Op::Conv { side, groups, .. } => (h * w * c) as u64 * (inputs / groups * side * side) as u64,
            Op::Linear { .. } => (inputs * c) as u64,
            _ => 0,
        }
    }
}
