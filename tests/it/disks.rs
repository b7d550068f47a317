//! Disks that fail: what clients see, and what is there afterwards.

use std::io::{ErrorKind, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;

use futures_util::FutureExt;
use http::StatusCode;
use partyrs::storage::{Commit, CommitError, KeyRange, StorageEngine, Writes};
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::storage::RedbEngine;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Host, HostError};

use crate::faulty::{Call, FaultyDisk};
use crate::script::{Script, Shown, Step, put, say, show, steps};

/// A host whose storage lies on a disk of the test's.
struct Ill {
    host: TestHost,
    disk: Arc<FaultyDisk>,
}

impl Ill {
    async fn begin() -> Self {
        let disk = Arc::new(FaultyDisk::default());
        let engine = Arc::new(RedbEngine::open_on(disk.clone()).unwrap());
        let host = TestHost::of(Host::builder().party::<Script>("main").storage(engine)).await;
        Self { host, disk }
    }

    /// What a plain request of these steps is answered.
    async fn asked(&self, room: &str, what: &[Step]) -> StatusCode {
        let request = http::Request::post(format!("/party/{room}")).body(steps(what)).unwrap();
        self.host.request(request).await.status()
    }

    /// What is stored under `key`, as a hook of the room sees it.
    async fn stored(&self, room: &str, key: &str) -> Option<String> {
        let mut client = self.host.join(room).await;
        client.send(steps(&[show(key)])).await;
        serde_json::from_str::<Shown>(&client.next_text().await).unwrap().stored
    }
}

/// A text that fits into no page that is free.
fn long(bytes: usize) -> String {
    "x".repeat(bytes)
}

#[tokio::test]
async fn a_sync_that_fails_ends_the_host_and_tells_every_client() {
    let ill = Ill::begin().await;
    let (mut ada, mut ben) = (ill.host.join("ada").await, ill.host.join("ben").await);
    ada.send(steps(&[put("k", "1"), say("stored")])).await;
    assert_eq!(ada.next_text().await, "stored");
    // Behind the commit of its start, so that no other sync is under way.
    ben.send(steps(&[say("here")])).await;
    assert_eq!(ben.next_text().await, "here");
    let syncs_count = ill.disk.calls_count(Call::Sync);
    ill.disk.fail_once(Call::Sync, 0, ErrorKind::Other);

    ada.send(steps(&[put("k", "2"), say("never")])).await;

    assert_eq!(ada.closed().await, (1011, "Storage failed".to_owned()));
    assert_eq!(ben.closed().await, (1011, "Storage failed".to_owned()));
    let error = ill.host.ended().await.unwrap_err();
    assert!(matches!(error, HostError::StorageFailed(_)), "{error}");
    assert!(error.to_string().contains("planted by the test"), "{error}");
    assert_eq!(ill.disk.calls_count(Call::Sync), syncs_count + 1, "it was asked again");
}

#[tokio::test]
async fn a_sync_that_fails_as_the_host_stops_is_told_by_its_end() {
    let ill = Ill::begin().await;
    let mut ada = ill.host.join("ada").await;
    ada.send(steps(&[say("here")])).await;
    assert_eq!(ada.next_text().await, "here");
    let syncs_count = ill.disk.calls_count(Call::Sync);
    ill.disk.fail(Call::Sync, ErrorKind::Other);
    ada.send(steps(&[put("k", "1"), say("never")])).await;
    let Ill { mut host, disk } = ill;
    host.until(|_| disk.calls_count(Call::Sync) > syncs_count).await;
    host.begin_stop();
    let (code, _) = ada.closed().await;
    assert!(matches!(code, 1011 | 1012), "{code}");
    assert!(matches!(host.ended().await, Err(HostError::StorageFailed(_))));
}

#[tokio::test]
async fn a_write_that_fails_costs_its_room_its_clients_and_nothing_that_they_saw() {
    let ill = Ill::begin().await;
    let (mut ada, mut ben) = (ill.host.join("ada").await, ill.host.join("ben").await);
    ada.send(steps(&[put("k", "before"), say("stored")])).await;
    assert_eq!(ada.next_text().await, "stored");
    ben.send(steps(&[say("here")])).await;
    assert_eq!(ben.next_text().await, "here");
    ill.disk.fail_once(Call::Write, 0, ErrorKind::Other);

    ada.send(steps(&[put("k", "lost"), say("never")])).await;

    assert_eq!(ada.closed().await, (1011, "Storage failed".to_owned()));
    assert_eq!(ill.stored("ada", "k").await.as_deref(), Some("before"));
    ben.send(steps(&[put("k", "after"), say("stored too")])).await;
    assert_eq!(ben.next_text().await, "stored too");
    assert_eq!(ill.asked("ada", &[put("k", "again")]).await, StatusCode::OK);
}

