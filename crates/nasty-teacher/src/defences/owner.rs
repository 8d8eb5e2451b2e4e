//! What a victim's owner has for defences that need more than the served row, and what it says about the images of a request.

use super::rows::{clean_rows, refused};
use super::{ClassTails, DefenceError, Gradients, Inputs, Need, Row, Stack};
use crate::victim::{Request, Scale, Victim, VictimError};
use sha2::{Digest, Sha256};
use std::sync::Arc;

/// What the owner provides for defences that need more than the victim's row.
#[derive(Clone, Default)]
pub struct Owner {
    /// Class tail: how the victim divides what is left beside its predicted class
    /// ([`Defended::class_tails`](super::Defended::class_tails)).
    pub class_tails: Option<Arc<ClassTails>>,
    /// Adaptive misinformation: the network that was trained to be wrong.
    pub wrong: Option<Arc<dyn Victim>>,
    /// Product of experts: the proxy student, which gives logits.
    pub proxy: Option<Arc<dyn Victim>>,
    /// MAD: the surrogate whose gradients are turned, by the weights of its last layer.
    pub surrogate: Option<Arc<dyn Victim>>,
    /// Gradient redirection: a surrogate along 1 for every weight. With `v = −1` the objective's derivative by the served probability of
    /// class k is `⟨∇(−ln p_k), v⟩`, the change of `ln p_k` along that direction: the change of its logit, less what all classes share,
    /// which changes no order.
    pub redirection: Option<Slope>,
    /// Margin budget: the proxy student along the gradient of its hold-out loss.
    pub shift: Option<Slope>,
}

/// How a network's logits change along a direction `v` of its weights `θ`, by central differences:
/// `[z(θ + s·v) − z(θ − s·v)]/2s`.
#[derive(Clone)]
pub struct Slope {
    /// The network at `θ + s·v`.
    pub ahead: Arc<dyn Victim>,
    /// The network at `θ − s·v`.
    pub behind: Arc<dyn Victim>,
    /// s.
    pub step: f64,
}

impl Slope {
    /// The change for the images of `request`, `[images, classes]`.
    fn ask(&self, request: &Request<'_>) -> Result<Vec<f64>, VictimError> {
        let [ahead, behind] = [&self.ahead, &self.behind].map(|victim| victim.ask(request));
        let change = |(a, b): (f32, f32)| (f64::from(a) - f64::from(b)) / (2.0 * self.step);
        Ok(ahead?.rows.into_iter().zip(behind?.rows).map(change).collect())
    }
}

impl Owner {
    /// Whether the owner has what `defence` needs in front of `victim`.
    pub(super) fn check(
        &self,
        need: Need,
        defence: &'static str,
        victim: &dyn Victim,
    ) -> Result<(), DefenceError> {
        let bad = |expected: String, found: String| {
            Err(DefenceError::BadInput { defence, what: need.what(), expected, found })
        };
        let classes = match need {
            Need::ClassTails => self.class_tails.as_ref().map(|table| table.classes()),
            _ => match self.network(need) {
                Some(network) if need == Need::ProxyLogits && network.scale() == Scale::Probabilities => {
                    return bad("logits".into(), "probabilities".into());
                }
                network => network.map(|network| network.classes()),
            },
        };
        match classes {
            None => Err(DefenceError::missing(defence, need)),
            Some(found) if found != victim.classes() => {
                Err(DefenceError::size(defence, need, victim.classes(), found))
            }
            Some(_) => Ok(()),
        }
    }

    /// The network that gives `need`; one of the two of a slope.
    fn network(&self, need: Need) -> Option<&Arc<dyn Victim>> {
        match need {
            Need::ClassTails => None,
            Need::WrongRow => self.wrong.as_ref(),
            Need::ProxyLogits => self.proxy.as_ref(),
            Need::Gradients => self.surrogate.as_ref(),
            Need::Direction => self.redirection.as_ref().map(|slope| &slope.ahead),
            Need::ProxyShift => self.shift.as_ref().map(|slope| &slope.ahead),
        }
    }

    /// Adds to `hash` what of the owner's decides the answers for `need`.
    pub(super) fn identify(&self, need: Need, hash: &mut Sha256) {
        match (need, self.network(need)) {
            (Need::ClassTails, _) => {
                self.class_tails.iter().for_each(|table| hash.update(table.digest()));
            }
            (_, Some(network)) => hash.update(network.identity()),
            (_, None) => {}
        }
    }

