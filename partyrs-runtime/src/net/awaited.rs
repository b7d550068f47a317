//! A client that has its place in the room before it has its 101.
//!
//! Who is told `open` may tell others, and what they then send to the room must reach it too. So
//! the room takes the client in, in its turn among the events, while hyper is still writing the
//! 101; what the room sends is kept until the socket comes out of hyper.
//!
//! The difficulty is the client that never takes its 101. Its room does not wait for it, and it is
//! given up like one that is silent or does not answer a Close, after `keep_alive_timeout` at last. Its
//! place among `connections_max` is taken all the time, so there are never more of these either.

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
use crate::state::Ticket;
use crate::transport::Transport;

/// A client whose 101 is on its way.
pub(crate) struct Awaited {
    pub(crate) room: RoomAddress,
    pub(crate) config: Arc<Config>,
    pub(crate) clock: Clock,
    /// The connection's place among `connections_max`.
    pub(crate) ticket: Ticket,
    /// The stream, with what the client sent right behind its request. Ends by an error if the client
    /// goes away before its 101.
    pub(crate) socket: oneshot::Receiver<(Transport, Vec<u8>)>,
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
            Ok(socket) => return Box::new(self.with(socket)).land(),
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

    fn refuse(mut self: Box<Self>, close: CloseFrame) {
        // A shard that is being dropped has no runtime any more; its sockets are cut.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        runtime.spawn(async move {
            let socket = self.clock.timeout(self.config.close_timeout, &mut self.socket).await;
            // Who has gone away needs no answer.
            if let Some(Ok(socket)) = socket {
                Box::new(self.with(socket)).refuse(close);
            }
        });
    }
}

impl Awaited {
    /// Brings the socket to its outlet as soon as it is there; it is read when the room says so.
    async fn arrive(mut self: Box<Self>, outlet: Rc<Outlet>, begun: oneshot::Receiver<Begin>) {
        let reading = match self.arrived(&outlet).await {
            Some(socket) => self.land_behind(socket, &outlet),
            None => {
                drop(self);
                None
            }
        };
        if reading.is_none() {
            outlet.cut();
        }
        // A room that ends meanwhile lets go of its sockets.
        if let Ok(begin) = begun.await {
            begin.with(reading).await;
        }
    }

    /// The socket, unless the client is given up before it comes.
    async fn arrived(&mut self, outlet: &Outlet) -> Option<(Transport, Vec<u8>)> {
        let (clock, config) = (&self.clock, &self.config);
        let given_up = async {
            match outlet.ended().await {
                Ending::Closed { .. } | Ending::Violated { .. } => clock.sleep(config.close_timeout).await,
                Ending::Answered | Ending::Lost => {}
            }
        };
        tokio::select! {
            biased;
            socket = &mut self.socket => socket.ok(),
            () = given_up => None,
            // Whatever pings are set to.
            () = clock.sleep(config.keep_alive_timeout) => None,
        }
    }

    fn land_behind(self, socket: (Transport, Vec<u8>), outlet: &Rc<Outlet>) -> Option<Box<Reading>> {
        let room = self.room.clone();
        match self.with(socket).land_behind(outlet) {
            Ok(reading) => Some(Box::new(reading)),
            Err(error) => {
                tracing::warn!(%room, %error, "socket cannot be used");
                None
            }
        }
    }

    fn with(self, (transport, read_ahead): (Transport, Vec<u8>)) -> Accepted {
        let Self { config, clock, ticket, .. } = self;
        Accepted { transport, read_ahead, config, clock, ticket }
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
