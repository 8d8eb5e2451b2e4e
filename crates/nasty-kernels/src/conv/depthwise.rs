//! Depthwise convolution: every channel by itself, vectors along channels, straight from and to the tensors. Bound by
//! memory, so always in f32.
//!
//! Columns with the same taps form runs; the inner loops take several columns of a run at a time.

use rayon::prelude::*;

use super::geometry::{ConvShape, Taps};
use super::inner::{load_part, store_part};
use super::output::{Output, Shared};
use crate::scratch::Scratch;
use crate::simd::{Isa, Job, Path};

/// Columns `start + i step` for i in `0..len` have the same taps; the first source moves by `source_step` a column.
#[derive(Clone, Copy, Debug)]
struct ColumnRun {
    start: usize,
    step: usize,
    len: usize,
    source_step: usize,
    taps: Taps,
}

/// Cuts columns into runs; those `step` apart have taps alike.
fn runs(columns: &[Taps], step: usize, source_step: usize) -> Vec<ColumnRun> {
    let mut runs: Vec<ColumnRun> = Vec::new();
    for phase in 0..step.min(columns.len()) {
        let first = runs.len();
        for (column, taps) in columns.iter().enumerate().skip(phase).step_by(step) {
            if let Some(run) = runs[first..].last_mut()
                && (run.taps.tap, run.taps.count) == (taps.tap, taps.count)
                && (taps.count == 0 || run.taps.source + run.len * run.source_step == taps.source)
            {
                run.len += 1;
            } else {
                runs.push(ColumnRun { start: column, step, len: 1, source_step, taps: *taps });
            }
        }
    }
    runs
}

/// Sums over taps of one side's pixels for the other: forward or the gradient of the input.
struct Gather<'a> {
    channels: usize,
    /// Rows and columns.
    source: [usize; 2],
    destination: [usize; 2],
    rows: Vec<Taps>,
    runs: Vec<ColumnRun>,
    kernel_width: usize,
    x: &'a [f32],
    /// `[tap][channel]`.
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    y: Shared<'a>,
}

pub(super) fn forward(
    path: Path,
    s: &ConvShape,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    let columns: Vec<Taps> = (0..s.ow).map(|o| Taps::forward(o, s.kw, s.w, s.stride, s.padding)).collect();
    let weight = by_tap(weight, s.taps());
    let mut y = Output::new(s.y().iter().product());
    let gather = Gather {
        channels: s.cin,
        source: [s.h, s.w],
        destination: [s.oh, s.ow],
        rows: (0..s.oh).map(|o| Taps::forward(o, s.kh, s.h, s.stride, s.padding)).collect(),
        runs: runs(&columns, 1, s.stride),
        kernel_width: s.kw,
        x,
        weight: &weight,
        bias,
        y: y.share(),
    };
    gather.run(path, s.n);
    // SAFETY: the runs cover every column, and `run` every row of every image.
    unsafe { y.finish() }
}

pub(super) fn backward_input(path: Path, s: &ConvShape, weight: &[f32], dy: &[f32]) -> Vec<f32> {
    let columns: Vec<Taps> = (0..s.w).map(|i| Taps::backward(i, s.kw, s.ow, s.stride, s.padding)).collect();
    let weight = by_tap(weight, s.taps());
    let mut dx = Output::new(s.x().iter().product());
    let gather = Gather {
        channels: s.cin,
        source: [s.oh, s.ow],
        destination: [s.h, s.w],
        rows: (0..s.h).map(|i| Taps::backward(i, s.kh, s.oh, s.stride, s.padding)).collect(),
        runs: runs(&columns, s.stride, 1),
        kernel_width: s.kw,
        x: dy,
        weight: &weight,
        bias: None,
        y: dx.share(),
    };
    gather.run(path, s.n);
    // SAFETY: as in `forward`.
    unsafe { dx.finish() }
}

/// `[channel][tap]` → `[tap][channel]`.
fn by_tap(weight: &[f32], taps: usize) -> Vec<f32> {
    (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied()).collect()
}

impl Gather<'_> {
    fn run(&self, path: Path, images: usize) {
        let rows = images * self.destination[0];
        // Some thousand pixels times channels a task.
        let block = (16384 / (self.destination[1] * self.channels)).max(1);
        (0..rows.div_ceil(block)).into_par_iter().for_each(|i| {
            path.run(Rows { gather: self, rows: i * block..((i + 1) * block).min(rows) });
        });
    }
}

