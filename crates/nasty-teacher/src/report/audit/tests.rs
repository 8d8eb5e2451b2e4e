use super::*;
use crate::audit::test_support::{defended, empty, sample};
use crate::audit::{Audited, Report, compare, verdict};

fn options(fail_on: Option<&str>, report: &Report, folder: &Path) -> Options {
    let fail_on = fail_on.map(|text| Condition::parse(text).expect("a condition"));
    Options {
        decision: crate::audit::decide(&verdict(report), report.made.complete, fail_on.as_ref()),
        fail_on,
        sarif: Some(folder.join("audit.sarif")),
        junit: Some(folder.join("junit.xml")),
    }
}

/// The files of a report.
fn written(report: &Report, fail_on: Option<&str>) -> (tempfile::TempDir, Written) {
    let folder = tempfile::tempdir().expect("temp");
    let options = options(fail_on, report, folder.path());
    let written = write(report, &verdict(report), &folder.path().join("out"), &options).expect("written");
    (folder, written)
}

fn read(folder: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(folder.path().join(name)).expect("written")
}

fn json(folder: &tempfile::TempDir, name: &str) -> serde_json::Value {
    serde_json::from_str(&read(folder, name)).expect("JSON")
}

#[test]
fn the_report_in_words() {
    let (folder, written) = written(&sample(), Some("clone >= 0.9*victim"));
    insta::assert_snapshot!("report.md", read(&folder, "out/report.md"));
    insta::assert_snapshot!("terminal", written.text);
    insta::assert_snapshot!(
        "rows.csv",
        read(&folder, "out/rows.csv").lines().take(3).collect::<Vec<_>>().join("\n")
    );
    for table in ["clones", "comparisons", "cost", "failures", "flags"] {
        for format in ["csv", "md", "tex"] {
            assert!(!read(&folder, &format!("out/tables/{table}.{format}")).is_empty());
        }
    }
    let page = read(&folder, "out/index.html");
    roxmltree::Document::parse_with_options(
        &page,
        roxmltree::ParsingOptions { allow_dtd: true, ..Default::default() },
    )
    .expect("well-formed");
    assert_eq!(Report::read(&folder.path().join("out")).expect("read"), sample());
}

#[test]
fn every_sentence_follows_from_the_rows() {
    let text = |report: &Report| text(report, &verdict(report), Decision::Passed, None);
    let normal = text(&defended());
    assert!(normal.contains("They lower the worst case by 3.0 points"), "{normal}");
    assert!(normal.contains("take away 75 %"), "{normal}");
    assert!(normal.contains("All checks of the audit's reliability passed."), "{normal}");

    // Labels alone as good as the best clone.
    let mut report = defended();
    let alone = crate::audit::test_support::Thief::new(
        "label-smoothed",
        crate::audit::report::Against::Nobody,
        crate::audit::report::Signal::Nothing,
        0.87,
    );
    crate::audit::test_support::add(&mut report, &[alone]);
    let useless = text(&report);
    assert!(useless.contains("who has such labelled images gains nothing by asking"), "{useless}");
    assert!(
        useless.contains("There is nothing to protect here: the floor (label-smoothed, 87.0 %)"),
        "{useless}"
    );

    let nothing = text(&empty());
    assert!(nothing.contains("Nothing was measured"), "{nothing}");
    assert!(!nothing.contains("clone that is right"), "{nothing}");
}

#[test]
fn a_report_of_nothing_is_a_page_too() {
    let (folder, written) = written(&empty(), None);
    assert!(
        written.page.ends_with("index.html")
            && read(&folder, "out/report.md").contains("Nothing was measured")
    );
    let log = json(&folder, "audit.sarif");
    assert_eq!(log["runs"][0]["invocations"][0]["exitCode"], 3);
    assert_eq!(log["runs"][0]["results"], serde_json::json!([]));
    assert!(read(&folder, "junit.xml").contains("errors=\"1\""));
}

