//! A victim of whose answers less is given out.

use super::{Answers, Front, Interface, Request, Victim, VictimError};
use std::sync::Arc;

/// A victim behind an interface.
pub struct Revealing {
    front: Front,
    victim: Arc<dyn Victim>,
}

impl Revealing {
    /// `victim` behind `interface`.
    ///
    /// # Errors
    /// [`VictimError::Interface`] if its answers do not contain what is to be given out.
    pub fn new(victim: Arc<dyn Victim>, interface: Interface) -> Result<Self, VictimError> {
        let inner = victim.front();
        let front = Front::over(inner, inner.identity().to_owned(), inner.scale()).behind(interface)?;
        Ok(Self { front, victim })
    }
}

impl Victim for Revealing {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        Ok(self.front.serve(self.victim.ask(request)?.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageSet;
    use crate::victim::{Scale, Scripted};

    #[test]
    fn less_is_given_out() {
        let victim = || Arc::new(Scripted::new("v", 2, Scale::Probabilities, |_: &[u8]| vec![0.25, 0.75]));
        let images = ImageSet::new(1, 1, 1, vec![0], vec![0]);
        let label = Revealing::new(victim(), Interface::Label).expect("from probabilities");
        assert_eq!(label.ask(&Request::unchanged(&images)).expect("any").rows, [0.0, 1.0]);
        assert_eq!((label.identity(), label.queries()), ("v", 1));
        assert!(Revealing::new(victim(), Interface::Logits).is_err());
    }
}
