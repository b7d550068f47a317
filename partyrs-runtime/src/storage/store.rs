//! A database on its disk, opened anew after an error.
//!
//! redb refuses everything once its disk has returned an error, until it is opened again. Two
//! kinds of errors are told apart. After a write or a read that failed, what is on the disk is
//! known: the database is opened anew, and the next use finds it as it was after the last
//! commit that landed. After a sync that failed nothing is known, and asking again does not
//! tell (a system may report the loss once and forget the bytes): then it is over.

use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use ::redb::{Builder, Database, DatabaseError, ReadableDatabase, StorageBackend};
use partyrs::seam::panic_error;
use partyrs::storage::Snapshot;
use tokio::sync::watch;

use super::disk::Disk;
use super::redb::snapshot::Snapshots;

/// What redb keeps of the file in memory.
const CACHE_BYTES: usize = 64 << 20;

/// The database of an engine.
pub(super) struct Store {
    disk: Arc<dyn Disk>,
    /// `None` when it could not be opened anew; the next use tries again.
    database: RwLock<Option<Database>>,
    /// Of this database, and no other: they end when it is opened anew.
    snapshots: Snapshots,
    health: Arc<Health>,
}

/// Why a database cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenFailed {
    #[error(transparent)]
    Redb(#[from] DatabaseError),
    /// redb met what it thought impossible.
    #[error("what it says contradicts itself: {0}")]
    Panicked(String),
}

/// What has become of the disk.
#[derive(Debug)]
struct Health {
    /// Whether redb has met an error since it was opened.
    has_failed: AtomicBool,
    /// Why nothing is known of the disk any more. Written once.
    lost: watch::Sender<Option<Arc<str>>>,
}

/// The disk as redb sees it. It takes no lock: the file has one already, and keeps it while the
/// database is opened anew.
#[derive(Debug)]
struct Watched {
    disk: Arc<dyn Disk>,
    health: Arc<Health>,
}

impl Store {
    pub(super) fn open(disk: Arc<dyn Disk>) -> Result<Self, OpenFailed> {
        let health = Arc::new(Health { has_failed: AtomicBool::new(false), lost: watch::Sender::new(None) });
        let database = open(&disk, &health)?;
        let snapshots = Snapshots::default();
        Ok(Self { disk, database: RwLock::new(Some(database)), snapshots, health })
    }

    /// Runs `job` on the database, which is opened anew before if it must be.
    ///
    /// # Errors
    ///
    /// Why there is no database.
    pub(super) fn with<T>(&self, job: impl FnOnce(&Database) -> T) -> Result<T, Arc<str>> {
        let mut database = self.read();
        if self.must_be_opened(database.as_ref()) {
            drop(database);
            self.open_anew()?;
            database = self.read();
        }
        match &*database {
            // After a panic the database is opened anew, so nobody meets what it has left.
            Some(database) => catch_unwind(AssertUnwindSafe(|| job(database))).map_err(|panic| {
                self.health.has_failed.store(true, Ordering::Release);
                format!("the data file may be damaged: {}", panic_error(&*panic)).into()
            }),
            None => Err("the data file cannot be opened".into()),
        }
    }

    /// Begins a snapshot, which ends with the database.
    ///
    /// # Errors
    ///
    /// As [`Store::with`].
    pub(super) fn snapshot(&self) -> Result<Result<Box<dyn Snapshot>, ::redb::Error>, Arc<str>> {
        // Under the lock of the database, so that none begins while it is opened anew.
        self.with(|database| Ok(self.snapshots.begin(database.begin_read()?)?))
    }

    /// Ends all snapshots, which hold the file open.
    pub(super) fn end_snapshots(&self) {
        self.snapshots.end_all();
    }

    /// Runs `job` on the database of a store that nobody shares.
    ///
    /// # Errors
    ///
    /// As [`Store::with`].
    pub(super) fn with_mut<T>(&mut self, job: impl FnOnce(&mut Database) -> T) -> Result<T, Arc<str>> {
        let database = self.database.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(database) = database else { return Err("the data file cannot be opened".into()) };
        catch_unwind(AssertUnwindSafe(|| job(database)))
            .map_err(|panic| format!("the data file is damaged: {}", panic_error(&*panic)).into())
    }

