//! The published recipes as defaults (paper.md of the reference, §2); the command line changes them.

use crate::data::{Augmentation, DataName, DataSet};
use crate::nets::{Architecture, Precision};
use crate::training::{
    CrossEntropy, DataRecipe, Distillation, Guard, HardLabel, Keep, NetworkRef, Objective, Optimiser, Parity,
    RECIPE_FORMAT, Recipe, Schedule, SelfUndermining, Start,
};

/// The kinds of training that one command starts.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Cross entropy.
    Train,
    /// Self-undermining, against this adversarial network.
    Undermine(NetworkRef),
    /// Distillation from this teacher.
    Distill(NetworkRef),
    /// Training on this teacher's predicted classes.
    HardLabel(NetworkRef),
}

/// How many of a data set's `train` training images are held out to choose the epoch: 5,000, or about a tenth.
/// Tiny-ImageNet may be here with some of its classes only, and folders have any size: one image a class at least.
pub fn held_out(name: &DataName, train: usize, classes: usize) -> usize {
    match name {
        DataName::Quickstart => 600,
        DataName::TinyImagenet | DataName::Folder(_) => (train / 10).max(classes).min(train / 2),
        DataName::Cifar10 | DataName::Cifar100 | DataName::FashionMnist | DataName::Mnist => 5_000,
    }
}

/// [`recipe`] for a data set that has been read and whose contents have `digest`, with images held out of it.
pub fn for_data(
    name: DataName,
    data: &DataSet,
    digest: String,
    architecture: Architecture,
    kind: Kind,
) -> Recipe {
    let mut recipe = recipe(name, digest, architecture, kind);
    recipe.data.validation = held_out(&recipe.data.name, data.train.len(), data.classes.len());
    if data.train.has_photos() {
        recipe.augmentation = Augmentation::photos();
    }
    recipe
}

/// The published recipe for `architecture` on the data set `name` whose contents have `digest`.
pub fn recipe(name: DataName, digest: String, architecture: Architecture, kind: Kind) -> Recipe {
    let hundred = matches!(name, DataName::Cifar100 | DataName::TinyImagenet);
    let (temperature, omega) = match name {
        DataName::Cifar100 => (20.0, 0.005),
        DataName::TinyImagenet => (20.0, 0.01),
        DataName::Quickstart => (10.0, 0.025),
        _ => (4.0, 0.04),
    };
    let objective = match kind {
        Kind::Train => Objective::CrossEntropy(CrossEntropy { label_smoothing: 0.0 }),
        Kind::Undermine(adversary) => {
            Objective::SelfUndermining(SelfUndermining { adversary, temperature, omega, guard: None })
        }
        Kind::Distill(teacher) => Objective::Distillation(Distillation { teacher, temperature, alpha: 0.9 }),
        Kind::HardLabel(teacher) => Objective::HardLabel(HardLabel { teacher }),
    };
    let augmentation = match name {
        DataName::TinyImagenet => Augmentation::tiny(),
        DataName::Quickstart | DataName::FashionMnist => Augmentation { flip: true, ..Augmentation::none() },
        DataName::Mnist => Augmentation::none(),
        _ => Augmentation::cifar(),
    };
    // None of the data sets whose size is not known by their name: `for_data` holds some out.
    let validation = held_out(&name, 0, 0);
    let base = Recipe {
        format: RECIPE_FORMAT,
        data: DataRecipe { name: name.clone(), digest, side: None, validation, subset: None },
        architecture,
        objective,
        optimiser: Optimiser::of_kind("sgd").expect("a kind"),
        learning_rate: 0.1,
        schedule: Schedule::Step { milestones: vec![80, 120], factor: 0.1 },
        warmup: 0.0,
        epochs: 160,
        batch: 128,
        augmentation,
        clip_norm: None,
        precision: Precision::F32,
        keep: Keep::Best,
        parity: Parity::Exact,
        seed: 0,
        growing: 0.0,
        start: None,
    };
    match (&name, architecture) {
        // Not the paper's: a small recipe that shows the effect in minutes.
        (DataName::Quickstart, _) => Recipe {
            optimiser: Optimiser::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 },
            schedule: Schedule::Cosine,
            warmup: 0.1,
            epochs: 8,
            batch: 64,
            ..base
        },
        (_, Architecture::Cnn { .. } | Architecture::Mlp) => Recipe {
            optimiser: Optimiser::of_kind("adam").expect("a kind"),
            learning_rate: 1e-3,
            schedule: Schedule::Constant,
            epochs: 100,
            ..base
        },
        _ if hundred => Recipe {
            schedule: Schedule::Step { milestones: vec![60, 120, 160], factor: 0.2 },
            epochs: 200,
            ..base
        },
        _ => base,
    }
}

/// How much larger ω is until undermining from the adversary's own weights has taken off.
const BOOST: f64 = 8.0;
/// Share of held-out accuracy that such an undermining may cost.
const TOLERANCE: f64 = 0.02;

/// `recipe` for a network that begins with trained weights: fewer epochs and a smaller learning rate than from scratch, and
/// undermining is watched.
pub fn fine_tuning(recipe: Recipe, start: Start, side: usize) -> Recipe {
    let mut objective = recipe.objective;
    if let Objective::SelfUndermining(undermining) = &mut objective {
        undermining.guard = Some(Guard { boost: BOOST, tolerance: TOLERANCE });
    }
    Recipe {
        start: Some(start),
        objective,
        optimiser: Optimiser::of_kind("sgd").expect("a kind"),
        learning_rate: 0.01,
        schedule: Schedule::Cosine,
        warmup: 0.1,
        epochs: 10,
        batch: if side >= 96 { 32 } else { 64 },
        clip_norm: Some(5.0),
        ..recipe
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSet, Normalisation};

    #[test]
    fn a_tenth_is_held_out_of_sets_of_any_size() {
        let folder = DataName::Folder("x".into());
        assert_eq!(held_out(&DataName::TinyImagenet, 100_000, 200), 10_000);
        assert_eq!(held_out(&DataName::TinyImagenet, 2_000, 20), 200);
        assert_eq!(held_out(&folder, 60, 10), 10, "one a class");
        assert_eq!(held_out(&folder, 6, 4), 3, "never more than half");
        assert_eq!(held_out(&DataName::Cifar10, 50_000, 10), 5_000);
    }

    #[test]
    fn a_recipe_for_a_folder_holds_images_out() {
        let train = ImageSet::new(1, 1, 3, vec![0; 90], vec![0; 30]);
        let normalisation = Normalisation { mean: vec![0.5; 3], std: vec![0.5; 3] };
        let classes = vec![String::new(); 2];
        let data = DataSet { name: "x".into(), classes, test: train.clone(), train, normalisation };
        let architecture = "cnn".parse().expect("a name");
        let recipe = for_data(DataName::Folder("x".into()), &data, "d".into(), architecture, Kind::Train);
        assert_eq!((recipe.data.validation, recipe.data.digest.as_str()), (3, "d"));
    }
}
