//! A plan: a graph in which each task comes after the tasks whose networks it needs.

use super::task::Task;
use std::collections::HashMap;

/// Tasks in an order in which they can be carried out.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The tasks.
    pub tasks: Vec<Planned>,
}

/// A task of a plan.
#[derive(Clone, Debug)]
pub struct Planned {
    /// For people.
    pub name: String,
    /// The task's identity.
    pub hash: String,
    /// What to do.
    pub task: Task,
    /// The tasks of the plan that must be done before, by index; all come earlier.
    pub needs: Vec<usize>,
    /// What it costs, in any unit that is the same for all tasks of the plan; 0 where nobody has estimated it.
    pub cost: f64,
}

/// What the store knows of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing yet.
    Absent,
    /// Begun: it goes on where it stopped.
    Resumable,
    /// Finished.
    Done,
    /// It was tried and its loss is not finite: that is its result.
    NotFinite,
    /// The last try failed; it is tried again.
    Failed,
}

impl State {
    /// For people and for JSON.
    pub fn word(self) -> &'static str {
        match self {
            Self::Absent => "to do",
            Self::Resumable => "begun",
            Self::Done => "done",
            Self::NotFinite => "done: loss not finite",
            Self::Failed => "failed: is tried again",
        }
    }
}

impl Plan {
    /// The plan of `tasks` with their names; a task that is there twice is carried out once. Networks that no task
    /// of the plan makes are taken to be in the store.
    ///
    /// # Panics
    /// If a task comes before one whose network it needs.
    pub fn new(tasks: impl IntoIterator<Item = (String, Task)>) -> Self {
        let mut plan = Self::default();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut wanted: Vec<String> = Vec::new();
        for (name, task) in tasks {
            let hash = task.hash();
            if places.contains_key(&hash) {
                continue;
            }
            assert!(!wanted.contains(&hash), "{name} comes after a task that needs it");
            let needs = task.needs().into_iter().filter_map(|n| {
                places.get(&n.0).copied().or_else(|| {
                    wanted.push(n.0.clone());
                    None
                })
            });
            let needs = needs.collect();
            places.insert(hash.clone(), plan.tasks.len());
            plan.tasks.push(Planned { name, hash, task, needs, cost: 0.0 });
        }
        plan
    }

    /// The plan of `tasks` with their names and costs, in any order; one that is there twice is carried out once. A task comes right
    /// after what it needs and was not there yet.
    pub fn sorted(tasks: impl IntoIterator<Item = (String, Task, f64)>) -> Self {
        let mut order = Vec::new();
        let mut given = HashMap::new();
        for (name, task, cost) in tasks {
            let hash = task.hash();
            order.push(hash.clone());
            given.entry(hash).or_insert((name, task, cost));
        }
        let (mut sorted, mut costs) = (Vec::new(), Vec::new());
        order.reverse();
        while let Some(hash) = order.pop() {
            let Some((_, task, _)) = given.get(&hash) else { continue };
            // A task's hash is made from those of its needs, so there are no circles.
            let missing = task.needs().into_iter().map(|need| need.0.clone());
            let missing: Vec<String> = missing.filter(|need| given.contains_key(need)).collect();
            if missing.is_empty() {
                let (name, task, cost) = given.remove(&hash).expect("it was there");
                sorted.push((name, task));
                costs.push(cost);
            } else {
                order.push(hash);
                order.extend(missing);
            }
        }
        let mut plan = Self::new(sorted);
        plan.tasks.iter_mut().zip(costs).for_each(|(planned, cost)| planned.cost = cost);
        plan
    }

    /// For each task, the cost of the longest chain of tasks that begins with it.
    pub(super) fn longest_ways(&self) -> Vec<f64> {
        let mut ways: Vec<f64> = self.tasks.iter().map(|planned| planned.cost).collect();
        let mut after = vec![0.0_f64; self.tasks.len()];
        // Needs come before: what needs a task has been seen when it is.
        for (i, planned) in self.tasks.iter().enumerate().rev() {
            ways[i] = planned.cost + after[i];
            for &need in &planned.needs {
                after[need] = after[need].max(ways[i]);
            }
        }
        ways
    }

    /// The plan as a tree, what a task needs above it, with the state of each.
    pub fn tree(&self, state: &dyn Fn(&Planned) -> State) -> String {
        let mut out = String::new();
        let roots: Vec<usize> = (0..self.tasks.len()).filter(|&i| self.tasks[i].needs.is_empty()).collect();
        for root in roots {
            self.branch(root, "", "", state, &mut out);
        }
        let done = self.tasks.iter().filter(|t| matches!(state(t), State::Done | State::NotFinite)).count();
        out += &format!("{done} of {} tasks done\n", self.tasks.len());
        out
    }

    fn branch(
        &self,
        task: usize,
        lead: &str,
        below: &str,
        state: &dyn Fn(&Planned) -> State,
        out: &mut String,
    ) {
        let planned = &self.tasks[task];
        let word = state(planned).word();
        let name = format!("{lead}{}", planned.name);
        let pad = 64usize.saturating_sub(name.chars().count()).max(1);
        *out += &format!("{name}{:pad$}{}  {word}\n", "", planned.hash);
        // A task that needs several hangs below the last of them.
        let children: Vec<usize> =
            (0..self.tasks.len()).filter(|&i| self.tasks[i].needs.iter().max() == Some(&task)).collect();
        for (nth, &child) in children.iter().enumerate() {
            let last = nth + 1 == children.len();
            let (lead, next) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
            self.branch(child, &format!("{below}{lead}"), &format!("{below}{next}"), state, out);
        }
    }
}
