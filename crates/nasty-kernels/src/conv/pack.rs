//! Weights and activations in the order in which the inner loops read them.

use rayon::prelude::*;

use crate::simd::{Element, Isa};

/// Elements of a pixel that are stored together: a cache line.
pub(super) const CHUNK: usize = 16;

/// Where a weight lies: destination channel, source channel and tap, of a `[out, in, kh, kw]` array.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightOrder {
    /// Weights of a group.
    pub(super) group: usize,
    /// Distance of two destination channels.
    pub(super) destination: usize,
    /// Distance of two source channels.
    pub(super) source: usize,
}

/// Destination channels that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// First channel in its group.
    pub(super) start: usize,
    /// Channels.
    pub(super) len: usize,
    /// Vectors.
    pub(super) vectors: usize,
    /// Sum of the widths of the tiles before it, padding included.
    pub(super) offset: usize,
}

/// Tiles of `vectors` vectors, the last of as few as are enough; and the sum of their widths.
pub(super) fn tiles(vectors: usize, channels: usize, lanes: usize) -> (Vec<Tile>, usize) {
    let (mut tiles, mut offset) = (Vec::new(), 0);
    for start in (0..channels).step_by(vectors * lanes) {
        let len = (channels - start).min(vectors * lanes);
        let vectors = len.div_ceil(lanes);
        tiles.push(Tile { start, len, vectors, offset });
        offset += vectors * lanes;
    }
    (tiles, offset)
}

/// Tiles of nearly equal width, of `most` vectors or fewer; and the sum of their widths.
pub(super) fn even_tiles(most: usize, channels: usize, lanes: usize) -> (Vec<Tile>, usize) {
    let vectors = channels.div_ceil(lanes);
    let count = vectors.div_ceil(most);
    let first = |tile: usize| tile * vectors / count * lanes;
    let tiles = (0..count).map(|tile| {
        let (start, end) = (first(tile), first(tile + 1));
        Tile { start, len: end.min(channels) - start, vectors: (end - start) / lanes, offset: start }
    });
    (tiles.collect(), vectors * lanes)
}

/// Weights as `[group][tile][chunk][tap][element of the chunk][channel of the tile]`; unused places are zero.
pub(super) struct WeightLayout {
    pub(super) tiles: Vec<Tile>,
    /// Width of all tiles.
    pub(super) width: usize,
    pub(super) lanes: usize,
    pub(super) groups: usize,
    /// Source channels of a group.
    pub(super) sources: usize,
    pub(super) chunks: usize,
    pub(super) taps: usize,
}

impl WeightLayout {
    pub(super) fn len(&self) -> usize {
        self.groups * self.width * self.chunks * self.taps * CHUNK
    }

    /// Values per channel as `[group][channel of a tile]`, padded with zeros.
    pub(super) fn pad(&self, values: Option<&[f32]>) -> Vec<f32> {
        let mut padded = vec![0.0; self.groups * self.width];
        if let Some(values) = values {
            let per_group = values.len() / self.groups;
            for (group, tile) in (0..self.groups).flat_map(|g| self.tiles.iter().map(move |t| (g, t))) {
                let from = &values[group * per_group + tile.start..][..tile.len];
                padded[group * self.width + tile.offset..][..tile.len].copy_from_slice(from);
            }
        }
        padded
    }

    /// Where a tile's weights begin.
    pub(super) fn tile(&self, group: usize, tile: &Tile) -> usize {
        (group * self.width + tile.offset) * self.chunks * self.taps * CHUNK
    }

    /// Distance of two chunks in a tile.
    pub(super) fn chunk(&self, tile: &Tile) -> usize {
        self.taps * CHUNK * tile.vectors * self.lanes
    }

