//! The claims' protocol in every possible order of steps: two and three processes on a made-up file system, with kills at any
//! moment, writes that fail, pauses of any length, reads that give what was there before, and locks that do nothing or get lost.
//!
//! A process here takes the steps of `protocol.rs`, and in between those of the life cycle: it looks for a result, goes on from the saved
//! state, checks its lease before it writes anything, writes the result, and frees the run. Every reachable state is visited once.
//! There are fewer of them because
//! - states that differ only in which process is which are one: all processes are alike, and they share a host all or none;
//! - what nobody can see yet is decided when somebody looks: that a lease has been unchanged for long, that a lock was lost;
//! - a training is no step of its own where epochs are not counted, for it touches nothing that others see.

use super::protocol::{Attempt, Next, Rival, Seen, Step, judge};
use super::{Host, Lease};
use std::collections::HashMap;
use std::time::Duration;

/// Epochs of the task; after each but the last a state is saved.
const EPOCHS: u8 = 2;
const STALE: Duration = Duration::from_secs(300);

/// Which locks the file system has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Locks {
    Full,
    WithinHost,
    None,
    /// As full ones, but the server may lose them.
    Lost,
}

/// What can go wrong.
#[derive(Clone, Copy, Debug)]
struct Setting {
    processes: usize,
    locks: Locks,
    one_host: bool,
    /// Processes renew their leases in time, and nobody pauses between reading a void lease and replacing it.
    timely: bool,
    /// Reads may give what was there before another's last change.
    stale_reads: bool,
    /// Processes that are killed.
    kills: u8,
    /// Writes that fail.
    faults: u8,
}

/// A process, by its place and how often it was started.
type Id = (u8, u8);

