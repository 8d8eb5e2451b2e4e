//! Folders of images, one folder per class.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::batches::held_out;
use super::error::DataError;
use super::framing::Framing;
use super::image_set::ImageSet;
use super::pictures::{FORMATS, Picture, Shape, decode, dimensions, is_picture};

/// The most pictures that a folder may hold.
const MOST: usize = 10_000_000;
/// How deep the pictures of a class may lie in folders of their own.
const DEEPEST: usize = 8;
/// Names of the folder with the training pictures, in any case.
pub(super) const TRAIN: [&str; 2] = ["train", "training"];
/// Names of the folder with the test pictures, in any case; the first that is there is taken.
pub(super) const TEST: [&str; 5] = ["test", "testing", "val", "valid", "validation"];
/// What file managers and archivers leave behind, in any case; and whatever begins with a dot.
const LITTER: [&str; 8] = [
    "thumbs.db",
    "ehthumbs.db",
    "desktop.ini",
    "@eadir",
    "__macosx",
    "$recycle.bin",
    "system volume information",
    "lost+found",
];
/// Decides which pictures become the test set where the folder has none.
pub(super) const SPLIT_SEED: u64 = 0;

/// A split: its classes in ascending order, and for each its pictures in ascending order.
#[derive(Clone, Debug)]
pub(super) struct ClassFolders {
    pub(super) path: PathBuf,
    pub(super) classes: Vec<String>,
    pub(super) pictures: Vec<Picture>,
    /// Files that are no pictures by their names.
    pub(super) others: Vec<PathBuf>,
}

/// Class names, training and test set of `folder`: `train/` and `test/` (or `val/`, …); where there is no test set, a fifth
/// of the pictures becomes one.
///
/// By the `framing`, all pictures become squares; without, they must all be squares of one size.
pub(super) fn load(
    folder: &Path,
    framing: Option<Framing>,
) -> Result<(Vec<String>, (ImageSet, ImageSet)), DataError> {
    let (train, test) = splits(folder)?;
    tell_others(folder, &[&train.others[..], test.as_ref().map_or(&[], |test| &test.others)].concat());
    if let Some(test) = &test {
        agree(&train, test)?;
    }
    let classes = train.classes;
    let (train, test) = match test {
        Some(test) => (train.pictures, test.pictures),
        None => set_apart(train.pictures, folder),
    };
    Ok((classes, decode_both(&train, &test, framing)?))
}

/// The pictures of both splits as images; of the training pictures more than their squares is kept, for random crops.
pub(super) fn decode_both(
    train: &[Picture],
    test: &[Picture],
    framing: Option<Framing>,
) -> Result<(ImageSet, ImageSet), DataError> {
    let (of_train, of_test) = match framing {
        Some(framing) => {
            framing.check()?;
            (Shape::FramedAndWhole(framing), Shape::Framed(framing))
        }
        None => {
            let shape = shape_of(&train[0])?;
            (shape, shape)
        }
    };
    Ok((decode(train, of_train)?, decode(test, of_test)?))
}

/// The splits that `folder` has: training pictures, and test pictures if there are any.
fn splits(folder: &Path) -> Result<(ClassFolders, Option<ClassFolders>), DataError> {
    let missing = |names: &[&str]| {
        DataError::Missing {
        what: format!("the folder {}", names.join(" or ")),
        looked: names.iter().map(|name| folder.join(name)).collect(),
        help: "a folder: data set has train/ and test/ (or val/), in each one folder a class; or one folder a class, of which \
               a test set is made"
            .into(),
    }
    };
    let test = subfolder(folder, &TEST);
    match subfolder(folder, &TRAIN) {
        Some(train) => {
            let test = test.map(|test| read(&test, Inside::Pictures)).transpose()?;
            Ok((read(&train, Inside::Pictures)?, test))
        }
        // The class folders themselves.
        None if test.is_none() && folder.is_dir() => Ok((read(folder, Inside::Pictures)?, None)),
        None => Err(missing(&TRAIN[..1])),
    }
}

