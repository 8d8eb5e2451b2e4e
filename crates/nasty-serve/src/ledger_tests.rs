use super::*;

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("temp"))
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("ledger")
    }

    fn open(&self) -> (Ledger, BTreeMap<String, u64>) {
        Ledger::open(&self.path()).expect("a ledger")
    }

    fn totals(&self) -> Vec<(String, u64)> {
        self.open().1.into_iter().collect()
    }
}

fn add(ledger: &Ledger, name: &str, images: u64) {
    assert_eq!(ledger.add(name, images).blocking_recv(), Ok(true));
}

#[test]
fn what_was_used_is_known_after_a_restart() {
    let place = Place::new();
    assert_eq!(place.totals(), []);
    let (ledger, _) = place.open();
    add(&ledger, "alice", 3);
    add(&ledger, "b\u{e9}b\u{e9} & co", 1);
    add(&ledger, "alice", 4);
    assert!(matches!(Ledger::open(&place.path()), Err(LedgerError::InUse { .. })));
    drop(ledger);
    let expected = [("alice".to_owned(), 7), ("b\u{e9}b\u{e9} & co".to_owned(), 1)];
    assert_eq!(place.totals(), expected);
    let text = fs::read_to_string(place.path()).expect("text");
    assert_eq!(text.lines().count(), 3, "lines of one name became one:\n{text}");
    assert_eq!(place.totals(), expected);
}

#[test]
fn many_at_once_are_all_written() {
    let place = Place::new();
    let (ledger, _) = place.open();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let ledger = &ledger;
            scope.spawn(move || (0..50).for_each(|_| add(ledger, &format!("key {}", thread % 2), 1)));
        }
    });
    drop(ledger);
    assert_eq!(place.totals(), [("key 0".to_owned(), 200), ("key 1".to_owned(), 200)]);
}

/// The file as it is after a crash at any byte: everything that was synced before is counted, and nothing that was not.
#[test]
fn a_file_cut_at_any_byte_holds_its_whole_lines() {
    let place = Place::new();
    let (ledger, _) = place.open();
    for images in [3, 20, 100] {
        add(&ledger, "alice", images);
    }
    drop(ledger);
    let bytes = fs::read(place.path()).expect("a ledger");
    for cut in FORMAT.len() + 1..=bytes.len() {
        fs::write(place.path(), &bytes[..cut]).expect("writable");
        let lines = bytes[..cut].iter().filter(|byte| **byte == b'\n').count() - 1;
        let expected = [0, 3, 23, 123][lines];
        let found = place.totals();
        assert_eq!(found.first().map_or(0, |(_, images)| *images), expected, "cut at {cut}");
        // And it goes on from there.
        let (ledger, _) = place.open();
        add(&ledger, "alice", 1);
        drop(ledger);
        assert_eq!(place.totals(), [("alice".to_owned(), expected + 1)]);
    }
    // A power failure can leave zeros where the last line should be.
    fs::write(place.path(), [&bytes[..], &[0; 30]].concat()).expect("writable");
    assert_eq!(place.totals(), [("alice".to_owned(), 123)]);
}

#[test]
fn damage_is_an_error_that_names_the_line() {
    let place = Place::new();
    let (ledger, _) = place.open();
    for images in [3, 20] {
        add(&ledger, "alice", images);
    }
    drop(ledger);
    let text = fs::read_to_string(place.path()).expect("text");
    for (bad, line) in [
        (text.replace("3\talice", "2\talice"), 2),
        (text.replacen('\n', "\nxyz\n", 1), 2),
        (text.replace(FORMAT, "nasty-ledger 2"), 1),
        (String::new(), 1),
        (text.replacen('\n', "\n\0\0\0\n", 1), 2),
    ] {
        fs::write(place.path(), &bad).expect("writable");
        let error = Ledger::open(&place.path()).map(drop).expect_err("damaged");
        assert!(error.to_string().contains(&format!("ledger, line {line}: expected")), "{error}");
        assert_eq!(fs::read_to_string(place.path()).expect("text"), bad, "a damaged ledger is left as it is");
    }
    let error = Ledger::open(Path::new("/no/such/folder/ledger")).map(drop).expect_err("no folder");
    assert!(matches!(error, LedgerError::Io { .. }), "{error}");
}

/// A full device refuses to write: nothing is said to be written.
#[cfg(target_os = "linux")]
#[test]
fn what_is_not_on_disk_is_not_claimed_to_be() {
    let file = OpenOptions::new().append(true).open("/dev/full").expect("Linux has it");
    let mut writer = Writer { path: "/dev/full".into(), file, length: 0 };
    assert!(matches!(writer.append(b"1\ta\t0\n"), Err(Failure::Undone(_) | Failure::Unknown(_))));
    assert_eq!(writer.length, 0);
    // A closed pipe can neither be written nor cut: its state is unknown from then on, and the thread ends.
    let (reader, pipe) = io::pipe().expect("a pipe");
    drop(reader);
    let file = File::from(std::os::fd::OwnedFd::from(pipe));
    let (amounts, received) = mpsc::channel();
    let thread = std::thread::spawn(move || Writer { path: "pipe".into(), file, length: 0 }.run(&received));
    let send = || {
        let (written, on_disk) = oneshot::channel();
        let _ = amounts.send(Amount { line: line("a", 1), written });
        on_disk
    };
    assert_eq!(send().blocking_recv(), Ok(false));
    thread.join().expect("it ends");
    assert!(send().blocking_recv().is_err());
}
