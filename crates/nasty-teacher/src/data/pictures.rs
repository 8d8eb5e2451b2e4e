//! Decodes picture files into one [`ImageSet`].

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Seek};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use image::{DynamicImage, ImageFormat, ImageReader, Limits, RgbImage};
use rayon::prelude::*;

use super::budget;
use super::error::DataError;
use super::files::read_bounded;
use super::framing::{Framing, centred};
use super::image_set::{ImageSet, Photo};
use super::resample::{Area, Pixels, resized};

/// The longest picture file.
const FILE_LIMIT: u64 = 64 << 20;
/// The widest and highest picture.
const SIDE_LIMIT: u32 = 16_384;
/// What one picture may need while it is decoded, in bytes.
const DECODING_LIMIT: u64 = 1 << 30;
/// The formats that are read, in words.
pub(super) const FORMATS: &str = "PNG, JPEG, WebP, BMP, TIFF or GIF";
/// Their usual endings, in any case.
const ENDINGS: [&str; 10] = ["png", "jpg", "jpeg", "jpe", "jfif", "webp", "bmp", "tif", "tiff", "gif"];

/// A picture and its class.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Picture {
    pub(super) encoded: Encoded,
    pub(super) class: u16,
}

/// A picture as a file, or as the bytes of one.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Encoded {
    File(PathBuf),
    Bytes {
        /// For messages.
        name: String,
        bytes: Vec<u8>,
    },
}

impl Encoded {
    /// What it is called in messages.
    pub(super) fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes { name, .. } => name.clone(),
        }
    }
}

impl Picture {
    pub(super) fn file(path: PathBuf, class: u16) -> Self {
        Self { encoded: Encoded::File(path), class }
    }
}

/// Whether the file's name is that of a picture.
pub(super) fn is_picture(path: &Path) -> bool {
    let ending = path.extension().unwrap_or_default();
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// What pictures become.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    /// Squares of this side, which they must be already.
    Exactly(usize),
    /// Squares by a framing.
    Framed(Framing),
    /// Squares by a framing, and beside them the whole resized pictures, which random crops are taken from.
    FramedAndWhole(Framing),
}

impl Shape {
    fn side(self) -> usize {
        match self {
            Self::Exactly(side) => side,
            Self::Framed(framing) | Self::FramedAndWhole(framing) => framing.side(),
        }
    }

    /// Bytes of an image that a picture of `width` × `height` becomes, beside its square; none of one that is refused as too narrow.
    fn beside(self, (width, height): (usize, usize)) -> u128 {
        match self {
            Self::FramedAndWhole(framing) => {
                let (width, height) = framing.resized(width, height);
                let narrow = width.max(height) > SIDE_LIMIT as usize;
                let is_square = width == height && width == framing.side();
                if narrow || is_square { 0 } else { 3 * width as u128 * height as u128 }
            }
            _ => 0,
        }
    }
}

/// Decodes `pictures`, in their order, into RGB images (grey ones get three equal channels).
///
/// Memory: 3 · side² bytes a picture, the whole resized pictures where they are wanted, and what decoding one picture
/// a thread takes; the first two are checked against the [budget](budget::budget) before anything is decoded.
pub(super) fn decode(pictures: &[Picture], shape: Shape) -> Result<ImageSet, DataError> {
    let side = shape.side();
    let bytes = side * side * 3;
    let squares = bytes as u128 * pictures.len() as u128;
    budget::check(pictures.len(), squares)?;
    if matches!(shape, Shape::FramedAndWhole(_)) {
        let beside = pictures.par_iter().map(|picture| {
            // A picture that cannot be read is reported below, the first one first.
            let size = dimensions(&picture.encoded).unwrap_or((1, 1));
            shape.beside(size)
        });
        budget::check(pictures.len(), squares + beside.sum::<u128>())?;
    }
    let mut pixels = Vec::new();
    let refused = |_| budget::too_much(pictures.len(), squares, budget::budget());
    pixels.try_reserve_exact(squares as usize).map_err(refused)?;
    pixels.resize(squares as usize, 0);
    let photos: Vec<OnceLock<Photo>> = pictures.iter().map(|_| OnceLock::new()).collect();
    // The first error by position, not by time, so that the message is the same every time.
    let failed = pixels
        .par_chunks_exact_mut(bytes)
        .zip(pictures)
        .zip(&photos)
        .map(|((out, picture), photo)| {
            let (square, whole) = decode_one(&picture.encoded, shape)?;
            out.copy_from_slice(square.as_flattened());
            if let Some(whole) = whole {
                let _ = photo.set(whole);
            }
            Ok(())
        })
        .find_map_first(Result::err);
    if let Some(error) = failed {
        return Err(error);
    }
    let labels = pictures.iter().map(|picture| picture.class).collect();
    let set = ImageSet::new(side, side, 3, pixels, labels);
    let photos: Vec<Option<Photo>> = photos.into_iter().map(OnceLock::into_inner).collect();
    Ok(if photos.iter().any(Option::is_some) { set.with_photos(photos) } else { set })
}

