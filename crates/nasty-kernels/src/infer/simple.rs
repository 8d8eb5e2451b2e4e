//! Operations without weights to multiply by: pools, sums, and moving channels.

use std::mem::MaybeUninit;
use std::ops::Range;

use super::operation::{Cost, Operation, Part, Values};
use crate::Activation;
use crate::channels;
use crate::conv::Shared;
use crate::curve::{self, Curve};
use crate::layer_norm;
use crate::max_window::{self, MaxWindow};
use crate::norm::{Wide, activate_block, add_block};
use crate::pool::{Pool, average, global, max_only};

/// An operation that computes every unit by itself: a row of the output, some pixels, or an image.
pub(super) struct Simple {
    unit: Unit,
    /// Height, width and channels of the first output.
    output: [usize; 3],
    /// Elements of one image of each input.
    inputs: [usize; 2],
    work: Work,
}

#[derive(Clone, Copy, PartialEq)]
enum Unit {
    /// Some pixels, the same ones of all inputs and outputs.
    Pixels,
    Row,
    Image,
}

/// What is computed.
pub(super) enum Work {
    /// `activation(scale x + shift)` with a scale and a shift per channel.
    Affine {
        wide: Wide,
        activation: Activation,
    },
    /// `activation(x + other)`.
    Add {
        activation: Activation,
    },
    Activate {
        activation: Activation,
    },
    Curve(Curve),
    /// Every pixel normalised over its channels.
    LayerNorm {
        gamma: Vec<f32>,
        beta: Vec<f32>,
        epsilon: f32,
    },
    /// Every pixel times the only one of the second input.
    Gate,
    MaxPool {
        pool: Pool,
        activation: Activation,
    },
    /// Windows that overlap or reach into a border, over images of a height and width.
    MaxWindow {
        window: MaxWindow,
        sides: [usize; 2],
        activation: Activation,
    },
    /// Means over parts of an image of a height and width.
    AdaptivePool {
        sides: [usize; 2],
    },
    AveragePool {
        pool: Pool,
    },
    /// The mean over images `width` pixels wide.
    GlobalPool {
        width: usize,
    },
    /// Channels from `start` on, of `channels`.
    Take {
        start: usize,
        channels: usize,
    },
    /// Channels of zeros before x's own, and after them.
    Pad {
        before: usize,
        channels: usize,
    },
    /// The channels of two inputs, one input after the other.
    Concat {
        channels: [usize; 2],
    },
    /// Channels numbered `[groups, c / groups]` in the order `[c / groups, groups]`.
    Shuffle {
        groups: usize,
    },
    /// The channels of two inputs in turn.
    Interleave,
    /// The two halves of [`Self::Interleave`].
    InterleaveHalves,
    /// `[h, w, c]` as a vector in the order channel, row, column.
    Flatten {
        pixels: usize,
        channels: usize,
    },
}

/// Pixels of a unit.
const PIXELS: usize = 32;

impl Work {
    /// `activation(scale x + shift)`.
    pub(super) fn affine(scale: Vec<f32>, shift: Vec<f32>, activation: Activation) -> Self {
        let wide = Wide::of_scale_shift(scale, shift);
        Self::Affine { wide, activation }
    }
}

impl Simple {
    /// Work on inputs of shapes `[h, w, c]` that gives `output`.
    pub(super) fn new(inputs: &[[usize; 3]], output: [usize; 3], work: Work) -> Self {
        let unit = match work {
            Work::MaxPool { .. }
            | Work::MaxWindow { .. }
            | Work::AveragePool { .. }
            | Work::AdaptivePool { .. }
            | Work::Gate => Unit::Row,
            Work::GlobalPool { .. } | Work::Flatten { .. } => Unit::Image,
            _ => Unit::Pixels,
        };
        let len = |i: usize| inputs.get(i).map_or(0, |shape: &[usize; 3]| shape.iter().product());
        Self { unit, output, inputs: [len(0), len(1)], work }
    }

    /// Units of some images.
    fn units(&self, images: usize) -> usize {
        let [h, w, _] = self.output;
        match self.unit {
            Unit::Pixels => (images * h * w).div_ceil(PIXELS),
            Unit::Row => images * h,
            Unit::Image => images,
        }
    }
}

