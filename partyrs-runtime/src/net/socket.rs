//! A WebSocket from a room to a room: a pair of Unix sockets, and the pump at its client's end.
//!
//! The room that is called gets an accepted socket like any other, with all that belongs to
//! it: limits, pings, the closing handshake, its own slow readers. The pump speaks the
//! client's side, on the host's runtime, so that pings are answered whatever the owner does.
//!
//! The difficulty is an owner that does not read, and never lets go. While its queue is full
//! the pump reads nothing, and would not see the end either. So it is told when the other side
//! has ended, and then reads what is left, which is no more than the system keeps for a socket.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use partyrs::seam::{Outgoing, SocketEnd};
use partyrs::{CallError, Close, Frame, Head, RoomAddress, Socket};
use tokio::net::UnixStream;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::connection::Accepted;
use super::http::Target;
use super::upgrade::{self, NoId};
use crate::clock::Clock;
use crate::config::Config;
use crate::state::State;
use crate::transport::Transport;

/// What may wait for the owner to read it; then the pump reads no more.
const INCOMING_BYTES_MAX: usize = 64 << 10;

/// tungstenite keeps a read buffer of this size, and writes when this much is there.
const BUFFER_BYTES: usize = 4 << 10;

/// The client's end of one socket.
struct Pump {
    /// Registered with no runtime yet.
    client: StdUnixStream,
    end: SocketEnd,
    /// Told when the other side has ended.
    gone: oneshot::Receiver<Infallible>,
    config: Arc<Config>,
    clock: Clock,
}

/// Opens a socket to the room `callee`; it goes there by itself.
pub(crate) fn open(
    state: &Arc<State>,
    runtime: &Handle,
    callee: RoomAddress,
    head: Head,
) -> Result<Socket, CallError> {
    let party = Arc::clone(state.party(&callee.party).ok_or(CallError::Failed)?);
    let id = upgrade::connection_id(&head).map_err(|no_id| match no_id {
        NoId::TooLong => CallError::ConnectionId,
        NoId::NoRandom => CallError::Unavailable,
    })?;
    if state.draining.is_set() {
        return Err(CallError::Unavailable);
    }
    let mut ticket = state.ticket().ok_or(CallError::Unavailable)?;
    let (client, server) = pair().map_err(|error| {
        tracing::warn!(room = %callee, %error, "the system gives no sockets");
        CallError::Unavailable
    })?;
    let (config, clock) = (Arc::clone(party.config()), state.clock.clone());
    let (socket, end) = SocketEnd::pair(config.outbox_bytes_max, INCOMING_BYTES_MAX);
    let pump = Pump { client, end, gone: ticket.told(), config: Arc::clone(&config), clock: clock.clone() };
    let (transport, read_ahead) = (Transport::Unix(server), Vec::new());
    let arrival = Box::new(Accepted { transport, read_ahead, config, clock, ticket });
    let target = Target { party, address: callee, remote_addr: SocketAddr::from(([127, 0, 0, 1], 0)) };
    // The host is not held as long as the socket: it may end before its owner.
    let join = upgrade::join(Arc::clone(state), target, head, id, arrival);
    runtime.spawn(async move {
        tokio::join!(join, pump.run());
    });
    Ok(socket)
}

fn pair() -> io::Result<(StdUnixStream, StdUnixStream)> {
    let (client, server) = StdUnixStream::pair()?;
    client.set_nonblocking(true)?;
    server.set_nonblocking(true)?;
    Ok((client, server))
}

impl Pump {
    /// Moves frames in both directions until the socket has ended.
    async fn run(self) {
        let Self { client, end, gone, config, clock } = self;
        let Ok(client) = UnixStream::from_std(client) else { return };
        // What a room sends has no limit but its memory; the other direction is limited there.
        let limits = WebSocketConfig::default()
            .read_buffer_size(BUFFER_BYTES)
            .write_buffer_size(BUFFER_BYTES)
            .max_message_size(None)
            .max_frame_size(None);
        let socket = WebSocketStream::from_raw_socket(client, Role::Client, Some(limits)).await;
        let (mut sink, mut stream) = socket.split();
        let overdue = async {
            poll_fn(|cx| end.poll_closing(cx)).await;
            clock.sleep(config.close_timeout).await;
        };
        let close = tokio::select! {
            biased;
            close = read(&mut stream, &end, gone) => close,
            never = write(&mut sink, &end) => match never {},
            () = overdue => Close::lost(),
        };
        let was_clean = close.was_clean;
        end.end(close);
        if was_clean {
            // Our answer goes out, or a Close of our own that crossed the other's and is still
            // in the buffer; then the other side ends the socket.
            let farewell = async {
                // An error here is seen by reading, too.
                let _ = sink.flush().await;
                stream.next().await
            };
            clock.timeout(config.close_timeout, farewell).await;
        }
    }
}

/// Reads what the room sends until the socket ends.
async fn read(
    stream: &mut SplitStream<WebSocketStream<UnixStream>>,
    end: &SocketEnd,
    mut gone: oneshot::Receiver<Infallible>,
) -> Close {
    let mut is_gone = false;
    loop {
        if !is_gone {
            tokio::select! {
                biased;
                () = poll_fn(|cx| end.poll_room(cx)) => {}
                _ = &mut gone => is_gone = true,
            }
        }
        match stream.next().await {
            Some(Ok(Message::Text(text))) => match Bytes::from(text).try_into() {
                Ok(text) => end.push(Frame::Text(text)),
                Err(_) => return Close::lost(),
            },
            Some(Ok(Message::Binary(bytes))) => end.push(Frame::Binary(bytes)),
            Some(Ok(Message::Close(None))) => return Close::new(1005, "", true),
            Some(Ok(Message::Close(Some(close)))) => {
                return Close::new(close.code.into(), close.reason.as_str(), true);
            }
            // tungstenite answers the pings.
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
            Some(Err(_)) | None => return Close::lost(),
        }
    }
}

/// Writes what the owner sends. How the socket ends, the reading half sees.
async fn write(sink: &mut SplitSink<WebSocketStream<UnixStream>, Message>, end: &SocketEnd) -> Infallible {
    loop {
        let outgoing = match end.try_outgoing() {
            Some(outgoing) => outgoing,
            None if sink.flush().await.is_err() => return pending().await,
            None => poll_fn(|cx| end.poll_outgoing(cx)).await,
        };
        let written = match outgoing {
            Outgoing::Frame(frame) => sink.feed(message(frame)).await,
            Outgoing::Close(close) => {
                let (code, reason) = (close.code().into(), close.reason().into());
                sink.send(Message::Close(Some(CloseFrame { code, reason }))).await
            }
        };
        if written.is_err() {
            return pending().await;
        }
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => match Utf8Bytes::try_from(text.into_bytes()) {
            Ok(text) => Message::Text(text),
            // It was text a moment ago.
            Err(_) => Message::Text(Utf8Bytes::default()),
        },
        Frame::Binary(bytes) => Message::Binary(bytes),
    }
}
