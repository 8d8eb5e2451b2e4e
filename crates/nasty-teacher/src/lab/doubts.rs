//! Recipes that can run but are probably a mistake: warnings before training starts.

use super::split::Split;
use super::store::Store;
use super::task::Task;
use crate::data::DataSet;
use crate::training::{Keep, NetworkRef, Objective, Parity, Recipe, Schedule, SelfUndermining};

/// Fewer held-out images than this cannot tell epochs apart: the accuracy on them is uncertain by more than ten points.
const FEW_HELD_OUT: usize = 100;

/// One sentence for each thing about `recipe` that a person should know.
pub(super) fn doubts(recipe: &Recipe, data: &DataSet, split: &Split, store: &Store) -> Vec<String> {
    let mut found = Vec::new();
    let train = split.train.len();
    if recipe.batch > train {
        found.push(format!(
            "batch is {}, but there are only {train} training images, so an epoch is a single step; batch={} gives eight",
            recipe.batch,
            (train / 8).max(2)
        ));
    }
    let held_out = split.validation.as_ref().map_or(0, |images| images.len());
    let chooses = recipe.parity == Parity::Exact && recipe.keep == Keep::Best && recipe.epochs > 1;
    if chooses && (1..FEW_HELD_OUT).contains(&held_out) {
        let uncertain = 100.0 / (held_out as f64).sqrt();
        let images = if held_out == 1 { "image chooses" } else { "images choose" };
        found.push(format!(
            "only {held_out} held-out {images} the epoch: the accuracy on so few is uncertain by about {uncertain:.0} points; \
             data.validation=N holds out more, keep=last chooses none"
        ));
    }
    if let Schedule::Step { milestones, .. } = &recipe.schedule {
        let beyond: Vec<String> =
            milestones.iter().filter(|m| **m >= recipe.epochs).map(ToString::to_string).collect();
        if !beyond.is_empty() {
            found.push(format!(
                "schedule.milestones has {}, but there are only {} epochs: the learning rate does not fall there",
                beyond.join(", "),
                recipe.epochs
            ));
        }
    }
    let counts = split.train.class_counts(data.classes.len());
    let without = counts.iter().filter(|count| **count == 0).count();
    if without > 0 {
        found.push(format!("{without} of {} classes have no image to train on", data.classes.len()));
    }
    if let Objective::SelfUndermining(SelfUndermining { adversary, .. }) = &recipe.objective
        && is_nasty(store, adversary)
    {
        found.push(format!(
            "the adversary {} is a nasty teacher itself; the method asks for a normally trained network",
            adversary.0
        ));
    }
    found
}

/// Whether `network` was made here by self-undermining. Of an imported one nobody knows.
fn is_nasty(store: &Store, network: &NetworkRef) -> bool {
    let task = store.run(&network.0).task().ok().flatten();
    matches!(task, Some(Task::Train(Recipe { objective: Objective::SelfUndermining(_), .. })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{DataName, ImageSet, Normalisation};
    use crate::lab::defaults::{Kind, for_data};

    fn data(images: usize, classes: usize) -> DataSet {
        let labels = (0..images).map(|i| (i % classes) as u16).collect();
        let train = ImageSet::new(1, 1, 3, vec![0; 3 * images], labels);
        DataSet {
            name: "x".into(),
            classes: (0..classes).map(|c| format!("class {c}")).collect(),
            test: train.clone(),
            train,
            normalisation: Normalisation { mean: vec![0.5; 3], std: vec![0.5; 3] },
        }
    }

    fn told(data: &DataSet, kind: Kind, change: impl Fn(&mut Recipe), store: &Store) -> Vec<String> {
        let architecture = "resnet20".parse().expect("a name");
        let mut recipe = for_data(DataName::Folder("x".into()), data, "d".into(), architecture, kind);
        (recipe.epochs, recipe.batch, recipe.data.validation) = (160, 32, 200);
        change(&mut recipe);
        doubts(&recipe, data, &Split::of(&recipe, data).expect("a split"), store)
    }

    #[test]
    fn what_is_hardly_meant_is_told() {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("a store");
        let images = data(1_000, 4);
        let of = |change: &dyn Fn(&mut Recipe)| told(&images, Kind::Train, change, &store).join("\n");
        assert_eq!(of(&|_| {}), "");
        assert!(of(&|r| r.batch = 1_000).contains("batch is 1000, but there are only 800 training images"));
        let few = of(&|r| r.data.validation = 9);
        assert!(
            few.contains("only 9 held-out images choose the epoch") && few.contains("33 points"),
            "{few}"
        );
        assert_eq!(of(&|r| (r.data.validation, r.keep) = (9, Keep::Last)), "");
        assert_eq!(of(&|r| r.data.validation = 0), "");
        assert!(
            of(&|r| r.epochs = 100).contains("schedule.milestones has 120, but there are only 100 epochs")
        );
        assert!(of(&|r| r.data.subset = Some(3)).contains("1 of 4 classes have no image to train on"));

        let kept = |kind: Kind| {
            let architecture = "resnet20".parse().expect("a name");
            let recipe = for_data(DataName::Folder("x".into()), &images, "d".into(), architecture, kind);
            let run = store.run(&recipe.hash());
            std::fs::create_dir_all(&run.folder).expect("writable");
            run.write_task(&Task::Train(recipe)).expect("writable");
            run.hash
        };
        let normal = kept(Kind::Train);
        let nasty = kept(Kind::Undermine(NetworkRef(normal.clone())));
        for (hash, nasty) in [(nasty, true), (normal, false), ("0".repeat(16), false)] {
            let kind = Kind::Undermine(NetworkRef(hash.clone()));
            let told = told(&images, kind, |_| {}, &store).join("\n");
            assert_eq!(told.contains("is a nasty teacher itself"), nasty, "{hash}: {told}");
        }
    }
}
