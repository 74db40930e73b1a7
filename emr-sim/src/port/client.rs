//! The real broker behind the port: the client library's calls and types turned into the pool's. Nothing is decided here.

use std::time::Duration;

use lockstep_client::{BatchReader, ClaimAnswer, ClaimOptions, Client, Commit, Error, RetryPolicy, ValuesCommit, v1};

use super::{
    ClaimCommit, ClaimContents, ClaimLimits, Claimed, ClaimedMessage, OpenClaim, OpenedReader, Port, PortError,
    QueueState, ReaderCommit, ReaderRef, ReaderState, Reason, Rest, StoredValue, ValuesPage,
};
use crate::identity::Identity;

/// The port to a broker over gRPC. Cheap to clone; the clones share a connection.
#[derive(Debug, Clone)]
pub struct ClientPort(Client);

impl ClientPort {
    /// A port to the broker at `endpoint`, such as `http://127.0.0.1:9324`, that asks for so long when it does not
    /// answer. Connects at the first call, because the broker may be restarting just now.
    ///
    /// # Errors
    /// [`PortError::Refused`] when `endpoint` is no address.
    pub fn connect(endpoint: &str, patience: Duration) -> Result<Self, PortError> {
        Ok(Self(Client::builder(endpoint).retry(policy(patience)).connect_lazy()?))
    }

    /// A port over a connection that is there, with its certificates and its token.
    #[must_use]
    pub fn over(client: &Client, patience: Duration) -> Self {
        Self(client.clone().with_retry(policy(patience)))
    }

    fn reader(&self, reader: &ReaderRef) -> BatchReader {
        let ReaderRef { queue, queue_generation, reader, reader_generation } = reader.clone();
        BatchReader::attach(self.0.clone(), queue, queue_generation, reader, reader_generation)
    }
}

fn policy(patience: Duration) -> RetryPolicy {
    RetryPolicy {
        first_backoff: Duration::from_millis(50),
        max_backoff: Duration::from_secs(1),
        time_limit: patience,
        ..RetryPolicy::default()
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Refused { reason, .. } => Self::Refused { reason: Reason::parse(&reason), message },
            // Not a broker's answer: asking again would hardly help, and only the broker can say what is now.
            Error::Protocol(_) => Self::Refused { reason: Reason::Other, message },
            Error::Unavailable { .. } | Error::Unreachable { .. } | Error::OutcomeUnknown { .. } => {
                Self::Unavailable(message)
            }
        }
    }
}

impl From<v1::OpenClaim> for OpenClaim {
    fn from(claim: v1::OpenClaim) -> Self {
        Self { number: claim.number, epoch: claim.epoch, messages: claim.messages.into() }
    }
}

fn all<T, U: From<T>>(of: Vec<T>) -> Vec<U> {
    of.into_iter().map(U::from).collect()
}

impl Port for ClientPort {
    async fn open_reader(
        &self,
        queue: &str,
        queue_generation: u64,
        reader: &str,
        instance: &str,
    ) -> Result<OpenedReader, PortError> {
        let opened = self.0.open_reader(queue, reader, instance).queue_generation(queue_generation).await?;
        let opened = opened.opened().cloned().expect("a reader that was just opened knows how it was opened");
        Ok(OpenedReader {
            identity: Identity {
                journal_id: opened.journal_id,
                queue_generation: opened.queue_generation,
                reader_id: opened.reader_id,
            },
            reader_generation: opened.reader_generation,
            open_claims: all(opened.open_claims),
            last_number: opened.last_number,
            commits: opened.commits,
        })
    }

    async fn claim(&self, reader: &ReaderRef, number: u64, limits: ClaimLimits) -> Result<Claimed, PortError> {
        let options = ClaimOptions {
            max_messages: limits.max_messages,
            max_bytes: limits.max_bytes,
            wait: Duration::from_secs(limits.wait_seconds.into()),
            min_messages: limits.min_messages,
            linger: Duration::from_millis(limits.linger_ms.into()),
        };
        Ok(match self.reader(reader).claim(number, options).await? {
            ClaimAnswer::Open(claim) => Claimed::Open(claim.into()),
            ClaimAnswer::Empty => Claimed::Empty,
            ClaimAnswer::Committed { .. } => Claimed::Committed,
            ClaimAnswer::Burnt => Claimed::Burnt,
        })
    }

