//! What people type or write by hand: experiments, changes, defences, conditions, names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nasty_fuzz::{panics_may_be_caught, split, told};
use nasty_teacher::audit::Condition;
use nasty_teacher::data::DataName;
use nasty_teacher::defences::Stack;
use nasty_teacher::lab::experiment::Experiment;
use nasty_teacher::lab::{apply, defaults};
use nasty_teacher::nets::Architecture;

fuzz_target!(init: panics_may_be_caught(), |bytes: &[u8]| {
    let Some((&first, body)) = bytes.split_first() else { return };
    let Ok(text) = std::str::from_utf8(body) else { return };
    match first % 6 {
        0 => told(Experiment::read("experiment", text, &[])),
        1 => {
            let (name, changes) = split(body);
            let name = String::from_utf8_lossy(name);
            let changes: Vec<String> = String::from_utf8_lossy(changes).lines().map(String::from).collect();
            told(Experiment::find(if name.is_empty() { "cifar10" } else { &name }, &changes));
        }
        2 => {
            let network = "cnn".parse().expect("a network");
            let recipe = defaults::recipe(DataName::Cifar10, String::new(), network, defaults::Kind::Train);
            told(apply(recipe, &text.lines().map(String::from).collect::<Vec<_>>()));
        }
        3 => told(text.parse::<Stack>()),
        4 => told(Condition::parse(text)),
        _ => {
            told(text.parse::<DataName>());
            told(text.parse::<Architecture>());
        }
    }
});
