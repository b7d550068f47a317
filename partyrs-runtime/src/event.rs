//! What may come to a room. Here the network and the rooms meet.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use partyrs::seam::{ConnectionKey, NewConnection, Work};
use partyrs::storage::CommitError;
use partyrs::{CallError, Close, CloseFrame, ConnectContext, Frame, Request, Response, RoomAddress};
use tokio::sync::oneshot;

use crate::alarms::Woken;
use crate::mailbox::Mailbox;
use crate::outlet::Outlet;
use crate::pulse::Pulse;
use crate::quietly::run_quietly;
use crate::shutdown::Pacer;

/// One event of a room, in the order in which the room takes them.
pub(crate) enum RoomEvent {
    /// A client has been accepted.
    Join(Box<Join>),
    /// A client sent a message.
    Frame { from: ConnectionKey, frame: Frame },
    /// A client's socket has ended, or its input has.
    Leave { key: ConnectionKey, close: Close },
    /// A plain HTTP request, complete with its body unless the party streams it.
    Request { request: Box<Request>, reply: oneshot::Sender<Result<Response, Refusal>> },
    /// Work that a handle brought.
    Run { work: Box<dyn Work>, reply: oneshot::Sender<Result<(), CallError>> },
    /// An alarm of the room is due; which one the room knows.
    Alarm(Woken),
    /// The room is to hibernate as soon as it is quiet, and to say so.
    #[cfg_attr(not(feature = "testing"), expect(dead_code, reason = "only tests force it"))]
    Lull(oneshot::Sender<()>),
    /// The host ends: the connections are closed as the pacer says, at its pace.
    Drain(Arc<Pacer>),
}

/// A client that has been accepted and is on its way to its room.
pub(crate) struct Join {
    pub(crate) new: NewConnection,
    pub(crate) context: ConnectContext,
    pub(crate) arrival: Box<dyn Arrival>,
}

/// A socket on its way to the shard of its room.
pub(crate) trait Arrival: Send {
    /// Called on the shard: registers the socket there, at once or when it has come. Nothing is
    /// read yet. `ConnectionAborted` if it is known already that none will come.
    fn land(self: Box<Self>) -> io::Result<(Rc<Outlet>, Box<dyn Inlet>)>;

    /// Tells the client that it cannot stay, and ends the socket. Called on any tokio runtime.
    fn refuse(self: Box<Self>, close: CloseFrame);
}

/// The reading half of a socket that has landed.
pub(crate) trait Inlet {
    /// Begins to read; frames go to `mailbox` as those of `key`, and one `Leave` at the end.
    /// From now on `pulse` looks after the client.
    fn start(self: Box<Self>, key: ConnectionKey, mailbox: Arc<Mailbox>, pulse: &Rc<Pulse>);
}

/// Why a room did not do what it was asked.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    /// `on_start` failed; the text is for a plain request.
    StartFailed { text: Arc<str> },
    /// The commit of the hook, or an earlier one, failed.
    CommitFailed(CommitError),
    /// The room panicked too often.
    Broken,
    /// Too many rooms, a full mailbox, or the host shuts down.
    Unavailable,
}

impl RoomEvent {
    /// Payload bytes, for the bound of the mailbox.
    pub(crate) fn len_bytes(&self) -> usize {
        match self {
            Self::Frame { frame, .. } => frame.len(),
            Self::Request { request, .. } => request.bytes().len(),
            Self::Join(_)
            | Self::Leave { .. }
            | Self::Run { .. }
            | Self::Alarm(_)
            | Self::Lull(_)
            | Self::Drain(_) => 0,
        }
    }

    /// Tells whoever waits for this event that it will not be handled.
    pub(crate) fn refuse(self, room: &RoomAddress, refusal: &Refusal) {
        // What the user put into a request, a connection or a call is dropped here.
        run_quietly(room, || self.refuse_unguarded(refusal));
    }

    fn refuse_unguarded(self, refusal: &Refusal) {
        match self {
            Self::Join(join) => join.arrival.refuse(refusal.close_frame()),
            // Whoever has gone away meanwhile needs no answer.
            Self::Request { reply, .. } => drop(reply.send(Err(refusal.clone()))),
            Self::Run { reply, .. } => drop(reply.send(Err(refusal.call_error()))),
            // Whoever woke the room learns of it, and tries again.
            Self::Alarm(woken) => drop(woken),
            Self::Frame { .. } | Self::Leave { .. } | Self::Lull(_) | Self::Drain(_) => {}
        }
    }
}

impl Refusal {
    /// What a connection is told. The texts are short enough for a Close frame.
    pub(crate) fn close_frame(&self) -> CloseFrame {
        let (code, reason) = match self {
            Self::StartFailed { .. } => (1011, "Room failed to start"),
            Self::CommitFailed(CommitError::Full) => (1013, "Storage is full"),
            Self::CommitFailed(_) => (1011, "Storage failed"),
            Self::Broken => (1011, "Room failed"),
            Self::Unavailable => (1013, "Try again later"),
        };
        close_frame(code, reason)
    }

    /// What a caller is told.
    pub(crate) fn call_error(&self) -> CallError {
        match self {
            Self::Unavailable => CallError::Unavailable,
            Self::StartFailed { .. } | Self::CommitFailed(_) | Self::Broken => CallError::Failed,
        }
    }
}

/// A Close frame of the host's own.
pub(crate) fn close_frame(code: u16, reason: &str) -> CloseFrame {
    CloseFrame::new(code, reason).expect("the host's own close codes are legal and its reasons short")
}
