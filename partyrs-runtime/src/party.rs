//! A registered party, and the only place where its static hooks are called.
//!
//! Here the user's type is erased: once per party, never per message.

use std::any::{TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::FutureExt;
use partyrs::seam::panic_error;
use partyrs::{Admission, Head, Lobby, PartyName, PartyServer, Result, RoomAddress};

use crate::host::State;
use crate::mailbox::Mailbox;
use crate::room::RoomTask;

/// What a room is opened with.
pub(crate) struct RoomSetup {
    pub(crate) address: RoomAddress,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) state: Arc<State>,
}

/// A server type under its name.
#[async_trait]
pub(crate) trait Party: fmt::Debug + Send + Sync {
    fn name(&self) -> &PartyName;

    /// The type that serves it, and its name.
    fn server(&self) -> (TypeId, &'static str);

    /// Starts the task of a room on the shard that this is called on.
    fn open(&self, setup: RoomSetup);

    async fn before_connect(&self, head: &mut Head, lobby: &Lobby) -> Result<Admission>;

    async fn before_request(&self, head: &mut Head, lobby: &Lobby) -> Result<Admission>;
}

/// The party that `S` serves.
pub(crate) struct Registered<S> {
    name: PartyName,
    server: PhantomData<fn() -> S>,
}

impl<S: PartyServer> Registered<S> {
    pub(crate) fn new(name: PartyName) -> Self {
        Self { name, server: PhantomData }
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

    fn open(&self, setup: RoomSetup) {
        tokio::task::spawn_local(RoomTask::<S>::run(setup));
    }

    async fn before_connect(&self, head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        // Called in a future: a hook may be a plain function that panics before it returns one.
        let hook = AssertUnwindSafe(async { S::on_before_connect(head, lobby).await });
        hook.catch_unwind().await.unwrap_or_else(|panic| Err(panic_error(&*panic)))
    }

    async fn before_request(&self, head: &mut Head, lobby: &Lobby) -> Result<Admission> {
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
