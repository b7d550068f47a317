//! Which rooms are open, and on which shard.
//!
//! A room is opened at most once at a time: its mailbox is entered under a lock, and taken
//! out when the room has ended entirely. Who meets a room that is ending waits, and opens it again.

use std::hash::BuildHasher;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use partyrs::RoomAddress;
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Refusal, RoomEvent};
use crate::mailbox::Mailbox;
use crate::party::{Party, RoomSetup};
use crate::pulse::Pulse;
use crate::shard::Shard;
use crate::state::State;

/// All open rooms of a host.
#[derive(Debug)]
pub(crate) struct Registry {
    slices: Vec<Slice>,
    rooms_count: AtomicUsize,
    rooms_max: usize,
    /// The shard of the next socket outside of the rooms.
    next_slice: AtomicUsize,
}

/// The rooms of one shard.
#[derive(Debug)]
struct Slice {
    shard: Shard,
    rooms: Mutex<FxHashMap<RoomAddress, OpenRoom>>,
}

/// How others reach an open room, and what they may know of it.
#[derive(Clone, Debug)]
struct OpenRoom {
    mailbox: Arc<Mailbox>,
    status: Arc<Status>,
}

/// What others may know of an open room. Written by its task alone.
#[derive(Debug, Default)]
pub(crate) struct Status {
    connections_count: AtomicUsize,
    hibernates: AtomicBool,
}

impl Registry {
    pub(crate) fn new(config: &Config, clock: &Clock) -> std::io::Result<Self> {
        let slice = |index| Ok(Slice { shard: Shard::spawn(index, clock.clone())?, rooms: Mutex::default() });
        let slices = (0..config.shards).map(slice).collect::<std::io::Result<_>>()?;
        let (rooms_count, next_slice) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Ok(Self { slices, rooms_count, rooms_max: config.rooms_max, next_slice })
    }

    /// Brings an event to a room, opening it if it is closed. Gives the event back if the
    /// host has as many rooms as it may.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the event, unless it is in the mailbox already.
    pub(crate) async fn deliver(
        &self,
        state: &Arc<State>,
        party: &Arc<dyn Party>,
        address: &RoomAddress,
        event: RoomEvent,
    ) -> Result<(), (RoomEvent, Refusal)> {
        let mut event = event;
        loop {
            let mailbox;
            (mailbox, event) = match self.find_or_open(state, party, address, event) {
                Found::Opened => return Ok(()),
                Found::Open(mailbox, event) => (mailbox, event),
                Found::NoPlace(event) => return Err((event, Refusal::Unavailable)),
            };
            match mailbox.push(event).await {
                Ok(()) => return Ok(()),
                Err(back) => event = back,
            }
            mailbox.gone().await;
        }
    }

    /// The mailbox of a room, if it is open.
    #[cfg(feature = "testing")]
    pub(crate) fn mailbox(&self, address: &RoomAddress) -> Option<Arc<Mailbox>> {
        self.slice(address).rooms().get(address).map(|room| Arc::clone(&room.mailbox))
    }

    /// Mailboxes of all open rooms.
    pub(crate) fn mailboxes(&self) -> Vec<Arc<Mailbox>> {
        let slices = self.slices.iter();
        let mailboxes = |slice: &Slice| -> Vec<_> {
            slice.rooms().values().map(|room| Arc::clone(&room.mailbox)).collect()
        };
        slices.flat_map(mailboxes).collect()
    }

    /// What may be known of a room, if it is open.
    pub(crate) fn status(&self, address: &RoomAddress) -> Option<Arc<Status>> {
        self.slice(address).rooms().get(address).map(|room| Arc::clone(&room.status))
    }

    /// Shows every open room to `look`, in no order. Who opens a room waits meanwhile.
    pub(crate) fn each_open(&self, mut look: impl FnMut(&RoomAddress, &Arc<Status>)) {
        for slice in &self.slices {
            slice.rooms().iter().for_each(|(address, room)| look(address, &room.status));
        }
    }

    /// Number of open rooms.
    pub(crate) fn rooms_count(&self) -> usize {
        self.rooms_count.load(Ordering::Relaxed)
    }

