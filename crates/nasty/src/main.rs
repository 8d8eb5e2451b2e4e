//! The program `nasty`: make an image classifier undistillable, and measure how undistillable it is.
//!
//! [`run`] parses the command line and calls one file of [`commands`]; all work is done in the library.

#![expect(
    unreachable_pub,
    reason = "nothing outside sees a program's items: `pub` says what a module offers"
)]

mod commands;
mod failure;
mod run;
mod signals;
mod ui;

#[global_allocator]
static ALLOCATOR: nasty_teacher::Allocator = nasty_teacher::Allocator;

fn main() -> std::process::ExitCode {
    run::run()
}
