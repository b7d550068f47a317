//! A response body that the hooks of a room feed, chunk by chunk.
//!
//! The server keeps the [`RoomBody`] and only adds output to the ledger. What the gate lets go
//! the host moves into the [`Pipe`], and the response reads it there, on whatever thread
//! serves the client.
//!
//! The difficulty is the end. A client takes the end of a body for the whole of it, so the end
//! is output like a chunk and waits at the gate behind the commits it follows; only the one
//! that a failed hook takes back comes all the same, for nobody is left to write. A room that
//! fails ends no body: what is still open then is cut.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};

use crate::address::RoomAddress;
use crate::ledger::Ledger;
use crate::response::{BodyError, Response};
use crate::room::Room;
use crate::seam::Effect;

/// What the reading end gives out at once; more would only wait in the server's own buffers.
/// What waits is laid out in pieces of this size, so that one that was given out does not hold
/// the memory of others.
const PIECE_BYTES_MAX: usize = 64 << 10;

/// The writing end of a response body; made by [`Room::body`], kept by the server, written by
/// any of its hooks.
///
/// Dropping it ends the body, behind everything that was written. That is output too: the
/// client sees the end when the commits before it are on disk. A restart in place drops the
/// server and so ends its bodies; when the host shuts down they end as well. A failed commit,
/// or a room that fails for good, cuts the connection instead, so that no client takes half
/// a body for a whole one.
///
/// A room with an open body stays in memory.
pub struct RoomBody {
    key: BodyKey,
    pipe: Arc<Pipe>,
    room: RoomAddress,
    /// Weak, for the body may outlive the room.
    ledger: Weak<Ledger>,
}

/// A body was written with the [`Room`] of another room than that it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("response body of room {body} was written with room {room}; write it in hooks of its own room")]
pub struct WrongRoom {
    /// The room that made the body.
    pub body: RoomAddress,
    /// The room that it was written with.
    pub room: RoomAddress,
}

/// A chunk of a [`RoomBody`], or its end, on its way to the client.
pub struct Chunk {
    key: BodyKey,
    pipe: Arc<Pipe>,
    /// `None` ends the body.
    bytes: Option<Bytes>,
}

/// Tells whoever serves a response that its client reads the room's body too slowly. It
/// travels in the extensions of the response: a server that is stuck in writing to a client does
/// not ask the body, and would not learn it from there.
#[derive(Clone, Debug)]
pub struct BodyWatch {
    pipe: Arc<Pipe>,
}

/// Which body of a room it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BodyKey(u64);

/// The bodies of a room that are open: neither has their end left the room, nor their client.
#[derive(Debug, Default)]
pub(crate) struct OpenBodies {
    pipes: BTreeMap<BodyKey, Arc<Pipe>>,
    next_key: u64,
    /// The room fails: what is open stays so until it is cut.
    are_abandoned: bool,
    /// The room's task.
    waker: Option<Waker>,
}

/// What has left the room and not yet been read.
pub(crate) struct Pipe {
    bytes_max: usize,
    /// The end is on its way; nothing may be written behind it.
    is_ending: AtomicBool,
    flow: Mutex<Flow>,
}

#[derive(Default)]
struct Flow {
    /// Whole pieces, and the one that is being filled. Empty, they hold no memory.
    pieces: VecDeque<Bytes>,
    last_piece: BytesMut,
    waiting_bytes: usize,
    phase: Phase,
    reader: Option<Waker>,
    watch: Option<Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Open,
    /// Nothing follows what waits.
    Ended,
    /// The room has failed; what waits is still read.
    Cut,
    /// More than `bytes_max` would have waited; it has been dropped.
    TooSlow,
    /// Nobody reads any more.
    Unread,
}

/// Why a body is no whole one.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("room failed before the body had ended")]
    Cut,
    #[error("more than outbox_bytes_max ({bytes_max} bytes) of the body waited to be read")]
    TooSlow { bytes_max: usize },
}

