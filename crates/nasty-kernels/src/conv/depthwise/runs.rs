//! Any geometry: columns with the same taps form runs, and several columns of a run are computed at a time.

use super::super::geometry::Taps;
use super::super::output::Shared;
use super::super::pack::CHUNK;
use super::{Gather, Rows, load};
use crate::simd::Isa;

/// Columns `start + i step` for i in `0..len`, which have the same taps; the first source moves by `source_step` a column.
#[derive(Clone, Copy, Debug)]
pub(super) struct ColumnRun {
    pub(super) start: usize,
    step: usize,
    pub(super) len: usize,
    source_step: usize,
    pub(super) taps: Taps,
}

/// Splits columns into runs of columns `step` apart.
pub(super) fn runs(columns: &[Taps], step: usize, source_step: usize) -> Vec<ColumnRun> {
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

/// Columns of a run with the kernel's rows that reach them.
struct Strip<'a> {
    x: &'a [f32],
    /// For each of those rows: where the leftmost source of the run's first column begins, and where its weights begin.
    lines: &'a [[usize; 2]],
    /// Distance of two rows of sources.
    row: usize,
    /// Distance of a tap and its right neighbour in the weight.
    weight_step: isize,
    source_step: usize,
    y: Shared<'a>,
    bounds: Option<[f32; 2]>,
    /// Where the destination of the first column begins.
    to: usize,
    to_step: usize,
}

impl Rows<'_> {
    /// All rows, run by run.
    #[inline(always)]
    pub(super) fn by_runs<I: Isa>(mut self) {
        let g = self.gather;
        let mut lines = Vec::new();
        for row in self.rows.clone() {
            for run in &g.runs {
                let across = run.taps;
                // From left to right, though the gradient's taps are listed from right to left.
                let (tap, source) = across.leftmost();
                lines.clear();
                let down = if across.count > 0 { g.rows[row] } else { Taps::default() };
                let sources = (run.len - 1) * run.source_step + across.count;
                for (ky, y) in down.iter() {
                    let x = ((y - self.first) * g.source[1] + source) * g.channels;
                    let weight = (ky * g.kernel_width + tap) * g.channels;
                    // `tile` relies on this for its pointers.
                    assert!(x + sources * g.channels <= self.x.len() && weight < g.weight.len());
                    lines.push([x, weight]);
                }
                self.ahead.lines::<I>(run.len * g.channels.div_ceil(CHUNK));
                let strip = Strip {
                    x: self.x,
                    lines: &lines,
                    row: g.source[1] * g.channels,
                    weight_step: across.source_step * (across.tap_step * g.channels) as isize,
                    source_step: run.source_step,
                    y: self.y,
                    bounds: self.bounds,
                    to: ((self.image * g.destination[0] + row) * g.destination[1] + run.start) * g.channels,
                    to_step: run.step * g.channels,
                };
                match (across.count, run.source_step) {
                    (2, 1) => g.strip::<I, 2, true>(&strip, run.len, 2),
                    (1, 1) => g.strip::<I, 1, true>(&strip, run.len, 1),
                    (3, _) => g.strip::<I, 3, false>(&strip, run.len, 3),
                    (count, _) => g.strip::<I, 1, false>(&strip, run.len, count),
                }
            }
        }
    }
}

impl Gather {
    /// A run, `T` of `taps` taps at a time. With `UNIT`, neighbouring columns read neighbouring sources.
    #[inline(always)]
    fn strip<I: Isa, const T: usize, const UNIT: bool>(&self, strip: &Strip<'_>, len: usize, taps: usize) {
        let mut column = 0;
        while column < len {
            match len - column {
                4.. => {
                    self.columns::<I, 4, T, UNIT>(strip, column, taps);
                    column += 4;
                }
                2.. => {
                    self.columns::<I, 2, T, UNIT>(strip, column, taps);
                    column += 2;
                }
                _ => {
                    self.columns::<I, 1, T, UNIT>(strip, column, taps);
                    column += 1;
                }
            }
        }
    }

