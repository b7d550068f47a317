//! Storage backends.

mod redb;

pub use self::redb::{OpenError, RedbEngine};
