//! The guarantees of every defence, tested over hostile rows.

use proptest::prelude::*;

use super::*;

/// One or two settings of every defence.
const SETTINGS: &[&str] = &[
    "top-k:1",
    "top-k:3",
    "stingy:ratio=0.2,tau=1",
    "stingy:ratio=0.1,tau=20",
    "rounding:0",
    "rounding:1",
    "rounding:3",
    "temperature:0.01",
    "temperature:20",
    "reverse-sigmoid:beta=0.21,gamma=0.2",
    "reverse-sigmoid:beta=50,gamma=10",
    "reverse-sigmoid-clipped:beta=1,gamma=0.1",
    "reverse-sigmoid-clipped:beta=50,gamma=10",
    "reverse-sigmoid-odds:beta=0.64,gamma=0.2",
    "high-confidence:0.25",
    "high-confidence:1",
    "gaussian-noise:0.2",
    "gaussian-noise-keyed:1000",
    "logit-noise:1",
    "logit-noise-keyed:1000",
    "mad:1",
    "mad:0.1",
    "mad-argmax:1",
    "mad-argmax:0.1",
    "gradient-redirection:0.5",
    "adaptive-misinformation:tau=0.7,nu=10000",
    "adaptive-misinformation:tau=0.4,nu=1",
    "modelguard-w:1",
    "modelguard-w:0.001",
    "modelguard-s:0.5",
    "margin-budget-scaling:lambda=50,keep=0.9",
    "margin-budget-scaling:lambda=1000000000,keep=0.9999",
    "margin-budget-clipping:lambda=50,margin=0.1",
    "margin-budget-clipping:lambda=1000000000,margin=0.000001",
    "product-of-experts:0.6",
    "product-of-experts:1",
    "flat-tail",
    "class-tail",
    "keyed-shuffle",
    "coarse-confidence:1",
    "coarse-confidence:5",
];

/// Inputs for every defence, of one width.
struct Owner {
    wrong: Row,
    gradients: Vec<f64>,
    vector: Vec<f64>,
    tails: ClassTails,
    secret: Secret,
}

const WIDTH: usize = 3;

impl Owner {
    fn new(classes: usize, zeros: bool) -> Self {
        let value = |i: usize| if zeros { 0.0 } else { ((i * 7919 + 13) % 101) as f64 / 10.0 - 5.0 };
        let row = |shift: usize| {
            let logits: Vec<f64> = (0..classes).map(|c| value(c + shift)).collect();
            Row::from_logits(&logits).expect("logits")
        };
        Self {
            wrong: row(5),
            gradients: (0..classes * WIDTH).map(value).collect(),
            vector: (0..classes).map(|c| value(3 * c)).collect(),
            tails: ClassTails::of(&[row(0), row(1), row(2)]).expect("rows"),
            secret: Secret::of(b"owner"),
        }
    }

    fn inputs(&self) -> Inputs<'_> {
        Inputs {
            wrong_row: Some(&self.wrong),
            gradients: Some(Gradients { values: &self.gradients, width: WIDTH }),
            direction: Some(&self.vector),
            proxy_logits: Some(&self.vector),
            proxy_shift: Some(&self.vector),
            class_tails: Some(&self.tails),
        }
    }

    fn query(&self, image: u64, number: u64) -> Query<'_> {
        let image = ImageId::of(&image.to_le_bytes());
        Query { inputs: self.inputs(), ..Query::new(image, &self.secret, number) }
    }
}

