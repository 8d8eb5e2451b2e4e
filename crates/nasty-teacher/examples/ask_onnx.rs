//! Answers of an ONNX file to raw images, as JSON: `ask_onnx MODEL SIDE PIXELS [PROGRAM LIBRARY]`, where PIXELS are RGB images of 8 bits
//! a channel, `[images, side, side, 3]`; the model gets them from 0 to 1. The built-in runtime computes it, or onnxruntime in the library
//! LIBRARY, in a process of `nasty` at PROGRAM. `tools/check_onnx` compares them with onnxruntime's.

use nasty_teacher::data::ImageSet;
use nasty_teacher::victim::onnx::Runtime;
use nasty_teacher::victim::{Asking, Onnx, Request, Victim, White};
use std::io::Write;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [model, side, pixels, more @ ..] = &arguments[..] else {
        return Err("expected MODEL SIDE PIXELS [PROGRAM LIBRARY]".into());
    };
    let runtime = match more {
        [program, library] => {
            Runtime::Onnxruntime { program: PathBuf::from(program), library: PathBuf::from(library) }
        }
        _ => Runtime::Here,
    };
    let (side, pixels) = (side.parse::<usize>()?, std::fs::read(pixels)?);
    let count = pixels.len() / (side * side * 3);
    let images = ImageSet::new(side, side, 3, pixels, vec![0; count]);
    let asking = Asking { white: Some(White::One), ..Asking::default() };
    let mut out = std::io::stdout().lock();
    match Onnx::open(Path::new(model), &asking, &runtime) {
        Ok(victim) => {
            let answers = victim.ask(&Request::unchanged(&images))?;
            let rows: Vec<&[f32]> = answers.rows.chunks_exact(answers.classes).collect();
            writeln!(out, "{}", serde_json::to_string(&rows)?)?;
        }
        Err(refused) => writeln!(out, "{}", serde_json::to_string(&refused.to_string())?)?,
    }
    Ok(())
}