/// Rows counted through all images.
struct Rows<'a> {
    gather: &'a Gather<'a>,
    rows: std::ops::Range<usize>,
}

impl Job for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let g = self.gather;
        for at in self.rows {
            let (image, row) = (at / g.destination[0], at % g.destination[0]);
            for run in &g.runs {
                let mut column = 0;
                while column + 4 <= run.len {
                    g.columns::<I, 4>(image, row, run, column);
                    column += 4;
                }
                for column in column..run.len {
                    g.columns::<I, 1>(image, row, run, column);
                }
            }
        }
    }
}

impl Gather<'_> {
    /// All channels of `P` columns of a run.
    #[inline(always)]
    fn columns<I: Isa, const P: usize>(&self, image: usize, row: usize, run: &ColumnRun, column: usize) {
        let mut channel = 0;
        while channel < self.channels {
            let left = self.channels - channel;
            if left >= 2 * I::LANES {
                self.tile::<I, P, 2>(image, row, run, column, channel, 2 * I::LANES);
                channel += 2 * I::LANES;
            } else {
                // The last vector may lap over the one before.
                let start = if left < I::LANES { self.channels.saturating_sub(I::LANES) } else { channel };
                let len = (self.channels - start).min(I::LANES);
                self.tile::<I, P, 1>(image, row, run, column, start, len);
                channel = start + len;
            }
        }
    }

    /// `len` channels, `V` vectors or part of one, of `P` columns.
    #[inline(always)]
    fn tile<I: Isa, const P: usize, const V: usize>(
        &self,
        image: usize,
        row: usize,
        run: &ColumnRun,
        column: usize,
        channel: usize,
        len: usize,
    ) {
        let whole = len == V * I::LANES;
        let down = self.rows[row];
        let bias = self.bias.map_or([].as_slice(), |b| &b[channel..channel + len]);
        // SAFETY: the instruction set is there, for a job runs. All pointers come from slices or `Shared::at` of
        // `len` values, and loads of part of a vector read no more.
        unsafe {
            let load = |from: &[f32], v: usize| {
                if whole {
                    I::load(from.as_ptr().add(v * I::LANES))
                } else {
                    load_part::<I>(from.as_ptr(), 0, len)
                }
            };
            let mut sums = [[I::zero(); V]; P];
            if !bias.is_empty() {
                for sums in &mut sums {
                    for (v, sum) in sums.iter_mut().enumerate() {
                        *sum = load(bias, v);
                    }
                }
            }
            for (ky, y) in down.iter() {
                for (kx, x) in run.taps.iter() {
                    let mut weights = [I::zero(); V];
                    for (v, w) in weights.iter_mut().enumerate() {
                        *w = load(
                            &self.weight[(ky * self.kernel_width + kx) * self.channels + channel..][..len],
                            v,
                        );
                    }
                    let x = x + column * run.source_step;
                    let first = ((image * self.source[0] + y) * self.source[1] + x) * self.channels + channel;
                    for (p, sums) in sums.iter_mut().enumerate() {
                        let pixel = &self.x[first + p * run.source_step * self.channels..][..len];
                        for (v, sum) in sums.iter_mut().enumerate() {
                            *sum = I::fma(load(pixel, v), weights[v], *sum);
                        }
                    }
                }
            }
            for (p, sums) in sums.iter().enumerate() {
                let x = run.start + (column + p) * run.step;
                let at =
                    ((image * self.destination[0] + row) * self.destination[1] + x) * self.channels + channel;
                let to = self.y.at(at, len);
                for (v, sum) in sums.iter().enumerate() {
                    if whole {
                        I::store(to.add(v * I::LANES), *sum)
                    } else {
                        store_part::<I>(to, 0, len, *sum)
                    }
                }
            }
        }
    }
}

/// Parts of the images whose gradients are summed one by one; see `weight::TASKS`.
const PARTS: usize = 16;

