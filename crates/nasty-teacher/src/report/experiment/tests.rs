//! Reports of made-up results: the numbers only test the report.

use super::*;
use crate::data::DataName;
use crate::lab::experiment::Experiment;
use crate::lab::experiment::{Role, Source};
use crate::lab::{
    Divergence, Failure, Machine, Nastiness, Record, RunResult, Task, Verdict, published_facts,
};
use crate::training::{EpochRow, Evaluation, Objective, Recipe, Selection};
use std::collections::BTreeMap;

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
        selection: Some(Selection {
            accuracy: accuracy - 0.1 + 0.01 * epoch as f64,
            loss: 1.0,
            test: false,
            scaled_kl: None,
            undone: false,
        }),
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
        start_kept: false,
    };
    Outcome::Trained(Box::new(result), (0..5).map(row).collect())
}

/// The experiment `name` with results made up by `outcome` of (its place in the list, its name, the task).
fn findings(name: &str, changes: &[&str], outcome: impl Fn(usize, &str, &Task) -> Outcome) -> Findings {
    let changes: Vec<String> = changes.iter().map(|c| (*c).to_owned()).collect();
    let experiment = Experiment::find(name, &changes).unwrap();
    let mut facts = |data: &DataName, _| Ok(published_facts(data).unwrap());
    let resolved = experiment.resolve(&mut facts).unwrap();
    let record = Record::new(&experiment, &resolved, name, &changes);
    let tasks = resolved.tasks.iter().enumerate();
    let outcomes = tasks.map(|(nth, (name, task))| (task.hash(), outcome(nth, name, task))).collect();
    let recipes = resolved.tasks.iter().filter_map(|(_, task)| match task {
        Task::Train(recipe) => Some((task.hash(), recipe.clone())),
        _ => None,
    });
    let recipes: BTreeMap<String, Recipe> = recipes.collect();
    Findings { record, outcomes, recipes }
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
                attempts: 1,
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
        html.contains("its loss became NaN in epoch 4, step 78")
            && html.contains("1 of 12 runs is not finished"),
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
    assert!(plot.x.label == "ω" && plot.x.log && plot.x.at.len() == 6, "{:?}", plot.x);
    let [teachers, student] = &plot.panels[..] else { panic!("the teachers and one student") };
    assert_eq!((teachers.series.len(), student.series.len()), (2, 3), "alone, from normal, from nasty");
    let series = || teachers.series.iter().chain(&student.series);
    assert!(series().all(|s| s.points.len() == 6 && s.band.len() == 6));
    let colors: Vec<_> = series().map(|s| s.color).collect();
    assert_eq!(colors, [Some(0), Some(1), Some(7), Some(0), Some(1)], "normal, nasty; alone, normal, nasty");
    let super::super::Plot::Bars(plot) = figure("ablation-adversary").plot else { panic!("bars") };
    assert_eq!((plot.categories.len(), plot.groups.len()), (5, 2), "differences to alone of the two others");
    assert_eq!(plot.categories[0], "none · cnn4");
    assert_eq!(plot.groups.iter().map(|g| g.color).collect::<Vec<_>>(), [Some(0), Some(1)]);
}

#[test]
fn a_network_at_several_places_has_one_row_on_the_page() {
    let found = findings("ablation-omega", &[], usual);
    let table = narrow::students(&found).unwrap();
    let csv = table.to_csv();
    assert_eq!(table.rows.len(), 1 + 1 + 6, "alone, from normal, and from each nasty one: {csv}");
    assert!(csv.lines().nth(1).unwrap().starts_with("cnn4,labels alone,any,"), "{csv}");
    assert_eq!(tables::students(&found).unwrap().rows.len(), 6, "the paper's form is a row a place");
    assert_eq!(narrow::teachers(&found).unwrap().rows.len(), 1 + 6);
}

#[test]
fn unfinished_seeds_are_paired_with_their_own() {
    // Seeds 0 and 2 of the student alone, seeds 1 and 2 from the nasty teacher: only seed 2 has both.
    let found = findings("cifar10", &["student.architecture=cnn4", "seeds=[0, 1, 2]"], |_, name, task| {
        let (nasty, alone) = (name.starts_with("cnn4 from nasty cnn #"), name.starts_with("cnn4 alone"));
        match task.seed() {
            1 if alone => Outcome::Missing,
            0 if nasty => Outcome::Missing,
            seed => trained(task, 0, if nasty { 0.5 } else { 0.7 } + 0.1 * seed as f64),
        }
    });
    let place = &measure::places(&found, |role| matches!(role, Role::Student(_)))[0];
    let of = |source| measure::measure(&found, Role::Student(source), place, &measure::ACCURACY);
    let difference = of(Source::Nasty).minus(&of(Source::Alone));
    assert_eq!(difference.values.keys().copied().collect::<Vec<_>>(), [2]);
    assert!((difference.mean().unwrap() + 20.0).abs() < 1e-9, "{difference:?}");
    assert_eq!((of(Source::Nasty).missing, difference.spread()), (1, None));
}

