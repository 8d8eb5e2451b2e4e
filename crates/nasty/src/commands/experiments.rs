//! `nasty experiments`.

use super::place::MachineArgs;
use crate::failure::{End, Result};
use crate::ui;
use clap::Args;
use nasty_teacher::device::device;
use nasty_teacher::lab::experiment::{Experiment, SHIPPED, Scale};
use nasty_teacher::lab::{Calibration, Cost, published_facts};
use nasty_teacher::report::{Cell, Column, Table};
use serde_json::json;

/// Arguments of `nasty experiments`.
#[derive(Args)]
pub struct ExperimentsArgs {
    /// Scale whose cost is shown: paper, short or small
    #[arg(long, default_value_t = Scale::Small)]
    scale: Scale,
    /// Omit the estimated hours, which take a few seconds to measure the first time
    #[arg(long)]
    no_estimate: bool,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: MachineArgs,
}

/// Lists the experiments with what they show and what they cost.
pub fn run(args: &ExperimentsArgs) -> Result<End> {
    args.machine.use_threads()?;
    let device = device(&args.machine.device)?;
    let mut calibration = Calibration::open(device.clone(), &args.machine.device, Calibration::usual_file());
    let (mut rows, mut listed) = (Vec::new(), Vec::new());
    for shipped in SHIPPED {
        let experiment = Experiment::find(shipped.name, &[format!("scale={}", args.scale)])?;
        // The listing needs no data set: sizes are those published.
        let mut facts =
            |name: &_, _| Ok(published_facts(name).expect("shipped experiments use data sets with a name"));
        let resolved = experiment.resolve(&mut facts)?;
        let tasks = resolved.tasks.iter().map(|(_, task)| task);
        let cost = Cost::of(tasks, &|_| true, &|_| None, &published_facts, &device)?;
        let hours = if args.no_estimate {
            None
        } else {
            ui::say(args.machine.quiet, &format!("measuring what {} needs", shipped.name));
            Some(cost.seconds(&mut |shape| calibration.rate(shape))? / 3600.0)
        };
        listed.push(json!({
            "name": shipped.name, "shows": experiment.settings.shows, "scale": args.scale,
            "tasks": resolved.tasks.len(), "macs": cost.macs, "hours": hours,
        }));
        let mut row = vec![
            Cell::text(shipped.name),
            Cell::text(&experiment.settings.shows),
            Cell::number(resolved.tasks.len() as f64, 0),
            Cell::number(cost.macs / 1e12, if cost.macs < 1e14 { 1 } else { 0 }),
        ];
        row.extend(hours.map(|hours| Cell::number(hours, 2)));
        rows.push(row);
    }
    if args.json {
        ui::data(&serde_json::to_string_pretty(&listed).expect("plain data"))?;
        return Ok(End::Done);
    }
    let mut columns = vec![
        Column::text("experiment"),
        Column::text("what it shows"),
        Column::number("tasks", ""),
        Column::number("cost", "10¹² image·MACs"),
    ];
    if !args.no_estimate {
        columns.push(Column::number("about", "hours here"));
    }
    let table = Table {
        title: format!("Experiments at scale {}: nasty run NAME scale={}", args.scale, args.scale),
        columns,
        rows,
        note: Some("One seed; networks that experiments share are counted in each, but trained once.".into()),
        ..Table::default()
    };
    ui::data(table.to_text().trim_end())?;
    Ok(End::Done)
}
