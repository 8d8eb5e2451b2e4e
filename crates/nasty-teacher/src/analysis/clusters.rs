//! How well points of the same class stay together, in any space.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Two numbers that say how far classes are clusters.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Clustering {
    /// Share of the points whose class is the commonest among their ten nearest others (of equals the one that has
    /// the nearest point): 1 where classes are apart, about 1/classes where they are mixed.
    pub neighbour_accuracy: f64,
    /// Mean silhouette (Rousseeuw, 1987): `(b − a) / max(a, b)` with `a` a point's mean distance to its own class and
    /// `b` that to the nearest other class; 1 for tight clusters far apart, 0 for mixed ones, below 0 for points that
    /// lie with another class. Points alone in their class count 0.
    pub silhouette: f64,
}

const NEIGHBOURS: usize = 10;

/// Squared Euclidean distances of point `i` to all points, `points` being `[labels, size]`.
pub(super) fn distances(points: &[f64], size: usize, i: usize) -> Vec<f64> {
    let own = &points[i * size..][..size];
    points.chunks_exact(size).map(|p| p.iter().zip(own).map(|(a, b)| (a - b) * (a - b)).sum()).collect()
}

/// How far the classes `labels` `[points]` of `points` `[points, size]`, row-major, are clusters (Euclidean distance).
///
/// # Panics
/// If there are not as many points as labels.
pub fn clustering(points: &[f64], size: usize, labels: &[u16]) -> Clustering {
    assert_eq!(points.len(), labels.len() * size, "one label a point");
    let classes = labels.iter().max().map_or(0, |&l| usize::from(l) + 1);
    let each: Vec<(bool, f64)> = (0..labels.len())
        .into_par_iter()
        .map(|i| {
            let squared = distances(points, size, i);
            (by_neighbours(&squared, labels, i, classes), silhouette(&squared, labels, i, classes))
        })
        .collect();
    let n = each.len().max(1) as f64;
    Clustering {
        neighbour_accuracy: each.iter().filter(|(right, _)| *right).count() as f64 / n,
        silhouette: each.iter().map(|(_, s)| s).sum::<f64>() / n,
    }
}

fn by_neighbours(squared: &[f64], labels: &[u16], i: usize, classes: usize) -> bool {
    let mut others: Vec<usize> = (0..labels.len()).filter(|&j| j != i).collect();
    others.sort_by(|&a, &b| squared[a].total_cmp(&squared[b]).then(a.cmp(&b)));
    let nearest = &others[..NEIGHBOURS.min(others.len())];
    let mut votes = vec![0; classes];
    nearest.iter().for_each(|&j| votes[usize::from(labels[j])] += 1);
    let most = votes.iter().max().copied().unwrap_or(0);
    let winner = nearest.iter().find(|&&j| votes[usize::from(labels[j])] == most);
    winner.is_some_and(|&j| labels[j] == labels[i])
}

fn silhouette(squared: &[f64], labels: &[u16], i: usize, classes: usize) -> f64 {
    let mut sums = vec![(0.0, 0usize); classes];
    for (j, (&d, &label)) in squared.iter().zip(labels).enumerate() {
        if j != i {
            let (sum, count) = &mut sums[usize::from(label)];
            (*sum, *count) = (*sum + d.sqrt(), *count + 1);
        }
    }
    let mean = |&(sum, count): &(f64, usize)| (count > 0).then(|| sum / count as f64);
    let own = usize::from(labels[i]);
    let others = sums.iter().enumerate().filter(|(c, _)| *c != own).filter_map(|(_, s)| mean(s));
    match (mean(&sums[own]), others.min_by(f64::total_cmp)) {
        (Some(a), Some(b)) if a.max(b) > 0.0 => (b - a) / a.max(b),
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_by_hand() {
        // On a line: class 0 at 0 and 1, class 1 at 4 and 6.
        let c = clustering(&[0.0, 1.0, 4.0, 6.0], 1, &[0, 0, 1, 1]);
        let each: [f64; 4] = [(5.0 - 1.0) / 5.0, (4.0 - 1.0) / 4.0, (3.5 - 2.0) / 3.5, (5.5 - 2.0) / 5.5];
        assert!((c.silhouette - each.iter().sum::<f64>() / 4.0).abs() < 1e-12);
        // Three others each: one of the own class, two of the other.
        assert_eq!(c.neighbour_accuracy, 0.0);
    }

    #[test]
    fn clusters_are_told_from_a_mixture() {
        let points: Vec<f64> = (0..60).flat_map(|i| [f64::from(i % 3) * 100.0, f64::from(i)]).collect();
        let labels: Vec<u16> = (0..60).map(|i| i % 3).collect();
        let apart = clustering(&points, 2, &labels);
        assert!(apart.neighbour_accuracy == 1.0 && apart.silhouette > 0.5, "{apart:?}");
        let mixed: Vec<u16> = (0..60).map(|i| (i / 3) % 3).collect();
        let mixed = clustering(&points, 2, &mixed);
        assert!(mixed.neighbour_accuracy < 0.6 && mixed.silhouette < 0.1, "{mixed:?}");
        assert_eq!(clustering(&[], 2, &[]).silhouette, 0.0);
        assert_eq!(clustering(&[1.0], 1, &[0]), Clustering { neighbour_accuracy: 0.0, silhouette: 0.0 });
    }
}
