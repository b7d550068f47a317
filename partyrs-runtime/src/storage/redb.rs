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
pub(super) mod snapshot;

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use ::redb::{
    Database, DatabaseError, Durability, ReadTransaction, ReadableDatabase, ReadableTable, StorageError,
    Table, TableDefinition, TableError, Value, WriteTransaction,
};
use async_trait::async_trait;
use bytes::Bytes;
use partyrs::storage::{
    Commit, CommitError, DueAlarm, DueAlarms, EngineError, KeyRange, Opened, Snapshot, StorageEngine,
    StoredAlarm, Writes,
};
use partyrs::{PartyName, RoomAddress, RoomId};
use tokio::sync::{Notify, mpsc, oneshot};

pub use self::check::{CheckReport, Defect, check};
use super::disk::{Disk, FileDisk};
use super::store::{OpenFailed, Store};

/// Name of the file in the data folder.
const FILE: &str = "rooms.redb";

/// Its name while it is made: a file that a crash leaves half made cannot be opened.
const NEW_FILE: &str = "rooms.redb.new";

/// Version of the tables below; a file of a later one is refused.
const FORMAT: u64 = 1;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const ROOMS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("rooms");
const VALUES: TableDefinition<'_, (u64, &str), &[u8]> = TableDefinition::new("values");
/// By room and name: the time that it was set to, the time when it is due, how often it failed.
const ALARMS: TableDefinition<'_, (u64, &str), (u64, u64, u32)> = TableDefinition::new("alarms");
/// The same by time, party, room and name.
const DUE: TableDefinition<'_, DueKey<'_>, ()> = TableDefinition::new("due");

type DueKey<'a> = (u64, &'a str, &'a str, &'a str);

const META_FORMAT: &str = "format";
const META_NEXT_ROOM: &str = "next_room";
/// How many groups of commits have been written.
const META_GROUPS: &str = "groups";

/// Commits that wait for the commit thread; who comes when it is full waits.
const COMMITS_WAITING_MAX: usize = 4096;

/// Bytes of one durable write, roughly.
const GROUP_BYTES_MAX: usize = 16 << 20;

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

/// Why a data folder cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// It cannot be made, read or written.
    #[error("data folder {} cannot be used: {source}; name a folder that can be made and written, with PARTYRS_DATA", .folder.display())]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not there, or nothing was ever stored in it; only where it is not to be made.
    #[error("data folder {} is not there, or has no file `{FILE}`; name the folder that the host stores in", .folder.display())]
    Missing {
        /// Which folder.
        folder: PathBuf,
    },
    /// Another process has it open.
    #[error("data folder {} is in use by another process; stop that one, or name another folder with PARTYRS_DATA", .folder.display())]
    InUse {
        /// Which folder.
        folder: PathBuf,
    },
    /// It was written by a later version.
    #[error("data file {} has format {found}, but this version knows only up to {FORMAT}; run a later version of partyrs", .file.display())]
    TooNew {
        /// Which file.
        file: PathBuf,
        /// The format that it has.
        found: u64,
    },
    /// It cannot be read as a database.
    #[error("data file {} cannot be opened: {text}; restore it from a backup, or move it away to begin anew", .file.display())]
    Damaged {
        /// Which file.
        file: PathBuf,
        /// What redb says.
        text: String,
    },
}

/// What `open` and `close` share with the commit thread.
#[derive(Default)]
struct Rooms {
    state: Mutex<RoomsState>,
    /// A group of commits has been written, or has failed.
    group_over: Notify,
}

#[derive(Default)]
struct RoomsState {
    /// Entered by `open`, removed by `close`; the commit thread notes what has landed.
    open: HashMap<RoomAddress, OpenRoom>,
    /// Rooms of the group that is being written, of whatever epoch. The commit thread's.
    written: HashSet<RoomAddress>,
}

#[derive(Clone, Copy, Debug)]
struct OpenRoom {
    epoch: u64,
    /// Number of the last commit that landed.
    seq: u64,
    /// Where its keys and alarms lie; `None` while it has stored nothing.
    number: Option<u64>,
}

