//! Downloads one file over HTTP and resumes interrupted downloads.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use super::progress::Progress;
use crate::data::error::DataError;
use crate::data::sources::RemoteFile;

/// Bytes that are read at once.
const CHUNK: usize = 1 << 16;
/// How often a stop is looked for.
const TICK: Duration = Duration::from_millis(100);

/// How long to bear with a server.
pub(super) struct Patience {
    /// Tries in a row that bring nothing.
    pub(super) tries: u32,
    /// Before the second try; doubled before each later one.
    pub(super) pause: Duration,
    /// Without a byte.
    pub(super) silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { tries: 5, pause: Duration::from_secs(1), silence: Duration::from_secs(60) }
    }
}

/// What the connection's thread reports.
enum Event {
    /// The server sends from this byte on.
    From(u64),
    Bytes(Vec<u8>),
    End,
    Failed(Failure),
}

/// Why a try failed.
enum Failure {
    /// The connection broke or the server is busy: another try may help.
    Passing(String),
    /// It will fail the next time too.
    Lasting(String),
}

/// Downloads `address` into `part`, going on after the bytes that are there. `false` when it was stopped.
///
/// The file has exactly the published number of bytes afterwards; they are not verified yet.
pub(super) fn download(
    address: &str,
    part: &Path,
    file: &RemoteFile,
    patience: &Patience,
    progress: &mut dyn Progress,
) -> Result<bool, DataError> {
    let mut out = File::options().create(true).append(true).open(part).map_err(DataError::io(part))?;
    let mut have = out.metadata().map_err(DataError::io(part))?.len();
    progress.begin(&file.name, file.bytes);
    let mut fruitless = 0;
    while have != file.bytes {
        if have > file.bytes {
            restart(&mut out, &mut have, 0).map_err(DataError::io(part))?;
        }
        progress.position(have);
        let before = have;
        let problem = match receive(address, file.bytes, &mut out, &mut have, patience, progress) {
            Ok(true) => "the connection ended too early".to_owned(),
            Ok(false) => return Ok(false),
            Err(Trouble::Disk(error)) => return Err(DataError::io(part)(error)),
            Err(Trouble::Server(Failure::Lasting(problem))) => {
                return Err(given_up(address, problem, part, have));
            }
            Err(Trouble::Server(Failure::Passing(problem))) => problem,
        };
        fruitless = if have > before { 0 } else { fruitless + 1 };
        if fruitless >= patience.tries {
            return Err(given_up(address, problem, part, have));
        }
        if have != file.bytes && !pause(patience.pause * 2u32.pow(fruitless.saturating_sub(1)), progress) {
            return Ok(false);
        }
    }
    progress.position(have);
    out.sync_all().map_err(DataError::io(part))?;
    Ok(true)
}

/// The error of a download that ends after `have` bytes.
fn given_up(address: &str, problem: String, part: &Path, have: u64) -> DataError {
    let help = match have {
        0 => {
            // An empty file is no partial download; where it cannot be removed, it does no harm.
            let _ = std::fs::remove_file(part);
            "nothing was downloaded: see whether the address is right and can be reached from this machine"
                .into()
        }
        _ => "the partial download is kept, and the same command resumes it".into(),
    };
    DataError::Network { address: address.into(), problem, help }
}

/// Waits; `false` when asked to stop meanwhile.
fn pause(length: Duration, progress: &dyn Progress) -> bool {
    let end = Instant::now() + length;
    while Instant::now() < end {
        if progress.stop() {
            return false;
        }
        std::thread::sleep(TICK.min(end.saturating_duration_since(Instant::now())));
    }
    !progress.stop()
}

enum Trouble {
    Disk(std::io::Error),
    Server(Failure),
}

