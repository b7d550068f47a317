//! Bringing a copy into a storage.
//!
//! The difficulty is a file that nobody can trust: every line is bounded before it is read, and
//! checked before anything of it is written, and of a room that was not read to its end nothing stays.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use data_encoding::BASE64;
use futures_util::future::join_all;
use partyrs::storage::{
    Commit, CommitError, EngineError, Snapshot, StorageEngine, StorageLimits, StoredAlarm, Writes,
};
use partyrs::{NameError, PartyName, RoomAddress, RoomId};
use serde::Deserialize;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::{Counts, FORMAT, Record, Selection};

/// Writes that are made together, of one room or of many.
const GROUP_BYTES: usize = 4 << 20;
const GROUP_ROOMS: usize = 256;

/// What an item takes in memory beside its texts, roughly.
const ITEM_BYTES: usize = 64;

/// What a line may have beside keys and values.
const LINE_EXTRA_BYTES: usize = 64 << 10;

/// How to bring an export into a storage that no host has in use.
///
/// By default all of it, where no room of it has stored anything. Rooms that are not in the export
/// stay as they are.
///
/// # Examples
///
/// ```
/// use std::time::SystemTime;
/// use partyrs::storage::MemoryEngine;
/// use partyrs_runtime::backup::{Export, Import, Selection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let (old, new) = (MemoryEngine::new(), MemoryEngine::new());
/// let mut copy = Vec::new();
/// Export::begin(&old, Selection::All, SystemTime::now()).await?.write_to(&mut copy).await?;
///
/// let import = Import::default();
/// import.rehearse(&new, &copy[..]).await?;
/// let imported = import.run(&new, &copy[..]).await?;
/// assert_eq!(imported.counts.rooms, 0);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Import {
    /// Which rooms of the export; all by default. The others are checked all the same.
    pub selection: Selection,
    /// Whether to replace what a room has stored, and so its alarms; if not, which is the default,
    /// such a room ends the import.
    pub replace: bool,
    /// The limits of the host that is to have the rooms; what is longer is refused.
    pub limits: StorageLimits,
}

/// What an import has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// What is in the storage now.
    pub counts: Counts,
    /// How many of the rooms had something stored before, which was replaced.
    pub replaced_count: u64,
    /// The last room; those before it in the file are in, if they were asked for.
    pub last: Option<RoomAddress>,
    /// A room of which a part has come in and could not be removed again.
    pub partial: Option<RoomAddress>,
    /// A long room that was being replaced when the import ended: what it had before is gone too.
    pub lost: Option<RoomAddress>,
}

/// Why an import ended before its end, where, and what it had done.
#[derive(Debug, thiserror::Error)]
#[error("line {line}: {fault}")]
#[non_exhaustive]
pub struct ImportError {
    /// The line of the file, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub fault: Fault,
    /// The rooms that are in already, each of them whole. The others have what they had, but for
    /// [`Imported::partial`] and [`Imported::lost`].
    pub imported: Imported,
}

