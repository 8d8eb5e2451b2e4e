use super::super::report::*;
use super::super::{Flag, FlagState, Report, verdict};
use super::verdict::each;
use super::*;
use crate::victim::Interface;

fn flag(report: &Report, id: &str) -> Flag {
    verdict(report).flags.into_iter().find(|flag| flag.id == id).expect("every flag is listed")
}

/// The flag is clear on `calm`, and raised, and serious or not, once `change` is done.
fn fires(id: &str, calm: &Report, serious: bool, change: impl FnOnce(&mut Report)) -> Flag {
    let before = flag(calm, id);
    assert_eq!(before.state, FlagState::Clear, "{before:?}");
    let mut report = calm.clone();
    change(&mut report);
    let raised = flag(&report, id);
    assert_eq!((raised.state, raised.undermines()), (FlagState::Raised, serious), "{raised:?}");
    assert_eq!(verdict(&report).reliable, !serious, "{id}");
    raised
}

/// Soft clones better than hard ones, hard ones better than labels alone.
fn calm() -> Report {
    let report = defended();
    assert!(verdict(&report).reliable);
    report
}

#[test]
fn every_flag_is_there_once_in_order() {
    let ids: Vec<_> = verdict(&calm()).flags.iter().map(|flag| flag.id).collect();
    assert_eq!(ids, ["F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9", "F10", "F11", "F12"]);
    let raised: Vec<_> = verdict(&calm()).flags.into_iter().filter(Flag::raised).collect();
    assert_eq!(raised, []);
    // Without probes and rows nothing is claimed to be fine.
    let mut report = empty();
    report.probes = Probes { queries: 10, chance: 0.1, ..Probes::default() };
    let unchecked = verdict(&report).flags.into_iter().filter(|f| f.state == FlagState::NotChecked);
    let unchecked: Vec<_> = unchecked.map(|flag| flag.id).collect();
    assert_eq!(unchecked, ["F1", "F2", "F3", "F4", "F6", "F7", "F10"]);
}

#[test]
fn random_answers_and_the_thief_that_averages_them() {
    let random = Some(Repeats { images: 32, times: 5, different: 3, largest: 0.25 });
    let raised = fires("F1", &calm(), true, |report| report.probes.repeats = random);
    assert!(raised.text.contains("none in the battery did"), "{}", raised.text);
    let mut averaged = calm();
    add(&mut averaged, &[Thief::new(QUERY_AVERAGING, Against::Victim, Signal::Probabilities, 0.8)]);
    fires("F1", &averaged, false, |report| report.probes.repeats = random);
}

#[test]
fn history_and_key() {
    let history = |changed, by_key| Some(History { images: 32, between: 256, changed, by_key });
    fires("F2", &calm(), true, |report| report.probes.history = history(1, None));
    fires("F2", &calm(), true, |report| report.probes.history = history(0, Some(2)));
    let mut two_keys = calm();
    two_keys.probes.history = history(0, Some(0));
    assert_eq!(flag(&two_keys, "F2").state, FlagState::Clear);
}

#[test]
fn answers_that_are_not_as_declared() {
    let raised = |interface, change: fn(&mut Revealed)| {
        let mut report = calm();
        report.victim.interface = interface;
        change(report.probes.revealed.as_mut().expect("asked"));
        flag(&report, "F3").raised()
    };
    let nothing: fn(&mut Revealed) = |_| {};
    let logits: fn(&mut Revealed) = |seen| seen.probabilities = false;
    let two: fn(&mut Revealed) = |seen| (seen.decimals, seen.nonzero) = (Some(2), 3);
    let one_hot: fn(&mut Revealed) = |seen| (seen.decimals, seen.nonzero) = (Some(0), 1);
    assert!(!raised(Interface::Probabilities, nothing) && raised(Interface::Probabilities, logits));
    assert!(raised(Interface::Probabilities, two) && raised(Interface::Probabilities, one_hot));
    assert!(!raised(Interface::Logits, logits) && raised(Interface::Logits, nothing));
    assert!(
        !raised(Interface::Rounded { decimals: 2 }, two) && raised(Interface::Rounded { decimals: 1 }, two)
    );
    assert!(!raised(Interface::TopK { k: 3 }, two) && raised(Interface::TopK { k: 2 }, two));
    assert!(!raised(Interface::Label, one_hot) && raised(Interface::Label, two));
}

#[test]
fn hard_labels_as_good_as_probabilities() {
    let raised = fires("F4", &calm(), false, |report| {
        report.rows.retain(|row| row.thief != "class-mean");
    });
    assert!(raised.text.contains("82.00 %") && raised.text.contains("70.00 %"), "{}", raised.text);
}

