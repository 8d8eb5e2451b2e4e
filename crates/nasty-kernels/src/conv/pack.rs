//! Weights and activations in the order in which the inner loops read them.

use rayon::prelude::*;

use crate::simd::Element;

/// Elements of a pixel that lie together: a cache line.
pub(super) const CHUNK: usize = 16;

/// Where a weight lies: destination channel, source channel and tap, of a `[out, in, kh, kw]` array.
#[derive(Clone, Copy, Debug)]
pub(super) struct WeightOrder {
    /// Weights of a group.
    pub(super) group: usize,
    /// From one destination channel to the next.
    pub(super) destination: usize,
    /// From one source channel to the next.
    pub(super) source: usize,
}

/// Some channels of a destination, computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tile {
    /// First channel in its group.
    pub(super) start: usize,
    /// Channels in use.
    pub(super) len: usize,
    /// Vectors, 1 or 2.
    pub(super) vectors: usize,
    /// Width of the tiles before it, padding included.
    pub(super) offset: usize,
}

/// Tiles of two vectors, the last of one if that is enough, and their width in all.
pub(super) fn tiles(channels: usize, lanes: usize) -> (Vec<Tile>, usize) {
    let (mut tiles, mut offset) = (Vec::new(), 0);
    for start in (0..channels).step_by(2 * lanes) {
        let len = (channels - start).min(2 * lanes);
        let vectors = len.div_ceil(lanes);
        tiles.push(Tile { start, len, vectors, offset });
        offset += vectors * lanes;
    }
    (tiles, offset)
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

    /// Where a tile's weights begin.
    pub(super) fn tile(&self, group: usize, tile: &Tile) -> usize {
        (group * self.width + tile.offset) * self.chunks * self.taps * CHUNK
    }

    /// From one chunk to the next in a tile.
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
                // Behind the last channel of an odd number comes zero.
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

/// Packs `to.len()` elements from up to `CHUNK * VALUES` channels; those that the source lacks are zero.
#[inline(always)]
pub(super) fn pack_channels<E: Element>(from: &[f32], to: &mut [E; CHUNK]) {
    if E::VALUES == 1 {
        if let Some(from) = from.first_chunk::<CHUNK>() {
            *to = std::array::from_fn(|i| E::pack(from[i], 0.0));
            return;
        }
    } else if let Some(from) = from.first_chunk::<{ 2 * CHUNK }>() {
        *to = std::array::from_fn(|i| E::pack(from[2 * i], from[2 * i + 1]));
        return;
    }
    let at = |i: usize| from.get(i).copied().unwrap_or(0.0);
    *to =
        std::array::from_fn(|i| E::pack(at(i * E::VALUES), if E::VALUES == 2 { at(2 * i + 1) } else { 0.0 }));
}
