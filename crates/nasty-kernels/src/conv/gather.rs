//! The direct algorithm, forward and for the gradient of the input: every destination pixel is a sum over the source pixels
//! that its taps reach. The gradient of the input is the same sum over other taps, with the channels' roles swapped.
//!
//! The inner loop takes the same pixel of several images at once. These share the taps that lie inside the image, so
//! nothing is padded and nothing is multiplied by zero, at any stride. A band of source rows is first copied to a buffer
//! as `[group][chunk][row][column][image][element]`.

use std::ops::Range;

use rayon::prelude::*;

use super::fusion::{self, Epilogue};
use super::geometry::Taps;
use super::inner::Sum;
use super::output::{Output, Shared};
use super::pack::{CHUNK, Tile, WeightLayout, WeightOrder, pack_channels, tiles};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

/// A sum over taps: source `[n, rows, columns, channels]` → destination.
pub(super) struct Gather<'a> {
    pub(super) images: usize,
    pub(super) groups: usize,
    /// Rows, columns, channels.
    pub(super) source: [usize; 3],
    /// Rows, columns, channels.
    pub(super) destination: [usize; 3],
    /// The taps of every destination row, and of every column.
    pub(super) rows: Vec<Taps>,
    pub(super) columns: Vec<Taps>,
    /// Rows and columns of the kernel.
    pub(super) kernel: [usize; 2],
    pub(super) order: WeightOrder,
    pub(super) bias: Option<&'a [f32]>,
    /// Applied to every part of the destination while it is in the cache.
    pub(super) epilogue: Option<&'a Epilogue<'a>>,
}

/// Images side by side in a buffer.
const IMAGES: usize = 8;
/// Approximate bytes of a thread's buffer: half of a typical second-level cache.
const BUFFER: usize = 448 << 10;
/// Approximate bytes of the weights that one pass over a band reads; they stream from the second-level cache.
const PANEL: usize = 144 << 10;

/// Some destination rows of some images.
struct Task {
    first_image: usize,
    images: usize,
    rows: Range<usize>,
}

/// What is the same for all tasks.
struct Run<'a, E> {
    /// For every source row, and for every column: whether any tap reads it.
    read_rows: Vec<bool>,
    read_columns: Vec<bool>,
    gather: &'a Gather<'a>,
    x: &'a [f32],
    layout: &'a WeightLayout,
    weights: &'a [E],
    bias: &'a [f32],
    y: Shared<'a>,
}

impl Gather<'_> {
    /// The destination, computed with products of `E`.
    pub(super) fn run<E: Element>(&self, path: Path, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let [rows, columns, channels] = self.destination;
        let per_group = self.source[2] / self.groups;
        let (tiles, width) = tiles(2, channels / self.groups, path.lanes());
        let layout = WeightLayout {
            tiles,
            width,
            lanes: path.lanes(),
            groups: self.groups,
            sources: per_group,
            chunks: per_group.div_ceil(CHUNK * E::VALUES),
            taps: self.kernel[0] * self.kernel[1],
        };
        let mut scratch = Scratch::take(layout.len());
        let weights = scratch.elements::<E>();
        layout.pack(weight, self.order, weights);
        let bias = layout.pad(self.bias);

        let mut y = Output::new(self.images * rows * columns * channels);
        let tasks = self.tasks(layout.chunks);
        let run = Run {
            read_rows: read(&self.rows, self.source[0]),
            read_columns: read(&self.columns, self.source[1]),
            gather: self,
            x,
            layout: &layout,
            weights,
            bias: &bias,
            y: y.share(),
        };
        tasks.par_iter().for_each(|task| path.run(TaskJob { run: &run, task }));
        // SAFETY: the tasks cover all rows of all images, and each writes all channels of its pixels.
        unsafe { y.finish() }
    }

    /// Depends on the shape alone, so results are the same with any number of threads.
    fn tasks(&self, chunks: usize) -> Vec<Task> {
        let [rows, ..] = self.destination;
        let row = self.source[1] * self.groups * chunks * CHUNK * 4;
        // As many destination rows as the buffer can hold the sources of, for eight images.
        let mut band = 1;
        while band < rows && self.reach(&(0..(band + 1).min(rows))).len().max(1) * row * IMAGES <= BUFFER {
            band += 1;
        }
        band = rows.div_ceil(rows.div_ceil(band));
        // Of small images a multiple of eight: they share the weights while those are in the first-level cache.
        let image = self.source[0] * row;
        let mut images = IMAGES;
        if band == rows {
            while 2 * images * image <= BUFFER && images * rows * self.destination[1] < 8 * 64 {
                images *= 2;
            }
        }
        (0..self.images)
            .step_by(images)
            .flat_map(|first| {
                (0..rows).step_by(band).map(move |row| Task {
                    first_image: first,
                    images: images.min(self.images - first),
                    rows: row..(row + band).min(rows),
                })
            })
            .collect()
    }

    /// Source rows that the destination rows read.
    fn reach(&self, rows: &Range<usize>) -> Range<usize> {
        Taps::reach(&self.rows[rows.clone()])
    }
}

