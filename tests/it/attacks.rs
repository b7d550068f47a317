//! What nobody does on purpose: values that panic when they are dropped or shown, futures
//! that are dropped half-way, handles in foreign threads, rooms that end while others come.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::Bytes;
use futures_util::stream;
use partyrs::prelude::*;
use partyrs::storage::CommitError;
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use tokio::sync::mpsc;

use crate::held::HeldEngine;

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
        let _ = tracing_subscriber::fmt().with_writer(std::io::sink).try_init();
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
