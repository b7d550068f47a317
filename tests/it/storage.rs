//! Storage: the contract for every engine, the folder of redb, and what a hook sees over commits in flight.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs::storage::{Commit, KeyRange, MemoryEngine, StorageEngine, StorageError, Writes};
use partyrs::testing::TestRoom;
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::Host;
use partyrs_runtime::storage::{OpenError, RedbEngine, check};
use partyrs_runtime::testing::{TestHost, soon};
use tokio::task::JoinHandle;

use crate::held::HeldEngine;

partyrs::storage_contract!(memory, {
    let engine = Arc::new(MemoryEngine::new());
    move || Arc::clone(&engine)
});

partyrs::storage_contract!(redb, {
    let folder = tempfile::tempdir().unwrap();
    move || Arc::new(RedbEngine::open(folder.path()).unwrap())
});

#[tokio::test]
async fn a_folder_is_used_by_one_engine_at_a_time_and_is_free_again_when_it_is_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path()).unwrap();
    let second = RedbEngine::open(folder.path());
    assert!(matches!(second, Err(OpenError::InUse { .. })), "{second:?}");
    drop(engine);
    RedbEngine::open(folder.path()).unwrap();
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rooms.redb"), vec![7; 100_000]).unwrap();
    let error = RedbEngine::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("rooms.redb") && error.contains("backup"), "{error}");
}

/// A folder in which a room has stored something, and the file there.
async fn filled() -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let engine = RedbEngine::open(folder.path()).unwrap();
    let room = RoomAddress::new(PartyName::new("main").unwrap(), RoomId::new("room").unwrap());
    let opened = engine.open(&room).await.unwrap();
    let mut writes = Writes::new();
    for key in 0..1000 {
        writes.put(format!("key-{key}"), vec![7; 100].into());
    }
    engine.commit(Commit::new(room, opened.epoch, 1, Arc::new(writes))).await.unwrap();
    let file = folder.path().join("rooms.redb");
    (folder, file)
}

#[tokio::test]
async fn a_file_that_was_cut_or_overwritten_is_refused_by_name_with_a_way_out() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 6] = [
        ("half of it is lost", |bytes| bytes.truncate(bytes.len() / 2)),
        ("all of it is lost", Vec::clear),
        ("all but a part of its header is lost", |bytes| bytes.truncate(100)),
        ("its header is zero", |bytes| bytes[..4096].fill(0)),
        ("its first bytes are another's", |bytes| bytes[..4].copy_from_slice(b"ELF!")),
        ("it is all zero", |bytes| bytes.fill(0)),
    ];
    for (damage, harm) in damages {
        let (folder, file) = filled().await;
        let mut bytes = std::fs::read(&file).unwrap();
        harm(&mut bytes);
        std::fs::write(&file, &bytes).unwrap();
        let refused = RedbEngine::open(folder.path());
        let Err(error @ OpenError::Damaged { .. }) = refused else { panic!("{damage}: {refused:?}") };
        let text = error.to_string();
        assert!(text.contains("rooms.redb") && text.contains("backup"), "{damage}: {text}");
        // Who wants to look into it is told the same, and not that there is nothing.
        assert_eq!(RedbEngine::open_existing(folder.path()).unwrap_err().to_string(), text, "{damage}");
        assert_eq!(check(folder.path()).unwrap_err().to_string(), text, "{damage}");
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "{damage}: it was changed");
    }
}

