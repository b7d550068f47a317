//! A host inside another server: axum, hyper by itself, and none at all.

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, OriginalUri, Request as AxumRequest, State as AxumState};
use axum::middleware::{self, Next};
use axum::response::Response as AxumResponse;
use axum::routing::get;
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use http::{Request as HttpRequest, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use partyrs::prelude::*;
use partyrs::storage::MemoryEngine;
use partyrs::{CallError, PartyError};
use partyrs_runtime::storage::RedbEngine;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use partyrs_runtime::{Builder, Cors, Host, HostError, HostService, RemoteAddr, RunningHost};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;
use tower::ServiceExt;

use crate::faulty::{Call, FaultyDisk};
use crate::http::raw::{Answer, Raw as Plain};
use crate::log;
use crate::upgrade::raw::{CLOSE, Raw, TEXT, close_payload, frame, upgrade_request};

/// Says everything to everyone, and tells who they are to it.
struct Talk;

/// What a login of the outer server knows.
#[derive(Clone)]
struct User(&'static str);

impl PartyServer for Talk {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Talk)
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        Ok(connection.send("welcome")?)
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, message: Frame) -> Result<()> {
        match message.as_text() {
            Some("addr") => sender.send(sender.remote_addr().to_string())?,
            Some("uri") => sender.send(sender.uri().to_string())?,
            Some("user") => sender.send(sender.extension::<User>().map_or("nobody", |user| user.0))?,
            Some("close") => sender.close(4000, "as told")?,
            _ => drop(room.broadcast(message)?),
        }
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.query("alarm").is_some() {
            room.storage().set_alarm(Duration::ZERO)?;
        }
        if request.query("store").is_some() {
            room.storage().put("k", "v")?;
        }
        let facts = [
            request.uri().to_string(),
            request.remote_addr().to_string(),
            request.extension::<OriginalUri>().map_or_else(String::new, |uri| uri.0.to_string()),
            request.bytes().len().to_string(),
        ];
        Ok(Response::text(facts.join(" ")))
    }

    async fn on_alarm(&mut self, room: &Room, _: &Alarm) -> Result<()> {
        room.broadcast("alarm")?;
        Ok(())
    }

    async fn on_before_connect(head: &mut Head, _: &Lobby) -> Result<Admission> {
        match head.query("do").as_deref() {
            Some("close") => Ok(Admission::Close(CloseFrame::new(4001, "no")?)),
            Some("respond") => Ok(Admission::Respond(Response::status(StatusCode::IM_A_TEAPOT))),
            Some("fail") => Err(Error::new("as told")),
            _ => Ok(Admission::Admit),
        }
    }

    async fn on_before_request(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        if head.query("wait").is_some() {
            lobby.env::<Arc<Semaphore>>()?.acquire().await?.forget();
        }
        Ok(Admission::Admit)
    }
}

impl LobbyServer for Talk {
    async fn on_fetch(&self, request: Request, _: &HostLobby) -> Result<Option<Response>> {
        Ok((request.uri().path() == "/fetched").then(|| Response::text("by on_fetch")))
    }
}

fn builder() -> Builder {
    Host::builder().party::<Talk>("main").config(|config| config.shards = 2)
}

/// A host without a listener and with its own clock, in memory.
fn started(builder: Builder) -> RunningHost {
    builder.storage(Arc::new(MemoryEngine::new())).build().unwrap().start().unwrap()
}

/// A server around a host; it ends with its test.
pub(crate) struct Outer {
    addr: SocketAddr,
    task: JoinHandle<()>,
}

impl Outer {
    pub(crate) async fn axum(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        let task = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { addr, task }
    }

    pub(crate) async fn of(service: HostService) -> Self {
        Self::axum(Router::new().fallback_service(service)).await
    }

    /// hyper by itself, on bare TCP.
    async fn hyper(service: HostService) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                tokio::spawn(serve_stream(tcp, service.clone()));
            }
        });
        Self { addr, task }
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw::over(TcpStream::connect(self.addr).await.unwrap())
    }

    /// A WebSocket that has been welcomed.
    pub(crate) async fn member(&self, path: &str) -> Raw {
        let mut raw = self.raw().await;
        raw.upgrade(path).await;
        assert_eq!(raw.next_text().await, "welcome");
        raw
    }

    async fn get(&self, path: &str) -> Answer {
        self.request(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")).await
    }

    async fn request(&self, request: &str) -> Answer {
        let mut plain = Plain::connect_to(self.addr).await;
        plain.send(request).await;
        plain.answer().await
    }
}

