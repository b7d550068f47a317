//! Hibernation: what a room gives up while nothing comes to it, what it keeps, and what wakes it.

use std::sync::Arc;
use std::time::Duration;

use partyrs::prelude::*;
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use partyrs_runtime::{Builder, Host};
use tokio::sync::Semaphore;

use crate::held::HeldEngine;
use crate::parties::{Everybody, Reports, Seen, reports};
use crate::upgrade::raw::{BINARY, CLOSE, PING, PONG, Raw, TEXT, close_payload, frame};

/// The default of `hibernate_after`.
const HIBERNATE_AFTER: Duration = Duration::from_secs(10);
const MOMENT: Duration = Duration::from_millis(1);

/// Reports when a server of it begins and ends, and does what its clients say in words.
struct Dozer<const HIBERNATES: bool> {
    reports: Reports,
    start: u32,
    /// What is kept in a field alone.
    heard_count: u32,
    feeds: Vec<RoomBody>,
    far: Option<Socket>,
}

type Sleepy = Dozer<true>;
type Wakeful = Dozer<false>;

/// What `on_before_connect` leaves.
#[derive(Clone)]
struct Account(String);

/// Lets tasks go on that wait.
#[derive(Clone)]
struct GoOn(Arc<Semaphore>);

impl<const HIBERNATES: bool> PartyServer for Dozer<HIBERNATES> {
    type Message = String;

    const OPTIONS: PartyOptions = PartyOptions::DEFAULT.hibernate(HIBERNATES);

    async fn on_before_connect(head: &mut Head, _: &Lobby) -> Result<Admission> {
        if let Some(account) = head.query("account").map(std::borrow::Cow::into_owned) {
            head.extensions_mut().insert(Account(account));
        }
        Ok(Admission::Admit)
    }

    async fn on_start(room: &Room) -> Result<Self> {
        let reports = room.env::<Reports>()?.clone();
        if room.storage().get::<bool>("broken").await?.unwrap_or(false) {
            reports.add("failed to start");
            room.storage().delete("broken");
            // Not taken back with the failure: the next visitor finds a room that works.
            room.storage().sync().await;
            return Err(Error::new("as told"));
        }
        if room.storage().get::<bool>("slow").await?.unwrap_or(false) {
            reports.add("starts slowly");
            room.env::<GoOn>()?.0.acquire().await?.forget();
        }
        let start = room.storage().get("starts").await?.unwrap_or(0) + 1;
        room.storage().put("starts", &start)?;
        reports.add(format!("start {start} with {}", ids(room)));
        Ok(Self { reports, start, heard_count: 0, feeds: Vec::new(), far: None })
    }

    async fn connection_tags(
        &mut self,
        _: &Room,
        _: &Connection,
        context: &ConnectContext,
    ) -> Result<Vec<Tag>> {
        Ok(context.head().query("tag").map(std::borrow::Cow::into_owned).into_iter().collect())
    }

