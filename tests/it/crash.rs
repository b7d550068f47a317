//! Nothing that a client saw is lost, and nothing that failed is seen, whatever ends the server.
//!
//! One workload (`client.rs`) and one checker (`check.rs`) for all that may happen: `kill -9`, losses of
//! power, errors of the disk, failures in every hook, restarts while alarms wait. The same suite is run
//! with faults planted in it (`faults.rs`), which it must find.
//!
//! Moments are random here, and so are asks. Each run prints its seed; `PARTYRS_SEED` makes the same
//! decisions again, though not the same race between processes. `cargo xtask crash` runs the same for
//! as long as one likes; what it finds is had again by its seed and `--rounds 1`.

mod alarms;
mod check;
mod client;
mod disk;
mod errors;
mod faults;
mod kill;
mod ledger;
mod local;
mod numbers;
mod panics;
mod power;
mod random;
mod server;

use std::time::{Duration, Instant};

use check::Violation;
use faults::Fault;
use random::seed;

/// What a run has done.
#[derive(Debug, Default)]
struct Report {
    rounds: u64,
    /// Entries of logs that some client saw.
    confirmed: usize,
}

/// A run that found something.
#[derive(Debug, thiserror::Error)]
#[error("{kind}, round {round}, PARTYRS_SEED={seed}: {violation}")]
struct Failed {
    seed: u64,
    kind: String,
    round: u64,
    violation: Violation,
}

/// The rounds after which a fault that is planted must have been found.
const ROUNDS_TO_FIND: u64 = 30;