/// The folder inside `folder` that has one of these names, in any case; the first name counts first.
pub(super) fn subfolder(folder: &Path, names_of_it: &[&str]) -> Option<PathBuf> {
    let present = names(folder).unwrap_or_default();
    let find = |name: &&str| present.iter().find(|found| found.eq_ignore_ascii_case(name));
    names_of_it.iter().filter_map(find).map(|name| folder.join(name)).find(|path| path.is_dir())
}

/// A fifth of each class as the test set, which is told; the others as the training set.
pub(super) fn set_apart(pictures: Vec<Picture>, place: &Path) -> (Vec<Picture>, Vec<Picture>) {
    let labels: Vec<u16> = pictures.iter().map(|picture| picture.class).collect();
    let (train, test) = held_out(&labels, labels.len().div_ceil(5), SPLIT_SEED);
    tracing::warn!(
        "{} has no test set: {} of its {} pictures, a fifth of each class, drawn with seed {SPLIT_SEED}, are the test set",
        place.display(),
        test.len(),
        labels.len()
    );
    let of = |indices: &[usize]| indices.iter().map(|&i| pictures[i].clone()).collect();
    (of(&train), of(&test))
}

/// Tells once which files are no pictures.
fn tell_others(folder: &Path, others: &[PathBuf]) {
    let Some(first) = others.first() else { return };
    let named = |path: &PathBuf| path.strip_prefix(folder).unwrap_or(path).display().to_string();
    let names: Vec<String> = others.iter().take(3).map(named).collect();
    let more = if others.len() > 3 { ", …" } else { "" };
    tracing::warn!(
        "{}: {} passed over that {} not end like pictures ({FORMATS}): {}{more}",
        folder.display(),
        if others.len() == 1 { "a file was".to_owned() } else { format!("{} files were", others.len()) },
        if others.len() == 1 { "does" } else { "do" },
        if others.len() == 1 { named(first) } else { names.join(", ") },
    );
}

/// The shape of all pictures where no framing is given: that of the first.
fn shape_of(first: &Picture) -> Result<Shape, DataError> {
    let (width, height) = dimensions(&first.encoded)?;
    if width == height {
        return Ok(Shape::Exactly(width));
    }
    Err(DataError::Malformed {
        path: first.encoded.name(),
        expected: "a square picture".into(),
        found: format!("{width}×{height}"),
        help: "data.side=N makes squares of N×N of all pictures".into(),
    })
}

/// What is in the folder of a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Inside {
    /// Pictures, in folders of their own too.
    Pictures,
    /// `images/` with the pictures, or the pictures themselves; and other files (Tiny-ImageNet's).
    MaybeImages,
}

/// Lists the class folders in `path` and the pictures in them.
pub(super) fn read(path: &Path, inside: Inside) -> Result<ClassFolders, DataError> {
    let mut found =
        ClassFolders { path: path.into(), classes: Vec::new(), pictures: Vec::new(), others: Vec::new() };
    for name in names(path)? {
        let folder = path.join(&name);
        if !folder.is_dir() {
            found.others.push(folder);
            continue;
        }
        // Where Tiny-ImageNet's validation images were moved into class folders, an empty `images` may be left.
        if inside == Inside::MaybeImages && name == "images" {
            continue;
        }
        let name = name.into_string().map_err(|_| unexpected(&folder, "a name in UTF-8", "another"))?;
        // A label is 16 bits.
        let class = u16::try_from(found.classes.len())
            .map_err(|_| unexpected(path, &format!("at most {} classes", u16::MAX), "more"))?;
        found.classes.push(name);
        let before = found.pictures.len();
        match inside {
            Inside::Pictures => found.collect(&folder, class, DEEPEST)?,
            Inside::MaybeImages => {
                let images = folder.join("images");
                found.collect(if images.is_dir() { &images } else { &folder }, class, 0)?;
            }
        }
        if found.pictures.len() == before {
            return Err(unexpected(&folder, "pictures of the class", "none"));
        }
        if found.pictures.len() > MOST {
            return Err(unexpected(path, &format!("at most {MOST} pictures"), "more"));
        }
    }
    if found.classes.len() < 2 {
        return Err(unexpected(
            path,
            "a folder for each of two or more classes",
            &found.classes.len().to_string(),
        ));
    }
    Ok(found)
}

