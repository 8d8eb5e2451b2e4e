//! `results.json` of the quickstart: one row per network of its experiment.

use super::experiment::{AxisKind, Entry, Role, Source};
use super::outcome::Outcome;
use super::record::Findings;
use super::result::{Nastiness, RunResult};
use crate::training::{Distillation, Loss, Objective, Recipe};
use serde::{Deserialize, Serialize};

/// The two teachers.
pub use super::experiment::Side as Teacher;

/// One network of the quickstart that is finished.
#[derive(Clone, Copy, Debug)]
pub struct Member<'a> {
    /// Its cell.
    pub entry: &'a Entry,
    /// How it was trained.
    pub recipe: &'a Recipe,
    /// What came out.
    pub result: &'a RunResult,
}

/// Teacher or student.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Owned and served.
    Teacher,
    /// A clone, or its baseline.
    Student,
}

/// A line of `results.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// The architecture.
    pub network: String,
    /// Teacher or student.
    pub role: Kind,
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
    pub data: Images,
    /// Whether the nasty teacher became nasty.
    pub nastiness: Option<Nastiness>,
    /// The networks: teachers, then students by what they learned from.
    pub rows: Vec<Row>,
}

/// Which images were used.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Images {
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

/// The finished networks, each once: teachers, students alone, then by what they imitate and at which τ, the highest first.
pub fn members(findings: &Findings) -> Vec<Member<'_>> {
    let mut members: Vec<Member<'_>> = Vec::new();
    for entry in &findings.record.entries {
        let recipe = findings.recipes.get(&entry.task);
        let (Some(Outcome::Trained(result, _)), Some(recipe)) = (findings.outcomes.get(&entry.task), recipe)
        else {
            continue;
        };
        if !members.iter().any(|member| member.entry.task == entry.task) {
            members.push(Member { entry, recipe, result });
        }
    }
    // Students of a teacher's probabilities stand by their τ; the others come in the order of their roles.
    members.sort_by_key(|member| {
        let place = match member.entry.role {
            Role::NormalTeacher => 0,
            Role::NastyTeacher | Role::Adversary | Role::Part(_) => 1,
            Role::Student(Source::Alone | Source::Smoothing) => 2,
            Role::Student(Source::HardLabels) => 4,
            Role::Student(_) => 3,
        };
        let hot = member.recipe.objective.temperature().filter(|_| place == 3).unwrap_or(0.0);
        (place, std::cmp::Reverse(hot.to_bits()), member.teacher().is_some_and(|t| t == Teacher::Nasty))
    });
    members
}

impl Member<'_> {
    /// Teacher or student.
    pub fn kind(&self) -> Kind {
        match self.entry.role {
            Role::Student(_) => Kind::Student,
            _ => Kind::Teacher,
        }
    }

    /// Whom a student learned from.
    pub fn teacher(&self) -> Option<Teacher> {
        match self.entry.role {
            Role::Student(Source::Normal | Source::NormalAsServed) => Some(Teacher::Normal),
            Role::Student(Source::Nasty | Source::NastyAsServed | Source::HardLabels) => Some(Teacher::Nasty),
            _ => None,
        }
    }

    /// Whether a student imitated probabilities without looking at labels.
    pub fn without_labels(&self) -> bool {
        matches!(self.recipe.objective, Objective::Distillation(Distillation { alpha, .. }) if alpha >= 1.0)
    }

    fn row(&self) -> Row {
        Row {
            network: self.recipe.architecture.to_string(),
            role: self.kind(),
            objective: self.recipe.objective.name().to_owned(),
            teacher: self.teacher(),
            temperature: self.recipe.objective.temperature(),
            accuracy: self.result.test.accuracy,
            correct: self.result.test.correct,
            total: self.result.test.total,
            seed: self.recipe.seed,
            recipe: self.result.recipe.clone(),
            seconds: self.result.seconds,
        }
    }
}

/// What `results.json` says of a quickstart.
pub fn results(findings: &Findings) -> Results {
    let members = members(findings);
    let record = &findings.record;
    let facts = members.first().and_then(|m| record.data.get(&m.entry.place.text(AxisKind::Data)));
    Results {
        format: 1,
        experiment: "quickstart".to_owned(),
        data: Images {
            name: "a subset of Fashion-MNIST".to_owned(),
            digest: facts.map_or_else(String::new, |f| f.digest.clone()),
            train: facts.map_or(0, |f| f.train),
            held_out: members.first().map_or(0, |m| m.recipe.data.validation),
            test: facts.map_or(0, |f| f.test),
            classes: facts.map_or(0, |f| f.classes),
        },
        nastiness: members.iter().find_map(|m| m.result.nastiness.clone()),
        rows: members.iter().map(Member::row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use crate::lab::experiment::Experiment;
    use crate::lab::{Task, published_facts};
    use crate::training::{Distillation, Objective};

    /// The networks of a quickstart and their hashes, for a data set with digest `d`.
    fn tasks(seed: u64) -> Vec<(String, Task)> {
        let changes = [format!("seeds=[{seed}]")];
        let experiment = Experiment::find("quickstart", &changes).expect("it is shipped");
        let mut facts = |name: &_, _| {
            let facts = published_facts(name).expect("a data set with a name");
            Ok(crate::lab::DataFacts { digest: "d".into(), ..facts })
        };
        experiment.resolve(&mut facts).expect("it resolves").tasks
    }

    #[test]
    fn its_networks_are_those_of_version_0_1_0_and_the_thief_without_labels() {
        // A quickstart of version 0.1.0 is found finished: the hashes are of its recipes for a data set with digest `d`.
        let known = KNOWN;
        let tasks = tasks(0);
        let hashes: Vec<String> = tasks.iter().map(|(_, task)| task.hash()).collect();
        for (name, hash) in known {
            assert!(hashes.iter().any(|h| h == hash), "{name} {hash} is not in {tasks:#?}");
        }
        let trained: Vec<_> = tasks
            .iter()
            .filter_map(|(_, task)| if let Task::Train(recipe) = task { Some(recipe) } else { None })
            .collect();
        assert_eq!(trained.len(), 10);
        let plain = |r: &&&crate::training::Recipe| {
            matches!(r.objective, Objective::Distillation(Distillation { temperature: 1.0, alpha: 1.0, .. }))
        };
        assert_eq!(trained.iter().filter(plain).count(), 2, "one of each teacher");
        assert!(trained.iter().all(|recipe| recipe.problem().is_none()));
    }

    /// Names and recipe hashes of the eight networks of version 0.1.0.
    const KNOWN: [(&str, &str); 8] = [
        ("normal teacher", "1ab0f8a028d59beb"),
        ("nasty teacher", "6e9eef37e3eb740f"),
        ("alone", "28f7034d3fa82229"),
        ("normal τ=10", "10c7823fdcf3ac71"),
        ("nasty τ=10", "a1853a0563a971f7"),
        ("normal τ=4", "1777dbe08404cebb"),
        ("nasty τ=4", "45e9602d0eebc3c9"),
        ("nasty hard labels", "a6c7039ede22a4d7"),
    ];
}
