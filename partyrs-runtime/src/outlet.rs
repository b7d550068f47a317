//! The writing half of one WebSocket. Here the rooms and the network meet again.
//!
//! The room writes whole frames straight to the socket; what the socket does not take at
//! once goes into a bounded outbox, and a writer task is started that lives until the
//! outbox is empty. The reading half adds its pongs and Close replies through the same
//! queue, so frames never mix. After a Close nothing more is written.
//!
//! A room may have a client before its socket: until that [arrives](Outlet::arrive) all is kept.
//!
//! The difficulty is the slow client: its backlog must neither delay the room nor pin the
//! memory of others. How it waits is in `outbox.rs`; over `outbox_bytes_max` the client gets
//! what it has waiting, a Close with 1013, and nothing else.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use tokio::sync::Notify;

use crate::outbox::Outbox;
use crate::transport::WriteHalf;
use crate::wire;

/// The writing half of one WebSocket, on the shard of its room.
pub(crate) struct Outlet {
    outbox_bytes_max: usize,
    state: RefCell<State>,
    /// Told when a Close is sent or the socket breaks; the reading half waits for it.
    ending: Notify,
    /// Told when nothing waits any more or the socket breaks.
    drained: Notify,
}

struct State {
    stream: Stream,
    outbox: Outbox,
    /// Whether the stream below keeps what it has taken: a socket never does.
    is_unflushed: bool,
    ending: Option<Ending>,
    writer_runs: bool,
    /// Whether the socket took something that waited, since the last ping.
    has_taken: bool,
    is_cut: bool,
}

/// Where the bytes go.
enum Stream {
    /// The socket is on its way.
    Awaited,
    Here(WriteHalf),
    /// It has been cut; the reading half alone keeps the descriptor.
    Gone,
}

/// Why nothing more is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The room closed it; the client is to answer.
    Closed { code: u16, reason: String },
    /// The client did what it must not, or read too slowly; no answer is waited for.
    Violated { code: u16, reason: String },
    /// The client closed it and has been answered.
    Answered,
    /// The socket is lost.
    Lost,
}

impl Outlet {
    /// One whose socket has not arrived yet.
    pub(crate) fn new(outbox_bytes_max: usize) -> Rc<Self> {
        let state = RefCell::new(State {
            stream: Stream::Awaited,
            outbox: Outbox::default(),
            is_unflushed: false,
            ending: None,
            writer_runs: false,
            has_taken: false,
            is_cut: false,
        });
        let (ending, drained) = (Notify::new(), Notify::new());
        Rc::new(Self { outbox_bytes_max, state, ending, drained })
    }

    /// The socket has arrived; what waited for it leaves.
    pub(crate) fn arrive(self: &Rc<Self>, half: WriteHalf) {
        let mut state = self.state.borrow_mut();
        if state.is_cut {
            // It came too late; the reading half sees its end.
            half.cut();
        } else {
            state.stream = Stream::Here(half);
            self.run_writer(&mut state);
        }
    }

    /// Writes the parts `runs` of `batch`, which are whole frames, or keeps what the socket
    /// does not take. Writes nothing after a Close.
    pub(crate) fn write(self: &Rc<Self>, batch: &Bytes, runs: &[Range<usize>]) {
        let mut state = self.state.borrow_mut();
        if state.ending.is_some() {
            return;
        }
        let mut written = 0;
        if state.is_free() {
            match state.try_write(batch, runs) {
                Ok(count) => written = count,
                Err(_) => return self.lose(&mut state),
            }
        }
        for run in runs {
            let skipped = written.min(run.len());
            written -= skipped;
            let rest = run.start + skipped..run.end;
            if !rest.is_empty() {
                state.outbox.keep(batch, rest);
            }
        }
        self.check_backlog(&mut state);
        self.run_writer(&mut state);
    }

    /// Whether something waits already, so that the client is behind. One whose socket is still
    /// on its way is not.
    pub(crate) fn is_behind(&self) -> bool {
        self.state.borrow().is_behind()
    }

    /// Adds the frame `run` of `batch` to what waits, in place of an older one of its key.
    pub(crate) fn write_newest(self: &Rc<Self>, batch: &Bytes, run: &Range<usize>, key: &Arc<str>) {
        let mut state = self.state.borrow_mut();
        if state.ending.is_none() {
            state.outbox.keep_newest(key, &batch[run.clone()]);
            self.check_backlog(&mut state);
            self.run_writer(&mut state);
        }
    }

