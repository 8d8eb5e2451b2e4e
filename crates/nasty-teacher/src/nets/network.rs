//! A built network: forward passes, and its tensors by name.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor};

use super::body::{Body, scheme};
use super::graph::{Graph, LayerSummary, Op};
use super::layers::{Builder, Dropping, Maps, Mode, NormStatistics, Pass, Spelling, TensorEntry};
use super::state_dict::{self, NamedTensor, elements};
use super::{Architecture, Input, NetError, Precision};

/// Limit on what is built, so that a wrong figure in a file cannot ask for all memory.
const MAX_CLASSES: usize = 100_000;

/// What a network says about a batch.
#[derive(Clone, Debug)]
pub struct Output {
    /// What the last linear layer sees, `[batch, features]`.
    pub features: Tensor<2>,
    /// Unnormalised log-probabilities, `[batch, classes]`.
    pub logits: Tensor<2>,
}

/// A classifier of square images, built by [`Architecture::build`]. A clone is independent of its original.
#[derive(Module, Debug)]
pub struct Network {
    body: Body,
    #[module(skip)]
    about: Arc<About>,
    #[module(skip)]
    precision: Precision,
    /// So many of the first tensors are not trained.
    #[module(skip)]
    frozen: usize,
}

#[derive(Debug)]
struct About {
    architecture: Architecture,
    classes: usize,
    input: Input,
    /// The state dictionary's tensors; a tensor's index is its parameter id.
    tensors: Vec<TensorEntry>,
}

impl Architecture {
    /// A network with initial weights that `seed` alone decides, the same on every device. They are drawn when first
    /// used. On an autodiff device the parameters are tracked.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] for an input or class count that the structure does not allow.
    pub fn build(
        &self,
        classes: usize,
        input: Input,
        seed: u64,
        device: &Device,
    ) -> Result<Network, NetError> {
        self.check(input)?;
        if !(1..=MAX_CLASSES).contains(&classes) {
            self.refuse(format!("1 to {MAX_CLASSES} classes"), classes.to_string())?;
        }
        Ok(Network::new(*self, classes, input, seed, device))
    }
}

impl Architecture {
    /// Whether weights trained on images of one side serve those of another: whether the network pools over all of them.
    pub fn serves_all_sides(&self) -> bool {
        let side = self.usual_side();
        let of_side = |side| Network::new(*self, 2, Input { channels: 3, side }, 0, &Device::flex());
        of_side(side).has_the_tensors_of(&of_side(2 * side))
    }
}

impl Network {
    pub(super) fn new(
        architecture: Architecture,
        classes: usize,
        input: Input,
        seed: u64,
        device: &Device,
    ) -> Self {
        let builder = Builder::new(seed, scheme(architecture), architecture.own_spelling(), device);
        let body = Body::new(architecture, &builder, classes, input);
        let tensors = builder.entries();
        Self {
            body,
            about: Arc::new(About { architecture, classes, input, tensors }),
            precision: Precision::F32,
            frozen: 0,
        }
    }

    /// The network with its first `tensors` tensors not trained.
    pub(super) fn frozen(self, tensors: usize) -> Self {
        Self { body: self.body.map(&mut Freezer(tensors)), frozen: tensors, ..self }
    }

    /// The names of a network's tensors in another spelling, by number.
    pub(super) fn names(
        architecture: Architecture,
        classes: usize,
        input: Input,
        spelling: Spelling,
        device: &Device,
    ) -> Vec<String> {
        let builder = Builder::new(0, scheme(architecture), spelling, device);
        Body::new(architecture, &builder, classes, input);
        builder.entries().into_iter().map(|entry| entry.name).collect()
    }

    /// The network with its convolutions computed in `precision`. Weights, statistics and everything else stay f32.
    pub fn with_precision(self, precision: Precision) -> Self {
        Self { precision, ..self }
    }

    /// The network, with the same weights, for images of another side.
    ///
    /// # Errors
    /// [`NetError::Unbuildable`] if the structure does not allow the side, or if weights depend on it.
    pub fn at_side(self, side: usize) -> Result<Self, NetError> {
        let About { architecture, classes, input, .. } = *self.about;
        let wanted = Input { side, ..input };
        architecture.check(wanted)?;
        let of_side = Self::new(architecture, classes, wanted, 0, &Device::flex());
        if !self.has_the_tensors_of(&of_side) {
            let allowed = format!("images of {} pixels a side only (its weights depend on it)", input.side);
            architecture.refuse(allowed, format!("a side of {side}"))?;
        }
        Ok(Self { about: of_side.about, ..self })
    }

    fn has_the_tensors_of(&self, other: &Self) -> bool {
        let (own, others) = (self.tensors(), other.tensors());
        let same = |(a, b): (&TensorEntry, &TensorEntry)| a.name == b.name && a.shape == b.shape;
        own.len() == others.len() && own.iter().zip(others).all(same)
    }

    /// What the convolutions multiply.
    pub(super) fn precision(&self) -> Precision {
        self.precision
    }

    /// Logits `[batch, classes]` of normalised images `[batch, side, side, channels]`.
    pub fn forward(&self, images: Tensor<4>, mode: Mode) -> Tensor<2> {
        self.outputs(images, mode).logits
    }

    /// Features and logits of normalised images `[batch, side, side, channels]`.
    pub fn outputs(&self, images: Tensor<4>, mode: Mode) -> Output {
        self.run(images, Rc::new(self.pass(mode)))
    }

    /// Logits `[batch, classes]` in training mode, with dropout where the network has it: `dropping` decides what is dropped.
    /// ([`Self::forward`] drops nothing.)
    pub fn forward_dropping(&self, images: Tensor<4>, dropping: Dropping) -> Tensor<2> {
        self.outputs_dropping(images, dropping).logits
    }

