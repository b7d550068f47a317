//! WebSockets outside of the rooms: `on_socket` (wire row 26).

use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use partyrs_runtime::{Builder, Config, Host};
use tokio::net::TcpSocket;
use tokio::sync::Semaphore;

use crate::log;
use crate::parties::{Reports, Seen, Witness, reports};
use crate::upgrade::raw::{
    Answer, CLOSE, CONTINUATION, FINAL, PING, PONG, Raw, TEXT, close_payload, end_by_reset, frame, head,
    upgrade_request,
};

const PAGE_BYTES: usize = 1 << 20;
const PAGES: u8 = 24;
const ORIGIN: &str = "https://app.example";

/// Does what the path says.
struct Site {
    reports: Reports,
    /// Opened by the test; `/wait..` waits for it.
    gate: Arc<Semaphore>,
}

/// Reports its end, however that comes.
struct Ends(Reports);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.add("hook ended");
    }
}

impl LobbyServer for Site {
    async fn on_fetch(&self, request: Request, _: &HostLobby) -> Result<Option<Response>> {
        let path = request.uri().path();
        Ok(path.starts_with("/page").then(|| Response::text(format!("page of {}", request.bytes().len()))))
    }

    async fn on_socket(&self, mut socket: LobbySocket, lobby: &HostLobby) -> Result<()> {
        let path = socket.head().uri().path().to_owned();
        match &*path {
            "/fail-first" => return Err(Error::new("the till is empty")),
            "/panic-first" => panic!("the till is empty"),
            "/forbid" => return Err(Error::status(403, "Members only")),
            "/close-first" => return Err(Error::close(4003, "Members only")),
            "/wait-first" => {
                let _ends = Ends(self.reports.clone());
                self.reports.add("asked");
                self.gate.acquire().await?.forget();
            }
            "/protocol" => {
                let wanted = socket.head().query("wanted").unwrap_or_default().into_owned();
                socket.select_protocol(&wanted)?;
            }
            "/drop" => {
                drop(socket);
                return Ok(());
            }
            "/page" | "/nothing" => return Ok(()),
            _ => {}
        }
        if let Some(room) = path.strip_prefix("/live/") {
            return relay(socket, lobby, room).await;
        }
        let about = format!(
            "{} {} {:?} {} {:?}",
            socket.head().method(),
            socket.head().uri(),
            socket.head().header("cookie"),
            socket.remote_addr().ip(),
            socket.protocol(),
        );
        let accepted = socket.accept().await;
        if let Err(error) = &accepted {
            self.reports.add(format!("not accepted: {error}"));
        }
        let mut socket = accepted?;
        let _ends = Ends(self.reports.clone());
        match &*path {
            "/about" => socket.send(about)?,
            "/return" => return Ok(socket.send("bye")?),
            "/drop-open" => {
                socket.send("bye")?;
                drop(socket);
                self.gate.acquire().await?.forget();
                return Ok(());
            }
            "/fail" => return Err(Error::new("the till of fail is empty")),
            "/status" => return Err(Error::status(403, "too late for it")),
            "/panic" => panic!("the till is empty"),
            "/answer" => return Err(Error::close(4001, "as told")),
            "/close" => {
                socket.close(4002, "as told")?;
                assert!(socket.send("late").is_err());
            }
            "/wait" => {
                self.reports.add("waits");
                self.gate.acquire().await?.forget();
            }
            "/wait-forever" => std::future::pending().await,
            "/tick" => loop {
                socket.send("tick")?;
                self.gate.acquire().await?.forget();
            },
            "/pages" => {
                let pages =
                    (0..PAGES).try_for_each(|page| socket.send(Frame::binary(vec![page; PAGE_BYTES])));
                self.reports.add(format!("sent: {}", pages.is_ok()));
            }
            "/flushed-pages" => {
                for page in 0..PAGES {
                    socket.send(Frame::binary(vec![page; PAGE_BYTES]))?;
                    socket.flushed().await;
                }
            }
            _ => {}
        }
        while let Some(frame) = socket.next().await {
            match frame.as_text() {
                Some(text) if text.starts_with("count") => self.reports.add("counted"),
                _ => socket.send(frame)?,
            }
        }
        let close = socket.closed().ok_or_else(|| Error::new("it has not ended"))?;
        self.reports.add(format!("closed: {} {:?} {}", close.code, close.reason, close.was_clean));
        Ok(())
    }
}

