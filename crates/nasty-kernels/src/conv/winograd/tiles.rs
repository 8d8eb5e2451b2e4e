//! Tiles of feature maps, and the transforms of their values.

use std::ops::Range;

use super::super::pack::CHUNK;
use super::POINTS;
use crate::simd::{Element, Isa};

/// The 2 × 2 tiles of an image; the last ones may reach beyond its border.
#[derive(Clone, Copy)]
pub(in super::super) struct Grid {
    pub(in super::super) rows: usize,
    pub(in super::super) columns: usize,
}

/// Some rows of tiles of some images.
pub(super) struct Block {
    pub(super) images: Range<usize>,
    pub(super) rows: Range<usize>,
}

impl Grid {
    pub(in super::super) fn of([rows, columns]: [usize; 2]) -> Self {
        Self { rows: rows.div_ceil(2), columns: columns.div_ceil(2) }
    }

    /// Blocks of up to `most` tiles, but of at least one row of tiles.
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
    /// Every row of tiles: its image, its row in the image, and its number in the block.
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

/// Feature maps whose tiles are transformed.
#[derive(Clone, Copy)]
pub(super) struct Maps<'a> {
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
    /// Elements of all chunks for one point, plus a cache line, so that the points do not share a set of the cache.
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
        // One check for all stores: the last is the furthest.
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

/// Walks along a row of tiles for a vector of channels. Neighbouring tiles share two columns.
pub(super) struct Along<'a, I: Isa> {
    maps: Maps<'a>,
    lines: [Option<usize>; 4],
    padding: usize,
    channel: usize,
    columns: [[I::V; 4]; 2],
}

impl<'a, I: Isa> Along<'a, I> {
    #[inline(always)]
    pub(super) unsafe fn new(
        maps: Maps<'a>,
        lines: [Option<usize>; 4],
        padding: usize,
        channel: usize,
    ) -> Self {
        // SAFETY: the caller's promise, as for `Isa`.
        unsafe {
            let mut along = Self { maps, lines, padding, channel, columns: [[I::zero(); 4]; 2] };
            along.columns = [along.column(0), along.column(1)];
            along
        }
    }

    /// B d of a column. Column 0 lies `padding` columns left of the image.
    #[inline(always)]
    unsafe fn column(&self, column: usize) -> [I::V; 4] {
        let [_, width, channels] = self.maps.size;
        // SAFETY: the caller's promise, as for `Isa`.
        unsafe {
            match column.checked_sub(self.padding) {
                Some(column) if column < width => transform_source::<I>(
                    self.maps.column::<I, 4>(&self.lines, column * channels + self.channel),
                ),
                _ => [I::zero(); 4],
            }
        }
    }

    /// B d Bᵀ of a tile. Tiles must be asked for in order.
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

impl Maps<'_> {
    /// For `N` rows from `first` on: where the channels of the first pixel begin, or `None` outside of the image. Row 0 lies
    /// `padding` rows above the image.
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

    /// The vectors at offset `at` in `N` lines; zeros outside of the image and after the last element.
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

    /// B d Bᵀ of the block's tiles, which begin `padding` pixels outside of the image. A step is a tile. With pairs, a lane
    /// holds a channel of one vector and the same channel of the next vector. Channels after the last hold whatever
    /// follows in memory; no product reads them.
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
