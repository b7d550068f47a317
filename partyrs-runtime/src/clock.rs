//! The one place where time enters the host.
//!
//! A test may hold the clock and move it by hand; then idle times and time-outs happen when
//! the test says so, not when the machine is slow.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// Longer than any host runs, and short enough for every clock.
const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Tells the time since the host was built, and waits.
#[derive(Clone, Debug)]
pub(crate) struct Clock(Kind);

#[derive(Clone, Debug)]
enum Kind {
    System {
        start: Instant,
    },
    #[cfg_attr(not(any(test, feature = "testing")), expect(dead_code, reason = "only tests hold the clock"))]
    Manual(Arc<Mutex<Manual>>),
}

#[derive(Debug, Default)]
pub(crate) struct Manual {
    now: Duration,
    sleepers: Vec<Waker>,
}

/// Ends when its time has come.
///
/// # Cancel safety
///
/// Dropping it has no effect on anything else.
#[derive(Debug)]
pub(crate) enum Sleep {
    System(Pin<Box<tokio::time::Sleep>>),
    Manual { clock: Arc<Mutex<Manual>>, deadline: Duration },
}

impl Clock {
    /// The machine's own clock.
    pub(crate) fn system() -> Self {
        Self(Kind::System { start: Instant::now() })
    }

    /// A clock that stands until it is moved.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn manual() -> Self {
        Self(Kind::Manual(Arc::default()))
    }

    /// Time since the host was built; never goes back.
    pub(crate) fn now(&self) -> Duration {
        match &self.0 {
            Kind::System { start } => start.elapsed(),
            Kind::Manual(manual) => lock(manual).now,
        }
    }

    pub(crate) fn sleep(&self, time: Duration) -> Sleep {
        match &self.0 {
            Kind::System { .. } => Sleep::System(Box::pin(tokio::time::sleep(time))),
            Kind::Manual(manual) => {
                let deadline = lock(manual).now.saturating_add(time);
                Sleep::Manual { clock: Arc::clone(manual), deadline }
            }
        }
    }

    /// Waits until the clock says this.
    pub(crate) fn sleep_until(&self, deadline: Duration) -> Sleep {
        match &self.0 {
            Kind::System { start } => {
                let deadline = tokio::time::Instant::from_std(*start).checked_add(deadline);
                // What no clock will ever say is far away in any case.
                let deadline = deadline.unwrap_or_else(|| tokio::time::Instant::now() + FAR);
                Sleep::System(Box::pin(tokio::time::sleep_until(deadline)))
            }
            Kind::Manual(manual) => Sleep::Manual { clock: Arc::clone(manual), deadline },
        }
    }

    /// Moves a manual clock and wakes those whose time has come; a system clock is left alone.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn advance(&self, time: Duration) {
        if let Kind::Manual(manual) = &self.0 {
            let sleepers = {
                let mut manual = lock(manual);
                manual.now = manual.now.saturating_add(time);
                std::mem::take(&mut manual.sleepers)
            };
            sleepers.into_iter().for_each(Waker::wake);
        }
    }

    /// Runs `future`, but not longer than `time`.
    pub(crate) async fn timeout<T>(&self, time: Duration, future: impl Future<Output = T>) -> Option<T> {
        let sleep = self.sleep(time);
        tokio::select! {
            biased;
            value = future => Some(value),
            () = sleep => None,
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self {
            Self::System(sleep) => sleep.as_mut().poll(cx),
            Self::Manual { clock, deadline } => {
                let mut manual = lock(clock);
                if manual.now >= *deadline {
                    return Poll::Ready(());
                }
                if !manual.sleepers.iter().any(|waker| waker.will_wake(cx.waker())) {
                    manual.sleepers.push(cx.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

fn lock(manual: &Mutex<Manual>) -> MutexGuard<'_, Manual> {
    manual.lock().unwrap_or_else(PoisonError::into_inner)
}
