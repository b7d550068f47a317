//! What clients see while a commit is on its way, and when it fails: an engine that holds
//! and refuses on demand.

use std::sync::Arc;

use partyrs::storage::CommitError;
use partyrs_runtime::testing::{TestClient, TestHost};
use partyrs_runtime::{Config, Host};

use crate::held::HeldEngine;
use crate::script::{Script, Shown, Step, put, say, show, steps};

/// A host whose commits wait for the test.
struct Outage {
    host: TestHost,
    engine: Arc<HeldEngine>,
}

impl Outage {
    /// A host whose commits wait, and a client of the room `lobby`; the commit of `on_start` is through.
    async fn begin(change: impl FnOnce(&mut Config)) -> (Self, TestClient) {
        let engine = Arc::new(HeldEngine::new());
        let builder = Host::builder().party::<Script>("main").config(change);
        let host = TestHost::of(builder.storage(engine.clone())).await;
        let outage = Self { host, engine };
        let mut client = outage.host.join("lobby").await;
        outage.arrived(1).await;
        outage.engine.let_through(1);
        client.send(steps(&[say("ready")])).await;
        assert_eq!(client.next_text().await, "ready");
        (outage, client)
    }

    /// Waits until the engine has been handed this many commits, that of `on_start` included.
    async fn arrived(&self, count: usize) {
        self.host.until(|_| self.engine.arrived_count() >= count).await;
        assert_eq!(self.engine.arrived_count(), count, "more commits were handed over than may");
    }

    /// Does steps by a plain request, and returns when its commit has been handed over.
    async fn request(&self, what: &[Step]) -> impl Future<Output = http::Response<bytes::Bytes>> + use<'_> {
        let before = self.engine.arrived_count();
        let request = http::Request::post("/party/lobby").body(steps(what)).unwrap();
        let mut request = Box::pin(self.host.request(request));
        tokio::select! {
            _ = &mut request => panic!("answered before its write was durable"),
            () = self.host.until(|_| self.engine.arrived_count() > before) => {}
        }
        request
    }
}

fn failed() -> CommitError {
    CommitError::Failed("the disk is gone".into())
}

#[tokio::test]
async fn a_frame_that_follows_a_write_leaves_when_the_write_is_durable_and_not_before() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;

    ada.send(steps(&[say("before"), put("k", "v"), say("after")])).await;
    outage.arrived(2).await;

    assert_eq!(ada.next_text().await, "before");
    ada.hears_nothing().await;
    outage.engine.let_through(1);
    assert_eq!(ada.next_text().await, "after");
}

#[tokio::test]
async fn a_room_goes_on_while_a_commit_is_on_its_way_and_its_output_keeps_its_order() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;

    ada.send(steps(&[put("k", "1"), say("one")])).await;
    ada.send(steps(&[put("k", "2"), say("two")])).await;
    ada.send(steps(&[show("k")])).await;
    outage.arrived(3).await;

    ada.hears_nothing().await;
    outage.engine.let_through(1);
    assert_eq!(ada.next_text().await, "one");
    ada.hears_nothing().await;
    outage.engine.let_through(1);
    assert_eq!(ada.next_text().await, "two");
    // It read its own room's write before that was durable, and was told so only afterwards.
    let shown: Shown = serde_json::from_str(&ada.next_text().await).unwrap();
    assert_eq!(shown.stored.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_close_a_response_and_a_task_wait_for_the_write_that_they_follow() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;
    let mut bob = outage.host.join("lobby").await;
    ada.send(steps(&[put("k", "1"), Step::Spawn("task".into()), Step::Close])).await;
    outage.arrived(2).await;
    ada.hears_nothing().await;
    bob.hears_nothing().await;
    outage.engine.let_through(1);
    assert_eq!(ada.closed().await, (4000, "closed by script".to_owned()));
    let mut told = vec![bob.next_text().await, bob.next_text().await];
    told.sort();
    assert_eq!(told[1], "task");
    assert!(told[0].starts_with("gone "), "{told:?}");

    let request = outage.request(&[put("k", "2")]).await;
    outage.engine.let_through(1);
    assert_eq!(request.await.status(), 200);
}

#[tokio::test]
async fn a_newcomer_gets_nothing_that_was_sent_before_it_came() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;
    ada.send(steps(&[put("k", "v"), say("before bob")])).await;
    outage.arrived(2).await;

    let mut bob = outage.host.join("lobby").await;
    bob.send(steps(&[say("from bob")])).await;
    bob.hears_nothing().await;
    outage.engine.let_through(1);

    assert_eq!(ada.next_text().await, "before bob");
    assert_eq!(ada.next_text().await, "from bob");
    assert_eq!(bob.next_text().await, "from bob");
}

#[tokio::test]
async fn a_failed_commit_closes_the_room_and_nobody_sees_what_it_would_have_kept() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;
    let mut bob = outage.host.join("lobby").await;
    ada.send(steps(&[put("k", "1"), say("never seen")])).await;
    ada.send(steps(&[put("k", "2"), say("never seen either")])).await;
    outage.arrived(3).await;

    outage.engine.fail_with(failed());

    assert_eq!(ada.try_next().await, Err((1011, "Storage failed".to_owned())));
    assert_eq!(bob.try_next().await, Err((1011, "Storage failed".to_owned())));
    outage.engine.recover();
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
        let (outage, mut ada) = Outage::begin(|_| {}).await;
        let request = outage.request(&[put("k", "v")]).await;

        outage.engine.fail_with(error);

        let response = request.await;
        assert_eq!((response.status().as_u16(), &response.body()[..]), (status, text.as_bytes()));
        assert!(response.headers().contains_key("retry-after"));
        assert_eq!(ada.closed().await, (code, text.to_owned()));
    }
}

