//! `nasty quickstart`.

use super::experiment::{conclude, told};
use super::place::MachineArgs;
use crate::failure::{End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, PlanWatcher};
use clap::Args;
use nasty_teacher::lab::experiment::Experiment;
use nasty_teacher::lab::quickstart::results;
use nasty_teacher::lab::{Executor, Local, Plan, Planned, Record};
use nasty_teacher::report::experiment::{self, quickstart as page};
use nasty_teacher::write_whole;
use std::path::PathBuf;
use std::time::Instant;

/// Arguments of `nasty quickstart`.
#[derive(Args)]
pub struct QuickstartArgs {
    /// Folder for the runs, results.json and the report
    #[arg(long, default_value = "quickstart", value_name = "DIR")]
    out: PathBuf,
    /// Seed of weights, order and views
    #[arg(long, default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Carries out the shipped experiment `quickstart`; writes `results.json` and the report.
pub fn run(args: &QuickstartArgs, stop: &Stop) -> Result<End> {
    let quiet = args.machine.quiet;
    let begun = Instant::now();
    let name = "quickstart";
    let changes = [format!("seeds=[{}]", args.seed)];
    let quickstart = Experiment::find(name, &changes)?;
    let workplace = args.machine.open(&args.out.join("runs"))?;
    let resolved = quickstart.resolve(&mut |data, side| workplace.facts(data, side))?;
    let plan = Plan::new(resolved.tasks.clone());
    let mut record = Record::new(&quickstart, &resolved, name, &changes);
    record.command = format!("nasty quickstart --seed {}", args.seed);
    workplace.store.keep(&record)?;

    let told = |planned: &Planned| told(&workplace, planned);
    let watcher = PlanWatcher::new(plan.tasks.len(), quiet, stop.clone(), &told);
    let ends = Local { worker: &workplace, jobs: 1 }.execute(&plan, &watcher);
    watcher.finish();
    if conclude(&plan, ends, quiet)? == End::Stopped {
        return Ok(End::Stopped);
    }

    let findings = workplace.store.findings(record)?;
    let json = serde_json::to_string_pretty(&results(&findings)).expect("results are plain data");
    let file = args.out.join("results.json");
    write_whole(&file, (json + "\n").as_bytes()).map_err(|e| Trouble::refused(file.display(), &e))?;
    let findings = [findings];
    let written = experiment::write(&findings, &args.out.join("report"))?;
    let [findings] = findings;
    ui::data(&page::table(&findings).to_text())?;
    if let Some(lesson) = page::lesson(&findings) {
        ui::data(&lesson)?;
    }
    ui::data(&format!("\nresults  {}\nreport   {}", file.display(), written.page.display()))?;
    ui::say(quiet, &format!("{:.1} s in all", begun.elapsed().as_secs_f64()));
    Ok(End::Done)
}
