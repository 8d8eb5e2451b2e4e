//! Audits side by side, as a page and tables.

use super::super::number::fixed;
use super::super::{
    Axis, Block, Cell, Column, Figure, LinePlot, Mark, Page, Plot, ReportError, Section, Series, Table, Tone,
};
use super::{Written, file, words, write_tables};
use crate::audit::{Compared, Comparison};
use std::path::Path;

/// Writes `index.html`, `comparison.json`, `comparison.md`, `figures/` and `tables/` of a comparison to `folder`, which is
/// made if absent.
///
/// # Errors
/// [`ReportError`] if something cannot be written or drawn.
pub fn write_comparison(comparison: &Comparison, folder: &Path) -> Result<Written, ReportError> {
    let page = page(comparison);
    let written = page.write(folder)?;
    let json = serde_json::to_string_pretty(comparison).expect("a comparison is plain data") + "\n";
    file(folder.join("comparison.json"), &json)?;
    file(folder.join("comparison.md"), &page.to_markdown())?;
    let (users, thieves) = (users(comparison), thieves(comparison));
    let mut text = users.to_text() + "\n" + &thieves.to_text();
    for sentence in sentences(comparison)
        .into_iter()
        .chain(comparison.differences.iter().map(|d| format!("Not the same: {d}")))
    {
        text += &format!("\n{sentence}");
    }
    write_tables(&folder.join("tables"), &[("users", users), ("thieves", thieves)])?;
    Ok(Written { page: written, text })
}

fn page(comparison: &Comparison) -> Page {
    let mut sentences = sentences(comparison).into_iter();
    let mut blocks: Vec<Block> = sentences.next().map(Block::Finding).into_iter().collect();
    blocks.extend(sentences.map(Block::Text));
    if !comparison.differences.is_empty() {
        blocks.push(Block::Callout {
            title: "These audits were not made in the same way".to_owned(),
            text: comparison.differences.join("\n"),
        });
    }
    blocks.extend([users(comparison), thieves(comparison)].map(Block::Table));
    let by_accuracy = figure(
        comparison,
        "accuracy",
        "accuracy that honest users lose (points)",
        |e| Some(100.0 * e.accuracy_cost),
        |e| e.front_accuracy,
    );
    let by_l1 = figure(comparison, "l1", "mean change of the probabilities (ℓ1)", |e| e.l1, |e| e.front_l1);
    blocks.extend([by_accuracy, by_l1].into_iter().flatten().map(Block::Figure));
    Page {
        title: "Victims and defences side by side".to_owned(),
        subtitle: comparison.entries.iter().map(|e| e.name.as_str()).collect::<Vec<_>>().join("\n"),
        sections: vec![Section { id: "comparison".into(), title: "Comparison".into(), blocks }],
    }
}

/// What the comparison shows: at each level of cost the victim with the least accurate worst-case clone.
fn sentences(comparison: &Comparison) -> Vec<String> {
    let mut sentences = Vec::new();
    let measured = || comparison.entries.iter().filter_map(|e| Some((e, e.clone?)));
    if measured().next().is_none() {
        sentences.push("Nothing was measured in any of these audits.".to_owned());
    }
    let mut levels: Vec<Option<f64>> = measured().map(|(e, _)| e.level).collect();
    levels.dedup();
    for level in levels {
        let mut at_level = measured().filter(|(e, _)| e.level == level);
        let Some((best, clone)) = at_level.next() else { continue };
        let at_level: Vec<_> = at_level.collect();
        let cost = level_words(level);
        let mut text = format!(
            "{}: the worst-case clone of {} is right on {} (interval {} to {} %)",
            first_upper(&cost),
            best.name,
            words::percent(clone.mean),
            fixed(100.0 * clone.interval.low, 1, false),
            fixed(100.0 * clone.interval.high, 1, false)
        );
        let equal = |(_, other): &(&Compared, crate::audit::Estimate)| other.mean == clone.mean;
        text += match (at_level.len(), at_level.iter().filter(|other| equal(other)).count()) {
            (0, _) => "; nothing else costs as much.",
            (_, 0) => ", the least of those that cost as much.",
            _ => "; others that cost as much are equal.",
        };
        if !best.reliable {
            text += " Its audit is not reliable.";
        }
        sentences.push(text);
    }
    sentences
}

fn level_words(level: Option<f64>) -> String {
    match level {
        Some(level) => format!("at a cost of at most {} of accuracy", words::points(level)),
        None => "at a higher cost".to_owned(),
    }
}

