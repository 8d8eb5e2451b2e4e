//! `task.json`: the task in a run's folder, tagged with its kind. Version 0.1.0 wrote `recipe.json` without the kind;
//! the name of the folder determines it.

use super::store_error::{StoreError, io_error};
use super::task::Task;
use crate::files::write_whole;
use serde_json::{Map, Value, json};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

const FILE: &str = "task.json";
const FILE_OF_0_1_0: &str = "recipe.json";
const FORMAT: u64 = 1;

/// The task in `folder`, whose hash must be `hash`; none if there is no file.
pub(super) fn read(folder: &Path, hash: &str) -> Result<Option<Task>, StoreError> {
    for (name, parse) in [(FILE, tagged as fn(Value, &str) -> _), (FILE_OF_0_1_0, untagged)] {
        let path = folder.join(name);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(io_error(&path))?,
        };
        let task =
            serde_json::from_slice(&bytes).map_err(|e| e.to_string()).and_then(|json| parse(json, hash));
        let damaged = |found| StoreError::Damaged { path, expected: "the task of this folder", found };
        return task.map(Some).map_err(damaged);
    }
    Ok(None)
}

/// Writes `task` into `folder`, unless a file is there.
pub(super) fn write(folder: &Path, task: &Task) -> Result<(), StoreError> {
    let path = folder.join(FILE);
    if path.is_file() {
        return Ok(());
    }
    fs::create_dir_all(folder).map_err(io_error(folder))?;
    let mut json = Map::from_iter([("format".to_owned(), json!(FORMAT))]);
    if let Value::Object(task) = serde_json::to_value(task).expect("plain data") {
        json.extend(task);
    }
    let text = serde_json::to_string_pretty(&json).expect("plain data") + "\n";
    write_whole(&path, text.as_bytes()).map_err(io_error(&path))
}

fn tagged(mut json: Value, hash: &str) -> Result<Task, String> {
    let format = json.as_object_mut().and_then(|object| object.remove("format"));
    if format != Some(json!(FORMAT)) {
        return Err(format!("format {}, known is {FORMAT}", format.unwrap_or_default()));
    }
    let task: Task = serde_json::from_value(json).map_err(|e| e.to_string())?;
    match task.hash() {
        found if found == hash => Ok(task),
        found => Err(format!("the task {found}")),
    }
}

fn untagged(json: Value, hash: &str) -> Result<Task, String> {
    let of_kind = |kind: &&str| serde_json::from_value(json!({ "task": kind, "recipe": json })).ok();
    let mut tasks = Task::KINDS.iter().filter_map(of_kind).filter(|task: &Task| task.hash() == hash);
    tasks.next().ok_or_else(|| "a recipe of no kind of task with this hash".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::DataName;
    use crate::lab::defaults::{Kind, recipe};

    fn task() -> Task {
        let architecture = "cnn4".parse().expect("a name");
        Task::Train(recipe(DataName::Quickstart, "d".into(), architecture, Kind::Train))
    }

    #[test]
    fn a_task_comes_back_from_its_file_and_from_that_of_0_1_0() {
        let (folder, task) = (tempfile::tempdir().expect("temp"), task());
        let here = folder.path();
        assert_eq!(read(here, &task.hash()).expect("readable"), None);
        let Task::Train(recipe) = &task else { unreachable!("it is one") };
        fs::write(here.join(FILE_OF_0_1_0), serde_json::to_vec(recipe).expect("JSON")).expect("writable");
        assert_eq!(read(here, &task.hash()).expect("readable"), Some(task.clone()));
        write(here, &task).expect("writable");
        let json: Value = serde_json::from_slice(&fs::read(here.join(FILE)).expect("a file")).expect("JSON");
        assert_eq!((&json["format"], &json["task"]), (&json!(1), &json!("train")));
        assert_eq!(read(here, &task.hash()).expect("readable"), Some(task));
    }

    #[test]
    fn what_is_no_task_of_the_folder_is_refused() {
        let (folder, task) = (tempfile::tempdir().expect("temp"), task());
        write(folder.path(), &task).expect("writable");
        let message = |hash: &str| read(folder.path(), hash).expect_err("must fail").to_string();
        assert!(message("0123456789abcdef").contains(&format!("found the task {}", task.hash())));
        for (text, found) in
            [("{}", "format null"), ("{\"format\": 2}", "format 2, known is 1"), ("{", "EOF")]
        {
            fs::write(folder.path().join(FILE), text).expect("writable");
            assert!(message(&task.hash()).contains(found), "{}", message(&task.hash()));
        }
    }
}
