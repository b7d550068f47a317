//! A WebSocket outside of the rooms: from an upgrade to the lobby's own end of it.
//!
//! The client's socket lives on a shard, as those of rooms do, with the same reading and
//! writing halves; so limits, pings and the closing handshake are those of rooms. In place of
//! a room there is a pump between them and the queues of the hook, which runs elsewhere.
//!
//! The difficulty is a hook that does not read. While its queue is full the pump takes nothing
//! from the mailbox, and would not see the end of the client either. So it is told when the
//! reading half has ended, and then takes what is left, which is one message.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use bytes::BytesMut;
use http::{Request, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use partyrs::seam::{ConnectionKey, Outgoing, SocketEnd};
use partyrs::{AcceptError, Body, Close, CloseFrame, Head};
use tokio::sync::oneshot;

use super::connection::Accepted;
use super::http::{failed, text, unavailable};
use super::upgrade::{check_handshake, protocol_to_tell, switching_protocols, take_stream};
use crate::event::{Arrival, RoomEvent};
use crate::lobby::{Acceptance, INCOMING_BYTES_MAX, Lobby, Verdict};
use crate::mailbox::Mailbox;
use crate::outlet::Outlet;
use crate::pulse::Pulse;
use crate::state::{State, Ticket};
use crate::wire;

/// Frames are written together up to this size; what is behind them waits in the queue.
const BATCH_BYTES: usize = 64 << 10;

/// What becomes of a client whose handshake is good.
enum Decision {
    /// The hook is told when the WebSocket is open.
    Open(SocketEnd, oneshot::Sender<Result<(), AcceptError>>),
    Close(CloseFrame),
}

/// Asks the lobby about an upgrade to what is no room. The request comes back if it is not taken.
///
/// Whether a path is a WebSocket's, the hook alone knows. So it is asked even if the
/// handshake is bad, and its client is refused when it is accepted.
pub(crate) async fn offer<B>(
    state: &Arc<State>,
    lobby: &Lobby,
    request: Request<B>,
    remote_addr: SocketAddr,
) -> Result<Response<Body>, Request<B>> {
    let handshake = check_handshake(&request);
    if handshake.is_ok()
        && let Some(origin) = state.foreign_origin(request.headers())
    {
        tracing::info!(path = request.uri().path(), origin, "upgrade refused, its origin is not allowed");
        return Ok(text(StatusCode::FORBIDDEN, format!("Origin {origin} is not allowed")));
    }
    let Some(ticket) = state.ticket() else { return Ok(unavailable()) };
    let (mut parts, body) = request.into_parts();
    let on_upgrade = parts.extensions.remove::<OnUpgrade>();
    let (head, ticket, decision) =
        match lobby.socket(state, Head::new(parts.clone()), remote_addr, ticket).await {
            Verdict::Declined => return Err(Request::from_parts(parts, body)),
            Verdict::Over => return Ok(unavailable()),
            Verdict::Failed(error) => match (error.public_close(), state.ticket()) {
                (Some(close), Some(ticket)) => (Head::new(parts), ticket, Decision::Close(close.clone())),
                (Some(_), None) => return Ok(unavailable()),
                (None, _) => return Ok(failed(state, &error)),
            },
            Verdict::Accept(acceptance) => {
                let Acceptance { head, end, ticket, opened } = *acceptance;
                (head, ticket, Decision::Open(end, opened))
            }
        };
    let refusal = match (handshake, on_upgrade) {
        // The shutdown may have begun during the hook.
        _ if state.draining.is_set() => (AcceptError::Unavailable, unavailable()),
        (Ok(accept_key), Some(on_upgrade)) => {
            let protocol = protocol_to_tell(&head, decision.close());
            tokio::spawn(go_through(Arc::clone(state), on_upgrade, ticket, decision));
            return Ok(switching_protocols(&accept_key, protocol));
        }
        (Err(refusal), _) => (AcceptError::Handshake, *refusal),
        (Ok(_), None) => {
            let refusal = text(StatusCode::BAD_REQUEST, "This connection cannot be upgraded");
            (AcceptError::Handshake, refusal)
        }
    };
    let (why, response) = refusal;
    if let Decision::Open(_, opened) = decision {
        // The hook may have been dropped.
        let _ = opened.send(Err(why));
    }
    Ok(response)
}

/// Takes the client's socket once the 101 has gone out, for what was decided.
async fn go_through(state: Arc<State>, on_upgrade: OnUpgrade, ticket: Ticket, decision: Decision) {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        // The client went away before the 101 reached it.
        Err(error) => return tracing::debug!(%error, "upgrade came to nothing"),
    };
    let (transport, read_ahead) = match take_stream(upgraded) {
        Ok(taken) => taken,
        Err(error) => return tracing::debug!(%error, "socket cannot be taken along"),
    };
    let (config, clock) = (Arc::clone(&state.config), state.clock.clone());
    let arrival = Box::new(Accepted { transport, read_ahead, config, clock, ticket });
    match decision {
        Decision::Close(close) => arrival.refuse(close),
        Decision::Open(end, opened) => {
            state.registry.start_somewhere(|pulse| {
                tokio::task::spawn_local(pump(arrival, end, Rc::clone(pulse)));
            });
            // The hook may have been dropped.
            let _ = opened.send(Ok(()));
        }
    }
}