    async fn on_connect(&mut self, _: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        connection.send("welcome")?;
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
        self.heard_count += 1;
        let words: Vec<&str> = text.splitn(2, ' ').collect();
        match words[..] {
            ["who"] => sender.send(self.describe(sender)?)?,
            ["keep", state] => {
                sender.set_state(state)?;
                sender.send("kept")?;
            }
            ["break"] => {
                room.storage().put("broken", &true)?;
                sender.send("broken")?;
            }
            ["be-slow"] => {
                room.storage().put("slow", &true)?;
                sender.send("slow")?;
            }
            ["fill", count] => {
                for number in 0..count.parse()? {
                    sender.send(vec![number; 1 << 20])?;
                }
            }
            ["kick", id] => {
                room.connection(&ConnectionId::new(id))
                    .map_or(Ok(()), |other| other.close(4000, "kicked"))?;
                sender.send("kicked")?;
            }
            // A socket to another room of the party, kept for sending alone.
            ["call", room_id] => {
                let far = room.parties().party::<Self>("main")?.room(room_id)?;
                self.far = Some(far.socket_at("/?_pk=caller").await?);
                sender.send("called")?;
            }
            // One that a task reads.
            ["listen", room_id] => {
                let far = room.parties().party::<Self>("main")?.room(room_id)?;
                let (mut far, own) = (far.socket_at("/?_pk=listener").await?, room.handle::<Self>());
                room.spawn(async move {
                    while let Some(frame) = far.next().await {
                        own.broadcast(frame).await?;
                    }
                    Ok(())
                });
            }
            ["newest", id] => {
                let id = ConnectionId::new(id);
                room.connection(&id).map_or(Ok(()), |newest| newest.send("you are the newest"))?;
            }
            ["wake-me"] => {
                room.storage().set_alarm(Duration::from_secs(60))?;
                sender.send("set")?;
            }
            ["task"] => {
                let (go_on, handle) = (room.env::<GoOn>()?.clone(), room.handle::<Self>());
                room.spawn(async move {
                    go_on.0.acquire().await?.forget();
                    handle.broadcast("from the task").await?;
                    Ok(())
                });
                sender.send("begun")?;
            }
            _ => drop(room.broadcast(text)?),
        }
        Ok(())
    }

    async fn on_alarm(&mut self, room: &Room, _: &Alarm) -> Result<()> {
        room.broadcast(format!("alarm in start {}", self.start))?;
        Ok(())
    }

    async fn on_request(&mut self, room: &Room, request: Request) -> Result<Response> {
        if request.query("feed").is_some() {
            let (feed, response) = room.body();
            self.feeds.push(feed);
            return Ok(response);
        }
        let count = room.broadcast("a request came")?;
        Ok(Response::text(format!("start {}, told {count}", self.start)))
    }

    async fn on_close(&mut self, _: &Room, connection: &Connection, close: &Close) -> Result<()> {
        let (id, code, last) = (connection.id(), close.code, close.last_of_id);
        self.reports.add(format!("{id} closed {code} in start {}, last {last}", self.start));
        Ok(())
    }
}

impl<const HIBERNATES: bool> Dozer<HIBERNATES> {
    fn describe(&self, of: &Connection) -> Result<String> {
        let state: Option<String> = of.state()?;
        let account = of.extension::<Account>().map(|account| account.0.as_str());
        let (start, heard, id, uri) = (self.start, self.heard_count, of.id(), of.uri());
        Ok(format!("start {start} heard {heard}: {id} {uri} {:?} {state:?} {account:?}", of.tags()))
    }
}

/// The one sign of a server's end.
impl<const HIBERNATES: bool> Drop for Dozer<HIBERNATES> {
    fn drop(&mut self) {
        self.reports.add(format!("end of {}", self.start));
    }
}

fn ids(room: &Room) -> String {
    let ids: Vec<&str> = room.connections().map(|connection| connection.id().as_str()).collect();
    if ids.is_empty() { "nobody".to_owned() } else { ids.join(",") }
}

fn builder() -> (Builder, Seen, GoOn) {
    let ((reports, seen), go_on) = (reports(), GoOn(Arc::new(Semaphore::new(0))));
    let builder = Host::builder()
        .party::<Sleepy>("main")
        .party::<Wakeful>("wakeful")
        .party::<Everybody>("other")
        .env(reports)
        .env(go_on.clone())
        // One thread for all rooms, so that what one has answered before another does is past.
        .config(|config| (config.shards, config.ping_every) = (1, Duration::MAX));
    (builder, seen, go_on)
}

/// A host of sleepy rooms, and what they report.
async fn sleepy() -> (TestHost, Seen) {
    let (builder, seen, _) = builder();
    (TestHost::of(builder).await, seen)
}

async fn join(host: &TestHost, path: &str) -> TestClient {
    let mut client = host.connect(path).await;
    assert_eq!(client.next_text().await, "welcome");
    client
}

