//! Calls `on_cron` when its time has come: one timer for all crons of a host.
//!
//! The difficulty is the clock on the wall, which may be set while the host sleeps. So it is
//! looked at once a minute at least. Set forward, or after a sleep of the machine, what was
//! missed is due once, and not as often as it was missed. Set back by less than an hour, what
//! was called is not due again when the clock shows its time again; set back by more, the clock
//! has been wrong before, and what it shows now counts.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use croner::parser::{CronParser, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use partyrs::Cron;
use tokio::sync::Semaphore;

use crate::state::State;

/// After this time the clock is looked at again.
const LOOK_AGAIN_MS: u64 = 60_000;

/// A clock that is set back further than this was wrong before.
const SET_BACK_MS: u64 = 60 * 60 * 1000;

/// A cron as the program gave it; `build` looks at it.
#[derive(Clone, Debug)]
pub(crate) struct CronSetting {
    pub(crate) name: String,
    pub(crate) expression: String,
    /// `None` is UTC.
    pub(crate) zone: Option<String>,
}

/// A cron that can be run.
#[derive(Debug)]
pub(crate) struct Job {
    name: String,
    expression: String,
    schedule: croner::Cron,
    zone: TimeZone,
    /// One place: a cron that still runs is not started again.
    pub(crate) place: Arc<Semaphore>,
}

/// Why a cron is refused when the host is built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CronError {
    /// Two crons have one name.
    #[error("two crons are called `{0}`; give one of them another name")]
    Twice(String),
    /// There is no `on_cron` to be called.
    #[error("cron `{0}` has nothing to call; give the host a lobby with `.lobby(Site)`")]
    NoLobby(String),
    /// The expression is none.
    #[error(
        "cron `{name}` has no cron expression but {expression:?} ({wrong}); write minute, hour, day of month, month and day of week, such as \"*/5 * * * *\", and seconds before them if you like"
    )]
    Expression {
        /// The cron's name.
        name: String,
        /// What was given.
        expression: String,
        /// What is wrong with it.
        wrong: String,
    },
    /// No day is such a day.
    #[error("cron `{name}` is never due, as no day is one of {expression:?}")]
    Never {
        /// The cron's name.
        name: String,
        /// What was given.
        expression: String,
    },
    /// This machine does not know the time zone.
    #[error(
        "cron `{name}` is to be in the time zone {zone:?}, but the time zones of this system (package tzdata) have none of that name; write one such as \"Europe/Berlin\""
    )]
    Zone {
        /// The cron's name.
        name: String,
        /// What was given.
        zone: String,
    },
}

/// When which cron is due next; all times are milliseconds since 1970.
struct Timetable<'a> {
    rows: Vec<Row<'a>>,
    /// The latest time that the clock has shown.
    seen_ms: u64,
}

struct Row<'a> {
    job: &'a Arc<Job>,
    next_ms: Option<u64>,
}

/// Reads the crons of a program.
pub(crate) fn read(settings: &[CronSetting], has_lobby: bool) -> Result<Vec<Arc<Job>>, CronError> {
    let mut names = HashSet::new();
    let mut jobs = Vec::new();
    for setting in settings {
        if !has_lobby {
            return Err(CronError::NoLobby(setting.name.clone()));
        }
        if !names.insert(&setting.name) {
            return Err(CronError::Twice(setting.name.clone()));
        }
        jobs.push(Arc::new(Job::read(setting)?));
    }
    Ok(jobs)
}

/// Starts crons as long as the host serves; never ends.
///
/// # Cancel safety
///
/// Dropping the future starts no more of them. Those that run go on.
pub(crate) async fn run_crons(host: &Arc<State>) {
    let Some(lobby) = host.lobby.as_ref().filter(|lobby| !lobby.jobs().is_empty()) else {
        return std::future::pending().await;
    };
    let mut timetable = Timetable::new(lobby.jobs(), host.clock.wall_ms());
    loop {
        let now_ms = host.clock.wall_ms();
        for (job, scheduled_ms) in timetable.due(now_ms) {
            lobby.run_cron(host, job, scheduled_ms);
        }
        host.clock.sleep_until_wall(timetable.next_ms(now_ms)).await;
    }
}