impl Drop for Outer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves one connection by hyper, whatever it is.
async fn serve_stream(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, service: HostService) {
    let service = TowerToHyperService::new(service);
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Clients come and go as they like.
    drop(connection.with_upgrades().await);
}

/// What a client hears that speaks, and how its socket ends.
async fn speaks_and_closes(mut raw: Raw) {
    raw.send(frame(TEXT, "hi")).await;
    assert_eq!(raw.next_text().await, "hi");
    let long = "x".repeat(300_000);
    raw.send(frame(TEXT, &long)).await;
    assert_eq!(raw.next_text().await, long);
    raw.send(frame(CLOSE, close_payload(4002, "bye"))).await;
    assert_eq!(raw.closed().await, (4002, "bye".to_owned()));
    raw.ends().await;
}

#[tokio::test]
async fn a_websocket_joins_speaks_and_closes_under_axum_and_under_hyper() {
    let host = TestHost::of(builder()).await;
    for outer in [Outer::of(host.service()).await, Outer::hyper(host.service()).await] {
        speaks_and_closes(outer.member("/party/lobby").await).await;
        let mut raw = outer.member("/parties/main/lobby").await;
        raw.send(frame(TEXT, "close")).await;
        assert_eq!(raw.closed().await, (4000, "as told".to_owned()));
        host.until(|host| host.connections_count() == 1).await;
        drop(raw);
        host.until(|host| host.connections_count() == 0).await;
    }
}

#[tokio::test]
async fn what_a_client_sends_right_behind_its_upgrade_is_not_lost() {
    let host = TestHost::of(builder()).await;
    for outer in [Outer::of(host.service()).await, Outer::hyper(host.service()).await] {
        let mut raw = outer.raw().await;
        let early = [upgrade_request("/party/lobby").into_bytes(), frame(TEXT, "early")].concat();
        raw.send(early).await;
        assert_eq!(raw.answer().await.status, 101);
        assert_eq!([raw.next_text().await, raw.next_text().await], ["welcome", "early"]);
    }
}

#[tokio::test]
async fn who_came_by_axum_and_who_came_by_the_hosts_own_address_are_in_one_room() {
    let host = TestHost::of(builder()).await;
    let outer = Outer::of(host.service()).await;
    let mut ada = outer.member("/party/lobby").await;
    let mut bob: TestClient = host.join("lobby").await;
    assert_eq!(bob.next_text().await, "welcome");
    bob.send("from bob").await;
    assert_eq!((ada.next_text().await, bob.next_text().await), ("from bob".into(), "from bob".into()));
    ada.send(frame(TEXT, "from ada")).await;
    assert_eq!((ada.next_text().await, bob.next_text().await), ("from ada".into(), "from ada".into()));
}