async fn ask(client: &mut TestClient, text: &str) -> String {
    client.send(text).await;
    client.next_text().await
}

/// Comes back when the rooms have done all that they had to do: they share their thread with one that answers.
async fn turn_is_over(host: &TestHost) {
    let mut other = host.connect("/parties/other/x").await;
    assert_eq!(ask(&mut other, "?").await, "?");
}

/// Moves the clock by `hibernate_after`, again and again, until `done`.
async fn time_passes_until(host: &TestHost, mut done: impl FnMut() -> bool) {
    soon(async {
        while !done() {
            host.advance(HIBERNATE_AFTER);
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_silent_room_gives_up_its_server_and_the_next_message_starts_it_anew() {
    let (host, mut seen) = sleepy().await;
    let path = "/party/bed?_pk=ada&tag=blue&account=a17";
    let mut ada = join(&host, path).await;
    assert_eq!(seen.next().await, "start 1 with nobody");
    assert_eq!(ask(&mut ada, "keep tea").await, "kept");
    let ada_is = |start, heard| {
        format!(r#"start {start} heard {heard}: ada {path} ["ada", "blue"] Some("tea") Some("a17")"#)
    };
    assert_eq!(ask(&mut ada, "who").await, ada_is(1, 2));

    // Awake until the last moment.
    turn_is_over(&host).await;
    host.advance(HIBERNATE_AFTER - MOMENT);
    turn_is_over(&host).await;
    assert_eq!(seen.all(), [] as [&str; 0]);
    host.advance(MOMENT);
    assert_eq!(seen.next().await, "end of 1");

    // The client has noticed nothing.
    ada.hears_nothing().await;
    assert_eq!(seen.all(), [] as [&str; 0]);

    assert_eq!(ask(&mut ada, "who").await, ada_is(2, 1));
    assert_eq!(seen.all(), ["start 2 with ada"]);
}

#[tokio::test]
async fn what_comes_begins_the_silence_anew() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/party/bed").await;
    for _ in 0..3 {
        turn_is_over(&host).await;
        host.advance(HIBERNATE_AFTER - MOMENT);
        assert_eq!(ask(&mut ada, "still here").await, "still here");
    }
    assert_eq!(seen.all(), ["start 1 with nobody"]);
}

#[tokio::test]
async fn a_room_whose_party_does_not_ask_for_it_never_hibernates() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/parties/wakeful/bed").await;
    turn_is_over(&host).await;
    host.advance(Duration::from_secs(86_400));
    turn_is_over(&host).await;
    assert!(ask(&mut ada, "who").await.starts_with("start 1 heard 1"));
    assert_eq!(seen.all(), ["start 1 with nobody"]);
}

#[tokio::test]
async fn a_test_makes_any_room_hibernate() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/parties/wakeful/bed?_pk=ada").await;
    let room = RoomAddress::new(PartyName::new("wakeful").unwrap(), RoomId::new("bed").unwrap());
    host.hibernate_at(&room).await;
    assert_eq!(seen.all(), ["start 1 with nobody", "end of 1"]);
    assert!(ask(&mut ada, "who").await.starts_with("start 2 heard 1"));

    // A room without connections ends, and one that is closed stays so.
    assert_eq!(host.get("/party/empty").await.status(), 200);
    let open_count = host.rooms_count();
    host.hibernate("empty").await;
    host.until(|host| host.rooms_count() == open_count - 1).await;
    host.hibernate("empty").await;
    assert_eq!(host.rooms_count(), open_count - 1);
}

#[tokio::test]
async fn sleepers_are_listed_in_their_order_and_get_broadcasts_of_whatever_wakes_the_room() {
    let (host, mut seen) = sleepy().await;
    let mut bob = join(&host, "/party/bed?_pk=bob").await;
    let mut ada = join(&host, "/party/bed?_pk=ada").await;

    host.hibernate("bed").await;
    let answer = host.get("/party/bed").await;
    assert_eq!(answer.into_body(), "start 2, told 2");
    assert_eq!(
        (bob.next_text().await, ada.next_text().await),
        ("a request came".into(), "a request came".into())
    );

    host.hibernate("bed").await;
    let mut cleo = join(&host, "/party/bed?_pk=cleo").await;
    assert_eq!(ask(&mut cleo, "hello").await, "hello");
    assert_eq!((bob.next_text().await, ada.next_text().await), ("hello".into(), "hello".into()));

    host.hibernate("bed").await;
    bob.close(Some((4000, "good night"))).await;
    let reports: Vec<String> = wait_for(&mut seen, "bob closed 4000 in start 4, last true").await;
    assert_eq!(
        reports,
        [
            "start 1 with nobody",
            "end of 1",
            "start 2 with bob,ada",
            "end of 2",
            // Who is about to join is not here yet.
            "start 3 with bob,ada",
            "end of 3",
            "start 4 with bob,ada,cleo",
        ]
    );
    drop((ada, cleo));
}

/// What was reported before `last`, which is waited for.
async fn wait_for(seen: &mut Seen, last: &str) -> Vec<String> {
    let mut before = Vec::new();
    loop {
        match seen.next().await {
            report if report == last => return before,
            report => before.push(report),
        }
    }
}

#[tokio::test]
async fn an_alarm_wakes_a_room_and_reaches_its_sleepers() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/party/bed").await;
    assert_eq!(ask(&mut ada, "wake-me").await, "set");
    host.hibernate("bed").await;
    assert_eq!(seen.all().last().unwrap(), "end of 1");
    host.advance(Duration::from_secs(60));
    assert_eq!(ada.next_text().await, "alarm in start 2");
}

#[tokio::test]
async fn pings_are_answered_without_waking_the_room() {
    let (builder, mut seen, _) = builder();
    let every = Duration::from_secs(30);
    let host = TestHost::of(builder.config(|config| config.ping_every = every)).await;
    let mut ada = Raw::member(&host, "bed", "ada").await;
    host.hibernate("bed").await;

    ada.send(frame(PING, b"are you there")).await;
    assert_eq!(ada.next().await, (PONG, b"are you there".to_vec()));
    turn_is_over(&host).await;
    host.advance(every);
    assert_eq!(ada.next().await, (PING, Vec::new()));
    ada.send(frame(PONG, b"")).await;
    turn_is_over(&host).await;
    assert_eq!(seen.all(), ["start 1 with nobody", "end of 1"]);
}

#[tokio::test]
async fn a_task_keeps_its_room_awake_and_a_handle_wakes_it() {
    let (builder, mut seen, go_on) = builder();
    let host = TestHost::of(builder).await;
    let mut ada = join(&host, "/party/bed").await;
    assert_eq!(ask(&mut ada, "task").await, "begun");
    turn_is_over(&host).await;
    host.advance(HIBERNATE_AFTER * 2);
    turn_is_over(&host).await;
    assert_eq!(seen.all(), ["start 1 with nobody"]);

    go_on.0.add_permits(1);
    assert_eq!(ada.next_text().await, "from the task");
    time_passes_until(&host, || seen.all().contains(&"end of 1".to_owned())).await;
}

#[tokio::test]
async fn a_commit_under_way_keeps_its_room_awake() {
    let engine = Arc::new(HeldEngine::new());
    let (builder, mut seen, _) = builder();
    let host = TestHost::of(builder.storage(engine.clone())).await;
    // That of `on_start`.
    engine.let_through(1);
    let mut ada = join(&host, "/party/bed").await;
    ada.send("wake-me").await;
    host.until(|_| engine.arrived_count() == 2).await;
    turn_is_over(&host).await;
    host.advance(HIBERNATE_AFTER * 2);
    turn_is_over(&host).await;
    assert_eq!(seen.all(), ["start 1 with nobody"]);

    engine.recover();
    assert_eq!(ada.next_text().await, "set");
    host.hibernate("bed").await;
    assert_eq!(seen.all(), ["end of 1"]);
}

#[tokio::test]
async fn an_open_body_keeps_its_room_awake_and_in_memory_until_its_client_goes_away() {
    let (host, mut seen) = sleepy().await;
    for with_a_member in [true, false] {
        let member = if with_a_member { Some(join(&host, "/party/bed?_pk=ada").await) } else { None };
        let mut reader = crate::http::raw::Raw::connect(&host).await;
        reader.send("GET /party/bed?feed=1 HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(reader.head().await.status, 200);
        turn_is_over(&host).await;
        host.advance(Duration::from_secs(86_400));
        turn_is_over(&host).await;
        let reports = seen.all();
        assert!(
            !reports.is_empty() && reports.iter().all(|report| report.starts_with("start")),
            "{reports:?}"
        );

        drop(reader);
        time_passes_until(&host, || seen.all().iter().any(|report| report.starts_with("end"))).await;
        if let Some(member) = member {
            member.close(None).await;
            time_passes_until(&host, || seen.all().iter().any(|report| report.starts_with("end"))).await;
        }
    }
}

/// It goes with the server, as when the room restarts or is evicted; `on_start` may open it anew.
#[tokio::test]
async fn a_socket_in_the_server_is_closed_when_its_room_falls_asleep() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/party/bed?_pk=ada").await;
    assert_eq!(ask(&mut ada, "call far").await, "called");
    let mut reports = Vec::new();
    time_passes_until(&host, || {
        reports.extend(seen.all());
        reports.iter().any(|report| report.starts_with("caller closed 1001 in start"))
    })
    .await;
    assert!(reports.contains(&"end of 1".to_owned()), "{reports:?}");
    ada.hears_nothing().await;
    assert!(ask(&mut ada, "who").await.starts_with("start 2 heard 1"));
}

#[tokio::test]
async fn a_task_that_reads_a_socket_keeps_its_room_awake() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/party/bed?_pk=ada").await;
    ada.send("listen far").await;
    // The other room's welcome, which the task tells.
    assert_eq!(ada.next_text().await, "welcome");
    turn_is_over(&host).await;
    host.advance(Duration::from_secs(86_400));
    turn_is_over(&host).await;
    let mut bob = join(&host, "/party/far?_pk=bob").await;
    bob.send("hello").await;
    assert_eq!(ada.next_text().await, "hello");
    // That of the room that is called may sleep meanwhile; the socket stays.
    let reports = seen.all();
    assert!(!reports.iter().any(|report| report.contains("listener closed")), "{reports:?}");
    assert!(ask(&mut ada, "who").await.starts_with("start 1 heard 2"));
}

