//! How long the host waits for the next request of a connection.
//!
//! A head must come whole within `header_timeout` from its first byte, or from the beginning of
//! the connection; between requests a connection may be idle for `keep_alive_timeout`. While a
//! request is answered, time is the business of whoever answers; and a client that has not
//! taken the end of an answer yet is not idle.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
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
    waiting: Mutex<Waiting>,
    /// Whether the client does not take what is to be written.
    is_stuck: AtomicBool,
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
        let waiting = Mutex::new(Waiting::ForRequest(clock.sleep(config.header_timeout)));
        let (header_timeout, keep_alive_timeout) = (config.header_timeout, config.keep_alive_timeout);
        let is_stuck = AtomicBool::new(false);
        Arc::new(Self { clock: clock.clone(), header_timeout, keep_alive_timeout, waiting, is_stuck })
    }

    /// Something has come.
    pub(crate) fn heard(&self) {
        let mut waiting = self.waiting();
        if matches!(*waiting, Waiting::ForRequest(_)) {
            *waiting = Waiting::ForHead(self.clock.sleep(self.header_timeout));
        }
    }

    /// Something is being written, and the client takes it or does not.
    pub(crate) fn wrote<T>(&self, taken: &Poll<T>) {
        let was_stuck = self.is_stuck.swap(taken.is_pending(), Ordering::Relaxed);
        let mut waiting = self.waiting();
        if was_stuck && matches!(*waiting, Waiting::ForRequest(_)) {
            *waiting = Waiting::ForRequest(self.clock.sleep(self.keep_alive_timeout));
        }
    }

    /// A head is here, and is answered now.
    pub(crate) fn busy(&self) {
        *self.waiting() = Waiting::Busy;
    }

    /// The answer with a body that tells when it is over.
    pub(crate) fn with(self: &Arc<Self>, answer: http::Response<Body>) -> http::Response<Answer> {
        answer.map(|body| Answer { body, patience: Arc::clone(self) })
    }

    /// Ready when it is over.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.waiting() {
            // Asked again when the client takes something.
            Waiting::ForRequest(_) if self.is_stuck.load(Ordering::Relaxed) => Poll::Pending,
            Waiting::ForRequest(sleep) | Waiting::ForHead(sleep) => Pin::new(sleep).poll(cx),
            Waiting::Busy => Poll::Pending,
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
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
        *patience.waiting() = Waiting::ForRequest(patience.clock.sleep(patience.keep_alive_timeout));
    }
}
