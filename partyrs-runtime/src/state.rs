//! What all requests and rooms of a host share.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::HeaderMap;
use partyrs::seam::RoomHost;
use partyrs::storage::StorageEngine;
use partyrs::{Env, Error, HostLobby, PartyName};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarms::Alarms;
use crate::assets::Site;
use crate::clock::Clock;
use crate::config::Config;
use crate::lobby::Lobby;
use crate::net::cors::Policy;
use crate::net::origin::{self, Origin};
use crate::net::tls::Tls;
use crate::party::Party;
use crate::registry::Registry;
use crate::shutdown::Draining;

/// What requests and rooms of a running host share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) parties: Vec<Arc<dyn Party>>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) env: Arc<Env>,
    pub(crate) engine: Arc<dyn StorageEngine>,
    pub(crate) calls: Arc<dyn RoomHost>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) assets: Option<Site>,
    pub(crate) lobby: Option<Lobby>,
    pub(crate) prefix: String,
    pub(crate) tls: Option<Tls>,
    pub(crate) allowed_origins: Option<Vec<Origin>>,
    pub(crate) cors: Option<Policy>,
    pub(crate) debug_errors: bool,
    pub(crate) draining: Draining,
    pub(crate) registry: Registry,
    pub(crate) connections: Arc<Places>,
    /// Clients between their 101 and their room; a shutdown waits for them, to tell them.
    pub(crate) upgrades: TaskTracker,
    /// Cancelled when the host has ended: connections that are left are cut.
    pub(crate) over: CancellationToken,
    /// The last field, so that all else is gone when it is.
    pub(crate) _gone: oneshot::Sender<Infallible>,
}

/// Places for connections.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) taken_count: AtomicUsize,
    pub(crate) max: usize,
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    places: Arc<Places>,
    /// Whoever wants to know when it is free again.
    told: Option<oneshot::Sender<Infallible>>,
}

impl State {
    /// The party at `/party/:room`.
    pub(crate) fn main_party(&self) -> &PartyName {
        let named_main = self.parties.iter().find(|party| party.name().as_str() == "main");
        named_main.unwrap_or(&self.parties[0]).name()
    }

    pub(crate) fn party_named(&self, name: &str) -> Option<&Arc<dyn Party>> {
        self.parties.iter().find(|party| party.name().as_str() == name)
    }

    pub(crate) fn party(&self, name: &PartyName) -> Option<&Arc<dyn Party>> {
        self.party_named(name.as_str())
    }

    /// What hooks outside of rooms see.
    pub(crate) fn host_lobby(&self) -> HostLobby {
        HostLobby::new(Arc::clone(&self.env), Arc::clone(&self.calls))
    }

    /// The origin of an upgrade, if it is not allowed.
    pub(crate) fn foreign_origin(&self, headers: &HeaderMap) -> Option<String> {
        origin::foreign(self.allowed_origins.as_deref()?, headers)
    }

    /// What an HTTP client is told of an error without a public face.
    pub(crate) fn failure_text(&self, error: &Error) -> String {
        if self.debug_errors { error.to_string() } else { "Internal Server Error".to_owned() }
    }

    /// A place for one more connection, if there is one.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        let places = &self.connections;
        if places.taken_count.fetch_add(1, Ordering::Relaxed) >= places.max {
            places.taken_count.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(connections_max = places.max, "connection refused, the host is full");
            return None;
        }
        Some(Ticket { places: Arc::clone(places), told: None })
    }

    /// Number of WebSockets.
    pub(crate) fn connections_count(&self) -> usize {
        self.connections.taken_count.load(Ordering::Relaxed)
    }
}

impl Ticket {
    /// Ends, by its error, when the place is free again.
    pub(crate) fn told(&mut self) -> oneshot::Receiver<Infallible> {
        let (told, gone) = oneshot::channel();
        self.told = Some(told);
        gone
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.places.taken_count.fetch_sub(1, Ordering::Relaxed);
    }
}
