//! What clients see while a commit is on its way, and when it fails: an engine that holds
//! and refuses on demand.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use partyrs::storage::{Commit, CommitError, EngineError, KeyRange, MemoryEngine, Opened, StorageEngine};
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::parties::{Script, Shown, Step, put, say, show, steps};

/// Storage in memory whose commits wait for the test.
#[derive(Debug)]
struct Held {
    memory: MemoryEngine,
    /// One permit lets one commit through.
    permits: Semaphore,
    /// What becomes of the commits that are let through.
    failure: watch::Sender<Option<CommitError>>,
    arrived: mpsc::UnboundedSender<u64>,
}

struct Outage {
    host: TestHost,
    engine: Arc<Held>,
    arrived: mpsc::UnboundedReceiver<u64>,
}

#[async_trait]
impl StorageEngine for Held {
    async fn open(&self, room: &RoomAddress) -> Result<Opened, EngineError> {
        self.memory.open(room).await
    }

    fn close(&self, room: &RoomAddress, epoch: u64) {
        self.memory.close(room, epoch);
    }

    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.memory.get(room, keys).await
    }

    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError> {
        self.memory.list(room, range).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.arrived.send(commit.seq).expect("the test waits");
        self.permits.acquire().await.expect("never closed").forget();
        let failure = self.failure.borrow().clone();
        match failure {
            Some(error) => Err(error),
            None => self.memory.commit(commit).await,
        }
    }

    async fn rooms(
        &self,
        party: &PartyName,
        after: Option<&RoomId>,
        limit: usize,
    ) -> Result<Vec<RoomId>, EngineError> {
        self.memory.rooms(party, after, limit).await
    }
}

impl Outage {
    /// A host whose commits wait, and a client of the room `lobby`; the commit of `on_start` is through.
    async fn begin(change: impl FnOnce(&mut partyrs_runtime::Config)) -> (Self, TestClient) {
        let (arrived, arrivals) = mpsc::unbounded_channel();
        let engine = Arc::new(Held {
            memory: MemoryEngine::new(),
            permits: Semaphore::new(0),
            failure: watch::Sender::new(None),
            arrived,
        });
        let builder = Host::builder().party::<Script>("main").config(change);
        let host = TestHost::of(builder.storage(Arc::clone(&engine) as Arc<dyn StorageEngine>)).await;
        let mut outage = Self { host, engine, arrived: arrivals };
        let mut client = outage.host.join("lobby").await;
        outage.arrival().await;
        outage.let_through(1);
        client.send(steps(&[say("ready")])).await;
        assert_eq!(client.next_text().await, "ready");
        (outage, client)
    }

    /// Waits until the engine has been handed one more commit; returns its number.
    async fn arrival(&mut self) -> u64 {
        soon(self.arrived.recv()).await.expect("a commit")
    }

    fn let_through(&self, commits_count: usize) {
        self.engine.permits.add_permits(commits_count);
    }

    fn fail_with(&self, error: CommitError) {
        self.engine.failure.send_replace(Some(error));
        self.let_through(100);
    }

    fn recover(&self) {
        self.engine.failure.send_replace(None);
        self.let_through(100);
    }
}

fn failed() -> CommitError {
    CommitError::Failed("the disk is gone".into())
}

#[tokio::test]
async fn a_frame_that_follows_a_write_leaves_when_the_write_is_durable_and_not_before() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;

    ada.send(steps(&[say("before"), put("k", "v"), say("after")])).await;
    outage.arrival().await;

    assert_eq!(ada.next_text().await, "before");
    ada.hears_nothing().await;
    outage.let_through(1);
    assert_eq!(ada.next_text().await, "after");
}

#[tokio::test]
async fn a_room_goes_on_while_a_commit_is_on_its_way_and_its_output_keeps_its_order() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;

    ada.send(steps(&[put("k", "1"), say("one")])).await;
    ada.send(steps(&[put("k", "2"), say("two")])).await;
    ada.send(steps(&[show("k")])).await;
    assert_eq!((outage.arrival().await, outage.arrival().await), (2, 3));

    ada.hears_nothing().await;
    outage.let_through(1);
    assert_eq!(ada.next_text().await, "one");
    ada.hears_nothing().await;
    outage.let_through(1);
    assert_eq!(ada.next_text().await, "two");
    // It read its own room's write before that was durable, and was told so only afterwards.
    let shown: Shown = serde_json::from_str(&ada.next_text().await).unwrap();
    assert_eq!(shown.stored.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_close_a_response_and_a_task_wait_for_the_write_that_they_follow() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;
    let mut bob = outage.host.join("lobby").await;
    ada.send(steps(&[put("k", "1"), Step::Spawn("task".into()), Step::Close])).await;
    outage.arrival().await;
    ada.hears_nothing().await;
    bob.hears_nothing().await;
    outage.let_through(1);
    assert_eq!(ada.closed().await, (4000, "closed by script".to_owned()));
    let mut told = vec![bob.next_text().await, bob.next_text().await];
    told.sort();
    assert_eq!(told[1], "task");
    assert!(told[0].starts_with("gone "), "{told:?}");

    let body = steps(&[put("k", "2")]);
    let request = outage.host.request(http::Request::post("/party/lobby").body(body).unwrap());
    let mut request = std::pin::pin!(request);
    tokio::select! {
        _ = &mut request => panic!("answered before its write was durable"),
        _ = outage.arrived.recv() => {}
    }
    outage.let_through(1);
    assert_eq!(request.await.status(), 200);
}

