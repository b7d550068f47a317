//! A server for `tests/js` with WebSockets outside of its rooms: `/live/:room` leads to a room by
//! another address, `/shut` refuses with a Close, and other paths are none.

use partyrs::prelude::*;
use partyrs_runtime::Host;

/// Sends every message to all in the room.
struct Everybody;

struct Site;

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    Host::builder().party::<Everybody>("main").lobby(Site).build()?.serve_from_env().await
}

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

impl LobbyServer for Site {
    async fn on_socket(&self, socket: LobbySocket, lobby: &HostLobby) -> Result<()> {
        let path = socket.head().uri().path();
        if path == "/shut" {
            return Err(Error::close(4003, "Members only"));
        }
        let Some(room) = path.strip_prefix("/live/") else { return Ok(()) };
        let mut room = lobby.parties().party::<Everybody>("main")?.room(room)?.socket().await?;
        let mut client = socket.accept().await?;
        loop {
            tokio::select! {
                said = client.next() => match said {
                    Some(frame) => drop(room.send(frame)),
                    None => return Ok(()),
                },
                heard = room.next() => match heard {
                    Some(frame) => drop(client.send(frame)),
                    None => return Err(Error::close(1001, "the room has closed")),
                },
            }
        }
    }
}
