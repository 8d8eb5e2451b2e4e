//! Fetching a published data set: download, verify, unpack.
//!
//! A download is written to a `.part` file that a later call resumes. Once the checksum is verified, the archive is
//! unpacked, and the result appears under its name all at once.

mod download;
mod progress;
mod unpack;

use std::fs::{self, File, TryLockError};
use std::io::Read;
use std::path::{Path, PathBuf};

use md5::{Digest, Md5};

use super::catalog::{DataName, places};
use super::error::DataError;
use super::roots::DataRoots;
use super::sources::{Packing, RemoteFile, Source, source};
use download::{Patience, download};
pub use progress::Progress;

/// How a fetch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fetched {
    /// It was here before, at this place.
    Already(PathBuf),
    /// It is here now, at this place.
    Done(PathBuf),
    /// Stopped on request; the same call goes on.
    Stopped,
}

/// Fetches the data set `name` into the folder of `roots`, from the addresses it is published at, or from the
/// folder `from` of a mirror.
///
/// # Errors
/// [`DataError::Impossible`] for data sets that are not fetched and a `from` that is no address;
/// [`DataError::Busy`] while another process fetches; [`DataError::Network`] when the server fails (what
/// has come is kept); [`DataError::Malformed`] when its file is not the published one; [`DataError::Io`] when the
/// disk refuses.
pub fn fetch(
    name: &DataName,
    roots: &DataRoots,
    from: Option<&str>,
    progress: &mut dyn Progress,
) -> Result<Fetched, DataError> {
    let Some(source) = source(name) else {
        return Err(DataError::Impossible {
            what: format!("{name} is not fetched from anywhere"),
            help: "it is embedded in the program, or is your own folder".into(),
        });
    };
    if let Some(place) = places(name, roots).into_iter().find(|place| complete(&source, place)) {
        return Ok(Fetched::Already(place));
    }
    let base = from.unwrap_or(source.base);
    if !base.starts_with("http://") && !base.starts_with("https://") {
        return Err(DataError::Impossible {
            what: format!("`{base}` is no address of a mirror"),
            help: "give one such as http://localhost:8000/datasets".into(),
        });
    }
    fetch_from(&source, roots, base, &Patience::default(), progress)
}

/// Whether `place` holds the whole data set, as far as names tell.
fn complete(source: &Source, place: &Path) -> bool {
    match source.packing {
        Packing::None => source.files.iter().all(|file| is_there(place, file)),
        // An archive that is here is unpacked, which makes it faster to read.
        Packing::TarGz | Packing::Zip => place.exists() && !place.ends_with(&source.files[0].name),
    }
}

/// Whether a file of an unpacked data set is in `folder`, gzipped or not.
fn is_there(folder: &Path, file: &RemoteFile) -> bool {
    folder.join(&file.name).exists() || folder.join(file.name.trim_end_matches(".gz")).exists()
}

fn fetch_from(
    source: &Source,
    roots: &DataRoots,
    base: &str,
    patience: &Patience,
    progress: &mut dyn Progress,
) -> Result<Fetched, DataError> {
    let root = roots.folder();
    let target = root.join(&source.folder);
    fs::create_dir_all(root).map_err(DataError::io(root))?;
    let _lock = lock(root)?;
    if source.packing == Packing::None {
        fs::create_dir_all(&target).map_err(DataError::io(&target))?;
        for file in source.files.iter().filter(|file| !is_there(&target, file)) {
            let Some(part) = verified(file, &target, base, patience, progress)? else {
                return Ok(Fetched::Stopped);
            };
            let file = target.join(&file.name);
            fs::rename(&part, &file).map_err(DataError::io(&file))?;
        }
        return Ok(Fetched::Done(target));
    }
    let file = &source.files[0];
    let own = root.join(&file.name);
    let archive = if own.exists() {
        verify(&own, &own.display().to_string(), file)?;
        own.clone()
    } else {
        match verified(file, root, base, patience, progress)? {
            Some(part) => part,
            None => return Ok(Fetched::Stopped),
        }
    };
    // A folder beside the target, so that the last step is one renaming.
    let fresh = root.join(format!(".unpacking-{}", source.folder));
    remove(&fresh)?;
    let unpacked = unpack::unpack(&archive, source, &fresh, progress).and_then(|finished| {
        if finished {
            let inner = fresh.join(&source.folder);
            fs::rename(&inner, &target).map_err(DataError::io(&target))?;
        }
        Ok(finished)
    });
    remove(&fresh)?;
    if !unpacked? {
        return Ok(Fetched::Stopped);
    }
    if archive != own {
        fs::remove_file(&archive).map_err(DataError::io(&archive))?;
    }
    Ok(Fetched::Done(target))
}

/// Downloads `file` into `folder`, unless it is there already, and checks it. Gives the `.part` file, or nothing
/// when it was stopped.
fn verified(
    file: &RemoteFile,
    folder: &Path,
    base: &str,
    patience: &Patience,
    progress: &mut dyn Progress,
) -> Result<Option<PathBuf>, DataError> {
    let part = folder.join(format!("{}.part", file.name));
    let address = format!("{}/{}", base.trim_end_matches('/'), file.name);
    if !download(&address, &part, file, patience, progress)? {
        return Ok(None);
    }
    if let Err(error) = verify(&part, &address, file) {
        remove(&part)?;
        return Err(error);
    }
    Ok(Some(part))
}

/// Checks size and MD5 of the file at `path`; `label` names it in errors.
fn verify(path: &Path, label: &str, file: &RemoteFile) -> Result<(), DataError> {
    let mut reader = File::open(path).map_err(DataError::io(path))?;
    let (mut hash, mut buffer) = (Md5::new(), vec![0; 1 << 20]);
    loop {
        match reader.read(&mut buffer).map_err(DataError::io(path))? {
            0 => break,
            n => hash.update(&buffer[..n]),
        }
    }
    let found: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    if found == file.md5 {
        return Ok(());
    }
    Err(DataError::Malformed {
        path: label.into(),
        expected: format!("MD5 {}", file.md5),
        found,
        help: "it is another file than the published one, or it was damaged on its way: fetch it again, or from a \
               mirror"
            .into(),
    })
}

/// One fetch at a time in a folder. The lock ends with the process, however that ends.
fn lock(root: &Path) -> Result<File, DataError> {
    let path = root.join(".fetching");
    let file = File::options().create(true).append(true).open(&path).map_err(DataError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DataError::Busy { folder: root.display().to_string() }),
        Err(TryLockError::Error(error)) => Err(DataError::io(&path)(error)),
    }
}

/// Removes a file or folder, if it is there.
fn remove(path: &Path) -> Result<(), DataError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DataError::io(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
