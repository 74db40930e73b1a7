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

    /// Starts a task that moves the messages of a dead-letter queue on, oldest first: to a destination, or each to the
    /// queue that it was dead-lettered from last; at most `rate` in a second, 500 when 0. Its handle. Never repeated once
    /// it was sent: ask [`Self::list_message_move_tasks`] after [`Error::Unavailable`].
    ///
    /// # Errors
    /// [`Error::Refused`] when the source is nobody's dead-letter queue, has a running task, or a queue is not there.
    pub async fn start_message_move_task(
        &self,
        source: &str,
        destination: Option<&str>,
        rate: u32,
    ) -> Result<String, Error> {
        let request = v1::StartMessageMoveTaskRequest {
            source_queue: source.to_owned(),
            destination_queue: destination.unwrap_or_default().to_owned(),
            max_messages_per_second: rate,
        };
        let call = || {
            let (mut rpc, request) = (self.dead_letters(), request.clone());
            async move { rpc.start_message_move_task(request).await }
        };
        Ok(self.call(Repeat::Unsent, NO_WAIT, call).await?.task_handle)
    }

    /// Ends a running task; how many messages it had moved, which stay moved. Never repeated once it was sent, because
    /// a repeat would be told that the task has ended.
    ///
    /// # Errors
    /// [`Error::Refused`] when the task is not there, or has ended.
    pub async fn cancel_message_move_task(&self, handle: &str) -> Result<u64, Error> {
        let request = v1::CancelMessageMoveTaskRequest { task_handle: handle.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.dead_letters(), request.clone());
            async move { rpc.cancel_message_move_task(request).await }
        };
        Ok(self.call(Repeat::Unsent, NO_WAIT, call).await?.messages_moved)
    }

    /// The newest tasks of a dead-letter queue, the newest first; at most `most`, 1 to 10. Only reads, so it is repeated
    /// freely.
    ///
    /// # Errors
    /// [`Error::Refused`] when there is no such queue.
    pub async fn list_message_move_tasks(&self, source: &str, most: u32) -> Result<Vec<v1::MessageMoveTask>, Error> {
        let request = v1::ListMessageMoveTasksRequest { source_queue: source.to_owned(), max_results: most };
        let call = || {
            let (mut rpc, request) = (self.dead_letters(), request.clone());
            async move { rpc.list_message_move_tasks(request).await }
        };
        Ok(self.call(Repeat::Always, NO_WAIT, call).await?.tasks)
    }
}
