//! What a long run meets on real machines: streams that close or are full, hang-ups, umasks, stores that are only looked at, and
//! workers that know a store and a hash.

use assert_cmd::cargo::cargo_bin;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const SMALL: [&str; 7] =
    ["--data", "quickstart", "--architecture", "cnn2", "data.subset=96", "data.validation=100", "epochs=3"];

fn nasty(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.current_dir(folder).env("NASTY_DATA_DIR", folder).args(arguments).stdin(Stdio::null());
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    nasty(folder, arguments).output().expect("the program starts")
}

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["train"], &SMALL[..], more].concat()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(path).expect("there")).expect("JSON")
}

/// The folders of the store `runs` that have a `task.json`.
fn runs(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder.join("runs")).into_iter().flatten().flatten().map(|e| e.path());
    entries.filter(|path| path.join("task.json").is_file()).collect()
}

fn full() -> Stdio {
    Stdio::from(File::options().write(true).open("/dev/full").expect("Linux has one"))
}

fn wait(child: &mut Child) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(120) {
        if let Some(status) = child.try_wait().expect("it can be asked") {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("it can be killed");
    panic!("it hangs");
}

fn signal(child: &Child, which: &str) {
    Command::new("kill").args([which, &child.id().to_string()]).status().expect("kill");
}

#[test]
fn a_standard_error_that_is_gone_ends_no_run() {
    let folder = tempfile::tempdir().expect("temp");
    // `2>&1 | head`: the pipe closes while the run talks.
    let mut child = nasty(folder.path(), &train(&[]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .env("NASTY_LOG", "debug")
        .spawn()
        .expect("the program starts");
    drop(child.stderr.take());
    assert_eq!(wait(&mut child), Some(0));
    assert!(runs(folder.path())[0].join("result.json").is_file());

    let mut child = nasty(folder.path(), &train(&["seed=1"]))
        .stdout(Stdio::null())
        .stderr(full())
        .spawn()
        .expect("starts");
    assert_eq!(wait(&mut child), Some(0));
    let mut child = nasty(folder.path(), &train(&["epoch=1"])).stderr(full()).spawn().expect("starts");
    assert_eq!(wait(&mut child), Some(2), "an error that cannot be shown has its exit code");
}

#[test]
fn a_full_standard_output_is_an_error_and_a_closed_one_is_none() {
    let folder = tempfile::tempdir().expect("temp");
    for arguments in [train(&["--json", "--quiet"]), vec!["networks", "--json"], vec!["data", "list"]] {
        let output = nasty(folder.path(), &arguments).stdout(full()).output().expect("starts");
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{arguments:?}: {message}");
        assert!(message.contains("standard output") && !message.contains("panicked"), "{message}");

        let mut child = nasty(folder.path(), &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{arguments:?}");
    }
}

#[test]
fn without_a_terminal_every_epoch_is_a_line() {
    let folder = tempfile::tempdir().expect("temp");
    let talk = text(&output(folder.path(), &train(&[])).stderr);
    let epochs: Vec<&str> = talk.lines().filter(|line| line.contains("epoch ")).collect();
    assert_eq!(epochs.len(), 3, "{talk}");
    for (line, epoch) in epochs.iter().zip(["cnn2: epoch 1/3, loss ", "epoch 2/3", "epoch 3/3"]) {
        assert!(line.contains(epoch) && line.contains("held-out"), "{talk}");
    }
    let quiet = output(folder.path(), &train(&["--quiet", "seed=1"]));
    assert_eq!(text(&quiet.stderr), "");
}

#[cfg(unix)]
#[test]
fn files_have_the_permissions_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    for (mask, expected) in [("027", 0o640), ("002", 0o664), ("077", 0o600)] {
        let folder = tempfile::tempdir().expect("temp");
        let command =
            format!("umask {mask}; exec {} {} --quiet", cargo_bin("nasty").display(), train(&[]).join(" "));
        let status = Command::new("sh").args(["-c", &command]).current_dir(folder.path()).status();
        assert!(status.expect("sh").success());
        let run = &runs(folder.path())[0];
        for entry in fs::read_dir(run).expect("a run") {
            let path = entry.expect("an entry").path();
            let mode = path.metadata().expect("there").permissions().mode() & 0o777;
            assert_eq!(mode, expected, "{} under umask {mask}: {mode:o}", path.display());
        }
    }
}

/// Whether this process, and so those that it starts, ignores SIGHUP.
fn ignores_hang_ups() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).is_ok_and(|mask| mask & 1 == 1))
}