/// Whether any of the taps reads a position, for all positions.
fn read(taps: &[Taps], len: usize) -> Vec<bool> {
    let mut read = vec![false; len];
    taps.iter().flat_map(|t| t.iter()).for_each(|(_, position)| read[position] = true);
    read
}

struct TaskJob<'a, E> {
    run: &'a Run<'a, E>,
    task: &'a Task,
}

impl<E: Element> Job for TaskJob<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { run, task } = self;
        let band = Band::new(run, task);
        let mut scratch = Scratch::take(task.images * band.image());
        let buffer = &mut scratch.elements::<E>()[..task.images * band.image()];
        let parts = parts(task);
        for &(first, count) in &parts {
            let part = &mut buffer[(first - task.first_image) * band.image()..][..count * band.image()];
            band.fill::<I, E>(run, first, count, part);
        }
        let gather = run.gather;
        for group in 0..gather.groups {
            for tile in &run.layout.tiles {
                let per_pass = (PANEL / (run.layout.chunk(tile) * 4)).max(1);
                for chunks in (0..run.layout.chunks).step_by(per_pass) {
                    let pass = Pass {
                        group,
                        tile,
                        chunks: chunks..(chunks + per_pass).min(run.layout.chunks),
                        rows: &task.rows,
                    };
                    for &(first, count) in &parts {
                        let part =
                            &buffer[(first - task.first_image) * band.image()..][..count * band.image()];
                        match (count, tile.vectors) {
                            (8, 1) => band.pass::<I, E, 8, 1>(run, &pass, first, count, part),
                            (8, _) if I::IMAGES == 8 => {
                                band.pass::<I, E, 8, 2>(run, &pass, first, count, part)
                            }
                            (4, 1) => band.pass::<I, E, 4, 1>(run, &pass, first, count, part),
                            (8 | 4, _) => band.pass::<I, E, 4, 2>(run, &pass, first, count, part),
                            (2, 1) => band.pass::<I, E, 2, 1>(run, &pass, first, count, part),
                            (2, _) => band.pass::<I, E, 2, 2>(run, &pass, first, count, part),
                            (_, 1) => band.pass::<I, E, 1, 1>(run, &pass, first, count, part),
                            (_, _) => band.pass::<I, E, 1, 2>(run, &pass, first, count, part),
                        }
                    }
                }
            }
        }
        let images = task.first_image..task.first_image + task.images;
        // SAFETY: no other task writes these pixels, and all passes have written them.
        unsafe { fusion::finish(gather.epilogue, run.y, gather.destination, images, task.rows.clone()) };
    }
}

/// The images in groups of eight, then of four, two and one: `(first, count)`.
fn parts(task: &Task) -> Vec<(usize, usize)> {
    let (mut parts, mut first) = (Vec::new(), task.first_image);
    let end = task.first_image + task.images;
    for count in [8, 4, 2, 1] {
        while end - first >= count {
            parts.push((first, count));
            first += count;
        }
    }
    parts
}

/// A tile of output channels, and the source chunks that are summed in one pass.
struct Pass<'a> {
    group: usize,
    tile: &'a Tile,
    chunks: Range<usize>,
    rows: &'a Range<usize>,
}

/// The source rows in the buffer.
struct Band {
    rows: Range<usize>,
    columns: usize,
    /// Chunks of all groups.
    chunks: usize,
}

impl Band {
    #[inline(always)]
    fn new<E>(run: &Run<'_, E>, task: &Task) -> Self {
        Self {
            rows: run.gather.reach(&task.rows),
            columns: run.gather.source[1],
            chunks: run.gather.groups * run.layout.chunks,
        }
    }

    /// Elements of one image.
    fn image(&self) -> usize {
        self.chunks * self.rows.len() * self.columns * CHUNK
    }

