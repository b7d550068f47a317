//! Alarms: moments at which a room wants to be called, whether it is in memory then or not.
//!
//! An alarm is stored with the room's values and changes in the same commits. It ends with
//! the commit of the hook that it called; so a crash calls it again, and never loses it.
//! Times are kept as milliseconds since 1970, rounded up, so that no alarm is early.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::storage::StoredAlarm;

/// How often an alarm is called again after its hook has failed.
const RETRIES_MAX: u32 = 6;

/// Time from the first failure to the first retry; it doubles with each.
const RETRY_AFTER: Duration = Duration::from_secs(2);

/// An alarm that goes off, as [`PartyServer::on_alarm`](crate::PartyServer::on_alarm) sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alarm {
    /// Its name; `None` for the one that [`Storage::set_alarm`](crate::storage::Storage::set_alarm) sets.
    pub name: Option<String>,
    /// The time that it was set to; the same in every retry. A time in the past stays as it was given.
    pub scheduled: SystemTime,
    /// How many times its hook has failed already: 0 at first, at most 6.
    pub retry: u32,
}

/// When an alarm is to go off: a [`SystemTime`], or a [`Duration`] counted from
/// [`Room::now`](crate::Room::now).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// At this time.
    At(SystemTime),
    /// When this time has passed; zero is at once.
    After(Duration),
}

/// What became of an alarm whose hook failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlarmFailed {
    /// It is called again.
    Again {
        /// Time until then.
        after: Duration,
    },
    /// That was the last time.
    Dropped,
    /// The hook had set or deleted it itself and synced that: this stays.
    Replaced,
}

/// The alarms of one room, found by name and by time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Alarms {
    by_name: BTreeMap<String, StoredAlarm>,
    by_due: BTreeSet<(u64, String)>,
}

impl From<SystemTime> for When {
    fn from(time: SystemTime) -> Self {
        Self::At(time)
    }
}

impl From<Duration> for When {
    fn from(time: Duration) -> Self {
        Self::After(time)
    }
}

impl When {
    /// Milliseconds since 1970, rounded up; `None` where that is not after 1970.
    pub(crate) fn unix_ms(self, now: SystemTime) -> Option<u64> {
        match self {
            Self::At(time) => Some(unix_ms(time)).filter(|ms| *ms > 0),
            Self::After(time) => Some(later_ms(now, time)),
        }
    }
}

impl Alarm {
    pub(crate) fn of(stored: &StoredAlarm) -> Self {
        let name = Some(stored.name.clone()).filter(|name| !name.is_empty());
        Self { name, scheduled: time_of(stored.scheduled_ms), retry: stored.retry }
    }
}

impl StoredAlarm {
    /// This alarm after its hook has failed once more; `None` if that was the last time.
    pub(crate) fn after_failure(&self, now: SystemTime) -> Option<(Self, Duration)> {
        if self.retry >= RETRIES_MAX {
            return None;
        }
        let after = RETRY_AFTER * (1 << self.retry);
        let again = Self { due_ms: later_ms(now, after), retry: self.retry + 1, ..self.clone() };
        Some((again, after))
    }
}

impl Alarms {
    pub(crate) fn get(&self, name: &str) -> Option<&StoredAlarm> {
        self.by_name.get(name)
    }

    /// All of them, in the order of the bytes of their names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &StoredAlarm> {
        self.by_name.values()
    }

    /// The one that is due first.
    pub(crate) fn first(&self) -> Option<&StoredAlarm> {
        self.by_due.first().and_then(|(_, name)| self.by_name.get(name))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Sets the alarm `name`, or deletes it; returns what was there.
    pub(crate) fn change(&mut self, name: &str, alarm: Option<&StoredAlarm>) -> Option<StoredAlarm> {
        let before = match alarm {
            Some(alarm) => self.by_name.insert(name.to_owned(), alarm.clone()),
            None => self.by_name.remove(name),
        };
        if let Some(before) = &before {
            self.by_due.remove(&(before.due_ms, name.to_owned()));
        }
        if let Some(alarm) = alarm {
            self.by_due.insert((alarm.due_ms, name.to_owned()));
        }
        before
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl FromIterator<StoredAlarm> for Alarms {
    fn from_iter<T: IntoIterator<Item = StoredAlarm>>(stored: T) -> Self {
        let mut alarms = Self::default();
        for alarm in stored {
            let name = alarm.name.clone();
            alarms.change(&name, Some(&alarm));
        }
        alarms
    }
}

/// Whole milliseconds that have passed since 1970: what is due by then is due at `now`.
pub(crate) fn past_ms(now: SystemTime) -> u64 {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970, rounded up; 0 for what is not after 1970.
fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let ms = since.as_nanos().div_ceil(1_000_000);
    u64::try_from(ms).unwrap_or(u64::MAX)
}

/// The other way round.
pub(crate) fn time_of(ms: u64) -> SystemTime {
    // A clock that cannot tell so late a time has none for it either.
    UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH)
}

fn later_ms(now: SystemTime, time: Duration) -> u64 {
    now.checked_add(time).map_or(u64::MAX, unix_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_up_so_that_no_alarm_is_early() {
        let time = UNIX_EPOCH + Duration::from_nanos(1_000_001);
        assert_eq!(When::At(time).unix_ms(UNIX_EPOCH), Some(2));
        assert_eq!(When::At(UNIX_EPOCH + Duration::from_millis(7)).unix_ms(UNIX_EPOCH), Some(7));
        assert_eq!(When::After(Duration::from_nanos(1)).unix_ms(UNIX_EPOCH), Some(1));
        assert_eq!(When::After(Duration::MAX).unix_ms(UNIX_EPOCH), Some(u64::MAX));
    }

    #[test]
    fn a_time_that_is_not_after_1970_is_none() {
        assert_eq!(When::At(UNIX_EPOCH).unix_ms(UNIX_EPOCH), None);
        assert_eq!(When::At(UNIX_EPOCH - Duration::from_secs(1)).unix_ms(UNIX_EPOCH), None);
        assert_eq!(When::At(UNIX_EPOCH + Duration::from_nanos(1)).unix_ms(UNIX_EPOCH), Some(1));
    }

    #[test]
    fn an_alarm_is_retried_six_times_after_times_that_double() {
        let mut alarm = StoredAlarm::new(String::new(), 5, 5, 0);
        let mut gaps = Vec::new();
        while let Some((again, after)) = alarm.after_failure(UNIX_EPOCH) {
            assert_eq!((again.scheduled_ms, again.retry), (5, alarm.retry + 1));
            gaps.push(after.as_secs());
            alarm = again;
        }
        assert_eq!(gaps, [2, 4, 8, 16, 32, 64]);
    }

    #[test]
    fn the_first_to_go_off_is_found_whatever_changes() {
        let alarm = |name: &str, due| StoredAlarm::new(name.to_owned(), due, due, 0);
        let mut alarms: Alarms = [alarm("", 30), alarm("a", 10), alarm("b", 20)].into_iter().collect();
        assert_eq!(alarms.first(), Some(&alarm("a", 10)));
        alarms.change("a", Some(&alarm("a", 40)));
        assert_eq!(alarms.first(), Some(&alarm("b", 20)));
        assert_eq!(alarms.change("b", None), Some(alarm("b", 20)));
        assert_eq!(alarms.first(), Some(&alarm("", 30)));
    }
}
