//! A real host on port 0, and everything that a client may see of it.
//!
//! One module for each part of the wire; names are claims, and `docs/wire.md` lists them.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod addresses;
mod admin;
mod alarms;
mod assets;
mod attacks;
mod awaited;
mod backup;
mod bodies;
mod calls;
mod close;
mod connections;
mod cors;
mod crash;
mod cron;
mod disks;
mod docs;
mod faulty;
mod gate;
mod handles;
mod held;
mod hibernation;
mod host;
mod http;
mod kinds;
mod leftovers;
mod limits;
mod lobby;
mod lobby_sockets;
mod log;
mod methods;
mod options;
mod origins;
mod outage;
mod outcomes;
mod parties;
mod patience;
mod pings;
mod programs;
mod protocols;
mod rollback;
mod scenarios;
mod script;
mod shutdown;
mod sockets;
mod storage;
mod tls;
mod tower;
mod upgrade;
