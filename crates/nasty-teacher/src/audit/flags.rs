//! Flags: what a reader must know before believing the figures. The idea is AutoAttack's (Croce & Hein, 2020).
//!
//! [`before`] needs the victim and the probes only: what it raises is known before any query is spent on a clone.

use super::Report;
use super::cells::Cell;
use super::flag::Flag;
use super::report::{Against, Edge, Outcome, Probes, QUERY_AVERAGING, VictimFacts};
use super::verdict::Verdict;
use super::working::Working;
use crate::metrics::wilson;
use crate::victim::Interface;

/// Seeds below which a verdict is a first impression.
const FEW_SEEDS: usize = 3;
/// A victim whose accuracy is this far from the claim, beyond what the test images explain, is asked the wrong way.
const FAR: f64 = 0.02;
/// The victim must cover this share of the way from chance to 1.
const ABOVE_CHANCE: f64 = 0.05;
/// The last rung of the ladder must not raise the best clone by more than this.
const STILL_RISING: f64 = 0.01;
/// Share of failed queries.
const FAILED: f64 = 0.01;

/// The flags that need no clones: F1, F2, F3, F8 and F9. `averaged` says whether a thief averages repeated answers.
pub fn before(victim: &VictimFacts, probes: &Probes, test_images: usize, averaged: bool) -> Vec<Flag> {
    vec![
        repeats(probes, averaged),
        history(probes),
        revealed(victim, probes),
        accuracy(victim, probes, test_images),
        failed(probes),
    ]
}

