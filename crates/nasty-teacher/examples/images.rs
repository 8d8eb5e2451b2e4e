//! Writes the test images of a folder data set to standard output: `images FOLDER 256/224`. Bytes `[count, side, side, 3]`;
//! `tools/golden_pictures.py` compares them with torchvision's.

use nasty_teacher::data::{DataName, DataRoots, load};
use std::io::Write;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, framing] = &arguments[..] else { return Err("expected FOLDER FRAMING".into()) };
    let roots = DataRoots::resolve(Some(folder.into()))?;
    let data = load(&DataName::Folder(folder.into()), &roots, Some(framing.parse()?))?;
    let mut out = std::io::stdout().lock();
    data.test.images().try_for_each(|image| out.write_all(image))?;
    Ok(())
}
