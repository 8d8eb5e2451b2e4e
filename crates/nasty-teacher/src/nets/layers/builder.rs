//! Registers every tensor of a network under its published name, in the order of PyTorch's state dictionary.
//!
//! A tensor's number in that order is its parameter id (the same in every process, so an optimiser's state can be
//! restored) and its counter in the random generator (so initial weights depend only on the seed).

use std::cell::RefCell;
use std::rc::Rc;

use burn::module::{Param, ParamId};
use burn::tensor::{Device, Shape, Tensor, TensorData};

use super::Running;
use crate::random::{Purpose, Stream};

/// One tensor of the state dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TensorEntry {
    pub(crate) name: String,
    pub(crate) shape: Vec<usize>,
    /// Learned by gradient descent; otherwise a running statistic.
    pub(crate) trainable: bool,
}

/// How a weight tensor is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Spread {
    /// Uniform in ±1/√fan_in: PyTorch's default (Kaiming uniform with a = √5).
    Default,
    /// Normal with standard deviation √(2 / fan_in) (He et al., ICCV 2015).
    FanIn,
    /// Normal with standard deviation √(2 / fan_out), fan_out = out channels · kernel area.
    FanOut,
    /// Normal with this standard deviation.
    Normal(f64),
    /// Uniform in ±1/√(out channels).
    OutBound,
}

/// How a published definition draws its initial weights. Norms start at weight 1, bias 0.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scheme {
    pub(crate) conv: Spread,
    pub(crate) linear: Spread,
    /// Biases start at 0 instead of PyTorch's default.
    pub(crate) zero_bias: bool,
}

impl Scheme {
    /// PyTorch's defaults throughout.
    pub(crate) const DEFAULT: Self =
        Self { conv: Spread::Default, linear: Spread::Default, zero_bias: false };
}

/// The values that a tensor starts from.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Init {
    Constant(f32),
    Uniform { bound: f64 },
    Normal { deviation: f64 },
}

impl Init {
    /// Initial values of a weight `[out, in, …]`.
    pub(crate) fn weight(spread: Spread, shape: &[usize]) -> Self {
        let fan_in: usize = shape[1..].iter().product();
        let fan_out = shape[0] * shape[2..].iter().product::<usize>();
        match spread {
            Spread::Default => Self::default_bias(fan_in),
            Spread::FanIn => Self::Normal { deviation: (2.0 / fan_in as f64).sqrt() },
            Spread::FanOut => Self::Normal { deviation: (2.0 / fan_out as f64).sqrt() },
            Spread::Normal(deviation) => Self::Normal { deviation },
            Spread::OutBound => Self::default_bias(shape[0]),
        }
    }

    /// Initial values of the bias of a layer with `fan_in` inputs.
    pub(crate) fn bias(scheme: Scheme, fan_in: usize) -> Self {
        if scheme.zero_bias { Self::Constant(0.0) } else { Self::default_bias(fan_in) }
    }

    /// PyTorch's default.
    fn default_bias(fan_in: usize) -> Self {
        Self::Uniform { bound: 1.0 / (fan_in as f64).sqrt() }
    }

    fn draw(self, elements: usize, seed: u64, purpose: Purpose, number: u64) -> Vec<f32> {
        let mut stream = Stream::new(seed, purpose, number, 0);
        match self {
            Self::Constant(value) => vec![value; elements],
            Self::Uniform { bound } => {
                (0..elements).map(|_| ((2.0 * f64::from(stream.uniform()) - 1.0) * bound) as f32).collect()
            }
            Self::Normal { deviation } => {
                (0..elements).map(|_| (f64::from(stream.normal()) * deviation) as f32).collect()
            }
        }
    }
}

/// Whose names the tensors get. A network has the same tensors in the same order under each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    /// Those of the definition that the architecture is named after.
    Own,
    /// timm's, of torchvision's networks.
    Timm,
    /// Those of weiaicunzai's pytorch-cifar100.
    Cifar100,
    /// Those of torchvision's older files: `norm.1` for DenseNet's `norm1`.
    Dotted,
}

/// Hands out the tensors of one network; cheap to pass down with a longer prefix.
#[derive(Clone)]
pub(crate) struct Builder {
    prefix: String,
    shared: Rc<Shared>,
}

struct Shared {
    device: Device,
    seed: u64,
    purpose: Purpose,
    scheme: Scheme,
    spelling: Spelling,
    entries: RefCell<Vec<TensorEntry>>,
}

impl Builder {
    pub(crate) fn new(seed: u64, scheme: Scheme, spelling: Spelling, device: &Device) -> Self {
        Self::drawing(seed, Purpose::Weights, scheme, spelling, device)
    }

    /// The builder of heads beside a network's own: their weights are independent of the network's under the same seed.
    pub(crate) fn of_heads(seed: u64, device: &Device) -> Self {
        Self::drawing(seed, Purpose::Heads, Scheme::DEFAULT, Spelling::Own, device)
    }

    fn drawing(seed: u64, purpose: Purpose, scheme: Scheme, spelling: Spelling, device: &Device) -> Self {
        let (device, entries) = (device.clone(), RefCell::default());
        let shared = Shared { device, seed, purpose, scheme, spelling, entries };
        Self { prefix: String::new(), shared: Rc::new(shared) }
    }

    /// The builder for a submodule: its tensors are named `<prefix>.<module>.…`.
    pub(crate) fn at(&self, module: impl std::fmt::Display) -> Self {
        Self { prefix: format!("{}{module}.", self.prefix), shared: self.shared.clone() }
    }

    pub(crate) fn scheme(&self) -> Scheme {
        self.shared.scheme
    }

    pub(crate) fn spelling(&self) -> Spelling {
        self.shared.spelling
    }

    /// The name that the spelling has, of our own and timm's.
    pub(crate) fn own_or_timm<'a>(&self, own: &'a str, timm: &'a str) -> &'a str {
        if self.spelling() == Spelling::Timm { timm } else { own }
    }

    /// A trainable tensor, drawn when first used (a state dictionary loaded before that saves the work).
    pub(crate) fn parameter<const D: usize>(
        &self,
        name: &str,
        shape: [usize; D],
        init: Init,
    ) -> Param<Tensor<D>> {
        let number = self.register(name, &shape, true);
        let Shared { seed, purpose, .. } = *self.shared;
        let draw = move |device: &Device, require_grad: bool| {
            let values = init.draw(shape.iter().product(), seed, purpose, number);
            let tensor = Tensor::from_data(TensorData::new(values, shape), device);
            if require_grad { tensor.require_grad() } else { tensor }
        };
        Param::uninitialized(
            ParamId::from(number),
            draw,
            self.shared.device.clone(),
            true,
            Shape::from(shape),
        )
    }

    /// A running statistic of `channels` elements.
    pub(crate) fn running(&self, name: &str, channels: usize, value: f32) -> Running {
        let number = self.register(name, &[channels], false);
        Running::new(ParamId::from(number), Tensor::full([channels], value, &self.shared.device))
    }

    fn register(&self, name: &str, shape: &[usize], trainable: bool) -> u64 {
        let mut entries = self.shared.entries.borrow_mut();
        let name = format!("{}{name}", self.prefix);
        debug_assert!(entries.iter().all(|e| e.name != name), "the tensor `{name}` is registered twice");
        entries.push(TensorEntry { name, shape: shape.to_vec(), trainable });
        entries.len() as u64 - 1
    }

    /// All tensors registered so far, by number.
    pub(crate) fn entries(&self) -> Vec<TensorEntry> {
        self.shared.entries.borrow().clone()
    }
}
