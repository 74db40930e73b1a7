//! Engine events to stored facts. Total: every event has an encoding. No decoding here.

use lockstep_engine::{
    Event,
    event::{BurnCause, Counted, Outcomes, ReturnCause, ValueChanged},
    reply::Accepted,
    words::{
        ActiveTime, AttemptKey, BodyRef, ClaimNumber, CommitNumber, ContentDigest, DeduplicationKey, Epoch, GroupId,
        Label, QueueGeneration, ReaderId, SequenceNumber, Timestamp,
    },
};
use lockstep_proto::storage::{self as wire, event::Fact};

use super::{producers, redrive, restored, words};

pub(super) fn event(event: &Event) -> wire::Event {
    wire::Event { fact: Some(fact(event)) }
}

fn fact(event: &Event) -> Fact {
    match event {
        Event::Ticked { at } => Fact::Ticked(wire::Ticked { at: at.0 }),
        Event::Resumed { at, gap } => Fact::Resumed(wire::Resumed { at: at.0, gap: *gap }),
        Event::QueueCreated { queue, name, attributes, at } => {
            let (name, attributes) = (name.to_string(), Some(words::attributes(attributes)));
            Fact::QueueCreated(wire::QueueCreated { queue: queue.0, name, attributes, at: at.0 })
        }
        Event::QueueChanged { queue, attributes, at } => {
            let attributes = Some(words::attributes(attributes));
            Fact::QueueChanged(wire::QueueChanged { queue: queue.0, attributes, at: at.0 })
        }
        Event::QueueTagged { queue, tags } => {
            Fact::QueueTagged(wire::QueueTagged { queue: queue.0, tags: words::tags(tags) })
        }
        Event::QueuePurged { queue, at } => Fact::QueuePurged(wire::QueuePurged { queue: queue.0, at: at.0 }),
        Event::QueueDeleted { queue, at } => Fact::QueueDeleted(wire::QueueDeleted { queue: queue.0, at: at.0 }),
        Event::MessageSent { queue, sequence, group, key, key_expires_at, body, at, delayed_until } => {
            let sent = sent(*queue, *sequence, group, (*key, *key_expires_at), *body, (*at, *delayed_until));
            Fact::MessageSent(sent)
        }
        Event::DelaysElapsed { queue, messages } => {
            let sequence_steps = words::sequence_steps(messages);
            Fact::DelaysElapsed(wire::DelaysElapsed { queue: queue.0, sequence_steps })
        }
        Event::MessagesReceived { queue, epoch, at, received_at, visible_at, messages } => {
            received(*queue, *epoch, *at, *received_at, *visible_at, messages)
        }
        Event::AttemptNoted { queue, attempt, expires_at, messages } => {
            attempt_noted(*queue, *attempt, *expires_at, messages)
        }
        Event::AttemptRepeated { queue, attempt, visible_at } => Fact::AttemptRepeated(wire::AttemptRepeated {
            queue: queue.0,
            attempt: words::digest_bytes(attempt.0),
            visible_at_active: visible_at.0,
        }),
        Event::MessagesReturned { queue, cause, messages } => returned(*queue, *cause, messages),
        Event::MessagesDeleted { queue, messages } => deleted(*queue, messages),
        Event::VisibilityChanged { queue, messages } => visibility(*queue, messages),
        Event::MessagesExpired { queue, messages } => expired(*queue, messages),
        Event::MessagesDeadLettered { queue, to, at, messages } => dead_lettered(*queue, *to, *at, messages),
        Event::MoveTask { queue, task, fact } => redrive::fact(*queue, *task, fact),
        Event::KeysForgotten { queue, through } => {
            Fact::KeysForgotten(wire::KeysForgotten { queue: queue.0, through_active: through.0 })
        }
        Event::ProducerOpened { queue, producer, epoch, instance, at } => {
            producers::opened(*queue, producer, *epoch, instance, *at)
        }
        Event::NumbersUsed { queue, epoch, first, uses } => producers::used(*queue, *epoch, *first, uses),
        Event::ProducerForgotten { queue, epoch } => producers::forgotten(*queue, *epoch),
        Event::ReaderOpened { queue, reader, name, generation, instance, claim_limit, epochs } => {
            reader_opened(*queue, *reader, name, *generation, instance, *claim_limit, epochs)
        }
        Event::ReaderDropped { queue, reader } => {
            Fact::ReaderDropped(wire::ReaderDropped { queue: queue.0, reader: reader.0 })
        }
        Event::ClaimOpened { queue, reader, number, epoch, at, lapses_at, messages } => {
            claim_opened(*queue, *reader, *number, *epoch, *at, *lapses_at, messages)
        }
        Event::ClaimTaken { queue, reader, number, epoch, worker, messages } => {
            claim_taken(*queue, *reader, *number, *epoch, worker, messages)
        }
        Event::ClaimBurnt { queue, reader, number, cause } => claim_burnt(*queue, *reader, *number, *cause),
        Event::ClaimCommitted { queue, reader, number, id, digest, commit, outputs, values, outcomes } => {
            claim_committed((*queue, *reader), (*number, *commit), id, *digest, outputs, values, outcomes)
        }
        Event::GroupParked { queue, group, at } => {
            Fact::GroupParked(wire::GroupParked { queue: queue.0, group: group.to_string(), at: at.0 })
        }
        Event::GroupsUnparked { queue, groups } => {
            Fact::GroupsUnparked(wire::GroupsUnparked { queue: queue.0, groups: words::texts(groups) })
        }
        Event::DeliveriesCommitted { queue, id, digest, messages, outputs } => {
            deliveries_committed(*queue, id, *digest, messages, outputs)
        }
        Event::ValuesCommitted { queue, reader, id, digest, outputs, values } => {
            values_committed(*queue, *reader, id, *digest, outputs, values)
        }
        Event::BodiesMoved { queue, bodies } => {
            Fact::BodiesMoved(wire::BodiesMoved { queue: queue.0, bodies: words::moved(bodies) })
        }
        Event::Restored(piece) => restored::fact(piece),
    }
}

