//! How long the host waits for the next request of a connection.
//!
//! A head must come whole within `header_timeout` from its first byte, or from the beginning of
//! the connection; between requests a connection may be idle for `keep_alive_timeout`. While a
//! request is answered, time is the business of whoever answers, but for a client that takes
//! nothing of what is to be written: it has `keep_alive_timeout` too, anew with each byte that
//! it takes.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use partyrs::{Body, BodyError};

use crate::clock::{Clock, Sleep};
use crate::config::Config;

/// Shared by the parts of one connection, which are all of one task.
pub(crate) struct Patience {
    clock: Clock,
    header_timeout: Duration,
    keep_alive_timeout: Duration,
    state: Mutex<State>,
}

struct State {
    waiting: Waiting,
    /// While the client does not take what is to be written.
    stuck: Option<Sleep>,
}

enum Waiting {
    /// For the first byte of a head.
    ForRequest(Sleep),
    /// For the rest of it.
    ForHead(Sleep),
    /// For nothing: a request is being answered.
    Busy,
}

/// The body of an answer; when it is gone, the connection waits for the next request.
pub(crate) struct Answer {
    body: Body,
    patience: Arc<Patience>,
}

impl Patience {
    /// That with a new connection.
    pub(crate) fn new(clock: &Clock, config: &Config) -> Arc<Self> {
        let waiting = Waiting::ForRequest(clock.sleep(config.header_timeout));
        let (header_timeout, keep_alive_timeout) = (config.header_timeout, config.keep_alive_timeout);
        let state = Mutex::new(State { waiting, stuck: None });
        Arc::new(Self { clock: clock.clone(), header_timeout, keep_alive_timeout, state })
    }

    /// Something has come.
    pub(crate) fn heard(&self) {
        let mut state = self.state();
        if matches!(state.waiting, Waiting::ForRequest(_)) {
            state.waiting = Waiting::ForHead(self.clock.sleep(self.header_timeout));
        }
    }

    /// Something is being written, and the client takes it or does not.
    pub(crate) fn wrote<T>(&self, taken: &Poll<T>) {
        let mut state = self.state();
        if taken.is_pending() {
            state.stuck.get_or_insert_with(|| self.clock.sleep(self.keep_alive_timeout));
        } else if state.stuck.take().is_some() && matches!(state.waiting, Waiting::ForRequest(_)) {
            // It was not idle before.
            state.waiting = Waiting::ForRequest(self.clock.sleep(self.keep_alive_timeout));
        }
    }

    /// A head is here, and is answered now.
    pub(crate) fn busy(&self) {
        self.state().waiting = Waiting::Busy;
    }

    /// The answer with a body that tells when it is over.
    pub(crate) fn with(self: &Arc<Self>, answer: http::Response<Body>) -> http::Response<Answer> {
        answer.map(|body| Answer { body, patience: Arc::clone(self) })
    }

    /// Ready with the reason when it is over.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<&'static str> {
        let mut state = self.state();
        let State { waiting, stuck } = &mut *state;
        if let Some(stuck) = stuck {
            return Pin::new(stuck).poll(cx).map(|()| "client takes nothing of its answer");
        }
        match waiting {
            Waiting::ForRequest(sleep) => Pin::new(sleep).poll(cx).map(|()| "no request came in time"),
            Waiting::ForHead(sleep) => Pin::new(sleep).poll(cx).map(|()| "head did not come whole in time"),
            Waiting::Busy => Poll::Pending,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let patience = &self.patience;
        let waiting = Waiting::ForRequest(patience.clock.sleep(patience.keep_alive_timeout));
        patience.state().waiting = waiting;
    }
}
