//! What a network's answers look like: its responses to single images ([`responses`]), and where images lie in its
//! features and logits ([`tsne`]).

pub mod clusters;
mod outputs;
pub mod responses;
pub mod tsne;

pub use outputs::{Outputs, all_outputs, choose};
