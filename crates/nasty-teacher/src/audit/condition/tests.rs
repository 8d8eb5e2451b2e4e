use super::*;
use proptest::prelude::*;

/// `clone` 0.8, `victim` 0.9, `chance` 0.1; nothing else was measured.
fn holds(text: &str) -> Result<bool, Gap> {
    let value = |name| match name {
        Name::Clone => Some(0.8),
        Name::Victim => Some(0.9),
        Name::Chance => Some(0.1),
        _ => None,
    };
    Condition::parse(text).unwrap_or_else(|e| panic!("{e}")).root.holds(true, &value)
}

#[test]
fn conditions_by_hand() {
    for (text, expected) in [
        ("clone >= 0.95*victim", false),
        ("clone>=.85*victim", true),
        ("clone >= 80%", true),
        ("clone > 80%", false),
        ("clone < victim - 0.05", true),
        ("2 - 1 - 1 >= 0 and 8/4/2 <= 1", true),
        ("1 + 2*3 < 7", false),
        ("(1 + 2)*3 > 7", true),
        ("-clone < -0.5", true),
        ("--1 > 0", true),
        ("not clone > 0.9", true),
        ("not not unreliable", false),
        ("unreliable or clone > 0.5", true),
        ("clone > 0.9 and clone > 0.5 or victim > 0.5", true),
        ("clone > 0.9 and (clone > 0.5 or victim > 0.5)", false),
        ("1/0 > 1", true),
    ] {
        assert_eq!(holds(text), Ok(expected), "{text}");
    }
}

#[test]
fn what_was_not_measured_matters_only_where_it_decides() {
    assert_eq!(holds("protection < 0.5"), Err(Gap::NotMeasured(Name::Protection)));
    assert_eq!(holds("protection < 0.5 or clone > 0.5"), Ok(true));
    assert_eq!(holds("protection < 0.5 or clone > 0.9"), Err(Gap::NotMeasured(Name::Protection)));
    assert_eq!(holds("clone > 0.9 and protection < 0.5"), Ok(false));
    assert_eq!(holds("0/0 >= 0"), Err(Gap::NotANumber));
    assert_eq!(holds("not (alone > 0.5)"), Err(Gap::NotMeasured(Name::Alone)));
}

#[test]
fn mistakes_are_shown_with_their_place() {
    let problem = |text: &str| match Condition::parse(text) {
        Err(AuditError::Condition { at, problem, .. }) => format!("{at}: {problem}"),
        other => panic!("{text}: {other:?}"),
    };
    let found: Vec<String> = [
        "",
        "clone",
        "clone >=",
        "clone >= 0.95*victm",
        "clone = 0.9",
        "clone >= 0.9.5",
        "(clone > 0.5",
        "clone > 0.5 victim",
        "clone > 0.5 > 0.1",
        "clone and victim",
        "not clone",
        "unreliable + 1 > 0",
        "clone ≥ 0.9",
        "clone > 0.5)",
        "clone > * 2",
        "-unreliable > 0",
    ]
    .map(|text| format!("{text:24} {}", problem(text)))
    .into();
    insta::assert_snapshot!(found.join("\n"));
    assert!(problem(&"(".repeat(1000)).contains("nested more than 50 deep"));
    assert!(problem(&format!("{} > 0", "-".repeat(1000))).contains("nested"));
    assert!(problem(&"not ".repeat(1000)).contains("nested"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[a-z0-9.%<>=()+*/ -]{0,40}|\\PC{0,20}") {
        let _ = Condition::parse(&text);
    }
}
