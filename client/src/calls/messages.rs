//! The service Messages: sending, receiving and finishing, without order or memory.

use std::time::{Duration, SystemTime};

use lockstep_proto::v1;

use super::{part, same_length};
use crate::{
    Client, Error,
    delivery::{Deleted, instant},
    message::{Sent, send_result},
    retry::{Limit, Repeat},
};

const NO_WAIT: Duration = Duration::ZERO;

/// No send is repeated later than this after its first try, whatever the policy: 30 s less than the shortest possible
/// deduplication window (H11).
const SAFE_SEND_LIMIT: Duration = Duration::from_secs(270);

impl Client {
    /// Sends one message. Its key makes it safe to repeat, for at most 270 s (H11): the deduplication id, or without
    /// one the hash of the body (S3). Nothing here keeps the order of a group; a [`Producer`](crate::Producer) does.
    ///
    /// # Errors
    /// [`Error::Refused`] with the rule; [`Error::Unavailable`] when the message may or may not be stored.
    pub async fn send(&self, request: v1::SendRequest) -> Result<Sent, Error> {
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.send(request).await }
        };
        let limit = Limit::Total(self.retry_policy().time_limit.min(SAFE_SEND_LIMIT));
        let answer = self.call_within(Repeat::Always, limit, call).await?;
        part(answer.accepted, "accepted message").map(Sent::from)
    }

    /// Sends 1 to 1,000 messages of at most 1 MiB of bodies and ids (H1), and answers one result for each, in order.
    /// A refused entry refuses the later entries of its group. Repeated as [`Client::send`] is.
    ///
    /// # Errors
    /// [`Error::Refused`] when the call as a whole was turned away: no entry was accepted.
    pub async fn send_batch(&self, request: v1::SendBatchRequest) -> Result<Vec<Result<Sent, Error>>, Error> {
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.send_batch(request).await }
        };
        let limit = Limit::Total(self.retry_policy().time_limit.min(SAFE_SEND_LIMIT));
        let answer = self.call_within(Repeat::Always, limit, call).await?;
        same_length(answer.results.len(), request.entries.len())?;
        Ok(answer.results.into_iter().map(send_result).collect())
    }

    /// Takes messages: as many as possible of the oldest free group first, then of the next (O1). An answer holds at
    /// most 3 MiB of bodies (H1), and none when nothing came within the wait (R1).
    ///
    /// Repeated under its attempt id: for 5 minutes the same id answers the same messages under the same receipts
    /// (R7). Without an id it is never repeated once it was sent, because a second receive would take others, and those
    /// of the lost answer stay held until their leases end.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when its answer was lost; [`Error::Refused`] for a missing queue or a bad value.
    pub async fn receive(&self, request: v1::ReceiveRequest) -> Result<Vec<v1::Delivery>, Error> {
        // 20 s is the longest that the queue's own setting makes a receive wait (R1).
        let wait = Duration::from_secs(request.wait_seconds.unwrap_or(20).into());
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.receive(request).await }
        };
        let repeat = if request.receive_request_attempt_id.is_empty() { Repeat::Unsent } else { Repeat::Always };
        Ok(self.call(repeat, wait, call).await?.deliveries)
    }

    /// Finishes a delivery. Repeating it answers that the message is gone (R4).
    ///
    /// # Errors
    /// [`Error::Refused`] when the lease has ended (R3), and on a strict queue when an earlier message of the group
    /// is not deleted yet.
    pub async fn delete(&self, queue: &str, receipt_handle: &str) -> Result<Deleted, Error> {
        let request = v1::DeleteRequest { queue: queue.to_owned(), receipt_handle: receipt_handle.to_owned() };
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.delete(request).await }
        };
        self.call(Repeat::Always, NO_WAIT, call).await.map(Deleted::from)
    }

    /// Finishes 1 to 1,000 deliveries, judged as a set: their order does not matter. One result for each, in order.
    ///
    /// # Errors
    /// [`Error::Refused`] when the call as a whole was turned away; for entries as [`Client::delete`].
    pub async fn delete_batch(
        &self,
        queue: &str,
        receipt_handles: Vec<String>,
    ) -> Result<Vec<Result<Deleted, Error>>, Error> {
        let request = v1::DeleteBatchRequest { queue: queue.to_owned(), receipt_handles };
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.delete_batch(request).await }
        };
        let answer = self.call(Repeat::Always, NO_WAIT, call).await?;
        same_length(answer.results.len(), request.receipt_handles.len())?;
        let result = |result: v1::DeleteResult| match result.outcome {
            Some(v1::delete_result::Outcome::Deleted(deleted)) => Ok(deleted.into()),
            Some(v1::delete_result::Outcome::Refused(refusal)) => Err(Error::from_refusal(refusal)),
            None => Err(Error::protocol("a DeleteResult without an outcome")),
        };
        Ok(answer.results.into_iter().map(result).collect())
    }

    /// Sets a delivery's lease to `timeout` seconds (0 to 43,200) from now; 0 gives the message back (R5, R6). Answers
    /// when it becomes visible. Repeating it only counts from a later now; a repetition that finds its message given
    /// back is refused.
    ///
    /// # Errors
    /// [`Error::Refused`] when the lease has ended (R3, R5) or would exceed 12 h in all (R6).
    pub async fn change_visibility(
        &self,
        queue: &str,
        receipt_handle: &str,
        timeout: u32,
    ) -> Result<SystemTime, Error> {
        let entry =
            v1::VisibilityEntry { receipt_handle: receipt_handle.to_owned(), visibility_timeout_seconds: timeout };
        let request = v1::ChangeVisibilityRequest { queue: queue.to_owned(), entry: Some(entry) };
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.change_visibility(request).await }
        };
        Ok(instant(self.call(Repeat::Always, NO_WAIT, call).await?.visible_unix_ms))
    }

    /// As [`Client::change_visibility`] for 1 to 1,000 deliveries; one result for each, in order.
    ///
    /// # Errors
    /// [`Error::Refused`] when the call as a whole was turned away.
    pub async fn change_visibility_batch(
        &self,
        queue: &str,
        entries: Vec<v1::VisibilityEntry>,
    ) -> Result<Vec<Result<SystemTime, Error>>, Error> {
        let request = v1::ChangeVisibilityBatchRequest { queue: queue.to_owned(), entries };
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.change_visibility_batch(request).await }
        };
        let answer = self.call(Repeat::Always, NO_WAIT, call).await?;
        same_length(answer.results.len(), request.entries.len())?;
        let result = |result: v1::VisibilityResult| match result.outcome {
            Some(v1::visibility_result::Outcome::Changed(changed)) => Ok(instant(changed.visible_unix_ms)),
            Some(v1::visibility_result::Outcome::Refused(refusal)) => Err(Error::from_refusal(refusal)),
            None => Err(Error::protocol("a VisibilityResult without an outcome")),
        };
        Ok(answer.results.into_iter().map(result).collect())
    }

    /// Looks at messages without taking them: no lease, no receive counted. Only reads, so it is repeated freely.
    ///
    /// # Errors
    /// [`Error::Refused`] for a missing queue or a bad value.
    pub async fn peek(&self, request: v1::PeekRequest) -> Result<Vec<v1::PeekedMessage>, Error> {
        let wait = Duration::from_secs(request.wait_seconds.into());
        let call = || {
            let (mut rpc, request) = (self.messages(), request.clone());
            async move { rpc.peek(request).await }
        };
        Ok(self.call(Repeat::Always, wait, call).await?.messages)
    }
}
