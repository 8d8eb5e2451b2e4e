//! A thousand machines on one store, simulated: how many requests the file server gets, and how long machines wait.
//!
//! The machines use the real schedule. The store is a table, and time is an event queue. Requests are counted as NFS version 4 sends
//! them for what the code does; files read and written in the course of a training count as well.

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
/// Reading the lease and writing it, every 30 seconds.
const BEAT: u64 = 5;
/// A state or a row of metrics every minute: lease read, file made, written, synced and renamed.
const SAVE: u64 = 15;
/// Weights, description, rows, result; state, failure and lease deleted.
const FINISH: u64 = 42;
/// A lease is void when an observer has seen it unchanged for so long.
const STALE: f64 = 300.0;
/// Between two saved states, in seconds.
const SAVED: f64 = 60.0;
/// What was killed starts again after so long.
const REQUEUE: f64 = 120.0;
/// A round trip to the server.
const TRIP: f64 = 0.001;

#[derive(Clone, Default)]
struct Kept {
    done: bool,
    /// Seconds of work in the saved state.
    saved: f64,
    /// The machine with the lease, in its how many-th start.
    owner: Option<(usize, u32)>,
}

struct Machine<'a> {
    schedule: Schedule<'a, ()>,
    start: u32,
    /// The task it works on, and since when.
    task: Option<(usize, f64)>,
    idle_since: f64,
    /// Leases of dead machines it saw, and when first.
    seen: HashMap<usize, (f64, (usize, u32))>,
    left: bool,
}

/// What happens to a machine, in its how many-th start.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    Wake(usize, u32),
    Finish(usize, u32),
    Kill(usize),
    Start(usize),
}

#[derive(Debug)]
struct Outcome {
    hours: f64,
    /// If nobody ever waited.
    ideal: f64,
    /// Requests a second: on average, and in the busiest minute.
    mean: f64,
    busiest: f64,
    /// Shares of the machines' time.
    idle: f64,
    lost: f64,
}

/// Random numbers from 0 to 1.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

struct World<'a> {
    order: &'a Order<'a>,
    seconds: Vec<f64>,
    store: Vec<Kept>,
    machines: Vec<Machine<'a>>,
    /// By microseconds, then in the order in which they were made.
    events: BinaryHeap<Reverse<(u64, u64)>>,
    what: HashMap<u64, Event>,
    made: u64,
    requests: Vec<u64>,
    idle: f64,
    lost: f64,
    dice: Dice,
    kill_every: Option<f64>,
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

    fn start(&mut self, m: usize, now: f64) {
        let (order, start) = (self.order, self.machines[m].start);
        let seed = (m as u64) << 32 | u64::from(start);
        let machine = &mut self.machines[m];
        machine.schedule = Schedule::new(order, TERMS, seed);
        (machine.idle_since, machine.task, machine.left) = (now, None, false);
        machine.seen.clear();
        self.at(now, Event::Wake(m, start));
        if let Some(every) = self.kill_every {
            let life = -every * (1.0 - self.dice.roll()).ln();
            self.at(now + life, Event::Kill(m));
        }
    }

    /// What the machine `m` sees of a task.
    fn look(&mut self, m: usize, task: usize, now: f64) -> Look {
        if self.store[task].done {
            self.ask(now, SEE_DONE);
            return Look::Done;
        }
        let Some(owner) = self.store[task].owner else {
            self.ask(now, SEE_FREE);
            return Look::Free;
        };
        self.ask(now, SEE_BUSY);
        let holder = &self.machines[owner.0];
        let alive = holder.start == owner.1 && holder.task.is_some_and(|(at, _)| at == task);
        let seen = self.machines[m].seen.entry(task).or_insert((now, owner));
        if alive || seen.1 != owner {
            *seen = (now, owner);
        }
        if now - seen.0 >= STALE { Look::Free } else { Look::Busy }
    }

    /// The machine `m` takes a task, waits or leaves.
    fn wake(&mut self, m: usize, mut now: f64) {
        loop {
            match self.machines[m].schedule.next(Duration::from_secs_f64(now), false) {
                Next::Leave => {
                    self.idle += now - self.machines[m].idle_since;
                    self.machines[m].left = true;
                    return;
                }
                Next::Wait(pause) => {
                    let start = self.machines[m].start;
                    return self.at(now + pause.as_secs_f64(), Event::Wake(m, start));
                }
                Next::Try(task) => {
                    let look = self.look(m, task, now);
                    now += 3.0 * TRIP;
                    if !self.machines[m].schedule.looked(task, look, Duration::from_secs_f64(now)) {
                        continue;
                    }
                    self.ask(now, CLAIM);
                    self.idle += now - self.machines[m].idle_since;
                    let start = self.machines[m].start;
                    self.store[task].owner = Some((m, start));
                    self.machines[m].task = Some((task, now));
                    let rest = self.seconds[task] - self.store[task].saved;
                    return self.at(now + rest, Event::Finish(m, start));
                }
            }
        }
    }

    /// Counts what the work on a task asked for from `since` to `now`.
    fn worked(&mut self, since: f64, now: f64) {
        let mut time = since;
        while time < now {
            self.ask(time, 2 * BEAT + SAVE);
            time += 60.0;
        }
    }

    fn happen(&mut self, event: Event, now: f64) {
        match event {
            Event::Start(m) => {
                self.machines[m].start += 1;
                self.start(m, now);
            }
            Event::Wake(m, start) if start == self.machines[m].start => self.wake(m, now),
            Event::Finish(m, start) if start == self.machines[m].start => {
                let Some((task, since)) = self.machines[m].task.take() else { return };
                self.worked(since, now);
                self.ask(now, FINISH);
                self.store[task] = Kept { done: true, ..Kept::default() };
                let at = Duration::from_secs_f64(now);
                self.machines[m].schedule.ended(task, TaskEnd::Done, None, at);
                self.machines[m].idle_since = now;
                self.wake(m, now);
            }
            Event::Kill(m) if !self.machines[m].left => {
                match self.machines[m].task.take() {
                    Some((task, since)) => {
                        self.worked(since, now);
                        let saved = ((now - since) / SAVED).floor() * SAVED;
                        self.store[task].saved += saved;
                        self.lost += now - since - saved;
                    }
                    None => self.idle += now - self.machines[m].idle_since,
                }
                self.machines[m].start += 1;
                self.at(now + REQUEUE, Event::Start(m));
            }
            Event::Wake(..) | Event::Finish(..) | Event::Kill(_) => {}
        }
    }
}

