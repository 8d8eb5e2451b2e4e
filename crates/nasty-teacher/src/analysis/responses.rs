//! Responses of networks to single images: the paper's first figure. A normal teacher favours one class, a nasty one
//! several.

use super::{AnalysisError, drawn};
use crate::attacks::TestData;
use crate::data::ImageSet;
use crate::training::{NetworkRef, ask_all, identity};
use crate::victim::{LOG_FLOOR, Victim, log_probabilities};
use serde::{Deserialize, Serialize};

/// Version of [`ResponsesRecipe`]'s fields; part of its hash.
pub const RESPONSES_FORMAT: u32 = 1;
/// A class is a peak if its probability is at least this share of the largest one.
const PEAK: f64 = 0.25;

/// Which responses are wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResponsesRecipe {
    /// [`RESPONSES_FORMAT`].
    pub format: u32,
    /// Whose test images are shown.
    pub data: TestData,
    /// The networks, in the order of the figure.
    pub networks: Vec<NetworkRef>,
    /// Test images that are shown, drawn by `seed`, every class in its share.
    pub images: usize,
    /// τ of the probabilities.
    pub temperature: f64,
    /// Draws the images.
    pub seed: u64,
}

impl ResponsesRecipe {
    /// The identity: the first 16 hexadecimal digits of the SHA-256 of the recipe's canonical JSON.
    pub fn hash(&self) -> String {
        identity(self)
    }

    /// What is impossible about the recipe, with what to change; `None` if it can be carried out.
    pub fn problem(&self) -> Option<String> {
        let Self { format, networks, images, temperature, .. } = self;
        let checks = [
            (*format == RESPONSES_FORMAT, format!("format is {format}, expected {RESPONSES_FORMAT}")),
            (!networks.is_empty(), "networks is empty, expected at least one".into()),
            (*images > 0, "images is 0, expected at least 1".into()),
            (
                temperature.is_finite() && *temperature >= 1e-2,
                format!("temperature is {temperature}, expected at least 0.01"),
            ),
        ];
        let own = checks.into_iter().find_map(|(fine, what)| (!fine).then_some(what));
        own.or_else(|| networks.iter().find_map(|network| network.problem("networks")))
    }
}

/// What networks say about one image.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The image's place among the test images.
    pub image: usize,
    /// Its class.
    pub label: u16,
    /// For every network the probabilities `[classes]`.
    pub probabilities: Vec<Vec<f64>>,
}

/// One network's responses to all images in figures.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sharpness {
    /// Mean entropy of the probabilities, nats: 0 if always sure, ln(classes) if never.
    pub entropy: f64,
    /// Mean number of peaks: classes with at least a quarter of the largest probability, that one included.
    pub peaks: f64,
    /// Share of the images with more than one peak.
    pub multi_peaked: f64,
    /// Mean of the largest probability.
    pub confidence: f64,
}

/// What a recipe gives.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Responses {
    /// The shown images.
    pub shown: Vec<Response>,
    /// For every network, over all test images.
    pub sharpness: Vec<Sharpness>,
}

impl ResponsesRecipe {
    /// The responses of `victims`, the recipe's networks, all of one class count. The recipe's [`problem`](Self::problem) must
    /// be `None`.
    ///
    /// # Errors
    /// [`AnalysisError`] if there are too few test images, a victim does not answer or answers are not finite.
    pub fn carry_out(&self, victims: &[&dyn Victim], test: &ImageSet) -> Result<Responses, AnalysisError> {
        let chosen = drawn(&test.labels, self.images, self.seed)?;
        let of = |victim: &&dyn Victim| {
            let logits = ask_all(*victim, test, None)?.log_rows(LOG_FLOOR);
            match logits.iter().all(|v| v.is_finite()) {
                true => Ok(logits),
                false => Err(AnalysisError::NotFinite { what: "logits" }),
            }
        };
        let logits = victims.iter().map(of).collect::<Result<Vec<_>, AnalysisError>>()?;
        let classes = victims.first().map_or(1, |victim| victim.classes());
        Ok(Responses {
            shown: responses(&logits, &test.labels, classes, self.temperature, &chosen),
            sharpness: logits.iter().map(|l| sharpness(l, classes, self.temperature)).collect(),
        })
    }
}

/// `softmax(row / τ)`.
pub fn probabilities(row: &[f32], temperature: f64) -> Vec<f64> {
    log_probabilities(row, temperature).into_iter().map(f64::exp).collect()
}

/// The responses of networks with `logits` `[images, classes]` each, on test images, to those at `chosen`.
pub fn responses(
    logits: &[Vec<f32>],
    labels: &[u16],
    classes: usize,
    temperature: f64,
    chosen: &[usize],
) -> Vec<Response> {
    let of = |image: usize| Response {
        image,
        label: labels[image],
        probabilities: logits
            .iter()
            .map(|logits| probabilities(&logits[image * classes..][..classes], temperature))
            .collect(),
    };
    chosen.iter().map(|&image| of(image)).collect()
}

