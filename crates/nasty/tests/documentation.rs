//! Every command line of the README and the docs is one that the program takes. What can be run here is run to its end, on tiny
//! settings, in an empty folder with an empty home; the rest is listed below, with the reason.

mod small;

use assert_cmd::cargo::cargo_bin;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Pages whose commands are about servers, clusters and files of the reader's: they are only looked up.
const LOOKED_UP_PAGES: &[&str] = &["victims.md", "cluster.md", "own-model.md", "serving.md"];

/// Beginnings of commands that are only looked up, and why.
const LOOKED_UP: &[(&str, &str)] = &[
    ("data get", "it downloads"),
    ("devices --check", "the binary has no GPU"),
    ("quickstart", "the README's first command takes half a minute of fully optimised code"),
    ("distill … objective.kind=mine", "the reader writes this loss"),
    ("audit RUN --data cifar10 --pool", "its two data sets are the reader's"),
    ("serve", "it serves until it is stopped"),
    ("slurm", "it needs a cluster"),
    ("work --store", "it needs a cluster's folder"),
    ("evaluate model.onnx", "the reader has it"),
    ("evaluate cifar10-stranger.onnx", "it lies elsewhere"),
    ("evaluate http", "the server is the reader's"),
    ("rm", "later commands need the run"),
];

/// What a command gets so that it takes seconds, unless it says so itself.
fn tiny(subcommand: &str) -> &'static [&'static str] {
    match subcommand {
        "train" | "undermine" | "distill" => &[
            "--data=quickstart",
            "--architecture=cnn4",
            "epochs=1",
            "data.subset=200",
            "data.validation=50",
            "batch=32",
            "-q",
        ],
        // Experiments need whole data sets; whether names, keys and values are right shows without.
        "run" => &["--print-config"],
        "experiments" => &["--no-estimate"],
        "audit" => &["--battery=quick", "--budget=200", "--seeds=1", "--steps=40", "--test-images=200", "-q"],
        _ => &[],
    }
}

/// The arguments of the command `line`: words that stand for something of the reader's are replaced, and it is made tiny.
fn arguments(line: &str, normal: &str, nasty: &str) -> Vec<String> {
    let mut audits = ["audit", "audit-of-another"].into_iter();
    let mut before = String::new();
    let mut arguments = Vec::new();
    for word in words(line) {
        let meant = match (before.as_str(), word.as_str()) {
            (_, "RUN" | "VICTIM" | "NORMAL" | "HASH" | "MODEL")
            | ("export", "teacher")
            | ("evaluate", "resnet20") => normal,
            (_, "NASTY") => nasty,
            (_, "AUDIT") => audits.next().expect("two are enough"),
            (_, "NAME") => "cifar10",
            ("--store", "DIR") => "runs",
            ("--data", "cifar10" | "folder:PATH") => "quickstart",
            ("--architecture", _) if line.starts_with("import") => "cnn1",
            ("--architecture", _) => "cnn4",
            (_, "folder:photos") => "folder:pictures",
            (_, word) => word,
        };
        // Known answers to compare with are the reader's.
        let known_answers = line.starts_with("import") && ["--check", "images.npz"].contains(&meant);
        if before == "-o" && line.starts_with("import") {
            // Nothing is imported over another network.
            arguments.push(format!("imported/{}", line.replace([' ', '/'], "-")));
        } else if !meant.contains('…') && !known_answers {
            arguments.push(meant.to_owned());
        }
        before = word;
    }
    let subcommand = arguments.first().cloned().unwrap_or_default();
    let named = |option: &str, arguments: &[String]| {
        let name = option.split('=').next().unwrap_or(option);
        arguments.iter().any(|argument| argument.split('=').next() == Some(name))
    };
    let finished = arguments.get(1).is_some_and(|word| ["compare", "record"].contains(&word.as_str()));
    for option in tiny(&subcommand).iter().filter(|_| !finished) {
        if !named(option, &arguments) {
            arguments.push((*option).to_owned());
        }
    }
    arguments
}

fn run(here: &Path, arguments: &[String]) -> (Option<i32>, String) {
    let mut command = Command::new(cargo_bin("nasty"));
    let output =
        command.current_dir(here).env("HOME", here).env("NASTY_DATA_DIR", here).args(arguments).output();
    let output = output.expect("the program starts");
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    (output.status.code(), text)
}

