//! The experiments embedded in the program: the quickstart, and every table and figure of the paper.

/// An experiment inside the program.
#[derive(Clone, Copy, Debug)]
pub struct Shipped {
    /// Its name.
    pub name: &'static str,
    /// Its file.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        [$(Shipped { name: $name, text: include_str!(concat!("../../../../../experiments/", $name, ".toml")) }),*]
    };
}

/// All of them: the quickstart, then the paper's in its order.
pub const ALL: [Shipped; 14] = shipped![
    "quickstart",
    "cifar10",
    "cifar100",
    "tiny-imagenet",
    "logit-response",
    "tsne",
    "ablation-adversary",
    "ablation-student",
    "ablation-omega",
    "ablation-temperature",
    "ablation-alpha",
    "ablation-data",
    "data-free",
    "inversion",
];
