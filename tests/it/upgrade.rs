//! From an upgrade request to a connection (wire rows 18 to 25).

pub(crate) mod raw;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use partyrs::http::StatusCode;
use partyrs::http::header::{HeaderName, HeaderValue};
use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestHost, soon};
use tokio::net::TcpStream;
use tokio::sync::{Notify, Semaphore};

use crate::held::HeldEngine;
use crate::parties::{Reports, Seen, Witness, member, reports, witnesses};
use raw::{Raw, TEXT, end_by_reset, frame, upgrade_request};

/// Waits in `on_start` and in `on_connect` until it is let through.
struct Slow;

struct Doors {
    start: Semaphore,
    connect: Semaphore,
}

/// Decides in `on_before_connect` as the query says.
struct Doorman;

/// Tags by country, which it believes its proxy alone: the party of the porting guide.
struct World;

struct Proxy(IpAddr);

#[derive(Clone)]
struct Country(String);

/// Fails in `connection_tags` or `on_connect` as the query says.
struct Fussy {
    reports: Reports,
}

/// Waits in `on_before_connect` until it is let through.
struct Gated;

#[derive(Clone, Default)]
struct Gate(Arc<GateState>);

struct GateState {
    asked: Notify,
    door: Semaphore,
}

impl Default for GateState {
    fn default() -> Self {
        Self { asked: Notify::new(), door: Semaphore::new(0) }
    }
}

/// Starts unless it is told not to.
struct Frail;

#[derive(Default)]
struct Frailty {
    starts_count: AtomicUsize,
    fails: AtomicBool,
    panics: AtomicBool,
}

/// What `Doorman` leaves for the room.
#[derive(Clone)]
struct User(String);

impl PartyServer for Slow {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        room.env::<Arc<Doors>>()?.start.acquire().await?.forget();
        Ok(Slow)
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        room.env::<Arc<Doors>>()?.connect.acquire().await?.forget();
        connection.send("welcome")?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
        room.broadcast(text)?;
        Ok(())
    }
}

impl PartyServer for Doorman {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Doorman)
    }

    async fn on_before_connect(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        let room = lobby.room().as_str().to_owned();
        match head.query("door").as_deref() {
            Some("respond") => {
                let status: u16 = head.query("status").unwrap_or_default().parse()?;
                let name = HeaderName::from_static("x-door");
                let response =
                    Response::text(format!("not {room}")).with_status(StatusCode::from_u16(status)?);
                Ok(Admission::Respond(response.with_header(name, HeaderValue::from_static("shut"))))
            }
            Some("close") => Ok(Admission::Close(CloseFrame::new(4001, "not today")?)),
            Some("fail") => Err(Error::new("secret")),
            Some("panic") => panic!("secret"),
            Some("status") => Err(Error::status(402, "pay first")),
            Some("error-close") => Err(Error::close(4002, "never")),
            _ => {
                head.extensions_mut().insert(User("ada".to_owned()));
                head.headers_mut().insert("x-seen", HeaderValue::from_static("by the doorman"));
                Ok(Admission::Admit)
            }
        }
    }

    async fn on_connect(
        &mut self,
        _: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        let user = connection.extension::<User>().map_or("nobody", |user| &user.0);
        connection.send(format!("{user}, {}", context.head().header("x-seen").unwrap_or("not seen")))?;
        Ok(())
    }
}

impl PartyServer for World {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(World)
    }

    async fn on_before_connect(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        let is_proxied = lobby.remote_addr().ip() == lobby.env::<Proxy>()?.0;
        let country = head.header("cf-ipcountry").map(|country| Country(country.to_owned()));
        if let Some(country) = country.filter(|_| is_proxied) {
            head.extensions_mut().insert(country);
        }
        Ok(Admission::Admit)
    }

    async fn connection_tags(
        &mut self,
        _: &Room,
        connection: &Connection,
        _: &ConnectContext,
    ) -> Result<Vec<Tag>> {
        let country = connection.extension::<Country>().map_or("unknown", |country| &country.0);
        Ok(vec![country.to_owned()])
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        let tags = connection.tags().join(" ");
        let italians_count = room.connections_tagged("IT").count();
        connection.send(format!("{tags}, {italians_count} from Italy"))?;
        Ok(())
    }
}

