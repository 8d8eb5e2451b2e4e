//! Thieves beside plain distillation, on tiny images: each steals from a victim that knows something, none from one that does not,
//! and what is interrupted goes on as if it had not been.

mod bench;

use bench::{Patience, victim, workplace};
use nasty_teacher::attacks::thieves::ThiefRecipe;
use nasty_teacher::audit::report::{Against, Profile};
use nasty_teacher::audit::{Battery, Request, Schedule, Subject, Trial, carry_out};
use nasty_teacher::data::DataName;
use nasty_teacher::lab::{
    AnswerLog, AskOptions, Executor, Local, Plan, Task, TaskEnd, ThiefResult, Workplace,
};
use nasty_teacher::victim::Interface;

/// Images asked about.
const ASKED: usize = 300;
const TEST: usize = 200;
const NEW: [&str; 4] = ["htc-symmetric", "skeptical", "rotation", "jbda-tr"];

fn request(victim: &str, steps: usize) -> Request {
    Request {
        victim: victim.to_owned(),
        how: AskOptions::default(),
        undefended: None,
        data: DataName::Quickstart,
        pool: None,
        budget: ASKED,
        battery: Battery::Full,
        seeds: 1,
        students: Vec::new(),
        test_images: Some(TEST),
        half_of_test: false,
        claimed: None,
        steps: Some(steps),
    }
}

/// The first trial of each of `thieves` that has no labels and steals from the victim as it is served.
fn trials<'a>(schedule: &'a Schedule, thieves: &[&str]) -> Vec<&'a Trial> {
    let trial = |name: &&str| {
        let mut served = schedule.trials.iter().filter(|t| t.against == Against::Victim);
        served.find(|t| t.recipe.thief.name() == *name && t.profile == Profile::B)
    };
    thieves.iter().map(|name| trial(name).expect("the full battery has it")).collect()
}

/// Asks about the images without labels and the test images, and trains the clones of `trials`; whether that was finished.
fn steal(here: &Workplace, schedule: &Schedule, trials: &[&Trial], patience: &Patience) -> bool {
    let asked: Vec<&str> =
        trials.iter().filter_map(|trial| Some(trial.recipe.asked.as_ref()?.0.as_str())).collect();
    let test = schedule.before.iter().filter(|(name, _)| name.starts_with("test images"));
    let asks = schedule.transfer.iter().filter(|(_, ask)| asked.contains(&ask.hash().as_str())).chain(test);
    let asks = asks.map(|(name, ask)| (name.clone(), Task::Ask(ask.clone())));
    let clones = trials.iter().map(|trial| (trial.name(), Task::Thief(trial.recipe.clone())));
    let ends = Local { worker: here, jobs: 1 }.execute(&Plan::new(asks.chain(clones)), patience);
    for end in &ends {
        assert!(matches!(end, TaskEnd::Done | TaskEnd::Stopped | TaskEnd::Blocked(_)), "{end:?}");
    }
    ends.iter().all(|end| matches!(end, TaskEnd::Done))
}

fn result(here: &Workplace, trial: &Trial) -> ThiefResult {
    let result = here.store.run(&trial.recipe.hash()).other_result();
    result.expect("readable").expect("it is done")
}

/// Queries that thieves of the budget [`ASKED`] and the test images come to. Images are shared but for those that a thief makes.
fn expected(here: &Workplace, trials: &[&Trial]) -> (u64, u64) {
    for trial in trials {
        assert_eq!(trial.recipe.queries(), ASKED, "{}", trial.name());
    }
    let made = |trial: &&Trial| result(here, trial).made;
    let made: Vec<usize> = trials.iter().filter_map(made).collect();
    // It begins with 24. Some images come out as others before: where its clone is constant, nothing moves.
    assert!(matches!(made[..], [100..=276]), "{made:?}");
    ((ASKED + TEST + made[0]) as u64, 0)
}

/// Queries that were charged.
fn charged(here: &Workplace, subject: &Subject) -> (u64, u64) {
    let log = here.store.answers(&subject.served.whose).expect("it was asked");
    (log.asked(), log.unanswered())
}

#[test]
fn thieves_steal_what_a_victim_knows_and_nothing_from_one_that_knows_nothing() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let knows = victim(&here, &["epochs=6", "data.subset=2000", "data.validation=50"]);
    let ignorant =
        victim(&here, &["epochs=1", "data.subset=100", "data.validation=50", "learning_rate=1e-9"]);
    for (victim, floors, ceiling) in [(knows, [0.6, 0.6, 0.6, 0.4], 1.0), (ignorant, [0.0; 4], 0.3)] {
        let subject = Subject::open(request(&victim, 200), &here).expect("it opens");
        let schedule = Schedule::of(&subject, false);
        let trials = trials(&schedule, &NEW);
        assert!(steal(&here, &schedule, &trials, &Patience::endless()));
        assert_eq!(charged(&here, &subject), expected(&here, &trials), "images that are turned cost nothing");
        for (trial, floor) in trials.into_iter().zip(floors) {
            let accuracy = result(&here, trial).test.accuracy;
            assert!((floor..=ceiling).contains(&accuracy), "{}: {accuracy} of {victim}", trial.name());
        }
    }
}

