//! Decodes PNG and JPEG files into one [`ImageSet`].

use std::fs::File;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use image::imageops::{FilterType, resize};
use image::{DynamicImage, ImageFormat, ImageReader, Limits};
use rayon::prelude::*;

use super::error::DataError;
use super::files::read_bounded;
use super::image_set::ImageSet;

/// The longest picture file.
const FILE_LIMIT: u64 = 64 << 20;
/// The widest and highest picture.
const SIDE_LIMIT: u32 = 16_384;
/// What one picture may need while it is decoded, in bytes.
const DECODING_LIMIT: u64 = 1 << 30;
/// What all pictures of a split may need together, in bytes.
const TOTAL_LIMIT: usize = 64 << 30;

/// A picture's file and its class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) path: PathBuf,
    pub(super) class: u16,
}

/// The side of the square images that pictures become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Side {
    /// Pictures of another size are errors.
    Exactly(usize),
    /// Pictures of another size are resized, without regard to their proportions.
    Resized(usize),
}

impl Side {
    fn pixels(self) -> usize {
        match self {
            Self::Exactly(side) | Self::Resized(side) => side,
        }
    }
}

/// Decodes `pictures`, in their order, into RGB images (grey ones get three equal channels).
///
/// Memory: 3 · side² bytes a picture, and what decoding one picture a thread takes.
pub(super) fn decode(pictures: &[Picture], side: Side) -> Result<ImageSet, DataError> {
    let length = side.pixels();
    let bytes = length * length * 3;
    let total = bytes.checked_mul(pictures.len()).filter(|&total| (1..=TOTAL_LIMIT).contains(&total));
    let too_much = || DataError::Impossible {
        what: format!("{} images of {length}×{length} do not fit into memory", pictures.len()),
        help: "resize them: give a smaller side, such as data.side=64".into(),
    };
    let total = total.ok_or_else(too_much)?;
    let mut pixels = Vec::new();
    pixels.try_reserve_exact(total).map_err(|_| too_much())?;
    pixels.resize(total, 0);
    // The first error by position, not by time, so that the message is the same every time.
    let failed = pixels
        .par_chunks_exact_mut(bytes)
        .zip(pictures)
        .map(|(out, picture)| decode_one(&picture.path, side, out))
        .find_map_first(Result::err);
    match failed {
        Some(error) => Err(error),
        None => {
            let labels = pictures.iter().map(|picture| picture.class).collect();
            Ok(ImageSet::new(length, length, 3, pixels, labels))
        }
    }
}

/// Width and height of the picture at `path`, from its header.
pub(super) fn dimensions(path: &Path) -> Result<(usize, usize), DataError> {
    let file = std::io::BufReader::new(File::open(path).map_err(DataError::io(path))?);
    let reader = reader(path, file)?;
    let (width, height) = reader.into_dimensions().map_err(|error| broken(path, &error))?;
    Ok((width as usize, height as usize))
}

fn decode_one(path: &Path, side: Side, out: &mut [u8]) -> Result<(), DataError> {
    let bytes = read_bounded(path, FILE_LIMIT)?;
    let reader = reader(path, Cursor::new(&bytes))?;
    // The decoder paints what is missing of a cut JPEG grey.
    if reader.format() == Some(ImageFormat::Jpeg) && !ends(&bytes) {
        return Err(DataError::malformed(path.display().to_string(), "a whole JPEG", "one cut short"));
    }
    let picture = reader.decode().map_err(|error| broken(path, &error))?;
    let (width, height) = (picture.width() as usize, picture.height() as usize);
    let rgb = match side {
        Side::Exactly(side) | Side::Resized(side) if (width, height) == (side, side) => picture.into_rgb8(),
        Side::Exactly(side) => {
            let (expected, found) = (format!("a picture of {side}×{side}"), format!("{width}×{height}"));
            return Err(DataError::Malformed {
                path: path.display().to_string(),
                expected,
                found,
                help: "all pictures must have the size of the first; in a folder: data set, data.side=N resizes them"
                    .into(),
            });
        }
        Side::Resized(side) => resized(picture, side as u32),
    };
    out.copy_from_slice(rgb.as_raw());
    Ok(())
}

/// Whether a JPEG's end marker follows its last scan (an embedded thumbnail before it has one too).
fn ends(jpeg: &[u8]) -> bool {
    let last = |marker: [u8; 2]| jpeg.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) > last([0xff, 0xda])
}

/// Bilinear, averaging over all the pixels that one pixel of a smaller image covers, as torchvision and Pillow do.
fn resized(picture: DynamicImage, side: u32) -> image::RgbImage {
    resize(&picture.into_rgb8(), side, side, FilterType::Triangle)
}

fn reader<R: std::io::BufRead + std::io::Seek>(path: &Path, source: R) -> Result<ImageReader<R>, DataError> {
    let mut reader = ImageReader::new(source).with_guessed_format().map_err(DataError::io(path))?;
    if !matches!(reader.format(), Some(ImageFormat::Png | ImageFormat::Jpeg)) {
        return Err(DataError::malformed(
            path.display().to_string(),
            "a PNG or JPEG picture",
            "something else",
        ));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_LIMIT);
    limits.max_image_height = Some(SIDE_LIMIT);
    limits.max_alloc = Some(DECODING_LIMIT);
    reader.limits(limits);
    Ok(reader)
}

