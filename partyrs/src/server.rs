//! The trait that a user implements: what one room of a party does.

use std::future::Future;

use serde::Serialize;

use crate::alarm::Alarm;
use crate::close::Close;
use crate::connection::{ConnectContext, Connection, Tag};
use crate::error::{Error, Failure, Result};
use crate::frame::{FromFrame, Json, ParseError};
use crate::head::{Admission, Head, Lobby};
use crate::options::PartyOptions;
use crate::request::Request;
use crate::response::Response;
use crate::room::Room;

/// A small stateful server, one value per room.
///
/// Hooks of a room run one at a time, with `&mut self` and nobody beside them; the host
/// writes what they store together when they return `Ok`, and nothing of it when they fail.
/// **A hook that waits makes its room wait**, so long work goes to [`Room::spawn`]; a hook
/// that blocks its thread stops every room of its shard.
///
/// | a hook | its writes | memory (`self`) | output | the client |
/// |---|---|---|---|---|
/// | returns `Ok` | kept | kept | all of it, once the writes are on disk | stays connected |
/// | returns `Err` | dropped | rebuilt by `on_start` if something was dropped | what came before the first write | stays connected |
/// | panics | dropped | rebuilt by `on_start` | what came before the first write | stays connected |
///
/// Something was dropped if the hook had written, if a `put` of it was refused, or if it had
/// set the state of a connection; else memory may hold what the failed hook left in it. A
/// hook ends like a panic too when it waits for longer than `hook_timeout` (default 30 s).
///
/// The host writes failures to the log (`tracing`) and tells the client nothing: a program
/// without a subscriber of `tracing` does not see them.
///
/// # Examples
///
/// ```
/// use partyrs::prelude::*;
///
/// struct Counter {
///     count: u64,
/// }
///
/// impl PartyServer for Counter {
///     type Message = String;
///
///     async fn on_start(room: &Room) -> Result<Self> {
///         Ok(Self { count: room.storage().get("count").await?.unwrap_or(0) })
///     }
///
///     async fn on_message(&mut self, room: &Room, _: &Connection, _: String) -> Result<()> {
///         self.count += 1;
///         room.storage().put("count", &self.count)?;
///         room.broadcast(self.count.to_string())?;
///         Ok(())
///     }
/// }
/// ```
pub trait PartyServer: Sized + Send + 'static {
    /// What clients of this party may send: [`Frame`](crate::Frame) for anything, `String`,
    /// [`Bytes`](bytes::Bytes), [`Json<T>`], or an enum with `#[derive(FromFrame)]`.
    type Message: FromFrame;

    /// How rooms of this party live, where it is not as the host says: limits, and what a
    /// second connection of one id does. Default: all as the host says.
    const OPTIONS: PartyOptions = PartyOptions::DEFAULT;

    /// Builds the server of one room, before any other hook; load what was stored here.
    ///
    /// Runs again when a visitor comes to a room that had left memory, and when a failed hook
    /// makes the room restart in place; only then are there connections already. If it fails,
    /// all who wait or are connected are refused (500, or 1011 `Room failed to start`), the
    /// room closes, and the next visitor tries again. A connection that is just joining is
    /// not listed yet.
    fn on_start(room: &Room) -> impl Future<Output = Result<Self>> + Send;

    /// Labels a connection before `on_connect`, for [`Room::connections_tagged`].
    ///
    /// At most 9 tags beside the id, each of 1 to 256 bytes; more, or an `Err`, and the
    /// connection is closed with 1011, or as [`Error::close`] says, and `on_connect` does not run.
    fn connection_tags(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> impl Future<Output = Result<Vec<Tag>>> + Send {
        let _ = (room, connection, context);
        async { Ok(Vec::new()) }
    }

    /// Called when a client has joined; it is already listed, and a broadcast reaches it.
    ///
    /// The client may see `open` before, meanwhile or after; whatever anybody sends once it has seen
    /// that is handled after this hook, unless the room had no place in its queue for a second.
    ///
    /// What is sent here comes before anything else the client gets. An `Err` or a panic
    /// closes the connection: with 1011, or as [`Error::close`] says; `on_close` does not run then.
    fn on_connect(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (room, connection, context);
        async { Ok(()) }
    }

    /// Called for each message, in the order in which the room received them.
    ///
    /// A `match` says what becomes of each variant of an enum; or each has a method of its own, by
    /// [`#[derive(Dispatch)]`](derive@crate::Dispatch), and one line here calls it.
    ///
    /// An `Err` leaves the connection open and tells the client nothing, unless it is an
    /// [`Error::close`].
    fn on_message(
        &mut self,
        room: &Room,
        sender: &Connection,
        message: Self::Message,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (room, sender, message);
        async { Ok(()) }
    }

    /// Called for a frame that is no `Message`. Unless you say otherwise the sender gets
    /// the text frame `{"type":"error","error":"<what is wrong and where>"}`, with
    /// [`ParseError::client_text`] in it; for a broken rule also `"path":"chat.content"`,
    /// `"rule":"len"` and, if it has them, the limits as `"min"` and `"max"`.
    fn on_invalid(
        &mut self,
        room: &Room,
        sender: &Connection,
        error: &ParseError,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = room;
        let sent = sender.send(Json(Invalid::new(error)));
        async { sent.map_err(Error::from) }
    }

    /// Called once when a connection whose `on_connect` ended well is gone: the client
    /// closed it, the room did, or the socket was lost. It is not listed any more.
    ///
    /// Not called after a crash or a failed commit: presence kept in storage is to be
    /// compared with [`Room::connections`] in `on_start`.
    fn on_close(
        &mut self,
        room: &Room,
        connection: &Connection,
        close: &Close,
    ) -> impl Future<Output = Result<()>> + Send {
        let _ = (room, connection, close);
        async { Ok(()) }
    }

    /// Called for a plain HTTP request to the room, any method. Default: 404 `Not implemented`.
    ///
    /// The body is there as a whole, unless [`PartyOptions::stream_bodies`] says otherwise.
    /// The response leaves when the writes of this hook and of those before it are on disk.
    /// An `Err` or a panic is answered 500 with a fixed text, or as [`Error::status`] says; a
    /// commit that fails 503, or 507 when the disk is full. A client that goes away
    /// meanwhile does not end the hook.
    fn on_request(&mut self, room: &Room, request: Request) -> impl Future<Output = Result<Response>> + Send {
        let _ = (room, request);
        async { Ok(Response::text("Not implemented").with_status(http::StatusCode::NOT_FOUND)) }
    }

    /// Called when an alarm goes off that [`Storage::set_alarm`](crate::storage::Storage::set_alarm)
    /// or [`set_alarm_named`](crate::storage::Storage::set_alarm_named) has set, and never
    /// before its time. A room that has left memory is started for it, by `on_start`, where the
    /// alarm is still to be seen; what `on_start` sets or deletes holds.
    ///
    /// The alarm ends with this hook's commit, so it is called at least once: a crash before
    /// that commit calls it again. To be called again later, set it again here. An `Err` or a
    /// panic calls it again after 2, 4, 8, 16, 32 and 64 s; [`Alarm::retry`] counts. When the
    /// seventh has failed, the alarm is dropped, and the log says so. `on_error` runs after
    /// each, and may delete or set the alarm; its commit takes along what follows.
    ///
    /// [`Error::status`] and [`Error::close`] count as errors without a face: there is no client.
    fn on_alarm(&mut self, room: &Room, alarm: &Alarm) -> impl Future<Output = Result<()>> + Send {
        let _ = (room, alarm);
        async { Ok(()) }
    }

    /// Called after a hook or a spawned task failed, on the server value that goes on: the
    /// same one, or the one that `on_start` has built anew. What it writes is a commit of its own.
    ///
    /// Not called for [`Error::status`] and [`Error::close`] where they are an answer, nor for
    /// a failure of `on_start`, of a static hook or of itself. The host has logged the failure already.
    fn on_error(&mut self, room: &Room, failure: &Failure) -> impl Future<Output = ()> + Send {
        let _ = (room, failure);
        async {}
    }

    /// Called before a WebSocket to a room of this party is accepted, outside of any room.
    ///
    /// What it puts into the head's extensions can be read by [`Connection::extension`]. It may
    /// agree to one of the subprotocols that the client offers, by [`Head::select_protocol`]. An
    /// `Err` is answered 500, or as [`Error::status`] or [`Error::close`] says; one that waits for
    /// longer than `hook_timeout` is ended and answered 500. It runs beside all rooms and delays none.
    fn on_before_connect(head: &mut Head, lobby: &Lobby) -> impl Future<Output = Result<Admission>> + Send {
        let _ = (head, lobby);
        async { Ok(Admission::Admit) }
    }

    /// Called before a plain HTTP request goes to a room of this party, outside of any room.
    ///
    /// It sees the head, not the body, which is read afterwards. An `Err` is answered 500, or
    /// as [`Error::status`] says; one that waits for longer than `hook_timeout` is ended and
    /// answered 500. It runs beside all rooms and delays none.
    fn on_before_request(head: &mut Head, lobby: &Lobby) -> impl Future<Output = Result<Admission>> + Send {
        let _ = (head, lobby);
        async { Ok(Admission::Admit) }
    }
}

/// The default answer to a frame that does not parse.
#[derive(Serialize)]
struct Invalid<'a> {
    r#type: &'static str,
    error: String,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    broken: Option<Broken<'a>>,
}

/// The rule that a value breaks.
#[derive(Serialize)]
struct Broken<'a> {
    path: &'a str,
    rule: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<serde_json::Number>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<serde_json::Number>,
}

impl<'a> Invalid<'a> {
    fn new(error: &'a ParseError) -> Self {
        let broken = error.violation().map(|violation| {
            let [min, max] = violation.rule().limits();
            Broken { path: violation.path(), rule: violation.rule().name(), min, max }
        });
        Self { r#type: "error", error: error.client_text(), broken }
    }
}
