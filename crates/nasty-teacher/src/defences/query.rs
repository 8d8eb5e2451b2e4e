//! The inputs of a defence other than the served row: the image, the owner's secret, and what some defences need in
//! addition.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

use sha2::{Digest, Sha256};

use super::error::DefenceError;
use super::row::Row;
use crate::random::Stream;

/// The identity of an image: a digest of its content. The same image is the same identity, whoever asks, and whenever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ImageId(pub [u8; 32]);

impl ImageId {
    /// The identity of an image with these bytes: SHA-256.
    pub fn of(pixels: &[u8]) -> Self {
        Self(Sha256::digest(pixels).into())
    }
}

/// The owner's secret, which keys what a thief must not foresee.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret made of a passphrase or of random bytes: SHA-256.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Random bytes of this process, for noise that nobody needs to foresee.
    pub(super) fn any() -> Self {
        let word = || RandomState::new().hash_one(0).to_le_bytes();
        Self::of(&[word(), word(), word(), word()].concat())
    }

    /// A digest that tells secrets apart without giving them away.
    pub(super) fn digest(&self) -> [u8; 32] {
        Sha256::new().chain_update(b"the digest of a secret").chain_update(self.0).finalize().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// One question to the victim, as its defences see it.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Which image was asked about.
    pub image: ImageId,
    /// The owner's secret.
    pub secret: &'a Secret,
    /// A number that no other answer of this service has; only fresh noise depends on it.
    pub number: u64,
    /// What some defences need beside the row.
    pub inputs: Inputs<'a>,
    /// The defence's place in the stack, so that two layers of the same noise are independent.
    pub(super) layer: usize,
}

impl<'a> Query<'a> {
    /// A question about `image`, without further inputs. `number` must differ between answers if fresh noise is served.
    pub fn new(image: ImageId, secret: &'a Secret, number: u64) -> Self {
        Self { image, secret, number, inputs: Inputs::default(), layer: 0 }
    }

    /// The same question with further inputs.
    pub fn with(self, inputs: Inputs<'a>) -> Self {
        Self { inputs, ..self }
    }

    /// Random numbers fixed by the secret, the image, the defence's name and its place in the stack.
    pub(super) fn keyed(&self, defence: &str) -> Stream {
        Stream::keyed(self.digest(defence).finalize().into())
    }

    /// Random numbers of this answer alone.
    pub(super) fn fresh(&self, defence: &str) -> Stream {
        Stream::keyed(self.digest(defence).chain_update(self.number.to_le_bytes()).finalize().into())
    }

    fn digest(&self, defence: &str) -> Sha256 {
        Sha256::new()
            .chain_update(self.secret.0)
            .chain_update(self.image.0)
            .chain_update((self.layer as u64).to_le_bytes())
            .chain_update((defence.len() as u64).to_le_bytes())
            .chain_update(defence)
    }
}

/// What a defence needs beside the served row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// [`Inputs::wrong_row`].
    WrongRow,
    /// [`Inputs::gradients`].
    Gradients,
    /// [`Inputs::direction`].
    Direction,
    /// [`Inputs::proxy_logits`].
    ProxyLogits,
    /// [`Inputs::proxy_shift`].
    ProxyShift,
    /// [`Inputs::class_tails`].
    ClassTails,
}

impl Need {
    pub(super) fn what(self) -> &'static str {
        match self {
            Self::WrongRow => "the misinformation network's row",
            Self::Gradients => "a surrogate's gradients",
            Self::Direction => "the direction of a surrogate's gradients",
            Self::ProxyLogits => "a proxy's logits",
            Self::ProxyShift => "a proxy's change of logits",
            Self::ClassTails => "a table of class tails",
        }
    }

    fn how(self) -> &'static str {
        match self {
            Self::WrongRow => "it comes from a network trained to be wrong on the same images (--wrong)",
            Self::Gradients | Self::Direction => {
                "they come from a surrogate network of the owner's (--surrogate)"
            }
            Self::ProxyLogits => "they come from a proxy student of the owner's (--proxy)",
            Self::ProxyShift => {
                "it is [z(θ + εg) − z(θ − εg)]/2ε of a proxy student of the owner's, with g the gradient of its hold-out loss (--proxy)"
            }
            Self::ClassTails => "it is made of the victim's rows on the owner's own images",
        }
    }
}

