//! Readers, claims and Commit, as fronts see them (B1, B6).

use std::collections::VecDeque;

use bytes::Bytes;
use lockstep_engine::{
    command::{
        Abandon, Claim, Commit, CommitTarget, DropReader, OpenReader, Output, QueueRef, ReaderRef, TakeClaim,
        ValueChange,
    },
    reply::{Claimed, Committed, OpenClaim, ReaderOpened},
    view::{ClaimedMessage, ReaderView, StoredValue},
    words::{
        ClaimNumber, ContentDigest, Epoch, GroupId, Label, QueueGeneration, QueueName, Receipt, SequenceNumber,
        ValueKey,
    },
};

use super::{
    Handle,
    messages::{ClaimedBody, NewMessage, damaged},
};
use crate::{failure::Failure, identity::OutputOrigin, limits, poll::PatientClaim};

/// All or nothing, with its bytes (B1).
#[derive(Clone, Debug)]
pub struct NewCommit {
    /// The queue, with its generation.
    pub queue: QueueRef,
    /// The caller's id of this commit.
    pub id: Label,
    /// A digest of all that is in it.
    pub digest: ContentDigest,
    /// What it finishes.
    pub target: NewTarget,
    /// What it stores and removes.
    pub values: Vec<NewValue>,
    /// What it sends.
    pub outputs: Vec<NewOutput>,
}

/// What a commit finishes.
#[derive(Clone, Debug)]
pub enum NewTarget {
    /// A whole claim.
    Claim {
        /// The reader, with its generation.
        reader: ReaderRef,
        /// The claim.
        number: ClaimNumber,
        /// The epoch under which the caller holds it.
        epoch: Epoch,
        /// Kept as the value `published/<commit number>` (B9).
        record: Option<Bytes>,
    },
    /// Deliveries, all or none.
    Deliveries(Vec<Receipt>),
    /// Nothing: only reader-wide values change.
    Reader(ReaderRef),
}

/// A value to store, or to remove when it is absent.
#[derive(Clone, Debug)]
pub struct NewValue {
    /// A group of the claim; absent: the reader's own.
    pub group: Option<GroupId>,
    /// Its key.
    pub key: ValueKey,
    /// Its bytes.
    pub value: Option<Bytes>,
}

/// A message that a commit sends. Its deduplication id defaults to a hash of (journal id, queue generation, reader id
/// or commit id, claim, index).
#[derive(Clone, Debug)]
pub struct NewOutput {
    /// Where to.
    pub queue: QueueName,
    /// What.
    pub message: NewMessage,
}

/// A stored value with its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadValue {
    /// Absent: the reader's own.
    pub group: Option<GroupId>,
    /// Its key.
    pub key: ValueKey,
    /// Its bytes.
    pub value: Bytes,
}

/// A claim, read page by page: values first, then messages in sequence order (B6).
#[derive(Debug)]
pub struct ClaimPages {
    handle: Handle,
    generation: QueueGeneration,
    values: VecDeque<StoredValue>,
    messages: VecDeque<ClaimedMessage>,
}

impl ClaimPages {
    /// The next page, of at most 1 MiB unless one body alone is larger; nothing when all was read.
    ///
    /// # Errors
    /// [`Failure::Damaged`] names a body that cannot be read; nothing after it is given out (H6).
    pub async fn next(&mut self) -> Result<Option<(Vec<ReadValue>, Vec<ClaimedBody>)>, Failure> {
        let values = page(&mut self.values, |value| value.body.size);
        if !values.is_empty() {
            return Ok(Some((self.handle.value_bodies(values).await?, Vec::new())));
        }
        let messages = page(&mut self.messages, |message| message.body.size);
        if messages.is_empty() {
            return Ok(None);
        }
        Ok(Some((Vec::new(), self.handle.claimed_bodies(self.generation, messages).await?)))
    }
}

/// What an entry costs in a page beside its body: its ids and numbers, at most.
const ENTRY_OVERHEAD: u64 = 512;

