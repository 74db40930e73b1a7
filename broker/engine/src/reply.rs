//! What the engine answers. A rejection is final and durable like any other answer; every front gives each one a
//! code of its own, without a catch-all.

use crate::words::{
    BodyRef, ClaimNumber, CommitNumber, Epoch, GroupId, Label, QueueGeneration, QueueName, ReaderId, SendNumber,
    SequenceNumber, TaskNumber, Timestamp,
};

/// Why a command, or one entry of it, was refused. The text names the rule and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the fields say what the texts beside them say")]
pub enum Rejected {
    /// No queue of that name.
    #[error("the queue does not exist; create it first")]
    QueueNotFound,
    /// A1.
    #[error("a queue of this name exists with a different value for attribute {attribute} (A1)")]
    QueueExists { attribute: &'static str },
    /// B8.
    #[error("the queue is not generation {wanted} any more: it was deleted, or made anew (B8)")]
    QueueGenerationChanged { wanted: QueueGeneration, current: Option<QueueGeneration> },
    /// L2, L4, H11.
    #[error("attribute {attribute} is out of its range: {rule}")]
    AttributeInvalid { attribute: &'static str, rule: &'static str },
    /// S8 and the delivery discipline.
    #[error("attribute {attribute} is fixed at creation (S8); create another queue")]
    AttributeFixed { attribute: &'static str },
    /// Q1.
    #[error("the dead-letter queue {name} does not exist; create it first (Q1)")]
    DeadLetterQueueNotFound { name: QueueName },
    /// Q1.
    #[error("a queue cannot be its own dead-letter queue; name another one (Q1)")]
    DeadLetterQueueIsSelf,
    /// Q1.
    #[error("the dead-letter queue {name} must be of this queue's kind: both FIFO, or both standard (Q1)")]
    DeadLetterQueueKind { name: QueueName },
    /// L8.
    #[error("a standard queue has no attribute {attribute}; only a FIFO queue has, and its name ends in .fifo (L8)")]
    AttributeUnknown { attribute: &'static str },
    /// B5.
    #[error("only a FIFO queue, whose name ends in .fifo, has groups to name or park, and producer sessions (B5)")]
    NotFifo,
    /// L10.
    #[error("120,000 messages of the standard queue are in flight: delete some, or wait for their leases to end (L10)")]
    OverLimit,
    /// Q5.
    #[error("the redrive allow policy of {name} does not let this queue name it as its dead-letter queue (Q5)")]
    RedriveNotAllowed { name: QueueName },
    /// L2.
    #[error("the message must not be longer than {limit} bytes (L2)")]
    MessageTooLong { limit: u32 },
    /// S10.
    #[error(
        "a delay of its own is not valid for a message of a FIFO queue: give none, and set the queue's DelaySeconds (S10)"
    )]
    DelayNotAllowed,
    /// S2.
    #[error("give a deduplication id, or make the queue's deduplication content-based (S2)")]
    DeduplicationIdMissing,
    /// B5.
    #[error("a standard queue deduplicates nothing: give no deduplication id, or use a FIFO queue (B5)")]
    DeduplicationIdNotAllowed,
    /// H1.
    #[error("an earlier entry of this group in the same batch was rejected (H1)")]
    EarlierRejected,
    /// B3.
    #[error("the queue has no producer session of this name; open it first (B3)")]
    ProducerNotFound,
    /// B3.
    #[error("another instance opened the producer: epoch {current} fences epoch {given} (B3)")]
    ProducerFenced { given: Epoch, current: Epoch },
    /// B3.
    #[error("the next number of the session is {next}: {given} would leave a gap; nothing was stored (B3)")]
    SendNumberInvalid { given: SendNumber, next: SendNumber },
    /// B3.
    #[error("number {number} was used for a message with another content; nothing was stored now (B3)")]
    SendNumberConflict { number: SendNumber },
    /// B3.
    #[error("the number was used long ago and its answer is not kept any more; nothing was stored now (B3)")]
    AlreadyAccepted,
    /// The cap on sessions.
    #[error("the queue has 1,000 producer sessions, and none is forgotten by itself; forget one first (B3)")]
    TooManyProducers,
    /// L12.
    #[error("a queue has at most 50 tags, and this one would have {tags}; remove some first (L12)")]
    TooManyTags { tags: usize },
    /// A2, with AWS's timing.
    #[error("a queue of this name was deleted less than 60 s ago; wait as long, or serve without --aws-timing (A2)")]
    QueueDeletedRecently,
    /// A3, with AWS's timing.
    #[error("the queue was purged less than 60 s ago; wait as long, or serve without --aws-timing (A3)")]
    PurgeInProgress,
    /// L12.
    #[error("the queue's policy is not the one that was read; read it again, and change that (L12)")]
    PolicyChanged,
    /// H5.
    #[error("no space is left for new messages; receive and delete some, or give the journal more (H5)")]
    StorageFull,
    /// R7.
    #[error(
        "the receive under this attempt id cannot be repeated any more: a message of it was deleted, lapsed or had its \
         visibility changed; receive under another id (R7)"
    )]
    ReceiveAttemptInvalid,
    /// A handle that was never of this queue.
    #[error("the receipt handle is not one of this queue (R4)")]
    ReceiptForeign,
    /// R3.
    #[error("the receipt handle has expired: its lease ended (R3)")]
    ReceiptExpired,
    /// R5.
    #[error("the message does not exist any more, or is not in flight (R5)")]
    MessageNotInFlight,
    /// R6.
    #[error("the visibility timeout would pass 12 hours since the receive (R6)")]
    VisibilityTooLong,
    /// The strict discipline.
    #[error("message {blocking} of the same group comes first: a strict queue deletes in order")]
    EarlierInFlight { blocking: SequenceNumber },
    /// The strict discipline.
    #[error("only a queue with GroupDelivery strict accepts readers, claims and Commit")]
    NotStrict,
    /// B6.
    #[error("the queue has no reader of this name; open it first (B6)")]
    ReaderNotFound,
    /// B6.
    #[error("another instance opened the reader: generation {current} fences generation {given} (B6)")]
    ReaderFenced { given: Epoch, current: Epoch },
    /// B6.
    #[error("the next claim's number is {next}, or that of an open claim (B6)")]
    ClaimNumberInvalid { next: ClaimNumber },
    /// B6.
    #[error("the reader has 64 open claims; finish one first (B6)")]
    TooManyOpenClaims,
    /// The cap on readers.
    #[error("the queue has 1,000 readers; drop one first")]
    TooManyReaders,
    /// B6.
    #[error("the claim is not open (B6)")]
    ClaimNotOpen,
    /// B2, B6.
    #[error("epoch {given} does not hold the claim; epoch {current} does (B2)")]
    ClaimFenced { given: Epoch, current: Epoch },
    /// B6.
    #[error("the claim was abandoned or lapsed; its messages went back (B6)")]
    ClaimBurnt,
    /// B1.
    #[error("this was committed before with another content; nothing was done now (B1)")]
    CommitConflict,
    /// B1.
    #[error("the outcome of this old commit is not kept any more; read the records, never redo (B1)")]
    OutcomeForgotten,
    /// B1.
    #[error("output {index} is refused: {reason}; commit again without it or elsewhere (B1)")]
    OutputRefused { index: u32, reason: Box<Rejected> },
    /// B7.
    #[error("an outcome for group {group}: {fault} (B7)")]
    OutcomeInvalid { group: GroupId, fault: &'static str },
    /// B7, H10.
    #[error("the queue has no dead-letter queue now; set one that is there, or park the group (B7)")]
    NoDeadLetterQueue,
    /// B7.
    #[error("the queue has 10,000 parked groups; unpark some first (B7)")]
    TooManyParked,
    /// Q6.
    #[error("the source must be the dead-letter queue of some queue, and no redrive policy names this one (Q6)")]
    NotADeadLetterQueue,
    /// Q6.
    #[error("the destination {name} does not exist; create it first (Q6)")]
    MoveDestinationNotFound { name: QueueName },
    /// Q6.
    #[error("the destination is the source; name another queue, or none (Q6)")]
    MoveDestinationIsSource,
    /// Q1.
    #[error("the destination of a move task is FIFO or standard like its dead-letter queue (Q1)")]
    MoveDestinationKind,
    /// L13.
    #[error("a move task moves 1 to 500 messages a second (L13)")]
    MoveRateInvalid,
    /// Q6.
    #[error("a move task of this queue is running, and only one may; wait for its end or cancel it (Q6)")]
    MoveTaskRunning,
    /// L13.
    #[error("100 move tasks are running; wait for the end of one or cancel it (L13)")]
    TooManyMoveTasks,
    /// Q6.
    #[error("the move task does not exist: the handle is of another broker, or its queue was deleted (Q6)")]
    MoveTaskNotFound,
    /// Q6.
    #[error("the move task has ended; only a running one can be cancelled (Q6)")]
    MoveTaskEnded,
    /// B1.
    #[error("value {key:?} is for a group that is not of this claim (B1)")]
    ValueOutsideClaim { key: String },
    /// B1.
    #[error("value {key:?} is longer than 64 KiB; store a pointer to it (B1)")]
    ValueTooLong { key: String },
    /// B1.
    #[error("the reader's values would pass 256 MiB (B1)")]
    ReaderFull,
}

