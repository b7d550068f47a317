//! What every storage engine must do, as tests for whoever writes one.
//!
//! [`storage_contract!`](crate::storage_contract) makes a test of each case. A case is given
//! a way to open the engine on data of its own, and opens it again to see what has lasted.
//! What no case can show is what happens when the machine or the disk fails: that is for tests
//! of the engine's own.

#![expect(clippy::unwrap_used, reason = "these are tests, run by others")]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::address::{PartyName, RoomAddress, RoomId};
use crate::storage::{
    Commit, CommitError, DueAlarm, KeyRange, StorageEngine, StorageLimits, StoredAlarm, StoredEntries, Writes,
};

/// Opens the engine on the data of the case; an engine that was opened before is dropped by then.
pub type Open<'a> = &'a dyn Fn() -> Arc<dyn StorageEngine>;

/// Makes a module of tests, one for each thing that a storage engine must do.
///
/// It is given a name for the module and an expression that makes data of its own for each test: a
/// closure that opens the engine on it, as an `Arc`. An engine that was opened before is
/// dropped by then. The tests need no runtime; an engine that needs one brings it.
///
/// # Examples
///
/// ```
/// use std::sync::Arc;
///
/// use partyrs::storage::MemoryEngine;
///
/// partyrs::storage_contract!(memory, {
///     let engine = Arc::new(MemoryEngine::new());
///     move || Arc::clone(&engine)
/// });
/// ```
#[macro_export]
macro_rules! storage_contract {
    ($module:ident, $data:expr) => {
        $crate::storage_contract! { @cases $module, $data,
            a_commit_is_read_back_by_its_room_alone_and_keys_sort_by_bytes
            a_range_is_listed_in_both_directions_with_a_limit_from_its_own_end
            commits_land_in_sequence_and_of_the_latest_epoch_only
            clearing_removes_the_room_alone_and_an_empty_room_is_not_listed
            several_commits_of_one_room_may_be_under_way_and_are_answered_in_sequence
            alarms_of_all_rooms_are_found_in_the_order_of_their_times_page_by_page
            an_opening_finds_the_alarms_of_its_room_with_times_and_retries
            an_alarm_that_is_set_again_or_deleted_is_not_due_at_its_old_time
            alarms_land_with_the_writes_of_their_commit_or_not_at_all
            clearing_removes_the_alarms_of_the_room_alone_and_a_room_of_alarms_is_listed
            a_snapshot_has_all_parties_rooms_alarms_and_entries_in_their_order_page_by_page
            a_snapshot_does_not_see_what_is_committed_after_it_was_taken
            what_is_stored_can_be_looked_at_without_taking_the_room_into_use
            one_page_of_a_room_takes_little_memory_however_long_its_values_are
            a_snapshot_that_outlives_its_engine_holds_nothing_up
            what_has_landed_survives_a_reopen
            after_a_commit_that_was_refused_none_of_those_behind_it_lands
            a_commit_whose_future_is_dropped_after_its_first_poll_lands_all_the_same
            keys_and_values_of_every_legal_kind_are_kept_as_they_are
            many_rooms_that_commit_at_once_are_all_answered
            a_commit_of_many_keys_is_there_whole
        }
    };
    (@cases $module:ident, $data:expr, $($case:ident)*) => {
        #[cfg(test)]
        mod $module {
            use super::*;

            $(
                #[test]
                fn $case() {
                    let engine = $data;
                    let open = || -> ::std::sync::Arc<dyn $crate::storage::StorageEngine> { engine() };
                    $crate::testing::contract::run($crate::testing::contract::$case(&open));
                }
            )*
        }
    };
}

/// Waits for a case on this thread.
pub fn run(case: impl Future<Output = ()>) {
    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut case = pin!(case);
    while case.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        std::thread::park();
    }
}

fn room(party: &str, room: &str) -> RoomAddress {
    RoomAddress::new(PartyName::new(party).unwrap(), RoomId::new(room).unwrap())
}

fn puts(entries: &[(&str, &str)]) -> Writes {
    let mut writes = Writes::new();
    entries
        .iter()
        .for_each(|(key, value)| writes.put((*key).to_owned(), Bytes::copy_from_slice(value.as_bytes())));
    writes
}