/// Runs the suite on servers with a fault until it complains.
async fn violation_of_kills(fault: Fault) -> Violation {
    match kill::rounds(seed(), ROUNDS_TO_FIND, Some(fault)).await {
        Ok(report) => panic!("{fault:?} was not found: {report:?}"),
        Err(failed) => {
            println!("{failed}");
            failed.violation
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_an_answer_before_the_commit() {
    violation_of_kills(Fault::ReplyBeforeCommit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_a_gate_that_opens_one_commit_early() {
    violation_of_kills(Fault::GateEarly).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_a_sync_that_is_skipped() {
    let found = power::rounds(seed(), ROUNDS_TO_FIND, Some(Fault::SyncSkipped)).await.unwrap_err();
    let is_loss = matches!(found.violation, Violation::Lost { .. } | Violation::TakenBack { .. });
    assert!(is_loss, "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_a_commit_of_which_one_half_is_kept() {
    violation_of_kills(Fault::CommitSplit).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_a_lost_alarm() {
    let found = violation_of_kills(Fault::AlarmLost).await;
    assert!(matches!(found, Violation::LostAlarm { .. }), "{found}");
    let found = alarms::rounds(seed(), ROUNDS_TO_FIND, Some(Fault::AlarmLost)).await.unwrap_err();
    assert!(matches!(found.violation, Violation::LostAlarm { .. }), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_an_early_alarm() {
    let found = violation_of_kills(Fault::AlarmEarly).await;
    assert!(matches!(found, Violation::EarlyAlarm { .. }), "{found}");
    let found = alarms::rounds(seed(), ROUNDS_TO_FIND, Some(Fault::AlarmEarly)).await.unwrap_err();
    assert!(matches!(found.violation, Violation::EarlyAlarm { .. }), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_writes_of_a_hook_that_should_have_failed() {
    let found = violation_of_kills(Fault::WritesKept).await;
    assert!(
        matches!(found, Violation::Trace { .. } | Violation::Heard { .. } | Violation::Answer { .. }),
        "{found}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_memory_that_outlives_a_hook_that_failed() {
    violation_of_kills(Fault::MemoryKept).await;
    let found = panics::at_every_hook(Some(Fault::MemoryKept)).await.unwrap_err();
    println!("{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_broadcasts_that_are_swapped() {
    let found = violation_of_kills(Fault::BroadcastsSwapped).await;
    assert!(matches!(found, Violation::Hole { .. }), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_suite_finds_an_ask_that_is_done_twice() {
    let found = violation_of_kills(Fault::AppliedTwice).await;
    assert!(matches!(found, Violation::Repeated { .. }), "{found}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_moment_takes_back_nothing_that_was_seen() {
    let report = kill::rounds(seed(), 20, None).await.unwrap_or_else(|failed| panic!("{failed}"));
    println!("{report:?}");
    assert!(report.confirmed > 0, "nothing was ever confirmed: the kills came too early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_while_the_data_are_made_leaves_a_folder_that_can_be_used() {
    let broken = kill::births(seed(), 30).await;
    assert!(broken.is_empty(), "{} of 30: {}", broken.len(), broken[0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn alarms_ring_once_and_never_early_over_restarts() {
    let report = alarms::rounds(seed(), 10, None).await.unwrap_or_else(|failed| panic!("{failed}"));
    println!("{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failure_at_any_hook_leaves_no_trace_and_others_go_on() {
    let confirmed = panics::at_every_hook(None).await.unwrap_or_else(|failed| panic!("{failed}"));
    println!("{confirmed} entries confirmed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loss_of_power_takes_back_nothing_that_was_seen() {
    let report = power::rounds(seed(), 10, None).await.unwrap_or_else(|failed| panic!("{failed}"));
    println!("{report:?}");
    assert!(report.confirmed > 0, "nothing was ever confirmed: the power went too early");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_error_of_the_disk_takes_back_nothing_that_was_seen() {
    let report = errors::rounds(seed(), 20).await.unwrap_or_else(|failed| panic!("{failed}"));
    println!("{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_that_come_and_go_keep_to_their_own_keys_whatever_the_disk_does() {
    let report = numbers::rounds(seed(), 30).await.unwrap_or_else(|failed| panic!("{failed}"));
    println!("{report:?}");
    assert!(report.confirmed > 0, "nothing was ever confirmed: the disk failed too early");
}

/// All kinds in turn, each with more rounds than above, until one of them finds something or the time
/// or the number of turns is over that the environment tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes as long as it is told to: `cargo xtask crash`"]
async fn every_kind_of_crash_in_turn() {
    let told = |name| std::env::var(name).ok().map(|told| told.parse::<u64>().expect("a number"));
    let minutes = told("PARTYRS_CRASH_MINUTES").unwrap_or(u64::MAX / 60);
    let turns = told("PARTYRS_CRASH_ROUNDS").unwrap_or(u64::MAX);
    let (begin, first) = (Instant::now(), seed());
    for turn in 0..turns {
        if begin.elapsed() >= Duration::from_secs(minutes * 60) {
            break;
        }
        let seed = first.wrapping_add(turn);
        let reports = one_turn(seed).await.unwrap_or_else(|failed| panic!("round {turn}: {failed}"));
        let all: usize = reports.iter().map(|(_, report)| report.confirmed).sum();
        println!("round {turn}, PARTYRS_SEED={seed}: {all} entries confirmed, no violation");
        for (kind, Report { rounds, confirmed }) in reports {
            println!("    {kind}: {rounds} crashes, {confirmed} confirmed");
        }
    }
}

/// Each kind once.
async fn one_turn(seed: u64) -> Result<Vec<(&'static str, Report)>, Failed> {
    let hooks = panics::at_every_hook(None).await.unwrap_or_else(|failed| panic!("{failed}"));
    Ok(vec![
        ("kill -9", kill::rounds(seed, 100, None).await?),
        ("power", power::rounds(seed, 200, None).await?),
        ("errors of the disk", errors::rounds(seed, 5).await?),
        ("numbers", numbers::rounds(seed, 300).await?),
        ("alarms", alarms::rounds(seed, 20, None).await?),
        ("hooks", Report { rounds: panics::CASES_COUNT, confirmed: hooks }),
    ])
}