/// Stands between a client and a room.
async fn relay(socket: LobbySocket, lobby: &HostLobby, room: &str) -> Result<()> {
    let room = lobby.parties().party::<Witness>("main")?.room(room)?;
    let mut room = room.socket_at("/?_pk=relay").await?;
    let mut client = socket.accept().await?;
    loop {
        tokio::select! {
            said = client.next() => match said {
                Some(frame) => drop(room.send(frame)),
                None => return Ok(()),
            },
            heard = room.next() => match heard {
                Some(frame) => drop(client.send(frame)),
                None => {
                    let close = room.closed().ok_or_else(|| Error::new("it has not ended"))?;
                    return Err(Error::close(close.code, close.reason));
                }
            },
        }
    }
}

async fn site(change: impl FnOnce(Builder) -> Builder) -> (TestHost, Seen, Arc<Semaphore>) {
    let (reports, seen) = reports();
    let gate = Arc::new(Semaphore::new(0));
    let host = Host::builder().party::<Witness>("main").env(reports.clone());
    let host = host.lobby(Site { reports, gate: Arc::clone(&gate) });
    (TestHost::of(change(host)).await, seen, gate)
}

async fn site_with(change: impl FnOnce(&mut Config)) -> (TestHost, Seen, Arc<Semaphore>) {
    site(|host| host.config(change)).await
}

async fn plain() -> (TestHost, Seen, Arc<Semaphore>) {
    site(|host| host).await
}

/// The answer to a request that is not accepted.
async fn answer(host: &TestHost, request: impl AsRef<[u8]>) -> Answer {
    let mut raw = Raw::tcp(host).await;
    raw.send(request).await;
    raw.answer().await
}

fn with_header(path: &str, header: &str) -> String {
    format!("{}\r\n{header}\r\n\r\n", upgrade_request(path).trim_end())
}

async fn next_of(seen: &mut Seen, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(seen.next().await);
    }
    all
}

// What comes and goes.

#[tokio::test]
async fn text_binary_empty_and_long_messages_come_and_go_unchanged_and_in_order() {
    let (host, _seen, _) = plain().await;
    let mut ada = host.connect("/echo").await;
    let frames = [
        Frame::text("hi"),
        Frame::text(""),
        Frame::binary(""),
        Frame::binary(vec![7; 1 << 20]),
        Frame::text("ü".repeat(1 << 19)),
        Frame::text("last"),
    ];
    for frame in frames.clone() {
        ada.send(frame).await;
    }
    for frame in frames {
        assert!(ada.next().await == frame);
    }
    assert_eq!((host.connections_count(), host.rooms_count()), (1, 0));
}

#[tokio::test]
async fn what_is_sent_right_behind_the_handshake_or_in_pieces_is_heard() {
    let (host, _seen, _) = plain().await;
    let mut raw = Raw::tcp(&host).await;
    raw.send([upgrade_request("/echo").into_bytes(), frame(TEXT, "early")].concat()).await;
    assert_eq!(raw.answer().await.status, 101);
    assert_eq!(raw.next_text().await, "early");
    raw.send([frame(TEXT & !FINAL, "a"), frame(PING, "?"), frame(CONTINUATION | FINAL, "b")].concat()).await;
    assert_eq!(raw.next().await, (PONG, b"?".to_vec()));
    assert_eq!(raw.next_text().await, "ab");
}

#[tokio::test]
async fn the_hook_knows_path_query_cookie_and_address() {
    let (host, _seen, _) = plain().await;
    let mut raw = Raw::tcp(&host).await;
    raw.send(with_header("/about?a=b%20c", "Cookie: crumb=1")).await;
    let head = raw.answer().await;
    assert_eq!(head.status, 101);
    assert!(!head.head.contains("sec-websocket-protocol"), "{}", head.head);
    assert_eq!(raw.next_text().await, "GET /about?a=b%20c Some(\"crumb=1\") 127.0.0.1 None");
}

