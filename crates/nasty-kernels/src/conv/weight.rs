//! The gradient of the weight: for every tap, the products of input and output-gradient channels summed over
//! images and pixels.
//!
//! A task has some input channels, some output channels and some images. It copies a band of rows of both sides
//! to a buffer, the same pixel of eight images side by side, as `[chunk][row][column][image][channel]` and
//! `[row][column][image][channel]`, so that a tap's run over pixels is a run over memory. Products of pairs take two
//! images at a time.

use std::ops::Range;

use rayon::prelude::*;

use super::geometry::ConvShape;
use super::pack::{CHUNK, Tile, tiles};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

/// Images side by side.
const IMAGES: usize = 8;
/// Tasks that a shape is cut into at least, if need be by images: parallel work for that many threads. It must
/// not depend on how many there are, for sums over other parts round differently.
const TASKS: usize = 16;
/// Bytes of a thread's buffer, about.
const BUFFER: usize = 320 << 10;
/// Bytes of output gradient that all taps and channels go over before the next: half a first-level cache.
const BLOCK: usize = 16 << 10;

/// How the shape is cut; depends on the shape and the vectors' length alone.
struct Plan {
    shape: ConvShape,
    tiles: Vec<Tile>,
    width: usize,
    lanes: usize,
    /// Input channels of a group in sixteens.
    chunks: usize,
    /// Chunks of a task.
    per_task: usize,
    /// Parts of the images.
    slots: usize,
}

/// A part of the sum.
struct Task<'a> {
    group: usize,
    tile: &'a Tile,
    chunks: Range<usize>,
    images: Range<usize>,
    /// `[chunk][tap][input channel][output channel]`.
    sums: &'a mut [f32],
}

/// The gradient, computed with products of `E`.
pub(super) fn backward_weight<E: Element>(path: Path, shape: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let plan = Plan::new(shape, path.lanes());
    let len = plan.len();
    let mut scratch = Scratch::take(len * plan.slots);
    let sums = &mut scratch.elements::<f32>()[..len * plan.slots];
    let tasks = plan.tasks(sums);
    tasks
        .into_par_iter()
        .for_each(|task| path.run(TaskJob::<E> { plan: &plan, task, x, dy, element: E::default() }));
    plan.unpack(sums)
}

impl Plan {
    fn new(shape: &ConvShape, lanes: usize) -> Self {
        let (tiles, width) = tiles(shape.cout / shape.groups, lanes);
        let chunks = (shape.cin / shape.groups).div_ceil(CHUNK);
        let per_task = (36 / shape.taps()).clamp(1, 16).min(chunks);
        let per_task = chunks.div_ceil(chunks.div_ceil(per_task));
        let tasks = shape.groups * tiles.len() * chunks.div_ceil(per_task);
        let slots = TASKS.div_ceil(tasks).min(shape.n.div_ceil(IMAGES)).max(1);
        Self { shape: *shape, tiles, width, lanes, chunks, per_task, slots }
    }

    /// Sums of one slot.
    fn len(&self) -> usize {
        self.shape.groups * self.width * self.chunks * self.shape.taps() * CHUNK
    }

    fn tasks<'a>(&'a self, sums: &'a mut [f32]) -> Vec<Task<'a>> {
        let mut tasks = Vec::new();
        let mut rest = sums;
        let eights = self.shape.n.div_ceil(IMAGES);
        for slot in 0..self.slots {
            let image = |slot: usize| (slot * eights / self.slots * IMAGES).min(self.shape.n);
            for (group, tile) in (0..self.shape.groups).flat_map(|g| self.tiles.iter().map(move |t| (g, t))) {
                for chunk in (0..self.chunks).step_by(self.per_task) {
                    let chunks = chunk..(chunk + self.per_task).min(self.chunks);
                    let (sums, tail) = rest.split_at_mut(chunks.len() * self.chunk(tile));
                    rest = tail;
                    tasks.push(Task { group, tile, chunks, images: image(slot)..image(slot + 1), sums });
                }
            }
        }
        tasks
    }

