//! Convolution, batch-norm and pooling for training image classifiers, on Burn tensors.
//!
//! Activations are NHWC (`[batch, height, width, channels]`) everywhere; weights are
//! `[out, in / groups, kernel height, kernel width]`, as in PyTorch. Every function is differentiable in its tensor
//! arguments, and gives the same result on every device up to rounding.
//!
//! On the CPU, the kernels are compiled for several instruction sets, and the best one that the machine supports is used:
//! AVX-512 with bfloat16 products, AVX-512, AVX2 with FMA, or the target's baseline (SSE2; NEON on Arm). The environment
//! variable `NASTY_KERNELS` selects another one: `avx512bf16`, `avx512`, `avx2` or `baseline`. A name that the machine does
//! not support is ignored. Results are the same to the last bit from run to run and with any number of threads; between
//! instruction sets they differ by rounding.
//!
//! Shapes that do not fit together are a bug of the caller and panic, as they do in Burn's own operations.
//!
//! `README.md` of this crate is a map of the kernels: the path of a convolution, and which algorithm is chosen when.

#[cfg(feature = "allocator")]
mod allocator;
mod branches;
mod buffers;
mod channels;
mod conv;
mod curve;
mod flex;
mod gate;
pub mod infer;
mod isa;
mod layer_norm;
mod lock;
mod max_window;
pub mod measure;
mod norm;
mod pool;
mod portable;
#[cfg(test)]
mod reference;
mod scratch;
mod sgd;
mod simd;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

#[cfg(feature = "allocator")]
pub use self::allocator::Allocator;
use self::channels::Move;
pub use self::curve::{Curve, curve};
pub use self::gate::gate;
pub use self::layer_norm::layer_norm;
pub use self::max_window::{MaxWindow, max_pool2d_windows};

/// The instruction set of the CPU kernels: `avx512bf16`, `avx512`, `avx2` or `baseline`. The best one that the machine
/// supports, or the one that the environment variable `NASTY_KERNELS` names.
pub fn instruction_set() -> &'static str {
    simd::Path::chosen().name()
}

/// Geometry of a convolution, the same in both directions, with dilation 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConvOptions {
    /// Distance of two windows in pixels, at least 1.
    pub stride: usize,
    /// Zeros added on every side.
    pub padding: usize,
    /// Number of groups of channels that are convolved separately; divides both channel counts.
    pub groups: usize,
    /// Precision of the factors. Only the CPU has a choice; other devices use f32.
    pub precision: Precision,
}

/// Precision of the factors of a convolution's products, forward and in both gradients. Tensors and sums are always f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// bfloat16 (8 significant bits): faster on CPUs with bfloat16 products. Winograd's method, which some 3 × 3 convolutions
    /// use, rounds after its transforms.
    Bf16,
}

/// The activation after a convolution, a batch-norm or an addition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    #[default]
    None,
    /// max(x, 0); its derivative at 0 is 0.
    Relu,
    /// min(max(x, 0), 6); its derivative is 1 strictly between 0 and 6, else 0 (at exactly 6 it may be 1 on other devices than
    /// the CPU).
    Relu6,
}

impl Activation {
    /// The range of its results, if it is not the identity.
    pub(crate) fn bounds(self) -> Option<[f32; 2]> {
        match self {
            Self::None => None,
            Self::Relu => Some([0.0, f32::INFINITY]),
            Self::Relu6 => Some([0.0, 6.0]),
        }
    }
}

/// Activations `[n, h, w, c]`, which may not be computed yet. If they are the result of a batch-norm, the next convolution
/// normalises its input block by block while reading it, if it can, and the result is never written to memory.
#[derive(Clone, Debug)]
pub struct Activations(Values);

#[derive(Clone, Debug)]
enum Values {
    Computed(Tensor<4>),
    Normed(norm::Normed),
    Scaled(norm::Scaled),
    Series(conv::Series),
}

impl Activations {
    /// `[n, h, w, c]`.
    pub fn dims(&self) -> [usize; 4] {
        self.0.dims()
    }

    /// The values as a tensor, computed now if they are not yet.
    pub fn into_tensor(self) -> Tensor<4> {
        self.0.compute()
    }
}