#[tokio::test]
async fn a_subprotocol_is_told_when_the_hook_selects_it_and_one_not_offered_is_500() {
    let (host, _seen, _) = plain().await;
    let offer = "Sec-WebSocket-Protocol: a, b";
    let mut raw = Raw::tcp(&host).await;
    raw.send(with_header("/protocol?wanted=b", offer)).await;
    let head = raw.answer().await;
    assert!(head.status == 101 && head.head.contains("\r\nsec-websocket-protocol: b\r\n"), "{head:?}");
    raw.send(frame(TEXT, "hi")).await;
    assert_eq!(raw.next_text().await, "hi");
    assert_eq!(answer(&host, with_header("/protocol?wanted=c", offer)).await.status, 500);
    // Who is closed at once is told the first, else a browser would not see the Close.
    let mut raw = Raw::tcp(&host).await;
    raw.send(with_header("/close-first", offer)).await;
    assert!(raw.answer().await.head.contains("\r\nsec-websocket-protocol: a\r\n"));
}

// Who is taken.

#[tokio::test]
async fn what_the_hook_does_not_accept_goes_on_as_a_plain_request() {
    let (host, _seen, _) = site(|host| host.assets("it/assets/public")).await;
    for (path, status, body) in
        [("/page", 200, "page of 0"), ("/nothing", 404, "Not found"), ("/drop", 404, "Not found")]
    {
        let answer = answer(&host, upgrade_request(path)).await;
        assert_eq!((answer.status, &*answer.body), (status, body), "{path}");
    }
    // What is called by plain requests is not asked here, with a body or without.
    let post = "POST /page HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(answer(&host, post).await.body, "page of 4");
    assert_eq!(host.get("/echo").await.status(), 404);
    assert_eq!(host.connections_count(), 0);
}

struct NoSockets;

impl LobbyServer for NoSockets {}

#[tokio::test]
async fn a_lobby_without_on_socket_and_a_host_without_lobby_answer_as_to_a_plain_request() {
    let (reports, _seen) = reports();
    let builder = || Host::builder().party::<Witness>("main").env(reports.clone());
    for host in [builder(), builder().lobby(NoSockets)] {
        let host = TestHost::of(host).await;
        for request in [upgrade_request("/echo"), upgrade_request("/echo").replace("13", "12")] {
            let answer = answer(&host, request).await;
            assert_eq!((answer.status, &*answer.body), (404, "Not found"));
        }
    }
}