/// `machines` on a plan of `tasks` tasks of 10 to 120 minutes: normal teachers, a nasty one for each, eight students for each pair. Each
/// machine is killed every `kill_every` seconds on average.
fn simulate(machines: usize, tasks: usize, kill_every: Option<f64>) -> Outcome {
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
        schedule: Schedule::new(&order, TERMS, 0),
        start: 0,
        task: None,
        idle_since: 0.0,
        seen: HashMap::new(),
        left: false,
    };
    let mut world = World {
        order: &order,
        seconds,
        store: vec![Kept::default(); tasks],
        machines: (0..machines).map(machine).collect(),
        events: BinaryHeap::new(),
        what: HashMap::new(),
        made: 0,
        requests: Vec::new(),
        idle: 0.0,
        lost: 0.0,
        dice,
        kill_every,
    };
    for m in 0..machines {
        // All are started within a minute.
        let delay = 60.0 * world.dice.roll();
        world.at(delay, Event::Start(m));
    }
    let mut end = 0.0;
    while let Some(Reverse((time, nth))) = world.events.pop() {
        let event = world.what.remove(&nth).expect("it was made");
        if world.machines.iter().all(|machine| machine.left) {
            break;
        }
        let now = time as f64 / 1e6;
        world.happen(event, now);
        if matches!(event, Event::Finish(..)) {
            end = now;
        }
    }
    assert!(world.store.iter().all(|kept| kept.done), "left with tasks to do");
    let work: f64 = world.seconds.iter().sum();
    let time = work + world.idle + world.lost;
    let busiest = *world.requests.iter().max().expect("some") as f64 / 60.0;
    Outcome {
        hours: end / 3600.0,
        ideal: work / machines as f64 / 3600.0,
        mean: world.requests.iter().sum::<u64>() as f64 / end,
        busiest,
        idle: world.idle / time,
        lost: world.lost / time,
    }
}

#[test]
fn fifty_machines_are_busy_to_the_end_and_the_server_is_not() {
    let calm = simulate(50, 500, None);
    assert!(calm.hours < 1.25 * calm.ideal && calm.idle < 0.1, "{calm:?}");
    assert!(calm.mean < 100.0 && calm.busiest < 500.0, "{calm:?}");
    let killed = simulate(50, 500, Some(4.0 * 3600.0));
    assert!(killed.hours < 1.5 * killed.ideal && killed.idle < 0.2 && killed.lost < 0.01, "{killed:?}");
    assert!(killed.mean < 100.0 && killed.busiest < 500.0, "{killed:?}");
}

/// The figures of `docs/cluster.md`: `cargo test --release --workspace a_thousand -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
#[expect(clippy::print_stderr, reason = "it is run for its figures")]
fn a_thousand_machines_and_ten_thousand_tasks() {
    for kill_every in [None, Some(4.0 * 3600.0)] {
        let outcome = simulate(1_000, 10_000, kill_every);
        eprintln!("killed every {kill_every:?} s: {outcome:?}");
        assert!(outcome.mean < 2_000.0 && outcome.busiest < 30_000.0, "{outcome:?}");
    }
}
