//! Parses the command line and dispatches to the command.

#[cfg(feature = "serve")]
use crate::commands::serve;
use crate::commands::{
    audit, completions, data, devices, evaluate, experiment, experiments, export, import, ls, man, networks,
    onnx_worker, quickstart, report, rm, single, slurm, status, work,
};
use crate::failure::{BUG, End, Result, STOPPED, Trouble};
use crate::signals::Stop;
use crate::ui;
use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, Parser, Subcommand};
use nasty_teacher::lab::recipe_key;
use nasty_teacher::numerics::Numerics;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

/// Make an image classifier undistillable, and measure how undistillable it is.
///
/// Exit codes: 0 done, 1 a bug, 2 wrong usage or configuration, 3 bad data or checkpoint, 4 an audit's condition
/// for a failure holds, 6 a loss that is not finite, 69 a server that does not answer, 75 stopped with its state saved (the same command resumes), 130/143 killed before that.
#[derive(Parser)]
#[command(name = "nasty", version, max_term_width = 110, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// See the whole idea on embedded real images, in minutes
    Quickstart(quickstart::QuickstartArgs),
    /// Run an experiment of the paper, or one of your own, and write its report
    Run(experiment::RunArgs),
    /// Run an experiment on a Slurm cluster: write the batch script of an array of workers, and submit it
    Slurm(Box<slurm::SlurmArgs>),
    /// Carry out tasks that `run` or `slurm` planned, together with other workers on the same store
    Work(work::WorkArgs),
    /// Show how far experiments have got: what is done, running (where), failed (why), waiting
    Status(status::StatusArgs),
    /// List the runs of a store with what they are
    Ls(ls::LsArgs),
    /// Delete runs
    Rm(rm::RmArgs),
    /// Delete what killed processes left, and what nothing refers to
    Gc(rm::GcArgs),
    /// List the experiments with what they show and what they cost
    Experiments(experiments::ExperimentsArgs),
    /// Write the report of experiments that were run
    Report(report::ReportArgs),
    /// Train a network: a normal teacher, or a student alone
    Train(single::TrainArgs),
    /// Train a nasty teacher against a normally trained adversarial network
    Undermine(single::UndermineArgs),
    /// Train a student that imitates a teacher
    Distill(single::DistillArgs),
    /// Measure how good a clone of a victim can be trained from its answers
    Audit(Box<audit::AuditCommand>),
    /// Measure a classifier's accuracy on a data set's test images
    Evaluate(Box<evaluate::EvaluateArgs>),
    /// Serve a classifier over HTTP by the Open Inference Protocol, with defences, API keys and query budgets
    #[cfg(feature = "serve")]
    Serve(Box<serve::ServeArgs>),
    /// Import weights from PyTorch: a checkpoint or a safetensors file
    Import(import::ImportArgs),
    /// Export weights: safetensors with PyTorch's names, or ONNX
    Export(export::ExportArgs),
    /// List the networks with their sizes, or the layers of one
    Networks(networks::NetworksArgs),
    /// List, download and check data sets
    Data(data::DataArgs),
    /// List the devices that this binary can use on this machine, or check one
    Devices(devices::DevicesArgs),
    /// Print a script that completes arguments in bash, zsh, fish, elvish or PowerShell
    Completions(completions::CompletionsArgs),
    /// Compute an ONNX graph for another process
    #[command(hide = true)]
    OnnxWorker,
    /// Write the manual pages
    #[command(hide = true)]
    Man(man::ManArgs),
}

/// Runs the program.
pub fn run() -> ExitCode {
    ExitCode::from(guarded(|| match parse_and_do() {
        Ok(End::Done) => 0,
        Ok(End::Stopped) => STOPPED,
        Ok(End::Decided(code)) => code,
        Err(failure) => ui::show(&failure),
    }))
}

/// The exit code that `work` gives, or that of a bug if it panics.
fn guarded(work: impl FnOnce() -> u8) -> u8 {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| {
        ui::say(false, "error: the message above is a bug of this program; please report it");
        BUG
    })
}

fn parse_and_do() -> Result<End> {
    let cli = Cli::try_parse().unwrap_or_else(|error| with_key(error).exit());
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("NASTY_LOG")
                .unwrap_or_else(|_| "warn,nasty_serve=info".into()),
        )
        .with_writer(|| ui::Talk)
        .without_time()
        .with_target(false)
        .init();
    warn_of_kernels();
    let stop = match &cli.command {
        // A server listens to signals by itself: SIGHUP does not stop it.
        #[cfg(feature = "serve")]
        Command::Serve(_) => Stop::default(),
        _ => Stop::on_signals()
            .map_err(|e| Trouble::bug(format!("cannot install signal handlers: {e}"), None))?,
    };
    match &cli.command {
        Command::Quickstart(args) => quickstart::run(args, &stop),
        Command::Run(args) => experiment::run(args, &stop),
        Command::Slurm(args) => slurm::run(args),
        Command::Work(args) => work::run(args, &stop),
        Command::Status(args) => status::run(args, &stop),
        Command::Ls(args) => ls::run(args),
        Command::Rm(args) => rm::remove(args),
        Command::Gc(args) => rm::collect(args),
        Command::Experiments(args) => experiments::run(args),
        Command::Report(args) => report::run(args),
        Command::Train(args) => single::train(args, &stop),
        Command::Undermine(args) => single::undermine(args, &stop),
        Command::Distill(args) => single::distill(args, &stop),
        Command::Audit(args) => audit::run(args, &stop),
        Command::Evaluate(args) => evaluate::run(args, &stop),
        #[cfg(feature = "serve")]
        Command::Serve(args) => serve::run(args),
        Command::Import(args) => import::run(args),
        Command::Export(args) => export::run(args),
        Command::Networks(args) => networks::run(args),
        Command::Data(args) => data::run(args, &stop),
        Command::Devices(args) => devices::run(args),
        Command::Completions(args) => completions::run(args, Cli::command()),
        Command::OnnxWorker => onnx_worker::run(),
        Command::Man(args) => man::run(args, Cli::command()),
    }
}

/// A wrong name in the environment must not look like a choice that was followed.
fn warn_of_kernels() {
    let used = Numerics::here("flex").instruction_set;
    if let Some(asked) = std::env::var_os("NASTY_KERNELS").filter(|asked| *asked != *used) {
        tracing::warn!(
            "NASTY_KERNELS is {}: expected avx512bf16, avx512, avx2 or baseline, and one that this machine has; using {used}",
            asked.display()
        );
    }
}

/// The error for `--epochs 3` says how settings of a recipe are written.
fn with_key(mut error: clap::Error) -> clap::Error {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else { return error };
    let Some(key) = Some(flag).filter(|flag| flag.starts_with("--")).and_then(|flag| recipe_key(flag)) else {
        return error;
    };
    // The first word that is no option is the subcommand.
    let key = match std::env::args().skip(1).find(|word| !word.starts_with('-')).as_deref() {
        Some("train" | "undermine" | "distill") => key,
        Some("run") => format!("recipe.{key}"),
        _ => return error,
    };
    let tip = format!("settings are written KEY=VALUE, without dashes: {key}=VALUE").into();
    error.remove(ContextKind::Suggested);
    error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    error
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_exits_as_a_bug() {
        assert_eq!(guarded(|| 3), 3);
        assert_eq!(guarded(|| panic!("a bug")), 1);
    }
}
