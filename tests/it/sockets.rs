//! WebSockets from room to room: the room that is called sees a client like any other, and
//! nobody's hook waits for anybody's.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use partyrs::prelude::*;
use partyrs::storage::CommitError;
use partyrs::{CallError, Parties, SocketError};
use partyrs_runtime::testing::{TestHost, soon};
use partyrs_runtime::{Builder, Config, Host};
use tokio::sync::{Barrier, Semaphore, mpsc};
use tokio::task::JoinHandle;

use crate::held::HeldEngine;
use crate::parties::{Everybody, Reports, Seen, Witness, member, reports};
use crate::upgrade::raw::{PING, Raw};

/// Hands the way to the rooms out to the test, which then speaks as any task may.
struct Door;

type Out = mpsc::UnboundedSender<Parties>;

impl PartyServer for Door {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Door)
    }

    async fn on_request(&mut self, room: &Room, _: Request) -> Result<Response> {
        room.env::<Out>()?.send(room.parties())?;
        Ok(Response::text(""))
    }

    /// Asks the room of the query what it has to say.
    async fn on_before_connect(head: &mut Head, lobby: &Lobby) -> Result<Admission> {
        let room = head.query("ask").unwrap_or_default().into_owned();
        let mut socket =
            lobby.parties().party::<Witness>("main")?.room(room)?.socket_at("/?_pk=lobby").await?;
        socket.send("who")?;
        let mut heard = Vec::new();
        while heard.len() < 2 {
            let frame = socket.next().await.ok_or_else(|| Error::new("the room is silent"))?;
            heard.push(frame.as_text().unwrap_or_default().to_owned());
        }
        Ok(Admission::Respond(Response::text(heard.join(" "))))
    }
}

/// Says what its connections look like.
struct Mirror;

impl PartyServer for Mirror {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        if room.id().as_str() == "broken" {
            return Err(Error::new("as told"));
        }
        Ok(Mirror)
    }

    async fn on_before_connect(_: &mut Head, _: &Lobby) -> Result<Admission> {
        Err(Error::status(403, "no clients"))
    }

    async fn connection_tags(&mut self, _: &Room, _: &Connection, _: &ConnectContext) -> Result<Vec<Tag>> {
        Ok(vec!["guest".to_owned()])
    }

    async fn on_connect(
        &mut self,
        room: &Room,
        connection: &Connection,
        context: &ConnectContext,
    ) -> Result<()> {
        let (id, uri, from) = (connection.id(), connection.uri(), connection.remote_addr());
        let (protocol, method) = (connection.protocol(), context.head().method());
        let tagged_count = room.connections_tagged("guest").count();
        connection.send(format!("{id} {uri} {from} {protocol:?} {method} {tagged_count}"))?;
        if context.head().query("refuse").is_some() {
            return Err(Error::close(4005, "refused"));
        }
        Ok(())
    }
}

/// Opens a socket and a body before its `on_start` fails, or panics, as the room's name says.
struct Starter;

impl PartyServer for Starter {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        let path = format!("/?_pk={}", room.id());
        let mut socket = room.parties().party::<Witness>("main")?.room("b")?.socket_at(&path).await?;
        let (_feed, _response) = room.body();
        socket.next().await;
        socket.send("from on_start")?;
        room.storage().put("k", &1)?;
        socket.send("never")?;
        match room.id().as_str() {
            "fails" => Err(Error::new("as told")),
            "panics" => panic!("as told"),
            _ => std::future::pending().await,
        }
    }
}

async fn parties_of(builder: Builder) -> (TestHost, Parties, Seen) {
    let (out, mut parties) = mpsc::unbounded_channel();
    let (reports, seen) = reports();
    let builder = builder.party::<Door>("door").party::<Witness>("main").party::<Mirror>("mirror");
    let builder = builder.party::<Starter>("starter");
    let host = TestHost::of(builder.env::<Out>(out).env(reports)).await;
    host.get("/parties/door/x").await;
    (host, soon(parties.recv()).await.unwrap(), seen)
}

async fn parties_with(change: impl FnOnce(&mut Config)) -> (TestHost, Parties, Seen) {
    parties_of(Host::builder().config(change)).await
}

fn witness(parties: &Parties, room: &str) -> RoomHandle<Witness> {
    parties.party("main").unwrap().room(room).unwrap()
}

