//! What the code that the derives write calls. Not for use by hand, and free to change.
//!
//! The derives know the names of an item, and these functions know JSON. Written code and
//! this module come from one version of the workspace, so they need not suit any other.

mod quick;
mod read;
mod rules;
mod scan;
mod write;

pub use std::string::String;

pub use serde;

pub use self::{
    read::{Entries, ReadMessage, Shape, Slot, Source, read_message, read_object},
    rules::{
        ByteLength, CheckMessage, Items, Length, RuleSink, Step, ToldRule, byte_len, custom, each, len, range,
    },
    write::{Text, WriteMessage, constant},
};

#[cfg(feature = "pattern")]
pub use self::rules::Pattern;

use crate::ParseError;

/// The message, if it keeps its rules.
pub fn checked<M: CheckMessage>(message: Result<M, ParseError>) -> Result<M, ParseError> {
    let message = message?;
    message.check().map_err(ParseError::Invalid)?;
    Ok(message)
}
