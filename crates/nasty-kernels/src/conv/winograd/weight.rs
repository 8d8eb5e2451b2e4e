//! The gradient of the weight: for every point, the products of transformed tiles summed over all tiles.

use super::super::geometry::ConvShape;
use super::super::inner::Tap;
use super::super::output::Shared;
use super::super::pack::CHUNK;
use super::super::weight::{Plan, Task};
use super::{Activations, Block, Grid, POINTS, Transformed};
use crate::scratch::Scratch;
use crate::simd::{Isa, Job, Path};

/// Bytes of a task's sums, about.
const SUMS: usize = 512 << 10;
/// Tiles that are transformed at once, about: with the sums they stay in a usual second-level cache.
const TILES: usize = 64;

/// The gradient, as the weight.
pub(in super::super) fn backward_weight(path: Path, shape: &ConvShape, x: &[f32], dy: &[f32]) -> Vec<f32> {
    let plan = Plan::new(shape, path.lanes(), POINTS, SUMS);
    plan.run(
        |task, sums| path.run(TaskJob { plan: &plan, task, x, dy, sums }),
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

struct TaskJob<'a> {
    plan: &'a Plan,
    task: &'a Task<'a>,
    x: &'a [f32],
    dy: &'a [f32],
    sums: Shared<'a>,
}

impl Job for TaskJob<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { plan, task, .. } = self;
        let shape = &plan.shape;
        let grid = Grid::of([shape.oh, shape.ow]);
        let (inputs, outputs) = (shape.cin / shape.groups, shape.cout / shape.groups);
        let first = task.chunks.start * CHUNK;
        let x = Activations {
            values: self.x,
            size: [shape.h, shape.w, shape.cin],
            start: task.group * inputs + first,
            len: (task.chunks.end * CHUNK).min(inputs) - first,
        };
        for block in grid.blocks(task.images.clone(), TILES) {
            let tiles = grid.tiles(&block);
            let point = Transformed::point(task.chunks.len(), tiles);
            let mut sources = Scratch::take(POINTS * point);
            let sources = &mut sources.elements::<f32>()[..POINTS * point];
            // SAFETY: the instruction set is there, for a job runs.
            unsafe {
                let mut to = Transformed { to: sources, point, chunk: tiles * CHUNK };
                x.transform_sources::<I>(shape.padding, grid, &block, &mut to);
            }
            for tile in task.tiles {
                let width = tile.vectors * I::LANES;
                let from_point = tiles * width + CHUNK;
                let mut gradients = Scratch::take(POINTS * from_point);
                let gradients = &mut gradients.elements::<f32>()[..POINTS * from_point];
                let dy = Activations {
                    values: self.dy,
                    size: [shape.oh, shape.ow, shape.cout],
                    start: task.group * outputs + tile.start,
                    len: width,
                };
                // SAFETY: the instruction set is there, for a job runs.
                unsafe { dy.transform_gradients::<I>(grid, &block, gradients, from_point) };
                for i in 0..POINTS {
                    for (c, chunk) in task.chunks.clone().enumerate() {
                        let sums = self.sums.at(plan.sums(task, tile, chunk), plan.chunk(tile));
                        let tap = Tap::<f32> {
                            x: sources[i * point + c * tiles * CHUNK..][..tiles * CHUNK].as_ptr(),
                            dy: gradients[i * from_point..][..tiles * width].as_ptr(),
                            sums: sums.wrapping_add(i * CHUNK * width),
                            rows: 1,
                            columns: 1,
                            steps: tiles,
                            x_row: 0,
                            x_column: 0,
                            dy_row: 0,
                        };
                        let used = (inputs - chunk * CHUNK).min(CHUNK);
                        // SAFETY: the instruction set is there, for a job runs; the slices above; `sums` has all
                        // points' chunks, and they are this task's alone.
                        unsafe { tap.all::<I>(used, width) }
                    }
                }
            }
        }
    }
}

impl Activations<'_> {
    /// A dy Aᵀ of the block's tiles, as `[point][tile][channel]`. Behind the last channel comes what follows it, which
    /// ends in sums that are not used.
    #[inline(always)]
    unsafe fn transform_gradients<I: Isa>(self, grid: Grid, block: &Block, to: &mut [f32], point: usize) {
        let [_, width, channels] = self.size;
        for (image, row, first) in grid.rows(block) {
            let lines = self.lines(image, 2 * row, 0);
            for column in 0..grid.columns {
                for channel in (0..self.len).step_by(I::LANES) {
                    let to =
                        &mut to[(first + column) * self.len + channel..][..(POINTS - 1) * point + I::LANES];
                    // SAFETY: the caller's promise, as for `Isa`; stores lie in the slice above.
                    unsafe {
                        let at = 2 * column * channels + channel;
                        let left = expand::<I>(self.column::<I, 2>(&lines, at));
                        let right = if 2 * column + 1 < width {
                            expand::<I>(self.column::<I, 2>(&lines, at + channels))
                        } else {
                            [I::zero(); 4]
                        };
                        for k in 0..4 {
                            for (l, v) in expand::<I>([left[k], right[k]]).into_iter().enumerate() {
                                I::store(to.as_mut_ptr().add((4 * k + l) * point), v);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A dy along one dimension.
#[inline(always)]
unsafe fn expand<I: Isa>([a, b]: [I::V; 2]) -> [I::V; 4] {
    // SAFETY: the caller's promise, as for `Isa`.
    unsafe { [a, I::add(a, b), I::sub(a, b), b] }
}