/// A socket that has been welcomed.
async fn welcomed(room: &RoomHandle<Witness>, id: &str) -> Socket {
    let mut socket = room.socket_at(&format!("/?_pk={id}")).await.unwrap();
    assert_eq!(text(&mut socket).await, "welcome");
    socket
}

async fn text(socket: &mut Socket) -> String {
    let frame = soon(socket.next()).await;
    let frame = frame.unwrap_or_else(|| panic!("ended instead: {:?}", socket.closed()));
    frame.as_text().unwrap().to_owned()
}

/// Code and reason of the end; what comes before it is passed over.
async fn closed(socket: &mut Socket) -> (u16, String, bool) {
    while soon(socket.next()).await.is_some() {}
    let close = socket.closed().unwrap();
    (close.code, close.reason, close.was_clean)
}

/// From a task of room a: what b says is broadcast there.
async fn relay(a: &RoomHandle<Witness>, b: &str) -> SocketSender {
    let (own, b) = (a.clone(), b.to_owned());
    a.run(async move |_, room| {
        let mut socket = room.parties().party::<Witness>("main")?.room(b)?.socket().await?;
        let sender = socket.sender();
        room.spawn(async move {
            while let Some(frame) = socket.next().await {
                own.broadcast(frame).await?;
            }
            Ok(())
        });
        Ok(sender)
    })
    .await
    .unwrap()
}

/// The room's hook waits until it is let through.
fn busy(room: &RoomHandle<Witness>, gate: &Arc<Semaphore>) -> JoinHandle<Result<(), CallError>> {
    let (room, gate) = (room.clone(), Arc::clone(gate));
    let hook = async move |_: &mut Witness, _: &Room| {
        gate.acquire().await?.forget();
        Ok(())
    };
    tokio::spawn(async move { room.run(hook).await })
}

async fn echo_through_two_rooms(shards: usize) {
    let (host, parties, _seen) = parties_with(|config| config.shards = shards).await;
    for number in 0..20 {
        let (a, b) = (format!("a{number}"), format!("b{number}"));
        let mut ada = member(&host, &a, "ada").await;
        let mut bob = member(&host, &b, "bob").await;
        let to_b = relay(&witness(&parties, &a), &b).await;
        assert_eq!(ada.next_text().await, "welcome", "that of room b");

        to_b.send("hi").unwrap();
        assert_eq!(ada.next_text().await, "hi");
        assert_eq!(bob.next_text().await, "hi");
        bob.send("and hi").await;
        assert_eq!(ada.next_text().await, "and hi");
    }
}

#[tokio::test]
async fn a_frame_goes_through_two_rooms_and_comes_back_on_one_shard() {
    echo_through_two_rooms(1).await;
}

#[tokio::test]
async fn a_frame_goes_through_two_rooms_and_comes_back_on_two_shards() {
    echo_through_two_rooms(2).await;
}

#[tokio::test]
async fn a_thousand_frames_arrive_in_order_in_both_directions() {
    let (_host, parties, _seen) = parties_with(|_| {}).await;
    let mut socket = welcomed(&witness(&parties, "b"), "ada").await;
    for number in 0..1000 {
        socket.send(format!("{number}")).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(text(&mut socket).await, format!("{number}"));
    }
}

#[tokio::test]
async fn text_stays_text_and_bytes_stay_bytes_of_any_length() {
    let (_host, parties, _seen) = parties_with(|_| {}).await;
    let mut socket = welcomed(&witness(&parties, "b"), "ada").await;
    for length in [0, 1, 125, 126, 65_535, 65_536, 1 << 20] {
        for frame in [Frame::binary(vec![7; length]), Frame::text("x".repeat(length))] {
            socket.send(frame.clone()).unwrap();
            assert!(soon(socket.next()).await == Some(frame), "{length}");
        }
    }
    socket.send(vec![7; (1 << 20) + 1]).unwrap();
    assert_eq!(closed(&mut socket).await.0, 1009);
}