#[tokio::test]
async fn a_refused_upgrade_reaches_its_client() {
    let host = TestHost::of(builder().allowed_origins(["https://app.example"])).await;
    let outer = Outer::of(host.service()).await;
    let refused = async |request: String| {
        let mut raw = outer.raw().await;
        raw.send(request).await;
        let answer = raw.answer().await;
        (answer.status, answer.body)
    };
    let good = upgrade_request("/party/lobby");
    let foreign = good.replace("Host: x", "Host: x\r\nOrigin: https://evil.example");
    assert_eq!(refused(foreign).await, (403, "Origin https://evil.example is not allowed".into()));
    assert_eq!(refused(upgrade_request("/party/lobby?do=respond")).await, (418, String::new()));
    assert_eq!(refused(upgrade_request("/party/lobby?do=fail")).await.0, 500);
    assert_eq!(refused(upgrade_request("/parties/x/y")).await, (404, "Party x not found".into()));
    assert_eq!(refused(good.replace("13", "12")).await.0, 426);
    assert_eq!(refused(good.replace("dGhl", "")).await.0, 400);

    let mut raw = outer.raw().await;
    raw.upgrade("/party/lobby?do=close").await;
    assert_eq!(raw.closed().await, (4001, "no".into()));
    raw.ends().await;
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn below_a_prefix_the_host_sees_the_rest_of_the_path() {
    let host = TestHost::of(builder()).await;
    let app = Router::new().route("/", get(async || "home")).nest_service("/live", host.service());
    let outer = Outer::axum(app).await;
    let mut raw = outer.member("/live/party/lobby?a=b").await;
    raw.send(frame(TEXT, "uri")).await;
    assert_eq!(raw.next_text().await, "/party/lobby?a=b");

    assert_eq!(outer.get("/").await.text(), "home");
    let answer = outer.get("/live/parties/main/lobby?a=b").await.text();
    let facts: Vec<&str> = answer.split(' ').collect();
    assert_eq!((facts[0], facts[2]), ("/parties/main/lobby?a=b", "/live/parties/main/lobby?a=b"));
    assert_eq!(outer.get("/party/lobby").await.status, 404, "not at the top");
    assert_eq!(outer.get("/live").await.text(), "Not found", "the host's own words");
}

#[tokio::test]
async fn a_route_of_its_own_leaves_the_path_as_it_is() {
    let host = TestHost::of(builder()).await;
    let outer = Outer::axum(Router::new().route_service("/party/{room}", host.service())).await;
    let mut raw = outer.member("/party/lobby").await;
    raw.send(frame(TEXT, "uri")).await;
    assert_eq!(raw.next_text().await, "/party/lobby");
    assert_eq!(outer.get("/parties/main/lobby").await.text(), "", "axum's own 404");
}

#[tokio::test]
async fn a_middleware_around_it_sees_requests_upgrades_and_refusals() {
    type Seen = Arc<[AtomicUsize; 2]>;
    async fn watch(AxumState(seen): AxumState<Seen>, request: AxumRequest, next: Next) -> AxumResponse {
        seen[0].fetch_add(1, Ordering::Relaxed);
        let mut response = next.run(request).await;
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            seen[1].fetch_add(1, Ordering::Relaxed);
        }
        response.headers_mut().insert("x-seen", "yes".parse().unwrap());
        response
    }

    let host = TestHost::of(builder()).await;
    let seen = Seen::default();
    let app = Router::new().fallback_service(host.service());
    let app = app.layer(middleware::from_fn_with_state(Arc::clone(&seen), watch));
    let outer = Outer::axum(app).await;
    let mut raw = outer.raw().await;
    let answer = raw.upgrade("/party/lobby").await;
    assert!(answer.head.contains("x-seen: yes"), "{answer:?}");
    assert_eq!(outer.get("/party/lobby").await.header("x-seen"), Some("yes"));
    assert_eq!(outer.get("/nowhere").await.header("x-seen"), Some("yes"));
    assert_eq!([seen[0].load(Ordering::Relaxed), seen[1].load(Ordering::Relaxed)], [3, 1]);
}

#[tokio::test]
async fn what_a_middleware_puts_into_the_extensions_reaches_the_hooks() {
    async fn login(
        ConnectInfo(addr): ConnectInfo<SocketAddr>,
        mut request: AxumRequest,
        next: Next,
    ) -> AxumResponse {
        request.extensions_mut().insert(User("ada"));
        request.extensions_mut().insert(RemoteAddr(addr));
        next.run(request).await
    }

    let host = TestHost::of(builder()).await;
    let known = Router::new().fallback_service(host.service()).layer(middleware::from_fn(login));
    let known = Outer::axum(known).await;
    let tcp = TcpStream::connect(known.addr).await.unwrap();
    let own_addr = tcp.local_addr().unwrap().to_string();
    let mut raw = Raw::over(tcp);
    raw.upgrade("/party/lobby").await;
    assert_eq!(raw.next_text().await, "welcome");
    raw.send([frame(TEXT, "user"), frame(TEXT, "addr")].concat()).await;
    assert_eq!([raw.next_text().await, raw.next_text().await], ["ada".to_owned(), own_addr]);

    let unknown = Outer::of(host.service()).await;
    let mut raw = unknown.member("/party/lobby").await;
    raw.send([frame(TEXT, "user"), frame(TEXT, "addr")].concat()).await;
    assert_eq!([raw.next_text().await, raw.next_text().await], ["nobody", "0.0.0.0:0"]);
    assert_eq!(unknown.get("/party/lobby").await.text().split(' ').nth(1), Some("0.0.0.0:0"));
}

