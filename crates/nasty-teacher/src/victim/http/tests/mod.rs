mod server;

use super::client::{JSON_LENGTH, Reply};
use super::*;
use crate::data::ImageSet;
use crate::victim::{SecretHeader, Tensors, White};
use proptest::prelude::*;
use serde_json::{Value, json};
use server::{Said as Answer, Seen, Server};
use std::sync::Arc;
use std::time::Duration;

fn metadata() -> Value {
    json!({
        "name": "m", "versions": ["1"], "platform": "x",
        "inputs": [{ "name": "in", "datatype": "FP32", "shape": [-1, 3, 2, 2] }],
        "outputs": [{ "name": "logits", "datatype": "FP32", "shape": [-1, 3] }],
    })
}

fn images(count: usize) -> ImageSet {
    let pixels = (0..count * 12).map(|i| (i * 83 % 256) as u8).collect();
    ImageSet::new(2, 2, 3, pixels, vec![0; count])
}

/// Mean of each channel of each image, pixels from 0 to 255.
fn means(count: usize) -> Vec<f32> {
    let mean =
        |image: &[u8], c: usize| image.iter().skip(c).step_by(3).map(|p| f32::from(*p)).sum::<f32>() / 4.0;
    images(count).images().flat_map(|image| (0..3).map(|c| mean(image, c)).collect::<Vec<_>>()).collect()
}

fn full() -> Asking {
    Asking { white: Some(White::Full), ..Asking::default() }
}

/// The numbers of an inference request, and whether they came as bytes.
fn sent(seen: &Seen) -> (Value, Vec<f32>, bool) {
    match seen.header(JSON_LENGTH) {
        Some(length) => {
            let (head, tensor) = seen.body.split_at(length.parse().expect("a number"));
            let values = data::raw(tensor, "FP32").expect("floats");
            (serde_json::from_slice(head).expect("JSON"), values, true)
        }
        None => {
            let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
            let values = data::flat(&body["inputs"][0]["data"]).expect("numbers");
            (body, values, false)
        }
    }
}

/// What a model that answers with the channels' means says.
fn mean_model(seen: &Seen, understands_bytes: bool, raw_answers: bool) -> Answer {
    match seen.line.as_str() {
        "GET /v2 HTTP/1.1" => return Answer::json(200, json!({ "extensions": ["binary_tensor_data"] })),
        line if line.starts_with("GET") => return Answer::json(200, metadata()),
        _ => {}
    }
    let (head, values, bytes) = sent(seen);
    if bytes && !understands_bytes {
        return Answer::json(422, json!({ "detail": [{ "msg": "no JSON" }] }));
    }
    let rows: Vec<f32> = values.chunks(4).map(|channel| channel.iter().sum::<f32>() / 4.0).collect();
    let shape = [rows.len() / 3, 3, 1, 1];
    if raw_answers {
        let tensor: Vec<u8> = rows.iter().flat_map(|v| v.to_le_bytes()).collect();
        let output = json!({ "name": "logits", "datatype": "FP32", "shape": shape, "parameters": { "binary_data_size": tensor.len() } });
        let head = json!({ "id": head["id"], "outputs": [output] }).to_string().into_bytes();
        let headers = vec![(JSON_LENGTH, head.len().to_string())];
        return Answer { status: 200, headers, body: [head, tensor].concat(), cut: false };
    }
    Answer::json(
        200,
        json!({ "id": head["id"], "outputs": [{ "name": "logits", "datatype": "FP32", "shape": shape, "data": rows }] }),
    )
}

fn open(server: &Server, asking: &Asking, settings: &HttpSettings) -> Result<Http, VictimError> {
    let victim = Http::open(&format!("{}/v2/models/m", server.address), asking, settings)?;
    Ok(victim.impatient(Duration::from_millis(1)))
}

fn rows(victim: &Http, count: usize) -> Result<Vec<f32>, VictimError> {
    victim.ask(&Request::unchanged(&images(count))).map(|answers| answers.rows)
}

