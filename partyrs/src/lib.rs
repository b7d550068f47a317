//! PartyKit's programming model for Rust: small stateful servers, one per room.
//!
//! **A hook that waits makes its room wait.** A room handles one event at a time, with
//! `&mut self`; long work is given to [`Room::spawn`].
//!
//! Implement [`PartyServer`], hand it to a host (`partyrs-runtime`), and every room of the
//! party has its own connections, its own memory and its own durable [`storage`]. This
//! crate is the contract only: it opens no socket, spawns no task and reads no clock.
//! [`testing::TestRoom`] runs a room without any host.
//!
//! Begin with [`PartyServer`], which has an example, and with `use partyrs::prelude::*`. A
//! hook is given its [`Room`]; what clients send is a type with [`FromFrame`](trait@FromFrame),
//! what they are sent a type with [`IntoFrame`](trait@IntoFrame); a hook fails with an
//! [`Error`], which says what the client may see of it. What outlives a hook is a
//! [`ConnectionId`] or a [`RoomHandle`]. What answers outside the rooms is a [`LobbyServer`].

// The derives name the crate from without, in our own tests as well.
#[cfg(test)]
extern crate self as partyrs;

mod address;
mod alarm;
mod body;
mod call;
mod close;
mod connection;
mod cron;
mod env;
mod error;
mod frame;
mod handle;
mod head;
mod ledger;
mod lobby;
mod lobby_socket;
mod message_pack;
mod options;
mod parties;
pub mod prelude;
#[cfg(feature = "protocol")]
pub mod protocol;
mod request;
mod response;
mod room;
mod running;
pub mod seam;
mod server;
mod socket;
pub mod storage;
pub mod testing;
mod validate;

pub use address::{NameError, PartyName, RoomAddress, RoomId};
pub use alarm::{Alarm, When};
pub use body::{RoomBody, WrongRoom};
pub use bytes;
pub use call::{Answers, Call};
pub use close::{Close, CloseError, CloseFrame};
pub use connection::{ConnectContext, Connection, ConnectionId, StateError, Tag};
pub use cron::Cron;
pub use env::{Env, MissingEnv};
pub use error::{Error, Failure, Hook, Result};
pub use frame::{EncodeError, Frame, FromFrame, IntoFrame, Json, Latest, ParseError, Volatile, WhenBehind};
pub use handle::{CallError, RoomHandle};
pub use head::{Admission, Head, Lobby, ProtocolError};
pub use http;
pub use lobby::{HostLobby, LobbyServer};
pub use lobby_socket::{AcceptError, LobbySocket};
pub use message_pack::MessagePack;
pub use options::{DuplicateIds, PartyOptions};
pub use parties::{Parties, PartyError, PartyHandle};
pub use request::{BodyStream, Request};
pub use response::{Body, BodyError, Response};
pub use room::Room;
pub use server::PartyServer;
pub use socket::{Socket, SocketError, SocketSender};
pub use validate::{Rule, Validate, Violation};

/// Derives [`FromFrame`](trait@FromFrame) for an enum, one variant for each message, or for a struct.
///
/// ```
/// use partyrs::{Frame, FromFrame};
///
/// #[derive(Debug, PartialEq, FromFrame)]
/// #[frame(rename_all = "kebab-case", rename_all_fields = "camelCase")]
/// enum Ask {
///     Sit { seat_number: u8, name: Option<String> },
///     #[frame(rename = "quit")]
///     LeaveTable,
/// }
///
/// let ask = Ask::from_frame(Frame::text(r#"{"type":"sit","seatNumber":3}"#))?;
/// assert_eq!(ask, Ask::Sit { seat_number: 3, name: None });
///
/// let error = Ask::from_frame(Frame::text(r#"{"type":"stand"}"#)).unwrap_err();
/// assert_eq!(error.to_string(), "unknown type `stand`, expected one of `sit`, `quit`");
/// # Ok::<(), partyrs::ParseError>(())
/// ```
pub use partyrs_macros::FromFrame;

