//! Claims on file systems with full locks, with locks within one host only, and without locks; this host plays several
//! hosts.

use super::*;
use crate::lab::store::Store;
use std::collections::HashSet;

/// Which locks a file system has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Full,
    WithinHost,
    None,
}

/// The locks held on a made-up file system, each by the host and the path.
type Held = Arc<Mutex<HashSet<(String, PathBuf)>>>;

/// A host's view of that file system.
#[derive(Clone, Debug)]
struct Fake {
    kind: Kind,
    host: String,
    held: Held,
}

struct Guard(Held, (String, PathBuf));

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.lock().expect("not poisoned").remove(&self.1);
    }
}

impl Locks for Fake {
    fn try_lock(&self, path: &Path) -> io::Result<Locked> {
        File::options().create(true).append(true).open(path)?;
        let host = match self.kind {
            Kind::None => return Ok(Locked::Unsupported),
            Kind::Full => String::new(),
            Kind::WithinHost => self.host.clone(),
        };
        let lock = (host, path.to_owned());
        if !self.held.lock().expect("not poisoned").insert(lock.clone()) {
            return Ok(Locked::Elsewhere);
        }
        Ok(Locked::Here(Box::new(Guard(self.held.clone(), lock))))
    }
}

const STALE: Duration = Duration::from_millis(250);

/// What processes on a file system with locks of `kind` see.
struct World {
    folder: tempfile::TempDir,
    kind: Kind,
    held: Held,
}

impl World {
    fn new(kind: Kind) -> Self {
        Self { folder: tempfile::tempdir().expect("temp"), kind, held: Held::default() }
    }

    /// A process on `host`; its leases beat often, or never.
    fn process(&self, host: &str, beats: bool) -> Claims {
        let host = Host { name: host.to_owned(), machine: "m".to_owned(), job: None };
        let locks = Fake { kind: self.kind, host: host.name.clone(), held: self.held.clone() };
        let beat = if beats { Duration::from_millis(10) } else { Duration::from_secs(3600) };
        Claims::new(
            Box::new(locks),
            host,
            Timing {
                beat,
                stale: STALE,
                poll: [Duration::from_millis(5); 2],
                settle: Duration::from_millis(20),
            },
        )
    }

    fn run(&self) -> PathBuf {
        self.folder.path().join("run")
    }

    fn claim(&self, of: &Claims) -> Claim {
        of.claim(&self.run(), "run", &|| false).map_err(|e| e.to_string()).expect("claimed in the end")
    }

    /// A claim, if it can be had at once.
    fn at_once(&self, of: &Claims) -> Option<Claim> {
        of.claim(&self.run(), "run", &|| true).ok()
    }
}

#[test]
fn one_process_has_the_run_and_the_next_one_gets_it_after() {
    for kind in [Kind::Full, Kind::WithinHost, Kind::None] {
        for other in ["a", "b"] {
            let world = World::new(kind);
            let [first, second] = [world.process("a", true), world.process(other, true)];
            assert!(!second.busy(&world.run()), "there is no run yet");
            let claim = world.claim(&first);
            assert!(second.busy(&world.run()) && world.at_once(&second).is_none(), "{kind:?}, host {other}");
            // As long as it beats it is waited for, however long that takes.
            std::thread::sleep(3 * STALE);
            assert!(second.busy(&world.run()) && world.at_once(&second).is_none(), "{kind:?}, host {other}");
            assert!(claim.is_held() && !claim.is_lost());
            drop(claim);
            assert!(!second.busy(&world.run()), "{kind:?}, host {other}");
            let claim = world.at_once(&second).expect("free");
            assert!(claim.is_held() && !claim.taken_over);
        }
    }
}

#[test]
fn a_lease_that_does_not_change_is_taken_over_and_its_owner_sees_it() {
    for kind in [Kind::WithinHost, Kind::None] {
        let world = World::new(kind);
        let [paused, other, third] =
            [("a", false), ("b", false), ("c", true)].map(|(host, beats)| world.process(host, beats));
        let claim = world.claim(&paused);
        // The clocks of hosts may differ by years.
        let file = File::options().write(true).open(world.run().join(CLAIM)).expect("there");
        file.set_modified(std::time::SystemTime::now() + Duration::from_secs(1 << 28))
            .expect("it can be set");
        assert!(world.at_once(&other).is_none(), "one look does not tell");
        let begun = Instant::now();
        let taken = world.claim(&other);
        assert!(begun.elapsed() >= STALE / 2, "after {:?}", begun.elapsed());
        assert!(taken.is_held() && taken.taken_over);
        assert!(!claim.is_held() && claim.is_lost());
        drop(claim);
        assert!(taken.is_held(), "who lost it does not free it");
        // The one that took it over is judged like any other.
        let again = world.claim(&third);
        assert!(again.is_held() && !taken.is_held());
    }
}

#[test]
fn the_lease_of_a_killed_process_of_this_host_is_void_at_once() {
    for kind in [Kind::Full, Kind::WithinHost, Kind::None] {
        let world = World::new(kind);
        let here = world.process("a", false);
        let dead = Lease { process: u32::MAX, ..Lease::new(&here.host) };
        fs::create_dir_all(world.run()).expect("writable");
        drop(dead.write(&world.run(), false).expect("writable").expect("the first"));
        let claim = world.at_once(&here).expect("its process is gone");
        assert!(claim.is_held() && !claim.taken_over);
    }
}

#[test]
fn a_damaged_lease_is_waited_for_like_a_foreign_one() {
    let world = World::new(Kind::Full);
    let here = world.process("a", false);
    fs::create_dir_all(world.run()).expect("writable");
    fs::write(world.run().join(CLAIM), "{").expect("writable");
    assert!(world.at_once(&here).is_none());
    std::thread::sleep(STALE);
    assert!(world.at_once(&here).is_some_and(|claim| claim.taken_over));
}

#[test]
fn what_another_living_host_writes_is_not_swept() {
    let world = World::new(Kind::WithinHost);
    let [first, second, third] =
        ["a", "b", "b"].map(|host| Store::seen_with(world.folder.path(), world.process(host, false)));
    let run = first.run("run");
    let claim = run.claim(&|| false).map_err(|e| e.to_string()).expect("free");
    let part = run.folder.join(".part-of-a");
    fs::write(&part, "half").expect("writable");
    let taken = second.run("run").claim(&|| false).map_err(|e| e.to_string()).expect("stale");
    assert!(part.exists(), "its host may be alive");
    drop((claim, taken));
    drop(third.run("run").claim(&|| false).map_err(|e| e.to_string()).expect("free"));
    assert!(!part.exists(), "nobody works on the run any more");
}

#[test]
fn the_systems_locks_are_seen_without_being_taken() {
    let folder = tempfile::tempdir().expect("temp");
    let [here, other] = [Claims::of_this_process(), Claims::of_this_process()];
    assert!(!here.busy(folder.path()));
    assert!(!folder.path().join(LOCK).exists(), "a look makes no file");
    let claim = here.claim(folder.path(), "run", &|| false).map_err(|e| e.to_string()).expect("free");
    assert!(other.busy(folder.path()));
    assert!(other.claim(folder.path(), "run", &|| true).is_err());
    drop(claim);
    assert!(!other.busy(folder.path()));
    assert!(!folder.path().join(CLAIM).exists());
}
