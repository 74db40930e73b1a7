//! What can be seen of the state: pure reads for describe, list and peek; `readers` has those for claims and values.
//! Bodies are places; the shell fetches them.

mod readers;

pub use readers::{ClaimContents, ClaimedMessage, ProducerView, ReaderView, StoredValue};

use std::collections::BTreeMap;

use crate::{
    Attributes, State,
    command::QueueRef,
    limits,
    reply::{Origin, Rejected},
    state::{
        message::{Hold, Message},
        queue::Queue,
    },
    words::{BodyRef, GroupId, Label, QueueGeneration, QueueName, SequenceNumber, Timestamp},
};

/// A queue from outside. Counts are exact (A4).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct QueueView {
    pub name: QueueName,
    pub generation: QueueGeneration,
    pub attributes: Attributes,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    /// Messages that are neither in flight nor claimed nor delayed, blocked ones included (O8).
    pub available: u64,
    pub in_flight: u64,
    pub claimed: u64,
    /// Not visible yet (O7).
    pub delayed: u64,
    pub groups: u64,
    /// Groups whose head could be delivered now.
    pub free_groups: u64,
    /// Groups that deliver nothing until they are unparked (B7).
    pub parked_groups: u64,
    pub deduplication_keys: u64,
    pub last_sequence: SequenceNumber,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Of the oldest message that is there.
    pub oldest_sent_at: Option<Timestamp>,
    pub readers: u32,
}

/// A group that delivers nothing until it is unparked (B7).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct ParkedGroup {
    pub group: GroupId,
    pub since: Timestamp,
    /// How many messages it has.
    pub messages: u64,
    /// The first of them.
    pub first: Option<SequenceNumber>,
}

/// Why a message is or is not deliverable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageState {
    /// It would be delivered now.
    Available,
    /// It is visible, but an earlier message of its group is held (O3).
    Blocked,
    /// A receiver holds it until then.
    InFlight(Timestamp),
    /// A claim of this reader holds it.
    Claimed(Label),
    /// It becomes visible then (O7).
    Delayed(Timestamp),
    /// It is visible, but its group is parked (B7).
    Parked,
}

/// A message that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct PeekedMessage {
    pub generation: QueueGeneration,
    pub sequence: SequenceNumber,
    pub group: GroupId,
    pub body: BodyRef,
    pub receives: u32,
    pub sent_at: Timestamp,
    pub state: MessageState,
    /// Set where it is a dead letter.
    pub origin: Option<Origin>,
}

impl State {
    pub(crate) fn describe(&self, queue: &QueueRef) -> Result<QueueView, Rejected> {
        self.find(queue).map(queue_view)
    }

    pub(crate) fn list(&self, prefix: &str, after: &str, max: usize) -> Vec<QueueView> {
        let names = self.names.iter().filter(|(name, _)| name.as_str().starts_with(prefix) && name.as_str() > after);
        names.take(max).filter_map(|(_, generation)| self.queues.get(generation)).map(queue_view).collect()
    }

    pub(crate) fn peek(
        &self,
        queue: &QueueRef,
        group: Option<&GroupId>,
        after: SequenceNumber,
        max: usize,
        max_bytes: u64,
    ) -> Result<Vec<PeekedMessage>, Rejected> {
        let queue = self.find(queue)?;
        let sequences: Box<dyn Iterator<Item = SequenceNumber>> = match group {
            Some(_) if !queue.is_fifo() => return Err(Rejected::NotFifo),
            Some(group) => {
                let messages = queue.groups.get(group).map(|group| &group.messages);
                Box::new(messages.into_iter().flatten().copied().filter(move |sequence| *sequence > after))
            }
            None => Box::new(queue.messages.range(after.next()..).map(|(sequence, _)| sequence)),
        };
        let mut first_held = BTreeMap::new();
        let mut peeked: Vec<PeekedMessage> = Vec::new();
        let mut bytes = 0;
        for sequence in sequences.take(max) {
            let message = &queue.messages[sequence];
            bytes += u64::from(message.body.size);
            if bytes > max_bytes && !peeked.is_empty() {
                break;
            }
            let held = *first_held.entry(message.group).or_insert_with(|| first_held_of(queue, message));
            peeked.push(PeekedMessage {
                generation: queue.generation,
                sequence,
                group: queue.group_of(message).clone(),
                body: message.body,
                receives: message.receives,
                sent_at: message.sent_at,
                state: self.state_of(queue, sequence, message, held),
                origin: message.origin(),
            });
        }
        Ok(peeked)
    }

