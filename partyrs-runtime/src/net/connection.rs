//! The reading half of one WebSocket: frames in, and how it ends.
//!
//! tungstenite parses, checks the protocol and answers pings and Closes; it reads from the
//! socket, and what it writes goes through the `Outlet`, where the room writes as well.
//!
//! The difficulty is the end. What the client broke must reach it as a Close, so after our
//! Close we go on reading and throw away, for a while: closing a socket with unread bytes
//! resets it, and the Close would be lost.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use partyrs::seam::ConnectionKey;
use partyrs::{Close, CloseFrame, Frame};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Arrival, Inlet, RoomEvent};
use crate::mailbox::Mailbox;
use crate::outlet::{Ending, Outlet};
use crate::pulse::{Pulse, Watch};
use crate::state::Ticket;
use crate::transport::{ReadHalf, Transport};

/// tungstenite keeps a read buffer of this size per connection; larger ones double the cost
/// of fan-out and most of the memory of an idle connection.
const READ_BUFFER_BYTES: usize = 4 << 10;

/// A pong or a Close reply is at most 127 bytes; tungstenite is given room for a few.
const CONTROL_BYTES_MAX: usize = 4 << 10;

/// What is read and thrown away after our Close, at most.
const DISCARD_BYTES_MAX: usize = 8 << 20;

/// An accepted WebSocket on its way to its room, or to a hook of the lobby.
pub(crate) struct Accepted {
    pub(crate) transport: Transport,
    /// What the client sent right behind its request.
    pub(crate) read_ahead: Vec<u8>,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    /// The connection's place among `connections_max`.
    pub(crate) ticket: Ticket,
}

/// The reading half of a socket that has landed.
pub(super) struct Reading {
    wire: Wire,
    read_ahead: Vec<u8>,
    config: Arc<Config>,
    clock: Clock,
    ticket: Ticket,
}

/// The socket as tungstenite sees it: it reads from the stream and writes through the outlet.
struct Wire {
    half: ReadHalf,
    outlet: Rc<Outlet>,
    /// While frames are read.
    watch: Option<Watch>,
}

/// How the input ended.
enum End {
    /// With this for `on_close`.
    Known(Close),
    /// The room has closed the connection; the client has not answered yet.
    AwaitAnswer,
}

impl Accepted {
    /// Registers the socket with the shard; from now on `outlet` writes to it.
    pub(super) fn land_behind(self, outlet: &Rc<Outlet>) -> io::Result<Reading> {
        let Self { transport, read_ahead, config, clock, ticket } = self;
        let (half, write_half) = transport.land()?;
        outlet.arrive(write_half);
        let wire = Wire { half, outlet: Rc::clone(outlet), watch: None };
        Ok(Reading { wire, read_ahead, config, clock, ticket })
    }
}

impl Arrival for Accepted {
    fn land(self: Box<Self>) -> io::Result<(Rc<Outlet>, Box<dyn Inlet>)> {
        let outlet = Outlet::new(self.config.outbox_bytes_max);
        let reading = self.land_behind(&outlet)?;
        Ok((outlet, Box::new(reading)))
    }

    fn refuse(self: Box<Self>, close: CloseFrame) {
        let Self { transport, config, clock, ticket, .. } = *self;
        // A shard that is being dropped has no runtime any more; its sockets are cut.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let Ok(stream) = transport.into_stream() else { return };
            let farewell = super::linger::close_and_linger(stream, &close);
            clock.timeout(config.close_timeout, farewell).await;
            drop(ticket);
        });
    }
}

impl Inlet for Reading {
    fn start(self: Box<Self>, key: ConnectionKey, mailbox: Arc<Mailbox>, pulse: &Rc<Pulse>) {
        let watch = pulse.watch(&self.wire.outlet, &self.config);
        self.begin(key, mailbox, watch);
    }
}

impl Reading {
    pub(super) fn begin(mut self: Box<Self>, key: ConnectionKey, mailbox: Arc<Mailbox>, watch: Watch) {
        self.wire.watch = Some(watch);
        tokio::task::spawn_local(self.serve(key, mailbox));
    }

    async fn serve(self: Box<Self>, key: ConnectionKey, mailbox: Arc<Mailbox>) {
        let Self { wire, read_ahead, config, clock, ticket } = *self;
        let outlet = Rc::clone(&wire.outlet);
        let limits = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(0)
            .max_write_buffer_size(CONTROL_BYTES_MAX)
            .max_message_size(Some(config.message_bytes_max))
            .max_frame_size(Some(config.message_bytes_max));
        let socket = WebSocketStream::from_partially_read(wire, read_ahead, Role::Server, Some(limits));
        let mut socket = socket.await;
        let close = match read(&mut socket, &outlet, key, &mailbox).await {
            End::Known(close) => close,
            End::AwaitAnswer => {
                let answer = await_answer(&mut socket, &outlet);
                let answer = clock.timeout(config.close_timeout, answer).await;
                answer.unwrap_or_else(Close::lost)
            }
        };
        socket.get_mut().watch = None;
        // On the heap: a connection's task is kept as long as the connection, and this is its end.
        let ended = Box::pin(async move {
            clock.timeout(config.close_timeout, finish(socket.get_mut())).await;
            outlet.cut();
            drop((socket, ticket));
        });
        // The room may be busy; the socket, and its place among others, do not wait for it.
        // A room that has ended does not want to know.
        let _ = tokio::join!(mailbox.push(RoomEvent::Leave { key, close }), ended);
    }
}

