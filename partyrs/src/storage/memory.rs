//! A storage engine that forgets when it is dropped; for tests.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

use super::engine::{Commit, CommitError, EngineError, Opened, StorageEngine};
use super::list::KeyRange;
use crate::address::{PartyName, RoomAddress, RoomId};

/// A storage engine in memory: a commit is "on disk" at once.
///
/// Share one engine between two hosts to test what a restart finds.
#[derive(Debug, Default)]
pub struct MemoryEngine {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rooms: BTreeMap<RoomAddress, BTreeMap<String, Bytes>>,
    open: HashMap<RoomAddress, Opened>,
    epochs_count: u64,
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
        let opened = Opened::new(state.epochs_count, 0);
        state.open.insert(room.clone(), opened);
        Ok(opened)
    }

    fn close(&self, room: &RoomAddress, epoch: u64) {
        let mut state = self.state();
        if state.open.get(room).is_some_and(|opened| opened.epoch == epoch) {
            state.open.remove(room);
        }
    }

    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError> {
        let state = self.state();
        let stored = state.rooms.get(room);
        Ok(keys.iter().map(|key| stored.and_then(|stored| stored.get(key)).cloned()).collect())
    }

    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError> {
        let state = self.state();
        let Some(stored) = state.rooms.get(room).filter(|_| !range.is_empty()) else {
            return Ok(Vec::new());
        };
        let entries = stored.range((range.start.clone(), range.end.clone()));
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
        let follows = |opened: &&mut Opened| opened.epoch == commit.epoch && opened.seq + 1 == commit.seq;
        let Some(opened) = state.open.get_mut(&commit.room).filter(follows) else {
            return Err(CommitError::Fenced);
        };
        opened.seq = commit.seq;
        let stored = state.rooms.entry(commit.room.clone()).or_default();
        if commit.writes.clears() {
            stored.clear();
        }
        for (key, value) in commit.writes.entries() {
            match value {
                Some(bytes) => stored.insert(key.to_owned(), bytes.clone()),
                None => stored.remove(key),
            };
        }
        if stored.is_empty() {
            state.rooms.remove(&commit.room);
        }
        Ok(())
    }

    async fn rooms(
        &self,
        party: &PartyName,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, EngineError> {
        let state = self.state();
        let of_party = state.rooms.keys().filter(|address| address.party == *party);
        let behind = of_party.filter(|address| after.is_none_or(|after| address.room > *after));
        Ok(behind.take(limit).map(|address| address.room.clone()).collect())
    }
}
