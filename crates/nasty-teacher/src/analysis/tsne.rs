//! t-SNE (van der Maaten & Hinton, *Visualizing Data using t-SNE*, JMLR 2008): maps points of many dimensions to the
//! plane so that neighbours stay neighbours. This is the exact method, O(n²) per step in f64. The maps here show a few
//! hundred or thousand images, and exact sums in a fixed order give the same map for any number of threads. Barnes–Hut
//! approximations with random trees and no seed do not guarantee that.
//!
//! `p_j|i ∝ exp(−β_i·‖x_i − x_j‖²)` with β_i chosen to reach the requested perplexity, `p_ij = (p_j|i + p_i|j)/2n`;
//! `q_ij ∝ 1/(1 + ‖y_i − y_j‖²)`. `KL(P ‖ Q)` is minimised by gradient descent with momentum and gains, starting from
//! the first two principal components; P is exaggerated twelvefold during the first quarter (at most 250 steps).

use super::clusters::{Clustering, clustering, distances};
use super::principal::principal_plane;
use super::{AnalysisError, all_outputs, drawn};
use crate::attacks::TestData;
use crate::data::{ImageSet, Normalisation};
use crate::nets::Network;
use crate::training::{NetworkRef, identity};
use burn::tensor::Device;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Version of [`TsneRecipe`]'s fields; part of its hash.
pub const TSNE_FORMAT: u32 = 1;
/// The exact method keeps n² numbers of 8 bytes: 512 MiB.
const MAX_POINTS: usize = 8192;
const EXAGGERATION: f64 = 12.0;

/// Which map is wanted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TsneRecipe {
    /// [`TSNE_FORMAT`].
    pub format: u32,
    /// Whose test images are the points.
    pub data: TestData,
    /// The network.
    pub network: NetworkRef,
    /// What of the network.
    pub of: Layer,
    /// Test images, drawn by `seed`, every class in its share.
    pub images: usize,
    /// Effective number of neighbours of a point; usual are 5 to 50.
    pub perplexity: f64,
    /// Gradient steps.
    pub steps: usize,
    /// Draws the images. The map itself has no randomness.
    pub seed: u64,
}

/// What of a network is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layer {
    /// What the last linear layer sees.
    Features,
    /// Unnormalised log-probabilities.
    Logits,
}

impl TsneRecipe {
    /// A map of 1,000 test images with perplexity 30 in 1,000 steps.
    pub fn usual(data: TestData, network: NetworkRef, of: Layer) -> Self {
        Self { format: TSNE_FORMAT, data, network, of, images: 1000, perplexity: 30.0, steps: 1000, seed: 0 }
    }

    /// The identity: the first 16 hexadecimal digits of the SHA-256 of the recipe's canonical JSON.
    pub fn hash(&self) -> String {
        identity(self)
    }

    /// What is impossible about the recipe, with what to change; `None` if it can be carried out.
    pub fn problem(&self) -> Option<String> {
        let Self { format, images, perplexity, steps, .. } = self;
        let most = images.saturating_sub(1) as f64 / 3.0;
        let checks = [
            (*format == TSNE_FORMAT, format!("format is {format}, expected {TSNE_FORMAT}")),
            ((7..=MAX_POINTS).contains(images), format!("images is {images}, expected 7 to {MAX_POINTS}")),
            (
                (2.0..=most).contains(perplexity),
                format!("perplexity is {perplexity}, expected 2 to a third of the images"),
            ),
            (*steps > 0, "steps is 0, expected at least 1".into()),
        ];
        let own = checks.into_iter().find_map(|(fine, what)| (!fine).then_some(what));
        own.or_else(|| self.network.problem("network"))
    }
}

/// A map of images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Map {
    /// The images' places among the test images.
    pub images: Vec<usize>,
    /// Their classes.
    pub labels: Vec<u16>,
    /// Their places in the plane.
    pub points: Vec<[f64; 2]>,
    /// `KL(P ‖ Q)` at the end, nats.
    pub divergence: f64,
    /// How far the classes are clusters in the network's own space.
    pub original: Clustering,
    /// How far they are in the plane.
    pub plane: Clustering,
}