    /// Sends a Close without code, and expects the client to answer it.
    pub(crate) fn close_without_code(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        if state.ending.is_none() {
            let mut bytes = BytesMut::new();
            wire::put_close(&mut bytes, None);
            self.queue(&mut state, &bytes);
            state.ending = Some(Ending::Closed { code: 1005, reason: String::new() });
            self.ending.notify_one();
            self.run_writer(&mut state);
        }
    }

    /// Sends a Close, and expects the client to answer it.
    pub(crate) fn close(self: &Rc<Self>, code: u16, reason: &str) {
        self.end_with(Ending::Closed { code, reason: reason.to_owned() });
    }

    /// Sends a Close because the client broke a rule; no answer is expected.
    pub(crate) fn violated(self: &Rc<Self>, code: u16, reason: &str) {
        self.end_with(Ending::Violated { code, reason: reason.to_owned() });
    }

    /// A control frame of the protocol's own: a pong, or the answer to the client's Close.
    pub(crate) fn control(self: &Rc<Self>, frame: &[u8]) {
        let mut state = self.state.borrow_mut();
        if state.ending.is_some() {
            return;
        }
        self.queue(&mut state, frame);
        if wire::is_close(frame) {
            state.ending = Some(Ending::Answered);
        } else {
            self.check_backlog(&mut state);
        }
        self.run_writer(&mut state);
    }

    /// Sends a ping, unless what was sent before it still waits to be written.
    pub(crate) fn ping(self: &Rc<Self>) {
        let mut state = self.state.borrow_mut();
        state.has_taken = false;
        if state.ending.is_some() || !state.is_free() {
            return;
        }
        let all = 0..wire::PING.len();
        match state.try_write(wire::PING, std::slice::from_ref(&all)) {
            // The socket is full: it would wait.
            Ok(0) => {}
            Ok(count) => state.outbox.keep_copy(&wire::PING[count..]),
            Err(_) => self.lose(&mut state),
        }
        self.run_writer(&mut state);
    }

    /// Whether the socket took something that waited, since the last ping: the client is
    /// there, however slowly it reads.
    pub(crate) fn has_taken(&self) -> bool {
        self.state.borrow().has_taken
    }

    /// Whether the client has sent something that nobody has read yet, its end included.
    pub(crate) fn has_unread(&self) -> bool {
        matches!(&self.state.borrow().stream, Stream::Here(half) if half.has_unread())
    }

    /// Whether a Close has been sent, or the socket is lost.
    pub(crate) fn is_ending(&self) -> bool {
        self.state.borrow().ending.is_some()
    }

    /// Why nothing more is written, if so.
    pub(crate) fn ending(&self) -> Option<Ending> {
        self.state.borrow().ending.clone()
    }

    /// Waits until a Close has been sent by the room or the host, or the socket is lost.
    pub(crate) async fn ended(&self) -> Ending {
        loop {
            if let Some(ending) = self.ending() {
                return ending;
            }
            self.ending.notified().await;
        }
    }

    /// Waits until everything is written, or the socket is lost.
    pub(crate) async fn flushed(&self) {
        loop {
            if !self.is_behind() {
                return;
            }
            self.drained.notified().await;
        }
    }

    /// Ends our side of the stream: the client sees the end after all that was written.
    pub(crate) async fn shutdown(&self) {
        let shut = poll_fn(|cx| match &self.state.borrow().stream {
            Stream::Here(half) => half.poll_shutdown(cx),
            Stream::Awaited | Stream::Gone => Poll::Ready(Ok(())),
        });
        // A socket that is gone already needs no shutdown.
        let _ = shut.await;
    }

    /// Gives up on the socket; what waits is dropped. Its descriptor goes with the reading
    /// half, however long the room keeps this one.
    pub(crate) fn cut(&self) {
        let mut state = self.state.borrow_mut();
        self.lose(&mut state);
        if let Stream::Here(half) = &state.stream {
            half.cut();
        }
        state.is_cut = true;
        if !state.writer_runs {
            state.stream = Stream::Gone;
        }
    }

    fn end_with(self: &Rc<Self>, ending: Ending) {
        let mut state = self.state.borrow_mut();
        if state.ending.is_none() {
            self.end(&mut state, ending);
            self.run_writer(&mut state);
        }
    }

    /// Ends with a client for whom more waits than may.
    fn check_backlog(&self, state: &mut State) {
        if state.outbox.len_bytes() > self.outbox_bytes_max && state.ending.is_none() {
            let reason = format!("Read too slowly: over {} bytes waited", self.outbox_bytes_max);
            self.end(state, Ending::Violated { code: 1013, reason });
        }
    }

