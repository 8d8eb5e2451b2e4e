//! Reports of made-up results: the numbers show nothing but the report.

use super::*;
use crate::data::DataName;
use crate::lab::experiment::Experiment;
use crate::lab::{Divergence, Failure, Nastiness, Record, RunResult, Task, Verdict, published_facts};
use crate::training::{EpochRow, Evaluation, Objective, Selection};

fn machine() -> Machine {
    Machine { version: "0".into(), system: "made up".into(), threads: 2, device: "none".into() }
}

fn evaluation(accuracy: f64) -> Evaluation {
    Evaluation {
        correct: (accuracy * 1000.0) as usize,
        total: 1000,
        accuracy,
        loss: 1.0,
        calibration_error: 0.1,
        batch_averaged_accuracy: accuracy,
        per_class: vec![(50, 100); 10],
    }
}

/// What a run of `task` is made up to have given: its accuracy depends on its place in the list and on its seed.
fn trained(task: &Task, nth: usize, accuracy: f64) -> Outcome {
    let Task::Train(recipe) = task else { return Outcome::Missing };
    let nastiness = matches!(recipe.objective, Objective::SelfUndermining(_)).then(|| Nastiness {
        scaled_kl: 12.5,
        measured_on: "held-out".into(),
        temperature: 10.0,
        adversary: evaluation(0.9),
        verdict: Verdict::Nasty,
    });
    let row = |epoch: usize| EpochRow {
        epoch,
        step: 10 * (epoch + 1),
        learning_rate: 0.1,
        train_loss: 1.0,
        train_accuracy: 0.5,
        selection: Some(Selection { accuracy: accuracy - 0.1 + 0.01 * epoch as f64, loss: 1.0 }),
        seconds: 1.0,
    };
    let result = RunResult {
        format: 1,
        recipe: task.hash(),
        epoch: 0,
        test: evaluation(accuracy),
        nastiness,
        seconds: nth as f64,
        machine: machine(),
        made_with: None,
    };
    Outcome::Trained(Box::new(result), (0..5).map(row).collect())
}

/// The experiment `name` with results made up by `outcome` of (its place in the list, its name, the task).
fn findings(name: &str, changes: &[&str], outcome: impl Fn(usize, &str, &Task) -> Outcome) -> Findings {
    let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
    let experiment = Experiment::find(name, &changes).unwrap();
    let mut facts = |data: &DataName| Ok(published_facts(data).unwrap());
    let resolved = experiment.resolve(&mut facts).unwrap();
    let record = Record::new(&experiment, &resolved, &format!("nasty run {name}"));
    let tasks = resolved.tasks.iter().enumerate();
    let outcomes = tasks.map(|(nth, (name, task))| (task.hash(), outcome(nth, name, task))).collect();
    Findings { record, outcomes }
}

fn usual(nth: usize, _: &str, task: &Task) -> Outcome {
    trained(task, nth, 0.9 - 0.01 * nth as f64 + 0.002 * task.seed() as f64)
}

#[test]
fn students_stand_beside_alone_and_beside_the_paper() {
    let found = findings("cifar10", &["scale=small", "student.architecture=cnn4"], usual);
    let table = tables::students(&found).unwrap();
    let text = table.to_text();
    for needle in ["cnn4", "from nasty", "nasty's hard labels", "86.64", "87.75", "82.46", "cnn4 for its cnn"]
    {
        assert!(text.contains(needle), "no {needle} in\n{text}");
    }
    // normal 90 %, nasty 89 %; alone 88 %, then from normal, from nasty, hard labels, smoothing, each a point less.
    assert!(table.to_csv().lines().nth(1).unwrap().starts_with("cnn4,88,87,-1,86,-2,"), "{}", table.to_csv());
    let teachers = tables::teachers(&found).unwrap().to_csv();
    assert!(
        teachers.lines().nth(1).unwrap().starts_with("cnn,90,89,-1,12.5,nasty,95.13,94.56"),
        "{teachers}"
    );
}

