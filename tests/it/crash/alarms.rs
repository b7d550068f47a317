//! Alarms over restarts: hosts are killed and stopped while alarms wait, ring and fail.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use partyrs_runtime::storage::{OpenError, RedbEngine};
use partyrs_runtime::testing::{TestHost, soon};

use super::check::{History, due};
use super::client::{FAR_MS, Load, dump};
use super::faults::{self, Fault};
use super::ledger::{self, Plan};
use super::random::Random;
use super::{Failed, Report};

const ROOM: &str = "lobby";

/// How long an alarm may take when its time has come.
const LATE: Duration = Duration::from_secs(20);

/// Sets alarms within 10 s in each round, and moves the clock by less: so each round inherits some.
pub(super) async fn rounds(seed: u64, count: u64, fault: Option<Fault>) -> Result<Report, Failed> {
    let data = tempfile::tempdir().unwrap();
    let mut random = Random::of(seed);
    let mut history = History::default();
    let mut report = Report::default();
    for round in 0..count {
        let failed = |violation| Failed { seed, kind: "alarms".to_owned(), round, violation };
        let host = start(data.path(), fault).await;
        let load = Load {
            rooms: vec![ROOM.to_owned()],
            round: round.to_string(),
            clients_count: 3,
            batches_count: 4,
            alarm_within_ms: 10_000,
        };
        let mut clients = load.start(host.addr(), &mut random);
        let mut ended = Vec::new();
        for _ in 0..1 + random.below(4) {
            // The host ends when some of them are done, and the clock goes on whenever one is.
            host.advance(Duration::from_millis(random.below(4000)));
            ended.push(soon(clients.join_next()).await.expect("a client").expect("no panic"));
        }
        if random.one_in(2) {
            host.stop().await;
        } else {
            host.kill().await;
        }
        ended.extend(soon(clients.join_all()).await);
        history.witnesses.extend(ended.into_iter().map(|(_, witness)| witness));
        let host = start(data.path(), fault).await;
        let mut found = dump(host.addr(), ROOM).await;
        if round == count - 1 {
            // All but the far ones, and those too that have failed once.
            let rung = async {
                while due(&found, FAR_MS / 2).is_some() {
                    host.advance(Duration::from_secs(2));
                    found = dump(host.addr(), ROOM).await;
                }
            };
            if tokio::time::timeout(LATE, rung).await.is_err() {
                return Err(failed(due(&found, FAR_MS / 2).expect("an alarm that has not gone off")));
            }
        }
        report.confirmed = history.check(found).map_err(failed)?;
        report.rounds += 1;
        host.kill().await;
    }
    Ok(report)
}

async fn start(data: &Path, fault: Option<Fault>) -> TestHost {
    let engine = soon(async {
        loop {
            match RedbEngine::open(data) {
                Ok(engine) => return engine,
                // A process that another test starts has our files open for a moment.
                Err(OpenError::InUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("the data of the host before: {error}"),
            }
        }
    });
    let engine = engine.await;
    let engine = faults::plant(fault, Arc::new(engine));
    TestHost::of(ledger::host(&Plan::of(fault)).storage(engine)).await
}
