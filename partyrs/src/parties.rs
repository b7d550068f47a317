//! The way from one room to another.

use std::any::{TypeId, type_name};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::address::{NameError, PartyName, RoomAddress, RoomId};
use crate::handle::RoomHandle;
use crate::seam::RoomHost;
use crate::server::PartyServer;

/// The parties of the host; got by [`Room::parties`](crate::Room::parties) and
/// [`Lobby::parties`](crate::Lobby::parties).
///
/// # Examples
///
/// ```
/// # use partyrs::prelude::*;
/// # struct Seats { free: u32 }
/// # struct Desk;
/// # impl PartyServer for Seats {
/// #     type Message = Frame;
/// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Seats { free: 3 }) }
/// # }
/// # impl PartyServer for Desk {
/// #     type Message = Frame;
/// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Desk) }
/// async fn on_message(&mut self, room: &Room, sender: &Connection, _: Frame) -> Result<()> {
///     let seats = room.parties().party::<Seats>("seats")?.room("hall-1")?;
///     let free = seats.run(async |seats, _| Ok(seats.free)).await?;
///     sender.send(format!("{free} seats are free"))?;
///     Ok(())
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct Parties {
    host: Arc<dyn RoomHost>,
}

/// One party of the host, served by `S`.
pub struct PartyHandle<S> {
    party: PartyName,
    host: Arc<dyn RoomHost>,
    server: PhantomData<fn() -> S>,
}

/// There is no such party.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PartyError {
    /// The host has no party of this name.
    #[error("the host has no party `{0}`")]
    Unknown(String),
    /// The host has ended, and its parties with it.
    #[error("the host has ended, its parties are unavailable")]
    Unavailable,
    /// The party is served by another type.
    #[error("party `{party}` is served by {served_by}, not by {asked}")]
    OtherServer {
        /// The party's name.
        party: PartyName,
        /// The type that serves it.
        served_by: &'static str,
        /// The type that was asked for.
        asked: &'static str,
    },
}

impl Parties {
    pub(crate) fn new(host: Arc<dyn RoomHost>) -> Self {
        Self { host }
    }

    /// The party `name`, which `S` serves.
    ///
    /// # Errors
    ///
    /// [`PartyError`] if the host has no such party, another type serves it, or the host has ended.
    pub fn party<S: PartyServer>(&self, name: &str) -> Result<PartyHandle<S>, PartyError> {
        let party = PartyName::new(name).map_err(|_| PartyError::Unknown(name.to_owned()))?;
        let (server, served_by) = self.host.server_of(&party)?;
        if server != TypeId::of::<S>() {
            return Err(PartyError::OtherServer { party, served_by, asked: type_name::<S>() });
        }
        Ok(PartyHandle { party, host: Arc::clone(&self.host), server: PhantomData })
    }
}

impl<S: PartyServer> PartyHandle<S> {
    /// The party's name.
    #[must_use]
    pub fn name(&self) -> &PartyName {
        &self.party
    }

    /// The room `id` of this party; using the handle opens it if it is closed.
    ///
    /// # Errors
    ///
    /// [`NameError::Room`] if `id` is empty or longer than 1,024 bytes.
    pub fn room(&self, id: impl AsRef<str>) -> Result<RoomHandle<S>, NameError> {
        let room = RoomId::new(id.as_ref())?;
        let address = RoomAddress::new(self.party.clone(), room);
        Ok(RoomHandle::new(address, Arc::clone(&self.host)))
    }
}

impl<S> Clone for PartyHandle<S> {
    fn clone(&self) -> Self {
        Self { party: self.party.clone(), host: Arc::clone(&self.host), server: PhantomData }
    }
}

impl fmt::Debug for Parties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parties")
    }
}

impl<S> fmt::Debug for PartyHandle<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartyHandle({})", self.party)
    }
}
