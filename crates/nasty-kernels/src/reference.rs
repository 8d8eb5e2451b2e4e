//! The operations as plain f64 loops over their definitions, forward and backward.

use crate::{Activation, ConvOptions};

/// A dense array of four dimensions.
#[derive(Clone, Debug)]
pub(crate) struct Array {
    pub(crate) dims: [usize; 4],
    pub(crate) data: Vec<f64>,
}

impl Array {
    pub(crate) fn zeros(dims: [usize; 4]) -> Self {
        Self { dims, data: vec![0.0; dims.iter().product()] }
    }

    fn index(&self, i: [usize; 4]) -> usize {
        let [_, b, c, d] = self.dims;
        ((i[0] * b + i[1]) * c + i[2]) * d + i[3]
    }

    fn at(&self, i: [usize; 4]) -> f64 {
        self.data[self.index(i)]
    }

    fn at_mut(&mut self, i: [usize; 4]) -> &mut f64 {
        let i = self.index(i);
        &mut self.data[i]
    }
}

/// A small generator (splitmix64) so that a case is a shape and a seed.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        // The value must be the same in f32 and f64.
        ((z >> 40) as f64 / (1u64 << 23) as f64 - 1.0) * 1.5
    }

    pub(crate) fn array(&mut self, dims: [usize; 4]) -> Array {
        let mut a = Array::zeros(dims);
        a.data.iter_mut().for_each(|v| *v = f64::from(self.next() as f32));
        a
    }

    pub(crate) fn vector(&mut self, n: usize) -> Vec<f64> {
        self.array([1, 1, 1, n]).data
    }
}

/// Calls `f(output index, input index, weight index)` for every product of the convolution.
fn for_each_product(
    x: [usize; 4],
    weight: [usize; 4],
    options: ConvOptions,
    mut f: impl FnMut([usize; 4], [usize; 4], [usize; 4]),
) {
    let [n, h, w, _] = x;
    let [cout, per_group, kh, kw] = weight;
    let ConvOptions { stride, padding, groups, .. } = options;
    let [oh, ow] = conv_sides(x, weight, options);
    for b in 0..n {
        for (oy, ox) in (0..oh).flat_map(|oy| (0..ow).map(move |ox| (oy, ox))) {
            for (ky, kx) in (0..kh).flat_map(|ky| (0..kw).map(move |kx| (ky, kx))) {
                let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                if iy < padding || ix < padding || iy - padding >= h || ix - padding >= w {
                    continue;
                }
                for o in 0..cout {
                    let group = o / (cout / groups);
                    for i in 0..per_group {
                        f(
                            [b, oy, ox, o],
                            [b, iy - padding, ix - padding, group * per_group + i],
                            [o, i, ky, kx],
                        );
                    }
                }
            }
        }
    }
}

pub(crate) fn conv_sides(x: [usize; 4], weight: [usize; 4], options: ConvOptions) -> [usize; 2] {
    [0, 1].map(|d| (x[1 + d] + 2 * options.padding - weight[2 + d]) / options.stride + 1)
}

pub(crate) fn conv2d(x: &Array, weight: &Array, bias: Option<&[f64]>, options: ConvOptions) -> Array {
    let [oh, ow] = conv_sides(x.dims, weight.dims, options);
    let cout = weight.dims[0];
    let mut y = Array::zeros([x.dims[0], oh, ow, cout]);
    if let Some(bias) = bias {
        y.data.chunks_mut(cout).for_each(|p| p.copy_from_slice(bias));
    }
    for_each_product(x.dims, weight.dims, options, |o, i, k| *y.at_mut(o) += x.at(i) * weight.at(k));
    y
}

/// Gradients of x, weight and bias.
pub(crate) fn conv2d_backward(
    x: &Array,
    weight: &Array,
    dy: &Array,
    options: ConvOptions,
) -> (Array, Array, Vec<f64>) {
    let (mut dx, mut dw) = (Array::zeros(x.dims), Array::zeros(weight.dims));
    for_each_product(x.dims, weight.dims, options, |o, i, k| {
        *dx.at_mut(i) += dy.at(o) * weight.at(k);
        *dw.at_mut(k) += dy.at(o) * x.at(i);
    });
    (dx, dw, channel_sums(dy, |i| dy.data[i]))
}

fn channel_sums(shape: &Array, f: impl Fn(usize) -> f64) -> Vec<f64> {
    let c = shape.dims[3];
    let mut sums = vec![0.0; c];
    (0..shape.data.len()).for_each(|i| sums[i % c] += f(i));
    sums
}

pub(crate) fn act(activation: Activation, v: f64) -> f64 {
    match activation {
        Activation::None => v,
        Activation::Relu => v.max(0.0),
        Activation::Relu6 => v.clamp(0.0, 6.0),
    }
}

fn act_slope(activation: Activation, v: f64) -> f64 {
    let open = match activation {
        Activation::None => true,
        Activation::Relu => v > 0.0,
        Activation::Relu6 => v > 0.0 && v < 6.0,
    };
    f64::from(u8::from(open))
}

