//! What thieves make of answers.

use super::*;
use crate::defences::{Defence, ImageId, Query, Row, Secret, Stack};
use crate::victim::{LOG_FLOOR, Scale, argmax};

const CLASSES: usize = 3;

fn loot<'a>(rounds: Vec<Vec<f32>>, labels: &'a [u16], prior: Option<Vec<f32>>) -> Loot<'a> {
    Loot { classes: CLASSES, scale: Scale::Probabilities, rounds, labels, prior }
}

fn probabilities(targets: &[f32]) -> Vec<Vec<f64>> {
    targets.chunks_exact(CLASSES).map(|row| row.iter().map(|l| f64::from(*l).exp()).collect()).collect()
}

fn l1(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).abs()).sum()
}

#[test]
fn most_thieves_learn_the_answers_as_they_are() {
    let labels = [0, 2];
    let loot = loot(vec![vec![0.7, 0.3, 0.0, 0.1, 0.1, 0.8]], &labels, None);
    let rows = Thief::HardLabel(HardLabel {}).targets(&loot).expect("any answers");
    assert_eq!((rows[0], rows[2]), (0.7f32.ln(), LOG_FLOOR.ln()));
    let floored = Thief::Kd(Kd { temperature: 4.0, alpha: 0.9, floor: 0.2 });
    let rows = probabilities(&floored.targets(&loot).expect("any answers"));
    for (found, expected) in rows.concat().iter().zip([0.7, 0.3, 0.2, 0.2, 0.2, 0.8]) {
        assert!((found - expected).abs() < 1e-6, "{rows:?}");
    }
}

#[test]
fn class_means_forget_what_was_done_to_single_answers() {
    let labels = [1, 1, 0];
    // In log space the two answers of class 1 are a row changed up and down by the same.
    let (clean, change) = ([0.1f32.ln(), 0.7f32.ln(), 0.2f32.ln()], [0.5, 0.0, -0.5]);
    let changed = |sign: f32| clean.iter().zip(change).map(move |(l, c)| (l + sign * c).exp());
    let answers: Vec<f32> = changed(1.0).chain(changed(-1.0)).chain([0.6, 0.2, 0.2]).collect();
    let thief = Thief::ClassMean(ClassMean { temperature: 4.0, alpha: 0.9 });
    let rows = thief.targets(&loot(vec![answers], &labels, None)).expect("any answers");
    for row in rows.chunks_exact(CLASSES).take(2) {
        assert!(row.iter().zip(&clean).all(|(a, b)| (a - b).abs() < 1e-5), "{row:?}");
    }
    assert!((rows[6] - 0.6f32.ln()).abs() < 1e-6, "a class of one image has its answer");
}

#[test]
fn averages_come_closer_to_the_truth_than_single_answers() {
    let labels = [0; 1];
    let truth = [0.5, 0.3, 0.2];
    let answers = [[0.6, 0.2, 0.2], [0.5, 0.4, 0.1], [0.4, 0.3, 0.3]].map(|row| row.to_vec()).to_vec();
    let thief = Thief::QueryAveraging(QueryAveraging { temperature: 1.0, alpha: 0.9 });
    assert_eq!(thief.answers(), 3);
    let found = probabilities(&thief.targets(&loot(answers, &labels, None)).expect("any answers"));
    assert!(l1(&found[0], &truth) < 1e-6, "{found:?}");
}

#[test]
fn where_nothing_is_hidden_the_answers_stay_as_they_are() {
    let (row, other) = ([0.5f32, 0.3, 0.2], [0.1f32, 0.1, 0.8]);
    let answers = [row, row, other].concat();
    let labels = [0, 0, 2];
    for thief in [
        Thief::ClassMean(ClassMean { temperature: 4.0, alpha: 0.9 }),
        Thief::QueryAveraging(QueryAveraging { temperature: 1.0, alpha: 0.9 }),
    ] {
        let rounds = vec![answers.clone(); 3];
        let found = probabilities(&thief.targets(&loot(rounds, &labels, None)).expect("any answers"));
        for (found, expected) in found.concat().iter().zip(&answers) {
            assert!((found - f64::from(*expected)).abs() < 1e-6, "{}", thief.name());
        }
    }
}

