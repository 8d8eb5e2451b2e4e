//! A whole audit on tiny images: a victim that trains for a second, clones that take three steps.

mod bench;

use bench::{Patience, workplace};
use nasty_teacher::audit::report::{Against, Outcome, Profile};
use nasty_teacher::audit::{AuditEnd, Battery, Report, Request, Subject, carry_out, verdict};
use nasty_teacher::data::DataName;
use nasty_teacher::defences::Stack;
use nasty_teacher::lab::{AskOptions, Executor, Local, Plan, Workplace};

/// A victim that is better than chance, and its hash.
fn victim(here: &Workplace) -> String {
    bench::victim(here, &["epochs=3", "data.subset=400", "data.validation=50", "batch=32"])
}

fn request(victim: &str, budget: usize, defence: &str) -> Request {
    let defence = if defence.is_empty() { Stack::default() } else { defence.parse().expect("a stack") };
    let how = AskOptions { defence, ..AskOptions::default() };
    Request {
        victim: victim.to_owned(),
        how,
        undefended: None,
        data: DataName::Quickstart,
        pool: None,
        budget,
        battery: Battery::Quick,
        seeds: 1,
        students: Vec::new(),
        test_images: Some(200),
        half_of_test: false,
        claimed: None,
        steps: Some(8),
    }
}

fn audit(here: &Workplace, request: Request, batches: usize) -> AuditEnd {
    let subject = Subject::open(request, here).expect("it opens");
    let patience = Patience::new(batches);
    let mut execute = |plan: &Plan| Local { worker: here, jobs: 2 }.execute(plan, &patience);
    carry_out(&subject, here, "nasty audit", false, &mut execute).expect("it can be asked")
}

fn finished(end: AuditEnd) -> Report {
    assert!(
        !end.stopped && end.failures.is_empty() && end.refused.is_none(),
        "{:?} {:?}",
        end.failures,
        end.refused
    );
    end.report.expect("it is finished")
}

#[test]
fn an_audit_stops_goes_on_and_asks_nothing_twice() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let hash = victim(&here);
    // Every sitting lasts for a few batches only.
    let mut sittings = 0;
    let report = loop {
        sittings += 1;
        assert!(sittings < 200, "it must end");
        let end = audit(&here, request(&hash, 60, ""), 12);
        if !end.stopped {
            break finished(end);
        }
        assert!(end.report.is_none_or(|report| !report.made.complete));
    };
    assert!(sittings > 3, "it was interrupted: {sittings}");
    assert!(report.made.complete && report.problem().is_none(), "{:?}", report.problem());
    // 50 images five times, the other 150 test images, 60 of the thieves', and the probe once more.
    assert_eq!((report.probes.queries, report.probes.failed), (5 * 50 + 150 + 60 + 50, 0));
    assert_eq!(report.protocol.fresh, Some(true));
    assert_eq!(report.victim.undefended, None);
    let names: Vec<&str> = report.rows.iter().map(|row| row.thief.as_str()).collect();
    assert_eq!(names, ["alone", "label-smoothing", "hard-label", "kd", "class-mean", "linear-recovery"]);
    for row in &report.rows {
        assert_eq!(row.budget, 60);
        assert_eq!(row.queries, if row.against == Against::Nobody { 0 } else { 60 });
        if let Outcome::Ok(measured) = &row.outcome {
            assert_eq!(report.right[&row.run].as_slice().len(), 200);
            assert!(measured.validation.is_some() && measured.seconds > 0.0);
        }
    }
    // A larger budget asks for what is missing only.
    let larger = finished(audit(&here, request(&hash, 90, ""), usize::MAX));
    assert_eq!(larger.probes.queries, report.probes.queries + 30);
    // Another process reads the same figures from the store.
    let again = finished(audit(&workplace(folder.path()), request(&hash, 60, ""), 1));
    assert_eq!(again.rows, report.rows);
    assert_eq!(again.victim.defences, "", "what has no defences is judged as such");
}

#[test]
fn a_defended_victim_is_compared_with_the_undefended_one() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let hash = victim(&here);
    let report = finished(audit(&here, request(&hash, 60, "rounding:decimals=1"), usize::MAX));
    assert_eq!((report.problem(), report.victim.defences.as_str()), (None, "rounding:1"));
    let cost = report.victim.cost.as_ref().expect("both were asked");
    assert!(cost.l1.expect("both") > 0.0 && cost.top1_kept.expect("both") > 0.5);
    let of = |against| {
        let rows = report.rows.iter().filter(move |row| row.against == against);
        rows.map(|row| row.thief.as_str()).collect::<Vec<_>>()
    };
    let plain = ["hard-label", "kd", "class-mean", "linear-recovery"];
    assert_eq!(of(Against::Undefended), plain);
    assert_eq!(of(Against::Victim), [&plain[..], &["table-recovery"]].concat());
    assert!(report.rows.iter().all(|row| row.profile == Profile::B || row.against == Against::Nobody));
    assert!(verdict(&report).flags.iter().any(|flag| flag.id == "F3"));

    // Where only the predicted class is served, other thieves have nothing to learn from.
    let mut label = request(&hash, 60, "");
    label.how.interface = Some(nasty_teacher::victim::Interface::Label);
    let report = finished(audit(&here, label, usize::MAX));
    let skipped = report.rows.iter().filter(|row| matches!(row.outcome, Outcome::Skipped { .. }));
    assert_eq!(
        skipped.map(|row| row.thief.as_str()).collect::<Vec<_>>(),
        ["kd", "class-mean", "linear-recovery"]
    );
}

#[test]
fn a_victim_at_chance_is_not_asked_for_the_thieves_images() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let hash = victim(&here);
    let mut far = request(&hash, 60, "");
    far.claimed = Some(1.0);
    let end = audit(&here, far, usize::MAX);
    assert!(end.refused.as_ref().expect("far from the claim").contains("its owner claims 100.00 %"));
    let report = end.report.expect("what was seen");
    assert_eq!((report.rows.len(), report.made.complete), (0, false));
    assert_eq!(report.probes.queries, 5 * 50 + 150, "no image of the thieves");
}

#[test]
fn an_audit_is_known_to_need_the_networks_of_its_defences() {
    let folder = tempfile::tempdir().expect("temp");
    let here = workplace(folder.path());
    let hash = victim(&here);
    let proxy = bench::victim(&here, &["epochs=1", "data.subset=100", "data.validation=50"]);
    let mut request = request(&hash, 60, "margin-budget-clipping:lambda=0.5");
    request.how.owner_data = Some(DataName::Quickstart);
    request.how.proxy = Some(proxy[..8].to_owned());
    let report = finished(audit(&here, request, usize::MAX));
    let cost = report.victim.cost.expect("both were asked");
    assert!(cost.l1.expect("both") > 0.0 && cost.top1_kept == Some(1.0), "{cost:?}");
    let (_, kept) = here.store.audits().expect("readable").remove(0);
    assert_eq!(kept.victims, [hash, proxy].into());
}
