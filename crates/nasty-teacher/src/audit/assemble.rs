//! The report of an audit, as far as its tasks are done.

use super::probes;
use super::report::{
    Against, ChosenBy, Edge, Made, Measured, Outcome, Probes, Profile, Protocol, Report, Row, SCHEMA,
    Setting, UNDEFENDED, Undefended, VICTIM, Validation, VictimFacts,
};
use super::schedule::{Schedule, Trial, about_test, probe_images, training_line};
use super::subject::Subject;
use crate::attacks::thieves::Labels;
use crate::data::ImageSet;
use crate::lab::ask::{hashes, rows};
use crate::lab::{AnswerLog, AskRecipe, AskResult, JobError, State, ThiefResult, Workplace};
use crate::metrics::Bits;
use crate::metrics::wilson;
use crate::victim::Scale;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Rows that are looked at to see what is revealed.
const LOOKED_AT: usize = 256;

/// What is known of the victim before any clone is trained.
pub(super) struct Seen {
    /// The victim.
    pub victim: VictimFacts,
    /// The probes.
    pub probes: Probes,
    /// Whether each test image is classified correctly by the victim, and by the victim without its defences.
    pub right: BTreeMap<String, Bits>,
}

/// A victim's answers to the test images.
struct Tested {
    rows: Vec<f32>,
    scale: Scale,
    log: AnswerLog,
    milliseconds: Option<f64>,
}

fn tested(ask: &AskRecipe, test: &ImageSet, workplace: &Workplace) -> Result<Tested, JobError> {
    let hash = ask.hash();
    let log = workplace.store.answers(&ask.reach.whose)?;
    let missing = |problem: String| JobError::Recipe { recipe: hash.clone(), problem };
    let rows = rows(&log, test, 0).map_err(missing)?;
    let result: Option<AskResult> = workplace.store.run(&hash).other_result()?;
    let each = |r: AskResult| (r.asked > 0).then(|| 1000.0 * r.seconds / r.asked as f64);
    Ok(Tested { rows, scale: log.scale(), log, milliseconds: result.and_then(each) })
}

impl Seen {
    /// What the answers to the probe and the test images show, once those were asked.
    ///
    /// # Errors
    /// [`JobError`] if an answer is missing.
    pub(super) fn of(subject: &Subject, workplace: &Workplace) -> Result<Self, JobError> {
        let refuse = |problem: String| JobError::Recipe { recipe: subject.request.victim.clone(), problem };
        let test = subject.test.of(&subject.data).map_err(refuse)?;
        let probe = hashes(&probe_images(subject).of(&subject.data).map_err(refuse)?);
        let classes = subject.data.classes.len();
        let [served, clean] = about_test(subject);
        let served = tested(&served.expect("there is always a victim"), &test, workplace)?;
        let clean = clean.map(|ask| tested(&ask, &test, workplace)).transpose()?;

        let right = |t: &Tested| Bits::from(probes::right(&t.rows, classes, &test.labels));
        let share = |bits: &Bits| bits.count() as f64 / test.len().max(1) as f64;
        let mut all = BTreeMap::from([(VICTIM.to_owned(), right(&served))]);
        let undefended = clean.as_ref().zip(subject.undefended.as_ref()).map(|(clean, reach)| {
            let bits = right(clean);
            let accuracy = share(&bits);
            all.insert(UNDEFENDED.to_owned(), bits);
            Undefended { identity: reach.whose.identity.clone(), accuracy }
        });
        let largest = test.class_counts(classes).into_iter().max().unwrap_or(0);
        let look = &served.rows[..served.rows.len().min(LOOKED_AT * classes)];
        let of_rows = |t: &'_ Tested| (t.rows.clone(), t.scale);
        let (served_rows, clean_rows) = (of_rows(&served), clean.as_ref().map(of_rows));
        let cost = probes::user_cost(
            (&served_rows.0, served_rows.1),
            clean_rows.as_ref().map(|(rows, scale)| (&rows[..], *scale)),
            classes,
            &test.labels,
            served.milliseconds,
        );
        let victim = VictimFacts {
            name: subject.request.victim.clone(),
            kind: subject.kind.clone(),
            identity: subject.served.whose.identity.clone(),
            file: subject.file.clone(),
            classes,
            side: test.height,
            interface: subject.served.whose.interface,
            accuracy: share(&all[VICTIM]),
            claimed: subject.request.claimed,
            defences: Some(subject.defences())
                .filter(|d| !d.layers().is_empty())
                .map(ToString::to_string)
                .unwrap_or_default(),
            undefended,
            cost: Some(cost),
        };
        let probes = Probes {
            repeats: probes::repeats(&served.log, &probe),
            history: probes::history(&served.log, &probe),
            revealed: Some(probes::revealed(look, classes)),
            queries: served.log.asked(),
            failed: served.log.unanswered(),
            chance: largest as f64 / test.len().max(1) as f64,
        };
        Ok(Self { victim, probes, right: all })
    }