/// 300 clean rows, logits and what `defence` serves for them.
fn defended(defence: &str) -> (Vec<f32>, Vec<Row>, Vec<f32>) {
    let defence: Stack = defence.parse().expect("a stack");
    let secret = Secret::of(b"the owner's");
    let mut logits = Vec::new();
    let (mut clean, mut served) = (Vec::new(), Vec::new());
    for i in 0..300 {
        let spread = |k: usize| ((i * 37 + k * 101) % 89) as f64 / 30.0 - 1.0;
        let mut row = [spread(0), spread(1), spread(2)];
        row[i % CLASSES] += 2.5;
        let row_of = Row::from_logits(&row).expect("logits");
        let query = Query::new(ImageId::of(&i.to_le_bytes()), &secret, i as u64);
        let answer = defence.serve(&row_of, &query).expect("it needs nothing");
        served.extend(answer.probabilities().iter().map(|p| *p as f32));
        logits.extend(row.map(|z| z as f32));
        clean.push(row_of);
    }
    (logits, clean, served)
}

/// Mean ℓ1 distance of `rows` from the clean ones.
fn distance(clean: &[Row], rows: &[Vec<f64>]) -> f64 {
    let sum: f64 = clean.iter().zip(rows).map(|(a, b)| l1(a.probabilities(), b)).sum();
    sum / clean.len() as f64
}

#[test]
fn a_table_undoes_a_known_formula_and_a_regression_an_unknown_one() {
    let (logits, clean, served) = defended("reverse-sigmoid:beta=0.4,gamma=0.2");
    let labels: Vec<u16> = served.chunks_exact(CLASSES).map(|row| argmax(row) as u16).collect();
    let as_served: Vec<Vec<f64>> =
        served.chunks_exact(CLASSES).map(|row| row.iter().map(|p| f64::from(*p)).collect()).collect();
    let hidden = distance(&clean, &as_served);
    // The clone is not the victim: its logits are off.
    let prior: Vec<f32> =
        logits.iter().enumerate().map(|(i, z)| z + 0.3 * ((i * 53 % 17) as f32 / 8.0 - 1.0)).collect();
    let loot = loot(vec![served], &labels, Some(prior));
    let defence: Stack = "reverse-sigmoid:beta=0.4,gamma=0.2".parse().expect("a stack");
    for thief in [
        Thief::TableRecovery(TableRecovery { defence, temperature: 1.0, alpha: 0.9 }),
        Thief::LinearRecovery(LinearRecovery { temperature: 1.0, alpha: 0.9 }),
    ] {
        assert!(thief.needs_prior());
        let rows = thief.targets(&loot).expect("there is a prior");
        let normalised: Vec<Vec<f64>> = probabilities(&rows)
            .into_iter()
            .map(|row| {
                let sum: f64 = row.iter().sum();
                row.into_iter().map(|p| p / sum).collect()
            })
            .collect();
        let left = distance(&clean, &normalised);
        // 300 rows of a clone that is off fill a table with gaps.
        assert!(left < 0.65 * hidden, "{}: {left} of {hidden}", thief.name());
        let without = Loot { prior: None, ..loot.clone() };
        assert!(thief.targets(&without).expect_err("no prior").contains("needs a clone"));
    }
}

