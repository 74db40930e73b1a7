//! What a step computes: the words between the worker and a job, and the jobs by name. Jobs are pure; files, the broker
//! and clocks must not appear below this module, so that the same claim and the same state always give the same bytes.

mod count;
mod recompute;
mod reply_pairs;
mod transcript;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::rows::Rows;

pub use count::Total;
pub use recompute::{ExpectedPair, ExpectedPairs, recompute_pairs};

/// One message of a claim, as a job sees it.
#[derive(Debug, Clone, Copy)]
pub struct JobMessage<'a> {
    /// The broker's id of the message; named in errors.
    pub message_id: &'a str,
    /// Rises within a queue; named in errors.
    pub sequence_number: u64,
    /// The message group; state is kept per group.
    pub group: &'a str,
    /// The body exactly as it was sent.
    pub body: &'a [u8],
}

/// A changed state value of a group; `None` removes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// A message group of the claim (B1: values only for groups of that claim).
    pub group: String,
    /// 1 to 256 characters.
    pub key: String,
    /// The new value, of any size: the sink spills what a Commit cannot carry (B9).
    pub value: Option<Vec<u8>>,
}

/// Why a job cannot go on. It stops the step: the same input would fail again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JobError {
    /// A message whose body the job cannot use.
    #[error("message {message_id} (sequence number {sequence_number}) cannot be processed: {why}")]
    Message {
        /// The broker's id of the message.
        message_id: String,
        /// Its sequence number in the queue.
        sequence_number: u64,
        /// What is wrong with it.
        why: String,
    },
    /// A stored state value that this job did not write.
    #[error("the stored state of group {group}, key {key}, cannot be read: {why}")]
    State {
        /// The message group.
        group: String,
        /// The key of the value.
        key: String,
        /// What is wrong with it.
        why: String,
    },
}

impl JobError {
    fn message(message: &JobMessage<'_>, why: impl fmt::Display) -> Self {
        Self::Message {
            message_id: message.message_id.to_owned(),
            sequence_number: message.sequence_number,
            why: why.to_string(),
        }
    }
}

/// One run of a job over one claim. Called in this order: [`Job::state`] for every stored value of the claim's groups,
/// [`Job::message`] for every message in sequence order, [`Job::finish`] once.
pub trait Job: Send {
    /// Takes a stored value of one of the claim's groups.
    ///
    /// # Errors
    /// [`JobError::State`] when this job could not have written it.
    fn state(&mut self, group: &str, key: &str, value: &[u8]) -> Result<(), JobError>;

    /// Processes the next message.
    ///
    /// # Errors
    /// [`JobError::Message`], naming the message, when its body cannot be used; run and rows are as before then.
    fn message(&mut self, message: &JobMessage<'_>, rows: &mut Rows) -> Result<(), JobError>;

    /// Makes the last lines, and answers the state values that changed, in the order (group, key).
    fn finish(self: Box<Self>, rows: &mut Rows) -> Vec<StateChange>;
}

/// The jobs by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    /// Conversations in order: every output line is a message body exactly as it is.
    Transcript,
    /// Training examples for automatic responses: the turns so far, and the agent's next reply.
    ReplyPairs,
    /// How many messages and bytes each group has.
    Count,
}

impl JobKind {
    /// Every job there is.
    pub const ALL: [Self; 3] = [Self::Transcript, Self::ReplyPairs, Self::Count];

    /// The job's name, as on the command line and in the manifest.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Transcript => "transcript",
            Self::ReplyPairs => "reply-pairs",
            Self::Count => "count",
        }
    }

    /// A fresh run of this job, for one claim.
    #[must_use]
    pub fn start(self) -> Box<dyn Job> {
        match self {
            Self::Transcript => Box::new(transcript::Transcript),
            Self::ReplyPairs => Box::new(reply_pairs::ReplyPairs::default()),
            Self::Count => Box::new(count::Count::default()),
        }
    }

    /// Whether `body` is one this job can process; the pipeline asks before it sends.
    ///
    /// # Errors
    /// What is wrong with the body, in words.
    pub fn check(self, body: &[u8]) -> Result<(), String> {
        match self {
            Self::Transcript => transcript::check(body),
            Self::ReplyPairs => reply_pairs::check(body),
            Self::Count => Ok(()),
        }
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for JobKind {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|job| job.name() == name)
            .ok_or_else(|| format!("there is no job `{name}`; there are {}", Self::ALL.map(Self::name).join(", ")))
    }
}
