//! The contents of a finished run.

use crate::analysis::responses::{Response, Sharpness};
use crate::analysis::tsne::{Layer, Map};
use crate::attacks::inversion::{InversionRow, Recognised};
use crate::numerics::Provenance;
use crate::training::{Evaluation, Loss, Objective, Recipe, SelfUndermining};
use serde::{Deserialize, Serialize};

/// Version of `result.json`.
pub const RESULT_FORMAT: u32 = 1;

/// Above this, the answers of a nasty teacher have left the adversarial network's: two networks trained
/// independently on the same images are about 1 apart in τ²·KL, the published nasty ResNet-18 is at 10.6.
const TOOK_OFF: f64 = 4.0;
/// Test accuracy lost, as a share, that counts as broken.
const ACCURACY_LOST: f64 = 0.05;
/// A test cross entropy this many times the adversary's counts as broken calibration.
const LOSS_BLOWN_UP: f64 = 5.0;

/// The result of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The recipe's hash.
    pub recipe: String,
    /// 0-based epoch whose weights were kept.
    pub epoch: usize,
    /// On the test images.
    pub test: Evaluation,
    /// Whether a nasty teacher became nasty; absent for other objectives.
    pub nastiness: Option<Nastiness>,
    /// Seconds of training, over all sittings.
    pub seconds: f64,
    /// What it ran on.
    pub machine: Machine,
    /// What it was made from and with; absent in results of version 0.1.0.
    #[serde(default)]
    pub made_with: Option<Provenance>,
    /// Whether the weights that the run began with were kept, because every epoch lost too much accuracy.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub start_kept: bool,
}

/// What an inversion gave, beside its images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InversionResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The recipe's hash.
    pub recipe: String,
    /// Height and width of an image.
    pub size: [usize; 2],
    /// What the network itself sees in its images.
    pub network: Recognised,
    /// What the judge sees in them.
    pub judge: Option<Recognised>,
    /// The course of the losses.
    pub rows: Vec<InversionRow>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Seconds of work.
    pub seconds: f64,
    /// What it ran on.
    pub machine: Machine,
    /// What it was made from and with; absent in results of version 0.1.0.
    #[serde(default)]
    pub made_with: Option<Provenance>,
}

/// What a t-SNE gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EmbeddingResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The recipe's hash.
    pub recipe: String,
    /// What of the network was mapped.
    pub of: Layer,
    /// The map.
    pub map: Map,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Seconds of work.
    pub seconds: f64,
    /// What it ran on.
    pub machine: Machine,
    /// What it was made from and with; absent in results of version 0.1.0.
    #[serde(default)]
    pub made_with: Option<Provenance>,
}

/// Networks' answers to test images, beside the images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResponsesResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The recipe's hash.
    pub recipe: String,
    /// Height and width of an image.
    pub size: [usize; 2],
    /// τ of the probabilities.
    pub temperature: f64,
    /// The answers.
    pub responses: Vec<Response>,
    /// How sharp the answers of each network are, over all test images.
    pub sharpness: Vec<Sharpness>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Seconds of work.
    pub seconds: f64,
    /// What it ran on.
    pub machine: Machine,
    /// What it was made from and with; absent in results of version 0.1.0.
    #[serde(default)]
    pub made_with: Option<Provenance>,
}

/// Channels and pixels of an image.
pub type Picture = (usize, Vec<u8>);

/// What came out of a part of an experiment that trains no network.
#[derive(Clone, Debug)]
pub enum PartResult {
    /// Networks' answers to test images, and those.
    Answered(Box<ResponsesResult>, Vec<Picture>),
    /// A t-SNE.
    Mapped(Box<EmbeddingResult>),
    /// An inversion, and its images: channels and pixels of each.
    Inverted(Box<InversionResult>, Vec<Picture>),
}