impl Operation for Simple {
    fn name(&self) -> &'static str {
        match self.work {
            Work::Affine { .. } => "scale and shift",
            Work::Add { .. } => "sum",
            Work::Activate { .. } | Work::Curve(_) => "activation",
            Work::LayerNorm { .. } => "layer normalisation",
            Work::Gate => "gate",
            Work::MaxPool { .. }
            | Work::MaxWindow { .. }
            | Work::AveragePool { .. }
            | Work::AdaptivePool { .. }
            | Work::GlobalPool { .. } => "pool",
            _ => "moving channels",
        }
    }

    fn extent(&self, images: usize) -> [usize; 2] {
        [self.units(images), 1]
    }

    fn cost(&self) -> Cost {
        let outputs: usize = self.output.iter().product();
        let work = match &self.work {
            // An exponential or two an element.
            Work::Curve(_) => 4 * outputs,
            Work::MaxWindow { window, .. } => window.size * window.size * outputs,
            _ => outputs,
        };
        Cost { image: (self.inputs[0] + self.inputs[1] + work) / 8, ..Cost::default() }
    }

    unsafe fn part(&self, images: usize, [units, _]: Part, values: &Values<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.unit {
                Unit::Pixels => {
                    let all = images * self.output[0] * self.output[1];
                    self.pixels(units.start * PIXELS..(units.end * PIXELS).min(all), values);
                }
                Unit::Row => units.for_each(|row| self.row(row, values)),
                Unit::Image => units.for_each(|image| self.image(image, values)),
            }
        }
    }
}

/// Some elements of an output, to write.
///
/// # Safety
/// No other thread reads or writes them, and nobody else of this thread.
unsafe fn write<'a>(output: Shared<'a>, some: Range<usize>) -> &'a mut [f32] {
    let len = some.len();
    // SAFETY: `at` checks that the elements exist; the caller's promise.
    unsafe { std::slice::from_raw_parts_mut(output.at(some.start, len), len) }
}

/// A slice that a kernel writes without reading it first.
pub(super) fn unread(slice: &mut [f32]) -> &mut [MaybeUninit<f32>] {
    // SAFETY: the same layout, and the kernels write values, never the lack of one.
    unsafe { &mut *(std::ptr::from_mut(slice) as *mut [MaybeUninit<f32>]) }
}

