//! Deletes runs and what killed processes left.

use super::claim::PART as CLAIM_PART;
use super::leftovers::{abandoned, entries};
use super::plan::Plan;
use super::plan_file::KeptPlan;
use super::store::Store;
use super::store_error::{StoreError, io_error};
use crate::ErrorClass;
use crate::files::PART;
use serde::Serialize;
use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What the names of folders begin with that are being deleted.
const REMOVED: &str = ".part-removed-";
/// Why a run is garbage.
const UNUSED: &str = "no experiment, plan or audit refers to it";
/// A finished run's lease of this age, in seconds, was left by a process that was killed.
const FORGOTTEN: u64 = 3600;

/// Something that nobody needs.
#[derive(Clone, Debug, Serialize)]
pub struct Garbage {
    /// The file or folder.
    pub path: PathBuf,
    /// Why it is not needed.
    pub why: &'static str,
    /// Its size.
    pub bytes: u64,
}

impl Store {
    /// Who refers to the run `hash`: experiments, plans and audits by name, and other runs by hash.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn references(&self, hash: &str) -> Result<Vec<String>, StoreError> {
        let records = self.records()?;
        let asks = records.iter().filter(|record| record.tasks.contains_key(hash));
        let mut found: Vec<String> = asks.map(|record| format!("experiment {}", record.name)).collect();
        let plans = self.all_plans()?.into_iter();
        let plans = plans
            .filter(|kept| !records.iter().any(|record| record.file_name() == format!("{}.json", kept.name)));
        let plans = plans.filter(|kept| kept.plan.tasks.iter().any(|planned| planned.hash == hash));
        found.extend(plans.map(|kept| format!("plan {}", kept.name)));
        let audits = self.audits()?.into_iter();
        let audits = audits.filter(|(_, audit)| audit.tasks.contains(hash) || audit.victims.contains(hash));
        found.extend(audits.map(|(name, _)| format!("audit {name}")));
        for listed in self.runs()? {
            let needs = listed.task.iter().flat_map(|task| task.needs()).any(|need| need.0 == hash);
            if needs {
                found.push(format!("run {}", listed.run.hash));
            }
        }
        found.dedup();
        Ok(found)
    }

    /// Deletes the run `hash`, on which nobody may be at work. A process that looks on sees it whole or not at all.
    ///
    /// # Errors
    /// [`StoreError::Busy`], or [`StoreError::Io`].
    pub fn remove(&self, hash: &str) -> Result<(), StoreError> {
        let run = self.run(hash);
        let Some(claim) = run.try_claim()? else { return Err(StoreError::Busy(hash.to_owned())) };
        let doomed = self.root().join(format!("{REMOVED}{hash}"));
        fs::rename(&run.folder, &doomed).map_err(io_error(&run.folder))?;
        drop(claim);
        self.forget_news()?;
        fs::remove_dir_all(&doomed).map_err(io_error(&doomed))
    }

    /// What nobody needs: files of killed processes, and beside results what is needed only before them. With `runs` also the runs and
    /// networks to which no experiment, plan or audit refers, nor what one of these refers to needs: single runs among them.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub fn garbage(&self, runs: bool) -> Result<Vec<Garbage>, StoreError> {
        let mut found = Vec::new();
        let mut add = |path: PathBuf, why| {
            let bytes = size(&path);
            found.push(Garbage { path, why, bytes });
        };
        for path in entries(self.root()).into_iter().filter(|path| begins(path, REMOVED)) {
            add(path, "left by a removal");
        }
        let needed = if runs { Some(self.needed()?) } else { None };
        for listed in self.runs()? {
            let run = listed.run;
            let parts = entries(&run.folder).into_iter().filter(|p| begins(p, PART) || begins(p, CLAIM_PART));
            for path in abandoned(&run.folder, parts.collect()) {
                add(path, "half-written");
            }
            let busy = run.holder().is_some_and(|holder| holder.silent < FORGOTTEN);
            if run.is_finished() && !busy {
                for name in ["state.safetensors", "failure.json", "claim.json"] {
                    let path = run.folder.join(name);
                    if path.is_file() {
                        add(path, "left beside a result");
                    }
                }
            }
            if needed.as_ref().is_some_and(|needed| !needed.contains(&run.hash)) && !busy {
                add(run.folder, UNUSED);
            }
        }
        if let Some(needed) = needed {
            let adopted = |path: &PathBuf| begins(path, "weights-") && path.join("config.json").is_file();
            for path in entries(self.root()).into_iter().filter(adopted) {
                if path.file_name().is_some_and(|name| !needed.contains(&*name.to_string_lossy())) {
                    add(path, UNUSED);
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Deletes `garbage`, unless somebody is at work on it by now.
    ///
    /// # Errors
    /// [`StoreError::Io`].
    pub fn discard(&self, garbage: &Garbage) -> Result<(), StoreError> {
        let path = &garbage.path;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if !path.is_dir() {
            return fs::remove_file(path).map_err(io_error(path));
        }
        if self.runs()?.iter().any(|listed| listed.run.hash == name) {
            return self.remove(&name);
        }
        fs::remove_dir_all(path).map_err(io_error(path))
    }

    /// Forgets how tasks of `plan` failed, so that workers try them again. That a loss is not finite stays: it is a result.
    ///
    /// # Errors
    /// [`StoreError`] if a failure cannot be read or deleted.
    pub fn forget_failures(&self, plan: &Plan) -> Result<(), StoreError> {
        for planned in &plan.tasks {
            let run = self.run(&planned.hash);
            if run.last_failure()?.is_some_and(|failure| failure.class != ErrorClass::NotFinite) {
                run.forget_failure()?;
            }
        }
        Ok(())
    }

    /// The plans of the store, if there are any.
    fn all_plans(&self) -> Result<Vec<KeptPlan>, StoreError> {
        match self.plans(None) {
            Err(StoreError::NoPlan { .. }) => Ok(Vec::new()),
            other => other,
        }
    }

    /// What experiments, plans and audits refer to, and what that needs.
    fn needed(&self) -> Result<HashSet<String>, StoreError> {
        let mut to_do: Vec<String> =
            self.records()?.into_iter().flat_map(|record| record.tasks.into_keys()).collect();
        let tasks = self.all_plans()?.into_iter().flat_map(|kept| kept.plan.tasks);
        to_do.extend(tasks.map(|planned| planned.hash));
        to_do.extend(
            self.audits()?.into_iter().flat_map(|(_, audit)| audit.tasks.into_iter().chain(audit.victims)),
        );
        let mut needed = HashSet::new();
        while let Some(hash) = to_do.pop() {
            if needed.contains(&hash) {
                continue;
            }
            if let Ok(Some(task)) = self.run(&hash).task() {
                to_do.extend(task.needs().into_iter().map(|need| need.0.clone()));
            }
            needed.insert(hash);
        }
        Ok(needed)
    }
}

fn begins(path: &Path, with: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(with))
}

fn size(path: &Path) -> u64 {
    if path.is_dir() {
        return entries(path).iter().map(|inner| size(inner)).sum();
    }
    path.symlink_metadata().map_or(0, |found| found.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataName;
    use crate::lab::defaults::{Kind, recipe};
    use crate::lab::{KeptAudit, Task};
    use crate::training::{NetworkRef, Recipe};
    use std::time::{Duration, SystemTime};

    fn task(kind: Kind) -> Task {
        Task::Train(recipe(DataName::Quickstart, "d".into(), "cnn4".parse().expect("a name"), kind))
    }

    #[test]
    fn a_run_that_is_worked_on_stays_and_one_that_is_needed_is_known() {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let normal = task(Kind::Train);
        let student = task(Kind::Distill(NetworkRef(normal.hash())));
        for task in [&normal, &student] {
            store.run(&task.hash()).write_task(task).expect("writable");
        }
        let references = store.references(&normal.hash()).expect("readable");
        assert_eq!(references, [format!("run {}", student.hash())]);
        assert!(store.references(&student.hash()).expect("readable").is_empty());
        let claim = store.run(&student.hash()).try_claim().expect("readable").expect("free");
        assert!(matches!(store.remove(&student.hash()), Err(StoreError::Busy(_))));
        drop(claim);
        store.remove(&student.hash()).expect("free");
        assert_eq!(entries(folder.path()).len(), 1);
    }

    #[test]
    fn whatever_an_experiment_a_plan_or_an_audit_refers_to_stays_with_what_it_needs() {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let made = |seed: u64, kind: Kind| {
            let Task::Train(recipe) = task(kind) else { unreachable!("it is one") };
            let task = Task::Train(Recipe { seed, ..recipe });
            store.run(&task.hash()).write_task(&task).expect("writable");
            task
        };
        let distilled = |seed: u64| {
            let teacher = made(seed, Kind::Train);
            let student = made(seed, Kind::Distill(NetworkRef(teacher.hash())));
            [teacher, student]
        };
        let [of_plan, of_audit, of_record] = [0, 1, 2].map(distilled);
        let [victim, of_path, unused] = [3, 4, 5].map(|seed| made(seed, Kind::Train));
        let adopted = folder.path().join("weights-0123456789abcdef");
        fs::create_dir(&adopted).expect("writable");
        fs::write(adopted.join("config.json"), "{}").expect("writable");
        store.write_plan("p", &Plan::new([("student".to_owned(), of_plan[1].clone())])).expect("writable");
        let path = folder.path().join(of_path.hash());
        let victims =
            [&victim.hash()[..9], path.to_str().expect("UTF-8"), "weights-0123", "https://example.org"];
        let audit = KeptAudit::new(&store, "nasty audit", victims, [of_audit[1].hash()].into());
        store.keep_audit(&audit.expect("readable")).expect("writable");
        let record = serde_json::json!({
            "format": 1, "name": "t", "command": "nasty run t", "entries": [],
            "settings": {
                "format": 1, "title": "T", "shows": "S", "scale": "small", "data": ["cifar10"], "seeds": [0],
                "teacher": {"architecture": ["cnn"], "adversary": ["same"]},
            },
            "tasks": {of_record[1].hash(): "student"},
        });
        fs::create_dir(folder.path().join("experiments")).expect("writable");
        fs::write(folder.path().join("experiments/t.json"), record.to_string()).expect("writable");

        let garbage = store.garbage(true).expect("readable");
        let paths: Vec<_> = garbage.iter().map(|garbage| garbage.path.clone()).collect();
        assert_eq!(paths, [store.run(&unused.hash()).folder]);
        let references = |task: &Task| store.references(&task.hash()).expect("readable").len();
        assert_eq!(
            [&of_plan[1], &of_audit[1], &of_record[1], &victim, &of_path, &unused].map(references),
            [1, 1, 1, 1, 1, 0]
        );
        for (name, _) in store.audits().expect("readable") {
            fs::remove_file(folder.path().join("audits").join(format!("{name}.json"))).expect("there");
        }
        assert_eq!(store.garbage(true).expect("readable").len(), 6);
    }

    #[test]
    fn what_is_left_beside_a_result_is_garbage_and_what_is_in_use_is_not() {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let normal = task(Kind::Train);
        let run = store.run(&normal.hash());
        run.write_task(&normal).expect("writable");
        let made = |name: &str, age: u64| {
            let file = fs::File::create(run.folder.join(name)).expect("writable");
            file.set_modified(SystemTime::now() - Duration::from_secs(age)).expect("it can be set");
        };
        made("state.safetensors", 0);
        made(".part-young", 60);
        assert!(store.garbage(false).expect("readable").is_empty());
        made("result.json", 0);
        made(".part-old", 7200);
        let garbage = store.garbage(false).expect("readable");
        let names: Vec<_> = garbage.iter().map(|g| g.path.file_name().expect("a name").to_owned()).collect();
        assert_eq!(names, [".part-old", "state.safetensors"]);
        garbage.iter().for_each(|garbage| store.discard(garbage).expect("deletable"));
        assert!(
            run.folder.join("result.json").is_file() && store.garbage(false).expect("readable").is_empty()
        );
        let garbage = store.garbage(true).expect("readable");
        assert_eq!(garbage.len(), 1);
        store.discard(&garbage[0]).expect("free");
        assert!(!run.folder.exists());
    }
}
