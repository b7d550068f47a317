//! Rooms that come and go: emptied, opened again, and given other numbers in the file, while the
//! power goes or the disk fails.
//!
//! There is no host here, and no client: hosts open a room only when the last opening has settled,
//! and this is about an engine that is asked for everything at once. Each room has a model, the
//! states that its commits make of it one after another. Whatever happens, what is found is one
//! of them, none older than the last that was confirmed; and the file has no defect.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use partyrs::storage::{Commit, KeyRange, StorageEngine, StoredAlarm, Writes};
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::storage::{RedbEngine, check};
use partyrs_runtime::testing::soon;

use super::check::Violation;
use super::disk::PoweredDisk;
use super::random::Random;
use super::{Failed, Report};
use crate::faulty::{Call, FaultyDisk};

const ROOMS: usize = 6;
const KEYS: u64 = 4;

/// Commits of a room that are under way at a time, at most.
const AT_ONCE_MAX: u64 = 3;

/// The disk fails, or its power goes, within as many of its calls.
const WITHIN: u64 = 150;

/// How often each room is opened where a failure that was planted may not come.
const OPENINGS: usize = 5;

/// What a room has stored.
type Stored = (BTreeMap<String, Bytes>, BTreeMap<String, u64>);

/// One room, as it should be.
struct Model {
    address: RoomAddress,
    /// The states that may be on disk, oldest first; the first of them has been confirmed.
    states: Vec<Stored>,
}

impl Model {
    fn new(index: usize) -> Self {
        let room = RoomId::new(&format!("room-{index}")).expect("a room id");
        let address = RoomAddress::new(PartyName::new("main").expect("a name"), room);
        Self { address, states: vec![Stored::default()] }
    }

    /// Opens the room as often, sees that it is as it should be, and commits, until something fails.
    async fn live(
        &mut self,
        engine: &RedbEngine,
        openings_max: usize,
        mut random: Random,
    ) -> Result<usize, Violation> {
        let mut confirmed = 0;
        for _ in 0..openings_max {
            let Ok(opened) = engine.open(&self.address).await else { return Ok(confirmed) };
            let Ok(entries) = engine.list(&self.address, &KeyRange::all()).await else {
                return Ok(confirmed);
            };
            let alarms = opened.alarms.into_iter().map(|alarm| (alarm.name, alarm.due_ms)).collect();
            self.settle((entries.into_iter().collect(), alarms))?;
            let mut seq = opened.seq;
            while !random.one_in(6) {
                let commits: Vec<Commit> = (0..=random.below(AT_ONCE_MAX))
                    .map(|_| {
                        seq += 1;
                        let writes = self.writes(&mut random);
                        Commit::new(self.address.clone(), opened.epoch, seq, Arc::new(writes))
                    })
                    .collect();
                let mut answers = Box::pin(join_all(commits.into_iter().map(|commit| engine.commit(commit))));
                if random.one_in(5) {
                    // They go on, and nobody waits for them; the next opening finds some of them.
                    drop(futures_util::poll!(&mut answers));
                    break;
                }
                for answer in answers.await {
                    if answer.is_err() {
                        return Ok(confirmed);
                    }
                    self.states.remove(0);
                    confirmed += 1;
                }
            }
            engine.close(&self.address, opened.epoch);
        }
        Ok(confirmed)
    }

    /// What was found is what the room has from now on.
    fn settle(&mut self, found: Stored) -> Result<(), Violation> {
        if self.states.contains(&found) {
            self.states = vec![found];
            return Ok(());
        }
        let (room, expected) = (self.address.to_string(), self.states.len());
        Err(Violation::Other {
            text: format!("{room} is like none of its {expected} last states: {found:?}"),
        })
    }

