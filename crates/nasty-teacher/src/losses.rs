//! The losses, each with its formula and source. All take logits `[batch, classes]` and return a scalar `[1]`, averaged
//! over the batch. All losses and their gradients are finite for logits up to ±1e4 at any temperature from 1e-30 to
//! 1e15: the row's maximum is subtracted first, and log-probabilities are kept at the scale of the logits, so that only
//! arguments of exponentials are ever divided by τ.

mod averager;
mod dist;
mod dkd;
mod epd;
mod hard_label;
mod htc;
mod label_smoothing;
mod logit_l1;
mod rows;
mod skeptical;
mod soft_cross_entropy;
mod stingy;
mod tf_kd;
#[cfg(test)]
#[path = "losses/tests.rs"]
mod thieves_tests;

pub use averager::{
    RunningClassMeans, averager_of_logits, averager_of_probabilities, batch_class_means,
    scaled_kl_of_probabilities,
};
pub use dist::Dist;
pub use dkd::Dkd;
pub use epd::exponential_predictive;
pub use hard_label::hard_label;
pub use htc::{htc, htc_symmetric};
pub use label_smoothing::label_smoothing_off_label;
pub use logit_l1::{logit_l1, recovered_logits};
pub use rows::predicted;
pub use skeptical::{Exits, ShallowExit, Skeptical};
pub use soft_cross_entropy::soft_cross_entropy;
pub use stingy::stingy_distillation;
pub use tf_kd::tf_kd_regularisation;

use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor};

/// Cross entropy with integer `labels` `[batch]`, with label smoothing ε
/// (Szegedy et al., CVPR 2016; ε = 0 is the plain cross entropy): `(1−ε)·(−ln p_y) + ε·mean_c(−ln p_c)`.
pub fn cross_entropy(logits: Tensor<2>, labels: Tensor<1, Int>, smoothing: f64) -> Tensor<1> {
    let log_p = log_softmax(logits, 1);
    let hard = log_p.clone().gather(1, labels.unsqueeze_dim(1)).mean().neg();
    if smoothing == 0.0 {
        return hard;
    }
    hard.mul_scalar(1.0 - smoothing) - log_p.mean().mul_scalar(smoothing)
}

/// `τ²·KL(σ_τ(p) ‖ σ_τ(q))` with `σ_τ(z) = softmax(z/τ)`: summed over classes, averaged over the batch
/// (Hinton et al., 2015; the factor τ² keeps the gradient's size independent of τ).
/// Gradient flows into whichever of the two logits is tracked.
pub fn scaled_kl(p_logits: Tensor<2>, q_logits: Tensor<2>, temperature: f64) -> Tensor<1> {
    once_scaled_kl(p_logits, q_logits, temperature).mul_scalar(temperature)
}

/// `KL(σ_τ(p) ‖ σ_τ(q))`, without the factor τ² of [`scaled_kl`].
pub fn tempered_kl(p_logits: Tensor<2>, q_logits: Tensor<2>, temperature: f64) -> Tensor<1> {
    once_scaled_kl(p_logits, q_logits, temperature).div_scalar(temperature)
}

/// `τ·KL(σ_τ(p) ‖ σ_τ(q))`: with l = τ·ln σ_τ, `Σ exp(l_p/τ)·(l_p − l_q)`.
fn once_scaled_kl(p_logits: Tensor<2>, q_logits: Tensor<2>, temperature: f64) -> Tensor<1> {
    let log_p = scaled_log_softmax(p_logits, temperature);
    let log_q = scaled_log_softmax(q_logits, temperature);
    let pointwise = log_p.clone().div_scalar(temperature).exp() * (log_p - log_q);
    pointwise.sum_dim(1).mean()
}

/// `τ·ln softmax(z/τ)`, as large as the logits whatever τ is.
fn scaled_log_softmax(logits: Tensor<2>, temperature: f64) -> Tensor<2> {
    // A shift of the whole row changes nothing, so its maximum needs no gradient.
    let shifted = logits.clone() - logits.max_dim(1).detach();
    let log_sum = shifted.clone().div_scalar(temperature).exp().sum_dim(1).log();
    shifted - log_sum.mul_scalar(temperature)
}

/// Knowledge distillation (Hinton et al., 2015; Ma et al., ICLR 2021, eq. 1):
/// `α·τ²·KL(σ_τ(teacher) ‖ σ_τ(student)) + (1−α)·CE(student, y)`.
pub fn distillation(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
) -> Tensor<1> {
    let imitation = scaled_kl(teacher, student.clone(), temperature).mul_scalar(alpha);
    imitation + cross_entropy(student, labels, 0.0).mul_scalar(1.0 - alpha)
}