/// Where a process is: what it does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Look,
    Try(Attempt),
    /// The run is claimed; was it finished meanwhile?
    LookAgain,
    Train(u8),
    Check(u8, Write),
    Write(u8, Write),
    /// The lease is read again before it is deleted; then the process ends, or tries again after a failure.
    CheckRelease(bool),
    Release(bool),
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Write {
    State,
    Weights,
    Result,
    NoState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Process {
    id: Id,
    at: At,
    locked: bool,
    /// The lease it saw last.
    seen: Option<Id>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct World {
    processes: Vec<Process>,
    lock: Option<Id>,
    lease: Option<Id>,
    /// The lease before the last change, which was made by the process `changed_by`.
    lease_before: Option<Id>,
    changed_by: Option<Id>,
    /// Epochs in the saved state.
    state: u8,
    weights: bool,
    result: Option<Id>,
    /// How often each epoch was computed; counted only where there is a limit.
    computed: [u8; EPOCHS as usize],
    kills: u8,
    faults: u8,
}

/// Takes a change of a world, which gives the next one.
type Push<'a> = dyn FnMut(&mut dyn FnMut(&mut World)) + 'a;

impl At {
    /// Whether the process works on the run, as it thinks.
    fn owns(self) -> bool {
        !matches!(self, Self::Look | Self::Try(_) | Self::Ended)
    }
}

impl World {
    fn new(setting: &Setting) -> Self {
        let process = |i| Process { id: (i as u8, 0), at: At::Look, locked: false, seen: None };
        Self {
            processes: (0..setting.processes).map(process).collect(),
            lock: None,
            lease: None,
            lease_before: None,
            changed_by: None,
            state: 0,
            weights: false,
            result: None,
            computed: [0; EPOCHS as usize],
            kills: setting.kills,
            faults: setting.faults,
        }
    }

    fn is_alive(&self, id: Id) -> bool {
        self.processes.iter().any(|p| p.id == id && p.at != At::Ended)
    }

    /// What the process `i` may read as the lease.
    fn leases(&self, i: usize, setting: &Setting) -> Vec<Option<Id>> {
        let mut found = vec![self.lease];
        let by_other = self.changed_by.is_some_and(|by| by != self.processes[i].id);
        if setting.stale_reads && by_other && self.lease_before != self.lease {
            found.push(self.lease_before);
        }
        found
    }

    /// What it may read as the result.
    fn results(&self, i: usize, setting: &Setting) -> Vec<bool> {
        match self.result {
            None => vec![false],
            Some(by) if setting.stale_reads && by != self.processes[i].id => vec![true, false],
            Some(_) => vec![true],
        }
    }

    fn put_lease(&mut self, i: usize, lease: Option<Id>, setting: &Setting) {
        if setting.stale_reads {
            (self.lease_before, self.changed_by) = (self.lease, Some(self.processes[i].id));
        }
        self.lease = lease;
    }

    fn go(&mut self, i: usize, at: At) {
        self.processes[i].at = at;
        // A process that does not work on the run, nor tries to, has no lock on it.
        if matches!(at, At::Look | At::Ended) {
            self.processes[i].locked = false;
            if self.lock == Some(self.processes[i].id) {
                self.lock = None;
            }
        }
        if at == At::Ended {
            self.processes[i].seen = None;
        }
    }

    /// Where a process goes on that has so many epochs.
    fn training(done: u8, setting: &Setting) -> At {
        let write = if done + 1 == EPOCHS { Write::Weights } else { Write::State };
        if setting.timely { At::Train(done) } else { At::Check(done + 1, write) }
    }

    /// What the lease `found` means to the process `i`, which has seen it unchanged for `long` or not.
    fn rival(&mut self, i: usize, found: Option<Id>, long: bool, setting: &Setting) -> Rival {
        let host = |place: u8| Host {
            name: if setting.one_host { "host".to_owned() } else { place.to_string() },
            machine: String::new(),
            job: None,
        };
        self.processes[i].seen = found;
        let Some(lease) = found else { return Rival::None };
        let process = &self.processes[i];
        let number = |(place, start): Id| u32::from(place) + 100 * u32::from(start);
        let written = Lease { process: number(lease), ..Lease::new(&host(lease.0)) };
        let unchanged = if long { STALE } else { Duration::ZERO };
        let (here, locked) = (host(process.id.0), process.locked);
        let is_alive = |_| self.is_alive(lease);
        judge(Some(&written), &here, locked, &is_alive, unchanged, STALE)
    }

    /// All that can happen next.
    fn successors(&self, setting: &Setting) -> Vec<Self> {
        let mut all = Vec::new();
        for i in 0..self.processes.len() {
            self.steps(i, setting, &mut all);
            let process = &self.processes[i];
            if self.kills > 0 && process.at != At::Ended {
                let mut next = self.clone();
                next.kills -= 1;
                next.go(i, At::Look);
                let process = &mut next.processes[i];
                (process.id.1, process.seen) = (process.id.1 + 1, None);
                all.push(next);
            }
        }
        all
    }

    /// What the process `i` can do next.
    fn steps(&self, i: usize, setting: &Setting, all: &mut Vec<Self>) {
        let id = self.processes[i].id;
        let mut push = |change: &mut dyn FnMut(&mut Self)| {
            let mut next = self.clone();
            change(&mut next);
            all.push(next);
        };
        match self.processes[i].at {
            At::Look => {
                for done in self.results(i, setting) {
                    push(&mut |w| w.go(i, if done { At::Ended } else { At::Try(Attempt::new()) }));
                }
            }
            At::Try(attempt) => self.tries(i, attempt, setting, &mut push),
            At::LookAgain => {
                for done in self.results(i, setting) {
                    push(&mut |w| {
                        w.go(i, if done { At::CheckRelease(true) } else { Self::training(w.state, setting) })
                    });
                }
            }
            At::Train(done) => push(&mut |w| {
                w.computed[done as usize] += u8::from(setting.timely);
                let write = if done + 1 == EPOCHS { Write::Weights } else { Write::State };
                w.go(i, At::Check(done + 1, write));
            }),
            At::Check(done, write) => {
                for lease in self.leases(i, setting) {
                    push(&mut |w| w.go(i, if lease == Some(id) { At::Write(done, write) } else { At::Look }));
                }
            }
            At::Write(done, write) => {
                push(&mut |w| {
                    let next = match write {
                        Write::State => {
                            w.state = done;
                            Self::training(done, setting)
                        }
                        Write::Weights => {
                            w.weights = true;
                            At::Check(done, Write::Result)
                        }
                        Write::Result => {
                            w.result = Some(id);
                            At::Write(done, Write::NoState)
                        }
                        Write::NoState => {
                            w.state = 0;
                            At::CheckRelease(true)
                        }
                    };
                    w.go(i, next);
                });
                if self.faults > 0 {
                    push(&mut |w| {
                        w.faults -= 1;
                        w.go(i, At::CheckRelease(false));
                    });
                }
            }
            At::CheckRelease(end) => {
                let gone = if end { At::Ended } else { At::Look };
                for lease in self.leases(i, setting) {
                    push(&mut |w| w.go(i, if lease == Some(id) { At::Release(end) } else { gone }));
                }
            }
            At::Release(end) => push(&mut |w| {
                w.put_lease(i, None, setting);
                w.go(i, if end { At::Ended } else { At::Look });
            }),
            At::Ended => {}
        }
    }

    /// The step of a try to claim the run.
    fn tries(&self, i: usize, attempt: Attempt, setting: &Setting, push: &mut Push<'_>) {
        let id = self.processes[i].id;
        let mut saw = |seen: &mut dyn FnMut(&mut Self) -> Seen| {
            push(&mut |w| {
                let mut attempt = attempt;
                let seen = seen(w);
                w.go(
                    i,
                    match attempt.next(seen) {
                        Next::Do(_) => At::Try(attempt),
                        Next::Claimed { .. } => At::LookAgain,
                        Next::Leave => At::Look,
                    },
                );
            });
        };
        match attempt.step {
            Step::Lock => {
                // Where there are no locks every process may go on, and processes of other hosts have their own.
                let shared = match setting.locks {
                    Locks::None => false,
                    Locks::WithinHost => setting.one_host,
                    Locks::Full | Locks::Lost => true,
                };
                let is_locked = shared && self.lock.is_some();
                if is_locked {
                    saw(&mut |_| Seen::Locked);
                }
                if !is_locked || setting.locks == Locks::Lost {
                    saw(&mut |w| {
                        w.processes[i].locked = setting.locks != Locks::None;
                        if shared {
                            w.lock = Some(id);
                        }
                        Seen::Unlocked
                    });
                }
            }
            Step::Read => {
                for lease in self.leases(i, setting) {
                    saw(&mut |w| Seen::Lease(w.rival(i, lease, false, setting)));
                    let silent = lease.is_some_and(|lease| !self.is_alive(lease));
                    if lease.is_some() && lease == self.processes[i].seen && (silent || !setting.timely) {
                        saw(&mut |w| Seen::Lease(w.rival(i, lease, true, setting)));
                    }
                }
            }
            Step::Create => saw(&mut |w| {
                let free = w.lease.is_none();
                if free {
                    w.put_lease(i, Some(id), setting);
                }
                Seen::Written(free)
            }),
            Step::Replace => saw(&mut |w| {
                w.put_lease(i, Some(id), setting);
                Seen::Written(true)
            }),
            Step::Confirm => {
                let replaces = |p: &Process| matches!(p.at, At::Try(a) if a.step == Step::Replace);
                if setting.timely && self.processes.iter().any(replaces) {
                    return;
                }
                for lease in self.leases(i, setting) {
                    saw(&mut |_| Seen::Written(lease == Some(id)));
                }
            }
        }
    }

    /// What must hold always.
    fn check(&self, setting: &Setting) {
        assert!(self.result.is_none() || self.weights, "a result without weights: {self:?}");
        let ended = |p: &Process| p.at == At::Ended;
        assert!(self.result.is_some() || !self.processes.iter().any(ended), "nothing was done: {self:?}");
        if setting.timely && !setting.stale_reads && setting.locks != Locks::Lost {
            let owners = self.processes.iter().filter(|p| p.at.owns()).count();
            assert!(owners <= 1, "{owners} processes work on one run: {self:?}");
            let lost = 1 + setting.kills + setting.faults;
            assert!(self.computed.iter().all(|&n| n <= lost), "an epoch was computed again: {self:?}");
            // Otherwise a state may stay beside the result, and the lease of a process that was killed.
            if setting.kills == 0 && setting.faults == 0 && self.processes.iter().all(ended) {
                assert_eq!((self.lease, self.lock, self.state), (None, None, 0), "left behind: {self:?}");
            }
        }
    }
}

/// A state, the same for all that differ only in which process is which.
type Key = [u8; 24];

impl At {
    /// A number for each place. Whether a claim was taken over makes no difference here.
    fn code(self) -> u8 {
        let write = |write: Write| write as u8;
        match self {
            Self::Look => 0,
            Self::Try(attempt) => 1 + attempt.step as u8,
            Self::LookAgain => 8,
            Self::Ended => 9,
            Self::CheckRelease(end) => 10 + u8::from(end),
            Self::Release(end) => 12 + u8::from(end),
            Self::Train(done) => 16 + done,
            Self::Check(done, what) => 32 + 4 * done + write(what),
            Self::Write(done, what) => 64 + 4 * done + write(what),
        }
    }
}

impl World {
    fn key(&self, setting: &Setting) -> Key {
        let orders: &[&[u8]] = match self.processes.len() {
            2 => &[&[0, 1], &[1, 0]],
            _ => &[&[0, 1, 2], &[0, 2, 1], &[1, 0, 2], &[1, 2, 0], &[2, 0, 1], &[2, 1, 0]],
        };
        orders.iter().map(|places| self.written(places, setting)).min().expect("there are some")
    }

    /// All of the state, where `places` says which place each process has.
    fn written(&self, places: &[u8], setting: &Setting) -> Key {
        let id = |id: Option<Id>| id.map_or(0, |(place, start)| 1 + 16 * places[place as usize] + start);
        let mut key = [0; 24];
        for process in &self.processes {
            let at = 4 * places[process.id.0 as usize] as usize;
            let own = [process.id.1, process.at.code(), u8::from(process.locked), id(process.seen)];
            key[at..at + 4].copy_from_slice(&own);
        }
        // Whose result it is matters only to reads of old contents.
        let result = if setting.stale_reads { id(self.result) } else { u8::from(self.result.is_some()) };
        let shared = [
            id(self.lock),
            id(self.lease),
            id(self.lease_before),
            id(self.changed_by),
            result,
            2 * self.state + u8::from(self.weights),
            self.computed[0],
            self.computed[1],
            self.kills,
            self.faults,
        ];
        key[12..22].copy_from_slice(&shared);
        key
    }
}

/// Visits every state; from each the end must be reachable. The number of states.
fn explore(setting: &Setting) -> usize {
    let first = World::new(setting);
    let mut known: HashMap<Key, u32> = HashMap::from([(first.key(setting), 0)]);
    let mut to_visit = vec![(0, first)];
    // From which state one gets to which: first the later one.
    let mut ways: Vec<(u32, u32)> = Vec::new();
    let mut ends = Vec::new();
    while let Some((from, world)) = to_visit.pop() {
        world.check(setting);
        if world.processes.iter().all(|p| p.at == At::Ended) {
            ends.push(from);
            continue;
        }
        for next in world.successors(setting) {
            let fresh = known.len() as u32;
            let to = *known.entry(next.key(setting)).or_insert(fresh);
            ways.push((to, from));
            if to == fresh {
                to_visit.push((to, next));
            }
        }
    }
    ways.sort_unstable();
    ways.dedup();
    let mut finishes = vec![false; known.len()];
    while let Some(state) = ends.pop() {
        if !std::mem::replace(&mut finishes[state as usize], true) {
            let begin = ways.partition_point(|way| way.0 < state);
            ends.extend(ways[begin..].iter().take_while(|way| way.0 == state).map(|way| way.1));
        }
    }
    let stuck = finishes.iter().filter(|finishes| !**finishes).count();
    assert_eq!(stuck, 0, "no way to the end from so many states: {setting:?}");
    finishes.len()
}

/// As [`explore`], and prints the number.
#[expect(clippy::print_stderr, reason = "it is shown where somebody asks for it")]
fn counted(setting: &Setting) -> usize {
    let states = explore(setting);
    eprintln!("{states} states: {setting:?}");
    states
}

/// Whoever renews in time is alone, whatever the locks; each epoch is computed once, or once more for each kill.
fn in_time(processes: usize, kills: u8, faults: u8) {
    for locks in [Locks::Full, Locks::WithinHost, Locks::None] {
        for one_host in [false, true] {
            let (timely, stale_reads) = (true, false);
            let setting = Setting { processes, locks, one_host, timely, stale_reads, kills, faults };
            assert!(counted(&setting) > 20, "{setting:?}");
        }
    }
}

/// With pauses of any length, reads of old contents and lost locks several may work on a run, but nobody is misled: every way leads to a
/// result, with its weights, and nobody thinks that there is one before.
fn in_any_order(processes: usize, stale_reads: bool, kills: u8, faults: u8) {
    for locks in [Locks::Full, Locks::WithinHost, Locks::None, Locks::Lost] {
        for one_host in [false, true] {
            let timely = false;
            let setting = Setting { processes, locks, one_host, timely, stale_reads, kills, faults };
            assert!(counted(&setting) > 20, "{setting:?}");
        }
    }
}

#[test]
fn a_run_has_one_owner_where_leases_are_renewed_in_time() {
    in_time(2, 1, 1);
    in_time(2, 2, 0);
    in_time(3, 0, 1);
    in_time(3, 1, 0);
}

#[test]
fn whatever_happens_the_run_is_finished_in_the_end() {
    in_any_order(2, true, 0, 0);
    in_any_order(2, true, 1, 0);
    in_any_order(2, true, 0, 1);
    in_any_order(3, false, 0, 0);
}

#[test]
#[ignore = "takes minutes"]
fn with_more_processes_kills_and_faults_it_is_the_same() {
    in_time(2, 2, 1);
    in_time(3, 2, 1);
    in_any_order(2, true, 2, 1);
    in_any_order(3, true, 1, 0);
    in_any_order(3, true, 0, 1);
}

/// The check finds what it looks for: without waiting for those who saw the same void lease, two work on one run.
#[test]
#[should_panic(expected = "processes work on one run")]
fn the_check_finds_two_owners_where_pauses_are_long() {
    let setting = Setting {
        processes: 2,
        locks: Locks::None,
        one_host: false,
        timely: false,
        stale_reads: false,
        kills: 0,
        faults: 0,
    };
    let mut seen = std::collections::HashSet::new();
    let mut to_visit = vec![World::new(&setting)];
    while let Some(world) = to_visit.pop() {
        // The same check as for leases that are renewed in time.
        world.check(&Setting { timely: true, ..setting });
        to_visit.extend(world.successors(&setting).into_iter().filter(|next| seen.insert(next.clone())));
    }
}
