//! A disk that loses what was not synced when its power goes.
//!
//! What a loss of power leaves is what was synced, and of all that was written since any part: some
//! writes and not others, in any order, some torn between two sectors, and the length of the file
//! at any moment since. It is the most that a file system may do to a file.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use partyrs_runtime::storage::Disk;
use tokio::sync::Notify;

use super::random::Random;
use crate::faulty::FaultyDisk;

const SECTOR_BYTES: usize = 512;

/// Bytes in memory, with a power that may go.
pub(super) struct PoweredDisk {
    /// What is read while there is power.
    shown: Arc<FaultyDisk>,
    power: Mutex<Power>,
    has_gone: Notify,
}

#[derive(Default)]
struct Power {
    /// What nothing takes away.
    synced: Vec<u8>,
    /// What has been done since the last sync, in its order.
    unsynced: Vec<Change>,
    /// How many more changes there are before the power goes, and who decides then what is left.
    going: Option<(u64, Random)>,
    /// What was left when it went.
    left: Option<Vec<u8>>,
    /// Every second sync does nothing, and nothing is left but what was synced: the disk of
    /// [`Fault::SyncSkipped`](super::faults::Fault::SyncSkipped). More would be no database any
    /// more, and redb may end the process that opens such a thing.
    skips_syncs: bool,
    syncs_count: u64,
}

enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    SetLen(usize),
}

impl PoweredDisk {
    /// A disk with these bytes on it, all safe.
    pub(super) fn of(image: Vec<u8>, skips_syncs: bool) -> Self {
        let shown = Arc::new(FaultyDisk::of(image.clone()));
        let power = Power { synced: image, skips_syncs, ..Power::default() };
        Self { shown, power: Mutex::new(power), has_gone: Notify::new() }
    }

    /// The disk without the matter of power, which may be told to fail.
    pub(super) fn shown(&self) -> &FaultyDisk {
        &self.shown
    }

    /// The power goes with the change of this number from now, which is a write, a new length or a sync.
    pub(super) fn cut_at(&self, change: u64, random: Random) {
        self.power().going = Some((change, random));
    }

    /// Waits until the power has gone.
    pub(super) async fn cut(&self) {
        self.has_gone.notified().await;
    }

    /// What a loss of power has left, or leaves now.
    pub(super) fn left(&self, random: &mut Random) -> Vec<u8> {
        let power = self.power();
        power.left.clone().unwrap_or_else(|| power.leave(random))
    }

    fn power(&self) -> MutexGuard<'_, Power> {
        self.power.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change that succeeds below, if there is still power.
    fn change(&self, change: Option<Change>, below: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut power = self.power();
        if power.goes() {
            self.has_gone.notify_one();
        }
        power.check()?;
        below()?;
        match change {
            Some(change) => power.unsynced.push(change),
            None => power.sync(),
        }
        Ok(())
    }
}

impl Power {
    /// Counts a change; tells whether the power goes with it.
    fn goes(&mut self) -> bool {
        let Some((changes_left, mut random)) = self.going.take() else { return false };
        if changes_left > 1 {
            self.going = Some((changes_left - 1, random));
            return false;
        }
        self.left = Some(self.leave(&mut random));
        true
    }

    fn check(&self) -> io::Result<()> {
        match self.left {
            Some(_) => Err(io::Error::other("there is no power")),
            None => Ok(()),
        }
    }

    fn sync(&mut self) {
        self.syncs_count += 1;
        if self.skips_syncs && self.syncs_count.is_multiple_of(2) {
            return;
        }
        for change in self.unsynced.drain(..) {
            match change {
                Change::SetLen(len) => self.synced.resize(len, 0),
                Change::Write { offset, bytes } => write(&mut self.synced, offset, &bytes),
            }
        }
    }

    fn leave(&self, random: &mut Random) -> Vec<u8> {
        // New lengths are kept in their order, so what is left has one of them.
        let lens = self.unsynced.iter().filter_map(|change| match change {
            Change::SetLen(len) => Some(*len),
            Change::Write { .. } => None,
        });
        let lens: Vec<usize> = lens.collect();
        let mut left = self.synced.clone();
        if self.skips_syncs {
            return left;
        }
        lens[..random.index(lens.len() + 1)].iter().for_each(|len| left.resize(*len, 0));
        // From none of the writes to all of them.
        let odds = random.below(5);
        let mut kept = Vec::new();
        for change in &self.unsynced {
            let Change::Write { offset, bytes } = change else { continue };
            if random.below(4) >= odds {
                continue;
            }
            let is_torn = random.one_in(4);
            for (place, sector) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if !is_torn || random.one_in(2) {
                    kept.push((offset + place * SECTOR_BYTES, sector));
                }
            }
        }
        // Of two writes to one place either may have come last.
        for last in (1..kept.len()).rev() {
            kept.swap(last, random.index(last + 1));
        }
        for (offset, sector) in kept {
            write(&mut left, offset, sector);
        }
        left
    }
}

impl Disk for PoweredDisk {
    fn len_bytes(&self) -> io::Result<u64> {
        self.shown.len_bytes()
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.power().check()?;
        self.shown.read(offset, into)
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let place = usize::try_from(offset).map_err(io::Error::other)?;
        let change = Change::Write { offset: place, bytes: bytes.to_vec() };
        self.change(Some(change), || self.shown.write(offset, bytes))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let change = Change::SetLen(usize::try_from(len).map_err(io::Error::other)?);
        self.change(Some(change), || self.shown.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.change(None, || self.shown.sync())
    }
}

impl fmt::Debug for PoweredDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoweredDisk")
            .field("unsynced_count", &self.power().unsynced.len())
            .finish_non_exhaustive()
    }
}

/// Writes what lies before the end of the file.
fn write(file: &mut [u8], offset: usize, bytes: &[u8]) {
    let end = (offset + bytes.len()).min(file.len());
    if offset < end {
        file[offset..end].copy_from_slice(&bytes[..end - offset]);
    }
}
