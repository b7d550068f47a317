//! Plain HTTP to a room (wire rows 8 to 17).

pub(crate) mod raw;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, StatusCode};
use partyrs::prelude::*;
use partyrs::storage::MemoryEngine;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Host};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::sync::{Mutex, Semaphore};

use self::raw::Raw;

/// Does what the last segment of the path says.
struct Desk {
    value: u64,
}

/// Opened by the test; `slow` waits for it.
struct Gate(Arc<Semaphore>);

/// Told by the before-hook which path it let pass, and by `slow` that its hook has begun.
#[derive(Clone)]
struct Begun(UnboundedSender<String>);

/// The body that `stream` answers with.
struct Chunks(Mutex<Option<UnboundedReceiver<Result<Bytes, std::io::Error>>>>);

impl PartyServer for Desk {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        Ok(Self { value: room.storage().get("value").await?.unwrap_or(0) })
    }

    async fn on_before_request(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        if let Ok(Begun(begun)) = lobby.env() {
            begun.send(head.uri().path().to_owned())?;
        }
        Ok(Admission::Admit)
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        match request.uri().path().rsplit('/').next().unwrap_or_default() {
            "write" => {
                self.value += 1;
                room.storage().put("value", &self.value)?;
            }
            "fail" => return Err(Error::new("the dice are lost")),
            "panic" => panic!("the dice are lost"),
            "forbid" => {
                self.value = 100;
                room.storage().put("value", &self.value)?;
                return Err(Error::status(403, "Members only"));
            }
            "close" => return Err(Error::close(4001, "the dice are lost")),
            "continue" => return Err(Error::status(100, "the dice are lost")),
            "switch" => return Err(Error::status(101, "the dice are lost")),
            "status" => return Ok(Response::status(StatusCode::EARLY_HINTS)),
            "slow" => {
                room.env::<Begun>()?.0.send("slow hook".to_owned())?;
                room.env::<Gate>()?.0.acquire().await?.forget();
                self.value += 1;
                room.storage().put("value", &self.value)?;
                return Ok(Response::stream(Unheard::of(room)));
            }
            "length" => return Ok(Response::text(request.bytes().len().to_string())),
            "stream" => {
                let chunks = room.env::<Chunks>()?.0.lock().await.take();
                let chunks = chunks.ok_or_else(|| Error::new("streamed already"))?;
                return Ok(Response::stream(stream::unfold(chunks, async |mut chunks| {
                    chunks.recv().await.map(|chunk| (chunk, chunks))
                })));
            }
            _ => {}
        }
        Ok(Response::text(self.value.to_string()))
    }
}

async fn desk() -> TestHost {
    TestHost::start::<Desk>().await
}

fn desk_builder() -> Builder {
    Host::builder().party::<Desk>("main")
}

/// A desk that tells what arrives; nothing else of it happens until the test waits.
async fn heard_desk(change: impl FnOnce(Builder) -> Builder) -> (TestHost, UnboundedReceiver<String>) {
    let (begun, heard) = mpsc::unbounded_channel();
    (TestHost::of(change(desk_builder().env(Begun(begun)))).await, heard)
}

async fn next(heard: &mut UnboundedReceiver<String>) -> String {
    soon(heard.recv()).await.expect("a host that lives")
}

/// Status and text of a GET.
async fn get(host: &TestHost, path: &str) -> (u16, String) {
    let answer = host.get(path).await;
    (answer.status().as_u16(), String::from_utf8(answer.into_body().to_vec()).expect("text"))
}

fn post(path: &str, headers: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n\r\n")
}

// What a hook answers.

struct Mirror;

impl PartyServer for Mirror {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Mirror)
    }

    async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
        let method = HeaderValue::from_str(request.method().as_str())?;
        let mut response = Response::bytes(request.bytes().clone())
            .with_status(StatusCode::IM_A_TEAPOT)
            .with_header(HeaderName::from_static("x-method"), method);
        for cookie in ["a=1", "b=2"] {
            response.headers_mut().append("set-cookie", HeaderValue::from_static(cookie));
        }
        Ok(response)
    }
}

