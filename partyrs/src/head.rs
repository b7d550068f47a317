//! The head of a request, and what the static hooks see and say.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{Extensions, HeaderMap, Method, Uri};

use crate::address::{PartyName, RoomAddress, RoomId};
use crate::close::CloseFrame;
use crate::env::{Env, MissingEnv};
use crate::parties::Parties;
use crate::response::Response;
use crate::seam::RoomHost;

/// Method, URI, headers and extensions of a request; the path is fixed, the rest may be changed.
///
/// Typed data put into the extensions by a before-hook can be read in every hook of the
/// connection or request: that is how a login reaches the room.
#[derive(Clone, Debug, Default)]
pub struct Head {
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    extensions: Extensions,
    /// The subprotocol that was selected among those offered.
    protocol: Option<Box<str>>,
}

/// What a before-hook decides.
#[derive(Debug)]
#[must_use]
pub enum Admission {
    /// The request goes on to its room, with the head as the hook left it.
    Admit,
    /// The client gets this response, and no room is opened. `partysocket` cannot see it
    /// when it refuses a WebSocket, and retries for ever: use [`Admission::Close`] there.
    Respond(Response),
    /// The WebSocket is accepted and closed at once with this frame, and no room is opened.
    /// For a plain request it is answered 403 with the reason.
    Close(CloseFrame),
}

/// Why a subprotocol was not selected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A client must not be told a subprotocol that it does not speak.
    #[error("subprotocol {protocol:?} is not one of those offered: {offered:?}")]
    NotOffered {
        /// What was to be selected.
        protocol: String,
        /// What the client offers, the one it likes best first.
        offered: Vec<String>,
    },
}

/// What a before-hook sees: which room is asked for, by whom, and the host's env.
///
/// Outside of all rooms it is a [`HostLobby`](crate::HostLobby).
#[derive(Clone, Debug)]
pub struct Lobby {
    party: PartyName,
    room: RoomId,
    remote_addr: SocketAddr,
    env: Arc<Env>,
    host: Arc<dyn RoomHost>,
}

impl Head {
    /// Takes the parts of an `http` request.
    #[must_use]
    pub fn new(parts: http::request::Parts) -> Self {
        let http::request::Parts { method, uri, headers, extensions, .. } = parts;
        Self { method, uri, headers, extensions, protocol: None }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// Path and query as the client sent them.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The headers, to be changed; the room sees the change.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        &mut self.headers
    }

    /// The value of a header, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The first value of `key` in the query, form-decoded.
    #[must_use]
    pub fn query(&self, key: &str) -> Option<Cow<'_, str>> {
        let query = self.uri.query()?;
        form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == key).map(|(_, value)| value)
    }

    /// The WebSocket subprotocols that the client offers, the one it likes best first; none
    /// for most clients.
    pub fn offered_protocols(&self) -> impl Iterator<Item = &str> {
        let values = self.headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        let values = values.filter_map(|value| value.to_str().ok());
        values.flat_map(|value| value.split(',')).map(str::trim).filter(|protocol| !protocol.is_empty())
    }

    /// Agrees to a subprotocol, for `on_before_connect`: the client is told it in the answer
    /// to its handshake, and [`Connection::protocol`](crate::Connection::protocol) says it to
    /// all hooks. Names are compared exactly; the last call counts.
    ///
    /// A client that offers subprotocols, of which none is selected, fails the connection by
    /// itself, as browsers do.
    ///
    /// # Errors
    ///
    /// [`ProtocolError::NotOffered`] if the client does not offer it; nothing is selected
    /// then. Passed on by `?`, it is logged and the client is answered 500.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # fn choose(head: &mut Head) -> Result<Admission> {
    /// if head.offered_protocols().any(|protocol| protocol == "chat.v2") {
    ///     head.select_protocol("chat.v2")?;
    /// }
    /// # Ok(Admission::Admit)
    /// # }
    /// ```
    pub fn select_protocol(&mut self, protocol: &str) -> Result<(), ProtocolError> {
        self.protocol = None;
        if !self.offered_protocols().any(|offered| offered == protocol) {
            let offered = self.offered_protocols().map(str::to_owned).collect();
            return Err(ProtocolError::NotOffered { protocol: protocol.to_owned(), offered });
        }
        self.protocol = Some(protocol.into());
        Ok(())
    }

    /// The subprotocol that was selected, if any.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// Typed data that a before-hook put in.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// Typed data, to be put in: `head.extensions_mut().insert(User { .. })`.
    pub fn extensions_mut(&mut self) -> &mut Extensions {
        &mut self.extensions
    }
}

impl From<Head> for http::request::Parts {
    fn from(head: Head) -> Self {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.method = head.method;
        parts.uri = head.uri;
        parts.headers = head.headers;
        parts.extensions = head.extensions;
        parts
    }
}

impl Lobby {
    /// What a static hook sees; for hosts.
    #[must_use]
    pub fn new(
        address: RoomAddress,
        remote_addr: SocketAddr,
        env: Arc<Env>,
        host: Arc<dyn RoomHost>,
    ) -> Self {
        Self { party: address.party, room: address.room, remote_addr, env, host }
    }

    /// The parties of the host: the way to their rooms. Using a handle opens its room.
    #[must_use]
    pub fn parties(&self) -> Parties {
        Parties::new(Arc::clone(&self.host))
    }

    /// The party that is asked for.
    #[must_use]
    pub fn party(&self) -> &PartyName {
        &self.party
    }

    /// The room that is asked for; it may not be open.
    #[must_use]
    pub fn room(&self) -> &RoomId {
        &self.room
    }

    /// The client's address as TCP knows it; behind a proxy, the proxy's.
    #[must_use]
    pub fn remote_addr(&self) -> SocketAddr {
        self.remote_addr
    }

    /// The value of type `T` that the program gave to its host.
    ///
    /// # Errors
    ///
    /// [`MissingEnv`] if it gave none.
    pub fn env<T: Send + Sync + 'static>(&self) -> Result<&T, MissingEnv> {
        self.env.get()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_value_is_the_first_and_is_decoded() {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.uri = Uri::from_static("/party/x?token=a%20b+c&token=2&empty=");
        let head = Head::new(parts);
        assert_eq!(head.query("token").as_deref(), Some("a b c"));
        assert_eq!(head.query("empty").as_deref(), Some(""));
        assert_eq!(head.query("none"), None);
    }

    #[test]
    fn only_a_subprotocol_that_is_offered_is_selected() {
        let mut head = Head::default();
        assert_eq!(head.offered_protocols().count(), 0);
        for offer in ["chat.v2, chat.v1", " ,soap"] {
            head.headers_mut().append(SEC_WEBSOCKET_PROTOCOL, http::HeaderValue::from_static(offer));
        }
        assert_eq!(head.offered_protocols().collect::<Vec<_>>(), ["chat.v2", "chat.v1", "soap"]);
        assert_eq!(head.select_protocol("soap"), Ok(()));
        assert_eq!(head.protocol(), Some("soap"));
        let error = head.select_protocol("Chat.v2").unwrap_err().to_string();
        assert_eq!(
            error,
            r#"subprotocol "Chat.v2" is not one of those offered: ["chat.v2", "chat.v1", "soap"]"#
        );
        assert_eq!(head.protocol(), None);
    }
}
