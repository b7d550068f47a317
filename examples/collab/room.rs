//! One room of the collab example: who is in it, and where each pointer is.
//!
//! Presence outlives the value that keeps it, and that is the difficulty. Users are stored, so
//! that a room which starts again still knows them; but a crash of the program, or a commit that
//! fails, runs no `on_close`, and then somebody is stored who has gone. So `on_start` compares
//! what is stored with who is connected.

use std::collections::BTreeMap;

use partyrs::prelude::*;
use serde::{Deserialize, Serialize};

const NAME_CHARS_MAX: usize = 40;

/// The server of one room.
pub(crate) struct Collab {
    users: BTreeMap<ConnectionId, User>,
}

/// What a client may send; `impl AskHandler for Collab` answers it.
#[derive(Debug, FromFrame, Dispatch)]
#[frame(rename_all = "kebab-case")]
pub(crate) enum Ask {
    /// I am here, and this is my name; again, to change it.
    Join { name: Name },
    /// My pointer is here.
    Cursor(Point),
}

/// What the room tells: `State` to each who comes, `Error` to whom it refuses something,
/// `Cursor` to everyone but its owner, the others to everyone.
#[derive(IntoFrame)]
#[frame(rename_all = "kebab-case")]
pub(crate) enum Tell<'a> {
    State { users: Vec<&'a User> },
    UserJoined { user: &'a User },
    Cursor { id: &'a str, x: f64, y: f64 },
    UserLeft { id: &'a str },
    Error { error: &'a str },
}

/// Somebody who has joined.
#[derive(Debug, Serialize)]
pub(crate) struct User {
    id: String,
    name: String,
    /// `None` until the pointer has been moved, and again after a restart: it is not stored.
    cursor: Option<Point>,
}

/// In whatever unit the clients agree on; the page sends fractions of its drawing area.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Point {
    x: f64,
    y: f64,
}

/// 1 to 40 characters, without white space around them.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Name(String);

impl PartyServer for Collab {
    type Message = Ask;

    async fn on_start(room: &Room) -> Result<Self> {
        let mut users = BTreeMap::new();
        for (key, name) in room.storage().list::<String>(List::prefix(USERS)).await? {
            let id = ConnectionId::new(&key[USERS.len()..]);
            if room.connection(&id).is_some() {
                users.insert(id.clone(), User { id: id.to_string(), name, cursor: None });
            } else {
                room.storage().delete(key);
                room.broadcast(Tell::UserLeft { id: id.as_str() })?;
            }
        }
        Ok(Self { users })
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        connection.send(Tell::State { users: self.users.values().collect() })?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, ask: Ask) -> Result<()> {
        ask.dispatch(self, room, sender).await
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        // A client that reconnects keeps its id, and its new socket may be here before the old one
        // is known to be lost: then nobody has left.
        if close.last_of_id && self.users.remove(connection.id()).is_some() {
            room.storage().delete(key(connection.id()));
            room.broadcast(Tell::UserLeft { id: connection.id().as_str() })?;
        }
        Ok(())
    }
}

impl AskHandler for Collab {
    async fn join(&mut self, room: &Room, sender: &Connection, Name(name): Name) -> Result<()> {
        room.storage().put(key(sender.id()), &name)?;
        let cursor = self.users.remove(sender.id()).and_then(|user| user.cursor);
        let user = User { id: sender.id().to_string(), name, cursor };
        room.broadcast(Tell::UserJoined { user: &user })?;
        self.users.insert(sender.id().clone(), user);
        Ok(())
    }

    /// Stores nothing: where a pointer was is of no use to anybody after a restart.
    async fn cursor(&mut self, room: &Room, sender: &Connection, point: Point) -> Result<()> {
        let Some(user) = self.users.get_mut(sender.id()) else {
            sender.send(Tell::Error { error: "join first, to say who you are" })?;
            return Ok(());
        };
        room.broadcast_except(Tell::Cursor { id: &user.id, x: point.x, y: point.y }, &[sender.id()])?;
        user.cursor = Some(point);
        Ok(())
    }
}

/// Before the id of a user, the key under which the name is stored.
const USERS: &str = "user:";

fn key(id: &ConnectionId) -> String {
    format!("{USERS}{id}")
}

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let name = name.trim();
        match name.chars().count() {
            0 => Err("must not be empty".into()),
            1..=NAME_CHARS_MAX => Ok(Self(name.to_owned())),
            chars_count => Err(format!("{chars_count} characters are over the limit of {NAME_CHARS_MAX}")),
        }
    }
}
