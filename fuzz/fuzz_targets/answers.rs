//! Recorded answers in an `.npz` file, reports of audits, and foreign ONNX files that get a defence.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nasty_fuzz::{Folder, panics_may_be_caught, told};
use nasty_teacher::audit::Report;
use nasty_teacher::export::{GraphInputs, defend_onnx};
use nasty_teacher::victim::Recorded;
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

fuzz_target!(init: panics_may_be_caught(), |bytes: &[u8]| {
    let Some((&first, body)) = bytes.split_first() else { return };
    match first % 3 {
        0 => told(Recorded::open(&FOLDER.file("answers.npz", body))),
        1 => told(Report::read(&FOLDER.file("report.json", body))),
        _ => {
            let model = FOLDER.file("model.onnx", body);
            let stack = "rounding:decimals=1".parse().expect("a defence");
            let defended = FOLDER.path().join("out.onnx");
            told(defend_onnx(&model, first > 127, &stack, GraphInputs::default(), &defended));
        }
    }
});
