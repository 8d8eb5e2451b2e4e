//! `nasty slurm`.

use super::experiment::{hinted, keep};
use super::place::PlaceArgs;
use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::{Args, value_parser};
use nasty_teacher::data::DataName;
use nasty_teacher::device::gpu_kind;
use nasty_teacher::lab::experiment::Experiment;
use nasty_teacher::lab::{Array, Calibration, Plan, Record, TimeLimit, Workplace, price, quoted};
use nasty_teacher::victim::onnx::Engine;
use nasty_teacher::write_whole;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Arguments of `nasty slurm`.
#[derive(Args)]
pub struct SlurmArgs {
    /// An experiment listed by `nasty experiments`, or an experiment file
    #[arg(value_name = "EXPERIMENT")]
    experiment: String,
    /// Changes to its file, such as scale=paper 'seeds=[0,1,2]' teacher.omega=0.01 recipe.epochs=3
    #[arg(value_name = "KEY=VALUE")]
    changes: Vec<String>,
    /// Workers at a time
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    workers: u16,
    /// Time of one worker, as sbatch takes it, such as 4:00:00
    #[arg(long, value_name = "TIME")]
    time: TimeLimit,
    /// How many workers follow each other, the first one counted [default: enough for twice the estimated work]
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    rounds: Option<u16>,
    /// Tasks that a worker runs in parallel, sharing its processors; results do not depend on it
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    pack: u16,
    /// GPUs of a worker, which then computes on them
    #[arg(long, value_name = "N", value_parser = value_parser!(u16).range(1..))]
    gpus: Option<u16>,
    /// A worker ends after so many seconds without work, once others carry out all that is left
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    until_idle: u64,
    /// Workers refuse machines that round otherwise than the first one's
    #[arg(long)]
    same_numerics: bool,
    /// Count the work instead of measuring how fast this machine does it
    #[arg(long)]
    no_estimate: bool,
    /// Print the batch script, and stop
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    place: PlaceArgs,
    /// Options of sbatch, such as --partition=cpu --cpus-per-task=8
    #[arg(last = true, value_name = "SBATCH-OPTION")]
    options: Vec<String>,
}

/// Writes the batch script of an array of workers, and submits it.
pub fn run(args: &SlurmArgs) -> Result<End> {
    let quiet = args.place.machine.quiet;
    let experiment = Experiment::find(&args.experiment, &args.changes).map_err(hinted)?;
    let device = match args.gpus {
        None => args.place.machine.device.clone(),
        Some(_) => gpu_kind().map(str::to_owned).ok_or_else(|| {
            let help = "build it with --features cuda, rocm, vulkan or webgpu";
            Trouble::usage("--gpus, but this program was built without GPUs", Some(help))
        })?,
    };
    let workplace = if args.dry_run { args.place.look()? } else { args.place.open()? };
    let resolved = experiment.resolve(&mut |name, side| workplace.facts(name, side))?;
    let mut plan = Plan::new(resolved.tasks.clone());
    let hours = estimate(args, &workplace, &mut plan, &|name| resolved.data.get(&name.to_string()).cloned())?;
    let record = Record::new(&experiment, &resolved, &args.experiment, &args.changes);
    let workers = usize::from(args.workers);
    let rounds = match (args.rounds, hours) {
        (Some(rounds), _) => rounds.into(),
        (None, Some(hours)) => Array::rounds_for(hours, workers, &args.time),
        (None, None) => 3,
    };
    let store = absolute(&args.place.store)?;
    let logs = store.join("slurm");
    let array = Array {
        experiment: experiment.name.clone(),
        tasks: plan.tasks.len(),
        made_by: std::env::args().map(|word| quoted(&word)).collect::<Vec<_>>().join(" "),
        workers,
        rounds,
        time: args.time.clone(),
        threads: args.place.machine.threads,
        gpus: args.gpus,
        options: args.options.clone(),
        command: worker(args, &store, &record, &device)?,
        logs: logs.clone(),
    };
    let script = array.to_string();
    if args.dry_run {
        ui::data(script.trim_end())?;
        return Ok(End::Done);
    }
    if let Some(hours) = hours {
        let text = format!("about {hours:.1} hours of work at this machine's speed, for {workers} workers");
        ui::say(quiet, &text);
    }
    keep(&workplace, &record, &plan)?;
    workplace.store.forget_failures(&plan)?;
    std::fs::create_dir_all(&logs).map_err(|e| Trouble::refused(logs.display(), &e))?;
    let file = logs.join(record.file_name().replace(".json", ".sbatch"));
    write_whole(&file, script.as_bytes()).map_err(|e| Trouble::refused(file.display(), &e))?;
    let job = submit(&file)?;
    let elements = array.elements();
    ui::data(&format!(
        "job      {job}: {elements} workers, {workers} at a time\nscript   {}",
        file.display()
    ))?;
    ui::data(&format!("logs     {}/{job}_*.log", logs.display()))?;
    ui::say(
        quiet,
        &format!("`nasty status --store {}` shows how far it is", quoted(&store.display().to_string())),
    );
    Ok(End::Done)
}

