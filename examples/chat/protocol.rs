//! What the chat says, as types; the same in words stands in `PROTOCOL.md`, and for pages in
//! `page/protocol/main.ts`, with what is written here above each message and key.
//!
//! The limits are part of the types: what is too long never becomes a message, and the
//! default `on_invalid` tells its sender why. So the room only ever sees what is in order.

use std::collections::VecDeque;

use partyrs::Protocol;
use partyrs::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

const NAME_CHARS_MAX: usize = 40;
const TEXT_CHARS_MAX: usize = 2000;

/// What a client may send.
#[derive(Debug, FromFrame, Protocol)]
#[frame(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// I am here, and this is my name; again, to change it.
    Join {
        /// White space around it is taken away.
        name: Name,
    },
    /// For everyone in the room, once the sender has joined.
    Say {
        /// Kept as it is; not only white space.
        #[frame(len(min = 1, max = TEXT_CHARS_MAX), custom = "not_empty")]
        text: String,
    },
}

/// What the room tells: `Welcome` to each who comes, `Error` to whom it refuses something,
/// the others to everyone.
#[derive(IntoFrame, Protocol)]
#[frame(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Tell<'a> {
    /// The first message of each connection, in place of all that was known before.
    Welcome {
        /// The id of this connection.
        you: &'a str,
        /// The last 200, oldest first.
        messages: &'a History,
        /// Who has joined.
        people: Vec<Person<'a>>,
    },
    /// Somebody said something; to its author too.
    Said {
        /// As it is kept.
        message: &'a Message,
    },
    /// Somebody has joined, or has a new name.
    Joined {
        /// By the new name.
        person: Person<'a>,
    },
    /// The last connection of somebody who had joined has gone.
    Left {
        /// Of the connection.
        id: &'a str,
    },
    /// What this client sent was refused, and nothing has changed.
    Error {
        /// Why, for a person.
        error: &'a str,
    },
}

/// The last messages, oldest first.
pub(crate) type History = VecDeque<Message>;

/// A message as it is kept and as it is sent.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct Message {
    /// Its number in the room, padded with zeros, so that ids sort as text.
    pub(crate) id: String,
    /// Connection id of the author.
    pub(crate) from: String,
    /// The author's name when it was said.
    pub(crate) name: String,
    /// As it was sent.
    pub(crate) text: String,
    /// Unix time in milliseconds.
    pub(crate) at: u64,
}

/// Someone who has joined.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Person<'a> {
    /// Of the connection.
    pub(crate) id: &'a str,
    /// As it was given last.
    pub(crate) name: &'a str,
}

/// What `GET /parties/main/<room>` answers.
#[derive(Debug, Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) room: &'a str,
    pub(crate) people: usize,
    pub(crate) messages: u64,
}

/// Without white space around it.
// A type and not a rule, because it changes what came: it takes the white space away. What it
// derives knows nothing of that, so its limits are said to the schema once more.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
#[schemars(extend("minLength" = 1, "maxLength" = NAME_CHARS_MAX))]
pub(crate) struct Name(pub(crate) String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let name = name.trim();
        not_empty(name)?;
        match name.chars().count() {
            ..=NAME_CHARS_MAX => Ok(Self(name.to_owned())),
            chars_count => Err(format!("{chars_count} characters are over the limit of {NAME_CHARS_MAX}")),
        }
    }
}

fn not_empty(text: &str) -> Result<(), &'static str> {
    if text.trim().is_empty() { Err("must not be empty") } else { Ok(()) }
}
