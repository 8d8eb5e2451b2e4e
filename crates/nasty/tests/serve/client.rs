//! A small HTTP/1.1 client: it sends what it is told, also what no good client would send.

use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// A connection that is kept.
pub struct Client<S = TcpStream> {
    stream: BufReader<S>,
}

/// An answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Client {
    /// Connects to `address`; every wait is bounded.
    pub fn connect(address: &str) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        stream.set_write_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self::over(stream))
    }
}

impl<S: Read + Write> Client<S> {
    /// A client on a connection.
    pub fn over(stream: S) -> Self {
        Self { stream: BufReader::new(stream) }
    }

    /// Sends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let stream = self.stream.get_mut();
        stream.write_all(bytes)?;
        stream.flush()
    }

    /// Sends a request and reads its answer.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Response> {
        self.write(&[head(method, path, headers, body.len()).as_bytes(), body].concat())?;
        self.read()
    }

    /// Reads an answer, whose length is told.
    pub fn read(&mut self) -> io::Result<Response> {
        let mut line = String::new();
        let mut next = |stream: &mut BufReader<S>| -> io::Result<String> {
            line.clear();
            match stream.read_line(&mut line)? {
                0 => Err(io::ErrorKind::UnexpectedEof.into()),
                _ => Ok(line.trim_end().to_owned()),
            }
        };
        let first = next(&mut self.stream)?;
        let status = first.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.ok_or_else(|| io::Error::other(format!("not a status line: {first}")))?;
        let mut headers = Vec::new();
        loop {
            let line = next(&mut self.stream)?;
            match line.split_once(':') {
                Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.trim().to_owned())),
                None => break,
            }
        }
        let mut response = Response { status, headers, body: Vec::new() };
        // A request that was refused early can be answered with `100 Continue` before.
        if status == 100 {
            return self.read();
        }
        let length = response.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        response.body.resize(length, 0);
        self.stream.read_exact(&mut response.body)?;
        Ok(response)
    }
}

/// The head of a request with a body of `length` bytes.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)], length: usize) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: here\r\n");
    for (name, value) in headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if length > 0 || method == "POST" {
        let _ = write!(head, "Content-Length: {length}\r\n");
    }
    head + "\r\n"
}

impl Response {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The body as JSON, or the part of it that is JSON.
    pub fn json(&self) -> Value {
        let length = self.header("inference-header-content-length");
        let length = length.map_or(self.body.len(), |n| n.parse().expect("a number"));
        serde_json::from_slice(&self.body[..length])
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The numbers of the one output, from JSON or from behind it.
    pub fn numbers(&self) -> Vec<f32> {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        if let Some(length) = self.header("inference-header-content-length") {
            let length: usize = length.parse().expect("a number");
            let numbers = self.body[length..].as_chunks().0.iter();
            return numbers.map(|bytes| f32::from_le_bytes(*bytes)).collect();
        }
        let data = self.json()["outputs"][0]["data"].clone();
        serde_json::from_value(data).expect("numbers")
    }

    /// What `{"error": …}` says.
    pub fn error(&self) -> String {
        let json = self.json();
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "{json}");
        json["error"].as_str().expect("a message").to_owned()
    }
}

/// An inference request in JSON for `images` `[n, 3, 8, 8]`.
pub fn json_request(images: &[f32]) -> Value {
    json!({
        "id": "7",
        "inputs": [{ "name": "input", "datatype": "FP32", "shape": [images.len() / 192, 3, 8, 8], "data": images }],
    })
}

/// A request in binary form: the body, and the length of its JSON.
pub fn binary_request(images: &[f32]) -> (Vec<u8>, String) {
    let json = json!({
        "id": "7",
        "inputs": [{
            "name": "input", "datatype": "FP32", "shape": [images.len() / 192, 3, 8, 8],
            "parameters": { "binary_data_size": 4 * images.len() },
        }],
        "outputs": [{ "name": "logits", "parameters": { "binary_data": true } }],
    });
    let mut body = json.to_string().into_bytes();
    let length = body.len().to_string();
    body.extend(images.iter().flat_map(|number| number.to_le_bytes()));
    (body, length)
}
