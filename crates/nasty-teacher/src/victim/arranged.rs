//! A victim whose answers are put into the order of a data set's classes.

use super::{Answers, Front, Request, Victim, VictimError};
use crate::data::ClassMap;
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// A victim seen through the classes of a data set.
pub struct Arranged {
    front: Front,
    victim: Arc<dyn Victim>,
    map: ClassMap,
}

impl Arranged {
    /// `victim` with its answers in the order of the classes `names`, to which `map` assigns its outputs.
    ///
    /// # Panics
    /// If there is not one name a class.
    pub fn new(victim: Arc<dyn Victim>, map: ClassMap, names: Vec<String>) -> Self {
        let identity = match map.order() {
            None => victim.identity().to_owned(),
            Some(order) => {
                let text = format!("{} {order:?}", victim.identity());
                Sha256::digest(text).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
            }
        };
        let inner = victim.front();
        let front = Front::over(inner, identity, inner.scale()).named(names).serving_as(inner.interface());
        Self { front, victim, map }
    }
}

impl Victim for Arranged {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let mut answers = self.victim.ask(request)?;
        self.map.arrange(&mut answers.rows);
        Ok(self.front.serve(answers.rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSet, class_map};
    use crate::victim::{Interface, Scale, Scripted};

    #[test]
    fn answers_follow_the_names() {
        let names = |names: [&str; 3]| names.map(str::to_owned).to_vec();
        let (own, data) = (names(["cat", "dog", "owl"]), names(["owl", "cat", "dog"]));
        let script = |pixels: &[u8]| vec![0.5, f32::from(pixels[0]) / 255.0, 0.25];
        let victim = || Arc::new(Scripted::new("v", 3, Scale::Probabilities, script));
        let images = ImageSet::new(1, 1, 1, vec![0, 255], vec![0, 1]);
        let map = class_map(&own, &data).expect("the same names");
        let arranged = Arranged::new(victim(), map, data.clone());
        let answers = arranged.ask(&Request::unchanged(&images)).expect("any image");
        assert_eq!(answers.rows, [0.25, 0.5, 0.0, 0.25, 0.5, 1.0]);
        assert_eq!((arranged.queries(), arranged.names()), (2, &data[..]));
        assert_ne!(arranged.identity(), "v");
        let same = Arranged::new(victim(), ClassMap::Same, own);
        assert_eq!(same.identity(), "v");

        // What is revealed stays what the inner victim says.
        let label = victim();
        let label = Arc::try_unwrap(label).ok().expect("alone").behind(Interface::Label).expect("from any");
        let arranged = Arranged::new(Arc::new(label), ClassMap::Same, data);
        assert_eq!(arranged.front().interface(), Interface::Label);
        assert_eq!(arranged.ask(&Request::unchanged(&images)).expect("any").rows[3..], [0.0, 1.0, 0.0]);
    }
}
