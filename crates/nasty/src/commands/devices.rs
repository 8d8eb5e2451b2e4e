//! `nasty devices`.

use crate::failure::{End, Result, Trouble};
use crate::ui;
use clap::Args;
use nasty_teacher::device::{device, list};
use nasty_teacher::training::check_device;

/// Arguments of `nasty devices`.
#[derive(Args)]
pub struct DevicesArgs {
    /// Train a network of each family for two steps on this device and on the CPU, and compare
    #[arg(long, value_name = "DEVICE")]
    check: Option<String>,
}

/// Lists devices, a line each, or checks one.
pub fn run(args: &DevicesArgs) -> Result<End> {
    let Some(name) = &args.check else {
        for (name, what) in list() {
            ui::data(&format!("{name:<12} {what}"))?;
        }
        return Ok(End::Done);
    };
    let device = device(name)?;
    ui::data("network        largest difference from the CPU, of logits and losses")?;
    let mut wrong = Vec::new();
    for check in check_device(&device) {
        let verdict = if check.is_right() { "" } else { "  WRONG" };
        ui::data(&format!("{:<14} {:.1e}{verdict}", check.network.to_string(), check.difference))?;
        if !check.is_right() {
            wrong.push(check.network.to_string());
        }
    }
    if wrong.is_empty() {
        return Ok(End::Done);
    }
    let message = format!("device {name} computes other results than the CPU: {}", wrong.join(", "));
    let help = "do not train on it; please report the device, its driver and this table";
    Err(Trouble::bug(message, Some(help)).into())
}
