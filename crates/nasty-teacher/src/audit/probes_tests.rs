//! Victims that are scripted to be wrong in one way each, and the flags that they raise.

use super::flag::Flag;
use super::flags::before;
use super::probes::{IMAGES, TIMES, history, repeats, revealed, right, user_cost};
use super::report::{Probes, VictimFacts};
use crate::data::ImageSet;
use crate::lab::ask::{Asked, collect, hashes, rows, whose};
use crate::lab::{AnswerLog, JobError};
use crate::victim::{Answers, Front, Interface, Request, Scale, Scripted, Victim, VictimError, content_hash};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

const CLASSES: usize = 4;

/// 200 images of one pixel; the label is the pixel modulo 4.
fn images() -> ImageSet {
    ImageSet::new(1, 1, 1, (0..200).collect(), (0..200).map(|i| i % CLASSES as u16).collect())
}

/// A victim that is sure of the right class, and a little of the others by the image.
fn sure(pixel: u8) -> Vec<f32> {
    let other = 0.05 + f32::from(pixel) / 3000.0;
    (0..CLASSES).map(|c| if c == usize::from(pixel) % CLASSES { 1.0 - 3.0 * other } else { other }).collect()
}

fn asked(
    log: &mut AnswerLog,
    victim: &dyn Victim,
    images: &ImageSet,
    times: Range<u32>,
) -> Result<Asked, JobError> {
    collect(log, victim, images, times, &mut |_, _| false)
}

/// The flags F1, F2, F3, F8 and F9 of an audit of `victim`.
fn flags(victim: &dyn Victim, claimed: Option<f64>) -> Vec<Flag> {
    let folder = tempfile::tempdir().expect("temp");
    let mut log = AnswerLog::open(folder.path(), &whose(victim)).expect("writable");
    let test = images();
    let probe = test.subset(&(0..IMAGES).collect::<Vec<_>>());
    for (images, times) in [(&probe, 0..TIMES), (&test, 0..1), (&probe, TIMES..TIMES + 1)] {
        // A victim that fails now and then is asked again, as a person would.
        while asked(&mut log, victim, images, times.clone()).is_err() {}
    }
    let answers = rows(&log, &test, 0).expect("all are asked");
    let right = right(&answers, CLASSES, &test.labels);
    let hashes = hashes(&probe);
    let probes = Probes {
        repeats: repeats(&log, &hashes),
        history: history(&log, &hashes),
        revealed: Some(revealed(&answers, CLASSES)),
        queries: log.asked(),
        failed: log.unanswered(),
        chance: 0.25,
    };
    let facts = VictimFacts {
        name: "v".into(),
        kind: "script".into(),
        identity: victim.identity().into(),
        file: None,
        classes: CLASSES,
        side: 1,
        interface: victim.front().interface(),
        accuracy: right.iter().filter(|r| **r).count() as f64 / test.len() as f64,
        claimed,
        defences: String::new(),
        undefended: None,
        cost: Some(user_cost((&answers, log.scale()), None, CLASSES, &test.labels, None)),
    };
    before(&facts, &probes, test.len(), false)
}

fn raised(victim: &dyn Victim, claimed: Option<f64>) -> Vec<&'static str> {
    flags(victim, claimed).iter().filter(|flag| flag.raised()).map(|flag| flag.id).collect()
}

fn scripted(answer: impl Fn(&[u8]) -> Vec<f32> + Send + Sync) -> impl Victim {
    Scripted::new("script", CLASSES, Scale::Probabilities, answer)
}

#[test]
fn an_honest_victim_raises_nothing() {
    assert_eq!(raised(&scripted(|p| sure(p[0])), Some(1.0)), [""; 0]);
    let label = Scripted::new("script", CLASSES, Scale::Probabilities, |p: &[u8]| sure(p[0]));
    assert_eq!(raised(&label.behind(Interface::Label).expect("from any"), None), [""; 0]);
    let rounded = Scripted::new("script", CLASSES, Scale::Probabilities, |p: &[u8]| sure(p[0]));
    assert_eq!(raised(&rounded.behind(Interface::Rounded { decimals: 2 }).expect("from any"), None), [""; 0]);
}

#[test]
fn random_answers_raise_f1_and_not_f2() {
    let count = AtomicUsize::new(0);
    let random = scripted(move |p| {
        let mut row = sure(p[0]);
        let noise = (count.fetch_add(1, Ordering::Relaxed) % 7) as f32 / 1000.0;
        row[(usize::from(p[0]) + 1) % CLASSES] += noise;
        row
    });
    assert_eq!(raised(&random, None), ["F1"]);
}

#[test]
fn answers_that_depend_on_history_raise_f2_and_not_f1() {
    let count = AtomicUsize::new(0);
    // Another row after the probe and the test images: 5·50 + 150 queries.
    let stateful = scripted(move |p| {
        let late = count.fetch_add(1, Ordering::Relaxed) >= 400;
        let mut row = sure(p[0]);
        row[(usize::from(p[0]) + 1) % CLASSES] += if late { 0.01 } else { 0.0 };
        row
    });
    let found = flags(&stateful, None);
    let ids: Vec<_> = found.iter().filter(|flag| flag.raised()).map(|flag| flag.id).collect();
    assert_eq!(ids, ["F2"]);
    assert!(found.iter().any(|flag| flag.text.contains("after 150 queries")), "{found:?}");
}

