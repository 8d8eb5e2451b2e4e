//! Classes are matched by name wherever a network meets data, and what is known of a network is never dropped.

mod small;

use assert_cmd::cargo::cargo_bin;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

fn nasty(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(cargo_bin("nasty")).current_dir(folder).args(arguments).output().expect("the program starts")
}

fn succeeds(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = nasty(folder, arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn refused(folder: &Path, arguments: &[&str], code: i32) -> String {
    let output = nasty(folder, arguments);
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {message}");
    message
}

fn import(here: &Path, labels: &str, net: &str) {
    fs::write(here.join("weights.pth"), small::colour_weights()).expect("writable");
    fs::write(here.join("labels.txt"), labels).expect("writable");
    let mut arguments = vec!["import", "weights.pth", "-o", net, "--side", "8"];
    if !labels.is_empty() {
        arguments.extend(["--labels", "labels.txt"]);
    }
    succeeds(here, &arguments);
}

/// What `evaluate` says: right ones of each class by name, and everything on standard error.
fn counts(here: &Path, net: &str, data: &str) -> (Vec<String>, String) {
    let (stdout, stderr) = succeeds(here, &["evaluate", net, "--data", data]);
    (stdout.lines().skip(1).map(|line| line.trim().to_owned()).collect(), stderr)
}

#[test]
fn a_network_is_evaluated_by_the_names_of_its_classes() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    // The outputs are classes 2, 10 and 1, in this order; folders come as 1, 10, 2.
    small::pictures(here, "numbered", ["2", "10", "1"]);
    small::pictures(here, "ordered", ["a", "b", "c"]);
    import(here, "2\n10\n1\n", "by-name");
    import(here, "a\nb\nc\n", "ordered-net");
    let (expected, said) = counts(here, "ordered-net", "folder:ordered");
    assert!(!said.contains("name"), "the same names in the same order need no word: {said}");
    let (found, said) = counts(here, "by-name", "folder:numbered");
    assert!(said.contains("matched by name, in another order"), "{said}");
    let figures = |lines: &[String], class: &str| {
        let line =
            lines.iter().find(|line| line.split_whitespace().next() == Some(class)).expect("the class");
        line.split_whitespace().skip(1).map(str::to_owned).collect::<Vec<_>>()
    };
    for (one, other) in [("a", "2"), ("b", "10"), ("c", "1")] {
        assert_eq!(figures(&expected, one), figures(&found, other), "{expected:?} {found:?}");
    }
    let right = |lines: &[String]| {
        lines.iter().map(|l| l.split_whitespace().nth(1).expect("a count").to_owned()).collect::<Vec<_>>()
    };
    assert_ne!(right(&expected), right(&found), "the order matters for this network");
    // Spelled otherwise.
    import(here, "02\n10\n01\n", "spelled");
    let (respelled, said) = counts(here, "spelled", "folder:numbered");
    assert!(respelled == found && said.contains("spelled otherwise"), "{said}");
    let (json, _) =
        succeeds(here, &["evaluate", "by-name", "--data", "folder:numbered", "--json", "--quiet"]);
    assert!(json.contains("\"classes\": \"classes are matched by name"), "{json}");

    // Without names the outputs are taken by position, and the warning stands even under --quiet.
    import(here, "", "unnamed");
    let (by_position, said) = counts(here, "unnamed", "folder:ordered");
    assert!(by_position == expected && said.contains("does not know the names"), "{said}");
    let (_, said) = succeeds(here, &["evaluate", "unnamed", "--data", "folder:ordered", "--quiet"]);
    assert!(said.contains("every figure is wrong"), "{said}");
    // It stands once, though training begins with the network, is undermined against it and is judged by it.
    let rest = ["--data", "folder:ordered", "epochs=1", "batch=8", "data.validation=3", "--quiet"];
    let (_, said) = succeeds(here, &[&["undermine", "--from", "unnamed"][..], &rest].concat());
    assert_eq!(said.matches("every figure is wrong").count(), 1, "{said}");

    // Names come from files, and a terminal must not obey them.
    small::pictures(here, "hostile", ["\u{1b}[2Ja", "b\u{9b}c", "d\u{7f}"]);
    let (table, said) = succeeds(here, &["evaluate", "unnamed", "--data", "folder:hostile"]);
    assert!(table.contains("\\u001b[2Ja") && table.contains("b\\u009bc"), "{table:?}");
    assert!((table + &said).chars().all(|c| c == '\n' || !c.is_control()));
    let (json, _) = succeeds(here, &["evaluate", "unnamed", "--data", "folder:hostile", "--json", "--quiet"]);
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert!(json.to_string().contains("d\u{7f}"), "{json}");

    // Other names, or another number of them, are refused, also as teacher and as adversary.
    let message = refused(here, &["evaluate", "ordered-net", "--data", "folder:numbered"], 2);
    assert!(
        message.contains("only the network has a, b, c") && message.contains("only the data has 1, 10, 2"),
        "{message}"
    );
    for command in [["distill", "--teacher"], ["undermine", "--adversary"]] {
        let rest = [
            "ordered-net",
            "--data",
            "folder:numbered",
            "--architecture",
            "cnn1",
            "epochs=1",
            "batch=8",
            "--quiet",
        ];
        let message = refused(here, &[&command[..], &rest].concat(), 2);
        assert!(message.contains("only the network has a, b, c"), "{message}");
    }
    let rest = ["by-name", "--data", "folder:numbered", "--architecture", "cnn1", "epochs=1", "batch=8"];
    let (_, said) = succeeds(here, &[&["distill", "--teacher"][..], &rest].concat());
    assert!(said.contains("matched by name, in another order"), "{said}");
}

#[test]
fn what_export_writes_is_known_to_import() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    import(here, "", "unused");
    fs::write(here.join("labels.txt"), "cat\ndog\nfox\n").expect("writable");
    let (text, _) = succeeds(
        here,
        &[
            "import",
            "weights.pth",
            "-o",
            "net",
            "--side",
            "8",
            "--mean",
            "0.1,0.2,0.3",
            "--std",
            "0.4,0.5,0.6",
            "--labels",
            "labels.txt",
        ],
    );
    assert!(text.contains("not confirmed: shapes do not show strides") && text.contains("--check"), "{text}");
    fs::create_dir(here.join("out")).expect("writable");
    succeeds(here, &["export", "net", "-o", "out/net.safetensors"]);
    for (i, path) in ["out/net.safetensors", "out", "net"].into_iter().enumerate() {
        let again = format!("again{i}");
        let (text, _) = succeeds(here, &["import", path, "-o", &again]);
        assert!(
            !text.contains("assumed") && text.contains("normalisation: from the config.json beside it"),
            "{text}"
        );
        let config =
            |folder: &str| fs::read_to_string(here.join(folder).join("config.json")).expect("a description");
        assert_eq!(config("net"), config(&again), "{path}");
    }
    let (text, _) = succeeds(here, &["import", "out", "-o", "other", "--mean", "0,0,0", "--std", "1,1,1"]);
    assert!(text.contains("warning: the config.json beside it says mean [0.1, 0.2, 0.3]"), "{text}");
}

#[test]
fn what_is_hardly_meant_is_told() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    small::pictures(here, "photos", ["a", "b", "c"]);
    let train = |more: &[&str]| {
        let base = ["train", "--data", "folder:photos", "--architecture", "cnn1", "epochs=1", "--quiet"];
        nasty(here, &[&base[..], more].concat())
    };
    let said = |output: &Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let told = train(&["batch=64"]);
    assert!(
        told.status.success() && said(&told).contains("batch is 64, but there are only 24 training images"),
        "{}",
        said(&told)
    );
    let told = train(&["batch=4", "epochs=2", "schedule.kind=step"]);
    let text = said(&told);
    assert!(text.contains("schedule.milestones has 80, 120, but there are only 2 epochs"), "{text}");
    assert!(text.contains("only 3 held-out images choose the epoch"), "{text}");
    for class in ["a", "b", "c"] {
        for picture in 1..12 {
            let _ = fs::remove_file(here.join(format!("photos/train/{class}/{picture}.png")));
        }
    }
    let refused = train(&["batch=2"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(said(&refused).contains("nothing is left to train on of 1 of 3 classes"), "{}", said(&refused));
}