    /// Copies the rows of `count` images.
    #[inline(always)]
    fn fill<I: Isa, E: Element>(&self, run: &Run<'_, E>, first: usize, count: usize, buffer: &mut [E]) {
        let [rows, columns, channels] = run.gather.source;
        let per_group = channels / run.gather.groups;
        let from_chunk = CHUNK * E::VALUES;
        let (lines, _) = buffer.as_chunks_mut::<CHUNK>();
        let plane = self.rows.len() * columns * count;
        for (r, row) in self.rows.clone().enumerate() {
            if !run.read_rows[row] {
                continue;
            }
            for image in 0..count {
                let start = ((first + image) * rows + row) * columns * channels;
                for column in 0..columns {
                    if !run.read_columns[column] {
                        continue;
                    }
                    let mut to = (r * columns + column) * count + image;
                    for group in 0..run.gather.groups {
                        let pixel = start + column * channels + group * per_group;
                        for channel in (0..per_group).step_by(from_chunk) {
                            pack_channels::<I, E>(
                                run.x,
                                pixel + channel,
                                per_group - channel,
                                &mut lines[to],
                            );
                            to += plane;
                        }
                    }
                }
            }
        }
    }

    /// Adds the pass's chunks to the tile's channels of `count` images, `P` images at a time.
    #[inline(always)]
    fn pass<I: Isa, E: Element, const P: usize, const V: usize>(
        &self,
        run: &Run<'_, E>,
        pass: &Pass<'_>,
        first: usize,
        count: usize,
        buffer: &[E],
    ) {
        let gather = run.gather;
        let tile = pass.tile;
        let width = V * I::LANES;
        let [rows, columns, channels] = gather.destination;
        let is_first = pass.chunks.start == 0;
        let row_step = self.columns * count * CHUNK;
        let plane = self.rows.len() * row_step;
        let source = &buffer[(pass.group * run.layout.chunks + pass.chunks.start) * plane..];
        let weights = &run.weights[run.layout.tile(pass.group, tile)..]
            [..run.layout.chunks * run.layout.chunk(tile)][pass.chunks.start * run.layout.chunk(tile)..];
        let bias = &run.bias[pass.group * run.layout.width + tile.offset..][..width];
        // Elements from the pass's first chunk on; the last chunk may not be full.
        let elements = run.layout.sources.div_ceil(E::VALUES) - pass.chunks.start * CHUNK;
        let whole = tile.len == width;
        let per_group = channels / gather.groups;

        for row in pass.rows.clone() {
            let down = gather.rows[row];
            for column in 0..columns {
                let across = gather.columns[column];
                if !is_first && down.count * across.count == 0 {
                    continue;
                }
                for part in (0..count).step_by(P) {
                    let pixel = |p: usize| {
                        let at = (((first + part + p) * rows + row) * columns + column) * channels;
                        run.y.at(at + pass.group * per_group + tile.start, tile.len)
                    };
                    // SAFETY: a job runs, so the instruction set is supported. The first pass loads the bias, `width` long;
                    // later ones load what the first stored at the same pixel. `Sum` reads taps and chunks that lie in
                    // `source` and `weights`.
                    unsafe {
                        let mut sums = [[I::zero(); V]; P];
                        for (p, sums) in sums.iter_mut().enumerate() {
                            for (v, sum) in sums.iter_mut().enumerate() {
                                *sum = if is_first {
                                    I::load(bias.as_ptr().add(v * I::LANES))
                                } else if whole {
                                    I::load(pixel(p).add(v * I::LANES))
                                } else {
                                    I::load_first(pixel(p).add(v * I::LANES), tile.len - v * I::LANES)
                                };
                            }
                        }
                        if down.count * across.count > 0 {
                            let top = (down.source - self.rows.start) * row_step;
                            Sum {
                                source: source[top + (across.source * count + part) * CHUNK..].as_ptr(),
                                weights: weights
                                    [(down.tap * gather.kernel[1] + across.tap) * CHUNK * width..]
                                    .as_ptr(),
                                chunks: pass.chunks.len(),
                                elements,
                                down: down.count,
                                across: across.count,
                                plane,
                                row: down.source_step * row_step as isize,
                                column: across.source_step * (count * CHUNK) as isize,
                                panel: run.layout.chunk(tile),
                                kernel_row: down.tap_step * gather.kernel[1] * CHUNK * width,
                                kernel_column: across.tap_step * CHUNK * width,
                            }
                            .run::<I, P, V>(&mut sums);
                        }
                        for (p, sums) in sums.iter().enumerate() {
                            for (v, sum) in sums.iter().enumerate() {
                                let to = pixel(p).add(v * I::LANES);
                                if whole {
                                    I::store(to, *sum);
                                } else {
                                    I::store_first(to, tile.len - v * I::LANES, *sum);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
