//! A network held against one case of golden values.

#![expect(clippy::print_stderr, reason = "the record of errors, shown under --nocapture")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::momentum::MomentumConfig;
use burn::optim::{GradientsParams, SgdConfig};
use burn::tensor::{Device, Int, Tensor, TensorData};
use nasty_teacher::losses;
use nasty_teacher::nets::{Architecture, Input, Mode, NamedTensor, Network};
use serde::Deserialize;

// What float32 allows was measured on PyTorch itself: the same networks there, in float64 on weights and images that
// are merely rounded to float32, deviate from these cases as much as in float32, and as ours do. Logits and losses are
// continuous and agree closely. A gradient jumps where a ReLU's input changes its sign by rounding; among the
// millions of activations of a deep network a few do, which moves some tensors' gradients by up to a few parts in a
// hundred, and three steps on four images multiply that (ResNet-50: gradients 2e-3, the third loss 2e-1, states 7e-2).

/// Relative to the largest logit of the batch.
const EVAL_LOGITS: f64 = 5e-5;
/// The most that a prepared network's logits may differ from evaluation mode's, relative to the largest of the batch, where evaluation
/// mode itself is closer than half of that to float64.
const PREPARED: f64 = 1e-5;
/// Relative to the largest logit of the batch; statistics of four images lose digits in a deep network.
const TRAIN_LOGITS: f64 = 2e-4;
/// Relative, and to 1 for losses that are small differences.
const LOSS: f64 = 2e-5;
/// Median over the tensors, relative to the tensor's gradient norm ...
const GRADIENT: f64 = 1e-3;
/// ... and for every tensor ...
const CROSSED_RELU: f64 = 1e-1;
/// ... and to the largest gradient's norm: gradients that are zero in exact arithmetic (biases before a batch-norm)
/// are what rounding leaves of sums that cancel.
const GRADIENT_NOISE: f64 = 1e-2;
/// Gradients that agree as closely as this crossed no ReLU.
const UNCROSSED: f64 = 5e-6;
/// The largest deviation of the later losses and of the state after three steps, as a multiple of the first
/// gradients' ...
const LATER: f64 = 100.0;
/// ... but no more than this.
const CHAOS: f64 = 0.5;
/// The median deviation of the state after three steps, as a multiple of the first gradients' median (rounding alone
/// makes the latter up to 5e-7): where no ReLU was crossed, a third of what the weight decay does.
const STATE: f64 = 20.0;
const ROUNDED: f64 = 5e-7;

#[derive(Deserialize)]
struct Case {
    architecture: String,
    classes: usize,
    image: usize,
    batch: usize,
    seed: u64,
    tensors: Vec<(String, Vec<usize>)>,
    trainable_parameters: usize,
    eval_logits: Vec<Vec<f64>>,
    train_logits: Vec<Vec<f64>>,
    loss: BTreeMap<String, f64>,
    gradient_norms: BTreeMap<String, BTreeMap<String, f64>>,
    sgd: Sgd,
}

#[derive(Deserialize)]
struct Sgd {
    learning_rate: f64,
    momentum: f64,
    weight_decay: f64,
    objective: String,
    losses: Vec<f64>,
    tensor_norms_after: BTreeMap<String, f64>,
}

/// The rule for pseudo-random numbers of tensor `k` under seed `s`.
fn u(k: usize, i: usize, s: u64) -> f64 {
    let angle =
        12.9898 * (i % 65536 + 1) as f64 + 78.233 * (k + 1) as f64 + 0.5 * (i / 65536) as f64 + s as f64;
    let v = angle.sin() * 43758.5453;
    v - v.floor()
}

