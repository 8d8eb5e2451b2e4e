//! The direct algorithm for the gradient of the weight: for every tap, the products of channels of x and dy, summed over
//! images and pixels.
//!
//! A task has some input channels, some output channels and some images. It copies a band of rows of x and dy to
//! buffers as `[chunk][row][column][image][channel]` and `[row][column][image][channel]`, with the same pixel of eight
//! images side by side, so that a tap reads memory in order. Products of pairs take two images at a time.

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::geometry::ConvShape;
use super::inner::Tap;
use super::output::Shared;
use super::pack::{CHUNK, Tile, pack_images, tiles};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

/// Images side by side.
const IMAGES: usize = 8;
/// The least number of tasks that a shape is split into, by images if need be: work for that many threads. It must not
/// depend on the number of threads, because other partial sums round differently.
pub(super) const TASKS: usize = 16;
/// Approximate bytes of a thread's buffer.
const BUFFER: usize = 512 << 10;
/// Bytes of dy that all taps and channels go over at a time; with those of x they stay in the first-level cache.
const BLOCK: usize = 8 << 10;
/// Approximate bytes of a task's sums; with the buffer they stay in a typical second-level cache.
const SUMS: usize = 144 << 10;
/// Elements of a task that adds up slots.
const ADDED: usize = 4 << 10;

/// How the sums are split. It depends on the shape and the vectors' length alone.
pub(super) struct Plan {
    pub(super) shape: ConvShape,
    /// Sums for a pair of channels: one per tap, or the points that the taps are computed from.
    taps: usize,
    tiles: Vec<Tile>,
    width: usize,
    lanes: usize,
    /// Chunks of a group's input channels.
    chunks: usize,
    /// Chunks of a task.
    task_chunks: usize,
    /// Tiles of a task.
    task_tiles: usize,
    /// Parts that the images are split into.
    slots: usize,
}

/// Adds up the sums of all slots, `len` each, in order.
pub(super) fn add_slots(sums: &mut [f32], len: usize) -> &[f32] {
    let (sums, others) = sums.split_at_mut(len);
    sums.par_chunks_mut(ADDED).enumerate().for_each(|(i, sums)| {
        for slot in others.chunks_exact(len) {
            sums.iter_mut().zip(&slot[i * ADDED..]).for_each(|(sum, more)| *sum += more);
        }
    });
    sums
}

/// A part of the work.
pub(super) struct Task<'a> {
    pub(super) group: usize,
    pub(super) tiles: &'a [Tile],
    pub(super) chunks: Range<usize>,
    pub(super) images: Range<usize>,
    /// Where the slot's sums begin.
    start: usize,
}

/// The gradient, computed with products of `E`.
pub(super) fn backward_weight<E: Element>(path: Path, shape: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let plan = Plan::new(shape, path.lanes(), shape.taps(), SUMS);
    plan.run(
        |task, sums| path.run(TaskJob::<E> { plan: &plan, task, x, dy, sums, element: PhantomData }),
        |sums, taps| taps.copy_from_slice(sums),
    )
}

impl Plan {
    /// Splits a shape so that a task's sums have about `room` bytes.
    pub(super) fn new(shape: &ConvShape, lanes: usize, taps: usize, room: usize) -> Self {
        let (tiles, width) = tiles(2, shape.cout / shape.groups, lanes);
        let chunks = (shape.cin / shape.groups).div_ceil(CHUNK);
        // As many channels as the room allows, and about as many inputs as outputs: a task copies its inputs for all of
        // its outputs, and the reverse.
        let even = |all: usize, most: usize| all.div_ceil(all.div_ceil(most.clamp(1, all)));
        let blocks = room / (taps * CHUNK * 2 * lanes * 4);
        let task_chunks = even(chunks, blocks.isqrt().next_power_of_two().max(blocks / tiles.len()));
        let task_tiles = even(tiles.len(), blocks / task_chunks);
        let tasks = shape.groups * tiles.len().div_ceil(task_tiles) * chunks.div_ceil(task_chunks);
        let slots = TASKS.div_ceil(tasks).min(shape.n.div_ceil(IMAGES)).max(1);
        Self { shape: *shape, taps, tiles, width, lanes, chunks, task_chunks, task_tiles, slots }
    }

    /// The gradient as `[out, in, kh, kw]`. `job` adds a task's products to its sums, which start at zero; `finish` computes
    /// the taps of a pair of channels from their sums.
    pub(super) fn run(
        &self,
        job: impl Fn(&Task<'_>, Shared<'_>) + Sync,
        finish: impl Fn(&[f32], &mut [f32]) + Sync,
    ) -> Vec<f32> {
        let len = self.len();
        let mut scratch = Scratch::take(len * self.slots);
        let sums = &mut scratch.elements::<f32>()[..len * self.slots];
        let shared = Shared::of(sums);
        self.tasks().par_iter().for_each(|task| {
            for (tile, chunk) in task.tiles.iter().flat_map(|t| task.chunks.clone().map(move |c| (t, c))) {
                let len = self.chunk(tile);
                let sums = shared.at(self.sums(task, tile, chunk), len);
                // SAFETY: `at` checks the length, and no other task has these tiles and chunks.
                unsafe { std::slice::from_raw_parts_mut(sums, len) }.fill(0.0);
            }
            job(task, shared);
        });
        self.unpack(sums, finish)
    }

