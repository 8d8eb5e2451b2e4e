//! Images a minute: a bucket that fills steadily, up to one minute's images.

use std::time::{Duration, Instant};

/// What is left of a rate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    left: f64,
    since: Instant,
}

const MINUTE: f64 = 60.0;

impl Bucket {
    /// A full bucket of `rate` images a minute.
    pub(crate) fn full(rate: u64, now: Instant) -> Self {
        Self { left: rate as f64, since: now }
    }

    /// Images that may be asked for at once.
    pub(crate) fn left(&mut self, rate: u64, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.since).as_secs_f64();
        self.left = (self.left + passed * rate as f64 / MINUTE).min(rate as f64);
        self.since = now.max(self.since);
        self.left as u64
    }

    /// Takes `images` out, or says how long to wait until they are there.
    pub(crate) fn take(&mut self, images: u64, rate: u64, now: Instant) -> Result<(), Duration> {
        if self.left(rate, now) >= images {
            self.left -= images as f64;
            return Ok(());
        }
        Err(Duration::from_secs_f64((images as f64 - self.left) * MINUTE / rate as f64))
    }

    /// Puts back what was taken and not used.
    pub(crate) fn put_back(&mut self, images: u64) {
        self.left += images as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_never_gives_more_than_its_rate_and_what_was_full() {
        let begin = Instant::now();
        let at = |seconds: f64| begin + Duration::from_secs_f64(seconds);
        let mut bucket = Bucket::full(60, begin);
        assert_eq!(bucket.take(61, 60, begin), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(60, 60, begin), Ok(()));
        assert_eq!(bucket.take(1, 60, begin), Err(Duration::from_secs(1)));
        assert_eq!(bucket.take(10, 60, at(10.0)), Ok(()));
        assert_eq!(bucket.left(60, at(10.5)), 0);
        bucket.put_back(3);
        assert_eq!(bucket.left(60, at(10.5)), 3);
        assert_eq!(bucket.left(60, at(1e6)), 60, "it does not overflow");
        let mut asked = 0;
        let mut bucket = Bucket::full(60, begin);
        for tenth in 0..600 {
            while bucket.take(7, 60, at(f64::from(tenth) / 10.0)).is_ok() {
                asked += 7;
            }
        }
        assert!((113..=120).contains(&asked), "{asked}");
    }
}
