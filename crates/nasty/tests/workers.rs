//! `nasty work` as a user meets it: several workers on one store, killed, stopped and failing ones.

mod tiny;

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tiny::{TINY, essence, half_files, nasty, output, place, start, text};

const WORK: [&str; 5] = ["work", "--plan", "tiny", "--until-idle", "2"];

/// The store of `nasty run`, from one process that works on one task at a time.
fn whole() -> tempfile::TempDir {
    let whole = place();
    assert!(output(whole.path(), &["run", "tiny.toml", "--quiet"]).status.success());
    whole
}

/// A store with the plan, and nothing done.
fn planned() -> tempfile::TempDir {
    let folder = place();
    let planned = output(folder.path(), &["run", "tiny.toml", "--plan-only"]);
    assert!(planned.status.success(), "{}", text(&planned.stderr));
    assert!(text(&planned.stdout).contains("7 tasks"), "{}", text(&planned.stdout));
    assert!(essence(folder.path()).is_empty());
    folder
}

fn finished(folder: &Path) -> bool {
    text(&output(folder, &["run", "tiny.toml", "--dry-run"]).stdout).contains("7 of 7 tasks done")
}

#[test]
fn workers_share_a_plan_and_the_last_one_writes_the_report() {
    let folder = planned();
    let here = folder.path();
    let work = || nasty(here, &WORK).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
    let outputs = [work(), work(), work()].map(|child| child.wait_with_output().expect("it ends"));
    let talk: Vec<String> = outputs.iter().map(|output| text(&output.stderr)).collect();
    assert!(outputs.iter().all(|output| output.status.success()), "{talk:?}");
    assert!(outputs.iter().any(|output| text(&output.stdout).contains("report   ")), "{talk:?}");
    // Each task was told to have ended by one of them.
    let ended = |line: &&str| line.split_whitespace().next().is_some_and(|first| first.ends_with("/7"));
    let ends: usize = talk.iter().map(|talk| talk.lines().filter(ended).count()).sum();
    assert_eq!(ends, 7, "{talk:?}");
    assert!(essence(here) == essence(whole().path()), "workers changed a result");
    assert_eq!(half_files(here), Vec::<std::path::PathBuf>::new());
    assert!(here.join("runs/reports/tiny-small/report.json").is_file());
    let again = output(here, &["work"]);
    assert!(again.status.success() && text(&again.stdout).contains("report   "));
}

#[test]
fn killed_and_stopped_workers_lose_nothing() {
    let folder = planned();
    let here = folder.path();
    let (mut stopped, mut rounds) = (0, 0);
    while !finished(here) {
        rounds += 1;
        assert!(rounds < 60, "it does not get on");
        let mut workers = [start(here, &WORK), start(here, &WORK)];
        // Later and later, so that slow machines get on too.
        std::thread::sleep(Duration::from_millis(200 * rounds));
        let [killed, signalled] = &mut workers;
        let _ = killed.kill();
        let _ = Command::new("kill").args(["-USR1", &signalled.id().to_string()]).status().expect("kill");
        killed.wait().expect("it ends");
        match signalled.wait().expect("it ends").code() {
            Some(75) => stopped += 1,
            // Before it listens to signals they end it as they end any program.
            Some(0) | None => {}
            other => panic!("exit {other:?}"),
        }
    }
    assert!(stopped > 0, "no signal came while it worked");
    assert!(output(here, &WORK).status.success());
    assert!(essence(here) == essence(whole().path()));
}

