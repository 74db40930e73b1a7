//! A reader's numbers, carried so that no caller has to (B6). It decides nothing: which number to claim, who takes it
//! and when to commit is the pool's business.

use std::{sync::Arc, time::Duration};

use lockstep_proto::v1::{self, commit_request::Target};
use tonic::{Response, Status};

use crate::{
    Client, Error,
    calls::{ClaimAnswer, Committed, OpenedReader},
    claim::{ClaimContents, ClaimOptions, ClaimStream, Shard},
    commit::{Commit, ValuesCommit},
    retry::Repeat,
};

/// A reader's handle: its queue and name and the two generations that fence it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BatchReader {
    client: Client,
    queue: Arc<str>,
    queue_generation: u64,
    reader: Arc<str>,
    reader_generation: u64,
    opened: Option<Arc<OpenedReader>>,
}

impl BatchReader {
    /// The handle of a reader that somebody else opened, from the numbers handed over. Asks nothing of the broker:
    /// numbers that are out of date show at the first call.
    pub fn attach(
        client: Client,
        queue: impl Into<String>,
        queue_generation: u64,
        reader: impl Into<String>,
        reader_generation: u64,
    ) -> Self {
        let (queue, reader) = (queue.into().into(), reader.into().into());
        BatchReader { client, queue, queue_generation, reader, reader_generation, opened: None }
    }

    /// The handle of a reader just opened.
    pub(crate) fn of_opening(client: Client, queue: String, reader: String, opened: OpenedReader) -> Self {
        let (queue_generation, reader_generation) = (opened.queue_generation, opened.reader_generation);
        let attached = BatchReader::attach(client, queue, queue_generation, reader, reader_generation);
        BatchReader { opened: Some(Arc::new(opened)), ..attached }
    }

    /// The reader as it was at its opening; `None` for an attached handle.
    #[must_use]
    pub fn opened(&self) -> Option<&OpenedReader> {
        self.opened.as_deref()
    }

    /// The connection it uses.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// The queue's generation (B8).
    #[must_use]
    pub fn queue_generation(&self) -> u64 {
        self.queue_generation
    }

    /// The reader's name.
    #[must_use]
    pub fn reader(&self) -> &str {
        &self.reader
    }

    /// The reader's generation, which fences older openings.
    #[must_use]
    pub fn reader_generation(&self) -> u64 {
        self.reader_generation
    }

    /// Takes messages under a number: the last one + 1, or one still open, whose messages come again (B6). An empty
    /// claim uses no number, an ended number says how it ended.
    ///
    /// # Errors
    /// As [`Client::claim`].
    pub async fn claim(&self, number: u64, options: ClaimOptions) -> Result<ClaimAnswer, Error> {
        let request = v1::ClaimRequest {
            queue: self.queue.to_string(),
            queue_generation: self.queue_generation,
            reader: self.reader.to_string(),
            reader_generation: self.reader_generation,
            number,
            ..options.request()
        };
        self.client.claim(request).await
    }

    /// Makes a worker (its own instance id) the holder of an open claim and fences the one before it. With
    /// `previous_failed` one receive is counted for every message; repeating the call counts nothing.
    ///
    /// # Errors
    /// As [`Client::take_claim`].
    pub async fn take(&self, number: u64, worker: &str, previous_failed: bool) -> Result<v1::OpenClaim, Error> {
        let request = v1::TakeClaimRequest {
            queue: self.queue.to_string(),
            queue_generation: self.queue_generation,
            reader: self.reader.to_string(),
            reader_generation: self.reader_generation,
            number,
            worker: worker.to_owned(),
            previous_failed,
        };
        self.client.take_claim(request).await
    }

    /// Reads a whole claim into memory. Begun again from its start when the connection breaks in the middle.
    ///
    /// # Errors
    /// As [`Client::read_claim`].
    pub async fn read(&self, number: u64, epoch: u64) -> Result<ClaimContents, Error> {
        self.read_shard(number, epoch, Shard::WHOLE).await
    }

    /// As [`BatchReader::read`], one shard of the claim.
    ///
    /// # Errors
    /// As [`Client::read_claim`].
    pub async fn read_shard(&self, number: u64, epoch: u64, shard: Shard) -> Result<ClaimContents, Error> {
        let request = self.read_request(number, epoch, shard);
        // One try is the stream from its first to its last message. An answer that breaks the API is no failure to be
        // tried again, so it travels inside the success.
        let call = || {
            let (client, mut rpc, request) = (self.client.clone(), self.client.readers(), request.clone());
            async move {
                let stream = rpc.read_claim(request).await?.into_inner();
                match ClaimStream::new(client, stream).collect().await {
                    Err(Error::Unavailable { message }) => Err(Status::unavailable(message)),
                    read => Ok(Response::new(read)),
                }
            }
        };
        self.client.call(Repeat::Always, Duration::ZERO, call).await?
    }

