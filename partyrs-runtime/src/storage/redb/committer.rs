//! The thread that writes, and what it knows of the rooms that are open.
//!
//! It takes all commits that wait, refuses those that do not follow the last one of their room, and
//! writes the others in one transaction.
//!
//! The difficulty is the disk. When it is full, each of the group is tried by itself, so that those land
//! that fit. When it reports an error, the group may be there all the same, so it has a number by which
//! it is looked for.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::redb::{Database, Durability, ReadableDatabase, ReadableTable, Table, Value, WriteTransaction};
use partyrs::RoomAddress;
use partyrs::storage::{Commit, CommitError, StoredAlarm, Writes};
use tokio::sync::{Notify, mpsc, oneshot};

use super::{ALARMS, DUE, META, META_NEXT_ROOM, ROOMS, VALUES, alarms_of, due_key, is_about_space};
use crate::storage::store::Store;

/// In `META`: how many groups of commits have been written.
const META_GROUPS: &str = "groups";

/// Bytes of one durable write, roughly.
const GROUP_BYTES_MAX: usize = 16 << 20;

/// The thread that writes.
pub(super) struct Committer {
    store: Arc<Store>,
    rooms: Arc<Rooms>,
    /// Whether there was no space for a commit of the last group.
    is_full: bool,
}

/// What `open` and `close` share with the commit thread.
#[derive(Default)]
pub(super) struct Rooms {
    state: Mutex<RoomsState>,
    /// A group of commits has been written, or has failed.
    group_over: Notify,
}

#[derive(Default)]
pub(super) struct RoomsState {
    /// Entered by `open`, removed by `close`; the commit thread notes what has landed.
    pub(super) open: HashMap<RoomAddress, OpenRoom>,
    /// Rooms of the group that is being written, of whatever epoch. The commit thread's.
    written: HashSet<RoomAddress>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct OpenRoom {
    pub(super) epoch: u64,
    /// Number of the last commit that landed.
    pub(super) seq: u64,
    /// Where its keys and alarms lie; `None` while it has stored nothing.
    pub(super) number: Option<u64>,
}

/// A commit that waits for the commit thread.
pub(super) struct Waiting {
    pub(super) commit: Commit,
    pub(super) answer: oneshot::Sender<Result<(), CommitError>>,
}

impl Rooms {
    pub(super) fn state(&self) -> MutexGuard<'_, RoomsState> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until no commit of the room is being written.
    pub(super) async fn settled(&self, room: &RoomAddress) {
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
    pub(super) fn of(&mut self, room: &RoomAddress, epoch: u64) -> Option<&mut OpenRoom> {
        self.open.get_mut(room).filter(|open| open.epoch == epoch)
    }
}

impl Committer {
    pub(super) fn new(store: Arc<Store>, rooms: Arc<Rooms>) -> Self {
        Self { store, rooms, is_full: false }
    }

    /// Writes what comes until the engine is dropped.
    pub(super) fn run(mut self, mut waiting: mpsc::Receiver<Waiting>) {
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

fn is_empty<V: Value + 'static>(
    table: &Table<'_, (u64, &'static str), V>,
    number: u64,
) -> Result<bool, ::redb::StorageError> {
    Ok(table.range::<(u64, &str)>((number, "")..(number + 1, ""))?.next().is_none())
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
