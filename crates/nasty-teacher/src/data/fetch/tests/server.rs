//! A small HTTP server that serves one file under any name.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How the server behaves.
#[derive(Clone)]
pub(super) struct Manner {
    /// Honour `Range`.
    pub(super) ranges: bool,
    /// Tell the length.
    pub(super) length: bool,
    /// Break the connection after so many bytes of a body.
    pub(super) break_after: Option<usize>,
    /// How many connections are broken.
    pub(super) breaks: usize,
    /// Say nothing more after so many bytes of the file.
    pub(super) silent_after: Option<usize>,
    /// Answer the first requests with these statuses.
    pub(super) statuses: Vec<u16>,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            ranges: true,
            length: true,
            break_after: None,
            breaks: 99,
            silent_after: None,
            statuses: Vec::new(),
        }
    }
}

pub(super) struct Server {
    /// Its address.
    pub(super) base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) fn start(bytes: Vec<u8>, manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = requests.clone();
        // It ends with the test's process.
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (bytes, manner, log) = (bytes.clone(), manner.clone(), log.clone());
                std::thread::spawn(move || {
                    // A client that hangs up is none of its business.
                    let _ = answer(stream.unwrap(), &bytes, &manner, number, &log);
                });
            }
        });
        Self { base, requests }
    }

    /// Path and `Range` of every request so far.
    pub(super) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    bytes: &[u8],
    manner: &Manner,
    number: usize,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let mut entry = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut start = 0;
    for line in lines.map_while(Result::ok).take_while(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ")
            && name.eq_ignore_ascii_case("range")
        {
            entry += &format!(" {value}");
            start = value.trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap();
        }
    }
    log.lock().unwrap().push(entry);
    if let Some(status) = manner.statuses.get(number) {
        return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    }
    let total = bytes.len();
    let body = if start > 0 && manner.ranges {
        write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{total}\r\n",
            total - 1
        )?;
        &bytes[start..]
    } else {
        write!(stream, "HTTP/1.1 200 OK\r\n")?;
        bytes
    };
    if manner.length {
        write!(stream, "Content-Length: {}\r\n", body.len())?;
    }
    write!(stream, "Connection: close\r\n\r\n")?;
    let cut = manner.break_after.filter(|_| number < manner.breaks);
    let cut = cut.or(manner.silent_after.map(|bytes| bytes.saturating_sub(start)));
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])?;
    if manner.silent_after.is_some() {
        std::thread::sleep(Duration::from_secs(3));
    }
    Ok(())
}
