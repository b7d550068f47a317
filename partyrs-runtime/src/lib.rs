//! The host of partyrs: it runs parties, one server per room, with WebSockets, HTTP and
//! durable storage, in one process.
//!
//! Begin with [`Host`], which has an example: [`Host::builder`] takes the parties,
//! [`Host::serve_from_env`] runs them. What a party is stands in the crate `partyrs`. Every
//! limit is a field of [`Config`]. Inside another server, such as one of axum, a host is a
//! [`HostService`]: [`Host::start`].
//!
//! The host speaks HTTP/1.1, under TLS if it has a certificate, stores in one folder that one process owns, and runs
//! on Unix. It writes its log by `tracing`: give your program a subscriber, for a hook that
//! fails is told to nobody else.
//!
//! The feature `testing` (off by default) adds `testing::TestHost`: a real host on a free
//! port, with a clock that the test moves. The feature `embed` (off by default) adds
//! `Assets::embedded`: static files from the binary itself, put there by the crate `rust-embed`.

mod alarms;
mod assets;
pub mod backup;
mod builder;
mod calls;
mod clock;
mod config;
mod cron;
mod event;
mod host;
mod lobby;
mod mailbox;
mod movable;
mod net;
mod outbox;
mod outlet;
mod party;
mod pulse;
mod quietly;
mod registry;
mod room;
mod running;
mod serve;
mod service;
mod shard;
mod shutdown;
mod state;
pub mod storage;
#[cfg(feature = "testing")]
pub mod testing;
mod transport;
mod waits;
mod wire;

pub use assets::{Assets, AssetsError};
pub use builder::Builder;
pub use config::{Config, ConfigError};
pub use cron::CronError;
pub use host::{Host, HostError};
pub use net::cors::Cors;
pub use net::tls::TlsError;
pub use running::RunningHost;
pub use service::{HostService, RemoteAddr};

/// What a program's `main` returns: `async fn main() -> partyrs_runtime::Result`.
pub type Result<T = (), E = HostError> = std::result::Result<T, E>;

#[cfg(panic = "abort")]
compile_error!(
    "partyrs needs `panic = \"unwind\"`: a panic in a hook must cost one room its memory, not the host its life"
);