/// Mean and biased variance of every channel.
pub(crate) fn statistics(x: &Array) -> (Vec<f64>, Vec<f64>) {
    let c = x.dims[3];
    let count = (x.data.len() / c) as f64;
    let mean: Vec<f64> = channel_sums(x, |i| x.data[i]).iter().map(|s| s / count).collect();
    let variance = channel_sums(x, |i| (x.data[i] - mean[i % c]).powi(2));
    (mean, variance.iter().map(|s| s / count).collect())
}

/// What `scale_shift` and its gradients come to: y before the activation, y, dx, dresidual, dscale, dshift.
pub(crate) struct Affine {
    pub(crate) before: Array,
    pub(crate) y: Array,
    pub(crate) dx: Array,
    pub(crate) dresidual: Array,
    pub(crate) dscale: Vec<f64>,
    pub(crate) dshift: Vec<f64>,
}

pub(crate) fn scale_shift(
    x: &Array,
    scale: &[f64],
    shift: &[f64],
    residual: Option<&Array>,
    activation: Activation,
    dy: &Array,
) -> Affine {
    let c = x.dims[3];
    let map = |f: &dyn Fn(usize) -> f64| Array { dims: x.dims, data: (0..x.data.len()).map(f).collect() };
    let before = map(&|i| x.data[i] * scale[i % c] + shift[i % c] + residual.map_or(0.0, |r| r.data[i]));
    let y = map(&|i| act(activation, before.data[i]));
    let dresidual = map(&|i| dy.data[i] * act_slope(activation, before.data[i]));
    let dx = map(&|i| dresidual.data[i] * scale[i % c]);
    let dscale = channel_sums(x, |i| dresidual.data[i] * x.data[i]);
    let dshift = channel_sums(x, |i| dresidual.data[i]);
    Affine { before, y, dx, dresidual, dscale, dshift }
}

/// Batch-norm in training mode as [`Affine`]: `dscale` is gamma's gradient, `dshift` beta's.
pub(crate) fn batch_norm(
    x: &Array,
    gamma: &[f64],
    beta: &[f64],
    epsilon: f64,
    residual: Option<&Array>,
    activation: Activation,
    dy: &Array,
) -> Affine {
    let c = x.dims[3];
    let count = (x.data.len() / c) as f64;
    let (mean, variance) = statistics(x);
    let deviation: Vec<f64> = variance.iter().map(|v| (v + epsilon).sqrt()).collect();
    let normal = Array {
        dims: x.dims,
        data: (0..x.data.len()).map(|i| (x.data[i] - mean[i % c]) / deviation[i % c]).collect(),
    };
    let mut out = scale_shift(&normal, gamma, beta, residual, activation, dy);
    for i in 0..x.data.len() {
        let k = i % c;
        out.dx.data[i] = gamma[k] / deviation[k]
            * (out.dresidual.data[i] - out.dshift[k] / count - normal.data[i] * out.dscale[k] / count);
    }
    out
}

/// Windows of a pool without padding: calls `f(output index, input index)`.
fn for_each_window(x: [usize; 4], size: usize, stride: usize, mut f: impl FnMut([usize; 4], [usize; 4])) {
    let [n, h, w, c] = x;
    for b in 0..n {
        for oy in 0..(h - size) / stride + 1 {
            for ox in 0..(w - size) / stride + 1 {
                for (ky, kx) in (0..size).flat_map(|ky| (0..size).map(move |kx| (ky, kx))) {
                    (0..c).for_each(|k| f([b, oy, ox, k], [b, oy * stride + ky, ox * stride + kx, k]));
                }
            }
        }
    }
}

fn pooled(x: &Array, size: usize, stride: usize) -> Array {
    let [n, h, w, c] = x.dims;
    Array::zeros([n, (h - size) / stride + 1, (w - size) / stride + 1, c])
}

/// y and dx.
pub(crate) fn avg_pool(x: &Array, size: usize, stride: usize, dy: &Array) -> (Array, Array) {
    let (mut y, mut dx) = (pooled(x, size, stride), Array::zeros(x.dims));
    let share = 1.0 / (size * size) as f64;
    for_each_window(x.dims, size, stride, |o, i| {
        *y.at_mut(o) += x.at(i) * share;
        *dx.at_mut(i) += dy.at(o) * share;
    });
    (y, dx)
}

/// y and dx; the first of equal maxima gets the gradient.
pub(crate) fn max_pool(x: &Array, size: usize, dy: &Array) -> (Array, Array) {
    let (mut y, mut dx) = (pooled(x, size, size), Array::zeros(x.dims));
    y.data.fill(f64::NEG_INFINITY);
    let mut winner = vec![[0; 4]; y.data.len()];
    for_each_window(x.dims, size, size, |o, i| {
        if x.at(i) > y.at(o) {
            *y.at_mut(o) = x.at(i);
            winner[y.index(o)] = i;
        }
    });
    for (i, winner) in winner.into_iter().enumerate() {
        *dx.at_mut(winner) += dy.data[i];
    }
    (y, dx)
}
