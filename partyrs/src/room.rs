//! A room, as its hooks see it.
//!
//! A hook gets `&Room` and shares it with nobody: the list of connections changes only
//! between hooks. What a hook asks for is collected in the ledger and carried out by the host.

use std::future::Future;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use crate::address::{PartyName, RoomAddress, RoomId};
use crate::body::RoomBody;
use crate::connection::{Connection, ConnectionId, ConnectionKey, Members};
use crate::env::{Env, MissingEnv};
use crate::error::Result;
use crate::frame::{EncodeError, IntoFrame};
use crate::handle::RoomHandle;
use crate::ledger::Ledger;
use crate::parties::Parties;
use crate::response::Response;
use crate::seam::{Effect, RoomHost};
use crate::server::PartyServer;
use crate::storage::Storage;

/// One room of a party: its connections, its storage, its output.
///
/// A hook that waits makes its room wait: long work is given to [`Room::spawn`].
#[derive(Debug)]
pub struct Room {
    address: RoomAddress,
    env: Arc<Env>,
    host: Arc<dyn RoomHost>,
    ledger: Arc<Ledger>,
    /// Changed by the host, between hooks.
    members: Members,
}

impl Room {
    pub(crate) fn new(
        address: RoomAddress,
        env: Arc<Env>,
        host: Arc<dyn RoomHost>,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self { address, env, host, ledger, members: Members::default() }
    }

    /// The room's id: the percent-decoded path segment of its URL.
    #[must_use]
    pub fn id(&self) -> &RoomId {
        &self.address.room
    }

    /// The party that serves it.
    #[must_use]
    pub fn party(&self) -> &PartyName {
        &self.address.party
    }

    /// Party and id.
    #[must_use]
    pub fn address(&self) -> &RoomAddress {
        &self.address
    }

