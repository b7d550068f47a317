//! Wakes rooms when an alarm of theirs is due: one waker for the whole host.
//!
//! Alarms lie in the engine, in the order of their times. The waker reads those that are due,
//! sends each of their rooms one event, and sleeps until the next; a room that is open calls
//! its hooks from its own list. So a pending alarm costs neither memory nor a timer.
//!
//! The difficulty is that both sides move at once: while the waker reads, rooms set alarms and
//! end them. It therefore reads each place in the order once, and what is set to a time
//! that it has passed already is told to it by the room, when the commit has landed. A room that was
//! woken says when its next alarm is due; one that could not be woken is tried again later.
//! Once a minute the waker begins at the first place again, so whatever was missed is late
//! and not lost.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use partyrs::storage::DueAlarm;
use partyrs::{PartyName, RoomAddress};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::event::RoomEvent;
use crate::state::State;

/// Alarms read at once, and how often in a row before rooms are woken.
const PAGE: usize = 256;
const PAGES_IN_A_ROW: usize = 4;

/// Rooms that are woken and have not answered; others wait for one of them.
const WOKEN_MAX: usize = 1024;

/// After this time the engine is asked again, from the first alarm on.
const LOOK_AGAIN_MS: u64 = 60_000;

/// Time until a room that could not be woken is tried again; it doubles with each failure.
const TRY_AGAIN_MS: u64 = 2_000;
const TRY_AGAIN_DOUBLINGS_MAX: u32 = 5;

/// What the waker and the rooms tell each other.
#[derive(Debug)]
pub(crate) struct Alarms {
    clock: Clock,
    wakes: Mutex<Wakes>,
    /// Something has changed that the waker may want to know.
    changed: Notify,
}

/// All times are milliseconds since 1970.
#[derive(Debug, Default)]
struct Wakes {
    /// Rooms that the waker has to do with.
    rooms: HashMap<RoomAddress, Wake>,
    /// Those of them that wait to be woken, by time.
    waiting: BTreeSet<(u64, RoomAddress)>,
    /// Those of them that are woken.
    woken_count: usize,
    /// Up to which time the engine has been read, or is being read.
    read_until_ms: u64,
    /// When the engine is to be read again.
    read_at_ms: u64,
    /// Alarms are due that have not been read: they are when rooms have been woken.
    more_are_due: bool,
}

#[derive(Debug)]
struct Wake {
    at: At,
    failures_count: u32,
}

#[derive(Debug)]
enum At {
    /// It waits until then.
    Waiting(u64),
    /// It is woken; when its next alarm is due, as far as it has said so.
    Woken(Option<u64>),
}

/// A room that has been woken. However this ends, the waker learns of it.
pub(crate) struct Woken {
    alarms: Arc<Alarms>,
    room: RoomAddress,
    /// Whether what was due has been called, and is on disk.
    done: bool,
}

/// What the waker keeps to itself.
#[derive(Debug, Default)]
struct Reader {
    /// The last alarm that was read.
    position: Option<DueAlarm>,
    /// When to begin at the first alarm again.
    again_at_ms: u64,
    /// Parties that have alarms and that this host does not serve.
    unserved: HashSet<PartyName>,
}

impl Alarms {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, wakes: Mutex::default(), changed: Notify::new() }
    }

    /// A commit with alarms has landed; the room's first one is due at `next_ms`.
    pub(crate) fn noted(&self, room: &RoomAddress, next_ms: Option<u64>) {
        self.wakes().note(room, next_ms);
        self.changed.notify_one();
    }

    fn wakes(&self) -> MutexGuard<'_, Wakes> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.wakes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rooms whose time has come, as many as may be woken.
    fn wake_due(self: &Arc<Self>, now_ms: u64) -> Vec<Woken> {
        let mut wakes = self.wakes();
        let mut woken = Vec::new();
        while wakes.woken_count < WOKEN_MAX
            && wakes.waiting.first().is_some_and(|(at, _)| *at <= now_ms)
            && let Some((_, room)) = wakes.waiting.pop_first()
        {
            wakes.woken_count += 1;
            let wake = wakes.rooms.entry(room.clone()).or_insert_with(|| Wake::waiting(now_ms));
            wake.at = At::Woken(None);
            woken.push(Woken { alarms: Arc::clone(self), room, done: false });
        }
        woken
    }
}

impl Wakes {
    fn note(&mut self, room: &RoomAddress, next_ms: Option<u64>) {
        if let Some(Wake { at: At::Woken(next), .. }) = self.rooms.get_mut(room) {
            // It is looked at when the room has answered.
            *next = next_ms;
            return;
        }
        self.plan(room, next_ms, 0);
    }

