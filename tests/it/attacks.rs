//! What nobody does on purpose: values that panic when they are dropped or shown, futures
//! that are dropped half-way, handles in foreign threads, rooms that end while others come.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use partyrs::Hook;
use partyrs::prelude::*;
use partyrs::storage::{CommitError, MemoryEngine};
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use tokio::sync::{Semaphore, mpsc};

use crate::held::HeldEngine;
use crate::tower::tower_get;

/// Panics whenever it is dropped, even while another one does.
#[derive(Clone, Debug)]
struct Grenade;

impl Drop for Grenade {
    fn drop(&mut self) {
        panic!("a grenade");
    }
}

/// An error that cannot be shown; with a grenade, it cannot be dropped either.
#[derive(Debug)]
struct Unspeakable(#[expect(dead_code, reason = "it is there to be dropped")] Option<Grenade>);

impl fmt::Display for Unspeakable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("unspeakable")
    }
}

impl std::error::Error for Unspeakable {}

/// A party of grenades; what its messages say is in `on_message`.
struct Minefield {
    starts_count: u32,
}

type Handles = mpsc::UnboundedSender<RoomHandle<Minefield>>;

impl PartyServer for Minefield {
    type Message = String;

    async fn on_before_connect(head: &mut Head, _: &Lobby) -> Result<Admission> {
        if head.query("grenade").is_some() {
            head.extensions_mut().insert(Grenade);
        }
        Ok(Admission::Admit)
    }

    async fn on_start(room: &Room) -> Result<Self> {
        room.env::<Handles>()?.send(room.handle())?;
        let starts_count = room.storage().get("starts").await?.unwrap_or(0) + 1;
        room.storage().put("starts", &starts_count)?;
        Ok(Self { starts_count })
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, order: String) -> Result<()> {
        match order.as_str() {
            "put" => room.storage().put("k", "v")?,
            "starts" => sender.send(self.starts_count.to_string())?,
            "tasks, then fail" => {
                room.storage().put("k", "v")?;
                tasks_with_grenades(room);
                return Err(Error::new("as told"));
            }
            "tasks" => tasks_with_grenades(room),
            "task" => told_by_a_task(room),
            "task, then panic" => {
                told_by_a_task(room);
                panic!("as told");
            }
            "panic" => panic!("as told"),
            "unspeakable" => return Err(Unspeakable(None).into()),
            "unspeakable grenade" => return Err(Unspeakable(Some(Grenade)).into()),
            "hang" => std::future::pending().await,
            _ => drop(room.broadcast(order)?),
        }
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        match request.uri().query() {
            Some("unspeakable") => Err(Unspeakable(None).into()),
            _ => {
                room.storage().put("k", "v")?;
                let grenade = Grenade;
                let chunk = move || {
                    let _ = &grenade;
                    Ok::<_, std::io::Error>(Bytes::new())
                };
                Ok(Response::stream(stream::iter(std::iter::repeat_with(chunk))))
            }
        }
    }

    async fn on_error(&mut self, room: &Room, failure: &Failure) {
        let _ = room.broadcast(format!("error in {}", failure.hook));
    }
}

fn tasks_with_grenades(room: &Room) {
    for _ in 0..2 {
        let grenade = Grenade;
        room.spawn(async move {
            let _grenade = &grenade;
            std::future::pending().await
        });
    }
}

fn told_by_a_task(room: &Room) {
    let handle = room.handle::<Minefield>();
    room.spawn(async move {
        handle.broadcast("from a task").await?;
        Ok(())
    });
}

/// A minefield over an engine that holds commits on demand, and the handles of its rooms.
struct Field {
    host: TestHost,
    engine: Arc<HeldEngine>,
    handles: mpsc::UnboundedReceiver<RoomHandle<Minefield>>,
}

