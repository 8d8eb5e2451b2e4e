//! `nasty devices`.

use crate::failure::End;
use crate::ui;
use miette::Result;

/// Lists devices, a line each.
pub fn run() -> Result<End> {
    for (name, what) in nasty_teacher::device::list() {
        ui::data(&format!("{name:<12} {what}"));
    }
    Ok(End::Done)
}
