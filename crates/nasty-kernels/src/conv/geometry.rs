//! The shape of a convolution, and which input positions a window covers along one axis.

use std::ops::Range;

use crate::ConvOptions;

/// All sizes of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConvShape {
    pub(crate) n: usize,
    pub(crate) h: usize,
    pub(crate) w: usize,
    pub(crate) cin: usize,
    pub(crate) cout: usize,
    pub(crate) kh: usize,
    pub(crate) kw: usize,
    pub(crate) oh: usize,
    pub(crate) ow: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) groups: usize,
}

impl ConvShape {
    /// The shape for x `[n, h, w, cin]` and weight `[cout, cin / groups, kh, kw]`, which must fit together.
    pub(crate) fn new(x: [usize; 4], weight: [usize; 4], options: ConvOptions) -> Self {
        let [n, h, w, cin] = x;
        let [cout, _, kh, kw] = weight;
        let ConvOptions { stride, padding, groups, .. } = options;
        let length = |l: usize, k: usize| (l + 2 * padding - k) / stride + 1;
        Self { n, h, w, cin, cout, kh, kw, oh: length(h, kh), ow: length(w, kw), stride, padding, groups }
    }

    pub(crate) fn x(&self) -> [usize; 4] {
        [self.n, self.h, self.w, self.cin]
    }

    pub(crate) fn y(&self) -> [usize; 4] {
        [self.n, self.oh, self.ow, self.cout]
    }

    pub(crate) fn weight(&self) -> [usize; 4] {
        [self.cout, self.cin / self.groups, self.kh, self.kw]
    }

    /// Whether every output pixel depends on one input pixel, at the same place.
    pub(crate) fn is_pointwise(&self) -> bool {
        self.groups == 1 && self.taps() == 1 && self.stride == 1 && self.padding == 0
    }

    pub(crate) fn taps(&self) -> usize {
        self.kh * self.kw
    }
}

/// The taps of a kernel that lie inside the image for one position along one axis: tap `tap + i tap_step` reads position
/// `source + i source_step` for i in `0..count`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taps {
    pub(crate) tap: usize,
    pub(crate) tap_step: usize,
    pub(crate) source: usize,
    pub(crate) source_step: isize,
    pub(crate) count: usize,
}

impl Taps {
    /// The taps of output position `o`, which reads input positions `stride o + tap - padding` of `length`.
    pub(crate) fn forward(o: usize, kernel: usize, length: usize, stride: usize, padding: usize) -> Self {
        let start = o * stride;
        let tap = padding.saturating_sub(start);
        let end = kernel.min((length + padding).saturating_sub(start));
        let count = end.saturating_sub(tap);
        let source = if count == 0 { 0 } else { start + tap - padding };
        Self { tap, tap_step: 1, source, source_step: 1, count }
    }

    /// The taps of input position `i`, whose gradient sums those of output positions `(i + padding - tap) / stride` of
    /// `length`, where the division has no remainder.
    pub(crate) fn backward(i: usize, kernel: usize, length: usize, stride: usize, padding: usize) -> Self {
        let at = i + padding;
        // Taps at % stride, at % stride + stride, …; the greatest usable position comes first.
        let mut tap = at % stride;
        let beyond = (at / stride + 1).saturating_sub(length);
        tap += beyond * stride;
        let last = at.min(kernel - 1);
        let count = if tap > last { 0 } else { (last - tap) / stride + 1 };
        let source = if count == 0 { 0 } else { (at - tap) / stride };
        Self { tap, tap_step: stride, source, source_step: -1, count }
    }

    /// The tap with the least source, and that source.
    pub(crate) fn leftmost(self) -> (usize, usize) {
        let i = if self.source_step < 0 { self.count.saturating_sub(1) } else { 0 };
        (self.tap + i * self.tap_step, self.source - if self.source_step < 0 { i } else { 0 })
    }

    /// The range of sources that the positions read.
    pub(crate) fn reach(positions: &[Self]) -> Range<usize> {
        let ends = positions.iter().filter(|t| t.count > 0).map(|t| {
            let last = t.source.wrapping_add_signed(t.source_step * (t.count as isize - 1));
            (t.source.min(last), t.source.max(last) + 1)
        });
        ends.fold(None, |all: Option<Range<usize>>, (start, end)| {
            Some(all.map_or(start..end, |r| r.start.min(start)..r.end.max(end)))
        })
        .unwrap_or(0..0)
    }

    /// `(tap, source)` pairs.
    pub(crate) fn iter(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |i| {
            (self.tap + i * self.tap_step, self.source.wrapping_add_signed(self.source_step * i as isize))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Taps;

    #[test]
    fn both_directions_list_the_products_of_the_definition() {
        for (kernel, length, stride, padding) in (1..=5).flat_map(|k| {
            (1..=9).flat_map(move |l| (1..=3).flat_map(move |s| (0..=3).map(move |p| (k, l, s, p))))
        }) {
            if length + 2 * padding < kernel {
                continue;
            }
            let outputs = (length + 2 * padding - kernel) / stride + 1;
            let mut expected = vec![];
            for o in 0..outputs {
                for tap in 0..kernel {
                    let at = o * stride + tap;
                    if at >= padding && at - padding < length {
                        expected.push((o, at - padding, tap));
                    }
                }
            }
            let mut forward: Vec<_> = (0..outputs)
                .flat_map(|o| {
                    Taps::forward(o, kernel, length, stride, padding).iter().map(move |(t, i)| (o, i, t))
                })
                .collect();
            let mut backward: Vec<_> = (0..length)
                .flat_map(|i| {
                    Taps::backward(i, kernel, outputs, stride, padding).iter().map(move |(t, o)| (o, i, t))
                })
                .collect();
            forward.sort();
            backward.sort();
            assert_eq!(forward, expected, "forward {kernel} {length} {stride} {padding}");
            assert_eq!(backward, expected, "backward {kernel} {length} {stride} {padding}");
        }
    }
}
