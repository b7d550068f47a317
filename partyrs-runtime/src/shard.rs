//! One thread with its own single-threaded tokio runtime: what lives on it never moves.
//!
//! A room and its connections are tasks of one shard, so they share state without locks and
//! a room is flushed by one thread only.

use std::io;
use std::rc::Rc;
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::pulse::Pulse;

type Start = Box<dyn FnOnce(&Rc<Pulse>) + Send>;

/// A running shard.
#[derive(Debug)]
pub(crate) struct Shard {
    /// Unbounded in itself; each open room passes through it once, and each WebSocket outside of
    /// the rooms, so `rooms_max` and `connections_max` bound it.
    /// `None` once the shard is to end.
    starts: Mutex<Option<mpsc::UnboundedSender<Start>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Shard {
    /// Starts the thread. A runtime lives and dies on its own thread, so the thread builds it.
    pub(crate) fn spawn(index: usize, clock: Clock) -> io::Result<Self> {
        let (starts, mut started) = mpsc::unbounded_channel::<Start>();
        let (built, is_built) = sync_channel(1);
        let run = move || {
            let runtime =
                match Builder::new_current_thread().enable_all().build_local(LocalOptions::default()) {
                    Ok(runtime) => runtime,
                    Err(error) => return drop(built.send(Err(error))),
                };
            drop(built.send(Ok(())));
            runtime.block_on(async move {
                let pulse = Pulse::new(clock);
                tokio::task::spawn_local(Rc::clone(&pulse).run());
                while let Some(start) = started.recv().await {
                    start(&pulse);
                }
            });
        };
        let thread = std::thread::Builder::new().name(format!("partyrs-{index}")).spawn(run)?;
        is_built.recv().unwrap_or_else(|_| Err(io::Error::other("the thread of a shard ended")))?;
        Ok(Self { starts: Mutex::new(Some(starts)), thread: Mutex::new(Some(thread)) })
    }

    /// Runs `start` on the shard; it may call `spawn_local`. Whether the shard still runs.
    pub(crate) fn start(&self, start: impl FnOnce(&Rc<Pulse>) + Send + 'static) -> bool {
        let starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        starts.as_ref().is_some_and(|starts| starts.send(Box::new(start)).is_ok())
    }

    /// Ends the shard with everything that still lives on it, as soon as it lets its thread go.
    pub(crate) fn end(&self) {
        self.starts.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Waits for the thread of a shard that is to end. Blocks.
    pub(crate) fn join(&self) {
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let is_other = |thread: &JoinHandle<()>| thread.thread().id() != std::thread::current().id();
        if let Some(thread) = thread.filter(is_other) {
            // A shard whose thread panicked has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}
