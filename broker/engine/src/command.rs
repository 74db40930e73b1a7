//! What callers ask of the engine. Every command is a type with the reply it gets, so that no caller has to guess
//! which answer belongs to which question. Bodies are sizes here: the shell keeps the bytes and stores those that
//! a [`Decision`] names.

mod aws;
mod parking;
mod redrive;
mod tags;

pub use aws::{CreateSqsQueue, PurgeSqsQueue, ReplacePolicy, SendSeparately};
pub use parking::{Park, Unpark};
pub use redrive::{CancelMoveTask, StartMoveTask};
pub use tags::{TagQueue, UntagQueue};

use crate::{
    AttributeChanges, Event, Rejected, State,
    reply::Accepted,
    words::{
        AttemptKey, BodyOwner, BodyRef, ClaimNumber, ContentDigest, DeduplicationKey, Epoch, GroupId, Label,
        QueueGeneration, QueueName, ReaderId, Receipt, SendNumber, SequenceNumber, Tags, Timestamp, ValueKey,
    },
};

/// What surrounds a decision: time, space and the place of the next body are arguments (H2, H4, H5).
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// The turn's time; never less than in an earlier turn.
    pub now: Timestamp,
    /// The number of the frame that will hold this turn's events.
    pub frame: u64,
    /// The index that the next body of this frame gets.
    pub next_body: u32,
    /// What may still be stored.
    pub space: Space,
}

/// Bytes that may still be stored (H5). Deletes and commits keep a reserve of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// For sends and outputs.
    pub for_sends: u64,
    /// For values and records of commits, claims and all other events.
    pub for_finishes: u64,
}

impl Space {
    /// No limit at all.
    pub const UNLIMITED: Self = Self { for_sends: u64::MAX, for_finishes: u64::MAX };
}

/// What a command comes to: events to append, bodies to store beside them, and the reply to give once both are durable.
#[derive(Debug)]
pub struct Decision<R> {
    /// What happened, in order.
    pub events: Vec<Event>,
    /// Which of the command's bodies are stored, by their index in the command, in the order of their positions.
    pub bodies: Vec<u32>,
    /// The answer, durable and final.
    pub reply: Result<R, Rejected>,
}

impl<R> Decision<R> {
    /// Nothing happened, but there is an answer.
    #[must_use]
    pub fn unchanged(reply: Result<R, Rejected>) -> Self {
        Self { events: Vec::new(), bodies: Vec::new(), reply }
    }

    /// Events without bodies.
    #[must_use]
    pub fn new(events: Vec<Event>, reply: R) -> Self {
        Self { events, bodies: Vec::new(), reply: Ok(reply) }
    }
}

/// A question to the engine.
pub trait Command {
    /// Its answer.
    type Reply;

    /// Judges the command against the state. Pure: it cannot write, and knows no clock but the context's.
    fn decide(&self, state: &State, context: &Context) -> Decision<Self::Reply>;

    /// Whether a caller that is willing to wait should (R1): nothing was there, and nothing was refused.
    fn found_nothing(_reply: &Self::Reply) -> bool {
        false
    }

    /// The messages that were to be sent and were there already (S6).
    fn duplicates(_reply: &Self::Reply) -> Vec<Accepted> {
        Vec::new()
    }
}

/// A queue by name, and by generation where the caller wants no other life of that name (B8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueRef {
    /// Its name.
    pub name: QueueName,
    /// The only generation meant.
    pub generation: Option<QueueGeneration>,
}

/// Creates a queue (A1).
#[derive(Clone, Debug)]
pub struct CreateQueue {
    /// Its name.
    pub name: QueueName,
    /// What was given explicitly; the rest gets defaults.
    pub attributes: AttributeChanges,
    /// Its tags; those of a queue that is there stay as they are (L12).
    pub tags: Tags,
}

/// Changes attributes of a queue.
#[derive(Clone, Debug)]
pub struct SetQueueAttributes {
    /// The queue.
    pub queue: QueueRef,
    /// What changes.
    pub changes: AttributeChanges,
}

/// Removes every message that no claim holds, and the deduplication keys (A3, S5, B8).
#[derive(Clone, Debug)]
pub struct PurgeQueue {
    /// The queue.
    pub queue: QueueRef,
}