#[tokio::test]
async fn limits_of_the_host_hold_under_axum() {
    let limits = |builder: Builder| {
        builder.config(|config| {
            (config.body_bytes_max, config.connections_max) = (4_000_000, Some(1));
        })
    };
    let host = TestHost::of(limits(builder())).await;
    let outer = Outer::of(host.service()).await;
    let post = async |length: usize| {
        let mut plain = Plain::connect_to(outer.addr).await;
        let head = format!("POST /party/lobby HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n");
        plain.send(head).await;
        if length <= 4_000_000 {
            plain.send(vec![0; length]).await;
        }
        plain.answer().await
    };
    // More than axum's own extractors would take.
    assert_eq!(post(4_000_000).await.text().split(' ').nth(3), Some("4000000"));
    let answer = post(4_000_001).await;
    assert_eq!((answer.status, answer.text()), (413, "Body is longer than 4000000 bytes".into()));

    let _ada = outer.member("/party/lobby").await;
    let mut bob = outer.raw().await;
    bob.send(upgrade_request("/party/lobby")).await;
    assert_eq!(bob.answer().await.status, 503);
}

#[tokio::test]
async fn static_files_on_fetch_and_cors_answer_under_axum() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("file.txt"), "a file").unwrap();
    std::fs::create_dir(files.path().join("folder")).unwrap();
    std::fs::write(files.path().join("folder/index.html"), "a folder").unwrap();
    let host = builder().assets(files.path()).lobby(Talk).cors(Cors::permissive());
    let host = TestHost::of(host).await;
    let outer = Outer::of(host.service()).await;
    let get = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nOrigin: https://a.b\r\n\r\n");
        let answer = outer.request(&request).await;
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
        (answer.status, answer.text())
    };
    assert_eq!(get("/file.txt").await, (200, "a file".into()));
    assert_eq!(get("/fetched").await, (200, "by on_fetch".into()));
    assert_eq!(get("/nowhere").await, (404, "Not found".into()));

    // Why files belong where nothing is stripped: the host knows of no prefix.
    let below = Outer::axum(Router::new().nest_service("/live", host.service())).await;
    assert_eq!(below.get("/live/file.txt").await.text(), "a file");
    assert_eq!(below.get("/live/folder").await.header("location"), Some("/folder/"));
}

#[tokio::test]
async fn code_outside_of_hooks_reaches_rooms_and_alarms_go_off_under_axum() {
    let host = started(builder());
    let outer = Outer::of(host.service()).await;
    let mut raw = outer.member("/party/lobby").await;
    let lobby = host.parties().party::<Talk>("main").unwrap().room("lobby").unwrap();
    let count = lobby.run(async |_, room| Ok(room.connections_count())).await.unwrap();
    assert_eq!(count, 1);
    lobby.broadcast("from outside").await.unwrap();
    assert_eq!(raw.next_text().await, "from outside");

    assert_eq!(outer.get("/party/lobby?alarm=now").await.status, 200);
    assert_eq!(raw.next_text().await, "alarm");
    host.shutdown().await.unwrap();
    let call = lobby.run(async |_, _| Ok(())).await;
    assert!(matches!(call, Err(CallError::Unavailable)), "{call:?}");
}

#[tokio::test]
async fn a_shutdown_closes_sockets_with_1012_and_answers_503() {
    let folder = tempfile::tempdir().unwrap();
    let stored = || builder().data(folder.path()).build().unwrap();
    let host = stored().start().unwrap();
    let outer = Outer::of(host.service()).await;
    let mut raw = outer.member("/party/lobby").await;
    let stopping = host.stopping();
    let ended = tokio::spawn(host.shutdown());
    soon(stopping).await;
    assert_eq!(raw.closed().await, (1012, "Server is restarting".into()));
    raw.send(frame(CLOSE, close_payload(1012, ""))).await;
    soon(ended).await.unwrap().unwrap();

    let answer = outer.get("/party/lobby").await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    let mut late = outer.raw().await;
    late.send(upgrade_request("/party/lobby")).await;
    assert_eq!(late.answer().await.status, 503);
    // The folder is free, although the service still lives in the router.
    soon(stored().start().unwrap().shutdown()).await.unwrap();
}

