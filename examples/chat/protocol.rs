//! What the chat says, as types; the same in words stands in `PROTOCOL.md`.
//!
//! The limits are part of the types: what is too long never becomes a message, and the
//! default `on_invalid` tells its sender why. So the room only ever sees what is in order.

use std::collections::VecDeque;

use partyrs::prelude::*;
use serde::{Deserialize, Serialize};

/// What a client may send.
#[derive(Debug, FromFrame)]
#[frame(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// I am here, and this is my name; again, to change it.
    Join { name: Name },
    /// For everyone in the room.
    Say { text: Text },
}

/// What the room tells: `Welcome` to each who comes, `Error` to whom it refuses something,
/// the others to everyone.
#[derive(IntoFrame)]
#[frame(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Tell<'a> {
    Welcome { you: &'a str, messages: &'a History, people: Vec<Person<'a>> },
    Said { message: &'a Message },
    Joined { person: Person<'a> },
    Left { id: &'a str },
    Error { error: &'a str },
}

/// The last messages, oldest first.
pub(crate) type History = VecDeque<Message>;

/// A message as it is kept and as it is sent.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Message {
    /// Its number in the room, padded with zeros, so that ids sort as text.
    pub(crate) id: String,
    /// Connection id of the author.
    pub(crate) from: String,
    /// The author's name when it was said.
    pub(crate) name: String,
    pub(crate) text: String,
    /// Unix time in milliseconds.
    pub(crate) at: u64,
}

/// Someone who has joined.
#[derive(Debug, Serialize)]
pub(crate) struct Person<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
}

/// What `GET /parties/main/<room>` answers.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) room: &'a str,
    pub(crate) people: usize,
    pub(crate) messages: u64,
}

/// 1 to 40 characters, without white space around them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(pub(crate) String);

/// 1 to 2000 characters, not only white space.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Text(pub(crate) String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        check(name.trim(), 40)?;
        Ok(Self(name.trim().to_owned()))
    }
}

impl TryFrom<String> for Text {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        check(&text, 2000)?;
        Ok(Self(text))
    }
}

/// The sender is shown what this says, after the name of the field.
fn check(text: &str, chars_max: usize) -> Result<(), String> {
    let chars_count = text.chars().count();
    if text.trim().is_empty() {
        return Err("must not be empty".into());
    }
    if chars_count > chars_max {
        return Err(format!("{chars_count} characters are over the limit of {chars_max}"));
    }
    Ok(())
}
