//! Threads that work on one request together, step by step.
//!
//! A step of a small network takes some microseconds, less than a sleeping thread needs to wake up. So the helpers of a
//! request stay awake until its end: they wait for the next step in a loop. The caller never waits for a helper that has
//! not begun: what no helper claims, the caller does itself. So a busy thread pool makes a request slower, never stuck.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

/// How often a thread looks for work before it lets others run.
const LOOKS: u32 = 1 << 10;
/// In place of a step's number: there are no more steps.
const END: u64 = u32::MAX as u64;

/// A value with cache lines of its own: threads that look at one do not wait for those that write the other.
#[repr(align(128))]
struct Apart<T>(T);

/// What the threads of a request share.
struct Team<'a> {
    /// Number of parts of every step.
    parts: &'a [usize],
    run: &'a (dyn Fn(usize, usize) + Sync),
    /// The current step in the upper half, its next unclaimed part in the lower one.
    claims: Apart<AtomicU64>,
    /// Parts finished so far, in all steps.
    finished: Apart<AtomicUsize>,
    panicked: AtomicBool,
}

/// Runs `run(step, part)` for all parts of all steps, a step after the other, on up to `threads` threads of the current pool.
///
/// # Panics
/// If a part panics.
pub(super) fn run(threads: usize, parts: &[usize], run: &(dyn Fn(usize, usize) + Sync)) {
    let most = parts.iter().copied().max().unwrap_or(0);
    if threads.min(most) <= 1 {
        for (step, parts) in parts.iter().enumerate() {
            (0..*parts).for_each(|part| run(step, part));
        }
        return;
    }
    let team = Team {
        parts,
        run,
        claims: Apart(AtomicU64::new(0)),
        finished: Apart(AtomicUsize::new(0)),
        panicked: AtomicBool::new(false),
    };
    rayon::in_place_scope(|scope| {
        let team = &team;
        for _ in 1..threads {
            scope.spawn(|_| team.help());
        }
        let _end = End(team);
        team.lead();
    });
    assert!(!team.panicked.load(Ordering::Acquire), "a helper of a request panicked");
}

/// Dismisses the helpers, also if the caller panics.
struct End<'a>(&'a Team<'a>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.claims.0.store(END << 32, Ordering::Release);
    }
}

/// Counts a part as finished, also if it panics: the caller must not wait for it for ever.
struct Finished<'a>(&'a Team<'a>);

impl Drop for Finished<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.panicked.store(true, Ordering::Release);
        }
        self.0.finished.0.fetch_add(1, Ordering::Release);
    }
}

impl Team<'_> {
    fn lead(&self) {
        let mut all = 0;
        for (step, parts) in self.parts.iter().enumerate() {
            self.claims.0.store((step as u64) << 32, Ordering::Release);
            while self.work(self.claims.0.load(Ordering::Acquire)) {}
            all += parts;
            let mut looks = 0;
            while self.finished.0.load(Ordering::Acquire) < all {
                wait(&mut looks);
            }
            if self.panicked.load(Ordering::Acquire) {
                return;
            }
        }
    }

    fn help(&self) {
        let mut looks = 0;
        loop {
            let claims = self.claims.0.load(Ordering::Acquire);
            if claims >> 32 == END {
                return;
            }
            if self.work(claims) {
                looks = 0;
            } else {
                wait(&mut looks);
            }
        }
    }

    /// Claims a part and does it; false if the step has none left.
    fn work(&self, claims: u64) -> bool {
        let (step, part) = ((claims >> 32) as usize, (claims & u64::from(u32::MAX)) as usize);
        if part >= self.parts[step] {
            return false;
        }
        // The step's inputs were written before the caller announced it: what is read here happened after that.
        if self.claims.0.compare_exchange(claims, claims + 1, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let _finished = Finished(self);
            (self.run)(step, part);
        }
        true
    }
}

fn wait(looks: &mut u32) {
    *looks += 1;
    if *looks < LOOKS { std::hint::spin_loop() } else { std::thread::yield_now() }
}

/// Part `part` of `parts` of `0..extent`; their sizes differ by at most one.
pub(super) fn share(extent: usize, parts: usize, part: usize) -> Range<usize> {
    part * extent / parts..(part + 1) * extent / parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread pool")
    }

    #[test]
    fn every_part_is_done_once_and_no_step_begins_before_the_last_has_ended() {
        let parts: Vec<usize> = (0..200).map(|i| [1, 7, 2, 3][i % 4]).collect();
        for threads in [1, 2, 3] {
            let done = Mutex::new(Vec::new());
            pool(threads).install(|| {
                run(threads, &parts, &|step, part| done.lock().expect("no panic").push((step, part)));
            });
            let done = done.into_inner().expect("no panic");
            assert!(done.is_sorted_by_key(|(step, _)| *step));
            let mut sorted = done;
            sorted.sort();
            let expected: Vec<_> =
                parts.iter().enumerate().flat_map(|(s, n)| (0..*n).map(move |p| (s, p))).collect();
            assert_eq!(sorted, expected);
        }
    }

    #[test]
    fn more_requests_than_threads_all_end() {
        let count = AtomicUsize::new(0);
        pool(2).scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|_| {
                    run(2, &[4; 50], &|_, _| {
                        count.fetch_add(1, Ordering::Relaxed);
                    });
                });
            }
        });
        assert_eq!(count.into_inner(), 8 * 50 * 4);
    }

    #[test]
    fn a_panic_in_any_part_reaches_the_caller() {
        for bad in 0..4 {
            let result = std::panic::catch_unwind(|| {
                pool(2).install(|| run(2, &[4, 4, 4], &|step, part| assert!((step, part) != (1, bad))));
            });
            assert!(result.is_err(), "part {bad}");
        }
    }

    #[test]
    fn shares_cover_the_extent() {
        for (extent, parts) in [(10, 3), (3, 5), (0, 2), (64, 4)] {
            let all: Vec<usize> = (0..parts).flat_map(|part| share(extent, parts, part)).collect();
            assert_eq!(all, (0..extent).collect::<Vec<_>>());
        }
    }
}
