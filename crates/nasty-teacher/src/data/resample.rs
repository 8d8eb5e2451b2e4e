//! Bilinear resizing with antialiasing, exactly as Pillow does it for 8-bit pictures, and so torchvision.
//!
//! A pixel of the result is a weighted mean of the source pixels under a triangle; the triangle is as wide as two pixels of
//! the coarser of both pictures. Columns and rows are resized one after the other, and both passes round to 8 bits. Weights have 22 bits behind the
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

/// Resizes the columns: `rows` rows of `picture`, which `row` gives, to `width` pixels.
fn columns<'a, const C: usize>(
    rows: usize,
    from: usize,
    row: impl Fn(usize) -> &'a [[u8; C]],
    width: usize,
) -> Vec<[u8; C]> {
    if width == from {
        return (0..rows).flat_map(|y| row(y).iter().copied()).collect();
    }
    let weights = Weights::new(from, width);
    let mut out = Vec::with_capacity(rows * width);
    for y in 0..rows {
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
}

/// Resizes the rows: `from` rows of `width` pixels, which `row` gives, to `height` rows.
fn rows<'a, const C: usize>(
    from: usize,
    width: usize,
    row: impl Fn(usize) -> &'a [[u8; C]],
    height: usize,
) -> Vec<[u8; C]> {
    if height == from {
        return (0..from).flat_map(|y| row(y).iter().copied()).collect();
    }
    let weights = Weights::new(from, height);
    let mut out = Vec::with_capacity(height * width);
    let mut sums = vec![[0i32; C]; width];
    for y in 0..height {
        sums.fill([1 << (BITS - 1); C]);
        let (first, weights) = weights.of(y);
        for (i, weight) in weights.iter().enumerate() {
            for (sums, pixel) in sums.iter_mut().zip(row(first + i)) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
        }
        out.extend(sums.iter().map(|sums| sums.map(rounded)));
    }
    out
}

/// Square pictures `[count, from, from, channels]` of any values, resized to `[count, to, to, channels]` by the same weights,
/// without rounding.
pub(crate) fn resized_values(values: &[f32], channels: usize, from: usize, to: usize) -> Vec<f32> {
    let weights = Weights::new(from, to);
    let lines: Vec<(usize, Vec<f32>)> = (0..to)
        .map(|place| {
            let (first, weights) = weights.of(place);
            (first, weights.iter().map(|&weight| weight as f32 / (1u32 << BITS) as f32).collect())
        })
        .collect();
    let mut out = vec![0.0; values.len() / (from * from) * (to * to)];
    let mut narrower = vec![0.0; from * to * channels];
    let pictures = values.chunks_exact(from * from * channels);
    for (picture, out) in pictures.zip(out.chunks_exact_mut(to * to * channels)) {
        narrower.fill(0.0);
        for (row, out) in picture.chunks_exact(from * channels).zip(narrower.chunks_exact_mut(to * channels))
        {
            for ((first, weights), out) in lines.iter().zip(out.chunks_exact_mut(channels)) {
                for (pixel, weight) in row[first * channels..].chunks_exact(channels).zip(weights) {
                    out.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += weight * value);
                }
            }
        }
        for ((first, weights), out) in lines.iter().zip(out.chunks_exact_mut(to * channels)) {
            for (row, weight) in narrower[first * to * channels..].chunks_exact(to * channels).zip(weights) {
                out.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
            }
        }
    }
    out
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
    // Pillow 13 begins with the rows where that takes away more than twice as many of them as of the columns; which pass
    // comes first matters for the last bit.
    let rows_first =
        area.height > height && (area.height - height) as i64 > 2 * (area.width as i64 - width as i64);
    if rows_first {
        let lower = rows(area.height, area.width, row, height);
        return columns(height, area.width, |y| &lower[y * area.width..][..area.width], width);
    }
    let narrower = columns(area.height, area.width, row, width);
    rows(area.height, width, |y| &narrower[y * width..][..width], height)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_resized_like_pixels() {
        for (from, to) in [(32, 16), (32, 20), (28, 16), (9, 4), (8, 8), (5, 7)] {
            let pixels: Vec<[u8; 3]> =
                (0..from * from).map(|i| [i * 37 % 251, i * 91 % 256, i % 200].map(|v| v as u8)).collect();
            let area = Area { top: 0, left: 0, height: from, width: from };
            let rounded = resized(Pixels { width: from, pixels: &pixels }, area, to, to);
            let values: Vec<f32> = pixels.iter().flatten().map(|&v| f32::from(v)).collect();
            let two = resized_values(&[values.clone(), values].concat(), 3, from, to);
            let (first, second) = two.split_at(to * to * 3);
            assert_eq!(first, second);
            let differs = first.iter().zip(rounded.iter().flatten()).map(|(v, &p)| (v - f32::from(p)).abs());
            assert!(differs.fold(0.0, f32::max) < 1.01, "two roundings: {from} to {to}");
        }
    }
}
