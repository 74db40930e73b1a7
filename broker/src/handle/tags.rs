//! Tags of queues, as fronts see them (L12).

use lockstep_engine::{
    command::{QueueRef, TagQueue, UntagQueue},
    words::Tags,
};

use super::Handle;
use crate::failure::Failure;

impl Handle {
    /// Adds tags to a queue; a key that is there gets the new value (L12).
    ///
    /// # Errors
    /// The queue is not there, or would have more than 50 tags.
    pub async fn tag_queue(&self, command: TagQueue) -> Result<(), Failure> {
        self.command(command).await
    }

    /// Removes tags from a queue (L12).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn untag_queue(&self, command: UntagQueue) -> Result<(), Failure> {
        self.command(command).await
    }

    /// A queue's tags (L12).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn queue_tags(&self, queue: QueueRef) -> Result<Tags, Failure> {
        self.read(move |engine, _| Ok(engine.tags(&queue)?)).await
    }
}
