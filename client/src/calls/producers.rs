//! The service Producers: opening, listing and forgetting sessions (B3).

use std::time::Duration;

use lockstep_proto::v1;

use crate::{Client, Error, retry::Repeat};

const NO_WAIT: Duration = Duration::ZERO;

impl Client {
    /// Opens a producer's session, or asks where it stopped (B3). The same instance gets the same epoch back, which
    /// makes it safe to repeat; another one fences it. A [`Session`](crate::Session) is built on this.
    ///
    /// # Errors
    /// [`Error::Refused`] for a bad name, a queue that is not there or was made anew, and at the cap on sessions.
    pub async fn open_producer(&self, request: v1::OpenProducerRequest) -> Result<v1::OpenProducerResponse, Error> {
        let call = || {
            let (mut rpc, request) = (self.producers(), request.clone());
            async move { rpc.open_producer(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await
    }

    /// All sessions of a queue, by name. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue.
    pub async fn list_producers(&self, queue: &str) -> Result<Vec<v1::ProducerDescription>, Error> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = v1::ListProducersRequest { queue: queue.to_owned(), max_results: 0, after };
            let call = || {
                let (mut rpc, request) = (self.producers(), request.clone());
                async move { rpc.list_producers(request).await }
            };
            let page = self.call(Repeat::Always, NO_WAIT, call).await?;
            all.extend(page.producers);
            if page.next.is_empty() {
                return Ok(all);
            }
            after = page.next;
        }
    }

    /// Forgets a session, with `epoch` only while it has that one: a repeat of its messages is new from then on. Not
    /// repeated once it was sent, because a session opened meanwhile would be forgotten too.
    ///
    /// # Errors
    /// [`Error::Refused`] when it is not there, or has another epoch.
    pub async fn forget_producer(&self, queue: &str, producer: &str, epoch: Option<u64>) -> Result<(), Error> {
        let request = v1::ForgetProducerRequest { queue: queue.to_owned(), producer: producer.to_owned(), epoch };
        let call = || {
            let (mut rpc, request) = (self.producers(), request.clone());
            async move { rpc.forget_producer(request).await }
        };
        self.call(Repeat::Unsent, NO_WAIT, call).await.map(drop)
    }
}
