//! Work that is due by the clock: `on_cron` (wire row 46).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use partyrs::prelude::*;
use partyrs_runtime::testing::TestHost;
use partyrs_runtime::{Builder, Host};
use tokio::sync::Semaphore;

use crate::parties::{Reports, Seen, reports};

const MINUTE: Duration = Duration::from_secs(60);

/// Counts what it is called for, and keeps the count.
struct Tally {
    count: u64,
}

/// Does what the name of the cron says, and reports it.
struct Site {
    reports: Reports,
    /// Opened by the test; `wait` waits for it.
    gate: Arc<Semaphore>,
}

struct Ends(Reports);

impl PartyServer for Tally {
    type Message = Frame;

    async fn on_start(room: &Room) -> Result<Self> {
        Ok(Self { count: room.storage().get("count").await?.unwrap_or(0) })
    }
}

impl LobbyServer for Site {
    fn on_cron(&self, cron: &Cron, lobby: &HostLobby) -> impl Future<Output = Result<()>> + Send {
        assert_ne!(cron.name, "panic-at-once", "as told");
        self.run(cron.clone(), lobby.clone())
    }
}

impl Site {
    async fn run(&self, cron: Cron, lobby: HostLobby) -> Result<()> {
        let seconds = cron.scheduled.duration_since(UNIX_EPOCH)?.as_secs();
        match &*cron.name {
            "fail" => return Err(Error::status(403, "the till is empty")),
            "panic" => panic!("the till is empty"),
            "tell" => self.reports.add(format!("{} {seconds}", cron.expression)),
            "count" => {
                let room = lobby.parties().party::<Tally>("main")?.room("a")?;
                let count = room
                    .run(async |tally, room| {
                        tally.count += 1;
                        room.storage().put("count", &tally.count)?;
                        Ok(tally.count)
                    })
                    .await?;
                self.reports.add(format!("{count} of {}", lobby.env::<u64>()?));
            }
            "wait" => {
                self.reports.add(format!("begun {seconds}"));
                let ends = Ends(self.reports.clone());
                self.gate.acquire().await?.forget();
                self.reports.add("waited");
                drop(ends);
            }
            name => return Err(Error::new(format!("nobody knows the cron {name}"))),
        }
        Ok(())
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.add("ended");
    }
}

/// A host whose crons are waited for by now.
async fn site(change: impl FnOnce(Builder) -> Builder) -> (TestHost, Seen, Arc<Semaphore>) {
    let (reports, seen) = reports();
    let gate = Arc::new(Semaphore::new(0));
    let host = Host::builder().party::<Tally>("main").env(7_u64);
    let host = host.lobby(Site { reports, gate: Arc::clone(&gate) });
    let host = TestHost::of(change(host)).await;
    settle(&host).await;
    (host, seen, gate)
}

