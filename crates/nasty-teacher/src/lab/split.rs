//! Which training images a recipe uses for training, and which it holds out.

use crate::data::{DataSet, ImageSet, held_out};
use crate::training::Recipe;
use std::sync::Arc;

/// The training images of a recipe. Both parts share the data set's pixels.
pub(super) struct Split {
    /// To train on.
    pub(super) train: Arc<ImageSet>,
    /// Where each of them stands in the data set.
    pub(super) places: Vec<usize>,
    /// Held out.
    pub(super) validation: Option<ImageSet>,
}

impl Split {
    /// The split of `data`, or why there is none.
    pub(super) fn of(recipe: &Recipe, data: &DataSet) -> Result<Self, String> {
        let (all, held) = (data.train.len(), recipe.data.validation);
        if held >= all {
            return Err(format!("data.validation is {held}, but there are only {all} training images"));
        }
        let (mut train, validation) = held_out(&data.train.labels, held, recipe.seed);
        if let Some(message) = whole_classes(data, &train) {
            return Err(message);
        }
        if let Some(subset) = recipe.data.subset {
            if subset > train.len() {
                return Err(format!("data.subset is {subset}, but {} training images are left", train.len()));
            }
            let labels: Vec<u16> = train.iter().map(|&i| data.train.labels[i]).collect();
            let (_, chosen) = held_out(&labels, subset, recipe.seed);
            train = chosen.into_iter().map(|i| train[i]).collect();
        }
        let validation = (held > 0).then(|| data.train.subset(&validation));
        Ok(Self { train: Arc::new(data.train.subset(&train)), places: train, validation })
    }
}

/// Why a split is refused that leaves nothing of a class to train on.
fn whole_classes(data: &DataSet, train: &[usize]) -> Option<String> {
    let all = data.train.class_counts(data.classes.len());
    let left = data.train.subset(train).class_counts(data.classes.len());
    let gone: Vec<usize> = (0..all.len()).filter(|&c| all[c] > 0 && left[c] == 0).collect();
    let first = *gone.first()?;
    let images = if all[first] == 1 { "image is" } else { "images are" };
    Some(format!(
        "nothing is left to train on of {} of {} classes (`{}`, whose {} {images} held out): a class needs two images or more, \
         or data.validation=0, which holds none out",
        gone.len(),
        all.len(),
        data.classes[first],
        all[first]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataName, Normalisation};
    use crate::lab::defaults::{Kind, for_data};

    #[test]
    fn a_class_is_never_held_out_whole() {
        let data = |each: usize| {
            let labels: Vec<u16> = (0..11 * each).map(|i| (i % 11) as u16).collect();
            let train = ImageSet::new(1, 1, 1, vec![0; labels.len()], labels);
            let normalisation = Normalisation { mean: vec![0.5], std: vec![0.5] };
            let classes = (1..12).map(|c| c.to_string()).collect();
            DataSet { name: "x".into(), classes, test: train.clone(), train, normalisation }
        };
        let split = |each: usize, validation: Option<usize>| {
            let data = data(each);
            let architecture = "cnn1".parse().expect("a name");
            let mut recipe =
                for_data(DataName::Folder("x".into()), &data, "d".into(), architecture, Kind::Train);
            recipe.data.validation = validation.unwrap_or(recipe.data.validation);
            Split::of(&recipe, &data)
        };
        let error = split(1, None).err().expect("refused");
        assert!(error.contains("5 of 11 classes") && error.contains("whose 1 image is held out"), "{error}");
        assert!(error.contains("data.validation=0"), "{error}");
        assert_eq!(split(1, Some(0)).expect("all are trained on").train.len(), 11);
        let two = split(2, None).expect("one of each is left");
        assert_eq!((two.train.class_counts(11), two.validation.map(|v| v.len())), (vec![1; 11], Some(11)));
        assert!(split(2, Some(22)).err().expect("all held out").contains("only 22 training images"));
    }
}
