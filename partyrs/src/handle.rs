//! An address of a room that outlives a hook.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use http::Uri;
use http::uri::PathAndQuery;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::address::RoomAddress;
use crate::call::{Answers, Call};
use crate::connection::ConnectionId;
use crate::error::{Error, Result};
use crate::frame::{EncodeError, Frame, IntoFrame, WhenBehind};
use crate::head::Head;
use crate::request::Request;
use crate::response::Response;
use crate::room::Room;
use crate::seam::{RoomHost, Work};
use crate::server::PartyServer;
use crate::socket::Socket;

/// An address of a room served by `S`: cheap to clone, free to move to any task or thread.
///
/// It keeps nothing alive. Using it opens the room if it is closed.
pub struct RoomHandle<S> {
    address: RoomAddress,
    host: Arc<dyn RoomHost>,
    server: PhantomData<fn() -> S>,
}

/// Why a call to a room has no result.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// The room answered with a public error ([`Error::status`]); its writes were dropped.
    #[error("room refused the call: {status}: {text}")]
    Refused {
        /// The status that it gave.
        status: u16,
        /// The text that it gave.
        text: String,
    },
    /// The room could not start, the work failed or panicked, or its commit failed. After a
    /// failed commit the writes may or may not be there.
    #[error("room failed to do the work; its log says why")]
    Failed,
    /// No answer within `call_timeout` (default 10 s). The work may still be done.
    #[error("room did not answer in time")]
    TimedOut,
    /// The room that was called waits, through these rooms, for the one that calls: none of
    /// them would ever go on. Give the call to [`Room::spawn`] instead.
    #[error("rooms wait for each other: {}", Chain(.rooms))]
    Cycle {
        /// From the caller to the callee and back.
        rooms: Vec<RoomAddress>,
    },
    /// The host shuts down, or has as many rooms as it may.
    #[error("host takes no more work")]
    Unavailable,
    /// The hook has written and not yet called `sync`: the other room would see what may yet
    /// be taken back.
    #[error("a hook that has written calls another room only after storage().sync(), or before it writes")]
    Unsynced,
    /// The URI of a request or a socket to a room is no path.
    #[error("the URI of a request or a socket to a room must be a path that begins with /")]
    Uri,
    /// The connection id that a socket asks for is too long.
    #[error("`_pk` in the path of a socket is longer than 256 bytes")]
    ConnectionId,
    /// What could not be sent has no frame form.
    #[error("message has no frame form")]
    Encode,
}

/// What a room id must not have in a path as it is.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Writes `a -> b -> a`.
struct Chain<'a>(&'a [RoomAddress]);

/// A message that is encoded already, on its way to the room.
struct Ready {
    frame: Frame,
    when_behind: WhenBehind,
}

struct Run<S, R, F> {
    work: F,
    result: Arc<Mutex<Option<R>>>,
    server: PhantomData<fn() -> S>,
}

impl<S: PartyServer> RoomHandle<S> {
    pub(crate) fn new(address: RoomAddress, host: Arc<dyn RoomHost>) -> Self {
        Self { address, host, server: PhantomData }
    }

    /// Which room it addresses.
    #[must_use]
    pub fn address(&self) -> &RoomAddress {
        &self.address
    }

    /// Runs `work` in the room, as a hook of its own, and brings back its result.
    ///
    /// Write it as `async |server, room| ..`. `Err` rolls its writes back; the result comes
    /// when its commit is on disk. It waits for its turn in the room's mailbox.
    ///
    /// # Errors
    ///
    /// [`CallError`]. A call from a hook waits for the commits of its room's earlier hooks;
    /// after a write of its own that is not synced it is refused ([`CallError::Unsynced`]).
    /// Where the callee waits for the caller, through whatever rooms, it is refused at once
    /// ([`CallError::Cycle`]).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop work that has reached the room's mailbox.
    pub async fn run<R, F>(&self, work: F) -> Result<R, CallError>
    where
        F: AsyncFnOnce(&mut S, &Room) -> Result<R> + Send + 'static,
        R: Send + 'static,
    {
        let result = Arc::new(Mutex::new(None));
        let run = Run { work, result: Arc::clone(&result), server: PhantomData::<fn() -> S> };
        self.host.call(self.address.clone(), Box::new(run)).await?;
        let value = result.lock().unwrap_or_else(PoisonError::into_inner).take();
        value.ok_or(CallError::Failed)
    }

    /// Asks the room a typed question: [`Answers::answer`] of its server.
    ///
    /// # Errors
    ///
    /// As [`RoomHandle::run`].
    ///
    /// # Cancel safety
    ///
    /// As [`RoomHandle::run`].
    pub async fn call<C: Call>(&self, call: C) -> Result<C::Reply, CallError>
    where
        S: Answers<C>,
    {
        self.run(async move |server, room| server.answer(room, call).await).await
    }

