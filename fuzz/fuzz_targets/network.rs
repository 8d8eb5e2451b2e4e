//! A stored network: `config.json`, a zero byte, `model.safetensors`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nasty_fuzz::{Folder, panics_may_be_caught, split, told};
use nasty_teacher::device::device;
use nasty_teacher::nets::{CONFIG_FILE, WEIGHTS_FILE, load_known};
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

fuzz_target!(init: panics_may_be_caught(), |bytes: &[u8]| {
    let (config, weights) = split(bytes);
    FOLDER.file(CONFIG_FILE, config);
    FOLDER.file(WEIGHTS_FILE, weights);
    told(load_known(FOLDER.path(), &device("flex").expect("the CPU")));
});
