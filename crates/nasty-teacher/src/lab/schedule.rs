//! Which task of a plan a process takes next, where other processes take tasks of the same plan. Without any input, output or clock of
//! its own: `executor.rs` asks it, and a simulation of a thousand machines does (`schedule/simulation.rs`).
//!
//! - Only tasks whose needs are done are taken; those with the longest way to the end of the plan first.
//! - Many processes would all look at the same task first. Each look at a task that another process has doubles the number of first
//!   tasks from which the next one is drawn, so that a thousand processes find a task each with about ten looks.
//! - A task of another process is looked at again later, ever more rarely, and not in step with other processes.

use super::executor::{Look, TaskEnd};
use super::plan::Plan;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

/// After the first look at a task of another process, and at most; both longer where many others wait for a look.
const BUSY: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(120)];
/// So many tasks are looked at as often as one alone; twice as many half as often.
const CROWD: usize = 8;
/// No longer, for a lease is void after that time.
const LONGEST: Duration = Duration::from_secs(300);
/// After the first failure of a task, and at most.
const FAILED: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(300)];

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
    /// Ask again after so long, or once another thread's task ended.
    Wait(Duration),
    /// There is nothing more to do.
    Leave,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// So many of its needs are not done.
    Waiting(usize),
    /// It can be tried, now or later.
    Open,
    /// A thread of this process is at it.
    Here,
    Ended,
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
    ends: Vec<Option<TaskEnd<E>>>,
    /// How tasks failed here last that are to be tried again.
    failed: HashMap<usize, TaskEnd<E>>,
    /// Looks in a row that found the task taken, or failures.
    looks: Vec<u32>,
    /// Ranks of the tasks to try now, in order.
    now: Vec<usize>,
    /// When to try other ones.
    later: BinaryHeap<Reverse<(Duration, usize)>>,
    waiting: usize,
    here: usize,
    left: usize,
    /// The next task is drawn from so many first ones.
    window: usize,
    idle_since: Option<Duration>,
    random: u64,
}

impl<'a, E> Schedule<'a, E> {
    /// The schedule of a process, with random numbers from `seed`.
    pub(super) fn new(order: &'a Order<'a>, terms: Terms, seed: u64) -> Self {
        let tasks = &order.plan.tasks;
        let phase = |needs: usize| if needs == 0 { Phase::Open } else { Phase::Waiting(needs) };
        let phases: Vec<Phase> = tasks.iter().map(|planned| phase(planned.needs.len())).collect();
        let open = |&nth: &usize| phases[order.at_rank[nth]] == Phase::Open;
        let now: Vec<usize> = (0..tasks.len()).filter(open).collect();
        Self {
            order,
            terms,
            ends: tasks.iter().map(|_| None).collect(),
            failed: HashMap::new(),
            looks: vec![0; tasks.len()],
            waiting: tasks.len() - now.len(),
            now,
            phases,
            later: BinaryHeap::new(),
            here: 0,
            left: tasks.len(),
            window: 1,
            idle_since: None,
            random: seed,
        }
    }

    /// What to do at the time `now`; `stop` says that nothing more is to be begun.
    pub(super) fn next(&mut self, now: Duration, stop: bool) -> Next {
        if stop {
            return if self.here > 0 { Next::Wait(BUSY[0]) } else { Next::Leave };
        }
        while let Some(&Reverse((due, rank))) = self.later.peek()
            && due <= now
        {
            self.later.pop();
            self.open(rank);
        }
        if !self.now.is_empty() {
            let drawn = self.draw(self.window.min(self.now.len()));
            let task = self.order.at_rank[self.now.remove(drawn)];
            self.phases[task] = Phase::Here;
            self.here += 1;
            return Next::Try(task);
        }
        if self.left == 0 {
            return Next::Leave;
        }
        let due = self.later.peek().map_or(BUSY[1], |Reverse((due, _))| *due - now);
        if self.here > 0 {
            return Next::Wait(due);
        }
        let since = *self.idle_since.get_or_insert(now);
        // What waits for tasks of other processes will be free soon.
        let nothing_comes = self.waiting == 0 || !self.failed.is_empty();
        match self.terms.patience {
            Some(patience) if nothing_comes && now >= since + patience => Next::Leave,
            Some(patience) if nothing_comes => Next::Wait(due.min(since + patience - now)),
            _ => Next::Wait(due),
        }
    }

