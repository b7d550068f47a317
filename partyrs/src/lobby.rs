//! What answers outside the rooms: the trait that a user implements once for a host.

use std::future::Future;
use std::sync::Arc;

use crate::cron::Cron;
use crate::env::{Env, MissingEnv};
use crate::error::Result;
use crate::lobby_socket::LobbySocket;
use crate::parties::Parties;
use crate::request::Request;
use crate::response::Response;
use crate::seam::RoomHost;

/// What answers outside the rooms, one value for the whole host: a webhook that calls a room, a
/// login, a page that is made when it is asked for, work that is due every night.
///
/// The hooks take `&self` and run beside each other, on the program's own runtime and not on
/// that of the rooms. Nothing here is stored and nothing is a transaction: what must last
/// belongs to a room, which every hook reaches by [`HostLobby::parties`]. A hook that blocks
/// its thread holds up a thread of the runtime that accepts connections.
///
/// Each hook has a default that does nothing, so write only those that you need.
///
/// # Examples
///
/// ```
/// use partyrs::prelude::*;
///
/// struct Chat;
///
/// impl PartyServer for Chat {
///     type Message = String;
///
///     async fn on_start(_: &Room) -> Result<Self> {
///         Ok(Chat)
///     }
/// }
///
/// struct Site {
///     secret: String,
/// }
///
/// impl LobbyServer for Site {
///     async fn on_fetch(&self, request: Request, lobby: &HostLobby) -> Result<Option<Response>> {
///         if request.uri().path() != "/deployed" {
///             return Ok(None); // answered 404
///         }
///         if request.header("x-secret") != Some(&self.secret) {
///             return Err(Error::status(403, "wrong secret"));
///         }
///         let team = lobby.parties().party::<Chat>("main")?.room("team")?;
///         team.run(async |_, room| Ok(room.broadcast("a new version is there")?)).await?;
///         Ok(Some(Response::text("told")))
///     }
/// }
/// ```
pub trait LobbyServer: Sized + Send + Sync + 'static {
    /// Called for a plain HTTP request to what is neither a room nor a static file, any method,
    /// with its whole body. `None` goes on as if there were no hook: to `404.html` or 404
    /// `Not found`. That is the default.
    ///
    /// An `Err` or a panic is answered 500 with a fixed text, or as
    /// [`Error::status`](crate::Error::status) says; so is a hook that takes longer than
    /// `hook_timeout` (default 30 s), which is dropped where it waits. A client that goes away
    /// meanwhile does not end the hook, so what it has begun in rooms it also ends. At most
    /// `fetches_max` (default 1024) run at once; others wait, and are answered 503 after 5 s.
    fn on_fetch(
        &self,
        request: Request,
        lobby: &HostLobby,
    ) -> impl Future<Output = Result<Option<Response>>> + Send {
        let _ = (request, lobby);
        async { Ok(None) }
    }

    /// Called for a WebSocket that is asked for at what is no room: the client of another
    /// protocol, or a proxy to a room under an address of its own.
    ///
    /// [`LobbySocket::accept`] answers 101. Who returns `Ok` without it has not taken the client:
    /// the request goes on as a plain one, to static files, `on_fetch` and 404. That is the
    /// default. To refuse, fail before it: [`Error::status`](crate::Error::status) is answered so,
    /// [`Error::close`](crate::Error::close) is a 101 and that Close, the only refusal that
    /// `partysocket` can see, and any other `Err`, a panic, or more time than `hook_timeout`
    /// (default 30 s) is 500 with a fixed text. Pages of other origins
    /// (`Builder::allowed_origins`) do not come this far.
    ///
    /// **The hook is the life of the WebSocket**: it may run for days, and when it ends the client is
    /// closed, with 1000 after `Ok`, as [`Error::close`](crate::Error::close) says, else with 1011.
    /// Dropping the [`Socket`](crate::Socket) before that closes nothing. An `Err` or a panic is
    /// logged; not so the [`SocketError`](crate::SocketError) of a send to a client that has left.
    ///
    /// When the client has left, [`Socket::next`](crate::Socket::next) ends, and the hook has
    /// `hook_timeout` to end too; then it is dropped where it waits. While 64 KiB wait for `next`
    /// nothing more is read, so a client that has sent more than that and leaves is noticed only
    /// when the hook reads on. The client has the limits and pings of the host: a message over
    /// `message_bytes_max` closes it with 1009, and one for whom more than
    /// `outbox_bytes_max` waits gets what waits, and 1013. It counts for `connections_max` from
    /// when the hook is asked. A shutdown closes with 1012, and waits for the hook as it
    /// waits for anything, up to `shutdown_grace`.
    ///
    /// # Examples
    ///
    /// `/live/<room>` leads to a room whose own address nobody needs to know. The room sees one
    /// client for each, by [`RoomHandle::socket`](crate::RoomHandle::socket):
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # struct Chat;
    /// # impl PartyServer for Chat {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Chat) }
    /// # }
    /// struct Site;
    ///
    /// impl LobbyServer for Site {
    ///     async fn on_socket(&self, socket: LobbySocket, lobby: &HostLobby) -> Result<()> {
    ///         let Some(room) = socket.head().uri().path().strip_prefix("/live/") else {
    ///             return Ok(()); // not ours
    ///         };
    ///         let mut room = lobby.parties().party::<Chat>("main")?.room(room)?.socket().await?;
    ///         let mut client = socket.accept().await?;
    ///         loop {
    ///             tokio::select! {
    ///                 said = client.next() => match said {
    ///                     Some(frame) => drop(room.send(frame)), // who has closed ends `next` too
    ///                     None => return Ok(()), // the room hears 1001
    ///                 },
    ///                 heard = room.next() => match heard {
    ///                     Some(frame) => drop(client.send(frame)),
    ///                     None => return Err(Error::close(1001, "the room has closed")),
    ///                 },
    ///             }
    ///         }
    ///     }
    /// }
    /// ```
    fn on_socket(&self, socket: LobbySocket, lobby: &HostLobby) -> impl Future<Output = Result<()>> + Send {
        let _ = (socket, lobby);
        async { Ok(()) }
    }

    /// Called when a cron of this host is due: `Builder::cron` gives it its name and its times.
    ///
    /// Once for each due time. A cron that still runs when it is due again is not started a
    /// second time: that time is skipped, and the log says so. There is no limit of time, since
    /// some work takes minutes. An `Err` or a panic is logged, and not tried again before the
    /// cron is due again.
    ///
    /// Times at which the host does not run are not made up for; what must happen even so is
    /// an alarm of a room. When the clock jumps forward, or the machine has slept, a cron
    /// that was due meanwhile is called once, with the last of these times. When it is set back,
    /// by less than an hour, no time is called twice. A shutdown waits for the crons that run as
    /// for anything else, up to `shutdown_grace`.
    ///
    /// # Examples
    ///
    /// ```
    /// # use partyrs::prelude::*;
    /// # struct Chat;
    /// # impl PartyServer for Chat {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Chat) }
    /// # }
    /// struct Site;
    ///
    /// impl LobbyServer for Site {
    ///     async fn on_cron(&self, cron: &Cron, lobby: &HostLobby) -> Result<()> {
    ///         match &*cron.name {
    ///             "good-morning" => {
    ///                 let team = lobby.parties().party::<Chat>("main")?.room("team")?;
    ///                 team.broadcast("good morning").await?;
    ///                 Ok(())
    ///             }
    ///             name => Err(Error::new(format!("nobody knows the cron {name}"))),
    ///         }
    ///     }
    /// }
    /// ```
    fn on_cron(&self, cron: &Cron, lobby: &HostLobby) -> impl Future<Output = Result<()>> + Send {
        let _ = (cron, lobby);
        async { Ok(()) }
    }
}

/// What a hook outside of all rooms sees: the host's env, and the way to its rooms.
///
/// [`Lobby`](crate::Lobby) is what a before-hook sees, in front of one room.
#[derive(Clone, Debug)]
pub struct HostLobby {
    env: Arc<Env>,
    host: Arc<dyn RoomHost>,
}

impl HostLobby {
    /// What a hook outside of rooms sees; for hosts.
    #[must_use]
    pub fn new(env: Arc<Env>, host: Arc<dyn RoomHost>) -> Self {
        Self { env, host }
    }

    /// The parties of the host: the way to their rooms. Using a handle opens its room.
    #[must_use]
    pub fn parties(&self) -> Parties {
        Parties::new(Arc::clone(&self.host))
    }

    /// The value of type `T` that the program gave to its host.
    ///
    /// # Errors
    ///
    /// [`MissingEnv`] if it gave none.
    pub fn env<T: Send + Sync + 'static>(&self) -> Result<&T, MissingEnv> {
        self.env.get()
    }
}
