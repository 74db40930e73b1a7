//! Stored facts to engine events. Whatever this version does not know, or what is malformed, is refused with what is
//! wrong; the caller knows where it stood. No encoding here.

use lockstep_engine::{
    Event,
    event::{BurnCause, ReturnCause},
    words::{
        ActiveTime, AttemptKey, ClaimNumber, CommitNumber, ContentDigest, DeduplicationKey, Epoch, QueueGeneration,
        ReaderId, SequenceNumber, Timestamp,
    },
};
use lockstep_proto::storage::{self as wire, event::Fact};

use super::{
    producers, redrive, restored,
    words::{self, Fault},
};

pub(super) fn event(event: wire::Event) -> Result<Event, Fault> {
    match event.fact.ok_or("it holds no known fact; was it written by a newer version?")? {
        Fact::Ticked(it) => Ok(Event::Ticked { at: Timestamp(it.at) }),
        Fact::Resumed(it) => Ok(Event::Resumed { at: Timestamp(it.at), gap: it.gap }),
        Fact::QueueCreated(it) => queue_created(&it),
        Fact::QueueChanged(it) => queue_changed(&it),
        Fact::QueueTagged(it) => {
            Ok(Event::QueueTagged { queue: QueueGeneration(it.queue), tags: words::read_tags(&it.tags)? })
        }
        Fact::QueuePurged(it) => Ok(Event::QueuePurged { queue: QueueGeneration(it.queue), at: Timestamp(it.at) }),
        Fact::QueueDeleted(it) => Ok(Event::QueueDeleted { queue: QueueGeneration(it.queue), at: Timestamp(it.at) }),
        Fact::MessageSent(it) => sent(&it),
        Fact::MessagesReceived(it) => received(&it),
        Fact::MessagesReturned(it) => returned(&it),
        Fact::MessagesDeleted(it) => Ok(Event::MessagesDeleted {
            queue: QueueGeneration(it.queue),
            messages: words::sequences(&it.sequence_steps),
        }),
        Fact::VisibilityChanged(it) => visibility(&it),
        Fact::MessagesExpired(it) => Ok(Event::MessagesExpired {
            queue: QueueGeneration(it.queue),
            messages: words::sequences(&it.sequence_steps),
        }),
        Fact::MessagesDeadLettered(it) => dead_lettered(&it),
        Fact::MoveTaskStarted(it) => redrive::read_started(it),
        Fact::MessagesMovedBack(it) => redrive::read_moved(&it),
        Fact::MoveTaskAdvanced(it) => Ok(redrive::read_advanced(&it)),
        Fact::MoveTaskEnded(it) => redrive::read_ended(&it),
        Fact::DelaysElapsed(it) => Ok(Event::DelaysElapsed {
            queue: QueueGeneration(it.queue),
            messages: words::sequences(&it.sequence_steps),
        }),
        Fact::AttemptNoted(it) => Ok(Event::AttemptNoted {
            queue: QueueGeneration(it.queue),
            attempt: AttemptKey(words::sixteen(&it.attempt)?),
            expires_at: ActiveTime(it.expires_at_active),
            messages: words::delivered(&it.sequence_steps, &it.epoch_steps)?,
        }),
        Fact::AttemptRepeated(it) => Ok(Event::AttemptRepeated {
            queue: QueueGeneration(it.queue),
            attempt: AttemptKey(words::sixteen(&it.attempt)?),
            visible_at: ActiveTime(it.visible_at_active),
        }),
        Fact::KeysForgotten(it) => {
            Ok(Event::KeysForgotten { queue: QueueGeneration(it.queue), through: ActiveTime(it.through_active) })
        }
        Fact::ProducerOpened(it) => producers::read_opened(&it),
        Fact::NumbersUsed(it) => producers::read_used(it),
        Fact::ProducerForgotten(it) => {
            Ok(Event::ProducerForgotten { queue: QueueGeneration(it.queue), epoch: Epoch(it.epoch) })
        }
        Fact::ReaderOpened(it) => reader_opened(&it),
        Fact::ReaderDropped(it) => {
            Ok(Event::ReaderDropped { queue: QueueGeneration(it.queue), reader: ReaderId(it.reader) })
        }
        Fact::ClaimOpened(it) => claim_opened(&it),
        Fact::ClaimTaken(it) => claim_taken(&it),
        Fact::ClaimBurnt(it) => claim_burnt(&it),
        Fact::ClaimCommitted(it) => claim_committed(it),
        Fact::GroupParked(it) => {
            let (queue, at) = (QueueGeneration(it.queue), Timestamp(it.at));
            Ok(Event::GroupParked { queue, group: words::group(&it.group)?, at })
        }
        Fact::GroupsUnparked(it) => {
            Ok(Event::GroupsUnparked { queue: QueueGeneration(it.queue), groups: words::groups(&it.groups)? })
        }
        Fact::DeliveriesCommitted(it) => deliveries_committed(&it),
        Fact::ValuesCommitted(it) => values_committed(it),
        Fact::BodiesMoved(it) => {
            Ok(Event::BodiesMoved { queue: QueueGeneration(it.queue), bodies: words::read_moved(it.bodies)? })
        }
        Fact::RestoredClock(it) => Ok(restored::clock(&it).into()),
        Fact::RestoredDeletion(it) => restored::deletion(&it).map(Event::from),
        Fact::RestoredQueue(it) => restored::queue(&it).map(Event::from),
        Fact::RestoredMessage(it) => restored::message(&it).map(Event::from),
        Fact::RestoredFreeGroup(it) => restored::free_group(&it).map(Event::from),
        Fact::RestoredParkedGroup(it) => restored::parked_group(&it).map(Event::from),
        Fact::RestoredTags(it) => restored::tags(&it).map(Event::from),
        Fact::RestoredKey(it) => restored::key(&it).map(Event::from),
        Fact::RestoredAttempt(it) => restored::attempt(&it).map(Event::from),
        Fact::RestoredReader(it) => restored::reader(&it).map(Event::from),
        Fact::RestoredClaim(it) => restored::claim(&it).map(Event::from),
        Fact::RestoredEndedClaim(it) => restored::ended_claim(it).map(Event::from),
        Fact::RestoredValue(it) => restored::value(&it).map(Event::from),
        Fact::RestoredProducer(it) => producers::read_restored(it).map(Event::from),
        Fact::RestoredMoveTask(it) => redrive::read_restored(it).map(Event::from),
        Fact::RestoredPastCommit(it) => restored::past_commit(&it).map(Event::from),
    }
}

