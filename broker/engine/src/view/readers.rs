//! What readers and producers see: claims and their groups' values, sessions. Pure reads, as all of `view`.

use std::collections::BTreeSet;

use crate::{
    State,
    command::{QueueRef, ReaderRef},
    decide::readers::{open_claim, still_open},
    reply::{OpenClaim, Origin, Rejected},
    state::{producers::Producer, queue::Queue, reader::Reader},
    words::{
        BodyRef, ClaimNumber, CommitNumber, Epoch, GroupId, Label, QueueGeneration, ReaderId, SendNumber,
        SequenceNumber, Timestamp, ValueKey,
    },
};

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
            let message = &queue.messages[*sequence];
            let group = queue.group_of(message);
            if shard_of(group, shards) != shard {
                continue;
            }
            groups.insert(group);
            messages.push(ClaimedMessage {
                sequence: *sequence,
                group: group.clone(),
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
