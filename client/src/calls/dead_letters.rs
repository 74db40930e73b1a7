//! The service DeadLetters: who sends dead letters where, and their way back (Q1 to Q7).

use std::time::Duration;

use lockstep_proto::v1;

use crate::{Client, Error, retry::Repeat};

const NO_WAIT: Duration = Duration::ZERO;

impl Client {
    /// The queues that name this one as their dead-letter queue, in the order of names. Only reads, so it is repeated
    /// freely.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue; [`Error::Protocol`] when the pages do not advance.
    pub async fn list_dead_letter_source_queues(&self, queue: &str) -> Result<Vec<String>, Error> {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let request = v1::ListDeadLetterSourceQueuesRequest { queue: queue.to_owned(), max_results: 0, after };
            let call = || {
                let (mut rpc, request) = (self.dead_letters(), request.clone());
                async move { rpc.list_dead_letter_source_queues(request).await }
            };
            let page = self.call(Repeat::Always, NO_WAIT, call).await?;
            all.extend(page.queues);
            if page.next.is_empty() {
                return Ok(all);
            }
            if page.next <= request.after {
                return Err(Error::Protocol(format!("the page after {:?} ends at {:?}", request.after, page.next)));
            }
            after = page.next;
        }
    }
}
