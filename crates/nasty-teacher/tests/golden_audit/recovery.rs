//! Recovered rows, logits and gradients.

use nasty_teacher::defences::Row;
use nasty_teacher::defences::recovery::{AnswerTable, average, forward_difference, recovered_logits};
use serde_json::Value;

use crate::cases::{Case, close, list, near, rows, vector};

const TOLERANCE: f64 = 1e-10;

fn row(values: &[f64]) -> Row {
    Row::from_probabilities(values).expect("a row")
}

#[test]
fn recoveries() {
    // The first table is that of all cases that bring none.
    let mut table = None;
    for (i, value) in list("recovery.json").iter().enumerate() {
        let name = value["recovery"].as_str().expect("every case names its recovery");
        let case = Case::new(format!("{name} (case {i})"), value);
        case.get("recovery");
        let p = case.inner("params");
        match name {
            "table" => {
                if let (Value::Array(_), Value::Array(_)) = (p.get("table_true"), p.get("table_served")) {
                    let pairs = p.rows("table_true").into_iter().zip(p.rows("table_served"));
                    table = Some(AnswerTable::new(pairs.map(|(clean, served)| (row(&clean), row(&served)))));
                }
                let table = table.as_ref().expect("the first case brings a table");
                let served = row(&p.vector("served"));
                let found = table.recover(&served, p.number("tolerance"), p.flag("same_top1"));
                let found = found.expect("a row of that class");
                near(found.row.probabilities(), &case.vector("output"), TOLERANCE, case.what());
                assert_eq!(found.used, case.whole("used"), "{}", case.what());
                // What stood behind the served row is told for interest.
                assert_eq!(case.vector("true").len(), served.classes());
            }
            "logits" => {
                let (expected, floor) = (case.rows("output"), p.number("floor"));
                for (values, expected) in p.rows("probabilities").iter().zip(&expected) {
                    close(&recovered_logits(&row(values), floor), expected, TOLERANCE, case.what());
                }
            }
            "average" => {
                let answers = p.get("answers").as_array().expect("several answers");
                let answers: Vec<Vec<Vec<f64>>> =
                    answers.iter().map(|batch| rows(batch, case.what())).collect();
                for (image, expected) in case.rows("output").iter().enumerate() {
                    let of_image: Vec<Row> = answers.iter().map(|batch| row(&batch[image])).collect();
                    let found = average(&of_image).expect("several answers");
                    near(found.probabilities(), expected, TOLERANCE, case.what());
                }
            }
            "forward_difference" => {
                assert_eq!(
                    p.text("function"),
                    "sum_i |sin(x_i) - target_i|; directions are normalised to length 1 before use"
                );
                let target = p.vector("target");
                let f = |x: &[f64]| x.iter().zip(&target).map(|(x, t)| (x.sin() - t).abs()).sum();
                let found =
                    forward_difference(&p.vector("point"), &p.rows("directions"), p.number("epsilon"), f);
                close(&found, &vector(case.get("output"), case.what()), TOLERANCE, case.what());
            }
            _ => panic!("{}: no such recovery", case.what()),
        }
        p.finish();
        case.finish();
    }
}
