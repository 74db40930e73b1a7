//! Dead letters and their way back, as fronts see them (Q1 to Q7).

use lockstep_engine::{command::QueueRef, words::QueueName};

use super::Handle;
use crate::failure::Failure;

impl Handle {
    /// The queues that name a queue as their dead-letter queue, by name, after the name `after`; at most `max` (Q5).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn dead_letter_sources(
        &self,
        queue: QueueRef,
        after: String,
        max: usize,
    ) -> Result<Vec<QueueName>, Failure> {
        self.read(move |engine, _| Ok(engine.dead_letter_sources(&queue, &after, max)?)).await
    }
}
