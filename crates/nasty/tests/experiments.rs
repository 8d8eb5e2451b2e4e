//! `nasty run`, `nasty report` and `nasty experiments` as a user meets them: resuming, kill -9 at random moments, a full
//! disk, two processes on one store. On a tiny experiment, whose numbers mean nothing.

mod tiny;

use assert_cmd::cargo::cargo_bin;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tiny::{TINY, essence, half_files, nasty, output, place, start, text};

const TINY_ATTACKS: &str = r#"
format = 1
title = "Tiny attacks"
shows = "nothing"
data = "quickstart"
seeds = [0]

[recipe]
epochs = 2
batch = 32
data = { subset = 160, validation = 100 }

[teacher]
architecture = "cnn4"

[responses]
images = 3

[embedding]
images = 60
perplexity = 5
steps = 20

[inversion]
images = 4
steps = 6

[data_free]
architecture = "cnn2"
recipe = { epochs = 2, steps = 2, batch = 8, generator = { latent = 8, width = 4, learning_rate = 0.01 } }
"#;

#[test]
fn an_experiment_runs_once_and_is_reported() {
    let folder = place();
    let here = folder.path();
    let planned = text(&output(here, &["run", "tiny.toml", "--dry-run"]).stdout);
    assert!(planned.contains("└─ ") && planned.contains("0 of 7 tasks done"), "{planned}");
    assert!(!here.join("runs/experiments").exists(), "a dry run leaves nothing");

    let first = output(here, &["run", "tiny.toml"]);
    assert!(first.status.success(), "{}", text(&first.stderr));
    let (out, talk) = (text(&first.stdout), text(&first.stderr));
    assert!(out.contains("The students") && out.contains("12.34") && out.contains("34.56"), "{out}");
    assert!(talk.contains("7/7 "), "{talk}");
    let planned = text(&output(here, &["run", "tiny.toml", "--dry-run"]).stdout);
    assert!(planned.contains("7 of 7 tasks done"), "{planned}");

    // Nothing is trained again; two tasks side by side in another store give the same bits.
    let again = output(here, &["run", "tiny.toml", "--quiet"]);
    assert_eq!(text(&again.stdout), out);
    let other = place();
    let side_by_side = output(
        other.path(),
        &["run", "tiny.toml", "--jobs", "3", "--threads", "3", "--quiet", "--no-logit-cache"],
    );
    assert!(side_by_side.status.success(), "{}", text(&side_by_side.stderr));
    assert!(essence(here) == essence(other.path()), "--jobs or the cache changed a result");
    assert!(here.join("runs/logits").is_dir() && !other.path().join("runs/logits").exists());

    let report = here.join("runs/reports/tiny-small");
    let page = std::fs::read_to_string(report.join("index.html")).expect("a page");
    assert!(page.contains("<table") && page.contains("<svg") && page.contains("nasty run tiny.toml"));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(report.join("report.json")).expect("JSON")).expect("JSON");
    assert_eq!(json["experiments"][0]["cells"].as_array().expect("cells").len(), 2 + 6);
    let csv = std::fs::read_to_string(report.join("tables/tiny-small-students.csv")).expect("a table");
    assert!(csv.starts_with("student,") && csv.lines().count() == 3, "{csv}");

    // Another seed runs only what is new; the report of the store has both experiments.
    let more = output(here, &["run", "tiny.toml", "seeds=[0,1]", "--quiet"]);
    assert!(more.status.success() && text(&more.stdout).contains('±'), "{}", text(&more.stderr));
    let all = output(here, &["report", "runs", "-o", "all"]);
    assert!(all.status.success(), "{}", text(&all.stderr));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(here.join("all/report.json")).expect("JSON")).expect("JSON");
    assert_eq!(json["experiments"].as_array().expect("a list").len(), 2);
    assert!(output(here, &["report", "tiny", "-o", "one"]).status.success());
    assert_eq!(output(here, &["report", "cifar10", "-o", "none"]).status.code(), Some(2));
}

