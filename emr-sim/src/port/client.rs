//! The real broker behind the [`Port`], through the client library. Conversions only: no decision, no retrying (that is
//! `retry`'s, so every call here is tried once).

use std::time::Duration;

use lockstep_client::{Client, ClaimAnswer, ClaimItem, Error, RetryPolicy, v1};

use super::{
    ClaimCommit, ClaimContents, ClaimLimits, Claimed, ClaimedMessage, OpenClaim, OpenedReader, Port, PortError,
    QueueState, ReaderCommit, ReaderRef, ReaderState, Reason, StoredValue, ValuesPage,
};
use crate::identity::Identity;

/// Values of one page: as many as the broker gives at once.
const PAGE: u32 = 1_000;

/// A broker at an endpoint.
#[derive(Debug, Clone)]
pub struct ClientPort {
    client: Client,
}

impl ClientPort {
    /// Names the broker; the first call connects. A connection may take `patience` to come about.
    ///
    /// # Errors
    /// [`PortError::Unavailable`] when the endpoint is no address.
    pub fn connect(endpoint: &str, patience: Duration) -> Result<Self, PortError> {
        let once = RetryPolicy { time_limit: Duration::ZERO, ..RetryPolicy::default() };
        let builder = Client::builder(endpoint).retry(once).connect_timeout(patience);
        Ok(Self { client: builder.connect_lazy()? })
    }
}

impl From<Error> for PortError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { reason, message, .. } => Self::Refused { reason: Reason::parse(&reason), message },
            Error::Unavailable { .. }
            | Error::Unreachable { .. }
            | Error::OutcomeUnknown { .. }
            | Error::Protocol(_) => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<v1::OpenClaim> for OpenClaim {
    fn from(claim: v1::OpenClaim) -> Self {
        Self { number: claim.number, epoch: claim.epoch, messages: claim.messages.into() }
    }
}

fn open_claims(claims: Vec<v1::OpenClaim>) -> Vec<OpenClaim> {
    claims.into_iter().map(OpenClaim::from).collect()
}

impl Port for ClientPort {
    async fn open_reader(
        &self,
        queue: &str,
        queue_generation: u64,
        reader: &str,
        instance: &str,
    ) -> Result<OpenedReader, PortError> {
        let request = v1::OpenReaderRequest {
            queue: queue.to_owned(),
            reader: reader.to_owned(),
            instance: instance.to_owned(),
            claim_limit_seconds: None,
            queue_generation: Some(queue_generation),
        };
        let opened = self.client.open_reader_with(request).await?;
        Ok(OpenedReader {
            identity: Identity {
                journal_id: opened.journal_id,
                queue_generation: opened.queue_generation,
                reader_id: opened.reader_id,
            },
            reader_generation: opened.reader_generation,
            open_claims: open_claims(opened.open_claims),
            last_number: opened.last_number,
            commits: opened.commits,
        })
    }

