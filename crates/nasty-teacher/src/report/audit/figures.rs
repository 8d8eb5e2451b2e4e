//! The figures of an audit.

use super::super::{Axis, BarGroup, BarPlot, Figure, LinePlot, Plot, Series};
use crate::audit::report::{Against, Signal};
use crate::audit::{Cell, Report, Verdict, cells};

/// Places in the palette: of the victim, of its undefended form, of floors.
const VICTIM: usize = 1;
const UNDEFENDED: usize = 0;
const FLOOR: usize = 7;
const ITSELF: usize = 2;
/// Places of the thieves' curves.
const THIEVES: [usize; 6] = [1, 0, 3, 4, 5, 6];

/// The cells with the student and the share of the worst case; of all if there is none.
fn shown<'c, 'a>(all: &'c [Cell<'a>], verdict: &Verdict) -> Vec<&'c Cell<'a>> {
    let fits = |cell: &&Cell<'a>| {
        let row = cell.first();
        verdict
            .worst_case
            .as_ref()
            .is_none_or(|worst| row.student == worst.student && row.share == worst.share)
    };
    all.iter().filter(|cell| cell.measured().next().is_some()).filter(fits).collect()
}

/// A mark with its interval for each thief with the budget of the worst case, the floors and the victim; none if there is no
/// clone.
pub(super) fn thieves(report: &Report, verdict: &Verdict) -> Option<Figure> {
    let worst = verdict.worst_case.as_ref()?;
    let all = cells(report);
    let fits =
        |budget: u64, signal: Signal| budget == worst.budget || (signal == Signal::Nothing && budget == 0);
    let mut cells: Vec<&Cell<'_>> = shown(&all, verdict)
        .into_iter()
        .filter(|cell| fits(cell.first().budget, cell.first().signal))
        .collect();
    let mean = |cell: &Cell<'_>| cell.mean().unwrap_or(0.0);
    // Each thief where its clone of the victim stands, with the clone of the undefended victim beside it.
    let place = |cell: &Cell<'_>| {
        let twin = cells
            .iter()
            .find(|other| other.first().against == Against::Victim && other.same_thief(cell.first()));
        twin.map_or(mean(cell), |twin| mean(twin))
    };
    let mut order: Vec<(f64, &Cell<'_>)> = cells.iter().map(|cell| (place(cell), *cell)).collect();
    order.sort_by(|(a, x), (b, y)| {
        b.total_cmp(a)
            .then(x.first().thief.cmp(&y.first().thief))
            .then(x.first().against.cmp(&y.first().against))
    });
    cells = order.into_iter().map(|(_, cell)| cell).collect();
    // A thief that was tried with several kinds of images has a place for each.
    let asking = || cells.iter().filter(|cell| cell.first().against != Against::Nobody);
    let profiles = asking().any(|a| asking().any(|b| a.first().profile != b.first().profile));
    let groups = [
        ("the victim itself", None, ITSELF),
        ("clone of the victim", Some(Against::Victim), VICTIM),
        ("clone of the victim without defences", Some(Against::Undefended), UNDEFENDED),
        ("without any query", Some(Against::Nobody), FLOOR),
    ];
    let mut categories = vec!["the victim".to_owned()];
    categories.extend(cells.iter().map(|cell| {
        let row = cell.first();
        let extra = if row.in_verdict { "" } else { " (extra)" };
        let profile = if profiles && row.against != Against::Nobody {
            format!(" {:?}", row.profile)
        } else {
            String::new()
        };
        let clean = if row.against == Against::Undefended { ", undefended" } else { "" };
        format!("{}{profile}{extra}{clean}", row.thief)
    }));
    let group = |(name, against, color): (&str, Option<Against>, usize)| {
        let mut values = vec![if against.is_none() { 100.0 * report.victim.accuracy } else { f64::NAN }];
        let mut spread = vec![0.0];
        for cell in &cells {
            let estimate = cell.estimate(report.protocol.test_images);
            let estimate = estimate.filter(|_| Some(cell.first().against) == against);
            values.push(estimate.map_or(f64::NAN, |e| 100.0 * e.mean));
            let half = estimate.map_or(0.0, |e| (e.interval.high - e.mean).max(e.mean - e.interval.low));
            spread.push(100.0 * half);
        }
        BarGroup { name: name.to_owned(), values, spread, color: Some(color) }
    };
    let groups = groups.map(group).into_iter().filter(|group| group.values.iter().any(|v| v.is_finite()));
    Some(Figure {
        title: "Every thief's clone".to_owned(),
        caption: format!(
            "Accuracy on the test images with 95 % intervals, at a budget of {}.",
            super::words::queries(worst.budget)
        ),
        plot: Plot::Bars(BarPlot {
            categories,
            groups: groups.collect(),
            axis: Axis::new("accuracy (%)"),
            decimals: 1,
            single: true,
            marks: true,
            ..BarPlot::default()
        }),
        name: "clones".to_owned(),
    })
}