    /// Streams a shard of a claim ([`Shard::WHOLE`] for all of it), for claims too big to hold.
    ///
    /// # Errors
    /// As [`Client::read_claim`].
    pub async fn stream(&self, number: u64, epoch: u64, shard: Shard) -> Result<ClaimStream, Error> {
        self.client.read_claim(self.read_request(number, epoch, shard)).await
    }

    /// Finishes a claim, all or nothing (B1). Repeated under the client's retry policy with its commit id; after
    /// [`Error::Unavailable`] make the same commit again.
    ///
    /// # Errors
    /// As [`Client::commit`].
    pub async fn commit(&self, commit: &Commit) -> Result<Committed, Error> {
        let target = v1::ClaimTarget {
            reader: self.reader.to_string(),
            reader_generation: self.reader_generation,
            number: commit.number,
            epoch: commit.epoch,
            record: commit.record.clone(),
            outcomes: commit.outcomes.clone(),
        };
        let request = v1::CommitRequest {
            queue: self.queue.to_string(),
            queue_generation: self.queue_generation,
            commit_id: commit.commit_id.clone(),
            target: Some(Target::Claim(target)),
            values: commit.values.clone(),
            outputs: commit.outputs.clone(),
        };
        self.client.commit(request).await
    }

    /// Changes reader-wide values; for the controller (B1). Repeated as [`BatchReader::commit`] is.
    ///
    /// # Errors
    /// As [`Client::commit`].
    pub async fn commit_values(&self, commit: &ValuesCommit) -> Result<Committed, Error> {
        let target = v1::ReaderTarget { reader: self.reader.to_string(), reader_generation: self.reader_generation };
        let request = v1::CommitRequest {
            queue: self.queue.to_string(),
            queue_generation: self.queue_generation,
            commit_id: commit.commit_id.clone(),
            target: Some(Target::Reader(target)),
            values: commit.values.clone(),
            outputs: Vec::new(),
        };
        self.client.commit(request).await
    }

    /// Every reader-wide value whose key begins with `prefix`, in the order of keys, read page by page. A reader holds
    /// at most 256 MiB.
    ///
    /// # Errors
    /// As [`Client::read_values`]; [`Error::Protocol`] when the pages do not advance.
    pub async fn read_values(&self, prefix: &str) -> Result<Vec<v1::StoredValue>, Error> {
        self.all_values(None, prefix).await
    }

    /// As [`BatchReader::read_values`], the values of one group.
    ///
    /// # Errors
    /// As [`BatchReader::read_values`].
    pub async fn read_group_values(&self, group: &str, prefix: &str) -> Result<Vec<v1::StoredValue>, Error> {
        self.all_values(Some(group), prefix).await
    }

    /// Burns a claim's number and gives its messages back in order. Answers the burnt numbers: none when an earlier,
    /// unanswered try burnt it.
    ///
    /// # Errors
    /// As [`Client::abandon`]. Number 0 is none and answers [`Error::Protocol`] unasked, because on the wire it would
    /// mean every claim.
    pub async fn abandon(&self, number: u64) -> Result<Vec<u64>, Error> {
        if number == 0 {
            return Err(Error::protocol("0 is no claim's number"));
        }
        self.client.abandon(self.abandon_request(number)).await
    }

    /// Burns every open claim. Not repeated when its answer is lost.
    ///
    /// # Errors
    /// As [`Client::abandon`].
    pub async fn abandon_all(&self) -> Result<Vec<u64>, Error> {
        self.client.abandon(self.abandon_request(0)).await
    }

    fn abandon_request(&self, number: u64) -> v1::AbandonRequest {
        v1::AbandonRequest {
            queue: self.queue.to_string(),
            queue_generation: Some(self.queue_generation),
            reader: self.reader.to_string(),
            reader_generation: Some(self.reader_generation),
            number,
        }
    }

    fn read_request(&self, number: u64, epoch: u64, shard: Shard) -> v1::ReadClaimRequest {
        v1::ReadClaimRequest {
            queue: self.queue.to_string(),
            queue_generation: self.queue_generation,
            reader: self.reader.to_string(),
            number,
            epoch,
            shard: shard.index,
            shards: shard.of,
        }
    }

    async fn all_values(&self, group: Option<&str>, prefix: &str) -> Result<Vec<v1::StoredValue>, Error> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = v1::ReadValuesRequest {
                queue: self.queue.to_string(),
                reader: self.reader.to_string(),
                message_group_id: group.map(str::to_owned),
                key_prefix: prefix.to_owned(),
                after: after.clone(),
                max_results: 1_000,
            };
            let page = self.client.read_values(request).await?;
            all.extend(page.values);
            if page.next.is_empty() {
                return Ok(all);
            }
            if page.next <= after {
                return Err(Error::Protocol(format!("the page after {after:?} ends at {:?}", page.next)));
            }
            after = page.next;
        }
    }
}
