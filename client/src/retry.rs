//! How often and how long a call is tried. It knows failures and clocks, no call in particular: what makes a
//! repetition harmless (the call's key) is said where the call is made.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use tokio::time::Instant;
use tonic::Status;

use crate::error::{Error, Failure};

/// How a call that got no answer is tried again: exponential backoff with full jitter, so that the clients of a
/// restarted broker do not come back in step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The longest possible pause before the second try; it doubles from then on. 50 ms.
    pub first_backoff: Duration,
    /// No pause is longer. 2 s.
    pub max_backoff: Duration,
    /// All tries and pauses of a call together, not counting the time it asked the broker to wait. 60 s. Zero means
    /// [`RetryPolicy::ONCE`]. A [`Producer`](crate::Producer) has its own limit (H11) and does not use this one for
    /// its sends.
    pub time_limit: Duration,
    /// One try, not counting the time it asked the broker to wait. 10 s. A broker that hangs answers pings all the
    /// same, so that nothing else would end the try. Its outcome is unknown, and it is asked again with the same key.
    pub try_limit: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            first_backoff: Duration::from_millis(50),
            max_backoff: Duration::from_secs(2),
            time_limit: Duration::from_secs(60),
            try_limit: Duration::from_secs(10),
        }
    }
}

impl RetryPolicy {
    /// One try and no limit to it: it ends with its answer or with its connection. For callers that retry by
    /// themselves.
    pub const ONCE: RetryPolicy = RetryPolicy {
        first_backoff: Duration::ZERO,
        max_backoff: Duration::ZERO,
        time_limit: Duration::ZERO,
        try_limit: Duration::MAX,
    };

    /// The pause after the `failed`-th failure (0 is the first): evenly spread between nothing and the cap of the turn.
    pub(crate) fn pause(&self, failed: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failed.min(20));
        let cap = self.first_backoff.saturating_mul(factor).min(self.max_backoff);
        cap.mul_f64(fastrand::f64())
    }
}

/// Which failures allow another try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// The call has a key, or only reads: repeating it is harmless.
    Always,
    /// Repeating it could act twice: only a try that was never sent is repeated.
    Unsent,
}

/// A point on the clock that also passes while this machine sleeps: the monotonic clock stands still then, the
/// broker's need not, so the wall clock is asked as well and the later of the two counts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    monotonic: Instant,
    wall: SystemTime,
}

impl Start {
    pub(crate) fn now() -> Self {
        Start { monotonic: Instant::now(), wall: SystemTime::now() }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.monotonic.elapsed().max(self.wall.elapsed().unwrap_or_default())
    }
}

/// Why a series of tries ended without success.
#[derive(Clone, Debug)]
pub(crate) enum GaveUp {
    /// The answer is known.
    Final(Error),
    /// The time ended or repeating is not allowed; some try may have had an effect.
    Unknown(String),
    /// The time ended; no try got a connection.
    Unsent(String),
}

/// How long the tries of a call may take.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limit {
    /// One try, which takes as long as it takes.
    Once,
    /// No try begins later, and none lasts longer, but for [`SHORTEST_TRY`].
    Total(Duration),
    /// As `total`, but the broker is asked to wait: that time is added once a try was sent.
    Waiting { total: Duration, wait: Duration },
}

impl Limit {
    /// The time for all tries, when one was sent already or is about to be.
    pub(crate) fn sent(self) -> Duration {
        match self {
            Limit::Once => Duration::MAX,
            Limit::Total(total) => total,
            Limit::Waiting { total, wait } => total.saturating_add(wait),
        }
    }

    /// The time for one try.
    fn one_try(self, policy: &RetryPolicy) -> Duration {
        match self {
            Limit::Once => Duration::MAX,
            Limit::Total(_) => policy.try_limit,
            Limit::Waiting { wait, .. } => policy.try_limit.saturating_add(wait),
        }
    }

    /// The time within which another try may begin.
    pub(crate) fn next_try(self, was_sent: bool) -> Duration {
        match self {
            Limit::Once => Duration::ZERO,
            Limit::Total(total) => total,
            Limit::Waiting { total, .. } if !was_sent => total,
            Limit::Waiting { .. } => self.sent(),
        }
    }
}

/// A try of no time at all could tell nothing, not even that nobody is there.
pub(crate) const SHORTEST_TRY: Duration = Duration::from_millis(100);

/// What a future answers, unless the time comes before.
pub(crate) async fn within<F: Future>(until: Option<Instant>, future: F) -> Option<F::Output> {
    match until {
        Some(until) => tokio::time::timeout_at(until, future).await.ok(),
        None => Some(future.await),
    }
}

