//! Both gradients in one go, block by block: what both read comes from memory once.

use rayon::prelude::*;

use super::super::ahead::Ahead;
use super::super::compute::Around;
use super::super::geometry::ConvShape;
use super::super::output::Output;
use super::weight::{Gradient, MOST_PIXELS, Plan};
use super::{Packed, backward_input, backward_weight};
use crate::buffers::filled;
use crate::scratch::Scratch;
use crate::simd::{Element, Path};

/// Bytes of a block's pixels, about: they stay in the second-level cache beside the weights and their sums.
const BLOCK: usize = 384 << 10;
/// Bytes of the sums of a weight up to which they do.
const MOST_SUMS: usize = 160 << 10;

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
    // Of few pixels and a large weight the sums are what takes time and room.
    let bytes = 4 * plan.len();
    if bytes > MOST_SUMS || plan.slots * bytes > pixels * (inputs + outputs) {
        let read = around.prologue.map(|prologue| {
            let block = MOST_PIXELS * inputs;
            filled(x.len(), |read| {
                read.par_chunks_mut(block).zip(x.par_chunks(block)).for_each(|(read, x)| prologue(x, read));
            })
        });
        let dw = backward_weight::<E>(path, read.as_deref().unwrap_or(x), dy, inputs, outputs);
        return (backward_input::<E>(path, s, around.epilogue, weight, dy), dw);
    }

    assert_eq!([x.len(), dy.len()], [pixels * inputs, pixels * outputs], "the tasks' pointers rely on this");
    let packed = Packed::<E>::transposed(path, s, weight);
    let block = (BLOCK / (4 * (3 * inputs + outputs)) / 24).clamp(4, 32) * 24;
    let mut dx = Output::new(x.len());
    let shared = dx.share();
    let mut scratch = Scratch::take(plan.len() * plan.slots);
    let sums = &mut scratch.elements::<f32>()[..plan.len() * plan.slots];
    sums.par_chunks_exact_mut(plan.len()).enumerate().for_each(|(slot, sums)| {
        sums.fill(0.0);
        let slot = plan.pixels(slot, pixels);
        for first in slot.clone().step_by(block) {
            let some = first..(first + block).min(slot.end);
            let next = some.end..(some.end + block).min(slot.end);
            let ahead = Ahead::of(
                &x[next.start * inputs..next.end * inputs],
                &dy[next.start * outputs..next.end * outputs],
            );
            let x = &x[some.start * inputs..some.end * inputs];
            let dy = &dy[some.start * outputs..some.end * outputs];
            around.read(x, |x| path.run(Gradient::<E>::new(&plan, 0..inputs, x, dy, sums)));
            // SAFETY: the slots' pixels are apart, and so are a slot's blocks.
            unsafe { packed.some(some, dy, shared, around.epilogue, ahead) };
        }
    });
    // SAFETY: the slots' blocks cover all pixels, and each writes all inputs of its own.
    (unsafe { dx.finish() }, plan.total(sums))
}
