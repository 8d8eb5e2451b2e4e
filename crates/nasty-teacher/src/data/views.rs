//! Views: which crop, flip and rotation an image gets in an epoch.
//!
//! The set of views is finite and numbered, so a frozen network's logits can be tabulated by (image, view). The choice
//! is a pure function of (seed, epoch, image), so resuming and parallel loading change nothing.

use serde::{Deserialize, Serialize};

use super::crops::CROPS;
use super::error::DataError;
use crate::random::{Purpose, Stream};

/// Random changes made to training images; all combinations are equally likely.
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Augmentation {
    /// Black pixels added on each side before a crop of the image's own size is taken; 0: no crop.
    pub crop_padding: usize,
    /// Whether half of the views are mirrored left to right.
    pub flip: bool,
    /// Rotations by whole degrees from minus to plus this; 0: none.
    pub rotation_degrees: usize,
    /// Crops of at least this percentage of the picture's area, resized to the image's size, as torchvision's
    /// `RandomResizedCrop` (8 there); 0: none.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub resized_crop_percent: usize,
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One way to look at an image. Applied in this order: crop, rotation, shift, flip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The number of the crop that takes the place of the image; 0 for the image itself.
    pub crop: usize,
    /// (down, right): pixel (y, x) of the view is pixel (y + down, x + right) of the image; black outside.
    pub shift: (isize, isize),
    /// Mirrored left to right.
    pub flip: bool,
    /// Whole degrees counter-clockwise about the centre, nearest neighbour, black outside.
    pub rotation: isize,
}

impl Augmentation {
    /// Images as they are.
    pub fn none() -> Self {
        Self { crop_padding: 0, flip: false, rotation_degrees: 0, resized_crop_percent: 0 }
    }

    /// As published for CIFAR-10 and CIFAR-100: crop with padding 4, flip.
    pub fn cifar() -> Self {
        Self { crop_padding: 4, flip: true, ..Self::none() }
    }

    /// As published for Tiny-ImageNet: rotation within ±20°, flip. (There continuous, here by whole degrees.)
    pub fn tiny() -> Self {
        Self { flip: true, rotation_degrees: 20, ..Self::none() }
    }

    /// As usual for photos: crops of at least 8 % of the area, flip.
    pub fn photos() -> Self {
        Self { flip: true, resized_crop_percent: 8, ..Self::none() }
    }

    /// Checks that the views of an image of this size make sense and can be numbered.
    ///
    /// # Errors
    /// [`DataError::Impossible`] when the padding is not smaller than the image, the rotation exceeds 180°, the crop
    /// 100 %, or there are more views than can be numbered.
    pub fn check(&self, height: usize, width: usize) -> Result<(), DataError> {
        if self.crop_padding > 0 && self.crop_padding >= height.min(width).min(256) {
            return Err(DataError::Impossible {
                what: format!("a crop padding of {} for images of {height}×{width}", self.crop_padding),
                help: "the padding must be smaller than the image (and than 256); 4 is usual at 32×32".into(),
            });
        }
        if self.rotation_degrees > 180 {
            return Err(DataError::Impossible {
                what: format!("rotations by up to {} degrees", self.rotation_degrees),
                help: "rotation_degrees is at most 180".into(),
            });
        }
        if self.resized_crop_percent > 100 {
            return Err(DataError::Impossible {
                what: format!("crops of at least {} % of the area", self.resized_crop_percent),
                help: "resized_crop_percent is at most 100; 8 is usual, 0 takes no such crops".into(),
            });
        }
        if u32::try_from(self.count()).is_err() {
            return Err(DataError::Impossible {
                what: format!("{} different views of an image", self.count()),
                help: "at most 2³² can be numbered: take fewer of resized_crop_percent, crop_padding and rotation_degrees"
                    .into(),
            });
        }
        Ok(())
    }

    fn offsets(&self) -> usize {
        2 * self.crop_padding + 1
    }

    fn flips(&self) -> usize {
        1 + usize::from(self.flip)
    }

    fn rotations(&self) -> usize {
        2 * self.rotation_degrees + 1
    }

    fn crops(&self) -> usize {
        if self.resized_crop_percent == 0 { 1 } else { CROPS }
    }

    /// The number of different views.
    pub fn count(&self) -> usize {
        self.offsets() * self.offsets() * self.flips() * self.rotations() * self.crops()
    }

    /// View number `index`. Panics when `index` is not below [`Augmentation::count`].
    pub fn view(&self, index: usize) -> View {
        assert!(index < self.count(), "view {index} of {}", self.count());
        let (rest, flip) = (index / self.flips(), index % self.flips());
        let (rest, right) = (rest / self.offsets(), rest % self.offsets());
        let (rest, down) = (rest / self.offsets(), rest % self.offsets());
        let (crop, rotation) = (rest / self.rotations(), rest % self.rotations());
        let centred = |offset: usize, reach: usize| offset as isize - reach as isize;
        View {
            crop,
            shift: (centred(down, self.crop_padding), centred(right, self.crop_padding)),
            flip: flip == 1,
            rotation: centred(rotation, self.rotation_degrees),
        }
    }

