//! An audit as SARIF 2.1.0, for code scanners: a rule and a result for each thief.

use super::tags::threats;
use super::words;
use crate::audit::report::{Against, Outcome, Row};
use crate::audit::{Cell, Condition, Decision, Report, Verdict, cells};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// The log as JSON.
pub(super) fn sarif(
    report: &Report,
    verdict: &Verdict,
    decision: Decision,
    fail_on: Option<&Condition>,
) -> Value {
    let all = cells(report);
    let thieves = thieves(report);
    let tags: Vec<&str> = threats(report).iter().map(|tag| tag.id).collect();
    let rules: Vec<Value> = thieves
        .iter()
        .map(|row| {
            json!({
                "id": row.thief,
                "name": row.thief,
                "shortDescription": { "text": format!("A clone by the thief {}", row.thief) },
                "fullDescription": { "text": format!("Knows: {}. Learns from {}.", row.knows, words::signal(row.signal)) },
                "help": { "text": words::meaning(report, verdict).join(" ") },
                "properties": { "tags": tags },
            })
        })
        .collect();
    let results: Vec<Value> = thieves
        .iter()
        .enumerate()
        .map(|(index, row)| {
            let best = best(&all, row);
            let finding = finding(report, verdict, row, best, fail_on);
            json!({
                "ruleId": row.thief,
                "ruleIndex": index,
                "kind": finding.kind,
                "level": if finding.kind == "fail" { "error" } else { "none" },
                "message": { "text": finding.text },
                "locations": [{
                    "physicalLocation": {
                        "artifactLocation": { "uri": uri(report) },
                        "region": { "startLine": 1 },
                    },
                }],
                "partialFingerprints": { "victimAndThief/v1": fingerprint(report, best.map_or(*row, Cell::first)) },
                "properties": { "inVerdict": row.in_verdict, "accuracy": best.and_then(Cell::mean) },
            })
        })
        .collect();
    let notifications: Vec<Value> = verdict
        .flags
        .iter()
        .filter(|flag| flag.raised())
        .map(|flag| {
            json!({
                "descriptor": { "id": flag.id },
                "level": if flag.serious { "warning" } else { "note" },
                "message": { "text": format!("{}: {}", flag.title, flag.text) },
            })
        })
        .collect();
    let ids = verdict.flags.iter().map(|flag| json!({ "id": flag.id, "name": flag.title }));
    json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "nasty",
                "version": report.made.machine.version,
                "rules": rules,
                "notifications": ids.collect::<Vec<_>>(),
            }},
            "automationDetails": { "id": format!("nasty-audit/{}/", report.battery) },
            "invocations": [{
                "commandLine": report.made.command,
                "exitCode": decision.exit_code(),
                "executionSuccessful": !matches!(decision, Decision::NothingMeasured | Decision::Unfinished),
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

/// The first row of each thief that asks the victim.
pub(super) fn thieves(report: &Report) -> Vec<&Row> {
    let mut thieves: Vec<&Row> = Vec::new();
    for row in report.rows.iter().filter(|row| row.against == Against::Victim) {
        if !thieves.iter().any(|known| known.thief == row.thief) {
            thieves.push(row);
        }
    }
    thieves
}

/// The best clone of the victim by the thief of `row`.
pub(super) fn best<'c, 'a>(all: &'c [Cell<'a>], row: &Row) -> Option<&'c Cell<'a>> {
    let own = |cell: &&Cell<'_>| cell.first().against == Against::Victim && cell.first().thief == row.thief;
    let mean = |cell: &Cell<'_>| cell.mean().unwrap_or(-1.0);
    all.iter().filter(own).filter(|cell| cell.mean().is_some()).max_by(|a, b| mean(a).total_cmp(&mean(b)))
}

/// What is said of a thief.
pub(super) struct Finding {
    /// `pass`, `fail`, `notApplicable` or `informational`.
    pub(super) kind: &'static str,
    pub(super) text: String,
}

/// Whether the thief's best clone fails the audit's condition.
pub(super) fn finding(
    report: &Report,
    verdict: &Verdict,
    row: &Row,
    best: Option<&Cell<'_>>,
    fail_on: Option<&Condition>,
) -> Finding {
    let Some(clone) = best.and_then(|cell| cell.estimate(report.protocol.test_images)) else {
        let reason = report.rows.iter().filter(|r| r.thief == row.thief).find_map(|r| match &r.outcome {
            Outcome::NoEvidence { reason } => Some(format!("No evidence: {reason}")),
            Outcome::Skipped { reason } => Some(format!("Not tried: {reason}")),
            Outcome::Ok(_) => None,
        });
        let text = reason.unwrap_or_else(|| "Not measured".to_owned());
        return Finding { kind: "notApplicable", text };
    };
    let queries = best.map_or(0, |cell| cell.measured().map(|(row, _)| row.queries).max().unwrap_or(0));
    let mut text = format!(
        "With {} the thief {} trains a clone that is right on {} of the test images; the victim is right on {}.",
        words::queries(queries),
        row.thief,
        words::percent(clone.mean),
        words::percent(verdict.victim)
    );
    // Extras do not decide.
    let condition = fail_on.filter(|_| row.in_verdict);
    let kind = match condition.map(|condition| (condition, condition.holds_for(verdict, clone.mean))) {
        None => "informational",
        Some((condition, Ok(true))) => {
            text += &format!(" The condition `{condition}` holds for it.");
            "fail"
        }
        Some((_, Ok(false))) => "pass",
        Some((condition, Err(gap))) => {
            text += &format!(" The condition `{condition}` cannot be decided: {gap}.");
            "notApplicable"
        }
    };
    Finding { kind, text }
}

/// Where scanners point to: the file that describes the victim.
fn uri(report: &Report) -> String {
    let file = report.victim.file.as_ref().unwrap_or(&report.victim.name);
    // RFC 3986: what may stand in a path stays, the rest is percent-encoded byte by byte.
    file.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' | b':' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// The same for the same victim and thief, whatever the seeds and the accuracy.
fn fingerprint(report: &Report, row: &Row) -> String {
    let parts = [
        &report.victim.identity,
        &report.battery.to_string(),
        &row.thief,
        &row.student,
        &row.budget.to_string(),
        &row.share.to_string(),
    ];
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.len().to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
