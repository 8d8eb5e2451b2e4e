//! What good clients ask, in all ways of the protocol.

use crate::client::{binary_request, json_request};
use crate::server::{CLASSES, INFER, MEAN, STD, Server, assert_same, folder, images, logits};
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::{GzEncoder, ZlibEncoder};
use serde_json::{Value, json};
use std::io::{Read, Write};

const LENGTH: &str = "Inference-Header-Content-Length";

#[test]
fn every_way_of_asking_gives_the_networks_logits() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    let batch = images(0, 5);
    let expected = logits(folder.path(), &batch);
    let json = json_request(&batch);

    let flat = client.send("POST", INFER, &[], json.to_string().as_bytes()).expect("JSON");
    assert_same(&flat.numbers(), &expected, "flat");
    let answer = flat.json();
    assert_eq!(answer["id"], "7");
    assert_eq!((&answer["model_name"], &answer["model_version"]), (&json!("net"), &json!("1")));
    let output = &answer["outputs"][0];
    assert_eq!((&output["name"], &output["datatype"]), (&json!("logits"), &json!("FP32")));
    assert_eq!(output["shape"], json!([5, CLASSES]));
    assert_eq!(flat.header("content-type"), Some("application/json"));

    let mut nested = json.clone();
    let image = |i: usize| -> Vec<Vec<&[f32]>> {
        batch[192 * i..][..192].chunks(64).map(|plane| plane.chunks(8).collect()).collect()
    };
    nested["inputs"][0]["data"] = json!((0..5).map(image).collect::<Vec<_>>());
    nested["id"] = Value::Null;
    for path in [INFER, "/v2/models/net/infer/", "/v2/models/net/versions/1/infer"] {
        let headers = [("Content-Type", "text/plain")];
        let answer = client.send("POST", path, &headers, nested.to_string().as_bytes()).expect("JSON");
        assert_same(&answer.numbers(), &expected, path);
        assert_eq!(answer.json().get("id"), None);
    }

    let (body, length) = binary_request(&batch);
    let answer = client.send("POST", INFER, &[(LENGTH, &length)], &body).expect("binary");
    assert_same(&answer.numbers(), &expected, "binary");
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    assert_eq!(answer.json()["outputs"][0]["parameters"]["binary_data_size"], 4 * expected.len());

    let raw: Vec<u8> = batch[..192].iter().flat_map(|number| number.to_le_bytes()).collect();
    let answer = client.send("POST", INFER, &[(LENGTH, "0")], &raw).expect("a raw image");
    assert_same(&answer.numbers(), &expected[..CLASSES], "raw");
    // More images than a batch of the network.
    let many = images(0, 200);
    let (body, length) = binary_request(&many);
    let answer = client.send("POST", INFER, &[(LENGTH, &length)], &body).expect("binary");
    assert_same(&answer.numbers(), &logits(folder.path(), &many), "many");
}

#[test]
fn bodies_are_compressed_both_ways() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let mut client = server.client();
    let batch = images(3, 64);
    let expected = logits(folder.path(), &batch);
    let (body, length) = binary_request(&batch);
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&body).expect("memory");
    let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
    zlib.write_all(&body).expect("memory");
    let bodies = [("gzip", gzip.finish()), ("deflate", zlib.finish())];
    for (coding, body) in bodies {
        let headers = [("Content-Encoding", coding), (LENGTH, length.as_str())];
        let answer = client.send("POST", INFER, &headers, &body.expect("memory")).expect("an answer");
        assert_same(&answer.numbers(), &expected, coding);
        assert_eq!(answer.header("content-encoding"), None);
    }
    let plain = json_request(&batch).to_string();
    let headers = [("Accept-Encoding", "gzip")];
    let mut answer = client.send("POST", INFER, &headers, plain.as_bytes()).expect("an answer");
    assert_eq!(answer.header("content-encoding"), Some("gzip"));
    let mut unpacked = Vec::new();
    MultiGzDecoder::new(answer.body.as_slice()).read_to_end(&mut unpacked).expect("gzip");
    answer.body = unpacked;
    assert_same(&answer.numbers(), &expected, "gzip out");
}

#[test]
fn the_server_says_what_it_is() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--name", "my-net.2"]);
    assert!(server.url.starts_with("http://127.0.0.1:") && server.url.ends_with("/v2/models/my-net.2"));
    let mut client = server.client();
    let mut get = |path: &str| client.send("GET", path, &[], b"").expect(path);
    assert_eq!(get("/v2/health/live").json(), json!({ "live": true }));
    assert_eq!(get("/v2/health/ready/").json(), json!({ "ready": true }));
    assert_eq!(get("/v2/models/my-net.2/ready").json()["ready"], true);
    assert_eq!(get("/v2/models/my-net.2/versions/1/ready").status, 200);
    for path in ["/v2", "/v2/"] {
        assert_eq!(get(path).json()["extensions"], json!(["classification", "binary_tensor_data"]));
    }
    let metadata = get("/v2/models/my-net.2").json();
    let input = json!([{ "name": "input", "datatype": "FP32", "shape": [-1, 3, 8, 8] }]);
    let output = json!([{ "name": "logits", "datatype": "FP32", "shape": [-1, 3] }]);
    assert_eq!((&metadata["inputs"], &metadata["outputs"]), (&input, &output));
    assert_eq!(metadata["parameters"]["mean"], json!(MEAN));
    assert_eq!(metadata["parameters"]["labels"], json!(["cat", "dog", "fox"]));

    let document = get("/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().expect("paths");
    for (path, methods) in paths {
        for method in methods.as_object().expect("methods").keys() {
            let answer = client.send(&method.to_uppercase(), path, &[], b"").expect(path);
            let expected = if path.ends_with("/infer") { 400 } else { 200 };
            assert_eq!(answer.status, expected, "{path}");
        }
    }
    let metrics = client.send("GET", "/metrics", &[], b"").expect("metrics");
    let text = String::from_utf8(metrics.body).expect("text");
    assert!(text.contains("nasty_requests_total{model=\"my-net.2\",code=\"400\"} 2"), "{text}");
    assert!(text.contains("nasty_ready{model=\"my-net.2\"} 1"), "{text}");
}

