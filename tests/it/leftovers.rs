//! What is left of connections that are gone: nothing, whatever their end.
//!
//! Descriptors and tasks are those of a process, so this runs in one of its own: this test
//! binary, started again.

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use partyrs::prelude::*;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Message;

use crate::tls::Identity;
use crate::tower::{Outer, over_a_pipe};
use crate::upgrade::raw::{
    CLOSE, PING, Raw, TEXT, close_payload, end_by_reset, frame, head, upgrade_request,
};

const ALONE_VARIABLE: &str = "PARTYRS_TESTS_LEFTOVERS";
const CYCLES: usize = 200;
const ORIGIN: &str = "https://app.example";

/// Admits, refuses and closes as the query says. One connection for each id.
struct Door {
    feeds: Vec<RoomBody>,
}

impl PartyServer for Door {
    type Message = String;

    const OPTIONS: PartyOptions = PartyOptions::DEFAULT
        .duplicate_ids(DuplicateIds::Replace)
        .message_bytes_max(1000)
        .mailbox_events_max(1);

    async fn on_start(room: &Room) -> Result<Self> {
        if room.id().as_str() == "broken" {
            return Err(Error::new("as told"));
        }
        Ok(Door { feeds: Vec::new() })
    }

    async fn connection_tags(
        &mut self,
        _: &Room,
        _: &Connection,
        context: &ConnectContext,
    ) -> Result<Vec<Tag>> {
        match context.head().query("do").as_deref() {
            Some("tags") => Err(Error::new("as told")),
            _ => Ok(Vec::new()),
        }
    }

    async fn on_connect(
        &mut self,
        _: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        match context.head().query("do").as_deref() {
            Some("connect-fail") => Err(Error::new("as told")),
            Some("connect-panic") => panic!("as told"),
            Some("connect-close") => Ok(connection.close(4000, "in on_connect")?),
            _ => Ok(connection.send("welcome")?),
        }
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        match text.as_str() {
            "close" => sender.close(4000, "as told")?,
            "wait" => room.env::<Arc<Semaphore>>()?.acquire().await?.forget(),
            _ => sender.send(text)?,
        }
        Ok(())
    }

    /// What the shard has, and who is listed; or a socket to the room itself, from a task.
    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if let Some(end) = request.query("socket") {
            let (own, end) = (room.handle::<Self>(), end.into_owned());
            room.spawn(async move { to_itself(&own, &end).await });
        }
        if request.query("feed").is_some() {
            let (feed, response) = room.body();
            self.feeds.push(feed);
            return Ok(response);
        }
        if request.query("fill").is_some() {
            for feed in &self.feeds {
                feed.write(room, vec![0; 1 << 20])?;
            }
            self.feeds.retain(RoomBody::is_open);
            return Ok(Response::text(self.feeds.len().to_string()));
        }
        let tasks_count = Handle::current().metrics().num_alive_tasks();
        Ok(Response::text(format!("{tasks_count} {}", room.connections_count())))
    }

    async fn on_before_connect(head: &mut Head, _: &Lobby) -> Result<Admission> {
        match head.query("do").as_deref() {
            Some("before-close") => Ok(Admission::Close(CloseFrame::new(4001, "no")?)),
            Some("before-respond") => Ok(Admission::Respond(Response::text("no"))),
            Some("before-fail") => Err(Error::new("as told")),
            Some("before-panic") => panic!("as told"),
            Some("before-wait") => std::future::pending().await,
            _ => Ok(Admission::Admit),
        }
    }
}

/// What is no room: accepts, refuses and closes as the query says.
struct Porch;

impl LobbyServer for Porch {
    async fn on_socket(&self, socket: LobbySocket, _: &HostLobby) -> Result<()> {
        let told = socket.head().query("do").unwrap_or_default().into_owned();
        match told.as_str() {
            "leave" => return Ok(()),
            "refuse" => return Err(Error::status(403, "no")),
            "close" => return Err(Error::close(4001, "no")),
            _ => {}
        }
        let mut socket = socket.accept().await?;
        match told.as_str() {
            "fail" => return Err(Error::new("as told")),
            "pages" => socket.send(Frame::binary(vec![7; 1 << 20]))?,
            _ => {}
        }
        while let Some(frame) = socket.next().await {
            socket.send(frame)?;
        }
        Ok(())
    }
}