#[tokio::test]
async fn a_thousand_sleepers_that_speak_at_once_wake_their_room_once() {
    const CLIENTS: usize = 1000;
    let (host, mut seen) = sleepy().await;
    let mut clients = Vec::new();
    for id in 0..CLIENTS {
        clients.push(join(&host, &format!("/party/bed?_pk=c{id}")).await);
    }
    host.hibernate("bed").await;
    let speak = clients.iter_mut().map(|client| async move {
        client.send("keep awake").await;
        assert_eq!(client.next_text().await, "kept");
    });
    futures_util::future::join_all(speak).await;
    let reports = seen.all();
    assert_eq!((reports.len(), &*reports[1]), (3, "end of 1"));
    assert!(reports[2].starts_with("start 2 with c0,c1,"), "{}", reports[2]);
}

#[tokio::test]
async fn pings_are_answered_while_a_room_is_slow_to_wake() {
    let (builder, mut seen, go_on) = builder();
    let every = Duration::from_secs(30);
    let host = TestHost::of(
        builder.config(|config| (config.ping_every, config.hook_timeout) = (every, Duration::MAX)),
    )
    .await;
    let mut ada = Raw::member(&host, "bed", "ada").await;
    ada.send(frame(TEXT, "be-slow")).await;
    assert_eq!(ada.next_text().await, "slow");
    host.hibernate("bed").await;
    ada.send(frame(TEXT, "who")).await;
    wait_for(&mut seen, "starts slowly").await;

    for _ in 0..5 {
        ada.send(frame(PING, b"?")).await;
        assert_eq!(ada.next().await, (PONG, b"?".to_vec()));
        turn_is_over(&host).await;
        host.advance(every);
        assert_eq!(ada.next().await, (PING, Vec::new()));
        ada.send(frame(PONG, b"")).await;
    }
    go_on.0.add_permits(1);
    assert!(ada.next_text().await.starts_with("start 2 heard 1: ada"));
}