#[tokio::test]
async fn every_method_reaches_the_hook_and_its_answer_passes_unchanged() {
    let host = TestHost::start::<Mirror>().await;
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get"] {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = http::Request::builder().method(&method).uri("/party/a");
        let answer = host.request(request.body("body \0 \u{ff}").unwrap()).await;

        assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(answer.headers()["x-method"], method.as_str());
        assert_eq!(answer.headers().get_all("set-cookie").iter().collect::<Vec<_>>(), ["a=1", "b=2"]);
        assert_eq!(answer.body(), "body \0 \u{ff}");
        // Nothing is added but what HTTP itself asks for.
        let mut names = answer.headers().keys().map(HeaderName::as_str).collect::<Vec<_>>();
        names.sort_unstable();
        assert_eq!(names, ["content-length", "content-type", "date", "set-cookie", "x-method"]);
    }
}

#[tokio::test]
async fn a_head_request_reaches_the_hook_and_is_answered_without_the_body() {
    let host = TestHost::start::<Mirror>().await;
    let mut client = Raw::connect(&host).await;
    client.send("HEAD /party/a HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody").await;
    let answer = client.head().await;
    assert_eq!((answer.status, answer.header("x-method")), (418, Some("head")));
    client.send("OPTIONS /party/a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.header("x-method")), (418, Some("options")));
}

#[tokio::test]
async fn a_streamed_body_arrives_chunk_by_chunk_after_its_hook_has_ended() {
    let (chunks, body) = mpsc::unbounded_channel();
    let host = TestHost::of(desk_builder().env(Chunks(Mutex::new(Some(body))))).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /party/a/stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);

    chunks.send(Ok("one".into())).unwrap();
    assert_eq!(client.chunk().await.as_deref(), Some(&b"one"[..]));
    // The room serves others meanwhile.
    assert_eq!(get(&host, "/party/a/write").await, (200, "1".to_owned()));
    chunks.send(Ok("two".into())).unwrap();
    assert_eq!(client.chunk().await.as_deref(), Some(&b"two"[..]));
    drop(chunks);
    assert_eq!(client.chunk().await, None);
    // The connection goes on.
    client.send("GET /party/a/value HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "1");
}

#[tokio::test]
async fn a_streamed_body_that_fails_cuts_the_connection_and_is_no_whole_body() {
    let (chunks, body) = mpsc::unbounded_channel();
    let host = TestHost::of(desk_builder().env(Chunks(Mutex::new(Some(body))))).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /party/a/stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    chunks.send(Ok("one".into())).unwrap();
    assert_eq!(client.chunk().await.as_deref(), Some(&b"one"[..]));

    chunks.send(Err(std::io::Error::other("the dice are lost"))).unwrap();

    assert_eq!(client.rest().await, b"");
    assert_eq!(get(&host, "/party/a/value").await, (200, "0".to_owned()));
}

#[tokio::test]
async fn a_streamed_body_is_dropped_when_its_client_goes_away() {
    let (chunks, body) = mpsc::unbounded_channel();
    let host = TestHost::of(desk_builder().env(Chunks(Mutex::new(Some(body))))).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /party/a/stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.head().await.status, 200);
    drop(client);
    soon(chunks.closed()).await;
}

#[tokio::test]
async fn a_party_without_on_request_answers_404() {
    let host = TestHost::start::<crate::parties::Everybody>().await;
    assert_eq!(get(&host, "/party/a").await, (404, "Not implemented".to_owned()));
    let request = http::Request::post("/party/a").body("x").unwrap();
    assert_eq!(host.request(request).await.status(), 404);
}

#[tokio::test]
async fn an_error_without_a_face_and_a_panic_are_500_and_tell_nothing() {
    let host = desk().await;
    for path in ["/party/a/fail", "/party/a/panic", "/party/a/close"] {
        let answer = host.get(path).await;
        assert_eq!(answer.status(), 500, "{path}");
        assert_eq!(answer.body(), "Internal Server Error", "{path}");
        assert!(!format!("{:?}", answer.headers()).contains("dice"), "{path}");
    }
    assert_eq!(get(&host, "/party/a/write").await, (200, "1".to_owned()));
}

