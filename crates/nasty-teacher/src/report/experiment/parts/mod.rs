//! The report's sections on the parts of an experiment besides teachers and students: one file each, listed here.

mod data_free;
mod embedding;
mod inversion;
mod part;
mod responses;

use crate::lab::experiment::PartKind;
use part::PartReport;

/// What the report makes of `part`.
pub(super) fn of(part: PartKind) -> &'static PartReport {
    match part {
        PartKind::Responses => &responses::REPORT,
        PartKind::Embedding => &embedding::REPORT,
        PartKind::DataFree => &data_free::REPORT,
        PartKind::Inversion => &inversion::REPORT,
    }
}
