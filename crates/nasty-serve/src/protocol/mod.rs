//! The Open Inference Protocol, version 2 (kserve/open-inference-protocol, May 2025), with the extensions for binary tensors and for
//! classification (Triton's `docs/protocol`). Bytes in, bytes out: nothing here knows of connections.

mod bounded;
mod elements;
mod metadata;
mod openapi;
mod refusal;
mod request;
mod response;
mod scan;

pub use metadata::{model, server};
pub use openapi::openapi;
pub use refusal::Refusal;
pub use request::{Inference, Wanted, memory_for, parse};
pub use response::{Reply, reply};
