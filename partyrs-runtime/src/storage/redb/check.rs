//! Whether what a data folder has agrees with itself: for a folder after an accident.
//!
//! It reads all of the file, in little memory but for eight bytes for each room.

use std::collections::HashSet;
use std::fmt;
use std::path::Path;

use ::redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, Value};
use partyrs::{PartyName, RoomAddress, RoomId};

use super::folder::{OpenError, must_exist, open_disk, open_store};
use super::{ALARMS, DUE, DueKey, META, META_NEXT_ROOM, ROOMS, VALUES, due_key};

/// What [`check`] found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct CheckReport {
    /// What is wrong: the first thousand.
    pub defects: Vec<Defect>,
    /// How many rooms there are.
    pub rooms_count: u64,
    /// How many keys they have.
    pub entries_count: u64,
    /// How many alarms they have.
    pub alarms_count: u64,
}

/// Something that cannot be in a folder that only hosts have written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Defect {
    /// The database itself did not pass, and was repaired as far as it can be.
    Repaired,
    /// A room is stored under a name that no party or room can have.
    Name {
        /// Of the party.
        party: String,
        /// Of the room.
        room: String,
    },
    /// Two rooms share one number, and so their keys.
    SharedNumber {
        /// The later of the two.
        room: RoomAddress,
        /// What they share.
        number: u64,
    },
    /// The number of a room is still to be given out, so that another would get its keys.
    NumberToCome {
        /// Which room.
        room: RoomAddress,
        /// Its number.
        number: u64,
    },
    /// Keys lie under a number that no room has.
    Keys {
        /// Which number.
        number: u64,
    },
    /// Alarms lie under a number that no room has.
    Alarms {
        /// Which number.
        number: u64,
    },
    /// A room has an alarm that is not among those of all rooms, so nobody would wake the room.
    NeverDue {
        /// Which room.
        room: RoomAddress,
        /// Of the alarm; empty for the one without.
        name: String,
    },
    /// A time is kept for an alarm that its room does not have, or has at another time.
    NoAlarm {
        /// Of the party.
        party: String,
        /// Of the room.
        room: String,
        /// Of the alarm; empty for the one without.
        name: String,
    },
}

/// More are not told.
const DEFECTS_MAX: usize = 1000;

impl CheckReport {
    fn add(&mut self, defect: Defect) {
        if self.defects.len() < DEFECTS_MAX {
            self.defects.push(defect);
        }
    }
}

/// Checks a data folder that no host has open: the database itself, and what the rooms, their keys
/// and their alarms say of each other. A database that does not pass is repaired if it can be;
/// nothing else is changed.
///
/// It blocks its thread, and takes as long as reading the whole file.
///
/// # Errors
///
/// [`OpenError`] if the folder is not there, is in use, of a later version, or cannot be read.
pub fn check(folder: &Path) -> Result<CheckReport, OpenError> {
    must_exist(folder)?;
    let (file, disk) = open_disk(folder)?;
    let mut store = open_store(&file, disk)?;
    let damaged = |text| OpenError::Damaged { file, text };
    match store.with_mut(check_open) {
        Ok(Ok(report)) => Ok(report),
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(reason) => Err(damaged(reason.to_string())),
    }
}

fn check_open(database: &mut Database) -> Result<CheckReport, ::redb::Error> {
    let mut report = CheckReport::default();
    if !database.check_integrity()? {
        report.add(Defect::Repaired);
    }
    let txn = database.begin_read()?;
    let numbers = check_rooms(&txn, &mut report)?;
    report.entries_count = check_numbers(&txn.open_table(VALUES)?, &numbers, |number| {
        report.add(Defect::Keys { number });
    })?;
    report.alarms_count = check_numbers(&txn.open_table(ALARMS)?, &numbers, |number| {
        report.add(Defect::Alarms { number });
    })?;
    check_due(&txn, &mut report)?;
    Ok(report)
}

