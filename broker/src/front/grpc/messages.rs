//! The service `lockstep.v1.Messages`.

use lockstep_engine::{
    Rejected,
    command::{ChangeVisibility, Delete, QueueRef, Receive},
    limits as engine_limits,
    reply::{Accepted, Deleted},
    words::{QueueGeneration, Receipt, SequenceNumber, Timestamp},
};
use lockstep_proto::v1::{self, messages_server::Messages};
use tonic::{Request, Response, Status, Streaming};

use super::{
    Services, consume,
    errors::{invalid_refusal, refusal, status},
    input, output, produce,
    queues::{Answered, parsed},
    streams::Responses,
};
use crate::{
    failure::{Failure, Invalid},
    handle::{NewMessage, NewSession, Outcomes},
    limits,
};

/// The outcomes of a batch in which some entries meant nothing: those entries are refused, the others were asked.
fn merge<T, R>(
    handles: Vec<Result<T, Invalid>>,
    outcomes: Vec<Result<R, Rejected>>,
) -> impl Iterator<Item = Result<(T, Result<R, Rejected>), Invalid>> {
    let mut outcomes = outcomes.into_iter();
    handles
        .into_iter()
        .map(move |handle| handle.map(|handle| (handle, outcomes.next().expect("one outcome for each entry"))))
}

impl Services {
    pub(super) fn receipts<T>(&self, entries: Vec<(String, T)>) -> Vec<Result<(Receipt, T), Invalid>> {
        let open = |(handle, with): (String, T)| Ok((self.handle.receipt(&handle)?, with));
        entries.into_iter().map(open).collect()
    }

    pub(super) fn send_result(&self, outcome: Result<Accepted, Rejected>, fifo: bool) -> v1::SendResult {
        use v1::send_result::Outcome;
        let outcome = match outcome {
            Ok(accepted) => Outcome::Accepted(output::accepted(&self.handle, &accepted, fifo)),
            Err(rejected) => Outcome::Refused(refusal(&rejected, &self.handle, None)),
        };
        v1::SendResult { outcome: Some(outcome) }
    }

    async fn send_all(
        &self,
        queue: QueueRef,
        session: Option<NewSession>,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Result<Accepted, Rejected>>, Status> {
        let sent = match session {
            Some(session) => self.handle.send_numbered(queue, session, messages).await,
            None => self.handle.send(queue, messages).await,
        };
        sent.map_err(|failure| self.refuse(&failure))
    }

    async fn delete_all(
        &self,
        queue: QueueRef,
        receipts: Vec<Receipt>,
    ) -> Result<Vec<Result<Deleted, Rejected>>, Status> {
        if receipts.is_empty() {
            return Ok(Vec::new());
        }
        self.handle.delete(Delete { queue, receipts }).await.map_err(|failure| self.refuse(&failure))
    }

    async fn change_all(
        &self,
        queue: QueueRef,
        entries: Vec<(Receipt, u64)>,
    ) -> Result<Vec<Result<Timestamp, Rejected>>, Status> {
        if entries.is_empty() {
            return Ok(Vec::new());
        }
        let command = ChangeVisibility { queue, entries };
        self.handle.change_visibility(command).await.map_err(|failure| self.refuse(&failure))
    }

    pub(super) fn delete_results(
        &self,
        opened: Vec<Result<(Receipt, ()), Invalid>>,
        outcomes: Outcomes<Deleted>,
    ) -> Vec<v1::DeleteResult> {
        use v1::delete_result::Outcome;
        let result = |merged| match merged {
            Ok((_, Ok(Deleted { already_gone }))) => Outcome::Deleted(v1::DeleteResponse { already_gone }),
            Ok(((receipt, ()), Err(rejected))) => {
                let receipt: Receipt = receipt;
                Outcome::Refused(refusal(&rejected, &self.handle, Some(receipt.generation)))
            }
            Err(invalid) => Outcome::Refused(invalid_refusal(&invalid)),
        };
        merge(opened, outcomes).map(|merged| v1::DeleteResult { outcome: Some(result(merged)) }).collect()
    }

    pub(super) fn change_results(
        &self,
        opened: Vec<Result<(Receipt, u64), Invalid>>,
        outcomes: Outcomes<Timestamp>,
    ) -> Vec<v1::VisibilityResult> {
        use v1::visibility_result::Outcome;
        let result = |merged| match merged {
            Ok((_, Ok(visible))) => {
                let visible: Timestamp = visible;
                Outcome::Changed(v1::ChangeVisibilityResponse { visible_unix_ms: visible.0 })
            }
            Ok((_, Err(rejected))) => Outcome::Refused(refusal(&rejected, &self.handle, None)),
            Err(invalid) => Outcome::Refused(invalid_refusal(&invalid)),
        };
        merge(opened, outcomes).map(|merged| v1::VisibilityResult { outcome: Some(result(merged)) }).collect()
    }

    /// The only outcome of a batch of one.
    fn single<T>(&self, outcomes: Vec<Result<T, Rejected>>, queue: Option<QueueGeneration>) -> Result<T, Status> {
        let outcome = outcomes.into_iter().next().expect("one outcome for each entry");
        outcome.map_err(|rejected| status(&Failure::Rejected(rejected), &self.handle, queue))
    }
}

pub(super) fn timeout(entry: &v1::VisibilityEntry) -> Result<u64, Invalid> {
    input::seconds("visibility_timeout_seconds", entry.visibility_timeout_seconds, engine_limits::VISIBILITY, "R6")
}

#[tonic::async_trait]
impl Messages for Services {
    async fn send(&self, request: Request<v1::SendRequest>) -> Answered<v1::SendResponse> {
        let v1::SendRequest { queue, queue_generation, entry, session } = request.into_inner();
        let queue = parsed(input::queue(&queue, queue_generation))?;
        let session = parsed(session.map(input::session).transpose())?;
        let (message, fifo) = (parsed(input::message(&queue.name, entry))?, queue.name.is_fifo());
        let outcomes = self.send_all(queue, session, vec![message]).await?;
        let accepted = self.single(outcomes, None)?;
        Ok(Response::new(v1::SendResponse { accepted: Some(output::accepted(&self.handle, &accepted, fifo)) }))
    }