/// More sockets than are closed at once, and some in rooms that store nothing.
#[tokio::test]
async fn a_sync_that_fails_ends_a_host_under_axum_and_tells_every_client() {
    let disk = Arc::new(FaultyDisk::default());
    let engine = Arc::new(RedbEngine::open_on(disk.clone()).unwrap());
    let host = builder().storage(engine).build().unwrap().start().unwrap();
    let (service, stopping) = (host.service(), host.stopping());
    let outer = Outer::of(service.clone()).await;
    let mut members = Vec::new();
    for index in 0..150 {
        members.push(outer.member(&format!("/party/room-{}", index % 7)).await);
    }
    assert_eq!(outer.get("/party/room-0?store=1").await.status, 200);
    let ended = tokio::spawn(host.stopped_by(std::future::pending()));
    disk.fail(Call::Sync, ErrorKind::Other);

    assert_eq!(outer.get("/party/room-0?store=1").await.status, 503);

    for member in &mut members {
        assert_eq!(member.closed().await, (1011, "Storage failed".into()));
    }
    soon(stopping).await;
    drop(members);
    let error = soon(ended).await.unwrap().unwrap_err();
    assert!(matches!(error, HostError::StorageFailed(_)), "{error}");
    assert!(error.to_string().contains("planted by the test"), "{error}");
    assert_eq!(outer.get("/party/room-1").await.status, 503);
    assert_eq!(tower_get(service, "/party/room-1").await.0, 503);
}

#[tokio::test]
async fn the_storage_is_closed_after_a_shutdown_whoever_keeps_the_way_to_the_rooms() {
    let folder = tempfile::tempdir().unwrap();
    let stored = || builder().data(folder.path()).build().unwrap();
    let host = stored().start().unwrap();
    let parties = host.parties();
    let room = parties.party::<Talk>("main").unwrap().room("lobby").unwrap();
    room.run(async |_, _| Ok(())).await.unwrap();
    soon(host.shutdown()).await.unwrap();
    soon(stored().start().unwrap().shutdown()).await.unwrap();
    let call = room.run(async |_, _| Ok(())).await;
    assert!(matches!(call, Err(CallError::Unavailable)), "{call:?}");
    let party = parties.party::<Talk>("main").map(drop);
    assert_eq!(party, Err(PartyError::Unavailable));
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_when_the_grace_is_over() {
    const LENGTH: u64 = 64 << 20;
    let (data, files) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::File::create(files.path().join("large")).unwrap().set_len(LENGTH).unwrap();
    let stored = || {
        let host = builder().data(data.path()).assets(files.path());
        host.config(|config| config.shutdown_grace = Duration::from_millis(1)).build().unwrap()
    };
    let at_any_port = || stored().start_at("127.0.0.1:0".parse().unwrap()).unwrap();
    for ends_by_drop in [false, true] {
        let host = at_any_port();
        let mut plain = Plain::connect_to(host.addr().unwrap()).await;
        plain.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
        assert_eq!(plain.head().await.status, 200);
        if ends_by_drop {
            drop(host);
        } else {
            soon(host.shutdown()).await.unwrap();
            // The folder is free.
            soon(stored().start().unwrap().shutdown()).await.unwrap();
        }
        let taken = plain.rest_or_reset().await.len() as u64;
        assert!(taken < LENGTH, "the rest was sent by a host that had ended");
    }
}

#[tokio::test]
async fn a_shutdown_waits_for_the_requests_under_way() {
    let let_through = Arc::new(Semaphore::new(0));
    let host = started(builder().env(Arc::clone(&let_through)));
    let service = host.service();
    let mut waiting = Box::pin(tower_get(service.clone(), "/party/lobby?wait=1"));
    assert!(futures_util::poll!(&mut waiting).is_pending());
    let stopping = host.stopping();
    let mut ended = tokio::spawn(host.shutdown());
    soon(stopping).await;
    assert_eq!(tower_get(service, "/party/lobby").await.0, 503);
    assert!(futures_util::poll!(&mut ended).is_pending());
    let_through.add_permits(1);
    assert_eq!(soon(waiting).await.0, 200);
    soon(ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn dropping_the_handle_ends_the_host_at_once() {
    let host = started(builder());
    let (service, stopping) = (host.service(), host.stopping());
    let outer = Outer::of(service.clone()).await;
    let raw = outer.member("/party/lobby").await;
    drop(host);
    soon(stopping).await;
    let mut tcp = raw.into_tcp();
    assert!(matches!(soon(tcp.read(&mut [0])).await, Ok(0) | Err(_)), "cut, without a Close");
    assert_eq!(tower_get(service, "/party/lobby").await.0, 503);
}

/// Asks a service without any server around it: status and body.
pub(crate) async fn tower_get(service: HostService, path: &str) -> (u16, String) {
    let request = HttpRequest::get(path).body(Full::<Bytes>::default()).unwrap();
    tower_ask(service, request).await
}

async fn tower_ask(service: HostService, request: HttpRequest<Full<Bytes>>) -> (u16, String) {
    let answered: std::result::Result<_, Infallible> = soon(service.oneshot(request)).await;
    let answer = answered.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.into()).unwrap())
}

#[tokio::test]
async fn without_a_server_it_answers_requests_and_refuses_what_cannot_be_upgraded() {
    log::keep();
    let host = TestHost::of(builder()).await;
    let facts = "/party/no-server 0.0.0.0:0  0".to_owned();
    assert_eq!(tower_get(host.service(), "/party/no-server").await, (200, facts));
    assert_eq!(tower_get(host.service(), "/").await.0, 404);

    let upgrade = HttpRequest::get("/party/no-server")
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .body(Full::default());
    let refusal = (500, "This connection cannot be upgraded".to_owned());
    assert_eq!(tower_ask(host.service(), upgrade.unwrap()).await, refusal);
    assert_eq!(log::lines_with("OnUpgrade").iter().filter(|line| line.contains("no-server")).count(), 1);

    let http2 = HttpRequest::connect("https://x/party/lobby").version(http::Version::HTTP_2);
    let refusal = (501, "WebSockets are spoken over HTTP/1.1 only".to_owned());
    assert_eq!(tower_ask(host.service(), http2.body(Full::default()).unwrap()).await, refusal);
}

#[tokio::test]
async fn a_server_without_upgrades_is_named_in_the_log() {
    log::keep();
    let host = TestHost::of(builder()).await;
    let (client, server) = tokio::io::duplex(1 << 16);
    let service = TowerToHyperService::new(host.service());
    let connection =
        hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), service);
    let served = tokio::spawn(connection);
    let joined = soon(tokio_tungstenite::client_async("ws://x/party/no-upgrades", client)).await;
    if let Ok((mut socket, _)) = joined {
        assert!(!matches!(soon(socket.next()).await, Some(Ok(Message::Text(_)))));
    }
    drop(soon(served).await);
    let is_logged = |line: &String| line.contains("no-upgrades") && line.contains("with upgrades");
    host.until(|_| log::lines_with("no-upgrades").iter().any(is_logged)).await;
    host.until(|host| host.connections_count() == 0).await;
}

