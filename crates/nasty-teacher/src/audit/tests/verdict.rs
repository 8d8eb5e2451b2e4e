use super::super::report::{Against, ChosenBy, Measured, Outcome, Profile, Signal, Validation};
use super::super::{Condition, Decision, Report, decide, verdict};
use super::*;
use Against::{Nobody, Undefended as Clean, Victim};
use Signal::{Nothing, PredictedClass, Probabilities};

fn close(a: f64, b: f64) {
    assert!((a - b).abs() < 1e-9, "{a} {b}");
}

pub(super) fn each(report: &mut Report, thief: &str, change: impl Fn(&mut Measured)) {
    for row in report.rows.iter_mut().filter(|row| row.thief == thief) {
        if let Outcome::Ok(measured) = &mut row.outcome {
            change(measured);
        }
    }
}

#[test]
fn the_worst_case_is_the_best_mean_and_the_chosen_clone_is_the_thiefs_own_choice() {
    let mut report = with(&[
        Thief::new("hard-label", Victim, PredictedClass, 0.82),
        Thief::new("kd", Victim, Probabilities, 0.84),
        // Better in its best seed, worse on the mean.
        Thief { spread: 0.03, ..Thief::new("dist", Victim, Probabilities, 0.83) },
        Thief::new("alone", Nobody, Nothing, 0.80),
    ]);
    each(&mut report, "dist", |m| m.validation = Some(Validation { by: ChosenBy::Labels, score: 0.9 }));
    let found = verdict(&report);
    let worst = found.worst_case.as_ref().expect("measured");
    assert_eq!((worst.thief.as_str(), worst.accuracy.seeds), ("kd", 3));
    close(worst.accuracy.mean, 0.84);
    assert!(worst.accuracy.interval.low < 0.825 && worst.accuracy.interval.high > 0.855);
    assert_eq!(found.chosen.as_ref().expect("chosen").thief, "dist");
    assert_eq!(found.hard.as_ref().expect("hard").thief, "hard-label");
    assert_eq!(found.alone.as_ref().expect("alone").thief, "alone");
    // Without defences the victim's own rows tell what its probabilities are worth.
    close(found.soft_label_advantage.as_ref().expect("both").mean, 0.02);
    assert!(found.removed.is_none() && found.protection.is_none() && found.undefended.is_none());
    assert!(found.reliable, "{:?}", found.flags);
}

#[test]
fn protection_is_the_share_of_the_stake_with_its_interval() {
    let found = verdict(&defended());
    assert_eq!(found.worst_case.as_ref().expect("worst").thief, "class-mean");
    let protection = found.protection.expect("undefended");
    // (86 − 83)/(86 − 82): the hard-label clone is the floor, for it is above labels alone.
    close(protection.score.expect("a stake"), 0.75);
    close(protection.stake.mean, 0.04);
    assert_eq!(protection.floor.thief, "hard-label");
    let interval = protection.interval.expect("three seeds");
    assert!(interval.low < 0.75 && interval.high > 0.75 && interval.low > 0.0, "{interval:?}");
    close(found.removed.expect("undefended").mean, 0.03);
    close(found.soft_label_advantage.expect("undefended").mean, 0.04);
    close(protection.common, 1.0 - 0.83 / 0.9);
}

#[test]
fn nothing_is_at_stake_where_the_floor_reaches_the_best_clone() {
    let mut report = defended();
    report.rows.retain(|row| row.thief != "alone");
    add(&mut report, &[Thief::new("alone", Nobody, Nothing, 0.86)]);
    let found = verdict(&report);
    let protection = found.protection.expect("undefended");
    assert_eq!(
        (protection.score, protection.interval, protection.floor.thief.as_str()),
        (None, None, "alone")
    );

    // A thief without labels has no such floor.
    report.rows.iter_mut().filter(|row| row.thief != "alone").for_each(|row| row.profile = Profile::B);
    assert_eq!(verdict(&report).protection.expect("undefended").floor.thief, "hard-label");

    // A stake within the noise of the seeds is none.
    let mut report = defended();
    report.rows.retain(|row| row.thief != "kd");
    add(&mut report, &[Thief { spread: 0.05, ..Thief::new("kd", Clean, Probabilities, 0.86) }]);
    assert_eq!(verdict(&report).protection.expect("undefended").score, None);
}

#[test]
fn comparisons_are_paired_and_corrected() {
    let found = verdict(&defended());
    let kd = found.comparisons.iter().find(|d| d.what.starts_with("kd")).expect("kd against itself");
    close(kd.mean, 0.16);
    let (seeds, holm) = (kd.p_seeds.expect("seeds"), kd.p_seeds_holm.expect("seeds"));
    let (images, images_holm) = (kd.p_images.expect("images"), kd.p_images_holm.expect("images"));
    assert!(kd.clear() && seeds < 0.01 && holm >= seeds && images < 1e-6 && images_holm >= images);
    let same = found.comparisons.iter().find(|d| d.what.starts_with("hard-label")).expect("hard label");
    assert_eq!((same.mean, same.p_seeds, same.p_images), (0.0, Some(1.0), Some(1.0)));
    assert!(!same.clear());
}

