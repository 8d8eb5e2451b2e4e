//! Keys, rates and budgets, over restarts and kill -9.

use crate::client::{Client, Response, binary_request};
use crate::server::{INFER, Server, bearer, folder, images, key, tell};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

const LENGTH: &str = "Inference-Header-Content-Length";

/// Asks about `count` images with the key of `name`.
fn ask(client: &mut Client, name: &str, count: usize) -> std::io::Result<Response> {
    let (body, length) = binary_request(&images(0, count));
    client.send("POST", INFER, &[(LENGTH, &length), ("Authorization", &bearer(name))], &body)
}

/// What each name has used, by the ledger.
fn ledger(folder: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(folder.join("keys.toml.used")).expect("a ledger");
    let mut used = BTreeMap::new();
    for line in text.lines().skip(1) {
        let parts: Vec<&str> = line.split('\t').collect();
        // A line that was being written when the process was killed.
        if let [images, name, _] = parts[..] {
            *used.entry(name.to_owned()).or_default() += images.parse::<u64>().expect("a number");
        }
    }
    used
}

#[test]
fn a_budget_is_used_up_and_stays_so() {
    let folder = folder();
    let here = folder.path();
    fs::write(here.join("keys.toml"), key("alice", "budget = 10") + &key("bob", "")).expect("writable");
    let arguments = ["--keys", "keys.toml", "--audit-log", "audit.jsonl", "--defence", "top-1"];
    let server = Server::start(here, &arguments[..4]);
    let mut client = server.client();
    let (body, length) = binary_request(&images(0, 1));
    let mut with = |headers: &[(&str, &str)]| {
        let headers = [&[(LENGTH, length.as_str())], headers].concat();
        client.send("POST", INFER, &headers, &body).expect("an answer")
    };
    for headers in
        [&[][..], &[("Authorization", "Bearer x")], &[("Authorization", "Basic YTpi")], &[("X-Api-Key", "")]]
    {
        let answer = with(headers);
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")));
    }
    let first = with(&[("X-Api-Key", "alice's key")]);
    assert_eq!((first.status, first.header("ratelimit")), (200, Some("\"budget\";r=9")));
    assert_eq!(first.header("ratelimit-policy"), Some("\"budget\";q=10"));
    let mut client = server.client();
    assert_eq!(ask(&mut client, "alice", 8).expect("an answer").status, 200);
    let refused = ask(&mut client, "alice", 2).expect("an answer");
    assert_eq!((refused.status, refused.header("retry-after")), (429, None));
    assert!(refused.error().contains("1 of this key's budget of 10 are left"), "{}", refused.error());
    assert_eq!(ask(&mut client, "alice", 1).expect("an answer").status, 200);
    assert_eq!(ask(&mut client, "alice", 1).expect("an answer").status, 429);
    assert_eq!(ask(&mut client, "bob", 100).expect("an answer").status, 200);
    // A wrong request costs nothing; neither do health and metadata, of which health needs no key.
    for (path, status) in
        [("/v2/health/ready", 200), ("/v2", 401), ("/v2/models/net", 401), ("/metrics", 401)]
    {
        assert_eq!(client.send("GET", path, &[], b"").expect("an answer").status, status, "{path}");
    }
    drop(server);
    assert_eq!(ledger(here), BTreeMap::from([("alice".to_owned(), 10), ("bob".to_owned(), 100)]));
    let log = fs::read_to_string(here.join("audit.jsonl")).expect("a log");
    let lines: Vec<serde_json::Value> = log.lines().map(|l| serde_json::from_str(l).expect("JSON")).collect();
    let counts: Vec<_> =
        lines.iter().map(|l| (l["key"].as_str(), l["images"].as_u64(), l["budget_left"].as_u64())).collect();
    let (alice, bob) = (Some("alice"), Some("bob"));
    let expected = [(alice, 1, Some(9)), (alice, 8, Some(1)), (alice, 1, Some(0)), (bob, 100, None)];
    assert_eq!(counts, expected.map(|(key, images, left)| (key, Some(images), left)));
    assert_eq!(lines[1]["sha256"].as_array().map(Vec::len), Some(8));
    assert_eq!(lines[0]["sha256"][0], lines[1]["sha256"][0], "the same image");
    assert!(lines[1]["top1"].as_array().is_some_and(|top| top.iter().all(|c| c.as_u64() < Some(3))));
    assert_eq!(
        (&lines[0]["id"], &lines[0]["defence"], &lines[0]["revealed"]),
        (&"7".into(), &"none".into(), &"logits".into())
    );

    let again = Server::start(here, &arguments);
    assert_eq!(ask(&mut again.client(), "alice", 1).expect("an answer").status, 400, "another output");
    let (body, length) = {
        let (body, length) = binary_request(&images(0, 1));
        let body = String::from_utf8_lossy(&body[..length.parse().expect("a number")])
            .replace("logits", "probabilities");
        let tail: Vec<u8> = images(0, 1).iter().flat_map(|n| n.to_le_bytes()).collect();
        ([body.as_bytes(), &tail].concat(), body.len().to_string())
    };
    let headers = [(LENGTH, length.as_str()), ("Authorization", &bearer("alice"))];
    assert_eq!(again.client().send("POST", INFER, &headers, &body).expect("an answer").status, 429);
}

