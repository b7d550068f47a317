//! A hook is a transaction, and its failure costs no client its connection.

use partyrs::Frame;
use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};

use crate::script::{Held, LONG, Script, Shown, Step, put, say, show, steps};

/// What the room remembers, what the state of this client is, and what is stored at `key`.
async fn shown(client: &mut TestClient, key: &str) -> Shown {
    client.send(steps(&[show(key)])).await;
    serde_json::from_str(&client.next_text().await).expect("what `show` broadcasts")
}

async fn does(client: &mut TestClient, what: &[Step]) {
    client.send(steps(what)).await;
}

fn remember(text: &str) -> Step {
    Step::Remember(text.to_owned())
}

#[tokio::test]
async fn a_panic_after_a_write_disconnects_nobody_and_leaves_no_trace_of_the_write() {
    let host = TestHost::start::<Script>().await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        clients.push(host.join("lobby").await);
    }
    does(&mut clients[0], &[put("k", "old"), remember("lost with the panic"), say("kept")]).await;
    for client in &mut clients {
        assert_eq!(client.next_text().await, "kept");
    }

    does(&mut clients[3], &[put("k", "new"), say("never seen"), Step::Panic]).await;

    for client in &mut clients {
        let error = client.next_text().await;
        assert_eq!(error, "error in on_message, panicked true: panic: as the script says");
    }
    let after = shown(&mut clients[7], "k").await;
    assert_eq!(after, Shown { memory: vec![], state: None, stored: Some("old".into()), starts_count: 2 });
    for client in clients.iter_mut().take(7) {
        assert!(client.next_text().await.contains("\"starts_count\":2"));
        client.hears_nothing().await;
    }
}

#[tokio::test]
async fn an_error_after_a_write_takes_it_back_from_storage_and_from_memory() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;
    does(&mut ada, &[put("memory", "stored")]).await;

    does(&mut ada, &[remember("not stored"), put("k", "v"), Step::Fail]).await;

    assert_eq!(ada.next_text().await, "error in on_message, panicked false: as the script says");
    let after = shown(&mut ada, "k").await;
    assert_eq!((after.memory, after.stored), (vec!["stored".to_owned()], None));
    assert_eq!(after.starts_count, 2);
}

#[tokio::test]
async fn an_error_without_a_write_leaves_memory_as_it_is() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;

    does(&mut ada, &[remember("a"), Step::Fail]).await;

    assert_eq!(ada.next_text().await, "error in on_message, panicked false: as the script says");
    let after = shown(&mut ada, "k").await;
    assert_eq!((after.memory, after.starts_count), (vec!["a".to_owned()], 1));
}

#[tokio::test]
async fn output_before_the_first_write_of_a_failed_hook_stays_and_what_follows_it_does_not() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;

    does(&mut ada, &[say("before"), put("k", "v"), say("after"), Step::Spawn("task".into()), Step::Fail])
        .await;

    assert_eq!(ada.next_text().await, "before");
    assert!(ada.next_text().await.starts_with("error in on_message"));
    assert_eq!(shown(&mut ada, "k").await.stored, None);
    ada.hears_nothing().await;
}

#[tokio::test]
async fn connection_state_and_a_close_are_taken_back_with_the_writes() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;
    does(&mut ada, &[Step::State("old".into())]).await;

    does(&mut ada, &[put("k", "v"), Step::State("new".into()), Step::Close, Step::Fail]).await;

    assert!(ada.next_text().await.starts_with("error in on_message"));
    let after = shown(&mut ada, "k").await;
    assert_eq!((after.state.as_deref(), after.stored), (Some("old"), None));
}

#[tokio::test]
async fn a_put_that_is_refused_restarts_the_room_when_its_hook_fails() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;

    does(&mut ada, &[remember("not stored"), Step::PutTooMuch]).await;

    let error = ada.next_text().await;
    assert!(
        error.ends_with("value of 2097153 bytes at key \"too much\" is over the limit of 2097152"),
        "{error}"
    );
    let after = shown(&mut ada, "k").await;
    assert_eq!((after.memory, after.starts_count), (vec![], 2));
}

