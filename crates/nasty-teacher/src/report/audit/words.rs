//! An audit in sentences. Each is computed from the report's rows.

use super::super::number::{count, fixed, grouped};
use crate::audit::report::{Against, Profile, Signal};
use crate::audit::{CloneFacts, Condition, Decision, Difference, Flag, Report, Verdict};
use crate::metrics::Interval;

/// A share as per cent, with one decimal.
pub(super) fn percent(share: f64) -> String {
    format!("{} %", fixed(100.0 * share, 1, false))
}

/// A difference of shares in points.
pub(super) fn points(difference: f64) -> String {
    let text = fixed(100.0 * difference.abs(), 1, false);
    if text == "1.0" { "1.0 point".to_owned() } else { format!("{text} points") }
}

fn between(interval: Interval) -> String {
    format!(
        "95 % interval {} to {} %",
        fixed(100.0 * interval.low, 1, false),
        fixed(100.0 * interval.high, 1, false)
    )
}

/// A difference with what it must be larger than.
fn with_noise(difference: &Difference) -> String {
    format!("{} (± {})", points(difference.mean), fixed(100.0 * difference.noise, 1, false))
}

/// What a thief learns from.
pub(super) fn signal(signal: Signal) -> &'static str {
    match signal {
        Signal::Nothing => "labels of its own",
        Signal::PredictedClass => "predicted classes",
        Signal::Probabilities => "probabilities",
    }
}

/// Who is asked.
pub(super) fn against(against: Against) -> &'static str {
    match against {
        Against::Victim => "the victim",
        Against::Undefended => "the victim without defences",
        Against::Nobody => "nobody",
    }
}

/// What a thief has.
pub(super) fn profile(profile: Profile) -> &'static str {
    match profile {
        Profile::A => "labelled images of the victim's kind",
        Profile::B => "unlabelled images of the victim's kind",
        Profile::C => "images of another kind",
        Profile::D => "no images",
    }
}

/// A number of queries.
pub(super) fn queries(n: u64) -> String {
    match n {
        1 => "1 query".to_owned(),
        _ => format!("{} queries", grouped(usize::try_from(n).unwrap_or(usize::MAX))),
    }
}

/// The verdict: the most important sentence first.
pub(super) fn verdict(report: &Report, verdict: &Verdict) -> Vec<String> {
    let Some(worst) = &verdict.worst_case else {
        return vec![
            "Nothing was measured: no clone learned enough to be evidence. This says nothing about how clonable the victim is."
                .to_owned(),
        ];
    };
    let mut sentences = vec![worst_case(worst, verdict)];
    sentences.extend(chosen(worst, verdict));
    sentences.extend(alone(worst, verdict));
    sentences.extend(hard(worst, verdict));
    sentences.extend(defences(report, verdict));
    sentences.push(reliability(verdict));
    sentences
}

fn worst_case(worst: &CloneFacts, verdict: &Verdict) -> String {
    let accuracy = worst.accuracy;
    let mut text = format!(
        "With {}, a thief trains a clone that is right on {} of the test images ({}, {}). The victim is right on {}",
        queries(worst.queries),
        percent(accuracy.mean),
        between(accuracy.interval),
        count(accuracy.seeds, "seed"),
        percent(verdict.victim)
    );
    if verdict.victim > 0.0 {
        text += &format!(", so the clone has {} of its accuracy", percent(accuracy.mean / verdict.victim));
    }
    text += &format!(". The best thief is {}, which learns from {}", worst.thief, signal(worst.signal));
    match worst.agreement_served {
        Some(agreement) => {
            text + &format!("; its clone gives the victim's answer on {}.", percent(agreement))
        }
        None => text + ".",
    }
}

/// Only where the thief would have kept another clone than the best.
fn chosen(worst: &CloneFacts, verdict: &Verdict) -> Option<String> {
    let chosen = verdict.chosen.as_ref().filter(|chosen| chosen.thief != worst.thief)?;
    Some(format!(
        "A thief does not see the test images. Choosing by what it sees itself it would keep the clone of {}, with {}.",
        chosen.thief,
        percent(chosen.accuracy.mean)
    ))
}

fn alone(worst: &CloneFacts, verdict: &Verdict) -> Option<String> {
    let alone = verdict.alone.as_ref()?;
    let gain = worst.accuracy.mean - alone.accuracy.mean;
    let worth = if gain > 0.0 {
        format!("asking the victim is worth {}", points(gain))
    } else {
        "a thief who has such labelled images gains nothing by asking".to_owned()
    };
    Some(format!(
        "Without any query, the same network trained on the same images with true labels reaches {} ({}): {worth}.",
        percent(alone.accuracy.mean),
        alone.thief
    ))
}

