//! The published recipes as defaults (paper.md of the reference, §2), so that what is typed is a difference from them.

use crate::data::{Augmentation, DataName, DataSet};
use crate::nets::Architecture;
use crate::training::{
    DataRecipe, NetworkRef, Objective, Optimiser, Parity, RECIPE_FORMAT, Recipe, Schedule,
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

/// [`recipe`] for a data set that has been read, so that images are held out of it whatever its size is: of
/// Tiny-ImageNet (which may be here with some of its classes only) and of folders a tenth, but one a class at least.
pub fn for_data(name: DataName, data: &DataSet, architecture: Architecture, kind: Kind) -> Recipe {
    let counted = matches!(name, DataName::TinyImagenet | DataName::Folder(_));
    let mut recipe = recipe(name, super::digest(data), architecture, kind);
    if counted {
        let images = data.train.len();
        recipe.data.validation = (images / 10).max(data.classes.len()).min(images / 2);
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
        Kind::Train => Objective::CrossEntropy { label_smoothing: 0.0 },
        Kind::Undermine(adversary) => Objective::SelfUndermining { adversary, temperature, omega },
        Kind::Distill(teacher) => Objective::Distillation { teacher, temperature, alpha: 0.9 },
        Kind::HardLabel(teacher) => Objective::HardLabel { teacher },
    };
    let augmentation = match name {
        DataName::TinyImagenet => Augmentation { crop_padding: 0, flip: true, rotation_degrees: 20 },
        DataName::Quickstart | DataName::FashionMnist => {
            Augmentation { crop_padding: 0, flip: true, rotation_degrees: 0 }
        }
        DataName::Mnist => Augmentation::none(),
        _ => Augmentation { crop_padding: 4, flip: true, rotation_degrees: 0 },
    };
    let validation = match name {
        DataName::Quickstart => 600,
        // A matter of how many there are: `for_data`.
        DataName::TinyImagenet | DataName::Folder(_) => 0,
        _ => 5_000,
    };
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
        parity: Parity::Exact,
        seed: 0,
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSet, Normalisation};

    #[test]
    fn a_tenth_is_held_out_of_sets_of_any_size() {
        let held_out = |name: &DataName, images: usize, classes: usize| {
            let labels = (0..images).map(|i| (i % classes) as u16).collect();
            let train = ImageSet { height: 1, width: 1, channels: 3, pixels: vec![0; 3 * images], labels };
            let classes = vec![String::new(); classes];
            let normalisation = Normalisation { mean: vec![0.5; 3], std: vec![0.5; 3] };
            let data = DataSet { name: name.to_string(), classes, test: train.clone(), train, normalisation };
            for_data(name.clone(), &data, "cnn".parse().expect("a name"), Kind::Train).data.validation
        };
        let folder = DataName::Folder("x".into());
        assert_eq!(held_out(&DataName::TinyImagenet, 100_000, 200), 10_000);
        assert_eq!(held_out(&DataName::TinyImagenet, 2_000, 20), 200);
        assert_eq!(held_out(&folder, 60, 10), 10, "one a class");
        assert_eq!(held_out(&folder, 6, 4), 3, "never more than half");
        assert_eq!(held_out(&DataName::Cifar10, 50_000, 10), 5_000);
    }
}
