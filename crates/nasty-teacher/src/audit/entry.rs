//! An entry of a public list of audits, after RobustBench's model files (Croce et al., 2021): what is claimed, what the battery
//! found, and what others found who went further.

use super::{AuditError, Report, Verdict};
use crate::metrics::Interval;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Bytes of the largest entry that is read.
const MOST_BYTES: u64 = 1 << 20;

/// A victim's entry. Accuracies are from 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// What the victim is called.
    pub victim: String,
    /// What decides its answers, by digest.
    pub identity: String,
    /// Its defences; empty for none.
    pub defences: String,
    /// What it reveals.
    pub interface: String,
    /// The data set.
    pub data: String,
    /// Accuracy of the best clone that the authors of the victim or its defence report.
    pub reported: Option<f64>,
    /// What a battery found.
    pub battery: BatteryResult,
    /// Better clones by others.
    #[serde(default)]
    pub external: Vec<External>,
    /// Whether the battery's verdict cannot be relied upon.
    pub unreliable: bool,
    /// Why, or what else to know.
    pub footnote: Option<String>,
}

/// What a battery found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatteryResult {
    /// Name and version, such as `standard-1`.
    pub battery: String,
    /// Accuracy of the victim through its interface.
    pub victim: f64,
    /// Accuracy of the worst-case clone.
    pub clone: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// The best thief.
    pub thief: String,
    /// Queries that it was charged.
    pub queries: u64,
    /// Seeds.
    pub seeds: usize,
    /// Accuracy of the best clone from predicted classes.
    pub hard: Option<f64>,
    /// Share of what was at stake that the defences took.
    pub protection: Option<f64>,
}

/// A clone that somebody else trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct External {
    /// The thief.
    pub thief: String,
    /// Accuracy of its clone.
    pub clone: f64,
    /// Queries that it used, if known.
    pub queries: Option<u64>,
    /// Where it is described.
    pub source: String,
}

impl Entry {
    /// The entry of an audit; none if nothing was measured. What people wrote into `earlier` (reported, external, footnote) is
    /// kept.
    pub fn of(report: &Report, verdict: &Verdict, earlier: Option<Self>) -> Option<Self> {
        let worst = verdict.worst_case.as_ref()?;
        let (reported, external, footnote) =
            earlier.map_or((None, Vec::new(), None), |e| (e.reported, e.external, e.footnote));
        Some(Self {
            victim: report.victim.name.clone(),
            identity: report.victim.identity.clone(),
            defences: report.victim.defences.clone(),
            interface: report.victim.interface.to_string(),
            data: report.protocol.data.clone(),
            reported,
            battery: BatteryResult {
                battery: report.battery.to_string(),
                victim: verdict.victim,
                clone: worst.accuracy.mean,
                interval: worst.accuracy.interval,
                thief: worst.thief.clone(),
                queries: worst.queries,
                seeds: worst.accuracy.seeds,
                hard: verdict.hard.as_ref().map(|hard| hard.accuracy.mean),
                protection: verdict.protection.as_ref().and_then(|p| p.score),
            },
            external,
            unreliable: !verdict.reliable,
            footnote,
        })
    }

    /// Reads an entry; none if there is no file.
    ///
    /// # Errors
    /// [`AuditError`] if the file cannot be read or is no entry.
    pub fn read(path: &Path) -> Result<Option<Self>, AuditError> {
        let io = |source| AuditError::Io { path: path.to_owned(), source };
        let format = |problem: String| AuditError::Format { path: path.to_owned(), problem };
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io(error)),
            Ok(facts) if facts.len() > MOST_BYTES => {
                return Err(format(format!("{} bytes, expected at most {MOST_BYTES}", facts.len())));
            }
            Ok(_) => {}
        }
        let text = std::fs::read_to_string(path).map_err(io)?;
        let mut reader = serde_json::Deserializer::from_str(&text);
        let entry: Self = serde_path_to_error::deserialize(&mut reader)
            .map_err(|e| format(format!("`{}`: {}", e.path(), e.inner())))?;
        Ok(Some(entry))
    }

    /// The entry as JSON.
    pub fn to_json(&self) -> String {
        serde_json::to_string_pretty(self).expect("an entry is plain data") + "\n"
    }

    /// Accuracy of the best clone that is known: of the battery, or of somebody else.
    pub fn best_known(&self) -> f64 {
        self.external.iter().map(|external| external.clone).fold(self.battery.clone, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{defended, empty};
    use super::super::verdict;
    use super::*;

    #[test]
    fn what_people_wrote_survives_a_new_audit() {
        let report = defended();
        let mut entry = Entry::of(&report, &verdict(&report), None).expect("measured");
        assert!((entry.best_known() - 0.83).abs() < 1e-9);
        entry.external.push(External {
            thief: "sequence of students".into(),
            clone: 0.855,
            queries: None,
            source: "https://example.org".into(),
        });
        entry.footnote = Some("measured on a phone".into());
        let folder = tempfile::tempdir().expect("temp");
        let path = folder.path().join("victim.json");
        assert_eq!(Entry::read(&path).expect("no file is none"), None);
        std::fs::write(&path, entry.to_json()).expect("written");
        let read = Entry::read(&path).expect("an entry");
        assert_eq!(read.as_ref(), Some(&entry));
        let mut short = report;
        short.rows.retain(|row| row.seed == 0);
        let again = Entry::of(&short, &verdict(&short), read).expect("measured");
        assert_eq!((again.best_known(), again.unreliable, again.battery.seeds), (0.855, true, 1));
        assert_eq!(again.footnote, entry.footnote);

        assert_eq!(Entry::of(&empty(), &verdict(&empty()), None), None);
        std::fs::write(&path, entry.to_json().replace("\"clone\"", "\"klon\"")).expect("written");
        let error = Entry::read(&path).expect_err("no entry").to_string();
        assert!(error.contains("klon"), "{error}");
    }
}
