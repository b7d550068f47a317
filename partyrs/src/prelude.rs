//! What a party usually needs: `use partyrs::prelude::*;`.

pub use crate::alarm::Alarm;
pub use crate::body::RoomBody;
pub use crate::call::{Answers, Call};
pub use crate::close::{Close, CloseFrame};
pub use crate::connection::{ConnectContext, Connection, ConnectionId, Tag};
pub use crate::cron::Cron;
pub use crate::error::{Error, Failure, Result};
pub use crate::frame::{Frame, FromFrame, IntoFrame, Json, ParseError};
pub use crate::handle::RoomHandle;
pub use crate::head::{Admission, Head, Lobby};
pub use crate::lobby::{HostLobby, LobbyServer};
pub use crate::lobby_socket::LobbySocket;
pub use crate::options::{DuplicateIds, PartyOptions};
pub use crate::request::Request;
pub use crate::response::Response;
pub use crate::room::Room;
pub use crate::server::PartyServer;
pub use crate::socket::{Socket, SocketSender};
pub use crate::storage::List;
pub use partyrs_macros::{Dispatch, FromFrame, IntoFrame};