    async fn send_batch(&self, request: Request<v1::SendBatchRequest>) -> Answered<v1::SendBatchResponse> {
        let v1::SendBatchRequest { queue, queue_generation, entries, session } = request.into_inner();
        let queue = parsed(input::queue(&queue, queue_generation))?;
        let session = parsed(session.map(input::session).transpose())?;
        parsed(input::batch(entries.len(), engine_limits::BATCH_ENTRIES))?;
        let fifo = queue.name.is_fifo();
        let message = |(index, entry)| input::message(&queue.name, Some(entry)).map_err(input::in_entry(index));
        let messages: Vec<_> = parsed(entries.into_iter().enumerate().map(message).collect())?;
        // One message alone may be as large as L2 says, whatever its ids add.
        if messages.len() > 1 {
            parsed(input::sum(messages.iter().map(input::message_bytes).sum()))?;
        }
        let outcomes = self.send_all(queue, session, messages).await?;
        let results = outcomes.into_iter().map(|outcome| self.send_result(outcome, fifo)).collect();
        Ok(Response::new(v1::SendBatchResponse { results }))
    }

    async fn receive(&self, request: Request<v1::ReceiveRequest>) -> Answered<v1::ReceiveResponse> {
        let v1::ReceiveRequest {
            queue,
            max_messages,
            visibility_timeout_seconds,
            wait_seconds,
            receive_request_attempt_id,
            attribute_names,
        } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let max_messages =
            parsed(input::count("max_messages", max_messages, 1, engine_limits::RECEIVE_MESSAGES, "O1"))?;
        let seconds = |value| input::seconds("visibility_timeout_seconds", value, engine_limits::VISIBILITY, "L4");
        let visibility = parsed(visibility_timeout_seconds.map(seconds).transpose())?;
        let wait = parsed(wait_seconds.map(input::wait).transpose())?;
        let attempt = parsed(input::attempt(&receive_request_attempt_id))?;
        let attempt = attempt.map(|id| self.handle.attempt_key(&id));
        let received = self.handle.receive(Receive { queue, max_messages, visibility, attempt }, wait).await;
        let deliveries = received.map_err(|failure| self.refuse(&failure))?;
        let deliveries = deliveries.into_iter().map(|delivery| output::delivery(delivery, &attribute_names)).collect();
        Ok(Response::new(v1::ReceiveResponse { deliveries }))
    }

