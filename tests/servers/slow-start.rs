//! A server for `tests/js` whose rooms take 6 s to start, longer than `partysocket` waits for a
//! 101. Who joins is told how often a room of this process has been started; a request too.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::Host;

const START: Duration = Duration::from_secs(6);

/// Starts of all rooms of this process, begun.
static STARTS_COUNT: AtomicUsize = AtomicUsize::new(0);

struct SlowStart;

#[derive(IntoFrame)]
#[frame(rename_all = "kebab-case")]
enum Tell {
    Welcome { starts: usize },
}

#[tokio::main]
async fn main() -> partyrs_runtime::Result {
    Host::builder().party::<SlowStart>("main").build()?.serve_from_env().await
}

impl PartyServer for SlowStart {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        STARTS_COUNT.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(START).await;
        Ok(SlowStart)
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        connection.send(Tell::Welcome { starts: STARTS_COUNT.load(Ordering::Relaxed) })?;
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        let starts = STARTS_COUNT.load(Ordering::Relaxed);
        Ok(Response::text(format!("{starts} starts, {} connections", room.connections_count())))
    }
}
