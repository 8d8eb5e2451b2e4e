//! Who is audited, on which images, and how hard: everything that a plan follows from.

use super::battery::{Battery, Effort};
use crate::attacks::{Images, Part, TestData, Trained};
use crate::data::{DataName, DataSet, Framing};
use crate::defences::Stack;
use crate::lab::ask::whose;
use crate::lab::{AskOptions, JobError, Opened, Reach, Task, Workplace, fit_victim, open_victim};
use crate::nets::Architecture;
use crate::victim::Interface;
use std::path::Path;
use std::sync::Arc;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The victim: a run's hash or folder, a file, an address.
    pub victim: String,
    /// How it is asked, and what stands in front of it.
    pub how: AskOptions,
    /// The same victim without its defences, where it has some of its own: the normal teacher of a nasty one.
    pub undefended: Option<String>,
    /// The data set whose test images clones are tested on.
    pub data: DataName,
    /// A pool of other images.
    pub pool: Option<DataName>,
    /// The most images that a thief asks about.
    pub budget: usize,
    /// The thieves.
    pub battery: Battery,
    /// Seeds of the clones, from 0.
    pub seeds: u64,
    /// Architectures of clones, beside the battery's own.
    pub students: Vec<Architecture>,
    /// Test images; all if absent.
    pub test_images: Option<usize>,
    /// Whether the second half of the test images is the thieves': where it is not known what the victim was trained on.
    pub half_of_test: bool,
    /// The accuracy that the owner claims.
    pub claimed: Option<f64>,
    /// Optimiser steps of each clone, in place of the battery's.
    pub steps: Option<usize>,
}

/// The victim, opened, with the images of its thieves.
pub struct Subject {
    /// What was asked for.
    pub request: Request,
    /// The data set.
    pub data: Arc<DataSet>,
    /// What it is, for recipes.
    pub of: TestData,
    /// The victim as it is served.
    pub served: Reach,
    /// The victim without its defences.
    pub undefended: Option<Reach>,
    /// What it is, such as `network`.
    pub kind: String,
    /// The file that describes it.
    pub file: Option<String>,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What the victim was trained on, if that is known.
    pub trained: Option<Trained>,
    /// The victim's architecture, if it is known.
    pub architecture: Option<Architecture>,
    /// Images of the victim's kind for thieves without labels.
    pub fresh: Images,
    /// Images of the victim's kind for thieves with labels.
    pub labelled: Images,
    /// Images of another kind.
    pub pool: Option<Images>,
    /// The images that clones are tested on.
    pub test: Images,
}

impl Subject {
    /// Opens the victim and finds its images.
    ///
    /// # Errors
    /// [`JobError`] if the victim cannot be opened or does not fit the data, or the data cannot be read.
    pub fn open(request: Request, workplace: &Workplace) -> Result<Self, JobError> {
        let opened = open_victim(&request.victim, &request.how, workplace)?;
        let side = opened.framing_for(&request.data);
        let (data, digest) = workplace.data_and_digest(&request.data, side)?;
        let of = TestData { name: request.data.clone(), digest, side };
        let mut notes = opened.notes.clone();
        let served = reach(&request.victim, &request.how, opened.clone(), &data, &of, &mut notes)?;
        let undefended = match &request.undefended {
            Some(other) => Some((other.clone(), plain(&served, &AskOptions::default()))),
            None => {
                opened.undefended.is_some().then(|| (request.victim.clone(), plain(&served, &request.how)))
            }
        };
        let undefended = undefended.map(|(victim, how)| {
            let opened = open_victim(&victim, &how, workplace)?;
            reach(&victim, &how, opened, &data, &of, &mut notes)
        });
        let undefended = undefended.transpose()?;

        let training = training(&request.victim, &of, workplace);
        let (trained, architecture) = training.unzip();
        let images = |part: Part, count: usize| Images { data: of.clone(), part, count };
        let counted = |part: Part| {
            let images = images(part, 2);
            let count = images.all_places(&data).map(|places| places.len());
            count.map(|count| Images { count, ..images })
        };
        let refuse = |problem: String| JobError::Recipe { recipe: request.victim.clone(), problem };
        let half = data.test.len() / 2;
        let (fresh, labelled) = match &trained {
            _ if request.half_of_test => (Part::TestAfter { first: half }, Part::TestAfter { first: half }),
            Some(trained) => (Part::Unused(trained.clone()), Part::Used(trained.clone())),
            None => (Part::Train, Part::Train),
        };
        let (fresh, labelled) = (counted(fresh).map_err(refuse)?, counted(labelled).map_err(refuse)?);
        let pool = match &request.pool {
            None => None,
            Some(name) => {
                let square = || Framing::square(data.test.height);
                let side = matches!(name, DataName::Folder(_)).then(|| side.unwrap_or_else(square));
                let (set, digest) = workplace.data_and_digest(name, side)?;
                if (set.train.channels, set.train.height) != (data.test.channels, data.test.height) {
                    let shape =
                        |s: &DataSet| format!("{}×{}×{}", s.train.channels, s.train.height, s.train.width);
                    return Err(refuse(format!(
                        "the pool {name} has images of {}, the data set has {}",
                        shape(&set),
                        shape(&data)
                    )));
                }
                let data = TestData { name: name.clone(), digest, side };
                Some(Images { data, part: Part::Train, count: set.train.len() })
            }
        };
        let left = if request.half_of_test { half } else { data.test.len() };
        let test = images(Part::Test, request.test_images.unwrap_or(usize::MAX).min(left));
        Ok(Self {
            data,
            of,
            served,
            undefended,
            kind: opened.kind.to_owned(),
            file: opened.file.map(|file| file.display().to_string()),
            notes,
            trained,
            architecture,
            fresh,
            labelled,
            pool,
            test,
            request,
        })
    }

