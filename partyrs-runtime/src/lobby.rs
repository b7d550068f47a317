//! What answers outside the rooms, and the only place where its hooks are called.
//!
//! Here the user's type is erased, as `party.rs` does it for parties. A hook of the lobby is a
//! task of its own: a client that goes away does not end it, as it ends no hook of a room.
//!
//! The difficulty is that such tasks outlive what began them. They are counted, so that a
//! shutdown can wait for them, and have one end in common for when it does not wait any longer.

use std::any::type_name;
use std::convert::Infallible;
use std::fmt;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use partyrs::seam::{Acceptor, SocketEnd, SocketHold, panic_error};
use partyrs::{
    AcceptError, CloseFrame, Cron, Error, Head, HostLobby, LobbyServer, LobbySocket, Request, Response,
    Socket, SocketError,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce, oneshot, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::config::Config;
use crate::cron::Job;
use crate::event::close_frame;
use crate::shutdown::Pacer;
use crate::state::{State, Ticket};

/// What may wait for `on_socket` to read it; then no more is read.
pub(crate) const INCOMING_BYTES_MAX: usize = 64 << 10;

/// The lobby of a host.
#[derive(Debug)]
pub(crate) struct Lobby {
    server: Arc<dyn Hooks>,
    jobs: Vec<Arc<Job>>,
    /// Places for `on_fetch`; a hook has its own until it has ended.
    places: Arc<Semaphore>,
    /// The hooks that run, and the farewells of their WebSockets.
    tasks: TaskTracker,
    /// Set by the shutdown: the WebSockets are closed with 1012, at its pace.
    drain: watch::Sender<Option<Arc<Pacer>>>,
    /// Set when the host has ended; what still runs is dropped.
    over: CancellationToken,
}

/// The hooks of a server, whatever its type.
#[async_trait]
pub(crate) trait Hooks: fmt::Debug + Send + Sync {
    async fn fetch(&self, request: Request, lobby: &HostLobby) -> partyrs::Result<Option<Response>>;

    async fn socket(&self, socket: LobbySocket, lobby: &HostLobby) -> partyrs::Result<()>;

    async fn cron(&self, cron: &Cron, lobby: &HostLobby) -> partyrs::Result<()>;
}

/// A server that the program has given.
pub(crate) struct Given<S>(pub(crate) S);

/// Why a request has no answer of the lobby.
#[derive(Debug)]
pub(crate) enum FetchError {
    /// The hook failed; what needs to be in the log is there.
    Failed(Error),
    /// The host has ended in the middle of it.
    Over,
}

/// What `on_socket` says to an upgrade.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// The client is to be accepted, and whoever waits for it to be told.
    Accept(Box<Acceptance>),
    /// It is not for this hook.
    Declined,
    /// The hook failed; what needs to be in the log is there.
    Failed(Error),
    /// The host has ended in the middle of it.
    Over,
}

/// A client that `on_socket` accepts.
#[derive(Debug)]
pub(crate) struct Acceptance {
    /// With the subprotocol that was selected.
    pub(crate) head: Head,
    pub(crate) end: SocketEnd,
    pub(crate) ticket: Ticket,
    /// Told when the WebSocket is open, or why it will not be.
    pub(crate) opened: oneshot::Sender<Result<(), AcceptError>>,
}

/// The client that `on_socket` may accept.
struct Offer {
    accepted: oneshot::Sender<Box<Acceptance>>,
    hold: Arc<SetOnce<SocketHold>>,
    /// Held even if the client goes away while the hook makes up its mind.
    ticket: Ticket,
    outgoing_bytes_max: usize,
}

impl Lobby {
    pub(crate) fn new(server: Arc<dyn Hooks>, jobs: Vec<Arc<Job>>, config: &Config) -> Self {
        let places = Arc::new(Semaphore::new(config.fetches_max));
        let (tasks, drain, over) = (TaskTracker::new(), watch::Sender::default(), CancellationToken::new());
        Self { server, jobs, places, tasks, drain, over }
    }

    /// What `on_cron` is to be called for.
    pub(crate) fn jobs(&self) -> &[Arc<Job>] {
        &self.jobs
    }

