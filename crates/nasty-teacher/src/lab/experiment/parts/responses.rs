//! Both teachers' answers to test images, at the temperature of the undermining.

use crate::analysis::responses::{RESPONSES_FORMAT, ResponsesRecipe};
use crate::lab::experiment::axes::AxisKind;
use crate::lab::experiment::cells::Role;
use crate::lab::experiment::error::ExperimentError;
use crate::lab::experiment::grid::{Grid, Teachers};
use crate::lab::experiment::part_kind::PartKind;
use crate::lab::experiment::settings::Changes;
use crate::lab::task::Task;

pub(super) fn expand(table: &Changes, grid: &mut Grid, of: &Teachers) -> Result<(), ExperimentError> {
    let recipe = ResponsesRecipe {
        format: RESPONSES_FORMAT,
        data: of.test_data(),
        networks: vec![of.normal.clone(), of.nasty.clone()],
        images: 4,
        temperature: of.place.get_number(AxisKind::TeacherTemperature).unwrap_or(1.0),
        seed: of.seed,
    };
    let recipe = grid.changed(recipe, table, PartKind::Responses.key(), ResponsesRecipe::problem)?;
    let task = grid.task(format!("answers of {}", of.architecture), Task::Responses(recipe));
    grid.entry(Role::Part(PartKind::Responses), of.seed, &of.place, &task);
    Ok(())
}
