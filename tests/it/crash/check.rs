//! What must be true of a room, whatever happened to its server.
//!
//! Everything follows from the log: it has each confirmed ask once, in the order in which it was
//! told, nothing that failed, and the accounts, the number of entries, the alarms and the room's
//! memory are what the log makes of them.

use std::collections::{BTreeMap, BTreeSet};

use super::client::Witness;
use super::ledger::{ACCOUNTS_COUNT, Ask, BALANCE, Books, Deed, Dump, End, Entry, Tell, Way, ring_id};

/// What was seen of one room since it was made, over all restarts.
#[derive(Debug, Default)]
pub(crate) struct History {
    pub(crate) witnesses: Vec<Witness>,
    /// Whether its disk failed, so that any hook may have.
    is_disk_ill: bool,
    /// What was found after the last restart.
    last: Option<Dump>,
}

/// What is not as it must be.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("client {client} saw `{id}` as entry {number}, and the log has {found} there")]
    Lost { client: String, id: String, number: u64, found: String },
    #[error("`{id}` is in the log {count} times")]
    Repeated { id: String, count: usize },
    #[error("`{id}` is in the log, and its hook failed or nobody asked for it")]
    Trace { id: String },
    #[error("client {client} heard of `{id}`, and its hook failed")]
    Heard { client: String, id: String },
    #[error("client {client} heard of entry {number} after entry {before}")]
    Hole { client: String, before: u64, number: u64 },
    #[error("client {client} sent `{id}` after an ask that is behind it in the log")]
    Overtaken { client: String, id: String },
    #[error("entry {number} stands at place {place} of the log")]
    Gap { place: usize, number: u64 },
    #[error("{what} has {found:?}, and the log makes {expected:?} of it")]
    Unequal { what: &'static str, found: Books, expected: Books },
    #[error("all accounts together have {found}, not {expected}")]
    Sum { found: i64, expected: i64 },
    #[error("the answer to `{id}` had status {status}")]
    Answer { id: String, status: u16 },
    #[error("the log had {before:?} as entry {number} before the restart, and has {after} now")]
    TakenBack { number: u64, before: Entry, after: String },
    #[error("the alarm `{id}` is set, and there is no entry that sets it, or it has gone off")]
    StrayAlarm { id: String },
    #[error("the alarm `{id}` is neither set nor has it gone off")]
    LostAlarm { id: String },
    #[error("the alarm `{id}` was due at {due_ms} and went off at {at_ms}")]
    EarlyAlarm { id: String, due_ms: u64, at_ms: u64 },
    #[error("the alarm `{id}` has not gone off, and was due {late_ms} ms ago")]
    LateAlarm { id: String, late_ms: u64 },
    #[error("{text}")]
    Other { text: String },
    #[error("the data cannot be read any more: {error}")]
    Unreadable { error: String },
}

impl History {
    /// Of a room whose disk is going to fail.
    pub(crate) fn on_ill_disk() -> Self {
        Self { is_disk_ill: true, ..Self::default() }
    }

    /// Compares what was seen with what is there; returns how many entries somebody has seen.
    pub(crate) fn check(&mut self, dump: Dump) -> Result<usize, Violation> {
        check_books(&dump)?;
        let places = self.check_ids(&dump)?;
        check_alarms(&dump)?;
        let mut seen = BTreeSet::new();
        for witness in &self.witnesses {
            self.check_answers(witness)?;
            check_frames(witness, &dump.log)?;
            check_order(witness, &places)?;
            seen.extend(entries(witness).map(|entry| entry.number));
        }
        for entry in self.last.iter().flat_map(|last| &last.log) {
            if at(&dump.log, entry.number) != Some(entry) {
                let after = told(at(&dump.log, entry.number));
                return Err(Violation::TakenBack { number: entry.number, before: entry.clone(), after });
            }
        }
        self.last = Some(dump);
        Ok(seen.len())
    }

    /// Each answer had the status that belongs to how its hook was to end.
    fn check_answers(&self, witness: &Witness) -> Result<(), Violation> {
        for (id, status, _) in &witness.answers {
            let ask = witness.asked.iter().find(|ask| ask.id == *id);
            let expected = match ask.map(|ask| ask.end) {
                Some(End::Well) => 200,
                Some(End::Refuse) => 409,
                _ => 500,
            };
            let is_of_disk = self.is_disk_ill && [500, 503, 507].contains(status);
            if *status != expected && *status != 503 && !is_of_disk {
                return Err(Violation::Answer { id: id.clone(), status: *status });
            }
        }
        Ok(())
    }

    /// Nothing is there twice, and nothing that may not be there; returns the number of each entry.
    fn check_ids<'a>(&self, dump: &'a Dump) -> Result<BTreeMap<&'a str, u64>, Violation> {
        let asked = self.witnesses.iter().flat_map(|witness| &witness.asked);
        let mut allowed: BTreeSet<String> = asked.flat_map(Ask::ids).collect();
        let heard = |id: &String| {
            let witness = self.witnesses.iter().find(|witness| entries(witness).any(|entry| entry.id == *id));
            witness.map(|witness| witness.name.clone())
        };
        let mut places = BTreeMap::new();
        for entry in &dump.log {
            if matches!(entry.deed, Deed::Remind { .. }) {
                allowed.insert(ring_id(&entry.id));
            }
            if !allowed.contains(&entry.id) {
                return Err(Violation::Trace { id: entry.id.clone() });
            }
            if places.insert(entry.id.as_str(), entry.number).is_some() {
                let count = dump.log.iter().filter(|other| other.id == entry.id).count();
                return Err(Violation::Repeated { id: entry.id.clone(), count });
            }
        }
        let all = self.witnesses.iter().flat_map(entries).map(|entry| &entry.id);
        // What was seen and is not in the log is for `check_frames`, unless it never could be.
        match all.filter(|id| !id.ends_with('!')).find(|id| !allowed.contains(*id)) {
            Some(id) => Err(Violation::Heard { client: heard(id).unwrap_or_default(), id: id.clone() }),
            None => Ok(places),
        }
    }
}

