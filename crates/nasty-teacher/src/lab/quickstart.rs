//! The whole idea in minutes: a normal and a nasty teacher, and what students get out of them, on the embedded subset
//! of Fashion-MNIST. The recipe is not the paper's but a small one in which the effect is clear.

use super::defaults::{self, Kind};
use super::result::{Nastiness, RunResult};
use crate::data::{DataName, DataSet};
use crate::nets::Architecture;
use crate::training::{Distillation, EpochRow, Loss, NetworkRef, Objective, Recipe};
use serde::{Deserialize, Serialize};

/// The temperature of undermining, and of a thief who does not know better.
pub const TEMPERATURE: f64 = 10.0;
/// The temperature of a thief who tries a lower one.
pub const LOWER: f64 = 4.0;

/// One network of the quickstart.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its place in the table.
    pub role: Role,
    /// Which teacher it learns from, for students that have one.
    pub teacher: Option<Teacher>,
    /// How it is trained.
    pub recipe: Recipe,
}

/// What a network is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Owned and served.
    Teacher,
    /// A clone, or its baseline.
    Student,
}

/// The two teachers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Teacher {
    /// Trained by cross entropy.
    Normal,
    /// Trained by self-undermining.
    Nasty,
}

/// A line of `results.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The architecture.
    pub network: String,
    /// Teacher or student.
    pub role: Role,
    /// What it minimised.
    pub objective: String,
    /// Whom a student learned from.
    pub teacher: Option<Teacher>,
    /// τ of its objective.
    pub temperature: Option<f64>,
    /// `correct / total`.
    pub accuracy: f64,
    /// Test images classified right.
    pub correct: usize,
    /// Test images.
    pub total: usize,
    /// The seed.
    pub seed: u64,
    /// Hash of its recipe.
    pub recipe: String,
    /// Seconds of training.
    pub seconds: f64,
}

/// `results.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Results {
    /// Version of this file: 1.
    pub format: u32,
    /// `quickstart`.
    pub experiment: String,
    /// The images.
    pub data: DataFacts,
    /// Whether the nasty teacher became nasty.
    pub nastiness: Option<Nastiness>,
    /// The networks, in the order in which they were trained.
    pub rows: Vec<Row>,
}

/// Which images were used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DataFacts {
    /// The data set's name.
    pub name: String,
    /// Digest of all images and labels.
    pub digest: String,
    /// Training images, held-out ones included.
    pub train: usize,
    /// Held-out training images: they choose the epoch.
    pub held_out: usize,
    /// Test images.
    pub test: usize,
    /// Classes.
    pub classes: usize,
}

/// A network with its result and its course.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The network.
    pub member: Member,
    /// What came out.
    pub result: RunResult,
    /// Its epochs.
    pub rows: Vec<EpochRow>,
}

/// The networks to train, in order: each comes after the one that it asks for logits.
pub fn members(seed: u64, digest: &str) -> Vec<Member> {
    let recipe = |architecture: &str, kind: Kind| {
        let architecture: Architecture = architecture.parse().expect("a name of the zoo");
        let recipe = defaults::recipe(DataName::Quickstart, digest.to_owned(), architecture, kind);
        Recipe { seed, ..recipe }
    };
    let teacher = |recipe: Recipe| Member { role: Role::Teacher, teacher: None, recipe };
    let normal = teacher(recipe("cnn16", Kind::Train));
    let reference = |member: &Member| NetworkRef(member.recipe.hash());
    let nasty = teacher(recipe("cnn16", Kind::Undermine(reference(&normal))));
    let student = |from: Option<Teacher>, kind: fn(NetworkRef) -> Kind, temperature: f64| {
        let of = |t: Teacher| reference(if t == Teacher::Normal { &normal } else { &nasty });
        let mut recipe = recipe("cnn4", from.map_or(Kind::Train, |t| kind(of(t))));
        if let Objective::Distillation(Distillation { temperature: t, .. }) = &mut recipe.objective {
            *t = temperature;
        }
        Member { role: Role::Student, teacher: from, recipe }
    };
    let students = [
        student(None, Kind::Distill, TEMPERATURE),
        student(Some(Teacher::Normal), Kind::Distill, TEMPERATURE),
        student(Some(Teacher::Nasty), Kind::Distill, TEMPERATURE),
        student(Some(Teacher::Normal), Kind::Distill, LOWER),
        student(Some(Teacher::Nasty), Kind::Distill, LOWER),
        student(Some(Teacher::Nasty), Kind::HardLabel, TEMPERATURE),
    ];
    [normal.clone(), nasty.clone()].into_iter().chain(students).collect()
}

impl Member {
    /// What it is, in a few words.
    pub fn name(&self) -> String {
        let network = &self.recipe.architecture;
        match (&self.recipe.objective, self.teacher) {
            (Objective::CrossEntropy(_), _) if self.role == Role::Teacher => {
                format!("normal teacher {network}")
            }
            (Objective::SelfUndermining(_), _) => format!("nasty teacher {network}"),
            (Objective::Distillation(Distillation { temperature, .. }), Some(teacher)) => {
                format!("{network} from {} τ={temperature}", teacher.name())
            }
            (Objective::HardLabel(_), Some(teacher)) => {
                format!("{network} from {} hard labels", teacher.name())
            }
            _ => format!("{network} alone"),
        }
    }
}

impl Teacher {
    /// `normal` or `nasty`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Nasty => "nasty",
        }
    }
}

/// What `results.json` says.
pub fn results(data: &DataSet, digest: &str, finished: &[Finished]) -> Results {
    let row = |f: &Finished| Row {
        network: f.member.recipe.architecture.to_string(),
        role: f.member.role,
        objective: f.member.recipe.objective.name().to_owned(),
        teacher: f.member.teacher,
        temperature: f.member.recipe.objective.temperature(),
        accuracy: f.result.test.accuracy,
        correct: f.result.test.correct,
        total: f.result.test.total,
        seed: f.member.recipe.seed,
        recipe: f.result.recipe.clone(),
        seconds: f.result.seconds,
    };
    Results {
        format: 1,
        experiment: "quickstart".to_owned(),
        data: DataFacts {
            name: "a subset of Fashion-MNIST".to_owned(),
            digest: digest.to_owned(),
            train: data.train.len(),
            held_out: finished.first().map_or(0, |f| f.member.recipe.data.validation),
            test: data.test.len(),
            classes: data.classes.len(),
        },
        nastiness: finished.iter().find_map(|f| f.result.nastiness.clone()),
        rows: finished.iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_network_comes_after_the_one_that_it_asks() {
        let members = members(0, "d");
        let mut known = HashSet::new();
        for member in &members {
            if let Some(needed) = member.recipe.objective.victim() {
                assert!(known.contains(&needed.0), "{} comes too early", member.name());
            }
            assert!(known.insert(member.recipe.hash()), "{} stands twice", member.name());
            assert_eq!(member.recipe.problem(), None);
        }
        assert_eq!(members.len(), 8);
    }
}
