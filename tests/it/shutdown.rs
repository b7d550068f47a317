//! How a host ends (wire row 42).

use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use partyrs::http;
use partyrs::prelude::*;
use partyrs::storage::MemoryEngine;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestHost, soon};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::Semaphore;

use crate::parties::{Witness, member, reports, witnesses};
use crate::upgrade::raw::{CLOSE, Raw, TEXT, close_payload, frame, upgrade_request};

const SERVER_VARIABLE: &str = "PARTYRS_TESTS_SERVER";

/// Keeps its hooks waiting until they are let through; then it stores and broadcasts.
struct Waiting;

impl PartyServer for Waiting {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Waiting)
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        connection.send("welcome")?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
        room.broadcast("begun")?;
        room.env::<Arc<Semaphore>>()?.acquire().await?.forget();
        room.storage().put("text", &text)?;
        room.broadcast(text)?;
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.method() == http::Method::POST {
            room.broadcast("begun")?;
            room.env::<Arc<Semaphore>>()?.acquire().await?.forget();
            room.storage().put("text", "posted")?;
        }
        let text: Option<String> = room.storage().get("text").await?;
        Ok(Response::text(text.unwrap_or_default()))
    }
}

/// A server in a process of its own, to be ended by signals: this test binary, started
/// again. It serves [`Witness`] as `main` and [`Waiting`] as `waiting`.
pub(crate) struct Server {
    child: Child,
    addr: String,
    log: Lines<BufReader<ChildStderr>>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let mut child = Command::new(std::env::current_exe().expect("a program"))
            .args(["--exact", "shutdown::server_process", "--nocapture", "--test-threads=1"])
            .env(SERVER_VARIABLE, "1")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        let log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let mut said = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = line_with(&mut said, "listening on ").await;
        let (_, addr) = line.split_once("listening on http://").expect("an address");
        // The pipe is read to its end, so that the process can always write.
        let addr = addr.to_owned();
        tokio::spawn(async move { while let Ok(Some(_)) = said.next_line().await {} });
        Self { child, addr, log }
    }

    /// A WebSocket at this path whose `on_connect` has ended.
    pub(crate) async fn connect(&self, path: &str) -> Raw {
        let tcp = TcpStream::connect(&self.addr).await.expect("the host listens");
        let mut raw = Raw::over(tcp);
        raw.upgrade(path).await;
        assert_eq!(raw.next_text().await, "welcome");
        raw
    }

    /// The next line of the log that has this text.
    pub(crate) async fn logged(&mut self, text: &str) -> String {
        line_with(&mut self.log, text).await
    }

    /// Sends a signal, such as `TERM`.
    async fn signal(&self, name: &str) {
        let pid = self.child.id().expect("a process that lives");
        let mut kill = Command::new("sh");
        let sent = kill.args(["-c", &format!("kill -{name} {pid}")]).status().await;
        assert!(sent.expect("a shell").success());
    }

    /// Waits for its end; its exit code.
    async fn ended(mut self) -> Option<i32> {
        soon(self.child.wait()).await.expect("a process that ends").code()
    }
}

async fn line_with<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>, text: &str) -> String {
    soon(async {
        loop {
            let line = lines.next_line().await.expect("lines of text").expect("a process that lives");
            if line.contains(text) {
                return line;
            }
        }
    })
    .await
}

/// No test: what [`Server`] runs.
#[tokio::test]
async fn server_process() {
    if std::env::var_os(SERVER_VARIABLE).is_none() {
        return;
    }
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let host = Host::builder()
        .party::<Witness>("main")
        .party::<Waiting>("waiting")
        .env(reports().0)
        .env(Arc::new(Semaphore::new(0)))
        .storage(Arc::new(MemoryEngine::new()))
        .build()
        .expect("a host");
    host.serve(([127, 0, 0, 1], 0).into()).await.expect("a host that ends well");
}

const RESTARTING: &str = "Server is restarting";

async fn waiting_host(engine: &Arc<MemoryEngine>) -> (TestHost, Arc<Semaphore>) {
    let door = Arc::new(Semaphore::new(0));
    let builder = Host::builder().party::<Waiting>("main").env(Arc::clone(&door));
    (TestHost::of(builder.storage(engine.clone())).await, door)
}

