//! What the file had at one moment: a read transaction with a thread of its own.
//!
//! A page of a snapshot may be megabytes, and is not to stand in the queue of the hooks' reads.
//!
//! The difficulty is the end. A transaction holds the file open, and whoever keeps a snapshot may
//! keep it longer than the engine, or than the database, which is opened anew after an error: then
//! others write over what it reads. So the transactions can be taken out of all snapshots; that waits
//! for one page at most. Each is dropped under its lock, so that it is gone whoever ends it.

use std::fmt;
use std::io;
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use ::redb::ReadTransaction;
use async_trait::async_trait;
use bytes::Bytes;
use partyrs::storage::{EngineError, Snapshot, StoredAlarm, StoredEntries};
use partyrs::{PartyName, RoomAddress, RoomId};
use tokio::sync::{mpsc, oneshot};

use super::{ALARMS, ROOMS, VALUES, alarms_of, room_number};

/// The snapshots that somebody keeps.
#[derive(Default)]
pub(in crate::storage) struct Snapshots(Mutex<Vec<Weak<Taken>>>);

/// The transaction of one snapshot, until it is ended. Read by its thread, ended by the engine.
type Taken = Mutex<Option<ReadTransaction>>;

/// A read, for the thread; one waits at most, and whoever comes then waits too.
type Page = Box<dyn FnOnce(Option<&ReadTransaction>) + Send>;

/// Its thread ends when it is dropped.
struct RedbSnapshot {
    pages: mpsc::Sender<Page>,
}

impl Snapshots {
    /// Makes a snapshot of a transaction.
    pub(in crate::storage) fn begin(&self, txn: ReadTransaction) -> io::Result<Box<dyn Snapshot>> {
        let taken = Arc::new(Taken::new(Some(txn)));
        let mut kept = self.kept();
        kept.retain(|snapshot| snapshot.strong_count() > 0);
        kept.push(Arc::downgrade(&taken));
        let (pages, mut asked) = mpsc::channel::<Page>(1);
        let builder = std::thread::Builder::new().name("partyrs-snapshot".to_owned());
        builder.spawn(move || {
            while let Some(page) = asked.blocking_recv() {
                // Whoever waits for the page is told by what a panic drops.
                if catch_unwind(AssertUnwindSafe(|| page(locked(&taken).as_ref()))).is_err() {
                    break;
                }
            }
            drop(locked(&taken).take());
        })?;
        Ok(Box::new(RedbSnapshot { pages }))
    }

    /// Ends all of them: from now on no read succeeds, and none holds the file open.
    pub(in crate::storage) fn end_all(&self) {
        for taken in self.kept().drain(..).filter_map(|snapshot| snapshot.upgrade()) {
            drop(locked(&taken).take());
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Weak<Taken>>> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A read that panicked has not changed the transaction.
fn locked(taken: &Taken) -> MutexGuard<'_, Option<ReadTransaction>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

impl RedbSnapshot {
    /// Runs `read` on the thread of the snapshot.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, ::redb::Error> + Send + 'static,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let page: Page = Box::new(move |txn| {
            // Nobody may wait any more.
            drop(reply.send(txn.map(read)));
        });
        let broken = || EngineError::new("the snapshot cannot be read, the database is damaged");
        self.pages.send(page).await.map_err(|_| broken())?;
        match answer.await {
            Ok(Some(Ok(found))) => Ok(found),
            Ok(Some(Err(error))) => Err(EngineError::new(error.to_string())),
            Ok(None) => Err(EngineError::new(
                "the storage was closed or opened anew, and this snapshot has ended with it",
            )),
            Err(_) => Err(broken()),
        }
    }
}

#[async_trait]
impl Snapshot for RedbSnapshot {
    async fn parties(&self) -> Result<Vec<PartyName>, EngineError> {
        self.read(|txn| {
            let rooms = txn.open_table(ROOMS)?;
            let mut found = Vec::new();
            let mut first = String::new();
            // From the first room of each party to that of the next.
            while let Some(entry) = rooms.range::<(&str, &str)>((first.as_str(), "")..)?.next() {
                let (key, _) = entry?;
                let (party, _) = key.value();
                found.extend(PartyName::new(party));
                first = format!("{party}\0");
            }
            Ok(found)
        })
        .await
    }

    async fn rooms(
        &self,
        party: &PartyName,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, EngineError> {
        let (party, after) = (party.clone(), after.cloned());
        self.read(move |txn| {
            let rooms = txn.open_table(ROOMS)?;
            let start = after.as_ref().map_or("", |after| after.as_str());
            let first = (party.as_str(), start);
            let mut found = Vec::new();
            for entry in rooms.range::<(&str, &str)>((Bound::Excluded(first), Bound::Unbounded))? {
                let (key, _) = entry?;
                let (of_party, room) = key.value();
                if of_party != party.as_str() || found.len() == limit {
                    break;
                }
                found.extend(RoomId::new(room));
            }
            Ok(found)
        })
        .await
    }

    async fn alarms(&self, room: &RoomAddress) -> Result<Vec<StoredAlarm>, EngineError> {
        let room = room.clone();
        self.read(move |txn| {
            let Some(number) = room_number(txn, &room)? else { return Ok(Vec::new()) };
            Ok(alarms_of(&txn.open_table(ALARMS)?, number)?)
        })
        .await
    }

    async fn entries(
        &self,
        room: &RoomAddress,
        after: Option<&str>,
        limit: usize,
    ) -> Result<StoredEntries, EngineError> {
        let (room, after) = (room.clone(), after.map(str::to_owned));
        self.read(move |txn| {
            let Some(number) = room_number(txn, &room)? else { return Ok(StoredEntries::default()) };
            let start = match &after {
                Some(key) => Bound::Excluded((number, key.as_str())),
                None => Bound::Included((number, "")),
            };
            let values = txn.open_table(VALUES)?;
            let range = values.range::<(u64, &str)>((start, Bound::Excluded((number + 1, ""))))?;
            let entries = range.map(|entry| {
                let (key, value) = entry?;
                Ok((key.value().1.to_owned(), Bytes::copy_from_slice(value.value())))
            });
            StoredEntries::of(entries, limit)
        })
        .await
    }
}

impl fmt::Debug for Snapshots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Snapshots({})", self.kept().len())
    }
}

impl fmt::Debug for RedbSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RedbSnapshot")
    }
}
