//! What an operator asks of dead letters: to go back (Q6, Q7).

use super::QueueRef;
use crate::words::{QueueGeneration, QueueName, TaskNumber};

/// Starts a task that moves the messages of a dead-letter queue (Q6). It is not idempotent, but a second one of the same
/// queue is refused while the first runs.
#[derive(Clone, Debug)]
pub struct StartMoveTask {
    /// A queue that some queue names as its dead-letter queue.
    pub source: QueueRef,
    /// Where to; absent: each message to the queue that it was dead-lettered from last.
    pub destination: Option<QueueName>,
    /// Most messages in a second: 1 to [`limits::MOVE_RATE`](crate::limits::MOVE_RATE).
    pub rate: u32,
}

/// Ends a running task (Q6). What it has moved stays moved.
#[derive(Clone, Debug)]
pub struct CancelMoveTask {
    /// The queue whose task it is.
    pub queue: QueueGeneration,
    /// Its number.
    pub task: TaskNumber,
}
