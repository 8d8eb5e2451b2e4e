//! Ctrl-C, SIGTERM and a scheduler's SIGUSR1/2 ask a run to save its state and stop; a second Ctrl-C kills.

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
        // Windows has neither of these.
        #[cfg(unix)]
        for signal in [signal_hook::consts::SIGUSR1, signal_hook::consts::SIGUSR2] {
            signal_hook::flag::register(signal, stop.0.clone())?;
        }
        Ok(stop)
    }

    /// Whether to stop.
    pub fn requested(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
