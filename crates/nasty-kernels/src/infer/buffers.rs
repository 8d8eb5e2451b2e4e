//! The buffers of a plan: which values are in them, where, and for how many images.

use std::ops::Range;

use super::layout::{Life, place};
use super::operation::{Step, Values};
use crate::conv::Shared;

/// Approximate bytes of an operation's inputs and outputs that stay in a typical second-level cache beside weights.
const CACHE: usize = 640 << 10;

/// Steps that a few images go through before the next ones do.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Segment {
    pub(super) steps: Range<usize>,
    /// How many images at a time.
    pub(super) images: usize,
}

impl Segment {
    /// All steps in one segment.
    pub(super) fn all(steps: usize) -> Vec<Self> {
        vec![Self { steps: 0..steps, images: 1 }]
    }
}

/// Splits the steps into segments whose values stay in the cache. From one segment to the next the number of images grows, up to
/// `most`: maps become smaller towards the end of a network, and weights larger.
pub(super) fn segments(steps: &[Step], lens: &[usize], most: usize) -> Vec<Segment> {
    let mut segments: Vec<Segment> = Vec::new();
    let mut images = 1;
    for (i, step) in steps.iter().enumerate() {
        let bytes: usize = step.inputs.iter().chain(&step.outputs).map(|&value| 4 * lens[value]).sum();
        while 2 * images <= most && 2 * images * bytes <= CACHE {
            images *= 2;
        }
        match segments.last_mut() {
            Some(segment) if segment.images == images => segment.steps.end = i + 1,
            _ => segments.push(Segment { steps: i..i + 1, images }),
        }
    }
    segments
}

/// A value's place.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place {
    offset: usize,
    /// Elements of one image.
    len: usize,
    /// Whether all images of a chunk are kept, and not only those that are in a segment at the time.
    kept: bool,
}

/// Where all values lie while the steps run.
pub(super) struct Buffers {
    pub(super) segments: Vec<Segment>,
    places: Vec<Place>,
    output: usize,
    /// Elements of the buffer.
    pub(super) len: usize,
    /// The most images of a chunk.
    pub(super) images: usize,
}

impl Buffers {
    /// Values of `lens` elements an image, for chunks of up to `images`. Value 0 is the input, which lies elsewhere.
    pub(super) fn new(
        steps: &[Step],
        lens: &[usize],
        output: usize,
        segments: Vec<Segment>,
        images: usize,
    ) -> Self {
        let segment_of = |step: usize| {
            segments.iter().find(|s| s.steps.contains(&step)).expect("every step is in a segment")
        };
        let mut lives = vec![Life { len: 0, first: 0, last: 0 }; lens.len()];
        let mut places = vec![Place::default(); lens.len()];
        for value in 1..lens.len() {
            let Some(written) = steps.iter().position(|step| step.outputs.contains(&value)) else { continue };
            let read = steps.iter().rposition(|step| step.inputs.contains(&value)).unwrap_or(written);
            let read = if value == output { steps.len() - 1 } else { read };
            let (from, to) = (segment_of(written), segment_of(read));
            let kept = from != to || value == output;
            let len = lens[value];
            // While other images go through the segments, what is kept must stay.
            lives[value] = if kept {
                Life { len: len * images, first: from.steps.start, last: to.steps.end - 1 }
            } else {
                Life { len: len * from.images, first: written, last: read }
            };
            places[value] = Place { offset: 0, len, kept };
        }
        let (offsets, len) = place(&lives);
        places.iter_mut().zip(offsets).for_each(|(place, offset)| place.offset = offset);
        Self { segments, places, output, len, images }
    }

    /// What a step reads and writes for some images of a chunk, whose inputs are `images`. The buffer is `scale` times as large
    /// as planned.
    ///
    /// # Safety
    /// No other thread writes the step's inputs while they are used.
    pub(super) unsafe fn values<'a>(
        &self,
        step: &Step,
        images: &'a [f32],
        buffer: Shared<'a>,
        some: Range<usize>,
        scale: usize,
    ) -> Values<'a> {
        let place = |value: usize| {
            let Place { offset, len, kept } = self.places[value];
            (offset * scale + if kept { some.start * len } else { 0 }, len * some.len())
        };
        let mut values = Values { inputs: [&[]; 2], outputs: [None; 2] };
        for (input, &value) in values.inputs.iter_mut().zip(&step.inputs) {
            *input = if value == 0 {
                images
            } else {
                let (at, len) = place(value);
                // SAFETY: `at` checks that the elements exist; the caller's promise.
                unsafe { std::slice::from_raw_parts(buffer.at(at, len), len) }
            };
        }
        for (output, &value) in values.outputs.iter_mut().zip(&step.outputs) {
            let (at, len) = place(value);
            *output = Some(buffer.part(at, len));
        }
        values
    }

    /// The output of `n` images.
    ///
    /// # Safety
    /// No other thread writes it while it is used.
    pub(super) unsafe fn answers<'a>(&self, buffer: Shared<'a>, n: usize, scale: usize) -> &'a [f32] {
        let Place { offset, len, .. } = self.places[self.output];
        // SAFETY: `at` checks that the elements exist; the caller's promise.
        unsafe { std::slice::from_raw_parts(buffer.at(offset * scale, len * n), len * n) }
    }
}
