//! Plans in a store, for workers: `plans/NAME.json` has all tasks of an experiment with their names and costs, so that a worker reads one
//! file instead of one for each task. `plans/NAME.numerics` says which numerics its workers agreed on, if they did, and `plans/NAME.news`
//! is what they tell each other.

use super::plan::Plan;
use super::store::{PLANS, Store};
use super::store_error::{StoreError, io_error};
use super::task::Task;
use crate::files::{write_new, write_whole};
use crate::numerics::Numerics;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FORMAT: u32 = 1;

/// A plan of a store.
#[derive(Clone, Debug)]
pub struct KeptPlan {
    /// Its name: that of the record of its experiment.
    pub name: String,
    /// Its tasks.
    pub plan: Plan,
}

#[derive(Serialize, Deserialize)]
struct File {
    format: u32,
    tasks: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    cost: f64,
    #[serde(flatten)]
    task: Task,
}

impl Store {
    /// Writes `plan` under `name`, so that workers find it.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn write_plan(&self, name: &str, plan: &Plan) -> Result<(), StoreError> {
        let folder = self.root().join(PLANS);
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let entry =
            |p: &super::plan::Planned| Entry { name: p.name.clone(), cost: p.cost, task: p.task.clone() };
        let file = File { format: FORMAT, tasks: plan.tasks.iter().map(entry).collect() };
        let text = serde_json::to_string(&file).expect("plain data") + "\n";
        let path = folder.join(format!("{name}.json"));
        write_whole(&path, text.as_bytes()).map_err(io_error(&path))?;
        self.begin_news(name, plan);
        Ok(())
    }

    /// The plans that `what` means: a plan's file, or all plans of the store whose experiment has this name or is this file; all of the
    /// store where nothing is named.
    ///
    /// # Errors
    /// [`StoreError::NoPlan`] if there is none, or what cannot be read.
    pub fn plans(&self, what: Option<&str>) -> Result<Vec<KeptPlan>, StoreError> {
        if let Some(path) = what.map(Path::new).filter(|path| path.extension().is_some_and(|e| e == "json")) {
            return Ok(vec![read(path)?]);
        }
        let folder = self.root().join(PLANS);
        let mut files: Vec<PathBuf> = match fs::read_dir(&folder) {
            Err(e) if e.kind() == ErrorKind::NotFound => Vec::new(),
            other => {
                let entries: Result<Vec<_>, _> = other.map_err(io_error(&folder))?.collect();
                entries.map_err(io_error(&folder))?.into_iter().map(|entry| entry.path()).collect()
            }
        };
        let wanted = |path: &PathBuf| {
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            path.extension().is_some_and(|e| e == "json") && what.is_none_or(|what| is_of(&stem, what))
        };
        files.retain(wanted);
        files.sort();
        if files.is_empty() {
            let what = what.map_or_else(|| "no plan".to_owned(), |what| format!("no plan of `{what}`"));
            return Err(StoreError::NoPlan { what, store: self.root().to_owned() });
        }
        files.iter().map(|path| read(path)).collect()
    }

    /// Lets the workers of the plan `name` agree on numerics: those of the first one that asks. What they are.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be written or read.
    pub fn agree(&self, name: &str, numerics: &Numerics) -> Result<Numerics, StoreError> {
        let path = self.root().join(PLANS).join(format!("{name}.numerics"));
        let text = serde_json::to_string(numerics).expect("plain data") + "\n";
        write_new(&path, text.as_bytes()).map_err(io_error(&path))?;
        let bytes = fs::read(&path).map_err(io_error(&path))?;
        serde_json::from_slice(&bytes).map_err(|e| StoreError::Damaged {
            path,
            expected: "the numerics of a plan",
            found: e.to_string(),
        })
    }
}

/// Whether the plan of this name belongs to the experiment `what`, a name or a file. Behind the experiment's name a plan's has the scale
/// and a digest.
fn is_of(plan: &str, what: &str) -> bool {
    let name = match Path::new(what) {
        path if path.extension().is_some_and(|e| e == "toml") => {
            path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
        }
        _ => what.to_owned(),
    };
    let mut parts = plan.rsplitn(3, '-');
    plan == name || parts.nth(2) == Some(&*name)
}

fn read(path: &Path) -> Result<KeptPlan, StoreError> {
    let bytes = fs::read(path).map_err(io_error(path))?;
    let damaged = |found| StoreError::Damaged { path: path.to_owned(), expected: "a plan", found };
    let file: File = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
    if file.format != FORMAT {
        return Err(damaged(format!("format {}, known is {FORMAT}", file.format)));
    }
    let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let tasks = file.tasks.into_iter().map(|entry| (entry.name, entry.task, entry.cost));
    Ok(KeptPlan { name, plan: Plan::sorted(tasks) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataName;
    use crate::lab::defaults::{Kind, recipe};

    #[test]
    fn a_plan_is_found_by_its_experiment_and_comes_back_whole() {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let missing = store.plans(None).expect_err("nothing was planned");
        assert!(matches!(missing, StoreError::NoPlan { .. }), "{missing}");
        let made = recipe(DataName::Cifar10, "d".into(), "cnn".parse().expect("a name"), Kind::Train);
        let mut plan = Plan::new([("one".to_owned(), Task::Train(made))]);
        plan.tasks[0].cost = 0.1;
        store.write_plan("my-study-small-01234567", &plan).expect("writable");
        let here = Numerics::here("flex");
        let elsewhere = Numerics { device: "cuda".into(), ..here.clone() };
        assert_eq!(store.agree("my-study-small-01234567", &here).expect("writable"), here);
        assert_eq!(store.agree("my-study-small-01234567", &elsewhere).expect("writable"), here);
        let file = folder.path().join("plans/my-study-small-01234567.json");
        for what in [None, Some("my-study"), Some("some/my-study.toml"), file.to_str()] {
            let found = store.plans(what).expect("there");
            let [KeptPlan { name, plan: back }] = &found[..] else { panic!("{found:?}") };
            assert_eq!(name, "my-study-small-01234567");
            let (one, other) = (&back.tasks[0], &plan.tasks[0]);
            assert_eq!((&one.name, &one.hash, one.cost), (&other.name, &other.hash, 0.1));
        }
        assert!(store.plans(Some("my")).is_err() && store.plans(Some("study")).is_err());
        fs::write(&file, "{\"format\": 2, \"tasks\": []}").expect("writable");
        assert!(store.plans(None).expect_err("of the future").to_string().contains("format 2, known is 1"));
    }
}