impl Case {
    fn weights(&self) -> Vec<NamedTensor> {
        let tensor = |(k, (name, shape)): (usize, &(String, Vec<usize>))| {
            let elements: usize = shape.iter().product();
            // A vector named `weight` is a batch-norm's: no layer has another one.
            let positive = shape.len() == 1 && (name.ends_with(".weight") || name.ends_with(".running_var"));
            let value = |i| match shape.len() {
                1 if positive => 0.5 + u(k, i, self.seed),
                1 => 0.2 * (u(k, i, self.seed) - 0.5),
                _ => {
                    let fan_in: usize = shape[1..].iter().product();
                    (2.0 * u(k, i, self.seed) - 1.0) * 3f64.sqrt() * (2.0 / fan_in as f64).sqrt()
                }
            };
            let data = (0..elements).map(|i| value(i) as f32).collect();
            NamedTensor { name: name.clone(), shape: shape.clone(), data }
        };
        self.tensors.iter().enumerate().map(tensor).collect()
    }

    fn architecture(&self) -> Architecture {
        self.architecture.parse().unwrap_or_else(|e| panic!("a case is of no known architecture: {e}"))
    }

    fn network(&self, device: &Device) -> Network {
        let input = Input { channels: 3, side: self.image };
        let network = self.architecture().build(self.classes, input, 0, device).unwrap();
        network.load_state_dict(&self.weights()).unwrap()
    }

    /// `[batch, side, side, 3]`; the rule counts elements in the order image, channel, row, column.
    fn images(&self, device: &Device) -> Tensor<4> {
        let (n, side) = (self.batch, self.image);
        let values: Vec<f32> =
            (0..n * 3 * side * side).map(|i| (2.0 * u(1000, i, self.seed) - 1.0) as f32).collect();
        let nchw = Tensor::<4>::from_data(TensorData::new(values, [n, 3, side, side]), device);
        nchw.permute([0, 2, 3, 1])
    }

    fn frozen_logits(&self, device: &Device) -> Tensor<2> {
        let values: Vec<f32> =
            (0..self.batch * self.classes).map(|i| (10.0 * u(2000, i, self.seed) - 5.0) as f32).collect();
        Tensor::from_data(TensorData::new(values, [self.batch, self.classes]), device)
    }

    fn labels(&self, device: &Device) -> Tensor<1, Int> {
        let labels: Vec<i32> = (0..self.batch).map(|n| (3 * n % self.classes) as i32).collect();
        Tensor::from_data(TensorData::new(labels, [self.batch]), device)
    }

    fn objective(&self, name: &str, logits: Tensor<2>, device: &Device) -> Tensor<1> {
        let labels = self.labels(device);
        match name {
            "cross_entropy" => losses::cross_entropy(logits, labels, 0.0),
            "distillation" => losses::distillation(logits, self.frozen_logits(device), labels, 4.0, 0.9),
            "self_undermining" => {
                losses::self_undermining(logits, self.frozen_logits(device), labels, 4.0, 0.04)
            }
            other => panic!("a case names the loss `{other}`"),
        }
    }
}

/// Squared norms of gradients, by parameter id.
struct Norms<'a>(&'a GradientsParams, BTreeMap<u64, f64>);

impl ModuleVisitor for Norms<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.0.get::<D>(param.id) {
            let values: Vec<f32> = gradient.into_data().try_into_vec().unwrap();
            self.1.insert(param.id.val(), norm(&values));
        }
    }
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt()
}

fn scalar(t: Tensor<1>) -> f64 {
    f64::from(t.into_scalar::<f32>())
}

/// Relative errors by kind, and what does not hold.
#[derive(Default)]
struct Findings {
    faults: Vec<String>,
    errors: BTreeMap<&'static str, Vec<(f64, String)>>,
}

impl Findings {
    fn compare(&mut self, kind: &'static str, name: &str, ours: f64, expected: f64, scale: f64) {
        let error = (ours - expected).abs() / scale;
        self.errors.entry(kind).or_default().push((error, format!("{name}: {ours} for {expected}")));
    }

    fn logits(&mut self, kind: &'static str, ours: Tensor<2>, expected: &[Vec<f64>]) {
        let ours: Vec<f32> = ours.into_data().try_into_vec().unwrap();
        self.values(kind, &ours, &expected.iter().flatten().copied().collect::<Vec<f64>>());
    }

