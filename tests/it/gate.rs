//! The gate from within: `sync` in every hook, and the order of what leaves when several commits
//! are on their way.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use partyrs::prelude::*;
use partyrs::{CallError, Hook};
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestClient, TestHost, soon};

use crate::held::HeldEngine;
use crate::http::raw::Raw;
use crate::parties::{Reports, Seen, reports};

/// Does the steps of the plan in the hook that the plan names.
struct Planned;

/// A hook and what it does, once.
#[derive(Clone, Default)]
struct Plan(Arc<Mutex<Option<Task>>>);

type Task = (Hook, &'static [Step]);

#[derive(Clone, Copy)]
enum Step {
    Put(&'static str),
    Sync,
    Report(&'static str),
    Fail,
    Panic,
}

use Step::{Fail, Panic, Put, Report, Sync};

/// A message for which `on_message` fails without a write.
const FAILS: &str = "7";

impl Plan {
    fn set(&self, hook: Hook, steps: &'static [Step]) {
        *self.0.lock().unwrap() = Some((hook, steps));
    }

    fn take(&self, hook: Hook) -> &'static [Step] {
        let mut plan = self.0.lock().unwrap();
        plan.take_if(|(planned, _)| *planned == hook).map_or(&[], |(_, steps)| steps)
    }
}

impl Planned {
    async fn act(room: &Room, hook: Hook) -> Result<()> {
        for step in room.env::<Plan>()?.take(hook) {
            match step {
                Put(key) => room.storage().put(*key, "x")?,
                Sync => room.storage().sync().await,
                Report(text) => room.env::<Reports>()?.add(*text),
                Fail => return Err(Error::new("as planned")),
                Panic => panic!("as planned"),
            }
        }
        Ok(())
    }
}

impl PartyServer for Planned {
    type Message = Json<u32>;

    async fn on_start(room: &Room) -> Result<Self> {
        Self::act(room, Hook::Start).await?;
        Ok(Self)
    }

    async fn connection_tags(&mut self, room: &Room, _: &Connection, _: &ConnectContext) -> Result<Vec<Tag>> {
        Self::act(room, Hook::ConnectionTags).await?;
        Ok(Vec::new())
    }

    async fn on_connect(&mut self, room: &Room, _: &Connection, _: &ConnectContext) -> Result<()> {
        Self::act(room, Hook::Connect).await
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, Json(number): Json<u32>) -> Result<()> {
        if number == 7 {
            return Err(Error::new("a seven"));
        }
        Self::act(room, Hook::Message).await
    }

    async fn on_invalid(&mut self, room: &Room, _: &Connection, _: &ParseError) -> Result<()> {
        Self::act(room, Hook::Invalid).await
    }

    async fn on_close(&mut self, room: &Room, _: &Connection, _: &Close) -> Result<()> {
        Self::act(room, Hook::Close).await
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        Self::act(room, Hook::Request).await?;
        Ok(Response::text("done"))
    }

    async fn on_alarm(&mut self, room: &Room, _: &Alarm) -> Result<()> {
        Self::act(room, Hook::Alarm).await
    }

    async fn on_error(&mut self, room: &Room, _: &Failure) {
        let acted = Self::act(room, Hook::Error).await;
        acted.expect("a plan that does not fail");
    }
}

/// A room of a host whose commits wait for the test.
struct Held {
    host: TestHost,
    engine: Arc<HeldEngine>,
    room: RoomHandle<Planned>,
    plan: Plan,
    seen: Seen,
}

impl Held {
    async fn begin() -> Self {
        let (engine, plan) = (Arc::new(HeldEngine::new()), Plan::default());
        let (reports, seen) = reports();
        let builder = Host::builder().party::<Planned>("main").env(plan.clone()).env(reports);
        let host = TestHost::of(builder.storage(Arc::clone(&engine) as _)).await;
        let room = host.parties().party::<Planned>("main").unwrap().room("lobby").unwrap();
        Self { host, engine, room, plan, seen }
    }

    async fn arrived(&self, count: usize) {
        self.host.until(|_| self.engine.arrived_count() >= count).await;
        assert_eq!(self.engine.arrived_count(), count);
    }

    /// Makes `hook` run, once its room is open; what asks lives as long as the returned value.
    async fn call(&self, hook: Hook) -> Box<dyn Send> {
        let joined = async || {
            // Whoever is answered has joined.
            let mut ada = self.host.join("lobby").await;
            ada.hears_nothing().await;
            ada
        };
        let tells = async |text: &'static str| {
            let mut ada = self.host.join("lobby").await;
            ada.send(text).await;
            ada
        };
        match hook {
            Hook::ConnectionTags | Hook::Connect => Box::new(self.host.join("lobby").await),
            Hook::Message => Box::new(tells("1").await),
            Hook::Invalid => Box::new(tells("no number").await),
            Hook::Error => Box::new(tells(FAILS).await),
            Hook::Close => {
                let ada: TestClient = joined().await;
                drop(ada.close(None).await);
                Box::new(())
            }
            Hook::Start | Hook::Request => {
                let mut raw = Raw::connect(&self.host).await;
                raw.send("GET /party/lobby HTTP/1.1\r\nhost: x\r\n\r\n").await;
                Box::new(raw)
            }
            Hook::Run => {
                let (room, steps) = (self.room.clone(), Hook::Run);
                Box::new(tokio::spawn(async move {
                    let _ = room.run(async move |_, room| Planned::act(room, steps).await).await;
                }))
            }
            Hook::Alarm => {
                let (room, before) = (self.room.clone(), self.engine.arrived_count());
                let set = tokio::spawn(async move {
                    room.run(async |_, room| Ok(room.storage().set_alarm(Duration::ZERO)?)).await
                });
                self.host.until(|_| self.engine.arrived_count() > before).await;
                self.engine.let_through(1);
                soon(set).await.unwrap().unwrap();
                self.host.advance(Duration::from_secs(1));
                Box::new(())
            }
            other => panic!("nothing makes {other} run"),
        }
    }

    /// Which of these keys are stored, in a room that is opened again if it has ended.
    async fn stored(&self) -> Vec<String> {
        soon(async {
            loop {
                let keys = async |_: &mut Planned, room: &Room| {
                    let entries = room.storage().list_bytes(List::all()).await?;
                    Ok(entries.into_iter().map(|(key, _)| key).collect())
                };
                match self.room.run(keys).await {
                    // It came into the room that ends, whose start has failed.
                    Err(CallError::Failed) => {}
                    stored => break stored.unwrap(),
                }
            }
        })
        .await
    }
}

const HOOKS: [Hook; 10] = [
    Hook::Start,
    Hook::ConnectionTags,
    Hook::Connect,
    Hook::Message,
    Hook::Invalid,
    Hook::Request,
    Hook::Close,
    Hook::Alarm,
    Hook::Error,
    Hook::Run,
];

/// The first `sync` has nothing to wait for, the second waits for a write, the third comes at once
/// behind it; what follows them is taken back when the hook fails, and what came before is not.
#[tokio::test]
async fn sync_ends_one_commit_and_begins_the_next_in_every_hook() {
    const FAILS: &[Step] = &[
        Sync,
        Report("nothing to wait for"),
        Put("a"),
        Sync,
        Report("synced"),
        Sync,
        Put("b"),
        Report("end"),
        Fail,
    ];
    const PANICS: &[Step] = &[
        Sync,
        Report("nothing to wait for"),
        Put("a"),
        Sync,
        Report("synced"),
        Sync,
        Put("b"),
        Report("end"),
        Panic,
    ];
    for hook in HOOKS {
        let mut held = Held::begin().await;
        // `on_error` cannot return an error.
        held.plan.set(hook, if hook == Hook::Error { PANICS } else { FAILS });
        let asks = held.call(hook).await;
        assert_eq!(held.seen.next().await, "nothing to wait for", "{hook}");
        let commits_count = if hook == Hook::Alarm { 2 } else { 1 };
        held.arrived(commits_count).await;
        // The other rooms of the shard have had their turns meanwhile, and so has this one.
        assert_eq!(held.host.get("/party/other").await.status(), 200);
        assert_eq!(held.seen.all(), Vec::<String>::new(), "{hook}: went on before its write was durable");

        held.engine.recover();

        assert_eq!([held.seen.next().await, held.seen.next().await], ["synced", "end"], "{hook}");
        assert_eq!(held.stored().await, ["a"], "{hook}");
        drop(asks);
    }
}

#[tokio::test]
async fn a_sync_without_a_write_waits_for_the_commits_of_earlier_hooks_and_makes_none() {
    let mut held = Held::begin().await;
    held.plan.set(Hook::Message, &[Put("a")]);
    let mut ada = held.host.join("lobby").await;
    ada.send("1").await;
    held.arrived(1).await;
    held.plan.set(Hook::Message, &[Report("begun"), Sync, Report("synced"), Sync]);

    ada.send("2").await;
    assert_eq!(held.seen.next().await, "begun");
    ada.hears_nothing().await;
    assert_eq!(held.seen.all(), Vec::<String>::new());
    held.engine.let_through(1);

    assert_eq!(held.seen.next().await, "synced");
    held.arrived(1).await;
}

/// Feeds a body and talks, so that all kinds of output follow one another.
struct Organ {
    feed: Option<RoomBody>,
}

impl PartyServer for Organ {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Self { feed: None })
    }

    /// Puts the text under itself, and lets it out by every way there is.
    async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        room.broadcast(format!("before {text}"))?;
        room.storage().put(text.clone(), &1)?;
        if let Some(feed) = &self.feed {
            feed.write(room, text.clone())?;
        }
        room.broadcast(format!("after {text}"))?;
        match text.as_str() {
            "close" => sender.close(4000, text.as_str())?,
            "end" => self.feed = None,
            _ => sender.send("to you")?,
        }
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.uri().path().ends_with("/feed") {
            let (feed, response) = room.body();
            self.feed = Some(feed);
            return Ok(response);
        }
        let heard_count = room.broadcast("a request")?;
        room.env::<Reports>()?.add("a request");
        Ok(Response::text(format!("{heard_count}")))
    }
}

