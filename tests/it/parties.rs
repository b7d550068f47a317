//! Parties that several tests use.

use partyrs::prelude::*;

/// Sends every message to all in the room, its sender included.
pub(crate) struct Everybody;

impl PartyServer for Everybody {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Everybody)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, frame: Frame) -> Result<()> {
        room.broadcast(frame)?;
        Ok(())
    }
}
