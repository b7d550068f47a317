//! The loop of one room, and the only place where hooks are called.
//!
//! A room is one task. It takes events from its mailbox one at a time and calls the server's
//! hooks, so a hook has the room to itself and needs no lock. While a hook waits, its room
//! goes on with what is no hook: commits land, output leaves, tasks run.
//!
//! Each hook ends in one of two ways. It is sealed, and its writes become a commit; or it is
//! rolled back, and if memory may then say something else than storage, the server is
//! dropped and built anew while the sockets stay.
//!
//! A room that hibernates keeps its members and what leads to them, and gives up the rest:
//! the server, and the memory of the hooks. Whatever comes next wakes it.
//!
//! The difficulty is the end. A room ends when it is empty and idle, when it cannot start,
//! when a commit failed, when it panics too often, or with its host. In every case the mailbox is closed
//! first, what is in it is refused, and only when nothing of the room is under way any more
//! does the registry let it be opened again.

use std::any::Any;
use std::collections::{HashSet, VecDeque};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use partyrs::seam::{
    AlarmFailed, ConnectionKey, Delivered, Effect, Hosted, Reply, Work, panic_error, reply_len_bytes,
};
use partyrs::storage::Opened;
use partyrs::{
    CallError, Close, ConnectContext, Connection, ConnectionId, DuplicateIds, Error, Failure, Frame,
    FromFrame, Hook, PartyServer, Request, Response, Result, Room, RoomAddress,
};
use tokio::sync::oneshot;
use tokio::task::JoinError;

use super::flow::{Flow, HookEnd};
use crate::alarms::Woken;
use crate::clock::Sleep;
use crate::config::Config;
use crate::event::{Join, Refusal, RoomEvent, close_frame};
use crate::mailbox::Mailbox;
use crate::party::RoomSetup;
use crate::pulse::Pulse;
use crate::quietly::{drop_each_quietly, drop_quietly, run_quietly};
use crate::registry::Status;
use crate::shutdown::Pacer;
use crate::state::State;

/// Events taken in one turn, before the room writes and lets others of its shard run.
const EVENTS_PER_TURN: usize = 256;

/// Tags beside the id, and their length.
const TAGS_MAX: usize = 9;
const TAG_BYTES_MAX: usize = 256;

/// One open room.
pub(crate) struct RoomTask<S> {
    address: RoomAddress,
    state: Arc<State>,
    /// The limits of the party.
    config: Arc<Config>,
    pulse: Rc<Pulse>,
    mailbox: Arc<Mailbox>,
    status: Arc<Status>,
    hosted: Hosted,
    /// `None` before `on_start` has ended well, and after the room has ended.
    server: Option<S>,
    flow: Flow,
    /// Connections whose `on_connect` ended well: theirs is an `on_close`.
    welcomed: HashSet<ConnectionKey>,
    /// When the last panics were, oldest first.
    panics: VecDeque<Duration>,
    /// Events taken since the room last waited.
    turn_events_count: usize,
    /// Set while alarms are due.
    woken: Option<Woken>,
    /// Alarms and events take turns.
    alarm_was_last: bool,
    /// Runs while the room is quiet.
    idle: Option<Sleep>,
    /// Who wants the room to hibernate as soon as it is quiet; told when it does.
    lulled_by: Vec<oneshot::Sender<()>>,
    /// Set when the host shuts down.
    drain: Option<Drain>,
    /// The answer to the event with which the room ends. Given when the mailbox is closed: who
    /// hears it may come again at once, and must not meet the room that ends.
    last_answer: Option<Box<dyn FnOnce()>>,
}

struct Drain {
    pacer: Arc<Pacer>,
    ticket: Option<BoxFuture<'static, ()>>,
}

/// What a step of a room's life gives, or why the room ends.
type Lives<T = ()> = std::result::Result<T, End>;

/// What the room does next.
enum Next {
    Event(RoomEvent),
    Alarm,
    TaskEnded(std::result::Result<Result<()>, JoinError>),
    CloseOne,
    /// Nobody is here, and nobody came.
    Idle,
    /// Those who are here have been silent.
    Hibernate,
}

