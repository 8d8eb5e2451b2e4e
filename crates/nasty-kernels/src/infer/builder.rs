//! Making a plan: weights are packed once, and neighbouring operations become one where that saves a pass over memory.

use super::convolution::{adds_residual, convolution};
use super::fusible::{Convolution, Weights};
use super::operation::{Operation, Step};
use super::plan::Plan;
use super::simple::{Simple, Work};
use crate::curve::Curve;
use crate::max_window::MaxWindow;
use crate::pool::Pool;
use crate::simd::Path;
use crate::{Activation, ConvOptions, Precision};

/// The number of a value of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ValueId(usize);

impl ValueId {
    /// The images.
    pub const INPUT: Self = Self(0);
}

/// A convolution, or a linear layer as one of a single pixel.
#[derive(Clone, Copy, Debug)]
pub struct ConvParts<'a> {
    /// `[out, in / groups, side, side]`.
    pub weight: &'a [f32],
    /// `[out]`.
    pub bias: &'a [f32],
    /// Side of the kernel.
    pub side: usize,
    /// Geometry, and the precision of the factors.
    pub options: ConvOptions,
}

/// Writes down the operations of a network, in the order of computation, and makes a [`Plan`] of them.
pub struct Builder {
    path: Path,
    /// `[h, w, c]` of every value.
    shapes: Vec<[usize; 3]>,
    drafts: Vec<Draft>,
}

struct Draft {
    work: Drafted,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
}

enum Drafted {
    Convolution(Convolution),
    /// `activation(scale x + shift)`, which a neighbour may take over.
    Affine {
        scale: Vec<f32>,
        shift: Vec<f32>,
        activation: Activation,
    },
    Simple(Simple),
    /// Taken over by a neighbour.
    Nothing,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("shapes", &self.shapes).finish_non_exhaustive()
    }
}

impl Builder {
    /// A network of images `[h, w, c]`.
    pub fn new(input: [usize; 3]) -> Self {
        Self::on(Path::chosen(), input)
    }

    /// On a given instruction set.
    pub(super) fn on(path: Path, input: [usize; 3]) -> Self {
        Self { path, shapes: vec![input], drafts: Vec::new() }
    }

    /// `[h, w, c]` of a value.
    pub fn shape(&self, value: ValueId) -> [usize; 3] {
        self.shapes[value.0]
    }

    /// `activation(conv(x) + bias + residual)`.
    ///
    /// # Panics
    /// If shapes do not fit together.
    pub fn convolution(
        &mut self,
        x: ValueId,
        parts: ConvParts<'_>,
        residual: Option<ValueId>,
        activation: Activation,
    ) -> ValueId {
        let [h, w, cin] = self.shape(x);
        let ConvParts { weight, bias, side, options } = parts;
        let per_group = cin / options.groups.max(1);
        let dims = [bias.len(), per_group, side, side];
        crate::check_conv([1, h, w, cin], dims, Some(bias.len()), options);
        assert_eq!(weight.len(), dims.iter().product::<usize>(), "the weight's elements for {dims:?}");
        let shape = crate::conv::ConvShape::new([1, h, w, cin], dims, options);
        let output = [shape.oh, shape.ow, shape.cout];
        let weights = Weights { weight, bias, precision: options.precision };
        if let Some(residual) = residual {
            assert_eq!(self.shape(residual), output, "the residual's shape");
        }
        if residual.is_none() || adds_residual(self.path, &shape, options.precision) {
            let convolution = convolution(self.path, shape, weights, residual.is_some(), activation);
            let inputs = [Some(x.0), residual.map(|r| r.0)];
            return self.push(Drafted::Convolution(convolution), inputs.into_iter().flatten(), [output])[0];
        }
        let y = self.convolution(x, parts, None, Activation::None);
        self.add(y, residual.expect("checked above"), activation)
    }

    /// `activation(x Wᵀ + bias)` of vectors; weight `[out, in]`. All elements of x, in their order, are the vector.
    ///
    /// # Panics
    /// If shapes do not fit together.
    pub fn linear(&mut self, x: ValueId, weight: &[f32], bias: &[f32], activation: Activation) -> ValueId {
        let options = ConvOptions { stride: 1, padding: 0, groups: 1, precision: Precision::F32 };
        let vector: usize = self.shape(x).iter().product();
        let shape = std::mem::replace(&mut self.shapes[x.0], [1, 1, vector]);
        let y = self.convolution(x, ConvParts { weight, bias, side: 1, options }, None, activation);
        self.shapes[x.0] = shape;
        y
    }

    /// `activation(scale x + shift)`, scale and shift `[c]`.
    pub fn affine(
        &mut self,
        x: ValueId,
        scale: Vec<f32>,
        shift: Vec<f32>,
        activation: Activation,
    ) -> ValueId {
        let shape = self.shape(x);
        assert_eq!([scale.len(), shift.len()], [shape[2]; 2], "a scale and a shift for every channel");
        self.push(Drafted::Affine { scale, shift, activation }, [x.0], [shape])[0]
    }

