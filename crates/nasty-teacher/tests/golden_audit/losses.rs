//! Thieves' losses with their gradients by the student's logits, in float32.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use nasty_teacher::losses::{self, Dist, Dkd, ShallowExit, Skeptical};
use serde_json::Value;

use crate::cases::{Case, close, file, list, rows};

const TOLERANCE: f64 = 1e-4;

struct Batch {
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    /// Those of ten classes have four exits.
    exits: Vec<Tensor<2>>,
}

fn tensor(rows: &[Vec<f64>], device: &Device) -> Tensor<2> {
    let values: Vec<f32> = rows.concat().iter().map(|v| *v as f32).collect();
    Tensor::from_data(TensorData::new(values, [rows.len(), rows[0].len()]), device)
}

impl Batch {
    fn new(name: &str, batches: &Value, device: &Device) -> Self {
        let case = Case::new(name.to_owned(), &batches[name]);
        let labels: Vec<i32> = case.wholes("labels").into_iter().map(|label| label as i32).collect();
        let exits = case.maybe("exits").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let batch = Self {
            student: tensor(&case.rows("student"), device).require_grad(),
            teacher: tensor(&case.rows("teacher"), device),
            labels: Tensor::from_data(TensorData::new(labels.clone(), [labels.len()]), device),
            exits: exits.iter().map(|exit| tensor(&rows(exit, name), device).require_grad()).collect(),
        };
        case.finish();
        batch
    }

    fn exits(&self) -> losses::Exits {
        <[Tensor<2>; 4]>::try_from(self.exits.clone()).unwrap_or_else(|_| panic!("a batch with four exits"))
    }
}

fn numbers(tensor: Tensor<2>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// The loss, and the tensors that it is differentiated by.
fn loss(name: &str, case: &Case<'_>, batch: &Batch) -> (Tensor<1>, Vec<Tensor<2>>) {
    let p = case.inner("params");
    let (student, teacher, labels) = (batch.student.clone(), batch.teacher.clone(), batch.labels.clone());
    let by_student = vec![batch.student.clone()];
    let loss = match name {
        "cross_entropy" => losses::cross_entropy(student, labels, p.number("epsilon")),
        "label_smoothing_off_label" => {
            losses::label_smoothing_off_label(student, labels, p.number("epsilon"))
        }
        "hard_label" => losses::hard_label(student, teacher),
        "soft_cross_entropy" => losses::soft_cross_entropy(student, softmax(teacher, 1)),
        "kd" => losses::distillation(student, teacher, labels, p.number("tau"), p.number("alpha")),
        "htc" => losses::htc(student, teacher, labels, p.number("tau"), p.number("alpha")),
        "stingy_kd" => {
            let keep = p.whole("keep");
            assert_eq!(
                (p.number("ratio") * student.dims()[1] as f64).round() as usize,
                keep,
                "{}",
                case.what()
            );
            losses::stingy_distillation(student, teacher, labels, p.number("tau"), p.number("alpha"), keep)
        }
        "averager" => {
            let (tau, alpha, weight) = (p.number("tau"), p.number("alpha"), p.number("kl_weight"));
            let classes = student.dims()[1];
            let of_logits = match p.text("average") {
                "logits" => true,
                "probabilities" => false,
                other => panic!("{}: an average of {other}", case.what()),
            };
            if let Some(target) = case.maybe("target") {
                let means = |values| losses::batch_class_means(values, labels.clone(), classes);
                let found = if of_logits {
                    softmax(means(teacher.clone()) / tau, 1)
                } else {
                    means(softmax(teacher.clone() / tau, 1))
                };
                close(&numbers(found), &rows(target, case.what()).concat(), 1e-6, case.what());
            }
            if of_logits {
                losses::averager_of_logits(student, teacher, labels, tau, alpha, weight)
            } else {
                losses::averager_of_probabilities(student, teacher, labels, tau, alpha, weight)
            }
        }
        "dkd" => Dkd {
            temperature: p.number("tau"),
            target: p.number("alpha"),
            others: p.number("beta"),
            labels: p.number("ce_weight"),
        }
        .loss(student, teacher, labels),
        "dist" => Dist {
            temperature: p.number("tau"),
            inter: p.number("beta"),
            intra: p.number("gamma"),
            weight: p.number("weight"),
            labels: p.number("ce_weight"),
        }
        .loss(student, teacher, labels),
        "tf_kd_reg" => {
            let (tau, alpha) = (p.number("tau"), p.number("alpha"));
            losses::tf_kd_regularisation(student, labels, tau, alpha, p.number("multiplier"))
        }
        "epd" => {
            let (tau, alpha) = (p.number("tau"), p.number("alpha"));
            losses::exponential_predictive(student, teacher, labels, tau, alpha, p.whole("keep"))
        }
        "logit_l1" => losses::logit_l1(student, losses::recovered_logits(teacher)),
        "skeptical" => {
            let exit = match p.whole("loc") {
                1 => ShallowExit::AfterStage3,
                2 => ShallowExit::AfterStage2,
                3 => ShallowExit::AfterStage1,
                other => panic!("{}: exit {other}", case.what()),
            };
            let thief = Skeptical { exit, temperature: p.number("tau"), alpha: p.number("alpha") };
            let exits = batch.exits();
            let by = exits.to_vec();
            let loss = if p.flag("distil") {
                thief.loss(exits, teacher, labels)
            } else {
                Skeptical::before(exits[0].clone(), labels)
            };
            p.finish();
            return (loss, by);
        }
        _ => panic!("{}: no such loss", case.what()),
    };
    p.finish();
    (loss, by_student)
}

#[test]
fn values_and_gradients() {
    let device = Device::flex().autodiff();
    let batches = file("batches.json");
    let mut largest = (0.0f64, 0.0f64);
    for (i, value) in list("losses.json").iter().enumerate() {
        let name = value["loss"].as_str().expect("every case names its loss");
        let case = Case::new(format!("{name} on {} (case {i})", value["batch"]), value);
        case.get("loss");
        let batch = Batch::new(case.text("batch"), &batches, &device);
        let (loss, by) = loss(name, &case, &batch);
        let gradients = loss.backward();
        let loss_value = f64::from(loss.into_scalar::<f32>());
        let value_expected = case.number("value");
        close(&[loss_value], &[value_expected], TOLERANCE, case.what());
        // An exit that the loss does not see has no gradient.
        let found: Vec<f64> = by
            .iter()
            .flat_map(|by| numbers(by.grad(&gradients).unwrap_or_else(|| by.zeros_like())))
            .collect();
        let gradient = case.get("gradient");
        let expected = match gradient[0][0] {
            Value::Array(_) => gradient
                .as_array()
                .expect("exits")
                .iter()
                .flat_map(|exit| rows(exit, case.what()).concat())
                .collect(),
            _ => rows(gradient, case.what()).concat(),
        };
        close(&found, &expected, TOLERANCE, &format!("{}, gradient", case.what()));
        let scale = expected.iter().fold(1.0f64, |most, v| most.max(v.abs()));
        largest.0 = largest.0.max((loss_value - value_expected).abs() / value_expected.abs().max(1.0));
        let off = found.iter().zip(&expected).map(|(f, e)| (f - e).abs()).fold(0.0, f64::max);
        largest.1 = largest.1.max(off / scale);
        case.finish();
    }
    eprintln!("largest deviation of a value {:.1e}, of a gradient {:.1e}", largest.0, largest.1);
}
