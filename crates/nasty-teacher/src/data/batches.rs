//! The batches of an epoch, rendered in advance, and the split that holds images out.

use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use super::image_set::{ImageSet, Normalisation};
pub use super::render::render;
use super::resample::resized_values;
use super::views::{Augmentation, order};
use crate::random::{Purpose, Stream};

/// Batches rendered ahead of the one in use.
const AHEAD: usize = 2;

/// Second counter of the stream that draws the held-out split (the first is the class).
const HELD_OUT: u64 = 1;

/// One batch, ready for a network.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `[batch]`, the place of each image in its [`ImageSet`].
    pub indices: Vec<usize>,
    /// `[batch]`, the number of each image's view.
    pub views: Vec<usize>,
    /// `[batch, height, width, channels]`, normalised; the sides are [`Epoch::side`] where it is given.
    pub pixels: Vec<f32>,
    /// `[batch]`, classes.
    pub labels: Vec<u16>,
}

/// Which batches are wanted.
#[derive(Clone, Copy, Debug)]
pub struct Epoch {
    /// Seed of order and views.
    pub seed: u64,
    /// Counts from 0.
    pub epoch: u64,
    /// Images a batch; the last batch may have fewer.
    pub batch_size: usize,
    /// The first batch wanted; not 0 when an epoch is resumed in its middle.
    pub start_batch: usize,
    /// The side to which square images are resized once their view is drawn; none for their own.
    pub side: Option<usize>,
}

/// The shuffled batches of one epoch, each image once, the last partial batch kept.
///
/// They are rendered on a background thread, a bounded few ahead, and are the same as if rendered on demand.
/// Panics when the batch size is 0; a panic while rendering reaches the caller of `next`.
pub fn epoch_batches(
    set: Arc<ImageSet>,
    normalisation: &Normalisation,
    augmentation: &Augmentation,
    epoch: Epoch,
) -> EpochBatches {
    assert!(epoch.batch_size > 0, "a batch has at least one image");
    let (normalisation, augmentation) = (normalisation.clone(), augmentation.clone());
    let pending = epoch.start_batch..set.len().div_ceil(epoch.batch_size);
    let numbers = pending.clone();
    let (sender, batches) = sync_channel(AHEAD);
    let renderer = std::thread::spawn(move || {
        let order = order(epoch.seed, epoch.epoch, set.len());
        for number in numbers {
            let batch = batch(&set, &normalisation, &augmentation, &epoch, &order, number);
            if sender.send(batch).is_err() {
                return; // nobody wants the rest
            }
        }
    });
    EpochBatches { pending, batches, renderer: Some(renderer) }
}

/// Batch `number` of an epoch that visits the images in `order`.
fn batch(
    set: &ImageSet,
    normalisation: &Normalisation,
    augmentation: &Augmentation,
    epoch: &Epoch,
    order: &[usize],
    number: usize,
) -> Batch {
    let first = number * epoch.batch_size;
    let indices = order[first..set.len().min(first + epoch.batch_size)].to_vec();
    let views: Vec<usize> =
        indices.iter().map(|&i| augmentation.draw(epoch.seed, epoch.epoch, i as u64)).collect();
    let items: Vec<(usize, usize)> = indices.iter().copied().zip(views.iter().copied()).collect();
    let drawn = render(set, normalisation, augmentation, &items);
    let pixels = match epoch.side.filter(|&side| side != set.height) {
        Some(side) => resized_values(&drawn, set.channels, set.height, side),
        None => drawn,
    };
    let labels = indices.iter().map(|&i| set.labels[i]).collect();
    Batch { indices, views, pixels, labels }
}

/// Iterator over the batches of an epoch; see [`epoch_batches`].
#[derive(Debug)]
pub struct EpochBatches {
    pending: Range<usize>,
    batches: Receiver<Batch>,
    renderer: Option<JoinHandle<()>>,
}

impl Iterator for EpochBatches {
    type Item = Batch;

