//! Kernels three columns wide with stride 1 and padding 1: a source is loaded once for the three destinations that read it.

use super::super::pack::CHUNK;
use super::{Rows, load};
use crate::simd::Isa;

/// Offsets of the first elements of source rows and of the weight rows that go with them.
type Lines = [[usize; 2]];

impl Rows<'_> {
    /// All rows. With `flipped`, taps run from right to left.
    #[inline(always)]
    pub(super) fn slide<I: Isa>(mut self, flipped: bool) {
        let g = self.gather;
        let width = g.destination[1];
        let row_len = width * g.channels;
        assert!(g.source[1] == width && g.kernel_width == 3, "`vector` relies on this for its pointers");
        // At a time as many columns as leave their sums and a row of the weight in registers.
        let strips = width.div_ceil(I::IMAGES);
        let mut lines = Vec::new();
        for row in self.rows.clone() {
            lines.clear();
            for (ky, y) in g.rows[row].iter() {
                let [x, weight] = [(y - self.first) * row_len, ky * 3 * g.channels];
                assert!(x + row_len <= self.x.len() && weight + 3 * g.channels <= g.weight.len());
                lines.push([x, weight]);
            }
            let to = (self.image * g.destination[0] + row) * row_len;
            for strip in 0..strips {
                let (start, end) = (strip * width / strips, (strip + 1) * width / strips);
                match end - start {
                    1 => self.columns::<I, 1>(&lines, to, start, flipped),
                    2 => self.columns::<I, 2>(&lines, to, start, flipped),
                    3 => self.columns::<I, 3>(&lines, to, start, flipped),
                    4 => self.columns::<I, 4>(&lines, to, start, flipped),
                    5 => self.columns::<I, 5>(&lines, to, start, flipped),
                    6 => self.columns::<I, 6>(&lines, to, start, flipped),
                    7 => self.columns::<I, 7>(&lines, to, start, flipped),
                    _ => self.columns::<I, 8>(&lines, to, start, flipped),
                }
            }
        }
    }

    /// All channels of `P` columns of the row that begins at `to`.
    #[inline(always)]
    fn columns<I: Isa, const P: usize>(&mut self, lines: &Lines, to: usize, column: usize, flipped: bool) {
        let channels = self.gather.channels;
        let len = channels.min(I::LANES);
        for channel in (0..channels).step_by(I::LANES) {
            self.ahead.lines::<I>(P * len.div_ceil(CHUNK));
            // The last vector may overlap the one before.
            self.vector::<I, P>(lines, to, column, channel.min(channels - len), len, flipped);
        }
    }

    /// `len` channels, a vector or part of one.
    #[inline(always)]
    fn vector<I: Isa, const P: usize>(
        &self,
        lines: &Lines,
        to: usize,
        column: usize,
        channel: usize,
        len: usize,
        flipped: bool,
    ) {
        let g = self.gather;
        let (channels, width) = (g.channels, g.destination[1]);
        // SAFETY: a job runs, so the instruction set is supported. `len` channels from `channel` on lie within a pixel;
        // `slide` has checked that the rows of sources and weights lie within x and the weight.
        unsafe {
            let mut sums = [I::zero(); P];
            if let Some(bias) = &g.bias {
                sums = [load::<I>(bias[channel..channel + len].as_ptr(), 0, len); P];
            }
            for [x, weight] in lines {
                let x = self.x.as_ptr().add(x + channel);
                let weight = g.weight.as_ptr().add(weight + channel);
                let tap =
                    |t: usize| load::<I>(weight.add(if flipped { 2 - t } else { t } * channels), 0, len);
                let taps = [tap(0), tap(1), tap(2)];
                for source in 0..P + 2 {
                    // From one to the left of the columns to one to the right.
                    let at = column + source;
                    if at == 0 || at > width {
                        continue;
                    }
                    let v = load::<I>(x.add((at - 1) * channels), 0, len);
                    for (t, tap) in taps.iter().enumerate() {
                        if source >= t && source - t < P {
                            sums[source - t] = I::fma(v, *tap, sums[source - t]);
                        }
                    }
                }
            }
            if let Some([low, high]) = &self.bounds {
                let (low, high) = (I::splat(low), I::splat(high));
                for sum in &mut sums {
                    *sum = I::clamp(*sum, low, high);
                }
            }
            if let Some(x) = lines.iter().map(|[x, _]| x).max() {
                // The row below comes from memory next, in more streams than the hardware prefetcher follows.
                let below = self.x.as_ptr().wrapping_add(x + (width + column) * channels + channel);
                for p in 0..P {
                    I::prefetch(below.wrapping_add(p * channels));
                }
            }
            for (p, sum) in sums.into_iter().enumerate() {
                let to = self.y.at(to + (column + p) * channels + channel, len);
                // For the next columns: without it their stores would wait for the cache lines.
                I::prefetch_write(to.wrapping_add(P * channels));
                if len < I::LANES {
                    I::store_first(to, len, sum);
                } else {
                    I::store(to, sum);
                }
            }
        }
    }
}
