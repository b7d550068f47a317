//! From an upgrade request to a WebSocket on its way to its room (RFC 6455, section 4.2).
//!
//! A client has its place among the events of its room before it has its 101: whatever is sent
//! by those who know that it is `open` comes after it. But the 101 waits neither for the start of the
//! room nor for `on_connect`, for `partysocket` gives up after 4 s; what the client sends meanwhile
//! waits in its socket, and what the room sends waits for it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use partyrs::seam::NewConnection;
use partyrs::{Admission, Body, CloseFrame, ConnectContext, ConnectionId, Head, RoomAddress};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::awaited::Awaited;
use super::connection::Accepted;
use super::http::{Target, before_hook_failed, in_time, text, unavailable};
use super::linger::Lingering;
use crate::event::{Arrival, Join, RoomEvent};
use crate::state::State;
use crate::transport::Transport;

const CONNECTION_ID_BYTES_MAX: usize = 256;

/// How long the 101 waits for a place in the queue of a room that is busy or just ending; far less
/// than the 4 s of `partysocket`. Whoever finds none in this time is told 101, and waits on.
const JOIN_PATIENCE: Duration = Duration::from_secs(1);

/// Why a connection gets no id.
pub(crate) enum NoId {
    /// The one that it asks for is over 256 bytes.
    TooLong,
    /// The system gives no random numbers.
    NoRandom,
}

/// Whether the client asks for a WebSocket, rightly or wrongly.
pub(crate) fn is_asked<B>(request: &Request<B>) -> bool {
    has_token(request.headers(), &UPGRADE, "websocket")
}

/// Answers an upgrade request to a room; the socket then goes to the room by itself.
pub(crate) async fn accept<B>(state: Arc<State>, target: Target, request: Request<B>) -> Response<Body> {
    let accept_key = match check_handshake(&request) {
        Ok(key) => key,
        Err(refusal) => return *refusal,
    };
    if let Some(origin) = state.foreign_origin(request.headers()) {
        tracing::info!(room = %target.address, origin, "upgrade refused, its origin is not allowed");
        return text(StatusCode::FORBIDDEN, format!("Origin {origin} is not allowed"));
    }
    let (mut parts, _) = request.into_parts();
    let Some(on_upgrade) = parts.extensions.remove::<OnUpgrade>() else {
        tracing::error!(room = %target.address, "upgrade refused, hyper's `OnUpgrade` is not among the extensions of the request; a middleware, or the server around this host, must leave it there");
        return text(StatusCode::INTERNAL_SERVER_ERROR, "This connection cannot be upgraded");
    };
    let mut head = Head::new(parts);
    let id = match connection_id(&head) {
        Ok(id) => id,
        Err(NoId::TooLong) => return text(StatusCode::BAD_REQUEST, "`_pk` is longer than 256 bytes"),
        Err(NoId::NoRandom) => return unavailable(),
    };
    let lobby = target.lobby(&state);
    let hook = target.party.before_connect(&mut head, &lobby);
    let refusal = match in_time(&state, &target, hook).await {
        Ok(Admission::Admit) => None,
        Ok(Admission::Respond(response)) => return response.into_http(),
        Ok(Admission::Close(close)) => Some(close),
        Err(error) => match error.public_close() {
            Some(close) => Some(close.clone()),
            None => return before_hook_failed(&state, &target, "on_before_connect", &error),
        },
    };
    // The shutdown may have begun during the hook; it would not know of this client any more.
    if state.draining.is_set() {
        return unavailable();
    }
    let Some(ticket) = state.ticket() else { return unavailable() };
    let protocol = protocol_to_tell(&head, refusal.as_ref());
    let config = Arc::clone(target.party.config());
    let (room, clock) = (target.address.clone(), state.clock.clone());
    match refusal {
        Some(close) => {
            state.upgrades.spawn(async move {
                if let Some((transport, read_ahead)) = take_socket(on_upgrade, &room).await {
                    Box::new(Accepted { transport, read_ahead, config, clock, ticket }).refuse(close);
                }
            });
        }
        None => {
            let (mut arrives, socket) = oneshot::channel();
            let awaited = Box::new(Awaited { room: room.clone(), config, clock, ticket, socket });
            state.upgrades.spawn(async move {
                let taken = tokio::select! {
                    biased;
                    taken = take_socket(on_upgrade, &room) => taken,
                    // The client has been given up.
                    () = arrives.closed() => None,
                };
                if let Some(socket) = taken {
                    // Whom nobody waits for any more is cut.
                    let _ = arrives.send(socket);
                }
            });
            let mut joined = Box::pin(join(Arc::clone(&state), target, head, id, awaited));
            if state.clock.timeout(JOIN_PATIENCE, &mut joined).await.is_none() {
                state.upgrades.spawn(joined);
            }
        }
    }
    switching_protocols(&accept_key, protocol)
}

/// The client's socket, when its 101 is out. `None` if that never happens.
async fn take_socket(on_upgrade: OnUpgrade, room: &RoomAddress) -> Option<(Transport, Vec<u8>)> {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) if error.is_user() => {
            tracing::error!(%room, %error, "upgrade came to nothing, the server around this host must serve its connections with upgrades");
            return None;
        }
        Err(error) => {
            tracing::debug!(%room, %error, "upgrade came to nothing, the client went away");
            return None;
        }
    };
    match take_stream(upgraded) {
        Ok(taken) => Some(taken),
        Err(error) => {
            tracing::debug!(%room, %error, "socket cannot be taken along");
            None
        }
    }
}

