//! What answers outside the rooms: the trait that a user implements once for a host.

use std::future::Future;
use std::sync::Arc;

use crate::cron::Cron;
use crate::env::{Env, MissingEnv};
use crate::error::Result;
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
