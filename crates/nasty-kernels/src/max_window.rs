//! Maximum over windows that overlap and reach over the border: the 3×3 pool with stride 2 behind a large stem.
#![allow(unsafe_code, reason = "results are not filled with zeros first")]

use std::mem::MaybeUninit;
use std::sync::Arc;

use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Autodiff, Backend, Dispatch, Flex, backend_extension};
use burn::tensor::{Tensor, module, ops};
use rayon::prelude::*;

use crate::buffers::filled;
use crate::flex;
use crate::isa::{MulAdd, per_isa};

/// Square windows over an image, with a border that never is the maximum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxWindow {
    /// Side of the window, at most 16.
    pub size: usize,
    /// Distance of two windows.
    pub stride: usize,
    /// Width of the border, at most half of the size.
    pub padding: usize,
}

impl MaxWindow {
    /// The output's side for an input's; what does not fill a window is dropped (PyTorch's floor mode).
    pub fn output(&self, side: usize) -> usize {
        (side + 2 * self.padding - self.size) / self.stride + 1
    }

    /// The part of a window that lies inside: input positions from the first on, and their number in the window.
    #[inline(always)]
    fn inside(&self, output: usize, side: usize) -> (usize, std::ops::Range<usize>) {
        let start = output * self.stride;
        let first = self.padding.saturating_sub(start);
        let last = self.size.min(side + self.padding - start);
        (start + first - self.padding, first..last)
    }
}

/// Maximum over windows: `[n, h, w, c]` → `[n, (h + 2 padding - size) / stride + 1, …, c]`. The first of equal maxima gets
/// the gradient.
pub fn max_pool2d_windows(x: Tensor<4>, window: MaxWindow) -> Tensor<4> {
    let MaxWindow { size, stride, padding } = window;
    let [_, h, w, _] = x.dims();
    assert!(
        (1..=16).contains(&size) && stride >= 1 && 2 * padding <= size && h.min(w) + 2 * padding >= size,
        "max_pool2d_windows: {window:?} on {h}x{w}"
    );
    if flex::is_flex(&x) {
        return Tensor::from_dispatch(<Dispatch as MaxWindowBackend>::nasty_max_window(
            x.into_dispatch(),
            window,
        ));
    }
    let options = ops::MaxPoolOptions::new([size; 2]).with_stride([stride; 2]).with_padding([padding; 2]);
    module::max_pool2d(x.permute([0, 3, 1, 2]), options).permute([0, 2, 3, 1])
}

/// The operation as Burn dispatches it.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait MaxWindowBackend: Backend {
    fn nasty_max_window(x: FloatTensor<Self>, window: MaxWindow) -> FloatTensor<Self>;
}

/// Maxima, and which pixel of its window each was.
fn forward(x: &FlexTensor, window: MaxWindow) -> (FlexTensor, Vec<u8>) {
    let [n, h, w, c] = flex::dims(x);
    let [oh, ow] = [h, w].map(|side| window.output(side));
    let dims = [n, oh, ow, c];
    let (mut y, mut winner) = (vec![0.0; dims.iter().product()], vec![0; dims.iter().product()]);
    let row = (ow * c).max(1);
    let x = flex::elements(x);
    y.par_chunks_mut(row).zip(winner.par_chunks_mut(row)).enumerate().for_each(|(i, (y, winner))| {
        max_row(window, i % oh, [h, w, c], &x[i / oh * h * w * c..][..h * w * c], y, winner);
    });
    (flex::from_vec(y, dims), winner)
}

impl MaxWindowBackend for Flex {
    fn nasty_max_window(x: FlexTensor, window: MaxWindow) -> FlexTensor {
        forward(&flex::contiguous(x), window).0
    }
}

impl<C: CheckpointStrategy> MaxWindowBackend for Autodiff<Flex, C> {
    fn nasty_max_window(x: FloatTensor<Self>, window: MaxWindow) -> FloatTensor<Self> {
        let (x, node) = x.into_parts();
        let x = flex::contiguous(x);
        let (y, winner) = forward(&x, window);
        match MaxWindowBackward.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prepared) => prepared.finish((flex::dims(&x), window, Arc::new(winner)), y),
            OpsKind::UnTracked(prepared) => prepared.finish(y),
        }
    }
}