impl Field {
    async fn begin() -> Self {
        // Whatever is logged is also written, so that what cannot be shown is asked for.
        crate::log::keep();
        let (engine, (handles, opened)) = (Arc::new(HeldEngine::new()), mpsc::unbounded_channel());
        engine.recover();
        let builder = Host::builder().party::<Minefield>("main").env(handles).debug_errors(true);
        let host = TestHost::of(builder.storage(engine.clone())).await;
        Self { host, engine, handles: opened }
    }

    async fn handle(&mut self) -> RoomHandle<Minefield> {
        soon(self.handles.recv()).await.expect("a room that opens")
    }
}

async fn starts_count(client: &mut TestClient) -> String {
    client.send("starts").await;
    client.next_text().await
}

#[tokio::test]
async fn an_error_that_cannot_be_shown_or_dropped_is_an_error_like_any_other() {
    let field = Field::begin().await;
    let mut ada = field.host.join("lobby").await;

    let response = field.host.get("/party/lobby?unspeakable").await;

    assert_eq!(response.status(), 500);
    assert_eq!(ada.next_text().await, "error in on_request");
    for order in ["unspeakable", "unspeakable grenade"] {
        ada.send(order).await;
        assert_eq!(ada.next_text().await, "error in on_message");
    }
    assert_eq!(starts_count(&mut ada).await, "1");
}

#[tokio::test]
async fn tasks_that_never_start_may_all_panic_when_they_are_dropped() {
    let field = Field::begin().await;
    let mut ada = field.host.join("lobby").await;

    ada.send("tasks, then fail").await;

    assert_eq!(ada.next_text().await, "error in on_message");
    assert_eq!(starts_count(&mut ada).await, "2");
}

/// Whatever a room holds when its commit fails: a response, tasks, members, and those who wait.
#[tokio::test]
async fn a_room_of_grenades_tells_everybody_that_its_commit_failed() {
    let mut field = Field::begin().await;
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(field.host.connect("/party/lobby?grenade=1").await);
    }
    members[0].send("ready").await;
    assert_eq!(members[2].next_text().await, "ready");
    let handle = field.handle().await;
    field.engine.hold();
    let request = tokio::spawn({
        let addr = field.host.addr();
        async move { plain_get(addr, "/party/lobby").await }
    });
    let begun = field.engine.arrived_count();
    field.host.until(|_| field.engine.arrived_count() > begun).await;
    members[1].send("tasks").await;
    members[1].send("hang").await;
    let mut waiting = field.host.connect("/party/lobby?grenade=1").await;
    let grenade = Grenade;
    let mut call = Box::pin(handle.run(async move |_, _| {
        let _grenade = &grenade;
        Ok(())
    }));
    assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());

    field.engine.fail_with(CommitError::Failed("the disk is gone".into()));

    for member in &mut members {
        assert_eq!(member.closed().await, (1011, "Storage failed".to_owned()));
    }
    assert_eq!(waiting.closed().await, (1011, "Storage failed".to_owned()));
    assert!(soon(request).await.unwrap().starts_with("HTTP/1.1 503"));
    assert!(soon(call).await.is_err());
    drop(members);
    drop(waiting);
    field.engine.recover();
    let mut ada = field.host.join("lobby").await;
    assert_eq!(starts_count(&mut ada).await, "2");
    field.host.until(|host| host.connections_count() == 1).await;
}

