//! What all victims share: identity, interface, meter.

use super::{Answers, Interface, Scale, VictimError};
use crate::data::Normalisation;
use crate::nets::Input;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts queries.
#[derive(Debug, Default)]
pub struct Meter(AtomicU64);

impl Meter {
    /// Images answered so far. Repeats and views count.
    pub fn queries(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The side of a victim that thieves see. Every answer leaves through [`Front::serve`].
#[derive(Debug)]
pub struct Front {
    identity: String,
    classes: usize,
    names: Vec<String>,
    input: Option<Input>,
    normalisation: Option<Normalisation>,
    scale: Scale,
    interface: Interface,
    meter: Meter,
}

impl Front {
    /// The front of the victim `identity`, which tells `classes` classes apart, has answers of `scale` and serves them as they
    /// are.
    pub fn new(identity: String, classes: usize, scale: Scale) -> Self {
        let interface = Interface::natural(scale);
        let (names, meter) = (Vec::new(), Meter::default());
        Self { identity, classes, names, input: None, normalisation: None, scale, interface, meter }
    }

    /// The same front, whose classes are called `names`, in the order of its answers.
    ///
    /// # Panics
    /// If there is not one name a class.
    pub fn named(self, names: Vec<String>) -> Self {
        assert_eq!(names.len(), self.classes, "one name a class");
        Self { names, ..self }
    }

    /// The same front of a victim that takes images of `input` only.
    pub fn taking(self, input: Input) -> Self {
        Self { input: Some(input), ..self }
    }

    /// The same front of a victim that answers to [`Request::exact`](super::Request::exact), normalised by `normalisation`.
    pub fn exact(self, normalisation: Normalisation) -> Self {
        Self { normalisation: Some(normalisation), ..self }
    }

    /// The same front with another interface.
    ///
    /// # Errors
    /// [`VictimError::Interface`] if the victim's answers do not contain what it gives out.
    pub fn behind(self, interface: Interface) -> Result<Self, VictimError> {
        match interface.problem(self.scale, self.classes) {
            Some(reason) => Err(VictimError::Interface { interface: interface.to_string(), reason }),
            None => Ok(Self { interface, ..self }),
        }
    }

    /// The front of the victim `identity`, which passes on what the one behind `inner` says: the same classes for the same
    /// images, on `scale`.
    pub(crate) fn over(inner: &Self, identity: String, scale: Scale) -> Self {
        let Self { names, input, normalisation, classes, .. } = inner;
        let (names, normalisation) = (names.clone(), normalisation.clone());
        Self { names, input: *input, normalisation, ..Self::new(identity, *classes, scale) }
    }

    /// The same front of a victim whose answers come as `interface` gives them out: it changes them no further.
    pub(crate) fn serving_as(self, interface: Interface) -> Self {
        Self { interface, ..self }
    }

    /// The victim's full `answers` `[images, classes]` as its interface gives them out; they count as queries.
    pub fn serve(&self, answers: Vec<f32>) -> Answers {
        let answers = Answers { scale: self.scale, classes: self.classes, rows: answers };
        self.meter.0.fetch_add(answers.len() as u64, Ordering::Relaxed);
        self.interface.apply(answers)
    }

    /// The victim's identity.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// Classes that it tells apart.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// The classes' names, in the order of its answers; empty if they are not known.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The images that it takes; none if it takes any.
    pub fn input(&self) -> Option<Input> {
        self.input
    }

    /// How the numbers are normalised that it answers to; none if it takes images of 8 bits a channel only.
    pub fn normalisation(&self) -> Option<&Normalisation> {
        self.normalisation.as_ref()
    }

    /// What the numbers of its answers are.
    pub fn scale(&self) -> Scale {
        if self.interface == Interface::Logits { self.scale } else { Scale::Probabilities }
    }

    /// How its answers are given out.
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// Its queries.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
}