#[test]
fn classes_come_in_words() {
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let batch = images(1, 2);
    let expected = logits(folder.path(), &batch);
    let mut request = json_request(&batch);
    request["outputs"] = json!([{ "name": "logits", "parameters": { "classification": 2 } }]);
    let answer = server.client().send("POST", INFER, &[], request.to_string().as_bytes()).expect("an answer");
    let output = answer.json()["outputs"][0].clone();
    assert_eq!((&output["datatype"], &output["shape"]), (&json!("BYTES"), &json!([2, 2])));
    for (words, row) in output["data"].as_array().expect("words").chunks(2).zip(expected.chunks(CLASSES)) {
        let mut order: Vec<usize> = (0..CLASSES).collect();
        order.sort_by(|a, b| row[*b].total_cmp(&row[*a]));
        for (word, class) in words.iter().zip(order) {
            let parts: Vec<&str> = word.as_str().expect("text").split(':').collect();
            assert_eq!((parts[1], parts[2]), (&*class.to_string(), ["cat", "dog", "fox"][class]));
            assert!((parts[0].parse::<f32>().expect("a number") - row[class]).abs() < 1e-5);
        }
    }
}

#[test]
fn pixels_are_normalised_by_the_server() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--pixels"]);
    let mut client = server.client();
    let levels: Vec<u8> = (0..2 * 192u32).map(|i| (i * 37 % 256) as u8).collect();
    let normalised: Vec<f32> = levels
        .iter()
        .enumerate()
        .map(|(i, level)| (f32::from(*level) / 255.0 - MEAN[i / 64 % 3]) / STD[i / 64 % 3])
        .collect();
    let expected = logits(folder.path(), &normalised);
    let metadata = client.send("GET", "/v2/models/net", &[], b"").expect("metadata").json();
    assert_eq!(metadata["inputs"][0]["datatype"], "UINT8");
    let request = |datatype: &str, data: Value| json!({ "inputs": [{ "name": "input", "datatype": datatype, "shape": [2, 3, 8, 8], "data": data }] });
    let shares: Vec<f32> = levels.iter().map(|level| f32::from(*level) / 255.0).collect();
    for request in [request("UINT8", json!(levels)), request("FP32", json!(shares))] {
        let answer = client.send("POST", INFER, &[], request.to_string().as_bytes()).expect("an answer");
        assert_same(&answer.numbers(), &expected, "pixels");
    }
    let answer = client.send("POST", INFER, &[(LENGTH, "0")], &levels[..192]).expect("a raw image");
    assert_same(&answer.numbers(), &expected[..CLASSES], "raw");
}

#[test]
fn defences_stand_in_front_and_do_not_depend_on_the_company() {
    let folder = folder();
    std::fs::write(folder.path().join("secret"), [b'x'; 32]).expect("writable");
    let defence = ["--defence", "logit-noise-keyed:1+top-k:2", "--secret-file", "secret"];
    let server = Server::start(folder.path(), &defence);
    let mut client = server.client();
    let metadata = client.send("GET", "/v2/models/net", &[], b"").expect("metadata").json();
    assert_eq!(metadata["outputs"][0]["name"], "probabilities");
    let mut ask = |images: &[f32]| {
        let request = json_request(images).to_string();
        client.send("POST", INFER, &[], request.as_bytes()).expect("an answer").numbers()
    };
    let together = ask(&images(0, 6));
    for (i, row) in together.chunks(CLASSES).enumerate() {
        assert_eq!(row.iter().filter(|p| **p > 0.0).count(), 2);
        assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        assert_eq!(ask(&images(i, 1)), row, "alone");
    }
    let restarted = Server::start(folder.path(), &defence);
    let request = json_request(&images(0, 6)).to_string();
    let again = restarted.client().send("POST", INFER, &[], request.as_bytes()).expect("an answer");
    assert_eq!(again.numbers(), together);

    let server = Server::start(folder.path(), &["--reveal", "label"]);
    let answer = server.client().send("POST", INFER, &[], request.as_bytes()).expect("an answer");
    for (row, logits) in answer.numbers().chunks(CLASSES).zip(logits(folder.path(), &images(0, 6)).chunks(3))
    {
        let best = (0..3).max_by(|a, b| logits[*a].total_cmp(&logits[*b])).expect("three");
        assert!((0..3).all(|class| row[class] == f32::from(u8::from(class == best))), "{row:?}");
    }
}

#[test]
fn requests_at_the_same_time_get_their_own_answers() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--max-batch", "7"]);
    let all = logits(folder.path(), &images(0, 100));
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let (server, all) = (&server, &all);
            scope.spawn(move || {
                let mut client = server.client();
                for round in 0..20 {
                    let (first, count) = ((thread * 11 + round) % 80, 1 + (thread + round) % 20);
                    let (body, length) = binary_request(&images(first, count));
                    let answer = client.send("POST", INFER, &[(LENGTH, &length)], &body).expect("an answer");
                    let expected = &all[first * CLASSES..][..count * CLASSES];
                    assert_same(&answer.numbers(), expected, "its own");
                }
            });
        }
    });
}