/// Numbers that some defences need for each image. What a defence does not need may be absent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Inputs<'a> {
    /// Adaptive Misinformation: another network's row for the image.
    pub wrong_row: Option<&'a Row>,
    /// MAD: a surrogate's gradients.
    pub gradients: Option<Gradients<'a>>,
    /// Gradient redirection: the derivative of the surrogate's objective by each served probability, `[classes]`.
    pub direction: Option<&'a [f64]>,
    /// Product of experts: a proxy's logits `[classes]`.
    pub proxy_logits: Option<&'a [f64]>,
    /// Margin budget: Δ, how a proxy's logits change along its hold-out loss's gradient, `[classes]`.
    pub proxy_shift: Option<&'a [f64]>,
    /// Class tail: the owner's table.
    pub class_tails: Option<&'a ClassTails>,
}

/// A surrogate's gradients for one image, `[classes, width]`, row-major: row k is the gradient of `−ln p_k`.
#[derive(Clone, Copy, Debug)]
pub struct Gradients<'a> {
    /// The numbers.
    pub values: &'a [f64],
    /// The number of weights that the gradients are by.
    pub width: usize,
}

/// Numbers beyond this cannot be added and multiplied safely; no gradient or logit is as large.
const LARGEST: f64 = 1e30;

impl<'a> Inputs<'a> {
    pub(super) fn wrong_row(&self, defence: &'static str, classes: usize) -> Result<&'a Row, DefenceError> {
        let row = self.wrong_row.ok_or_else(|| DefenceError::missing(defence, Need::WrongRow))?;
        size(defence, Need::WrongRow, classes, row.classes())?;
        Ok(row)
    }

    pub(super) fn gradients(
        &self,
        defence: &'static str,
        classes: usize,
    ) -> Result<Vec<&'a [f64]>, DefenceError> {
        let Gradients { values, width } =
            self.gradients.ok_or_else(|| DefenceError::missing(defence, Need::Gradients))?;
        if width == 0 || values.len() / width != classes || values.len() % width != 0 {
            return Err(DefenceError::BadInput {
                defence,
                what: Need::Gradients.what(),
                expected: format!("{classes} rows of {width} numbers"),
                found: format!("{} numbers", values.len()),
            });
        }
        bounded(defence, Need::Gradients, values)?;
        Ok(values.chunks_exact(width).collect())
    }

    pub(super) fn vector(
        &self,
        defence: &'static str,
        need: Need,
        classes: usize,
    ) -> Result<&'a [f64], DefenceError> {
        let vector = match need {
            Need::Direction => self.direction,
            Need::ProxyLogits => self.proxy_logits,
            Need::ProxyShift => self.proxy_shift,
            Need::WrongRow | Need::Gradients | Need::ClassTails => None,
        };
        let vector = vector.ok_or_else(|| DefenceError::missing(defence, need))?;
        size(defence, need, classes, vector.len())?;
        bounded(defence, need, vector)?;
        Ok(vector)
    }

    pub(super) fn class_tails(
        &self,
        defence: &'static str,
        classes: usize,
    ) -> Result<&'a ClassTails, DefenceError> {
        let table = self.class_tails.ok_or_else(|| DefenceError::missing(defence, Need::ClassTails))?;
        size(defence, Need::ClassTails, classes, table.classes())?;
        Ok(table)
    }
}

impl DefenceError {
    pub(crate) fn missing(defence: &'static str, need: Need) -> Self {
        Self::MissingInput { defence, what: need.what(), how: need.how() }
    }

    /// An input of another number of classes.
    pub(crate) fn size(defence: &'static str, need: Need, expected: usize, found: usize) -> Self {
        let (what, expected) = (need.what(), format!("{expected} classes"));
        Self::BadInput { defence, what, expected, found: found.to_string() }
    }
}

fn size(defence: &'static str, need: Need, expected: usize, found: usize) -> Result<(), DefenceError> {
    if expected == found { Ok(()) } else { Err(DefenceError::size(defence, need, expected, found)) }
}

fn bounded(defence: &'static str, need: Need, values: &[f64]) -> Result<(), DefenceError> {
    match values.iter().position(|v| !v.is_finite() || v.abs() > LARGEST) {
        None => Ok(()),
        Some(i) => Err(DefenceError::BadInput {
            defence,
            what: need.what(),
            expected: format!("finite numbers up to ±{LARGEST:e}"),
            found: format!("{} at position {i}", values[i]),
        }),
    }
}