impl Decision {
    fn close(&self) -> Option<&CloseFrame> {
        match self {
            Self::Close(close) => Some(close),
            Self::Open(..) => None,
        }
    }
}

/// Moves frames in both directions until the client's socket has ended.
async fn pump(mut arrival: Box<Accepted>, end: SocketEnd, pulse: Rc<Pulse>) {
    let (config, clock, gone) = (Arc::clone(&arrival.config), arrival.clock.clone(), arrival.ticket.told());
    let (outlet, inlet) = match arrival.land() {
        Ok(halves) => halves,
        Err(error) => return tracing::debug!(%error, "socket was lost on its way to its shard"),
    };
    let mailbox = Arc::new(Mailbox::new(1, INCOMING_BYTES_MAX));
    inlet.start(ConnectionKey(0), Arc::clone(&mailbox), &pulse);
    let overdue = async {
        poll_fn(|cx| end.poll_closing(cx)).await;
        clock.sleep(config.close_timeout).await;
    };
    let close = tokio::select! {
        biased;
        close = read(&mailbox, &end, gone) => close,
        never = write(&outlet, &end) => match never {},
        () = overdue => {
            outlet.cut();
            Close::lost()
        }
    };
    // The reading half may wait there with what nobody reads any more.
    drop(mailbox.close());
    end.end(close);
}

/// Gives the hook what the client sends, until the client's socket ends.
async fn read(mailbox: &Mailbox, end: &SocketEnd, mut gone: oneshot::Receiver<Infallible>) -> Close {
    let mut is_gone = false;
    loop {
        match poll_fn(|cx| mailbox.poll_next(cx)).await {
            RoomEvent::Frame { frame, .. } => {
                if !is_gone {
                    tokio::select! {
                        biased;
                        () = room_or_close(end) => {}
                        _ = &mut gone => is_gone = true,
                    }
                }
                end.push(frame);
            }
            RoomEvent::Leave { close, .. } => return close,
            // A reading half sends nothing else.
            _ => {}
        }
    }
}

/// Waits until there is room for a message, or a Close was asked for: from then on the reading half
/// throws away what comes.
async fn room_or_close(end: &SocketEnd) {
    poll_fn(|cx| match end.poll_room(cx) {
        Poll::Ready(()) => Poll::Ready(()),
        Poll::Pending => end.poll_closing(cx),
    })
    .await;
}

/// Writes what the hook sends. How the socket ends, the reading half sees.
async fn write(outlet: &Rc<Outlet>, end: &SocketEnd) -> Infallible {
    let mut buffer = BytesMut::new();
    loop {
        let mut next = Some(poll_fn(|cx| end.poll_outgoing(cx)).await);
        let mut close = None;
        while let Some(outgoing) = next {
            match outgoing {
                Outgoing::Frame(frame) => wire::put_frame(&mut buffer, &frame),
                Outgoing::Close(last) => close = Some(last),
            }
            next = if buffer.len() < BATCH_BYTES { end.try_outgoing() } else { None };
        }
        let batch = buffer.split().freeze();
        let all = 0..batch.len();
        outlet.write(&batch, std::slice::from_ref(&all));
        if let Some(close) = close {
            outlet.close(close.code(), close.reason());
        }
        // What the client does not take waits in the queue, so that it counts there.
        outlet.flushed().await;
        // The others of the shard come first, however much the hook sends.
        tokio::task::coop::consume_budget().await;
    }
}
