//! `nasty quickstart`.

use super::place::MachineArgs;
use crate::failure::{End, Result, Trouble};
use crate::signals::Stop;
use crate::ui::{self, Watcher};
use clap::Args;
use nasty_teacher::data::{DataName, DataSet};
use nasty_teacher::lab::quickstart::{Finished, TEMPERATURE, members, results};
use nasty_teacher::lab::{JobEnd, Workplace, digest, normalisation_of};
use nasty_teacher::report::quickstart as page;
use nasty_teacher::training::{all_logits, log_probabilities};
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

/// Trains two teachers and six students on embedded images; writes `results.json` and the report.
pub fn run(args: &QuickstartArgs, stop: &Stop) -> Result<End> {
    let quiet = args.machine.quiet;
    let begun = Instant::now();
    let workplace = args.machine.open(&args.out.join("runs"))?;
    let data = workplace.data(&DataName::Quickstart, None)?;
    let digest = digest(&data);
    let mut finished = Vec::new();
    for member in members(args.seed, &digest) {
        let mut watcher = Watcher::new(&member.name(), member.recipe.epochs, quiet, stop.clone());
        let phase = Instant::now();
        let end = workplace.carry_out(&member.recipe, &mut watcher);
        watcher.finish();
        let JobEnd::Done(result) = end? else {
            ui::say(quiet, "stopped; its state is saved, the same command goes on from there");
            return Ok(End::Stopped);
        };
        let accuracy = 100.0 * result.test.accuracy;
        ui::say(
            quiet,
            &format!("{:<28} {accuracy:>6.2} %  {:>6.1} s", member.name(), phase.elapsed().as_secs_f64()),
        );
        let rows = workplace.store.run(&result.recipe).rows()?;
        finished.push(Finished { member, result: *result, rows });
    }

    let json =
        serde_json::to_string_pretty(&results(&data, &digest, &finished)).expect("results are plain data");
    let file = args.out.join("results.json");
    write_whole(&file, (json + "\n").as_bytes()).map_err(|e| Trouble::refused(file.display(), &e))?;
    let [normal, nasty] = [0, 1].map(|i| responses(&workplace, &data, &finished[i]));
    let command = format!("nasty quickstart --seed {}", args.seed);
    let report =
        page::page(&finished, &data, [&normal?, &nasty?], &command).write(&args.out.join("report"))?;

    ui::data(&page::table(&finished).to_text())?;
    ui::data(&page::lesson(&finished))?;
    ui::data(&format!("\nresults  {}\nreport   {}", file.display(), report.display()))?;
    ui::say(quiet, &format!("{:.1} s in all", begun.elapsed().as_secs_f64()));
    Ok(End::Done)
}

/// Class probabilities at the undermining temperature of the test images that the report shows.
fn responses(workplace: &Workplace, data: &DataSet, teacher: &Finished) -> Result<Vec<f32>> {
    let shown: Vec<usize> = (0..page::SHOWN.min(data.test.len())).collect();
    let reference = nasty_teacher::training::NetworkRef(teacher.result.recipe.clone());
    let (network, config) = workplace.network(&reference)?;
    let logits =
        all_logits(&network, &normalisation_of(&config), &data.test.subset(&shown), &workplace.device);
    let rows = logits.chunks_exact(data.classes.len());
    Ok(rows.flat_map(|row| log_probabilities(row, TEMPERATURE)).map(|p| p.exp() as f32).collect())
}