/// How sharp a network's answers `[images, classes]` are at temperature τ.
pub fn sharpness(logits: &[f32], classes: usize, temperature: f64) -> Sharpness {
    let mut sum = Sharpness { entropy: 0.0, peaks: 0.0, multi_peaked: 0.0, confidence: 0.0 };
    for row in logits.chunks_exact(classes) {
        let log_p = log_probabilities(row, temperature);
        let largest = log_p.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let peaks = log_p.iter().filter(|&&l| l >= largest + PEAK.ln()).count();
        // p·ln p is 0 in the limit where p underflows.
        sum.entropy -= log_p.iter().map(|l| if *l > -700.0 { l.exp() * l } else { 0.0 }).sum::<f64>();
        sum.peaks += peaks as f64;
        sum.multi_peaked += f64::from(u8::from(peaks > 1));
        sum.confidence += largest.exp();
    }
    let n = (logits.len() / classes).max(1) as f64;
    Sharpness {
        entropy: sum.entropy / n,
        peaks: sum.peaks / n,
        multi_peaked: sum.multi_peaked / n,
        confidence: sum.confidence / n,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::training::all_logits;
    use crate::victim::OwnNetwork;
    use burn::tensor::Device;

    #[test]
    fn sharpness_by_hand() {
        // Probabilities (¾, ⅛, ⅛) and (½, ½, 0) at τ = 1.
        let rows = [6f32.ln(), 0.0, 0.0, 0.0, 0.0, -1e4];
        let s = sharpness(&rows, 3, 1.0);
        let first = -(0.75 * 0.75f64.ln() + 0.25 * 0.125f64.ln());
        assert!((s.entropy - (first + 2f64.ln()) / 2.0).abs() < 1e-6, "{s:?}");
        assert_eq!((s.peaks, s.multi_peaked), (1.5, 0.5));
        assert!((s.confidence - 0.625).abs() < 1e-6);
        // τ = 2 takes the root of the ratios: 1/√6 of the largest is a peak.
        assert_eq!(sharpness(&rows[..3], 3, 2.0).peaks, 3.0);
        assert_eq!(sharpness(&rows[..3], 3, 1.0).peaks, 1.0);
    }

    #[test]
    fn responses_are_those_of_the_drawn_images() {
        use crate::attacks::test_support::{CLASSES, data, normalisation, test_images, victim};
        let device = Device::flex();
        let own = |seed: u64| OwnNetwork::new(&victim(seed), normalisation(), seed.to_string(), &device);
        let (a, b) = (own(3), own(4));
        let networks: [&dyn Victim; 2] = [&a, &b];
        let recipe = ResponsesRecipe {
            format: RESPONSES_FORMAT,
            data: data(),
            networks: ["0", "1"].map(|n| NetworkRef(n.repeat(16))).to_vec(),
            images: 6,
            temperature: 2.0,
            seed: 1,
        };
        let found = recipe.carry_out(&networks, &test_images()).expect("six of twelve");
        assert_eq!((found.shown.len(), found.sharpness.len()), (6, 2));
        for class in 0..3 {
            assert_eq!(
                found.shown.iter().filter(|r| r.label == class).count(),
                2,
                "every class in its share"
            );
        }
        let logits = all_logits(&victim(4), &normalisation(), &test_images(), &device);
        for response in &found.shown {
            let row = &logits[response.image * CLASSES..][..CLASSES];
            let sum: f64 = row.iter().map(|v| (f64::from(*v) / 2.0).exp()).sum();
            for (p, z) in response.probabilities[1].iter().zip(row) {
                assert!((p - (f64::from(*z) / 2.0).exp() / sum).abs() < 1e-6);
            }
        }
        let greedy = ResponsesRecipe { images: 13, ..recipe };
        assert!(greedy.carry_out(&networks, &test_images()).is_err());
    }

    #[test]
    fn impossible_recipes_are_refused() {
        let data = TestData { name: crate::data::DataName::Quickstart, digest: String::new(), side: None };
        let networks = vec![NetworkRef("0123456789abcdef".into())];
        let fine = ResponsesRecipe {
            format: RESPONSES_FORMAT,
            data,
            networks,
            images: 4,
            temperature: 4.0,
            seed: 0,
        };
        assert_eq!(fine.problem(), None);
        let problem = |recipe: ResponsesRecipe| recipe.problem().expect("impossible");
        assert!(problem(ResponsesRecipe { networks: vec![], ..fine.clone() }).contains("networks"));
        assert!(problem(ResponsesRecipe { temperature: f64::NAN, ..fine.clone() }).contains("temperature"));
        assert!(problem(ResponsesRecipe { images: 0, ..fine.clone() }).contains("images"));
        assert_ne!(ResponsesRecipe { seed: 1, ..fine.clone() }.hash(), fine.hash());
    }
}