#[tokio::test]
async fn a_room_that_panics_too_often_answers_500_and_opens_again() {
    let host = TestHost::of(desk_builder().config(|config| config.restarts_max = 1)).await;
    for _ in 0..4 {
        assert_eq!(get(&host, "/party/a/panic").await, (500, "Internal Server Error".to_owned()));
    }
    assert_eq!(get(&host, "/party/a/write").await, (200, "1".to_owned()));
}

#[tokio::test]
async fn an_error_with_a_status_is_the_answer_and_its_writes_are_dropped() {
    let host = desk().await;
    assert_eq!(get(&host, "/party/a/write").await, (200, "1".to_owned()));
    assert_eq!(get(&host, "/party/a/forbid").await, (403, "Members only".to_owned()));
    assert_eq!(get(&host, "/party/a/value").await, (200, "1".to_owned()));
}

#[tokio::test]
async fn an_informational_status_is_no_answer() {
    let host = desk().await;
    for path in ["/party/a/continue", "/party/a/switch"] {
        assert_eq!(get(&host, path).await, (500, "Internal Server Error".to_owned()), "{path}");
    }
    assert_eq!(host.get("/party/a/status").await.status(), 500);
    assert_eq!(get(&host, "/party/a/value").await, (200, "0".to_owned()));
}

// How a room starts.

/// Starts when the test lets it; `fails` is asked then.
struct Starter;

struct Starts {
    count: AtomicUsize,
    fails: AtomicBool,
    gate: Semaphore,
    came: UnboundedSender<()>,
}

impl PartyServer for Starter {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        let starts = room.env::<Arc<Starts>>()?;
        starts.count.fetch_add(1, Ordering::SeqCst);
        room.storage().put("started", &true)?;
        starts.gate.acquire().await?.forget();
        if starts.fails.load(Ordering::SeqCst) {
            return Err(Error::status(418, "the dice are lost"));
        }
        Ok(Starter)
    }

    async fn on_before_request(_: &mut Head, lobby: &Lobby) -> Result<Admission> {
        lobby.env::<Arc<Starts>>()?.came.send(())?;
        Ok(Admission::Admit)
    }

    async fn on_request(&mut self, _: &Room, _: Request) -> Result<Response> {
        Ok(Response::text("served"))
    }
}

#[tokio::test]
async fn a_failed_start_is_500_to_all_who_waited_and_the_next_visitor_starts_it_again() {
    let (came, mut waits) = mpsc::unbounded_channel();
    let starts =
        Starts { count: AtomicUsize::new(0), fails: AtomicBool::new(true), gate: Semaphore::new(0), came };
    let starts = Arc::new(starts);
    let builder = Host::builder().party::<Starter>("main").env(Arc::clone(&starts));
    let host = TestHost::of(builder).await;
    let opening = async {
        for _ in 0..5 {
            soon(waits.recv()).await.expect("a visitor");
        }
        // Others are served while the room starts.
        assert_eq!(get(&host, "/").await.0, 404);
        starts.gate.add_permits(1);
    };
    let visit = || get(&host, "/party/a");
    let (first, second, third, fourth, fifth, ()) =
        tokio::join!(visit(), visit(), visit(), visit(), visit(), opening);
    for answer in [first, second, third, fourth, fifth] {
        assert_eq!(answer, (500, "Internal Server Error".to_owned()));
    }
    assert_eq!(starts.count.load(Ordering::SeqCst), 1);
    host.until(|host| host.rooms_count() == 0).await;

    starts.fails.store(false, Ordering::SeqCst);
    starts.gate.add_permits(1);
    assert_eq!(get(&host, "/party/a").await, (200, "served".to_owned()));
    assert_eq!(starts.count.load(Ordering::SeqCst), 2);
}

/// Its hooks are functions that panic before there is a future.
struct Eager;

impl PartyServer for Eager {
    type Message = Frame;

    fn on_start(room: &Room) -> impl Future<Output = Result<Self>> + Send {
        assert!(room.id().as_str() != "start", "the dice are lost");
        async { Ok(Eager) }
    }

