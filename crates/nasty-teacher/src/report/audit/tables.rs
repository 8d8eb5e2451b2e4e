//! The tables of an audit.

use super::super::number::{fixed, grouped};
use super::super::{Cell, Column, Mark, Table, Tone};
use super::words;
use crate::audit::report::{Against, Measured, Outcome, Signal};
use crate::audit::{Cell as Clones, Difference, FlagState, Report, Verdict, cells};

/// The clones of the victim and the floors, best first, each beside the same thief's clone of the undefended victim: `all` of
/// them, or those under the conditions of the worst case.
pub(super) fn thieves(report: &Report, verdict: &Verdict, which: Which) -> Table {
    let all = cells(report);
    let worst = all.iter().find(|cell| is(cell, verdict)).filter(|_| which == Which::LikeWorst);
    let profiles = several(&all, |cell| cell.first().profile);
    let undefended = all.iter().any(|cell| cell.first().against == Against::Undefended);
    let shares = worst.is_none() && report.protocol.shares.len() > 1;
    let students = worst.is_none() && report.protocol.students.len() > 1;
    let mut columns = vec![Column::text("thief"), Column::text("learns from")];
    if profiles {
        columns.push(Column::text("profile"));
    }
    if students {
        columns.push(Column::text("student"));
    }
    if shares {
        columns.push(Column::number("data", "%"));
    }
    columns.extend([
        Column::number("queries", ""),
        Column::number("accuracy", "%"),
        Column::text("95 % interval"),
        Column::number("agreement", "%"),
    ]);
    if undefended {
        columns.push(Column::number("without defences", "%"));
    }
    columns.push(Column::number("seeds", ""));
    let mut shown: Vec<&Clones<'_>> =
        all.iter().filter(|cell| cell.first().against != Against::Undefended).collect();
    if let Some(worst) = worst {
        shown.retain(|cell| cell.comparable(worst.first()));
    }
    let mean = |cell: &Clones<'_>| cell.mean().unwrap_or(-1.0);
    shown.sort_by(|a, b| mean(b).total_cmp(&mean(a)));
    let mut table = Table {
        title: title(report, worst),
        columns,
        note: Some(note(report, verdict, undefended, profiles)),
        label: "tab:clones".to_owned(),
        ..Table::default()
    };
    for cell in shown {
        let first = cell.first();
        let estimate = cell.estimate(report.protocol.test_images);
        let mut row = vec![Cell::text(name(cell)), Cell::text(words::signal(first.signal))];
        if profiles {
            row.push(Cell::text(format!("{:?}", first.profile)));
        }
        if students {
            row.push(Cell::text(&first.student));
        }
        if shares {
            row.push(Cell::number(100.0 * first.share, 0));
        }
        let queries = cell.measured().map(|(row, _)| row.queries).max().unwrap_or(first.budget);
        row.push(match first.signal {
            Signal::Nothing => Cell::Empty,
            _ => Cell::number(queries as f64, 0),
        });
        row.push(match estimate {
            Some(e) => match e.sd {
                Some(sd) => Cell::spread(100.0 * e.mean, 100.0 * sd, 2),
                None => Cell::number(100.0 * e.mean, 2),
            },
            None => Cell::text("no evidence"),
        });
        row.push(estimate.map_or(Cell::Empty, |e| {
            let end = |value: f64| fixed(100.0 * value, 1, false);
            Cell::text(format!("{} to {}", end(e.interval.low), end(e.interval.high)))
        }));
        row.push(share_cell(cell.mean_of(|m| m.agreement_served)));
        if undefended {
            let twin = all.iter().find(|other| {
                other.first().against == Against::Undefended
                    && first.against == Against::Victim
                    && other.first().signal == first.signal
                    && other.same_thief(first)
            });
            row.push(share_cell(twin.and_then(Clones::mean)));
        }
        row.push(Cell::number(cell.measured().count() as f64, 0));
        if is(cell, verdict) {
            table.marks.push(Mark { row: table.rows.len(), column: None, tone: Tone::Bad });
        }
        table.rows.push(row);
    }
    table
}

/// Whether `of` differs between cells.
fn several<T: PartialEq>(all: &[Clones<'_>], of: impl Fn(&Clones<'_>) -> T) -> bool {
    all.windows(2).any(|pair| of(&pair[0]) != of(&pair[1]))
}

fn title(report: &Report, worst: Option<&Clones<'_>>) -> String {
    let battery = &report.battery;
    match worst.map(|worst| worst.first()) {
        None => format!("Clones of the battery {battery}"),
        Some(row) => format!(
            "Clones of the battery {battery}: student {}, {} images asked about",
            row.student,
            grouped(usize::try_from(row.budget).unwrap_or(usize::MAX))
        ),
    }
}

