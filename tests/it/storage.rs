//! Storage: the contract for every engine, the folder of redb, and what a hook sees over commits in flight.

use std::sync::Arc;

use partyrs::prelude::*;
use partyrs::storage::{MemoryEngine, StorageError};
use partyrs::testing::TestRoom;
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
