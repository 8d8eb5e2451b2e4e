//! Chains of 1×1 and depthwise convolutions in evaluation mode: a few images at a time go through the whole chain, so that
//! intermediate results stay in the cache.

use std::ops::Range;

use burn::backend::Flex;
use burn::backend::flex::FlexTensor;
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::choose::Algorithm;
use super::compute::Computation;
use super::fusion::{Epilogue, Fusion, Prologue};
use super::geometry::ConvShape;
use super::output::{Output, Shared};
use super::{depthwise, pointwise};
use crate::scratch::Scratch;
use crate::simd::Pair;
use crate::{Activation, ConvOptions, Precision, flex, norm};

/// Approximate bytes of the intermediate results at a time. They stay in a second-level cache of that size; more pixels at a
/// time make better use of every weight that is read.
const ROOM: usize = 1 << 20;
/// The most bytes of the intermediate results of one image.
const MOST: usize = 2 << 20;

/// A convolution and its activation.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    /// `[cout, cin / groups, kh, kw]`, contiguous.
    pub(crate) weight: FlexTensor,
    /// `[cout]`.
    pub(crate) bias: Vec<f32>,
    pub(crate) options: ConvOptions,
    pub(crate) activation: Activation,
}

impl Link {
    fn of(&self, x: [usize; 4]) -> Computation {
        let shape = ConvShape::new(x, flex::dims(&self.weight), self.options);
        Computation::new(shape, self.options.precision)
    }

    /// `activation(conv(prologue(x)) + residual)` of contiguous tensors.
    pub(crate) fn run(
        &self,
        prologue: Option<&Prologue<'_>>,
        x: FlexTensor,
        residual: Option<&FlexTensor>,
    ) -> FlexTensor {
        let c = self.of(flex::dims(&x));
        let (x, weight) = (flex::elements(&x), flex::elements(&self.weight));
        let y = self.with_residual(residual, |fusion| {
            c.forward(Fusion { prologue, ..fusion }, x, weight, Some(&self.bias))
        });
        flex::from_vec(y, c.shape.y())
    }

