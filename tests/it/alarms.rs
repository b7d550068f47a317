//! Alarms: when they go off, what keeps them, what takes them back, and what they cost.

use std::collections::VecDeque;
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use partyrs::prelude::*;
use partyrs::storage::{
    Commit, CommitError, DueAlarm, DueAlarms, EngineError, KeyRange, MemoryEngine, Opened, Snapshot,
    StorageEngine, StorageError, StoredAlarm, Writes,
};
use partyrs::testing::TestRoom;
use partyrs::{PartyName, RoomAddress, RoomId};
use partyrs_runtime::storage::RedbEngine;
use partyrs_runtime::testing::{TestClient, TestHost, soon};
use partyrs_runtime::{Builder, Host};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::held::HeldEngine;
use crate::parties::{Reports, Seen, reports};

/// Does what its clients say in words, and reports what its alarms saw.
struct Sleeper {
    reports: Reports,
}

/// What the next hooks do; those behind the last do nothing.
#[derive(Clone)]
struct Plan {
    on_start: Orders,
    on_alarm: Orders,
    on_error: Orders,
    /// Lets hooks go on that wait.
    go_on: Arc<Semaphore>,
}

#[derive(Clone, Default)]
struct Orders(Arc<Mutex<VecDeque<&'static str>>>);

impl Plan {
    fn new() -> Self {
        let (on_start, on_alarm, on_error) = Default::default();
        Self { on_start, on_alarm, on_error, go_on: Arc::new(Semaphore::new(0)) }
    }
}

impl Orders {
    fn next(&self) -> Option<&'static str> {
        self.0.lock().unwrap().pop_front()
    }

    fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn add(&self, orders: impl IntoIterator<Item = &'static str>) {
        self.0.lock().unwrap().extend(orders);
    }
}

impl Sleeper {
    /// Does as it is told, and says what there is to say.
    async fn obey(room: &Room, order: &str) -> Result<Option<String>> {
        let storage = room.storage();
        let words: Vec<&str> = order.split(' ').collect();
        match words[..] {
            ["set", seconds] => storage.set_alarm(Duration::from_secs(seconds.parse()?))?,
            ["set", name, seconds] => {
                storage.set_alarm_named(name, Duration::from_secs(seconds.parse()?))?;
            }
            ["set-past", seconds] => {
                storage.set_alarm(room.now() - Duration::from_secs(seconds.parse()?))?;
            }
            ["delete"] => storage.delete_alarm(),
            ["delete", name] => storage.delete_alarm_named(name),
            ["delete-all"] => storage.delete_all(),
            ["put", key] => storage.put(key, "x")?,
            ["sync"] => storage.sync().await,
            ["fail"] => return Err(Error::new("as told")),
            ["panic"] => panic!("as told"),
            ["wait"] => room.env::<Plan>()?.go_on.acquire().await?.forget(),
            ["say", text] => return Ok(Some(text.to_owned())),
            ["get"] => return Ok(Some(alarms(room))),
            ["has", key] => {
                let found = storage.get::<String>(key).await?;
                return Ok(Some(found.map_or("no", |_| "yes").to_owned()));
            }
            _ => return Err(Error::new(format!("no such order: {order}"))),
        }
        Ok(None)
    }

    async fn obey_all(room: &Room, orders: &str) -> Result<Vec<String>> {
        let mut said = Vec::new();
        for order in orders.split(", ") {
            said.extend(Self::obey(room, order).await?);
        }
        Ok(said)
    }
}

/// What is set, in seconds from now: `- 60, cleanup 3`.
fn alarms(room: &Room) -> String {
    assert_eq!(
        room.storage().get_alarm().is_some(),
        room.storage().alarms().iter().any(|(name, _)| name.is_none())
    );
    let text = |(name, time): (Option<String>, std::time::SystemTime)| {
        if let Some(name) = &name {
            assert_eq!(room.storage().get_alarm_named(name), Some(time));
        }
        let seconds = match time.duration_since(room.now()) {
            Ok(left) => left.as_secs().to_string(),
            Err(late) => format!("-{}", late.duration().as_secs()),
        };
        format!("{} {seconds}", name.as_deref().unwrap_or("-"))
    };
    let alarms: Vec<String> = room.storage().alarms().into_iter().map(text).collect();
    if alarms.is_empty() { "none".to_owned() } else { alarms.join(", ") }
}

impl PartyServer for Sleeper {
    type Message = String;

    async fn on_start(room: &Room) -> Result<Self> {
        let reports = room.env::<Reports>()?.clone();
        let plan = room.env::<Plan>()?.on_start.next();
        reports.add(format!("start {}", room.id()));
        if let Some(orders) = plan {
            Self::obey_all(room, orders).await?;
        }
        Ok(Self { reports })
    }

    async fn on_message(&mut self, room: &Room, sender: &Connection, orders: String) -> Result<()> {
        for said in Self::obey_all(room, &orders).await? {
            sender.send(said)?;
        }
        Ok(())
    }