/// A commit that waits for the commit thread.
struct Waiting {
    commit: Commit,
    answer: oneshot::Sender<Result<(), CommitError>>,
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
        fs::create_dir_all(folder).map_err(unusable)?;
        let file = folder.join(FILE);
        if !is_there(&file).map_err(unusable)? {
            let new = folder.join(NEW_FILE);
            let disk = lock_file(&new, FileDisk::make)?;
            // Another process may have been faster; its file is not to be replaced.
            if !is_there(&file).map_err(unusable)? {
                // What a crash has left half made is nothing.
                disk.set_len(0).map_err(unusable)?;
                let engine = Self::open_file(&file, disk)?;
                name_for_good(&new, &file).map_err(unusable)?;
                return Ok(engine);
            }
        }
        let (file, disk) = open_disk(folder)?;
        Self::open_file(&file, disk)
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
        Self::open_file(Path::new("disk"), disk)
    }

    fn open_file(file: &Path, disk: Arc<dyn Disk>) -> Result<Self, OpenError> {
        Self::start(open_store(file, disk)?).map_err(|source| unusable(file, source))
    }

    fn start(store: Store) -> io::Result<Self> {
        let store = Arc::new(store);
        let rooms = Arc::new(Rooms::default());
        let (commits, waiting) = mpsc::channel(COMMITS_WAITING_MAX);
        let (reads, asked) = mpsc::channel::<Read>(READS_WAITING_MAX);
        let asked = Arc::new(Mutex::new(asked));
        let mut threads = Vec::new();
        let committer = Committer { store: Arc::clone(&store), rooms: Arc::clone(&rooms), is_full: false };
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

impl Rooms {
    fn state(&self) -> MutexGuard<'_, RoomsState> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no commit of the room is being written.
    async fn settled(&self, room: &RoomAddress) {
        loop {
            // Before looking, so that it is told of what ends in between.
            let over = self.group_over.notified();
            if !self.state().written.contains(room) {
                return;
            }
            over.await;
        }
    }
}

impl RoomsState {
    /// The room, if this is its latest opening.
    fn of(&mut self, room: &RoomAddress, epoch: u64) -> Option<&mut OpenRoom> {
        self.open.get_mut(room).filter(|open| open.epoch == epoch)
    }
}

/// The thread that writes.
struct Committer {
    store: Arc<Store>,
    rooms: Arc<Rooms>,
    /// Whether there was no space for a commit of the last group.
    is_full: bool,
}

impl Committer {
    fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
        while let Some(first) = waiting.blocking_recv() {
            let mut bytes = first.commit.writes.len_bytes();
            let mut group = vec![first];
            while bytes < GROUP_BYTES_MAX
                && let Ok(next) = waiting.try_recv()
            {
                bytes += next.commit.writes.len_bytes();
                group.push(next);
            }
            self.commit_group(group);
        }
    }

    /// Writes a group and answers each of it: in one transaction, or, when the disk is full, in
    /// one for each, so that those land for which there is space.
    fn commit_group(&mut self, group: Vec<Waiting>) {
        let was_full = self.is_full;
        let left = if was_full { group } else { self.commit_together(group) };
        if left.is_empty() && !was_full {
            return;
        }
        let mut refused_count = 0;
        // Where one found no space, a longer one finds none either.
        let mut too_long = usize::MAX;
        for waiting in left {
            let bytes = waiting.commit.writes.len_bytes();
            let refused = match bytes < too_long {
                true => self.commit_together(vec![waiting]),
                false => vec![waiting],
            };
            for waiting in refused {
                too_long = too_long.min(bytes);
                refused_count += 1;
                answer(waiting.answer, Err(CommitError::Full));
            }
        }
        self.is_full = refused_count > 0;
        match (was_full, self.is_full) {
            (false, true) => {
                tracing::error!(refused_count, "the disk is full: commits that do not fit are refused");
            }
            (true, false) => tracing::info!("there is space on the disk again"),
            _ => {}
        }
    }

    /// Writes a group in one transaction and answers each of it; returns those, unanswered, for
    /// which there was no space.
    fn commit_together(&self, group: Vec<Waiting>) -> Vec<Waiting> {
        let left = self.write_group(group);
        self.rooms.state().written.clear();
        self.rooms.group_over.notify_waiters();
        left
    }

    fn write_group(&self, group: Vec<Waiting>) -> Vec<Waiting> {
        // What the open rooms will be like when the group has landed.
        let mut after: HashMap<RoomAddress, OpenRoom> = HashMap::new();
        let mut accepted = Vec::new();
        for waiting in group {
            let Commit { room, epoch, seq, .. } = &waiting.commit;
            let mut rooms = self.rooms.state();
            let known = after.get(room).copied().or_else(|| rooms.open.get(room).copied());
            match known.filter(|open| open.epoch == *epoch && open.seq + 1 == *seq) {
                Some(open) => {
                    rooms.written.insert(room.clone());
                    drop(rooms);
                    after.insert(room.clone(), OpenRoom { seq: *seq, ..open });
                    accepted.push(waiting);
                }
                None => {
                    drop(rooms);
                    answer(waiting.answer, Err(CommitError::Fenced));
                }
            }
        }
        let group = accepted;
        if group.is_empty() {
            return group;
        }
        let mut number = None;
        let written = self.store.with(|database| write(database, &group, &mut after, &mut number));
        let result = match written.unwrap_or_else(|reason| Err(CommitError::Failed(reason))) {
            Ok(()) => Ok(()),
            Err(error) => self.look_for(number).unwrap_or(Err(error)),
        };
        match &result {
            Ok(()) => {
                let mut rooms = self.rooms.state();
                for (address, landed) in after {
                    if let Some(open) = rooms.of(&address, landed.epoch) {
                        *open = landed;
                    }
                }
            }
            Err(CommitError::Full) => return group,
            Err(error) => {
                tracing::error!(commits_count = group.len(), %error, "a group of commits was not written");
            }
        }
        for waiting in group {
            answer(waiting.answer, result.clone());
        }
        Vec::new()
    }

    /// Whether the group of this number, of which the disk has said that it failed, is there all the
    /// same: the error may be of a write that had arrived, or have come when all was safe. `None` if
    /// it is not.
    fn look_for(&self, number: Option<u64>) -> Option<Result<(), CommitError>> {
        // A sync may fail for want of space too, and then nobody knows what is stored.
        if let Err(reason) = self.store.check_lost() {
            return Some(Err(CommitError::Failed(reason)));
        }
        let number = number?;
        // Opened anew, what is read is safe.
        match self.store.with(groups_count) {
            Ok(Ok(count)) if count == number => Some(Ok(())),
            Ok(_) => None,
            Err(reason) => Some(Err(CommitError::Failed(reason))),
        }
    }
}

