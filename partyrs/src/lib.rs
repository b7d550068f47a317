//! PartyKit's programming model for Rust: small stateful servers, one per room.
//!
//! **A hook that waits makes its room wait.** A room handles one event at a time, with
//! `&mut self`; long work is given to [`Room::spawn`].
//!
//! Implement [`PartyServer`], hand it to a host (`partyrs-runtime`), and every room of the
//! party has its own connections, its own memory and its own durable [`storage`]. This
//! crate is the contract only: it opens no socket, spawns no task and reads no clock.
//! [`testing::TestRoom`] runs a room without any host.

mod address;
mod close;
mod connection;
mod env;
mod error;
mod frame;
mod handle;
mod head;
mod ledger;
pub mod prelude;
mod request;
mod response;
mod room;
pub mod seam;
mod server;
pub mod storage;
pub mod testing;

pub use address::{NameError, PartyName, RoomAddress, RoomId};
pub use bytes;
pub use close::{Close, CloseError, CloseFrame};
pub use connection::{ConnectContext, Connection, ConnectionId, StateError, Tag};
pub use env::{Env, MissingEnv};
pub use error::{Error, Failure, Hook, Result};
pub use frame::{EncodeError, Frame, FromFrame, IntoFrame, Json, ParseError};
pub use handle::{CallError, RoomHandle};
pub use head::{Admission, Head, Lobby};
pub use http;
pub use partyrs_macros::{FromFrame, IntoFrame};
pub use request::Request;
pub use response::{Body, BodyError, Response};
pub use room::Room;
pub use server::PartyServer;

/// What the code that the derives write calls. Not for use by hand.
#[doc(hidden)]
pub mod __private;
