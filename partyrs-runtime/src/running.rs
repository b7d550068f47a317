//! A host that runs beside the rest of its program, and how it is ended.
//!
//! It is one task, so that alarms and crons go on while the program does other things. Its
//! handle alone ends it: in order, or at once when it is dropped.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use partyrs::storage::EngineError;
use partyrs::{HostLobby, Parties};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

use crate::backup::{Export, Selection};
use crate::host::HostError;
use crate::serve::{END_PATIENCE, Running};
use crate::service::HostService;
use crate::shutdown::StopSignal;
use crate::state::State;

/// A host that runs: made by [`Host::start`](crate::Host::start) and
/// [`Host::start_at`](crate::Host::start_at).
///
/// Dropping it ends the host at once: clients are cut, hooks are dropped where they wait, what
/// is not committed is lost, and its services answer 503.
#[must_use = "dropping it ends the host"]
pub struct RunningHost {
    addr: Option<SocketAddr>,
    admin_addr: Option<SocketAddr>,
    service: HostService,
    lobby: HostLobby,
    /// Weak: when the host has ended, its storage is closed, whoever still keeps a handle.
    state: Weak<State>,
    /// Dropped to begin the shutdown.
    stop: Option<oneshot::Sender<()>>,
    served: JoinHandle<Result<(), HostError>>,
}

impl RunningHost {
    /// Called on the runtime that the host is to run on.
    pub(crate) fn start(mut running: Running) -> Self {
        let (addr, admin_addr) = (running.addr(), running.admin_addr());
        let (service, lobby) = (running.service(), running.state.host_lobby());
        let state = Arc::downgrade(&running.state);
        let (stop, stopped) = oneshot::channel::<()>();
        let (clock, gone) = (running.state.clock.clone(), running.gone.take());
        let serving = running.serve(async {
            // Nothing is ever sent.
            let _ = stopped.await;
        });
        let served = tokio::spawn(async move {
            let ended = serving.await;
            // Connections that were cut end on other threads.
            if let Some(gone) = gone {
                clock.timeout(END_PATIENCE, gone).await;
            }
            ended
        });
        Self { addr, admin_addr, service, lobby, state, stop: Some(stop), served }
    }

    /// The host as a `tower::Service`, for the server around it. There may be any number.
    #[must_use]
    pub fn service(&self) -> HostService {
        self.service.clone()
    }

    /// The parties of the host: the way to their rooms for code outside of all hooks, such as
    /// the program's own HTTP routes. Using a handle opens its room. A clone may be kept anywhere;
    /// when the host has ended, calls fail.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # use partyrs_runtime::RunningHost;
    /// # struct Chat;
    /// # impl PartyServer for Chat {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Chat) }
    /// # }
    /// # async fn tell(host: &RunningHost) -> Result<()> {
    /// let team = host.parties().party::<Chat>("main")?.room("team")?;
    /// team.run(async |_, room| Ok(room.broadcast("a new version is there")?)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn parties(&self) -> Parties {
        self.lobby.parties()
    }

    /// A copy of what these rooms have stored, as of now, while they go on: see
    /// [`backup`](crate::backup). No room is opened or held up for it.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the storage cannot be read, or the host has ended.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs_runtime::RunningHost;
    /// # use partyrs_runtime::backup::Selection;
    /// # async fn back_up(host: &RunningHost) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut copy = Vec::new();
    /// host.export(Selection::All).await?.write_to(&mut copy).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn export(&self, selection: Selection) -> Result<Export, EngineError> {
        let Some(state) = self.state.upgrade() else {
            return Err(EngineError::new("the host has ended"));
        };
        let (engine, now) = (Arc::clone(&state.engine), state.clock.wall());
        drop(state);
        Export::begin(&*engine, selection, now).await
    }

    /// Where it listens; `None` for a host inside another server.
    #[must_use]
    pub fn addr(&self) -> Option<SocketAddr> {
        self.addr
    }

    /// Where it tells how it is, if it was given an admin address.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin_addr
    }

    /// Ends when the host begins to shut down, or is gone: for the server around it, which
    /// ends by the same signal then.
    pub fn stopping(&self) -> impl Future<Output = ()> + Send + use<> {
        let begun = self.state.upgrade().map(|state| state.draining.begun());
        async {
            if let Some(begun) = begun {
                begun.await;
            }
        }
    }

    /// Shuts the host down and returns when it has ended and its storage is closed.
    ///
    /// Requests are answered 503 from now on; running hooks finish, their commits land,
    /// WebSockets are closed with 1012 at a pace, all within `shutdown_grace` (default 10 s).
    /// Then what is left is cut. The answers that have been given may still be on their way to
    /// their clients: the server around the host brings them there.
    ///
    /// # Errors
    ///
    /// [`HostError::StorageFailed`] if the storage has lost track of what is on disk. Whatever
    /// clients were told is stored; they were told of nothing that came later.
    ///
    /// # Panics
    ///
    /// If the host's own task has panicked, with its panic.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the host at once.
    pub async fn shutdown(self) -> Result<(), HostError> {
        self.stopped_by(std::future::ready(())).await
    }

    /// Waits until `stop` ends, then shuts down as [`RunningHost::shutdown`] does. A host whose
    /// storage fails ends at once, and its clients are closed with 1011.
    ///
    /// # Errors
    ///
    /// As [`RunningHost::shutdown`].
    ///
    /// # Panics
    ///
    /// As [`RunningHost::shutdown`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the host at once.
    pub async fn stopped_by(mut self, stop: impl Future<Output = ()>) -> Result<(), HostError> {
        let ended = tokio::select! {
            // Unasked: by a panic of its own.
            ended = &mut self.served => ended,
            () = stop => {
                drop(self.stop.take());
                (&mut self.served).await
            }
        };
        match ended.map_err(JoinError::try_into_panic) {
            Ok(ended) => ended,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            // It is aborted by the drop of `self` alone.
            Err(Err(_)) => Ok(()),
        }
    }

    /// Waits for Ctrl-C or SIGTERM, then shuts down as [`RunningHost::shutdown`] does. A second
    /// signal exits the program at once.
    ///
    /// # Errors
    ///
    /// [`HostError::System`] if signals cannot be listened to; the host has ended then. Else as
    /// [`RunningHost::shutdown`].
    ///
    /// # Panics
    ///
    /// As [`RunningHost::shutdown`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the host at once.
    pub async fn stopped_by_signal(self) -> Result<(), HostError> {
        let signal = StopSignal::install().map_err(HostError::System)?;
        self.stopped_by(signal.received()).await
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        self.served.abort();
        if let Some(state) = self.state.upgrade() {
            state.draining.set();
            state.registry.end();
        }
    }
}

impl fmt::Debug for RunningHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { addr, admin_addr, .. } = self;
        f.debug_struct("RunningHost")
            .field("addr", addr)
            .field("admin_addr", admin_addr)
            .finish_non_exhaustive()
    }
}
