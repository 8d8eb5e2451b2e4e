//! The kinds of task, one file each.

mod data_free;
mod embedding;
mod inversion;
mod responses;
mod train;
