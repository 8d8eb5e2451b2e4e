//! The gradient of the weight: for every tap and channel, the sum of the products over all pixels.

use std::ops::Range;

use rayon::prelude::*;

use super::super::geometry::{ConvShape, Taps};
use super::super::weight::{TASKS, add_slots};
use super::{ColumnRun, load, runs};
use crate::scratch::Scratch;
use crate::simd::{Isa, Job, Path};

/// How the gradient is split into sums over some of the images. The split depends on the shape alone.
pub(super) struct Plan<'a> {
    path: Path,
    shape: &'a ConvShape,
    rows: Vec<Taps>,
    runs: Vec<ColumnRun>,
    pub(super) slots: usize,
    /// Sums of a slot, `[tap][channel]`.
    pub(super) len: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(path: Path, s: &'a ConvShape) -> Self {
        let columns: Vec<Taps> =
            (0..s.ow).map(|o| Taps::forward(o, s.kw, s.w, s.stride, s.padding)).collect();
        Self {
            path,
            shape: s,
            rows: (0..s.oh).map(|o| Taps::forward(o, s.kh, s.h, s.stride, s.padding)).collect(),
            runs: runs(&columns, 1, s.stride),
            slots: s.n.min(TASKS),
            len: s.taps() * s.cin,
        }
    }

    /// The images of a slot.
    pub(super) fn images(&self, slot: usize) -> Range<usize> {
        slot * self.shape.n / self.slots..(slot + 1) * self.shape.n / self.slots
    }

    /// Adds the products of an image.
    pub(super) fn add(&self, x: &[f32], dy: &[f32], sums: &mut [f32]) {
        self.path.run(Products { plan: self, x, dy, sums });
    }

    /// dw from the sums of all slots.
    pub(super) fn total(&self, sums: &mut [f32]) -> Vec<f32> {
        let (taps, channels) = (self.shape.taps(), self.shape.cin);
        let sums = add_slots(sums, self.len);
        (0..channels).flat_map(|c| sums[c..].iter().step_by(channels).take(taps).copied()).collect()
    }
}

pub(in super::super) fn backward_weight(path: Path, s: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let plan = Plan::new(path, s);
    let (x_image, dy_image) = (s.h * s.w * s.cin, s.oh * s.ow * s.cout);
    let mut scratch = Scratch::take(plan.slots * plan.len);
    let sums = &mut scratch.elements::<f32>()[..plan.slots * plan.len];
    sums.par_chunks_mut(plan.len).enumerate().for_each(|(slot, sums)| {
        sums.fill(0.0);
        for image in plan.images(slot) {
            plan.add(&x[image * x_image..][..x_image], &dy[image * dy_image..][..dy_image], sums);
        }
    });
    plan.total(sums)
}

/// Products of an image, `sums` as `[tap][channel]`.
struct Products<'a> {
    plan: &'a Plan<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    sums: &'a mut [f32],
}

/// Approximate number of pixels whose products are summed at a time.
const PIECE: usize = 128;

/// Rows and columns that read the same taps, up to three neighbouring ones. Offsets and steps are in elements.
struct Piece {
    taps: usize,
    rows: usize,
    columns: usize,
    /// Where x and dy of the first pixel and the sums of the first tap begin.
    x: usize,
    dy: usize,
    sums: usize,
    /// Distance of two rows.
    x_row: usize,
    dy_row: usize,
    /// Distance of two columns in x.
    x_step: usize,
}

impl Job for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let s = self.plan.shape;
        let block = (PIECE / s.ow).max(1);
        let mut pieces = Vec::new();
        for top in (0..s.oh).step_by(block) {
            pieces.clear();
            self.cut(top..(top + block).min(s.oh), &mut pieces);
            self.channels::<I>(&pieces);
        }
    }
}

