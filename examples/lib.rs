//! Examples of partyrs; each is a program of its own.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Writes the log to stderr, from `info` up or as `RUST_LOG` says.
pub fn log_to_stderr() {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::INFO.into()).from_env_lossy();
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
}

/// The programs of the README compile as they stand there.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Those of the porting guide too.
#[cfg(doctest)]
#[doc = include_str!("../docs/porting-from-partykit.md")]
struct PortingFromPartyKit;
