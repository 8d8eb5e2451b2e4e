//! Both gradients in one go, block by block: what both read comes from memory once.

use std::ops::Range;

use rayon::prelude::*;

use super::super::compute::Around;
use super::super::geometry::ConvShape;
use super::super::output::Output;
use super::Packed;
use super::weight::{Gradient, Plan};
use crate::scratch::Scratch;
use crate::simd::{Element, Path};

/// Bytes of a block's pixels, about: they stay in the second-level cache beside the weights and their sums.
const BLOCK: usize = 384 << 10;
/// Bytes of the sums of a weight up to which they do.
const MOST_SUMS: usize = 160 << 10;

/// Whether that is better than one after the other: of few pixels and a large weight, the sums would take the time and
/// the room.
pub(in super::super) fn suits_both(path: Path, s: &ConvShape) -> bool {
    let plan = Plan::whole(path, s.cin, s.cout);
    let tensors = s.n * s.h * s.w * (s.cin + s.cout);
    4 * plan.len() <= MOST_SUMS && 4 * plan.slots * plan.len() <= tensors
}

/// dx and dw, computed with products of `E`.
pub(in super::super) fn backward<E: Element>(
    path: Path,
    s: &ConvShape,
    around: Around<'_>,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (inputs, outputs, pixels) = (s.cin, s.cout, s.n * s.h * s.w);
    let plan = Plan::whole(path, inputs, outputs);
    assert_eq!([x.len(), dy.len()], [pixels * inputs, pixels * outputs], "the tasks' pointers rely on this");
    let packed = Packed::<E>::transposed(path, s, weight);
    // x, what is read in its place, and dx; dy, what is read beside it and in its place.
    let values = 3 * inputs + if around.gradient.is_some() { 3 } else { 1 } * outputs;
    let block = (BLOCK / (4 * values) / 24).clamp(4, 32) * 24;
    let mut dx = Output::new(x.len());
    let shared = dx.share();
    let mut scratch = Scratch::take(plan.len() * plan.slots);
    let sums = &mut scratch.elements::<f32>()[..plan.len() * plan.slots];
    sums.par_chunks_exact_mut(plan.len()).enumerate().for_each(|(slot, sums)| {
        sums.fill(0.0);
        let slot = plan.pixels(slot, pixels);
        for first in slot.clone().step_by(block) {
            let some = first..(first + block).min(slot.end);
            let of = |pixels: &Range<usize>, c: usize| pixels.start * c..pixels.end * c;
            let next = some.end..(some.end + block).min(slot.end);
            let beside = around.beside_dy(of(&next, outputs));
            let next = [&dy[of(&next, outputs)], beside, &x[of(&next, inputs)]];
            let ahead = packed.ahead(next, some.len());
            around.dy(of(&some, outputs), dy, |dy| {
                around.x(of(&some, inputs), x, |x| {
                    path.run(Gradient::<E>::new(plan.part(), x, dy, sums));
                });
                // SAFETY: the slots' pixels are apart, and so are a slot's blocks.
                unsafe { packed.some(some, dy, shared, around, ahead) };
            });
        }
    });
    // SAFETY: the slots' blocks cover all pixels, and each writes all inputs of its own.
    (unsafe { dx.finish() }, plan.total(sums))
}
