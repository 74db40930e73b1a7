//! Receiving: which queue, how many, how long. What is done with a message is `delivery`'s, receiving as messages come
//! `consume_stream`'s.

use std::{collections::VecDeque, time::Duration};

use lockstep_proto::v1;
use uuid::Uuid;

use crate::{
    Client, ConsumeStream, Error,
    attributes::seconds,
    delivery::{Deleted, Delivery, Source},
};

/// Why a repeat was refused: what the first try delivered is not held as it was any more (R7).
const TOO_LATE: &str = "RECEIVE_ATTEMPT_INVALID";
/// The most entries of one call (H1).
const MAX_ENTRIES: usize = 1_000;

/// Options of a [`Consumer`]; see [`Client::consumer`].
#[derive(Clone, Debug)]
pub struct ConsumerBuilder {
    client: Client,
    queue: String,
    max_messages: u32,
    wait: Option<Duration>,
    visibility_timeout: Option<Duration>,
    attempt_id: Option<String>,
    at_most: Option<u64>,
}

impl ConsumerBuilder {
    pub(crate) fn new(client: Client, queue: String) -> Self {
        ConsumerBuilder {
            client,
            queue,
            max_messages: 10,
            wait: Some(Duration::from_secs(20)),
            visibility_timeout: None,
            attempt_id: None,
            at_most: None,
        }
    }

    /// The most messages of one receive, 1 to 1,000 (H1), or that a stream has delivered ahead, 1 to 10,000; 10 unless said
    /// otherwise.
    #[must_use]
    pub fn max_messages(mut self, max: u32) -> Self {
        self.max_messages = max;
        self
    }

    /// How long a receive waits for a first message: 0 to 20 s, in whole seconds, parts rounded up; 20 s unless said
    /// otherwise (R1).
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Waits as long as the queue's own attribute says.
    #[must_use]
    pub fn wait_as_the_queue_says(mut self) -> Self {
        self.wait = None;
        self
    }

    /// How long a receive holds its messages: 0 to 12 h, in whole seconds, parts rounded up; the queue's own attribute
    /// unless said otherwise (R6).
    #[must_use]
    pub fn visibility_timeout(mut self, timeout: Duration) -> Self {
        self.visibility_timeout = Some(timeout);
        self
    }

    /// Receives under this attempt id (1 to 128 characters as a message group, L5) instead of a new random one each
    /// time: for 5 minutes every receive answers what the first one delivered (R7). For a caller that wants the lost
    /// answer of its own former life.
    #[must_use]
    pub fn attempt_id(mut self, id: impl Into<String>) -> Self {
        self.attempt_id = Some(id.into());
        self
    }

    /// Has a stream deliver so many messages in all, and never lease more than are wanted; without end unless said
    /// otherwise. A message whose delivery is lost on the way does not count.
    #[must_use]
    pub fn at_most(mut self, messages: u64) -> Self {
        self.at_most = Some(messages);
        self
    }

    /// A stream that delivers as messages come, without a question for each; of the options `max_messages`,
    /// `at_most` and `visibility_timeout` count. It has no attempt id: what is lost on the way comes again when its lease ends, where a
    /// [`Consumer`] asks again and gets the same (R7). Needs a running tokio runtime.
    #[must_use]
    pub fn stream(self) -> ConsumeStream {
        let ConsumerBuilder { client, queue, max_messages, visibility_timeout, at_most, .. } = self;
        let at_most = at_most.unwrap_or(u64::MAX);
        ConsumeStream::open(client, queue, visibility_timeout.map(seconds), max_messages, at_most)
    }

    /// The consumer. Nothing is asked of the broker yet.
    #[must_use]
    pub fn build(self) -> Consumer {
        Consumer { options: self, received: VecDeque::new() }
    }
}

/// Takes messages of one queue.
#[derive(Clone, Debug)]
pub struct Consumer {
    options: ConsumerBuilder,
    received: VecDeque<Delivery>,
}

impl Consumer {
    /// Takes messages, as many as possible of the oldest free group first, then of the next (O1); none when nothing
    /// came within the wait (R1).
    ///
    /// A lost answer is asked for again, under an attempt id that each receive makes for itself: the same messages come
    /// under the same receipts, hidden anew and not counted (R7). When that is too late, because a lease ended meanwhile,
    /// another receive is made. Calling it again after [`Error::Unavailable`] is right; order within a group is safe,
    /// because a held group waits.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when no answer came within the retry policy; [`Error::Refused`] for a missing queue or a
    /// bad option, and with the reason `RECEIVE_ATTEMPT_INVALID` when an attempt id that the caller chose cannot be
    /// repeated any more.
    pub async fn receive(&self) -> Result<Vec<Delivery>, Error> {
        loop {
            match self.receive_once().await {
                Err(Error::Refused { reason, .. }) if reason == TOO_LATE && self.options.attempt_id.is_none() => {}
                answered => return answered,
            }
        }
    }

    async fn receive_once(&self) -> Result<Vec<Delivery>, Error> {
        let ConsumerBuilder { client, queue, max_messages, wait, visibility_timeout, attempt_id, .. } = &self.options;
        let request = v1::ReceiveRequest {
            queue: queue.clone(),
            max_messages: *max_messages,
            visibility_timeout_seconds: visibility_timeout.map(seconds),
            wait_seconds: wait.map(seconds),
            attribute_names: Vec::new(),
            receive_request_attempt_id: attempt_id.clone().unwrap_or_else(|| Uuid::new_v4().to_string()),
        };
        let deliveries = client.receive(request).await?;
        let source = Source::new(client.clone(), queue.clone(), None);
        Ok(deliveries.into_iter().map(|read| Delivery::new(&source, read)).collect())
    }

    /// The next message, however long it takes to come. What one receive brings is handed out one by one while its
    /// leases run: with slow work, ask for fewer at a time or for longer leases. Dropping the future between receives
    /// loses nothing; dropping it during one is like a lost answer.
    ///
    /// # Errors
    /// As [`Consumer::receive`]; the next call goes on.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        loop {
            if let Some(delivery) = self.received.pop_front() {
                return Ok(delivery);
            }
            self.received = self.receive().await?.into();
        }
    }

    /// Finishes many deliveries of this queue in calls of at most 1,000, each judged as a set, in the given order. One
    /// result for each, in order; when a call gets no answer, its entries and the later ones carry its error.
    pub async fn delete_all(&self, deliveries: &[Delivery]) -> Vec<Result<Deleted, Error>> {
        let mut results = Vec::with_capacity(deliveries.len());
        for part in deliveries.chunks(MAX_ENTRIES) {
            let handles = part.iter().map(|delivery| delivery.receipt_handle.clone()).collect();
            match self.options.client.delete_batch(&self.options.queue, handles).await {
                Ok(some) => results.extend(some),
                Err(error) => {
                    results.resize(deliveries.len(), Err(error));
                    break;
                }
            }
        }
        results
    }
}
