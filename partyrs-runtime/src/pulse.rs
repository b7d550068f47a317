//! Which clients have been silent for too long.
//!
//! One task for each shard looks after all connections of the shard: it pings who has said
//! nothing for `ping_every`, and gives up who then says nothing for `ping_timeout`. Whatever
//! a client sends is a sign of life, and costs a look at the clock. A connection is looked
//! at when its time has come, about once in `ping_every`, so there is no timer for each.
//! Rooms have no part in this.
//!
//! The difficulty is to blame the right one. A reader waits while the mailbox of its room is
//! full, and nothing runs while a hook blocks the shard: then the answer of the client is
//! there, and unread. And a client with a backlog gets no ping, for that would come last.
//! So nobody is given up for whom something is unread, or who takes what waits for it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::Config;
use crate::outlet::Outlet;

/// Connections looked at before others of the shard have their turn.
const AT_ONCE_MAX: usize = 256;

/// Looks are no closer together than this.
const GRAIN: Duration = Duration::from_millis(50);

/// Looks after the connections of one shard.
pub(crate) struct Pulse {
    clock: Clock,
    /// By the time of the next look; the number keeps apart those of one time.
    beats: RefCell<BTreeMap<(Duration, u64), Rc<Beat>>>,
    next_number: Cell<u64>,
    /// When the task looks next, if nobody tells it to be sooner.
    looks_at: Cell<Duration>,
    sooner: Notify,
}

/// What is known of one connection.
struct Beat {
    outlet: Rc<Outlet>,
    config: Arc<Config>,
    heard_at: Cell<Duration>,
    /// When it was pinged, or would have been but for its backlog, if nothing was heard since.
    pinged_at: Cell<Option<Duration>>,
    /// Its place in `Pulse::beats`.
    place: Cell<(Duration, u64)>,
}

/// A connection that is looked after as long as this lives.
pub(crate) struct Watch {
    pulse: Rc<Pulse>,
    beat: Rc<Beat>,
}

impl Pulse {
    pub(crate) fn new(clock: Clock) -> Rc<Self> {
        Rc::new(Self {
            clock,
            beats: RefCell::default(),
            next_number: Cell::new(0),
            looks_at: Cell::new(Duration::MAX),
            sooner: Notify::new(),
        })
    }

    /// Begins to look after a connection; it counts as heard now.
    pub(crate) fn watch(self: &Rc<Self>, outlet: &Rc<Outlet>, config: &Arc<Config>) -> Watch {
        let now = self.clock.now();
        let beat = Rc::new(Beat {
            outlet: Rc::clone(outlet),
            config: Arc::clone(config),
            heard_at: Cell::new(now),
            pinged_at: Cell::new(None),
            place: Cell::default(),
        });
        self.put(now.saturating_add(config.ping_every), Rc::clone(&beat));
        Watch { pulse: Rc::clone(self), beat }
    }

    /// Looks whenever the time has come for a connection; never ends.
    pub(crate) async fn run(self: Rc<Self>) {
        let mut soonest = Duration::ZERO;
        loop {
            let first = self.beats.borrow().first_key_value().map(|((at, _), _)| *at);
            let now = self.clock.now();
            match first {
                Some(at) if at <= now => {
                    self.look(now);
                    soonest = now.saturating_add(GRAIN);
                    tokio::task::yield_now().await;
                    continue;
                }
                Some(at) => self.looks_at.set(at.max(soonest)),
                None => self.looks_at.set(Duration::MAX),
            }
            tokio::select! {
                () = self.sooner.notified() => {}
                () = self.clock.sleep_until(self.looks_at.get()), if first.is_some() => {}
            }
        }
    }

    fn look(&self, now: Duration) {
        for _ in 0..AT_ONCE_MAX {
            let beat = match self.beats.borrow_mut().first_entry() {
                Some(first) if first.key().0 <= now => first.remove(),
                _ => return,
            };
            if let Some(at) = beat.look(now) {
                self.put(at, beat);
            }
        }
    }

    fn put(&self, at: Duration, beat: Rc<Beat>) {
        let number = self.next_number.get();
        self.next_number.set(number + 1);
        beat.place.set((at, number));
        self.beats.borrow_mut().insert((at, number), beat);
        if at < self.looks_at.get() {
            self.sooner.notify_one();
        }
    }
}

impl Beat {
    /// Pings or gives up the client if it is time for that. Returns when to look again.
    fn look(&self, now: Duration) -> Option<Duration> {
        if self.outlet.is_ending() {
            // `close_timeout` is its time from now on.
            return None;
        }
        let Some(pinged_at) = self.pinged_at.get() else {
            let at = self.heard_at.get().saturating_add(self.config.ping_every);
            if at > now {
                return Some(at);
            }
            self.outlet.ping();
            self.pinged_at.set(Some(now));
            return Some(now.saturating_add(self.config.ping_timeout));
        };
        let at = pinged_at.saturating_add(self.config.ping_timeout);
        if at > now {
            return Some(at);
        }
        if self.outlet.has_unread() || self.outlet.has_taken() {
            self.heard(now);
            return Some(now.saturating_add(self.config.ping_every));
        }
        tracing::debug!(silent = ?now.saturating_sub(self.heard_at.get()), "client answers no ping, socket is cut");
        self.outlet.cut();
        None
    }

    fn heard(&self, now: Duration) {
        self.heard_at.set(now);
        self.pinged_at.set(None);
    }
}

impl Watch {
    /// The client has sent something, or its socket has come.
    pub(crate) fn heard(&self) {
        self.beat.heard(self.pulse.clock.now());
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.pulse.beats.borrow_mut().remove(&self.beat.place.get());
    }
}
