//! What a defence is.

use super::error::DefenceError;
use super::query::Query;
use super::row::Row;

/// What stands between a victim's row and the one who asked.
pub trait Defence: std::fmt::Debug + Send + Sync {
    /// The row that is served in place of `row`.
    ///
    /// # Errors
    /// [`DefenceError`] where `query` lacks what the defence needs, or holds what does not fit the row.
    fn serve(&self, row: &Row, query: &Query<'_>) -> Result<Row, DefenceError>;

    /// The most that ‖y' − y‖₁ can be for this row; 2 where nothing is promised.
    fn l1_bound(&self, _row: &Row) -> f64 {
        2.0
    }
}

/// `2(1 − y_top)`: what moves when everything but the predicted class changes.
pub(super) fn tail_bound(row: &Row) -> f64 {
    2.0 * row.log_rest(row.top()).exp()
}
