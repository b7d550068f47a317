//! Response bodies that a room feeds, and request bodies as streams (wire rows 8, 15 and 42).

mod streams;

use std::sync::Arc;

use http::header::{CONTENT_TYPE, HeaderValue};
use partyrs::prelude::*;
use partyrs::storage::CommitError;
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Host};

use crate::held::HeldEngine;
use crate::http::raw::Raw;
use crate::script::LONG;

/// Opens bodies and feeds them, as its requests say.
///
/// `/feed` opens one; the query's `do` lists what to do: `/feed?do=write+hi;put+k`. Other paths
/// do what their `do` says, and answer how many bodies are open.
struct Press {
    feeds: Vec<RoomBody>,
    /// Kept, and not returned.
    kept: Vec<Response>,
    starts_count: u32,
}

impl PartyServer for Press {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        let starts_count: u32 = room.storage().get("starts").await?.unwrap_or(0) + 1;
        room.storage().put("starts", &starts_count)?;
        Ok(Self { feeds: Vec::new(), kept: Vec::new(), starts_count })
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        let path = request.uri().path().rsplit('/').next().unwrap_or_default();
        let response = match path {
            "feed" => {
                let (feed, response) = room.body();
                self.feeds.push(feed);
                let kind = HeaderValue::from_static("text/event-stream");
                Some(response.with_status(http::StatusCode::ACCEPTED).with_header(CONTENT_TYPE, kind))
            }
            _ => None,
        };
        let steps = request.query("do").unwrap_or_default().into_owned();
        for step in steps.split(';').filter(|step| !step.is_empty()) {
            self.step(room, step).await?;
        }
        let open_count = self.feeds.iter().filter(|feed| feed.is_open()).count();
        let starts_count = self.starts_count;
        Ok(response.unwrap_or_else(|| Response::text(format!("{open_count} open, start {starts_count}"))))
    }
}

impl Press {
    async fn step(&mut self, room: &Room, step: &str) -> Result<()> {
        let (order, text) = step.split_once(' ').unwrap_or((step, ""));
        match order {
            "write" => self.write(room, text)?,
            "fill" => self.write(room, &"x".repeat(text.parse()?))?,
            "put" => room.storage().put(text, "x")?,
            "sync" => room.storage().sync().await,
            "end" => self.feeds.clear(),
            "end-in-a-thread" => {
                let feeds = std::mem::take(&mut self.feeds);
                let handle = room.handle::<Self>();
                // Behind the end of this hook, and beside the room.
                std::thread::spawn(move || {
                    drop(feeds);
                    drop(handle);
                });
            }
            "keep" => self.kept.push(room.body().1),
            "drop" => self.feeds.push(room.body().0),
            "fail" => return Err(Error::new("as told")),
            "refuse" => return Err(Error::status(409, "as told")),
            "panic" => panic!("as told"),
            other => return Err(Error::new(format!("no such step: {other}"))),
        }
        Ok(())
    }

    fn write(&self, room: &Room, text: &str) -> Result<()> {
        for feed in &self.feeds {
            feed.write(room, text.to_owned())?;
        }
        Ok(())
    }
}

/// Answers with what the press `x` feeds.
struct Relay;

impl PartyServer for Relay {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Relay)
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        let press = room.parties().party::<Press>("main")?.room("x")?;
        Ok(press.fetch(http::Request::get("/feed").body("")?).await?)
    }
}

fn press_builder() -> Builder {
    Host::builder().party::<Press>("main")
}

async fn press() -> TestHost {
    TestHost::start::<Press>().await
}

/// A press whose commits wait for the test; the one of its start has landed.
async fn held_press() -> (TestHost, Arc<HeldEngine>) {
    let engine = Arc::new(HeldEngine::new());
    engine.let_through(1);
    (TestHost::of(press_builder().storage(Arc::clone(&engine) as _)).await, engine)
}

/// A client that has the head of a body that the room `x` feeds.
async fn reader(host: &TestHost) -> Raw {
    reader_that(host, "").await
}

