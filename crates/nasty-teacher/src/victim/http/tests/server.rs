//! A small HTTP server whose answers a test decides.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request as it came.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) line: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// An answer: status, headers, body. A body that is cut off ends the connection early.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Vec<u8>,
    pub(super) cut: bool,
}

pub(super) struct Server {
    pub(super) address: String,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Said {
    pub(super) fn json(status: u16, body: impl ToString) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes(), cut: false }
    }
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}

impl Server {
    /// Answers every request by `answer`, which also gets the number of requests before it.
    pub(super) fn start(answer: impl Fn(&Seen, usize) -> Said + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (log, answer) = (seen.clone(), Arc::new(answer));
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (log, answer) = (log.clone(), answer.clone());
                std::thread::spawn(move || {
                    // A client that hangs up is none of its business.
                    let _ = serve(&stream, &log, &*answer);
                });
            }
        });
        Self { address, seen }
    }

    /// Requests so far whose first line begins with `method`.
    pub(super) fn seen(&self, method: &str) -> Vec<Seen> {
        self.seen
            .lock()
            .expect("no panic")
            .iter()
            .filter(|seen| seen.line.starts_with(method))
            .cloned()
            .collect()
    }
}

fn serve(
    mut stream: &TcpStream,
    log: &Mutex<Vec<Seen>>,
    answer: &(dyn Fn(&Seen, usize) -> Said + Send + Sync),
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let mut headers = Vec::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim_end().split_once(':') else { break };
            headers.push((name.to_owned(), value.trim().to_owned()));
        }
        let mut seen = Seen { line: line.trim_end().to_owned(), headers, body: Vec::new() };
        let length = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        seen.body = vec![0; length];
        reader.read_exact(&mut seen.body)?;
        let before = {
            let mut log = log.lock().expect("no panic");
            log.push(seen.clone());
            log.len() - 1
        };
        let said = answer(&seen, before);
        write!(stream, "HTTP/1.1 {} X\r\nContent-Length: {}\r\n", said.status, said.body.len())?;
        for (name, value) in &said.headers {
            write!(stream, "{name}: {value}\r\n")?;
        }
        stream.write_all(b"\r\n")?;
        if said.cut {
            stream.write_all(&said.body[..said.body.len() / 2])?;
            return stream.shutdown(std::net::Shutdown::Both);
        }
        stream.write_all(&said.body)?;
    }
}
