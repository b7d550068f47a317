//! What a party says of its rooms: its own limits, and what a second connection of one id
//! does (wire row 30).

use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::testing::TestHost;
use partyrs_runtime::{Config, Host};
use tokio::sync::Semaphore;

use crate::host::fields_of;
use crate::parties::{Everybody, Reports, Seen, reports};
use crate::upgrade::raw::{PING, Raw};

/// A party with these options and nothing else, at the host's mercy.
macro_rules! party_with {
    ($name:ident, $options:expr) => {
        struct $name;

        impl PartyServer for $name {
            type Message = Frame;

            const OPTIONS: PartyOptions = $options;

            async fn on_start(_: &Room) -> Result<Self> {
                Ok($name)
            }

            async fn on_message(&mut self, room: &Room, sender: &Connection, frame: Frame) -> Result<()> {
                match frame.as_text() {
                    Some("panic") => panic!("as told"),
                    Some("wait") => room.env::<Arc<Semaphore>>()?.acquire().await?.forget(),
                    Some("state") => match sender.set_state(&"12345678") {
                        Ok(()) => sender.send("kept")?,
                        Err(error) => sender.send(error.to_string())?,
                    },
                    _ => sender.send(frame)?,
                }
                Ok(())
            }

            async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
                Ok(Response::text(request.bytes().len().to_string()))
            }

            async fn on_before_connect(head: &mut Head, _: &Lobby) -> Result<Admission> {
                if head.query("wait").is_some() {
                    std::future::pending::<()>().await;
                }
                Ok(Admission::Admit)
            }
        }
    };
}

party_with!(Plain, PartyOptions::DEFAULT);

party_with!(
    Own,
    PartyOptions::DEFAULT
        .message_bytes_max(10)
        .body_bytes_max(20)
        .connection_state_bytes_max(8)
        .ping_every(Duration::from_secs(3))
        .ping_timeout(Duration::from_secs(2))
        .idle_after(Duration::from_secs(300))
        .restarts_max(0)
);

// Without pings, so that the clock may run.
party_with!(
    Hasty,
    PartyOptions::DEFAULT.hook_timeout(Duration::from_secs(4)).restarts_max(0).ping_every(Duration::MAX)
);

/// One connection for each id, the newest. Tells what it knows of each id.
struct Single;

impl PartyServer for Single {
    type Message = String;

    const OPTIONS: PartyOptions = PartyOptions::DEFAULT.duplicate_ids(DuplicateIds::Replace);

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Single)
    }

    async fn on_connect(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        connection.send(format!("welcome, {} are here", room.connections_count()))?;
        match context.head().query("do").as_deref() {
            Some("write") => room.storage().put("somebody", "came")?,
            Some("close") => connection.close(4000, "not today")?,
            Some("fail") => return Err(Error::close(4001, "not at all")),
            _ => {}
        }
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
        let ids: Vec<&str> = room.connections().map(|connection| connection.id().as_str()).collect();
        room.broadcast(format!("{text} {}", ids.join(",")))?;
        Ok(())
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        let (id, code, last) = (connection.id(), close.code, close.last_of_id);
        let (reason, clean) = (&close.reason, close.was_clean);
        room.env::<Reports>()?.add(format!("{id}: {code} {reason:?}, clean {clean}, last {last}"));
        Ok(())
    }
}

async fn single() -> (TestHost, Seen) {
    let (reports, seen) = reports();
    (TestHost::of(Host::builder().party::<Single>("main").env(reports)).await, seen)
}

/// A host whose own limits are not those of the party `own`.
async fn both() -> TestHost {
    let host = Host::builder().party::<Plain>("plain").party::<Own>("own");
    TestHost::of(host.env(Arc::new(Semaphore::new(0)))).await
}

const REPLACED: &str = "ada: 4409 \"Replaced by a newer connection\", clean true, last false";

#[tokio::test]
async fn a_newer_connection_of_the_id_replaces_the_older_when_the_party_wants_that() {
    let (host, mut seen) = single().await;
    let mut bob = host.connect("/party/lobby?_pk=bob").await;
    let mut older = host.connect("/party/lobby?_pk=ada").await;
    assert_eq!(older.next_text().await, "welcome, 2 are here");
    assert_eq!(bob.next_text().await, "welcome, 1 are here");

    let mut newer = host.connect("/party/lobby?_pk=ada").await;

    assert_eq!(newer.next_text().await, "welcome, 3 are here");
    assert_eq!(older.try_next().await, Err((4409, "Replaced by a newer connection".to_owned())));
    assert_eq!(seen.next().await, REPLACED);
    newer.send("left:").await;
    assert_eq!(newer.next_text().await, "left: bob,ada");
    assert_eq!(bob.next_text().await, "left: bob,ada");
    newer.close(Some((1000, "bye"))).await;
    assert_eq!(seen.next().await, "ada: 1000 \"bye\", clean true, last true");
}

