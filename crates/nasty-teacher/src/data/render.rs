//! Turns (image, view) pairs into the pixels that a network is given.

use rayon::prelude::*;

use super::crops::crop;
use super::image_set::{ImageSet, Normalisation};
use super::resample::{Pixels, resized};
use super::rotation::Rotation;
use super::views::{Augmentation, View};

/// Normalised pixels `[items, height, width, channels]` of (image index, view index) pairs.
///
/// As torchvision does it, what a view adds around an image is black *before* normalisation. Panics when an
/// index is out of range or `normalisation` has another number of channels than `set`.
pub fn render(
    set: &ImageSet,
    normalisation: &Normalisation,
    augmentation: &Augmentation,
    items: &[(usize, usize)],
) -> Vec<f32> {
    match set.channels {
        1 => render_channels::<1>(set, normalisation, augmentation, items),
        3 => render_channels::<3>(set, normalisation, augmentation, items),
        other => panic!("images have 1 or 3 channels, not {other}"),
    }
}

fn render_channels<const C: usize>(
    set: &ImageSet,
    normalisation: &Normalisation,
    augmentation: &Augmentation,
    items: &[(usize, usize)],
) -> Vec<f32> {
    let tables: [[f32; 256]; C] = normalisation.tables().try_into().unwrap_or_else(|tables: Vec<_>| {
        panic!("a normalisation of {} channels for images of {C}", tables.len())
    });
    let mut pixels = vec![0.0; items.len() * set.image_bytes()];
    pixels.par_chunks_exact_mut(set.image_bytes()).zip(items).for_each(|(out, &(image, view))| {
        let (view, out) = (augmentation.view(view), out.as_chunks_mut().0);
        let cut;
        let source = match view.crop {
            0 => set.image(image).as_chunks().0,
            number => {
                cut = cropped(set, image, number, augmentation.resized_crop_percent);
                &cut
            }
        };
        draw(source, set.height, set.width, view, &tables, out);
    });
    pixels
}

/// Crop `number` of an image, of the image's size: taken from its photo where that is kept.
fn cropped<const C: usize>(set: &ImageSet, image: usize, number: usize, percent: usize) -> Vec<[u8; C]> {
    let (height, width, pixels) = match set.photo(image) {
        Some(photo) => (photo.height, photo.width, photo.pixels.as_slice()),
        None => (set.height, set.width, set.image(image)),
    };
    let area = crop(number, percent as f64 / 100.0, height, width);
    resized(Pixels { width, pixels: pixels.as_chunks().0 }, area, set.height, set.width)
}

/// Draws one view of `source` `[height × width]` into `out`, of the same shape.
fn draw<const C: usize>(
    source: &[[u8; C]],
    height: usize,
    width: usize,
    view: View,
    tables: &[[f32; 256]; C],
    out: &mut [[f32; C]],
) {
    let shown = |pixel: [u8; C]| std::array::from_fn(|c| tables[c][usize::from(pixel[c])]);
    let black = shown([0; C]);
    let rotation = (view.rotation != 0).then(|| Rotation::new(view.rotation, height, width));
    let (columns, first) = overlap(width, view.shift.1);
    for (y, row) in out.chunks_exact_mut(width).enumerate() {
        let inside = y.checked_add_signed(view.shift.0).filter(|&y| y < height);
        let Some(from) = inside.filter(|_| !columns.is_empty()) else {
            row.fill(black);
            continue;
        };
        row[..columns.start].fill(black);
        row[columns.end..].fill(black);
        let seen = &mut row[columns.clone()];
        match &rotation {
            None => {
                let line = &source[from * width + first..][..seen.len()];
                seen.iter_mut().zip(line).for_each(|(out, &pixel)| *out = shown(pixel));
            }
            Some(rotation) => {
                for (x, out) in (first..).zip(seen) {
                    *out = rotation.source(from, x).map_or(black, |(y, x)| shown(source[y * width + x]));
                }
            }
        }
        if view.flip {
            row.reverse();
        }
    }
}

