//! Counters in Prometheus' text format (exposition format 0.0.4).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Upper ends of the buckets of request durations, in seconds.
const SECONDS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.25, 1.0, 2.5, 10.0];

/// What a server has done since it was started.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    /// Inference requests by their status.
    requests: Mutex<BTreeMap<u16, u64>>,
    images: AtomicU64,
    batches: AtomicU64,
    batch_images: AtomicU64,
    /// Answered requests by their duration; the last one is for longer ones.
    durations: [AtomicU64; SECONDS.len() + 1],
    microseconds: AtomicU64,
}

/// What is measured when it is asked for.
pub(crate) struct Gauges {
    pub(crate) ready: bool,
    pub(crate) waiting_images: usize,
    pub(crate) held_bytes: usize,
    pub(crate) connections: usize,
}

impl Counters {
    /// An inference request ended with `status` after `duration`; `images` were answered.
    pub(crate) fn request(&self, status: u16, images: usize, duration: Duration) {
        *self.requests.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
        self.images.fetch_add(images as u64, Ordering::Relaxed);
        if status == 200 {
            let seconds = duration.as_secs_f64();
            let bucket = SECONDS.iter().position(|end| seconds <= *end).unwrap_or(SECONDS.len());
            self.durations[bucket].fetch_add(1, Ordering::Relaxed);
            self.microseconds.fetch_add(duration.as_micros() as u64, Ordering::Relaxed);
        }
    }

    /// The model is asked `images` at once.
    pub(crate) fn batch(&self, images: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.batch_images.fetch_add(images as u64, Ordering::Relaxed);
    }

    /// All counters and `gauges` as text, with the model's name as label.
    pub(crate) fn text(&self, model: &str, gauges: &Gauges) -> String {
        let model = model.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let mut text = String::new();
        let mut metric = |name: &str, kind: &str, about: &str, rows: &[(String, String)]| {
            let _ = write!(text, "# HELP nasty_{name} {about}\n# TYPE nasty_{name} {kind}\n");
            for (suffix, value) in rows {
                let (suffix, labels) = suffix.split_once('{').unwrap_or((suffix, ""));
                let comma = if labels.is_empty() { "" } else { "," };
                let _ = writeln!(text, "nasty_{name}{suffix}{{model=\"{model}\"{comma}{labels}}} {value}");
            }
        };
        let one = |value: String| vec![(String::new(), value)];
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let requests: Vec<_> =
            self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone().into_iter().collect();
        let by_status: Vec<_> =
            requests.iter().map(|(status, n)| (format!("{{code=\"{status}\""), n.to_string())).collect();
        metric("requests_total", "counter", "Inference requests by the status of the answer.", &by_status);
        metric("images_total", "counter", "Images answered.", &one(load(&self.images).to_string()));
        metric(
            "batches_total",
            "counter",
            "Batches that the model was asked.",
            &one(load(&self.batches).to_string()),
        );
        let batch_images = one(load(&self.batch_images).to_string());
        metric("batch_images_total", "counter", "Images of these batches.", &batch_images);
        let mut sum = 0;
        let mut rows = Vec::new();
        for (i, count) in self.durations.iter().enumerate() {
            sum += load(count);
            let end = SECONDS.get(i).map_or("+Inf".to_owned(), f64::to_string);
            rows.push((format!("_bucket{{le=\"{end}\""), sum.to_string()));
        }
        rows.push(("_sum".into(), (load(&self.microseconds) as f64 / 1e6).to_string()));
        rows.push(("_count".into(), sum.to_string()));
        metric(
            "request_seconds",
            "histogram",
            "From a request's headers to its answer, where there was one.",
            &rows,
        );
        let Gauges { ready, waiting_images, held_bytes, connections } = gauges;
        metric("ready", "gauge", "Whether the server takes requests.", &one(u8::from(*ready).to_string()));
        metric(
            "waiting_images",
            "gauge",
            "Images that wait for the model.",
            &one(waiting_images.to_string()),
        );
        metric("held_bytes", "gauge", "Bytes held for requests.", &one(held_bytes.to_string()));
        metric("connections", "gauge", "Open connections.", &one(connections.to_string()));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_text() {
        let counters = Counters::default();
        counters.batch(5);
        counters.request(200, 5, Duration::from_millis(2));
        counters.request(200, 1, Duration::from_secs(60));
        counters.request(400, 0, Duration::from_secs(60));
        let gauges = Gauges { ready: true, waiting_images: 3, held_bytes: 7, connections: 2 };
        let text = counters.text("a \"b\"", &gauges);
        for line in [
            "nasty_requests_total{model=\"a \\\"b\\\"\",code=\"200\"} 2",
            "nasty_requests_total{model=\"a \\\"b\\\"\",code=\"400\"} 1",
            "nasty_images_total{model=\"a \\\"b\\\"\"} 6",
            "nasty_request_seconds_bucket{model=\"a \\\"b\\\"\",le=\"0.001\"} 0",
            "nasty_request_seconds_bucket{model=\"a \\\"b\\\"\",le=\"0.0025\"} 1",
            "nasty_request_seconds_bucket{model=\"a \\\"b\\\"\",le=\"+Inf\"} 2",
            "nasty_request_seconds_sum{model=\"a \\\"b\\\"\"} 60.002",
            "nasty_ready{model=\"a \\\"b\\\"\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "without {line}:\n{text}");
        }
        let plain = |line: &str| line.starts_with("# ") || line.starts_with("nasty_") && line.contains("} ");
        assert!(text.lines().all(plain) && text.ends_with('\n'), "{text}");
    }
}
