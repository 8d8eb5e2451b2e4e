//! Asking a victim about images, and keeping its answers.

use super::answer_log::{AnswerLog, Question, Whose};
use super::open_victim::{AskOptions, Opened, fit_victim, open_victim};
use super::{JobError, Store, StoreError, Workplace};
use crate::attacks::{Images, TestData};
use crate::data::{DataSet, ImageSet};
use crate::training::identity;
use crate::victim::{Request, Victim, VictimError, content_hash};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Version of the fields of [`AskRecipe`]; part of its hash.
pub const ASK_FORMAT: u32 = 1;
/// Images a request: what a killed process asks again.
const CHUNK: usize = 64;
/// Further tries of a request that may have been answered.
const AGAIN: u64 = 2;

/// How to reach a victim. None of it but [`Self::whose`] decides an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// A run's hash or folder, a file, an address.
    pub victim: String,
    /// How it is asked, and what stands in front of it.
    pub how: AskOptions,
    /// The data set whose classes its answers are put in the order of.
    pub classes_of: TestData,
    /// Who it was when the audit began: if it is another one now, it is not asked.
    pub whose: Whose,
}

/// Asks a victim about images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AskRecipe {
    /// [`ASK_FORMAT`].
    pub format: u32,
    /// The victim.
    pub reach: Reach,
    /// The images, unchanged.
    pub images: Images,
    /// Which of its answers to each image are wanted: the first is 0. All images are asked about once, then all again.
    pub times: Range<u32>,
}

/// What asking gave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AskResult {
    /// [`super::RESULT_FORMAT`].
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

impl AskRecipe {
    /// The identity: by who is asked about what, not by how it is reached.
    pub fn hash(&self) -> String {
        identity(&("ask", self.format, &self.reach.whose, &self.images, &self.times))
    }

    /// What is impossible about the recipe; `None` if it can run.
    pub fn problem(&self) -> Option<String> {
        let fine = self.format == ASK_FORMAT;
        let format = (!fine).then(|| format!("format is {}, expected {ASK_FORMAT}", self.format));
        format.or_else(|| self.images.problem())
    }
}

impl Reach {
    /// Opens the victim, its answers in the order of the classes of `data`.
    ///
    /// # Errors
    /// [`JobError`] if it cannot be opened, does not fit, or is another one by now.
    pub fn open(&self, data: &DataSet, workplace: &Workplace) -> Result<Arc<dyn Victim>, JobError> {
        let Opened { victim, .. } = open_victim(&self.victim, &self.how, workplace)?;
        let victim = fit_victim(&victim, data)?.victim;
        let found = whose(&*victim);
        if found == self.whose {
            return Ok(victim);
        }
        let (was, is) = (&self.whose.identity, &found.identity);
        let problem = format!("its victim {} was {was} when it was planned, now it is {is}", self.victim);
        Err(JobError::Recipe { recipe: self.whose.folder(), problem })
    }
}

/// Whose answers `victim` gives.
pub fn whose(victim: &dyn Victim) -> Whose {
    Whose {
        identity: victim.identity().to_owned(),
        interface: victim.front().interface(),
        classes: victim.classes(),
        scale: victim.scale(),
    }
}

/// What every image of `images` is known by.
pub fn hashes(images: &ImageSet) -> Vec<[u8; 32]> {
    images.images().map(content_hash).collect()
}

/// How asking ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// All answers are in the log.
    All,
    /// It was stopped; what was answered is in the log.
    Stopped,
}

/// Asks `victim` about those of `images` whose answers are not in `log` yet, for each of `times`, and writes the answers there.
/// `stop` is asked between two requests, with the answers done and wanted.
///
/// # Errors
/// [`JobError`] if the victim does not answer, or the log cannot be written. What was answered before is in the log.
pub fn collect(
    log: &mut AnswerLog,
    victim: &dyn Victim,
    images: &ImageSet,
    times: Range<u32>,
    stop: &mut dyn FnMut(usize, usize) -> bool,
) -> Result<Asked, JobError> {
    let hashes = hashes(images);
    let rounds = times.len();
    let wanted = rounds * images.len();
    for (round, number) in times.enumerate() {
        let mut seen = HashSet::new();
        let new = |&image: &usize| !log.knows(&(hashes[image], number)) && seen.insert(hashes[image]);
        let missing: Vec<usize> = (0..images.len()).filter(new).collect();
        let known = images.len() - missing.len();
        for (nth, chunk) in missing.chunks(CHUNK).enumerate() {
            if stop(round * images.len() + known + nth * CHUNK, wanted) {
                return Ok(Asked::Stopped);
            }
            let questions: Vec<Question> = chunk.iter().map(|&image| (hashes[image], number)).collect();
            let part = images.subset(chunk);
            ask_and_keep(log, victim, &Request::unchanged(&part), &questions)?;
        }
    }
    stop(wanted, wanted);
    Ok(Asked::All)
}

/// Asks `victim` the `questions`, whose images are those of `request`, and writes the answers to `log`. Every request is noted
/// on disk before it leaves. A server that may have answered, but did not reach us, is asked again, which counts again.
///
/// # Errors
/// [`JobError`] if the victim does not answer, or the log cannot be written.
pub(super) fn ask_and_keep(
    log: &mut AnswerLog,
    victim: &dyn Victim,
    request: &Request<'_>,
    questions: &[Question],
) -> Result<(), JobError> {
    let mut tries = 0;
    loop {
        log.about_to_ask(questions.len())?;
        match victim.ask(request) {
            Ok(answers) => return Ok(log.answered(questions, &answers.rows)?),
            Err(VictimError::Unavailable { sent: true, problem, address, .. }) if tries < AGAIN => {
                tracing::warn!("{address}: {problem}; {} images are asked about again", questions.len());
                tries += 1;
                std::thread::sleep(Duration::from_secs(tries));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// The answers number `number` to all of `images`, `[images, classes]`.
///
/// # Errors
/// How many are missing.
pub fn rows(log: &AnswerLog, images: &ImageSet, number: u32) -> Result<Vec<f32>, String> {
    let hashes = hashes(images);
    let known: Vec<&[f32]> = hashes.iter().filter_map(|hash| log.row(&(*hash, number))).collect();
    if known.len() < hashes.len() {
        return Err(format!("{} of {} answers are missing", hashes.len() - known.len(), hashes.len()));
    }
    Ok(known.concat())
}

impl Store {
    /// The answers of a victim so far.
    ///
    /// # Errors
    /// [`StoreError`] if there are none, or they cannot be read.
    pub fn answers(&self, whose: &Whose) -> Result<AnswerLog, StoreError> {
        AnswerLog::read(&self.root().join(whose.folder()), whose)
    }
}
