//! What the stems of several networks share.

use crate::nets::layers::MaxWindow;

/// The pool behind a 7×7 stem.
pub(super) const STEM_POOL: MaxWindow = MaxWindow { size: 3, stride: 2, padding: 1 };