/// Each room, with its alarms; returns all numbers that rooms have.
fn check_rooms(txn: &ReadTransaction, report: &mut CheckReport) -> Result<HashSet<u64>, ::redb::Error> {
    let (alarms, due) = (txn.open_table(ALARMS)?, txn.open_table(DUE)?);
    let next_number = txn.open_table(META)?.get(META_NEXT_ROOM)?.map_or(0, |next| next.value());
    let mut numbers = HashSet::new();
    for entry in txn.open_table(ROOMS)?.iter()? {
        let (name, number) = entry?;
        let ((party, room), number) = (name.value(), number.value());
        report.rooms_count += 1;
        let is_first = numbers.insert(number);
        let (Ok(party), Ok(id)) = (PartyName::new(party), RoomId::new(room)) else {
            report.add(Defect::Name { party: party.to_owned(), room: room.to_owned() });
            continue;
        };
        let address = RoomAddress::new(party, id);
        if !is_first {
            report.add(Defect::SharedNumber { room: address.clone(), number });
        }
        if number >= next_number {
            report.add(Defect::NumberToCome { room: address.clone(), number });
        }
        for alarm in alarms.range::<(u64, &str)>((number, "")..(number + 1, ""))? {
            let (key, times) = alarm?;
            let ((_, name), (_, due_ms, _)) = (key.value(), times.value());
            if due.get(due_key(due_ms, &address, name))?.is_none() {
                report.add(Defect::NeverDue { room: address.clone(), name: name.to_owned() });
            }
        }
    }
    Ok(numbers)
}

/// Tells each number of a table that no room has; returns how many entries there are.
fn check_numbers<V: Value + 'static>(
    table: &impl ReadableTable<(u64, &'static str), V>,
    numbers: &HashSet<u64>,
    mut tell: impl FnMut(u64),
) -> Result<u64, ::redb::Error> {
    let (mut count, mut last) = (0, None);
    for entry in table.iter()? {
        let (key, _) = entry?;
        let (number, _) = key.value();
        count += 1;
        if last.replace(number) != Some(number) && !numbers.contains(&number) {
            tell(number);
        }
    }
    Ok(count)
}

/// Each alarm among those of all rooms.
fn check_due(txn: &ReadTransaction, report: &mut CheckReport) -> Result<(), ::redb::Error> {
    let (rooms, alarms) = (txn.open_table(ROOMS)?, txn.open_table(ALARMS)?);
    for entry in txn.open_table(DUE)?.iter()? {
        let (key, _) = entry?;
        let (due_ms, party, room, name): DueKey<'_> = key.value();
        let number = rooms.get((party, room))?.map(|number| number.value());
        let alarm = number.map(|number| alarms.get((number, name))).transpose()?.flatten();
        if alarm.is_none_or(|times| times.value().1 != due_ms) {
            report.add(Defect::NoAlarm {
                party: party.to_owned(),
                room: room.to_owned(),
                name: name.to_owned(),
            });
        }
    }
    Ok(())
}

/// What is wrong, and what it does.
impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Repaired => f.write_str(
                "the database did not agree with itself and was repaired; what was committed last may be lost",
            ),
            Self::Name { party, room } => {
                write!(f, "party {party:?} and room {room:?} are no names; an export leaves the room out")
            }
            Self::SharedNumber { room, number } => {
                write!(f, "room {room} has number {number}, which another has too, so they share their keys")
            }
            Self::NumberToCome { room, number } => write!(
                f,
                "room {room} has number {number}, which is yet to be given out, so another room would get its keys"
            ),
            Self::Keys { number } => write!(f, "keys lie under number {number}, which no room has"),
            Self::Alarms { number } => write!(f, "alarms lie under number {number}, which no room has"),
            Self::NeverDue { room, name } => {
                write!(f, "alarm {name:?} of room {room} is not among those that wake rooms, so it comes late or never")
            }
            Self::NoAlarm { party, room, name } => write!(
                f,
                "room {party}/{} would be woken for alarm {name:?}, which it has not, or not at that time",
                room.escape_debug()
            ),
        }
    }
}
