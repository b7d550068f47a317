//! A host: which parties it serves, with what, and where.
//!
//! The builder collects and checks; `State` is what all requests and rooms share; `Running`
//! is what goes on until the program is told to stop.

use std::convert::Infallible;
use std::fmt;
use std::io::Write;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use http::HeaderMap;
use partyrs::seam::RoomHost;
use partyrs::storage::{EngineError, StorageEngine};
use partyrs::{Env, Error, HostLobby, LobbyServer, NameError, PartyName, PartyServer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarms::{Alarms, wake_rooms};
use crate::assets::{Assets, AssetsError, Site};
use crate::calls::Calls;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::cron::{self, CronError, CronSetting, run_crons};
use crate::event::RoomEvent;
use crate::lobby::{Given, Hooks, Lobby};
use crate::net::admin::{self, Token};
use crate::net::cors::{Cors, Policy};
use crate::net::listener::{self, StillOpen};
use crate::net::origin::{self, Origin};
use crate::net::tls::{CertificateFiles, Tls, TlsError};
use crate::party::{Party, Registered};
use crate::registry::Registry;
use crate::running::RunningHost;
use crate::service::HostService;
use crate::shutdown::{Draining, Pacer, StopSignal, Why};
use crate::storage::{OpenError, RedbEngine};

/// Descriptors that are not for connections: files, listeners, runtimes.
const DESCRIPTORS_KEPT: usize = 64;

/// How long what is cut at the end is waited for.
pub(crate) const END_PATIENCE: Duration = Duration::from_secs(2);

/// Where the host listens unless told otherwise: PartyKit's port.
const DEFAULT_ADDR: &str = "127.0.0.1:1999";

/// Where rooms are stored unless told otherwise.
const DEFAULT_DATA: &str = ".partyrs";

/// Everything that a host is made of; made by [`Host::builder`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    parties: Vec<Box<dyn Party>>,
    names: Vec<String>,
    /// What answers outside the rooms; `build` refuses more than one.
    lobbies: Vec<Arc<dyn Hooks>>,
    crons: Vec<CronSetting>,
    env: Env,
    assets: Option<Assets>,
    engine: Option<Arc<dyn StorageEngine>>,
    data: PathBuf,
    prefix: String,
    allowed_origins: Option<Vec<String>>,
    cors: Option<Cors>,
    debug_errors: bool,
    tls: Option<CertificateFiles>,
    admin: Option<SocketAddr>,
    admin_token: Option<Token>,
    config: Config,
    clock: Clock,
}

/// Parties, ready to be served: at `/parties/<name>/<room>`, and one of them at `/party/<room>` too.
///
/// # Examples
///
/// ```no_run
/// use partyrs::prelude::*;
/// use partyrs_runtime::Host;
///
/// struct Echo;
///
/// impl PartyServer for Echo {
///     type Message = String;
///
///     async fn on_start(_: &Room) -> Result<Self> {
///         Ok(Echo)
///     }
///
///     async fn on_message(&mut self, _: &Room, sender: &Connection, text: String) -> Result<()> {
///         sender.send(text)?;
///         Ok(())
///     }
/// }
///
/// #[tokio::main]
/// async fn main() -> Result<(), partyrs_runtime::HostError> {
///     Host::builder().party::<Echo>("main").build()?.serve_from_env().await
/// }
/// ```
#[derive(Debug)]
pub struct Host {
    builder: Builder,
}