#[test]
fn a_recipe_that_contradicts_itself_is_refused() {
    use crate::attacks::{Images, Part, TestData};
    use crate::data::{Augmentation, DataName};
    use crate::training::{NetworkRef, Optimiser};
    let data = TestData { name: DataName::Quickstart, digest: "0".into(), side: None };
    let images = |part, count| Images { data: data.clone(), part, count };
    let alone = ThiefRecipe {
        format: THIEF_FORMAT,
        thief: Thief::Alone(Alone {}),
        student: "cnn2".parse().expect("a name"),
        images: images(Part::Train, 100),
        unlabelled: None,
        budget: None,
        labels: Labels::True,
        asked: None,
        served: None,
        clean: None,
        prior: None,
        held_out: 0.2,
        test: images(Part::Test, 50),
        optimiser: Optimiser::of_kind("sgd").expect("a kind"),
        learning_rate: 0.05,
        steps: 10,
        batch: 16,
        augmentation: Augmentation::none(),
        seed: 0,
    };
    assert_eq!(alone.problem(), None);
    assert_eq!((alone.validation(100), alone.epochs(80)), (20, 2));
    let asked = Some(NetworkRef("0123456789abcdef".into()));
    let wrong = [
        (ThiefRecipe { asked: asked.clone(), ..alone.clone() }, "`asked`"),
        (ThiefRecipe { labels: Labels::Served, ..alone.clone() }, "true labels"),
        (ThiefRecipe { prior: asked.clone(), ..alone.clone() }, "`prior`"),
        (ThiefRecipe { held_out: 1.0, ..alone.clone() }, "held_out"),
        (ThiefRecipe { thief: Thief::HardLabel(HardLabel {}), ..alone.clone() }, "`asked`"),
        (ThiefRecipe { unlabelled: Some(100), ..alone.clone() }, "`unlabelled`"),
    ];
    for (recipe, word) in wrong {
        assert!(recipe.problem().expect("refused").contains(word), "{:?}", recipe.problem());
    }
    let rotation = Thief::Rotation(Rotation { temperature: 1.0, alpha: 0.9 });
    let rotation = |unlabelled| ThiefRecipe {
        thief: rotation.clone(),
        asked: asked.clone(),
        unlabelled,
        ..alone.clone()
    };
    assert_eq!(rotation(Some(100)).problem(), None);
    assert!(rotation(None).problem().expect("it has none").contains("`unlabelled`"));
    assert!(rotation(Some(99)).problem().expect("fewer than asked").contains("less than the 100"));
    // 80 images are trained on; each round adds three of each: 320, then 1280 of the 1380 that the budget leaves.
    let jbda = ThiefRecipe {
        thief: Thief::JbdaTr(JbdaTr { temperature: 1.0, alpha: 0.9 }),
        asked: asked.clone(),
        labels: Labels::Served,
        budget: Some(1400),
        ..alone.clone()
    };
    assert_eq!((jbda.problem(), jbda.trained(), jbda.queries()), (None, 1280, 1300));
    let jbda = |budget| ThiefRecipe { budget, ..jbda.clone() };
    assert_eq!((jbda(Some(500)).trained(), jbda(Some(500)).queries()), (480, 500));
    assert!(jbda(None).problem().expect("no budget").contains("`budget`"));
    assert!(jbda(Some(99)).problem().expect("too small").contains("less than the 100"));
    assert!(
        ThiefRecipe { labels: Labels::True, ..jbda(Some(500)) }
            .problem()
            .expect("it has none")
            .contains("labels")
    );
    // Three rounds of 7 batches of 16, and a rest that is no round.
    let dfme = ThiefRecipe {
        thief: Thief::Dfme(Dfme { levels: 2.0 }),
        images: images(Part::Train, 0),
        held_out: 0.0,
        budget: Some(336 + 111),
        steps: 15,
        asked: asked.clone(),
        labels: Labels::Served,
        ..alone.clone()
    };
    assert_eq!((dfme.problem(), dfme.queries(), dfme.length()), (None, 336, 1));
    let wrong = [
        (ThiefRecipe { images: images(Part::Train, 100), ..dfme.clone() }, "images.count"),
        (ThiefRecipe { held_out: 0.2, ..dfme.clone() }, "held_out"),
        (ThiefRecipe { budget: None, ..dfme.clone() }, "`budget`"),
        (ThiefRecipe { budget: Some(111), steps: 0, ..dfme.clone() }, "steps is 0"),
        (ThiefRecipe { budget: Some(111), ..dfme.clone() }, "less than a round"),
        (ThiefRecipe { steps: 10, ..dfme.clone() }, "expected the 15"),
        (ThiefRecipe { thief: Thief::Dfme(Dfme { levels: 0.0 }), ..dfme.clone() }, "levels"),
    ];
    for (recipe, word) in wrong {
        assert!(recipe.problem().expect("refused").contains(word), "{:?}", recipe.problem());
    }
    assert_eq!((alone.queries(), rotation(Some(100)).queries()), (0, 100));
    let kd = Thief::Kd(Kd { temperature: 0.0, alpha: 0.9, floor: 0.0 });
    let kd = ThiefRecipe { thief: kd, asked, ..alone };
    assert!(kd.problem().expect("τ is 0").contains("temperature"));
}
