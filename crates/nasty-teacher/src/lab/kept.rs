//! A victim whose answers are kept in the store: no image is paid for twice, and what was spent is known after any end.

use super::answer_log::{AnswerLog, Question, Whose};
use super::ask::{ask_and_keep, whose};
use super::claim::Claim;
use super::error::JobError;
use super::store::Store;
use super::store_error::StoreError;
use crate::victim::{Answers, Front, Request, Victim, VictimError, content_hash};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Images a request: what a killed process asks again.
const CHUNK: usize = 64;

/// A victim that is asked about each image once, by what the image shows.
pub struct Kept {
    front: Front,
    victim: Arc<dyn Victim>,
    log: Mutex<AnswerLog>,
    claim: Claim,
}

impl Kept {
    /// `victim` with its answers kept in `store`. Waits for another process that asks the same victim; `stop` ends the wait.
    ///
    /// # Errors
    /// [`StoreError`] if the answers so far cannot be read, or none can be written.
    pub fn open(victim: Arc<dyn Victim>, store: &Store, stop: &dyn Fn() -> bool) -> Result<Self, StoreError> {
        let whose = whose(&*victim);
        Self::within(&whose.folder(), &whose, victim, store, stop)
    }

    /// As [`Self::open`], but with answers that only the run `run` is for: others neither wait for them nor read them.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_for(
        run: &str,
        victim: Arc<dyn Victim>,
        store: &Store,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, StoreError> {
        let whose = whose(&*victim);
        Self::within(&whose.folder_for(run), &whose, victim, store, stop)
    }

    fn within(
        folder: &str,
        whose: &Whose,
        victim: Arc<dyn Victim>,
        store: &Store,
        stop: &dyn Fn() -> bool,
    ) -> Result<Self, StoreError> {
        let run = store.run(folder);
        let claim = run.claim(stop)?;
        let log = AnswerLog::open(&run.folder, whose)?;
        let inner = victim.front();
        let front = Front::over(inner, victim.identity().to_owned(), inner.scale());
        Ok(Self { front: front.serving_as(inner.interface()), victim, log: Mutex::new(log), claim })
    }

    /// Images that the victim was asked about so far, by this process and by those before it.
    pub fn spent(&self) -> u64 {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).asked()
    }
}

impl Victim for Kept {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let questions: Vec<Question> =
            request.pixels().iter().map(|pixels| (content_hash(pixels), 0)).collect();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = HashSet::new();
        let new = |&at: &usize| !log.knows(&questions[at]) && seen.insert(questions[at]);
        let missing: Vec<usize> = (0..questions.len()).filter(new).collect();
        let keeping =
            |problem: String| VictimError::Keeping { victim: self.front.identity().to_owned(), problem };
        for chunk in missing.chunks(CHUNK) {
            if !self.claim.is_held() {
                return Err(keeping("another process took over".to_owned()));
            }
            let part =
                Request { items: chunk.iter().map(|at| request.items[*at]).collect(), ..request.clone() };
            let asked: Vec<Question> = chunk.iter().map(|at| questions[*at]).collect();
            ask_and_keep(&mut log, &*self.victim, &part, &asked).map_err(|error| match error {
                JobError::Victim(error) => error,
                error => keeping(error.to_string()),
            })?;
        }
        let rows =
            questions.iter().flat_map(|question| log.row(question).expect("asked above").iter().copied());
        Ok(self.front.serve(rows.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::ImageSet;
    use crate::victim::{Interface, Outage, Scale, Scripted};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn no_image_is_asked_about_twice() {
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let asked = Arc::new(AtomicUsize::new(0));
        let open = || {
            let asked = asked.clone();
            let script = move |pixels: &[u8]| {
                asked.fetch_add(1, Ordering::Relaxed);
                let bright = f32::from(pixels[0]) / 255.0;
                vec![1.0 - bright, bright]
            };
            let victim = Scripted::new("v", 2, Scale::Probabilities, script)
                .behind(Interface::Rounded { decimals: 1 });
            Kept::open(Arc::new(victim.expect("from probabilities")), &store, &|| false).expect("writable")
        };
        // 100 images, 10 of which differ.
        let pixels = (0..100u8).map(|i| i % 10 * 20).collect();
        let images = ImageSet::new(1, 1, 1, pixels, vec![0; 100]);
        let first = {
            let kept = open();
            let rows = kept.ask(&Request::unchanged(&images)).expect("any image").rows;
            assert_eq!((kept.spent(), kept.queries()), (10, 100));
            rows
        };
        assert_eq!(first[2..4], [0.9, 0.1], "20 of 255, rounded");
        let kept = open();
        assert_eq!(kept.ask(&Request::unchanged(&images)).expect("known").rows, first);
        assert_eq!((asked.load(Ordering::Relaxed), kept.spent()), (10, 10));
        assert_eq!(kept.front().interface(), Interface::Rounded { decimals: 1 });
    }

    #[test]
    fn a_request_that_may_have_been_answered_is_counted_every_time() {
        struct Flaky(Front, AtomicUsize);
        impl Victim for Flaky {
            fn front(&self) -> &Front {
                &self.0
            }
            fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
                match self.1.fetch_add(1, Ordering::Relaxed) {
                    0 => Err(VictimError::Unavailable {
                        address: "a".into(),
                        problem: "broken".into(),
                        sent: true,
                        outage: Outage::Unreachable,
                    }),
                    1 => Ok(self.0.serve(vec![0.5; 2 * request.items.len()])),
                    _ => Err(VictimError::Unavailable {
                        address: "a".into(),
                        problem: "absent".into(),
                        sent: false,
                        outage: Outage::Unreachable,
                    }),
                }
            }
        }
        let folder = tempfile::tempdir().expect("temp");
        let store = Store::open(folder.path()).expect("writable");
        let victim = Flaky(Front::new("f".into(), 2, Scale::Probabilities), AtomicUsize::new(0));
        let kept = Kept::open(Arc::new(victim), &store, &|| false).expect("writable");
        let image = |level| ImageSet::new(1, 1, 1, vec![level], vec![0]);
        kept.ask(&Request::unchanged(&image(1))).expect("the second time");
        assert_eq!(kept.spent(), 2);
        let error = kept.ask(&Request::unchanged(&image(2))).expect_err("nobody there");
        assert!(matches!(error, VictimError::Unavailable { .. }));
        assert_eq!(kept.spent(), 3, "what is on disk before the request stays");
    }
}
