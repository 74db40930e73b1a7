//! Producer sessions and what became of their numbers, in both directions (B3).

use lockstep_engine::{
    Event,
    event::{NumberUsed, Restored, SendRefusal},
    words::{ContentDigest, Epoch, Label, QueueGeneration, SendNumber, SequenceNumber, Timestamp},
};
use lockstep_proto::storage::{self as wire, event::Fact, number_used::Outcome};

use super::words::{self, Fault};

pub(super) fn opened(queue: QueueGeneration, name: &Label, epoch: Epoch, instance: &Label, at: Timestamp) -> Fact {
    let (producer, instance) = (name.to_string(), instance.to_string());
    Fact::ProducerOpened(wire::ProducerOpened { queue: queue.0, producer, epoch: epoch.0, instance, at: at.0 })
}

pub(super) fn read_opened(it: &wire::ProducerOpened) -> Result<Event, Fault> {
    Ok(Event::ProducerOpened {
        queue: QueueGeneration(it.queue),
        producer: words::label(&it.producer)?,
        epoch: Epoch(it.epoch),
        instance: words::label(&it.instance)?,
        at: Timestamp(it.at),
    })
}

pub(super) fn used(queue: QueueGeneration, epoch: Epoch, first: SendNumber, uses: &[NumberUsed]) -> Fact {
    Fact::NumbersUsed(wire::NumbersUsed { queue: queue.0, epoch: epoch.0, first: first.0, uses: write_uses(uses) })
}

pub(super) fn read_used(it: wire::NumbersUsed) -> Result<Event, Fault> {
    let (queue, epoch) = (QueueGeneration(it.queue), Epoch(it.epoch));
    Ok(Event::NumbersUsed { queue, epoch, first: SendNumber(it.first), uses: read_uses(it.uses)? })
}

pub(super) fn forgotten(queue: QueueGeneration, epoch: Epoch) -> Fact {
    Fact::ProducerForgotten(wire::ProducerForgotten { queue: queue.0, epoch: epoch.0 })
}

pub(super) fn restored(
    (queue, epoch): (QueueGeneration, Epoch),
    (producer, instance): (&Label, &Label),
    (opened_at, last): (Timestamp, SendNumber),
    uses: &[NumberUsed],
) -> Fact {
    Fact::RestoredProducer(wire::RestoredProducer {
        queue: queue.0,
        producer: producer.to_string(),
        epoch: epoch.0,
        instance: instance.to_string(),
        opened_at: opened_at.0,
        last: last.0,
        uses: write_uses(uses),
    })
}

pub(super) fn read_restored(it: wire::RestoredProducer) -> Result<Restored, Fault> {
    Ok(Restored::Producer {
        queue: QueueGeneration(it.queue),
        producer: words::label(&it.producer)?,
        epoch: Epoch(it.epoch),
        instance: words::label(&it.instance)?,
        opened_at: Timestamp(it.opened_at),
        last: SendNumber(it.last),
        uses: read_uses(it.uses)?,
    })
}

fn write_uses(uses: &[NumberUsed]) -> Vec<wire::NumberUsed> {
    let one = |it: &NumberUsed| {
        let outcome = match it.outcome {
            Ok((sequence, false)) => Outcome::Stored(sequence.0),
            Ok((sequence, true)) => Outcome::Duplicate(sequence.0),
            Err(SendRefusal::MessageTooLong { limit }) => Outcome::TooLongLimit(limit),
            Err(SendRefusal::DeduplicationIdMissing) => Outcome::DeduplicationIdMissing(true),
            Err(SendRefusal::DelayNotAllowed) => Outcome::DelayNotAllowed(true),
            Err(SendRefusal::EarlierRejected) => Outcome::EarlierRejected(true),
        };
        wire::NumberUsed { digest: words::digest_bytes(it.digest.0), outcome: Some(outcome) }
    };
    uses.iter().map(one).collect()
}

fn read_uses(uses: Vec<wire::NumberUsed>) -> Result<Vec<NumberUsed>, Fault> {
    let one = |it: wire::NumberUsed| {
        let outcome = match it.outcome.ok_or("a number was used in a way that this version does not know")? {
            Outcome::Stored(sequence) => Ok((SequenceNumber(sequence), false)),
            Outcome::Duplicate(sequence) => Ok((SequenceNumber(sequence), true)),
            Outcome::TooLongLimit(limit) => Err(SendRefusal::MessageTooLong { limit }),
            Outcome::DeduplicationIdMissing(_) => Err(SendRefusal::DeduplicationIdMissing),
            Outcome::DelayNotAllowed(_) => Err(SendRefusal::DelayNotAllowed),
            Outcome::EarlierRejected(_) => Err(SendRefusal::EarlierRejected),
        };
        Ok(NumberUsed { digest: ContentDigest(words::sixteen(&it.digest)?), outcome })
    };
    uses.into_iter().map(one).collect()
}