#[tokio::test]
async fn a_write_that_fails_is_answered_503() {
    let ill = Ill::begin().await;
    assert_eq!(ill.asked("ada", &[put("k", "before")]).await, StatusCode::OK);
    ill.disk.fail_once(Call::Write, 0, ErrorKind::Other);
    assert_eq!(ill.asked("ada", &[put("k", "lost")]).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(ill.stored("ada", "k").await.as_deref(), Some("before"));
}

#[tokio::test]
async fn a_full_disk_refuses_those_that_do_not_fit_and_heals_by_itself() {
    let ill = Ill::begin().await;
    // So that there are free pages within the file, as there are in any that has lived a while.
    assert_eq!(ill.asked("ben", &[put("k", &long(100_000))]).await, StatusCode::OK);
    assert_eq!(ill.asked("ben", &[put("k", "short")]).await, StatusCode::OK);
    assert_eq!(ill.asked("ben", &[put("k", "shorter")]).await, StatusCode::OK);
    ill.disk.fill_up();
    let mut ada = ill.host.join("ada").await;

    ada.send(steps(&[put("k", &long(1_000_000)), say("never")])).await;

    assert_eq!(ada.closed().await, (1013, "Storage is full".to_owned()));
    let status = ill.asked("ada", &[put("k", &long(1_000_000))]).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(ill.stored("ada", "k").await, None);
    assert_eq!(ill.asked("ben", &[put("k", "still")]).await, StatusCode::OK);
    assert_eq!(ill.stored("ben", "k").await.as_deref(), Some("still"));

    ill.disk.set_capacity(None);
    assert_eq!(ill.asked("ada", &[put("k", &long(1_000_000))]).await, StatusCode::OK);
    ill.host.stop().await;
}

/// A small file system in memory, if this machine lets us mount one.
struct Tmpfs(tempfile::TempDir);

impl Tmpfs {
    fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "none"]).arg(folder.path());
        let mounted = mount.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it, and nobody else sees it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// The same on a real file system. Where none can be mounted (it takes root) the tests above must do.
#[tokio::test]
async fn a_file_system_that_is_full_refuses_what_does_not_fit_and_heals_by_itself() {
    let Some(tmpfs) = Tmpfs::mount("16m") else {
        return println!("not shown: no file system can be mounted here");
    };
    let data = tmpfs.0.path().join("data");
    let builder = Host::builder().party::<Script>("main").data(&data);
    let host = TestHost::try_of(builder).await.unwrap();
    let ask = async |room: &str, value: &str| {
        let request = http::Request::post(format!("/party/{room}")).body(steps(&[put("k", value)])).unwrap();
        host.request(request).await.status()
    };
    assert_eq!(ask("ada", "before").await, StatusCode::OK);
    assert_eq!(ask("ben", "before").await, StatusCode::OK);
    let ballast = tmpfs.0.path().join("ballast");
    let mut file = std::fs::File::create(&ballast).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let len = file.metadata().unwrap().len();
    file.set_len(len - (256 << 10)).unwrap();
    drop(file);

    assert_eq!(ask("ada", &long(1_000_000)).await, StatusCode::INSUFFICIENT_STORAGE);
    let mut ben = host.join("ben").await;
    ben.send(steps(&[put("k", "still"), show("k")])).await;
    let shown: Shown = serde_json::from_str(&ben.next_text().await).unwrap();
    assert_eq!(shown.stored.as_deref(), Some("still"));

    std::fs::remove_file(&ballast).unwrap();
    assert_eq!(ask("ada", &long(1_000_000)).await, StatusCode::OK);
    drop(ben);
    host.kill().await;
}