/// Brings a connection to its room, or tells it why it cannot stay. Ends when it has its place
/// among the events of the room.
pub(crate) async fn join(
    state: Arc<State>,
    target: Target,
    mut head: Head,
    id: ConnectionId,
    arrival: Box<dyn Arrival>,
) {
    let new = NewConnection {
        id,
        uri: detached(head.uri()),
        remote_addr: target.remote_addr,
        protocol: head.protocol().map(Box::from),
        extensions: std::mem::take(head.extensions_mut()),
        state_bytes_max: target.party.config().connection_state_bytes_max,
    };
    let join = Join { new, context: ConnectContext::new(head), arrival };
    let event = RoomEvent::Join(Box::new(join));
    let delivered = state.registry.deliver(&state, &target.party, &target.address, event).await;
    if let Err((event, refusal)) = delivered {
        event.refuse(&target.address, &refusal);
    }
}

/// The accept key of a good handshake, or what the client is told of a bad one.
pub(super) fn check_handshake<B>(request: &Request<B>) -> Result<String, Box<Response<Body>>> {
    let bad = |wrong: &str| Err(Box::new(text(StatusCode::BAD_REQUEST, wrong)));
    let headers = request.headers();
    if request.method() != Method::GET {
        return bad("A WebSocket handshake must be a GET request");
    }
    if request.version() < Version::HTTP_11 {
        return bad("A WebSocket handshake needs HTTP/1.1");
    }
    if !has_token(headers, &CONNECTION, "upgrade") {
        return bad("A WebSocket handshake needs the header `Connection: Upgrade`");
    }
    if headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = text(StatusCode::UPGRADE_REQUIRED, "WebSocket version must be 13");
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Err(Box::new(response));
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
    if BASE64.decode(key).is_ok_and(|bytes| bytes.len() == 16) {
        Ok(derive_accept_key(key))
    } else {
        bad("`Sec-WebSocket-Key` must be 16 bytes in base64")
    }
}

/// The client's `_pk`, or a fresh random id.
pub(crate) fn connection_id(head: &Head) -> Result<ConnectionId, NoId> {
    match head.query("_pk") {
        Some(id) if id.len() > CONNECTION_ID_BYTES_MAX => Err(NoId::TooLong),
        Some(id) if !id.is_empty() => Ok(ConnectionId::new(&id)),
        _ => {
            let mut bytes = [0; 16];
            match getrandom::fill(&mut bytes) {
                Ok(()) => Ok(ConnectionId::new(&BASE64URL_NOPAD.encode(&bytes))),
                Err(error) => {
                    tracing::error!(%error, "the system gives no random numbers");
                    Err(NoId::NoRandom)
                }
            }
        }
    }
}

/// The subprotocol that was selected. A client that is about to be closed, and for which none
/// was, is told the first that it offers: else a browser fails by itself, and its page never
/// sees the Close.
pub(super) fn protocol_to_tell(head: &Head, refusal: Option<&CloseFrame>) -> Option<HeaderValue> {
    let any = refusal.and_then(|_| head.offered_protocols().next());
    HeaderValue::from_str(head.protocol().or(any)?).ok()
}

pub(super) fn switching_protocols(accept_key: &str, protocol: Option<HeaderValue>) -> Response<Body> {
    let mut response = partyrs::Response::status(StatusCode::SWITCHING_PROTOCOLS).into_http();
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(value) = HeaderValue::from_str(accept_key) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, value);
    }
    if let Some(protocol) = protocol {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

/// A copy that does not keep hyper's read buffer (8 KiB) alive as long as the connection.
fn detached(uri: &Uri) -> Uri {
    uri.to_string().parse().unwrap_or_else(|_| uri.clone())
}

/// Takes the stream out of hyper, to be registered with the shard of its room, with what was
/// read ahead of it. One that belongs to another server is taken too if it is a socket; any
/// other stays where it is, and is polled from the shard.
pub(super) fn take_stream(upgraded: Upgraded) -> io::Result<(Transport, Vec<u8>)> {
    let upgraded = match upgraded.downcast::<TokioIo<Lingering>>() {
        Ok(parts) => {
            return Ok((parts.io.into_inner().into_stream().into_transport()?, copied(&parts.read_buf)));
        }
        Err(upgraded) => upgraded,
    };
    let upgraded = match take::<TcpStream>(upgraded) {
        Ok((tcp, read_ahead)) => {
            // As for those of our own listener: small frames do not wait for one another.
            tcp.set_nodelay(true)?;
            return Ok((Transport::Tcp(tcp.into_std()?), read_ahead));
        }
        Err(upgraded) => upgraded,
    };
    match take::<UnixStream>(upgraded) {
        Ok((unix, read_ahead)) => Ok((Transport::Unix(unix.into_std()?), read_ahead)),
        // It gives back by itself what was read ahead.
        Err(upgraded) => Ok((Transport::Polled(Box::pin(TokioIo::new(upgraded))), Vec::new())),
    }
}

/// A stream that was given to hyper itself, or to hyper-util, as axum does.
fn take<T: AsyncRead + AsyncWrite + Unpin + 'static>(upgraded: Upgraded) -> Result<(T, Vec<u8>), Upgraded> {
    let upgraded = match upgraded.downcast::<TokioIo<T>>() {
        Ok(parts) => return Ok((parts.io.into_inner(), copied(&parts.read_buf))),
        Err(upgraded) => upgraded,
    };
    let parts = auto::upgrade::downcast::<TokioIo<T>>(upgraded)?;
    Ok((parts.io.into_inner(), copied(&parts.read_buf)))
}

/// What was read ahead, mostly nothing: it must not keep hyper's read buffer alive.
fn copied(read_buf: &[u8]) -> Vec<u8> {
    read_buf.to_vec()
}

/// Whether a header that lists tokens has this one, in any case.
fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|found| found.trim().eq_ignore_ascii_case(token))
}