#[test]
fn a_hang_up_saves_the_state_and_nohup_keeps_the_run() {
    let folder = tempfile::tempdir().expect("temp");
    let long = train(&["--quiet", "epochs=100000"]);
    let begun = |child: &Child| {
        let begun = Instant::now();
        while runs(folder.path()).iter().all(|run| !run.join("metrics.jsonl").is_file()) {
            assert!(begun.elapsed() < Duration::from_secs(120), "process {} does nothing", child.id());
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let mut child = nasty(folder.path(), &long).spawn().expect("the program starts");
    begun(&child);
    // Under nohup the tests themselves hand on that the signal is ignored.
    signal(&child, if ignores_hang_ups() { "-TERM" } else { "-HUP" });
    assert_eq!(wait(&mut child), Some(75));
    let run = &runs(folder.path())[0];
    assert!(run.join("state.safetensors").is_file());

    fs::remove_file(run.join("metrics.jsonl")).expect("there");
    let command = format!("trap '' HUP; exec {} {}", cargo_bin("nasty").display(), long.join(" "));
    let mut child =
        Command::new("sh").args(["-c", &command]).current_dir(folder.path()).spawn().expect("sh starts");
    begun(&child);
    signal(&child, "-HUP");
    std::thread::sleep(Duration::from_millis(500));
    assert!(child.try_wait().expect("it can be asked").is_none(), "it goes on");
    signal(&child, "-TERM");
    assert_eq!(wait(&mut child), Some(75));
}

#[test]
fn what_only_looks_makes_no_store() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    fs::write(here.join("e.toml"), "format = 1\ntitle = \"t\"\nshows = \"s\"\ndata = \"quickstart\"\nseeds = [0]\n[teacher]\narchitecture = \"cnn2\"\n")
        .expect("writable");
    assert!(output(here, &train(&["--store", "made"])).status.success());
    let network =
        fs::read_dir(here.join("made")).expect("a store").next().expect("a run").expect("an entry").path();
    let network = network.to_str().expect("UTF-8");
    for (arguments, code) in [
        (vec!["evaluate", "abc", "--data", "quickstart"], 3),
        (vec!["evaluate", network, "--data", "quickstart"], 0),
        (vec!["export", "abc", "-o", "x/y.onnx"], 3),
        (vec!["export", network, "-o", "x/y.png"], 2),
        (vec!["run", "e.toml", "--dry-run"], 0),
        (train(&["--print-config"]), 0),
        ([&["distill", "--teacher", network, "--print-config"], &SMALL[..]].concat(), 0),
        (vec!["work", "abc"], 3),
    ] {
        let output = output(here, &arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(!here.join("runs").exists() && !here.join("x").exists(), "{arguments:?}");
    }
}

#[test]
fn a_worker_carries_out_a_task_of_a_store_and_reports_through_the_store() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let experiment = "format = 1\ntitle = \"t\"\nshows = \"s\"\ndata = \"quickstart\"\nseeds = [0]\n\
        [recipe]\nepochs = 2\ndata = { subset = 96, validation = 50 }\n[teacher]\narchitecture = \"cnn2\"\n\
        [student]\narchitecture = \"cnn1\"\nfrom = [\"normal\"]\n";
    fs::write(here.join("e.toml"), experiment).expect("writable");
    // A plan is written before its first task begins; this one is killed early.
    let run = ["run", "e.toml", "--quiet"];
    let mut child = nasty(here, &run).spawn().expect("the program starts");
    let begun = Instant::now();
    while runs(here).len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(120), "no plan");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");

    let runs = runs(here);
    let find = |kind: &str| {
        let of_kind = |run: &&PathBuf| json(&run.join("task.json"))["recipe"]["objective"]["kind"] == kind;
        runs.iter().find(of_kind).expect("planned").clone()
    };
    let hash = |run: &Path| run.file_name().expect("a name").to_string_lossy().into_owned();
    let work = |run: &Path| {
        let output = output(here, &["work", &hash(run)[..12], "--quiet"]);
        assert_eq!(text(&output.stdout), "");
        (output.status.code(), text(&output.stderr))
    };
    let (teacher, student) = (find("cross-entropy"), find("distillation"));
    if !teacher.join("result.json").exists() {
        let (code, message) = work(&student);
        assert_eq!(code, Some(3), "its teacher is not there: {message}");
        assert_eq!(json(&student.join("failure.json"))["class"], "data");
    }
    assert_eq!(work(&teacher).0, Some(0));
    assert_eq!(work(&student).0, Some(0));
    assert!(student.join("result.json").is_file() && !student.join("failure.json").exists());
    assert_eq!(json(&student.join("task.json"))["task"], "train");
    let made_with = &json(&student.join("result.json"))["made_with"];
    assert_eq!(made_with["weights"][0][0], hash(&teacher).as_str());
    assert_eq!(made_with["numerics"][0]["device"], "flex");

    let planned = output(here, &["run", "e.toml", "--dry-run"]);
    assert!(text(&planned.stdout).contains("2 of 3 tasks done"), "{}", text(&planned.stdout));
    let done = output(here, &run);
    assert!(done.status.success(), "{}", text(&done.stderr));

    // A stop is a stop here too, and a damaged task is named.
    fs::write(teacher.join("task.json"), "{}").expect("writable");
    let (code, message) = work(&teacher);
    assert_eq!(code, Some(3));
    assert!(message.contains("task.json") && message.contains("format"), "{message}");
}