fn sent(
    queue: QueueGeneration,
    sequence: SequenceNumber,
    group: &GroupId,
    (key, key_expires_at): (DeduplicationKey, ActiveTime),
    body: BodyRef,
    (at, delayed_until): (Timestamp, Option<Timestamp>),
) -> wire::MessageSent {
    wire::MessageSent {
        queue: queue.0,
        sequence: sequence.0,
        group: group.to_string(),
        key: words::digest_bytes(key.0),
        key_expires_at_active: key_expires_at.0,
        body: Some(words::body(body)),
        at: at.0,
        delayed_until: delayed_until.map(|until| until.0),
    }
}

fn received(
    queue: QueueGeneration,
    epoch: Epoch,
    at: Timestamp,
    received_at: ActiveTime,
    visible_at: ActiveTime,
    messages: &[Counted],
) -> Fact {
    let (sequence_steps, receives) = words::counted_steps(messages);
    Fact::MessagesReceived(wire::MessagesReceived {
        queue: queue.0,
        epoch: epoch.0,
        at: at.0,
        received_at_active: received_at.0,
        visible_at_active: visible_at.0,
        sequence_steps,
        receives,
    })
}

fn attempt_noted(
    queue: QueueGeneration,
    attempt: AttemptKey,
    expires_at: ActiveTime,
    messages: &[(SequenceNumber, Epoch)],
) -> Fact {
    let (sequence_steps, epoch_steps) = words::delivered_steps(messages);
    Fact::AttemptNoted(wire::AttemptNoted {
        queue: queue.0,
        attempt: words::digest_bytes(attempt.0),
        expires_at_active: expires_at.0,
        sequence_steps,
        epoch_steps,
    })
}

fn returned(queue: QueueGeneration, cause: ReturnCause, messages: &[Counted]) -> Fact {
    let cause = match cause {
        ReturnCause::Lapsed => wire::ReturnCause::Lapsed,
        ReturnCause::GivenBack => wire::ReturnCause::GivenBack,
    };
    let (sequence_steps, receives) = words::counted_steps(messages);
    let cause = cause.into();
    Fact::MessagesReturned(wire::MessagesReturned { queue: queue.0, cause, sequence_steps, receives })
}

fn deleted(queue: QueueGeneration, messages: &[SequenceNumber]) -> Fact {
    let sequence_steps = words::sequence_steps(messages);
    Fact::MessagesDeleted(wire::MessagesDeleted { queue: queue.0, sequence_steps })
}

fn expired(queue: QueueGeneration, messages: &[SequenceNumber]) -> Fact {
    let sequence_steps = words::sequence_steps(messages);
    Fact::MessagesExpired(wire::MessagesExpired { queue: queue.0, sequence_steps })
}

fn dead_lettered(
    queue: QueueGeneration,
    to: QueueGeneration,
    at: Timestamp,
    messages: &[(SequenceNumber, SequenceNumber)],
) -> Fact {
    Fact::MessagesDeadLettered(wire::MessagesDeadLettered {
        queue: queue.0,
        to: to.0,
        at: at.0,
        sequence_steps: words::steps(messages.iter().map(|(from, _)| from.0)),
        placed_steps: words::steps(messages.iter().map(|(_, placed)| placed.0)),
    })
}

