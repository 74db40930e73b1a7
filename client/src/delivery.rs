//! A received message and what its holder may do with it: finish, extend, give back. How it was received is
//! `consumer`'s.

use std::{
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use lockstep_proto::v1;

use tokio::sync::mpsc;

use crate::{
    Client, Error, Mark,
    attributes::seconds,
    consume_stream::{Ask, Done},
    outcomes::Outcomes,
};

/// A message held by this consumer until [`visible_until`](Delivery::visible_until). Dropping it does nothing: the
/// lease then runs out by its rule.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// A UUID of version 8, the same at every delivery (H9).
    pub message_id: String,
    /// The message's group.
    pub group: String,
    /// The key it was sent under.
    pub deduplication_id: String,
    /// Strictly rising in the queue (S12).
    pub sequence_number: u64,
    /// The body.
    pub body: Bytes,
    /// The grant's epoch, from one rising counter of the queue: a sink that stores it can refuse a lower one (B2).
    pub epoch: u64,
    /// How often it was received, this time included.
    pub receive_count: u32,
    /// When it was sent, by the broker's clock.
    pub sent_at: SystemTime,
    /// When it was received for the first time, by the broker's clock.
    pub first_received_at: SystemTime,
    /// When the lease ended at the time of the receive, by the broker's clock; [`Delivery::extend`] answers the new
    /// end.
    pub visible_until: SystemTime,
    /// Proves this delivery to the broker; dead when the lease ends (R3).
    pub receipt_handle: String,
    /// Set where it is a dead letter: the queue it came from (R8).
    pub dead_letter_source: Option<String>,
    /// Its attributes, in the order in which they were given (L7).
    pub attributes: Vec<v1::MessageAttribute>,
    /// The system attribute `AWSTraceHeader`; empty: none.
    pub trace_header: String,
    source: Arc<Source>,
}

/// Where deliveries came from, and what is done with them goes.
#[derive(Debug)]
pub(crate) struct Source {
    queue: String,
    client: Client,
    /// The stream that they came on, if they did, while that is there.
    stream: Option<mpsc::WeakUnboundedSender<Ask>>,
}

impl Source {
    pub(crate) fn new(client: Client, queue: String, stream: Option<mpsc::WeakUnboundedSender<Ask>>) -> Arc<Self> {
        Arc::new(Source { queue, client, stream })
    }
}

/// A question to a stream, and where its answer comes.
type Asked = (Ask, Arc<Outcomes<Result<Done, Error>>>);

/// The answer to a delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deleted {
    /// The message was gone before (R4), maybe by an earlier try of this delete.
    pub already_gone: bool,
}

impl From<v1::DeleteResponse> for Deleted {
    fn from(v1::DeleteResponse { already_gone }: v1::DeleteResponse) -> Self {
        Deleted { already_gone }
    }
}

/// The broker's milliseconds of Unix time as an instant; an absurd number becomes the epoch.
pub(crate) fn instant(unix_ms: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_millis(unix_ms)).unwrap_or(UNIX_EPOCH)
}

impl Delivery {
    pub(crate) fn new(source: &Arc<Source>, read: v1::Delivery) -> Self {
        Delivery {
            message_id: read.message_id,
            group: read.message_group_id,
            deduplication_id: read.message_deduplication_id,
            sequence_number: read.sequence_number,
            body: read.body,
            epoch: read.epoch,
            receive_count: read.receive_count,
            sent_at: instant(read.sent_unix_ms),
            first_received_at: instant(read.first_received_unix_ms),
            visible_until: instant(read.visible_unix_ms),
            receipt_handle: read.receipt_handle,
            dead_letter_source: Some(read.dead_letter_source).filter(|source| !source.is_empty()),
            attributes: read.attributes,
            trace_header: read.aws_trace_header,
            source: Arc::clone(source),
        }
    }

    /// Asks the stream; `None` when there is none, or none any more: a handle is as good in a call.
    async fn ask_stream(&self, ask: impl FnOnce() -> Asked) -> Option<Result<Done, Error>> {
        let stream = self.source.stream.as_ref()?.upgrade()?;
        let (ask, answer) = ask();
        stream.send(ask).ok()?;
        // Not kept: a stream ends when its owner lets it go.
        drop(stream);
        std::future::poll_fn(|context| answer.poll_one(0, context)).await
    }

    async fn change(&self, timeout: u32) -> Result<SystemTime, Error> {
        let ask = || Ask::to_change(self.receipt_handle.clone(), timeout);
        match self.ask_stream(ask).await {
            Some(done) => done.map(Done::visible_until),
            None => {
                let Source { client, queue, .. } = &*self.source;
                client.change_visibility(queue, &self.receipt_handle, timeout).await
            }
        }
    }

    /// What a sink keeps to refuse a consumer that holds the group no more, and to apply each message once (B2).
    #[must_use]
    pub fn mark(&self) -> Mark {
        Mark { epoch: self.epoch, sequence_number: self.sequence_number }
    }

    /// Finishes the message. Tried until it is answered, within the client's retry policy; repeating it is harmless
    /// (R4).
    ///
    /// # Errors
    /// [`Error::Refused`] when the lease has ended (R3): the message will be delivered again. On a strict queue also
    /// when an earlier message of its group is not deleted yet; the lease stays as it was.
    pub async fn delete(&self) -> Result<Deleted, Error> {
        match self.ask_stream(|| Ask::to_delete(self.receipt_handle.clone())).await {
            Some(done) => done.map(|done| Deleted { already_gone: done.already_gone() }),
            None => self.source.client.delete(&self.source.queue, &self.receipt_handle).await,
        }
    }

    /// Lets the lease end `timeout` from now (R6), whole seconds, parts rounded up, at most 12 h since the receive; on
    /// a strict queue the later messages of this grant are extended at least as far. Answers the new end by the
    /// broker's clock.
    ///
    /// # Errors
    /// [`Error::Refused`] when the lease has ended (R3, R5) or would exceed 12 h (R6).
    pub async fn extend(&self, timeout: Duration) -> Result<SystemTime, Error> {
        self.change(seconds(timeout)).await
    }

    /// Gives the message back: it is delivered again at once, on a strict queue together with every later message of
    /// its group that this consumer holds.
    ///
    /// # Errors
    /// [`Error::Refused`] when the lease has ended (R3, R5), also when it was an earlier, unanswered try that gave the
    /// message back.
    pub async fn give_back(&self) -> Result<(), Error> {
        self.change(0).await.map(|_| ())
    }
}