/// Gives the tasks their costs; hours of work, where they were measured.
fn estimate(
    args: &SlurmArgs,
    workplace: &Workplace,
    plan: &mut Plan,
    facts: &dyn Fn(&DataName) -> Option<nasty_teacher::lab::DataFacts>,
) -> Result<Option<f64>> {
    if args.no_estimate {
        price(plan, facts, &workplace.device, None)?;
        return Ok(None);
    }
    ui::say(args.place.machine.quiet, "measuring how fast this machine is");
    let device = workplace.device.clone();
    let mut calibration = Calibration::open(device, &workplace.device_name, Calibration::usual_file());
    price(plan, facts, &workplace.device, Some(&mut |shape| calibration.rate(shape)))?;
    Ok(Some(plan.tasks.iter().map(|planned| planned.cost).sum::<f64>() / 3600.0))
}

/// The command of a worker, but for its threads.
fn worker(args: &SlurmArgs, store: &Path, record: &Record, device: &str) -> Result<Vec<String>> {
    let program = std::env::current_exe().map_err(|e| Trouble::refused("this program", &e))?;
    let text = |path: &Path| path.display().to_string();
    let plan = store.join("plans").join(record.file_name());
    let idle = args.until_idle.to_string();
    let words =
        [&text(&program), "work", "--store", &text(store), "--plan", &text(&plan), "--until-idle", &idle];
    let mut command: Vec<String> = words.map(str::to_owned).into();
    let mut add = |words: &[&str]| command.extend(words.iter().map(|word| (*word).to_owned()));
    if args.pack > 1 {
        add(&["--jobs", &args.pack.to_string()]);
    }
    if device != "flex" {
        add(&["--device", device]);
    }
    match &args.place.machine.onnx_runtime {
        Engine::Auto => {}
        Engine::Rten => add(&["--onnx-runtime", "rten"]),
        Engine::Onnxruntime(library) => {
            add(&["--onnx-runtime", &format!("ort:{}", text(&absolute(library)?))]);
        }
    }
    // Where data sets are looked for must not depend on the environment of the worker.
    let data =
        args.place.machine.data_dir.clone().or_else(|| std::env::var_os("NASTY_DATA_DIR").map(Into::into));
    if let Some(data) = data {
        add(&["--data-dir", &text(&absolute(&data)?)]);
    }
    if args.same_numerics {
        add(&["--same-numerics"]);
    }
    Ok(command)
}

/// The path from the root, so that it means the same on every node.
fn absolute(path: &Path) -> Result<PathBuf> {
    let path = std::path::absolute(path).map_err(|e| Trouble::refused(path.display(), &e))?;
    let text = path.display().to_string();
    if text.contains(['%', '\n', '\\', '"']) {
        let help = "choose a path without %, \\, quotes and line breaks";
        return Err(Trouble::usage(format!("Slurm cannot take the path {text}"), Some(help)).into());
    }
    Ok(path)
}

/// Submits the script; the job's number.
fn submit(script: &Path) -> Result<String> {
    let output = match Command::new("sbatch").arg("--parsable").arg(script).output() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            let message = "there is no sbatch on this machine";
            let help = format!("the script is {}; `nasty work` needs no Slurm", script.display());
            return Err(Trouble::data(message, Some(&help)).into());
        }
        other => other.map_err(|e| Trouble::refused("sbatch", &e))?,
    };
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let help = format!("the script is {}", script.display());
        return Err(Trouble::data(format!("sbatch refused the script: {said}"), Some(&help)).into());
    }
    // On a cluster of clusters its name follows.
    let said = String::from_utf8_lossy(&output.stdout);
    Ok(said.trim().split(';').next().unwrap_or_default().to_owned())
}
