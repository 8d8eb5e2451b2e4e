//! Distances between clean and served rows.

use super::{mean, paired};

/// How a number is spread over the images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Its mean; 0 of no images.
    pub mean: f64,
    /// The largest; 0 of no images.
    pub max: f64,
    /// Its standard deviation over the images (divided by n − 1); 0 of fewer than two.
    pub sd: f64,
}

/// `‖y − y'‖₁` over the images, each from 0 to 2.
///
/// # Panics
/// If there are not as many rows on both sides.
pub fn l1(a: &[impl AsRef<[f64]>], b: &[impl AsRef<[f64]>]) -> Spread {
    paired(a.len(), b.len());
    let of = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(p, q)| (p - q).abs()).sum::<f64>();
    let all: Vec<f64> = a.iter().zip(b).map(|(a, b)| of(a.as_ref(), b.as_ref())).collect();
    let average = mean(all.iter().copied());
    let squares: f64 = all.iter().map(|v| (v - average).powi(2)).sum();
    Spread {
        mean: average,
        max: all.iter().copied().fold(0.0, f64::max),
        sd: if all.len() < 2 { 0.0 } else { (squares / (all.len() - 1) as f64).sqrt() },
    }
}

/// The floor of `KL(y ‖ y')`, clean against served.
pub const CLEAN_FLOOR: f64 = 1e-12;
/// The floor of `KL(y' ‖ y)`, served against clean, which ModelGuard logs.
pub const SERVED_FLOOR: f64 = 1e-6;

/// `Σ p (ln max(p, floor) − ln max(q, floor))`, mean over the images. Zeros of q cost `ln floor`, not infinity: say the floor.
///
/// # Panics
/// If there are not as many rows on both sides.
pub fn kl(p: &[impl AsRef<[f64]>], q: &[impl AsRef<[f64]>], floor: f64) -> f64 {
    paired(p.len(), q.len());
    let term = |(p, q): (&f64, &f64)| p * (p.max(floor).ln() - q.max(floor).ln());
    mean(p.iter().zip(q).map(|(p, q)| p.as_ref().iter().zip(q.as_ref()).map(term).sum()))
}