async fn plain_get(addr: std::net::SocketAddr, path: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut tcp = tokio::net::TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon(tcp.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_task_that_has_not_started_ends_with_the_server_that_spawned_it() {
    let field = Field::begin().await;
    let mut ada = field.host.join("lobby").await;
    assert_eq!(starts_count(&mut ada).await, "1");

    // Spawned by the hook that fails.
    ada.send("task, then panic").await;
    assert_eq!(ada.next_text().await, "error in on_message");
    ada.hears_nothing().await;

    // Spawned by an earlier hook, held back by a commit.
    field.engine.hold();
    let begun = field.engine.arrived_count();
    for order in ["put", "task", "panic"] {
        ada.send(order).await;
    }
    field.host.until(|_| field.engine.arrived_count() > begun + 1).await;
    field.engine.recover();
    assert_eq!(ada.next_text().await, "error in on_message");
    assert_eq!(starts_count(&mut ada).await, "3");
    ada.hears_nothing().await;
}

#[tokio::test]
async fn a_host_that_is_killed_drops_what_its_rooms_hold_one_by_one() {
    let field = Field::begin().await;
    let mut ada = field.host.connect("/party/lobby?grenade=1").await;
    let mut bob = field.host.connect("/party/lobby?grenade=1").await;
    field.engine.hold();
    for order in ["put", "tasks", "ready"] {
        ada.send(order).await;
    }
    ada.hears_nothing().await;

    field.host.kill().await;

    assert_eq!((ada.closed().await.0, bob.closed().await.0), (1006, 1006));
}

/// Blocks its shard until the test lets it go, and counts what it is asked.
struct Counter;

type Doors = Arc<Mutex<std::sync::mpsc::Receiver<()>>>;

impl PartyServer for Counter {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        if let Ok(handles) = room.env::<mpsc::UnboundedSender<RoomHandle<Counter>>>() {
            let _ = handles.send(room.handle());
        }
        Ok(Counter)
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, order: String) -> Result<()> {
        match order.as_str() {
            "wait" => {
                sender.send("waiting")?;
                room.env::<Arc<Semaphore>>()?.acquire().await?.forget();
            }
            _ => sender.send(self.add(room).await?.to_string())?,
        }
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.uri().query() == Some("block") {
            room.env::<mpsc::UnboundedSender<()>>()?.send(())?;
            let _ = room.env::<Doors>()?.lock().unwrap().recv();
        }
        Ok(Response::text(self.add(room).await?.to_string()))
    }
}

impl Counter {
    async fn add(&mut self, room: &Room) -> Result<u64> {
        let count = room.storage().get("count").await?.unwrap_or(0) + 1;
        room.storage().put("count", &count)?;
        Ok(count)
    }
}

/// A room whose task has not had its first turn yet.
#[tokio::test]
async fn who_waits_for_a_room_that_never_began_is_refused_when_the_host_ends() {
    let (begun, mut is_begun) = mpsc::unbounded_channel::<()>();
    let (open, door) = std::sync::mpsc::channel();
    let doors: Doors = Arc::new(Mutex::new(door));
    let builder = Host::builder().party::<Counter>("main").config(|config| config.shards = 1);
    let host = TestHost::of(builder.env(begun).env(doors)).await;
    // Not by the host's own connections: they are cut.
    let blocked = tokio::spawn(tower_get(host.service(), "/party/a?block"));
    soon(is_begun.recv()).await.unwrap();
    let waiting = tokio::spawn(tower_get(host.service(), "/party/b"));
    host.until(|host| host.rooms_count() == 2).await;

    drop(host);
    open.send(()).unwrap();

    assert_eq!(soon(waiting).await.unwrap().0, 503);
    soon(blocked).await.unwrap();
}

/// The clock of the machine, and a thread whose runtime has no timers.
#[tokio::test]
async fn a_handle_works_on_a_thread_that_knows_nothing_of_the_host() {
    // Below the ports that the system gives out, so that no other test has it.
    let port = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let addr = std::net::SocketAddr::from(([127, 0, 0, 1], port));
    let (handles, mut opened) = mpsc::unbounded_channel::<RoomHandle<Counter>>();
    let builder = Host::builder().party::<Counter>("main").env(handles);
    let host = builder.storage(Arc::new(MemoryEngine::new())).build().unwrap();
    let served = tokio::spawn(host.serve(addr));
    soon(async {
        while tokio::net::TcpStream::connect(addr).await.is_err() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(plain_get(addr, "/party/a").await.ends_with("\r\n\r\n1"));
    let handle = soon(opened.recv()).await.unwrap();

    let elsewhere = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(handle.run(async |counter, room| counter.add(room).await))
    });

    let count = soon(tokio::task::spawn_blocking(|| elsewhere.join())).await.unwrap();
    assert_eq!(count.expect("no panic").unwrap(), 2);
    served.abort();
}

/// One place in the mailbox, and callers that go away while they wait for it.
#[tokio::test]
async fn calls_that_are_dropped_while_they_wait_leave_their_place_to_others() {
    let (handles, mut opened) = mpsc::unbounded_channel::<RoomHandle<Counter>>();
    let go_on = Arc::new(Semaphore::new(0));
    let builder = Host::builder().party::<Counter>("main").env(handles).env(Arc::clone(&go_on));
    let host = TestHost::of(builder.config(|config| config.mailbox_events_max = 1)).await;
    let mut ada = host.join("lobby").await;
    ada.send("wait").await;
    assert_eq!(ada.next_text().await, "waiting");
    let handle = soon(opened.recv()).await.unwrap();
    let call = || Box::pin(handle.run(async |counter: &mut Counter, room| counter.add(room).await));
    let mut cx = Context::from_waker(Waker::noop());

    for _ in 0..3 {
        let mut calls: Vec<_> = (0..100).map(|_| call()).collect();
        for call in &mut calls {
            assert!(call.as_mut().poll(&mut cx).is_pending());
        }
        // Those in the middle first: they must not take what others were promised.
        calls.drain(20..60);
    }
    let mut last = call();
    assert!(last.as_mut().poll(&mut cx).is_pending());
    go_on.add_permits(1);

    // The first that came is in the mailbox and is done though nobody waits; no other is.
    assert_eq!(soon(last).await.unwrap(), 2);
    ada.send("count").await;
    assert_eq!(ada.next_text().await, "3");
}

/// Rooms are evicted all the time while requests, calls and members come from several threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_between_a_room_that_is_evicted_and_those_who_come() {
    const ROOMS: usize = 3;
    const ROUNDS: usize = 60;
    let (handles, mut opened) = mpsc::unbounded_channel::<RoomHandle<Counter>>();
    let builder = Host::builder().party::<Counter>("main").env(handles);
    let short = Duration::from_millis(1);
    let host = TestHost::of(builder.config(|config| (config.idle_after, config.shards) = (short, 2))).await;
    let host = Arc::new(host);
    let mut rooms = Vec::new();
    for room in 0..ROOMS {
        host.get(&format!("/party/{room}")).await;
        rooms.push(soon(opened.recv()).await.unwrap());
    }
    let ticking = tokio::spawn({
        let host = Arc::clone(&host);
        async move {
            loop {
                host.advance(short);
                tokio::task::yield_now().await;
            }
        }
    });
    let mut visitors = tokio::task::JoinSet::new();
    for (room, handle) in rooms.into_iter().enumerate() {
        let (calling, asking, joining) = (Arc::clone(&host), Arc::clone(&host), Arc::clone(&host));
        visitors.spawn(async move {
            let _host = calling;
            for _ in 0..ROUNDS {
                handle.run(async |counter, room| counter.add(room).await).await.unwrap();
            }
        });
        visitors.spawn(async move {
            for _ in 0..ROUNDS {
                assert_eq!(asking.get(&format!("/party/{room}")).await.status(), 200);
            }
        });
        visitors.spawn(async move {
            for _ in 0..ROUNDS {
                let mut client = joining.join(&room.to_string()).await;
                client.send("count").await;
                client.next_text().await;
                client.close(Some((1000, ""))).await;
            }
        });
    }
    while let Some(visitor) = soon(visitors.join_next()).await {
        visitor.unwrap();
    }
    let opened_count = std::iter::from_fn(|| opened.try_recv().ok()).count();
    for room in 0..ROOMS {
        let count = host.get(&format!("/party/{room}")).await;
        assert_eq!(count.body(), (3 * ROUNDS + 2).to_string().as_bytes());
    }
    host.until(|host| (host.rooms_count(), host.connections_count()) == (0, 0)).await;
    assert!(opened_count > ROOMS, "no room was evicted while others came: {opened_count}");
    ticking.abort();
}

