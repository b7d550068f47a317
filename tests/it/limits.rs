//! Limits of rooms, each at it and one past it, as the host's setting and as a party's own.
//!
//! Where a limit has tests beside what it limits, it has none here: messages, bodies and state
//! (`options`, `connections`, `http`), tags and sockets (`upgrade`), rooms (`http`), calls (`handles`).

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::testing::{TestClient, TestHost};
use partyrs_runtime::{Builder, Config, Host};
use tokio::sync::Semaphore;

use crate::held::HeldEngine;
use crate::http::raw::Raw;
use crate::log;
use crate::parties::{Reports, Seen, reports};

/// Does what the first word of a message says; its limits are those of `L`.
struct Worker<L>(PhantomData<L>);

trait Limits: Send + 'static {
    const OPTIONS: PartyOptions;
}

struct AsTheHost;

impl Limits for AsTheHost {
    const OPTIONS: PartyOptions = PartyOptions::DEFAULT;
}

/// What `wait` waits for.
#[derive(Clone)]
struct Go(Arc<Semaphore>);

impl<L: Limits> PartyServer for Worker<L> {
    type Message = String;

    const OPTIONS: PartyOptions = L::OPTIONS;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Self(PhantomData))
    }

    async fn on_before_request(_: &mut Head, lobby: &Lobby) -> Result<Admission> {
        if let Ok(reports) = lobby.env::<Reports>() {
            reports.add("a request");
        }
        Ok(Admission::Admit)
    }

    async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
        Ok(Response::text(request.bytes().len().to_string()))
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            ["wait"] => {
                sender.send("waiting")?;
                room.env::<Go>()?.0.acquire().await?.forget();
            }
            ["panic"] => panic!("as told"),
            ["put-and-say", len] => {
                room.storage().put("key", "value")?;
                sender.send("x".repeat(len.parse()?))?;
            }
            ["fill", count] => {
                for _ in 0..count.parse()? {
                    sender.send(vec![0; 1 << 20])?;
                }
            }
            ["key", len] => tell(sender, room.storage().put("k".repeat(len.parse()?), &1))?,
            ["value", len] => tell(sender, room.storage().put_bytes("k", vec![0; len.parse()?]))?,
            ["alarm", len] => {
                let name = "a".repeat(len.parse()?);
                tell(sender, room.storage().set_alarm_named(&name, Duration::from_secs(1 << 20)))?;
            }
            _ => sender.send(text)?,
        }
        Ok(())
    }
}

fn tell(sender: &Connection, done: Result<(), partyrs::storage::StorageError>) -> Result<()> {
    Ok(sender.send(done.map_or_else(|error| error.to_string(), |()| "done".to_owned()))?)
}

/// The same limits twice, with the name of who has them: the host, and the party itself.
macro_rules! each_way {
    ($($setting:ident = $value:expr),+) => {{
        struct Own;

        impl Limits for Own {
            const OPTIONS: PartyOptions = PartyOptions::DEFAULT$(.$setting($value))+;
        }

        let change = |config: &mut Config| { $(config.$setting = $value;)+ };
        [
            ("host", Host::builder().party::<Worker<AsTheHost>>("main").config(change)),
            ("party", Host::builder().party::<Worker<Own>>("main")),
        ]
    }};
}

/// A host whose clock may run, and a member of its room `lobby`.
async fn lobby(builder: Builder) -> (TestHost, TestClient) {
    let host = TestHost::of(builder.config(|config| {
        config.shards = 1;
        config.ping_every = Duration::MAX;
        config.hook_timeout = Duration::MAX;
    }));
    let host = host.await;
    let ada = host.join("lobby").await;
    (host, ada)
}

/// Requests to another room of the one shard show that the others had their turn.
async fn everybody_had_a_turn(host: &TestHost) {
    for _ in 0..3 {
        host.get("/party/other").await;
    }
}

/// One that was begun.
async fn request(host: &TestHost, body: &str, length: usize, seen: &mut Seen) -> Raw {
    let mut client = Raw::connect(host).await;
    let head = format!("POST /party/lobby HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n");
    client.send(head + body).await;
    assert_eq!(seen.next().await, "a request");
    client
}