#[tokio::test]
async fn of_a_group_on_a_full_disk_those_land_that_fit() {
    let disk = Arc::new(FaultyDisk::default());
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let rooms: Vec<RoomAddress> = (0..20).map(|index| address(&format!("room-{index}"))).collect();
    let mut openings = Vec::new();
    for room in &rooms {
        let opened = engine.open(room).await.unwrap();
        soon(engine.commit(commit(room, opened.epoch, 1, 20_000))).await.unwrap();
        soon(engine.commit(commit(room, opened.epoch, 2, 10))).await.unwrap();
        openings.push(opened.epoch);
    }
    disk.fill_up();
    let third = rooms.iter().zip(&openings).enumerate().map(|(index, (room, epoch))| {
        let bytes = if index % 2 == 0 { 5_000_000 } else { 10 };
        engine.commit(commit(room, *epoch, 3, bytes))
    });
    let answers = soon(futures_util::future::join_all(third)).await;
    for (index, answer) in answers.iter().enumerate() {
        if index % 2 == 0 {
            assert!(matches!(answer, Err(CommitError::Full)), "{index}: {answer:?}");
        } else {
            assert!(answer.is_ok(), "{index}: {answer:?}");
        }
    }
    // What follows one that did not fit never lands.
    let after = soon(engine.commit(commit(&rooms[0], openings[0], 4, 10))).await;
    assert!(matches!(after, Err(CommitError::Fenced)), "{after:?}");
    let stored = engine.get(&rooms[0], &["k".to_owned()]).await.unwrap();
    assert_eq!(stored[0].as_ref().map(bytes::Bytes::len), Some(10));
}

#[tokio::test]
async fn commits_that_come_while_one_is_being_written_share_the_next_write() {
    let disk = Arc::new(FaultyDisk::default());
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let rooms: Vec<RoomAddress> = (0..50).map(|index| address(&format!("room-{index}"))).collect();
    let mut openings = Vec::new();
    for room in &rooms {
        openings.push(engine.open(room).await.unwrap().epoch);
    }
    let before = disk.calls_count(Call::Sync);
    soon(engine.commit(commit(&rooms[0], openings[0], 1, 10))).await.unwrap();
    let alone = disk.calls_count(Call::Sync);
    disk.hold(Call::Sync);
    let mut first = engine.commit(commit(&rooms[0], openings[0], 2, 10));
    assert!((&mut first).now_or_never().is_none());
    syncs(&disk, alone).await;

    // The one that is being written has another behind it, of its own room.
    let mut others = vec![engine.commit(commit(&rooms[0], openings[0], 3, 10))];
    others.extend((1..50).map(|index| engine.commit(commit(&rooms[index], openings[index], 1, 10))));
    for other in &mut others {
        assert!(other.now_or_never().is_none());
    }
    disk.let_go();

    soon(first).await.unwrap();
    for landed in soon(futures_util::future::join_all(others)).await {
        landed.unwrap();
    }
    assert_eq!(disk.calls_count(Call::Sync) - alone, 2 * (alone - before), "51 commits in two writes");
}

/// A disk may report an error of a write all of which has arrived. Of the last one of a commit this is
/// what decides whether the commit is there, so its answer has to be found out.
#[tokio::test]
async fn a_commit_is_answered_by_what_is_there_wherever_the_disk_says_that_it_failed() {
    type Fail = fn(&FaultyDisk, Call, u64, ErrorKind);
    let ways: [Fail; 2] = [FaultyDisk::fail_once, FaultyDisk::fail_once_done];
    let mut landed_count = 0;
    for (call, kind) in [
        (Call::Write, ErrorKind::Other),
        (Call::Write, ErrorKind::StorageFull),
        (Call::SetLen, ErrorKind::Other),
    ] {
        for fail in ways {
            for after in 0.. {
                let disk = Arc::new(FaultyDisk::default());
                let engine = RedbEngine::open_on(disk.clone()).unwrap();
                let (room, key) = (address("room"), ["k".to_owned()]);
                let epoch = engine.open(&room).await.unwrap().epoch;
                soon(engine.commit(commit(&room, epoch, 1, 10))).await.unwrap();
                let syncs_count = disk.calls_count(Call::Sync);
                fail(&disk, call, after, kind);
                let answer = soon(engine.commit(commit(&room, epoch, 2, 1_000_000))).await;
                if disk.heal() > 0 {
                    // The commit has no such call any more.
                    answer.unwrap();
                    break;
                }
                let expected = if answer.is_ok() { 1_000_000 } else { 10 };
                let told = format!("{answer:?} after {call:?} {after}, {kind:?}");
                let found = engine.get(&room, &key).await.unwrap();
                assert_eq!(found[0].as_ref().map(bytes::Bytes::len), Some(expected), "{told}");
                if answer.is_ok() {
                    landed_count += 1;
                    // One comes before the last write of a commit, and one after it.
                    assert!(disk.calls_count(Call::Sync) >= syncs_count + 2, "{told}");
                    soon(engine.commit(commit(&room, epoch, 3, 20))).await.unwrap();
                }
                drop(engine);
                let engine = RedbEngine::open_on(disk).unwrap();
                engine.open(&room).await.unwrap();
                let found = engine.get(&room, &key).await.unwrap();
                let expected = if answer.is_ok() { 20 } else { 10 };
                assert_eq!(found[0].as_ref().map(bytes::Bytes::len), Some(expected), "{told}");
            }
        }
    }
    assert!(landed_count > 0, "no error came late enough");
}

