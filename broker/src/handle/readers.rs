//! Readers, their claims and their values, as fronts see them (B6). Commit is beside it.

use std::collections::VecDeque;

use bytes::Bytes;
use lockstep_engine::{
    command::{Abandon, Claim, DropReader, OpenReader, QueueRef, ReaderRef, TakeClaim},
    reply::{Claimed, OpenClaim, ReaderOpened},
    view::{ClaimedMessage, ReaderView, StoredValue},
    words::{BodyOwner, ClaimNumber, Epoch, GroupId, Label, QueueGeneration, SequenceNumber, ValueKey},
};

use super::{
    Handle,
    messages::{ClaimedBody, damaged},
    places::{Found, Wanted},
};
use crate::{failure::Failure, limits, poll::PatientClaim};

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

    /// The readers of a queue by name, at most `max`, after the name `after` (L13).
    ///
    /// # Errors
    /// The queue is not there, or not strict.
    pub async fn readers(&self, queue: QueueRef, after: String, max: usize) -> Result<Vec<ReaderView>, Failure> {
        self.read(move |engine, _| Ok(engine.readers(&queue, &after, max)?)).await
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

    async fn value_bodies(&self, values: Vec<StoredValue>) -> Result<Vec<ReadValue>, Failure> {
        let wanted = |value: &StoredValue| {
            let (group, key) = (value.group.clone(), value.key.clone());
            let owner = BodyOwner::Value { reader: value.reader, group, key };
            Wanted { queue: value.generation, owner, body: value.body }
        };
        let found = self.fetch(values.iter().map(wanted).collect()).await?;
        let with_bytes = |(value, found): (StoredValue, Option<Found>)| {
            // A value that was removed since is not there.
            let damaged = |fault| damaged(SequenceNumber(0), format!("value {}: {fault}", value.key));
            let bytes = found?.map_err(damaged);
            Some(bytes.map(|value_bytes| ReadValue { group: value.group, key: value.key, value: value_bytes }))
        };
        values.into_iter().zip(found).filter_map(with_bytes).collect()
    }
}