    /// Sums of one slot.
    fn len(&self) -> usize {
        self.shape.groups * self.width * self.chunks * self.taps * CHUNK
    }

    fn tasks(&self) -> Vec<Task<'_>> {
        let eights = self.shape.n.div_ceil(IMAGES);
        let image = |slot: usize| (slot * eights / self.slots * IMAGES).min(self.shape.n);
        let mut tasks = Vec::new();
        for slot in 0..self.slots {
            for (group, tiles) in
                (0..self.shape.groups).flat_map(|g| self.tiles.chunks(self.task_tiles).map(move |t| (g, t)))
            {
                for chunk in (0..self.chunks).step_by(self.task_chunks) {
                    tasks.push(Task {
                        group,
                        tiles,
                        chunks: chunk..(chunk + self.task_chunks).min(self.chunks),
                        images: image(slot)..image(slot + 1),
                        start: slot * self.len(),
                    });
                }
            }
        }
        tasks
    }

    /// Where the sums `[tap][input channel][output channel]` of a chunk in a tile begin.
    pub(super) fn sums(&self, task: &Task<'_>, tile: &Tile, chunk: usize) -> usize {
        let rows = (task.group * self.width + tile.offset) * self.chunks + chunk * tile.vectors * self.lanes;
        task.start + rows * self.taps * CHUNK
    }

    /// Sums of a chunk in a tile.
    pub(super) fn chunk(&self, tile: &Tile) -> usize {
        self.taps * CHUNK * tile.vectors * self.lanes
    }

    /// Adds up the slots in order, and computes the taps.
    fn unpack(&self, sums: &mut [f32], finish: impl Fn(&[f32], &mut [f32]) + Sync) -> Vec<f32> {
        let sums = add_slots(sums, self.len());
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
            let sums = &sums[(group * self.width + tile.offset) * self.chunks * self.taps * CHUNK..];
            let mut of_two = vec![0.0; self.taps];
            for (d, part) in part.chunks_exact_mut(inputs * taps).enumerate() {
                for (i, part) in part.chunks_exact_mut(taps).enumerate() {
                    let at = (i / CHUNK * self.taps * CHUNK + i % CHUNK) * width + d;
                    for (tap, sum) in of_two.iter_mut().enumerate() {
                        *sum = sums[at + tap * CHUNK * width];
                    }
                    finish(&of_two, part);
                }
            }
        });
        dw
    }
}

/// The output positions for which `tap` lies inside the image, along one axis.
fn inside(tap: usize, length: usize, outputs: usize, stride: usize, padding: usize) -> Range<usize> {
    let start = padding.saturating_sub(tap).div_ceil(stride);
    let end = if length + padding > tap { (length + padding - tap - 1) / stride + 1 } else { 0 };
    start..end.min(outputs).max(start)
}

/// Whether any window reads the position, along one axis; with a stride larger than the kernel some are skipped.
fn is_read(position: usize, kernel: usize, stride: usize, padding: usize) -> bool {
    (position + padding) % stride < kernel
}

struct TaskJob<'a, E> {
    plan: &'a Plan,
    task: &'a Task<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    sums: Shared<'a>,
    element: PhantomData<E>,
}

impl<E: Element> Job for TaskJob<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { plan, task, .. } = self;
        let shape = &plan.shape;
        let width: usize = task.tiles.iter().map(|t| t.vectors * I::LANES).sum();
        let row = (task.chunks.len() * shape.w * shape.stride * CHUNK + shape.ow * width) * IMAGES * 4;
        let band = (BUFFER / row).saturating_sub(shape.kh / 2).clamp(1, shape.oh);
        let band = shape.oh.div_ceil(shape.oh.div_ceil(band));
        for first in task.images.clone().step_by(IMAGES) {
            let count = (task.images.end - first).min(IMAGES);
            for row in (0..shape.oh).step_by(band) {
                self.band::<I>(first, count, row..(row + band).min(shape.oh), width);
            }
        }
    }
}

