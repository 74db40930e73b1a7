//! Moving time on a broker under a manual clock (H2). Everywhere else each of these fails with
//! [`Failure::ClockNotManual`].

use lockstep_engine::words::Timestamp;

use super::Handle;
use crate::{
    failure::Failure,
    journey::{Arrival, Destination, Journey},
};

impl Handle {
    /// The time it is, durably: no crash takes back what it was told by an earlier answer.
    ///
    /// # Errors
    /// [`Failure::ClockNotManual`].
    pub async fn manual_now(&self) -> Result<Timestamp, Failure> {
        self.check_clock()?;
        self.read(|_, now| Ok(now)).await
    }

    /// Moves time on by so many milliseconds, stopping at each deadline on the way. Answers when everything due by
    /// then is settled durably, and polls that it woke are answered or wait again.
    ///
    /// # Errors
    /// [`Failure::ClockNotManual`].
    pub async fn advance(&self, milliseconds: u64) -> Result<Arrival, Failure> {
        self.travel(Destination::After(milliseconds)).await
    }

    /// Moves time on from deadline to deadline until nothing is due within `within` milliseconds of the time it then
    /// is, or it moved by `at_most`.
    ///
    /// # Errors
    /// [`Failure::ClockNotManual`].
    pub async fn run_until_idle(&self, within: u64, at_most: u64) -> Result<Arrival, Failure> {
        self.travel(Destination::Idle { within, at_most }).await
    }

    async fn travel(&self, destination: Destination) -> Result<Arrival, Failure> {
        self.check_clock()?;
        self.ask(|answer| Box::new(Journey::new(destination, answer))).await
    }

    const fn check_clock(&self) -> Result<(), Failure> {
        if self.clock_is_manual { Ok(()) } else { Err(Failure::ClockNotManual) }
    }
}
