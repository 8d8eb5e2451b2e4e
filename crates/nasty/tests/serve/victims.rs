//! Victims of others behind `nasty serve`: ONNX files, and other servers, which may be absent.

use crate::client::{Response, json_request};
use crate::server::{INFER, MEAN, STD, Server, assert_same, bearer, folder, images, key, logits, nasty};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// `count` images of levels 0 to 255, as numbers from 0 to 1 `[count, 3, 8, 8]`, and normalised for the network.
fn pictures(count: usize) -> (Vec<f32>, Vec<f32>) {
    let levels: Vec<u8> = images(0, count).iter().map(|v| ((v + 2.0) * 60.0) as u8).collect();
    let pixels: Vec<f32> = levels.iter().map(|level| f32::from(*level) / 255.0).collect();
    let normalised = pixels.iter().enumerate().map(|(i, v)| {
        let channel = i / 64 % 3;
        (v - MEAN[channel]) / STD[channel]
    });
    let normalised = normalised.collect();
    (pixels, normalised)
}

fn ask(server: &Server, pixels: &[f32]) -> Response {
    let body = json_request(pixels).to_string();
    server.client().send("POST", INFER, &[], body.as_bytes()).expect("an answer")
}

/// Exports the network in `folder` to `net.onnx`.
fn export(folder: &Path) {
    let written = nasty(folder, &["export", "net", "-o", "net.onnx"]).output().expect("the program starts");
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
}

#[test]
fn a_file_and_a_server_behind_a_server_answer_as_the_network_does() {
    let folder = folder();
    export(folder.path());
    let (pixels, normalised) = pictures(5);
    let expected = logits(folder.path(), &normalised);
    let near = |found: &[f32], what: &str| {
        let largest = expected.iter().fold(0f32, |most, v| most.max(v.abs()));
        assert_eq!(found.len(), expected.len(), "{what}");
        let off = found.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(off <= 1e-5 * largest, "{what}: off by {off}");
    };
    let file = Server::of(folder.path(), "net.onnx", &["--pixels"]);
    let of_file = ask(&file, &pixels).numbers();
    near(&of_file, "the file");
    let network = Server::start(folder.path(), &[]);
    for (behind, what) in [(&network, "a server of normalised images"), (&file, "a server of pixels")] {
        let outer = Server::of(folder.path(), &behind.url, &["--pixels"]);
        near(&ask(&outer, &pixels).numbers(), what);
        let about = outer.client().send("GET", "/v2/models/net", &[], b"").expect("an answer").json();
        assert_eq!(about["parameters"]["labels"], serde_json::json!(["cat", "dog", "fox"]), "{about}");
        // Three in a row, and a defence in front of the last one.
        let last = Server::of(folder.path(), &outer.url, &["--pixels", "--defence", "top-1"]);
        let served = ask(&last, &pixels);
        assert_eq!(served.json()["outputs"][0]["name"], "probabilities");
        let top = |row: &[f32]| (0..3).max_by(|a, b| row[*a].total_cmp(&row[*b])).expect("three");
        for (served, logits) in served.numbers().chunks(3).zip(expected.chunks(3)) {
            assert_eq!((served[top(logits)], served.iter().sum::<f32>()), (1.0, 1.0));
        }
    }
    // Numbers that no 8 bits hold would be rounded without a word.
    let refused = nasty(folder.path(), &["serve", "net.onnx", "--port", "0"]).output();
    let refused = refused.expect("the program starts");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("--pixels"), "{said}");
    assert_same(&ask(&file, &pixels).numbers(), &of_file, "the same image again");
}

/// The process that computes the model of `server`, its only child, if it runs.
fn worker(server: &Server) -> Option<String> {
    let parent = server.pid().to_string();
    std::fs::read_dir("/proc").expect("Linux").flatten().find_map(|entry| {
        let name =
            entry.file_name().into_string().ok().filter(|name| name.bytes().all(|b| b.is_ascii_digit()))?;
        let status = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        // `pid (name) state parent …`
        let mut rest = status.rsplit_once(") ")?.1.split(' ');
        let (state, of) = (rest.next()?, rest.next()?);
        (of == parent && state != "Z").then_some(name)
    })
}

fn signal(name: &str, process: &str) {
    let sent = std::process::Command::new("kill").args([name, process]).status();
    assert!(sent.expect("kill runs").success());
}

