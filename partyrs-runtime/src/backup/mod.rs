//! Copies of what rooms have stored, as lines of JSON: to keep, to read, to bring to another host.
//!
//! [`Export`] writes what all rooms, those of one party, or one room had stored at one moment;
//! [`Import`] brings it into any storage. Both are for every
//! [`StorageEngine`](partyrs::storage::StorageEngine), and take little memory however much is stored. A host that runs is exported by [`RunningHost::export`](crate::RunningHost::export),
//! or at its admin address; a folder that no host has open, by the program `party-data`.
//!
//! # The format
//!
//! One JSON object on each line, in UTF-8, with a member `type`:
//!
//! ```json
//! {"type":"export","format":1,"at":"2026-02-03T04:05:06.789Z","version":"0.1.0"}
//! {"type":"room","party":"main","room":"lobby"}
//! {"type":"alarm","party":"main","room":"lobby","name":"tea","scheduled_ms":1770091506789,"due_ms":1770091506789,"retry":0}
//! {"type":"entry","party":"main","room":"lobby","key":"votes","value":"gaN0ZWEB"}
//! {"type":"end","rooms":1,"alarms":1,"entries":1}
//! ```
//!
//! * `export` is the first line: the version of the format, when the copy was taken, and by which
//!   version of partyrs.
//! * `room` begins a room. Rooms come in the order of party and id, each once; behind a room come its
//!   alarms, then its entries in the order of their keys, both by the bytes of their names.
//! * `alarm` is an alarm: what it was set to, when it is due, which is later if its hook has failed,
//!   and how often that was, in milliseconds since 1970. `name` is `null` for the one without.
//! * `entry` is a key with its value in base64 (with padding): MessagePack if it was stored by `put`,
//!   else whatever bytes it is.
//! * `end` is the last line and counts all others, so that a file which was cut is noticed.
//!
//! Who reads it passes over members that are not known, and refuses a `type` that is not known and a
//! `format` of a later version.

mod export;
mod import;

use std::borrow::Cow;
use std::fmt;

use partyrs::{PartyName, RoomAddress};
use serde::{Deserialize, Serialize};

pub use self::export::{Export, ExportError};
pub use self::import::{Fault, Import, ImportError, Imported};

/// Version of the format; a file of a later one is refused.
const FORMAT: u64 = 1;

/// Which rooms.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those of a party.
    Party(PartyName),
    /// One.
    Room(RoomAddress),
}

/// How much there is in an export, or was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Rooms.
    pub rooms: u64,
    /// Alarms of all these rooms.
    pub alarms: u64,
    /// Keys, each with its value, of all these rooms.
    pub entries: u64,
}

/// One line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Record<'a> {
    Export {
        format: u64,
        at: Cow<'a, str>,
        version: Cow<'a, str>,
    },
    Room {
        party: Cow<'a, str>,
        room: Cow<'a, str>,
    },
    Alarm {
        party: Cow<'a, str>,
        room: Cow<'a, str>,
        name: Option<Cow<'a, str>>,
        scheduled_ms: u64,
        due_ms: u64,
        retry: u32,
    },
    Entry {
        party: Cow<'a, str>,
        room: Cow<'a, str>,
        key: Cow<'a, str>,
        value: Cow<'a, str>,
    },
    End {
        rooms: u64,
        alarms: u64,
        entries: u64,
    },
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rooms, alarms, entries } = self;
        write!(f, "rooms {rooms}, alarms {alarms}, keys {entries}")
    }
}

impl Selection {
    /// Whether a room is among them.
    #[must_use]
    pub fn has(&self, room: &RoomAddress) -> bool {
        match self {
            Self::All => true,
            Self::Party(party) => room.party == *party,
            Self::Room(one) => room == one,
        }
    }
}