/// Ends a queue with all it holds (B8).
#[derive(Clone, Debug)]
pub struct DeleteQueue {
    /// The queue.
    pub queue: QueueRef,
}

/// One message to send. The shell hashes its deduplication id under both scopes, because only the engine knows the
/// queue's (S7).
#[derive(Clone, Debug)]
pub struct SendEntry {
    /// Its group; on a standard queue it counts for nothing (B5).
    pub group: GroupId,
    /// Whether the caller gave a deduplication id; otherwise the keys are those of the body's SHA-256 (S3).
    pub explicit_id: bool,
    /// The key where the scope is the queue.
    pub queue_key: DeduplicationKey,
    /// The key where the scope is the message group.
    pub group_key: DeduplicationKey,
    /// The size by L2, in bytes.
    pub size: u32,
    /// Its own delay in milliseconds, at most [`limits::DELAY`](crate::limits::DELAY). On a FIFO queue only 0, which
    /// means the queue's like none at all (S10); on a standard queue it goes before the queue's.
    pub delay: Option<u64>,
}

/// Messages sent under dense numbers of a producer's session (B3).
#[derive(Clone, Debug)]
pub struct SendSession {
    /// The producer's name.
    pub producer: Label,
    /// The epoch that OpenProducer gave.
    pub epoch: Epoch,
    /// The number of the first entry; each next entry has the next number.
    pub first: SendNumber,
    /// A digest of each entry's content: the same number with another one is refused.
    pub digests: Vec<ContentDigest>,
}

/// Sends messages in order (S9). Bodies: one for each entry.
#[derive(Clone, Debug)]
pub struct Send {
    /// The queue.
    pub queue: QueueRef,
    /// The session whose numbers the entries have, if they have any (B3).
    pub session: Option<SendSession>,
    /// 1 to 1,000 entries (H1).
    pub entries: Vec<SendEntry>,
}

/// Opens a producer's session, or asks where it stopped (B3).
#[derive(Clone, Debug)]
pub struct OpenProducer {
    /// The queue.
    pub queue: QueueRef,
    /// The producer's name.
    pub producer: Label,
    /// The process that speaks for it.
    pub instance: Label,
}

/// Forgets a producer's session with all its numbers (B3).
#[derive(Clone, Debug)]
pub struct ForgetProducer {
    /// The queue.
    pub queue: QueueRef,
    /// The producer's name.
    pub producer: Label,
    /// The only epoch meant.
    pub epoch: Option<Epoch>,
}

/// Takes messages for a while (O1 to O5).
#[derive(Clone, Debug)]
pub struct Receive {
    /// The queue.
    pub queue: QueueRef,
    /// 1 to 1,000.
    pub max_messages: u32,
    /// The visibility timeout in milliseconds; the queue's when absent.
    pub visibility: Option<u64>,
    /// Under which key it may be repeated for 5 minutes (R7).
    pub attempt: Option<AttemptKey>,
}

/// Deletes received messages, judged as a set.
#[derive(Clone, Debug)]
pub struct Delete {
    /// The queue.
    pub queue: QueueRef,
    /// 1 to 1,000 receipts.
    pub receipts: Vec<Receipt>,
}

/// Changes how long received messages stay hidden; 0 gives them back (R5, R6).
#[derive(Clone, Debug)]
pub struct ChangeVisibility {
    /// The queue.
    pub queue: QueueRef,
    /// Receipts with their new timeouts in milliseconds from now.
    pub entries: Vec<(Receipt, u64)>,
}

/// Opens a reader (B6).
#[derive(Clone, Debug)]
pub struct OpenReader {
    /// The queue; strict only.
    pub queue: QueueRef,
    /// The reader's name.
    pub reader: Label,
    /// The controller's instance.
    pub instance: Label,
    /// Claims lapse after so many milliseconds; never when absent.
    pub claim_limit: Option<u64>,
}

/// A reader as its controller names it.
#[derive(Clone, Debug)]
pub struct ReaderRef {
    /// The queue.
    pub queue: QueueRef,
    /// The reader's name.
    pub name: Label,
    /// The generation that OpenReader gave; absent: the operator's word, whoever the controller is.
    pub generation: Option<Epoch>,
}

