//! What was run, and on what, in words.

use super::words;
use crate::lab::experiment::AxisKind;
use crate::lab::{Findings, Machine, Outcome};
use crate::report::number::{count, fixed};
use crate::training::Recipe;

/// What the runs of `findings` were made on, each machine once.
pub(super) fn machines_of(findings: &Findings) -> Vec<String> {
    let describe = |m: &Machine| {
        format!("nasty {} on {}, {}, device {}", m.version, m.system, count(m.threads, "thread"), m.device)
    };
    let machines = findings.outcomes.values().filter_map(Outcome::machine);
    let mut machines: Vec<String> = machines.map(|(m, _)| describe(m)).collect();
    machines.sort();
    machines.dedup();
    machines
}

/// Names and values of what was run: data, recipes, seeds, runs.
pub(super) fn facts(findings: &Findings) -> Vec<(String, String)> {
    let settings = &findings.record.settings;
    let seconds: f64 = findings.outcomes.values().filter_map(Outcome::machine).map(|(_, s)| s).sum();
    let done = findings.outcomes.values().filter(|o| !matches!(o, Outcome::Missing)).count();
    let time = match seconds {
        s if s < 600.0 => format!("{} s", fixed(s, 0, false)),
        s if s < 36_000.0 => format!("{} min", fixed(s / 60.0, 0, false)),
        s => format!("{} h", fixed(s / 3600.0, 1, false)),
    };
    let mut facts: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| facts.push((name.to_owned(), value));
    for data in &settings.data {
        let digest = findings.record.data.get(&data.to_string()).map(|f| format!(", digest {}", f.digest));
        add("data", format!("{data}{}", digest.unwrap_or_default()));
    }
    let recipes: Vec<&Recipe> = findings.recipes.values().collect();
    let each = |text: fn(&Recipe) -> String| {
        let mut values: Vec<String> = recipes.iter().map(|recipe| text(recipe)).collect();
        values.sort();
        values.dedup();
        words::list(&values)
    };
    if !recipes.is_empty() {
        add("epochs", each(|r| r.epochs.to_string()));
        add("batch", each(|r| r.batch.to_string()));
        add("learning rate", each(|r| r.learning_rate.to_string()));
        add("schedule", each(|r| kind(&r.schedule)));
        add("optimiser", each(|r| kind(&r.optimiser)));
        add("precision", each(|r| kind(&r.precision)));
        add("epoch kept", each(|r| kind(&r.keep)));
    }
    for axis in [AxisKind::Omega, AxisKind::TeacherTemperature, AxisKind::Temperature, AxisKind::Alpha] {
        let mut values: Vec<String> = Vec::new();
        for value in findings.record.entries.iter().filter_map(|entry| entry.place.get(axis)) {
            if !values.contains(&value.text()) {
                values.push(value.text());
            }
        }
        if !values.is_empty() {
            add(axis.spec().heading, words::list(&values));
        }
    }
    add("seeds", words::list(&settings.seeds.iter().map(ToString::to_string).collect::<Vec<_>>()));
    add("runs", format!("{done} of {} done, {time} of work", findings.outcomes.len()));
    facts
}

/// The name of a closed set's member, as files spell it.
fn kind(value: &impl serde::Serialize) -> String {
    match serde_json::to_value(value).expect("plain data") {
        serde_json::Value::String(word) => word,
        other => other.get("kind").and_then(|k| k.as_str()).unwrap_or_default().to_owned(),
    }
}
