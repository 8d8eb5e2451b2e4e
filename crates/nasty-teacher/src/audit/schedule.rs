//! The tasks of an audit.

use super::battery::{Circumstances, Member, Student, obstacle};
use super::probes;
use super::report::{Against, Profile};
use super::subject::Subject;
use crate::attacks::thieves::{
    CloneTraining, Forger, Labels, Maker, Signal, THIEF_FORMAT, ThiefRecipe, seeds,
};
use crate::attacks::{Images, Part};
use crate::data::Augmentation;
use crate::defences::Stack;
use crate::lab::defaults::{self, Kind};
use crate::lab::{ASK_FORMAT, AskRecipe, Calibration, JobError, Passes, Plan, Reach, Shape, Task};
use crate::nets::{Architecture, Input, Precision};
use crate::training::{HeadKind, Loss, NetworkRef, Optimiser};
use burn::tensor::Device;
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Share of its images that a thief chooses by.
const HELD_OUT: f64 = 0.2;
const BATCH: usize = 64;
const LEARNING_RATE: f64 = 0.05;

/// One clone to train, and what it stands for in the report.
#[derive(Clone, Debug)]
pub struct Trial {
    /// Its recipe.
    pub recipe: ThiefRecipe,
    /// Who is asked.
    pub against: Against,
    /// What the thief has.
    pub profile: Profile,
    /// Images asked about, or, for a floor, labelled.
    pub rung: usize,
    /// Share of the labelled images.
    pub share: f64,
    /// Whether the verdict rests on it.
    pub in_verdict: bool,
    /// Why it is not tried; none if it is.
    pub obstacle: Option<String>,
}

/// All tasks of an audit.
pub struct Schedule {
    /// What is asked first: the probe, then the test images.
    pub before: Vec<(String, AskRecipe)>,
    /// The thieves' images.
    pub transfer: Vec<(String, AskRecipe)>,
    /// The probe's images again.
    pub after: Vec<(String, AskRecipe)>,
    /// The clones.
    pub trials: Vec<Trial>,
}

/// Questions to a victim about images.
fn ask(reach: &Reach, images: &Images, times: Range<u32>) -> AskRecipe {
    AskRecipe { format: ASK_FORMAT, reach: reach.clone(), images: images.clone(), times }
}

/// The questions about the test images to the victim as it is served, and without its defences.
pub(super) fn about_test(subject: &Subject) -> [Option<AskRecipe>; 2] {
    [Some(&subject.served), subject.undefended.as_ref()]
        .map(|reach| reach.map(|reach| ask(reach, &subject.test, 0..1)))
}

/// The images of the probe: the first test images.
pub(super) fn probe_images(subject: &Subject) -> Images {
    Images { count: probes::IMAGES.min(subject.test.count), ..subject.test.clone() }
}

impl Schedule {
    /// The tasks of an audit of `subject`, whose answers to the same image are `random` or not.
    pub fn of(subject: &Subject, random: bool) -> Self {
        let probe = probe_images(subject);
        let [served, undefended] = about_test(subject);
        let mut before = vec![
            ("the same images, several times".to_owned(), ask(&subject.served, &probe, 0..probes::TIMES)),
            ("test images".to_owned(), served.expect("there is always a victim")),
        ];
        before.extend(undefended.map(|recipe| ("test images, no defence".to_owned(), recipe)));
        let after = vec![(
            "the same images, later".to_owned(),
            ask(&subject.served, &probe, probes::TIMES..probes::TIMES + 1),
        )];
        let mut schedule = Self { before, transfer: Vec::new(), after, trials: Vec::new() };
        let effort = subject.effort();
        let students = || {
            let which = |number| if number == 0 { Student::Small } else { Student::Other };
            let all = subject.students().into_iter().enumerate();
            all.map(move |(number, student)| (which(number), student))
        };
        for (which, student) in students() {
            let rungs = |images: usize| {
                let mut rungs = subject.rungs(images);
                if which == Student::Other && effort.others_on_last_rung {
                    rungs.drain(..rungs.len() - 1);
                }
                rungs
            };
            for seed in 0..subject.request.seeds {
                for rung in rungs(subject.fresh.count) {
                    let of = Of { subject, student, which, seed, rung, share: 1.0, random };
                    let images = Images { count: rung, ..subject.fresh.clone() };
                    schedule.floors(&of, &images);
                    schedule.thieves(&of, &images, Profile::B);
                }
                let labelled = subject.labelled.count.min(subject.request.budget);
                let last_only = which == Student::Other && effort.others_on_last_rung;
                for &share in effort.shares.iter().filter(|_| !last_only) {
                    let count = ((share * labelled as f64).round() as usize).max(2);
                    let of = Of { subject, student, which, seed, rung: count, share, random };
                    let images = Images { count, ..subject.labelled.clone() };
                    schedule.floors(&of, &images);
                    schedule.thieves(&of, &images, Profile::A);
                }
                if let Some(pool) = &subject.pool {
                    for rung in rungs(pool.count) {
                        let of = Of { subject, student, which, seed, rung, share: 1.0, random };
                        let images = Images { count: rung, ..pool.clone() };
                        schedule.thieves(&of, &images, Profile::C);
                    }
                }
            }
        }
        // Thieves without images take the longest, and the whole budget.
        for (which, student) in students() {
            for seed in 0..subject.request.seeds {
                let rung = subject.request.budget;
                let of = Of { subject, student, which, seed, rung, share: 1.0, random };
                let none = Images { count: 0, data: subject.of.clone(), part: Part::Train };
                schedule.thieves(&of, &none, Profile::D);
            }
        }
        schedule
    }