impl PartResult {
    /// What it ran on and for how many seconds.
    pub(super) fn machine(&self) -> (&Machine, f64) {
        match self {
            Self::Answered(result, _) => (&result.machine, result.seconds),
            Self::Mapped(result) => (&result.machine, result.seconds),
            Self::Inverted(result, _) => (&result.machine, result.seconds),
        }
    }
}

/// What asking gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The recipe's hash.
    pub recipe: String,
    /// Answers, all of which are in the log now.
    pub answers: usize,
    /// Answers of these that this task asked for; the others were known.
    pub asked: u64,
    /// Seconds of asking.
    pub seconds: f64,
}

/// Where and by what a run was made. It does not decide the result.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Machine {
    /// Version of this program.
    pub version: String,
    /// Operating system and processor architecture.
    pub system: String,
    /// Threads.
    pub threads: usize,
    /// The device's name.
    pub device: String,
}

/// Whether self-undermining worked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nastiness {
    /// Mean `τ²·KL(σ_τ(nasty) ‖ σ_τ(adversary))` on images not trained on.
    pub scaled_kl: f64,
    /// Which images: `held-out` training images, or `test` images where none are held out.
    pub measured_on: String,
    /// Its τ.
    pub temperature: f64,
    /// The adversary's evaluation on the test images.
    pub adversary: Evaluation,
    /// What to think of it.
    pub verdict: Verdict,
}

/// What became of a nasty teacher.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Its answers left the adversary's and its accuracy held.
    Nasty,
    /// Its answers stayed close to the adversary's: the undermining term did not take off.
    NotNasty,
    /// Its accuracy fell.
    AccuracyBroken,
    /// Its accuracy holds but its cross entropy exploded: its probabilities mean little.
    CalibrationBroken,
}

impl Nastiness {
    /// Judges a nasty teacher with test evaluation `nasty` against its adversary's.
    pub fn judge(
        recipe: &Recipe,
        nasty: &Evaluation,
        adversary: Evaluation,
        scaled_kl: f64,
        on: &str,
    ) -> Self {
        let verdict = if adversary.accuracy - nasty.accuracy > ACCURACY_LOST {
            Verdict::AccuracyBroken
        } else if nasty.loss > LOSS_BLOWN_UP * adversary.loss.max(0.2) {
            Verdict::CalibrationBroken
        } else if scaled_kl < TOOK_OFF {
            Verdict::NotNasty
        } else {
            Verdict::Nasty
        };
        Self {
            scaled_kl,
            measured_on: on.to_owned(),
            temperature: recipe.objective.temperature().unwrap_or(1.0),
            adversary,
            verdict,
        }
    }

    /// The verdict for a person, with what to try.
    pub fn explain(&self, nasty: &Evaluation, objective: &Objective) -> String {
        let Objective::SelfUndermining(SelfUndermining { omega, .. }) = objective else {
            return String::new();
        };
        let distance =
            format!("τ²·KL to the adversary is {:.1} on {} images", self.scaled_kl, self.measured_on);
        let lost = 100.0 * (self.adversary.accuracy - nasty.accuracy);
        match self.verdict {
            Verdict::Nasty => {
                format!("the teacher became nasty: {distance}, accuracy changed by {} points", signed(-lost))
            }
            Verdict::NotNasty => format!(
                "the teacher did not become nasty: {distance} (about 1 is what two honest networks differ by); \
                 try more epochs, a higher objective.temperature, or objective.omega above {omega}"
            ),
            Verdict::AccuracyBroken => format!(
                "the teacher lost {lost:.1} points of accuracy ({distance}); try objective.omega below {omega}, or clip_norm=1"
            ),
            Verdict::CalibrationBroken => format!(
                "the teacher's cross entropy is {:.2} against {:.2} for the adversary, though accuracy changed by only {} \
                 points ({distance}): its probabilities are not to be trusted; try objective.omega below {omega}",
                nasty.loss,
                self.adversary.loss,
                signed(-lost)
            ),
        }
    }
}

/// Two decimals with their sign, the minus as in tables.
fn signed(points: f64) -> String {
    format!("{points:+.2}").replace('-', "−")
}