#[test]
fn a_task_that_fails_three_times_is_given_up_until_somebody_asks() {
    let folder = planned();
    let here = folder.path();
    let place = |planned: &str| {
        let line =
            planned.lines().find(|line| line.starts_with("normal teacher")).expect("the normal teacher");
        line.split_whitespace().find(|word| word.len() == 16).expect("its hash").to_owned()
    };
    let hash = place(&text(&output(here, &["run", "tiny.toml", "--dry-run"]).stdout));
    // A folder where the state should be: it cannot be written.
    let state = here.join("runs").join(&hash).join("model.safetensors");
    std::fs::create_dir_all(state.join("in the way")).expect("writable");
    let patient = ["work", "--until-idle", "60"];
    let failed = output(here, &patient);
    assert_eq!(failed.status.code(), Some(3), "{}", text(&failed.stderr));
    let failure = std::fs::read(here.join("runs").join(&hash).join("failure.json")).expect("recorded");
    let failure: serde_json::Value = serde_json::from_slice(&failure).expect("JSON");
    assert_eq!(failure["attempts"], 3, "{failure}");
    std::fs::remove_dir_all(&state).expect("there");
    let given_up = output(here, &patient);
    assert_eq!(given_up.status.code(), Some(3));
    let message = text(&given_up.stderr);
    assert!(message.contains("failed too often") && message.contains("--retry"), "{message}");
    let retried = output(here, &["work", "--retry"]);
    assert!(retried.status.success() && finished(here), "{}", text(&retried.stderr));
}

/// The hashes of the tiny plan's tasks by their names.
fn hashes(here: &Path) -> std::collections::BTreeMap<String, String> {
    let told = text(&output(here, &["status", "--json"]).stdout);
    let json: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let tasks = json[0]["tasks"].as_array().expect("a list").iter();
    let word = |value: &serde_json::Value| value.as_str().expect("text").to_owned();
    tasks.map(|task| (word(&task["name"]), word(&task["hash"]))).collect()
}

/// Where the workers of the tiny plan tell each other what they do.
fn news(here: &Path) -> std::path::PathBuf {
    let plans =
        std::fs::read_dir(here.join("runs/plans")).expect("a folder").flatten().map(|entry| entry.path());
    plans.into_iter().find(|path| path.extension().is_some_and(|e| e == "news")).expect("news")
}

#[test]
fn what_is_told_untruly_costs_time_and_no_result() {
    let folder = planned();
    let here = folder.path();
    let hashes = hashes(here);
    // All are said to be done, then: the first one, on which others wait; a last one; and those between to be another's.
    let lies = [
        hashes.values().map(|hash| format!("done {hash}\n")).collect::<String>(),
        hashes
            .iter()
            .map(|(name, hash)| {
                let word = if name.contains("normal teacher") || name.contains("cnn2 from nasty") {
                    "done"
                } else {
                    "taken"
                };
                format!("{word} {hash}\n")
            })
            .collect(),
    ];
    for lie in lies {
        std::fs::write(news(here), lie).expect("writable");
        let worked = output(here, &WORK);
        assert!(worked.status.success() && finished(here), "{}", text(&worked.stderr));
        assert!(text(&worked.stdout).contains("report   "));
        assert!(essence(here) == essence(whole().path()));
        assert!(output(here, &["rm", "--force", &hashes["normal teacher cnn4"]]).status.success());
        for hash in hashes.values() {
            let _ = std::fs::remove_file(here.join("runs").join(hash).join("result.json"));
        }
        assert!(!finished(here));
        assert!(output(here, &["run", "tiny.toml", "--plan-only"]).status.success());
    }
    // A run that is deleted by hand is computed again.
    assert!(output(here, &WORK).status.success() && finished(here));
    std::fs::remove_dir_all(here.join("runs").join(hashes.values().last().expect("a task"))).expect("there");
    assert!(!finished(here));
    assert!(output(here, &WORK).status.success() && finished(here));
    assert!(essence(here) == essence(whole().path()));
}

#[test]
fn a_worker_that_finds_all_done_looks_at_nothing_and_names_the_report() {
    let folder = planned();
    let here = folder.path();
    assert!(output(here, &WORK).status.success());
    let told = std::fs::read_to_string(news(here)).expect("news");
    assert_eq!(told.lines().filter(|line| line.starts_with("taken ")).count(), 7, "{told}");
    assert_eq!(told.lines().filter(|line| line.starts_with("done ")).count(), 7, "{told}");
    let page = here.join("runs/reports/tiny-small/index.html");
    let written = || std::fs::metadata(&page).and_then(|found| found.modified()).expect("a report");
    let before = written();
    let surplus = output(here, &WORK);
    assert!(
        surplus.status.success() && text(&surplus.stdout).contains("report   "),
        "{}",
        text(&surplus.stderr)
    );
    assert_eq!((written(), std::fs::read_to_string(news(here)).expect("news")), (before, told));
    std::fs::remove_dir_all(here.join("runs/reports")).expect("there");
    assert!(output(here, &WORK).status.success() && page.is_file());
}