    fn on_before_request(head: &mut Head, _: &Lobby) -> impl Future<Output = Result<Admission>> + Send {
        assert!(head.query("before").is_none(), "the dice are lost");
        async { Ok(Admission::Admit) }
    }

    fn on_request(&mut self, _: &Room, request: Request) -> impl Future<Output = Result<Response>> + Send {
        assert!(request.query("request").is_none(), "the dice are lost");
        async { Ok(Response::text("served")) }
    }

    fn on_error(&mut self, _: &Room, failure: &Failure) -> impl Future<Output = ()> + Send {
        assert!(!failure.panicked, "the dice are lost");
        async {}
    }
}

#[tokio::test]
async fn a_hook_that_panics_before_its_future_exists_is_a_hook_that_panics() {
    let host = TestHost::start::<Eager>().await;
    let mut ada = host.join("a").await;
    for path in ["/party/a?request", "/party/a?before", "/party/start", "/party/start"] {
        assert_eq!(get(&host, path).await, (500, "Internal Server Error".to_owned()), "{path}");
    }
    assert_eq!(host.join("start").await.closed().await, (1011, "Room failed to start".to_owned()));
    assert_eq!(get(&host, "/party/a").await, (200, "served".to_owned()));
    ada.hears_nothing().await;
}

// What the before-hook decides.

/// Admits whom the query lets in.
struct Guarded;

#[derive(Clone)]
struct User(String);

impl PartyServer for Guarded {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Guarded)
    }

    async fn on_before_request(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        match head.uri().query().unwrap_or_default() {
            "respond" => {
                let response = Response::text("Pay first").with_status(StatusCode::PAYMENT_REQUIRED);
                let name = HeaderName::from_static("x-price");
                Ok(Admission::Respond(response.with_header(name, HeaderValue::from_static("7"))))
            }
            "close" => Ok(Admission::Close(CloseFrame::new(4001, "Not you")?)),
            "fail" => Err(Error::new("the dice are lost")),
            "status" => Err(Error::status(401, "Who are you?")),
            "face" => Err(Error::close(4001, "the dice are lost")),
            "panic" => panic!("the dice are lost"),
            _ => {
                let place = format!("{}/{}", lobby.party(), lobby.room());
                head.headers_mut().insert("x-place", HeaderValue::from_str(&place)?);
                head.headers_mut().remove("authorization");
                head.extensions_mut().insert(User("ada".to_owned()));
                Ok(Admission::Admit)
            }
        }
    }

    async fn on_request(&mut self, _: &Room, request: Request) -> Result<Response> {
        let user = request.extension::<User>().map(|user| user.0.clone());
        let headers = ["x-place", "authorization", "x-kept"].map(|name| request.header(name));
        Ok(Response::text(format!("{user:?} {headers:?}")))
    }
}

