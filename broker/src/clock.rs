//! Where time comes from: the only file of the broker that asks the machine. Time is an argument to everything else,
//! and never runs back, also across a restart (H2).

use std::{
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use lockstep_engine::words::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use tokio::sync::watch;

use crate::limits::LONGEST_SLEEP;

/// A wait that ends by the clock.
pub(crate) type Until<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// A source of time.
pub(crate) trait Clock: Send + Sync + fmt::Debug {
    /// The present instant; never less than an earlier one.
    fn now(&self) -> Timestamp;

    /// Ends when `at` has come, or somewhat earlier; the caller looks again.
    fn until(&self, at: Timestamp) -> Until<'_>;

    /// Moves on to `at`, unless it is past that already; a clock that follows the machine stays as it is.
    fn reach(&self, _at: Timestamp) {}
}

/// Engine time is the greater of wall clock and last journalled instant at the start, and elapsed boot time from
/// then on: a wall clock that is set back, or a machine that sleeps, cannot make it run back (H2).
#[derive(Debug)]
pub(crate) struct SystemClock {
    start: Timestamp,
    booted_at_start: Duration,
}

impl SystemClock {
    /// A clock that goes on from `last`, the last journalled instant. A wall clock behind it is only logged (H2).
    pub(crate) fn starting_after(last: Timestamp) -> Self {
        let wall = wall_clock();
        if wall < last {
            tracing::warn!(
                behind_ms = last.0 - wall.0,
                "the wall clock is behind the last journalled instant; time goes on from the latter (H2)"
            );
        }
        Self { start: wall.max(last), booted_at_start: boot_time() }
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.start.0.saturating_add(milliseconds(boot_time().saturating_sub(self.booted_at_start))))
    }

    fn until(&self, at: Timestamp) -> Until<'_> {
        let left = at.0.saturating_sub(self.now().0);
        // A machine that was asleep does not count that time in tokio's timer, hence the cap.
        Box::pin(tokio::time::sleep(Duration::from_millis(left.min(LONGEST_SLEEP))))
    }
}

/// The machine's idea of Unix time.
pub(crate) fn wall_clock() -> Timestamp {
    Timestamp(milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
}

/// Time since the machine started, sleep included.
fn boot_time() -> Duration {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A clock that moves only when it is told to, for tests and for replaying a past. Clones show the same time.
#[derive(Clone, Debug)]
pub struct ManualClock {
    now: Arc<watch::Sender<Timestamp>>,
}

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self { now: Arc::new(watch::Sender::new(start)) }
    }

    /// The time it shows.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        *self.now.borrow()
    }

    /// Moves on by so many milliseconds.
    pub fn advance(&self, milliseconds: u64) {
        self.now.send_modify(|now| now.0 = now.0.saturating_add(milliseconds));
    }

    /// Moves on to `at`, unless it is past that already. A manual clock resumes at the journalled time (H2).
    pub fn reach(&self, at: Timestamp) {
        self.now.send_modify(|now| *now = (*now).max(at));
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.time()
    }

    fn until(&self, at: Timestamp) -> Until<'_> {
        let mut watched = self.now.subscribe();
        Box::pin(async move {
            // The sender cannot go before this borrow of it ends.
            let _ = watched.wait_for(|now| *now >= at).await;
        })
    }

    fn reach(&self, at: Timestamp) {
        Self::reach(self, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_goes_on_from_a_journalled_future() {
        let future = Timestamp(wall_clock().0 + 3_600_000);
        let clock = SystemClock::starting_after(future);
        let first = clock.now();
        assert!(first >= future && first.0 < future.0 + 60_000);
        assert!(clock.now() >= first);
    }

    #[tokio::test]
    async fn a_manual_clock_wakes_its_waiters_when_it_is_moved() {
        let clock = ManualClock::new(Timestamp(5));
        let mut waiting = clock.until(Timestamp(7));
        assert!(futures_poll_pending(&mut waiting).await);
        clock.advance(2);
        waiting.await;
        clock.reach(Timestamp(3));
        assert_eq!(clock.now(), Timestamp(7), "never back");
    }

    /// Whether a future is pending after one poll.
    async fn futures_poll_pending(future: &mut Until<'_>) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }
}