    pub(super) fn pack<E: Element>(&self, weight: &[f32], order: WeightOrder, packed: &mut [E]) {
        let mut parts = Vec::new();
        let mut rest = &mut packed[..self.len()];
        for group in 0..self.groups {
            for tile in &self.tiles {
                for chunk in 0..self.chunks {
                    let (part, tail) = rest.split_at_mut(self.chunk(tile));
                    parts.push((group, tile, chunk, part));
                    rest = tail;
                }
            }
        }
        parts.into_par_iter().for_each(|(group, tile, chunk, part)| {
            let width = tile.vectors * self.lanes;
            part.fill(E::default());
            let first = chunk * CHUNK * E::VALUES;
            let used = (self.sources - first).min(CHUNK * E::VALUES);
            for (d, element) in (0..tile.len).flat_map(|d| (0..used.div_ceil(E::VALUES)).map(move |e| (d, e)))
            {
                let source = first + element * E::VALUES;
                let at = group * order.group + (tile.start + d) * order.destination + source * order.source;
                let one = &weight[at..at + self.taps];
                // The partner of an odd last channel is zero.
                let two = if E::VALUES == 2 && source + 1 < self.sources {
                    &weight[at + order.source..at + order.source + self.taps]
                } else {
                    &[]
                };
                for (tap, &first) in one.iter().enumerate() {
                    let second = two.get(tap).copied().unwrap_or(0.0);
                    part[(tap * CHUNK + element) * width + d] = E::pack(first, second);
                }
            }
        });
    }
}

/// Packs `channels` values from `at` on, up to a chunk. The rest of the chunk gets what follows in `from`, which no product
/// reads; but the partner of an odd last value in a pair is zero.
#[inline(always)]
pub(super) fn pack_channels<I: Isa, E: Element>(
    from: &[f32],
    at: usize,
    channels: usize,
    to: &mut [E; CHUNK],
) {
    let values = CHUNK * E::VALUES;
    if let Some(from) = from.get(at..at + values)
        && (channels >= values || channels.is_multiple_of(E::VALUES))
    {
        for lane in (0..CHUNK).step_by(I::LANES) {
            // SAFETY: a job runs; `from` has `values` elements and `to` a chunk.
            unsafe {
                let packed = E::pack_neighbours::<I>(from.as_ptr().add(lane * E::VALUES));
                I::store(to.as_mut_ptr().add(lane).cast(), packed);
            }
        }
        return;
    }
    let from = &from[at..at + channels.min(values)];
    let value = |i: usize| from.get(i).copied().unwrap_or(0.0);
    for (i, to) in to.iter_mut().enumerate() {
        *to = E::pack(value(i * E::VALUES), if E::VALUES == 2 { value(2 * i + 1) } else { 0.0 });
    }
}

/// Packs `channels` values from `at` on, of one image or of two. `to.len()` must be a multiple of the vector; its rest gets
/// what follows in the images, which goes into sums that are not used.
#[inline(always)]
pub(super) fn pack_images<I: Isa, E: Element>(
    one: &[f32],
    two: Option<&[f32]>,
    at: usize,
    channels: usize,
    to: &mut [E],
) {
    let len = to.len();
    let both = (one.get(at..at + len), two.map_or(Some([].as_slice()), |two| two.get(at..at + len)));
    if let (Some(one), Some(two)) = both {
        for lane in (0..len).step_by(I::LANES) {
            // SAFETY: a job runs; all have `len` elements, a multiple of the vector.
            unsafe {
                let first = I::load(one.as_ptr().add(lane));
                let second = if two.is_empty() { I::zero() } else { I::load(two.as_ptr().add(lane)) };
                I::store(to.as_mut_ptr().add(lane).cast(), E::pack_lanes::<I>(first, second));
            }
        }
        return;
    }
    let one = &one[at..at + channels.min(len)];
    for (i, to) in to.iter_mut().enumerate() {
        let first = one.get(i).copied().unwrap_or(0.0);
        let second = if i < one.len() { two.map_or(0.0, |two| two[at + i]) } else { 0.0 };
        *to = E::pack(first, second);
    }
}
