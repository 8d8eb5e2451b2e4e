//! Terminal output: data on standard output, messages and progress on standard error.

use crate::failure::{CommandError, Result, Trouble, visible};
use crate::signals::Stop;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use nasty_teacher::data::fetch::Progress;
use nasty_teacher::lab::{JobError, Planned, TaskEnd, Watch};
use nasty_teacher::training::{EpochRow, Observer, Selection};
use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

/// Prints a line of data, or several. A closed pipe (`| head`) is not an error, a full disk is.
pub fn data(line: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", visible(line)).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(Trouble::refused("standard output", &e).into()),
        _ => Ok(()),
    }
}

/// Says something, unless asked to be quiet.
pub fn say(quiet: bool, line: &str) {
    if !quiet {
        let _ = Talk.write_all((visible(line) + "\n").as_bytes());
    }
}

/// Tells of `failure` on standard error, and gives its exit code.
pub fn show(failure: &CommandError) -> u8 {
    say(false, &failure.text());
    failure.exit_code()
}

/// Standard error. What cannot be said, for the pipe is closed or the disk is full, must not end a run.
pub struct Talk;

impl Write for Talk {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = std::io::stderr().lock().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Whether progress is drawn as bars. Otherwise, unless asked to be quiet, it is told line by line.
fn has_bars(quiet: bool) -> bool {
    !quiet && std::io::stderr().is_terminal()
}

fn target(bars: bool) -> ProgressDrawTarget {
    if bars { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
}

/// The progress of one run, and its stop button: a bar in a terminal, else a line an epoch.
pub struct Watcher {
    bar: ProgressBar,
    name: String,
    epochs: usize,
    selection: String,
    lines: bool,
    stop: Stop,
}

impl Watcher {
    /// Watches a run of `epochs` epochs called `name`.
    pub fn new(name: &str, epochs: usize, quiet: bool, stop: Stop) -> Self {
        let bars = has_bars(quiet);
        let bar = ProgressBar::with_draw_target(Some(0), target(bars));
        Self::on(bar, name, epochs, !bars && !quiet, stop)
    }

    fn on(bar: ProgressBar, name: &str, epochs: usize, lines: bool, stop: Stop) -> Self {
        let style = ProgressStyle::with_template(
            "{prefix:28!} {bar:24} {percent:>3} %  {elapsed_precise} left {eta}  {wide_msg}",
        );
        bar.set_style(style.expect("the template is a valid one"));
        bar.set_prefix(visible(name));
        Self { bar, name: name.to_owned(), epochs, selection: String::new(), lines, stop }
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
        self.selection = row.selection.as_ref().map_or_else(String::new, told);
        let line = format!(
            "{}: epoch {}/{epochs}, loss {:.3}, training {:.1} %{}, {:.0} s",
            self.name,
            row.epoch + 1,
            row.train_loss,
            100.0 * row.train_accuracy,
            self.selection,
            row.seconds
        );
        say(!self.lines, &line);
    }

    fn stop(&self) -> bool {
        self.stop.requested()
    }
}

/// What the images that choose the epoch say of it.
fn told(selection: &Selection) -> String {
    let mut text = format!(", {} {:.1} %", selection.images(), 100.0 * selection.accuracy);
    if let Some(distance) = selection.scaled_kl {
        text += &format!(", τ²·KL {distance:.2}");
    }
    text + if selection.undone { ", undone: too much accuracy lost" } else { "" }
}

/// Watches a plan: a bar for each task under way, a line for each that ended.
pub struct PlanWatcher<'a> {
    bars: MultiProgress,
    quiet: bool,
    epochs: bool,
    stop: Stop,
    ended: AtomicUsize,
    tasks: usize,
    told: &'a (dyn Fn(&Planned) -> String + Sync),
}

impl<'a> PlanWatcher<'a> {
    /// Watches a plan of `tasks` tasks; `told` says what a finished one gave.
    pub fn new(tasks: usize, quiet: bool, stop: Stop, told: &'a (dyn Fn(&Planned) -> String + Sync)) -> Self {
        Self {
            bars: MultiProgress::with_draw_target(target(has_bars(quiet))),
            quiet,
            epochs: true,
            stop,
            ended: AtomicUsize::new(0),
            tasks,
            told,
        }
    }

    /// The same, for tasks of which there are so many that only their ends are told where there are no bars.
    pub fn briefly(self) -> Self {
        Self { epochs: false, ..self }
    }

    /// Takes the bars away.
    pub fn finish(&self) {
        let _ = self.bars.clear();
    }
}

impl Watch<JobError> for PlanWatcher<'_> {
    fn begin(&self, planned: &Planned) -> Box<dyn Observer + '_> {
        let bar = self.bars.add(ProgressBar::new(0));
        let lines = self.bars.is_hidden() && !self.quiet && self.epochs;
        Box::new(Watcher::on(bar, &planned.name, planned.task.length(), lines, self.stop.clone()))
    }

    fn end(&self, planned: &Planned, end: &TaskEnd<JobError>) {
        let text = match end {
            TaskEnd::Done => (self.told)(planned),
            TaskEnd::NotFinite(why) => format!("cannot be trained: {why}"),
            TaskEnd::Failed(why) => format!("failed: {why}"),
            TaskEnd::Panicked(why) => format!("failed, by a bug: {why}"),
            TaskEnd::Told | TaskEnd::GivenUp(_) | TaskEnd::Blocked(_) | TaskEnd::Stopped | TaskEnd::Left => {
                return;
            }
        };
        let nth = self.ended.fetch_add(1, Ordering::Relaxed) + 1;
        let width = self.tasks.to_string().len();
        let line = format!("{nth:>width$}/{} {:<44} {text}", self.tasks, planned.name);
        if self.bars.is_hidden() {
            say(self.quiet, &line);
        } else {
            let _ = self.bars.println(visible(&line));
        }
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
        Self { bar: ProgressBar::with_draw_target(None, target(has_bars(quiet))), stop }
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
        self.bar.set_prefix(visible(what));
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