    /// Writes of a next commit, and what they make of the room.
    fn writes(&mut self, random: &mut Random) -> Writes {
        let mut writes = Writes::new();
        let (mut entries, mut alarms) = self.states.last().cloned().unwrap_or_default();
        if random.one_in(3) {
            writes.delete_all();
            (entries, alarms) = Stored::default();
        }
        for _ in 0..random.below(4) {
            let key = format!("key-{}", random.below(KEYS));
            if random.one_in(2) {
                writes.delete(key.clone());
                entries.remove(&key);
            } else {
                let value = Bytes::from(vec![random.next().to_le_bytes()[0]; random.index(3000)]);
                writes.put(key.clone(), value.clone());
                entries.insert(key, value);
            }
        }
        let name = format!("alarm-{}", random.below(2));
        match random.below(6) {
            0 => {
                let due_ms = random.below(1_000_000);
                writes.set_alarm(StoredAlarm::new(name.clone(), due_ms, due_ms, 0));
                alarms.insert(name, due_ms);
            }
            1 => {
                writes.delete_alarm(name.clone());
                alarms.remove(&name);
            }
            _ => {}
        }
        if writes.is_empty() {
            writes.delete("key-0".to_owned());
            entries.remove("key-0");
        }
        self.states.push((entries, alarms));
        writes
    }
}

/// Each round ends with a loss of power; in every other one the disk has failed before, for want of
/// space or for good.
pub(super) async fn rounds(seed: u64, count: u64) -> Result<Report, Failed> {
    let mut random = Random::of(seed);
    let mut models: Vec<Model> = (0..ROOMS).map(Model::new).collect();
    let mut image = Vec::new();
    let mut report = Report::default();
    for round in 0..count {
        let failed = |violation| Failed { seed, kind: "numbers".to_owned(), round, violation };
        let disk = Arc::new(PoweredDisk::of(image, false));
        // The making of a database has its own crashes.
        let engine = RedbEngine::open_on(disk.clone()).map_err(|error| failed(unreadable(&error)))?;
        if random.one_in(2) {
            let call = if random.one_in(3) { Call::SetLen } else { Call::Write };
            let kind = if random.one_in(2) { ErrorKind::StorageFull } else { ErrorKind::Other };
            disk.shown().fail_once(call, random.below(WITHIN), kind);
            let confirmed = live(&engine, OPENINGS, &mut models, &mut random).await;
            report.confirmed += confirmed.map_err(failed)?;
            disk.shown().heal();
        }
        disk.cut_at(1 + random.below(WITHIN), random.fork());
        report.confirmed += live(&engine, usize::MAX, &mut models, &mut random).await.map_err(failed)?;
        soon(disk.cut()).await;
        drop(engine);
        image = disk.left(&mut random);
        look(&image, &mut models).await.map_err(failed)?;
        report.rounds += 1;
    }
    Ok(report)
}

/// All rooms at once, until each has met an error or has been opened this often.
async fn live(
    engine: &RedbEngine,
    openings_max: usize,
    models: &mut [Model],
    random: &mut Random,
) -> Result<usize, Violation> {
    let lives = models.iter_mut().map(|model| model.live(engine, openings_max, random.fork()));
    soon(join_all(lives)).await.into_iter().sum()
}

/// What is left has no defect, and each room is as it should be.
async fn look(image: &[u8], models: &mut [Model]) -> Result<(), Violation> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("rooms.redb"), image).expect("a file");
    let report = check(folder.path()).map_err(|error| unreadable(&error))?;
    if let Some(defect) = report.defects.first() {
        return Err(Violation::Other { text: format!("the file has a defect: {defect}") });
    }
    let engine =
        RedbEngine::open_on(Arc::new(FaultyDisk::of(image.to_vec()))).map_err(|error| unreadable(&error))?;
    for model in models {
        let opened = engine.open(&model.address).await.map_err(|error| unreadable(&error))?;
        let entries =
            engine.list(&model.address, &KeyRange::all()).await.map_err(|error| unreadable(&error))?;
        let alarms = opened.alarms.into_iter().map(|alarm| (alarm.name, alarm.due_ms)).collect();
        model.settle((entries.into_iter().collect(), alarms))?;
        engine.close(&model.address, opened.epoch);
    }
    Ok(())
}

fn unreadable(error: &impl ToString) -> Violation {
    Violation::Unreadable { error: error.to_string() }
}
