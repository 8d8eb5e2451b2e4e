//! Ctrl-C, SIGTERM, SIGHUP and a scheduler's SIGUSR1/2 make a run save its state and stop; a second Ctrl-C kills it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Set once the user or the system asks to stop.
#[derive(Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Listens to the signals from now on.
    pub fn on_signals() -> std::io::Result<Self> {
        use signal_hook::consts::{SIGINT, SIGTERM};
        let stop = Self::default();
        // In this order: the first signal finds the flag unset, so only the second one shuts down at once.
        for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
            signal_hook::flag::register_conditional_shutdown(signal, code, stop.0.clone())?;
        }
        for signal in [SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, stop.0.clone())?;
        }
        // Windows has none of these.
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};
            // Under nohup the run is meant to survive the terminal.
            for signal in [SIGUSR1, SIGUSR2, SIGHUP].into_iter().filter(|&s| s != SIGHUP || !is_ignored(s)) {
                signal_hook::flag::register(signal, stop.0.clone())?;
            }
        }
        Ok(stop)
    }

    /// Whether to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Whether this process was started with `signal` ignored, where the system tells.
#[cfg(unix)]
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
