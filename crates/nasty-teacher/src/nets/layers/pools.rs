//! Pooling layers, which make maps smaller.

use burn::tensor::{Device, Tensor, TensorData};
use nasty_kernels::{self as kernels, MaxWindow};

use super::Maps;
use crate::nets::graph::Op;

impl Maps {
    /// Maximum over disjoint windows.
    pub(crate) fn max_pool(self, size: usize) -> Self {
        self.apply(
            || Op::MaxPool(MaxWindow { size, stride: size, padding: 0 }),
            |[h, w, c]| [h / size, w / size, c],
            |x, _| kernels::max_pool2d(x, size),
        )
    }

    /// Mean over `size` × `size` windows, `stride` apart.
    pub(crate) fn avg_pool(self, size: usize, stride: usize) -> Self {
        self.apply(
            || Op::AvgPool { size, stride },
            |[h, w, c]| [(h - size) / stride + 1, (w - size) / stride + 1, c],
            |x, _| kernels::avg_pool2d(x, size, stride),
        )
    }

    /// Maximum over windows that may overlap and reach over the border.
    pub(crate) fn max_pool_windows(self, window: MaxWindow) -> Self {
        self.apply(
            || Op::MaxPool(window),
            |[h, w, c]| [window.output(h), window.output(w), c],
            |x, _| kernels::max_pool2d_windows(x, window),
        )
    }

    /// Every `stride`-th pixel of both directions, from the first on. Written as the mean over 1×1 windows, which it
    /// is, so exports need no operation of its own.
    pub(crate) fn subsample(self, stride: usize) -> Self {
        if stride == 1 { self } else { self.avg_pool(1, stride) }
    }

    /// Mean over the whole map: vectors.
    pub(crate) fn global_pool(self) -> Self {
        self.apply(
            || Op::GlobalPool,
            |[_, _, c]| [1, 1, c],
            |x, _| {
                let vectors = kernels::global_avg_pool(x);
                let [n, c] = vectors.dims();
                vectors.reshape([n, 1, 1, c])
            },
        )
    }

    /// The 8×8 average pool that CIFAR networks end in. It is applied as published wherever that gives one vector
    /// (maps of side 8 to 15: PyTorch leaves out what does not fill the window); the published definitions do not
    /// run at other sides, where the mean over the whole map stands in.
    pub(crate) fn final_pool(self) -> Self {
        if (8..16).contains(&self.shape()[0]) { self.avg_pool(8, 8) } else { self.global_pool() }
    }

    /// PyTorch's adaptive average pool to `size` × `size`.
    pub(crate) fn adaptive_pool(self, size: usize) -> Self {
        let [h, w, _] = self.shape();
        if [h, w] == [size, size] {
            return self;
        }
        self.apply(
            || Op::AdaptivePool { size },
            |[_, _, c]| [size, size, c],
            |x, _| {
                let [n, h, w, c] = x.dims();
                let device = x.device();
                let rows = shares(size, h, &device).matmul(x.reshape([n, h, w * c]));
                let both = shares(size, w, &device).matmul(rows.reshape([n * size, w, c]));
                both.reshape([n, size, size, c])
            },
        )
    }
}

/// Maps `[batch, side, side, channels]` enlarged to `size` × `size` by bilinear interpolation, as PyTorch's `interpolate` does it
/// without aligned corners.
pub(crate) fn bilinear(x: Tensor<4>, size: usize) -> Tensor<4> {
    let [n, side, _, c] = x.dims();
    let weights = TensorData::new(bilinear_weights(size, side), [1, size, side]);
    let weights = Tensor::<3>::from_data(weights, &x.device());
    let rows = weights.clone().matmul(x.reshape([n, side, side * c]));
    weights.matmul(rows.reshape([n * size, side, c])).reshape([n, size, size, c])
}

/// The matrix `[size, side]` of bilinear interpolation along one direction.
fn bilinear_weights(size: usize, side: usize) -> Vec<f32> {
    let mut weights = vec![0.0; size * side];
    for (place, row) in weights.chunks_exact_mut(side).enumerate() {
        let at = ((place as f32 + 0.5) * side as f32 / size as f32 - 0.5).max(0.0);
        let low = (at as usize).min(side - 1);
        let share = (at - low as f32).min(1.0);
        row[low] += 1.0 - share;
        row[(low + 1).min(side - 1)] += share;
    }
    weights
}

/// `[1, size, side]`: what each position contributes to each part.
fn shares(size: usize, side: usize, device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(adaptive_shares(size, side), [1, size, side]), device)
}

/// The matrix `[size, side]` of an adaptive average pool along one direction.
pub(crate) fn adaptive_shares(size: usize, side: usize) -> Vec<f32> {
    let mut shares = vec![0.0; size * side];
    for (part, row) in shares.chunks_exact_mut(side).enumerate() {
        let inside = part * side / size..((part + 1) * side).div_ceil(size);
        let share = 1.0 / inside.len() as f32;
        row[inside].fill(share);
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::{adaptive_shares, bilinear, bilinear_weights};
    use burn::tensor::{Device, Tensor};

    #[test]
    fn parts_of_an_adaptive_pool_overlap_where_the_side_does_not_divide() {
        let third = 1.0 / 3.0;
        assert_eq!(adaptive_shares(2, 4), [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
        assert_eq!(adaptive_shares(2, 5), [third, third, third, 0.0, 0.0, 0.0, 0.0, third, third, third]);
        assert_eq!(adaptive_shares(3, 2), [1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
        assert_eq!(adaptive_shares(4, 1), [1.0; 4]);
    }

    #[test]
    fn bilinear_interpolation_is_pytorchs() {
        assert_eq!(bilinear_weights(4, 2), [1.0, 0.0, 0.75, 0.25, 0.25, 0.75, 0.0, 1.0]);
        assert_eq!(bilinear_weights(3, 1), [1.0; 3]);
        // From 2 to 3: positions 1/6 (clamped to 0 below), 0.5 and 5/6.
        let near = |found: Vec<f32>, expected: &[f32]| {
            assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
        };
        near(bilinear_weights(3, 2), &[1.0, 0.0, 0.5, 0.5, 0.0, 1.0]);
        // torch.nn.functional.interpolate([[0, 1], [2, 3]], scale_factor=2, mode="bilinear")
        let x = Tensor::<1>::from_data([0.0f32, 1.0, 2.0, 3.0], &Device::flex()).reshape([1, 2, 2, 1]);
        let found = bilinear(x, 4).into_data().try_to_vec::<f32>().expect("f32");
        let rows =
            [[0.0, 0.25, 0.75, 1.0], [0.5, 0.75, 1.25, 1.5], [1.5, 1.75, 2.25, 2.5], [2.0, 2.25, 2.75, 3.0]];
        near(found, &rows.concat());
    }
}
