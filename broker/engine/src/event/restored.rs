//! The pieces of a distilled state: events that only a checkpoint holds, and that build a state again. What happened
//! while a broker lives is not told here.

use super::{MoveTask, NumberUsed};
use crate::{
    Attributes,
    reply::{Accepted, Origin},
    words::{
        ActiveTime, AttemptKey, BodyRef, ClaimNumber, CommitNumber, ContentDigest, DeduplicationKey, Epoch, GroupId,
        Label, QueueGeneration, QueueName, ReaderId, SendNumber, SequenceNumber, Tags, Timestamp, ValueKey,
    },
};

/// A piece of a state that was distilled into events: `replay(distilled(s)) == s`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub enum Restored {
    Clock {
        time: Timestamp,
        downtime: u64,
        last_generation: QueueGeneration,
    },
    Queue {
        queue: QueueGeneration,
        name: QueueName,
        attributes: Attributes,
        created_at: Timestamp,
        modified_at: Timestamp,
        last_sequence: SequenceNumber,
        last_epoch: Epoch,
        last_reader: ReaderId,
        next_turn: u64,
        purged_at: Option<Timestamp>,
    },
    /// A queue of this name was deleted not long ago (A2).
    Deletion {
        name: QueueName,
        at: Timestamp,
    },
    Message {
        queue: QueueGeneration,
        sequence: SequenceNumber,
        group: GroupId,
        body: BodyRef,
        sent_at: Timestamp,
        first_received_at: Option<Timestamp>,
        receives: u32,
        lease: Option<RestoredLease>,
        origin: Option<Origin>,
        delayed_until: Option<Timestamp>,
    },
    /// A group that is free, and its turn among the free ones (O2).
    FreeGroup {
        queue: QueueGeneration,
        group: GroupId,
        turn: u64,
    },
    /// Before the queue's messages, so that none of the group is free.
    ParkedGroup {
        queue: QueueGeneration,
        group: GroupId,
        at: Timestamp,
    },
    /// Only of a queue that has any.
    Tags {
        queue: QueueGeneration,
        tags: Tags,
    },
    Key {
        queue: QueueGeneration,
        key: DeduplicationKey,
        sequence: SequenceNumber,
        expires_at: ActiveTime,
    },
    /// A producer's session with the newest of its numbers, up to `last`.
    Producer {
        queue: QueueGeneration,
        producer: Label,
        epoch: Epoch,
        instance: Label,
        opened_at: Timestamp,
        last: SendNumber,
        uses: Vec<NumberUsed>,
    },
    /// Without messages: it cannot be repeated any more.
    Attempt {
        queue: QueueGeneration,
        attempt: AttemptKey,
        expires_at: ActiveTime,
        messages: Vec<(SequenceNumber, Epoch)>,
    },
    Reader {
        queue: QueueGeneration,
        reader: ReaderId,
        name: Label,
        generation: Epoch,
        instance: Label,
        claim_limit: Option<u64>,
        last_number: ClaimNumber,
        last_ended: ClaimNumber,
        commits: CommitNumber,
    },
    Claim {
        queue: QueueGeneration,
        reader: ReaderId,
        number: ClaimNumber,
        epoch: Epoch,
        worker: Option<Label>,
        opened_at: Timestamp,
        lapses_at: Option<ActiveTime>,
        messages: Vec<SequenceNumber>,
    },
    EndedClaim {
        queue: QueueGeneration,
        reader: ReaderId,
        number: ClaimNumber,
        outcome: RestoredOutcome,
    },
    Value {
        queue: QueueGeneration,
        reader: ReaderId,
        group: Option<GroupId>,
        key: ValueKey,
        body: BodyRef,
    },
    MoveTask {
        queue: QueueGeneration,
        task: MoveTask,
    },
    PastCommit {
        queue: QueueGeneration,
        id: Label,
        digest: ContentDigest,
        outputs: Vec<Accepted>,
    },
}

/// A lease, in a distilled state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct RestoredLease {
    pub epoch: Epoch,
    pub received_at: ActiveTime,
    pub visible_at: ActiveTime,
}

/// How a claim ended, in a distilled state.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub enum RestoredOutcome {
    Committed { id: Label, digest: ContentDigest, commit: CommitNumber, outputs: Vec<Accepted> },
    Burnt,
}