#[test]
fn the_finding_comes_first_and_is_computed() {
    let found = findings("ablation-omega", &[], |_, name, task| {
        let nasty = ["ω=0.025", "ω=0.05"].iter().position(|mark| name.contains(mark));
        match (name.starts_with("cnn4 from nasty"), nasty) {
            (true, Some(0)) => trained(task, 0, 0.75),
            (true, Some(_)) => trained(task, 0, 0.80),
            (true, None) => trained(task, 0, 0.86),
            _ => trained(task, 0, 0.85),
        }
    });
    let found = finding::findings(&found).join(" ");
    assert!(found.contains("lose most at ω = 0.025: cnn4 −10.0 points against"), "{found}");
    assert!(
        found.contains("cnn4 +1.0 points")
            && found.contains("(the nasty teacher against the normal one: 0.0)"),
        "{found}"
    );
    let html = page(&[findings("tsne", &[], usual)]).to_html().unwrap();
    assert!(!html.contains("features keep"), "nothing is claimed that the run did not show");
}

#[test]
fn a_changed_experiment_has_a_report_of_its_own() {
    let name = |changes: &[&str]| findings("cifar10", changes, usual).record.report_name();
    assert_eq!((name(&[]), name(&["scale=short"])), ("cifar10-small".into(), "cifar10-short".into()));
    let changed = [name(&["seeds=[0, 1]"]), name(&["seeds=[0, 2]"]), name(&["recipe.epochs=3"])];
    let mut different = changed.to_vec();
    different.dedup();
    assert!(different.len() == 3 && changed.iter().all(|n| n.starts_with("cifar10-small-")), "{changed:?}");
    // Two reports of one name in one folder keep their files apart.
    let twice = [findings("cifar10", &[], usual), findings("cifar10", &[], usual)];
    assert_ne!(stems(&twice)[0], stems(&twice)[1]);
}

#[test]
fn a_store_has_an_overview_with_its_single_runs() {
    let both = [findings("cifar10", &[], usual), findings("tsne", &["recipe.epochs=3"], usual)];
    let Outcome::Trained(result, _) = both[0].outcomes.values().next().unwrap() else { panic!("trained") };
    let recipe = both[0].recipes.values().next().cloned();
    let single = SingleRun { hash: "0123456789abcdef".into(), recipe, result: (**result).clone() };
    let folder = tempfile::tempdir().unwrap();
    let written = write_store(&both, &[single], folder.path()).unwrap();
    let html = std::fs::read_to_string(written.page).unwrap();
    for needle in ["What was run here", "0123456789abcdef", "recipe.epochs=3", "Single runs"] {
        assert!(html.contains(needle), "no {needle}");
    }
}

#[test]
fn figures_are_files_that_stand_alone() {
    let folder = tempfile::tempdir().unwrap();
    write(&[findings("ablation-omega", &["seeds=[0, 1]"], usual)], folder.path()).unwrap();
    let files: Vec<_> =
        std::fs::read_dir(folder.path().join("figures")).unwrap().map(|f| f.unwrap().path()).collect();
    assert_eq!(
        files.len(),
        2 * 3,
        "the sweep and two sets of learning curves, drawn and as numbers: {files:?}"
    );
    for svg in files.iter().filter(|path| path.extension().unwrap() == "svg") {
        let text = std::fs::read_to_string(svg).unwrap();
        roxmltree::Document::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", svg.display()));
        assert!(text.contains("xmlns") && text.contains("seeds 0 and 1") && !text.contains("var("), "{text}");
    }
    let csv = files.iter().find(|f| f.to_string_lossy().ends_with("sweep.csv")).unwrap();
    let csv = std::fs::read_to_string(csv).unwrap();
    assert!(csv.starts_with("panel,curve,ω,test accuracy (%),low,high\n"), "{csv}");
    assert_eq!(csv.lines().count(), 1 + 5 * 6);
    let tables = std::fs::read_dir(folder.path().join("tables")).unwrap().map(|f| f.unwrap().path());
    let latex =
        tables.filter(|path| path.extension().unwrap() == "tex").map(|p| std::fs::read_to_string(p).unwrap());
    for text in latex {
        assert!(text.contains("\\label{tab:ablation-omega-small-"), "{text}");
    }
}

#[test]
fn the_quickstart_tells_of_the_thief_without_labels() {
    let found = findings("quickstart", &[], |_, name, task| {
        trained(
            task,
            0,
            match name {
                "cnn4 alone" => 0.85,
                name if name.contains("nasty") && name.contains("τ=10") => 0.75,
                name if name.contains("no labels") => 0.851,
                _ => 0.84,
            },
        )
    });
    let html = page(std::slice::from_ref(&found)).to_html().unwrap();
    let lesson = quickstart::lesson(&found).unwrap();
    assert!(lesson.contains("(τ = 10): −10.0") && lesson.contains("without any labels: +0.1"), "{lesson}");
    assert!(lesson.contains("hardly affected"), "{lesson}");
    // What a run did not show is not claimed.
    let all_hurt = findings("quickstart", &[], |_, name, task| {
        trained(task, 0, if name.contains("from nasty") { 0.7 } else { 0.85 })
    });
    let lesson = quickstart::lesson(&all_hurt).unwrap();
    assert!(lesson.contains("none of them got around") && !lesson.contains("hardly affected"), "{lesson}");
    assert!(html.contains("without any labels: +0.1") && html.contains("changes by −10.0 points"));
    let table = quickstart::table(&found);
    assert_eq!(table.rows.len(), 10, "{}", table.to_text());
    insta::assert_snapshot!(table.to_text());
    let results = crate::lab::quickstart::results(&found);
    assert_eq!((results.rows.len(), results.data.train, results.data.held_out), (10, 6000, 600));
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
