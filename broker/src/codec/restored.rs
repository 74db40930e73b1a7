//! The pieces of a distilled state, in both directions. They are written by checkpoints only.

use lockstep_engine::{
    Attributes,
    event::{Restored, RestoredLease, RestoredOutcome},
    reply::Accepted,
    words::{
        ActiveTime, AttemptKey, ClaimNumber, CommitNumber, ContentDigest, DeduplicationKey, Epoch, Label,
        QueueGeneration, QueueName, ReaderId, SequenceNumber, Timestamp,
    },
};
use lockstep_proto::storage::{self as wire, event::Fact};

use super::{
    producers, redrive,
    words::{self, Fault},
};

pub(super) fn fact(piece: &Restored) -> Fact {
    match piece {
        Restored::Clock { time, downtime, last_generation } => Fact::RestoredClock(wire::RestoredClock {
            time: time.0,
            downtime_ms: *downtime,
            last_generation: last_generation.0,
        }),
        Restored::Deletion { name, at } => {
            Fact::RestoredDeletion(wire::RestoredDeletion { name: name.to_string(), at: at.0 })
        }
        #[rustfmt::skip]
        Restored::Queue {
            queue, name, attributes, created_at, modified_at, last_sequence, last_epoch, last_reader, next_turn,
            purged_at,
        } => Fact::RestoredQueue(wire::RestoredQueue {
            created_at: created_at.0,
            modified_at: modified_at.0,
            last_sequence: last_sequence.0,
            last_epoch: last_epoch.0,
            last_reader: last_reader.0,
            next_turn: *next_turn,
            purged_at: purged_at.map(|at| at.0),
            ..named_queue(*queue, name, attributes)
        }),
        Restored::Message {
            queue,
            sequence,
            group,
            body,
            sent_at,
            first_received_at,
            receives,
            lease,
            origin,
            delayed_until,
        } => Fact::RestoredMessage(wire::RestoredMessage {
            queue: queue.0,
            sequence: sequence.0,
            group: group.to_string(),
            body: Some(words::body(*body)),
            sent_at: sent_at.0,
            first_received_at: first_received_at.map(|at| at.0),
            receives: *receives,
            lease: lease.as_ref().map(write_lease),
            origin: origin.as_ref().map(words::origin),
            delayed_until: delayed_until.map(|until| until.0),
        }),
        Restored::FreeGroup { queue, group, turn } => {
            let group = group.to_string();
            Fact::RestoredFreeGroup(wire::RestoredFreeGroup { queue: queue.0, group, turn: *turn })
        }
        Restored::ParkedGroup { queue, group, at } => {
            let group = group.to_string();
            Fact::RestoredParkedGroup(wire::RestoredParkedGroup { queue: queue.0, group, at: at.0 })
        }
        Restored::Tags { queue, tags } => {
            Fact::RestoredTags(wire::RestoredTags { queue: queue.0, tags: words::tags(tags) })
        }
        Restored::Key { queue, key, sequence, expires_at } => {
            let (key, expires_at_active) = (words::digest_bytes(key.0), expires_at.0);
            Fact::RestoredKey(wire::RestoredKey { queue: queue.0, key, sequence: sequence.0, expires_at_active })
        }
        Restored::Attempt { queue, attempt, expires_at, messages } => {
            let (sequence_steps, epoch_steps) = words::delivered_steps(messages);
            Fact::RestoredAttempt(wire::RestoredAttempt {
                queue: queue.0,
                attempt: words::digest_bytes(attempt.0),
                expires_at_active: expires_at.0,
                sequence_steps,
                epoch_steps,
            })
        }
        #[rustfmt::skip]
        Restored::Reader {
            queue, reader, name, generation, instance, claim_limit, last_number, last_ended, commits,
        } => Fact::RestoredReader(wire::RestoredReader {
            queue: queue.0,
            reader: reader.0,
            name: name.to_string(),
            generation: generation.0,
            instance: instance.to_string(),
            claim_limit_ms: *claim_limit,
            last_number: last_number.0,
            last_ended: last_ended.0,
            commits: commits.0,
        }),
        Restored::Claim { queue, reader, number, epoch, worker, opened_at, lapses_at, messages } => {
            claim_fact((*queue, *reader, *number), *epoch, worker.as_ref(), (*opened_at, *lapses_at), messages)
        }
        Restored::EndedClaim { queue, reader, number, outcome } => {
            let (queue, reader, number, committed) = (queue.0, reader.0, number.0, write_outcome(outcome));
            Fact::RestoredEndedClaim(wire::RestoredEndedClaim { queue, reader, number, committed })
        }
        Restored::Value { queue, reader, group, key, body } => {
            let (group, key, body) = (group.as_ref().map(ToString::to_string), key.to_string(), words::body(*body));
            let (queue, reader, body) = (queue.0, reader.0, Some(body));
            Fact::RestoredValue(wire::RestoredValue { queue, reader, group, key, body })
        }
        Restored::Producer { queue, producer, epoch, instance, opened_at, last, uses } => {
            producers::restored((*queue, *epoch), (producer, instance), (*opened_at, *last), uses)
        }
        Restored::MoveTask { queue, task } => redrive::restored(*queue, task),
        Restored::PastCommit { queue, id, digest, outputs } => past_commit_fact(*queue, id, *digest, outputs),
    }
}

