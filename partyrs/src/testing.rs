//! A room without sockets, for tests of a party's rules.
//!
//! [`TestRoom`] runs hooks as a host does (commit, rollback, restart in place) on a storage
//! engine in memory, in the test's own task: what a hook sent is there when the call returns.

pub mod contract;

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream};
use tokio::sync::oneshot;

use crate::Frame;
use crate::address::{PartyName, RoomAddress, RoomId};
use crate::alarm::time_of;
use crate::close::{Close, CloseFrame};
use crate::connection::{ConnectContext, Connection, ConnectionId};
use crate::env::Env;
use crate::error::{Error, Failure, Hook, Result};
use crate::frame::{FromFrame, IntoFrame};
use crate::handle::{CallError, RoomHandle};
use crate::head::Head;
use crate::options::DuplicateIds;
use crate::parties::PartyError;
use crate::request::{BodyStream, Request};
use crate::response::Response;
use crate::room::Room;
use crate::seam::{
    ConnectionKey, Delivered, Effect, Hosted, InHook, NewConnection, Outgoing, RoomHost, SocketEnd, Task,
    Work,
};
use crate::server::PartyServer;
use crate::socket::Socket;
use crate::storage::{EngineError, MemoryEngine, Opened, StorageEngine, StorageLimits};

/// One room served by `S`, of the party `main`, without sockets. It starts with the first event.
///
/// What a host does around the hooks is left out: the static hooks do not run, nothing is
/// limited but keys, values and connection state (with their defaults), no time-out runs,
/// and a panic is a panic of the test. Spawned tasks run in [`TestRoom::settle`] only, and
/// time stands still but for [`TestRoom::advance`], which runs the alarms.
///
/// # Examples
///
/// ```
/// # use partyrs::{prelude::*, testing::TestRoom};
/// struct Echo;
///
/// impl PartyServer for Echo {
///     type Message = String;
///
///     async fn on_start(_: &Room) -> Result<Self> {
///         Ok(Echo)
///     }
///
///     async fn on_message(&mut self, _: &Room, sender: &Connection, text: String) -> Result<()> {
///         sender.send(text)?;
///         Ok(())
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let mut room = TestRoom::<Echo>::new("lobby");
/// let ada = room.join().await?;
/// room.send(&ada, "hi").await?;
/// assert_eq!(ada.received(), [Frame::text("hi")]);
/// # Ok(())
/// # }
/// ```
pub struct TestRoom<S: PartyServer> {
    address: RoomAddress,
    env: Arc<Env>,
    link: Arc<Link>,
    open: Option<Open<S>>,
    ids_count: u64,
}

/// A connection of a [`TestRoom`], as its client sees it.
#[derive(Clone, Debug)]
pub struct TestConnection {
    key: ConnectionKey,
    id: ConnectionId,
    inbox: Arc<Mutex<Inbox>>,
}

/// A room that has started.
struct Open<S> {
    hosted: Hosted,
    server: S,
    inboxes: BTreeMap<ConnectionKey, (u64, Arc<Mutex<Inbox>>)>,
    tasks: FuturesUnordered<Task>,
}

#[derive(Debug, Default)]
struct Inbox {
    frames: Vec<Frame>,
    close: Option<Option<CloseFrame>>,
    /// Where frames go instead, if a handle opened the connection.
    socket: Option<SocketEnd>,
}

/// What the clock of a room shows at first, from 1970 on.
const START: Duration = Duration::from_secs(1_000_000_000);

/// What the room's handles reach.
#[derive(Debug)]
struct Link {
    engine: Arc<MemoryEngine>,
    calls: Mutex<Calls>,
    now: Mutex<SystemTime>,
}

#[derive(Default)]
struct Calls {
    queue: VecDeque<Call>,
    waker: Option<Waker>,
}

