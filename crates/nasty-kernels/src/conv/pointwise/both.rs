//! Both gradients in one pass over blocks of pixels, so that x and dy are read from memory once.

use std::ops::Range;

use rayon::prelude::*;

use super::super::fusion::Fusion;
use super::super::geometry::ConvShape;
use super::super::output::Output;
use super::Packed;
use super::weight::{Gradient, Plan};
use crate::scratch::Scratch;
use crate::simd::{Element, Path};

/// Approximate bytes of a block's pixels; they stay in the second-level cache beside the weights and the sums.
const BLOCK: usize = 384 << 10;
/// The most bytes of the sums for which that holds.
pub(in super::super) const MOST_SUM_BYTES: usize = 160 << 10;

/// dx and dw, computed with products of `E`.
pub(in super::super) fn backward<E: Element>(
    path: Path,
    s: &ConvShape,
    fusion: Fusion<'_>,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (inputs, outputs, pixels) = (s.cin, s.cout, s.n * s.h * s.w);
    let plan = Plan::whole(path, inputs, outputs);
    assert_eq!([x.len(), dy.len()], [pixels * inputs, pixels * outputs], "the tasks' pointers rely on this");
    let packed = Packed::<E>::transposed(path, s, weight);
    // Per pixel: x, x after its prologue, and dx; dy, and with a prologue the tensor beside it and its result.
    let values = 3 * inputs + if fusion.gradient.is_some() { 3 } else { 1 } * outputs;
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
            let beside = fusion.beside_dy(of(&next, outputs));
            let next = [&dy[of(&next, outputs)], beside, &x[of(&next, inputs)]];
            let ahead = packed.ahead(next, some.len());
            fusion.dy(of(&some, outputs), dy, |dy| {
                fusion.x(of(&some, inputs), x, |x| {
                    path.run(Gradient::<E>::new(plan.part(), x, dy, sums));
                });
                // SAFETY: slots have disjoint pixels, and so have the blocks of a slot.
                unsafe { packed.some(some, dy, shared, fusion, ahead) };
            });
        }
    });
    // SAFETY: the blocks of all slots cover all pixels, and each writes all inputs of its pixels.
    (unsafe { dx.finish() }, plan.total(sums))
}
