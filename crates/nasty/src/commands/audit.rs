//! `nasty audit`.

use super::asking::AskingArgs;
use super::compare::{self, CompareArgs};
use super::defences::DefenceArgs;
use super::place::{PlaceArgs, interface, named};
use super::record::{self, RecordArgs};
use crate::failure::{CommandError, End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, PlanWatcher};
use clap::{Args, Subcommand, value_parser};
use nasty_teacher::audit::{
    AuditEnd, Battery, Condition, Request, Schedule, Subject, carry_out, decide, verdict,
};
use nasty_teacher::data::DataName;
use nasty_teacher::lab::{AskOptions, Calibration, Executor, Local, Plan, Planned, ThiefResult, Workplace};
use nasty_teacher::nets::Architecture;
use nasty_teacher::report::audit::{Options, write};
use nasty_teacher::victim::Interface;
use std::path::PathBuf;

/// Arguments of `nasty audit`.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    subcommand_help_heading = "With finished audits"
)]
pub struct AuditCommand {
    #[command(subcommand)]
    finished: Option<Finished>,
    #[command(flatten)]
    audit: AuditArgs,
}

#[derive(Subcommand)]
enum Finished {
    /// Put audits side by side, by what their victims cost honest users
    Compare(CompareArgs),
    /// Write an audit's entry of a public list
    Record(RecordArgs),
}

/// Arguments of an audit.
#[derive(Args)]
struct AuditArgs {
    /// A run's hash or folder, an imported network's folder, an ONNX file, or a server's address
    // Required, but absent beside a subcommand.
    #[arg(required = true)]
    victim: Option<String>,
    /// Data set, such as cifar10: clones are tested on its test images
    #[arg(long, required = true, value_name = "NAME", value_parser = named::<DataName>)]
    data: Option<DataName>,
    /// A pool of other images, such as cifar100 or folder:PATH: thieves ask about these too
    #[arg(long, value_name = "NAME", value_parser = named::<DataName>)]
    pool: Option<DataName>,
    /// The thieves: quick (minutes), standard (hours) or full
    #[arg(long, default_value_t = Battery::Standard, value_name = "NAME")]
    battery: Battery,
    /// The most images that a thief asks about
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = value_parser!(u32).range(10..))]
    budget: u32,
    /// Seeds: clones of each thief
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = value_parser!(u8).range(1..=20))]
    seeds: u8,
    /// Architecture of clones, beside those of the battery; may be given several times
    #[arg(long = "student", value_name = "NAME", value_parser = named::<Architecture>)]
    students: Vec<Architecture>,
    /// What is revealed: logits, probabilities, top-k:K, rounded:DECIMALS or label [default: all that the victim has]
    #[arg(long, value_name = "KIND", value_parser = interface)]
    interface: Option<Interface>,
    #[command(flatten)]
    defences: DefenceArgs,
    /// The victim without its own defences, such as the normal teacher of a nasty one
    #[arg(long, value_name = "RUN", conflicts_with = "defence")]
    undefended: Option<String>,
    /// The accuracy that the owner claims, from 0 to 1
    #[arg(long, value_name = "SHARE", value_parser = share)]
    claimed: Option<f64>,
    /// Use the first N test images only
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(100..))]
    test_images: Option<u32>,
    /// Give thieves the second half of the test images, and test on the first: for a victim of which it is not known what it was
    /// trained on
    #[arg(long)]
    half_of_test: bool,
    /// Optimiser steps of each clone, in place of the battery's: the figures are not comparable with other audits
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    steps: Option<u32>,
    /// Exit with code 4 if this holds, such as 'clone >= 0.95*victim'
    #[arg(long, value_name = "CONDITION", value_parser = condition)]
    fail_on: Option<Condition>,
    /// Write SARIF 2.1.0 for code scanners
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,
    /// Write JUnit's XML for continuous integration
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Train clones even of a victim that is at chance or far from its claim
    #[arg(long)]
    regardless: bool,
    /// Show the thieves, the queries and the hours, and stop
    #[arg(long)]
    dry_run: bool,
    /// Number of clones to train in parallel; results do not depend on it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    jobs: u16,
    /// Folder for the report
    #[arg(long, short, default_value = "audit", value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    asking: AskingArgs,
}

/// Audits a victim and writes the report, or does something with finished audits.
pub fn run(command: &AuditCommand, stop: &Stop) -> Result<End> {
    match &command.finished {
        Some(Finished::Compare(args)) => compare::run(args),
        Some(Finished::Record(args)) => record::run(args),
        None => audit(&command.audit, stop),
    }
}