/// Opens a socket and ends it in one way.
async fn to_itself(own: &RoomHandle<Door>, end: &str) -> Result<()> {
    let mut socket = match end {
        "refused" => own.socket_at("/?do=connect-fail").await?,
        _ => own.socket().await?,
    };
    match end {
        "dropped" => return Ok(()),
        "closed" => socket.close(1000, "bye")?,
        "closed by the room" => socket.send("close")?,
        "message too long" => socket.send("x".repeat(1001))?,
        _ => {}
    }
    while socket.next().await.is_some() {}
    let code = socket.closed().map(|close| close.code);
    let expected = match end {
        "closed" => 1000,
        "closed by the room" => 4000,
        "message too long" => 1009,
        _ => 1011,
    };
    assert_eq!(code, Some(expected), "{end}");
    Ok(())
}

/// What the process has at one moment.
#[derive(Debug, PartialEq, Eq)]
struct Census {
    descriptors_count: usize,
    /// Of the runtime of the test, on which the host accepts.
    tasks_count: usize,
    /// Tasks of the shard, and connections of the room.
    room: String,
    connections_count: usize,
}

impl Census {
    async fn of(host: &TestHost) -> Self {
        let room = host.get("/party/lobby").await.into_body();
        Self {
            descriptors_count: descriptors_count(),
            tasks_count: Handle::current().metrics().num_alive_tasks(),
            room: String::from_utf8_lossy(&room).into_owned(),
            connections_count: host.connections_count(),
        }
    }

    /// Waits until it is like this once more.
    async fn returns(&self, host: &TestHost, after: &str) {
        let mut last = None;
        let returned = async {
            while last.as_ref() != Some(self) {
                last = Some(Self::of(host).await);
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), returned).await;
        assert!(in_time.is_ok(), "{self:?} before and {last:?} after {after}");
    }
}

fn descriptors_count() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

async fn welcomed(host: &TestHost, query: &str) -> TestClient {
    let mut client = host.connect(&format!("/party/lobby?{query}")).await;
    assert_eq!(client.next_text().await, "welcome");
    client
}

async fn raw(host: &TestHost) -> Raw {
    Raw::member(host, "lobby", "").await
}

/// The status of the answer to a request that is no good upgrade.
async fn refused(host: &TestHost, request: String) -> u16 {
    let mut raw = Raw::tcp(host).await;
    raw.send(request).await;
    raw.answer().await.status
}