fn groups_count(database: &Database) -> Result<u64, ::redb::Error> {
    let meta = database.begin_read()?.open_table(META)?;
    Ok(meta.get(META_GROUPS)?.map_or(0, |count| count.value()))
}

/// Writes a group; `number` tells which it is, from when it may be there.
fn write(
    database: &Database,
    group: &[Waiting],
    after: &mut HashMap<RoomAddress, OpenRoom>,
    number: &mut Option<u64>,
) -> Result<(), CommitError> {
    let mut txn = database.begin_write().map_err(failed)?;
    txn.set_durability(Durability::Immediate).map_err(failed)?;
    // Recovery after a crash then needs no walk over the whole file.
    txn.set_quick_repair(true);
    for Waiting { commit, .. } in group {
        if let Some(open) = after.get_mut(&commit.room) {
            open.number = write_one(&txn, &commit.room, open.number, &commit.writes).map_err(failed)?;
        }
    }
    *number = Some(count_group(&txn).map_err(failed)?);
    txn.commit().map_err(failed)
}

fn count_group(txn: &WriteTransaction) -> Result<u64, ::redb::Error> {
    let mut meta = txn.open_table(META)?;
    let count = meta.get(META_GROUPS)?.map_or(0, |count| count.value()) + 1;
    meta.insert(META_GROUPS, count)?;
    Ok(count)
}

