//! A storage engine that forgets when it is dropped; for tests.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::engine::{
    Commit, CommitError, DueAlarm, DueAlarms, EngineError, Opened, Snapshot, StorageEngine, StoredAlarm,
    StoredEntries,
};
use super::list::KeyRange;
use crate::address::{PartyName, RoomAddress, RoomId};
use crate::alarm::Alarms;

/// A storage engine in memory: a commit is "on disk" at once.
///
/// Share one engine between two hosts to test what a restart finds.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<RoomAddress, Stored>,
    /// The alarms of all rooms.
    due: BTreeSet<DueAlarm>,
    /// Epoch and number of the last commit.
    open: HashMap<RoomAddress, (u64, u64)>,
    epochs_count: u64,
}

/// What one room has stored.
#[derive(Clone, Debug, Default)]
struct Stored {
    values: BTreeMap<String, Bytes>,
    alarms: Alarms,
}

impl MemoryEngine {
    /// An empty engine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl StorageEngine for MemoryEngine {
    async fn open(&self, room: &RoomAddress) -> Result<Opened, EngineError> {
        let mut state = self.state();
        state.epochs_count += 1;
        let epoch = state.epochs_count;
        state.open.insert(room.clone(), (epoch, 0));
        let alarms = state.rooms.get(room).map(|stored| stored.alarms.iter().cloned().collect());
        Ok(Opened::new(epoch, 0).with_alarms(alarms.unwrap_or_default()))
    }

    fn close(&self, room: &RoomAddress, epoch: u64) {
        let mut state = self.state();
        if state.open.get(room).is_some_and(|(open, _)| *open == epoch) {
            state.open.remove(room);
        }
    }

    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let state = self.state();
        let stored = state.rooms.get(room);
        Ok(keys.iter().map(|key| stored.and_then(|stored| stored.values.get(key)).cloned()).collect())
    }

    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError> {
        let state = self.state();
        let Some(stored) = state.rooms.get(room).filter(|_| !range.is_empty()) else {
            return Ok(Vec::new());
        };
        let entries = stored.values.range((range.start.clone(), range.end.clone()));
        let limit = range.limit.unwrap_or(usize::MAX);
        let owned = |(key, value): (&String, &Bytes)| (key.clone(), value.clone());
        Ok(if range.reverse {
            entries.rev().take(limit).map(owned).collect()
        } else {
            entries.take(limit).map(owned).collect()
        })
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let mut state = self.state();
        let State { rooms, due, open, .. } = &mut *state;
        let follows = |(epoch, seq): &&mut (u64, u64)| *epoch == commit.epoch && *seq + 1 == commit.seq;
        let Some((_, seq)) = open.get_mut(&commit.room).filter(follows) else {
            return Err(CommitError::Fenced);
        };
        *seq = commit.seq;
        let place = |due_ms, name: &str| DueAlarm::new(due_ms, commit.room.clone(), name.to_owned());
        let stored = rooms.entry(commit.room.clone()).or_default();
        if commit.writes.clears() {
            for alarm in stored.alarms.iter() {
                due.remove(&place(alarm.due_ms, &alarm.name));
            }
            stored.alarms.clear();
            stored.values.clear();
        }
        for (key, value) in commit.writes.entries() {
            match value {
                Some(bytes) => stored.values.insert(key.to_owned(), bytes.clone()),
                None => stored.values.remove(key),
            };
        }
        for (name, alarm) in commit.writes.alarms() {
            if let Some(before) = stored.alarms.change(name, alarm) {
                due.remove(&place(before.due_ms, name));
            }
            due.extend(alarm.map(|alarm| place(alarm.due_ms, name)));
        }
        if stored.values.is_empty() && stored.alarms.is_empty() {
            rooms.remove(&commit.room);
        }
        Ok(())
    }

    async fn alarms_due(
        &self,
        after: Option<&DueAlarm>,
        until_ms: u64,
        limit: usize,
    ) -> Result<DueAlarms, EngineError> {
        let state = self.state();
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut found = DueAlarms::default();
        for alarm in state.due.range((start, Bound::Unbounded)) {
            if found.alarms.len() == limit {
                break;
            }
            if alarm.due_ms > until_ms {
                found.next_ms = Some(alarm.due_ms);
                break;
            }
            found.alarms.push(alarm.clone());
        }
        Ok(found)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        Ok(Box::new(Copied { rooms: self.state().rooms.clone() }))
    }
}

/// A copy of everything; the values are shared.
#[derive(Debug)]
struct Copied {
    rooms: BTreeMap<RoomAddress, Stored>,
}

#[async_trait]
impl Snapshot for Copied {
    async fn parties(&self) -> Result<Vec<PartyName>, EngineError> {
        let mut parties: Vec<PartyName> = self.rooms.keys().map(|address| address.party.clone()).collect();
        parties.dedup();
        Ok(parties)
    }

    async fn rooms(
        &self,
        party: &PartyName,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, EngineError> {
        let of_party = self.rooms.keys().filter(|address| address.party == *party);
        let behind = of_party.filter(|address| after.is_none_or(|after| address.room > *after));
        Ok(behind.take(limit).map(|address| address.room.clone()).collect())
    }

    async fn alarms(&self, room: &RoomAddress) -> Result<Vec<StoredAlarm>, EngineError> {
        let stored = self.rooms.get(room);
        Ok(stored.map(|stored| stored.alarms.iter().cloned().collect()).unwrap_or_default())
    }

    async fn entries(
        &self,
        room: &RoomAddress,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StoredEntries, EngineError> {
        let Some(stored) = self.rooms.get(room) else { return Ok(StoredEntries::default()) };
        let start = after.map_or(Bound::Unbounded, Bound::Excluded);
        let entries = stored.values.range::<str, _>((start, Bound::Unbounded));
        StoredEntries::of(entries.map(|(key, value)| Ok((key.clone(), value.clone()))), limit)
    }
}
