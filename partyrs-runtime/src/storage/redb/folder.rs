//! The data folder: its file is made whole before it has its name, opened by one process, and refused
//! with a way out when it is no database of ours.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ::redb::{Database, DatabaseError, ReadableDatabase, StorageError, TableError};

use super::{ALARMS, DUE, META, ROOMS, VALUES, is_about_space};
use crate::storage::disk::{Disk, FileDisk};
use crate::storage::store::{OpenFailed, Store};

/// Name of the file in the data folder.
const FILE: &str = "rooms.redb";

/// Its name while it is made: a file that a crash leaves half made cannot be opened.
const NEW_FILE: &str = "rooms.redb.new";

/// Version of the tables; a file of a later one is refused.
const FORMAT: u64 = 1;

/// In `META`: which [`FORMAT`] the file has.
const META_FORMAT: &str = "format";

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

/// Opens the database of the folder, or makes it.
pub(super) fn open(folder: &Path) -> Result<Store, OpenError> {
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
            let store = open_store(&file, disk)?;
            name_for_good(&new, &file).map_err(unusable)?;
            return Ok(store);
        }
    }
    let (file, disk) = open_disk(folder)?;
    open_store(&file, disk)
}

/// Refuses a folder in which nothing was ever stored.
pub(super) fn must_exist(folder: &Path) -> Result<(), OpenError> {
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
pub(super) fn open_disk(folder: &Path) -> Result<(PathBuf, Arc<dyn Disk>), OpenError> {
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

pub(super) fn unusable(file: &Path, source: io::Error) -> OpenError {
    OpenError::Folder { folder: file.parent().unwrap_or(file).to_owned(), source }
}

/// Opens the database on `disk`, or makes it.
pub(super) fn open_store(file: &Path, disk: Arc<dyn Disk>) -> Result<Store, OpenError> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RedbEngine;

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
