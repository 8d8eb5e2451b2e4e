//! A network's accuracy on a set of images, in exact counts.

use crate::data::{Augmentation, ImageSet, Normalisation, render};
use crate::nets::{Answering, Network};
use crate::victim::{Answers, LOG_FLOOR, Origin, Request, Victim, VictimError, argmax, log_probabilities};
use burn::tensor::Device;
use serde::{Deserialize, Serialize};

/// Images a forward pass; also the batch of the published scripts' averaged accuracy.
const BATCH: usize = 128;
/// Bins of the expected calibration error (Guo et al., ICML 2017).
const BINS: usize = 15;

/// How well a network classifies a set of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Images whose largest logit is at their label.
    pub correct: usize,
    /// Images.
    pub total: usize,
    /// `correct / total`.
    pub accuracy: f64,
    /// Mean cross entropy, in nats.
    pub loss: f64,
    /// Expected calibration error, 15 bins: mean |confidence − accuracy|.
    pub calibration_error: f64,
    /// Mean of the accuracies of batches of 128, the last one smaller: what the published scripts report.
    pub batch_averaged_accuracy: f64,
    /// (correct, total) of every class.
    pub per_class: Vec<(usize, usize)>,
}

/// Logits `[images, classes]`, row-major, of unchanged images: how the owner of a network looks at it. Thieves ask a
/// [`Victim`].
pub fn all_logits(
    network: &Network,
    normalisation: &Normalisation,
    images: &ImageSet,
    device: &Device,
) -> Vec<f32> {
    let none = Augmentation::none();
    let items: Vec<_> = (0..images.len()).map(|i| (i, none.identity())).collect();
    let network = Answering::new(network, device);
    let answer = |chunk| network.logits(render(images, normalisation, &none, chunk));
    items.chunks(BATCH).flat_map(answer).collect()
}

/// A victim's answers to unchanged `images`, each one query; `origin` is where they come from, if that is known.
///
/// # Errors
/// [`VictimError`].
pub fn ask_all(
    victim: &dyn Victim,
    images: &ImageSet,
    origin: Option<Origin<'_>>,
) -> Result<Answers, VictimError> {
    let all = Request::unchanged(images).from(origin);
    let (scale, classes) = (victim.scale(), victim.classes());
    let mut answers = Answers { scale, classes, rows: Vec::with_capacity(images.len() * classes) };
    // Large images are not rendered all at once.
    for items in all.items.chunks(BATCH) {
        answers.rows.extend(victim.ask(&Request { items: items.to_vec(), ..all.clone() })?.rows);
    }
    Ok(answers)
}

/// How well a victim classifies labelled `images`, by what it gives out: probabilities count with the floor
/// [`LOG_FLOOR`], rows that do not sum to 1 are made to.
///
/// # Errors
/// [`VictimError`].
pub fn evaluate_victim(
    victim: &dyn Victim,
    images: &ImageSet,
    origin: Option<Origin<'_>>,
) -> Result<Evaluation, VictimError> {
    let answers = ask_all(victim, images, origin)?;
    Ok(evaluate(&answers.log_rows(LOG_FLOOR), &images.labels, victim.classes()))
}

/// Evaluates `logits` `[images, classes]` against `labels`.
pub fn evaluate(logits: &[f32], labels: &[u16], classes: usize) -> Evaluation {
    let mut correct_flags = Vec::with_capacity(labels.len());
    let mut per_class = vec![(0, 0); classes];
    let mut bins = [(0.0f64, 0.0f64); BINS];
    let mut loss = 0.0;
    for (row, &label) in logits.chunks_exact(classes).zip(labels) {
        let log_p = log_probabilities(row, 1.0);
        let best = argmax(row);
        let correct = best == usize::from(label);
        correct_flags.push(correct);
        let class = &mut per_class[usize::from(label)];
        *class = (class.0 + usize::from(correct), class.1 + 1);
        loss -= log_p[usize::from(label)];
        let confidence = log_p[best].exp();
        let bin = &mut bins[((confidence * BINS as f64) as usize).min(BINS - 1)];
        *bin = (bin.0 + confidence, bin.1 + f64::from(u8::from(correct)));
    }
    let total = labels.len();
    let share = |flags: &[bool]| flags.iter().filter(|&&f| f).count() as f64 / flags.len().max(1) as f64;
    let batches: Vec<f64> = correct_flags.chunks(BATCH).map(share).collect();
    Evaluation {
        correct: correct_flags.iter().filter(|&&f| f).count(),
        total,
        accuracy: share(&correct_flags),
        loss: loss / total.max(1) as f64,
        calibration_error: bins.iter().map(|(c, a)| (c - a).abs()).sum::<f64>() / total.max(1) as f64,
        batch_averaged_accuracy: batches.iter().sum::<f64>() / batches.len().max(1) as f64,
        per_class,
    }
}

