//! The one place where time enters the host.
//!
//! A test may hold the clock and move it by hand; then idle times and time-outs happen when
//! the test says so, not when the machine is slow.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

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

#[derive(Debug)]
pub(crate) struct Manual {
    now: Duration,
    /// What the clock on the wall showed when `now` was zero, from 1970 on; in whole milliseconds.
    wall_start: Duration,
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
        let wall_start = since_1970(SystemTime::now());
        let wall_start = wall_start - Duration::from_nanos((wall_start.subsec_nanos() % 1_000_000).into());
        Self(Kind::Manual(Arc::new(Mutex::new(Manual {
            now: Duration::ZERO,
            wall_start,
            sleepers: Vec::new(),
        }))))
    }

    /// Time since the host was built; never goes back.
    pub(crate) fn now(&self) -> Duration {
        match &self.0 {
            Kind::System { start } => start.elapsed(),
            Kind::Manual(manual) => lock(manual).now,
        }
    }

    /// What time it is for people; the machine's clock may be set, and then it goes back.
    pub(crate) fn wall(&self) -> SystemTime {
        match &self.0 {
            Kind::System { .. } => SystemTime::now(),
            Kind::Manual(manual) => {
                let manual = lock(manual);
                UNIX_EPOCH + manual.wall_start + manual.now
            }
        }
    }

    /// Whole milliseconds of [`Clock::wall`] since 1970.
    pub(crate) fn wall_ms(&self) -> u64 {
        u64::try_from(since_1970(self.wall()).as_millis()).unwrap_or(u64::MAX)
    }

    /// Sleeps until the clock on the wall shows this many milliseconds since 1970, if it is
    /// not set meanwhile.
    pub(crate) fn sleep_until_wall(&self, ms: u64) -> Sleep {
        let at = Duration::from_millis(ms);
        match &self.0 {
            Kind::System { .. } => self.sleep(at.saturating_sub(since_1970(self.wall()))),
            Kind::Manual(manual) => {
                let deadline = at.saturating_sub(lock(manual).wall_start);
                Sleep::Manual { clock: Arc::clone(manual), deadline }
            }
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

fn since_1970(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn lock(manual: &Mutex<Manual>) -> MutexGuard<'_, Manual> {
    manual.lock().unwrap_or_else(PoisonError::into_inner)
}
