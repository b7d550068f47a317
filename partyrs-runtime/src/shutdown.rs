//! How a host ends: rooms are drained, clients are told at a pace, and nobody is forgotten.
//!
//! The difficulty is the herd: `partysocket` comes back after a fixed time without jitter,
//! so closing everybody at once brings everybody back at once.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use partyrs::CloseFrame;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Semaphore, watch};

use crate::clock::Clock;
use crate::event::close_frame;

/// Connections that are closed at once; more are spread.
const AT_ONCE_MAX: usize = 100;

/// Connections closed per second when they are spread.
const PER_SECOND: usize = 1000;

/// Whether the host still takes requests. Written once, by the shutdown.
#[derive(Debug)]
pub(crate) struct Draining(watch::Sender<bool>);

/// Gives out the right to close a connection, one by one, and what to tell it.
#[derive(Debug)]
pub(crate) struct Pacer {
    tickets: Semaphore,
    why: Why,
}

/// Why a host ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It was told to.
    Stopped,
    /// Nothing is known any more of what is stored.
    StorageFailed,
}

/// Ctrl-C or SIGTERM.
#[derive(Debug)]
pub(crate) struct StopSignal {
    interrupt: Signal,
    terminate: Signal,
}

impl StopSignal {
    pub(crate) fn install() -> io::Result<Self> {
        let interrupt = signal(SignalKind::interrupt())?;
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { interrupt, terminate })
    }

    /// Waits for the first signal; from then on a second one exits at once.
    pub(crate) async fn received(mut self) {
        self.either().await;
        tokio::spawn(async move {
            self.either().await;
            tracing::warn!("second signal, exiting at once");
            std::process::exit(130);
        });
    }

    async fn either(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

impl Draining {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(false))
    }

    pub(crate) fn is_set(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) fn set(&self) {
        self.0.send_replace(true);
    }

    /// Waits until the shutdown begins.
    pub(crate) async fn wait(&self) {
        self.begun().await;
    }

    /// As [`Draining::wait`], for those who may outlive the host: its end counts too.
    pub(crate) fn begun(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut draining = self.0.subscribe();
        async move {
            // It fails when the host is gone.
            let _ = draining.wait_for(|draining| *draining).await;
        }
    }
}

impl Pacer {
    /// A pacer for `connections_count` connections: up to 100 at once, more at 1,000 per
    /// second, or faster where half of `grace` would not suffice.
    pub(crate) fn start(why: Why, connections_count: usize, grace: Duration, clock: Clock) -> Arc<Self> {
        if connections_count <= AT_ONCE_MAX {
            return Arc::new(Self { tickets: Semaphore::new(Semaphore::MAX_PERMITS), why });
        }
        let pacer = Arc::new(Self { tickets: Semaphore::new(0), why });
        tokio::spawn(Arc::clone(&pacer).tick(step(connections_count, grace), clock));
        pacer
    }

    /// Waits for the right to close one connection.
    pub(crate) async fn ticket(self: Arc<Self>) {
        if let Ok(ticket) = self.tickets.acquire().await {
            ticket.forget();
        }
    }

    /// What a connection is closed with.
    pub(crate) fn close_frame(&self) -> CloseFrame {
        match self.why {
            Why::Stopped => close_frame(1012, "Server is restarting"),
            Why::StorageFailed => close_frame(1011, "Storage failed"),
        }
    }

    /// Ends when nobody holds the pacer any more.
    async fn tick(self: Arc<Self>, (tickets_count, every): (usize, Duration), clock: Clock) {
        let pacer = Arc::downgrade(&self);
        drop(self);
        while let Some(pacer) = pacer.upgrade() {
            pacer.tickets.add_permits(tickets_count);
            drop(pacer);
            clock.sleep(every).await;
        }
    }
}

/// How many connections to close at each step, and the time between steps.
fn step(connections_count: usize, grace: Duration) -> (usize, Duration) {
    const EVERY: Duration = Duration::from_millis(10);
    let steps_in_half_grace = (grace.as_millis() / 2 / EVERY.as_millis()).max(1);
    let needed = connections_count.div_ceil(usize::try_from(steps_in_half_grace).unwrap_or(usize::MAX));
    (needed.max(PER_SECOND / 100), EVERY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_per_second_unless_the_grace_is_too_short() {
        let grace = Duration::from_secs(10);
        assert_eq!(step(1_000, grace), (10, Duration::from_millis(10)));
        assert_eq!(step(50_000, grace), (100, Duration::from_millis(10)));
        assert_eq!(step(101, Duration::from_millis(1)), (101, Duration::from_millis(10)));
    }
}
