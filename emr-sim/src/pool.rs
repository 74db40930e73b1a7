//! The controller of a cluster of workers (B6, B9): opens the reader, claims messages, hands claims to workers, restarts
//! workers that die, publishes what was committed. One pool is one reader and the only writer of its manifest. Reading
//! and processing messages is the workers' business; starting the broker and sending messages is the caller's.

mod crew;
mod launch;
mod open;
mod publish;
mod run;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use crate::crash::{CrashPoints, Killed};
use crate::identity::Identity;
use crate::manifest::{ManifestError, OutputRefused, RunFacts};
use crate::port::{ClaimLimits, PortError, Reason};
use crate::sink::SinkError;
use crate::step::StepSpec;

pub use launch::{Launched, ProcessLauncher, WorkerLauncher};
pub use open::Pool;

/// A claim has at most so many messages: so many pointers to spilled state values always fit beside their keys in one
/// Commit of 1 MiB (H1, B9).
pub const MAX_CLAIM_MESSAGES: u32 = 1_500;

/// The queue and the reader that a pool works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The queue's name.
    pub queue: String,
    /// Its generation; another one ends the pool (B8).
    pub queue_generation: u64,
    /// The reader's name.
    pub reader: String,
}

/// What a pool must know.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// Where the broker listens; handed to the workers.
    pub endpoint: String,
    /// Where the messages come from.
    pub source: Source,
    /// What the workers run, and where they write.
    pub step: StepSpec,
    /// Further facts that must not change between runs on one folder, such as the digest of the input.
    pub run: serde_json::Value,
    /// Words that stand before a mapper's command line: a program that ends the mapper when its worker dies. None by
    /// default: a worker that is killed then leaves its mapper, which ends with its stdin if it reads it.
    pub guard: Vec<String>,
    /// How many workers, at least 1.
    pub workers: usize,
    /// How many claims may be open beyond one a worker; all together at most 64 (B6).
    pub claims_ahead: usize,
    /// How large claims are and how long to wait for one; at most [`MAX_CLAIM_MESSAGES`].
    pub claim: ClaimLimits,
    /// For how long to ask a broker that does not answer; the workers have the same limit, in whole seconds.
    pub patience: Duration,
    /// For how long to wait for another run's lock on the output folder.
    pub lock_patience: Duration,
    /// A worker that holds a claim and says nothing for so long is given up: its claim is another's then (B6).
    pub silence: Duration,
    /// Where tests make the controller die.
    pub crash: CrashPoints,
}

impl PoolSettings {
    /// The usual settings: claims of up to 500 messages or 512 KiB that wait 20 ms for 100 messages, two claims ahead,
    /// 60 s of patience with the broker, 5 s with another run's lock, 10 s with a silent worker.
    #[must_use]
    pub fn new(endpoint: String, source: Source, step: StepSpec, run: serde_json::Value, workers: usize) -> Self {
        Self {
            endpoint,
            source,
            step,
            run,
            guard: Vec::new(),
            workers,
            claims_ahead: 2,
            claim: ClaimLimits::default(),
            patience: Duration::from_secs(60),
            lock_patience: Duration::from_secs(5),
            silence: Duration::from_secs(10),
            crash: CrashPoints::default(),
        }
    }

    /// What the manifest's header and the broker keep of them.
    pub(crate) fn facts(&self) -> RunFacts {
        RunFacts {
            queue: self.source.queue.clone(),
            reader: self.source.reader.clone(),
            task: self.step.task.clone(),
            format: self.step.format,
            run: self.run.clone(),
        }
    }
}