fn queue_created(it: &wire::QueueCreated) -> Result<Event, Fault> {
    Ok(Event::QueueCreated {
        queue: QueueGeneration(it.queue),
        name: words::queue_name(&it.name)?,
        attributes: Box::new(words::read_attributes(it.attributes.as_ref())?),
        at: Timestamp(it.at),
    })
}

fn queue_changed(it: &wire::QueueChanged) -> Result<Event, Fault> {
    Ok(Event::QueueChanged {
        queue: QueueGeneration(it.queue),
        attributes: Box::new(words::read_attributes(it.attributes.as_ref())?),
        at: Timestamp(it.at),
    })
}

fn sent(it: &wire::MessageSent) -> Result<Event, Fault> {
    Ok(Event::MessageSent {
        queue: QueueGeneration(it.queue),
        sequence: SequenceNumber(it.sequence),
        group: words::group(&it.group)?,
        key: DeduplicationKey(words::sixteen(&it.key)?),
        key_expires_at: ActiveTime(it.key_expires_at_active),
        body: words::read_body(it.body)?,
        at: Timestamp(it.at),
        delayed_until: it.delayed_until.map(Timestamp),
    })
}

fn received(it: &wire::MessagesReceived) -> Result<Event, Fault> {
    Ok(Event::MessagesReceived {
        queue: QueueGeneration(it.queue),
        epoch: Epoch(it.epoch),
        at: Timestamp(it.at),
        received_at: ActiveTime(it.received_at_active),
        visible_at: ActiveTime(it.visible_at_active),
        messages: words::counted(&it.sequence_steps, &it.receives)?,
    })
}

fn returned(it: &wire::MessagesReturned) -> Result<Event, Fault> {
    let cause = match it.cause() {
        wire::ReturnCause::Lapsed => ReturnCause::Lapsed,
        wire::ReturnCause::GivenBack => ReturnCause::GivenBack,
        wire::ReturnCause::Unspecified => return Err(format!("unknown cause {} of a return", it.cause)),
    };
    let messages = words::counted(&it.sequence_steps, &it.receives)?;
    Ok(Event::MessagesReturned { queue: QueueGeneration(it.queue), cause, messages })
}