#[tokio::test]
async fn a_hook_that_fails_before_it_accepts_is_answered_by_http_or_by_its_close() {
    let (host, mut seen, _) = plain().await;
    for (path, status, body) in [
        ("/fail-first", 500, "Internal Server Error"),
        ("/panic-first", 500, "Internal Server Error"),
        ("/forbid", 403, "Members only"),
    ] {
        let answer = answer(&host, upgrade_request(path)).await;
        assert_eq!((answer.status, &*answer.body), (status, body), "{path}");
    }
    let mut refused = host.connect("/close-first").await;
    assert_eq!(refused.closed().await, (4003, "Members only".to_owned()));
    drop(refused);
    host.until(|host| host.connections_count() == 0).await;
    assert_eq!(seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn a_bad_handshake_is_refused_when_the_hook_accepts_it() {
    let (host, mut seen, _) = plain().await;
    let good = upgrade_request("/echo");
    for (request, status) in [
        (good.replace("Version: 13", "Version: 12"), 426),
        (good.replace("Connection: Upgrade\r\n", ""), 400),
        (good.replace("GET", "POST"), 400),
        (good.replace("dGhlIHNhbXBsZSBub25jZQ==", "x"), 400),
        (good.replace("HTTP/1.1", "HTTP/1.0"), 400),
    ] {
        let answer = answer(&host, &request).await;
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.head.contains("\r\nsec-websocket-version: 13\r\n"), status == 426);
        let said = "not accepted: the handshake of the client is bad, it was refused";
        assert_eq!(seen.next().await, said);
    }
    let bad = upgrade_request("/close-first").replace("Version: 13", "Version: 12");
    assert_eq!(answer(&host, bad).await.status, 426);
    // The connection may be used again.
    let mut raw = Raw::tcp(&host).await;
    raw.send(good.replace("Version: 13", "Version: 12")).await;
    assert_eq!(raw.answer().await.status, 426);
    raw.upgrade("/echo").await;
}

#[tokio::test]
async fn a_page_of_another_origin_is_refused_before_the_hook_is_asked() {
    let (host, mut seen, _) = site(|host| host.allowed_origins([ORIGIN])).await;
    let foreign = answer(&host, with_header("/wait-first", "Origin: https://evil.example")).await;
    assert_eq!((foreign.status, &*foreign.body), (403, "Origin https://evil.example is not allowed"));
    let mut raw = Raw::tcp(&host).await;
    raw.send(with_header("/about", &format!("Origin: {ORIGIN}"))).await;
    assert_eq!(raw.answer().await.status, 101);
    assert_eq!(seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn no_more_are_taken_than_connections_max_and_places_are_free_again() {
    let (host, mut seen, _) = site_with(|config| config.connections_max = Some(1)).await;
    let ada = host.connect("/echo").await;
    assert_eq!(answer(&host, upgrade_request("/echo")).await.status, 503);
    assert_eq!(answer(&host, upgrade_request("/party/a")).await.status, 503);
    ada.close(Some((1000, ""))).await;
    assert_eq!(next_of(&mut seen, 2).await, ["closed: 1000 \"\" true", "hook ended"]);
    host.until(|host| host.connections_count() == 0).await;
    let mut bob = host.connect("/echo").await;
    bob.send("hi").await;
    assert_eq!(bob.next_text().await, "hi");
}

#[tokio::test]
async fn a_hook_that_does_not_accept_in_time_is_dropped_and_500() {
    let (host, mut seen, _) = plain().await;
    let mut raw = Raw::tcp(&host).await;
    raw.send(upgrade_request("/wait-first")).await;
    assert_eq!(seen.next().await, "asked");
    host.advance(Duration::from_secs(30));
    assert_eq!(raw.answer().await.status, 500);
    assert_eq!(seen.next().await, "hook ended");
    host.until(|host| host.connections_count() == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_it_is_accepted_is_told_to_the_hook() {
    let (host, mut seen, gate) = plain().await;
    let mut raw = Raw::tcp(&host).await;
    raw.send(upgrade_request("/wait-first")).await;
    assert_eq!(seen.next().await, "asked");
    drop(raw);
    gate.add_permits(1);
    assert_eq!(seen.next().await, "hook ended", "its first part");
    // Whether the host has noticed it by now, or does so when the 101 goes out, or after it.
    let told = seen.next().await;
    let lost = ["not accepted: the client went away before it was accepted", "closed: 1006 \"\" false"];
    assert!(lost.contains(&&*told), "{told}");
    host.until(|host| host.connections_count() == 0).await;
}

// How it ends.

#[tokio::test]
async fn the_end_of_the_hook_closes_the_client() {
    log::keep();
    let (host, mut seen, _) = plain().await;
    for (path, code, reason) in [
        ("/return", 1000, ""),
        ("/fail", 1011, "Internal error"),
        ("/status", 1011, "Internal error"),
        ("/panic", 1011, "Internal error"),
        ("/answer", 4001, "as told"),
    ] {
        let mut client = host.connect(path).await;
        if path == "/return" {
            assert_eq!(client.next_text().await, "bye");
        }
        assert_eq!(client.closed().await, (code, reason.to_owned()), "{path}");
        assert_eq!(seen.next().await, "hook ended");
    }
    host.until(|host| host.connections_count() == 0).await;
    let logged = log::lines_with("the till of fail is empty");
    let [line] = &logged[..] else { panic!("{logged:?}") };
    assert!(line.contains("ERROR") && line.contains("/fail") && line.contains("on_socket"), "{line}");
}

#[tokio::test]
async fn a_socket_that_is_dropped_stays_open_until_the_hook_ends() {
    let (host, mut seen, gate) = plain().await;
    let mut ada = host.connect("/drop-open").await;
    assert_eq!(ada.next_text().await, "bye");
    // What it says goes nowhere, and holds up nobody.
    for _ in 0..3 {
        ada.send(Frame::binary(vec![7; 1 << 20])).await;
    }
    ada.hears_nothing().await;
    gate.add_permits(1);
    assert_eq!(seen.next().await, "hook ended");
    assert_eq!(ada.closed().await, (1000, String::new()));
}

#[tokio::test]
async fn a_client_that_closes_is_answered_at_once_and_the_hook_hears_how() {
    let (host, mut seen, _) = plain().await;
    for (payload, answered, told) in [
        (close_payload(4001, "bye"), (4001, "bye".to_owned()), "closed: 4001 \"bye\" true"),
        (Vec::new(), (1005, String::new()), "closed: 1005 \"\" true"),
    ] {
        let mut raw = Raw::connect(&host, "/echo").await;
        raw.send(frame(CLOSE, payload)).await;
        assert_eq!(raw.closed().await, answered);
        raw.ends().await;
        assert_eq!(next_of(&mut seen, 2).await, [told, "hook ended"]);
    }
}

#[tokio::test]
async fn a_client_that_is_cut_or_reset_is_lost() {
    let (host, mut seen, _) = plain().await;
    drop(Raw::connect(&host, "/echo").await);
    assert_eq!(next_of(&mut seen, 2).await, ["closed: 1006 \"\" false", "hook ended"]);
    let mut raw = Raw::connect(&host, "/echo").await;
    raw.send(head(TEXT, 100)).await;
    end_by_reset(&raw.into_tcp());
    assert_eq!(next_of(&mut seen, 2).await, ["closed: 1006 \"\" false", "hook ended"]);
    host.until(|host| host.connections_count() == 0).await;
}

#[tokio::test]
async fn the_hook_closes_with_its_code_and_hears_the_answer_or_gives_up() {
    let (host, mut seen, _) = plain().await;
    let mut ada = host.connect("/close").await;
    assert_eq!(ada.closed().await, (4002, "as told".to_owned()));
    assert_eq!(next_of(&mut seen, 2).await, ["closed: 4002 \"as told\" true", "hook ended"]);

    let mut raw = Raw::connect(&host, "/close").await;
    assert_eq!(raw.closed().await, (4002, "as told".to_owned()));
    raw.send(frame(TEXT, "not listened to")).await;
    soon(async {
        while host.connections_count() > 0 {
            host.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(next_of(&mut seen, 2).await, ["closed: 1006 \"\" false", "hook ended"]);
    raw.ends().await;
}

#[tokio::test]
async fn what_a_client_breaks_closes_it_with_the_code_for_that() {
    let (host, mut seen, _) = site_with(|config| config.message_bytes_max = 10).await;
    let cases: [(Vec<u8>, u16, &str); 4] = [
        (frame(TEXT, "x".repeat(11)), 1009, "Message is too large: 11 > 10"),
        (frame(TEXT, [0xff]), 1007, "Text is not UTF-8"),
        (vec![TEXT, 1, b'x'], 1002, "Protocol error"),
        (frame(0x83, ""), 1002, "Protocol error"),
    ];
    for (bytes, code, reason) in cases {
        let mut raw = Raw::connect(&host, "/echo").await;
        raw.send(frame(TEXT, "x".repeat(10))).await;
        assert_eq!(raw.next_text().await, "x".repeat(10));
        raw.send(bytes).await;
        assert_eq!(raw.closed().await, (code, reason.to_owned()));
        raw.ends().await;
        let told = format!("closed: {code} {reason:?} false");
        assert_eq!(next_of(&mut seen, 2).await, [told.as_str(), "hook ended"]);
    }
}

#[tokio::test]
async fn a_silent_client_is_pinged_and_lost_when_it_does_not_answer() {
    let (host, mut seen, _) = plain().await;
    let mut raw = Raw::connect(&host, "/echo").await;
    let mut alive = Raw::connect(&host, "/echo").await;
    for client in [&mut raw, &mut alive] {
        client.send(frame(TEXT, "here")).await;
        assert_eq!(client.next_text().await, "here");
    }
    host.advance(Duration::from_secs(30));
    assert_eq!(raw.next().await, (PING, Vec::new()));
    assert_eq!(alive.next().await, (PING, Vec::new()));
    alive.send([frame(PONG, ""), frame(TEXT, "still")].concat()).await;
    assert_eq!(alive.next_text().await, "still");
    host.advance(Duration::from_secs(20));
    assert_eq!(next_of(&mut seen, 2).await, ["closed: 1006 \"\" false", "hook ended"]);
    raw.ends().await;
    alive.send(frame(TEXT, "and still")).await;
    assert_eq!(alive.next_text().await, "and still");
}

// Slow ones.

/// A client that takes next to nothing unless it reads.
async fn narrow(host: &TestHost, path: &str) -> Raw {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("an option of TCP");
    let mut raw = Raw::over(socket.connect(host.addr()).await.expect("the host listens"));
    raw.upgrade(path).await;
    raw
}

#[tokio::test]
async fn a_client_that_reads_too_slowly_gets_what_waits_and_1013() {
    let (host, mut seen, _) = site_with(|config| config.outbox_bytes_max = 4 << 20).await;
    let mut slow = narrow(&host, "/pages").await;
    assert_eq!(seen.next().await, "sent: false");
    let mut pages_count = 0;
    let close = loop {
        match slow.next().await {
            (CLOSE, close) => break close,
            (_, payload) => assert!(payload == vec![pages_count; PAGE_BYTES], "{pages_count}"),
        }
        pages_count += 1;
    };
    assert!((4..PAGES).contains(&pages_count), "{pages_count}");
    assert_eq!(close, close_payload(1013, "Read too slowly: over 4194304 bytes waited"));
    slow.send(frame(CLOSE, close_payload(1013, ""))).await;
    slow.ends().await;
    let told = "closed: 1013 \"Read too slowly: over 4194304 bytes waited\" true";
    assert_eq!(next_of(&mut seen, 2).await, [told, "hook ended"]);
}

#[tokio::test]
async fn a_client_that_never_reads_again_is_cut_and_nothing_of_it_is_left() {
    // So that it is not its silence that ends it.
    let (host, mut seen, _) = site_with(|config| config.ping_every = Duration::MAX).await;
    let _slow = narrow(&host, "/pages").await;
    assert_eq!(seen.next().await, "sent: false");
    soon(async {
        while host.connections_count() > 0 {
            host.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(next_of(&mut seen, 2).await, ["closed: 1006 \"\" false", "hook ended"]);
}

#[tokio::test]
async fn a_hook_that_waits_until_all_is_taken_sends_more_than_may_wait() {
    let (host, _seen, _) = site_with(|config| config.outbox_bytes_max = 2 << 20).await;
    let mut slow = narrow(&host, "/flushed-pages").await;
    for page in 0..PAGES {
        let (_, payload) = slow.next().await;
        assert!(payload == vec![page; PAGE_BYTES], "{page}");
    }
    slow.send(frame(TEXT, "all")).await;
    assert_eq!(slow.next_text().await, "all");
}

/// More than what waits for it, in the host and in the system: the client stops, and others do not.
#[tokio::test]
async fn a_hook_that_does_not_read_holds_up_its_client_alone() {
    let (host, mut seen, gate) = site_with(|config| config.ping_every = Duration::MAX).await;
    let (mut ada, mut bob) = (Raw::connect(&host, "/wait").await, host.connect("/echo").await);
    assert_eq!(seen.next().await, "waits");
    let many = frame(TEXT, format!("{:<16384}", "count")).repeat(1024);
    let mut sent = Box::pin(ada.send(&many));
    for _ in 0..500 {
        bob.send("hi").await;
        tokio::select! {
            biased;
            text = bob.next_text() => assert_eq!(text, "hi"),
            () = &mut sent => panic!("16 MiB were taken, and nobody has read them"),
        }
    }
    assert_eq!(seen.all(), [] as [String; 0]);
    gate.add_permits(1);
    soon(sent).await;
    for _ in 0..1024 {
        assert_eq!(seen.next().await, "counted");
    }
}

#[tokio::test]
async fn a_hook_that_does_not_end_with_its_client_is_dropped_when_its_time_is_over() {
    let (host, mut seen, _) = plain().await;
    let ada = host.connect("/wait-forever").await;
    // As long as the client is there it may take as long as it wants.
    host.advance(Duration::from_secs(29));
    ada.close(None).await;
    host.until(|host| host.connections_count() == 0).await;
    host.advance(Duration::from_secs(1));
    assert_eq!(seen.all(), [] as [String; 0]);
    soon(async {
        while seen.all().is_empty() {
            host.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_hook_may_run_longer_than_hook_timeout_while_its_client_is_there() {
    let (host, mut seen, _) = site_with(|config| config.ping_every = Duration::MAX).await;
    let mut ada = host.connect("/echo").await;
    for _ in 0..10 {
        host.advance(Duration::from_secs(3600));
        ada.send("hi").await;
        assert_eq!(ada.next_text().await, "hi");
    }
    assert_eq!(seen.all(), [] as [String; 0]);
}

#[tokio::test]
async fn a_send_to_a_client_that_has_left_is_not_logged_as_a_failure() {
    log::keep();
    let (host, mut seen, gate) = plain().await;
    let path = "/tick";
    let mut ada = host.connect(&format!("{path}?of-who-has-left")).await;
    assert_eq!(ada.next_text().await, "tick");
    ada.close(None).await;
    host.until(|host| host.connections_count() == 0).await;
    gate.add_permits(1);
    assert_eq!(seen.next().await, "hook ended");
    assert_eq!(log::lines_with("path=\"/tick\""), [] as [String; 0]);
}

// Rooms.

#[tokio::test]
async fn a_hook_stands_between_a_client_and_a_room_in_both_directions() {
    let (host, mut seen, _) = plain().await;
    let mut ada = host.connect("/live/lobby").await;
    assert_eq!(ada.next_text().await, "welcome");
    for frame in [Frame::text("hi"), Frame::text(""), Frame::binary(vec![7; 1 << 20])] {
        ada.send(frame.clone()).await;
        assert!(ada.next().await == frame);
    }
    ada.send("who").await;
    assert_eq!(ada.next_text().await, "relay");
    // Either end goes to the other.
    ada.close(Some((4001, "bye"))).await;
    assert_eq!(seen.next().await, "relay closed: 1001 \"Socket was dropped\" clean, last");
    let mut bob = host.connect("/live/lobby").await;
    assert_eq!(bob.next_text().await, "welcome");
    bob.send("close 4002 enough").await;
    assert_eq!(bob.closed().await, (4002, "enough".to_owned()));
    drop(bob);
    assert_eq!(seen.next().await, "relay closed: 4002 \"enough\" clean, last");
    host.until(|host| host.connections_count() == 0).await;
}

// The end of the host.

#[tokio::test]
async fn a_shutdown_closes_with_1012_and_waits_for_the_hooks() {
    let (mut host, mut seen, gate) = plain().await;
    let (mut ada, mut bob) = (host.connect("/echo").await, host.connect("/wait").await);
    let mut raw = Raw::tcp(&host).await;
    raw.send(upgrade_request("/wait-first")).await;
    let mut begun = next_of(&mut seen, 2).await;
    begun.sort();
    assert_eq!(begun, ["asked", "waits"]);
    host.begin_stop();
    for client in [&mut ada, &mut bob] {
        assert_eq!(client.closed().await, (1012, "Server is restarting".to_owned()));
    }
    let told = "closed: 1012 \"Server is restarting\" true";
    assert_eq!(next_of(&mut seen, 2).await, [told, "hook ended"]);
    // Two hooks wait, and the host waits for them.
    gate.add_permits(2);
    let mut ends = next_of(&mut seen, 4).await;
    ends.sort();
    let refused = "not accepted: the host shuts down, the client was refused";
    assert_eq!(ends, [told, "hook ended", "hook ended", refused]);
    assert_eq!(raw.answer().await.status, 503);
    host.stop().await;
}

#[tokio::test]
async fn more_than_a_hundred_are_closed_at_a_pace() {
    let (mut host, _seen, _) = plain().await;
    let mut clients = Vec::new();
    for _ in 0..101 {
        clients.push(host.connect("/echo").await);
    }
    host.begin_stop();
    // 10 at each step of 10 ms of a clock that stands.
    let closed = futures_util::future::join_all(clients.iter_mut().map(TestClient::closed));
    let mut closed = Box::pin(closed);
    soon(async {
        loop {
            tokio::select! {
                biased;
                codes = &mut closed => {
                    break assert!(codes.iter().all(|(code, _)| *code == 1012), "{codes:?}");
                }
                () = tokio::task::yield_now() => host.advance(Duration::from_millis(10)),
            }
        }
    })
    .await;
    host.stop().await;
}

#[tokio::test]
async fn a_hook_that_does_not_end_is_dropped_when_the_grace_is_over_and_when_the_host_is_cut() {
    let (mut host, mut seen, _) = plain().await;
    let mut ada = host.connect("/wait-forever").await;
    host.begin_stop();
    assert_eq!(ada.closed().await.0, 1012);
    soon(async {
        while seen.all().is_empty() {
            host.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    })
    .await;
    host.stop().await;

    let (host, mut seen, _) = plain().await;
    let mut ada = host.connect("/wait-forever").await;
    host.kill().await;
    // Cut, unless its shard was quicker with the end of a hook that was dropped.
    assert!([1001, 1006].contains(&ada.closed().await.0));
    assert_eq!(seen.next().await, "hook ended");
}
