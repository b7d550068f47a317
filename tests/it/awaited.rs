//! Clients that have their place in the room, and whose 101 is still on its way (wire row 18).

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request as AxumRequest, State};
use axum::middleware::{self, Next};
use axum::response::Response as AxumResponse;
use http::StatusCode;
use partyrs::prelude::*;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Config, Host};
use tokio::sync::{Semaphore, oneshot};

use crate::parties::{Reports, Seen, Witness, member, reports, witnesses};
use crate::pings::busy;
use crate::tower::Outer;
use crate::upgrade::raw::{
    CLOSE, PING, PONG, Raw, TEXT, close_payload, end_by_reset, frame, upgrade_request,
};

const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Far longer than an empty room stays open.
const IDLE_AFTER: Duration = Duration::from_secs(3600);
/// How long a 101 waits for a place in the queue of the room.
const PATIENCE: Duration = Duration::from_secs(1);
const MOMENT: Duration = Duration::from_millis(1);

/// Hears, and says nothing.
struct Silent;

impl PartyServer for Silent {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Silent)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
        room.env::<Reports>()?.add(text);
        Ok(())
    }
}

/// A host behind a server that keeps every 101 until it is let through.
struct Kept {
    host: TestHost,
    outer: Outer,
    door: Arc<Door>,
    seen: Seen,
}

struct Door {
    /// One permit for each 101 that the host has given.
    given: Semaphore,
    /// One permit for each that may go on.
    let_through: Semaphore,
}

impl Kept {
    async fn new(change: impl FnOnce(&mut Config)) -> Self {
        let (host, seen) = witnesses(change).await;
        Self::of(host, seen).await
    }

    async fn of(host: TestHost, seen: Seen) -> Self {
        let door = Arc::new(Door { given: Semaphore::new(0), let_through: Semaphore::new(0) });
        let app = Router::new().fallback_service(host.service());
        let app = app.layer(middleware::from_fn_with_state(Arc::clone(&door), keep));
        Self { host, outer: Outer::axum(app).await, door, seen }
    }

    /// A client that the host has told 101, and that has not heard of it.
    async fn ask(&self, path: &str) -> Raw {
        self.ask_and_send(path, Vec::new()).await
    }

    /// As [`Kept::ask`], with what the client sends right behind its request.
    async fn ask_and_send(&self, path: &str, early: Vec<u8>) -> Raw {
        let mut raw = self.outer.raw().await;
        raw.send([upgrade_request(path).into_bytes(), early].concat()).await;
        soon(self.door.given.acquire()).await.unwrap().forget();
        raw
    }

    /// The 101 of `raw` arrives.
    async fn let_through(&self, raw: &mut Raw) {
        self.door.let_through.add_permits(1);
        assert_eq!(raw.answer().await.status, 101);
    }
}

async fn keep(State(door): State<Arc<Door>>, request: AxumRequest, next: Next) -> AxumResponse {
    let response = next.run(request).await;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        door.given.add_permits(1);
        door.let_through.acquire().await.unwrap().forget();
    }
    response
}

/// Nothing runs on the shard of the host, its only one, until it is told to go on.
async fn block_the_shard(host: &TestHost) -> std::sync::mpsc::Sender<()> {
    let (go_on, wait) = std::sync::mpsc::channel();
    let (begun, is_begun) = oneshot::channel();
    let room = host.parties().party::<Witness>("main").unwrap().room("blocked").unwrap();
    tokio::spawn(async move {
        room.run(async move |_, _| {
            begun.send(()).unwrap();
            Ok(wait.recv()?)
        })
        .await
    });
    soon(is_begun).await.unwrap();
    go_on
}

/// A room whose hook waits with one message of a member, and whose queue is full of the next.
async fn full() -> (TestHost, Arc<Semaphore>, Seen, Raw) {
    let (host, let_through, mut seen) = busy().await;
    let_through.add_permits(2);
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    ada.send(frame(TEXT, "0")).await;
    assert_eq!(seen.next().await, "ada said 0");
    // The answer to the ping shows that all before it is out of the reader's hands.
    ada.send([frame(TEXT, "1"), frame(TEXT, "2"), frame(PING, "")].concat()).await;
    assert_eq!(ada.next().await.0, PONG);
    (host, let_through, seen, ada)
}

/// Shows that nobody is left in any room.
async fn empty(host: &TestHost) {
    host.until(|host| {
        host.advance(IDLE_AFTER);
        host.rooms_count() == 0
    })
    .await;
}