    async fn take_claim(
        &self,
        reader: &ReaderRef,
        number: u64,
        worker: &str,
        previous_failed: bool,
    ) -> Result<OpenClaim, PortError> {
        Ok(self.reader(reader).take(number, worker, previous_failed).await?.into())
    }

    async fn read_claim(&self, reader: &ReaderRef, number: u64, epoch: u64) -> Result<ClaimContents, PortError> {
        let contents = self.reader(reader).read(number, epoch).await?;
        let values = contents.values.into_iter().filter_map(|value| {
            let group = value.message_group_id?;
            Some(StoredValue { group, key: value.key, value: value.value.into() })
        });
        let messages = contents.messages.into_iter().map(|message| ClaimedMessage {
            message_id: message.message_id,
            group: message.message_group_id,
            sequence_number: message.sequence_number,
            body: message.body.into(),
        });
        Ok(ClaimContents { values: values.collect(), messages: messages.collect() })
    }

    async fn commit_claim(&self, reader: &ReaderRef, commit: &ClaimCommit) -> Result<u64, PortError> {
        let ClaimCommit { commit_id, number, epoch, record, values, outcomes } = commit.clone();
        let mut commit = Commit::new(commit_id, number, epoch).record(record);
        for change in values {
            commit = match change.value {
                Some(value) => commit.set(change.group, change.key, value),
                None => commit.remove(change.group, change.key),
            };
        }
        for outcome in outcomes {
            commit = match outcome.rest {
                Rest::DeadLetterHead => commit.dead_letter_head(outcome.group, outcome.done_through),
                Rest::Park => commit.park(outcome.group, outcome.done_through),
            };
        }
        Ok(self.reader(reader).commit(&commit).await?.commit_number)
    }

    async fn commit_reader(&self, reader: &ReaderRef, commit: &ReaderCommit) -> Result<(), PortError> {
        let ReaderCommit { commit_id, values } = commit.clone();
        let mut commit = ValuesCommit::new(commit_id);
        for (key, value) in values {
            commit = match value {
                Some(value) => commit.set(key, value),
                None => commit.remove(key),
            };
        }
        self.reader(reader).commit_values(&commit).await?;
        Ok(())
    }

    async fn read_values(&self, reader: &ReaderRef, key_prefix: &str, after: &str) -> Result<ValuesPage, PortError> {
        let request = v1::ReadValuesRequest {
            queue: reader.queue.clone(),
            reader: reader.reader.clone(),
            message_group_id: None,
            key_prefix: key_prefix.to_owned(),
            after: after.to_owned(),
            max_results: 1_000,
        };
        let page = self.0.read_values(request).await?;
        let values = page.values.into_iter().map(|value| (value.key, value.value.into())).collect();
        Ok(ValuesPage { values, next: Some(page.next).filter(|next| !next.is_empty()) })
    }

    async fn abandon(&self, reader: &ReaderRef) -> Result<(), PortError> {
        let ReaderRef { queue, queue_generation, reader, reader_generation } = reader.clone();
        let (queue_generation, reader_generation) = (Some(queue_generation), Some(reader_generation));
        let request = v1::AbandonRequest { queue, queue_generation, reader, reader_generation, number: 0 };
        self.0.abandon(request).await?;
        Ok(())
    }

    async fn describe_reader(&self, reader: &ReaderRef) -> Result<ReaderState, PortError> {
        let described = self.0.describe_reader(&reader.queue, &reader.reader).await?;
        Ok(ReaderState {
            reader_generation: described.reader_generation,
            open_claims: all(described.open_claims),
            last_number: described.last_number,
            commits: described.commits,
        })
    }

    async fn describe_queue(&self, reader: &ReaderRef) -> Result<QueueState, PortError> {
        let described = self.0.describe_queue(&reader.queue).await?;
        let messages = described.messages_available
            + described.messages_in_flight
            + described.messages_claimed
            + described.messages_delayed;
        let parked = match described.groups_parked {
            0 => 0,
            _ => self.0.list_parked_groups(&reader.queue).await?.iter().map(|group| group.messages).sum(),
        };
        let policy = described.attributes.and_then(|attributes| attributes.redrive_policy);
        let max_receive_count =
            policy.filter(|policy| !policy.dead_letter_queue.is_empty()).map(|policy| policy.max_receive_count);
        Ok(QueueState { queue_generation: described.queue_generation, messages, parked, max_receive_count })
    }
}
