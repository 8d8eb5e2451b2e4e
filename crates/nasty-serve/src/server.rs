//! The server's life: it opens what it needs, serves, and ends when it is told to.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsAcceptor, RustlsConfig};
use miette::Diagnostic;
use nasty_teacher::{Classified, ErrorClass};
use tokio::sync::Semaphore;

use crate::accounts::{Accounts, OpenError};
use crate::audit_log::AuditLog;
use crate::batching::Batcher;
use crate::connections::Limited;
use crate::counters::Counters;
use crate::http::{Service, router};
use crate::keys::KeysError;
use crate::ledger::LedgerError;
use crate::memory::Memory;
use crate::model::Model;
use crate::tls::{TlsError, TlsFiles};

/// Bytes of a connection that are read before they are asked for, and of its headers.
const CONNECTION_BUFFER: usize = 64 << 10;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// The address to listen at.
    pub host: IpAddr,
    /// The port; 0 is any free one.
    pub port: u16,
    /// The file of keys, and that of what they have used.
    pub keys: Option<(PathBuf, PathBuf)>,
    /// Whether to serve addresses beyond this machine without keys.
    pub public: bool,
    /// The audit log.
    pub log: Option<PathBuf>,
    /// Without it, HTTP is not encrypted.
    pub tls: Option<TlsFiles>,
    /// Limits.
    pub limits: Limits,
}

/// What bounds a server's memory and time.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Images that the model is asked at once.
    pub batch: usize,
    /// Images of a request.
    pub images: usize,
    /// Images that wait for the model.
    pub waiting: usize,
    /// Bytes of a request's body, before and after decompression.
    pub body_bytes: usize,
    /// Bytes held for all requests.
    pub memory_bytes: usize,
    /// Open connections.
    pub connections: usize,
    /// How long headers may take, and how long a connection may be idle.
    pub header_time: Duration,
    /// How long a body may take.
    pub body_time: Duration,
    /// How long a client may stop reading its answer.
    pub write_time: Duration,
    /// From the signal to stop, how long new connections are still taken.
    pub grace: Duration,
    /// After that, how long requests under way may take.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            batch: 64,
            images: 256,
            waiting: 4096,
            body_bytes: 64 << 20,
            memory_bytes: 512 << 20,
            connections: 1024,
            header_time: Duration::from_secs(30),
            body_time: Duration::from_secs(60),
            write_time: Duration::from_secs(30),
            grace: Duration::ZERO,
            drain: Duration::from_secs(30),
        }
    }
}

/// A server that cannot start, or that ended.
#[derive(Debug, thiserror::Error, Diagnostic)]
pub enum ServeError {
    /// Not without keys.
    #[error("without API keys, everyone who reaches {0} could ask without limit")]
    #[diagnostic(help("give a file of keys, or listen at 127.0.0.1"))]
    Exposed(IpAddr),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {source}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The audit log.
    #[error("{}: {source}", path.display())]
    Log {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The system refuses threads or signals.
    #[error("the server cannot run: {0}")]
    System(#[source] io::Error),
    /// The keys.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keys(KeysError),
    /// The ledger.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ledger(LedgerError),
    /// The certificate.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Tls(#[from] TlsError),
}

impl From<OpenError> for ServeError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Keys(error) => Self::Keys(error),
            OpenError::Ledger(error) => Self::Ledger(error),
        }
    }
}

impl Classified for ServeError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Exposed(_) | Self::Listen { .. } => ErrorClass::Usage,
            Self::Log { .. } | Self::System(_) => ErrorClass::Data,
            Self::Keys(error) => error.class(),
            Self::Ledger(error) => error.class(),
            Self::Tls(error) => error.class(),
        }
    }
}

