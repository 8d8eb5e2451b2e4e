//! Answers that were recorded elsewhere: numpy arrays, CSV or parquet.
//!
//! An `.npz` file, or a folder of `.npy` files, with these arrays (others are ignored):
//!
//! | array | shape | contents |
//! |---|---|---|
//! | `logits` or `probabilities` | `[images, classes]`, f32 or f64 | the answers |
//! | `sha256` | `[images, 32]`, u8 | [`content_hash`] of each image |
//! | `index` | `[images]`, integers | the position of each image in its set, if there is no `sha256` |
//! | `classes` | `[classes]`, text (numpy's type `U`) | the classes' names; not needed |
//!
//! A `.csv` or `.parquet` file has the same as columns: `sha256` or `index`, and one column a class, called as the class.
//!
//! Without `sha256` and `index`, row `i` is the answer to image `i` of its set.

mod recording;
mod rows;
mod table;
#[cfg(test)]
mod tests;

pub use recording::{Recording, record};
pub use rows::content_hash;

use super::{Answers, Front, Interface, Request, Scale, Victim, VictimError};
use crate::data::npz;
use crate::pickle::numpy::Array;
use rows::{ABOVE_ONE, MOST_BYTES, Rows};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use table::Table;

/// A victim whose answers are a table.
#[derive(Debug)]
pub struct Recorded {
    front: Front,
    path: PathBuf,
    /// `[images, classes]`.
    scores: Vec<f32>,
    rows: Rows,
}

impl Recorded {
    /// The answers recorded at `path`: an `.npz`, `.csv` or `.parquet` file, or a folder of `.npy` files. They are given out as they
    /// are.
    ///
    /// # Errors
    /// [`VictimError::Io`]; [`VictimError::Format`] for arrays that are not the expected ones.
    pub fn open(path: &Path) -> Result<Self, VictimError> {
        Self::open_as(path, None)
    }

    /// As [`Self::open`], where a person says that the numbers of a table without a name for them are `scale`.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_as(path: &Path, scale: Option<Scale>) -> Result<Self, VictimError> {
        let is_table = matches!(Recording::of(path), Some(Recording::Csv | Recording::Parquet));
        let Found { scale, names, classes, scores, rows } = if is_table {
            let Table { names, scores, rows } = Table::read(path)?;
            let scale = scale.unwrap_or_else(|| table::scale_of(&scores));
            Found { scale, classes: names.len(), names, scores, rows }
        } else {
            arrays(path)?
        };
        let fine = |v: f32| match scale {
            Scale::Logits => v.is_finite(),
            Scale::Probabilities => (0.0..=1.0 + ABOVE_ONE).contains(&v),
        };
        if let Some(at) = scores.iter().position(|&v| !fine(v)) {
            let expected = match scale {
                Scale::Logits => "finite logits",
                Scale::Probabilities => "probabilities from 0 to 1",
            };
            return Err(VictimError::format(
                path,
                expected,
                format!("{} for image {}", scores[at], at / classes),
            ));
        }
        let identity = identity(scale, classes, &scores, &rows);
        let front = Front::new(identity, classes, scale);
        let front = if names.is_empty() { front } else { front.named(names) };
        Ok(Self { front, path: path.to_owned(), scores, rows })
    }

    /// The same victim, whose classes are called `names`.
    ///
    /// # Errors
    /// [`VictimError::Format`] if there is not one name a class.
    pub fn named(self, names: Vec<String>) -> Result<Self, VictimError> {
        let (expected, found) = (self.front.classes(), names.len());
        if expected != found {
            return Err(VictimError::format(
                &self.path,
                format!("{expected} names of classes"),
                found.to_string(),
            ));
        }
        Ok(Self { front: self.front.named(names), ..self })
    }

    /// The same victim with another interface.
    ///
    /// # Errors
    /// [`VictimError::Interface`] if its answers do not contain what it gives out.
    pub fn behind(self, interface: Interface) -> Result<Self, VictimError> {
        Ok(Self { front: self.front.behind(interface)?, ..self })
    }

    /// The same victim, whose answers by index are those to the images of `set` (see [`Origin`](super::Origin)).
    pub fn of_set(mut self, name: &str) -> Self {
        if let Rows::ByPlace { set, .. } = &mut self.rows {
            *set = Some(name.to_owned());
        }
        self
    }

    /// The rows of the request's images, where they are known.
    fn places(&self, request: &Request<'_>) -> Vec<Option<usize>> {
        match &self.rows {
            Rows::ByContent(rows) => {
                request.pixels().iter().map(|pixels| rows.get(&content_hash(pixels)).copied()).collect()
            }
            Rows::ByPlace { rows, set } => {
                let origin = request.origin.filter(|origin| Some(origin.set) == set.as_deref());
                let unchanged = request.augmentation.identity();
                let row = |&(image, view): &(usize, usize)| {
                    let place = origin.filter(|_| view == unchanged)?.places[image];
                    rows.get(&place).copied()
                };
                request.items.iter().map(row).collect()
            }
        }
    }

    fn help(&self) -> String {
        match &self.rows {
            Rows::ByContent(_) => {
                "record the victim's answers to these images, as they are shown: another size, crop or flip is another image".into()
            }
            Rows::ByPlace { set: None, .. } => "say of which image set the answers are (`Recorded::of_set`)".into(),
            Rows::ByPlace { set: Some(set), .. } => format!(
                "answers by index serve unchanged images of the set {set} only: record them by sha256 for others"
            ),
        }
    }
}