/// Takes messages under a number (B6).
#[derive(Clone, Debug)]
pub struct Claim {
    /// The reader.
    pub reader: ReaderRef,
    /// Last + 1, or an open one.
    pub number: ClaimNumber,
    /// 1 to 10,000.
    pub max_messages: u32,
    /// 1 byte to 64 MiB; one message always fits.
    pub max_bytes: u64,
    /// Answer nothing unless so many messages can be had.
    pub at_least: u32,
}

/// Makes a worker the holder of a claim (B6).
#[derive(Clone, Debug)]
pub struct TakeClaim {
    /// The reader.
    pub reader: ReaderRef,
    /// The claim.
    pub number: ClaimNumber,
    /// The worker's instance.
    pub worker: Label,
    /// Count a receive: the holder before failed.
    pub previous_failed: bool,
}

/// Burns claims and gives their messages back (B6).
#[derive(Clone, Debug)]
pub struct Abandon {
    /// The reader.
    pub reader: ReaderRef,
    /// One claim; absent: every open one.
    pub number: Option<ClaimNumber>,
}

/// Ends a reader (B6).
#[derive(Clone, Debug)]
pub struct DropReader {
    /// The queue.
    pub queue: QueueRef,
    /// Its name.
    pub reader: Label,
    /// The only id meant.
    pub id: Option<ReaderId>,
}

/// A value to store or to remove (B1).
#[derive(Clone, Debug)]
pub struct ValueChange {
    /// A group of the claim; absent: the reader's own.
    pub group: Option<GroupId>,
    /// Its key.
    pub key: ValueKey,
    /// Its size in bytes; absent: remove.
    pub size: Option<u32>,
}

/// A message that a commit sends (B1).
#[derive(Clone, Debug)]
pub struct Output {
    /// Where to.
    pub queue: QueueName,
    /// What.
    pub entry: SendEntry,
}

/// What becomes of a group's messages of a claim that are not done (B7). Only the first of them is counted as received:
/// those behind it were not tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// They go back, in order.
    GivenBack,
    /// The first goes to the dead-letter queue, those behind it go back.
    HeadDeadLettered,
    /// They go back, and the group delivers nothing until it is unparked.
    Parked,
}

/// What became of a group of a claim; a group without one is done (B7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupOutcome {
    /// The group.
    pub group: GroupId,
    /// Its messages up to this one are done; absent: none is.
    pub done_through: Option<SequenceNumber>,
    /// What becomes of the others.
    pub rest: Rest,
}

/// What a commit finishes (B1).
#[derive(Clone, Debug)]
pub enum CommitTarget {
    /// A whole claim.
    Claim {
        /// The reader.
        reader: ReaderRef,
        /// The claim.
        number: ClaimNumber,
        /// The epoch under which the caller holds it.
        epoch: Epoch,
        /// The size of the record kept under `published/<commit number>`; absent: none (B9).
        record: Option<u32>,
        /// What became of groups that were not done as a whole (B7).
        outcomes: Vec<GroupOutcome>,
    },
    /// Deliveries, all or none.
    Deliveries(Vec<Receipt>),
    /// Nothing: only reader-wide values change.
    Reader(ReaderRef),
}

/// Stores bodies again in the present frame, so that an old one may go (H6). Bodies: one for each entry.
#[derive(Clone, Debug)]
pub struct MoveBodies {
    /// The queue.
    pub queue: QueueGeneration,
    /// Whose bodies, and where each was read. An owner that is gone, or names another place, is passed over.
    pub bodies: Vec<(BodyOwner, BodyRef)>,
}

/// All or nothing, in one journal entry (B1). Bodies: the outputs', then the stored values', then the record.
#[derive(Clone, Debug)]
pub struct Commit {
    /// The queue, with its generation.
    pub queue: QueueRef,
    /// The caller's id of this commit.
    pub id: Label,
    /// A digest of its content.
    pub digest: ContentDigest,
    /// What it finishes.
    pub target: CommitTarget,
    /// What it stores.
    pub values: Vec<ValueChange>,
    /// What it sends.
    pub outputs: Vec<Output>,
}