/// How the victim divides what is left beside its predicted class, on average: `[classes, classes]`, one row for each
/// predicted class, 0 on the diagonal and nowhere else, each row of sum 1.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassTails(Vec<Vec<f64>>);

/// How much of a flat tail is in each of the owner's.
const FLAT_SHARE: f64 = 1e-6;

impl ClassTails {
    /// The mean tails of `rows`, the victim's rows on the owner's own images, by predicted class, with a millionth of a flat
    /// tail so that no class is excluded. A class that is never predicted, or always with certainty, gets a flat tail.
    ///
    /// # Errors
    /// [`DefenceError::Row`] if there are no rows, or rows of different numbers of classes.
    pub fn of(rows: &[Row]) -> Result<Self, DefenceError> {
        let refused = |found| DefenceError::Row { expected: "one of several with the same classes", found };
        let classes = rows.first().ok_or_else(|| refused("no row at all".to_owned()))?.classes();
        let mut sums = vec![vec![0.0; classes]; classes];
        for row in rows {
            if row.classes() != classes {
                return Err(refused(format!("{} and {classes} classes", row.classes())));
            }
            let top = row.top();
            for (c, p) in row.probabilities().iter().enumerate().filter(|(c, _)| *c != top) {
                sums[top][c] += p;
            }
        }
        let flat = 1.0 / (classes - 1) as f64;
        for (top, tail) in sums.iter_mut().enumerate() {
            let sum: f64 = tail.iter().sum();
            for (_, share) in tail.iter_mut().enumerate().filter(|(c, _)| *c != top) {
                let mean = if sum > 0.0 { *share / sum } else { flat };
                *share = (1.0 - FLAT_SHARE) * mean + FLAT_SHARE * flat;
            }
        }
        Ok(Self(sums))
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.0.len()
    }

    /// A digest of the whole table.
    pub(super) fn digest(&self) -> [u8; 32] {
        let shares = self.0.iter().flatten();
        shares.fold(Sha256::new(), |hash, share| hash.chain_update(share.to_le_bytes())).finalize().into()
    }

    /// The tail of images that are predicted as `top`, `[classes]`.
    pub fn tail(&self, top: usize) -> &[f64] {
        &self.0[top]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_numbers_depend_on_secret_image_layer_and_name_and_fresh_ones_on_the_number() {
        let (secret, other) = (Secret::of(b"a"), Secret::of(b"b"));
        let image = ImageId::of(b"image");
        let base = Query::new(image, &secret, 7);
        let keyed = |query: Query, name: &str| query.keyed(name).bits();
        let first = keyed(base, "noise");
        assert_eq!(first, keyed(Query { number: 8, ..base }, "noise"));
        for (query, name) in [
            (Query { secret: &other, ..base }, "noise"),
            (Query { image: ImageId::of(b"another"), ..base }, "noise"),
            (Query { layer: 1, ..base }, "noise"),
            (base, "shuffle"),
        ] {
            assert_ne!(first, keyed(query, name));
        }
        assert_ne!(base.fresh("noise").bits(), Query { number: 8, ..base }.fresh("noise").bits());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }

    #[test]
    fn class_tails_are_means_by_predicted_class() {
        let row = |p: &[f64]| Row::from_probabilities(p).expect("a row");
        let rows = [row(&[0.5, 0.3, 0.2]), row(&[0.9, 0.0, 0.1]), row(&[0.0, 1.0, 0.0])];
        let tails = ClassTails::of(&rows).expect("rows");
        assert_eq!(tails.tail(0)[0], 0.0);
        assert!((tails.tail(0)[1] - 0.5).abs() < 1e-12 && (tails.tail(0)[2] - 0.5).abs() < 1e-12);
        assert_eq!(tails.tail(1), [0.5, 0.0, 0.5]);
        assert_eq!(tails.tail(2), [0.5, 0.5, 0.0]);
        let certain = ClassTails::of(&[row(&[0.5, 0.5, 0.0])]).expect("rows");
        assert!(certain.tail(0)[2] > 0.0, "no class is excluded");
        assert!(ClassTails::of(&[]).is_err());
        assert!(ClassTails::of(&[row(&[0.5, 0.5]), row(&[0.5, 0.3, 0.2])]).is_err());
    }
}