#[tokio::test]
async fn the_room_sees_a_connection_like_any_other_and_no_before_hook_runs() {
    let (host, parties, _seen) = parties_with(|_| {}).await;
    let room = parties.party::<Mirror>("mirror").unwrap().room("x y").unwrap();
    assert_eq!(
        host.try_connect("/parties/mirror/x%20y").await.err().map(|no| no.status().as_u16()),
        Some(403)
    );

    let mut socket = room.socket_at("/stream?_pk=a%20b&since=7").await.unwrap();
    let told = text(&mut socket).await;
    assert_eq!(told, "a b /parties/mirror/x%20y/stream?_pk=a%20b&since=7 127.0.0.1:0 None GET 1");
    let mut other = room.socket().await.unwrap();
    let told = text(&mut other).await;
    let (id, rest) = told.split_once(' ').unwrap();
    assert_eq!((id.len(), rest), (22, "/parties/mirror/x%20y 127.0.0.1:0 None GET 2"));
    assert_eq!(host.connections_count(), 2);

    let mut refused = room.socket_at("/?refuse=1").await.unwrap();
    assert_eq!(closed(&mut refused).await, (4005, "refused".to_owned(), true));
}

#[tokio::test]
async fn what_cannot_be_opened_says_why() {
    let (host, parties, _seen) = parties_with(|config| {
        config.connections_max = Some(1);
        config.rooms_max = 2;
    })
    .await;
    let room = witness(&parties, "b");
    for path in ["", "stream", "http://elsewhere/", "?_pk=x", "/ x"] {
        assert!(matches!(room.socket_at(path).await, Err(CallError::Uri)), "{path}");
    }
    let long = format!("/?_pk={}", "x".repeat(257));
    assert!(matches!(room.socket_at(&long).await, Err(CallError::ConnectionId)));
    let mut longest = room.socket_at(&long[..long.len() - 1]).await.unwrap();
    assert_eq!(text(&mut longest).await, "welcome");
    assert!(matches!(room.socket().await, Err(CallError::Unavailable)));
    longest.close(1000, "").unwrap();
    closed(&mut longest).await;
    host.until(|host| host.connections_count() == 0).await;

    // Two rooms are open: the door and b.
    let mut third = witness(&parties, "c").socket().await.unwrap();
    assert_eq!(closed(&mut third).await, (1013, "Try again later".to_owned(), true));
    drop(third);
    host.stop().await;
    assert!(matches!(room.socket().await, Err(CallError::Unavailable)));
}

#[tokio::test]
async fn a_room_that_cannot_start_closes_the_socket_with_1011() {
    let (_host, parties, _seen) = parties_with(|_| {}).await;
    let broken = parties.party::<Mirror>("mirror").unwrap().room("broken").unwrap();
    let mut socket = broken.socket().await.unwrap();
    assert_eq!(closed(&mut socket).await, (1011, "Room failed to start".to_owned(), true));
}

#[tokio::test]
async fn code_and_reason_of_a_close_go_both_ways() {
    let (host, parties, mut seen) = parties_with(|_| {}).await;
    let room = witness(&parties, "b");
    let mut witness = member(&host, "b", "witness").await;
    let mut socket = welcomed(&room, "ada").await;
    socket.send("last").unwrap();
    socket.close(4001, "bye").unwrap();
    assert!(matches!(socket.send("late"), Err(SocketError::Closed)));
    assert_eq!(witness.next_text().await, "last");
    assert_eq!(closed(&mut socket).await, (4001, "bye".to_owned(), true));
    assert_eq!(seen.next().await, "ada closed: 4001 \"bye\" clean, last");

    let mut socket = welcomed(&room, "bob").await;
    assert!(socket.closed().is_none());
    socket.send("close 4002 no").unwrap();
    assert_eq!(closed(&mut socket).await, (4002, "no".to_owned(), true));
    assert_eq!(seen.next().await, "bob closed: 4002 \"no\" clean, last");

    let mut socket = welcomed(&room, "eve").await;
    socket.send("close").unwrap();
    assert_eq!(closed(&mut socket).await, (1005, String::new(), true));
    assert!(socket.close(1005, "").is_err() && socket.close(4000, &"x".repeat(124)).is_err());
}

#[tokio::test]
async fn a_socket_that_is_dropped_is_closed_with_1001_behind_what_was_sent() {
    let (host, parties, mut seen) = parties_with(|_| {}).await;
    let mut bob = member(&host, "b", "bob").await;
    let socket = welcomed(&witness(&parties, "b"), "ada").await;
    let sender = socket.sender();
    for number in 0..100 {
        sender.send(format!("{number}")).unwrap();
    }
    drop(socket);
    for number in 0..100 {
        assert_eq!(bob.next_text().await, format!("{number}"));
    }
    assert_eq!(seen.next().await, "ada closed: 1001 \"Socket was dropped\" clean, last");
    assert!(matches!(sender.send("late"), Err(SocketError::Closed)));
    host.until(|host| host.connections_count() == 1).await;
}

