//! Fetching from a local server that misbehaves in various ways.

mod server;

use std::io::Write;
use std::time::{Duration, Instant};

use miette::Diagnostic as _;

use self::server::{Manner, Server};
use super::*;

const PATIENCE: Patience =
    Patience { tries: 3, pause: Duration::from_millis(1), silence: Duration::from_millis(400) };

/// Stops once so many bytes of a download are here.
#[derive(Default)]
struct Watch {
    stop_at: Option<u64>,
    seen: u64,
    began: Vec<String>,
}

impl Progress for Watch {
    fn begin(&mut self, what: &str, _total: u64) {
        self.began.push(what.into());
    }
    fn position(&mut self, bytes: u64) {
        self.seen = bytes;
    }
    fn stop(&self) -> bool {
        self.stop_at.is_some_and(|at| self.seen >= at)
    }
}

fn md5(bytes: &[u8]) -> String {
    Md5::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that do not compress, so that an archive of them is long.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(|_| next()).collect()
}

/// An archive entry: name, type, content or link target.
type Entry = (&'static str, tar::EntryType, Vec<u8>);

fn file(name: &'static str, bytes: &[u8]) -> Entry {
    (name, tar::EntryType::Regular, bytes.to_vec())
}

fn tar_gz(entries: &[Entry]) -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, kind, bytes) in entries {
        let mut header = tar::Header::new_gnu();
        // The builder refuses what hostile archives hold: the name goes in by hand.
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        let link = matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link);
        if link {
            header.as_gnu_mut().unwrap().linkname[..bytes.len()].copy_from_slice(bytes);
        }
        header.set_size(if link { 0 } else { bytes.len() as u64 });
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(&header, if link { &[][..] } else { &bytes[..] }).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn zip(entries: &[Entry]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = zip::write::SimpleFileOptions::default();
    for (name, kind, bytes) in entries {
        if *kind == tar::EntryType::Symlink {
            writer.add_symlink(*name, str::from_utf8(bytes).unwrap(), options).unwrap();
        } else {
            writer.start_file(*name, options).unwrap();
            writer.write_all(bytes).unwrap();
        }
    }
    writer.finish().unwrap().into_inner()
}

fn archive(bytes: &[u8], packing: Packing) -> Source {
    let name = if packing == Packing::Zip { "set.zip" } else { "set.tar.gz" };
    let file = RemoteFile { name: name.into(), bytes: bytes.len() as u64, md5: md5(bytes) };
    Source { base: "", packing, folder: "set".into(), files: vec![file], most_bytes: 1 << 20 }
}

struct Place {
    folder: tempfile::TempDir,
    source: Source,
    bytes: Vec<u8>,
}

impl Place {
    /// A data set of one archive with 200,000 bytes of noise in it.
    fn new() -> Self {
        Self::of(&[file("set/a/noise", &noise(200_000)), file("./set/b", b"text")], Packing::TarGz)
    }

    fn of(entries: &[Entry], packing: Packing) -> Self {
        let bytes = if packing == Packing::Zip { zip(entries) } else { tar_gz(entries) };
        let source = archive(&bytes, packing);
        Self { folder: tempfile::tempdir().unwrap(), source, bytes }
    }

    fn serve(&self, manner: Manner) -> Server {
        Server::start(self.bytes.clone(), manner)
    }

    fn fetch(&self, base: &str, watch: &mut Watch) -> Result<Fetched, DataError> {
        let roots = DataRoots::resolve(Some(self.folder.path().join("data"))).unwrap();
        fetch_from(&self.source, &roots, base, &PATIENCE, watch)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("data").join(name)
    }

    fn is_unpacked(&self) {
        assert_eq!(fs::read(self.path("set/a/noise")).unwrap(), noise(200_000));
        assert_eq!(fs::read(self.path("set/b")).unwrap(), b"text");
        self.left(&[".fetching", "set"]);
    }

    /// What the data folder holds.
    fn left(&self, names: &[&str]) {
        let mut found: Vec<String> = fs::read_dir(self.path(""))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, names);
    }

    fn fails(&self, base: &str, parts: &[&str]) {
        let error = self.fetch(base, &mut Watch::default()).unwrap_err();
        let error = format!("{error} | {}", error.help().map(|help| help.to_string()).unwrap_or_default());
        for part in parts {
            assert!(error.contains(part), "{error} without {part}");
        }
    }
}