/// The words of a command as a shell splits them; a comment ends it.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut begun) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, begun) = (!quoted, true),
            ' ' if !quoted => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            '#' if !quoted && !begun => break,
            _ => {
                word.push(c);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// The commands in a page: lines of code, and code within a line that says more than a subcommand.
fn commands(page: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in page.lines() {
        let line = line.trim_start().trim_start_matches("$ ");
        if let Some(command) = line.strip_prefix("nasty ").filter(|rest| !rest.starts_with('=')) {
            found.insert(command.to_owned());
        }
        for span in line.split('`').skip(1).step_by(2) {
            if let Some(command) = span.strip_prefix("nasty ").filter(|rest| rest.contains(' ')) {
                found.insert(command.to_owned());
            }
        }
    }
    found
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = fs::read_dir(root.join("docs")).expect("the docs").flatten().map(|entry| entry.path());
    let docs = docs.filter(|path| path.extension().is_some_and(|e| e == "md"));
    std::iter::once(root.join("README.md")).chain(docs).collect()
}

/// Trains by `line`; gives the run's hash.
fn trained(here: &Path, line: &str) -> String {
    let before = runs(here);
    let (code, text) = run(here, &arguments(line, "", ""));
    assert_eq!(code, Some(0), "{line}: {text}");
    let new = runs(here).into_iter().find(|run| !before.contains(run)).expect("a new run");
    new.file_name().expect("a name").to_string_lossy().into_owned()
}

fn runs(here: &Path) -> BTreeSet<PathBuf> {
    let all = fs::read_dir(here.join("runs")).into_iter().flatten().flatten().map(|entry| entry.path());
    all.filter(|path| path.join("model.safetensors").is_file()).collect()
}

/// What the reader of the docs has: two networks, two audits, files to import, pictures. Gives the networks.
fn prepare(here: &Path) -> (String, String) {
    let normal = trained(here, "train epochs=3 data.subset=400");
    let nasty = trained(here, &format!("undermine --adversary {normal}"));
    for (victim, out) in [(&normal, "audit"), (&nasty, "audit-of-another")] {
        let line = format!("audit {victim} --data quickstart --regardless -o {out}");
        let (code, text) = run(here, &arguments(&line, "", ""));
        assert!(matches!(code, Some(0 | 3)), "{line}: {text}");
    }
    let weights = small::colour_weights();
    fs::create_dir(here.join("folder-from-a-hub")).expect("writable");
    for name in [
        "best_model.tar",
        "resnet20-12fca82f.th",
        "model.safetensors",
        "net.pt",
        "folder-from-a-hub/weights.pth",
    ] {
        fs::write(here.join(name), &weights).expect("writable");
    }
    small::pictures(here, "pictures", ["apple", "beetle", "cup"]);
    (normal, nasty)
}

#[test]
fn every_command_of_the_docs_does_what_it_says() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let (normal, nasty) = prepare(here);
    let (mut wrong, mut seen) = (Vec::new(), BTreeSet::new());
    for page in pages() {
        let text = fs::read_to_string(&page).expect("a page");
        for line in commands(&text) {
            if !seen.insert(line.clone()) {
                continue;
            }
            let whole_page = LOOKED_UP_PAGES.iter().any(|name| page.ends_with(name));
            let looked_up = whole_page || LOOKED_UP.iter().any(|(begin, _)| line.starts_with(begin));
            let arguments = if looked_up {
                let words = words(&line).into_iter().take_while(|word| !word.starts_with(['-', '…']));
                words.take(2).chain(["--help".to_owned()]).collect()
            } else {
                arguments(&line, &normal, &nasty)
            };
            let (code, said) = run(here, &arguments);
            // A condition for a failure may hold. Of what is looked up, every option must be there.
            let mut fine = code == Some(0) || code == Some(4) && line.contains("--fail-on");
            if looked_up {
                let options = words(&line).into_iter().take_while(|word| word != "--");
                let mut names = options.filter(|word| word.starts_with("--"));
                fine &= names.all(|word| said.contains(word.split('=').next().unwrap_or_default()));
            }
            if !fine {
                wrong.push(format!("{}: nasty {line}\n  as {arguments:?}\n  {said}", page.display()));
            }
        }
    }
    let count = seen.len();
    assert!(count > 40, "only {count} commands were found");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}
