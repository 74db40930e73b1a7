//! What happened, as absolute facts: replaying events needs no clock, no attribute of that time and no command.
//! What a client could notice is an event (design idea 2). A message in [`Event::MessagesReceived`] and its like
//! carries its receive count after the event.

mod redrive;
mod restored;

pub use redrive::{Destination, MoveTask, MoveTaskEnd, MoveTaskFact};
pub use restored::{Restored, RestoredLease, RestoredOutcome};

use crate::{
    Attributes,
    reply::Accepted,
    words::{
        ActiveTime, AttemptKey, BodyOwner, BodyRef, ClaimNumber, CommitNumber, ContentDigest, DeduplicationKey, Epoch,
        GroupId, Label, QueueGeneration, QueueName, ReaderId, SendNumber, SequenceNumber, Tags, TaskNumber, Timestamp,
        ValueKey,
    },
};

/// A message and its receive count after the event.
pub type Counted = (SequenceNumber, u32);

/// Why messages became free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReturnCause {
    /// The lease ended (R3).
    Lapsed,
    /// The holder gave it back (O5).
    GivenBack,
}

/// Why a claim's number was burnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurnCause {
    /// It was abandoned.
    Abandoned,
    /// Its reader's limit passed.
    Lapsed,
}

/// What became of a numbered message of a session (B3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberUsed {
    /// The digest of its content.
    pub digest: ContentDigest,
    /// Its message, stored with this number or known by its deduplication id; or why it was refused.
    pub outcome: Result<(SequenceNumber, Duplicate), SendRefusal>,
}

/// Whether a numbered message was a duplicate by its deduplication id when its number was used.
pub type Duplicate = bool;

/// A refusal that uses up the number of its message: it is about the message, and a repeat must hear it again (B3).
/// A refusal for want of space is about the broker: the number stays free, and the same message may be sent later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the rejections of the same names say what they are")]
pub enum SendRefusal {
    MessageTooLong { limit: u32 },
    DeduplicationIdMissing,
    DelayNotAllowed,
    EarlierRejected,
}

/// A stored value changed: its new place, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueChanged {
    /// A group; absent: the reader's own.
    pub group: Option<GroupId>,
    /// Its key.
    pub key: ValueKey,
    /// Where it lies now; absent: removed.
    pub body: Option<BodyRef>,
}

/// Messages that go to a dead-letter queue, each by its old and its new sequence number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letters {
    /// Where to.
    pub to: QueueGeneration,
    /// Which.
    pub messages: Vec<(SequenceNumber, SequenceNumber)>,
}

/// What became of a claim's messages that were not done, in the same fact as the commit (B7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcomes {
    /// Those that went back, in order.
    pub returned: Vec<Counted>,
    /// Groups that deliver nothing from now on.
    pub parked: Vec<GroupId>,
    /// When: counts for what was parked and dead-lettered.
    pub at: Timestamp,
    /// Those that went to the dead-letter queue.
    pub letters: Option<Letters>,
}

