//! A thousand machines on one store, simulated: how many requests the file server gets, and how long machines wait.
//!
//! The machines use the real schedule. The store is a table, and time is an event queue. Requests are counted as NFS version 4 sends
//! them for what the code does; files read and written in the course of a training count as well. A hundredth of the news gets lost.

use super::*;
use crate::data::DataName;
use crate::lab::defaults::{Kind, recipe};
use crate::lab::plan::Planned;
use crate::lab::task::Task;

/// The run's folder and `result.json` in it are looked up.
const SEE_DONE: u64 = 2;
/// There is none, and `claim.json` is opened, read and closed.
const SEE_BUSY: u64 = 5;
/// Neither is there, nor `failure.json`.
const SEE_FREE: u64 = 4;
/// Folder, lock, lease (made under another name, linked, unlinked), and what is read before the work begins.
const CLAIM: u64 = 16;
/// Reading the lease and writing it.
const BEAT: u64 = 5;
/// A state or a row of metrics: lease read, file made, written, synced and renamed.
const SAVE: u64 = 15;
/// Weights, description, rows, result; state, failure and lease deleted.
const FINISH: u64 = 42;
/// A task that was stopped: state, lease deleted.
const STOP: u64 = SAVE + 5;
/// The news are opened, written or read, and closed.
const TELL: u64 = 4;
const HEAR: u64 = 5;
/// A worker begins: program, and plan of 700 bytes a task in requests of 1 MiB.
fn begin(tasks: usize) -> u64 {
    30 + tasks as u64 / 1_500
}
/// If runs are told to be done, it reads the names of the runs in requests of 32 kB.
fn names(tasks: usize) -> u64 {
    tasks as u64 / 150
}
/// The last worker looks at every task and reads what the report needs: result, rows and task.
const REPORT: u64 = SEE_DONE + 3 * 4;

/// A lease is void when an observer has seen it unchanged for so long.
const STALE: f64 = 300.0;
/// Between two beats of a lease.
const BEATS: f64 = 30.0;
/// Between two saved states, in seconds.
const SAVED: f64 = 60.0;
/// What was killed or preempted starts again after so long.
const REQUEUE: f64 = 120.0;
/// A round trip to the server.
const TRIP: f64 = 0.001;
/// Of the news.
const LOST: f64 = 0.01;

/// A machine, in its how many-th start.
type Owner = (usize, u32);

#[derive(Clone, Default)]
struct Kept {
    done: bool,
    /// Seconds of work in the saved state.
    saved: f64,
    /// Whose lease there is, since when, and when its owner was killed.
    lease: Option<(Owner, f64, Option<f64>)>,
}

impl Kept {
    /// What an observer sees of the lease: its owner, and how often it was renewed.
    fn lease_at(&self, now: f64) -> Option<(Owner, u64)> {
        let (owner, since, killed) = self.lease?;
        Some((owner, ((killed.unwrap_or(now) - since) / BEATS) as u64))
    }
}

struct Machine<'a> {
    schedule: Schedule<'a, ()>,
    start: u32,
    /// The task it works on, and since when.
    task: Option<(usize, f64)>,
    idle_since: f64,
    /// Leases of others that it saw, and since when they look like this.
    seen: HashMap<usize, (f64, (Owner, u64))>,
    /// News that it has read.
    read: usize,
    left: bool,
}

/// What happens to a machine, in its how many-th start.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Wake(usize, u32),
    Claim(usize, u32, usize),
    Finish(usize, u32),
    /// It is killed, or told to stop.
    End(usize, u32, bool),
    Start(usize),
}

#[derive(Debug)]
#[expect(dead_code, reason = "they are printed")]
struct Outcome {
    hours: f64,
    /// If nobody ever waited, was killed or preempted.
    ideal: f64,
    /// Requests a second: on average, and in the busiest minute.
    mean: f64,
    busiest: f64,
    /// When that minute was, in hours.
    busiest_at: f64,
    /// Shares of the machines' time until they leave: without work, at work that was done before, and between two starts.
    idle: f64,
    lost: f64,
    away: f64,
    /// Killed, and told to stop.
    killed: u32,
    stopped: u32,
}

/// Random numbers from 0 to 1.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }

    /// How long until something happens that happens every `mean` seconds.
    fn until(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.roll()).ln()
    }
}

