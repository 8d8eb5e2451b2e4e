//! Clients that mean harm, or do not care.

use crate::client::{Client, binary_request, head, json_request};
use crate::server::{INFER, Server, assert_same, bearer, folder, images, key, logits, tell};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::fs;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const LENGTH: &str = "Inference-Header-Content-Length";

#[test]
fn a_flood_of_bad_requests_changes_nothing_for_the_good_ones() {
    let folder = folder();
    fs::write(folder.path().join("keys.toml"), key("alice", "budget = 200")).expect("writable");
    let server = Server::start(folder.path(), &["--keys", "keys.toml"]);
    let done = AtomicBool::new(false);
    let key = bearer("alice");
    let expected = logits(folder.path(), &images(0, 2));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (server, done, key) = (&server, &done, key.as_str());
            scope.spawn(move || {
                let bad = ["{\"inputs\":", "[]", "{\"inputs\":[{\"name\":\"input\"}]}", "\0\0\0"];
                let mut far = images(0, 2);
                far[300] = 1e30;
                let far = json_request(&far).to_string();
                let mut client = server.client();
                for round in 0.. {
                    if done.load(Ordering::Relaxed) {
                        return;
                    }
                    let (headers, body) = match (thread + round) % 3 {
                        0 => (&[][..], "x"),
                        1 => (&[("Authorization", key)][..], bad[round % bad.len()]),
                        _ => (&[("Authorization", key)][..], far.as_str()),
                    };
                    let answer = client.send("POST", INFER, headers, body.as_bytes()).expect("an answer");
                    assert!([400, 401].contains(&answer.status), "{}", answer.status);
                }
            });
        }
        let mut client = server.client();
        let (body, length) = binary_request(&images(0, 2));
        let headers = [(LENGTH, length.as_str()), ("Authorization", key.as_str())];
        for _ in 0..100 {
            let answer = client.send("POST", INFER, &headers, &body).expect("an answer");
            assert_same(&answer.numbers(), &expected, "in the flood");
        }
        // All of the budget went to good requests.
        assert_eq!(client.send("POST", INFER, &headers, &body).expect("an answer").status, 429);
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn slow_clients_lose_their_connections() {
    let folder = folder();
    let limits = ["--max-connections", "6", "--header-time", "1", "--body-time", "1"];
    let server = Server::start(folder.path(), &limits);
    let mut silent: Vec<Client> = (0..3).map(|_| server.client()).collect();
    let mut begun: Vec<Client> = (0..2).map(|_| server.client()).collect();
    begun.iter_mut().for_each(|client| client.write(b"POST /v2 HTTP/1.1\r\nX: ").expect("sent"));
    let mut body = server.client();
    body.write(head("POST", INFER, &[], 1000).as_bytes()).expect("sent");
    body.write(b"{").expect("sent");
    assert_eq!(body.read().expect("an answer").status, 408);
    for client in silent.iter_mut().chain(&mut begun) {
        // Closed, perhaps with a word.
        assert!(client.read().map_or(true, |answer| answer.status == 408));
    }
    // There is room again, also after connections were only opened.
    let begun = Instant::now();
    loop {
        let answer =
            server.client().send("POST", INFER, &[], json_request(&images(0, 1)).to_string().as_bytes());
        if answer.is_ok_and(|answer| answer.status == 200) {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no room");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn huge_requests_are_refused_in_bounded_memory() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--max-body", "16", "--max-memory", "64"]);
    let usual = {
        let request = json_request(&images(0, 1)).to_string();
        assert_eq!(
            server.client().send("POST", INFER, &[], request.as_bytes()).expect("an answer").status,
            200
        );
        server.peak_memory()
    };
    // Announced, or not.
    let mut client = server.client();
    client.write(head("POST", INFER, &[], 17 << 20).as_bytes()).expect("sent");
    assert_eq!(client.read().expect("an answer").status, 413);
    let mut client = server.client();
    client
        .write(
            format!("POST {INFER} HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes(),
        )
        .expect("sent");
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 1 << 16], b"\r\n"].concat();
    while client.write(&chunk).is_ok() {}
    assert!(client.read().map_or(true, |answer| answer.status == 413));
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    (0..1024).for_each(|_| bomb.write_all(&[b' '; 1 << 20]).expect("memory"));
    let bomb = bomb.finish().expect("memory");
    let answer =
        server.client().send("POST", INFER, &[("Content-Encoding", "gzip")], &bomb).expect("an answer");
    assert_eq!(answer.status, 413);
    // Short numbers become long ones; and all at the same time.
    let numbers = format!(
        r#"{{"inputs":[{{"name":"input","datatype":"FP32","shape":[1,3,8,8],"data":[{}1]}}]}}"#,
        "1,".repeat(7 << 20)
    );
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let Ok(mut client) = Client::connect(&server.address) else { return };
                // Some are refused before they are sent whole.
                if let Ok(answer) = client.send("POST", INFER, &[], numbers.as_bytes()) {
                    assert!([400, 503].contains(&answer.status), "{}", answer.status);
                    assert_eq!(answer.status == 503, answer.header("retry-after").is_some());
                }
            });
        }
    });
    let grown = server.peak_memory() - usual;
    // The allocator keeps what was freed. Without a bound it would be more than 1,500.
    assert!(grown < 4 * 64, "{grown} MiB more");
    let request = json_request(&images(0, 1)).to_string();
    assert_eq!(server.client().send("POST", INFER, &[], request.as_bytes()).expect("an answer").status, 200);
}

/// With keys, a log and every form of request. `NASTY_STEADY_REQUESTS` says how many.
#[test]
fn memory_is_steady() {
    let requests: usize =
        std::env::var("NASTY_STEADY_REQUESTS").map_or(4000, |n| n.parse().expect("a number"));
    let folder = folder();
    fs::write(folder.path().join("keys.toml"), key("alice", "")).expect("writable");
    let defence = ["--defence", "logit-noise:1", "--keys", "keys.toml", "--audit-log", "log"];
    let server = Server::start(folder.path(), &defence);
    let key = bearer("alice");
    let json = json_request(&images(0, 8)).to_string();
    let raw: Vec<u8> = images(0, 1).iter().flat_map(|number| number.to_le_bytes()).collect();
    let ask = |requests: usize| {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut client = server.client();
                    for round in 0..requests / 4 {
                        let (headers, body) = match round % 2 {
                            0 => (
                                &[("Authorization", &*key), ("Accept-Encoding", "gzip")][..],
                                json.as_bytes(),
                            ),
                            _ => (&[("Authorization", &*key), (LENGTH, "0")][..], raw.as_slice()),
                        };
                        let answer = client.send("POST", INFER, headers, body).expect("an answer");
                        assert_eq!(answer.status, 200, "{}", answer.error());
                        if round % 100 == 99 {
                            client = server.client();
                        }
                    }
                });
            }
        });
        server.memory("VmRSS:")
    };
    let early = ask(requests / 4);
    let late = ask(requests - requests / 4);
    tell(
        "NASTY_STEADY_REQUESTS",
        &format!("{requests} requests: {early} MiB after a quarter, {late} MiB in the end"),
    );
    assert!(late <= early + 64, "{early} MiB after a quarter, {late} MiB in the end");
}