impl Job {
    fn read(setting: &CronSetting) -> Result<Self, CronError> {
        let CronSetting { name, expression, zone } = setting.clone();
        let schedule = match parse(&expression) {
            Ok(schedule) => schedule,
            Err(wrong) => return Err(CronError::Expression { name, expression, wrong }),
        };
        let time_zone = match &zone {
            None => TimeZone::UTC,
            Some(zone) => {
                let unknown = |_| CronError::Zone { name: name.clone(), zone: zone.clone() };
                TimeZone::get(zone).map_err(unknown)?
            }
        };
        let place = Arc::new(Semaphore::new(1));
        let job = Self { name, expression, schedule, zone: time_zone, place };
        if job.after(0).is_none() {
            return Err(CronError::Never { name: job.name, expression: job.expression });
        }
        Ok(job)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What the hook is told.
    pub(crate) fn cron(&self, scheduled_ms: u64) -> Cron {
        let scheduled = UNIX_EPOCH + Duration::from_millis(scheduled_ms);
        Cron::new(&*self.name, &*self.expression, scheduled)
    }

    /// The first time after this one.
    fn after(&self, ms: u64) -> Option<u64> {
        since_1970(&self.schedule.find_next_occurrence(&self.at(ms)?, false).ok()?)
    }

    /// The last time that is not after this one.
    fn last(&self, ms: u64) -> Option<u64> {
        since_1970(&self.schedule.find_previous_occurrence(&self.at(ms)?, true).ok()?)
    }

    fn at(&self, ms: u64) -> Option<Zoned> {
        let timestamp = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
        Some(timestamp.to_zoned(self.zone.clone()))
    }
}

impl<'a> Timetable<'a> {
    fn new(jobs: &'a [Arc<Job>], now_ms: u64) -> Self {
        let row = |job: &'a Arc<Job>| Row { job, next_ms: job.after(now_ms) };
        Self { rows: jobs.iter().map(row).collect(), seen_ms: now_ms }
    }

    /// The crons that are due, each with the time that it was due, the last one if there were several.
    fn due(&mut self, now_ms: u64) -> Vec<(&'a Arc<Job>, u64)> {
        if now_ms.saturating_add(SET_BACK_MS) < self.seen_ms {
            tracing::warn!("the clock was set back, crons are due by the new time");
            self.rows.iter_mut().for_each(|row| row.next_ms = row.job.after(now_ms));
            self.seen_ms = now_ms;
        }
        self.seen_ms = self.seen_ms.max(now_ms);
        self.rows.iter_mut().filter_map(|row| Some((row.job, row.due(now_ms)?))).collect()
    }

    /// When to look again.
    fn next_ms(&self, now_ms: u64) -> u64 {
        let next_ms = self.rows.iter().filter_map(|row| row.next_ms).min();
        next_ms.unwrap_or(u64::MAX).min(now_ms.saturating_add(LOOK_AGAIN_MS))
    }
}

impl Row<'_> {
    fn due(&mut self, now_ms: u64) -> Option<u64> {
        let due_ms = self.next_ms.filter(|next_ms| *next_ms <= now_ms)?;
        self.next_ms = self.job.after(now_ms);
        Some(self.job.last(now_ms).unwrap_or(due_ms).max(due_ms))
    }
}

/// # Errors
///
/// What is wrong.
fn parse(expression: &str) -> Result<croner::Cron, String> {
    // The library takes an empty place for no value at all, and then looks for one for minutes.
    if expression.split_whitespace().flat_map(|field| field.split(',')).any(str::is_empty) {
        return Err("a list has an empty place".to_owned());
    }
    let parser = CronParser::builder().year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| error.to_string().trim_end_matches('.').to_owned())
}

