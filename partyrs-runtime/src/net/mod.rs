//! Everything between TCP and the mailbox of a room. It never names a room's task.

pub(crate) mod admin;
mod awaited;
pub(crate) mod body;
pub(crate) mod connection;
pub(crate) mod cors;
pub(crate) mod http;
pub(crate) mod linger;
pub(crate) mod listener;
pub(crate) mod lobby_socket;
pub(crate) mod origin;
pub(crate) mod patience;
pub(crate) mod route;
pub(crate) mod socket;
pub(crate) mod stream;
pub(crate) mod tls;
pub(crate) mod upgrade;