    async fn on_alarm(&mut self, room: &Room, alarm: &Alarm) -> Result<()> {
        let late = match room.now().duration_since(alarm.scheduled) {
            Ok(late) => format!("{} ms late", late.as_millis()),
            Err(_) => "early".to_owned(),
        };
        let name = alarm.name.as_deref().unwrap_or("-");
        self.reports.add(format!("{} alarm {name}, retry {}, {late}", room.id(), alarm.retry));
        if let Some(orders) = room.env::<Plan>()?.on_alarm.next() {
            for said in Self::obey_all(room, orders).await? {
                self.reports.add(said);
            }
        }
        Ok(())
    }

    async fn on_error(&mut self, room: &Room, failure: &Failure) {
        self.reports.add(format!("{} failed, then: {}", failure.hook, alarms(room)));
        if let Some(orders) = room.env::<Plan>().ok().and_then(|plan| plan.on_error.next()) {
            Self::obey_all(room, orders).await.unwrap();
        }
    }
}

fn builder() -> (Builder, Plan, Seen) {
    let (reports, seen) = reports();
    let plan = Plan::new();
    // Tests move the clock by minutes while hooks wait and clients do not read.
    let builder = Host::builder().party::<Sleeper>("main").env(reports).env(plan.clone()).config(|config| {
        config.hook_timeout = Duration::from_hours(1000);
        config.ping_every = Duration::MAX;
    });
    (builder, plan, seen)
}

/// A host, and a client of the room `lobby`, which has started.
async fn begin() -> (TestHost, TestClient, Plan, Seen) {
    let (builder, plan, mut seen) = builder();
    let host = TestHost::of(builder).await;
    let mut ada = host.join("lobby").await;
    tell(&mut ada, "say ready", "ready").await;
    assert_eq!(seen.next().await, "start lobby");
    (host, ada, plan, seen)
}

/// Sends orders and waits for the answer.
async fn tell(client: &mut TestClient, orders: &str, answer: &str) {
    client.send(orders).await;
    assert_eq!(client.next_text().await, answer, "{orders}");
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

const MS: Duration = Duration::from_millis(1);

/// Waits until no room is open, moving the clock on.
async fn all_left(host: &TestHost) {
    soon(async {
        while host.rooms_count() > 0 {
            host.advance(seconds(30));
            tokio::task::yield_now().await;
        }
    })
    .await;
}

/// Shows that no alarm goes off any more: none is stored, and a day passes.
async fn nothing_is_left(host: &TestHost, ada: &mut TestClient, seen: &mut Seen) {
    tell(ada, "get", "none").await;
    host.advance(seconds(86_400));
    tell(ada, "get", "none").await;
    assert_eq!(seen.all(), [] as [&str; 0]);
}

#[tokio::test]
async fn an_alarm_wakes_a_room_that_has_left_memory_at_its_time_and_not_before() {
    let (host, mut ada, _, mut seen) = begin().await;
    let due = host.now() + seconds(1_000_000_000);
    tell(&mut ada, "set 1000000000, say set", "set").await;
    ada.close(None).await;
    // A pending alarm does not keep the room in memory.
    all_left(&host).await;

    host.advance(due.duration_since(host.now()).unwrap() - MS);
    assert_eq!(host.get("/").await.status(), 404);
    assert_eq!(seen.all(), [] as [&str; 0]);
    host.advance(MS);

    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    // It has ended with its hook: the room may go again, and nothing wakes it.
    all_left(&host).await;
    host.advance(seconds(86_400));
    assert_eq!(host.get("/").await.status(), 404);
    assert_eq!((host.rooms_count(), seen.all()), (0, vec![]));
}

#[tokio::test]
async fn an_alarm_that_always_fails_is_called_seven_times_at_times_that_double_and_then_dropped() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["fail"; 7]);
    tell(&mut ada, "set 60, say set", "set").await;

    let mut late = 0;
    for (retry, gap) in [60, 2, 4, 8, 16, 32, 64].into_iter().enumerate() {
        late += if retry == 0 { 0 } else { gap * 1000 };
        host.advance(seconds(gap));
        assert_eq!(seen.next().await, format!("lobby alarm -, retry {retry}, {late} ms late"));
        // While it waits for its retry it is still set, to the time of its own.
        let then = if retry == 6 { "none".to_owned() } else { format!("- {}", ago(late / 1000)) };
        assert_eq!(seen.next().await, format!("on_alarm failed, then: {then}"));
    }
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

/// Seconds that have passed, as `alarms` writes them.
fn ago(seconds: u64) -> String {
    if seconds == 0 { "0".to_owned() } else { format!("-{seconds}") }
}