/// All flags, by id.
pub(super) fn flags(
    report: &Report,
    cells: &[Cell<'_>],
    worst: Option<&Cell<'_>>,
    working: &Working,
    verdict: &Verdict,
) -> Vec<Flag> {
    let averages = |cell: &Cell<'_>| cell.first().thief == QUERY_AVERAGING && cell.counts();
    let averaged = cells.iter().any(averages);
    let mut all = before(&report.victim, &report.probes, report.protocol.test_images, averaged);
    all.extend([
        hard_as_good(verdict),
        no_evidence(report, working),
        no_victim_needed(verdict),
        edge(worst, verdict),
        seeds(verdict),
        complete(report),
        stronger(verdict),
    ]);
    // F2 before F10.
    all.sort_by_key(|flag| (flag.id.len(), flag.id));
    all
}

fn repeats(probes: &Probes, averaged: bool) -> Flag {
    let (id, title) = ("F1", "Random answers");
    let Some(asked) = probes.repeats else {
        return Flag::unchecked(id, title, "No image was asked twice in a row.");
    };
    let (images, times) = (asked.images, asked.times);
    if asked.different == 0 {
        let text = format!("{images} images asked {times} times each were always answered the same.");
        return Flag::new(id, title, true, false, text);
    }
    let mut text = format!(
        "{} of {images} images asked {times} times each were not always answered the same (largest ℓ1 distance {:.3}). A thief can \
         average the answers",
        asked.different, asked.largest
    );
    text += if averaged { "; one in the battery does." } else { ", and none in the battery did." };
    Flag::new(id, title, !averaged, true, text)
}

fn history(probes: &Probes) -> Flag {
    let (id, title) = ("F2", "Answers that depend on earlier queries or on the key");
    let Some(asked) = probes.history else {
        return Flag::unchecked(id, title, "No image was asked again after other queries.");
    };
    let by_key = asked.by_key.unwrap_or(0);
    let mut text = format!(
        "{} of {} images were answered differently after {} queries for other images",
        asked.changed, asked.images, asked.between
    );
    text += &match asked.by_key {
        Some(n) => format!(", {n} differently for another key."),
        None => ". There was one key only.".to_owned(),
    };
    Flag::new(id, title, true, asked.changed > 0 || by_key > 0, text)
}

fn revealed(victim: &VictimFacts, probes: &Probes) -> Flag {
    let (id, title) = ("F3", "What is revealed");
    let Some(seen) = probes.revealed else {
        return Flag::unchecked(id, title, "The answers were not looked at.");
    };
    let odd = match victim.interface {
        Interface::Label => {
            (seen.nonzero > 1).then(|| format!("rows have up to {} classes above 0", seen.nonzero))
        }
        Interface::TopK { k } => {
            (seen.nonzero > k).then(|| format!("rows have {} classes above 0", seen.nonzero))
        }
        Interface::Rounded { decimals } => seen
            .decimals
            .is_none_or(|found| found > decimals)
            .then(|| "the numbers have more decimals".to_owned()),
        Interface::Logits => seen.probabilities.then(|| "all numbers are from 0 to 1".to_owned()),
        Interface::Probabilities if !seen.probabilities => {
            Some("some numbers are not from 0 to 1".to_owned())
        }
        Interface::Probabilities if seen.nonzero == 1 => Some("only one class is above 0".to_owned()),
        Interface::Probabilities => seen.decimals.map(|d| format!("all numbers are rounded to {d} decimals")),
    };
    let declared = victim.interface;
    let text = match &odd {
        Some(odd) => format!("The victim is said to serve {declared}, but in {} answers {odd}.", seen.images),
        None => format!("The victim serves {declared}; {} answers agree with that.", seen.images),
    };
    Flag::new(id, title, false, odd.is_some(), text)
}

fn hard_as_good(verdict: &Verdict) -> Flag {
    let (id, title) = ("F4", "Predicted classes are as good as probabilities");
    let (Some(hard), Some(soft)) = (&verdict.hard, &verdict.soft) else {
        return Flag::unchecked(id, title, "There is no clone of each kind to compare.");
    };
    let raised = hard.accuracy.mean >= soft.accuracy.mean;
    let (h, s) = (100.0 * hard.accuracy.mean, 100.0 * soft.accuracy.mean);
    let mut text = format!(
        "The best clone from predicted classes has {h:.2} %, the best from probabilities ({}) {s:.2} %.",
        soft.thief
    );
    if raised {
        text += " Whatever protection there is lies in the probabilities only: a thief who ignores them is not hurt.";
    }
    Flag::new(id, title, false, raised, text)
}

fn no_evidence(report: &Report, working: &Working) -> Flag {
    let (id, title) = ("F5", "Thieves that failed");
    let rows = report.rows.iter().filter(|row| row.in_verdict && row.against != Against::Nobody);
    let failed: Vec<_> = rows
        .clone()
        .filter_map(|row| match &row.outcome {
            Outcome::NoEvidence { reason } => Some((row, reason.as_str())),
            Outcome::Ok(_) | Outcome::Skipped { .. } => None,
        })
        .collect();
    // A thief of which nothing is left weakens the battery; a single seed does not.
    let lost = failed.iter().any(|(row, _)| {
        !rows.clone().any(|other| {
            other.thief == row.thief && other.against == row.against && other.measured().is_some()
        })
    });
    let mut parts: Vec<String> =
        working.failed().map(|(thief, reason)| format!("{thief} does not work: {reason}.")).collect();
    if let Some((row, reason)) = failed.first() {
        parts.push(format!(
            "{} of {} clones are no evidence; the first: {}, seed {}: {reason}.",
            failed.len(),
            rows.clone().count(),
            row.thief,
            row.seed
        ));
    }
    let raised = !parts.is_empty();
    if !raised {
        parts.push("Every thief of the battery works.".to_owned());
    } else {
        parts.push("What failed to learn is not counted as protection.".to_owned());
    }
    let serious = lost || working.failed().next().is_some();
    Flag::new(id, title, serious, raised, parts.join(" "))
}

fn no_victim_needed(verdict: &Verdict) -> Flag {
    let (id, title) = ("F6", "The data does not need the victim");
    let (Some(worst), Some(alone)) = (&verdict.worst_case, &verdict.alone) else {
        return Flag::unchecked(id, title, "There is no floor without a victim to compare with.");
    };
    let (clone, floor) = (100.0 * worst.accuracy.mean, 100.0 * alone.accuracy.mean);
    let raised = floor >= clone;
    let mut text = format!(
        "Without any query the same images with labels give {floor:.2} % ({}), the best clone has {clone:.2} %.",
        alone.thief
    );
    if raised {
        text += " A thief who has such labelled images gains nothing by asking: there is nothing to protect here.";
    }
    Flag::new(id, title, false, raised, text)
}

fn edge(worst: Option<&Cell<'_>>, verdict: &Verdict) -> Flag {
    let (id, title) = ("F7", "The best thief is at the edge of what was tried");
    let Some(worst) = worst else {
        return Flag::unchecked(id, title, "Nothing was measured.");
    };
    let mut parts = Vec::new();
    let seeds = worst.measured().count();
    let chosen = || worst.measured().flat_map(|(_, m)| &m.settings);
    let mut names: Vec<(&str, Edge)> = chosen().filter_map(|s| Some((s.name.as_str(), s.edge?))).collect();
    names.sort_by_key(|(name, edge)| (*name, *edge == Edge::High));
    for same in names.chunk_by(|a, b| a == b).filter(|same| 2 * same.len() > seeds) {
        let (name, edge) = same[0];
        let end = if edge == Edge::Low { "lowest" } else { "highest" };
        parts.push(format!(
            "{} of {seeds} clones of {} chose the {end} {name} tried: a wider grid may find a better one.",
            same.len(),
            worst.first().thief
        ));
    }
    let serious = !parts.is_empty();
    let curve = verdict.curves.iter().find(|curve| curve.against == Against::Victim);
    if let Some([.., before, last]) = curve.map(|curve| &curve.points[..]) {
        let rise = last.accuracy - before.accuracy;
        if rise > STILL_RISING {
            parts.push(format!(
                "From {} to {} queries the best clone still gains {:.1} points: more queries would go further.",
                before.budget,
                last.budget,
                100.0 * rise
            ));
        }
    }
    let raised = !parts.is_empty();
    if !raised {
        parts.push("The settings of the best thief are inside of their grids.".to_owned());
    }
    Flag::new(id, title, serious, raised, parts.join(" "))
}

fn accuracy(victim: &VictimFacts, probes: &Probes, test_images: usize) -> Flag {
    let right = (victim.accuracy * test_images as f64).round() as usize;
    let interval = wilson(right, test_images);
    let least = probes.chance + ABOVE_CHANCE * (1.0 - probes.chance);
    let at_chance = interval.low <= least;
    let far = victim.claimed.filter(|claim| *claim < interval.low - FAR || *claim > interval.high + FAR);
    let mut text = format!(
        "Through its interface the victim is {:.2} % accurate on {test_images} test images; guessing gives {:.2} %",
        100.0 * victim.accuracy,
        100.0 * probes.chance
    );
    text += &match victim.claimed {
        Some(claim) => format!(", its owner claims {:.2} %.", 100.0 * claim),
        None => "; no accuracy was claimed.".to_owned(),
    };
    let raised = at_chance || far.is_some();
    if raised {
        text += " Layout, scale, channel order, normalisation or the order of the classes may be wrong.";
    }
    Flag::new("F8", "The victim's accuracy", true, raised, text)
}

fn failed(probes: &Probes) -> Flag {
    let raised = probes.failed as f64 > FAILED * probes.queries as f64;
    let text = format!("{} of {} queries were not answered.", probes.failed, probes.queries);
    Flag::new("F9", "Failed queries", true, raised, text)
}

fn seeds(verdict: &Verdict) -> Flag {
    let (id, title) = ("F10", "Few seeds");
    let Some(worst) = &verdict.worst_case else {
        return Flag::unchecked(id, title, "Nothing was measured.");
    };
    let seeds = worst.accuracy.seeds;
    let text = match seeds {
        1 => "The worst case was trained once: how much clones differ from one training to the next is not known.".into(),
        _ => format!("The worst case was trained {seeds} times, with {seeds} seeds."),
    };
    Flag::new(id, title, true, seeds < FEW_SEEDS, text)
}

fn complete(report: &Report) -> Flag {
    let skipped = report.rows.iter().filter(|row| row.in_verdict);
    let skipped = skipped.filter(|row| matches!(row.outcome, Outcome::Skipped { .. })).count();
    let mut text =
        if report.made.complete { "The audit was finished" } else { "The audit was stopped" }.to_owned();
    text += &match skipped {
        0 => ".".to_owned(),
        n => format!("; {n} clones of the battery were not tried."),
    };
    Flag::new("F11", "What is missing", true, !report.made.complete, text)
}

fn stronger(verdict: &Verdict) -> Flag {
    let (id, title) = ("F12", "A stronger thief outside of the battery");
    match &verdict.stronger_extra {
        Some(extra) => {
            let text = format!(
                "{} reaches {:.2} %, more than any thief of the battery.",
                extra.thief,
                100.0 * extra.accuracy.mean
            );
            Flag::new(id, title, true, true, text)
        }
        None => {
            Flag::new(id, title, true, false, "No thief that was tried is stronger than the battery.".into())
        }
    }
}