/// What happens to machines.
#[derive(Clone, Copy, Debug, Default)]
struct Fate {
    /// Each is killed every so many seconds on average.
    killed: Option<f64>,
    /// Each is told to stop, and may save, every so many seconds on average.
    preempted: Option<f64>,
}

struct World<'a> {
    order: &'a Order<'a>,
    seconds: Vec<f64>,
    store: Vec<Kept>,
    machines: Vec<Machine<'a>>,
    at_work: usize,
    /// What was told, and when others can read it.
    news: Vec<(f64, usize, News)>,
    /// By microseconds, then in the order in which they were made.
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: HashMap<u64, Event>,
    made: u64,
    requests: Vec<u64>,
    idle: f64,
    lost: f64,
    away: f64,
    ends: [u32; 2],
    /// When the last task was.
    finished: f64,
    dice: Dice,
    fate: Fate,
}

const TERMS: Terms = Terms { patience: Some(Duration::from_secs(300)), attempts: Some(3) };

impl<'a> World<'a> {
    fn at(&mut self, time: f64, event: Event) {
        self.made += 1;
        self.what.insert(self.made, event);
        // Not before `time`: what is due then must not be a moment away.
        self.events.push(Reverse(((time * 1e6).ceil() as u64 + 1, self.made)));
    }

    /// Counts `requests` at the time `now`.
    fn ask(&mut self, now: f64, requests: u64) {
        let minute = (now / 60.0) as usize;
        self.requests.resize(self.requests.len().max(minute + 1), 0);
        self.requests[minute] += requests;
    }

    fn tell(&mut self, now: f64, task: usize, news: News) {
        self.ask(now, TELL);
        if self.dice.roll() >= LOST {
            self.news.push((now + TELL as f64 * TRIP, task, news));
        }
    }

    fn start(&mut self, m: usize, now: f64) {
        let (order, start) = (self.order, self.machines[m].start);
        self.ask(now, begin(self.seconds.len()));
        let seed = (m as u64) << 32 | u64::from(start);
        let machine = &mut self.machines[m];
        machine.schedule = Schedule::new(order, TERMS, true, seed);
        (machine.idle_since, machine.task, machine.read) = (now, None, 0);
        machine.seen.clear();
        self.at(now, Event::Wake(m, start));
        let Fate { killed, preempted } = self.fate;
        for (every, kill) in [(killed, true), (preempted, false)] {
            if let Some(every) = every {
                let life = self.dice.until(every);
                self.at(now + life, Event::End(m, start, kill));
            }
        }
    }

    /// What the machine `m` sees of a task.
    fn look(&mut self, m: usize, task: usize, now: f64) -> Look {
        if self.store[task].done {
            self.ask(now, SEE_DONE);
            return Look::Done;
        }
        let Some(lease) = self.store[task].lease_at(now) else {
            self.ask(now, SEE_FREE);
            return Look::Free;
        };
        self.ask(now, SEE_BUSY);
        let seen = self.machines[m].seen.entry(task).or_insert((now, lease));
        if seen.1 != lease {
            *seen = (now, lease);
        }
        if now - seen.0 >= STALE { Look::Free } else { Look::Busy }
    }