    /// Whether the same image was answered differently, so that averaging may help a thief.
    pub(super) fn random(&self) -> bool {
        self.probes.repeats.is_some_and(|asked| asked.different > 0)
    }
}

/// The report on `subject`, with every clone that is trained by now. `command` makes it again; `seconds` is how long the audit
/// has taken.
///
/// # Errors
/// [`JobError`] if an answer is missing or a result cannot be read.
pub(super) fn report(
    subject: &Subject,
    schedule: &Schedule,
    workplace: &Workplace,
    command: &str,
    seconds: f64,
) -> Result<Report, JobError> {
    let Seen { victim, mut probes, mut right } = Seen::of(subject, workplace)?;
    for log in apart(subject, schedule, workplace)? {
        probes.queries += log.asked();
        probes.failed += log.unanswered();
    }
    let mut rows = Vec::new();
    let mut complete = true;
    let scores = Scores::of(&schedule.trials, workplace)?;
    for group in groups(&schedule.trials) {
        let Some((row, bits)) = row(&group, workplace, &probes, subject.test.count, &scores)? else {
            complete = false;
            continue;
        };
        if let Some(bits) = bits {
            right.insert(row.run.clone(), bits);
        }
        rows.push(row);
    }
    let first = &schedule.trials[0];
    // A thief without images has a budget of its own, which is no rung.
    let ladder = schedule.trials.iter().filter(|trial| trial.profile != Profile::D);
    let mut budgets: Vec<u64> = ladder.map(|trial| trial.rung as u64).collect();
    budgets.sort_unstable();
    budgets.dedup();
    let shares = subject.effort().shares;
    let (images, fresh) = subject.origin();
    let pool =
        subject.pool.as_ref().map(|pool| format!("; a pool of {} images of {}", pool.count, pool.data.name));
    let request = &subject.request;
    Ok(Report {
        schema: SCHEMA,
        victim,
        battery: request.battery.facts(),
        protocol: Protocol {
            data: subject.of.name.to_string(),
            data_digest: Some(subject.of.digest.clone()),
            images: format!("{images}{}", pool.unwrap_or_default()),
            fresh,
            pool: subject.fresh.count,
            test_images: subject.test.count,
            budgets,
            shares: if shares.is_empty() { vec![1.0] } else { shares.to_vec() },
            seeds: (0..request.seeds).collect(),
            students: subject.students().iter().map(ToString::to_string).collect(),
            steps: first.recipe.steps as u64,
            recipe: training_line(first),
            cached: true,
            victims: 1,
        },
        probes,
        rows,
        made: Made {
            command: command.to_owned(),
            machine: workplace.machine(),
            numerics: vec![workplace.numerics()],
            seconds,
            complete,
        },
        right,
    })
}

/// The victim's answers to thieves without images, who keep them apart.
fn apart(subject: &Subject, schedule: &Schedule, workplace: &Workplace) -> Result<Vec<AnswerLog>, JobError> {
    let forged = |trial: &&Trial| trial.profile == Profile::D && trial.against == Against::Victim;
    let hashes: BTreeSet<String> = schedule.trials.iter().filter(forged).map(|t| t.recipe.hash()).collect();
    let log = |hash: &String| workplace.store.answers_for(hash, &subject.served.whose).transpose();
    Ok(hashes.iter().filter_map(log).collect::<Result<_, _>>()?)
}