#[tokio::test]
async fn an_admitted_request_reaches_the_room_as_the_before_hook_left_it() {
    let host = TestHost::start::<Guarded>().await;
    let request = http::Request::get("/party/tea%20room").header("authorization", "secret");
    let request = request.header("x-kept", "1").header("x-place", "forged").body("").unwrap();
    let answer = host.request(request).await;
    assert_eq!(answer.body(), r#"Some("ada") [Some("main/tea room"), None, Some("1")]"#);
}

#[tokio::test]
async fn a_before_hook_that_answers_fails_or_panics_opens_no_room() {
    let host = TestHost::start::<Guarded>().await;
    for (path, status, text) in [
        ("/party/a?respond", 402, "Pay first"),
        ("/party/a?close", 403, "Not you"),
        ("/party/a?status", 401, "Who are you?"),
        ("/party/a?fail", 500, "Internal Server Error"),
        ("/party/a?face", 500, "Internal Server Error"),
        ("/party/a?panic", 500, "Internal Server Error"),
    ] {
        assert_eq!(get(&host, path).await, (status, text.to_owned()), "{path}");
        assert_eq!(host.rooms_count(), 0, "{path}");
    }
    assert_eq!(host.get("/party/a?respond").await.headers()["x-price"], "7");
    assert_eq!(host.get("/party/a").await.status(), 200);
}

// Bodies.

const LIMIT: usize = 1000;

async fn limited_desk() -> TestHost {
    TestHost::of(desk_builder().config(|config| config.body_bytes_max = LIMIT)).await
}

/// `bytes` as a body of chunks of at most 64 KiB.
fn chunked(bytes: &[u8]) -> Vec<u8> {
    let chunk = |chunk: &[u8]| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat();
    bytes.chunks(64 << 10).flat_map(chunk).collect()
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes_and_one_byte_more_is_413() {
    let host = limited_desk().await;
    for (length, expected) in [(0, 200), (LIMIT, 200), (LIMIT + 1, 413)] {
        let text =
            if expected == 200 { length.to_string() } else { format!("Body is longer than {LIMIT} bytes") };
        let body = vec![b'x'; length];
        let by_length = format!("content-length: {length}");
        let by_chunks = [chunked(&body), b"0\r\n\r\n".to_vec()].concat();
        for (headers, body) in [(by_length.as_str(), body), ("transfer-encoding: chunked", by_chunks)] {
            let mut client = Raw::connect(&host).await;
            client.send(post("/party/a/length", headers)).await;
            client.send(body).await;
            let answer = client.answer().await;
            assert_eq!((answer.status, answer.text()), (expected, text.clone()), "{length} {headers}");
        }
    }
}

#[tokio::test]
async fn a_limit_of_zero_lets_requests_without_a_body_pass() {
    let host = TestHost::of(desk_builder().config(|config| config.body_bytes_max = 0)).await;
    assert_eq!(get(&host, "/party/a/length").await, (200, "0".to_owned()));
    let request = http::Request::post("/party/a/length").body("x").unwrap();
    assert_eq!(host.request(request).await.status(), 413);
}

/// The client reads only after it has sent megabytes: a host that closed the socket with
/// unread bytes would reset it, and the answer would be lost.
#[tokio::test]
async fn the_413_reaches_a_client_that_is_still_sending() {
    let host = limited_desk().await;
    let mut client = Raw::connect(&host).await;
    client.send(post("/party/a/length", "content-length: 67108864")).await;
    client.send(vec![b'x'; 7 << 20]).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, format!("Body is longer than {LIMIT} bytes")));
    client.send(vec![b'x'; 64 << 10]).await;
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn the_413_reaches_a_client_that_is_still_sending_chunks() {
    let host = limited_desk().await;
    let mut client = Raw::connect(&host).await;
    client.send(post("/party/a/length", "transfer-encoding: chunked")).await;
    client.send(chunked(&vec![b'x'; 7 << 20])).await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text()), (413, format!("Body is longer than {LIMIT} bytes")));
    client.finish().await;
    assert_eq!(client.rest().await, b"");
    assert_eq!(host.rooms_count(), 0);
}

