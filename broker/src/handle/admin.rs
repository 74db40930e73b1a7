//! The broker itself, as fronts see it: its state, and drain mode. A send that drain mode turns away never reaches the
//! engine: that the process is about to end is no fact of any queue, so it has no place in the journal. Like
//! `Overloaded` it decides nothing; the caller asks again with the same key, here after a cancel, or the next process.

use std::{sync::Arc, time::Duration};

use lockstep_engine::{figures::Left, words::Timestamp};
use tokio::sync::watch;

use super::Handle;
use crate::{failure::Failure, limits};

/// Whether sends are turned away; shared by all handles of a broker.
#[derive(Clone, Debug)]
pub(crate) struct Drain(Arc<watch::Sender<bool>>);

impl Drain {
    pub(crate) fn off() -> Self {
        Self(Arc::new(watch::channel(false).0))
    }

    /// Lets a send in. While the answer is held no drain begins: what was let in is in line before anything that
    /// asks whether all is empty.
    pub(super) fn admit(&self) -> Result<watch::Ref<'_, bool>, Failure> {
        let draining = self.0.borrow();
        if *draining { Err(Failure::Draining) } else { Ok(draining) }
    }
}

/// What the broker says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Status {
    pub(crate) now: Timestamp,
    pub(crate) left: Left,
    pub(crate) draining: bool,
}

impl Handle {
    /// Begins or ends drain mode.
    pub(crate) fn set_draining(&self, draining: bool) {
        if self.drain.0.send_replace(draining) != draining {
            tracing::info!(draining, "drain mode");
        }
    }

    /// Tells every change of drain mode.
    pub(crate) fn watch_drain(&self) -> watch::Receiver<bool> {
        self.drain.0.subscribe()
    }

    /// What the broker says of itself, once all before it is durable.
    ///
    /// # Errors
    /// Only those of every method.
    pub(crate) async fn status(&self) -> Result<Status, Failure> {
        let (now, left) = self.read(|engine, now| Ok((now, engine.left()))).await?;
        Ok(Status { now, left, draining: *self.drain.0.borrow() })
    }

    /// Ends when the broker drains and every queue is empty, durably.
    pub(crate) async fn drained(&self) {
        let mut draining = self.watch_drain();
        loop {
            if draining.wait_for(|draining| *draining).await.is_err() {
                std::future::pending::<()>().await;
            }
            // A broker that does not answer ends by its fault, not here.
            if self.status().await.is_ok_and(|status| status.draining && status.left.messages == 0) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(limits::DRAIN_LOOK)).await;
        }
    }
}