/// Connects and ends in one way.
async fn cycle(host: &TestHost, kind: &str) {
    match kind {
        "closed with a code" => drop(welcomed(host, "").await.close(Some((1000, "bye"))).await),
        "closed without a code" => drop(welcomed(host, "").await.close(None).await),
        "closed and TCP kept" => {
            let mut raw = raw(host).await;
            raw.send(frame(CLOSE, close_payload(1000, ""))).await;
            assert_eq!(raw.closed().await.0, 1000);
            raw.ends().await;
        }
        "dropped" => drop(raw(host).await),
        "reset" => {
            let tcp = raw(host).await.into_tcp();
            end_by_reset(&tcp);
        }
        "reset in a message" => {
            let mut raw = raw(host).await;
            raw.send(head(TEXT, 100)).await;
            end_by_reset(&raw.into_tcp());
        }
        "closed by the room" => {
            let mut client = welcomed(host, "").await;
            client.send("close").await;
            assert_eq!(client.closed().await.0, 4000);
        }
        "closed by the room without an answer" => {
            let mut raw = raw(host).await;
            raw.send(frame(TEXT, "close")).await;
            assert_eq!(raw.closed().await.0, 4000);
        }
        "message too long" => {
            let mut raw = raw(host).await;
            raw.send(frame(TEXT, [b'x'; 1001])).await;
            assert_eq!(raw.closed().await.0, 1009);
        }
        "protocol error" => {
            let mut raw = raw(host).await;
            raw.send([TEXT, 0]).await;
            assert_eq!(raw.closed().await.0, 1002);
        }
        "replaced" => {
            let mut older = welcomed(host, "_pk=ada").await;
            let newer = welcomed(host, "_pk=ada").await;
            assert_eq!(older.closed().await.0, 4409);
            newer.close(None).await;
        }
        "left before the 101" => {
            let mut raw = Raw::tcp(host).await;
            raw.send(upgrade_request("/party/lobby?do=before-wait")).await;
        }
        "left in the handshake" => {
            let mut raw = Raw::tcp(host).await;
            raw.send("GET /party/lobby HTTP/1.1\r\nUpgr").await;
        }
        "tags" | "connect-fail" => {
            let mut client = host.connect(&format!("/party/lobby?do={kind}")).await;
            assert_eq!(client.closed().await.0, 1011);
        }
        "connect-close" => {
            let mut client = host.connect("/party/lobby?do=connect-close").await;
            assert_eq!(client.closed().await.0, 4000);
        }
        "connect-panic" => {
            let mut client = host.connect("/party/panics?do=connect-panic").await;
            assert_eq!(client.closed().await.0, 1011);
        }
        "before-close" => {
            let mut client = host.connect("/party/lobby?do=before-close").await;
            assert_eq!(client.closed().await.0, 4001);
        }
        "before-respond" | "before-fail" | "before-panic" => {
            let refusal = host.try_connect(&format!("/party/lobby?do={kind}")).await.unwrap_err();
            assert_ne!(refusal.status(), 101);
        }
        "room that does not start" => {
            assert_eq!(host.connect("/party/broken").await.closed().await.0, 1011);
        }
        "foreign origin" => {
            let request = upgrade_request("/party/lobby");
            let request = format!("{}\r\nOrigin: https://evil.example\r\n\r\n", request.trim_end());
            assert_eq!(refused(host, request).await, 403);
        }
        "socket dropped"
        | "socket closed"
        | "socket closed by the room"
        | "socket refused"
        | "socket message too long" => {
            let end = kind.trim_start_matches("socket ").replace(' ', "%20");
            host.get(&format!("/party/lobby?socket={end}")).await;
        }
        "outside closed" => drop(host.connect("/outside").await.close(Some((1000, "bye"))).await),
        "outside dropped" => drop(Raw::connect(host, "/outside").await),
        "outside reset in pages" => {
            end_by_reset(&Raw::connect(host, "/outside?do=pages").await.into_tcp());
        }
        "outside protocol error" => {
            let mut raw = Raw::connect(host, "/outside").await;
            raw.send([TEXT, 0]).await;
            assert_eq!(raw.closed().await.0, 1002);
        }
        "outside fail" => assert_eq!(host.connect("/outside?do=fail").await.closed().await.0, 1011),
        "outside close" => assert_eq!(host.connect("/outside?do=close").await.closed().await.0, 4001),
        "outside refuse" => assert_eq!(refused(host, upgrade_request("/outside?do=refuse")).await, 403),
        "outside leave" => assert_eq!(refused(host, upgrade_request("/outside?do=leave")).await, 404),
        "outside bad version" => {
            assert_eq!(refused(host, upgrade_request("/outside").replace("13", "12")).await, 426);
        }
        "by axum closed" => {
            let mut raw = Outer::of(host.service()).await.member("/party/lobby").await;
            raw.send(frame(CLOSE, close_payload(1000, ""))).await;
            assert_eq!(raw.closed().await.0, 1000);
        }
        "by axum dropped" => drop(Outer::of(host.service()).await.member("/party/lobby").await),
        "by axum before-close" => {
            let outer = Outer::of(host.service()).await;
            let mut raw = outer.raw().await;
            raw.upgrade("/party/lobby?do=before-close").await;
            assert_eq!(raw.closed().await.0, 4001);
        }
        "by axum left in the handshake" => {
            let outer = Outer::of(host.service()).await;
            let mut raw = outer.raw().await;
            raw.send(upgrade_request("/party/lobby?do=before-wait")).await;
        }
        "over a pipe closed" => {
            let mut socket = over_a_pipe(host.service(), 1 << 16).await;
            socket.close(None).await.unwrap();
            while socket.next().await.is_some() {}
        }
        "over a pipe dropped" => drop(over_a_pipe(host.service(), 1 << 16).await),
        "unknown party" => assert_eq!(refused(host, upgrade_request("/parties/x/y")).await, 404),
        "bad version" => {
            assert_eq!(refused(host, upgrade_request("/party/lobby").replace("13", "12")).await, 426);
        }
        _ => unreachable!("{kind}"),
    }
}