#[tokio::test]
async fn a_slow_client_gets_its_backlog_while_its_room_sleeps() {
    const MIB_COUNT: u8 = 24;
    let (builder, mut seen, _) = builder();
    let host = TestHost::of(builder.config(|config| config.outbox_bytes_max = 64 << 20)).await;
    let mut slow = Raw::member(&host, "bed", "slow").await;
    slow.send(frame(TEXT, format!("fill {MIB_COUNT}"))).await;
    // The first byte is there, so the room has handled the message before it is lulled.
    let mut next = slow.next().await;
    host.hibernate("bed").await;
    assert_eq!(seen.all(), ["start 1 with nobody", "end of 1"]);
    for number in 0..MIB_COUNT {
        assert!(next == (BINARY, vec![number; 1 << 20]), "{number}");
        if number + 1 < MIB_COUNT {
            next = slow.next().await;
        }
    }
    assert_eq!(seen.all(), [] as [&str; 0]);
}

#[tokio::test]
async fn a_room_sleeps_while_its_close_is_not_answered_and_wakes_for_the_end() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/party/bed?_pk=ada").await;
    for (id, answers) in [("bob", true), ("eve", false)] {
        let mut other = Raw::member(&host, "bed", id).await;
        assert_eq!(ask(&mut ada, &format!("kick {id}")).await, "kicked");
        assert_eq!(other.closed().await, (4000, "kicked".to_owned()));
        host.hibernate("bed").await;
        let last = seen.all().pop().unwrap();
        assert!(last.starts_with("end"), "{last}");
        if answers {
            other.send(frame(CLOSE, close_payload(4000, "kicked"))).await;
            other.ends().await;
        } else {
            host.advance(Duration::from_secs(5));
        }
        assert!(seen.next().await.starts_with("start"));
        let (code, end) = (if answers { 4000 } else { 1006 }, seen.next().await);
        assert!(end.starts_with(&format!("{id} closed {code} in start")), "{end}");
    }
}

