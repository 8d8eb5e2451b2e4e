//! Images in memory.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// One split in memory: u8, NHWC. Copies and subsets share the pixels.
#[derive(Clone, Debug)]
pub struct ImageSet {
    /// Rows of each image.
    pub height: usize,
    /// Columns of each image.
    pub width: usize,
    /// 1 (grey) or 3 (RGB).
    pub channels: usize,
    /// `[count, height, width, channels]`, row-major, of this set or of one that it is a part of.
    pixels: Arc<Vec<u8>>,
    /// Where each image stands in `pixels`; none if all are there in order.
    places: Option<Arc<[u32]>>,
    /// The whole pictures that the images are the centres of, where they are kept, in the order of `pixels`.
    photos: Option<Arc<[Option<Photo>]>>,
    /// `[count]`, the class of each image.
    pub labels: Vec<u16>,
}

/// A whole picture, resized with its proportions kept; random crops of training images are taken from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Photo {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `[height, width, channels]`, row-major.
    pub pixels: Vec<u8>,
}

impl ImageSet {
    /// Images of `height` × `width` × `channels` with their classes; `pixels` `[count, height, width, channels]`.
    ///
    /// # Panics
    /// If there are not as many pixels as the labels say.
    pub fn new(height: usize, width: usize, channels: usize, pixels: Vec<u8>, labels: Vec<u16>) -> Self {
        assert_eq!(pixels.len(), labels.len() * height * width * channels, "one image for each label");
        Self { height, width, channels, pixels: Arc::new(pixels), places: None, photos: None, labels }
    }

    /// The same images with the whole pictures that they are the centres of; none where an image is its whole picture.
    ///
    /// # Panics
    /// If there is not one entry for each image of a set that is no part of another, or one is larger than it says.
    pub fn with_photos(self, photos: Vec<Option<Photo>>) -> Self {
        assert!(self.places.is_none() && photos.len() == self.len(), "one entry for each image");
        let whole = |photo: &Photo| photo.pixels.len() == photo.height * photo.width * self.channels;
        assert!(photos.iter().flatten().all(whole), "pixels of the size that the photo says");
        Self { photos: Some(photos.into()), ..self }
    }

    /// The whole picture that image `i` is the centre of, where it is kept.
    pub fn photo(&self, i: usize) -> Option<&Photo> {
        self.photos.as_ref()?[self.place(i)].as_ref()
    }

    /// Whether whole pictures are kept beside the images.
    pub fn has_photos(&self) -> bool {
        self.photos.is_some()
    }

    /// Where image `i` stands among all pixels.
    fn place(&self, i: usize) -> usize {
        assert!(i < self.len(), "image {i} of {}", self.len());
        self.places.as_ref().map_or(i, |places| places[i] as usize)
    }

    /// The number of images.
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is no image.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// Bytes of one image: height × width × channels.
    pub fn image_bytes(&self) -> usize {
        self.height * self.width * self.channels
    }

    /// Pixels `[height, width, channels]` of image `i`. Panics when `i` is not below [`ImageSet::len`].
    pub fn image(&self, i: usize) -> &[u8] {
        let (bytes, place) = (self.image_bytes(), self.place(i));
        &self.pixels[place * bytes..(place + 1) * bytes]
    }

    /// The images in order.
    pub fn images(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|i| self.image(i))
    }

    /// The images at `indices`, in that order. The pixels are shared, not copied.
    ///
    /// # Panics
    /// If an index is not below [`ImageSet::len`].
    pub fn subset(&self, indices: &[usize]) -> ImageSet {
        let place = |i: usize| match &self.places {
            Some(places) => places[i],
            None => u32::try_from(i).expect("a set has fewer than 2³² images"),
        };
        let places = indices.iter().map(|&i| place(i)).collect();
        let labels = indices.iter().map(|&i| self.labels[i]).collect();
        let (pixels, photos) = (self.pixels.clone(), self.photos.clone());
        ImageSet { pixels, places: Some(places), photos, labels, ..*self }
    }

    /// SHA-256 (hex) of shape, pixels (whole pictures too, where they are kept) and labels: equal digests mean the same
    /// images in the same order.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for size in [self.len(), self.height, self.width, self.channels] {
            hash.update((size as u64).to_le_bytes());
        }
        self.images().for_each(|image| hash.update(image));
        for photo in (0..self.len()).filter_map(|i| self.photo(i)) {
            hash.update((photo.width as u64).to_le_bytes());
            hash.update(&photo.pixels);
        }
        for label in &self.labels {
            hash.update(label.to_le_bytes());
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many images each of `classes` classes has. Labels outside the range are not counted.
    pub fn class_counts(&self, classes: usize) -> Vec<usize> {
        let mut counts = vec![0; classes];
        for &label in &self.labels {
            if let Some(count) = counts.get_mut(usize::from(label)) {
                *count += 1;
            }
        }
        counts
    }
}

/// The same images with the same labels, whether or not they are shared.
impl PartialEq for ImageSet {
    fn eq(&self, other: &Self) -> bool {
        let shape = |set: &Self| (set.height, set.width, set.channels);
        let photos = |set: &Self| (0..set.len()).map(|i| set.photo(i).cloned()).collect::<Vec<_>>();
        shape(self) == shape(other)
            && self.labels == other.labels
            && self.images().eq(other.images())
            && photos(self) == photos(other)
    }
}

impl Eq for ImageSet {}

