//! What a storage backend does for the host.
//!
//! The difficulty is failure: commits of one room must land in sequence, and after one that
//! failed none of the same opening may land, even where the two travel together. So every
//! commit carries the epoch that `open` gave out and a sequence number, and the engine
//! refuses what does not follow the last one.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::list::KeyRange;
use super::writes::Writes;
use crate::address::{PartyName, RoomAddress, RoomId};

/// A storage backend: rooms, their keys, and commits that are durable when they are answered.
///
/// One engine serves all rooms of a host, from several threads at once.
#[async_trait]
pub trait StorageEngine: fmt::Debug + Send + Sync + 'static {
    /// Takes a room into use and gives out its epoch; commits of an earlier epoch are
    /// refused from now on. The first commit of the epoch has the number `seq + 1`. Returns the
    /// room's alarms as well.
    async fn open(&self, room: &RoomAddress) -> Result<Opened, EngineError>;

    /// Gives a room back: the epoch ends, and what the engine keeps for it is freed.
    ///
    /// Called when nothing of the epoch is under way any more.
    fn close(&self, room: &RoomAddress, epoch: u64);

    /// The stored values of `keys` of an open room, in their order; `None` where there is none.
    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError>;

    /// The stored entries of a range of an open room, in the order of the keys' bytes (or its reverse).
    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError>;

    /// Writes a commit, all of it or nothing; `Ok` means that it is on disk.
    ///
    /// The commit takes its place in the sequence when the future is first polled. Several
    /// of one room may be under way at once; they are answered in sequence.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future after its first poll does not take the commit back.
    async fn commit(&self, commit: Commit) -> Result<(), CommitError>;

    /// Alarms of all rooms, open or not, that are due at `until_ms` or before: at most `limit`,
    /// by time, party, room and name, those behind `after`. It reads these and one more.
    async fn alarms_due(
        &self,
        after: Option<&DueAlarm>,
        until_ms: u64,
        limit: usize,
    ) -> Result<DueAlarms, EngineError>;

    /// Ends when nothing is known any more of what is on disk, such as after a sync that
    /// failed, with the reason. The host ends then: commits and reads fail from now on. An engine
    /// that knows no such error never ends it.
    async fn failed(&self) -> EngineError {
        std::future::pending().await
    }

    /// What all rooms have on disk at this moment, to be read in pages while the rooms go on.
    ///
    /// No room is opened or held up for it. It is for those who look into a host and for backups:
    /// an engine may need more space while a snapshot is kept.
    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError>;
}

/// What all rooms had on disk at one moment; got by [`StorageEngine::snapshot`].
///
/// Whatever is committed later is not in it. It takes little memory, as everything but the
/// parties and one room's alarms is read in pages. When the engine is gone, every read fails.
#[async_trait]
pub trait Snapshot: fmt::Debug + Send + Sync {
    /// All parties of which a room has stored something, by name.
    async fn parties(&self) -> Result<Vec<PartyName>, EngineError>;

    /// Rooms of `party` that have stored something, alarms included, in the order of their ids,
    /// after `after`: at most `limit`.
    async fn rooms(
        &self,
        party: &PartyName,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, EngineError>;

    /// All alarms of a room, by name.
    async fn alarms(&self, room: &RoomAddress) -> Result<Vec<StoredAlarm>, EngineError>;

    /// The entries of a room behind the key `after`, in the order of the keys' bytes. It reads at
    /// most `limit` of them, and no more when those it has are over [`StoredEntries::BYTES_MAX`].
    async fn entries(
        &self,
        room: &RoomAddress,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StoredEntries, EngineError>;
}

/// What [`Snapshot::entries`] found of a room; nothing of one that has stored nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredEntries {
    /// Keys and values.
    pub entries: Vec<(String, Bytes)>,
    /// Whether there are more behind the last of them.
    pub has_more: bool,
}

/// What [`StorageEngine::open`] gives out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opened {
    /// Which ownership of the room this is; higher than every earlier one.
    pub epoch: u64,
    /// Number of the last commit; the next has `seq + 1`.
    pub seq: u64,
    /// The room's alarms, in any order.
    pub alarms: Vec<StoredAlarm>,
}

