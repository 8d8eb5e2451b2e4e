//! The quickstart's page and table.

use super::{
    Axis, Block, Cell, Column, Figure, LinePlot, Mark, Page, Pixels, Plot, Response, Section, Series, Table,
    Tone,
};
use crate::data::DataSet;
use crate::lab::quickstart::{Finished, Role, Teacher};
use crate::training::{Loss, Objective};

/// Test images shown with the teachers' responses.
pub const SHOWN: usize = 6;

/// The table: accuracy of every network, and what a student lost against the one that learned alone.
pub fn table(finished: &[Finished]) -> Table {
    let alone = accuracy(finished, |f| f.member.role == Role::Student && f.member.teacher.is_none());
    let normal = accuracy(finished, |f| is_teacher(f, Teacher::Normal));
    let rows = finished.iter().map(|f| {
        let test = &f.result.test;
        let percent = 100.0 * test.accuracy;
        let baseline = if f.member.role == Role::Teacher { normal } else { alone };
        let difference = baseline.map(|b| percent - b).filter(|_| !is_baseline(f));
        vec![
            Cell::text(f.member.recipe.architecture.to_string()),
            Cell::text(role(f)),
            Cell::text(learned(f)),
            f.member.recipe.objective.temperature().map_or(Cell::Empty, |t| Cell::number(t, 0)),
            Cell::number(percent, 2),
            difference.map_or(Cell::Empty, |d| Cell::difference(d, 2)),
            Cell::number(f.result.seconds, 1),
        ]
    });
    let damaged = finished.iter().position(|f| {
        f.member.teacher == Some(Teacher::Nasty)
            && f.member.recipe.objective.temperature() == Some(crate::lab::quickstart::TEMPERATURE)
    });
    Table {
        title: "Accuracy on the test images".into(),
        columns: vec![
            Column::text("network"),
            Column::text("role"),
            Column::text("learns from"),
            Column::number("τ", ""),
            Column::number("accuracy", "%"),
            Column::number("difference", "points"),
            Column::number("training", "s"),
        ],
        rows: rows.collect(),
        note: Some(
            "Difference: of the nasty teacher to the normal one, of a student to the same network trained alone. \
             One seed; see the README for three."
                .into(),
        ),
        marks: damaged.map(|row| Mark { row, column: None, tone: Tone::Bad }).into_iter().collect(),
    }
}

/// The page. `responses` are the class probabilities of the normal and the nasty teacher, at the temperature of
/// undermining, of the first [`SHOWN`] test images.
pub fn page(finished: &[Finished], data: &DataSet, responses: [&[f32]; 2], command: &str) -> Page {
    let machine = finished.first().map(|f| &f.result.machine);
    let machine = machine.map_or_else(String::new, |m| {
        format!("nasty {} on {}, {} threads, device {}", m.version, m.system, m.threads, m.device)
    });
    Page {
        title: "An undistillable classifier, in minutes".into(),
        subtitle: format!("{} training and {} test images of Fashion-MNIST\n{machine}", data.train.len(), data.test.len()),
        sections: vec![
            results(finished),
            Section {
                id: "logit-responses".into(),
                title: "What the teachers answer".into(),
                blocks: vec![Block::Figure(Figure {
                    title: "Class probabilities of the two teachers".into(),
                    caption: format!(
                        "Softmax at τ = {} of the logits for the first test images. The normal teacher's runner-up classes say \
                         which classes are alike, which is what a student learns from; the nasty teacher's peaks mislead.",
                        crate::lab::quickstart::TEMPERATURE
                    ),
                    plot: Plot::Responses(shown(data, responses)),
                })],
            },
            Section {
                id: "learning-curves".into(),
                title: "Learning curves".into(),
                blocks: vec![Block::Figure(Figure {
                    title: "Accuracy on held-out training images".into(),
                    caption: "These images choose the epoch whose weights are kept; the test images are not looked at.".into(),
                    plot: Plot::Lines(curves(finished)),
                })],
            },
            Section {
                id: "again".into(),
                title: "Run it again".into(),
                blocks: vec![
                    Block::Command(command.to_owned()),
                    Block::Facts(
                        finished.iter().map(|f| (f.member.name(), format!("recipe {}", f.result.recipe))).collect(),
                    ),
                ],
            },
        ],
    }
}

