//! One file a subcommand.

pub mod devices;
pub mod evaluate;
<<<<<<< HEAD
pub mod export;
pub mod import;
=======
pub mod networks;
>>>>>>> nets
pub mod place;
pub mod quickstart;
pub mod single;