impl Simple {
    /// # Safety
    /// As of [`Operation::part`], for these pixels.
    unsafe fn pixels(&self, pixels: Range<usize>, values: &Values<'_>) {
        let [h, w, c] = self.output;
        let per_pixel = self.inputs.map(|len| len / (h * w));
        let of = |channels: usize| pixels.start * channels..pixels.end * channels;
        let x = &values.inputs[0][of(per_pixel[0])];
        let other = &values.inputs[1][of(per_pixel[1])];
        // SAFETY: the caller's promise; both outputs are different values.
        let y = unsafe { write(values.output(), of(c)) };
        match &self.work {
            Work::Affine { wide, activation } => wide.pixels(x, *activation, unread(y)),
            Work::Add { activation } => {
                y.copy_from_slice(x);
                add_block(y, other, *activation);
            }
            Work::Activate { activation } => {
                y.copy_from_slice(x);
                activate_block(y, *activation);
            }
            Work::Curve(curve) => curve::values(*curve, x, unread(y)),
            Work::LayerNorm { gamma, beta, epsilon } => {
                layer_norm::normalise(*epsilon, x, gamma, beta, unread(y))
            }
            Work::Take { start, channels } => {
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(*channels)) {
                    y.copy_from_slice(&x[*start..][..c]);
                }
            }
            Work::Pad { before, channels } => {
                y.fill(0.0);
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(*channels)) {
                    y[*before..][..*channels].copy_from_slice(x);
                }
            }
            Work::Concat { channels: [first, second] } => {
                let both = x.chunks_exact(*first).zip(other.chunks_exact(*second));
                for (y, (a, b)) in y.chunks_exact_mut(c).zip(both) {
                    y[..*first].copy_from_slice(a);
                    y[*first..].copy_from_slice(b);
                }
            }
            Work::Shuffle { groups } => {
                let of_group = c / groups;
                for (y, x) in y.chunks_exact_mut(c).zip(x.chunks_exact(c)) {
                    for (i, y) in y.iter_mut().enumerate() {
                        *y = x[i % groups * of_group + i / groups];
                    }
                }
            }
            Work::Interleave => channels::interleave_block(x, other, unread(y)),
            Work::InterleaveHalves => {
                let second = values.outputs[1].expect("two halves");
                // SAFETY: as above.
                let second = unsafe { write(second, of(c)) };
                channels::interleave_halves_block(x, other, c, unread(y), unread(second));
            }
            _ => unreachable!("not an operation on pixels"),
        }
    }

    /// # Safety
    /// As of [`Operation::part`], for this row of an image.
    unsafe fn row(&self, row: usize, values: &Values<'_>) {
        let [h, w, c] = self.output;
        let (image, row) = (row / h, row % h);
        let x = &values.inputs[0][image * self.inputs[0]..][..self.inputs[0]];
        let start = (image * h + row) * w * c;
        // SAFETY: the caller's promise.
        let y = unsafe { write(values.output(), start..start + w * c) };
        match self.work {
            Work::MaxPool { pool, activation } => {
                max_only(pool, pool.rows_from(x, row), y);
                activate_block(y, activation);
            }
            Work::AveragePool { pool } => average(pool, pool.rows_from(x, row), y),
            Work::MaxWindow { window, sides: [h, w], activation } => {
                max_window::max_values(window, row, [h, w, c], x, y);
                activate_block(y, activation);
            }
            Work::AdaptivePool { sides: [sh, sw] } => {
                let rows = adaptive_part(row, h, sh);
                for (column, y) in y.chunks_exact_mut(c).enumerate() {
                    mean_of(x, [rows.clone(), adaptive_part(column, w, sw)], sw, y);
                }
            }
            Work::Gate => {
                let factors = &values.inputs[1][image * c..][..c];
                for (y, x) in y.chunks_exact_mut(c).zip(x[row * w * c..].chunks_exact(c)) {
                    y.iter_mut().zip(x.iter().zip(factors)).for_each(|(y, (x, f))| *y = x * f);
                }
            }
            _ => unreachable!("not an operation on rows"),
        }
    }

    /// # Safety
    /// As of [`Operation::part`], for this image.
    unsafe fn image(&self, image: usize, values: &Values<'_>) {
        let len: usize = self.output.iter().product();
        let x = &values.inputs[0][image * self.inputs[0]..][..self.inputs[0]];
        // SAFETY: the caller's promise.
        let y = unsafe { write(values.output(), image * len..(image + 1) * len) };
        match self.work {
            Work::GlobalPool { width } => global(width, x, y),
            Work::Flatten { pixels, channels } => {
                for (channel, y) in y.chunks_exact_mut(pixels).enumerate() {
                    let x = x[channel..].iter().step_by(channels);
                    y.iter_mut().zip(x).for_each(|(y, x)| *y = *x);
                }
            }
            _ => unreachable!("not an operation on images"),
        }
    }
}

/// Part `i` of `parts` along a side: from `⌊i s / parts⌋` to `⌈(i + 1) s / parts⌉`, as PyTorch's adaptive pools have it.
fn adaptive_part(i: usize, parts: usize, side: usize) -> Range<usize> {
    i * side / parts..((i + 1) * side).div_ceil(parts)
}

/// The mean over some rows and columns of an image `width` pixels wide, for every channel.
fn mean_of(x: &[f32], [rows, columns]: [Range<usize>; 2], width: usize, y: &mut [f32]) {
    let (c, share) = (y.len(), 1.0 / (rows.len() * columns.len()) as f32);
    y.fill(0.0);
    for row in rows {
        for pixel in x[(row * width + columns.start) * c..][..columns.len() * c].chunks_exact(c) {
            y.iter_mut().zip(pixel).for_each(|(y, x)| *y += x);
        }
    }
    y.iter_mut().for_each(|y| *y *= share);
}
