//! Losses of power at random moments: what any client saw is there when the power is back.

use std::sync::Arc;

use partyrs_runtime::storage::RedbEngine;
use partyrs_runtime::testing::soon;

use super::check::Violation;
use super::client::Load;
use super::disk::PoweredDisk;
use super::faults::Fault;
use super::local::{Rooms, host_on};
use super::random::Random;
use super::{Failed, Report};

/// Rounds on the same disk; after these comes a new one, lest logs grow without end.
const ROUNDS_PER_DISK: u64 = 10;

/// The power goes within as many changes of the disk from the start of the clients; one time in four
/// within the lesser number from the moment at which the data are opened.
const CUT_WITHIN: u64 = 600;
const EARLY_CUT_WITHIN: u64 = 40;

/// Cuts the power this many times, and checks what each loss has left.
pub(super) async fn rounds(seed: u64, count: u64, fault: Option<Fault>) -> Result<Report, Failed> {
    let skips_syncs = fault == Some(Fault::SyncSkipped);
    let mut random = Random::of(seed);
    let mut rooms = Rooms::new(3);
    let mut image = Vec::new();
    let mut report = Report::default();
    for round in 0..count {
        let failed = |violation| Failed { seed, kind: "power".to_owned(), round, violation };
        if round % ROUNDS_PER_DISK == 0 {
            (image, rooms) = (new_disk(&mut random), Rooms::new(3));
        }
        let disk = Arc::new(PoweredDisk::of(image, skips_syncs));
        let is_early = random.one_in(4);
        if is_early {
            disk.cut_at(1 + random.below(EARLY_CUT_WITHIN), random.fork());
        }
        match host_on(disk.clone()).await {
            Ok(host) => {
                let load = Load {
                    rooms: rooms.names(),
                    round: round.to_string(),
                    clients_count: 3,
                    batches_count: usize::MAX,
                    alarm_within_ms: 100,
                };
                if !is_early {
                    disk.cut_at(1 + random.below(CUT_WITHIN), random.fork());
                }
                let clients = load.start(host.addr(), &mut random);
                soon(disk.cut()).await;
                host.kill().await;
                rooms.witness(soon(clients.join_all()).await);
            }
            // The power went before there was anybody who could see anything.
            Err(_) if is_early => {}
            Err(error) => return Err(failed(Violation::Unreadable { error })),
        }
        image = disk.left(&mut random);
        let confirmed;
        (image, confirmed) = rooms.look(image, &mut random).await.map_err(failed)?;
        report.rounds += 1;
        if report.rounds == count || report.rounds.is_multiple_of(ROUNDS_PER_DISK) {
            report.confirmed += confirmed;
        }
    }
    Ok(report)
}

/// What is on a disk whose database has been made, and nothing else.
fn new_disk(random: &mut Random) -> Vec<u8> {
    let disk = Arc::new(PoweredDisk::of(Vec::new(), false));
    drop(RedbEngine::open_on(disk.clone()).expect("a disk without fault"));
    disk.left(random)
}