    /// Waits for a place for one more `on_fetch`, in order of arrival.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the place in the line.
    pub(crate) async fn place(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.places).acquire_owned().await.ok()
    }

    /// Asks `on_fetch`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not end the hook; its answer is dropped.
    pub(crate) async fn fetch(
        &self,
        state: &State,
        request: Request,
        place: OwnedSemaphorePermit,
    ) -> Result<Option<Response>, FetchError> {
        let (server, lobby, clock) = (Arc::clone(&self.server), state.host_lobby(), state.clock.clone());
        let limit = state.config.hook_timeout;
        let path = request.uri().path().to_owned();
        let hook = async move {
            let late = || Err(Error::new(format!("hook ran longer than hook_timeout ({limit:?})")));
            // Dropped in here when it is late, so that a panic of its `Drop` is caught too.
            let hook = async { clock.timeout(limit, server.fetch(request, &lobby)).await };
            let answer = AssertUnwindSafe(hook).catch_unwind().await;
            let answer = match answer {
                Ok(answer) => answer.unwrap_or_else(late),
                Err(panic) => Err(panic_error(&*panic)),
            };
            drop(place);
            // Here and not where the answer is waited for: the client may be gone.
            if let Err(error) = &answer
                && error.public_status().is_none()
            {
                tracing::error!(path, hook = "on_fetch", %error, "hook failed");
            }
            answer
        };
        match self.tasks.spawn(self.over.clone().run_until_cancelled_owned(hook)).await {
            Ok(Some(answer)) => answer.map_err(FetchError::Failed),
            Ok(None) => Err(FetchError::Over),
            Err(error) => Err(FetchError::Failed(Error::new(error))),
        }
    }

    /// Asks `on_socket` about an upgrade, until it accepts the client or ends.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not end the hook; accepting fails from then on.
    pub(crate) async fn socket(
        &self,
        state: &State,
        head: Head,
        remote_addr: SocketAddr,
        ticket: Ticket,
    ) -> Verdict {
        let (server, lobby, clock) = (Arc::clone(&self.server), state.host_lobby(), state.clock.clone());
        let limit = state.config.hook_timeout;
        let (accepted, is_accepted) = oneshot::channel();
        let hold = Arc::new(SetOnce::new());
        let outgoing_bytes_max = state.config.outbox_bytes_max;
        let acceptor = Box::new(Offer { accepted, hold: Arc::clone(&hold), ticket, outgoing_bytes_max });
        let path = head.uri().path().to_owned();
        let offer = LobbySocket::new(head, remote_addr, acceptor);
        let drained = close_on_drain(Arc::clone(&hold), self.drain.subscribe());
        let hook = async move {
            // Dropped in here when it is late, so that a panic of its `Drop` is caught too.
            let hook = async {
                tokio::select! {
                    biased;
                    ended = server.socket(offer, &lobby) => ended,
                    () = late(&clock, limit, &hold) => {
                        Err(Error::new(format!("hook ran longer than hook_timeout ({limit:?})")))
                    }
                }
            };
            let ended = AssertUnwindSafe(hook).catch_unwind().await;
            let ended = ended.unwrap_or_else(|panic| Err(panic_error(&*panic)));
            if let Err(error) = &ended
                && is_failure(error, hold.get())
            {
                tracing::error!(path, hook = "on_socket", %error, "hook failed");
            }
            if let Some(hold) = hold.get() {
                hold.close(farewell(&ended));
                poll_fn(|cx| hold.poll_ended(cx)).await;
            }
            ended
        };
        let task = async move {
            tokio::select! {
                biased;
                ended = hook => ended,
                never = drained => match never {},
            }
        };
        let task = self.tasks.spawn(self.over.clone().run_until_cancelled_owned(task));
        tokio::select! {
            biased;
            Ok(acceptance) = is_accepted => Verdict::Accept(acceptance),
            ended = task => match ended {
                Ok(Some(Ok(()))) => Verdict::Declined,
                Ok(Some(Err(error))) => Verdict::Failed(error),
                Ok(None) => Verdict::Over,
                Err(error) => Verdict::Failed(Error::new(error)),
            },
        }
    }

    /// Closes the WebSockets with 1012, at this pace, those that are being accepted included.
    pub(crate) fn drain(&self, pacer: Arc<Pacer>) {
        self.drain.send_replace(Some(pacer));
    }

    /// Starts `on_cron`, unless it still runs for this job.
    pub(crate) fn run_cron(&self, state: &State, job: &Arc<Job>, scheduled_ms: u64) {
        let Ok(place) = Arc::clone(&job.place).try_acquire_owned() else {
            return tracing::warn!(cron = job.name(), "cron is due but still runs, this time is skipped");
        };
        let (server, lobby, cron) = (Arc::clone(&self.server), state.host_lobby(), job.cron(scheduled_ms));
        let hook = async move {
            // Called in a future: a hook may be a plain function that panics before it returns one.
            let hook = AssertUnwindSafe(async { server.cron(&cron, &lobby).await });
            let ended = hook.catch_unwind().await.unwrap_or_else(|panic| Err(panic_error(&*panic)));
            if let Err(error) = ended {
                tracing::error!(cron = cron.name, hook = "on_cron", %error, "hook failed");
            }
            drop(place);
        };
        drop(self.tasks.spawn(self.over.clone().run_until_cancelled_owned(hook)));
    }

    /// Waits until no hook runs.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Drops the hooks that run when the guard is dropped, at places where they wait.
    pub(crate) fn over_on_drop(&self) -> DropGuard {
        self.over.clone().drop_guard()
    }
}

