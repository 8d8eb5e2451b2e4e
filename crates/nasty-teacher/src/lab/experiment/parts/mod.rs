//! The parts of an experiment besides teachers and students: attacks and analyses. Each has a table in the experiment
//! file and a file here that turns it into tasks; the list is in `part_kind.rs`. `report/experiment/parts` has the
//! matching parts of the report.

mod data_free;
mod embedding;
mod inversion;
mod responses;

use super::error::ExperimentError;
use super::fields::fields;
use super::grid::{Grid, Teachers};
use super::part_kind::PartKind;
use super::settings::Changes;
use crate::lab::outcome::Outcome;
use crate::lab::result::{InversionResult, PartResult, ResponsesResult};
use crate::lab::run::Run;
use crate::lab::store_error::StoreError;

pub use data_free::DataFreeSettings;

impl PartKind {
    /// The keys of its table; none if they are those of its recipe.
    pub(super) fn keys(self) -> &'static [&'static str] {
        match self {
            Self::DataFree => fields::<DataFreeSettings>(),
            Self::Responses | Self::Embedding | Self::Inversion => &[],
        }
    }

    /// What is wrong with its table, before any data set is read.
    pub(super) fn problem(self, table: &Changes) -> Option<String> {
        match self {
            Self::DataFree => data_free::problem(table),
            Self::Responses | Self::Embedding | Self::Inversion => None,
        }
    }

    /// Adds the tasks that `table` asks for against the teachers `of`.
    pub(super) fn expand(
        self,
        table: &Changes,
        grid: &mut Grid,
        of: &Teachers,
    ) -> Result<(), ExperimentError> {
        match self {
            Self::Responses => responses::expand(table, grid, of),
            Self::Embedding => embedding::expand(table, grid, of),
            Self::DataFree => data_free::expand(table, grid, of),
            Self::Inversion => inversion::expand(table, grid, of),
        }
    }

    /// What `run` gave, if it is finished.
    pub(in crate::lab) fn read(self, run: &Run) -> Result<Option<Outcome>, StoreError> {
        let found = match self {
            Self::DataFree => return Outcome::network(run),
            Self::Responses => match run.other_result::<ResponsesResult>()? {
                Some(result) => {
                    let images = run.images(result.responses.len(), result.size)?;
                    Some(PartResult::Answered(Box::new(result), images))
                }
                None => None,
            },
            Self::Embedding => run.other_result()?.map(|result| PartResult::Mapped(Box::new(result))),
            Self::Inversion => match run.other_result::<InversionResult>()? {
                Some(result) => {
                    let images = run.images(result.network.total, result.size)?;
                    Some(PartResult::Inverted(Box::new(result), images))
                }
                None => None,
            },
        };
        Ok(found.map(Outcome::Part))
    }
}
