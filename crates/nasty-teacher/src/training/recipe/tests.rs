use super::*;

/// Recipes as version 0.1.0 wrote them, each behind its hash: the quickstart's eight with seed 0, and four of CIFAR-10.
const PINNED: &str = include_str!("pinned.txt");

#[test]
fn known_recipes_keep_their_identity() {
    let mut seen = 0;
    for line in PINNED.lines() {
        let (hash, text) = line.split_once(' ').expect("a hash, then a recipe");
        let recipe: Recipe = serde_json::from_str(text).expect("a recipe of today too");
        assert_eq!(recipe.problem(), None, "{text}");
        assert_eq!(serde_json::to_string(&recipe).expect("plain data"), text);
        assert_eq!(recipe.hash(), hash, "every finished run would be lost");
        seen += 1;
    }
    assert_eq!(seen, 12);
}

fn with(change: impl FnOnce(&mut serde_json::Value)) -> Recipe {
    let line = PINNED.lines().find(|l| l.contains(r#""kind":"distillation""#)).expect("one of them");
    let mut tree = serde_json::from_str(line.split_once(' ').expect("a recipe").1).expect("JSON");
    change(&mut tree);
    serde_json::from_value(tree).expect("a recipe")
}

#[test]
fn a_recipe_names_its_networks_by_what_they_are() {
    let path = with(|tree| tree["objective"]["teacher"] = "/any/path".into());
    let problem = path.problem().expect("refused");
    assert!(problem.contains("objective.teacher is `/any/path`, expected the 16 hex"), "{problem}");
    let imported = with(|tree| tree["objective"]["teacher"] = "weights-0123456789abcdef".into());
    assert_eq!(imported.problem(), None);
}

#[test]
fn objectives_know_their_limits_and_unknown_keys_are_errors() {
    let problem = |key: &str, value: f64| with(|tree| tree["objective"][key] = value.into()).problem();
    assert!(problem("temperature", 0.0).expect("refused").contains("at least 0.01"));
    assert!(problem("alpha", 1.5).expect("refused").contains("objective.alpha is 1.5"));
    assert_eq!(problem("alpha", 1.0), None);
    for (kind, rest) in [
        ("self-undermining", r#""adversary":"0123456789abcdef","temperature":4.0,"omega":-1.0"#),
        ("cross-entropy", r#""label_smoothing":1.0"#),
        ("hard-label", r#""teacher":"x""#),
    ] {
        let objective =
            |rest: &str| serde_json::from_str::<Objective>(&format!(r#"{{"kind":"{kind}",{rest}}}"#));
        let bad = objective(rest).expect("well-formed");
        assert_eq!(bad.name(), kind);
        assert!(bad.problem().is_some_and(|problem| problem.starts_with("objective.")), "{bad:?}");
        assert!(objective(&format!(r#"{rest},"tau":1"#)).is_err(), "{kind}");
    }
}

#[test]
fn images_grow_from_half_their_side_in_steps_of_four_pixels() {
    let growing = |share: f64| {
        with(|tree| {
            (tree["growing"], tree["epochs"]) = (share.into(), 12.into());
            tree["architecture"] = "resnet18".into();
        })
    };
    let sides = |recipe: &Recipe| (0..12).map(|epoch| recipe.side(32, epoch)).collect::<Vec<_>>();
    let three_quarters = growing(0.75);
    assert_eq!(sides(&three_quarters), [16, 16, 20, 20, 24, 24, 28, 28, 32, 32, 32, 32]);
    let area = (2.0 * (256.0 + 400.0 + 576.0 + 784.0) / 1024.0 + 4.0) / 12.0;
    assert!((three_quarters.mean_area(32) - area).abs() < 1e-12);
    assert_eq!(sides(&growing(0.0)), [32; 12]);
    assert_eq!(growing(0.0).mean_area(32), 1.0);
    let json = serde_json::to_string(&growing(0.0)).expect("plain data");
    assert!(!json.contains("growing"), "recipes without it stay as they were: {json}");
    assert_eq!((growing(1.0).side(1, 0), growing(1.0).side(5, 0)), (1, 4));
    assert_eq!(growing(0.75).problem(), None);
    assert!(growing(1.5).problem().expect("refused").contains("growing is 1.5"));
    let exits = with(|tree| {
        let teacher = tree["objective"]["teacher"].clone();
        tree["growing"] = 0.5.into();
        tree["objective"] = serde_json::json!({
            "kind": "skeptical", "teacher": teacher, "stage": 2, "temperature": 4.0, "alpha": 0.9, "delay": 0.1,
        });
    });
    assert!(exits.problem().expect("refused").contains("growing must be 0"));
}
