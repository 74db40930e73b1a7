//! What a commit asks for (B1), gathered step by step. Sending it is `reader`'s.

use bytes::Bytes;
use lockstep_proto::v1;

use crate::Message;

/// Finishes one claim: its messages are deleted, values stored and outputs sent, all or nothing (B1). Keep it until
/// its answer is known: the same commit made again gets the first answer.
///
/// State and outputs together are at most 1 MiB (H1).
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    pub(crate) commit_id: String,
    pub(crate) number: u64,
    pub(crate) epoch: u64,
    pub(crate) record: Bytes,
    pub(crate) outcomes: Vec<v1::GroupOutcome>,
    pub(crate) values: Vec<v1::ValueChange>,
    pub(crate) outputs: Vec<v1::Output>,
}

impl Commit {
    /// The commit of a claim held under an epoch. The id is 1 to 80 of `[A-Za-z0-9_-]`; the same id with other content
    /// is refused.
    pub fn new(commit_id: impl Into<String>, number: u64, epoch: u64) -> Self {
        let (record, values, outputs) = (Bytes::new(), Vec::new(), Vec::new());
        Commit { commit_id: commit_id.into(), number, epoch, record, outcomes: Vec::new(), values, outputs }
    }

    /// What is kept as the reader's value `published/<commit number, 20 digits>` (B9); nothing when empty.
    #[must_use]
    pub fn record(mut self, record: impl Into<Bytes>) -> Self {
        self.record = record.into();
        self
    }

    /// Finishes a group only in part (B7): its messages up to `done_through` are done (none when absent), the others go
    /// back, in order. Of those only the first counts as received: the ones behind it were not tried.
    #[must_use]
    pub fn give_back(self, group: impl Into<String>, done_through: Option<u64>) -> Self {
        self.outcome(group.into(), done_through, v1::GroupRest::GiveBack)
    }

    /// The same, but the first message that is not done goes to the dead-letter queue, in the same journal entry. The
    /// commit is refused when the queue has none now.
    #[must_use]
    pub fn dead_letter_head(self, group: impl Into<String>, done_through: Option<u64>) -> Self {
        self.outcome(group.into(), done_through, v1::GroupRest::DeadLetterHead)
    }

    /// The same as [`Commit::give_back`], and the group delivers nothing until it is unparked
    /// ([`Client::unpark`](crate::Client::unpark)).
    #[must_use]
    pub fn park(self, group: impl Into<String>, done_through: Option<u64>) -> Self {
        self.outcome(group.into(), done_through, v1::GroupRest::Park)
    }

    fn outcome(mut self, message_group_id: String, done_through: Option<u64>, rest: v1::GroupRest) -> Self {
        let (done_through, rest) = (done_through.unwrap_or(0), rest.into());
        self.outcomes.push(v1::GroupOutcome { message_group_id, done_through, rest });
        self
    }

    /// Stores a value of one of the claim's groups. Keys have 1 to 256 characters, values at most 64 KiB.
    #[must_use]
    pub fn set(mut self, group: impl Into<String>, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.values.push(change(Some(group.into()), key.into(), Some(value.into())));
        self
    }

    /// Removes a value of one of the claim's groups.
    #[must_use]
    pub fn remove(mut self, group: impl Into<String>, key: impl Into<String>) -> Self {
        self.values.push(change(Some(group.into()), key.into(), None));
        self
    }

    /// Sends a message to another queue. Without a deduplication id the broker makes one of the journal, the queue's
    /// generation, the reader, the claim and the output's place, so that the output is sent once, whoever commits.
    #[must_use]
    pub fn output(mut self, queue: impl Into<String>, message: Message) -> Self {
        let entry = message.into_entry(|_| String::new());
        self.outputs.push(v1::Output { queue: queue.into(), entry: Some(entry) });
        self
    }

    /// The key of this commit.
    #[must_use]
    pub fn commit_id(&self) -> &str {
        &self.commit_id
    }
}

/// Changes reader-wide values, under the reader's generation; for the controller (B1).
#[derive(Clone, Debug, PartialEq)]
pub struct ValuesCommit {
    pub(crate) commit_id: String,
    pub(crate) values: Vec<v1::ValueChange>,
}

impl ValuesCommit {
    /// No changes yet. The id is 1 to 80 of `[A-Za-z0-9_-]`; the same id with other content is refused.
    pub fn new(commit_id: impl Into<String>) -> Self {
        ValuesCommit { commit_id: commit_id.into(), values: Vec::new() }
    }

    /// Stores a value. Keys have 1 to 256 characters, values at most 64 KiB.
    #[must_use]
    pub fn set(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.values.push(change(None, key.into(), Some(value.into())));
        self
    }

    /// Removes a value.
    #[must_use]
    pub fn remove(mut self, key: impl Into<String>) -> Self {
        self.values.push(change(None, key.into(), None));
        self
    }

    /// The key of this commit.
    #[must_use]
    pub fn commit_id(&self) -> &str {
        &self.commit_id
    }
}

fn change(message_group_id: Option<String>, key: String, value: Option<Bytes>) -> v1::ValueChange {
    v1::ValueChange { message_group_id, key, value }
}