fn visibility(it: &wire::VisibilityChanged) -> Result<Event, Fault> {
    words::same_length(it.sequence_steps.len(), it.visible_at_active_steps.len())?;
    let sequences = words::sum(&it.sequence_steps).map(SequenceNumber);
    let messages = sequences.zip(words::sum(&it.visible_at_active_steps).map(ActiveTime)).collect();
    Ok(Event::VisibilityChanged { queue: QueueGeneration(it.queue), messages })
}

fn reader_opened(it: &wire::ReaderOpened) -> Result<Event, Fault> {
    words::same_length(it.claim_number_steps.len(), it.claim_epoch_steps.len())?;
    let numbers = words::sum(&it.claim_number_steps).map(ClaimNumber);
    Ok(Event::ReaderOpened {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        name: words::label(&it.name)?,
        generation: Epoch(it.generation),
        instance: words::label(&it.instance)?,
        claim_limit: it.claim_limit_ms,
        epochs: numbers.zip(words::sum(&it.claim_epoch_steps).map(Epoch)).collect(),
    })
}

fn dead_lettered(it: &wire::MessagesDeadLettered) -> Result<Event, Fault> {
    words::same_length(it.sequence_steps.len(), it.placed_steps.len())?;
    Ok(Event::MessagesDeadLettered {
        queue: QueueGeneration(it.queue),
        to: QueueGeneration(it.to),
        at: Timestamp(it.at),
        messages: words::sequences(&it.sequence_steps).into_iter().zip(words::sequences(&it.placed_steps)).collect(),
    })
}

fn claim_opened(it: &wire::ClaimOpened) -> Result<Event, Fault> {
    Ok(Event::ClaimOpened {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        number: ClaimNumber(it.number),
        epoch: Epoch(it.epoch),
        at: Timestamp(it.at),
        lapses_at: it.lapses_at_active.map(ActiveTime),
        messages: words::counted(&it.sequence_steps, &it.receives)?,
    })
}

fn claim_taken(it: &wire::ClaimTaken) -> Result<Event, Fault> {
    Ok(Event::ClaimTaken {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        number: ClaimNumber(it.number),
        epoch: Epoch(it.epoch),
        worker: words::label(&it.worker)?,
        messages: words::counted(&it.sequence_steps, &it.receives)?,
    })
}

fn claim_burnt(it: &wire::ClaimBurnt) -> Result<Event, Fault> {
    let cause = match it.cause() {
        wire::BurnCause::Abandoned => BurnCause::Abandoned,
        wire::BurnCause::Lapsed => BurnCause::Lapsed,
        wire::BurnCause::Unspecified => return Err(format!("unknown cause {} of a burnt claim", it.cause)),
    };
    let (queue, reader) = (QueueGeneration(it.queue), ReaderId(it.reader));
    Ok(Event::ClaimBurnt { queue, reader, number: ClaimNumber(it.number), cause })
}

fn claim_committed(it: wire::ClaimCommitted) -> Result<Event, Fault> {
    Ok(Event::ClaimCommitted {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        number: ClaimNumber(it.number),
        id: words::label(&it.id)?,
        digest: ContentDigest(words::sixteen(&it.digest)?),
        commit: CommitNumber(it.commit),
        outputs: words::read_accepted(&it.outputs),
        values: words::read_values(it.values)?,
        outcomes: Box::new(words::read_outcomes(it.outcomes.as_ref())?),
    })
}

fn deliveries_committed(it: &wire::DeliveriesCommitted) -> Result<Event, Fault> {
    Ok(Event::DeliveriesCommitted {
        queue: QueueGeneration(it.queue),
        id: words::label(&it.id)?,
        digest: ContentDigest(words::sixteen(&it.digest)?),
        messages: words::sequences(&it.sequence_steps),
        outputs: words::read_accepted(&it.outputs),
    })
}

fn values_committed(it: wire::ValuesCommitted) -> Result<Event, Fault> {
    Ok(Event::ValuesCommitted {
        queue: QueueGeneration(it.queue),
        reader: ReaderId(it.reader),
        id: words::label(&it.id)?,
        digest: ContentDigest(words::sixteen(&it.digest)?),
        outputs: words::read_accepted(&it.outputs),
        values: words::read_values(it.values)?,
    })
}