#[test]
fn bytes_and_json_give_the_same_rows_and_opening_asks_nothing() {
    for (bytes, raw, tensors) in [
        (true, true, Tensors::Auto),
        (true, false, Tensors::Auto),
        (false, false, Tensors::Auto),
        (true, false, Tensors::Json),
    ] {
        let server = Server::start(move |seen, _| mean_model(seen, bytes, raw));
        let settings = HttpSettings { tensors, ..HttpSettings::default() };
        let victim = open(&server, &full(), &settings).expect("a model");
        let bytes = bytes && tensors == Tensors::Auto;
        assert_eq!(server.seen("POST").len(), 0);
        assert_eq!((victim.scale(), victim.classes(), victim.batch), (Scale::Logits, 3, BATCH));
        assert_eq!(rows(&victim, 37).expect("rows"), means(37));
        assert_eq!(victim.queries(), 37);
        let before = server.seen("POST").len();
        rows(&victim, 3).expect("rows");
        let posts = server.seen("POST");
        // Once it is known that bytes are not understood, they are not tried again.
        assert_eq!((posts.len() - before, sent(posts.last().expect("one")).2), (1, bytes));
    }
}

#[test]
fn the_description_decides_what_nobody_says() {
    let mut said = metadata();
    said["parameters"] =
        json!({ "mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25], "labels": ["a", "b", "c"] });
    let describe = |said: &Value| {
        let said = said.clone();
        Server::start(move |_, _| Answer::json(200, &said))
    };
    let server = describe(&said);
    let victim = open(&server, &Asking::default(), &HttpSettings::default()).expect("a model");
    assert_eq!((victim.guesses(), victim.names().len()), (&[][..], 3));
    assert_eq!(victim.encoding().mean, [0.5; 3]);
    for (pointer, value, words) in [
        ("/outputs/0/name", json!("scores"), "logits or probabilities"),
        ("/outputs/0/shape", json!([-1, -1]), "how many classes"),
        ("/inputs/0/shape", json!([-1, 3, 2, 4]), "square images"),
        ("/inputs/0/datatype", json!("INT8"), "found INT8"),
        ("/inputs", json!([]), "one input, found 0"),
        ("/outputs", json!([]), "expected one output"),
    ] {
        let mut other = metadata();
        *other.pointer_mut(pointer).expect("there") = value;
        let error = open(&describe(&other), &Asking::default(), &HttpSettings::default())
            .err()
            .expect(words)
            .to_string();
        assert!(error.contains(words), "{error}");
    }
    let classes = Asking { classes: Some(4), ..full() };
    let error = open(&server, &classes, &HttpSettings::default()).err().expect("three").to_string();
    assert!(error.contains("its answers have 3"), "{error}");
}

#[test]
fn a_busy_server_is_asked_again_and_an_absent_one_given_up() {
    let busy = |wait: Option<&'static str>| {
        Server::start(move |seen, _| {
            if seen.line.starts_with("GET") {
                return mean_model(seen, true, true);
            }
            let headers = wait.map(|wait| ("Retry-After", wait.to_owned())).into_iter().collect();
            Answer { headers, ..Answer::json(429, json!({ "error": "slow down" })) }
        })
    };
    let server = busy(None);
    let victim = open(&server, &full(), &HttpSettings::default()).expect("a model");
    let error = rows(&victim, 1).expect_err("always busy");
    assert!(error.to_string().contains("status 429: slow down"), "{error}");
    assert!(matches!(error, VictimError::Unavailable { sent: false, .. }));
    assert_eq!((server.seen("POST").len(), victim.queries()), (6, 0));
    let server = busy(Some("3600"));
    let victim = open(&server, &full(), &HttpSettings::default()).expect("a model");
    assert!(rows(&victim, 1).expect_err("for an hour").to_string().contains("asks to wait 3600 s"));
    assert_eq!(server.seen("POST").len(), 1);

    // Busy twice, in both ways, then answered.
    let server = Server::start(|seen, before| match (seen.line.starts_with("GET"), before) {
        (false, 2) => Answer { headers: vec![("Retry-After", "0".into())], ..Answer::json(429, "{}") },
        (false, 3) => Answer::json(503, ""),
        _ => mean_model(seen, true, true),
    });
    let victim = open(&server, &full(), &HttpSettings::default()).expect("a model");
    assert_eq!(rows(&victim, 2).expect("in the end"), means(2));

    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound");
    let client = Client::new("http://127.0.0.1", &HttpSettings::default()).expect("no headers");
    let trouble = client.impatient(Duration::from_millis(1)).get(&format!("http://{nobody}/v2/models/m"));
    assert!(matches!(trouble, Err(Trouble::Unavailable { sent: false, .. })), "{:?}", trouble.map(|_| ()));
}

#[test]
fn an_answer_that_is_lost_on_the_way_is_not_asked_for_in_secret() {
    let server = Server::start(|seen, _| Answer {
        cut: seen.line.starts_with("POST"),
        ..mean_model(seen, true, true)
    });
    let victim = open(&server, &full(), &HttpSettings::default()).expect("a model");
    let error = rows(&victim, 2).expect_err("cut off");
    assert!(matches!(error, VictimError::Unavailable { sent: true, .. }), "{error}");
    assert_eq!(server.seen("POST").len(), 1);
}

#[test]
fn refusals_say_what_the_server_says() {
    for (status, body, words) in [
        (401, r#"{"error": "no key"}"#, "status 401: no key"),
        (404, r#"{"detail": "no model"}"#, "status 404: no model"),
        (500, r#"{"error": {"message": "bug"}}"#, "status 500: bug"),
        (413, "<h1>\u{7}too large</h1>", "status 413: <h1> too large</h1>"),
        (400, "", "status 400: no reason given"),
    ] {
        let server = Server::start(move |seen, _| {
            if seen.line.starts_with("GET") {
                mean_model(seen, true, true)
            } else {
                Answer::json(status, body)
            }
        });
        let victim = open(&server, &full(), &HttpSettings::default()).expect("a model");
        let error = rows(&victim, 1).expect_err(words).to_string();
        assert!(error.contains(words), "{error}");
    }
    let server = Server::start(|_, _| Answer {
        headers: vec![("Location", "http://elsewhere/".into())],
        ..Answer::json(302, "")
    });
    let error = open(&server, &full(), &HttpSettings::default()).err().expect("a redirection").to_string();
    assert!(error.contains("it redirects to http://elsewhere/"), "{error}");
    let error = |address: &str| {
        Http::open(address, &full(), &HttpSettings::default()).err().expect("refused").to_string()
    };
    assert!(error("http://127.0.0.1:1").contains("/v2/models/NAME"));
    let secret = error("http://me:secret@127.0.0.1:1/v2/models/m");
    assert!(secret.contains("name or password") && !secret.contains("secret@"), "{secret}");
}

#[test]
fn answers_that_are_none_are_explained() {
    let output = |data: Value| json!({ "outputs": [{ "name": "logits", "datatype": "FP32", "shape": [1, 3], "data": data }] });
    for (body, words) in [
        ("{".to_owned(), "it is no JSON"),
        ("{}".to_owned(), "it has no outputs"),
        (json!({ "outputs": [{ "name": "other", "data": [1, 2, 3] }] }).to_string(), "no output logits"),
        (output(json!([1, 2])).to_string(), "expected 1 rows of 3 numbers, found 2"),
        (output(json!("x")).to_string(), "no FP32 numbers"),
        (output(json!([1, 2, 1e39])).to_string(), "an answer has inf"),
        (json!({ "id": "another", "outputs": [] }).to_string(), "answer to the request another"),
        (format!("{{\"x\": \"{}\"}}", "y".repeat(2 << 20)), "an answer of more than"),
        (
            json!({ "outputs": [{ "name": "logits", "parameters": { "binary_data_size": 12 } }] })
                .to_string(),
            "cut off",
        ),
    ] {
        let server = Server::start(move |seen, _| {
            if seen.line.starts_with("GET") { mean_model(seen, true, true) } else { Answer::json(200, &body) }
        });
        let victim = open(&server, &full(), &HttpSettings::default()).expect("a model");
        let error = rows(&victim, 1).expect_err(words).to_string();
        assert!(error.contains(words), "{error} without {words}");
    }
}

#[test]
fn no_more_requests_at_once_than_allowed_and_a_failure_ends_them() {
    let at_once = Arc::new((AtomicUsize::new(0), AtomicUsize::new(0)));
    let counts = at_once.clone();
    let server = Server::start(move |seen, _| {
        if seen.line.starts_with("GET") {
            return mean_model(seen, true, true);
        }
        let now = counts.0.fetch_add(1, Ordering::SeqCst) + 1;
        counts.1.fetch_max(now, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(20));
        let answer = mean_model(seen, true, true);
        counts.0.fetch_sub(1, Ordering::SeqCst);
        answer
    });
    let settings = HttpSettings { batch: Some(1), requests: Some(3), ..HttpSettings::default() };
    let victim = open(&server, &full(), &settings).expect("a model");
    assert_eq!(rows(&victim, 24).expect("rows"), means(24));
    assert_eq!((server.seen("POST").len(), at_once.1.load(Ordering::SeqCst)), (24, 3));

    let server = Server::start(|seen, _| {
        if seen.line.starts_with("GET") { mean_model(seen, true, true) } else { Answer::json(403, "{}") }
    });
    let victim = open(&server, &full(), &HttpSettings { requests: Some(1), ..settings }).expect("a model");
    rows(&victim, 24).expect_err("forbidden");
    // Bytes, then JSON.
    assert_eq!((server.seen("POST").len(), victim.queries()), (2, 0));
}

#[test]
fn secrets_come_from_the_environment_and_stand_nowhere() {
    let header = |variable: &str| HttpSettings {
        headers: vec![SecretHeader { name: "X-Key".into(), variable: variable.into() }],
        ..HttpSettings::default()
    };
    let server = Server::start(|seen, _| mean_model(seen, true, true));
    // Cargo sets it.
    let victim = open(&server, &full(), &header("CARGO_PKG_NAME")).expect("a model");
    rows(&victim, 1).expect("rows");
    assert!(server.seen("").iter().all(|seen| seen.header("x-key") == Some("nasty-teacher")));
    assert!(!victim.notes().concat().contains("X-Key"));
    let error = open(&server, &full(), &header("NO_SUCH_VARIABLE")).err().expect("not set").to_string();
    assert!(error.contains("NO_SUCH_VARIABLE of the environment, which is not set"), "{error}");
}

#[test]
fn other_protocols_are_spoken() {
    let server = Server::start(|seen, _| {
        let body: Value = serde_json::from_slice(&seen.body).expect("JSON");
        let rows: Vec<Vec<f32>> = body["instances"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|image| {
                data::flat(image)
                    .expect("numbers")
                    .chunks(4)
                    .map(|channel| channel.iter().sum::<f32>() / 4.0)
                    .collect()
            })
            .collect();
        Answer::json(200, json!({ "predictions": rows }))
    });
    let asking = Asking {
        classes: Some(3),
        output: Some(Scale::Logits),
        layout: Some(crate::victim::Layout::Nchw),
        ..full()
    };
    let address = format!("{}/v1/models/m:predict", server.address);
    let victim = Http::open(&address, &asking, &HttpSettings::default()).expect("nothing is asked");
    assert_eq!(rows(&victim, 20).expect("rows"), means(20));

    let folder = tempfile::tempdir().expect("temp");
    let template = folder.path().join("t.json");
    std::fs::write(&template, r#"{"body": {"picture": "$png"}, "scores": "/scores"}"#).expect("writable");
    let server =
        Server::start(|_, _| Answer::json(200, json!({ "scores": [{ "label": "b", "score": 0.75 }] })));
    let names = ["a", "b"].map(str::to_owned).to_vec();
    let asking = Asking { labels: Some(names), output: Some(Scale::Probabilities), ..Asking::default() };
    let settings = HttpSettings { template: Some(template), ..HttpSettings::default() };
    let victim = Http::open(&server.address, &asking, &settings).expect("nothing is asked");
    assert_eq!((rows(&victim, 2).expect("rows"), victim.guesses()), (vec![0.0, 0.75, 0.0, 0.75], &[][..]));
    assert_eq!(server.seen("POST").len(), 2);
}

fn inference() -> Inference {
    let server = Server::start(|seen, _| mean_model(seen, true, true));
    let client = Client::new(&server.address, &HttpSettings::default()).expect("no headers");
    let metadata = Inference::describe(&format!("{}/v2/models/m", server.address), &client);
    Inference::new(&server.address, &metadata.expect("a description"), &client, Default::default())
        .expect("a model")
}

/// Replies between a right one and noise.
fn replies() -> impl Strategy<Value = Reply> {
    let number = prop_oneof![Just("1".to_owned()), Just("-0.5e3".to_owned()), "[\\[\\]{}\",:0-9a-z.-]{0,8}"];
    let body = prop::collection::vec(number, 0..8).prop_map(|parts| {
        format!(
            r#"{{"id":"x","outputs":[{{"name":"logits","datatype":"FP32","shape":[2,3],"data":[{}]}}]}}"#,
            parts.join(",")
        )
    });
    let noise = prop::collection::vec(any::<u8>(), 0..64);
    let raw = (
        any::<u16>(),
        prop::collection::vec(any::<u8>(), 0..40),
        prop_oneof![Just("FP32"), Just("FP64"), Just("FP16"), Just("BYTES"), Just("X")],
    );
    let raw = raw.prop_map(|(size, tensor, kind)| {
        let size = u64::from(size) % 48;
        let head = json!({ "outputs": [{ "name": "logits", "datatype": kind, "parameters": { "binary_data_size": size } }] });
        let head = head.to_string().into_bytes();
        Reply { json_length: Some(head.len()), body: [head, tensor].concat() }
    });
    prop_oneof![
        body.prop_map(|body| Reply { json_length: None, body: body.into_bytes() }),
        (noise, prop::option::of(0usize..80)).prop_map(|(body, json_length)| Reply { json_length, body }),
        raw,
    ]
}

#[test]
fn replies_of_any_kind_are_rows_or_an_error() {
    let model = inference();
    let template = r#"{"body": "$flat", "scores": "/outputs/0/data"}"#;
    let folder = tempfile::tempdir().expect("temp");
    std::fs::write(folder.path().join("t"), template).expect("writable");
    let template = Template::read(&folder.path().join("t")).expect("a template");
    let right = AtomicUsize::new(0);
    proptest!(ProptestConfig::with_cases(cases(20_000)), |(reply in replies())| {
        if let Ok(rows) = model.read(&reply, "x", 2, 3) {
            prop_assert_eq!(rows.len(), 6);
            right.fetch_add(1, Ordering::Relaxed);
        }
        if let Ok(rows) = predict::read(&reply.body, 2, 3) {
            prop_assert_eq!(rows.len(), 6);
        }
        if let Ok(row) = template.scores(&reply.body, &[], 3) {
            prop_assert_eq!(row.len(), 3);
        }
    });
    assert!(right.load(Ordering::Relaxed) > 0, "some replies are right");
}

/// How many cases: `NASTY_FUZZ_CASES`, or else `usual`.
fn cases(usual: u32) -> u32 {
    std::env::var("NASTY_FUZZ_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}
