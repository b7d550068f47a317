//! What goes on in a host until it is told to stop, and how it ends.
//!
//! It serves, then it drains: no new requests, running hooks finish, commits land, clients are told,
//! all within the grace. What is left then is cut.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::alarms::wake_rooms;
use crate::cron::run_crons;
use crate::event::RoomEvent;
use crate::host::HostError;
use crate::lobby::Lobby;
use crate::net::admin::{self, Token};
use crate::net::listener::{self, StillOpen};
use crate::service::HostService;
use crate::shutdown::{Pacer, Why};
use crate::state::State;

/// How long what is cut at the end is waited for.
pub(crate) const END_PATIENCE: Duration = Duration::from_secs(2);

/// A host that is set up and accepts no connection yet.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) state: Arc<State>,
    /// `None` for a host that others bring its requests to.
    pub(crate) listener: Option<TcpListener>,
    pub(crate) admin: Option<(TcpListener, Option<Token>)>,
    /// Held by whoever answers requests.
    pub(crate) open: StillOpen,
    pub(crate) all_closed: mpsc::Receiver<Infallible>,
    /// Ends, by its error, when nobody holds the state any more, and so the storage is closed.
    pub(crate) gone: Option<oneshot::Receiver<Infallible>>,
}

impl Running {
    /// Where it listens, if anywhere; as the system says, so the port is not 0.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Where it tells how it is, if anywhere.
    pub(crate) fn admin_addr(&self) -> Option<SocketAddr> {
        let (listener, _) = self.admin.as_ref()?;
        listener.local_addr().ok()
    }

    /// How others bring it requests.
    pub(crate) fn service(&self) -> HostService {
        HostService::new(&self.state, &self.open)
    }

    /// Serves until `stop` ends, then drains: no new requests, running hooks finish, commits
    /// land, clients are closed with 1012, all within the grace. Where the storage fails, it
    /// drains at once, and clients are closed with 1011.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), HostError> {
        let Self { state, listener, admin, open, all_closed, gone: _ } = self;
        // However this ends, no client holds the state, and so the storage, any longer.
        let over = state.over.clone().drop_guard();
        let serving = serve_clients(Arc::clone(&state), listener, (open, all_closed), stop);
        match &admin {
            // Until the very end, for it tells that the host is draining.
            Some((admin, token)) => tokio::select! {
                () = admin::serve(&state, admin, token.as_ref()) => {}
                () = serving => {}
            },
            None => serving.await,
        }
        drop((admin, over));
        // It may have failed with the very last commits.
        let failed = state.engine.failed().now_or_never();
        end(state).await;
        failed.map_or(Ok(()), |error| Err(HostError::StorageFailed(error)))
    }
}

/// Serves until `stop` ends, or the storage fails, then drains.
async fn serve_clients(
    state: Arc<State>,
    listener: Option<TcpListener>,
    (open, mut all_closed): (StillOpen, mpsc::Receiver<Infallible>),
    stop: impl Future<Output = ()>,
) {
    // However this ends, hooks of the lobby that are left end then.
    let _over = state.lobby.as_ref().map(Lobby::over_on_drop);
    // None of these ends.
    let serving = async {
        tokio::join!(
            accept_clients(&state, listener.as_ref(), &open),
            wake_rooms(&state),
            follow_certificates(&state),
            run_crons(&state),
        )
    };
    let why = tokio::select! {
        _ = serving => Why::Stopped,
        error = state.engine.failed() => {
            tracing::error!(%error, "storage has failed, the host ends");
            Why::StorageFailed
        }
        () = stop => Why::Stopped,
    };
    drop((listener, open));
    state.draining.set();
    let connections_count = state.connections_count();
    let rooms_count = state.registry.rooms_count();
    tracing::info!(rooms_count, connections_count, "shutting down");
    let grace = state.config.shutdown_grace;
    let drained = async {
        let pacer = Pacer::start(why, connections_count, grace, state.clock.clone());
        let lobby_ended = async {
            if let Some(lobby) = &state.lobby {
                lobby.drain(Arc::clone(&pacer));
                lobby.ended().await;
            }
        };
        tokio::join!(drain_rooms(&state, &pacer), lobby_ended, all_closed.recv());
        state.upgrades.close();
        state.upgrades.wait().await;
        // Once more: a hook of the lobby, or the last client, may have opened a room.
        drain_rooms(&state, &pacer).await;
    };
    if state.clock.timeout(grace, drained).await.is_none() {
        let rooms_count = state.registry.rooms_count();
        tracing::warn!(rooms_count, ?grace, "grace is over, what is left is cut");
    }
}

/// Never ends.
async fn accept_clients(state: &Arc<State>, listener: Option<&TcpListener>, open: &StillOpen) {
    match listener {
        Some(listener) => listener::accept_all(state, listener, open).await,
        None => std::future::pending().await,
    }
}

/// Never ends.
async fn follow_certificates(state: &State) {
    match &state.tls {
        Some(tls) => tls.follow_signals().await,
        None => std::future::pending().await,
    }
}

/// Ends the shards and lets go of the storage; a hook that blocks its thread is not waited for.
pub(crate) async fn end(state: Arc<State>) {
    state.registry.end();
    let clock = state.clock.clone();
    let (ended, has_ended) = oneshot::channel();
    std::thread::spawn(move || {
        state.registry.join();
        drop(state);
        // Nobody waits any more if it took too long.
        let _ = ended.send(());
    });
    clock.timeout(END_PATIENCE, has_ended).await;
}

/// Tells every room to close, and waits until all have.
async fn drain_rooms(state: &Arc<State>, pacer: &Arc<Pacer>) {
    loop {
        let mailboxes = state.registry.mailboxes();
        if mailboxes.is_empty() {
            return;
        }
        let told = mailboxes.iter().map(|mailbox| async {
            // A room that is gone already needs no telling.
            let _ = mailbox.push(RoomEvent::Drain(Arc::clone(pacer))).await;
            mailbox.gone().await;
        });
        // Then once more: a call between rooms may have opened another.
        futures_util::future::join_all(told).await;
    }
}
