//! Students that are distilled from either teacher without data (DAFL).

use crate::attacks::data_free::DataFreeRecipe;
use crate::lab::experiment::axes::{AxisKind, Side};
use crate::lab::experiment::cells::Role;
use crate::lab::experiment::error::ExperimentError;
use crate::lab::experiment::grid::{Grid, Teachers};
use crate::lab::experiment::part_kind::PartKind;
use crate::lab::experiment::settings::{Changes, Other, one_or_many};
use crate::lab::task::Task;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Data-free distillation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFreeSettings {
    /// The students' architectures.
    #[serde(deserialize_with = "one_or_many")]
    pub architecture: Vec<Other>,
    /// Changes to the published recipe.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub recipe: Changes,
}

fn read(table: &Changes) -> Result<DataFreeSettings, String> {
    let settings: DataFreeSettings =
        serde_json::from_value(Value::Object(table.clone())).map_err(|e| format!("data_free: {e}"))?;
    match settings.architecture.contains(&Other::None) {
        true => Err("a student's architecture is `none`; only teacher.adversary can be".into()),
        false => Ok(settings),
    }
}

pub(super) fn problem(table: &Changes) -> Option<String> {
    read(table).err()
}

pub(super) fn expand(table: &Changes, grid: &mut Grid, of: &Teachers) -> Result<(), ExperimentError> {
    let settings = read(table).map_err(|problem| grid.impossible(problem))?;
    for side in Side::BOTH {
        let teacher = of.network(side);
        for student in of.others(&settings.architecture) {
            let published =
                DataFreeRecipe::published(of.test_data(), of.facts.classes, teacher.clone(), student);
            let recipe = DataFreeRecipe { seed: of.seed, ..published };
            let table = "data_free.recipe";
            let recipe = grid.changed(recipe, &settings.recipe, table, DataFreeRecipe::problem)?;
            let name = format!("{student} from {} {} without data", side.name(), of.architecture);
            let task = grid.task(name, Task::DataFree(recipe));
            let place = of.of_side(side).word(AxisKind::Student, student);
            grid.entry(Role::Part(PartKind::DataFree), of.seed, &place, &task);
        }
    }
    Ok(())
}
