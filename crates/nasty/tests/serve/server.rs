//! The program as a server of a tiny network.

use crate::client::Client;
use assert_cmd::cargo::cargo_bin;
use nasty_teacher::burn::tensor::Device;
use nasty_teacher::nets::{Answering, Architecture, Input, NetworkConfig, load_known, save};
use sha2::{Digest, Sha256};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const CLASSES: usize = 3;
pub const MEAN: [f32; 3] = [0.4, 0.5, 0.6];
pub const STD: [f32; 3] = [0.2, 0.25, 0.3];
pub const INFER: &str = "/v2/models/net/infer";

/// A folder with the network `net`: 3 classes of 8×8 colour images.
pub fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("temp");
    let architecture: Architecture = "cnn2".parse().expect("a name");
    let input = Input { channels: 3, side: 8 };
    let network = architecture.build(CLASSES, input, 5, &Device::flex()).expect("it fits");
    let names = ["cat", "dog", "fox"].map(str::to_owned).to_vec();
    let config = NetworkConfig::new(&network, MEAN.to_vec(), STD.to_vec(), names);
    save(&folder.path().join("net"), &network, &config).expect("writable");
    folder
}

/// The network's logits for normalised `images` `[n, 3, 8, 8]`.
pub fn logits(folder: &Path, images: &[f32]) -> Vec<f32> {
    let device = Device::flex();
    let loaded = load_known(&folder.join("net"), &device).expect("it was saved");
    let last: Vec<f32> =
        images.chunks_exact(192).flat_map(|image| (0..192).map(|i| image[i % 3 * 64 + i / 3])).collect();
    Answering::new(&loaded.network, &device).logits(last)
}

/// `count` images `[3, 8, 8]` that differ, from the one of number `first` on.
pub fn images(first: usize, count: usize) -> Vec<f32> {
    (192 * first..192 * (first + count)).map(|i| ((i * 7919 % 1009) as f32) / 250.0 - 2.0).collect()
}

/// Asserts that two answers are the same up to rounding.
pub fn assert_same(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= 1e-6 * largest, "{what}: {found} for {expected}");
    }
}

pub fn nasty(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo_bin("nasty"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    command
}

/// `nasty serve net` with more arguments, which must end by itself.
pub fn ends(folder: &Path, more: &[&str]) -> Output {
    nasty(folder, &[&["serve", "net", "--port", "0"], more].concat()).output().expect("the program starts")
}

/// Says what was measured, where a person asked for more than continuous integration does.
pub fn tell(asked: &str, figures: &str) {
    if std::env::var_os(asked).is_some() {
        let _ = writeln!(std::io::stderr(), "{figures}");
    }
}

/// Entries of a file of keys: the key of `name` is `NAME's key`.
pub fn key(name: &str, settings: &str) -> String {
    let digest: String = Sha256::digest(format!("{name}'s key")).iter().map(|b| format!("{b:02x}")).collect();
    format!("[{name}]\nsha256 = '{digest}'\n{settings}\n")
}

/// The header that gives the key of `name`.
pub fn bearer(name: &str) -> String {
    format!("Bearer {name}'s key")
}

/// A server that runs. Killed when it is dropped.
pub struct Server {
    child: Child,
    said: Arc<Mutex<String>>,
    listener: Option<JoinHandle<()>>,
    pub address: String,
    pub url: String,
}

impl Server {
    /// Serves the network in `folder` at a free port.
    pub fn start(folder: &Path, more: &[&str]) -> Self {
        Self::of(folder, "net", more)
    }

    /// Serves `victim`, which is called `net`, at a free port unless `more` says which.
    pub fn of(folder: &Path, victim: &str, more: &[&str]) -> Self {
        let port: &[&str] = if more.contains(&"--port") { &[] } else { &["--port", "0"] };
        let arguments = [&["serve", victim][..], port, more].concat();
        let mut child = nasty(folder, &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let said = Arc::new(Mutex::new(String::new()));
        let (stderr, heard) = (child.stderr.take().expect("piped"), said.clone());
        let listener = std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                *heard.lock().expect("whole") += &format!("{line}\n");
            }
        });
        let mut url = String::new();
        let stdout = child.stdout.take().expect("piped");
        BufReader::new(stdout).read_line(&mut url).expect("text");
        if url.is_empty() {
            listener.join().expect("no panic");
            panic!("{arguments:?}: {}", said.lock().expect("whole"));
        }
        let url = url.trim().to_owned();
        let address = url.split('/').nth(2).expect("an address").to_owned();
        Self { child, said, listener: Some(listener), address, url }
    }

    pub fn client(&self) -> Client {
        Client::connect(&self.address).expect("it listens")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Waits until it has said `words`.
    pub fn until_it_says(&self, words: &str) {
        let begun = Instant::now();
        while !self.said.lock().expect("whole").contains(words) {
            assert!(begun.elapsed() < Duration::from_secs(60), "it does not say {words}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// How it ended, and what it said.
    pub fn wait(mut self) -> (ExitStatus, String) {
        let begun = Instant::now();
        while self.child.try_wait().expect("a child").is_none() {
            assert!(begun.elapsed() < Duration::from_secs(60), "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        self.listener.take().expect("not joined yet").join().expect("no panic");
        let said = self.said.lock().expect("whole").clone();
        (self.child.wait().expect("it ended"), said)
    }

    /// The most memory that it ever had, in MiB.
    pub fn peak_memory(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// A line of its status, in MiB.
    pub fn memory(&self, line: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("Linux");
        let line = status.lines().find_map(|found| found.strip_prefix(line)).expect("a line");
        line.trim().trim_end_matches(" kB").parse::<usize>().expect("a number") / 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
