//! What a plan is made of: operations that can be split into parts.

use std::ops::Range;

use crate::conv::Shared;

/// An operation on some images. It reads and writes values `[images, h, w, c]` in planned buffers.
pub(super) trait Operation: Send + Sync {
    /// What it is, for profiles.
    fn name(&self) -> &'static str;

    /// Into how many units the work on `images` can be split: along pixels, and across channels. Every unit of one is
    /// combined with every unit of the other.
    fn extent(&self, images: usize) -> [usize; 2];

    /// What the work costs.
    fn cost(&self) -> Cost;

    /// Computes a part.
    ///
    /// # Safety
    /// `values` has the inputs and outputs of the operation, of `images` images each. No other thread writes what is read,
    /// or reads or writes what is written.
    unsafe fn part(&self, images: usize, part: Part, values: &Values<'_>);
}

/// Some units of each extent.
pub(super) type Part = [Range<usize>; 2];

/// What decides how an operation is split. Units are about a vector instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cost {
    /// Of one image.
    pub(super) image: usize,
    /// What every part along pixels does again: reading the weights.
    pub(super) along: usize,
    /// What every part across channels does again, for each image: transforming or copying the input.
    pub(super) across: usize,
}

/// Where an operation reads and writes. What it does not have is empty.
#[derive(Clone, Copy)]
pub(super) struct Values<'a> {
    pub(super) inputs: [&'a [f32]; 2],
    pub(super) outputs: [Option<Shared<'a>>; 2],
}

impl<'a> Values<'a> {
    /// The first output, which every operation has.
    pub(super) fn output(&self) -> Shared<'a> {
        self.outputs[0].expect("every operation has an output")
    }
}

/// How many parts to make of both extents for `threads` threads.
pub(super) fn split(extent: [usize; 2], cost: Cost, images: usize, threads: usize) -> [usize; 2] {
    let all = cost.image * images;
    // Two parts a thread even out what other work on the machine takes, if they are not too small.
    let wanted = (all / LEAST).clamp(1, 2 * threads);
    let [along, across] = extent;
    if wanted == 1 {
        return [1, 1];
    }
    let repeated_across = cost.across * images;
    if cost.along <= repeated_across || across == 1 {
        let along = along.min(wanted);
        [along, across.min((wanted / along.max(1)).max(1))]
    } else {
        let across = across.min(wanted);
        [along.min((wanted / across.max(1)).max(1)), across]
    }
}

/// The least cost of a part, about a microsecond: more than handing it to another thread takes.
const LEAST: usize = 4096;

/// An operation with the values that it reads and writes. Value 0 is the input.
pub(super) struct Step {
    pub(super) operation: Box<dyn Operation>,
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_work_stays_whole_and_large_work_is_split_where_less_is_repeated() {
        let cost = |image, along, across| Cost { image, along, across };
        assert_eq!(split([64, 4], cost(1000, 10, 10), 1, 4), [1, 1]);
        assert_eq!(split([64, 4], cost(1_000_000, 10, 100), 1, 4), [8, 1]);
        assert_eq!(split([64, 4], cost(1_000_000, 1000, 100), 1, 2), [1, 4]);
        // What one extent cannot give comes from the other.
        assert_eq!(split([2, 4], cost(1_000_000, 10, 100), 1, 2), [2, 2]);
        assert_eq!(split([64, 2], cost(1_000_000, 1000, 100), 1, 2), [2, 2]);
        assert_eq!(split([1, 1], cost(1_000_000, 0, 0), 1, 2), [1, 1]);
    }
}