/// One connection: appends what comes to `out`, and counts it in `have`. `false` when it was stopped.
fn receive(
    address: &str,
    size: u64,
    out: &mut File,
    have: &mut u64,
    patience: &Patience,
    progress: &mut dyn Progress,
) -> Result<bool, Trouble> {
    // Reading blocks for as long as the server is silent: a thread does it, so that a stop is seen at once.
    let events = connect(address, *have, size, patience);
    let mut last = Instant::now();
    loop {
        if progress.stop() {
            return Ok(false);
        }
        match events.recv_timeout(TICK) {
            Ok(Event::From(start)) => {
                if start != *have {
                    restart(out, have, start).map_err(Trouble::Disk)?;
                }
            }
            Ok(Event::Bytes(bytes)) => {
                if *have + bytes.len() as u64 > size {
                    let problem = format!("it sends more than the {size} bytes of the published file");
                    return Err(Trouble::Server(Failure::Lasting(problem)));
                }
                out.write_all(&bytes).map_err(Trouble::Disk)?;
                *have += bytes.len() as u64;
                progress.position(*have);
            }
            Ok(Event::End) => return Ok(true),
            Ok(Event::Failed(failure)) => return Err(Trouble::Server(failure)),
            Err(RecvTimeoutError::Timeout) if last.elapsed() < patience.silence => continue,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                let problem = format!("nothing came for {} seconds", patience.silence.as_secs());
                return Err(Trouble::Server(Failure::Passing(problem)));
            }
        }
        last = Instant::now();
    }
}

/// Cuts the file to its first `start` bytes, of which it has at least as many.
fn restart(out: &mut File, have: &mut u64, start: u64) -> std::io::Result<()> {
    out.set_len(start)?;
    out.seek(SeekFrom::End(0))?;
    *have = start;
    Ok(())
}

fn connect(address: &str, have: u64, size: u64, patience: &Patience) -> Receiver<Event> {
    let (sender, events) = sync_channel(8);
    let (address, silence) = (address.to_owned(), patience.silence);
    std::thread::spawn(move || {
        let end = match talk(&address, have, size, silence, &sender) {
            Ok(()) => Event::End,
            Err(failure) => Event::Failed(failure),
        };
        let _ = sender.send(end); // nobody listens any more after a stop
    });
    events
}

/// Asks for the file from byte `have` on and passes on what comes.
fn talk(
    address: &str,
    have: u64,
    size: u64,
    silence: Duration,
    events: &SyncSender<Event>,
) -> Result<(), Failure> {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("nasty-teacher/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(silence))
        .timeout_recv_response(Some(silence))
        .build();
    let mut request = config.new_agent().get(address);
    if have > 0 {
        request = request.header("Range", format!("bytes={have}-"));
    }
    let response = request.call().map_err(|error| match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::TlsRequired => {
            Failure::Lasting(error.to_string())
        }
        error => Failure::Passing(error.to_string()),
    })?;
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let start = match response.status().as_u16() {
        200 => {
            let length = header("Content-Length").and_then(|length| length.parse::<u64>().ok());
            if let Some(length) = length.filter(|&length| length != size) {
                let problem = format!("it offers a file of {length} bytes, the published one has {size}");
                return Err(Failure::Lasting(problem));
            }
            0
        }
        206 => match header("Content-Range").and_then(range) {
            Some((start, total)) if start == have && total.is_none_or(|total| total == size) => start,
            other => {
                let problem = format!("asked for the bytes from {have} on, of {size}, it sends {other:?}");
                return Err(Failure::Lasting(problem));
            }
        },
        status @ (408 | 429 | 500..=599) => {
            return Err(Failure::Passing(format!("the server answers with status {status}")));
        }
        status => return Err(Failure::Lasting(format!("the server answers with status {status}"))),
    };
    let heard = |event| events.send(event).map_err(|_| Failure::Lasting("stopped".into()));
    heard(Event::From(start))?;
    let mut body = response.into_body().into_reader();
    loop {
        let mut chunk = vec![0; CHUNK];
        match body.read(&mut chunk).map_err(|error| Failure::Passing(error.to_string()))? {
            0 => return Ok(()),
            n => chunk.truncate(n),
        }
        heard(Event::Bytes(chunk))?;
    }
}

/// First byte and, if known, total of a `Content-Range: bytes 5-9/10`.
fn range(header: &str) -> Option<(u64, Option<u64>)> {
    let (span, total) = header.strip_prefix("bytes ")?.split_once('/')?;
    let start = span.split_once('-')?.0.trim().parse().ok()?;
    Some((start, total.trim().parse().ok()))
}