fn commit(room: &RoomAddress, epoch: u64, seq: u64, writes: Writes) -> Commit {
    Commit::new(room.clone(), epoch, seq, Arc::new(writes))
}

/// What is stored now of a party.
async fn rooms_of(
    engine: &dyn StorageEngine,
    party: &PartyName,
    after: Option<&RoomId>,
    limit: usize,
) -> Vec<RoomId> {
    engine.snapshot().await.unwrap().rooms(party, after, limit).await.unwrap()
}

async fn keys(engine: &dyn StorageEngine, room: &RoomAddress) -> Vec<String> {
    let entries = engine.list(room, &KeyRange::all()).await.unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

/// Polls a commit once, which gives it its place; the future waits for its answer.
async fn begin(engine: &dyn StorageEngine, commit: Commit) -> BoxFuture<'_, Result<(), CommitError>> {
    let mut landing = engine.commit(commit);
    match poll_fn(|cx| Poll::Ready(landing.as_mut().poll(cx))).await {
        Poll::Ready(answer) => Box::pin(std::future::ready(answer)),
        Poll::Pending => landing,
    }
}

/// Sets alarms, each at its time; empty for the one without a name.
fn sets(alarms: &[(&str, u64)]) -> Writes {
    let mut writes = Writes::new();
    alarms.iter().for_each(|(name, ms)| writes.set_alarm(StoredAlarm::new((*name).to_owned(), *ms, *ms, 0)));
    writes
}

/// Room, name and time of the alarms that are due, and when the next one is.
async fn due(
    engine: &dyn StorageEngine,
    after: Option<&DueAlarm>,
    until_ms: u64,
    limit: usize,
) -> (Vec<(String, String, u64)>, Option<u64>) {
    let found = engine.alarms_due(after, until_ms, limit).await.unwrap();
    let alarm = |alarm: DueAlarm| (alarm.room.room.as_str().to_owned(), alarm.name, alarm.due_ms);
    (found.alarms.into_iter().map(alarm).collect(), found.next_ms)
}

fn names(found: &[(String, String, u64)]) -> Vec<&str> {
    found.iter().map(|(_, name, _)| name.as_str()).collect()
}

/// A commit is read back by its room alone and keys sort by bytes.
pub async fn a_commit_is_read_back_by_its_room_alone_and_keys_sort_by_bytes(open: Open<'_>) {
    let engine = open();
    let (lobby, other) = (room("main", "lobby"), room("main", "lobby2"));
    let epoch = engine.open(&lobby).await.unwrap().epoch;
    engine.open(&other).await.unwrap();
    let writes = puts(&[("k", "1"), ("é", "2"), ("B", "3"), ("a", "4"), ("Z", "5"), ("", "6")]);

    engine.commit(commit(&lobby, epoch, 1, writes)).await.unwrap();

    assert_eq!(keys(&*engine, &lobby).await, ["", "B", "Z", "a", "k", "é"]);
    assert_eq!(keys(&*engine, &other).await, [] as [&str; 0]);
    let asked = ["é".to_owned(), "none".to_owned(), String::new()];
    let found = engine.get(&lobby, &asked).await.unwrap();
    assert_eq!(found, [Some(Bytes::from("2")), None, Some(Bytes::from("6"))]);
}

