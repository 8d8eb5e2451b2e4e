//! Defences in a graph give the same rows as the defences themselves, in another runtime.

use rten::{Model, NodeId, Value, ValueOrView};

use super::super::messages::{IR_VERSION, OPSET, value};
use super::*;
use crate::defences::{ClassTails, Defence, ImageId, Inputs, Query, Row, Secret};
use crate::random::{Purpose, Stream};

/// A folder that gets every defended model with its inputs and the rows of the defences, for `tools/check_onnx`.
const DIRECTORY: &str = "NASTY_DEFENDED_DIR";
const BATCH: usize = 16;
const TOLERANCE: f64 = 1e-5;

fn answer(classes: usize) -> Answer<'static> {
    Answer { name: "logits", classes, probabilities: false, opset: OPSET }
}

/// A model of the fragment alone: `logits` and `shift` go in, `probabilities` comes out.
fn model(fragment: &Fragment, classes: usize) -> Vec<u8> {
    let graph = fragment.nodes.iter().fold(Message::default(), |graph, node| graph.message(1, node));
    let graph = fragment.constants.iter().fold(graph.text(2, "defence"), |graph, c| graph.message(5, c));
    let graph = ["logits", "shift"]
        .iter()
        .fold(graph, |graph, name| graph.message(11, &value(name, &[None, Some(classes)])));
    let graph = graph.message(12, &value("probabilities", &[None, Some(classes)]));
    let opset = Message::default().text(1, "").int(2, OPSET);
    Message::default().int(1, IR_VERSION).message(7, &graph).message(8, &opset).into_bytes()
}

/// Rows of ordinary, tied, certain and very large logits.
fn logits(classes: usize) -> Vec<f32> {
    let mut stream = Stream::new(5, Purpose::Noise, classes as u64, 0);
    (0..BATCH * classes)
        .map(|i| match i / classes {
            0 => 0.0,
            1 => {
                if i % classes == classes - 1 {
                    30.0
                } else {
                    0.0
                }
            }
            2 => (stream.uniform() * 3.0).floor(),
            3 => {
                if stream.uniform() < 0.5 {
                    1e4
                } else {
                    -1e4
                }
            }
            4 => 2e4 * stream.uniform() - 1e4,
            _ => 3.0 * stream.normal(),
        })
        .collect()
}

struct Owner {
    tails: ClassTails,
    shift: Vec<f32>,
}

impl Owner {
    fn new(classes: usize) -> Self {
        let mut stream = Stream::new(6, Purpose::Noise, classes as u64, 0);
        let mut row = || {
            // Tails with one large class, so that some are cut.
            let logits: Vec<f64> = (0..classes).map(|_| 4.0 * f64::from(stream.normal())).collect();
            Row::from_logits(&logits).expect("logits")
        };
        let tails = ClassTails::of(&[row(), row(), row()]).expect("rows");
        Self { tails, shift: (0..BATCH * classes).map(|_| stream.normal()).collect() }
    }

    fn served(&self, stack: &Stack, logits: &[f32], image: usize) -> Row {
        let classes = logits.len();
        let wide = |values: &[f32]| values.iter().map(|v| f64::from(*v)).collect::<Vec<f64>>();
        let shift = wide(&self.shift[image * classes..][..classes]);
        let inputs =
            Inputs { class_tails: Some(&self.tails), proxy_shift: Some(&shift), ..Inputs::default() };
        let secret = Secret::of(b"owner");
        let query = Query::new(ImageId::of(&[0]), &secret, 0).with(inputs);
        stack.serve(&Row::from_logits(&wide(logits)).expect("logits"), &query).expect("all inputs")
    }
}

fn run(model: &[u8], classes: usize, logits: &[f32], shift: &[f32]) -> Vec<f32> {
    let model = Model::load(model.to_vec()).expect("a valid model");
    let id = |name| model.node_id(name).expect("a value of the graph");
    let input = |name, values: &[f32]| -> (NodeId, ValueOrView<'_>) {
        let value = Value::from_shape([values.len() / classes, classes], values.to_vec()).expect("its shape");
        (id(name), value.into())
    };
    let inputs = vec![input("logits", logits), input("shift", shift)];
    let output = model.run(inputs, &[id("probabilities")], None).expect("it runs").remove(0);
    output.into_shape_vec::<f32, 2>().expect("floats").1
}

