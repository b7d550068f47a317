//! What goes on in a room beside its hooks: commits land, output leaves, tasks run.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use partyrs::seam::{Caller, Hosted, InHook, Task, panic_error};
use partyrs::storage::CommitError;
use partyrs::{Error, Hook, Result, RoomAddress};
use tokio::task::JoinSet;

use super::commits::Commits;
use super::outgoing::Outgoing;
use crate::clock::{Clock, Sleep};
use crate::config::Config;
use crate::quietly::run_quietly;
use crate::state::State;

/// What goes on beside the hooks.
pub(super) struct Flow {
    state: Arc<State>,
    config: Arc<Config>,
    pub(super) commits: Commits,
    pub(super) outgoing: Outgoing,
    pub(super) tasks: JoinSet<Result<()>>,
    /// Tasks that the gate has let go and that are not started yet.
    pub(super) startable: Vec<Task>,
    /// The room as a caller of others; made with its first hook.
    caller: Option<Arc<Caller>>,
}

/// How a hook ended.
pub(super) enum HookEnd<R> {
    Returned(Result<R>),
    Panicked(Error),
    CommitFailed(CommitError),
}

/// Notices a hook that takes long.
struct Late {
    warn: Sleep,
    end: Sleep,
    warned: bool,
}

impl Flow {
    pub(super) fn new(state: Arc<State>, config: Arc<Config>) -> Self {
        let commits = Commits::new(&state);
        let (outgoing, tasks) = (Outgoing::default(), JoinSet::new());
        Self { state, config, commits, outgoing, tasks, startable: Vec::new(), caller: None }
    }

    /// Runs a hook to its end. Whenever it waits, commits land and output leaves.
    pub(super) async fn drive<R>(
        &mut self,
        hosted: &Hosted,
        hook: Hook,
        future: impl Future<Output = Result<R>>,
    ) -> HookEnd<R> {
        let mut future = pin!(Some(future));
        let mut late: Option<Late> = None;
        let (state, config) = (Arc::clone(&self.state), Arc::clone(&self.config));
        let caller = Arc::clone(self.caller.get_or_insert_with(|| Arc::new(hosted.caller())));
        let started = state.clock.now();
        let end = poll_fn(|cx| {
            let polled = {
                let _in_hook = InHook::of(&caller);
                let Some(hook) = future.as_mut().as_pin_mut() else { return Poll::Pending };
                catch_unwind(AssertUnwindSafe(|| hook.poll(cx)))
            };
            match polled {
                Err(panic) => return Poll::Ready(HookEnd::Panicked(panic_error(&*panic))),
                Ok(Poll::Ready(result)) => return Poll::Ready(HookEnd::Returned(result)),
                Ok(Poll::Pending) => {}
            }
            if let Err(error) = self.commits.poll(cx, hosted) {
                return Poll::Ready(HookEnd::CommitFailed(error));
            }
            // Its time runs before anybody sees what it has sent.
            let late = late.get_or_insert_with(|| Late::new(&state.clock, &config));
            self.flush(cx, hosted);
            late.poll(cx, &config, hosted.room().address(), hook).map(HookEnd::Panicked)
        })
        .await;
        let address = hosted.room().address();
        // A hook that was ended drops what it held, and what that sends is still the hook's.
        run_quietly(address, || {
            let _in_hook = InHook::of(&caller);
            future.set(None);
        });
        let took = state.clock.now().saturating_sub(started);
        if took > config.hook_warn_after && late.is_none_or(|late| !late.warned) {
            tracing::warn!(room = %address, %hook, ?took, "hook blocked its shard");
        }
        end
    }

    /// Gives back the memory that a busy turn has taken; nothing may be under way.
    pub(super) fn shrink(&mut self) {
        self.outgoing.shrink();
        self.startable = Vec::new();
    }

    /// Writes what may leave, and starts the tasks that may start.
    pub(super) fn flush(&mut self, cx: &mut Context<'_>, hosted: &Hosted) {
        // Before output is released: what comes behind it is waited for.
        hosted.watch_bodies(cx.waker());
        self.outgoing.flush(hosted, &mut self.startable);
        for task in self.startable.drain(..) {
            self.tasks.spawn_local(task);
            // So that the room asks for its end.
            cx.waker().wake_by_ref();
        }
    }
}

impl Late {
    fn new(clock: &Clock, config: &Config) -> Self {
        let (warn, end) = (clock.sleep(config.hook_warn_after), clock.sleep(config.hook_timeout));
        Self { warn, end, warned: false }
    }

    /// Ready with an error when the hook's time is over.
    fn poll(&mut self, cx: &mut Context<'_>, config: &Config, room: &RoomAddress, hook: Hook) -> Poll<Error> {
        if !self.warned && Pin::new(&mut self.warn).poll(cx).is_ready() {
            self.warned = true;
            let after = config.hook_warn_after;
            tracing::warn!(%room, %hook, ?after, "hook still runs, and its room waits");
        }
        Pin::new(&mut self.end).poll(cx).map(|()| {
            let limit = config.hook_timeout;
            Error::new(format!("hook ran longer than hook_timeout ({limit:?})"))
        })
    }
}
