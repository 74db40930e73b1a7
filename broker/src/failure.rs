//! The answers that are no success. `Rejected` and `Invalid` are final; `Unavailable` and `Overloaded` tell the caller
//! to ask again with the same key (design idea 4). No front's codes are here.

use std::sync::Arc;

use lockstep_engine::{
    Rejected,
    words::{SequenceNumber, WordError},
};

use crate::receipts::GarbageHandle;

/// A request that cannot mean anything, whatever the state: nothing was asked of the engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Invalid {
    /// A name for programs, in upper snake case.
    pub reason: &'static str,
    /// The number of the rule it breaks.
    pub rule: &'static str,
    /// What is wrong and what would be right.
    pub message: String,
}

impl Invalid {
    /// A fault of the rule `rule`.
    #[must_use]
    pub fn new(reason: &'static str, rule: &'static str, message: impl Into<String>) -> Self {
        Self { reason, rule, message: message.into() }
    }
}

impl From<WordError> for Invalid {
    fn from(error: WordError) -> Self {
        let (reason, rule) = match error.word {
            "queue name" => ("QUEUE_NAME_INVALID", "L1"),
            "message group id" => ("MESSAGE_GROUP_ID_INVALID", "L5"),
            "message deduplication id" => ("MESSAGE_DEDUPLICATION_ID_INVALID", "L5"),
            "receive request attempt id" => ("RECEIVE_ATTEMPT_ID_INVALID", "L5"),
            "tag key" => ("TAG_KEY_INVALID", "L12"),
            "tag value" => ("TAG_VALUE_INVALID", "L12"),
            "policy" => ("POLICY_INVALID", "L12"),
            "KMS key id" => ("KMS_KEY_INVALID", "L9"),
            "value key" => ("VALUE_KEY_INVALID", "B1"),
            _ => ("NAME_INVALID", "B6"),
        };
        Self::new(reason, rule, error.to_string())
    }
}

impl From<GarbageHandle> for Invalid {
    fn from(error: GarbageHandle) -> Self {
        Self::new("RECEIPT_HANDLE_INVALID", "R4", error.to_string())
    }
}

/// Why a call has no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The engine refused, durably.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// The request means nothing.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The outcome is unknown: it may be durable or not. Ask again with the same key (H4).
    #[error("the outcome is unknown, ask again with the same key: {0}")]
    Unavailable(Arc<str>),
    /// Too much waits already; nothing was decided.
    #[error("the broker has too many requests waiting and decided nothing; ask again")]
    Overloaded,
    /// Time was to be moved, and it is the machine's (H2).
    #[error(
        "this broker follows the machine's clock; only one that is started with --clock manual, on a data directory of \
         its own, lets its time be told and moved (H2)"
    )]
    ClockNotManual,
    /// The broker takes no sends any more; nothing was decided.
    #[error(
        "the broker drains: it takes no sends, and decided nothing about this one; ask again with the same key, after \
         `lockstep drain --cancel` or at the broker that follows (H4)"
    )]
    Draining,
    /// A backup is being taken, and two would keep twice as long what may go.
    #[error("a backup of this broker is being taken already; ask again when it has ended (H9)")]
    BackupRunning,
    /// A backup ended before it was whole.
    #[error("the backup is not whole and was given up: {0} (H9)")]
    BackupFailed(String),
    /// A stored body cannot be read. It stops its group, nothing else (H6).
    #[error("the stored body of message {sequence} is damaged: {fault} (H6)")]
    Damaged {
        /// The message; 0 for a stored value.
        sequence: SequenceNumber,
        /// What the journal says.
        fault: String,
    },
}

impl From<WordError> for Failure {
    fn from(error: WordError) -> Self {
        Self::Invalid(error.into())
    }
}

impl From<GarbageHandle> for Failure {
    fn from(error: GarbageHandle) -> Self {
        Self::Invalid(error.into())
    }
}
