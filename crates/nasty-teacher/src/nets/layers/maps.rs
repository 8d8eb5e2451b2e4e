//! Activations on their way through a network.
//!
//! [`Maps`] is either a batch of real activations or a symbol. A network's forward function, run on a symbol, records
//! its graph, from which the summary, the multiply-accumulates and the ONNX export are derived. So a network's
//! structure is stated only once.

use std::cell::RefCell;
use std::rc::Rc;

use burn::tensor::Tensor;
use nasty_kernels::{self as kernels, Activations};

use super::Pass;
use crate::nets::graph::{Graph, Op};

/// Feature maps `[batch, height, width, channels]`; vectors are maps of height and width 1.
pub(crate) struct Maps(pub(super) Value);

#[expect(
    clippy::large_enum_variant,
    reason = "a few dozen exist at a time, and the large variant is the usual one"
)]
pub(super) enum Value {
    Real { x: Activations, pass: Rc<Pass> },
    Symbol { id: usize, graph: Rc<RefCell<Graph>> },
}

impl Maps {
    pub(crate) fn new(x: Tensor<4>, pass: Rc<Pass>) -> Self {
        Self(Value::Real { x: x.into(), pass })
    }

    /// The input of a graph to be written down.
    pub(crate) fn symbol(graph: Rc<RefCell<Graph>>) -> Self {
        Self(Value::Symbol { id: 0, graph })
    }

    /// Vectors `[batch, channels]` of real maps of height and width 1.
    pub(crate) fn into_vectors(self) -> Tensor<2> {
        let x = self.into_tensor();
        let [n, _, _, c] = x.dims();
        x.reshape([n, c])
    }

    /// Real activations.
    pub(crate) fn into_tensor(self) -> Tensor<4> {
        match self.0 {
            Value::Real { x, .. } => x.into_tensor(),
            Value::Symbol { .. } => unreachable!("a pass is either real or symbolic"),
        }
    }

    /// The number of this value in its graph; `None` for real activations.
    pub(crate) fn id(&self) -> Option<usize> {
        match &self.0 {
            Value::Real { .. } => None,
            Value::Symbol { id, .. } => Some(*id),
        }
    }

    /// What holds for this pass; `None` for a symbol.
    pub(super) fn pass(&self) -> Option<&Pass> {
        match &self.0 {
            Value::Real { pass, .. } => Some(pass),
            Value::Symbol { .. } => None,
        }
    }

    /// The same activations for a second branch.
    pub(crate) fn fork(&mut self) -> Self {
        Self(match &mut self.0 {
            Value::Real { x, pass } => {
                let [first, second] = kernels::fork(x.clone().into_tensor());
                *x = first.into();
                Value::Real { x: second.into(), pass: pass.clone() }
            }
            Value::Symbol { id, graph } => Value::Symbol { id: *id, graph: graph.clone() },
        })
    }

    /// Height, width and channels.
    pub(crate) fn shape(&self) -> [usize; 3] {
        match &self.0 {
            Value::Real { x, .. } => {
                let [_, h, w, c] = x.dims();
                [h, w, c]
            }
            Value::Symbol { id, graph } => graph.borrow().shape(*id),
        }
    }

    /// Applies an operation of one input: `compute` on real activations; on a symbol `op` is written down with the
    /// output shape `[height, width, channels]` that it has.
    pub(super) fn apply(
        self,
        op: impl FnOnce() -> Op,
        shape: impl Fn([usize; 3]) -> [usize; 3],
        compute: impl FnOnce(Tensor<4>, &Pass) -> Tensor<4>,
    ) -> Self {
        self.apply_to(op, shape, |x, pass| compute(x.into_tensor(), pass).into())
    }

    /// [`Self::apply`] where it matters whether the activations are computed yet.
    pub(super) fn apply_to(
        self,
        op: impl FnOnce() -> Op,
        shape: impl Fn([usize; 3]) -> [usize; 3],
        compute: impl FnOnce(Activations, &Pass) -> Activations,
    ) -> Self {
        let Self(value) = self.leaving(&shape);
        Self(match value {
            Value::Real { x, pass } => Value::Real { x: compute(x, &pass), pass },
            Value::Symbol { id, graph } => {
                let mut nodes = graph.borrow_mut();
                let shape = shape(nodes.shape(id));
                let id = nodes.push(op(), vec![id], shape);
                drop(nodes);
                Value::Symbol { id, graph }
            }
        })
    }