    /// Sends the room a plain request: its `on_request` answers, no before-hook runs.
    ///
    /// The URI is a path below the room, such as `/` or `/scores?top=3`; the room sees it
    /// behind its own address. An [`Error::status`] of the hook is a response like any other.
    ///
    /// # Errors
    ///
    /// As [`RoomHandle::run`]; [`CallError::Uri`] if the URI is no path.
    ///
    /// # Cancel safety
    ///
    /// As [`RoomHandle::run`].
    pub async fn fetch(&self, request: http::Request<impl Into<Bytes>>) -> Result<Response, CallError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("", PathAndQuery::as_str);
        let is_path = path.starts_with('/') && parts.uri.authority().is_none();
        parts.uri = self.uri(path).filter(|_| is_path).ok_or(CallError::Uri)?;
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        let request = Request::new(Head::new(parts), body.into(), local);
        self.host.fetch(self.address.clone(), request).await
    }

    /// Opens a WebSocket to the room, which sees a connection like any other: hooks, tags,
    /// state, limits. No before-hook runs, its `remote_addr` is 127.0.0.1 and port 0, and its id is random.
    ///
    /// It does not wait for the room. If that cannot start, or there are too many rooms, the
    /// [`Socket`] ends, with 1011 or 1013. A room may open one to itself. It takes a place
    /// among `connections_max` and two descriptors.
    ///
    /// # Errors
    ///
    /// [`CallError::Unsynced`] in a hook that has written and not synced; a hook waits here for
    /// the commits of its room's earlier hooks. [`CallError::Unavailable`] if there is no place
    /// for another connection, or the host shuts down.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future opens nothing.
    pub async fn socket(&self) -> Result<Socket, CallError> {
        self.open_socket("").await
    }

    /// As [`RoomHandle::socket`], at a path below the room, such as `/?_pk=bot` or
    /// `/stream?since=7`: the room sees it behind its own address, and `_pk` is the connection's id.
    ///
    /// # Errors
    ///
    /// As [`RoomHandle::socket`]; [`CallError::Uri`] if it is no path, and
    /// [`CallError::ConnectionId`] if `_pk` is longer than 256 bytes.
    ///
    /// # Cancel safety
    ///
    /// As [`RoomHandle::socket`].
    pub async fn socket_at(&self, path: &str) -> Result<Socket, CallError> {
        if !path.starts_with('/') {
            return Err(CallError::Uri);
        }
        self.open_socket(path).await
    }

    async fn open_socket(&self, path: &str) -> Result<Socket, CallError> {
        let (mut parts, ()) = http::Request::new(()).into_parts();
        parts.uri = self.uri(path).ok_or(CallError::Uri)?;
        self.host.socket(self.address.clone(), Head::new(parts)).await
    }

    /// The room's address in a URL, and what follows it.
    fn uri(&self, path: &str) -> Option<Uri> {
        let room = percent_encode(self.address.room.as_str().as_bytes(), SEGMENT);
        format!("/parties/{}/{room}{path}", self.address.party).parse().ok()
    }

    /// Broadcasts to the open connections of the room; returns for how many it is meant.
    ///
    /// # Errors
    ///
    /// As [`RoomHandle::run`]; [`CallError::Encode`] if `message` has no frame form.
    ///
    /// # Cancel safety
    ///
    /// As [`RoomHandle::run`].
    pub async fn broadcast(&self, message: impl IntoFrame) -> Result<usize, CallError> {
        let message = Ready::of(message)?;
        self.run(async move |_, room| Ok(room.broadcast(message)?)).await
    }

    /// Sends to the newest open connection with this id; returns whether there is one.
    ///
    /// # Errors
    ///
    /// As [`RoomHandle::run`]; [`CallError::Encode`] if `message` has no frame form.
    ///
    /// # Cancel safety
    ///
    /// As [`RoomHandle::run`].
    pub async fn send_to(&self, id: &ConnectionId, message: impl IntoFrame) -> Result<bool, CallError> {
        let message = Ready::of(message)?;
        let id = id.clone();
        self.run(async move |_, room| match room.connection(&id) {
            Some(connection) => Ok(connection.send(message).map(|()| true)?),
            None => Ok(false),
        })
        .await
    }
}

impl Ready {
    fn of(message: impl IntoFrame) -> Result<Self, CallError> {
        let when_behind = message.when_behind();
        let frame = message.into_frame().map_err(|_| CallError::Encode)?;
        Ok(Self { frame, when_behind })
    }
}

impl IntoFrame for Ready {
    fn into_frame(self) -> Result<Frame, EncodeError> {
        Ok(self.frame)
    }

    fn when_behind(&self) -> WhenBehind {
        self.when_behind.clone()
    }
}

impl<S, R, F> Work for Run<S, R, F>
where
    S: PartyServer,
    F: AsyncFnOnce(&mut S, &Room) -> Result<R> + Send + 'static,
    R: Send + 'static,
{
    fn run<'a>(self: Box<Self>, server: &'a mut dyn Any, room: &'a Room) -> LocalBoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let Some(server) = server.downcast_mut::<S>() else {
                return Err(Error::new("the handle names another server type than the room has"));
            };
            let value = (self.work)(server, room).await?;
            *self.result.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
            Ok(())
        })
    }
}

impl CallError {
    /// What the caller learns of the error that the work returned.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error.public_status() {
            Some((status, text)) => Self::Refused { status: status.as_u16(), text: text.to_owned() },
            None => Self::Failed,
        }
    }
}

impl<S> Clone for RoomHandle<S> {
    fn clone(&self) -> Self {
        Self { address: self.address.clone(), host: Arc::clone(&self.host), server: PhantomData }
    }
}

impl<S> fmt::Debug for RoomHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoomHandle({})", self.address)
    }
}

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, room) in self.0.iter().enumerate() {
            let arrow = if index == 0 { "" } else { " -> " };
            write!(f, "{arrow}{room}")?;
        }
        Ok(())
    }
}