#[tokio::test]
async fn a_read_that_fails_is_an_error_and_the_next_one_reads() {
    let disk = Arc::new(FaultyDisk::default());
    let room = address("room");
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let opened = engine.open(&room).await.unwrap();
    let mut writes = Writes::new();
    for index in 0..1000 {
        writes.put(format!("{index:04}"), vec![7; 1000].into());
    }
    let commit = Commit::new(room.clone(), opened.epoch, 1, Arc::new(writes));
    soon(engine.commit(commit)).await.unwrap();
    drop(engine);
    // Most of it is not in memory.
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    engine.open(&room).await.unwrap();
    disk.fail_once(Call::Read, 0, ErrorKind::Other);
    let key = ["0500".to_owned()];
    let error = engine.get(&room, &key).await.unwrap_err().to_string();
    assert!(error.contains("planted by the test"), "{error}");
    assert_eq!(engine.get(&room, &key).await.unwrap()[0].as_ref().map(bytes::Bytes::len), Some(1000));
}

#[tokio::test]
async fn opening_reads_little_however_much_there_is_and_a_room_reads_its_own_keys() {
    const ROOMS: usize = 3000;
    let disk = Arc::new(FaultyDisk::default());
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let fill = (0..ROOMS).map(async |index| {
        let room = address(&format!("room-{index}"));
        let opened = engine.open(&room).await.unwrap();
        let mut writes = Writes::new();
        for key in 0..20 {
            writes.put(format!("key-{key}"), vec![7; 100].into());
        }
        engine.commit(Commit::new(room, opened.epoch, 1, Arc::new(writes))).await.unwrap();
    });
    soon(futures_util::future::join_all(fill)).await;
    drop(engine);
    let before = disk.calls_count(Call::Read);
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let opened = disk.calls_count(Call::Read);
    let room = address("room-1234");
    engine.open(&room).await.unwrap();
    let entries = engine.list(&room, &KeyRange::all()).await.unwrap();
    let started = disk.calls_count(Call::Read);
    assert_eq!(entries.len(), 20);
    // The file has thousands of pages; on the way to a leaf there are a few, in each of three tables.
    assert!(opened - before < 50, "{} reads to open", opened - before);
    assert!(started - opened < 20, "{} reads to start a room", started - opened);
}

/// The commit takes away the number under which the room's keys lie, so an opening that did not wait
/// for it would write under a number that no room has.
#[tokio::test]
async fn an_opening_finds_what_a_commit_of_the_last_one_leaves_that_is_being_written() {
    let disk = Arc::new(FaultyDisk::default());
    let (room, other) = (address("room"), address("other"));
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let opened = engine.open(&room).await.unwrap();
    soon(engine.commit(commit(&room, opened.epoch, 1, 10))).await.unwrap();
    let syncs_count = disk.calls_count(Call::Sync);
    disk.hold(Call::Sync);
    let mut writes = Writes::new();
    writes.delete_all();
    let mut clearing = engine.commit(Commit::new(room.clone(), opened.epoch, 2, Arc::new(writes)));
    assert!((&mut clearing).now_or_never().is_none());
    syncs(&disk, syncs_count).await;
    let mut opening = engine.open(&room);
    assert!((&mut opening).now_or_never().is_none());
    // What the opening has asked for by now is answered before these.
    for _ in 0..10 {
        engine.open(&other).await.unwrap();
    }
    disk.let_go();
    soon(clearing).await.unwrap();
    let opened = soon(opening).await.unwrap();
    soon(engine.commit(commit(&room, opened.epoch, 1, 7))).await.unwrap();
    drop(engine);

    let engine = RedbEngine::open_on(disk).unwrap();
    engine.open(&room).await.unwrap();
    let stored = engine.get(&room, &["k".to_owned()]).await.unwrap();
    assert_eq!(stored[0].as_ref().map(bytes::Bytes::len), Some(7));
}

