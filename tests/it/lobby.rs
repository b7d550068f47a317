//! What answers outside the rooms: `on_fetch` (wire row 43).

use std::sync::Arc;
use std::time::Duration;

use http::header::{HeaderName, HeaderValue};
use http::{Method, StatusCode};
use partyrs::prelude::*;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Host, HostError};
use tokio::sync::Semaphore;

use crate::http::raw::Raw;
use crate::parties::{Reports, Seen, reports};

/// A room that counts what it is asked, and keeps the count.
struct Counter {
    count: u64,
}

/// Does what the path says.
struct Site {
    reports: Reports,
    /// Opened by the test; `/wait` waits for it.
    gate: Arc<Semaphore>,
}

/// Reports its end, however that comes.
struct Ends(Reports);

impl PartyServer for Counter {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        Ok(Self { count: room.storage().get("count").await?.unwrap_or(0) })
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        self.count += 1;
        room.storage().put("count", &self.count)?;
        Ok(Response::text(self.count.to_string()))
    }
}

impl LobbyServer for Site {
    fn on_fetch(
        &self,
        request: Request,
        lobby: &HostLobby,
    ) -> impl Future<Output = Result<Option<Response>>> + Send {
        assert_ne!(request.uri().path(), "/panic-at-once", "as told");
        self.answer(request, lobby.clone())
    }
}

impl Site {
    async fn answer(&self, request: Request, lobby: HostLobby) -> Result<Option<Response>> {
        let path = request.uri().path().to_owned();
        self.reports.add(&*path);
        let response = match &*path {
            "/fail" => return Err(Error::new("the till is empty")),
            "/panic" => panic!("the till is empty"),
            "/forbid" => return Err(Error::status(403, "Members only")),
            "/close" => return Err(Error::close(4001, "the till is empty")),
            "/count" => {
                let room = lobby.parties().party::<Counter>("main")?.room("a")?;
                room.fetch(request.into_http()).await?
            }
            "/run" => {
                let room = lobby.parties().party::<Counter>("main")?.room("a")?;
                let count = room.run(async |counter, _| Ok(counter.count)).await?;
                Response::text(format!("{count} of {}", lobby.env::<u64>()?))
            }
            "/wait" => {
                let ends = Ends(self.reports.clone());
                self.gate.acquire().await?.forget();
                drop(ends);
                Response::text("waited")
            }
            "/length" => Response::text(request.bytes().len().to_string()),
            "/mirror" => {
                let method = HeaderValue::from_str(request.method().as_str())?;
                let from = HeaderValue::from_str(&request.remote_addr().ip().to_string())?;
                Response::bytes(request.bytes().clone())
                    .with_status(StatusCode::IM_A_TEAPOT)
                    .with_header(HeaderName::from_static("x-method"), method)
                    .with_header(HeaderName::from_static("x-from"), from)
            }
            _ => return Ok(None),
        };
        Ok(Some(response))
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.add("ended");
    }
}

async fn site(change: impl FnOnce(Builder) -> Builder) -> (TestHost, Seen, Arc<Semaphore>) {
    let (reports, seen) = reports();
    let gate = Arc::new(Semaphore::new(0));
    let host = Host::builder().party::<Counter>("main").env(7_u64);
    let host = host.lobby(Site { reports, gate: Arc::clone(&gate) });
    (TestHost::of(change(host)).await, seen, gate)
}

async fn ask(host: &TestHost, method: &str, path: &str) -> (u16, String) {
    let request = http::Request::builder().method(method).uri(path).body("body").unwrap();
    let answer = host.request(request).await;
    (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).unwrap())
}

fn answer(status: u16, text: &str) -> (u16, String) {
    (status, text.to_owned())
}

// When it is asked, and for what.

#[tokio::test]
async fn what_is_neither_a_room_nor_a_file_is_asked_of_on_fetch_and_else_404() {
    let files = tempfile::tempdir().unwrap();
    std::fs::write(files.path().join("length"), "a file").unwrap();
    let (host, mut seen, _) = site(|builder| builder.assets(files.path())).await;

    assert_eq!(ask(&host, "GET", "/length").await, answer(200, "a file"));
    assert_eq!(ask(&host, "GET", "/party/a").await, answer(200, "1"));
    assert_eq!(ask(&host, "GET", "/parties/nobody/a").await, answer(404, "Party nobody not found"));
    assert_eq!(seen.all(), [] as [&str; 0]);

    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PURGE"] {
        assert_eq!(ask(&host, method, "/length").await, answer(200, "4"), "{method}");
        assert_eq!(seen.next().await, "/length");
    }
    for path in ["/", "/nothing", "/party", "/party/", "/parties/main", "/parties//x", "//party/x"] {
        assert_eq!(ask(&host, "GET", path).await, answer(404, "Not found"), "{path}");
        assert_eq!(seen.next().await, path);
    }
    let upgrade = host.try_connect("/length").await.expect_err("no WebSocket");
    assert_eq!(upgrade.status(), 200);
}