impl Products<'_> {
    /// Splits some rows into pieces.
    fn cut(&self, rows: Range<usize>, pieces: &mut Vec<Piece>) {
        let s = self.plan.shape;
        for ky in 0..s.kh {
            // The rows whose tap lies inside the image are neighbours.
            let reaches = |o: &usize| self.plan.rows[*o].iter().any(|(tap, _)| tap == ky);
            let Some(first) = rows.clone().find(reaches) else { continue };
            let count = rows.clone().filter(reaches).count();
            let y = first * s.stride + ky - s.padding;
            for run in &self.plan.runs {
                for tap in (0..run.taps.count).step_by(3) {
                    let piece = Piece {
                        taps: (run.taps.count - tap).min(3),
                        rows: count,
                        columns: run.len,
                        x: (y * s.w + run.taps.source + tap) * s.cin,
                        dy: (first * s.ow + run.start) * s.cin,
                        sums: (ky * s.kw + run.taps.tap + tap) * s.cin,
                        x_row: s.stride * s.w * s.cin,
                        dy_row: s.ow * s.cin,
                        x_step: s.stride * s.cin,
                    };
                    // `tile` relies on this for its pointers.
                    let Piece { taps, rows, columns, x, dy, x_row, dy_row, x_step, .. } = piece;
                    assert!(x + (rows - 1) * x_row + (columns - 1) * x_step + taps * s.cin <= self.x.len());
                    assert!(dy + (rows - 1) * dy_row + columns * s.cin <= self.dy.len());
                    pieces.push(piece);
                }
            }
        }
    }

    /// Adds the pieces' products.
    #[inline(always)]
    fn channels<I: Isa>(&mut self, pieces: &[Piece]) {
        let channels = self.plan.shape.cin;
        if channels < I::LANES {
            return self.taps::<I, 1>(pieces, 0, channels, 0);
        }
        let mut channel = 0;
        while channel < channels {
            // The last vectors may overlap the ones before; they skip the channels that were added already.
            let left = channels - channel;
            if left >= 4 * I::LANES {
                self.taps::<I, 4>(pieces, channel, 4 * I::LANES, 0);
                channel += 4 * I::LANES;
            } else if left > I::LANES && channels >= 2 * I::LANES {
                let start = channel.min(channels - 2 * I::LANES);
                self.taps::<I, 2>(pieces, start, 2 * I::LANES, channel - start);
                channel += 2 * I::LANES;
            } else {
                let start = channel.min(channels - I::LANES);
                self.taps::<I, 1>(pieces, start, I::LANES, channel - start);
                channel += I::LANES;
            }
        }
    }

    #[inline(always)]
    fn taps<I: Isa, const V: usize>(&mut self, pieces: &[Piece], channel: usize, len: usize, skip: usize) {
        for piece in pieces {
            match piece.taps {
                1 => self.tile::<I, 1, V>(piece, channel, len, skip),
                2 => self.tile::<I, 2, V>(piece, channel, len, skip),
                _ => self.tile::<I, 3, V>(piece, channel, len, skip),
            }
        }
    }

    /// `len` channels, `V` vectors or part of one; the first `skip` channels' products are not added.
    #[inline(always)]
    fn tile<I: Isa, const T: usize, const V: usize>(
        &mut self,
        piece: &Piece,
        channel: usize,
        len: usize,
        skip: usize,
    ) {
        let channels = self.plan.shape.cin;
        // SAFETY: a job runs, so the instruction set is supported. `len` channels from `channel` on lie within a pixel;
        // `cut` has checked that the piece lies within x and dy. The array holds `V` vectors.
        unsafe {
            let mut total = [[I::zero(); V]; T];
            for row in 0..piece.rows {
                let mut x = self.x.as_ptr().add(piece.x + row * piece.x_row + channel);
                let mut dy = self.dy.as_ptr().add(piece.dy + row * piece.dy_row + channel);
                let mut left = piece.columns;
                while left >= 4 {
                    if piece.x_step == channels {
                        add_products::<I, 4, T, V>(x, dy, channels, channels, len, &mut total);
                    } else {
                        add_products::<I, 4, T, V>(x, dy, channels, piece.x_step, len, &mut total);
                    }
                    x = x.wrapping_add(4 * piece.x_step);
                    dy = dy.wrapping_add(4 * channels);
                    left -= 4;
                }
                for _ in 0..left {
                    add_products::<I, 1, T, V>(x, dy, channels, channels, len, &mut total);
                    x = x.wrapping_add(piece.x_step);
                    dy = dy.wrapping_add(channels);
                }
            }
            for (tap, total) in total.iter().enumerate() {
                let to = &mut self.sums[piece.sums + tap * channels + channel..][..len];
                if skip == 0 && len >= I::LANES {
                    for (v, total) in total.iter().enumerate() {
                        let to = to.as_mut_ptr().add(v * I::LANES);
                        I::store(to, I::add(I::load(to), *total));
                    }
                } else {
                    let mut values = [0.0; 64];
                    for (v, total) in total.iter().enumerate() {
                        I::store(values.as_mut_ptr().add(v * I::LANES), *total);
                    }
                    to[skip..].iter_mut().zip(&values[skip..]).for_each(|(to, value)| *to += value);
                }
            }
        }
    }
}

/// Adds the products of `P` columns `x_step` apart with `T` taps.
#[inline(always)]
unsafe fn add_products<I: Isa, const P: usize, const T: usize, const V: usize>(
    x: *const f32,
    dy: *const f32,
    channels: usize,
    x_step: usize,
    len: usize,
    total: &mut [[I::V; V]; T],
) {
    // SAFETY: the caller's promise.
    unsafe {
        for v in 0..V {
            for p in 0..P {
                let d = load::<I>(dy.add(p * channels), v, len);
                for (tap, total) in total.iter_mut().enumerate() {
                    total[v] = I::fma(load::<I>(x.add(p * x_step + tap * channels), v, len), d, total[v]);
                }
            }
        }
    }
}
