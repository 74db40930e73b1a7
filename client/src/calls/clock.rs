//! The service Clock: time travel on a broker under a manual clock, for tests (H2).

use std::time::Duration;

use lockstep_proto::v1;

use crate::{Client, Error, retry::Repeat};

const NO_WAIT: Duration = Duration::ZERO;

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Time travel. Each of these is refused by a broker that follows the machine's clock (`CLOCK_NOT_MANUAL`).
impl Client {
    /// The broker's time, in milliseconds of Unix time. Repeating it is harmless.
    ///
    /// # Errors
    /// [`Error::Refused`] without a manual clock.
    pub async fn clock_now(&self) -> Result<u64, Error> {
        let answer = self.call(Repeat::Always, NO_WAIT, || {
            let mut clock = self.clock();
            async move { clock.now(v1::ClockNowRequest {}).await }
        });
        Ok(answer.await?.now_unix_ms)
    }

    /// Makes sure that time stands still, and says where. Repeating it is harmless.
    ///
    /// # Errors
    /// [`Error::Refused`] without a manual clock.
    pub async fn freeze_clock(&self) -> Result<u64, Error> {
        let answer = self.call(Repeat::Always, NO_WAIT, || {
            let mut clock = self.clock();
            async move { clock.freeze(v1::FreezeRequest {}).await }
        });
        Ok(answer.await?.now_unix_ms)
    }

    /// Moves time on, at most 400 days, stopping at each deadline on the way. It has no key, so it is not repeated
    /// once it was sent.
    ///
    /// # Errors
    /// [`Error::Refused`] without a manual clock, or when it is too far.
    pub async fn advance_clock(&self, by: Duration) -> Result<v1::AdvanceResponse, Error> {
        let request = v1::AdvanceRequest { milliseconds: milliseconds(by) };
        self.call(Repeat::Unsent, NO_WAIT, || {
            let mut clock = self.clock();
            async move { clock.advance(request).await }
        })
        .await
    }

    /// Moves time on from deadline to deadline until nothing is due `within` (12 hours unless said otherwise) of the
    /// time it then is, or it has moved by `at_most` (14 days unless said otherwise). Not repeated once it was sent.
    ///
    /// # Errors
    /// [`Error::Refused`] without a manual clock, or when a limit is more than 400 days.
    pub async fn run_clock_until_idle(
        &self,
        within: Option<Duration>,
        at_most: Option<Duration>,
    ) -> Result<v1::RunUntilIdleResponse, Error> {
        let (within_ms, at_most_ms) = (within.map(milliseconds), at_most.map(milliseconds));
        let request = v1::RunUntilIdleRequest { within_ms, at_most_ms };
        self.call(Repeat::Unsent, NO_WAIT, || {
            let mut clock = self.clock();
            async move { clock.run_until_idle(request).await }
        })
        .await
    }
}
