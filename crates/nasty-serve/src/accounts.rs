//! Who may ask, and how much: keys, their rates and their budgets, counted in images.
//!
//! Images are reserved when a request is understood, and charged before its answer leaves. A reservation that is dropped
//! without a charge is given back. So requests at the same time cannot use a budget twice, and a failure costs nothing of it.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use crate::keys::{Key, Keys, KeysError};
use crate::ledger::{Ledger, LedgerError};
use crate::protocol::Refusal;
use crate::rate::Bucket;

/// All keys and what they have used.
pub(crate) struct Accounts {
    path: PathBuf,
    keys: RwLock<Arc<Keys>>,
    used: Mutex<HashMap<String, Used>>,
    ledger: Ledger,
}

/// What one name has used.
#[derive(Default)]
struct Used {
    /// Images answered, or about to be.
    charged: u64,
    /// Images of requests under way.
    reserved: u64,
    bucket: Option<Bucket>,
}

impl Used {
    fn left_of(&self, budget: u64) -> u64 {
        budget.saturating_sub(self.charged).saturating_sub(self.reserved)
    }
}

/// Images that a request may use. Given back unless charged.
pub(crate) struct Reservation {
    accounts: Arc<Accounts>,
    key: Arc<Key>,
    images: u64,
    computed: bool,
    charged: bool,
}

/// What a key has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Left {
    /// Images of the budget.
    pub(crate) budget: Option<u64>,
    /// Images at once, by the rate.
    pub(crate) rate: Option<u64>,
}

impl Accounts {
    /// The keys of the file `path`, with what the ledger says that they have used.
    pub(crate) fn open(path: &Path, ledger: &Path) -> Result<Self, OpenError> {
        let keys = Keys::read(path)?;
        let (ledger, totals) = Ledger::open(ledger)?;
        let used = |(name, charged)| (name, Used { charged, ..Used::default() });
        Ok(Self {
            path: path.to_owned(),
            keys: RwLock::new(Arc::new(keys)),
            used: Mutex::new(totals.into_iter().map(used).collect()),
            ledger,
        })
    }

    /// Reads the keys again; if they cannot be read, the old ones stay. Gives their number.
    pub(crate) fn reload(&self) -> Result<usize, KeysError> {
        let keys = Keys::read(&self.path)?;
        let count = keys.len();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(count)
    }

    /// The key whose text is `secret`.
    pub(crate) fn find(&self, secret: &str) -> Option<Arc<Key>> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).find(secret).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Used>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reserves `images` for a request of `key`.
    ///
    /// # Errors
    /// [`Refusal`] with 429 if the budget or the rate does not allow it, with 413 if the rate never will.
    pub(crate) fn reserve(
        self: &Arc<Self>,
        key: &Arc<Key>,
        images: u64,
        now: Instant,
    ) -> Result<Reservation, Refusal> {
        let mut all = self.lock();
        let used = all.entry(key.name.clone()).or_default();
        if let Some(budget) = key.budget {
            let left = used.left_of(budget);
            if images > left {
                return Err(Refusal::new(
                    429,
                    format!("{images} images asked for; {left} of this key's budget of {budget} are left"),
                ));
            }
        }
        if let Some(rate) = key.images_per_minute {
            if images > rate {
                return Err(Refusal::too_large(format!(
                    "{images} images in one request; this key may ask for {rate} images a minute"
                )));
            }
            let bucket = used.bucket.get_or_insert_with(|| Bucket::full(rate, now));
            bucket.take(images, rate, now).map_err(|wait| {
                let message = format!("this key may ask for {rate} images a minute");
                Refusal::new(429, message).after(wait.as_secs_f64().ceil().max(1.0) as u64)
            })?;
        }
        used.reserved += images;
        drop(all);
        Ok(Reservation { accounts: self.clone(), key: key.clone(), images, computed: false, charged: false })
    }

    /// What `key` has left.
    pub(crate) fn left(&self, key: &Key, now: Instant) -> Left {
        let mut all = self.lock();
        let used = all.entry(key.name.clone()).or_default();
        Left {
            budget: key.budget.map(|budget| used.left_of(budget)),
            rate: key
                .images_per_minute
                .map(|rate| used.bucket.as_mut().map_or(rate, |bucket| bucket.left(rate, now))),
        }
    }
}

impl Reservation {
    /// The model is asked: from here on the rate is used, whatever becomes of the answer. Else a client who hangs up each time
    /// would keep the model busy for nothing.
    pub(crate) fn computed(&mut self) {
        self.computed = true;
    }

    /// Charges the images, durably.
    ///
    /// # Errors
    /// [`Refusal`] with 503 if that cannot be written. The images are charged all the same: they may have been written.
    pub(crate) async fn charge(mut self) -> Result<(), Refusal> {
        let on_disk = {
            let mut all = self.accounts.lock();
            let used = all.entry(self.key.name.clone()).or_default();
            used.reserved -= self.images;
            used.charged = used.charged.saturating_add(self.images);
            // From here on nothing is given back, also if the client hangs up while this waits.
            self.charged = true;
            self.accounts.ledger.add(&self.key.name, self.images)
        };
        match on_disk.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::unavailable("the query budget cannot be recorded", 60)),
        }
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.charged {
            return;
        }
        if let Some(used) = self.accounts.lock().get_mut(&self.key.name) {
            used.reserved -= self.images;
            if let Some(bucket) = used.bucket.as_mut().filter(|_| !self.computed) {
                bucket.put_back(self.images);
            }
        }
    }
}

/// Keys or a ledger that cannot be used.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum OpenError {
    /// The keys.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Keys(#[from] KeysError),
    /// The ledger.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Ledger(#[from] LedgerError),
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
