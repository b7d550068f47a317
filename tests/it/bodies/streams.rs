//! Bodies of requests, read by the room while they arrive.

use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Config, Host};
use tokio::io::AsyncReadExt;
use tokio::sync::Semaphore;

use crate::http::raw::Raw;
use crate::parties::{Reports, Seen, reports};

/// Longer than `body_timeout`.
const TOO_LATE: Duration = Duration::from_secs(31);

/// Reads bodies as the last segment of the path says, and reports what it reads.
struct Intake {
    kept: Vec<Request>,
}

/// What `spawn` waits for before each piece, and `gated` before it reads as `now` does.
#[derive(Clone)]
struct Gate(Arc<Semaphore>);

impl PartyServer for Intake {
    type Message = String;

    const OPTIONS: PartyOptions = PartyOptions::DEFAULT.stream_bodies(true);

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Self { kept: Vec::new() })
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        let reports = room.env::<Reports>()?.clone();
        reports.add("begun");
        let mut body = request.body_stream();
        match request.uri().path().rsplit('/').next().unwrap_or_default() {
            "spawn" => {
                let (answer, response) = room.body();
                let (gate, intake) = (room.env::<Gate>()?.clone(), room.handle::<Self>());
                room.spawn(async move {
                    let mut len_bytes = 0;
                    loop {
                        gate.0.acquire().await?.forget();
                        match body.next().await {
                            Some(Ok(piece)) => {
                                len_bytes += piece.len();
                                reports.add(format!("piece of {}", piece.len()));
                            }
                            Some(Err(error)) => {
                                reports.add(format!("error {error}"));
                                assert!(body.next().await.is_none(), "nothing comes behind an error");
                                return Ok(());
                            }
                            None => break,
                        }
                    }
                    reports.add("end");
                    intake
                        .run(async move |_, room| Ok(answer.write(room, format!("{len_bytes} bytes"))?))
                        .await?;
                    Ok(())
                });
                Ok(response)
            }
            "spawn-panic" => {
                let (answer, response) = room.body();
                room.spawn(async move {
                    let _answer = answer;
                    body.next().await;
                    panic!("as told");
                });
                Ok(response)
            }
            path @ ("now" | "gated") => {
                if path == "gated" {
                    room.env::<Gate>()?.0.acquire().await?.forget();
                }
                let mut len_bytes = 0;
                while let Some(piece) = body.next().await {
                    len_bytes += piece?.len();
                    reports.add(format!("{len_bytes} so far"));
                }
                Ok(Response::text(format!("{len_bytes} bytes")))
            }
            "keep" => {
                // The stream is in it again, not in `body`.
                self.kept.push(Request::streamed(Head::default(), body, request.remote_addr()));
                Ok(Response::text("kept"))
            }
            "json" => Ok(Response::text(request.json::<String>()?)),
            _ => Ok(Response::text("ignored")),
        }
    }
}

struct Setup {
    host: TestHost,
    seen: Seen,
    gate: Gate,
}

async fn intake() -> Setup {
    intake_with(|_| {}).await
}

async fn intake_with(change: impl FnOnce(&mut Config)) -> Setup {
    let (reports, seen) = reports();
    let gate = Gate(Arc::new(Semaphore::new(0)));
    let builder = Host::builder().party::<Intake>("main").env(reports).env(gate.clone());
    // The clock is moved far in some tests.
    let builder = builder.config(|config| config.hook_timeout = Duration::MAX).config(change);
    Setup { host: TestHost::of(builder).await, seen, gate }
}

/// The head of a POST, with one more header.
fn head(path: &str, header: &str) -> String {
    format!("POST /party/x/{path} HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n")
}

fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

async fn sends(host: &TestHost, path: &str, header: &str, body: &str) -> Raw {
    let mut client = Raw::connect(host).await;
    client.send(head(path, header) + body).await;
    client
}