#[tokio::test]
async fn a_connection_that_is_refused_or_closed_in_on_connect_replaces_nobody() {
    let (host, mut seen) = single().await;
    let mut ada = host.connect("/party/lobby?_pk=ada").await;
    assert_eq!(ada.next_text().await, "welcome, 1 are here");
    for (what, code) in [("close", 4000), ("fail", 4001)] {
        let mut other = host.connect(&format!("/party/lobby?_pk=ada&do={what}")).await;
        assert_eq!(other.closed().await.0, code);
    }
    assert_eq!(seen.next().await, "ada: 4000 \"not today\", clean true, last false");
    ada.send("left:").await;
    assert_eq!(ada.next_text().await, "left: ada");
    assert_eq!(seen.all(), [] as [String; 0]);
}

/// Each of many is closed once; the place of none is lost.
#[tokio::test]
async fn of_many_connections_of_one_id_the_last_remains() {
    let (host, mut seen) = single().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = host.connect("/party/lobby?_pk=ada&do=write").await;
        assert!(client.next_text().await.starts_with("welcome"));
        clients.push(client);
    }
    let mut last = clients.pop().unwrap();
    for client in &mut clients {
        assert_eq!(client.closed().await.0, 4409);
        assert_eq!(seen.next().await, REPLACED);
    }
    last.send("left:").await;
    assert_eq!(last.next_text().await, "left: ada");
    drop(clients);
    host.until(|host| host.connections_count() == 1).await;
    assert_eq!(seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn a_room_in_a_test_without_sockets_replaces_too() {
    let mut room = partyrs::testing::TestRoom::<Single>::new("lobby").env(reports().0);
    let older = room.join_as("ada").await.unwrap();
    let newer = room.join_as("ada").await.unwrap();
    assert_eq!(older.closed(), Some((4409, "Replaced by a newer connection".to_owned())));
    assert!(newer.closed().is_none());
    assert_eq!(room.room().unwrap().connections_count(), 1);
}

#[tokio::test]
async fn a_message_is_as_long_as_its_party_allows() {
    let host = both().await;
    let mut own = host.connect("/parties/own/lobby").await;
    own.send("1234567890").await;
    assert_eq!(own.next_text().await, "1234567890");
    own.send("1234567890+").await;
    assert_eq!(own.closed().await, (1009, "Message is too large: 11 > 10".to_owned()));

    let mut plain = host.connect("/parties/plain/lobby").await;
    plain.send("1234567890+").await;
    assert_eq!(plain.next_text().await, "1234567890+");
}

#[tokio::test]
async fn a_body_is_as_long_as_its_party_allows() {
    let host = both().await;
    for (party, len, status) in [("own", 20, 200), ("own", 21, 413), ("plain", 21, 200)] {
        let request = http::Request::post(format!("/parties/{party}/lobby")).body("x".repeat(len));
        assert_eq!(host.request(request.unwrap()).await.status().as_u16(), status, "{party} {len}");
    }
}

#[tokio::test]
async fn the_state_of_a_connection_is_as_long_as_its_party_allows() {
    let host = both().await;
    for (party, answer) in [("own", "connection state of 9 bytes is over the limit of 8"), ("plain", "kept")]
    {
        let mut client = host.connect(&format!("/parties/{party}/lobby")).await;
        client.send("state").await;
        assert_eq!(client.next_text().await, answer);
    }
}

#[tokio::test]
async fn clients_are_pinged_as_often_as_their_party_says() {
    let host = both().await;
    let mut own = Raw::connect(&host, "/parties/own/lobby").await;
    let mut plain = Raw::connect(&host, "/parties/plain/lobby").await;
    for raw in [&mut own, &mut plain] {
        raw.send(crate::upgrade::raw::frame(PING, "")).await;
        raw.next().await;
    }
    host.advance(Duration::from_secs(3));
    assert_eq!(own.next().await, (PING, Vec::new()));
    host.advance(Duration::from_secs(2));
    own.ends().await;
    host.until(|host| host.connections_count() == 1).await;
    host.advance(Duration::from_secs(25));
    assert_eq!(plain.next().await, (PING, Vec::new()));
}

/// Requests to a third room, on the same shard, show that the others had their turn.
#[tokio::test]
async fn rooms_stay_in_memory_as_long_as_their_party_says() {
    let host = Host::builder().party::<Plain>("plain").party::<Own>("own");
    let host = TestHost::of(host.config(|config| config.shards = 1)).await;
    for (party, longest) in [("own", 300), ("plain", 30)] {
        host.get(&format!("/parties/{party}/lobby")).await;
        host.get("/parties/plain/busy").await;
        host.advance(Duration::from_secs(longest) - Duration::from_millis(1));
        host.get("/parties/plain/busy").await;
        host.get("/parties/plain/busy").await;
        assert_eq!(host.rooms_count(), 2, "{party}");
        host.advance(Duration::from_millis(1));
        host.until(|host| host.rooms_count() == 1).await;
    }
}

/// The host's own limit is so long that no clock reaches it.
#[tokio::test]
async fn hooks_end_when_their_party_says_and_static_ones_too() {
    let host = Host::builder().party::<Hasty>("main").env(Arc::new(Semaphore::new(0)));
    let host = TestHost::of(host.config(|config| config.hook_timeout = Duration::MAX)).await;
    let mut client = host.join("lobby").await;
    client.send("wait").await;
    // It counts as a panic, and this party survives none.
    let closed = while_time_goes_by(&host, client.closed()).await;
    assert_eq!(closed, (1011, "Room failed".to_owned()));

    let refused = while_time_goes_by(&host, host.try_connect("/party/lobby?wait=1")).await;
    assert_eq!(refused.unwrap_err().status(), 500);
}

async fn while_time_goes_by<T>(host: &TestHost, what: impl Future<Output = T>) -> T {
    let goes_by = async {
        loop {
            host.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        happened = what => happened,
        () = goes_by => unreachable!(),
    }
}

#[tokio::test]
async fn a_room_survives_as_many_panics_as_its_party_says() {
    let host = both().await;
    let mut own = host.connect("/parties/own/lobby").await;
    own.send("panic").await;
    assert_eq!(own.closed().await, (1011, "Room failed".to_owned()));
    let mut plain = host.connect("/parties/plain/lobby").await;
    for _ in 0..3 {
        plain.send("panic").await;
        plain.send("alive").await;
        assert_eq!(plain.next_text().await, "alive");
    }
}

/// Each setting of the options, with values just outside of its range; and those of which every value makes sense.
#[test]
fn an_option_out_of_its_range_is_refused_by_party_and_name_with_the_range() {
    let mut cases = vec!["duplicate_ids"];
    macro_rules! refused {
        ($($setting:ident = $value:expr, $text:expr;)*) => {$({
            party_with!(Wrong, PartyOptions::DEFAULT.$setting($value));
            let host = Host::builder().party::<Everybody>("main").party::<Wrong>("chat");
            assert_eq!(
                host.build().expect_err("a refusal").to_string(),
                format!("setting `{}` of the party `chat` is {}", stringify!($setting), $text)
            );
            cases.push(stringify!($setting));
        })*};
    }
    macro_rules! taken {
        ($($setting:ident = $value:expr;)*) => {$({
            party_with!(Odd, PartyOptions::DEFAULT.$setting($value));
            assert!(Host::builder().party::<Odd>("chat").build().is_ok(), stringify!($setting));
            cases.push(stringify!($setting));
        })*};
    }
    refused! {
        message_bytes_max = 0, "0, but must be 1 to 4294967295 bytes";
        message_bytes_max = 1 << 32, "4294967296, but must be 1 to 4294967295 bytes";
        body_bytes_max = 1 << 32, "4294967296, but must be 0 to 4294967295 bytes";
        body_timeout = Duration::ZERO, "0, but must be longer than 0";
        mailbox_events_max = 0, "0, but must be 1 to 16777216";
        mailbox_events_max = (1 << 24) + 1, "16777217, but must be 1 to 16777216";
        mailbox_bytes_max = 0, "0, but must be 1 to 4294967295 bytes";
        mailbox_bytes_max = 1 << 32, "4294967296, but must be 1 to 4294967295 bytes";
        commits_pending_max = 0, "0, but must be 1 to 65536";
        commits_pending_max = 65_537, "65537, but must be 1 to 65536";
        held_bytes_max = 0, "0, but must be at least 1 byte";
        outbox_bytes_max = 0, "0, but must be at least 1 byte";
        ping_every = Duration::ZERO, "0, but must be longer than 0";
        ping_timeout = Duration::ZERO, "0, but must be longer than 0";
        idle_after = Duration::ZERO, "0, but must be longer than 0";
        hibernate_after = Duration::ZERO, "0, but must be longer than 0";
        hook_warn_after = Duration::ZERO, "0, but must be longer than 0";
        hook_timeout = Duration::ZERO, "0, but must be longer than 0";
        restart_window = Duration::ZERO, "0, but must be longer than 0";
    }
    taken! {
        message_bytes_max = 1;
        message_bytes_max = (1 << 32) - 1;
        body_bytes_max = 0;
        body_bytes_max = (1 << 32) - 1;
        mailbox_events_max = 1 << 24;
        commits_pending_max = 65_536;
        connection_state_bytes_max = 0;
        connection_state_bytes_max = usize::MAX;
        restarts_max = 0;
        restarts_max = usize::MAX;
        hibernate = true;
        stream_bodies = true;
    }
    cases.sort_unstable();
    cases.dedup();
    assert_eq!(fields_of(&PartyOptions::DEFAULT), cases, "every option has a case");
}

#[test]
fn a_wrong_setting_of_the_host_is_told_without_a_party() {
    let wrong = |config: &mut Config| config.ping_every = Duration::ZERO;
    let host = Host::builder().party::<Own>("own").config(wrong);
    let text = host.build().expect_err("a refusal").to_string();
    assert_eq!(text, "setting `ping_every` is 0, but must be longer than 0");
}