impl PartyServer for Gated {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Gated)
    }

    async fn on_before_connect(_: &mut Head, lobby: &Lobby) -> Result<Admission> {
        let gate = lobby.env::<Gate>()?;
        gate.0.asked.notify_one();
        gate.0.door.acquire().await?.forget();
        Ok(Admission::Admit)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
        room.broadcast(text)?;
        Ok(())
    }
}

impl PartyServer for Fussy {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        Ok(Self { reports: room.env::<Reports>()?.clone() })
    }

    async fn connection_tags(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<Vec<Tag>> {
        let number = |key: &str| context.head().query(key).and_then(|value| value.parse::<usize>().ok());
        if let Some(len) = number("tag_len") {
            return Ok(vec!["x".repeat(len)]);
        }
        if let Some(count) = number("tags_count") {
            let numbered = (0..count).map(|number| number.to_string());
            // The id is no tag of the nine.
            return Ok(numbered.chain([connection.id().to_string()]).collect());
        }
        fail_if_told(room, connection, context, "tags")?;
        Ok(Vec::new())
    }

    async fn on_connect(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        fail_if_told(room, connection, context, "connect")?;
        self.reports.add(format!("{} connected, {} tags", connection.id(), connection.tags().len()));
        connection.send("welcome")?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, _: String) -> Result<()> {
        let guest: Option<String> = room.storage().get("guest").await?;
        let here = room.connections().map(|other| other.id().as_str()).collect::<Vec<_>>().join(",");
        sender.send(format!("here: {here}; guest: {guest:?}"))?;
        Ok(())
    }

    async fn on_close(&mut self, _: &Room, connection: &Connection, close: &Close) -> Result<()> {
        self.reports.add(format!("{} closed: {}", connection.id(), close.code));
        Ok(())
    }
}

fn fail_if_told(room: &Room, connection: &Connection, context: &ConnectContext, hook: &str) -> Result<()> {
    let Some(how) = context.head().query(hook) else { return Ok(()) };
    room.storage().put("guest", connection.id().as_str())?;
    room.broadcast("taken back")?;
    match &*how {
        "fail" => Err(Error::new("as told")),
        "status" => Err(Error::status(403, "as told")),
        "close" => Err(Error::close(4001, "as told")),
        _ => panic!("as told"),
    }
}

impl PartyServer for Frail {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        let frailty = room.env::<Arc<Frailty>>()?;
        frailty.starts_count.fetch_add(1, Ordering::Relaxed);
        if frailty.fails.load(Ordering::Relaxed) {
            return Err(Error::new("as told"));
        }
        assert!(!frailty.panics.load(Ordering::Relaxed), "as told");
        Ok(Frail)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
        assert_ne!(text, "panic");
        room.broadcast(text)?;
        Ok(())
    }
}

async fn slow_host(starts_count: usize, connects_count: usize) -> (TestHost, Arc<Doors>) {
    let (start, connect) = (Semaphore::new(starts_count), Semaphore::new(connects_count));
    let doors = Arc::new(Doors { start, connect });
    let host = Host::builder().party::<Slow>("main").env(Arc::clone(&doors));
    (TestHost::of(host).await, doors)
}

async fn fussy_host() -> (TestHost, Seen) {
    let (reports, seen) = reports();
    (TestHost::of(Host::builder().party::<Fussy>("main").env(reports)).await, seen)
}

async fn until_nobody_listens(host: &TestHost) {
    soon(async { while TcpStream::connect(host.addr()).await.is_ok() {} }).await;
}

async fn frail_host() -> (TestHost, Arc<Frailty>) {
    let frailty = Arc::<Frailty>::default();
    (TestHost::of(Host::builder().party::<Frail>("main").env(Arc::clone(&frailty))).await, frailty)
}

#[tokio::test]
async fn upgrade_is_answered_before_the_room_has_started() {
    let (host, doors) = slow_host(0, 1).await;

    let mut ada = host.join("lobby").await;
    ada.send("early").await;
    ada.send("too").await;
    doors.start.add_permits(1);

    assert_eq!(ada.next_text().await, "welcome");
    assert_eq!(ada.next_text().await, "early");
    assert_eq!(ada.next_text().await, "too");
}

#[tokio::test]
async fn messages_wait_until_on_connect_has_ended() {
    let (host, doors) = slow_host(1, 0).await;

    let mut ada = host.join("lobby").await;
    ada.send("early").await;
    doors.connect.add_permits(1);

    assert_eq!(ada.next_text().await, "welcome");
    assert_eq!(ada.next_text().await, "early");
}

