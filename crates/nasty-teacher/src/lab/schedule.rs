//! Which task of a plan a process takes next, where other processes take tasks of the same plan. Without any input, output or clock of
//! its own: `executor.rs` asks it, and a simulation of a thousand machines does (`schedule/simulation.rs`).
//!
//! - Only tasks whose needs are done are taken; those with the longest way to the end of the plan first.
//! - What others tell (`news.rs`) spares looks at their tasks. Who hears nothing finds out by looking.
//! - Many processes may look at the same task before one of them tells that it took it. Each look at a task that another process has
//!   doubles the number of first tasks from which the next one is drawn.
//! - Others may be killed, and news get lost: a process watches a few tasks of others, drawn at random; more if it has nothing else to
//!   do. It looks at each ever more rarely, the more rarely the more there are, and turns to another one once it has seen its owner alive.

use super::news::News;
use super::plan::Plan;
use super::task_end::{Look, TaskEnd};
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::time::Duration;

/// After the first look at a task of another process, and at most; both longer where there are many processes.
const BUSY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(120)];
/// Where there are so many processes they look as often as one alone; twice as many half as often.
const CROWD: usize = 8;
/// No longer, for a lease is void after that time.
const LONGEST: Duration = Duration::from_secs(300);
/// After the first failure of a task, and at most.
const FAILED: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(300)];
/// Tasks of others that a process watches while there are free ones, after its first task, and while there are none, if it hears news.
const WATCHED: [usize; 2] = [4, 8];
/// Between two times that news are heard while nothing happens, at first and at most.
const NEWS: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(30)];

/// How a process shares a plan with others.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// It leaves after so long without work, once other processes carry out all that is left; none: it waits for them.
    pub patience: Option<Duration>,
    /// A task that failed so often is given up. None: each process tries it once, however often it failed before.
    pub attempts: Option<u32>,
}

/// What a process does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Look at this task, and carry it out if it is free.
    Try(usize),
    /// Hear what others tell.
    Hear,
    /// Ask again after so long, or once another thread's task ended.
    Wait(Duration),
    /// There is nothing more to do.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many of its needs are not done.
    Waiting(u32),
    /// It can be tried.
    Open,
    /// Another process has it, as was seen or heard.
    Theirs,
    /// It failed here, and is tried again later.
    Later,
    /// A thread of this process is at it.
    Here,
    /// Done, as was seen.
    Done,
    /// Done, as others tell.
    Told,
    /// Ended otherwise.
    Ended,
}

/// A task of another process that this one looks at again and again.
#[derive(Clone, Copy)]
struct Watched {
    since: Duration,
    looks: u32,
    /// Whether its owner was seen to be alive.
    alive: bool,
}

/// When to hear news.
struct Hearing {
    due: Duration,
    pause: Duration,
}

/// A plan, and the order in which its tasks are taken: by the longest way to the end of the plan.
pub(super) struct Order<'a> {
    plan: &'a Plan,
    dependents: Vec<Vec<usize>>,
    /// The task at each rank.
    at_rank: Vec<usize>,
    /// The rank of each task.
    rank: Vec<usize>,
}

impl<'a> Order<'a> {
    pub(super) fn of(plan: &'a Plan) -> Self {
        let count = plan.tasks.len();
        let mut dependents = vec![Vec::new(); count];
        for (i, planned) in plan.tasks.iter().enumerate() {
            planned.needs.iter().for_each(|&need| dependents[need].push(i));
        }
        let ways = plan.longest_ways();
        let mut at_rank: Vec<usize> = (0..count).collect();
        at_rank.sort_by(|&a, &b| ways[b].total_cmp(&ways[a]));
        let mut rank = vec![0; count];
        at_rank.iter().enumerate().for_each(|(nth, &task)| rank[task] = nth);
        Self { plan, dependents, at_rank, rank }
    }
}

/// What one process knows of a plan.
pub(super) struct Schedule<'a, E> {
    order: &'a Order<'a>,
    terms: Terms,
    phases: Vec<Phase>,
    /// How tasks ended that are not done.
    ends: HashMap<usize, TaskEnd<E>>,
    /// How tasks failed here last that are to be tried again, and how often.
    failed: HashMap<usize, (TaskEnd<E>, u32)>,
    /// Ranks of the tasks to try now, in order.
    now: BTreeSet<usize>,
    /// Ranks of the tasks of others.
    theirs: BTreeSet<usize>,
    /// The most of them that there ever were: about as many as processes.
    most: usize,
    /// Those of them that are watched, by rank.
    watched: HashMap<usize, Watched>,
    /// When to look at watched tasks, and to try failed ones again. What is neither any more is passed over.
    later: BinaryHeap<Reverse<(Duration, usize)>>,
    /// None where nobody tells anything.
    hearing: Option<Hearing>,
    waiting: usize,
    here: usize,
    left: usize,
    /// The next task is drawn from so many first ones.
    window: usize,
    /// Nothing was carried out yet.
    is_new: bool,
    idle_since: Option<Duration>,
    random: u64,
}

