//! Faults that are planted to see that the suite finds them. None is in partyrs: they are in an
//! engine around the engine, in a disk below it, and in the party of the tests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use partyrs::RoomAddress;
use partyrs::storage::{
    Commit, CommitError, DueAlarm, DueAlarms, EngineError, KeyRange, Opened, Snapshot, StorageEngine,
    StoredAlarm, Writes,
};
use tokio::sync::{mpsc, oneshot};

use super::client::FAR_MS;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The engine answers a commit that has only been handed over.
    ReplyBeforeCommit,
    /// The engine answers a commit when the one before it is durable.
    GateEarly,
    /// The disk does not do every second sync. In processes it is none: their disk is the machine's.
    SyncSkipped,
    /// The engine makes two commits of one.
    CommitSplit,
    /// The engine stores no alarms.
    AlarmLost,
    /// The engine tells of alarms an hour before their time.
    AlarmEarly,
    /// The party's hook ends well where it is to fail.
    WritesKept,
    /// The party's memory outlives a hook that failed.
    MemoryKept,
    /// The party broadcasts in pairs, the second first.
    BroadcastsSwapped,
    /// The party does everything twice.
    AppliedTwice,
}

impl Fault {
    const ALL: [Self; 10] = [
        Self::ReplyBeforeCommit,
        Self::GateEarly,
        Self::SyncSkipped,
        Self::CommitSplit,
        Self::AlarmLost,
        Self::AlarmEarly,
        Self::WritesKept,
        Self::MemoryKept,
        Self::BroadcastsSwapped,
        Self::AppliedTwice,
    ];

    /// As it is told to a process.
    pub(crate) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.name() == name)
    }
}

/// The engine, with the fault around it if there is one. Called on a runtime that outlives it.
pub(crate) fn plant(fault: Option<Fault>, engine: Arc<dyn StorageEngine>) -> Arc<dyn StorageEngine> {
    match fault {
        Some(fault) => Arc::new(FaultyEngine::around(engine, fault)),
        None => engine,
    }
}

/// An engine with a fault in it.
#[derive(Debug)]
struct FaultyEngine {
    inner: Arc<dyn StorageEngine>,
    fault: Fault,
    /// To the task that brings commits to the inner engine one after another.
    queue: mpsc::UnboundedSender<Queued>,
    /// Of each room, for the next commit: when the one before it is durable.
    durable: Mutex<HashMap<RoomAddress, oneshot::Receiver<Result<(), CommitError>>>>,
}

type Queued = (Commit, oneshot::Sender<Result<(), CommitError>>);

impl FaultyEngine {
    fn around(inner: Arc<dyn StorageEngine>, fault: Fault) -> Self {
        let (queue, queued) = mpsc::unbounded_channel();
        if matches!(fault, Fault::ReplyBeforeCommit | Fault::GateEarly | Fault::CommitSplit) {
            tokio::spawn(bring(Arc::clone(&inner), queued, fault == Fault::CommitSplit));
        }
        Self { inner, fault, queue, durable: Mutex::default() }
    }

    /// Hands the commit over; tells when it is durable.
    fn queue(&self, commit: Commit) -> oneshot::Receiver<Result<(), CommitError>> {
        let (answer, answered) = oneshot::channel();
        // The task ends with its runtime, and then nobody waits any more.
        let _ = self.queue.send((commit, answer));
        answered
    }
}

/// Brings commits to the engine in their order, one at a time.
async fn bring(engine: Arc<dyn StorageEngine>, mut queued: mpsc::UnboundedReceiver<Queued>, splits: bool) {
    // How many commits each opening of a room has been given more than it knows of.
    let mut added: HashMap<u64, u64> = HashMap::new();
    while let Some((commit, answer)) = queued.recv().await {
        let mut result = Ok(());
        let halves = if splits { halves(&commit.writes) } else { vec![(*commit.writes).clone()] };
        let added = added.entry(commit.epoch).or_default();
        for (number, writes) in halves.into_iter().enumerate() {
            *added += u64::from(number > 0);
            let seq = commit.seq + *added;
            let half = Commit::new(commit.room.clone(), commit.epoch, seq, Arc::new(writes));
            result = result.and(engine.commit(half).await);
        }
        // A room that has ended does not wait.
        let _ = answer.send(result);
    }
}