    /// The value of type `T` that the program gave to its host.
    ///
    /// # Errors
    ///
    /// [`MissingEnv`] if it gave none.
    pub fn env<T: Send + Sync + 'static>(&self) -> Result<&T, MissingEnv> {
        self.env.get()
    }

    /// What time it is, by the clock of the host: the machine's, or one that a test moves. The
    /// times of alarms are compared with it.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.host.now()
    }

    /// The room's storage.
    #[must_use]
    pub fn storage(&self) -> Storage<'_> {
        Storage::of(self)
    }

    /// The newest open connection with this id; several may have it.
    #[must_use]
    pub fn connection(&self, id: &ConnectionId) -> Option<&Connection> {
        self.members.with_id(id).rev().find(|connection| connection.is_open())
    }

    /// All open connections, in order of arrival.
    pub fn connections(&self) -> impl Iterator<Item = &Connection> {
        self.members.iter().filter(|connection| connection.is_open())
    }

    /// The open connections that carry `tag`, in order of arrival. Looks at all of them.
    pub fn connections_tagged<'a>(&'a self, tag: &'a str) -> impl Iterator<Item = &'a Connection> {
        self.connections().filter(move |connection| connection.tags().iter().any(|other| other == tag))
    }

    /// Number of open connections.
    #[must_use]
    pub fn connections_count(&self) -> usize {
        self.ledger.open_count()
    }

    /// Sends `message` to every open connection of the room.
    ///
    /// The message is encoded once; the connections share its bytes. It goes to those that
    /// are open now, whenever it leaves, behind the commits that it follows. Returns for how
    /// many connections it is meant. One whose outbox is full (`outbox_bytes_max`, default
    /// 4 MiB) is closed with 1013; the others are not held up by it.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if `message` has no frame form; then nobody gets it.
    pub fn broadcast(&self, message: impl IntoFrame) -> Result<usize, EncodeError> {
        let when_behind = message.when_behind();
        let frame = message.into_frame()?;
        Ok(self.ledger.broadcast(Effect::Broadcast { frame, except: Vec::new(), when_behind }, 0))
    }

    /// Sends `message` to every open connection except those with an id in `except`; all
    /// connections of such an id are left out.
    ///
    /// As [`Room::broadcast`] in everything else.
    ///
    /// # Errors
    ///
    /// [`EncodeError`] if `message` has no frame form; then nobody gets it.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::{prelude::*, testing::TestRoom};
    /// # struct Table;
    /// # impl PartyServer for Table {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Table) }
    /// async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
    ///     room.broadcast_except(text, &[sender.id()])?;
    ///     Ok(())
    /// }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// let mut table = TestRoom::<Table>::new("lobby");
    /// let (ada, bob) = (table.join().await?, table.join().await?);
    /// table.send(&ada, "hi").await?;
    /// assert_eq!(bob.received(), [Frame::text("hi")]);
    /// assert_eq!(ada.received(), []);
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast_except(
        &self,
        message: impl IntoFrame,
        except: &[&ConnectionId],
    ) -> Result<usize, EncodeError> {
        let when_behind = message.when_behind();
        let frame = message.into_frame()?;
        let excepted = except.iter().flat_map(|id| self.members.with_id(id));
        let mut keys: Vec<ConnectionKey> = excepted.map(Connection::key).collect();
        keys.sort_unstable();
        keys.dedup();
        let is_open = |key: &&ConnectionKey| self.members.get(**key).is_some_and(Connection::is_open);
        let open_count = keys.iter().filter(is_open).count();
        Ok(self.ledger.broadcast(Effect::Broadcast { frame, except: keys, when_behind }, open_count))
    }

    /// Runs `task` beside the room: calls to other services, timers, long work.
    ///
    /// It is output: it starts when the commits that it follows are on disk, and never if
    /// the hook fails after a write that came before it. When the server value ends (restart,
    /// failed commit, shutdown) it is dropped where it waits; until it has ended the room is
    /// not idle. To come back into the room it keeps a [`RoomHandle`]. An `Err` goes to
    /// [`on_error`](PartyServer::on_error); a panic is a panic of the room.
    ///
    /// It runs on the thread of the room: work that does not wait belongs on a thread of its
    /// own (`tokio::task::spawn_blocking`). There is no limit on the tasks of a room, and
    /// nothing but the task itself limits its time.
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # struct Bot { answers: u32 }
    /// # impl PartyServer for Bot {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Bot { answers: 0 }) }
    /// async fn on_message(&mut self, room: &Room, _: &Connection, question: String) -> Result<()> {
    ///     let bot = room.handle::<Self>();
    ///     room.spawn(async move {
    ///         let answer = ask_the_model(question).await?;
    ///         bot.run(async |server, room| {
    ///             server.answers += 1;
    ///             room.broadcast(answer)?;
    ///             Ok(())
    ///         })
    ///         .await?;
    ///         Ok(())
    ///     });
    ///     Ok(())
    /// }
    /// # }
    /// # async fn ask_the_model(question: String) -> Result<String> { Ok(question) }
    /// ```
    pub fn spawn(&self, task: impl Future<Output = Result<()>> + Send + 'static) {
        self.ledger.emit(Effect::Spawn(Box::pin(task)));
    }

    /// A response whose body the room feeds: progress, or events for clients without a
    /// WebSocket.
    ///
    /// Return the response from `on_request`, with a status and headers of your own if you
    /// like, and keep the [`RoomBody`] in the server: every hook may write to it, and what it
    /// writes waits for commits as all output does. Dropping it ends the body. If the response
    /// is dropped instead, the body is closed.
    ///
    /// How many bodies are open nothing but the number of HTTP connections limits.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::{prelude::*, testing::TestRoom};
    /// # use partyrs::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
    /// struct Score {
    ///     feeds: Vec<RoomBody>,
    /// }
    ///
    /// impl PartyServer for Score {
    ///     type Message = String;
    ///
    ///     async fn on_start(_: &Room) -> Result<Self> {
    ///         Ok(Score { feeds: Vec::new() })
    ///     }
    ///
    ///     /// `new EventSource("/party/final")` hears every goal.
    ///     async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
    ///         let (feed, response) = room.body();
    ///         self.feeds.retain(RoomBody::is_open);
    ///         self.feeds.push(feed);
    ///         Ok(response
    ///             .with_header(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"))
    ///             .with_header(CACHE_CONTROL, HeaderValue::from_static("no-cache")))
    ///     }
    ///
    ///     async fn on_message(&mut self, room: &Room, _: &Connection, goal: String) -> Result<()> {
    ///         let event = format!("data: {}\n\n", goal.replace(['\r', '\n'], " "));
    ///         for feed in &self.feeds {
    ///             feed.write(room, event.clone())?;
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// # use http_body_util::BodyExt;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let mut room = TestRoom::<Score>::new("final");
    /// # let ada = room.join().await?;
    /// # let request = partyrs::http::Request::get("/party/final").body("")?;
    /// # let mut body = room.request(request).await?.into_http().into_body();
    /// # room.send(&ada, "1:0").await?;
    /// # let heard = body.frame().await.unwrap().map_err(Error::new)?;
    /// # assert_eq!(heard.into_data().unwrap(), "data: 1:0\n\n");
    /// # Ok(())
    /// # }
    /// ```
    #[must_use = "dropping the body ends it, dropping the response closes it"]
    pub fn body(&self) -> (RoomBody, Response) {
        RoomBody::open(self.address.clone(), &self.ledger)
    }

    /// An address of this room that outlives the hook; `S` is the type that serves it.
    #[must_use]
    pub fn handle<S: PartyServer>(&self) -> RoomHandle<S> {
        RoomHandle::new(self.address.clone(), Arc::clone(&self.host))
    }

    /// The parties of the host: the way to other rooms.
    #[must_use]
    pub fn parties(&self) -> Parties {
        Parties::new(Arc::clone(&self.host))
    }

    pub(crate) fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    pub(crate) fn ledger_arc(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Whether this is the opening of a room that `ledger` belongs to.
    pub(crate) fn is_of(&self, ledger: &Weak<Ledger>) -> bool {
        std::ptr::eq(ledger.as_ptr(), Arc::as_ptr(&self.ledger))
    }

    pub(crate) fn host(&self) -> &dyn RoomHost {
        &*self.host
    }

    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn members_mut(&mut self) -> &mut Members {
        &mut self.members
    }
}