#[test]
fn workers_of_one_plan_round_alike_if_asked_to() {
    let folder = planned();
    let here = folder.path();
    let work = |kernels: &str| {
        let mut command = nasty(here, &["work", "--same-numerics", "--quiet"]);
        command.env("NASTY_KERNELS", kernels).output().expect("starts")
    };
    assert!(work("baseline").status.success());
    let other = Command::new("grep").args(["-qw", "avx2", "/proc/cpuinfo"]).status();
    if other.is_ok_and(|found| found.success()) {
        let refused = work("avx2");
        let message = text(&refused.stderr);
        assert_eq!(refused.status.code(), Some(2), "{message}");
        assert!(message.contains("(baseline)") && message.contains("(avx2)"), "{message}");
    }
}

#[test]
fn a_worker_without_a_plan_says_so() {
    let folder = place();
    let none = output(folder.path(), &["work"]);
    assert_eq!(none.status.code(), Some(3));
    assert!(text(&none.stderr).contains("no plan"), "{}", text(&none.stderr));
    assert!(!folder.path().join("runs").exists());
    std::fs::write(folder.path().join("other.toml"), TINY).expect("writable");
    assert!(output(folder.path(), &["run", "other.toml", "--plan-only"]).status.success());
    let none = output(folder.path(), &["work", "--plan", "tiny"]);
    assert!(text(&none.stderr).contains("no plan of `tiny`"), "{}", text(&none.stderr));
}

