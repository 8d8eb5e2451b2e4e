//! Data sets on disk → images in memory → views → batches.
//!
//! [`load`] reads a data set by its [`DataName`] from [`DataRoots`]; [`held_out`] splits its training images;
//! [`epoch_batches`] renders them, view by view, as normalised pixels. Files are untrusted: they are parsed, never
//! executed, and sizes are bounded before anything is allocated. `fetch::fetch` (feature `download`) downloads a data
//! set; [`inventory`] reports which data sets are present and complete.

pub mod batches;
pub mod catalog;
pub mod class_map;
pub mod error;
#[cfg(feature = "download")]
pub mod fetch;
pub mod image_set;
pub mod inventory;
pub mod sources;
pub mod views;

mod arrays;
mod budget;
mod cifar;
mod class_folders;
mod class_names;
mod crops;
mod files;
mod folder;
mod framing;
mod idx;
mod labels;
mod matlab;
mod metadata_folder;
pub(crate) mod npz;
mod parquet_shards;
mod pickle;
mod pictures;
mod render;
mod resample;
mod roots;
mod rotation;
mod splits;
mod stl10;
mod svhn;
mod tar_gz;
mod tiny_imagenet;

pub use batches::{Batch, Epoch, EpochBatches, epoch_batches, held_out, render};
pub use catalog::{DataName, load};
pub use class_map::{ClassMap, ClassMismatch, Unnamed, class_map};
pub use error::DataError;
pub use framing::{Framing, LARGEST_SIDE};
pub use image_set::{DataSet, ImageSet, Normalisation, Photo};
pub use roots::DataRoots;
pub use views::{Augmentation, View, order};
