//! The figures of an experiment, in the paper's form.

use super::summary::{Axis, Summary, places};
use super::tables::{layer_name, source_name};
use crate::lab::experiment::{Place, Role, Side, Source};
use crate::lab::{Findings, Outcome, Picture};
use crate::report::{
    Axis as PlotAxis, BarGroup, BarPlot, Figure, ImageGrid, ImagePanel, LinePlot, Pixels, Plot, Response,
    ScatterPanel, ScatterPlot, Series,
};

/// Curves in one figure, at most: more cannot be told apart.
const CURVES: usize = 12;

/// Accuracies of students by source: over the numbers of a sweep, or as bars.
pub(super) fn students(findings: &Findings) -> Option<Figure> {
    let sources = &findings.record.settings.student.as_ref()?.from;
    let rows = places(findings, |role| matches!(role, Role::Student(_)));
    let varying = Axis::varying(&rows);
    let numeric: Vec<Axis> = varying.iter().copied().filter(|axis| axis.number(&rows[0]).is_some()).collect();
    match numeric[..] {
        [sweep] => Some(sweep_figure(findings, &rows, sweep, sources)),
        _ => Some(bars(findings, &rows, &varying, sources)),
    }
}

fn bars(findings: &Findings, rows: &[Place], varying: &[Axis], sources: &[Source]) -> Figure {
    let names: Vec<Axis> =
        varying.iter().copied().filter(|a| *a != Axis::Student).chain([Axis::Student]).collect();
    let category = |place: &Place| names.iter().map(|a| a.text(place)).collect::<Vec<_>>().join(" · ");
    let group = |&source: &Source| {
        let cells: Vec<Summary> =
            rows.iter().map(|place| Summary::of(findings, Role::Student(source), place)).collect();
        let spread = cells.iter().map(|c| c.spread.unwrap_or(0.0)).collect();
        BarGroup {
            name: source_name(source).into(),
            values: cells.iter().map(|c| c.mean.unwrap_or(f64::NAN)).collect(),
            spread: if cells.iter().any(|c| c.spread.is_some()) { spread } else { Vec::new() },
        }
    };
    Figure {
        title: "What students get".into(),
        caption: format!(
            "Test accuracy by what the student learned from. Rows: {}.",
            names.iter().map(|a| a.heading()).collect::<Vec<_>>().join(" · ")
        ),
        plot: Plot::Bars(BarPlot {
            categories: rows.iter().map(category).collect(),
            groups: sources.iter().map(group).collect(),
            axis: PlotAxis::new("test accuracy (%)"),
            decimals: 1,
        }),
    }
}

fn sweep_figure(findings: &Findings, rows: &[Place], sweep: Axis, sources: &[Source]) -> Figure {
    let mut series = Vec::new();
    if matches!(sweep, Axis::Omega | Axis::TeacherTemperature) {
        let teachers = places(findings, |role| role == Role::NastyTeacher);
        let teachers: Vec<&Place> = teachers.iter().collect();
        series.push(curve(findings, Role::NastyTeacher, "nasty teacher".into(), &teachers, sweep, false));
    }
    let mut students: Vec<String> = Vec::new();
    for name in rows.iter().filter_map(|place| place.student.clone()) {
        if !students.contains(&name) {
            students.push(name);
        }
    }
    for student in &students {
        let of: Vec<&Place> = rows.iter().filter(|place| place.student.as_ref() == Some(student)).collect();
        for &source in sources {
            let name = format!("{student} {}", source_name(source));
            series.push(curve(findings, Role::Student(source), name, &of, sweep, source == Source::Alone));
        }
    }
    let left_out = series.len().saturating_sub(CURVES);
    series.truncate(CURVES);
    let mut caption = format!("Test accuracy over {}", sweep.heading());
    caption += if findings.record.settings.seeds.len() > 1 {
        "; bands: ± standard deviation over seeds."
    } else {
        "."
    };
    if left_out > 0 {
        caption += &format!(" {left_out} more curves are in the table only.");
    }
    Figure {
        title: format!("Accuracy over {}", sweep.heading()),
        caption,
        plot: Plot::Lines(LinePlot {
            x: PlotAxis::new(sweep.heading()),
            y: PlotAxis::new("test accuracy (%)"),
            series,
        }),
    }
}

fn curve(
    findings: &Findings,
    role: Role,
    name: String,
    rows: &[&Place],
    sweep: Axis,
    dashed: bool,
) -> Series {
    let mut cells: Vec<(f64, Summary)> = Vec::new();
    for place in rows {
        if let Some(x) = sweep.number(place) {
            cells.push((x, Summary::of(findings, role, place)));
        }
    }
    cells.sort_by(|a, b| a.0.total_cmp(&b.0));
    let points = cells.iter().map(|(x, c)| (*x, c.mean.unwrap_or(f64::NAN))).collect();
    let band = |(x, c): &(f64, Summary)| Some((*x, c.mean? - c.spread?, c.mean? + c.spread?));
    Series { name, points, dashed, band: cells.iter().filter_map(band).collect() }
}

