//! What can be seen of the state: pure reads for describe, list, peek and for reading claims and values. Bodies are
//! places; the shell fetches them.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Attributes, State,
    command::{QueueRef, ReaderRef},
    decide::readers::{open_claim, still_open},
    limits,
    reply::{OpenClaim, Origin, Rejected},
    state::{
        message::{Hold, Message},
        producers::Producer,
        queue::Queue,
        reader::Reader,
    },
    words::{
        BodyRef, ClaimNumber, CommitNumber, Epoch, GroupId, Label, QueueGeneration, QueueName, ReaderId, SendNumber,
        SequenceNumber, Timestamp, ValueKey,
    },
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

/// What a claim's holder reads (B6).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct ClaimContents {
    pub generation: QueueGeneration,
    /// The stored values of the groups in the shard.
    pub values: Vec<StoredValue>,
    /// In sequence order.
    pub messages: Vec<ClaimedMessage>,
}

/// A message of a claim.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct ClaimedMessage {
    pub sequence: SequenceNumber,
    pub group: GroupId,
    pub body: BodyRef,
    pub receives: u32,
    pub sent_at: Timestamp,
    /// Set where it is a dead letter.
    pub origin: Option<Origin>,
}

/// A stored value's place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct StoredValue {
    pub generation: QueueGeneration,
    pub reader: ReaderId,
    /// Absent: the reader's own.
    pub group: Option<GroupId>,
    pub key: ValueKey,
    pub body: BodyRef,
}

/// A producer's session from outside (B3).
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct ProducerView {
    pub queue: QueueGeneration,
    pub name: Label,
    pub epoch: Epoch,
    pub instance: Label,
    /// When its present instance opened it.
    pub opened_at: Timestamp,
    /// The highest number used.
    pub last: SendNumber,
}