fn claim_fact(
    (queue, reader, number): (QueueGeneration, ReaderId, ClaimNumber),
    epoch: Epoch,
    worker: Option<&Label>,
    (opened_at, lapses_at): (Timestamp, Option<ActiveTime>),
    messages: &[SequenceNumber],
) -> Fact {
    Fact::RestoredClaim(wire::RestoredClaim {
        queue: queue.0,
        reader: reader.0,
        number: number.0,
        epoch: epoch.0,
        worker: worker.map(ToString::to_string),
        opened_at: opened_at.0,
        lapses_at_active: lapses_at.map(|at| at.0),
        sequence_steps: words::sequence_steps(messages),
    })
}

fn past_commit_fact(queue: QueueGeneration, id: &Label, digest: ContentDigest, outputs: &[Accepted]) -> Fact {
    Fact::RestoredPastCommit(wire::RestoredPastCommit {
        queue: queue.0,
        id: id.to_string(),
        digest: words::digest_bytes(digest.0),
        outputs: words::accepted(outputs),
    })
}

fn named_queue(queue: QueueGeneration, name: &QueueName, attributes: &Attributes) -> wire::RestoredQueue {
    let (name, attributes) = (name.to_string(), Some(words::attributes(attributes)));
    wire::RestoredQueue { queue: queue.0, name, attributes, ..wire::RestoredQueue::default() }
}

fn write_lease(lease: &RestoredLease) -> wire::RestoredLease {
    wire::RestoredLease {
        epoch: lease.epoch.0,
        received_at_active: lease.received_at.0,
        visible_at_active: lease.visible_at.0,
    }
}

fn write_outcome(outcome: &RestoredOutcome) -> Option<wire::RestoredCommit> {
    match outcome {
        RestoredOutcome::Committed { id, digest, commit, outputs } => Some(wire::RestoredCommit {
            id: id.to_string(),
            digest: words::digest_bytes(digest.0),
            commit: commit.0,
            outputs: words::accepted(outputs),
        }),
        RestoredOutcome::Burnt => None,
    }
}

pub(super) fn clock(it: &wire::RestoredClock) -> Restored {
    Restored::Clock {
        time: Timestamp(it.time),
        downtime: it.downtime_ms,
        last_generation: QueueGeneration(it.last_generation),
    }
}

pub(super) fn queue(it: &wire::RestoredQueue) -> Result<Restored, Fault> {
    Ok(Restored::Queue {
        queue: QueueGeneration(it.queue),
        name: words::queue_name(&it.name)?,
        attributes: words::read_attributes(it.attributes.as_ref())?,
        created_at: Timestamp(it.created_at),
        modified_at: Timestamp(it.modified_at),
        last_sequence: SequenceNumber(it.last_sequence),
        last_epoch: Epoch(it.last_epoch),
        last_reader: ReaderId(it.last_reader),
        next_turn: it.next_turn,
        purged_at: it.purged_at.map(Timestamp),
    })
}

pub(super) fn deletion(it: &wire::RestoredDeletion) -> Result<Restored, Fault> {
    Ok(Restored::Deletion { name: words::queue_name(&it.name)?, at: Timestamp(it.at) })
}

