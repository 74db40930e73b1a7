//! The broker as the pool needs it, in the crate's own words: a seam of ten calls, so that tests run pool and workers
//! against a broker in memory. `client` puts the real one behind it. Retrying is not done here but by `retry`.

mod client;
mod retry;

use std::future::Future;

pub use client::ClientPort;
pub(crate) use retry::Patience;

use serde::{Deserialize, Serialize};

use crate::identity::Identity;
use crate::state::StoredChange;

/// Why a call did not succeed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// The broker decided against it; final and durable.
    #[error("refused: {message}")]
    Refused {
        /// Which refusal, as far as the pool treats them differently.
        reason: Reason,
        /// The broker's own words.
        message: String,
    },
    /// The outcome is unknown: ask again with the same call.
    #[error("no answer from the broker: {0}")]
    Unavailable(String),
}

/// The refusals that the pool treats differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reason {
    /// The queue was deleted or made anew (B8).
    QueueGenerationChanged,
    /// The reader was dropped, or never opened (B6).
    ReaderGone,
    /// Another controller opened the reader (B6).
    ReaderFenced,
    /// The claim is held under another epoch (B2).
    ClaimFenced,
    /// The claim was given back (B6).
    ClaimBurnt,
    /// The claim is finished (B6).
    ClaimNotOpen,
    /// The claim was committed as something else (B1).
    CommitConflict,
    /// How the claim ended is not kept any more (B1).
    OutcomeForgotten,
    /// Any other.
    Other,
}

impl Reason {
    /// The reason of an ErrorInfo by its name.
    #[must_use]
    pub fn parse(name: &str) -> Self {
        match name {
            "QUEUE_GENERATION_CHANGED" | "QUEUE_NOT_FOUND" => Self::QueueGenerationChanged,
            "READER_NOT_FOUND" => Self::ReaderGone,
            "READER_FENCED" => Self::ReaderFenced,
            "CLAIM_FENCED" => Self::ClaimFenced,
            "CLAIM_BURNT" => Self::ClaimBurnt,
            "CLAIM_NOT_OPEN" => Self::ClaimNotOpen,
            "COMMIT_CONFLICT" => Self::CommitConflict,
            "OUTCOME_FORGOTTEN" => Self::OutcomeForgotten,
            _ => Self::Other,
        }
    }
}

/// Which reader a call is about, and as whose successor or equal the caller acts (B6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderRef {
    /// The queue's name.
    pub queue: String,
    /// The queue's generation.
    pub queue_generation: u64,
    /// The reader's name.
    pub reader: String,
    /// The generation its controller got.
    pub reader_generation: u64,
}

/// An open claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenClaim {
    /// Its number.
    pub number: u64,
    /// Its present epoch.
    pub epoch: u64,
    /// How many messages it holds.
    pub messages: u64,
}

/// An opened reader.
#[derive(Debug, Clone)]
pub struct OpenedReader {
    /// Journal, queue generation and reader id.
    pub identity: Identity,
    /// The generation of this controller.
    pub reader_generation: u64,
    /// Claims that are open.
    pub open_claims: Vec<OpenClaim>,
    /// The highest number given out.
    pub last_number: u64,
    /// How many commits of claims the reader has.
    pub commits: u64,
}

/// The answer to a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claimed {
    /// It is open.
    Open(OpenClaim),
    /// Nothing was there; no number was used.
    Empty,
    /// It is finished.
    Committed,
    /// It was given back.
    Burnt,
}

/// How much to take at most, and how long to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimLimits {
    /// Messages.
    pub max_messages: u32,
    /// Bytes of bodies.
    pub max_bytes: u64,
    /// 0 to 20 seconds.
    pub wait_seconds: u32,
    /// Prefer to answer with so many messages.
    pub min_messages: u32,
    /// How long the first message may wait for them, in milliseconds.
    pub linger_ms: u32,
}

impl Default for ClaimLimits {
    /// Up to 500 messages or 512 KiB, after 20 ms for 100 messages.
    fn default() -> Self {
        Self { max_messages: 500, max_bytes: 512 * 1024, wait_seconds: 2, min_messages: 100, linger_ms: 20 }
    }
}

/// A stored value of a group of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredValue {
    /// The message group.
    pub group: String,
    /// The key.
    pub key: String,
    /// The bytes as the broker keeps them.
    pub value: Vec<u8>,
}

/// A message of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedMessage {
    /// The broker's id of it.
    pub message_id: String,
    /// The message group.
    pub group: String,
    /// Rises within the queue.
    pub sequence_number: u64,
    /// The body.
    pub body: Vec<u8>,
}

/// A claim's contents, whole: at most its byte limit, and the stored values of its groups.
#[derive(Debug, Clone, Default)]
pub struct ClaimContents {
    /// The values of its groups.
    pub values: Vec<StoredValue>,
    /// Its messages in sequence order.
    pub messages: Vec<ClaimedMessage>,
}

