//! A WebSocket that is not a room's own: to another room, or to a client outside of the rooms.
//!
//! It is two bounded queues and a note of how it ended. The host moves frames between them
//! and the other end; nothing here touches a socket.
//!
//! The difficulty is the hook that sends and then fails: what it sent after its first write
//! must never arrive. So in a hook a frame goes through the gate of the hook's room, like any
//! output; and a socket that was dropped meanwhile is closed only when the last frame that is
//! on its way there has come through or was taken back.

use std::collections::VecDeque;
use std::fmt;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use crate::close::{Close, CloseError, CloseFrame};
use crate::frame::{EncodeError, Frame, IntoFrame};
use crate::running::InHook;
use crate::seam::Effect;

/// An open WebSocket: to a room, made by [`RoomHandle::socket`](crate::RoomHandle::socket), or to
/// a client outside of the rooms, made by [`LobbySocket::accept`](crate::LobbySocket::accept).
///
/// What is said here of a room at the other end holds for such a client, but for what
/// [`LobbyServer::on_socket`](crate::LobbyServer::on_socket) says otherwise.
///
/// Reading belongs into a task, and what it hears goes back into the room by a handle: a hook
/// that waits in [`Socket::next`] makes its room wait, and if the other room waits for it as
/// well, only `hook_timeout` ends that. Dropping the socket closes it with 1001, behind what
/// was sent; so it ends with the task or the server value that has it, as when the room
/// restarts, hibernates or leaves memory: in the server it keeps no room awake. A [`SocketSender`] sends on it from elsewhere.
///
/// # Examples
///
/// ```
/// # use partyrs::prelude::*;
/// # struct Ticker;
/// # impl PartyServer for Ticker {
/// #     type Message = String;
/// #     async fn on_start(_: &Room) -> Result<Self> { Ok(Ticker) }
/// # }
/// struct Screen {
///     ticker: SocketSender,
/// }
///
/// impl PartyServer for Screen {
///     type Message = String;
///
///     async fn on_start(room: &Room) -> Result<Self> {
///         let mut socket = room.parties().party::<Ticker>("ticker")?.room("all")?.socket().await?;
///         let (ticker, screen) = (socket.sender(), room.handle::<Self>());
///         room.spawn(async move {
///             while let Some(frame) = socket.next().await {
///                 screen.broadcast(frame).await?;
///             }
///             Ok(())
///         });
///         Ok(Screen { ticker })
///     }
///
///     async fn on_message(&mut self, _: &Room, _: &Connection, text: String) -> Result<()> {
///         Ok(self.ticker.send(text)?)
///     }
/// }
/// ```
pub struct Socket {
    owner: Arc<Owner>,
}

/// The sending half of a [`Socket`]: cheap to clone, to be kept wherever something is sent.
///
/// It does not keep the socket open: when the [`Socket`] is dropped, sending fails.
#[derive(Clone)]
pub struct SocketSender {
    owner: Weak<Owner>,
}

/// Why something was not sent on a socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The socket has ended, or is closing.
    #[error("socket is closed")]
    Closed,
    /// The message has no frame form.
    #[error("message has no frame form")]
    Encode(#[from] EncodeError),
}

/// What leaves a socket, for hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outgoing {
    /// A message.
    Frame(Frame),
    /// A Close; nothing follows it.
    Close(CloseFrame),
}

/// Something on its way to a [`Socket`]'s room, behind the gate of the room that sent it.
#[must_use]
pub struct Forward {
    owner: Arc<Owner>,
    outgoing: Outgoing,
}

/// The host's end of a [`Socket`]. All its `poll` methods belong to one task. Dropping it
/// ends the socket, as lost unless the host has said otherwise.
pub struct SocketEnd {
    link: Arc<Link>,
}

/// Keeps a [`Socket`] open whose owner drops it, for a host that says itself how it closes.
pub struct SocketHold {
    owner: Arc<Owner>,
}

/// Held by the [`Socket`] and by everything on its way to it: the last one closes.
struct Owner {
    link: Arc<Link>,
}