/// What may be wrong with an import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The system refused to read on.
    #[error("the file cannot be read: {0}")]
    Read(io::Error),
    /// A line is longer than any of an export.
    #[error("it is longer than {limit_bytes} bytes, which no line of an export is")]
    LineTooLong {
        /// How long one may be.
        limit_bytes: usize,
    },
    /// A line is no text.
    #[error("it is not UTF-8")]
    Utf8,
    /// A line is no JSON, has not what its type must have, or is of no known type.
    #[error("it is not a record of an export: {0}")]
    Record(serde_json::Error),
    /// The first line is that of no export.
    #[error("the file does not begin with the line of type `export`, so it is no export")]
    NoHead,
    /// The file was written by a later version.
    #[error(
        "the file has format {found}, but this version knows only up to {FORMAT}; use a later version of partyrs"
    )]
    TooNew {
        /// Its format.
        found: u64,
    },
    /// A party or a room cannot be called so.
    #[error(transparent)]
    Name(NameError),
    /// A key is too long.
    #[error("key of {len_bytes} bytes is over the limit of {limit_bytes}")]
    KeyTooLong {
        /// Its length.
        len_bytes: usize,
        /// `key_bytes_max`.
        limit_bytes: usize,
    },
    /// A value is too long.
    #[error("value of {len_bytes} bytes is over the limit of {limit_bytes}")]
    ValueTooLong {
        /// Its length.
        len_bytes: usize,
        /// `value_bytes_max`.
        limit_bytes: usize,
    },
    /// An alarm cannot be called so.
    #[error("name of an alarm has {len_bytes} bytes, but must have 1 to {limit_bytes}")]
    AlarmName {
        /// Its length.
        len_bytes: usize,
        /// `alarm_name_bytes_max`.
        limit_bytes: usize,
    },
    /// A value is not encoded as it must be.
    #[error("the value is not base64")]
    Base64,
    /// A room comes twice, or behind one that sorts after it.
    #[error("room {0} comes twice, or in the wrong place; rooms are sorted by party and id")]
    RoomOrder(RoomAddress),
    /// A key or an alarm comes twice, or behind one that sorts after it, or an alarm behind a key.
    #[error(
        "the {0} comes twice, or in the wrong place; behind a room come its alarms, then its keys, both sorted"
    )]
    Order(&'static str),
    /// A key or an alarm is not of the room before it.
    #[error("it is not of the room whose line came last")]
    NotOfRoom,
    /// The last line counts otherwise.
    #[error("the last line tells of {told}, but there are {found}; lines are missing or too many")]
    Counts {
        /// What it says.
        told: Counts,
        /// What has come.
        found: Counts,
    },
    /// The first line of an export comes once more.
    #[error("the first line of an export comes once more; import one export at a time")]
    BehindHead,
    /// There is no last line.
    #[error("the file ends without its last line, of type `end`, so it was cut")]
    Cut,
    /// Something comes behind the last line.
    #[error("it comes behind the last line of the export; import one export at a time")]
    BehindEnd,
    /// A room has stored something already.
    #[error("room {0} has data already; nothing of it was changed; choose to replace it, or leave it out")]
    HasData(RoomAddress),
    /// The storage cannot be read.
    #[error("the storage cannot be read: {0}")]
    Storage(EngineError),
    /// The storage cannot be written.
    #[error("the storage cannot be written: {0}")]
    Commit(CommitError),
}

/// What a line means.
enum Item {
    Room(RoomAddress),
    Alarm(StoredAlarm),
    Entry(String, Bytes),
}

/// The first line of an export of any version.
#[derive(Deserialize)]
struct Head {
    r#type: String,
    format: u64,
}

/// The lines of an export, checked.
struct Lines<R> {
    from: R,
    limits: StorageLimits,
    /// Of the line that was read last.
    number: u64,
    line: Vec<u8>,
    room: Option<RoomAddress>,
    last_alarm: Option<String>,
    last_key: Option<String>,
    counts: Counts,
}

/// Where rooms go.
struct Target<'a> {
    engine: &'a dyn StorageEngine,
    /// Rooms that have been read to their end and are still to be committed.
    whole: Vec<Arriving>,
    /// The room that is being read.
    current: Option<Arriving>,
    /// What waits to be committed.
    waiting_bytes: usize,
    imported: Imported,
}

/// A room on its way.
struct Arriving {
    room: RoomAddress,
    epoch: u64,
    /// Of the commit that landed last.
    seq: u64,
    /// What the next commit is to have.
    writes: Writes,
    counts: Counts,
    replaces: bool,
    /// Whether a part of it has landed.
    is_begun: bool,
}

impl Import {
    /// Brings the rooms in. A room is in whole or not at all, even if the import ends within it; only a
    /// program that is killed may leave a part of one long room.
    ///
    /// Whatever is read first goes in first, some MiB at a time. So a file that is damaged in its middle
    /// leaves the rooms before, and takes from a long room that it was to replace what that had
    /// ([`Imported::lost`]); [`Import::rehearse`] tells beforehand.
    ///
    /// # Errors
    ///
    /// [`ImportError`] with the line, what is wrong with it, and what is in already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the import, and may leave a part of a room.
    pub async fn run(
        &self,
        engine: &dyn StorageEngine,
        from: impl AsyncBufRead + Unpin,
    ) -> Result<Imported, ImportError> {
        let mut lines = Lines::new(from, self.limits);
        let mut target = Target::new(engine);
        match self.bring(&mut lines, Some(&mut target), engine).await {
            Ok(_) => Ok(target.imported),
            Err(fault) => {
                target.give_up().await;
                Err(ImportError { line: lines.number, fault, imported: target.imported })
            }
        }
    }