/// The reading end, in a [`Response`].
struct Reader {
    key: BodyKey,
    pipe: Arc<Pipe>,
    ledger: Weak<Ledger>,
}

impl RoomBody {
    pub(crate) fn open(room: RoomAddress, ledger: &Arc<Ledger>) -> (Self, Response) {
        let (key, pipe) = ledger.open_body();
        let reader = Reader { key, pipe: Arc::clone(&pipe), ledger: Arc::downgrade(ledger) };
        let mut response = http::Response::new(reader);
        response.extensions_mut().insert(BodyWatch { pipe: Arc::clone(&pipe) });
        (Self { key, pipe, room, ledger: Arc::downgrade(ledger) }, response.into())
    }

    /// Sends `chunk` to the client, as output of the hook that runs: behind the commits that it
    /// follows, in the order of all output of the room, and never if the hook fails after a
    /// write that came before it.
    ///
    /// It never waits. A client that does not read along may have `outbox_bytes_max` (default
    /// 4 MiB) waiting for it, beyond what its connection buffers; over that its connection is
    /// cut, and others are not held up. Where nobody reads any more, this does nothing:
    /// [`RoomBody::is_open`] tells. An empty chunk is nothing too. Where one chunk ends and
    /// the next begins the client need not see.
    ///
    /// # Errors
    ///
    /// [`WrongRoom`] if `room` is not the room that made the body; nothing is sent.
    pub fn write(&self, room: &Room, chunk: impl Into<Bytes>) -> Result<(), WrongRoom> {
        if *room.address() != self.room {
            return Err(WrongRoom { body: self.room.clone(), room: room.address().clone() });
        }
        let bytes = chunk.into();
        if self.is_open() && !bytes.is_empty() && room.is_of(&self.ledger) {
            let pipe = Arc::clone(&self.pipe);
            room.ledger().emit(Effect::Chunk(Chunk { key: self.key, pipe, bytes: Some(bytes) }));
        }
        Ok(())
    }

    /// Whether somebody still reads it: the client has not gone away, and nothing has ended the
    /// body. `self.feeds.retain(RoomBody::is_open)` forgets the others.
    ///
    /// One that has silently lost its network is noticed late, when too much waits for it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        !self.pipe.is_ending.load(Ordering::Acquire) && self.pipe.flow().phase == Phase::Open
    }

    /// Ends the body, as dropping it does.
    pub fn end(self) {}
}

impl Drop for RoomBody {
    fn drop(&mut self) {
        // Without a ledger the room has ended, and the body with it.
        if let Some(ledger) = self.ledger.upgrade() {
            ledger.end_body(self.key);
        }
    }
}

impl Chunk {
    pub(crate) fn end(key: BodyKey, pipe: Arc<Pipe>) -> Self {
        Self { key, pipe, bytes: None }
    }

    pub(crate) fn is_end(&self) -> bool {
        self.bytes.is_none()
    }

    /// Payload bytes.
    pub(crate) fn len_bytes(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }

    /// Moves it to the reading end. Whether the reader keeps up: if not, the body is cut.
    pub(crate) fn deliver(self, ledger: &Ledger) -> bool {
        let keeps_up = match &self.bytes {
            Some(bytes) => self.pipe.push(bytes),
            None => {
                self.pipe.finish(Phase::Ended);
                true
            }
        };
        if self.is_end() || !keeps_up {
            ledger.forget_body(self.key);
        }
        keeps_up
    }
}

impl BodyWatch {
    /// Ready when the body was cut because its client reads too slowly; the connection is to
    /// be cut too.
    pub fn poll_too_slow(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut flow = self.pipe.flow();
        match flow.phase {
            Phase::TooSlow => Poll::Ready(()),
            Phase::Open => {
                flow.watch = Some(cx.waker().clone());
                Poll::Pending
            }
            Phase::Ended | Phase::Cut | Phase::Unread => Poll::Pending,
        }
    }
}