/// Why a host was not built, or did not serve. The text says what to do.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum HostError {
    /// A party's name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// Two parties have one name.
    #[error("two parties are called `{0}`; give one of them another name")]
    Twice(String),
    /// There is nothing to serve.
    #[error("the host has no party; give it one with `.party::<Chat>(\"main\")`")]
    NoParty,
    /// There is more than one lobby.
    #[error("the host has {0} lobbies; call `.lobby(..)` once")]
    Lobbies(usize),
    /// A cron.
    #[error(transparent)]
    Cron(#[from] CronError),
    /// The prefix of room addresses.
    #[error(
        "prefix {0:?} must be segments of a-z, 0-9, _ and -, such as \"parties\"; the first must not be \"party\""
    )]
    Prefix(String),
    /// A page that may open WebSockets.
    #[error(
        "allowed origin {0:?} must be a scheme and a host, and a port if it is not the usual one, such as \"https://app.example\" or \"http://localhost:3000\", without a path"
    )]
    Origin(String),
    /// A page that may read answers.
    #[error(
        "CORS origin {0:?} must be a scheme and a host, and a port if it is not the usual one, such as \"https://app.example\" or \"http://localhost:3000\", without a path"
    )]
    CorsOrigin(String),
    /// A limit.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Static files.
    #[error(transparent)]
    Assets(#[from] AssetsError),
    /// There is a certificate, and no address at which it is shown.
    #[error(
        "the host has a certificate, but no address of its own to show it at; give it to the server around this host, or use `.start_at(addr)`"
    )]
    TlsNowhere,
    /// The address in the environment is none.
    #[error("PARTYRS_ADDR is {0:?}, but must be an address and a port, such as 127.0.0.1:1999")]
    Addr(String),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// One of the two files of a certificate is named in the environment, and the other is not.
    #[error("{0} is set, and {1} is not; name both files, the certificate and its key, or none")]
    TlsHalf(&'static str, &'static str),
    /// A file of the certificate is named in the environment, by nothing.
    #[error(
        "{0} is empty, but must name a file in PEM; unset PARTYRS_TLS_CERT and PARTYRS_TLS_KEY for no TLS"
    )]
    TlsEmpty(&'static str),
    /// The admin address in the environment is none.
    #[error("PARTYRS_ADMIN_ADDR is {0:?}, but must be an address and a port, such as 127.0.0.1:9600")]
    AdminAddr(String),
    /// Others than the programs of this machine could ask at the admin address.
    #[error(
        "admin address {0} is reached from other machines, so it needs a token: `.admin_token(..)` or PARTYRS_ADMIN_TOKEN"
    )]
    AdminOpen(SocketAddr),
    /// The admin token is short, or cannot stand in a header.
    #[error(
        "the admin token, of `.admin_token(..)` or PARTYRS_ADMIN_TOKEN, must have at least {} visible ASCII characters and no spaces",
        Token::BYTES_MIN
    )]
    AdminToken,
    /// There is a token, and nothing that it is for.
    #[error(
        "there is an admin token, but no admin address; give one with `.admin(..)` or PARTYRS_ADMIN_ADDR"
    )]
    AdminNowhere,
    /// The data folder in the environment is none.
    #[error("PARTYRS_DATA is empty, but must name a folder; unset it for the default")]
    NoData,
    /// The port is taken, or not ours to take.
    #[error("cannot listen on {addr}: {source}; choose another address with PARTYRS_ADDR=127.0.0.1:PORT")]
    Listen {
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The port of the admin address is taken, or not ours to take.
    #[error(
        "cannot listen on the admin address {addr}: {source}; choose another with PARTYRS_ADMIN_ADDR=127.0.0.1:PORT"
    )]
    ListenAdmin {
        /// Where.
        addr: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The data folder.
    #[error(transparent)]
    Storage(#[from] OpenError),
    /// While the host ran, its storage lost track of what is on disk; so it has ended.
    #[error(
        "the storage has failed, and so the host has ended: {0}; what clients were told is stored, but look at the disk before you start again"
    )]
    StorageFailed(EngineError),
    /// Threads, signals.
    #[error("the system refused what a host needs: {0}")]
    System(#[source] std::io::Error),
}

/// What requests and rooms of a running host share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) parties: Vec<Arc<dyn Party>>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    pub(crate) env: Arc<Env>,
    pub(crate) engine: Arc<dyn StorageEngine>,
    pub(crate) calls: Arc<dyn RoomHost>,
    pub(crate) alarms: Arc<Alarms>,
    pub(crate) assets: Option<Site>,
    pub(crate) lobby: Option<Lobby>,
    pub(crate) prefix: String,
    pub(crate) tls: Option<Tls>,
    allowed_origins: Option<Vec<Origin>>,
    pub(crate) cors: Option<Policy>,
    pub(crate) debug_errors: bool,
    pub(crate) draining: Draining,
    pub(crate) registry: Registry,
    connections: Arc<Places>,
    /// Clients between their 101 and their room; a shutdown waits for them, to tell them.
    pub(crate) upgrades: TaskTracker,
    /// Cancelled when the host has ended: connections that are left are cut.
    pub(crate) over: CancellationToken,
    /// The last field, so that all else is gone when it is.
    _gone: oneshot::Sender<Infallible>,
}

/// Places for connections.
#[derive(Debug)]
struct Places {
    taken_count: AtomicUsize,
    max: usize,
}

/// One connection's place; free again when it is dropped.
#[derive(Debug)]
pub(crate) struct Ticket {
    places: Arc<Places>,
    /// Whoever wants to know when it is free again.
    told: Option<oneshot::Sender<Infallible>>,
}

/// A host that is set up and accepts no connection yet.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) state: Arc<State>,
    /// `None` for a host that others bring its requests to.
    listener: Option<TcpListener>,
    admin: Option<(TcpListener, Option<Token>)>,
    /// Held by whoever answers requests.
    open: StillOpen,
    all_closed: mpsc::Receiver<Infallible>,
    /// Ends, by its error, when nobody holds the state any more, and so the storage is closed.
    pub(crate) gone: Option<oneshot::Receiver<Infallible>>,
}