#[tokio::test]
async fn what_came_before_a_sync_stays_when_the_hook_fails_later() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;

    does(&mut ada, &[put("a", "1"), say("first"), Step::Sync, put("b", "2"), say("second"), Step::Fail])
        .await;

    assert_eq!(ada.next_text().await, "first");
    assert!(ada.next_text().await.starts_with("error in on_message"));
    assert_eq!(shown(&mut ada, "a").await.stored.as_deref(), Some("1"));
    assert_eq!(shown(&mut ada, "b").await.stored, None);
}

#[tokio::test]
async fn an_answer_drops_the_writes_without_a_failure_and_memory_agrees_with_storage() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;
    let body = steps(&[remember("not stored"), put("k", "v"), Step::Refuse(409)]);
    let request = http::Request::post("/party/lobby").body(body).unwrap();

    let response = host.request(request).await;

    assert_eq!((response.status().as_u16(), &response.body()[..]), (409, &b"refused by script"[..]));
    let after = shown(&mut ada, "k").await;
    assert_eq!((after.memory, after.stored, after.starts_count), (vec![], None, 2));
    ada.hears_nothing().await;
}

#[tokio::test]
async fn an_answer_without_a_write_leaves_the_room_alone() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;
    let body = steps(&[remember("kept"), Step::Refuse(409)]);

    let response = host.request(http::Request::post("/party/lobby").body(body).unwrap()).await;

    assert_eq!(response.status(), 409);
    let after = shown(&mut ada, "k").await;
    assert_eq!((after.memory, after.starts_count), (vec!["kept".to_owned()], 1));
}

#[tokio::test]
async fn a_failed_request_is_answered_500_and_its_writes_are_gone() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;

    for failure in [Step::Fail, Step::Panic] {
        let body = steps(&[put("k", "v"), failure]);
        let response = host.request(http::Request::post("/party/lobby").body(body).unwrap()).await;
        assert_eq!((response.status().as_u16(), &response.body()[..]), (500, &b"Internal Server Error"[..]));
        assert!(ada.next_text().await.starts_with("error in on_request"));
    }

    assert_eq!(shown(&mut ada, "k").await.stored, None);
}

#[tokio::test]
async fn a_task_that_fails_is_told_and_one_that_panics_restarts_the_room() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;

    does(&mut ada, &[Step::Spawn("from a task".into())]).await;
    assert_eq!(ada.next_text().await, "from a task");
    does(&mut ada, &[Step::SpawnFail]).await;
    let error = ada.next_text().await;
    assert_eq!(error, "error in spawned task, panicked false: a task of the script");
    assert_eq!(shown(&mut ada, "k").await.starts_count, 1);

    does(&mut ada, &[Step::SpawnPanic]).await;
    let error = ada.next_text().await;
    assert_eq!(error, "error in spawned task, panicked true: panic: a task of the script");
    assert_eq!(shown(&mut ada, "k").await.starts_count, 2);
}

#[tokio::test]
async fn tasks_end_with_the_server_that_spawned_them() {
    let held = Held::default();
    let host = TestHost::of(Host::builder().party::<Script>("main").env(held.clone())).await;
    let mut ada = host.join("lobby").await;
    let idle = held.count();
    does(&mut ada, &[Step::SpawnHolder, Step::SpawnHolder]).await;
    assert_eq!(shown(&mut ada, "k").await.starts_count, 1);
    assert_eq!(held.count(), idle + 2);

    does(&mut ada, &[Step::Panic]).await;

    assert!(ada.next_text().await.starts_with("error in on_message"));
    host.until(|_| held.count() == idle).await;
    assert_eq!(shown(&mut ada, "k").await.starts_count, 2);
}

#[tokio::test]
async fn of_tasks_that_panic_together_the_first_restarts_the_room_and_the_others_end_with_it() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;

    // More than may panic before the room is closed.
    does(&mut ada, &[const { Step::SpawnPanic }; 10]).await;

    let error = ada.next_text().await;
    assert_eq!(error, "error in spawned task, panicked true: panic: a task of the script");
    assert_eq!(shown(&mut ada, "k").await.starts_count, 2);
}

#[tokio::test]
async fn a_hook_that_never_ends_is_ended_like_a_panic() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;
    does(&mut ada, &[say("begun"), put("k", "v"), Step::Hang]).await;
    assert_eq!(ada.next_text().await, "begun");

    host.advance(LONG);

    let error = ada.next_text().await;
    assert_eq!(error, "error in on_message, panicked true: hook ran longer than hook_timeout (30s)");
    let after = shown(&mut ada, "k").await;
    assert_eq!((after.stored, after.starts_count), (None, 2));
}