#[test]
fn the_others_do_the_same_also_behind_defences() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let knows = victim(&here, &["epochs=6", "data.subset=2000", "data.validation=50"]);
    let ignorant =
        victim(&here, &["epochs=1", "data.subset=100", "data.validation=50", "learning_rate=1e-9"]);
    let plain = ["hard-label", "kd", "class-mean", "linear-recovery", "dist", "htc", "dkd"];
    for (defence, thieves) in [
        ("none", &plain[..]),
        // The table is made of the hard-label clone's rows.
        ("rounding:decimals=1", &["hard-label", "table-recovery"]),
        ("logit-noise:0.5", &["query-averaging"]),
    ] {
        for (victim, range) in [(&knows, 0.4..=1.0), (&ignorant, 0.0..=0.3)] {
            let mut request = request(victim, 200);
            request.how.defence = defence.parse().expect("a stack");
            let subject = Subject::open(request, &here).expect("it opens");
            let schedule = Schedule::of(&subject, defence.contains("noise"));
            let trials = trials(&schedule, thieves);
            assert!(steal(&here, &schedule, &trials, &Patience::endless()));
            for trial in trials {
                let accuracy = result(&here, trial).test.accuracy;
                assert!(range.contains(&accuracy), "{}: {accuracy} of {victim} {defence}", trial.name());
            }
        }
    }
}

#[test]
fn an_interrupted_thief_goes_on_as_if_it_had_not_been() {
    let changes = ["epochs=2", "data.subset=400", "data.validation=50"];
    let results = [9, usize::MAX].map(|batches| {
        let folder = tempfile::tempdir().expect("temp");
        let here = workplace(folder.path());
        let hash = victim(&here, &changes);
        let subject = Subject::open(request(&hash, 40), &here).expect("it opens");
        let schedule = Schedule::of(&subject, false);
        let trials = trials(&schedule, &NEW);
        let mut sittings = 1;
        while !steal(&here, &schedule, &trials, &Patience::new(batches)) {
            sittings += 1;
            assert!(sittings < 100, "it must end");
        }
        assert_eq!(sittings > 1, batches < usize::MAX, "{sittings}");
        assert_eq!(charged(&here, &subject), expected(&here, &trials));
        let left = here.store.run(&trials[3].recipe.hash()).folder.join("made-0.bin");
        assert!(!left.exists(), "what only an unfinished run needs is gone");
        trials.iter().map(|trial| result(&here, trial)).map(|r| (r.test, r.right, r.made)).collect::<Vec<_>>()
    });
    assert_eq!(results[0], results[1]);
}

/// The trial of the thief without images with `rounds` rounds of 16 images a batch.
fn without_images(schedule: &Schedule, rounds: usize) -> Trial {
    let trial = schedule.trials.iter().find(|t| t.profile == Profile::D).expect("the full battery has it");
    let why = trial.obstacle.as_ref().expect("the budget is small");
    assert_eq!(why, "without images it needs 1000000 queries or more, the budget is 300");
    let recipe = ThiefRecipe {
        budget: Some(7 * 16 * rounds + 50),
        batch: 16,
        steps: 5 * rounds,
        ..trial.recipe.clone()
    };
    assert_eq!((recipe.problem(), recipe.queries()), (None, 7 * 16 * rounds));
    Trial { recipe, obstacle: None, ..trial.clone() }
}

#[test]
fn a_thief_without_images_asks_no_image_twice_whether_it_is_stopped_or_killed() {
    let changes = ["epochs=1", "data.subset=200", "data.validation=50"];
    let results = [false, true].map(|interrupted| {
        let folder = tempfile::tempdir().expect("temp");
        let here = workplace(folder.path());
        let hash = victim(&here, &changes);
        let subject = Subject::open(request(&hash, 40), &here).expect("it opens");
        let schedule = Schedule::of(&subject, false);
        let trial = without_images(&schedule, 3);
        let run = here.store.run(&trial.recipe.hash());
        let sit = |patience| steal(&here, &schedule, &[&trial], &patience);
        if interrupted {
            // The test images take four looks at the watch, the first step one more.
            while !run.state_file().exists() {
                assert!(!sit(Patience::new(6)));
            }
            let earlier = std::fs::read(run.state_file()).expect("stopped");
            assert!(!sit(Patience::new(9)));
            assert!(earlier != std::fs::read(run.state_file()).expect("stopped again"));
            // As after a kill: the state is older than the answers.
            std::fs::write(run.state_file(), earlier).expect("writable");
        }
        assert!(sit(Patience::endless()));
        assert_eq!(charged(&here, &subject), (TEST as u64, 0));
        let whose = &subject.served.whose;
        let own = here.store.answers_for(&run.hash, whose).expect("readable").expect("it asked");
        assert_eq!((own.asked(), own.unanswered()), (7 * 16 * 3, 0));
        assert!(!run.state_file().exists() && run.rows().expect("written").len() == 1);
        let found = result(&here, &trial);
        assert_eq!((found.validation, found.made, found.steps), (None, None, 15));
        assert!(found.served.is_some() && found.clean.is_some());
        (found.test, found.right)
    });
    assert_eq!(results[0], results[1]);
}