/// Writes one commit; returns where the room's keys lie afterwards.
fn write_one(
    txn: &WriteTransaction,
    room: &RoomAddress,
    number: Option<u64>,
    writes: &Writes,
) -> Result<Option<u64>, ::redb::Error> {
    let name = (room.party.as_str(), room.room.as_str());
    let mut rooms = txn.open_table(ROOMS)?;
    let mut values = txn.open_table(VALUES)?;
    let number = match number {
        Some(number) => number,
        None => {
            let mut meta = txn.open_table(META)?;
            let number = meta.get(META_NEXT_ROOM)?.map_or(0, |next| next.value());
            meta.insert(META_NEXT_ROOM, number + 1)?;
            rooms.insert(name, number)?;
            number
        }
    };
    if writes.clears() {
        values.retain_in::<(u64, &str), _>((number, "")..(number + 1, ""), |_, _| false)?;
    }
    if writes.clears() || writes.alarms().len() > 0 {
        write_alarms(txn, room, number, writes)?;
    }
    let mut deletes = writes.clears() || writes.alarms().any(|(_, alarm)| alarm.is_none());
    for (key, value) in writes.entries() {
        match value {
            Some(bytes) => drop(values.insert((number, key), &bytes[..])?),
            None => {
                deletes = true;
                drop(values.remove((number, key))?);
            }
        }
    }
    if deletes && is_empty(&values, number)? && is_empty(&txn.open_table(ALARMS)?, number)? {
        rooms.remove(name)?;
        return Ok(None);
    }
    Ok(Some(number))
}

fn write_alarms(
    txn: &WriteTransaction,
    room: &RoomAddress,
    number: u64,
    writes: &Writes,
) -> Result<(), ::redb::Error> {
    let mut alarms = txn.open_table(ALARMS)?;
    let mut due = txn.open_table(DUE)?;
    if writes.clears() {
        for alarm in alarms_of(&alarms, number)? {
            alarms.remove((number, alarm.name.as_str()))?;
            due.remove(due_key(alarm.due_ms, room, &alarm.name))?;
        }
    }
    for (name, alarm) in writes.alarms() {
        let before = match alarm {
            Some(StoredAlarm { scheduled_ms, due_ms, retry, .. }) => {
                alarms.insert((number, name), (*scheduled_ms, *due_ms, *retry))?
            }
            None => alarms.remove((number, name))?,
        };
        if let Some(before) = before {
            due.remove(due_key(before.value().1, room, name))?;
        }
        if let Some(alarm) = alarm {
            due.insert(due_key(alarm.due_ms, room, name), ())?;
        }
    }
    Ok(())
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

fn is_empty<V: Value + 'static>(
    table: &Table<'_, (u64, &'static str), V>,
    number: u64,
) -> Result<bool, ::redb::StorageError> {
    Ok(table.range::<(u64, &str)>((number, "")..(number + 1, ""))?.next().is_none())
}

fn room_number(txn: &ReadTransaction, room: &RoomAddress) -> Result<Option<u64>, ::redb::Error> {
    let rooms = txn.open_table(ROOMS)?;
    Ok(rooms.get((room.party.as_str(), room.room.as_str()))?.map(|number| number.value()))
}

/// Refuses a folder in which nothing was ever stored.
fn must_exist(folder: &Path) -> Result<(), OpenError> {
    match is_there(&folder.join(FILE)) {
        Ok(true) => Ok(()),
        Ok(false) => Err(OpenError::Missing { folder: folder.to_owned() }),
        Err(source) => Err(OpenError::Folder { folder: folder.to_owned(), source }),
    }
}

