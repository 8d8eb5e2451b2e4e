//! The end of a plan that workers share: one of them looks at every task and writes the report, and the others wait for it.

use super::experiment::report;
use crate::failure::Result;
use crate::signals::Stop;
use crate::ui;
use nasty_teacher::lab::{JobError, KeptPlan, NewsFiles, Planned, State, TaskEnd, Workplace};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

/// Between two looks whether the report is written, at first and at most.
const PAUSE: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(30)];
/// A report is waited for no longer: its writer was killed, and its lease is void by now.
const PATIENCE: Duration = Duration::from_secs(400);

/// A worker that has nothing left to do.
pub struct Closing<'a> {
    /// Where it works.
    pub workplace: &'a Workplace,
    /// What it hears.
    pub news: &'a NewsFiles,
    /// How the tasks ended, by hash.
    pub ends: &'a HashMap<String, &'a TaskEnd<JobError>>,
    /// Whether it is asked to stop.
    pub stop: &'a Stop,
}

impl Closing<'_> {
    /// Sees to the report of the plan `kept`, if all its tasks ended. False if a task is not done that others tell is: the plan goes on.
    pub fn close(&self, kept: &KeptPlan) -> Result<bool> {
        let goes_on = |planned: &Planned| {
            matches!(self.ends.get(&planned.hash), None | Some(TaskEnd::Left | TaskEnd::Stopped))
        };
        if kept.plan.tasks.iter().any(goes_on) {
            return Ok(true);
        }
        let (begun, mut pause) = (Instant::now(), PAUSE[0]);
        loop {
            if let Some(folder) = self.news.report(&kept.name) {
                return told(&folder.join("index.html"));
            }
            if let Some(_claim) = self.workplace.store.closing(&kept.name).try_claim()? {
                return match self.news.report(&kept.name) {
                    Some(folder) => told(&folder.join("index.html")),
                    None => self.write(kept),
                };
            }
            let paused = Instant::now();
            while paused.elapsed() < pause {
                if self.stop.requested() || begun.elapsed() >= PATIENCE {
                    return Ok(true);
                }
                std::thread::sleep(PAUSE[0]);
            }
            pause = (2 * pause).min(PAUSE[1]);
        }
    }

    fn write(&self, kept: &KeptPlan) -> Result<bool> {
        let store = &self.workplace.store;
        let untrue = |planned: &Planned| {
            matches!(self.ends.get(&planned.hash), Some(TaskEnd::Told))
                && store.run(&planned.hash).state() != State::Done
        };
        if kept.plan.tasks.iter().any(untrue) {
            self.news.begin_anew();
            return Ok(false);
        }
        let file = format!("{}.json", kept.name);
        let Some(record) = store.records()?.into_iter().find(|record| record.file_name() == file) else {
            return Ok(true);
        };
        let name = record.report_name();
        let written = report(self.workplace, record, &store.report_folder(&name))?;
        self.news.tell_report(&kept.name, &name);
        told(&written.page)
    }
}

fn told(page: &Path) -> Result<bool> {
    ui::data(&format!("report   {}", page.display())).map(|()| true)
}
