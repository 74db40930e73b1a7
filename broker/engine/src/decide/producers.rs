//! Producer sessions: who may send under which number, and what a repeat of a number is answered (B3).

use std::collections::BTreeSet;

use crate::{
    Event, State,
    command::{Command, Context, Decision, ForgetProducer, OpenProducer, Send, SendSession},
    decide::send::Sending,
    event::{NumberUsed, SendRefusal},
    limits,
    reply::{Accepted, ProducerOpened, Rejected},
    state::{producers::Producer, queue::Queue},
    words::{GroupId, SendNumber},
};

impl Command for OpenProducer {
    type Reply = ProducerOpened;

    /// The same instance gets the same epoch back; another one a newer epoch, which fences the older.
    fn decide(&self, state: &State, context: &Context) -> Decision<ProducerOpened> {
        let queue = match state.find(&self.queue) {
            Ok(queue) => queue,
            Err(rejected) => return Decision::unchanged(Err(rejected)),
        };
        if !queue.is_fifo() {
            return Decision::unchanged(Err(Rejected::NotFifo));
        }
        let known = queue.producers.get(&self.producer);
        let last = known.map_or(SendNumber(0), |producer| producer.last);
        if let Some(producer) = known.filter(|producer| producer.instance == self.instance) {
            let epoch = producer.epoch;
            return Decision::unchanged(Ok(ProducerOpened { queue: queue.generation, epoch, last }));
        }
        if known.is_none() && queue.producers.len() >= limits::PRODUCERS {
            return Decision::unchanged(Err(Rejected::TooManyProducers));
        }
        let epoch = queue.last_epoch.next();
        let event = Event::ProducerOpened {
            queue: queue.generation,
            producer: self.producer.clone(),
            epoch,
            instance: self.instance.clone(),
            at: context.now,
        };
        Decision::new(vec![event], ProducerOpened { queue: queue.generation, epoch, last })
    }
}

impl Command for ForgetProducer {
    type Reply = ();

    fn decide(&self, state: &State, _context: &Context) -> Decision<()> {
        let found = state.find(&self.queue).and_then(|queue| {
            let producer = queue.producers.get(&self.producer).ok_or(Rejected::ProducerNotFound)?;
            match self.epoch {
                Some(given) if given != producer.epoch => {
                    Err(Rejected::ProducerFenced { given, current: producer.epoch })
                }
                Some(_) | None => Ok(Event::ProducerForgotten { queue: queue.generation, epoch: producer.epoch }),
            }
        });
        match found {
            Ok(event) => Decision::new(vec![event], ()),
            Err(rejected) => Decision::unchanged(Err(rejected)),
        }
    }
}

/// The session of a send, if all of it may be judged: the present epoch, no gap, and no number used before for
/// another content. Otherwise nothing of the send is done.
fn judged<'a>(queue: &'a Queue, session: &SendSession) -> Result<&'a Producer, Rejected> {
    let producer = queue.producers.get(&session.producer).ok_or(Rejected::ProducerNotFound)?;
    if session.epoch != producer.epoch {
        return Err(Rejected::ProducerFenced { given: session.epoch, current: producer.epoch });
    }
    if session.first > producer.last.next() {
        return Err(Rejected::SendNumberInvalid { given: session.first, next: producer.last.next() });
    }
    let numbers = (session.first.0..=producer.last.0).map(SendNumber);
    let other = |(number, digest)| producer.kept(number).is_some_and(|used| used.digest != digest);
    match numbers.zip(session.digests.iter().copied()).find(|numbered| other(*numbered)) {
        Some((number, _)) => Err(Rejected::SendNumberConflict { number }),
        None => Ok(producer),
    }
}

/// Sends under the numbers of a session. A used number is answered as it was; a new one is judged as any send is, and
/// is used up by its outcome. A refusal that is not about the message uses no number: nothing goes after it.
pub(super) fn send(
    command: &Send,
    session: &SendSession,
    queue: &Queue,
    mut sending: Sending<'_>,
) -> Decision<Vec<Result<Accepted, Rejected>>> {
    let producer = match judged(queue, session) {
        Ok(producer) => producer,
        Err(rejected) => return Decision::unchanged(Err(rejected)),
    };
    let mut stopped: BTreeSet<&GroupId> = BTreeSet::new();
    let mut outcomes = Vec::with_capacity(command.entries.len());
    let mut uses = Vec::new();
    let mut halted = false;
    let numbered = (session.first.0..).zip(session.digests.iter().copied());
    for ((entry, index), (number, digest)) in command.entries.iter().zip(0..).zip(numbered) {
        if number <= producer.last.0 {
            let kept = producer.kept(SendNumber(number));
            if kept.is_some_and(|used| used.outcome.is_err()) {
                stopped.insert(&entry.group);
            }
            outcomes.push(kept.map_or(Err(Rejected::AlreadyAccepted), |used| answer_again(queue, used)));
            continue;
        }
        if halted {
            let next = SendNumber(producer.last.0 + uses.len() as u64 + 1);
            outcomes.push(Err(Rejected::SendNumberInvalid { given: SendNumber(number), next }));
            continue;
        }
        let outcome = if stopped.contains(&entry.group) {
            Err(Rejected::EarlierRejected)
        } else {
            sending.send(queue, entry, index)
        };
        match used(digest, &outcome) {
            Some(used) => uses.push(used),
            None => halted = true,
        }
        if outcome.is_err() {
            stopped.insert(&entry.group);
        }
        outcomes.push(outcome);
    }
    let Sending { mut events, bodies, .. } = sending;
    if !uses.is_empty() {
        events.push(Event::NumbersUsed {
            queue: queue.generation,
            epoch: producer.epoch,
            first: producer.last.next(),
            uses,
        });
    }
    Decision { events, bodies, reply: Ok(outcomes) }
}

