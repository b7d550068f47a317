//! Parties that several tests use.

use partyrs::prelude::*;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use partyrs_runtime::{Config, Host};
use tokio::sync::mpsc;

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

/// Does what its clients say, and reports what its hooks saw.
///
/// A client says it in words: `close 4001 bye` closes the sender. What is no such order
/// goes to everybody, text or not.
pub(crate) struct Witness {
    reports: Reports,
}

/// Where a [`Witness`] reports to; given to the host by `.env(..)`.
#[derive(Clone)]
pub(crate) struct Reports(mpsc::UnboundedSender<String>);

/// What a [`Witness`] has reported.
pub(crate) struct Seen(mpsc::UnboundedReceiver<String>);

pub(crate) fn reports() -> (Reports, Seen) {
    let (reports, seen) = mpsc::unbounded_channel();
    (Reports(reports), Seen(seen))
}

/// A host of witnesses, and what they report.
pub(crate) async fn witnesses(change: impl FnOnce(&mut Config)) -> (TestHost, Seen) {
    let (reports, seen) = reports();
    let host = Host::builder().party::<Witness>("main").env(reports).config(change);
    (TestHost::of(host).await, seen)
}

/// A member of the room `room` with this id, whose `on_connect` has ended.
pub(crate) async fn member(host: &TestHost, room: &str, id: &str) -> TestClient {
    let mut client = host.connect(&format!("/party/{room}?_pk={id}")).await;
    assert_eq!(client.next_text().await, "welcome");
    client
}

impl Reports {
    pub(crate) fn add(&self, report: impl Into<String>) {
        // A test that has ended does not want to know.
        let _ = self.0.send(report.into());
    }
}

impl Seen {
    pub(crate) async fn next(&mut self) -> String {
        soon(self.0.recv()).await.expect("a host that lives")
    }

    /// What has been reported and not been asked for.
    pub(crate) fn all(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.0.try_recv().ok()).collect()
    }
}

impl PartyServer for Witness {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        Ok(Self { reports: room.env::<Reports>()?.clone() })
    }

    async fn on_connect(
        &mut self,
        _: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        connection.send("welcome")?;
        if context.head().query("close").is_some() {
            connection.close(4000, "on_connect")?;
        }
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, frame: Frame) -> Result<()> {
        let words: Vec<&str> = frame.as_text().unwrap_or_default().splitn(3, ' ').collect();
        match words[..] {
            ["close"] => sender.close_without_code(),
            ["close", code, reason] => {
                if let Err(error) = sender.close(code.parse()?, reason) {
                    sender.send(error.to_string())?;
                }
            }
            ["burst-and-close", count] => {
                for number in 0..count.parse()? {
                    sender.send(format!("{number}"))?;
                }
                sender.close(4000, "burst")?;
                sender.close(4001, "a second time")?;
                sender.send("after the close")?;
            }
            ["close-all-but-me"] => {
                for other in room.connections().filter(|other| other.key() != sender.key()) {
                    other.close(4000, "all but one")?;
                }
                let count = room.broadcast("you alone")?;
                sender.send(format!("{count}"))?;
            }
            ["others", text] => {
                let count = room.broadcast_except(text, &[sender.id()])?;
                sender.send(format!("{count}"))?;
            }
            ["to", id, text] => match room.connection(&ConnectionId::new(id)) {
                Some(connection) => connection.send(text)?,
                None => sender.send("nobody")?,
            },
            ["who"] => sender.send(ids(room.connections()))?,
            ["tagged", tag] => sender.send(ids(room.connections_tagged(tag)))?,
            ["put", key, value] => {
                room.storage().put(key, value)?;
                room.broadcast(format!("put {key}"))?;
            }
            ["put-and-close", key] => {
                room.storage().put(key, "x")?;
                sender.send("before the close")?;
                sender.close(4000, "behind the commit")?;
            }
            ["put-and-fail", key] => {
                room.storage().put(key, "x")?;
                room.broadcast("never sent")?;
                return Err(Error::new("as told"));
            }
            ["put-and-refuse", key] => {
                room.storage().put(key, "x")?;
                room.broadcast("never sent")?;
                return Err(Error::close(4003, "refused"));
            }
            ["get", key] => {
                let value: Option<String> = room.storage().get(key).await?;
                sender.send(value.unwrap_or_else(|| "none".to_owned()))?;
            }
            ["panic"] => panic!("as told"),
            _ => drop(room.broadcast(frame)?),
        }
        Ok(())
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        // It is gone already: this does nothing.
        connection.close(4000, "in on_close")?;
        connection.send("in on_close")?;
        if close.reason == "take bob along" {
            for other in room.connections_tagged("bob") {
                other.close(4000, "taken along")?;
            }
        }
        let clean = if close.was_clean { "clean" } else { "unclean" };
        let last = if close.last_of_id { "last" } else { "not last" };
        let (id, code, reason) = (connection.id(), close.code, &close.reason);
        self.reports.add(format!("{id} closed: {code} {reason:?} {clean}, {last}"));
        Ok(())
    }

    async fn on_error(&mut self, _: &Room, failure: &Failure) {
        let id = failure.connection.as_ref().map_or("nobody", ConnectionId::as_str);
        self.reports.add(format!("{} of {id} failed: {}", failure.hook, failure.error));
    }
}

fn ids<'a>(connections: impl Iterator<Item = &'a Connection>) -> String {
    connections.map(|connection| connection.id().as_str()).collect::<Vec<_>>().join(",")
}
