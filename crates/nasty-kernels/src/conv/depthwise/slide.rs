//! Three columns wide kernels that move by one pixel and keep the width: a source is read once for the three
//! destinations that it reaches.

use super::super::pack::CHUNK;
use super::{Rows, load};
use crate::simd::Isa;

/// Rows of sources with those of the weight, as offsets of their first elements.
type Lines = [[usize; 2]];

impl Rows<'_> {
    /// All rows; the leftmost source's tap is the last if `flipped`, else the first.
    #[inline(always)]
    pub(super) fn slide<I: Isa>(mut self, flipped: bool) {
        let g = self.gather;
        let width = g.destination[1];
        let row_len = width * g.channels;
        assert!(g.source[1] == width && g.kernel_width == 3, "the strips' pointers rely on this");
        // As many columns at a time as leave their sums and a row of the weight in registers.
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
            // The last vector may lap over the one before.
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
        // SAFETY: the instruction set is there, for a job runs. `len` channels from `channel` on lie within a pixel, and the
        // rows of sources and of the weight within x and the weight, as `slide` has checked.
        unsafe {
            let mut sums = [I::zero(); P];
            if let Some(bias) = g.bias {
                sums = [load::<I>(bias[channel..channel + len].as_ptr(), 0, len); P];
            }
            for [x, weight] in lines {
                let x = self.x.as_ptr().add(x + channel);
                let weight = g.weight.as_ptr().add(weight + channel);
                let tap =
                    |t: usize| load::<I>(weight.add(if flipped { 2 - t } else { t } * channels), 0, len);
                let taps = [tap(0), tap(1), tap(2)];
                for source in 0..P + 2 {
                    // One to the left of the columns, to one to the right.
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
                // The row below is the next to come from memory, and in too many pieces for the machine to foresee.
                let below = self.x.as_ptr().wrapping_add(x + (width + column) * channels + channel);
                for p in 0..P {
                    I::prefetch(below.wrapping_add(p * channels));
                }
            }
            for (p, sum) in sums.into_iter().enumerate() {
                let to = self.y.at(to + (column + p) * channels + channel, len);
                // Of the next columns; or their stores would wait for the lines to come.
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