struct Link {
    outgoing_bytes_max: usize,
    incoming_bytes_max: usize,
    /// One lock, held for a few lines, no user code under it.
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// What the host has not taken yet.
    outgoing: VecDeque<Frame>,
    outgoing_bytes: usize,
    /// Asked for; it leaves behind `outgoing`.
    closing: Option<CloseFrame>,
    close_is_taken: bool,
    /// What [`Socket::next`] has not taken yet.
    incoming: VecDeque<Frame>,
    incoming_bytes: usize,
    /// Whether the [`Socket`] is gone: what comes is dropped.
    is_unread: bool,
    ended: Option<Close>,
    host: Option<Waker>,
    reader: Option<Waker>,
    /// Whoever has a [`SocketHold`] and waits for the end; one task.
    holder: Option<Waker>,
    flushing: Vec<Waker>,
}

/// A frame costs this much beside its payload, roughly, so that empty ones are bounded too.
const FRAME_BYTES: usize = 128;

impl Socket {
    /// Sends `message` to the room. It waits for nobody.
    ///
    /// In a hook it is output like any other: it leaves in its place, when the commits that
    /// it follows are on disk, and never if the hook fails after a write that came before it.
    /// Elsewhere it leaves at once. What the room does not take waits; when that is more than
    /// the other party's `outbox_bytes_max` (default 4 MiB), the room gets what waits, and the
    /// socket is closed with 1013. Nothing is left out, `volatile` and `latest` included. A message
    /// over the other party's `message_bytes_max` closes it with 1009.
    ///
    /// # Errors
    ///
    /// [`SocketError`] if the socket is closed, or `message` has no frame form.
    pub fn send(&self, message: impl IntoFrame) -> Result<(), SocketError> {
        self.owner.send(message)
    }

    /// Waits for the next message of the room; `None` once the socket has ended.
    ///
    /// What comes waits in a queue; when 64 KiB wait, no more is read, and the room that sends
    /// deals with it as with any client that reads slowly.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Frame> {
        poll_fn(|cx| self.owner.link.poll_incoming(cx)).await
    }

    /// How it ended; `None` while it has not. Frames may still wait in [`Socket::next`].
    ///
    /// Code and reason are the room's, or those given to `close` if the room has answered; 1006
    /// if the socket was lost, 1011 if the room could not start, 1012 if the host shut down, 1013
    /// if there are too many rooms, or too much waited.
    #[must_use]
    pub fn closed(&self) -> Option<Close> {
        self.owner.link.state().ended.clone()
    }

    /// Closes the socket behind what was sent; the room's `on_close` gets code and reason.
    ///
    /// As [`Socket::send`] it is output if a hook calls it. [`Socket::next`] goes on until the
    /// room has answered; a room that does not within `close_timeout` (default 5 s) is cut
    /// off, and what waited for it is dropped. A socket that is closing already stays as it is.
    ///
    /// # Errors
    ///
    /// [`CloseError`] if the code is none that a party may send, or the reason is over 123 bytes.
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseError> {
        self.owner.close(code, reason)
    }

    /// Waits until nothing that was sent waits for the room any more, or the socket has ended.
    ///
    /// For tasks that send much. What a hook has sent counts from when it has left its room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect on anything else.
    pub async fn flushed(&self) {
        self.owner.link.flushed().await;
    }

    /// The sending half, to be kept elsewhere.
    #[must_use]
    pub fn sender(&self) -> SocketSender {
        SocketSender { owner: Arc::downgrade(&self.owner) }
    }
}

impl SocketSender {
    /// As [`Socket::send`].
    ///
    /// # Errors
    ///
    /// As [`Socket::send`].
    pub fn send(&self, message: impl IntoFrame) -> Result<(), SocketError> {
        self.owner.upgrade().ok_or(SocketError::Closed)?.send(message)
    }

    /// As [`Socket::close`].
    ///
    /// # Errors
    ///
    /// As [`Socket::close`].
    pub fn close(&self, code: u16, reason: &str) -> Result<(), CloseError> {
        match self.owner.upgrade() {
            Some(owner) => owner.close(code, reason),
            None => CloseFrame::new(code, reason).map(drop),
        }
    }

    /// As [`Socket::flushed`].
    ///
    /// # Cancel safety
    ///
    /// As [`Socket::flushed`].
    pub async fn flushed(&self) {
        let link = self.owner.upgrade().map(|owner| Arc::clone(&owner.link));
        if let Some(link) = link {
            link.flushed().await;
        }
    }
}