/// A reader from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "fields are words whose types say what they are")]
pub struct ReaderView {
    pub queue: QueueGeneration,
    pub name: Label,
    pub id: ReaderId,
    pub generation: Epoch,
    pub instance: Label,
    pub claim_limit: Option<u64>,
    pub open: Vec<OpenClaim>,
    pub last_committed: ClaimNumber,
    pub last_number: ClaimNumber,
    pub commits: CommitNumber,
    pub values: u64,
    pub value_bytes: u64,
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
            Some(group) => {
                let messages = queue.groups.get(group).map(|group| &group.messages);
                Box::new(messages.into_iter().flatten().copied().filter(move |sequence| *sequence > after))
            }
            None => Box::new(queue.messages.range(after.next()..).map(|(sequence, _)| *sequence)),
        };
        let mut first_held = BTreeMap::new();
        let mut peeked: Vec<PeekedMessage> = Vec::new();
        let mut bytes = 0;
        for sequence in sequences.take(max) {
            let message = &queue.messages[&sequence];
            bytes += u64::from(message.body.size);
            if bytes > max_bytes && !peeked.is_empty() {
                break;
            }
            let held = *first_held.entry(&message.group).or_insert_with(|| first_held_of(queue, &message.group));
            peeked.push(PeekedMessage {
                generation: queue.generation,
                sequence,
                group: message.group.clone(),
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
            Hold::Free if queue.parked.contains_key(&message.group) => MessageState::Parked,
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

    pub(crate) fn claim_contents(
        &self,
        reader: &ReaderRef,
        number: ClaimNumber,
        epoch: Epoch,
        shard: u32,
        shards: u32,
    ) -> Result<ClaimContents, Rejected> {
        let (queue, reader) = self.find_reader(reader)?;
        let claim = still_open(reader, number)?;
        if claim.epoch != epoch {
            return Err(Rejected::ClaimFenced { given: epoch, current: claim.epoch });
        }
        let mut groups = BTreeSet::new();
        let mut messages = Vec::new();
        for sequence in &claim.messages {
            let message = &queue.messages[sequence];
            if shard_of(&message.group, shards) != shard {
                continue;
            }
            groups.insert(&message.group);
            messages.push(ClaimedMessage {
                sequence: *sequence,
                group: message.group.clone(),
                body: message.body,
                receives: message.receives,
                sent_at: message.sent_at,
                origin: message.origin(),
            });
        }
        let values =
            groups.into_iter().flat_map(|group| values_of(queue.generation, reader, Some(group), "", "")).collect();
        Ok(ClaimContents { generation: queue.generation, values, messages })
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

    pub(crate) fn values(
        &self,
        reader: &ReaderRef,
        group: Option<&GroupId>,
        prefix: &str,
        after: &str,
        max: usize,
        max_bytes: u64,
    ) -> Result<Vec<StoredValue>, Rejected> {
        let (queue, reader) = self.find_reader(reader)?;
        let mut bytes = 0;
        let fits = move |value: &StoredValue| {
            let first = bytes == 0;
            bytes += u64::from(value.body.size).max(1);
            first || bytes <= max_bytes
        };
        Ok(values_of(queue.generation, reader, group, prefix, after)
            .take(max)
            .take_while({
                let mut fits = fits;
                move |value| fits(value)
            })
            .collect())
    }

    pub(crate) fn producers(&self, queue: &QueueRef, after: &str, max: usize) -> Result<Vec<ProducerView>, Rejected> {
        let queue = self.find(queue)?;
        let later = queue.producers.iter().filter(|(name, _)| name.as_str() > after);
        let view = |(name, producer): (&Label, &Producer)| ProducerView {
            queue: queue.generation,
            name: name.clone(),
            epoch: producer.epoch,
            instance: producer.instance.clone(),
            opened_at: producer.opened_at,
            last: producer.last,
        };
        Ok(later.take(max).map(view).collect())
    }

    pub(crate) fn readers(&self, queue: &QueueRef, after: &str, max: usize) -> Result<Vec<ReaderView>, Rejected> {
        let queue = self.find_strict(queue)?;
        let later = queue.readers.iter().filter(|(name, _)| name.as_str() > after);
        Ok(later.take(max).map(|(name, reader)| reader_view(queue, name, reader)).collect())
    }

    pub(crate) fn reader(&self, queue: &QueueRef, name: &Label) -> Result<ReaderView, Rejected> {
        let queue = self.find_strict(queue)?;
        let reader = queue.readers.get(name).ok_or(Rejected::ReaderNotFound)?;
        Ok(reader_view(queue, name, reader))
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

fn first_held_of(queue: &Queue, group: &GroupId) -> Option<SequenceNumber> {
    let held = |sequence: &&SequenceNumber| queue.messages.get(sequence).is_some_and(|message| !message.is_free());
    queue.groups.get(group)?.messages.iter().find(held).copied()
}

/// FNV-1a over the group's bytes: the same on every machine and in every release.
fn shard_of(group: &GroupId, shards: u32) -> u32 {
    let hash =
        group.as_str().bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    hash % shards.max(1)
}

fn values_of<'a>(
    generation: QueueGeneration,
    reader: &'a Reader,
    group: Option<&'a GroupId>,
    prefix: &'a str,
    after: &'a str,
) -> impl Iterator<Item = StoredValue> + 'a {
    let lowest = ValueKey::lowest();
    reader
        .values
        .range((group.cloned(), lowest)..)
        .take_while(move |((of, _), _)| of.as_ref() == group)
        .filter(move |((_, key), _)| key.as_str().starts_with(prefix) && key.as_str() > after)
        .map(move |((group, key), body)| {
            let (group, key) = (group.clone(), key.clone());
            StoredValue { generation, reader: reader.id, group, key, body: *body }
        })
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
        free_groups: queue.free.len() as u64,
        parked_groups: queue.parked.len() as u64,
        deduplication_keys: queue.keys.len() as u64,
        last_sequence: queue.last_sequence,
        bytes: queue.bytes,
        readers: u32::try_from(queue.readers.len()).expect("a queue has at most 1,000 readers"),
    }
}

fn reader_view(queue: &Queue, name: &Label, reader: &Reader) -> ReaderView {
    ReaderView {
        queue: queue.generation,
        name: name.clone(),
        id: reader.id,
        generation: reader.generation,
        instance: reader.instance.clone(),
        claim_limit: reader.claim_limit,
        open: reader.open.iter().map(|(number, claim)| open_claim(queue, *number, claim)).collect(),
        last_committed: reader.last_ended,
        last_number: reader.last_number,
        commits: reader.commits,
        values: reader.values.len() as u64,
        value_bytes: reader.value_bytes,
    }
}
