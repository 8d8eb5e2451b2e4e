//! Victims of others behind `nasty serve`: ONNX files, and other servers, which may be absent.

use crate::client::{Response, json_request};
use crate::server::{INFER, MEAN, STD, Server, assert_same, folder, images, logits, nasty};
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
