//! What is watched from outside, queue by queue (A4): counts that the state keeps anyway, so that a look at a thousand
//! queues is short however many messages they hold. What is counted over time is the shell's.

use crate::{
    Engine,
    state::queue::Queue,
    words::{ClaimNumber, Label, QueueGeneration, QueueName, ReaderId, Timestamp},
};

/// A queue in numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct QueueFigures {
    pub name: QueueName,
    pub generation: QueueGeneration,
    /// Messages that are neither in flight nor claimed nor delayed, blocked ones included (O8).
    pub available: u64,
    pub delayed: u64,
    pub in_flight: u64,
    pub claimed: u64,
    pub groups: u64,
    /// Groups whose head could be delivered now.
    pub free_groups: u64,
    /// Groups with at least one message in flight.
    pub in_flight_groups: u64,
    /// Of the oldest message that is there.
    pub oldest_sent_at: Option<Timestamp>,
    /// Bytes of bodies.
    pub bytes: u64,
    pub deduplication_keys: u64,
    pub readers: Vec<ReaderFigures>,
}

/// A reader with open claims.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct ReaderFigures {
    pub name: Label,
    pub open_claims: u64,
    /// Of the oldest of them.
    pub oldest_opened_at: Timestamp,
}

/// What the queues still hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Messages of any kind.
    pub messages: u64,
    /// Queues that hold at least one.
    pub queues_with_messages: u64,
    /// All queues.
    pub queues: u64,
}

impl Engine {
    /// What the queues still hold.
    #[must_use]
    pub fn left(&self) -> Left {
        let held = self.state().queues.values().map(|queue| queue.messages.len() as u64);
        held.fold(Left::default(), |left, messages| Left {
            messages: left.messages + messages,
            queues_with_messages: left.queues_with_messages + u64::from(messages > 0),
            queues: left.queues + 1,
        })
    }

    /// Queues by generation, after one. A queue costs one of `budget`, a reader of it another; one queue always fits.
    #[must_use]
    pub fn figures(&self, after: QueueGeneration, budget: usize) -> Vec<QueueFigures> {
        let mut left = budget;
        let affordable = |queue: &&Queue| {
            let first = left == budget;
            let cost = 1 + queue.readers.len();
            let fits = cost <= left || first;
            left = left.saturating_sub(cost);
            fits
        };
        let queues = self.state().queues.range(after.next()..).map(|(_, queue)| queue);
        queues.take_while(affordable).map(figures).collect()
    }

    /// How many messages an open claim holds, or all of a reader's; 0 when none is open.
    #[must_use]
    pub fn claimed_by(&self, queue: QueueGeneration, reader: ReaderId, number: Option<ClaimNumber>) -> u64 {
        let reader = self.state().queues.get(&queue).and_then(|queue| queue.reader_by_id(reader));
        let open = reader.into_iter().flat_map(|(_, reader)| &reader.open);
        let wanted = open.filter(|(open, _)| number.is_none_or(|number| number == **open));
        wanted.map(|(_, claim)| claim.messages.len() as u64).sum()
    }
}

fn figures(queue: &Queue) -> QueueFigures {
    QueueFigures {
        name: queue.name.clone(),
        generation: queue.generation,
        available: queue.messages.len() as u64 - queue.in_flight - queue.claimed - queue.delayed,
        delayed: queue.delayed,
        in_flight: queue.in_flight,
        claimed: queue.claimed,
        groups: queue.groups.len() as u64,
        free_groups: queue.groups.free() as u64,
        in_flight_groups: queue.in_flight_groups,
        oldest_sent_at: oldest_sent_at(queue),
        bytes: queue.bytes,
        deduplication_keys: queue.keys.len() as u64,
        readers: queue
            .readers
            .iter()
            .filter_map(|(name, reader)| {
                let oldest = reader.open.values().map(|claim| claim.opened_at).min()?;
                Some(ReaderFigures {
                    name: name.clone(),
                    open_claims: reader.open.len() as u64,
                    oldest_opened_at: oldest,
                })
            })
            .collect(),
    }
}

/// In a standard queue the oldest need not be the first: a dead letter keeps its time (Q3).
pub(crate) fn oldest_sent_at(queue: &Queue) -> Option<Timestamp> {
    let by_age = queue.by_age.first().map(|(sent_at, _)| *sent_at);
    by_age.or_else(|| queue.messages.first().map(|(_, message)| message.sent_at))
}