#[tokio::test]
async fn whatever_is_sent_after_a_client_was_told_101_reaches_it() {
    let mut kept = Kept::new(|_| {}).await;
    let mut ada = member(&kept.host, "lobby", "ada").await;
    let mut bob = kept.ask("/party/lobby?_pk=bob").await;

    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada,bob");
    ada.send("to all").await;
    assert_eq!(ada.next_text().await, "to all");
    ada.send("to bob alone").await;
    // What bob sends right behind his request waits until he is read.
    bob.send(frame(TEXT, "hi")).await;
    kept.let_through(&mut bob).await;

    for text in ["welcome", "to all", "alone", "hi"] {
        assert_eq!(bob.next_text().await, text);
    }
    assert_eq!(ada.next_text().await, "hi");
    bob.send(frame(CLOSE, close_payload(4002, "bye"))).await;
    assert_eq!(bob.closed().await, (4002, "bye".to_owned()));
    bob.ends().await;
    assert_eq!(kept.seen.next().await, "bob closed: 4002 \"bye\" clean, last");
}

#[tokio::test]
async fn who_goes_away_before_the_101_has_left_the_room() {
    let mut kept = Kept::new(|_| {}).await;
    let mut ada = member(&kept.host, "lobby", "ada").await;
    let bob = kept.ask("/party/lobby?_pk=bob").await;
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada,bob");
    drop(bob);
    kept.door.let_through.add_permits(1);
    assert_eq!(kept.seen.next().await, "bob closed: 1006 \"\" unclean, last");
    kept.host.until(|host| host.connections_count() == 1).await;
}

#[tokio::test]
async fn who_goes_away_before_the_room_has_looked_leaves_nothing() {
    let kept = Kept::new(|config| config.shards = 1).await;
    let go_on = block_the_shard(&kept.host).await;
    let bob = kept.ask("/party/lobby?_pk=bob").await;
    drop(bob);
    // Behind this his end has been seen.
    kept.host.get("/").await;
    go_on.send(()).unwrap();

    let mut ada = member(&kept.host, "lobby", "ada").await;
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada");
    drop(ada);
    empty(&kept.host).await;
}

/// By a request alone, of the host itself: what is sent behind it keeps hyper from seeing the end.
#[tokio::test]
async fn who_goes_away_while_the_101_waits_for_a_place_leaves_nothing() {
    for behind in [&[][..], &[TEXT]] {
        let (host, let_through, mut seen, ada) = full().await;
        let mut bob = Raw::tcp(&host).await;
        bob.send([upgrade_request("/party/lobby?_pk=bob").as_bytes(), behind].concat()).await;
        host.until(|host| host.connections_count() == 2).await;
        end_by_reset(&bob.into_tcp());
        if behind.is_empty() {
            host.until(|host| host.connections_count() == 1).await;
        }
        // What is behind the request keeps the end from being seen before the 101 is written; then
        // the join waits for its turn, and keeps its place among the connections.
        host.advance(PATIENCE);
        host.get("/").await;

        let_through.add_permits(4);
        assert_eq!([seen.next().await, seen.next().await], ["ada said 1", "ada said 2"]);
        drop(ada);
        assert_eq!(seen.next().await, "ada closed: 1006");
        empty(&host).await;
        assert_eq!(seen.all(), [] as [String; 0]);
        host.until(|host| host.connections_count() == 0).await;
    }
}

/// At whatever moment that is: before the join, between it and the 101, or behind that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_are_gone_right_behind_their_request_leave_nothing() {
    const ROUNDS: usize = 200;
    let (host, _seen) = witnesses(|_| {}).await;
    let client = async |client: usize| {
        for round in 0..ROUNDS {
            let mut raw = Raw::tcp(&host).await;
            raw.send(upgrade_request(&format!("/party/{}?_pk={client}", round % 5))).await;
            for _ in 0..round % 7 {
                tokio::task::yield_now().await;
            }
            end_by_reset(&raw.into_tcp());
        }
    };
    futures_util::future::join_all((0..4).map(client)).await;
    host.until(|host| host.connections_count() == 0).await;
    empty(&host).await;
    host.stop().await;
}

