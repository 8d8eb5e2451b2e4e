//! Every operation in terms of Burn's own differentiable ones, for devices other than the CPU backend; the tests compare
//! the kernels with these too.

use burn::tensor::{Tensor, activation, module, ops};

use crate::channels::Move;
use crate::{Activation, BatchNormOutput, ConvOptions, SgdStep};

fn to_nchw(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 3, 1, 2])
}

fn to_nhwc(x: Tensor<4>) -> Tensor<4> {
    x.permute([0, 2, 3, 1])
}

pub(crate) fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: ConvOptions,
) -> Tensor<4> {
    let ConvOptions { stride, padding, groups, .. } = options;
    let options = ops::ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
    to_nhwc(module::conv2d(to_nchw(x), weight, bias, options))
}

pub(crate) fn batch_norm_train(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    residual: Option<Tensor<4>>,
    act: Activation,
) -> BatchNormOutput {
    let [n, h, w, c] = x.dims();
    // Means of means, because one long sum in f32 would lose digits.
    let mean_of = |t: Tensor<4>| t.mean_dim(2).mean_dim(1).mean_dim(0);
    debug_assert!(n * h * w > 0);
    let mean = mean_of(x.clone());
    let centred = x - mean.clone();
    let variance = mean_of(centred.clone() * centred.clone());
    let scale = gamma.reshape([1, 1, 1, c]) / (variance.clone() + epsilon).sqrt();
    let y = centred * scale + beta.reshape([1, 1, 1, c]);
    BatchNormOutput {
        y: finish(y, residual, act).into(),
        mean: mean.reshape([c]).detach(),
        variance: variance.reshape([c]).detach(),
    }
}

pub(crate) fn scale_shift(
    x: Tensor<4>,
    scale: Tensor<1>,
    shift: Tensor<1>,
    residual: Option<Tensor<4>>,
    act: Activation,
) -> Tensor<4> {
    let c = x.dims()[3];
    finish(x * scale.reshape([1, 1, 1, c]) + shift.reshape([1, 1, 1, c]), residual, act)
}

fn finish(y: Tensor<4>, residual: Option<Tensor<4>>, act: Activation) -> Tensor<4> {
    let y = match residual {
        Some(r) => y + r,
        None => y,
    };
    activate(y, act)
}

pub(crate) fn activate(x: Tensor<4>, act: Activation) -> Tensor<4> {
    match act {
        Activation::None => x,
        Activation::Relu => activation::relu(x),
        Activation::Relu6 => activation::relu(x).clamp_max(6.0),
    }
}

pub(crate) fn max_pool2d(x: Tensor<4>, size: usize) -> Tensor<4> {
    to_nhwc(module::max_pool2d(to_nchw(x), ops::MaxPoolOptions::new([size; 2])))
}

pub(crate) fn avg_pool2d(x: Tensor<4>, size: usize, stride: usize) -> Tensor<4> {
    let options = ops::AvgPoolOptions::new([size; 2]).with_stride([stride; 2]);
    to_nhwc(module::avg_pool2d(to_nchw(x), options))
}

pub(crate) fn global_avg_pool(x: Tensor<4>) -> Tensor<2> {
    let [n, _, _, c] = x.dims();
    x.mean_dim(2).mean_dim(1).reshape([n, c])
}

pub(crate) fn move_channels(x: Tensor<4>, how: Move) -> Tensor<4> {
    let [n, h, w, _] = x.dims();
    match how {
        Move::Take { start, length } => x.narrow(3, start, length),
        Move::Pad { before, behind } => {
            let blank = |zeros| Tensor::zeros([n, h, w, zeros], &x.device());
            let parts = [blank(before), x.clone(), blank(behind)];
            Tensor::cat(parts.into_iter().filter(|part| part.dims()[3] > 0).collect(), 3)
        }
    }
}

pub(crate) fn concat(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    Tensor::cat(vec![a, b], 3)
}

pub(crate) fn interleave(a: Tensor<4>, b: Tensor<4>) -> Tensor<4> {
    let [n, h, w, c] = a.dims();
    let turns = [a, b].map(|part| part.reshape([n, h, w, c, 1]));
    Tensor::cat(turns.into(), 4).reshape([n, h, w, 2 * c])
}

/// The number of channels must be even.
pub(crate) fn halves(x: Tensor<4>) -> [Tensor<4>; 2] {
    let length = x.dims()[3] / 2;
    [0, length].map(|start| move_channels(x.clone(), Move::Take { start, length }))
}

pub(crate) fn sgd_step<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    step: SgdStep,
) -> (Tensor<D>, Tensor<D>) {
    let gradient = gradient + weight.clone().mul_scalar(step.weight_decay);
    let velocity = match velocity {
        Some(velocity) => velocity.mul_scalar(step.momentum) + gradient.clone(),
        None => gradient.clone(),
    };
    let direction = match (step.momentum > 0.0, step.nesterov) {
        (false, _) => gradient,
        (true, false) => velocity.clone(),
        (true, true) => gradient + velocity.clone().mul_scalar(step.momentum),
    };
    (weight - direction.mul_scalar(step.rate), velocity)
}