/// Why a pool ended. Whatever is committed stays so, open claims stay open, and a later run goes on from there, except
/// after [`PoolError::QueueGenerationChanged`].
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The settings cannot be used.
    #[error("{0}")]
    Settings(String),
    /// The queue was deleted or made anew, or the reader dropped: this output has no source any more (B8).
    #[error("the queue or its reader is not the one this pool worked on: {0}")]
    QueueGenerationChanged(String),
    /// Another controller opened the reader (B6).
    #[error("another controller opened the reader, this one has stopped: {0}")]
    Fenced(String),
    /// The broker refused what no other variant names, or did not answer in time.
    #[error(transparent)]
    Broker(PortError),
    /// The output folder is not the one this reader writes to.
    #[error(transparent)]
    Refused(#[from] OutputRefused),
    /// The manifest cannot be read or written.
    #[error(transparent)]
    Manifest(ManifestError),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] SinkError),
    /// A value that this program should have written cannot be read.
    #[error("the reader's value {key} cannot be read: {why}")]
    Value {
        /// Its key.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// A claim cannot be processed; it stays open.
    #[error("claim {claim} cannot be processed: {why}")]
    Step {
        /// The claim's number.
        claim: u64,
        /// What a worker reported.
        why: String,
        /// It could not be written, rather than computed.
        disk: bool,
    },
    /// Workers end before they are ready, or one claim ends one after the other.
    #[error("workers keep ending: {0}")]
    Workers(String),
    /// The caller said so.
    #[error("stopped by request")]
    Stopped,
    /// A test's doing.
    #[error(transparent)]
    Killed(#[from] Killed),
}

impl From<PortError> for PoolError {
    fn from(error: PortError) -> Self {
        match error {
            PortError::Refused { reason: Reason::QueueGenerationChanged | Reason::ReaderGone, message } => {
                Self::QueueGenerationChanged(message)
            }
            PortError::Refused { reason: Reason::ReaderFenced, message } => Self::Fenced(message),
            other @ (PortError::Refused { .. } | PortError::Unavailable(_)) => Self::Broker(other),
        }
    }
}

impl From<ManifestError> for PoolError {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Refused(refused) => Self::Refused(refused),
            ManifestError::Disk(disk) => Self::Disk(disk),
            ManifestError::Killed(killed) => Self::Killed(killed),
            other @ (ManifestError::NotOne { .. } | ManifestError::Line { .. } | ManifestError::InUse { .. }) => {
                Self::Manifest(other)
            }
        }
    }
}

/// How far a pool is. Totals span continued runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Claims that are open.
    pub claims_open: usize,
    /// Messages of claims that are known to be committed.
    pub messages_committed: u64,
    /// Claims that are known to be committed.
    pub commits: u64,
    /// Lines in the manifest; at the end as many as `commits`.
    pub manifest_lines: u64,
    /// How often a worker of this run ended unasked.
    pub worker_deaths: u64,
    /// How often a worker of this run was given up because it said nothing.
    pub given_up: u64,
    /// How often such a worker came back and was refused by the broker, and with what words the last time.
    pub refused: (u64, String),
    /// How often an attempt at a claim failed in this run, and why the last time.
    pub failures: (u64, String),
    /// The workers' process ids, by place; `None` while there is none. To kill one, ask the [`PoolHandle`]: a process id
    /// may belong to another process by the time it is used.
    pub worker_pids: BTreeMap<usize, Option<u32>>,
}

/// What a pool did, when it ended well: no message is left in the queue, no claim is open, all commits are published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Whose output it is.
    pub identity: Identity,
    /// Commits of the reader, of all runs.
    pub commits: u64,
    /// Messages in them.
    pub messages: u64,
    /// How often a worker of this run ended unasked.
    pub worker_deaths: u64,
}

#[derive(Debug, Clone)]
pub(crate) enum Request {
    NoMoreMessages,
    KillWorker(usize),
    Staff(BTreeSet<usize>),
    Cancel { kill: bool },
    Stop,
}

/// Speaks to a running pool. When every handle is gone, the pool goes on as if nothing more were said.
#[derive(Debug, Clone)]
pub struct PoolHandle {
    requests: mpsc::UnboundedSender<Request>,
    progress: watch::Receiver<Progress>,
}

impl PoolHandle {
    /// No more messages are coming: the pool ends once the queue is empty and everything is published.
    pub fn no_more_messages(&self) {
        self.say(Request::NoMoreMessages);
    }

    /// Kills the worker at a place with SIGKILL (a task: drops it). The pool starts another one.
    pub fn kill_worker(&self, place: usize) {
        self.say(Request::KillWorker(place));
    }

    /// From now on there is a worker at each of these places, and at no other: new ones start, one that has to go finishes
    /// the claim that it holds. Said before [`Pool::run`] it replaces [`PoolSettings::workers`].
    pub fn staff(&self, places: BTreeSet<usize>) {
        self.say(Request::Staff(places));
    }

    /// Ends the pool with [`PoolError::Stopped`] once its workers have finished what they hold, or, with `kill`, without
    /// waiting for them. Every commit is published before; claims that are open then stay open.
    pub fn cancel(&self, kill: bool) {
        self.say(Request::Cancel { kill });
    }

    /// Ends the pool at once with [`PoolError::Stopped`]; a later run goes on from there.
    pub fn stop(&self) {
        self.say(Request::Stop);
    }

    /// How far the pool is; changes wake the receiver.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    fn say(&self, request: Request) {
        // A pool that has ended needs no telling.
        let _ = self.requests.send(request);
    }
}
