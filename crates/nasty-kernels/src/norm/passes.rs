//! Whole tensors, block by block in parallel. A lane of a block is summed in f32, everything else in f64 and in the order of
//! the blocks, so results are the same to the last bit with any number of threads.
#![allow(unsafe_code, reason = "results are not filled with zeros first")]

use std::mem::MaybeUninit;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::kernels::{self, Correction, Form};
use super::lanes::Lanes;
use crate::Activation;
use crate::buffers::filled;
use crate::lock::lock;

/// Elements of a block of operations that ignore channels.
const FLAT_BLOCK: usize = 32 << 10;

/// The vectors of the normal form, one value a channel.
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    pub(super) mean: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) shift: Vec<f32>,
}

/// [`Channels`] repeated along a wide row.
#[derive(Clone, Debug)]
pub(crate) struct Wide {
    pub(super) lanes: Lanes,
    mean: Vec<f32>,
    scale: Vec<f32>,
    shift: Vec<f32>,
}

impl Wide {
    pub(crate) fn new(channels: &Channels) -> Self {
        let lanes = Lanes::new(channels.mean.len());
        let [mean, scale, shift] =
            [&channels.mean, &channels.scale, &channels.shift].map(|values| lanes.widen(values));
        Self { lanes, mean, scale, shift }
    }

    /// For `scale x + shift`.
    pub(crate) fn of_scale_shift(scale: Vec<f32>, shift: Vec<f32>) -> Self {
        Self::new(&Channels { mean: vec![0.0; scale.len()], scale, shift })
    }

    pub(super) fn form(&self) -> Form<'_> {
        Form { mean: &self.mean, scale: &self.scale, shift: &self.shift }
    }

    /// y = `activation(v)` of whole pixels, on the calling thread. Writes every element of y.
    pub(crate) fn pixels(&self, x: &[f32], activation: Activation, y: &mut [MaybeUninit<f32>]) {
        kernels::forward(x, None, self.form(), activation, y);
    }
}

/// Mean and biased variance of every channel.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    pub(super) mean: Vec<f64>,
    pub(super) variance: Vec<f64>,
}

/// The moments of x `[rows, channels]`.
pub(super) fn moments(x: &[f32], channels: usize) -> Moments {
    let sums = MomentSums::new(channels);
    let block = sums.lanes.block;
    x.par_chunks(block).enumerate().for_each(|(i, x)| sums.add(i * block, x));
    sums.moments()
}

/// Pixels in a block, their mean, and Σ (x − mean)².
type BlockMoments = (f64, Vec<f64>, Vec<f64>);

/// Collects [`Moments`] from blocks that arrive in any order.
pub(crate) struct MomentSums {
    channels: usize,
    lanes: Lanes,
    blocks: Mutex<Vec<(usize, BlockMoments)>>,
}

impl MomentSums {
    pub(crate) fn new(channels: usize) -> Self {
        Self { channels, lanes: Lanes::new(channels), blocks: Mutex::default() }
    }

    /// Adds whole pixels, the first of which begins at `at`.
    pub(crate) fn add(&self, at: usize, pixels: &[f32]) {
        for (i, block) in pixels.chunks(self.lanes.block).enumerate() {
            let moments = self.of(block);
            lock(&self.blocks).push((at + i * self.lanes.block, moments));
        }
    }

    fn of(&self, x: &[f32]) -> BlockMoments {
        // Relative to one of the channel's values, squares have the magnitude of the variance, whatever the mean is.
        let lanes = &self.lanes;
        let (pivot, mut sum, mut square) = (lanes.widen(&x[..self.channels]), lanes.zeros(), lanes.zeros());
        kernels::moments(x, &pivot, &mut sum, &mut square);
        let count = (x.len() / self.channels) as f64;
        let share = 1.0 / count;
        let (mut mean, mut scatter) = (lanes.narrow(&sum), lanes.narrow(&square));
        for ((m, s), p) in mean.iter_mut().zip(&mut scatter).zip(&pivot) {
            let apart = *m * share;
            *s -= *m * apart;
            *m = f64::from(*p) + apart;
        }
        (count, mean, scatter)
    }

    /// The moments of all pixels that were added.
    pub(crate) fn moments(self) -> Moments {
        let blocks = in_order(self.blocks);
        let rows: f64 = blocks.iter().map(|(count, ..)| count).sum();
        let (mut mean, mut variance) = (vec![0.0; self.channels], vec![0.0; self.channels]);
        for (count, block, _) in &blocks {
            kernels::add_part(&mut mean, block, count / rows);
        }
        for (count, block, scatter) in &blocks {
            kernels::add_scatter(&mut variance, &mean, [block, scatter], [*count, rows]);
        }
        Moments { mean, variance }
    }
}