#[derive(Debug)]
struct MaxWindowBackward;

impl Backward<Flex, 1> for MaxWindowBackward {
    /// x's shape, and the winners.
    type State = ([usize; 4], MaxWindow, Arc<Vec<u8>>);

    fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
        let (dims @ [_, h, w, c], window, winner) = ops.state;
        unary::<Flex, _>(ops.parents, ops.node, grads, |dy| {
            let dy = flex::contiguous(dy);
            let of_image = (window.output(h) * window.output(w) * c).max(1);
            // SAFETY: an image's gradient is whole pixels, and every channel of a pixel is written.
            let dx = unsafe {
                filled(dims.iter().product(), |dx: &mut [MaybeUninit<f32>]| {
                    dx.par_chunks_mut((h * w * c).max(1))
                        .zip(flex::elements(&dy).par_chunks(of_image).zip(winner.par_chunks(of_image)))
                        .for_each(|(dx, (dy, winner))| max_backward(window, [h, w, c], dy, winner, dx));
                })
            };
            flex::from_vec(dx, dims)
        });
    }
}

/// One row of an image's maxima; NaN comes before all numbers.
#[inline(always)]
fn max_row_body<M: MulAdd>(
    window: MaxWindow,
    row: usize,
    [h, w, c]: [usize; 3],
    x: &[f32],
    y: &mut [f32],
    winner: &mut [u8],
) {
    let (top, rows) = window.inside(row, h);
    for (column, (y, winner)) in y.chunks_exact_mut(c).zip(winner.chunks_exact_mut(c)).enumerate() {
        let (left, columns) = window.inside(column, w);
        y.copy_from_slice(&x[(top * w + left) * c..][..c]);
        winner.fill((rows.start * window.size + columns.start) as u8);
        for (iy, ky) in (top..).zip(rows.clone()) {
            for (ix, kx) in (left..).zip(columns.clone()) {
                let tap = (ky * window.size + kx) as u8;
                let pixel = &x[(iy * w + ix) * c..][..c];
                for ((y, winner), x) in y.iter_mut().zip(winner.iter_mut()).zip(pixel) {
                    let better = *x > *y || x.is_nan();
                    *y = if better { *x } else { *y };
                    *winner = if better { tap } else { *winner };
                }
            }
        }
    }
}

per_isa! {
    fn max_row(window: MaxWindow, row: usize, shape: [usize; 3], x: &[f32], y: &mut [f32], winner: &mut [u8])
        = max_row_body
}

/// One row of an image's maxima alone, for answering.
#[inline(always)]
fn max_values_body<M: MulAdd>(
    window: MaxWindow,
    row: usize,
    [h, w, c]: [usize; 3],
    x: &[f32],
    y: &mut [f32],
) {
    let (top, rows) = window.inside(row, h);
    for (column, y) in y.chunks_exact_mut(c).enumerate() {
        let (left, columns) = window.inside(column, w);
        y.copy_from_slice(&x[(top * w + left) * c..][..c]);
        for iy in top..top + rows.len() {
            for pixel in x[(iy * w + left) * c..][..columns.len() * c].chunks_exact(c) {
                for (y, x) in y.iter_mut().zip(pixel) {
                    *y = if *x > *y || x.is_nan() { *x } else { *y };
                }
            }
        }
    }
}

per_isa! {
    pub(crate) fn max_values(window: MaxWindow, row: usize, shape: [usize; 3], x: &[f32], y: &mut [f32]) = max_values_body
}