/// The finish of a claim (B1, B9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimCommit {
    /// Stable for an attempt, so that repeating the call is harmless.
    pub commit_id: String,
    /// The claim.
    pub number: u64,
    /// The epoch under which it is held.
    pub epoch: u64,
    /// Kept by the broker under `published/<commit number>`.
    pub record: Vec<u8>,
    /// The changed state.
    pub values: Vec<StoredChange>,
    /// Groups that are not done as a whole (B7); every other group of the claim is.
    pub outcomes: Vec<GroupOutcome>,
}

/// What becomes of a group of a claim that is not done as a whole (B7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupOutcome {
    /// The group.
    pub group: String,
    /// Its messages up to this sequence number are done; none when absent.
    pub done_through: Option<u64>,
    /// What becomes of the others.
    pub rest: Rest,
}

/// What becomes of a group's messages that are not done (B7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// The first goes to the dead-letter queue, those behind it go back.
    DeadLetterHead,
    /// They go back, and the group delivers nothing until it is unparked.
    Park,
}

/// A change of reader-wide values, by the controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderCommit {
    /// Stable for a change.
    pub commit_id: String,
    /// Keys and new values; `None` removes.
    pub values: Vec<(String, Option<Vec<u8>>)>,
}

/// What the broker says about a reader now.
#[derive(Debug, Clone)]
pub struct ReaderState {
    /// Its present generation.
    pub reader_generation: u64,
    /// Claims that are open.
    pub open_claims: Vec<OpenClaim>,
    /// The highest number given out.
    pub last_number: u64,
    /// How many commits of claims it has.
    pub commits: u64,
}

/// What the broker says about a queue now.
#[derive(Debug, Clone, Copy)]
pub struct QueueState {
    /// Its generation.
    pub queue_generation: u64,
    /// Messages that are not finished, held or not.
    pub messages: u64,
    /// Those among them that nobody holds and whose group is parked (B7).
    pub parked: u64,
    /// After so many receives a message goes to the dead-letter queue; absent: the queue has none.
    pub max_receive_count: Option<u32>,
}

/// One page of reader-wide values.
#[derive(Debug, Clone, Default)]
pub struct ValuesPage {
    /// Keys and values, in the order of the keys.
    pub values: Vec<(String, Vec<u8>)>,
    /// There may be more, after this key.
    pub next: Option<String>,
}

/// The broker's calls that controller and workers make. Every call may be repeated with the same arguments: that is how
/// [`PortError::Unavailable`] is answered.
pub trait Port: Clone + Send + Sync + 'static {
    /// Opens the reader under an instance id.
    fn open_reader(
        &self,
        queue: &str,
        queue_generation: u64,
        reader: &str,
        instance: &str,
    ) -> impl Future<Output = Result<OpenedReader, PortError>> + Send;

    /// Takes messages under the next number, or asks about an earlier one.
    fn claim(
        &self,
        reader: &ReaderRef,
        number: u64,
        limits: ClaimLimits,
    ) -> impl Future<Output = Result<Claimed, PortError>> + Send;

    /// Makes a worker the holder of an open claim.
    fn take_claim(
        &self,
        reader: &ReaderRef,
        number: u64,
        worker: &str,
        previous_failed: bool,
    ) -> impl Future<Output = Result<OpenClaim, PortError>> + Send;

    /// Reads a claim whole.
    fn read_claim(
        &self,
        reader: &ReaderRef,
        number: u64,
        epoch: u64,
    ) -> impl Future<Output = Result<ClaimContents, PortError>> + Send;

    /// Finishes a claim; answers the dense commit number, also when it was committed by this id before.
    fn commit_claim(
        &self,
        reader: &ReaderRef,
        commit: &ClaimCommit,
    ) -> impl Future<Output = Result<u64, PortError>> + Send;

    /// Changes reader-wide values.
    fn commit_reader(
        &self,
        reader: &ReaderRef,
        commit: &ReaderCommit,
    ) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Reads reader-wide values in the order of their keys, at most 1,000 at once.
    fn read_values(
        &self,
        reader: &ReaderRef,
        key_prefix: &str,
        after: &str,
    ) -> impl Future<Output = Result<ValuesPage, PortError>> + Send;

    /// Gives every open claim of the reader back, its messages in order; their holders are refused from then on.
    fn abandon(&self, reader: &ReaderRef) -> impl Future<Output = Result<(), PortError>> + Send;

    /// Describes the reader.
    fn describe_reader(&self, reader: &ReaderRef) -> impl Future<Output = Result<ReaderState, PortError>> + Send;

    /// Describes the queue.
    fn describe_queue(&self, reader: &ReaderRef) -> impl Future<Output = Result<QueueState, PortError>> + Send;
}
