//! How long a connection may take to ask (wire row 48).

use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::TestHost;
use tokio::sync::Semaphore;

use crate::http::raw::Raw;

const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(75);
const MOMENT: Duration = Duration::from_millis(1);
const GET: &str = "GET /party/a HTTP/1.1\r\nhost: x\r\n\r\n";

/// Answers when it is let, and at once at `/party/:room/now`.
struct Patient;

impl PartyServer for Patient {
    type Message = Frame;

    const OPTIONS: PartyOptions = PartyOptions::DEFAULT.hook_timeout(Duration::MAX).idle_after(Duration::MAX);

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Patient)
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if !request.uri().path().ends_with("/now") {
            room.env::<Arc<Semaphore>>()?.acquire().await?.forget();
        }
        let length = request.query("length").map_or(Ok(5), |length| length.parse())?;
        Ok(Response::bytes(vec![b'x'; length]))
    }
}

async fn patient() -> (TestHost, Arc<Semaphore>) {
    let let_through = Arc::new(Semaphore::new(0));
    let host = Host::builder().party::<Patient>("main").env(Arc::clone(&let_through));
    (TestHost::of(host).await, let_through)
}

/// Comes back when the host has read what others had sent before: it answers on this one thread.
async fn all_is_read(host: &TestHost) {
    assert_eq!(host.get("/party/other/now").await.status(), 200);
}

/// Shows that the connection is still there, at this moment of its clock.
async fn lives(host: &TestHost, raw: &Raw) {
    all_is_read(host).await;
    assert!(raw.is_quiet(), "an end or an answer has come");
}

#[tokio::test]
async fn a_head_that_does_not_come_whole_is_closed_at_header_timeout() {
    let (host, _) = patient().await;
    let mut silent = Raw::connect(&host).await;
    let mut slow = Raw::connect(&host).await;
    all_is_read(&host).await;
    host.advance(HEADER_TIMEOUT - MOMENT);
    slow.send("G").await;
    lives(&host, &silent).await;
    host.advance(MOMENT);
    assert_eq!(silent.rest().await, b"");

    // From its first byte on, however many follow.
    for byte in GET[1..10].chars() {
        host.advance(Duration::from_secs(1));
        slow.send(byte.to_string()).await;
        lives(&host, &slow).await;
    }
    host.advance(HEADER_TIMEOUT - Duration::from_secs(9) - MOMENT * 2);
    lives(&host, &slow).await;
    host.advance(MOMENT);
    assert_eq!(slow.rest().await, b"");
}

#[tokio::test]
async fn a_connection_may_be_idle_between_requests_until_keep_alive_timeout() {
    let (host, let_through) = patient().await;
    let_through.add_permits(3);
    let mut raw = Raw::connect(&host).await;
    for _ in 0..2 {
        raw.send(GET).await;
        assert_eq!(raw.answer().await.status, 200);
        all_is_read(&host).await;
        host.advance(KEEP_ALIVE_TIMEOUT - MOMENT);
        lives(&host, &raw).await;
    }
    raw.send(GET).await;
    assert_eq!(raw.answer().await.status, 200);
    all_is_read(&host).await;
    host.advance(KEEP_ALIVE_TIMEOUT - MOMENT);
    // The head of the next one has its own time.
    raw.send("GET /party/a").await;
    lives(&host, &raw).await;
    host.advance(HEADER_TIMEOUT - MOMENT);
    lives(&host, &raw).await;
    host.advance(MOMENT);
    assert_eq!(raw.rest().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_keep_alive_timeout() {
    let (host, let_through) = patient().await;
    let_through.add_permits(1);
    let mut raw = Raw::connect(&host).await;
    raw.send(GET).await;
    assert_eq!(raw.answer().await.status, 200);
    all_is_read(&host).await;
    host.advance(KEEP_ALIVE_TIMEOUT);
    assert_eq!(raw.rest().await, b"");
}

/// More than the system keeps for a client that does not read.
const LENGTH: usize = 32 << 20;

/// A client that has asked for so much, and reads what it wants.
async fn reader(host: &TestHost) -> Raw {
    let mut raw = Raw::connect(host).await;
    raw.send(format!("GET /party/a/now?length={LENGTH} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let head = raw.head().await;
    assert_eq!(head.header("content-length"), Some(LENGTH.to_string().as_str()));
    all_is_read(host).await;
    raw
}

#[tokio::test]
async fn time_does_not_run_while_a_request_is_answered() {
    let (host, let_through) = patient().await;
    let mut raw = Raw::connect(&host).await;
    raw.send(GET).await;
    all_is_read(&host).await;
    host.advance(KEEP_ALIVE_TIMEOUT * 10);
    lives(&host, &raw).await;
    let_through.add_permits(1);
    assert_eq!(raw.answer().await.status, 200);
}

#[tokio::test]
async fn a_client_may_take_an_answer_slowly_and_is_idle_only_when_it_has_all() {
    const PART: usize = LENGTH / 2;
    let (host, _) = patient().await;
    let mut raw = reader(&host).await;
    for _ in 0..2 {
        host.advance(KEEP_ALIVE_TIMEOUT - MOMENT);
        assert_eq!(raw.take(PART).await.len(), PART);
        all_is_read(&host).await;
    }
    host.advance(KEEP_ALIVE_TIMEOUT - MOMENT);
    lives(&host, &raw).await;
    host.advance(MOMENT);
    assert_eq!(raw.rest().await, b"");
}

#[tokio::test]
async fn a_client_that_takes_nothing_of_its_answer_is_cut_at_keep_alive_timeout() {
    let (host, _) = patient().await;
    let mut raw = reader(&host).await;
    host.advance(KEEP_ALIVE_TIMEOUT);
    // What the system had already is still there, and no more.
    let rest = raw.rest().await.len();
    assert!(rest < LENGTH, "all of it came");
}