#[tokio::test]
async fn alarms_and_their_retries_survive_a_host_that_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (first, plan, mut seen) = builder();
    let host = TestHost::try_of(first.data(folder.path())).await.unwrap();
    let mut ada = host.join("lobby").await;
    plan.on_alarm.add(["fail", "fail"]);
    tell(&mut ada, "set 60, set later 3600, say set", "set").await;
    host.advance(seconds(60));
    let report = async |seen: &mut Seen, start: &str| {
        let report = seen.next().await;
        assert!(report.starts_with(start), "{report}, not {start}");
    };
    report(&mut seen, "start lobby").await;
    report(&mut seen, "lobby alarm -, retry 0, 0 ms late").await;
    report(&mut seen, "on_alarm failed").await;
    host.advance(seconds(2));
    report(&mut seen, "lobby alarm -, retry 1, 2000 ms late").await;
    report(&mut seen, "on_alarm failed").await;
    // What a client is told follows the commit of `on_error`.
    tell(&mut ada, "put k, say durable", "durable").await;
    host.kill().await;

    let (second, _, mut seen) = builder();
    let host = TestHost::try_of(second.data(folder.path())).await.unwrap();
    host.advance(seconds(100));
    report(&mut seen, "start lobby").await;
    report(&mut seen, "lobby alarm -, retry 2, ").await;
    host.kill().await;

    let (third, _, mut seen) = builder();
    let host = TestHost::try_of(third.data(folder.path())).await.unwrap();
    host.advance(seconds(3600 + 100));
    report(&mut seen, "start lobby").await;
    // The kill may have come before the end of the other one was on disk.
    let mut fired = seen.next().await;
    if fired.starts_with("lobby alarm -, retry 2, ") {
        fired = seen.next().await;
    }
    assert!(fired.starts_with("lobby alarm later, retry 0, "), "{fired}");
}

