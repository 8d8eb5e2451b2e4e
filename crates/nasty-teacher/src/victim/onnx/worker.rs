//! The runtime in a process of its own, so that a foreign graph can neither take more memory or time than it is given nor
//! end the program.
//!
//! The two talk over the worker's standard input and output in frames: a byte that says what it is, the length as eight
//! bytes, little-endian, and the contents.

use super::session::{Failure, Here, Load, Numbers, Session};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

const LOAD: u8 = 1;
const RUN: u8 = 2;
const DONE: u8 = 3;
const REFUSED: u8 = 4;
/// Contents of a frame, at most.
const LONGEST: u64 = 4 << 30;
/// How often a model's process that ended is started again within [`WHILE`]: a model that ends each of them must not keep the
/// machine busy with loading it.
const RESTARTS: usize = 3;
const WHILE: Duration = Duration::from_secs(60);
/// Seconds after which a model can be asked again whose process ended, where it may be started again at once.
const SOON: u64 = 1;

/// What a graph may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes of address space of the worker.
    pub(super) memory: u64,
    /// For loading, and for each call.
    pub(super) time: Duration,
}

impl Limits {
    /// Those of a model of `bytes` bytes: it is held several times while it is loaded.
    pub(super) fn of(bytes: usize) -> Self {
        Self {
            memory: (4 << 30) + 6 * (bytes as u64).next_multiple_of(64 << 20),
            time: Duration::from_secs(120),
        }
    }
}

/// A process that computes one model at a time. It is started when it is needed, and again when its model is asked after it ended.
pub struct Worker {
    program: PathBuf,
    most: Limits,
    process: Mutex<Option<Process>>,
    /// Models loaded so far: a model is gone once the next one is loaded.
    models: AtomicU64,
}

/// A model in a worker.
pub(super) struct Loaded {
    worker: Arc<Worker>,
    number: u64,
    limits: Limits,
    /// The request that loads it, for a process that is started again.
    request: Vec<u8>,
    /// When its process was started again, within [`WHILE`].
    restarts: Mutex<Vec<Instant>>,
}

struct Process {
    child: Child,
    input: ChildStdin,
    /// What the worker says, read by a thread, for reading cannot be given up.
    frames: Receiver<io::Result<(u8, Vec<u8>)>>,
    memory: u64,
}

impl Worker {
    /// A worker that is the program `program`, which must call [`serve`].
    pub fn new(program: &Path) -> Self {
        let most = Limits { memory: u64::MAX, time: Duration::MAX };
        Self { program: program.to_owned(), most, process: Mutex::default(), models: AtomicU64::new(0) }
    }

    /// The same worker, which gets no more than `memory` bytes of address space, and `time` for a call.
    pub fn limited(self, memory: u64, time: Duration) -> Self {
        Self { most: Limits { memory, time }, ..self }
    }

    /// Loads a model there.
    ///
    /// # Errors
    /// Why not, as a sentence.
    pub(super) fn load(self: &Arc<Self>, load: &Load<'_>, limits: Limits) -> Result<Loaded, String> {
        let name = |name: &str| [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
        let head = [&[u8::from(load.bytes)][..], &name(load.input), &name(load.output)].concat();
        let request = [&head[..], load.model].concat();
        let limits =
            Limits { memory: limits.memory.min(self.most.memory), time: limits.time.min(self.most.time) };
        let mut slot = self.slot();
        let number = self.models.fetch_add(1, Ordering::Relaxed) + 1;
        let loaded = Loaded { worker: self.clone(), number, limits, request, restarts: Mutex::default() };
        if slot.as_mut().is_none_or(|process| process.memory != limits.memory || process.is_gone()) {
            // Two of them at once would take twice the memory.
            *slot = None;
            *slot = Some(self.start(limits)?);
        }
        loaded.ask(&mut slot, LOAD, &loaded.request)?;
        drop(slot);
        Ok(loaded)
    }

    /// The process id of its process, while there is one.
    pub fn process_id(&self) -> Option<u32> {
        self.slot().as_ref().map(|process| process.child.id())
    }

    fn slot(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, limits: Limits) -> Result<Process, String> {
        Process::start(&self.program, limits).map_err(|e| format!("{}: {e}", self.program.display()))
    }
}

impl Loaded {
    /// Asks the process in `slot`, which is empty afterwards if that ended.
    fn ask(&self, slot: &mut Option<Process>, kind: u8, contents: &[u8]) -> Result<Vec<u8>, Failure> {
        let Some(process) = slot else { return Err(self.ended("its process ended".to_owned())) };
        match process.ask(kind, contents, self.limits) {
            Ok(answer) => Ok(answer?),
            Err(how) => {
                *slot = None;
                Err(self.ended(how))
            }
        }
    }

