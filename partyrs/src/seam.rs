//! The host's side of a room: for those who write a host, not for those who write a party.
//!
//! A room collects effects, commits and undo notes as data; a host drains them. [`Hosted`]
//! is the one object through which it does so. What a host lends to its rooms is
//! [`RoomHost`]: reads, and the mailboxes of other rooms.
//!
//! A host promises: hooks of one room run one at a time; [`Hosted::seal`] or
//! [`Hosted::roll_back`] follows each hook; commits are handed over in the order in which
//! they are fetched; no user code runs outside `catch_unwind`.

use std::any::{Any, TypeId};
use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::SystemTime;

use futures_util::future::{BoxFuture, LocalBoxFuture};

use crate::address::{PartyName, RoomAddress};
use crate::alarm::Alarm;
pub use crate::alarm::AlarmFailed;
pub use crate::body::{BodyWatch, Chunk};
use crate::close::CloseFrame;
use crate::connection::{Connection, Tag};
pub use crate::connection::{ConnectionKey, NewConnection};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::frame::{Frame, WhenBehind};
use crate::handle::CallError;
use crate::head::Head;
use crate::ledger::{Ledger, Undo};
use crate::lobby_socket::AcceptError;
use crate::parties::PartyError;
use crate::request::Request;
use crate::response::Response;
use crate::room::Room;
pub use crate::running::InHook;
use crate::socket::Socket;
pub use crate::socket::{Forward, Outgoing, SocketEnd, SocketHold};
use crate::storage::{Commit, CommitError, EngineError, Opened, StorageEngine, StorageLimits};

/// The client behind a [`LobbySocket`](crate::LobbySocket): a host answers its upgrade.
pub trait Acceptor: Send {
    /// Answers 101, with the subprotocol that `head` selects, and waits until the WebSocket is open.
    fn accept(self: Box<Self>, head: Head) -> BoxFuture<'static, Result<Socket, AcceptError>>;
}

/// What a host lends to its rooms.
pub trait RoomHost: fmt::Debug + Send + Sync {
    /// Where rooms store. Held only as long as it is asked: a handle may outlive the host.
    ///
    /// # Errors
    ///
    /// When the host has ended.
    fn engine(&self) -> Result<Arc<dyn StorageEngine>, EngineError>;

