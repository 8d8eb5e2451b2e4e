//! 3 × 3 convolution of stride 1 by Winograd's minimal filtering F(2 × 2, 3 × 3) (Lavin & Gray, CVPR 2016): a 2 × 2
//! tile of the destination takes 16 products for a pair of channels instead of 36.
//!
//! In one dimension, two sums y over three taps g of four values d are y = Aᵀ (G g ⊙ B d); the gradient of the taps is
//! Gᵀ (B d ⊙ A dy). In two dimensions the same is done along rows and along columns. B and A only add and subtract, so
//! about one bit is lost against the direct sum. In bfloat16 the transformed factors are rounded; the transforms
//! themselves and all sums are f32.

mod tiles;
mod weight;

use rayon::prelude::*;

use super::gather::Gather;
use super::inner::Sum;
use super::output::{Output, Shared};
use super::pack::{self, CHUNK, Tile, WeightLayout};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job, Path};

pub(super) use self::tiles::Grid;
use self::tiles::{Block, Maps, Transformed};
pub(super) use self::weight::backward_weight;

/// Products of a tile, for a pair of channels.
pub(super) const POINTS: usize = 16;
/// Approximate bytes of a thread's transformed sources.
const BUFFER: usize = 512 << 10;

/// G g Gᵀ.
fn transform_weight(g: [[f32; 3]; 3]) -> [[f32; 4]; 4] {
    let one = |[a, b, c]: [f32; 3]| [a, 0.5 * (a + c + b), 0.5 * (a + c - b), c];
    let rows = g.map(one);
    let mut points = [[0.0; 4]; 4];
    for column in 0..4 {
        for (row, v) in one([rows[0][column], rows[1][column], rows[2][column]]).into_iter().enumerate() {
            points[row][column] = v;
        }
    }
    points
}

/// Aᵀ m along one dimension.
#[inline(always)]
unsafe fn transform_products<I: Isa>([a, b, c, d]: [I::V; 4]) -> [I::V; 2] {
    // SAFETY: the caller's promise, as for `Isa`.
    unsafe { [I::add(I::add(a, b), c), I::add(I::sub(b, c), d)] }
}

/// A convolution whose destination row r reads source rows `r − padding` to `r − padding + 2`, and columns alike.
pub(super) struct Winograd<'a> {
    pub(super) gather: &'a Gather<'a>,
    pub(super) padding: usize,
    /// Whether the taps are in reverse order, as they are for the gradient of the input.
    pub(super) flipped: bool,
}

/// What is the same for all tasks.
struct Run<'a, E> {
    winograd: &'a Winograd<'a>,
    grid: Grid,
    x: &'a [f32],
    layout: &'a WeightLayout,
    weights: &'a [E],
    bias: &'a [f32],
    y: Shared<'a>,
}

