//! Pings of the host's own, and who is given up (wire row 38).

use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use crate::parties::{Reports, Seen, member, reports, witnesses};
use crate::upgrade::raw::{BINARY, FINAL, PING, PONG, Raw, TEXT, frame};

const PING_EVERY: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
const MOMENT: Duration = Duration::from_millis(1);

/// What a client hears when it is pinged.
const PINGED: (u8, Vec<u8>) = (PING, Vec::new());

const PAGE_BYTES: usize = 1 << 20;
const PAGES: u8 = 8;

/// Waits in `on_connect` and in `on_message` until it is let through, each time.
struct Busy;

impl PartyServer for Busy {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Busy)
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        room.env::<Arc<Semaphore>>()?.acquire().await?.forget();
        connection.send("welcome")?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        room.env::<Arc<Semaphore>>()?.acquire().await?.forget();
        room.env::<Reports>()?.add(format!("{} said {text}", sender.id()));
        Ok(())
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        room.env::<Reports>()?.add(format!("{} closed: {}", connection.id(), close.code));
        Ok(())
    }
}

/// Sends many large messages to who asks for them.
struct Library;

impl PartyServer for Library {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Library)
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, _: String) -> Result<()> {
        for page in 0..PAGES {
            sender.send(vec![page; PAGE_BYTES])?;
        }
        room.env::<Reports>()?.add("sent");
        Ok(())
    }

    async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
        room.env::<Reports>()?.add(format!("{} closed: {}", connection.id(), close.code));
        Ok(())
    }
}

/// A host of busy rooms with the smallest mailbox, and the permits that they wait for.
pub(crate) async fn busy() -> (TestHost, Arc<Semaphore>, Seen) {
    let (reports, seen) = reports();
    let let_through = Arc::new(Semaphore::new(0));
    let host = Host::builder().party::<Busy>("main").env(reports).env(Arc::clone(&let_through));
    let host = host.config(|config| {
        config.shards = 1;
        config.mailbox_events_max = 1;
        config.hook_timeout = Duration::from_secs(3600);
    });
    (TestHost::of(host).await, let_through, seen)
}

/// A client that takes next to nothing unless it reads, and to which `PAGES` messages were sent.
async fn reader(host: &TestHost, seen: &mut Seen, id: &str) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option of TCP");
    let mut raw = Raw::over(socket.connect(host.addr()).await.expect("the host listens"));
    raw.upgrade(&format!("/party/lobby?_pk={id}")).await;
    raw.send(frame(TEXT, "read")).await;
    assert_eq!(seen.next().await, "sent");
    raw
}

async fn library() -> (TestHost, Seen) {
    let (reports, seen) = reports();
    let host = Host::builder().party::<Library>("main").env(reports);
    let host = host.config(|config| {
        config.shards = 1;
        config.outbox_bytes_max = usize::from(PAGES) * 2 * PAGE_BYTES;
    });
    (TestHost::of(host).await, seen)
}

async fn said(bob: &mut TestClient, text: &str, answer: &str) {
    bob.send(text).await;
    assert_eq!(bob.next_text().await, answer);
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_lost_when_it_does_not_answer() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;

    host.advance(PING_EVERY - MOMENT);
    let mut bob = member(&host, "lobby", "bob").await;
    said(&mut bob, "not yet", "not yet").await;
    assert_eq!(ada.next_text().await, "not yet");
    host.advance(MOMENT);
    assert_eq!(ada.next().await, PINGED);

    host.advance(PING_TIMEOUT - MOMENT);
    said(&mut bob, "still there", "still there").await;
    assert_eq!(ada.next_text().await, "still there");
    host.advance(MOMENT);
    assert_eq!(seen.next().await, "ada closed: 1006 \"\" unclean, last");
    ada.ends().await;
    said(&mut bob, "who", "bob").await;
    host.until(|host| host.connections_count() == 1).await;
    assert_eq!(seen.all(), [] as [String; 0], "and not on_error");
}

#[tokio::test]
async fn a_client_that_answers_is_pinged_again_and_again_and_stays() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    for _ in 0..5 {
        host.advance(PING_EVERY);
        assert_eq!(ada.next().await, PINGED);
        // The answer to its own ping shows that the pong before it was read.
        ada.send([frame(PONG, ""), frame(PING, "heard?")].concat()).await;
        assert_eq!(ada.next().await, (PONG, b"heard?".to_vec()));
    }
    assert_eq!(seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn a_client_that_talks_is_never_pinged() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    for _ in 0..10 {
        host.advance(PING_EVERY - MOMENT);
        ada.send(frame(TEXT, "hi")).await;
        assert_eq!(ada.next_text().await, "hi");
    }
}

/// One byte of a frame will do. Who is lost at the same time shows that the host has looked.
#[tokio::test]
async fn whatever_a_client_sends_is_a_sign_of_life() {
    for (name, bytes) in [
        ("text", frame(TEXT, "to nobody hi")),
        ("pong", frame(PONG, "unasked")),
        ("ping", frame(PING, "")),
        ("fragment", frame(TEXT & !FINAL, "h")),
        ("byte", vec![TEXT]),
    ] {
        let (host, mut seen) = witnesses(|config| config.shards = 1).await;
        let mut ada = Raw::member(&host, "lobby", "ada").await;
        let mut dead = Raw::member(&host, "elsewhere", "dead").await;
        host.advance(PING_EVERY);
        assert_eq!(ada.next().await, PINGED, "{name}");
        assert_eq!(dead.next().await, PINGED, "{name}");

        ada.send(bytes).await;
        // Time for it to arrive.
        host.get("/party/elsewhere").await;
        host.advance(PING_TIMEOUT);

        assert_eq!(seen.next().await, "dead closed: 1006 \"\" unclean, last", "{name}");
        let mut bob = member(&host, "lobby", "bob").await;
        said(&mut bob, "who", "ada,bob").await;
    }
}