impl Host {
    /// Begins a host without any party.
    pub fn builder() -> Builder {
        Builder {
            parties: Vec::new(),
            names: Vec::new(),
            lobbies: Vec::new(),
            crons: Vec::new(),
            env: Env::new(),
            assets: None,
            engine: None,
            data: DEFAULT_DATA.into(),
            prefix: "parties".to_owned(),
            allowed_origins: None,
            cors: None,
            debug_errors: false,
            tls: None,
            admin: None,
            admin_token: None,
            config: Config::default(),
            clock: Clock::system(),
        }
    }

    /// Serves until Ctrl-C or SIGTERM, then shuts down gracefully; a second signal exits at once.
    ///
    /// `PARTYRS_ADDR` is where it listens, an address and a port without names (default
    /// `127.0.0.1:1999`); `PARTYRS_DATA` is the folder of its data (default what
    /// [`Builder::data`] says, else `.partyrs`). When it listens it says so on stdout.
    /// `PARTYRS_TLS_CERT` and `PARTYRS_TLS_KEY` stand in for what [`Builder::tls`] says,
    /// `PARTYRS_ADMIN_ADDR` and `PARTYRS_ADMIN_TOKEN` stand in for [`Builder::admin`] and
    /// [`Builder::admin_token`].
    ///
    /// # Errors
    ///
    /// [`HostError`] if `PARTYRS_ADDR` is no address, if it cannot listen, or if the data
    /// folder cannot be used. Returned from `main`, it is printed as a sentence that says what to do.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime with I/O and time, such as that of `#[tokio::main]`.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the host at once: clients are cut, what is not committed is lost.
    pub async fn serve_from_env(mut self) -> Result<(), HostError> {
        let addr = std::env::var_os("PARTYRS_ADDR").unwrap_or_else(|| DEFAULT_ADDR.into());
        let addr = addr.to_string_lossy();
        // The one name that everybody tries; others would ask a name server.
        let numeric = addr.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
        let Ok(addr) = numeric.as_deref().unwrap_or(&addr).parse() else {
            return Err(HostError::Addr(addr.into_owned()));
        };
        self.builder.read_env()?;
        self.serve(addr).await
    }

    /// As [`Host::serve_from_env`], at this address and with the builder's data folder; the
    /// environment is not read.
    ///
    /// # Errors
    ///
    /// As [`Host::serve_from_env`].
    ///
    /// # Panics
    ///
    /// As [`Host::serve_from_env`].
    ///
    /// # Cancel safety
    ///
    /// As [`Host::serve_from_env`].
    pub async fn serve(self, addr: SocketAddr) -> Result<(), HostError> {
        let signal = StopSignal::install().map_err(HostError::System)?;
        // Nobody may be there to read it.
        let scheme = if self.builder.tls.is_some() { "https" } else { "http" };
        let running = self.start_at(addr)?;
        if let Some(addr) = running.addr() {
            let _ = writeln!(std::io::stdout(), "listening on {scheme}://{addr}");
        }
        if let Some(admin) = running.admin_addr() {
            let _ = writeln!(std::io::stdout(), "admin address is http://{admin}");
        }
        running.stopped_by(signal.received()).await
    }

