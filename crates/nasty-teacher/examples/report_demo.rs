//! Every kind of block and plot on one page, from made-up numbers: `cargo run --release --example report_demo FOLDER`.
//!
//! Writes `FOLDER/index.html` and a TensorBoard event file in `FOLDER/events`. The numbers show nothing but the page.

use std::error::Error;
use std::f64::consts::TAU;
use std::path::PathBuf;

use nasty_teacher::report::{
    Axis, BarGroup, BarPlot, Block, Cell, Column, Figure, ImageGrid, ImagePanel, LinePlot, Mark, Page,
    Pixels, Plot, Response, ScatterPanel, ScatterPlot, Section, Series, Table, Tone,
};
use nasty_teacher::tensorboard::EventWriter;

#[allow(dead_code, clippy::print_stdout, reason = "a program here, a module in the browser test")]
fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::args_os().nth(1).ok_or("usage: report_demo FOLDER")?);
    let path = page().write(&folder)?;
    let mut events = EventWriter::create(&folder.join("events"))?;
    for step in 0..100 {
        let loss = (-(step as f32) / 30.0).exp();
        events.scalars(step, &[("train/loss", 2.3 * loss), ("held-out/accuracy", 0.9 - 0.8 * loss)])?;
    }
    events.flush()?;
    println!("{}", path.display());
    Ok(())
}

/// The page, with one figure of each kind.
pub(crate) fn page() -> Page {
    Page {
        title: "Demonstration of the report page".into(),
        subtitle: "Made-up numbers: nothing here was measured\n2 cores, 24 November 2026".into(),
        sections: vec![
            section("summary", "Summary", vec![
                Block::Finding(
                    "A nasty teacher classifies nearly as well as a normal one, but a student that learns from its \
                     outputs ends up worse than one that learns alone."
                        .into(),
                ),
                Block::Table(table()),
                Block::Callout {
                    title: "What this does not show".into(),
                    text: "A thief who trains on hard labels alone loses nothing.".into(),
                },
                Block::Command("nasty quickstart --out demo --seed 0".into()),
                Block::Facts(
                    [("teacher", "cnn16"), ("student", "cnn4"), ("epochs", "8"), ("τ", "10"), ("ω", "0.025")]
                        .map(|(name, value)| (name.to_owned(), value.to_owned()))
                        .to_vec(),
                ),
            ]),
            section("curves", "Learning curves", vec![
                figure("Accuracy on held-out images", "Lines: mean of three seeds. Shaded: spread.", curves()),
                figure("Distillation loss against the normal teacher", "The axis is logarithmic.", jump()),
            ]),
            section("students", "Students by teacher", vec![figure(
                "Accuracy of the student",
                "Whiskers: standard deviation over three seeds. One student was at chance: a result, not a failure.",
                bars(),
            )]),
            section("responses", "Logit responses", vec![figure(
                "What the teachers say about three images",
                "Class probabilities at temperature 1; the true class is set in bold.",
                Plot::Responses((0..3).map(response).collect()),
            )]),
            section("tsne", "t-SNE", vec![figure("Features of the last layer", "Colour and shape: class.", scatter())]),
            section("inversion", "Inversion", vec![figure("Images recovered from the networks", "", images())]),
        ],
    }
}

fn section(id: &str, title: &str, blocks: Vec<Block>) -> Section {
    Section { id: id.into(), title: title.into(), blocks }
}

fn figure(title: &str, caption: &str, plot: Plot) -> Block {
    let name = title.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    Block::Figure(Figure { title: title.into(), caption: caption.into(), plot, name })
}

fn table() -> Table {
    let row =
        |name: &str, teacher: &str, accuracy: f64, spread: f64, difference: Option<f64>, seconds: f64| {
            vec![
                Cell::text(name),
                Cell::text(teacher),
                Cell::spread(accuracy, spread, 1),
                difference.map_or(Cell::Empty, |difference| Cell::difference(difference, 1)),
                Cell::number(seconds, 0),
            ]
        };
    Table {
        title: "Accuracy on the test images".into(),
        columns: vec![
            Column::text("network"),
            Column::text("learns from"),
            Column::number("accuracy", "%"),
            Column::number("against alone", "points"),
            Column::number("time", "s"),
        ],
        rows: vec![
            row("normal teacher", "labels", 88.7, 0.2, None, 103.0),
            row("nasty teacher", "labels and normal teacher", 88.0, 0.3, None, 148.0),
            row("student", "labels (alone)", 86.2, 0.1, Some(0.0), 21.0),
            row("student", "normal teacher", 85.8, 0.4, Some(-0.4), 24.0),
            row("student", "nasty teacher", 79.2, 1.3, Some(-7.0), 24.0),
            row("student", "nasty teacher, τ = 20", f64::NAN, f64::NAN, Some(f64::NAN), 9.0),
        ],
        note: Some("Mean ± standard deviation over seeds 0, 1, 2. Made-up numbers.".into()),
        marks: vec![
            Mark { row: 4, column: None, tone: Tone::Bad },
            Mark { row: 1, column: Some(2), tone: Tone::Good },
        ],
        label: "tab:demonstration".into(),
    }
}

