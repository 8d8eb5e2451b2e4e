//! t-SNE maps of the features and of the logits of both teachers.

use crate::analysis::tsne::{Layer, TsneRecipe};
use crate::lab::experiment::axes::{AxisKind, Side, Value};
use crate::lab::experiment::cells::Role;
use crate::lab::experiment::error::ExperimentError;
use crate::lab::experiment::grid::{Grid, Teachers};
use crate::lab::experiment::part_kind::PartKind;
use crate::lab::experiment::settings::Changes;
use crate::lab::task::Task;

pub(super) fn expand(table: &Changes, grid: &mut Grid, of: &Teachers) -> Result<(), ExperimentError> {
    for side in Side::BOTH {
        for layer in [Layer::Features, Layer::Logits] {
            let usual = TsneRecipe::usual(of.test_data(), of.network(side).clone(), layer);
            let recipe = TsneRecipe { seed: of.seed, ..usual };
            let recipe = grid.changed(recipe, table, PartKind::Embedding.key(), TsneRecipe::problem)?;
            let layer = Value::Layer(layer);
            let name = format!("t-SNE of {} {} {}", side.name(), of.architecture, layer.text());
            let task = grid.task(name, Task::Embedding(recipe));
            let place = of.of_side(side).with(AxisKind::Layer, layer);
            grid.entry(Role::Part(PartKind::Embedding), of.seed, &place, &task);
        }
    }
    Ok(())
}
