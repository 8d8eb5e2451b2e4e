//! Files of weights: PyTorch's (zip and old), safetensors, NumPy's, and everything that is mistaken for them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nasty_fuzz::{Folder, panics_may_be_caught, told};
use nasty_teacher::nets::tensors;
use std::sync::LazyLock;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

fuzz_target!(init: panics_may_be_caught(), |bytes: &[u8]| {
    told(tensors(&FOLDER.file("weights.pth", bytes)));
});