    fn end(&self, state: &mut State, ending: Ending) {
        if let Ending::Closed { code, reason } | Ending::Violated { code, reason } = &ending {
            let mut bytes = BytesMut::new();
            wire::put_close(&mut bytes, Some((*code, reason)));
            self.queue(state, &bytes);
        }
        if state.ending.is_none() {
            state.ending = Some(ending);
        }
        self.ending.notify_one();
    }

    /// Writes one whole frame, a short one, or keeps what is left of it.
    fn queue(&self, state: &mut State, frame: &[u8]) {
        let mut written = 0;
        if state.is_free() {
            let all = 0..frame.len();
            match state.try_write(frame, std::slice::from_ref(&all)) {
                Ok(count) => written = count,
                Err(_) => return self.lose(state),
            }
        }
        state.outbox.keep_copy(&frame[written..]);
    }

    fn lose(&self, state: &mut State) {
        state.outbox.clear();
        state.is_unflushed = false;
        if state.ending.is_none() {
            state.ending = Some(Ending::Lost);
        }
        self.ending.notify_one();
        self.drained.notify_waiters();
    }

    fn run_writer(self: &Rc<Self>, state: &mut State) {
        if state.is_behind() && !state.writer_runs {
            state.writer_runs = true;
            let outlet = Rc::clone(self);
            tokio::task::spawn_local(async move { poll_fn(|cx| outlet.poll_write_out(cx)).await });
        }
    }

    /// Writes the outbox out as the socket takes it; ready when nothing waits.
    fn poll_write_out(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut guard = self.state.borrow_mut();
        let state = &mut *guard;
        while let Stream::Here(half) = &state.stream {
            let written = match state.outbox.first() {
                Some(first) => ready!(half.poll_write(cx, first)),
                None if state.is_unflushed => ready!(half.poll_flush(cx)).map(|()| 0),
                None => break,
            };
            match written {
                Ok(count) => {
                    state.has_taken = true;
                    state.outbox.written(count);
                    state.is_unflushed = count > 0 && half.keeps();
                }
                Err(_) => self.lose(state),
            }
        }
        state.writer_runs = false;
        if state.is_cut {
            state.stream = Stream::Gone;
        }
        self.drained.notify_waiters();
        Poll::Ready(())
    }
}

impl State {
    /// Whether something waits for the client: here, or in the stream below.
    fn is_behind(&self) -> bool {
        self.has_waiting() && !matches!(self.stream, Stream::Awaited)
    }

    /// Whether the socket may be written to: it is there, or was, and nothing waits before it.
    fn is_free(&self) -> bool {
        !self.has_waiting() && !matches!(self.stream, Stream::Awaited)
    }

    fn has_waiting(&self) -> bool {
        self.is_unflushed || !self.outbox.is_empty()
    }

    /// Writes as much as the socket takes now; returns how many bytes.
    fn try_write(&mut self, batch: &[u8], runs: &[Range<usize>]) -> io::Result<usize> {
        let Stream::Here(half) = &self.stream else { return Err(io::ErrorKind::NotConnected.into()) };
        let written = write_runs(half, batch, runs)?;
        self.is_unflushed = written > 0 && !half.try_flush()?;
        Ok(written)
    }
}

/// Writes as much as the socket takes now, unflushed; returns how many bytes.
fn write_runs(half: &WriteHalf, batch: &[u8], runs: &[Range<usize>]) -> io::Result<usize> {
    const SLICES_MAX: usize = 64;
    let mut written = 0;
    for runs in runs.chunks(SLICES_MAX) {
        let total: usize = runs.iter().map(Range::len).sum();
        let result = match runs {
            [run] => half.try_write(&batch[run.clone()]),
            runs => {
                let empty = IoSlice::new(&[]);
                let mut slices = [empty; SLICES_MAX];
                for (slice, run) in slices.iter_mut().zip(runs) {
                    *slice = IoSlice::new(&batch[run.clone()]);
                }
                half.try_write_vectored(&slices[..runs.len()])
            }
        };
        match result {
            Ok(count) => {
                written += count;
                // A short write: the rest goes to the outbox, and its writer tries again.
                if count < total {
                    return Ok(written);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(written),
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

impl std::fmt::Debug for Outlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state.borrow();
        f.debug_struct("Outlet")
            .field("outbox_bytes", &state.outbox.len_bytes())
            .field("ending", &state.ending)
            .finish_non_exhaustive()
    }
}
