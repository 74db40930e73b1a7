//! Dead letters, their way back, and parked groups, as fronts see them (Q1 to Q7, B7).

use lockstep_engine::{
    command::{CancelMoveTask, Park, QueueRef, StartMoveTask, Unpark},
    event::{MoveTask, MoveTaskEnd},
    reply::{MoveTaskStarted, Unparked},
    view::ParkedGroup,
    words::{GroupId, QueueGeneration, QueueName, TaskNumber},
};

use super::Handle;
use crate::failure::Failure;

/// What stands for a move task outside, as text through every door. It guards nothing: who may cancel is not decided by
/// who knows a handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MoveTaskName {
    /// The queue whose messages it moves.
    pub(crate) queue: QueueGeneration,
    /// Its number there.
    pub(crate) task: TaskNumber,
}

impl std::fmt::Display for MoveTaskName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "move-task-{}-{}", self.queue, self.task)
    }
}

impl MoveTaskName {
    /// Undoes the text.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (queue, task) = text.strip_prefix("move-task-")?.split_once('-')?;
        Some(Self { queue: QueueGeneration(queue.parse().ok()?), task: TaskNumber(task.parse().ok()?) })
    }
}

impl From<MoveTaskName> for CancelMoveTask {
    fn from(MoveTaskName { queue, task }: MoveTaskName) -> Self {
        Self { queue, task }
    }
}

/// Why a move task failed, if it did: as SQS words it where the destination was deleted (Q7); SQS documents no word for
/// one that ran for 36 hours (L13).
pub(crate) fn move_task_failure(task: &MoveTask) -> Option<&'static str> {
    match task.ended {
        None | Some((_, MoveTaskEnd::Completed | MoveTaskEnd::Cancelled)) => None,
        Some((_, MoveTaskEnd::DestinationGone)) => Some("AWS.SimpleQueueService.NonExistentQueue"),
        Some((_, MoveTaskEnd::TooLong)) => Some("Lockstep.MoveTaskTooLong"),
    }
}

impl Handle {
    /// Lets a group deliver nothing until it is unparked; false when it was parked before (B7).
    ///
    /// # Errors
    /// The queue is not there, or has 10,000 parked groups.
    pub async fn park(&self, command: Park) -> Result<bool, Failure> {
        self.command(command).await
    }

    /// Lets parked groups deliver again (B7).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn unpark(&self, command: Unpark) -> Result<Unparked, Failure> {
        self.command(command).await
    }

    /// Parked groups by name, after the name `after`; at most `max` (B7).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn parked_groups(
        &self,
        queue: QueueRef,
        after: Option<GroupId>,
        max: usize,
    ) -> Result<Vec<ParkedGroup>, Failure> {
        self.read(move |engine, _| Ok(engine.parked_groups(&queue, after.as_ref(), max)?)).await
    }

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

    /// Starts a task that moves the messages of a dead-letter queue on (Q6).
    ///
    /// # Errors
    /// The source is not there or nobody's dead-letter queue, or has a running task; the destination is not there or
    /// the source; the rate is out of range; 100 tasks are running.
    pub async fn start_move_task(&self, command: StartMoveTask) -> Result<MoveTaskStarted, Failure> {
        self.command(command).await
    }

    /// Ends a running task; how many messages it had moved (Q6).
    ///
    /// # Errors
    /// It is not there, or has ended.
    pub async fn cancel_move_task(&self, command: CancelMoveTask) -> Result<u64, Failure> {
        self.command(command).await
    }

    /// The newest tasks of a queue and its generation, the newest first; at most `max` (Q7).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn move_tasks(&self, queue: QueueRef, max: usize) -> Result<(QueueGeneration, Vec<MoveTask>), Failure> {
        self.read(move |engine, _| {
            let generation = engine.describe(&queue)?.generation;
            Ok((generation, engine.move_tasks(&queue, max)?))
        })
        .await
    }
}
