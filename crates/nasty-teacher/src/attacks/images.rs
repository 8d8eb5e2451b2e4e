//! Which images of a data set a thief has, as plain data.

use super::TestData;
use crate::data::{DataSet, ImageSet, held_out};
use crate::random::{Purpose, Stream};
use serde::{Deserialize, Serialize};

/// First counter of the stream that orders a thief's images (the held-out split's are classes).
const ORDER: u64 = 1 << 32;

/// Images of a data set, in an order that does not depend on their number: fewer are the first of more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// The data set.
    pub data: TestData,
    /// The part of it.
    pub part: Part,
    /// How many, of that part.
    pub count: usize,
}

/// A part of a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Part {
    /// The training images, in random order.
    Train,
    /// The test images, in the data set's order.
    Test,
    /// The test images after the first ones, in random order.
    TestAfter {
        /// How many stay out.
        first: usize,
    },
    /// Training images that a training did not train on, in random order.
    Unused(Trained),
    /// Training images that a training did train on, in random order.
    Used(Trained),
}

/// What a training's recipe says of the images that it trained on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trained {
    /// Images held out.
    pub validation: usize,
    /// Images trained on, of the rest; all if absent.
    pub subset: Option<usize>,
    /// The seed.
    pub seed: u64,
}

impl Trained {
    /// The places of the training images with `labels` that were trained on.
    ///
    /// # Errors
    /// If there are too few images.
    pub fn places(&self, labels: &[u16]) -> Result<Vec<usize>, String> {
        if self.validation >= labels.len() {
            return Err(format!("{} images held out of {}", self.validation, labels.len()));
        }
        let (train, _) = held_out(labels, self.validation, self.seed);
        let Some(subset) = self.subset else { return Ok(train) };
        if subset > train.len() {
            return Err(format!("{subset} images trained on of {}", train.len()));
        }
        let left: Vec<u16> = train.iter().map(|&i| labels[i]).collect();
        let (_, chosen) = held_out(&left, subset, self.seed);
        Ok(chosen.into_iter().map(|i| train[i]).collect())
    }
}

impl Images {
    /// What is impossible about it; `None` if it can be.
    pub fn problem(&self) -> Option<String> {
        (self.count < 2).then(|| format!("{} images, expected at least 2", self.count))
    }

    /// The places of all images of the part in `data`, the first [`Self::count`] of which are the images.
    ///
    /// # Errors
    /// If the part is not one of `data`.
    pub fn all_places(&self, data: &DataSet) -> Result<Vec<usize>, String> {
        let labels = &data.train.labels;
        let mut places: Vec<usize> = match &self.part {
            Part::Test => return Ok((0..data.test.len()).collect()),
            Part::Train => (0..labels.len()).collect(),
            Part::TestAfter { first } => (*first..data.test.len()).collect(),
            Part::Used(by) => by.places(labels)?,
            Part::Unused(by) => {
                let mut used = vec![false; labels.len()];
                by.places(labels)?.into_iter().for_each(|place| used[place] = true);
                (0..labels.len()).filter(|&place| !used[place]).collect()
            }
        };
        Stream::new(0, Purpose::Subset, ORDER, 0).shuffle(&mut places);
        Ok(places)
    }

    /// The images, with their true labels.
    ///
    /// # Errors
    /// If `data` has fewer.
    pub fn of(&self, data: &DataSet) -> Result<ImageSet, String> {
        let mut places = self.all_places(data)?;
        if places.len() < self.count {
            return Err(format!("{} images of {}, which has {}", self.count, self.data.name, places.len()));
        }
        places.truncate(self.count);
        let from = match self.part {
            Part::Test | Part::TestAfter { .. } => &data.test,
            Part::Train | Part::Unused(_) | Part::Used(_) => &data.train,
        };
        Ok(from.subset(&places))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataName, Normalisation};
    use std::collections::HashSet;

    fn data() -> DataSet {
        let train = ImageSet::new(1, 1, 1, (0..100).collect(), (0..100).map(|i| i % 5).collect());
        let test = ImageSet::new(1, 1, 1, (200..220).collect(), vec![0; 20]);
        let normalisation = Normalisation { mean: vec![0.5], std: vec![0.5] };
        DataSet {
            name: "x".into(),
            classes: (0..5).map(|c| c.to_string()).collect(),
            train,
            test,
            normalisation,
        }
    }

    fn images(part: Part, count: usize) -> Images {
        let data = TestData { name: DataName::Quickstart, digest: "0".into(), side: None };
        Images { data, part, count }
    }

    #[test]
    fn unused_images_are_those_that_were_not_used_and_fewer_are_the_first_of_more() {
        let trained = Trained { validation: 20, subset: Some(50), seed: 3 };
        let pixels = |part: &Part, count| -> Vec<u8> {
            let set = images(part.clone(), count).of(&data()).expect("enough");
            set.images().map(|image| image[0]).collect()
        };
        let (used, unused) = (Part::Used(trained.clone()), Part::Unused(trained));
        let (all, fresh) = (pixels(&used, 50), pixels(&unused, 50));
        assert!(all.iter().collect::<HashSet<_>>().is_disjoint(&fresh.iter().collect()));
        assert_eq!(pixels(&unused, 10), fresh[..10]);
        assert_ne!(fresh, {
            let mut sorted = fresh.clone();
            sorted.sort_unstable();
            sorted
        });
        assert_eq!(pixels(&Part::Test, 3), [200, 201, 202]);
        let mut rest = pixels(&Part::TestAfter { first: 15 }, 5);
        rest.sort_unstable();
        assert_eq!(rest, [215, 216, 217, 218, 219]);
        let error = images(unused, 51).of(&data()).expect_err("one too many");
        assert!(error.contains("51 images") && error.contains("which has 50"), "{error}");
    }
}