impl<'a, E> Schedule<'a, E> {
    /// The schedule of a process that hears news or not, with random numbers from `seed`.
    pub(super) fn new(order: &'a Order<'a>, terms: Terms, hears: bool, seed: u64) -> Self {
        let mut schedule = Self {
            order,
            terms,
            phases: vec![Phase::Open; order.plan.tasks.len()],
            ends: HashMap::new(),
            failed: HashMap::new(),
            now: BTreeSet::new(),
            theirs: BTreeSet::new(),
            most: 0,
            watched: HashMap::new(),
            later: BinaryHeap::new(),
            hearing: hears.then_some(Hearing { due: Duration::ZERO, pause: NEWS[0] }),
            waiting: 0,
            here: 0,
            left: 0,
            window: 1,
            is_new: true,
            idle_since: None,
            random: seed,
        };
        schedule.arrange();
        schedule
    }

    /// Puts each task that has not ended, and is not here, into its place by its needs alone.
    fn arrange(&mut self) {
        self.now.clear();
        self.theirs.clear();
        self.watched.clear();
        self.later.clear();
        (self.waiting, self.left) = (0, 0);
        let order = self.order;
        for (task, planned) in order.plan.tasks.iter().enumerate() {
            match self.phases[task] {
                Phase::Done | Phase::Told | Phase::Ended => continue,
                Phase::Here => {}
                Phase::Waiting(_) | Phase::Open | Phase::Theirs | Phase::Later => {
                    let done = |&&need: &&usize| matches!(self.phases[need], Phase::Done | Phase::Told);
                    let missing = planned.needs.len() - planned.needs.iter().filter(done).count();
                    if missing == 0 {
                        self.phases[task] = Phase::Open;
                        self.now.insert(self.order.rank[task]);
                    } else {
                        self.phases[task] = Phase::Waiting(missing as u32);
                        self.waiting += 1;
                    }
                }
            }
            self.left += 1;
        }
    }

    /// What to do at the time `now`; `stop` says that nothing more is to be begun.
    pub(super) fn next(&mut self, now: Duration, stop: bool) -> Next {
        if stop {
            return if self.here > 0 { Next::Wait(BUSY[0]) } else { Next::Leave };
        }
        if let Some(hearing) = &mut self.hearing
            && hearing.due <= now
        {
            hearing.due = now + hearing.pause;
            hearing.pause = (2 * hearing.pause).min(NEWS[1]);
            return Next::Hear;
        }
        while let Some(&Reverse((due, rank))) = self.later.peek()
            && due <= now
        {
            self.later.pop();
            let task = self.order.at_rank[rank];
            match self.phases[task] {
                Phase::Theirs if self.watched.contains_key(&rank) => return self.take(task),
                Phase::Later => self.open(task),
                _ => {}
            }
        }
        while let Some(rank) = self.unwatched() {
            self.watched.insert(rank, Watched { since: now, looks: 0, alive: false });
            if self.watched.len() <= WATCHED[0] {
                return self.take(self.order.at_rank[rank]);
            }
            self.after(now, self.pause(0), rank);
        }
        if !self.now.is_empty() {
            let drawn = self.draw(self.window.min(self.now.len()));
            let rank = *self.now.iter().nth(drawn).expect("there are so many");
            return self.take(self.order.at_rank[rank]);
        }
        if self.left == 0 {
            return Next::Leave;
        }
        let due = self.later.peek().map_or(BUSY[1], |Reverse((due, _))| *due - now);
        let due = self.hearing.as_ref().map_or(due, |hearing| due.min(hearing.due - now));
        if self.here > 0 {
            return Next::Wait(due);
        }
        let since = *self.idle_since.get_or_insert(now);
        // What waits for tasks of other processes will be free soon.
        let nothing_comes = self.waiting == 0 || !self.failed.is_empty();
        match self.terms.patience {
            Some(patience) if nothing_comes && now >= since + patience => {
                if patience >= LONGEST && self.may_be_last() { Next::Wait(due) } else { Next::Leave }
            }
            Some(patience) if nothing_comes => Next::Wait(due.min(since + patience - now)),
            _ => Next::Wait(due),
        }
    }

    /// Whether few tasks are left, and the owner of one of them may have been killed, for all that is known.
    fn may_be_last(&self) -> bool {
        self.watched.len() == self.theirs.len() && self.watched.values().any(|watched| !watched.alive)
    }