/// A range is listed in both directions with a limit from its own end.
pub async fn a_range_is_listed_in_both_directions_with_a_limit_from_its_own_end(open: Open<'_>) {
    let engine = open();
    let (lobby, before, behind) = (room("main", "b"), room("main", "a"), room("main", "c"));
    for address in [&before, &lobby, &behind] {
        let epoch = engine.open(address).await.unwrap().epoch;
        let writes = puts(&[("a", ""), ("m:1", ""), ("m:2", ""), ("m:3", ""), ("z", "")]);
        engine.commit(commit(address, epoch, 1, writes)).await.unwrap();
    }
    let mut range = KeyRange::all();
    range.limit = Some(2);
    let listed = |entries: Vec<(String, Bytes)>| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>();

    assert_eq!(listed(engine.list(&lobby, &range).await.unwrap()), ["a", "m:1"]);
    range.reverse = true;
    assert_eq!(listed(engine.list(&lobby, &range).await.unwrap()), ["z", "m:3"]);
    range.start = std::ops::Bound::Excluded("m:1".into());
    range.end = std::ops::Bound::Included("m:3".into());
    range.limit = None;
    assert_eq!(listed(engine.list(&lobby, &range).await.unwrap()), ["m:3", "m:2"]);
    range.start = std::ops::Bound::Included("z".into());
    range.end = std::ops::Bound::Excluded("a".into());
    assert_eq!(listed(engine.list(&lobby, &range).await.unwrap()), [] as [&str; 0]);
}

/// Commits land in sequence and of the latest epoch only.
pub async fn commits_land_in_sequence_and_of_the_latest_epoch_only(open: Open<'_>) {
    let engine = open();
    let lobby = room("main", "lobby");
    let first = engine.open(&lobby).await.unwrap();
    engine.commit(commit(&lobby, first.epoch, first.seq + 1, puts(&[("a", "1")]))).await.unwrap();

    let skipped = commit(&lobby, first.epoch, first.seq + 3, puts(&[("b", "1")]));
    assert!(matches!(engine.commit(skipped).await, Err(CommitError::Fenced)));
    let repeated = commit(&lobby, first.epoch, first.seq + 1, puts(&[("c", "1")]));
    assert!(matches!(engine.commit(repeated).await, Err(CommitError::Fenced)));

    let second = engine.open(&lobby).await.unwrap();
    assert!(second.epoch > first.epoch);
    let late = commit(&lobby, first.epoch, first.seq + 2, puts(&[("d", "1")]));
    assert!(matches!(engine.commit(late).await, Err(CommitError::Fenced)));
    engine.close(&lobby, first.epoch);
    engine.commit(commit(&lobby, second.epoch, second.seq + 1, puts(&[("e", "1")]))).await.unwrap();
    engine.close(&lobby, second.epoch);
    let closed = commit(&lobby, second.epoch, second.seq + 2, puts(&[("f", "1")]));
    assert!(matches!(engine.commit(closed).await, Err(CommitError::Fenced)));

    engine.open(&lobby).await.unwrap();
    assert_eq!(keys(&*engine, &lobby).await, ["a", "e"]);
}

/// Clearing removes the room alone and an empty room is not listed.
pub async fn clearing_removes_the_room_alone_and_an_empty_room_is_not_listed(open: Open<'_>) {
    let engine = open();
    let rooms = [room("main", "a"), room("main", "b"), room("chat", "a")];
    let mut epochs = Vec::new();
    for address in &rooms {
        let epoch = engine.open(address).await.unwrap().epoch;
        engine.commit(commit(address, epoch, 1, puts(&[("k", "1"), ("l", "1")]))).await.unwrap();
        epochs.push(epoch);
    }
    let mut clear_and_put = Writes::new();
    clear_and_put.delete_all();
    clear_and_put.put("n".into(), Bytes::from("1"));
    engine.commit(commit(&rooms[0], epochs[0], 2, clear_and_put)).await.unwrap();
    let mut clear = Writes::new();
    clear.delete_all();
    engine.commit(commit(&rooms[1], epochs[1], 2, clear)).await.unwrap();

    assert_eq!(keys(&*engine, &rooms[0]).await, ["n"]);
    assert_eq!(keys(&*engine, &rooms[1]).await, [] as [&str; 0]);
    assert_eq!(keys(&*engine, &rooms[2]).await, ["k", "l"]);
    let main = PartyName::new("main").unwrap();
    assert_eq!(rooms_of(&*engine, &main, None, 10).await, [RoomId::new("a").unwrap()]);
    // It may store again.
    engine.commit(commit(&rooms[1], epochs[1], 3, puts(&[("again", "1")]))).await.unwrap();
    assert_eq!(keys(&*engine, &rooms[1]).await, ["again"]);
    let after = RoomId::new("a").unwrap();
    assert_eq!(rooms_of(&*engine, &main, Some(&after), 10).await, [RoomId::new("b").unwrap()]);
    assert_eq!(rooms_of(&*engine, &main, None, 1).await.len(), 1);
}

