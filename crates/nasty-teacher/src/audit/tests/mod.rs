//! What fires and what must not.

mod flags;
mod schema;
mod verdict;

use super::test_support::{Thief, add, defended, empty, right, with};
