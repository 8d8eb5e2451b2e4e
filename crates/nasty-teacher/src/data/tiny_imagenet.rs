//! Tiny-ImageNet in its official layout, with all or some of its classes.
//!
//! `wnids.txt` lists the classes, `train/<wnid>/images/` holds the training images, `val/images/` the validation
//! images, with their classes in `val/val_annotations.txt`. Validation images that were moved into `val/<wnid>/` or
//! `val/<wnid>/images/`, a common practice, are accepted too. The unlabelled `test/` is not read.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::class_folders::{ClassFolders, Inside, agree, names, read};
use super::error::DataError;
use super::files::read_bounded;
use super::image_set::ImageSet;
use super::pictures::{Picture, Shape, decode, is_picture};
use super::roots::{DataRoots, first};

/// Rows and columns of every image.
const SIDE: usize = 64;
/// The folder in the archive, and the archive.
const FOLDER: &str = "tiny-imagenet-200";
const ARCHIVE: &str = "tiny-imagenet-200.zip";
/// The longest text file: `words.txt` has 2.6 MB.
const TEXT_LIMIT: u64 = 16 << 20;

/// Where it may lie.
pub(super) fn places(roots: &DataRoots) -> Vec<PathBuf> {
    roots.under(&[FOLDER])
}

/// Class names, training set and (from the validation images) test set. Classes are in the order of their
/// WordNet identifiers, as in torchvision's image folders.
pub(super) fn load(roots: &DataRoots) -> Result<(Vec<String>, (ImageSet, ImageSet)), DataError> {
    let folder = match first(places(roots), "tiny-imagenet", "tiny-imagenet") {
        Err(DataError::Missing { what, looked, .. }) if roots.folder().join(ARCHIVE).exists() => {
            let help =
                format!("`nasty data get tiny-imagenet` unpacks {}", roots.folder().join(ARCHIVE).display());
            return Err(DataError::Missing { what, looked, help });
        }
        found => found?,
    };
    let train = read(&folder.join("train"), Inside::MaybeImages)?;
    let listed = listed(&folder)?;
    if listed != train.classes {
        let (one, other) = difference(&listed, &train.classes);
        return Err(DataError::Malformed {
            path: folder.join("train").display().to_string(),
            expected: format!("the {} classes of wnids.txt", listed.len()),
            found: format!("{} folders{one}{other}", train.classes.len()),
            help: "the data set is incomplete: remove it, and `nasty data get tiny-imagenet` fetches it"
                .into(),
        });
    }
    let validation = validation(&folder, &train)?;
    let shape = Shape::Exactly(SIDE);
    Ok((
        class_names(&folder, &train.classes)?,
        (decode(&train.pictures, shape)?, decode(&validation, shape)?),
    ))
}

/// The classes in `wnids.txt`, in ascending order.
fn listed(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut listed: Vec<String> =
        text(&folder.join("wnids.txt"))?.split_whitespace().map(str::to_owned).collect();
    listed.sort_unstable();
    listed.dedup();
    Ok(listed)
}

/// What is in one list only, in words.
fn difference(listed: &[String], folders: &[String]) -> (String, String) {
    let only = |a: &[String], b: &[String]| a.iter().find(|name| b.binary_search(name).is_err()).cloned();
    (
        only(listed, folders).map_or_else(String::new, |name| format!(", none for {name}")),
        only(folders, listed)
            .map_or_else(String::new, |name| format!(", one for {name}, which is not listed")),
    )
}

/// The validation images: those that `val_annotations.txt` names, or those in class folders.
fn validation(folder: &Path, train: &ClassFolders) -> Result<Vec<Picture>, DataError> {
    let folder = folder.join("val");
    let images = folder.join("images");
    let flat = images.is_dir() && names(&images)?.iter().any(|name| is_picture(Path::new(name)));
    if !flat {
        let found = read(&folder, Inside::MaybeImages)?;
        agree(train, &found)?;
        return Ok(found.pictures);
    }
    let annotations = folder.join("val_annotations.txt");
    let text = text(&annotations)?;
    let mut pictures = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let wrong = |found: String| {
            let expected = "a picture's name, a tab and its class in each line";
            DataError::malformed(
                annotations.display().to_string(),
                expected,
                format!("{found} in line {}", number + 1),
            )
        };
        let mut fields = line.split('\t');
        let (Some(name), Some(class)) = (fields.next(), fields.next()) else {
            return Err(wrong("something else".into()));
        };
        if Path::new(name).file_name() != Some(name.as_ref()) {
            return Err(wrong(format!("the name {name:?}")));
        }
        let Ok(number) = train.classes.binary_search_by(|known| known.as_str().cmp(class)) else {
            return Err(wrong(format!("the unknown class {class:?}")));
        };
        // `read` made sure that the classes fit into 16 bits.
        pictures.push(Picture::file(images.join(name), number as u16));
    }
    let present = names(&images)?.iter().filter(|name| is_picture(Path::new(name))).count();
    if pictures.len() != present {
        let expected = format!("a line for each of the {present} pictures in images/");
        return Err(DataError::malformed(
            annotations.display().to_string(),
            expected,
            format!("{} lines", pictures.len()),
        ));
    }
    Ok(pictures)
}

/// The first word that `words.txt` gives for each class; with its identifier where two classes share it. Without
/// the file, the identifiers.
fn class_names(folder: &Path, classes: &[String]) -> Result<Vec<String>, DataError> {
    let path = folder.join("words.txt");
    if !path.exists() {
        return Ok(classes.to_vec());
    }
    let text = text(&path)?;
    let words: HashMap<&str, &str> = text.lines().filter_map(|line| line.split_once('\t')).collect();
    let word = |class: &String| match words.get(class.as_str()) {
        Some(words) => words.split(',').next().unwrap_or(words).trim().to_owned(),
        None => class.clone(),
    };
    let names: Vec<String> = classes.iter().map(word).collect();
    let mut uses = HashMap::new();
    for name in &names {
        *uses.entry(name.as_str()).or_insert(0) += 1;
    }
    let distinct = |(name, class): (&String, &String)| {
        if uses[name.as_str()] > 1 { format!("{name} ({class})") } else { name.clone() }
    };
    Ok(names.iter().zip(classes).map(distinct).collect())
}

fn text(path: &Path) -> Result<String, DataError> {
    let bytes = read_bounded(path, TEXT_LIMIT)?;
    String::from_utf8(bytes)
        .map_err(|_| DataError::malformed(path.display().to_string(), "a text file", "other bytes"))
}

#[cfg(test)]
mod tests;