/// A queue was created, or was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueCreated {
    /// Its generation.
    pub generation: QueueGeneration,
    /// False: it was there with equal attributes (A1).
    pub created: bool,
}

/// A message was stored, or had been before (S6). Its id follows from queue generation and sequence number (H9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// The queue's generation.
    pub generation: QueueGeneration,
    /// The message's place.
    pub sequence: SequenceNumber,
    /// It was there before; nothing new was stored.
    pub duplicate: bool,
}

/// Where a dead letter comes from: it keeps the identity of the message it was when it was sent (H9, Q2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The queue it was sent to.
    pub generation: QueueGeneration,
    /// Its place there.
    pub sequence: SequenceNumber,
    /// The queue that it was dead-lettered from last (R8: DeadLetterQueueSourceArn).
    pub source: QueueName,
}

/// A producer's session is open (B3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerOpened {
    /// The queue's generation.
    pub queue: QueueGeneration,
    /// The epoch of this instance.
    pub epoch: Epoch,
    /// The highest number used, accepted or refused; the next send uses the one after it.
    pub last: SendNumber,
}

/// A message as a receive delivers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The queue's generation.
    pub generation: QueueGeneration,
    /// The message.
    pub sequence: SequenceNumber,
    /// Its group.
    pub group: GroupId,
    /// Its body's place.
    pub body: BodyRef,
    /// The grant's epoch (B2).
    pub epoch: Epoch,
    /// Receives, this one included (R8).
    pub receives: u32,
    /// When it was sent.
    pub sent_at: Timestamp,
    /// When it was first received.
    pub first_received_at: Timestamp,
    /// When it becomes visible again.
    pub visible_at: Timestamp,
    /// Set where it is a dead letter.
    pub origin: Option<Origin>,
}

