//! Metrics of one table of rows.

use nasty_teacher::metrics::{
    CLEAN_FLOOR, SERVED_FLOOR, accuracy, agreement, brier, calibration_error, common_protection, correct,
    holm, kl, l1, mcnemar, negative_log_likelihood, paired_t, wilson,
};

use crate::cases::{Case, close, file};

const TOLERANCE: f64 = 1e-10;

#[test]
fn metrics() {
    let value = file("metrics.json");
    let case = Case::new("metrics".to_owned(), &value);
    let inputs = case.inner("inputs");
    let labels = inputs.wholes("labels");
    let [clean, served, thief, other] =
        ["clean", "served", "thief", "other_thief"].map(|name| inputs.rows(name));
    inputs.finish();

    let check = |found: f64, expected: f64, what: &str| close(&[found], &[expected], TOLERANCE, what);
    let accuracies = case.inner("accuracy");
    for (name, rows) in [("clean", &clean), ("served", &served), ("thief", &thief), ("other_thief", &other)] {
        check(accuracy(rows, &labels), accuracies.number(name), name);
    }
    accuracies.finish();

    check(agreement(&thief, &clean), case.number("agreement_with_clean"), "agreement with clean");
    check(agreement(&thief, &served), case.number("agreement_with_served"), "agreement with served");
    check(agreement(&clean, &served), case.number("top1_kept"), "top-1 kept");
    let distance = l1(&clean, &served);
    check(distance.mean, case.number("l1_mean"), "mean ℓ1");
    check(distance.max, case.number("l1_max"), "largest ℓ1");
    check(kl(&clean, &served, CLEAN_FLOOR), case.number("kl_clean_served"), "KL clean, served");
    check(kl(&served, &clean, SERVED_FLOOR), case.number("kl_served_clean"), "KL served, clean");
    check(kl(&clean, &thief, CLEAN_FLOOR), case.number("kl_clean_thief"), "KL clean, thief");

    let (nll, score) = (case.inner("nll"), case.inner("brier"));
    for (name, rows) in [("clean", &clean), ("served", &served)] {
        check(negative_log_likelihood(rows, &labels), nll.number(name), "NLL");
        check(brier(rows, &labels), score.number(name), "Brier");
    }
    nll.finish();
    score.finish();
    let ece = case.inner("ece");
    for bins in [10, 15] {
        let expected = ece.inner(&bins.to_string());
        check(calibration_error(&clean, &labels, bins), expected.number("clean"), "ECE of clean");
        check(calibration_error(&served, &labels, bins), expected.number("served"), "ECE of served");
        expected.finish();
    }
    ece.finish();

    let right = correct(&thief, &labels);
    let found = mcnemar(&right, &correct(&other, &labels));
    let expected = case.inner("mcnemar");
    assert_eq!(found.only_first, expected.whole("only_thief_right"));
    assert_eq!(found.only_second, expected.whole("only_other_right"));
    check(found.exact, expected.number("p_exact"), "exact McNemar");
    check(found.mid, expected.number("p_mid"), "mid-p McNemar");
    check(found.chi2_corrected, expected.number("chi2_corrected"), "corrected chi-squared");
    expected.finish();

    let interval = wilson(right.iter().filter(|right| **right).count(), right.len());
    close(&[interval.low, interval.high], &case.vector("wilson_95_thief"), TOLERANCE, "Wilson");
    let protection = common_protection(accuracy(&thief, &labels), accuracy(&clean, &labels));
    check(protection, case.number("protection"), "protection");

    let seeds = case.inner("seeds");
    let found = paired_t(&seeds.vector("a"), &seeds.vector("b")).expect("several seeds");
    check(found.mean, seeds.number("difference_mean"), "mean difference");
    let interval = [found.interval.low, found.interval.high];
    close(&interval, &seeds.vector("difference_ci_95"), TOLERANCE, "paired t interval");
    check(found.p, seeds.number("p_paired_t"), "paired t test");
    seeds.finish();

    let corrected = case.inner("holm");
    close(&holm(&corrected.vector("p")), &corrected.vector("adjusted"), TOLERANCE, "Holm");
    corrected.finish();
    case.finish();
}
