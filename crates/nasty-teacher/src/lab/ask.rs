//! Asking a victim about images, and keeping its answers.

use super::answer_log::{AnswerLog, Question, Whose};
use super::error::JobError;
use super::store::Store;
use super::store_error::StoreError;
use crate::data::ImageSet;
use crate::victim::{Request, Victim, VictimError, content_hash};
use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

/// Images a request: what a killed process asks again.
const CHUNK: usize = 64;
/// Further tries of a request that may have been answered.
const AGAIN: u64 = 2;

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

    /// The answers so far that only the run `run` is for; none if it has not asked.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub fn answers_for(&self, run: &str, whose: &Whose) -> Result<Option<AnswerLog>, StoreError> {
        let folder = self.root().join(whose.folder_for(run));
        if folder.exists() { AnswerLog::read(&folder, whose).map(Some) } else { Ok(None) }
    }
}