/// Derives [`IntoFrame`](trait@IntoFrame) for an enum, one variant for each message, or for a struct.
///
/// ```
/// use partyrs::{Frame, IntoFrame};
///
/// #[derive(IntoFrame)]
/// #[frame(tag = "kind", rename_all = "camelCase")]
/// enum Tell<'a> {
///     UserJoined { name: &'a str },
///     #[frame(rename = "bye")]
///     TableClosed,
/// }
///
/// let joined = Tell::UserJoined { name: "ada" };
/// assert_eq!((&joined).into_frame()?, Frame::text(r#"{"kind":"userJoined","name":"ada"}"#));
/// assert_eq!(Tell::TableClosed.into_frame()?, Frame::text(r#"{"kind":"bye"}"#));
/// # Ok::<(), partyrs::EncodeError>(())
/// ```
pub use partyrs_macros::IntoFrame;

/// Gives each variant of a message enum a method of its own, instead of one `match`.
///
/// For `enum Ask` it declares the trait `AskHandler`, with a method for each variant, which the server
/// implements, and `Ask::dispatch`, which calls the method of a message. The call stands in `on_message`:
///
/// ```
/// use partyrs::prelude::*;
///
/// #[derive(FromFrame, Dispatch)]
/// enum Ask {
///     Say { text: String },
///     Leave,
/// }
///
/// struct Table;
///
/// impl PartyServer for Table {
///     type Message = Ask;
///
///     async fn on_start(_: &Room) -> Result<Self> {
///         Ok(Table)
///     }
///
///     async fn on_message(&mut self, room: &Room, sender: &Connection, ask: Ask) -> Result<()> {
///         ask.dispatch(self, room, sender).await
///     }
/// }
///
/// impl AskHandler for Table {
///     async fn say(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
///         room.broadcast_except(text, &[sender.id()])?;
///         Ok(())
///     }
///
///     async fn leave(&mut self, _: &Room, sender: &Connection) -> Result<()> {
///         sender.close(1000, "see you")?;
///         Ok(())
///     }
/// }
/// ```
///
/// A variant that has no method, a method that has no variant, an argument of another type: each is
/// an error of rustc's at that place. Without the call no method runs, and rustc warns that `dispatch` is never used,
/// if it is not public. What is to be done for every message stands in `on_message`, before the call or after it.
pub use partyrs_macros::Dispatch;

/// Derives [`Validate`](trait@Validate) for what stands inside a message.
///
/// ```
/// use partyrs::Validate;
///
/// #[derive(serde::Deserialize, Validate)]
/// #[serde(rename_all = "camelCase")]
/// struct Seat {
///     #[frame(range(min = 1, max = 40))]
///     row_number: u8,
///     #[frame(inner(len(min = 1, max = 20)))]
///     names: Vec<String>,
/// }
///
/// let seat = Seat { row_number: 41, names: vec![] };
/// assert_eq!(seat.validate().unwrap_err().client_text(), "`rowNumber` must be between 1 and 40");
/// let seat = Seat { row_number: 1, names: vec!["ada".into(), String::new()] };
/// assert_eq!(seat.validate().unwrap_err().client_text(), "`names[1]` must have 1 to 20 characters");
/// ```
pub use partyrs_macros::Validate;

/// Derives [`Protocol`](trait@protocol::Protocol) for an enum of messages, or for a struct.
///
/// It stands beside [`FromFrame`](derive@FromFrame) or [`IntoFrame`](derive@IntoFrame), and asks the
/// types of the values for `schemars::JsonSchema`; the module [`protocol`] tells what for.
#[cfg(feature = "protocol")]
pub use partyrs_macros::Protocol;

/// What the code that the derives write calls. Not for use by hand.
#[doc(hidden)]
pub mod __private;