#[tokio::test]
async fn a_host_without_rooms_stops_at_once() {
    TestHost::start::<Waiting>().await.stop().await;
}

/// The clock stands: nobody is spread, nobody is waited for.
#[tokio::test]
async fn up_to_a_hundred_are_told_at_once_that_the_server_restarts_and_on_close_runs_for_each() {
    let (mut host, mut seen) = witnesses(|_| {}).await;
    let mut clients = Vec::new();
    for number in 0..100 {
        clients.push(member(&host, &format!("room-{}", number % 7), &format!("{number}")).await);
    }

    host.begin_stop();
    for client in &mut clients {
        assert_eq!(client.try_next().await, Err((1012, RESTARTING.to_owned())));
    }
    drop(clients);
    host.stop().await;

    let mut closed = seen.all();
    closed.sort();
    let report = |number| format!("{number} closed: 1012 {RESTARTING:?} clean, last");
    let mut expected: Vec<String> = (0..100).map(report).collect();
    expected.sort();
    assert_eq!(closed, expected);
}

/// 101 are one too many: ten are told for each ten milliseconds, and the others go on.
#[tokio::test]
async fn more_than_a_hundred_are_told_at_a_pace() {
    const EVERY: Duration = Duration::from_millis(10);
    let (mut host, _seen) = witnesses(|_| {}).await;
    let mut clients = Vec::new();
    for number in 0..101 {
        clients.push(member(&host, "lobby", &format!("{number}")).await);
    }

    host.begin_stop();
    while clients.len() > 1 {
        for mut told in clients.drain(..10) {
            assert_eq!(told.try_next().await, Err((1012, RESTARTING.to_owned())));
        }
        // Two rounds, so that an eleventh would have been told.
        for _ in 0..2 {
            clients[0].send("still here").await;
            for client in &mut clients {
                assert_eq!(client.next_text().await, "still here");
            }
        }
        host.advance(EVERY);
    }
    assert_eq!(clients[0].try_next().await, Err((1012, RESTARTING.to_owned())));
    drop(clients);
    host.stop().await;
}

/// A message and a request are in their hooks when the host is told to stop.
#[tokio::test]
async fn hooks_that_run_finish_and_their_commits_land() {
    let engine = Arc::new(MemoryEngine::new());
    let (mut host, door) = waiting_host(&engine).await;
    let mut idle = member(&host, "idle", "idle").await;
    let mut ada = member(&host, "lobby", "ada").await;
    ada.send("late").await;
    assert_eq!(ada.next_text().await, "begun");
    let mut bob = member(&host, "posts", "bob").await;
    let mut post = Raw::tcp(&host).await;
    post.send("POST /party/posts HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n").await;
    assert_eq!(bob.next_text().await, "begun");

    host.begin_stop();
    assert_eq!(idle.try_next().await, Err((1012, RESTARTING.to_owned())));
    door.add_permits(2);

    assert_eq!(ada.next_text().await, "late");
    assert_eq!(ada.try_next().await, Err((1012, RESTARTING.to_owned())));
    assert_eq!(bob.try_next().await, Err((1012, RESTARTING.to_owned())));
    let answer = post.answer().await;
    assert_eq!((answer.status, &*answer.body), (200, "posted"));
    post.ends().await;
    drop((ada, bob, idle, post));
    host.stop().await;

    let (host, _door) = waiting_host(&engine).await;
    assert_eq!(host.get("/party/lobby").await.body(), "late");
    assert_eq!(host.get("/party/posts").await.body(), "posted");
}