/// While a hook runs, two requests fit into the mailbox; the third does not.
async fn the_third_finds_the_mailbox_full(builder: Builder, bodies: [&str; 3]) {
    let (go, (reports, mut seen)) = (Go(Arc::new(Semaphore::new(0))), reports());
    let (host, mut ada) = lobby(builder.env(go.clone()).env(reports)).await;
    ada.send("wait").await;
    assert_eq!(ada.next_text().await, "waiting");
    let mut clients = Vec::new();
    for body in bodies {
        clients.push(request(&host, body, body.len(), &mut seen).await);
    }

    host.advance(Duration::from_millis(4_999));
    everybody_had_a_turn(&host).await;
    assert!(clients.iter().all(Raw::is_quiet));
    host.advance(Duration::from_millis(1));
    let answer = clients[2].answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(clients[..2].iter().all(Raw::is_quiet));

    go.0.add_permits(1);
    for (client, body) in clients.iter_mut().zip(&bodies[..2]) {
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (200, body.len().to_string()));
    }
}

#[tokio::test]
async fn as_many_events_wait_as_may_and_the_next_is_refused() {
    for (_, builder) in each_way!(mailbox_events_max = 2) {
        the_third_finds_the_mailbox_full(builder, ["", "", ""]).await;
    }
}

#[tokio::test]
async fn as_many_bytes_of_events_wait_as_may_and_one_more_is_refused() {
    for (_, builder) in each_way!(mailbox_bytes_max = 10) {
        the_third_finds_the_mailbox_full(builder, ["123456", "1234", "1"]).await;
    }
}

#[tokio::test]
async fn a_body_may_take_its_time_and_no_longer() {
    for (whose, builder) in each_way!(body_timeout = Duration::from_secs(2)) {
        let (reports, mut seen) = reports();
        let (host, _ada) = lobby(builder.env(reports)).await;
        let mut in_time = request(&host, "1234", 5, &mut seen).await;
        let mut late = request(&host, "1234", 5, &mut seen).await;

        host.advance(Duration::from_millis(1_999));
        in_time.send("5").await;
        assert_eq!(in_time.answer().await.text(), "5", "{whose}");
        assert!(late.is_quiet(), "{whose}");
        host.advance(Duration::from_millis(1));
        assert_eq!(late.answer().await.status, 408, "{whose}");
    }
}

/// A host over an engine that holds commits.
async fn held_lobby(builder: Builder) -> (TestHost, TestClient, Arc<HeldEngine>) {
    let engine = Arc::new(HeldEngine::new());
    let (host, ada) = lobby(builder.storage(engine.clone())).await;
    (host, ada, engine)
}

#[tokio::test]
async fn as_many_commits_are_on_their_way_as_may_and_then_no_event_is_taken() {
    for (whose, builder) in each_way!(commits_pending_max = 2) {
        let (host, mut ada, engine) = held_lobby(builder).await;
        for len in ["1", "2", "3"] {
            ada.send(format!("put-and-say {len}")).await;
        }
        host.until(|_| engine.arrived_count() == 2).await;
        ada.hears_nothing().await;
        everybody_had_a_turn(&host).await;
        assert_eq!(engine.arrived_count(), 2, "{whose}");

        engine.let_through(1);
        assert_eq!(ada.next_text().await, "x");
        host.until(|_| engine.arrived_count() == 3).await;
    }
}

/// A frame counts as its payload and 128 bytes, the value as its 6 bytes and the 3 of its key.
#[tokio::test]
async fn a_room_goes_on_below_its_limit_of_held_output_and_waits_at_it() {
    for (len, taken_count) in [(9, 2), (10, 1), (11, 1)] {
        for (whose, builder) in each_way!(held_bytes_max = 147) {
            let (host, mut ada, engine) = held_lobby(builder).await;
            ada.send(format!("put-and-say {len}")).await;
            ada.send("put-and-say 1").await;
            host.until(|_| engine.arrived_count() == taken_count).await;
            ada.hears_nothing().await;
            everybody_had_a_turn(&host).await;
            assert_eq!(engine.arrived_count(), taken_count, "{whose} {len}");

            engine.let_through(2);
            assert_eq!(ada.next_text().await.len(), len, "{whose}");
            assert_eq!(ada.next_text().await, "x", "{whose}");
        }
    }
}