impl Victim for Recorded {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let places = self.places(request);
        let missing = places.iter().filter(|place| place.is_none()).count();
        if missing > 0 {
            let known = match &self.rows {
                Rows::ByContent(rows) => rows.len(),
                Rows::ByPlace { rows, .. } => rows.len(),
            };
            let (path, asked) = (self.path.clone(), places.len());
            return Err(VictimError::Missing { path, missing, asked, known, help: self.help() });
        }
        let classes = self.front.classes();
        let row = |place: usize| &self.scores[place * classes..][..classes];
        Ok(self.front.serve(places.into_iter().flatten().flat_map(row).copied().collect()))
    }
}

/// What a file holds, however it is written.
struct Found {
    scale: Scale,
    /// Empty if they are not known.
    names: Vec<String>,
    classes: usize,
    scores: Vec<f32>,
    rows: Rows,
}

/// The arrays at `path`.
fn arrays(path: &Path) -> Result<Found, VictimError> {
    let mut source = Source::open(path)?;
    let (logits, probabilities) = (source.array("logits")?, source.array("probabilities")?);
    let (scale, name, array) = match (logits, probabilities) {
        (Some(array), None) => (Scale::Logits, "logits", array),
        (None, Some(array)) => (Scale::Probabilities, "probabilities", array),
        (None, None) => return Err(source.fault("logits or probabilities", "an array of neither name")),
        (Some(_), Some(_)) => return Err(source.fault("logits or probabilities", "both")),
    };
    let &[images, classes] = array.shape.as_slice() else {
        return Err(source.fault(format!("{name} of shape [images, classes]"), format!("{:?}", array.shape)));
    };
    if !array.is_float() || classes == 0 {
        return Err(source.fault(format!("{name} as floating-point numbers"), "integers, or no classes"));
    }
    let scores: Vec<f32> = array.floats().into_iter().map(|score| score as f32).collect();
    drop(array);
    let rows = source.rows(images)?;
    let names = source.names()?;
    if !names.is_empty() && names.len() != classes {
        return Err(source.fault(format!("{classes} names in the array classes"), names.len().to_string()));
    }
    Ok(Found { scale, names, classes, scores, rows })
}

