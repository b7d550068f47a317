//! Writing a copy, piece by piece, as fast as whoever asks takes it.

use std::collections::VecDeque;
use std::collections::vec_deque;
use std::io;
use std::time::SystemTime;

use bytes::Bytes;
use data_encoding::BASE64;
use partyrs::storage::{EngineError, Snapshot, StorageEngine};
use partyrs::{PartyName, RoomAddress, RoomId};
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::{Counts, FORMAT, Record, Selection};

/// Rooms that are read at once.
const ROOMS_PAGE: usize = 256;

/// Entries that are read at once, unless they are long.
const ENTRIES_PAGE: usize = 256;

/// A piece is given out when it is longer; the last line of it may be long.
const PIECE_BYTES: usize = 64 << 10;

/// What rooms had stored at one moment, to be taken piece by piece; the format stands at
/// [`backup`](crate::backup).
///
/// It holds some 10 MiB at most, as long as values have at most 2 MiB, and one room's alarms. While it
/// is kept, the engine keeps what it has still to read: the file of a busy host grows by what is
/// changed meanwhile, and uses the space again afterwards.
///
/// # Examples
///
/// ```
/// use partyrs::storage::MemoryEngine;
/// use partyrs_runtime::backup::{Export, Selection};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let engine = MemoryEngine::new();
/// let export = Export::begin(&engine, Selection::All, std::time::SystemTime::now()).await?;
/// let mut copy = Vec::new();
/// let counts = export.write_to(&mut copy).await?;
/// assert_eq!(counts.rooms, 0);
/// assert_eq!(copy.iter().filter(|byte| **byte == b'\n').count(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Export {
    snapshot: Box<dyn Snapshot>,
    /// The first line, until it has been given out.
    head: Option<Record<'static>>,
    /// The parties whose rooms are still to be read; some of those of the first may have been.
    parties: VecDeque<PartyName>,
    /// The last room of the first party that has been read.
    last: Option<RoomId>,
    rooms: VecDeque<RoomAddress>,
    /// The room whose entries are being read.
    current: Option<Current>,
    counts: Counts,
    is_over: bool,
}

#[derive(Debug)]
struct Current {
    room: RoomAddress,
    entries: vec_deque::IntoIter<(String, Bytes)>,
    /// The last key that has been read, if there are more behind it.
    after: Option<String>,
}

/// Why an export was not written to its end. What is there of it is refused by an import.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The engine could not read.
    #[error("storage cannot be read")]
    Storage(#[from] EngineError),
    /// It could not be written.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
}

impl Export {
    /// Takes what is stored now; `now` is told in the first line.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the storage cannot be read.
    pub async fn begin(
        engine: &dyn StorageEngine,
        selection: Selection,
        now: SystemTime,
    ) -> Result<Self, EngineError> {
        let snapshot = engine.snapshot().await?;
        let (mut parties, mut rooms) = (VecDeque::new(), VecDeque::new());
        match selection {
            Selection::All => parties = snapshot.parties().await?.into(),
            Selection::Party(party) => parties.push_back(party),
            Selection::Room(room) => {
                let has_entries = !snapshot.entries(&room, None, 1).await?.entries.is_empty();
                if has_entries || !snapshot.alarms(&room).await?.is_empty() {
                    rooms.push_back(room);
                }
            }
        }
        let at = jiff::Timestamp::try_from(now).unwrap_or(jiff::Timestamp::MIN);
        let head = Record::Export {
            format: FORMAT,
            at: at.to_string().into(),
            version: env!("CARGO_PKG_VERSION").into(),
        };
        let (counts, head) = (Counts::default(), Some(head));
        Ok(Self { snapshot, head, parties, last: None, rooms, current: None, counts, is_over: false })
    }