    /// Does all that [`Import::run`] does but write; returns what it would bring in.
    ///
    /// # Errors
    ///
    /// As [`Import::run`].
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves nothing behind.
    pub async fn rehearse(
        &self,
        engine: &dyn StorageEngine,
        from: impl AsyncBufRead + Unpin,
    ) -> Result<Counts, ImportError> {
        let mut lines = Lines::new(from, self.limits);
        let brought = self.bring(&mut lines, None, engine).await;
        let imported = Imported::default();
        brought.map_err(|fault| ImportError { line: lines.number, fault, imported })
    }

    /// Returns what was selected.
    async fn bring(
        &self,
        lines: &mut Lines<impl AsyncBufRead + Unpin>,
        mut target: Option<&mut Target<'_>>,
        engine: &dyn StorageEngine,
    ) -> Result<Counts, Fault> {
        let before = engine.snapshot().await.map_err(Fault::Storage)?;
        let mut selected = Counts::default();
        // Whether the room that is being read is.
        let mut is_selected = false;
        while let Some(item) = lines.next().await? {
            if let Item::Room(room) = &item {
                is_selected = self.selection.has(room);
            }
            if !is_selected {
                continue;
            }
            match &item {
                Item::Room(_) => selected.rooms += 1,
                Item::Alarm(_) => selected.alarms += 1,
                Item::Entry(..) => selected.entries += 1,
            }
            let replaces = match &item {
                Item::Room(room) => has_data(&*before, room).await.map_err(Fault::Storage)?,
                Item::Alarm(_) | Item::Entry(..) => false,
            };
            match (item, &mut target) {
                (Item::Room(room), _) if replaces && !self.replace => return Err(Fault::HasData(room)),
                (_, None) => {}
                (Item::Room(room), Some(target)) => target.begin(room, replaces).await?,
                (item, Some(target)) => target.add(item).await?,
            }
        }
        if let Some(target) = target {
            target.finish().await?;
        }
        Ok(selected)
    }
}

async fn has_data(before: &dyn Snapshot, room: &RoomAddress) -> Result<bool, EngineError> {
    Ok(!before.entries(room, None, 1).await?.entries.is_empty() || !before.alarms(room).await?.is_empty())
}

impl<'a> Target<'a> {
    fn new(engine: &'a dyn StorageEngine) -> Self {
        let imported = Imported::default();
        Self { engine, whole: Vec::new(), current: None, waiting_bytes: 0, imported }
    }

    /// A new room begins, so the one before is whole.
    async fn begin(&mut self, room: RoomAddress, replaces: bool) -> Result<(), Fault> {
        self.whole.extend(self.current.take());
        if self.whole.len() >= GROUP_ROOMS {
            self.land_whole().await?;
        }
        let opened = self.engine.open(&room).await.map_err(Fault::Storage)?;
        let mut writes = Writes::new();
        if replaces {
            writes.delete_all();
        }
        let counts = Counts { rooms: 1, ..Counts::default() };
        let (epoch, seq) = (opened.epoch, opened.seq);
        self.current = Some(Arriving { room, epoch, seq, writes, counts, replaces, is_begun: false });
        Ok(())
    }

