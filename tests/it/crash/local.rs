//! Hosts in the process of the test, on disks in memory, and what is known of their rooms.

use std::collections::BTreeMap;
use std::sync::Arc;

use partyrs_runtime::storage::{Disk, RedbEngine};
use partyrs_runtime::testing::TestHost;

use super::check::{History, Violation};
use super::client::{Witness, dump};
use super::disk::PoweredDisk;
use super::ledger::{self, Plan};
use super::random::Random;

/// What was seen of the rooms of one disk.
#[derive(Debug)]
pub(super) struct Rooms(BTreeMap<String, History>);

/// A host of ledgers on this disk, or why there is none.
pub(super) async fn host_on(disk: Arc<dyn Disk>) -> Result<TestHost, String> {
    let engine = RedbEngine::open_on(disk).map_err(|error| error.to_string())?;
    Ok(TestHost::of(ledger::host(&Plan::default()).storage(Arc::new(engine))).await)
}

impl Rooms {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|room| (format!("room-{room}"), History::on_ill_disk())).collect())
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn witness(&mut self, seen: impl IntoIterator<Item = (String, Witness)>) {
        for (room, witness) in seen {
            self.0.get_mut(&room).expect("a room of this disk").witnesses.push(witness);
        }
    }

    /// Checks what this host has of each room; returns how many entries somebody has seen.
    pub(super) async fn check(&mut self, host: &TestHost) -> Result<usize, Violation> {
        let mut confirmed = 0;
        for (room, history) in &mut self.0 {
            confirmed += history.check(dump(host.addr(), room).await)?;
        }
        Ok(confirmed)
    }

    /// Checks what a host finds in this image of a disk. Looking is a use like any other, so what was
    /// seen by it must be in what is left afterwards, when the power goes once more.
    pub(super) async fn look(
        &mut self,
        image: Vec<u8>,
        random: &mut Random,
    ) -> Result<(Vec<u8>, usize), Violation> {
        let disk = Arc::new(PoweredDisk::of(image, false));
        let host = host_on(disk.clone()).await.map_err(|error| Violation::Unreadable { error })?;
        let confirmed = self.check(&host).await?;
        let image = disk.left(random);
        host.kill().await;
        Ok((image, confirmed))
    }
}