impl TsneRecipe {
    /// The map of `network`, the recipe's, on `device` without autodiff, which wants `test` images normalised by
    /// `normalisation`. The recipe's [`problem`](Self::problem) must be `None`.
    ///
    /// # Errors
    /// [`AnalysisError`] if there are too few test images or the network's outputs are not finite.
    pub fn carry_out(
        &self,
        network: &Network,
        normalisation: &Normalisation,
        test: &ImageSet,
        device: &Device,
    ) -> Result<Map, AnalysisError> {
        let chosen = drawn(&test.labels, self.images, self.seed)?;
        let images = test.subset(&chosen);
        let outputs = all_outputs(network, normalisation, &images, device);
        let (what, vectors, size) = match self.of {
            Layer::Features => ("features", outputs.features, outputs.feature_size),
            Layer::Logits => ("logits", outputs.logits, network.classes()),
        };
        if vectors.iter().any(|v| !v.is_finite()) {
            return Err(AnalysisError::NotFinite { what });
        }
        Ok(map(&vectors, size, chosen, images.labels, self.perplexity, self.steps))
    }
}

/// Maps `vectors` `[images, size]` of the test images at `images` with classes `labels`.
///
/// # Panics
/// If the lengths do not fit, or there are fewer points than three times `perplexity`.
pub fn map(
    vectors: &[f32],
    size: usize,
    images: Vec<usize>,
    labels: Vec<u16>,
    perplexity: f64,
    steps: usize,
) -> Map {
    assert_eq!(vectors.len(), labels.len() * size, "one label a vector");
    let vectors: Vec<f64> = vectors.iter().map(|&v| f64::from(v)).collect();
    let (points, divergence) = tsne(&vectors, size, perplexity, steps);
    let flat: Vec<f64> = points.iter().flatten().copied().collect();
    Map {
        original: clustering(&vectors, size, &labels),
        plane: clustering(&flat, 2, &labels),
        images,
        labels,
        points,
        divergence,
    }
}

/// Places in the plane of `vectors` `[n, size]`, and KL(P ‖ Q) there.
fn tsne(vectors: &[f64], size: usize, perplexity: f64, steps: usize) -> (Vec<[f64; 2]>, f64) {
    let n = vectors.len() / size;
    assert!(n as f64 > 3.0 * perplexity, "{n} points are too few for a perplexity of {perplexity}");
    let p = affinities(vectors, size, n, perplexity);
    let mut y = principal_plane(vectors, size, n);
    let early = (steps / 4).min(250);
    let rate = (n as f64 / EXAGGERATION / 4.0).max(50.0);
    let mut velocity = vec![[0.0; 2]; n];
    let mut gains = vec![[1.0f64; 2]; n];
    for step in 0..steps {
        let (exaggeration, momentum) = if step < early { (EXAGGERATION, 0.5) } else { (1.0, 0.8) };
        let gradient = gradient(&p, &y, exaggeration);
        for i in 0..n {
            for d in 0..2 {
                let (g, v) = (gradient[i][d], velocity[i][d]);
                gains[i][d] = if g * v > 0.0 { (gains[i][d] * 0.8).max(0.01) } else { gains[i][d] + 0.2 };
                velocity[i][d] = momentum * v - rate * gains[i][d] * g;
                y[i][d] += velocity[i][d];
            }
        }
        centre(&mut y);
    }
    let divergence = divergence(&p, &y);
    (y, divergence)
}

/// The symmetric affinities `[n, n]`, of sum 1.
fn affinities(vectors: &[f64], size: usize, n: usize, perplexity: f64) -> Vec<f64> {
    let rows: Vec<Vec<f64>> =
        (0..n).into_par_iter().map(|i| conditional(&distances(vectors, size, i), i, perplexity)).collect();
    let symmetric = |i: usize, j: usize| ((rows[i][j] + rows[j][i]) / (2.0 * n as f64)).max(1e-12);
    (0..n * n).map(|k| if k / n == k % n { 0.0 } else { symmetric(k / n, k % n) }).collect()
}

