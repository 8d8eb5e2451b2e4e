//! Combines everything known about a network besides its weights, from all sources.

use serde::Serialize;

use super::facts::{Facts, Margin, Said};
use crate::data::Framing;
use crate::nets::Input;

/// What a file, or the description beside it, says of its network.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Known {
    /// Mean and standard deviation of each channel, pixels being in 0..1, and where that is said.
    pub normalisation: Option<(Vec<f32>, Vec<f32>, String)>,
    /// Names of the classes in the order of the logits, and where that is said.
    pub labels: Option<(Vec<String>, String)>,
    /// How pictures become images, and where that is said.
    pub framing: Option<(Framing, String)>,
}

impl Known {
    /// From `sources`, the most trusted one first; what cannot be used is told in `warnings`.
    pub(super) fn of(sources: &[Facts], input: Input, classes: usize, warnings: &mut Vec<String>) -> Self {
        Self {
            normalisation: normalisation(sources, input.channels, warnings),
            labels: labels(sources, classes, warnings),
            framing: framing(sources, input.side, warnings),
        }
    }
}

fn normalisation(
    sources: &[Facts],
    channels: usize,
    warnings: &mut Vec<String>,
) -> Option<(Vec<f32>, Vec<f32>, String)> {
    let mut chosen: Option<(Vec<f32>, Vec<f32>, String)> = None;
    for source in sources {
        let mut fitting: Vec<(Vec<f32>, Vec<f32>, String)> = Vec::new();
        for Said { what: (mean, std), place } in &source.normalisations {
            let spread = |of: &Vec<f32>| if of.len() == 1 { vec![of[0]; channels] } else { of.clone() };
            let (mean, std) = (spread(mean), spread(std));
            if mean.len() != channels {
                warnings.push(format!(
                    "{place}: a normalisation of {} channels, which does not fit images of {channels}; not used",
                    mean.len()
                ));
            } else if !fitting.iter().any(|(m, s, _)| (m, s) == (&mean, &std)) {
                fitting.push((mean, std, place.clone()));
            }
        }
        match (fitting.as_slice(), &chosen) {
            ([], _) => {}
            ([one], None) => chosen = Some(one.clone()),
            (several, None) => {
                let told: Vec<String> = several.iter().map(told).collect();
                warnings.push(format!(
                    "several normalisations are given, and none was used: {}; give the mean and the standard deviation",
                    told.join("; ")
                ));
            }
            (others, Some(used)) => {
                for other in others.iter().filter(|(m, s, _)| !near(m, &used.0) || !near(s, &used.1)) {
                    warnings.push(format!("{} was used, and not {}", told(used), told(other)));
                }
            }
        }
    }
    chosen
}

fn told((mean, std, place): &(Vec<f32>, Vec<f32>, String)) -> String {
    format!("mean {mean:?} and std {std:?} ({place})")
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-4)
}

fn framing(sources: &[Facts], side: usize, warnings: &mut Vec<String>) -> Option<(Framing, String)> {
    let other = sources.iter().flat_map(|source| &source.interpolations).find(|said| said.what != "bilinear");
    if let Some(Said { what, place }) = other {
        warnings.push(format!(
            "{place}: pictures are resized by {what} interpolation for this network, but bilinearly (with antialiasing) here; \
             its answers to pictures of another size may differ a little"
        ));
    }
    let margins = || sources.iter().flat_map(|source| &source.margins);
    // Where both are said, the share is of the picture that the other one speaks of.
    let share = margins().find(|said| matches!(said.what, Margin::Share(_)));
    let Said { what, place } = share.or_else(|| margins().next())?;
    let shorter = match what {
        Margin::Share(share) => (side as f32 / share).floor() as usize,
        Margin::Shorter(shorter) => *shorter,
    };
    match Framing::new(shorter, side) {
        Ok(framing) => Some((framing, place.clone())),
        Err(error) => {
            warnings.push(format!("{place}: {error}; not used"));
            None
        }
    }
}

fn labels(sources: &[Facts], classes: usize, warnings: &mut Vec<String>) -> Option<(Vec<String>, String)> {
    let mut chosen: Option<(Vec<String>, String)> = None;
    for Said { what, place } in sources.iter().flat_map(|source| &source.labels) {
        if what.len() != classes {
            let count = what.len();
            warnings.push(format!(
                "{place} names {count} classes, but the network has {classes}; the names were not used"
            ));
        } else if let Some((used, from)) = &chosen {
            if used != what {
                warnings.push(format!(
                    "the names of the classes are those of {from}, and not the other ones of {place}"
                ));
            }
        } else {
            chosen = Some((what.clone(), place.clone()));
        }
    }
    chosen
}
