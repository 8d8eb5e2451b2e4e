//! A victim that answers with a function: a fake for tests, and an adapter for anything else.

use super::{Answers, Front, Interface, Request, Scale, Victim, VictimError};

/// A victim whose answer to an image is a function of its pixels.
///
/// ```
/// use nasty_teacher::data::ImageSet;
/// use nasty_teacher::victim::{Interface, Request, Scale, Scripted, Victim};
///
/// // Two grey images of one pixel; the victim is surer of class 1 the brighter a pixel is.
/// let images = ImageSet::new(1, 1, 1, vec![0, 255], vec![0, 1]);
/// let victim = Scripted::new("brightness", 2, Scale::Probabilities, |pixels: &[u8]| {
///     let bright = f32::from(pixels[0]) / 255.0;
///     vec![1.0 - bright, bright]
/// })
/// .behind(Interface::Label)?;
/// let answers = victim.ask(&Request::unchanged(&images))?;
/// assert_eq!((answers.rows, victim.queries()), (vec![1.0, 0.0, 0.0, 1.0], 2));
/// # Ok::<(), nasty_teacher::victim::VictimError>(())
/// ```
pub struct Scripted<F> {
    front: Front,
    answer: F,
}

impl<F: Fn(&[u8]) -> Vec<f32> + Send + Sync> Scripted<F> {
    /// The victim called `identity` that gives `answer` `[classes]`, on `scale`, to an image's pixels
    /// `[height, width, channels]`.
    pub fn new(identity: &str, classes: usize, scale: Scale, answer: F) -> Self {
        Self { front: Front::new(identity.to_owned(), classes, scale), answer }
    }

    /// The same victim with another interface.
    ///
    /// # Errors
    /// [`VictimError::Interface`] if its answers do not contain what it gives out.
    pub fn behind(self, interface: Interface) -> Result<Self, VictimError> {
        Ok(Self { front: self.front.behind(interface)?, ..self })
    }
}

impl<F: Fn(&[u8]) -> Vec<f32> + Send + Sync> Victim for Scripted<F> {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let mut rows = Vec::with_capacity(request.items.len() * self.front.classes());
        for pixels in request.pixels() {
            let row = (self.answer)(&pixels);
            assert_eq!(row.len(), self.front.classes(), "a scripted answer has one number a class");
            rows.extend(row);
        }
        Ok(self.front.serve(rows))
    }
}
