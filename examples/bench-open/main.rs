//! What `cargo xtask bench-open` measures: opening a data folder with many rooms.
//!
//! ```sh
//! cargo run --release --bin bench-open -- fill FOLDER ROOMS KEYS
//! cargo run --release --bin bench-open -- open FOLDER
//! ```
//!
//! `fill` stores KEYS values of 100 bytes in each of ROOMS rooms, and then goes on storing
//! until it is killed. `open` says how long it takes to open the folder and to start one of its
//! rooms, how much memory the process has then, and how long a commit takes that is alone.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use partyrs::storage::{Commit, KeyRange, StorageEngine, Writes};
use partyrs::{PartyName, Result, RoomAddress, RoomId};
use partyrs_runtime::storage::RedbEngine;
use serde_json::json;
use tokio::task::JoinSet;

/// Rooms that are filled at a time.
const ROOMS_AT_ONCE: usize = 2000;

/// Commits that are made one after another.
const COMMITS: usize = 101;

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        ["fill", folder, rooms, keys] => fill(folder.as_ref(), rooms.parse()?, keys.parse()?).await,
        ["open", folder] => open(folder.as_ref()).await,
        _ => {
            eprintln!("usage: bench-open fill FOLDER ROOMS KEYS | bench-open open FOLDER");
            std::process::exit(2);
        }
    }
}

async fn fill(folder: &Path, rooms_count: usize, keys_count: usize) -> Result<()> {
    let engine = Arc::new(RedbEngine::open(folder)?);
    let mut filled = JoinSet::new();
    for index in 0..rooms_count {
        let (engine, room) = (Arc::clone(&engine), address(index)?);
        filled.spawn(async move { store(&*engine, &room, keys_count).await });
        if filled.len() >= ROOMS_AT_ONCE
            && let Some(stored) = filled.join_next().await
        {
            stored??;
        }
    }
    while let Some(stored) = filled.join_next().await {
        stored??;
    }
    drop(engine);
    writeln!(std::io::stdout(), "filled")?;
    // Closed once in order; from here on whoever runs it may kill it.
    std::io::stdin().read_line(&mut String::new())?;
    let engine = RedbEngine::open(folder)?;
    writeln!(std::io::stdout(), "storing")?;
    for index in (0..rooms_count).cycle() {
        store(&engine, &address(index)?, keys_count).await?;
    }
    Ok(())
}

async fn store(engine: &dyn StorageEngine, room: &RoomAddress, keys_count: usize) -> Result<()> {
    let opened = engine.open(room).await?;
    let mut writes = Writes::new();
    for key in 0..keys_count {
        writes.put(format!("key-{key:04}"), vec![7; 100].into());
    }
    engine.commit(Commit::new(room.clone(), opened.epoch, opened.seq + 1, Arc::new(writes))).await?;
    engine.close(room, opened.epoch);
    Ok(())
}

async fn open(folder: &Path) -> Result<()> {
    let begun = Instant::now();
    let engine = RedbEngine::open(folder)?;
    let open_ms = begun.elapsed().as_secs_f64() * 1e3;
    let resident_mb = resident_mb()?;
    let begun = Instant::now();
    let room = address(4711)?;
    engine.open(&room).await?;
    let keys_count = engine.list(&room, &KeyRange::all()).await?.len();
    let start_ms = begun.elapsed().as_secs_f64() * 1e3;
    let mut commits_ms = Vec::new();
    for _ in 0..COMMITS {
        let begun = Instant::now();
        store(&engine, &address(4712)?, 1).await?;
        commits_ms.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    commits_ms.sort_by(f64::total_cmp);
    let said = json!({
        "open_ms": open_ms, "resident_mb": resident_mb, "start_ms": start_ms, "keys_of_a_room": keys_count,
        "commit_ms": commits_ms[COMMITS / 2],
    });
    writeln!(std::io::stdout(), "{said}")?;
    Ok(())
}

fn address(index: usize) -> Result<RoomAddress> {
    Ok(RoomAddress::new(PartyName::new("main")?, RoomId::new(&format!("room-{index}"))?))
}

/// What this process has in memory.
fn resident_mb() -> Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}