/// Serves `model` until SIGTERM or Ctrl-C; calls `listening` with the address once connections are taken.
///
/// The first signal makes the server unready; requests under way are finished. A second one ends the process at once. SIGHUP
/// reads keys and certificates again, and opens the audit log anew.
///
/// # Errors
/// [`ServeError`] if it cannot start.
pub fn serve(
    model: Arc<dyn Model>,
    options: &Options,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), ServeError> {
    if options.keys.is_none() && !options.host.is_loopback() && !options.public {
        return Err(ServeError::Exposed(options.host));
    }
    let tls = options.tls.as_ref().map(TlsFiles::read).transpose()?.map(RustlsConfig::from_config);
    let service = Arc::new(open(model, options)?);
    let address = SocketAddr::new(options.host, options.port);
    let listener = TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source })?;
    let address = listener.local_addr().map_err(|source| ServeError::Listen { address, source })?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(16)
        .enable_all()
        .build()
        .map_err(ServeError::System)?;
    let served = runtime.block_on(async {
        let handle = Handle::new();
        let signals = signals::Signals::listen().map_err(ServeError::System)?;
        let watch = Watch {
            service: service.clone(),
            tls: tls.clone().zip(options.tls.clone()),
            handle: handle.clone(),
            limits: options.limits.clone(),
        };
        tokio::spawn(watch.run(signals));
        listening(address);
        run(listener, service, tls, handle, &options.limits).await.map_err(ServeError::System)
    });
    // A client that still dribbles its body is not waited for.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

fn open(model: Arc<dyn Model>, options: &Options) -> Result<Service, ServeError> {
    let limits = &options.limits;
    let accounts = match &options.keys {
        Some((keys, ledger)) => Some(Arc::new(Accounts::open(keys, ledger)?)),
        None => None,
    };
    let open = |path: &PathBuf| {
        AuditLog::open(path).map_err(|source| ServeError::Log { path: path.clone(), source })
    };
    let log = options.log.as_ref().map(open).transpose()?;
    let counters = Arc::new(Counters::default());
    let batcher = Batcher::new(model.clone(), limits.batch, limits.waiting, counters.clone())
        .map_err(ServeError::System)?;
    Ok(Service {
        model,
        batcher,
        accounts,
        log,
        counters,
        memory: Memory::new(limits.memory_bytes),
        ready: AtomicBool::new(true),
        connections: Arc::new(Semaphore::new(limits.connections)),
        most_connections: limits.connections,
        most_images: limits.images,
        most_bytes: limits.body_bytes,
        body_time: limits.body_time,
    })
}

async fn run(
    listener: TcpListener,
    service: Arc<Service>,
    tls: Option<RustlsConfig>,
    handle: Handle<SocketAddr>,
    limits: &Limits,
) -> io::Result<()> {
    let limited = Limited { permits: service.connections.clone(), write_time: limits.write_time };
    let app = router(service).into_make_service();
    let mut server = axum_server::from_tcp(listener)?.handle(handle).http1_only();
    server.http_builder().http1().header_read_timeout(limits.header_time).max_buf_size(CONNECTION_BUFFER);
    match tls {
        None => server.acceptor(limited).serve(app).await,
        Some(tls) => server.acceptor(RustlsAcceptor::new(tls).acceptor(limited)).serve(app).await,
    }
}

/// What signals do.
struct Watch {
    service: Arc<Service>,
    tls: Option<(RustlsConfig, TlsFiles)>,
    handle: Handle<SocketAddr>,
    limits: Limits,
}

impl Watch {
    async fn run(self, mut signals: signals::Signals) {
        while matches!(signals.next().await, signals::Signal::Reload) {
            self.reload();
        }
        tracing::info!("stopping: requests under way are finished");
        self.service.ready.store(false, Ordering::Relaxed);
        let drain = async {
            tokio::time::sleep(self.limits.grace).await;
            self.handle.graceful_shutdown(Some(self.limits.drain));
            std::future::pending::<()>().await;
        };
        let again = async {
            loop {
                if let signals::Signal::Stop(code) = signals.next().await {
                    return code;
                }
            }
        };
        tokio::select! {
            () = drain => {}
            code = again => std::process::exit(code),
        }
    }

    /// Reads again what may have changed. What cannot be read stays as it was.
    fn reload(&self) {
        if let Some(accounts) = &self.service.accounts {
            match accounts.reload() {
                Ok(count) => tracing::info!("{count} keys read again"),
                Err(e) => tracing::error!("{e}; the former keys stay"),
            }
        }
        if let Some((config, files)) = &self.tls {
            match files.read() {
                Ok(read) => config.reload_from_config(read),
                Err(e) => tracing::error!("{e}; the former certificate stays"),
            }
        }
        if let Some(log) = &self.service.log
            && let Err(e) = log.reopen()
        {
            tracing::error!("{}: {e}; the former file is written on", log.path().display());
        }
    }
}

mod signals;
