//! Defences as ONNX nodes after a network's logits, so that they run in the owner's own runtime.
//!
//! They give the same rows as [`crate::defences`], in float32. Where a defence uses a threshold (rounding, the
//! high-confidence cut), a probability within rounding error of it may fall on the other side. The operators exist from
//! operator set 13.

use crate::defences::{ClassTail, DefenceError, Layer, Need, Stack, Stingy};
use crate::protobuf::Message;

mod builder;
pub(super) mod foreign;
mod fragment;
#[cfg(test)]
mod tests;

use super::messages::{FLOAT, int};
use builder::Builder;
pub(super) use fragment::Fragment;
pub use fragment::GraphInputs;

/// What a graph answers without a defence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer<'a> {
    /// The value's name; it is `[batch, classes]`.
    pub(super) name: &'a str,
    /// Its classes.
    pub(super) classes: usize,
    /// Whether it is probabilities, else logits.
    pub(super) probabilities: bool,
    /// The graph's version of ONNX's operator set, at least 13.
    pub(super) opset: u64,
}

/// Nodes that compute the value `output`, served probabilities `[batch, classes]`, from `answer`. Without any defence they
/// are its softmax, or its probabilities.
///
/// # Errors
/// [`DefenceError::NotInGraph`] for a defence that cannot be expressed, [`DefenceError::MissingInput`] or
/// [`DefenceError::BadInput`] where `inputs` lacks what one needs.
pub(super) fn defend(
    stack: &Stack,
    answer: Answer<'_>,
    output: &str,
    inputs: GraphInputs<'_>,
) -> Result<Fragment, DefenceError> {
    let fragment = Fragment { nodes: vec![], constants: vec![] };
    let mut builder = Builder { fragment, classes: answer.classes, opset: answer.opset, inputs };
    let name = answer.name.to_owned();
    let mut row = if answer.probabilities { Served::Probabilities(name) } else { Served::Scores(name) };
    for layer in stack.layers() {
        row = builder.layer(layer, row)?;
    }
    let probabilities = builder.probabilities(&row);
    builder.push("Identity", &[&probabilities], &[output], Message::default());
    Ok(builder.fragment)
}

/// The defences that [`defend`] can express.
const EXPRESSIBLE: &[&str] = &[
    "top-k",
    "stingy",
    "rounding",
    "temperature",
    "reverse-sigmoid",
    "reverse-sigmoid-clipped",
    "reverse-sigmoid-odds",
    "high-confidence",
    "flat-tail",
    "class-tail",
    "margin-budget-clipping",
];

/// A served row's value in the graph, `[batch, classes]`.
enum Served {
    /// Logarithms of the probabilities, up to a shift of the row.
    Scores(String),
    Probabilities(String),
}

impl Served {
    /// The row as it is. Its classes are ordered by these numbers: logarithms of equal ones may differ in a runtime.
    fn values(&self) -> &str {
        let (Self::Scores(values) | Self::Probabilities(values)) = self;
        values
    }
}