    /// Wakes a room at this time: from memory if the engine has been read so far, else when
    /// the engine says so.
    fn plan(&mut self, room: &RoomAddress, at_ms: Option<u64>, failures_count: u32) {
        if let Some(Wake { at: At::Waiting(at), .. }) = self.rooms.remove(room) {
            self.waiting.remove(&(at, room.clone()));
        }
        let Some(at_ms) = at_ms else { return };
        if at_ms <= self.read_until_ms || failures_count > 0 {
            self.waiting.insert((at_ms, room.clone()));
            self.rooms.insert(room.clone(), Wake { at: At::Waiting(at_ms), failures_count });
        } else {
            self.read_at_ms = self.read_at_ms.min(at_ms);
        }
    }

    /// A room that has been woken has answered, or never will.
    fn answered(&mut self, room: &RoomAddress, done: bool, now_ms: u64) {
        let Some(Wake { at: At::Woken(next_ms), failures_count }) = self.rooms.remove(room) else { return };
        self.woken_count -= 1;
        if done {
            self.plan(room, next_ms, 0);
        } else {
            let wait_ms = TRY_AGAIN_MS << failures_count.min(TRY_AGAIN_DOUBLINGS_MAX);
            self.plan(room, Some(now_ms.saturating_add(wait_ms)), failures_count + 1);
        }
    }

    /// Whether the engine is to be read now.
    fn is_to_be_read(&self, now_ms: u64) -> bool {
        if !self.more_are_due {
            return self.read_at_ms <= now_ms;
        }
        let is_ready = self.waiting.first().is_some_and(|(at, _)| *at <= now_ms);
        !is_ready && self.woken_count <= WOKEN_MAX / 2
    }

    /// Until when there is nothing to do, unless `changed` tells.
    fn next_ms(&self, now_ms: u64) -> u64 {
        if self.is_to_be_read(now_ms) {
            return now_ms;
        }
        let read_at_ms = if self.more_are_due { u64::MAX } else { self.read_at_ms };
        let waiting = self.waiting.first().filter(|_| self.woken_count < WOKEN_MAX);
        // A clock that is set meanwhile is noticed when this is over.
        waiting.map_or(read_at_ms, |(at, _)| read_at_ms.min(*at)).min(now_ms.saturating_add(LOOK_AGAIN_MS))
    }
}

impl Wake {
    fn waiting(at_ms: u64) -> Self {
        Self { at: At::Waiting(at_ms), failures_count: 0 }
    }
}

impl Woken {
    /// The room has called what was due; its next alarm is due at `next_ms`.
    pub(crate) fn called(&self, next_ms: Option<u64>) {
        self.alarms.wakes().note(&self.room, next_ms);
    }

    /// What was called is on disk.
    pub(crate) fn done(mut self) {
        self.done = true;
    }
}

impl Drop for Woken {
    fn drop(&mut self) {
        let now_ms = self.alarms.clock.wall_ms();
        self.alarms.wakes().answered(&self.room, self.done, now_ms);
        self.alarms.changed.notify_one();
    }
}

/// Wakes rooms as long as the host serves; never ends.
///
/// # Cancel safety
///
/// Dropping the future ends the waking. No alarm is lost: they stay in the engine.
pub(crate) async fn wake_rooms(host: &Arc<State>) {
    let alarms = &host.alarms;
    let mut reader = Reader::default();
    let mut on_their_way = FuturesUnordered::new();
    loop {
        let now_ms = host.clock.wall_ms();
        let is_to_be_read = alarms.wakes().is_to_be_read(now_ms);
        if is_to_be_read {
            reader.read(host, now_ms).await;
        }
        on_their_way.extend(alarms.wake_due(now_ms).into_iter().map(|woken| deliver(host, woken)));
        let next_ms = alarms.wakes().next_ms(now_ms);
        tokio::select! {
            () = alarms.changed.notified() => {}
            Some(()) = on_their_way.next(), if !on_their_way.is_empty() => {}
            () = host.clock.sleep_until_wall(next_ms) => {}
        }
    }
}

impl Reader {
    /// Reads which alarms are due, and goes on where it stopped before.
    async fn read(&mut self, host: &Arc<State>, now_ms: u64) {
        let alarms = &host.alarms;
        {
            let mut wakes = alarms.wakes();
            if !wakes.more_are_due && self.again_at_ms <= now_ms {
                self.position = None;
                self.again_at_ms = now_ms.saturating_add(LOOK_AGAIN_MS);
            }
            // From here on, what is set to an earlier time is told by its room: this reading may miss it.
            wakes.read_until_ms = wakes.read_until_ms.max(now_ms);
            wakes.read_at_ms = self.again_at_ms;
            wakes.more_are_due = false;
        }
        for _ in 0..PAGES_IN_A_ROW {
            let found = match host.engine.alarms_due(self.position.as_ref(), now_ms, PAGE).await {
                Ok(found) => found,
                Err(error) => {
                    tracing::error!(%error, "alarms cannot be read, trying again");
                    alarms.wakes().read_at_ms = now_ms.saturating_add(TRY_AGAIN_MS);
                    return;
                }
            };
            let is_last = found.alarms.len() < PAGE;
            for alarm in &found.alarms {
                self.plan(host, alarm);
            }
            self.position = found.alarms.into_iter().next_back().or(self.position.take());
            if is_last {
                let mut wakes = alarms.wakes();
                wakes.read_at_ms = found.next_ms.map_or(wakes.read_at_ms, |next| wakes.read_at_ms.min(next));
                return;
            }
        }
        alarms.wakes().more_are_due = true;
    }