#[test]
fn a_rate_says_when_to_come_again() {
    let folder = folder();
    fs::write(folder.path().join("keys.toml"), key("alice", "images_per_minute = 6")).expect("writable");
    let server = Server::start(folder.path(), &["--keys", "keys.toml"]);
    let mut client = server.client();
    assert_eq!(ask(&mut client, "alice", 7).expect("an answer").status, 413);
    let good = ask(&mut client, "alice", 6).expect("an answer");
    assert_eq!((good.status, good.header("ratelimit-policy")), (200, Some("\"rate\";q=6;w=60")));
    let refused = ask(&mut client, "alice", 6).expect("an answer");
    let wait: u64 = refused.header("retry-after").expect("a wait").parse().expect("seconds");
    assert!(refused.status == 429 && (1..=60).contains(&wait), "{wait}");
}

#[test]
fn keys_are_read_again_on_sighup() {
    let folder = folder();
    let here = folder.path();
    let write = |text: String| fs::write(here.join("keys.toml"), text).expect("writable");
    write(key("alice", "budget = 3"));
    let server = Server::start(here, &["--keys", "keys.toml", "--audit-log", "log"]);
    let mut client = server.client();
    assert_eq!(ask(&mut client, "alice", 3).expect("an answer").status, 200);
    let mut until = |name: &str, status: u16| {
        for _ in 0..500 {
            if ask(&mut client, name, 1).expect("an answer").status == status {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{name} never got {status}");
    };
    until("alice", 429);
    until("bob", 401);
    write(key("alice", "budget = 4") + &key("bob", ""));
    fs::rename(here.join("log"), here.join("log.1")).expect("renamed");
    server.signal("-HUP");
    until("bob", 200);
    until("alice", 200);
    until("alice", 429);
    // What cannot be meant changes nothing.
    write("[alice]\n".into());
    server.signal("-HUP");
    server.until_it_says("the former keys stay");
    until("bob", 200);
    write(key("bob", ""));
    server.signal("-HUP");
    until("alice", 401);
    assert_eq!(ledger(here)["alice"], 4);
    let lines = |name: &str| fs::read_to_string(here.join(name)).expect("a log").lines().count();
    assert!(lines("log.1") == 1 && lines("log") >= 3, "the log begins anew where it was moved away");
    server.signal("-TERM");
    let (status, said) = server.wait();
    assert_eq!(status.code(), Some(0), "{said}");
}

/// Killed under load again and again, no key gets more images than its budget, and none that the ledger does not know.
/// `NASTY_KILLS` says how often.
#[test]
fn no_kill_gives_more_than_the_budget() {
    let kills: u64 = std::env::var("NASTY_KILLS").map_or(4, |n| n.parse().expect("a number"));
    let folder = folder();
    let here = folder.path();
    // One is used up on the way, one at the end, one never.
    let budgets = [("alice", 40 * kills), ("bob", 400 * kills), ("carol", u64::MAX)];
    let text: String = budgets
        .iter()
        .map(|(name, budget)| {
            key(name, &if *budget == u64::MAX { String::new() } else { format!("budget = {budget}") })
        })
        .collect();
    fs::write(here.join("keys.toml"), text).expect("writable");
    let answered = Mutex::new(BTreeMap::<&str, u64>::new());
    for kill in 0..=kills {
        let server = Server::start(here, &["--keys", "keys.toml"]);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let (server, answered) = (&server, &answered);
                scope.spawn(move || {
                    let (name, _) = budgets[thread % 3];
                    let Ok(mut client) = Client::connect(&server.address) else { return };
                    for round in 0.. {
                        let count = 1 + (thread + round) % 7;
                        // Killed.
                        let Ok(answer) = ask(&mut client, name, count) else { return };
                        match answer.status {
                            200 => *answered.lock().expect("whole").entry(name).or_default() += count as u64,
                            429 => std::thread::sleep(Duration::from_millis(1)),
                            other => panic!("{other}: {}", answer.error()),
                        }
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(40 + kill * 37 % 160));
            server.signal("-KILL");
        });
        drop(server);
        let (used, answered) = (ledger(here), answered.lock().expect("whole").clone());
        for (name, budget) in budgets {
            let used = used.get(name).copied().unwrap_or_default();
            let answered = answered.get(name).copied().unwrap_or_default();
            assert!(
                answered <= used && used <= budget,
                "kill {kill}, {name}: {answered} ≤ {used} ≤ {budget}"
            );
        }
    }
    let answered = answered.into_inner().expect("whole");
    assert!(budgets.iter().all(|(name, _)| answered.get(name) > Some(&0)), "{answered:?}");
    let used = ledger(here);
    let counts =
        budgets.map(|(name, budget)| format!("{name}: {} ≤ {} ≤ {budget}", answered[name], used[name]));
    tell("NASTY_KILLS", &format!("{} kills: {}", kills + 1, counts.join("; ")));
}
