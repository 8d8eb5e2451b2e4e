//! The losses of the images.

use super::InversionRecipe;
use crate::losses::cross_entropy;
use crate::nets::{Network, NormStatistics};
use burn::tensor::{Int, Tensor};

/// Added under square roots: the norm of nothing is 1e-6 and has the gradient 0, not NaN.
const TINY: f64 = 1e-12;

/// The losses of a batch of images, scalars `[1]` that carry gradients.
#[derive(Clone, Debug)]
pub struct InversionLosses {
    /// Cross entropy with the wanted classes, nats.
    pub cross_entropy: Tensor<1>,
    /// [`statistics_distance`].
    pub statistics: Tensor<1>,
    /// [`total_variation`].
    pub total_variation: Tensor<1>,
    /// `‖x‖₂` of the whole batch.
    pub l2: Tensor<1>,
    /// The logits `[batch, classes]`.
    pub logits: Tensor<2>,
}

/// The losses of normalised images `[batch, side, side, channels]` that `network` should see as `labels` `[batch]`
/// (Yin et al., CVPR 2020, eqs. 1 to 4).
pub fn inversion_losses(network: &Network, images: Tensor<4>, labels: Tensor<1, Int>) -> InversionLosses {
    let (output, statistics) = network.outputs_and_statistics(images.clone());
    InversionLosses {
        cross_entropy: cross_entropy(output.logits.clone(), labels, 0.0),
        statistics: statistics_distance(&statistics, &images),
        total_variation: total_variation(images.clone()),
        l2: norm(images),
        logits: output.logits,
    }
}

impl InversionLosses {
    /// `CE + α_f·statistics + α_tv·total_variation + α_ℓ2·l2`.
    pub fn total(&self, recipe: &InversionRecipe) -> Tensor<1> {
        self.cross_entropy.clone()
            + self.statistics.clone().mul_scalar(recipe.statistics)
            + self.total_variation.clone().mul_scalar(recipe.total_variation)
            + self.l2.clone().mul_scalar(recipe.l2)
    }
}

/// `Σ_l ‖μ_l − running mean_l‖₂ + ‖σ²_l − running variance_l‖₂` over the batch-norms of a network, those behind
/// linear layers included; σ² is the biased variance, as published. 0 for a network without batch-norm, on the
/// device of `like`.
pub fn statistics_distance(statistics: &[NormStatistics], like: &Tensor<4>) -> Tensor<1> {
    let zero = Tensor::zeros([1], &like.device());
    statistics.iter().fold(zero, |sum, s| {
        sum + norm(s.mean.clone() - s.running_mean.clone())
            + norm(s.variance.clone() - s.running_variance.clone())
    })
}

/// The ℓ2 variant of the total variation of images `[batch, height, width, channels]`:
/// `‖Δ→‖₂ + ‖Δ↓‖₂ + ‖Δ↘‖₂ + ‖Δ↙‖₂`, each over all differences of that direction in the whole batch.
pub fn total_variation(images: Tensor<4>) -> Tensor<1> {
    let [n, h, w, c] = images.dims();
    let part = |rows: std::ops::Range<usize>, columns: std::ops::Range<usize>| {
        images.clone().slice([0..n, rows, columns, 0..c])
    };
    let right = part(0..h, 1..w) - part(0..h, 0..w - 1);
    let down = part(1..h, 0..w) - part(0..h - 1, 0..w);
    let down_right = part(1..h, 1..w) - part(0..h - 1, 0..w - 1);
    let down_left = part(1..h, 0..w - 1) - part(0..h - 1, 1..w);
    norm(right) + norm(down) + norm(down_right) + norm(down_left)
}

fn norm<const D: usize>(x: Tensor<D>) -> Tensor<1> {
    (x.clone() * x).sum().add_scalar(TINY).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::{Device, TensorData};

    fn value(t: Tensor<1>) -> f64 {
        f64::from(t.into_scalar::<f32>())
    }

    #[test]
    fn total_variation_by_hand() {
        // 1 2
        // 4 8: right (1, 4), down (3, 6), down-right 7, down-left 2.
        let device = Device::flex();
        let image = Tensor::from_data(TensorData::new(vec![1f32, 2.0, 4.0, 8.0], [1, 2, 2, 1]), &device);
        let expected = 17f64.sqrt() + 45f64.sqrt() + 7.0 + 2.0;
        assert!((value(total_variation(image)) - expected).abs() < 1e-5);
        let flat = Tensor::<4>::ones([2, 3, 3, 3], &device);
        assert!(value(total_variation(flat)) < 1e-5);
    }

    #[test]
    fn the_distance_of_statistics_by_hand() {
        let device = Device::flex();
        let vector = |v: [f32; 2]| Tensor::<1>::from_data(v, &device);
        let one = NormStatistics {
            mean: vector([3.0, 0.0]),
            variance: vector([1.0, 1.0]),
            running_mean: vector([0.0, 4.0]),
            running_variance: vector([1.0, 3.0]),
        };
        let like = Tensor::<4>::zeros([1, 1, 1, 1], &device);
        assert!((value(statistics_distance(&[one.clone(), one], &like)) - 14.0).abs() < 1e-5);
        assert_eq!(value(statistics_distance(&[], &like)), 0.0);
    }

    #[test]
    fn the_statistics_of_the_first_batch_norm_are_those_of_its_input() {
        use crate::nets::Input;
        let device = Device::flex();
        let input = Input { channels: 1, side: 8 };
        let network = "cnn2".parse::<crate::nets::Architecture>().expect("a name");
        let network = network.build(3, input, 5, &device).expect("fits");
        let pixels: Vec<f32> = (0..3 * 64).map(|i| ((i * 29 % 83) as f32) / 40.0 - 1.0).collect();
        let images = Tensor::from_data(TensorData::new(pixels.clone(), [3, 8, 8, 1]), &device);
        let labels = Tensor::<1, Int>::from_data([0i32, 1, 2], &device);
        let losses = inversion_losses(&network, images.clone(), labels);
        let l2 = pixels.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        assert!((value(losses.l2) - l2).abs() < 1e-4);

        // The first convolution, naively; then the mean and biased variance of its output, channel by channel.
        let state = network.state_dict();
        let tensor = |name: &str| &state.iter().find(|t| t.name == name).expect(name).data;
        let (weight, bias) = (tensor("conv1.weight"), tensor("conv1.bias"));
        let (_, statistics) = network.outputs_and_statistics(images);
        for out in 0..2 {
            let mut values = Vec::new();
            for image in pixels.chunks_exact(64) {
                for y in 0..8i32 {
                    for x in 0..8i32 {
                        let mut sum = f64::from(bias[out]);
                        for k in 0..9i32 {
                            let (sy, sx) = (y + k / 3 - 1, x + k % 3 - 1);
                            if (0..8).contains(&sy) && (0..8).contains(&sx) {
                                sum += f64::from(weight[out * 9 + k as usize])
                                    * f64::from(image[(sy * 8 + sx) as usize]);
                            }
                        }
                        values.push(sum);
                    }
                }
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
            let found =
                |t: &Tensor<1>| f64::from(t.clone().into_data().try_to_vec::<f32>().expect("f32")[out]);
            assert!((found(&statistics[0].mean) - mean).abs() < 1e-5);
            assert!((found(&statistics[0].variance) - variance).abs() < 1e-5);
        }
    }
}
