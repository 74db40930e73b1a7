//! Commit, as fronts see it: bytes and names on one side, the engine's words on the other (B1).

use bytes::Bytes;
use lockstep_engine::{
    command::{Commit, CommitTarget, GroupOutcome, Output, QueueRef, ReaderRef, ValueChange},
    reply::Committed,
    words::{ClaimNumber, ContentDigest, Epoch, GroupId, Label, QueueName, Receipt, ValueKey},
};

use super::{Handle, messages::NewMessage};
use crate::{failure::Failure, identity::OutputOrigin};

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
        /// What became of groups that were not done as a whole (B7).
        outcomes: Vec<GroupOutcome>,
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

impl Handle {
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
            let (entry, body, size) = message.prepare(queue.is_fifo());
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
            NewTarget::Claim { reader, number, epoch, record, outcomes } => {
                let size = record.as_ref().map(size_of);
                bodies.extend(record.as_ref().map(own));
                CommitTarget::Claim { reader, number, epoch, record: size, outcomes }
            }
            NewTarget::Deliveries(receipts) => CommitTarget::Deliveries(receipts),
            NewTarget::Reader(reader) => CommitTarget::Reader(reader),
        };
        bytes += bodies.iter().map(|body| body.len() as u64).sum::<u64>();
        self.command_with(Commit { queue, id, digest, target, values, outputs }, bodies, bytes).await
    }

    /// Gives the outputs to FIFO queues without a deduplication id one that a repeat of the commit gives them again (B1).
    async fn name_outputs(
        &self,
        queue: &QueueRef,
        id: &Label,
        target: &NewTarget,
        outputs: &mut [NewOutput],
    ) -> Result<(), Failure> {
        let is_nameless = |output: &NewOutput| output.queue.is_fifo() && output.message.deduplication_id.is_none();
        if !outputs.iter().any(is_nameless) {
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
        for (output, index) in outputs.iter_mut().zip(0..).filter(|(output, _)| output.queue.is_fifo()) {
            let default = || self.identity.output_id(generation, origin, index);
            output.message.deduplication_id.get_or_insert_with(default);
        }
        Ok(())
    }
}

fn size_of(bytes: &Bytes) -> u32 {
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

/// A copy: a slice would keep the whole request in memory as long as the value is in the cache.
fn own(bytes: &Bytes) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