const KINDS: [&str; 44] = [
    "closed with a code",
    "closed without a code",
    "closed and TCP kept",
    "dropped",
    "reset",
    "reset in a message",
    "closed by the room",
    "closed by the room without an answer",
    "message too long",
    "protocol error",
    "replaced",
    "left before the 101",
    "left in the handshake",
    "tags",
    "connect-fail",
    "connect-close",
    "connect-panic",
    "before-close",
    "before-respond",
    "before-fail",
    "before-panic",
    "room that does not start",
    "foreign origin",
    "unknown party",
    "socket dropped",
    "socket closed",
    "socket closed by the room",
    "socket refused",
    "socket message too long",
    "outside closed",
    "outside dropped",
    "outside reset in pages",
    "outside protocol error",
    "outside fail",
    "outside close",
    "outside refuse",
    "outside leave",
    "outside bad version",
    "by axum closed",
    "by axum dropped",
    "by axum before-close",
    "by axum left in the handshake",
    "over a pipe closed",
    "over a pipe dropped",
];

/// All of them at once: they fall silent together.
async fn ping_time_outs(host: &TestHost) {
    let mut clients = Vec::new();
    for _ in 0..CYCLES {
        clients.push(raw(host).await);
    }
    assert_eq!(host.connections_count(), CYCLES);
    host.advance(Duration::from_secs(30));
    for client in &mut clients {
        assert_eq!(client.next().await, (PING, Vec::new()));
    }
    host.advance(Duration::from_secs(20));
    for client in &mut clients {
        client.ends().await;
    }
    // Their own descriptors are still there, those of the host are not.
    host.until(|host| host.connections_count() == 0).await;
}

