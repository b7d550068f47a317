//! What the database's file lies on, and a file that keeps space ahead of what is written.
//!
//! The difficulty is a full disk. redb makes its file long before it fills it, by doubling, and
//! then writes anywhere in it. A write that finds no space costs all commits that travel with it
//! a second attempt, so space is taken when the file grows: then it is missing there, where redb
//! still uses what is free within the file, and commits that need no more go on.

use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A disk with less space than this is full: the file grows no more.
#[cfg(target_os = "linux")]
const SPARE: u64 = 64 << 20;

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
}

impl FileDisk {
    /// Opens a file that is there; `None` if another process has it.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(OpenOptions::new().read(true).write(true).open(path)?)
    }

    /// Opens the file or makes it; `None` if another process has it.
    pub(crate) fn make(path: &Path) -> io::Result<Option<Self>> {
        Self::lock(OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?)
    }

    fn lock(file: File) -> io::Result<Option<Self>> {
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        forget_cached(&file);
        Ok(Some(Self { file }))
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
        self.file.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let old = self.file.metadata()?.len();
        if len > old {
            take_space(&self.file, old, len)?;
        }
        self.file.set_len(len)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// What is done for a file that grows, by how much and how much space there is.
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
enum Growth {
    /// All of it is taken now.
    Taken,
    /// Writes take what they need, until there is nothing left: it is more than the file should
    /// take from others at once.
    Sparse,
    /// The disk is full.
    Refused,
}

#[cfg(target_os = "linux")]
impl Growth {
    fn of(more: u64, free: u64) -> Self {
        if more <= free / 2 {
            Self::Taken
        } else if free >= SPARE {
            Self::Sparse
        } else {
            Self::Refused
        }
    }
}

/// Takes the space for a file that is to grow from `old` to `len` bytes.
#[cfg(target_os = "linux")]
fn take_space(file: &File, old: u64, len: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate, fstatvfs};
    use rustix::io::{Errno, retry_on_intr};

    let found = fstatvfs(file)?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    match Growth::of(len - old, free) {
        // Some file systems stop for a signal, which is no error of the disk.
        Growth::Taken => match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), old, len - old)) {
            // Where it cannot be taken, a write finds its space or does not.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
            Err(error) => {
                // What it has taken before it failed is of no use.
                file.set_len(old)?;
                Err(error.into())
            }
        },
        Growth::Sparse => {
            let (more_bytes, free_bytes) = (len - old, free);
            tracing::warn!(
                more_bytes,
                free_bytes,
                "the disk is nearly full: the data file grows without taking its space"
            );
            Ok(())
        }
        Growth::Refused => Err(io::ErrorKind::StorageFull.into()),
    }
}

/// Elsewhere a write finds its space or does not.
#[cfg(not(target_os = "linux"))]
fn take_space(_: &File, _: u64, _: u64) -> io::Result<()> {
    Ok(())
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

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_at_most_half_of_what_is_free_at_once_and_leaves_the_last_64_mib() {
        assert_eq!(Growth::of(4096, 8192), Growth::Taken);
        assert_eq!(Growth::of(4097, 8192), Growth::Refused);
        assert_eq!(Growth::of(1 << 30, 2 << 30), Growth::Taken);
        assert_eq!(Growth::of((1 << 30) + 1, 2 << 30), Growth::Sparse);
        assert_eq!(Growth::of(1 << 40, SPARE), Growth::Sparse);
        assert_eq!(Growth::of(1 << 40, SPARE - 1), Growth::Refused);
    }

    #[test]
    fn a_file_that_has_grown_has_its_space_and_one_that_was_cut_gives_it_back() {
        use std::os::unix::fs::MetadataExt;

        let folder = tempfile::tempdir().unwrap();
        let disk = FileDisk::make(&folder.path().join("file")).unwrap().unwrap();
        let taken_bytes = || disk.file.metadata().unwrap().blocks() * 512;
        disk.set_len(1 << 20).unwrap();
        assert_eq!(disk.len_bytes().unwrap(), 1 << 20);
        assert!(taken_bytes() >= 1 << 20, "{}", taken_bytes());
        disk.set_len(1 << 12).unwrap();
        assert_eq!(disk.len_bytes().unwrap(), 1 << 12);
        assert!(taken_bytes() <= 1 << 16, "{}", taken_bytes());
    }
}