/// `p_j|i` for all j: β by bisection until the entropy is ln(perplexity).
fn conditional(squared: &[f64], i: usize, perplexity: f64) -> Vec<f64> {
    let others = || squared.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, d)| *d);
    let nearest = others().fold(f64::INFINITY, f64::min);
    let mean = others().sum::<f64>() / (squared.len() - 1) as f64;
    let scale = if mean > nearest { mean - nearest } else { 1.0 };
    let (mut low, mut high, mut beta) = (0.0, f64::INFINITY, 1.0 / scale);
    let mut row = Vec::new();
    for _ in 0..200 {
        let weight = |(j, d): (usize, &f64)| if j == i { 0.0 } else { (-(d - nearest) * beta).exp() };
        row = squared.iter().enumerate().map(weight).collect::<Vec<f64>>();
        let sum: f64 = row.iter().sum();
        row.iter_mut().for_each(|p| *p /= sum);
        let entropy = -row.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
        let excess = entropy - perplexity.ln();
        if excess.abs() < 1e-6 {
            break;
        }
        if excess > 0.0 {
            low = beta;
            beta = if high.is_finite() { (low + high) / 2.0 } else { beta * 2.0 };
        } else {
            high = beta;
            beta = (low + high) / 2.0;
        }
    }
    row
}

/// `1 / (1 + ‖a − b‖²)`.
fn closeness(a: &[f64; 2], b: &[f64; 2]) -> f64 {
    let (dx, dy) = (a[0] - b[0], a[1] - b[1]);
    1.0 / (1.0 + dx * dx + dy * dy)
}

/// Σ over all pairs of different points of their closeness; summed row by row, so threads change nothing.
fn normaliser(y: &[[f64; 2]]) -> f64 {
    let row = |a: &[f64; 2]| y.iter().map(|b| closeness(a, b)).sum::<f64>() - 1.0;
    let rows: Vec<f64> = y.par_iter().map(row).collect();
    rows.iter().sum::<f64>().max(f64::MIN_POSITIVE)
}

/// `∂KL/∂y_i = 4 Σ_j (e·p_ij − q_ij)·(y_i − y_j)/(1 + ‖y_i − y_j‖²)` with exaggeration e.
fn gradient(p: &[f64], y: &[[f64; 2]], exaggeration: f64) -> Vec<[f64; 2]> {
    let z = normaliser(y);
    let row = |(a, p): (&[f64; 2], &[f64])| {
        y.iter().zip(p).fold([0.0, 0.0], |sum, (b, p)| {
            let close = closeness(a, b);
            let pull = 4.0 * (exaggeration * p - close / z) * close;
            [sum[0] + pull * (a[0] - b[0]), sum[1] + pull * (a[1] - b[1])]
        })
    };
    y.par_iter().zip(p.par_chunks_exact(y.len())).map(row).collect()
}

fn divergence(p: &[f64], y: &[[f64; 2]]) -> f64 {
    let z = normaliser(y);
    let row = |(a, p): (&[f64; 2], &[f64])| {
        y.iter()
            .zip(p)
            .filter(|(_, p)| **p > 0.0)
            .map(|(b, p)| p * (p * z / closeness(a, b)).ln())
            .sum::<f64>()
    };
    y.iter().zip(p.chunks_exact(y.len())).map(row).sum()
}

