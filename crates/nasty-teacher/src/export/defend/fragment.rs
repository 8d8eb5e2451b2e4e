//! What a defence adds to a graph, and what it needs of the graph's owner.

use crate::defences::ClassTails;
use crate::protobuf::Message;

/// What the owner gives for defences that need more than the logits.
#[derive(Clone, Copy, Debug, Default)]
pub struct GraphInputs<'a> {
    /// Class tail: the owner's table.
    pub class_tails: Option<&'a ClassTails>,
    /// Margin budget: the name of the graph's value that holds Δ, `[batch, classes]`.
    pub proxy_shift: Option<&'a str>,
}

/// Nodes and constants to add to a graph.
#[derive(Debug)]
pub(crate) struct Fragment {
    /// Nodes, in an order in which they can run.
    pub(crate) nodes: Vec<Message>,
    /// Their constants.
    pub(crate) constants: Vec<Message>,
}