    /// Calls `with` on the residual and the activation as a fusion.
    fn with_residual<R>(&self, residual: Option<&FlexTensor>, with: impl FnOnce(Fusion<'_>) -> R) -> R {
        let activation = self.activation;
        let Some(residual) = residual.map(flex::elements) else {
            return with(Fusion { activation, ..Fusion::default() });
        };
        let add = |at: usize, y: &mut [f32]| norm::add_block(y, &residual[at..][..y.len()], activation);
        with(Fusion { epilogue: Some(&add as &Epilogue<'_>), ..Fusion::default() })
    }
}

/// A tensor, and links to be applied to it.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    x: Tensor<4>,
    /// At least one.
    links: Vec<(Link, Computation)>,
}

impl Series {
    pub(crate) fn new(x: Tensor<4>, link: Link) -> Self {
        let c = link.of(x.dims());
        Self { x, links: vec![(link, c)] }
    }

    pub(crate) fn x(&self) -> &Tensor<4> {
        &self.x
    }

    fn last(&self) -> &(Link, Computation) {
        self.links.last().expect("a series of one link or more")
    }

    /// The result's dimensions.
    pub(crate) fn dims(&self) -> [usize; 4] {
        self.last().1.shape.y()
    }

    /// Whether another convolution can follow the last one.
    pub(crate) fn goes_on(&self) -> bool {
        match self.last().1.choice().algorithm {
            Algorithm::Depthwise => true,
            // A second 1×1 convolution ends the chain: its input is usually large.
            Algorithm::Pointwise => self.links.len() == 1,
            Algorithm::Winograd | Algorithm::Direct => false,
        }
    }

    /// Appends a link. If it cannot follow, the links so far are computed first.
    pub(crate) fn then(mut self, link: Link) -> Self {
        let c = link.of(self.dims());
        let follows = matches!(
            (self.last().1.choice().algorithm, c.choice().algorithm),
            (Algorithm::Pointwise, Algorithm::Depthwise) | (Algorithm::Depthwise, Algorithm::Pointwise)
        );
        if !(follows && self.goes_on()) {
            return Self::new(self.compute(None), link);
        }
        self.links.push((link, c));
        self
    }

    /// The result, `activation(… + residual)`.
    pub(crate) fn compute(self, residual: Option<Tensor<4>>) -> Tensor<4> {
        let (last, before) = self.links.split_last().expect("a series of one link or more");
        let (x, residual) = (flex::primitive(self.x), residual.map(flex::primitive));
        let y = match at_a_time(before, last.1.shape.n) {
            Some(images) => {
                let before: Vec<_> = before.iter().map(Stage::new).collect();
                let stages = (&before[..], &Stage::new(last));
                let y = last.0.with_residual(residual.as_ref(), |fusion| {
                    at_once(stages, images, fusion, flex::elements(&x))
                });
                flex::from_vec(y, last.1.shape.y())
            }
            None => {
                let x = before.iter().fold(x, |x, (link, _)| link.run(None, x, None));
                last.0.run(None, x, residual.as_ref())
            }
        };
        Tensor::from_primitive::<Flex>(y)
    }
}

/// How many of n images go through the chain at a time; `None` if computing one convolution after the other is better.
/// `before` are all links but the last.
fn at_a_time(before: &[(Link, Computation)], n: usize) -> Option<usize> {
    let bytes: usize = before.iter().map(|(_, c)| 4 * c.shape.oh * c.shape.ow * c.shape.cout).sum();
    let threads = rayon::current_num_threads();
    // Several tasks a thread, so that no thread waits long for the others.
    (1..=MOST)
        .contains(&bytes)
        .then(|| (ROOM / bytes).clamp(1, (n / (4 * threads)).max(1)))
        .filter(|_| n >= threads)
}

/// A link ready to run.
enum Ready {
    Depthwise(depthwise::Gather),
    Pointwise(pointwise::Packed<f32>),
    Pairs(pointwise::Packed<Pair>),
}

/// A link ready to run, with its shape for all images.
struct Stage {
    ready: Ready,
    shape: ConvShape,
    activation: Activation,
}

impl Stage {
    fn new((link, c): &(Link, Computation)) -> Self {
        let Computation { path, shape, .. } = *c;
        let (weight, bias) = (flex::elements(&link.weight), Some(&link.bias[..]));
        let choice = c.choice();
        let ready = match (choice.algorithm, choice.forward) {
            (Algorithm::Depthwise, _) => {
                Ready::Depthwise(depthwise::Gather::forward(path, &shape, weight, bias))
            }
            (_, Precision::F32) => Ready::Pointwise(pointwise::Packed::forward(path, &shape, weight, bias)),
            (_, Precision::Bf16) => Ready::Pairs(pointwise::Packed::forward(path, &shape, weight, bias)),
        };
        Self { ready, shape, activation: link.activation }
    }

    /// Some images of y from the same images of x; `next` is prefetched.
    ///
    /// # Safety
    /// No other thread reads or writes these images of y.
    unsafe fn some(&self, images: Range<usize>, x: &[f32], y: Shared<'_>, fusion: Fusion<'_>, next: &[f32]) {
        let s = &self.shape;
        let pixels = images.start * s.oh * s.ow..images.end * s.oh * s.ow;
        let (count, next) = (pixels.len(), [next, &[], &[]]);
        // SAFETY: the caller's promise.
        unsafe {
            match &self.ready {
                Ready::Pointwise(packed) => packed.some(pixels, x, y, fusion, packed.ahead(next, count)),
                Ready::Pairs(packed) => packed.some(pixels, x, y, fusion, packed.ahead(next, count)),
                Ready::Depthwise(gather) => {
                    for (image, x) in images.zip(x.chunks_exact(s.h * s.w * s.cin)) {
                        let x = &x[gather.sources(0, &(0..s.oh))];
                        gather.some(image, 0..s.oh, x, y, fusion, [&[]; 3]);
                    }
                }
            }
        }
    }
}

/// Some images through all stages into their places in y, on the calling thread.
///
/// # Safety
/// No other thread reads or writes these images of y.
unsafe fn through(
    (before, last): (&[Stage], &Stage),
    images: Range<usize>,
    x: &[f32],
    y: Shared<'_>,
    fusion: Fusion<'_>,
    next: &[f32],
) {
    match before {
        // SAFETY: the caller's promise.
        [] => unsafe { last.some(images, x, y, fusion, next) },
        [first, rest @ ..] => {
            let s = &first.shape;
            let len = images.len() * s.oh * s.ow * s.cout;
            let mut scratch = Scratch::take(len);
            let between = Fusion { activation: first.activation, ..Fusion::default() };
            // SAFETY: no other thread uses the scratch; the caller's promise for y.
            unsafe {
                let result = Shared::of(&mut scratch.elements()[..len]);
                first.some(0..images.len(), x, result, between, next);
                through((rest, last), images, &scratch.read()[..len], y, fusion, &[]);
            }
        }
    }
}

/// All images through all stages (those before the last, and the last), `images` at a time.
fn at_once(stages: (&[Stage], &Stage), images: usize, fusion: Fusion<'_>, x: &[f32]) -> Vec<f32> {
    let last = stages.1.shape;
    let n = last.n;
    let of_image = x.len() / n;
    let mut y = Output::new(last.y().iter().product());
    let shared = y.share();
    let elements = |task: usize| task * images * of_image..((task + 1) * images).min(n) * of_image;
    (0..n.div_ceil(images)).into_par_iter().for_each(|task| {
        let some = task * images..((task + 1) * images).min(n);
        let next = if some.end < n { &x[elements(task + 1)] } else { &[] };
        // SAFETY: no other task writes these images.
        unsafe { through(stages, some, &x[elements(task)], shared, fusion, next) };
    });
    // SAFETY: the tasks cover all images, and the last stage writes every element of each.
    unsafe { y.finish() }
}