/// Readers of bodies that stop reading and keep their connections: the host gives up its ends,
/// though it is in the middle of writing to them and nothing else happens there.
async fn readers_that_stop(host: &TestHost) {
    let before = descriptors_count();
    let mut readers = Vec::new();
    for _ in 0..20 {
        let mut reader = crate::http::raw::Raw::connect(host).await;
        reader.send("GET /party/lobby?feed=1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(reader.head().await.status, 200);
        readers.push(reader);
    }
    while host.get("/party/lobby?fill=1").await.body() != "0" {}
    // Their own descriptors are still there.
    host.until(|_| descriptors_count() == before + readers.len()).await;
}

/// Connects over TLS and ends in one way.
async fn tls_cycle(host: &TestHost, identity: &Identity, kind: &str) {
    let addr = host.addr().to_string();
    match kind {
        "TLS closed with a code" => {
            let mut client = identity.connect(host, "/party/lobby").await;
            assert_eq!(client.next().await, Message::text("welcome"));
            client.socket.close(None).await.unwrap();
            assert_eq!(client.closed().await.0, 1005);
        }
        "TLS dropped" => {
            let mut client = identity.connect(host, "/party/lobby").await;
            assert_eq!(client.next().await, Message::text("welcome"));
        }
        "TLS closed by the room" => {
            let mut client = identity.connect(host, "/party/lobby?do=connect-close").await;
            assert_eq!(client.closed().await.0, 4000);
        }
        "TLS refused by a Close" => {
            let mut client = identity.connect(host, "/party/lobby?do=before-close").await;
            assert_eq!(client.closed().await.0, 4001);
        }
        "TLS garbage" => {
            let mut client = identity.connect(host, "/party/lobby").await;
            assert_eq!(client.next().await, Message::text("welcome"));
            client.tcp().write_all(b"no record of TLS").await.unwrap();
        }
        "TLS reset" => {
            let mut client = identity.connect(host, "/party/lobby").await;
            end_by_reset(client.tcp());
        }
        "TLS greeted and left" => drop(identity.greet(&addr, &[]).await.unwrap()),
        "TLS left in the greeting" => {
            let mut tcp = TcpStream::connect(addr).await.unwrap();
            tcp.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
        }
        _ => unreachable!("{kind}"),
    }
}

const TLS_KINDS: [&str; 8] = [
    "TLS closed with a code",
    "TLS dropped",
    "TLS closed by the room",
    "TLS refused by a Close",
    "TLS garbage",
    "TLS reset",
    "TLS greeted and left",
    "TLS left in the greeting",
];

/// What the room says of its shard, as in a census, from a host that speaks TLS and nothing else.
async fn ask_over_tls(host: &TestHost, identity: &Identity) -> String {
    let mut stream = identity.greet(&host.addr().to_string(), &[]).await.unwrap();
    let request = "GET /party/lobby HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    soon(stream.read_to_string(&mut answer)).await.unwrap();
    answer.lines().last().unwrap_or_default().to_owned()
}

async fn over_tls(let_through: &Arc<Semaphore>) {
    let identity = Identity::new();
    let host = Host::builder().party::<Door>("main").env(Arc::clone(let_through));
    let host = host.tls(identity.certificate(), identity.key()).config(|config| config.shards = 1);
    // What another host has left is no part of this.
    soon(async {
        while Handle::current().metrics().num_alive_tasks() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let host = TestHost::of(host).await;
    let count = || (descriptors_count(), Handle::current().metrics().num_alive_tasks());
    let idle = count();
    for kind in TLS_KINDS {
        for _ in 0..CYCLES {
            tls_cycle(&host, &identity, kind).await;
        }
        let returned = async {
            // One task of the shard is the room, and one sends its pings.
            while ask_over_tls(&host, &identity).await != "2 0" {}
            // Who asked was the last to leave.
            while (count(), host.connections_count()) != (idle, 0) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), returned).await;
        assert!(in_time.is_ok(), "{idle:?} before and {:?} after {kind}", count());
    }
}

/// While the room waits and its mailbox is full, its clients leave: their places and
/// descriptors are free at once, and nobody waits for the room.
async fn leaving_a_room_that_waits(host: &TestHost, let_through: &Semaphore) {
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(raw(host).await);
    }
    let mut busy = raw(host).await;
    busy.send([frame(TEXT, "wait"), frame(TEXT, "1"), frame(TEXT, "2")].concat()).await;
    busy.send(frame(PING, "")).await;
    let before = descriptors_count();
    for (number, mut client) in clients.into_iter().enumerate() {
        if number % 2 == 0 {
            client.send(frame(CLOSE, close_payload(1000, ""))).await;
            assert_eq!(client.closed().await.0, 1000);
            client.ends().await;
        }
    }
    host.until(|host| host.connections_count() == 1 && descriptors_count() == before - 40).await;
    let_through.add_permits(1);
    assert_eq!(busy.next_text().await, "1");
}

/// No test: what [`nothing_is_left_of_200_connections_of_every_kind`] runs.
#[tokio::test]
async fn alone() {
    if std::env::var_os(ALONE_VARIABLE).is_none() {
        return;
    }
    let let_through = Arc::new(Semaphore::new(0));
    let host = Host::builder().party::<Door>("main").lobby(Porch).env(Arc::clone(&let_through));
    let host = host.allowed_origins([ORIGIN]).config(|config| config.shards = 1);
    let host = TestHost::of(host).await;
    // Whatever is made at the first use is made, and stays.
    for kind in KINDS {
        cycle(&host, kind).await;
    }
    host.until(|host| host.connections_count() == 0).await;
    soon(async {
        while host.rooms_count() > 1 {
            host.advance(Duration::from_secs(1));
            Census::of(&host).await;
        }
    })
    .await;
    let before = Census::of(&host).await;
    before.returns(&host, "nothing").await;

    for kind in KINDS {
        for _ in 0..CYCLES {
            cycle(&host, kind).await;
        }
        // Rooms that were opened on the way are closed.
        soon(async {
            while host.rooms_count() > 1 {
                host.advance(Duration::from_secs(1));
                Census::of(&host).await;
            }
        })
        .await;
        before.returns(&host, kind).await;
    }
    ping_time_outs(&host).await;
    before.returns(&host, "ping time-outs").await;
    leaving_a_room_that_waits(&host, &let_through).await;
    before.returns(&host, "leaving a room that waits").await;
    drop(TcpStream::connect(host.addr()).await.unwrap());
    before.returns(&host, "a connection that says nothing").await;
    readers_that_stop(&host).await;
    before.returns(&host, "readers that stop").await;
    host.stop().await;
    over_tls(&let_through).await;
}

#[tokio::test]
async fn nothing_is_left_of_200_connections_of_every_kind() {
    let alone = Command::new(std::env::current_exe().expect("a program"))
        .args(["--exact", "leftovers::alone", "--nocapture", "--test-threads=1"])
        .env(ALONE_VARIABLE, "1")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .output();
    let output = tokio::time::timeout(Duration::from_secs(300), alone).await.expect("it ends").unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let end: Vec<&str> = said.lines().rev().take(20).collect();
    assert!(output.status.success(), "{}", end.into_iter().rev().collect::<Vec<_>>().join("\n"));
}
