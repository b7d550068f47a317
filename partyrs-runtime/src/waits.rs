//! Which rooms' hooks wait for which rooms.
//!
//! Before a hook waits for another room, the host asks here whether that room's hook waits,
//! through any others, for the one that asks: then none of them would ever go on. The
//! question and the note are one step under one lock, so of two rooms that call each other
//! at the same moment exactly one is refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use partyrs::RoomAddress;

/// The edges from waiting rooms to those they wait for.
#[derive(Debug, Default)]
pub(crate) struct Waits {
    edges: Mutex<HashMap<RoomAddress, Vec<RoomAddress>>>,
}

/// One room that waits for another; ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Waiting {
    waits: Arc<Waits>,
    caller: RoomAddress,
    callee: RoomAddress,
}

impl Waits {
    /// Notes that a hook of `caller` waits for `callee`; or returns the circle that this
    /// would close, from the caller to the caller.
    pub(crate) fn begin(
        self: &Arc<Self>,
        caller: &RoomAddress,
        callee: &RoomAddress,
    ) -> Result<Waiting, Vec<RoomAddress>> {
        let mut edges = self.edges();
        if let Some(mut way) = way(&edges, callee, caller) {
            way.insert(0, caller.clone());
            return Err(way);
        }
        edges.entry(caller.clone()).or_default().push(callee.clone());
        Ok(Waiting { waits: Arc::clone(self), caller: caller.clone(), callee: callee.clone() })
    }

    fn edges(&self) -> MutexGuard<'_, HashMap<RoomAddress, Vec<RoomAddress>>> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.edges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A way from `from` to `to` along the edges, both included.
fn way(
    edges: &HashMap<RoomAddress, Vec<RoomAddress>>,
    from: &RoomAddress,
    to: &RoomAddress,
) -> Option<Vec<RoomAddress>> {
    // Each room that was reached, and from where. A room waits for few others at a time.
    let mut reached: Vec<(&RoomAddress, usize)> = vec![(from, 0)];
    let mut next = 0;
    while let Some((room, _)) = reached.get(next).copied() {
        if room == to {
            let mut way = vec![room.clone()];
            let mut index = next;
            while index != 0 {
                index = reached[index].1;
                way.push(reached[index].0.clone());
            }
            way.reverse();
            return Some(way);
        }
        for callee in edges.get(room).into_iter().flatten() {
            if !reached.iter().any(|(known, _)| *known == callee) {
                reached.push((callee, next));
            }
        }
        next += 1;
    }
    None
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut edges = self.waits.edges();
        if let Some(callees) = edges.get_mut(&self.caller) {
            if let Some(index) = callees.iter().position(|callee| *callee == self.callee) {
                callees.swap_remove(index);
            }
            if callees.is_empty() {
                edges.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use partyrs::{PartyName, RoomId};

    use super::*;

    fn room(id: &str) -> RoomAddress {
        RoomAddress::new(PartyName::new("main").unwrap(), RoomId::new(id).unwrap())
    }

    #[test]
    fn a_circle_is_refused_with_its_rooms_and_nothing_else_is() {
        let waits = Arc::new(Waits::default());
        let (a, b, c, d) = (room("a"), room("b"), room("c"), room("d"));
        assert_eq!(waits.begin(&a, &a).unwrap_err(), [a.clone(), a.clone()]);
        let a_b = waits.begin(&a, &b).unwrap();
        let _a_d = waits.begin(&a, &d).unwrap();
        let _b_c = waits.begin(&b, &c).unwrap();
        let _c_d = waits.begin(&c, &d).unwrap();
        assert_eq!(waits.begin(&c, &a).unwrap_err(), [c.clone(), a.clone(), b.clone(), c.clone()]);
        assert_eq!(waits.begin(&b, &a).unwrap_err(), [b.clone(), a.clone(), b.clone()]);
        drop(a_b);
        assert!(waits.begin(&c, &a).is_ok(), "nobody waits for c any more");
    }

    #[test]
    fn what_has_ended_leaves_nothing_behind() {
        let waits = Arc::new(Waits::default());
        let first = waits.begin(&room("a"), &room("b")).unwrap();
        let second = waits.begin(&room("a"), &room("b")).unwrap();
        drop(first);
        assert!(waits.begin(&room("b"), &room("a")).is_err(), "a still waits for b");
        drop(second);
        assert!(waits.edges().is_empty());
    }
}
