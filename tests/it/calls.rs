//! Rooms that call rooms: typed calls, plain requests, and rooms that wait for each other.

use std::collections::HashMap;
use std::sync::Arc;

use partyrs::prelude::*;
use partyrs::{CallError, PartyError};
use partyrs_runtime::Host;
use partyrs_runtime::testing::{TestHost, soon};
use serde::{Deserialize, Serialize};
use tokio::sync::Barrier;

use crate::held::HeldEngine;

/// Calls other rooms of its own party, as its requests say.
struct Node {
    visits_count: u32,
}

/// Goes to the first room of the way, which goes to the next, and so on; returns the rooms
/// in the order in which they were left.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Visit {
    way: Vec<String>,
}

impl Call for Visit {
    type Reply = Vec<String>;
}

/// A call that is answered with an error.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Fail {
    status: Option<u16>,
}

impl Call for Fail {
    type Reply = ();
}

/// Where two rooms meet before they call each other, by pair.
type Meetings = HashMap<String, Barrier>;

impl PartyServer for Node {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        Ok(Node { visits_count: room.storage().get("visits").await?.unwrap_or(0) })
    }

    async fn on_before_request(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        if let Some(room) = head.query("lobby-asks") {
            let node = lobby.parties().party::<Node>("main")?.room(&room)?;
            let visits_count = node.run(async |node, _| Ok(node.visits_count)).await?;
            return Ok(Admission::Respond(Response::text(visits_count.to_string())));
        }
        if head.query("forbidden").is_some() {
            return Err(Error::status(403, "forbidden"));
        }
        Ok(Admission::Admit)
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.query("write-first").is_some() {
            room.storage().put("own", &1)?;
        }
        if request.query("sync").is_some() {
            room.storage().sync().await;
        }
        if let Some(meeting) = request.query("meet") {
            room.env::<Meetings>()?[&*meeting].wait().await;
        }
        if let Some(other) = request.query("fetch") {
            let node = room.parties().party::<Node>("main")?.room(&other)?;
            let fetched = node.fetch(http::Request::get("/echo?forbidden=1").body("tea")?).await?;
            return Ok(fetched);
        }
        if let Some(other) = request.query("spawn") {
            return self.spawn(room, &other);
        }
        if let Some(way) = request.query("way") {
            let way = way.split(',').map(str::to_owned).collect();
            return Ok(Response::text(match visit(room, way).await {
                Ok(left) => left.join(","),
                Err(error) => format!("{error:?}"),
            }));
        }
        let body = request.text()?;
        Ok(Response::text(format!("{} {} {body}", request.method(), request.uri())))
    }
}

impl Node {
    /// Calls `other` from a task, which waits for nobody's hook.
    fn spawn(&mut self, room: &Room, other: &str) -> Result<Response> {
        let (own, node) = (room.handle::<Self>(), room.parties().party::<Node>("main")?.room(other)?);
        let way = vec![room.id().to_string()];
        room.spawn(async move {
            let left = node.call(Visit { way }).await?;
            own.broadcast(left.join(",")).await?;
            Ok(())
        });
        Ok(Response::text("spawned"))
    }
}

impl Answers<Visit> for Node {
    async fn answer(&mut self, room: &Room, call: Visit) -> Result<Vec<String>> {
        let mut left = visit(room, call.way).await?;
        left.push(room.id().to_string());
        self.visits_count += 1;
        room.storage().put("visits", &self.visits_count)?;
        Ok(left)
    }
}

impl Answers<Fail> for Node {
    async fn answer(&mut self, room: &Room, call: Fail) -> Result<()> {
        room.storage().put("visits", &100)?;
        Err(call.status.map_or_else(|| Error::new("inside"), |status| Error::status(status, "no")))
    }
}

async fn visit(room: &Room, mut way: Vec<String>) -> Result<Vec<String>, CallError> {
    if way.is_empty() {
        return Ok(Vec::new());
    }
    let next = way.remove(0);
    let node = room.parties().party::<Node>("main").unwrap().room(next).unwrap();
    node.call(Visit { way }).await
}

/// Another type under another name.
struct Other;

impl PartyServer for Other {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Other)
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        let party = request.query("party").unwrap_or_default().into_owned();
        let found = room.parties().party::<Node>(&party);
        Ok(Response::text(match found {
            Ok(found) => format!("found {}", found.name()),
            Err(PartyError::Unknown(name)) => format!("unknown {name}"),
            Err(error) => error.to_string(),
        }))
    }
}

async fn nodes() -> TestHost {
    TestHost::of(Host::builder().party::<Node>("main").party::<Other>("other")).await
}

async fn text(host: &TestHost, path: &str) -> String {
    String::from_utf8(host.get(path).await.body().to_vec()).unwrap()
}

#[tokio::test]
async fn a_call_goes_from_room_to_room_and_its_reply_comes_back() {
    let host = nodes().await;
    assert_eq!(text(&host, "/party/a?way=b,c,x%20y").await, "x y,c,b");
    assert_eq!(host.rooms_count(), 4);
    assert_eq!(text(&host, "/party/a?way=b").await, "b");
}

#[tokio::test]
async fn a_party_is_found_by_name_and_type() {
    let host = nodes().await;
    assert_eq!(text(&host, "/parties/other/x?party=main").await, "found main");
    assert_eq!(text(&host, "/parties/other/x?party=none").await, "unknown none");
    assert_eq!(text(&host, "/parties/other/x?party=No%20Name").await, "unknown No Name");
    let told = text(&host, "/parties/other/x?party=other").await;
    assert!(told.starts_with("party `other` is served by") && told.contains("Node"), "{told}");
}

