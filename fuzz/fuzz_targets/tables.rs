//! Data sets that stand in a few files in a folder: SVHN's and STL-10's files, numpy archives, Parquet shards, metadata beside
//! pictures.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nasty_fuzz::{Folder, panics_may_be_caught, split, told};
use nasty_teacher::data::{DataName, DataRoots, load};
use std::sync::LazyLock;

static FOLDERS: LazyLock<[Folder; 5]> = LazyLock::new(|| std::array::from_fn(|_| Folder::new()));

fuzz_target!(init: panics_may_be_caught(), |bytes: &[u8]| {
    let Some((&first, body)) = bytes.split_first() else { return };
    let kind = usize::from(first % 5);
    let folder = &FOLDERS[kind];
    match kind {
        0 => {
            for file in ["train_32x32.mat", "test_32x32.mat"] {
                folder.file(file, body);
            }
        }
        1 => {
            for split in ["train", "test"] {
                // One label a byte, and as many images of 3 × 96 × 96 bytes, up to three.
                let mut images = body.to_vec();
                images.resize(27_648 * body.len().min(3), 0);
                folder.file(&format!("{split}_X.bin"), &images);
                folder.file(&format!("{split}_y.bin"), body);
            }
        }
        2 => {
            folder.file("train-00000-of-00001.parquet", body);
        }
        3 => {
            let (metadata, picture) = split(body);
            folder.file("train/metadata.jsonl", metadata);
            folder.file("train/0.png", picture);
        }
        _ => {
            let (metadata, picture) = split(body);
            folder.file("train/metadata.csv", metadata);
            folder.file("train/0.png", picture);
        }
    }
    let roots = DataRoots::resolve(Some(folder.path().to_owned())).expect("a folder");
    told(load(&DataName::Folder(folder.path().to_owned()), &roots, None));
});