/// The client sends a thousand messages in one write with its request.
#[tokio::test]
async fn messages_right_behind_the_request_are_not_lost() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut ada = Raw::tcp(&host).await;
    let mut bytes = upgrade_request("/party/lobby").into_bytes();
    (0..1000).for_each(|number| bytes.extend(frame(TEXT, format!("{number}"))));

    ada.send(bytes).await;

    assert_eq!(ada.answer().await.status, 101);
    assert_eq!(ada.next_text().await, "welcome");
    for number in 0..1000 {
        assert_eq!(ada.next_text().await, format!("{number}"));
    }
}

/// The client is gone, in order or by a reset, when the room has started.
#[tokio::test]
async fn a_client_that_leaves_before_the_room_has_started_leaves_nothing() {
    for is_reset in [false, true] {
        let (host, doors) = slow_host(0, 10).await;
        let gone = Raw::connect(&host, "/party/lobby").await.into_tcp();
        let mut bob = host.join("lobby").await;
        if is_reset {
            end_by_reset(&gone);
        }
        drop(gone);
        doors.start.add_permits(1);

        assert_eq!(bob.next_text().await, "welcome");
        host.until(|host| host.connections_count() == 1).await;
        bob.send("hi").await;
        assert_eq!(bob.next_text().await, "hi");
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_before_hook_leaves_nothing() {
    let gate = Gate::default();
    let host = TestHost::of(Host::builder().party::<Gated>("main").env(gate.clone())).await;
    let mut ada = Raw::tcp(&host).await;
    ada.send(upgrade_request("/party/lobby")).await;
    soon(gate.0.asked.notified()).await;
    drop(ada);
    gate.0.door.add_permits(2);

    let mut bob = host.join("lobby").await;
    bob.send("hi").await;
    assert_eq!(bob.next_text().await, "hi");
    host.until(|host| host.connections_count() == 1).await;
}

/// It had asked before; its before-hook ends when the rooms are told to close.
#[tokio::test]
async fn a_client_that_is_admitted_while_the_host_stops_is_refused_503() {
    let gate = Gate::default();
    let mut host = TestHost::of(Host::builder().party::<Gated>("main").env(gate.clone())).await;
    let mut ada = Raw::tcp(&host).await;
    ada.send(upgrade_request("/party/lobby")).await;
    soon(gate.0.asked.notified()).await;

    host.begin_stop();
    until_nobody_listens(&host).await;
    gate.0.door.add_permits(1);

    assert_eq!(ada.answer().await.status, 503);
    ada.ends().await;
    drop(ada);
    host.stop().await;
}

#[tokio::test]
async fn a_client_over_connections_max_is_refused_503_until_another_leaves() {
    let (host, _seen) = witnesses(|config| config.connections_max = Some(2)).await;
    let (ada, _bob) = (member(&host, "lobby", "ada").await, member(&host, "other", "bob").await);
    let refused = host.try_connect("/party/lobby").await.expect_err("no WebSocket");
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));

    ada.close(None).await;
    host.until(|host| host.connections_count() == 1).await;
    member(&host, "lobby", "cyd").await;
}

#[tokio::test]
async fn a_good_upgrade_is_answered_as_the_protocol_says() {
    let (host, _seen) = witnesses(|_| {}).await;
    let answer = Raw::tcp(&host).await.upgrade("/party/lobby").await;
    assert!(answer.head.starts_with("http/1.1 101 switching protocols\r\n"), "{answer:?}");
    assert!(answer.head.contains("\r\nupgrade: websocket\r\n"), "{answer:?}");
    assert!(answer.head.contains("\r\nconnection: upgrade\r\n"), "{answer:?}");
    // The example of RFC 6455, section 1.3.
    let accept = "\r\nsec-websocket-accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n".to_lowercase();
    assert!(answer.head.contains(&accept), "{answer:?}");
}