impl<E: Element> TaskJob<'_, E> {
    /// Adds the products of some rows of some images.
    #[inline(always)]
    fn band<I: Isa>(&self, first: usize, count: usize, rows: Range<usize>, width: usize) {
        let task = self.task;
        let shape = self.plan.shape;
        let ConvShape { stride, padding, .. } = shape;
        // The input rows that the band's windows read.
        let top = (rows.start * stride).saturating_sub(padding).min(shape.h);
        let bottom = ((rows.end - 1) * stride + shape.kh).saturating_sub(padding).min(shape.h).max(top);
        let steps = count.div_ceil(E::VALUES);
        let x_plane = (bottom - top) * shape.w * steps * CHUNK;
        let dy_plane = rows.len() * shape.ow * steps;
        let mut x_scratch = Scratch::take(task.chunks.len() * x_plane);
        let mut dy_scratch = Scratch::take(dy_plane * width);
        let x = &mut x_scratch.elements::<E>()[..task.chunks.len() * x_plane];
        let dy = &mut dy_scratch.elements::<E>()[..dy_plane * width];
        self.pack_x::<I>(first, count, top..bottom, x);
        let mut to = &mut *dy;
        for tile in task.tiles {
            let (part, rest) = to.split_at_mut(dy_plane * tile.vectors * I::LANES);
            self.pack_dy::<I>(tile, first, count, rows.clone(), part);
            to = rest;
        }

        let pixel = steps * 2 * I::LANES * 4;
        // With one tap no input is read twice, so longer blocks are better.
        let block = if shape.taps() == 1 { 2 * BLOCK } else { BLOCK };
        let block_columns = (block / pixel).clamp(1, shape.ow);
        let block_rows = (block / (pixel * shape.ow)).clamp(1, rows.len());
        let per_group = shape.cin / shape.groups;
        let blocks = rows
            .clone()
            .step_by(block_rows)
            .flat_map(|r| (0..shape.ow).step_by(block_columns).map(move |c| (r, c)));
        for ((block_row, block_column), tile) in blocks.flat_map(|b| task.tiles.iter().map(move |t| (b, t))) {
            let width = tile.vectors * I::LANES;
            let dy = &dy[(tile.offset - task.tiles[0].offset) * dy_plane..][..dy_plane * width];
            for (c, chunk) in task.chunks.clone().enumerate() {
                let x = &x[c * x_plane..][..x_plane];
                let sums = self.sums.at(self.plan.sums(task, tile, chunk), self.plan.chunk(tile));
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
                    let tap = Tap {
                        x: x[(row * shape.w + column) * steps * CHUNK..].as_ptr(),
                        dy: dy[((down.start - rows.start) * shape.ow + across.start) * steps * width..]
                            .as_ptr(),
                        sums: sums.wrapping_add((ky * shape.kw + kx) * CHUNK * width),
                        rows: down.len(),
                        columns: across.len(),
                        steps,
                        x_row: stride * shape.w * steps * CHUNK,
                        x_column: stride * steps * CHUNK,
                        dy_row: shape.ow * steps * width,
                    };
                    // SAFETY: a job runs, so the instruction set is supported; the tap lies inside the image, so in the
                    // band, for these rows and columns; `sums` has the chunks of all taps, and no other task writes
                    // them.
                    unsafe { tap.all::<I>(used, width) }
                }
            }
        }
    }

    /// Packs rows of x as `[chunk][row][column][image][channel]`.
    #[inline(always)]
    fn pack_x<I: Isa>(&self, first: usize, count: usize, rows: Range<usize>, to: &mut [E]) {
        let shape = &self.plan.shape;
        let per_group = shape.cin / shape.groups;
        let steps = count.div_ceil(E::VALUES);
        let plane = rows.len() * shape.w * steps;
        let (lines, _) = to.as_chunks_mut::<CHUNK>();
        for (r, row) in rows.enumerate() {
            if !is_read(row, shape.kh, shape.stride, shape.padding) {
                continue;
            }
            for step in 0..steps {
                let (one, two) = images::<E>(self.x, shape.h * shape.w * shape.cin, first, count, step);
                for column in 0..shape.w {
                    if !is_read(column, shape.kw, shape.stride, shape.padding) {
                        continue;
                    }
                    let pixel = (row * shape.w + column) * shape.cin + self.task.group * per_group;
                    let mut to = (r * shape.w + column) * steps + step;
                    for chunk in self.task.chunks.clone() {
                        let (at, channels) = (pixel + chunk * CHUNK, per_group - chunk * CHUNK);
                        pack_images::<I, E>(one, two, at, channels, &mut lines[to]);
                        to += plane;
                    }
                }
            }
        }
    }

    /// Packs rows of dy as `[row][column][image][channel]`.
    #[inline(always)]
    fn pack_dy<I: Isa>(&self, tile: &Tile, first: usize, count: usize, rows: Range<usize>, to: &mut [E]) {
        let shape = &self.plan.shape;
        let width = tile.vectors * I::LANES;
        let start = self.task.group * (shape.cout / shape.groups) + tile.start;
        let steps = count.div_ceil(E::VALUES);
        for (r, row) in rows.enumerate() {
            for step in 0..steps {
                let (one, two) = images::<E>(self.dy, shape.oh * shape.ow * shape.cout, first, count, step);
                for column in 0..shape.ow {
                    let at = (row * shape.ow + column) * shape.cout + start;
                    let to = &mut to[((r * shape.ow + column) * steps + step) * width..][..width];
                    pack_images::<I, E>(one, two, at, tile.len, to);
                }
            }
        }
    }
}

/// The image of a step and its partner in a pair. There is none with f32, nor for an odd last image.
#[inline(always)]
fn images<E: Element>(
    all: &[f32],
    len: usize,
    first: usize,
    count: usize,
    step: usize,
) -> (&[f32], Option<&[f32]>) {
    let image = |i: usize| &all[(first + i) * len..];
    let two = step * E::VALUES + 1;
    (image(step * E::VALUES), if E::VALUES == 2 && two < count { Some(image(two)) } else { None })
}