    /// Sums of a chunk in a tile.
    fn chunk(&self, tile: &Tile) -> usize {
        self.shape.taps() * CHUNK * tile.vectors * self.lanes
    }

    /// Adds the slots up, in their order, as `[out, in, kh, kw]`.
    fn unpack(&self, sums: &[f32]) -> Vec<f32> {
        let (taps, inputs) = (self.shape.taps(), self.shape.cin / self.shape.groups);
        let mut dw = vec![0.0; self.shape.weight().iter().product()];
        let mut parts = Vec::new();
        let mut rest = dw.as_mut_slice();
        for (group, tile) in (0..self.shape.groups).flat_map(|g| self.tiles.iter().map(move |t| (g, t))) {
            let (part, tail) = rest.split_at_mut(tile.len * inputs * taps);
            rest = tail;
            parts.push((group, tile, part));
        }
        parts.into_par_iter().for_each(|(group, tile, part)| {
            let width = tile.vectors * self.lanes;
            let start = (group * self.width + tile.offset) * self.chunks * taps * CHUNK;
            for slot in sums.chunks_exact(self.len()) {
                let slot = &slot[start..];
                for (d, part) in part.chunks_exact_mut(inputs * taps).enumerate() {
                    for (i, part) in part.chunks_exact_mut(taps).enumerate() {
                        let at = (i / CHUNK * taps * CHUNK + i % CHUNK) * width + d;
                        for (tap, sum) in part.iter_mut().enumerate() {
                            *sum += slot[at + tap * CHUNK * width];
                        }
                    }
                }
            }
        });
        dw
    }
}

/// Output positions whose window's `tap` lies inside, along one axis.
fn inside(tap: usize, length: usize, outputs: usize, stride: usize, padding: usize) -> Range<usize> {
    let start = padding.saturating_sub(tap).div_ceil(stride);
    let end = if length + padding > tap { (length + padding - tap - 1) / stride + 1 } else { 0 };
    start..end.min(outputs).max(start)
}

struct TaskJob<'a, E> {
    plan: &'a Plan,
    task: Task<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    element: E,
}

impl<E: Element> Job for TaskJob<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(mut self) {
        self.task.sums.fill(0.0);
        let shape = &self.plan.shape;
        let width = self.task.tile.vectors * I::LANES;
        let row = (self.task.chunks.len() * shape.w * shape.stride * CHUNK + shape.ow * width) * IMAGES * 4;
        let band = (BUFFER / row).saturating_sub(shape.kh / 2).clamp(1, shape.oh);
        let band = shape.oh.div_ceil(shape.oh.div_ceil(band));
        let images = self.task.images.clone();
        for first in images.clone().step_by(IMAGES) {
            let count = (images.end - first).min(IMAGES);
            for row in (0..shape.oh).step_by(band) {
                self.band::<I>(first, count, row..(row + band).min(shape.oh));
            }
        }
    }
}

