//! How many bytes of requests are held at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::protocol::Refusal;

/// A number of bytes that requests share.
#[derive(Debug)]
pub(crate) struct Memory {
    most: usize,
    held: AtomicUsize,
}

/// The bytes that one request holds; given back when it ends.
pub(crate) struct Held {
    memory: Arc<Memory>,
    bytes: usize,
}

impl Memory {
    /// At most `most` bytes.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: AtomicUsize::new(0) })
    }

    /// A request that holds nothing yet.
    pub(crate) fn request(self: &Arc<Self>) -> Held {
        Held { memory: self.clone(), bytes: 0 }
    }

    /// Bytes held now.
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }
}

impl Held {
    /// Holds `bytes` more.
    ///
    /// # Errors
    /// [`Refusal`] with 503 if all requests together would hold too many.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Refusal> {
        let Memory { most, held } = &*self.memory;
        let add = |now: usize| now.checked_add(bytes).filter(|sum| sum <= most);
        match held.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add) {
            Ok(_) => {
                self.bytes += bytes;
                Ok(())
            }
            Err(_) => Err(Refusal::unavailable("the server holds as many requests as it can", 1)),
        }
    }

    /// Gives back all but `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        self.give_back(self.bytes.saturating_sub(bytes));
    }

    /// Gives `bytes` back, as far as they are held.
    pub(crate) fn give_back(&mut self, bytes: usize) {
        let back = bytes.min(self.bytes);
        self.memory.held.fetch_sub(back, Ordering::Relaxed);
        self.bytes -= back;
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_share_a_number_of_bytes() {
        let memory = Memory::new(100);
        let (mut one, mut two) = (memory.request(), memory.request());
        assert!(one.grow(60).is_ok() && two.grow(40).is_ok());
        let refused = two.grow(1).expect_err("full");
        assert_eq!((refused.status, refused.retry_after), (503, Some(1)));
        one.shrink(10);
        assert!(two.grow(50).is_ok() && two.grow(usize::MAX).is_err());
        assert_eq!(memory.held(), 100);
        drop((one, two));
        assert_eq!(memory.held(), 0);
    }
}
