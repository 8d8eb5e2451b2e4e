//! The pixels under a kernel as rows of a matrix.

use std::ops::Range;

use crate::conv::ConvShape;
use crate::simd::{Isa, Job, Path};

/// Copies the patches of some output pixels, counted through all images: `[pixel][kernel row][kernel column][channel of the
/// group]`, zeros outside of the image.
pub(super) fn copy(
    path: Path,
    shape: &ConvShape,
    group: usize,
    pixels: Range<usize>,
    x: &[f32],
    patches: &mut [f32],
) {
    path.run(Copy { shape, group, pixels, x, patches });
}

struct Copy<'a> {
    shape: &'a ConvShape,
    group: usize,
    pixels: Range<usize>,
    x: &'a [f32],
    patches: &'a mut [f32],
}

impl Job for Copy<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { shape: s, group, pixels, x, patches } = self;
        let channels = s.cin / s.groups;
        let row = s.kw * channels;
        for (pixel, patch) in pixels.zip(patches.chunks_exact_mut(s.kh * row)) {
            let (image, pixel) = (pixel / (s.oh * s.ow), pixel % (s.oh * s.ow));
            let (top, left) = (pixel / s.ow * s.stride, pixel % s.ow * s.stride);
            // The kernel's columns that lie inside of the image.
            let first = s.padding.saturating_sub(left).min(s.kw);
            let end = (s.w + s.padding).saturating_sub(left).min(s.kw).max(first);
            for (ky, to) in patch.chunks_exact_mut(row).enumerate() {
                let y = (top + ky).checked_sub(s.padding).filter(|y| *y < s.h && first < end);
                let Some(y) = y else {
                    to.fill(0.0);
                    continue;
                };
                // Most patches lie inside, and filling nothing is a call too.
                if (first, end) != (0, s.kw) {
                    to[..first * channels].fill(0.0);
                    to[end * channels..].fill(0.0);
                }
                let to = &mut to[first * channels..end * channels];
                let from = ((image * s.h + y) * s.w + left + first - s.padding) * s.cin;
                if s.groups == 1 {
                    copy_values::<I>(&x[from..][..to.len()], to);
                } else {
                    for (column, to) in to.chunks_exact_mut(channels).enumerate() {
                        copy_values::<I>(&x[from + column * s.cin + group * channels..][..channels], to);
                    }
                }
            }
        }
    }
}

/// A few values, without the call that `copy_from_slice` makes.
#[inline(always)]
fn copy_values<I: Isa>(from: &[f32], to: &mut [f32]) {
    let len = from.len().min(to.len());
    let (from, to) = (from.as_ptr(), to.as_mut_ptr());
    let mut at = 0;
    // SAFETY: a job runs, so the instruction set is supported; both have `len` values.
    unsafe {
        while at + I::LANES <= len {
            I::store(to.add(at), I::load(from.add(at)));
            at += I::LANES;
        }
        if at < len {
            I::store_first(to.add(at), len - at, I::load_first(from.add(at), len - at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConvOptions, Precision};

    #[test]
    fn patches_are_their_definition() {
        for (h, w, side, stride, padding, groups) in [
            (5, 4, 3, 1, 1, 1),
            (5, 4, 3, 2, 1, 2),
            (2, 3, 3, 1, 2, 1),
            (4, 4, 1, 2, 0, 1),
            (3, 3, 1, 1, 1, 3),
        ] {
            let options = ConvOptions { stride, padding, groups, precision: Precision::F32 };
            let cin = 6;
            let s = ConvShape::new([2, h, w, cin], [6, cin / groups, side, side], options);
            let x: Vec<f32> = (0..2 * h * w * cin).map(|i| i as f32 + 1.0).collect();
            let channels = cin / groups;
            let pixels = 1..2 * s.oh * s.ow;
            for (path, group) in Path::supported().into_iter().flat_map(|p| (0..groups).map(move |g| (p, g)))
            {
                let mut found = vec![-1.0; pixels.len() * side * side * channels];
                copy(path, &s, group, pixels.clone(), &x, &mut found);
                let mut expected = Vec::new();
                for pixel in pixels.clone() {
                    let (image, oy, ox) = (pixel / (s.oh * s.ow), pixel / s.ow % s.oh, pixel % s.ow);
                    for (ky, kx) in (0..side).flat_map(|ky| (0..side).map(move |kx| (ky, kx))) {
                        let (y, x_) = (oy * stride + ky, ox * stride + kx);
                        let inside = |at: usize, len: usize| at >= padding && at - padding < len;
                        for c in 0..channels {
                            expected.push(if inside(y, h) && inside(x_, w) {
                                let at = (image * h + y - padding) * w + x_ - padding;
                                x[at * cin + group * channels + c]
                            } else {
                                0.0
                            });
                        }
                    }
                }
                assert_eq!(found, expected, "{s:?} on {path:?}");
            }
        }
    }
}