#[test]
fn an_archive_is_fetched_verified_and_unpacked() {
    let place = Place::new();
    let server = place.serve(Manner::default());
    let mut watch = Watch::default();
    // A trailing slash is no harm.
    let done = place.fetch(&format!("{}/", server.base), &mut watch).unwrap();
    assert_eq!(done, Fetched::Done(place.path("set")));
    place.is_unpacked();
    assert_eq!(watch.began, ["set.tar.gz", "unpacking set.tar.gz"]);
    assert_eq!(server.requests(), ["/set.tar.gz"]);
}

#[test]
fn a_zip_is_unpacked_too() {
    let entries = [file("set/a/noise", &noise(200_000)), file("set/b", b"text")];
    let place = Place::of(&entries, Packing::Zip);
    let server = place.serve(Manner::default());
    place.fetch(&server.base, &mut Watch::default()).unwrap();
    place.is_unpacked();
}

#[test]
fn a_connection_that_breaks_is_continued() {
    let place = Place::new();
    let server = place.serve(Manner { break_after: Some(90_000), ..Manner::default() });
    place.fetch(&server.base, &mut Watch::default()).unwrap();
    place.is_unpacked();
    assert_eq!(
        server.requests(),
        ["/set.tar.gz", "/set.tar.gz bytes=90000-", "/set.tar.gz bytes=180000-"],
        "each goes on where the one before broke"
    );
}