/// Which clones a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Which {
    /// All.
    All,
    /// Those with the student, budget and share of the data of the worst case; all where there is none.
    LikeWorst,
}

fn name(cell: &Clones<'_>) -> String {
    let row = cell.first();
    if row.in_verdict { row.thief.clone() } else { format!("{} (extra)", row.thief) }
}

/// Whether the cell is the worst case.
fn is(cell: &Clones<'_>, verdict: &Verdict) -> bool {
    let row = cell.first();
    verdict.worst_case.as_ref().is_some_and(|worst| {
        row.in_verdict
            && worst.thief == row.thief
            && worst.against == row.against
            && worst.signal == row.signal
            && worst.profile == row.profile
            && worst.student == row.student
            && worst.budget == row.budget
            && worst.share == row.share
    })
}

fn share_cell(share: Option<f64>) -> Cell {
    share.map_or(Cell::Empty, |share| Cell::number(100.0 * share, 2))
}

fn note(report: &Report, verdict: &Verdict, undefended: bool, profiles: bool) -> String {
    let mut note = format!(
        "Mean ± standard deviation over the seeds, on {} test images. Intervals: seeds (Student's t) and images (Wilson) together. \
         Agreement: share of the test images on which the clone gives the class that the victim serves.",
        report.protocol.test_images
    );
    if undefended {
        note += " Without defences: the same thief against the victim without them.";
    }
    if profiles {
        note += " Profiles: A has labelled images of the victim's kind, B unlabelled ones, C images of another kind, D none.";
    }
    if verdict.worst_case.is_some() {
        note += " Marked: the worst case.";
    }
    note
}

/// What was not measured, with the reasons; none if nothing. Clones of a thief that failed for the same reason share a line.
pub(super) fn failures(report: &Report) -> Option<Table> {
    let mut lines: Vec<([&str; 4], usize)> = Vec::new();
    for row in &report.rows {
        let (what, reason) = match &row.outcome {
            Outcome::Ok(_) => continue,
            Outcome::NoEvidence { reason } => ("no evidence", reason),
            Outcome::Skipped { reason } => ("not tried", reason),
        };
        let line = [row.thief.as_str(), words::against(row.against), what, reason.as_str()];
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, count)) => *count += 1,
            None => lines.push((line, 1)),
        }
    }
    let row = |([thief, asks, what, reason], count): ([&str; 4], usize)| {
        vec![
            Cell::text(thief),
            Cell::text(asks),
            Cell::number(count as f64, 0),
            Cell::text(what),
            Cell::text(reason),
        ]
    };
    (!lines.is_empty()).then(|| Table {
        title: "Clones that are no evidence".to_owned(),
        columns: vec![
            Column::text("thief"),
            Column::text("asks"),
            Column::number("clones", ""),
            Column::text("what happened"),
            Column::text("why"),
        ],
        rows: lines.into_iter().map(row).collect(),
        label: "tab:failures".to_owned(),
        ..Table::default()
    })
}

/// The flags.
pub(super) fn flags(verdict: &Verdict) -> Table {
    let mut table = Table {
        title: "Checks of the audit's reliability".to_owned(),
        columns: vec![Column::text("check"), Column::text("result"), Column::text("what was found")],
        note: Some("A flag that is marked makes the verdict unreliable.".to_owned()),
        label: "tab:flags".to_owned(),
        ..Table::default()
    };
    for flag in &verdict.flags {
        let state = match flag.state {
            FlagState::Raised => "raised",
            FlagState::Clear => "clear",
            FlagState::NotChecked => "not checked",
        };
        if flag.undermines() {
            table.marks.push(Mark { row: table.rows.len(), column: None, tone: Tone::Bad });
        }
        table.rows.push(vec![
            Cell::text(format!("{} {}", flag.id, flag.title)),
            Cell::text(state),
            Cell::text(&flag.text),
        ]);
    }
    table
}

/// The comparisons with their tests; none without comparisons.
pub(super) fn comparisons(verdict: &Verdict) -> Option<Table> {
    let p = |p: Option<f64>| p.map_or(Cell::Empty, |p| Cell::text(p_value(p)));
    let row = |d: &Difference| {
        vec![
            Cell::text(&d.what),
            Cell::difference(100.0 * d.mean, 2),
            Cell::number(100.0 * d.noise, 2),
            p(d.p_seeds),
            p(d.p_seeds_holm),
            p(d.p_images),
            p(d.p_images_holm),
        ]
    };
    (!verdict.comparisons.is_empty()).then(|| Table {
        title: "Differences and their tests".to_owned(),
        columns: vec![
            Column::text("difference"),
            Column::number("mean", "points"),
            Column::number("noise", "points"),
            Column::number("p, seeds", ""),
            Column::number("Holm", ""),
            Column::number("p, images", ""),
            Column::number("Holm", ""),
        ],
        rows: verdict.comparisons.iter().map(row).collect(),
        note: Some(
            "Noise: a smaller difference cannot be told from none (95 %, over seeds and images). p over the seeds: paired t test. p over the \
             images: McNemar's exact test, the largest of the seeds' values; it does not contain how trainings differ. Holm: corrected for \
             all rows of this table."
                .to_owned(),
        ),
        label: "tab:comparisons".to_owned(),
        ..Table::default()
    })
}