/// Lets time pass until `future` has ended.
async fn while_time_passes<T>(host: &TestHost, future: impl Future<Output = T>) -> T {
    let passing = async {
        loop {
            host.advance(TOO_LATE);
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        value = future => value,
        () = passing => unreachable!("time passes for ever"),
    }
}

const CHUNKED: &str = "transfer-encoding: chunked";

#[tokio::test]
async fn a_request_comes_to_its_hook_before_its_body_and_pieces_as_they_are_sent() {
    let Setup { host, mut seen, gate } = intake().await;
    gate.0.add_permits(100);
    for (header, pieces) in [
        (CHUNKED, [chunk("one"), chunk("three"), "0\r\n\r\n".to_owned()]),
        ("content-length: 8", ["one".to_owned(), "three".to_owned(), String::new()]),
    ] {
        let mut client = sends(&host, "spawn", header, "").await;
        assert_eq!(seen.next().await, "begun");
        // The answer begins before the body does.
        assert_eq!(client.head().await.status, 200);
        client.send(&pieces[0]).await;
        assert_eq!(seen.next().await, "piece of 3");
        client.send(&pieces[1]).await;
        assert_eq!(seen.next().await, "piece of 5");
        client.send(&pieces[2]).await;
        assert_eq!(seen.next().await, "end");
        assert_eq!(client.chunk().await.expect("an answer"), b"8 bytes");
        assert_eq!(client.chunk().await, None);
        // The connection serves the next request.
        client.send("GET /party/x/ HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(client.answer().await.text(), "ignored");
        assert_eq!(seen.next().await, "begun");
    }
}

#[tokio::test]
async fn a_streamed_body_of_exactly_the_limit_passes_and_one_byte_more_is_413() {
    let Setup { host, mut seen, .. } = intake_with(|config| config.body_bytes_max = 10).await;
    let ten = chunk("seven..") + &chunk("...");

    let mut client = sends(&host, "now", CHUNKED, &format!("{ten}0\r\n\r\n")).await;
    assert_eq!(client.answer().await.text(), "10 bytes");

    let mut client = sends(&host, "now", CHUNKED, &(ten + &chunk("x"))).await;
    let refused = client.answer().await;
    assert_eq!((refused.status, refused.text().as_str()), (413, "Body is longer than 10 bytes"));

    seen.all();
    let mut client = sends(&host, "now", "content-length: 11", "").await;
    assert_eq!(client.answer().await.status, 413);
    assert_eq!(seen.all(), [""; 0], "a length that is too long calls no hook");
}

#[tokio::test]
async fn body_timeout_is_the_time_between_two_pieces_of_a_stream() {
    let Setup { host, mut seen, .. } = intake().await;
    let mut client = sends(&host, "now", "content-length: 100", "").await;
    assert_eq!(seen.next().await, "begun");
    for count in 1..=4 {
        client.send("x").await;
        assert_eq!(seen.next().await, format!("{count} so far"));
        host.advance(Duration::from_secs(20));
    }
    let late = while_time_passes(&host, client.answer()).await;
    assert_eq!((late.status, late.text().as_str()), (408, "Body did not arrive in time"));
}

#[tokio::test]
async fn a_client_that_goes_away_in_the_middle_of_a_stream_is_an_error_of_it() {
    let Setup { host, mut seen, gate } = intake().await;
    gate.0.add_permits(100);
    for (header, body) in [(CHUNKED, chunk("one")), ("content-length: 100", "one".to_owned())] {
        let client = sends(&host, "spawn", header, &body).await;
        assert_eq!(seen.next().await, "begun");
        assert_eq!(seen.next().await, "piece of 3");
        drop(client);
        assert_eq!(seen.next().await, "error 400 Bad Request: Body is not complete");
    }
}

#[tokio::test]
async fn a_client_waits_while_nobody_reads_and_goes_on_when_somebody_does() {
    const TOTAL_BYTES: usize = 24 << 20;
    let Setup { host, mut seen, gate } = intake_with(|config| config.body_bytes_max = TOTAL_BYTES).await;
    let client = sends(&host, "spawn", &format!("content-length: {TOTAL_BYTES}"), "").await;
    assert_eq!(seen.next().await, "begun");
    let tcp = client.into_tcp();
    let piece = vec![0; 64 << 10];
    let (mut sent_bytes, mut idle_count) = (0, 0);
    while idle_count < 2000 && sent_bytes < TOTAL_BYTES {
        match tcp.try_write(&piece[..piece.len().min(TOTAL_BYTES - sent_bytes)]) {
            Ok(count) => (sent_bytes, idle_count) = (sent_bytes + count, 0),
            Err(_) => idle_count += 1,
        }
        tokio::task::yield_now().await;
    }
    assert!(sent_bytes < TOTAL_BYTES, "nobody reads, and all of it was taken");

    gate.0.add_permits(1_000_000);
    soon(async {
        while sent_bytes < TOTAL_BYTES {
            tcp.writable().await.expect("an open socket");
            sent_bytes += tcp.try_write(&piece[..piece.len().min(TOTAL_BYTES - sent_bytes)]).unwrap_or(0);
        }
    })
    .await;
    let mut read_bytes = 0;
    while let Some(count) = seen.next().await.strip_prefix("piece of ") {
        read_bytes += count.parse::<usize>().expect("a number");
    }
    assert_eq!(read_bytes, TOTAL_BYTES);
}

#[tokio::test]
async fn a_client_that_asks_first_is_told_to_go_on_when_the_room_reads() {
    let Setup { host, mut seen, gate } = intake().await;
    let mut client = sends(&host, "gated", "expect: 100-continue\r\ncontent-length: 3", "").await;
    assert_eq!(seen.next().await, "begun");
    assert!(client.is_quiet());
    gate.0.add_permits(1);
    assert_eq!(client.head().await.status, 100);
    client.send("abc").await;
    assert_eq!(client.answer().await.text(), "3 bytes");
}

/// The room keeps the stream and never reads it; the host gives it up, and the connection ends.
#[tokio::test]
async fn a_stream_that_nobody_reads_does_not_keep_its_connection() {
    // The room stays, so that it is not its end that frees the connection.
    let Setup { host, .. } = intake_with(|config| config.idle_after = Duration::MAX).await;
    let mut client = sends(&host, "keep", "content-length: 100000", "one").await;
    assert_eq!(client.answer().await.text(), "kept");
    let mut tcp = client.into_tcp();
    // However it ends.
    let end = while_time_passes(&host, soon(tcp.read(&mut [0; 16]))).await;
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn the_answer_reaches_a_client_whose_body_is_not_read() {
    let Setup { host, .. } = intake().await;
    let body = "x".repeat(1 << 20);
    let mut client = sends(&host, "ignore", &format!("content-length: {}", 4 << 20), &body).await;
    client.send(&body).await;
    assert_eq!(client.answer().await.text(), "ignored");
}

#[tokio::test]
async fn a_streamed_body_that_is_read_as_a_whole_is_a_failure_of_the_hook() {
    let Setup { host, .. } = intake().await;
    let mut client = sends(&host, "json", "content-length: 4", "\"hi\"").await;
    let failed = client.answer().await;
    assert_eq!((failed.status, failed.text().as_str()), (500, "Internal Server Error"));
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_a_body_that_is_under_way() {
    let Setup { host, mut seen, gate } = intake().await;
    gate.0.add_permits(100);
    let mut client = sends(&host, "spawn", CHUNKED, &chunk("one")).await;
    assert_eq!(seen.next().await, "begun");
    assert_eq!(seen.next().await, "piece of 3");
    let read = async {
        assert_eq!(client.head().await.status, 200);
        drop(client);
    };
    tokio::join!(host.stop(), read);
}

#[tokio::test]
async fn a_task_that_panics_over_a_stream_ends_its_answer_and_the_room_goes_on() {
    let Setup { host, mut seen, .. } = intake().await;
    let mut client = sends(&host, "spawn-panic", CHUNKED, &chunk("one")).await;
    assert_eq!(seen.next().await, "begun");
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await, None);
    // Its body is under way still, and nobody reads it: the connection ends.
    client.send(chunk("two") + "0\r\n\r\n").await;

    let mut next = sends(&host, "now", "content-length: 3", "abc").await;
    assert_eq!(next.answer().await.text(), "3 bytes");
}

/// What a client sends as a body is never taken for a request, read or not.
#[tokio::test]
async fn a_request_in_a_body_that_nobody_reads_is_none() {
    let hidden = "GET /party/hidden/now HTTP/1.1\r\nhost: x\r\n\r\n";
    let length = format!("content-length: {}", hidden.len());
    let both = format!("{length}\r\n{CHUNKED}");
    let real = "GET /party/x/now HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    for (path, header, body) in [
        ("ignore", &*length, hidden.to_owned()),
        ("ignore", CHUNKED, chunk(hidden) + "0\r\n\r\n"),
        ("keep", &*length, hidden.to_owned()),
        ("keep", CHUNKED, chunk(hidden) + "0\r\n\r\n"),
        ("now", &*length, hidden.to_owned()),
        // By its length the request ends before its last chunk; chunks are what counts.
        ("now", &*both, chunk("x") + "0\r\n\r\n"),
    ] {
        let Setup { host, mut seen, .. } = intake().await;
        let mut client = sends(&host, path, header, &body).await;
        // It may be read by a host that has ended the connection.
        client.try_send(real).await;
        let answers = match path {
            // It is kept until the room's time for it is over.
            "keep" => while_time_passes(&host, client.rest_or_reset()).await,
            _ => client.rest_or_reset().await,
        };
        let answers = String::from_utf8_lossy(&answers);
        assert!(answers.starts_with("HTTP/1.1 200 OK"), "{path} {header}: {answers}");
        let begun_count = seen.all().iter().filter(|report| *report == "begun").count();
        assert!((1..=2).contains(&begun_count), "{path} {header}: {begun_count}");
        assert_eq!(answers.matches("HTTP/1.1").count(), begun_count, "{path} {header}: {answers}");
        // The room that only the hidden one names was never opened.
        assert!(host.rooms_count() <= 1, "{path} {header}");
    }
    let refused = [
        "transfer-encoding: chunked, identity",
        "transfer-encoding: xchunked",
        "content-length: 3\r\ncontent-length: 4",
        "content-length: +3",
        "content-length: 3, 4",
    ];
    let Setup { host, mut seen, .. } = intake().await;
    for header in refused {
        let mut client = sends(&host, "now", header, "abc").await;
        client.try_send(real).await;
        let answers = String::from_utf8_lossy(&client.rest_or_reset().await).into_owned();
        assert!(answers.starts_with("HTTP/1.1 400"), "{header}: {answers}");
        assert_eq!(answers.matches("HTTP/1.1").count(), 1, "{header}: {answers}");
    }
    assert_eq!(seen.all(), [""; 0]);
}