/// What is due has begun: the task that starts it has been polled, and so have others since.
async fn settle(host: &TestHost) {
    for _ in 0..5 {
        assert_eq!(host.get("/nothing").await.status(), 404);
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Time from now to the next minute, or hour.
fn until_next(host: &TestHost, unit: Duration) -> Duration {
    let now = host.now().duration_since(UNIX_EPOCH).unwrap();
    let unit = unit.as_millis();
    Duration::from_millis((unit - now.as_millis() % unit).try_into().unwrap())
}

#[tokio::test]
async fn a_cron_is_called_once_for_each_due_time_and_never_early() {
    let (host, mut seen, _) = site(|builder| builder.cron("tell", "* * * * *")).await;
    for _ in 0..3 {
        host.advance(until_next(&host, MINUTE) - Duration::from_millis(1));
        settle(&host).await;
        assert_eq!(seen.all(), [] as [&str; 0], "not early");
        host.advance(Duration::from_millis(1));
        assert_eq!(seen.next().await, format!("* * * * * {}", seconds(host.now())));
        settle(&host).await;
        host.advance(Duration::from_millis(1));
        settle(&host).await;
        assert_eq!(seen.all(), [] as [&str; 0], "not twice");
    }
}

#[tokio::test]
async fn times_that_were_missed_are_called_once_with_the_last_of_them() {
    let (host, mut seen, _) = site(|builder| builder.cron("tell", "*/5 * * * *")).await;
    host.advance(until_next(&host, 60 * MINUTE) + 26 * 60 * MINUTE + 7 * MINUTE);
    let due = seconds(host.now()) - 2 * 60;
    assert_eq!(seen.next().await, format!("*/5 * * * * {due}"));
    settle(&host).await;
    assert_eq!(seen.all(), [] as [&str; 0]);
    host.advance(3 * MINUTE);
    assert_eq!(seen.next().await, format!("*/5 * * * * {}", due + 300));
}

/// With a second expression that has seconds, and one of a time zone.
#[tokio::test]
async fn each_cron_has_its_own_times() {
    let (host, mut seen, gate) = site(|builder| {
        let builder = builder.cron("tell", "30 * * * * *").cron("count", "0 * * * *");
        builder.cron_in("wait", "45 * * * *", "Europe/Berlin")
    })
    .await;
    gate.add_permits(2);
    host.advance(until_next(&host, 60 * MINUTE));
    while seen.next().await != "1 of 7" {}
    settle(&host).await;
    seen.all();
    let hour = seconds(host.now());

    host.advance(Duration::from_secs(30));
    assert_eq!(seen.next().await, format!("30 * * * * * {}", hour + 30));
    host.advance(Duration::from_secs(44 * 60 + 30));
    let mut reports = Vec::new();
    for _ in 0..4 {
        reports.push(seen.next().await);
    }
    reports.sort();
    let told = format!("30 * * * * * {}", hour + 44 * 60 + 30);
    assert_eq!(reports, [told, format!("begun {}", hour + 45 * 60), "ended".to_owned(), "waited".to_owned()]);
}

#[tokio::test]
async fn a_cron_that_still_runs_is_not_started_again_and_others_are() {
    let (host, mut seen, gate) =
        site(|builder| builder.cron("wait", "* * * * *").cron("count", "* * * * *")).await;
    host.advance(until_next(&host, MINUTE));
    let begun = format!("begun {}", seconds(host.now()));
    let mut first = [seen.next().await, seen.next().await];
    first.sort();
    assert_eq!(first, ["1 of 7".to_owned(), begun]);
    // Far longer than a hook of a room may take.
    for count in 2..5 {
        host.advance(MINUTE);
        assert_eq!(seen.next().await, format!("{count} of 7"));
        settle(&host).await;
        assert_eq!(seen.all(), [] as [&str; 0]);
    }
    gate.add_permits(1);
    assert_eq!([seen.next().await, seen.next().await], ["waited", "ended"]);
    settle(&host).await;
    host.advance(MINUTE);
    let mut again = [seen.next().await, seen.next().await];
    again.sort();
    assert_eq!(again, ["5 of 7".to_owned(), format!("begun {}", seconds(host.now()))]);
}

#[tokio::test]
async fn an_on_cron_that_fails_or_panics_harms_nobody_and_is_called_again() {
    let (host, mut seen, _) = site(|builder| {
        ["fail", "panic", "panic-at-once", "unknown", "count"]
            .into_iter()
            .fold(builder, |builder, name| builder.cron(name, "* * * * *"))
    })
    .await;
    for count in 1..3 {
        host.advance(until_next(&host, MINUTE));
        assert_eq!(seen.next().await, format!("{count} of 7"));
        settle(&host).await;
    }
    host.join("a").await.hears_nothing().await;
}

#[tokio::test]
async fn a_shutdown_waits_for_the_crons_that_run_and_starts_no_more() {
    let (mut host, mut seen, gate) =
        site(|builder| builder.cron("wait", "* * * * *").cron("tell", "*/2 * * * * *")).await;
    let mut idle = host.join("idle").await;
    host.advance(until_next(&host, MINUTE));
    let mut begun = [seen.next().await, seen.next().await];
    begun.sort();
    assert_eq!(begun[1], format!("begun {}", seconds(host.now())));
    host.begin_stop();
    assert_eq!(idle.closed().await.0, 1012);
    drop(idle);
    host.advance(Duration::from_secs(5));
    host.until(|host| host.rooms_count() == 0).await;
    assert_eq!(seen.all(), [] as [&str; 0]);
    gate.add_permits(1);
    host.stop().await;
    assert_eq!(seen.all(), ["waited", "ended"]);
}

#[tokio::test]
async fn a_cron_that_runs_when_the_grace_is_over_is_dropped() {
    let (mut host, mut seen, _gate) = site(|builder| builder.cron("wait", "* * * * *")).await;
    let mut idle = host.join("idle").await;
    host.advance(until_next(&host, MINUTE));
    assert_eq!(seen.next().await, format!("begun {}", seconds(host.now())));
    host.begin_stop();
    assert_eq!(idle.closed().await.0, 1012);
    host.advance(Duration::from_secs(10));
    host.stop().await;
    assert_eq!(seen.next().await, "ended");
}

#[test]
fn what_makes_no_sense_is_refused_by_the_name_of_the_cron() {
    struct Empty;
    impl LobbyServer for Empty {}
    let refused = |builder: Builder| builder.build().expect_err("a refusal").to_string();
    let host = || Host::builder().party::<Tally>("main").lobby(Empty);
    for (builder, error) in [
        (
            Host::builder().party::<Tally>("main").cron("sweep", "* * * * *"),
            "cron `sweep` has nothing to call; give the host a lobby with `.lobby(Site)`",
        ),
        (
            host().cron("sweep", "* * * * *").cron("sweep", "0 * * * *"),
            "two crons are called `sweep`; give one of them another name",
        ),
        (
            host().cron("sweep", "*/5 * * *"),
            "cron `sweep` has no cron expression but \"*/5 * * *\" (Invalid pattern: Pattern must have 5 or 6 fields when years are disallowed); write minute, hour, day of month, month and day of week, such as \"*/5 * * * *\", and seconds before them if you like",
        ),
        (host().cron("sweep", "0 0 31 2 *"), "cron `sweep` is never due, as no day is one of \"0 0 31 2 *\""),
        (
            host().cron_in("sweep", "* * * * *", "Mars/Olympus"),
            "cron `sweep` is to be in the time zone \"Mars/Olympus\", but the time zones of this system (package tzdata) have none of that name; write one such as \"Europe/Berlin\"",
        ),
    ] {
        assert_eq!(refused(builder), error);
    }
}