    fn floors(&mut self, of: &Of<'_>, images: &Images) {
        for member in of.subject.request.battery.floors(of.which) {
            let mut recipe = of.recipe(&member, images.clone(), Labels::True);
            // It asks nobody, and chooses by nothing but its own labels.
            (recipe.asked, recipe.served, recipe.clean) = (None, None, None);
            self.add(of.trial(recipe, Against::Nobody, Profile::A, member.in_verdict));
        }
    }

    fn thieves(&mut self, of: &Of<'_>, images: &Images, profile: Profile) {
        let subject = of.subject;
        let none = Stack::default();
        let whom = [
            (Some(&subject.served), Against::Victim, subject.defences(), of.random),
            (subject.undefended.as_ref(), Against::Undefended, &none, false),
        ];
        let labels = if profile == Profile::A { Labels::True } else { Labels::Served };
        let [served, undefended] = about_test(subject).map(|ask| ask.map(|ask| NetworkRef(ask.hash())));
        for (reach, against, defences, random) in whom {
            let Some(reach) = reach else { continue };
            let at = Circumstances { defences, random };
            let members = subject.request.battery.thieves(profile, at, of.which);
            let mut prior = None;
            for member in members {
                let (answers, budget) = (member.thief.answers(), images.count);
                let begins = |maker: &dyn Maker| seeds(maker, budget, HELD_OUT);
                let forger = member.thief.forger();
                let count = match forger {
                    None => member.thief.maker().map_or(budget / answers, begins).max(2),
                    Some(_) => 0,
                };
                let images = Images { count, ..images.clone() };
                let question = ask(reach, &images, 0..answers as u32);
                let mut recipe = of.recipe(&member, images.clone(), labels);
                if member.thief.wants_unlabelled() {
                    recipe.unlabelled = Some(of.pool(profile).max(images.count));
                }
                recipe.budget = member.thief.maker().map(|_| budget);
                (recipe.served, recipe.clean) = match against {
                    Against::Undefended => (undefended.clone(), undefended.clone()),
                    // A victim of which no defences are known is itself the one without.
                    Against::Victim | Against::Nobody => {
                        (served.clone(), undefended.clone().or_else(|| served.clone()))
                    }
                };
                match forger {
                    None => recipe.asked = Some(NetworkRef(question.hash())),
                    Some(forger) => {
                        recipe = of.forging(forger, recipe);
                        // Who was asked about the test images is whom it asks.
                        recipe.asked = recipe.served.clone();
                    }
                }
                recipe.prior = prior.clone().filter(|_| member.thief.needs_prior());
                let mut trial = of.trial(recipe, against, profile, member.in_verdict);
                trial.obstacle = obstacle(&member.thief, subject.label_only(), of.rung)
                    .or_else(|| of.misfit(&trial.recipe));
                if member.thief.signal() == Signal::PredictedClass {
                    prior = Some(NetworkRef(trial.recipe.hash()));
                }
                if trial.obstacle.is_none() && forger.is_none() {
                    let defended = if against == Against::Victim { "" } else { ", no defence" };
                    self.question(format!("{} images{defended}", images.count), question);
                }
                self.add(trial);
            }
        }
    }

