//! What a front sees of the broker: typed, asynchronous methods, and nothing else. Each puts one request before the
//! sequencer, waits for its held answer and fetches the bodies that the answer names. No rule is decided here.

mod admin;
mod attributes;
mod aws;
mod backup;
mod clock;
mod commit;
mod console;
mod dead_letters;
mod explain;
mod figures;
mod messages;
mod pending;
mod places;
mod producers;
mod readers;
mod scrub;
mod tags;

use std::sync::Arc;

use bytes::Bytes;
use lockstep_engine::{
    Engine,
    command::{Command, Context, CreateQueue, DeleteQueue, PurgeQueue, QueueRef, SetQueueAttributes},
    reply::QueueCreated,
    view::QueueView,
    words::{AttemptId, AttemptKey, QueueGeneration, Receipt, SequenceNumber, Timestamp},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use uuid::Uuid;

pub(crate) use crate::{
    identity::id_text,
    metrics::{Kind, Reading, limited},
    recent::{Fact, FactKind, Party},
    sentences::{explained, span},
};
pub(crate) use admin::Drain;
pub(crate) use attributes::is_message_text;
pub use attributes::{AttributeValue, MessageAttribute, MessageAttributes, is_wanted};
pub(crate) use backup::Backups;
pub use commit::{NewCommit, NewOutput, NewTarget, NewValue};
pub(crate) use console::{Life, LifeOf, Look, QueueCounts};
pub(crate) use dead_letters::{MoveTaskName, move_task_failure};
pub use explain::{ExplainedQueue, Wanted};
pub(crate) use figures::{Figures, QueueRow, ReaderRow};
pub use messages::{ClaimedBody, Delivery, NewMessage, NewSession, Peeked};
pub use pending::{Outcomes, Pending};
pub use readers::{ClaimPages, ReadValue};

use crate::{
    bodies::Bodies,
    failure::Failure,
    identity::{self, Identity},
    limits,
    metrics::Metrics,
    poll::{Poll, Question},
    receipts::{GarbageHandle, Receipts},
    recent::Recent,
    request::{Answer, CommandRequest, ReadRequest, Request},
};

/// A front's access to the broker. Cheap to clone.
///
/// Every method answers only what is durable (H4). Beside the rejections it names, each may fail with
/// [`Failure::Unavailable`]: the outcome is unknown, ask again with the same key; or with [`Failure::Overloaded`]:
/// nothing was decided.
#[derive(Clone)]
pub struct Handle {
    pub(crate) requests: mpsc::Sender<Box<dyn Request>>,
    /// KiB of bodies that may wait for a turn.
    pub(crate) shares: Arc<Semaphore>,
    pub(crate) fault: watch::Receiver<Option<Arc<str>>>,
    pub(crate) bodies: Bodies,
    pub(crate) receipts: Receipts,
    pub(crate) identity: Identity,
    /// Whether callers may move time.
    pub(crate) clock_is_manual: bool,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) drain: Drain,
    pub(crate) backups: Backups,
    pub(crate) recent: Recent,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").field("identity", &self.identity).finish_non_exhaustive()
    }
}

impl Handle {
    /// The journal's identity.
    #[must_use]
    pub const fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The id of a message (H9).
    #[must_use]
    pub fn message_id(&self, generation: QueueGeneration, sequence: SequenceNumber) -> Uuid {
        self.identity.message_id(generation, sequence)
    }

    /// The key of a receive request attempt id (R7).
    #[must_use]
    pub fn attempt_key(&self, id: &AttemptId) -> AttemptKey {
        identity::attempt_key(id)
    }

    /// The receipt that a handle stands for.
    ///
    /// # Errors
    /// [`GarbageHandle`]: this broker never gave it (R4).
    pub fn receipt(&self, handle: &str) -> Result<Receipt, GarbageHandle> {
        self.receipts.open_handle(handle)
    }

    /// Creates a queue, or answers the one that is there with equal given attributes (A1).
    ///
    /// # Errors
    /// [`lockstep_engine::Rejected::QueueExists`], or an attribute out of its range.
    pub async fn create_queue(&self, command: CreateQueue) -> Result<QueueCreated, Failure> {
        self.command(command).await
    }

