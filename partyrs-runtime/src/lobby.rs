//! What answers outside the rooms, and the only place where its hooks are called.
//!
//! Here the user's type is erased, as `party.rs` does it for parties. A hook of the lobby is a
//! task of its own: a client that goes away does not end it, as it ends no hook of a room.
//!
//! The difficulty is that such tasks outlive what began them. They are counted, so that a
//! shutdown can wait for them, and have one end in common for when it does not wait any longer.

use std::any::type_name;
use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use partyrs::seam::panic_error;
use partyrs::{Cron, Error, HostLobby, LobbyServer, Request, Response};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::cron::Job;
use crate::host::State;

/// The lobby of a host.
#[derive(Debug)]
pub(crate) struct Lobby {
    server: Arc<dyn Hooks>,
    jobs: Vec<Arc<Job>>,
    /// Places for `on_fetch`; a hook has its own until it has ended.
    places: Arc<Semaphore>,
    /// The hooks that run.
    tasks: TaskTracker,
    /// Set when the host has ended; what still runs is dropped.
    over: CancellationToken,
}

/// The hooks of a server, whatever its type.
#[async_trait]
pub(crate) trait Hooks: fmt::Debug + Send + Sync {
    async fn fetch(&self, request: Request, lobby: &HostLobby) -> partyrs::Result<Option<Response>>;

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

impl Lobby {
    pub(crate) fn new(server: Arc<dyn Hooks>, jobs: Vec<Arc<Job>>, config: &Config) -> Self {
        let places = Arc::new(Semaphore::new(config.fetches_max));
        Self { server, jobs, places, tasks: TaskTracker::new(), over: CancellationToken::new() }
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

#[async_trait]
impl<S: LobbyServer> Hooks for Given<S> {
    async fn fetch(&self, request: Request, lobby: &HostLobby) -> partyrs::Result<Option<Response>> {
        self.0.on_fetch(request, lobby).await
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
