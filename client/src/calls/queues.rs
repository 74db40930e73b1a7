//! The service Queues: making, describing, changing and removing queues.

use std::{collections::BTreeMap, time::Duration};

use lockstep_proto::v1;

use super::{part, tags};
use crate::{Client, Error, QueueAttributes, retry::Repeat};

const NO_WAIT: Duration = Duration::ZERO;

/// What [`Client::create_queue`] found or made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedQueue {
    /// A queue made anew under an old name has another generation (B8).
    pub queue_generation: u64,
    /// False when the queue was there already, or an earlier try of this call made it.
    pub created: bool,
}

/// Some of the queues, in the order of their names.
#[derive(Clone, Debug, PartialEq)]
pub struct QueuePage {
    /// At most as many as were asked for.
    pub queues: Vec<v1::QueueDescription>,
    /// Pass it as `after` to get the next page; `None` on the last one.
    pub next: Option<String>,
}

impl Client {
    /// Creates a queue, 1 to 80 of `[A-Za-z0-9_-]` with `.fifo` at its end (L1). The same name with equal given
    /// attributes answers the queue that is there (A1), which makes it safe to repeat.
    ///
    /// # Errors
    /// [`Error::Refused`] for a bad name or attribute, and when the queue is there with other attributes.
    pub async fn create_queue(&self, queue: &str, attributes: QueueAttributes) -> Result<CreatedQueue, Error> {
        self.create_tagged_queue(queue, attributes, &BTreeMap::new()).await
    }

    /// The same, with at most 50 tags; those of a queue that is there already stay as they are (L12).
    ///
    /// # Errors
    /// As [`Client::create_queue`], and for bad tags.
    pub async fn create_tagged_queue(
        &self,
        queue: &str,
        attributes: QueueAttributes,
        tags: &BTreeMap<String, String>,
    ) -> Result<CreatedQueue, Error> {
        let (queue, attributes) = (queue.to_owned(), Some(attributes.into()));
        let request = v1::CreateQueueRequest { queue, attributes, tags: tags::wire(tags) };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.create_queue(request).await }
        };
        let v1::CreateQueueResponse { queue_generation, created } = self.call(Repeat::Always, NO_WAIT, call).await?;
        Ok(CreatedQueue { queue_generation, created })
    }

    /// A queue's attributes, generation and counts. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue.
    pub async fn describe_queue(&self, queue: &str) -> Result<v1::QueueDescription, Error> {
        let request = v1::DescribeQueueRequest { queue: queue.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.describe_queue(request).await }
        };
        part(self.call(Repeat::Always, NO_WAIT, call).await?.queue, "queue")
    }

    /// At most `max_results` (1 to 1,000; 0 means 1,000, L13) queues whose name begins with `prefix` and comes after
    /// `after`; `""` begins at the first. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] for a `max_results` over its limit.
    pub async fn list_queues_page(&self, prefix: &str, after: &str, max_results: u32) -> Result<QueuePage, Error> {
        let request = v1::ListQueuesRequest { prefix: prefix.to_owned(), max_results, after: after.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.list_queues(request).await }
        };
        let v1::ListQueuesResponse { queues, next } = self.call(Repeat::Always, NO_WAIT, call).await?;
        Ok(QueuePage { queues, next: (!next.is_empty()).then_some(next) })
    }

    /// Every queue whose name begins with `prefix`, in the order of names, read page by page.
    ///
    /// # Errors
    /// As [`Client::list_queues_page`]; [`Error::Protocol`] when the pages do not advance.
    pub async fn list_queues(&self, prefix: &str) -> Result<Vec<v1::QueueDescription>, Error> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = self.list_queues_page(prefix, &after, 0).await?;
            all.extend(page.queues);
            match page.next {
                None => return Ok(all),
                Some(next) if next > after => after = next,
                Some(next) => return Err(Error::Protocol(format!("the page after {after:?} ends at {next:?}"))),
            }
        }
    }

    /// Changes attributes; an absent one stays. Repeating it sets the same values again.
    ///
    /// # Errors
    /// [`Error::Refused`] for a bad value, and for one that is fixed at creation.
    pub async fn set_queue_attributes(&self, queue: &str, attributes: QueueAttributes) -> Result<(), Error> {
        let request = v1::SetQueueAttributesRequest { queue: queue.to_owned(), attributes: Some(attributes.into()) };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.set_queue_attributes(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await.map(|_| ())
    }

    /// Removes every message that no claim holds and forgets the deduplication ids (A3, S5, B8); answers how many
    /// messages went. With a generation it is refused when the queue was made anew since.
    ///
    /// Never repeated once it was sent: a second purge would also take the messages sent after the first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its answer was lost; [`Error::Refused`] for a missing or younger queue.
    pub async fn purge_queue(&self, queue: &str, queue_generation: Option<u64>) -> Result<u64, Error> {
        let request = v1::PurgeQueueRequest { queue: queue.to_owned(), queue_generation };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.purge_queue(request).await }
        };
        Ok(self.call(Repeat::Unsent, NO_WAIT, call).await?.purged)
    }

    /// Removes the queue with its messages, readers and values; its generation ends (B8). With a generation it is
    /// refused when the queue was made anew since.
    ///
    /// Never repeated once it was sent: a second call could meet a queue made anew.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its answer was lost; [`Error::Refused`] for a missing or younger queue.
    pub async fn delete_queue(&self, queue: &str, queue_generation: Option<u64>) -> Result<(), Error> {
        let request = v1::DeleteQueueRequest { queue: queue.to_owned(), queue_generation };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.delete_queue(request).await }
        };
        self.call(Repeat::Unsent, NO_WAIT, call).await.map(|_| ())
    }
    /// Why a queue, a group or a message delivers nothing now, or that it would (B4). Only reads, so it is repeated
    /// freely.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue, or no message of that id; a message that is gone is explained
    /// by its sequence number.
    pub async fn explain(&self, request: v1::ExplainRequest) -> Result<v1::ExplainResponse, Error> {
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.explain(request).await }
        };
        let answer = self.call(Repeat::Always, NO_WAIT, call).await?;
        part(answer.explanation.as_ref(), "explanation")?;
        Ok(answer)
    }
}