/// Writes and tells in every hook that it has.
struct Diligent {
    starts_count: u32,
}

impl Diligent {
    fn does(&mut self, room: &Room, hook: &str) -> Result<()> {
        room.storage().put(hook, &self.starts_count)?;
        room.broadcast(hook)?;
        Ok(())
    }
}

impl PartyServer for Diligent {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        let starts_count = room.storage().get("starts").await?.unwrap_or(0) + 1;
        room.storage().put("starts", &starts_count)?;
        room.broadcast(format!("start {starts_count}"))?;
        Ok(Self { starts_count })
    }

    async fn connection_tags(
        &mut self,
        room: &Room,
        _: &Connection,
        _: &ConnectContext,
    ) -> Result<Vec<String>> {
        self.does(room, "tags")?;
        Ok(Vec::new())
    }

    async fn on_connect(&mut self, room: &Room, _: &Connection, _: &ConnectContext) -> Result<()> {
        self.does(room, "connect")
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, order: String) -> Result<()> {
        match order.as_str() {
            "panic" => panic!("as told"),
            "task" => room.spawn(async { Err(Error::new("as told")) }),
            _ => self.does(room, "message")?,
        }
        Ok(())
    }

    async fn on_invalid(&mut self, room: &Room, _: &Connection, _: &ParseError) -> Result<()> {
        self.does(room, "invalid")
    }

    async fn on_close(&mut self, room: &Room, _: &Connection, _: &Close) -> Result<()> {
        self.does(room, "close")
    }

    async fn on_error(&mut self, room: &Room, _: &Failure) {
        self.does(room, "error").unwrap();
    }
}