    async fn claim(&self, reader: &ReaderRef, number: u64, limits: ClaimLimits) -> Result<Claimed, PortError> {
        let request = v1::ClaimRequest {
            queue: reader.queue.clone(),
            queue_generation: reader.queue_generation,
            reader: reader.reader.clone(),
            reader_generation: reader.reader_generation,
            number,
            max_messages: limits.max_messages,
            max_bytes: limits.max_bytes,
            wait_seconds: limits.wait_seconds,
            min_messages: limits.min_messages,
            linger_ms: limits.linger_ms,
        };
        Ok(match self.client.claim(request).await? {
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
        let request = v1::TakeClaimRequest {
            queue: reader.queue.clone(),
            queue_generation: reader.queue_generation,
            reader: reader.reader.clone(),
            reader_generation: reader.reader_generation,
            number,
            worker: worker.to_owned(),
            previous_failed,
        };
        Ok(self.client.take_claim(request).await?.into())
    }

    async fn read_claim(&self, reader: &ReaderRef, number: u64, epoch: u64) -> Result<ClaimContents, PortError> {
        let request = v1::ReadClaimRequest {
            queue: reader.queue.clone(),
            queue_generation: reader.queue_generation,
            reader: reader.reader.clone(),
            number,
            epoch,
            shard: 0,
            shards: 0,
        };
        let mut stream = self.client.read_claim(request).await?;
        let mut contents = ClaimContents::default();
        while let Some(item) = stream.next().await? {
            match item {
                ClaimItem::Value(value) => contents.values.push(StoredValue {
                    group: value.message_group_id.unwrap_or_default(),
                    key: value.key,
                    value: value.value.to_vec(),
                }),
                ClaimItem::Message(message) => contents.messages.push(ClaimedMessage {
                    message_id: message.message_id,
                    group: message.message_group_id,
                    sequence_number: message.sequence_number,
                    body: message.body.to_vec(),
                }),
            }
        }
        Ok(contents)
    }

    async fn commit_claim(&self, reader: &ReaderRef, commit: &ClaimCommit) -> Result<u64, PortError> {
        let target = v1::ClaimTarget {
            reader: reader.reader.clone(),
            reader_generation: reader.reader_generation,
            number: commit.number,
            epoch: commit.epoch,
            record: commit.record.clone().into(),
        };
        let values = commit.values.iter().map(|change| v1::ValueChange {
            message_group_id: Some(change.group.clone()),
            key: change.key.clone(),
            value: change.value.clone().map(Into::into),
        });
        let request = commit_request(
            reader,
            &commit.commit_id,
            v1::commit_request::Target::Claim(target),
            values.collect(),
        );
        Ok(self.client.commit(request).await?.commit_number)
    }

    async fn commit_reader(&self, reader: &ReaderRef, commit: &ReaderCommit) -> Result<(), PortError> {
        let target =
            v1::ReaderTarget { reader: reader.reader.clone(), reader_generation: reader.reader_generation };
        let values = commit.values.iter().map(|(key, value)| v1::ValueChange {
            message_group_id: None,
            key: key.clone(),
            value: value.clone().map(Into::into),
        });
        let request = commit_request(
            reader,
            &commit.commit_id,
            v1::commit_request::Target::Reader(target),
            values.collect(),
        );
        self.client.commit(request).await?;
        Ok(())
    }

    async fn read_values(&self, reader: &ReaderRef, key_prefix: &str, after: &str) -> Result<ValuesPage, PortError> {
        let request = v1::ReadValuesRequest {
            queue: reader.queue.clone(),
            reader: reader.reader.clone(),
            message_group_id: None,
            key_prefix: key_prefix.to_owned(),
            after: after.to_owned(),
            max_results: PAGE,
        };
        let page = self.client.read_values(request).await?;
        Ok(ValuesPage {
            values: page.values.into_iter().map(|value| (value.key, value.value.to_vec())).collect(),
            next: Some(page.next).filter(|next| !next.is_empty()),
        })
    }

    async fn describe_reader(&self, reader: &ReaderRef) -> Result<ReaderState, PortError> {
        let found = self.client.describe_reader(&reader.queue, &reader.reader).await?;
        Ok(ReaderState {
            reader_generation: found.reader_generation,
            open_claims: open_claims(found.open_claims),
            last_number: found.last_number,
            commits: found.commits,
        })
    }

    async fn describe_queue(&self, reader: &ReaderRef) -> Result<QueueState, PortError> {
        let found = self.client.describe_queue(&reader.queue).await?;
        Ok(QueueState {
            queue_generation: found.queue_generation,
            messages: found.messages_available + found.messages_in_flight + found.messages_claimed,
        })
    }
}

fn commit_request(
    reader: &ReaderRef,
    commit_id: &str,
    target: v1::commit_request::Target,
    values: Vec<v1::ValueChange>,
) -> v1::CommitRequest {
    v1::CommitRequest {
        queue: reader.queue.clone(),
        queue_generation: reader.queue_generation,
        commit_id: commit_id.to_owned(),
        target: Some(target),
        values,
        outputs: Vec::new(),
    }
}