/// What the system's buffers hold is no part of it, and nobody can say how much that is: so
/// far more is sent than they hold, and the limit is below or above all of it.
#[tokio::test]
async fn as_much_waits_for_a_slow_client_as_may_and_more_closes_it() {
    for (whose, builder) in each_way!(outbox_bytes_max = 25 << 20) {
        let (_host, mut ada) = lobby(builder).await;
        ada.send("fill 24").await;
        ada.send("alive").await;
        for _ in 0..24 {
            assert_eq!(ada.next().await.len(), 1 << 20, "{whose}");
        }
        assert_eq!(ada.next_text().await, "alive", "{whose}");
    }
    for (whose, builder) in each_way!(outbox_bytes_max = 1 << 20) {
        let (_host, mut ada) = lobby(builder).await;
        ada.send("fill 24").await;
        let reason = "Read too slowly: over 1048576 bytes waited";
        assert_eq!(ada.closed().await, (1013, reason.to_owned()), "{whose}");
    }
}

#[tokio::test]
async fn a_hook_is_logged_when_it_runs_as_long_as_the_limit_and_not_before() {
    log::keep();
    for (whose, builder) in each_way!(hook_warn_after = Duration::from_secs(3)) {
        let go = Go(Arc::new(Semaphore::new(0)));
        let (host, _) = lobby(builder.env(go.clone())).await;
        let room = format!("the-one-to-be-logged-of-the-{whose}");
        let lines = || log::lines_with(&room);
        let mut ada = host.join(&room).await;
        for hook in ["in time", "late"] {
            ada.send("wait").await;
            assert_eq!(ada.next_text().await, "waiting");
            host.advance(Duration::from_millis(2_999));
            if hook == "late" {
                everybody_had_a_turn(&host).await;
                assert_eq!(lines(), [] as [String; 0], "{hook}");
                host.advance(Duration::from_millis(1));
                host.until(|_| !lines().is_empty()).await;
            }
            go.0.add_permits(1);
            ada.send("done").await;
            assert_eq!(ada.next_text().await, "done");
            assert_eq!(lines().len(), usize::from(hook == "late"), "{:?}", lines());
        }
        let line = lines().remove(0);
        assert!(line.contains("WARN") && line.contains("hook=on_message after=3s"), "{line}");
    }
}

#[tokio::test]
async fn panics_count_within_the_window_and_not_when_it_is_over() {
    const WINDOW: Duration = Duration::from_secs(10);
    for (whose, builder) in each_way!(restart_window = WINDOW, restarts_max = 1) {
        let (host, mut ada) = lobby(builder).await;
        for round in 0..3 {
            ada.send("panic").await;
            ada.send("alive").await;
            assert_eq!(ada.next_text().await, "alive", "{whose}: panic {round}");
            host.advance(WINDOW + Duration::from_millis(1));
        }
        ada.send("panic").await;
        ada.send("alive").await;
        assert_eq!(ada.next_text().await, "alive", "{whose}");
        host.advance(WINDOW);
        ada.send("panic").await;
        assert_eq!(ada.closed().await, (1011, "Room failed".to_owned()), "{whose}");
    }
}

/// These are the host's alone.
#[tokio::test]
async fn keys_values_and_names_of_alarms_are_as_long_as_they_may_be() {
    let builder = Host::builder().party::<Worker<AsTheHost>>("main").config(|config| {
        config.storage.key_bytes_max = 4;
        config.storage.value_bytes_max = 8;
        config.storage.alarm_name_bytes_max = 3;
    });
    let (_host, mut ada) = lobby(builder).await;
    for (order, answer) in [
        ("key 4", "done"),
        ("key 5", "key of 5 bytes is over the limit of 4"),
        ("value 8", "done"),
        ("value 9", "value of 9 bytes at key \"k\" is over the limit of 8"),
        ("alarm 3", "done"),
        ("alarm 4", "name of an alarm has 4 bytes, but must have 1 to 3"),
        ("alarm 0", "name of an alarm has 0 bytes, but must have 1 to 3"),
    ] {
        ada.send(order).await;
        assert_eq!(ada.next_text().await, answer, "{order}");
    }
}

#[tokio::test]
async fn the_usual_limits_of_keys_and_values_are_2_kib_and_2_mib() {
    let (_host, mut ada) = lobby(Host::builder().party::<Worker<AsTheHost>>("main")).await;
    for (order, answer) in [
        ("key 2048", "done"),
        ("key 2049", "key of 2049 bytes is over the limit of 2048"),
        ("value 2097152", "done"),
        ("value 2097153", "value of 2097153 bytes at key \"k\" is over the limit of 2097152"),
        ("alarm 256", "done"),
        ("alarm 257", "name of an alarm has 257 bytes, but must have 1 to 256"),
    ] {
        ada.send(order).await;
        assert_eq!(ada.next_text().await, answer, "{order}");
    }
}
