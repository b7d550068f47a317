//! What a room has collected and not yet let go: writes, output, and notes for undoing.
//!
//! Hooks add to it through `Room`, `Storage` and `Connection`; the host takes from it
//! through `seam::Hosted`. The difficulty is the gate: each output carries the number of
//! the commit that it must not overtake, which is the open commit if that has a write, else
//! the last one sealed. Output leaves in order, while its number is durable. So a failed
//! hook takes back exactly the output that carries the number of its own open commit.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::SystemTime;

use bytes::Bytes;

use crate::alarm::{AlarmFailed, Alarms, past_ms};
use crate::body::{BodyKey, OpenBodies, Pipe};
use crate::close::CloseFrame;
use crate::connection::ConnectionKey;
use crate::seam::{Effect, Output};
use crate::storage::{Known, StorageError, StorageLimits, StoredAlarm, Writes};

/// Shared by a room and its connections; one lock, held for a few lines, no user code under it.
#[derive(Debug)]
pub(crate) struct Ledger {
    limits: StorageLimits,
    /// What may wait for one slow reader of a body.
    outbox_bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the last commit that is on disk.
    durable: u64,
    /// Number of the last commit that was sealed; the open one is the next.
    sealed: u64,
    /// The writes of the running hook since its start or its last `sync`.
    open: Writes,
    /// Sealed and not yet durable, oldest first; reads see them.
    in_flight: VecDeque<(u64, Arc<Writes>)>,
    /// Weight of `in_flight`.
    in_flight_bytes: usize,
    /// How many of `in_flight`, counted from the back, the host has not fetched yet.
    unfetched_count: usize,
    /// The room's alarms after all commits that are sealed.
    alarms: Alarms,
    /// The alarm whose hook runs: it ends with the hook's commit, and no hook sees it meanwhile.
    firing: Option<StoredAlarm>,
    /// What a failed hook of an alarm owes the next commits: the retry, or the alarm's end.
    /// Outlives rollbacks, until a sealed commit says something of that alarm.
    owed: Option<(String, Option<StoredAlarm>)>,
    /// Whether a `put` of the running hook was refused.
    put_refused: bool,
    /// What to undo if the running hook fails, oldest first.
    undo: Vec<Undo>,
    /// Output that waits for its commit or for the end of the turn.
    output: VecDeque<Output>,
    /// Weight of `output`.
    held_bytes: usize,
    /// Number of the next output; connections know the number at which they joined.
    next_output: u64,
    /// Number of the newest output of each key that may replace an older one; may name
    /// output that has left. Emptied whenever nothing is held.
    newest_held: HashMap<Arc<str>, u64>,
    /// Connections that are listed.
    open_count: usize,
    /// Response bodies that hooks feed.
    bodies: OpenBodies,
    /// Hooks that wait in `sync`.
    waiting: Vec<Waker>,
}

/// One thing to put back if the running hook fails.
#[derive(Debug)]
pub(crate) enum Undo {
    /// The state of a connection before it was set.
    State(ConnectionKey, Option<Bytes>),
    /// A connection that was closed after the hook's first write.
    Close(ConnectionKey),
}

/// What a failed hook leaves behind to be put back.
#[derive(Debug)]
pub(crate) struct Rollback {
    /// Newest first.
    pub(crate) undo: Vec<Undo>,
    /// Whether memory may now say something else than storage.
    pub(crate) memory_is_stale: bool,
    /// Output that never leaves; dropped by the caller, for it holds user code.
    pub(crate) output: Vec<Output>,
}

