//! Small files for tests of the program: weights as PyTorch writes them, and pictures.

#![allow(dead_code, unreachable_pub, reason = "every test uses its part")]

#[path = "../../../nasty-teacher/tests/torch/mod.rs"]
mod torch;

use std::fs;
use std::path::Path;
use torch::{Kind, State, legacy};

/// Weights of a `cnn1` for 3 classes of 8×8 colour images.
pub fn colour_weights() -> Vec<u8> {
    let mut state = State::default();
    let mut number = 1u32;
    let mut push = |name: String, shape: &[usize]| {
        let count: usize = shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from((number >> 16) as u16) / 65_536.0
                    - if name.ends_with("running_var") { -0.5 } else { 0.5 }
            })
            .collect();
        state.push(&name, Kind::Float, shape, &values);
    };
    let norm = |push: &mut dyn FnMut(String, &[usize]), name: &str, channels: usize| {
        for tensor in ["weight", "bias", "running_mean", "running_var"] {
            push(format!("{name}.{tensor}"), &[channels]);
        }
    };
    for (i, [input, output]) in [[3, 1], [1, 2], [2, 4]].into_iter().enumerate() {
        push(format!("conv{}.weight", i + 1), &[output, input, 3, 3]);
        push(format!("conv{}.bias", i + 1), &[output]);
        norm(&mut push, &format!("bn{}", i + 1), output);
    }
    push("fc1.weight".into(), &[4, 4]);
    push("fc1.bias".into(), &[4]);
    norm(&mut push, "fcbn1", 4);
    push("fc2.weight".into(), &[3, 4]);
    push("fc2.bias".into(), &[3]);
    legacy(&state.dict(), &state.storages)
}

/// An 8×8 picture of noise of a seed, as PNG with stored data.
pub fn png(mut seed: u32) -> Vec<u8> {
    let mut next = || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (seed >> 24) as u8
    };
    // Each row begins with its filter: none.
    let raw: Vec<u8> = (0..8).flat_map(|_| std::iter::once(0).chain((0..24).map(|_| 1))).collect();
    let raw: Vec<u8> = raw.into_iter().map(|byte| if byte == 0 { 0 } else { next() }).collect();
    let (a, b) = raw.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    let length = (raw.len() as u16).to_le_bytes();
    let zlib = [&[0x78, 1, 1][..], &length, &length.map(|b| !b), &raw, &(b << 16 | a).to_be_bytes()].concat();
    let chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        let crc = body.iter().fold(!0u32, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (!(crc & 1)).wrapping_add(1))
            })
        });
        [&(data.len() as u32).to_be_bytes()[..], &body, &(!crc).to_be_bytes()].concat()
    };
    let header = [0, 0, 0, 8, 0, 0, 0, 8, 8, 2, 0, 0, 0];
    [b"\x89PNG\r\n\x1a\n".to_vec(), chunk(b"IHDR", &header), chunk(b"IDAT", &zlib), chunk(b"IEND", b"")]
        .concat()
}

/// A data set whose class `names[i]` has the pictures of number `i`.
pub fn pictures(here: &Path, folder: &str, names: [&str; 3]) {
    for (i, name) in names.iter().enumerate() {
        for split in ["train", "test"] {
            let place = here.join(folder).join(split).join(name);
            fs::create_dir_all(&place).expect("writable");
            for picture in 0..6 + 3 * i as u32 {
                fs::write(place.join(format!("{picture}.png")), png(1_000 * i as u32 + picture))
                    .expect("writable");
            }
        }
    }
}
