//! Calls that handles make: work and requests on their way to the mailbox of a room.
//!
//! The difficulty is a hook that calls. Its room waits for the other, so a circle of such
//! rooms would never end: each call asks `Waits` first. And its room may have to take back
//! what it has written, so a call that would show it to others is refused.

use std::any::TypeId;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use futures_util::future::BoxFuture;
use partyrs::seam::{Caller, InHook, RoomHost, Work};
use partyrs::storage::{EngineError, StorageEngine};
use partyrs::{CallError, Head, PartyError, PartyName, Request, Response, RoomAddress, Socket};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::clock::Clock;
use crate::event::RoomEvent;
use crate::net::socket;
use crate::state::State;
use crate::waits::{Waiting, Waits};

/// What the host lends to its rooms.
pub(crate) struct Calls {
    waits: Arc<Waits>,
    clock: Clock,
    /// Weak, for handles may outlive the host.
    state: Weak<State>,
    /// Whose timers calls use: a handle may be used where there are none.
    runtime: Handle,
}

impl Calls {
    /// Called on the host's runtime.
    pub(crate) fn new(clock: Clock, state: Weak<State>) -> Self {
        Self { waits: Arc::default(), clock, state, runtime: Handle::current() }
    }

    /// Brings an event to `callee` and waits for its answer, within `call_timeout`.
    fn deliver<T: Send + 'static>(
        &self,
        callee: RoomAddress,
        event: RoomEvent,
        answer: impl Future<Output = Result<T, CallError>> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, CallError>> {
        let caller = InHook::running();
        let (state, waits) = (self.state.upgrade(), Arc::clone(&self.waits));
        let runtime = self.runtime.clone();
        Box::pin(async move {
            let Some(state) = state else { return Err(CallError::Unavailable) };
            let Some(party) = state.party(&callee.party) else { return Err(CallError::Failed) };
            // Held until the answer is here.
            let _waiting = match caller {
                Some(caller) => Some(may_call(&waits, &caller, &callee).await?),
                None => None,
            };
            let call = async {
                if let Err((_, refusal)) = state.registry.deliver(&state, party, &callee, event).await {
                    tracing::warn!(room = %callee, ?refusal, "call was not delivered");
                    return Err(CallError::Unavailable);
                }
                answer.await
            };
            let late = {
                let _in_runtime = runtime.enter();
                state.clock.sleep(state.config.call_timeout)
            };
            tokio::select! {
                biased;
                answer = call => answer,
                () = late => Err(CallError::TimedOut),
            }
        })
    }
}

/// Whether a hook of `caller` may wait for `callee`; waits until what it may know is durable.
async fn may_call(waits: &Arc<Waits>, caller: &Caller, callee: &RoomAddress) -> Result<Waiting, CallError> {
    if caller.has_unsynced_writes() {
        return Err(CallError::Unsynced);
    }
    let waiting = waits.begin(caller.address(), callee).map_err(|rooms| CallError::Cycle { rooms })?;
    caller.landed().await;
    Ok(waiting)
}

impl RoomHost for Calls {
    fn engine(&self) -> Result<Arc<dyn StorageEngine>, EngineError> {
        let state = self.state.upgrade().ok_or_else(|| EngineError::new("the host has ended"))?;
        Ok(Arc::clone(&state.engine))
    }

    fn now(&self) -> SystemTime {
        self.clock.wall()
    }

    fn server_of(&self, party: &PartyName) -> Result<(TypeId, &'static str), PartyError> {
        let state = self.state.upgrade().ok_or(PartyError::Unavailable)?;
        let party = state.party(party).ok_or_else(|| PartyError::Unknown(party.to_string()))?;
        Ok(party.server())
    }

    fn fetch(
        &self,
        callee: RoomAddress,
        request: Request,
    ) -> BoxFuture<'static, Result<Response, CallError>> {
        let (reply, answer) = oneshot::channel();
        let event = RoomEvent::Request { request: Box::new(request), reply };
        self.deliver(callee, event, async {
            let answer = answer.await.map_err(|_| CallError::Failed)?;
            answer.map_err(|refusal| refusal.call_error())
        })
    }

    fn socket(&self, callee: RoomAddress, head: Head) -> BoxFuture<'static, Result<Socket, CallError>> {
        let caller = InHook::running();
        let (state, runtime) = (self.state.upgrade(), self.runtime.clone());
        Box::pin(async move {
            let Some(state) = state else { return Err(CallError::Unavailable) };
            if let Some(caller) = caller {
                if caller.has_unsynced_writes() {
                    return Err(CallError::Unsynced);
                }
                // Nobody's hook is waited for, so there is no circle to be refused.
                caller.landed().await;
            }
            socket::open(&state, &runtime, callee, head)
        })
    }

    fn call(&self, callee: RoomAddress, work: Box<dyn Work>) -> BoxFuture<'static, Result<(), CallError>> {
        let (reply, answer) = oneshot::channel();
        // The room drops a call unanswered only if it ends in the middle of it.
        let answer = async { answer.await.unwrap_or(Err(CallError::Failed)) };
        self.deliver(callee, RoomEvent::Run { work, reply }, answer)
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Calls")
    }
}