async fn heard(client: &mut TestClient, frames: &[&str]) {
    for frame in frames {
        assert_eq!(client.next_text().await, *frame);
    }
}

/// Four commits are on their way, with frames, chunks, a response that follows no write of its
/// own, a close and the end of a body behind them; they land one at a time.
#[tokio::test]
async fn all_kinds_of_output_keep_their_order_while_several_commits_are_on_their_way() {
    let engine = Arc::new(HeldEngine::new());
    let (reports, mut seen) = reports();
    let builder = Host::builder().party::<Organ>("main").storage(Arc::clone(&engine) as _);
    let host = TestHost::of(builder.env(reports)).await;
    let mut reader = Raw::connect(&host).await;
    reader.send("GET /party/lobby/feed HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(reader.head().await.status, 200);
    let (mut ada, mut bob) = (host.join("lobby").await, host.join("lobby").await);
    let arrived = async |count| host.until(|_| engine.arrived_count() == count).await;

    ada.send("1").await;
    heard(&mut ada, &["before 1"]).await;
    arrived(1).await;
    let mut asker = Raw::connect(&host).await;
    bob.send("2").await;
    arrived(2).await;
    asker.send("GET /party/lobby HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(seen.next().await, "a request");
    ada.send("close").await;
    arrived(3).await;
    bob.send("end").await;
    arrived(4).await;

    heard(&mut bob, &["before 1"]).await;
    let nothing_more = async |bob: &mut TestClient, reader: &Raw| {
        bob.hears_nothing().await;
        assert!(reader.is_quiet());
    };
    nothing_more(&mut bob, &reader).await;
    engine.let_through(1);
    heard(&mut ada, &["after 1", "to you", "before 2"]).await;
    heard(&mut bob, &["after 1", "before 2"]).await;
    assert_eq!(reader.chunk().await.as_deref(), Some(&b"1"[..]));
    nothing_more(&mut bob, &reader).await;
    assert!(asker.is_quiet());

    engine.let_through(1);
    heard(&mut bob, &["after 2", "to you"]).await;
    assert_eq!(reader.chunk().await.as_deref(), Some(&b"2"[..]));
    let answer = asker.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "2"));
    heard(&mut ada, &["after 2", "a request", "before close"]).await;
    heard(&mut bob, &["a request", "before close"]).await;
    nothing_more(&mut bob, &reader).await;

    engine.let_through(1);
    heard(&mut ada, &["after close"]).await;
    assert_eq!(ada.try_next().await, Err((4000, "close".to_owned())));
    heard(&mut bob, &["after close", "before end"]).await;
    assert_eq!(reader.chunk().await.as_deref(), Some(&b"close"[..]));
    nothing_more(&mut bob, &reader).await;

    engine.let_through(1);
    heard(&mut bob, &["after end"]).await;
    assert_eq!(reader.chunk().await.as_deref(), Some(&b"end"[..]));
    assert_eq!(reader.chunk().await, None);
}