    fn values(&mut self, kind: &'static str, ours: &[f32], expected: &[f64]) {
        assert_eq!(ours.len(), expected.len());
        let scale = expected.iter().fold(0f64, |m, v| m.max(v.abs()));
        for (i, (a, b)) in ours.iter().zip(expected).enumerate() {
            self.compare(kind, &i.to_string(), f64::from(*a), *b, scale);
        }
    }

    fn loss(&mut self, kind: &'static str, name: &str, ours: f64, expected: f64) {
        self.compare(kind, name, ours, expected, expected.abs().max(1.0));
    }

    /// The median and the largest error of a kind; NaN counts as the largest.
    fn spread(&mut self, kind: &'static str) -> (f64, f64) {
        let errors = self.errors.get_mut(kind).unwrap_or_else(|| panic!("no {kind} was compared"));
        errors.sort_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
        (errors[errors.len() / 2].0, errors[errors.len() - 1].0)
    }

    /// Every error of `kind` is at most `most`, and their median at most `median`.
    fn within(&mut self, kind: &'static str, median: f64, most: f64) {
        let (middle, _) = self.spread(kind);
        let faults = self.errors[kind].iter().rev().filter(|(error, _)| beyond(*error, most));
        let faults: Vec<String> = faults
            .map(|(error, what)| format!("{kind} {what} (error {error:.1e}, at most {most:.1e})"))
            .collect();
        self.faults.extend(faults);
        if beyond(middle, median) {
            self.faults.push(format!("{kind}: median error {middle:.1e}, at most {median:.1e}"));
        }
    }

    fn judge(&mut self) {
        self.within("eval logits", EVAL_LOGITS, EVAL_LOGITS);
        self.within("prepared logits", EVAL_LOGITS, EVAL_LOGITS);
        // Two ways to round agree no better than either agrees with float64.
        let (_, rounding) = self.spread("eval logits");
        let most = PREPARED.max(2.0 * rounding);
        self.within("prepared and eval logits", most, most);
        self.within("train logits", TRAIN_LOGITS, TRAIN_LOGITS);
        self.within("loss", LOSS, LOSS);
        self.within("gradient", GRADIENT, CROSSED_RELU);
        let (median, first) = self.spread("gradient");
        let later = (LATER * first.max(UNCROSSED)).min(CHAOS);
        self.within("first sgd loss", LOSS, LOSS);
        self.within("later sgd loss", later, later);
        self.within("sgd state", STATE * median.max(ROUNDED), later);
    }
}

/// NaN is beyond everything.
fn beyond(error: f64, most: f64) -> bool {
    error.is_nan() || error > most
}

