//! Watches undermining that begins at the adversary's own weights: whether it took off, and what it costs.

use super::objective::Guard;
use serde::{Deserialize, Serialize};

/// τ²·KL from which on ω is no longer boosted; two networks trained independently are about 1 apart.
const LEFT: f64 = 4.0;

/// What a batch weighs in the running mean of the distance: one batch far away is often followed by near ones.
const WEIGHT: f64 = 0.1;

/// An epoch that loses so many times the tolerance is undone.
const UNDONE: f64 = 3.0;

/// What is known so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Watch {
    /// The start's accuracy on the held-out images.
    start: f64,
    /// Whether the answers are away from the adversary's.
    left: bool,
    /// Running mean of the batches' τ²·KL.
    #[serde(default)]
    distance: f64,
    /// ω's factor after what had to be undone when the kept weights had left.
    eased: f64,
    /// The boost's factor after what had to be undone before.
    #[serde(default = "whole")]
    boost_eased: f64,
    /// τ²·KL of the kept weights, on the held-out images; none while they are the start's.
    kept: Option<f64>,
}

fn whole() -> f64 {
    1.0
}

/// What to do with an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Judged {
    /// Keep its weights.
    Best,
    /// Go on.
    Fine,
    /// Undo it.
    Broken,
}

impl Watch {
    /// At a start with this held-out accuracy.
    pub(super) fn new(start: f64) -> Self {
        Self { start, left: false, distance: 0.0, eased: 1.0, boost_eased: 1.0, kept: None }
    }

    /// Notes a batch's distance.
    pub(super) fn see(&mut self, scaled_kl: f64) {
        self.distance += WEIGHT * (scaled_kl - self.distance);
        self.left |= self.distance >= LEFT;
    }

    /// What ω is multiplied by.
    pub(super) fn factor(&self, guard: Guard) -> f64 {
        let boosted = guard.boost * self.boost_eased;
        if self.left { self.eased.min(boosted) } else { boosted }
    }

    /// Whether the start's own weights are still the kept ones.
    pub(super) fn keeps_start(&self) -> bool {
        self.kept.is_none()
    }

    /// Of the epochs that lost no more than the tolerance, the one farthest from the adversary is the best. Accuracy that is
    /// lost while the answers move away comes back in part; only an epoch that loses much more is undone.
    pub(super) fn judge(&mut self, guard: Guard, accuracy: f64, scaled_kl: f64) -> Judged {
        let lost = self.start - accuracy - 1e-9;
        if lost > UNDONE * guard.tolerance {
            // What is kept may still be near the adversary: then it was the boost that broke the epoch.
            self.left = self.kept.is_some_and(|kept| kept >= LEFT);
            self.distance = self.kept.unwrap_or(0.0);
            let eased = if self.left { &mut self.eased } else { &mut self.boost_eased };
            *eased *= 0.5;
            return Judged::Broken;
        }
        // Held-out images are answered in evaluation mode, where the answers may be nearer than in training.
        self.left = scaled_kl >= LEFT;
        self.distance = scaled_kl;
        if lost <= guard.tolerance && self.kept.is_none_or(|kept| scaled_kl > kept) {
            self.kept = Some(scaled_kl);
            return Judged::Best;
        }
        Judged::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn omega_is_boosted_until_the_answers_left_and_eased_when_accuracy_breaks() {
        let guard = Guard { boost: 8.0, tolerance: 0.01 };
        let mut watch = Watch::new(0.90);
        watch.see(0.3);
        assert_eq!((watch.factor(guard), watch.keeps_start()), (8.0, true));
        assert_eq!(watch.judge(guard, 0.80, 2.0), Judged::Broken);
        assert_eq!((watch.factor(guard), watch.keeps_start()), (4.0, true));
        watch.see(5.0);
        assert_eq!(watch.factor(guard), 4.0, "one batch is not enough");
        (0..40).for_each(|_| watch.see(5.0));
        assert_eq!(watch.factor(guard), 1.0, "only the boost was too much");
        assert_eq!(watch.judge(guard, 0.89, 6.0), Judged::Best);
        assert_eq!(watch.judge(guard, 0.95, 5.0), Judged::Fine);
        assert_eq!(
            watch.judge(guard, 0.889, 50.0),
            Judged::Fine,
            "too much lost to be kept, too little to be undone"
        );
        assert_eq!(watch.judge(guard, 0.86, 50.0), Judged::Broken);
        assert_eq!(watch.factor(guard), 0.5, "what is kept has left");
        assert_eq!(watch.judge(guard, 0.90, 7.0), Judged::Best);
        assert!(!watch.keeps_start());
        assert_eq!(watch.judge(guard, 0.90, 3.0), Judged::Fine);
        assert_eq!(watch.factor(guard), 4.0, "near again");
    }

    #[test]
    fn a_boost_that_breaks_again_and_again_ends_below_the_published_omega() {
        let guard = Guard { boost: 2.0, tolerance: 0.01 };
        let mut watch = Watch::new(0.90);
        let factors = [1.0, 0.5, 0.25].map(|expected| {
            (0..40).for_each(|_| watch.see(5.0));
            assert_eq!(watch.judge(guard, 0.5, 9.0), Judged::Broken);
            (watch.factor(guard), expected)
        });
        assert!(factors.iter().all(|(factor, expected)| factor == expected), "{factors:?}");
    }
}
