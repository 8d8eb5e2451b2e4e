//! `nasty devices`.

use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::device::{device, list};
use nasty_teacher::training::{DeviceCheck, check_device};
use serde_json::{Value, json};

/// Arguments of `nasty devices`.
#[derive(Args)]
pub struct DevicesArgs {
    /// Train a network of each family for two steps on this device and on the CPU, and compare
    #[arg(long, value_name = "DEVICE")]
    check: Option<String>,
    /// Print the devices, or the differences, as JSON
    #[arg(long)]
    json: bool,
}

/// Lists devices, a line each, or checks one.
pub fn run(args: &DevicesArgs) -> Result<End> {
    let Some(name) = &args.check else {
        if args.json {
            let all = list().into_iter().map(|(name, what)| json!({ "name": name, "what": what }));
            return shown(&all.collect());
        }
        for (name, what) in list() {
            ui::data(&format!("{name:<12} {what}"))?;
        }
        return Ok(End::Done);
    };
    let device = device(name)?;
    if !args.json {
        ui::data("network        largest difference from the CPU, of logits and losses")?;
    }
    let mut checks: Vec<DeviceCheck> = Vec::new();
    for check in check_device(&device) {
        if !args.json {
            let verdict = if check.is_right() { "" } else { "  WRONG" };
            ui::data(&format!("{:<14} {:.1e}{verdict}", check.network.to_string(), check.difference))?;
        }
        checks.push(check);
    }
    if args.json {
        let all = checks.iter().map(|check| {
            let DeviceCheck { network, difference } = check;
            json!({ "network": network.to_string(), "difference": difference, "right": check.is_right() })
        });
        shown(&all.collect())?;
    }
    let wrong: Vec<String> =
        checks.iter().filter(|check| !check.is_right()).map(|check| check.network.to_string()).collect();
    if wrong.is_empty() {
        return Ok(End::Done);
    }
    let message = format!("device {name} computes other results than the CPU: {}", wrong.join(", "));
    let help = "do not train on it; please report the device, its driver and this table";
    Err(Trouble::bug(message, Some(help)).into())
}

fn shown(rows: &Vec<Value>) -> Result<End> {
    ui::data(&serde_json::to_string_pretty(rows).expect("plain data"))?;
    Ok(End::Done)
}