/// The log is whole, and storage and memory are what it makes of them.
fn check_books(dump: &Dump) -> Result<(), Violation> {
    let mut books = Books::new();
    for (place, entry) in dump.log.iter().enumerate() {
        if entry.number != place as u64 + 1 {
            return Err(Violation::Gap { place: place + 1, number: entry.number });
        }
        books.apply(entry);
    }
    let (found, expected) = (dump.stored.accounts.iter().sum(), BALANCE * ACCOUNTS_COUNT as i64);
    if found != expected {
        return Err(Violation::Sum { found, expected });
    }
    for (what, found) in [("storage", &dump.stored), ("memory", &dump.memory)] {
        if *found != books {
            return Err(Violation::Unequal { what, found: found.clone(), expected: books });
        }
    }
    Ok(())
}

/// Each alarm is set or has gone off, and none too early.
fn check_alarms(dump: &Dump) -> Result<(), Violation> {
    let mut waiting = BTreeMap::new();
    for entry in &dump.log {
        match entry.deed {
            Deed::Remind { due_ms, .. } => drop(waiting.insert(entry.id.as_str(), due_ms)),
            Deed::Ring { at_ms } => {
                let id = entry.id.trim_end_matches('!');
                let due_ms = waiting.remove(id).ok_or(Violation::StrayAlarm { id: id.to_owned() })?;
                if at_ms < due_ms {
                    return Err(Violation::EarlyAlarm { id: id.to_owned(), due_ms, at_ms });
                }
            }
            _ => {}
        }
    }
    if let Some(id) = dump.alarms.iter().find(|id| !waiting.contains_key(id.as_str())) {
        return Err(Violation::StrayAlarm { id: id.clone() });
    }
    match waiting.keys().find(|id| !dump.alarms.iter().any(|alarm| alarm == *id)) {
        Some(id) => Err(Violation::LostAlarm { id: (*id).to_owned() }),
        None => Ok(()),
    }
}

/// Each client heard of every entry since it came, in order, and they are those of the log.
fn check_frames(witness: &Witness, log: &[Entry]) -> Result<(), Violation> {
    let client = &witness.name;
    let mut before = None;
    for tell in &witness.heard {
        let told = match tell {
            Tell::Welcome { count } => *count,
            Tell::Told(entry) => entry.number,
            Tell::Done(_) => continue,
        };
        let is_next = match (tell, before) {
            (_, None) => true,
            (Tell::Welcome { .. }, Some(before)) => told == before,
            (_, Some(before)) => told == before + 1,
        };
        if !is_next {
            let before = before.unwrap_or_default();
            return Err(Violation::Hole { client: client.clone(), before, number: told });
        }
        before = Some(told);
    }
    for entry in entries(witness) {
        if at(log, entry.number) != Some(entry) {
            let (client, id, found) = (client.clone(), entry.id.clone(), told(at(log, entry.number)));
            return Err(Violation::Lost { client, id, number: entry.number, found });
        }
    }
    let welcome = |tell: &Tell| matches!(tell, Tell::Welcome { count } if *count > log.len() as u64);
    if let Some(Tell::Welcome { count }) = witness.heard.iter().find(|tell| welcome(tell)) {
        let (client, id, found) = (client.clone(), "a welcome".to_owned(), told(None));
        return Err(Violation::Lost { client, id, number: *count, found });
    }
    Ok(())
}

/// What a client asked in its hooks is in the log in the order in which it was sent.
fn check_order(witness: &Witness, places: &BTreeMap<&str, u64>) -> Result<(), Violation> {
    let mut last = 0;
    for ask in witness.asked.iter().filter(|ask| ask.way == Way::Hook) {
        for place in ask.ids().iter().filter_map(|id| places.get(id.as_str())) {
            if *place < last {
                return Err(Violation::Overtaken { client: witness.name.clone(), id: ask.id.clone() });
            }
            last = *place;
        }
    }
    Ok(())
}

/// All entries that a client has seen, in whatever way.
fn entries(witness: &Witness) -> impl Iterator<Item = &Entry> {
    let heard = witness.heard.iter().filter_map(|tell| match tell {
        Tell::Told(entry) | Tell::Done(entry) => Some(entry),
        Tell::Welcome { .. } => None,
    });
    heard.chain(witness.answers.iter().filter_map(|(_, _, entry)| entry.as_ref()))
}

/// The entry of this number, in a log without gaps.
fn at(log: &[Entry], number: u64) -> Option<&Entry> {
    usize::try_from(number).ok()?.checked_sub(1).and_then(|place| log.get(place))
}

/// An entry of the log, in words.
fn told(entry: Option<&Entry>) -> String {
    entry.map_or_else(|| "nothing".to_owned(), |entry| format!("`{}`", entry.id))
}

/// An alarm that is due within this time from now, if there is one that has not gone off.
pub(crate) fn due(dump: &Dump, within_ms: u64) -> Option<Violation> {
    let until_ms = dump.now_ms + within_ms;
    let rung: BTreeSet<&str> = dump.log.iter().map(|entry| entry.id.as_str()).collect();
    dump.log.iter().find_map(|entry| match entry.deed {
        Deed::Remind { due_ms, .. } if due_ms < until_ms && !rung.contains(ring_id(&entry.id).as_str()) => {
            Some(Violation::LateAlarm { id: entry.id.clone(), late_ms: dump.now_ms.saturating_sub(due_ms) })
        }
        _ => None,
    })
}
