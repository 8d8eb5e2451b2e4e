//! The verdict: what the rows of a report mean. A pure function of the report.

use super::Report;
use super::cells::{Cell, Estimate, asks, best, cells};
use super::curves::{Curve, curve};
use super::difference::{Difference, bootstrap, correct, difference};
use super::flags::{Flag, flags};
use super::report::{Against, ChosenBy, Profile, Row, Signal};
use super::working::Working;
use crate::metrics::{Interval, Protection, common_protection, protection};
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

/// The verdict over a report's rows.
pub fn verdict(report: &Report) -> Verdict {
    let cells = cells(report);
    let working = Working::of(report, &cells);
    let facts = |cell: &Cell<'_>| CloneFacts::of(cell, report);
    let worst = best(&cells, |cell| asks(cell, Against::Victim)).filter(|_| working.any());
    let under = |worst: &Cell<'_>, against: Against, signal: Option<Signal>| {
        let row = worst.first();
        best(&cells, |cell| {
            let cell_signal = cell.first().signal;
            let same_signal = signal.map_or(cell_signal != Signal::Nothing, |wanted| cell_signal == wanted);
            cell.counts() && cell.first().against == against && same_signal && cell.comparable(row)
        })
    };
    let pick = |against, signal| worst.and_then(|worst| under(worst, against, signal));
    let hard = pick(Against::Victim, Some(Signal::PredictedClass));
    let soft = pick(Against::Victim, Some(Signal::Probabilities));
    let alone = match worst {
        Some(_) => pick(Against::Nobody, Some(Signal::Nothing)),
        None => best(&cells, |cell| cell.counts() && cell.first().signal == Signal::Nothing),
    };
    let reference = pick(Against::Undefended, None);
    let reference_hard = pick(Against::Undefended, Some(Signal::PredictedClass));
    let reference_soft = pick(Against::Undefended, Some(Signal::Probabilities));

    let mut compared = Compared { report, all: Vec::new() };
    // Without defences that are known, the victim's own rows say what its probabilities are worth.
    let (of_soft, of_hard) = match reference {
        Some(_) => (reference_soft, reference_hard),
        None => (soft, hard),
    };
    let advantage =
        compared.add("what probabilities are worth: best soft less best hard-label clone", of_soft, of_hard);
    let removed = compared.add("what the defences took: best clone without less with them", reference, worst);
    let _ = compared.add("what asking is worth: best clone less the floor without a victim", worst, alone);
    if reference.is_some() {
        let _ = compared.add("best soft less best hard-label clone of the victim as served", soft, hard);
    }
    let floor = worst.and_then(|worst| floor(worst.first(), &cells, [hard, reference_hard, alone]));
    let stake =
        compared.add("what is at stake: best clone without defences less the floor", reference, floor);
    for cell in cells.iter().filter(|cell| asks(cell, Against::Victim)) {
        let Some(worst) = worst.filter(|worst| cell.comparable(worst.first())) else { continue };
        let row = cell.first();
        let twin = |other: &&Cell<'_>| other.first().against == Against::Undefended && other.same_thief(row);
        // The worst case against the best reference is above.
        let skip = std::ptr::eq(cell, worst) && reference.is_some_and(|r| r.same_thief(row));
        if !skip {
            let what = format!("{} ({}): without less with the defences", row.thief, row.student);
            let _ = compared.add(&what, cells.iter().find(twin), Some(cell));
        }
    }
    let mut comparisons = compared.all;
    correct(&mut comparisons);
    let corrected = |at: Option<usize>| at.map(|at| comparisons[at].clone());

    let protection =
        worst.zip(reference).zip(floor).zip(corrected(stake)).map(|(((worst, reference), floor), stake)| {
            let of = |cell: &Cell<'_>| cell.mean().unwrap_or(f64::NAN);
            let score = match protection(of(reference), of(worst), of(floor), stake.noise) {
                Protection::Score(score) => Some(score),
                Protection::NothingToProtect => None,
            };
            let share = |a: &[f64]| (a[0] - a[1]) / (a[0] - a[2]);
            ProtectionFacts {
                score,
                interval: score.and_then(|_| bootstrap(report, &[reference, worst, floor], share)),
                floor: facts(floor),
                stake,
                common: common_protection(of(worst), report.victim.accuracy),
            }
        });
    let extra = best(&cells, |cell| {
        let row = cell.first();
        !row.in_verdict && row.against == Against::Victim && row.signal != Signal::Nothing
    });
    let stronger_extra = extra.filter(|extra| worst.is_none_or(|worst| extra.mean() > worst.mean()));
    let curves = worst.map_or_else(Vec::new, |worst| {
        [Against::Victim, Against::Undefended]
            .into_iter()
            .filter_map(|against| curve(report, &cells, worst.first(), against))
            .collect()
    });
    let mut found = Verdict {
        reliable: false,
        victim: report.victim.accuracy,
        chance: report.probes.chance,
        worst_case: worst.map(facts),
        chosen: worst.and_then(|worst| chosen(worst.first(), &cells)).map(facts),
        alone: alone.map(facts),
        hard: hard.map(facts),
        soft: soft.map(facts),
        undefended: reference.map(|cell| Reference {
            best: facts(cell),
            hard: reference_hard.map(facts),
            soft: reference_soft.map(facts),
        }),
        stronger_extra: stronger_extra.map(facts),
        soft_label_advantage: corrected(advantage),
        removed: corrected(removed),
        protection,
        curves,
        comparisons,
        flags: Vec::new(),
    };
    found.flags = flags(report, &cells, worst, &working, &found);
    found.reliable = found.worst_case.is_some() && !found.flags.iter().any(|flag| flag.undermines());
    found
}

/// Comparisons as they are made, each with its place in the list.
struct Compared<'r> {
    report: &'r Report,
    all: Vec<Difference>,
}

impl Compared<'_> {
    /// Adds `a − b` and gives its place; none if one is absent, or they share no seed.
    fn add(&mut self, what: &str, a: Option<&Cell<'_>>, b: Option<&Cell<'_>>) -> Option<usize> {
        self.all.push(difference(self.report, what, a?, b?)?);
        Some(self.all.len() - 1)
    }
}

/// The best of what a thief gets in spite of any defence that keeps the predicted class: from predicted classes, and, for a
/// thief with labels, alone.
fn floor<'c, 'a>(
    worst: &Row,
    cells: &'c [Cell<'a>],
    candidates: [Option<&'c Cell<'a>>; 3],
) -> Option<&'c Cell<'a>> {
    let labelled = cells
        .iter()
        .any(|c| asks(c, Against::Victim) && c.comparable(worst) && c.first().profile == Profile::A);
    let admitted =
        candidates.into_iter().flatten().filter(|cell| labelled || cell.first().signal != Signal::Nothing);
    admitted.max_by(|a, b| a.mean().unwrap_or(0.0).total_cmp(&b.mean().unwrap_or(0.0)))
}

/// The clone that a thief would keep: by its own labels if any of the battery has labels, else by the served classes.
fn chosen<'c, 'a>(worst: &Row, cells: &'c [Cell<'a>]) -> Option<&'c Cell<'a>> {
    let candidates = || cells.iter().filter(|cell| asks(cell, Against::Victim) && cell.comparable(worst));
    [ChosenBy::Labels, ChosenBy::ServedClass].into_iter().find_map(|by| {
        let scored = candidates().filter_map(|cell| Some((cell, cell.validation(by)?)));
        scored.max_by(|a, b| a.1.total_cmp(&b.1)).map(|(cell, _)| cell)
    })
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