/// Learning curves of the first seed: of the teachers, and of the students.
pub(super) fn learning_curves(findings: &Findings) -> Vec<Figure> {
    let record = &findings.record;
    let first = record.settings.seeds.first().copied();
    let figure = |title: &str, wanted: &dyn Fn(Role) -> bool| {
        let mut series: Vec<Series> = Vec::new();
        let mut seen = Vec::new();
        let mut held_out = true;
        for entry in record.entries.iter().filter(|e| wanted(e.role) && Some(e.seed) == first) {
            let Some(Outcome::Trained(_, rows)) = findings.outcomes.get(&entry.task) else { continue };
            if seen.contains(&&entry.task) {
                continue;
            }
            seen.push(&entry.task);
            let point = |row: &crate::training::EpochRow| match &row.selection {
                Some(selection) => (row.epoch as f64 + 1.0, 100.0 * selection.accuracy),
                None => (row.epoch as f64 + 1.0, 100.0 * row.train_accuracy),
            };
            held_out &= rows.iter().all(|row| row.selection.is_some());
            let name = record.tasks.get(&entry.task).cloned().unwrap_or_default();
            let dashed = entry.role == Role::Student(Source::Alone);
            series.push(Series { name, points: rows.iter().map(point).collect(), dashed, band: Vec::new() });
        }
        let left_out = series.len().saturating_sub(CURVES);
        series.truncate(CURVES);
        let what = if held_out { "on the images that choose the epoch" } else { "on training images" };
        let mut caption = format!("Accuracy {what}, seed {}.", first.unwrap_or(0));
        if left_out > 0 {
            caption += &format!(
                " {left_out} more runs have theirs in metrics.jsonl of their folders, and for TensorBoard."
            );
        }
        let plot = LinePlot { x: PlotAxis::new("epoch"), y: PlotAxis::new("accuracy (%)"), series };
        (!plot.series.is_empty()).then(|| Figure { title: title.into(), caption, plot: Plot::Lines(plot) })
    };
    let teacher = |role: Role| matches!(role, Role::NormalTeacher | Role::NastyTeacher | Role::Adversary);
    let student = |role: Role| matches!(role, Role::Student(_) | Role::DataFree(_));
    [figure("Learning curves of the teachers", &teacher), figure("Learning curves of the students", &student)]
        .into_iter()
        .flatten()
        .collect()
}

/// The entries of the first seed that has a finished one of `pick`.
fn first_seed<'a, T>(
    findings: &'a Findings,
    pick: impl Fn(Role, &'a Outcome) -> Option<T>,
) -> Vec<(&'a Place, T)> {
    let mut found = Vec::new();
    let mut seed = None;
    for entry in &findings.record.entries {
        let picked = findings.outcomes.get(&entry.task).and_then(|outcome| pick(entry.role, outcome));
        if let Some(picked) = picked
            && *seed.get_or_insert(entry.seed) == entry.seed
        {
            found.push((&entry.place, picked));
        }
    }
    found
}

/// t-SNE maps of features and logits.
pub(super) fn embeddings(findings: &Findings) -> Option<Figure> {
    let mut maps = first_seed(findings, |role, outcome| match (role, outcome) {
        (Role::Embedding(side, layer), Outcome::Mapped(result)) => Some((side, layer, result)),
        _ => None,
    });
    maps.sort_by_key(|(_, (side, layer, _))| (layer_name(*layer), *side == Side::Nasty));
    let classes = maps.first()?.1.2.classes.clone();
    let panel = |(place, (side, layer, result)): &(&Place, (Side, _, &Box<crate::lab::EmbeddingResult>))| {
        ScatterPanel {
            title: format!("{} {}, {}", side.name(), place.teacher, layer_name(*layer)),
            points: result
                .map
                .points
                .iter()
                .zip(&result.map.labels)
                .map(|(p, &l)| (p[0], p[1], usize::from(l)))
                .collect(),
            ..ScatterPanel::default()
        }
    };
    Some(Figure {
        title: "t-SNE of features and of logits".into(),
        caption: "Test images, coloured by their true class. Distances between clusters mean nothing in such maps; whether a \
                  class stays together does."
            .into(),
        plot: Plot::Scatter(ScatterPlot { classes, panels: maps.iter().map(panel).collect() }),
    })
}

/// Test images beside the class probabilities that the teachers give them.
pub(super) fn responses(findings: &Findings) -> Option<Figure> {
    let answered = first_seed(findings, |_, outcome| match outcome {
        Outcome::Answered(result, images) => Some((result, images)),
        _ => None,
    });
    let (_, (result, images)) = answered.first()?;
    let response = |(response, picture): (&crate::analysis::responses::Response, &Picture)| Response {
        image: pixels(picture, result.size),
        label: result.classes.get(usize::from(response.label)).cloned().unwrap_or_default(),
        panels: Side::BOTH
            .iter()
            .zip(&response.probabilities)
            .map(|(side, p)| (format!("{} teacher", side.name()), p.iter().map(|&p| p as f32).collect()))
            .collect(),
        classes: result.classes.clone(),
    };
    Some(Figure {
        title: "What the teachers answer".into(),
        caption: format!("Softmax at τ = {} of the logits for test images.", result.temperature),
        plot: Plot::Responses(result.responses.iter().zip(images.iter()).map(response).collect()),
    })
}

/// Images pulled out of the teachers, side by side.
pub(super) fn inversions(findings: &Findings) -> Option<Figure> {
    let inverted = first_seed(findings, |role, outcome| match (role, outcome) {
        (Role::Inversion(side), Outcome::Inverted(result, images)) => Some((side, result, images)),
        _ => None,
    });
    let columns = inverted.first()?.1.1.classes.len().min(10);
    let panel = |(place, (side, result, images)): &(
        &Place,
        (Side, &Box<crate::lab::InversionResult>, &Vec<Picture>),
    )| ImagePanel {
        title: format!("{} {}", side.name(), place.teacher),
        columns,
        images: images.iter().take(10 * columns).map(|picture| pixels(picture, result.size)).collect(),
    };
    Some(Figure {
        title: "Images pulled out of the teachers".into(),
        caption: format!("Image by image the classes in their order, {columns} a row."),
        plot: Plot::Images(ImageGrid { panels: inverted.iter().map(panel).collect() }),
    })
}

fn pixels((channels, data): &Picture, [height, width]: [usize; 2]) -> Pixels {
    Pixels { width, height, channels: *channels, data: data.clone() }
}
