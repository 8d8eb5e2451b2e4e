//! The kinds of task, one a file.

mod data_free;
mod embedding;
mod inversion;
mod responses;
mod train;
