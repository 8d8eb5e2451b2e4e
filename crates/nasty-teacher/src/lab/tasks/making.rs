//! A thief's own images: made by its clones, round by round, and asked about.

use super::ask::ask_about;
use super::loot::{Taught, predicted, reach, rows_of, targets};
use crate::attacks::thieves::{Maker, Stage, ThiefRecipe};
use crate::data::{DataSet, ImageSet};
use crate::files::write_whole;
use crate::lab::ask::hashes;
use crate::lab::context::Context;
use crate::lab::error::JobError;
use crate::lab::store_error::{StoreError, io_error};
use crate::nets::Input;
use crate::training::{Outcome, Trainer};
use crate::victim::{LOG_FLOOR, Victim};
use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// `images`, with their served classes as labels, and those that `maker` makes of them within `most` images, and how many different ones
/// these are; none if it was stopped. An image that comes out as one before is no query.
///
/// What a round made is kept in the file `made-<round>.bin` of the run before anybody is asked about it, so that a process that was
/// killed asks about the same images, whose answers it may already have.
pub(super) fn make(
    recipe: &ThiefRecipe,
    maker: &dyn Maker,
    images: ImageSet,
    most: usize,
    context: &mut Context<'_>,
    data: &DataSet,
) -> Result<Option<(ImageSet, usize)>, JobError> {
    let begun = hashes(&images).into_iter().collect::<HashSet<_>>().len();
    let mut all = images;
    let reach = reach(context, recipe.asked.as_ref())?;
    for round in 0..maker.rounds() {
        let file = context.run.folder.join(format!("made-{round}.bin"));
        let mut new = match read(&file, &all)? {
            Some(new) => new,
            None => {
                let wanted = most.saturating_sub(all.len());
                let Some(new) = made(recipe, maker, &all, (round, wanted), context, data)? else {
                    return Ok(None);
                };
                if !context.may_write() {
                    return Ok(None);
                }
                let pixels: Vec<u8> = new.images().flatten().copied().collect();
                write_whole(&file, &pixels).map_err(io_error(&file))?;
                new
            }
        };
        if new.is_empty() {
            break;
        }
        if ask_about(context, &reach, &new, 0..1)?.is_none() {
            return Ok(None);
        }
        let (rows, _) = rows_of(context, &reach, &new, 0)?;
        new.labels = predicted(&rows, data.classes.len());
        all = joined(&all, &new);
    }
    let different = hashes(&all).into_iter().collect::<HashSet<_>>().len();
    Ok(Some((all, different - begun)))
}

/// Removes what only an unfinished run needs.
pub(super) fn clear(maker: &dyn Maker, context: &Context<'_>) -> Result<(), JobError> {
    for round in 0..maker.rounds() {
        for path in [context.run.folder.join(format!("made-{round}.bin")), state_file(context, round)] {
            remove(&path)?;
        }
    }
    Ok(())
}

fn remove(path: &Path) -> Result<(), StoreError> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(io_error(path)(e)),
        _ => Ok(()),
    }
}

/// Where the training of a round's clone keeps its state.
fn state_file(context: &Context<'_>, round: usize) -> PathBuf {
    context.run.folder.join(format!("round-{round}.safetensors"))
}

/// Images of the shape of those in `like` that were kept in `file`; none if there is no file.
fn read(file: &Path, like: &ImageSet) -> Result<Option<ImageSet>, StoreError> {
    let pixels = match fs::read(file) {
        Ok(pixels) => pixels,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(io_error(file)(e)),
    };
    let (count, rest) = (pixels.len() / like.image_bytes(), pixels.len() % like.image_bytes());
    if rest != 0 {
        return Err(StoreError::Damaged {
            path: file.to_owned(),
            expected: "the images that a thief made",
            found: format!("{} bytes, no multiple of an image's {}", pixels.len(), like.image_bytes()),
        });
    }
    let ImageSet { height, width, channels, .. } = *like;
    Ok(Some(ImageSet::new(height, width, channels, pixels, vec![0; count])))
}

/// The images of both.
pub(super) fn joined(first: &ImageSet, then: &ImageSet) -> ImageSet {
    let pixels = first.images().chain(then.images()).flatten().copied().collect();
    let labels = [&first.labels[..], &then.labels].concat();
    ImageSet::new(first.height, first.width, first.channels, pixels, labels)
}

/// What `maker` makes of `images` in a round by a clone of them, `wanted` at most; none if it was stopped.
fn made(
    recipe: &ThiefRecipe,
    maker: &dyn Maker,
    images: &ImageSet,
    (round, wanted): (usize, usize),
    context: &mut Context<'_>,
    data: &DataSet,
) -> Result<Option<ImageSet>, JobError> {
    let device = context.workplace.device.clone();
    let classes = data.classes.len();
    let input = Input { channels: images.channels, side: images.height };
    let training = recipe.round_training(images.len());
    let taught = targets(recipe, context, images, data)?.map(|rows| Taught::new(classes, rows));
    let trainer = Trainer {
        recipe: &training,
        train: Arc::new(images.clone()),
        origin: None,
        unlabelled: None,
        selection: None,
        normalisation: &data.normalisation,
        victim: taught.as_ref().map(|taught| taught as &dyn Victim),
        floor: LOG_FLOOR,
        device: device.clone(),
    };
    let state = state_file(context, round);
    let network = recipe.student.build(classes, input, recipe.seed, &device.clone().autodiff())?;
    let Outcome::Finished(trained) = context.keeping_part(&state, |kept| trainer.run(network, kept))? else {
        return Ok(None);
    };
    let clone =
        recipe.student.build(classes, input, recipe.seed, &device)?.load_state_dict(&trained.weights)?;
    let normalisation = &data.normalisation;
    let at = Stage { clone: &clone, normalisation, device: &device, seed: recipe.seed, round };
    Ok(Some(maker.make(images, wanted, at)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_come_back_from_their_file_and_a_damaged_one_is_said() {
        let folder = tempfile::tempdir().expect("temp");
        let file = folder.path().join("made-0.bin");
        let like = ImageSet::new(2, 2, 1, (0..8).collect(), vec![3, 4]);
        assert!(read(&file, &like).expect("no file is none").is_none());
        fs::write(&file, (10..18).collect::<Vec<u8>>()).expect("written");
        let mut made = read(&file, &like).expect("readable").expect("there");
        made.labels = vec![1, 2];
        let all = joined(&like, &made);
        assert_eq!(all.labels, [3, 4, 1, 2]);
        assert_eq!(all.images().map(|image| image[0]).collect::<Vec<_>>(), [0, 4, 10, 14]);
        fs::write(&file, [1, 2, 3]).expect("written");
        let error = read(&file, &like).expect_err("half an image").to_string();
        assert!(error.contains("made-0.bin") && error.contains("3 bytes"), "{error}");
    }
}
