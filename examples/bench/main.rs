//! What `cargo xtask bench` measures: rooms that send everything back, without storage.
//!
//! ```sh
//! cargo run --release --bin bench -- 9001 1
//! ```
//!
//! The first argument is the port, the second the number of shards.
//! `/parties/main/:room` sends each message to all in the room, its sender included;
//! `/parties/echo/:room` sends it back; a plain request is answered `hello`.

use std::net::SocketAddr;
use std::sync::Arc;

use partyrs::prelude::*;
use partyrs::storage::MemoryEngine;
use partyrs_runtime::Host;

struct Everybody;

struct Echo;

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    let mut numbers = std::env::args().skip(1).map(|argument| argument.parse::<u16>());
    let (Some(Ok(port)), Some(Ok(shards))) = (numbers.next(), numbers.next()) else {
        eprintln!("usage: bench PORT SHARDS");
        std::process::exit(2);
    };
    Host::builder()
        .party::<Everybody>("main")
        .party::<Echo>("echo")
        .storage(Arc::new(MemoryEngine::new()))
        .config(|config| config.shards = shards.into())
        .build()?
        .serve(SocketAddr::from(([127, 0, 0, 1], port)))
        .await
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

    async fn on_request(&mut self, _: &Room, _: Request) -> Result<Response> {
        Ok(Response::text("hello"))
    }
}

impl PartyServer for Echo {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Echo)
    }

    async fn on_message(&mut self, _: &Room, sender: &Connection, frame: Frame) -> Result<()> {
        sender.send(frame)?;
        Ok(())
    }
}