    /// Starts the host inside another server, which brings it requests by
    /// [`RunningHost::service`]; it listens nowhere itself, but for its admin address.
    ///
    /// Alarms, crons and all else that needs no client run from now on, as tasks of this
    /// runtime. What the other server must see to stands at [`HostService`](crate::HostService).
    ///
    /// # Errors
    ///
    /// [`HostError`] if the data folder or the admin address cannot be used, or if the host has
    /// a certificate ([`Builder::tls`]): nobody would be shown it.
    ///
    /// # Panics
    ///
    /// As [`Host::serve_from_env`].
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use partyrs::prelude::*;
    /// # use partyrs_runtime::Host;
    /// # struct Chat;
    /// # impl PartyServer for Chat {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Chat) }
    /// # }
    /// # async fn serve() -> std::result::Result<(), Box<dyn std::error::Error>> {
    /// let host = Host::builder().party::<Chat>("main").build()?.start()?;
    /// let app = axum::Router::new()
    ///     .route("/", axum::routing::get(async || "hello"))
    ///     .fallback_service(host.service());
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:1999").await?;
    /// // One signal ends both, and both take their time.
    /// let server = axum::serve(listener, app).with_graceful_shutdown(host.stopping());
    /// let (served, stopped) = tokio::join!(async { server.await }, host.stopped_by_signal());
    /// served?;
    /// stopped?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self) -> Result<RunningHost, HostError> {
        if self.builder.tls.is_some() {
            return Err(HostError::TlsNowhere);
        }
        Ok(RunningHost::start(self.set_up(None)?))
    }

    /// As [`Host::start`], with what the environment says: `PARTYRS_DATA`, `PARTYRS_ADMIN_ADDR` and
    /// `PARTYRS_ADMIN_TOKEN`, as for [`Host::serve_from_env`]. Where to listen is for the other
    /// server to know.
    ///
    /// # Errors
    ///
    /// As [`Host::start`], also where `PARTYRS_TLS_CERT` is set, and if a variable makes no sense.
    ///
    /// # Panics
    ///
    /// As [`Host::serve_from_env`].
    pub fn start_from_env(mut self) -> Result<RunningHost, HostError> {
        self.builder.read_env()?;
        self.start()
    }

    /// Starts the host at this address, as [`Host::serve`] does, and leaves it to the program when
    /// it stops. The environment is not read, no signal is listened to, and nothing is printed.
    ///
    /// # Errors
    ///
    /// As [`Host::serve_from_env`].
    ///
    /// # Panics
    ///
    /// As [`Host::serve_from_env`].
    pub fn start_at(self, addr: SocketAddr) -> Result<RunningHost, HostError> {
        Ok(RunningHost::start(self.set_up(Some(addr))?))
    }

    /// Binds the ports and opens the storage.
    pub(crate) fn set_up(self, addr: Option<SocketAddr>) -> Result<Running, HostError> {
        let listen = |addr| bind(addr).map_err(|source| HostError::Listen { addr, source });
        let listener = addr.map(listen).transpose()?;
        let admin = match self.builder.admin {
            Some(addr) => Some(bind(addr).map_err(|source| HostError::ListenAdmin { addr, source })?),
            None => None,
        };
        let admin = admin.map(|listener| (listener, self.builder.admin_token.clone()));
        let (open, all_closed) = mpsc::channel(1);
        let (gone_with_it, gone) = oneshot::channel();
        let state = self.builder.into_state(gone_with_it)?;
        Ok(Running { state, listener, admin, open, all_closed, gone: Some(gone) })
    }
}