impl Values {
    /// The tensor in memory that the values are computed from.
    fn tensor(&self) -> &Tensor<4> {
        match self {
            Self::Computed(x)
            | Self::Normed(norm::Normed { x, .. })
            | Self::Scaled(norm::Scaled { x, .. }) => x,
            Self::Series(series) => series.x(),
        }
    }

    fn dims(&self) -> [usize; 4] {
        match self {
            Self::Series(series) => series.dims(),
            other => other.tensor().dims(),
        }
    }

    fn compute(self) -> Tensor<4> {
        match self {
            Self::Computed(x) => x,
            Self::Normed(normed) => normed.compute(None),
            Self::Scaled(scaled) => scaled.compute(None),
            Self::Series(series) => series.compute(None),
        }
    }
}

impl From<Tensor<4>> for Activations {
    fn from(x: Tensor<4>) -> Self {
        Self(Values::Computed(x))
    }
}

/// Result of [`batch_norm_train`] and [`conv2d_batch_norm_train`].
#[derive(Clone, Debug)]
pub struct BatchNormOutput {
    /// `[n, h, w, c]`.
    pub y: Activations,
    /// The batch's mean `[c]`; carries no gradient.
    pub mean: Tensor<1>,
    /// The batch's biased variance `[c]`; carries no gradient.
    pub variance: Tensor<1>,
}

/// Convolution: x `[n, h, w, cin]`, weight `[cout, cin / groups, kh, kw]`, bias `[cout]` → `[n, oh, ow, cout]` with
/// `oh = (h + 2 padding - kh) / stride + 1`.
pub fn conv2d(
    x: impl Into<Activations>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
) -> Tensor<4> {
    let x = x.into();
    check_conv(x.dims(), weight.dims(), bias.as_ref().map(|b| b.dims()[0]), options);
    match x.0 {
        Values::Computed(x) if !flex::is_flex(&x) => portable::conv2d(x, weight, bias, options),
        x => conv::conv2d(x, weight, bias, options),
    }
}

/// Training-mode batch-norm (Ioffe & Szegedy 2015), residual addition and activation as one operation:
/// `activation(gamma (x - mean) / sqrt(variance + epsilon) + beta + residual)`, statistics over the batch and the
/// image: x `[n, h, w, c]`, gamma and beta `[c]`, residual as x.
pub fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> BatchNormOutput {
    check_channels("batch_norm_train", x.dims(), [&gamma, &beta], residual.as_ref());
    if flex::is_flex(&x) {
        let moments = Arc::new(norm::moments(&x));
        let norm = norm::Norm { moments, epsilon, activation, seam: None };
        return finish(norm::Normed { x, gamma, beta, norm }, residual);
    }
    portable::batch_norm_train(x, gamma, beta, epsilon, residual, activation)
}

