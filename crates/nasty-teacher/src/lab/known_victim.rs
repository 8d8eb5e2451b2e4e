//! Foreign victims that recipes name: the store keeps how each is asked, and its file, so that the store stands alone.
//!
//! A folder `victim-<identity>` has a `victim.json`, and for a file a copy of it. The identity covers the file and how it is
//! asked, so a recipe's hash covers what a student was taught by.

use super::ask_options::AskOptions;
use super::error::JobError;
use super::open_victim::{open_victim, open_victim_once};
use super::plain_victim::{Opened, is_address, is_onnx};
use super::store_error::{StoreError, io_error};
use super::workplace::Workplace;
use crate::files::write_whole;
use crate::training::NetworkRef;
use crate::victim::onnx::whole_file;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;

const FORMAT: u32 = 1;
const FILE: &str = "victim.json";
const MODEL: &str = "model.onnx";
const EXPECTED: &str = "how a victim is asked";

/// `victim.json`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    format: u32,
    /// What was typed; of a file, the name of its copy.
    victim: String,
    how: AskOptions,
}

impl Workplace {
    /// How recipes name the teacher `reference`, asked as `how` says: as [`Store::resolve`](super::Store::resolve), or a foreign
    /// victim, which is opened for that. Gives what a person should know with it.
    ///
    /// # Errors
    /// [`JobError`] if there is none, or it cannot be opened.
    pub fn teacher(&self, reference: &str, how: &AskOptions) -> Result<(NetworkRef, Vec<String>), JobError> {
        if !is_onnx(reference) && !is_address(reference) {
            if *how != AskOptions::default() {
                // What is wrong with that is found there.
                open_victim(reference, how, self)?;
            }
            return Ok((self.store.resolve(reference)?, Vec::new()));
        }
        let opened = open_victim(reference, how, self)?;
        let name = NetworkRef(format!("{}{}", NetworkRef::VICTIM, opened.victim.identity()));
        if self.store.is_writable() {
            self.keep(&name, reference, how)?;
        }
        Ok((name, opened.notes))
    }

    fn keep(&self, name: &NetworkRef, reference: &str, how: &AskOptions) -> Result<(), JobError> {
        let folder = self.store.network(name);
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let mut victim = reference.to_owned();
        if is_onnx(reference) {
            MODEL.clone_into(&mut victim);
            let path = folder.join(MODEL);
            let bytes = whole_file(Path::new(reference))?;
            write_whole(&path, &bytes).map_err(io_error(&path))?;
        }
        let kept = Kept { format: FORMAT, victim, how: how.clone() };
        let path = folder.join(FILE);
        let text = serde_json::to_string_pretty(&kept).expect("plain data has a JSON form") + "\n";
        Ok(write_whole(&path, text.as_bytes()).map_err(io_error(&path))?)
    }

    /// The foreign victim that recipes call `name`; a server's answers are kept. `stop` ends the wait for another process.
    ///
    /// # Errors
    /// [`JobError`] if it is not in the store, cannot be opened, or is another one by now.
    pub(super) fn known_victim(
        &self,
        name: &NetworkRef,
        stop: &dyn Fn() -> bool,
    ) -> Result<Opened, JobError> {
        let folder = self.store.network(name);
        let path = folder.join(FILE);
        let damaged = |found: String| StoreError::Damaged { path: path.clone(), expected: EXPECTED, found };
        let bytes = fs::read(&path).map_err(io_error(&path))?;
        let kept: Kept = serde_json::from_slice(&bytes).map_err(|e| damaged(e.to_string()))?;
        if kept.format != FORMAT {
            return Err(damaged(format!("format {}, known is {FORMAT}", kept.format)).into());
        }
        let copy = folder.join(MODEL).to_string_lossy().into_owned();
        let victim = if kept.victim == MODEL { &copy } else { &kept.victim };
        let opened = open_victim_once(victim, &kept.how, self, stop)?;
        let found = opened.victim.identity();
        if name.0.strip_prefix(NetworkRef::VICTIM) != Some(found) {
            let of_file = "; that covers what computes its file: --onnx-runtime must be as when it was kept";
            let more = if kept.victim == MODEL { of_file } else { "" };
            return Err(damaged(format!("the victim {found}{more}")).into());
        }
        Ok(opened)
    }
}