impl OpenBodies {
    pub(crate) fn open(&mut self, bytes_max: usize) -> (BodyKey, Arc<Pipe>) {
        let key = BodyKey(self.next_key);
        self.next_key += 1;
        let (is_ending, flow) = (AtomicBool::new(false), Mutex::default());
        let pipe = Arc::new(Pipe { bytes_max, is_ending, flow });
        self.pipes.insert(key, Arc::clone(&pipe));
        (key, pipe)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pipes.is_empty()
    }

    /// The end of a body that is open, if none is on its way.
    pub(crate) fn end(&self, key: BodyKey) -> Option<Chunk> {
        let pipe = self.pipes.get(&key).filter(|_| !self.are_abandoned)?;
        let is_first = !pipe.is_ending.swap(true, Ordering::AcqRel);
        is_first.then(|| Chunk::end(key, Arc::clone(pipe)))
    }

    /// The ends of all that are open and have none on its way.
    pub(crate) fn end_all(&self) -> Vec<Chunk> {
        self.pipes.keys().filter_map(|key| self.end(*key)).collect()
    }

    pub(crate) fn forget(&mut self, key: BodyKey) {
        self.pipes.remove(&key);
    }

    pub(crate) fn abandon(&mut self) {
        self.are_abandoned = true;
    }

    /// Takes out what is open, to be cut.
    pub(crate) fn take(&mut self) -> BTreeMap<BodyKey, Arc<Pipe>> {
        std::mem::take(&mut self.pipes)
    }

    /// Remembers who is to be woken when a body closes or ends outside of a hook.
    pub(crate) fn wake_by(&mut self, waker: &Waker) {
        if !self.pipes.is_empty() {
            self.waker = Some(waker.clone());
        }
    }

    pub(crate) fn take_waker(&mut self) -> Option<Waker> {
        self.waker.take()
    }
}

impl Pipe {
    /// Whether it still takes chunks afterwards, or had ended before.
    fn push(&self, bytes: &[u8]) -> bool {
        let mut flow = self.flow();
        if flow.phase != Phase::Open {
            return true;
        }
        if flow.waiting_bytes + bytes.len() > self.bytes_max {
            drop(flow);
            self.finish(Phase::TooSlow);
            return false;
        }
        flow.add(bytes);
        let reader = flow.reader.take();
        drop(flow);
        if let Some(reader) = reader {
            reader.wake();
        }
        true
    }

    /// The room has failed.
    pub(crate) fn cut(&self) {
        self.finish(Phase::Cut);
    }

    /// Leaves `Open`; the first call counts.
    fn finish(&self, phase: Phase) {
        let wakers = {
            let mut flow = self.flow();
            if flow.phase != Phase::Open {
                return;
            }
            flow.phase = phase;
            if matches!(phase, Phase::TooSlow | Phase::Unread) {
                flow.pieces = VecDeque::new();
                flow.last_piece = BytesMut::new();
                flow.waiting_bytes = 0;
            }
            [flow.reader.take(), flow.watch.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    fn flow(&self) -> MutexGuard<'_, Flow> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.flow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flow {
    fn add(&mut self, mut bytes: &[u8]) {
        self.waiting_bytes += bytes.len();
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE_BYTES_MAX - self.last_piece.len()));
            self.last_piece.extend_from_slice(now);
            if self.last_piece.len() == PIECE_BYTES_MAX {
                self.pieces.push_back(std::mem::take(&mut self.last_piece).freeze());
            }
            bytes = rest;
        }
    }

    fn take_piece(&mut self) -> Option<Bytes> {
        let piece = match self.pieces.pop_front() {
            Some(piece) => piece,
            None if self.last_piece.is_empty() => return None,
            None => std::mem::take(&mut self.last_piece).freeze(),
        };
        if self.pieces.is_empty() {
            self.pieces = VecDeque::new();
        }
        self.waiting_bytes -= piece.len();
        Some(piece)
    }
}