/// Several commits of one room may be under way and are answered in sequence.
pub async fn several_commits_of_one_room_may_be_under_way_and_are_answered_in_sequence(open: Open<'_>) {
    let engine = open();
    let lobby = room("main", "lobby");
    let epoch = engine.open(&lobby).await.unwrap().epoch;
    let mut under_way = Vec::new();
    for seq in 1..=200 {
        under_way.push(begin(&*engine, commit(&lobby, epoch, seq, puts(&[("k", &seq.to_string())]))).await);
    }
    for landing in under_way {
        landing.await.unwrap();
    }
    let found = engine.get(&lobby, &["k".to_owned()]).await.unwrap();
    assert_eq!(found, [Some(Bytes::from("200"))]);
}

/// Alarms of all rooms are found in the order of their times page by page.
pub async fn alarms_of_all_rooms_are_found_in_the_order_of_their_times_page_by_page(open: Open<'_>) {
    let engine = open();
    let (a, b) = (room("main", "a"), room("chat", "b"));
    for (address, alarms) in [(&a, [("", 30), ("x", 10)]), (&b, [("", 20), ("y", 10)])] {
        let epoch = engine.open(address).await.unwrap().epoch;
        engine.commit(commit(address, epoch, 1, sets(&alarms))).await.unwrap();
        engine.close(address, epoch);
    }

    let (found, next) = due(&*engine, None, 20, 10).await;
    let place = |room: &str, name: &str, ms| (room.to_owned(), name.to_owned(), ms);
    assert_eq!(found, [place("b", "y", 10), place("a", "x", 10), place("b", "", 20)]);
    assert_eq!(next, Some(30));
    assert_eq!(due(&*engine, None, 9, 10).await, (vec![], Some(10)));
    assert_eq!(due(&*engine, None, 30, 10).await.1, None);
    let (page, next) = due(&*engine, None, 30, 2).await;
    assert_eq!((names(&page), next), (vec!["y", "x"], None));
    let last = DueAlarm::new(10, a.clone(), "x".to_owned());
    let (page, next) = due(&*engine, Some(&last), 20, 2).await;
    assert_eq!((names(&page), next), (vec![""], Some(30)));
}

/// An opening finds the alarms of its room with times and retries.
pub async fn an_opening_finds_the_alarms_of_its_room_with_times_and_retries(open: Open<'_>) {
    let engine = open();
    let (lobby, other) = (room("main", "lobby"), room("main", "other"));
    let opened = engine.open(&lobby).await.unwrap();
    assert_eq!(opened.alarms, []);
    let retried = StoredAlarm::new("é".to_owned(), 5, 70, 3);
    let mut writes = sets(&[("", 40)]);
    writes.set_alarm(retried.clone());
    engine.commit(commit(&lobby, opened.epoch, 1, writes)).await.unwrap();

    let mut alarms = engine.open(&lobby).await.unwrap().alarms;
    alarms.sort_by(|one, other| one.name.cmp(&other.name));
    assert_eq!(alarms, [StoredAlarm::new(String::new(), 40, 40, 0), retried]);
    assert_eq!(engine.open(&other).await.unwrap().alarms, []);
}

/// An alarm that is set again or deleted is not due at its old time.
pub async fn an_alarm_that_is_set_again_or_deleted_is_not_due_at_its_old_time(open: Open<'_>) {
    let engine = open();
    let lobby = room("main", "lobby");
    let epoch = engine.open(&lobby).await.unwrap().epoch;
    engine.commit(commit(&lobby, epoch, 1, sets(&[("", 10), ("a", 20), ("b", 30)]))).await.unwrap();

    let mut writes = sets(&[("", 50)]);
    writes.delete_alarm("a".to_owned());
    writes.delete_alarm("none".to_owned());
    engine.commit(commit(&lobby, epoch, 2, writes)).await.unwrap();

    assert_eq!(names(&due(&*engine, None, 100, 10).await.0), ["b", ""]);
}