    /// Takes note of a look at `task`; whether to carry it out.
    pub(super) fn looked(&mut self, task: usize, look: Look, now: Duration) -> bool {
        match look {
            Look::Done => self.end(task, TaskEnd::Done),
            Look::NotFinite(why) => self.end(task, TaskEnd::NotFinite(why)),
            Look::Failed { attempts, message }
                if self.terms.attempts.is_some_and(|most| attempts >= most) =>
            {
                let end = self.failed.remove(&task).unwrap_or(TaskEnd::GivenUp(message));
                self.end(task, end);
            }
            Look::Busy => self.taken(task, now),
            Look::Free | Look::Failed { .. } => {
                self.window = (self.window / 2).max(1);
                return true;
            }
        }
        false
    }

    /// Takes note that another process has `task`.
    pub(super) fn taken(&mut self, task: usize, now: Duration) {
        self.window = (2 * self.window).min(self.phases.len());
        self.again(task, now, BUSY);
    }

    /// Takes note of how `task` ended here; `look` is what there was to see of it after a failure.
    pub(super) fn ended(&mut self, task: usize, end: TaskEnd<E>, look: Option<&Look>, now: Duration) {
        let given_up = match (self.terms.attempts, look) {
            (Some(most), Some(Look::Failed { attempts, .. })) => *attempts >= most,
            (most, _) => most.is_none(),
        };
        if matches!(end, TaskEnd::Failed(_)) && !given_up {
            self.failed.insert(task, end);
            self.again(task, now, FAILED);
        } else {
            self.idle_since = None;
            self.end(task, end);
        }
    }

    /// How every task ended, in the plan's order; `stop` says that it was asked to stop.
    pub(super) fn ends(mut self, stop: bool) -> Vec<TaskEnd<E>> {
        let rest = || if stop { TaskEnd::Stopped } else { TaskEnd::Left };
        let end = |(task, end): (usize, Option<TaskEnd<E>>)| end.or_else(|| self.failed.remove(&task));
        self.ends.into_iter().enumerate().map(end).map(|end| end.unwrap_or_else(rest)).collect()
    }

    fn again(&mut self, task: usize, now: Duration, [first, most]: [Duration; 2]) {
        let crowd = (self.later.len() / CROWD).max(1) as u32;
        let pause = first.saturating_mul(1 << self.looks[task].min(16)).min(most);
        let pause = pause.saturating_mul(crowd).min(LONGEST);
        self.looks[task] += 1;
        let jitter = 0.75 + 0.5 * self.draw(1024) as f64 / 1024.0;
        self.phases[task] = Phase::Open;
        self.here -= 1;
        self.later.push(Reverse((now + pause.mul_f64(jitter), self.order.rank[task])));
    }

    fn end(&mut self, task: usize, end: TaskEnd<E>) {
        if self.phases[task] == Phase::Here {
            self.here -= 1;
        }
        self.phases[task] = Phase::Ended;
        self.failed.remove(&task);
        self.left -= 1;
        let lost_by = match &end {
            TaskEnd::Blocked(by) => Some(by.clone()),
            TaskEnd::NotFinite(_) | TaskEnd::Failed(_) | TaskEnd::Panicked(_) | TaskEnd::GivenUp(_) => {
                Some(self.order.plan.tasks[task].name.clone())
            }
            TaskEnd::Done | TaskEnd::Stopped | TaskEnd::Left => None,
        };
        let (done, stopped) = (matches!(end, TaskEnd::Done), matches!(end, TaskEnd::Stopped));
        self.ends[task] = Some(end);
        let order = self.order;
        for &dependent in &order.dependents[task] {
            let Phase::Waiting(needs) = self.phases[dependent] else { continue };
            if lost_by.is_some() || stopped {
                self.waiting -= 1;
                self.end(dependent, lost_by.clone().map_or(TaskEnd::Stopped, TaskEnd::Blocked));
            } else if done && needs == 1 {
                self.waiting -= 1;
                self.phases[dependent] = Phase::Open;
                self.open(self.order.rank[dependent]);
            } else if done {
                self.phases[dependent] = Phase::Waiting(needs - 1);
            }
        }
    }

    fn open(&mut self, rank: usize) {
        if let Err(place) = self.now.binary_search(&rank) {
            self.now.insert(place, rank);
        }
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

#[cfg(test)]
mod simulation;