#[tokio::test]
async fn a_ping_never_comes_before_what_on_connect_sends() {
    let (host, let_through, _seen) = busy().await;
    let mut ada = Raw::connect(&host, "/party/lobby?_pk=ada").await;
    for _ in 0..5 {
        host.advance(PING_EVERY);
    }
    let_through.add_permits(1);
    assert_eq!(ada.next_text().await, "welcome");
    host.advance(PING_EVERY);
    assert_eq!(ada.next().await, PINGED);
}

/// What ada sends is not read after her third message: the hook has the first, the mailbox
/// the second, the reader waits with the third, and no buffer of its holds the fourth. Who is lost at the same time shows
/// that the host has looked.
#[tokio::test]
async fn a_client_is_not_lost_because_its_room_is_busy() {
    let (host, let_through, mut seen) = busy().await;
    let_through.add_permits(3);
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    let mut dead = Raw::member(&host, "elsewhere", "dead").await;
    let last = "4".repeat(100_000);
    ada.send(["0", "1", "2", "3", &last].map(|text| frame(TEXT, text)).concat()).await;
    assert_eq!(seen.next().await, "ada said 0");
    host.advance(PING_EVERY);
    assert_eq!(ada.next().await, PINGED);
    assert_eq!(dead.next().await, PINGED);

    ada.send(frame(PONG, "")).await;
    host.advance(PING_TIMEOUT);
    dead.ends().await;
    host.advance(PING_EVERY);
    assert_eq!(ada.next().await, PINGED);

    let_through.add_permits(5);
    let mut reports = [seen.next().await, seen.next().await, seen.next().await];
    reports.sort();
    assert_eq!(reports, ["ada said 1", "ada said 2", "dead closed: 1006"]);
    assert_eq!(seen.next().await, "ada said 3");
    assert_eq!(seen.next().await, format!("ada said {last}"));
}

/// Its messages are still handled, in order and before its `on_close`.
#[tokio::test]
async fn a_client_that_falls_silent_is_lost_though_its_room_is_busy() {
    let (host, let_through, mut seen) = busy().await;
    let_through.add_permits(2);
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    // In one piece, so that they are read together.
    ada.send(["0", "1", "2", "3"].map(|text| frame(TEXT, text)).concat()).await;
    assert_eq!(seen.next().await, "ada said 0");

    host.advance(PING_EVERY);
    assert_eq!(ada.next().await, PINGED);
    host.advance(PING_TIMEOUT);
    ada.ends().await;

    let_through.add_permits(3);
    for report in ["ada said 1", "ada said 2", "ada said 3", "ada closed: 1006"] {
        assert_eq!(seen.next().await, report);
    }
    host.until(|host| host.connections_count() == 0).await;
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_no_ping_among_what_waits_and_is_not_lost() {
    let (host, mut seen) = library().await;
    let mut slow = reader(&host, &mut seen, "slow").await;
    let _dead = reader(&host, &mut seen, "dead").await;
    // Looked at last, so what it hears shows that the others have been looked at.
    let mut last = Raw::connect(&host, "/party/elsewhere?_pk=last").await;
    last.send(frame(PING, "reads?")).await;
    assert_eq!(last.next().await, (PONG, b"reads?".to_vec()));

    host.advance(PING_EVERY);
    assert_eq!(last.next().await, PINGED);
    // More than any socket buffer holds: the host has written from its outbox.
    for page in 0..PAGES - 1 {
        assert!(slow.next().await == (BINARY, vec![page; PAGE_BYTES]), "page {page}");
    }
    host.advance(PING_TIMEOUT);
    let mut reports = [seen.next().await, seen.next().await];
    reports.sort();
    assert_eq!(reports, ["dead closed: 1006", "last closed: 1006"]);
    assert!(slow.next().await == (BINARY, vec![PAGES - 1; PAGE_BYTES]));

    // With nothing waiting it is asked as everybody is.
    host.advance(PING_EVERY);
    assert_eq!(slow.next().await, PINGED);
    host.advance(PING_TIMEOUT);
    assert_eq!(seen.next().await, "slow closed: 1006");
}

/// The case that PartyKit gets wrong: a phone changes its network and `partysocket` comes
/// back with its id, long before anybody knows that the old socket is dead.
#[tokio::test]
async fn when_the_older_of_two_sockets_of_one_id_dies_50_s_late_the_newer_still_gets_broadcasts() {
    let (host, mut seen) = witnesses(|_| {}).await;
    let mut older = Raw::member(&host, "lobby", "ada").await;
    let mut newer = Raw::member(&host, "lobby", "ada").await;

    host.advance(PING_EVERY);
    assert_eq!(newer.next().await, PINGED);
    newer.send([frame(PONG, ""), frame(TEXT, "who")].concat()).await;
    assert_eq!(newer.next_text().await, "ada,ada");
    host.advance(PING_TIMEOUT);
    assert_eq!(seen.next().await, "ada closed: 1006 \"\" unclean, not last");
    assert_eq!(older.next().await, PINGED);
    older.ends().await;

    let mut bob = member(&host, "lobby", "bob").await;
    said(&mut bob, "to everybody", "to everybody").await;
    assert_eq!(newer.next_text().await, "to everybody");
    said(&mut bob, "who", "ada,bob").await;
    bob.send("to ada to her alone").await;
    assert_eq!(newer.next_text().await, "to her alone");
}