fn bind(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let listener = StdTcpListener::bind(addr)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn check_admin(addr: Option<SocketAddr>, token: Option<&Token>) -> Result<(), HostError> {
    match (addr, token) {
        (_, Some(token)) if !token.is_legal() => Err(HostError::AdminToken),
        (None, Some(_)) => Err(HostError::AdminNowhere),
        (Some(addr), None) if !admin::is_loopback(addr) => Err(HostError::AdminOpen(addr)),
        _ => Ok(()),
    }
}

impl Builder {
    /// Registers `S` under `name`: `/parties/<name>/:room`. The party called `main`, or else
    /// the first one, is at `/party/:room` too.
    pub fn party<S: PartyServer>(mut self, name: &str) -> Self {
        // A name that is none is reported by `build`, with all else.
        if let Ok(name) = PartyName::new(name) {
            self.parties.push(Box::new(Registered::<S>::new(name)));
        }
        self.names.push(name.to_owned());
        self
    }

    /// Says what answers outside the rooms: what is neither a room nor a static file is asked of
    /// [`LobbyServer::on_fetch`], and a WebSocket that is asked for there of
    /// [`LobbyServer::on_socket`]. A host has one lobby.
    ///
    /// # Examples
    ///
    /// ```no_run
    /// # use partyrs::prelude::*;
    /// # use partyrs_runtime::Host;
    /// # struct Chat;
    /// # impl PartyServer for Chat {
    /// #     type Message = String;
    /// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Chat) }
    /// # }
    /// struct Site;
    ///
    /// impl LobbyServer for Site {
    ///     async fn on_fetch(&self, request: Request, _: &HostLobby) -> Result<Option<Response>> {
    ///         Ok((request.uri().path() == "/version").then(|| Response::text("1.2.3")))
    ///     }
    /// }
    ///
    /// # #[tokio::main]
    /// # async fn main() -> partyrs_runtime::Result {
    /// Host::builder().party::<Chat>("main").lobby(Site).build()?.serve_from_env().await
    /// # }
    /// ```
    pub fn lobby<S: LobbyServer>(mut self, server: S) -> Self {
        self.lobbies.push(Arc::new(Given(server)));
        self
    }

    /// Calls [`LobbyServer::on_cron`] at the times of this cron expression, in UTC:
    /// `.cron("sweep", "*/5 * * * *")`.
    ///
    /// The fields are minute, hour, day of month, month and day of week; with six fields the
    /// first one is the second. There are lists (`1,15`), ranges (`9-17`), steps (`*/5`), names
    /// (`mon`, `jan`), `L` for the last day of a month, `5#2` for its second Friday, and
    /// `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`. If neither day is `*`, either of them will do.
    ///
    /// Each cron has a name of its own, and the host needs a lobby.
    pub fn cron(mut self, name: &str, expression: &str) -> Self {
        let (name, expression) = (name.to_owned(), expression.to_owned());
        self.crons.push(CronSetting { name, expression, zone: None });
        self
    }

    /// As [`Builder::cron`], by the clock of a time zone:
    /// `.cron_in("good-morning", "0 8 * * mon-fri", "Europe/Berlin")`.
    ///
    /// The zones are those of the system (`/usr/share/zoneinfo`, in most systems the package
    /// tzdata). When that clock goes forward, a time that it leaves out is due when it has gone;
    /// when it goes back, a time of the day that it shows twice is due the first time, and one of
    /// every minute or hour both times.
    pub fn cron_in(mut self, name: &str, expression: &str, zone: &str) -> Self {
        let (name, expression) = (name.to_owned(), expression.to_owned());
        self.crons.push(CronSetting { name, expression, zone: Some(zone.to_owned()) });
        self
    }

    /// Gives `value` to all rooms, static hooks and the lobby: `room.env::<T>()`. There is one value of a
    /// type; a second one replaces it.
    pub fn env<T: Send + Sync + 'static>(mut self, value: T) -> Self {
        self.env.insert(value);
        self
    }

    /// Serves these files by GET and HEAD for what is no room: a folder, `.assets("public")`, or
    /// what else [`Assets`] can be. `/` is its `index.html`. Dot files are never served. What is
    /// not there is answered 404, with its `404.html` if there is one. Called again, it replaces
    /// what was given.
    pub fn assets(mut self, assets: impl Into<Assets>) -> Self {
        self.assets = Some(assets.into());
        self
    }

    /// Stores rooms in this folder, unless [`Host::serve_from_env`] finds another in
    /// `PARTYRS_DATA`. It is made if it is not there. One process at a time can use it.
    pub fn data(mut self, folder: impl AsRef<Path>) -> Self {
        self.data = folder.as_ref().to_owned();
        self
    }

    /// Stores rooms with this engine and not in a folder; the folder is not touched then.
    pub fn storage(mut self, engine: Arc<dyn StorageEngine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Puts rooms under `/<prefix>/:party/:room`; default `parties`. Several segments
    /// are allowed, but `party` not as the first: that is the short address.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// Lets only pages of these origins open WebSockets: `.allowed_origins(["https://app.example"])`.
    /// Called again, it adds to them. Without it no origin is asked for, and any page that
    /// somebody visits can connect with that somebody's cookies.
    ///
    /// Scheme, host and port must be the same; letter case is not told apart, the usual port of
    /// `http` and `https` may be left out, and there are no wildcards. An upgrade from another
    /// origin, `null` among them, is answered 403 before `on_before_connect`. One without the
    /// header `Origin` comes from no browser and is let through. The pages that this host
    /// serves itself must be named too. Plain requests are not looked at: of those a browser
    /// keeps the answer from pages of other origins, and `on_before_request` sees the header.
    pub fn allowed_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let allowed = self.allowed_origins.get_or_insert_default();
        allowed.extend(origins.into_iter().map(Into::into));
        self
    }

    /// Lets pages of other origins read what plain requests are answered:
    /// `.cors(Cors::permissive())`. Without it nothing is added to any answer, and a browser keeps
    /// the answers from such pages. Called again, it replaces the policy.
    ///
    /// It is for all that this host answers: rooms, `on_fetch` and static files, refusals and
    /// errors too, so that the page learns what is wrong. What a browser asks in advance (`OPTIONS`
    /// with `Access-Control-Request-Method`) is answered 200 by the host and reaches no hook; any
    /// other `OPTIONS` does. An answer of yours that has an `Access-Control-Allow-Origin` is left
    /// as it is, and a header that it has is not set a second time.
    ///
    /// The answer to an upgrade has none of this, since browsers do not ask that way before they
    /// open a WebSocket: [`Builder::allowed_origins`] is for those.
    pub fn cors(mut self, cors: Cors) -> Self {
        self.cors = Some(cors);
        self
    }

    /// Shows HTTP clients the messages of errors instead of a fixed text. For development only.
    pub fn debug_errors(mut self, debug_errors: bool) -> Self {
        self.debug_errors = debug_errors;
        self
    }

    /// Speaks TLS, and nothing else, by these two files in PEM: a certificate with those
    /// between it and one that clients know, and its key. They are read when the host is built
    /// and when it begins to serve, and again at each SIGHUP: a renewed certificate is shown to
    /// those who come from then on, and one that cannot be used is logged and not taken. The
    /// admin address is not concerned. A client that has not agreed on TLS within
    /// `header_timeout` is closed.
    pub fn tls(mut self, certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> Self {
        self.tls = Some(CertificateFiles::new(certificate.as_ref(), key.as_ref()));
        self
    }

    /// Tells at this address, and nowhere else, how the host is: `/-/health` that it lives,
    /// `/-/ready` whether it takes clients (503 while it shuts down), `/-/rooms` which parties
    /// there are, `/-/rooms?party=chat` which rooms are open or have stored something, a thousand
    /// at a time, and `/-/rooms/chat/lobby` the connections, alarms and keys of one room, but never
    /// what is stored. All but the first two are JSON. To look at a room does not open it.
    ///
    /// If there is a token, `/-/export`, `/-/export/chat` and `/-/export/chat/lobby` give a copy of what is
    /// stored at that moment: see [`backup`](crate::backup). Four may be under way; the next one is answered 503.
    ///
    /// Off by default. On an address that other machines reach it needs a token.
    pub fn admin(mut self, addr: SocketAddr) -> Self {
        self.admin = Some(addr);
        self
    }

    /// What whoever asks for rooms at the admin address must show, at least 16 visible ASCII
    /// characters: the header `Authorization: Bearer <token>`. Health and readiness need none.
    pub fn admin_token(mut self, token: impl Into<String>) -> Self {
        self.admin_token = Some(Token::new(token.into()));
        self
    }

    /// Changes limits: `.config(|config| config.message_bytes_max = 4096)`.
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    #[cfg(feature = "testing")]
    pub(crate) fn storage_unless_set(mut self, engine: Arc<dyn StorageEngine>) -> Self {
        self.engine.get_or_insert(engine);
        self
    }

    /// Gives the host a clock that a test moves.
    #[cfg(feature = "testing")]
    pub(crate) fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Checks everything that can be checked before the host listens: names, crons, prefix, origins,
    /// limits of the host and of each party, and the folder of static files. Port and data folder come when it serves.
    ///
    /// # Errors
    ///
    /// [`HostError`] names the first setting that makes no sense.
    pub fn build(mut self) -> Result<Host, HostError> {
        for (index, name) in self.names.iter().enumerate() {
            PartyName::new(name)?;
            if self.names[..index].contains(name) {
                return Err(HostError::Twice(name.clone()));
            }
        }
        if self.parties.is_empty() {
            return Err(HostError::NoParty);
        }
        if self.lobbies.len() > 1 {
            return Err(HostError::Lobbies(self.lobbies.len()));
        }
        cron::read(&self.crons, !self.lobbies.is_empty())?;
        // `/party/` is the short address of a room.
        let is_free = self.prefix.split('/').next() != Some("party");
        if !is_free || !self.prefix.split('/').all(|segment| PartyName::new(segment).is_ok()) {
            return Err(HostError::Prefix(self.prefix));
        }
        read_origins(self.allowed_origins.as_deref())?;
        read_cors(self.cors.as_ref())?;
        self.config.check()?;
        if let Some(files) = &self.tls {
            Tls::open(files.clone())?;
        }
        // A token alone may be meant for an address from the environment.
        if self.admin.is_some() {
            check_admin(self.admin, self.admin_token.as_ref())?;
        }
        for party in &mut self.parties {
            party.configure(&self.config)?;
        }
        if let Some(assets) = &self.assets {
            assets.open()?;
        }
        Ok(Host { builder: self })
    }

    /// What the environment says of all but the address.
    fn read_env(&mut self) -> Result<(), HostError> {
        if let Some(data) = std::env::var_os("PARTYRS_DATA") {
            if data.is_empty() {
                return Err(HostError::NoData);
            }
            self.data = data.into();
        }
        const CERT: &str = "PARTYRS_TLS_CERT";
        const KEY: &str = "PARTYRS_TLS_KEY";
        match (std::env::var_os(CERT), std::env::var_os(KEY)) {
            (None, None) => {}
            (Some(certificate), _) if certificate.is_empty() => return Err(HostError::TlsEmpty(CERT)),
            (_, Some(key)) if key.is_empty() => return Err(HostError::TlsEmpty(KEY)),
            (Some(certificate), Some(key)) => {
                self.tls = Some(CertificateFiles::new(certificate.as_ref(), key.as_ref()));
            }
            (Some(_), None) => return Err(HostError::TlsHalf(CERT, KEY)),
            (None, Some(_)) => return Err(HostError::TlsHalf(KEY, CERT)),
        }
        if let Some(admin) = std::env::var_os("PARTYRS_ADMIN_ADDR") {
            let admin = admin.to_string_lossy();
            self.admin = Some(admin.parse().map_err(|_| HostError::AdminAddr(admin.into_owned()))?);
        }
        if let Some(token) = std::env::var_os("PARTYRS_ADMIN_TOKEN") {
            self.admin_token = Some(Token::new(token.to_string_lossy().into_owned()));
        }
        check_admin(self.admin, self.admin_token.as_ref())
    }

    fn into_state(mut self, gone: oneshot::Sender<Infallible>) -> Result<Arc<State>, HostError> {
        let engine = match self.engine {
            Some(engine) => engine,
            None => Arc::new(RedbEngine::open(&self.data)?),
        };
        let assets = self.assets.as_ref().map(Assets::open).transpose()?;
        let allowed_origins = read_origins(self.allowed_origins.as_deref())?;
        let tls = self.tls.map(Tls::open).transpose()?;
        let cors = read_cors(self.cors.as_ref())?;
        let registry = Registry::new(&self.config, &self.clock).map_err(HostError::System)?;
        let max = self.config.connections_max.unwrap_or_else(connections_by_descriptors);
        let jobs = cron::read(&self.crons, !self.lobbies.is_empty())?;
        let lobby = self.lobbies.pop().map(|server| Lobby::new(server, jobs, &self.config));
        let connections = Arc::new(Places { taken_count: AtomicUsize::new(0), max });
        Ok(Arc::new_cyclic(|state| State {
            parties: self.parties.into_iter().map(Arc::from).collect(),
            config: Arc::new(self.config),
            env: Arc::new(self.env),
            calls: Arc::new(Calls::new(self.clock.clone(), state.clone())),
            alarms: Arc::new(Alarms::new(self.clock.clone())),
            clock: self.clock,
            engine,
            assets,
            lobby,
            prefix: self.prefix,
            tls,
            allowed_origins,
            cors,
            debug_errors: self.debug_errors,
            draining: Draining::new(),
            registry,
            connections,
            upgrades: TaskTracker::new(),
            over: CancellationToken::new(),
            _gone: gone,
        }))
    }
}

impl State {
    /// The party at `/party/:room`.
    pub(crate) fn main_party(&self) -> &PartyName {
        let named_main = self.parties.iter().find(|party| party.name().as_str() == "main");
        named_main.unwrap_or(&self.parties[0]).name()
    }

    pub(crate) fn party_named(&self, name: &str) -> Option<&Arc<dyn Party>> {
        self.parties.iter().find(|party| party.name().as_str() == name)
    }

    pub(crate) fn party(&self, name: &PartyName) -> Option<&Arc<dyn Party>> {
        self.party_named(name.as_str())
    }

    /// What hooks outside of rooms see.
    pub(crate) fn host_lobby(&self) -> HostLobby {
        HostLobby::new(Arc::clone(&self.env), Arc::clone(&self.calls))
    }

    /// The origin of an upgrade, if it is not allowed.
    pub(crate) fn foreign_origin(&self, headers: &HeaderMap) -> Option<String> {
        origin::foreign(self.allowed_origins.as_deref()?, headers)
    }

    /// What an HTTP client is told of an error without a public face.
    pub(crate) fn failure_text(&self, error: &Error) -> String {
        if self.debug_errors { error.to_string() } else { "Internal Server Error".to_owned() }
    }

    /// A place for one more connection, if there is one.
    pub(crate) fn ticket(&self) -> Option<Ticket> {
        let places = &self.connections;
        if places.taken_count.fetch_add(1, Ordering::Relaxed) >= places.max {
            places.taken_count.fetch_sub(1, Ordering::Relaxed);
            tracing::warn!(connections_max = places.max, "connection refused, the host is full");
            return None;
        }
        Some(Ticket { places: Arc::clone(places), told: None })
    }

    /// Number of WebSockets.
    pub(crate) fn connections_count(&self) -> usize {
        self.connections.taken_count.load(Ordering::Relaxed)
    }
}

impl Ticket {
    /// Ends, by its error, when the place is free again.
    pub(crate) fn told(&mut self) -> oneshot::Receiver<Infallible> {
        let (told, gone) = oneshot::channel();
        self.told = Some(told);
        gone
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.places.taken_count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Running {
    /// Where it listens, if anywhere; as the system says, so the port is not 0.
    pub(crate) fn addr(&self) -> Option<SocketAddr> {
        self.listener.as_ref()?.local_addr().ok()
    }

    /// Where it tells how it is, if anywhere.
    pub(crate) fn admin_addr(&self) -> Option<SocketAddr> {
        let (listener, _) = self.admin.as_ref()?;
        listener.local_addr().ok()
    }

    /// How others bring it requests.
    pub(crate) fn service(&self) -> HostService {
        HostService::new(&self.state, &self.open)
    }

    /// Serves until `stop` ends, then drains: no new requests, running hooks finish, commits
    /// land, clients are closed with 1012, all within the grace. Where the storage fails, it
    /// drains at once, and clients are closed with 1011.
    pub(crate) async fn serve(self, stop: impl Future<Output = ()>) -> Result<(), HostError> {
        let Self { state, listener, admin, open, all_closed, gone: _ } = self;
        // However this ends, no client holds the state, and so the storage, any longer.
        let over = state.over.clone().drop_guard();
        let serving = serve_clients(Arc::clone(&state), listener, (open, all_closed), stop);
        match &admin {
            // Until the very end, for it tells that the host is draining.
            Some((admin, token)) => tokio::select! {
                () = admin::serve(&state, admin, token.as_ref()) => {}
                () = serving => {}
            },
            None => serving.await,
        }
        drop((admin, over));
        // It may have failed with the very last commits.
        let failed = state.engine.failed().now_or_never();
        end(state).await;
        failed.map_or(Ok(()), |error| Err(HostError::StorageFailed(error)))
    }
}

/// Serves until `stop` ends, or the storage fails, then drains.
async fn serve_clients(
    state: Arc<State>,
    listener: Option<TcpListener>,
    (open, mut all_closed): (StillOpen, mpsc::Receiver<Infallible>),
    stop: impl Future<Output = ()>,
) {
    // However this ends, hooks of the lobby that are left end then.
    let _over = state.lobby.as_ref().map(Lobby::over_on_drop);
    // None of these ends.
    let serving = async {
        tokio::join!(
            accept_clients(&state, listener.as_ref(), &open),
            wake_rooms(&state),
            follow_certificates(&state),
            run_crons(&state),
        )
    };
    let why = tokio::select! {
        _ = serving => Why::Stopped,
        error = state.engine.failed() => {
            tracing::error!(%error, "storage has failed, the host ends");
            Why::StorageFailed
        }
        () = stop => Why::Stopped,
    };
    drop((listener, open));
    state.draining.set();
    let connections_count = state.connections_count();
    let rooms_count = state.registry.rooms_count();
    tracing::info!(rooms_count, connections_count, "shutting down");
    let grace = state.config.shutdown_grace;
    let drained = async {
        let pacer = Pacer::start(why, connections_count, grace, state.clock.clone());
        let lobby_ended = async {
            if let Some(lobby) = &state.lobby {
                lobby.drain(Arc::clone(&pacer));
                lobby.ended().await;
            }
        };
        tokio::join!(drain_rooms(&state, &pacer), lobby_ended, all_closed.recv());
        state.upgrades.close();
        state.upgrades.wait().await;
        // Once more: a hook of the lobby, or the last client, may have opened a room.
        drain_rooms(&state, &pacer).await;
    };
    if state.clock.timeout(grace, drained).await.is_none() {
        let rooms_count = state.registry.rooms_count();
        tracing::warn!(rooms_count, ?grace, "grace is over, what is left is cut");
    }
}

/// Never ends.
async fn accept_clients(state: &Arc<State>, listener: Option<&TcpListener>, open: &StillOpen) {
    match listener {
        Some(listener) => listener::accept_all(state, listener, open).await,
        None => std::future::pending().await,
    }
}

/// Never ends.
async fn follow_certificates(state: &State) {
    match &state.tls {
        Some(tls) => tls.follow_signals().await,
        None => std::future::pending().await,
    }
}

/// Ends the shards and lets go of the storage; a hook that blocks its thread is not waited for.
pub(crate) async fn end(state: Arc<State>) {
    state.registry.end();
    let clock = state.clock.clone();
    let (ended, has_ended) = oneshot::channel();
    std::thread::spawn(move || {
        state.registry.join();
        drop(state);
        // Nobody waits any more if it took too long.
        let _ = ended.send(());
    });
    clock.timeout(END_PATIENCE, has_ended).await;
}

/// Tells every room to close, and waits until all have.
async fn drain_rooms(state: &Arc<State>, pacer: &Arc<Pacer>) {
    loop {
        let mailboxes = state.registry.mailboxes();
        if mailboxes.is_empty() {
            return;
        }
        let told = mailboxes.iter().map(|mailbox| async {
            // A room that is gone already needs no telling.
            let _ = mailbox.push(RoomEvent::Drain(Arc::clone(pacer))).await;
            mailbox.gone().await;
        });
        // Then once more: a call between rooms may have opened another.
        futures_util::future::join_all(told).await;
    }
}

fn read_origins(origins: Option<&[String]>) -> Result<Option<Vec<Origin>>, HostError> {
    let read = |text: &String| Origin::parse(text).ok_or_else(|| HostError::Origin(text.clone()));
    origins.map(|origins| origins.iter().map(read).collect()).transpose()
}

fn read_cors(cors: Option<&Cors>) -> Result<Option<Policy>, HostError> {
    cors.map(|cors| cors.policy().map_err(HostError::CorsOrigin)).transpose()
}

/// Raises the descriptor limit as far as the system lets us, and leaves some for other things.
fn connections_by_descriptors() -> usize {
    let limit = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(DESCRIPTORS_KEPT).max(1)
}

/// As `Display`: it is what a `main` that returns it shows to people.
impl fmt::Debug for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "host of {}", self.builder.names.join(", "))
    }
}