pub(super) fn message(it: &wire::RestoredMessage) -> Result<Restored, Fault> {
    let lease = |lease: wire::RestoredLease| RestoredLease {
        epoch: Epoch(lease.epoch),
        received_at: ActiveTime(lease.received_at_active),
        visible_at: ActiveTime(lease.visible_at_active),
    };
    Ok(Restored::Message {
        queue: QueueGeneration(it.queue),
        sequence: SequenceNumber(it.sequence),
        group: words::group(&it.group)?,
        body: words::read_body(it.body)?,
        sent_at: Timestamp(it.sent_at),
        first_received_at: it.first_received_at.map(Timestamp),
        receives: it.receives,
        lease: it.lease.map(lease),
        origin: words::read_origin(it.origin.as_ref())?,
        delayed_until: it.delayed_until.map(Timestamp),
    })
}

pub(super) fn free_group(it: &wire::RestoredFreeGroup) -> Result<Restored, Fault> {
    Ok(Restored::FreeGroup { queue: QueueGeneration(it.queue), group: words::group(&it.group)?, turn: it.turn })
}

pub(super) fn parked_group(it: &wire::RestoredParkedGroup) -> Result<Restored, Fault> {
    let (queue, at) = (QueueGeneration(it.queue), Timestamp(it.at));
    Ok(Restored::ParkedGroup { queue, group: words::group(&it.group)?, at })
}

pub(super) fn tags(it: &wire::RestoredTags) -> Result<Restored, Fault> {
    Ok(Restored::Tags { queue: QueueGeneration(it.queue), tags: words::read_tags(&it.tags)? })
}

pub(super) fn key(it: &wire::RestoredKey) -> Result<Restored, Fault> {
    Ok(Restored::Key {
        queue: QueueGeneration(it.queue),
        key: DeduplicationKey(words::sixteen(&it.key)?),
        sequence: SequenceNumber(it.sequence),
        expires_at: ActiveTime(it.expires_at_active),
    })
}

pub(super) fn attempt(it: &wire::RestoredAttempt) -> Result<Restored, Fault> {
    Ok(Restored::Attempt {
        queue: QueueGeneration(it.queue),
        attempt: AttemptKey(words::sixteen(&it.attempt)?),
        expires_at: ActiveTime(it.expires_at_active),
        messages: words::delivered(&it.sequence_steps, &it.epoch_steps)?,
    })
}

pub(super) fn reader(it: &wire::RestoredReader) -> Result<Restored, Fault> {
    Ok(Restored::Reader {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        name: words::label(&it.name)?,
        generation: Epoch(it.generation),
        instance: words::label(&it.instance)?,
        claim_limit: it.claim_limit_ms,
        last_number: ClaimNumber(it.last_number),
        last_ended: ClaimNumber(it.last_ended),
        commits: CommitNumber(it.commits),
    })
}

pub(super) fn claim(it: &wire::RestoredClaim) -> Result<Restored, Fault> {
    Ok(Restored::Claim {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        number: ClaimNumber(it.number),
        epoch: Epoch(it.epoch),
        worker: it.worker.as_deref().map(words::label).transpose()?,
        opened_at: Timestamp(it.opened_at),
        lapses_at: it.lapses_at_active.map(ActiveTime),
        messages: words::sequences(&it.sequence_steps),
    })
}

pub(super) fn ended_claim(it: wire::RestoredEndedClaim) -> Result<Restored, Fault> {
    let outcome = match it.committed {
        Some(committed) => RestoredOutcome::Committed {
            id: words::label(&committed.id)?,
            digest: ContentDigest(words::sixteen(&committed.digest)?),
            commit: CommitNumber(committed.commit),
            outputs: words::read_accepted(&committed.outputs),
        },
        None => RestoredOutcome::Burnt,
    };
    let (queue, reader) = (QueueGeneration(it.queue), ReaderId(it.reader));
    Ok(Restored::EndedClaim { queue, reader, number: ClaimNumber(it.number), outcome })
}

pub(super) fn value(it: &wire::RestoredValue) -> Result<Restored, Fault> {
    Ok(Restored::Value {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        group: words::optional_group(it.group.as_deref())?,
        key: words::value_key(&it.key)?,
        body: words::read_body(it.body)?,
    })
}

pub(super) fn past_commit(it: &wire::RestoredPastCommit) -> Result<Restored, Fault> {
    Ok(Restored::PastCommit {
        queue: QueueGeneration(it.queue),
        id: words::label(&it.id)?,
        digest: ContentDigest(words::sixteen(&it.digest)?),
        outputs: words::read_accepted(&it.outputs),
    })
}