/// The writes in two parts, if there is enough to part.
fn halves(writes: &Writes) -> Vec<Writes> {
    let half = writes.entries().len() / 2;
    let mut halves = vec![Writes::new(), Writes::new()];
    for (place, (key, value)) in writes.entries().enumerate() {
        let part = &mut halves[usize::from(place >= half)];
        match value {
            Some(value) => part.put(key.to_owned(), value.clone()),
            None => part.delete(key.to_owned()),
        }
    }
    for (name, alarm) in writes.alarms() {
        match alarm {
            Some(alarm) => halves[1].set_alarm(alarm.clone()),
            None => halves[1].delete_alarm(name.to_owned()),
        }
    }
    halves.retain(|half| !half.is_empty());
    halves
}

/// The same commit, which sets no alarm.
fn without_alarms(commit: &Commit) -> Commit {
    let mut writes = Writes::new();
    for (key, value) in commit.writes.entries() {
        match value {
            Some(value) => writes.put(key.to_owned(), value.clone()),
            None => writes.delete(key.to_owned()),
        }
    }
    Commit::new(commit.room.clone(), commit.epoch, commit.seq, Arc::new(writes))
}

fn earlier(ms: u64) -> u64 {
    ms.saturating_sub(FAR_MS)
}

#[async_trait]
impl StorageEngine for FaultyEngine {
    async fn open(&self, room: &RoomAddress) -> Result<Opened, EngineError> {
        let mut opened = self.inner.open(room).await?;
        if self.fault == Fault::AlarmEarly {
            let early = |alarm: &mut StoredAlarm| alarm.due_ms = earlier(alarm.due_ms);
            opened.alarms.iter_mut().for_each(early);
        }
        Ok(opened)
    }

    fn close(&self, room: &RoomAddress, epoch: u64) {
        self.inner.close(room, epoch);
    }

    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.inner.get(room, keys).await
    }

    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError> {
        self.inner.list(room, range).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        let room = commit.room.clone();
        let waited = match self.fault {
            Fault::ReplyBeforeCommit => {
                drop(self.queue(commit));
                return Ok(());
            }
            Fault::GateEarly => {
                let durable = self.queue(commit);
                let mut waiting = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
                waiting.insert(room, durable)
            }
            Fault::CommitSplit => Some(self.queue(commit)),
            Fault::AlarmLost => return self.inner.commit(without_alarms(&commit)).await,
            _ => return self.inner.commit(commit).await,
        };
        match waited {
            Some(durable) => durable.await.unwrap_or(Err(CommitError::Fenced)),
            None => Ok(()),
        }
    }

    async fn alarms_due(
        &self,
        after: Option<&DueAlarm>,
        until_ms: u64,
        limit: usize,
    ) -> Result<DueAlarms, EngineError> {
        if self.fault != Fault::AlarmEarly {
            return self.inner.alarms_due(after, until_ms, limit).await;
        }
        let later =
            |alarm: &DueAlarm| DueAlarm::new(alarm.due_ms + FAR_MS, alarm.room.clone(), alarm.name.clone());
        let after = after.map(later);
        let mut due = self.inner.alarms_due(after.as_ref(), until_ms + FAR_MS, limit).await?;
        due.alarms.iter_mut().for_each(|alarm| alarm.due_ms = earlier(alarm.due_ms));
        due.next_ms = due.next_ms.map(earlier);
        Ok(due)
    }

    async fn failed(&self) -> EngineError {
        self.inner.failed().await
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        self.inner.snapshot().await
    }
}