    /// `activation(x)`.
    pub fn activate(&mut self, x: ValueId, activation: Activation) -> ValueId {
        let shape = self.shape(x);
        self.simple([x], [shape], Work::Activate { activation })[0]
    }

    /// The curve at every element.
    pub fn curve(&mut self, x: ValueId, curve: Curve) -> ValueId {
        let shape = self.shape(x);
        self.simple([x], [shape], Work::Curve(curve))[0]
    }

    /// Every pixel normalised over its channels: `gamma (x − mean)/√(variance + epsilon) + beta`, gamma and beta `[c]`.
    pub fn layer_norm(&mut self, x: ValueId, gamma: Vec<f32>, beta: Vec<f32>, epsilon: f64) -> ValueId {
        let shape = self.shape(x);
        assert_eq!([gamma.len(), beta.len()], [shape[2]; 2], "a gamma and a beta for every channel");
        self.simple([x], [shape], Work::LayerNorm { gamma, beta, epsilon: epsilon as f32 })[0]
    }

    /// Every pixel of x times the only pixel of `factors`.
    pub fn gate(&mut self, x: ValueId, factors: ValueId) -> ValueId {
        let shape = self.shape(x);
        assert_eq!(self.shape(factors), [1, 1, shape[2]], "a factor for every channel");
        self.simple([x, factors], [shape], Work::Gate)[0]
    }

    /// `activation` of the maximum over windows that may overlap or reach into a border, which never is the maximum.
    pub fn max_windows(&mut self, x: ValueId, window: MaxWindow, activation: Activation) -> ValueId {
        let [h, w, c] = self.shape(x);
        let output = [window.output(h), window.output(w), c];
        self.simple([x], [output], Work::MaxWindow { window, sides: [h, w], activation })[0]
    }

    /// The mean over `size` × `size` parts of the image, as PyTorch's adaptive average pool divides it.
    pub fn adaptive_pool(&mut self, x: ValueId, size: usize) -> ValueId {
        let [h, w, c] = self.shape(x);
        self.simple([x], [[size, size, c]], Work::AdaptivePool { sides: [h, w] })[0]
    }

    /// `activation(a + b)`.
    pub fn add(&mut self, a: ValueId, b: ValueId, activation: Activation) -> ValueId {
        let shape = self.shape(a);
        assert_eq!(self.shape(b), shape, "shapes of a sum");
        self.simple([a, b], [shape], Work::Add { activation })[0]
    }

    /// `activation` of the maximum over disjoint windows.
    pub fn max_pool(&mut self, x: ValueId, size: usize, activation: Activation) -> ValueId {
        let (pool, output) = self.pool(x, size, size);
        self.simple([x], [output], Work::MaxPool { pool, activation })[0]
    }

    /// The mean over windows `stride` pixels apart.
    pub fn average_pool(&mut self, x: ValueId, size: usize, stride: usize) -> ValueId {
        let (pool, output) = self.pool(x, size, stride);
        self.simple([x], [output], Work::AveragePool { pool })[0]
    }

    /// The mean over the image: a vector.
    pub fn global_pool(&mut self, x: ValueId) -> ValueId {
        let [_, width, c] = self.shape(x);
        self.simple([x], [[1, 1, c]], Work::GlobalPool { width })[0]
    }

    /// All elements as a vector in the order channel, row, column.
    pub fn flatten(&mut self, x: ValueId) -> ValueId {
        let [h, w, channels] = self.shape(x);
        self.simple([x], [[1, 1, h * w * channels]], Work::Flatten { pixels: h * w, channels })[0]
    }

    /// Channels from `start` on.
    pub fn channels(&mut self, x: ValueId, start: usize, length: usize) -> ValueId {
        let [h, w, channels] = self.shape(x);
        assert!(start + length <= channels, "channels {start} to {} of {channels}", start + length);
        self.simple([x], [[h, w, length]], Work::Take { start, channels })[0]
    }

    /// Channels of zeros before x's own, and as many after them.
    pub fn pad_channels(&mut self, x: ValueId, zeros: usize) -> ValueId {
        let [h, w, channels] = self.shape(x);
        self.simple([x], [[h, w, channels + 2 * zeros]], Work::Pad { before: zeros, channels })[0]
    }

    /// The channels of a, then those of b.
    pub fn concat(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let ([h, w, first], [bh, bw, second]) = (self.shape(a), self.shape(b));
        assert_eq!([h, w], [bh, bw], "heights and widths of what is put together");
        self.simple([a, b], [[h, w, first + second]], Work::Concat { channels: [first, second] })[0]
    }

    /// Channels numbered `[groups, c / groups]` in the order `[c / groups, groups]`.
    pub fn shuffle_channels(&mut self, x: ValueId, groups: usize) -> ValueId {
        let shape = self.shape(x);
        assert!(groups >= 1 && shape[2].is_multiple_of(groups), "{groups} groups of {} channels", shape[2]);
        self.simple([x], [shape], Work::Shuffle { groups })[0]
    }

