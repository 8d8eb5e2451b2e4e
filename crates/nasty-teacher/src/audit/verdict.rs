//! The verdict: what an audit found, as plain data.

use super::Report;
use super::cells::{Cell, Estimate};
use super::curves::Curve;
use super::difference::Difference;
use super::flag::Flag;
use super::report::{Against, Profile, Signal};
use crate::metrics::Interval;
use serde::Serialize;

/// What an audit found.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Verdict {
    /// Whether the figures can be relied upon: no flag says otherwise.
    pub reliable: bool,
    /// The victim's accuracy on the test images, through its interface.
    pub victim: f64,
    /// Accuracy of guessing.
    pub chance: f64,
    /// The worst-case clone: of the battery against the victim, the one with the best mean accuracy over the seeds. None if
    /// nothing is evidence.
    pub worst_case: Option<CloneFacts>,
    /// The clone that a thief would keep: the best by what thieves see themselves, under the conditions of the worst case.
    pub chosen: Option<CloneFacts>,
    /// The best that needs no victim, with the same images, student and steps.
    pub alone: Option<CloneFacts>,
    /// The best clone from the victim's predicted classes, under the conditions of the worst case.
    pub hard: Option<CloneFacts>,
    /// The best clone from all numbers of the victim's answers, under the conditions of the worst case.
    pub soft: Option<CloneFacts>,
    /// The same of the victim without its defences, where that was asked.
    pub undefended: Option<Reference>,
    /// A better clone by a thief outside of the battery.
    pub stronger_extra: Option<CloneFacts>,
    /// What probabilities are worth beyond predicted classes: the best soft clone less the best hard-label clone, of the victim
    /// without defences, or of the victim where it has none.
    pub soft_label_advantage: Option<Difference>,
    /// What the defences took from the worst case: the best clone of the undefended victim less that of the victim.
    pub removed: Option<Difference>,
    /// The share of what was at stake that the defences took; none without a victim to compare with.
    pub protection: Option<ProtectionFacts>,
    /// The best clone against the number of queries: of the victim, and of the victim without defences.
    pub curves: Vec<Curve>,
    /// All comparisons, corrected for their number.
    pub comparisons: Vec<Difference>,
    /// Every flag, raised or not.
    pub flags: Vec<Flag>,
}

/// A clone with all its seeds, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct CloneFacts {
    /// The thief.
    pub thief: String,
    /// Who was asked.
    pub against: Against,
    /// What of the answers it uses.
    pub signal: Signal,
    /// What it has.
    pub profile: Profile,
    /// Architecture of the clone.
    pub student: String,
    /// The rung of the ladder of budgets, queries.
    pub budget: u64,
    /// Queries charged: the most of its seeds.
    pub queries: u64,
    /// Share of the thieves' data.
    pub share: f64,
    /// Accuracy on the test images.
    pub accuracy: Estimate,
    /// Mean share of the test images with the class that the victim serves.
    pub agreement_served: Option<f64>,
    /// Mean share of the test images with the victim's class without defences.
    pub agreement_clean: Option<f64>,
    /// Seeds that are no evidence.
    pub failed: usize,
}

/// The best clones of the victim without its defences, under the conditions of the worst case.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Reference {
    /// The best of all.
    pub best: CloneFacts,
    /// The best from predicted classes.
    pub hard: Option<CloneFacts>,
    /// The best from all numbers.
    pub soft: Option<CloneFacts>,
}

/// How much of what was at stake the defences took.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProtectionFacts {
    /// `(reference − clone)/(reference − floor)`; none where nothing is at stake.
    pub score: Option<f64>,
    /// Its 95 % interval by a bootstrap over seeds and images; none with one seed or without the images' results.
    pub interval: Option<Interval>,
    /// The floor: what a thief gets in spite of any defence that keeps the predicted class.
    pub floor: CloneFacts,
    /// `reference − floor`.
    pub stake: Difference,
    /// `max(0, 1 − clone/victim)`, the form that is usual elsewhere. It flatters where thieves are weak.
    pub common: f64,
}

impl CloneFacts {
    pub(super) fn of(cell: &Cell<'_>, report: &Report) -> Self {
        let row = cell.first();
        Self {
            thief: row.thief.clone(),
            against: row.against,
            signal: row.signal,
            profile: row.profile,
            student: row.student.clone(),
            budget: row.budget,
            queries: cell.measured().map(|(row, _)| row.queries).max().unwrap_or(0),
            share: row.share,
            accuracy: cell
                .estimate(report.protocol.test_images)
                .expect("only cells with a measured accuracy are summarised"),
            agreement_served: cell.mean_of(|m| m.agreement_served),
            agreement_clean: cell.mean_of(|m| m.agreement_clean),
            failed: cell.failures().count(),
        }
    }
}