fn visibility(queue: QueueGeneration, messages: &[(SequenceNumber, ActiveTime)]) -> Fact {
    Fact::VisibilityChanged(wire::VisibilityChanged {
        queue: queue.0,
        sequence_steps: words::steps(messages.iter().map(|(sequence, _)| sequence.0)),
        visible_at_active_steps: words::steps(messages.iter().map(|(_, visible_at)| visible_at.0)),
    })
}

fn reader_opened(
    queue: QueueGeneration,
    reader: ReaderId,
    name: &Label,
    generation: Epoch,
    instance: &Label,
    claim_limit: Option<u64>,
    epochs: &[(ClaimNumber, Epoch)],
) -> Fact {
    Fact::ReaderOpened(wire::ReaderOpened {
        queue: queue.0,
        reader: reader.0,
        name: name.to_string(),
        generation: generation.0,
        instance: instance.to_string(),
        claim_limit_ms: claim_limit,
        claim_number_steps: words::steps(epochs.iter().map(|(number, _)| number.0)),
        claim_epoch_steps: words::steps(epochs.iter().map(|(_, epoch)| epoch.0)),
    })
}

fn claim_opened(
    queue: QueueGeneration,
    reader: ReaderId,
    number: ClaimNumber,
    epoch: Epoch,
    at: Timestamp,
    lapses_at: Option<ActiveTime>,
    messages: &[Counted],
) -> Fact {
    let (sequence_steps, receives) = words::counted_steps(messages);
    Fact::ClaimOpened(wire::ClaimOpened {
        queue: queue.0,
        reader: reader.0,
        number: number.0,
        epoch: epoch.0,
        at: at.0,
        lapses_at_active: lapses_at.map(|at| at.0),
        sequence_steps,
        receives,
    })
}

fn claim_taken(
    queue: QueueGeneration,
    reader: ReaderId,
    number: ClaimNumber,
    epoch: Epoch,
    worker: &Label,
    messages: &[Counted],
) -> Fact {
    let (sequence_steps, receives) = words::counted_steps(messages);
    Fact::ClaimTaken(wire::ClaimTaken {
        queue: queue.0,
        reader: reader.0,
        number: number.0,
        epoch: epoch.0,
        worker: worker.to_string(),
        sequence_steps,
        receives,
    })
}

fn claim_burnt(queue: QueueGeneration, reader: ReaderId, number: ClaimNumber, cause: BurnCause) -> Fact {
    let cause = match cause {
        BurnCause::Abandoned => wire::BurnCause::Abandoned,
        BurnCause::Lapsed => wire::BurnCause::Lapsed,
    };
    let cause = cause.into();
    Fact::ClaimBurnt(wire::ClaimBurnt { queue: queue.0, reader: reader.0, number: number.0, cause })
}

fn claim_committed(
    (queue, reader): (QueueGeneration, ReaderId),
    (number, commit): (ClaimNumber, CommitNumber),
    id: &Label,
    digest: ContentDigest,
    outputs: &[Accepted],
    values: &[ValueChanged],
    outcomes: &Outcomes,
) -> Fact {
    Fact::ClaimCommitted(wire::ClaimCommitted {
        queue: queue.0,
        reader: reader.0,
        number: number.0,
        id: id.to_string(),
        digest: words::digest_bytes(digest.0),
        commit: commit.0,
        outputs: words::accepted(outputs),
        values: words::values(values),
        outcomes: Some(words::outcomes(outcomes)),
    })
}

fn deliveries_committed(
    queue: QueueGeneration,
    id: &Label,
    digest: ContentDigest,
    messages: &[SequenceNumber],
    outputs: &[Accepted],
) -> Fact {
    Fact::DeliveriesCommitted(wire::DeliveriesCommitted {
        queue: queue.0,
        id: id.to_string(),
        digest: words::digest_bytes(digest.0),
        sequence_steps: words::sequence_steps(messages),
        outputs: words::accepted(outputs),
    })
}

fn values_committed(
    queue: QueueGeneration,
    reader: ReaderId,
    id: &Label,
    digest: ContentDigest,
    outputs: &[Accepted],
    values: &[ValueChanged],
) -> Fact {
    Fact::ValuesCommitted(wire::ValuesCommitted {
        queue: queue.0,
        reader: reader.0,
        id: id.to_string(),
        digest: words::digest_bytes(digest.0),
        outputs: words::accepted(outputs),
        values: words::values(values),
    })
}
