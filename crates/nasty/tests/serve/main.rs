//! `nasty serve` as clients and owners meet it: the protocol, budgets, signals, abuse.

#![expect(unreachable_pub, reason = "nothing outside sees a test's items: `pub` says what a module offers")]

mod abuse;
mod budgets;
mod client;
mod fuzz;
mod life;
mod protocol;
mod refusals;
mod server;
mod tls;
mod victims;
