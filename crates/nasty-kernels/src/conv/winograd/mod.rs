//! 3 × 3 convolution of stride 1 by Winograd's minimal filtering F(2 × 2, 3 × 3) (Lavin & Gray, CVPR 2016): a 2 × 2
//! tile of the destination takes 16 products for a pair of channels instead of 36.
//!
//! In one dimension, two sums y over three taps g of four values d are y = Aᵀ (G g ⊙ B d); the gradient of the taps is
//! Gᵀ (B d ⊙ A dy). In two dimensions the same is done along rows and along columns. B and A only add and subtract, so
//! about one bit is lost against the direct sum. In bfloat16 the transformed factors are rounded; the transforms
//! themselves and all sums are f32.

mod block;
mod tiles;
mod weight;

use std::marker::PhantomData;
use std::ops::Range;

use rayon::prelude::*;

use super::finish::Finish;
use super::fusion::{self, Epilogue};
use super::geometry::ConvShape;
use super::output::{Output, Shared};
use super::pack::{self, CHUNK, WeightLayout, WeightOrder};
use crate::scratch::Scratch;
use crate::simd::{Element, Path};

use self::block::BlockJob;
use self::tiles::Block;
pub(super) use self::tiles::Grid;
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

/// A convolution whose destination row r reads source rows `r − padding` to `r − padding + 2`, and columns alike, with its
/// filters transformed.
pub(crate) struct Winograd<E> {
    path: Path,
    /// Rows, columns, channels.
    source: [usize; 3],
    destination: [usize; 3],
    padding: usize,
    grid: Grid,
    layout: WeightLayout,
    /// As `[group][tile][point][element][channel of the tile]`; unused places are not written.
    filters: Scratch,
    /// As `[group][channel of a tile]`.
    bias: Vec<f32>,
    element: PhantomData<E>,
}

impl<E: Element> Winograd<E> {
    /// From x to y.
    pub(super) fn forward(path: Path, s: &ConvShape, weight: &[f32], bias: Option<&[f32]>) -> Self {
        Self::with_filters_in(Scratch::take, path, s, weight, bias)
    }

    /// [`Self::forward`] to be kept.
    pub(crate) fn prepared(path: Path, s: &ConvShape, weight: &[f32], bias: &[f32]) -> Self {
        Self::with_filters_in(Scratch::owned, path, s, weight, Some(bias))
    }

    fn with_filters_in(
        allocate: fn(usize) -> Scratch,
        path: Path,
        s: &ConvShape,
        weight: &[f32],
        bias: Option<&[f32]>,
    ) -> Self {
        let (inputs, outputs) = (s.cin / s.groups, s.cout / s.groups);
        let order = WeightOrder { group: outputs * inputs * 9, destination: inputs * 9, source: 9 };
        let (source, destination) = ([s.h, s.w, s.cin], [s.oh, s.ow, s.cout]);
        let mut winograd = Self::new(allocate, path, s.groups, source, destination, s.padding);
        winograd.transform_filters(order, false, weight);
        winograd.bias = winograd.layout.pad(bias);
        winograd
    }

    /// From dy to dx.
    pub(super) fn backward(path: Path, s: &ConvShape, weight: &[f32]) -> Self {
        let (inputs, outputs) = (s.cin / s.groups, s.cout / s.groups);
        let order = WeightOrder { group: outputs * inputs * 9, destination: 9, source: inputs * 9 };
        let padding = (s.kh - 1).saturating_sub(s.padding);
        let (source, destination) = ([s.oh, s.ow, s.cout], [s.h, s.w, s.cin]);
        let mut winograd = Self::new(Scratch::take, path, s.groups, source, destination, padding);
        // The gradient of the input sums over the taps in reverse order.
        winograd.transform_filters(order, true, weight);
        winograd
    }

