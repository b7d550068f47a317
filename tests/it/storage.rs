//! Storage: the contract for every engine, the folder of redb, and what a hook sees over commits in flight.

use std::sync::Arc;

use partyrs::prelude::*;
use partyrs::storage::{Commit, KeyRange, MemoryEngine, StorageEngine, StorageError, Writes};
use partyrs::testing::TestRoom;
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::storage::{OpenError, RedbEngine};

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
    let damages: [(&str, Damage); 5] = [
        ("half of it is lost", |bytes| bytes.truncate(bytes.len() / 2)),
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
        assert_eq!(std::fs::read(&file).unwrap(), bytes, "{damage}: it was changed");
    }
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
