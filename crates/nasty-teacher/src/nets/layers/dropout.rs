//! Dropout and stochastic depth. What is dropped depends only on the seed, the step, the layer and the position.

use burn::tensor::{Tensor, TensorData};

use super::{Dropping, Maps, Mode, Pass};
use crate::random::{Purpose, Stream};

/// A residual branch among all of a network's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DropPath {
    /// The branch's number; below 2³².
    pub(crate) number: usize,
    /// The share that it has of [`Dropping::stochastic_depth`].
    pub(crate) share: f64,
}

/// Numbers of dropout layers begin here, those of branches at 0.
const LAYERS: u64 = 1 << 32;

impl Maps {
    /// Dropout (Srivastava et al., JMLR 2014): in training every element is 0 with `probability`, else divided by
    /// `1 − probability`. `number` tells a network's dropout layers apart.
    pub(crate) fn dropout(self, probability: f64, number: u64) -> Self {
        self.drop(probability, LAYERS + number, |[n, h, w, c]| [n, h, w, c])
    }

    /// Whether a branch is under stochastic depth in this pass.
    pub(crate) fn drops(&self, path: DropPath) -> bool {
        self.pass().is_some_and(|pass| path_probability(pass, path) > 0.0)
    }

    /// The branch, left out for some images.
    pub(crate) fn drop_path(self, path: DropPath) -> Self {
        let probability = self.pass().map_or(0.0, |pass| path_probability(pass, path));
        self.drop(probability, path.number as u64, |[n, ..]| [n, 1, 1, 1])
    }

    /// One factor for each element of `shape`.
    fn drop(self, probability: f64, number: u64, shape: fn([usize; 4]) -> [usize; 4]) -> Self {
        let Some(dropping) = self.pass().and_then(active).filter(|_| probability > 0.0) else { return self };
        let y = |x: Tensor<4>| {
            let shape = shape(x.dims());
            let mut stream = Stream::new(dropping.seed, Purpose::Dropout, dropping.step, number);
            let kept = (1.0 / (1.0 - probability)) as f32;
            let mut factor = || if f64::from(stream.uniform()) < probability { 0.0 } else { kept };
            let factors: Vec<f32> = (0..shape.iter().product()).map(|_| factor()).collect();
            x.clone() * Tensor::from_data(TensorData::new(factors, shape), &x.device())
        };
        self.apply(|| unreachable!("only real activations have a pass"), |s| s, |x, _| y(x))
    }
}

fn active(pass: &Pass) -> Option<Dropping> {
    pass.dropping.filter(|_| pass.mode == Mode::Train)
}

fn path_probability(pass: &Pass, path: DropPath) -> f64 {
    active(pass).map_or(0.0, |dropping| dropping.stochastic_depth * path.share)
}
