//! Kill -9 of a server process under load, at random moments, again and again on the same data.

use std::collections::BTreeMap;
use std::time::Duration;

use partyrs_runtime::storage::RedbEngine;
use partyrs_runtime::testing::soon;

use super::check::{History, Violation, due};
use super::client::{Load, dump};
use super::faults::Fault;
use super::ledger::Dump;
use super::random::Random;
use super::server::{Server, spawn};
use super::{Failed, Report};

/// Rounds on the same rooms; after these come others, in the same folder, lest the logs grow without end.
const ROUNDS_PER_ROOM: u64 = 10;

const ROOMS_COUNT: u64 = 3;

/// A kill comes within this time from the start of the clients; one in four within the longer one.
const KILL_WITHIN_US: u64 = 60_000;
const LATE_KILL_WITHIN_US: u64 = 300_000;

/// How long an alarm may be late when nothing else is to be done.
const LATE: Duration = Duration::from_secs(20);

/// Kills a server this many times, and checks what each kill has left.
pub(crate) async fn rounds(seed: u64, count: u64, fault: Option<Fault>) -> Result<Report, Failed> {
    let data = tempfile::tempdir().unwrap();
    let mut random = Random::of(seed);
    let mut server = Server::start(data.path(), fault).await;
    let mut histories = BTreeMap::<String, History>::new();
    let mut report = Report::default();
    for round in 0..count {
        let failed = |violation| Failed { seed, kind: "kill".to_owned(), round, violation };
        let rooms = (0..ROOMS_COUNT).map(|room| format!("{}-{room}", round / ROUNDS_PER_ROOM));
        let load = Load {
            rooms: rooms.collect(),
            round: round.to_string(),
            clients_count: 3,
            batches_count: usize::MAX,
            alarm_within_ms: 100,
        };
        let clients = load.start(server.addr, &mut random);
        // The moment of the kill is what is random here; nothing is waited for.
        let within = if random.one_in(4) { LATE_KILL_WITHIN_US } else { KILL_WITHIN_US };
        tokio::time::sleep(Duration::from_micros(random.below(within))).await;
        server.kill();
        for (room, witness) in soon(clients.join_all()).await {
            histories.entry(room).or_default().witnesses.push(witness);
        }
        if random.one_in(4) {
            // Once more while it opens its data.
            let mut child = spawn(data.path(), fault);
            tokio::time::sleep(Duration::from_micros(random.below(KILL_WITHIN_US))).await;
            child.kill().expect("it can be killed");
            child.wait().expect("it has ended");
        }
        // What was left is looked at by a server without fault.
        server = Server::start(data.path(), None).await;
        let is_last = round % ROUNDS_PER_ROOM == ROUNDS_PER_ROOM - 1 || round == count - 1;
        let mut seen = 0;
        for (room, history) in &mut histories {
            let mut found = dump(server.addr, room).await;
            if is_last {
                found = rung(&server, room).await.map_err(failed)?;
            }
            seen += history.check(found).map_err(failed)?;
        }
        if fault.is_some() {
            server.kill();
            server = Server::start(data.path(), fault).await;
        }
        report.rounds += 1;
        if is_last {
            report.confirmed += seen;
            histories.clear();
        }
    }
    Ok(report)
}

/// What the room has when all alarms that are due have gone off.
async fn rung(server: &Server, room: &str) -> Result<Dump, Violation> {
    let deadline = tokio::time::Instant::now() + LATE;
    loop {
        let found = dump(server.addr, room).await;
        match due(&found, 0) {
            None => return Ok(found),
            Some(violation) if tokio::time::Instant::now() > deadline => return Err(violation),
            Some(_) => {}
        }
    }
}

/// Kills this many servers while they make a new folder of data; returns those folders that do not open.
pub(crate) async fn births(seed: u64, count: u64) -> Vec<String> {
    let mut random = Random::of(seed);
    let mut broken = Vec::new();
    for _ in 0..count {
        let data = tempfile::tempdir().unwrap();
        let mut child = spawn(data.path(), None);
        tokio::time::sleep(Duration::from_micros(random.below(KILL_WITHIN_US))).await;
        child.kill().expect("it can be killed");
        child.wait().expect("it has ended");
        broken.extend(RedbEngine::open(data.path()).err().map(|error| error.to_string()));
    }
    broken
}