#[tokio::test]
async fn a_wake_that_fails_closes_the_sleepers_and_the_next_visitor_starts_the_room() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/party/bed?_pk=ada").await;
    let mut bob = join(&host, "/party/bed?_pk=bob").await;
    assert_eq!(ask(&mut ada, "break").await, "broken");
    host.hibernate("bed").await;
    ada.send("wake up").await;
    let failed = (1011, "Room failed to start".to_owned());
    assert_eq!(ada.closed().await, failed);
    assert_eq!(bob.closed().await, failed);

    let mut cleo = join(&host, "/party/bed?_pk=cleo").await;
    assert!(ask(&mut cleo, "who").await.starts_with("start 2 heard 1: cleo"));
    let reports = seen.all();
    assert_eq!(reports, ["start 1 with nobody", "end of 1", "failed to start", "start 2 with nobody"]);
}

#[tokio::test]
async fn a_shutdown_tells_sleepers_and_their_room_of_each_end() {
    let (host, mut seen) = sleepy().await;
    let mut ada = join(&host, "/party/bed?_pk=ada").await;
    host.hibernate("bed").await;
    let stopped = tokio::spawn(host.stop());
    assert_eq!(ada.closed().await, (1012, "Server is restarting".to_owned()));
    drop(ada);
    soon(stopped).await.unwrap();
    assert_eq!(
        seen.all(),
        [
            "start 1 with nobody",
            "end of 1",
            "start 2 with ada",
            "ada closed 1012 in start 2, last true",
            "end of 2"
        ]
    );
}