#[test]
fn thieves_that_fail() {
    let no_evidence = || Outcome::NoEvidence { reason: "the loss was not finite".into() };
    // One seed of three: told, and the others stand.
    fires("F5", &calm(), false, |report| report.rows[0].outcome = no_evidence());
    // All seeds of a thief: the battery lost one.
    fires("F5", &calm(), true, |report| {
        report.rows.iter_mut().filter(|row| row.thief == "kd").for_each(|row| row.outcome = no_evidence());
    });
    // A thief more than ten points behind on the undefended victim does not work.
    let raised = fires("F5", &calm(), true, |report| {
        add(
            report,
            &[
                Thief::new("dist", Against::Undefended, Signal::Probabilities, 0.75),
                Thief::new("dist", Against::Victim, Signal::Probabilities, 0.75),
            ],
        );
    });
    assert!(raised.text.contains("11.0 points below"), "{}", raised.text);
    // kd is 13 points behind on the defended victim, which is the defence's doing.
    assert_eq!(flag(&calm(), "F5").state, FlagState::Clear);
    // A thief that works with one budget works.
    let mut small = calm();
    add(
        &mut small,
        &[Thief { budget: 10, ..Thief::new("kd", Against::Undefended, Signal::Probabilities, 0.12) }],
    );
    assert_eq!(flag(&small, "F5").state, FlagState::Clear);
}

#[test]
fn data_that_needs_no_victim() {
    fires("F6", &calm(), false, |report| {
        add(report, &[Thief::new("label-smoothed", Against::Nobody, Signal::Nothing, 0.835)]);
    });
}

#[test]
fn the_edge_of_the_grid() {
    let setting = |edge| vec![Setting { name: "temperature".into(), value: 20.0, edge }];
    let mut inside = calm();
    each(&mut inside, "class-mean", |m| m.settings = setting(None));
    let raised = fires("F7", &inside, true, |report| {
        each(report, "class-mean", |m| m.settings = setting(Some(Edge::High)));
    });
    assert!(
        raised.text.contains("3 of 3 clones of class-mean chose the highest temperature"),
        "{}",
        raised.text
    );
    // One clone of three, or another thief, is no edge.
    let mut once = inside.clone();
    once.rows.iter_mut().filter(|row| row.thief == "class-mean" && row.seed == 0).for_each(|row| {
        if let Outcome::Ok(m) = &mut row.outcome {
            m.settings = setting(Some(Edge::High));
        }
    });
    each(&mut once, "kd", |m| m.settings = setting(Some(Edge::Low)));
    assert_eq!(flag(&once, "F7").state, FlagState::Clear);
    // More queries would go further; a ladder that has levelled out does not say so.
    let rung = |accuracy| Thief {
        budget: 100,
        ..Thief::new("kd", Against::Victim, Signal::Probabilities, accuracy)
    };
    fires("F7", &calm(), false, |report| add(report, &[rung(0.6)]));
    let mut level = calm();
    add(&mut level, &[rung(0.825)]);
    assert_eq!(flag(&level, "F7").state, FlagState::Clear);
}

#[test]
fn a_victim_that_is_asked_the_wrong_way() {
    fires("F8", &calm(), true, |report| report.victim.claimed = Some(0.95));
    fires("F8", &calm(), true, |report| {
        report.victim.accuracy = 0.13;
        report.right.insert(VICTIM.to_owned(), right(0.13, 0));
    });
    let mut claimed = calm();
    claimed.victim.claimed = Some(0.92);
    assert_eq!(flag(&claimed, "F8").state, FlagState::Clear, "within what 2,000 images can tell");
    claimed.victim.claimed = Some(0.86);
    assert!(flag(&claimed, "F8").raised(), "better than claimed is wrong as well");
}

#[test]
fn failed_queries_seeds_and_stops() {
    fires("F9", &calm(), true, |report| report.probes.failed = 41);
    let mut few = calm();
    few.probes.failed = 40;
    assert_eq!(flag(&few, "F9").state, FlagState::Clear, "exactly 1 %");
    fires("F10", &calm(), true, |report| report.rows.retain(|row| row.seed < 2));
    fires("F11", &calm(), true, |report| report.made.complete = false);
    fires("F12", &calm(), true, |report| {
        add(report, &[Thief::new("dkd", Against::Victim, Signal::Probabilities, 0.88)]);
        report.rows.iter_mut().filter(|row| row.thief == "dkd").for_each(|row| row.in_verdict = false);
    });
}