#[test]
fn a_model_whose_process_ends_answers_again_and_what_is_not_answered_costs_nothing() {
    let folder = folder();
    export(folder.path());
    std::fs::write(folder.path().join("keys.toml"), key("alice", "budget = 100")).expect("writable");
    let server = Server::of(folder.path(), "net.onnx", &["--pixels", "--keys", "keys.toml"]);
    let (pixels, _) = pictures(5);
    let (body, owner) = (json_request(&pixels).to_string(), bearer("alice"));
    let send = |method, path, body: &str| {
        let headers = [("Authorization", owner.as_str())];
        server.client().send(method, path, &headers, body.as_bytes()).expect("an answer")
    };
    let ask = || send("POST", INFER, &body);
    let left = |answer: &Response| answer.header("ratelimit").map(str::to_owned);
    let end = || {
        signal("-KILL", &worker(&server).expect("a process"));
        let begun = Instant::now();
        while worker(&server).is_some() {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let rows = ask().numbers();

    end();
    assert_same(&ask().numbers(), &rows, "it ended while nobody waited");

    // One that ends with a request under way: this one is told to come again.
    let process = worker(&server).expect("a process");
    let batches = || {
        let metrics = send("GET", "/metrics", "");
        let text = String::from_utf8(metrics.body).expect("text");
        let line = text.lines().find(|line| line.starts_with("nasty_batches_total"));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let before = batches();
    signal("-STOP", &process);
    let met = std::thread::scope(|scope| {
        let asked = scope.spawn(ask);
        while batches() == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        // From its batch to the process is no way.
        std::thread::sleep(Duration::from_millis(500));
        signal("-KILL", &process);
        asked.join().expect("no panic")
    });
    assert_eq!((met.status, met.header("retry-after")), (503, Some("1")), "{}", met.error());
    assert_eq!(left(&met).as_deref(), Some("\"budget\";r=90"), "what was not answered costs nothing");
    let told = met.error();
    assert!(told.contains("started again") && !told.contains("net.onnx"), "words for clients: {told}");
    server.until_it_says("the runtime's process ended (signal: 9");
    let answer = ask();
    assert_eq!(left(&answer).as_deref(), Some("\"budget\";r=85"));
    assert_same(&answer.numbers(), &rows, "the next request");

    // A model that ends each of its processes is let alone for a while.
    end();
    assert_same(&ask().numbers(), &rows, "the third new process");
    end();
    let rests = ask();
    let wait = rests.header("retry-after").and_then(|wait| wait.parse().ok()).unwrap_or(0);
    assert!(rests.status == 503 && (1..=60).contains(&wait), "{} {wait}", rests.status);
    assert_eq!(left(&rests).as_deref(), Some("\"budget\";r=80"));
    assert_eq!(send("GET", "/v2/health/live", "").status, 200);
}

/// A server that describes the model `net`, and answers requests with the status and headers that are set.
struct Upstream {
    url: String,
    says: Arc<Mutex<(u16, &'static str)>>,
}

impl Upstream {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}/v2/models/net", listener.local_addr().expect("bound"));
        let says = Arc::new(Mutex::new((200, "")));
        let shared = says.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let says = shared.clone();
                std::thread::spawn(move || {
                    // A client that hangs up is none of its business.
                    let _ = Self::serve(&stream, &says);
                });
            }
        });
        Self { url, says }
    }

    fn serve(mut stream: &TcpStream, says: &Mutex<(u16, &'static str)>) -> std::io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        loop {
            let (mut line, mut length) = (String::new(), 0);
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            loop {
                let mut header = String::new();
                reader.read_line(&mut header)?;
                let Some((name, value)) = header.trim_end().split_once(':') else { break };
                if name.eq_ignore_ascii_case("content-length") {
                    length = value.trim().parse().unwrap_or(0);
                }
            }
            reader.read_exact(&mut vec![0; length])?;
            let (status, headers, body) = if line.starts_with("GET") {
                let input =
                    serde_json::json!({ "name": "input", "datatype": "UINT8", "shape": [-1, 3, 8, 8] });
                let output = serde_json::json!({ "name": "logits", "datatype": "FP32", "shape": [-1, 3] });
                (
                    200,
                    "",
                    serde_json::json!({ "name": "net", "inputs": [input], "outputs": [output], "extensions": [] }),
                )
            } else {
                let (status, headers) = *says.lock().expect("no panic");
                if status == 0 {
                    // No answer, while the client waits.
                    std::thread::sleep(Duration::from_secs(30));
                }
                (status, headers, serde_json::json!({ "error": "secret-host is unwell" }))
            };
            let body = body.to_string();
            write!(stream, "HTTP/1.1 {status} X\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len())?;
        }
    }
}

#[test]
fn the_absence_of_the_server_behind_is_told_by_502_503_and_504() {
    let folder = folder();
    let upstream = Upstream::start();
    let outer = Server::of(folder.path(), &upstream.url, &["--pixels", "--request-timeout", "1"]);
    let (pixels, _) = pictures(2);
    for (says, status, retry_after, words) in [
        ((503, "Retry-After: 7\r\n"), 503, Some("7"), "is busy"),
        ((429, "Retry-After: 3600\r\n"), 503, Some("3600"), "is busy"),
        ((503, ""), 503, None, "is busy"),
        ((502, ""), 502, None, "does not answer"),
        ((504, ""), 504, None, "in time"),
        ((500, ""), 502, None, "does not answer"),
        ((401, ""), 502, None, "does not answer"),
        ((200, ""), 502, None, "does not answer"),
        ((0, ""), 504, None, "in time"),
    ] {
        *upstream.says.lock().expect("no panic") = says;
        let begun = Instant::now();
        let answer = ask(&outer, &pixels);
        assert_eq!((answer.status, answer.header("retry-after")), (status, retry_after), "{says:?}");
        let error = answer.error();
        assert!(error.contains(words) && !error.contains("secret-host"), "{says:?}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(15), "{says:?}: nobody is kept waiting");
    }
    outer.until_it_says("secret-host is unwell");

    // The server behind ends, and comes back.
    export(folder.path());
    let inner = Server::of(folder.path(), "net.onnx", &["--pixels"]);
    let port = inner.address.rsplit(':').next().expect("a port").to_owned();
    let outer = Server::of(folder.path(), &inner.url, &["--pixels"]);
    let rows = ask(&outer, &pixels).numbers();
    drop(inner);
    let answer = ask(&outer, &pixels);
    assert_eq!(answer.status, 502, "{}", answer.error());
    assert!(answer.error().contains("does not answer"), "{}", answer.error());
    assert_eq!(outer.client().send("GET", "/v2/health/live", &[], b"").expect("alive").status, 200);
    let _again = Server::of(folder.path(), "net.onnx", &["--pixels", "--port", &port]);
    assert_same(&ask(&outer, &pixels).numbers(), &rows, "it is back");
}