#[test]
fn sarif_has_a_rule_and_a_result_for_each_thief() {
    let (folder, _) = written(&sample(), Some("clone >= 0.92*victim"));
    let log = json(&folder, "audit.sarif");
    let run = &log["runs"][0];
    let results = run["results"].as_array().expect("results");
    let kinds: Vec<_> = results
        .iter()
        .map(|r| {
            (
                r["ruleId"].as_str().expect("id"),
                r["kind"].as_str().expect("kind"),
                r["level"].as_str().expect("level"),
            )
        })
        .collect();
    assert_eq!(
        kinds,
        [
            ("hard-label", "pass", "none"),
            ("kd", "pass", "none"),
            ("class-mean", "fail", "error"),
            ("pool", "notApplicable", "none"),
            ("recovery", "pass", "none"),
            ("dkd", "informational", "none"),
        ]
    );
    for (i, result) in results.iter().enumerate() {
        assert_eq!(run["tool"]["driver"]["rules"][i]["id"], result["ruleId"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], "runs/0123abcd/config.json");
        assert_eq!(place["region"]["startLine"], 1);
    }
    assert_eq!((&log["version"], &run["invocations"][0]["exitCode"]), (&"2.1.0".into(), &4.into()));
    let tags = &run["tool"]["driver"]["rules"][0]["properties"]["tags"];
    assert!(tags.as_array().expect("tags").contains(&"AML.T0024.002".into()), "{tags}");
    let raised: Vec<_> = run["invocations"][0]["toolExecutionNotifications"]
        .as_array()
        .expect("notifications")
        .iter()
        .map(|n| n["descriptor"]["id"].as_str().expect("id"))
        .collect();
    assert_eq!(raised, ["F5", "F7"]);
    // The fingerprint does not change with the accuracy, and does with the victim.
    let print = |report: &Report| {
        let log = sarif::sarif(report, &verdict(report), Decision::Passed, None);
        log["runs"][0]["results"][0]["partialFingerprints"]["victimAndThief/v1"].clone()
    };
    let mut other = sample();
    other.rows.retain(|row| row.seed == 0);
    assert_eq!(print(&other), print(&sample()));
    other.victim.identity = "another".into();
    assert_ne!(print(&other), print(&sample()));
    // Scanners want an address: spaces and the like are encoded.
    other.victim.file = Some("my models/ü#1.onnx".into());
    let log = sarif::sarif(&other, &verdict(&other), Decision::Passed, None);
    let uri = &log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
    assert_eq!(uri, "my%20models/%C3%BC%231.onnx");
}

#[test]
fn junit_counts_what_it_has() {
    let mut report = sample();
    report.victim.name = "a \"b\" <c>\u{1}".into();
    let (folder, _) = written(&report, Some("clone >= 0.92*victim"));
    let text = read(&folder, "junit.xml");
    let document = roxmltree::Document::parse(&text).expect("XML");
    let suite = document.descendants().find(|n| n.has_tag_name("testsuite")).expect("a suite");
    let number = |name| suite.attribute(name).expect("a number").parse::<usize>().expect("a number");
    let count = |name| document.descendants().filter(|n| n.has_tag_name(name)).count();
    assert_eq!((number("tests"), count("testcase")), (7, 7));
    assert_eq!((number("failures"), count("failure")), (2, 2));
    assert_eq!((number("skipped"), count("skipped")), (1, 1));
    assert_eq!((number("errors"), count("error")), (0, 0));
    assert!(suite.attribute("name").expect("a name").ends_with("of a \"b\" <c>\u{FFFD}"));
    let failed = document.descendants().find(|n| n.attribute("name") == Some("class-mean")).expect("a case");
    let message =
        failed.descendants().find(|n| n.has_tag_name("failure")).and_then(|n| n.attribute("message"));
    assert!(message.expect("a message").contains("`clone >= 0.92*victim` holds"));
    assert!(text.contains("F7 The best thief is at the edge"), "{text}");

    // A condition that cannot be decided is an error of the suite.
    let (folder, _) = written(&empty(), Some("protection < 0.5"));
    assert!(read(&folder, "junit.xml").contains("errors=\"1\""));
}

#[test]
fn comparisons_in_words() {
    let audited =
        |name: &str, report: Report| Audited { name: name.into(), verdict: verdict(&report), report };
    let mut bare = defended();
    bare.rows.retain(|row| row.against != crate::audit::report::Against::Victim);
    for row in &mut bare.rows {
        if row.against == crate::audit::report::Against::Undefended {
            row.against = crate::audit::report::Against::Victim;
        }
    }
    bare.victim.defences = String::new();
    bare.victim.undefended = None;
    bare.victim.cost = None;
    let mut short = defended();
    short.protocol.seeds = vec![0];
    let comparison =
        compare(&[audited("bare", bare), audited("reverse sigmoid", defended()), audited("one seed", short)]);
    let folder = tempfile::tempdir().expect("temp");
    let written = write_comparison(&comparison, folder.path()).expect("written");
    insta::assert_snapshot!("comparison", written.text);
    let again = std::fs::read_to_string(folder.path().join("comparison.json")).expect("written");
    assert!(serde_json::from_str::<serde_json::Value>(&again).expect("JSON")["entries"].as_array().is_some());
    for file in ["index.html", "comparison.md", "figures/comparison-l1.svg", "tables/thieves.tex"] {
        assert!(folder.path().join(file).is_file(), "{file}");
    }
}

#[test]
fn a_model_card_has_front_matter_and_what_was_measured() {
    let facts = CardFacts {
        name: "my: \"network\"".into(),
        architecture: "cnn16".into(),
        classes: vec!["shirt".into(), "shoe".into()],
        class_count: 2,
        input: [1, 28, 28],
        normalisation: (vec![0.5], vec![0.25]),
        library: "onnx",
        file: "teacher.onnx".into(),
        license: Some("mit".into()),
    };
    let report = defended();
    insta::assert_snapshot!("card", card(&facts, Some((&report, &verdict(&report)))));
    let bare = card(&CardFacts { license: None, ..facts }, None);
    assert!(bare.starts_with("---\nlibrary_name: onnx\npipeline_tag: image-classification\n"), "{bare}");
    assert!(bare.contains("was not measured") && !bare.contains("model-index"), "{bare}");
}