/// As `reader`; the hook that opens the body does these steps.
async fn reader_that(host: &TestHost, steps: &str) -> Raw {
    let mut reader = Raw::connect(host).await;
    let target = format!("/party/x/feed?do={steps}");
    reader.send(format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n")).await;
    let head = reader.head().await;
    assert_eq!((head.status, head.header("content-type")), (202, Some("text/event-stream")));
    reader
}

/// Lets the room `x` do this, and returns what it answers.
async fn tell(host: &TestHost, steps: &str) -> String {
    let answer = host.get(&format!("/party/x/?do={steps}")).await;
    String::from_utf8(answer.into_body().to_vec()).expect("text")
}

async fn hears(reader: &mut Raw, text: &str) {
    let mut heard = String::new();
    while heard.len() < text.len() {
        let chunk = reader.chunk().await.expect("a chunk");
        heard.push_str(std::str::from_utf8(&chunk).expect("text"));
    }
    assert_eq!(heard, text);
}

/// The body ends as a whole one.
async fn ends(reader: &mut Raw) {
    assert_eq!(reader.chunk().await, None, "the end of the body");
}

/// The connection is cut in the middle of the body; what came before.
async fn is_cut(mut reader: Raw) -> String {
    let rest = String::from_utf8(reader.rest().await).expect("text");
    assert!(!rest.ends_with("0\r\n\r\n"), "the body has ended as a whole one: {rest}");
    rest
}

/// Waits until this many bodies of the room are open.
async fn until_open(host: &TestHost, count: usize) {
    soon(async { while !tell(host, "").await.starts_with(&format!("{count} open")) {} }).await;
}

/// The room leaves memory, now that it may.
async fn is_evicted(host: &TestHost) {
    let is_gone = |host: &TestHost| {
        host.advance(LONG);
        host.rooms_count() == 0
    };
    host.until(is_gone).await;
}

#[tokio::test]
async fn what_hooks_write_arrives_as_it_is_written_until_the_body_is_dropped() {
    let host = press().await;
    let mut ada = reader_that(&host, "write+at+once").await;
    hears(&mut ada, "at once").await;
    let mut bob = reader(&host).await;

    tell(&host, "write+one").await;
    hears(&mut ada, "one").await;
    hears(&mut bob, "one").await;
    tell(&host, "write+two;write+three").await;
    hears(&mut ada, "twothree").await;
    assert_eq!(tell(&host, "end").await, "0 open, start 1");

    ends(&mut ada).await;
    hears(&mut bob, "twothree").await;
    ends(&mut bob).await;
    // A whole body: the connection goes on.
    ada.send("GET /party/x/ HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(ada.answer().await.text(), "0 open, start 1");
}

#[tokio::test]
async fn chunks_and_the_end_wait_for_the_commits_they_follow() {
    let (host, engine) = held_press().await;
    let mut ada = reader(&host).await;

    let told = tell(&host, "write+before;put+k;write+behind;end");
    let heard = async {
        hears(&mut ada, "before").await;
        host.until(|_| engine.arrived_count() == 2).await;
        assert!(ada.is_quiet(), "what follows the commit waits for it");
        engine.let_through(1);
        hears(&mut ada, "behind").await;
        ends(&mut ada).await;
    };
    tokio::join!(told, heard);
}

#[tokio::test]
async fn a_failed_hook_takes_its_chunks_back_and_the_restart_ends_the_body() {
    let host = press().await;
    let mut ada = reader(&host).await;

    assert_eq!(tell(&host, "write+before;put+k;write+behind;fail").await, "Internal Server Error");

    hears(&mut ada, "before").await;
    ends(&mut ada).await;
    assert_eq!(tell(&host, "").await, "0 open, start 2");
}

#[tokio::test]
async fn a_failed_hook_without_writes_takes_nothing_back_and_ends_no_body() {
    let host = press().await;
    let mut ada = reader(&host).await;

    assert_eq!(tell(&host, "write+one;fail").await, "Internal Server Error");
    tell(&host, "write+two").await;

    hears(&mut ada, "onetwo").await;
    assert_eq!(tell(&host, "").await, "1 open, start 1");
}

#[tokio::test]
async fn an_end_that_a_failed_hook_takes_back_comes_all_the_same() {
    let host = press().await;
    let mut ada = reader(&host).await;
    assert_eq!(tell(&host, "put+k;write+never;end;refuse").await, "as told");
    ends(&mut ada).await;
}

#[tokio::test]
async fn a_panic_ends_the_bodies_of_the_room() {
    let host = press().await;
    let mut ada = reader(&host).await;
    assert_eq!(tell(&host, "write+before;panic").await, "Internal Server Error");
    hears(&mut ada, "before").await;
    ends(&mut ada).await;
}

#[tokio::test]
async fn a_failed_commit_cuts_the_bodies_of_the_room() {
    let (host, engine) = held_press().await;
    let mut ada = reader(&host).await;
    tell(&host, "write+one").await;
    hears(&mut ada, "one").await;

    engine.fail_with(CommitError::Failed("the disk is gone".into()));
    tell(&host, "write+two;put+k;write+three;end").await;

    let rest = is_cut(ada).await;
    assert!(!rest.contains("three"), "{rest}");
}

#[tokio::test]
async fn a_room_that_panics_too_often_cuts_its_bodies() {
    let host = TestHost::of(press_builder().config(|config| config.restarts_max = 0)).await;
    let mut ada = reader(&host).await;
    tell(&host, "write+one").await;
    hears(&mut ada, "one").await;
    assert_eq!(tell(&host, "panic").await, "Internal Server Error");
    is_cut(ada).await;
}

#[tokio::test]
async fn a_host_that_is_killed_ends_no_body() {
    let host = press().await;
    let ada = reader(&host).await;
    host.kill().await;
    is_cut(ada).await;
}

#[tokio::test]
async fn as_much_as_the_outbox_holds_may_wait_for_a_reader() {
    let host = TestHost::of(press_builder().config(|config| config.outbox_bytes_max = 1000)).await;
    // The hook that opens the body writes before anybody reads.
    let mut ada = reader_that(&host, "fill+400;fill+600").await;
    hears(&mut ada, &"x".repeat(1000)).await;
    tell(&host, "fill+1000;end").await;
    hears(&mut ada, &"x".repeat(1000)).await;
    ends(&mut ada).await;
}

#[tokio::test]
async fn one_byte_more_cuts_the_connection_of_that_reader_and_the_room_goes_on() {
    let host = TestHost::of(press_builder().config(|config| config.outbox_bytes_max = 1000)).await;
    // Nobody reads a body before the hook that made it has answered.
    let mut bob = Raw::connect(&host).await;
    bob.send("GET /party/x/feed?do=fill+1000;write+x HTTP/1.1\r\nhost: x\r\n\r\n").await;
    let rest = String::from_utf8(bob.rest().await).expect("text");
    assert!(!rest.contains("xxxx"), "what was too much is not sent: {rest}");

    let mut carol = reader(&host).await;
    tell(&host, "write+on").await;
    hears(&mut carol, "on").await;
    assert_eq!(tell(&host, "").await, "1 open, start 1");
}

/// A connection that is stuck in writing would keep the host until its grace is over, and the
/// clock of this host stands still. That it goes at once, and not with the host alone, is shown
/// where descriptors are counted (`leftovers`).
#[tokio::test]
async fn a_reader_that_stopped_reading_is_cut_and_does_not_hold_up_the_others() {
    let host = press().await;
    let stuck = reader(&host).await;
    let mut ada = reader(&host).await;
    let mib = "x".repeat(1 << 20);
    let mut written_count = 0;
    soon(async {
        loop {
            written_count += 1;
            let open = tell(&host, "fill+1048576").await;
            hears(&mut ada, &mib).await;
            if open.starts_with("1 open") {
                break;
            }
        }
    })
    .await;
    assert!(written_count > 4, "4 MiB may wait");

    tell(&host, "end").await;
    ends(&mut ada).await;
    drop(ada);
    host.stop().await;
    drop(stuck);
}

#[tokio::test]
async fn a_client_that_goes_away_closes_its_body_and_the_room_may_rest() {
    let host = press().await;
    let mut ada = reader(&host).await;
    host.advance(LONG);
    tell(&host, "write+still+here").await;
    hears(&mut ada, "still here").await;
    assert_eq!(tell(&host, "").await, "1 open, start 1", "a room with an open body stays");

    drop(ada);
    is_evicted(&host).await;
    assert_eq!(tell(&host, "write+to+nobody").await, "0 open, start 2");
}

/// The room is at rest when its client goes away, and nothing but that wakes it.
#[tokio::test]
async fn a_room_at_rest_notices_that_its_client_goes_away() {
    let host = press().await;
    let ada = reader(&host).await;
    drop(ada);
    is_evicted(&host).await;
}

#[tokio::test]
async fn a_body_that_ends_outside_of_a_hook_ends_for_its_client() {
    let host = press().await;
    let mut ada = reader(&host).await;
    tell(&host, "write+last;end-in-a-thread").await;
    hears(&mut ada, "last").await;
    ends(&mut ada).await;
    is_evicted(&host).await;
}

#[tokio::test]
async fn a_shutdown_ends_bodies_behind_what_was_written_and_does_not_wait() {
    let host = press().await;
    let readers = [reader(&host).await, reader(&host).await];
    tell(&host, "write+last").await;

    let heard = async {
        for mut reader in readers {
            hears(&mut reader, "last").await;
            ends(&mut reader).await;
        }
    };
    tokio::join!(host.stop(), heard);
}

#[tokio::test]
async fn a_body_whose_client_asked_for_the_head_alone_is_closed() {
    let host = press().await;
    let mut ada = Raw::connect(&host).await;
    ada.send("HEAD /party/x/feed?do=write+never HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(ada.head().await.status, 202);
    until_open(&host, 0).await;
    ada.send("GET /party/x/ HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(ada.answer().await.text(), "0 open, start 1");
    is_evicted(&host).await;
}

#[tokio::test]
async fn a_body_whose_response_is_not_returned_is_closed() {
    let host = press().await;
    for steps in ["fail", "refuse", "drop"] {
        let path = if steps == "drop" { "" } else { "feed" };
        host.get(&format!("/party/x/{path}?do={steps};write+never")).await;
        assert_eq!(tell(&host, "").await, "0 open, start 1", "{steps}");
    }
    is_evicted(&host).await;
}

#[tokio::test]
async fn a_response_of_which_the_body_was_dropped_is_empty() {
    let host = press().await;
    let answer = host.get("/party/x/feed?do=put+k;end").await;
    assert_eq!((answer.status().as_u16(), answer.body().len()), (202, 0));
}

#[tokio::test]
async fn a_body_travels_from_room_to_room() {
    let host = TestHost::of(press_builder().party::<Relay>("relay")).await;
    let mut ada = Raw::connect(&host).await;
    ada.send("GET /parties/relay/y HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(ada.head().await.status, 202);
    tell(&host, "write+one").await;
    hears(&mut ada, "one").await;
    tell(&host, "write+two;end").await;
    hears(&mut ada, "two").await;
    ends(&mut ada).await;
}

#[tokio::test]
async fn a_chunk_for_two_thousand_bodies_reaches_each_once_and_in_order() {
    const READERS: usize = 2000;
    let host = press().await;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(reader(&host).await);
    }
    for text in ["one", "two", "three"] {
        tell(&host, &format!("write+{text}")).await;
    }
    assert_eq!(tell(&host, "end").await, "0 open, start 1");
    for mut reader in readers {
        hears(&mut reader, "onetwothree").await;
        ends(&mut reader).await;
    }
    is_evicted(&host).await;
}