    /// The same maps, left with the pass if it collects [`Stages`](super::pass::Stages) and what is made of them, of the shape `next`, has
    /// a smaller side.
    pub(super) fn leaving(self, next: impl Fn([usize; 3]) -> [usize; 3]) -> Self {
        let Value::Real { x, pass } = self.0 else { return self };
        let [_, h, w, c] = x.dims();
        let Some(stages) = pass.stages.as_ref().filter(|_| next([h, w, c])[0] < h) else {
            return Self(Value::Real { x, pass });
        };
        let x = x.into_tensor();
        stages.borrow_mut().leave(x.clone());
        Self(Value::Real { x: x.into(), pass })
    }

    pub(super) fn join(
        self,
        other: Self,
        op: Op,
        shape: impl FnOnce([usize; 3], [usize; 3]) -> [usize; 3],
        compute: impl FnOnce(Tensor<4>, Tensor<4>) -> Tensor<4>,
    ) -> Self {
        Self(match (self.0, other.0) {
            (Value::Real { x, pass }, Value::Real { x: y, .. }) => {
                Value::Real { x: compute(x.into_tensor(), y.into_tensor()).into(), pass }
            }
            (Value::Symbol { id: a, graph }, Value::Symbol { id: b, .. }) => {
                let mut nodes = graph.borrow_mut();
                let shape = shape(nodes.shape(a), nodes.shape(b));
                let id = nodes.push(op, vec![a, b], shape);
                drop(nodes);
                Value::Symbol { id, graph }
            }
            _ => unreachable!("a pass is either real or symbolic"),
        })
    }

    /// Element-wise sum.
    pub(crate) fn add(self, other: Self) -> Self {
        self.join(other, Op::Add, |shape, _| shape, |x, y| x + y)
    }

    /// `zeros` channels of zeros before the channels, and as many behind them.
    pub(crate) fn pad_channels(self, zeros: usize) -> Self {
        if zeros == 0 {
            return self;
        }
        self.apply(
            || Op::PadChannels { zeros },
            |[h, w, c]| [h, w, c + 2 * zeros],
            |x, _| kernels::pad_channels(x, zeros, zeros),
        )
    }

    /// Two tensors of one pass.
    fn both([first, second]: [Tensor<4>; 2], pass: Rc<Pass>) -> (Self, Self) {
        (Self::new(first, pass.clone()), Self::new(second, pass))
    }

    /// The first half of the channels, and the second.
    pub(crate) fn split_channels(mut self) -> (Self, Self) {
        let [h, w, c] = self.shape();
        let half = c / 2;
        match self.0 {
            Value::Real { x, pass } => Self::both(kernels::split_channels(x.into_tensor()), pass),
            Value::Symbol { .. } => {
                let part = |x: Self, start| {
                    x.apply(|| Op::Channels { start, length: half }, |_| [h, w, half], |x, _| x)
                };
                (part(self.fork(), 0), part(self, half))
            }
        }
    }

    /// The channels of the other maps behind these.
    pub(crate) fn concat(self, other: Self) -> Self {
        self.join(other, Op::Concat, |[h, w, a], [_, _, b]| [h, w, a + b], kernels::concat_channels)
    }

    /// The channels of both in turn: the concatenation with its channels shuffled (Zhang et al., CVPR 2018) in two
    /// groups.
    pub(crate) fn interleave(self, other: Self) -> Self {
        match (self.0, other.0) {
            (Value::Real { x, pass }, Value::Real { x: y, .. }) => {
                let y = kernels::interleave_channels(x.into_tensor(), y.into_tensor());
                Self(Value::Real { x: y.into(), pass })
            }
            // Written down as what other programs know.
            (a, b) => Self(a).concat(Self(b)).apply(|| Op::ShuffleChannels { groups: 2 }, |s| s, |x, _| x),
        }
    }

    /// [`Self::interleave`], its halves.
    pub(crate) fn interleave_halves(self, other: Self) -> (Self, Self) {
        match (self.0, other.0) {
            (Value::Real { x, pass }, Value::Real { x: y, .. }) => {
                Self::both(kernels::interleave_halves(x.into_tensor(), y.into_tensor()), pass)
            }
            (a, b) => Self(a).interleave(Self(b)).split_channels(),
        }
    }

    /// All elements as one vector, in PyTorch's order: channel, row, column.
    pub(crate) fn flatten(self) -> Self {
        self.apply(
            || Op::Flatten,
            |[h, w, c]| [1, 1, h * w * c],
            |x, _| {
                let [n, h, w, c] = x.dims();
                x.permute([0, 3, 1, 2]).reshape([n, 1, 1, h * w * c])
            },
        )
    }
}