impl Winograd<'_> {
    /// The destination, computed with products of `E`.
    pub(super) fn run<E: Element>(&self, path: Path, x: &[f32], weight: &[f32]) -> Vec<f32> {
        let gather = self.gather;
        let [rows, columns, channels] = gather.destination;
        let per_group = gather.source[2] / gather.groups;
        let (tiles, width) = pack::tiles(2, channels / gather.groups, path.lanes());
        let layout = WeightLayout {
            tiles,
            width,
            lanes: path.lanes(),
            groups: gather.groups,
            sources: per_group,
            chunks: per_group.div_ceil(CHUNK * E::VALUES),
            taps: POINTS,
        };
        let mut scratch = Scratch::take(layout.len());
        let weights = &mut scratch.elements::<E>()[..layout.len()];
        self.transform_weights(&layout, weight, weights);
        let bias = gather.pad_bias(&layout);

        let grid = Grid::of([rows, columns]);
        // Depends on the shape alone, so results are the same with any number of threads.
        let most = (BUFFER / (POINTS * layout.chunks * CHUNK * 4)).clamp(32, 64);
        let mut y = Output::new(gather.images * rows * columns * channels);
        let run = Run { winograd: self, grid, x, layout: &layout, weights, bias: &bias, y: y.share() };
        let blocks = grid.blocks(0..gather.images, most);
        blocks.par_iter().for_each(|block| path.run(BlockJob { run: &run, block }));
        // SAFETY: the blocks cover all rows of all images, and each writes all channels of its pixels.
        unsafe { y.finish() }
    }

    /// As `[group][tile][point][element][channel of the tile]`; unused places are not written.
    fn transform_weights<E: Element>(&self, layout: &WeightLayout, weight: &[f32], transformed: &mut [E]) {
        let order = self.gather.order;
        let mut parts = Vec::new();
        let mut rest = transformed;
        for (group, tile) in (0..layout.groups).flat_map(|g| layout.tiles.iter().map(move |t| (g, t))) {
            let (part, tail) = rest.split_at_mut(layout.chunks * layout.chunk(tile));
            parts.push((group, tile, part));
            rest = tail;
        }
        parts.into_par_iter().for_each(|(group, tile, part)| {
            let width = tile.vectors * layout.lanes;
            let point = layout.chunks * CHUNK * width;
            let transform = |source: usize, d: usize| {
                let at = group * order.group + (tile.start + d) * order.destination + source * order.source;
                let mut taps = [[0.0; 3]; 3];
                for (i, tap) in weight[at..at + 9].iter().enumerate() {
                    let i = if self.flipped { 8 - i } else { i };
                    taps[i / 3][i % 3] = *tap;
                }
                transform_weight(taps)
            };
            let elements = layout.sources / E::VALUES;
            for (element, d) in (0..elements).flat_map(|e| (0..tile.len).map(move |d| (e, d))) {
                // Paired as in `Maps::transform_sources`.
                let source = element / layout.lanes * layout.lanes * E::VALUES + element % layout.lanes;
                let one = transform(source, d);
                let two = if E::VALUES == 2 { transform(source + layout.lanes, d) } else { one };
                for (i, (one, two)) in one.as_flattened().iter().zip(two.as_flattened()).enumerate() {
                    part[i * point + element * width + d] = E::pack(*one, *two);
                }
            }
        });
    }
}

struct BlockJob<'a, E> {
    run: &'a Run<'a, E>,
    block: &'a Block,
}

impl<E: Element> Job for BlockJob<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { run, block } = self;
        let gather = run.winograd.gather;
        // Whole rounds of the inner loop; what it computes after the last tile is not used.
        let tiles = run.grid.tiles(block).next_multiple_of(8);
        let point = Transformed::<E>::point(run.layout.chunks, tiles);
        let mut sources = Scratch::take(POINTS * point);
        let sources = &mut sources.elements::<E>()[..POINTS * point];
        let mut products = Scratch::take(POINTS * (2 * tiles * I::LANES + CHUNK));
        let products = products.elements::<f32>();
        for group in 0..gather.groups {
            let maps = Maps {
                values: run.x,
                size: gather.source,
                start: group * run.layout.sources,
                len: run.layout.sources,
            };
            let mut to = Transformed { to: sources, point, chunk: tiles * CHUNK };
            // SAFETY: a job runs, so the instruction set is supported.
            unsafe { maps.transform_sources::<I, E>(run.winograd.padding, run.grid, block, &mut to) };
            for tile in &run.layout.tiles {
                let pass = Pass { run, block, group, tile, tiles };
                match (tile.vectors, I::IMAGES) {
                    (1, _) => pass.run::<I, 8, 1>(sources, products),
                    (_, 8) => pass.run::<I, 8, 2>(sources, products),
                    (_, _) => pass.run::<I, 4, 2>(sources, products),
                }
            }
        }
        let rows = 2 * block.rows.start..(2 * block.rows.end).min(gather.destination[0]);
        // SAFETY: no other task writes these pixels, and all passes have written them.
        unsafe { gather.finish(run.y, block.images.clone(), rows) };
    }
}

/// A tile of output channels for a block of pixel tiles.
struct Pass<'a, E> {
    run: &'a Run<'a, E>,
    block: &'a Block,
    group: usize,
    tile: &'a Tile,
    /// Pixel tiles, rounded up to whole rounds of the inner loop.
    tiles: usize,
}

