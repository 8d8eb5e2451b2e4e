//! The library without the program: a teacher, its nasty twin, and what a thief gets out of each. `docs/library.md` explains it.
//!
//! Runs in about half a minute on two cores: `cargo run --release -p nasty-teacher --example library`.

#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use nasty_teacher::data::{DataName, DataRoots};
use nasty_teacher::device::device;
use nasty_teacher::lab::defaults::{Kind, for_data};
use nasty_teacher::lab::{JobEnd, RunResult, Store, Workplace, apply, normalisation_of};
use nasty_teacher::nets::Architecture;
use nasty_teacher::training::{EpochRow, NetworkRef, Observer, Recipe, ask_all};
use nasty_teacher::victim::{Interface, OwnNetwork, Victim, argmax};
use std::error::Error;
use std::path::Path;

/// Prints an epoch a line and never stops.
struct Lines;

impl Observer for Lines {
    fn batch(&mut self, _epoch: usize, _batch: usize, _batches: usize, _loss: f64) {}
    fn epoch(&mut self, row: &EpochRow, epochs: usize) {
        println!("  epoch {} of {epochs}: loss {:.3}", row.epoch + 1, row.train_loss);
    }
    fn stop(&self) -> bool {
        false
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    // Where runs are kept, where data sets are looked for, and what computes.
    let store = Store::open(Path::new("library-runs"))?;
    let lab = Workplace::new(store, DataRoots::resolve(None)?, device("flex")?, "flex");
    let name = DataName::Quickstart;
    let (data, digest) = lab.data_and_digest(&name, None)?;

    // A recipe is plain data: the published one for a kind of run, with changes. What is finished is never done again.
    let recipe = |network: &str, kind: Kind, changes: &[&str]| -> Result<Recipe, Box<dyn Error>> {
        let architecture: Architecture = network.parse()?;
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        Ok(apply(for_data(name.clone(), &data, digest.clone(), architecture, kind), &changes)?)
    };
    let run = |what: &str, recipe: Recipe| -> Result<(NetworkRef, RunResult), Box<dyn Error>> {
        println!("{what}");
        match lab.carry_out(&recipe, &mut Lines)? {
            JobEnd::Done(result) => Ok((NetworkRef(recipe.hash()), *result)),
            JobEnd::Stopped => Err("nobody asks it to stop".into()),
        }
    };
    let (normal, _) = run("normal teacher", recipe("cnn16", Kind::Train, &[])?)?;
    let (nasty, result) = run("nasty teacher", recipe("cnn16", Kind::Undermine(normal.clone()), &[])?)?;
    let (_, alone) = run("student alone", recipe("cnn4", Kind::Train, &[])?)?;

    // The audit: several thieves against each teacher. `objective.kind` chooses the thief.
    println!(
        "teacher {:.2} %, student alone {:.2} %",
        100.0 * result.test.accuracy,
        100.0 * alone.test.accuracy
    );
    for (whose, teacher) in [("normal", &normal), ("nasty", &nasty)] {
        for thief in
            [&["objective.temperature=10"][..], &["objective.kind=dkd"], &["objective.kind=hard-label"]]
        {
            let recipe = recipe("cnn4", Kind::Distill(teacher.clone()), thief)?;
            let (_, clone) = run(&format!("{} against the {whose} teacher", thief.join(" ")), recipe)?;
            println!("  {:.2} %", 100.0 * clone.test.accuracy);
        }
    }

    // A victim by itself: it answers images through an interface and counts queries.
    let (network, config) = lab.network(&nasty)?;
    let victim = OwnNetwork::new(&network, normalisation_of(&config), nasty.0.clone(), &lab.device)
        .behind(Interface::TopK { k: 3 })?;
    let answers = ask_all(&victim, &data.test.subset(&[0, 1, 2, 3]), None)?;
    for row in answers.rows.chunks_exact(victim.classes()) {
        println!("{}", data.classes[argmax(row)]);
    }
    println!("{} queries", victim.queries());
    Ok(())
}
