//! The program `nasty`: make an image classifier undistillable, and measure how undistillable it is.
//!
//! The way in: [`run`] parses what was typed and calls one file of [`commands`]; all work is in the library.

#![expect(
    unreachable_pub,
    reason = "nothing outside sees a program's items: `pub` says what a module offers"
)]

mod commands;
mod failure;
mod run;
mod signals;
mod ui;

/// A training step asks for the same large tensors again and again; glibc maps them afresh each time, so the kernel
/// has to find and zero their pages, and mimalloc has them at hand. Five steps of batch 128 on two threads, page faults
/// with glibc and with mimalloc, both counted from the program's start: cnn 97,163 and 6,673, preresnet20 141,561 and
/// 18,068 (glibc with its thresholds out of the way: 26,312 and 58,494; settings that only its users have).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    run::run()
}
