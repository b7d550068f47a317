//! Storage backends.

mod disk;
mod redb;
mod store;

pub use self::disk::Disk;
pub use self::redb::{CheckReport, Defect, OpenError, RedbEngine, check};