/// Why a room ends.
#[derive(Debug)]
enum End {
    Idle,
    Refused(Refusal),
}

/// Cleans up after a room whatever ends its task.
struct Cleanup {
    address: RoomAddress,
    mailbox: Arc<Mailbox>,
    state: Arc<State>,
    epoch: Option<u64>,
}

impl<S: PartyServer> RoomTask<S> {
    /// Runs a room from its opening to its end.
    pub(crate) fn run(setup: RoomSetup, config: Arc<Config>, pulse: Rc<Pulse>) -> impl Future<Output = ()> {
        // Made at once, for a shard may end before the task has its first turn.
        let cleanup = Cleanup {
            address: setup.address.clone(),
            mailbox: Arc::clone(&setup.mailbox),
            state: Arc::clone(&setup.state),
            epoch: None,
        };
        Self::open_and_live(setup, config, pulse, cleanup)
    }

    async fn open_and_live(setup: RoomSetup, config: Arc<Config>, pulse: Rc<Pulse>, mut cleanup: Cleanup) {
        let RoomSetup { address, mailbox, status, state } = setup;
        let opened = match state.engine.open(&address).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::error!(room = %address, %error, "storage of the room cannot be opened");
                let text = state.failure_text(&Error::new(error)).into();
                let refusal = Refusal::StartFailed { text };
                mailbox.close().into_iter().for_each(|event| event.refuse(&address, &refusal));
                return;
            }
        };
        cleanup.epoch = Some(opened.epoch);
        let mut room = Self::new(address, mailbox, status, state, opened, config, pulse);
        let end = match AssertUnwindSafe(room.live()).catch_unwind().await {
            Ok(Err(end)) => end,
            Err(panic) => {
                let error = panic_error(&*panic);
                tracing::error!(room = %room.address, %error, "panic outside of the hooks, room closed");
                End::Refused(Refusal::Broken)
            }
        };
        room.finish(end).await;
        drop(cleanup);
    }

    fn new(
        address: RoomAddress,
        mailbox: Arc<Mailbox>,
        status: Arc<Status>,
        state: Arc<State>,
        opened: Opened,
        config: Arc<Config>,
        pulse: Rc<Pulse>,
    ) -> Self {
        let (env, calls) = (Arc::clone(&state.env), Arc::clone(&state.calls));
        let hosted =
            Hosted::new(address.clone(), env, calls, config.storage, config.outbox_bytes_max, opened);
        let flow = Flow::new(Arc::clone(&state), Arc::clone(&config));
        Self {
            address,
            state,
            config,
            pulse,
            mailbox,
            status,
            hosted,
            server: None,
            flow,
            welcomed: HashSet::new(),
            panics: VecDeque::new(),
            turn_events_count: 0,
            woken: None,
            alarm_was_last: false,
            idle: None,
            lulled_by: Vec::new(),
            drain: None,
            last_answer: None,
        }
    }

    async fn live(&mut self) -> Lives<Infallible> {
        loop {
            // On the heap: a room that hibernates does not keep the memory of its hooks.
            Box::pin(self.be_awake()).await?;
            self.fall_asleep();
            self.status.set_hibernates(true);
            poll_fn(|cx| self.mailbox.poll_filled(cx)).await;
            self.status.set_hibernates(false);
        }
    }

    /// Handles what comes, until the room hibernates.
    async fn be_awake(&mut self) -> Lives {
        self.start().await?;
        // Whoever came here, alarms that are due need not wait any more.
        if let Some(next_ms) = self.hosted.next_alarm_ms() {
            self.state.alarms.noted(&self.address, Some(next_ms));
        }
        loop {
            match self.next().await? {
                Next::Event(event) => self.handle(event).await?,
                Next::Alarm => self.alarm().await?,
                Next::TaskEnded(result) => self.task_ended(result).await?,
                Next::CloseOne => self.close_one(),
                Next::Idle => return Err(End::Idle),
                Next::Hibernate => return Ok(()),
            }
        }
    }

    /// Drops the server. What the clients are and where they can be reached stays.
    fn fall_asleep(&mut self) {
        drop_quietly(&self.address, self.server.take());
        self.flow.shrink();
        self.hosted.shrink();
        self.idle = None;
        tracing::debug!(room = %self.address, members_count = self.hosted.members_count(), "room hibernates");
        for lull in self.lulled_by.drain(..) {
            // Who has gone away need not know.
            let _ = lull.send(());
        }
    }

    /// Waits for what is next. On the way commits land, tasks run, and at the end of the
    /// turn output leaves.
    async fn next(&mut self) -> Lives<Next> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Lives<Next>> {
        if let Err(error) = self.flow.commits.poll(cx, &self.hosted) {
            return Poll::Ready(Err(End::Refused(Refusal::CommitFailed(error))));
        }
        if let Poll::Ready(Some(result)) = self.flow.tasks.poll_join_next(cx) {
            return Poll::Ready(Ok(Next::TaskEnded(result)));
        }
        if self.turn_events_count >= EVENTS_PER_TURN {
            // Others of this shard have their turn first.
            self.turn_events_count = 0;
            self.flow.flush(cx, &self.hosted);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.may_take_an_event(cx)
            && let Poll::Ready(next) = self.poll_event(cx)
        {
            self.turn_events_count += 1;
            self.idle = None;
            return Poll::Ready(Ok(next));
        }
        self.turn_events_count = 0;
        self.flow.flush(cx, &self.hosted);
        if let Poll::Ready(next) = self.poll_drain(cx) {
            return Poll::Ready(Ok(next));
        }
        self.poll_idle(cx)
    }

    /// The next event. An alarm that is due comes before each, so neither keeps the other waiting.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.drain.is_some() {
            // They are stored, and go off when the host is back.
            self.woken = None;
        }
        self.alarm_was_last = self.woken.is_some() && !self.alarm_was_last;
        if self.alarm_was_last {
            return Poll::Ready(Next::Alarm);
        }
        match self.mailbox.poll_next(cx) {
            Poll::Ready(event) => Poll::Ready(Next::Event(event)),
            Poll::Pending if self.woken.is_some() => Poll::Ready(Next::Alarm),
            Poll::Pending => Poll::Pending,
        }
    }

    /// Whether fewer commits and less output wait than may.
    fn may_take_an_event(&mut self, cx: &mut Context<'_>) -> bool {
        let config = &self.config;
        let is_free = |(commits_count, held_bytes): (usize, usize)| {
            commits_count < config.commits_pending_max && held_bytes < config.held_bytes_max
        };
        if is_free(self.hosted.held()) {
            return true;
        }
        // What is held may be free to leave.
        self.flow.flush(cx, &self.hosted);
        is_free(self.hosted.held())
    }

    /// While the host shuts down: closes connections at the pacer's pace, then ends.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let Some(drain) = &mut self.drain else { return Poll::Pending };
        if self.hosted.end_bodies() {
            // Their ends leave with the next turn.
            cx.waker().wake_by_ref();
        }
        if self.hosted.room().connections_count() > 0 {
            let ticket = drain.ticket.get_or_insert_with(|| Box::pin(Arc::clone(&drain.pacer).ticket()));
            return ticket.as_mut().poll(cx).map(|()| {
                drain.ticket = None;
                Next::CloseOne
            });
        }
        // Tasks end with the room; only a room that is to be evicted waits for them.
        let is_done = self.hosted.members_count() == 0 && self.hosted.is_quiet();
        if is_done && self.mailbox.close_if_empty() {
            return Poll::Ready(Next::Idle);
        }
        Poll::Pending
    }

    /// A quiet room ends when it has been empty for a while; one with members may hibernate.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Lives<Next>> {
        if !self.is_quiet() {
            self.idle = None;
            return Poll::Pending;
        }
        let is_empty = self.hosted.members_count() == 0;
        let after = match (is_empty, S::OPTIONS.hibernate) {
            _ if !self.lulled_by.is_empty() => Duration::ZERO,
            (true, _) => self.config.idle_after,
            (false, true) => self.config.hibernate_after,
            (false, false) => return Poll::Pending,
        };
        let idle = self.idle.get_or_insert_with(|| self.state.clock.sleep(after));
        match Pin::new(idle).poll(cx) {
            Poll::Ready(()) if !is_empty => Poll::Ready(Ok(Next::Hibernate)),
            Poll::Ready(()) if self.mailbox.close_if_empty() => Poll::Ready(Ok(Next::Idle)),
            Poll::Ready(()) => {
                // Somebody came at the last moment; the mailbox has its own wake for that.
                self.idle = None;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }

    /// No task, no alarm under way, no open body, nothing on its way out, no end in sight.
    fn is_quiet(&self) -> bool {
        self.flow.tasks.is_empty() && self.hosted.is_quiet() && self.woken.is_none() && self.drain.is_none()
    }

    async fn handle(&mut self, event: RoomEvent) -> Lives {
        match event {
            RoomEvent::Join(join) => self.join(*join).await,
            RoomEvent::Frame { from, frame } => self.message(from, frame).await,
            RoomEvent::Leave { key, close } => self.leave(key, close).await,
            RoomEvent::Request { request, reply } => self.request(*request, reply).await,
            RoomEvent::Run { work, reply } => self.work(work, reply).await,
            RoomEvent::Alarm(woken) => {
                self.woken = Some(woken);
                Ok(())
            }
            RoomEvent::Lull(lull) => {
                self.lulled_by.push(lull);
                Ok(())
            }
            RoomEvent::Drain(pacer) => {
                self.drain = Some(Drain { pacer, ticket: None });
                Ok(())
            }
        }
    }

    /// Builds the server: at the opening, and when the room restarts in place.
    async fn start(&mut self) -> Lives {
        // Called in a future: a hook may be a plain function that panics before it returns one.
        let hook = async { S::on_start(self.hosted.room()).await };
        let error = match self.flow.drive(&self.hosted, Hook::Start, hook).await {
            HookEnd::Returned(Ok(server)) => {
                self.hosted.seal();
                self.server = Some(server);
                return Ok(());
            }
            HookEnd::Returned(Err(error)) | HookEnd::Panicked(error) => error,
            HookEnd::CommitFailed(error) => return Err(End::Refused(Refusal::CommitFailed(error))),
        };
        tracing::error!(room = %self.address, hook = %Hook::Start, %error, "room failed to start");
        let rolled_back = self.hosted.roll_back();
        drop_each_quietly(&self.address, rolled_back.output);
        Err(End::Refused(Refusal::StartFailed { text: self.state.failure_text(&error).into() }))
    }

    async fn join(&mut self, join: Join) -> Lives {
        let Join { new, context, arrival } = join;
        let (outlet, inlet) = match arrival.land() {
            Ok(landed) => landed,
            Err(error) => {
                if error.kind() == io::ErrorKind::ConnectionAborted {
                    tracing::debug!(room = %self.address, "client went away before it joined");
                } else {
                    tracing::warn!(room = %self.address, %error, "socket cannot be used");
                }
                drop_quietly(&self.address, (new, context));
                return Ok(());
            }
        };
        let (key, joined) = self.hosted.join(new);
        self.flow.outgoing.add(key, joined, outlet);
        self.status.set_connections_count(self.hosted.members_count());
        let welcomed = self.welcome(key, &context).await;
        drop_quietly(&self.address, context);
        // Reading begins whatever became of the hooks: a refused client's socket ends there.
        inlet.start(key, Arc::clone(&self.mailbox), &self.pulse);
        welcomed
    }

    /// `connection_tags`, then `on_connect`.
    async fn welcome(&mut self, key: ConnectionKey, context: &ConnectContext) -> Lives {
        let tags = self
            .hook(Hook::ConnectionTags, Some(key), async |server, room, connection| match connection {
                Some(connection) => {
                    let tags = server.connection_tags(room, connection, context).await?;
                    check_tags(&tags, connection.id())?;
                    Ok(tags)
                }
                None => Ok(Vec::new()),
            })
            .await?;
        let Ok(tags) = tags.map(|tags| self.hosted.add_tags(key, tags)) else {
            return Ok(());
        };
        let () = tags;
        let welcome = self
            .hook(Hook::Connect, Some(key), async |server, room, connection| match connection {
                Some(connection) => server.on_connect(room, connection, context).await,
                None => Ok(()),
            })
            .await?;
        if welcome.is_ok() {
            self.welcomed.insert(key);
            if S::OPTIONS.duplicate_ids == DuplicateIds::Replace {
                self.hosted.replace_older(key);
            }
        }
        Ok(())
    }

    async fn message(&mut self, from: ConnectionKey, frame: Frame) -> Lives {
        // Frames of a connection that the room has closed are ignored.
        if !self.hosted.connection(from).is_some_and(Connection::is_open) {
            return Ok(());
        }
        // The party's own serde code runs here.
        let message = match catch_unwind(AssertUnwindSafe(|| S::Message::from_frame(frame))) {
            Ok(message) => message,
            Err(panic) => {
                let end = HookEnd::Panicked(panic_error(&*panic));
                return self.ended::<()>(Hook::Message, Some(from), end).await.map(drop);
            }
        };
        let hook = if message.is_ok() { Hook::Message } else { Hook::Invalid };
        self.hook(hook, Some(from), async |server, room, sender| match (sender, message) {
            (Some(sender), Ok(message)) => server.on_message(room, sender, message).await,
            (Some(sender), Err(error)) => server.on_invalid(room, sender, &error).await,
            (None, _) => Ok(()),
        })
        .await
        .map(drop)
    }

    async fn leave(&mut self, key: ConnectionKey, close: Close) -> Lives {
        self.flow.outgoing.remove(key);
        let Some((connection, last_of_id)) = self.hosted.leave(key) else { return Ok(()) };
        self.status.set_connections_count(self.hosted.members_count());
        let mut close = close;
        close.last_of_id = last_of_id;
        let result = if self.welcomed.remove(&key) {
            let id = connection.id().clone();
            let (connection, close) = (&connection, &close);
            let hook = async |server: &mut S, room: &Room, _: Option<&Connection>| {
                server.on_close(room, connection, close).await
            };
            self.hook_of(Hook::Close, None, Some(id), hook).await.map(drop)
        } else {
            Ok(())
        };
        drop_quietly(&self.address, connection);
        result
    }

    async fn request(
        &mut self,
        request: Request,
        reply: oneshot::Sender<std::result::Result<Response, Refusal>>,
    ) -> Lives {
        let hook = async |server: &mut S, room: &Room, _: Option<&Connection>| {
            let response = server.on_request(room, request).await?;
            let len_bytes = reply_len_bytes(&response);
            Ok((response, len_bytes))
        };
        let (response, len_bytes) = match self.hook(Hook::Request, None, hook).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                let response = match error.public_status() {
                    Some((status, text)) => Response::text(text).with_status(status),
                    None => {
                        let text = self.state.failure_text(&error);
                        Response::text(text).with_status(http::StatusCode::INTERNAL_SERVER_ERROR)
                    }
                };
                let len_bytes = reply_len_bytes(&response);
                (response, len_bytes)
            }
            Err(end) => {
                let refusal = end.refusal();
                self.last_answer = Some(Box::new(move || drop(reply.send(Err(refusal)))));
                return Err(end);
            }
        };
        self.reply(len_bytes, move |delivered| {
            let answer = match delivered {
                Delivered::Durable => Ok(response),
                Delivered::CommitFailed(error) => Err(Refusal::CommitFailed(error)),
            };
            // A client that has gone away needs no answer.
            drop(reply.send(answer));
        });
        Ok(())
    }

    /// Calls the first alarm that is due. When none is any more, whoever woke the room is told
    /// as soon as that is on disk.
    async fn alarm(&mut self) -> Lives {
        if let Some(alarm) = self.hosted.begin_alarm() {
            let hook = async |server: &mut S, room: &Room, _: Option<&Connection>| {
                server.on_alarm(room, &alarm).await
            };
            match self.hook(Hook::Alarm, None, hook).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => {
                    let name = alarm.name.as_deref().map(|name| name.escape_debug().to_string());
                    tracing::warn!(room = %self.address, name, retry = alarm.retry, "alarm has failed");
                }
                Err(end) => {
                    self.woken = None;
                    return Err(end);
                }
            }
        }
        let next_ms = self.hosted.next_alarm_ms();
        if next_ms.is_none_or(|next_ms| next_ms > self.state.clock.wall_ms())
            && let Some(woken) = self.woken.take()
        {
            woken.called(next_ms);
            self.reply(0, move |delivered| match delivered {
                Delivered::Durable => woken.done(),
                Delivered::CommitFailed(_) => drop(woken),
            });
        }
        Ok(())
    }

    async fn work(
        &mut self,
        work: Box<dyn Work>,
        reply: oneshot::Sender<std::result::Result<(), CallError>>,
    ) -> Lives {
        let hook = async |server: &mut S, room: &Room, _: Option<&Connection>| {
            let server: &mut dyn Any = server;
            work.run(server, room).await
        };
        let answer = match self.hook(Hook::Run, None, hook).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(CallError::of(&error)),
            Err(end) => {
                self.last_answer = Some(Box::new(move || drop(reply.send(Err(CallError::Failed)))));
                return Err(end);
            }
        };
        self.reply(0, move |delivered| {
            let answer = match delivered {
                Delivered::Durable => answer,
                Delivered::CommitFailed(_) => Err(CallError::Failed),
            };
            // A caller that has gone away needs no answer.
            drop(reply.send(answer));
        });
        Ok(())
    }

    async fn task_ended(&mut self, result: std::result::Result<Result<()>, JoinError>) -> Lives {
        let end = match result {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => HookEnd::Returned(Err(error)),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => HookEnd::Panicked(panic_error(&*panic)),
                // Ended by a restart.
                Err(_) => return Ok(()),
            },
        };
        self.ended::<()>(Hook::Task, None, end).await.map(drop)
    }

    fn close_one(&mut self) {
        let next = self.hosted.room().connections().next().map(Connection::key);
        if let (Some(key), Some(drain)) = (next, &self.drain) {
            self.hosted.close(key, Some(drain.pacer.close_frame()));
        }
    }

    /// Adds a reply of this weight behind all commits of the room so far.
    fn reply(&self, len_bytes: usize, reply: impl FnOnce(Delivered) + Send + 'static) {
        let reply: Reply = Box::new(reply);
        self.hosted.emit(Effect::Reply { reply, len_bytes });
    }

    /// Calls a hook of the connection `key`, or of none, and does what its end asks for.
    async fn hook<R>(
        &mut self,
        hook: Hook,
        key: Option<ConnectionKey>,
        call: impl AsyncFnOnce(&mut S, &Room, Option<&Connection>) -> Result<R>,
    ) -> Lives<Result<R>> {
        self.hook_of(hook, key, None, call).await
    }

    async fn hook_of<R>(
        &mut self,
        hook: Hook,
        key: Option<ConnectionKey>,
        gone: Option<ConnectionId>,
        call: impl AsyncFnOnce(&mut S, &Room, Option<&Connection>) -> Result<R>,
    ) -> Lives<Result<R>> {
        let Some(server) = &mut self.server else { return Err(End::Refused(Refusal::Broken)) };
        let connection = key.and_then(|key| self.hosted.connection(key));
        let future = call(server, self.hosted.room(), connection);
        let end = self.flow.drive(&self.hosted, hook, future).await;
        if let HookEnd::Returned(Ok(value)) = end {
            self.hosted.seal();
            return Ok(Ok(value));
        }
        self.ended_of(hook, key, gone, end).await
    }

    async fn ended<R>(
        &mut self,
        hook: Hook,
        key: Option<ConnectionKey>,
        end: HookEnd<R>,
    ) -> Lives<Result<R>> {
        self.ended_of(hook, key, None, end).await
    }

    /// What follows a hook that did not end well: rollback, restart, `on_error`.
    async fn ended_of<R>(
        &mut self,
        hook: Hook,
        key: Option<ConnectionKey>,
        gone: Option<ConnectionId>,
        end: HookEnd<R>,
    ) -> Lives<Result<R>> {
        let (error, panicked) = match end {
            HookEnd::Returned(Ok(value)) => return Ok(Ok(value)),
            HookEnd::Returned(Err(error)) => (error, false),
            HookEnd::Panicked(error) => (error, true),
            HookEnd::CommitFailed(error) => return Err(End::Refused(Refusal::CommitFailed(error))),
        };
        let rolled_back = self.hosted.roll_back();
        let memory_is_stale = rolled_back.memory_is_stale;
        drop_each_quietly(&self.address, rolled_back.output);
        if hook == Hook::Alarm && self.hosted.fail_alarm() == AlarmFailed::Dropped {
            tracing::error!(room = %self.address, "alarm has failed for the last time and is dropped");
        }
        let is_answer = !panicked && error.is_answer_to(hook);
        let id = key.and_then(|key| self.hosted.connection(key)).map(|connection| connection.id().clone());
        let id = id.or(gone);
        if !is_answer {
            let connection = id.as_ref().map(|id| id.as_str().escape_debug().to_string());
            tracing::error!(room = %self.address, %hook, connection, %error, panicked, "hook failed");
        }
        self.close_failed(hook, key, &error);
        if panicked {
            self.count_panic()?;
        }
        if panicked || memory_is_stale {
            self.restart().await?;
        }
        if is_answer {
            return Ok(Err(error));
        }
        let failure = Failure::new(hook, id, error, panicked);
        self.on_error(&failure).await?;
        Ok(Err(failure.error))
    }

    /// Closes the connection of a failed hook, where the error or the hook asks for it.
    fn close_failed(&mut self, hook: Hook, key: Option<ConnectionKey>, error: &Error) {
        let Some(key) = key else { return };
        let close = match (error.public_close(), hook) {
            (Some(close), _) => close.clone(),
            (None, Hook::Connect | Hook::ConnectionTags) => {
                close_frame(1011, "Connection refused by an error")
            }
            (None, _) => return,
        };
        self.hosted.close(key, Some(close));
        if matches!(hook, Hook::Connect | Hook::ConnectionTags)
            && let Some((connection, _)) = self.hosted.leave(key)
        {
            self.status.set_connections_count(self.hosted.members_count());
            drop_quietly(&self.address, connection);
        }
    }

    /// Ends the room if it panics too often.
    fn count_panic(&mut self) -> Lives {
        let config = &self.config;
        let now = self.state.clock.now();
        self.panics.push_back(now);
        while self.panics.front().is_some_and(|first| now.saturating_sub(*first) > config.restart_window) {
            self.panics.pop_front();
        }
        if self.panics.len() > config.restarts_max {
            let (panics_count, window) = (self.panics.len(), config.restart_window);
            tracing::error!(room = %self.address, panics_count, ?window, "room panics too often and is closed");
            return Err(End::Refused(Refusal::Broken));
        }
        Ok(())
    }

    /// Drops the server and builds a new one from what is stored; sockets stay.
    async fn restart(&mut self) -> Lives {
        self.flow.tasks.abort_all();
        self.flow.tasks.detach_all();
        drop_each_quietly(&self.address, self.hosted.take_tasks());
        drop_quietly(&self.address, self.server.take());
        tracing::info!(room = %self.address, "room restarts in place");
        self.start().await
    }

    /// Tells the server that goes on. A commit of its own; a failure in it is only logged.
    async fn on_error(&mut self, failure: &Failure) -> Lives {
        let Some(server) = &mut self.server else { return Ok(()) };
        self.hosted.settle_alarm();
        let hook = async {
            server.on_error(self.hosted.room(), failure).await;
            Ok(())
        };
        match self.flow.drive(&self.hosted, Hook::Error, hook).await {
            HookEnd::Returned(_) => {
                self.hosted.seal();
                Ok(())
            }
            HookEnd::CommitFailed(error) => Err(End::Refused(Refusal::CommitFailed(error))),
            HookEnd::Panicked(error) => {
                tracing::error!(room = %self.address, hook = %Hook::Error, %error, panicked = true, "hook failed");
                let rolled_back = self.hosted.roll_back();
                drop_each_quietly(&self.address, rolled_back.output);
                self.hosted.settle_alarm();
                self.hosted.seal();
                self.count_panic()?;
                self.restart().await
            }
        }
    }

    /// The end of the room, whatever the reason.
    async fn finish(mut self, end: End) {
        let address = self.address.clone();
        let refused = self.mailbox.close();
        if let Some(answer) = self.last_answer.take() {
            answer();
        }
        let refusal = end.refusal();
        if matches!(end, End::Refused(_)) {
            self.hosted.abandon_bodies();
        }
        self.flow.tasks.abort_all();
        self.flow.tasks.detach_all();
        let rolled_back = self.hosted.roll_back();
        drop_each_quietly(&address, rolled_back.output);
        drop_quietly(&address, self.server.take());
        let failure = match &end {
            End::Idle => {
                tracing::debug!(room = %self.address, "room closed");
                None
            }
            End::Refused(Refusal::CommitFailed(error)) => {
                let members_count = self.hosted.members_count();
                tracing::error!(room = %self.address, %error, members_count, "commit failed, room closed");
                Some(error.clone())
            }
            End::Refused(_) => {
                self.hosted.settle_alarm();
                self.hosted.seal();
                // Earlier hooks ended well; what they sent goes out when it is durable.
                let landed = poll_fn(|cx| match self.flow.commits.poll(cx, &self.hosted) {
                    Err(error) => Poll::Ready(Err(error)),
                    Ok(()) if self.hosted.held().0 == 0 => Poll::Ready(Ok(())),
                    Ok(()) => Poll::Pending,
                });
                landed.await.err()
            }
        };
        // What follows only commits that have landed is not taken back with those that failed.
        self.flow.outgoing.flush(&self.hosted, &mut self.flow.startable);
        for output in self.hosted.give_up() {
            run_quietly(&address, || match (output.effect, &failure) {
                (Effect::Reply { reply, .. }, Some(error)) => reply(Delivered::CommitFailed(error.clone())),
                (effect, _) => drop(effect),
            });
        }
        self.flow.outgoing.close_all(&refusal.close_frame());
        for event in refused {
            event.refuse(&address, &refusal);
        }
        self.flow.commits.settled().await;
    }
}

