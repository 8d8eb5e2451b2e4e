//! The averager thief: targets are means over the samples of a class. They keep the similarity of classes and lose
//! changes made to single samples.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Int, Tensor};

use super::rows::at_label;
use super::{cross_entropy, scaled_kl, scaled_log_softmax};

/// For each row the mean of `values` `[batch, width]` over the rows of the same label, of the batch alone.
pub fn batch_class_means(values: Tensor<2>, labels: Tensor<1, Int>, classes: usize) -> Tensor<2> {
    let of_class = at_label(labels, classes).float();
    let counts = of_class.clone().sum_dim(0).transpose().clamp_min(1.0);
    let means = of_class.clone().transpose().matmul(values) / counts;
    of_class.matmul(means)
}

/// `w·τ²·KL(σ_τ(m) ‖ σ_τ(s)) + (1−α)·CE` with `m` the mean teacher logit of the label's samples in the batch.
/// The weight is w = α as meant, and α² in the public code, which multiplies twice.
pub fn averager_of_logits(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
    kl_weight: f64,
) -> Tensor<1> {
    let classes = student.dims()[1];
    let target = batch_class_means(teacher, labels.clone(), classes);
    let kl = scaled_kl(target, student.clone(), temperature).mul_scalar(kl_weight);
    kl + cross_entropy(student, labels, 0.0).mul_scalar(1.0 - alpha)
}

/// The variant of CMIM's code: the mean of tempered probabilities, `w·τ²·KL(mean σ_τ(t) ‖ σ_τ(s)) + (1−α)·CE`.
pub fn averager_of_probabilities(
    student: Tensor<2>,
    teacher: Tensor<2>,
    labels: Tensor<1, Int>,
    temperature: f64,
    alpha: f64,
    kl_weight: f64,
) -> Tensor<1> {
    let classes = student.dims()[1];
    let target = batch_class_means(tempered(teacher, temperature), labels.clone(), classes);
    let kl = scaled_kl_of_probabilities(target, student.clone(), temperature).mul_scalar(kl_weight);
    kl + cross_entropy(student, labels, 0.0).mul_scalar(1.0 - alpha)
}

/// `σ_τ(z)`.
fn tempered(logits: Tensor<2>, temperature: f64) -> Tensor<2> {
    softmax((logits.clone() - logits.max_dim(1)).div_scalar(temperature), 1)
}

/// `τ²·KL(p ‖ σ_τ(s))` with target probabilities `p` `[batch, classes]` that may be 0, batch mean.
pub fn scaled_kl_of_probabilities(p: Tensor<2>, student: Tensor<2>, temperature: f64) -> Tensor<1> {
    // 0·ln 0 is 0: the smallest normal float32 is far below what adds to the sum.
    let log_p = p.clone().clamp_min(f64::from(f32::MIN_POSITIVE)).log().mul_scalar(temperature);
    let log_q = scaled_log_softmax(student, temperature);
    (p * (log_p - log_q)).sum_dim(1).mean().mul_scalar(temperature)
}

/// A running mean for each class over everything that was seen: at 100 classes a batch hardly averages.
#[derive(Clone, Debug)]
pub struct RunningClassMeans {
    /// `[classes, width]`.
    means: Tensor<2>,
    /// `[classes, 1]`.
    counts: Tensor<2>,
}

impl RunningClassMeans {
    /// Nothing seen yet; rows of `width` numbers.
    pub fn new(classes: usize, width: usize, device: &Device) -> Self {
        Self { means: Tensor::zeros([classes, width], device), counts: Tensor::zeros([classes, 1], device) }
    }

    /// Takes in `values` `[batch, width]` of the classes `labels`: true labels, or the served argmax where there are none.
    pub fn observe(&mut self, values: Tensor<2>, labels: Tensor<1, Int>) {
        let classes = self.counts.dims()[0];
        let of_class = at_label(labels, classes).float().transpose();
        let new = of_class.clone().sum_dim(1);
        let counts = self.counts.clone() + new.clone();
        let difference = of_class.matmul(values) - self.means.clone() * new;
        self.means = self.means.clone() + difference / counts.clone().clamp_min(1.0);
        self.counts = counts;
    }

    /// The mean of each row's class, `[batch, width]`; zeros for a class that was never seen.
    pub fn targets(&self, labels: Tensor<1, Int>) -> Tensor<2> {
        self.means.clone().select(0, labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::TensorData;

    #[test]
    fn the_running_mean_is_the_mean_of_all_batches() {
        let device = Device::flex();
        let mut means = RunningClassMeans::new(3, 2, &device);
        let batches = [([[1.0f32, 2.0], [3.0, 4.0]], [0i32, 1]), ([[5.0, 6.0], [7.0, 10.0]], [0, 0])];
        for (values, labels) in batches {
            means.observe(
                Tensor::from_data(values, &device),
                Tensor::from_data(TensorData::from(labels), &device),
            );
        }
        let labels = Tensor::<1, Int>::from_data(TensorData::from([0i32, 1, 2]), &device);
        let targets: Vec<f32> = means.targets(labels).into_data().try_to_vec().expect("f32");
        for (found, expected) in targets.iter().zip([13.0 / 3.0, 6.0, 3.0, 4.0, 0.0, 0.0]) {
            assert!((found - expected).abs() < 1e-5, "{targets:?}");
        }
    }
}