fn broken(path: &Path, error: &image::ImageError) -> DataError {
    DataError::malformed(path.display().to_string(), "an intact picture", format!("a broken one ({error})"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn save(folder: &Path, name: &str, image: impl Into<DynamicImage>) -> Picture {
        let path = folder.join(name);
        image.into().save(&path).unwrap();
        Picture { path, class: 0 }
    }

    /// A picture with a pattern that JPEG can keep.
    fn ramp(side: u32) -> image::RgbImage {
        image::RgbImage::from_fn(side, side, |x, y| image::Rgb([(x * 3) as u8, (y * 3) as u8, 99]))
    }

    #[test]
    fn png_jpeg_grey_16_bit_and_alpha_become_rgb() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let grey = image::GrayImage::from_fn(8, 8, |x, _| image::Luma([x as u8 * 20]));
        let pictures = [
            save(here, "rgb.png", ramp(8)),
            save(here, "grey.png", grey.clone()),
            save(here, "grey.jpg", image::GrayImage::from_pixel(8, 8, image::Luma([77]))),
            save(here, "deep.png", DynamicImage::from(grey.clone()).into_luma16()),
            save(here, "alpha.png", DynamicImage::from(ramp(8)).into_rgba8()),
        ];
        let set = decode(&pictures, Side::Exactly(8)).unwrap();
        assert_eq!((set.len(), set.height, set.width, set.channels), (5, 8, 8, 3));
        assert_eq!(set.image(0), ramp(8).as_raw());
        let tripled: Vec<u8> = grey.as_raw().iter().flat_map(|&v| [v; 3]).collect();
        assert_eq!(set.image(1), tripled);
        assert_eq!(set.image(2), [77; 192]);
        assert_eq!(set.image(3), tripled);
        assert_eq!(set.image(4), ramp(8).as_raw());
    }

    #[test]
    fn resizing_averages() {
        let folder = tempfile::tempdir().unwrap();
        let stripes =
            image::RgbImage::from_fn(64, 32, |x, _| image::Rgb([if x % 2 == 0 { 0 } else { 200 }; 3]));
        let picture = save(folder.path(), "stripes.png", stripes);
        assert_eq!(dimensions(&picture.path).unwrap(), (64, 32));
        let set = decode(&[picture], Side::Resized(4)).unwrap();
        assert_eq!((set.len(), set.image(0).len()), (1, 48));
        assert!(set.image(0).iter().all(|&v| (90..=110).contains(&v)), "{:?}", set.image(0));
    }

    #[test]
    fn a_broken_picture_is_named_and_the_first_one_first() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        let (png, jpeg) = (save(here, "whole.png", ramp(64)), save(here, "whole.jpg", ramp(64)));
        let cut = |from: &Picture, name: &str, keep: f64| {
            let bytes = std::fs::read(&from.path).unwrap();
            let picture = Picture { path: here.join(name), class: 0 };
            std::fs::write(&picture.path, &bytes[..(bytes.len() as f64 * keep) as usize]).unwrap();
            picture
        };
        let error = |pictures: &[Picture]| {
            decode(pictures, Side::Exactly(64)).err().map_or(String::new(), |e| e.to_string())
        };
        for keep in [0.1, 0.5, 0.9, 0.999] {
            assert!(
                error(&[png.clone(), cut(&jpeg, "cut.jpg", keep)]).contains("cut.jpg: expected"),
                "{keep}"
            );
            // The last bytes of a PNG are no part of its picture.
            let keep = keep * 0.9;
            assert!(
                error(&[png.clone(), cut(&png, "cut.png", keep)]).contains("cut.png: expected"),
                "{keep}"
            );
        }
        let text = Picture { path: here.join("text.png"), class: 0 };
        std::fs::write(&text.path, "hello").unwrap();
        assert!(error(&[text]).contains("text.png: expected a PNG or JPEG picture"));
        let other = save(here, "other.png", ramp(63));
        assert!(error(&[png.clone(), other]).contains("other.png: expected a picture of 64×64, found 63×63"));
        let absent = |name: &str| Picture { path: here.join(name), class: 0 };
        let many: Vec<Picture> = (0..200)
            .map(|i| if i < 100 { png.clone() } else { absent(&format!("absent-{i}.png")) })
            .collect();
        for _ in 0..5 {
            assert!(error(&many).contains("absent-100.png"));
        }
    }

    #[test]
    fn sizes_are_bounded_before_anything_is_allocated() {
        let folder = tempfile::tempdir().unwrap();
        let picture = save(folder.path(), "a.png", ramp(8));
        let many = vec![picture.clone(); 1000];
        let error = decode(&many, Side::Resized(20_000)).unwrap_err().to_string();
        assert!(error.contains("do not fit into memory"), "{error}");
        // A header that claims a picture of 60,000×60,000.
        let mut bytes = std::fs::read(&picture.path).unwrap();
        bytes[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
        std::fs::write(&picture.path, bytes).unwrap();
        let error = decode(&[picture], Side::Resized(8)).unwrap_err().to_string();
        assert!(error.contains("a.png: expected an intact picture"), "{error}");
    }
}
