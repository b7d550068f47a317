//! A client that asks for a WebSocket outside of the rooms.
//!
//! It is an offer: nothing has been answered yet, so whoever gets it may still refuse by an
//! HTTP status, or leave the request to whatever answers plain ones.

use std::fmt;
use std::net::SocketAddr;

use crate::head::{Head, ProtocolError};
use crate::seam::Acceptor;
use crate::socket::Socket;

/// A client that asks for a WebSocket at what is no room; it has not been answered yet.
///
/// [`LobbyServer::on_socket`](crate::LobbyServer::on_socket) gets it, and says what becomes of it.
pub struct LobbySocket {
    head: Head,
    remote_addr: SocketAddr,
    acceptor: Box<dyn Acceptor>,
}

/// Why a client that was accepted has no WebSocket.
///
/// Nothing has gone wrong in the program: passed on by `?` from `on_socket` it is not logged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AcceptError {
    /// What it sent is no handshake of a WebSocket; it was answered 400 or 426.
    #[error("the handshake of the client is bad, it was refused")]
    Handshake,
    /// The host shuts down; it was answered 503.
    #[error("the host shuts down, the client was refused")]
    Unavailable,
    /// It went away before the answer reached it, or its hook took too long.
    #[error("the client went away before it was accepted")]
    Lost,
}

impl LobbySocket {
    /// A client to be accepted; for hosts.
    #[must_use]
    pub fn new(head: Head, remote_addr: SocketAddr, acceptor: Box<dyn Acceptor>) -> Self {
        Self { head, remote_addr, acceptor }
    }

    /// Path, query, headers and cookies of the request.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The client's address as TCP knows it; behind a proxy, the proxy's.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// Agrees to a subprotocol: the client is told it when it is accepted. As
    /// [`Head::select_protocol`].
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NotOffered`] if the client does not offer it.
    pub fn select_protocol(&mut self, protocol: &str) -> Result<(), ProtocolError> {
        self.head.select_protocol(protocol)
    }

    /// The subprotocol that was selected, if any.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.head.protocol()
    }

    /// Accepts the client, and waits until its WebSocket is open: the answer is 101, and what the
    /// client has sent meanwhile is not lost.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] if the client cannot be accepted, or is gone. It needs no other answer.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not take it back: the client is closed when the hook ends.
    pub async fn accept(self) -> Result<Socket, AcceptError> {
        self.acceptor.accept(self.head).await
    }
}

impl fmt::Debug for LobbySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LobbySocket")
            .field("uri", self.head.uri())
            .field("remote_addr", &self.remote_addr)
            .finish_non_exhaustive()
    }
}
