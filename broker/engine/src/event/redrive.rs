//! The words of move tasks: the way back of dead letters (Q6, Q7). The task itself is the same record in a fact, in the
//! state and in a view, because it is small and holds nothing that a caller may not see.

use crate::words::{QueueGeneration, QueueName, SequenceNumber, TaskNumber, Timestamp};

/// Where a move task moves to, when it is not each message's own source queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// The queue of that time; a later one of the same name is not meant (B8).
    pub generation: QueueGeneration,
    /// Its name.
    pub name: QueueName,
}

/// How a move task ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveTaskEnd {
    /// It looked at every message that was there at its start.
    Completed,
    /// Somebody cancelled it; what it had moved stays moved.
    Cancelled,
    /// Its destination was deleted (Q7).
    DestinationGone,
    /// It ran for 36 hours (L13).
    TooLong,
}

/// A move task of a dead-letter queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MoveTask {
    /// Its number among the tasks of its queue.
    pub number: TaskNumber,
    /// Absent: each message goes to the queue that it was dead-lettered from last.
    pub destination: Option<Destination>,
    /// Most messages that it moves in a second.
    pub rate: u32,
    /// The newest message when it started: later ones stay.
    pub through: SequenceNumber,
    /// The newest message that it has looked at.
    pub looked_through: SequenceNumber,
    /// When it started.
    pub started_at: Timestamp,
    /// When it goes on.
    pub next_at: Timestamp,
    /// How many messages there were when it started.
    pub to_move: u64,
    /// How many it has moved.
    pub moved: u64,
    /// How many it has passed over: held, behind a held one, parked, or without a queue to go to.
    pub passed_over: u64,
    /// When and how it ended; absent while it runs.
    pub ended: Option<(Timestamp, MoveTaskEnd)>,
}

impl MoveTask {
    /// Whether it has not ended.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        self.ended.is_none()
    }
}

/// What happened to a move task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveTaskFact {
    /// It was started; the record as it is then.
    Started(MoveTask),
    /// Messages left their queue and became new ones of another: one fact for both (Q7). Each by its old and its new
    /// sequence number, oldest first.
    Moved {
        /// Where to.
        to: QueueGeneration,
        /// Their time of sending from now on.
        at: Timestamp,
        /// Which.
        messages: Vec<(SequenceNumber, SequenceNumber)>,
    },
    /// It looked at messages up to this one.
    Advanced {
        /// The newest it looked at.
        looked_through: SequenceNumber,
        /// How many it passed over, in all.
        passed_over: u64,
        /// When it goes on.
        next_at: Timestamp,
    },
    /// It is over.
    Ended {
        /// When.
        at: Timestamp,
        /// How.
        end: MoveTaskEnd,
    },
}