/// A digest of the whole table, however it is stored.
fn identity(scale: Scale, classes: usize, scores: &[f32], rows: &Rows) -> String {
    let mut hasher = Sha256::new();
    hasher.update(format!("{scale:?} {classes}\n"));
    let mut known: Vec<(Vec<u8>, usize)> = match rows {
        Rows::ByContent(rows) => rows.iter().map(|(hash, row)| (hash.to_vec(), *row)).collect(),
        Rows::ByPlace { rows, .. } => {
            rows.iter().map(|(place, row)| ((*place as u64).to_be_bytes().to_vec(), *row)).collect()
        }
    };
    known.sort_unstable();
    for (image, row) in known {
        hasher.update(image);
        scores[row * classes..][..classes].iter().for_each(|score| hasher.update(score.to_le_bytes()));
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Where arrays are read from.
enum Source {
    Folder(PathBuf),
    Npz(PathBuf, zip::ZipArchive<io::BufReader<File>>),
}

impl Source {
    fn open(path: &Path) -> Result<Self, VictimError> {
        if path.is_dir() {
            return Ok(Self::Folder(path.to_owned()));
        }
        let file = File::open(path).map_err(|source| VictimError::Io { path: path.to_owned(), source })?;
        let archive = zip::ZipArchive::new(io::BufReader::new(file)).map_err(|e| {
            VictimError::format(path, "an .npz file, or a folder of .npy files", e.to_string())
        })?;
        Ok(Self::Npz(path.to_owned(), archive))
    }

    fn fault(&self, expected: impl Into<String>, found: impl Into<String>) -> VictimError {
        let (Self::Folder(path) | Self::Npz(path, _)) = self;
        VictimError::format(path, expected, found)
    }

    /// The array `name`, if there is one.
    fn array(&mut self, name: &str) -> Result<Option<Array<'static>>, VictimError> {
        self.read(name, npz::array)
    }

    /// The names of the classes; none if they are not there.
    fn names(&mut self) -> Result<Vec<String>, VictimError> {
        Ok(self.read("classes", npz::texts)?.unwrap_or_default())
    }

    /// What `parse` makes of the file of the array `name`, if there is one.
    fn read<T>(
        &mut self,
        name: &str,
        parse: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, VictimError> {
        let bytes = match self {
            Self::Folder(folder) => {
                let path = folder.join(format!("{name}.npy"));
                match File::open(&path) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                    Err(source) => return Err(VictimError::Io { path, source }),
                    Ok(file) => bounded(file),
                }
            }
            Self::Npz(_, archive) => match archive.by_name(&format!("{name}.npy")) {
                Err(zip::result::ZipError::FileNotFound) => return Ok(None),
                Err(e) => Err(io::Error::other(e)),
                Ok(entry) => bounded(entry),
            },
        };
        let parsed = bytes.map_err(|e| e.to_string()).and_then(|bytes| parse(&bytes));
        parsed.map(Some).map_err(|found| self.fault(format!("the array {name}"), found))
    }

    /// Which row is the answer to which of `images` images.
    fn rows(&mut self, images: usize) -> Result<Rows, VictimError> {
        if let Some(array) = self.array("sha256")? {
            let hashes = array.integers().filter(|_| array.shape == [images, 32]);
            let byte = |v: &i64| u8::try_from(*v).ok();
            let bytes: Option<Vec<u8>> = hashes.and_then(|h| h.iter().map(byte).collect());
            let Some(bytes) = bytes else {
                return Err(self.fault(
                    format!("sha256 of shape [{images}, 32] and type u8"),
                    format!("{:?}", array.shape),
                ));
            };
            let rows: HashMap<[u8; 32], usize> = bytes.as_chunks().0.iter().copied().zip(0..).collect();
            // Equal images may be there twice; the last answer to them stands.
            return Ok(Rows::ByContent(rows));
        }
        let places = match self.array("index")? {
            None => (0..images).collect(),
            Some(array) => {
                let places = array.integers().filter(|_| array.shape == [images]);
                let natural = |place: i64| usize::try_from(place).ok();
                let places =
                    places.and_then(|places| places.into_iter().map(natural).collect::<Option<Vec<_>>>());
                places.ok_or_else(|| {
                    self.fault(
                        format!("index of shape [{images}], integers from 0"),
                        format!("an array of shape {:?}, or a negative number", array.shape),
                    )
                })?
            }
        };
        let rows: HashMap<usize, usize> = places.into_iter().zip(0..).collect();
        if rows.len() < images {
            return Err(self
                .fault("index without repetitions", format!("{} places for {images} answers", rows.len())));
        }
        Ok(Rows::ByPlace { rows, set: None })
    }
}

/// All bytes of `reader`, if they are no more than [`MOST_BYTES`].
fn bounded(reader: impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other(format!("more than {MOST_BYTES} bytes")));
    }
    Ok(bytes)
}