#[tokio::test]
async fn two_sockets_of_one_id_keep_their_order_over_a_wake() {
    let (host, mut seen) = sleepy().await;
    let mut older = join(&host, "/party/bed?_pk=ada").await;
    let mut newer = join(&host, "/party/bed?_pk=ada").await;
    host.hibernate("bed").await;
    older.send("newest ada").await;
    assert_eq!(newer.next_text().await, "you are the newest");
    host.hibernate("bed").await;
    older.close(Some((4000, ""))).await;
    wait_for(&mut seen, "ada closed 4000 in start 3, last false").await;
    assert_eq!(ask(&mut newer, "newest ada").await, "you are the newest");
}

#[tokio::test]
async fn an_empty_room_leaves_memory_after_it_was_woken_by_the_last_departure() {
    let (host, mut seen) = sleepy().await;
    let ada = join(&host, "/party/bed?_pk=ada").await;
    host.hibernate("bed").await;
    ada.close(None).await;
    wait_for(&mut seen, "ada closed 1005 in start 2, last true").await;
    host.until(|host| {
        host.advance(Duration::from_secs(30));
        host.rooms_count() == 0
    })
    .await;
    assert_eq!(seen.next().await, "end of 2");
}

#[tokio::test]
async fn a_thousand_rooms_that_sleep_keep_no_server_and_all_wake() {
    const ROOMS: usize = 1000;
    let (host, mut seen) = sleepy().await;
    let mut clients = Vec::new();
    for room in 0..ROOMS {
        clients.push(join(&host, &format!("/party/{room}?_pk=c{room}")).await);
    }
    let mut reports = Vec::new();
    let count = |reports: &[String], word| reports.iter().filter(|report| report.starts_with(word)).count();
    time_passes_until(&host, || {
        reports.extend(seen.all());
        count(&reports, "end") == ROOMS
    })
    .await;
    assert_eq!(count(&reports, "start"), ROOMS);
    for (room, client) in clients.iter_mut().enumerate() {
        let start = format!("start 2 heard 1: c{room}");
        let answer = ask(client, "who").await;
        assert!(answer.starts_with(&start), "{answer}");
    }
}

/// Clients talk while their room falls asleep again and again, at whatever moment.
#[tokio::test]
async fn no_message_is_lost_between_sleeping_and_waking() {
    const CLIENTS: usize = 8;
    const MESSAGES: usize = 200;
    let (builder, mut seen, _) = builder();
    let host = TestHost::of(builder.config(|config| config.hook_timeout = Duration::MAX)).await;
    let mut clients = Vec::new();
    for id in 0..CLIENTS {
        clients.push(join(&host, &format!("/parties/main/bed?_pk=c{id}")).await);
    }
    let talks = clients.into_iter().map(|mut client| async move {
        for number in 1..=MESSAGES {
            let answer = ask(&mut client, &format!("keep {number}")).await;
            assert_eq!(answer, "kept");
        }
        ask(&mut client, "who").await
    });
    let mut talking = tokio::spawn(futures_util::future::join_all(talks));
    let mut sleeps_count = 0;
    let answers = soon(async {
        loop {
            tokio::select! {
                biased;
                answers = &mut talking => return answers.unwrap(),
                () = host.hibernate("bed") => sleeps_count += 1,
            }
        }
    })
    .await;
    for answer in answers {
        assert!(answer.contains(&format!("Some(\"{MESSAGES}\")")), "{answer}");
    }
    // Each server that began has ended, but for the one that answered last.
    let reports = seen.all();
    let count = |word| reports.iter().filter(|report| report.starts_with(word)).count();
    assert!(sleeps_count > 0 && count("end") >= sleeps_count, "{sleeps_count} {reports:?}");
    assert!(count("start") - count("end") <= 1);
}