/// Alarms land with the writes of their commit or not at all.
pub async fn alarms_land_with_the_writes_of_their_commit_or_not_at_all(open: Open<'_>) {
    let engine = open();
    let lobby = room("main", "lobby");
    let epoch = engine.open(&lobby).await.unwrap().epoch;
    let both = || {
        let mut writes = sets(&[("", 10)]);
        writes.put("k".to_owned(), Bytes::from("v"));
        writes
    };
    let out_of_turn = engine.commit(commit(&lobby, epoch, 2, both())).await;
    assert!(matches!(out_of_turn, Err(CommitError::Fenced)));
    assert_eq!(due(&*engine, None, 100, 10).await, (vec![], None));
    assert_eq!(keys(&*engine, &lobby).await, [] as [&str; 0]);

    engine.commit(commit(&lobby, epoch, 1, both())).await.unwrap();
    assert_eq!(due(&*engine, None, 100, 10).await.0.len(), 1);
    assert_eq!(keys(&*engine, &lobby).await, ["k"]);
}

/// Clearing removes the alarms of the room alone and a room of alarms is listed.
pub async fn clearing_removes_the_alarms_of_the_room_alone_and_a_room_of_alarms_is_listed(open: Open<'_>) {
    let engine = open();
    let (a, b) = (room("main", "a"), room("main", "b"));
    let mut epochs = Vec::new();
    for address in [&a, &b] {
        let epoch = engine.open(address).await.unwrap().epoch;
        engine.commit(commit(address, epoch, 1, sets(&[("", 10), ("x", 20)]))).await.unwrap();
        epochs.push(epoch);
    }
    let main = PartyName::new("main").unwrap();
    assert_eq!(rooms_of(&*engine, &main, None, 10).await.len(), 2);

    let mut clear_and_set = Writes::new();
    clear_and_set.delete_all();
    clear_and_set.set_alarm(StoredAlarm::new("new".to_owned(), 15, 15, 0));
    engine.commit(commit(&a, epochs[0], 2, clear_and_set)).await.unwrap();
    let mut last = Writes::new();
    last.delete_alarm(String::new());
    last.delete_alarm("x".to_owned());
    engine.commit(commit(&b, epochs[1], 2, last)).await.unwrap();

    assert_eq!(names(&due(&*engine, None, 100, 10).await.0), ["new"]);
    assert_eq!(rooms_of(&*engine, &main, None, 10).await, [RoomId::new("a").unwrap()]);
    assert_eq!(engine.open(&a).await.unwrap().alarms.len(), 1);
    assert_eq!(engine.open(&b).await.unwrap().alarms, []);
}