/// The trials that one thief chooses from: they differ by its settings only.
fn groups(trials: &[Trial]) -> Vec<Vec<&Trial>> {
    let mut groups: Vec<Vec<&Trial>> = Vec::new();
    let key = |t: &Trial| {
        (
            t.recipe.thief.name(),
            t.against,
            t.profile,
            t.rung,
            t.share.to_bits(),
            t.recipe.student,
            t.recipe.seed,
        )
    };
    for trial in trials {
        match groups.iter_mut().find(|group| key(group[0]) == key(trial)) {
            Some(group) => group.push(trial),
            None => groups.push(vec![trial]),
        }
    }
    groups
}

/// What settings scored on a thief's held-out images. A thief is not bound to one seed: each setting counts by its mean over
/// the seeds that are done, which are too few images each to choose by.
#[derive(Default)]
struct Scores(HashMap<String, (f64, usize)>);

impl Scores {
    fn of(trials: &[Trial], workplace: &Workplace) -> Result<Self, JobError> {
        let mut scores = Self::default();
        for trial in trials.iter().filter(|trial| trial.obstacle.is_none()) {
            let run = workplace.store.run(&trial.recipe.hash());
            if run.state_on(&workplace.numerics()) != State::Done {
                continue;
            }
            let result: Option<ThiefResult> = run.other_result()?;
            if let Some(score) = result.and_then(|result| result.validation) {
                scores.add(trial, score);
            }
        }
        Ok(scores)
    }

    fn add(&mut self, trial: &Trial, score: f64) {
        let (sum, seeds) = self.0.entry(Self::key(trial)).or_default();
        *sum += score;
        *seeds += 1;
    }

    /// The mean over the seeds; none where nothing is held out.
    fn mean(&self, trial: &Trial) -> Option<f64> {
        self.0.get(&Self::key(trial)).map(|(sum, seeds)| sum / *seeds as f64)
    }

    /// What trials have in common that differ by their seeds only.
    fn key(trial: &Trial) -> String {
        let Trial { recipe, against, profile, rung, share, .. } = trial;
        serde_json::to_string(&(&recipe.thief, recipe.student, against, profile, rung, share))
            .expect("plain data")
    }
}

/// The row of the trials that one thief chooses from; none while one of them is not done.
fn row(
    group: &[&Trial],
    workplace: &Workplace,
    probes: &Probes,
    test_images: usize,
    scores: &Scores,
) -> Result<Option<(Row, Option<Bits>)>, JobError> {
    let first = group[0];
    let of = |trial: &Trial, made: Option<usize>, outcome: Outcome| {
        let thief = &trial.recipe.thief;
        Row {
            run: trial.recipe.hash(),
            thief: thief.name().to_owned(),
            knows: thief.knows().to_owned(),
            in_verdict: trial.in_verdict,
            against: trial.against,
            signal: thief.signal(),
            profile: trial.profile,
            student: trial.recipe.student.to_string(),
            budget: trial.rung as u64,
            queries: made.map_or(trial.recipe.queries(), |made| trial.recipe.images.count + made) as u64,
            share: trial.share,
            seed: trial.recipe.seed,
            outcome,
        }
    };
    if let Some(reason) = &first.obstacle {
        return Ok(Some((of(first, None, Outcome::Skipped { reason: reason.clone() }), None)));
    }
    let mut done: Vec<(&Trial, ThiefResult)> = Vec::new();
    let mut reasons = Vec::new();
    for trial in group {
        let run = workplace.store.run(&trial.recipe.hash());
        match run.state_on(&workplace.numerics()) {
            State::Done => {
                let result = run.other_result()?;
                done.extend(result.map(|result: ThiefResult| (*trial, result)));
            }
            State::NotFinite => reasons.push("its loss was not finite".to_owned()),
            State::Failed => {
                let why = run.last_failure()?.map_or_else(String::new, |f| format!(": {}", f.message));
                reasons.push(format!("it could not be trained{why}"));
            }
            State::Absent | State::Resumable => return Ok(None),
        }
    }
    let seconds = done.iter().map(|(_, result)| result.seconds).sum();
    // The first of equal ones: the order of the grid breaks ties, not the test images.
    let mut best: Option<&(&Trial, ThiefResult)> = None;
    for candidate in &done {
        if best.is_none_or(|b| scores.mean(candidate.0) > scores.mean(b.0)) {
            best = Some(candidate);
        }
    }
    let Some((trial, result)) = best else {
        let reason = reasons.into_iter().next().unwrap_or_else(|| "nothing was trained".into());
        return Ok(Some((of(first, None, Outcome::NoEvidence { reason }), None)));
    };
    let accuracy = result.test.accuracy;
    if wilson(result.test.correct, test_images).low <= probes.chance {
        let reason = format!("its clone is {:.1} % accurate, no better than guessing", 100.0 * accuracy);
        return Ok(Some((of(trial, result.made, Outcome::NoEvidence { reason }), None)));
    }
    let by = match trial.recipe.labels {
        Labels::True => ChosenBy::Labels,
        Labels::Served => ChosenBy::ServedClass,
    };
    let measured = Measured {
        validation: result.validation.map(|score| Validation { by, score }),
        accuracy,
        agreement_clean: result.clean.map(|alike| alike.agreement),
        agreement_served: result.served.map(|alike| alike.agreement),
        kl: result.clean.map(|alike| alike.kl),
        settings: settings(trial, group),
        seconds,
    };
    Ok(Some((of(trial, result.made, Outcome::Ok(measured)), Some(result.right.clone()))))
}