impl ClassFolders {
    /// Appends the pictures in `folder`, and in its folders down to a depth.
    fn collect(&mut self, folder: &Path, class: u16, depth: usize) -> Result<(), DataError> {
        for name in names(folder)? {
            let path = folder.join(name);
            if path.is_dir() {
                if depth > 0 {
                    self.collect(&path, class, depth - 1)?;
                }
            } else if is_picture(&path) {
                self.pictures.push(Picture::file(path, class));
            } else {
                self.others.push(path);
            }
        }
        Ok(())
    }
}

/// Names in a folder in ascending order, without those that file managers leave behind.
pub(super) fn names(folder: &Path) -> Result<Vec<OsString>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(DataError::io(folder))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<Result<Vec<_>, _>>().map_err(DataError::io(folder))?;
    names.retain(|name| {
        !name.as_encoded_bytes().starts_with(b".")
            && !LITTER.iter().any(|litter| name.eq_ignore_ascii_case(litter))
    });
    names.sort_unstable();
    Ok(names)
}

/// Both splits must have the same classes.
pub(super) fn agree(train: &ClassFolders, test: &ClassFolders) -> Result<(), DataError> {
    for (one, other) in [(train, test), (test, train)] {
        if let Some(class) = one.classes.iter().find(|class| other.classes.binary_search(class).is_err()) {
            let found = format!("none for `{class}`, which {} has", one.path.display());
            return Err(unexpected(&other.path, "a folder for each class of both splits", &found));
        }
    }
    Ok(())
}

