//! A step of stochastic gradient descent in one pass over weight, gradient and velocity, on the CPU backend.

use burn::backend::Flex;
use burn::tensor::Tensor;
use rayon::prelude::*;

use crate::isa::{MulAdd, per_isa};
use crate::{SgdStep, buffers, flex};

/// Elements of a task.
const BLOCK: usize = 16 << 10;

/// The step's factors in f32.
#[derive(Clone, Copy)]
struct Factors {
    rate: f32,
    momentum: f32,
    decay: f32,
    /// Shares of the decayed gradient and of the velocity in what is subtracted from the weight.
    direction: [f32; 2],
}

impl Factors {
    fn new(step: SgdStep) -> Self {
        let momentum = step.momentum as f32;
        let direction = match (step.momentum > 0.0, step.nesterov) {
            (false, _) => [1.0, 0.0],
            (true, false) => [0.0, 1.0],
            (true, true) => [1.0, momentum],
        };
        Self { rate: step.rate as f32, momentum, decay: step.weight_decay as f32, direction }
    }
}

#[inline(always)]
fn update_body<M: MulAdd>(factors: Factors, weight: &mut [f32], gradient: &[f32], velocity: &mut [f32]) {
    let Factors { rate, momentum, decay, direction: [a, b] } = factors;
    for ((w, g), v) in weight.iter_mut().zip(gradient).zip(velocity) {
        let g = M::mul_add(decay, *w, *g);
        *v = M::mul_add(momentum, *v, g);
        *w = M::mul_add(-rate, M::mul_add(b, *v, a * g), *w);
    }
}

per_isa! {
    fn update(factors: Factors, weight: &mut [f32], gradient: &[f32], velocity: &mut [f32]) = update_body
}

/// The first step: the gradient with weight decay becomes the velocity.
#[inline(always)]
fn begin_body<M: MulAdd>(factors: Factors, weight: &mut [f32], gradient: &mut [f32]) {
    let Factors { rate, decay, direction: [a, b], .. } = factors;
    for (w, g) in weight.iter_mut().zip(gradient) {
        *g = M::mul_add(decay, *w, *g);
        *w = M::mul_add(-rate, M::mul_add(b, *g, a * *g), *w);
    }
}

per_isa! { fn begin(factors: Factors, weight: &mut [f32], gradient: &mut [f32]) = begin_body }

pub(crate) fn step<const D: usize>(
    weight: Tensor<D>,
    gradient: Tensor<D>,
    velocity: Option<Tensor<D>>,
    step: SgdStep,
) -> (Tensor<D>, Tensor<D>) {
    let primitive = |tensor: Tensor<D>| {
        let tensor =
            tensor.try_into_primitive::<Flex>().expect("a tensor of the CPU backend without autodiff");
        flex::contiguous(tensor)
    };
    let (mut weight, mut gradient, velocity) =
        (primitive(weight), primitive(gradient), velocity.map(primitive));
    let factors = Factors::new(step);
    let weights = buffers::elements_mut(&mut weight).par_chunks_mut(BLOCK);
    let velocity = match velocity {
        Some(mut velocity) => {
            weights
                .zip(flex::elements(&gradient).par_chunks(BLOCK))
                .zip(buffers::elements_mut(&mut velocity).par_chunks_mut(BLOCK))
                .for_each(|((w, g), v)| update(factors, w, g, v));
            velocity
        }
        None => {
            weights
                .zip(buffers::elements_mut(&mut gradient).par_chunks_mut(BLOCK))
                .for_each(|(w, g)| begin(factors, w, g));
            gradient
        }
    };
    (Tensor::from_primitive::<Flex>(weight), Tensor::from_primitive::<Flex>(velocity))
}
