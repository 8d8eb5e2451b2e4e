//! What a person sees: data on standard output, talk and progress on standard error.

use crate::signals::Stop;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nasty_teacher::data::fetch::Progress;
use nasty_teacher::lab::{Planned, TaskEnd, Watch};
use nasty_teacher::training::{EpochRow, Observer};
use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Prints a line of data. A closed pipe (`| head`) is not an error.
pub fn data(line: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Says something, unless asked to be quiet.
#[expect(clippy::print_stderr, reason = "the one place that talks")]
pub fn say(quiet: bool, line: &str) {
    if !quiet {
        eprintln!("{line}");
    }
}

/// A progress bar for one run, and its stop button. Silent when standard error is not a terminal.
pub struct Watcher {
    bar: ProgressBar,
    name: String,
    epochs: usize,
    selection: String,
    stop: Stop,
}

impl Watcher {
    /// Watches a run of `epochs` epochs called `name`.
    pub fn new(name: &str, epochs: usize, quiet: bool, stop: Stop) -> Self {
        let hidden = quiet || !std::io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self::on(ProgressBar::with_draw_target(Some(0), target), name, epochs, stop)
    }

    fn on(bar: ProgressBar, name: &str, epochs: usize, stop: Stop) -> Self {
        let style = ProgressStyle::with_template(
            "{prefix:28!} {bar:24} {percent:>3} %  {elapsed_precise} left {eta}  {wide_msg}",
        );
        bar.set_style(style.expect("the template is a valid one"));
        bar.set_prefix(name.to_owned());
        Self { bar, name: name.to_owned(), epochs, selection: String::new(), stop }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Observer for Watcher {
    fn batch(&mut self, epoch: usize, batch: usize, batches: usize, loss: f64) {
        if self.bar.length() == Some(0) {
            self.bar.set_length((self.epochs * batches) as u64);
            // A resumed run starts in the middle; its rate is that of this sitting.
            self.bar.set_position((epoch * batches + batch - 1) as u64);
            self.bar.reset_eta();
        }
        self.bar.set_position((epoch * batches + batch) as u64);
        self.bar.set_message(format!(
            "epoch {}/{}, loss {loss:.3}{}",
            epoch + 1,
            self.epochs,
            self.selection
        ));
    }

    fn epoch(&mut self, row: &EpochRow, epochs: usize) {
        self.selection = row
            .selection
            .as_ref()
            .map_or_else(String::new, |s| format!(", held-out {:.1} %", 100.0 * s.accuracy));
        tracing::debug!("{}: epoch {}/{epochs}: {row:?}", self.name, row.epoch + 1);
    }

    fn stop(&self) -> bool {
        self.stop.requested()
    }
}

/// Watches a plan: a bar for each task under way, a line for each that ended.
pub struct PlanWatcher<'a> {
    bars: MultiProgress,
    quiet: bool,
    stop: Stop,
    ended: AtomicUsize,
    tasks: usize,
    told: &'a (dyn Fn(&Planned) -> String + Sync),
}

impl<'a> PlanWatcher<'a> {
    /// Watches a plan of `tasks` tasks; `told` says what a finished one gave.
    pub fn new(tasks: usize, quiet: bool, stop: Stop, told: &'a (dyn Fn(&Planned) -> String + Sync)) -> Self {
        let hidden = quiet || !std::io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            quiet,
            stop,
            ended: AtomicUsize::new(0),
            tasks,
            told,
        }
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        let _ = self.bars.clear();
    }
}

impl Watch for PlanWatcher<'_> {
    fn begin(&self, planned: &Planned) -> Box<dyn Observer + '_> {
        let bar = self.bars.add(ProgressBar::new(0));
        Box::new(Watcher::on(bar, &planned.name, planned.task.length(), self.stop.clone()))
    }

    fn end(&self, planned: &Planned, end: &TaskEnd) {
        let text = match end {
            TaskEnd::Done => (self.told)(planned),
            TaskEnd::NotFinite(why) => format!("cannot be trained: {why}"),
            TaskEnd::Failed(why) => format!("failed: {why}"),
            TaskEnd::Blocked(_) | TaskEnd::Stopped => return,
        };
        let nth = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let width = self.tasks.to_string().len();
        let line = format!("{nth:>width$}/{} {:<44} {text}", self.tasks, planned.name);
        self.bars.suspend(|| say(self.quiet, &line));
    }

    fn stop(&self) -> bool {
        self.stop.requested()
    }
}

/// A progress bar for downloads, and their stop button. Silent when standard error is not a terminal.
pub struct Transfer {
    bar: ProgressBar,
    stop: Stop,
}

impl Transfer {
    /// Watches downloads.
    pub fn new(quiet: bool, stop: Stop) -> Self {
        let hidden = quiet || !std::io::stderr().is_terminal();
        let target = if hidden { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        Self { bar: ProgressBar::with_draw_target(None, target), stop }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl Progress for Transfer {
    fn begin(&mut self, what: &str, total: u64) {
        let template = match total {
            0 => "{prefix} {decimal_bytes}  {elapsed_precise}",
            _ => {
                "{prefix} {bar:24} {decimal_bytes} of {decimal_total_bytes}, {decimal_bytes_per_sec}, left {eta}"
            }
        };
        self.bar.set_style(ProgressStyle::with_template(template).expect("the template is a valid one"));
        self.bar.set_prefix(what.to_owned());
        self.bar.set_length(total);
        self.bar.set_position(0);
        self.bar.reset();
    }

    fn position(&mut self, bytes: u64) {
        self.bar.set_position(bytes);
    }

    fn stop(&self) -> bool {
        self.stop.requested()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