/// A snapshot has all parties, rooms, alarms and entries in their order, page by page.
pub async fn a_snapshot_has_all_parties_rooms_alarms_and_entries_in_their_order_page_by_page(open: Open<'_>) {
    let engine = open();
    let address = |party, id| room(party, id);
    for address in [address("b-", "é"), address("b", "z"), address("b", "a"), address("a", "x")] {
        let epoch = engine.open(&address).await.unwrap().epoch;
        let mut writes = puts(&[("k3", "3"), ("", "0"), ("k1", "1"), ("k2", "2")]);
        writes.set_alarm(StoredAlarm::new("x".to_owned(), 5, 9, 2));
        writes.set_alarm(StoredAlarm::new(String::new(), 7, 7, 0));
        engine.commit(commit(&address, epoch, 1, writes)).await.unwrap();
        engine.close(&address, epoch);
    }

    let snapshot = engine.snapshot().await.unwrap();
    let parties = snapshot.parties().await.unwrap();
    assert_eq!(parties.iter().map(PartyName::as_str).collect::<Vec<_>>(), ["a", "b", "b-"]);
    let (b, z) = (PartyName::new("b").unwrap(), address("b", "z"));
    let all = snapshot.rooms(&b, None, 10).await.unwrap();
    assert_eq!(all, [RoomId::new("a").unwrap(), z.room.clone()]);
    assert_eq!(snapshot.rooms(&b, None, 1).await.unwrap(), all[..1]);
    assert_eq!(snapshot.rooms(&b, Some(&all[0]), 10).await.unwrap(), all[1..]);
    assert_eq!(snapshot.rooms(&b, Some(&all[1]), 10).await.unwrap(), []);
    let alarms = [StoredAlarm::new(String::new(), 7, 7, 0), StoredAlarm::new("x".to_owned(), 5, 9, 2)];
    assert_eq!(snapshot.alarms(&z).await.unwrap(), alarms);
    let page = snapshot.entries(&z, None, 2).await.unwrap();
    assert_eq!(page.entries, [(String::new(), Bytes::from("0")), ("k1".to_owned(), Bytes::from("1"))]);
    assert!(page.has_more);
    let page = snapshot.entries(&z, Some("k1"), 2).await.unwrap();
    assert_eq!(page.entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["k2", "k3"]);
    assert!(!page.has_more);

    let none = address("b", "none");
    assert_eq!(snapshot.alarms(&none).await.unwrap(), []);
    assert_eq!(snapshot.entries(&none, None, 10).await.unwrap(), StoredEntries::default());
    let (c, first) = (PartyName::new("c").unwrap(), RoomId::new("a").unwrap());
    assert_eq!(snapshot.rooms(&c, None, 10).await.unwrap(), []);
    assert_eq!(snapshot.rooms(&c, Some(&first), 10).await.unwrap(), []);
}

/// A snapshot does not see what is committed after it was taken.
pub async fn a_snapshot_does_not_see_what_is_committed_after_it_was_taken(open: Open<'_>) {
    let engine = open();
    let (changed, gone, new) = (room("main", "changed"), room("main", "gone"), room("new", "new"));
    let mut epochs = Vec::new();
    for address in [&changed, &gone] {
        let epoch = engine.open(address).await.unwrap().epoch;
        let mut writes = puts(&[("k", "before"), ("l", "before")]);
        writes.set_alarm(StoredAlarm::new("x".to_owned(), 1, 1, 0));
        engine.commit(commit(address, epoch, 1, writes)).await.unwrap();
        epochs.push(epoch);
    }
    let snapshot = engine.snapshot().await.unwrap();

    let mut writes = sets(&[("x", 99)]);
    writes.put("k".to_owned(), Bytes::from("after"));
    writes.delete("l".to_owned());
    engine.commit(commit(&changed, epochs[0], 2, writes)).await.unwrap();
    let mut clear = Writes::new();
    clear.delete_all();
    engine.commit(commit(&gone, epochs[1], 2, clear)).await.unwrap();
    let epoch = engine.open(&new).await.unwrap().epoch;
    engine.commit(commit(&new, epoch, 1, puts(&[("k", "after")]))).await.unwrap();

    assert_eq!(snapshot.parties().await.unwrap(), [PartyName::new("main").unwrap()]);
    assert_eq!(snapshot.rooms(&changed.party, None, 10).await.unwrap().len(), 2);
    for address in [&changed, &gone] {
        let before = ["k", "l"].map(|key| (key.to_owned(), Bytes::from("before")));
        assert_eq!(snapshot.entries(address, None, 10).await.unwrap().entries, before);
        assert_eq!(snapshot.alarms(address).await.unwrap(), [StoredAlarm::new("x".to_owned(), 1, 1, 0)]);
    }
    let later = engine.snapshot().await.unwrap();
    assert_eq!(later.parties().await.unwrap().len(), 2);
    assert_eq!(later.entries(&changed, None, 10).await.unwrap().entries.len(), 1);
}

/// What is stored can be looked at without taking the room into use.
pub async fn what_is_stored_can_be_looked_at_without_taking_the_room_into_use(open: Open<'_>) {
    let engine = open();
    let a = room("main", "a");
    let epoch = engine.open(&a).await.unwrap().epoch;
    engine.commit(commit(&a, epoch, 1, puts(&[("k", "1")]))).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    snapshot.entries(&a, None, 10).await.unwrap();
    snapshot.alarms(&a).await.unwrap();
    engine.commit(commit(&a, epoch, 2, puts(&[("l", "2")]))).await.unwrap();
}