/// Self-undermining knowledge distillation (Ma et al., ICLR 2021, eq. 2): what a nasty teacher `T` minimises
/// beside a frozen adversarial network `A`: `CE(T, y) − ω·τ²·KL(σ_τ(T) ‖ σ_τ(A))`.
/// Bounded below by `−ω·τ²·max_c(−ln q_c)`; its KL gradient is exactly zero where `T = A`.
pub fn self_undermining(
    teacher: Tensor<2>,
    adversary: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    omega: f64,
) -> Tensor<1> {
    let distance = scaled_kl(teacher.clone(), adversary, temperature);
    cross_entropy(teacher, labels, 0.0) - distance.mul_scalar(omega)
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};
    use proptest::prelude::*;

    fn log_softmax_f64(row: &[f32], temperature: f64) -> Vec<f64> {
        let z: Vec<f64> = row.iter().map(|&v| f64::from(v) / temperature).collect();
        let max = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let log_sum = z.iter().map(|v| (v - max).exp()).sum::<f64>().ln();
        z.iter().map(|v| v - max - log_sum).collect()
    }

    fn kl_f64(p: &[f32], q: &[f32], temperature: f64) -> f64 {
        let (lp, lq) = (log_softmax_f64(p, temperature), log_softmax_f64(q, temperature));
        temperature.powi(2) * lp.iter().zip(&lq).map(|(a, b)| a.exp() * (a - b)).sum::<f64>()
    }

    fn rows(values: &[f32], device: &Device) -> Tensor<2> {
        Tensor::from_data(TensorData::new(values.to_vec(), [1, values.len()]), device)
    }

    fn scalar(t: Tensor<1>) -> f64 {
        f64::from(t.into_scalar::<f32>())
    }

    fn close(ours: f64, reference: f64, scale: f64) -> Result<(), TestCaseError> {
        prop_assert!(ours.is_finite(), "ours is {ours}, reference {reference}");
        let tolerance = 1e-5 * reference.abs() + 1e-6 * scale + 1e-6;
        prop_assert!((ours - reference).abs() <= tolerance, "ours {ours}, reference {reference}");
        Ok(())
    }

    proptest! {
        #[test]
        fn losses_match_float64_for_logits_up_to_1e4(
            pairs in prop::collection::vec((-1e4f32..1e4, -1e4f32..1e4), 2..40),
            spread in prop::sample::select(vec![1e-4f32, 1e-2, 1.0]),
            temperature in prop::sample::select(vec![1e-30, 1e-9, 1e-2, 0.5, 1.0, 4.0, 10.0, 20.0, 100.0]),
            label in 0usize..2,
            smoothing in prop::sample::select(vec![0.0, 0.1]),
        ) {
            let device = Device::flex();
            let p: Vec<f32> = pairs.iter().map(|x| x.0 * spread).collect();
            let q: Vec<f32> = pairs.iter().map(|x| x.1 * spread).collect();
            // Rounding is relative to the log-probabilities, not to the loss, which may be a small difference of
            // them; they are as large as the largest logit difference over τ, or ln C, and the loss takes them τ².
            let largest = f64::from(p.iter().chain(&q).fold(0f32, |m, v| m.max(v.abs())));
            let scale = |temperature: f64| temperature * temperature * (2.0 * largest / temperature + 4.0);
            let labels = || Tensor::<1, Int>::from_data([label as i32], &device);

            let log_p = log_softmax_f64(&p, 1.0);
            let mean = log_p.iter().sum::<f64>() / log_p.len() as f64;
            let ce = -(1.0 - smoothing) * log_p[label] - smoothing * mean;
            close(scalar(cross_entropy(rows(&p, &device), labels(), smoothing)), ce, scale(1.0))?;

            let kl = kl_f64(&p, &q, temperature);
            close(scalar(scaled_kl(rows(&p, &device), rows(&q, &device), temperature)), kl, scale(temperature))?;

            let hard = -log_softmax_f64(&p, 1.0)[label];
            let su = hard - 0.04 * kl;
            let ours = self_undermining(rows(&p, &device), rows(&q, &device), labels(), temperature, 0.04);
            close(scalar(ours), su, scale(temperature) + scale(1.0))?;

            let kd = 0.9 * kl_f64(&q, &p, temperature) + 0.1 * hard;
            let ours = distillation(rows(&p, &device), rows(&q, &device), labels(), temperature, 0.9);
            close(scalar(ours), kd, scale(temperature) + scale(1.0))?;
        }
    }

    /// Loss and gradient of the logits.
    fn graded(z: &[f32], device: &Device, loss: impl FnOnce(Tensor<2>) -> Tensor<1>) -> (f64, Vec<f32>) {
        let logits = rows(z, device).require_grad();
        let loss = loss(logits.clone());
        let gradient = logits.grad(&loss.backward()).expect("the logits are tracked");
        (scalar(loss), gradient.into_data().try_to_vec().expect("f32"))
    }

    proptest! {
        #[test]
        fn losses_and_gradients_are_finite_for_logits_up_to_1e4_at_any_temperature(
            pairs in prop::collection::vec((-1e4f32..=1e4, -1e4f32..=1e4), 2..40),
            spread in prop::sample::select(vec![0f32, 1e-4, 1.0]),
            extreme in any::<bool>(),
            exponent in -30f64..15.0,
            label in 0usize..2,
            smoothing in prop::sample::select(vec![0.0, 0.1, 1.0]),
        ) {
            let device = Device::flex().autodiff();
            let value = |v: f32| if extreme { v.signum() * 1e4 } else { v * spread };
            let p: Vec<f32> = pairs.iter().map(|x| value(x.0)).collect();
            let q: Vec<f32> = pairs.iter().map(|x| value(x.1)).collect();
            let temperature = 10f64.powf(exponent);
            let labels = || Tensor::<1, Int>::from_data([label as i32], &device);
            let all = [
                graded(&p, &device, |z| cross_entropy(z, labels(), smoothing)),
                graded(&p, &device, |z| scaled_kl(z, rows(&q, &device), temperature)),
                graded(&q, &device, |z| scaled_kl(rows(&p, &device), z, temperature)),
                graded(&p, &device, |z| distillation(z, rows(&q, &device), labels(), temperature, 0.9)),
                graded(&p, &device, |z| self_undermining(z, rows(&q, &device), labels(), temperature, 0.04)),
            ];
            for (loss, gradient) in all {
                let finite = loss.is_finite() && gradient.iter().all(|g| g.is_finite());
                prop_assert!(finite, "{} {:?}", loss, gradient);
            }
        }

        #[test]
        fn kl_gradients_match_float64(
            pairs in prop::collection::vec((-1e4f32..1e4, -1e4f32..1e4), 2..40),
            spread in prop::sample::select(vec![1e-4f32, 1e-3, 1e-2, 1.0]),
            temperature in prop::sample::select(vec![0.5, 1.0, 4.0, 20.0]),
        ) {
            let device = Device::flex().autodiff();
            let p: Vec<f32> = pairs.iter().map(|x| x.0 * spread).collect();
            let q: Vec<f32> = pairs.iter().map(|x| x.1 * spread).collect();
            let (lp, lq) = (log_softmax_f64(&p, temperature), log_softmax_f64(&q, temperature));
            let kl = kl_f64(&p, &q, temperature) / temperature.powi(2);
            let (_, of_p) = graded(&p, &device, |z| scaled_kl(z, rows(&q, &device), temperature));
            let (_, of_q) = graded(&q, &device, |z| scaled_kl(rows(&p, &device), z, temperature));
            let largest = p.iter().chain(&q).fold(1f32, |m, v| m.max(v.abs()));
            // Rounding of probabilities (one part in 1e7 of the logits over τ) times what they weigh.
            let rounding = 1e-6 * f64::from(largest) * (2.0 + f64::from(largest) / temperature);
            for i in 0..p.len() {
                let expected = temperature * lp[i].exp() * (lp[i] - lq[i] - kl);
                let tolerance = rounding + 1e-5 * temperature;
                prop_assert!((f64::from(of_p[i]) - expected).abs() <= tolerance, "{} {}", of_p[i], expected);
                // ∂(τ²KL)/∂q_i = τ·(q_i − p_i).
                let expected = temperature * (lq[i].exp() - lp[i].exp());
                let tolerance = 1e-6 * (temperature + 2.0 * f64::from(largest));
                prop_assert!((f64::from(of_q[i]) - expected).abs() <= tolerance, "{} {}", of_q[i], expected);
            }
        }
    }

    #[test]
    fn gradients_are_finite_at_extreme_logits_and_zero_where_teacher_equals_adversary() {
        let device = Device::flex().autodiff();
        for (p, q) in [([1e4f32, -1e4, 0.0], [-1e4f32, 1e4, 0.0]), ([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])] {
            let teacher = rows(&p, &device).require_grad();
            let kl = scaled_kl(teacher.clone(), rows(&q, &device), 4.0);
            let gradient = teacher.grad(&kl.backward()).expect("the teacher is tracked");
            let gradient: Vec<f32> = gradient.into_data().try_to_vec().expect("f32");
            assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
            if p == q {
                assert!(gradient.iter().all(|g| g.abs() < 1e-6), "{gradient:?}");
            }
        }
    }

    #[test]
    fn the_kl_gradient_is_the_derived_one() {
        // ∂(τ²KL)/∂z_i = τ·p_i·(ln(p_i/q_i) − KL)/B, here with B = 1 (docs of `self_undermining`).
        let device = Device::flex().autodiff();
        let (p, q, temperature) = ([0.3f32, -1.2, 2.0, 0.1], [1.0f32, 0.5, -0.7, 0.0], 4.0);
        let teacher = rows(&p, &device).require_grad();
        let kl = scaled_kl(teacher.clone(), rows(&q, &device), temperature);
        let ours: Vec<f32> = teacher.grad(&kl.backward()).unwrap().into_data().try_to_vec().unwrap();
        let (lp, lq) = (log_softmax_f64(&p, temperature), log_softmax_f64(&q, temperature));
        let kl = kl_f64(&p, &q, temperature) / temperature.powi(2);
        for i in 0..4 {
            let expected = temperature * lp[i].exp() * (lp[i] - lq[i] - kl);
            assert!((f64::from(ours[i]) - expected).abs() < 1e-5, "{i}: {} {expected}", ours[i]);
        }
    }
}
