//! Defences that change a victim's answers: each takes a served row and returns another. One file each, with its
//! formula and source.
//!
//! A defence is a function of the served row, the image's identity and the owner's secret; some need more, which is
//! part of the [`Query`]. It sees one image at a time, so an answer cannot depend on the batch or on the order of
//! queries, and the same image gets the same answer, except where [`Facts::answers`] says otherwise. Every answer is
//! finite, non-negative and sums to 1. Ties go to the lowest index.
//!
//! Notation of the formulas: `y` is the clean row, `y'` the served row, `C` the number of classes, `top = argmax y`,
//! `σ_τ(z) = softmax(z/τ)`, and `∝` means "divided by its sum". Where a formula leaves nothing (all entries 0), `top`
//! is served with probability 1. Formulas were compared with public code; golden values test them.
//!
//! As text: `top-k:1`, `reverse-sigmoid:beta=1,gamma=0.1`, and several in order: `stingy:0.2+rounding:2` ([`Stack`]).

mod adaptive_misinformation;
mod class_tail;
mod coarse_confidence;
mod defence;
mod defended;
mod error;
mod facts;
mod flat_tail;
mod gaussian_noise;
mod gradient_redirection;
mod high_confidence;
mod keyed_shuffle;
mod logit_noise;
mod mad;
mod margin_budget;
mod modelguard_s;
mod modelguard_w;
mod owner;
mod product_of_experts;
mod query;
pub mod recovery;
mod reverse_sigmoid;
mod rounding;
mod row;
mod rows;
mod stack;
mod stingy;
mod temperature;
#[cfg(test)]
mod tests;
mod top_k;

pub use adaptive_misinformation::AdaptiveMisinformation;
pub use class_tail::ClassTail;
pub use coarse_confidence::CoarseConfidence;
pub use defence::Defence;
pub use defended::Defended;
pub use error::DefenceError;
pub use facts::{Answers, Facts, Parameter, TopOne};
pub use flat_tail::FlatTail;
pub use gaussian_noise::GaussianNoise;
pub use gradient_redirection::GradientRedirection;
pub use high_confidence::HighConfidence;
pub use keyed_shuffle::KeyedShuffle;
pub use logit_noise::LogitNoise;
pub use mad::{Mad, MadArgmax, Turned};
pub use margin_budget::{MarginBudgetClipping, MarginBudgetScaling};
pub use modelguard_s::ModelGuardS;
pub use modelguard_w::ModelGuardW;
pub use owner::{Owner, Slope};
pub use product_of_experts::ProductOfExperts;
pub use query::{ClassTails, Gradients, ImageId, Inputs, Need, Query, Secret};
pub use reverse_sigmoid::{ReverseSigmoid, ReverseSigmoidClipped, ReverseSigmoidOdds};
pub use rounding::Rounding;
pub use row::Row;
pub use stack::{Layer, Stack};
pub use stingy::Stingy;
pub use temperature::Temperature;
pub use top_k::TopK;

/// The closed set of defences.
pub static ALL: &[&Facts] = &[
    &top_k::FACTS,
    &stingy::FACTS,
    &rounding::FACTS,
    &temperature::FACTS,
    &reverse_sigmoid::FACTS,
    &reverse_sigmoid::FACTS_CLIPPED,
    &reverse_sigmoid::FACTS_ODDS,
    &high_confidence::FACTS,
    &gaussian_noise::FACTS,
    &gaussian_noise::FACTS_KEYED,
    &logit_noise::FACTS,
    &logit_noise::FACTS_KEYED,
    &mad::FACTS,
    &mad::FACTS_ARGMAX,
    &gradient_redirection::FACTS,
    &adaptive_misinformation::FACTS,
    &modelguard_w::FACTS,
    &modelguard_s::FACTS,
    &margin_budget::FACTS_SCALING,
    &margin_budget::FACTS_CLIPPING,
    &product_of_experts::FACTS,
    &flat_tail::FACTS,
    &class_tail::FACTS,
    &keyed_shuffle::FACTS,
    &coarse_confidence::FACTS,
];
