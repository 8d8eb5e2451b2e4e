//! An audit as JUnit's XML, for continuous integration: a test case for each thief.

use super::super::ReportError;
use super::sarif::{best, finding, thieves};
use super::words;
use crate::audit::{Condition, Decision, Report, Verdict, cells};
use askama::Template;

#[derive(Template)]
#[template(path = "junit.xml")]
struct JunitView {
    name: String,
    failures: usize,
    errors: usize,
    skipped: usize,
    seconds: String,
    properties: Vec<(&'static str, String)>,
    cases: Vec<CaseView>,
    out: String,
}

struct CaseView {
    name: String,
    seconds: String,
    failure: Option<String>,
    error: Option<String>,
    skipped: Option<String>,
    out: String,
}

/// The test suite. Where the condition does not hold for a single thief but the audit fails, or where it has no verdict, a test
/// case `verdict` says so.
pub(super) fn junit(
    report: &Report,
    verdict: &Verdict,
    decision: Decision,
    fail_on: Option<&Condition>,
) -> Result<String, ReportError> {
    let all = cells(report);
    let seconds = |seconds: f64| format!("{seconds:.3}");
    let mut cases: Vec<CaseView> = thieves(report)
        .into_iter()
        .map(|row| {
            let found = finding(report, verdict, row, best(&all, row), fail_on);
            let own = report.rows.iter().filter(|r| r.thief == row.thief).filter_map(|r| r.measured());
            CaseView {
                name: row.thief.clone(),
                seconds: seconds(own.map(|m| m.seconds).sum()),
                failure: (found.kind == "fail").then(|| found.text.clone()),
                error: None,
                skipped: (found.kind == "notApplicable").then(|| found.text.clone()),
                out: found.text,
            }
        })
        .collect();
    let said = words::decision(decision, fail_on).unwrap_or_default();
    cases.push(CaseView {
        name: "verdict".to_owned(),
        seconds: seconds(0.0),
        failure: (decision == Decision::Failed).then(|| said.clone()),
        error: matches!(decision, Decision::Undecided(_) | Decision::NothingMeasured | Decision::Unfinished)
            .then(|| said.clone()),
        skipped: None,
        out: words::verdict(report, verdict).join("\n"),
    });
    let flags = verdict.flags.iter().filter(|flag| flag.raised());
    let out: Vec<String> = flags.map(|flag| format!("{} {}: {}", flag.id, flag.title, flag.text)).collect();
    let view = JunitView {
        name: format!("nasty audit {} of {}", report.battery, report.victim.name),
        failures: cases.iter().filter(|case| case.failure.is_some()).count(),
        errors: cases.iter().filter(|case| case.error.is_some()).count(),
        skipped: cases.iter().filter(|case| case.skipped.is_some()).count(),
        seconds: seconds(report.made.seconds),
        properties: vec![
            ("victim", report.victim.identity.clone()),
            ("battery", report.battery.to_string()),
            ("reliable", verdict.reliable.to_string()),
            ("exit code", decision.exit_code().to_string()),
        ],
        cases,
        out: out.join("\n"),
    };
    Ok(view.render()?.chars().map(super::super::page::legal).collect())
}
