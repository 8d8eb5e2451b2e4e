//! `nasty onnx-worker`: computes a foreign graph for another `nasty`, within bounds of memory that its caller set.

use crate::failure::{End, Result, Trouble};
use nasty_teacher::victim::onnx::worker::serve;

/// Works until its caller ends.
pub fn run() -> Result<End> {
    serve(std::io::stdin().lock(), std::io::stdout().lock())
        .map_err(|e| Trouble::refused("standard input or output", &e))?;
    Ok(End::Done)
}