fn parsed(text: &str) -> Layer {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// Rows with ties, zeros, certainty, and logits up to ±1e4.
fn hostile() -> impl Strategy<Value = Row> {
    let classes = prop_oneof![2usize..12, Just(100), Just(1000)];
    let kind = 0..7u8;
    (classes, kind, any::<u64>()).prop_map(|(classes, kind, seed)| {
        let mut stream = crate::random::Stream::new(seed, crate::random::Purpose::Noise, 0, 0);
        let mut uniform = || f64::from(stream.uniform());
        let logits: Vec<f64> = (0..classes)
            .map(|c| match kind {
                0 => 8.0 * uniform() - 4.0,
                1 => (uniform() * 4.0).floor(),
                2 => 2e4 * uniform() - 1e4,
                3 => {
                    if uniform() < 0.5 {
                        1e4
                    } else {
                        -1e4
                    }
                }
                4 => {
                    if uniform() < 0.5 {
                        f64::NEG_INFINITY
                    } else {
                        uniform()
                    }
                }
                5 if c == classes - 1 => 40.0 * uniform(),
                _ => 0.0,
            })
            .collect();
        Row::from_logits(&logits).unwrap_or_else(|_| Row::one_hot(classes, classes / 2))
    })
}

fn is_row(row: &Row, classes: usize) -> Result<(), TestCaseError> {
    prop_assert_eq!(row.classes(), classes);
    prop_assert!(row.probabilities().iter().all(|p| p.is_finite() && *p >= 0.0), "{:?}", row);
    prop_assert!(row.logs().iter().all(|l| !l.is_nan() && *l < 1e-9), "{:?}", row);
    let sum: f64 = row.probabilities().iter().sum();
    prop_assert!((sum - 1.0).abs() < 1e-9, "a sum of {}", sum);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_served_is_a_row_and_keeps_what_is_promised(row in hostile(), zeros in any::<bool>()) {
        let owner = Owner::new(row.classes(), zeros);
        let ranked = row.ranked();
        let [first, second] = [0, 1].map(|i| row.probabilities()[ranked[i]]);
        for text in SETTINGS {
            let layer = parsed(text);
            let served = layer.serve(&row, &owner.query(1, 1)).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
            is_row(&served, row.classes()).map_err(|e| TestCaseError::fail(format!("{text}: {e}")))?;
            let l1 = served.l1(&row);
            prop_assert!(l1 <= layer.l1_bound(&row) + 1e-9, "{}: {} > {}", text, l1, layer.l1_bound(&row));
            let top = row.top();
            let most = served.probabilities().iter().copied().fold(0.0, f64::max);
            let kept = served.probabilities()[top] >= most - 1e-12;
            match layer.facts().top1 {
                TopOne::Kept => {
                    prop_assert!(kept, "{}: {:?} {:?}", text, row, served);
                    // Between classes that are equal but for rounding nothing is promised.
                    if first == second || first - second > 1e-9 {
                        prop_assert_eq!(served.top(), top, "{}: {:?} {:?}", text, row, served);
                    }
                }
                TopOne::KeptUpToTies => prop_assert!(kept, "{}: {:?} {:?}", text, row, served),
                TopOne::Changed => {}
            }
        }
    }

    #[test]
    fn stacks_serve_rows(row in hostile(), picks in prop::collection::vec(0..SETTINGS.len(), 1..4)) {
        let stack = Stack::new(picks.iter().map(|i| parsed(SETTINGS[*i])));
        let owner = Owner::new(row.classes(), false);
        let served = stack.serve(&row, &owner.query(1, 1)).map_err(|e| TestCaseError::fail(format!("{stack}: {e}")))?;
        is_row(&served, row.classes()).map_err(|e| TestCaseError::fail(format!("{stack}: {e}")))?;
        prop_assert_eq!(stack.to_string().parse::<Stack>().expect("its own text"), stack);
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(
        name in 0..ALL.len(),
        rest in prop::collection::vec(prop::sample::select("topk-:=,+. 019eE_é".chars().collect::<Vec<_>>()), 0..20),
    ) {
        let rest: String = rest.into_iter().collect();
        for text in [rest.clone(), format!("{}{rest}", ALL[name].name), format!("{}:{rest}", ALL[name].name)] {
            if let Ok(stack) = text.parse::<Stack>() {
                prop_assert_eq!(stack.to_string().parse::<Stack>().expect("its own text"), stack);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn an_image_gets_its_answer_whatever_was_asked_before(rows in prop::collection::vec(hostile(), 3)) {
        let owners: Vec<Owner> = rows.iter().map(|row| Owner::new(row.classes(), false)).collect();
        for text in SETTINGS {
            let (layer, again) = (parsed(text), parsed(text));
            if layer.facts().answers > Answers::Keyed {
                continue;
            }
            let ask = |layer: &Layer, image: usize, number: u64| {
                let query = owners[image].query(image as u64, number);
                layer.serve(&rows[image], &query).expect("all inputs are there")
            };
            let forwards: Vec<Row> = (0..3).map(|i| ask(&layer, i, i as u64)).collect();
            let backwards: Vec<Row> = (0..3).rev().map(|i| ask(&layer, i, 10 + i as u64)).collect();
            let elsewhere: Vec<Row> = (0..3).map(|i| ask(&again, i, 20)).collect();
            for i in 0..3 {
                prop_assert_eq!(&forwards[i], &backwards[2 - i], "{}", text);
                prop_assert_eq!(&forwards[i], &elsewhere[i], "{}", text);
            }
        }
    }
}

#[test]
fn every_defence_is_tested_and_round_trips_through_its_text() {
    for facts in ALL {
        let own = SETTINGS.iter().filter(|text| text.split(':').next() == Some(facts.name));
        assert!(own.count() > 0, "{} has no setting above", facts.name);
    }
    for text in SETTINGS {
        let layer = parsed(text);
        assert_eq!(layer.to_string(), *text);
        assert_eq!(serde_json::to_string(&layer).expect("plain"), format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<Layer>(&format!("\"{text}\"")).expect("plain"), layer);
    }
    let names: std::collections::BTreeSet<&str> = ALL.iter().map(|facts| facts.name).collect();
    assert_eq!(names.len(), ALL.len());
}

#[test]
fn the_texts_that_people_type() {
    let canonical = |text: &str| text.parse::<Stack>().unwrap_or_else(|e| panic!("{text}: {e}")).to_string();
    assert_eq!(canonical("top-1"), "top-k:1");
    assert_eq!(canonical("top-k:k=3"), "top-k:3");
    assert_eq!(canonical("reverse-sigmoid"), "reverse-sigmoid:beta=0.21,gamma=0.2");
    assert_eq!(canonical("reverse-sigmoid:gamma=0.1"), "reverse-sigmoid:beta=0.21,gamma=0.1");
    assert_eq!(canonical("stingy:0.2 + rounding:2"), "stingy:ratio=0.2,tau=1+rounding:2");
    assert_eq!(
        canonical("margin-budget-clipping:1e+5+flat-tail"),
        "margin-budget-clipping:lambda=100000,margin=0.1+flat-tail"
    );
    assert_eq!(canonical("none"), "none");
    assert_eq!(ALL[1].usage(), "stingy:ratio=RATIO,tau=1");
}

#[test]
fn wrong_texts_are_explained() {
    let error = |text: &str| text.parse::<Stack>().expect_err("must fail");
    let all = [
        "topk:1",
        "reverse-sigmod",
        "top-k",
        "top-k:0",
        "top-k:1.5",
        "rounding:nan",
        "top-k:1,2",
        "top-k:k=1,j=2",
        "flat-tail:3",
        "stingy:0.2+",
        "top-k:1+none",
    ];
    let listed: Vec<String> = all.iter().map(|text| format!("{text}: {}", error(text))).collect();
    insta::assert_snapshot!(listed.join("\n"), @r"
    topk:1: no defence is called `topk`; the nearest name is `top-k`
    reverse-sigmod: no defence is called `reverse-sigmod`; the nearest name is `reverse-sigmoid`
    top-k: `k` of `top-k`: expected a whole number from 1 to 1000000, found none
    top-k:0: `k` of `top-k`: expected a whole number from 1 to 1000000, found `0`
    top-k:1.5: `k` of `top-k`: expected a whole number from 1 to 1000000, found `1.5`
    rounding:nan: `decimals` of `rounding`: expected a whole number from 0 to 15, found `nan`
    top-k:1,2: `k` of `top-k`: expected one value, found two of them
    top-k:k=1,j=2: `top-k` has no parameter `j`: expected top-k:K
    flat-tail:3: `flat-tail` has no parameter `3`: expected flat-tail
    stingy:0.2+: `ratio` of `stingy`: expected a number from 0 to 1, found `0.2+`
    top-k:1+none: no defence is called `none`; the nearest name is `logit-noise`
    ");
    let help = miette::Diagnostic::help(&error("topk:1")).expect("a help").to_string();
    assert!(ALL.iter().all(|facts| help.contains(facts.name)), "{help}");
}

#[test]
fn a_defence_without_its_input_says_what_is_missing() {
    let secret = Secret::of(b"owner");
    let row = Row::from_logits(&[1.0, 2.0, 0.0]).expect("logits");
    let bare = Query::new(ImageId::of(b"image"), &secret, 0);
    let mut listed = Vec::new();
    for facts in ALL.iter().filter(|facts| !facts.needs.is_empty()) {
        let text =
            SETTINGS.iter().find(|text| text.split(':').next() == Some(facts.name)).expect("tested above");
        let error = parsed(text).serve(&row, &bare).expect_err("it needs more");
        listed.push(error.to_string());
        // Inputs of another width.
        let owner = Owner::new(4, false);
        let error = parsed(text).serve(&row, &owner.query(0, 0)).expect_err("another width");
        listed.push(error.to_string());
    }
    for facts in ALL.iter().filter(|facts| facts.needs.is_empty()) {
        let text =
            SETTINGS.iter().find(|text| text.split(':').next() == Some(facts.name)).expect("tested above");
        parsed(text).serve(&row, &bare).expect("it needs nothing");
    }
    let broken = [1.0, f64::NAN, 0.0];
    let inputs = Inputs { proxy_shift: Some(&broken), ..Inputs::default() };
    let error = parsed("margin-budget-clipping:1").serve(&row, &Query { inputs, ..bare }).expect_err("NaN");
    listed.push(error.to_string());
    insta::assert_snapshot!(listed.join("\n"), @r"
    `mad` needs a surrogate's gradients, found none
    a surrogate's gradients for `mad`: expected 3 rows of 3 numbers, found 12 numbers
    `mad-argmax` needs a surrogate's gradients, found none
    a surrogate's gradients for `mad-argmax`: expected 3 rows of 3 numbers, found 12 numbers
    `gradient-redirection` needs the direction of a surrogate's gradients, found none
    the direction of a surrogate's gradients for `gradient-redirection`: expected 3 classes, found 4
    `adaptive-misinformation` needs the misinformation network's row, found none
    the misinformation network's row for `adaptive-misinformation`: expected 3 classes, found 4
    `margin-budget-scaling` needs a proxy's change of logits, found none
    a proxy's change of logits for `margin-budget-scaling`: expected 3 classes, found 4
    `margin-budget-clipping` needs a proxy's change of logits, found none
    a proxy's change of logits for `margin-budget-clipping`: expected 3 classes, found 4
    `product-of-experts` needs a proxy's logits, found none
    a proxy's logits for `product-of-experts`: expected 3 classes, found 4
    `class-tail` needs a table of class tails, found none
    a table of class tails for `class-tail`: expected 3 classes, found 4
    a proxy's change of logits for `margin-budget-clipping`: expected finite numbers up to ±1e30, found NaN at position 1
    ");
}

#[test]
fn fresh_noise_differs_between_answers_and_keyed_noise_between_images_layers_and_secrets() {
    let row = Row::from_logits(&[1.0, 2.0, 0.0, 1.5]).expect("logits");
    let (owner, other) =
        (Owner::new(4, false), Owner { secret: Secret::of(b"other"), ..Owner::new(4, false) });
    let serve = |text: &str, owner: &Owner, image, number| {
        text.parse::<Stack>().expect("a text").serve(&row, &owner.query(image, number)).expect("all inputs")
    };
    for text in ["gaussian-noise:0.2", "logit-noise:1"] {
        assert_ne!(serve(text, &owner, 1, 1), serve(text, &owner, 1, 2));
    }
    for text in ["gaussian-noise-keyed:0.2", "logit-noise-keyed:1"] {
        assert_ne!(serve(text, &owner, 1, 1), serve(text, &owner, 2, 1));
        assert_ne!(serve(text, &owner, 1, 1), serve(text, &other, 1, 1));
    }
    // Twice the same noise would be 2σ·n: the second layer's is its own.
    let twice = serve("logit-noise-keyed:1+logit-noise-keyed:1", &owner, 1, 1);
    assert_ne!(twice, serve("logit-noise-keyed:2", &owner, 1, 1));
    let shuffled: std::collections::BTreeSet<String> =
        (0..20).map(|image| format!("{:?}", serve("keyed-shuffle", &owner, image, 0))).collect();
    assert_eq!(shuffled.len(), 6, "three values in any order");
}

#[test]
fn stacks_know_what_they_promise() {
    let stack = |text: &str| text.parse::<Stack>().expect("a text");
    assert_eq!(stack("none").top1(), TopOne::Kept);
    assert_eq!(stack("flat-tail+rounding:1").top1(), TopOne::KeptUpToTies);
    assert_eq!(stack("rounding:1+flat-tail").top1(), TopOne::Changed);
    assert_eq!(stack("flat-tail+gaussian-noise").answers(), Answers::Random);
    assert_eq!(stack("mad+mad-argmax+class-tail").needs(), [Need::Gradients, Need::ClassTails]);
    let row = Row::from_logits(&[1.0, 2.0]).expect("logits");
    assert_eq!(stack("none").l1_bound(&row), 0.0);
}

#[test]
fn a_tail_that_would_exceed_the_top_is_cut() {
    // Class 0 is always followed by class 1.
    let table =
        ClassTails::of(&[Row::from_probabilities(&[0.6, 0.4, 0.0, 0.0]).expect("a row")]).expect("rows");
    let secret = Secret::of(b"owner");
    let inputs = Inputs { class_tails: Some(&table), ..Inputs::default() };
    let query = Query { inputs, ..Query::new(ImageId::of(b"x"), &secret, 0) };
    let row = Row::from_probabilities(&[0.4, 0.2, 0.2, 0.2]).expect("a row");
    let served = ClassTail.serve(&row, &query).expect("a table");
    let [top, second, third, fourth] = served.probabilities() else { panic!("four classes") };
    assert_eq!(*top, 0.4);
    assert!(second < top && *second > 0.3995, "{second}");
    assert_eq!(third, fourth);
}

#[test]
fn coarse_confidence_has_so_many_levels() {
    let secret = Secret::of(b"owner");
    let query = Query::new(ImageId::of(b"x"), &secret, 0);
    let levels: std::collections::BTreeSet<u64> = (0..1000)
        .map(|i| {
            let row = Row::from_logits(&[f64::from(i) / 100.0, 0.0, 0.0]).expect("logits");
            (CoarseConfidence { levels: 4 }.serve(&row, &query).expect("nothing else").probabilities()[0]
                * 1e9) as u64
        })
        .collect();
    assert_eq!(levels.len(), 4, "{levels:?}");
}

/// The line of `docs/defences.md` about a defence.
fn documented(facts: &Facts) -> String {
    let top1 = match facts.top1 {
        TopOne::Kept => "kept",
        TopOne::KeptUpToTies => "kept up to ties",
        TopOne::Changed => "may change",
    };
    let answers = match facts.answers {
        Answers::Fixed => "fixed",
        Answers::Keyed => "keyed by image and secret",
        Answers::Random => "random",
        Answers::Stateful => "depend on earlier questions",
    };
    format!("| `{}` | {} | {top1} | {answers} | {} |", facts.usage(), facts.formula, facts.source)
}

#[test]
fn the_page_of_defences_is_the_list() {
    let page = include_str!("../../../../docs/defences.md");
    let expected: Vec<String> = ALL.iter().map(|facts| documented(facts)).collect();
    let found: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(found, expected, "docs/defences.md should hold\n{}", expected.join("\n"));
}