    fn question(&mut self, name: String, recipe: AskRecipe) {
        if self.transfer.iter().all(|(_, known)| known.hash() != recipe.hash()) {
            self.transfer.push((name, recipe));
        }
    }

    fn add(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    /// The clones that are tried, as a plan, without those that rest on answers of the tasks `unanswered`.
    pub fn trials_plan(&self, unanswered: &[String]) -> Plan {
        let known =
            |trial: &&Trial| trial.recipe.asked.as_ref().is_none_or(|asked| !unanswered.contains(&asked.0));
        let tried = self.trials.iter().filter(|trial| trial.obstacle.is_none()).filter(known);
        Plan::new(tried.map(|trial| (trial.name(), Task::Thief(trial.recipe.clone()))))
    }

    /// Images that the victim as it is served is asked about in all, its repeats included.
    pub fn queries(&self, subject: &Subject) -> u64 {
        let all = self.before.iter().chain(&self.transfer).chain(&self.after);
        let of_victim = all.filter(|(_, ask)| ask.reach.whose == subject.served.whose);
        // Fewer images are the first of more: only the largest question about a part counts, for each of its answers.
        let mut most: HashMap<(String, u32), usize> = HashMap::new();
        for (_, ask) in of_victim {
            let part = serde_json::to_string(&(&ask.images.data, &ask.images.part)).expect("plain data");
            for number in ask.times.clone() {
                let count = most.entry((part.clone(), number)).or_default();
                *count = (*count).max(ask.images.count);
            }
        }
        let asked: u64 = most.values().map(|count| *count as u64).sum();
        asked + self.made(&subject.served)
    }

    /// Images that thieves make themselves and ask the victim of `reach` about.
    fn made(&self, reach: &Reach) -> u64 {
        let whom: HashSet<String> = self
            .before
            .iter()
            .chain(&self.transfer)
            .filter(|(_, ask)| ask.reach.whose == reach.whose)
            .map(|(_, ask)| ask.hash())
            .collect();
        let mut seen = HashSet::new();
        let tried = self.trials.iter().filter(|trial| trial.obstacle.is_none()).map(|trial| &trial.recipe);
        let of_victim = tried.filter(|recipe| recipe.asked.as_ref().is_some_and(|a| whom.contains(&a.0)));
        let makers = of_victim.filter(|recipe| recipe.budget.is_some() && seen.insert(recipe.hash()));
        makers.map(|recipe| (recipe.queries() - recipe.images.count) as u64).sum()
    }

    /// Estimated seconds of training all clones, given a machine's speed.
    ///
    /// # Errors
    /// [`JobError`] if a student cannot be built.
    pub fn seconds(&self, subject: &Subject, speed: &mut Calibration) -> Result<f64, JobError> {
        let input = Input { channels: subject.data.test.channels, side: subject.data.test.height };
        let (mut sum, mut seen) = (0.0, HashSet::new());
        for trial in self.trials.iter().filter(|trial| trial.obstacle.is_none()) {
            let recipe = &trial.recipe;
            if !seen.insert(recipe.hash()) {
                continue;
            }
            let classes = subject.data.classes.len();
            let shape = |architecture| Shape { architecture, input, classes, precision: Precision::F32 };
            if let Some((like, passes)) = recipe.making(input, classes, &Device::flex())? {
                sum += speed.rate(shape(like))?.trained * passes;
            }
            let Passes { trained, forward } = speed.rate(shape(recipe.student))?;
            let held = recipe.validation(recipe.images.count);
            sum += trained * recipe.passes();
            sum += forward * (held + recipe.test.count) as f64;
        }
        Ok(sum)
    }
}

impl Trial {
    /// For people.
    pub fn name(&self) -> String {
        let thief = &self.recipe.thief;
        let settings: Vec<String> =
            thief.settings().iter().filter(|(_, v)| *v != 0.0).map(|(n, v)| format!("{n} {v}")).collect();
        let settings =
            if settings.is_empty() { String::new() } else { format!(" ({})", settings.join(", ")) };
        let against = if self.against == Against::Undefended { ", no defence" } else { "" };
        let Self { profile, rung, .. } = self;
        let (student, seed) = (self.recipe.student, self.recipe.seed);
        format!("{}{settings}, {profile:?} {rung} {student}{against} seed {seed}", thief.name())
    }
}

/// What the clones of one cell have in common.
struct Of<'a> {
    subject: &'a Subject,
    student: Architecture,
    which: Student,
    seed: u64,
    rung: usize,
    share: f64,
    random: bool,
}

