//! What the code that the derives write calls. Not for use by hand, and free to change.
//!
//! The derives know the names of an item, and these functions know JSON. Written code and
//! this module come from one version of the workspace, so they need not suit any other.

mod read;
mod write;

pub use std::string::String;

pub use serde;

pub use self::{
    read::{Entries, ReadMessage, Shape, Slot, read_message, read_object},
    write::{Text, WriteMessage, constant},
};