    /// The type that serves a party, and its name.
    ///
    /// # Errors
    ///
    /// If there is no such party, or the host has ended.
    fn server_of(&self, party: &PartyName) -> Result<(TypeId, &'static str), PartyError>;

    /// Brings a plain request to the room `callee`, opening it if it is closed: its
    /// `on_request` answers. Dropping the future does not stop the hook.
    fn fetch(&self, callee: RoomAddress, request: Request)
    -> BoxFuture<'static, Result<Response, CallError>>;

    /// Opens a WebSocket to the room `callee`, opening the room if it is closed: `head` is that
    /// of the upgrade request, and no before-hook runs. It does not wait for the room.
    fn socket(&self, callee: RoomAddress, head: Head) -> BoxFuture<'static, Result<Socket, CallError>>;

    /// What time it is, for [`Room::now`] and alarms.
    fn now(&self) -> SystemTime;

    /// Runs `work` as a hook of the room `callee`, opening it if it is closed. `Ok` means that it
    /// ended well and that its commit is durable. Dropping the future does not stop the work.
    fn call(&self, callee: RoomAddress, work: Box<dyn Work>) -> BoxFuture<'static, Result<(), CallError>>;
}

/// A room whose hook calls another room, as the host sees it.
#[derive(Clone, Debug)]
pub struct Caller {
    address: RoomAddress,
    ledger: Arc<Ledger>,
}

/// Work that [`RoomHandle::run`](crate::RoomHandle::run) brings to a room; it keeps its own result.
pub trait Work: Send {
    /// Runs as a hook on `server`, which is the room's `PartyServer`.
    fn run<'a>(self: Box<Self>, server: &'a mut dyn Any, room: &'a Room) -> LocalBoxFuture<'a, Result<()>>;
}

/// A task given to [`Room::spawn`].
pub type Task = BoxFuture<'static, Result<()>>;

/// Told when output may leave, or that it never will.
pub type Reply = Box<dyn FnOnce(Delivered) + Send>;

/// One thing that leaves a room, and when it may.
pub struct Output {
    /// The commit that must be durable first.
    pub after: u64,
    /// Its place in all output of the room; a connection gets what is not older than itself.
    pub number: u64,
    /// What it is.
    pub effect: Effect,
}

/// What leaves a room.
pub enum Effect {
    /// A frame to every connection that had joined at this number and is still there.
    Broadcast {
        /// The frame.
        frame: Frame,
        /// The sockets that do not get it, in the order of their keys.
        except: Vec<ConnectionKey>,
        /// What becomes of it for a client that is behind.
        when_behind: WhenBehind,
    },
    /// A frame to one connection.
    Send {
        /// The socket.
        to: ConnectionKey,
        /// The frame.
        frame: Frame,
        /// What becomes of it if the client is behind.
        when_behind: WhenBehind,
    },
    /// A Close to one connection, with or without code; nothing may follow it.
    Close {
        /// The socket.
        to: ConnectionKey,
        /// Code and reason, if any.
        close: Option<CloseFrame>,
    },
    /// Something for a socket to another room.
    Forward(Forward),
    /// A task to be started.
    Spawn(Task),
    /// A reply to be given.
    Reply {
        /// Gives it.
        reply: Reply,
        /// What it weighs: [`reply_len_bytes`] of a response, nothing of any other.
        len_bytes: usize,
    },
    /// A piece of a response body, or its end: [`Hosted::feed`].
    Chunk(Chunk),
}

/// What a response weighs at the gate: the bytes that it brings, none for a stream. It may ask
/// code of the user's, so call it where a panic is caught.
#[must_use]
pub fn reply_len_bytes(response: &Response) -> usize {
    response.len_bytes_min()
}

/// What became of the commits that a reply waited for.
#[derive(Clone, Debug)]
pub enum Delivered {
    /// They are on disk.
    Durable,
    /// One of them failed.
    CommitFailed(CommitError),
}

/// What a rolled-back hook leaves.
#[derive(Debug)]
#[must_use]
pub struct RolledBack {
    /// Whether something was taken back that the server's memory may still hold: the room
    /// is to be restarted in place.
    pub memory_is_stale: bool,
    /// Output that never leaves. It holds tasks of the user's: drop it where a panic is caught.
    pub output: Vec<Output>,
}

/// A room in the hands of its host.
#[derive(Debug)]
pub struct Hosted {
    room: Room,
    epoch: u64,
    next_key: u64,
}

impl Caller {
    /// Which room it is.
    #[must_use]
    pub fn address(&self) -> &RoomAddress {
        &self.address
    }

    /// Whether the running hook has written since its start or its last `sync`. A call would
    /// show what may yet be taken back.
    #[must_use]
    pub fn has_unsynced_writes(&self) -> bool {
        self.ledger.has_open_writes()
    }

    /// Adds output of the running hook.
    pub(crate) fn emit(&self, effect: Effect) {
        self.ledger.emit(effect);
    }