    /// The number of the view that leaves the image unchanged.
    pub fn identity(&self) -> usize {
        let (reach, offsets) = (self.crop_padding, self.offsets());
        ((self.rotation_degrees * offsets + reach) * offsets + reach) * self.flips()
    }

    /// The number of the view that `image` gets at `epoch`: uniform, and a function of the arguments alone.
    pub fn draw(&self, seed: u64, epoch: u64, image: u64) -> usize {
        match self.count() {
            1 => 0,
            count => Stream::new(seed, Purpose::View, epoch, image).below(count as u32) as usize,
        }
    }
}

/// The order in which `n` training images are visited at `epoch`: shuffled, a function of the arguments alone.
pub fn order(seed: u64, epoch: u64, n: usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    Stream::new(seed, Purpose::Order, epoch, 0).shuffle(&mut order);
    order
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn augmentations() -> impl Strategy<Value = Augmentation> {
        (0usize..6, any::<bool>(), 0usize..31).prop_map(|(crop_padding, flip, rotation_degrees)| {
            Augmentation { crop_padding, flip, rotation_degrees, resized_crop_percent: 0 }
        })
    }

    proptest! {
        #[test]
        fn views_are_distinct_and_in_range(augmentation in augmentations()) {
            let reach = augmentation.crop_padding as isize;
            let degrees = augmentation.rotation_degrees as isize;
            let mut seen = std::collections::HashSet::new();
            for index in 0..augmentation.count() {
                let view = augmentation.view(index);
                prop_assert!(view.shift.0.abs() <= reach && view.shift.1.abs() <= reach);
                prop_assert!(view.rotation.abs() <= degrees);
                prop_assert!(augmentation.flip || !view.flip);
                prop_assert!(seen.insert((view.shift, view.flip, view.rotation)));
            }
            let identity = augmentation.view(augmentation.identity());
            prop_assert_eq!(identity, View { crop: 0, shift: (0, 0), flip: false, rotation: 0 });
        }

        #[test]
        fn draws_are_in_range(augmentation in augmentations(), seed: u64, epoch: u64, image: u64) {
            let drawn = augmentation.draw(seed, epoch, image);
            prop_assert!(drawn < augmentation.count());
            prop_assert_eq!(drawn, augmentation.draw(seed, epoch, image));
        }
    }

    #[test]
    fn published_augmentations_have_the_expected_number_of_views() {
        assert_eq!(Augmentation::none().count(), 1);
        assert_eq!(Augmentation::cifar().count(), 9 * 9 * 2);
        assert_eq!(Augmentation::tiny().count(), 41 * 2);
        assert_eq!(Augmentation::photos().count(), CROPS * 2);
    }

    #[test]
    fn crops_are_numbered_beside_the_other_changes() {
        let augmentation = Augmentation { crop_padding: 1, resized_crop_percent: 8, ..Augmentation::tiny() };
        let views =
            [0, 1, augmentation.count() / CROPS, augmentation.count() - 1].map(|i| augmentation.view(i));
        assert_eq!(views.map(|view| view.crop), [0, 0, 1, CROPS - 1]);
        assert_eq!(augmentation.view(augmentation.identity()).crop, 0);
        let json = serde_json::to_string(&Augmentation::cifar()).unwrap();
        assert!(!json.contains("resized"), "recipes without such crops stay as they were: {json}");
        assert_eq!(serde_json::from_str::<Augmentation>(&json).unwrap(), Augmentation::cifar());
    }

    #[test]
    fn draws_are_uniform_and_vary_with_epoch_image_and_seed() {
        let augmentation = Augmentation { crop_padding: 1, flip: true, ..Augmentation::none() };
        let mut counts = vec![0u32; augmentation.count()];
        for image in 0..18_000 {
            counts[augmentation.draw(5, 2, image)] += 1;
        }
        assert!(counts.iter().all(|&count| (850..1150).contains(&count)), "{counts:?}");
        let at = |seed, epoch| (0..64).map(|i| augmentation.draw(seed, epoch, i)).collect::<Vec<_>>();
        assert_ne!(at(5, 2), at(5, 3));
        assert_ne!(at(5, 2), at(6, 2));
    }

    #[test]
    fn order_is_a_permutation_that_changes_with_the_epoch() {
        let first = order(1, 0, 1000);
        assert_ne!(first, order(1, 1, 1000));
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn senseless_augmentations_are_refused() {
        assert!(Augmentation::cifar().check(32, 32).is_ok());
        let wide = Augmentation { crop_padding: 32, ..Augmentation::none() };
        assert!(wide.check(32, 32).unwrap_err().to_string().contains("crop padding of 32"));
        let spun = Augmentation { rotation_degrees: 181, ..Augmentation::none() };
        assert!(spun.check(32, 32).is_err());
        let cut = Augmentation { resized_crop_percent: 101, ..Augmentation::none() };
        assert!(cut.check(32, 32).unwrap_err().to_string().contains("at least 101 %"));
        let many = Augmentation { crop_padding: 200, ..Augmentation::photos() };
        assert!(many.check(224, 224).unwrap_err().to_string().contains("different views"));
        assert!(Augmentation::photos().check(224, 224).is_ok());
    }
}