impl Ledger {
    pub(crate) fn new(
        limits: StorageLimits,
        outbox_bytes_max: usize,
        last_commit: u64,
        alarms: Vec<StoredAlarm>,
    ) -> Self {
        let alarms = alarms.into_iter().collect();
        let state = State { durable: last_commit, sealed: last_commit, alarms, ..State::default() };
        Self { limits, outbox_bytes_max, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // Writes and reads of the running hook.

    pub(crate) fn put(&self, key: String, value: Bytes) -> Result<(), StorageError> {
        let mut state = self.state();
        let refusal = if key.len() > self.limits.key_bytes_max {
            StorageError::KeyTooLong { len_bytes: key.len(), limit_bytes: self.limits.key_bytes_max }
        } else if value.len() > self.limits.value_bytes_max {
            let (len_bytes, limit_bytes) = (value.len(), self.limits.value_bytes_max);
            StorageError::ValueTooLong { key, len_bytes, limit_bytes }
        } else {
            state.open.put(key, value);
            return Ok(());
        };
        state.put_refused = true;
        Err(refusal)
    }

    pub(crate) fn put_was_refused(&self) {
        self.state().put_refused = true;
    }

    pub(crate) fn delete(&self, key: String) {
        self.state().open.delete(key);
    }

    pub(crate) fn delete_all(&self) {
        self.state().open.delete_all();
    }

    // Alarms. The one without a name has the empty one.

    pub(crate) fn check_alarm_name(&self, name: &str) -> Result<(), StorageError> {
        let (len_bytes, limit_bytes) = (name.len(), self.limits.alarm_name_bytes_max);
        if (1..=limit_bytes).contains(&len_bytes) {
            return Ok(());
        }
        self.put_was_refused();
        Err(StorageError::AlarmName { len_bytes, limit_bytes })
    }

    pub(crate) fn set_alarm(&self, name: &str, scheduled_ms: Option<u64>) -> Result<(), StorageError> {
        let mut state = self.state();
        let Some(ms) = scheduled_ms else {
            state.put_refused = true;
            return Err(StorageError::AlarmTime);
        };
        state.open.set_alarm(StoredAlarm::new(name.to_owned(), ms, ms, 0));
        Ok(())
    }

    pub(crate) fn delete_alarm(&self, name: &str) {
        let mut state = self.state();
        // What is not there is no write, and holds nothing back.
        if state.alarm(name).is_some() || state.is_firing(name) {
            state.open.delete_alarm(name.to_owned());
        }
    }

    /// The time that an alarm is set to, as hooks see it.
    pub(crate) fn alarm(&self, name: &str) -> Option<u64> {
        self.state().alarm(name).map(|alarm| alarm.scheduled_ms)
    }

    /// Names and times of all alarms, as hooks see them.
    pub(crate) fn alarms(&self) -> BTreeMap<String, u64> {
        let state = self.state();
        let changed = state.open.alarms().map(|(name, _)| name);
        let names = state.alarms.iter().map(|alarm| alarm.name.as_str()).chain(changed);
        names.filter_map(|name| Some((name.to_owned(), state.alarm(name)?.scheduled_ms))).collect()
    }

    /// When the first alarm is due, by the commits that are sealed.
    pub(crate) fn next_alarm_ms(&self) -> Option<u64> {
        self.state().alarms.first().map(|alarm| alarm.due_ms)
    }

    /// The first alarm that is due, for its hook to run now.
    pub(crate) fn begin_alarm(&self, now: SystemTime) -> Option<StoredAlarm> {
        let mut state = self.state();
        let now_ms = past_ms(now);
        let due = state.alarms.first().filter(|alarm| alarm.due_ms <= now_ms).cloned();
        state.firing.clone_from(&due);
        due
    }

    /// The hook of an alarm failed and has been rolled back: the next commit says what follows.
    pub(crate) fn fail_alarm(&self, now: SystemTime) -> AlarmFailed {
        let mut state = self.state();
        let Some(alarm) = state.firing.take() else { return AlarmFailed::Replaced };
        let again = alarm.after_failure(now);
        let after = again.as_ref().map(|(_, after)| *after);
        state.owed = Some((alarm.name, again.map(|(alarm, _)| alarm)));
        after.map_or(AlarmFailed::Dropped, |after| AlarmFailed::Again { after })
    }

    /// Puts what a failed alarm owes into the open commit.
    pub(crate) fn settle_alarm(&self) {
        let mut state = self.state();
        let Some((name, alarm)) = state.owed.clone() else { return };
        if state.open.known_alarm(&name).is_none() {
            match alarm {
                Some(alarm) => state.open.set_alarm(alarm),
                None => state.open.delete_alarm(name),
            }
        }
    }

    /// A hook ended well: an alarm that called it ends with its commit, unless it was set again.
    pub(crate) fn end_hook(&self) {
        let mut state = self.state();
        if let Some(alarm) = state.firing.take()
            && state.open.known_alarm(&alarm.name).is_none()
        {
            state.open.delete_alarm(alarm.name);
        }
        state.seal();
    }

    /// What the open commit and those in flight know of `key`, the newest first.
    pub(crate) fn known(&self, key: &str) -> Known {
        let state = self.state();
        let in_flight = state.in_flight.iter().rev().map(|(_, writes)| &**writes);
        std::iter::once(&state.open)
            .chain(in_flight)
            .map(|writes| writes.known(key))
            .find(|known| *known != Known::AskEngine)
            .unwrap_or(Known::AskEngine)
    }

    /// The open commit over those in flight, as one.
    pub(crate) fn pending_writes(&self) -> Writes {
        let state = self.state();
        let mut pending = Writes::new();
        state.in_flight.iter().for_each(|(_, writes)| pending.extend(writes));
        pending.extend(&state.open);
        pending
    }

    // Output and undo notes of the running hook.

    /// Adds output; it leaves behind the open commit if that has a write, else behind the last sealed.
    pub(crate) fn emit(&self, effect: Effect) {
        self.state().emit(effect);
    }

    /// Adds a broadcast and returns for how many connections it is meant; `excepted_open_count`
    /// of the listed ones are left out of it.
    pub(crate) fn broadcast(&self, broadcast: Effect, excepted_open_count: usize) -> usize {
        let mut state = self.state();
        let count = state.open_count.saturating_sub(excepted_open_count);
        if count > 0 {
            state.emit(broadcast);
        }
        count
    }

    /// Adds a Close and takes the connection out of the count.
    pub(crate) fn close(&self, key: ConnectionKey, close: Option<CloseFrame>) {
        let mut state = self.state();
        state.open_count = state.open_count.saturating_sub(1);
        if !state.open.is_empty() {
            state.undo.push(Undo::Close(key));
        }
        state.emit(Effect::Close { to: key, close });
    }

    pub(crate) fn note_state(&self, key: ConnectionKey, previous: Option<Bytes>) {
        self.state().undo.push(Undo::State(key, previous));
    }

    // Response bodies.

    pub(crate) fn open_body(&self) -> (BodyKey, Arc<Pipe>) {
        self.state().bodies.open(self.outbox_bytes_max)
    }

    /// Its writing end was dropped, perhaps outside of any hook.
    pub(crate) fn end_body(&self, key: BodyKey) {
        let waker = {
            let mut state = self.state();
            let Some(end) = state.bodies.end(key) else { return };
            state.emit(Effect::Chunk(end));
            state.bodies.take_waker()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Ends all bodies that are open; whether there was one.
    pub(crate) fn end_bodies(&self) -> bool {
        let mut state = self.state();
        let ends = state.bodies.end_all();
        let any = !ends.is_empty();
        ends.into_iter().for_each(|end| state.emit(Effect::Chunk(end)));
        any
    }

    /// From now on no body ends; `give_up` cuts them.
    pub(crate) fn abandon_bodies(&self) {
        self.state().bodies.abandon();
    }

    /// Its end has left the room, or it was cut.
    pub(crate) fn forget_body(&self, key: BodyKey) {
        self.state().bodies.forget(key);
    }

    /// Its reading end was dropped.
    pub(crate) fn body_is_unread(&self, key: BodyKey) {
        let waker = {
            let mut state = self.state();
            state.bodies.forget(key);
            state.bodies.take_waker()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(crate) fn watch_bodies(&self, waker: &Waker) {
        self.state().bodies.wake_by(waker);
    }

    // Commits.

    /// Ends the open commit and returns the number to wait for.
    pub(crate) fn seal(&self) -> u64 {
        self.state().seal()
    }

    /// Number of the last commit that was sealed.
    pub(crate) fn sealed(&self) -> u64 {
        self.state().sealed
    }

    pub(crate) fn has_open_writes(&self) -> bool {
        !self.state().open.is_empty()
    }

    pub(crate) fn is_durable_or_wake(&self, number: u64, waker: &Waker) -> bool {
        let mut state = self.state();
        let durable = state.durable >= number;
        // Who is polled for other reasons asks again and again, and is to be woken once.
        if !durable && !state.waiting.iter().any(|waiting| waiting.will_wake(waker)) {
            state.waiting.push(waker.clone());
        }
        durable
    }

    /// Commits sealed since the last call, oldest first.
    pub(crate) fn fetch_sealed(&self) -> Vec<(u64, Arc<Writes>)> {
        let mut state = self.state();
        if state.unfetched_count == 0 {
            return Vec::new();
        }
        let from = state.in_flight.len() - state.unfetched_count;
        state.unfetched_count = 0;
        state.in_flight.range(from..).cloned().collect()
    }

    /// A commit is on disk: reads go to the engine for it, and its output may leave.
    pub(crate) fn landed(&self, number: u64) {
        let waiting = {
            let mut state = self.state();
            state.durable = number;
            while state.in_flight.front().is_some_and(|(in_flight, _)| *in_flight <= number) {
                let landed = state.in_flight.pop_front();
                state.in_flight_bytes -= landed.map_or(0, |(_, writes)| writes.len_bytes());
            }
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Drops the writes of the running hook and the output that came after the first of them.
    pub(crate) fn roll_back(&self) -> Rollback {
        let mut state = self.state();
        let mut undo = std::mem::take(&mut state.undo);
        undo.reverse();
        let set_state = undo.iter().any(|undo| matches!(undo, Undo::State(..)));
        let memory_is_stale = !state.open.is_empty() || state.put_refused || set_state;
        state.open = Writes::new();
        state.put_refused = false;
        let (mut output, mut ends) = (Vec::new(), Vec::new());
        let sealed = state.sealed;
        while let Some(dropped) = state.output.pop_back_if(|output| output.after > sealed) {
            if dropped.effect.is_end_of_body() {
                // Nobody is left who could write behind it, or end it again.
                ends.push(Output { after: sealed, ..dropped });
            } else {
                state.held_bytes -= dropped.len_bytes();
                output.push(dropped);
            }
        }
        state.output.extend(ends.into_iter().rev());
        let reopened_count = undo.iter().filter(|undo| matches!(undo, Undo::Close(_))).count();
        state.open_count += reopened_count;
        Rollback { undo, memory_is_stale, output }
    }

    // What the host does between hooks and at the end of a turn.

    pub(crate) fn joined(&self) -> u64 {
        let mut state = self.state();
        state.open_count += 1;
        state.next_output
    }

    /// A listed connection left without a `close` of the room's.
    pub(crate) fn left(&self) {
        let mut state = self.state();
        state.open_count = state.open_count.saturating_sub(1);
    }

    pub(crate) fn open_count(&self) -> usize {
        self.state().open_count
    }

    /// Moves the output that may leave to the end of `into`, in order.
    pub(crate) fn release(&self, into: &mut Vec<Output>) {
        let mut state = self.state();
        while state.output.front().is_some_and(|output| output.after <= state.durable) {
            let output = state.output.pop_front();
            state.held_bytes -= output.as_ref().map_or(0, Output::len_bytes);
            into.extend(output);
        }
        if state.output.is_empty() {
            state.newest_held.clear();
        }
    }

    /// Commits in flight, and the weight of what waits for the disk: their writes, and output.
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.state();
        (state.in_flight.len(), state.held_bytes + state.in_flight_bytes)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.state();
        state.in_flight.is_empty() && state.output.is_empty() && state.bodies.is_empty()
    }

    /// Gives back what the queues hold beyond their contents.
    pub(crate) fn shrink(&self) {
        let mut state = self.state();
        state.in_flight.shrink_to_fit();
        state.undo.shrink_to_fit();
        state.output.shrink_to_fit();
        state.newest_held.shrink_to_fit();
        state.waiting.shrink_to_fit();
    }

    /// Takes out all output that waits, and cuts the bodies that are open; it never leaves.
    pub(crate) fn give_up(&self) -> Vec<Output> {
        let (output, bodies) = {
            let mut state = self.state();
            state.held_bytes = 0;
            (std::mem::take(&mut state.output), state.bodies.take())
        };
        bodies.values().for_each(|body| body.cut());
        output.into()
    }

    /// Takes out the tasks that wait; they never start.
    pub(crate) fn take_tasks(&self) -> Vec<Output> {
        let mut state = self.state();
        let is_task = |output: &Output| matches!(output.effect, Effect::Spawn(_));
        let (tasks, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.output).into_iter().partition(is_task);
        state.output = others.into();
        state.held_bytes -= tasks.iter().map(Output::len_bytes).sum::<usize>();
        tasks
    }
}

/// Nobody will feed them any more.
impl Drop for Ledger {
    fn drop(&mut self) {
        self.state().bodies.take().values().for_each(|body| body.cut());
    }
}

impl State {
    /// An alarm as hooks see it.
    fn alarm(&self, name: &str) -> Option<&StoredAlarm> {
        if let Some(known) = self.open.known_alarm(name) {
            return known;
        }
        match &self.owed {
            Some((owed, alarm)) if owed == name => alarm.as_ref(),
            _ if self.is_firing(name) => None,
            _ => self.alarms.get(name),
        }
    }

    fn is_firing(&self, name: &str) -> bool {
        self.firing.as_ref().is_some_and(|alarm| alarm.name == name)
    }

    fn gate(&self) -> u64 {
        if self.open.is_empty() { self.sealed } else { self.sealed + 1 }
    }

    fn emit(&mut self, effect: Effect) {
        if let Some(key) = effect.newest_of() {
            let older = self.newest_held.insert(Arc::clone(key), self.next_output);
            self.drop_replaced(older, &effect);
        }
        let output = Output { after: self.gate(), number: self.next_output, effect };
        self.next_output += 1;
        self.held_bytes += output.len_bytes();
        self.output.push_back(output);
    }

    /// Takes a held output out that `newer` replaces. One that follows a write of the running
    /// hook may yet be taken back, so it replaces only what would be taken back with it.
    fn drop_replaced(&mut self, older: Option<u64>, newer: &Effect) {
        let Some(number) = older else { return };
        let Ok(index) = self.output.binary_search_by_key(&number, |output| output.number) else { return };
        let held = &self.output[index];
        let gate = self.gate();
        let is_held = held.after > self.durable;
        let falls_with_it = gate <= self.sealed || held.after == gate;
        if is_held && falls_with_it && held.effect.is_replaced_by(newer) {
            let dropped = self.output.remove(index);
            self.held_bytes -= dropped.as_ref().map_or(0, Output::len_bytes);
        }
    }

    fn seal(&mut self) -> u64 {
        self.undo.clear();
        self.put_refused = false;
        if !self.open.is_empty() {
            self.seal_alarms();
            self.sealed += 1;
            let writes = Arc::new(std::mem::take(&mut self.open));
            self.in_flight_bytes += writes.len_bytes();
            self.in_flight.push_back((self.sealed, writes));
            self.unfetched_count += 1;
        }
        self.sealed
    }

    fn seal_alarms(&mut self) {
        let Self { open, alarms, firing, owed, .. } = self;
        firing.take_if(|alarm| open.known_alarm(&alarm.name).is_some());
        owed.take_if(|(name, _)| open.known_alarm(name).is_some());
        if open.clears() {
            alarms.clear();
        }
        for (name, alarm) in open.alarms() {
            alarms.change(name, alarm);
        }
    }
}