fn hard(worst: &CloneFacts, verdict: &Verdict) -> Option<String> {
    let hard = verdict.hard.as_ref()?;
    let reach = percent(hard.accuracy.mean);
    Some(if worst.signal == Signal::PredictedClass {
        format!(
            "No thief of the battery gains from the probabilities: predicted classes alone give {reach}, and no defence that keeps the \
             predicted class lowers that."
        )
    } else {
        format!(
            "From the predicted classes alone a clone reaches {reach}; no defence that keeps the predicted class lowers that."
        )
    })
}

fn defences(report: &Report, verdict: &Verdict) -> Option<String> {
    let reference = verdict.undefended.as_ref()?;
    let removed = verdict.removed.as_ref()?;
    let which = Some(&report.victim.defences).filter(|d| !d.is_empty()).map(|d| format!(" ({d})"));
    let mut text = format!(
        "Without its defences{} the best clone has {} ({}). ",
        which.unwrap_or_default(),
        percent(reference.best.accuracy.mean),
        reference.best.thief
    );
    text += &match (removed.clear(), removed.mean > 0.0) {
        (true, true) => format!("They lower the worst case by {}", with_noise(removed)),
        (true, false) => format!("They raise the worst case by {}", with_noise(removed)),
        (false, _) => format!(
            "The difference of {} is within the noise (± {})",
            points(removed.mean),
            fixed(100.0 * removed.noise, 1, false)
        ),
    };
    let Some(protection) = &verdict.protection else { return Some(text + ".") };
    let stake = &protection.stake;
    text += &match protection.score {
        Some(score) => {
            let interval = protection.interval.map_or_else(String::new, |i| {
                let end = |value: f64| fixed(100.0 * value, 0, false);
                format!(", 95 % interval {} to {} %", end(i.low), end(i.high))
            });
            let share = fixed(100.0 * score, 0, false);
            let floor = &protection.floor.thief;
            format!(
                ". What was at stake is the {} between that clone and the floor ({floor}); of these they take away {share} %{interval}.",
                points(stake.mean)
            )
        }
        None if stake.mean <= 0.0 => format!(
            ". There is nothing to protect here: the floor ({}, {}) reaches the best clone without any help of the probabilities.",
            protection.floor.thief,
            percent(protection.floor.accuracy.mean)
        ),
        None => format!(
            ". There is nothing to protect here that could be told from noise: that clone is {} above the floor ({}), ± {}.",
            points(stake.mean),
            protection.floor.thief,
            fixed(100.0 * stake.noise, 1, false)
        ),
    };
    Some(text)
}

fn reliability(verdict: &Verdict) -> String {
    let raised: Vec<&Flag> = verdict.flags.iter().filter(|flag| flag.undermines()).collect();
    if raised.is_empty() {
        let unchecked = verdict.flags.iter().filter(|f| f.state == crate::audit::FlagState::NotChecked);
        let ids: Vec<&str> = unchecked.map(|flag| flag.id).collect();
        return match ids[..] {
            [] => "All checks of the audit's reliability passed.".to_owned(),
            _ => format!("No check of the audit's reliability failed; not checked: {}.", ids.join(", ")),
        };
    }
    let named: Vec<String> = raised.iter().map(|f| format!("{} ({})", f.id, lower_first(f.title))).collect();
    format!("The verdict is not reliable: {}.", named.join("; "))
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_lowercase().chain(chars).collect())
}

/// What the audit ended with, in a sentence; none without a condition where all went well.
pub(super) fn decision(decision: Decision, fail_on: Option<&Condition>) -> Option<String> {
    let condition = fail_on.map_or_else(String::new, |condition| format!("`{condition}`"));
    match decision {
        Decision::Passed => fail_on.map(|_| format!("Passed: {condition} does not hold.")),
        Decision::Failed => Some(format!("Failed: {condition} holds.")),
        Decision::Undecided(gap) => Some(format!("Not decided: of {condition}, {gap}.")),
        Decision::NothingMeasured => Some("No verdict: nothing was measured.".to_owned()),
        Decision::Unfinished => Some("No verdict yet: the audit is not finished.".to_owned()),
    }
}