impl<E: Element> Pass<'_, E> {
    #[inline(always)]
    fn run<I: Isa, const P: usize, const V: usize>(&self, sources: &[E], products: &mut [f32]) {
        // One cache line more, as in `Transformed::point`.
        let point = self.tiles * V * I::LANES + CHUNK;
        self.multiply::<I, P, V>(sources, products, point);
        self.transform::<I, V>(products, point);
    }

    /// For all points the products summed over input channels, as `[point][tile][channel]`.
    #[inline(always)]
    fn multiply<I: Isa, const P: usize, const V: usize>(
        &self,
        sources: &[E],
        products: &mut [f32],
        point: usize,
    ) {
        let layout = self.run.layout;
        let width = V * I::LANES;
        let weights = &self.run.weights[layout.tile(self.group, self.tile)..]
            [..layout.chunks * layout.chunk(self.tile)];
        let from_point = Transformed::<E>::point(layout.chunks, self.tiles);
        for i in 0..POINTS {
            let weights = &weights[i * layout.chunks * CHUNK * width..];
            for tile in (0..self.tiles).step_by(P) {
                let to = &mut products[i * point + tile * width..][..P * width];
                // SAFETY: a job runs, so the instruction set is supported; `Sum` reads the point's weights and the point's
                // channels of `P` tiles, both in whole chunks.
                unsafe {
                    let mut sums = [[I::zero(); V]; P];
                    Sum {
                        source: sources[i * from_point + tile * CHUNK..].as_ptr(),
                        weights: weights.as_ptr(),
                        chunks: layout.chunks,
                        elements: layout.sources / E::VALUES,
                        down: 1,
                        across: 1,
                        plane: self.tiles * CHUNK,
                        row: 0,
                        column: 0,
                        panel: CHUNK * width,
                        kernel_row: 0,
                        kernel_column: 0,
                    }
                    .run::<I, P, V>(&mut sums);
                    for (p, sums) in sums.iter().enumerate() {
                        for (v, sum) in sums.iter().enumerate() {
                            I::store(to.as_mut_ptr().add(p * width + v * I::LANES), *sum);
                        }
                    }
                }
            }
        }
    }

    /// Stores Aᵀ m A plus the bias.
    #[inline(always)]
    fn transform<I: Isa, const V: usize>(&self, products: &[f32], point: usize) {
        let Self { run, tile, .. } = self;
        let [rows, columns, channels] = run.winograd.gather.destination;
        let width = V * I::LANES;
        let start = self.group * (channels / run.winograd.gather.groups) + tile.start;
        let bias = &run.bias[self.group * run.layout.width + tile.offset..][..width];
        for (image, row, i) in self.block.each_row() {
            let line = |row: usize| {
                (row < rows).then(|| run.y.at((image * rows + row) * columns * channels, columns * channels))
            };
            let lines = [line(2 * row), line(2 * row + 1)];
            for column in 0..run.grid.columns {
                let from =
                    &products[(i * run.grid.columns + column) * width..][..(POINTS - 1) * point + width];
                for v in 0..V {
                    // SAFETY: a job runs, so the instruction set is supported; loads lie in the slice above, and stores
                    // in the lines, at this tile's channels of a pixel.
                    unsafe {
                        let [mut top, mut bottom] = [[I::zero(); 4]; 2];
                        for (l, (top, bottom)) in top.iter_mut().zip(&mut bottom).enumerate() {
                            let mut values = [I::zero(); 4];
                            for (k, value) in values.iter_mut().enumerate() {
                                *value = I::load(from.as_ptr().add((4 * k + l) * point + v * I::LANES));
                            }
                            [*top, *bottom] = transform_products::<I>(values);
                        }
                        let bias = I::load(bias.as_ptr().add(v * I::LANES));
                        for (line, half) in lines.iter().zip([top, bottom]) {
                            let Some(line) = line else { continue };
                            for (across, value) in transform_products::<I>(half).into_iter().enumerate() {
                                let column = 2 * column + across;
                                if column < columns {
                                    let to = line.add(column * channels + start + v * I::LANES);
                                    let value = I::add(value, bias);
                                    if tile.len == width {
                                        I::store(to, value);
                                    } else {
                                        I::store_first(to, tile.len - v * I::LANES, value);
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}