    /// Starts the process again and loads the model into it, unless that happened too often of late.
    fn restart(&self, slot: &mut Option<Process>) -> Result<(), Failure> {
        *slot = None;
        if let Some(seconds) = self.pause() {
            let problem = format!(
                "its process ended {RESTARTS} times within a minute, and is started again in {seconds} s"
            );
            return Err(Failure::Ended { problem, retry_after: seconds });
        }
        tracing::warn!("the process that computes an ONNX file ended; it is started again");
        self.restarts.lock().unwrap_or_else(PoisonError::into_inner).push(Instant::now());
        *slot = Some(self.worker.start(self.limits).map_err(|how| self.ended(how))?);
        match self.ask(slot, LOAD, &self.request) {
            Ok(_) => Ok(()),
            Err(failure) => {
                // Without its model the process is of no use.
                *slot = None;
                Err(failure)
            }
        }
    }

    fn ended(&self, problem: String) -> Failure {
        Failure::Ended { problem, retry_after: self.pause().unwrap_or(SOON) }
    }

    /// Seconds until the process may be started again; none if it may be now.
    fn pause(&self) -> Option<u64> {
        let mut restarts = self.restarts.lock().unwrap_or_else(PoisonError::into_inner);
        restarts.retain(|at| at.elapsed() < WHILE);
        let first = restarts.first().filter(|_| restarts.len() >= RESTARTS)?;
        Some(WHILE.saturating_sub(first.elapsed()).as_secs() + 1)
    }
}

impl Session for Loaded {
    fn run(&self, input: &Numbers) -> Result<Numbers, Failure> {
        let mut slot = self.worker.slot();
        if self.worker.models.load(Ordering::Relaxed) != self.number {
            return Err("another model was loaded in its process since".to_owned().into());
        }
        if slot.as_mut().is_none_or(Process::is_gone) {
            self.restart(&mut slot)?;
        }
        let answer = self.ask(&mut slot, RUN, &packed(input))?;
        Ok(unpacked(&answer).ok_or_else(|| "the runtime's process sent a damaged answer".to_owned())?)
    }
}

impl Process {
    fn start(worker: &Path, limits: Limits) -> io::Result<Self> {
        let mut command = if cfg!(unix) {
            // The shell's limit holds for the program that takes its place.
            let mut shell = Command::new("/bin/sh");
            let script = format!("ulimit -v {} 2>/dev/null; exec \"$0\" \"$@\"", limits.memory >> 10);
            shell.arg("-c").arg(script).arg(worker);
            shell
        } else {
            Command::new(worker)
        };
        let threads = rayon::current_num_threads().to_string();
        command.arg(COMMAND).env("RTEN_NUM_THREADS", threads).env_remove("RTEN_TIMING");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let input = child.stdin.take().expect("piped");
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        let (send, frames) = channel();
        std::thread::spawn(move || {
            loop {
                let frame = read(&mut output);
                let last = frame.is_err();
                if send.send(frame).is_err() || last {
                    return;
                }
            }
        });
        Ok(Self { child, input, frames, memory: limits.memory })
    }