#[test]
fn seeds_give_a_spread_and_differences_are_paired() {
    let found = findings("cifar10", &["student.architecture=cnn4", "seeds=[0, 1, 2]"], |_, name, task| {
        // The seed moves all by the same: differences have no spread.
        let base = if name.contains("nasty") { 0.5 } else { 0.7 };
        trained(task, 1, base + 0.1 * task.seed() as f64)
    });
    let table = tables::students(&found).unwrap();
    let line = table.to_csv().lines().nth(1).unwrap().to_owned();
    let numbers: Vec<f64> = line.split(',').skip(1).map(|f| f.parse().unwrap_or(f64::NAN)).collect();
    assert!((numbers[0] - 80.0).abs() < 1e-9 && (numbers[1] - 10.0).abs() < 1e-9, "{line}");
    assert!(table.to_text().contains("−20.00 ± 0.00"), "{}", table.to_text());
    assert!(table.note.unwrap().contains("3 seeds"));
}

#[test]
fn a_student_that_cannot_be_trained_is_shown_as_such() {
    let found =
        findings("cifar10", &["student.architecture=[\"cnn4\", \"cnn8\"]"], |nth, name, task| match name {
            "cnn4 from nasty cnn" => Outcome::NotFinite(Box::new(Failure {
                format: 1,
                recipe: task.hash(),
                class: crate::ErrorClass::NotFinite,
                message: "the loss became NaN".into(),
                help: None,
                when: None,
                divergence: Some(Divergence {
                    what: "loss".into(),
                    loss: "NaN".into(),
                    epoch: 3,
                    step: 77,
                    advice: "less".into(),
                }),
                machine: machine(),
                made_with: None,
            })),
            "cnn8 from nasty cnn" => trained(task, nth, 0.1),
            "cnn8 alone" => Outcome::Missing,
            _ => usual(nth, name, task),
        });
    let table = tables::students(&found).unwrap();
    assert_eq!(table.marks.len(), 2, "{:?}", table.marks);
    assert!(
        table.to_text().contains("loss not finite")
            && table.note.as_ref().unwrap().contains("could not be trained")
    );
    let html = page(&[found]).to_html().unwrap();
    assert!(
        html.contains("its loss became NaN at epoch 3, step 77")
            && html.contains("1 of 12 runs are not finished"),
        "{html}"
    );
}

#[test]
fn every_experiment_has_a_page_at_every_stage() {
    for shipped in crate::lab::experiment::SHIPPED {
        for stage in [0, 3, usize::MAX] {
            let found = findings(shipped.name, &[], |nth, name, task| {
                if nth < stage { usual(nth, name, task) } else { Outcome::Missing }
            });
            let html = page(&[found]).to_html().unwrap();
            roxmltree::Document::parse_with_options(
                &html,
                roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
            )
            .unwrap_or_else(|e| panic!("{}: {e}", shipped.name));
            assert!(html.contains("<table") && html.contains(&format!("nasty run {}", shipped.name)));
            assert!(stage < usize::MAX || html.contains("<svg"), "{} has no figure", shipped.name);
        }
    }
}

#[test]
fn sweeps_are_curves_and_other_grids_are_bars() {
    let figure = |name: &str| figures::students(&findings(name, &["seeds=[0, 1]"], usual)).unwrap();
    let super::super::Plot::Lines(plot) = figure("ablation-omega").plot else { panic!("curves") };
    assert_eq!(plot.x.label, "ω");
    assert_eq!(plot.series.len(), 4, "the nasty teacher; alone, from normal, from nasty");
    assert!(plot.series.iter().all(|s| s.points.len() == 6 && s.band.len() == 6));
    let super::super::Plot::Bars(plot) = figure("ablation-adversary").plot else { panic!("bars") };
    assert_eq!((plot.categories.len(), plot.groups.len()), (5, 3));
    assert_eq!(plot.categories[0], "none · cnn4");
}

#[test]
fn files_are_written_and_the_json_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let both = [findings("cifar10", &[], usual), findings("ablation-alpha", &[], usual)];
    let written = write(&both, folder.path()).unwrap();
    assert!(written.page.is_file() && written.text.contains("The students"));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    let cell = &json["experiments"][0]["cells"][0];
    assert_eq!(
        (cell["role"].as_str(), cell["mean"].as_f64(), cell["paper"].as_f64()),
        (Some("normal-teacher"), Some(90.0), Some(95.13))
    );
    for suffix in ["csv", "md", "tex"] {
        assert!(folder.path().join(format!("tables/cifar10-small-students.{suffix}")).is_file());
    }
}

#[test]
fn a_symbol_is_not_made_a_capital() {
    assert_eq!(
        (capitalised("features stay"), capitalised("ω from 0"), capitalised("")),
        ("Features stay".to_owned(), "ω from 0".to_owned(), String::new())
    );
}
