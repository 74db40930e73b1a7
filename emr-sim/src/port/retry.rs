//! How long pool and workers ask again when the broker does not answer: it may be restarting. The call is repeated as it
//! is, for every call of the port carries its own retry key. Nothing is judged here.

use std::future::Future;
use std::time::{Duration, Instant};

use super::PortError;

/// The pauses between tries: they double from the first to the last, half of each is chance.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// Asks again for so long without any answer, then gives up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience(pub(crate) Duration);

impl Patience {
    /// Repeats `call` until the broker answers it, whatever the answer. Each try may itself wait at the broker.
    ///
    /// # Errors
    /// The broker's refusal at once; [`PortError::Unavailable`] when the limit has passed.
    pub(crate) async fn ask<T, F>(self, mut call: impl FnMut() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            match call().await {
                // A port that is as patient itself gives up within its last pause before the limit: not once more then.
                Err(PortError::Unavailable(why)) if began.elapsed() + LAST_PAUSE < self.0 => {
                    tracing::debug!(%why, "asking the broker again");
                    tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
                    pause = (pause * 2).min(LAST_PAUSE);
                }
                Err(PortError::Unavailable(why)) => {
                    let limit = self.0.as_secs();
                    return Err(PortError::Unavailable(format!("asked for {limit} s in vain; the last try: {why}")));
                }
                answer => return answer,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::Reason;

    #[tokio::test]
    async fn unavailable_is_asked_again_and_refused_is_not() {
        let mut tries = 0;
        let answer = Patience(Duration::from_secs(60))
            .ask(|| {
                tries += 1;
                let answer = if tries < 3 { Err(PortError::Unavailable("restarting".into())) } else { Ok(tries) };
                async { answer }
            })
            .await;
        assert_eq!(answer, Ok(3));
        let refused = PortError::Refused { reason: Reason::ClaimBurnt, message: "x".into() };
        let mut tries = 0;
        let answer: Result<(), _> = Patience(Duration::from_secs(60))
            .ask(|| {
                tries += 1;
                let refused = refused.clone();
                async { Err(refused) }
            })
            .await;
        assert_eq!((answer, tries), (Err(refused), 1));
    }

    #[tokio::test]
    async fn patience_ends() {
        let answer: Result<(), _> =
            Patience(Duration::ZERO).ask(|| async { Err(PortError::Unavailable("gone".into())) }).await;
        assert!(matches!(answer, Err(PortError::Unavailable(why)) if why.contains("gone")));
    }
}