/// One page of a room takes little memory however long its values are.
pub async fn one_page_of_a_room_takes_little_memory_however_long_its_values_are(open: Open<'_>) {
    let engine = open();
    let a = room("main", "a");
    let epoch = engine.open(&a).await.unwrap().epoch;
    let value = "x".repeat(StoredEntries::BYTES_MAX / 2);
    let writes = puts(&[("a", &value), ("b", &value), ("c", &value), ("d", &value)]);
    engine.commit(commit(&a, epoch, 1, writes)).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    let found = snapshot.entries(&a, None, 10).await.unwrap();
    assert_eq!((found.entries.len(), found.has_more), (2, true));
    let found = snapshot.entries(&a, Some("b"), 10).await.unwrap();
    assert_eq!((found.entries.len(), found.has_more), (2, false));
}

/// A snapshot that outlives its engine holds nothing up: the data can be opened again.
pub async fn a_snapshot_that_outlives_its_engine_holds_nothing_up(open: Open<'_>) {
    let a = room("main", "a");
    let snapshot = {
        let engine = open();
        let epoch = engine.open(&a).await.unwrap().epoch;
        engine.commit(commit(&a, epoch, 1, puts(&[("k", "1")]))).await.unwrap();
        engine.snapshot().await.unwrap()
    };
    let engine = open();
    let epoch = engine.open(&a).await.unwrap().epoch;
    engine.commit(commit(&a, epoch, 1, puts(&[("l", "2")]))).await.unwrap();
    // An error, or what it had.
    if let Ok(found) = snapshot.entries(&a, None, 10).await {
        assert_eq!(found.entries.len(), 1);
    }
}

/// What has landed survives a reopen.
pub async fn what_has_landed_survives_a_reopen(open: Open<'_>) {
    let lobby = room("main", "lobby");
    {
        let engine = open();
        let epoch = engine.open(&lobby).await.unwrap().epoch;
        let mut writes = puts(&[("k", "1"), ("l", "1")]);
        writes.set_alarm(StoredAlarm::new("x".to_owned(), 5, 9, 2));
        engine.commit(commit(&lobby, epoch, 1, writes)).await.unwrap();
        let mut writes = puts(&[("k", "2")]);
        writes.delete("l".to_owned());
        engine.commit(commit(&lobby, epoch, 2, writes)).await.unwrap();
    }
    let engine = open();
    let opened = engine.open(&lobby).await.unwrap();
    assert_eq!(opened.alarms, [StoredAlarm::new("x".to_owned(), 5, 9, 2)]);
    assert_eq!(engine.list(&lobby, &KeyRange::all()).await.unwrap(), [("k".to_owned(), Bytes::from("2"))]);
    assert_eq!(names(&due(&*engine, None, 9, 10).await.0), ["x"]);
    let main = PartyName::new("main").unwrap();
    assert_eq!(rooms_of(&*engine, &main, None, 10).await.len(), 1);
    engine.commit(commit(&lobby, opened.epoch, opened.seq + 1, puts(&[("m", "1")]))).await.unwrap();
}

/// After a commit that was refused none of those behind it lands.
pub async fn after_a_commit_that_was_refused_none_of_those_behind_it_lands(open: Open<'_>) {
    let engine = open();
    let (lobby, other) = (room("main", "lobby"), room("main", "other"));
    let epoch = engine.open(&lobby).await.unwrap().epoch;
    let other_epoch = engine.open(&other).await.unwrap().epoch;
    let mut under_way = Vec::new();
    for seq in [1, 3, 4] {
        under_way.push(begin(&*engine, commit(&lobby, epoch, seq, puts(&[(&seq.to_string(), "")]))).await);
    }
    under_way.push(begin(&*engine, commit(&other, other_epoch, 1, puts(&[("k", "")]))).await);
    let mut answers = Vec::new();
    for landing in under_way {
        answers.push(landing.await.is_ok());
    }
    assert_eq!(answers, [true, false, false, true]);
    assert_eq!(
        (keys(&*engine, &lobby).await, keys(&*engine, &other).await),
        (vec!["1".to_owned()], vec!["k".to_owned()])
    );
}

