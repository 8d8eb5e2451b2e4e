//! Bodies of random bytes, and of good requests with damage.

use crate::client::{Client, binary_request, json_request};
use crate::server::{INFER, Server, assert_same, folder, images, logits, tell};
use flate2::Compression;
use flate2::write::GzEncoder;
use std::collections::BTreeMap;
use std::io::Write;

const LENGTH: &str = "Inference-Header-Content-Length";
const CLIENTS: u64 = 4;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }

    /// `body` with some bytes changed, taken out or put in, or cut, or with a piece of it repeated.
    fn damage(&mut self, mut body: Vec<u8>) -> Vec<u8> {
        for _ in 0..1 + self.below(4) {
            let at = self.below(body.len());
            match self.below(6) {
                _ if body.is_empty() => body = self.bytes(100),
                0 => body[at] = self.next() as u8,
                1 => body[at] ^= 1 << self.below(8),
                2 => drop(body.remove(at)),
                3 => body.insert(at, b"[]{},:\"\\0-1e.\0\xff"[self.below(15)]),
                4 => body.truncate(at),
                _ => {
                    let piece = body[at..(at + self.below(40)).min(body.len())].to_vec();
                    let to = self.below(body.len());
                    body.splice(to..to, piece);
                }
            }
        }
        body
    }

    /// A body with its headers.
    fn request(&mut self) -> (Vec<(&'static str, String)>, Vec<u8>) {
        let (binary, length) = binary_request(&images(0, 1));
        let json = json_request(&images(0, 1)).to_string().into_bytes();
        let mut headers = Vec::new();
        let mut body = match self.below(6) {
            0 => self.bytes(300),
            1 => self.damage(json),
            2 => {
                headers.push((LENGTH, length));
                self.damage(binary)
            }
            3 => {
                headers.push((LENGTH, self.below(2 * binary.len()).to_string()));
                binary
            }
            4 => {
                headers.push((LENGTH, "0".into()));
                let bytes = binary[binary.len() - 768..].to_vec();
                self.damage(bytes)
            }
            _ => {
                let words = [
                    "{",
                    "}",
                    "[",
                    "]",
                    ",",
                    ":",
                    "\"inputs\"",
                    "\"data\"",
                    "\"shape\"",
                    "1e400",
                    "-",
                    "null",
                    "\"\\ud800\"",
                    "\"name\":\"input\"",
                    "1",
                ];
                (0..self.below(40)).flat_map(|_| words[self.below(words.len())].bytes()).collect()
            }
        };
        if self.below(8) == 0 {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
            gzip.write_all(&body).expect("memory");
            body = gzip.finish().expect("memory");
            if self.below(2) == 0 {
                body = self.damage(body);
            }
            headers.push(("Content-Encoding", "gzip".into()));
        }
        (headers, body)
    }
}

/// Each body is answered by 200 or by a 4xx with one error; the server's memory does not grow. `NASTY_FUZZ_CASES` says how many.
#[test]
fn no_body_breaks_the_server() {
    let cases: u64 = std::env::var("NASTY_FUZZ_CASES").map_or(20_000, |n| n.parse().expect("a number"));
    let seed: u64 = std::env::var("NASTY_FUZZ_SEED").map_or(1, |n| n.parse().expect("a number"));
    let folder = folder();
    let server = Server::start(folder.path(), &[]);
    let batch = images(0, 3);
    let (good, length) = binary_request(&batch);
    let expected = logits(folder.path(), &batch);
    let fuzz = |client: u64, cases: u64| {
        let mut random = Random(seed << 32 | client);
        let mut connection = server.client();
        let mut statuses = BTreeMap::<u16, u64>::new();
        for case in 0..cases {
            let (headers, body) = random.request();
            let headers: Vec<(&str, &str)> =
                headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let say = || {
                format!(
                    "case {case} of client {client}, seed {seed}: {headers:?} {:?}",
                    String::from_utf8_lossy(&body)
                )
            };
            let answer =
                connection.send("POST", INFER, &headers, &body).unwrap_or_else(|e| panic!("{e}: {}", say()));
            *statuses.entry(answer.status).or_default() += 1;
            match answer.status {
                200 => assert!(answer.numbers().iter().all(|number| number.is_finite()), "{}", say()),
                400..500 => assert!((1..600).contains(&answer.error().chars().count()), "{}", say()),
                _ => panic!("{}: {}", answer.status, say()),
            }
            if case % 1000 == 999 {
                let answer = connection.send("POST", INFER, &[(LENGTH, &length)], &good).expect("an answer");
                assert_same(&answer.numbers(), &expected, "in between");
            }
        }
        statuses
    };
    // The first cases warm up what is allocated once.
    (0..CLIENTS).for_each(|client| drop(fuzz(client, cases / 100 / CLIENTS)));
    let before = server.memory("VmRSS:");
    let statuses = std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..CLIENTS).map(|client| scope.spawn(move || fuzz(CLIENTS + client, cases / CLIENTS))).collect();
        let mut all = BTreeMap::<u16, u64>::new();
        for thread in threads {
            thread
                .join()
                .expect("no panic")
                .iter()
                .for_each(|(status, n)| *all.entry(*status).or_default() += n);
        }
        all
    });
    let after = server.memory("VmRSS:");
    tell(
        "NASTY_FUZZ_CASES",
        &format!("{cases} bodies: {statuses:?}; {before} MiB before, {after} MiB after"),
    );
    assert!(after <= before + 32, "{before} MiB before, {after} MiB after");
    assert!(statuses[&400] > cases / 10 && statuses[&200] > 0, "{statuses:?}");
    drop(Client::connect(&server.address).expect("it still listens"));
    server.signal("-TERM");
    let (status, said) = server.wait();
    assert!(status.code() == Some(0) && !said.contains("panicked"), "{said}");
}
