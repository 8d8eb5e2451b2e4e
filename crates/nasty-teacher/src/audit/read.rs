//! Reads and checks `report.json`.

use super::AuditError;
use super::report::{
    Against, Measured, Outcome, REPORT_FILE, Report, Row, SCHEMA, Signal, UNDEFENDED, VICTIM,
};
use std::path::Path;

/// Bytes of the largest report that is read: 1 GiB. A row with its bits for 50,000 images has 13 kB.
const MOST_BYTES: u64 = 1 << 30;

impl Report {
    /// Reads a report: the file, or `report.json` in the folder.
    ///
    /// # Errors
    /// [`AuditError`] if there is none, or it is of another version, or its numbers contradict each other.
    pub fn read(path: &Path) -> Result<Self, AuditError> {
        let file = if path.is_dir() { path.join(REPORT_FILE) } else { path.to_owned() };
        let io = |source| AuditError::Io { path: file.clone(), source };
        let format = |problem: String| AuditError::Format { path: file.clone(), problem };
        let size = std::fs::metadata(&file).map_err(io)?.len();
        if size > MOST_BYTES {
            return Err(format(format!("{size} bytes, expected at most {MOST_BYTES}")));
        }
        let text = std::fs::read_to_string(&file).map_err(io)?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|e| format(e.to_string()))?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(found) if found == u64::from(SCHEMA) => {}
            Some(found) => return Err(AuditError::Schema { path: file, found, expected: SCHEMA }),
            None => return Err(format("it has no number `schema`".into())),
        }
        let report: Self = serde_path_to_error::deserialize(value)
            .map_err(|e| format(format!("`{}`: {}", e.path(), e.inner())))?;
        match report.problem() {
            Some(problem) => Err(format(problem)),
            None => Ok(report),
        }
    }

    /// What contradicts itself in the report; none if nothing does.
    pub fn problem(&self) -> Option<String> {
        let images = self.protocol.test_images;
        let victim = [
            ("victim.accuracy", Some(self.victim.accuracy)),
            ("victim.claimed", self.victim.claimed),
            ("victim.undefended.accuracy", self.victim.undefended.as_ref().map(|u| u.accuracy)),
            ("probes.chance", Some(self.probes.chance)),
        ];
        let outside = victim.iter().find_map(|(name, value)| share(name, (*value)?));
        let bits = self.right.iter().find(|(_, bits)| bits.as_slice().len() != images);
        let bits = bits.map(|(run, bits)| {
            format!("`right.{run}` is about {} images, expected {images}", bits.as_slice().len())
        });
        let rows = || {
            let named = |(i, row): (usize, &Row)| Some(format!("row {i}, `{}`: {}", row.thief, wrong(row)?));
            self.rows.iter().enumerate().find_map(named)
        };
        let failed = (self.probes.failed > self.probes.queries)
            .then(|| format!("{} of {} queries failed", self.probes.failed, self.probes.queries));
        outside.or(bits).or_else(rows).or(failed).or_else(|| self.disagreeing())
    }

    /// An accuracy that the bits contradict.
    fn disagreeing(&self) -> Option<String> {
        let undefended = self.victim.undefended.as_ref().map(|u| (UNDEFENDED, u.accuracy));
        let rows = self.rows.iter().filter_map(|row| Some((row.run.as_str(), row.measured()?.accuracy)));
        let mut all = std::iter::once((VICTIM, self.victim.accuracy)).chain(undefended).chain(rows);
        all.find_map(|(run, accuracy)| {
            let bits = self.right.get(run)?;
            let share = bits.count() as f64 / bits.as_slice().len().max(1) as f64;
            // Accuracies may have gone through f32.
            ((share - accuracy).abs() > 1e-6).then(|| {
                format!("`{run}` has an accuracy of {accuracy}, but {share} of its images are right")
            })
        })
    }
}

fn share(name: &str, value: f64) -> Option<String> {
    let fine = (0.0..=1.0).contains(&value);
    (!fine).then(|| format!("`{name}` is {value}, expected 0 to 1"))
}

fn wrong(row: &Row) -> Option<String> {
    if (row.against == Against::Nobody) != (row.signal == Signal::Nothing) {
        return Some("a thief that asks nobody uses nothing, and one that asks uses something".into());
    }
    let numbers = |m: &Measured| {
        let validation = m.validation.map(|v| v.score);
        [
            ("accuracy", Some(m.accuracy)),
            ("agreement_clean", m.agreement_clean),
            ("agreement_served", m.agreement_served),
            ("validation.score", validation),
        ]
        .iter()
        .find_map(|(name, value)| share(name, (*value)?))
    };
    match &row.outcome {
        Outcome::Ok(measured) => numbers(measured),
        Outcome::NoEvidence { .. } | Outcome::Skipped { .. } => None,
    }
    .or_else(|| share("share", row.share))
}