fn audit(args: &AuditArgs, stop: &Stop) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let (Some(victim), Some(data)) = (&args.victim, &args.data) else {
        return Err(Trouble::usage("expected a victim and --data", Some("see `nasty audit --help`")).into());
    };
    let workplace = if args.dry_run { args.place.look()? } else { args.place.open()? };
    let subject = Subject::open(request(args, victim, data)?, &workplace)?;
    for note in &subject.notes {
        ui::say(quiet, note);
    }
    if args.dry_run {
        return dry_run(&subject, &workplace);
    }
    let mut execute = |plan: &Plan| {
        let told = |planned: &Planned| told(&workplace, planned);
        let watcher = PlanWatcher::new(plan.tasks.len(), quiet, stop.clone(), &told).briefly();
        let ends = Local { worker: &workplace, jobs: args.jobs.into() }.execute(plan, &watcher);
        watcher.finish();
        ends
    };
    let AuditEnd { report, stopped, refused, mut failures } =
        carry_out(&subject, &workplace, &typed(), args.regardless, &mut execute)?;
    let mut code = None;
    if let Some(report) = report {
        let verdict = verdict(&report);
        let decision = decide(&verdict, report.made.complete, args.fail_on.as_ref());
        code = Some(decision.exit_code());
        let (fail_on, sarif, junit) = (args.fail_on.clone(), args.sarif.clone(), args.junit.clone());
        let written = write(&report, &verdict, &args.out, &Options { decision, fail_on, sarif, junit })?;
        ui::data(&written.text)?;
        ui::data(&format!("\nreport   {}", written.page.display()))?;
    }
    if let Some(why) = refused {
        let help = "give the right victim, data set or claim; --regardless trains clones all the same";
        return Err(Trouble::data(why, Some(help)).into());
    }
    if !failures.is_empty() {
        let first = failures.remove(0);
        failures.into_iter().for_each(|other| {
            ui::show(&CommandError::from(other));
        });
        return Err(first.into());
    }
    match code {
        _ if stopped => {
            ui::say(quiet, "stopped; all states are saved, the same command resumes");
            Ok(End::Stopped)
        }
        Some(code) => Ok(End::Decided(code)),
        None => Ok(End::Done),
    }
}

fn request(args: &AuditArgs, victim: &str, data: &DataName) -> Result<Request> {
    Ok(Request {
        victim: victim.to_owned(),
        how: AskOptions {
            interface: args.interface,
            ..args.defences.added(args.asking.options()?, Some(data.clone()))
        },
        undefended: args.undefended.clone(),
        data: data.clone(),
        pool: args.pool.clone(),
        budget: args.budget as usize,
        battery: args.battery,
        seeds: args.seeds.into(),
        students: args.students.clone(),
        test_images: args.test_images.map(|n| n as usize),
        half_of_test: args.half_of_test,
        claimed: args.claimed,
        steps: args.steps.map(|n| n as usize),
    })
}

/// What would be done: thieves with their queries, and the hours.
fn dry_run(subject: &Subject, workplace: &Workplace) -> Result<End> {
    let schedule = Schedule::of(subject, false);
    for trial in &schedule.trials {
        let why = trial.obstacle.as_ref().map_or_else(String::new, |why| format!("  not tried: {why}"));
        ui::data(&format!("{}{why}", trial.name()))?;
    }
    let usual = Calibration::usual_file();
    let mut speed = Calibration::open(workplace.device.clone(), &workplace.device_name, usual);
    let hours = schedule.seconds(subject, &mut speed)? / 3600.0;
    ui::data(&format!(
        "{} clones, {} queries to the victim, about {hours:.1} hours of training on this machine",
        schedule.trials.iter().filter(|trial| trial.obstacle.is_none()).count(),
        schedule.queries(subject)
    ))?;
    Ok(End::Done)
}

/// What a task that just ended is said to have given.
fn told(workplace: &Workplace, planned: &Planned) -> String {
    match workplace.store.run(&planned.hash).other_result::<ThiefResult>() {
        Ok(Some(result)) => format!("{:>6.2} %  {:>7.1} s", 100.0 * result.test.accuracy, result.seconds),
        _ => String::new(),
    }
}

/// The command as it was typed.
fn typed() -> String {
    let words = std::env::args().skip(1).map(|word| {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/+%@".contains(c);
        if !word.is_empty() && word.chars().all(plain) {
            word
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    });
    ["nasty".to_owned()].into_iter().chain(words).collect::<Vec<_>>().join(" ")
}

fn condition(text: &str) -> std::result::Result<Condition, String> {
    Condition::parse(text).map_err(|e| e.to_string())
}

fn share(text: &str) -> std::result::Result<f64, String> {
    let share: f64 = text.parse().map_err(|e| format!("{e}"))?;
    if (0.0..=1.0).contains(&share) { Ok(share) } else { Err("expected a share from 0 to 1".into()) }
}