    fn schedule(&mut self, m: usize) -> &mut Schedule<'a, ()> {
        &mut self.machines[m].schedule
    }

    /// The machine `m` takes a task, waits or leaves.
    fn wake(&mut self, m: usize, mut now: f64) {
        let start = self.machines[m].start;
        loop {
            let time = Duration::from_secs_f64(now);
            match self.schedule(m).next(time, false) {
                Next::Leave => {
                    self.idle += now - self.machines[m].idle_since;
                    self.machines[m].left = true;
                    self.at_work -= 1;
                    return;
                }
                Next::Wait(pause) => return self.at(now + pause.as_secs_f64(), Event::Wake(m, start)),
                Next::Hear => {
                    self.ask(now, HEAR);
                    now += HEAR as f64 * TRIP;
                    let machine = &mut self.machines[m];
                    let unread = &self.news[machine.read..];
                    let there = unread.iter().take_while(|(from, ..)| *from <= now).count();
                    machine.schedule.heard(unread[..there].iter().map(|&(_, task, news)| (task, news)));
                    let begins = machine.read == 0;
                    machine.read += there;
                    if begins && unread[..there].iter().any(|(.., news)| *news == News::Done) {
                        self.ask(now, names(self.seconds.len()));
                    }
                }
                Next::Try(task) => {
                    let look = self.look(m, task, now);
                    now += SEE_FREE as f64 * TRIP;
                    if look == Look::Done {
                        self.tell(now, task, News::Done);
                    }
                    let time = Duration::from_secs_f64(now);
                    if !self.schedule(m).looked(task, look, time) {
                        continue;
                    }
                    for need in self.schedule(m).unseen_needs(task) {
                        self.ask(now, SEE_DONE);
                        assert!(self.store[need].done, "it was told, and nobody deletes runs");
                        self.schedule(m).seen_done(need);
                    }
                    self.tell(now, task, News::Taken);
                    self.ask(now, CLAIM);
                    return self.at(now + CLAIM as f64 * TRIP, Event::Claim(m, start, task));
                }
            }
        }
    }

    /// Counts what the work on a task asked for from `since` to `now`.
    fn worked(&mut self, since: f64, now: f64) {
        let mut time = since;
        while time < now {
            self.ask(time, (SAVED / BEATS) as u64 * BEAT + SAVE);
            time += SAVED;
        }
    }

    fn claim(&mut self, m: usize, task: usize, now: f64) {
        let time = Duration::from_secs_f64(now);
        if self.store[task].done {
            // The claim succeeds, and then the result is found.
            self.schedule(m).ended(task, TaskEnd::Done, None, time);
            return self.wake(m, now);
        }
        let lease = self.store[task].lease_at(now);
        let void = |lease| {
            self.machines[m].seen.get(&task).is_some_and(|&(at, old)| old == lease && now - at >= STALE)
        };
        if lease.is_some_and(|lease| !void(lease)) {
            self.schedule(m).taken(task, time);
            return self.wake(m, now);
        }
        let start = self.machines[m].start;
        self.idle += now - self.machines[m].idle_since;
        self.store[task].lease = Some(((m, start), now, None));
        self.machines[m].task = Some((task, now));
        let rest = self.seconds[task] - self.store[task].saved;
        self.at(now + rest, Event::Finish(m, start));
    }

    fn end(&mut self, m: usize, kill: bool, now: f64) {
        self.ends[usize::from(!kill)] += 1;
        match self.machines[m].task.take() {
            Some((task, since)) => {
                self.worked(since, now);
                let done = now - since;
                if kill {
                    let saved = (done / SAVED).floor() * SAVED;
                    self.store[task].saved += saved;
                    self.lost += done - saved;
                    let lease = self.store[task].lease.as_mut().expect("it worked on it");
                    lease.2 = Some(now);
                } else {
                    self.ask(now, STOP);
                    self.store[task].saved += done;
                    self.store[task].lease = None;
                    self.tell(now, task, News::Free);
                }
            }
            None => self.idle += now - self.machines[m].idle_since,
        }
        self.away += REQUEUE;
        self.machines[m].start += 1;
        self.at(now + REQUEUE, Event::Start(m));
    }

    fn happen(&mut self, event: Event, now: f64) {
        let (Event::Wake(m, start)
        | Event::Claim(m, start, _)
        | Event::Finish(m, start)
        | Event::End(m, start, _)) = event
        else {
            let Event::Start(m) = event else { unreachable!("there are no others") };
            return self.start(m, now);
        };
        if start != self.machines[m].start || self.machines[m].left {
            return;
        }
        match event {
            Event::Start(_) => {}
            Event::Wake(..) => self.wake(m, now),
            Event::Claim(.., task) => self.claim(m, task, now),
            Event::End(.., kill) => self.end(m, kill, now),
            Event::Finish(..) => {
                let (task, since) = self.machines[m].task.take().expect("it works");
                self.worked(since, now);
                self.ask(now, FINISH);
                self.store[task] = Kept { done: true, ..Kept::default() };
                self.tell(now, task, News::Done);
                (self.machines[m].idle_since, self.finished) = (now, now);
                // It hears its own news, too.
                let now = now + TELL as f64 * TRIP;
                self.schedule(m).ended(task, TaskEnd::Done, None, Duration::from_secs_f64(now));
                self.wake(m, now);
            }
        }
    }
}

