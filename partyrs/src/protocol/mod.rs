//! What a party's messages look like, for those who write its clients: JSON Schema, TypeScript,
//! and what a change to them breaks. Needs the feature `protocol`.
//!
//! `#[derive(Protocol)]` on the enums of both directions describes the messages; what the types of
//! their values look like is asked of [`schemars::JsonSchema`], which reads serde's own
//! attributes. [`Document`] puts the two directions together, and [`Document::keep`] keeps what comes of
//! it beside the code, by a test:
//!
//! ```no_run
//! use partyrs::protocol::Document;
//! use partyrs::{FromFrame, IntoFrame, Protocol};
//!
//! /// What a client may send.
//! #[derive(FromFrame, Protocol)]
//! #[frame(rename_all = "kebab-case")]
//! enum Ask {
//!     /// For everyone in the room.
//!     Say {
//!         #[frame(len(max = 2000))]
//!         text: String,
//!     },
//! }
//!
//! #[derive(IntoFrame, Protocol)]
//! #[frame(rename_all = "kebab-case")]
//! enum Tell<'a> {
//!     Said { from: &'a str, text: &'a str },
//! }
//!
//! #[test]
//! fn the_protocol_is_the_one_that_clients_know() -> Result<(), partyrs::protocol::KeepError> {
//!     Document::of::<Ask, Tell<'_>>("main").keep("protocol")
//! }
//! ```
//!
//! `PARTYRS_PROTOCOL=write cargo test the_protocol` writes `protocol/main.ts`, which pages import, and
//! `protocol/main.json`, the JSON Schema of all messages. Without the variable the test fails if one
//! of them is not what the code says. A change that breaks clients which are already out there is
//! refused in both cases, with what it breaks and for whom, until `PARTYRS_PROTOCOL=break` says that it is meant.

mod asyncapi;
mod breaks;
mod document;
mod forms;
mod keep;
mod messages;
mod rules;
mod typescript;
mod walk;

pub use asyncapi::asyncapi;
pub use breaks::Break;
pub use document::{Document, DocumentError};
pub use keep::{Keep, KeepError};
pub use messages::{Field, Message, Messages};
pub use schemars;

use crate::Json;

/// Messages that can be described. Derive it, beside [`FromFrame`](crate::FromFrame) or
/// [`IntoFrame`](crate::IntoFrame), whose `#[frame(..)]` it reads.
///
/// The types of the values need [`schemars::JsonSchema`]; types of other crates have it by
/// features of schemars, so depend on it beside partyrs where you need those.
///
/// By hand it is for messages whose `FromFrame` or `IntoFrame` is written by hand too:
///
/// ```
/// use partyrs::protocol::{Messages, Protocol};
///
/// /// `{"op":"seek","to":7}`
/// struct Seek(u32);
///
/// impl Protocol for Seek {
///     fn describe(messages: &mut Messages) {
///         messages.tag("op").message("seek", |message| {
///             message
///                 .docs("Goes there.")
///                 .field::<u32>("to", |to| to.docs("In seconds.").range(None, Some(86_400)))
///         });
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say what its messages look like",
    note = "add `#[derive(partyrs::Protocol)]` to `{Self}`"
)]
pub trait Protocol {
    /// Says what the messages are.
    fn describe(messages: &mut Messages);
}

/// Who sends the messages: a type may look different where it is written and where it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// What a client sends need only be enough to be read.
    Client,
    /// What a room sends is as serde writes it.
    Room,
}

/// No messages: for a party whose clients, or whose rooms, send nothing.
impl Protocol for () {
    fn describe(_: &mut Messages) {}
}

impl<T: Protocol + ?Sized> Protocol for &T {
    fn describe(messages: &mut Messages) {
        T::describe(messages);
    }
}

/// Values without a tag.
impl<T: schemars::JsonSchema> Protocol for Json<T> {
    fn describe(messages: &mut Messages) {
        messages.any::<T>();
    }
}