impl Builder<'_> {
    fn layer(&mut self, layer: &Layer, row: Served) -> Result<Served, DefenceError> {
        let name = layer.facts().name;
        Ok(match (name, layer.values()) {
            ("top-k", [k]) => self.largest(&row, *k as usize, 1.0),
            ("stingy", [ratio, tau]) => {
                let keep = Stingy { ratio: *ratio, temperature: *tau }.keep(self.classes);
                self.largest(&row, keep, *tau)
            }
            ("temperature", [tau]) => self.largest(&row, self.classes, *tau),
            ("rounding", [decimals]) => self.rounding(&row, *decimals as i32),
            ("high-confidence", [cutoff]) => self.high_confidence(&row, *cutoff),
            ("reverse-sigmoid", [beta, gamma]) => {
                self.reverse_sigmoid(&row, *beta, *gamma, f64::INFINITY, false)
            }
            ("reverse-sigmoid-odds", [beta, gamma]) => self.reverse_sigmoid(&row, *beta, *gamma, 0.0, false),
            ("reverse-sigmoid-clipped", [beta, gamma]) => {
                self.reverse_sigmoid(&row, *beta, *gamma, 1e9f64.ln(), true)
            }
            ("flat-tail", []) => self.flat_tail(&row),
            ("class-tail", []) => self.class_tail(&row, name)?,
            ("margin-budget-clipping", [lambda, margin]) => {
                self.margin_clipping(&row, name, *lambda, *margin)?
            }
            _ => return Err(DefenceError::NotInGraph { defence: name, expressible: EXPRESSIBLE.join(", ") }),
        })
    }

    fn largest(&mut self, row: &Served, keep: usize, tau: f64) -> Served {
        let mut scores = self.scores(row);
        if keep < self.classes {
            let count = self.integers(&[keep], &[1]);
            let [_, places] = self.two("TopK", &[row.values(), &count], int(Message::default(), "axis", 1));
            // Of every class, whether it is among the places: [batch, keep, 1] against [classes].
            let axis = self.integers(&[2], &[1]);
            let places = self.one("Unsqueeze", &[&places, &axis]);
            let all = self.all_classes();
            let hits = self.one("Equal", &[&places, &all]);
            let hits = self.with("Cast", &[&hits], int(Message::default(), "to", FLOAT as usize));
            let hits = self.largest_along_1(&hits, 0);
            let half = self.number(0.5);
            let kept = self.one("Greater", &[&hits, &half]);
            let never = self.number(f64::NEG_INFINITY);
            scores = self.one("Where", &[&kept, &scores, &never]);
        }
        if tau != 1.0 {
            // Shifted by the maximum first: the largest is 0 at any temperature.
            let most = self.most(&scores);
            let shifted = self.one("Sub", &[&scores, &most]);
            let tau = self.number(tau);
            scores = self.one("Div", &[&shifted, &tau]);
        }
        Served::Scores(scores)
    }

    fn rounding(&mut self, row: &Served, decimals: i32) -> Served {
        let (p, top) = (self.probabilities(row), self.at_top(row));
        let scale = self.number(10f64.powi(decimals));
        let scaled = self.one("Mul", &[&p, &scale]);
        let rounded = self.one("Round", &[&scaled]);
        self.divided(&rounded, &top)
    }

    fn high_confidence(&mut self, row: &Served, cutoff: f64) -> Served {
        let (p, top) = (self.probabilities(row), self.at_top(row));
        let (cutoff, nothing) = (self.number(cutoff), self.number(0.0));
        let below = self.one("Less", &[&p, &cutoff]);
        let kept = self.one("Where", &[&below, &nothing, &p]);
        self.divided(&kept, &top)
    }

    /// All three versions: logits up to `largest_logit` (and down to its negative if `clipped`).
    fn reverse_sigmoid(
        &mut self,
        row: &Served,
        beta: f64,
        gamma: f64,
        largest_logit: f64,
        clipped: bool,
    ) -> Served {
        let (scores, top) = (self.scores(row), self.at_top(row));
        let mut p = self.probabilities(row);
        if gamma == 0.0 {
            return Served::Probabilities(p);
        }
        let logs = self.with("LogSoftmax", &[&scores], int(Message::default(), "axis", 1));
        // ln(1 − p): by the other classes for the top one, which may be near 1.
        let (one, nothing) = (self.number(1.0), self.number(0.0));
        let others = self.one("Sub", &[&one, &p]);
        let others = self.one("Log", &[&others]);
        let rest = self.log_rest(&logs, &top);
        let log_rest = self.one("Where", &[&top, &rest, &others]);
        let mut logit = self.one("Sub", &[&logs, &log_rest]);
        if largest_logit.is_finite() {
            let most = self.number(largest_logit);
            logit = self.one("Min", &[&logit, &most]);
        }
        if clipped {
            let (least, least_p) = (self.number(-largest_logit), self.number(1e-9));
            logit = self.one("Max", &[&logit, &least]);
            p = self.one("Max", &[&p, &least_p]);
        }
        let gamma = self.number(gamma);
        let steep = self.one("Mul", &[&logit, &gamma]);
        let sigmoid = self.one("Sigmoid", &[&steep]);
        let (half, beta) = (self.number(0.5), self.number(beta));
        let centred = self.one("Sub", &[&sigmoid, &half]);
        let perturbation = self.one("Mul", &[&centred, &beta]);
        let perturbed = self.one("Sub", &[&p, &perturbation]);
        let mut weights = self.one("Max", &[&perturbed, &nothing]);
        if clipped {
            weights = self.one("Min", &[&weights, &one]);
        }
        self.divided(&weights, &top)
    }

    fn flat_tail(&mut self, row: &Served) -> Served {
        let (scores, top) = (self.scores(row), self.at_top(row));
        let logs = self.with("LogSoftmax", &[&scores], int(Message::default(), "axis", 1));
        let (most, rest) = (self.most(&logs), self.log_rest(&logs, &top));
        let others = self.number(((self.classes - 1) as f64).ln());
        let each = self.one("Sub", &[&rest, &others]);
        let each = self.one("Min", &[&each, &most]);
        Served::Scores(self.one("Where", &[&top, &logs, &each]))
    }

    /// `min(cap, λ·tail)` as in the defence itself.
    fn class_tail(&mut self, row: &Served, name: &'static str) -> Result<Served, DefenceError> {
        let table = self.inputs.class_tails.ok_or_else(|| DefenceError::missing(name, Need::ClassTails))?;
        if table.classes() != self.classes {
            return Err(DefenceError::size(name, Need::ClassTails, self.classes, table.classes()));
        }
        let n = self.classes;
        let tails: Vec<f64> = (0..n).flat_map(|top| table.tail(top).to_vec()).collect();
        // Of every predicted class: the sums of its smallest shares, 1, 2, … of them.
        let sums = (0..n).flat_map(|top| {
            let mut sorted: Vec<f64> = (0..n).filter(|c| *c != top).map(|c| table.tail(top)[c]).collect();
            sorted.sort_by(f64::total_cmp);
            sorted.into_iter().scan(0.0, |sum, share| {
                *sum += share;
                Some(*sum)
            })
        });
        let sums: Vec<f64> = sums.collect();
        let full: Vec<f64> = (0..n - 1).map(|i| (n - 2 - i) as f64).collect();
        let (tails, sums) = (self.floats("tails", &tails, &[n, n]), self.floats("sums", &sums, &[n, n - 1]));
        let full = self.floats("full", &full, &[1, n - 1]);

        let (scores, top) = (self.scores(row), self.at_top(row));
        let place = self.place_of_top(row.values());
        let axis = self.integers(&[1], &[1]);
        let place = self.one("Squeeze", &[&place, &axis]);
        let [tail, left] = [&tails, &sums].map(|table| self.one("Gather", &[table, &place]));
        let logs = self.with("LogSoftmax", &[&scores], int(Message::default(), "axis", 1));
        let rest = self.log_rest(&logs, &top);
        let rest = self.one("Exp", &[&rest]);
        let p = self.probabilities(row);
        let own = self.most(&p);
        let (others, nothing, share) =
            (self.number((n - 1) as f64), self.number(0.0), self.number(ClassTail::BELOW_TOP));
        let flat = self.one("Div", &[&rest, &others]);
        let gap = self.one("Sub", &[&own, &flat]);
        let gap = self.one("Max", &[&gap, &nothing]);
        let gap = self.one("Mul", &[&gap, &share]);
        let cap = self.one("Sub", &[&own, &gap]);
        let taken = self.one("Mul", &[&full, &cap]);
        let open = self.one("Sub", &[&rest, &taken]);
        let scales = self.one("Div", &[&open, &left]);
        let scale = self.most(&scales);
        let scaled = self.one("Mul", &[&tail, &scale]);
        let capped = self.one("Min", &[&scaled, &cap]);
        let served = self.one("Where", &[&top, &own, &capped]);
        Ok(self.divided(&served, &top))
    }

    fn margin_clipping(
        &mut self,
        row: &Served,
        name: &'static str,
        lambda: f64,
        margin: f64,
    ) -> Result<Served, DefenceError> {
        let delta = self.inputs.proxy_shift.ok_or_else(|| DefenceError::missing(name, Need::ProxyShift))?;
        let (scores, top) = (self.scores(row), self.at_top(row));
        let most = self.most(&scores);
        let (nothing, lambda, margin) = (self.number(0.0), self.number(lambda), self.number(-margin));
        let at_top = self.one("Where", &[&top, delta, &nothing]);
        let at_top = self.sum(&at_top);
        let speed = self.one("Sub", &[delta, &at_top]);
        let push = self.one("Mul", &[&speed, &lambda]);
        // Relative to the top logit, and so that large gaps cost no digits: min(λ·speed − gap, max(−m, −gap)).
        let below = self.one("Sub", &[&scores, &most]);
        let push = self.one("Add", &[&push, &below]);
        let limit = self.one("Max", &[&below, &margin]);
        let pushed = self.one("Min", &[&push, &limit]);
        Ok(Served::Scores(self.one("Where", &[&top, &nothing, &pushed])))
    }

    fn scores(&mut self, row: &Served) -> String {
        match row {
            Served::Scores(scores) => scores.clone(),
            Served::Probabilities(p) => self.one("Log", &[p]),
        }
    }

    fn probabilities(&mut self, row: &Served) -> String {
        match row {
            Served::Scores(scores) => self.with("Softmax", &[scores], int(Message::default(), "axis", 1)),
            Served::Probabilities(p) => p.clone(),
        }
    }

    /// The predicted class of each row, `[batch, 1]`. Not by `ArgMax`: some runtimes give the last of equals there.
    fn place_of_top(&mut self, values: &str) -> String {
        let count = self.integers(&[1], &[1]);
        let [_, place] = self.two("TopK", &[values, &count], int(Message::default(), "axis", 1));
        place
    }

    /// True at each row's predicted class, the lowest among equals.
    fn at_top(&mut self, row: &Served) -> String {
        let place = self.place_of_top(row.values());
        let all = self.all_classes();
        self.one("Equal", &[&place, &all])
    }

    /// `ln(1 − p_top)` `[batch, 1]`, by log-sum-exp over the other classes; −∞ where they are all 0.
    fn log_rest(&mut self, logs: &str, top: &str) -> String {
        let (never, low) = (self.number(f64::NEG_INFINITY), self.number(-1e30));
        let others = self.one("Where", &[top, &never, logs]);
        let most = self.most(&others);
        let most = self.one("Max", &[&most, &low]);
        let shifted = self.one("Sub", &[&others, &most]);
        let weights = self.one("Exp", &[&shifted]);
        let sum = self.sum(&weights);
        let log = self.one("Log", &[&sum]);
        self.one("Add", &[&log, &most])
    }

    /// Weights divided by their sum; where all are 0, the predicted class with certainty.
    fn divided(&mut self, weights: &str, top: &str) -> Served {
        let nothing = self.number(0.0);
        let certain = self.with("Cast", &[top], int(Message::default(), "to", FLOAT as usize));
        let sum = self.sum(weights);
        let some = self.one("Greater", &[&sum, &nothing]);
        let weights = self.one("Where", &[&some, weights, &certain]);
        let sum = self.sum(&weights);
        Served::Probabilities(self.one("Div", &[&weights, &sum]))
    }
}
