//! Storage in memory whose commits wait for the test, and fail when it says so.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use partyrs::RoomAddress;
use partyrs::storage::{
    Commit, CommitError, DueAlarm, DueAlarms, EngineError, KeyRange, MemoryEngine, Opened, Snapshot,
    StorageEngine,
};
use tokio::sync::{Semaphore, watch};

#[derive(Debug)]
pub(crate) struct HeldEngine {
    memory: MemoryEngine,
    let_through: Semaphore,
    arrived_count: AtomicUsize,
    lands_before_holding: AtomicBool,
    failure: watch::Sender<Option<CommitError>>,
}

impl HeldEngine {
    pub(crate) fn new() -> Self {
        Self {
            memory: MemoryEngine::new(),
            let_through: Semaphore::new(0),
            arrived_count: AtomicUsize::new(0),
            lands_before_holding: AtomicBool::new(false),
            failure: watch::Sender::new(None),
        }
    }

    /// How many commits have come, let through or not.
    pub(crate) fn arrived_count(&self) -> usize {
        self.arrived_count.load(Ordering::Relaxed)
    }

    /// Lets this many commits through.
    pub(crate) fn let_through(&self, count: usize) {
        self.let_through.add_permits(count);
    }

    /// From now on every commit waits.
    pub(crate) fn hold(&self) {
        self.let_through.forget_permits(usize::MAX >> 4);
    }

    /// Whether a commit that waits has landed already, and only its answer is held.
    pub(crate) fn land_before_holding(&self, lands: bool) {
        self.lands_before_holding.store(lands, Ordering::Relaxed);
    }

    /// From now on every commit fails at once.
    pub(crate) fn fail_with(&self, error: CommitError) {
        self.failure.send_replace(Some(error));
        self.let_through(1000);
    }

    /// From now on every commit lands at once.
    pub(crate) fn recover(&self) {
        self.failure.send_replace(None);
        self.let_through(1000);
    }
}

#[async_trait]
impl StorageEngine for HeldEngine {
    async fn open(&self, room: &RoomAddress) -> Result<Opened, EngineError> {
        self.memory.open(room).await
    }

    fn close(&self, room: &RoomAddress, epoch: u64) {
        self.memory.close(room, epoch);
    }

    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.memory.get(room, keys).await
    }

    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError> {
        self.memory.list(room, range).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        if self.lands_before_holding.load(Ordering::Relaxed) {
            let landed = self.memory.commit(commit).await;
            self.arrived_count.fetch_add(1, Ordering::Relaxed);
            let _permit = self.let_through.acquire().await;
            return landed;
        }
        self.arrived_count.fetch_add(1, Ordering::Relaxed);
        if let Ok(permit) = self.let_through.acquire().await {
            permit.forget();
        }
        let failure = self.failure.borrow().clone();
        match failure {
            Some(error) => Err(error),
            None => self.memory.commit(commit).await,
        }
    }

    async fn alarms_due(
        &self,
        after: Option<&DueAlarm>,
        until_ms: u64,
        limit: usize,
    ) -> Result<DueAlarms, EngineError> {
        self.memory.alarms_due(after, until_ms, limit).await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        self.memory.snapshot().await
    }
}
