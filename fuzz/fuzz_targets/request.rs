//! Bodies of requests to a server: the first byte says how many bytes are JSON, and what the model takes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use nasty_fuzz::{panics_may_be_caught, told};
use nasty_serve::protocol::{memory_for, parse};
use nasty_serve::{About, Input, Output};
use nasty_teacher::data::Normalisation;

/// The most memory that a body of `length` bytes may be said to need: a digit and a comma are an image's number of 4 bytes.
const fn bound(length: usize) -> usize {
    4096 + 64 * length
}

fuzz_target!(init: panics_may_be_caught(), |bytes: &[u8]| {
    let Some((&first, body)) = bytes.split_first() else { return };
    let json_length = match first >> 1 {
        0 => Some(0),
        1 => None,
        // The JSON part ends where the first zero byte is, as a client that sends binary tensors says.
        _ => Some(body.iter().position(|&byte| byte == 0).unwrap_or(body.len())),
    };
    let about = About {
        name: "model".into(),
        image: [1, 2, 2],
        labels: vec!["a".into(), "b".into(), "c".into()],
        input: if first & 1 == 0 { Input::Normalised } else { Input::Pixels },
        output: Output::Logits,
        normalisation: Some(Normalisation { mean: vec![0.5], std: vec![0.5] }),
        defence: String::new(),
        reveals: "logits".into(),
    };
    if let Ok(memory) = memory_for(body, json_length, &about) {
        assert!(memory <= bound(body.len()), "{memory} bytes for a body of {}", body.len());
    }
    match parse(body, json_length, &about, 8) {
        Ok(inference) => assert_eq!(inference.images.len(), inference.count * about.image_len()),
        Err(refusal) => told::<(), _>(Err(String::from_utf8_lossy(&refusal.body()))),
    }
});