impl Of<'_> {
    fn recipe(&self, member: &Member, images: Images, labels: Labels) -> ThiefRecipe {
        let of = &self.subject.of;
        let usual = defaults::recipe(of.name.clone(), of.digest.clone(), self.student, Kind::Train);
        ThiefRecipe {
            format: THIEF_FORMAT,
            thief: member.thief.clone(),
            student: self.student,
            images,
            unlabelled: None,
            budget: None,
            labels,
            asked: None,
            served: None,
            clean: None,
            prior: None,
            held_out: HELD_OUT,
            test: self.subject.test.clone(),
            optimiser: Optimiser::Sgd { momentum: 0.9, nesterov: true, weight_decay: 5e-4 },
            learning_rate: LEARNING_RATE,
            steps: self.subject.effort().steps,
            batch: BATCH,
            augmentation: usual.augmentation,
            seed: self.seed,
        }
    }

    /// `recipe` with the training of `forger`, which has its own.
    fn forging(&self, forger: &dyn Forger, recipe: ThiefRecipe) -> ThiefRecipe {
        let CloneTraining { optimiser, learning_rate, batch } = forger.training();
        ThiefRecipe {
            budget: Some(self.rung),
            held_out: 0.0,
            optimiser,
            learning_rate,
            batch,
            steps: forger.extent(self.rung, batch).steps,
            augmentation: Augmentation::none(),
            ..recipe
        }
    }

    /// Images that a thief of `profile` has, asked about or not.
    fn pool(&self, profile: Profile) -> usize {
        let Self { subject, rung, .. } = *self;
        match profile {
            // Its share of the labelled images is what it has.
            Profile::A | Profile::D => rung,
            Profile::B => subject.fresh.count,
            Profile::C => subject.pool.as_ref().map_or(rung, |pool| pool.count),
        }
    }

    /// Why the student cannot do what the thief wants of it, if so.
    fn misfit(&self, recipe: &ThiefRecipe) -> Option<String> {
        let objective = recipe.thief.objective(recipe.asked.clone()?);
        let data = &self.subject.data;
        let input = Input { channels: data.test.channels, side: data.test.height };
        if let Some(forger) = recipe.thief.forger() {
            return forger.misfit(input);
        }
        (objective.heads() == Some(HeadKind::Exits)).then_some(())?;
        let student = recipe.student.build(data.classes.len(), input, 0, &Device::flex());
        // A student that cannot be built is reported when it is trained.
        student.ok()?.exit_stages().err().map(|error| error.to_string())
    }

    fn trial(&self, recipe: ThiefRecipe, against: Against, profile: Profile, in_verdict: bool) -> Trial {
        let (rung, share) = (self.rung, self.share);
        Trial { recipe, against, profile, rung, share, in_verdict, obstacle: None }
    }
}

/// The training of all clones, in a line.
pub(super) fn training_line(trial: &Trial) -> String {
    let recipe = &trial.recipe;
    let augmentation = &recipe.augmentation;
    let mut views = Vec::new();
    if augmentation.crop_padding > 0 {
        views.push(format!("crops with padding {}", augmentation.crop_padding));
    }
    if augmentation.flip {
        views.push("flips".into());
    }
    if augmentation.rotation_degrees > 0 {
        views.push(format!("rotations up to {}°", augmentation.rotation_degrees));
    }
    let views = if views.is_empty() { "no augmentation".to_owned() } else { views.join(" and ") };
    format!(
        "SGD with Nesterov momentum 0.9, weight decay 5e-4, learning rate {} with a cosine schedule, batches of {}, {views}; {:.0} % of a \
         thief's images are held out to choose its settings",
        recipe.learning_rate,
        recipe.batch,
        100.0 * recipe.held_out
    )
}
