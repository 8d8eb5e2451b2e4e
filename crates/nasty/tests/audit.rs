//! `nasty audit` as a program: killed, resumed, refused, its condition and its exit codes.

use assert_cmd::cargo::cargo_bin;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn nasty(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.current_dir(folder).env("NASTY_DATA_DIR", folder).args(arguments).stdin(Stdio::null());
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    nasty(folder, arguments).output().expect("the program starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A victim in the store `runs`, and its hash.
fn victim(folder: &Path) -> String {
    let recipe = ["epochs=3", "data.subset=400", "data.validation=50", "batch=32"];
    let arguments =
        [&["train", "--data", "quickstart", "--architecture", "cnn4", "-q"], &recipe[..]].concat();
    let done = output(folder, &arguments);
    assert!(done.status.success(), "{}", text(&done.stderr));
    let runs = fs::read_dir(folder.join("runs")).expect("a store").flatten().map(|e| e.path());
    let run = runs.into_iter().find(|path| path.join("model.safetensors").is_file()).expect("a run");
    run.file_name().expect("a hash").to_string_lossy().into_owned()
}

fn audit<'a>(hash: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["--data", "quickstart", "--battery", "quick", "--budget", "200", "--seeds", "1"];
    let small = ["--steps", "40", "--test-images", "200"];
    [&["audit", hash], &usual[..], &small, more].concat()
}

fn report(folder: &Path) -> serde_json::Value {
    serde_json::from_slice(&fs::read(folder.join("audit/report.json")).expect("a report")).expect("JSON")
}

fn log(folder: &Path) -> Option<PathBuf> {
    let runs =
        fs::read_dir(folder.join("runs")).ok()?.flatten().map(|entry| entry.path().join("answers.log"));
    runs.into_iter().find(|path| path.is_file())
}

#[test]
fn an_audit_that_is_killed_over_and_over_asks_nothing_twice() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let hash = victim(here);
    // Killed as soon as something was asked, then at later and later times.
    for patience in [0, 30, 100, 300, 1000] {
        let mut child = nasty(here, &audit(&hash, &["-q"])).stdout(Stdio::null()).spawn().expect("it starts");
        let begun = Instant::now();
        let asked = || log(here).is_some_and(|log| fs::metadata(log).is_ok_and(|m| m.len() > 4096));
        while !asked() && begun.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_millis(patience));
        child.kill().expect("SIGKILL");
        child.wait().expect("it is gone");
    }
    let done = output(here, &audit(&hash, &[]));
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let report = report(here);
    let (queries, failed) = (&report["probes"]["queries"], &report["probes"]["failed"]);
    let (queries, failed) = (queries.as_u64().expect("a number"), failed.as_u64().expect("a number"));
    // Only a request that was under way when the process was killed is asked again, and counted.
    assert_eq!(queries - failed, 5 * 50 + 150 + 200 + 50);
    assert!(failed <= 5 * 64 && failed % 2 == 0, "{failed}");
    assert_eq!(report["made"]["complete"], true);
    assert_eq!(report["rows"].as_array().expect("rows").len(), 6);
    for file in ["index.html", "report.md", "rows.csv"] {
        assert!(here.join("audit").join(file).is_file(), "{file}");
    }
}

#[test]
fn a_condition_decides_the_exit_code_and_a_dry_run_makes_nothing() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let hash = victim(here);
    let before = fs::read_dir(here.join("runs")).expect("a store").count();
    let dry = output(here, &audit(&hash, &["--dry-run"]));
    assert!(dry.status.success(), "{}", text(&dry.stderr));
    let told = text(&dry.stdout);
    assert!(told.contains("hard-label, B 200 cnn4 seed 0") && told.contains("650 queries"), "{told}");
    assert_eq!(fs::read_dir(here.join("runs")).expect("a store").count(), before);

    let code = |more: &[&str]| output(here, &audit(&hash, more)).status.code();
    assert_eq!(code(&["-q", "--fail-on", "clone < 2*chance - 1"]), Some(0));
    assert_eq!(
        code(&["-q", "--fail-on", "victim > 0 and clone >= 0", "--sarif", "a.sarif", "--junit", "a.xml"]),
        Some(4)
    );
    assert!(here.join("a.sarif").is_file() && here.join("a.xml").is_file());
    assert_eq!(code(&["-q", "--fail-on", "protection > 0.5"]), Some(3), "it was not measured");
    assert_eq!(code(&["-q", "--fail-on", "clone >>"]), Some(2));

    let far = output(here, &audit(&hash, &["-q", "--claimed", "1"]));
    assert_eq!(far.status.code(), Some(3));
    assert!(text(&far.stderr).contains("its owner claims 100.00 %"), "{}", text(&far.stderr));
    let nobody = output(here, &audit("0123456789abcdef", &["-q"]));
    assert_eq!(nobody.status.code(), Some(3));
    assert_eq!(output(here, &["audit"]).status.code(), Some(2));

    let other = ["--interface", "label", "-o", "label", "-q"];
    assert_eq!(code(&other), Some(0));
    // An audit needs its victim and its clones.
    let gone = text(&output(here, &["gc", "--runs"]).stdout);
    assert!(gone.contains("0 deleted"), "{gone}");
    let refused = output(here, &["rm", &hash]);
    assert!(text(&refused.stderr).contains("is needed by audit "), "{}", text(&refused.stderr));

    let compared = output(here, &["audit", "compare", "audit", "label"]);
    assert!(compared.status.success(), "{}", text(&compared.stderr));
}
