//! Served rows.

use nasty_teacher::defences::{
    Defence, GaussianNoise, Gradients, HighConfidence, ImageId, Inputs, Layer, LogitNoise, Mad, MadArgmax,
    MarginBudgetScaling, ModelGuardS, ModelGuardW, Query, Rounding, Row, Secret, Stingy, TopK,
};
use serde_json::Value;

use crate::cases::{Case, file, list, near, rows, vector};

const SERVED: f64 = 1e-12;
/// ModelGuard-W's optimum.
const SOLVED: f64 = 1e-6;

#[test]
fn served_rows() {
    let inputs = file("probabilities.json");
    let mut counts = std::collections::BTreeMap::<String, usize>::new();
    for (i, value) in list("defences.json").iter().enumerate() {
        let name = value["defence"].as_str().expect("every case names its defence");
        let case = Case::new(format!("{name} (case {i})"), value);
        case.get("defence");
        *counts.entry(name.to_owned()).or_default() += 1;
        check(name, &case, &inputs);
        case.finish();
    }
    // What the folder in the repository holds; another one may hold fewer.
    if std::env::var_os("NASTY_GOLDEN_AUDIT_DIR").is_none() {
        assert_eq!((counts.len(), counts.values().sum::<usize>()), (20, 213), "{counts:?}");
    }
}

fn row(values: &[f64]) -> Row {
    Row::from_probabilities(values).expect("a row")
}

