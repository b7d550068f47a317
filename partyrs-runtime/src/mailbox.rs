//! The bounded queue in front of a room.
//!
//! Readers of sockets, plain requests and handles push from any thread; the room's task
//! takes. Two bounds hold: events, and their payload bytes. Who finds it full waits, in
//! order of arrival.
//!
//! The difficulty is the end: a room may be about to end while somebody pushes. It is
//! therefore closed under the same lock under which it is seen to be empty, and who pushes
//! into a closed mailbox gets the event back and may wait until the room is gone.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::{Semaphore, watch};

use crate::event::RoomEvent;

/// The queue of one opening of a room.
pub(crate) struct Mailbox {
    queue: Mutex<Queue>,
    events_free: Semaphore,
    bytes_free: Semaphore,
    bytes_max: usize,
    gone: watch::Sender<bool>,
}

struct Queue {
    events: VecDeque<RoomEvent>,
    open: bool,
    waker: Option<Waker>,
}

impl Mailbox {
    /// A mailbox with these bounds, each at least 1.
    pub(crate) fn new(events_max: usize, bytes_max: usize) -> Self {
        Self {
            queue: Mutex::new(Queue { events: VecDeque::new(), open: true, waker: None }),
            events_free: Semaphore::new(events_max),
            bytes_free: Semaphore::new(bytes_max),
            bytes_max,
            gone: watch::Sender::new(false),
        }
    }

    /// A mailbox in which one event is already.
    pub(crate) fn with_first(event: RoomEvent, events_max: usize, bytes_max: usize) -> Self {
        let mailbox = Self::new(events_max, bytes_max);
        mailbox.events_free.forget_permits(1);
        mailbox.bytes_free.forget_permits(mailbox.weight(&event) as usize);
        mailbox.queue().events.push_back(event);
        mailbox
    }

    /// Puts an event in, waiting for room. Gives it back if the mailbox is closed.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the event; it is not in the queue then.
    pub(crate) async fn push(&self, event: RoomEvent) -> Result<(), RoomEvent> {
        let bytes = self.weight(&event);
        let Ok(event_permit) = self.events_free.acquire().await else { return Err(event) };
        let Ok(bytes_permit) = self.bytes_free.acquire_many(bytes).await else { return Err(event) };
        let waker = {
            let mut queue = self.queue();
            if !queue.open {
                return Err(event);
            }
            queue.events.push_back(event);
            queue.waker.take()
        };
        event_permit.forget();
        bytes_permit.forget();
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(())
    }

    /// Takes the next event. Called by the room's task alone.
    pub(crate) fn poll_next(&self, cx: &mut Context<'_>) -> Poll<RoomEvent> {
        let event = {
            let mut queue = self.queue();
            match queue.events.pop_front() {
                Some(event) => event,
                None => {
                    queue.waker = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
        };
        self.events_free.add_permits(1);
        self.bytes_free.add_permits(self.weight(&event) as usize);
        Poll::Ready(event)
    }

    /// Ready when an event is in the mailbox; it stays there.
    pub(crate) fn poll_filled(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut queue = self.queue();
        if queue.events.is_empty() {
            queue.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    /// Closes the mailbox if nothing is in it; whether it did.
    pub(crate) fn close_if_empty(&self) -> bool {
        let mut queue = self.queue();
        if queue.events.is_empty() {
            queue.open = false;
        }
        !queue.open
    }

    /// Closes the mailbox and returns what nobody will handle.
    pub(crate) fn close(&self) -> VecDeque<RoomEvent> {
        self.events_free.close();
        self.bytes_free.close();
        let mut queue = self.queue();
        queue.open = false;
        std::mem::take(&mut queue.events)
    }

    /// The room has ended entirely; it may be opened again.
    pub(crate) fn set_gone(&self) {
        self.gone.send_replace(true);
    }

    /// Waits until the room has ended entirely.
    pub(crate) async fn gone(&self) {
        let mut gone = self.gone.subscribe();
        // The sender lives in `self`, so waiting cannot fail.
        let _ = gone.wait_for(|gone| *gone).await;
    }

    /// One event may be longer than the whole bound; it then takes all of it.
    fn weight(&self, event: &RoomEvent) -> u32 {
        u32::try_from(event.len_bytes().min(self.bytes_max)).unwrap_or(u32::MAX)
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.queue();
        f.debug_struct("Mailbox")
            .field("events_len", &queue.events.len())
            .field("open", &queue.open)
            .finish_non_exhaustive()
    }
}