    /// The room has ended entirely.
    pub(crate) fn remove(&self, address: &RoomAddress) {
        let slice = self.slice(address);
        let room = slice.rooms().remove(address);
        if let Some(room) = room {
            self.rooms_count.fetch_sub(1, Ordering::Relaxed);
            room.mailbox.set_gone();
        }
    }

    /// Runs `start` on one of the shards, on each in turn. Nothing happens when they have ended.
    pub(crate) fn start_somewhere(&self, start: impl FnOnce(&Rc<Pulse>) + Send + 'static) {
        let index = self.next_slice.fetch_add(1, Ordering::Relaxed) % self.slices.len();
        // Dropped with all that it holds if the shard has ended.
        self.slices[index].shard.start(start);
    }

    /// Ends all shards, with the rooms that still live on them.
    pub(crate) fn end(&self) {
        self.slices.iter().for_each(|slice| slice.shard.end());
    }

    /// Waits for the threads of shards that are to end. Blocks.
    pub(crate) fn join(&self) {
        self.slices.iter().for_each(|slice| slice.shard.join());
    }

    /// Finds the mailbox of an open room, or opens the room with `event` as its first: a room
    /// that fails at once must refuse whoever opened it, and not be opened by the same again.
    fn find_or_open(
        &self,
        state: &Arc<State>,
        party: &Arc<dyn Party>,
        address: &RoomAddress,
        event: RoomEvent,
    ) -> Found {
        let slice = self.slice(address);
        let mut rooms = slice.rooms();
        if let Some(room) = rooms.get(address) {
            return Found::Open(Arc::clone(&room.mailbox), event);
        }
        if self.rooms_count.fetch_add(1, Ordering::Relaxed) >= self.rooms_max {
            self.rooms_count.fetch_sub(1, Ordering::Relaxed);
            return Found::NoPlace(event);
        }
        let config = party.config();
        let mailbox = Mailbox::with_first(event, config.mailbox_events_max, config.mailbox_bytes_max);
        let mailbox = Arc::new(mailbox);
        let status = Arc::new(Status::default());
        let room = OpenRoom { mailbox: Arc::clone(&mailbox), status: Arc::clone(&status) };
        rooms.insert(address.clone(), room);
        let (state, party) = (Arc::clone(state), Arc::clone(party));
        let setup = RoomSetup { address: address.clone(), mailbox: Arc::clone(&mailbox), status, state };
        if !slice.shard.start(move |pulse| party.open(setup, pulse)) {
            rooms.remove(address);
            self.rooms_count.fetch_sub(1, Ordering::Relaxed);
            // Only the mailbox of a room that lives is emptied by others.
            return mailbox.close().pop_front().map_or(Found::Opened, Found::NoPlace);
        }
        Found::Opened
    }

    fn slice(&self, address: &RoomAddress) -> &Slice {
        // The high bits: the map of the slice uses the low ones.
        let hash = FxBuildHasher.hash_one(address) >> 32;
        &self.slices[hash as usize % self.slices.len()]
    }
}

/// What became of an event for a room that had to be found.
enum Found {
    /// The room has been opened, with the event in its mailbox.
    Opened,
    /// The room was open already.
    Open(Arc<Mailbox>, RoomEvent),
    /// The host has as many rooms as it may, or its shards have ended.
    NoPlace(RoomEvent),
}

impl Slice {
    fn rooms(&self) -> MutexGuard<'_, FxHashMap<RoomAddress, OpenRoom>> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Status {
    pub(crate) fn set_connections_count(&self, count: usize) {
        self.connections_count.store(count, Ordering::Relaxed);
    }

    pub(crate) fn set_hibernates(&self, hibernates: bool) {
        self.hibernates.store(hibernates, Ordering::Relaxed);
    }

    /// Sockets that the room has, those that it has closed and that have not ended included.
    pub(crate) fn connections_count(&self) -> usize {
        self.connections_count.load(Ordering::Relaxed)
    }

    pub(crate) fn hibernates(&self) -> bool {
        self.hibernates.load(Ordering::Relaxed)
    }
}
