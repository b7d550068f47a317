//! `party-data list`: what rooms there are.

use std::io::{self, BufWriter, Write};

use partyrs::RoomAddress;
use partyrs::storage::{EngineError, Snapshot, StorageEngine};
use serde_json::json;

use crate::args::List;
use crate::value::utc;
use crate::{Failure, open};

/// Rooms and entries that are read at once.
const PAGE: usize = 1000;

/// What is told of a room.
#[derive(Default)]
struct Summary {
    keys_count: u64,
    bytes: u64,
    alarms_count: usize,
    next_alarm: Option<String>,
}

pub(crate) async fn run(list: List) -> Result<(), Failure> {
    let engine = open(&list.folder)?;
    let snapshot = engine.snapshot().await?;
    let selection = list.which.selection();
    let mut out = BufWriter::new(io::stdout().lock());
    for party in snapshot.parties().await? {
        let mut after = None;
        loop {
            let page = snapshot.rooms(&party, after.as_ref(), PAGE).await?;
            let Some(last) = page.last().cloned() else { break };
            after = Some(last);
            for room in page.into_iter().map(|room| RoomAddress::new(party.clone(), room)) {
                if selection.has(&room) {
                    let summary = Summary::of(&*snapshot, &room).await?;
                    summary.write(&mut out, &room, list.json).map_err(Failure::Output)?;
                }
            }
        }
    }
    out.flush().map_err(Failure::Output)
}

impl Summary {
    async fn of(snapshot: &dyn Snapshot, room: &RoomAddress) -> Result<Self, EngineError> {
        let alarms = snapshot.alarms(room).await?;
        let next_alarm = alarms.iter().map(|alarm| alarm.due_ms).min().map(utc);
        let mut summary = Self { alarms_count: alarms.len(), next_alarm, ..Self::default() };
        let mut after: Option<String> = None;
        loop {
            let page = snapshot.entries(room, after.as_deref(), PAGE).await?;
            for (key, value) in &page.entries {
                summary.keys_count += 1;
                summary.bytes += (key.len() + value.len()) as u64;
            }
            after = page.entries.last().map(|(key, _)| key.clone()).filter(|_| page.has_more);
            if after.is_none() {
                return Ok(summary);
            }
        }
    }

    fn write(&self, out: &mut impl Write, room: &RoomAddress, as_json: bool) -> io::Result<()> {
        let Self { keys_count, bytes, alarms_count, next_alarm } = self;
        if as_json {
            let (party, id) = (room.party.as_str(), room.room.as_str());
            let line = json!({
                "party": party, "room": id, "keys": keys_count, "bytes": bytes,
                "alarms": alarms_count, "next_alarm": next_alarm,
            });
            return writeln!(out, "{line}");
        }
        let next = next_alarm.as_ref().map(|next| format!(", next {next}")).unwrap_or_default();
        writeln!(out, "{room}\tkeys {keys_count}, bytes {bytes}, alarms {alarms_count}{next}")
    }
}
