//! How a server ends.

use crate::client::{Client, head, json_request};
use crate::server::{INFER, Server, folder, images};
use std::time::{Duration, Instant};

#[test]
fn sigterm_finishes_what_is_under_way_and_exits_0() {
    let folder = folder();
    let server = Server::start(folder.path(), &["--grace", "3"]);
    let body = json_request(&images(0, 2)).to_string();
    let (first, second) = body.as_bytes().split_at(body.len() / 2);
    let mut slow = server.client();
    slow.write(head("POST", INFER, &[], body.len()).as_bytes()).expect("sent");
    slow.write(first).expect("sent");
    let mut idle = server.client();
    assert_eq!(idle.send("GET", "/v2/health/ready", &[], b"").expect("an answer").status, 200);

    server.signal("-TERM");
    let begun = Instant::now();
    // Not ready, on old connections and on new ones; alive, and it still answers.
    while idle.send("GET", "/v2/health/ready", &[], b"").expect("an answer").status != 503 {
        assert!(begun.elapsed() < Duration::from_secs(2), "it is still ready");
    }
    let mut new = server.client();
    for (path, status) in [("/v2/models/net/ready", 503), ("/v2/health/live", 200), ("/v2/models/net", 200)] {
        assert_eq!(new.send("GET", path, &[], b"").expect("an answer").status, status, "{path}");
    }
    // The grace is over: nobody is let in, and what began before is finished.
    while Client::connect(&server.address).is_ok() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it still listens");
        std::thread::sleep(Duration::from_millis(20));
    }
    slow.write(second).expect("sent");
    assert_eq!(slow.read().expect("an answer").numbers().len(), 6);
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
    assert!(said.contains("requests under way are finished"), "{said}");
}

#[test]
fn a_second_signal_ends_at_once_and_no_client_holds_up_the_end() {
    let folder = folder();
    for (second, drain, code) in [(Some("-TERM"), "30", 143), (Some("-INT"), "30", 130), (None, "1", 0)] {
        let server = Server::start(folder.path(), &["--drain", drain]);
        let mut dribble = server.client();
        dribble.write(head("POST", INFER, &[], 1 << 20).as_bytes()).expect("sent");
        dribble.write(b"{").expect("sent");
        // The request must have begun.
        let mut other = server.client();
        assert_eq!(other.send("GET", "/v2/health/live", &[], b"").expect("an answer").status, 200);
        server.signal("-TERM");
        while Client::connect(&server.address).is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(second) = second {
            server.signal(second);
        }
        let (status, said) = server.wait();
        assert_eq!(status.code(), Some(code), "{second:?}: {said}");
    }
}