    /// Changes attributes.
    ///
    /// # Errors
    /// The queue is not there, or an attribute is fixed or out of its range.
    pub async fn set_queue_attributes(&self, command: SetQueueAttributes) -> Result<(), Failure> {
        self.command(command).await
    }

    /// Removes every message that no claim holds; answers how many (A3, B8).
    ///
    /// # Errors
    /// The queue, or this generation of it, is not there.
    pub async fn purge_queue(&self, command: PurgeQueue) -> Result<u64, Failure> {
        self.command(command).await
    }

    /// Ends a queue; who waits for it is answered (B8).
    ///
    /// # Errors
    /// The queue, or this generation of it, is not there.
    pub async fn delete_queue(&self, command: DeleteQueue) -> Result<(), Failure> {
        self.command(command).await
    }

    /// A queue's attributes and exact counts (A4).
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn describe_queue(&self, queue: QueueRef) -> Result<QueueView, Failure> {
        self.read(move |engine, _| Ok(engine.describe(&queue)?)).await
    }

    /// Queues by name, at most `max`, after the name `after`.
    ///
    /// # Errors
    /// Only those of every method.
    pub async fn list_queues(&self, prefix: String, after: String, max: usize) -> Result<Vec<QueueView>, Failure> {
        self.read(move |engine, _| Ok(engine.queues(&prefix, &after, max))).await
    }

    async fn command<C>(&self, command: C) -> Result<C::Reply, Failure>
    where
        C: Command + Send + 'static,
        C::Reply: Send + 'static,
    {
        self.command_with(command, Vec::new(), 0).await
    }

    /// A command with bodies; `bytes` counts them and the ids beside them.
    async fn command_with<C>(&self, command: C, bodies: Vec<Bytes>, bytes: u64) -> Result<C::Reply, Failure>
    where
        C: Command + Send + 'static,
        C::Reply: Send + 'static,
    {
        let share = if bytes == 0 { None } else { Some(self.share(bytes)?) };
        self.ask(|answer| Box::new(CommandRequest { command, bodies, bytes, answer, _share: share })).await
    }

    /// A look at the state of one turn.
    async fn read<T, F>(&self, read: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Engine, Timestamp) -> Result<T, Failure> + Send + 'static,
    {
        self.read_in(move |engine, context| read(engine, context.now)).await
    }

    /// The same, with all that surrounds the turn.
    async fn read_in<T, F>(&self, read: F) -> Result<T, Failure>
    where
        T: Send + 'static,
        F: FnOnce(&Engine, &Context) -> Result<T, Failure> + Send + 'static,
    {
        self.ask(|answer| Box::new(ReadRequest { read, answer })).await
    }

    /// A request that may wait for so many milliseconds; the queue's attribute says how long when absent (R1).
    async fn poll<Q: Question>(&self, question: Q, wait: Option<u64>) -> Result<Q::Reply, Failure> {
        self.ask(|answer| Box::new(Poll::new(question, wait, answer))).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Box<dyn Request>) -> Result<T, Failure> {
        let answered = self.put(request)?;
        answered.await.unwrap_or_else(|_| Err(self.unavailable()))
    }

    /// Puts a request in line; where its answer will come.
    fn put<T>(
        &self,
        request: impl FnOnce(Answer<T>) -> Box<dyn Request>,
    ) -> Result<oneshot::Receiver<Result<T, Failure>>, Failure> {
        let (answer, answered) = oneshot::channel();
        match self.requests.try_send(request(answer)) {
            Ok(()) => Ok(answered),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Failure::Overloaded),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(self.unavailable()),
        }
    }

    fn share(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Failure> {
        let kib = u32::try_from((bytes + limits::REQUEST_OVERHEAD).div_ceil(1_024)).unwrap_or(u32::MAX);
        Arc::clone(&self.shares).try_acquire_many_owned(kib).map_err(|_| Failure::Overloaded)
    }

    fn unavailable(&self) -> Failure {
        let reason = self.fault.borrow().clone();
        Failure::Unavailable(reason.unwrap_or_else(|| "the broker is stopping".into()))
    }
}