/// A WebSocket through hyper over a pipe: a stream that is no socket.
pub(crate) async fn over_a_pipe(
    service: HostService,
    bytes_max: usize,
) -> WebSocketStream<tokio::io::DuplexStream> {
    let (client, server) = tokio::io::duplex(bytes_max);
    tokio::spawn(serve_stream(server, service));
    let joined = soon(tokio_tungstenite::client_async("ws://x/party/lobby", client)).await;
    let (mut socket, _) = joined.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("welcome"));
    socket
}

#[tokio::test]
async fn a_websocket_over_a_stream_that_is_no_socket_is_like_any_other() {
    let host = TestHost::of(builder()).await;
    let outer = Outer::of(host.service()).await;
    let mut ada = outer.member("/party/lobby").await;
    for bytes_max in [100, 1 << 16] {
        let mut socket = over_a_pipe(host.service(), bytes_max).await;
        let long = "x".repeat(10_000);
        soon(socket.send(Message::text(&long))).await.unwrap();
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text(&long));
        assert_eq!(ada.next_text().await, long);
        ada.send(frame(TEXT, "to all")).await;
        assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("to all"));
        assert_eq!(ada.next_text().await, "to all");

        soon(socket.send(Message::text("close"))).await.unwrap();
        let Message::Close(Some(close)) = soon(socket.next()).await.unwrap().unwrap() else { panic!() };
        assert_eq!((close.code.into(), close.reason.as_str()), (4000, "as told"));
        assert!(soon(socket.next()).await.is_none(), "the end");
        drop(socket);
        host.until(|host| host.connections_count() == 1).await;
    }
}