/// One fact. Whatever is larger than a message that was sent lies in a box: facts are moved often, and that is nearly every
/// one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub enum Event {
    /// The journal saw this instant (H2).
    Ticked {
        at: Timestamp,
    },
    /// The broker started after `gap` milliseconds of downtime (H2).
    Resumed {
        at: Timestamp,
        gap: u64,
    },
    QueueCreated {
        queue: QueueGeneration,
        name: QueueName,
        attributes: Box<Attributes>,
        at: Timestamp,
    },
    /// A changed delay moves the messages that are still delayed with it (S11).
    QueueChanged {
        queue: QueueGeneration,
        attributes: Box<Attributes>,
        at: Timestamp,
    },
    /// These are its tags from now on (L12).
    QueueTagged {
        queue: QueueGeneration,
        tags: Tags,
    },
    /// `at` is 0 in what was written before purges and deletions were remembered (A2, A3).
    QueuePurged {
        queue: QueueGeneration,
        at: Timestamp,
    },
    QueueDeleted {
        queue: QueueGeneration,
        at: Timestamp,
    },
    MessageSent {
        queue: QueueGeneration,
        sequence: SequenceNumber,
        group: GroupId,
        key: DeduplicationKey,
        key_expires_at: ActiveTime,
        body: BodyRef,
        at: Timestamp,
        /// Absent: visible at once.
        delayed_until: Option<Timestamp>,
    },
    /// Messages became visible for the first time (S11).
    DelaysElapsed {
        queue: QueueGeneration,
        messages: Vec<SequenceNumber>,
    },
    /// A producer's session was opened by another instance than before, or for the first time (B3).
    ProducerOpened {
        queue: QueueGeneration,
        producer: Label,
        epoch: Epoch,
        instance: Label,
        at: Timestamp,
    },
    /// Numbers of a session were used, from `first` on without a gap; each message stored has its own event (B3).
    NumbersUsed {
        queue: QueueGeneration,
        epoch: Epoch,
        first: SendNumber,
        uses: Vec<NumberUsed>,
    },
    ProducerForgotten {
        queue: QueueGeneration,
        epoch: Epoch,
    },
    /// Messages of one group were delivered under one grant.
    MessagesReceived {
        queue: QueueGeneration,
        epoch: Epoch,
        at: Timestamp,
        received_at: ActiveTime,
        visible_at: ActiveTime,
        messages: Vec<Counted>,
    },
    /// What the receives of one command delivered can be had again under this key (R7).
    AttemptNoted {
        queue: QueueGeneration,
        attempt: AttemptKey,
        expires_at: ActiveTime,
        messages: Vec<(SequenceNumber, Epoch)>,
    },
    /// The messages of an attempt were delivered once more, uncounted; their leases end anew (R7).
    AttemptRepeated {
        queue: QueueGeneration,
        attempt: AttemptKey,
        visible_at: ActiveTime,
    },
    MessagesReturned {
        queue: QueueGeneration,
        cause: ReturnCause,
        messages: Vec<Counted>,
    },
    MessagesDeleted {
        queue: QueueGeneration,
        messages: Vec<SequenceNumber>,
    },
    VisibilityChanged {
        queue: QueueGeneration,
        messages: Vec<(SequenceNumber, ActiveTime)>,
    },
    /// Retention passed (R9).
    MessagesExpired {
        queue: QueueGeneration,
        messages: Vec<SequenceNumber>,
    },
    /// Keys and attempts that expired up to here were freed; each was judged by its own time before (H3).
    KeysForgotten {
        queue: QueueGeneration,
        through: ActiveTime,
    },
    /// Messages were received too often and went to the dead-letter queue: one fact for both queues (Q2, H10). Each by
    /// its old and its new sequence number.
    MessagesDeadLettered {
        queue: QueueGeneration,
        to: QueueGeneration,
        at: Timestamp,
        messages: Vec<(SequenceNumber, SequenceNumber)>,
    },
    /// What became of a move task of a dead-letter queue (Q6, Q7).
    MoveTask {
        queue: QueueGeneration,
        task: TaskNumber,
        fact: Box<MoveTaskFact>,
    },
    /// A reader was opened; its open claims got new epochs.
    ReaderOpened {
        queue: QueueGeneration,
        reader: ReaderId,
        name: Label,
        generation: Epoch,
        instance: Label,
        claim_limit: Option<u64>,
        epochs: Vec<(ClaimNumber, Epoch)>,
    },
    ReaderDropped {
        queue: QueueGeneration,
        reader: ReaderId,
    },
    ClaimOpened {
        queue: QueueGeneration,
        reader: ReaderId,
        number: ClaimNumber,
        epoch: Epoch,
        at: Timestamp,
        lapses_at: Option<ActiveTime>,
        messages: Vec<Counted>,
    },
    /// A worker holds the claim now; `messages` are those whose receive was counted.
    ClaimTaken {
        queue: QueueGeneration,
        reader: ReaderId,
        number: ClaimNumber,
        epoch: Epoch,
        worker: Label,
        messages: Vec<Counted>,
    },
    ClaimBurnt {
        queue: QueueGeneration,
        reader: ReaderId,
        number: ClaimNumber,
        cause: BurnCause,
    },
    ClaimCommitted {
        queue: QueueGeneration,
        reader: ReaderId,
        number: ClaimNumber,
        id: Label,
        digest: ContentDigest,
        commit: CommitNumber,
        outputs: Vec<Accepted>,
        values: Vec<ValueChanged>,
        outcomes: Box<Outcomes>,
    },
    /// A group delivers nothing from now on (B7).
    GroupParked {
        queue: QueueGeneration,
        group: GroupId,
        at: Timestamp,
    },
    GroupsUnparked {
        queue: QueueGeneration,
        groups: Vec<GroupId>,
    },
    /// Deliveries were finished by a commit.
    DeliveriesCommitted {
        queue: QueueGeneration,
        id: Label,
        digest: ContentDigest,
        messages: Vec<SequenceNumber>,
        outputs: Vec<Accepted>,
    },
    /// Reader-wide values changed.
    /// Bodies were stored again in this frame; nothing else changed (H6).
    BodiesMoved {
        queue: QueueGeneration,
        bodies: Vec<(BodyOwner, BodyRef)>,
    },
    ValuesCommitted {
        queue: QueueGeneration,
        reader: ReaderId,
        id: Label,
        digest: ContentDigest,
        outputs: Vec<Accepted>,
        values: Vec<ValueChanged>,
    },
    /// A piece of a distilled state; only a checkpoint holds it.
    Restored(Box<Restored>),
}

impl From<Restored> for Event {
    fn from(piece: Restored) -> Self {
        Self::Restored(Box::new(piece))
    }
}