impl Body for Reader {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut flow = self.pipe.flow();
        if let Some(piece) = flow.take_piece() {
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        let broken = match flow.phase {
            Phase::Open => {
                flow.reader = Some(cx.waker().clone());
                return Poll::Pending;
            }
            Phase::Ended | Phase::Unread => return Poll::Ready(None),
            Phase::Cut => Broken::Cut,
            Phase::TooSlow => Broken::TooSlow { bytes_max: self.pipe.bytes_max },
        };
        Poll::Ready(Some(Err(broken.into())))
    }

    fn is_end_stream(&self) -> bool {
        let flow = self.pipe.flow();
        flow.waiting_bytes == 0 && flow.phase == Phase::Ended
    }

    fn size_hint(&self) -> SizeHint {
        let flow = self.pipe.flow();
        let waiting_bytes = flow.waiting_bytes as u64;
        if flow.phase == Phase::Ended {
            return SizeHint::with_exact(waiting_bytes);
        }
        let mut hint = SizeHint::new();
        hint.set_lower(waiting_bytes);
        hint
    }
}

/// The client has gone away, or the body was read to its end.
impl Drop for Reader {
    fn drop(&mut self) {
        self.pipe.finish(Phase::Unread);
        if let Some(ledger) = self.ledger.upgrade() {
            ledger.body_is_unread(self.key);
        }
    }
}

impl fmt::Debug for RoomBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RoomBody").field("room", &self.room).field("is_open", &self.is_open()).finish()
    }
}

impl fmt::Debug for Chunk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Chunk({} bytes)", self.len_bytes())
    }
}

