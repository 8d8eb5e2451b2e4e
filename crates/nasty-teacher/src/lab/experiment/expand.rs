//! Expands an experiment's settings to its grid: every network and every attack with its place in the tables.

use super::axes::{AxisKind, Place};
use super::cells::{Resolved, Role};
use super::error::{ExperimentError, ResolveError};
use super::file::Experiment;
use super::grid::{Grid, Teachers};
use super::settings::{Other, Source, StudentSettings, TeacherSettings};
use crate::data::{DataError, DataName, Framing};
use crate::lab::data_facts::DataFacts;
use crate::lab::defaults::Kind;
use crate::lab::task::Task;
use crate::nets::Architecture;
use crate::training::{CrossEntropy, Distillation, Objective, SelfUndermining};

/// Says what is known of a data set, its images resized to a side.
pub type AskFacts<'a> = dyn FnMut(&DataName, Option<Framing>) -> Result<DataFacts, DataError> + 'a;

impl Experiment {
    /// The grid, given what `facts` says of each data set with its images resized to a side.
    ///
    /// # Errors
    /// [`ExperimentError`] for a recipe that cannot be, or a data set that cannot be read.
    pub fn resolve(&self, facts: &mut AskFacts<'_>) -> Result<Resolved, ResolveError> {
        let mut grid = Grid::new(&self.name, &self.settings);
        for data in &self.settings.data {
            let facts = facts(data, self.settings.side())?;
            for &seed in &self.settings.seeds {
                grid.teachers(data, &facts, seed)?;
            }
            grid.resolved.data.insert(data.to_string(), facts);
        }
        Ok(grid.resolved)
    }
}

/// What tells the nasty teacher at `place` from the others that `settings` ask for.
fn mark(settings: &TeacherSettings, place: &Place) -> String {
    let several = [
        (settings.omega.len(), AxisKind::Omega, "ω="),
        (settings.temperature.len(), AxisKind::TeacherTemperature, "made at τ="),
        (settings.adversary.len(), AxisKind::Adversary, "against "),
    ];
    let mut mark = String::new();
    for (values, axis, word) in several {
        if let Some(value) = place.get(axis).filter(|_| values > 1) {
            mark += &format!(" {word}{}", value.text());
        }
    }
    mark
}

/// `values`, or once nothing if there are none.
fn axis<T: Copy>(values: &[T]) -> Vec<Option<T>> {
    if values.is_empty() { vec![None] } else { values.iter().copied().map(Some).collect() }
}