fn page<T>(line: &mut VecDeque<T>, size: impl Fn(&T) -> u32) -> Vec<T> {
    let mut bytes = 0;
    let mut page = Vec::new();
    while let Some(next) = line.pop_front_if(|next| {
        bytes += u64::from(size(next)) + ENTRY_OVERHEAD;
        page.is_empty() || bytes <= limits::CLAIM_CHUNK_BYTES
    }) {
        page.push(next);
    }
    page
}

impl Handle {
    /// Opens a reader; another instance than the last fences it (B6).
    ///
    /// # Errors
    /// The queue is not there or not strict, or has too many readers.
    pub async fn open_reader(&self, command: OpenReader) -> Result<ReaderOpened, Failure> {
        self.command(command).await
    }

    /// Takes messages under a number, or answers what that number came to. Waits so many milliseconds for the first
    /// message, and up to `linger` more for `command.at_least` (B6).
    ///
    /// # Errors
    /// The reader is fenced, the number is not the next, or too many claims are open.
    pub async fn claim(&self, command: Claim, wait: u64, linger: u64) -> Result<Claimed, Failure> {
        self.poll(PatientClaim::new(command, linger), Some(wait)).await
    }

    /// Makes a worker the holder of a claim, and fences the holder before it (B6).
    ///
    /// # Errors
    /// The reader is fenced, or the claim is not open.
    pub async fn take_claim(&self, command: TakeClaim) -> Result<OpenClaim, Failure> {
        self.command(command).await
    }

    /// A claim's contents for the holder of `epoch`: one of `shards` parts, each group in one of them (B6).
    ///
    /// # Errors
    /// The claim is not open, or held under another epoch.
    pub async fn read_claim(
        &self,
        reader: ReaderRef,
        number: ClaimNumber,
        epoch: Epoch,
        shard: u32,
        shards: u32,
    ) -> Result<ClaimPages, Failure> {
        let contents =
            self.read(move |engine, _| Ok(engine.claim_contents(&reader, number, epoch, shard, shards)?)).await?;
        Ok(ClaimPages {
            handle: self.clone(),
            generation: contents.generation,
            values: contents.values.into(),
            messages: contents.messages.into(),
        })
    }

    /// Burns claims and gives their messages back; answers which (B6).
    ///
    /// # Errors
    /// The reader is fenced, or the claim is not open.
    pub async fn abandon(&self, command: Abandon) -> Result<Vec<ClaimNumber>, Failure> {
        self.command(command).await
    }

    /// Ends a reader (B6).
    ///
    /// # Errors
    /// It is not there, or another one by now.
    pub async fn drop_reader(&self, command: DropReader) -> Result<(), Failure> {
        self.command(command).await
    }

    /// The readers of a queue, by name.
    ///
    /// # Errors
    /// The queue is not there, or not strict.
    pub async fn readers(&self, queue: QueueRef) -> Result<Vec<ReaderView>, Failure> {
        self.read(move |engine, _| Ok(engine.readers(&queue)?)).await
    }

    /// One reader.
    ///
    /// # Errors
    /// It is not there.
    pub async fn reader(&self, queue: QueueRef, name: Label) -> Result<ReaderView, Failure> {
        self.read(move |engine, _| Ok(engine.reader(&queue, &name)?)).await
    }

    /// Stored values of a group, or the reader's own, by key: at most `max`, and 3 MiB.
    ///
    /// # Errors
    /// The reader is not there; [`Failure::Damaged`] when a value cannot be read.
    pub async fn read_values(
        &self,
        reader: ReaderRef,
        group: Option<GroupId>,
        prefix: String,
        after: String,
        max: usize,
    ) -> Result<Vec<ReadValue>, Failure> {
        let most = limits::ANSWER_BYTES;
        let values =
            self.read(move |engine, _| Ok(engine.values(&reader, group.as_ref(), &prefix, &after, max, most)?)).await?;
        self.value_bodies(values).await
    }