#[test]
fn a_server_without_ranges_starts_over() {
    let place = Place::new();
    let server =
        place.serve(Manner { ranges: false, break_after: Some(90_000), breaks: 1, ..Manner::default() });
    place.fetch(&server.base, &mut Watch::default()).unwrap();
    place.is_unpacked();
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn a_stop_keeps_what_has_come() {
    let place = Place::new();
    let server = place.serve(Manner::default());
    let mut watch = Watch { stop_at: Some(100_000), ..Watch::default() };
    assert_eq!(place.fetch(&server.base, &mut watch).unwrap(), Fetched::Stopped);
    let have = fs::metadata(place.path("set.tar.gz.part")).unwrap().len();
    assert!((100_000..place.bytes.len() as u64).contains(&have), "{have}");
    place.fetch(&server.base, &mut Watch::default()).unwrap();
    place.is_unpacked();
    assert_eq!(server.requests()[1], format!("/set.tar.gz bytes={have}-"));
}

#[test]
fn a_stop_while_unpacking_needs_no_second_download() {
    let place = Place::new();
    let server = place.serve(Manner::default());
    struct StopUnpacking(bool);
    impl Progress for StopUnpacking {
        fn begin(&mut self, what: &str, _total: u64) {
            self.0 = what.starts_with("unpacking");
        }
        fn position(&mut self, _bytes: u64) {}
        fn stop(&self) -> bool {
            self.0
        }
    }
    let roots = DataRoots::resolve(Some(place.path(""))).unwrap();
    let end = fetch_from(&place.source, &roots, &server.base, &PATIENCE, &mut StopUnpacking(false));
    assert_eq!(end.unwrap(), Fetched::Stopped);
    place.left(&[".fetching", "set.tar.gz.part"]);
    // What a killed unpacking left is in nobody's way.
    fs::create_dir_all(place.path(".unpacking-set/set/a/noise")).unwrap();
    place.fetch(&server.base, &mut Watch::default()).unwrap();
    place.is_unpacked();
    assert_eq!(server.requests().len(), 1);
}

#[test]
fn a_silent_server_is_given_up_and_a_stop_does_not_wait_for_it() {
    let place = Place::new();
    let server = place.serve(Manner { silent_after: Some(1000), ..Manner::default() });
    place.fails(&server.base, &["/set.tar.gz: ", "nothing came for"]);
    assert!(fs::metadata(place.path("set.tar.gz.part")).unwrap().len() >= 1000);
    let begun = Instant::now();
    let mut watch = Watch { stop_at: Some(1000), ..Watch::default() };
    assert_eq!(place.fetch(&server.base, &mut watch).unwrap(), Fetched::Stopped);
    assert!(begun.elapsed() < PATIENCE.silence);
}

#[test]
fn a_busy_server_is_asked_again_and_a_refusal_is_final() {
    let place = Place::new();
    let server = place.serve(Manner { statuses: vec![503, 429], ..Manner::default() });
    place.fetch(&server.base, &mut Watch::default()).unwrap();
    place.is_unpacked();
    assert_eq!(server.requests().len(), 3);

    let place = Place::new();
    let server = place.serve(Manner { statuses: vec![503; 9], ..Manner::default() });
    place.fails(&server.base, &["status 503"]);
    assert_eq!(server.requests().len(), 3);
    let server = place.serve(Manner { statuses: vec![404], ..Manner::default() });
    place.fails(&server.base, &["set.tar.gz: the server answers with status 404", "nothing was downloaded"]);
    assert_eq!(server.requests().len(), 1);
    assert!(!place.path("set.tar.gz.part").exists());
}

#[test]
fn an_unreachable_server_is_named() {
    let place = Place::new();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    place.fails(&format!("http://127.0.0.1:{port}"), &[&format!("http://127.0.0.1:{port}/set.tar.gz: ")]);
    place.fails("http://a b", &["http://a b/set.tar.gz: "]);
}

#[test]
fn wrong_bytes_are_refused_and_removed() {
    let mut place = Place::new();
    place.bytes[1000] ^= 1;
    let server = place.serve(Manner::default());
    place.fails(&server.base, &["set.tar.gz: expected MD5", ", found "]);
    place.left(&[".fetching"]);
    place.bytes = b"<html>please log in</html>".to_vec();
    let server = place.serve(Manner::default());
    place.fails(&server.base, &["it offers a file of 26 bytes"]);
    assert_eq!(server.requests().len(), 1);
    // Without a length, more than the published bytes are not taken.
    place.bytes = noise(place.source.files[0].bytes as usize + 100_000);
    let server = place.serve(Manner { length: false, ..Manner::default() });
    place.fails(&server.base, &["it sends more than the"]);
    assert!(fs::metadata(place.path("set.tar.gz.part")).unwrap().len() <= place.source.files[0].bytes);
}

#[test]
fn a_part_that_cannot_be_one_is_started_over() {
    let place = Place::new();
    let server = place.serve(Manner::default());
    fs::create_dir_all(place.path("")).unwrap();
    fs::write(place.path("set.tar.gz.part"), noise(place.bytes.len() + 1)).unwrap();
    place.fetch(&server.base, &mut Watch::default()).unwrap();
    place.is_unpacked();
}

#[test]
fn an_archive_that_is_here_is_unpacked_and_kept() {
    let place = Place::new();
    fs::create_dir_all(place.path("")).unwrap();
    fs::write(place.path("set.tar.gz"), &place.bytes[1..]).unwrap();
    place.fails("http://127.0.0.1:1", &["data/set.tar.gz: expected MD5"]);
    fs::write(place.path("set.tar.gz"), &place.bytes).unwrap();
    place.fetch("http://127.0.0.1:1", &mut Watch::default()).unwrap();
    place.left(&[".fetching", "set", "set.tar.gz"]);
}

#[test]
fn only_the_files_that_lack_are_fetched() {
    let mut place = Place::new();
    place.source.packing = Packing::None;
    place.source.files[0].name = "two.gz".into();
    let one = RemoteFile { name: "one.gz".into(), ..place.source.files[0].clone() };
    place.source.files.insert(0, one);
    fs::create_dir_all(place.path("set")).unwrap();
    fs::write(place.path("set/one"), "here, not gzipped").unwrap();
    let server = place.serve(Manner::default());
    assert_eq!(place.fetch(&server.base, &mut Watch::default()).unwrap(), Fetched::Done(place.path("set")));
    assert_eq!(server.requests(), ["/two.gz"]);
    assert_eq!(fs::read(place.path("set/two.gz")).unwrap(), place.bytes);
    assert!(complete(&place.source, &place.path("set")));
}

#[test]
fn two_fetches_do_not_mix() {
    let place = Place::new();
    fs::create_dir_all(place.path("")).unwrap();
    let lock = lock(&place.path("")).unwrap();
    place.fails("http://127.0.0.1:1", &["another process is already downloading"]);
    drop(lock);
    let server = place.serve(Manner::default());
    place.fetch(&server.base, &mut Watch::default()).unwrap();
}

#[test]
fn hostile_archives_write_nothing() {
    use tar::EntryType::{Fifo, Link, Regular, Symlink};
    let good = || file("set/b", b"text");
    let hostile: Vec<(Entry, &str)> = vec![
        (file("../evil", b"x"), "the path \"../evil\""),
        (file("set/../../evil", b"x"), "the path \"set/../../evil\""),
        (file("/tmp/nasty-teacher-evil", b"x"), "the path \"/tmp/nasty-teacher-evil\""),
        (file("evil", b"x"), "the path \"evil\""),
        (file("set\\..\\..\\evil", b"x"), "the path"),
        (("set/link", Symlink, b"/etc/passwd".to_vec()), "the link or special file \"set/link\""),
        (("set/link", Link, b"set/b".to_vec()), "the link or special file \"set/link\""),
        (("set/pipe", Fifo, Vec::new()), "the link or special file \"set/pipe\""),
        (("set/b", Regular, b"again".to_vec()), "set/b"),
    ];
    for (entry, message) in hostile {
        for packing in [Packing::TarGz, Packing::Zip] {
            let in_zip = matches!(entry.1, Regular | Symlink) && entry.0 != "set/b";
            if packing == Packing::Zip && !in_zip {
                continue;
            }
            let place = Place::of(&[good(), entry.clone()], packing);
            let server = place.serve(Manner::default());
            place.fails(&server.base, &[message]);
            let part = format!("{}.part", place.source.files[0].name);
            place.left(&[".fetching", &part]);
            let beside: Vec<_> = fs::read_dir(place.folder.path()).unwrap().collect();
            assert_eq!(beside.len(), 1, "{beside:?}");
            assert!(!Path::new("/tmp/nasty-teacher-evil").exists());
        }
    }
}

#[test]
fn damaged_and_oversized_archives_are_refused() {
    let place = Place::of(&[file("set/zeros", &vec![0; (1 << 20) + 1])], Packing::TarGz);
    let server = place.serve(Manner::default());
    place.fails(&server.base, &["found more than 1048576 bytes"]);
    let mut place = Place::new();
    place.bytes.truncate(150_000);
    place.source = archive(&place.bytes, Packing::TarGz);
    let server = place.serve(Manner::default());
    place.fails(&server.base, &["set.tar.gz.part", "a damaged one"]);
    place.source.packing = Packing::Zip;
    place.fails(&server.base, &["set.tar.gz.part", "a damaged one"]);
    let place = Place::of(&[], Packing::TarGz);
    let server = place.serve(Manner::default());
    place.fails(&server.base, &["found without the folder set"]);
}

#[test]
fn what_is_not_fetched_says_so() {
    let roots = DataRoots::resolve(Some("/nowhere".into())).unwrap();
    for name in [DataName::Quickstart, DataName::Folder("x".into())] {
        let error = fetch(&name, &roots, None, &mut Watch::default()).unwrap_err().to_string();
        assert!(error.contains("is not fetched from anywhere"), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let roots = DataRoots::resolve(Some(folder.path().into())).unwrap();
    let place = folder.path().join("cifar-10-batches-py");
    fs::create_dir(&place).unwrap();
    for no_address in ["localhost:8000", "ftp://localhost", ""] {
        let error = fetch(&DataName::Mnist, &roots, Some(no_address), &mut Watch::default()).unwrap_err();
        assert!(error.to_string().contains("is no address of a mirror"), "{error}");
    }
    let already = fetch(&DataName::Cifar10, &roots, None, &mut Watch::default()).unwrap();
    assert_eq!(already, Fetched::Already(place));
}

#[test]
fn every_source_is_complete() {
    for name in DataName::NAMED.into_iter().filter(|name| *name != DataName::Quickstart) {
        let source = source(&name).unwrap();
        assert!(source.files.iter().all(|file| file.md5.len() == 32 && file.bytes > 0));
        assert!(source.packing == Packing::None || source.files.len() == 1);
        assert!(places(&name, &DataRoots::resolve(Some("/x".into())).unwrap())[0].ends_with(&source.folder));
    }
}