    async fn delete(&self, request: Request<v1::DeleteRequest>) -> Answered<v1::DeleteResponse> {
        let v1::DeleteRequest { queue, receipt_handle } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let receipt = parsed(self.handle.receipt(&receipt_handle).map_err(Invalid::from))?;
        let outcomes = self.delete_all(queue, vec![receipt]).await?;
        let Deleted { already_gone } = self.single(outcomes, Some(receipt.generation))?;
        Ok(Response::new(v1::DeleteResponse { already_gone }))
    }

    async fn delete_batch(&self, request: Request<v1::DeleteBatchRequest>) -> Answered<v1::DeleteBatchResponse> {
        let v1::DeleteBatchRequest { queue, receipt_handles } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        parsed(input::batch(receipt_handles.len(), engine_limits::BATCH_ENTRIES))?;
        let opened = self.receipts(receipt_handles.into_iter().map(|handle| (handle, ())).collect());
        let receipts = opened.iter().flatten().map(|(receipt, ())| *receipt).collect();
        let outcomes = self.delete_all(queue, receipts).await?;
        let results = self.delete_results(opened, outcomes);
        Ok(Response::new(v1::DeleteBatchResponse { results }))
    }

    async fn change_visibility(
        &self,
        request: Request<v1::ChangeVisibilityRequest>,
    ) -> Answered<v1::ChangeVisibilityResponse> {
        let v1::ChangeVisibilityRequest { queue, entry } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let entry = parsed(entry.ok_or_else(|| input::missing("entry", "R5")))?;
        let timeout = parsed(timeout(&entry))?;
        let receipt = parsed(self.handle.receipt(&entry.receipt_handle).map_err(Invalid::from))?;
        let outcomes = self.change_all(queue, vec![(receipt, timeout)]).await?;
        let visible = self.single(outcomes, Some(receipt.generation))?;
        Ok(Response::new(v1::ChangeVisibilityResponse { visible_unix_ms: visible.0 }))
    }

    async fn change_visibility_batch(
        &self,
        request: Request<v1::ChangeVisibilityBatchRequest>,
    ) -> Answered<v1::ChangeVisibilityBatchResponse> {
        let v1::ChangeVisibilityBatchRequest { queue, entries } = request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        parsed(input::batch(entries.len(), engine_limits::BATCH_ENTRIES))?;
        let with_timeout = |(index, entry): (usize, v1::VisibilityEntry)| {
            let timeout = timeout(&entry).map_err(input::in_entry(index))?;
            Ok((entry.receipt_handle, timeout))
        };
        let entries: Vec<_> = parsed(entries.into_iter().enumerate().map(with_timeout).collect())?;
        let opened = self.receipts(entries);
        let outcomes = self.change_all(queue, opened.iter().flatten().copied().collect()).await?;
        let results = self.change_results(opened, outcomes);
        Ok(Response::new(v1::ChangeVisibilityBatchResponse { results }))
    }

    async fn peek(&self, request: Request<v1::PeekRequest>) -> Answered<v1::PeekResponse> {
        let v1::PeekRequest { queue, message_group_id, after_sequence_number, max_messages, wait_seconds } =
            request.into_inner();
        let queue = parsed(input::queue(&queue, None))?;
        let group = parsed(input::optional_group(&message_group_id))?;
        let max = parsed(input::count("max_messages", max_messages, limits::DEFAULT_PEEK, limits::PAGE, "L13"))?;
        let wait = parsed(input::wait(wait_seconds))?;
        let after = SequenceNumber(after_sequence_number);
        let peeked = self.handle.peek(queue, group, after, max as usize, wait).await;
        let messages = peeked.map_err(|failure| self.refuse(&failure))?;
        Ok(Response::new(v1::PeekResponse { messages: messages.into_iter().map(output::peeked).collect() }))
    }
    type ProduceStream = Responses<v1::ProduceResponse>;

    async fn produce(&self, requests: Request<Streaming<v1::ProduceRequest>>) -> Answered<Self::ProduceStream> {
        Ok(Response::new(produce::serve(self.clone(), requests.into_inner())))
    }

    type ConsumeStream = Responses<v1::ConsumeResponse>;

    async fn consume(&self, requests: Request<Streaming<v1::ConsumeRequest>>) -> Answered<Self::ConsumeStream> {
        Ok(Response::new(consume::serve(self.clone(), requests.into_inner())))
    }
}
