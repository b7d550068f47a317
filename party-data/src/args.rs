//! What can be asked for.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::backup::Selection;

/// Looks into a data folder of partyrs, copies it, brings copies in, and checks it.
///
/// The folder is that which the host has as PARTYRS_DATA, `.partyrs` by default. No host may have it
/// open meanwhile: a host that runs gives a copy at its admin address, `GET /-/export`.
///
/// It exits with 0 if all went well, 1 if not or if `check` found something, and 2 if it was asked for
/// something that there is not.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    List(List),
    Show(Show),
    Export(Export),
    Import(Import),
    Check(Check),
}

/// Lists the rooms that have stored something, with their keys, bytes and alarms.
#[derive(Debug, Parser)]
pub(crate) struct List {
    /// The data folder.
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) which: Which,
    /// One JSON object for each room, for other programs.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shows what one room has stored: its alarms, and its keys with their values.
///
/// A value that was stored by `put` is shown as JSON, raw bytes as `text` or `hex`.
#[derive(Debug, Parser)]
pub(crate) struct Show {
    /// The data folder.
    pub(crate) folder: PathBuf,
    /// The party of the room.
    #[arg(value_parser = PartyName::new)]
    pub(crate) party: PartyName,
    /// The room, as it is called; not as in a URL.
    #[arg(value_parser = RoomId::new)]
    pub(crate) room: RoomId,
    /// Shows long values too, to their end.
    #[arg(long)]
    pub(crate) full: bool,
}

/// Writes a copy of the rooms, as lines of JSON.
#[derive(Debug, Parser)]
pub(crate) struct Export {
    /// The data folder.
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    pub(crate) which: Which,
    /// The file to write, which is there only when it is whole; stdout if there is none.
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

/// Brings the rooms of a copy into a folder, which is made if it is not there.
///
/// A file is read through before anything is written, so one that is damaged changes nothing; what comes
/// by stdin or a pipe is brought in as it comes, each room whole or not at all. With --replace it is kept in
/// the folder until it has come to its end, and then treated as a file. Rooms that the copy does not have stay.
///
/// If it is killed, a part of one long room may be there, which no check can tell from a whole one; so import
/// the copy anew, with --replace.
#[derive(Debug, Parser)]
pub(crate) struct Import {
    /// The data folder.
    pub(crate) folder: PathBuf,
    /// The copy; stdin if there is none.
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) which: Which,
    /// Replaces what a room has; without it, a room that has something ends the import.
    #[arg(long)]
    pub(crate) replace: bool,
    /// Longest key, for a host whose `storage.key_bytes_max` is another.
    #[arg(long, value_name = "BYTES")]
    pub(crate) key_bytes_max: Option<usize>,
    /// Longest value, for a host whose `storage.value_bytes_max` is another.
    #[arg(long, value_name = "BYTES")]
    pub(crate) value_bytes_max: Option<usize>,
}

/// Checks a folder after an accident: the database, and that rooms, keys and alarms agree.
///
/// It says what is wrong and what can be done, and exits with 1 then. A database that does not
/// agree with itself is repaired, if it can be; so keep a copy of the file `rooms.redb` before.
#[derive(Debug, Parser)]
pub(crate) struct Check {
    /// The data folder.
    pub(crate) folder: PathBuf,
}

/// Which rooms: all, if nothing is said.
#[derive(Debug, Parser)]
pub(crate) struct Which {
    /// Only the rooms of this party.
    #[arg(long, value_parser = PartyName::new)]
    pub(crate) party: Option<PartyName>,
    /// Only this room of the party.
    #[arg(long, requires = "party", value_parser = RoomId::new)]
    pub(crate) room: Option<RoomId>,
}

impl Which {
    pub(crate) fn selection(self) -> Selection {
        match (self.party, self.room) {
            (Some(party), Some(room)) => Selection::Room(RoomAddress::new(party, room)),
            (Some(party), None) => Selection::Party(party),
            (None, _) => Selection::All,
        }
    }
}