#[tokio::test]
async fn who_has_not_read_its_101_when_the_shutdown_begins_is_told_1012() {
    let mut host = TestHost::of(builder()).await;
    let (mut client, server) = tokio::io::duplex(16);
    tokio::spawn(serve_stream(server, host.service()));
    let asks = "GET /party/lobby HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    soon(client.write_all(asks.as_bytes())).await.unwrap();
    host.until(|host| host.connections_count() == 1).await;

    host.begin_stop();
    let mut ended = Box::pin(host.ended());
    // As often as a host that does not wait would need to be gone.
    for _ in 0..10_000 {
        assert!(futures_util::poll!(&mut ended).is_pending(), "the host ends before its client knows");
        tokio::task::yield_now().await;
    }

    let client = async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await.unwrap());
        }
        assert!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
        let mut socket = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
        loop {
            match socket.next().await.unwrap().unwrap() {
                Message::Close(close) => break close.map(|close| u16::from(close.code)),
                Message::Text(_) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    let (code, ended) = soon(async { tokio::join!(client, ended) }).await;
    assert_eq!(code, Some(1012));
    ended.unwrap();
}

#[tokio::test]
async fn who_comes_over_a_stream_that_is_no_socket_is_pinged_and_told_of_the_end() {
    let host = TestHost::of(builder()).await;
    let mut socket = over_a_pipe(host.service(), 1 << 16).await;
    host.advance(Duration::from_secs(30));
    let ping = soon(socket.next()).await.unwrap().unwrap();
    assert!(matches!(ping, Message::Ping(_)), "{ping:?}");
    let stopped = tokio::spawn(host.stop());
    let Message::Close(Some(close)) = soon(socket.next()).await.unwrap().unwrap() else { panic!() };
    assert_eq!(u16::from(close.code), 1012);
    while soon(socket.next()).await.is_some() {}
    soon(stopped).await.unwrap();
}

#[tokio::test]
async fn axum_on_a_unix_socket_serves_websockets_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let host = TestHost::of(builder()).await;
    let listener = UnixListener::bind(&path).unwrap();
    let app = Router::new().fallback_service(host.service());
    let task = tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
    let unix = UnixStream::connect(&path).await.unwrap();
    let (mut socket, _) = soon(tokio_tungstenite::client_async("ws://x/party/lobby", unix)).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("welcome"));
    soon(socket.send(Message::text("hi"))).await.unwrap();
    assert_eq!(soon(socket.next()).await.unwrap().unwrap(), Message::text("hi"));
    soon(socket.close(None)).await.unwrap();
    while soon(socket.next()).await.is_some() {}
    drop(socket);
    host.until(|host| host.connections_count() == 0).await;
    task.abort();
}

/// So the socket has really moved, and nothing of the other server is in the way of a frame.
#[tokio::test]
async fn a_socket_outlives_the_runtime_of_the_server_that_it_came_by() {
    let host = TestHost::of(builder()).await;
    for is_axum in [true, false] {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let service = host.service();
        let outer = runtime.spawn(async move {
            if is_axum { Outer::of(service).await } else { Outer::hyper(service).await }
        });
        let outer = soon(outer).await.unwrap();
        let raw = outer.member("/party/lobby").await;
        runtime.shutdown_background();
        speaks_and_closes(raw).await;
    }
}

#[tokio::test]
async fn a_host_that_is_started_at_an_address_serves_there_until_it_is_told() {
    let host = builder().storage(Arc::new(MemoryEngine::new())).build().unwrap();
    let host = host.start_at("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = host.addr().unwrap();
    let tcp = TcpStream::connect(addr).await.unwrap();
    let own_addr = tcp.local_addr().unwrap().to_string();
    let mut raw = Raw::over(tcp);
    raw.upgrade("/party/lobby").await;
    assert_eq!(raw.next_text().await, "welcome");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let ended = tokio::spawn(host.stopped_by(async { drop(stopped.await) }));
    raw.send(frame(TEXT, "addr")).await;
    assert_eq!(raw.next_text().await, own_addr);
    drop(stop);
    assert_eq!(raw.closed().await.0, 1012);
    raw.send(frame(CLOSE, close_payload(1012, ""))).await;
    soon(ended).await.unwrap().unwrap();
    assert!(TcpStream::connect(addr).await.is_err());
}

#[tokio::test]
async fn a_certificate_that_nobody_would_see_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let host = builder().storage(Arc::new(MemoryEngine::new())).tls(cert, key).build().unwrap();
    assert!(matches!(host.start(), Err(HostError::TlsNowhere)));
}
