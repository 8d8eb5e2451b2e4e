//! A victim behind defences: what thieves, honest users and the server ask.

use super::owner::{Extras, Owner};
use super::rows::{clean_rows, refused};
use super::{Answers as DependsOn, ClassTails, Defence, DefenceError, ImageId, Query, Row, Secret, Stack};
use crate::random::Stream;
use crate::victim::{Answers, Front, Interface, Request, Scale, Victim, VictimError};
use rayon::prelude::*;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A victim behind a [`Stack`] of defences. It serves probabilities.
///
/// An answer depends on the image alone, by the SHA-256 of its pixels as they are shown, except where
/// [`Stack::answers`] says otherwise. It has a meter of its own; its victim's counts as well.
pub struct Defended {
    front: Front,
    victim: Arc<dyn Victim>,
    stack: Stack,
    secret: Secret,
    owner: Owner,
    /// The number of the next answer, from a random start.
    next: AtomicU64,
}

impl Defended {
    /// `victim` behind the defences of `stack`, keyed by the owner's `secret`.
    ///
    /// # Errors
    /// [`DefenceError::NoSecret`] for a keyed defence without a secret; [`DefenceError::MissingInput`] or
    /// [`DefenceError::BadInput`] where `owner` lacks what a defence needs.
    pub fn new(
        victim: Arc<dyn Victim>,
        stack: Stack,
        secret: Option<Secret>,
        owner: Owner,
    ) -> Result<Self, DefenceError> {
        for layer in stack.layers() {
            let facts = layer.facts();
            if facts.answers == DependsOn::Keyed && secret.is_none() {
                return Err(DefenceError::NoSecret { defence: facts.name });
            }
            facts.needs.iter().try_for_each(|need| owner.check(*need, facts.name, &*victim))?;
        }
        let identity = identity(&*victim, &stack, secret.as_ref(), &owner);
        let front = Front::over(victim.front(), identity, Scale::Probabilities);
        let secret = secret.unwrap_or_else(Secret::any);
        let mut start = Stream::keyed(Secret::any().digest());
        let next = AtomicU64::new(u64::from(start.bits()) << 32 | u64::from(start.bits()));
        Ok(Self { front, victim, stack, secret, owner, next })
    }

    /// The same victim with another interface, which what the defences serve goes through.
    ///
    /// # Errors
    /// [`VictimError::Interface`] for logits.
    pub fn behind(self, interface: Interface) -> Result<Self, VictimError> {
        Ok(Self { front: self.front.behind(interface)?, ..self })
    }

    /// The defences.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The victim without them.
    pub fn undefended(&self) -> &Arc<dyn Victim> {
        &self.victim
    }

    /// The table that a class tail needs, made of the answers of `victim` to the owner's own images.
    ///
    /// # Errors
    /// [`VictimError`].
    pub fn class_tails(victim: &dyn Victim, images: &Request<'_>) -> Result<ClassTails, VictimError> {
        let answers = victim.ask(images)?;
        let rows = clean_rows(&answers)
            .enumerate()
            .map(|(image, row)| row.map_err(|error| refused("class-tail", image, &error)))
            .collect::<Result<Vec<_>, _>>()?;
        ClassTails::of(&rows).map_err(|error| refused("class-tail", 0, &error))
    }

    /// The row served in place of `clean` for the image of these pixels; `place` is the image's place in a request, whose
    /// answers are numbered from `first`.
    fn served(
        &self,
        clean: Row,
        pixels: &[u8],
        place: usize,
        first: u64,
        extras: &Extras,
    ) -> Result<Row, DefenceError> {
        let number = first.wrapping_add(place as u64);
        let query = Query::new(ImageId::of(pixels), &self.secret, number);
        extras.with(place, clean.classes(), |inputs| self.stack.serve(&clean, &query.with(inputs)))
    }

    fn refused(&self, image: usize, error: &DefenceError) -> VictimError {
        refused(&self.stack.to_string(), image, error)
    }
}