    async fn add(&mut self, item: Item) -> Result<(), Fault> {
        let Some(current) = &mut self.current else { return Ok(()) };
        match item {
            Item::Room(_) => {}
            Item::Alarm(alarm) => {
                self.waiting_bytes += alarm.name.len() + ITEM_BYTES;
                current.counts.alarms += 1;
                current.writes.set_alarm(alarm);
            }
            Item::Entry(key, value) => {
                self.waiting_bytes += key.len() + value.len() + ITEM_BYTES;
                current.counts.entries += 1;
                current.writes.put(key, value);
            }
        }
        if self.waiting_bytes >= GROUP_BYTES {
            self.land_whole().await?;
            self.land_part().await?;
        }
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Fault> {
        self.whole.extend(self.current.take());
        self.land_whole().await
    }

    /// Commits what there is of the room that is being read.
    async fn land_part(&mut self) -> Result<(), Fault> {
        let Some(current) = &mut self.current else { return Ok(()) };
        commit(self.engine, current).await.map_err(Fault::Commit)?;
        current.seq += 1;
        current.writes = Writes::new();
        current.is_begun = true;
        Ok(())
    }

    /// Commits the rooms that are whole, all at once.
    async fn land_whole(&mut self) -> Result<(), Fault> {
        self.waiting_bytes = 0;
        let rooms = std::mem::take(&mut self.whole);
        let answers = join_all(rooms.iter().map(|room| commit(self.engine, room))).await;
        let mut outcome = Ok(());
        for (room, answer) in rooms.into_iter().zip(answers) {
            match answer {
                Ok(()) => {
                    self.engine.close(&room.room, room.epoch);
                    self.imported.add(room);
                }
                Err(error) => {
                    self.whole.push(room);
                    outcome = Err(Fault::Commit(error));
                }
            }
        }
        outcome
    }

    /// Gives all rooms back that are not in, and removes what is there of them.
    async fn give_up(&mut self) {
        for room in self.whole.drain(..).chain(self.current.take()) {
            self.engine.close(&room.room, room.epoch);
            if !room.is_begun {
                continue;
            }
            if clear(self.engine, &room.room).await.is_err() {
                self.imported.partial = Some(room.room.clone());
            }
            if room.replaces {
                self.imported.lost = Some(room.room);
            }
        }
    }
}

/// Removes what has landed of a room. It is opened anew, for a commit of the epoch before has failed.
async fn clear(engine: &dyn StorageEngine, room: &RoomAddress) -> Result<(), Fault> {
    let opened = engine.open(room).await.map_err(Fault::Storage)?;
    let mut writes = Writes::new();
    writes.delete_all();
    let cleared = Commit::new(room.clone(), opened.epoch, opened.seq + 1, Arc::new(writes));
    let cleared = engine.commit(cleared).await;
    engine.close(room, opened.epoch);
    cleared.map_err(Fault::Commit)
}

async fn commit(engine: &dyn StorageEngine, room: &Arriving) -> Result<(), CommitError> {
    if room.writes.is_empty() {
        return Ok(());
    }
    let writes = Arc::new(room.writes.clone());
    engine.commit(Commit::new(room.room.clone(), room.epoch, room.seq + 1, writes)).await
}

impl Imported {
    fn add(&mut self, room: Arriving) {
        self.counts.rooms += 1;
        self.counts.alarms += room.counts.alarms;
        self.counts.entries += room.counts.entries;
        self.replaced_count += u64::from(room.replaces);
        self.last = Some(room.room);
    }
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    fn new(from: R, limits: StorageLimits) -> Self {
        Self {
            from,
            limits,
            number: 0,
            line: Vec::new(),
            room: None,
            last_alarm: None,
            last_key: None,
            counts: Counts::default(),
        }
    }

    /// The next room, alarm or entry; `None` behind the last line.
    async fn next(&mut self) -> Result<Option<Item>, Fault> {
        if self.number == 0 {
            self.read_head().await?;
        }
        if !self.read_line().await? {
            return Err(Fault::Cut);
        }
        match self.record()? {
            Record::Export { .. } => Err(Fault::BehindHead),
            Record::Room { party, room } => self.begin_room(&party, &room).map(Some),
            Record::Alarm { party, room, name, scheduled_ms, due_ms, retry } => {
                self.must_be_of_room(&party, &room)?;
                let name = self.alarm_name(name.as_deref())?;
                Ok(Some(Item::Alarm(StoredAlarm::new(name, scheduled_ms, due_ms, retry))))
            }
            Record::Entry { party, room, key, value } => {
                self.must_be_of_room(&party, &room)?;
                self.entry(key.into_owned(), &value).map(Some)
            }
            Record::End { rooms, alarms, entries } => {
                let (told, found) = (Counts { rooms, alarms, entries }, self.counts);
                if told != found {
                    return Err(Fault::Counts { told, found });
                }
                if self.read_line().await? { Err(Fault::BehindEnd) } else { Ok(None) }
            }
        }
    }

    /// The version comes first, for nothing is known of what a later one writes.
    async fn read_head(&mut self) -> Result<(), Fault> {
        self.read_line().await?;
        let head = serde_json::from_slice::<Head>(&self.line).ok();
        match head.filter(|head| head.r#type == "export") {
            Some(Head { format, .. }) if format > FORMAT => Err(Fault::TooNew { found: format }),
            Some(_) => self.record().map(drop),
            None => Err(Fault::NoHead),
        }
    }

