//! Judges the rows of a report: the verdict is a pure function of them.

use super::Report;
use super::cells::{Cell, asks, best, cells};
use super::curves::curve;
use super::difference::{Difference, bootstrap, correct, difference};
use super::flags::flags;
use super::report::{Against, ChosenBy, Profile, Row, Signal};
use super::verdict::{CloneFacts, ProtectionFacts, Reference, Verdict};
use super::working::Working;
use crate::metrics::{Protection, common_protection, protection};

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