impl<E: Element> TaskJob<'_, E> {
    /// Adds the products of some rows of some images.
    #[inline(always)]
    fn band<I: Isa>(&mut self, first: usize, count: usize, rows: Range<usize>) {
        let shape = self.plan.shape;
        let ConvShape { stride, padding, .. } = shape;
        // Input rows that the band's windows cover.
        let top = (rows.start * stride).saturating_sub(padding).min(shape.h);
        let bottom = ((rows.end - 1) * stride + shape.kh).saturating_sub(padding).min(shape.h).max(top);
        let steps = count.div_ceil(E::VALUES);
        let width = self.task.tile.vectors * I::LANES;
        let plane = (bottom - top) * shape.w * steps * CHUNK;
        let mut x_scratch = Scratch::take(self.task.chunks.len() * plane);
        let mut dy_scratch = Scratch::take(rows.len() * shape.ow * steps * width);
        let x = &mut x_scratch.elements::<E>()[..self.task.chunks.len() * plane];
        let dy = &mut dy_scratch.elements::<E>()[..rows.len() * shape.ow * steps * width];
        self.pack_x(first, count, top..bottom, x);
        self.pack_dy(first, count, rows.clone(), width, dy);

        let pixel = steps * width * 4;
        let block_columns = (BLOCK / pixel).clamp(1, shape.ow);
        let block_rows = (BLOCK / (pixel * shape.ow)).clamp(1, rows.len());
        let per_group = shape.cin / shape.groups;
        for (block_row, block_column) in rows
            .clone()
            .step_by(block_rows)
            .flat_map(|r| (0..shape.ow).step_by(block_columns).map(move |c| (r, c)))
        {
            for (c, chunk) in self.task.chunks.clone().enumerate() {
                let used = (per_group - chunk * CHUNK).min(CHUNK);
                for (ky, kx) in (0..shape.kh).flat_map(|ky| (0..shape.kw).map(move |kx| (ky, kx))) {
                    let down = inside(ky, shape.h, shape.oh, stride, padding);
                    let across = inside(kx, shape.w, shape.ow, stride, padding);
                    let down = down.start.max(block_row)..down.end.min(block_row + block_rows).min(rows.end);
                    let across = across.start.max(block_column)..across.end.min(block_column + block_columns);
                    if down.is_empty() || across.is_empty() {
                        continue;
                    }
                    let row = down.start * stride + ky - padding - top;
                    let column = across.start * stride + kx - padding;
                    let mut tap = Tap {
                        x: x[c * plane + (row * shape.w + column) * steps * CHUNK..].as_ptr(),
                        dy: dy[((down.start - rows.start) * shape.ow + across.start) * steps * width..]
                            .as_ptr(),
                        sums: self.task.sums[(c * shape.taps() + ky * shape.kw + kx) * CHUNK * width..]
                            [..CHUNK * width]
                            .as_mut_ptr(),
                        rows: down.len(),
                        columns: across.len(),
                        steps,
                        x_row: stride * shape.w * steps * CHUNK,
                        x_column: stride * steps * CHUNK,
                        dy_row: shape.ow * steps * width,
                    };
                    // SAFETY: the instruction set is there, for a job runs; the rows and columns are those whose
                    // tap lies inside the image, so in the band; `sums` has a chunk's channels.
                    unsafe { tap.all::<I>(used, width) }
                }
            }
        }
    }

    /// As `[chunk][row][column][image][channel]`.
    #[inline(always)]
    fn pack_x(&self, first: usize, count: usize, rows: Range<usize>, to: &mut [E]) {
        let shape = &self.plan.shape;
        let per_group = shape.cin / shape.groups;
        let start = self.task.group * per_group + self.task.chunks.start * CHUNK;
        let end = self.task.group * per_group + (self.task.chunks.end * CHUNK).min(per_group);
        let steps = count.div_ceil(E::VALUES);
        let plane = rows.len() * shape.w * steps;
        let (lines, _) = to.as_chunks_mut::<CHUNK>();
        for (r, row) in rows.enumerate() {
            for step in 0..steps {
                let image = |i: usize| &self.x[((first + i) * shape.h + row) * shape.w * shape.cin..];
                let one = image(step * E::VALUES);
                // The partner of the last of an odd number is itself, times a gradient of zero.
                let two = image((step * E::VALUES + E::VALUES - 1).min(count - 1));
                for column in 0..shape.w {
                    let pixel = column * shape.cin;
                    let (one, two) = (&one[pixel + start..pixel + end], &two[pixel + start..pixel + end]);
                    let mut to = (r * shape.w + column) * steps + step;
                    for (one, two) in one.chunks(CHUNK).zip(two.chunks(CHUNK)) {
                        pack_two(one, two, &mut lines[to]);
                        to += plane;
                    }
                }
            }
        }
    }

    /// As `[row][column][image][channel]`.
    #[inline(always)]
    fn pack_dy(&self, first: usize, count: usize, rows: Range<usize>, width: usize, to: &mut [E]) {
        let shape = &self.plan.shape;
        let tile = self.task.tile;
        let start = self.task.group * (shape.cout / shape.groups) + tile.start;
        let steps = count.div_ceil(E::VALUES);
        for (r, row) in rows.enumerate() {
            for step in 0..steps {
                let image = |i: usize| &self.dy[((first + i) * shape.oh + row) * shape.ow * shape.cout..];
                let one = image(step * E::VALUES);
                let two = step * E::VALUES + E::VALUES - 1;
                let two = if E::VALUES == 2 && two < count { Some(image(two)) } else { None };
                for column in 0..shape.ow {
                    let pixel = column * shape.cout + start;
                    let one = &one[pixel..pixel + tile.len];
                    let two = two.map_or([].as_slice(), |two| &two[pixel..pixel + tile.len]);
                    let to = &mut to[((r * shape.ow + column) * steps + step) * width..][..width];
                    if E::VALUES == 1 || two.is_empty() {
                        to.iter_mut().zip(one).for_each(|(to, one)| *to = E::pack(*one, 0.0));
                    } else {
                        to.iter_mut().zip(one.iter().zip(two)).for_each(|(to, (a, b))| *to = E::pack(*a, *b));
                    }
                    to[tile.len..].fill(E::default());
                }
            }
        }
    }
}