/// Which columns of a row shifted by `right` lie inside the image, and the image column of the first of them.
fn overlap(width: usize, right: isize) -> (std::ops::Range<usize>, usize) {
    let by = right.unsigned_abs().min(width);
    if right < 0 { (by..width, 0) } else { (0..width - by, by) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::image_set::Photo;
    use crate::data::views::Augmentation;

    /// Images whose pixels differ from each other as far as a byte allows.
    fn patterned(count: usize, height: usize, width: usize, channels: usize) -> ImageSet {
        let pixels = (0..count * height * width * channels).map(|i| (i * 37 % 251) as u8).collect();
        ImageSet::new(height, width, channels, pixels, (0..count as u16).map(|i| i % 3).collect())
    }

    fn levels(channels: usize) -> Normalisation {
        Normalisation { mean: vec![0.4; channels], std: vec![0.2; channels] }
    }

    /// The definition of a view, pixel by pixel.
    fn naive(set: &ImageSet, normalisation: &Normalisation, view: View, image: usize) -> Vec<f32> {
        let mut out = Vec::new();
        let inside = |y: isize, x: isize| {
            (0..set.height as isize).contains(&y) && (0..set.width as isize).contains(&x)
        };
        for y in 0..set.height {
            for x in 0..set.width {
                let x = if view.flip { set.width - 1 - x } else { x };
                let (y, x) = (y as isize + view.shift.0, x as isize + view.shift.1);
                let turned = Rotation::new(view.rotation, set.height, set.width);
                let from = inside(y, x).then(|| turned.source(y as usize, x as usize)).flatten();
                for c in 0..set.channels {
                    let value =
                        from.map_or(0, |(y, x)| set.image(image)[(y * set.width + x) * set.channels + c]);
                    out.push((f32::from(value) / 255.0 - normalisation.mean[c]) / normalisation.std[c]);
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn rendering_is_the_definition(
            (height, width) in (1usize..9, 1usize..9),
            grey: bool,
            (crop_padding, flip, rotation_degrees) in (0usize..10, any::<bool>(), 0usize..50),
            picks in proptest::collection::vec((0usize..3, any::<u64>()), 1..5),
        ) {
            let set = patterned(3, height, width, if grey { 1 } else { 3 });
            let augmentation = Augmentation { crop_padding, flip, rotation_degrees, resized_crop_percent: 0 };
            let items: Vec<_> =
                picks.iter().map(|&(image, draw)| (image, augmentation.draw(draw, 0, 0))).collect();
            let normalisation = levels(set.channels);
            let expected: Vec<f32> = items
                .iter()
                .flat_map(|&(image, view)| naive(&set, &normalisation, augmentation.view(view), image))
                .collect();
            prop_assert_eq!(render(&set, &normalisation, &augmentation, &items), expected);
        }
    }

    #[test]
    fn the_identity_view_is_the_normalised_image() {
        let set = patterned(1, 4, 5, 3);
        for augmentation in [Augmentation::none(), Augmentation::cifar(), Augmentation::tiny()] {
            let shown = render(&set, &levels(3), &augmentation, &[(0, augmentation.identity())]);
            let plain: Vec<f32> =
                set.images().flatten().map(|&p| (f32::from(p) / 255.0 - 0.4) / 0.2).collect();
            assert_eq!(shown, plain);
        }
    }

    #[test]
    fn crops_come_from_the_photo_and_are_flipped_afterwards() {
        // The photo's left half is dark, its right half bright; the image shows another grey.
        let pixels: Vec<u8> = (0..40 * 80).map(|i| if i % 80 < 40 { 10 } else { 200 }).collect();
        let photo = Photo { height: 40, width: 80, pixels };
        let set = ImageSet::new(20, 20, 1, vec![100; 400], vec![0]).with_photos(vec![Some(photo)]);
        let levels = Normalisation { mean: vec![0.0], std: vec![1.0 / 255.0] };
        let augmentation = Augmentation::photos();
        let shown = |view| render(&set, &levels, &augmentation, &[(0, view)]);
        assert!(shown(0).iter().all(|&v| (v - 100.0).abs() < 1e-3), "view 0 is the image");
        for crop in 1..200 {
            let (plain, flipped) = (shown(2 * crop), shown(2 * crop + 1));
            assert!(plain.iter().all(|v| (9.9..200.1).contains(v)));
            assert!(plain.chunks(20).all(|row| row.is_sorted()), "bright is right: {crop}");
            let mirrored: Vec<f32> = plain.chunks(20).flat_map(|row| row.iter().rev().copied()).collect();
            assert_eq!(flipped, mirrored);
        }
    }

    #[test]
    fn padding_is_black_before_normalisation() {
        let set = ImageSet::new(1, 2, 1, vec![255, 255], vec![0]);
        let augmentation = Augmentation { crop_padding: 1, ..Augmentation::none() };
        let left = (0..augmentation.count()).find(|&v| augmentation.view(v).shift == (0, -1)).unwrap();
        let shown =
            render(&set, &Normalisation { mean: vec![0.5], std: vec![0.5] }, &augmentation, &[(0, left)]);
        assert_eq!(shown, [-1.0, 1.0]);
    }
}