/// The answer that a used number had: whatever was accepted is a duplicate now.
fn answer_again(queue: &Queue, used: &NumberUsed) -> Result<Accepted, Rejected> {
    match used.outcome {
        Ok((sequence, _)) => Ok(Accepted { generation: queue.generation, sequence, duplicate: true }),
        Err(refusal) => Err(refusal.into()),
    }
}

/// What an outcome notes of its number; nothing when it leaves the number free.
fn used(digest: crate::words::ContentDigest, outcome: &Result<Accepted, Rejected>) -> Option<NumberUsed> {
    let outcome = match outcome {
        Ok(accepted) => Ok((accepted.sequence, accepted.duplicate)),
        Err(rejected) => Err(refusal(rejected)?),
    };
    Some(NumberUsed { digest, outcome })
}

impl From<SendRefusal> for Rejected {
    fn from(refusal: SendRefusal) -> Self {
        match refusal {
            SendRefusal::MessageTooLong { limit } => Self::MessageTooLong { limit },
            SendRefusal::DeduplicationIdMissing => Self::DeduplicationIdMissing,
            SendRefusal::DelayNotAllowed => Self::DelayNotAllowed,
            SendRefusal::EarlierRejected => Self::EarlierRejected,
        }
    }
}

/// A rejection that uses up its number. Any other is about the broker or the call, not about the message.
fn refusal(rejected: &Rejected) -> Option<SendRefusal> {
    match rejected {
        Rejected::MessageTooLong { limit } => Some(SendRefusal::MessageTooLong { limit: *limit }),
        Rejected::DeduplicationIdMissing => Some(SendRefusal::DeduplicationIdMissing),
        Rejected::DelayNotAllowed => Some(SendRefusal::DelayNotAllowed),
        Rejected::EarlierRejected => Some(SendRefusal::EarlierRejected),
        Rejected::QueueNotFound
        | Rejected::QueueExists { .. }
        | Rejected::QueueGenerationChanged { .. }
        | Rejected::AttributeInvalid { .. }
        | Rejected::AttributeFixed { .. }
        | Rejected::AttributeUnknown { .. }
        | Rejected::DeduplicationIdNotAllowed
        | Rejected::NotFifo
        | Rejected::OverLimit
        | Rejected::DeadLetterQueueKind { .. }
        | Rejected::ProducerNotFound
        | Rejected::ProducerFenced { .. }
        | Rejected::SendNumberInvalid { .. }
        | Rejected::SendNumberConflict { .. }
        | Rejected::AlreadyAccepted
        | Rejected::TooManyProducers
        | Rejected::TooManyTags { .. }
        | Rejected::DeadLetterQueueNotFound { .. }
        | Rejected::DeadLetterQueueIsSelf
        | Rejected::RedriveNotAllowed { .. }
        | Rejected::StorageFull
        | Rejected::ReceiveAttemptInvalid
        | Rejected::ReceiptForeign
        | Rejected::ReceiptExpired
        | Rejected::MessageNotInFlight
        | Rejected::VisibilityTooLong
        | Rejected::EarlierInFlight { .. }
        | Rejected::NotStrict
        | Rejected::ReaderNotFound
        | Rejected::ReaderFenced { .. }
        | Rejected::ClaimNumberInvalid { .. }
        | Rejected::TooManyOpenClaims
        | Rejected::TooManyReaders
        | Rejected::ClaimNotOpen
        | Rejected::ClaimFenced { .. }
        | Rejected::ClaimBurnt
        | Rejected::CommitConflict
        | Rejected::OutcomeInvalid { .. }
        | Rejected::NoDeadLetterQueue
        | Rejected::TooManyParked
        | Rejected::OutcomeForgotten
        | Rejected::OutputRefused { .. }
        | Rejected::NotADeadLetterQueue
        | Rejected::MoveDestinationNotFound { .. }
        | Rejected::MoveDestinationIsSource
        | Rejected::MoveDestinationKind
        | Rejected::MoveRateInvalid
        | Rejected::MoveTaskRunning
        | Rejected::TooManyMoveTasks
        | Rejected::MoveTaskNotFound
        | Rejected::MoveTaskEnded
        | Rejected::ValueOutsideClaim { .. }
        | Rejected::ValueTooLong { .. }
        | Rejected::ReaderFull
        | Rejected::QueueDeletedRecently
        | Rejected::PurgeInProgress
        | Rejected::PolicyChanged => None,
    }
}