#[tokio::test]
async fn a_restart_of_the_room_in_place_leaves_the_socket() {
    let (_host, parties, mut seen) = parties_with(|_| {}).await;
    let mut socket = welcomed(&witness(&parties, "b"), "ada").await;
    socket.send("panic").unwrap();
    socket.send("still here").unwrap();
    assert_eq!(text(&mut socket).await, "still here");
    assert_eq!(seen.next().await, "on_message of ada failed: panic: as told");
}

#[tokio::test]
async fn a_room_may_open_a_socket_to_itself_from_a_task_and_from_a_hook() {
    let (host, parties, _seen) = parties_with(|_| {}).await;
    let room = witness(&parties, "a");
    let mut ada = member(&host, "a", "ada").await;
    let own = room.clone();
    let to_self = room
        .run(async move |_, room| {
            let own_too = own.clone();
            room.spawn(async move {
                let mut socket = own_too.socket().await?;
                socket.next().await.ok_or_else(|| Error::new("no welcome"))?;
                socket.send("from a task")?;
                socket.next().await.ok_or_else(|| Error::new("no echo"))?;
                socket.close(1000, "")?;
                Ok(())
            });
            Ok(own.socket().await?)
        })
        .await
        .unwrap();
    assert_eq!(ada.next_text().await, "from a task");
    to_self.send("from a hook").unwrap();
    assert_eq!(ada.next_text().await, "from a hook");
}

#[tokio::test]
async fn a_hook_that_has_written_opens_no_socket_before_a_sync() {
    let (_host, parties, _seen) = parties_with(|_| {}).await;
    let (a, b) = (witness(&parties, "a"), witness(&parties, "b"));
    let socket = a
        .run(async move |_, room| {
            room.storage().put("k", &1)?;
            assert!(matches!(b.socket().await, Err(CallError::Unsynced)));
            room.storage().sync().await;
            Ok(b.socket().await?)
        })
        .await;
    assert_eq!(text(&mut socket.unwrap()).await, "welcome");
}

#[tokio::test]
async fn a_hook_opens_a_socket_when_the_commits_of_earlier_hooks_are_on_disk() {
    let engine = Arc::new(HeldEngine::new());
    let (host, parties, _seen) = parties_of(Host::builder().storage(engine.clone())).await;
    let (a, b) = (witness(&parties, "a"), witness(&parties, "b"));
    let earlier = a.run(async |_, room| Ok(room.storage().put("k", &1)?));
    let opened = a.run(async move |_, _| Ok(b.socket().await?));
    let mut both = std::pin::pin!(async { tokio::join!(earlier, opened) });
    tokio::select! {
        _ = &mut both => panic!("opened before the commit"),
        () = host.until(|_| engine.arrived_count() == 1) => {}
    }
    assert_eq!(host.connections_count(), 0);
    engine.let_through(1);
    let (_, socket) = soon(both).await;
    assert_eq!(text(&mut socket.unwrap()).await, "welcome");
}

#[tokio::test]
async fn what_a_hook_sends_after_a_write_leaves_with_its_commit_and_never_if_it_fails() {
    let engine = Arc::new(HeldEngine::new());
    let (host, parties, mut seen) = parties_of(Host::builder().storage(engine.clone())).await;
    let a = witness(&parties, "a");
    let mut bob = member(&host, "b", "bob").await;
    let mut socket = welcomed(&witness(&parties, "b"), "ada").await;
    let sender = socket.sender();
    let hook = async |fails: bool, sender: SocketSender| {
        a.run(async move |_, room| {
            sender.send("before the write")?;
            room.storage().put("k", &1)?;
            sender.send("after the write")?;
            sender.close(4000, "after the write")?;
            if fails { Err(Error::new("as told")) } else { Ok(()) }
        })
        .await
    };
    hook(true, sender.clone()).await.unwrap_err();
    assert_eq!(seen.next().await, "run of nobody failed: as told");
    assert_eq!(bob.next_text().await, "before the write");

    let mut held = std::pin::pin!(hook(false, sender.clone()));
    tokio::select! {
        _ = &mut held => panic!("answered before its commit"),
        () = host.until(|_| engine.arrived_count() == 1) => {}
    }
    assert_eq!(bob.next_text().await, "before the write");
    // A task waits for no gate, and comes first.
    sender.send("a task").unwrap();
    assert_eq!(bob.next_text().await, "a task");
    engine.let_through(1);
    soon(held).await.unwrap();
    assert_eq!(bob.next_text().await, "after the write");
    assert_eq!(closed(&mut socket).await, (4000, "after the write".to_owned(), true));
}

