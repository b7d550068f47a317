//! A client that has its place in the room before it has its 101.
//!
//! Who is told `open` may tell others, and what they then send to the room must reach it too. So
//! the room takes the client in, in its turn among the events, while hyper is still writing the
//! 101; what the room sends is kept until the socket comes out of hyper.
//!
//! The difficulty is the client that never takes its 101. Nobody waits for it: not its room, and
//! no longer than for a client that is silent, or that does not answer a Close.

use std::io;
use std::rc::Rc;
use std::sync::Arc;

use partyrs::seam::ConnectionKey;
use partyrs::{Close, CloseFrame, RoomAddress};
use tokio::sync::oneshot::{self, error::TryRecvError};

use super::connection::{Accepted, Reading};
use crate::clock::Clock;
use crate::config::Config;
use crate::event::{Arrival, Inlet, RoomEvent};
use crate::mailbox::Mailbox;
use crate::outlet::{Ending, Outlet};
use crate::pulse::{Pulse, Watch};

/// A client whose 101 is on its way.
pub(crate) struct Awaited {
    pub(crate) room: RoomAddress,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    /// Ends by an error if the client goes away before its 101.
    pub(crate) socket: oneshot::Receiver<Accepted>,
}

/// The reading half that is to be.
struct Beginning {
    outlet: Rc<Outlet>,
    config: Arc<Config>,
    begin: oneshot::Sender<Begin>,
}

/// What a reading half begins with.
struct Begin {
    key: ConnectionKey,
    mailbox: Arc<Mailbox>,
    watch: Watch,
}

impl Arrival for Awaited {
    fn land(mut self: Box<Self>) -> io::Result<(Rc<Outlet>, Box<dyn Inlet>)> {
        match self.socket.try_recv() {
            Ok(accepted) => return Box::new(accepted).land(),
            // Its end has been told: the channel must not be asked again.
            Err(TryRecvError::Closed) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Err(TryRecvError::Empty) => {}
        }
        let config = Arc::clone(&self.config);
        let outlet = Outlet::new(config.outbox_bytes_max);
        let (begin, begun) = oneshot::channel();
        tokio::task::spawn_local(self.arrive(Rc::clone(&outlet), begun));
        Ok((Rc::clone(&outlet), Box::new(Beginning { outlet, config, begin })))
    }

    fn refuse(self: Box<Self>, close: CloseFrame) {
        // A shard that is being dropped has no runtime any more; its sockets are cut.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            // Who has gone away needs no answer.
            if let Some(Ok(accepted)) = self.clock.timeout(self.config.close_timeout, self.socket).await {
                Box::new(accepted).refuse(close);
            }
        });
    }
}

impl Awaited {
    /// Brings the socket to its outlet as soon as it is there; it is read when the room says so.
    async fn arrive(mut self: Box<Self>, outlet: Rc<Outlet>, begun: oneshot::Receiver<Begin>) {
        let reading = match self.accepted(&outlet).await.map(|accepted| accepted.land_behind(&outlet)) {
            Some(Ok(reading)) => Some(Box::new(reading)),
            Some(Err(error)) => {
                tracing::warn!(room = %self.room, %error, "socket cannot be used");
                None
            }
            None => None,
        };
        drop(self);
        if reading.is_none() {
            outlet.cut();
        }
        // A room that ends meanwhile lets go of its sockets.
        if let Ok(begin) = begun.await {
            begin.with(reading).await;
        }
    }

    /// The socket, unless the client is given up before it comes.
    async fn accepted(&mut self, outlet: &Outlet) -> Option<Accepted> {
        let ending = tokio::select! {
            biased;
            accepted = &mut self.socket => return accepted.ok(),
            ending = outlet.ended() => ending,
        };
        match ending {
            Ending::Closed { .. } | Ending::Violated { .. } => {
                self.clock.timeout(self.config.close_timeout, &mut self.socket).await?.ok()
            }
            Ending::Answered | Ending::Lost => None,
        }
    }
}

impl Inlet for Beginning {
    fn start(self: Box<Self>, key: ConnectionKey, mailbox: Arc<Mailbox>, pulse: &Rc<Pulse>) {
        let watch = pulse.watch(&self.outlet, &self.config);
        // The task that waits for it ends with the shard alone.
        let _ = self.begin.send(Begin { key, mailbox, watch });
    }
}

impl Begin {
    async fn with(self, reading: Option<Box<Reading>>) {
        let Self { key, mailbox, watch } = self;
        match reading {
            Some(reading) => {
                // It could not be pinged before; its time begins now.
                watch.heard();
                reading.begin(key, mailbox, watch);
            }
            None => {
                drop(watch);
                // A room that has ended does not want to know.
                let _ = mailbox.push(RoomEvent::Leave { key, close: Close::lost() }).await;
            }
        }
    }
}
