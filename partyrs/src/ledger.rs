//! What a room has collected and not yet let go: writes, output, and notes for undoing.
//!
//! Hooks add to it through `Room`, `Storage` and `Connection`; the host takes from it
//! through `seam::Hosted`. The difficulty is the gate: each output carries the number of
//! the commit that it must not overtake, which is the open commit if that has a write, else
//! the last one sealed. Output leaves in order, while its number is durable. So a failed
//! hook takes back exactly the output that carries the number of its own open commit.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;

use crate::close::CloseFrame;
use crate::connection::ConnectionKey;
use crate::seam::{Effect, Output};
use crate::storage::{Known, StorageError, StorageLimits, Writes};

/// Shared by a room and its connections; one lock, held for a few lines, no user code under it.
#[derive(Debug)]
pub(crate) struct Ledger {
    limits: StorageLimits,
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
    /// How many of `in_flight`, counted from the back, the host has not fetched yet.
    unfetched_count: usize,
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
    pub(crate) fn new(limits: StorageLimits, last_commit: u64) -> Self {
        let state = State { durable: last_commit, sealed: last_commit, ..State::default() };
        Self { limits, state: Mutex::new(state) }
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
        if !durable {
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
                state.in_flight.pop_front();
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
        let mut output = Vec::new();
        while state.output.back().is_some_and(|output| output.after > state.sealed) {
            let dropped = state.output.pop_back();
            state.held_bytes -= dropped.as_ref().map_or(0, Output::len_bytes);
            output.extend(dropped);
        }
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

    /// Commits in flight, and the weight of the output that waits.
    pub(crate) fn held(&self) -> (usize, usize) {
        let state = self.state();
        (state.in_flight.len(), state.held_bytes)
    }

    pub(crate) fn is_quiet(&self) -> bool {
        let state = self.state();
        state.in_flight.is_empty() && state.output.is_empty()
    }

    /// Takes out all output that waits; it never leaves.
    pub(crate) fn give_up(&self) -> Vec<Output> {
        let mut state = self.state();
        state.held_bytes = 0;
        std::mem::take(&mut state.output).into()
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

impl State {
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
            self.sealed += 1;
            let writes = Arc::new(std::mem::take(&mut self.open));
            self.in_flight.push_back((self.sealed, writes));
            self.unfetched_count += 1;
        }
        self.sealed
    }
}
