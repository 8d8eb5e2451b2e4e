//! The gradient of the weight: for every point, the products of transformed tiles, summed over all tiles.

use std::marker::PhantomData;

use super::super::geometry::ConvShape;
use super::super::inner::Tap;
use super::super::output::Shared;
use super::super::pack::CHUNK;
use super::super::weight::{Plan, Task};
use super::POINTS;
use super::tiles::{Along, Block, Grid, Maps, Points, Transformed};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

/// Approximate bytes of a task's sums.
const SUMS: usize = 512 << 10;
/// Approximate number of tiles transformed at a time; with the sums they stay in a typical second-level cache.
const TILES: usize = 64;

/// The gradient, as the weight, computed with products of `E`.
pub(in super::super) fn backward_weight<E: Element>(
    path: Path,
    shape: &ConvShape,
    x: &[f32],
    dy: &[f32],
) -> Vec<f32> {
    let plan = Plan::new(shape, path.lanes(), POINTS, SUMS);
    plan.run(
        |task, sums| path.run(TaskJob::<E> { plan: &plan, task, x, dy, sums, element: PhantomData }),
        |points, taps| {
            // Gᵀ s G.
            let one = |[a, b, c, d]: [f32; 4]| [a + 0.5 * (b + c), 0.5 * (b - c), 0.5 * (b + c) + d];
            let (points, _) = points.as_chunks::<4>();
            let rows = [points[0], points[1], points[2], points[3]].map(one);
            for column in 0..3 {
                for (row, v) in one(rows.map(|row| row[column])).into_iter().enumerate() {
                    taps[3 * row + column] = v;
                }
            }
        },
    )
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
        let grid = Grid::of([shape.oh, shape.ow]);
        let (inputs, outputs) = (shape.cin / shape.groups, shape.cout / shape.groups);
        let first = task.chunks.start * CHUNK;
        let x = Maps {
            values: self.x,
            size: [shape.h, shape.w, shape.cin],
            start: task.group * inputs + first,
            len: (task.chunks.end * CHUNK).min(inputs) - first,
        };
        for block in grid.blocks(task.images.clone(), TILES) {
            let steps = block.images.len() * block.rows.len() * grid.columns.div_ceil(E::VALUES);
            let point = Transformed::<E>::point(task.chunks.len(), steps);
            let mut sources = Scratch::take(POINTS * point);
            let sources = &mut sources.elements::<E>()[..POINTS * point];
            // SAFETY: a job runs, so the instruction set is supported.
            unsafe {
                let mut to = Transformed { to: sources, point, chunk: steps * CHUNK };
                x.transform_inputs::<I, E>(shape.padding, grid, &block, &mut to);
            }
            for tile in task.tiles {
                let width = tile.vectors * I::LANES;
                let from_point = steps * width + CHUNK;
                let mut gradients = Scratch::take(POINTS * from_point);
                let gradients = &mut gradients.elements::<E>()[..POINTS * from_point];
                let dy = Maps {
                    values: self.dy,
                    size: [shape.oh, shape.ow, shape.cout],
                    start: task.group * outputs + tile.start,
                    len: width,
                };
                // SAFETY: a job runs, so the instruction set is supported.
                unsafe { dy.transform_gradients::<I, E>(grid, &block, gradients, from_point) };
                for i in 0..POINTS {
                    for (c, chunk) in task.chunks.clone().enumerate() {
                        let sums = self.sums.at(plan.sums(task, tile, chunk), plan.chunk(tile));
                        let tap = Tap {
                            x: sources[i * point + c * steps * CHUNK..][..steps * CHUNK].as_ptr(),
                            dy: gradients[i * from_point..][..steps * width].as_ptr(),
                            sums: sums.wrapping_add(i * CHUNK * width),
                            rows: 1,
                            columns: 1,
                            steps,
                            x_row: 0,
                            x_column: 0,
                            dy_row: 0,
                        };
                        let used = (inputs - chunk * CHUNK).min(CHUNK);
                        // SAFETY: a job runs, so the instruction set is supported; x and dy lie in the slices above; `sums`
                        // has the chunks of all points, and no other task writes them.
                        unsafe { tap.all::<I>(used, width) }
                    }
                }
            }
        }
    }
}

