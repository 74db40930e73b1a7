//! When a message is a dead letter, and where it goes (Q1, Q2, H10). Lazy: only what a receive or a claim would have
//! taken is judged, never by a timer.

use crate::{
    Event, State,
    command::Context,
    event::Letters,
    limits,
    reply::Rejected,
    state::{message::Message, queue::Queue},
    words::{QueueGeneration, SequenceNumber, Timestamp},
};

/// What a queue does with messages that were received too often, in this turn.
pub(super) struct DeadLetters<'a> {
    queue: &'a Queue,
    /// Absent: messages stay deliverable.
    target: Option<(&'a Queue, u32)>,
    at: Timestamp,
    moved: Vec<(SequenceNumber, SequenceNumber)>,
}

impl<'a> DeadLetters<'a> {
    /// Without a policy, or with a dead-letter queue that is gone or full, nothing moves (H10). Full is what a send would
    /// find full: the move takes no body along, but it must not take the place of the reserves either (H5).
    pub(super) fn of(state: &'a State, queue: &'a Queue, context: &Context) -> Self {
        let policy = queue.attributes.redrive.as_ref();
        let target = policy.filter(|_| context.space.for_sends >= limits::MESSAGE_OVERHEAD).and_then(|policy| {
            let generation = state.names.get(&policy.dead_letter_queue)?;
            Some((state.queues.get(generation)?, policy.max_receives))
        });
        Self { queue, target, at: context.now, moved: Vec::new() }
    }

    /// Whether the next receive of a message would be one too many (Q2).
    pub(super) fn is_due(&self, message: &Message) -> bool {
        self.target.is_some_and(|(_, most)| message.receives >= most)
    }

    /// Whether no more may be moved at once (H3).
    pub(super) fn is_full(&self) -> bool {
        self.moved.len() >= limits::DEAD_LETTERS_AT_ONCE
    }

    /// Moves a message that is due.
    pub(super) fn push(&mut self, sequence: SequenceNumber) {
        if let Some((target, _)) = self.target {
            let last = self.moved.last().map_or(target.last_sequence, |(_, place)| *place);
            self.moved.push((sequence, last.next()));
        }
    }

    /// The fact, if any message moved.
    pub(super) fn into_event(self) -> Option<Event> {
        let (target, _) = self.target.filter(|_| !self.moved.is_empty())?;
        let (queue, to) = (self.queue.generation, target.generation);
        Some(Event::MessagesDeadLettered { queue, to, at: self.at, messages: self.moved })
    }
}

/// The dead letters that a commit names, numbered behind what its own outputs send (B7).
///
/// # Errors
/// [`Rejected::NoDeadLetterQueue`], [`Rejected::StorageFull`]: the caller may park instead.
pub(super) fn letters_of(
    state: &State,
    context: &Context,
    queue: &Queue,
    messages: &[SequenceNumber],
    sent: &[Event],
) -> Result<Option<Letters>, Rejected> {
    if messages.is_empty() {
        return Ok(None);
    }
    let policy = queue.attributes.redrive.as_ref();
    let generation = policy.and_then(|policy| state.names.get(&policy.dead_letter_queue));
    let target = generation.and_then(|generation| state.queues.get(generation)).ok_or(Rejected::NoDeadLetterQueue)?;
    if context.space.for_sends < limits::MESSAGE_OVERHEAD {
        return Err(Rejected::StorageFull);
    }
    let to = target.generation;
    let newest = sent.iter().filter_map(|event| sent_to(event, to)).max().unwrap_or(target.last_sequence);
    let places = (newest.0 + 1..).map(SequenceNumber);
    Ok(Some(Letters { to, messages: messages.iter().copied().zip(places).collect() }))
}

fn sent_to(event: &Event, to: QueueGeneration) -> Option<SequenceNumber> {
    if let Event::MessageSent { queue, sequence, .. } = event { (*queue == to).then_some(*sequence) } else { None }
}
