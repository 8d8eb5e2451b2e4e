//! What a thief who knows the defence does to served rows before it learns from them.
//!
//! Kerckhoffs: the formula and its parameters are known, the secret is not. Every extra answer is a query and is charged.

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
