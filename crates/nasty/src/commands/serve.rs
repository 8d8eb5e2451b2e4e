//! `nasty serve`.

use super::asking::AskingArgs;
use super::defences::DefenceArgs;
use super::place::{PlaceArgs, interface, named};
use crate::failure::{CommandError, End, Result};
use crate::ui;
use clap::{Args, value_parser};
use nasty_serve::{Input, Limits, Model, Options, ServeError, Served, TlsFiles, UnservableError, serve};
use nasty_teacher::data::DataName;
use nasty_teacher::lab::{AskOptions, Opened, is_address, open_victim};
use nasty_teacher::victim::{HttpSettings, Interface};
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Arguments of `nasty serve`.
#[derive(Args)]
pub struct ServeArgs {
    /// What to serve: a run's hash or folder, an imported network's folder, an ONNX file, or another server's address
    victim: String,
    /// Name by which clients ask for it [default: the last part of VICTIM]
    #[arg(long)]
    name: Option<String>,
    /// Address to listen at; one that other machines reach needs --keys
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST), value_name = "ADDRESS")]
    host: IpAddr,
    /// Port to listen at; 0 is any free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Take UINT8 or 0-to-1 pixels and normalise them here; without this, clients send normalised images
    #[arg(long)]
    pixels: bool,
    /// What answers reveal: logits, probabilities, top-k:K, rounded:DECIMALS or label [default: all that there is]
    #[arg(long, value_name = "KIND", value_parser = interface)]
    reveal: Option<Interface>,
    #[command(flatten, next_help_heading = "Defences")]
    defence: DefenceArgs,
    /// Data set of the owner, whose training images some defences need
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>, requires = "defence")]
    owner_data: Option<DataName>,
    #[command(flatten)]
    access: AccessArgs,
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Who may ask, and what is written down.
#[derive(Args)]
#[command(next_help_heading = "Access")]
struct AccessArgs {
    /// File of API keys with their rates and budgets (TOML); read again on SIGHUP
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// File that records what each key has used [default: the file of keys, with .used at its end]
    #[arg(long, value_name = "FILE", requires = "keys")]
    ledger: Option<PathBuf>,
    /// Serve other machines without keys: everyone who reaches the address may ask without limit
    #[arg(long)]
    public: bool,
    /// File to which every answered request is appended, as a line of JSON
    #[arg(long, value_name = "FILE")]
    audit_log: Option<PathBuf>,
    /// Certificate and those that signed it (PEM), for HTTPS
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    tls_key: Option<PathBuf>,
}

/// Bounds of memory and time.
#[derive(Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Images that the network answers at once: those of requests that wait together
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    max_batch: u16,
    /// Images of a request
    #[arg(long, default_value_t = 256, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    max_images: u32,
    /// MiB of a request's body, also after decompression
    #[arg(long, default_value_t = 64, value_name = "MIB", value_parser = value_parser!(u32).range(1..))]
    max_body: u32,
    /// MiB that all requests hold together
    #[arg(long, default_value_t = 512, value_name = "MIB", value_parser = value_parser!(u32).range(1..))]
    max_memory: u32,
    /// Open connections
    #[arg(long, default_value_t = 1024, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    max_connections: u16,
    /// Seconds within which a connection's next headers must arrive
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = value_parser!(u16).range(1..))]
    header_time: u16,
    /// Seconds within which a request's body must arrive
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = value_parser!(u16).range(1..))]
    body_time: u16,
    /// Seconds after SIGTERM in which new connections are still taken, for load balancers to notice
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    grace: u16,
    /// Seconds after that in which requests under way may finish
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    drain: u16,
}

/// Serves a victim until SIGTERM or Ctrl-C.
pub fn run(args: &ServeArgs) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let workplace = args.place.look()?;
    let AskOptions { asking, http, .. } = args.asking.options()?;
    // A client waits, and so do all others: it is told to come again.
    let http = HttpSettings { tries: is_address(&args.victim).then_some(1), ..http };
    let asked = AskOptions { interface: args.reveal, asking, http, ..AskOptions::default() };
    let how = args.defence.added(asked, args.owner_data.clone());
    let Opened { victim, notes, .. } = open_victim(&args.victim, &how, &workplace)?;
    notes.iter().for_each(|note| ui::say(quiet, note));
    let name = args.name.clone().unwrap_or_else(|| last_part(&args.victim));
    let input = if args.pixels { Input::Pixels } else { Input::Normalised };
    let model = Served::new(victim, &how.defence, name, input).map_err(|error| {
        let hint = match error {
            UnservableError::Name(_) => Some("choose one with --name"),
            UnservableError::PixelsOnly => Some("add --pixels"),
            UnservableError::NoInput => None,
        };
        CommandError::hinted(error, hint)
    })?;
    let options = args.options();
    if !options.host.is_loopback() && options.tls.is_none() {
        ui::say(false, "warning: without --tls-certificate, keys and images travel unencrypted");
    }
    let about = model.about().clone();
    let scheme = if options.tls.is_some() { "https" } else { "http" };
    let listening = |address| {
        let [channels, height, width] = about.image;
        ui::say(
            quiet,
            &format!(
                "{}: images {channels}×{height}×{width}, {} classes; defence: {}; reveals {}",
                about.name,
                about.classes(),
                about.defence,
                about.reveals
            ),
        );
        // Nobody may be reading: that is no reason not to serve.
        let _ = ui::data(&format!("{scheme}://{address}/v2/models/{}", about.name));
    };
    serve(Arc::new(model), &options, listening).map_err(|error| {
        let hint = match error {
            ServeError::Exposed(_) => Some("--keys FILE, or --public if everyone may ask without limit"),
            _ => None,
        };
        CommandError::hinted(error, hint)
    })?;
    Ok(End::Done)
}

impl ServeArgs {
    fn options(&self) -> Options {
        let Self { access, limits, .. } = self;
        let used = |keys: &PathBuf| {
            let beside = || {
                let mut name = keys.clone().into_os_string();
                name.push(".used");
                name.into()
            };
            (keys.clone(), access.ledger.clone().unwrap_or_else(beside))
        };
        let tls = access.tls_certificate.clone().zip(access.tls_key.clone());
        let seconds = |n: u16| Duration::from_secs(n.into());
        let mib = |n: u32| (n as usize) << 20;
        let usual = Limits::default();
        let images = limits.max_images as usize;
        Options {
            host: self.host,
            port: self.port,
            keys: access.keys.as_ref().map(used),
            public: access.public,
            log: access.audit_log.clone(),
            tls: tls.map(|(certificate, key)| TlsFiles { certificate, key }),
            limits: Limits {
                batch: limits.max_batch.into(),
                images,
                waiting: usual.waiting.max(images),
                body_bytes: mib(limits.max_body),
                memory_bytes: mib(limits.max_memory),
                connections: limits.max_connections.into(),
                header_time: seconds(limits.header_time),
                body_time: seconds(limits.body_time),
                grace: seconds(limits.grace),
                drain: seconds(limits.drain),
                ..usual
            },
        }
    }
}

/// The last part of a path, a hash or an address, without a file's extension.
fn last_part(victim: &str) -> String {
    let path = Path::new(victim);
    let part = if path.is_file() { path.file_stem() } else { path.file_name() };
    part.map_or_else(|| "model".into(), |part| part.to_string_lossy().into_owned())
}
