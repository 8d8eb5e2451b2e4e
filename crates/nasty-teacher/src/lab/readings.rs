//! Whether what was guessed of how a victim is asked is right: labelled images tell.

use super::ask_options::AskOptions;
use super::open_victim::{fit_victim, open_victim};
use super::plain_victim::Opened;
use super::weights::KnownNormalisation;
use super::workplace::Workplace;
use crate::data::DataSet;
use crate::training::{Evaluation, evaluate_victim};
use crate::victim::{Asking, ChannelOrder, Guess, Layout, White};
use std::time::{Duration, Instant};

/// Images that each reading is tried on.
const IMAGES: usize = 100;
/// Another reading must be right on so many of a hundred images more.
const CLEARLY: usize = 10;
/// For all readings together.
const PATIENCE: Duration = Duration::from_secs(30);

/// How readings compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Readings {
    /// Images.
    pub images: usize,
    /// Right as it was guessed.
    pub guessed: usize,
    /// Other readings that were tried.
    pub others: usize,
    /// What is to be said for a clearly better one, and how many are right then.
    pub better: Option<(Asking, usize)>,
}

/// Tries other readings of what was guessed when `reference` was opened as `opened`, on labelled test images of `data`; none
/// where nothing was guessed that can be tried, and of servers, who would be asked more. Readings that the victim does not take are passed over.
pub fn readings(
    reference: &str,
    how: &AskOptions,
    opened: &Opened,
    data: &DataSet,
    workplace: &Workplace,
) -> Option<Readings> {
    let step = data.test.len().div_ceil(IMAGES).max(1);
    let images = data.test.subset(&(0..data.test.len()).step_by(step).collect::<Vec<_>>());
    let right = |opened: &Opened| {
        let fitted = fit_victim(&opened.victim, data).ok()?;
        Some(evaluate_victim(&*fitted.victim, &images, None).ok()?.correct)
    };
    if opened.kept.is_some() {
        return None;
    }
    let candidates = candidates(&how.asking, &opened.guesses, data);
    if candidates.is_empty() {
        return None;
    }
    let begun = Instant::now();
    let guessed = right(opened)?;
    let mut readings = Readings { images: images.len(), guessed, others: 0, better: None };
    let needed = guessed + (CLEARLY * images.len()).div_ceil(100).max(1);
    for asking in candidates {
        if begun.elapsed() > PATIENCE {
            break;
        }
        let how = AskOptions { asking: asking.clone(), ..how.clone() };
        let Some(found) = open_victim(reference, &how, workplace).ok().and_then(|opened| right(&opened))
        else {
            continue;
        };
        readings.others += 1;
        if found >= readings.better.as_ref().map_or(needed, |(_, best)| best + 1) {
            readings.better = Some((asking, found));
        }
    }
    Some(readings)
}

/// The readings of all guesses but the one that was taken, the likely ones first.
fn candidates(given: &Asking, guesses: &[Guess], data: &DataSet) -> Vec<Asking> {
    let guessed = |guess| guesses.contains(&guess);
    let whites: &[Option<White>] = if guessed(Guess::White) { &[None, Some(White::Full)] } else { &[None] };
    let normalisations: Vec<Option<(Vec<f32>, Vec<f32>)>> = if guessed(Guess::Normalisation) {
        let of = |known: KnownNormalisation| known.values(data.test.channels);
        let imagenet = (data.test.channels == 3).then(|| of(KnownNormalisation::Imagenet));
        let known = [Some(data.normalisation.clone()), imagenet].into_iter().flatten();
        std::iter::once(None).chain(known.map(|n| Some((n.mean, n.std)))).collect()
    } else {
        vec![None]
    };
    let orders: &[Option<ChannelOrder>] =
        if guessed(Guess::Channels) { &[None, Some(ChannelOrder::Bgr)] } else { &[None] };
    let layouts: &[Option<Layout>] =
        if guessed(Guess::Layout) { &[None, Some(Layout::Nhwc)] } else { &[None] };
    let mut all = Vec::new();
    for layout in layouts {
        for order in orders {
            for white in whites {
                for normalisation in &normalisations {
                    // Means of pixels from 0 to 1 fit no others.
                    if white.is_some() && normalisation.is_some() {
                        continue;
                    }
                    let mut asking = given.clone();
                    asking.layout = asking.layout.or(*layout);
                    asking.channels = asking.channels.or(*order);
                    asking.white = asking.white.or(*white).or(normalisation.is_some().then_some(White::One));
                    if let Some((mean, std)) = normalisation {
                        (asking.mean, asking.std) = (Some(mean.clone()), Some(std.clone()));
                    }
                    if asking != *given {
                        all.push(asking);
                    }
                }
            }
        }
    }
    all
}

/// Whether `result`, on images of `classes` classes, is no better than guessing: within three standard deviations of it.
pub fn at_chance(result: &Evaluation, classes: usize) -> bool {
    let chance = 1.0 / classes.max(1) as f64;
    let deviation = (chance * (1.0 - chance) / result.total.max(1) as f64).sqrt();
    result.accuracy <= chance + 3.0 * deviation
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::{ImageSet, Normalisation};
    use crate::training::evaluate;

    #[test]
    fn every_guess_is_read_otherwise_and_nothing_else() {
        let images = ImageSet::new(1, 1, 3, vec![0; 3], vec![0]);
        let data = DataSet {
            name: "x".into(),
            classes: vec!["a".into(), "b".into()],
            train: images.clone(),
            test: images,
            normalisation: Normalisation { mean: vec![0.5; 3], std: vec![0.25; 3] },
        };
        let given = Asking { side: Some(1), ..Asking::default() };
        let found = candidates(&given, &[Guess::White], &data);
        assert_eq!(found, [Asking { white: Some(White::Full), ..given.clone() }]);
        // Three normalisations of pixels to 1, or plain ones to 255; in both orders of colours; less the one that was taken.
        let guesses = [Guess::White, Guess::Normalisation, Guess::Channels];
        let found = candidates(&given, &guesses, &data);
        assert_eq!(found.len(), 2 * 4 - 1);
        assert!(found.iter().all(|asking| asking.side == Some(1) && asking.output.is_none()));
        assert_eq!(candidates(&given, &[Guess::Output], &data), []);
    }

    #[test]
    fn chance_is_what_guessing_gives() {
        let result = |correct: usize| {
            let logits: Vec<f32> =
                (0..1000).flat_map(|i| if i < correct { [1.0, 0.0] } else { [0.0, 1.0] }).collect();
            evaluate(&logits, &[0; 1000], 2)
        };
        assert!(at_chance(&result(500), 2) && at_chance(&result(540), 2) && at_chance(&result(0), 2));
        assert!(!at_chance(&result(550), 2));
    }
}