fn centre(y: &mut [[f64; 2]]) {
    let n = y.len() as f64;
    let sum = y.iter().fold([0.0, 0.0], |s, p| [s[0] + p[0], s[1] + p[1]]);
    y.iter_mut().for_each(|p| *p = [p[0] - sum[0] / n, p[1] - sum[1] / n]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, Stream};

    /// Three Gaussian clouds in eight dimensions.
    fn clouds(each: usize, distance: f32) -> (Vec<f32>, Vec<u16>) {
        let labels: Vec<u16> = (0..3 * each).map(|i| (i % 3) as u16).collect();
        let mut stream = Stream::new(4, Purpose::Noise, 0, 0);
        let value =
            |label: u16, d: usize, noise: f32| noise + if usize::from(label) == d { distance } else { 0.0 };
        let vectors =
            labels.iter().flat_map(|&l| (0..8).map(|d| value(l, d, stream.normal())).collect::<Vec<_>>());
        (vectors.collect(), labels)
    }

    #[test]
    fn conditional_probabilities_have_the_wanted_perplexity() {
        let (vectors, _) = clouds(30, 3.0);
        let vectors: Vec<f64> = vectors.into_iter().map(f64::from).collect();
        for i in [0, 17, 89] {
            let row = conditional(&distances(&vectors, 8, i), i, 12.0);
            let entropy = -row.iter().filter(|p| **p > 0.0).map(|p| p * p.ln()).sum::<f64>();
            assert!((entropy.exp() - 12.0).abs() < 1e-3 && row[i] == 0.0);
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12);
        }
    }

    #[test]
    fn the_gradient_is_that_of_the_divergence() {
        let (vectors, _) = clouds(8, 2.0);
        let vectors: Vec<f64> = vectors.into_iter().map(f64::from).collect();
        let p = affinities(&vectors, 8, 24, 5.0);
        assert!((p.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        let y: Vec<[f64; 2]> = (0..24).map(|i| [f64::from(i * 7 % 5), f64::from(i * 3 % 11) / 3.0]).collect();
        let found = gradient(&p, &y, 1.0);
        for (i, d) in [(0, 0), (5, 1), (23, 0)] {
            let at = |step: f64| {
                let mut moved = y.clone();
                moved[i][d] += step;
                divergence(&p, &moved)
            };
            let expected = (at(1e-5) - at(-1e-5)) / 2e-5;
            assert!((found[i][d] - expected).abs() < 1e-7, "{} {expected}", found[i][d]);
        }
    }

    #[test]
    fn clouds_stay_apart_and_threads_change_nothing() {
        let (vectors, labels) = clouds(40, 8.0);
        let map = || map(&vectors, 8, (0..120).collect(), labels.clone(), 15.0, 300);
        let maps = [1, 3].map(|threads| {
            rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads").install(map)
        });
        assert_eq!(maps[0], maps[1]);
        let [found, _] = &maps;
        assert_eq!(found.plane.neighbour_accuracy, 1.0, "{:?}", found.plane);
        assert!(
            found.plane.silhouette > 0.6 && found.original.neighbour_accuracy == 1.0,
            "{:?}",
            found.plane
        );
        let (start, _) = tsne(&vectors.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), 8, 15.0, 1);
        let p = affinities(&vectors.iter().map(|&v| f64::from(v)).collect::<Vec<_>>(), 8, 120, 15.0);
        assert!(found.divergence < 0.5 * divergence(&p, &start), "{}", found.divergence);
    }

    #[test]
    fn a_recipe_maps_a_network() {
        use crate::attacks::test_support::{data, normalisation, test_images, victim};
        let usual = TsneRecipe::usual(data(), NetworkRef("0123456789abcdef".into()), Layer::Features);
        let recipe = TsneRecipe { images: 9, perplexity: 2.0, steps: 20, ..usual.clone() };
        assert_eq!(recipe.problem(), None);
        let carry_out = |recipe: &TsneRecipe, network: &Network| {
            recipe.carry_out(network, &normalisation(), &test_images(), &Device::flex())
        };
        let found = carry_out(&recipe, &victim(3)).expect("nine of twelve");
        assert_eq!((found.points.len(), found.images.len()), (9, 9));
        assert!(found.images.iter().zip(&found.labels).all(|(&i, &l)| test_images().labels[i] == l));
        let logits = TsneRecipe { of: Layer::Logits, ..recipe.clone() };
        assert_ne!(carry_out(&logits, &victim(3)).expect("too").points, found.points);
        let error = carry_out(&usual, &victim(3)).expect_err("1,000 of twelve");
        assert!(matches!(error, AnalysisError::TooFewImages { wanted: 1000, there: 12 }), "{error}");
    }

    #[test]
    fn equal_points_and_constant_features_give_finite_maps() {
        let mut vectors = vec![1.0f32; 40 * 3];
        vectors[0] = 2.0;
        let found = map(&vectors, 3, (0..40).collect(), vec![0; 40], 5.0, 100);
        assert!(found.points.iter().flatten().all(|v| v.is_finite()) && found.divergence.is_finite());
        let same = map(&[0.5f32; 40], 1, (0..40).collect(), vec![0; 40], 5.0, 50);
        assert!(same.points.iter().flatten().all(|v| v.is_finite()));
    }

    #[test]
    fn impossible_recipes_are_refused() {
        let data = TestData { name: crate::data::DataName::Quickstart, digest: String::new(), side: None };
        let usual = TsneRecipe::usual(data, NetworkRef("0123456789abcdef".into()), Layer::Logits);
        assert_eq!(usual.problem(), None);
        assert!(
            TsneRecipe { images: 60, ..usual.clone() }.problem().expect("30 > 59/3").contains("perplexity")
        );
        assert!(TsneRecipe { images: MAX_POINTS + 1, ..usual.clone() }.problem().is_some());
        assert!(TsneRecipe { perplexity: f64::NAN, ..usual.clone() }.problem().is_some());
        let features = TsneRecipe { of: Layer::Features, ..usual.clone() };
        assert_ne!(usual.hash(), features.hash());
    }
}