#[tokio::test]
async fn tokens_of_an_upgrade_are_known_in_any_case_and_place() {
    let (host, _seen) = witnesses(|_| {}).await;
    for (connection, upgrade) in
        [("upgrade", "WebSocket"), ("keep-alive, Upgrade", "websocket"), ("UPGRADE", "h2c, WEBSOCKET")]
    {
        let request = upgrade_request("/party/lobby")
            .replace("Connection: Upgrade", &format!("Connection: {connection}"))
            .replace("Upgrade: websocket", &format!("Upgrade: {upgrade}"));
        let mut raw = Raw::tcp(&host).await;
        raw.send(request).await;
        assert_eq!(raw.answer().await.status, 101, "{connection} {upgrade}");
        assert_eq!(raw.next_text().await, "welcome");
    }
}

/// One member makes noise without pause while others join.
#[tokio::test]
async fn what_on_connect_sends_comes_first_while_others_broadcast() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut noisy = member(&host, "lobby", "noisy").await;
    let noise = async {
        for _ in 0..2000 {
            noisy.send("noise").await;
        }
    };
    let joins = async {
        for _ in 0..100 {
            assert_eq!(host.join("lobby").await.next_text().await, "welcome");
        }
    };
    tokio::join!(noise, joins);
}

/// A broadcast waits for its commit when somebody joins: it is not for the newcomer.
#[tokio::test]
async fn no_frame_of_an_earlier_hook_comes_before_those_of_on_connect() {
    let engine = Arc::new(HeldEngine::new());
    let host = Host::builder().party::<Witness>("main").env(reports().0).storage(engine.clone());
    let host = TestHost::of(host).await;
    let mut ada = member(&host, "lobby", "ada").await;
    ada.send("put tea hot").await;
    host.until(|_| engine.arrived_count() == 1).await;

    let mut bob = host.join("lobby").await;
    bob.send("put cup full").await;
    host.until(|_| engine.arrived_count() == 2).await;
    engine.let_through(2);

    assert_eq!(ada.next_text().await, "put tea");
    assert_eq!(ada.next_text().await, "put cup");
    assert_eq!(bob.next_text().await, "welcome");
    assert_eq!(bob.next_text().await, "put cup");
}

#[tokio::test]
async fn a_before_hook_that_admits_hands_its_extensions_and_headers_to_the_room() {
    let host = TestHost::start::<Doorman>().await;
    assert_eq!(host.join("lobby").await.next_text().await, "ada, by the doorman");
}

#[tokio::test]
async fn tags_by_country_are_made_of_a_header_that_only_the_proxy_is_believed() {
    for (proxy, tags) in
        [([127, 0, 0, 1], "ada IT, 1 from Italy"), ([10, 0, 0, 1], "ada unknown, 0 from Italy")]
    {
        let host = TestHost::of(Host::builder().party::<World>("main").env(Proxy(proxy.into()))).await;
        let request = upgrade_request("/party/lobby?_pk=ada");
        let mut ada = Raw::tcp(&host).await;
        ada.send(request.replace("Host: x", "Host: x\r\nCF-IPCountry: IT")).await;
        assert_eq!(ada.answer().await.status, 101);
        assert_eq!(ada.next_text().await, tags);
    }
}

#[tokio::test]
async fn a_before_hook_may_answer_with_any_response_and_opens_no_room() {
    let host = TestHost::start::<Doorman>().await;
    for status in [200, 201, 302, 401, 404, 503] {
        let refused = host.try_connect(&format!("/party/lobby?door=respond&status={status}")).await;
        let response = refused.expect_err("no WebSocket");
        assert_eq!(response.status(), status);
        assert_eq!(response.headers()["x-door"], "shut");
        assert_eq!(response.body(), "not lobby");
    }
    assert_eq!((host.rooms_count(), host.connections_count()), (0, 0));
}

