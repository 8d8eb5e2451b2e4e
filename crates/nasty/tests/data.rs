//! `nasty data` and bad data sets as a user meets them.

use assert_cmd::cargo::cargo_bin;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

fn nasty(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.current_dir(folder).env("NASTY_DATA_DIR", folder).args(arguments).stdin(Stdio::null());
    command
}

fn output(folder: &Path, arguments: &[&str]) -> Output {
    nasty(folder, arguments).output().expect("the program starts")
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
    assert_eq!(message.matches("error: ").count(), 1, "{message}");
    assert!(output.stdout.is_empty() && !message.contains("panicked"), "{arguments:?}: {message}");
}

fn write(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    std::fs::create_dir_all(path.parent().expect("a parent")).expect("writable");
    std::fs::write(path, bytes).expect("writable");
}

#[test]
fn the_list_says_what_is_here() {
    let folder = tempfile::tempdir().expect("temp");
    write(folder.path(), "cifar-10-batches-py/data_batch_1", b"");
    let list = text(&output(folder.path(), &["data", "list"]).stdout);
    for line in
        ["here: inside the program", "cifar-10-batches-py", "`nasty data get mnist` fetches 12 MB from https"]
    {
        assert!(list.contains(line), "{list}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&output(folder.path(), &["data", "list", "--json"]).stdout).expect("JSON");
    assert_eq!(json[1]["name"], "cifar10");
    assert_eq!(json[1]["here"], true);
}

#[test]
fn a_check_counts_every_class() {
    let folder = tempfile::tempdir().expect("temp");
    let shown = text(&output(folder.path(), &["data", "check"]).stdout);
    for line in [
        "every pixel and label is as published",
        "6000 training and 10000 test images of 28×28×1",
        "Ankle boot",
    ] {
        assert!(shown.contains(line), "{shown}");
    }
    let json = output(folder.path(), &["data", "check", "quickstart", "--json"]).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(json[0]["certainty"], "identical");
    assert_eq!(json[0]["train"], serde_json::json!(vec![600; 10]));
}

#[test]
fn bad_data_sets_are_one_clear_error() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    let train = |data: &'static str| ["train", "--architecture", "cnn4", "--data", data];
    fails(here, &train("cifar10"), 3, &["cifar10 was not found", "nasty data get cifar10", "NASTY_DATA_DIR"]);
    fails(here, &train("tiny-imagenet"), 3, &["tiny-imagenet was not found"]);
    fails(here, &train("folder:nowhere"), 3, &["the folder train was not found", "nowhere/train"]);
    fails(here, &["data", "check", "mnist"], 3, &["MNIST was not found"]);

    write(here, "cifar-10-batches-bin/data_batch_1.bin", &[0; 1000]);
    fails(here, &train("cifar10"), 3, &["data_batch_1.bin: expected 30730000 bytes, found 1000", "help: "]);
    fails(here, &["data", "check", "cifar10"], 3, &["data_batch_1.bin"]);
    write(here, "cifar-100-python.tar.gz", b"<html>Not found</html>");
    fails(here, &train("cifar100"), 3, &["cifar-100-python.tar.gz: expected an intact file"]);
    write(here, "mnist/train-images-idx3-ubyte", b"garbage");
    fails(here, &train("mnist"), 3, &["train-labels-idx1-ubyte was not found"]);
    for split in ["train", "val"] {
        for class in ["a", "b"] {
            write(here, &format!("photos/{split}/{class}/1.png"), b"no picture");
        }
    }
    fails(
        here,
        &train("folder:photos"),
        3,
        &["train/a/1.png: expected a PNG, JPEG, WebP, BMP, TIFF or GIF picture"],
    );
}

#[test]
fn wrong_usage_is_explained() {
    let folder = tempfile::tempdir().expect("temp");
    let here = folder.path();
    fails(here, &["data", "get"], 2, &["NAME"]);
    fails(here, &["data", "get", "cifar11"], 2, &["there is no data set `cifar11`"]);
    fails(here, &["data", "get", "quickstart"], 2, &["quickstart is not fetched from anywhere"]);
    fails(here, &["data", "get", "mnist", "--from", "localhost:80"], 2, &["`localhost:80` is no address"]);
    fails(here, &["data", "check", "quickstart", "--side", "3"], 2, &["--side without a folder:PATH"]);
    fails(
        here,
        &["train", "--data", "quickstart", "--architecture", "cnn4", "data.side=9"],
        2,
        &["fixed size"],
    );
    write(here, "file", b"");
    fails(here, &["data", "get", "mnist", "--data-dir", "file/x"], 3, &["file/x: "]);
}

/// A server of a file of CIFAR-10's size: it sends the first million zeros of what is asked for, and no more.
fn server() -> (String, Receiver<String>) {
    const SIZE: usize = 170_052_171;
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let lines = BufReader::new(stream.try_clone().expect("a copy")).lines().map_while(Result::ok);
            let lines: Vec<String> =
                lines.take_while(|line| !line.is_empty()).map(|line| line.to_lowercase()).collect();
            let range =
                lines.iter().find_map(|line| line.strip_prefix("range: bytes=")).unwrap_or("0-").to_owned();
            let start: usize = range.trim_end_matches('-').parse().expect("a number");
            let head = format!(
                "HTTP/1.1 {}\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{SIZE}\r\n\r\n",
                if start > 0 { "206 Partial Content" } else { "200 OK" },
                SIZE - start,
                SIZE - 1
            );
            let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![0; 1_000_000]));
            sender.send(range).expect("the test listens");
            open.push(stream);
        }
    });
    (base, requests)
}

#[test]
fn ctrl_c_keeps_what_has_come_and_the_same_command_goes_on() {
    let folder = tempfile::tempdir().expect("temp");
    let (base, requests) = server();
    let part = folder.path().join("cifar-10-binary.tar.gz.part");
    let mut came = 0;
    for _ in 0..2 {
        let mut child = nasty(folder.path(), &["data", "get", "cifar10", "--from", &base])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let range = requests.recv_timeout(Duration::from_secs(60)).expect("a request");
        assert_eq!(range, format!("{came}-"));
        let size = || std::fs::metadata(&part).map_or(0, |found| found.len());
        let waited = std::time::Instant::now();
        while size() < came + 1_000_000 {
            assert!(waited.elapsed() < Duration::from_secs(60), "{} bytes came", size());
            std::thread::sleep(Duration::from_millis(10));
        }
        came = size();
        let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill");
        assert!(killed.success());
        assert_eq!(child.wait().expect("it ends").code(), Some(75));
    }
    assert_eq!(came, 2_000_000);
}

#[test]
fn a_full_disk_is_an_error() {
    let folder = tempfile::tempdir().expect("temp");
    let (base, _requests) = server();
    // A limit on the size of files (in blocks of 512 or 1,024 bytes) stands for a full disk.
    let get = format!("exec {} data get cifar10 --from {base} --data-dir .", cargo_bin("nasty").display());
    let command = format!("ulimit -f 100; trap '' XFSZ; {get}");
    let output = Command::new("sh").args(["-c", &command]).current_dir(folder.path()).output().expect("sh");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(message.contains("cifar-10-binary.tar.gz.part: "), "{message}");
}