#[tokio::test]
async fn a_refused_client_that_goes_on_sending_is_cut_after_8_mib_or_5_s() {
    let host = limited_desk().await;
    let mut endless = tokio::net::TcpStream::connect(host.addr()).await.unwrap();
    let head = post("/party/a/length", "content-length: 67108864");
    let sent = soon(async {
        use tokio::io::AsyncWriteExt;
        endless.write_all(head.as_bytes()).await.unwrap();
        let piece = vec![b'x'; 64 << 10];
        let mut sent = 0;
        while endless.write_all(&piece).await.is_ok() {
            sent += piece.len();
        }
        sent
    })
    .await;
    // The rest lay in the buffers of the two sockets.
    assert!((8 << 20..40 << 20).contains(&sent), "{sent}");

    let mut silent = Raw::connect(&host).await;
    silent.send(post("/party/a/length", "content-length: 67108864")).await;
    assert_eq!(silent.answer().await.status, 413);
    assert_eq!(silent.rest().await, b"");
    host.advance(Duration::from_secs(5));
    // The host has let go: what is sent now is answered by a reset, sooner or later.
    let mut tcp = silent.into_tcp();
    soon(async {
        use tokio::io::AsyncWriteExt;
        while tcp.write_all(b"x").await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_not_complete_in_time_is_408() {
    let (host, mut heard) = heard_desk(|builder| builder).await;
    let (mut late, mut in_time) = (Raw::connect(&host).await, Raw::connect(&host).await);
    late.send(post("/party/late/length", "content-length: 5")).await;
    next(&mut heard).await;
    in_time.send(post("/party/in-time/length", "transfer-encoding: chunked")).await;
    next(&mut heard).await;
    late.send("1234").await;
    in_time.send("4\r\n1234\r\n").await;

    host.advance(Duration::from_millis(29_999));
    in_time.send("1\r\n5\r\n0\r\n\r\n").await;
    let answer = in_time.answer().await;
    assert_eq!((answer.status, answer.text()), (200, "5".to_owned()));
    host.advance(Duration::from_millis(1));
    let answer = late.answer().await;
    assert_eq!((answer.status, answer.text()), (408, "Body did not arrive in time".to_owned()));
    // What comes too late is thrown away.
    late.send(vec![b'x'; 1 << 20]).await;
    late.finish().await;
    assert_eq!(late.rest().await, b"");
    assert_eq!(host.rooms_count(), 1);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_or_refused_before_it_sends() {
    let host = limited_desk().await;
    let mut client = Raw::connect(&host).await;
    client.send(post("/party/a/length", "content-length: 5\r\nexpect: 100-continue")).await;
    assert_eq!(client.head().await.status, 100);
    client.send("12345").await;
    assert_eq!(client.answer().await.text(), "5");

    let mut client = Raw::connect(&host).await;
    client.send(post("/party/a/length", "content-length: 1001\r\nexpect: 100-continue")).await;
    assert_eq!(client.answer().await.status, 413);
}

#[tokio::test]
async fn a_body_that_is_broken_or_cut_calls_no_hook() {
    let (host, mut heard) = heard_desk(|builder| builder).await;
    for body in ["zz\r\nx\r\n0\r\n\r\n", "ffffffffffffffffff\r\nx"] {
        let mut client = Raw::connect(&host).await;
        client.send(post("/party/a/write", "transfer-encoding: chunked")).await;
        client.send(body).await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text()), (400, "Body is not complete".to_owned()), "{body}");
        next(&mut heard).await;
    }
    let mut client = Raw::connect(&host).await;
    client.send(post("/party/a/write", "content-length: 5")).await;
    client.send("1234").await;
    next(&mut heard).await;
    drop(client);
    assert_eq!(get(&host, "/party/a/value").await, (200, "0".to_owned()));
}

// When there is no room for a request.

/// Rooms leave when nobody needs them.
async fn idle_rooms_leave(host: &TestHost) {
    host.until(|host| {
        host.advance(Duration::from_secs(30));
        host.rooms_count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_request_to_an_overloaded_room_is_503_after_5_s() {
    let (host, mut heard) = heard_desk(|builder| {
        builder.env(Gate(Arc::new(Semaphore::new(1)))).config(|config| {
            config.mailbox_events_max = 1;
            config.hook_timeout = Duration::from_secs(1 << 20);
        })
    })
    .await;
    let mut clients = Vec::new();
    // The first hook ends, the second waits, a request is in the mailbox, and one finds it full.
    for path in ["/party/a/slow", "/party/a/slow", "/party/a/write", "/party/a/write"] {
        let mut client = Raw::connect(&host).await;
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
        assert_eq!(next(&mut heard).await, path);
        if path.ends_with("slow") {
            assert_eq!(next(&mut heard).await, "slow hook");
        }
        clients.push(client);
    }
    assert_eq!(clients.remove(0).answer().await.text(), "1");

    host.advance(Duration::from_millis(4_999));
    assert_eq!(get(&host, "/party/other/value").await, (200, "0".to_owned()));
    assert!(clients.iter().all(Raw::is_quiet));
    host.advance(Duration::from_millis(1));
    let answer = clients[2].answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    assert!(clients[..2].iter().all(Raw::is_quiet));
}

#[tokio::test]
async fn a_request_for_one_room_too_many_is_503_until_another_leaves() {
    let host = TestHost::of(desk_builder().config(|config| config.rooms_max = 2)).await;
    assert_eq!(host.get("/party/a").await.status(), 200);
    assert_eq!(host.get("/party/b").await.status(), 200);
    let answer = host.get("/party/c").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(answer.headers()[RETRY_AFTER], "5");
    assert_eq!(host.connect("/party/c").await.closed().await, (1013, "Try again later".to_owned()));
    assert_eq!(host.get("/party/a").await.status(), 200);

    idle_rooms_leave(&host).await;
    assert_eq!(host.get("/party/c").await.status(), 200);
}

#[tokio::test]
async fn a_request_that_comes_while_the_host_shuts_down_is_503_and_opens_no_room() {
    let (mut host, mut heard) = heard_desk(|builder| builder.env(Gate(Arc::new(Semaphore::new(0))))).await;
    // A hook that waits keeps the host from ending.
    let mut slow = Raw::connect(&host).await;
    slow.send("GET /party/a/slow HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(next(&mut heard).await, "/party/a/slow");
    assert_eq!(next(&mut heard).await, "slow hook");
    let mut clients = Vec::new();
    for _ in 0..2 {
        let mut client = Raw::connect(&host).await;
        client.send("GET /party/b HTTP/1.1\r\n").await;
        clients.push(client);
    }
    // The host has read what was sent before it answers this.
    assert_eq!(get(&host, "/").await.0, 404);

    host.begin_stop();
    soon(async { while TcpStream::connect(host.addr()).await.is_ok() {} }).await;
    for mut client in clients {
        client.send("host: x\r\n\r\n").await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(host.rooms_count(), 1);
    assert!(slow.is_quiet());
    host.kill().await;
}

// A client that goes away.

/// A body that tells if it was dropped without anybody having asked for it.
struct Unheard {
    told: Option<UnboundedSender<String>>,
    text: Option<Bytes>,
}

impl Unheard {
    fn of(room: &Room) -> Self {
        let told = room.env::<Begun>().ok().map(|begun| begun.0.clone());
        Self { told, text: Some(Bytes::from_static(b"1")) }
    }
}

impl stream::Stream for Unheard {
    type Item = Result<Bytes, std::io::Error>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.told = None;
        std::task::Poll::Ready(self.text.take().map(Ok))
    }
}

impl Drop for Unheard {
    fn drop(&mut self) {
        if let Some(told) = self.told.take() {
            // Nobody listens once the test is over.
            drop(told.send("response dropped".to_owned()));
        }
    }
}

#[tokio::test]
async fn a_hook_whose_client_went_away_completes_and_its_write_is_committed() {
    let engine = Arc::new(MemoryEngine::new());
    let gate = Arc::new(Semaphore::new(0));
    let (host, mut heard) =
        heard_desk(|builder| builder.storage(engine.clone()).env(Gate(Arc::clone(&gate)))).await;
    let mut client = Raw::connect(&host).await;
    client.send(post("/party/a/slow", "content-length: 4") + "body").await;
    assert_eq!(next(&mut heard).await, "/party/a/slow");
    assert_eq!(next(&mut heard).await, "slow hook");

    drop(client);
    // The host learns of it before it answers this.
    assert_eq!(get(&host, "/").await.0, 404);
    gate.add_permits(1);

    assert_eq!(next(&mut heard).await, "response dropped");
    assert_eq!(get(&host, "/party/a/value").await, (200, "1".to_owned()));
    host.kill().await;
    let host = TestHost::of(desk_builder().storage(engine)).await;
    assert_eq!(get(&host, "/party/a/value").await, (200, "1".to_owned()));
}

// HTTP itself.

#[tokio::test]
async fn requests_on_one_connection_are_answered_in_order_also_when_pipelined() {
    let (host, mut heard) = heard_desk(|builder| builder.env(Gate(Arc::new(Semaphore::new(1))))).await;
    let mut client = Raw::connect(&host).await;
    client.send("GET /party/a/write HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "1");
    client.send(post("/party/a/length", "content-length: 4") + "body").await;
    assert_eq!(client.answer().await.text(), "4");

    let pipelined = [
        "GET /party/b/slow HTTP/1.1\r\nhost: x\r\n\r\n",
        "POST /party/c/length HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi",
        "GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n",
        "GET /party/a/value HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
    ];
    client.send(pipelined.concat()).await;
    for expected in ["1", "2", "Not found", "1"] {
        assert_eq!(client.answer().await.text(), expected);
    }
    assert_eq!(client.rest().await, b"");
    assert_eq!(next(&mut heard).await, "/party/a/write");
}

#[tokio::test]
async fn an_http_1_0_client_is_answered_and_its_connection_ends() {
    let host = desk().await;
    let mut client = Raw::connect(&host).await;
    client.send("POST /party/a/length HTTP/1.0\r\ncontent-length: 3\r\n\r\nabc").await;
    let answer = client.answer().await;
    assert!(answer.head.starts_with("http/1.0 200"), "{}", answer.head);
    assert_eq!(answer.text(), "3");
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn requests_that_are_none_are_refused_and_harm_nobody() {
    let host = desk().await;
    let long_target = format!("GET /party/{} HTTP/1.1\r\nhost: x\r\n\r\n", "x".repeat(70_000));
    let many_headers = format!("GET /party/a HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(101));
    let long_header = format!("GET /party/a HTTP/1.1\r\nx: {}\r\n\r\n", "y".repeat(2 << 20));
    for (bytes, status) in [
        ("garbage\r\n\r\n", 400),
        ("GET /party/a/write HTTP/9.9\r\n\r\n", 400),
        ("GET /party/a/write SPDY/3\r\n\r\n", 400),
        ("GET  /party/a/write HTTP/1.1\r\n\r\n", 400),
        ("\x16\x03\x01\x02\x00\x01\x00\x01\x7c\x03\x03\r\n\r\n", 400),
        ("GET /party/a/write HTTP/1.1\r\nno colon\r\n\r\n", 400),
        ("GET /party/a/write HTTP/1.1\r\nbad name: x\r\n\r\n", 400),
        ("GET /party/a/write HTTP/1.1\r\ncontent-length: -1\r\n\r\n", 400),
        ("GET /party/a/write HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxx", 400),
        ("GET /party/a/write HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n", 400),
        ("GET /party/a/write HTTP/1.1\r\ntransfer-encoding: gzip\r\n\r\n", 400),
        (&long_target, 414),
        (&many_headers, 431),
        (&long_header, 431),
    ] {
        let mut client = Raw::connect(&host).await;
        client.send(bytes).await;
        let shown = &bytes[..bytes.len().min(60)];
        assert_eq!(client.answer().await.status, status, "{shown:?}");
        client.finish().await;
        assert_eq!(client.rest().await, b"", "{shown:?}");
    }
    assert_eq!(get(&host, "/party/a/value").await, (200, "0".to_owned()));
}

/// Two ways to say how long a body is must never make two requests of one.
#[tokio::test]
async fn a_request_with_two_lengths_is_read_as_one_and_ends_its_connection() {
    let host = desk().await;
    let mut client = Raw::connect(&host).await;
    let smuggled = "0\r\n\r\nGET /party/a/write HTTP/1.1\r\nhost: x\r\n\r\n";
    let headers = format!("content-length: {}\r\ntransfer-encoding: chunked", smuggled.len());
    client.send(post("/party/a/length", &headers) + smuggled).await;
    drop(client.rest().await);
    assert_eq!(get(&host, "/party/a/value").await, (200, "0".to_owned()));
}

static STARTS: AtomicUsize = AtomicUsize::new(0);

/// A room that cannot start, and is quick about it.
struct Stillborn;

impl PartyServer for Stillborn {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        STARTS.fetch_add(1, Ordering::Relaxed);
        Err(Error::new("it never starts"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_opens_a_room_that_fails_at_once_is_refused_and_starts_it_once() {
    const VISITS: usize = 500;
    let host = TestHost::start::<Stillborn>().await;
    for visit in 0..VISITS {
        let response = host.get(&format!("/party/room-{}", visit % 3)).await;
        assert_eq!(response.status(), 500);
    }
    assert_eq!(STARTS.load(Ordering::Relaxed), VISITS);
}
