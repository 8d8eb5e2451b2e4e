use super::super::report::{Against, Signal, VICTIM};
use super::super::{Audited, Comparison, Report, compare, verdict};
use super::*;

fn audited(name: &str, report: Report) -> Audited {
    Audited { name: name.to_owned(), verdict: verdict(&report), report }
}

/// A victim of `accuracy` whose best clone has `clone`.
fn victim(accuracy: f64, clone: f64) -> Report {
    let mut report = with(&[Thief::new("kd", Against::Victim, Signal::Probabilities, clone)]);
    report.victim.accuracy = accuracy;
    report.right.insert(VICTIM.to_owned(), right(accuracy, 0));
    report
}

fn names(found: &Comparison, wanted: impl Fn(&super::super::Compared) -> bool) -> Vec<&str> {
    found.entries.iter().filter(|e| wanted(e)).map(|e| e.name.as_str()).collect()
}

#[test]
fn victims_stand_by_their_cost_and_dominated_ones_are_off_the_front() {
    let found = compare(&[
        audited("normal", victim(0.90, 0.86)),
        audited("nasty", victim(0.895, 0.84)),
        audited("worse", victim(0.892, 0.85)),
        audited("broken", victim(0.80, 0.75)),
        audited("unmeasured", victim(0.88, 0.11)),
    ]);
    assert_eq!(names(&found, |_| true), ["nasty", "normal", "worse", "unmeasured", "broken"]);
    assert_eq!(names(&found, |e| e.front_accuracy), ["nasty", "normal", "broken"]);
    assert_eq!(names(&found, |e| e.clone.is_none()), ["unmeasured"]);
    let levels: Vec<_> = found.entries.iter().map(|e| e.level).collect();
    assert_eq!(levels, [Some(0.005), Some(0.005), Some(0.01), Some(0.02), None]);
    assert!((found.entries[0].accuracy_cost - 0.005).abs() < 1e-12);
    assert_eq!(found.differences, [""; 0]);
    // Nobody's probabilities are changed: by that measure only the lowest clone is on the front.
    assert_eq!(names(&found, |e| e.front_l1), ["broken"]);
}

#[test]
fn a_defence_in_front_of_a_victim_is_compared_with_that_victim() {
    let found = compare(&[audited("defended", defended())]);
    let [entry] = &found.entries[..] else { panic!("one entry") };
    assert_eq!(
        (entry.accuracy_cost, entry.l1, entry.thief.as_deref()),
        (0.0, Some(0.79), Some("class-mean"))
    );
    assert!((entry.protection.expect("a stake") - 0.75).abs() < 1e-9);
    let mut unmeasured = defended();
    unmeasured.victim.cost = None;
    assert_eq!(compare(&[audited("a", unmeasured)]).entries[0].l1, None, "not 0");
}

#[test]
fn audits_that_were_made_differently_are_told() {
    let mut other = victim(0.9, 0.86);
    other.protocol.seeds = vec![0];
    other.battery.version = 2;
    other.protocol.steps = 1;
    let found = compare(&[audited("a", victim(0.9, 0.86)), audited("b", other)]);
    assert_eq!(
        found.differences,
        [
            "battery: standard-1 in a, standard-2 in b",
            "seeds: 0, 1, 2 in a, 0 in b",
            "steps: 500 in a, 1 in b"
        ]
    );
    assert_eq!(compare(&[]).entries, []);
}