    /// Without filters and bias.
    fn new(
        allocate: fn(usize) -> Scratch,
        path: Path,
        groups: usize,
        source: [usize; 3],
        destination: [usize; 3],
        padding: usize,
    ) -> Self {
        let per_group = source[2] / groups;
        let (tiles, width) = pack::tiles(2, destination[2] / groups, path.lanes());
        let layout = WeightLayout {
            tiles,
            width,
            lanes: path.lanes(),
            groups,
            sources: per_group,
            chunks: per_group.div_ceil(CHUNK * E::VALUES),
            taps: POINTS,
        };
        let grid = Grid::of([destination[0], destination[1]]);
        let (filters, bias) = (allocate(layout.len()), layout.pad(None));
        Self { path, source, destination, padding, grid, layout, filters, bias, element: PhantomData }
    }

    /// The destination of all images.
    pub(super) fn run(&self, images: usize, x: &[f32], epilogue: Option<&Epilogue<'_>>) -> Vec<f32> {
        let mut y = Output::new(images * self.destination.iter().product::<usize>());
        let shared = y.share();
        let blocks = self.grid.blocks(0..images, self.most_tiles());
        blocks.par_iter().for_each(|block| {
            let rows = 2 * block.rows.start..(2 * block.rows.end).min(self.destination[0]);
            // SAFETY: no other task writes these pixels.
            unsafe {
                self.block(block, 0..self.channel_tiles(), x, shared, &Finish::default());
                fusion::finish(epilogue, shared, self.destination, block.images.clone(), rows);
            }
        });
        // SAFETY: the blocks cover all rows of all images, and each writes all channels of its pixels.
        unsafe { y.finish() }
    }

    /// Tiles of a block. Depends on the shape alone.
    fn most_tiles(&self) -> usize {
        (BUFFER / (POINTS * self.layout.chunks * CHUNK * 4)).clamp(32, 64)
    }

    /// Rows and columns of tiles in an image.
    pub(crate) fn tiles(&self) -> [usize; 2] {
        [self.grid.rows, self.grid.columns]
    }

    /// Tiles of channels, in all groups.
    pub(crate) fn channel_tiles(&self) -> usize {
        self.layout.groups * self.layout.tiles.len()
    }

    /// One value for each channel of the destination, padded as the tiles are.
    pub(crate) fn pad(&self, values: &[f32]) -> Vec<f32> {
        self.layout.pad(Some(values))
    }

    /// Some rows of tiles, counted through all images, and some tiles of channels; on the calling thread.
    ///
    /// # Safety
    /// No other thread reads or writes these channels of these rows of y and of the second result.
    pub(crate) unsafe fn rows(
        &self,
        rows: Range<usize>,
        channel_tiles: Range<usize>,
        x: &[f32],
        y: Shared<'_>,
        finish: Finish<'_>,
    ) {
        let (of_image, most) = (self.grid.rows, (self.most_tiles() / self.grid.columns).max(1));
        let mut first = rows.start;
        while first < rows.end {
            let (image, row) = (first / of_image, first % of_image);
            let images = ((rows.end - first) / of_image).min(most / of_image);
            let block = if row == 0 && images > 0 {
                Block { images: image..image + images, rows: 0..of_image }
            } else {
                let end = of_image.min(row + most).min(row + rows.end - first);
                Block { images: image..image + 1, rows: row..end }
            };
            first += block.images.len() * block.rows.len();
            // SAFETY: the caller's promise.
            unsafe { self.block(&block, channel_tiles.clone(), x, y, &finish) };
        }
    }

    /// A block's tiles of some channels.
    ///
    /// # Safety
    /// As of [`Self::rows`].
    unsafe fn block(
        &self,
        block: &Block,
        channel_tiles: Range<usize>,
        x: &[f32],
        y: Shared<'_>,
        finish: &Finish<'_>,
    ) {
        if let Some(residual) = finish.residual {
            let end = block.images.end * self.destination.iter().product::<usize>();
            assert!(residual.len() >= end, "the job's pointers rely on this");
        }
        self.path.run(BlockJob { winograd: self, block, channel_tiles, x, y, finish });
    }

    fn transform_filters(&mut self, order: WeightOrder, flipped: bool, weight: &[f32]) {
        let layout = &self.layout;
        let mut parts = Vec::new();
        let mut rest = &mut self.filters.elements::<E>()[..layout.len()];
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
                    let i = if flipped { 8 - i } else { i };
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
