//! Bilinear resizing with antialiasing, exactly as Pillow does it for 8-bit pictures, and so torchvision.
//!
//! A pixel of the result is a weighted mean of the source pixels under a triangle; the triangle is as wide as two pixels of
//! the coarser of both pictures. Columns come first, then rows; both passes round to 8 bits. Weights have 22 bits behind the
//! point (Pillow's `Resample.c`).

/// Bits behind the point of a weight: 32 less 8 for the pixel and 2 for the sum.
const BITS: u32 = 22;

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Area {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

/// A picture: `pixels` `[height, width, C]` with `width` pixels a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pixels<'a, const C: usize> {
    pub(crate) width: usize,
    pub(crate) pixels: &'a [[u8; C]],
}

/// For each pixel of a line of the result: the first source pixel, and the weights from there on.
struct Weights {
    first: Vec<usize>,
    /// `[line, most]`, padded with zeros.
    weights: Vec<i32>,
    counts: Vec<usize>,
    most: usize,
}

impl Weights {
    fn new(from: usize, to: usize) -> Self {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        let most = support.ceil() as usize * 2 + 1;
        let mut all = Self { first: Vec::new(), weights: vec![0; most * to], counts: Vec::new(), most };
        let mut line = Vec::with_capacity(most);
        for place in 0..to {
            let centre = (place as f64 + 0.5) * scale;
            let first = (centre - support + 0.5).max(0.0) as usize;
            let end = ((centre + support + 0.5) as usize).min(from);
            line.clear();
            line.extend((first..end).map(|x| {
                let distance = (x as f64 - centre + 0.5) * (1.0 / support);
                (1.0 - distance.abs()).max(0.0)
            }));
            let sum: f64 = line.iter().sum();
            let weights = &mut all.weights[place * most..][..line.len()];
            for (out, weight) in weights.iter_mut().zip(&line) {
                let weight = if sum == 0.0 { *weight } else { weight / sum };
                *out = (0.5 + weight * f64::from(1u32 << BITS)) as i32;
            }
            all.first.push(first);
            all.counts.push(line.len());
        }
        all
    }

    fn of(&self, place: usize) -> (usize, &[i32]) {
        (self.first[place], &self.weights[place * self.most..][..self.counts[place]])
    }
}

fn rounded(sum: i32) -> u8 {
    (sum >> BITS).clamp(0, 255) as u8
}

/// The part `area` of a picture, resized to `height` × `width`: pixels `[height, width, C]`.
///
/// What is outside the area has no influence, as if it had been cut off before.
pub(crate) fn resized<const C: usize>(
    picture: Pixels<'_, C>,
    area: Area,
    height: usize,
    width: usize,
) -> Vec<[u8; C]> {
    let row = |y: usize| &picture.pixels[(area.top + y) * picture.width + area.left..][..area.width];
    let narrowed: Vec<[u8; C]> = if width == area.width {
        (0..area.height).flat_map(|y| row(y).iter().copied()).collect()
    } else {
        let weights = Weights::new(area.width, width);
        let mut out = Vec::with_capacity(area.height * width);
        for y in 0..area.height {
            let line = row(y);
            out.extend((0..width).map(|x| {
                let (first, weights) = weights.of(x);
                let mut sums = [1i32 << (BITS - 1); C];
                for (pixel, weight) in line[first..].iter().zip(weights) {
                    for (sum, value) in sums.iter_mut().zip(pixel) {
                        *sum += i32::from(*value) * weight;
                    }
                }
                sums.map(rounded)
            }));
        }
        out
    };
    if height == area.height {
        return narrowed;
    }
    let weights = Weights::new(area.height, height);
    let mut out = Vec::with_capacity(height * width);
    let mut sums = vec![[0i32; C]; width];
    for y in 0..height {
        sums.fill([1 << (BITS - 1); C]);
        let (first, weights) = weights.of(y);
        for (line, weight) in narrowed[first * width..].chunks_exact(width).zip(weights) {
            for (sums, pixel) in sums.iter_mut().zip(line) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
        }
        out.extend(sums.iter().map(|sums| sums.map(rounded)));
    }
    out
}