fn check(case: &Case) -> Findings {
    let mut findings = Findings::default();
    let device = Device::flex().autodiff();
    let fresh = case.network(&device);
    let names: Vec<(String, Vec<usize>)> =
        fresh.state_dict().into_iter().map(|t| (t.name, t.shape)).collect();
    if names != case.tensors {
        findings.faults.push("the state dictionary's order is another one".into());
    }
    if fresh.parameters() != case.trainable_parameters {
        findings.faults.push(format!("{} parameters for {}", fresh.parameters(), case.trainable_parameters));
    }
    let images = case.images(&device);

    let plain = fresh.valid();
    let eval = plain.forward(images.clone().without_autodiff(), Mode::Eval);
    findings.logits("eval logits", eval.clone(), &case.eval_logits);
    // Both ways to answer are held to the same values, and to each other.
    let pixels: Vec<f32> = images.clone().without_autodiff().into_data().try_into_vec().unwrap();
    let prepared = plain.prepare().logits(&pixels);
    let eval: Vec<f64> = eval.into_data().iter::<f64>().collect();
    findings.values("prepared logits", &prepared, &case.eval_logits.concat());
    findings.values("prepared and eval logits", &prepared, &eval);

    for (name, norms) in &case.gradient_norms {
        // A copy, because a forward pass in training mode moves the running statistics.
        let network = fresh.clone();
        let logits = network.forward(images.clone(), Mode::Train);
        findings.logits("train logits", logits.clone(), &case.train_logits);
        let loss = case.objective(name, logits, &device);
        findings.loss("loss", name, scalar(loss.clone()), case.loss[name]);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        let mut visitor = Norms(&gradients, BTreeMap::new());
        network.visit(&mut visitor);
        let largest = norms.values().fold(0f64, |m, v| m.max(*v));
        assert_eq!(visitor.1.len(), norms.len(), "every parameter has a gradient");
        for (id, ours) in &visitor.1 {
            let tensor = &case.tensors[*id as usize].0;
            let expected = norms[tensor];
            let scale = expected + largest * GRADIENT_NOISE;
            findings.compare("gradient", &format!("{tensor} of {name}"), *ours, expected, scale);
        }
    }

    let sgd = &case.sgd;
    let momentum = MomentumConfig::new().with_momentum(sgd.momentum).with_dampening(0.0);
    let decay = burn::optim::decay::WeightDecayConfig::new(sgd.weight_decay as f32);
    let mut optimizer = SgdConfig::new().with_momentum(Some(momentum)).with_weight_decay(Some(decay)).init();
    let mut network = fresh.clone();
    for (step, expected) in sgd.losses.iter().enumerate() {
        let logits = network.forward(images.clone(), Mode::Train);
        let loss = case.objective(&sgd.objective, logits, &device);
        let kind = if step == 0 { "first sgd loss" } else { "later sgd loss" };
        findings.loss(kind, &format!("before step {step}"), scalar(loss.clone()), *expected);
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(sgd.learning_rate, network, gradients);
    }
    for tensor in network.state_dict() {
        let expected = sgd.tensor_norms_after[&tensor.name];
        findings.compare("sgd state", &tensor.name, norm(&tensor.data), expected, expected);
    }
    findings.judge();
    findings
}

/// Every case in the folder, with its name.
fn cases(folder: &Path) -> Vec<(String, Case)> {
    let entries = std::fs::read_dir(folder)
        .unwrap_or_else(|e| panic!("the golden values are not in {}: {e}", folder.display()));
    let mut files: Vec<PathBuf> =
        entries.map(|e| e.unwrap().path()).filter(|p| p.extension().is_some_and(|e| e == "json")).collect();
    files.sort();
    assert!(!files.is_empty(), "{} holds no golden values", folder.display());
    let read = |file: PathBuf| {
        let case = serde_json::from_slice(&std::fs::read(&file).unwrap())
            .unwrap_or_else(|e| panic!("{} is not a case: {e}", file.display()));
        (file.file_stem().unwrap().to_string_lossy().into_owned(), case)
    };
    files.into_iter().map(read).collect()
}

/// Holds the cases of the architectures that `wanted` chooses, and says how many; a case of an unknown architecture fails
/// all.
pub(crate) fn hold(folder: &Path, wanted: impl Fn(Architecture) -> bool) -> usize {
    let (mut faults, mut held) = (Vec::new(), 0);
    for (name, case) in cases(folder).into_iter().filter(|(_, case)| wanted(case.architecture())) {
        held += 1;
        let started = std::time::Instant::now();
        let mut findings = check(&case);
        let kinds: Vec<&'static str> = findings.errors.keys().copied().collect();
        let errors: Vec<String> = kinds
            .into_iter()
            .map(|kind| {
                let (median, most) = findings.spread(kind);
                format!("{kind} {median:.0e} to {most:.0e}")
            })
            .collect();
        let errors = errors.join(", ");
        eprintln!("{name}: {:.1} s, median and worst errors: {errors}", started.elapsed().as_secs_f64());
        let shown = findings.faults.iter().take(8).map(|f| format!("{name}: {f}"));
        faults.extend(shown);
        if findings.faults.len() > 8 {
            faults.push(format!("{name}: … {} faults in all", findings.faults.len()));
        }
    }
    assert!(faults.is_empty(), "golden values that do not hold:\n{}", faults.join("\n"));
    held
}