impl fmt::Debug for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flow = self.flow();
        f.debug_struct("Pipe")
            .field("waiting_bytes", &flow.waiting_bytes)
            .field("phase", &flow.phase)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::connection::Connection;
    use crate::error::{Error, Result};
    use crate::seam::Output;
    use crate::server::PartyServer;
    use crate::testing::TestRoom;

    /// Feeds all its bodies what its clients say.
    struct Press {
        feeds: Vec<RoomBody>,
    }

    /// A body that has left its room; env of both rooms of a test.
    #[derive(Clone, Default)]
    struct Lost(Arc<Mutex<Option<RoomBody>>>);

    impl PartyServer for Press {
        type Message = String;

        async fn on_start(_: &Room) -> Result<Self> {
            Ok(Self { feeds: Vec::new() })
        }

        async fn on_request(&mut self, room: &Room, _: crate::Request) -> Result<Response> {
            let (feed, response) = room.body();
            self.feeds.push(feed);
            Ok(response)
        }

        async fn on_message(&mut self, room: &Room, _: &Connection, text: String) -> Result<()> {
            match text.as_str() {
                "end" => self.feeds.drain(..).for_each(RoomBody::end),
                "put" => room.storage().put("k", "x")?,
                "put, write and fail" => {
                    room.storage().put("k", "x")?;
                    self.feeds[0].write(room, "never")?;
                    return Err(Error::new("as told"));
                }
                "lose" => *room.env::<Lost>()?.0.lock().expect("a lock") = self.feeds.pop(),
                "write what was lost" => {
                    if let Some(body) = &*room.env::<Lost>()?.0.lock().expect("a lock") {
                        body.write(room, "stray")?;
                    }
                }
                _ => {
                    for feed in &self.feeds {
                        feed.write(room, text.clone())?;
                    }
                }
            }
            Ok(())
        }
    }

    async fn read<S: PartyServer>(room: &mut TestRoom<S>) -> crate::Body {
        let request = http::Request::get("/").body("").expect("a request");
        room.request(request).await.expect("a response").into_http().into_body()
    }

    #[tokio::test]
    async fn a_body_is_collected_in_the_order_in_which_it_was_written() {
        let mut room = TestRoom::<Press>::new("x");
        let (ada, mut body) = (room.join().await.unwrap(), read(&mut room).await);
        room.send(&ada, "one, ").await.unwrap();
        let first = body.frame().await.unwrap().unwrap();
        assert_eq!(first.into_data().unwrap(), "one, ");
        for text in ["two, ", "", "three", "end"] {
            room.send(&ada, text).await.unwrap();
        }
        assert_eq!(body.collect().await.unwrap().to_bytes(), "two, three");
    }

    #[tokio::test]
    async fn a_failed_hook_takes_its_chunks_back_and_the_restart_ends_the_body() {
        let mut room = TestRoom::<Press>::new("x");
        let (ada, body) = (room.join().await.unwrap(), read(&mut room).await);
        room.send(&ada, "one").await.unwrap();
        room.send(&ada, "put, write and fail").await.unwrap_err();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "one");
    }

    #[tokio::test]
    async fn a_room_that_is_gone_leaves_no_body_open() {
        let mut room = TestRoom::<Press>::new("x");
        let body = read(&mut room).await;
        drop(room);
        assert_eq!(body.collect().await.unwrap_err().to_string(), "room failed before the body had ended");
    }

    #[tokio::test]
    async fn a_body_whose_response_is_gone_is_closed() {
        let mut room = TestRoom::<Press>::new("x");
        let (ada, body) = (room.join().await.unwrap(), read(&mut room).await);
        assert!(room.server().unwrap().feeds[0].is_open());
        drop(body);
        assert!(!room.server().unwrap().feeds[0].is_open());
        room.send(&ada, "to nobody").await.unwrap();
    }

    #[tokio::test]
    async fn writing_with_another_room_is_refused_with_both_names() {
        let lost = Lost::default();
        let (mut x, mut y) =
            (TestRoom::<Press>::new("x").env(lost.clone()), TestRoom::new("y").env(lost.clone()));
        let (ada, bob) = (x.join().await.unwrap(), y.join().await.unwrap());
        let body = read(&mut x).await;
        x.send(&ada, "lose").await.unwrap();

        let refused = TestRoom::<Press>::send(&mut y, &bob, "write what was lost").await.unwrap_err();

        assert_eq!(
            refused.to_string(),
            "response body of room main/x was written with room main/y; write it in hooks of its own room"
        );
        // Its own room may.
        x.send(&ada, "write what was lost").await.unwrap();
        // Ended outside of any hook; the next turn of the room tells the client.
        drop(lost.0.lock().unwrap().take());
        x.send(&ada, "put").await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), "stray");
    }

    #[test]
    fn a_chunk_weighs_its_payload_at_the_gate() {
        let output = |bytes: Option<Bytes>| {
            let (key, pipe) = OpenBodies::default().open(10);
            Output { after: 0, number: 0, effect: Effect::Chunk(Chunk { key, pipe, bytes }) }
        };
        let end = output(None).len_bytes();
        assert_eq!(output(Some(Bytes::from_static(b"seven.."))).len_bytes(), end + 7);
    }

    #[test]
    fn as_much_as_may_waits_and_one_byte_more_cuts() {
        let (_, pipe) = OpenBodies::default().open(10);
        assert!(pipe.push(&[0; 4]) && pipe.push(&[0; 6]));
        assert!(!pipe.push(&[0; 1]));
        let flow = pipe.flow();
        assert_eq!((flow.phase, flow.waiting_bytes), (Phase::TooSlow, 0));
    }

    #[test]
    fn what_was_read_leaves_no_memory_behind_and_holds_none_of_what_waits() {
        const CHUNK: usize = 1000;
        let (_, pipe) = OpenBodies::default().open(4 << 20);
        let written: Vec<u8> =
            (0..4_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
        written.chunks(CHUNK).for_each(|chunk| assert!(pipe.push(chunk)));
        let mut flow = pipe.flow();
        let mut read = Vec::new();
        while let Some(piece) = flow.take_piece() {
            assert!(piece.len() <= PIECE_BYTES_MAX);
            // Nothing else has a share in it: it may be written to in its place.
            let piece = piece.try_into_mut().expect("memory of its own");
            assert!(piece.capacity() <= 2 * PIECE_BYTES_MAX);
            read.extend_from_slice(&piece);
        }
        assert!(read == written, "{} of {}", read.len(), written.len());
        assert_eq!((flow.waiting_bytes, flow.last_piece.capacity(), flow.pieces.capacity()), (0, 0, 0));
    }
}
