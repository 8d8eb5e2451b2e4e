//! Tests of all thieves' losses: finite at extremes, and identities between them.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor, TensorData};
use proptest::prelude::*;

use super::*;

fn rows(values: &[f32], classes: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / classes, classes]), device)
}

fn value(loss: Tensor<1>) -> f64 {
    f64::from(loss.into_scalar::<f32>())
}

/// A loss of student logits, teacher logits and labels.
type Loss = Box<dyn Fn(Tensor<2>, Tensor<2>, Tensor<1, Int>) -> Tensor<1>>;

fn all(t: f64) -> Vec<(&'static str, Loss)> {
    let skeptical = move |exit| Skeptical { exit, temperature: t, alpha: 0.9 };
    vec![
        ("soft cross entropy", Box::new(|s, t, _| soft_cross_entropy(s, softmax(t, 1)))),
        ("hard label", Box::new(|s, t, _| hard_label(s, t))),
        ("label smoothing", Box::new(|s, _, y| label_smoothing_off_label(s, y, 0.1))),
        ("HTC", Box::new(move |s, z, y| htc(s, z, y, t, 0.9))),
        ("symmetric HTC", Box::new(move |s, z, y| htc_symmetric(s, z, y, t, 0.9))),
        ("stingy", Box::new(move |s, z, y| stingy_distillation(s, z, y, t, 0.9, 2))),
        ("averager of logits", Box::new(move |s, z, y| averager_of_logits(s, z, y, t, 0.9, 0.81))),
        (
            "averager of probabilities",
            Box::new(move |s, z, y| averager_of_probabilities(s, z, y, t, 0.9, 0.9)),
        ),
        (
            "DKD",
            Box::new(move |s, z, y| {
                Dkd { temperature: t, target: 1.0, others: 8.0, labels: 1.0 }.loss(s, z, y)
            }),
        ),
        (
            "DIST",
            Box::new(move |s, z, y| {
                Dist { temperature: t, inter: 1.0, intra: 1.0, weight: 2.0, labels: 1.0 }.loss(s, z, y)
            }),
        ),
        ("Tf-KD", Box::new(move |s, _, y| tf_kd_regularisation(s, y, t, 0.1, 100.0))),
        ("EPD", Box::new(move |s, z, y| exponential_predictive(s, z, y, t, 0.05, 2))),
        ("logit ℓ1", Box::new(|s, z, _| logit_l1(s, recovered_logits(z)))),
        (
            "skeptical",
            Box::new(move |s, z, y| {
                let exits = [s.clone(), s.clone() * 0.5, s.clone() - 1.0, s];
                skeptical(ShallowExit::AfterStage1).loss(exits, z, y)
            }),
        ),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn losses_and_gradients_are_finite_for_logits_up_to_1e4_at_any_temperature(
        classes in 2usize..12,
        pairs in prop::collection::vec((-1e4f32..=1e4, -1e4f32..=1e4), 12..60),
        spread in prop::sample::select(vec![0f32, 1e-4, 1.0]),
        extreme in any::<bool>(),
        exponent in -30f64..15.0,
    ) {
        let device = Device::flex().autodiff();
        let batch = pairs.len() / classes;
        let number = |v: f32| if extreme { v.signum() * 1e4 } else { v * spread };
        let s: Vec<f32> = pairs[..batch * classes].iter().map(|pair| number(pair.0)).collect();
        let t: Vec<f32> = pairs[..batch * classes].iter().map(|pair| number(pair.1)).collect();
        let labels: Vec<i32> = (0..batch).map(|i| (i * 7 % classes) as i32).collect();
        for (name, loss) in all(10f64.powf(exponent)) {
            let student = rows(&s, classes, &device).require_grad();
            let labels = Tensor::<1, Int>::from_data(TensorData::new(labels.clone(), [batch]), &device);
            let loss = loss(student.clone(), rows(&t, classes, &device), labels);
            let gradient = student.grad(&loss.backward()).expect("the student is tracked");
            let gradient: Vec<f32> = gradient.into_data().try_to_vec().expect("f32");
            prop_assert!(value(loss).is_finite(), "{}", name);
            prop_assert!(gradient.iter().all(|g| g.is_finite()), "{}: {:?}", name, gradient);
        }
    }

    #[test]
    fn decoupled_terms_make_up_the_divergence(
        s in prop::collection::vec(-8f32..8.0, 5),
        t in prop::collection::vec(-8f32..8.0, 5),
        temperature in prop::sample::select(vec![1.0, 4.0]),
    ) {
        // KL = TCKD + (1 − p_y)·NCKD.
        let device = Device::flex();
        let (student, teacher) = (rows(&s, 5, &device), rows(&t, 5, &device));
        let labels = Tensor::<1, Int>::from_data(TensorData::from([2i32]), &device);
        let rest = 1.0 - f64::from(softmax(teacher.clone() / temperature, 1).into_data().iter::<f32>().nth(2).unwrap());
        let of = |target, others| {
            let loss = Dkd { temperature, target, others, labels: 0.0 };
            value(loss.loss(student.clone(), teacher.clone(), labels.clone()))
        };
        let kl = value(scaled_kl(teacher.clone(), student.clone(), temperature));
        let both = of(1.0, 0.0) + rest * of(0.0, 1.0);
        prop_assert!((both - kl).abs() <= 1e-4 * kl.max(1.0), "{} {}", both, kl);
    }
}

#[test]
fn a_constant_student_has_no_correlation_and_no_gradient_from_it() {
    let device = Device::flex().autodiff();
    let student = rows(&[0.3; 8], 4, &device).require_grad();
    let teacher = rows(&[1.0, 2.0, 3.0, 4.0, 0.5, -1.0, 2.5, 0.1], 4, &device);
    let labels = Tensor::<1, Int>::from_data(TensorData::from([0i32, 1]), &device);
    let dist = Dist { temperature: 4.0, inter: 1.0, intra: 1.0, weight: 2.0, labels: 0.0 };
    let loss = dist.loss(student.clone(), teacher, labels);
    let gradient = student.grad(&loss.backward()).expect("tracked");
    let gradient: Vec<f32> = gradient.into_data().try_to_vec().expect("f32");
    assert!(gradient.iter().all(|g| *g == 0.0), "{gradient:?}");
    assert!((value(loss) - 64.0).abs() < 1e-4, "no correlation: 2·16·(1 + 1)");
}

#[test]
fn the_two_htc_are_different_thieves() {
    let device = Device::flex();
    let (student, teacher) = (rows(&[0.5, -1.0, 2.0], 3, &device), rows(&[3.0, 0.0, 1.0], 3, &device));
    let labels = Tensor::<1, Int>::from_data(TensorData::from([1i32]), &device);
    let ce = value(cross_entropy(student.clone(), labels.clone(), 0.0));
    let kl = value(scaled_kl(teacher.clone(), student.clone(), 4.0));
    let symmetric = value(htc_symmetric(student.clone(), teacher.clone(), labels.clone(), 4.0, 0.9));
    assert!((symmetric - (ce + 0.9 * kl / 16.0 / 3.0)).abs() < 1e-5);
    let plain = value(htc(student.clone(), teacher.clone(), labels.clone(), 1.0, 1.0));
    assert!((plain - value(scaled_kl(teacher, student, 1.0))).abs() < 1e-5, "the same at τ = 1");
}