/// Results of tasks, sorted by position: in the order in which tasks end, sums would round differently every time.
fn in_order<T>(parts: Mutex<Vec<(usize, T)>>) -> Vec<T> {
    let mut parts = parts.into_inner().unwrap_or_else(PoisonError::into_inner);
    parts.sort_unstable_by_key(|(at, _)| *at);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// `activation(v + residual)`.
pub(super) fn forward(x: &[f32], residual: Option<&[f32]>, wide: &Wide, activation: Activation) -> Vec<f32> {
    let block = wide.lanes.block;
    // SAFETY: the blocks cover all of y, which is as long as x, and the kernel writes one value of y for each of x.
    unsafe {
        filled(x.len(), |y| {
            let blocks = y.par_chunks_mut(block).zip(x.par_chunks(block)).enumerate();
            blocks.for_each(|(i, (y, x))| {
                let residual = residual.map(|r| &r[i * block..][..x.len()]);
                kernels::forward(x, residual, wide.form(), activation, y);
            });
        })
    }
}

/// [`forward`] in place of x.
pub(super) fn forward_in_place(x: &mut [f32], residual: Option<&[f32]>, wide: &Wide, activation: Activation) {
    let block = wide.lanes.block;
    x.par_chunks_mut(block).enumerate().for_each(|(i, x)| {
        let residual = residual.map(|r| &r[i * block..][..x.len()]);
        kernels::forward_in_place(x, residual, wide.form(), activation);
    });
}

/// Masks dy by y, the result of the activation.
pub(super) fn mask(dy: &mut [f32], y: &[f32], activation: Activation) {
    if activation != Activation::None {
        dy.par_chunks_mut(FLAT_BLOCK)
            .zip(y.par_chunks(FLAT_BLOCK))
            .for_each(|(dy, y)| kernels::mask(dy, y, activation));
    }
}

/// Σ d and Σ d (x − mean) of every channel.
type Sums = (Vec<f64>, Vec<f64>);

/// Σ d and Σ d (x − mean), where d is dy masked by activation(v).
pub(super) fn sums(dy: &[f32], x: &[f32], wide: &Wide, activation: Activation) -> Sums {
    let (sums, block) = (GradientSums::new(wide, activation), wide.lanes.block);
    dy.par_chunks(block)
        .zip(x.par_chunks(block))
        .enumerate()
        .for_each(|(i, (dy, x))| sums.add(i * block, dy, x));
    sums.total()
}

/// Collects [`sums`] from blocks that arrive in any order.
pub(crate) struct GradientSums<'a> {
    wide: &'a Wide,
    activation: Activation,
    blocks: Mutex<Vec<(usize, Sums)>>,
}

impl<'a> GradientSums<'a> {
    pub(super) fn new(wide: &'a Wide, activation: Activation) -> Self {
        Self { wide, activation, blocks: Mutex::default() }
    }

    /// Adds whole pixels, the first of which begins at `at`.
    pub(crate) fn add(&self, at: usize, dy: &[f32], x: &[f32]) {
        let block = self.wide.lanes.block;
        for (i, (dy, x)) in dy.chunks(block).zip(x.chunks(block)).enumerate() {
            let sums = block_sums(dy, x, self.wide, self.activation);
            lock(&self.blocks).push((at + i * block, sums));
        }
    }

    /// The sums of all pixels that were added.
    pub(super) fn total(self) -> Sums {
        total(in_order(self.blocks))
    }
}

/// Masks dy by y in place, and returns the [`sums`] of the result.
pub(super) fn mask_and_sum(
    dy: &mut [f32],
    y: &[f32],
    x: &[f32],
    wide: &Wide,
    activation: Activation,
) -> Sums {
    let block = wide.lanes.block;
    let blocks: Vec<_> = dy
        .par_chunks_mut(block)
        .zip(y.par_chunks(block).zip(x.par_chunks(block)))
        .map(|(dy, (y, x))| {
            kernels::mask(dy, y, activation);
            block_sums(dy, x, wide, Activation::None)
        })
        .collect();
    total(blocks)
}

fn block_sums(dy: &[f32], x: &[f32], wide: &Wide, activation: Activation) -> Sums {
    let (mut sum, mut product) = (wide.lanes.zeros(), wide.lanes.zeros());
    kernels::sums(dy, x, wide.form(), activation, &mut sum, &mut product);
    (wide.lanes.narrow(&sum), wide.lanes.narrow(&product))
}

fn total(blocks: Vec<Sums>) -> Sums {
    let mut blocks = blocks.into_iter();
    let (mut sum, mut product) = blocks.next().unwrap_or_default();
    for (s, p) in blocks {
        kernels::add_part(&mut sum, &s, 1.0);
        kernels::add_part(&mut product, &p, 1.0);
    }
    (sum, product)
}

/// Slope and offset of the [`Correction`], widened.
#[derive(Debug)]
pub(super) struct WideCorrection {
    slope: Vec<f32>,
    offset: Vec<f32>,
}

impl WideCorrection {
    pub(super) fn new(lanes: &Lanes, slope: &[f32], offset: &[f32]) -> Self {
        Self { slope: lanes.widen(slope), offset: lanes.widen(offset) }
    }

    pub(super) fn vectors(&self) -> Correction<'_> {
        Correction { slope: &self.slope, offset: &self.offset }
    }
}

/// dy becomes dx.
pub(super) fn gradient(
    dy: &mut [f32],
    x: &[f32],
    wide: &Wide,
    activation: Activation,
    correction: Option<Correction<'_>>,
) {
    let block = wide.lanes.block;
    dy.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(dy, x)| {
        kernels::gradient(dy, x, wide.form(), activation, correction);
    });
}

/// dx in memory of its own, because dy is still needed.
pub(super) fn gradient_beside(
    dy: &[f32],
    x: &[f32],
    wide: &Wide,
    activation: Activation,
    correction: Option<Correction<'_>>,
) -> Vec<f32> {
    let block = wide.lanes.block;
    assert_eq!(x.len(), dy.len(), "x has the shape of dy");
    // SAFETY: the blocks cover all of dx, which is as long as dy and x, and the kernel writes one value of dx for each of
    // both.
    unsafe {
        filled(dy.len(), |dx| {
            dx.par_chunks_mut(block).zip(dy.par_chunks(block)).zip(x.par_chunks(block)).for_each(
                |((dx, dy), x)| {
                    kernels::gradient_beside(dy, x, wide.form(), activation, correction, dx);
                },
            );
        })
    }
}

/// The activation alone, in place of x.
pub(super) fn activate(x: &mut [f32], activation: Activation) {
    if activation != Activation::None {
        x.par_chunks_mut(FLAT_BLOCK).for_each(|x| kernels::activate(x, activation));
    }
}