#[tokio::test]
async fn a_room_that_panics_too_often_is_closed_and_the_next_visitor_starts_it() {
    let host = TestHost::start::<Script>().await;
    let mut ada = host.join("lobby").await;
    for _ in 0..3 {
        does(&mut ada, &[Step::Panic]).await;
        assert!(ada.next_text().await.starts_with("error in on_message"));
    }

    does(&mut ada, &[Step::Panic]).await;

    assert_eq!(ada.closed().await, (1011, "Room failed".to_owned()));
    let mut bob = host.join("lobby").await;
    assert_eq!(shown(&mut bob, "k").await.starts_count, 5);
}

#[tokio::test]
async fn panics_that_are_long_ago_do_not_count() {
    // Its client reads only what it waits for, and the clock is moved by minutes.
    let builder = Host::builder().party::<Script>("main");
    let host = TestHost::of(builder.config(|config| config.ping_every = std::time::Duration::MAX)).await;
    let mut ada = host.join("lobby").await;
    for _ in 0..6 {
        does(&mut ada, &[Step::Panic]).await;
        assert!(ada.next_text().await.starts_with("error in on_message"));
        host.advance(LONG);
    }
    assert_eq!(shown(&mut ada, "k").await.starts_count, 7);
}

#[tokio::test]
async fn frames_of_other_clients_are_served_while_a_failed_room_restarts() {
    let host = TestHost::start::<Script>().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);

    for _ in 0..3 {
        does(&mut ada, &[put("k", "v"), Step::Panic]).await;
    }
    for number in 0..20 {
        does(&mut bob, &[Step::Reply(number.to_string())]).await;
    }

    let mut replies = 0;
    while replies < 20 {
        let text = bob.next_text().await;
        if !text.starts_with("error") {
            assert_eq!(text, replies.to_string());
            replies += 1;
        }
    }
}

#[tokio::test]
async fn several_writes_in_flight_are_read_at_once_and_land_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let host = Host::builder().party::<Script>("main").data(folder.path());
    let host = TestHost::try_of(host).await.unwrap();
    let mut ada = host.join("lobby").await;

    for number in 0..50 {
        does(&mut ada, &[put("k", &number.to_string()), show("k")]).await;
    }

    for number in 0..50 {
        let shown: Shown = serde_json::from_str(&ada.next_text().await).unwrap();
        assert_eq!(shown.stored, Some(number.to_string()));
    }
    soon(host.kill()).await;
    let host = Host::builder().party::<Script>("main").data(folder.path());
    let host = TestHost::try_of(host).await.unwrap();
    let mut ada = host.join("lobby").await;
    assert_eq!(shown(&mut ada, "k").await.stored.as_deref(), Some("49"));
    ada.send(Frame::text("[]")).await;
}

/// Whose rule for names is not written well.
struct Guests;

#[derive(FromFrame)]
#[frame(rename_all = "lowercase")]
enum Guest {
    Enter {
        #[frame(custom = "is_free")]
        name: String,
    },
}

fn is_free(name: &str) -> std::result::Result<(), &'static str> {
    match name.chars().next().expect("there is a name") {
        '#' => Err("this name is taken"),
        _ => Ok(()),
    }
}

impl PartyServer for Guests {
    type Message = Guest;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Self)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, Guest::Enter { name }: Guest) -> Result<()> {
        room.broadcast(name)?;
        Ok(())
    }

    async fn on_error(&mut self, room: &Room, failure: &Failure) {
        let Failure { hook, panicked, error, .. } = failure;
        room.broadcast(format!("{hook}, {panicked}: {error}")).expect("a text has a frame form");
    }
}

#[tokio::test]
async fn a_rule_that_panics_is_a_panic_of_its_hook_and_disconnects_nobody() {
    let host = TestHost::start::<Guests>().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);

    ada.send(Frame::text(r#"{"type":"enter","name":""}"#)).await;
    ada.send(Frame::text(r#"{"type":"enter","name":"ada"}"#)).await;

    for client in [&mut ada, &mut bob] {
        assert_eq!(client.next_text().await, "on_message, true: panic: there is a name");
        assert_eq!(client.next_text().await, "ada");
    }
}