/// A message was deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// It was gone before (R4).
    pub already_gone: bool,
}

/// A reader was opened (B6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReaderOpened {
    /// The queue's generation.
    pub queue: QueueGeneration,
    /// The reader's id.
    pub id: ReaderId,
    /// The generation of this instance.
    pub generation: Epoch,
    /// What is open, by number.
    pub open: Vec<OpenClaim>,
    /// The highest number up to which all are committed or burnt.
    pub last_committed: ClaimNumber,
    /// The highest number given out.
    pub last_number: ClaimNumber,
    /// The newest commit number.
    pub commits: CommitNumber,
}

/// An open claim from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenClaim {
    /// Its number.
    pub number: ClaimNumber,
    /// Its present epoch.
    pub epoch: Epoch,
    /// Who took it.
    pub worker: Option<Label>,
    /// How many messages.
    pub messages: u32,
    /// How many groups.
    pub groups: u32,
    /// How many bytes of bodies.
    pub bytes: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
}

/// The answer to a claim (B6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// It is open.
    Open(OpenClaim),
    /// Nothing was there; no number was used.
    Empty,
    /// That number is finished.
    Committed(CommitNumber),
    /// That number was given back.
    Burnt,
}

/// Groups were unparked (B7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unparked {
    /// How many.
    pub groups: u64,
    /// Whether more are parked: ask again.
    pub more: bool,
}

/// A move task was started (Q6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MoveTaskStarted {
    /// The queue whose messages it moves.
    pub queue: QueueGeneration,
    /// Its number there.
    pub task: TaskNumber,
}

/// A commit is done (B1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The reader's dense number of this commit; absent where the target is no claim.
    pub commit: Option<CommitNumber>,
    /// What became of each output.
    pub outputs: Vec<Accepted>,
    /// It was done before.
    pub repeated: bool,
}
