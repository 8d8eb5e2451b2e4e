//! The runtime in a process of its own, so that a foreign graph can neither take more memory or time than it is given nor
//! end the program.

use super::frames::{DONE, LOAD, REFUSED, RUN, load_packed, load_unpacked, packed, read, unpacked, write};
use super::session::{Failure, Here, Load, Numbers, Session};
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

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
    /// The library of onnxruntime, which computes the models then.
    library: Option<PathBuf>,
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
    /// The name of what computes it.
    runtime: String,
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
        let (process, models) = (Mutex::default(), AtomicU64::new(0));
        Self { program: program.to_owned(), library: None, most, process, models }
    }

    /// The same worker, whose models onnxruntime computes, in the library `library`. It needs the cargo feature `ort`.
    pub fn with_onnxruntime(self, library: &Path) -> Self {
        Self { library: Some(library.to_owned()), ..self }
    }

    /// Whether the built-in runtime computes its models.
    pub(super) fn is_built_in(&self) -> bool {
        self.library.is_none()
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
        let utf8 = |library: &Path| {
            let text = library.to_str().map(str::to_owned);
            text.ok_or_else(|| format!("{}: expected a path in UTF-8", library.display()))
        };
        let library = self.library.as_deref().map(utf8).transpose()?;
        let request = load_packed(&Load { library: library.as_deref(), ..load.clone() });
        let limits =
            Limits { memory: limits.memory.min(self.most.memory), time: limits.time.min(self.most.time) };
        let mut slot = self.slot();
        let number = self.models.fetch_add(1, Ordering::Relaxed) + 1;
        let (worker, runtime, restarts) = (self.clone(), String::new(), Mutex::default());
        let mut loaded = Loaded { worker, number, limits, runtime, request, restarts };
        if slot.as_mut().is_none_or(|process| process.memory != limits.memory || process.is_gone()) {
            // Two of them at once would take twice the memory.
            *slot = None;
            *slot = Some(self.start(limits)?);
        }
        let runtime = loaded.ask(&mut slot, LOAD, &loaded.request)?;
        drop(slot);
        loaded.runtime = String::from_utf8_lossy(&runtime).into_owned();
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
    fn runtime(&self) -> &str {
        &self.runtime
    }

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
        command.arg(COMMAND).env("RTEN_NUM_THREADS", &threads).env("RAYON_NUM_THREADS", threads);
        command.env_remove("RTEN_TIMING");
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
    let mut loaded: Option<Box<dyn Session>> = None;
    loop {
        let (kind, contents) = match read(&mut input) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            frame => frame?,
        };
        let answer = match (kind, &loaded) {
            (LOAD, _) => match load_unpacked(&contents) {
                Some(request) => {
                    // Two of them at once would take twice the memory.
                    loaded = None;
                    session(&request).map(|session| loaded.insert(session).runtime().as_bytes().to_vec())
                }
                None => Err("a damaged request".to_owned()),
            },
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

/// The model of `load`, in this process, computed by what it asks for.
fn session(load: &Load<'_>) -> Result<Box<dyn Session>, String> {
    match load.library {
        None => Ok(Box::new(Here::load(load)?)),
        #[cfg(feature = "ort")]
        Some(library) => Ok(Box::new(super::onnxruntime::Onnxruntime::load(library.as_ref(), load)?)),
        #[cfg(not(feature = "ort"))]
        Some(_) => Err(super::engine::NOT_BUILT_IN.to_owned()),
    }
}