/// Accuracy against queries for every thief, with the victim and the floors as lines; none without a clone.
pub(super) fn queries(report: &Report, verdict: &Verdict) -> Option<Figure> {
    verdict.worst_case.as_ref()?;
    let all = cells(report);
    let cells = shown(&all, verdict);
    let asked = |cell: &&&Cell<'_>| cell.first().against == Against::Victim;
    let budgets = || cells.iter().filter(asked).map(|cell| cell.first().budget as f64);
    let (low, high) = budgets().fold((f64::INFINITY, 0.0f64), |(low, high), b| (low.min(b), high.max(b)));
    let (low, high) = if low < high { (low, high) } else { (low / 2.0, high * 2.0) };
    let flat = |name: String, accuracy: f64, color: usize| Series {
        name,
        points: vec![(low, 100.0 * accuracy), (high, 100.0 * accuracy)],
        dashed: true,
        color: Some(color),
        ..Series::default()
    };
    let mut series = vec![flat("the victim".to_owned(), report.victim.accuracy, ITSELF)];
    // Floors: of a fixed number of labelled images, or of as many as are asked about.
    for cell in cells.iter().filter(|cell| cell.first().signal == Signal::Nothing && cell.first().budget == 0)
    {
        series.push(flat(format!("{} (no query)", cell.first().thief), cell.mean()?, FLOOR));
    }
    let rungs = |against: Against| {
        cells.iter().filter(move |cell| cell.first().against == against && cell.first().budget > 0)
    };
    for against in [Against::Nobody, Against::Victim] {
        let mut names: Vec<(&str, bool)> = Vec::new();
        for cell in rungs(against) {
            let name = (cell.first().thief.as_str(), cell.first().in_verdict);
            if !names.contains(&name) {
                names.push(name);
            }
        }
        for (number, (thief, in_verdict)) in names.into_iter().enumerate() {
            let own =
                |cell: &&&Cell<'_>| cell.first().thief == thief && cell.first().in_verdict == in_verdict;
            let mut points: Vec<(f64, crate::audit::Estimate)> = rungs(against)
                .filter(own)
                .filter_map(|cell| {
                    Some((cell.first().budget as f64, cell.estimate(report.protocol.test_images)?))
                })
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0).then(b.1.mean.total_cmp(&a.1.mean)));
            // A thief with several profiles has its best one here.
            points.dedup_by_key(|point| point.0);
            let asks = against == Against::Victim;
            let mut name = thief.to_owned();
            name += if asks { "" } else { " (true labels, no query)" };
            name += if in_verdict { "" } else { " (extra)" };
            let bounds = |(budget, e): &(f64, crate::audit::Estimate)| {
                (*budget, 100.0 * e.interval.low, 100.0 * e.interval.high)
            };
            series.push(Series {
                name,
                points: points.iter().map(|(budget, e)| (*budget, 100.0 * e.mean)).collect(),
                dashed: !in_verdict || !asks,
                band: if asks { points.iter().map(bounds).collect() } else { Vec::new() },
                color: Some(if asks { THIEVES[number % THIEVES.len()] } else { FLOOR }),
            });
        }
    }
    Some(Figure {
        title: "Clone accuracy against queries".to_owned(),
        caption: "Bands: 95 % intervals. Dashed: the victim, what needs no query, and extras.".to_owned(),
        plot: Plot::Lines(LinePlot {
            x: Axis { at: budgets().collect(), ..Axis::log("images asked about") },
            y: Axis::new("accuracy (%)"),
            series,
            ..LinePlot::default()
        }),
        name: "queries".to_owned(),
    })
}