    /// Whether anything is still known of the disk.
    ///
    /// # Errors
    ///
    /// Why not.
    pub(super) fn check_lost(&self) -> Result<(), Arc<str>> {
        self.health.lost.borrow().clone().map_or(Ok(()), Err)
    }

    /// Waits until nothing is known of the disk any more; returns why.
    pub(super) fn lost(&self) -> impl Future<Output = Arc<str>> + Send + use<> {
        let mut lost = self.health.lost.subscribe();
        async move {
            let reason = lost.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        }
    }

    fn must_be_opened(&self, database: Option<&Database>) -> bool {
        database.is_none() || self.health.has_failed.load(Ordering::Acquire)
    }

    fn open_anew(&self) -> Result<(), Arc<str>> {
        // Waits for those who read. An `Option` is whole whatever panics.
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if !self.must_be_opened(database.as_ref()) {
            // Another was faster.
            return Ok(());
        }
        self.check_lost()?;
        // A snapshot knows nothing of what the next one writes over, and closes the file at its end.
        self.snapshots.end_all();
        // Before the next one writes: this one closes its file.
        close(database.take());
        // If nothing was wrong for redb, closing has written and synced.
        self.check_lost()?;
        self.health.has_failed.store(false, Ordering::Release);
        let opened = open(&self.disk, &self.health).map_err(|error| error.to_string()).and_then(|opened| {
            // What is read from now on was written before the error, and may not be safe yet.
            self.health.told(self.disk.sync(), Call::Sync).map_err(|error| error.to_string())?;
            Ok(opened)
        });
        match opened {
            Ok(opened) => {
                // What the error was, and whom it has cost, is told where it came.
                tracing::debug!("data file opened anew after an error of the disk");
                *database = Some(opened);
                Ok(())
            }
            Err(reason) => {
                tracing::error!(reason, "data file cannot be opened anew after an error of the disk");
                Err(reason.into())
            }
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Option<Database>> {
        self.database.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes the file. redb reads it again for that, and panics if what it says makes no sense; what
/// it holds is gone then too.
fn close(database: Option<Database>) {
    // Told by the panic hook.
    let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
}

fn open(disk: &Arc<dyn Disk>, health: &Arc<Health>) -> Result<Database, OpenFailed> {
    let watched = Watched { disk: Arc::clone(disk), health: Arc::clone(health) };
    // Nothing of ours is broken by a panic there.
    let opened = catch_unwind(AssertUnwindSafe(|| {
        Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(watched)
    }));
    Ok(opened.map_err(|panic| OpenFailed::Panicked(panic_error(&*panic).to_string()))??)
}

/// What redb asked of the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Call {
    Sync,
    Other,
}

impl Health {
    /// Notes what the disk has answered.
    fn told<T>(&self, answer: io::Result<T>, call: Call) -> io::Result<T> {
        if let Err(error) = &answer {
            self.has_failed.store(true, Ordering::Release);
            if call == Call::Sync {
                tracing::error!(%error, "the disk did not confirm what was written; it is not asked again");
                let reason: Arc<str> = format!("the disk did not confirm what was written: {error}").into();
                self.lost.send_if_modified(|lost| {
                    let is_first = lost.is_none();
                    lost.get_or_insert(reason);
                    is_first
                });
            }
        }
        answer
    }
}

impl StorageBackend for Watched {
    fn len(&self) -> io::Result<u64> {
        self.health.told(self.disk.len_bytes(), Call::Other)
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.health.told(self.disk.read(offset, into), Call::Other)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.health.told(self.disk.set_len(len), Call::Other)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.health.told(self.disk.sync(), Call::Sync)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.health.told(self.disk.write(offset, bytes), Call::Other)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        close(self.database.get_mut().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("disk", &self.disk).finish_non_exhaustive()
    }
}