/// Mean `τ²·KL(σ_τ(p) ‖ σ_τ(q))` over images, both `[images, classes]`: how far two networks' answers are apart.
pub fn mean_scaled_kl(p: &[f32], q: &[f32], classes: usize, temperature: f64) -> f64 {
    let sum: f64 = p
        .chunks_exact(classes)
        .zip(q.chunks_exact(classes))
        .map(|(p, q)| {
            let (p, q) = (log_probabilities(p, temperature), log_probabilities(q, temperature));
            p.iter().zip(&q).map(|(p, q)| p.exp() * (p - q)).sum::<f64>()
        })
        .sum();
    temperature * temperature * sum / (p.len() / classes).max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_exact_and_batch_average_is_not_the_accuracy() {
        // 130 images of 2 classes: the first 128 right, the last 2 wrong.
        let logits: Vec<f32> = (0..130).flat_map(|_| [2.0, 0.0]).collect();
        let labels: Vec<u16> = (0..130).map(|i| u16::from(i >= 128)).collect();
        let e = evaluate(&logits, &labels, 2);
        assert_eq!((e.correct, e.total), (128, 130));
        assert_eq!(e.per_class, vec![(128, 128), (0, 2)]);
        assert_eq!(e.batch_averaged_accuracy, 0.5);
        let confidence = 1.0 / (1.0 + (-2.0f64).exp());
        assert!((e.calibration_error - (confidence - 128.0 / 130.0).abs()).abs() < 1e-12);
        let loss = (-128.0 * confidence.ln() - 2.0 * (1.0 - confidence).ln()) / 130.0;
        assert!((e.loss - loss).abs() < 1e-12);
    }

    #[test]
    fn distance_is_zero_only_for_equal_answers() {
        assert_eq!(mean_scaled_kl(&[1.0, 2.0], &[1.0, 2.0], 2, 4.0), 0.0);
        // p = (½, ½), q = (¾, ¼) at τ = 1: ½·ln(½/¾) + ½·ln(½/¼).
        let distance = mean_scaled_kl(&[0.0, 0.0], &[3f32.ln(), 0.0], 2, 1.0);
        assert!((distance - 0.5 * (4.0f64 / 3.0).ln()).abs() < 1e-7);
    }

    #[test]
    fn a_victim_is_judged_by_what_it_gives_out() {
        use crate::victim::{Interface, Scale, Scripted};
        // Pixel p: probabilities (p/255, 1 − p/255).
        let victim = || {
            Scripted::new("p", 2, Scale::Probabilities, |pixels| {
                let y = f32::from(pixels[0]) / 255.0;
                vec![y, 1.0 - y]
            })
        };
        let images = ImageSet::new(1, 1, 1, vec![255, 51, 204], vec![0, 1, 1]);
        let full = victim();
        let e = evaluate_victim(&full, &images, None).expect("it answers");
        assert_eq!((e.correct, e.total, full.queries()), (2, 3, 3));
        let loss = -((1.0 / (1.0 + 1e-7f64)).ln() + 0.8f64.ln() + 0.2f64.ln()) / 3.0;
        assert!((e.loss - loss).abs() < 1e-6, "{} {loss}", e.loss);
        let label = victim().behind(Interface::Label).expect("from probabilities");
        let e = evaluate_victim(&label, &images, None).expect("it answers");
        assert!((e.loss - 1e7f64.ln() / 3.0).abs() < 1e-4, "one label wrong, at the floor: {}", e.loss);
    }
}