#[test]
fn the_store_tells_how_far_a_plan_is() {
    let folder = planned();
    let here = folder.path();
    let status = |arguments: &[&str]| {
        let output = output(here, &[&["status"], arguments].concat());
        (output.status.code(), text(&output.stdout))
    };
    let (code, told) = status(&[]);
    assert_eq!(code, Some(75));
    assert!(told.contains("0 of 7 tasks done, 2 ready, 5 waiting"), "{told}");
    let (_, told) = status(&["tiny", "--all"]);
    assert!(told.contains("waiting") && told.contains("for normal teacher cnn4"), "{told}");

    // A worker is seen at work, and once it is killed, too: until its lease is old nobody knows.
    let mut worker = start(here, &WORK);
    let (mut seen, mut tries) = (String::new(), 0);
    while !seen.contains("running") {
        (_, seen) = status(&["--json"]);
        tries += 1;
        assert!(tries < 600 && !seen.contains("failed"), "{seen}");
    }
    let json: serde_json::Value = serde_json::from_str(&seen).expect("JSON");
    let tasks = json[0]["tasks"].as_array().expect("a list");
    let running = tasks.iter().find(|task| task["state"] == "running").expect("one of them");
    assert_eq!(running["holder"]["process"], worker.id());
    assert_eq!(running["epochs"], 3);
    assert!(worker.wait().expect("it ends").success());
    let (code, told) = status(&["--watch", "1"]);
    assert_eq!(code, Some(0));
    assert!(told.contains("7 of 7 tasks done"), "{told}");

    let list = |filters: &[&str]| text(&output(here, &[&["ls"], filters].concat()).stdout);
    let all = list(&[]);
    assert!(all.contains("Runs in runs: 7") && all.contains("self-undermining"), "{all}");
    let students = list(&["architecture=cnn2", "state=done", "teacher=nasty", "--json"]);
    let students: serde_json::Value = serde_json::from_str(&students).expect("JSON");
    let [student] = &students.as_array().expect("a list")[..] else { panic!("{students}") };
    assert!(student["accuracy"].as_f64().is_some_and(|share| share > 0.0), "{student}");
    let wrong = output(here, &["ls", "colour=red"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(text(&wrong.stderr).contains("columns are hash, name"), "{}", text(&wrong.stderr));

    // What an experiment needs is not deleted without asking; what nobody needs is.
    let hash = student["hash"].as_str().expect("a hash");
    let refused = output(here, &["rm", &hash[..9]]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(text(&refused.stderr).contains("needed by experiment tiny"), "{}", text(&refused.stderr));
    assert!(output(here, &["rm", &hash[..9], "--force"]).status.success());
    assert!(status(&[]).1.contains("6 of 7 tasks done"));
    std::fs::write(
        here.join("runs").join(running["hash"].as_str().expect("a hash")).join("failure.json"),
        "{}",
    )
    .expect("writable");
    let kept = text(&output(here, &["gc", "--runs", "--dry-run"]).stdout);
    assert!(kept.contains("failure.json: left beside a result") && kept.contains("1 would be"), "{kept}");
    assert!(text(&output(here, &["gc"]).stdout).contains("1 deleted"));
    assert!(text(&output(here, &["gc", "--runs"]).stdout).contains("0 deleted"));
}

/// A program called `sbatch` that keeps what it is given and says that this is job 7.
fn with_sbatch(here: &Path, arguments: &[&str]) -> std::process::Output {
    use std::os::unix::fs::PermissionsExt;
    let programs = here.join("programs");
    std::fs::create_dir_all(&programs).expect("writable");
    let sbatch = programs.join("sbatch");
    let text = format!("#!/bin/sh\ncp \"$2\" '{}/submitted'\necho '7;cluster'\n", here.display());
    std::fs::write(&sbatch, text).expect("writable");
    std::fs::set_permissions(&sbatch, std::fs::Permissions::from_mode(0o755)).expect("its owner may");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    nasty(here, arguments).env("PATH", path).output().expect("starts")
}

#[test]
fn an_array_of_workers_is_submitted_and_its_elements_do_the_work() {
    let folder = place();
    let here = folder.path();
    let command = ["slurm", "tiny.toml", "--workers", "2", "--time", "10", "--no-estimate", "--threads", "1"];
    let options = ["--", "--partition=cpu"];
    let dry = output(here, &[&command[..], &["--dry-run"], &options].concat());
    let script = text(&dry.stdout);
    assert!(dry.status.success() && !here.join("runs").exists(), "{}", text(&dry.stderr));
    for line in ["#SBATCH --array=0-5%2", "#SBATCH --partition=cpu", "#SBATCH --signal=B:USR1@120"] {
        assert!(script.lines().any(|found| found == line), "no `{line}` in\n{script}");
    }
    let submitted = with_sbatch(here, &[&command[..], &options].concat());
    assert!(submitted.status.success(), "{}", text(&submitted.stderr));
    assert!(text(&submitted.stdout).contains("job      7: 6 workers, 2 at a time"));
    let script = std::fs::read_to_string(here.join("submitted")).expect("it was submitted");
    assert!(script.contains("exec ") && script.contains("/runs/plans/tiny-small-"), "{script}");
    let element = Command::new("bash").arg(here.join("submitted")).env("SLURM_CPUS_PER_TASK", "1").output();
    let element = element.expect("bash starts");
    assert!(element.status.success() && finished(here), "{}", text(&element.stderr));
    // Without a terminal, an epoch is a line of the log.
    assert!(text(&element.stderr).contains("epoch 2/3"), "{}", text(&element.stderr));
    let surplus = Command::new("bash").arg(here.join("submitted")).output().expect("bash starts");
    assert!(surplus.status.success(), "{}", text(&surplus.stderr));
}

#[test]
fn what_slurm_cannot_take_is_refused() {
    let folder = place();
    let fails = |more: &[&str], code: i32, needle: &str| {
        let output = output(folder.path(), &[&["slurm", "tiny.toml", "--workers", "2"], more].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{more:?}: {message}");
        assert!(message.contains(needle), "{more:?}: {message}");
    };
    fails(&["--time", "4h"], 2, "such as 90 (minutes), 4:00:00");
    fails(&["--time", "10", "--gpus", "1", "--no-estimate"], 2, "built without GPUs");
    fails(&["--time", "10", "--store", "a%b", "--no-estimate"], 2, "cannot take the path");
}
