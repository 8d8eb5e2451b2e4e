//! Threads for a task.

/// Does `work` on one of `threads` threads of a pool of its own, unless it is on a pool's already: of a training step's
/// many short parallel operations none has to wake that thread up. Not the process's pool, for the next batch is
/// rendered there meanwhile.
pub(super) fn on_a_pool<R: Send>(threads: usize, work: impl FnOnce() -> R + Send) -> R {
    if rayon::current_thread_index().is_some() {
        return work();
    }
    // Stacks as large as the main thread's.
    match rayon::ThreadPoolBuilder::new().num_threads(threads).stack_size(8 << 20).build() {
        Ok(pool) => pool.install(work),
        // Without threads of its own it shares those of the process.
        Err(_) => work(),
    }
}
