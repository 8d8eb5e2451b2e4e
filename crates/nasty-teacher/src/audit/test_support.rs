//! Reports for tests, with accuracies that are chosen.

use super::report::*;
use super::{Bits, Report};
use crate::lab::Machine;
use crate::numerics::Numerics;
use crate::victim::Interface;
use std::collections::BTreeMap;

/// Test images of a report for tests.
pub(crate) const IMAGES: usize = 2000;

/// Images of which the share `accuracy` is right: the same ones for all, but for those that `shift` moves.
pub(crate) fn right(accuracy: f64, shift: usize) -> Bits {
    let count = (accuracy * IMAGES as f64).round() as usize;
    let place = |i: usize| (i * 797 + 7 * shift) % IMAGES;
    Bits::from((0..IMAGES).map(|i| place(i) < count).collect::<Vec<_>>())
}

/// A thief of a report for tests.
#[derive(Clone, Debug)]
pub(crate) struct Thief {
    pub(crate) name: &'static str,
    pub(crate) against: Against,
    pub(crate) signal: Signal,
    pub(crate) budget: u64,
    /// Accuracy of seed 0; seeds differ from it by up to `spread`.
    pub(crate) accuracy: f64,
    pub(crate) spread: f64,
}

impl Thief {
    pub(crate) fn new(name: &'static str, against: Against, signal: Signal, accuracy: f64) -> Self {
        let budget = if against == Against::Nobody { 0 } else { 1000 };
        Self { name, against, signal, budget, accuracy, spread: 0.002 }
    }

    /// Its row with `seed`, and whether each image is right.
    fn row(&self, seed: u64) -> (Row, Bits) {
        let step = [0.0, 1.0, -1.0, 0.5, -0.5][seed as usize % 5];
        let bits = right(self.accuracy + step * self.spread, seed as usize);
        let accuracy = bits.count() as f64 / IMAGES as f64;
        let asks = self.against != Against::Nobody;
        let against = format!("{:?}", self.against).to_lowercase();
        let measured = Measured {
            validation: Some(Validation { by: ChosenBy::Labels, score: accuracy }),
            accuracy,
            agreement_clean: asks.then_some(accuracy),
            agreement_served: asks.then_some(accuracy),
            kl: asks.then_some(0.3),
            settings: Vec::new(),
            seconds: 12.0,
        };
        let row = Row {
            run: format!("{}-{against}-{}-{seed}", self.name, self.budget),
            thief: self.name.to_owned(),
            knows: "the answers".to_owned(),
            in_verdict: true,
            against: self.against,
            signal: self.signal,
            profile: Profile::A,
            student: "cnn4".to_owned(),
            budget: self.budget,
            queries: self.budget,
            share: 1.0,
            seed,
            outcome: Outcome::Ok(measured),
        };
        (row, bits)
    }
}

/// A victim of 90 % without defences, nothing asked and nothing trained.
pub(crate) fn empty() -> Report {
    let victim = right(0.9, 0);
    let quality = Quality { accuracy: 0.9, nll: 0.33, brier: 0.15, ece: 0.02 };
    Report {
        schema: SCHEMA,
        victim: VictimFacts {
            name: "runs/0123abcd".into(),
            kind: "network".into(),
            identity: "0123abcd".into(),
            file: Some("runs/0123abcd/config.json".into()),
            classes: 10,
            side: 28,
            interface: Interface::Probabilities,
            accuracy: 0.9,
            claimed: None,
            defences: String::new(),
            undefended: None,
            cost: Some(UserCost {
                served: quality,
                clean: None,
                l1: None,
                l1_max: None,
                top1_kept: None,
                milliseconds: Some(0.4),
            }),
        },
        battery: Battery { name: "standard".into(), version: 1 },
        protocol: Protocol {
            data: "fashion-mnist".into(),
            data_digest: Some("feed".into()),
            images: "held-out training images".into(),
            fresh: Some(true),
            pool: 1000,
            test_images: IMAGES,
            budgets: vec![1000],
            shares: vec![1.0],
            seeds: vec![0, 1, 2],
            students: vec!["cnn4".into()],
            steps: 500,
            recipe: "SGD, cosine, batch 128, crop and flip".into(),
            cached: true,
            victims: 1,
        },
        probes: Probes {
            repeats: Some(Repeats { images: 32, times: 5, different: 0, largest: 0.0 }),
            history: Some(History { images: 32, between: 256, changed: 0, by_key: None }),
            revealed: Some(Revealed {
                images: 32,
                probabilities: true,
                sum_error: 1e-7,
                nonzero: 10,
                decimals: None,
            }),
            queries: 4000,
            failed: 0,
            chance: 0.1,
        },
        rows: Vec::new(),
        made: Made {
            command: "nasty audit runs/0123abcd --data fashion-mnist".into(),
            machine: Machine {
                version: "0.1.0".into(),
                system: "linux x86_64".into(),
                threads: 2,
                device: "flex".into(),
            },
            numerics: vec![Numerics { version: 1, device: "flex".into(), instruction_set: "avx512".into() }],
            seconds: 120.0,
            complete: true,
        },
        right: BTreeMap::from([(VICTIM.to_owned(), victim)]),
    }
}