#[test]
fn a_folder_that_is_not_to_be_made_is_missing_without_its_file_and_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    for folder in [folder.path(), &folder.path().join("not there")] {
        let refused = [RedbEngine::open_existing(folder).map(drop), check(folder).map(drop)];
        for refused in refused {
            assert!(matches!(refused, Err(OpenError::Missing { .. })), "{refused:?}");
        }
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// Such as to another disk, which is not there yet.
#[test]
fn a_file_that_is_a_link_to_nowhere_is_refused_and_stays_one() {
    let folder = tempfile::tempdir().unwrap();
    let (file, elsewhere) = (folder.path().join("rooms.redb"), folder.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &file).unwrap();
    let refused = RedbEngine::open(folder.path());
    assert!(matches!(refused, Err(OpenError::Folder { .. })), "{refused:?}");
    let refused = RedbEngine::open_existing(folder.path());
    assert!(matches!(refused, Err(OpenError::Folder { .. })), "{refused:?}");
    assert!(file.is_symlink() && !elsewhere.exists());

    drop(RedbEngine::open(&folder.path().join("other")).unwrap());
    std::fs::rename(folder.path().join("other/rooms.redb"), &elsewhere).unwrap();
    RedbEngine::open(folder.path()).unwrap();
}

#[tokio::test]
async fn bytes_that_are_wrong_anywhere_are_an_error_and_end_nothing() {
    let (folder, file) = filled().await;
    let whole = std::fs::read(&file).unwrap();
    // Xorshift, from the same seed each time.
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..8 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = usize::try_from(random >> 8).unwrap() % (bytes.len() / 4);
            bytes[at] = bytes[at].wrapping_add(random as u8 | 1);
        }
        std::fs::write(&file, &bytes).unwrap();
        let Ok(engine) = RedbEngine::open(folder.path()) else { continue };
        let room = RoomAddress::new(PartyName::new("main").unwrap(), RoomId::new("room").unwrap());
        if let Ok(opened) = engine.open(&room).await {
            let _ = engine.list(&room, &KeyRange::all()).await;
            let mut writes = Writes::new();
            writes.put("key-5".to_owned(), vec![8; 100].into());
            let _ = engine.commit(Commit::new(room, opened.epoch, 1, Arc::new(writes))).await;
        }
    }
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

/// What a hook writes, and what its room must then say.
#[derive(Clone, Debug)]
enum Change {
    Put(String, u32),
    Delete(String),
    DeleteAll,
}

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % count as u64).unwrap()
    }

    fn key(&mut self) -> String {
        format!("{}:{}", ["a", "b"][self.below(2)], self.below(6))
    }

    fn changes(&mut self) -> Vec<Change> {
        let change = |dice: &mut Self| match dice.below(12) {
            0 => Change::DeleteAll,
            1..=5 => Change::Delete(dice.key()),
            _ => Change::Put(dice.key(), u32::try_from(dice.below(1000)).unwrap()),
        };
        (0..=self.below(6)).map(|_| change(self)).collect()
    }
}

fn apply(room: &Room, changes: &[Change]) -> Result<()> {
    for change in changes {
        match change {
            Change::Put(key, number) => room.storage().put(key, number)?,
            Change::Delete(key) => room.storage().delete(key),
            Change::DeleteAll => room.storage().delete_all(),
        }
    }
    Ok(())
}

/// Every kind of read says what `expected` says.
async fn reads_agree(room: &Room, expected: &BTreeMap<String, u32>) -> Result<()> {
    let storage = room.storage();
    let keys = ["a", "b"].map(|prefix| (0..6).map(move |number| format!("{prefix}:{number}")));
    let keys: Vec<String> = keys.into_iter().flatten().collect();
    for key in &keys {
        assert_eq!(storage.get::<u32>(key).await?.as_ref(), expected.get(key), "{key}");
    }
    assert_eq!(&storage.get_many::<u32, _>(keys).await?, expected);
    // What a listing is, and which keys are in it.
    type Case = (List, fn(&str) -> bool);
    let cases: [Case; 6] = [
        (List::all(), |_| true),
        (List::prefix("a:"), |key| key.starts_with("a:")),
        (List::prefix("b:").start("b:2"), |key| key >= "b:2"),
        (List::all().start_after("a:1").end("b:3"), |key| key > "a:1" && key < "b:3"),
        (List::all().start("a:3").end("a:3"), |_| false),
        (List::prefix("none"), |_| false),
    ];
    for (list, is_in) in cases {
        for limit in [1, 2, 5, 100] {
            let there =
                expected.iter().filter(|(key, _)| is_in(key)).map(|(key, value)| (key.clone(), *value));
            let found = storage.list::<u32>(list.clone().limit(limit)).await?;
            assert_eq!(found, there.clone().take(limit).collect::<Vec<_>>(), "{list:?}, {limit}");
            let found = storage.list::<u32>(list.clone().limit(limit).reverse()).await?;
            assert_eq!(found, there.rev().take(limit).collect::<Vec<_>>(), "{list:?} reversed, {limit}");
        }
    }
    Ok(())
}