    fn next(&mut self) -> Option<Batch> {
        self.pending.next()?;
        match self.batches.recv() {
            Ok(batch) => Some(batch),
            // The renderer ends early only by a panic, which belongs to the caller.
            Err(_) => match self.renderer.take().map(JoinHandle::join) {
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                _ => None,
            },
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.pending.size_hint()
    }
}

impl ExactSizeIterator for EpochBatches {}

/// Splits images into (training, validation) with `count` images (all, if there are fewer) in the second part.
///
/// Stratified: every class gives its share, fractions going to the classes with the largest remainders. Both
/// parts are in ascending order and a function of labels, `count` and `seed` alone.
pub fn held_out(labels: &[u16], count: usize, seed: u64) -> (Vec<usize>, Vec<usize>) {
    let count = count.min(labels.len());
    let classes = labels.iter().max().map_or(0, |&label| usize::from(label) + 1);
    let mut members = vec![Vec::new(); classes];
    for (i, &label) in labels.iter().enumerate() {
        members[usize::from(label)].push(i);
    }
    // Exact shares in units of 1/len: class c is owed count · members / len.
    let owed = |class: &Vec<usize>| (class.len() as u128) * (count as u128);
    let len = labels.len().max(1) as u128;
    let mut taken: Vec<usize> = members.iter().map(|class| (owed(class) / len) as usize).collect();
    let mut by_remainder: Vec<usize> = (0..classes).collect();
    by_remainder.sort_by_key(|&class| (std::cmp::Reverse(owed(&members[class]) % len), class));
    let missing = count - taken.iter().sum::<usize>();
    for &class in by_remainder.iter().take(missing) {
        taken[class] += 1;
    }
    let (mut training, mut validation) = (Vec::new(), Vec::new());
    for (class, images) in members.iter_mut().enumerate() {
        Stream::new(seed, Purpose::Subset, class as u64, HELD_OUT).shuffle(images);
        let (held, kept) = images.split_at(taken[class]);
        validation.extend_from_slice(held);
        training.extend_from_slice(kept);
    }
    training.sort_unstable();
    validation.sort_unstable();
    (training, validation)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn set(count: usize) -> Arc<ImageSet> {
        let pixels = (0..count * 12).map(|i| (i * 37 % 251) as u8).collect();
        let labels = (0..count as u16).map(|i| i % 3).collect();
        Arc::new(ImageSet::new(2, 2, 3, pixels, labels))
    }

    fn levels() -> Normalisation {
        Normalisation { mean: vec![0.5; 3], std: vec![0.25; 3] }
    }

    proptest! {
        #[test]
        fn prefetched_batches_equal_batches_made_on_demand(
            count in 0usize..40, batch_size in 1usize..17, start_batch in 0usize..5, seed: u64, epoch: u64,
        ) {
            let set = set(count);
            let augmentation = Augmentation { crop_padding: 1, flip: true, rotation_degrees: 3, resized_crop_percent: 0 };
            let wanted = Epoch { seed, epoch, batch_size, start_batch, side: None };
            let ahead: Vec<Batch> = epoch_batches(set.clone(), &levels(), &augmentation, wanted).collect();
            let order = order(seed, epoch, count);
            let on_demand: Vec<Batch> = (start_batch..count.div_ceil(batch_size))
                .map(|number| batch(&set, &levels(), &augmentation, &wanted, &order, number))
                .collect();
            prop_assert_eq!(&ahead, &on_demand);
            if start_batch == 0 {
                let mut visited: Vec<usize> = ahead.iter().flat_map(|batch| batch.indices.clone()).collect();
                visited.sort_unstable();
                prop_assert_eq!(visited, (0..count).collect::<Vec<_>>());
            }
            for batch in &ahead {
                prop_assert!(batch.indices.iter().zip(&batch.labels).all(|(&i, &label)| set.labels[i] == label));
            }
        }

        #[test]
        fn the_held_out_split_is_disjoint_complete_and_stratified(
            labels in proptest::collection::vec(0u16..7, 0..200), count in 0usize..220, seed: u64,
        ) {
            let (training, validation) = held_out(&labels, count, seed);
            let count = count.min(labels.len());
            prop_assert_eq!(validation.len(), count);
            let mut all = [training.clone(), validation.clone()].concat();
            all.sort_unstable();
            prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());
            prop_assert!(training.is_sorted() && validation.is_sorted());
            for class in 0..7u16 {
                let of = |part: &[usize]| part.iter().filter(|&&i| labels[i] == class).count();
                let share = (of(&training) + of(&validation)) as f64 * count as f64 / labels.len().max(1) as f64;
                prop_assert!((of(&validation) as f64 - share).abs() < 1.0, "class {}", class);
            }
            prop_assert_eq!(held_out(&labels, count, seed), (training, validation));
        }
    }

    #[test]
    fn another_seed_holds_out_other_images() {
        let labels: Vec<u16> = (0..1000).map(|i| i % 10).collect();
        assert_ne!(held_out(&labels, 100, 0).1, held_out(&labels, 100, 1).1);
    }

    #[test]
    fn dropping_the_iterator_early_ends_its_thread() {
        let set = set(1000);
        let wanted = Epoch { seed: 0, epoch: 0, batch_size: 1, start_batch: 0, side: None };
        let mut batches = epoch_batches(set.clone(), &levels(), &Augmentation::cifar(), wanted);
        assert_eq!(batches.len(), 1000);
        batches.next();
        drop(batches);
        // The thread holds the only other reference to the images.
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while Arc::strong_count(&set) > 1 {
            assert!(std::time::Instant::now() < deadline, "the renderer is still running");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    #[test]
    #[should_panic(expected = "a normalisation of 1 channels for images of 3")]
    fn a_panic_while_rendering_reaches_the_caller() {
        let wanted = Epoch { seed: 0, epoch: 0, batch_size: 4, start_batch: 0, side: None };
        let grey = Normalisation { mean: vec![0.5], std: vec![0.25] };
        epoch_batches(set(8), &grey, &Augmentation::none(), wanted).next();
    }
}
