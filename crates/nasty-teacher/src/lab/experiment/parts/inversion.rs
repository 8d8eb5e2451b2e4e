//! Images extracted from both teachers (DeepInversion); each teacher also classifies the other's images.

use crate::attacks::inversion::InversionRecipe;
use crate::lab::experiment::axes::Side;
use crate::lab::experiment::cells::Role;
use crate::lab::experiment::error::ExperimentError;
use crate::lab::experiment::grid::{Grid, Teachers};
use crate::lab::experiment::part_kind::PartKind;
use crate::lab::experiment::settings::Changes;
use crate::lab::task::Task;

pub(super) fn expand(table: &Changes, grid: &mut Grid, of: &Teachers) -> Result<(), ExperimentError> {
    for side in Side::BOTH {
        let network = of.network(side).clone();
        let judge = of.network(if side == Side::Normal { Side::Nasty } else { Side::Normal });
        let judge = Some(judge.clone()).filter(|judge| *judge != network);
        let published = InversionRecipe::published(of.test_data(), network, judge);
        let recipe = InversionRecipe { seed: of.seed, ..published };
        let recipe = grid.changed(recipe, table, PartKind::Inversion.key(), InversionRecipe::problem)?;
        let name = format!("images from {} {}", side.name(), of.architecture);
        let task = grid.task(name, Task::Inversion(recipe));
        grid.entry(Role::Part(PartKind::Inversion), of.seed, &of.of_side(side), &task);
    }
    Ok(())
}