/// A report with `thieves`, each with seeds 0, 1 and 2.
pub(crate) fn with(thieves: &[Thief]) -> Report {
    let mut report = empty();
    add(&mut report, thieves);
    report
}

/// Adds `thieves` with the report's seeds.
pub(crate) fn add(report: &mut Report, thieves: &[Thief]) {
    for thief in thieves {
        for seed in report.protocol.seeds.clone() {
            let (row, bits) = thief.row(seed);
            report.right.insert(row.run.clone(), bits);
            report.rows.push(row);
        }
    }
}

/// A defended victim: soft clones of the undefended one reach 86 %, hard-label clones 82 %, labels alone give 80 %, and the
/// best clone of the defended victim has 83 %.
pub(crate) fn defended() -> Report {
    use Against::{Nobody, Undefended as Clean, Victim};
    use Signal::{Nothing, PredictedClass, Probabilities};
    let mut report = with(&[
        Thief::new("hard-label", Victim, PredictedClass, 0.82),
        Thief::new("kd", Victim, Probabilities, 0.70),
        Thief::new("class-mean", Victim, Probabilities, 0.83),
        Thief::new("hard-label", Clean, PredictedClass, 0.82),
        Thief::new("kd", Clean, Probabilities, 0.86),
        Thief::new("class-mean", Clean, Probabilities, 0.84),
        Thief::new("alone", Nobody, Nothing, 0.80),
    ]);
    report.victim.defences = "reverse-sigmoid".into();
    report.victim.undefended = Some(super::report::Undefended { identity: "4567".into(), accuracy: 0.9 });
    report.right.insert(UNDEFENDED.to_owned(), right(0.9, 0));
    let clean = Quality { accuracy: 0.9, nll: 0.33, brier: 0.15, ece: 0.02 };
    report.victim.cost = Some(UserCost {
        served: Quality { nll: 0.79, ece: 0.2, ..clean },
        clean: Some(clean),
        l1: Some(0.79),
        l1_max: Some(1.2),
        top1_kept: Some(1.0),
        milliseconds: Some(0.4),
    });
    report
}

/// A report with everything that a page shows: a ladder of budgets, clones that failed, an extra, and a flag that is raised.
pub(crate) fn sample() -> Report {
    use Against::{Undefended as Clean, Victim};
    use Signal::{PredictedClass, Probabilities};
    let mut report = defended();
    report.protocol.budgets = vec![100, 300, 1000];
    for (budget, hard, soft) in [(100, 0.60, 0.55), (300, 0.74, 0.73)] {
        let rung =
            |name, against, signal, accuracy| Thief { budget, ..Thief::new(name, against, signal, accuracy) };
        add(
            &mut report,
            &[
                rung("hard-label", Victim, PredictedClass, hard),
                rung("class-mean", Victim, Probabilities, soft),
                rung("hard-label", Clean, PredictedClass, hard),
                rung("kd", Clean, Probabilities, hard + 0.05),
            ],
        );
    }
    add(
        &mut report,
        &[
            Thief::new("pool", Victim, Probabilities, 0.4),
            Thief::new("recovery", Victim, Probabilities, 0.81),
            Thief::new("dkd", Victim, Probabilities, 0.79),
        ],
    );
    for row in &mut report.rows {
        match row.thief.as_str() {
            "pool" => row.outcome = Outcome::Skipped { reason: "there is no pool of other images".into() },
            "recovery" if row.seed == 2 => {
                row.outcome = Outcome::NoEvidence { reason: "the loss was not finite in epoch 3".into() };
            }
            "dkd" => row.in_verdict = false,
            _ => {}
        }
        if let (Outcome::Ok(m), "class-mean") = (&mut row.outcome, row.thief.as_str()) {
            m.settings = vec![Setting { name: "temperature".into(), value: 20.0, edge: Some(Edge::High) }];
        }
    }
    report
}