fn results(finished: &[Finished]) -> Section {
    let nastiness = finished.iter().find_map(|f| f.result.nastiness.as_ref().map(|n| (f, n)));
    let verdict =
        nastiness.map_or_else(String::new, |(f, n)| n.explain(&f.result.test, &f.member.recipe.objective));
    Section {
        id: "results".into(),
        title: "What came out".into(),
        blocks: vec![
            Block::Text(
                "A nasty teacher is trained to answer correctly while its answers as a whole stay far from those of a \
                 normally trained network (self-undermining knowledge distillation, Ma et al., ICLR 2021). Here is what \
                 students get who imitate its probabilities."
                    .into(),
            ),
            Block::Table(table(finished)),
            Block::Text(format!("Check after training: {verdict}.")),
            Block::Callout { title: "What this defence does and does not do".into(), text: lesson(finished) },
        ],
    }
}

/// What the figures of this run say about thieves who do not play by the book.
pub fn lesson(finished: &[Finished]) -> String {
    let alone = accuracy(finished, |f| f.member.role == Role::Student && f.member.teacher.is_none());
    let from_nasty = |objective: &str, temperature: Option<f64>| {
        let accuracy = accuracy(finished, |f| {
            f.member.teacher == Some(Teacher::Nasty)
                && f.member.recipe.objective.name() == objective
                && f.member.recipe.objective.temperature() == temperature
        });
        accuracy.zip(alone).map_or_else(|| "?".to_owned(), |(a, alone)| format!("{:+.1} points", a - alone))
    };
    format!(
        "Against a student who learns from true labels alone, imitating the nasty teacher at the temperature it was made for \
         changes accuracy by {}. A thief who lowers the temperature to {} gets {}; one who uses only the predicted classes gets \
         {}: the defence is in the probabilities, and whoever does not use them does not meet it.",
        from_nasty("distillation", Some(crate::lab::quickstart::TEMPERATURE)),
        crate::lab::quickstart::LOWER,
        from_nasty("distillation", Some(crate::lab::quickstart::LOWER)),
        from_nasty("hard-label", None),
    )
}

fn accuracy(finished: &[Finished], which: impl Fn(&Finished) -> bool) -> Option<f64> {
    finished.iter().find(|f| which(f)).map(|f| 100.0 * f.result.test.accuracy)
}

fn is_teacher(f: &Finished, which: Teacher) -> bool {
    let nasty = matches!(f.member.recipe.objective, Objective::SelfUndermining(_));
    f.member.role == Role::Teacher && nasty == (which == Teacher::Nasty)
}

fn is_baseline(f: &Finished) -> bool {
    matches!(f.member.recipe.objective, Objective::CrossEntropy(_))
}

fn role(f: &Finished) -> &'static str {
    match f.member.role {
        Role::Student => "student",
        Role::Teacher if is_teacher(f, Teacher::Nasty) => "nasty teacher",
        Role::Teacher => "normal teacher",
    }
}

fn learned(f: &Finished) -> String {
    let teacher = f.member.teacher.map_or("", Teacher::name);
    match f.member.recipe.objective {
        Objective::CrossEntropy(_) => "labels".into(),
        Objective::SelfUndermining(_) => "labels, against the normal teacher".into(),
        Objective::Distillation(_) => format!("{teacher} teacher's probabilities, labels"),
        Objective::HardLabel(_) => format!("{teacher} teacher's predicted classes"),
    }
}

fn curves(finished: &[Finished]) -> LinePlot {
    let series = |f: &Finished| Series {
        name: f.member.name(),
        points: f
            .rows
            .iter()
            .filter_map(|row| Some((row.epoch as f64 + 1.0, 100.0 * row.selection.as_ref()?.accuracy)))
            .collect(),
        dashed: f.member.role == Role::Teacher,
        band: Vec::new(),
    };
    LinePlot {
        x: Axis::new("epoch"),
        y: Axis::new("held-out accuracy (%)"),
        series: finished.iter().map(series).collect(),
    }
}

fn shown(data: &DataSet, responses: [&[f32]; 2]) -> Vec<Response> {
    let images = &data.test;
    let classes = data.classes.len();
    let row = |all: &[f32], i: usize| all[i * classes..][..classes].to_vec();
    let response = |i: usize| Response {
        image: Pixels {
            width: images.width,
            height: images.height,
            channels: images.channels,
            data: images.image(i).to_vec(),
        },
        label: data.classes[usize::from(images.labels[i])].clone(),
        panels: vec![
            ("normal teacher".into(), row(responses[0], i)),
            ("nasty teacher".into(), row(responses[1], i)),
        ],
        classes: data.classes.clone(),
    };
    (0..SHOWN.min(images.len())).map(response).collect()
}