#[tokio::test]
async fn a_lobby_without_on_fetch_answers_404() {
    struct Empty;
    impl LobbyServer for Empty {}
    let host = TestHost::of(Host::builder().party::<Counter>("main").lobby(Empty)).await;
    assert_eq!(ask(&host, "POST", "/x").await, answer(404, "Not found"));
}

#[tokio::test]
async fn on_fetch_has_the_whole_request_and_its_answer_passes_unchanged() {
    let (host, _, _) = site(|builder| builder).await;
    for method in ["GET", "POST", "OPTIONS", "PURGE"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = http::Request::builder().method(&method).uri("/mirror?x=1");
        let answer = host.request(request.body("body \0 \u{ff}").unwrap()).await;
        assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(answer.headers()["x-method"], method.as_str());
        assert_eq!(answer.headers()["x-from"], "127.0.0.1");
        assert_eq!(answer.body(), "body \0 \u{ff}");
    }
    let mut client = Raw::connect(&host).await;
    client.send("HEAD /mirror HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let head = client.head().await;
    assert_eq!((head.status, head.header("x-method")), (418, Some("head")));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn on_fetch_reaches_rooms_and_the_env_of_the_host() {
    let (host, _, _) = site(|builder| builder).await;
    assert_eq!(ask(&host, "POST", "/count").await, answer(200, "1"));
    assert_eq!(ask(&host, "GET", "/party/a").await, answer(200, "2"));
    assert_eq!(ask(&host, "GET", "/run").await, answer(200, "2 of 7"));
}

// How it fails.

#[tokio::test]
async fn an_on_fetch_that_fails_or_panics_is_500_and_the_next_is_answered() {
    let (host, _, _) = site(|builder| builder).await;
    for path in ["/fail", "/panic", "/panic-at-once", "/close"] {
        assert_eq!(ask(&host, "GET", path).await, answer(500, "Internal Server Error"), "{path}");
    }
    assert_eq!(ask(&host, "GET", "/forbid").await, answer(403, "Members only"));
    assert_eq!(ask(&host, "POST", "/length").await, answer(200, "4"));

    let (host, _, _) = site(|builder| builder.debug_errors(true)).await;
    assert_eq!(ask(&host, "GET", "/fail").await, answer(500, "the till is empty"));
    assert_eq!(ask(&host, "GET", "/panic").await, answer(500, "panic: the till is empty"));
}

#[tokio::test]
async fn an_on_fetch_that_runs_longer_than_hook_timeout_is_dropped_and_500() {
    let (host, mut seen, _gate) = site(|builder| builder.debug_errors(true)).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(seen.next().await, "/wait");
    host.advance(Duration::from_millis(29_999));
    assert_eq!(ask(&host, "POST", "/length").await.0, 200);
    assert_eq!(seen.all(), ["/length"]);
    host.advance(Duration::from_millis(1));
    let late = client.answer().await;
    let text = "hook ran longer than hook_timeout (30s)";
    assert_eq!((late.status, late.text()), (500, text.to_owned()));
    assert_eq!(seen.next().await, "ended");
}

/// The panic is in the `Drop` of the hook's own values, when the hook is ended in its middle.
#[tokio::test]
async fn a_hook_that_panics_when_it_is_dropped_harms_nobody() {
    struct Trap;
    impl Drop for Trap {
        fn drop(&mut self) {
            panic!("as told");
        }
    }
    struct Trapped(Reports);
    impl LobbyServer for Trapped {
        async fn on_fetch(&self, request: Request, _: &HostLobby) -> Result<Option<Response>> {
            if request.uri().path() == "/trap" {
                let _trap = Trap;
                self.0.add("begun");
                std::future::pending::<()>().await;
            }
            Ok(Some(Response::text("fine")))
        }
    }
    let (reports, mut seen) = reports();
    let host = Host::builder().party::<Counter>("main").lobby(Trapped(reports));
    let host = TestHost::of(host.config(|config| config.fetches_max = 1)).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /trap HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(seen.next().await, "begun");
    host.advance(Duration::from_secs(30));
    assert_eq!(client.answer().await.status, 500);
    // Its place is free again, and in its middle the end of the host may find it too.
    assert_eq!(ask(&host, "GET", "/").await, answer(200, "fine"));
    client.send("GET /trap HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(seen.next().await, "begun");
    host.kill().await;
}

// Limits.

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_of_exactly_the_limit_passes() {
    let (host, mut seen, _) = site(|builder| builder.config(|config| config.body_bytes_max = 1000)).await;
    let post = async |length: usize| {
        let request = http::Request::post("/length").body("x".repeat(length)).unwrap();
        let answer = host.request(request).await;
        (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).unwrap())
    };
    assert_eq!(post(1001).await, answer(413, "Body is longer than 1000 bytes"));
    assert_eq!(seen.all(), [] as [&str; 0]);
    assert_eq!(post(1000).await, answer(200, "1000"));
}

#[tokio::test]
async fn a_body_that_is_not_complete_in_time_is_408() {
    let (host, mut seen, _) = site(|builder| builder).await;
    let mut client = Raw::connect(&host).await;
    client
        .send("POST /length HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n")
        .await;
    assert_eq!(client.head().await.status, 100, "the body is being read");
    client.send("1234").await;
    host.advance(Duration::from_secs(30));
    let late = client.answer().await;
    assert_eq!((late.status, late.text()), answer(408, "Body did not arrive in time"));
    assert_eq!(seen.all(), [] as [&str; 0]);
}

#[tokio::test]
async fn no_more_hooks_run_at_once_than_fetches_max_and_who_waits_too_long_is_503() {
    let (host, mut seen, gate) = site(|builder| {
        builder.config(|config| {
            config.fetches_max = 1;
            config.hook_timeout = Duration::MAX;
        })
    })
    .await;
    let host = Arc::new(host);
    let asked = |path: &'static str| {
        let host = Arc::clone(&host);
        tokio::spawn(async move { host.get(path).await })
    };
    let first = asked("/wait");
    assert_eq!(seen.next().await, "/wait");
    let second = asked("/run");
    host.until(|host| {
        host.advance(Duration::from_secs(5));
        second.is_finished()
    })
    .await;
    let refused = second.await.unwrap();
    assert_eq!((refused.status().as_u16(), &refused.headers()["retry-after"]), (503, &"5".parse().unwrap()));
    // Rooms and files have no part in this.
    assert_eq!(host.get("/party/a").await.status(), 200);

    let third = asked("/run");
    gate.add_permits(1);
    assert_eq!(soon(first).await.unwrap().body(), "waited");
    assert_eq!(soon(third).await.unwrap().status(), 200);
    assert_eq!(seen.all(), ["ended", "/run"]);
}

// Who goes away.

#[tokio::test]
async fn a_client_that_goes_away_does_not_end_on_fetch() {
    let (host, mut seen, gate) = site(|builder| builder).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(seen.next().await, "/wait");
    let tcp = client.into_tcp();
    socket2::SockRef::from(&tcp).set_linger(Some(Duration::ZERO)).unwrap();
    drop(tcp);
    // Whatever the host does about the reset, it has had the time for it.
    for _ in 0..20 {
        assert_eq!(ask(&host, "POST", "/length").await.0, 200);
    }
    assert!(seen.all().iter().all(|report| report == "/length"), "it has not ended");
    gate.add_permits(1);
    assert_eq!(seen.next().await, "ended");
    host.until(|_| gate.available_permits() == 0).await;
}

#[tokio::test]
async fn a_shutdown_waits_for_on_fetch_whose_client_is_gone_and_for_what_it_does_in_rooms() {
    struct Late(Reports, Arc<Semaphore>);
    impl LobbyServer for Late {
        async fn on_fetch(&self, request: Request, lobby: &HostLobby) -> Result<Option<Response>> {
            self.0.add("begun");
            self.1.acquire().await?.forget();
            let room = lobby.parties().party::<Counter>("main")?.room("late")?;
            let answer = room.fetch(request.into_http()).await?.into_http();
            self.0.add(format!("answered {}", answer.status()));
            Ok(None)
        }
    }
    let (reports, mut seen) = reports();
    let gate = Arc::new(Semaphore::new(0));
    let host = Host::builder().party::<Counter>("main").lobby(Late(reports, Arc::clone(&gate)));
    let mut host = TestHost::of(host).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /late HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(seen.next().await, "begun");
    drop(client);
    let mut idle = host.join("idle").await;
    host.begin_stop();
    assert_eq!(idle.closed().await.0, 1012);
    host.until(|host| host.rooms_count() == 0).await;
    gate.add_permits(1);
    host.stop().await;
    assert_eq!(seen.all(), ["answered 200 OK"]);
}

#[tokio::test]
async fn on_fetch_is_dropped_when_the_grace_is_over_and_when_the_host_is_cut() {
    for cut in [false, true] {
        let (mut host, mut seen, _gate) = site(|builder| builder).await;
        let mut idle = host.join("idle").await;
        let mut client = Raw::connect(&host).await;
        client.send("GET /wait HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(seen.next().await, "/wait");
        if cut {
            host.kill().await;
        } else {
            host.begin_stop();
            assert_eq!(idle.closed().await.0, 1012, "the shutdown has begun");
            host.advance(Duration::from_secs(10));
            host.stop().await;
        }
        assert_eq!(seen.next().await, "ended");
    }
}

// What is refused when the host is built.

#[tokio::test]
async fn a_second_lobby_is_refused() {
    struct Empty;
    impl LobbyServer for Empty {}
    let builder = Host::builder().party::<Counter>("main").lobby(Empty).lobby(Empty);
    let error = builder.build().expect_err("a refusal");
    assert!(matches!(error, HostError::Lobbies(2)));
    assert_eq!(error.to_string(), "the host has 2 lobbies; call `.lobby(..)` once");
}
