//! The page of an audit: the verdict first.

use super::super::{Block, Page, Section};
use super::tables::Which;
use super::tags::{MITIGATIONS, Tag, threats};
use super::{figures, tables, words};
use crate::audit::report::Profile;
use crate::audit::{Condition, Decision, Report, Verdict};

/// The page. `decision` and `fail_on` are what the audit ended with.
pub(super) fn page(
    report: &Report,
    verdict: &Verdict,
    decision: Decision,
    fail_on: Option<&Condition>,
) -> Page {
    let sections = [
        Some(summary(report, verdict, decision, fail_on)),
        Some(clones(report, verdict)),
        revealed(report, verdict),
        meaning(report, verdict),
        Some(checks(verdict)),
        Some(scope(report)),
        Some(reproduce(report)),
        Some(limits(report)),
    ];
    Page {
        title: format!("How clonable is {}?", report.victim.name),
        subtitle: format!(
            "Audit {} of {} on {}\nnasty {} on {}, {} threads, {}",
            report.battery,
            report.victim.kind,
            report.protocol.data,
            report.made.machine.version,
            report.made.machine.system,
            report.made.machine.threads,
            report.made.machine.device
        ),
        sections: sections.into_iter().flatten().collect(),
    }
}

fn section(id: &str, title: &str, blocks: Vec<Block>) -> Section {
    Section { id: id.to_owned(), title: title.to_owned(), blocks }
}

fn summary(report: &Report, verdict: &Verdict, decision: Decision, fail_on: Option<&Condition>) -> Section {
    let mut sentences = words::verdict(report, verdict).into_iter();
    let mut blocks: Vec<Block> = sentences.next().map(Block::Finding).into_iter().collect();
    blocks.extend(words::decision(decision, fail_on).map(Block::Finding));
    blocks.extend(sentences.map(Block::Text));
    let undermining: Vec<String> = verdict
        .flags
        .iter()
        .filter(|flag| flag.undermines())
        .map(|flag| format!("{} {}: {}", flag.id, flag.title, flag.text))
        .collect();
    if !undermining.is_empty() {
        blocks.push(Block::Callout {
            title: "Why the verdict is not reliable".to_owned(),
            text: undermining.join("\n"),
        });
    }
    section("verdict", "Verdict", blocks)
}

fn clones(report: &Report, verdict: &Verdict) -> Section {
    let mut blocks: Vec<Block> = figures::thieves(report, verdict).map(Block::Figure).into_iter().collect();
    blocks.push(Block::Table(tables::thieves(report, verdict, Which::LikeWorst)));
    blocks.extend(figures::queries(report, verdict).map(Block::Figure));
    blocks.extend(words::curves(verdict).into_iter().map(Block::Text));
    blocks.extend(tables::comparisons(verdict).map(Block::Table));
    let all = tables::thieves(report, verdict, Which::All);
    if all.rows.len() > tables::thieves(report, verdict, Which::LikeWorst).rows.len() {
        blocks.push(Block::Heading("All students, budgets and shares of the data".to_owned()));
        blocks.push(Block::Table(all));
    }
    blocks.extend(tables::failures(report).map(Block::Table));
    section("clones", "The clones", blocks)
}

fn revealed(report: &Report, verdict: &Verdict) -> Option<Section> {
    let of = |id: &str| verdict.flags.iter().find(|flag| flag.id == id).map(|flag| flag.text.clone());
    let mut blocks: Vec<Block> = ["F3", "F1", "F2"].into_iter().filter_map(of).map(Block::Text).collect();
    blocks.extend(tables::cost(report).map(Block::Table));
    (!blocks.is_empty()).then(|| section("revealed", "What is revealed, and what it costs users", blocks))
}

fn meaning(report: &Report, verdict: &Verdict) -> Option<Section> {
    let sentences = words::meaning(report, verdict);
    (!sentences.is_empty()).then(|| {
        let mut blocks: Vec<Block> = sentences.into_iter().map(Block::Text).collect();
        blocks.push(Block::Facts(MITIGATIONS.iter().map(fact).collect()));
        section("meaning", "What it means, and what can be done", blocks)
    })
}

fn fact(tag: &Tag) -> (String, String) {
    (format!("{} {}", tag.by, tag.id), tag.name.to_owned())
}

fn checks(verdict: &Verdict) -> Section {
    section("checks", "Can the figures be relied upon?", vec![Block::Table(tables::flags(verdict))])
}

fn scope(report: &Report) -> Section {
    let protocol = &report.protocol;
    let budget = protocol.budgets.last().copied().unwrap_or(0);
    let mut has: Vec<Profile> =
        report.rows.iter().filter(|row| row.in_verdict).map(|row| row.profile).collect();
    has.sort();
    has.dedup();
    let knows: Vec<&str> = has.into_iter().map(words::profile).collect();
    let steps = super::super::number::grouped(usize::try_from(protocol.steps).unwrap_or(usize::MAX));
    let list = |numbers: &[u64]| numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let facts = [
        ("attacker's goal", "a copy that answers as the victim does (model extraction)".to_owned()),
        ("attacker's knowledge", knows.join("; ")),
        ("attacker's capability", format!("{} through {}", words::queries(budget), report.victim.interface)),
        ("images of the attacker", format!("{} ({})", protocol.images, protocol.pool)),
        (
            "an image asked about twice",
            if protocol.cached { "one query" } else { "a query each time" }.to_owned(),
        ),
        (
            "defences",
            Some(report.victim.defences.clone()).filter(|d| !d.is_empty()).unwrap_or("none known".into()),
        ),
        ("clones", protocol.students.join(", ")),
        ("training of a clone", format!("{steps} steps; {}", protocol.recipe)),
        ("query budgets", list(&protocol.budgets)),
        ("seeds", list(&protocol.seeds)),
        (
            "queries sent in all",
            super::super::number::grouped(usize::try_from(report.probes.queries).unwrap_or(0)),
        ),
    ];
    let mut blocks = vec![Block::Facts(
        facts.into_iter().filter(|(_, value)| !value.is_empty()).map(|(n, v)| (n.to_owned(), v)).collect(),
    )];
    blocks.push(Block::Heading("In the terms of".to_owned()));
    blocks.push(Block::Facts(threats(report).iter().map(fact).collect()));
    section("scope", "Scope and threat model", blocks)
}

fn reproduce(report: &Report) -> Section {
    let mut facts = vec![
        ("victim".to_owned(), report.victim.identity.clone()),
        ("battery".to_owned(), report.battery.to_string()),
        ("program".to_owned(), report.made.machine.version.clone()),
    ];
    facts.extend(
        report.victim.undefended.iter().map(|u| ("victim without defences".to_owned(), u.identity.clone())),
    );
    facts.extend(report.protocol.data_digest.iter().map(|d| ("images".to_owned(), d.clone())));
    facts.extend(report.made.numerics.iter().map(|n| ("numerics".to_owned(), n.to_string())));
    section(
        "reproduce",
        "Reproduce",
        vec![
            Block::Command(report.made.command.clone()),
            Block::Text(
                "The same victim, images, battery and numerics give the same rows. All rows are in report.json and rows.csv.".to_owned(),
            ),
            Block::Facts(facts),
        ],
    )
}

fn limits(report: &Report) -> Section {
    let text = words::limits(report).join("\n");
    let title = "What this does not show".to_owned();
    section("limits", "Limits", vec![Block::Callout { title, text }])
}