fn curves() -> Plot {
    let curve = |name: &str, end: f64, pace: f64, dashed: bool| {
        let value = |epoch: f64| end - (end - 35.0) * (-epoch / pace).exp() + 0.7 * (epoch * 2.1 + end).sin();
        let epochs = || (1..=20).map(f64::from);
        Series {
            name: name.into(),
            points: epochs().map(|epoch| (epoch, value(epoch))).collect(),
            dashed,
            band: epochs().map(|epoch| (epoch, value(epoch) - 1.2, value(epoch) + 1.2)).collect(),
            color: None,
        }
    };
    Plot::Lines(LinePlot {
        x: Axis::whole("epoch"),
        y: Axis::new("held-out accuracy (%)"),
        series: vec![
            curve("normal teacher", 88.0, 2.0, false),
            curve("nasty teacher", 86.5, 3.5, false),
            curve("student, alone", 84.0, 3.0, true),
            curve("student, from normal", 83.0, 3.2, true),
            curve("student, from nasty", 74.0, 5.0, true),
        ],
        panels: Vec::new(),
    })
}

fn jump() -> Plot {
    let points = (0..2000).map(f64::from).map(|step| {
        let jump = 60.0 / (1.0 + (-(step - 1200.0) / 60.0).exp());
        (step, if (500.0..560.0).contains(&step) { f64::NAN } else { 0.9 + jump + 0.2 * (step / 3.0).sin() })
    });
    Plot::Lines(LinePlot {
        x: Axis::new("step"),
        y: Axis::log("τ²·KL (nats)"),
        series: vec![Series { name: "nasty teacher".into(), points: points.collect(), ..Series::default() }],
        panels: Vec::new(),
    })
}

fn bars() -> Plot {
    let group = |name: &str, values: [f64; 4], spread: [f64; 4]| BarGroup {
        name: name.into(),
        values: values.to_vec(),
        spread: spread.to_vec(),
        color: None,
    };
    Plot::Bars(BarPlot {
        categories: ["cnn", "preresnet20", "mobilenetv2 (width 1.0)", "resnet18"].map(String::from).to_vec(),
        groups: vec![
            group("alone", [86.2, 92.3, 90.1, 95.0], [0.1, 0.2, 0.3, 0.1]),
            group("from the normal teacher", [85.8, 92.9, 91.0, 95.4], [0.4, 0.1, 0.2, 0.2]),
            group("from the nasty teacher", [79.2, 84.1, 10.0, f64::NAN], [1.3, 2.2, 0.0, f64::NAN]),
        ],
        axis: Axis { range: Some((0.0, 100.0)), ..Axis::new("test accuracy (%)") },
        decimals: 1,
        ..BarPlot::default()
    })
}

const CLASSES: [&str; 10] =
    ["T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"];

/// A soft round shape, different for each `number`.
fn picture(number: usize, side: usize) -> Pixels {
    let data = (0..side * side).map(|index| {
        let (x, y) = ((index % side) as f64 / side as f64 - 0.5, (index / side) as f64 / side as f64 - 0.5);
        let radius = 0.28 + 0.12 * (y.atan2(x) * (2 + number % 5) as f64 + number as f64).sin();
        (255.0 / (1.0 + ((x.hypot(y) - radius) * 40.0).exp())) as u8
    });
    Pixels { width: side, height: side, channels: 1, data: data.collect() }
}

fn response(number: usize) -> Response {
    let class = number * 3 + 1;
    let other = (class + 5) % 10;
    let normal = (0..10).map(|index| if index == class { 0.955 } else { 0.005 });
    let nasty = (0..10).map(|index| match index {
        index if index == class => 0.46,
        index if index == other => 0.33,
        index if index == (class + 2) % 10 => 0.18,
        _ => 0.03 / 7.0,
    });
    Response {
        image: picture(number, 28),
        label: CLASSES[class].into(),
        panels: vec![("normal teacher".into(), normal.collect()), ("nasty teacher".into(), nasty.collect())],
        classes: CLASSES.map(String::from).to_vec(),
    }
}

fn scatter() -> Plot {
    let panel = |title: &str, spread: f64| ScatterPanel {
        title: title.into(),
        points: (0..1500)
            .map(|index| {
                let (class, turn) = (index % 10, index as f64 * 0.618 * TAU);
                let center = class as f64 / 10.0 * TAU;
                let radius = spread * ((index * 7919) % 1500) as f64 / 1500.0;
                (10.0 * center.cos() + radius * turn.cos(), 10.0 * center.sin() + radius * turn.sin(), class)
            })
            .collect(),
        ..ScatterPanel::default()
    };
    Plot::Scatter(ScatterPlot {
        classes: CLASSES.map(String::from).to_vec(),
        panels: vec![panel("normal teacher", 3.0), panel("nasty teacher", 7.0)],
    })
}

fn images() -> Plot {
    let panel = |title: &str, first: usize| ImagePanel {
        title: title.into(),
        columns: 5,
        images: (first..first + 10).map(|number| picture(number, 32)).collect(),
    };
    Plot::Images(ImageGrid { panels: vec![panel("normal teacher", 0), panel("nasty teacher", 11)] })
}
