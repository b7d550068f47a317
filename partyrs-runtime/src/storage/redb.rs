//! The embedded storage engine: one redb file, one thread that commits, a few that read.
//!
//! All rooms' commits that wait while one durable write runs go into the next one together.
//! The sequence of each room is checked by the commit thread alone, so a commit that does
//! not follow the last one of its epoch never lands, even in the group of one that failed.
//!
//! A room's keys lie under a number given out with its first commit, so that a room's start
//! reads its own keys only, and a room that never stored anything reads nothing at all. Its
//! alarms lie under that number too, and once more in the order of their times, over all rooms.

mod check;
mod committer;
mod folder;
pub(super) mod snapshot;

use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use ::redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition};
use async_trait::async_trait;
use bytes::Bytes;
use partyrs::storage::{
    Commit, CommitError, DueAlarm, DueAlarms, EngineError, KeyRange, Opened, Snapshot, StorageEngine,
    StoredAlarm,
};
use partyrs::{PartyName, RoomAddress, RoomId};
use tokio::sync::{mpsc, oneshot};

pub use self::check::{CheckReport, Defect, check};
use self::committer::{Committer, OpenRoom, Rooms, Waiting};
pub use self::folder::OpenError;
use self::folder::{must_exist, open_store, unusable};
use super::disk::Disk;
use super::store::Store;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const ROOMS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("rooms");
const VALUES: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("values");
/// By room and name: the time that it was set to, the time when it is due, how often it failed.
const ALARMS: TableDefinition<'_, (u64, &str), (u64, u64, u32)> = TableDefinition::new("alarms");
/// The same by time, party, room and name.
const DUE: TableDefinition<'_, DueKey<'_>, ()> = TableDefinition::new("due");

type DueKey<'a> = (u64, &'a str, &'a str, &'a str);

/// In `META`: the number that the next room gets.
const META_NEXT_ROOM: &str = "next_room";

/// Commits that wait for the commit thread; who comes when it is full waits.
const COMMITS_WAITING_MAX: usize = 4096;

/// Threads that read, and reads that wait for them; who comes when it is full waits.
const READERS: usize = 2;
const READS_WAITING_MAX: usize = 1024;

/// Rooms stored in a folder on disk: all of them in one redb file, `rooms.redb`.
///
/// One process at a time can have the folder open. Commits of all rooms that come while one
/// is being written share the next write to the disk; a commit is answered when it is there.
/// It has three threads: one that writes, two that read.
///
/// After an error of the disk the file is opened anew, and what comes next finds it as the last
/// commit that landed has left it; nothing that failed is tried again. An error may come when
/// everything has arrived: a commit that is found in the file then has landed. When the disk is full,
/// those commits are refused that do not fit, until there is space again. When the system
/// cannot say that a write is safe (a failed fsync), the engine has [failed](StorageEngine::failed)
/// for good.
pub struct RedbEngine {
    store: Arc<Store>,
    rooms: Arc<Rooms>,
    epochs_count: AtomicU64,
    /// `None` while the engine is dropped: the threads end when their queues do.
    commits: Option<mpsc::Sender<Waiting>>,
    reads: Option<mpsc::Sender<Read>>,
    threads: Vec<JoinHandle<()>>,
}

type Read = Box<dyn FnOnce(&Store) + Send>;

