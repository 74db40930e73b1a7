//! The service Admin: the broker itself.

use std::time::Duration;

use lockstep_proto::v1;

use crate::{Client, Error, retry::Repeat};

impl Client {
    /// What the broker says of itself: version, time, space, drain mode. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// Only those of every call.
    pub async fn status(&self) -> Result<v1::StatusResponse, Error> {
        let answer = self.call(Repeat::Always, Duration::ZERO, || {
            let mut admin = self.admin();
            async move { admin.status(v1::StatusRequest {}).await }
        });
        answer.await
    }

    /// Begins drain mode, or ends it with `cancel`: sends are turned away, everything else goes on, and the broker
    /// ends when every queue is empty. Waits for that up to `wait_seconds` (0 to 20) and answers what is left.
    /// Repeating it is harmless.
    ///
    /// # Errors
    /// [`Error::Refused`] for a wait over its limit.
    pub async fn drain(&self, cancel: bool, wait_seconds: u32) -> Result<v1::DrainResponse, Error> {
        let answer = self.call(Repeat::Always, Duration::from_secs(wait_seconds.into()), || {
            let mut admin = self.admin();
            async move { admin.drain(v1::DrainRequest { cancel, wait_seconds }).await }
        });
        answer.await
    }
}