    /// The next whole lines, some 64 KiB of them, or one that is longer; `None` when all have been
    /// given out.
    ///
    /// # Errors
    ///
    /// [`EngineError`] if the storage cannot be read; the export ends with it, without its last line.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses what it has read: what was given out is no whole export then, and what
    /// comes later does not make it one.
    pub async fn next(&mut self) -> Result<Option<Bytes>, EngineError> {
        let mut lines = Vec::new();
        while lines.len() < PIECE_BYTES && !self.is_over {
            if let Some(head) = self.head.take() {
                write_line(&mut lines, &head)?;
            } else if let Some(current) = &mut self.current
                && let Some((key, value)) = current.entries.next()
            {
                self.counts.entries += 1;
                let (party, room) = parts(&current.room);
                let value = BASE64.encode(&value).into();
                write_line(&mut lines, &Record::Entry { party, room, key: key.into(), value })?;
            } else {
                self.read_on(&mut lines).await?;
            }
        }
        Ok((!lines.is_empty()).then(|| lines.into()))
    }

    /// Writes all of it, and returns what is in it.
    ///
    /// # Errors
    ///
    /// [`ExportError`] if the storage cannot be read, or the export not written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the export; what has been written of it has no last line.
    pub async fn write_to(mut self, to: &mut (impl AsyncWrite + Unpin)) -> Result<Counts, ExportError> {
        while let Some(lines) = self.next().await? {
            to.write_all(&lines).await?;
        }
        to.flush().await?;
        Ok(self.counts)
    }

    /// What has been given out.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Reads what comes next: a page of the entries of a room, the next room, or a page of rooms.
    async fn read_on(&mut self, lines: &mut Vec<u8>) -> Result<(), EngineError> {
        if let Some(Current { room, after, .. }) = self.current.take() {
            if let Some(after) = after {
                self.current = Some(read_entries(&*self.snapshot, room, Some(&after)).await?);
            }
        } else if let Some(room) = self.rooms.pop_front() {
            self.begin_room(room, lines).await?;
        } else if let Some(party) = self.parties.front() {
            let page = self.snapshot.rooms(party, self.last.as_ref(), ROOMS_PAGE).await?;
            let address = |room: &RoomId| RoomAddress::new(party.clone(), room.clone());
            self.rooms = page.iter().map(address).collect();
            self.last = page.into_iter().last();
            if self.last.is_none() {
                self.parties.pop_front();
            }
        } else {
            let Counts { rooms, alarms, entries } = self.counts;
            write_line(lines, &Record::End { rooms, alarms, entries })?;
            self.is_over = true;
        }
        Ok(())
    }

    /// Writes a room's first lines, and reads its first entries.
    async fn begin_room(&mut self, room: RoomAddress, lines: &mut Vec<u8>) -> Result<(), EngineError> {
        let (party, id) = parts(&room);
        write_line(lines, &Record::Room { party, room: id })?;
        self.counts.rooms += 1;
        for alarm in self.snapshot.alarms(&room).await? {
            let (party, id) = parts(&room);
            let name = Some(alarm.name.into()).filter(|name: &std::borrow::Cow<'_, str>| !name.is_empty());
            let (scheduled_ms, due_ms, retry) = (alarm.scheduled_ms, alarm.due_ms, alarm.retry);
            write_line(lines, &Record::Alarm { party, room: id, name, scheduled_ms, due_ms, retry })?;
            self.counts.alarms += 1;
        }
        self.current = Some(read_entries(&*self.snapshot, room, None).await?);
        Ok(())
    }
}

async fn read_entries(
    snapshot: &dyn Snapshot,
    room: RoomAddress,
    after: Option<&str>,
) -> Result<Current, EngineError> {
    let page = snapshot.entries(&room, after, ENTRIES_PAGE).await?;
    let after = page.entries.last().map(|(key, _)| key.clone()).filter(|_| page.has_more);
    Ok(Current { room, entries: VecDeque::from(page.entries).into_iter(), after })
}

fn parts(room: &RoomAddress) -> (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>) {
    (room.party.as_str().into(), room.room.as_str().into())
}

fn write_line(lines: &mut Vec<u8>, record: &Record<'_>) -> Result<(), EngineError> {
    serde_json::to_writer(&mut *lines, record).map_err(|error| EngineError::new(error.to_string()))?;
    lines.push(b'\n');
    Ok(())
}