/// [`batch_norm_train`] of [`conv2d`]. On the CPU, the convolution takes the statistics while it computes its result. The
/// gradient of its bias is exactly 0, because batch-norm removes any bias.
#[expect(clippy::too_many_arguments, reason = "two operations' arguments")]
pub fn conv2d_batch_norm_train(
    x: impl Into<Activations>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> BatchNormOutput {
    let x = x.into();
    check_conv(x.dims(), weight.dims(), bias.as_ref().map(|b| b.dims()[0]), options);
    let (y, seam) = match x.0 {
        Values::Computed(x) if !flex::is_flex(&x) => {
            let y = portable::conv2d(x, weight, bias, options);
            return portable::batch_norm_train(y, gamma, beta, epsilon, residual, activation);
        }
        x => conv::conv2d_for_norm(x, weight, bias, options),
    };
    check_channels("conv2d_batch_norm_train", y.dims(), [&gamma, &beta], residual.as_ref());
    let norm = norm::Norm { moments: seam.moments(), epsilon, activation, seam: Some(seam) };
    finish(norm::Normed { x: y, gamma, beta, norm }, residual)
}

/// A residual is added now; without one, the batch-norm is left to the next operation.
fn finish(normed: norm::Normed, residual: Option<Tensor<4>>) -> BatchNormOutput {
    let [mean, variance] = normed.statistics();
    let y = match residual {
        Some(residual) => Values::Computed(normed.compute(Some(residual))),
        None => Values::Normed(normed),
    };
    BatchNormOutput { y: Activations(y), mean, variance }
}

/// `activation(scale x + shift + residual)` with one scale and one shift per channel, which is batch-norm in evaluation
/// mode: x and residual `[n, h, w, c]`, scale and shift `[c]`.
pub fn scale_shift(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Activations {
    check_channels("scale_shift", x.dims(), [&scale, &shift], residual.as_ref());
    if !flex::is_flex(&x) {
        return portable::scale_shift(x, scale, shift, residual, activation).into();
    }
    let graph = x.device().is_autodiff();
    let scaled = norm::Scaled { x, scale, shift, activation };
    Activations(match residual {
        None if !graph => Values::Scaled(scaled),
        residual => Values::Computed(scaled.compute(residual)),
    })
}

/// [`scale_shift`] of [`conv2d`]: a convolution followed by batch-norm in evaluation mode. On the CPU backend without autodiff,
/// scale and shift become part of the weight and the bias, and 1×1 and depthwise convolutions that follow each other are
/// computed together, a few images at a time.
#[expect(clippy::too_many_arguments, reason = "two operations' arguments")]
pub fn conv2d_scale_shift(
    x: impl Into<Activations>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    activation: Activation,
) -> Activations {
    let x = x.into();
    let tracked = |x: &Tensor<4>| x.device().is_autodiff();
    let graph = tracked(x.0.tensor()) || tracked(&weight) || residual.as_ref().is_some_and(tracked);
    if graph || !flex::is_flex(x.0.tensor()) {
        let y = conv2d(x, weight, bias, options);
        return scale_shift(y, scale, shift, residual, activation);
    }
    check_conv(x.dims(), weight.dims(), bias.as_ref().map(|b| b.dims()[0]), options);
    Activations(conv::conv2d_scale_shift(x.0, weight, bias, options, [scale, shift], residual, activation))
}

/// The activation alone, of x `[n, h, w, c]`.
pub fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    if flex::is_flex(&x) {
        return norm::activate(x, activation);
    }
    portable::activate(x, activation)
}

/// Maximum over disjoint `size` × `size` windows: `[n, h, w, c]` → `[n, h / size, w / size, c]`. Rows and columns that do
/// not fill a window are dropped.
pub fn max_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    check_pool(x.dims(), size, size);
    if flex::is_flex(&x) && size <= pool::MAX_WINDOW {
        return pool::max_pool2d(x, size);
    }
    portable::max_pool2d(x, size)
}

/// Mean over `size` × `size` windows `stride` pixels apart, without padding: `[n, h, w, c]` →
/// `[n, (h - size) / stride + 1, (w - size) / stride + 1, c]`.
pub fn avg_pool2d(x: Tensor<4>, size: usize, stride: usize) -> Tensor<4> {
    check_pool(x.dims(), size, stride);
    if flex::is_flex(&x) {
        return pool::avg_pool2d(x, size, stride);
    }
    portable::avg_pool2d(x, size, stride)
}

/// Mean over the image: `[n, h, w, c]` → `[n, c]`.
pub fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    if flex::is_flex(&x) {
        return pool::global_avg_pool(x);
    }
    portable::global_avg_pool(x)
}

/// x `[n, h, w, c]` for two branches. On the CPU, all threads add up the gradients of the branches.
pub fn fork(x: Tensor<4>) -> [Tensor<4>; 2] {
    if flex::is_flex(&x) {
        return branches::fork(x);
    }
    [x.clone(), x]
}

/// The two halves of the channels of x `[n, h, w, c]`, each `[n, h, w, c / 2]`.
pub fn split_channels(x: Tensor<4>) -> [Tensor<4>; 2] {
    let c = x.dims()[3];
    assert!(c >= 2 && c.is_multiple_of(2), "split_channels: {c} channels");
    if flex::is_flex(&x) {
        return branches::split_channels(x);
    }
    portable::halves(x)
}

/// x `[n, h, w, c]` with channels of zeros before and after its own.
pub fn pad_channels(x: Tensor<4>, before: usize, behind: usize) -> Tensor<4> {
    move_channels(x, Move::Pad { before, behind })
}

fn move_channels(x: Tensor<4>, how: Move) -> Tensor<4> {
    if flex::is_flex(&x) {
        return channels::move_channels(x, how);
    }
    portable::move_channels(x, how)
}