/// Reads frames into the mailbox until the input ends.
async fn read(
    socket: &mut WebSocketStream<Wire>,
    outlet: &Rc<Outlet>,
    key: ConnectionKey,
    mailbox: &Mailbox,
) -> End {
    let mut is_lost = false;
    loop {
        let message = tokio::select! {
            biased;
            ending = outlet.ended(), if !is_lost => match ending {
                Ending::Closed { .. } => return End::AwaitAnswer,
                Ending::Violated { code, reason } => return End::Known(Close::new(code, reason, false)),
                Ending::Answered => return End::Known(Close::lost()),
                Ending::Lost => {
                    // A write failed; what arrived before, perhaps a Close, is still there to be
                    // read. The cut makes sure that it ends.
                    outlet.cut();
                    is_lost = true;
                    continue;
                }
            },
            message = socket.next() => message,
        };
        let frame = match message {
            // Revalidated: the text type of the protocol crate is not ours.
            Some(Ok(Message::Text(text))) => match Bytes::from(text).try_into() {
                Ok(text) => Frame::Text(text),
                Err(_) => return violated(outlet, 1007, "Text is not UTF-8"),
            },
            Some(Ok(Message::Binary(bytes))) => Frame::Binary(bytes),
            Some(Ok(Message::Close(close))) => {
                // The answer is written with the next poll; then the stream ends.
                let _ = socket.next().await;
                return End::Known(client_close(close.as_ref()));
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {
                // No mailbox holds up who sends only these; the others of the shard come first.
                tokio::task::coop::consume_budget().await;
                continue;
            }
            Some(Err(error)) => return failed(outlet, &error),
            None => return End::Known(Close::lost()),
        };
        if mailbox.push(RoomEvent::Frame { from: key, frame }).await.is_err() {
            // The room has ended and said so to the client.
            return End::AwaitAnswer;
        }
    }
}

/// Throws away what the client sends until it answers our Close.
async fn await_answer(socket: &mut WebSocketStream<Wire>, outlet: &Outlet) -> Close {
    loop {
        match socket.next().await {
            Some(Ok(Message::Close(_))) => {
                return match outlet.ending() {
                    Some(Ending::Closed { code, reason }) => Close::new(code, reason, true),
                    _ => Close::lost(),
                };
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Close::lost(),
        }
    }
}

/// Lets our Close reach the client before the stream ends.
async fn finish(Wire { half, outlet, .. }: &mut Wire) {
    if outlet.ending() == Some(Ending::Lost) {
        return;
    }
    outlet.flushed().await;
    outlet.shutdown().await;
    super::linger::discard(half, DISCARD_BYTES_MAX).await;
}

fn client_close(close: Option<&tungstenite::protocol::CloseFrame>) -> Close {
    match close {
        None => Close::new(1005, "", true),
        Some(close) => {
            let code = u16::from(close.code);
            // The client sent a code that nobody may send; tungstenite has answered 1002.
            let was_clean = code != 1002;
            Close::new(code, close.reason.as_str(), was_clean)
        }
    }
}

/// What the client broke, as a Close.
fn failed(outlet: &Rc<Outlet>, error: &tungstenite::Error) -> End {
    use tungstenite::Error;
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            violated(outlet, 1009, &format!("Message is too large: {size} > {max_size}"))
        }
        Error::Utf8(_) => violated(outlet, 1007, "Text is not UTF-8"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Known(Close::lost()),
        Error::Protocol(_) | Error::Capacity(_) | Error::AttackAttempt => {
            violated(outlet, 1002, "Protocol error")
        }
        _ => End::Known(Close::lost()),
    }
}

fn violated(outlet: &Rc<Outlet>, code: u16, reason: &str) -> End {
    outlet.violated(code, reason);
    End::Known(Close::new(code, reason, false))
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.half).poll_read(cx, buffer);
        if polled.is_ready()
            && let Some(watch) = &self.watch
        {
            watch.heard();
        }
        polled
    }
}

/// Takes every write whole, so that a pong or a Close is never torn by a frame of the room's.
impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, frame: &[u8]) -> Poll<io::Result<usize>> {
        self.outlet.control(frame);
        Poll::Ready(Ok(frame.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
