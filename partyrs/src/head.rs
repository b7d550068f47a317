//! The head of a request, and what the static hooks see and say.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;

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

/// What a static hook sees: which room is asked for, by whom, and the host's env.
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
        Self { method: parts.method, uri: parts.uri, headers: parts.headers, extensions: parts.extensions }
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
}