#[tokio::test]
async fn who_never_takes_the_101_is_given_up_like_one_that_is_silent() {
    let mut kept = Kept::new(|_| {}).await;
    let mut ada = member(&kept.host, "lobby", "ada").await;
    let mut bob = kept.ask("/party/lobby?_pk=bob").await;
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada,bob");
    // Looked after behind him.
    let mut eve = Raw::member(&kept.host, "lobby", "eve").await;

    kept.host.advance(PING_EVERY);
    assert_eq!(eve.next().await, (PING, Vec::new()));
    kept.host.advance(PING_TIMEOUT);
    assert_eq!(kept.seen.next().await, "bob closed: 1006 \"\" unclean, last");

    kept.let_through(&mut bob).await;
    bob.ends().await;
    kept.host.until(|host| host.connections_count() == 0).await;
}

#[tokio::test]
async fn who_never_takes_the_101_is_given_up_after_keep_alive_timeout_whatever_pings_are_set_to() {
    let time = Duration::from_secs(75);
    let mut kept = Kept::new(|config| config.ping_every = 2 * time).await;
    let mut ada = member(&kept.host, "lobby", "ada").await;
    let mut bob = kept.ask("/party/lobby?_pk=bob").await;
    // When the room goes on, the time runs.
    for _ in 0..2 {
        ada.send("who").await;
        assert_eq!(ada.next_text().await, "ada,bob");
    }
    kept.host.advance(time - MOMENT);
    for _ in 0..2 {
        ada.send("who").await;
        assert_eq!(ada.next_text().await, "ada,bob");
    }
    kept.host.advance(MOMENT);
    assert_eq!(kept.seen.next().await, "bob closed: 1006 \"\" unclean, last");
    kept.host.until(|host| host.connections_count() == 1).await;
    kept.let_through(&mut bob).await;
    bob.ends().await;
}

#[tokio::test]
async fn who_takes_the_101_when_pings_have_begun_is_pinged_before_it_is_given_up() {
    let (reports, seen) = reports();
    let host = Host::builder().party::<Silent>("main").env(reports).config(|config| config.shards = 1);
    let mut kept = Kept::of(TestHost::of(host).await, seen).await;
    let mut bob = kept.ask_and_send("/party/lobby?_pk=bob", frame(TEXT, "early")).await;
    // It is answered behind the join of bob; and eve is looked after behind him.
    kept.host.get("/party/lobby").await;
    let mut eve = Raw::connect(&kept.host, "/party/elsewhere").await;
    eve.send(frame(TEXT, "here")).await;
    assert_eq!(kept.seen.next().await, "here");

    kept.host.advance(PING_EVERY);
    assert_eq!(eve.next().await, (PING, Vec::new()));
    kept.let_through(&mut bob).await;
    assert_eq!(kept.seen.next().await, "early");
    kept.host.advance(PING_TIMEOUT);
    eve.ends().await;
    kept.host.advance(PING_EVERY - PING_TIMEOUT);
    assert_eq!(bob.next().await, (PING, Vec::new()));
}

#[tokio::test]
async fn a_close_of_the_room_waits_for_the_101_as_for_an_answer() {
    let mut kept = Kept::new(|_| {}).await;
    let mut bob = kept.ask("/party/lobby?_pk=bob&close").await;
    kept.let_through(&mut bob).await;
    assert_eq!(bob.next_text().await, "welcome");
    assert_eq!(bob.closed().await, (4000, "on_connect".to_owned()));
    bob.send(frame(CLOSE, close_payload(4000, ""))).await;
    bob.ends().await;
    assert_eq!(kept.seen.next().await, "bob closed: 4000 \"on_connect\" clean, last");

    let mut ada = member(&kept.host, "lobby", "ada").await;
    let mut eve = kept.ask("/party/lobby?_pk=eve&close").await;
    // When the room goes on, the time runs.
    for _ in 0..2 {
        ada.send("who").await;
        assert_eq!(ada.next_text().await, "ada");
    }
    kept.host.advance(CLOSE_TIMEOUT);
    assert_eq!(kept.seen.next().await, "eve closed: 1006 \"\" unclean, last");
    kept.let_through(&mut eve).await;
    eve.ends().await;
}