impl RedbEngine {
    /// Opens the data folder, or makes it.
    ///
    /// # Errors
    ///
    /// [`OpenError`] if it cannot be written, is in use, damaged, or of a later version.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        let unusable = |source| OpenError::Folder { folder: folder.to_owned(), source };
        Self::start(folder::open(folder)?).map_err(unusable)
    }

    /// Opens the data folder, which must be there: to look into one, without making it.
    ///
    /// # Errors
    ///
    /// [`OpenError::Missing`] if there is none, and those of [`RedbEngine::open`].
    pub fn open_existing(folder: &Path) -> Result<Self, OpenError> {
        must_exist(folder)?;
        Self::open(folder)
    }

    /// Opens what is on `disk`, or makes it: for tests of what happens when a disk fails.
    ///
    /// # Errors
    ///
    /// As [`RedbEngine::open`]; they name the file `disk`.
    pub fn open_on(disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        let file = Path::new("disk");
        Self::start(open_store(file, disk)?).map_err(|source| unusable(file, source))
    }

    fn start(store: Store) -> io::Result<Self> {
        let store = Arc::new(store);
        let rooms = Arc::new(Rooms::default());
        let (commits, waiting) = mpsc::channel(COMMITS_WAITING_MAX);
        let (reads, asked) = mpsc::channel::<Read>(READS_WAITING_MAX);
        let asked = Arc::new(Mutex::new(asked));
        let mut threads = Vec::new();
        let committer = Committer::new(Arc::clone(&store), Arc::clone(&rooms));
        let builder = std::thread::Builder::new().name("partyrs-commit".to_owned());
        threads.push(builder.spawn(move || committer.run(waiting))?);
        for _ in 0..READERS {
            let (store, asked) = (Arc::clone(&store), Arc::clone(&asked));
            let builder = std::thread::Builder::new().name("partyrs-read".to_owned());
            threads.push(builder.spawn(move || {
                while let Some(read) = next_read(&asked) {
                    read(&store);
                }
            })?);
        }
        Ok(Self {
            store,
            rooms,
            epochs_count: AtomicU64::new(0),
            commits: Some(commits),
            reads: Some(reads),
            threads,
        })
    }

    /// Runs `read` on a reader thread.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, ::redb::Error> + Send + 'static,
    ) -> Result<T, EngineError> {
        self.ask(|store| store.with(|database| read(&database.begin_read()?))).await
    }

    /// Runs `ask` on a reader thread.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Store) -> Result<Result<T, ::redb::Error>, Arc<str>> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let job: Read = Box::new(move |store| {
            let result = match ask(store) {
                Ok(result) => result.map_err(|error| EngineError::new(error.to_string())),
                Err(reason) => Err(EngineError::new(&*reason)),
            };
            // A hook that was ended needs no answer.
            drop(reply.send(result));
        });
        let closed = || EngineError::new("storage is closed");
        let Some(reads) = &self.reads else { return Err(closed()) };
        reads.send(job).await.map_err(|_| closed())?;
        answer.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Where the keys of an open room lie, if it has any.
    fn number(&self, room: &RoomAddress) -> Option<u64> {
        self.rooms.state().open.get(room).and_then(|open| open.number)
    }
}

#[async_trait]
impl StorageEngine for RedbEngine {
    async fn open(&self, room: &RoomAddress) -> Result<Opened, EngineError> {
        let epoch = self.epochs_count.fetch_add(1, Ordering::Relaxed) + 1;
        // From here on commits of earlier epochs are refused. One that is being written may
        // still give the room its number, or take it away, so it is waited for.
        self.rooms.state().open.insert(room.clone(), OpenRoom { epoch, seq: 0, number: None });
        self.rooms.settled(room).await;
        let address = room.clone();
        let stored = self.read(move |txn| {
            let Some(number) = room_number(txn, &address)? else { return Ok((None, Vec::new())) };
            Ok((Some(number), alarms_of(&txn.open_table(ALARMS)?, number)?))
        });
        match stored.await {
            Ok((number, alarms)) => {
                if let Some(open) = self.rooms.state().of(room, epoch) {
                    open.number = number;
                }
                Ok(Opened::new(epoch, 0).with_alarms(alarms))
            }
            Err(error) => {
                self.close(room, epoch);
                Err(error)
            }
        }
    }

