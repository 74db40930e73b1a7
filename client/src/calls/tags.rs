//! The service Queues: tags (L12).

use std::{collections::BTreeMap, time::Duration};

use lockstep_proto::v1;

use crate::{Client, Error, retry::Repeat};

const NO_WAIT: Duration = Duration::ZERO;

/// As they travel.
pub(super) fn wire(tags: &BTreeMap<String, String>) -> Vec<v1::Tag> {
    tags.iter().map(|(key, value)| v1::Tag { key: key.clone(), value: value.clone() }).collect()
}

impl Client {
    /// Adds tags to a queue, 1 to 50 at once and at most 50 in all: keys of 1 to 128 characters, values of 0 to 256. A
    /// key that is there gets the new value, which makes it safe to repeat.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue, for a bad key or value, and when it would have more than 50.
    pub async fn tag_queue(&self, queue: &str, tags: &BTreeMap<String, String>) -> Result<(), Error> {
        let request = v1::TagQueueRequest { queue: queue.to_owned(), tags: wire(tags) };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.tag_queue(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await.map(|_| ())
    }

    /// Removes the tags with these keys, 1 to 50 at once; a key that is not there is passed over, which makes it safe to
    /// repeat.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue, and for a bad key.
    pub async fn untag_queue(&self, queue: &str, keys: &[String]) -> Result<(), Error> {
        let request = v1::UntagQueueRequest { queue: queue.to_owned(), keys: keys.to_vec() };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.untag_queue(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await.map(|_| ())
    }

    /// A queue's tags by key. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue.
    pub async fn list_queue_tags(&self, queue: &str) -> Result<BTreeMap<String, String>, Error> {
        let request = v1::ListQueueTagsRequest { queue: queue.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.queues(), request.clone());
            async move { rpc.list_queue_tags(request).await }
        };
        let answer = self.call(Repeat::Always, NO_WAIT, call).await?;
        Ok(answer.tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }
}
