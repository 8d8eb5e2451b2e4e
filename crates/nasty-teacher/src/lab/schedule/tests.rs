//! What a process does with what others tell it.

use super::*;
use crate::data::DataName;
use crate::lab::defaults::{Kind, recipe};
use crate::lab::plan::Planned;
use crate::lab::task::Task;

const TERMS: Terms = Terms { patience: Some(Duration::from_secs(60)), attempts: Some(3) };

/// As many tasks as `needs` has, each with what it needs; the first one has the longest way to the end.
fn plan(needs: &[&[usize]]) -> Plan {
    let any = recipe(DataName::Cifar10, "d".into(), "cnn".parse().expect("a name"), Kind::Train);
    let count = needs.len();
    let planned = |(i, needs): (usize, &&[usize])| Planned {
        name: i.to_string(),
        hash: i.to_string(),
        task: Task::Train(any.clone()),
        needs: needs.to_vec(),
        cost: (count - i) as f64,
    };
    Plan { tasks: needs.iter().enumerate().map(planned).collect() }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The next task that is tried at the time `now`, past news.
fn tried<E>(schedule: &mut Schedule<'_, E>, now: Duration) -> Option<usize> {
    loop {
        match schedule.next(now, false) {
            Next::Try(task) => return Some(task),
            Next::Hear => {}
            Next::Wait(_) | Next::Leave => return None,
        }
    }
}

#[test]
fn of_the_tasks_that_others_took_a_few_are_looked_at() {
    let plan = plan(&[&[][..]; 100]);
    let order = Order::of(&plan);
    let mut schedule = Schedule::<()>::new(&order, TERMS, true, 1);
    assert_eq!(schedule.next(seconds(0), false), Next::Hear);
    schedule.heard((0..80).map(|task| (task, News::Taken)));
    // None at first.
    assert_eq!(tried(&mut schedule, seconds(0)), Some(80));
    schedule.ended(80, TaskEnd::Done, None, seconds(0));
    let mut looked = Vec::new();
    while let Some(task) = tried(&mut schedule, seconds(1))
        && task < 80
    {
        looked.push(task);
        assert!(!schedule.looked(task, Look::Busy, seconds(1)));
    }
    assert_eq!(looked.len(), WATCHED[0]);
    // It now is at task 81. The other ones are told to be done, taken and free.
    schedule.heard((82..100).map(|task| (task, News::Done)));
    let free = (0..80).find(|task| !looked.contains(task)).expect("most of them");
    schedule.heard([(free, News::Free)]);
    assert_eq!(tried(&mut schedule, seconds(2)), Some(free));
    // With nothing else to do it looks at more of them, but not at once.
    assert_eq!(tried(&mut schedule, seconds(3)), None);
    let mut looked = std::collections::HashSet::new();
    for second in 3..13 {
        while let Some(task) = tried(&mut schedule, seconds(second)) {
            looked.insert(task);
            assert!(task < 80 && !schedule.looked(task, Look::Busy, seconds(second)));
        }
    }
    assert_eq!(looked.len(), WATCHED[1]);
}

#[test]
fn every_task_of_others_is_watched_in_turn_and_none_too_often() {
    let plan = plan(&[&[][..]; 64]);
    let order = Order::of(&plan);
    let terms = Terms { patience: None, ..TERMS };
    let mut schedule = Schedule::<()>::new(&order, terms, true, 1);
    schedule.heard((0..64).map(|task| (task, News::Taken)));
    let mut looks = [0; 64];
    for second in 0..8 * 3600 {
        while let Some(task) = tried(&mut schedule, seconds(second)) {
            looks[task] += 1;
            schedule.looked(task, Look::Busy, seconds(second));
        }
    }
    assert!(looks.iter().all(|&n| n >= 2), "{looks:?}");
    // Fewer than twelve for each turn of at least five minutes.
    let turns = WATCHED[1] as u32 * 8 * 12;
    assert!(looks.iter().sum::<u32>() < 12 * turns, "{looks:?}");
}

#[test]
fn what_others_tell_opens_what_needs_it_and_counts_until_it_is_found_untrue() {
    let plan = plan(&[&[], &[0], &[0], &[1]]);
    let order = Order::of(&plan);
    let mut schedule = Schedule::<()>::new(&order, TERMS, true, 1);
    // Out of order, and once more.
    schedule.heard([(1, News::Done), (1, News::Taken), (0, News::Taken), (0, News::Done), (0, News::Free)]);
    assert_eq!(tried(&mut schedule, seconds(0)), Some(2));
    assert!(schedule.looked(2, Look::Free, seconds(0)));
    assert_eq!(schedule.unseen_needs(2), [0]);
    assert_eq!(tried(&mut schedule, seconds(0)), Some(3));
    assert!(schedule.looked(3, Look::Free, seconds(0)));
    schedule.seen_done(0);
    assert!(schedule.unseen_needs(2).is_empty());
    // Task 1 turns out not to be done, so that task 3 cannot be begun.
    schedule.distrust(3);
    assert_eq!(tried(&mut schedule, seconds(0)), Some(1));
    assert_eq!(tried(&mut schedule, seconds(0)), None);
    schedule.ended(2, TaskEnd::Done, None, seconds(1));
    schedule.ended(1, TaskEnd::Done, None, seconds(1));
    assert_eq!(tried(&mut schedule, seconds(1)), Some(3));
    schedule.ended(3, TaskEnd::Done, None, seconds(1));
    assert_eq!(schedule.next(seconds(2), false), Next::Hear);
    assert_eq!(schedule.next(seconds(2), false), Next::Leave);
    assert!(schedule.ends(false).iter().all(|end| matches!(end, TaskEnd::Done)));
}

#[test]
fn whoever_hears_nothing_looks_at_every_task() {
    let plan = plan(&[&[][..]; 40]);
    let order = Order::of(&plan);
    let mut schedule = Schedule::<()>::new(&order, TERMS, false, 1);
    let mut looks = [0; 40];
    for second in 0..60 {
        while let Some(task) = tried(&mut schedule, seconds(second)) {
            looks[task] += 1;
            schedule.looked(task, Look::Busy, seconds(second));
        }
    }
    assert!(looks.iter().all(|&n| n >= 2), "{looks:?}");
    while let Some(task) = tried(&mut schedule, seconds(70)) {
        schedule.looked(task, Look::Busy, seconds(70));
    }
    assert_eq!(schedule.next(seconds(70), false), Next::Leave);
    assert!(schedule.ends(false).iter().all(|end| matches!(end, TaskEnd::Left)));
}