    /// Waits until the commits of the room's earlier hooks are on disk. If one fails, the
    /// host ends the hook that waits here.
    pub async fn landed(&self) {
        let number = self.ledger.sealed();
        poll_fn(|cx| {
            let durable = self.ledger.is_durable_or_wake(number, cx.waker());
            if durable { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Hosted {
    /// A room without connections, just opened by the engine. Of a response body that its hooks
    /// feed, at most `outbox_bytes_max` wait to be read.
    #[must_use]
    pub fn new(
        address: RoomAddress,
        env: Arc<Env>,
        host: Arc<dyn RoomHost>,
        limits: StorageLimits,
        outbox_bytes_max: usize,
        opened: Opened,
    ) -> Self {
        let ledger = Arc::new(Ledger::new(limits, outbox_bytes_max, opened.seq, opened.alarms));
        Self { room: Room::new(address, env, host, ledger), epoch: opened.epoch, next_key: 0 }
    }

    /// What hooks see.
    #[must_use]
    pub fn room(&self) -> &Room {
        &self.room
    }

    /// The room as a caller of others, for as long as one of its hooks is polled.
    #[must_use]
    pub fn caller(&self) -> Caller {
        Caller { address: self.room.address().clone(), ledger: self.room.ledger_arc() }
    }

    /// The epoch that the engine gave out.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Lists a new connection. Returns its key, and the number of the first output that is for it.
    pub fn join(&mut self, new: NewConnection) -> (ConnectionKey, u64) {
        let key = ConnectionKey(self.next_key);
        self.next_key += 1;
        let ledger = self.room.ledger_arc();
        let joined = ledger.joined();
        self.room.members_mut().insert(Connection::new(key, new, ledger));
        (key, joined)
    }

    /// Gives a connection its tags, beside its id.
    pub fn add_tags(&mut self, key: ConnectionKey, tags: Vec<Tag>) {
        if let Some(connection) = self.room.members_mut().get_mut(key) {
            connection.add_tags(tags);
        }
    }

    /// Takes a connection out. Returns it, and whether no other of its id is listed.
    pub fn leave(&mut self, key: ConnectionKey) -> Option<(Connection, bool)> {
        let connection = self.room.members_mut().remove(key)?;
        if connection.leave() {
            self.room.ledger().left();
        }
        let last_of_id = !self.room.members().with_id(connection.id()).any(Connection::is_open);
        Some((connection, last_of_id))
    }

    /// A connection, closed or not.
    #[must_use]
    pub fn connection(&self, key: ConnectionKey) -> Option<&Connection> {
        self.room.members().get(key)
    }

    /// Connections that have not left, closed ones included.
    #[must_use]
    pub fn members_count(&self) -> usize {
        self.room.members().len()
    }

    /// A hook ended well: its writes become a commit, and the alarm that called it, if one
    /// did, ends with it.
    pub fn seal(&self) {
        self.room.ledger().end_hook();
    }

    /// When the room's first alarm is due, in milliseconds since 1970. What the running hook
    /// has changed does not count yet.
    #[must_use]
    pub fn next_alarm_ms(&self) -> Option<u64> {
        self.room.ledger().next_alarm_ms()
    }

    /// The first alarm whose time has come; the next hook is its `on_alarm`.
    #[must_use]
    pub fn begin_alarm(&self) -> Option<Alarm> {
        self.room.ledger().begin_alarm(self.room.now()).as_ref().map(Alarm::of)
    }

    /// The `on_alarm` failed and has been rolled back. What follows, a retry or the alarm's end,
    /// goes with the next commit that [`Hosted::settle_alarm`] was called for.
    pub fn fail_alarm(&self) -> AlarmFailed {
        self.room.ledger().fail_alarm(self.room.now())
    }

    /// Puts into the open commit what a failed alarm owes; before `on_error`, and again after
    /// a rollback, since that takes it out. Does nothing if nothing is owed.
    pub fn settle_alarm(&self) {
        self.room.ledger().settle_alarm();
    }

    /// A hook failed: its writes since the last `sync`, the output behind the first of them,
    /// connection state and `close` marks are taken back.
    pub fn roll_back(&mut self) -> RolledBack {
        let rollback = self.room.ledger().roll_back();
        for undo in rollback.undo {
            match undo {
                Undo::State(key, previous) => {
                    if let Some(connection) = self.room.members().get(key) {
                        connection.put_state(previous);
                    }
                }
                Undo::Close(key) => {
                    if let Some(connection) = self.room.members().get(key) {
                        connection.reopen();
                    }
                }
            }
        }
        RolledBack { memory_is_stale: rollback.memory_is_stale, output: rollback.output }
    }

    /// Commits that `seal` or a hook's `sync` have ended, oldest first; each is handed out once.
    #[must_use]
    pub fn fetch_commits(&self) -> Vec<Commit> {
        let sealed = self.room.ledger().fetch_sealed();
        let address = || self.room.address().clone();
        sealed.into_iter().map(|(seq, writes)| Commit::new(address(), self.epoch, seq, writes)).collect()
    }

    /// The commit `seq` is on disk, and so are those before it.
    pub fn landed(&self, seq: u64) {
        self.room.ledger().landed(seq);
    }

    /// Adds output of the host's own behind all commits of the room so far.
    pub fn emit(&self, effect: Effect) {
        self.room.ledger().emit(effect);
    }

    /// Closes a connection, as its [`Connection::close`] does.
    pub fn close(&self, key: ConnectionKey, close: Option<CloseFrame>) {
        if let Some(connection) = self.room.members().get(key) {
            connection.close_with(close);
        }
    }

    /// Closes the older connections of the id of `key` with 4409, if that one is open itself.
    pub fn replace_older(&self, key: ConnectionKey) {
        let members = self.room.members();
        let Some(newer) = members.get(key).filter(|newer| newer.is_open()) else { return };
        for older in members.with_id(newer.id()).filter(|older| older.key() < key) {
            let close = CloseFrame::new(4409, "Replaced by a newer connection");
            older.close_with(Some(close.expect("the code is legal and the reason short")));
        }
    }

    /// Moves the output that may leave now to the end of `into`, in order.
    pub fn release(&self, into: &mut Vec<Output>) {
        self.room.ledger().release(into);
    }

    /// Commits on their way, and the weight of what waits for the disk: their writes, and the output behind them.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        self.room.ledger().held()
    }

    /// Moves a chunk that may leave to whoever reads the body. `false` if too much waits there:
    /// the body is cut then. What the user made the chunk of is dropped here.
    pub fn feed(&self, chunk: Chunk) -> bool {
        chunk.deliver(self.room.ledger())
    }

    /// Wakes `waker` once when the reader of a body goes away, or when a body ends outside of a
    /// hook, so that the end is output. To be called before output is released.
    pub fn watch_bodies(&self, waker: &Waker) {
        self.room.ledger().watch_bodies(waker);
    }

    /// The host shuts down: ends the bodies that are open, behind all that was written. Whether
    /// there was one.
    pub fn end_bodies(&self) -> bool {
        self.room.ledger().end_bodies()
    }

    /// The room ends by a failure: from now on no body ends, whoever drops it. They are cut by
    /// [`Hosted::give_up`].
    pub fn abandon_bodies(&self) {
        self.room.ledger().abandon_bodies();
    }

    /// Whether no commit is on its way, no output waits, and no response body is open.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.room.ledger().is_quiet()
    }

    /// Gives back the memory that a busy time has taken; for a room that is quiet.
    pub fn shrink(&self) {
        self.room.ledger().shrink();
    }

    /// The room ends: takes out the output that waits and never leaves, and cuts the bodies
    /// that are open. Tell the replies, and drop each where a panic is caught.
    #[must_use]
    pub fn give_up(&self) -> Vec<Output> {
        self.room.ledger().give_up()
    }

    /// The server value ends: takes out the tasks that wait and never start. Drop each where
    /// a panic is caught.
    #[must_use]
    pub fn take_tasks(&self) -> Vec<Output> {
        self.room.ledger().take_tasks()
    }

    /// The room ends: takes out every connection. Drop each where a panic is caught, for they
    /// hold what the before-hook left.
    #[must_use]
    pub fn take_connections(&mut self) -> Vec<Connection> {
        self.room.members_mut().take()
    }
}

impl Effect {
    /// Whether it ends a response body.
    pub(crate) fn is_end_of_body(&self) -> bool {
        matches!(self, Self::Chunk(chunk) if chunk.is_end())
    }

    /// The key of which a client that is behind needs only the newest.
    pub(crate) fn newest_of(&self) -> Option<&Arc<str>> {
        match self {
            Self::Broadcast { when_behind: WhenBehind::KeepNewest(key), .. }
            | Self::Send { when_behind: WhenBehind::KeepNewest(key), .. } => Some(key),
            _ => None,
        }
    }

    /// Whether `newer` makes this superfluous: the same key, for the same connections.
    pub(crate) fn is_replaced_by(&self, newer: &Self) -> bool {
        let same_targets = match (self, newer) {
            (Self::Broadcast { except: older, .. }, Self::Broadcast { except: newer, .. }) => older == newer,
            (Self::Send { to: older, .. }, Self::Send { to: newer, .. }) => older == newer,
            _ => false,
        };
        same_targets && self.newest_of().is_some() && self.newest_of() == newer.newest_of()
    }
}

impl Output {
    /// What it weighs at the gate: the payload of a frame, chunk or response, and a fixed part for each output,
    /// so that small ones are bounded as well.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        const FIXED_BYTES: usize = 128;
        FIXED_BYTES
            + match &self.effect {
                Effect::Broadcast { frame, .. } | Effect::Send { frame, .. } => frame.len(),
                Effect::Chunk(chunk) => chunk.len_bytes(),
                Effect::Forward(forward) => forward.len_bytes(),
                Effect::Reply { len_bytes, .. } => *len_bytes,
                Effect::Close { .. } | Effect::Spawn(_) => 0,
            }
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match &self.effect {
            Effect::Broadcast { .. } => "broadcast",
            Effect::Send { .. } => "send",
            Effect::Close { .. } => "close",
            Effect::Forward(_) => "forward",
            Effect::Spawn(_) => "spawn",
            Effect::Reply { .. } => "reply",
            Effect::Chunk(_) => "chunk",
        };
        write!(f, "Output({kind} {} after commit {})", self.number, self.after)
    }
}

impl fmt::Debug for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Effect")
    }
}

/// What a panic said, for a log line or an [`Error`].
#[must_use]
pub fn panic_error(panic: &(dyn Any + Send)) -> Error {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    Error::new(format!("panic: {}", text.unwrap_or("(no text)")))
}
