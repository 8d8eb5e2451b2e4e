//! Random crops as torchvision's `RandomResizedCrop` draws them: a share of the picture's area, a ratio of width to height,
//! a place; then resized to the image's size.
//!
//! The crops are numbered, like all [views](super::views): number 0 is the unchanged image, and each other number stands for
//! a fixed sequence of random numbers, which give a rectangle in a picture of any size.

use super::resample::Area;
use crate::random::{Purpose, Stream};

/// How many different crops a picture has.
pub(super) const CROPS: usize = 1 << 16;
/// Tries to find a rectangle that fits.
const TRIES: usize = 10;
/// The narrowest and the widest ratio of width to height.
const RATIOS: [f64; 2] = [3.0 / 4.0, 4.0 / 3.0];

/// The rectangle of crop `number` (not 0) in a picture of `height` × `width`, of at least the share `least` of its area.
///
/// Where ten draws do not fit, it is the largest central rectangle of a permitted ratio, as in torchvision.
pub(super) fn crop(number: usize, least: f64, height: usize, width: usize) -> Area {
    let mut stream = Stream::new(0, Purpose::Crop, number as u64, 0);
    let mut uniform = || f64::from(stream.bits()) / f64::from(u32::MAX);
    let (h, w) = (height as f64, width as f64);
    for _ in 0..TRIES {
        let area = h * w * (least + (1.0 - least) * uniform());
        let [narrow, wide] = RATIOS.map(f64::ln);
        let ratio = (narrow + (wide - narrow) * uniform()).exp();
        let (cut_w, cut_h) =
            ((area * ratio).sqrt().round_ties_even(), (area / ratio).sqrt().round_ties_even());
        let place = [uniform(), uniform()];
        if (1.0..=w).contains(&cut_w) && (1.0..=h).contains(&cut_h) {
            let start = |rest: f64, share: f64| ((rest + 1.0) * share).min(rest) as usize;
            return Area {
                top: start(h - cut_h, place[0]),
                left: start(w - cut_w, place[1]),
                height: cut_h as usize,
                width: cut_w as usize,
            };
        }
    }
    let (cut_h, cut_w) = match w / h {
        ratio if ratio < RATIOS[0] => ((w / RATIOS[0]).round_ties_even() as usize, width),
        ratio if ratio > RATIOS[1] => (height, (h * RATIOS[1]).round_ties_even() as usize),
        _ => (height, width),
    };
    let (cut_h, cut_w) = (cut_h.clamp(1, height), cut_w.clamp(1, width));
    Area { top: (height - cut_h) / 2, left: (width - cut_w) / 2, height: cut_h, width: cut_w }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crops_are_inside_and_distributed_like_torchvisions() {
        let (height, width) = (256, 341);
        let all: Vec<Area> = (1..20_001).map(|number| crop(number, 0.08, height, width)).collect();
        let mean = |of: &dyn Fn(&Area) -> f64| all.iter().map(of).sum::<f64>() / all.len() as f64;
        for area in &all {
            assert!(area.top + area.height <= height && area.left + area.width <= width, "{area:?}");
            assert!(area.height > 0 && area.width > 0);
        }
        // Means over 200,000 draws of torchvision.transforms.v2.RandomResizedCrop(224).make_params for this size
        // (tools/golden_pictures.py prints them): height, width, area's share, centre's place.
        let share = |a: &Area| (a.height * a.width) as f64 / (height * width) as f64;
        for (name, ours, theirs, within) in [
            ("height", mean(&|a| a.height as f64), MEANS[0], 1.5),
            ("width", mean(&|a| a.width as f64), MEANS[1], 1.5),
            ("share", mean(&share), MEANS[2], 0.006),
            ("top", mean(&|a| a.top as f64), MEANS[3], 1.5),
            ("left", mean(&|a| a.left as f64), MEANS[4], 1.5),
        ] {
            assert!((ours - theirs).abs() < within, "{name}: {ours} instead of {theirs}");
        }
    }

    /// See above.
    const MEANS: [f64; 5] = [184.65, 192.65, 0.4347, 35.72, 74.11];

    #[test]
    fn a_narrow_picture_gets_its_central_part_where_no_draw_fits() {
        // A crop of the whole area with ratio 3/4 or more does not fit into a strip.
        assert_eq!(crop(1, 1.0, 10, 100), Area { top: 0, left: 43, height: 10, width: 13 });
        assert_eq!(crop(1, 1.0, 100, 9), Area { top: 44, left: 0, height: 12, width: 9 });
        assert_eq!(crop(7, 1.0, 1, 1), Area { top: 0, left: 0, height: 1, width: 1 });
    }
}