    /// The channels of a and b in turn: [`Self::concat`] and [`Self::shuffle_channels`] of two groups.
    pub fn interleave(&mut self, a: ValueId, b: ValueId) -> ValueId {
        let [h, w, c] = self.shape(a);
        assert_eq!(self.shape(b), [h, w, c], "shapes of what is interleaved");
        self.simple([a, b], [[h, w, 2 * c]], Work::Interleave)[0]
    }

    /// The two halves of [`Self::interleave`]; the number of channels must be even.
    pub fn interleave_halves(&mut self, a: ValueId, b: ValueId) -> [ValueId; 2] {
        let shape = self.shape(a);
        assert_eq!(self.shape(b), shape, "shapes of what is interleaved");
        assert!(shape[2].is_multiple_of(2), "halves of {} channels", shape[2]);
        self.simple([a, b], [shape; 2], Work::InterleaveHalves)
    }

    fn pool(&self, x: ValueId, size: usize, stride: usize) -> (Pool, [usize; 3]) {
        let [h, w, c] = self.shape(x);
        crate::check_pool([1, h, w, c], size, stride);
        let pool = Pool::new([1, h, w, c], size, stride);
        let [oh, ow] = pool.sides();
        (pool, [oh, ow, c])
    }

    fn simple<const I: usize, const O: usize>(
        &mut self,
        inputs: [ValueId; I],
        outputs: [[usize; 3]; O],
        work: Work,
    ) -> [ValueId; O] {
        let shapes = inputs.map(|input| self.shape(input));
        let simple = Simple::new(&shapes, outputs[0], work);
        self.push(Drafted::Simple(simple), inputs.map(|input| input.0), outputs)
    }

    fn push<const O: usize>(
        &mut self,
        work: Drafted,
        inputs: impl IntoIterator<Item = usize>,
        outputs: [[usize; 3]; O],
    ) -> [ValueId; O] {
        let ids = outputs.map(|shape| {
            self.shapes.push(shape);
            self.shapes.len() - 1
        });
        self.drafts.push(Draft { work, inputs: inputs.into_iter().collect(), outputs: ids.into() });
        ids.map(ValueId)
    }

    /// The plan that gives `output`.
    ///
    /// # Panics
    /// If the output is the input.
    pub fn finish(mut self, output: ValueId) -> Plan {
        assert_ne!(output.0, 0, "a plan of one operation or more");
        self.fuse_affine(output.0);
        let steps = self.drafts.into_iter().filter_map(|Draft { work, inputs, outputs }| {
            let operation: Box<dyn Operation> = match work {
                Drafted::Convolution(convolution) => convolution,
                Drafted::Affine { scale, shift, activation } => {
                    let shape = self.shapes[outputs[0]];
                    Box::new(Simple::new(&[shape], shape, Work::affine(scale, shift, activation)))
                }
                Drafted::Simple(simple) => Box::new(simple),
                Drafted::Nothing => return None,
            };
            Some(Step { operation, inputs, outputs })
        });
        let lens: Vec<usize> = self.shapes.iter().map(|shape| shape.iter().product()).collect();
        Plan::new(steps.collect(), &lens, output.0)
    }

    /// A scale and shift (a batch-norm that belongs to no convolution before it) becomes part of the only convolution that reads
    /// its result, if that can apply it while reading; else of the convolution whose result it reads, which then stores both.
    fn fuse_affine(&mut self, output: usize) {
        for i in 0..self.drafts.len() {
            let Drafted::Affine { .. } = &self.drafts[i].work else { continue };
            let (x, y) = (self.drafts[i].inputs[0], self.drafts[i].outputs[0]);
            let readers: Vec<usize> =
                (0..self.drafts.len()).filter(|&j| self.drafts[j].inputs.contains(&y)).collect();
            let writer = self.drafts[..i].iter().position(|draft| draft.outputs.contains(&x));
            let takes = |j: &usize| match &self.drafts[*j].work {
                Drafted::Convolution(convolution) => {
                    convolution.takes_prologue()
                        && self.drafts[*j].inputs[0] == y
                        && self.drafts[*j].inputs[1..] != [y]
                }
                _ => false,
            };
            let reader = match readers[..] {
                [reader] if y != output && takes(&reader) => Some(reader),
                _ => None,
            };
            let writer = writer.filter(|&j| match &self.drafts[j].work {
                Drafted::Convolution(convolution) => convolution.takes_second(),
                _ => false,
            });
            let Some(to) = reader.or(writer) else { continue };
            let Drafted::Affine { scale, shift, activation } =
                std::mem::replace(&mut self.drafts[i].work, Drafted::Nothing)
            else {
                unreachable!("checked above")
            };
            let Drafted::Convolution(convolution) = &mut self.drafts[to].work else {
                unreachable!("checked above")
            };
            if reader.is_some() {
                convolution.set_prologue(scale, shift, activation);
                self.drafts[to].inputs[0] = x;
            } else {
                convolution.set_second(scale, shift, activation);
                self.drafts[to].outputs.push(y);
            }
        }
    }
}