/// A commit whose future is dropped after its first poll lands all the same.
pub async fn a_commit_whose_future_is_dropped_after_its_first_poll_lands_all_the_same(open: Open<'_>) {
    let engine = open();
    let lobby = room("main", "lobby");
    let epoch = engine.open(&lobby).await.unwrap().epoch;
    drop(begin(&*engine, commit(&lobby, epoch, 1, puts(&[("dropped", "")]))).await);
    engine.commit(commit(&lobby, epoch, 2, puts(&[("next", "")]))).await.unwrap();
    assert_eq!(keys(&*engine, &lobby).await, ["dropped", "next"]);
}

/// Keys and values of every legal kind are kept as they are.
pub async fn keys_and_values_of_every_legal_kind_are_kept_as_they_are(open: Open<'_>) {
    let limits = StorageLimits::default();
    let (long_key, long_value) = ("k".repeat(limits.key_bytes_max), "v".repeat(limits.value_bytes_max));
    let entries = [
        ("", ""),
        ("\0", "\0"),
        ("a\0b", "nul"),
        ("/", ".."),
        ("\u{10ffff}", "last"),
        (&*long_key, &*long_value),
    ];
    let lobby = room("main", "a/b ? \u{1f600}");
    {
        let engine = open();
        let epoch = engine.open(&lobby).await.unwrap().epoch;
        engine.commit(commit(&lobby, epoch, 1, puts(&entries))).await.unwrap();
    }
    let engine = open();
    engine.open(&lobby).await.unwrap();
    for (key, value) in entries {
        let found = engine.get(&lobby, &[key.to_owned()]).await.unwrap();
        assert!(found == [Some(Bytes::copy_from_slice(value.as_bytes()))], "{key:.20?}");
    }
    let all = rooms_of(&*engine, &lobby.party, None, 10).await;
    assert_eq!(all, [lobby.room]);
}

/// Many rooms that commit at once are all answered.
pub async fn many_rooms_that_commit_at_once_are_all_answered(open: Open<'_>) {
    let engine = open();
    let rooms: Vec<RoomAddress> = (0..300).map(|number| room("main", &format!("{number:03}"))).collect();
    let mut under_way = Vec::new();
    for address in &rooms {
        let epoch = engine.open(address).await.unwrap().epoch;
        under_way
            .push(begin(&*engine, commit(address, epoch, 1, puts(&[("k", address.room.as_str())]))).await);
    }
    for landing in under_way {
        landing.await.unwrap();
    }
    for address in &rooms {
        let found = engine.get(address, &["k".to_owned()]).await.unwrap();
        assert_eq!(found, [Some(Bytes::copy_from_slice(address.room.as_str().as_bytes()))]);
    }
    let main = PartyName::new("main").unwrap();
    let first = rooms_of(&*engine, &main, None, 200).await;
    let rest = rooms_of(&*engine, &main, first.last(), 200).await;
    assert_eq!((first.len(), rest.len()), (200, 100));
}

/// A commit of many keys is there whole.
pub async fn a_commit_of_many_keys_is_there_whole(open: Open<'_>) {
    let lobby = room("main", "lobby");
    let names: Vec<String> = (0..5000).map(|number| format!("{number:05}")).collect();
    {
        let engine = open();
        let epoch = engine.open(&lobby).await.unwrap().epoch;
        let writes = puts(&names.iter().map(|name| (name.as_str(), "x")).collect::<Vec<_>>());
        engine.commit(commit(&lobby, epoch, 1, writes)).await.unwrap();
        let mut half = Writes::new();
        names.iter().step_by(2).for_each(|name| half.delete(name.clone()));
        engine.commit(commit(&lobby, epoch, 2, half)).await.unwrap();
    }
    let engine = open();
    engine.open(&lobby).await.unwrap();
    let left: Vec<&String> = names.iter().skip(1).step_by(2).collect();
    assert!(keys(&*engine, &lobby).await.iter().collect::<Vec<_>>() == left);
}