#[tokio::test]
async fn delete_all_deletes_alarms_too_and_those_set_after_it_stay() {
    let (host, mut ada, _, mut seen) = begin().await;
    tell(&mut ada, "set 60, set a 60, set b 60, say set", "set").await;
    tell(&mut ada, "delete-all, get", "none").await;
    tell(&mut ada, "set b 10, get", "b 10").await;

    host.advance(seconds(60));

    assert_eq!(seen.next().await, "lobby alarm b, retry 0, 50000 ms late");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn named_alarms_and_the_one_without_a_name_go_off_each_at_its_time() {
    let (host, mut ada, _, mut seen) = begin().await;
    tell(&mut ada, "set b 30, set 20, set a 10, set c 40, delete c, get", "- 20, a 10, b 30").await;

    for name in ["a", "-", "b"] {
        host.advance(seconds(10));
        assert_eq!(seen.next().await, format!("lobby alarm {name}, retry 0, 0 ms late"));
    }
    tell(&mut ada, "set x 1, set 1, set y 2, get", "- 1, x 1, y 2").await;
    host.advance(seconds(3));
    for (name, late) in [("-", 2000), ("x", 2000), ("y", 1000)] {
        assert_eq!(seen.next().await, format!("lobby alarm {name}, retry 0, {late} ms late"));
    }
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn of_several_changes_in_one_hook_the_last_one_holds() {
    let (host, mut ada, _, mut seen) = begin().await;
    tell(&mut ada, "set 5, delete, set 10, set 20, set a 5, delete a, get", "- 20").await;
    tell(&mut ada, "delete, set a 5, delete a, delete a, set 7, delete, set 30, get", "- 30").await;

    host.advance(seconds(29));
    tell(&mut ada, "get", "- 1").await;
    host.advance(seconds(1));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn a_time_in_the_past_goes_off_at_once() {
    let (host, mut ada, _, mut seen) = begin().await;
    tell(&mut ada, "set-past 5, say set", "set").await;
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 5000 ms late");
    tell(&mut ada, "set 0, say set", "set").await;
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    // Later ones are looked for as before.
    tell(&mut ada, "set a 3600, set-past 1, say set", "set").await;
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 1000 ms late");
    host.advance(seconds(3600));
    assert_eq!(seen.next().await, "lobby alarm a, retry 0, 0 ms late");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn a_hook_that_fails_takes_back_what_it_did_to_alarms() {
    let (host, mut ada, _, mut seen) = begin().await;
    tell(&mut ada, "set a 60, set b 60, say set", "set").await;
    ada.send("set 10, set a 10, delete b, get, fail").await;

    // The failed hook had writes, so the room starts again.
    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(seen.next().await, "on_message failed, then: a 60, b 60");
    tell(&mut ada, "get", "a 60, b 60").await;
    ada.send("delete-all, fail").await;
    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(seen.next().await, "on_message failed, then: a 60, b 60");
    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm a, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "lobby alarm b, retry 0, 0 ms late");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn what_follows_a_change_of_an_alarm_waits_for_its_commit_and_no_change_holds_nothing() {
    let engine = Arc::new(HeldEngine::new());
    let (builder, _, _seen) = builder();
    let host = TestHost::of(builder.storage(engine.clone())).await;
    let mut ada = host.join("lobby").await;

    ada.send("delete, delete a, say free").await;
    assert_eq!(ada.next_text().await, "free");
    for (order, count) in [("set 60, say held", 1), ("delete, say held", 2)] {
        ada.send(order).await;
        host.until(|_| engine.arrived_count() == count).await;
        ada.hears_nothing().await;
        engine.let_through(1);
        assert_eq!(ada.next_text().await, "held");
    }
}

#[tokio::test]
async fn an_alarm_is_none_in_its_own_hook_unless_it_is_set_again() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["get", "get, set 30, get, sync, get", "get, delete, get"]);
    tell(&mut ada, "set a 600, set 60, say set", "set").await;

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "a 540");
    tell(&mut ada, "set 60, say set", "set").await;
    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    for said in ["a 480", "- 30, a 480", "- 30, a 480"] {
        assert_eq!(seen.next().await, said);
    }
    host.advance(seconds(30));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    for said in ["a 450", "a 450"] {
        assert_eq!(seen.next().await, said);
    }
    tell(&mut ada, "delete a, say ready", "ready").await;
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn an_alarm_that_is_set_again_or_deleted_while_it_waits_in_the_mailbox_does_not_go_off() {
    let (host, mut ada, plan, mut seen) = begin().await;
    tell(&mut ada, "set 60, set a 60, set b 60, say set", "set").await;
    let mut bob = host.join("witness").await;
    tell(&mut bob, "set 60, say set", "set").await;
    assert_eq!(seen.next().await, "start witness");
    // The room is in a hook, and the next one waits, when the alarms fall due.
    ada.send("wait").await;
    ada.send("set 3600, delete a, say changed").await;
    ada.hears_nothing().await;

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "witness alarm -, retry 0, 0 ms late");
    plan.go_on.add_permits(1);

    assert_eq!(ada.next_text().await, "changed");
    assert_eq!(seen.next().await, "lobby alarm b, retry 0, 0 ms late");
    tell(&mut ada, "get", "- 3600").await;
    host.advance(seconds(3600));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn writes_of_a_failed_alarm_are_taken_back_and_it_is_called_again() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["put k, set 500, delete a, fail", "put k"]);
    tell(&mut ada, "set 60, set a 1000, say set", "set").await;

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(seen.next().await, "on_alarm failed, then: - 0, a 940");
    tell(&mut ada, "has k", "no").await;
    host.advance(seconds(2));
    assert_eq!(seen.next().await, "lobby alarm -, retry 1, 2000 ms late");
    tell(&mut ada, "has k, delete a", "yes").await;
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn a_failed_alarm_that_had_synced_is_called_again_unless_what_it_synced_changed_it() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["put k, sync, fail", "set 100, sync, fail", "delete, sync, fail"]);
    tell(&mut ada, "set 60, say set", "set").await;

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "on_alarm failed, then: - 0");
    tell(&mut ada, "has k", "yes").await;
    host.advance(seconds(2));
    assert_eq!(seen.next().await, "lobby alarm -, retry 1, 2000 ms late");
    assert_eq!(seen.next().await, "on_alarm failed, then: - 100");
    host.advance(seconds(100));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "on_alarm failed, then: none");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn on_error_may_end_the_retries_or_set_another_time() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["fail", "fail"]);
    plan.on_error.add(["set 500", "delete"]);
    tell(&mut ada, "set 60, say set", "set").await;

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "on_alarm failed, then: - 0");
    tell(&mut ada, "get", "- 500").await;
    host.advance(seconds(500));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "on_alarm failed, then: - 0");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn the_retry_is_kept_when_on_error_panics() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["fail"]);
    plan.on_error.add(["delete, panic"]);
    tell(&mut ada, "set 60, say set", "set").await;

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "on_alarm failed, then: - 0");
    assert_eq!(seen.next().await, "start lobby");
    tell(&mut ada, "get", "- 0").await;
    host.advance(seconds(2));
    assert_eq!(seen.next().await, "lobby alarm -, retry 1, 2000 ms late");
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn an_alarm_outlives_a_room_that_panics_too_often_and_the_failure_counts() {
    let (builder, plan, mut seen) = builder();
    let host = TestHost::of(builder.config(|config| config.restarts_max = 0)).await;
    let mut ada = host.join("lobby").await;
    plan.on_alarm.add(["panic"]);
    tell(&mut ada, "set 60, set a 60, say set", "set").await;
    assert_eq!(seen.next().await, "start lobby");

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(ada.closed().await, (1011, "Room failed".to_owned()));

    // The other alarm is due, and does not wait for anything.
    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(seen.next().await, "lobby alarm a, retry 0, 0 ms late");
    host.advance(seconds(2));
    assert_eq!(seen.next().await, "lobby alarm -, retry 1, 2000 ms late");
    let mut bob = host.join("lobby").await;
    nothing_is_left(&host, &mut bob, &mut seen).await;
}