impl SocketEnd {
    /// A socket and the host's end of it, with the bytes that may wait in each direction.
    #[must_use]
    pub fn pair(outgoing_bytes_max: usize, incoming_bytes_max: usize) -> (Socket, Self) {
        let link = Link { outgoing_bytes_max, incoming_bytes_max, state: Mutex::default() };
        let link = Arc::new(link);
        let owner = Arc::new(Owner { link: Arc::clone(&link) });
        (Socket { owner }, Self { link })
    }

    /// What leaves next; after a Close, nothing.
    pub fn poll_outgoing(&self, cx: &mut Context<'_>) -> Poll<Outgoing> {
        self.link.state().host = Some(cx.waker().clone());
        self.try_outgoing().map_or(Poll::Pending, Poll::Ready)
    }

    /// What leaves now, if anything does.
    #[must_use]
    pub fn try_outgoing(&self) -> Option<Outgoing> {
        let (frame, flushing) = {
            let mut state = self.link.state();
            let Some(frame) = state.outgoing.pop_front() else {
                let close = if state.close_is_taken { None } else { state.closing.clone() };
                state.close_is_taken = close.is_some() || state.close_is_taken;
                return close.map(Outgoing::Close);
            };
            state.outgoing_bytes -= FRAME_BYTES + frame.len();
            let is_last = state.outgoing.is_empty();
            (frame, if is_last { std::mem::take(&mut state.flushing) } else { Vec::new() })
        };
        flushing.into_iter().for_each(Waker::wake);
        Some(Outgoing::Frame(frame))
    }

    /// Ready once a Close was asked for.
    pub fn poll_closing(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.link.state();
        state.host = Some(cx.waker().clone());
        if state.closing.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Ready while there is room for another message of the room's.
    pub fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.link.state();
        state.host = Some(cx.waker().clone());
        if state.incoming_bytes < self.link.incoming_bytes_max { Poll::Ready(()) } else { Poll::Pending }
    }

    /// A message of the room's, whether or not there is room.
    pub fn push(&self, frame: Frame) {
        let reader = {
            let mut state = self.link.state();
            if !state.is_unread && state.ended.is_none() {
                state.incoming_bytes += FRAME_BYTES + frame.len();
                state.incoming.push_back(frame);
            }
            state.reader.take()
        };
        reader.into_iter().for_each(Waker::wake);
    }

    /// The socket has ended so; only the first end counts.
    pub fn end(&self, close: Close) {
        let (_unsent, waiting, flushing) = {
            let mut state = self.link.state();
            if state.ended.is_some() {
                return;
            }
            state.ended = Some(close);
            state.outgoing_bytes = 0;
            let unsent = std::mem::take(&mut state.outgoing);
            let waiting = [state.reader.take(), state.holder.take()];
            (unsent, waiting, std::mem::take(&mut state.flushing))
        };
        waiting.into_iter().flatten().chain(flushing).for_each(Waker::wake);
    }
}

impl SocketHold {
    /// Holds this socket.
    #[must_use]
    pub fn of(socket: &Socket) -> Self {
        Self { owner: Arc::clone(&socket.owner) }
    }

    /// Closes the socket behind what was sent, unless it is closing already.
    pub fn close(&self, close: CloseFrame) {
        self.owner.link.queue(Outgoing::Close(close));
    }

    /// Whether it has ended, or is closing.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.owner.link.is_closing()
    }

    /// Ready once the socket has ended.
    pub fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.owner.link.state();
        if state.ended.is_some() {
            return Poll::Ready(());
        }
        state.holder = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Forward {
    /// Gives it to its socket: the gate has let it go.
    pub fn leave(self) {
        self.owner.link.queue(self.outgoing);
    }

    /// What it weighs at the gate.
    pub(crate) fn len_bytes(&self) -> usize {
        match &self.outgoing {
            Outgoing::Frame(frame) => frame.len(),
            Outgoing::Close(_) => 0,
        }
    }
}

impl Owner {
    fn send(self: &Arc<Self>, message: impl IntoFrame) -> Result<(), SocketError> {
        if self.link.is_closing() {
            return Err(SocketError::Closed);
        }
        self.forward(Outgoing::Frame(message.into_frame()?));
        Ok(())
    }