    /// How hard the battery tries, as asked.
    pub fn effort(&self) -> Effort {
        let effort = self.request.battery.effort();
        Effort { steps: self.request.steps.unwrap_or(effort.steps), ..effort }
    }

    /// The rungs of the ladder for a pool of `images` images: those of the battery within the budget and the pool, or else the
    /// largest that is possible.
    pub fn rungs(&self, images: usize) -> Vec<usize> {
        let most = self.request.budget.min(images);
        let mut rungs: Vec<usize> =
            self.effort().rungs.iter().copied().filter(|&rung| rung <= most).collect();
        if rungs.is_empty() {
            rungs.push(most);
        }
        rungs
    }

    /// The clones' architectures: small, and if the battery says so as large as the victim: its own architecture, or a usual one
    /// for the data if that is not known.
    pub fn students(&self) -> Vec<Architecture> {
        let (small, usual) = match (self.data.test.channels, self.data.test.height) {
            (1, _) => (4, "preresnet20"),
            (_, side) if side < 64 => (16, "preresnet20"),
            _ => (32, "tv-resnet18"),
        };
        let mut all = vec![Architecture::Cnn { width: small }];
        let usual = || usual.parse().expect("a network's name");
        let large = self.effort().large_student.then(|| self.architecture.unwrap_or_else(usual));
        for student in large.into_iter().chain(self.request.students.iter().copied()) {
            if !all.contains(&student) {
                all.push(student);
            }
        }
        all
    }

    /// Where the thieves' images of the victim's kind come from, and whether it was not trained on them, if that is known.
    pub(super) fn origin(&self) -> (&'static str, Option<bool>) {
        match (&self.fresh.part, &self.trained) {
            (Part::TestAfter { .. }, None) => ("the second half of the test images", None),
            (Part::TestAfter { .. }, Some(_)) => ("the second half of the test images", Some(true)),
            (_, Some(_)) => {
                ("training images of the data set that the victim was not trained on", Some(true))
            }
            (_, None) => {
                ("the data set's training images; whether the victim was trained on them is not known", None)
            }
        }
    }

    /// The defences in front of the victim.
    pub fn defences(&self) -> &Stack {
        &self.request.how.defence
    }

    /// Whether the victim gives out predicted classes only.
    pub fn label_only(&self) -> bool {
        self.served.whose.interface == Interface::Label
    }
}

/// How the victim without its defences is asked: as `how` says, for as much as `served` gives out.
fn plain(served: &Reach, how: &AskOptions) -> AskOptions {
    AskOptions {
        interface: Some(served.whose.interface),
        asking: how.asking.clone(),
        ..AskOptions::default()
    }
}

fn reach(
    victim: &str,
    how: &AskOptions,
    opened: Opened,
    data: &DataSet,
    of: &TestData,
    notes: &mut Vec<String>,
) -> Result<Reach, JobError> {
    let fitted = fit_victim(&opened.victim, data)?;
    notes.extend(fitted.note.map(|note| format!("{victim}: {note}")));
    let whose = whose(&*fitted.victim);
    Ok(Reach { victim: victim.to_owned(), how: how.clone(), classes_of: of.clone(), whose })
}

/// What a victim of the store was trained on, if that was the data set `of`, and its architecture.
fn training(victim: &str, of: &TestData, workplace: &Workplace) -> Option<(Trained, Architecture)> {
    let store = &workplace.store;
    let network = store.resolve(victim).ok()?;
    let own = || store.run(&network.0).task().ok().flatten();
    // A folder of another store has its task beside it.
    let beside = || {
        let folder = Path::new(victim).canonicalize().ok()?;
        let hash = folder.file_name()?.to_str()?.to_owned();
        crate::lab::Store::look(folder.parent()?).run(&hash).task().ok().flatten()
    };
    let Some(Task::Train(recipe)) = own().or_else(beside) else { return None };
    let data = &recipe.data;
    if data.name != of.name || data.digest != of.digest {
        return None;
    }
    let trained = Trained { validation: data.validation, subset: data.subset, seed: recipe.seed };
    Some((trained, recipe.architecture))
}