#[tokio::test]
async fn an_alarm_outlives_a_restart_that_fails_in_the_middle_of_it() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["put k, fail"]);
    plan.on_start.add(["put k, fail"]);
    tell(&mut ada, "set 60, say set", "set").await;

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(ada.closed().await, (1011, "Room failed to start".to_owned()));
    host.until(|host| host.rooms_count() == 0).await;
    host.advance(seconds(2));

    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(seen.next().await, "lobby alarm -, retry 1, 2000 ms late");
    let mut bob = host.join("lobby").await;
    tell(&mut bob, "has k", "no").await;
    nothing_is_left(&host, &mut bob, &mut seen).await;
}

/// A host whose room has an alarm that is due, and fails to start for it again and again.
async fn unable_to_start() -> (TestHost, Plan, Seen) {
    let (host, mut ada, plan, mut seen) = begin().await;
    let due = host.now() + seconds(1_000_000_000);
    tell(&mut ada, "set 1000000000, say set", "set").await;
    ada.close(None).await;
    all_left(&host).await;
    plan.on_start.add(["fail"; 10_000]);
    host.advance(due.duration_since(host.now()).unwrap());
    let mut starts_count = 0;
    soon(async {
        while starts_count < 4 {
            host.advance(seconds(1));
            tokio::task::yield_now().await;
            starts_count += seen.all().len();
        }
    })
    .await;
    (host, plan, seen)
}

#[tokio::test]
async fn a_room_that_cannot_start_for_its_alarm_is_tried_again_until_it_can() {
    let (host, plan, mut seen) = unable_to_start().await;
    plan.on_start.clear();
    let mut reports = Vec::new();
    soon(async {
        while !reports.iter().any(|report: &String| report.starts_with("lobby alarm -, retry 0, ")) {
            host.advance(seconds(1));
            tokio::task::yield_now().await;
            reports.extend(seen.all());
        }
    })
    .await;
    let mut bob = host.join("lobby").await;
    tell(&mut bob, "get", "none").await;
}

#[tokio::test]
async fn a_visitor_of_a_room_that_could_not_start_makes_its_alarm_go_off_at_once() {
    let (host, plan, mut seen) = unable_to_start().await;
    plan.on_start.clear();
    // One more attempt may be under way, and refuse whoever comes.
    while host.get("/party/lobby").await.status() == 500 {}

    soon(async { while !seen.next().await.starts_with("lobby alarm -, retry 0, ") {} }).await;
    let mut bob = host.join("lobby").await;
    tell(&mut bob, "get", "none").await;
}

#[tokio::test]
async fn an_alarm_whose_commit_fails_goes_off_again() {
    let engine = Arc::new(HeldEngine::new());
    let (builder, plan, mut seen) = builder();
    let host = TestHost::of(builder.storage(engine.clone())).await;
    let mut ada = host.join("lobby").await;
    engine.recover();
    tell(&mut ada, "set 60, say set", "set").await;
    assert_eq!(seen.next().await, "start lobby");
    plan.on_alarm.add(["put k"]);
    engine.fail_with(CommitError::Failed("the disk is gone".into()));

    host.advance(seconds(60));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    assert_eq!(ada.closed().await, (1011, "Storage failed".to_owned()));
    host.until(|host| host.rooms_count() == 0).await;
    engine.recover();
    host.advance(seconds(2));

    assert_eq!(seen.next().await, "start lobby");
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 2000 ms late");
    let mut bob = host.join("lobby").await;
    nothing_is_left(&host, &mut bob, &mut seen).await;
}

#[tokio::test]
async fn an_alarm_outlives_a_graceful_shutdown_even_one_that_is_due() {
    let engine = Arc::new(MemoryEngine::new());
    let (first, plan, mut seen) = builder();
    let host = TestHost::of(first.storage(engine.clone())).await;
    let mut ada = host.join("lobby").await;
    tell(&mut ada, "set 1, set a 1, say set", "set").await;
    assert_eq!(seen.next().await, "start lobby");
    plan.on_alarm.add(["wait"]);
    host.advance(seconds(1));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    // One is being called while the other waits.
    let mut host = host;
    host.begin_stop();
    plan.go_on.add_permits(1);
    assert_eq!(ada.closed().await.0, 1012);
    host.stop().await;
    let before = seen.all();

    let (second, _, mut seen) = builder();
    let host = TestHost::of(second.storage(engine)).await;
    host.advance(seconds(100));
    if before.is_empty() {
        assert_eq!(seen.next().await, "start lobby");
        let fired = seen.next().await;
        assert!(fired.starts_with("lobby alarm a, retry 0, "), "{fired}");
    }
    let mut bob = host.join("lobby").await;
    tell(&mut bob, "get", "none").await;
}