/// The settings that were chosen, and which of them are at an end of their grid that could go on.
fn settings(chosen: &Trial, group: &[&Trial]) -> Vec<Setting> {
    let values = |name: &str| -> Vec<f64> {
        let all = group.iter().flat_map(|trial| trial.recipe.thief.settings());
        all.filter(|(of, _)| *of == name).map(|(_, value)| value).collect()
    };
    let setting = |(name, value): (&'static str, f64)| {
        let mut tried = values(name);
        tried.sort_by(f64::total_cmp);
        tried.dedup();
        let low = tried.iter().copied().fold(f64::INFINITY, f64::min);
        let high = tried.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        // α ends at 1, and 0 is no floor.
        let goes_up = name != "alpha" || value < 1.0;
        let edge = match () {
            // Two values have no inside: they are a choice, not a grid.
            () if tried.len() < 3 => None,
            // Below lies the predicted class, which is a thief of its own.
            () if name == "temperature" && value == low => None,
            () if value == low && value > 0.0 => Some(Edge::Low),
            () if value == high && goes_up => Some(Edge::High),
            () => None,
        };
        Setting { name: name.to_owned(), value, edge }
    };
    chosen.recipe.thief.settings().into_iter().map(setting).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attacks::thieves::{Kd, THIEF_FORMAT, Thief, ThiefRecipe};
    use crate::attacks::{Images, Part, TestData};
    use crate::data::{Augmentation, DataName};
    use crate::training::{NetworkRef, Optimiser};

    fn trial(temperature: f64, seed: u64) -> Trial {
        let data = TestData { name: DataName::Quickstart, digest: "0".into(), side: None };
        let images = |part, count| Images { data: data.clone(), part, count };
        let recipe = ThiefRecipe {
            format: THIEF_FORMAT,
            thief: Thief::Kd(Kd { temperature, alpha: 0.9, floor: 0.0 }),
            student: "cnn2".parse().expect("a name"),
            images: images(Part::Train, 100),
            unlabelled: None,
            budget: None,
            labels: Labels::Served,
            asked: Some(NetworkRef("0123456789abcdef".into())),
            served: None,
            clean: None,
            prior: None,
            held_out: 0.2,
            test: images(Part::Test, 50),
            optimiser: Optimiser::of_kind("sgd").expect("a kind"),
            learning_rate: 0.05,
            steps: 10,
            batch: 16,
            augmentation: Augmentation::none(),
            seed,
        };
        let (against, profile) = (Against::Victim, Profile::B);
        Trial { recipe, against, profile, rung: 100, share: 1.0, in_verdict: true, obstacle: None }
    }

    #[test]
    fn a_setting_counts_by_its_mean_over_the_seeds() {
        let mut scores = Scores::default();
        for (temperature, seed, score) in [(1.0, 0, 0.75), (1.0, 1, 0.25), (4.0, 0, 0.5), (4.0, 1, 0.75)] {
            scores.add(&trial(temperature, seed), score);
        }
        let means = [1.0, 4.0, 9.0].map(|temperature| scores.mean(&trial(temperature, 0)));
        assert_eq!(means, [Some(0.5), Some(0.625), None], "by seed 0 alone the other one is better");
    }
}
