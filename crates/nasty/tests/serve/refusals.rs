//! What the server refuses to answer, and what it refuses to start with.

use crate::client::{Client, json_request};
use crate::server::{INFER, Server, ends, folder, images, key};
use serde_json::{Value, json};
use std::fs;

#[test]
fn every_fault_of_a_client_is_a_4xx_with_one_clear_error() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--max-images", "4"]);
    let mut client = server.client();
    let request = |change: &dyn Fn(&mut Value)| {
        let mut request = json_request(&images(0, 1));
        change(&mut request);
        request.to_string()
    };
    let input = |key: &'static str, value: Value| request(&|r| r["inputs"][0][key] = value.clone());
    let many = request(&|r| r["inputs"] = json_request(&images(0, 5))["inputs"].clone());
    let mut far = images(0, 1);
    far[7] = 3e38;
    for (method, path, headers, body, status, needle) in [
        ("POST", INFER, &[][..], "{".to_owned(), 400, "not JSON"),
        ("POST", INFER, &[], String::new(), 400, "not JSON"),
        ("POST", INFER, &[], "{}".into(), 400, "inputs"),
        ("POST", INFER, &[], input("name", json!("x")), 400, "expected the input `input`"),
        ("POST", INFER, &[], input("datatype", json!("FP64")), 400, "expected datatype FP32"),
        ("POST", INFER, &[], input("datatype", json!("UINT8")), 400, "expected datatype FP32"),
        ("POST", INFER, &[], input("shape", json!([1, 8, 8, 3])), 400, "expected shape [-1, 3, 8, 8]"),
        ("POST", INFER, &[], input("shape", json!([2, 3, 8, 8])), 400, "expected 384 numbers"),
        ("POST", INFER, &[], input("data", json!([1.0])), 400, "expected 192 numbers"),
        ("POST", INFER, &[], json_request(&far).to_string(), 400, "at most 1000000"),
        ("POST", INFER, &[], many, 413, "5 images in one request, at most 4"),
        ("POST", INFER, &[], request(&|r| r["outputs"] = json!([{ "name": "x" }])), 400, "expected `logits`"),
        ("POST", INFER, &[("Content-Encoding", "br")], "{}".into(), 415, "found `br`"),
        ("POST", INFER, &[("Content-Encoding", "gzip")], "{}".into(), 400, "cannot be decompressed"),
        ("POST", INFER, &[("Inference-Header-Content-Length", "x")], "{}".into(), 400, "expected a number"),
        ("POST", INFER, &[("Inference-Header-Content-Length", "9")], "{}".into(), 400, "has 2 bytes"),
        ("POST", "/v2/models/other/infer", &[], request(&|_| {}), 404, "expected the model `net`"),
        ("POST", "/v2/models/net/versions/2/infer", &[], request(&|_| {}), 404, "expected version 1"),
        ("POST", "/v2/models/%ff/infer", &[], request(&|_| {}), 400, ""),
        ("GET", INFER, &[], String::new(), 405, "does not take GET"),
        ("DELETE", "/v2", &[], String::new(), 405, "does not take DELETE"),
        ("GET", "/v2/models", &[], String::new(), 404, "/openapi.json"),
        ("GET", "/", &[], String::new(), 404, "/openapi.json"),
        ("GET", "/v2/models/other/ready", &[], String::new(), 404, "expected the model `net`"),
    ] {
        let answer = client.send(method, path, headers, body.as_bytes()).expect(path);
        assert_eq!(answer.status, status, "{method} {path} {body:.200}: {}", answer.error());
        assert!(answer.error().contains(needle), "{} without {needle}", answer.error());
        assert_eq!(answer.header("content-type"), Some("application/json"));
        if status == 405 {
            assert!(answer.header("allow").is_some(), "{:?}", answer.headers);
        }
    }
    let good = client.send("POST", INFER, &[], request(&|_| {}).as_bytes()).expect("the connection is good");
    assert_eq!(good.status, 200);
    // Faults of the transport itself.
    for bytes in
        ["GARBAGE\r\n\r\n".to_owned(), format!("GET / HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20))]
    {
        let mut client = Client::connect(&server.address).expect("it listens");
        let _ = client.write(bytes.as_bytes());
        // It may hang up while the client still writes.
        if let Ok(answer) = client.read() {
            assert!((400..500).contains(&answer.status), "{answer:?}");
        }
    }
}

#[test]
fn a_server_that_should_not_start_says_why() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("keys.toml"), key("alice", "budget = 10")).expect("writable");
    fs::write(here.join("bad.toml"), "[alice]\nsha256 = 'x'\n").expect("writable");
    let busy = Server::start(here, &["--keys", "keys.toml"]);
    let port = busy.address.rsplit(':').next().expect("a port");
    for (arguments, code, needle) in [
        (&["--host", "0.0.0.0"][..], 2, "--public"),
        (&["--host", "::"], 2, "without API keys"),
        (&["--port", port], 2, "cannot listen at 127.0.0.1"),
        (&["--keys", "keys.toml"], 3, "in use by another server"),
        (&["--keys", "none.toml"], 3, "none.toml"),
        (&["--keys", "bad.toml"], 3, "alice: expected sha256"),
        (&["--ledger", "x"], 2, "--keys"),
        (&["--tls-key", "x"], 2, "--tls-certificate"),
        (&["--tls-key", "keys.toml", "--tls-certificate", "keys.toml"], 3, "keys.toml: "),
        (&["--audit-log", "no/such/folder"], 3, "no/such/folder"),
        (&["--name", "a/b"], 2, "--name"),
        (&["--defence", "top-7"], 2, "top-7"),
        (&["--defence", "keyed-shuffle"], 2, "secret"),
        (&["--defence", "top-1", "--reveal", "logits"], 2, "logits"),
        (&["--reveal", "top-k:9"], 2, "expected 1 to 3"),
        (&["--max-batch", "0"], 2, "--max-batch"),
    ] {
        // The last one given counts.
        let output = if arguments.contains(&"--port") {
            crate::server::nasty(here, &[&["serve", "net"], arguments].concat()).output().expect("it starts")
        } else {
            ends(here, arguments)
        };
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(needle) && output.stdout.is_empty(), "{arguments:?}: {said}");
    }
    let missing = crate::server::nasty(here, &["serve", "nothing"]).output().expect("it starts");
    assert_eq!(missing.status.code(), Some(3));
    // Keys make another address safe to serve; nothing is bound here, for the certificate is missing.
    let arguments = ["--host", "0.0.0.0", "--keys", "keys.toml", "--tls-key", "x", "--tls-certificate", "x"];
    let said = String::from_utf8_lossy(&ends(here, &arguments).stderr).into_owned();
    assert!(said.contains("expected certificates in PEM"), "{said}");
}