#[test]
fn a_report_counts_what_a_thief_without_images_asked() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let hash = victim(&here, &["epochs=1", "data.subset=200", "data.validation=50"]);
    let subject =
        Subject::open(Request { budget: 1_000_000, ..request(&hash, 40) }, &here).expect("it opens");
    let queries = || {
        let mut plans = 0;
        // The test images are asked about, and nothing else.
        let mut execute = |plan: &Plan| {
            plans += 1;
            let stopped = || plan.tasks.iter().map(|_| TaskEnd::Stopped).collect();
            let first = || Local { worker: &here, jobs: 1 }.execute(plan, &Patience::endless());
            if plans == 1 { first() } else { stopped() }
        };
        let end = carry_out(&subject, &here, "nasty audit", true, &mut execute).expect("it can be asked");
        let report = end.report.expect("what was seen");
        assert!(!report.made.complete && report.protocol.budgets.iter().all(|budget| *budget <= 10_000));
        (report.probes.queries, report.probes.failed)
    };
    assert_eq!(queries(), (5 * 50 + 150, 0));
    let schedule = Schedule::of(&subject, false);
    let trial = schedule.trials.iter().find(|t| t.profile == Profile::D).expect("the full battery has it");
    let whose = &subject.served.whose;
    let own = folder.path().join(format!("{}-{}", whose.folder(), trial.recipe.hash()));
    let mut log = AnswerLog::open(&own, whose).expect("writable");
    log.about_to_ask(7).expect("writable");
    log.answered(&[([1; 32], 0), ([2; 32], 0)], &[0.1; 20]).expect("writable");
    assert_eq!(queries(), (5 * 50 + 150 + 7, 5));
}

#[test]
fn a_thief_without_images_is_tried_with_the_whole_budget_and_counted() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let hash = victim(&here, &["epochs=1", "data.subset=100", "data.validation=50"]);
    let of = |budget: usize, defence: &str| {
        let mut request = Request { budget, ..request(&hash, 40) };
        if !defence.is_empty() {
            request.how.defence = defence.parse().expect("a stack");
        }
        let subject = Subject::open(request, &here).expect("it opens");
        let schedule = Schedule::of(&subject, false);
        let queries = schedule.queries(&subject);
        (schedule, queries)
    };
    let (few, without) = of(999_999, "");
    let (many, with) = of(1_000_000, "");
    let tried = |schedule: &Schedule| {
        let trials = schedule.trials.iter().filter(|t| t.profile == Profile::D && t.obstacle.is_none());
        trials.map(|t| (t.name(), t.against, t.recipe.queries())).collect::<Vec<_>>()
    };
    assert!(tried(&few).is_empty());
    assert_eq!(tried(&many), [("dfme, D 1000000 cnn4 seed 0".to_owned(), Against::Victim, 999_936)]);
    assert_eq!(with - without, 999_936, "and nothing else is asked");
    let against: Vec<Against> =
        tried(&of(1_000_000, "rounding:decimals=1").0).into_iter().map(|t| t.1).collect();
    assert_eq!(against, [Against::Victim, Against::Undefended]);
    assert_eq!(many.trials.iter().find(|t| t.profile == Profile::D).expect("tried").recipe.problem(), None);
}

#[test]
fn what_a_thief_cannot_do_is_said_before_anybody_is_asked() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let hash = victim(&here, &["epochs=1", "data.subset=100", "data.validation=50"]);
    let mut label = request(&hash, 10);
    label.how.interface = Some(Interface::Label);
    let subject = Subject::open(label, &here).expect("it opens");
    for trial in trials(&Schedule::of(&subject, false), &NEW) {
        assert_eq!(trial.obstacle.as_deref(), Some("the victim gives out predicted classes only"));
    }
    let flat = Request { students: vec!["mlp".parse().expect("a name")], ..request(&hash, 10) };
    let subject = Subject::open(flat, &here).expect("it opens");
    let schedule = Schedule::of(&subject, false);
    let of = |student: &str, thief: &str| {
        let wanted = |t: &&Trial| t.recipe.student.to_string() == student && t.recipe.thief.name() == thief;
        let trial = schedule.trials.iter().find(wanted).expect("the full battery has it");
        assert_eq!(trial.against, Against::Victim);
        trial.obstacle.clone()
    };
    assert_eq!(of("cnn4", "skeptical"), None);
    assert_eq!(of("mlp", "rotation"), None);
    let obstacle = of("mlp", "skeptical").expect("it has no maps");
    assert!(obstacle.contains("3 stages or more, found mlp"), "{obstacle}");
}
