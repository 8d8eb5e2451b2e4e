//! Which training images a recipe trains on, and which it holds out.

use crate::data::{DataSet, ImageSet, held_out};
use crate::training::Recipe;
use std::sync::Arc;

/// The training images of a recipe.
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
