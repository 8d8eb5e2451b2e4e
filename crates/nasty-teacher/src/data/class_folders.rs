//! Folders of images, one folder per class.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::error::DataError;
use super::image_set::ImageSet;
use super::pictures::{Picture, Side, decode, dimensions};

/// The most pictures that a folder may hold.
const MOST: usize = 10_000_000;

/// A split: its classes in ascending order, and for each its pictures in ascending order.
#[derive(Debug)]
pub(super) struct ClassFolders {
    pub(super) path: PathBuf,
    pub(super) classes: Vec<String>,
    pub(super) pictures: Vec<Picture>,
}

/// Training and test set of `folder`: `train/` and `test/`, or `train/` and `val/` where there is no `test/`.
///
/// With `side`, all pictures are resized; without, they must all be squares of one size.
pub(super) fn load(
    folder: &Path,
    side: Option<usize>,
) -> Result<(Vec<String>, (ImageSet, ImageSet)), DataError> {
    let part = |names: &[&str]| {
        let places: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).collect();
        places.iter().find(|place| place.is_dir()).cloned().ok_or_else(|| DataError::Missing {
            what: format!("the folder {}", names.join(" or ")),
            looked: places,
            help: "a folder: data set has train/ and test/ (or val/), in each one folder a class".into(),
        })
    };
    let train = read(&part(&["train"])?, Inside::Pictures)?;
    let test = read(&part(&["test", "val"])?, Inside::Pictures)?;
    agree(&train, &test)?;
    let side = match side {
        Some(0) => {
            return Err(DataError::Impossible {
                what: "images of side 0".into(),
                help: "give a side, such as data.side=64".into(),
            });
        }
        Some(side) => Side::Resized(side),
        None => side_of(&train.pictures[0].path)?,
    };
    Ok((train.classes, (decode(&train.pictures, side)?, decode(&test.pictures, side)?)))
}

/// The side of all pictures where none is given: that of the first.
fn side_of(first: &Path) -> Result<Side, DataError> {
    let (width, height) = dimensions(first)?;
    if width == height {
        return Ok(Side::Exactly(width));
    }
    Err(DataError::Malformed {
        path: first.display().to_string(),
        expected: "a square picture".into(),
        found: format!("{width}×{height}"),
        help: "data.side=N resizes all pictures to N×N".into(),
    })
}

/// What is in the folder of a class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Inside {
    /// Pictures and nothing else.
    Pictures,
    /// `images/` with the pictures, or the pictures themselves; and other files (Tiny-ImageNet's).
    MaybeImages,
}

/// Lists the class folders in `path` and the pictures in them.
pub(super) fn read(path: &Path, inside: Inside) -> Result<ClassFolders, DataError> {
    let mut found = ClassFolders { path: path.into(), classes: Vec::new(), pictures: Vec::new() };
    for name in names(path)? {
        let folder = path.join(&name);
        // Where Tiny-ImageNet's validation images were moved into class folders, an empty `images` may be left.
        if inside == Inside::MaybeImages && (!folder.is_dir() || name == "images") {
            continue;
        }
        if !folder.is_dir() {
            return Err(unexpected(&folder, "a folder for each class", "a file"));
        }
        let name = name.into_string().map_err(|_| unexpected(&folder, "a name in UTF-8", "another"))?;
        // A label is 16 bits.
        let class = u16::try_from(found.classes.len())
            .map_err(|_| unexpected(path, &format!("at most {} classes", u16::MAX), "more"))?;
        found.classes.push(name);
        let before = found.pictures.len();
        pictures(&folder, inside, class, &mut found.pictures)?;
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

/// Appends the pictures in the folder of one class.
fn pictures(folder: &Path, inside: Inside, class: u16, found: &mut Vec<Picture>) -> Result<(), DataError> {
    let images = folder.join("images");
    let folder = if inside == Inside::MaybeImages && images.is_dir() { &images } else { folder };
    for name in names(folder)? {
        let path = folder.join(name);
        if is_picture(&path) {
            found.push(Picture { path, class });
        } else if inside == Inside::Pictures {
            return Err(unexpected(&path, "a picture named .png, .jpg or .jpeg", "something else"));
        }
    }
    Ok(())
}

pub(super) fn is_picture(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ["png", "jpg", "jpeg"].iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Names in a folder in ascending order, without those that file managers leave behind.
pub(super) fn names(folder: &Path) -> Result<Vec<OsString>, DataError> {
    let entries = std::fs::read_dir(folder).map_err(DataError::io(folder))?;
    let names = entries.map(|entry| entry.map(|entry| entry.file_name()));
    let mut names = names.collect::<Result<Vec<_>, _>>().map_err(DataError::io(folder))?;
    names.retain(|name| !name.as_encoded_bytes().starts_with(b".") && name != "Thumbs.db");
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
        help: "each split is a folder with one folder a class, which holds its PNG and JPEG pictures".into(),
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
            place.write("train/a/Thumbs.db", b"left by another");
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
            let error = load(self.0.path(), side).unwrap_err();
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
        let (_, (resized, _)) = load(place.0.path(), Some(5)).unwrap();
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
        assert!(load(place.0.path(), Some(8)).is_ok());
        place.picture("train/a/0.png", 9, 8, 0);
        place.says(None, &["train/a/0.png: expected a square picture, found 9×8", "data.side"]);

        let place = Place::whole();
        place.picture("train/c/1.png", 8, 8, 0);
        place.says(None, &["val: expected a folder for each class", "none for `c`, which", "train has"]);
        let place = Place::whole();
        place.picture("val/0/1.png", 8, 8, 0);
        place.says(None, &["train: expected a folder for each class", "none for `0`"]);
        let place = Place::whole();
        place.write("train/a/notes.txt", b"");
        place.says(None, &["train/a/notes.txt: expected a picture named .png, .jpg or .jpeg"]);
        let place = Place::whole();
        place.write("train/notes.txt", b"");
        place.says(None, &["train/notes.txt: expected a folder for each class, found a file"]);
        let place = Place::whole();
        std::fs::create_dir(place.path("train/empty")).unwrap();
        place.says(None, &["train/empty: expected pictures of the class, found none"]);
        let place = Place::whole();
        place.write("val/b/2.png", b"no picture");
        place.says(None, &["val/b/2.png: expected a PNG or JPEG picture"]);
        let place = Place::whole();
        std::fs::remove_dir_all(place.path("val")).unwrap();
        place.says(None, &["test or val was not found", "train/ and test/"]);
        std::fs::remove_dir_all(place.path("train")).unwrap();
        place.says(None, &["the folder train was not found"]);
    }
}
