//! Storage: the same cases for every engine, and what a hook sees over commits in flight.

use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use partyrs::prelude::*;
use partyrs::storage::{
    Commit, CommitError, DueAlarm, KeyRange, MemoryEngine, StorageEngine, StorageError, StoredAlarm,
    StoredRoom, Writes,
};
use partyrs::testing::TestRoom;
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::storage::{OpenError, RedbEngine};

type Engines = Vec<(Arc<dyn StorageEngine>, Option<tempfile::TempDir>)>;

/// Every engine that there is; each case is run against all.
fn engines() -> Engines {
    let folder = tempfile::tempdir().unwrap();
    let redb = RedbEngine::open(folder.path()).unwrap();
    vec![(Arc::new(MemoryEngine::new()), None), (Arc::new(redb), Some(folder))]
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

async fn keys(engine: &dyn StorageEngine, room: &RoomAddress) -> Vec<String> {
    let entries = engine.list(room, &KeyRange::all()).await.unwrap();
    entries.into_iter().map(|(key, _)| key).collect()
}

#[tokio::test]
async fn a_commit_is_read_back_by_its_room_alone_and_keys_sort_by_bytes() {
    for (engine, _folder) in engines() {
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
}

#[tokio::test]
async fn a_range_is_listed_in_both_directions_with_a_limit_from_its_own_end() {
    for (engine, _folder) in engines() {
        let (lobby, before, behind) = (room("main", "b"), room("main", "a"), room("main", "c"));
        for address in [&before, &lobby, &behind] {
            let epoch = engine.open(address).await.unwrap().epoch;
            let writes = puts(&[("a", ""), ("m:1", ""), ("m:2", ""), ("m:3", ""), ("z", "")]);
            engine.commit(commit(address, epoch, 1, writes)).await.unwrap();
        }
        let mut range = KeyRange::all();
        range.limit = Some(2);
        let listed =
            |entries: Vec<(String, Bytes)>| entries.into_iter().map(|(key, _)| key).collect::<Vec<_>>();

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
}

#[tokio::test]
async fn commits_land_in_sequence_and_of_the_latest_epoch_only() {
    for (engine, _folder) in engines() {
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
}

#[tokio::test]
async fn clearing_removes_the_room_alone_and_an_empty_room_is_not_listed() {
    for (engine, _folder) in engines() {
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
        assert_eq!(engine.rooms(&main, None, 10).await.unwrap(), [RoomId::new("a").unwrap()]);
        // It may store again.
        engine.commit(commit(&rooms[1], epochs[1], 3, puts(&[("again", "1")]))).await.unwrap();
        assert_eq!(keys(&*engine, &rooms[1]).await, ["again"]);
        let after = RoomId::new("a").unwrap();
        assert_eq!(engine.rooms(&main, Some(&after), 10).await.unwrap(), [RoomId::new("b").unwrap()]);
        assert_eq!(engine.rooms(&main, None, 1).await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn several_commits_of_one_room_may_be_under_way_and_are_answered_in_sequence() {
    for (engine, _folder) in engines() {
        let lobby = room("main", "lobby");
        let epoch = engine.open(&lobby).await.unwrap().epoch;
        let mut under_way = Vec::new();
        for seq in 1..=200 {
            let mut landing = engine.commit(commit(&lobby, epoch, seq, puts(&[("k", &seq.to_string())])));
            // Its first poll gives a commit its place.
            let first = futures_util::poll!(&mut landing);
            under_way.push(async move {
                match first {
                    Poll::Ready(answer) => answer,
                    Poll::Pending => landing.await,
                }
            });
        }
        for landing in under_way {
            landing.await.unwrap();
        }
        let found = engine.get(&lobby, &["k".to_owned()]).await.unwrap();
        assert_eq!(found, [Some(Bytes::from("200"))]);
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

#[tokio::test]
async fn alarms_of_all_rooms_are_found_in_the_order_of_their_times_page_by_page() {
    for (engine, _folder) in engines() {
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
}

#[tokio::test]
async fn an_opening_finds_the_alarms_of_its_room_with_times_and_retries() {
    for (engine, _folder) in engines() {
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
}

#[tokio::test]
async fn an_alarm_that_is_set_again_or_deleted_is_not_due_at_its_old_time() {
    for (engine, _folder) in engines() {
        let lobby = room("main", "lobby");
        let epoch = engine.open(&lobby).await.unwrap().epoch;
        engine.commit(commit(&lobby, epoch, 1, sets(&[("", 10), ("a", 20), ("b", 30)]))).await.unwrap();

        let mut writes = sets(&[("", 50)]);
        writes.delete_alarm("a".to_owned());
        writes.delete_alarm("none".to_owned());
        engine.commit(commit(&lobby, epoch, 2, writes)).await.unwrap();

        assert_eq!(names(&due(&*engine, None, 100, 10).await.0), ["b", ""]);
    }
}

#[tokio::test]
async fn alarms_land_with_the_writes_of_their_commit_or_not_at_all() {
    for (engine, _folder) in engines() {
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
}

#[tokio::test]
async fn clearing_removes_the_alarms_of_the_room_alone_and_a_room_of_alarms_is_listed() {
    for (engine, _folder) in engines() {
        let (a, b) = (room("main", "a"), room("main", "b"));
        let mut epochs = Vec::new();
        for address in [&a, &b] {
            let epoch = engine.open(address).await.unwrap().epoch;
            engine.commit(commit(address, epoch, 1, sets(&[("", 10), ("x", 20)]))).await.unwrap();
            epochs.push(epoch);
        }
        let main = PartyName::new("main").unwrap();
        assert_eq!(engine.rooms(&main, None, 10).await.unwrap().len(), 2);

        let mut clear_and_set = Writes::new();
        clear_and_set.delete_all();
        clear_and_set.set_alarm(StoredAlarm::new("new".to_owned(), 15, 15, 0));
        engine.commit(commit(&a, epochs[0], 2, clear_and_set)).await.unwrap();
        let mut last = Writes::new();
        last.delete_alarm(String::new());
        last.delete_alarm("x".to_owned());
        engine.commit(commit(&b, epochs[1], 2, last)).await.unwrap();

        assert_eq!(names(&due(&*engine, None, 100, 10).await.0), ["new"]);
        assert_eq!(engine.rooms(&main, None, 10).await.unwrap(), [RoomId::new("a").unwrap()]);
        assert_eq!(engine.open(&a).await.unwrap().alarms.len(), 1);
        assert_eq!(engine.open(&b).await.unwrap().alarms, []);
    }
}

#[tokio::test]
async fn what_is_stored_can_be_looked_at_without_taking_the_room_into_use() {
    for (engine, _folder) in engines() {
        let (a, b) = (room("main", "a"), room("main", "b"));
        let epoch = engine.open(&a).await.unwrap().epoch;
        let mut writes = puts(&[("", "0"), ("k1", "1"), ("k2", "2"), ("k3", "3")]);
        writes.set_alarm(StoredAlarm::new("x".to_owned(), 5, 9, 2));
        engine.commit(commit(&a, epoch, 1, writes)).await.unwrap();
        engine.close(&a, epoch);

        let found = engine.look(&a, None, 2).await.unwrap();
        assert_eq!(found.entries, [(String::new(), Bytes::from("0")), ("k1".to_owned(), Bytes::from("1"))]);
        assert!(found.has_more);
        assert_eq!(found.alarms, [StoredAlarm::new("x".to_owned(), 5, 9, 2)]);
        let found = engine.look(&a, Some("k1"), 2).await.unwrap();
        assert!(!found.has_more);
        assert_eq!(found.entries.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["k2", "k3"]);
        assert_eq!(engine.look(&b, None, 10).await.unwrap(), StoredRoom::default());

        // Who has it open does not notice.
        let epoch = engine.open(&a).await.unwrap().epoch;
        engine.look(&a, None, 10).await.unwrap();
        engine.commit(commit(&a, epoch, 1, puts(&[("k4", "4")]))).await.unwrap();
    }
}

#[tokio::test]
async fn one_look_at_a_room_takes_little_memory_however_long_its_values_are() {
    for (engine, _folder) in engines() {
        let a = room("main", "a");
        let epoch = engine.open(&a).await.unwrap().epoch;
        let value = "x".repeat(StoredRoom::BYTES_MAX / 2);
        let writes = puts(&[("a", &value), ("b", &value), ("c", &value), ("d", &value)]);
        engine.commit(commit(&a, epoch, 1, writes)).await.unwrap();
        let found = engine.look(&a, None, 10).await.unwrap();
        assert_eq!((found.entries.len(), found.has_more), (2, true));
        let found = engine.look(&a, Some("b"), 10).await.unwrap();
        assert_eq!((found.entries.len(), found.has_more), (2, false));
    }
}

#[tokio::test]
async fn a_folder_keeps_its_rooms_and_is_used_by_one_engine_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let lobby = room("main", "lobby");
    {
        let engine = RedbEngine::open(folder.path()).unwrap();
        let epoch = engine.open(&lobby).await.unwrap().epoch;
        let mut writes = puts(&[("k", "v")]);
        writes.set_alarm(StoredAlarm::new("a".to_owned(), 5, 9, 2));
        engine.commit(commit(&lobby, epoch, 1, writes)).await.unwrap();
        let second = RedbEngine::open(folder.path());
        assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    }
    let engine = RedbEngine::open(folder.path()).unwrap();
    assert_eq!(keys(&engine, &lobby).await, [] as [&str; 0], "not open yet");
    let opened = engine.open(&lobby).await.unwrap();
    assert_eq!(keys(&engine, &lobby).await, ["k"]);
    assert_eq!(opened.alarms, [StoredAlarm::new("a".to_owned(), 5, 9, 2)]);
    assert_eq!(names(&due(&engine, None, 9, 10).await.0), ["a"]);
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rooms.redb"), vec![7; 100_000]).unwrap();
    let error = RedbEngine::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("rooms.redb") && error.contains("backup"), "{error}");
}

/// A party without hooks: its room is there for its storage.
struct Shelf;

impl PartyServer for Shelf {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Shelf)
    }

    /// Tries everything that storage can do, within one commit.
    async fn on_message(&mut self, room: &Room, sender: &Connection, _: Frame) -> Result<()> {
        let storage = room.storage();
        storage.put_many((0..5).map(|number| (format!("n:{number}"), number)))?;
        storage.put("text", "é")?;
        storage.put_bytes("raw", vec![0xff, 0])?;
        storage.delete_many(["n:1", "none"]);
        storage.delete("n:2");
        let numbers: Vec<(String, u32)> = storage.list(List::prefix("n:")).await?;
        assert_eq!(numbers, [("n:0".into(), 0), ("n:3".into(), 3), ("n:4".into(), 4)]);
        let last: Vec<(String, u32)> = storage.list(List::prefix("n:").reverse().limit(1)).await?;
        assert_eq!(last, [("n:4".into(), 4)]);
        let many = storage.get_many::<u32, _>(["n:4", "n:1", "n:0", "none"]).await?;
        assert_eq!(many.into_iter().collect::<Vec<_>>(), [("n:0".into(), 0), ("n:4".into(), 4)]);
        assert_eq!(storage.get::<String>("text").await?.as_deref(), Some("é"));
        assert_eq!(storage.get_bytes("raw").await?.as_deref(), Some(&[0xff, 0][..]));
        let wrong = storage.get::<u32>("text").await;
        assert!(matches!(wrong, Err(StorageError::Decode { ref key, .. }) if key == "text"), "{wrong:?}");
        let limit = storage.list::<u32>(List::all().limit(0)).await;
        assert!(matches!(limit, Err(StorageError::List(_))), "{limit:?}");
        storage.sync().await;
        storage.delete_all();
        storage.put("only", &1)?;
        assert_eq!(storage.list_bytes(List::all()).await?.len(), 1);
        assert_eq!(storage.get::<u32>("n:0").await?, None);
        sender.send("done")?;
        Ok(())
    }

    /// Each limit: at it, and one past it.
    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        let storage = room.storage();
        storage.put_bytes("k".repeat(2048), "")?;
        let long = storage.put_bytes("k".repeat(2049), "");
        assert!(matches!(long, Err(StorageError::KeyTooLong { len_bytes: 2049, limit_bytes: 2048 })));
        storage.put_bytes("v", vec![0; 2 << 20])?;
        let long = storage.put_bytes("w", vec![0; (2 << 20) + 1]);
        assert!(matches!(long, Err(StorageError::ValueTooLong { len_bytes: 2_097_153, .. })));
        Ok(Response::text("done"))
    }
}

#[tokio::test]
async fn a_hook_reads_its_own_writes_in_every_way() {
    let mut room = TestRoom::<Shelf>::new("lobby");
    let ada = room.join().await.unwrap();
    room.send(&ada, "go").await.unwrap();
    assert_eq!(ada.received(), [Frame::text("done")]);
    let kept = room.room().unwrap().storage().list_bytes(List::all()).await.unwrap();
    assert_eq!(kept.len(), 1);
}

#[tokio::test]
async fn keys_and_values_pass_at_their_limit_and_are_refused_one_past_it() {
    let mut room = TestRoom::<Shelf>::new("lobby");
    room.request(http::Request::get("/").body("").unwrap()).await.unwrap();
}
