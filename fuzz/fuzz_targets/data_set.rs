//! Data sets on disk: the first byte chooses CIFAR's pickles, their archive, IDX files or a picture in a folder.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nasty_fuzz::{Folder, panics_may_be_caught, told};
use nasty_teacher::data::{DataName, DataRoots, Framing, load};
use std::sync::LazyLock;

static FOLDERS: LazyLock<[Folder; 6]> = LazyLock::new(|| std::array::from_fn(|_| Folder::new()));

fuzz_target!(init: panics_may_be_caught(), |bytes: &[u8]| {
    let Some((&first, body)) = bytes.split_first() else { return };
    let kind = usize::from(first % 6);
    let folder = &FOLDERS[kind];
    let name = match kind {
        0 => {
            folder.file("cifar-10-batches-py/data_batch_1", body);
            DataName::Cifar10
        }
        1 => {
            folder.file("cifar-100-python/train", body);
            DataName::Cifar100
        }
        2 => {
            folder.file("cifar-10-python.tar.gz", body);
            DataName::Cifar10
        }
        3 => {
            for file in ["train-images-idx3-ubyte", "train-labels-idx1-ubyte"] {
                folder.file(&format!("mnist/{file}"), body);
            }
            DataName::Mnist
        }
        _ => {
            // Whatever the ending says, the content decides.
            let ending = if kind == 4 { "png" } else { "jpg" };
            for split in ["train", "test"] {
                for class in ["a", "b"] {
                    folder.file(&format!("{split}/{class}/0.{ending}"), body);
                }
            }
            DataName::Folder(folder.path().to_owned())
        }
    };
    let roots = DataRoots::resolve(Some(folder.path().to_owned())).expect("a folder");
    told(load(&name, &roots, (kind > 3).then(|| Framing::square(8))));
});
