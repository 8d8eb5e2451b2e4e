//! Running a plan.

use std::time::Instant;

use rayon::prelude::*;

use super::buffers::{Buffers, Segment, segments};
use super::operation::{Step, split};
use super::team;
use crate::conv::Shared;
use crate::scratch::Scratch;

/// Images that a thread takes through the network at a time, at most: every weight that is read serves all of them.
const CHUNK: usize = 16;

/// A network prepared for answering: its weights in the order in which the kernels read them, and a plan of operations and
/// buffers. Built by a [`Builder`](super::Builder). It can be asked by several threads at once.
///
/// What it answers for an image does not depend on the other images that are asked with it, nor on the number of threads.
pub struct Plan {
    pub(super) steps: Vec<Step>,
    /// Elements of one image.
    pub(super) input: usize,
    pub(super) output: usize,
    /// For a few images: every operation takes all of them at once.
    whole: Buffers,
    /// For many images: each thread takes chunks of them.
    chunked: Buffers,
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let steps = self.steps.len();
        f.debug_struct("Plan")
            .field("input", &self.input)
            .field("output", &self.output)
            .field("steps", &steps)
            .finish()
    }
}

impl Plan {
    /// Values `lens` elements an image; the last one is the output.
    pub(super) fn new(steps: Vec<Step>, lens: &[usize], output: usize) -> Self {
        let whole = Buffers::new(&steps, lens, output, Segment::all(steps.len()), 1);
        let chunked = Buffers::new(&steps, lens, output, segments(&steps, lens, CHUNK), CHUNK);
        Self { steps, input: lens[0], output: lens[output], whole, chunked }
    }

    /// Elements of an image `[h, w, c]` that is asked.
    pub fn input_len(&self) -> usize {
        self.input
    }

    /// Elements of an answer.
    pub fn output_len(&self) -> usize {
        self.output
    }

    /// The answers `[n, output]` to images `[n, h, w, c]`, on the threads of the current pool.
    ///
    /// # Panics
    /// If the images are not whole ones.
    pub fn run(&self, images: &[f32]) -> Vec<f32> {
        assert!(
            images.len().is_multiple_of(self.input),
            "images of {} elements wanted, found {} elements",
            self.input,
            images.len()
        );
        let (n, threads) = (images.len() / self.input, rayon::current_num_threads());
        let mut answers = vec![0.0; n * self.output];
        if n == 0 {
            return answers;
        }
        if threads == 1 || n >= 4 * threads || n.is_multiple_of(threads) {
            // As many chunks for every thread, and none larger than it may be.
            let chunks = n.div_ceil(CHUNK).next_multiple_of(threads).min(n);
            let chunk = n.div_ceil(chunks);
            let answers = answers.par_chunks_mut(chunk * self.output);
            answers.zip(images.par_chunks(chunk * self.input)).for_each(|(answers, images)| {
                self.chunk(images, answers);
            });
        } else {
            self.together(images, &mut answers, threads);
        }
        answers
    }

    /// A chunk of images on the calling thread.
    fn chunk(&self, images: &[f32], answers: &mut [f32]) {
        let buffers = &self.chunked;
        let n = images.len() / self.input;
        assert!(n <= buffers.images, "a chunk of {n} images");
        let mut scratch = Scratch::take(buffers.len);
        let shared = Shared::of(&mut scratch.elements::<f32>()[..buffers.len]);
        for segment in &buffers.segments {
            for first in (0..n).step_by(segment.images) {
                let some = first..(first + segment.images).min(n);
                let images = &images[some.start * self.input..some.end * self.input];
                for step in &self.steps[segment.steps.clone()] {
                    // SAFETY: the buffer is this thread's alone.
                    let values = unsafe { buffers.values(step, images, shared, some.clone(), 1) };
                    let [along, across] = step.operation.extent(some.len());
                    // SAFETY: as above; the buffers of values that exist at the same time do not overlap.
                    unsafe { step.operation.part(some.len(), [0..along, 0..across], &values) };
                }
            }
        }
        // SAFETY: as above.
        answers.copy_from_slice(unsafe { buffers.answers(shared, n, 1) });
    }

    /// What every operation is and how many seconds it takes for the images on one thread, one operation after the other.
    ///
    /// # Panics
    /// If the images are not whole ones.
    pub fn profile(&self, images: &[f32]) -> Vec<(&'static str, f64)> {
        assert!(images.len().is_multiple_of(self.input), "whole images wanted");
        let (buffers, n) = (&self.whole, images.len() / self.input);
        let mut scratch = Scratch::take(buffers.len * n);
        let shared = Shared::of(&mut scratch.elements::<f32>()[..buffers.len * n]);
        let timed = self.steps.iter().map(|step| {
            let begun = Instant::now();
            let [along, across] = step.operation.extent(n);
            // SAFETY: the buffer is this thread's alone.
            unsafe {
                let values = buffers.values(step, images, shared, 0..n, n);
                step.operation.part(n, [0..along, 0..across], &values);
            }
            (step.operation.name(), begun.elapsed().as_secs_f64())
        });
        timed.collect()
    }

    /// A few images, every operation split among the threads.
    fn together(&self, images: &[f32], answers: &mut [f32], threads: usize) {
        let buffers = &self.whole;
        let n = images.len() / self.input;
        let mut scratch = Scratch::take(buffers.len * n);
        let shared = Shared::of(&mut scratch.elements::<f32>()[..buffers.len * n]);
        let cuts: Vec<[usize; 2]> = self
            .steps
            .iter()
            .map(|step| split(step.operation.extent(n), step.operation.cost(), n, threads))
            .collect();
        let parts: Vec<usize> = cuts.iter().map(|[along, across]| along * across).collect();
        team::run(threads, &parts, &|i, part| {
            let (step, [along, across]) = (&self.steps[i], cuts[i]);
            let extent = step.operation.extent(n);
            let part =
                [team::share(extent[0], along, part / across), team::share(extent[1], across, part % across)];
            // SAFETY: a step begins after the one before has ended. So nobody writes its inputs, and the parts of its
            // outputs are apart.
            unsafe {
                let values = buffers.values(step, images, shared, 0..n, n);
                step.operation.part(n, part, &values);
            }
        });
        // SAFETY: all steps have ended.
        answers.copy_from_slice(unsafe { buffers.answers(shared, n, n) });
    }
}