fn first_upper(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

fn users(comparison: &Comparison) -> Table {
    let row = |entry: &Compared| {
        let none = Some(entry.defences.as_str()).filter(|d| !d.is_empty()).unwrap_or("none");
        vec![
            Cell::text(&entry.name),
            Cell::text(none),
            Cell::number(100.0 * entry.accuracy, 2),
            Cell::number(100.0 * entry.accuracy_cost, 2),
            entry.l1.map_or(Cell::Empty, |l1| Cell::number(l1, 3)),
            entry.nll.map_or(Cell::Empty, |nll| Cell::number(nll, 3)),
        ]
    };
    Table {
        title: "What defences cost honest users".to_owned(),
        columns: vec![
            Column::text("audit"),
            Column::text("defences"),
            Column::number("accuracy", "%"),
            Column::number("accuracy lost", "points"),
            Column::number("ℓ1", ""),
            Column::number("NLL", ""),
        ],
        rows: comparison.entries.iter().map(row).collect(),
        note: Some(
            "Accuracy lost: against the most accurate victim of this table without its defences. ℓ1: mean change of the probabilities by the \
             defences. NLL: mean cross entropy of what is served."
                .to_owned(),
        ),
        label: "tab:comparison-users".to_owned(),
        ..Table::default()
    }
}

fn thieves(comparison: &Comparison) -> Table {
    let mut table = Table {
        title: "What thieves get".to_owned(),
        columns: vec![
            Column::text("audit"),
            Column::number("worst-case clone", "%"),
            Column::text("95 % interval"),
            Column::number("taken from it", "points"),
            Column::text("best thief"),
            Column::number("predicted classes", "%"),
            Column::text("reliable"),
        ],
        note: Some(
            "Taken from it: the worst-case clone of the same victim without its defences less this one; a difference smaller than what stands \
             after ± cannot be told from none. Predicted classes: the best clone that uses nothing else. Marked: the least accurate worst-case \
             clone at a cost of at most 0.5, 1 and 2 points and above. Intervals that overlap do not tell two victims apart."
                .to_owned(),
        ),
        label: "tab:comparison-thieves".to_owned(),
        ..Table::default()
    };
    let mut last = None;
    for entry in &comparison.entries {
        if entry.clone.is_some() && last != Some(entry.level) {
            last = Some(entry.level);
            table.marks.push(Mark { row: table.rows.len(), column: Some(1), tone: Tone::Good });
        }
        let interval = entry.clone.map(|clone| {
            let end = |value: f64| fixed(100.0 * value, 1, false);
            format!("{} to {}", end(clone.interval.low), end(clone.interval.high))
        });
        table.rows.push(vec![
            Cell::text(&entry.name),
            entry.clone.map_or(Cell::text("not measured"), |clone| Cell::number(100.0 * clone.mean, 2)),
            interval.map_or(Cell::Empty, Cell::text),
            entry.removed.map_or(Cell::Empty, |(mean, noise)| Cell::spread(100.0 * mean, 100.0 * noise, 1)),
            entry.thief.as_ref().map_or(Cell::Empty, Cell::text),
            entry.hard.map_or(Cell::Empty, |hard| Cell::number(100.0 * hard, 2)),
            Cell::text(if entry.reliable { "yes" } else { "no" }),
        ]);
    }
    table
}

/// Cost against worst-case clone with the Pareto front; none where fewer than two victims have both.
fn figure(
    comparison: &Comparison,
    name: &str,
    label: &str,
    cost: impl Fn(&Compared) -> Option<f64>,
    on_front: impl Fn(&Compared) -> bool,
) -> Option<Figure> {
    let placed: Vec<(&Compared, (f64, f64))> =
        comparison.entries.iter().filter_map(|e| Some((e, (cost(e)?, 100.0 * e.clone?.mean)))).collect();
    if placed.len() < 2 {
        return None;
    }
    let mut front: Vec<(f64, f64)> =
        placed.iter().filter(|(e, _)| on_front(e)).map(|(_, place)| *place).collect();
    front.sort_by(|a, b| a.0.total_cmp(&b.0));
    // From one victim of the front to the next nothing is gained before the next one's cost is paid.
    let steps: Vec<(f64, f64)> = front
        .iter()
        .enumerate()
        .flat_map(|(i, place)| {
            let corner = i.checked_sub(1).map(|before| (place.0, front[before].1));
            corner.into_iter().chain([*place])
        })
        .collect();
    // Below the victims that it leads through.
    let mut series = vec![Series {
        name: "front".to_owned(),
        points: steps,
        dashed: true,
        color: Some(7),
        ..Series::default()
    }];
    series.extend(placed.iter().enumerate().map(|(i, (entry, place))| Series {
        name: entry.name.clone(),
        points: vec![*place],
        color: Some(i),
        ..Series::default()
    }));
    Some(Figure {
        title: format!(
            "Worst-case clone against {}",
            if name == "l1" { "change of the probabilities" } else { "lost accuracy" }
        ),
        caption: "Left and low is better for the owner. Dashed: what nothing else beats in both.".to_owned(),
        plot: Plot::Lines(LinePlot {
            x: Axis::new(label),
            y: Axis::new("accuracy of the worst-case clone (%)"),
            series,
            ..LinePlot::default()
        }),
        name: format!("comparison-{name}"),
    })
}