#[tokio::test]
async fn what_a_hook_has_sent_is_not_lost_with_the_socket_that_it_drops() {
    let engine = Arc::new(HeldEngine::new());
    let (host, parties, mut seen) = parties_of(Host::builder().storage(engine.clone())).await;
    let mut bob = member(&host, "b", "bob").await;
    let (a, socket) = (witness(&parties, "a"), welcomed(&witness(&parties, "b"), "ada").await);
    let mut hook = std::pin::pin!(a.run(async move |_, room| {
        room.storage().put("k", &1)?;
        socket.send("after the write")?;
        Ok(())
    }));
    tokio::select! {
        _ = &mut hook => panic!("answered before its commit"),
        () = host.until(|_| engine.arrived_count() == 1) => {}
    }
    engine.let_through(1);
    soon(hook).await.unwrap();
    assert_eq!(bob.next_text().await, "after the write");
    assert_eq!(seen.next().await, "ada closed: 1001 \"Socket was dropped\" clean, last");
}

#[tokio::test]
async fn what_a_hook_sends_after_a_write_never_arrives_if_its_commit_fails() {
    let engine = Arc::new(HeldEngine::new());
    let (host, parties, _seen) = parties_of(Host::builder().storage(engine.clone())).await;
    let a = witness(&parties, "a");
    let mut bob = member(&host, "b", "bob").await;
    let mut socket = welcomed(&witness(&parties, "b"), "ada").await;
    let sender = socket.sender();
    engine.fail_with(CommitError::Failed("the disk is gone".into()));
    let failed = a.run(async move |_, room| {
        sender.send("before the write")?;
        room.storage().put("k", &1)?;
        sender.send("after the write")?;
        sender.close(4000, "after the write")?;
        Ok(())
    });
    assert!(matches!(soon(failed).await, Err(CallError::Failed)));
    assert_eq!(bob.next_text().await, "before the write");
    socket.send("a task").unwrap();
    assert_eq!(bob.next_text().await, "a task");
    assert_eq!(text(&mut socket).await, "before the write");
    assert_eq!(text(&mut socket).await, "a task");
}

