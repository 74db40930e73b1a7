//! The whole state of the broker. Only `evolve` writes it; everything else reads. Collections are ordered, so that
//! behaviour never depends on a hasher.

pub(crate) mod attempts;
mod bodies;
pub(crate) mod deletions;
pub(crate) mod groups;
mod index;
pub(crate) mod keys;
mod log;
pub(crate) mod message;
mod messages;
pub(crate) mod producers;
pub(crate) mod queue;
pub(crate) mod queues;
pub(crate) mod reader;
pub(crate) mod redrive;

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    command::{QueueRef, ReaderRef},
    reply::Rejected,
    state::{deletions::Deletions, queue::Queue, queues::Queues, reader::Reader},
    words::{ActiveTime, ClaimNumber, QueueGeneration, QueueName, ReaderId, SequenceNumber, Timestamp},
};

/// What ends by itself at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// A message's lease.
    Lease(SequenceNumber),
    /// A claim of a reader with a limit.
    Claim(ReaderId, ClaimNumber),
}

/// Everything the engine knows. Opaque: read it through the engine's views.
#[derive(Debug, Default, PartialEq)]
pub struct State {
    /// The newest journalled instant.
    pub(crate) time: Timestamp,
    /// All downtime so far, in milliseconds.
    pub(crate) downtime: u64,
    pub(crate) last_generation: QueueGeneration,
    pub(crate) names: BTreeMap<QueueName, QueueGeneration>,
    pub(crate) queues: Queues,
    /// Which names were freed not long ago (A2).
    pub(crate) deletions: Deletions,
    pub(crate) dues: BTreeSet<(ActiveTime, QueueGeneration, Due)>,
    /// Delayed messages, by the instant at which they become visible: in wall time, like retention, because downtime
    /// counts for a delay.
    pub(crate) delays: BTreeSet<(Timestamp, QueueGeneration, SequenceNumber)>,
    /// Events that named something unknown: a journal that does not belong together. Checked after recovery.
    pub(crate) strays: u64,
}

impl State {
    /// The active time at an instant (H2).
    pub(crate) fn active(&self, at: Timestamp) -> ActiveTime {
        ActiveTime(at.0.saturating_sub(self.downtime))
    }

    /// The wall time of an active time, if there is no downtime to come.
    pub(crate) fn wall(&self, at: ActiveTime) -> Timestamp {
        Timestamp(at.0 + self.downtime)
    }

    /// Finds a queue by name, and by generation where one is given (B8).
    pub(crate) fn find(&self, queue: &QueueRef) -> Result<&Queue, Rejected> {
        let current = self.names.get(&queue.name).copied();
        if let Some(wanted) = queue.generation
            && current != Some(wanted)
        {
            return Err(Rejected::QueueGenerationChanged { wanted, current });
        }
        current.and_then(|generation| self.queues.get(&generation)).ok_or(Rejected::QueueNotFound)
    }

    /// Finds a strict queue: only those have readers, claims and commits.
    pub(crate) fn find_strict(&self, queue: &QueueRef) -> Result<&Queue, Rejected> {
        let queue = self.find(queue)?;
        if queue.is_strict() { Ok(queue) } else { Err(Rejected::NotStrict) }
    }

    /// Finds a reader, whatever generation its caller names.
    pub(crate) fn find_reader(&self, reader: &ReaderRef) -> Result<(&Queue, &Reader), Rejected> {
        let queue = self.find_strict(&reader.queue)?;
        let found = queue.readers.get(&reader.name).ok_or(Rejected::ReaderNotFound)?;
        Ok((queue, found))
    }
}

impl Reader {
    /// Refuses a caller of an older generation (B6).
    pub(crate) fn fence(&self, caller: &ReaderRef) -> Result<(), Rejected> {
        match caller.generation {
            Some(given) if given != self.generation => Err(Rejected::ReaderFenced { given, current: self.generation }),
            Some(_) | None => Ok(()),
        }
    }
}