#[tokio::test]
async fn what_waits_for_the_101_counts_for_the_outbox() {
    let long = "x".repeat(1000);
    // The welcome with its head of two bytes, and as many long ones, with heads of four, as fit.
    let mut kept = Kept::new(|config| config.outbox_bytes_max = 9 + 3 * 1004).await;
    let mut ada = member(&kept.host, "lobby", "ada").await;
    let mut bob = kept.ask("/party/lobby?_pk=bob").await;
    let mut eve = kept.ask("/party/lobby?_pk=eve").await;
    for _ in 0..3 {
        ada.send(&*long).await;
        assert_eq!(ada.next_text().await, long);
    }
    kept.let_through(&mut bob).await;
    assert_eq!(bob.next_text().await, "welcome");
    for _ in 0..3 {
        assert_eq!(bob.next_text().await, long);
    }

    // One byte too many.
    ada.send("to eve ").await;
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada,bob,eve");
    kept.let_through(&mut eve).await;
    assert_eq!(eve.next_text().await, "welcome");
    for _ in 0..3 {
        assert_eq!(eve.next_text().await, long);
    }
    assert_eq!(eve.next_text().await, "");
    assert_eq!(eve.closed().await.0, 1013);
    assert!(kept.seen.next().await.starts_with("eve closed: 1013"));
}

#[tokio::test]
async fn a_room_that_fails_tells_who_waits_for_the_101_and_ends_without_them() {
    let mut kept = Kept::new(|config| config.restarts_max = 0).await;
    let mut ada = member(&kept.host, "lobby", "ada").await;
    let mut bob = kept.ask("/party/lobby?_pk=bob").await;
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada,bob");
    ada.send("panic").await;
    assert_eq!(ada.closed().await, (1011, "Room failed".to_owned()));
    kept.host.until(|host| host.rooms_count() == 0).await;

    kept.let_through(&mut bob).await;
    assert_eq!(bob.next_text().await, "welcome");
    assert_eq!(bob.closed().await, (1011, "Room failed".to_owned()));
    bob.send(frame(CLOSE, close_payload(1011, ""))).await;
    bob.ends().await;
    drop((ada, bob));
    kept.host.until(|host| host.connections_count() == 0).await;
    assert_eq!(kept.seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn a_room_sleeps_while_a_101_is_on_its_way_and_the_client_finds_it() {
    let mut kept = Kept::new(|_| {}).await;
    let mut bob = kept.ask("/party/lobby?_pk=bob").await;
    kept.host.get("/party/lobby").await;
    kept.host.hibernate("lobby").await;
    kept.let_through(&mut bob).await;
    assert_eq!(bob.next_text().await, "welcome");
    bob.send(frame(TEXT, "who")).await;
    assert_eq!(bob.next_text().await, "bob");

    let eve = kept.ask("/party/lobby?_pk=eve").await;
    bob.send(frame(TEXT, "who")).await;
    assert_eq!(bob.next_text().await, "bob,eve");
    kept.host.hibernate("lobby").await;
    drop(eve);
    assert_eq!(kept.seen.next().await, "eve closed: 1006 \"\" unclean, last");
}

#[tokio::test]
async fn a_host_that_shuts_down_waits_for_the_101_and_tells_1012() {
    let mut kept = Kept::new(|_| {}).await;
    let mut ada = member(&kept.host, "lobby", "ada").await;
    let mut bob = kept.ask("/party/lobby?_pk=bob").await;
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "ada,bob");
    kept.host.begin_stop();
    assert_eq!(ada.closed().await.0, 1012);
    kept.let_through(&mut bob).await;
    assert_eq!(bob.next_text().await, "welcome");
    assert_eq!(bob.closed().await.0, 1012);
    bob.send(frame(CLOSE, close_payload(1012, ""))).await;
    bob.ends().await;
    drop(ada);
    soon(kept.host.stop()).await;
}

#[tokio::test]
async fn a_host_without_a_place_for_the_room_says_so_behind_the_101() {
    let kept = Kept::new(|config| config.rooms_max = 1).await;
    let _ada = member(&kept.host, "lobby", "ada").await;
    let mut bob = kept.ask("/party/elsewhere?_pk=bob").await;
    kept.let_through(&mut bob).await;
    assert_eq!(bob.closed().await, (1013, "Try again later".to_owned()));
    bob.ends().await;
    drop(bob);
    kept.host.until(|host| host.connections_count() == 1).await;
}

#[tokio::test]
async fn a_101_waits_a_while_for_a_place_in_the_queue_and_goes_out_without_one() {
    let (host, let_through, _seen, _ada) = full().await;
    let mut bob = Raw::tcp(&host).await;
    bob.send(upgrade_request("/party/lobby?_pk=bob")).await;
    host.until(|host| host.connections_count() == 2).await;
    host.advance(PATIENCE - MOMENT);
    host.get("/party/elsewhere").await;
    assert!(bob.has_heard_nothing());
    host.advance(MOMENT);
    assert_eq!(bob.answer().await.status, 101);

    let_through.add_permits(4);
    assert_eq!(bob.next_text().await, "welcome");
}