#[test]
fn what_is_revealed_beside_what_is_said_raises_f3() {
    let one_hot = scripted(|p| {
        let row = sure(p[0]);
        let top = crate::victim::argmax(&row);
        (0..CLASSES).map(|c| f32::from(u8::from(c == top))).collect()
    });
    assert_eq!(raised(&one_hot, None), ["F3"]);
    let rounded = scripted(|p| sure(p[0]).into_iter().map(|y| (y * 10.0).round() / 10.0).collect());
    assert_eq!(raised(&rounded, None), ["F3"]);
}

#[test]
fn a_victim_at_chance_or_far_from_its_claim_raises_f8() {
    let constant = scripted(|_| vec![0.4, 0.3, 0.2, 0.1]);
    assert!(raised(&constant, None).contains(&"F8"));
    let turned = scripted(|p| sure(p[0].wrapping_add(1)));
    assert_eq!(raised(&turned, None), ["F8"]);
    assert_eq!(raised(&scripted(|p| sure(p[0])), Some(0.8)), ["F8"]);
}

/// A victim that counts what it is asked, and refuses every request after the budget is used up.
struct Counting {
    front: Front,
    seen: Mutex<HashMap<[u8; 32], usize>>,
    budget: Mutex<usize>,
}

impl Counting {
    fn new(budget: usize) -> Self {
        let front = Front::new("script".into(), CLASSES, Scale::Probabilities);
        Self { front, seen: Mutex::default(), budget: Mutex::new(budget) }
    }
}

impl Victim for Counting {
    fn front(&self) -> &Front {
        &self.front
    }

    fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
        let mut budget = self.budget.lock().expect("no panic");
        let refused =
            || VictimError::Interface { interface: "more".into(), reason: "the budget is used up".into() };
        *budget = budget.checked_sub(request.items.len()).ok_or_else(refused)?;
        let mut rows = Vec::new();
        for pixels in request.pixels() {
            *self.seen.lock().expect("no panic").entry(content_hash(&pixels)).or_default() += 1;
            rows.extend(sure(pixels[0]));
        }
        Ok(self.front.serve(rows))
    }
}

#[test]
fn a_used_up_budget_loses_nothing_and_no_image_is_asked_twice() {
    let folder = tempfile::tempdir().expect("temp");
    let victim = Counting::new(150);
    let test = images();
    let open = || AnswerLog::open(folder.path(), &whose(&victim)).expect("fine");
    assert!(asked(&mut open(), &victim, &test, 0..1).is_err());
    // Two requests of 64 images were answered, the third was refused.
    assert_eq!((open().asked(), open().unanswered()), (192, 64));
    *victim.budget.lock().expect("no panic") = 1000;
    // Another process goes on, stopped after one request.
    let mut requests = 0;
    let mut stop = |_, _| {
        requests += 1;
        requests > 1
    };
    let end = collect(&mut open(), &victim, &test, 0..1, &mut stop).expect("it answers");
    assert_eq!(end, Asked::Stopped);
    assert_eq!(asked(&mut open(), &victim, &test, 0..1).expect("it answers"), Asked::All);
    let seen = victim.seen.lock().expect("no panic");
    assert!(seen.len() == 200 && seen.values().all(|&times| times == 1));
    drop(seen);
    // Everything is known: nothing more is asked, for these or fewer images.
    let before = victim.queries();
    let fewer = test.subset(&(20..90).collect::<Vec<_>>());
    assert_eq!(asked(&mut open(), &victim, &fewer, 0..1).expect("known"), Asked::All);
    assert_eq!((victim.queries(), open().unanswered()), (before, 64));
    assert_eq!(rows(&open(), &fewer, 0).expect("known")[..CLASSES], sure(20)[..]);
}

#[test]
fn failed_queries_raise_f9() {
    struct Failing(Counting, AtomicUsize);
    impl Victim for Failing {
        fn front(&self) -> &Front {
            self.0.front()
        }
        fn ask(&self, request: &Request<'_>) -> Result<Answers, VictimError> {
            if self.1.fetch_add(1, Ordering::Relaxed).is_multiple_of(3) {
                return Err(VictimError::Interface { interface: "now".into(), reason: "busy".into() });
            }
            self.0.ask(request)
        }
    }
    let failing = Failing(Counting::new(usize::MAX), AtomicUsize::new(0));
    assert_eq!(raised(&failing, None), ["F9"]);
}

#[test]
fn equal_images_are_one_query() {
    let folder = tempfile::tempdir().expect("temp");
    let victim = Counting::new(100);
    let twins = ImageSet::new(1, 1, 1, vec![7, 8, 7], vec![0; 3]);
    let mut log = AnswerLog::open(folder.path(), &whose(&victim)).expect("fine");
    asked(&mut log, &victim, &twins, 0..1).expect("it answers");
    assert_eq!((victim.queries(), log.asked()), (2, 2));
    assert_eq!(rows(&log, &twins, 0).expect("known").len(), 3 * CLASSES);
    assert!(rows(&log, &twins, 1).expect_err("not asked").contains("3 of 3"));
}