fn p_value(p: f64) -> String {
    if p < 0.0001 { "< 0.0001".to_owned() } else { fixed(p, 4, false) }
}

/// What honest users are served; none if it was not measured.
pub(super) fn cost(report: &Report) -> Option<Table> {
    let cost = report.victim.cost.as_ref()?;
    let mut table = Table {
        title: "What honest users are served".to_owned(),
        columns: vec![Column::text("measure"), Column::number("served", "")],
        note: Some(format!("On {} test images.", report.protocol.test_images)),
        label: "tab:cost".to_owned(),
        ..Table::default()
    };
    if cost.clean.is_some() {
        table.columns.extend([Column::number("without defences", ""), Column::number("change", "")]);
    }
    let mut row =
        |name: &str, served: f64, clean: Option<f64>, decimals: usize| {
            let mut row = vec![Cell::text(name), Cell::number(served, decimals)];
            row.extend(clean.into_iter().flat_map(|clean| {
                [Cell::number(clean, decimals), Cell::difference(served - clean, decimals)]
            }));
            table.rows.push(row);
        };
    let (served, clean) = (cost.served, cost.clean);
    row("accuracy (%)", 100.0 * served.accuracy, clean.map(|c| 100.0 * c.accuracy), 2);
    row("negative log-likelihood", served.nll, clean.map(|c| c.nll), 3);
    row("Brier score", served.brier, clean.map(|c| c.brier), 3);
    row("calibration error (%)", 100.0 * served.ece, clean.map(|c| 100.0 * c.ece), 2);
    let mut single = |name: &str, value: Option<f64>, decimals| {
        table.rows.extend(value.map(|value| vec![Cell::text(name), Cell::number(value, decimals)]));
    };
    single("same predicted class (%)", cost.top1_kept.map(|kept| 100.0 * kept), 2);
    single("change of the probabilities, ℓ1, mean", cost.l1, 3);
    single("change of the probabilities, ℓ1, largest", cost.l1_max, 3);
    single("milliseconds an answer", cost.milliseconds, 2);
    Some(table)
}

/// Every clone on a line, for machines.
pub(super) fn rows(report: &Report) -> Table {
    let number = |value: Option<f64>| value.map_or(Cell::Empty, |value| Cell::number(value, 6));
    let names =
        ["run", "thief", "against", "signal", "profile", "student", "in verdict", "status", "settings"];
    let numbers = [
        "budget",
        "queries",
        "share",
        "seed",
        "validation",
        "accuracy",
        "agreement clean",
        "agreement served",
        "kl",
        "seconds",
    ];
    let row = |row: &crate::audit::report::Row| {
        let measured = row.measured();
        let of = |figure: fn(&Measured) -> Option<f64>| number(measured.and_then(figure));
        let settings = measured.map_or_else(String::new, |m| {
            let all: Vec<String> = m.settings.iter().map(|s| format!("{}={}", s.name, s.value)).collect();
            all.join(" ")
        });
        let status = match &row.outcome {
            Outcome::Ok(_) => "ok",
            Outcome::NoEvidence { .. } => "no evidence",
            Outcome::Skipped { .. } => "skipped",
        };
        let profile = format!("{:?}", row.profile);
        let mut line: Vec<Cell> = [
            row.run.as_str(),
            &row.thief,
            words::against(row.against),
            words::signal(row.signal),
            &profile,
            &row.student,
            if row.in_verdict { "yes" } else { "no" },
            status,
            &settings,
        ]
        .map(Cell::text)
        .into();
        line.extend(
            [row.budget as f64, row.queries as f64, row.share, row.seed as f64].map(|v| Cell::number(v, 6)),
        );
        line.extend([
            of(|m| m.validation.map(|v| v.score)),
            of(|m| Some(m.accuracy)),
            of(|m| m.agreement_clean),
            of(|m| m.agreement_served),
            of(|m| m.kl),
            of(|m| Some(m.seconds)),
        ]);
        line
    };
    let columns = names.map(Column::text).into_iter().chain(numbers.map(|name| Column::number(name, "")));
    Table { columns: columns.collect(), rows: report.rows.iter().map(row).collect(), ..Table::default() }
}