#[tokio::test]
async fn a_hook_in_sync_ends_there_when_its_commit_fails() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;
    ada.send(steps(&[put("k", "v"), Step::Sync, say("never reached")])).await;
    outage.arrived(2).await;

    outage.engine.fail_with(failed());

    assert_eq!(ada.try_next().await, Err((1011, "Storage failed".to_owned())));
}

#[tokio::test]
async fn a_room_takes_no_event_while_as_many_commits_wait_as_may() {
    let (outage, mut ada) = Outage::begin(|config| config.commits_pending_max = 2).await;
    for number in 0..4 {
        ada.send(steps(&[put("k", &number.to_string()), say(&number.to_string())])).await;
    }
    outage.arrived(3).await;
    ada.hears_nothing().await;
    outage.arrived(3).await;

    outage.engine.let_through(1);
    assert_eq!(ada.next_text().await, "0");
    outage.arrived(4).await;
    outage.engine.let_through(10);
    for number in 1..4 {
        assert_eq!(ada.next_text().await, number.to_string());
    }
}

#[tokio::test]
async fn a_room_takes_no_event_while_as_many_bytes_wait_as_may() {
    let (outage, mut ada) = Outage::begin(|config| config.held_bytes_max = 1000).await;
    ada.send(steps(&[put("k", "0"), say(&"x".repeat(1000))])).await;
    ada.send(steps(&[put("k", "1"), say("1")])).await;
    outage.arrived(2).await;
    ada.hears_nothing().await;
    outage.arrived(2).await;

    outage.engine.let_through(2);

    assert_eq!(ada.next_text().await.len(), 1000);
    assert_eq!(ada.next_text().await, "1");
}

/// A write weighs its key and its value, which is 3 bytes longer than a text of this length.
#[tokio::test]
async fn writes_on_their_way_count_for_what_may_wait() {
    for (text_bytes, takes_the_next) in [(9_995, true), (9_996, false)] {
        let (outage, mut ada) = Outage::begin(|config| config.held_bytes_max = 10_000).await;
        ada.send(steps(&[put("k", &"x".repeat(text_bytes))])).await;
        ada.send(steps(&[put("k", "1"), say("1")])).await;
        outage.arrived(2 + usize::from(takes_the_next)).await;
        ada.hears_nothing().await;
        outage.arrived(2 + usize::from(takes_the_next)).await;
        outage.engine.let_through(2);
        assert_eq!(ada.next_text().await, "1");
    }
}

/// An output weighs 128 bytes and what it carries; the write that it waits for weighs 3.
#[tokio::test]
async fn responses_that_wait_count_with_their_bodies_for_what_may_wait() {
    for (body_bytes, takes_the_next) in [(868, true), (869, false)] {
        let (outage, mut ada) = Outage::begin(|config| config.held_bytes_max = 1000).await;
        let answer = Step::Answer("x".repeat(body_bytes));
        let request = outage.request(&[put("k", "0"), answer]).await;

        ada.send(steps(&[put("k", "1"), say("1")])).await;
        ada.hears_nothing().await;
        if takes_the_next {
            outage.arrived(3).await;
        } else {
            ada.hears_nothing().await;
            outage.arrived(2).await;
        }
        outage.engine.let_through(2);

        assert_eq!(request.await.body().len(), body_bytes);
        assert_eq!(ada.next_text().await, "1");
    }
}

#[tokio::test]
async fn a_commit_that_fails_while_a_hook_waits_ends_the_hook() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;
    ada.send(steps(&[put("k", "v"), say("never seen")])).await;
    ada.send(steps(&[Step::Hang])).await;
    outage.arrived(2).await;

    outage.engine.fail_with(failed());

    assert_eq!(ada.try_next().await, Err((1011, "Storage failed".to_owned())));
    outage.engine.recover();
    let mut ada = outage.host.join("lobby").await;
    ada.send(steps(&[say("open again")])).await;
    assert_eq!(ada.next_text().await, "open again");
}

#[tokio::test]
async fn other_rooms_do_not_notice_a_failed_commit() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;
    let mut eve = outage.host.join("elsewhere").await;
    outage.arrived(2).await;
    outage.engine.let_through(1);
    ada.send(steps(&[put("k", "v")])).await;
    outage.arrived(3).await;

    outage.engine.fail_with(failed());
    assert_eq!(ada.closed().await.0, 1011);
    outage.engine.recover();

    eve.send(steps(&[put("k", "v"), say("all well")])).await;
    assert_eq!(eve.next_text().await, "all well");
}

/// The commit of the first message finds tokio's budget used up when it is first polled, and the
/// engine, whose semaphore asks for it, does not let it in; that of the second comes in a new
/// turn, which begins with it.
#[tokio::test]
async fn commits_keep_their_order_though_a_hook_has_used_up_its_turn() {
    let (outage, mut ada) = Outage::begin(|_| {}).await;
    let first = [put("k", "0"), Step::Sync, Step::Exhaust, put("k", "1"), say("one")];
    ada.send(steps(&first)).await;
    outage.arrived(2).await;
    ada.send(steps(&[Step::Yield, put("k", "2"), say("two")])).await;
    // The second message is in the mailbox while the first waits for its commit.
    ada.hears_nothing().await;

    outage.engine.recover();

    assert_eq!(ada.next_text().await, "one");
    assert_eq!(ada.next_text().await, "two");
}