/// `machines` on a plan of `tasks` tasks of 10 to 120 minutes: normal teachers, a nasty one for each, eight students for each pair.
fn simulate(machines: usize, tasks: usize, fate: Fate) -> Outcome {
    let any = recipe(DataName::Cifar10, "d".into(), "cnn".parse().expect("a name"), Kind::Train);
    let mut dice = Dice(1);
    let (mut plan, mut seconds) = (Plan::default(), Vec::new());
    for i in 0..tasks {
        let (group, place) = (i / 10 * 10, i % 10);
        let needs = match place {
            0 => vec![],
            1 => vec![group],
            _ => vec![group + place % 2],
        };
        let takes = 600.0 * 12f64.powf(dice.roll());
        // The estimate is wrong by a quarter.
        let cost = takes * (0.75 + 0.5 * dice.roll());
        let task = Task::Train(any.clone());
        plan.tasks.push(Planned { name: i.to_string(), hash: i.to_string(), task, needs, cost });
        seconds.push(takes);
    }
    let order = Order::of(&plan);
    let machine = |_| Machine {
        schedule: Schedule::new(&order, TERMS, true, 0),
        start: 0,
        task: None,
        idle_since: 0.0,
        seen: HashMap::new(),
        read: 0,
        left: false,
    };
    let mut world = World {
        order: &order,
        seconds,
        store: vec![Kept::default(); tasks],
        machines: (0..machines).map(machine).collect(),
        at_work: machines,
        news: Vec::new(),
        events: BinaryHeap::new(),
        what: HashMap::new(),
        made: 0,
        requests: Vec::new(),
        idle: 0.0,
        lost: 0.0,
        away: 0.0,
        ends: [0; 2],
        finished: 0.0,
        dice,
        fate,
    };
    for m in 0..machines {
        // All are started within a minute.
        let delay = 60.0 * world.dice.roll();
        world.at(delay, Event::Start(m));
    }
    while world.at_work > 0 {
        let Reverse((time, nth)) = world.events.pop().expect("those at work do something");
        let event = world.what.remove(&nth).expect("it was made");
        world.happen(event, time as f64 / 1e6);
    }
    let end = world.finished;
    assert!(world.store.iter().all(|kept| kept.done), "left with tasks to do");
    // One machine reads what the report needs, one request after the other.
    for i in 0..tasks as u64 * REPORT {
        world.ask(end + i as f64 * TRIP, 1);
    }
    let work: f64 = world.seconds.iter().sum();
    let time = work + world.idle + world.lost + world.away;
    let (minute, busiest) =
        world.requests.iter().enumerate().max_by_key(|(_, requests)| **requests).expect("some");
    Outcome {
        hours: end / 3600.0,
        ideal: work / machines as f64 / 3600.0,
        mean: world.requests.iter().sum::<u64>() as f64 / end,
        busiest: *busiest as f64 / 60.0,
        busiest_at: minute as f64 / 60.0,
        idle: world.idle / time,
        lost: world.lost / time,
        away: world.away / time,
        killed: world.ends[0],
        stopped: world.ends[1],
    }
}

const HOURS: f64 = 3600.0;
/// Killed without notice once a day, and preempted or out of time every four hours.
const ROUGH: Fate = Fate { killed: Some(24.0 * HOURS), preempted: Some(4.0 * HOURS) };
/// Killed without notice every four hours.
const ROUGHER: Fate = Fate { killed: Some(4.0 * HOURS), preempted: None };

#[test]
fn a_hundred_machines_are_busy_to_the_end_and_the_server_is_not() {
    let calm = simulate(100, 1_000, Fate::default());
    assert!(calm.hours < 1.25 * calm.ideal && calm.idle < 0.1, "{calm:?}");
    assert!(calm.mean < 100.0 && calm.busiest < 500.0, "{calm:?}");
    for fate in [ROUGH, ROUGHER] {
        let rough = simulate(100, 1_000, fate);
        assert!(rough.hours < 1.5 * rough.ideal && rough.idle < 0.2 && rough.lost < 0.01, "{rough:?}");
        assert!(rough.mean < 100.0 && rough.busiest < 500.0, "{rough:?}");
    }
}

/// The figures of `docs/cluster.md`: `cargo test --release --workspace a_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "takes a minute"]
#[expect(clippy::print_stderr, reason = "it is run for its figures")]
fn a_thousand_machines_and_ten_thousand_tasks() {
    for fate in [Fate::default(), ROUGH, ROUGHER] {
        let outcome = simulate(1_000, 10_000, fate);
        eprintln!("{fate:?}: {outcome:#?}");
        assert!(outcome.mean < 1_000.0 && outcome.busiest < 2_000.0, "{outcome:?}");
    }
}
