//! `nasty completions` and `nasty man`, as a shell and a reader of manual pages meet them.

use assert_cmd::cargo::cargo_bin;
use std::process::{Command, Stdio};

fn nasty(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.args(arguments).stdin(Stdio::null());
    command
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = nasty(&["completions", shell]).output().expect("the program starts");
        let script = String::from_utf8(output.stdout).expect("UTF-8");
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}");
        for word in ["quickstart", "undermine", "adversary", "hard-labels"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
    let unknown = nasty(&["completions", "tcsh"]).output().expect("the program starts");
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("powershell"), "the shells are named");
}

#[cfg(unix)]
#[test]
fn bash_completes_by_the_script() {
    let folder = tempfile::tempdir().expect("temp");
    let script = nasty(&["completions", "bash"]).output().expect("the program starts").stdout;
    std::fs::write(folder.path().join("script"), script).expect("writable");
    let complete =
        "source ./script; COMP_WORDS=(nasty un); COMP_CWORD=1; _nasty nasty un nasty; echo ${COMPREPLY[@]}";
    let output =
        Command::new("bash").args(["-c", complete]).current_dir(&folder).output().expect("bash starts");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "undermine");
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = tempfile::tempdir().expect("temp");
    let out = folder.path().join("man/man1");
    let output = nasty(&["man", "--out", out.to_str().expect("UTF-8")]).output().expect("the program starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for (page, word) in [("nasty", "undermine"), ("nasty-distill", "hard"), ("nasty-data-get", "data set")] {
        let text = std::fs::read_to_string(out.join(format!("{page}.1"))).expect("a page");
        assert!(text.starts_with(".ie") && text.contains(".TH") && text.contains(word), "{page}: {text}");
    }
    // A file stands where the folder should be.
    let blocked = out.join("nasty.1");
    let refused =
        nasty(&["man", "--out", blocked.to_str().expect("UTF-8")]).output().expect("the program starts");
    let message = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(3), "{message}");
    assert!(message.contains("nasty.1") && !message.contains("panicked"), "{message}");
}