#[tokio::test]
async fn an_alarm_that_sets_itself_to_the_past_leaves_its_room_to_others_too() {
    let (host, mut ada, plan, mut seen) = begin().await;
    plan.on_alarm.add(["set 0"; 300]);
    tell(&mut ada, "set 0, say set", "set").await;
    for number in 0..100 {
        tell(&mut ada, &format!("say {number}"), &number.to_string()).await;
    }
    for _ in 0..301 {
        assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    }
    nothing_is_left(&host, &mut ada, &mut seen).await;
}

#[tokio::test]
async fn what_on_start_does_to_an_alarm_that_woke_its_room_holds() {
    let (host, mut ada, plan, mut seen) = begin().await;
    let due = host.now() + seconds(1_000_000_000);
    tell(&mut ada, "set 1000000000, say set", "set").await;
    ada.close(None).await;
    all_left(&host).await;
    plan.on_start.add(["set 100"]);

    host.advance(due.duration_since(host.now()).unwrap());
    assert_eq!(seen.next().await, "start lobby");
    let mut bob = host.join("lobby").await;
    tell(&mut bob, "get", "- 100").await;
    host.advance(seconds(100));
    assert_eq!(seen.next().await, "lobby alarm -, retry 0, 0 ms late");
    nothing_is_left(&host, &mut bob, &mut seen).await;
}

/// Counts what the waker reads of another engine.
#[derive(Debug)]
struct CountedEngine {
    engine: Arc<dyn StorageEngine>,
    reads_count: AtomicUsize,
    alarms_read_count: AtomicUsize,
}

#[async_trait]
impl StorageEngine for CountedEngine {
    async fn open(&self, room: &RoomAddress) -> Result<Opened, EngineError> {
        self.engine.open(room).await
    }

    fn close(&self, room: &RoomAddress, epoch: u64) {
        self.engine.close(room, epoch);
    }

    async fn get(&self, room: &RoomAddress, keys: &[String]) -> Result<Vec<Option<Bytes>>, EngineError> {
        self.engine.get(room, keys).await
    }

    async fn list(&self, room: &RoomAddress, range: &KeyRange) -> Result<Vec<(String, Bytes)>, EngineError> {
        self.engine.list(room, range).await
    }

    async fn commit(&self, commit: Commit) -> Result<(), CommitError> {
        self.engine.commit(commit).await
    }

    async fn alarms_due(
        &self,
        after: Option<&DueAlarm>,
        until_ms: u64,
        limit: usize,
    ) -> Result<DueAlarms, EngineError> {
        let found = self.engine.alarms_due(after, until_ms, limit).await?;
        self.reads_count.fetch_add(1, Ordering::Relaxed);
        self.alarms_read_count.fetch_add(found.alarms.len(), Ordering::Relaxed);
        Ok(found)
    }

    async fn snapshot(&self) -> Result<Box<dyn Snapshot>, EngineError> {
        self.engine.snapshot().await
    }
}

impl CountedEngine {
    fn new(engine: Arc<dyn StorageEngine>) -> Arc<Self> {
        Arc::new(Self { engine, reads_count: AtomicUsize::new(0), alarms_read_count: AtomicUsize::new(0) })
    }

    /// Stores alarms of a room of the party `main`.
    async fn store(&self, room: &str, alarms: impl Iterator<Item = (String, u64)>) {
        let room = RoomAddress::new(PartyName::new("main").unwrap(), RoomId::new(room).unwrap());
        let epoch = self.open(&room).await.unwrap().epoch;
        let mut writes = Writes::new();
        alarms.for_each(|(name, ms)| writes.set_alarm(StoredAlarm::new(name, ms, ms, 0)));
        self.commit(Commit::new(room.clone(), epoch, 1, Arc::new(writes))).await.unwrap();
        self.close(&room, epoch);
    }
}

/// A time after which every host of a test is; alarms at it are due when the host starts.
const PAST_MS: u64 = 1_000_000_000_000;

/// A time that no host of a test sees.
const FAR_MS: u64 = 100_000_000_000_000;

