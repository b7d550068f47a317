//! What leaves a room in one turn: every frame encoded once, every connection written once.
//!
//! The frames that the gate lets go are laid out in one buffer. A broadcast needs no list of
//! targets: output is numbered, and a connection knows the number at which it joined. So a
//! connection that gets every broadcast of the turn is written the same runs of bytes as
//! all others, with one system call; only those with a frame of their own, or left out of one,
//! get runs of their own.

use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use partyrs::seam::{ConnectionKey, Delivered, Effect, Hosted, Output, Task};
use partyrs::{CloseFrame, WhenBehind};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::outlet::Outlet;
use crate::quietly::run_quietly;
use crate::wire;

/// The sockets of a room, and the buffers of a turn.
#[derive(Default)]
pub(super) struct Outgoing {
    outlets: BTreeMap<ConnectionKey, Member>,
    released: Vec<Output>,
    buffer: BytesMut,
    parts: Vec<Part>,
}

struct Member {
    outlet: Rc<Outlet>,
    /// Number of the first output that is for it.
    joined: u64,
}

/// One frame of the turn.
struct Part {
    bytes: Range<usize>,
    number: u64,
    target: Target,
    when_behind: WhenBehind,
}

enum Target {
    All {
        /// In their order.
        except: Vec<ConnectionKey>,
    },
    One(ConnectionKey),
    /// A Close; the outlet writes it itself, for it must remember it.
    Close(ConnectionKey, Option<CloseFrame>),
}

impl Outgoing {
    pub(super) fn add(&mut self, key: ConnectionKey, joined: u64, outlet: Rc<Outlet>) {
        self.outlets.insert(key, Member { outlet, joined });
    }

    pub(super) fn remove(&mut self, key: ConnectionKey) {
        self.outlets.remove(&key);
    }

    /// Gives the buffers back; the sockets stay.
    pub(super) fn shrink(&mut self) {
        self.released = Vec::new();
        self.buffer = BytesMut::new();
        self.parts = Vec::new();
    }

    /// Closes what is left, at once.
    pub(super) fn close_all(&mut self, close: &CloseFrame) {
        for member in std::mem::take(&mut self.outlets).into_values() {
            member.outlet.close(close.code(), close.reason());
        }
    }

    /// Writes what the gate lets go. Tasks that may start now are added to `tasks`.
    pub(super) fn flush(&mut self, hosted: &Hosted, tasks: &mut Vec<Task>) {
        let mut released = std::mem::take(&mut self.released);
        hosted.release(&mut released);
        if released.is_empty() {
            self.released = released;
            return;
        }
        for output in released.drain(..) {
            let start = self.buffer.len();
            let (target, when_behind) = match output.effect {
                Effect::Broadcast { frame, except, when_behind } => {
                    wire::put_frame(&mut self.buffer, &frame);
                    (Target::All { except }, when_behind)
                }
                Effect::Send { to, frame, when_behind } => {
                    wire::put_frame(&mut self.buffer, &frame);
                    (Target::One(to), when_behind)
                }
                Effect::Close { to, close } => (Target::Close(to, close), WhenBehind::Keep),
                Effect::Spawn(task) => {
                    tasks.push(task);
                    continue;
                }
                // A socket that has ended drops it, with what the user put in.
                Effect::Forward(forward) => {
                    run_quietly(hosted.room().address(), || forward.leave());
                    continue;
                }
                // An answer that nobody waits for any more is dropped there, with what the user put in.
                Effect::Reply { reply, .. } => {
                    run_quietly(hosted.room().address(), || reply(Delivered::Durable));
                    continue;
                }
                Effect::Chunk(chunk) => {
                    let room = hosted.room().address();
                    run_quietly(room, || {
                        if !hosted.feed(chunk) {
                            tracing::debug!(%room, "client reads a response body too slowly, it is cut");
                        }
                    });
                    continue;
                }
            };
            let bytes = start..self.buffer.len();
            self.parts.push(Part { bytes, number: output.number, target, when_behind });
        }
        self.released = released;
        self.write_parts();
    }

    fn write_parts(&mut self) {
        let batch = self.buffer.split().freeze();
        let parts = std::mem::take(&mut self.parts);
        let first_number = parts.first().map_or(0, |part| part.number);
        // Which parts are a connection's own, or leave it out.
        let mut special: FxHashSet<ConnectionKey> = FxHashSet::default();
        let mut to_all = Vec::new();
        for part in &parts {
            match &part.target {
                Target::All { except } => {
                    push_run(&mut to_all, &part.bytes);
                    special.extend(except);
                }
                Target::One(key) | Target::Close(key, _) => {
                    special.insert(*key);
                }
            }
        }
        let some_may_be_missed = parts.iter().any(|part| part.when_behind != WhenBehind::Keep);
        if !to_all.is_empty() {
            for (key, member) in &self.outlets {
                let misses_some = some_may_be_missed && member.outlet.is_behind();
                if member.joined > first_number || misses_some || special.contains(key) {
                    special.insert(*key);
                } else {
                    member.outlet.write(&batch, &to_all);
                }
            }
        }
        self.write_special(&batch, &parts, special.into_iter());
        self.parts = parts;
        self.parts.clear();
    }

    /// Writes to those for whom the turn is not the same as for everybody.
    fn write_special(&mut self, batch: &Bytes, parts: &[Part], keys: impl Iterator<Item = ConnectionKey>) {
        let mut own: FxHashMap<ConnectionKey, Vec<u32>> = keys.map(|key| (key, Vec::new())).collect();
        let mut broadcasts = Vec::new();
        for (index, part) in (0_u32..).zip(parts) {
            match &part.target {
                Target::All { .. } => broadcasts.push(index),
                Target::One(key) | Target::Close(key, _) => {
                    own.entry(*key).or_default().push(index);
                }
            }
        }
        for (key, mut indexes) in own {
            let Some(member) = self.outlets.get(&key) else { continue };
            let (outlet, joined) = (Rc::clone(&member.outlet), member.joined);
            indexes.extend_from_slice(&broadcasts);
            indexes.sort_unstable();
            let is_behind = outlet.is_behind();
            let mut runs = Vec::new();
            for part in indexes.into_iter().map(|index| &parts[index as usize]) {
                match (&part.target, &part.when_behind) {
                    (Target::All { except }, _)
                        if part.number < joined || except.binary_search(&key).is_ok() => {}
                    (Target::Close(_, close), _) => {
                        outlet.write(batch, &runs);
                        runs.clear();
                        match close {
                            Some(close) => outlet.close(close.code(), close.reason()),
                            None => outlet.close_without_code(),
                        }
                        // Nothing may follow a Close.
                        self.outlets.remove(&key);
                        break;
                    }
                    (_, WhenBehind::Drop) if is_behind => {}
                    (_, WhenBehind::KeepNewest(newest)) if is_behind => {
                        outlet.write(batch, &runs);
                        runs.clear();
                        outlet.write_newest(batch, &part.bytes, newest);
                    }
                    _ => push_run(&mut runs, &part.bytes),
                }
            }
            if !runs.is_empty() {
                outlet.write(batch, &runs);
            }
        }
    }
}

/// Appends a run, joined to the last one where it follows it.
fn push_run(runs: &mut Vec<Range<usize>>, run: &Range<usize>) {
    match runs.last_mut() {
        Some(last) if last.end == run.start => last.end = run.end,
        _ => runs.push(run.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_runs_become_one() {
        let mut runs = Vec::new();
        for run in [0..5, 5..9, 12..13, 13..20] {
            push_run(&mut runs, &run);
        }
        assert_eq!(runs, [0..9, 12..20]);
    }
}