/// Width and height of a picture, from its header.
pub(super) fn dimensions(picture: &Encoded) -> Result<(usize, usize), DataError> {
    let size = |reader: ImageReader<_>, name: &str| {
        let (width, height) = reader.into_dimensions().map_err(|error| broken(name, &error))?;
        Ok((width as usize, height as usize))
    };
    match picture {
        Encoded::File(path) => {
            let name = path.display().to_string();
            let file: Box<dyn Source> =
                Box::new(BufReader::new(File::open(path).map_err(DataError::io(path))?));
            size(reader(&name, file)?, &name)
        }
        Encoded::Bytes { name, bytes } => {
            let bytes: Box<dyn Source> = Box::new(Cursor::new(bytes));
            size(reader(name, bytes)?, name)
        }
    }
}

/// What pictures are read from.
trait Source: BufRead + Seek {}
impl<T: BufRead + Seek> Source for T {}

type Rgb = [u8; 3];

/// The square that a picture becomes, and the whole resized picture where it is wanted and another one.
fn decode_one(picture: &Encoded, shape: Shape) -> Result<(Vec<Rgb>, Option<Photo>), DataError> {
    let (name, rgb) = match picture {
        Encoded::File(path) => {
            let name = path.display().to_string();
            let rgb = rgb(&name, &read_bounded(path, FILE_LIMIT)?)?;
            (name, rgb)
        }
        Encoded::Bytes { name, bytes } => (name.clone(), rgb(name, bytes)?),
    };
    let (width, height) = (rgb.width() as usize, rgb.height() as usize);
    let pixels = |rgb: RgbImage| rgb.into_raw().as_chunks().0.to_vec();
    let framing = match shape {
        Shape::Exactly(side) if (width, height) == (side, side) => return Ok((pixels(rgb), None)),
        Shape::Exactly(side) => {
            return Err(DataError::Malformed {
                path: name,
                expected: format!("a picture of {side}×{side}"),
                found: format!("{width}×{height}"),
                help: "all pictures must have the size of the first; in a folder: data set, data.side=N makes squares \
                       of N×N of them"
                    .into(),
            });
        }
        Shape::Framed(framing) | Shape::FramedAndWhole(framing) => framing,
    };
    let side = framing.side();
    let (to_width, to_height) = framing.resized(width, height);
    // A strip of paper is no picture: resized, it would be larger than memory.
    if to_width.max(to_height) > SIDE_LIMIT as usize {
        let found = format!("{width}×{height}");
        return Err(DataError::malformed(name, "a picture that is not so narrow", found));
    }
    let whole = if (to_width, to_height) == (width, height) {
        pixels(rgb)
    } else {
        let picture = Pixels { width, pixels: rgb.as_raw().as_chunks().0 };
        resized(picture, Area { top: 0, left: 0, height, width }, to_height, to_width)
    };
    if (to_width, to_height) == (side, side) {
        return Ok((whole, None));
    }
    let (top, left) = (centred(to_height, side), centred(to_width, side));
    let rows = whole.chunks_exact(to_width).skip(top).take(side);
    let square = rows.flat_map(|row| row[left..left + side].iter().copied()).collect();
    let wanted = matches!(shape, Shape::FramedAndWhole(_));
    Ok((
        square,
        wanted.then_some(Photo { height: to_height, width: to_width, pixels: whole.into_flattened() }),
    ))
}

/// The pixels of a picture file called `name`.
fn rgb(name: &str, bytes: &[u8]) -> Result<RgbImage, DataError> {
    let reader = reader(name, Cursor::new(bytes))?;
    // The decoder paints what is missing of a cut JPEG grey.
    if reader.format() == Some(ImageFormat::Jpeg) && !ends(bytes) {
        return Err(DataError::malformed(name, "a whole JPEG", "one cut short"));
    }
    let picture = reader.decode().map_err(|error| broken(name, &error))?;
    Ok(to_rgb(picture))
}

/// RGB pixels. Of 16-bit samples the upper 8 bits are kept; transparency is dropped, as torchvision does.
fn to_rgb(picture: DynamicImage) -> RgbImage {
    picture.into_rgb8()
}

/// Whether a JPEG's end marker follows its last scan (an embedded thumbnail before it has one too).
fn ends(jpeg: &[u8]) -> bool {
    let last = |marker: [u8; 2]| jpeg.windows(2).rposition(|pair| pair == marker);
    last([0xff, 0xd9]) > last([0xff, 0xda])
}

fn reader<R: BufRead + Seek>(name: &str, source: R) -> Result<ImageReader<R>, DataError> {
    let mut reader = ImageReader::new(source)
        .with_guessed_format()
        .map_err(|source| DataError::Io { path: name.to_owned(), source })?;
    let known = [
        ImageFormat::Png,
        ImageFormat::Jpeg,
        ImageFormat::WebP,
        ImageFormat::Bmp,
        ImageFormat::Tiff,
        ImageFormat::Gif,
    ];
    if !reader.format().is_some_and(|format| known.contains(&format)) {
        return Err(DataError::malformed(name, format!("a {FORMATS} picture"), "something else"));
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(SIDE_LIMIT);
    limits.max_image_height = Some(SIDE_LIMIT);
    limits.max_alloc = Some(DECODING_LIMIT);
    reader.limits(limits);
    Ok(reader)
}

fn broken(name: &str, error: &image::ImageError) -> DataError {
    DataError::malformed(name, "an intact picture", format!("a broken one ({error})"))
}

#[cfg(test)]
mod tests;