#[tokio::test]
async fn of_a_hundred_thousand_pending_alarms_only_those_that_are_due_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let redb = RedbEngine::open(folder.path()).unwrap();
    // Writing so many to the disk takes an unoptimized build long: there they are 20,000.
    let engines: [(Arc<dyn StorageEngine>, usize); 2] =
        [(Arc::new(MemoryEngine::new()), 100), (Arc::new(redb), 20)];
    for (engine, rooms_count) in engines {
        let engine = CountedEngine::new(engine);
        for room in 0..rooms_count {
            let names = (0..1000).map(|number| (format!("{number}"), FAR_MS + number));
            engine.store(&format!("pending-{room}"), names).await;
        }
        for room in ["due-a", "due-b", "due-c"] {
            engine.store(room, std::iter::once((String::new(), PAST_MS))).await;
        }

        let (builder, _, mut seen) = builder();
        let host = TestHost::of(builder.storage(engine.clone())).await;
        let mut fired = Vec::new();
        for _ in 0..6 {
            fired.push(seen.next().await);
        }

        fired.sort();
        assert!(fired[0].starts_with("due-a alarm") && fired[2].starts_with("due-c alarm"), "{fired:?}");
        assert_eq!(fired[3..], ["start due-a", "start due-b", "start due-c"]);
        assert_eq!(engine.alarms_read_count.load(Ordering::Relaxed), 3);
        // Time passes: the engine is asked once a minute at most, and reads nothing.
        let reads_count = engine.reads_count.load(Ordering::Relaxed);
        assert!(reads_count <= 2, "{reads_count}");
        let mut ada = host.join("lobby").await;
        for _ in 0..10 {
            host.advance(seconds(6));
            tell(&mut ada, "say ready", "ready").await;
        }
        assert!(host.rooms_count() <= 4, "{}", host.rooms_count());
        assert!(engine.reads_count.load(Ordering::Relaxed) <= reads_count + 1);
        for room in ["due-a", "due-b", "due-c"] {
            // The answer follows the commit that ended the alarm.
            tell(&mut host.join(room).await, "get", "none").await;
        }
        host.kill().await;
        // Those of rooms that nobody woke are all there.
        let left = engine.engine.alarms_due(None, u64::MAX, usize::MAX).await.unwrap().alarms.len();
        assert_eq!(left, rooms_count * 1000);
    }
}

#[tokio::test]
async fn alarms_of_thousands_of_rooms_that_are_due_at_once_go_off_once_each() {
    const ROOMS: usize = 3000;
    let engine = CountedEngine::new(Arc::new(MemoryEngine::new()));
    for room in 0..ROOMS {
        engine.store(&format!("{room}"), std::iter::once((String::new(), PAST_MS))).await;
    }
    let (builder, _, mut seen) = builder();
    let host = TestHost::of(builder.storage(engine.clone())).await;

    let mut fired = std::collections::BTreeSet::new();
    for _ in 0..2 * ROOMS {
        let report = seen.next().await;
        assert!(fired.insert(report.clone()), "{report} twice");
    }
    // The last ones may still be on their way to the engine.
    soon(async {
        while !engine.engine.alarms_due(None, u64::MAX, 1).await.unwrap().alarms.is_empty() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let mut ada = host.join("0").await;
    tell(&mut ada, "get", "none").await;
    host.advance(seconds(61));
    tell(&mut ada, "get", "none").await;
    assert_eq!(engine.alarms_read_count.load(Ordering::Relaxed), ROOMS, "each is read once");
    assert_eq!(seen.all(), [] as [&str; 0]);
}

#[tokio::test]
async fn thousands_of_alarms_of_one_room_go_off_in_the_order_of_their_times_and_messages_pass_between() {
    const ALARMS: u64 = 2000;
    let engine = CountedEngine::new(Arc::new(MemoryEngine::new()));
    let names = (0..ALARMS).map(|number| (format!("{number}"), PAST_MS + ALARMS - number));
    engine.store("lobby", names).await;
    let (builder, plan, mut seen) = builder();
    plan.on_alarm.add(["wait"]);
    let host = TestHost::of(builder.storage(engine)).await;
    assert_eq!(seen.next().await, "start lobby");
    assert!(seen.next().await.starts_with(&format!("lobby alarm {}, ", ALARMS - 1)));
    let mut ada = host.join("lobby").await;
    ada.send("say hello").await;
    plan.go_on.add_permits(1);

    assert_eq!(ada.next_text().await, "hello");
    for number in (0..ALARMS - 1).rev() {
        let fired = seen.next().await;
        assert!(fired.starts_with(&format!("lobby alarm {number}, ")), "{fired}, not {number}");
    }
    tell(&mut ada, "get", "none").await;
}

/// Tries the limits of names and times, in a hook without a host.
struct Limits;

impl PartyServer for Limits {
    type Message = Frame;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Limits)
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, _: Frame) -> Result<()> {
        let storage = room.storage();
        storage.set_alarm_named(&"n".repeat(256), seconds(1))?;
        let long = storage.set_alarm_named(&"n".repeat(257), seconds(1));
        assert!(matches!(long, Err(StorageError::AlarmName { len_bytes: 257, limit_bytes: 256 })));
        let empty = storage.set_alarm_named("", seconds(1));
        assert!(matches!(empty, Err(StorageError::AlarmName { len_bytes: 0, .. })));
        storage.set_alarm_named("x", UNIX_EPOCH + MS)?;
        let epoch = storage.set_alarm(UNIX_EPOCH);
        assert!(matches!(epoch, Err(StorageError::AlarmTime)));
        let before = storage.set_alarm(UNIX_EPOCH - MS);
        assert!(matches!(before, Err(StorageError::AlarmTime)));
        assert_eq!(storage.get_alarm(), None);
        storage.set_alarm(Duration::MAX)?;
        assert!(storage.get_alarm().is_some_and(|time| time > room.now() + seconds(1 << 40)));
        storage.delete_alarm_named("");
        assert_eq!(storage.get_alarm_named(""), None);
        assert_eq!(storage.alarms().len(), 3);
        Ok(())
    }
}

