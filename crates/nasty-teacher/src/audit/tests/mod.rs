//! What fires and what must not.

mod compare;
mod flags;
mod schema;
mod verdict;

use super::test_support::{Thief, add, defended, empty, right, sample, with};