/// What a handle brought.
enum Call {
    Work {
        work: Box<dyn Work>,
        reply: oneshot::Sender<Result<(), CallError>>,
    },
    Request {
        request: Box<Request>,
        reply: oneshot::Sender<Result<Response, CallError>>,
    },
    Socket {
        head: Head,
        end: SocketEnd,
    },
    /// A connection of a socket has been closed by the room.
    Left {
        client: TestConnection,
        close: Close,
    },
}

impl<S: PartyServer> TestRoom<S> {
    /// The room `room` of the party `main`; it starts with the first event.
    ///
    /// # Panics
    ///
    /// If `room` is no room id.
    #[must_use]
    pub fn new(room: &str) -> Self {
        let room = RoomId::new(room).expect("a room id has 1 to 1024 bytes");
        let party = PartyName::new("main").expect("main is a party name");
        let now = Mutex::new(UNIX_EPOCH + START);
        let link = Link { engine: Arc::new(MemoryEngine::new()), calls: Mutex::default(), now };
        Self {
            address: RoomAddress::new(party, room),
            env: Arc::new(Env::new()),
            link: Arc::new(link),
            open: None,
            ids_count: 0,
        }
    }

    /// Gives the room an env value. Before the first event only.
    #[must_use]
    pub fn env<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        // Shared only from the first event on.
        if let Some(env) = Arc::get_mut(&mut self.env) {
            env.insert(value);
        }
        self
    }

    /// A client joins, with a fresh id: `on_connect`.
    ///
    /// # Errors
    ///
    /// What `on_start`, `connection_tags` or `on_connect` failed with; the client is not listed then.
    pub async fn join(&mut self) -> Result<TestConnection> {
        self.ids_count += 1;
        let id = format!("client-{}", self.ids_count);
        self.join_as(&id).await
    }

    /// A client joins with this id.
    ///
    /// # Errors
    ///
    /// As [`TestRoom::join`].
    pub async fn join_as(&mut self, id: &str) -> Result<TestConnection> {
        self.join_with(id, Head::default()).await
    }

    /// A client joins with this id and this head of its upgrade request. The extensions of
    /// the head become those of the connection.
    ///
    /// # Errors
    ///
    /// As [`TestRoom::join`].
    pub async fn join_with(&mut self, id: &str, head: Head) -> Result<TestConnection> {
        self.join_to(id, head, Arc::default()).await
    }

    async fn join_to(
        &mut self,
        id: &str,
        mut head: Head,
        inbox: Arc<Mutex<Inbox>>,
    ) -> Result<TestConnection> {
        let open = self.started().await?;
        let new = NewConnection {
            id: ConnectionId::new(id),
            uri: head.uri().clone(),
            remote_addr: localhost(),
            protocol: head.protocol().map(Box::from),
            extensions: std::mem::take(head.extensions_mut()),
            state_bytes_max: 16 << 10,
        };
        let id = new.id.clone();
        let (key, joined) = open.hosted.join(new);
        open.inboxes.insert(key, (joined, Arc::clone(&inbox)));
        let context = ConnectContext::new(head);
        if let Err(error) = self.welcome(key, &context).await {
            if let Some(open) = &mut self.open {
                open.hosted.leave(key);
                open.inboxes.remove(&key);
            }
            inboxed(&inbox).end_socket(Close::new(1011, "Connection refused by an error", true));
            return Err(error);
        }
        Ok(TestConnection { key, id, inbox })
    }

    /// A client sends a message: `on_message`, or `on_invalid` if it does not parse. What a
    /// closed client sends is ignored.
    ///
    /// # Errors
    ///
    /// What the hook failed with; it has been rolled back, and `on_error` has run.
    pub async fn send(&mut self, client: &TestConnection, message: impl IntoFrame) -> Result<()> {
        let link = Arc::clone(&self.link);
        let message = S::Message::from_frame(message.into_frame()?);
        let open = self.started().await?;
        if !open.hosted.connection(client.key).is_some_and(Connection::is_open) {
            return Ok(());
        }
        let Open { hosted, server, .. } = open;
        let room = hosted.room();
        let Some(sender) = hosted.connection(client.key) else { return Ok(()) };
        let (hook, result) = match message {
            Ok(message) => {
                (Hook::Message, drive(hosted, &link, server.on_message(room, sender, message)).await)
            }
            Err(error) => {
                (Hook::Invalid, drive(hosted, &link, server.on_invalid(room, sender, &error)).await)
            }
        };
        self.ended(hook, Some(client.key), result).await
    }

    /// A client leaves: `on_close`, with `last_of_id` filled in. Who has left already is ignored.
    ///
    /// # Errors
    ///
    /// What the hook failed with.
    pub async fn leave(&mut self, client: &TestConnection, close: Close) -> Result<()> {
        let link = Arc::clone(&self.link);
        let open = self.started().await?;
        let Some((connection, last_of_id)) = open.hosted.leave(client.key) else { return Ok(()) };
        open.inboxes.remove(&client.key);
        let close = Close { last_of_id, ..close };
        let Open { hosted, server, .. } = open;
        let result = drive(hosted, &link, server.on_close(hosted.room(), &connection, &close)).await;
        self.ended(Hook::Close, None, result).await
    }

    /// A plain HTTP request: `on_request`.
    ///
    /// # Errors
    ///
    /// What the hook failed with; a client would see [`Error::public_status`] or 500.
    pub async fn request(&mut self, request: http::Request<impl Into<Bytes>>) -> Result<Response> {
        let (parts, body) = request.into_parts();
        let (head, body) = (Head::new(parts), body.into());
        self.respond(if S::OPTIONS.stream_bodies {
            Request::streamed(head, BodyStream::whole(body), localhost())
        } else {
            Request::new(head, body, localhost())
        })
        .await
    }

    /// Waits until all spawned tasks have ended, and runs the work that handles brought.
    ///
    /// # Errors
    ///
    /// What the first of them failed with; `on_error` has run for each.
    pub async fn settle(&mut self) -> Result<()> {
        let mut first = Ok(());
        loop {
            let link = Arc::clone(&self.link);
            match self.started().await?.next_beside(&link).await {
                Beside::Nothing => return first,
                Beside::TaskEnded(result) => first = first.and(self.ended(Hook::Task, None, result).await),
                Beside::Called(call) => first = first.and(self.answer(call).await),
                Beside::Said(client, outgoing) => first = first.and(self.hear(&client, outgoing).await),
            }
        }
    }

    /// Moves the room's clock ([`Room::now`]) on, and calls `on_alarm` for each alarm on the way, at its
    /// time: retries and alarms that are set on the way as well. Zero runs what is due already.
    /// At first the clock shows 2001-09-09 01:46:40 UTC.
    ///
    /// An `on_alarm` that always sets its alarm to a time in the past keeps this from returning.
    ///
    /// # Errors
    ///
    /// What the first of them failed with; `on_error` has run for each. If the room cannot
    /// restart, its alarms wait for the next call.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::{prelude::*, testing::TestRoom};
    /// # use std::time::Duration;
    /// struct Timer;
    ///
    /// impl PartyServer for Timer {
    ///     type Message = String;
    ///
    ///     async fn on_start(_: &Room) -> Result<Self> {
    ///         Ok(Timer)
    ///     }
    ///
    ///     async fn on_message(&mut self, room: &Room, _: &Connection, _: String) -> Result<()> {
    ///         Ok(room.storage().set_alarm(Duration::from_secs(60))?)
    ///     }
    ///
    ///     async fn on_alarm(&mut self, room: &Room, _: &Alarm) -> Result<()> {
    ///         room.broadcast("time is up")?;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let mut room = TestRoom::<Timer>::new("kitchen");
    /// let ada = room.join().await?;
    /// room.send(&ada, "start").await?;
    /// room.advance(Duration::from_secs(59)).await?;
    /// assert_eq!(ada.received(), []);
    /// room.advance(Duration::from_secs(1)).await?;
    /// assert_eq!(ada.received(), [Frame::text("time is up")]);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn advance(&mut self, time: Duration) -> Result<()> {
        let link = Arc::clone(&self.link);
        let until = link.now() + time;
        let mut first = Ok(());
        self.started().await?;
        while let Some(Open { hosted, server, .. }) = &mut self.open {
            let due = hosted.next_alarm_ms().map(time_of);
            let Some(due) = due.filter(|due| *due <= until) else { break };
            link.set_now(due.max(link.now()));
            let Some(alarm) = hosted.begin_alarm() else { break };
            let result = drive(hosted, &link, server.on_alarm(hosted.room(), &alarm)).await;
            first = first.and(self.ended(Hook::Alarm, None, result).await);
        }
        link.set_now(until);
        first
    }

    /// The room restarts in place, as it does after a failure: a new server from what is
    /// stored; connections stay, spawned tasks end. Does nothing before the first event.
    ///
    /// # Errors
    ///
    /// What `on_start` failed with. The room is closed then and its connections with it, by
    /// 1011 `Room failed to start`; the next event starts it again.
    pub async fn restart(&mut self) -> Result<()> {
        let link = Arc::clone(&self.link);
        let Some(mut open) = self.open.take() else { return Ok(()) };
        open.tasks.clear();
        match drive(&open.hosted, &link, S::on_start(open.hosted.room())).await {
            Ok(server) => {
                open.server = server;
                open.hosted.seal();
                self.open = Some(open);
                self.deliver().await;
                Ok(())
            }
            Err(error) => {
                drop(open.hosted.roll_back());
                // A failed alarm is not forgotten.
                open.hosted.settle_alarm();
                open.hosted.seal();
                land_commits(&open.hosted, &link);
                let close = CloseFrame::new(1011, "Room failed to start")?;
                open.inboxes.values().for_each(|(_, inbox)| drop(inboxed(inbox).end(Some(close.clone()))));
                Err(error)
            }
        }
    }

    /// An address of the room. Work that it brings is done by [`TestRoom::settle`]: calls, and
    /// what is sent on its sockets.
    #[must_use]
    pub fn handle(&self) -> RoomHandle<S> {
        RoomHandle::new(self.address.clone(), Arc::clone(&self.link) as Arc<dyn RoomHost>)
    }

    /// The server, if the room has started.
    #[must_use]
    pub fn server(&self) -> Option<&S> {
        self.open.as_ref().map(|open| &open.server)
    }

    /// The room, if it has started: its storage, its connections.
    #[must_use]
    pub fn room(&self) -> Option<&Room> {
        self.open.as_ref().map(|open| open.hosted.room())
    }

    async fn started(&mut self) -> Result<&mut Open<S>> {
        if self.open.is_none() {
            let opened: Opened = self.link.engine.open(&self.address).await?;
            let link = Arc::clone(&self.link) as Arc<dyn RoomHost>;
            let env = Arc::clone(&self.env);
            let limits = StorageLimits::default();
            let hosted = Hosted::new(self.address.clone(), env, link, limits, usize::MAX, opened);
            let server = drive(&hosted, &self.link, S::on_start(hosted.room())).await?;
            hosted.seal();
            let (inboxes, tasks) = (BTreeMap::new(), FuturesUnordered::new());
            self.open = Some(Open { hosted, server, inboxes, tasks });
            self.deliver().await;
        }
        self.open.as_mut().ok_or_else(|| Error::new("the room has not started"))
    }

    async fn welcome(&mut self, key: ConnectionKey, context: &ConnectContext) -> Result<()> {
        let link = Arc::clone(&self.link);
        let Some(Open { hosted, server, .. }) = &mut self.open else { return Ok(()) };
        if let Some(connection) = hosted.connection(key) {
            let mut tags = Vec::new();
            let result =
                drive(hosted, &link, server.connection_tags(hosted.room(), connection, context)).await;
            let result = result.map(|found| tags = found);
            self.ended(Hook::ConnectionTags, Some(key), result).await?;
            if let Some(open) = &mut self.open {
                open.hosted.add_tags(key, tags);
            }
        }
        let Some(Open { hosted, server, .. }) = &mut self.open else { return Ok(()) };
        let Some(connection) = hosted.connection(key) else { return Ok(()) };
        let result = drive(hosted, &link, server.on_connect(hosted.room(), connection, context)).await;
        self.ended(Hook::Connect, Some(key), result).await?;
        if S::OPTIONS.duplicate_ids == DuplicateIds::Replace
            && let Some(open) = &self.open
        {
            open.hosted.replace_older(key);
            self.deliver().await;
        }
        Ok(())
    }

    async fn answer(&mut self, call: Call) -> Result<()> {
        // A caller that has gone away needs no answer, so that of `send` is not looked at.
        match call {
            Call::Work { work, reply } => {
                let result = self.work(work).await;
                let _ = reply.send(match &result {
                    Ok(()) => Ok(()),
                    Err(error) => Err(CallError::of(error)),
                });
                result
            }
            Call::Request { request, reply } => match self.respond(*request).await {
                Ok(response) => {
                    let _ = reply.send(Ok(response));
                    Ok(())
                }
                Err(error) => {
                    let answer = match error.public_status() {
                        Some((status, text)) => Response::text(text).with_status(status),
                        None => Response::status(http::StatusCode::INTERNAL_SERVER_ERROR),
                    };
                    let _ = reply.send(Ok(answer));
                    Err(error)
                }
            },
            Call::Socket { head, end } => {
                self.ids_count += 1;
                let id = head.query("_pk").filter(|id| !id.is_empty()).map(Cow::into_owned);
                let id = id.unwrap_or_else(|| format!("socket-{}", self.ids_count));
                let inbox = Arc::new(Mutex::new(Inbox { socket: Some(end), ..Inbox::default() }));
                let joined = self.join_to(&id, head, Arc::clone(&inbox)).await;
                if joined.is_err() {
                    // Unless it was told otherwise already.
                    inboxed(&inbox).end_socket(Close::new(1011, "Room failed to start", true));
                }
                joined.map(drop)
            }
            Call::Left { client, close } => self.leave(&client, close).await,
        }
    }

    /// What the owner of a socket sent.
    async fn hear(&mut self, client: &TestConnection, outgoing: Outgoing) -> Result<()> {
        match outgoing {
            Outgoing::Frame(frame) => self.send(client, frame).await,
            Outgoing::Close(close) => {
                let close = Close::new(close.code(), close.reason(), true);
                inboxed(&client.inbox).end_socket(close.clone());
                self.leave(client, close).await
            }
        }
    }

    async fn work(&mut self, work: Box<dyn Work>) -> Result<()> {
        let link = Arc::clone(&self.link);
        let open = self.started().await?;
        let server: &mut dyn Any = &mut open.server;
        let result = drive(&open.hosted, &link, work.run(server, open.hosted.room())).await;
        self.ended(Hook::Run, None, result).await
    }

    async fn respond(&mut self, request: Request) -> Result<Response> {
        let link = Arc::clone(&self.link);
        let open = self.started().await?;
        let Open { hosted, server, .. } = open;
        let result = drive(hosted, &link, server.on_request(hosted.room(), request)).await;
        let mut response = None;
        let result = result.map(|answer| response = Some(answer));
        self.ended(Hook::Request, None, result).await?;
        response.ok_or_else(|| Error::new("the hook gave no response"))
    }

    /// What a host does after each hook: commit and deliver, or roll back and tell `on_error`.
    async fn ended(&mut self, hook: Hook, key: Option<ConnectionKey>, result: Result<()>) -> Result<()> {
        let link = Arc::clone(&self.link);
        let Some(open) = &mut self.open else { return result };
        let Err(error) = result else {
            open.hosted.seal();
            self.deliver().await;
            return Ok(());
        };
        let rolled_back = open.hosted.roll_back();
        if hook == Hook::Alarm {
            open.hosted.fail_alarm();
        }
        let connection = key.and_then(|key| open.hosted.connection(key));
        let connection = connection.map(|connection| connection.id().clone());
        if let (Some(close), Some(key)) = (error.public_close(), key) {
            open.hosted.close(key, Some(close.clone()));
        }
        if rolled_back.memory_is_stale {
            self.restart().await?;
        }
        let is_answer = error.is_answer_to(hook);
        if let (false, Some(open)) = (is_answer, &mut self.open) {
            let failure = Failure { hook, connection, error, panicked: false };
            open.hosted.settle_alarm();
            drive(&open.hosted, &link, open.server.on_error(open.hosted.room(), &failure)).await;
            open.hosted.seal();
            self.deliver().await;
            return Err(failure.error);
        }
        self.deliver().await;
        Err(error)
    }

    async fn deliver(&mut self) {
        let Some(open) = &mut self.open else { return };
        land_commits(&open.hosted, &self.link);
        let mut released = Vec::new();
        open.hosted.release(&mut released);
        for output in released {
            match output.effect {
                Effect::Broadcast { frame, except, .. } => {
                    let inboxes = open.inboxes.iter();
                    let meant = inboxes
                        .filter(|(key, (joined, _))| *joined <= output.number && !except.contains(key));
                    meant.for_each(|(_, (_, inbox))| inboxed(inbox).take(frame.clone()));
                }
                Effect::Send { to, frame, .. } => {
                    if let Some((_, inbox)) = open.inboxes.get(&to) {
                        inboxed(inbox).take(frame);
                    }
                }
                Effect::Close { to, close } => {
                    let Some((_, inbox)) = open.inboxes.remove(&to) else { continue };
                    let answer = inboxed(&inbox).end(close);
                    if let (Some(close), Some(connection)) = (answer, open.hosted.connection(to)) {
                        let client = TestConnection { key: to, id: connection.id().clone(), inbox };
                        self.link.push(Call::Left { client, close });
                    }
                }
                Effect::Forward(forward) => forward.leave(),
                Effect::Spawn(task) => open.tasks.push(task),
                Effect::Reply { reply, .. } => reply(Delivered::Durable),
                // Nothing is limited here, so every reader keeps up.
                Effect::Chunk(chunk) => drop(open.hosted.feed(chunk)),
            }
        }
    }
}

