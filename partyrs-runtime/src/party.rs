//! A registered party, and the only place where its static hooks are called.
//!
//! Here the user's type is erased: once per party, never per message.

use std::any::{TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use partyrs::seam::panic_error;
use partyrs::{Admission, Head, Lobby, PartyName, PartyServer, RoomAddress};

use crate::config::{Config, ConfigError};
use crate::mailbox::Mailbox;
use crate::pulse::Pulse;
use crate::registry::Status;
use crate::room::RoomTask;
use crate::state::State;

/// What a room is opened with.
pub(crate) struct RoomSetup {
    pub(crate) address: RoomAddress,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) status: Arc<Status>,
    pub(crate) state: Arc<State>,
}

/// A server type under its name.
#[async_trait]
pub(crate) trait Party: fmt::Debug + Send + Sync {
    fn name(&self) -> &PartyName;

    /// The type that serves it, and its name.
    fn server(&self) -> (TypeId, &'static str);

    /// Takes the limits of the host, but for those that the party has of its own.
    fn configure(&mut self, host: &Config) -> Result<(), ConfigError>;

    /// The limits of its rooms and connections.
    fn config(&self) -> &Arc<Config>;

    /// Whether plain requests come to their hook before their body.
    fn streams_bodies(&self) -> bool;

    /// Starts the task of a room on the shard that this is called on.
    fn open(&self, setup: RoomSetup, pulse: &Rc<Pulse>);

    async fn before_connect(&self, head: &mut Head, lobby: &Lobby) -> partyrs::Result<Admission>;

    async fn before_request(&self, head: &mut Head, lobby: &Lobby) -> partyrs::Result<Admission>;
}

/// The party that `S` serves.
pub(crate) struct Registered<S> {
    name: PartyName,
    config: Arc<Config>,
    server: PhantomData<fn() -> S>,
}

impl<S: PartyServer> Registered<S> {
    pub(crate) fn new(name: PartyName) -> Self {
        Self { name, config: Arc::default(), server: PhantomData }
    }
}

#[async_trait]
impl<S: PartyServer> Party for Registered<S> {
    fn name(&self) -> &PartyName {
        &self.name
    }

    fn server(&self) -> (TypeId, &'static str) {
        (TypeId::of::<S>(), type_name::<S>())
    }

    fn configure(&mut self, host: &Config) -> Result<(), ConfigError> {
        self.config = Arc::new(host.of_party(&self.name, &S::OPTIONS)?);
        Ok(())
    }

    fn config(&self) -> &Arc<Config> {
        &self.config
    }

    fn streams_bodies(&self) -> bool {
        S::OPTIONS.stream_bodies
    }

    fn open(&self, setup: RoomSetup, pulse: &Rc<Pulse>) {
        let config = Arc::clone(&self.config);
        tokio::task::spawn_local(RoomTask::<S>::run(setup, config, Rc::clone(pulse)));
    }

    async fn before_connect(&self, head: &mut Head, lobby: &Lobby) -> partyrs::Result<Admission> {
        // Called in a future: a hook may be a plain function that panics before it returns one.
        let hook = AssertUnwindSafe(async { S::on_before_connect(head, lobby).await });
        hook.catch_unwind().await.unwrap_or_else(|panic| Err(panic_error(&*panic)))
    }

    async fn before_request(&self, head: &mut Head, lobby: &Lobby) -> partyrs::Result<Admission> {
        // Called in a future: a hook may be a plain function that panics before it returns one.
        let hook = AssertUnwindSafe(async { S::on_before_request(head, lobby).await });
        hook.catch_unwind().await.unwrap_or_else(|panic| Err(panic_error(&*panic)))
    }
}

impl<S> fmt::Debug for Registered<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registered").field("name", &self.name).finish()
    }
}
