//! `party-data show`: what one room has stored.

use std::io::{self, BufWriter, Write};

use partyrs::RoomAddress;
use partyrs::storage::{StorageEngine, StoredAlarm};

use crate::args::Show;
use crate::value::{quoted, readable, utc};
use crate::{Failure, open};

/// Entries that are read at once.
const PAGE: usize = 1000;

/// Characters of a value that are shown, unless all are asked for.
const SHOWN_CHARS: usize = 200;

pub(crate) async fn run(show: Show) -> Result<(), Failure> {
    let engine = open(&show.folder)?;
    let snapshot = engine.snapshot().await?;
    let room = RoomAddress::new(show.party, show.room);
    let mut out = BufWriter::new(io::stdout().lock());
    let alarms = snapshot.alarms(&room).await?;
    for alarm in &alarms {
        writeln!(out, "alarm {}", described(alarm)).map_err(Failure::Output)?;
    }
    let (mut after, mut has_more): (Option<String>, bool) = (None, true);
    while has_more {
        let page = snapshot.entries(&room, after.as_deref(), PAGE).await?;
        if after.is_none() && page.entries.is_empty() && alarms.is_empty() {
            return Err(Failure::Told(format!(
                "room {room} has stored nothing; `party-data list` shows which have"
            )));
        }
        for (key, value) in &page.entries {
            let (shown, bytes) = (readable(value), value.len());
            let key = quoted(key);
            match shown.char_indices().nth(SHOWN_CHARS).filter(|_| !show.full) {
                Some((end, _)) => {
                    writeln!(out, "key {key}: {} .. (cut; {bytes} bytes, --full shows all)", &shown[..end])
                }
                None => writeln!(out, "key {key}: {shown}"),
            }
            .map_err(Failure::Output)?;
        }
        has_more = page.has_more;
        after = page.entries.into_iter().last().map(|(key, _)| key);
    }
    out.flush().map_err(Failure::Output)
}

fn described(alarm: &StoredAlarm) -> String {
    let StoredAlarm { name, scheduled_ms, due_ms, retry, .. } = alarm;
    let name = if name.is_empty() { "without a name".to_owned() } else { quoted(name) };
    let failed = match retry {
        0 => String::new(),
        retry => format!(", set to {}, failed {retry} times", utc(*scheduled_ms)),
    };
    format!("{name}: due {}{failed}", utc(*due_ms))
}