/// A data set: training and test images with what is needed to feed them to a network.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The name it was loaded by.
    pub name: String,
    /// Class names; a label is an index into them.
    pub classes: Vec<String>,
    /// Training images, in the order of the files.
    pub train: ImageSet,
    /// Test images, in the order of the files.
    pub test: ImageSet,
    /// Per channel mean and standard deviation to feed the images with.
    pub normalisation: Normalisation,
}

/// Per channel mean and standard deviation of pixels scaled to [0, 1].
#[derive(Serialize, Deserialize, Clone, Debug, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Normalisation {
    /// Mean of each channel.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// Mean and (population) standard deviation of the pixels of `set`; a channel without spread gets 1.
    /// Sums are exact integers, so the result depends on no order of summation.
    pub fn of(set: &ImageSet) -> Self {
        let channels = set.channels.max(1);
        let mut histogram = vec![[0u64; 256]; channels];
        for pixel in set.images().flat_map(|image| image.chunks_exact(channels)) {
            for (counts, &value) in histogram.iter_mut().zip(pixel) {
                counts[usize::from(value)] += 1;
            }
        }
        let (mut means, mut deviations) = (Vec::new(), Vec::new());
        for counts in &histogram {
            let moment = |power: u32| -> u128 {
                counts.iter().zip(0u128..).map(|(&n, value)| u128::from(n) * value.pow(power)).sum()
            };
            let n = (moment(0) as f64).max(1.0);
            let mean = moment(1) as f64 / n;
            let variance = (moment(2) as f64 / n - mean * mean).max(0.0);
            means.push((mean / 255.0) as f32);
            deviations.push(if variance > 0.0 { (variance.sqrt() / 255.0) as f32 } else { 1.0 });
        }
        Self { mean: means, std: deviations }
    }

    /// For each channel, the normalised value of each of the 256 pixel values: `(value / 255 − mean) / std`.
    pub fn tables(&self) -> Vec<[f32; 256]> {
        self.mean
            .iter()
            .zip(&self.std)
            .map(|(mean, std)| std::array::from_fn(|value| (value as f32 / 255.0 - mean) / std))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tiny() -> ImageSet {
        ImageSet::new(1, 2, 3, vec![0, 10, 255, 0, 20, 255, 0, 30, 255, 0, 40, 255], vec![1, 0])
    }

    #[test]
    fn subset_keeps_order_and_digest_sees_every_part() {
        let set = tiny();
        let swapped = set.subset(&[1, 0]);
        assert_eq!(swapped.image(0), set.image(1));
        assert_eq!(swapped.labels, [0, 1]);
        assert_eq!(set.digest(), set.subset(&[0, 1]).digest());
        assert_ne!(set.digest(), swapped.digest());
        let relabelled = ImageSet { labels: vec![1, 1], ..set.clone() };
        let reshaped = ImageSet { height: 2, width: 1, ..set.clone() };
        assert_ne!(set.digest(), relabelled.digest());
        assert_ne!(set.digest(), reshaped.digest());
        assert_eq!(set.class_counts(3), [1, 1, 0]);
    }

    #[test]
    fn a_subset_is_the_same_images_without_a_copy() {
        let set = ImageSet::new(1, 1, 3, (0..30).collect(), (0..10).collect());
        let odd = set.subset(&[9, 1, 3, 1]);
        let inner = odd.subset(&[2, 0]);
        let copied = |of: &[u16]| {
            let pixels = of.iter().flat_map(|&i| (0..3).map(move |c| 3 * i as u8 + c)).collect();
            ImageSet::new(1, 1, 3, pixels, of.to_vec())
        };
        for (part, images) in [(&odd, &[9, 1, 3, 1][..]), (&inner, &[3, 9])] {
            let copy = copied(images);
            assert_eq!(*part, copy);
            assert_eq!((part.digest(), part.len()), (copy.digest(), images.len()));
            assert_eq!(Normalisation::of(part), Normalisation::of(&copy));
            assert!(Arc::ptr_eq(&part.pixels, &set.pixels), "the pixels are shared");
        }
        assert_ne!(odd, copied(&[9, 1, 3, 3]));
        assert!(std::panic::catch_unwind(|| inner.image(2).len()).is_err(), "past its end");
    }

    #[test]
    fn photos_follow_their_images_and_count_for_the_digest() {
        let photo = |value| Photo { height: 1, width: 3, pixels: vec![value; 9] };
        let set = tiny().with_photos(vec![Some(photo(1)), None]);
        assert_ne!(set.digest(), tiny().digest());
        let swapped = set.subset(&[1, 0]);
        assert_eq!((swapped.photo(0), swapped.photo(1)), (None, Some(&photo(1))));
        assert_ne!(set, tiny());
        assert_ne!(set.digest(), tiny().with_photos(vec![Some(photo(2)), None]).digest());
        assert!(tiny().photo(0).is_none() && !tiny().has_photos() && set.has_photos());
    }

    #[test]
    fn normalisation_of_a_known_set() {
        let found = Normalisation::of(&tiny());
        assert_eq!(found.mean, [0.0, 25.0 / 255.0, 1.0]);
        let deviation = (125.0f64.sqrt() / 255.0) as f32;
        assert_eq!(found.std, [1.0, deviation, 1.0]);
        let tables = found.tables();
        assert!((tables[1][25]).abs() < 1e-6);
        assert!((tables[1][0] + 25.0 / 125.0f32.sqrt()).abs() < 1e-5);
    }
}
