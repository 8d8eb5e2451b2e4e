//! Tiles of activations, and how their values are transformed.

use std::ops::Range;

use super::super::pack::CHUNK;
use super::POINTS;
use crate::simd::{Element, Isa};

/// 2 × 2 tiles of an image; those at the end may reach over it.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// Some rows of tiles of some images.
pub(super) struct Block {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Grid {
    pub(super) fn of([rows, columns]: [usize; 2]) -> Self {
        Self { rows: rows.div_ceil(2), columns: columns.div_ceil(2) }
    }

    /// Blocks of up to `most` tiles, but of a row at least.
    pub(super) fn blocks(self, images: Range<usize>, most: usize) -> Vec<Block> {
        let rows = (most / self.columns).clamp(1, self.rows);
        let rows = self.rows.div_ceil(self.rows.div_ceil(rows));
        let count = if rows == self.rows { (most / (self.rows * self.columns)).max(1) } else { 1 };
        let firsts = images.clone().step_by(count);
        let blocks = firsts.flat_map(|first| {
            let images = first..(first + count).min(images.end);
            (0..self.rows)
                .step_by(rows)
                .map(move |row| Block { images: images.clone(), rows: row..(row + rows).min(self.rows) })
        });
        blocks.collect()
    }

    pub(super) fn tiles(self, block: &Block) -> usize {
        block.images.len() * block.rows.len() * self.columns
    }
}

impl Block {
    /// Every row of tiles: its image, its row there, and its number in the block.
    pub(super) fn each_row(&self) -> impl Iterator<Item = (usize, usize, usize)> {
        let all = self.images.clone().flat_map(|image| self.rows.clone().map(move |row| (image, row)));
        all.enumerate().map(|(i, (image, row))| (image, row, i))
    }
}

/// B d along one dimension.
#[inline(always)]
unsafe fn transform_source<I: Isa>([a, b, c, d]: [I::V; 4]) -> [I::V; 4] {
    // SAFETY: the caller's promise, as for `Isa`.
    unsafe { [I::sub(a, c), I::add(b, c), I::sub(c, b), I::sub(d, b)] }
}

/// Activations whose tiles are to be transformed.
#[derive(Clone, Copy)]
pub(super) struct Activations<'a> {
    pub(super) values: &'a [f32],
    /// Rows, columns, channels.
    pub(super) size: [usize; 3],
    /// First channel.
    pub(super) start: usize,
    /// Channels.
    pub(super) len: usize,
}

/// Where transformed tiles go: `[point][chunk][step][channel]`.
pub(super) struct Transformed<'a, E> {
    pub(super) to: &'a mut [E],
    pub(super) point: usize,
    pub(super) chunk: usize,
}

impl<E: Element> Transformed<'_, E> {
    /// Elements of all chunks for one point. One cache line more, so that the points do not share a set of the cache.
    pub(super) fn point(chunks: usize, steps: usize) -> usize {
        chunks * steps * CHUNK + CHUNK
    }

    #[inline(always)]
    pub(super) unsafe fn store<I: Isa>(
        &mut self,
        points: [Points<I>; 2],
        chunk: usize,
        step: usize,
        lane: usize,
    ) {
        let at = chunk * self.chunk + step * CHUNK + lane;
        // Checks all: the last is the furthest.
        let to = &mut self.to[at..][..(POINTS - 1) * self.point + I::LANES];
        let [one, two] = &points;
        for (i, (one, two)) in one.as_flattened().iter().zip(two.as_flattened()).enumerate() {
            // SAFETY: the caller's promise, as for `Isa`; the slice above.
            unsafe { I::store(to.as_mut_ptr().add(i * self.point).cast(), E::pack_lanes::<I>(*one, *two)) };
        }
    }
}

/// The transformed values of a tile, for a vector of channels.
pub(super) type Points<I> = [[<I as Isa>::V; 4]; 4];

/// Goes along a row of tiles for a vector of channels. Neighbours share two columns.
pub(super) struct Along<'a, I: Isa> {
    activations: Activations<'a>,
    lines: [Option<usize>; 4],
    padding: usize,
    channel: usize,
    columns: [[I::V; 4]; 2],
}