fn since_1970(time: &Zoned) -> Option<u64> {
    u64::try_from(time.timestamp().as_millisecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    fn setting(expression: &str, zone: Option<&str>) -> CronSetting {
        let (name, zone) = ("sweep".to_owned(), zone.map(str::to_owned));
        CronSetting { name, expression: expression.to_owned(), zone }
    }

    fn job(expression: &str) -> Arc<Job> {
        Arc::new(Job::read(&setting(expression, None)).unwrap())
    }

    fn ms(time: &str) -> u64 {
        time.parse::<Timestamp>().unwrap().as_millisecond().try_into().unwrap()
    }

    fn due(timetable: &mut Timetable<'_>, now_ms: u64) -> Vec<u64> {
        timetable.due(now_ms).into_iter().map(|(_, scheduled_ms)| scheduled_ms).collect()
    }

    #[test]
    fn an_expression_is_due_when_people_think_it_is() {
        // A Sunday.
        let now_ms = ms("2026-02-01T12:07:30.5Z");
        for (expression, next, last) in [
            ("* * * * *", "2026-02-01T12:08:00Z", "2026-02-01T12:07:00Z"),
            ("*/5 * * * *", "2026-02-01T12:10:00Z", "2026-02-01T12:05:00Z"),
            ("*/10 * * * * *", "2026-02-01T12:07:40Z", "2026-02-01T12:07:30Z"),
            ("0 9-17 * * mon-fri", "2026-02-02T09:00:00Z", "2026-01-30T17:00:00Z"),
            ("0 0 1,15 * *", "2026-02-15T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("0 0 13 * 5", "2026-02-06T00:00:00Z", "2026-01-30T00:00:00Z"),
            ("0 0 * * 5#2", "2026-02-13T00:00:00Z", "2026-01-09T00:00:00Z"),
            ("0 0 * * 7", "2026-02-08T00:00:00Z", "2026-02-01T00:00:00Z"),
            ("0 0 L * *", "2026-02-28T00:00:00Z", "2026-01-31T00:00:00Z"),
            ("0 0 29 feb *", "2028-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("@hourly", "2026-02-01T13:00:00Z", "2026-02-01T12:00:00Z"),
            (" 0  0 * * * ", "2026-02-02T00:00:00Z", "2026-02-01T00:00:00Z"),
        ] {
            let job = job(expression);
            assert_eq!(job.after(now_ms), Some(ms(next)), "{expression}");
            assert_eq!(job.last(now_ms), Some(ms(last)), "{expression}");
            assert_eq!(job.last(ms(next)), Some(ms(next)), "{expression}");
            assert!(job.after(ms(next)) > Some(ms(next)), "{expression}");
        }
    }

    #[test]
    fn what_is_no_expression_is_refused_by_name_and_never_panics() {
        for expression in [
            "",
            " ",
            "*",
            "* * * *",
            "* * * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * 32 * *",
            "* * * 13 * ",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "*/ * * * *",
            "*/-1 * * * *",
            "- * * * *",
            "1- * * * *",
            ", * * * *",
            "1,,2 * * * *",
            "* * * * mon,",
            "x * * * *",
            "@never",
            "@",
            "* * * * #",
            "* * * * 1#",
            "* * * * 1#9",
            "W * * * *",
            "* * W * *",
            "99999999999999999999 * * * *",
            "\u{df} * * * *",
            "* * * * \u{130}",
            "\0 * * * *",
            "é é é é é",
            "* * * * * é",
            "0 0 30 feb",
        ] {
            let error = Job::read(&setting(expression, None)).expect_err(expression);
            assert!(matches!(error, CronError::Expression { .. }), "{expression:?}: {error}");
            assert!(error.to_string().starts_with("cron `sweep` has no cron expression but"), "{error}");
        }
        for expression in ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * * * +"] {
            let error = Job::read(&setting(expression, None)).expect_err(expression).to_string();
            assert_eq!(error, format!("cron `sweep` is never due, as no day is one of {expression:?}"));
        }
    }

    #[test]
    fn what_was_missed_is_due_once_with_the_last_time() {
        let (job, start_ms) = (job("*/5 * * * *"), ms("2026-02-01T12:00:00Z"));
        let jobs = [job];
        let mut timetable = Timetable::new(&jobs, start_ms);
        assert_eq!(due(&mut timetable, start_ms), [] as [u64; 0], "the start itself is no time to come");
        assert_eq!(timetable.next_ms(start_ms), start_ms + MINUTE, "the clock is looked at meanwhile");
        assert_eq!(due(&mut timetable, start_ms + 5 * MINUTE - 1), [] as [u64; 0]);
        assert_eq!(due(&mut timetable, start_ms + 5 * MINUTE), [start_ms + 5 * MINUTE]);
        assert_eq!(due(&mut timetable, start_ms + 5 * MINUTE), [] as [u64; 0]);
        assert_eq!(timetable.next_ms(start_ms + 9 * MINUTE + 1), start_ms + 10 * MINUTE);
        // The machine has slept.
        assert_eq!(due(&mut timetable, start_ms + 72 * HOUR + 7), [start_ms + 72 * HOUR]);
        assert_eq!(due(&mut timetable, start_ms + 72 * HOUR + 8), [] as [u64; 0]);
    }

    #[test]
    fn a_clock_that_is_set_back_calls_nothing_twice_unless_it_was_wrong_before() {
        let (job, start_ms) = (job("0 * * * *"), ms("2026-02-01T12:00:00Z"));
        let jobs = [job];
        let mut timetable = Timetable::new(&jobs, start_ms);
        assert_eq!(due(&mut timetable, start_ms + HOUR), [start_ms + HOUR]);
        assert_eq!(due(&mut timetable, start_ms + 1), [] as [u64; 0]);
        assert_eq!(due(&mut timetable, start_ms + HOUR), [] as [u64; 0]);
        assert_eq!(due(&mut timetable, start_ms + 2 * HOUR), [start_ms + 2 * HOUR]);
        // From the year 2026 to 1970, as a clock without a battery.
        assert_eq!(due(&mut timetable, 1), [] as [u64; 0]);
        assert_eq!(due(&mut timetable, HOUR), [HOUR]);
        assert_eq!(due(&mut timetable, start_ms + HOUR), [start_ms + HOUR]);
    }

    #[test]
    fn a_time_zone_is_that_of_its_clock_also_when_that_is_changed() {
        let at = |expression: &str, from: &str, count: usize| {
            let job = Job::read(&setting(expression, Some("Europe/Berlin"))).unwrap();
            let mut now_ms = ms(from);
            let next = std::iter::from_fn(|| {
                now_ms = job.after(now_ms)?;
                Some(Timestamp::from_millisecond(now_ms.try_into().unwrap()).unwrap().to_string())
            });
            next.take(count).collect::<Vec<_>>()
        };
        let days = at("0 8 * * *", "2026-03-27T12:00:00Z", 2);
        assert_eq!(days, ["2026-03-28T07:00:00Z", "2026-03-29T06:00:00Z"]);
        // 2:30 is left out on 29 March, and there twice on 25 October.
        let days = at("30 2 * * *", "2026-03-28T12:00:00Z", 2);
        assert_eq!(days, ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]);
        let days = at("30 2 * * *", "2026-10-24T12:00:00Z", 2);
        assert_eq!(days, ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]);
        let hours = at("30 * * * *", "2026-10-25T00:00:00Z", 3);
        assert_eq!(hours, ["2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z"]);

        let error = Job::read(&setting("* * * * *", Some("Mars/Olympus"))).unwrap_err().to_string();
        assert!(error.starts_with("cron `sweep` is to be in the time zone \"Mars/Olympus\", but"), "{error}");
    }
}
