//! An audit from its first question to its report.

use super::assemble::{Seen, report};
use super::flags::before;
use super::report::Report;
use super::schedule::Schedule;
use super::subject::Subject;
use crate::lab::Task;
use crate::lab::{AskRecipe, JobError, KeptAudit, Plan, State, TaskEnd, Workplace};
use std::time::Instant;

/// The flag that the victim is at chance or far from the claim.
const WRONG_VICTIM: &str = "F8";

/// How an audit ended.
pub struct AuditEnd {
    /// What was measured, if the test images were asked about.
    pub report: Option<Report>,
    /// Whether it was stopped on request: the same audit goes on.
    pub stopped: bool,
    /// Why it ended before clones were trained, if the victim is not what it should be.
    pub refused: Option<String>,
    /// What went wrong with single tasks.
    pub failures: Vec<JobError>,
}

/// Carries out the audit of `subject`. `execute` carries out a plan; `command` makes the report again; `regardless` of whether the
/// victim seems to be asked the wrong way.
///
/// # Errors
/// [`JobError`] if the first questions fail, or a result cannot be read.
pub fn carry_out(
    subject: &Subject,
    workplace: &Workplace,
    command: &str,
    regardless: bool,
    execute: &mut dyn FnMut(&Plan) -> Vec<TaskEnd<JobError>>,
) -> Result<AuditEnd, JobError> {
    let begun = Instant::now();
    let mut end = AuditEnd { report: None, stopped: false, refused: None, failures: Vec::new() };
    let first = Schedule::of(subject, false);
    keep(subject, &first, workplace, command)?;
    end.take(execute(&asks(&first.before)));
    if end.stopped {
        return Ok(end);
    }
    if !end.failures.is_empty() {
        return Err(end.failures.remove(0));
    }
    let seen = Seen::of(subject, workplace)?;
    let random = seen.random();
    let schedule = if random { Schedule::of(subject, true) } else { first };
    if random {
        keep(subject, &schedule, workplace, command)?;
    }
    let flags = before(&seen.victim, &seen.probes, subject.test.count, random);
    let wrong = flags.into_iter().find(|flag| flag.id == WRONG_VICTIM && flag.raised());
    let assemble = || report(subject, &schedule, workplace, command, begun.elapsed().as_secs_f64()).map(Some);
    if let Some(flag) = wrong.filter(|_| !regardless) {
        end.refused = Some(flag.text);
        end.report = assemble()?;
        return Ok(end);
    }
    end.take(execute(&asks(&schedule.transfer)));
    if !end.stopped && end.failures.is_empty() {
        end.take(execute(&asks(&schedule.after)));
    }
    if !end.stopped {
        // What could not be asked for is left out; the clones of what was answered are trained.
        let numerics = workplace.numerics();
        let answered = |hash: &str| workplace.store.run(hash).state_on(&numerics) == State::Done;
        let unanswered: Vec<String> =
            schedule.transfer.iter().map(|(_, ask)| ask.hash()).filter(|hash| !answered(hash)).collect();
        end.take(execute(&schedule.trials_plan(&unanswered)));
    }
    end.report = assemble()?;
    Ok(end)
}

impl AuditEnd {
    fn take(&mut self, ends: Vec<TaskEnd<JobError>>) {
        for end in ends {
            match end {
                TaskEnd::Stopped => self.stopped = true,
                TaskEnd::Failed(error) => self.failures.push(error),
                TaskEnd::Panicked(message) => {
                    self.failures.push(JobError::Panic { recipe: "of the audit".into(), message });
                }
                TaskEnd::Done | TaskEnd::NotFinite(_) | TaskEnd::Blocked(_) => {}
                // An audit waits for other processes, and tries everything itself.
                TaskEnd::Told | TaskEnd::GivenUp(_) | TaskEnd::Left => {}
            }
        }
    }
}

/// Writes down in the store which tasks the audit consists of.
fn keep(
    subject: &Subject,
    schedule: &Schedule,
    workplace: &Workplace,
    command: &str,
) -> Result<(), JobError> {
    let asks = schedule.before.iter().chain(&schedule.transfer).chain(&schedule.after);
    let trials = schedule.trials.iter().filter(|trial| trial.obstacle.is_none());
    let tasks = asks.map(|(_, ask)| ask.hash()).chain(trials.map(|trial| trial.recipe.hash())).collect();
    let request = &subject.request;
    let victims = [Some(&request.victim), request.undefended.as_ref()].into_iter().flatten();
    let networks = victims.map(String::as_str).chain(request.how.networks());
    let audit = KeptAudit::new(&workplace.store, command, networks, tasks)?;
    Ok(workplace.store.keep_audit(&audit)?)
}

fn asks(named: &[(String, AskRecipe)]) -> Plan {
    Plan::new(named.iter().map(|(name, ask)| (name.clone(), Task::Ask(ask.clone()))))
}