impl<'a, I: Isa> Along<'a, I> {
    #[inline(always)]
    pub(super) unsafe fn new(
        activations: Activations<'a>,
        lines: [Option<usize>; 4],
        padding: usize,
        channel: usize,
    ) -> Self {
        // SAFETY: the caller's promise, as for `Isa`.
        unsafe {
            let mut along = Self { activations, lines, padding, channel, columns: [[I::zero(); 4]; 2] };
            along.columns = [along.column(0), along.column(1)];
            along
        }
    }

    /// B d of a column, counted from `padding` outside of the image.
    #[inline(always)]
    unsafe fn column(&self, column: usize) -> [I::V; 4] {
        let [_, width, channels] = self.activations.size;
        // SAFETY: the caller's promise, as for `Isa`.
        unsafe {
            match column.checked_sub(self.padding) {
                Some(column) if column < width => transform_source::<I>(
                    self.activations.column::<I, 4>(&self.lines, column * channels + self.channel),
                ),
                _ => [I::zero(); 4],
            }
        }
    }

    /// B d Bᵀ of the tile, which follows the one before.
    #[inline(always)]
    pub(super) unsafe fn next(&mut self, tile: usize) -> Points<I> {
        // SAFETY: the caller's promise, as for `Isa`.
        unsafe {
            let [a, b] = self.columns;
            let (c, d) = (self.column(2 * tile + 2), self.column(2 * tile + 3));
            self.columns = [c, d];
            let mut points = [[I::zero(); 4]; 4];
            for (k, points) in points.iter_mut().enumerate() {
                *points = transform_source::<I>([a[k], b[k], c[k], d[k]]);
            }
            points
        }
    }
}

impl Activations<'_> {
    /// Where the channels begin in the first pixel of `N` rows from `first` on, counted from `padding` outside of the
    /// image; `None` for those outside.
    pub(super) fn lines<const N: usize>(
        &self,
        image: usize,
        first: usize,
        padding: usize,
    ) -> [Option<usize>; N] {
        let [height, width, channels] = self.size;
        std::array::from_fn(|k| {
            let row = (first + k).checked_sub(padding).filter(|row| *row < height)?;
            Some((image * height + row) * width * channels + self.start)
        })
    }

    /// The vectors from `at` on in `N` lines, zeros outside of these and behind the end.
    #[inline(always)]
    pub(super) unsafe fn column<I: Isa, const N: usize>(
        &self,
        lines: &[Option<usize>; N],
        at: usize,
    ) -> [I::V; N] {
        // SAFETY: the caller's promise, as for `Isa`; only what lies in the slice is read.
        unsafe {
            let mut vectors = [I::zero(); N];
            for (vector, line) in vectors.iter_mut().zip(lines) {
                let Some(line) = line else { continue };
                let values = self.values.get(line + at..).unwrap_or_default();
                *vector = if values.len() >= I::LANES {
                    I::load(values.as_ptr())
                } else {
                    I::load_first(values.as_ptr(), values.len())
                };
            }
            vectors
        }
    }

    /// B d Bᵀ of the block's tiles, which begin `padding` outside of the image; a step is a tile, and with pairs a lane
    /// has a channel of one vector and the same of the next. Channels behind the last hold whatever follows it; no
    /// product reaches them.
    #[inline(always)]
    pub(super) unsafe fn transform_sources<I: Isa, E: Element>(
        self,
        padding: usize,
        grid: Grid,
        block: &Block,
        to: &mut Transformed<'_, E>,
    ) {
        for (image, row, i) in block.each_row() {
            let lines = self.lines(image, 2 * row, padding);
            for channel in (0..self.len).step_by(E::VALUES * I::LANES) {
                let element = channel / E::VALUES;
                // SAFETY: the caller's promise, as for `Isa`.
                unsafe {
                    let mut one = Along::<I>::new(self, lines, padding, channel);
                    let mut two = Along::<I>::new(self, lines, padding, channel + (E::VALUES - 1) * I::LANES);
                    for tile in 0..grid.columns {
                        let points = one.next(tile);
                        let pairs = if E::VALUES == 2 { two.next(tile) } else { points };
                        to.store::<I>(
                            [points, pairs],
                            element / CHUNK,
                            i * grid.columns + tile,
                            element % CHUNK,
                        );
                    }
                }
            }
        }
    }
}