/// After a panic the file is opened anew; before that redb closes it as if nothing were, which syncs.
#[tokio::test]
async fn a_sync_that_fails_as_the_file_is_closed_to_be_opened_anew_is_the_last_one() {
    let disk = Arc::new(FaultyDisk::default());
    let room = address("room");
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let opened = engine.open(&room).await.unwrap();
    soon(engine.commit(commit(&room, opened.epoch, 1, 1_000_000))).await.unwrap();
    drop(engine);
    // Most of it is not in memory.
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let opened = engine.open(&room).await.unwrap();
    disk.panic_once(Call::Read);
    let error = engine.get(&room, &["k".to_owned()]).await.unwrap_err().to_string();
    assert!(error.contains("planted by the test"), "{error}");
    let syncs_count = disk.calls_count(Call::Sync);
    disk.fail_once(Call::Sync, 0, ErrorKind::Other);

    let answer = soon(engine.commit(commit(&room, opened.epoch, 1, 10))).await;

    assert!(matches!(answer, Err(CommitError::Failed(_))), "{answer:?}");
    assert!(engine.failed().now_or_never().is_some());
    assert_eq!(disk.calls_count(Call::Sync), syncs_count + 1, "it was asked again");
}

/// redb panics as it closes a file that makes no sense to it.
#[tokio::test]
async fn an_engine_whose_file_cannot_be_closed_is_dropped_all_the_same() {
    let disk = Arc::new(FaultyDisk::default());
    let room = address("room");
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let opened = engine.open(&room).await.unwrap();
    soon(engine.commit(commit(&room, opened.epoch, 1, 10))).await.unwrap();
    disk.panic_once(Call::Write);

    drop(engine);

    assert_eq!(disk.heal(), 0, "closing writes no more, so this shows nothing");
    let engine = RedbEngine::open_on(disk).unwrap();
    engine.open(&room).await.unwrap();
    let stored = engine.get(&room, &["k".to_owned()]).await.unwrap();
    assert_eq!(stored[0].as_ref().map(bytes::Bytes::len), Some(10));
}

#[tokio::test]
async fn a_sync_that_finds_no_space_is_no_full_disk_for_nobody_knows_what_is_stored() {
    let disk = Arc::new(FaultyDisk::default());
    let room = address("room");
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    let opened = engine.open(&room).await.unwrap();
    disk.fill_up();
    let answer = soon(engine.commit(commit(&room, opened.epoch, 1, 20_000_000))).await;
    assert!(matches!(answer, Err(CommitError::Full)), "{answer:?}");
    // From now on commits go one by one.
    engine.get(&room, &["k".to_owned()]).await.unwrap();
    let opened = engine.open(&room).await.unwrap();
    disk.fail(Call::Sync, ErrorKind::StorageFull);

    let answer = soon(engine.commit(commit(&room, opened.epoch, 1, 10))).await;

    assert!(matches!(answer, Err(CommitError::Failed(_))), "{answer:?}");
    assert!(engine.failed().now_or_never().is_some());
}

/// Nobody waits for the snapshot any more when it is taken, so nothing but the engine can end it.
#[tokio::test]
async fn an_engine_that_is_dropped_leaves_no_snapshot_behind_that_was_asked_for() {
    let disk = Arc::new(FaultyDisk::default());
    let engine = RedbEngine::open_on(disk.clone()).unwrap();
    for _ in 0..100 {
        // Asked for, and dropped where it waits.
        drop(engine.snapshot().now_or_never());
    }
    drop(engine);
    assert_eq!(Arc::strong_count(&disk), 1, "the disk is still in use");
}

/// Waits until there has been a sync more than these.
async fn syncs(disk: &FaultyDisk, syncs_count: u64) {
    soon(async {
        while disk.calls_count(Call::Sync) == syncs_count {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

fn address(room: &str) -> RoomAddress {
    RoomAddress::new(PartyName::new("main").unwrap(), RoomId::new(room).unwrap())
}

fn commit(room: &RoomAddress, epoch: u64, seq: u64, bytes: usize) -> Commit {
    let mut writes = Writes::new();
    writes.put("k".to_owned(), vec![7; bytes].into());
    Commit::new(room.clone(), epoch, seq, Arc::new(writes))
}