#[tokio::test]
async fn what_any_hook_tells_waits_for_what_it_wrote() {
    let engine = Arc::new(HeldEngine::new());
    engine.recover();
    let builder = Host::builder().party::<Diligent>("main");
    let host = TestHost::of(builder.storage(engine.clone())).await;
    let mut ada = host.join("lobby").await;
    assert_eq!((ada.next_text().await, ada.next_text().await), ("tags".into(), "connect".into()));
    let mut others = Vec::new();
    for (what, hooks) in [
        ("join", &["tags", "connect"][..]),
        ("say", &["message"]),
        ("binary", &["invalid"]),
        ("leave", &["close"]),
        ("task", &["error"]),
        ("panic", &["start 2", "error"]),
    ] {
        engine.hold();
        let begun = engine.arrived_count();
        match what {
            "join" => others.push(host.join("lobby").await),
            "binary" => ada.send(Frame::binary(vec![1])).await,
            "leave" => drop(others.pop()),
            order => ada.send(order).await,
        }
        host.until(|_| engine.arrived_count() == begun + hooks.len()).await;
        ada.hears_nothing().await;
        engine.recover();
        for hook in hooks {
            assert_eq!(&ada.next_text().await, hook, "after {what}");
        }
    }
}

/// Fails where it is told to, and then in `on_error` as well.
struct Doomed;