#[tokio::test]
async fn a_newcomer_gets_nothing_that_was_sent_before_it_came() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;
    ada.send(steps(&[put("k", "v"), say("before bob")])).await;
    outage.arrival().await;

    let mut bob = outage.host.join("lobby").await;
    bob.send(steps(&[say("from bob")])).await;
    bob.hears_nothing().await;
    outage.let_through(1);

    assert_eq!(ada.next_text().await, "before bob");
    assert_eq!(ada.next_text().await, "from bob");
    assert_eq!(bob.next_text().await, "from bob");
}

#[tokio::test]
async fn a_failed_commit_closes_the_room_and_nobody_sees_what_it_would_have_kept() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;
    let mut bob = outage.host.join("lobby").await;
    ada.send(steps(&[put("k", "1"), say("never seen")])).await;
    ada.send(steps(&[put("k", "2"), say("never seen either")])).await;
    outage.arrival().await;
    outage.arrival().await;

    outage.fail_with(failed());

    assert_eq!(ada.try_next().await, Err((1011, "Storage failed".to_owned())));
    assert_eq!(bob.try_next().await, Err((1011, "Storage failed".to_owned())));
    outage.recover();
    let mut bob = outage.host.join("lobby").await;
    bob.send(steps(&[show("k")])).await;
    let shown: Shown = serde_json::from_str(&bob.next_text().await).unwrap();
    assert_eq!((shown.stored, shown.starts_count), (None, 2));
}

#[tokio::test]
async fn a_failed_commit_is_answered_503_and_a_full_disk_507() {
    for (error, status, text, code) in
        [(failed(), 503, "Storage failed", 1011), (CommitError::Full, 507, "Storage is full", 1013)]
    {
        let (mut outage, mut ada) = Outage::begin(|_| {}).await;
        let body = steps(&[put("k", "v")]);
        let request = outage.host.request(http::Request::post("/party/lobby").body(body).unwrap());
        let mut request = std::pin::pin!(request);
        tokio::select! {
            _ = &mut request => panic!("answered before its commit"),
            _ = outage.arrived.recv() => {}
        }

        outage.fail_with(error);

        let response = request.await;
        assert_eq!((response.status().as_u16(), &response.body()[..]), (status, text.as_bytes()));
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(ada.closed().await, (code, text.to_owned()));
    }
}

#[tokio::test]
async fn a_hook_in_sync_ends_there_when_its_commit_fails() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;
    ada.send(steps(&[put("k", "v"), Step::Sync, say("never reached")])).await;
    outage.arrival().await;

    outage.fail_with(failed());

    assert_eq!(ada.try_next().await, Err((1011, "Storage failed".to_owned())));
}

#[tokio::test]
async fn a_room_takes_no_event_while_as_many_commits_wait_as_may() {
    let (mut outage, mut ada) = Outage::begin(|config| config.commits_pending_max = 2).await;
    for number in 0..4 {
        ada.send(steps(&[put("k", &number.to_string()), say(&number.to_string())])).await;
    }
    assert_eq!((outage.arrival().await, outage.arrival().await), (2, 3));
    ada.hears_nothing().await;
    assert!(outage.arrived.try_recv().is_err(), "a third commit was handed over");

    outage.let_through(1);
    assert_eq!(ada.next_text().await, "0");
    assert_eq!(outage.arrival().await, 4);
    outage.let_through(10);
    for number in 1..4 {
        assert_eq!(ada.next_text().await, number.to_string());
    }
}

#[tokio::test]
async fn a_room_takes_no_event_while_as_many_bytes_wait_as_may() {
    let (mut outage, mut ada) = Outage::begin(|config| config.held_bytes_max = 1000).await;
    ada.send(steps(&[put("k", "0"), say(&"x".repeat(1000))])).await;
    ada.send(steps(&[put("k", "1"), say("1")])).await;
    assert_eq!(outage.arrival().await, 2);
    ada.hears_nothing().await;
    assert!(outage.arrived.try_recv().is_err(), "a second commit was handed over");

    outage.let_through(2);

    assert_eq!(ada.next_text().await.len(), 1000);
    assert_eq!(ada.next_text().await, "1");
}

#[tokio::test]
async fn a_commit_that_fails_while_a_hook_waits_ends_the_hook() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;
    ada.send(steps(&[put("k", "v"), say("never seen")])).await;
    ada.send(steps(&[Step::Hang])).await;
    outage.arrival().await;

    outage.fail_with(failed());

    assert_eq!(ada.try_next().await, Err((1011, "Storage failed".to_owned())));
    outage.recover();
    let mut ada = outage.host.join("lobby").await;
    ada.send(steps(&[say("open again")])).await;
    assert_eq!(ada.next_text().await, "open again");
}

#[tokio::test]
async fn other_rooms_do_not_notice_a_failed_commit() {
    let (mut outage, mut ada) = Outage::begin(|_| {}).await;
    let mut eve = outage.host.join("elsewhere").await;
    outage.arrival().await;
    outage.let_through(1);
    ada.send(steps(&[put("k", "v")])).await;
    outage.arrival().await;

    outage.fail_with(failed());
    assert_eq!(ada.closed().await.0, 1011);
    outage.recover();

    eve.send(steps(&[put("k", "v"), say("all well")])).await;
    assert_eq!(eve.next_text().await, "all well");
}
