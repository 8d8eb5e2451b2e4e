//! Who is told how far a download is.

/// Watches a fetch and may stop it.
pub trait Progress {
    /// A download of `total` bytes begins, or an unpacking (`total` 0).
    fn begin(&mut self, what: &str, total: u64);
    /// So many bytes of it are here.
    fn position(&mut self, bytes: u64);
    /// Whether to stop now. What is here already is kept for the next time.
    fn stop(&self) -> bool;
}