/// Drops what the user put into the room, value by value; on a shard that ends, too.
impl<S> Drop for RoomTask<S> {
    fn drop(&mut self) {
        drop_quietly(&self.address, self.server.take());
        drop_each_quietly(&self.address, std::mem::take(&mut self.flow.startable));
        drop_each_quietly(&self.address, self.hosted.give_up());
        drop_each_quietly(&self.address, self.hosted.take_connections());
    }
}

impl End {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Idle => Refusal::Unavailable,
            Self::Refused(refusal) => refusal.clone(),
        }
    }
}

/// The last thing of a room, even if its shard ends first: the registry may open it again.
impl Drop for Cleanup {
    fn drop(&mut self) {
        for event in self.mailbox.close() {
            event.refuse(&self.address, &Refusal::Unavailable);
        }
        if let Some(epoch) = self.epoch {
            self.state.engine.close(&self.address, epoch);
        }
        self.state.registry.remove(&self.address);
    }
}

fn check_tags(tags: &[String], id: &ConnectionId) -> Result<()> {
    let count = tags.iter().filter(|tag| tag.as_str() != id.as_str()).count();
    if count > TAGS_MAX {
        return Err(Error::new(format!("{count} tags are over the limit of {TAGS_MAX} beside the id")));
    }
    match tags.iter().find(|tag| tag.is_empty() || tag.len() > TAG_BYTES_MAX) {
        Some(tag) => Err(Error::new(format!("a tag of {} bytes must have 1 to {TAG_BYTES_MAX}", tag.len()))),
        None => Ok(()),
    }
}
