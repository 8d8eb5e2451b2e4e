//! What a person sees: data on standard output, talk and progress on standard error.

use crate::signals::Stop;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nasty_teacher::training::{EpochRow, Observer};
use std::io::{IsTerminal, Write};

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
        let bar = ProgressBar::with_draw_target(Some(0), target);
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