/// Three layers, each with deletions: what is on disk, two commits on their way, the open one. The
/// same is read when all has landed.
#[tokio::test]
async fn reads_see_the_open_commit_over_those_on_their_way_over_what_is_on_disk() {
    for seed in 1..40 {
        let engine = Arc::new(HeldEngine::new());
        let host =
            TestHost::of(Host::builder().party::<Shelf>("main").storage(Arc::clone(&engine) as _)).await;
        let room = host.parties().party::<Shelf>("main").unwrap().room("x").unwrap();
        let (mut dice, mut expected) = (Dice(seed), BTreeMap::new());
        let mut writes = Vec::new();
        engine.recover();
        for layer in 0..4 {
            let changes = dice.changes();
            for change in &changes {
                match change {
                    Change::Put(key, number) => drop(expected.insert(key.clone(), *number)),
                    Change::Delete(key) => drop(expected.remove(key)),
                    Change::DeleteAll => expected.clear(),
                }
            }
            let (there, of_room) = (expected.clone(), room.clone());
            let write = tokio::spawn(async move {
                let work = async move |_: &mut Shelf, room: &Room| {
                    apply(room, &changes)?;
                    reads_agree(room, &there).await
                };
                of_room.run(work).await
            });
            if layer == 0 {
                soon(write).await.unwrap().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                engine.hold();
            } else {
                writes.push(write);
            }
        }
        // Held until all three have read: the last is handed over when it has.
        host.until(|_| engine.arrived_count() == 4 || writes.iter().any(JoinHandle::is_finished)).await;
        engine.recover();
        for write in writes {
            soon(write).await.unwrap().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
        let landed = room.run(async move |_, room| reads_agree(room, &expected).await).await;
        landed.unwrap_or_else(|error| panic!("seed {seed}, landed: {error}"));
    }
}

#[tokio::test]
async fn a_delete_all_and_what_follows_it_is_taken_back_when_its_hook_fails() {
    let host = TestHost::start::<Shelf>().await;
    let room = host.parties().party::<Shelf>("main").unwrap().room("x").unwrap();
    let begin = async |_: &mut Shelf, room: &Room| {
        room.storage().put_many([("a", 1), ("b", 2)])?;
        room.storage().set_alarm(Duration::from_secs(3600))?;
        Ok(())
    };
    room.run(begin).await.unwrap();

    let fails = async |_: &mut Shelf, room: &Room| -> Result<()> {
        let storage = room.storage();
        storage.delete_all();
        storage.put("c", &3)?;
        storage.put("a", &4)?;
        assert_eq!(storage.list::<u32>(List::all()).await?, [("a".into(), 4), ("c".into(), 3)]);
        assert_eq!(storage.get::<u32>("b").await?, None);
        assert_eq!(storage.get_alarm(), None);
        Err(Error::status(409, "as told"))
    };
    let refused = room.run(fails).await.unwrap_err().to_string();
    assert_eq!(refused, "room refused the call: 409: as told");

    let is_back = async |_: &mut Shelf, room: &Room| {
        let entries = room.storage().list::<u32>(List::all()).await?;
        Ok((entries, room.storage().get_alarm().is_some()))
    };
    assert_eq!(room.run(is_back).await.unwrap(), (vec![("a".to_owned(), 1), ("b".to_owned(), 2)], true));
}

/// The hook goes on after a `put` that is refused, and ends well: memory is not stale, for the hook
/// knows what was not stored.
#[tokio::test]
async fn a_hook_that_expects_a_refused_put_keeps_its_other_writes() {
    let host = TestHost::start::<Shelf>().await;
    let room = host.parties().party::<Shelf>("main").unwrap().room("x").unwrap();
    let goes_on = async |_: &mut Shelf, room: &Room| {
        let storage = room.storage();
        storage.put_bytes("before", "x")?;
        storage.put_bytes("before", vec![0; (2 << 20) + 1]).unwrap_err();
        storage.put_bytes("k".repeat(2049), "").unwrap_err();
        storage.put_bytes("after", "x")?;
        Ok(storage.list_bytes(List::all()).await?)
    };
    let expected: Vec<_> = ["after", "before"].map(|key| (key.to_owned(), bytes::Bytes::from("x"))).into();
    assert_eq!(room.run(goes_on).await.unwrap(), expected);
    let kept = room.run(async |_, room| Ok(room.storage().list_bytes(List::all()).await?)).await;
    assert_eq!(kept.unwrap(), expected);
}