/// A chunk of channels of one image, or of two as pairs.
#[inline(always)]
fn pack_two<E: Element>(one: &[f32], two: &[f32], to: &mut [E; CHUNK]) {
    if let (Some(one), Some(two)) = (one.first_chunk::<CHUNK>(), two.first_chunk::<CHUNK>()) {
        *to = std::array::from_fn(|i| E::pack(one[i], two[i]));
    } else {
        let at = |from: &[f32], i: usize| from.get(i).copied().unwrap_or(0.0);
        *to = std::array::from_fn(|i| E::pack(at(one, i), at(two, i)));
    }
}

/// A tap's run over some rows and columns; steps are in elements.
struct Tap<E> {
    x: *const E,
    dy: *const E,
    sums: *mut f32,
    rows: usize,
    columns: usize,
    steps: usize,
    x_row: usize,
    x_column: usize,
    dy_row: usize,
}

impl<E: Element> Tap<E> {
    /// The first `used` channels of the chunk, as many at a time as leave the sums in registers.
    #[inline(always)]
    unsafe fn all<I: Isa>(&mut self, used: usize, width: usize) {
        let mut channel = 0;
        while channel < used {
            // SAFETY: the caller's promise; the buffers have whole chunks.
            channel += unsafe {
                match (used - channel, width / I::LANES) {
                    (9.., 1) if I::IMAGES == 8 => self.some::<I, 16, 1>(channel),
                    (5.., 1) => self.some::<I, 8, 1>(channel),
                    (_, 1) => self.some::<I, 4, 1>(channel),
                    (5.., _) if I::IMAGES == 8 => self.some::<I, 8, 2>(channel),
                    (_, _) => self.some::<I, 4, 2>(channel),
                }
            };
        }
    }

    #[inline(always)]
    unsafe fn some<I: Isa, const C: usize, const V: usize>(&mut self, channel: usize) -> usize {
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[I::zero(); V]; C];
            let width = V * I::LANES;
            for (row, column) in (0..self.rows).flat_map(|r| (0..self.columns).map(move |c| (r, c))) {
                let x = self.x.add(row * self.x_row + column * self.x_column + channel).cast::<f32>();
                let dy = self.dy.add(row * self.dy_row + column * self.steps * width).cast::<f32>();
                for step in 0..self.steps {
                    let mut d = [I::zero(); V];
                    for (v, d) in d.iter_mut().enumerate() {
                        *d = I::load(dy.add(step * width + v * I::LANES));
                    }
                    for (c, sums) in sums.iter_mut().enumerate() {
                        let x = I::splat(x.add(step * CHUNK + c));
                        for (sum, d) in sums.iter_mut().zip(d) {
                            *sum = E::multiply_add::<I>(d, x, *sum);
                        }
                    }
                }
            }
            // Sums of sums: one long sum would lose digits.
            for (c, sums) in sums.iter().enumerate() {
                for (v, sum) in sums.iter().enumerate() {
                    let to = self.sums.add((channel + c) * width + v * I::LANES);
                    I::store(to, I::add(I::load(to), *sum));
                }
            }
        }
        C
    }
}