/// An alarm of a room, as it is stored. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoredAlarm {
    /// Its name; empty for the one without.
    pub name: String,
    /// What it was set to.
    pub scheduled_ms: u64,
    /// When it is to go off: `scheduled_ms`, or the time of a retry.
    pub due_ms: u64,
    /// How many times its hook has failed.
    pub retry: u32,
}

/// An alarm's place among those of all rooms: by time, then party, room and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct DueAlarm {
    /// When it is due, in milliseconds since 1970.
    pub due_ms: u64,
    /// The room that set it.
    pub room: RoomAddress,
    /// Its name; empty for the one without.
    pub name: String,
}

/// What [`StorageEngine::alarms_due`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DueAlarms {
    /// The alarms that are due, in their order.
    pub alarms: Vec<DueAlarm>,
    /// When the first is due that is not due yet; `None` if there is none, or the limit was reached.
    pub next_ms: Option<u64>,
}

/// The writes of one hook, on their way to the disk.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Commit {
    /// The room that it belongs to.
    pub room: RoomAddress,
    /// What `open` gave out.
    pub epoch: u64,
    /// Its number in the room's sequence.
    pub seq: u64,
    /// What to write; never empty.
    pub writes: Arc<Writes>,
}

/// Why a commit is not on disk. What it wrote may or may not be there after a crash.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommitError {
    /// The epoch has ended, or an earlier commit of the room failed.
    #[error("commit belongs to an opening of the room that has ended")]
    Fenced,
    /// There is no room on the disk.
    #[error("the disk is full")]
    Full,
    /// The write failed. Nothing of the commit is there, unless the engine cannot tell any more.
    #[error("the write failed: {0}")]
    Failed(Arc<str>),
}

/// Why an engine could not open or read.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct EngineError {
    text: Arc<str>,
}

impl Opened {
    /// An epoch and the number of the last commit, of a room without alarms.
    #[must_use]
    pub fn new(epoch: u64, seq: u64) -> Self {
        Self { epoch, seq, alarms: Vec::new() }
    }

    /// With these alarms of the room.
    #[must_use]
    pub fn with_alarms(self, alarms: Vec<StoredAlarm>) -> Self {
        Self { alarms, ..self }
    }
}

impl StoredEntries {
    /// When the keys and values of one page are longer than this, they are enough.
    pub const BYTES_MAX: usize = 4 << 20;

    /// The first of these entries, as many as one page may have.
    ///
    /// # Errors
    ///
    /// The first of the entries'.
    pub fn of<E>(entries: impl Iterator<Item = Result<(String, Bytes), E>>, limit: usize) -> Result<Self, E> {
        let mut page = Self::default();
        let mut bytes = 0;
        for entry in entries {
            if page.entries.len() == limit || bytes > Self::BYTES_MAX {
                page.has_more = true;
                break;
            }
            let (key, value) = entry?;
            bytes += key.len() + value.len();
            page.entries.push((key, value));
        }
        Ok(page)
    }
}

impl StoredAlarm {
    /// An alarm from its parts.
    #[must_use]
    pub fn new(name: String, scheduled_ms: u64, due_ms: u64, retry: u32) -> Self {
        Self { name, scheduled_ms, due_ms, retry }
    }
}

impl DueAlarm {
    /// A place from its parts.
    #[must_use]
    pub fn new(due_ms: u64, room: RoomAddress, name: String) -> Self {
        Self { due_ms, room, name }
    }
}

impl DueAlarms {
    /// The alarms that are due, and when the next one is.
    #[must_use]
    pub fn new(alarms: Vec<DueAlarm>, next_ms: Option<u64>) -> Self {
        Self { alarms, next_ms }
    }
}

impl Commit {
    /// A commit from its parts.
    #[must_use]
    pub fn new(room: RoomAddress, epoch: u64, seq: u64, writes: Arc<Writes>) -> Self {
        Self { room, epoch, seq, writes }
    }
}

impl EngineError {
    /// An error with this text; it goes to logs, never to a client.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into().into() }
    }
}