    /// A task of another process to watch as well, at random, if too few are watched.
    fn unwatched(&mut self) -> Option<usize> {
        self.hearing.as_ref()?;
        let most = match (self.now.is_empty(), self.is_new) {
            (true, _) => WATCHED[1],
            (false, false) => WATCHED[0],
            // Many processes may start at the same time.
            (false, true) => return None,
        };
        if self.watched.len() >= most.min(self.theirs.len()) {
            return None;
        }
        let first = self.draw(self.theirs.len());
        let mut all = self.theirs.iter().skip(first).chain(&self.theirs);
        all.find(|rank| !self.watched.contains_key(*rank)).copied()
    }

    /// This process turns to `task`.
    fn take(&mut self, task: usize) -> Next {
        let rank = self.order.rank[task];
        self.now.remove(&rank);
        self.theirs.remove(&rank);
        self.phases[task] = Phase::Here;
        self.here += 1;
        Next::Try(task)
    }

    /// Takes note of what others tell.
    pub(super) fn heard(&mut self, all: impl IntoIterator<Item = (usize, News)>) {
        for (task, news) in all {
            let rank = self.order.rank[task];
            match (news, self.phases[task]) {
                (News::Taken, Phase::Open) => {
                    self.now.remove(&rank);
                    self.give(task);
                }
                (News::Free, Phase::Theirs) => {
                    self.theirs.remove(&rank);
                    self.watched.remove(&rank);
                    self.open(task);
                }
                (News::Done, Phase::Waiting(_) | Phase::Open | Phase::Theirs | Phase::Later) => {
                    self.done(task, Phase::Told);
                }
                _ => {}
            }
        }
    }

    /// The tasks that `task` needs and that are done only as others tell.
    pub(super) fn unseen_needs(&self, task: usize) -> Vec<usize> {
        let needs = self.order.plan.tasks[task].needs.iter().copied();
        needs.filter(|&need| self.phases[need] == Phase::Told).collect()
    }

    /// Takes note that `task`, which others tell is done, was seen to be.
    pub(super) fn seen_done(&mut self, task: usize) {
        if self.phases[task] == Phase::Told {
            self.phases[task] = Phase::Done;
        }
    }

    /// Takes note that something is not done that others tell is: nothing that was told counts. `task` was about to begin.
    pub(super) fn distrust(&mut self, task: usize) {
        self.phases[task] = Phase::Open;
        self.here -= 1;
        for phase in &mut self.phases {
            if *phase == Phase::Told {
                *phase = Phase::Open;
            }
        }
        self.arrange();
        self.hear_by(Duration::ZERO);
    }

    /// Takes note of a look at `task`; whether to carry it out.
    pub(super) fn looked(&mut self, task: usize, look: Look, now: Duration) -> bool {
        match look {
            Look::Done => self.done(task, Phase::Done),
            Look::NotFinite(why) => self.end(task, TaskEnd::NotFinite(why)),
            Look::Failed { attempts, message }
                if self.terms.attempts.is_some_and(|most| attempts >= most) =>
            {
                let end = self.failed.remove(&task).map_or(TaskEnd::GivenUp(message), |(end, _)| end);
                self.end(task, end);
            }
            Look::Busy => self.taken(task, now),
            Look::Free | Look::Failed { .. } => {
                self.window = (self.window / 2).max(1);
                self.watched.remove(&self.order.rank[task]);
                return true;
            }
        }
        false
    }

    /// Takes note that another process has `task`.
    pub(super) fn taken(&mut self, task: usize, now: Duration) {
        let rank = self.order.rank[task];
        let watched = self.watched.remove(&rank);
        if watched.is_none() {
            self.window = (2 * self.window).min(self.phases.len());
            self.hear_by(now + NEWS[0]);
        }
        self.here -= 1;
        self.give(task);
        let mut watched = watched.unwrap_or(Watched { since: now, looks: 0, alive: false });
        let seen_for = now - watched.since;
        // Otherwise its lease would be void.
        watched.alive |= watched.looks > 0 && seen_for >= LONGEST;
        if self.hearing.is_some() {
            // It is another one's turn; or enough are watched.
            let others = self.theirs.len() > self.watched.len() + 1;
            if self.watched.len() >= WATCHED[1] || (watched.alive && others) {
                return;
            }
        }
        let mut pause = self.pause(watched.looks);
        if !watched.alive {
            // In time to see a void lease.
            pause = pause.min(LONGEST.saturating_sub(seen_for).max(BUSY[0]));
        }
        self.watched.insert(rank, Watched { looks: watched.looks + 1, ..watched });
        self.after(now, pause, rank);
    }

