//! What a thief who knows the defence can do to served rows before learning from them.
//!
//! Kerckhoffs's principle: the formula and its parameters are known, the secret is not. Every extra answer counts as a
//! query.

mod average;
mod forward_difference;
mod inverse;
mod logits;
mod table;

pub use average::average;
pub use forward_difference::forward_difference;
pub use inverse::{Inverted, invert_reverse_sigmoid};
pub use logits::recovered_logits;
pub use table::{AnswerTable, Recovered};