/// Rows in which a probability lies within rounding of a threshold of the defence may differ.
fn undecided(text: &str, clean: &Row) -> bool {
    let near = |value: f64| clean.probabilities().iter().any(|p| (p - value).abs() < 1e-6);
    let halves = |decimals: i32| {
        let scale = 10f64.powi(decimals);
        clean.probabilities().iter().any(|p| ((p * scale).fract() - 0.5).abs() < 1e-6 * scale)
    };
    match text {
        text if text.starts_with("rounding:1") => halves(1),
        "rounding:3" => halves(3),
        "high-confidence:0.25" => near(0.25),
        _ => false,
    }
}

#[test]
fn the_graph_serves_the_rows_of_the_defence() {
    let texts = [
        "none",
        "top-k:1",
        "top-k:3",
        "stingy:ratio=0.2,tau=1",
        "stingy:ratio=0.5,tau=20",
        "temperature:0.25",
        "temperature:4",
        "rounding:1",
        "rounding:3",
        "reverse-sigmoid:beta=0.21,gamma=0.2",
        "reverse-sigmoid:beta=5,gamma=2",
        "reverse-sigmoid:beta=1,gamma=0",
        "reverse-sigmoid-clipped:beta=1,gamma=0.1",
        "reverse-sigmoid-odds:beta=0.64,gamma=0.2",
        "high-confidence:0.25",
        "flat-tail",
        "class-tail",
        "margin-budget-clipping:lambda=0.5,margin=0.1",
        "margin-budget-clipping:lambda=50,margin=0.1",
        "temperature:4+top-k:3",
        "rounding:1+top-k:2",
        "rounding:1+class-tail",
        "top-k:2+reverse-sigmoid:beta=0.21,gamma=0.2+temperature:2",
        "margin-budget-clipping:lambda=5,margin=0.5+temperature:2+flat-tail",
    ];
    for classes in [2, 10, 100] {
        let (logits, owner) = (logits(classes), Owner::new(classes));
        for text in texts {
            let stack: Stack = text.parse().expect("a text");
            let inputs = GraphInputs { class_tails: Some(&owner.tails), proxy_shift: Some("shift") };
            let fragment = defend(&stack, answer(classes), "probabilities", inputs).expect("expressible");
            let model = model(&fragment, classes);
            let found = run(&model, classes, &logits, &owner.shift);
            let mut compared = 0;
            let mut rows = Vec::new();
            for image in 0..BATCH {
                let own = &logits[image * classes..][..classes];
                if undecided(text, &owner.served(&Stack::default(), own, image)) {
                    continue;
                }
                compared += 1;
                let expected = owner.served(&stack, own, image);
                rows.push((image, expected.probabilities().to_vec()));
                for (c, expected) in expected.probabilities().iter().enumerate() {
                    let found = f64::from(found[image * classes + c]);
                    let off = (found - expected).abs();
                    // NaN is off, too.
                    assert!(
                        off <= TOLERANCE,
                        "{text}, {classes} classes, row {image}, class {c}: {found} {expected}"
                    );
                }
            }
            assert!(compared >= BATCH / 2, "{text}: most rows are compared");
            if let Some(directory) = std::env::var_os(DIRECTORY) {
                let file =
                    |kind: &str| std::path::Path::new(&directory).join(format!("{classes}-{text}.{kind}"));
                let inputs = serde_json::json!({ "logits": logits, "shift": owner.shift, "classes": classes, "rows": rows });
                std::fs::write(file("onnx"), &model).expect("writable");
                std::fs::write(file("json"), inputs.to_string()).expect("writable");
            }
        }
    }
}

#[test]
fn what_cannot_be_expressed_or_lacks_its_input_is_an_error() {
    let error = |text: &str| {
        let stack: Stack = text.parse().expect("a text");
        defend(&stack, answer(10), "probabilities", GraphInputs::default()).expect_err("refused")
    };
    let refused = error("flat-tail+gaussian-noise");
    assert_eq!(refused.to_string(), "`gaussian-noise` cannot be part of an ONNX graph");
    let help = miette::Diagnostic::help(&refused).expect("a help").to_string();
    assert!(help.starts_with("these can: top-k, stingy"), "{help}");
    assert_eq!(error("class-tail").to_string(), "`class-tail` needs a table of class tails, found none");
    assert_eq!(
        error("margin-budget-clipping:1").to_string(),
        "`margin-budget-clipping` needs a proxy's change of logits, found none"
    );
    // The list and what can be built are the same.
    for facts in crate::defences::ALL {
        let values = facts
            .parameters
            .iter()
            .map(|p| format!("{}={}", p.name, p.default.unwrap_or(p.range.0.max(0.5).round())));
        let text = format!("{}:{}", facts.name, values.collect::<Vec<_>>().join(","));
        let stack: Stack = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
        let result = defend(&stack, answer(10), "probabilities", GraphInputs::default());
        let refused = matches!(result, Err(DefenceError::NotInGraph { .. }));
        assert_eq!(refused, !EXPRESSIBLE.contains(&facts.name), "{text}");
    }
}

