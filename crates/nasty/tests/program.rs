//! The program as a user meets it: exit codes, messages, interruption, kill -9.

use assert_cmd::cargo::cargo_bin;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SMALL: [&str; 9] = [
    "--data",
    "quickstart",
    "--architecture",
    "cnn4",
    "data.subset=320",
    "data.validation=100",
    "batch=16",
    "epochs=6",
    "--quiet",
];

fn nasty(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.current_dir(folder).env("NASTY_DATA_DIR", folder).args(arguments).stdin(Stdio::null());
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    nasty(folder, arguments).output().expect("the program starts")
}

fn small(kind: &str, more: &[&str]) -> Vec<String> {
    [kind].iter().chain(&SMALL).chain(more).map(|s| (*s).to_owned()).collect()
}

fn run(folder: &Path, arguments: &[String]) -> Output {
    output(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

fn start(folder: &Path, arguments: &[String]) -> Child {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    nasty(folder, &arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn fails(folder: &Path, arguments: &[&str], code: i32, needles: &[&str]) {
    let output = output(folder, arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    for needle in needles {
        assert!(message.contains(needle), "{arguments:?} says\n{message}without `{needle}`");
    }
    assert!(output.stdout.is_empty() && !message.contains("panicked"), "{arguments:?}: {message}");
}

/// The run's folder in the store `runs`; there must be one.
fn only_run(folder: &Path) -> std::path::PathBuf {
    let runs: Vec<_> =
        std::fs::read_dir(folder.join("runs")).expect("a store").map(|e| e.expect("entry").path()).collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    runs.into_iter().next().expect("one")
}

/// Result without what may differ: seconds.
fn result(run: &Path) -> (Vec<u8>, serde_json::Value) {
    let weights = std::fs::read(run.join("model.safetensors")).expect("weights");
    let json = std::fs::read(run.join("result.json")).expect("a result");
    let mut json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    json.as_object_mut().expect("an object").remove("seconds");
    (weights, json)
}

#[test]
fn wrong_usage_is_explained() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let train = ["train", "--data", "quickstart", "--architecture", "cnn4"];
    let with = |more: &[&'static str]| train.iter().copied().chain(more.iter().copied()).collect::<Vec<_>>();
    fails(here, &with(&["epoch=3"]), 2, &["no key `epoch`", "did you mean `epochs`"]);
    fails(here, &with(&["epochs=0"]), 2, &["epochs is 0"]);
    fails(here, &with(&["epochs"]), 2, &["KEY=VALUE"]);
    fails(here, &with(&["--device", "tpu"]), 2, &["`tpu`", "flex"]);
    fails(here, &with(&["--threads", "0"]), 2, &["--threads"]);
    fails(here, &with(&["data.validation=6000"]), 2, &["only 6000 training images"]);
    fails(
        here,
        &["train", "--data", "cifar11", "--architecture", "cnn"],
        2,
        &["cifar11", "did you mean `cifar10`"],
    );
    fails(here, &["train", "--data", "quickstart", "--architecture", "resnet19"], 2, &["resnet1"]);
    fails(
        here,
        &["distill", "--data", "quickstart", "--architecture", "cnn4", "--teacher", "abc"],
        3,
        &["`abc`", "runs"],
    );
    fails(here, &["evaluate", "abc", "--data", "quickstart"], 3, &["`abc`"]);
    fails(here, &["train", "--data", "cifar10", "--architecture", "cnn"], 3, &["cifar-10"]);
    fails(here, &["frobnicate"], 2, &["frobnicate"]);
}

#[test]
fn a_store_that_cannot_be_written_is_explained() {
    let folder = tempfile::tempdir().expect("temp");
    std::fs::write(folder.path().join("runs"), "a file, not a folder").expect("writable");
    let arguments = small("train", &[]);
    let output = run(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("runs"));
}

#[test]
fn print_config_shows_the_recipe_and_runs_nothing() {
    let folder = tempfile::tempdir().expect("temp");
    let output = run(folder.path(), &small("train", &["--print-config"]));
    let recipe: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(recipe["epochs"], 6);
    assert_eq!(recipe["data"]["subset"], 320);
    assert!(!folder.path().join("runs").exists(), "not even a store is made");
}

#[test]
fn a_printed_recipe_is_read_back_by_its_own_command_only() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let recipe = ["train", "--data", "quickstart", "--architecture", "cnn2", "epochs=3", "--print-config"];
    let printed = output(here, &recipe);
    std::fs::write(here.join("recipe.json"), &printed.stdout).expect("writable");
    let again = output(here, &["train", "--config", "recipe.json", "--print-config"]);
    assert!(again.status.success() && again.stdout == printed.stdout, "{}", text(&again.stderr));
    let changed = output(here, &["train", "--config", "recipe.json", "epochs=4", "--print-config"]);
    assert!(text(&changed.stdout).contains("\"epochs\": 4"), "{}", text(&changed.stdout));
    fails(
        here,
        &["distill", "--config", "recipe.json"],
        2,
        &["recipe.json", "`nasty train`", "`nasty distill`"],
    );
    fails(here, &["train", "--config", "recipe.json", "--data", "quickstart"], 2, &["--config"]);
    std::fs::write(here.join("recipe.json"), "{\"epochs\": 3}").expect("writable");
    fails(here, &["train", "--config", "recipe.json"], 2, &["recipe.json", "expected a recipe"]);
    // A mistyped key is told even where the data set is missing.
    let missing = ["train", "--data", "mnist", "--data-dir", "nowhere", "--architecture", "cnn2", "epoch=3"];
    fails(here, &missing, 2, &["`epoch`", "`epochs`"]);
}

#[test]
fn the_three_commands_work_together() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let json = |arguments: &[String]| -> serde_json::Value {
        let output = run(here, arguments);
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("JSON")
    };
    let normal = json(&small("train", &["--json"]));
    let reference = normal["recipe"].as_str().expect("a hash");
    let nasty = json(&small("undermine", &["--json", "--adversary", reference]));
    assert!(nasty["nastiness"]["scaled_kl"].as_f64().expect("a number") >= 0.0);
    let student =
        json(&small("distill", &["--json", "--teacher", nasty["recipe"].as_str().expect("a hash")]));
    let again = json(&small("distill", &["--json", "--teacher", nasty["recipe"].as_str().expect("a hash")]));
    assert_eq!(student, again, "a finished run is shown, not run again");

    // The evaluation of the stored weights is that of the result, exactly.
    let of = student["recipe"].as_str().expect("a hash");
    let evaluation = json(&["evaluate", &of[..6], "--data", "quickstart", "--json"].map(String::from));
    assert_eq!(evaluation, student["test"]);
    let by_folder =
        json(&["evaluate", &format!("runs/{of}"), "--data", "quickstart", "--json"].map(String::from));
    assert_eq!(by_folder, student["test"]);
}

#[test]
fn ctrl_c_saves_the_state_and_the_same_command_goes_on_to_the_same_bits() {
    let whole = tempfile::tempdir().expect("temp");
    let arguments = small("train", &[]);
    assert!(run(whole.path(), &arguments).status.success());

    let folder = tempfile::tempdir().expect("temp");
    let mut stopped = 0;
    for _ in 0..50 {
        let mut child = start(folder.path(), &arguments);
        std::thread::sleep(Duration::from_millis(150));
        signal(&child, "-INT");
        let status = child.wait().expect("it ends");
        let mut message = String::new();
        child.stderr.take().expect("piped").read_to_string(&mut message).expect("UTF-8");
        match status.code() {
            Some(75) => stopped += 1,
            Some(0) => break,
            // Before it listens to signals, Ctrl-C ends a program as it ends any other.
            None => assert_eq!(message, ""),
            other => panic!("exit {other:?}: {message}"),
        }
    }
    assert!(run(folder.path(), &arguments).status.success());
    assert_eq!(result(&only_run(folder.path())), result(&only_run(whole.path())), "stopped {stopped} times");
}

#[test]
fn kill_9_at_any_moment_loses_nothing() {
    let whole = tempfile::tempdir().expect("temp");
    let arguments = small("train", &[]);
    let begun = Instant::now();
    assert!(run(whole.path(), &arguments).status.success());
    let takes = begun.elapsed();

    let folder = tempfile::tempdir().expect("temp");
    for i in 0..12u32 {
        let mut child = start(folder.path(), &arguments);
        std::thread::sleep(takes.mul_f64(0.1 + 0.07 * f64::from(i)).min(Duration::from_secs(2)));
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    assert!(run(folder.path(), &arguments).status.success());
    let run_folder = only_run(folder.path());
    assert_eq!(result(&run_folder), result(&only_run(whole.path())));
    assert!(!run_folder.join("state.safetensors").exists());
}

#[test]
fn two_processes_on_one_recipe_do_it_once() {
    let folder = tempfile::tempdir().expect("temp");
    let arguments = small("train", &["--json"]);
    let children = [start(folder.path(), &arguments), start(folder.path(), &arguments)];
    let outputs = children.map(|child| child.wait_with_output().expect("it ends"));
    assert!(outputs.iter().all(|o| o.status.success()), "{outputs:?}");
    assert_eq!(outputs[0].stdout, outputs[1].stdout, "both show the one result, to its seconds");
}

#[test]
fn a_full_disk_is_an_error_and_leaves_no_half_file() {
    // Writes to /dev/full fail as on a full disk; a store cannot lie there, so the report's folder is made unusable.
    let folder = tempfile::tempdir().expect("temp");
    std::fs::create_dir_all(folder.path().join("runs")).expect("writable");
    let arguments = small("train", &[]);
    // A limit on the size of files (ulimit -f, in 512-byte blocks in POSIX sh; 1,024 in bash) makes writing the state fail.
    let command =
        format!("ulimit -f 8; trap '' XFSZ; exec {} {}", cargo_bin("nasty").display(), arguments.join(" "));
    let output = Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().expect("sh");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("state.safetensors"), "{message}");
    let left: Vec<_> = std::fs::read_dir(only_run(folder.path()))
        .expect("a run")
        .map(|e| e.expect("entry").file_name())
        .collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().starts_with(".part")), "{left:?}");
    assert!(run(folder.path(), &arguments).status.success(), "with room again it runs");
}

fn signal(child: &Child, which: &str) {
    let status = Command::new("kill").args([which, &child.id().to_string()]).status().expect("kill");
    // It may just have finished.
    let _ = status.success();
}

#[test]
fn networks_are_listed_and_shown_layer_by_layer() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let list = output(here, &["networks"]);
    assert!(list.status.success() && text(&list.stdout).contains("11,173,962"), "{}", text(&list.stdout));
    let one = output(here, &["networks", "ResNet18", "--classes", "100", "--json"]);
    let one: serde_json::Value = serde_json::from_slice(&one.stdout).expect("JSON");
    assert_eq!((&one["architecture"], &one["parameters"]), (&"resnet18".into(), &11_220_132.into()));
    let layers = one["layers"].as_array().expect("a list");
    let sum: u64 = layers.iter().map(|layer| layer["parameters"].as_u64().expect("a count")).sum();
    assert_eq!(sum, 11_220_132);
    fails(here, &["networks", "densenet121", "--side", "7"], 2, &["side of 8 to 512", "found a side of 7"]);
    fails(here, &["networks", "cnn", "--channels", "2"], 2, &["1 or 3 channels"]);
    fails(here, &["networks", "wrn-17-2"], 2, &["6n + 4"]);
}
