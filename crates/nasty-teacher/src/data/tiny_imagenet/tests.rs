use super::*;

const CLASSES: [&str; 3] = ["n02", "n01", "n03"];

struct Place(tempfile::TempDir);

impl Place {
    /// Three classes, two training images and one validation image each, in the official layout.
    fn official() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("wnids.txt", &CLASSES.join("\n"));
        place.write(
            "words.txt",
            "n01\tgoldfish, Carassius auratus\nn02\tcrane\nn03\tcrane, big bird\nn99\tunused\n",
        );
        let mut annotations = String::new();
        for (i, class) in CLASSES.iter().enumerate() {
            place.write(&format!("train/{class}/{class}_boxes.txt"), "x_0.JPEG\t0\t0\t62\t62\n");
            for j in 0..2 {
                place.picture(&format!("train/{class}/images/{class}_{j}.JPEG"), (50 * i + 20 * j) as u8);
            }
            // Not in the order of the classes.
            let name = format!("val_{}.JPEG", 2 - i);
            place.picture(&format!("val/images/{name}"), 50 * i as u8);
            annotations += &format!("{name}\t{class}\t0\t32\t44\t62\n");
        }
        place.write("val/val_annotations.txt", &annotations);
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        let path = self.0.path().join("tiny-imagenet-200").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// A grey JPEG, as some of the real ones are.
    fn picture(&self, name: &str, value: u8) {
        let format = image::ImageFormat::Jpeg;
        let picture = image::GrayImage::from_pixel(64, 64, image::Luma([value]));
        picture.save_with_format(self.path(name), format).unwrap();
    }

    fn load(&self) -> Result<(Vec<String>, (ImageSet, ImageSet)), DataError> {
        load(&DataRoots::resolve(Some(self.0.path().into())).unwrap())
    }

    fn says(&self, parts: &[&str]) {
        let error = self.load().unwrap_err();
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
fn the_official_layout_is_read() {
    let (classes, (train, test)) = Place::official().load().unwrap();
    assert_eq!(classes, ["goldfish", "crane (n02)", "crane (n03)"]);
    assert_eq!((train.height, train.width, train.channels), (64, 64, 3));
    assert_eq!(train.labels, [0, 0, 1, 1, 2, 2]);
    let values: Vec<u8> = (0..6).map(|i| train.image(i)[0]).collect();
    assert_eq!(values, [50, 70, 0, 20, 100, 120]);
    // In the order of val_annotations.txt.
    assert_eq!(test.labels, [1, 0, 2]);
    assert_eq!((0..3).map(|i| test.image(i)[0]).collect::<Vec<_>>(), [0, 50, 100]);
}

#[test]
fn class_folders_of_validation_images_are_read_too() {
    for inner in ["", "images/"] {
        let place = Place::official();
        for (i, class) in CLASSES.iter().enumerate() {
            let from = place.path(&format!("val/images/val_{}.JPEG", 2 - i));
            std::fs::rename(from, place.path(&format!("val/{class}/{inner}x.JPEG"))).unwrap();
        }
        let (_, (_, test)) = place.load().unwrap();
        assert_eq!(test.labels, [0, 1, 2]);
        assert_eq!((0..3).map(|i| test.image(i)[0]).collect::<Vec<_>>(), [50, 0, 100]);
        std::fs::remove_dir_all(place.path("val/n03")).unwrap();
        place.says(&["val: expected a folder for each class of both splits, found none for `n03`"]);
    }
}

#[test]
fn without_words_the_identifiers_are_the_names() {
    let place = Place::official();
    std::fs::remove_file(place.path("words.txt")).unwrap();
    assert_eq!(place.load().unwrap().0, ["n01", "n02", "n03"]);
}

#[test]
fn bad_folders_are_explained() {
    let place = Place(tempfile::tempdir().unwrap());
    place.says(&["tiny-imagenet was not found", "nasty data get tiny-imagenet` fetches it"]);
    std::fs::write(place.0.path().join("tiny-imagenet-200.zip"), "").unwrap();
    place.says(&["tiny-imagenet was not found", "get tiny-imagenet` unpacks", "tiny-imagenet-200.zip"]);

    let place = Place::official();
    std::fs::remove_dir_all(place.path("train/n02")).unwrap();
    place.says(&["train: expected the 3 classes of wnids.txt, found 2 folders, none for n02"]);
    let place = Place::official();
    place.write("wnids.txt", "n01\nn02\n");
    place.says(&["found 3 folders, one for n03, which is not listed"]);
    std::fs::remove_file(place.path("wnids.txt")).unwrap();
    place.says(&["wnids.txt: "]);
    let place = Place::official();
    place.write("val/val_annotations.txt", "val_0.JPEG\tn01\nval_1.JPEG\tn77\n");
    place.says(&[
        "val_annotations.txt: expected a picture's name, a tab and its class",
        "unknown class \"n77\" in line 2",
    ]);
    place.write("val/val_annotations.txt", "val_0.JPEG n01\n");
    place.says(&["something else in line 1"]);
    place.write("val/val_annotations.txt", "../x.JPEG\tn01\n");
    place.says(&["the name \"../x.JPEG\" in line 1"]);
    place.write("val/val_annotations.txt", "val_0.JPEG\tn01\n");
    place.says(&["a line for each of the 3 pictures in images/, found 1 lines"]);
    let place = Place::official();
    std::fs::write(place.path("train/n01/images/n01_1.JPEG"), "no picture").unwrap();
    place.says(&["n01_1.JPEG: expected a PNG, JPEG, WebP, BMP, TIFF or GIF picture"]);
    let place = Place::official();
    let small = image::GrayImage::from_pixel(63, 64, image::Luma([0]));
    small.save_with_format(place.path("val/images/val_2.JPEG"), image::ImageFormat::Jpeg).unwrap();
    place.says(&["val_2.JPEG: expected a picture of 64×64, found 63×64"]);
}