    fn close(self: &Arc<Self>, code: u16, reason: &str) -> Result<(), CloseError> {
        self.forward(Outgoing::Close(CloseFrame::new(code, reason)?));
        Ok(())
    }

    /// In a hook, through the gate of its room.
    fn forward(self: &Arc<Self>, outgoing: Outgoing) {
        let forward = Forward { owner: Arc::clone(self), outgoing };
        match InHook::running() {
            Some(room) => room.emit(Effect::Forward(forward)),
            None => forward.leave(),
        }
    }
}

impl Link {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that may panic runs under the lock, so a poisoned one is still whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closing(&self) -> bool {
        let state = self.state();
        state.closing.is_some() || state.ended.is_some()
    }

    fn queue(&self, outgoing: Outgoing) {
        // Dropped behind the lock, if it comes too late.
        let mut late = None;
        let host = {
            let mut state = self.state();
            match outgoing {
                outgoing if state.closing.is_some() || state.ended.is_some() => late = Some(outgoing),
                Outgoing::Close(close) => state.closing = Some(close),
                Outgoing::Frame(frame) => {
                    state.outgoing_bytes += FRAME_BYTES + frame.len();
                    state.outgoing.push_back(frame);
                    if state.outgoing_bytes > self.outgoing_bytes_max {
                        let reason =
                            format!("Read too slowly: over {} bytes waited", self.outgoing_bytes_max);
                        state.closing = CloseFrame::new(1013, reason).ok();
                    }
                }
            }
            state.host.take()
        };
        host.into_iter().for_each(Waker::wake);
        drop(late);
    }

    fn poll_incoming(&self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {
        let (frame, host) = {
            let mut state = self.state();
            let Some(frame) = state.incoming.pop_front() else {
                if state.ended.is_some() {
                    return Poll::Ready(None);
                }
                state.reader = Some(cx.waker().clone());
                return Poll::Pending;
            };
            let was_full = state.incoming_bytes >= self.incoming_bytes_max;
            state.incoming_bytes -= FRAME_BYTES + frame.len();
            (frame, if was_full { state.host.take() } else { None })
        };
        host.into_iter().for_each(Waker::wake);
        Poll::Ready(Some(frame))
    }

    async fn flushed(&self) {
        poll_fn(|cx| {
            let mut state = self.state();
            if state.outgoing.is_empty() || state.ended.is_some() {
                return Poll::Ready(());
            }
            state.flushing.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Dropped behind the lock.
        let (_unread, host) = {
            let mut state = self.owner.link.state();
            state.is_unread = true;
            state.incoming_bytes = 0;
            (std::mem::take(&mut state.incoming), state.host.take())
        };
        host.into_iter().for_each(Waker::wake);
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Ok(close) = CloseFrame::new(1001, "Socket was dropped") {
            self.link.queue(Outgoing::Close(close));
        }
    }
}

impl Drop for SocketEnd {
    fn drop(&mut self) {
        self.end(Close::lost());
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("closed", &self.closed()).finish_non_exhaustive()
    }
}

impl fmt::Debug for SocketSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketSender")
    }
}

impl fmt::Debug for SocketEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketEnd")
    }
}