#[test]
fn attacks_and_analyses_are_tasks_too() {
    let outputs = ["1", "2"].map(|jobs| {
        let folder = place();
        let here = folder.path();
        std::fs::write(here.join("attacks.toml"), TINY_ATTACKS).expect("writable");
        let run = output(here, &["run", "attacks.toml", "--quiet", "--jobs", jobs]);
        assert!(run.status.success(), "{}", text(&run.stderr));
        let planned = text(&output(here, &["run", "attacks.toml", "--dry-run"]).stdout);
        assert!(planned.contains("11 of 11 tasks done"), "{planned}");
        let page =
            std::fs::read_to_string(here.join("runs/reports/attacks-small/index.html")).expect("a page");
        assert!(page.matches("<img").count() >= 5 && page.contains("t-SNE of features and of logits"));
        text(&run.stdout)
    });
    assert_eq!(outputs[0], outputs[1], "--jobs changed a result");
    for table in
        ["Students distilled without data", "How far classes are clusters", "What networks see", "How sharp"]
    {
        assert!(outputs[0].contains(table), "no `{table}` in\n{}", outputs[0]);
    }
}

/// Two classes of images, bright and dark, in a folder a class.
fn image_folder(folder: &Path) -> PathBuf {
    let images = folder.join("images");
    for (split, count) in [("train", 20), ("test", 6)] {
        for (class, base) in [("bright", 200), ("dark", 30)] {
            let of_class = images.join(split).join(class);
            std::fs::create_dir_all(&of_class).expect("writable");
            for nth in 0..count {
                let data = (0..12 * 12 * 3).map(|i| (base + (i * 7 + nth * 13) % 40) as u8).collect();
                let image = nasty_teacher::report::Pixels { width: 12, height: 12, channels: 3, data };
                std::fs::write(of_class.join(format!("{nth}.png")), image.png().expect("a picture"))
                    .expect("writable");
            }
        }
    }
    images
}

#[test]
fn image_folders_are_resized_in_experiments() {
    let folder = place();
    let here = folder.path();
    let data = format!("data=folder:{}", image_folder(here).display());
    let run = [
        "run",
        "tiny.toml",
        &data,
        "recipe.data.side=8",
        "recipe.data.subset=none",
        "recipe.data.validation=4",
        "recipe.batch=8",
        "recipe.epochs=1",
        "--quiet",
    ];
    let output_ = output(here, &run);
    assert!(output_.status.success(), "{}", text(&output_.stderr));
    let planned = text(&output(here, &[&run[..], &["--dry-run"]].concat()).stdout);
    assert!(planned.contains("7 of 7 tasks done"), "{planned}");
}

#[test]
fn single_runs_are_reported_too() {
    let folder = place();
    let here = folder.path();
    let train = [
        "train",
        "--data",
        "quickstart",
        "--architecture",
        "cnn2",
        "epochs=1",
        "batch=32",
        "data.subset=160",
        "data.validation=100",
        "--quiet",
    ];
    assert!(output(here, &train).status.success());
    let reported = output(here, &["report", "runs", "-o", "all"]);
    assert!(reported.status.success(), "{}", text(&reported.stderr));
    let page = std::fs::read_to_string(here.join("all/index.html")).expect("a page");
    assert!(page.contains("Single runs") && page.contains("cross-entropy"), "{page}");
}

#[test]
fn what_is_printed_runs_the_same() {
    let folder = place();
    let here = folder.path();
    let printed =
        output(here, &["run", "tiny.toml", "student.alpha=0.5", "recipe.clip_norm=none", "--print-config"])
            .stdout;
    std::fs::write(here.join("printed.toml"), &printed).expect("writable");
    let plan = |arguments: &[&str]| text(&output(here, &[arguments, &["--dry-run"]].concat()).stdout);
    let printed = plan(&["run", "printed.toml"]);
    assert!(printed.contains("0 of 7"), "{printed}");
    assert_eq!(printed, plan(&["run", "tiny.toml", "student.alpha=0.5"]));
    assert_ne!(printed, plan(&["run", "tiny.toml"]));
}