/// Ends when `on_socket` has had its time: until it accepts the client, and once the client is gone.
async fn late(clock: &Clock, limit: Duration, hold: &SetOnce<SocketHold>) {
    let until_accepted = async {
        clock.sleep(limit).await;
        if hold.get().is_some() {
            pending::<()>().await;
        }
    };
    let once_gone = async {
        let hold = hold.wait().await;
        poll_fn(|cx| hold.poll_ended(cx)).await;
        clock.sleep(limit).await;
    };
    tokio::select! {
        () = until_accepted => {}
        () = once_gone => {}
    }
}

/// Closes the WebSocket when the host shuts down; how it ends is seen elsewhere.
async fn close_on_drain(
    hold: Arc<SetOnce<SocketHold>>,
    mut drain: watch::Receiver<Option<Arc<Pacer>>>,
) -> Infallible {
    let pacer = match drain.wait_for(Option::is_some).await {
        Ok(pacer) => pacer.clone(),
        // The host has ended.
        Err(_) => None,
    };
    let Some(pacer) = pacer else { return pending().await };
    let hold = hold.wait().await;
    let close = pacer.close_frame();
    pacer.ticket().await;
    hold.close(close);
    pending().await
}

/// Whether an `Err` of `on_socket` is none of its answers, and not only the news that the client
/// is gone.
fn is_failure(error: &Error, hold: Option<&SocketHold>) -> bool {
    let Some(cause) = error.cause() else {
        let is_answer = error.public_close().is_some() || hold.is_none() && error.public_status().is_some();
        return !is_answer;
    };
    let is_closing = hold.is_some_and(SocketHold::is_closing);
    let is_gone = is_closing && matches!(cause.downcast_ref(), Some(SocketError::Closed));
    !(is_gone || cause.is::<AcceptError>())
}

/// The Close after a hook that has ended so.
fn farewell(ended: &partyrs::Result<()>) -> CloseFrame {
    match ended {
        Ok(()) => close_frame(1000, ""),
        Err(error) => error.public_close().cloned().unwrap_or_else(|| close_frame(1011, "Internal error")),
    }
}

impl Acceptor for Offer {
    fn accept(self: Box<Self>, head: Head) -> BoxFuture<'static, Result<Socket, AcceptError>> {
        Box::pin(async move {
            let Self { accepted, hold, ticket, outgoing_bytes_max } = *self;
            let (socket, end) = SocketEnd::pair(outgoing_bytes_max, INCOMING_BYTES_MAX);
            let (opened, is_open) = oneshot::channel();
            // The one place where it is set.
            let _ = hold.set(SocketHold::of(&socket));
            accepted
                .send(Box::new(Acceptance { head, end, ticket, opened }))
                .map_err(|_| AcceptError::Lost)?;
            is_open.await.unwrap_or(Err(AcceptError::Lost))?;
            Ok(socket)
        })
    }
}

#[async_trait]
impl<S: LobbyServer> Hooks for Given<S> {
    async fn fetch(&self, request: Request, lobby: &HostLobby) -> partyrs::Result<Option<Response>> {
        self.0.on_fetch(request, lobby).await
    }

    async fn socket(&self, socket: LobbySocket, lobby: &HostLobby) -> partyrs::Result<()> {
        self.0.on_socket(socket, lobby).await
    }

    async fn cron(&self, cron: &Cron, lobby: &HostLobby) -> partyrs::Result<()> {
        self.0.on_cron(cron, lobby).await
    }
}

impl<S> fmt::Debug for Given<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(type_name::<S>())
    }
}
