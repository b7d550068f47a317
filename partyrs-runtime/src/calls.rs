//! Calls that handles make: work on its way to the mailbox of a room.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use partyrs::seam::{RoomHost, Work};
use partyrs::storage::StorageEngine;
use partyrs::{CallError, RoomAddress};
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::event::RoomEvent;
use crate::host::State;

thread_local! {
    /// The room whose hook is being polled on this thread.
    static RUNNING: RefCell<Option<RoomAddress>> = const { RefCell::new(None) };
}

/// Marks the room whose hook is polled, as long as it lives.
pub(crate) struct InHook(Option<RoomAddress>);

/// What the host lends to its rooms.
pub(crate) struct Calls {
    engine: Arc<dyn StorageEngine>,
    clock: Clock,
    /// Weak, for handles may outlive the host.
    state: Weak<State>,
}

impl Calls {
    pub(crate) fn new(engine: Arc<dyn StorageEngine>, clock: Clock, state: Weak<State>) -> Self {
        Self { engine, clock, state }
    }
}

impl RoomHost for Calls {
    fn engine(&self) -> &dyn StorageEngine {
        &*self.engine
    }

    fn now(&self) -> SystemTime {
        self.clock.wall()
    }

    fn call(&self, callee: RoomAddress, work: Box<dyn Work>) -> BoxFuture<'static, Result<(), CallError>> {
        let caller = RUNNING.with_borrow(Clone::clone);
        let state = self.state.upgrade();
        Box::pin(async move {
            if caller.as_ref() == Some(&callee) {
                // The hook would wait for itself to end.
                return Err(CallError::Cycle { rooms: vec![callee.clone(), callee] });
            }
            let Some(state) = state else { return Err(CallError::Unavailable) };
            let Some(party) = state.party(&callee.party) else { return Err(CallError::Failed) };
            let (reply, answer) = oneshot::channel();
            let event = RoomEvent::Run { work, reply };
            let call = async {
                if let Err((_, refusal)) = state.registry.deliver(&state, party, &callee, event).await {
                    tracing::warn!(room = %callee, ?refusal, "call was not delivered");
                    return Err(CallError::Unavailable);
                }
                // The room drops a call unanswered only if it ends in the middle of it.
                answer.await.unwrap_or(Err(CallError::Failed))
            };
            let answer = state.clock.timeout(state.config.call_timeout, call).await;
            answer.unwrap_or(Err(CallError::TimedOut))
        })
    }
}

impl InHook {
    pub(crate) fn of(room: &RoomAddress) -> Self {
        Self(RUNNING.replace(Some(room.clone())))
    }
}

impl Drop for InHook {
    fn drop(&mut self) {
        RUNNING.set(self.0.take());
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls").field("engine", &self.engine).finish_non_exhaustive()
    }
}