pub(super) fn backward_weight(path: Path, s: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let columns: Vec<Taps> = (0..s.ow).map(|o| Taps::forward(o, s.kw, s.w, s.stride, s.padding)).collect();
    let rows: Vec<Taps> = (0..s.oh).map(|o| Taps::forward(o, s.kh, s.h, s.stride, s.padding)).collect();
    let runs = runs(&columns, 1, s.stride);
    let parts = s.n.min(PARTS);
    let len = s.taps() * s.cin;
    let mut scratch = Scratch::take(parts * len);
    let sums = &mut scratch.elements::<f32>()[..parts * len];
    sums.par_chunks_mut(len).enumerate().for_each(|(part, sums)| {
        sums.fill(0.0);
        let images = part * s.n / parts..(part + 1) * s.n / parts;
        path.run(Products { shape: s, rows: &rows, runs: &runs, x, dy, images, sums });
    });
    let mut dw = vec![0.0; len];
    for sums in sums.chunks_exact(len) {
        for (i, dw) in dw.iter_mut().enumerate() {
            *dw += sums[i % s.taps() * s.cin + i / s.taps()];
        }
    }
    dw
}

/// Products of some images, `sums` as `[tap][channel]`.
struct Products<'a> {
    shape: &'a ConvShape,
    rows: &'a [Taps],
    runs: &'a [ColumnRun],
    x: &'a [f32],
    dy: &'a [f32],
    images: std::ops::Range<usize>,
    sums: &'a mut [f32],
}

impl Job for Products<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        let (s, rows, runs) = (self.shape, self.rows, self.runs);
        for (image, row) in self.images.clone().flat_map(|i| (0..s.oh).map(move |r| (i, r))) {
            for ((ky, y), run) in rows[row].iter().flat_map(|tap| runs.iter().map(move |run| (tap, run))) {
                let dy = ((image * s.oh + row) * s.ow + run.start) * s.cin;
                let x = ((image * s.h + y) * s.w + run.taps.source) * s.cin;
                let mut tap = 0;
                while tap < run.taps.count {
                    let sums = (ky * s.kw + run.taps.tap + tap) * s.cin;
                    let x = x + tap * s.cin;
                    match run.taps.count - tap {
                        1 => self.channels::<I, 1>(run, x, dy, sums),
                        2 => self.channels::<I, 2>(run, x, dy, sums),
                        _ => self.channels::<I, 3>(run, x, dy, sums),
                    }
                    tap += 3;
                }
            }
        }
    }
}

impl Products<'_> {
    /// Adds a run's products for `T` neighbouring taps; arguments are where x, dy and the sums begin.
    #[inline(always)]
    fn channels<I: Isa, const T: usize>(&mut self, run: &ColumnRun, x: usize, dy: usize, sums: usize) {
        let channels = self.shape.cin;
        let mut c = 0;
        while c < channels {
            let left = channels - c;
            if left >= 4 * I::LANES {
                self.tile::<I, T, 4>(run, x + c, dy + c, sums + c, 4 * I::LANES);
                c += 4 * I::LANES;
            } else {
                let len = left.min(I::LANES);
                self.tile::<I, T, 1>(run, x + c, dy + c, sums + c, len);
                c += len;
            }
        }
    }

    #[inline(always)]
    fn tile<I: Isa, const T: usize, const V: usize>(
        &mut self,
        run: &ColumnRun,
        x: usize,
        dy: usize,
        sums: usize,
        len: usize,
    ) {
        let channels = self.shape.cin;
        let whole = len == V * I::LANES;
        // SAFETY: as in `Gather::tile`.
        unsafe {
            let load = |from: &[f32], v: usize| {
                if whole {
                    I::load(from.as_ptr().add(v * I::LANES))
                } else {
                    load_part::<I>(from.as_ptr(), 0, len)
                }
            };
            let mut total = [[I::zero(); V]; T];
            for column in 0..run.len {
                let dy = &self.dy[dy + column * channels..][..len];
                for v in 0..V {
                    let d = load(dy, v);
                    for (tap, total) in total.iter_mut().enumerate() {
                        let x = &self.x[x + (column * run.source_step + tap) * channels..][..len];
                        total[v] = I::fma(load(x, v), d, total[v]);
                    }
                }
            }
            for (tap, total) in total.iter().enumerate() {
                let to = &mut self.sums[sums + tap * channels..][..len];
                for (v, total) in total.iter().enumerate() {
                    let sum = I::add(load(to, v), *total);
                    if whole {
                        I::store(to.as_mut_ptr().add(v * I::LANES), sum);
                    } else {
                        store_part::<I>(to.as_mut_ptr(), 0, len, sum);
                    }
                }
            }
        }
    }
}
