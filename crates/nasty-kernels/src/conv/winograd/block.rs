//! A block of tiles: its sources are transformed, multiplied with the filters, and the products transformed back.

use std::ops::Range;

use super::super::finish::Finish;
use super::super::inner::Sum;
use super::super::output::Shared;
use super::super::pack::{CHUNK, Tile};
use super::tiles::{Block, Maps, Transformed};
use super::{POINTS, Winograd};
use crate::scratch::Scratch;
use crate::simd::{Element, Isa, Job};

/// Tiles of the smallest round of the inner loop.
const LEAST_ROUND: usize = 4;

/// Aᵀ m along one dimension.
#[inline(always)]
unsafe fn transform_products<I: Isa>([a, b, c, d]: [I::V; 4]) -> [I::V; 2] {
    // SAFETY: the caller's promise, as for `Isa`.
    unsafe { [I::add(I::add(a, b), c), I::add(I::sub(b, c), d)] }
}

/// Some tiles of channels of a block.
pub(super) struct BlockJob<'a, E> {
    pub(super) winograd: &'a Winograd<E>,
    pub(super) block: &'a Block,
    pub(super) channel_tiles: Range<usize>,
    pub(super) x: &'a [f32],
    pub(super) y: Shared<'a>,
    pub(super) finish: &'a Finish<'a>,
}

impl<E: Element> Job for BlockJob<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self) {
        let Self { winograd, block, channel_tiles, x, y, finish } = self;
        let Winograd { layout, grid, .. } = winograd;
        // Whole rounds of the inner loop; what it computes after the last tile is not used.
        let tiles = grid.tiles(block).next_multiple_of(LEAST_ROUND);
        let point = Transformed::<E>::point(layout.chunks, tiles);
        let mut sources = Scratch::take(POINTS * point);
        let sources = &mut sources.elements::<E>()[..POINTS * point];
        let mut products = Scratch::take(POINTS * (2 * tiles * I::LANES + CHUNK));
        let products = products.elements::<f32>();
        for group in 0..layout.groups {
            let first = group * layout.tiles.len();
            let end = channel_tiles.end.saturating_sub(first).min(layout.tiles.len());
            let some = channel_tiles.start.saturating_sub(first).min(end)..end;
            if some.is_empty() {
                continue;
            }
            let maps =
                Maps { values: x, size: winograd.source, start: group * layout.sources, len: layout.sources };
            let mut to = Transformed { to: sources, point, chunk: tiles * CHUNK };
            // SAFETY: a job runs, so the instruction set is supported.
            unsafe { maps.transform_sources::<I, E>(winograd.padding, *grid, block, &mut to) };
            for tile in &layout.tiles[some] {
                let pass = Pass { winograd, block, group, tile, tiles, y, finish };
                match (tile.vectors, I::IMAGES) {
                    (1, _) => pass.run::<I, 8, 1>(sources, products),
                    (_, 8) => pass.run::<I, 8, 2>(sources, products),
                    (_, _) => pass.run::<I, 4, 2>(sources, products),
                }
            }
        }
    }
}

/// A tile of output channels for a block of pixel tiles.
struct Pass<'a, E> {
    winograd: &'a Winograd<E>,
    block: &'a Block,
    group: usize,
    tile: &'a Tile,
    /// Pixel tiles, rounded up to whole rounds of the inner loop.
    tiles: usize,
    y: Shared<'a>,
    finish: &'a Finish<'a>,
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
        let layout = &self.winograd.layout;
        let width = V * I::LANES;
        let weights = &self.winograd.filters.read::<E>()[layout.tile(self.group, self.tile)..]
            [..layout.chunks * layout.chunk(self.tile)];
        let from_point = Transformed::<E>::point(layout.chunks, self.tiles);
        for i in 0..POINTS {
            let weights = &weights[i * layout.chunks * CHUNK * width..];
            let mut tile = 0;
            while tile < self.tiles {
                // SAFETY: a job runs, so the instruction set is supported; a point has its channels of all tiles and its
                // weights, both in whole chunks.
                unsafe {
                    let sources = &sources[i * from_point + tile * CHUNK..];
                    let to = &mut products[i * point + tile * width..];
                    if tile + P <= self.tiles {
                        self.sums::<I, P, V>(sources, weights, to);
                        tile += P;
                    } else {
                        self.sums::<I, LEAST_ROUND, V>(sources, weights, to);
                        tile += LEAST_ROUND;
                    }
                }
            }
        }
    }

    /// Products of a point for `P` tiles, summed over input channels.
    #[inline(always)]
    unsafe fn sums<I: Isa, const P: usize, const V: usize>(
        &self,
        sources: &[E],
        weights: &[E],
        to: &mut [f32],
    ) {
        let layout = &self.winograd.layout;
        let width = V * I::LANES;
        let to = to[..P * width].as_mut_ptr();
        // SAFETY: the caller's promise.
        unsafe {
            let mut sums = [[I::zero(); V]; P];
            Sum {
                source: sources.as_ptr(),
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
                    I::store(to.add(p * width + v * I::LANES), *sum);
                }
            }
        }
    }

    /// Stores Aᵀ m A plus the bias.
    #[inline(always)]
    fn transform<I: Isa, const V: usize>(&self, products: &[f32], point: usize) {
        let Self { winograd, tile, finish, .. } = self;
        let [rows, columns, channels] = winograd.destination;
        let width = V * I::LANES;
        let start = self.group * (channels / winograd.layout.groups) + tile.start;
        let padded = self.group * winograd.layout.width + tile.offset;
        let bias = &winograd.bias[padded..][..width];
        let plain = finish.is_plain() && finish.bounds.is_none();
        for (image, row, i) in self.block.each_row() {
            let line = |row: usize| {
                let at = (image * rows + row) * columns * channels;
                (row < rows).then(|| (at, self.y.at(at, columns * channels)))
            };
            let lines = [line(2 * row), line(2 * row + 1)];
            for column in 0..winograd.grid.columns {
                let from =
                    &products[(i * winograd.grid.columns + column) * width..][..(POINTS - 1) * point + width];
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
                            let Some((at, line)) = line else { continue };
                            for (across, value) in transform_products::<I>(half).into_iter().enumerate() {
                                let column = 2 * column + across;
                                if column < columns {
                                    let lane = v * I::LANES;
                                    let offset = column * channels + start + lane;
                                    let to = line.add(offset);
                                    let value = I::add(value, bias);
                                    if !plain {
                                        let (padded, len) = (padded + lane, tile.len - lane);
                                        finish.store::<I>(value, to, at + offset, padded, len);
                                    } else if tile.len == width {
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
