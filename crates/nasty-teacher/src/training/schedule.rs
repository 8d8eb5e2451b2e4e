//! The learning rate as a function of the step.

use serde::{Deserialize, Serialize};

/// The shape of the learning rate over a run, before warm-up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Schedule {
    /// The peak rate throughout.
    Constant,
    /// Multiplied by `factor` at the start of each 0-based epoch in `milestones` (PyTorch's `MultiStepLR`).
    Step {
        /// 0-based epochs.
        milestones: Vec<usize>,
        /// What each milestone multiplies the rate by.
        factor: f64,
    },
    /// Half a cosine from the peak to 0, over the steps after the warm-up.
    Cosine,
    /// Cosine up from peak/25 over `rise` of the steps, cosine down to peak/250,000 (PyTorch's `OneCycleLR`).
    OneCycle {
        /// Share of the steps that rise.
        rise: f64,
    },
}

impl Schedule {
    /// A kind with its documented defaults; `None` for a name that is not a kind.
    pub fn of_kind(kind: &str) -> Option<Self> {
        Some(match kind {
            "constant" => Self::Constant,
            "step" => Self::Step { milestones: vec![80, 120], factor: 0.1 },
            "cosine" => Self::Cosine,
            "one-cycle" => Self::OneCycle { rise: 0.3 },
            _ => return None,
        })
    }

    /// What is impossible about the schedule; `None` if it can be used.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::OneCycle { rise } if !(0.0..=1.0).contains(rise) => {
                Some("schedule.rise must be a share from 0 to 1".into())
            }
            Self::Step { factor, .. } if !(factor.is_finite() && *factor > 0.0) => {
                Some(format!("schedule.factor is {factor}, expected above 0"))
            }
            _ => None,
        }
    }

    /// The learning rate at 0-based `step` of `steps`, `per_epoch` steps to an epoch. The first
    /// `warmup` share of all steps rises linearly to the schedule's value.
    pub fn rate(&self, peak: f64, warmup: f64, step: usize, per_epoch: usize, steps: usize) -> f64 {
        let (step_f, total) = (step as f64, steps.max(1) as f64);
        let rising = (warmup * total).floor();
        let warm = if step_f < rising { (step_f + 1.0) / rising } else { 1.0 };
        let half_cosine = |from: f64, to: f64, share: f64| {
            to + (from - to) * 0.5 * (1.0 + (std::f64::consts::PI * share.clamp(0.0, 1.0)).cos())
        };
        let shaped = match self {
            Self::Constant => peak,
            Self::Step { milestones, factor } => {
                let epoch = step / per_epoch.max(1);
                peak * factor.powi(milestones.iter().filter(|&&m| epoch >= m).count() as i32)
            }
            Self::Cosine if step_f < rising => peak,
            Self::Cosine => half_cosine(peak, 0.0, (step_f - rising) / (total - rising).max(1.0)),
            Self::OneCycle { rise } => {
                let top = (rise * total - 1.0).max(0.0);
                if step_f <= top {
                    half_cosine(peak / 25.0, peak, if top > 0.0 { step_f / top } else { 1.0 })
                } else {
                    half_cosine(peak, peak / 25e4, (step_f - top) / (total - 1.0 - top).max(1.0))
                }
            }
        };
        shaped * warm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn step_multiplies_at_its_milestones() {
        let s = Schedule::Step { milestones: vec![2, 3], factor: 0.1 };
        let at = |epoch: usize| s.rate(0.1, 0.0, epoch * 10 + 9, 10, 50);
        assert_eq!((at(0), at(1)), (0.1, 0.1));
        assert!((at(2) - 0.01).abs() < 1e-12 && (at(4) - 0.001).abs() < 1e-12);
    }

    #[test]
    fn cosine_warms_up_and_ends_near_zero() {
        let at = |step| Schedule::Cosine.rate(1.0, 0.1, step, 10, 100);
        assert!((at(0) - 0.1).abs() < 1e-12 && (at(9) - 1.0).abs() < 1e-12 && (at(10) - 1.0).abs() < 1e-12);
        assert!((at(55) - 0.5).abs() < 1e-12);
        assert!(at(99) < 1e-3);
        assert!((11..100).all(|s| at(s) < at(s - 1)));
    }

    #[test]
    fn one_cycle_matches_pytorch() {
        // torch.optim.lr_scheduler.OneCycleLR(max_lr=1.0, total_steps=10): 0.04, peak at step 2, 4e-6 last.
        let at = |step| Schedule::OneCycle { rise: 0.3 }.rate(1.0, 0.0, step, 10, 10);
        assert!((at(0) - 0.04).abs() < 1e-9 && (at(2) - 1.0).abs() < 1e-9 && (at(9) - 4e-6).abs() < 1e-9);
        assert!((at(1) - 0.52).abs() < 1e-9);
    }
}