    /// Whether it ended since it was last asked.
    fn is_gone(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// What the worker answers, or refuses; or why it is gone.
    fn ask(&mut self, kind: u8, contents: &[u8], limits: Limits) -> Result<Result<Vec<u8>, String>, String> {
        if write(&mut self.input, kind, contents).is_err() {
            return Err(self.ended(limits));
        }
        match self.frames.recv_timeout(limits.time) {
            Ok(Ok((DONE, answer))) => Ok(Ok(answer)),
            Ok(Ok((REFUSED, why))) => Ok(Err(String::from_utf8_lossy(&why).into_owned())),
            Ok(_) | Err(RecvTimeoutError::Disconnected) => Err(self.ended(limits)),
            Err(RecvTimeoutError::Timeout) => Err(format!(
                "it takes more than {} s for one call, which is the limit",
                limits.time.as_secs()
            )),
        }
    }

    /// Why the worker is gone.
    fn ended(&mut self, limits: Limits) -> String {
        let _ = self.child.kill();
        let how = self.child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
        let gib = limits.memory as f64 / (1u64 << 30) as f64;
        format!(
            "the runtime's process ended ({how}): the graph needs more than {gib:.1} GiB of memory or crashes the runtime, or somebody \
             ended the process"
        )
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The argument with which a program is started as a worker.
pub const COMMAND: &str = "onnx-worker";

/// Does a worker's work: loads and runs what the frames on `input` ask for until they end.
///
/// # Errors
/// If a frame cannot be read or written.
pub fn serve(input: impl Read, mut output: impl Write) -> io::Result<()> {
    let mut input = BufReader::new(input);
    let mut loaded: Option<Here> = None;
    loop {
        let (kind, contents) = match read(&mut input) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            frame => frame?,
        };
        let answer = match (kind, &loaded) {
            (LOAD, _) => load_of(&contents).ok_or_else(|| "a damaged request".to_owned()).and_then(|load| {
                loaded = Some(Here::load(&load)?);
                Ok(Vec::new())
            }),
            (RUN, Some(graph)) => match unpacked(&contents) {
                Some(input) => graph.run(&input).map(|output| packed(&output)).map_err(String::from),
                None => Err("a damaged request".to_owned()),
            },
            _ => Err("no model is loaded".to_owned()),
        };
        match answer {
            Ok(contents) => write(&mut output, DONE, &contents)?,
            Err(why) => write(&mut output, REFUSED, why.as_bytes())?,
        }
    }
}

fn load_of(contents: &[u8]) -> Option<Load<'_>> {
    let (bytes, mut rest) = contents.split_first()?;
    let mut name = || {
        let (length, tail) = rest.split_first_chunk()?;
        let (name, tail) = tail.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
        rest = tail;
        std::str::from_utf8(name).ok()
    };
    let (input, output) = (name()?, name()?);
    Some(Load { input, bytes: *bytes == 1, output, model: rest })
}

fn packed(numbers: &Numbers) -> Vec<u8> {
    let head = std::iter::once(numbers.shape.len()).chain(numbers.shape.iter().copied());
    let mut bytes: Vec<u8> = head.flat_map(|n| (n as u64).to_le_bytes()).collect();
    bytes.extend(numbers.values.iter().flat_map(|v| v.to_le_bytes()));
    bytes
}

fn unpacked(bytes: &[u8]) -> Option<Numbers> {
    let (rank, rest) = bytes.split_first_chunk::<8>()?;
    let rank = usize::try_from(u64::from_le_bytes(*rank)).ok().filter(|rank| *rank <= 16)?;
    let (shape, values) = rest.split_at_checked(8 * rank)?;
    let shape: Vec<usize> = shape
        .as_chunks::<8>()
        .0
        .iter()
        .map(|n| usize::try_from(u64::from_le_bytes(*n)).ok())
        .collect::<Option<_>>()?;
    let (values, odd) = values.as_chunks::<4>();
    let values: Vec<f32> = values.iter().map(|v| f32::from_le_bytes(*v)).collect();
    let count = shape.iter().try_fold(1usize, |count, side| count.checked_mul(*side))?;
    (odd.is_empty() && count == values.len()).then_some(Numbers { shape, values })
}

fn write(to: &mut impl Write, kind: u8, contents: &[u8]) -> io::Result<()> {
    to.write_all(&[kind])?;
    to.write_all(&(contents.len() as u64).to_le_bytes())?;
    to.write_all(contents)?;
    to.flush()
}

fn read(from: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 9];
    from.read_exact(&mut head)?;
    let length = u64::from_le_bytes(head[1..].try_into().expect("eight bytes"));
    if length > LONGEST {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut contents = Vec::new();
    // Grows with what comes, not with what is announced.
    from.take(length).read_to_end(&mut contents)?;
    if contents.len() as u64 != length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((head[0], contents))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Frames that load `model`, run it, and ask for nonsense.
    pub(in super::super) fn conversation(model: &[u8]) -> (Vec<u8>, Vec<u8>, Vec<u8>) {
        let frame = |kind, contents: &[u8]| {
            let mut bytes = Vec::new();
            write(&mut bytes, kind, contents).expect("memory");
            bytes
        };
        let name = |name: &str| [&(name.len() as u64).to_le_bytes()[..], name.as_bytes()].concat();
        let head = [&[0][..], &name("input"), &name("output")].concat();
        let input = Numbers { shape: vec![1, 3, 2, 2], values: vec![1.0; 12] };
        (frame(LOAD, &[&head[..], model].concat()), frame(RUN, &packed(&input)), frame(RUN, &[7; 3]))
    }

    #[test]
    fn numbers_come_back_and_damaged_ones_do_not() {
        let numbers = Numbers { shape: vec![2, 1], values: vec![0.5, -3.0] };
        let bytes = packed(&numbers);
        assert_eq!(unpacked(&bytes), Some(numbers));
        for end in 0..bytes.len() {
            assert_eq!(unpacked(&bytes[..end]), None);
        }
        assert_eq!(unpacked(&[&3u64.to_le_bytes()[..], &[255; 24]].concat()), None);
    }
}
