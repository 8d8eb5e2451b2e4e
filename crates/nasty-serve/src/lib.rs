//! A classifier behind HTTP, by the Open Inference Protocol: with defences, API keys that have rates and budgets, and an
//! audit log.
//!
//! From the bottom up: [`protocol`] (bytes to images, rows to bytes) · [`model`] (what is asked; [`Served`] is a victim) ·
//! batching · keys, rates, budgets and their ledger · HTTP · [`serve`].

mod about;
mod accounts;
mod audit_log;
mod batching;
mod connections;
mod counters;
mod http;
mod keys;
mod ledger;
mod memory;
pub mod model;
pub mod protocol;
mod rate;
mod served;
mod server;
mod tls;

pub use about::{About, INPUT, Input, Output, VERSION};
pub use keys::{Key, Keys, KeysError};
pub use ledger::LedgerError;
pub use model::{Answered, Fault, Model};
pub use served::{Served, UnservableError};
pub use server::{Limits, Options, ServeError, serve};
pub use tls::{TlsError, TlsFiles};