    /// Features and logits as [`Self::forward_dropping`] has them.
    pub fn outputs_dropping(&self, images: Tensor<4>, dropping: Dropping) -> Output {
        let pass = Pass { dropping: Some(dropping), ..self.pass(Mode::Train) };
        self.run(images, Rc::new(pass))
    }

    /// Logits as [`Self::forward_dropping`] has them, and the maps of `sides` that stages end in, `[batch, side, side, channels]`
    /// each.
    ///
    /// # Panics
    /// If no stage ends at one of the sides; see [`Graph::stages`].
    pub(super) fn with_stages<const N: usize>(
        &self,
        images: Tensor<4>,
        dropping: Dropping,
        sides: [usize; N],
    ) -> (Tensor<2>, [Tensor<4>; N]) {
        let stages = Some(RefCell::default());
        let pass = Rc::new(Pass { dropping: Some(dropping), stages, ..self.pass(Mode::Train) });
        let logits = self.run(images, pass.clone()).logits;
        let stages = pass.stages.as_ref().map(RefCell::take).unwrap_or_default();
        (logits, sides.map(|side| stages.of_side(side).expect("a stage ends at this side").clone()))
    }

    fn pass(&self, mode: Mode) -> Pass {
        let (precision, frozen) = (self.precision, self.frozen);
        Pass { mode, precision, statistics: None, stages: None, dropping: None, frozen }
    }

    /// Evaluation-mode output, and the statistics of what entered each batch-norm, in forward order.
    pub fn outputs_and_statistics(&self, images: Tensor<4>) -> (Output, Vec<NormStatistics>) {
        let pass = Rc::new(Pass { statistics: Some(RefCell::default()), ..self.pass(Mode::Eval) });
        let output = self.run(images, pass.clone());
        let statistics = pass.statistics.as_ref().map(RefCell::take).unwrap_or_default();
        (output, statistics)
    }

    fn run(&self, images: Tensor<4>, pass: Rc<Pass>) -> Output {
        let [_, height, width, channels] = images.dims();
        let Input { channels: c, side } = self.about.input;
        assert_eq!(
            [height, width, channels],
            [side, side, c],
            "images do not have the network's input shape"
        );
        let (features, logits) = self.body.forward(Maps::new(images, pass));
        Output { features: features.into_vectors(), logits: logits.into_vectors() }
    }

    /// The architecture.
    pub fn architecture(&self) -> Architecture {
        self.about.architecture
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.about.classes
    }

    /// The shape of the images.
    pub fn input(&self) -> Input {
        self.about.input
    }

    /// The tensors of the state dictionary, by number.
    pub(super) fn tensors(&self) -> &[TensorEntry] {
        &self.about.tensors
    }

    /// The number of trainable parameters.
    pub fn parameters(&self) -> usize {
        self.about.tensors.iter().filter(|t| t.trainable).map(elements).sum()
    }

    /// Multiply-accumulates of convolutions and linear layers for one image.
    pub fn macs(&self) -> u64 {
        let graph = self.graph();
        graph.nodes().iter().map(|node| graph.macs(node)).sum()
    }

    /// The graph of one evaluation-mode forward pass.
    pub fn graph(&self) -> Graph {
        let Input { channels, side } = self.about.input;
        let graph = Rc::new(RefCell::new(Graph::new([side, side, channels])));
        let (_, logits) = self.body.forward(Maps::symbol(graph.clone()));
        graph.borrow_mut().end(logits.id().expect("a symbol gives a symbol"));
        graph.take()
    }

    /// The layers with weights, in forward order.
    pub fn summary(&self) -> Vec<LayerSummary> {
        let graph = self.graph();
        let row = |node: &super::Node| {
            let (kind, tensors) = match node.op {
                Op::Conv { weight, bias, .. } => {
                    ("convolution", weight..weight + 1 + usize::from(bias.is_some()))
                }
                Op::BatchNorm { weight, .. } => ("batch-norm", weight..weight + 2),
                Op::LayerNorm { weight, .. } => ("layer-norm", weight..weight + 2),
                Op::Scale { weight } => ("scale", weight..weight + 1),
                Op::Linear { weight } => ("linear", weight..weight + 2),
                _ => return None,
            };
            Some(LayerSummary {
                name: self.about.tensors[tensors.start].name.trim_end_matches(".weight").to_owned(),
                kind,
                output: node.shape,
                parameters: self.about.tensors[tensors].iter().map(elements).sum(),
                macs: graph.macs(node),
            })
        };
        graph.nodes().iter().filter_map(row).collect()
    }

    /// All tensors, running statistics included, in the order and under the names of the published PyTorch
    /// definition (`num_batches_tracked`, which takes no part in the computation, is left out).
    pub fn state_dict(&self) -> Vec<NamedTensor> {
        state_dict::read(&self.body, &self.about.tensors)
    }

    /// The network with the values of `tensors`, in any order. Whether parameters are tracked for gradients stays.
    ///
    /// # Errors
    /// [`NetError::State`] unless names and shapes match one to one; [`NetError::NotFinite`] for a value that is not.
    pub fn load_state_dict(self, tensors: &[NamedTensor]) -> Result<Self, NetError> {
        let name = self.about.architecture.to_string();
        Ok(Self {
            body: state_dict::write(self.body, &name, &self.about.tensors, tensors)?,
            about: self.about,
            precision: self.precision,
            frozen: self.frozen,
        })
    }
}

/// Stops tracking the parameters whose numbers are below its own.
struct Freezer(usize);

impl ModuleMapper for Freezer {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if (param.id.val() as usize) < self.0 { param.set_require_grad(false) } else { param }
    }
}