#[tokio::test]
async fn a_public_error_arrives_as_refused_and_any_other_as_failed_and_both_are_rolled_back() {
    /// Asks a node for an error.
    struct Asker;
    impl PartyServer for Asker {
        type Message = Frame;
        async fn on_start(_: &Room) -> Result<Self> {
            Ok(Asker)
        }
        async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
            let node = room.parties().party::<Node>("main")?.room("a")?;
            let status = request.query("status").and_then(|status| status.parse().ok());
            Ok(Response::text(format!("{:?}", node.call(Fail { status }).await)))
        }
    }
    let host = TestHost::of(Host::builder().party::<Node>("main").party::<Asker>("asker")).await;
    let told = text(&host, "/parties/asker/x?status=409").await;
    assert_eq!(told, r#"Err(Refused { status: 409, text: "no" })"#);
    assert_eq!(text(&host, "/parties/asker/x").await, "Err(Failed)");
    assert_eq!(text(&host, "/party/b?lobby-asks=a").await, "0");
}

#[tokio::test]
async fn a_request_from_room_to_room_runs_no_before_hook_and_passes_unchanged() {
    let host = nodes().await;
    assert_eq!(host.get("/party/b?forbidden=1").await.status(), 403);
    let told = text(&host, "/party/a?fetch=x%20y%2Fz").await;
    assert_eq!(told, "GET /parties/main/x%20y%2Fz/echo?forbidden=1 tea");
}

#[tokio::test]
async fn the_lobby_may_ask_a_room() {
    let host = nodes().await;
    text(&host, "/party/a?way=b").await;
    assert_eq!(text(&host, "/party/c?lobby-asks=b").await, "1");
}

#[tokio::test]
async fn a_hook_that_has_written_calls_only_after_a_sync() {
    let host = nodes().await;
    assert_eq!(text(&host, "/party/a?way=b&write-first=1").await, "Unsynced");
    assert_eq!(text(&host, "/party/a?way=b&write-first=1&sync=1").await, "b");
}

#[tokio::test]
async fn a_call_waits_for_the_commits_of_earlier_hooks_and_its_reply_for_its_own() {
    let engine = Arc::new(HeldEngine::new());
    let host = TestHost::of(Host::builder().party::<Node>("main").storage(engine.clone())).await;
    // An earlier hook of room a, whose commit is held; its request waits with it.
    let earlier = host.get("/party/a?write-first=1");
    let call = host.get("/party/a?way=b");
    let mut both = std::pin::pin!(async { tokio::join!(earlier, call) });
    tokio::select! {
        _ = &mut both => panic!("answered before its commit"),
        () = host.until(|_| engine.arrived_count() == 1) => {}
    }
    assert_eq!(host.rooms_count(), 1, "room b was called with an earlier commit under way");

    engine.let_through(1);
    tokio::select! {
        _ = &mut both => panic!("answered before the callee's commit"),
        () = host.until(|_| engine.arrived_count() == 2) => {}
    }
    engine.let_through(1);

    let (_, called) = both.await;
    assert_eq!(called.body(), "b");
}

#[tokio::test]
async fn a_circle_of_calls_is_refused_at_once_with_its_rooms() {
    let host = nodes().await;
    let told = text(&host, "/party/a?way=a").await;
    assert!(told.starts_with("Cycle"), "{told}");
    // The room that would close the circle is told of it; those before it see a failure.
    for way in ["b,a", "b,c,a"] {
        assert_eq!(text(&host, &format!("/party/a?way={way}")).await, "Failed", "{way}");
    }
    // Nobody waits any more.
    assert_eq!(text(&host, "/party/c?way=a,b").await, "b,a");
}

#[tokio::test]
async fn a_task_waits_for_nobodys_hook() {
    let host = nodes().await;
    let mut ada = host.join("a").await;
    ada.send("hello").await;
    assert_eq!(text(&host, "/party/a?spawn=b").await, "spawned");
    assert_eq!(ada.next_text().await, "a,b");
}

/// 300 pairs, each of whose rooms is in the middle of a hook when it calls the other.
async fn pairs_that_call_each_other(shards: usize) {
    const PAIRS: usize = 300;
    let meetings: Meetings = (0..PAIRS).map(|pair| (pair.to_string(), Barrier::new(2))).collect();
    let builder = Host::builder().party::<Node>("main").env(meetings);
    let host = TestHost::of(builder.config(|config| config.shards = shards)).await;
    let host = &host;
    let pairs = (0..PAIRS).map(|pair| async move {
        let (left, right) = (format!("l{pair}"), format!("r{pair}"));
        let calls = [
            format!("/party/{left}?meet={pair}&way={right}"),
            format!("/party/{right}?meet={pair}&way={left}"),
        ];
        let (first, second) = tokio::join!(text(host, &calls[0]), text(host, &calls[1]));
        let cycles = [&first, &second].iter().filter(|told| told.starts_with("Cycle")).count();
        assert_eq!(cycles, 1, "{first} {second}");
        assert!(first == right || second == left, "{first} {second}");
    });
    soon(futures_util::future::join_all(pairs)).await;
}

#[tokio::test]
async fn of_two_rooms_that_call_each_other_at_once_one_is_refused_on_one_shard() {
    pairs_that_call_each_other(1).await;
}

#[tokio::test]
async fn of_two_rooms_that_call_each_other_at_once_one_is_refused_on_two_shards() {
    pairs_that_call_each_other(2).await;
}
