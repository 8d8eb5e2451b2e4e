//! Unpacks untrusted archives: only plain files and folders inside the archive's one folder, limited in number and
//! size.

use std::fs::{self, File};
use std::io::{BufReader, Read, Seek, Write};
use std::path::{Component, Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::progress::Progress;
use crate::data::error::DataError;
use crate::data::files::damaged;
use crate::data::sources::{Packing, Source};

/// Files and folders of the largest data set: Tiny-ImageNet has 120,609.
const MOST_ENTRIES: usize = 200_000;

/// Unpacks `archive` into the folder `target`, which is made. `false` when it was stopped; what is in `target` then,
/// or after an error, is of no use.
pub(super) fn unpack(
    archive: &Path,
    source: &Source,
    target: &Path,
    progress: &mut dyn Progress,
) -> Result<bool, DataError> {
    fs::create_dir_all(target).map_err(DataError::io(target))?;
    progress.begin(&format!("unpacking {}", source.files[0].name), 0);
    let file = BufReader::with_capacity(1 << 16, File::open(archive).map_err(DataError::io(archive))?);
    let label = archive.display().to_string();
    let mut sink = Sink { label, source, target, progress, entries: 0, bytes: 0 };
    let finished = match source.packing {
        Packing::TarGz => sink.tar(MultiGzDecoder::new(file))?,
        Packing::Zip => sink.zip(file)?,
        Packing::None => unreachable!("what is not packed is not unpacked"),
    };
    if finished && !target.join(&source.folder).is_dir() {
        return Err(sink.refuse(&format!("without the folder {}", source.folder)));
    }
    Ok(finished)
}

struct Sink<'a> {
    label: String,
    source: &'a Source,
    target: &'a Path,
    progress: &'a mut dyn Progress,
    entries: usize,
    bytes: u64,
}

/// What an entry of an archive is.
enum Kind {
    File,
    Folder,
    Other,
}

impl Sink<'_> {
    fn tar(&mut self, reader: impl Read) -> Result<bool, DataError> {
        let label = self.label.clone();
        let damage = |error| damaged(&label, error);
        // The sum of what is skipped (padding, long names) is bounded too.
        let mut tar = tar::Archive::new(reader.take(2 * self.source.most_bytes + (1 << 20)));
        for entry in tar.entries().map_err(damage)? {
            let mut entry = entry.map_err(damage)?;
            let kind = match entry.header().entry_type() {
                kind if kind.is_pax_global_extensions() => continue,
                kind if kind.is_file() => Kind::File,
                kind if kind.is_dir() => Kind::Folder,
                _ => Kind::Other,
            };
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            if !self.entry(&name, &kind, &mut entry)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn zip(&mut self, reader: impl Read + Seek) -> Result<bool, DataError> {
        let label = self.label.clone();
        let damage = |error: zip::result::ZipError| damaged(&label, error.into());
        let mut zip = zip::ZipArchive::new(reader).map_err(damage)?;
        for i in 0..zip.len() {
            let mut entry = zip.by_index(i).map_err(damage)?;
            let name = entry.name().map_err(damage)?.into_owned();
            let kind = if entry.is_symlink() {
                Kind::Other
            } else if entry.is_dir() {
                Kind::Folder
            } else {
                Kind::File
            };
            if !self.entry(&name, &kind, &mut entry)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Writes one entry.
    fn entry(&mut self, name: &str, kind: &Kind, reader: &mut dyn Read) -> Result<bool, DataError> {
        if self.progress.stop() {
            return Ok(false);
        }
        self.entries += 1;
        if self.entries > MOST_ENTRIES {
            return Err(self.refuse(&format!("more than {MOST_ENTRIES} files")));
        }
        let Some(path) = self.inside(name) else { return Err(self.refuse(&format!("the path {name:?}"))) };
        match kind {
            Kind::Folder => fs::create_dir_all(&path).map_err(DataError::io(&path))?,
            Kind::File => {
                let folder = path.parent().unwrap_or(self.target);
                fs::create_dir_all(folder).map_err(DataError::io(folder))?;
                return self.file(name, &path, reader);
            }
            Kind::Other => return Err(self.refuse(&format!("the link or special file {name:?}"))),
        }
        Ok(true)
    }

    /// Where the entry `name` goes; nothing if that is not inside the archive's one folder.
    fn inside(&self, name: &str) -> Option<PathBuf> {
        let mut path = PathBuf::new();
        for component in Path::new(name).components() {
            match component {
                Component::Normal(part) => path.push(part),
                Component::CurDir => {}
                _ => return None,
            }
        }
        // A backslash or a colon separates elsewhere; no data set has one.
        let plain = !name.contains(['\\', ':', '\0']);
        let whole_folder = path.as_os_str().is_empty() || path.starts_with(&self.source.folder);
        (plain && whole_folder).then(|| self.target.join(path))
    }

    fn file(&mut self, name: &str, path: &Path, reader: &mut dyn Read) -> Result<bool, DataError> {
        let mut out = File::create_new(path).map_err(DataError::io(path))?;
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => return Ok(true),
                Ok(count) => count,
                Err(error) => return Err(damaged(&format!("{}: {name}", self.label), error)),
            };
            self.bytes += count as u64;
            if self.bytes > self.source.most_bytes {
                return Err(self.refuse(&format!("more than {} bytes", self.source.most_bytes)));
            }
            out.write_all(&buffer[..count]).map_err(DataError::io(path))?;
            self.progress.position(self.bytes);
            if self.progress.stop() {
                return Ok(false);
            }
        }
    }

    fn refuse(&self, found: &str) -> DataError {
        DataError::Malformed {
            path: self.label.clone(),
            expected: format!("plain files in the folder {}", self.source.folder),
            found: found.into(),
            help: "nothing of it was kept: remove it and fetch it again".into(),
        }
    }
}