impl Maps<'_> {
    /// B d Bᵀ of the block's tiles. A step is a tile; with pairs, two neighbouring tiles.
    #[inline(always)]
    unsafe fn transform_inputs<I: Isa, E: Element>(
        self,
        padding: usize,
        grid: Grid,
        block: &Block,
        to: &mut Transformed<'_, E>,
    ) {
        let steps = grid.columns.div_ceil(E::VALUES);
        for (image, row, i) in block.each_row() {
            let lines = self.lines(image, 2 * row, padding);
            for channel in (0..self.len).step_by(I::LANES) {
                // SAFETY: the caller's promise, as for `Isa`.
                unsafe {
                    let mut along = Along::<I>::new(self, lines, padding, channel);
                    for step in 0..steps {
                        let tile = E::VALUES * step;
                        let points = along.next(tile);
                        let pairs = if E::VALUES == 2 && tile + 1 < grid.columns {
                            along.next(tile + 1)
                        } else {
                            [[I::zero(); 4]; 4]
                        };
                        let step = i * steps + step;
                        to.store::<I>([points, pairs], channel / CHUNK, step, channel % CHUNK);
                    }
                }
            }
        }
    }

    /// A dy Aᵀ of the block's tiles, as `[point][step][channel]`. What follows the last channel in memory goes into sums
    /// that are not used.
    #[inline(always)]
    unsafe fn transform_gradients<I: Isa, E: Element>(
        self,
        grid: Grid,
        block: &Block,
        to: &mut [E],
        point: usize,
    ) {
        let steps = grid.columns.div_ceil(E::VALUES);
        for (image, row, i) in block.each_row() {
            let lines = self.lines(image, 2 * row, 0);
            for (step, channel) in
                (0..steps).flat_map(|s| (0..self.len).step_by(I::LANES).map(move |c| (s, c)))
            {
                let at = (i * steps + step) * self.len + channel;
                let to = &mut to[at..][..(POINTS - 1) * point + I::LANES];
                let tile = E::VALUES * step;
                // SAFETY: the caller's promise, as for `Isa`; stores lie in the slice above.
                unsafe {
                    let one = self.gradient::<I>(&lines, tile, channel);
                    let two =
                        if E::VALUES == 2 { self.gradient::<I>(&lines, tile + 1, channel) } else { one };
                    for (k, (one, two)) in one.as_flattened().iter().zip(two.as_flattened()).enumerate() {
                        I::store(to.as_mut_ptr().add(k * point).cast(), E::pack_lanes::<I>(*one, *two));
                    }
                }
            }
        }
    }

    /// A dy Aᵀ of one tile, zeros outside of the image.
    #[inline(always)]
    unsafe fn gradient<I: Isa>(&self, lines: &[Option<usize>; 2], tile: usize, channel: usize) -> Points<I> {
        let [_, width, channels] = self.size;
        // SAFETY: the caller's promise, as for `Isa`.
        unsafe {
            let mut columns = [[I::zero(); 4]; 2];
            for (across, values) in columns.iter_mut().enumerate() {
                let column = 2 * tile + across;
                if column < width {
                    *values = expand::<I>(self.column::<I, 2>(lines, column * channels + channel));
                }
            }
            let mut points = [[I::zero(); 4]; 4];
            for (k, points) in points.iter_mut().enumerate() {
                *points = expand::<I>([columns[0][k], columns[1][k]]);
            }
            points
        }
    }
}

/// A dy along one dimension.
#[inline(always)]
unsafe fn expand<I: Isa>([a, b]: [I::V; 2]) -> [I::V; 4] {
    // SAFETY: the caller's promise, as for `Isa`.
    unsafe { [a, I::add(a, b), I::sub(a, b), b] }
}
