//! Depthwise convolution: every channel by itself. Vectors run along the channels, and tensors are read and written
//! directly. It is bound by memory, so it is always computed in f32.

mod runs;
mod slide;
mod weight;

use std::ops::Range;

use rayon::prelude::*;

use super::ahead::Ahead;
use super::fusion::{Epilogue, Fusion};
use super::geometry::{ConvShape, Taps};
use super::output::{Output, Shared};
use super::pack::CHUNK;
use crate::scratch::Scratch;
use crate::simd::{Isa, Job, Path};

use self::runs::{ColumnRun, runs};
pub(super) use self::weight::backward_weight;

/// Every destination pixel as a sum over taps of source pixels: the forward pass, or the gradient of the input.
pub(crate) struct Gather {
    path: Path,
    channels: usize,
    /// Rows and columns.
    source: [usize; 2],
    destination: [usize; 2],
    rows: Vec<Taps>,
    runs: Vec<ColumnRun>,
    kernel_width: usize,
    /// If the kernel [slides]: whether its taps run from right to left.
    slides: Option<bool>,
    /// `[tap][channel]`.
    weight: Vec<f32>,
    bias: Option<Vec<f32>>,
}

pub(super) fn forward(
    path: Path,
    s: &ConvShape,
    fusion: Fusion<'_>,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> Vec<f32> {
    Gather::forward(path, s, weight, bias).run(s.n, fusion, x)
}

pub(super) fn backward_input(
    path: Path,
    s: &ConvShape,
    epilogue: Option<&Epilogue<'_>>,
    weight: &[f32],
    dy: &[f32],
) -> Vec<f32> {
    Gather::backward(path, s, weight).run(s.n, Fusion { epilogue, ..Fusion::default() }, dy)
}

/// Images of up to about this many bytes stay in the second-level cache.
pub(super) const MOST_IMAGE_BYTES: usize = 1 << 20;

/// dx and dw, an image at a time, so that x and dy are read from memory once.
pub(super) fn backward(
    path: Path,
    s: &ConvShape,
    fusion: Fusion<'_>,
    x: &[f32],
    weight: &[f32],
    dy: &[f32],
) -> (Vec<f32>, Vec<f32>) {
    let (x_image, dy_image) = (s.h * s.w * s.cin, s.oh * s.ow * s.cout);
    assert_eq!([x.len(), dy.len()], [s.n * x_image, s.n * dy_image]);
    let plan = weight::Plan::new(path, s);
    let mut dx = Output::new(x.len());
    let shared = dx.share();
    let gather = Gather::backward(path, s, weight);
    let mut scratch = Scratch::take(plan.slots * plan.len);
    let sums = &mut scratch.elements::<f32>()[..plan.slots * plan.len];
    sums.par_chunks_mut(plan.len).enumerate().for_each(|(slot, sums)| {
        sums.fill(0.0);
        let images = plan.images(slot);
        for image in images.clone() {
            let of = |image: usize, len: usize| image * len..(image + 1) * len;
            let mut next = [&[][..]; 3];
            if image + 1 < images.end {
                let of_dy = of(image + 1, dy_image);
                next = [&dy[of_dy.clone()], fusion.beside_dy(of_dy), &x[of(image + 1, x_image)]];
            }
            fusion.dy(of(image, dy_image), dy, |dy| {
                let sources = gather.sources(0, &(0..s.h));
                // dx first: it reads dy in memory order.
                // SAFETY: no other task writes this image.
                unsafe { gather.some(image, 0..s.h, &dy[sources], shared, fusion, next) };
                fusion.x(of(image, x_image), x, |x| plan.add(x, dy, sums));
            });
        }
    });
    // SAFETY: the slots cover all images.
    (unsafe { dx.finish() }, plan.total(sums))
}

/// Whether every source is read by its three neighbours in the row (two at the border).
fn slides(s: &ConvShape) -> bool {
    (s.stride, s.kw, s.padding) == (1, 3, 1)
}

/// `[channel][tap]` → `[tap][channel]`.
fn by_tap(weight: &[f32], taps: usize) -> Vec<f32> {
    (0..taps).flat_map(|tap| weight.iter().skip(tap).step_by(taps).copied()).collect()
}

impl Gather {
    pub(crate) fn forward(path: Path, s: &ConvShape, weight: &[f32], bias: Option<&[f32]>) -> Self {
        let columns: Vec<Taps> =
            (0..s.ow).map(|o| Taps::forward(o, s.kw, s.w, s.stride, s.padding)).collect();
        Self {
            path,
            channels: s.cin,
            source: [s.h, s.w],
            destination: [s.oh, s.ow],
            rows: (0..s.oh).map(|o| Taps::forward(o, s.kh, s.h, s.stride, s.padding)).collect(),
            runs: runs(&columns, 1, s.stride),
            kernel_width: s.kw,
            slides: slides(s).then_some(false),
            weight: by_tap(weight, s.taps()),
            bias: bias.map(<[f32]>::to_vec),
        }
    }