fn served(text: &str, row: &Row, inputs: Inputs<'_>) -> Row {
    let layer: Layer = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
    let secret = Secret::of(b"golden");
    let query = Query::new(ImageId::of(b"golden"), &secret, 0).with(inputs);
    layer.serve(row, &query).unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The rows that a case names.
fn named(case: &Case<'_>, inputs: &Value) -> Vec<Row> {
    let name = case.text("input");
    let found = inputs.get(name).unwrap_or_else(|| panic!("{}: no input {name}", case.what()));
    rows(found, case.what()).iter().map(|values| row(values)).collect()
}

/// Each row through `serve`, against the rows of `output`.
fn each(case: &Case<'_>, clean: &[Row], serve: impl Fn(usize, &Row) -> Vec<f64>) -> Vec<Vec<f64>> {
    let expected = case.rows("output");
    assert_eq!(clean.len(), expected.len(), "{}", case.what());
    let found: Vec<Vec<f64>> = clean.iter().enumerate().map(|(i, clean)| serve(i, clean)).collect();
    for (i, (found, expected)) in found.iter().zip(&expected).enumerate() {
        near(found, expected, SERVED, &format!("{}, row {i}", case.what()));
    }
    found
}

/// Published rows that are not divided by their sum: ours are, and where nothing is left the predicted class is served.
fn unnormalised(case: &Case<'_>, clean: &[Row], text: &str, published: impl Fn(&Row) -> Vec<f64>) {
    each(case, clean, |_, row| published(row));
    for row in clean {
        let sum: f64 = published(row).iter().sum();
        let top = |c| f64::from(u8::from(c == row.top()));
        let divided = |(c, p): (usize, &f64)| if sum > 0.0 { p / sum } else { top(c) };
        let expected: Vec<f64> = published(row).iter().enumerate().map(divided).collect();
        near(served(text, row, Inputs::default()).probabilities(), &expected, SERVED, case.what());
    }
}

fn plain(case: &Case<'_>, clean: &[Row], text: &str) -> Vec<Vec<f64>> {
    each(case, clean, |_, row| served(text, row, Inputs::default()).probabilities().to_vec())
}

fn check(name: &str, case: &Case<'_>, inputs: &Value) {
    let p = case.inner("params");
    if !case.get("input").is_null() {
        by_input(name, case, &p, &named(case, inputs));
    } else if name == "modelguard_s" {
        modelguard_s(case, &p);
    } else {
        by_row(name, case, &p);
    }
    p.finish();
}

fn by_input(name: &str, case: &Case<'_>, p: &Case<'_>, clean: &[Row]) {
    match name {
        "top1" => drop(plain(case, clean, "top-1")),
        "topk" => {
            let (k, text) = (p.whole("k"), format!("top-k:{}", p.whole("k")));
            if p.flag("renormalise") {
                plain(case, clean, &text);
            } else {
                unnormalised(case, clean, &text, |row| TopK { k }.published(row));
            }
        }
        "rounding" => {
            let decimals = p.whole("decimals");
            let text = format!("rounding:{decimals}");
            let published = |row: &Row| Rounding { decimals: decimals as u32 }.published(row);
            if p.flag("renormalise") {
                // The case leaves a row of zeros as it is; a service may not.
                each(case, clean, |_, row| match published(row).iter().sum::<f64>() {
                    0.0 => published(row),
                    _ => served(&text, row, Inputs::default()).probabilities().to_vec(),
                });
            } else {
                unnormalised(case, clean, &text, published);
            }
        }
        "high_confidence" => {
            let cutoff = p.number("cutoff");
            let published = |row: &Row| HighConfidence { cutoff }.published(row);
            unnormalised(case, clean, &format!("high-confidence:{cutoff}"), published);
        }
        "reverse_sigmoid" | "reverse_sigmoid_clipped" | "reverse_sigmoid_odds_clamped" => {
            let ours = match name {
                "reverse_sigmoid" => "reverse-sigmoid",
                "reverse_sigmoid_clipped" => "reverse-sigmoid-clipped",
                _ => "reverse-sigmoid-odds",
            };
            let text = format!("{ours}:beta={},gamma={}", p.number("beta"), p.number("gamma"));
            let found = plain(case, clean, &text);
            if let Some(kept) = case.maybe("top1_kept") {
                let ours = found.iter().zip(clean).map(|(served, clean)| row(served).top() == clean.top());
                assert_eq!(Value::from(ours.collect::<Vec<_>>()), *kept, "{}", case.what());
            }
        }
        "temperature" => drop(plain(case, clean, &format!("temperature:{}", p.number("tau")))),
        "stingy" => {
            let (ratio, tau) = (p.number("ratio"), p.number("tau"));
            assert_eq!(Stingy { ratio, temperature: tau }.keep(clean[0].classes()), p.whole("keep"));
            plain(case, clean, &format!("stingy:ratio={ratio},tau={tau}"));
        }
        "gaussian_given_noise" => {
            let noise = p.rows("noise");
            each(case, clean, |i, row| GaussianNoise::with(row, &noise[i]).probabilities().to_vec());
        }
        "logit_noise_given" => {
            let noise = p.rows("noise");
            each(case, clean, |i, row| LogitNoise::with(row, &noise[i]).probabilities().to_vec());
        }
        "adaptive_misinformation" => {
            let text = format!("adaptive-misinformation:tau={},nu={}", p.number("tau"), p.number("nu"));
            let wrong: Vec<Row> = p.rows("wrong").iter().map(|values| row(values)).collect();
            each(case, clean, |i, row| {
                let inputs = Inputs { wrong_row: Some(&wrong[i]), ..Inputs::default() };
                served(&text, row, inputs).probabilities().to_vec()
            });
        }
        "product_of_experts" => {
            let text = format!("product-of-experts:{}", p.number("gamma"));
            let proxy = p.rows("proxy_logits");
            each(case, clean, |i, row| {
                let inputs = Inputs { proxy_logits: Some(&proxy[i]), ..Inputs::default() };
                served(&text, row, inputs).probabilities().to_vec()
            });
        }
        _ => panic!("{}: no such defence", case.what()),
    }
}

fn by_row(name: &str, case: &Case<'_>, p: &Case<'_>) {
    let expected = case.vector("output");
    let clean = match p.maybe("logits") {
        Some(logits) => Row::from_logits(&vector(logits, case.what())).expect("logits"),
        None => row(&p.vector("probabilities")),
    };
    let check = |text: &str, inputs: Inputs<'_>| {
        near(served(text, &clean, inputs).probabilities(), &expected, SERVED, case.what());
    };
    let secret = Secret::of(b"golden");
    let query = |inputs| Query::new(ImageId::of(b"golden"), &secret, 0).with(inputs);
    match name {
        "gradient_redirection" => {
            let direction = p.vector("direction");
            let inputs = Inputs { direction: Some(&direction), ..Inputs::default() };
            check(&format!("gradient-redirection:{}", p.number("epsilon")), inputs);
        }
        "mad_extreme" | "mad_argmax" => {
            let gradients = p.rows("G");
            let (values, width) = (gradients.concat(), gradients[0].len());
            let gradients = Some(Gradients { values: &values, width });
            let inputs = Inputs { gradients, ..Inputs::default() };
            let epsilon = p.number("epsilon");
            let (text, turned, vertex) = if name == "mad_extreme" {
                let mut vertex = vec![0.0; clean.classes()];
                vertex[case.whole("vertex")] = 1.0;
                ("mad", Mad { epsilon }.search(&clean, &query(inputs)), vertex)
            } else {
                let search = p.text("search");
                assert!(["all subsets", "greedy"].contains(&search), "{}: {search}", case.what());
                assert_eq!(search == "greedy", clean.classes() > 10, "{}", case.what());
                ("mad-argmax", MadArgmax { epsilon }.search(&clean, &query(inputs)), case.vector("vertex"))
            };
            let turned = turned.expect("gradients are there");
            near(&turned.answer, &vertex, SERVED, case.what());
            near(&[turned.objective], &[case.number("objective")], 1e-10, case.what());
            check(&format!("{text}:{epsilon}"), inputs);
        }
        "modelguard_w" => modelguard_w(case, p, &clean, &expected),
        "margin_budget_scaling" => {
            let delta = p.vector("delta");
            let inputs = Inputs { proxy_shift: Some(&delta), ..Inputs::default() };
            let (lambda, keep) = (p.number("lambda"), p.number("keep"));
            let strength =
                MarginBudgetScaling { lambda, keep }.strength(&clean, &query(inputs)).expect("Δ is there");
            let effective = case.number("lambda_effective");
            near(&[strength], &[effective], 1e-10 * effective.max(1.0), case.what());
            check(&format!("margin-budget-scaling:lambda={lambda},keep={keep}"), inputs);
        }
        "margin_budget_clipping" => {
            let delta = p.vector("delta");
            let inputs = Inputs { proxy_shift: Some(&delta), ..Inputs::default() };
            let (lambda, margin) = (p.number("lambda"), p.number("margin"));
            check(&format!("margin-budget-clipping:lambda={lambda},margin={margin}"), inputs);
        }
        _ => panic!("{}: no such defence", case.what()),
    }
}