/// The channels of a, then those of b: `[n, h, w, ca]` and `[n, h, w, cb]` → `[n, h, w, ca + cb]`.
pub fn concat_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    assert!(a.dims()[..3] == b.dims()[..3], "concat_channels: {:?} and {:?}", a.dims(), b.dims());
    if flex::is_flex(&a) {
        return channels::concat(a, b);
    }
    portable::concat(a, b)
}

/// The channels of a and b in turn, starting with a; both have the same shape. That is [`concat_channels`] followed by a channel
/// shuffle (Zhang et al., CVPR 2018) of two groups.
pub fn interleave_channels(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    assert!(a.dims() == b.dims(), "interleave_channels: {:?} and {:?}", a.dims(), b.dims());
    if flex::is_flex(&a) {
        return channels::interleave(a, b);
    }
    portable::interleave(a, b)
}

/// The two halves of [`interleave_channels`], each with as many channels as a; that number must be even.
pub fn interleave_halves(a: Tensor<4>, b: Tensor<4>) -> [Tensor<4>; 2] {
    let c = a.dims()[3];
    assert!(
        a.dims() == b.dims() && c.is_multiple_of(2),
        "interleave_halves: {:?} and {:?}",
        a.dims(),
        b.dims()
    );
    if flex::is_flex(&a) {
        return branches::interleave_halves(a, b);
    }
    portable::halves(portable::interleave(a, b))
}

/// Settings of a step of stochastic gradient descent, with PyTorch's conventions (no dampening).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SgdStep {
    /// Learning rate.
    pub rate: f64,
    /// Momentum factor; 0 for none.
    pub momentum: f64,
    /// Whether to use Nesterov's variant.
    pub nesterov: bool,
    /// L2 penalty: this factor times the weight is added to the gradient.
    pub weight_decay: f64,
}

/// The weight and the velocity after a step. All tensors have one shape and no autodiff. `velocity` is the one that the step
/// before returned, `None` at the first step; without momentum it is ignored.
pub fn sgd_step<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    step: SgdStep,
) -> (Tensor<D>, Tensor<D>) {
    assert!(
        weight.dims() == gradient.dims() && velocity.as_ref().is_none_or(|v| v.dims() == weight.dims()),
        "sgd_step: weight {:?}, gradient {:?}",
        weight.dims(),
        gradient.dims()
    );
    if flex::is_flex(&weight) {
        return sgd::step(weight, gradient, velocity, step);
    }
    portable::sgd_step(weight, gradient, velocity, step)
}

fn check_conv(x: [usize; 4], weight: [usize; 4], bias: Option<usize>, options: ConvOptions) {
    let [_, h, w, cin] = x;
    let [cout, per_group, kh, kw] = weight;
    let ConvOptions { stride, padding, groups, .. } = options;
    assert!(stride >= 1 && groups >= 1, "conv2d: stride and groups must be at least 1, found {options:?}");
    assert!(
        cin == per_group * groups && cout % groups == 0,
        "conv2d: weight {weight:?} with {groups} groups does not fit x {x:?}"
    );
    assert!(
        kh >= 1 && kw >= 1 && h + 2 * padding >= kh && w + 2 * padding >= kw,
        "conv2d: kernel {kh}x{kw} does not fit x {x:?} with padding {padding}"
    );
    assert!(bias.is_none_or(|b| b == cout), "conv2d: bias of {bias:?} elements for {cout} output channels");
}

fn check_channels(op: &str, x: [usize; 4], vectors: [&Tensor<1>; 2], residual: Option<&Tensor<4>>) {
    for v in vectors {
        assert!(v.dims() == [x[3]], "{op}: vector of {:?} elements for x {x:?}", v.dims());
    }
    if let Some(r) = residual {
        assert!(r.dims() == x, "{op}: residual {:?} for x {x:?}", r.dims());
    }
}

fn check_pool([_, h, w, _]: [usize; 4], size: usize, stride: usize) {
    assert!(size >= 1 && stride >= 1, "pool: size and stride must be at least 1, found {size} and {stride}");
    assert!(h >= size && w >= size, "pool: window {size} does not fit an image of {h}x{w}");
}