impl fmt::Debug for SocketHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SocketHold")
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forward")
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::prelude::*;
    use crate::testing::TestRoom;

    /// Sends what it is told to its own room, and says what it hears there.
    struct Relay {
        own: Option<Socket>,
    }

    impl PartyServer for Relay {
        type Message = String;

        async fn on_start(_: &Room) -> Result<Self> {
            Ok(Relay { own: None })
        }

        async fn on_message(&mut self, room: &Room, sender: &Connection, text: String) -> Result<()> {
            if sender.id().as_str() == "own" {
                room.broadcast(format!("heard {text}"))?;
                return Ok(());
            }
            if text == "open" {
                self.own = Some(room.handle::<Self>().socket_at("/?_pk=own").await?);
                return Ok(());
            }
            let Some(own) = &self.own else { return Err(Error::new("no socket")) };
            own.send(format!("{text} 1"))?;
            room.storage().put("k", &text)?;
            own.send(format!("{text} 2"))?;
            if text == "fail" { Err(Error::new("as told")) } else { Ok(()) }
        }

        async fn on_close(&mut self, room: &Room, connection: &Connection, close: &Close) -> Result<()> {
            room.broadcast(format!("{} gone {}", connection.id(), close.code))?;
            Ok(())
        }
    }

    fn numbered(end: &SocketEnd) -> String {
        let outgoing = std::iter::from_fn(|| end.try_outgoing());
        let texts = outgoing.map(|outgoing| match outgoing {
            Outgoing::Frame(frame) => frame.as_text().unwrap_or_default().to_owned(),
            Outgoing::Close(close) => close.code().to_string(),
        });
        texts.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn at_the_limit_nothing_happens_and_one_past_it_what_waits_is_followed_by_1013() {
        let (socket, end) = SocketEnd::pair(2 * (FRAME_BYTES + 1), 1);
        for text in ["a", "b"] {
            socket.send(text).unwrap();
        }
        assert_eq!(numbered(&end), "a b");
        for text in ["a", "b", "c"] {
            socket.send(text).unwrap();
        }
        assert!(matches!(socket.send("d"), Err(SocketError::Closed)));
        assert_eq!(numbered(&end), "a b c 1013");
        assert_eq!(numbered(&end), "");
    }

    #[test]
    fn what_has_come_is_read_before_the_end_and_the_first_end_counts() {
        let (mut socket, end) = SocketEnd::pair(1000, 1000);
        let sender = socket.sender();
        end.push(Frame::text("a"));
        end.end(Close::new(4000, "bye", true));
        end.push(Frame::text("late"));
        drop(end);
        assert!(matches!(sender.send("b"), Err(SocketError::Closed)));
        assert_eq!(socket.next().now_or_never(), Some(Some(Frame::text("a"))));
        assert_eq!(socket.next().now_or_never(), Some(None));
        assert_eq!(socket.closed().map(|close| close.code), Some(4000));
        assert_eq!(socket.flushed().now_or_never(), Some(()));
    }

    #[test]
    fn a_socket_that_is_held_is_closed_by_its_holder_and_not_by_being_dropped() {
        let (socket, end) = SocketEnd::pair(1000, 1000);
        let hold = SocketHold::of(&socket);
        socket.send("a").unwrap();
        drop(socket);
        assert_eq!(numbered(&end), "a");
        assert!(!hold.is_closing());
        let ended = poll_fn(|cx| hold.poll_ended(cx));
        hold.close(CloseFrame::new(4000, "").unwrap());
        assert_eq!(numbered(&end), "4000");
        end.end(Close::lost());
        assert_eq!(ended.now_or_never(), Some(()));
    }

    #[tokio::test]
    async fn a_test_room_hears_what_is_sent_to_it_and_answers() {
        let mut room = TestRoom::<Relay>::new("x");
        let mut socket = room.handle().socket_at("/?_pk=own").await.unwrap();
        socket.send("hi").unwrap();
        room.settle().await.unwrap();
        assert_eq!(socket.next().await, Some(Frame::text("heard hi")));
        assert_eq!(
            room.room().unwrap().connection(&ConnectionId::new("own")).unwrap().uri(),
            "/parties/main/x/?_pk=own"
        );

        let ada = room.join().await.unwrap();
        socket.close(4001, "").unwrap();
        room.settle().await.unwrap();
        assert_eq!((socket.next().await, socket.closed().unwrap().code), (None, 4001));
        assert_eq!(ada.received(), [Frame::text("own gone 4001")]);
    }

    #[tokio::test]
    async fn in_a_test_room_a_hook_that_fails_sends_nothing_after_its_first_write() {
        let mut room = TestRoom::<Relay>::new("x");
        let ada = room.join_as("ada").await.unwrap();
        room.send(&ada, "open").await.unwrap();
        room.send(&ada, "fine").await.unwrap();
        room.settle().await.unwrap();
        assert_eq!(ada.received(), [Frame::text("heard fine 1"), Frame::text("heard fine 2")]);
        room.send(&ada, "fail").await.unwrap_err();
        // The server was dropped, and its socket with it.
        room.settle().await.unwrap();
        assert_eq!(ada.received(), [Frame::text("heard fail 1"), Frame::text("own gone 1001")]);
    }
}
