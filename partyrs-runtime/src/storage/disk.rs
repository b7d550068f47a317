//! What the database's file lies on, and a file that keeps space ahead of what is written.
//!
//! The difficulty is a full disk. redb makes its file long before it fills it, by doubling, so
//! most of the file has no place on the disk yet, and a write into it may find none. Space is
//! taken in steps ahead of the writes, so that it is missing when a write begins and never when
//! the system brings to the disk what it has already accepted.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How much space is taken at once, if there is as much.
#[cfg(target_os = "linux")]
const STEP: u64 = 16 << 20;

/// Where a database keeps its bytes: a file, or what a test puts in its place.
///
/// The calls may come from several threads at once. An error of `sync` ends the engine for
/// good; any other fails what asked for it, and the engine goes on.
pub trait Disk: fmt::Debug + Send + Sync + 'static {
    /// How many bytes there are.
    ///
    /// # Errors
    ///
    /// The system's.
    fn len_bytes(&self) -> io::Result<u64>;

    /// Fills `into` with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// The system's, and [`io::ErrorKind::UnexpectedEof`] when there are not as many.
    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()>;

    /// Writes `bytes` from `offset` on; they may be lost until [`Disk::sync`] has returned.
    ///
    /// # Errors
    ///
    /// The system's. Any part of `bytes` may have been written then.
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Cuts the end off, or adds zeros.
    ///
    /// # Errors
    ///
    /// The system's.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Returns when everything that was written is safe from a loss of power.
    ///
    /// # Errors
    ///
    /// The system's. Nobody can know then what of it is safe, and asking again does not tell.
    fn sync(&self) -> io::Result<()>;
}

/// A file that this process alone has open.
#[derive(Debug)]
pub(crate) struct FileDisk {
    file: File,
    /// Before this offset every byte has its place on the disk.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "space is taken by writes there"))]
    backed_to: Mutex<u64>,
}

impl FileDisk {
    /// Opens the file or makes it; `None` if another process has it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        forget_cached(&file);
        Ok(Some(Self { file, backed_to: Mutex::new(0) }))
    }

    /// Takes the space for bytes that are to be written up to `end`.
    #[cfg(target_os = "linux")]
    fn back(&self, end: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;

        // A number is whole whatever panics.
        let mut backed_to = self.backed_to.lock().unwrap_or_else(PoisonError::into_inner);
        let from = *backed_to;
        if end <= from {
            return Ok(());
        }
        let take = |to: u64| fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, to - from);
        let len = self.file.metadata()?.len();
        let ahead = end.saturating_add(STEP).min(len).max(end);
        let taken = match take(ahead) {
            // Not as much as that, but perhaps enough.
            Err(Errno::NOSPC | Errno::DQUOT) => take(end).map(|()| end),
            taken => taken.map(|()| ahead),
        };
        *backed_to = match taken {
            Ok(to) => to,
            // The file system cannot: then each write finds its own place, or none.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => u64::MAX,
            Err(error) => return Err(error.into()),
        };
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn back(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
}

impl Disk for FileDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.back(offset.saturating_add(bytes.len() as u64))?;
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        let mut backed_to = self.backed_to.lock().unwrap_or_else(PoisonError::into_inner);
        if *backed_to != u64::MAX {
            *backed_to = len.min(*backed_to);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// Lets the system forget what it keeps of the file in memory. After a sync that failed it may
/// keep bytes that are not on the disk, and would read them to us as if they were.
#[cfg(target_os = "linux")]
fn forget_cached(file: &File) {
    use rustix::fs::{Advice, fadvise};

    if let Err(error) = fadvise(file, 0, None, Advice::DontNeed) {
        tracing::debug!(%error, "the file stays in the system's memory");
    }
}

#[cfg(not(target_os = "linux"))]
fn forget_cached(_: &File) {}