fn unexpected(path: &Path, expected: &str, found: &str) -> DataError {
    DataError::Malformed {
        path: path.display().to_string(),
        expected: expected.into(),
        found: found.into(),
        help: "each split is a folder with one folder a class, which holds its pictures".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Place(tempfile::TempDir);

    impl Place {
        /// Two classes, two training pictures and one test picture each, of 8×8.
        fn whole() -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for (i, name) in [
                "train/b/2.png",
                "train/b/10.PNG",
                "train/a/x.jpeg",
                "train/a/y.jpg",
                "val/a/1.png",
                "val/b/1.png",
            ]
            .iter()
            .enumerate()
            {
                place.picture(name, 8, 8, 40 * i as u8);
            }
            place.write("train/.DS_Store", b"left by a file manager");
            for litter in ["train/a/Thumbs.db", "train/Desktop.ini", "val/@eaDir/x.png", "__MACOSX/a/._1.png"]
            {
                place.write(litter, b"left by another");
            }
            place
        }

        fn path(&self, name: &str) -> PathBuf {
            let path = self.0.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            path
        }

        fn picture(&self, name: &str, width: u32, height: u32, value: u8) {
            image::GrayImage::from_pixel(width, height, image::Luma([value])).save(self.path(name)).unwrap();
        }

        fn write(&self, name: &str, bytes: &[u8]) {
            std::fs::write(self.path(name), bytes).unwrap();
        }

        fn says(&self, side: Option<usize>, parts: &[&str]) {
            let error = load(self.0.path(), side.map(Framing::square)).unwrap_err();
            let text = format!(
                "{error} {}",
                miette::Diagnostic::help(&error).map(|h| h.to_string()).unwrap_or_default()
            );
            for part in parts {
                assert!(text.contains(part), "{text} without {part}");
            }
        }
    }

    #[test]
    fn classes_and_pictures_come_in_the_order_of_their_names() {
        let place = Place::whole();
        let (classes, (train, test)) = load(place.0.path(), None).unwrap();
        assert_eq!(classes, ["a", "b"]);
        assert_eq!((train.height, train.width, train.channels), (8, 8, 3));
        assert_eq!(train.labels, [0, 0, 1, 1]);
        assert_eq!(test.labels, [0, 1]);
        let first: Vec<u8> = (0..4).map(|i| train.image(i)[0]).collect();
        assert_eq!(first, [80, 120, 40, 0], "x, y, 10, 2");
        let (_, (resized, _)) = load(place.0.path(), Some(Framing::square(5))).unwrap();
        assert_eq!((resized.height, resized.width, resized.len()), (5, 5, 4));
        // A test/ is the test set even where there is a val/.
        place.picture("test/a/1.png", 8, 8, 1);
        place.picture("test/b/1.png", 8, 8, 2);
        assert_eq!(load(place.0.path(), None).unwrap().1.1.image(1)[0], 2);
    }

    #[test]
    fn bad_folders_are_explained() {
        let place = Place::whole();
        place.says(Some(0), &["side 0"]);
        place.picture("train/b/z.png", 9, 8, 0);
        place.says(None, &["train/b/z.png: expected a picture of 8×8, found 9×8", "data.side=N"]);
        assert!(load(place.0.path(), Some(Framing::square(8))).is_ok());
        place.picture("train/a/0.png", 9, 8, 0);
        place.says(None, &["train/a/0.png: expected a square picture, found 9×8", "data.side"]);

        let place = Place::whole();
        place.picture("train/c/1.png", 8, 8, 0);
        place.says(None, &["val: expected a folder for each class", "none for `c`, which", "train has"]);
        let place = Place::whole();
        place.picture("val/0/1.png", 8, 8, 0);
        place.says(None, &["train: expected a folder for each class", "none for `0`"]);
        let place = Place::whole();
        std::fs::create_dir(place.path("train/empty")).unwrap();
        place.says(None, &["train/empty: expected pictures of the class, found none"]);
        let place = Place::whole();
        place.write("val/b/2.png", b"no picture");
        place.says(None, &["val/b/2.png: expected a PNG, JPEG, WebP, BMP, TIFF or GIF picture"]);
        let place = Place::whole();
        std::fs::remove_dir_all(place.path("train")).unwrap();
        place.says(None, &["the folder train was not found", "train/ and test/"]);
        std::fs::remove_dir_all(place.0.path()).unwrap();
        place.says(None, &["the folder train was not found"]);
        let place = Place::whole();
        for split in ["train", "val"] {
            std::fs::remove_dir_all(place.path(&format!("{split}/b"))).unwrap();
        }
        place.says(None, &["a folder for each of two or more classes, found 1"]);
    }

    #[test]
    fn other_files_are_counted_and_pictures_lie_at_any_depth() {
        let place = Place::whole();
        for other in ["train/notes.txt", "train/a/labels.csv", "val/b/x.mp4"] {
            place.write(other, b"");
        }
        place.picture("train/a/2024/05/z.bmp", 8, 8, 7);
        let (train, test) = splits(place.0.path()).unwrap();
        let others = |of: &ClassFolders| of.others.len();
        assert_eq!((others(&train), others(&test.unwrap())), (2, 1));
        assert_eq!(train.classes, ["a", "b"]);
        assert_eq!(load(place.0.path(), None).unwrap().1.0.labels, [0, 0, 0, 1, 1]);
    }

    #[test]
    fn splits_have_many_names_and_are_made_where_there_are_none() {
        for name in ["test", "Valid", "validation", "VAL"] {
            let place = Place::whole();
            std::fs::rename(place.path("val"), place.path("moved")).unwrap();
            std::fs::rename(place.path("moved"), place.path(name)).unwrap();
            assert_eq!(load(place.0.path(), None).unwrap().1.1.len(), 2, "{name}");
        }
        // Class folders alone.
        let place = Place(tempfile::tempdir().unwrap());
        for i in 0..20 {
            place.picture(&format!("{}/{i:02}.png", if i < 10 { "cat" } else { "dog" }), 12, 8, 10 * i);
        }
        let split = || load(place.0.path(), Some(Framing::square(8))).unwrap();
        let (classes, (train, test)) = split();
        assert_eq!(classes, ["cat", "dog"]);
        assert_eq!((train.class_counts(2), test.class_counts(2)), (vec![8, 8], vec![2, 2]));
        let shades: std::collections::BTreeSet<u8> =
            train.images().chain(test.images()).map(|i| i[0]).collect();
        assert_eq!(shades.len(), 20, "each picture is in one of both");
        assert_eq!(split().1, (train.clone(), test.clone()), "always the same");
        assert!(train.has_photos() && !test.has_photos());
        assert_eq!(train.photo(0).map(|photo| (photo.height, photo.width)), Some((8, 12)));
    }
}
