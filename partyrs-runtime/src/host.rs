//! A host: which parties it serves, with what, and where.

use std::fmt;
use std::io::Write;
use std::net::{SocketAddr, TcpListener as StdTcpListener};

use partyrs::NameError;
use partyrs::storage::EngineError;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::assets::AssetsError;
use crate::builder::Builder;
use crate::config::ConfigError;
use crate::cron::CronError;
use crate::net::admin::Token;
use crate::net::tls::TlsError;
use crate::running::RunningHost;
use crate::serve::Running;
use crate::shutdown::StopSignal;
use crate::storage::OpenError;

/// Where the host listens unless told otherwise: PartyKit's port.
const DEFAULT_ADDR: &str = "127.0.0.1:1999";

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
    pub(crate) builder: Builder,
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

impl Host {
    /// Begins a host without any party.
    pub fn builder() -> Builder {
        Builder::new()
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