    /// What the owner's other networks say about the images, as far as `stack` needs it.
    pub(super) fn extras(&self, stack: &Stack, request: &Request<'_>) -> Result<Extras, VictimError> {
        let mut extras = Extras::default();
        let rows = |victim: &Arc<dyn Victim>| -> Result<Vec<Row>, VictimError> {
            let answers = victim.ask(request)?;
            let row = |(image, row): (usize, Result<Row, DefenceError>)| {
                row.map_err(|error| refused(&stack.to_string(), image, &error))
            };
            clean_rows(&answers).enumerate().map(row).collect()
        };
        let logits = |victim: &Arc<dyn Victim>| {
            Ok(victim.ask(request)?.rows.into_iter().map(f64::from).collect::<Vec<_>>())
        };
        let change = |slope: &Slope| slope.ask(request);
        for need in stack.needs() {
            match need {
                Need::ClassTails => extras.class_tails = self.class_tails.clone(),
                Need::WrongRow => extras.wrong = self.wrong.as_ref().map(rows).transpose()?,
                Need::Gradients => extras.surrogate = self.surrogate.as_ref().map(rows).transpose()?,
                Need::ProxyLogits => extras.proxy = self.proxy.as_ref().map(logits).transpose()?,
                Need::Direction => extras.direction = self.redirection.as_ref().map(change).transpose()?,
                Need::ProxyShift => extras.shift = self.shift.as_ref().map(change).transpose()?,
            }
        }
        Ok(extras)
    }
}

/// What the owner's table and other networks say about the images of a request.
#[derive(Default)]
pub(super) struct Extras {
    class_tails: Option<Arc<ClassTails>>,
    wrong: Option<Vec<Row>>,
    surrogate: Option<Vec<Row>>,
    /// `[images, classes]`, as those below.
    proxy: Option<Vec<f64>>,
    direction: Option<Vec<f64>>,
    shift: Option<Vec<f64>>,
}

impl Extras {
    /// What `use_inputs` makes of the inputs for the image at `place`, of `classes` classes.
    pub(super) fn with<T>(
        &self,
        place: usize,
        classes: usize,
        use_inputs: impl FnOnce(Inputs<'_>) -> T,
    ) -> T {
        fn part(values: Option<&Vec<f64>>, place: usize, classes: usize) -> Option<&[f64]> {
            values.map(|values| &values[place * classes..][..classes])
        }
        let gradients = self.surrogate.as_ref().map(|rows| last_layer_gradients(&rows[place]));
        use_inputs(Inputs {
            class_tails: self.class_tails.as_deref(),
            wrong_row: self.wrong.as_ref().map(|rows| &rows[place]),
            gradients: gradients.as_ref().map(|values| Gradients { values, width: classes }),
            proxy_logits: part(self.proxy.as_ref(), place, classes),
            direction: part(self.direction.as_ref(), place, classes),
            proxy_shift: part(self.shift.as_ref(), place, classes),
        })
    }
}

/// The gradients of `−ln p_k` by the weights `W` of a surrogate's last layer, `[classes, classes]`, up to what does not matter: with
/// features `f` that of class k is `(p − e_k)·fᵀ`, so all lengths and angles between them are those of `p − e_k`, times `‖f‖`.
fn last_layer_gradients(row: &Row) -> Vec<f64> {
    let p = row.probabilities();
    let entry = |k: usize| move |(c, p): (usize, &f64)| p - f64::from(u8::from(c == k));
    (0..p.len()).flat_map(|k| p.iter().enumerate().map(entry(k))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defences::{Defence, ImageId, Mad, MadArgmax, Query, Secret};

    #[test]
    fn the_last_layer_s_gradients_by_all_weights_give_the_same_answers() {
        let surrogate = Row::from_logits(&[0.3, -0.4, 0.9, 0.1]).expect("a row");
        let clean = Row::from_probabilities(&[0.6, 0.25, 0.1, 0.05]).expect("a row");
        let features = [0.7, 0.0, 2.5, -1.25, 0.5];
        // By every weight: (p − e_k)·fᵀ, [classes, classes · features].
        let short = last_layer_gradients(&surrogate);
        let long: Vec<f64> = short.iter().flat_map(|g| features.iter().map(move |f| g * f)).collect();
        let secret = Secret::of(b"s");
        let query = |values, width| {
            let gradients = Some(Gradients { values, width });
            Query::new(ImageId::of(b"i"), &secret, 0).with(Inputs { gradients, ..Inputs::default() })
        };
        let (short, long) = (query(&short, 4), query(&long, 20));
        for defence in [&Mad { epsilon: 0.5 } as &dyn Defence, &MadArgmax { epsilon: 0.5 }] {
            let [a, b] = [&short, &long].map(|query| defence.serve(&clean, query).expect("a row"));
            for (a, b) in a.probabilities().iter().zip(b.probabilities()) {
                assert!((a - b).abs() < 1e-12, "{a} {b}");
            }
            assert_ne!(a.probabilities(), clean.probabilities());
        }
    }
}
