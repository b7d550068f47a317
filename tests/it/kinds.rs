//! Messages that a client which is behind may miss: `volatile` and `latest`.

use std::sync::Arc;

use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost};

use crate::held::HeldEngine;
use crate::script::{Script, Step, put, say, steps};

/// More than the kernel takes for a client that does not read.
const BACKLOG_MIB: usize = 16;

fn latest(key: &str, text: &str) -> Step {
    Step::Latest(key.to_owned(), text.to_owned())
}

async fn does(client: &mut TestClient, what: &[Step]) {
    client.send(steps(what)).await;
}

/// Ada reads along; Bob reads nothing, and so much waits for him that he is behind.
async fn ada_and_bob_who_is_behind() -> (TestHost, TestClient, TestClient) {
    let builder = Host::builder().party::<Script>("main");
    let host = TestHost::of(builder.config(|config| config.outbox_bytes_max = 24 << 20)).await;
    let mut ada = host.connect("/party/lobby?_pk=ada").await;
    let mut bob = host.connect("/party/lobby?_pk=bob").await;
    bob.send(steps(&[say("bob is here")])).await;
    assert_eq!(ada.next_text().await, "bob is here");
    assert_eq!(bob.next_text().await, "bob is here");
    does(&mut ada, &[Step::Fill("bob".into(), BACKLOG_MIB), say("filled")]).await;
    assert_eq!(ada.next_text().await, "filled");
    (host, ada, bob)
}

async fn reads_the_backlog(bob: &mut TestClient) {
    for _ in 0..BACKLOG_MIB {
        assert_eq!(bob.next().await.len(), 1 << 20);
    }
    assert_eq!(bob.next_text().await, "filled");
}

#[tokio::test]
async fn a_client_that_is_behind_misses_what_is_volatile_and_nobody_else_does() {
    let (_host, mut ada, mut bob) = ada_and_bob_who_is_behind().await;
    for number in 0..50 {
        does(&mut ada, &[Step::Volatile(number.to_string())]).await;
        assert_eq!(ada.next_text().await, number.to_string());
    }
    does(&mut ada, &[say("end")]).await;

    reads_the_backlog(&mut bob).await;
    assert_eq!(bob.next_text().await, "end");
    // Now he reads along again.
    does(&mut ada, &[Step::Volatile("again".into())]).await;
    assert_eq!(bob.next_text().await, "again");
}

#[tokio::test]
async fn a_client_that_is_behind_gets_the_newest_of_each_key_in_its_place() {
    let (_host, mut ada, mut bob) = ada_and_bob_who_is_behind().await;
    for number in 0..50 {
        does(&mut ada, &[latest("a", &format!("a{number}")), latest("b", &format!("b{number}"))]).await;
        assert_eq!(ada.next_text().await, format!("a{number}"));
        assert_eq!(ada.next_text().await, format!("b{number}"));
    }
    does(&mut ada, &[say("between"), latest("a", "a50"), say("end")]).await;

    reads_the_backlog(&mut bob).await;
    for expected in ["b49", "between", "a50", "end"] {
        assert_eq!(bob.next_text().await, expected);
    }
}

#[tokio::test]
async fn a_client_that_never_reads_is_not_closed_for_what_it_may_miss() {
    let (_host, mut ada, mut bob) = ada_and_bob_who_is_behind().await;
    let big = "x".repeat(1 << 19);
    for _ in 0..40 {
        does(&mut ada, &[latest("state", &big)]).await;
        assert_eq!(ada.next_text().await.len(), big.len());
    }
    does(&mut ada, &[say("end")]).await;

    reads_the_backlog(&mut bob).await;
    assert_eq!(bob.next_text().await.len(), big.len());
    assert_eq!(bob.next_text().await, "end");
}

/// A host whose commits wait, and a client; `commits` counts those that have come.
async fn held() -> (TestHost, Arc<HeldEngine>, TestClient) {
    let engine = Arc::new(HeldEngine::new());
    engine.let_through(1);
    let host = TestHost::of(Host::builder().party::<Script>("main").storage(engine.clone())).await;
    let mut ada = host.join("lobby").await;
    does(&mut ada, &[say("ready")]).await;
    assert_eq!(ada.next_text().await, "ready");
    (host, engine, ada)
}

#[tokio::test]
async fn behind_the_gate_a_newer_replaces_an_older_of_its_key() {
    let (host, engine, mut ada) = held().await;
    does(&mut ada, &[put("k", "1"), latest("a", "a1"), latest("b", "b1"), say("one")]).await;
    does(&mut ada, &[latest("a", "a2"), Step::Volatile("kept, for ada is not behind".into())]).await;
    // When the commit of this one has come, those before it have been handled.
    does(&mut ada, &[put("k", "2")]).await;
    host.until(|_| engine.arrived_count() == 3).await;
    ada.hears_nothing().await;

    engine.let_through(2);

    for expected in ["b1", "one", "a2", "kept, for ada is not behind"] {
        assert_eq!(ada.next_text().await, expected);
    }
}

#[tokio::test]
async fn after_a_write_it_replaces_only_what_falls_with_it() {
    let (host, engine, mut ada) = held().await;
    does(&mut ada, &[put("k", "1"), latest("a", "a1")]).await;
    does(&mut ada, &[put("k", "2"), latest("a", "a2"), latest("a", "a3")]).await;
    host.until(|_| engine.arrived_count() == 3).await;

    engine.let_through(2);

    assert_eq!(ada.next_text().await, "a1");
    assert_eq!(ada.next_text().await, "a3");
}

#[tokio::test]
async fn a_hook_that_fails_has_replaced_nothing() {
    let (host, engine, mut ada) = held().await;
    does(&mut ada, &[put("k", "1"), latest("a", "a1")]).await;
    host.until(|_| engine.arrived_count() == 2).await;
    does(&mut ada, &[put("k", "2"), latest("a", "never seen"), Step::Fail]).await;
    // The room restarts, which is a commit of its own.
    host.until(|_| engine.arrived_count() == 3).await;

    engine.let_through(2);

    assert_eq!(ada.next_text().await, "a1");
    assert!(ada.next_text().await.starts_with("error in on_message"));
}