#[tokio::test]
async fn a_before_hook_that_closes_is_heard_as_that_close_and_opens_no_room() {
    let host = TestHost::start::<Doorman>().await;
    let mut raw = Raw::connect(&host, "/party/lobby?door=close").await;
    assert_eq!(raw.closed().await, (4001, "not today".to_owned()));
    raw.ends().await;
    assert_eq!(host.rooms_count(), 0);
    // What it sends is thrown away, without a reset.
    raw.send(vec![7; 1 << 20]).await;
    drop(raw);
    host.until(|host| host.connections_count() == 0).await;
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn a_before_hook_that_fails_is_answered_500_and_tells_nothing() {
    let host = TestHost::start::<Doorman>().await;
    for how in ["fail", "panic"] {
        let refused = host.try_connect(&format!("/party/lobby?door={how}")).await;
        let response = refused.expect_err("no WebSocket");
        assert_eq!(response.status(), 500);
        assert_eq!(response.body(), "Internal Server Error");
    }
    assert_eq!((host.rooms_count(), host.connections_count()), (0, 0));
}

#[tokio::test]
async fn a_before_hook_that_fails_with_a_status_is_answered_with_it() {
    let host = TestHost::start::<Doorman>().await;
    let refused = host.try_connect("/party/lobby?door=status").await;
    let response = refused.expect_err("no WebSocket");
    assert_eq!((response.status().as_u16(), &response.body()[..]), (402, &b"pay first"[..]));
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn a_before_hook_that_fails_with_a_close_is_heard_as_that_close() {
    let host = TestHost::start::<Doorman>().await;
    let mut ada = host.connect("/party/lobby?door=error-close").await;
    assert_eq!(ada.closed().await, (4002, "never".to_owned()));
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn a_room_that_fails_to_start_closes_all_who_wait_and_the_next_visitor_starts_it_again() {
    let (host, frailty) = frail_host().await;
    for flag in [&frailty.fails, &frailty.panics] {
        flag.store(true, Ordering::Relaxed);
        let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
        assert_eq!(ada.closed().await, (1011, "Room failed to start".to_owned()));
        assert_eq!(bob.closed().await, (1011, "Room failed to start".to_owned()));

        flag.store(false, Ordering::Relaxed);
        let starts_count = frailty.starts_count.load(Ordering::Relaxed);
        let mut cyd = host.join("lobby").await;
        cyd.send("hi").await;
        assert_eq!(cyd.next_text().await, "hi");
        assert_eq!(frailty.starts_count.load(Ordering::Relaxed), starts_count + 1);

        drop((ada, bob, cyd));
        host.until(|host| {
            host.advance(Duration::from_secs(30));
            host.rooms_count() == 0 && host.connections_count() == 0
        })
        .await;
    }
}

#[tokio::test]
async fn members_are_closed_when_their_room_fails_to_restart() {
    let (host, frailty) = frail_host().await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
    ada.send("hi").await;
    assert_eq!(bob.next_text().await, "hi");

    frailty.fails.store(true, Ordering::Relaxed);
    ada.send("panic").await;

    assert_eq!(ada.closed().await, (1011, "Room failed to start".to_owned()));
    assert_eq!(bob.closed().await, (1011, "Room failed to start".to_owned()));
    frailty.fails.store(false, Ordering::Relaxed);
    let mut cyd = host.join("lobby").await;
    cyd.send("hi").await;
    assert_eq!(cyd.next_text().await, "hi");
}

/// One failing guest, seen by itself and by ada: it is not listed, nothing of its hook is
/// left, and its `on_close` does not run.
async fn a_failing_guest(query: &str, close: (u16, &str)) {
    let (host, mut seen) = fussy_host().await;
    let mut ada = member(&host, "lobby", "ada").await;
    assert_eq!(seen.next().await, "ada connected, 1 tags");

    let mut guest = host.connect(&format!("/party/lobby?_pk=guest&{query}")).await;
    let (code, reason) = guest.try_next().await.expect_err("nothing but the Close");
    assert_eq!((code, &*reason), close, "{query}");

    ada.send("?").await;
    assert_eq!(ada.next_text().await, "here: ada; guest: None", "{query}");
    drop(guest);
    host.until(|host| host.connections_count() == 1).await;
    ada.send("?").await;
    assert_eq!(ada.next_text().await, "here: ada; guest: None", "{query}");
    ada.close(None).await;
    assert_eq!(seen.next().await, "ada closed: 1005", "{query}");
}

#[tokio::test]
async fn a_failing_on_connect_closes_with_1011_and_leaves_nothing() {
    for how in ["fail", "status", "panic"] {
        a_failing_guest(&format!("connect={how}"), (1011, "Connection refused by an error")).await;
    }
}

#[tokio::test]
async fn an_on_connect_that_fails_with_a_close_closes_with_it_and_leaves_nothing() {
    a_failing_guest("connect=close", (4001, "as told")).await;
}

#[tokio::test]
async fn failing_connection_tags_close_with_1011_and_leave_nothing() {
    for how in ["fail", "status", "panic"] {
        a_failing_guest(&format!("tags={how}"), (1011, "Connection refused by an error")).await;
    }
}

#[tokio::test]
async fn connection_tags_that_fail_with_a_close_close_with_it_and_leave_nothing() {
    a_failing_guest("tags=close", (4001, "as told")).await;
}

/// `on_connect` does not run for tags over a limit.
#[tokio::test]
async fn connection_tags_over_a_limit_close_with_1011() {
    for query in ["tags_count=10", "tag_len=257", "tag_len=0"] {
        a_failing_guest(query, (1011, "Connection refused by an error")).await;
    }
}

/// What it keeps is its socket, and it is no member of the room.
#[tokio::test]
async fn a_refused_guest_that_does_not_answer_its_close_keeps_no_room_open() {
    let (reports, _seen) = reports();
    let host = Host::builder().party::<Fussy>("main").env(reports).config(|config| {
        (config.close_timeout, config.ping_every) = (Duration::MAX, Duration::MAX);
    });
    let host = TestHost::of(host).await;
    let mut guest = Raw::connect(&host, "/party/lobby?connect=fail").await;
    assert_eq!(guest.closed().await.0, 1011);
    host.until(|host| {
        host.advance(Duration::from_secs(30));
        host.rooms_count() == 0
    })
    .await;
    drop(guest);
}

#[tokio::test]
async fn connection_tags_at_their_limits_are_taken() {
    let (host, mut seen) = fussy_host().await;
    let _ada = member(&host, "lobby", "ada&tags_count=9").await;
    assert_eq!(seen.next().await, "ada connected, 10 tags");
    let _bob = member(&host, "lobby", "bob&tag_len=256").await;
    assert_eq!(seen.next().await, "bob connected, 2 tags");
}

#[tokio::test]
async fn bad_upgrades_are_refused_with_a_clear_text_and_reach_no_hook() {
    // `respond` would answer 200 if the hook were asked.
    let path = "/party/lobby?door=respond&status=200";
    let good = upgrade_request(path);
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let version = "Sec-WebSocket-Version: 13\r\n";
    let bad_version = "websocket version must be 13";
    let bad_key = "`sec-websocket-key` must be 16 bytes in base64";
    let cases = [
        (good.replace(version, "Sec-WebSocket-Version: 12\r\n"), 426, bad_version),
        (good.replace(version, "Sec-WebSocket-Version: 8\r\n"), 426, bad_version),
        (good.replace(version, ""), 426, bad_version),
        (good.replace(key, ""), 400, bad_key),
        (good.replace(key, "Sec-WebSocket-Key:\r\n"), 400, bad_key),
        (good.replace(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub24=\r\n"), 400, bad_key),
        (good.replace(key, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWU=\r\n"), 400, bad_key),
        (good.replace(key, "Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!==\r\n"), 400, bad_key),
        (good.replace("GET", "POST"), 400, "a websocket handshake must be a get request"),
        (
            good.replace("Connection: Upgrade\r\n", ""),
            400,
            "a websocket handshake needs the header `connection: upgrade`",
        ),
        (
            good.replace("Connection: Upgrade\r\n", "Connection: keep-alive\r\n"),
            400,
            "a websocket handshake needs the header `connection: upgrade`",
        ),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 400, "a websocket handshake needs http/1.1"),
    ];
    let host = TestHost::start::<Doorman>().await;
    for (request, status, text) in cases {
        assert_ne!(request, good);
        let mut raw = Raw::tcp(&host).await;
        raw.send(&request).await;
        let answer = raw.answer().await;
        assert_eq!((answer.status, &*answer.body.to_lowercase()), (status, text), "{request}");
        let says_13 = answer.head.contains("\r\nsec-websocket-version: 13\r\n");
        assert_eq!(says_13, status == 426, "{request}");
    }
    assert_eq!((host.rooms_count(), host.connections_count()), (0, 0));
}

/// The connection of a refused upgrade is an HTTP connection still.
#[tokio::test]
async fn a_client_may_ask_again_on_the_connection_of_a_refused_upgrade() {
    let (host, _seen) = witnesses(|_| {}).await;
    let mut raw = Raw::tcp(&host).await;
    raw.send(upgrade_request("/party/lobby").replace("Version: 13", "Version: 12")).await;
    assert_eq!(raw.answer().await.status, 426);
    raw.upgrade("/party/lobby").await;
    assert_eq!(raw.next_text().await, "welcome");
}