#[test]
fn wrong_experiments_are_explained() {
    let folder = place();
    let fails = |arguments: &[&str], code: i32, needles: &[&str]| {
        let output = output(folder.path(), arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
        assert!(
            needles.iter().all(|n| message.contains(n)) && !message.contains("panicked"),
            "{arguments:?}: {message}"
        );
    };
    fails(&["run", "cifar11"], 2, &["`cifar11`", "did you mean `cifar10`"]);
    fails(&["run", "tiny.toml", "teacher.omgea=1"], 2, &["`teacher.omgea`", "did you mean `teacher.omega`"]);
    fails(
        &["run", "tiny.toml", "student.recipe.epoch=1"],
        2,
        &["student.recipe", "`epoch`", "did you mean `epochs`"],
    );
    fails(&["run", "tiny.toml", "--jobs", "0"], 2, &["--jobs"]);
    fails(&["run", "cifar10"], 3, &["cifar-10"]);
    std::fs::write(folder.path().join("bad.toml"), "format = 1\ntitle = [").expect("writable");
    fails(&["run", "bad.toml"], 2, &["bad"]);
    fails(&["run", "absent.toml"], 2, &["absent.toml"]);
}

#[test]
fn a_student_that_cannot_be_trained_is_a_result() {
    let folder = place();
    let here = folder.path();
    let wild = [
        "run",
        "tiny.toml",
        "student.recipe.learning_rate=1e30",
        "student.recipe.warmup=0",
        "student.architecture=cnn2",
    ];
    let first = output(here, &wild);
    assert!(first.status.success(), "{}", text(&first.stderr));
    assert!(text(&first.stderr).contains("cannot be trained"), "{}", text(&first.stderr));
    assert!(text(&first.stdout).contains("loss not finite"), "{}", text(&first.stdout));
    let planned = text(&output(here, &[&wild[..], &["--dry-run"]].concat()).stdout);
    assert!(planned.contains("done: loss not finite") && planned.contains("5 of 5 tasks done"), "{planned}");
    let again = output(here, &wild);
    assert_eq!((text(&again.stdout), again.status.success()), (text(&first.stdout), true));
}

#[test]
fn a_term_signal_saves_and_the_same_command_goes_on() {
    let whole = place();
    assert!(output(whole.path(), &["run", "tiny.toml", "--quiet"]).status.success());
    let mut stopped = 0;
    for signal in ["-TERM", "-USR1", "-USR2", "-INT", "-HUP"] {
        let folder = place();
        for attempt in 1..60 {
            let mut child = start(folder.path(), &["run", "tiny.toml", "--quiet", "--jobs", "2"]);
            // Later and later, so that slow machines get on too.
            std::thread::sleep(Duration::from_millis(150 * attempt));
            let _ = Command::new("kill").args([signal, &child.id().to_string()]).status().expect("kill");
            match child.wait().expect("it ends").code() {
                Some(75) => {
                    stopped += 1;
                    let runs = folder.path().join("runs");
                    let mut run =
                        std::fs::read_dir(&runs).expect("a store").map(|entry| entry.expect("an entry"));
                    let any = run.any(|run| run.path().join("result.json").exists());
                    assert_eq!(
                        runs.join("reports").exists(),
                        any,
                        "a report where there is something to report"
                    );
                }
                Some(0) => break,
                // Before it listens to signals they end it as they end any program.
                None => {}
                other => panic!("{signal}: exit {other:?}"),
            }
        }
        assert!(output(folder.path(), &["run", "tiny.toml", "--quiet"]).status.success());
        assert!(essence(folder.path()) == essence(whole.path()), "{signal}");
    }
    assert!(stopped > 0, "no signal came while it worked");
}

/// Killed at random moments, two tasks at a time: whatever is there stays whole, and the same bits come out. Fifty times, or
/// `NASTY_KILLS` times: `NASTY_KILLS=300 cargo test --release -p nasty --test experiments kill_9`.
#[test]
fn kill_9_at_fifty_random_moments_loses_nothing() {
    let wanted = std::env::var("NASTY_KILLS").map_or(50, |kills| kills.parse().expect("a number of kills"));
    // Training and both attacks that save states.
    let attacks = TINY_ATTACKS.split_once("[inversion]").expect("it is there").1;
    let place = || {
        let folder = place();
        std::fs::write(folder.path().join("tiny.toml"), format!("{TINY}\n[inversion]{attacks}"))
            .expect("writable");
        folder
    };
    let run = ["run", "tiny.toml", "--quiet", "--jobs", "2"];
    let whole = place();
    let begun = Instant::now();
    assert!(output(whole.path(), &run).status.success());
    let takes = begun.elapsed().min(Duration::from_secs(20));
    let expected = essence(whole.path());
    assert_eq!(expected.len(), 11);

    let (mut kills, mut finished) = (0u32, 0);
    // A small linear congruential generator: the moments differ, and a failing one can be sought again.
    let mut random = 12_345u64;
    let mut folder = place();
    while kills < wanted {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let share = (random >> 40) as f64 / (1u64 << 24) as f64;
        let mut child = start(folder.path(), &run);
        // The first one comes at once, before there is a store.
        std::thread::sleep(takes.mul_f64(if kills == 0 { 0.0 } else { 0.8 * share }));
        let done = child.try_wait().expect("it can be asked").is_some();
        if !done {
            child.kill().expect("it can be killed");
            kills += 1;
        }
        let status = child.wait().expect("it ends");
        assert!(!done || status.success(), "it ended by itself with {status:?}");
        // Reading them asserts that they are whole. A kill may come before there is a store.
        let store = folder.path().join("runs");
        let so_far = if store.exists() { essence(folder.path()) } else { BTreeMap::new() };
        assert!(so_far.iter().all(|(run, found)| expected.get(run) == Some(found)), "after {kills} kills");
        if done {
            assert!(so_far == expected);
            assert_eq!(half_files(folder.path()), Vec::<PathBuf>::new());
            folder = place();
            finished += 1;
        }
    }
    let last = output(folder.path(), &["run", "tiny.toml", "--quiet"]);
    assert!(last.status.success(), "{}", text(&last.stderr));
    assert!(essence(folder.path()) == expected, "{kills} kills, finished {finished} times in between");
}

#[test]
fn two_processes_on_one_store_do_every_task_once() {
    let folder = place();
    let whole = place();
    assert!(output(whole.path(), &["run", "tiny.toml", "--quiet"]).status.success());
    let run = || {
        nasty(folder.path(), &["run", "tiny.toml", "--quiet"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    };
    let children = [run().expect("starts"), run().expect("starts")];
    let outputs = children.map(|child| child.wait_with_output().expect("it ends"));
    for output in &outputs {
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    assert_eq!(text(&outputs[0].stdout), text(&outputs[1].stdout));
    assert!(essence(folder.path()) == essence(whole.path()));
}

#[test]
fn a_full_disk_is_an_error_and_with_room_again_it_goes_on() {
    let folder = place();
    // A limit on the size of files fails where a full disk does: in the middle of writing.
    let run =
        format!("ulimit -f 32; trap '' XFSZ; exec {} run tiny.toml --quiet", cargo_bin("nasty").display());
    let output_ = Command::new("sh").args(["-c", &run]).current_dir(folder.path()).output().expect("sh");
    let message = text(&output_.stderr);
    assert_eq!(output_.status.code(), Some(3), "{message}");
    assert!(half_files(folder.path()).is_empty(), "{message}");
    assert!(output(folder.path(), &["run", "tiny.toml", "--quiet"]).status.success());
    let whole = place();
    assert!(output(whole.path(), &["run", "tiny.toml", "--quiet"]).status.success());
    assert!(essence(folder.path()) == essence(whole.path()));
}

#[test]
fn the_thirteen_are_listed() {
    let folder = place();
    let listed = output(folder.path(), &["experiments", "--no-estimate"]);
    let listing = text(&listed.stdout);
    assert!(listed.status.success(), "{}", text(&listed.stderr));
    let names = [
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
    for name in names {
        let line = listing.lines().find(|line| line.split_whitespace().next() == Some(name));
        assert!(line.is_some_and(|line| line.len() > name.len() + 20), "{name} in\n{listing}");
    }
}