impl PartyServer for Doomed {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Doomed)
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        Ok(connection.set_state("joined")?)
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, order: String) -> Result<()> {
        match order.as_str() {
            // Everything that can be taken back, around a sync.
            "all" => {
                sender.set_state("before the sync")?;
                room.storage().put("k", "before the sync")?;
                room.storage().sync().await;
                sender.set_state("after the sync")?;
                room.storage().put("k", "after the sync")?;
                sender.set_state("once more")?;
                sender.close(4000, "never seen")?;
                room.storage().delete_all();
                room.broadcast("never seen")?;
                panic!("as told");
            }
            "close, put, panic" => {
                sender.close(4000, "seen")?;
                room.storage().put("k", "never there")?;
                panic!("as told");
            }
            "show" => {
                let stored: Option<String> = room.storage().get("k").await?;
                let state: Option<String> = sender.state()?;
                room.broadcast(format!("{stored:?} {state:?} {}", room.connections_count()))?;
            }
            _ => panic!("as told"),
        }
        Ok(())
    }

    async fn on_close(&mut self, _: &Room, _: &Connection, _: &Close) -> Result<()> {
        panic!("in on_close")
    }

    async fn on_error(&mut self, room: &Room, failure: &Failure) {
        if failure.hook != Hook::Close {
            room.storage().put("k", "never there").unwrap();
            let _ = room.broadcast("never seen");
            panic!("in on_error");
        }
    }
}

#[tokio::test]
async fn a_hook_that_fails_and_an_on_error_that_fails_leave_what_the_sync_kept() {
    let builder = Host::builder().party::<Doomed>("main");
    let host = TestHost::of(builder.config(|config| config.restarts_max = 10)).await;
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);

    ada.send("all").await;

    ada.send("show").await;
    let kept = r#"Some("before the sync") Some("before the sync") 2"#;
    assert_eq!((ada.next_text().await, bob.next_text().await), (kept.to_owned(), kept.to_owned()));
    ada.send("close, put, panic").await;
    assert_eq!(ada.closed().await, (4000, "seen".to_owned()));
    bob.send("show").await;
    assert_eq!(bob.next_text().await, r#"Some("before the sync") Some("joined") 1"#);
}

/// Every `on_close` panics; the room breaks half-way, and nobody is left behind.
#[tokio::test]
async fn a_host_ends_though_every_on_close_panics() {
    let host = TestHost::start::<Doomed>().await;
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(host.join("lobby").await);
    }
    let stopped = tokio::spawn(host.stop());
    for client in &mut clients {
        assert_eq!(client.closed().await, (1012, "Server is restarting".to_owned()));
    }
    drop(clients);
    soon(stopped).await.unwrap();
}

/// Commits fail and land by turns while visitors come; whatever the timing, the room's count
/// is the number of those who were told that theirs was done.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_failed_commit_is_told_to_those_whose_write_is_gone_and_to_nobody_else() {
    let engine = Arc::new(HeldEngine::new());
    engine.recover();
    let builder = Host::builder().party::<Counter>("main");
    let host = Arc::new(TestHost::of(builder.storage(engine.clone())).await);
    let mut visitors = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let host = Arc::clone(&host);
        visitors.spawn(async move {
            let mut done_count = 0;
            for _ in 0..100 {
                match host.get("/party/a").await.status().as_u16() {
                    200 => done_count += 1,
                    status => assert_eq!(status, 503),
                }
            }
            done_count
        });
    }
    for _ in 0..2 {
        let host = Arc::clone(&host);
        visitors.spawn(async move {
            for _ in 0..100 {
                drop(host.join("a").await);
            }
            0
        });
    }
    let failing = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move {
            loop {
                engine.fail_with(CommitError::Failed("the disk is gone".into()));
                for_a_while(50).await;
                engine.recover();
                for_a_while(200).await;
            }
        }
    });
    let mut done_count = 0;
    while let Some(visitor) = soon(visitors.join_next()).await {
        done_count += visitor.unwrap();
    }
    failing.abort();
    assert!(soon(failing).await.is_err());
    engine.recover();

    assert_eq!(host.get("/party/a").await.body(), (done_count + 1).to_string().as_bytes());
    host.until(|host| host.connections_count() == 0).await;
}

async fn for_a_while(turns_count: usize) {
    for _ in 0..turns_count {
        tokio::task::yield_now().await;
    }
}
