//! How a task failed: `failure.json`.

use super::error::JobError;
use super::result::{Machine, RESULT_FORMAT};
use crate::numerics::{Numerics, Provenance};
use crate::training::TrainError;
use crate::{Classified, ErrorClass};
use miette::Diagnostic;
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is known of a failed run. A loss that is not finite is a result: the recipe cannot be trained on these numerics.
/// Anything else is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The recipe's hash.
    pub recipe: String,
    /// What kind of trouble it was; version 0.1.0 recorded losses that were not finite only.
    #[serde(default = "not_finite")]
    pub class: ErrorClass,
    /// The error's message.
    #[serde(default)]
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub help: Option<String>,
    /// How many tries have failed, not counting those that the place was to blame for, such as a full disk.
    #[serde(default = "one")]
    pub attempts: u32,
    /// Seconds since 1970, by the clock of the host that failed.
    #[serde(default)]
    pub when: Option<u64>,
    /// Where the loss became infinite or NaN.
    #[serde(flatten)]
    pub divergence: Option<Divergence>,
    /// What it ran on.
    pub machine: Machine,
    /// What it was made from and with; absent in failures of version 0.1.0.
    #[serde(default)]
    pub made_with: Option<Provenance>,
}

/// Where a loss became infinite or NaN.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Divergence {
    /// What was not finite: `loss`, `held-out loss`, `weights`, …
    #[serde(default = "loss")]
    pub what: String,
    /// `NaN`, `inf` or `-inf`: JSON has no numbers for them.
    pub loss: String,
    /// 0-based epoch.
    pub epoch: usize,
    /// 0-based step, over all epochs.
    pub step: usize,
    /// What to try.
    pub advice: String,
}

/// What version 0.1.0 looked at.
fn loss() -> String {
    "loss".into()
}

fn one() -> u32 {
    1
}

fn not_finite() -> ErrorClass {
    ErrorClass::NotFinite
}

impl Failure {
    /// The record of `error`, in which the run of `recipe` ended just now, after `earlier` failed tries.
    pub fn of(error: &JobError, recipe: &str, earlier: u32, machine: Machine, made_with: Provenance) -> Self {
        let divergence = match error {
            JobError::Train(TrainError::NotFinite { what, loss, epoch, step, advice, .. }) => {
                Some(Divergence {
                    what: what.clone(),
                    loss: loss.to_string(),
                    epoch: *epoch,
                    step: *step,
                    advice: advice.clone(),
                })
            }
            _ => None,
        };
        Self {
            format: RESULT_FORMAT,
            recipe: recipe.to_owned(),
            class: error.class(),
            message: error.to_string(),
            help: error.help().map(|help| help.to_string()),
            attempts: if is_of_the_place(error) { earlier } else { earlier + 1 },
            when: SystemTime::now().duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs()),
            divergence,
            machine,
            made_with: Some(made_with),
        }
    }

    /// Whether every repetition on `numerics` would end the same way. Of failures of 0.1.0 only the device is known.
    pub fn holds_on(&self, numerics: &Numerics) -> bool {
        self.class == ErrorClass::NotFinite
            && match &self.made_with {
                Some(made_with) => made_with.numerics.last() == Some(numerics),
                None => self.machine.device == numerics.device,
            }
    }

    /// The error that it was.
    pub fn error(&self) -> JobError {
        match &self.divergence {
            Some(Divergence { what, loss, epoch, step, advice }) => JobError::Train(TrainError::NotFinite {
                what: what.clone(),
                loss: loss.parse().unwrap_or(f64::NAN),
                epoch: *epoch,
                step: *step,
                recipe: self.recipe.clone(),
                advice: advice.clone(),
            }),
            None => JobError::Earlier {
                class: self.class,
                message: self.message.clone(),
                help: self.help.clone(),
            },
        }
    }
}

/// Whether `error` comes from a full disk, or a file system that does not answer: then it says nothing of the task.
pub(super) fn is_of_the_place(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{
                QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle, StorageFull, TimedOut,
            };
            let kinds = [StorageFull, QuotaExceeded, ReadOnlyFilesystem, StaleNetworkFileHandle, TimedOut];
            return kinds.contains(&io.kind());
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::StoreError;

    #[test]
    fn a_full_disk_is_not_held_against_a_task() {
        let io = |kind: io::ErrorKind| -> JobError {
            StoreError::Io { path: "p".into(), source: io::Error::from(kind) }.into()
        };
        assert!(is_of_the_place(&io(io::ErrorKind::StorageFull)));
        assert!(!is_of_the_place(&io(io::ErrorKind::NotFound)) && !is_of_the_place(&diverged()));
        let [full, absent] = [io::ErrorKind::StorageFull, io::ErrorKind::NotFound]
            .map(|kind| Failure::of(&io(kind), "r", 1, machine("flex"), provenance(&[])).attempts);
        assert_eq!((full, absent), (1, 2));
    }

    fn machine(device: &str) -> Machine {
        Machine { version: "0".into(), system: "s".into(), threads: 1, device: device.into() }
    }

    fn provenance(numerics: &[Numerics]) -> Provenance {
        Provenance { numerics: numerics.to_vec(), weights: Vec::new() }
    }

    fn diverged() -> JobError {
        let (recipe, advice) = ("r".to_owned(), "less".to_owned());
        TrainError::NotFinite { what: "loss".into(), loss: f64::NAN, epoch: 2, step: 7, recipe, advice }
            .into()
    }

    #[test]
    fn a_loss_that_is_not_finite_holds_on_the_same_numerics_only() {
        let (cpu, gpu) = (Numerics::here("flex"), Numerics::here("cuda"));
        let failure =
            Failure::of(&diverged(), "r", 0, machine("flex"), provenance(&[gpu.clone(), cpu.clone()]));
        assert!(failure.holds_on(&cpu) && !failure.holds_on(&gpu));
        let later = Numerics { version: cpu.version + 1, ..cpu.clone() };
        assert!(!failure.holds_on(&later), "newer kernels may round away from it");
        assert_eq!(failure.error().to_string(), diverged().to_string());

        let ordinary = JobError::Recipe { recipe: "r".into(), problem: "p".into() };
        let ordinary =
            Failure::of(&ordinary, "r", 0, machine("flex"), provenance(std::slice::from_ref(&cpu)));
        assert_eq!((ordinary.class, ordinary.holds_on(&cpu)), (ErrorClass::Usage, false));
        let text = serde_json::to_string(&ordinary).expect("JSON");
        assert_eq!(serde_json::from_str::<Failure>(&text).expect("comes back"), ordinary);
    }

    #[test]
    fn failures_of_0_1_0_are_read() {
        let text = r#"{"format": 1, "recipe": "r", "loss": "NaN", "epoch": 2, "step": 7, "advice": "less",
            "machine": {"version": "0.1.0", "system": "linux x86_64", "threads": 2, "device": "flex"}}"#;
        let failure: Failure = serde_json::from_str(text).expect("readable");
        assert!(failure.holds_on(&Numerics::here("flex")) && !failure.holds_on(&Numerics::here("cuda")));
        assert_eq!(failure.error().to_string(), diverged().to_string());
    }
}
