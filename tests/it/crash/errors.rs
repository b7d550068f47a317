//! Errors of the disk, at each call of a run: what was confirmed stays, and what failed has no trace.

use std::io::ErrorKind;
use std::sync::Arc;

use partyrs_runtime::HostError;
use partyrs_runtime::testing::{TestHost, soon};

use super::client::{Load, Witness};
use super::disk::PoweredDisk;
use super::ledger::Ask;
use super::local::{Rooms, host_on};
use super::random::Random;
use super::{Failed, Report};
use crate::faulty::Call;

/// What a disk may say; of the second kind, where a file is written or grows.
const KINDS: [(Call, ErrorKind); 6] = [
    (Call::Write, ErrorKind::Other),
    (Call::Write, ErrorKind::StorageFull),
    (Call::SetLen, ErrorKind::Other),
    (Call::SetLen, ErrorKind::StorageFull),
    (Call::Read, ErrorKind::Other),
    (Call::Sync, ErrorKind::Other),
];

/// Lets each `step`th call of a run fail, one in each run, for every kind of call and error.
pub(super) async fn rounds(seed: u64, step: u64) -> Result<Report, Failed> {
    let mut random = Random::of(seed);
    let mut report = Report::default();
    for (call, error) in KINDS {
        let mut after = random.below(step);
        // The first number that no call of the run has is the end.
        while one(seed, call, error, after, &mut random, &mut report).await? {
            after += 1 + random.below(2 * step - 1);
        }
    }
    Ok(report)
}

/// One run; tells whether the call came.
async fn one(
    seed: u64,
    call: Call,
    error: ErrorKind,
    after: u64,
    random: &mut Random,
    report: &mut Report,
) -> Result<bool, Failed> {
    let round = report.rounds;
    let kind = format!("errors ({call:?} number {after} failed with {error:?})");
    let failed = |violation| Failed { seed, kind: kind.clone(), round, violation };
    let mut rooms = Rooms::new(2);
    let disk = Arc::new(PoweredDisk::of(Vec::new(), false));
    let host = host_on(disk.clone()).await.expect("a disk without fault");
    disk.shown().fail_once(call, after, error);
    let load = Load {
        rooms: rooms.names(),
        round: "load".to_owned(),
        clients_count: 1,
        batches_count: 5,
        alarm_within_ms: 100,
    };
    let mut clients = load.start(host.addr(), random);
    // All but those who only listen, who may stay until the host ends.
    let mut asking_count = 2 * rooms.names().len();
    while asking_count > 0 {
        let (room, witness) = soon(clients.join_next()).await.expect("a client").expect("no panic");
        asking_count -= usize::from(!witness.name.ends_with(".0"));
        rooms.witness([(room, witness)]);
    }
    let mut is_served = true;
    for room in rooms.names() {
        let (witness, is_answered) = serve_again(&host, &room).await;
        is_served &= is_answered;
        rooms.witness([(room, witness)]);
    }
    let has_failed = disk.shown().heal() == 0;
    if has_failed && call == Call::Sync {
        let ended = host.ended().await;
        assert!(matches!(ended, Err(HostError::StorageFailed(_))), "{ended:?}");
    } else {
        assert!(is_served, "a host that goes on by itself after {call:?} {after}, {error:?}");
        rooms.check(&host).await.map_err(failed)?;
        host.kill().await;
    }
    rooms.witness(soon(clients.join_all()).await);
    let (_, confirmed) = rooms.look(disk.left(random), random).await.map_err(failed)?;
    report.rounds += 1;
    report.confirmed += confirmed;
    Ok(has_failed)
}

/// Asks until it is done; tells whether there was an answer to each ask. One may meet what fails.
async fn serve_again(host: &TestHost, room: &str) -> (Witness, bool) {
    let mut witness = Witness::named("again");
    let asked = soon(async {
        for number in 0.. {
            let ask = Ask::note(format!("again.{number}"));
            if !witness.request(host.addr(), room, ask).await {
                return false;
            }
            if let Some((_, 200, _)) = witness.answers.last() {
                break;
            }
        }
        true
    });
    let is_answered = asked.await;
    (witness, is_answered)
}