#[tokio::test]
async fn names_and_times_pass_at_their_limit_and_are_refused_past_it() {
    let mut room = TestRoom::<Limits>::new("lobby");
    let ada = room.join().await.unwrap();
    room.send(&ada, "go").await.unwrap();
}

#[tokio::test]
async fn a_room_without_sockets_has_the_same_alarms_and_its_test_moves_the_time() {
    let (reports, mut seen) = reports();
    let plan = Plan::new();
    let mut room = TestRoom::<Sleeper>::new("lobby").env(reports).env(plan.clone());
    let ada = room.join().await.unwrap();
    room.send(&ada, "set 60, set a 30").await.unwrap();
    plan.on_alarm.add(["get", "put k, fail", "fail"]);

    assert!(room.advance(seconds(61)).await.is_err());
    room.send(&ada, "get").await.unwrap();
    assert_eq!(ada.received(), [Frame::text("- -1")]);
    assert!(room.advance(seconds(3)).await.is_err());
    room.advance(seconds(10_000)).await.unwrap();

    let expected = [
        "start lobby",
        "lobby alarm a, retry 0, 0 ms late",
        "- 30",
        "lobby alarm -, retry 0, 0 ms late",
        "start lobby",
        "on_alarm failed, then: - 0",
        "lobby alarm -, retry 1, 2000 ms late",
        "on_alarm failed, then: - -2",
        "lobby alarm -, retry 2, 6000 ms late",
    ];
    assert_eq!(seen.all(), expected);
    plan.on_alarm.add(["fail"; 8]);
    room.send(&ada, "set 1").await.unwrap();
    assert!(room.advance(seconds(10_000)).await.is_err());
    assert_eq!(seen.all().len(), 2 * 7, "seven times, and on_error after each");
}

/// In a process of its own: fails its alarm once, and tells what it has stored.
struct Failing;

impl PartyServer for Failing {
    type Message = String;

    async fn on_start(_: &Room) -> Result<Self> {
        Ok(Failing)
    }

    async fn on_connect(&mut self, room: &Room, connection: &Connection, _: &ConnectContext) -> Result<()> {
        let told: Option<String> = room.storage().get("told").await?;
        if let Some(told) = told {
            connection.send(told)?;
        }
        Ok(())
    }

    async fn on_message(&mut self, room: &Room, _: &Connection, _: String) -> Result<()> {
        Ok(room.storage().set_alarm_named("task", Duration::ZERO)?)
    }

    async fn on_alarm(&mut self, room: &Room, alarm: &Alarm) -> Result<()> {
        if alarm.retry == 0 {
            return Err(Error::new("as told"));
        }
        let told =
            format!("{} of {}, retry {}", alarm.name.as_deref().unwrap_or("-"), room.id(), alarm.retry);
        room.storage().put("told", &told)?;
        room.broadcast(told)?;
        Ok(())
    }

    /// What it sends leaves with the retry on disk.
    async fn on_error(&mut self, room: &Room, _: &Failure) {
        room.broadcast("failed").unwrap();
    }
}

/// Not a test: the server that the next one starts, in this binary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_process() {
    if std::env::var_os("PARTYRS_ALARM_SERVER").is_some() {
        Host::builder().party::<Failing>("main").build().unwrap().serve_from_env().await.unwrap();
    }
}

/// A process that runs `server_process`; killed when it is dropped.
struct Server(Child);

impl Server {
    async fn start(addr: SocketAddr, data: &std::path::Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "alarms::server_process"])
            .env("PARTYRS_ALARM_SERVER", "1")
            .env("PARTYRS_ADDR", addr.to_string())
            .env("PARTYRS_DATA", data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("this binary starts");
        let server = Self(child);
        soon(async {
            while TcpStream::connect(addr).await.is_err() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        server
    }
}

impl Drop for Server {
    /// Kill -9.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn an_alarm_and_its_retry_survive_kill_9() {
    use futures_util::SinkExt;
    use tokio_tungstenite::tungstenite::Message;
    let addr = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap();
    let data = tempfile::tempdir().unwrap();
    let url = format!("ws://{addr}/party/lobby");
    let server = Server::start(addr, data.path()).await;
    let (mut ada, _) = soon(tokio_tungstenite::connect_async(&url)).await.unwrap();
    ada.send(Message::text("go")).await.unwrap();
    assert_eq!(soon(ada.next()).await.unwrap().unwrap(), Message::text("failed"));
    drop(server);

    let server = Server::start(addr, data.path()).await;
    let (mut bob, _) = soon(tokio_tungstenite::connect_async(&url)).await.unwrap();
    assert_eq!(soon(bob.next()).await.unwrap().unwrap(), Message::text("task of lobby, retry 1"));
    drop(server);
}