impl Victim for Defended {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let answers = self.victim.ask(request)?;
        let extras = self.owner.extras(&self.stack, request)?;
        let first = self.next.fetch_add(answers.len() as u64, Ordering::Relaxed);
        let clean: Vec<_> = clean_rows(&answers).collect();
        let work = clean.into_iter().zip(request.pixels()).enumerate();
        let serve = |(place, (clean, pixels)): (usize, (Result<Row, DefenceError>, Vec<u8>))| {
            let row = clean.and_then(|clean| self.served(clean, &pixels, place, first, &extras));
            row.map_err(|error| self.refused(place, &error))
        };
        let rows: Vec<Row> = if self.stack.answers() == DependsOn::Stateful {
            // In the order of the questions.
            work.map(serve).collect::<Result<_, _>>()?
        } else {
            work.collect::<Vec<_>>().into_par_iter().map(serve).collect::<Result<_, _>>()?
        };
        let served = rows.iter().flat_map(|row| row.probabilities().iter().map(|p| *p as f32)).collect();
        Ok(self.front.serve(served))
    }
}

/// A digest of all that decides the answers: the victim, the defences, and of secret and owner's inputs what they use.
fn identity(victim: &dyn Victim, stack: &Stack, secret: Option<&Secret>, owner: &Owner) -> String {
    let keyed = stack.layers().iter().any(|layer| layer.facts().answers == DependsOn::Keyed);
    let mut hash = Sha256::new();
    hash.update(format!("{}\n{}\n{stack}\n", victim.identity(), victim.front().interface()));
    if let Some(secret) = secret.filter(|_| keyed) {
        hash.update(secret.digest());
    }
    stack.needs().iter().for_each(|need| owner.identify(*need, &mut hash));
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{Augmentation, ImageSet};
    use crate::victim::Scripted;

    /// Logits that differ from image to image.
    fn victim() -> Arc<dyn Victim> {
        let script = |pixels: &[u8]| pixels.iter().take(4).map(|p| f32::from(*p) / 50.0).collect();
        Arc::new(Scripted::new("v", 4, Scale::Logits, script))
    }

    fn images() -> ImageSet {
        ImageSet::new(2, 2, 1, (0..48u32).map(|i| (i * 37 % 251) as u8).collect(), vec![0; 12])
    }

    fn defended(text: &str, secret: &[u8]) -> Defended {
        let tails = Defended::class_tails(&*victim(), &Request::unchanged(&images())).expect("rows");
        let owner = Owner {
            class_tails: Some(Arc::new(tails)),
            wrong: Some(victim()),
            proxy: Some(victim()),
            ..Owner::default()
        };
        let stack = text.parse().expect(text);
        Defended::new(victim(), stack, Some(Secret::of(secret)), owner).expect("all is there")
    }

    fn rows(victim: &dyn Victim, images: &ImageSet) -> Vec<f32> {
        victim.ask(&Request::unchanged(images)).expect("any image").rows
    }

    #[test]
    fn an_image_gets_the_same_row_whatever_the_order_and_the_views() {
        let images = images();
        for text in [
            "top-1",
            "stingy:0.5+rounding:1",
            "keyed-shuffle",
            "logit-noise-keyed:1+flat-tail",
            "class-tail",
            "adaptive-misinformation:tau=0.5",
            "product-of-experts",
        ] {
            let victim = defended(text, b"s");
            let all = rows(&victim, &images);
            for i in (0..images.len()).rev() {
                let alone = rows(&victim, &images.subset(&[i]));
                assert_eq!(alone, all[4 * i..][..4], "{text}");
            }
            assert_eq!(victim.queries(), 24);
            assert_eq!(rows(&defended(text, b"s"), &images), all, "{text}: in another process");
            for row in all.chunks(4) {
                assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{text} {row:?}");
            }
        }
        // A mirrored image is another one: its noise is that of its own pixels.
        let (victim, flip) =
            (defended("logit-noise-keyed:1", b"s"), Augmentation { flip: true, ..Augmentation::none() });
        let mirrored = victim.ask(&Request::views(&images, &flip, vec![(3, 1)])).expect("a view").rows;
        let shown = Request::views(&images, &flip, vec![(3, 1)]).pixels().remove(0);
        assert_eq!(mirrored, rows(&victim, &ImageSet::new(2, 2, 1, shown, vec![0])));
    }

    #[test]
    fn it_serves_what_the_stack_serves() {
        let images = images();
        let victim = defended("temperature:2+top-k:2", b"s");
        let served = rows(&victim, &images);
        let logits = rows(&*self::victim(), &images);
        for (served, logits) in served.chunks(4).zip(logits.chunks(4)) {
            let clean =
                Row::from_logits(&logits.iter().map(|z| f64::from(*z)).collect::<Vec<_>>()).expect("logits");
            let secret = Secret::of(b"s");
            let expected =
                victim.stack().serve(&clean, &Query::new(ImageId::of(b""), &secret, 0)).expect("a row");
            let expected: Vec<f32> = expected.probabilities().iter().map(|p| *p as f32).collect();
            assert_eq!(served, expected);
        }
        let label = victim.behind(Interface::Label).expect("from probabilities");
        assert_eq!(rows(&label, &images)[..4].iter().sum::<f32>(), 1.0);
        assert!(defended("top-1", b"s").behind(Interface::Logits).is_err());
    }

    #[test]
    fn fresh_noise_differs_and_state_follows_the_order() {
        let images = images();
        let fresh = defended("logit-noise:1", b"s");
        assert_ne!(rows(&fresh, &images), rows(&fresh, &images));
        assert_ne!(
            rows(&defended("logit-noise:1", b"s"), &images),
            rows(&defended("logit-noise:1", b"s"), &images)
        );
        let [first, again] = [0, 1].map(|_| rows(&defended("modelguard-s:0.5", b"s"), &images));
        assert_eq!(first, again, "the same questions in the same order");
    }

    #[test]
    fn the_identity_covers_what_decides_the_answers() {
        let identity = |text, secret: &[u8]| defended(text, secret).identity().to_owned();
        assert_eq!(identity("keyed-shuffle", b"s"), identity("keyed-shuffle", b"s"));
        assert_ne!(identity("keyed-shuffle", b"s"), identity("keyed-shuffle", b"t"));
        assert_ne!(identity("top-1", b"s"), identity("top-k:2", b"s"));
        assert_ne!(identity("top-1", b"s"), "v");
        assert_eq!(identity("top-1", b"s"), identity("top-1", b"t"), "no secret is used");
        let other: Arc<dyn Victim> = Arc::new(Scripted::new("w", 4, Scale::Logits, |_: &[u8]| vec![0.0; 4]));
        let of_other = Defended::new(other, "top-1".parse().expect("a text"), None, Owner::default());
        assert_ne!(of_other.expect("nothing is needed").identity(), identity("top-1", b"s"));
    }

    #[test]
    fn what_is_missing_is_said_before_anyone_asks() {
        let refused = |text: &str, owner: Owner| {
            let stack = text.parse().expect(text);
            Defended::new(victim(), stack, None, owner).err().expect("refused").to_string()
        };
        assert_eq!(
            refused("keyed-shuffle", Owner::default()),
            "`keyed-shuffle` needs the owner's secret, found none"
        );
        for (text, words) in [
            ("top-1+class-tail", "needs a table of class tails"),
            ("mad:1", "needs a surrogate's gradients"),
            ("gradient-redirection:1", "needs the direction"),
            ("adaptive-misinformation:tau=1", "needs the misinformation network's row"),
            ("product-of-experts", "needs a proxy's logits"),
            ("margin-budget-clipping:1", "needs a proxy's change of logits"),
        ] {
            let found = refused(text, Owner::default());
            assert!(found.contains(words), "{found}");
        }
        let proxy = Scripted::new("p", 4, Scale::Probabilities, |_: &[u8]| vec![0.25; 4]);
        let owner = Owner { proxy: Some(Arc::new(proxy)), ..Owner::default() };
        assert!(refused("product-of-experts", owner).contains("expected logits, found probabilities"));
        let wrong = Scripted::new("p", 3, Scale::Logits, |_: &[u8]| vec![0.0; 3]);
        let owner = Owner { wrong: Some(Arc::new(wrong)), ..Owner::default() };
        assert!(refused("adaptive-misinformation:tau=1", owner).contains("expected 4 classes, found 3"));
        // A victim's answer that is no row.
        let broken: Arc<dyn Victim> =
            Arc::new(Scripted::new("n", 2, Scale::Logits, |_: &[u8]| vec![f32::NAN; 2]));
        let victim =
            Defended::new(broken, "top-1".parse().expect("a text"), None, Owner::default()).expect("so far");
        let error = victim.ask(&Request::unchanged(&images())).expect_err("NaN").to_string();
        assert!(
            error.contains("top-k:1 cannot serve the answer to image 0") && error.contains("NaN"),
            "{error}"
        );
        assert_eq!(victim.queries(), 0);
    }
}
