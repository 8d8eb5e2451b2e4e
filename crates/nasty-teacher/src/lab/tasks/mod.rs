//! The kinds of task, one file each.

mod ask;
mod data_free;
mod embedding;
mod forging;
mod inversion;
mod loot;
mod making;
mod responses;
mod thief;
mod train;