/// What goes on beside the hooks of a room.
enum Beside {
    Nothing,
    TaskEnded(Result<()>),
    Called(Call),
    Said(TestConnection, Outgoing),
}

impl<S> Open<S> {
    async fn next_beside(&mut self, link: &Link) -> Beside {
        poll_fn(|cx| {
            let mut calls = link.calls();
            if let Some(call) = calls.queue.pop_front() {
                return Poll::Ready(Beside::Called(call));
            }
            calls.waker = Some(cx.waker().clone());
            drop(calls);
            for (key, (_, inbox)) in &self.inboxes {
                let outgoing = inboxed(inbox).socket.as_ref().map(|end| end.poll_outgoing(cx));
                if let (Some(Poll::Ready(outgoing)), Some(connection)) =
                    (outgoing, self.hosted.connection(*key))
                {
                    let (key, id, inbox) = (*key, connection.id().clone(), Arc::clone(inbox));
                    return Poll::Ready(Beside::Said(TestConnection { key, id, inbox }, outgoing));
                }
            }
            match Pin::new(&mut self.tasks).poll_next(cx) {
                Poll::Ready(Some(result)) => Poll::Ready(Beside::TaskEnded(result)),
                Poll::Ready(None) => Poll::Ready(Beside::Nothing),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

impl TestConnection {
    /// The connection's id.
    #[must_use]
    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    /// The frames that have come since the last call.
    #[must_use]
    pub fn received(&self) -> Vec<Frame> {
        std::mem::take(&mut inboxed(&self.inbox).frames)
    }

    /// Code and reason with which the room has closed it; 1005 and no reason where it gave none.
    #[must_use]
    pub fn closed(&self) -> Option<(u16, String)> {
        let close = inboxed(&self.inbox).close.clone()?;
        Some(close.map_or((1005, String::new()), |close| (close.code(), close.reason().to_owned())))
    }
}

impl Inbox {
    fn take(&mut self, frame: Frame) {
        match &self.socket {
            Some(socket) => socket.push(frame),
            None if self.close.is_none() => self.frames.push(frame),
            None => {}
        }
    }

    /// The room has closed it. Returns what the owner of a socket answers.
    fn end(&mut self, close: Option<CloseFrame>) -> Option<Close> {
        let (code, reason) = close.as_ref().map_or((1005, ""), |close| (close.code(), close.reason()));
        let answer = self.end_socket(Close::new(code, reason, true));
        self.close = Some(close);
        answer
    }

    fn end_socket(&mut self, close: Close) -> Option<Close> {
        let socket = self.socket.take()?;
        socket.end(close.clone());
        Some(close)
    }
}

impl Link {
    fn now(&self) -> SystemTime {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_now(&self, now: SystemTime) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = now;
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, call: Call) {
        let mut calls = self.calls();
        calls.queue.push_back(call);
        if let Some(waker) = calls.waker.take() {
            waker.wake();
        }
    }
}

impl RoomHost for Link {
    fn engine(&self) -> Result<Arc<dyn StorageEngine>, EngineError> {
        Ok(self.engine.clone())
    }

    fn now(&self) -> SystemTime {
        Self::now(self)
    }

    fn server_of(&self, party: &PartyName) -> Result<(TypeId, &'static str), PartyError> {
        Err(PartyError::Unknown(party.to_string()))
    }

    fn fetch(&self, _: RoomAddress, request: Request) -> BoxFuture<'static, Result<Response, CallError>> {
        let (reply, answered) = oneshot::channel();
        self.push(Call::Request { request: Box::new(request), reply });
        Box::pin(async move { answered.await.unwrap_or(Err(CallError::Failed)) })
    }

    fn socket(&self, _: RoomAddress, head: Head) -> BoxFuture<'static, Result<Socket, CallError>> {
        let caller = InHook::running();
        // Nothing is limited.
        let (socket, end) = SocketEnd::pair(usize::MAX, usize::MAX);
        if caller.is_some_and(|caller| caller.has_unsynced_writes()) {
            return Box::pin(async { Err(CallError::Unsynced) });
        }
        self.push(Call::Socket { head, end });
        Box::pin(async { Ok(socket) })
    }

    fn call(&self, _: RoomAddress, work: Box<dyn Work>) -> BoxFuture<'static, Result<(), CallError>> {
        let (reply, answered) = oneshot::channel();
        self.push(Call::Work { work, reply });
        Box::pin(async move { answered.await.unwrap_or(Err(CallError::Failed)) })
    }
}

/// Runs a hook; a `sync` in it finds its commit on disk.
async fn drive<R>(hosted: &Hosted, link: &Link, hook: impl Future<Output = R>) -> R {
    let mut hook = pin!(hook);
    let caller = Arc::new(hosted.caller());
    poll_fn(|cx| {
        let in_hook = InHook::of(&caller);
        let polled = hook.as_mut().poll(cx);
        drop(in_hook);
        if polled.is_pending() {
            land_commits(hosted, link);
        }
        polled
    })
    .await
}

fn land_commits(hosted: &Hosted, link: &Link) {
    for commit in hosted.fetch_commits() {
        let seq = commit.seq;
        let landed = link.engine.commit(commit).now_or_never();
        landed.expect("memory never waits").expect("memory with one opening refuses nothing");
        hosted.landed(seq);
    }
}

fn inboxed(inbox: &Mutex<Inbox>) -> MutexGuard<'_, Inbox> {
    inbox.lock().unwrap_or_else(PoisonError::into_inner)
}

fn localhost() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

impl<S: PartyServer> fmt::Debug for TestRoom<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TestRoom({})", self.address)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("queue_len", &self.queue.len()).finish_non_exhaustive()
    }
}
