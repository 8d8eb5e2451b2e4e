//! The losses of the generator.

use super::GeneratorWeights;
use crate::losses::cross_entropy;
use crate::nets::Output;
use burn::tensor::Tensor;
use burn::tensor::activation::softmax;

/// A probability below this counts as this in the logarithm, so that a class that never comes up gives 0, not NaN.
const LEAST_PROBABILITY: f64 = 1e-30;

/// The generator's losses, scalars `[1]` that carry gradients.
#[derive(Clone, Debug)]
pub struct GeneratorLosses {
    /// Cross entropy of the teacher's logits against its own prediction, nats: 0 where it is sure.
    pub one_hot: Tensor<1>,
    /// `Σ_c p̄_c·log₁₀ p̄_c` with p̄ the mean probabilities over the batch: −log₁₀(classes) where all come up equally.
    pub entropy: Tensor<1>,
    /// `−mean|feature|` over the batch.
    pub activation: Tensor<1>,
}

/// The losses of a batch of generated images by what the frozen teacher says about them (Chen et al., ICCV 2019,
/// eqs. 3 to 5; the logarithm is decimal as in the published code, features are what the last linear layer sees).
pub fn generator_losses(teacher: &Output) -> GeneratorLosses {
    let logits = teacher.logits.clone();
    let predicted = logits.clone().detach().argmax(1).squeeze_dim(1);
    let mean = softmax(logits.clone(), 1).mean_dim(0);
    let log10 = mean.clone().clamp_min(LEAST_PROBABILITY).log() / std::f64::consts::LN_10;
    GeneratorLosses {
        one_hot: cross_entropy(logits, predicted, 0.0),
        entropy: (mean * log10).sum(),
        activation: teacher.features.clone().abs().mean().neg(),
    }
}

impl GeneratorLosses {
    /// `oh·one_hot + ie·entropy + a·activation`.
    pub fn total(&self, weights: &GeneratorWeights) -> Tensor<1> {
        let Self { one_hot, entropy, activation } = self.clone();
        one_hot.mul_scalar(weights.one_hot)
            + entropy.mul_scalar(weights.entropy)
            + activation.mul_scalar(weights.activation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn value(t: Tensor<1>) -> f64 {
        f64::from(t.into_scalar::<f32>())
    }

    fn output(logits: &[f32], classes: usize, features: &[f32]) -> Output {
        let device = Device::flex();
        let rows = logits.len() / classes;
        let tensor = |v: &[f32], c| Tensor::from_data(TensorData::new(v.to_vec(), [rows, c]), &device);
        Output { logits: tensor(logits, classes), features: tensor(features, features.len() / rows) }
    }

    #[test]
    fn the_losses_are_the_formulas() {
        // Two images, probabilities (¾, ¼) and (¼, ¾): mean (½, ½).
        let three = 3f32.ln();
        let losses = generator_losses(&output(&[three, 0.0, 0.0, three], 2, &[1.0, -2.0, 0.0, 5.0]));
        assert!((value(losses.one_hot.clone()) - (4.0f64 / 3.0).ln()).abs() < 1e-6);
        assert!((value(losses.entropy.clone()) + 2f64.log10()).abs() < 1e-6);
        assert!((value(losses.activation.clone()) + 2.0).abs() < 1e-6);
        let total = value(losses.total(&GeneratorWeights { one_hot: 0.5, entropy: 20.0, activation: 0.1 }));
        assert!((total - (0.5 * (4.0f64 / 3.0).ln() - 20.0 * 2f64.log10() - 0.2)).abs() < 1e-5, "{total}");
    }

    #[test]
    fn a_class_that_never_comes_up_gives_no_nan() {
        let device = Device::flex().autodiff();
        let logits = Tensor::<2>::from_data([[1e4f32, 0.0, -1e4], [1e4, 0.0, 0.0]], &device).require_grad();
        let features = Tensor::<2>::from_data([[0.0f32, 1.0], [0.0, 0.0]], &device);
        let losses = generator_losses(&Output { features, logits: logits.clone() });
        assert!(value(losses.entropy.clone()).abs() < 1e-6, "one class only: no entropy");
        let weights = GeneratorWeights { one_hot: 1.0, entropy: 1.0, activation: 1.0 };
        let gradient = logits.grad(&losses.total(&weights).backward()).expect("tracked");
        let gradient: Vec<f32> = gradient.into_data().try_to_vec().expect("f32");
        assert!(gradient.iter().all(|g| g.is_finite()), "{gradient:?}");
    }
}