/// What the figures mean for the owner, and what can be done.
pub(super) fn meaning(report: &Report, verdict: &Verdict) -> Vec<String> {
    let Some(worst) = &verdict.worst_case else { return Vec::new() };
    let mut sentences = Vec::new();
    let clone = worst.accuracy.mean;
    if verdict.alone.as_ref().is_some_and(|alone| alone.accuracy.mean >= clone) {
        sentences.push(
            "Whoever has such labelled images does not need the victim. What is worth protecting is the data, not the answers."
                .to_owned(),
        );
    }
    let advantage = verdict.soft_label_advantage.as_ref();
    let worth = advantage.filter(|a| a.clear() && a.mean > 0.0);
    sentences.push(match worth {
        Some(worth) => format!(
            "The probabilities{} are worth {} to a thief beyond the predicted classes. That is the most that a defence which keeps the predicted \
             class can take away (AML.M0002, output obfuscation).",
            if verdict.undefended.is_some() { " of the undefended victim" } else { "" },
            with_noise(worth)
        ),
        None if advantage.is_some() => {
            "The probabilities are worth nothing to a thief that could be told from noise, beyond the predicted classes: changing them cannot \
             protect this victim against this battery."
                .to_owned()
        }
        None => "What the probabilities are worth to a thief beyond the predicted classes was not measured.".to_owned(),
    });
    if let Some(removed) = verdict.removed.as_ref().filter(|removed| !removed.clear() || removed.mean <= 0.0)
    {
        let naive = verdict.comparisons.iter().filter(|d| d.clear() && d.mean > removed.mean);
        if let Some(naive) = naive.max_by(|a, b| a.mean.total_cmp(&b.mean)) {
            sentences.push(format!(
                "The defences do hurt some thieves (by up to {}), but a thief can choose another method.",
                points(naive.mean)
            ));
        }
    }
    if let Some(cost) = &report.victim.cost
        && let (Some(clean), Some(l1)) = (&cost.clean, cost.l1)
    {
        sentences.push(format!(
            "For the defences, honest users pay {} of accuracy, and probabilities that are changed by {} on average (ℓ1, of at most 2).",
            points(clean.accuracy - cost.served.accuracy),
            fixed(l1, 3, false)
        ));
    }
    sentences.push(
        "Below the clone from predicted classes only other measures help: limiting or pricing queries (AML.M0004), and logs that show who asks \
         what (AML.M0024)."
            .to_owned(),
    );
    sentences
}

/// How many queries a thief needs.
pub(super) fn curves(verdict: &Verdict) -> Vec<String> {
    let reach = |queries: Option<f64>| {
        queries.map_or("more than was tried".to_owned(), |n| self::queries(n.round() as u64))
    };
    let sentence = |curve: &crate::audit::Curve| {
        let whose = match curve.against {
            Against::Undefended => "the victim without defences",
            Against::Victim | Against::Nobody => "the victim",
        };
        format!(
            "For 90 % of the accuracy of {whose} the best clone of it needs {}, for 95 % {}.",
            reach(curve.to_90_percent),
            reach(curve.to_95_percent)
        )
    };
    let mut sentences: Vec<String> = verdict.curves.iter().map(sentence).collect();
    let to = |against: Against| {
        verdict.curves.iter().find(|curve| curve.against == against).and_then(|curve| curve.to_90_percent)
    };
    if let (Some(served), Some(clean)) = (to(Against::Victim), to(Against::Undefended)) {
        sentences.push(format!(
            "For 90 % the defences multiply the queries by {}.",
            fixed(served / clean, 1, false)
        ));
    }
    sentences
}

/// What the audit does not show.
pub(super) fn limits(report: &Report) -> Vec<String> {
    let mut limits = vec![
        "A stronger thief may exist: a worst case over a battery is a lower bound of what can be stolen."
            .to_owned(),
        "Not covered: theft of the file itself, side channels, and budgets far above those tried.".to_owned(),
    ];
    let counts = |wanted: Profile| report.rows.iter().any(|row| row.in_verdict && row.profile == wanted);
    let absent: Vec<&str> = [Profile::A, Profile::B, Profile::C, Profile::D]
        .into_iter()
        .filter(|wanted| !counts(*wanted))
        .map(profile)
        .collect();
    if !absent.is_empty() {
        limits.push(format!("No thief of the verdict has: {}.", absent.join("; ")));
    }
    match report.protocol.fresh {
        Some(true) => {}
        Some(false) => limits.push(
            "The thieves' images are images that the victim was trained on. With fresh images, its answers carry more of what it learned."
                .to_owned(),
        ),
        None => limits.push("It is not known whether the victim was trained on the thieves' images.".to_owned()),
    }
    if report.victim.defences.is_empty() && report.victim.undefended.is_none() {
        limits.push(
            "The audit knows of no defence. If the victim has some, what they take away cannot be told from what was never there.".to_owned(),
        );
    }
    if report.protocol.victims == 1 && !report.victim.defences.is_empty() {
        limits.push(
            "One victim was audited: how much victims of the same recipe differ is not in the intervals."
                .to_owned(),
        );
    }
    limits
}
