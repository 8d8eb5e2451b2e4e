//! The published recipes as defaults (paper.md of the reference, §2), so that what is typed is a difference from them.

use crate::data::{Augmentation, DataName};
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
