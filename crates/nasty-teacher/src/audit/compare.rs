//! Several audits side by side: what a defence costs honest users against what it takes from a thief.

use super::cells::Estimate;
use super::report::Report;
use super::verdict::Verdict;
use serde::Serialize;

/// Levels of cost at which victims are compared: at most this much accuracy is lost.
const LEVELS: [f64; 3] = [0.005, 0.01, 0.02];

/// An audit to compare.
#[derive(Clone, Debug)]
pub struct Audited {
    /// What to call it.
    pub name: String,
    /// Its rows.
    pub report: Report,
    /// The verdict over them.
    pub verdict: Verdict,
}

/// One line of a comparison.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// What the audit is called.
    pub name: String,
    /// The victim.
    pub victim: String,
    /// The defences in front of it, or that it was defended by its training; empty for none.
    pub defences: String,
    /// Accuracy that honest users get.
    pub accuracy: f64,
    /// Accuracy lost: that of the most accurate victim of the comparison, without its defences, less that of this one.
    pub accuracy_cost: f64,
    /// Mean ℓ1 change of the probabilities; 0 without defences, none if it was not measured.
    pub l1: Option<f64>,
    /// Mean cross entropy of the served probabilities; none if it was not measured.
    pub nll: Option<f64>,
    /// The level of cost: at most this much accuracy is lost; none above the last level.
    pub level: Option<f64>,
    /// The best thief.
    pub thief: Option<String>,
    /// Accuracy of the worst-case clone; none if nothing was measured.
    pub clone: Option<Estimate>,
    /// Accuracy of the best clone from predicted classes.
    pub hard: Option<f64>,
    /// What the defences took from the worst case, and its noise: a smaller difference cannot be told from none.
    pub removed: Option<(f64, f64)>,
    /// Share of what was at stake that the defences took.
    pub protection: Option<f64>,
    /// Whether the verdict is reliable.
    pub reliable: bool,
    /// Whether no other victim costs no more accuracy and has a clone that is no better.
    pub front_accuracy: bool,
    /// The same by the change of the probabilities.
    pub front_l1: bool,
}

/// Audits side by side.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// By level of cost, then by the worst-case clone, the least accurate first.
    pub entries: Vec<Compared>,
    /// What the audits do not have in common; the figures of such audits cannot be compared.
    pub differences: Vec<String>,
}

/// Compares audits.
pub fn compare(audits: &[Audited]) -> Comparison {
    let clean = |audit: &Audited| {
        let undefended = audit.report.victim.undefended.as_ref().map(|u| u.accuracy);
        undefended.unwrap_or(audit.report.victim.accuracy)
    };
    let best = audits.iter().map(clean).fold(0.0, f64::max);
    let mut entries: Vec<Compared> = audits.iter().map(|audit| entry(audit, best)).collect();
    for i in 0..entries.len() {
        entries[i].front_accuracy = on_front(&entries, i, |e| Some(e.accuracy_cost));
        entries[i].front_l1 = on_front(&entries, i, |e| e.l1);
    }
    let place = |e: &Compared| (e.level.unwrap_or(1.0), e.clone.map_or(1.0, |clone| clone.mean));
    entries.sort_by(|a, b| {
        let (a, b) = (place(a), place(b));
        a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1))
    });
    let differences = audits.split_first().map_or_else(Vec::new, |(first, others)| {
        others.iter().flat_map(|other| differences(first, other)).collect()
    });
    Comparison { entries, differences }
}

fn entry(audit: &Audited, best: f64) -> Compared {
    let (victim, verdict) = (&audit.report.victim, &audit.verdict);
    let cost = best - victim.accuracy;
    let unchanged = victim.undefended.is_none().then_some(0.0);
    let by_training = victim.undefended.is_some() && victim.defences.is_empty();
    Compared {
        name: audit.name.clone(),
        victim: victim.name.clone(),
        defences: if by_training { "in its training".to_owned() } else { victim.defences.clone() },
        accuracy: victim.accuracy,
        accuracy_cost: cost,
        l1: victim.cost.as_ref().and_then(|cost| cost.l1).or(unchanged),
        nll: victim.cost.as_ref().map(|cost| cost.served.nll),
        // Accuracies are ratios of whole numbers: a level is not missed by the last bit.
        level: LEVELS.into_iter().find(|level| cost <= level + 1e-9),
        thief: verdict.worst_case.as_ref().map(|worst| worst.thief.clone()),
        clone: verdict.worst_case.as_ref().map(|worst| worst.accuracy),
        hard: verdict.hard.as_ref().map(|hard| hard.accuracy.mean),
        removed: verdict.removed.as_ref().map(|removed| (removed.mean, removed.noise)),
        protection: verdict.protection.as_ref().and_then(|p| p.score),
        reliable: verdict.reliable,
        front_accuracy: false,
        front_l1: false,
    }
}

/// Whether nothing dominates entry `i`: costs no more, has a clone no better, and is better in one of the two.
fn on_front(entries: &[Compared], i: usize, cost: impl Fn(&Compared) -> Option<f64>) -> bool {
    let place = |e: &Compared| Some((cost(e)?, e.clone?.mean));
    let Some((own_cost, own_clone)) = place(&entries[i]) else { return false };
    !entries
        .iter()
        .filter_map(place)
        .any(|(cost, clone)| cost <= own_cost && clone <= own_clone && (cost < own_cost || clone < own_clone))
}

/// What `other` does not have in common with `first`.
fn differences(first: &Audited, other: &Audited) -> Vec<String> {
    let (a, b) = (&first.report, &other.report);
    let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let shares = |numbers: &[f64]| numbers.iter().map(f64::to_string).collect::<Vec<_>>().join(", ");
    let digest = |report: &Report| report.protocol.data_digest.clone().unwrap_or_else(|| "unknown".into());
    let fresh = |report: &Report| match report.protocol.fresh {
        Some(true) => "fresh",
        Some(false) => "the victim's",
        None => "unknown",
    };
    [
        ("battery", a.battery.to_string(), b.battery.to_string()),
        ("data", a.protocol.data.clone(), b.protocol.data.clone()),
        ("digest of the data", digest(a), digest(b)),
        ("thieves' images", fresh(a).to_owned(), fresh(b).to_owned()),
        ("test images", a.protocol.test_images.to_string(), b.protocol.test_images.to_string()),
        ("what is revealed", a.victim.interface.to_string(), b.victim.interface.to_string()),
        ("budgets", list(&a.protocol.budgets), list(&b.protocol.budgets)),
        ("shares of the data", shares(&a.protocol.shares), shares(&b.protocol.shares)),
        ("seeds", list(&a.protocol.seeds), list(&b.protocol.seeds)),
        ("students", a.protocol.students.join(", "), b.protocol.students.join(", ")),
        ("steps", a.protocol.steps.to_string(), b.protocol.steps.to_string()),
        ("recipe", a.protocol.recipe.clone(), b.protocol.recipe.clone()),
    ]
    .into_iter()
    .filter(|(_, a, b)| a != b)
    .map(|(what, a, b)| format!("{what}: {a} in {}, {b} in {}", first.name, other.name))
    .collect()
}