    fn close(&self, room: &RoomAddress, epoch: u64) {
        let mut rooms = self.rooms.state();
        if rooms.of(room, epoch).is_some() {
            rooms.open.remove(room);
        }
    }

    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let Some(number) = self.number(room) else { return Ok(vec![None; keys.len()]) };
        let keys = keys.to_vec();
        self.read(move |txn| {
            let values = txn.open_table(VALUES)?;
            let value = |key: &String| {
                let found = values.get((number, key.as_str()))?;
                Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
            };
            keys.iter().map(value).collect()
        })
        .await
    }

    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError> {
        let Some(number) = self.number(room).filter(|_| !range.is_empty()) else {
            return Ok(Vec::new());
        };
        let range = range.clone();
        self.read(move |txn| {
            let values = txn.open_table(VALUES)?;
            let start = match &range.start {
                Bound::Included(key) => Bound::Included((number, key.as_str())),
                Bound::Excluded(key) => Bound::Excluded((number, key.as_str())),
                Bound::Unbounded => Bound::Included((number, "")),
            };
            let end = match &range.end {
                Bound::Included(key) => Bound::Included((number, key.as_str())),
                Bound::Excluded(key) => Bound::Excluded((number, key.as_str())),
                Bound::Unbounded => Bound::Excluded((number + 1, "")),
            };
            let entries = values.range::<(u64, &str)>((start, end))?;
            let limit = range.limit.unwrap_or(usize::MAX);
            let mut found = Vec::new();
            let mut take = |entry: Result<(::redb::AccessGuard<'_, (u64, &str)>, _), _>| {
                let (key, value): (_, ::redb::AccessGuard<'_, &[u8]>) = entry?;
                found.push((key.value().1.to_owned(), Bytes::copy_from_slice(value.value())));
                Ok::<_, ::redb::StorageError>(())
            };
            if range.reverse {
                entries.rev().take(limit).try_for_each(&mut take)?;
            } else {
                entries.take(limit).try_for_each(&mut take)?;
            }
            Ok(found)
        })
        .await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let closed = || CommitError::Failed("storage is closed".into());
        let (answer, answered) = oneshot::channel();
        let Some(commits) = &self.commits else { return Err(closed()) };
        commits.send(Waiting { commit, answer }).await.map_err(|_| closed())?;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }

    async fn alarms_due(
        &self,
        after: Option<&DueAlarm>,
        until_ms: u64,
        limit: usize,
    ) -> Result<DueAlarms, EngineError> {
        let after = after.cloned();
        self.read(move |txn| {
            let due = txn.open_table(DUE)?;
            let start = after.as_ref().map_or(Bound::Unbounded, |alarm| {
                Bound::Excluded(due_key(alarm.due_ms, &alarm.room, &alarm.name))
            });
            let mut alarms = Vec::new();
            let mut next_ms = None;
            for entry in due.range::<DueKey<'_>>((start, Bound::Unbounded))?.take(limit) {
                let (key, _) = entry?;
                let (due_ms, party, room, name) = key.value();
                if due_ms > until_ms {
                    next_ms = Some(due_ms);
                    break;
                }
                // They were checked when they were written.
                if let (Ok(party), Ok(room)) = (PartyName::new(party), RoomId::new(room)) {
                    alarms.push(DueAlarm::new(due_ms, RoomAddress::new(party, room), name.to_owned()));
                }
            }
            Ok(DueAlarms::new(alarms, next_ms))
        })
        .await
    }

    async fn failed(&self) -> EngineError {
        EngineError::new(&*self.store.lost().await)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        self.ask(Store::snapshot).await
    }
}

fn alarms_of(
    alarms: &impl ReadableTable<(u64, &'static str), (u64, u64, u32)>,
    number: u64,
) -> Result<Vec<StoredAlarm>, ::redb::StorageError> {
    let entries = alarms.range::<(u64, &str)>((number, "")..(number + 1, ""))?;
    let alarm = |entry: Result<(::redb::AccessGuard<'_, (u64, &str)>, _), _>| {
        let (key, times): (_, ::redb::AccessGuard<'_, (u64, u64, u32)>) = entry?;
        let (scheduled_ms, due_ms, retry) = times.value();
        Ok(StoredAlarm::new(key.value().1.to_owned(), scheduled_ms, due_ms, retry))
    };
    entries.map(alarm).collect()
}

fn due_key<'a>(due_ms: u64, room: &'a RoomAddress, name: &'a str) -> DueKey<'a> {
    (due_ms, room.party.as_str(), room.room.as_str(), name)
}

fn room_number(txn: &ReadTransaction, room: &RoomAddress) -> Result<Option<u64>, ::redb::Error> {
    let rooms = txn.open_table(ROOMS)?;
    Ok(rooms.get((room.party.as_str(), room.room.as_str()))?.map(|number| number.value()))
}

fn next_read(asked: &Mutex<mpsc::Receiver<Read>>) -> Option<Read> {
    asked.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

fn is_about_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Waits until what was handed over is written and the file is closed; ends its snapshots.
impl Drop for RedbEngine {
    fn drop(&mut self) {
        self.commits = None;
        self.reads = None;
        for thread in self.threads.drain(..) {
            // A thread that panicked has been reported by the panic hook.
            let _ = thread.join();
        }
        // Only now, for those who read have begun the last of them.
        self.store.end_snapshots();
    }
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine")
            .field("open_rooms_count", &self.rooms.state().open.len())
            .finish_non_exhaustive()
    }
}