    fn state_of(
        &self,
        queue: &Queue,
        sequence: SequenceNumber,
        message: &Message,
        first_held: Option<SequenceNumber>,
    ) -> MessageState {
        match message.hold {
            Hold::Free if queue.is_parked(message) => MessageState::Parked,
            Hold::Free if first_held.is_some_and(|held| held < sequence) => MessageState::Blocked,
            Hold::Free => MessageState::Available,
            Hold::Delayed(until) => MessageState::Delayed(until),
            Hold::Leased(lease) => MessageState::InFlight(self.wall(lease.visible_at)),
            Hold::Claimed(reader, _) => {
                let name = queue.reader_by_id(reader).expect("a claimed message's reader exists (invariant)").0;
                MessageState::Claimed(name.clone())
            }
        }
    }

    /// Parked groups by name, after a name.
    pub(crate) fn parked_groups(
        &self,
        queue: &QueueRef,
        after: Option<&GroupId>,
        max: usize,
    ) -> Result<Vec<ParkedGroup>, Rejected> {
        use std::ops::Bound::{Excluded, Unbounded};
        let queue = self.find(queue)?;
        let from = after.map_or(Unbounded, Excluded);
        let parked = queue.parked.range::<GroupId, _>((from, Unbounded)).take(max);
        let view = |(group, since): (&GroupId, &Timestamp)| {
            let messages = queue.groups.get(group).map(|group| &group.messages);
            ParkedGroup {
                group: group.clone(),
                since: *since,
                messages: messages.map_or(0, |messages| messages.len() as u64),
                first: messages.and_then(|messages| messages.front().copied()),
            }
        };
        Ok(parked.map(view).collect())
    }

    /// The queues that name a queue as their dead-letter queue, by name, after a name.
    pub(crate) fn dead_letter_sources(
        &self,
        queue: &QueueRef,
        after: &str,
        max: usize,
    ) -> Result<Vec<QueueName>, Rejected> {
        let target = &self.find(queue)?.name;
        let names = self.names.iter().filter(|(name, generation)| {
            let redrive = self.queues.get(generation).and_then(|queue| queue.attributes.redrive.as_ref());
            name.as_str() > after && redrive.is_some_and(|policy| policy.dead_letter_queue == *target)
        });
        Ok(names.map(|(name, _)| name.clone()).take(max).collect())
    }

    /// The first message that a gap of downtime would expire, when the gap is longer than a day (H2).
    pub(crate) fn expired_by_gap(&self, wall: Timestamp) -> Option<TimeJump> {
        let gap = wall.0.saturating_sub(self.time.0);
        if self.time == Timestamp(0) || gap <= limits::TIME_JUMP {
            return None;
        }
        let expired = |queue: &Queue| crate::decide::due::expired(queue, wall).count() as u64;
        let (queue, messages) =
            self.queues.values().map(|queue| (&queue.name, expired(queue))).find(|(_, messages)| *messages > 0)?;
        Some(TimeJump { gap, queue: queue.clone(), messages })
    }
}

/// A long downtime that would expire messages (H2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock is {} h after the last journalled instant, and {messages} messages of {queue} would expire at once (H2)", gap / 3_600_000)]
pub struct TimeJump {
    /// Milliseconds since the last journalled instant.
    pub gap: u64,
    /// The first such queue.
    pub queue: QueueName,
    /// How many of its messages would expire.
    pub messages: u64,
}

fn queue_view(queue: &Queue) -> QueueView {
    QueueView {
        name: queue.name.clone(),
        generation: queue.generation,
        attributes: queue.attributes.clone(),
        created_at: queue.created_at,
        modified_at: queue.modified_at,
        available: queue.messages.len() as u64 - queue.in_flight - queue.claimed - queue.delayed,
        in_flight: queue.in_flight,
        claimed: queue.claimed,
        delayed: queue.delayed,
        groups: queue.groups.len() as u64,
        free_groups: queue.groups.free() as u64,
        parked_groups: queue.parked.len() as u64,
        deduplication_keys: queue.keys.len() as u64,
        last_sequence: queue.last_sequence,
        bytes: queue.bytes,
        oldest_sent_at: crate::figures::oldest_sent_at(queue),
        readers: u32::try_from(queue.readers.len()).expect("a queue has at most 1,000 readers"),
    }
}

/// The first held message of a message's group.
fn first_held_of(queue: &Queue, message: &Message) -> Option<SequenceNumber> {
    let held = |sequence: &&SequenceNumber| queue.messages.get(**sequence).is_some_and(|message| !message.is_free());
    queue.groups.at(message.group).messages.iter().find(held).copied()
}