impl Grid<'_> {
    fn teachers(&mut self, data: &DataName, facts: &DataFacts, seed: u64) -> Result<(), ExperimentError> {
        let experiment = self.settings;
        let settings: &TeacherSettings = &experiment.teacher;
        for &architecture in &settings.architecture {
            let normal = self.recipe(data, facts, seed, architecture, Kind::Train, &["teacher.recipe"])?;
            let name = format!("normal teacher {architecture}");
            let normal = self.task(name, Task::Train(normal));
            for &adversary in &settings.adversary {
                let against = match adversary {
                    Other::Named(other) if other != architecture => {
                        let recipe =
                            self.recipe(data, facts, seed, other, Kind::Train, &["teacher.recipe"])?;
                        Some((self.task(format!("adversary {other}"), Task::Train(recipe)), true))
                    }
                    Other::Same | Other::Named(_) => Some((normal.clone(), false)),
                    Other::None => None,
                };
                for omega in axis(&settings.omega) {
                    for temperature in axis(&settings.temperature) {
                        let mut place = Place::default()
                            .word(AxisKind::Data, data)
                            .word(AxisKind::Teacher, architecture)
                            .word(AxisKind::Adversary, String::from(adversary));
                        // A normal teacher stands at one place for all nasty ones.
                        let alone = place.clone().without(&[AxisKind::Adversary]);
                        self.entry(Role::NormalTeacher, seed, &alone, &normal);
                        let nasty = match &against {
                            None => normal.clone(),
                            Some((against, _)) => {
                                let kind = Kind::Undermine(against.clone());
                                let tables = ["teacher.recipe", "teacher.nasty_recipe"];
                                let mut recipe =
                                    self.recipe(data, facts, seed, architecture, kind, &tables)?;
                                if let Objective::SelfUndermining(SelfUndermining {
                                    omega: o,
                                    temperature: t,
                                    ..
                                }) = &mut recipe.objective
                                {
                                    *o = omega.unwrap_or(*o);
                                    *t = temperature.unwrap_or(*t);
                                    place = place
                                        .number(AxisKind::Omega, Some(*o))
                                        .number(AxisKind::TeacherTemperature, Some(*t));
                                }
                                let mut name = format!(
                                    "nasty teacher {architecture} ω={} τ={}",
                                    place.text(AxisKind::Omega),
                                    place.text(AxisKind::TeacherTemperature)
                                );
                                if adversary != Other::Same {
                                    name += &format!(" against {}", place.text(AxisKind::Adversary));
                                }
                                self.check(&recipe, "teacher")?;
                                self.task(name, Task::Train(recipe))
                            }
                        };
                        if let (Some((against, true)), true) = (&against, settings.adversary.len() > 1) {
                            let against = against.clone();
                            self.entry(Role::Adversary, seed, &place, &against);
                        }
                        self.entry(Role::NastyTeacher, seed, &place, &nasty);
                        let teachers = Teachers {
                            mark: mark(settings, &place),
                            data,
                            facts,
                            side: experiment.side(),
                            seed,
                            architecture,
                            normal: normal.clone(),
                            nasty,
                            temperature,
                            place,
                        };
                        if let Some(students) = &experiment.student {
                            self.students(students, &teachers)?;
                        }
                        for (part, table) in &experiment.parts {
                            part.expand(table, self, &teachers)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn students(&mut self, settings: &StudentSettings, of: &Teachers) -> Result<(), ExperimentError> {
        for architecture in of.others(&settings.architecture) {
            for temperature in axis(&settings.temperature) {
                for alpha in axis(&settings.alpha) {
                    for share in axis(&settings.share) {
                        for &source in &settings.from {
                            self.student(settings, of, architecture, (temperature, alpha, share), source)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn student(
        &mut self,
        settings: &StudentSettings,
        of: &Teachers,
        architecture: Architecture,
        (temperature, alpha, share): (Option<f64>, Option<f64>, Option<f64>),
        source: Source,
    ) -> Result<(), ExperimentError> {
        let kind = match source {
            Source::Alone | Source::Smoothing => Kind::Train,
            Source::Normal | Source::NormalAsServed => Kind::Distill(of.normal.clone()),
            Source::Nasty | Source::NastyAsServed => Kind::Distill(of.nasty.clone()),
            Source::HardLabels => Kind::HardLabel(of.nasty.clone()),
        };
        let mut recipe = self.recipe(of.data, of.facts, of.seed, architecture, kind, &["student.recipe"])?;
        // The place names τ and α of the grid for those students too that have none, so that rows are whole.
        let place = of
            .place
            .clone()
            .word(AxisKind::Student, architecture)
            .number(AxisKind::Temperature, temperature)
            .number(AxisKind::Alpha, alpha)
            .number(AxisKind::Share, share);
        match &mut recipe.objective {
            Objective::Distillation(Distillation { temperature: t, alpha: a, .. })
                if matches!(source, Source::NormalAsServed | Source::NastyAsServed) =>
            {
                (*t, *a) = (1.0, 1.0);
            }
            Objective::Distillation(Distillation { temperature: t, alpha: a, .. }) => {
                *t = temperature.or(of.temperature).unwrap_or(*t);
                *a = alpha.unwrap_or(*a);
            }
            Objective::CrossEntropy(CrossEntropy { label_smoothing }) if source == Source::Smoothing => {
                *label_smoothing = settings.label_smoothing;
            }
            _ => {}
        }
        if let Some(share) = share {
            let left = of.facts.train.saturating_sub(recipe.data.validation);
            let of_all = recipe.data.subset.unwrap_or(left);
            recipe.data.subset = Some((share * of_all as f64).round() as usize).filter(|&n| n < left);
        }
        self.check(&recipe, "student")?;
        let mut name = match source {
            Source::Alone => format!("{architecture} alone"),
            Source::Normal => format!("{architecture} from normal {}", of.architecture),
            Source::Nasty => format!("{architecture} from nasty {}{}", of.architecture, of.mark),
            Source::NormalAsServed => format!("{architecture} from normal {} τ=1 no labels", of.architecture),
            Source::NastyAsServed => {
                format!("{architecture} from nasty {}{} τ=1 no labels", of.architecture, of.mark)
            }
            Source::HardLabels => {
                format!("{architecture} from nasty {}{} hard labels", of.architecture, of.mark)
            }
            Source::Smoothing => format!("{architecture} label smoothing"),
        };
        if matches!(source, Source::Normal | Source::Nasty) {
            for (symbol, value) in [("τ", temperature), ("α", alpha)] {
                name += &value.map_or_else(String::new, |v| format!(" {symbol}={v}"));
            }
        }
        name += &share.map_or_else(String::new, |s| format!(" {:.0} % of the data", 100.0 * s));
        let task = self.task(name, Task::Train(recipe));
        self.entry(Role::Student(source), of.seed, &place, &task);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