fn modelguard_w(case: &Case<'_>, p: &Case<'_>, clean: &Row, expected: &[f64]) {
    let (epsilon, margin, floor) = (p.number("epsilon"), p.number("margin"), p.number("floor"));
    assert_eq!((margin, floor), (1e-4, 1e-6), "{}: other constants", case.what());
    let (objective, unique) = (case.number("objective"), case.flag("unique"));
    let found = served(&format!("modelguard-w:{epsilon}"), clean, Inputs::default());
    let solved = ModelGuardW { epsilon }.solve(clean);
    assert_eq!(solved.is_some(), case.flag("feasible"), "{}", case.what());
    let Some((optimum, _)) = solved else {
        assert_eq!(found, *clean, "{}", case.what());
        return;
    };
    near(&[optimum], &[objective], SOLVED, case.what());
    if unique {
        near(found.probabilities(), expected, SOLVED, case.what());
    }
    let cost = |p: &f64| (p + floor).ln();
    let value: f64 = clean.probabilities().iter().zip(found.probabilities()).map(|(y, x)| cost(y) * x).sum();
    near(&[value], &[objective], SOLVED, case.what());
    assert!(found.l1(clean) <= epsilon + SOLVED, "{}", case.what());
    let top = clean.top();
    let rest = found.probabilities().iter().enumerate().filter(|(c, _)| *c != top).map(|(_, x)| *x);
    let largest = rest.fold(0.0, f64::max);
    assert!(found.probabilities()[top] - largest >= margin - SOLVED, "{}", case.what());
}

fn modelguard_s(case: &Case<'_>, p: &Case<'_>) {
    let defence = ModelGuardS::new(p.number("epsilon"));
    let (expected, centroids) = (case.rows("output"), case.wholes("centroid"));
    for (i, values) in p.rows("sequence").iter().enumerate() {
        let (served, centroid) = defence.quantise(&row(values));
        near(served.probabilities(), &expected[i], SERVED, &format!("{}, row {i}", case.what()));
        assert_eq!(centroid, centroids[i], "{}, row {i}", case.what());
    }
    let sizes: Value = serde_json::to_value(defence.sizes()).expect("plain data");
    assert_eq!(sizes, *case.get("codebook_sizes"), "{}", case.what());
}