    /// Takes note of how `task` ended here; `look` is what there was to see of it after a failure.
    pub(super) fn ended(&mut self, task: usize, end: TaskEnd<E>, look: Option<&Look>, now: Duration) {
        let given_up = match (self.terms.attempts, look) {
            (Some(most), Some(Look::Failed { attempts, .. })) => *attempts >= most,
            (most, _) => most.is_none(),
        };
        if let Some(hearing) = &mut self.hearing {
            hearing.pause = NEWS[0];
        }
        self.is_new = false;
        self.hear_by(now);
        if matches!(end, TaskEnd::Failed(_)) && !given_up {
            let failures = self.failed.get(&task).map_or(0, |(_, failures)| *failures);
            self.failed.insert(task, (end, failures + 1));
            self.here -= 1;
            self.phases[task] = Phase::Later;
            self.after(now, pause(FAILED, failures), self.order.rank[task]);
        } else {
            self.idle_since = None;
            match end {
                TaskEnd::Done => self.done(task, Phase::Done),
                other => self.end(task, other),
            }
        }
    }

    /// How every task ended, in the plan's order; `stop` says that it was asked to stop.
    pub(super) fn ends(mut self, stop: bool) -> Vec<TaskEnd<E>> {
        let end = |(task, phase): (usize, &Phase)| match phase {
            Phase::Done => TaskEnd::Done,
            Phase::Told => TaskEnd::Told,
            _ => {
                let ended = self.ends.remove(&task).or_else(|| Some(self.failed.remove(&task)?.0));
                ended.unwrap_or(if stop { TaskEnd::Stopped } else { TaskEnd::Left })
            }
        };
        self.phases.iter().enumerate().map(end).collect()
    }

    /// How long not to look at a task of another process after so many looks: longer where there are many processes.
    fn pause(&self, looks: u32) -> Duration {
        let crowd = (self.most / CROWD).max(1) as u32;
        pause(BUSY, looks).saturating_mul(crowd).min(LONGEST)
    }

    /// `task` is another process's.
    fn give(&mut self, task: usize) {
        self.phases[task] = Phase::Theirs;
        self.theirs.insert(self.order.rank[task]);
        self.most = self.most.max(self.theirs.len());
    }

    /// News are heard at `time` at the latest.
    fn hear_by(&mut self, time: Duration) {
        if let Some(hearing) = &mut self.hearing {
            hearing.due = hearing.due.min(time);
        }
    }

    /// The task at `rank` is looked at after `pause`, not in step with other processes.
    fn after(&mut self, now: Duration, pause: Duration, rank: usize) {
        let jitter = 0.75 + 0.5 * self.draw(1024) as f64 / 1024.0;
        self.later.push(Reverse((now + pause.mul_f64(jitter), rank)));
    }

    /// `task`, which has not ended before, is done.
    fn done(&mut self, task: usize, phase: Phase) {
        self.leave(task, phase);
        let order = self.order;
        for &dependent in &order.dependents[task] {
            match self.phases[dependent] {
                Phase::Waiting(1) => {
                    self.waiting -= 1;
                    self.open(dependent);
                }
                Phase::Waiting(needs) => self.phases[dependent] = Phase::Waiting(needs - 1),
                _ => {}
            }
        }
    }

    /// `task`, which has not ended before, ended and is not done; what needs it cannot be.
    fn end(&mut self, task: usize, end: TaskEnd<E>) {
        self.leave(task, Phase::Ended);
        let lost_by = match &end {
            TaskEnd::Blocked(by) => Some(by.clone()),
            TaskEnd::NotFinite(_) | TaskEnd::Failed(_) | TaskEnd::Panicked(_) | TaskEnd::GivenUp(_) => {
                Some(self.order.plan.tasks[task].name.clone())
            }
            TaskEnd::Done | TaskEnd::Told | TaskEnd::Stopped | TaskEnd::Left => None,
        };
        self.ends.insert(task, end);
        let order = self.order;
        for &dependent in &order.dependents[task] {
            if matches!(self.phases[dependent], Phase::Waiting(_)) {
                self.end(dependent, lost_by.clone().map_or(TaskEnd::Stopped, TaskEnd::Blocked));
            }
        }
    }

    fn leave(&mut self, task: usize, phase: Phase) {
        let rank = self.order.rank[task];
        match self.phases[task] {
            Phase::Waiting(_) => self.waiting -= 1,
            Phase::Here => self.here -= 1,
            Phase::Open | Phase::Theirs | Phase::Later | Phase::Done | Phase::Told | Phase::Ended => {}
        }
        self.now.remove(&rank);
        self.theirs.remove(&rank);
        self.watched.remove(&rank);
        self.failed.remove(&task);
        self.phases[task] = phase;
        self.left -= 1;
    }

    fn open(&mut self, task: usize) {
        self.phases[task] = Phase::Open;
        self.now.insert(self.order.rank[task]);
    }

    /// A number below `below`, by SplitMix64.
    fn draw(&mut self, below: usize) -> usize {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % below as u64) as usize
    }
}

/// The pause after the first `times` pauses: each is twice as long as the one before.
fn pause([first, most]: [Duration; 2], times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(most)
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