    /// All channels of `P` columns.
    #[inline(always)]
    fn columns<I: Isa, const P: usize, const T: usize, const UNIT: bool>(
        &self,
        strip: &Strip<'_>,
        column: usize,
        taps: usize,
    ) {
        if self.channels < I::LANES {
            return self.tile::<I, P, 1, T, UNIT>(strip, column, taps, 0, self.channels);
        }
        let mut channel = 0;
        while channel < self.channels {
            // The last vectors may overlap the ones before.
            let left = self.channels - channel;
            if left > I::LANES && self.channels >= 2 * I::LANES {
                let start = channel.min(self.channels - 2 * I::LANES);
                self.tile::<I, P, 2, T, UNIT>(strip, column, taps, start, 2 * I::LANES);
                channel += 2 * I::LANES;
            } else {
                let start = channel.min(self.channels - I::LANES);
                self.tile::<I, P, 1, T, UNIT>(strip, column, taps, start, I::LANES);
                channel += I::LANES;
            }
        }
    }

    /// `len` channels, `V` vectors or part of one.
    #[inline(always)]
    fn tile<I: Isa, const P: usize, const V: usize, const T: usize, const UNIT: bool>(
        &self,
        strip: &Strip<'_>,
        column: usize,
        taps: usize,
        channel: usize,
        len: usize,
    ) {
        let step = if UNIT { 1 } else { strip.source_step };
        let channels = self.channels;
        // SAFETY: a job runs, so the instruction set is supported. `len` channels from `channel` on lie within a pixel;
        // `by_runs` has checked that the strip's sources and weights lie within x and the weight.
        unsafe {
            let mut sums = [[I::zero(); V]; P];
            if let Some(bias) = &self.bias {
                let bias = bias[channel..channel + len].as_ptr();
                for v in 0..V {
                    let bias = load::<I>(bias, v, len);
                    for sums in &mut sums {
                        sums[v] = bias;
                    }
                }
            }
            if let Some(x) = strip.lines.iter().map(|[x, _]| x).max() {
                // The row below comes from memory next, in more streams than the hardware prefetcher follows.
                let below = strip.x.as_ptr().wrapping_add(x + column * step * channels + channel + strip.row);
                for p in 0..P * step {
                    for v in 0..V {
                        I::prefetch(below.wrapping_add(p * channels + v * I::LANES));
                    }
                }
            }
            for [x, weight] in strip.lines {
                let mut x = strip.x.as_ptr().add(x + column * step * channels + channel);
                let mut weight = self.weight.as_ptr().add(weight + channel);
                for _ in 0..taps / T {
                    for t in 0..T {
                        for v in 0..V {
                            let w = load::<I>(weight, v, len);
                            for (p, sums) in sums.iter_mut().enumerate() {
                                let x = load::<I>(x.add((p * step + t) * channels), v, len);
                                sums[v] = I::fma(x, w, sums[v]);
                            }
                        }
                        weight = weight.wrapping_offset(strip.weight_step);
                    }
                    x = x.wrapping_add(T * channels);
                }
            }
            if let Some([low, high]) = &strip.bounds {
                let (low, high) = (I::splat(low), I::splat(high));
                for sum in sums.iter_mut().flatten() {
                    *sum = I::clamp(*sum, low, high);
                }
            }
            for (p, sums) in sums.iter().enumerate() {
                let to = strip.y.at(strip.to + (column + p) * strip.to_step + channel, len);
                for v in 0..V {
                    // For the next columns: without it their stores would wait for the cache lines.
                    I::prefetch_write(to.wrapping_add(P * strip.to_step + v * I::LANES));
                }
                for (v, sum) in sums.iter().enumerate() {
                    if len < I::LANES {
                        I::store_first(to, len, *sum);
                    } else {
                        I::store(to.add(v * I::LANES), *sum);
                    }
                }
            }
        }
    }
}