    /// The gradient of the input.
    fn backward(path: Path, s: &ConvShape, weight: &[f32]) -> Self {
        let columns: Vec<Taps> =
            (0..s.w).map(|i| Taps::backward(i, s.kw, s.ow, s.stride, s.padding)).collect();
        Self {
            path,
            channels: s.cin,
            source: [s.oh, s.ow],
            destination: [s.h, s.w],
            rows: (0..s.h).map(|i| Taps::backward(i, s.kh, s.oh, s.stride, s.padding)).collect(),
            runs: runs(&columns, s.stride, 1),
            kernel_width: s.kw,
            slides: slides(s).then_some(true),
            weight: by_tap(weight, s.taps()),
            bias: None,
        }
    }

    /// The destination of all images.
    fn run(&self, images: usize, fusion: Fusion<'_>, x: &[f32]) -> Vec<f32> {
        // A task has some rows; rows are counted through all images.
        let [of_image, columns] = self.destination;
        let rows = images * of_image;
        let mut y = Output::new(rows * columns * self.channels);
        let shared = y.share();
        let block = (TASK / (columns * self.channels)).max(1);
        (0..rows.div_ceil(block)).into_par_iter().for_each(|i| {
            let (mut first, end) = (i * block, ((i + 1) * block).min(rows));
            while first < end {
                let image = first / of_image;
                let start = image * of_image;
                let stop = end.min(start + of_image);
                let rows = first - start..stop - start;
                // What the prologue reads next; without one the inner loops prefetch their rows.
                let sources = self.sources(image, &rows);
                let rest = &x[sources.end..];
                let next =
                    if fusion.prologue.is_some() { &rest[..rest.len().min(sources.len())] } else { &[] };
                fusion.x(sources, x, |x| {
                    // SAFETY: no other task writes these rows.
                    unsafe { self.some(image, rows, x, shared, fusion, [next, &[], &[]]) };
                });
                first = stop;
            }
        });
        // SAFETY: the runs cover all columns, and the tasks all rows of all images.
        unsafe { y.finish() }
    }

    /// The elements of x that some rows of an image read.
    pub(crate) fn sources(&self, image: usize, rows: &Range<usize>) -> Range<usize> {
        let reach = Taps::reach(&self.rows[rows.clone()]);
        let at = |source: usize| (image * self.source[0] + source) * self.source[1] * self.channels;
        at(reach.start)..at(reach.end)
    }

    /// Some rows of an image from their sources x, on the calling thread; `next` is prefetched.
    ///
    /// # Safety
    /// No other thread reads or writes these rows of y.
    pub(crate) unsafe fn some(
        &self,
        image: usize,
        rows: Range<usize>,
        x: &[f32],
        y: Shared<'_>,
        fusion: Fusion<'_>,
        next: [&[f32]; 3],
    ) {
        let first = Taps::reach(&self.rows[rows.clone()]).start;
        let lines = rows.len() * self.destination[1] * self.channels.div_ceil(CHUNK);
        let ahead = Ahead::of(next, lines);
        let bounds = fusion.activation.bounds();
        self.path.run(Rows { gather: self, image, rows: rows.clone(), x, first, y, bounds, ahead });
        if let Some(epilogue) = fusion.epilogue {
            let row = self.destination[1] * self.channels;
            let (at, len) = ((image * self.destination[0] + rows.start) * row, rows.len() * row);
            // SAFETY: the caller's promise; all these rows have been written.
            epilogue(at, unsafe { std::slice::from_raw_parts_mut(y.at(at, len), len) });
        }
    }
}

/// Approximate number of destination elements that a task computes.
const TASK: usize = 64 << 10;

/// Rows of an image.
struct Rows<'a> {
    gather: &'a Gather,
    image: usize,
    rows: Range<usize>,
    /// The source rows that they read, from row `first` on.
    x: &'a [f32],
    first: usize,
    /// The destination, of all images.
    y: Shared<'a>,
    bounds: Option<[f32; 2]>,
    ahead: Ahead<'a>,
}

impl Job for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        match self.gather.slides {
            Some(flipped) => self.slide::<I>(flipped),
            None => self.by_runs::<I>(),
        }
    }
}

/// Vector `v` of `len` values, which are whole vectors or less than one.
#[inline(always)]
unsafe fn load<I: Isa>(from: *const f32, v: usize, len: usize) -> I::V {
    // SAFETY: the caller's promise.
    unsafe { if len < I::LANES { I::load_first(from, len) } else { I::load(from.add(v * I::LANES)) } }
}