    /// Finishes, stores and sends, all or nothing (B1).
    ///
    /// # Errors
    /// In the order of B1: the queue's generation, the id was used with another content, the reader or epoch is
    /// fenced, a hole, a value or an output that is refused (named).
    pub async fn commit(&self, commit: NewCommit) -> Result<Committed, Failure> {
        let NewCommit { queue, id, digest, target, values, mut outputs } = commit;
        self.name_outputs(&queue, &id, &target, &mut outputs).await?;
        let (mut bodies, mut bytes) = (Vec::new(), 0);
        let output = |NewOutput { queue, message }: NewOutput| {
            let (entry, body, size) = message.prepare();
            bytes += size - body.len() as u64;
            bodies.push(body);
            Output { queue, entry }
        };
        let outputs = outputs.into_iter().map(output).collect();
        let value = |NewValue { group, key, value }: NewValue| {
            bytes += (group.as_ref().map_or(0, |group| group.as_str().len()) + key.as_str().len()) as u64;
            let size = value.as_ref().map(size_of);
            bodies.extend(value.as_ref().map(own));
            ValueChange { group, key, size }
        };
        let values = values.into_iter().map(value).collect();
        let target = match target {
            NewTarget::Claim { reader, number, epoch, record } => {
                let size = record.as_ref().map(size_of);
                bodies.extend(record.as_ref().map(own));
                CommitTarget::Claim { reader, number, epoch, record: size }
            }
            NewTarget::Deliveries(receipts) => CommitTarget::Deliveries(receipts),
            NewTarget::Reader(reader) => CommitTarget::Reader(reader),
        };
        bytes += bodies.iter().map(|body| body.len() as u64).sum::<u64>();
        self.command_with(Commit { queue, id, digest, target, values, outputs }, bodies, bytes).await
    }

    /// Gives the outputs without a deduplication id one that a repeat of the commit gives them again (B1).
    async fn name_outputs(
        &self,
        queue: &QueueRef,
        id: &Label,
        target: &NewTarget,
        outputs: &mut [NewOutput],
    ) -> Result<(), Failure> {
        if outputs.iter().all(|output| output.message.deduplication_id.is_some()) {
            return Ok(());
        }
        let (queue_ref, name) = (queue.clone(), queue.name.clone());
        let (generation, origin) = match target {
            NewTarget::Claim { reader, number, .. } => {
                // A reader dropped after this look is refused by the commit itself, because its generation is.
                let view = self.reader(queue_ref, reader.name.clone()).await?;
                (view.queue, OutputOrigin::Claim(view.id.0, *number))
            }
            NewTarget::Deliveries(_) | NewTarget::Reader(_) => {
                let generation = match queue.generation {
                    Some(generation) => generation,
                    None => self.read(move |engine, _| Ok(engine.generation(&name).unwrap_or_default())).await?,
                };
                (generation, OutputOrigin::Commit(id.as_str()))
            }
        };
        for (output, index) in outputs.iter_mut().zip(0..) {
            let default = || self.identity.output_id(generation, origin, index);
            output.message.deduplication_id.get_or_insert_with(default);
        }
        Ok(())
    }

    async fn value_bodies(&self, values: Vec<StoredValue>) -> Result<Vec<ReadValue>, Failure> {
        let places = values.iter().map(|value| value.body.position).collect();
        let with_bytes = |(value, fetched): (StoredValue, Result<Bytes, String>)| {
            let bytes = fetched.map_err(|fault| damaged(SequenceNumber(0), format!("value {}: {fault}", value.key)))?;
            Ok(ReadValue { group: value.group, key: value.key, value: bytes })
        };
        values.into_iter().zip(self.bodies.fetch(places).await).map(with_bytes).collect()
    }
}

fn size_of(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// A copy: a slice would keep the whole request in memory as long as the value is in the cache.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
