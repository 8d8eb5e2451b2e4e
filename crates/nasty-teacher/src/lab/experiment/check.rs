//! What cannot be run of an experiment, before any data set is read.

use super::settings::{EXPERIMENT_FORMAT, Other, Reference, Settings, side};
use crate::nets::Architecture;

impl Settings {
    /// What cannot be run about these settings, with what to change; none if they are fine.
    pub fn problem(&self) -> Option<String> {
        let student = self.student.as_ref();
        let shares = student.map_or(&[][..], |s| &s.share[..]);
        let unknown = |r: &&Reference| {
            let parses = |name: &str| {
                name.parse::<Architecture>().is_ok() || self.stands_for.values().any(|v| v == name)
            };
            !parses(&r.teacher) || r.student.as_deref().is_some_and(|s| !parses(s))
        };
        if side(&self.recipe).is_some() && self.side().is_none() {
            return Some("recipe.data.side must be a number of pixels such as 224, one such as \"256/224\", or \"none\"".into());
        }
        if self.format != EXPERIMENT_FORMAT {
            return Some(format!("format is {}, this program reads {EXPERIMENT_FORMAT}", self.format));
        }
        if let Some(share) = shares.iter().find(|&&s| !(s > 0.0 && s <= 1.0)) {
            return Some(format!("student.share is {share}, expected above 0 and at most 1"));
        }
        if let Some(smoothing) = student.map(|s| s.label_smoothing).filter(|s| !(0.0..1.0).contains(s)) {
            return Some(format!("student.label_smoothing is {smoothing}, expected from 0 to below 1"));
        }
        if student.is_some_and(|s| s.architecture.contains(&Other::None)) {
            return Some("a student's architecture is `none`; only teacher.adversary can be".into());
        }
        let again = |(nth, seed): (usize, &u64)| self.seeds[..nth].contains(seed).then_some(*seed);
        if let Some(seed) = self.seeds.iter().enumerate().find_map(again) {
            return Some(format!("seeds names {seed} twice; a seed counts once, so name each once"));
        }
        let of_some = [&self.teacher.recipe, &self.teacher.nasty_recipe];
        if of_some.into_iter().chain(student.map(|s| &s.recipe)).any(|changes| side(changes).is_some()) {
            return Some("data.side is set for some networks only, but all networks of an experiment see images of the same size: set recipe.data.side".into());
        }
        if let Some(problem) = self.parts.iter().find_map(|(part, table)| part.problem(table)) {
            return Some(problem);
        }
        let row = self.reference.iter().find(unknown)?;
        Some(format!(
            "a [[reference]] names {} and {:?}: no architecture is called so",
            row.teacher, row.student
        ))
    }
}