/// One image's gradient: every pixel gathers from the windows that it won.
#[inline(always)]
fn max_backward_body<M: MulAdd>(
    window: MaxWindow,
    [h, w, c]: [usize; 3],
    dy: &[f32],
    winner: &[u8],
    dx: &mut [MaybeUninit<f32>],
) {
    let MaxWindow { size, stride, padding } = window;
    let [oh, ow] = [h, w].map(|side| window.output(side));
    // The windows that see position `at` of one direction.
    let windows = |at: usize, outputs: usize| {
        let first = (at + padding + 1).saturating_sub(size).div_ceil(stride);
        first..((at + padding) / stride + 1).min(outputs)
    };
    let mut sum = vec![0.0f32; c];
    for (i, dx) in dx.chunks_exact_mut(c).enumerate() {
        let (iy, ix) = (i / w, i % w);
        sum.fill(0.0);
        for oy in windows(iy, oh) {
            for ox in windows(ix, ow) {
                let tap = ((iy + padding - oy * stride) * size + ix + padding - ox * stride) as u8;
                let at = (oy * ow + ox) * c;
                let pixel = dy[at..][..c].iter().zip(&winner[at..][..c]);
                sum.iter_mut().zip(pixel).for_each(|(sum, (dy, winner))| {
                    *sum += if *winner == tap { *dy } else { 0.0 };
                });
            }
        }
        dx.iter_mut().zip(&sum).for_each(|(dx, sum)| {
            dx.write(*sum);
        });
    }
}

per_isa! {
    fn max_backward(window: MaxWindow, shape: [usize; 3], dy: &[f32], winner: &[u8], dx: &mut [MaybeUninit<f32>])
        = max_backward_body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::Noise;
    use crate::tests::{assert_close, tensor};

    #[test]
    fn maxima_and_gradients_are_the_definitions() {
        let windows = [(3, 2, 1), (3, 1, 1), (2, 2, 0), (3, 3, 0), (5, 2, 2), (2, 1, 1)];
        for (size, stride, padding) in windows {
            let window = MaxWindow { size, stride, padding };
            for dims @ [n, h, w, c] in [[1, 3, 3, 1], [2, 7, 8, 5], [3, 12, 12, 19], [1, 3, 9, 64]] {
                if h + 2 * padding < size {
                    continue;
                }
                let mut noise = Noise((size * 100 + c) as u64);
                let x = noise.array(dims);
                let out = [n, window.output(h), window.output(w), c];
                let dy = noise.array(out);
                let (mut y, mut dx) = (vec![f64::NEG_INFINITY; dy.data.len()], vec![0.0; x.data.len()]);
                for (o, y) in y.iter_mut().enumerate() {
                    let [k, ox, oy, b] =
                        [o % c, o / c % out[2], o / c / out[2] % out[1], o / c / out[2] / out[1]];
                    let mut winner = None;
                    for (ky, kx) in (0..size).flat_map(|ky| (0..size).map(move |kx| (ky, kx))) {
                        let (iy, ix) = (oy * stride + ky, ox * stride + kx);
                        if (padding..h + padding).contains(&iy) && (padding..w + padding).contains(&ix) {
                            let i = ((b * h + iy - padding) * w + ix - padding) * c + k;
                            if x.data[i] > *y {
                                (*y, winner) = (x.data[i], Some(i));
                            }
                        }
                    }
                    dx[winner.expect("a window holds a pixel")] += dy.data[o];
                }
                let tx = tensor(&x);
                let ty = max_pool2d_windows(tx.clone(), window);
                assert_eq!(ty.dims(), out);
                assert_close("y", ty.clone(), &y, 1e-7);
                let grads = (ty * tensor(&dy).detach()).sum().backward();
                assert_close("dx", tx.grad(&grads).expect("dx"), &dx, 1e-6);
            }
        }
    }

    #[test]
    fn nan_is_passed_on_to_all_windows_that_see_it() {
        let mut x = vec![1.0f32; 5 * 5];
        x[12] = f32::NAN;
        let x = Tensor::<1>::from_floats(x.as_slice(), &burn::tensor::Device::flex()).reshape([1, 5, 5, 1]);
        let y = max_pool2d_windows(x, MaxWindow { size: 3, stride: 2, padding: 1 });
        let y = y.into_data().try_into_vec::<f32>().unwrap();
        let nan: Vec<bool> = y.iter().map(|v| v.is_nan()).collect();
        assert_eq!(nan, [false, false, false, false, true, false, false, false, false]);
    }
}
