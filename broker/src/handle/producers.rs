//! Producer sessions, as fronts see them (B3). Sending under their numbers is with the other sends.

use lockstep_engine::{
    command::{ForgetProducer, OpenProducer, QueueRef},
    reply::ProducerOpened,
    view::ProducerView,
};

use super::Handle;
use crate::failure::Failure;

impl Handle {
    /// Opens a session, or answers where it stopped; another instance than the last fences it (B3).
    ///
    /// # Errors
    /// The queue is not there, or has too many sessions.
    pub async fn open_producer(&self, command: OpenProducer) -> Result<ProducerOpened, Failure> {
        self.command(command).await
    }

    /// Forgets a session with all its numbers (B3).
    ///
    /// # Errors
    /// It is not there, or has another epoch by now.
    pub async fn forget_producer(&self, command: ForgetProducer) -> Result<(), Failure> {
        self.command(command).await
    }

    /// The sessions of a queue by name, at most `max`, after the name `after`.
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn producers(&self, queue: QueueRef, after: String, max: usize) -> Result<Vec<ProducerView>, Failure> {
        self.read(move |engine, _| Ok(engine.producers(&queue, &after, max)?)).await
    }
}
