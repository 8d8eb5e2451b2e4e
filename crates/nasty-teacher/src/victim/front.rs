//! What all victims share: identity, interface, meter.

use super::{Answers, Interface, Scale, VictimError};
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
    scale: Scale,
    interface: Interface,
    meter: Meter,
}

impl Front {
    /// The front of the victim `identity`, which tells `classes` classes apart, has answers of `scale` and serves them as they
    /// are.
    pub fn new(identity: String, classes: usize, scale: Scale) -> Self {
        let interface = Interface::natural(scale);
        Self { identity, classes, scale, interface, meter: Meter::default() }
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

    /// How its answers are given out.
    pub fn interface(&self) -> Interface {
        self.interface
    }

    /// Its queries.
    pub fn meter(&self) -> &Meter {
        &self.meter
    }
}
