//! Whose hook is being polled on this thread.
//!
//! A hook calls other rooms and sends to them through values that know nothing of its room.
//! What it may, and what must wait for its writes, is asked here.

use std::cell::RefCell;
use std::sync::Arc;

use crate::seam::Caller;

thread_local! {
    static RUNNING: RefCell<Option<Arc<Caller>>> = const { RefCell::new(None) };
}

/// Marks the room whose hook is polled, as long as it lives.
#[derive(Debug)]
#[must_use]
pub struct InHook(Option<Arc<Caller>>);

impl InHook {
    /// From now on, a hook of `room` is polled on this thread.
    pub fn of(room: &Arc<Caller>) -> Self {
        Self(RUNNING.replace(Some(Arc::clone(room))))
    }

    /// The room whose hook is polled on this thread, if one is.
    #[must_use]
    pub fn running() -> Option<Arc<Caller>> {
        RUNNING.with_borrow(Clone::clone)
    }
}

impl Drop for InHook {
    fn drop(&mut self) {
        RUNNING.set(self.0.take());
    }
}