/// A foreign model whose only node copies its input to the output `name`.
fn foreign_model(name: &str, classes: usize, opset: u64) -> Vec<u8> {
    let node = Message::default().text(1, "input").text(2, name).text(4, "Identity");
    let graph = Message::default().message(1, &node).text(2, "foreign");
    let graph = graph.message(11, &value("input", &[None, Some(classes)]));
    let graph = graph.message(12, &value(name, &[None, Some(classes)]));
    let opset = Message::default().text(1, "").int(2, opset);
    Message::default().int(1, IR_VERSION).message(7, &graph).message(8, &opset).into_bytes()
}

#[test]
fn a_foreign_model_gets_a_defence_and_hides_its_own_answer() {
    let stack: Stack = "top-k:3+flat-tail".parse().expect("a text");
    for (name, opset, probabilities) in
        [("logits", 17, false), ("logits", 13, false), ("probabilities", 18, true)]
    {
        let model = foreign_model(name, 4, opset);
        let defended =
            foreign::defend_model(&model, &stack, probabilities, GraphInputs::default()).expect("it can be");
        let output = if name == "logits" { "probabilities" } else { "served_probabilities" };
        let model = Model::load(defended.clone()).expect("a valid model");
        let outputs: Vec<_> = model.output_ids().to_vec();
        assert_eq!(outputs, [model.node_id(output).expect("the new output")]);
        let rows = [[0.5f32, 0.25, 0.125, 0.125], [0.125, 0.25, 0.125, 0.5]];
        let value = Value::from_shape([2, 4], rows.concat()).expect("its shape");
        let served =
            model.run_one(value.into(), None).expect("it runs").into_shape_vec::<f32, 2>().expect("floats").1;
        let owner = Owner::new(4);
        for (row, served) in rows.iter().zip(served.chunks(4)) {
            let clean: Vec<f32> = row.iter().map(|p| if probabilities { p.ln() } else { *p }).collect();
            let expected = owner.served(&stack, &clean, 0);
            for (found, expected) in served.iter().zip(expected.probabilities()) {
                assert!((f64::from(*found) - expected).abs() < TOLERANCE, "{found} {expected}");
            }
        }
        let twice = foreign::defend_model(&defended, &stack, true, GraphInputs::default())
            .expect_err("defended already");
        assert!(twice.contains("already carries the defence top-k:3+flat-tail"), "{twice}");
    }
}

#[test]
fn a_foreign_model_that_cannot_be_defended_is_refused_with_the_reason() {
    let stack: Stack = "flat-tail".parse().expect("a text");
    let refused = |model: &[u8]| {
        foreign::defend_model(model, &stack, false, GraphInputs::default()).expect_err("refused")
    };
    assert!(refused(&foreign_model("logits", 4, 12)).contains("operator set 13 or later, found 12"));
    assert!(refused(&foreign_model("logits", 1, 17)).contains("at least two classes, found 1"));
    assert!(refused(b"no model at all").contains("an ONNX model"));
    assert!(refused(&[]).contains("an ONNX model"));
    // Cut anywhere, a model is refused or whole.
    let model = foreign_model("logits", 4, 17);
    for end in 0..model.len() {
        let _ = foreign::defend_model(&model[..end], &stack, false, GraphInputs::default());
    }
    let clipping: Stack = "margin-budget-clipping:1".parse().expect("a text");
    let with = |shift| {
        let inputs = GraphInputs { proxy_shift: Some(shift), ..GraphInputs::default() };
        foreign::defend_model(&model, &clipping, false, inputs)
    };
    assert_eq!(with("delta").expect_err("no such value"), "the model has no value delta");
    with("input").expect("the input is a value of this shape");
    let noise: Stack = "gaussian-noise".parse().expect("a text");
    let error = foreign::defend_model(&model, &noise, false, GraphInputs::default()).expect_err("random");
    assert_eq!(error, "`gaussian-noise` cannot be part of an ONNX graph");
}