/// Their heads are half sent when the host is told to stop; a hook keeps it from ending.
#[tokio::test]
async fn requests_that_come_while_the_host_stops_are_answered_503() {
    let (mut host, door) = waiting_host(&Arc::default()).await;
    let mut idle = member(&host, "idle", "idle").await;
    let mut ada = member(&host, "lobby", "ada").await;
    ada.send("late").await;
    assert_eq!(ada.next_text().await, "begun");
    let plain = "GET /party/other HTTP/1.1\r\nHost: x\r\n\r\n".to_owned();
    let mut halves = Vec::new();
    for request in [plain, upgrade_request("/party/other")] {
        let mut raw = Raw::tcp(&host).await;
        raw.send(&request[..20]).await;
        halves.push((raw, request));
    }
    // So that the halves have been read.
    for _ in 0..3 {
        assert_eq!(host.get("/").await.status(), 404);
    }

    host.begin_stop();
    assert_eq!(idle.try_next().await, Err((1012, RESTARTING.to_owned())));
    assert!(TcpStream::connect(host.addr()).await.is_err(), "nobody listens any more");
    for (mut raw, request) in halves {
        raw.send(&request[20..]).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 503, "{request}");
        assert!(answer.head.contains("\r\nretry-after: "), "{answer:?}");
        raw.ends().await;
    }

    door.add_permits(1);
    assert_eq!(ada.next_text().await, "late");
    assert_eq!(ada.try_next().await, Err((1012, RESTARTING.to_owned())));
    drop((ada, idle));
    host.stop().await;
}

#[tokio::test]
async fn a_client_that_does_not_answer_does_not_keep_the_host() {
    let (mut host, mut seen) = witnesses(|_| {}).await;
    let mut silent = Raw::member(&host, "lobby", "silent").await;
    let mut ada = member(&host, "lobby", "ada").await;

    host.begin_stop();
    assert_eq!(silent.closed().await, (1012, RESTARTING.to_owned()));
    assert_eq!(ada.try_next().await, Err((1012, RESTARTING.to_owned())));
    // When ada's answer has been read, the time of the silent one runs.
    assert_eq!(seen.next().await, format!("ada closed: 1012 {RESTARTING:?} clean, last"));
    host.advance(Duration::from_secs(5));

    assert_eq!(seen.next().await, "silent closed: 1006 \"\" unclean, last");
    silent.ends().await;
    host.stop().await;
}

/// One has asked for nothing yet, one has been answered and may ask again.
#[tokio::test]
async fn connections_that_ask_for_nothing_do_not_keep_the_host() {
    let (mut host, _seen) = witnesses(|_| {}).await;
    let (mut fresh, mut used) = (Raw::tcp(&host).await, Raw::tcp(&host).await);
    used.send("GET /none HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert_eq!(used.answer().await.status, 404);
    host.begin_stop();
    fresh.ends().await;
    used.ends().await;
    drop((fresh, used));
    host.stop().await;
}

/// A hook that never ends keeps its host for the grace, and no longer.
#[tokio::test]
async fn what_is_left_after_the_grace_is_cut() {
    let (mut host, _door) = waiting_host(&Arc::default()).await;
    let mut idle = member(&host, "idle", "idle").await;
    let mut ada = Raw::member(&host, "lobby", "ada").await;
    ada.send(frame(TEXT, "for ever")).await;
    assert_eq!(ada.next_text().await, "begun");

    host.begin_stop();
    assert_eq!(idle.try_next().await, Err((1012, RESTARTING.to_owned())));
    host.advance(Duration::from_secs(10));
    host.stop().await;
    ada.ends().await;
}

#[tokio::test]
async fn a_signal_ends_the_process_with_0_when_everybody_has_been_told() {
    for signal in ["TERM", "INT"] {
        let server = Server::start().await;
        let mut ada = server.connect("/party/lobby?_pk=ada").await;
        server.signal(signal).await;
        assert_eq!(ada.closed().await, (1012, RESTARTING.to_owned()));
        ada.send(frame(CLOSE, close_payload(1012, RESTARTING))).await;
        ada.ends().await;
        drop(ada);
        assert_eq!(server.ended().await, Some(0), "{signal}");
    }
}

/// A hook never ends; the first signal waits for it, the second does not.
#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let server = Server::start().await;
    let mut ada = server.connect("/party/lobby?_pk=ada").await;
    let mut bob = server.connect("/parties/waiting/lobby?_pk=bob").await;
    bob.send(frame(TEXT, "for ever")).await;
    assert_eq!(bob.next_text().await, "begun");

    server.signal("TERM").await;
    assert_eq!(ada.closed().await, (1012, RESTARTING.to_owned()));
    server.signal("TERM").await;

    assert_eq!(server.ended().await, Some(130));
}