/// Tries `call` until it is answered, it may not be repeated, or the time since `start` reaches the limit.
pub(crate) async fn run<T, F, Fut>(
    policy: &RetryPolicy,
    repeat: Repeat,
    start: Start,
    limit: Limit,
    mut call: F,
) -> Result<T, GaveUp>
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, Status>>,
{
    let mut failed = 0;
    // The text of the last try whose effect is unknown: one such try makes the whole call's outcome unknown.
    let mut unknown: Option<String> = None;
    loop {
        let left = limit.sent().saturating_sub(start.elapsed()).max(SHORTEST_TRY).min(limit.one_try(policy));
        let failure = match tokio::time::timeout(left, call()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => Failure::from(status),
            Err(_) => Failure::Unknown(format!("no answer within {:.1} s", left.as_secs_f32())),
        };
        let last = match failure {
            Failure::Final(error) => return Err(GaveUp::Final(error)),
            Failure::Unsent(text) => text,
            Failure::Unknown(text) if repeat == Repeat::Unsent => return Err(GaveUp::Unknown(text)),
            Failure::Unknown(text) => {
                unknown = Some(text.clone());
                text
            }
        };
        let pause = policy.pause(failed);
        if start.elapsed().saturating_add(pause) >= limit.next_try(unknown.is_some()) {
            return Err(unknown.map_or(GaveUp::Unsent(last), GaveUp::Unknown));
        }
        tracing::debug!(failed, ?pause, last, "a call got no answer and is tried again");
        failed = failed.saturating_add(1);
        tokio::time::sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn policy() -> RetryPolicy {
        RetryPolicy { time_limit: Duration::from_secs(10), ..RetryPolicy::default() }
    }

    async fn tries(repeat: Repeat, answer: impl Fn(u32) -> Result<u32, Status>) -> (u32, Result<u32, GaveUp>) {
        let count = Cell::new(0);
        let policy = policy();
        let result = run(&policy, repeat, Start::now(), Limit::Total(policy.time_limit), || {
            count.set(count.get() + 1);
            let answer = answer(count.get());
            async move { answer }
        })
        .await;
        (count.get(), result)
    }

    #[test]
    fn a_pause_has_full_jitter_below_a_cap_that_doubles() {
        let policy = policy();
        for failed in 0..40 {
            let cap = Duration::from_millis(50 * 2_u64.pow(failed.min(10))).min(Duration::from_secs(2));
            let pauses: Vec<_> = (0..200).map(|_| policy.pause(failed)).collect();
            assert!(pauses.iter().all(|pause| *pause <= cap), "{failed}");
            assert!(pauses.iter().any(|pause| *pause < cap / 2) && pauses.iter().any(|pause| *pause > cap / 2));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_keyed_call_is_tried_until_it_is_answered() {
        let answer = |n| if n < 5 { Err(Status::unavailable("later")) } else { Ok(n) };
        let (count, result) = tries(Repeat::Always, answer).await;
        assert_eq!((count, result.unwrap()), (5, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn the_time_limit_ends_the_tries_with_an_unknown_outcome() {
        let before = Instant::now();
        let (count, result) = tries(Repeat::Always, |_| Err(Status::unavailable("never"))).await;
        assert!(count > 5 && matches!(result, Err(GaveUp::Unknown(text)) if text == "never"));
        assert!(before.elapsed() <= Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn the_brokers_wait_is_added_only_once_a_try_was_sent() {
        let limit = Limit::Waiting { total: Duration::from_secs(10), wait: Duration::from_secs(20) };
        let before = Instant::now();
        let unsent = || async {
            let mut status = Status::unavailable("nobody there");
            status.set_source(std::sync::Arc::new(tonic::ConnectError("refused".into())));
            Err::<(), _>(status)
        };
        let gave_up = run(&policy(), Repeat::Always, Start::now(), limit, unsent).await;
        assert!(matches!(gave_up, Err(GaveUp::Unsent(_))) && before.elapsed() <= Duration::from_secs(10));
        let before = Instant::now();
        let silent = || std::future::pending::<Result<(), Status>>();
        let gave_up = run(&policy(), Repeat::Always, Start::now(), limit, silent).await;
        assert!(matches!(gave_up, Err(GaveUp::Unknown(_))) && before.elapsed() >= Duration::from_secs(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_hangs_is_given_up_and_asked_again() {
        let limit = Limit::Waiting { total: Duration::from_secs(60), wait: Duration::from_secs(20) };
        for (repeat, expected) in [(Repeat::Always, Some(2)), (Repeat::Unsent, None)] {
            let (policy, before, mut tries) = (RetryPolicy::default(), Instant::now(), 0);
            let answer = run(&policy, repeat, Start::now(), limit, || {
                tries += 1;
                let hangs = tries == 1;
                async move { if hangs { std::future::pending().await } else { Ok::<_, Status>(tries) } }
            });
            let answer = answer.await;
            let elapsed = before.elapsed();
            assert!(elapsed >= Duration::from_secs(30) && elapsed < Duration::from_secs(31), "{elapsed:?}");
            match expected {
                Some(tries) => assert_eq!(answer.expect("the second try is answered"), tries),
                None => assert!(matches!(answer, Err(GaveUp::Unknown(text)) if text == "no answer within 30.0 s")),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn once_is_one_try_that_takes_as_long_as_it_takes() {
        for (fails, expected) in [(true, None), (false, Some(7))] {
            let mut tries = 0;
            let answer = run(&RetryPolicy::ONCE, Repeat::Always, Start::now(), Limit::Once, || {
                tries += 1;
                async move {
                    tokio::time::sleep(Duration::from_secs(3_600)).await;
                    if fails { Err(Status::unavailable("lost")) } else { Ok(7) }
                }
            });
            assert_eq!(answer.await.ok(), expected);
            assert_eq!(tries, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_key_is_never_repeated_blindly() {
        let (count, result) = tries(Repeat::Unsent, |_| Err(Status::unavailable("lost"))).await;
        assert_eq!(count, 1);
        assert!(matches!(result, Err(GaveUp::Unknown(_))));
    }
}