#[test]
fn without_the_images_results_differences_are_less_certain() {
    let full = verdict(&defended()).removed.expect("undefended");
    let mut report = defended();
    report.right.clear();
    let bare = verdict(&report);
    let removed = bare.removed.expect("undefended");
    assert!(removed.noise > full.noise && removed.p_images.is_none());
    assert_eq!(bare.protection.expect("undefended").interval, None);
}

#[test]
fn one_seed_has_the_images_interval_and_no_test_over_seeds() {
    let mut report = defended();
    report.rows.retain(|row| row.seed == 0);
    let found = verdict(&report);
    let worst = found.worst_case.expect("measured").accuracy;
    assert_eq!((worst.sd, worst.seeds), (None, 1));
    assert_eq!(worst.interval, crate::metrics::wilson(1660, 2000));
    let removed = found.removed.expect("undefended");
    assert!(removed.p_seeds.is_none() && removed.p_images.is_some());
    assert!(!found.reliable);
}

#[test]
fn what_failed_is_never_protection() {
    // Every clone at chance: no verdict, whatever the figures.
    let mut report = with(&[
        Thief::new("hard-label", Victim, PredictedClass, 0.11),
        Thief::new("kd", Victim, Probabilities, 0.12),
    ]);
    let found = verdict(&report);
    assert!(found.worst_case.is_none() && !found.reliable);
    assert_eq!(decide(&found, true, None), Decision::NothingMeasured);
    // The same against a defended victim, whose undefended form can be stolen, is what a defence can do.
    report.victim.defences = "adaptive-misinformation".into();
    report.victim.undefended = Some(super::super::report::Undefended { identity: "1".into(), accuracy: 0.9 });
    add(&mut report, &[Thief::new("hard-label", Clean, PredictedClass, 0.8)]);
    assert_eq!(verdict(&report).worst_case.expect("evidence").thief, "kd");
    // No rows at all.
    assert!(verdict(&empty()).worst_case.is_none());
}

#[test]
fn an_extra_is_not_in_the_verdict_but_is_told() {
    let mut report = defended();
    add(&mut report, &[Thief::new("dkd", Victim, Probabilities, 0.88)]);
    report.rows.iter_mut().filter(|row| row.thief == "dkd").for_each(|row| row.in_verdict = false);
    let found = verdict(&report);
    assert_eq!(found.worst_case.expect("worst").thief, "class-mean");
    assert_eq!(found.stronger_extra.expect("an extra").thief, "dkd");
    assert!(!found.reliable);
}

#[test]
fn curves_follow_the_best_thief_of_each_budget() {
    let mut report = with(&[Thief::new("kd", Victim, Probabilities, 0.84)]);
    add(
        &mut report,
        &[
            Thief { budget: 100, ..Thief::new("hard-label", Victim, PredictedClass, 0.7) },
            Thief { budget: 100, ..Thief::new("kd", Victim, Probabilities, 0.6) },
        ],
    );
    let found = verdict(&report);
    let [curve] = &found.curves[..] else { panic!("{:?}", found.curves) };
    let points: Vec<_> = curve.points.iter().map(|p| (p.budget, p.thief.as_str())).collect();
    assert_eq!(points, [(100, "hard-label"), (1000, "kd")]);
    // 81 % is 11/14 of the way from 70 to 84 %.
    close(curve.to_90_percent.expect("reached"), 100.0 * 10f64.powf(11.0 / 14.0));
    assert_eq!(curve.to_95_percent, None);
}

#[test]
fn decisions_end_with_their_exit_codes() {
    let report = defended();
    let found = verdict(&report);
    let condition = |text: &str| Condition::parse(text).expect("a condition");
    let code = |complete, text: &str| decide(&found, complete, Some(&condition(text))).exit_code();
    assert_eq!(decide(&found, true, None).exit_code(), 0);
    assert_eq!(code(true, "clone >= 0.95*victim"), 0);
    assert_eq!(code(true, "clone >= 0.9*victim"), 4);
    assert_eq!(code(true, "protection < 0.8"), 4);
    assert_eq!(code(true, "advantage > 3% and removed < 3.1%"), 4);
    assert_eq!(code(false, "clone >= 0.9*victim"), 75);
    let found = verdict(&with(&[Thief::new("kd", Victim, Probabilities, 0.84)]));
    let undecided = decide(&found, true, Some(&condition("protection < 0.5")));
    assert_eq!(undecided.exit_code(), 3);
    assert!(condition("clone > 0.83").holds_for(&found, 0.8) == Ok(false));
}

#[test]
fn a_floor_has_as_many_images_as_the_clone() {
    let mut report = with(&[Thief::new("kd", Victim, Probabilities, 0.84)]);
    let alone = |budget, accuracy| Thief { budget, ..Thief::new("alone", Nobody, Nothing, accuracy) };
    add(&mut report, &[alone(10_000, 0.88), alone(1000, 0.8)]);
    let floor = verdict(&report).alone.expect("a floor");
    assert_eq!(floor.budget, 1000);
    close(floor.accuracy.mean, 0.8);
}
