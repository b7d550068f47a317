//! What a host is made of: collected, and checked when it is built.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use partyrs::storage::StorageEngine;
use partyrs::{Env, LobbyServer, PartyName, PartyServer};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::alarms::Alarms;
use crate::assets::Assets;
use crate::calls::Calls;
use crate::clock::Clock;
use crate::config::Config;
use crate::cron::{self, CronSetting};
use crate::host::{Host, HostError};
use crate::lobby::{Given, Hooks, Lobby};
use crate::net::admin::{self, Token};
use crate::net::cors::{Cors, Policy};
use crate::net::origin::Origin;
use crate::net::tls::{CertificateFiles, Tls};
use crate::party::{Party, Registered};
use crate::registry::Registry;
use crate::shutdown::Draining;
use crate::state::{Places, State};
use crate::storage::RedbEngine;

/// Descriptors that are not for connections: files, listeners, runtimes.
const DESCRIPTORS_KEPT: usize = 64;

/// Where rooms are stored unless told otherwise.
const DEFAULT_DATA: &str = ".partyrs";

/// Everything that a host is made of; made by [`Host::builder`].
#[derive(Debug)]
#[must_use]
pub struct Builder {
    pub(crate) parties: Vec<Box<dyn Party>>,
    pub(crate) names: Vec<String>,
    /// What answers outside the rooms; `build` refuses more than one.
    pub(crate) lobbies: Vec<Arc<dyn Hooks>>,
    pub(crate) crons: Vec<CronSetting>,
    pub(crate) env: Env,
    pub(crate) assets: Option<Assets>,
    pub(crate) engine: Option<Arc<dyn StorageEngine>>,
    pub(crate) data: PathBuf,
    pub(crate) prefix: String,
    pub(crate) allowed_origins: Option<Vec<String>>,
    pub(crate) cors: Option<Cors>,
    pub(crate) debug_errors: bool,
    pub(crate) tls: Option<CertificateFiles>,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) admin_token: Option<Token>,
    pub(crate) config: Config,
    pub(crate) clock: Clock,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self {
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
    pub(crate) fn read_env(&mut self) -> Result<(), HostError> {
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

    pub(crate) fn into_state(mut self, gone: oneshot::Sender<Infallible>) -> Result<Arc<State>, HostError> {
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

fn check_admin(addr: Option<SocketAddr>, token: Option<&Token>) -> Result<(), HostError> {
    match (addr, token) {
        (_, Some(token)) if !token.is_legal() => Err(HostError::AdminToken),
        (None, Some(_)) => Err(HostError::AdminNowhere),
        (Some(addr), None) if !admin::is_loopback(addr) => Err(HostError::AdminOpen(addr)),
        _ => Ok(()),
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