    fn record(&self) -> Result<Record<'static>, Fault> {
        let line = std::str::from_utf8(&self.line).map_err(|_| Fault::Utf8)?;
        serde_json::from_str(line).map_err(|error| match error.classify() {
            // Half a line is what a file ends with that was cut.
            serde_json::error::Category::Eof if !self.line.ends_with(b"\n") => Fault::Cut,
            _ => Fault::Record(error),
        })
    }

    fn begin_room(&mut self, party: &str, room: &str) -> Result<Item, Fault> {
        let party = PartyName::new(party).map_err(Fault::Name)?;
        let room = RoomAddress::new(party, RoomId::new(room).map_err(Fault::Name)?);
        if self.room.as_ref().is_some_and(|before| *before >= room) {
            return Err(Fault::RoomOrder(room));
        }
        self.room = Some(room.clone());
        (self.last_alarm, self.last_key) = (None, None);
        self.counts.rooms += 1;
        Ok(Item::Room(room))
    }

    fn must_be_of_room(&self, party: &str, room: &str) -> Result<(), Fault> {
        let of = self.room.as_ref().filter(|of| of.party.as_str() == party && of.room.as_str() == room);
        of.map(drop).ok_or(Fault::NotOfRoom)
    }

    fn alarm_name(&mut self, name: Option<&str>) -> Result<String, Fault> {
        let limit_bytes = self.limits.alarm_name_bytes_max;
        if let Some(name) = name
            && (name.is_empty() || name.len() > limit_bytes)
        {
            return Err(Fault::AlarmName { len_bytes: name.len(), limit_bytes });
        }
        let name = name.unwrap_or_default().to_owned();
        let is_behind = self.last_alarm.as_ref().is_none_or(|last| *last < name);
        if !is_behind || self.last_key.is_some() {
            return Err(Fault::Order("alarm"));
        }
        self.last_alarm = Some(name.clone());
        self.counts.alarms += 1;
        Ok(name)
    }

    fn entry(&mut self, key: String, value: &str) -> Result<Item, Fault> {
        let StorageLimits { key_bytes_max, value_bytes_max, .. } = self.limits;
        if key.len() > key_bytes_max {
            return Err(Fault::KeyTooLong { len_bytes: key.len(), limit_bytes: key_bytes_max });
        }
        if self.last_key.as_ref().is_some_and(|last| *last >= key) {
            return Err(Fault::Order("key"));
        }
        let value = BASE64.decode(value.as_bytes()).map_err(|_| Fault::Base64)?;
        if value.len() > value_bytes_max {
            return Err(Fault::ValueTooLong { len_bytes: value.len(), limit_bytes: value_bytes_max });
        }
        self.last_key = Some(key.clone());
        self.counts.entries += 1;
        Ok(Item::Entry(key, value.into()))
    }

    /// Reads the next line that is not blank, with its end if it has one; `false` if there is none.
    async fn read_line(&mut self) -> Result<bool, Fault> {
        let limit_bytes = self.line_bytes_max();
        loop {
            self.line.clear();
            self.number += 1;
            while !self.line.ends_with(b"\n") {
                let read = self.from.fill_buf().await.map_err(Fault::Read)?;
                if read.is_empty() {
                    break;
                }
                let length = read.iter().position(|byte| *byte == b'\n').map_or(read.len(), |at| at + 1);
                if self.line.len() + length > limit_bytes {
                    return Err(Fault::LineTooLong { limit_bytes });
                }
                self.line.extend_from_slice(&read[..length]);
                self.from.consume(length);
            }
            if self.line.is_empty() {
                return Ok(false);
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(true);
            }
        }
    }

    /// A byte of text has six at most in JSON, three of a value four in base64.
    fn line_bytes_max(&self) -> usize {
        let StorageLimits { key_bytes_max, value_bytes_max, alarm_name_bytes_max, .. } = self.limits;
        let names = key_bytes_max.saturating_add(alarm_name_bytes_max).saturating_mul(6);
        let value = (value_bytes_max / 3).saturating_add(1).saturating_mul(4);
        names.saturating_add(value).saturating_add(LINE_EXTRA_BYTES)
    }
}