    fn plan(&mut self, host: &State, alarm: &DueAlarm) {
        let DueAlarm { room, due_ms, .. } = alarm;
        if host.party(&room.party).is_none() {
            if self.unserved.insert(room.party.clone()) {
                tracing::warn!(%room, "a room has an alarm, but its party is not registered");
            }
            return;
        }
        let mut wakes = host.alarms.wakes();
        if !wakes.rooms.contains_key(room) {
            wakes.waiting.insert((*due_ms, room.clone()));
            wakes.rooms.insert(room.clone(), Wake::waiting(*due_ms));
        }
    }
}

/// Brings the event to the room, opening it.
async fn deliver(host: &Arc<State>, woken: Woken) {
    let room = woken.room.clone();
    let Some(party) = host.party(&room.party) else { return };
    let event = RoomEvent::Alarm(woken);
    if let Err((_, refusal)) = host.registry.deliver(host, party, &room, event).await {
        tracing::warn!(%room, ?refusal, "room cannot be woken for its alarm, trying again");
    }
}

impl fmt::Debug for Woken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Woken({})", self.room)
    }
}

#[cfg(test)]
mod tests {
    use partyrs::RoomId;

    use super::*;

    fn room(id: &str) -> RoomAddress {
        RoomAddress::new(PartyName::new("main").unwrap(), RoomId::new(id).unwrap())
    }

    fn times(woken: &[Woken]) -> Vec<&str> {
        woken.iter().map(|woken| woken.room.room.as_str()).collect()
    }

    /// Alarms up to this time have been read.
    fn read_until(ms: u64) -> Arc<Alarms> {
        let alarms = Arc::new(Alarms::new(Clock::manual()));
        alarms.wakes().read_until_ms = ms;
        alarms.wakes().read_at_ms = ms + LOOK_AGAIN_MS;
        alarms
    }

    #[test]
    fn a_room_that_fails_is_tried_again_after_times_that_double_up_to_64_seconds() {
        let alarms = read_until(100);
        alarms.noted(&room("a"), Some(50));
        let mut now_ms = 100;
        for seconds in [2, 4, 8, 16, 32, 64, 64] {
            let woken = alarms.wake_due(now_ms);
            assert_eq!(times(&woken), ["a"]);
            std::mem::forget(woken);
            alarms.wakes().answered(&room("a"), false, now_ms);
            assert_eq!(times(&alarms.wake_due(now_ms + seconds * 1000 - 1)), [] as [&str; 0]);
            now_ms += seconds * 1000;
        }
    }

    #[test]
    fn a_woken_room_is_not_woken_again_before_it_has_answered() {
        let alarms = read_until(100);
        alarms.noted(&room("a"), Some(50));
        let mut woken = alarms.wake_due(100);
        assert_eq!(times(&woken), ["a"]);
        alarms.noted(&room("a"), Some(60));
        assert_eq!(times(&alarms.wake_due(100)), [] as [&str; 0]);
        woken.pop().unwrap().done();
        let woken = alarms.wake_due(100);
        assert_eq!(times(&woken), ["a"], "what it noted meanwhile is due");
        woken[0].called(None);
        woken.into_iter().for_each(Woken::done);
        assert!(alarms.wakes().rooms.is_empty() && alarms.wakes().waiting.is_empty());
        assert_eq!(alarms.wakes().woken_count, 0);
    }

    #[test]
    fn what_the_engine_tells_in_time_takes_no_memory() {
        let alarms = read_until(100);
        alarms.noted(&room("a"), Some(5000));
        alarms.noted(&room("b"), Some(101));
        alarms.noted(&room("c"), None);
        assert!(alarms.wakes().rooms.is_empty() && alarms.wakes().waiting.is_empty());
        assert_eq!(alarms.wakes().next_ms(100), 101);
    }

    #[test]
    fn no_more_rooms_are_woken_at_once_than_may_be() {
        let alarms = read_until(100);
        (0..=WOKEN_MAX).for_each(|number| alarms.noted(&room(&number.to_string()), Some(1)));
        let mut woken = alarms.wake_due(100);
        assert_eq!(woken.len(), WOKEN_MAX);
        assert_eq!(times(&alarms.wake_due(100)), [] as [&str; 0]);
        woken.pop().unwrap().done();
        assert_eq!(alarms.wake_due(100).len(), 1);
    }
}