/// What a hook that is dropped where it waits sends from the destructors of what it holds.
#[tokio::test]
async fn a_hook_that_is_ended_sends_nothing_after_its_first_write() {
    struct Parting(SocketSender);
    impl Drop for Parting {
        fn drop(&mut self) {
            // Whether it may be sent is what the test shows.
            let _ = self.0.send("parting");
        }
    }
    let (host, parties, mut seen) = parties_with(|config| config.ping_every = Duration::MAX).await;
    let a = witness(&parties, "a");
    let mut bob = member(&host, "b", "bob").await;
    let socket = welcomed(&witness(&parties, "b"), "ada").await;
    for writes in [true, false] {
        let sender = socket.sender();
        let hook = a.run(async move |_, room| {
            let _parting = Parting(sender);
            if writes {
                room.storage().put("k", &1)?;
            }
            std::future::pending::<Result<()>>().await
        });
        let time = async {
            while !seen.all().iter().any(|report| report.contains("hook_timeout")) {
                host.advance(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
        };
        let (ended, ()) = soon(async { tokio::join!(hook, time) }).await;
        assert!(ended.is_err());
        if !writes {
            assert_eq!(bob.next_text().await, "parting");
        }
        socket.send("a task").unwrap();
        assert_eq!(bob.next_text().await, "a task");
    }
}

#[tokio::test]
async fn a_socket_that_a_hook_opened_is_closed_when_the_hook_fails() {
    let (host, parties, mut seen) = parties_with(|_| {}).await;
    let (a, b) = (witness(&parties, "a"), witness(&parties, "b"));
    for (id, panics) in [("fails", false), ("panics", true)] {
        let b = b.clone();
        let hook = a.run(async move |_, room| {
            let (socket, (_feed, _response)) = (b.socket_at(&format!("/?_pk={id}")).await?, room.body());
            socket.send("close-all-but-me")?;
            if panics { panic!("as told") } else { Err::<(), _>(Error::new("as told")) }
        });
        soon(hook).await.unwrap_err();
        let mut reports = [seen.next().await, seen.next().await];
        reports.sort();
        assert_eq!(reports[0], format!("{id} closed: 1001 \"Socket was dropped\" clean, last"));
        assert!(reports[1].starts_with("run of nobody failed: "), "{}", reports[1]);
    }
    host.until(|host| host.connections_count() == 0).await;
    // No body is open either: the rooms may go.
    host.until(|host| {
        host.advance(Duration::from_secs(60));
        host.rooms_count() == 0
    })
    .await;
}

#[tokio::test]
async fn a_socket_that_on_start_opened_is_closed_when_the_room_does_not_start() {
    let (host, _parties, mut seen) = parties_with(|_| {}).await;
    let mut bob = member(&host, "b", "bob").await;
    for id in ["fails", "panics"] {
        let mut refused = host.connect(&format!("/parties/starter/{id}")).await;
        assert_eq!(refused.closed().await, (1011, "Room failed to start".to_owned()));
        assert_eq!(bob.next_text().await, "from on_start");
        assert_eq!(seen.next().await, format!("{id} closed: 1001 \"Socket was dropped\" clean, last"));
    }
    host.until(|host| host.connections_count() == 1).await;
    bob.hears_nothing().await;
}

#[tokio::test]
async fn an_owner_that_does_not_read_is_closed_with_1013_and_the_others_hear_everything() {
    let (host, parties, mut seen) = parties_with(|config| config.outbox_bytes_max = 1 << 20).await;
    let room = witness(&parties, "b");
    let mut socket = welcomed(&room, "slow").await;
    let mut ada = member(&host, "b", "ada").await;
    const COUNT: u8 = 100;
    for number in 0..COUNT {
        room.run(async move |_, room| Ok(room.broadcast(vec![number; 100_000])?)).await.unwrap();
        assert_eq!(ada.next().await.payload()[0], number);
    }
    assert_eq!(seen.next().await.split(": ").next(), Some("slow closed"));
    // What waited still comes, and then the end.
    let mut heard = 0;
    while let Some(frame) = soon(socket.next()).await {
        assert_eq!(frame.payload()[0], heard);
        heard += 1;
    }
    assert!((10..COUNT).contains(&heard), "{heard}");
    assert_eq!(socket.closed().map(|close| close.code), Some(1013));
    host.until(|host| host.connections_count() == 1).await;
}

#[tokio::test]
async fn a_room_that_does_not_read_gets_what_waits_and_then_1013() {
    let gate = Arc::new(Semaphore::new(0));
    let (host, parties, mut seen) = parties_with(|config| {
        config.outbox_bytes_max = 1 << 20;
        config.mailbox_bytes_max = 100_000;
    })
    .await;
    let room = witness(&parties, "b");
    let mut bob = member(&host, "b", "bob").await;
    let socket = welcomed(&room, "fast").await;
    let busy = busy(&room, &gate);
    // At the limit nothing happens, and over it the socket is closing.
    let mut sent = 0_u8;
    let refused = soon(async {
        loop {
            match socket.send(format!("others {sent}:{}", "x".repeat(50_000))) {
                Ok(()) => sent += 1,
                Err(error) => return error,
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(matches!(refused, SocketError::Closed));
    gate.add_permits(1);
    busy.await.unwrap().unwrap();
    for number in 0..sent {
        let heard = bob.next_text().await;
        assert_eq!(heard.split(':').next(), Some(&*number.to_string()));
    }
    let report = seen.next().await;
    assert!(report.starts_with("fast closed: 1013 \"Read too slowly"), "{report}");
}

#[tokio::test]
async fn flushed_waits_for_a_room_that_is_busy() {
    let gate = Arc::new(Semaphore::new(0));
    let (_host, parties, _seen) = parties_with(|config| config.mailbox_bytes_max = 100_000).await;
    let room = witness(&parties, "b");
    let socket = welcomed(&room, "ada").await;
    let busy = busy(&room, &gate);
    soon(socket.flushed()).await;
    for _ in 0..30 {
        socket.send(vec![0; 100_000]).unwrap();
    }
    let sender = socket.sender();
    let mut flushed = std::pin::pin!(sender.flushed());
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut flushed).is_pending());
        tokio::task::yield_now().await;
    }
    gate.add_permits(1);
    soon(flushed).await;
    busy.await.unwrap().unwrap();
}

#[tokio::test]
async fn pings_are_answered_while_the_owner_does_not_read() {
    let (host, parties, _seen) = parties_with(|config| config.shards = 1).await;
    let room = witness(&parties, "b");
    let mut socket = welcomed(&room, "ada").await;
    let mut silent = Raw::member(&host, "b", "").await;
    host.advance(Duration::from_secs(30));
    // The connections of a shard are looked at in the order in which they came.
    assert_eq!(silent.next().await.0, PING);
    // While the test waits for others, the socket's pump has its turn on this thread.
    for _ in 0..5 {
        host.get("/parties/door/x").await;
    }
    host.advance(Duration::from_secs(20));
    silent.ends().await;
    socket.send("still here").unwrap();
    assert_eq!(text(&mut socket).await, "still here");
}

#[tokio::test]
async fn a_shutdown_closes_sockets_with_1012() {
    let (host, parties, _seen) = parties_with(|_| {}).await;
    let mut task = welcomed(&witness(&parties, "b"), "task").await;
    let _relay = relay(&witness(&parties, "a"), "b").await;
    host.stop().await;
    assert_eq!(closed(&mut task).await, (1012, "Server is restarting".to_owned(), true));
}

#[tokio::test]
async fn a_shutdown_ends_a_socket_whose_owner_never_reads() {
    let (mut host, parties, _seen) = parties_with(|_| {}).await;
    let room = witness(&parties, "b");
    let mut socket = welcomed(&room, "slow").await;
    for _ in 0..20 {
        room.run(async |_, room| Ok(room.broadcast(vec![0; 100_000])?)).await.unwrap();
    }
    host.begin_stop();
    // It does not answer the Close, for it does not see it.
    soon(async {
        while host.rooms_count() > 0 {
            host.advance(Duration::from_secs(1));
            tokio::task::yield_now().await;
        }
    })
    .await;
    host.stop().await;
    // Nobody reads for it, and yet it has ended.
    soon(async {
        while socket.closed().is_none() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(closed(&mut socket).await.0, 1006);
}

#[tokio::test]
async fn a_host_that_is_killed_ends_its_sockets() {
    let (host, parties, _seen) = parties_with(|_| {}).await;
    let mut socket = welcomed(&witness(&parties, "b"), "ada").await;
    host.kill().await;
    assert_eq!(closed(&mut socket).await, (1006, String::new(), false));
}

#[tokio::test]
async fn a_lobby_hook_may_open_a_socket() {
    let (host, _parties, mut seen) = parties_with(|_| {}).await;
    let refused = host.try_connect("/parties/door/x?ask=b").await.err().unwrap();
    assert_eq!(refused.body(), "welcome lobby");
    assert_eq!(seen.next().await, "lobby closed: 1001 \"Socket was dropped\" clean, last");
}

#[tokio::test]
async fn a_hook_that_waits_for_a_room_that_waits_for_it_is_ended_by_its_time_limit() {
    let (host, parties, mut seen) = parties_with(|_| {}).await;
    let hooks_count = Arc::new(AtomicUsize::new(0));
    let wait = |from: &str, to: &str| {
        let (room, to, hooks_count) = (witness(&parties, from), to.to_owned(), Arc::clone(&hooks_count));
        tokio::spawn(async move {
            room.run(async move |_, room| {
                let mut socket = room.parties().party::<Witness>("main")?.room(to)?.socket().await?;
                hooks_count.fetch_add(1, Ordering::Relaxed);
                Ok(socket.next().await)
            })
            .await
        })
    };
    let (a, b) = (wait("a", "b"), wait("b", "a"));
    host.until(|_| hooks_count.load(Ordering::Relaxed) == 2).await;
    let mut was_ended = false;
    soon(async {
        while !(was_ended && a.is_finished() && b.is_finished()) {
            host.advance(Duration::from_secs(1));
            // When one has ended, the other may hear what it waits for.
            was_ended |= seen.all().iter().any(|report| report.contains("hook_timeout"));
            tokio::task::yield_now().await;
        }
    })
    .await;
    for room in ["a", "b"] {
        let answer = soon(witness(&parties, room).run(async |_, room| Ok(room.id().to_string()))).await;
        assert!(matches!(answer, Ok(_) | Err(CallError::TimedOut)), "{answer:?}");
    }
}

/// Two rooms that send to each other from their hooks.
struct Chatter {
    other: Option<SocketSender>,
    heard_count: usize,
}

const CHAT_LENGTH: usize = 20;

impl PartyServer for Chatter {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Chatter { other: None, heard_count: 0 })
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, frame: Frame) -> Result<()> {
        self.heard_count += 1;
        room.storage().put("heard", &self.heard_count)?;
        if let Some(other) = &self.other {
            other.send(frame)?;
        }
        if self.heard_count == CHAT_LENGTH {
            room.env::<Reports>()?.add(room.id().as_str());
        }
        Ok(())
    }
}

/// 300 pairs of rooms, each of which opens a socket to the other while the other does so.
async fn pairs_that_chat(shards: usize) {
    const PAIRS: usize = 300;
    let builder = Host::builder().party::<Chatter>("chatter").config(|config| config.shards = shards);
    let (_host, parties, mut seen) = parties_of(builder).await;
    let parties = &parties;
    let opened = (0..PAIRS * 2).map(|number| async move {
        let room =
            |number: usize| parties.party::<Chatter>("chatter").unwrap().room(number.to_string()).unwrap();
        let (own, other) = (room(number), room(number ^ 1));
        own.run(async move |server, room| {
            let socket = other.socket().await?;
            server.other = Some(socket.sender());
            room.spawn(async move {
                let mut socket = socket;
                while socket.next().await.is_some() {}
                Ok(())
            });
            Ok(())
        })
        .await
        .unwrap();
    });
    soon(futures_util::future::join_all(opened)).await;
    for number in 0..PAIRS {
        let own = parties.party::<Chatter>("chatter").unwrap().room((number * 2).to_string()).unwrap();
        own.run(async |server, _| Ok(server.other.as_ref().map(|other| other.send("ball")).transpose()?))
            .await
            .unwrap();
    }
    let mut done = Vec::new();
    for _ in 0..PAIRS * 2 {
        done.push(seen.next().await);
    }
    done.sort();
    done.dedup();
    assert_eq!(done.len(), PAIRS * 2);
}

#[tokio::test]
async fn rooms_that_open_sockets_to_each_other_and_chat_never_hang_on_one_shard() {
    pairs_that_chat(1).await;
}

#[tokio::test]
async fn rooms_that_open_sockets_to_each_other_and_chat_never_hang_on_two_shards() {
    pairs_that_chat(2).await;
}

/// Each opens its socket in the middle of a hook in which the other is too.
#[tokio::test]
async fn two_rooms_may_open_sockets_to_each_other_in_hooks_at_the_same_time() {
    let (_host, parties, _seen) = parties_with(|config| config.shards = 2).await;
    let meeting = Arc::new(Barrier::new(2));
    let open = |from: &str, to: &str| {
        let (from, to, meeting) = (witness(&parties, from), witness(&parties, to), Arc::clone(&meeting));
        async move {
            from.run(async move |_, _| {
                meeting.wait().await;
                let socket = to.socket().await?;
                meeting.wait().await;
                Ok(socket)
            })
            .await
            .unwrap()
        }
    };
    let (mut left, mut right) = soon(async { tokio::join!(open("a", "b"), open("b", "a")) }).await;
    assert_eq!((text(&mut left).await, text(&mut right).await), ("welcome".to_owned(), "welcome".to_owned()));
}

/// A room whose clients are rooms and people alike.
#[tokio::test]
async fn rooms_and_people_hear_the_same_in_the_same_order() {
    let (host, parties, _seen) = parties_of(Host::builder().party::<Everybody>("all")).await;
    let room = parties.party::<Everybody>("all").unwrap().room("x").unwrap();
    let mut ada = host.connect("/parties/all/x").await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(room.socket().await.unwrap());
    }
    host.until(|host| host.connections_count() == 11).await;
    while room.run(async |_, room| Ok(room.connections_count())).await.unwrap() < 11 {}
    for round in 0..50 {
        ada.send(format!("{round}")).await;
        sockets[round % 10].send(format!("{round}")).unwrap();
    }
    let mut heard = Vec::new();
    for _ in 0..100 {
        heard.push(ada.next_text().await);
    }
    for socket in &mut sockets {
        for expected in &heard {
            assert_eq!(&text(socket).await, expected);
        }
    }
}