/// Whether there is anything of this name: a link that leads nowhere, for what it led to may come back.
fn is_there(file: &Path) -> io::Result<bool> {
    match fs::symlink_metadata(file) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Opens the file of a folder.
fn open_disk(folder: &Path) -> Result<(PathBuf, Arc<dyn Disk>), OpenError> {
    let file = folder.join(FILE);
    let disk = lock_file(&file, FileDisk::open)?;
    // It had its name when it was whole, so somebody has emptied it.
    if disk.len_bytes().map_err(|source| unusable(&file, source))? == 0 {
        return Err(OpenError::Damaged { file, text: "it is empty".to_owned() });
    }
    Ok((file, disk))
}

/// Opens or makes this file for this process alone.
fn lock_file(
    file: &Path,
    open: fn(&Path) -> io::Result<Option<FileDisk>>,
) -> Result<Arc<dyn Disk>, OpenError> {
    match open(file) {
        Ok(Some(disk)) => Ok(Arc::new(disk)),
        Ok(None) => Err(OpenError::InUse { folder: file.parent().unwrap_or(file).to_owned() }),
        Err(source) => Err(unusable(file, source)),
    }
}

fn unusable(file: &Path, source: io::Error) -> OpenError {
    OpenError::Folder { folder: file.parent().unwrap_or(file).to_owned(), source }
}

/// Opens the database on `disk`, or makes it.
fn open_store(file: &Path, disk: Arc<dyn Disk>) -> Result<Store, OpenError> {
    let damaged = |text: String| OpenError::Damaged { file: file.to_owned(), text };
    let store = Store::open(disk).map_err(|error| match error {
        OpenFailed::Redb(DatabaseError::Storage(StorageError::Io(source))) if is_of_the_system(&source) => {
            unusable(file, source)
        }
        error => damaged(error.to_string()),
    })?;
    match store.with(prepare) {
        Ok(Ok(FORMAT)) => Ok(store),
        Ok(Ok(found)) => Err(OpenError::TooNew { file: file.to_owned(), found }),
        Ok(Err(::redb::Error::Io(source))) if is_of_the_system(&source) => Err(unusable(file, source)),
        Ok(Err(error)) => Err(damaged(error.to_string())),
        Err(reason) => Err(damaged(reason.to_string())),
    }
}

/// Makes the tables that a file lacks; returns the format of an old one.
fn prepare(database: &Database) -> Result<u64, ::redb::Error> {
    let old = database.begin_read()?;
    match (old.open_table(META), old.open_table(DUE)) {
        (Ok(meta), due) => {
            let format = meta.get(META_FORMAT)?.map_or(0, |format| format.value());
            if due.is_ok() || format != FORMAT {
                return Ok(format);
            }
        }
        (Err(TableError::TableDoesNotExist(_)), _) => {}
        (Err(error), _) => return Err(error.into()),
    }
    let txn = database.begin_write()?;
    txn.open_table(META)?.insert(META_FORMAT, FORMAT)?;
    txn.open_table(ROOMS)?;
    txn.open_table(VALUES)?;
    txn.open_table(ALARMS)?;
    txn.open_table(DUE)?;
    txn.commit()?;
    Ok(FORMAT)
}

fn next_read(asked: &Mutex<mpsc::Receiver<Read>>) -> Option<Read> {
    asked.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv()
}

fn answer(to: oneshot::Sender<Result<(), CommitError>>, result: Result<(), CommitError>) {
    // A room that has ended needs no answer.
    drop(to.send(result));
}

fn failed(error: impl Into<::redb::Error>) -> CommitError {
    match error.into() {
        ::redb::Error::Io(error) if is_about_space(&error) => CommitError::Full,
        error => CommitError::Failed(error.to_string().into()),
    }
}

fn is_about_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether the system refuses, where it might have found a file that makes no sense.
fn is_of_the_system(error: &io::Error) -> bool {
    error.raw_os_error().is_some() || is_about_space(error)
}

/// Gives a file of a folder its name, so that a loss of power takes away neither.
fn name_for_good(new: &Path, file: &Path) -> io::Result<()> {
    fs::rename(new, file)?;
    let Some(folder) = file.parent() else { return Ok(()) };
    fs::File::open(folder)?.sync_all()?;
    // The folder may be as new as the file, and those above it too; they may be somebody else's, and
    // unreadable, or cannot be synced at all.
    for above in folder.canonicalize()?.ancestors().skip(1) {
        let Ok(above) = fs::File::open(above) else { continue };
        match above.sync_all() {
            Err(error) if !is_never_synced(&error) => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Whether there is nothing to sync, rather than that it failed.
fn is_never_synced(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, ReadOnlyFilesystem, Unsupported};
    matches!(error.kind(), InvalidInput | ReadOnlyFilesystem | Unsupported)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_a_later_version_is_refused_by_name_with_a_way_out() {
        let folder = tempfile::tempdir().unwrap();
        drop(RedbEngine::open(folder.path()).unwrap());
        let database = Database::open(folder.path().join(FILE)).unwrap();
        let txn = database.begin_write().unwrap();
        txn.open_table(META).unwrap().insert(META_FORMAT, FORMAT + 1).unwrap();
        txn.commit().unwrap();
        drop(database);
        let error = RedbEngine::open(folder.path()).unwrap_err();
        assert!(matches!(error, OpenError::TooNew { found, .. } if found == FORMAT + 1), "{error:?}");
        let text = error.to_string();
        assert!(text.contains(FILE) && text.contains("run a later version"), "{text}");
    }
}
