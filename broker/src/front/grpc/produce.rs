//! The stream `Messages.Produce`: blocks of messages are put before the broker as they come, and answered in their
//! order. One task reads, one answers; the line between them is the window, and when it is full nothing is read.

use std::sync::Arc;

use lockstep_engine::{Rejected, command::QueueRef, limits as engine_limits, reply::Accepted, words::QueueName};
use lockstep_proto::v1;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{
    Services,
    errors::{code, invalid_refusal, invalid_status, of_block, refusal},
    input,
    streams::{Next, Responses, next},
    strikes::{Lost, Strike},
};
use crate::{
    failure::{Failure, Invalid},
    handle::{NewMessage, NewSession, Outcomes, Pending},
    limits,
};

/// What was read, in its place in the line.
enum Place {
    /// A block that the broker judges.
    Asked { block: Block, pending: Pending<Outcomes<Accepted>>, room: OwnedSemaphorePermit },
    /// A block that is carried out and not answered: a fault of a plan.
    Lost { pending: Pending<Outcomes<Accepted>>, how: Lost },
    /// A block that means nothing: each of its entries is answered so.
    Refused { entries: usize, refusal: v1::Refusal },
    /// The stream ends here.
    End(Status),
}

/// What its answers need to know of a block.
#[derive(Clone, Copy)]
struct Block {
    entries: usize,
    fifo: bool,
}

/// Serves one stream.
pub(super) fn serve(services: Services, requests: Streaming<v1::ProduceRequest>) -> Responses<v1::ProduceResponse> {
    let (places_in, places) = mpsc::channel(limits::PRODUCE_REQUESTS);
    let (responses_in, responses) = mpsc::channel(limits::STREAM_RESPONSES);
    tokio::spawn(read(services.clone(), requests, places_in));
    tokio::spawn(answer(services, places, responses_in));
    ReceiverStream::new(responses)
}

/// Reads until the client has said all, breaks the protocol, or the broker stops.
async fn read(services: Services, mut requests: Streaming<v1::ProduceRequest>, places: mpsc::Sender<Place>) {
    let room = Arc::new(Semaphore::new(limits::PRODUCE_BYTES));
    let mut queue = None;
    let (mut gone, mut closing) = (std::pin::pin!(places.closed()), std::pin::pin!(services.closing()));
    loop {
        let request = match next(&services, &mut requests, gone.as_mut(), closing.as_mut()).await {
            Next::Request(request) => request,
            Next::End => return,
            Next::Broken(status) => return drop(places.send(Place::End(status)).await),
        };
        let size = request.entries.iter().map(waiting_bytes).sum::<usize>().min(limits::PRODUCE_BYTES);
        let size = u32::try_from(size).expect("the window is smaller than 4 GiB");
        let room = Arc::clone(&room).acquire_many_owned(size).await.expect("the semaphore is never closed");
        let place = match services.strike("Produce").await {
            Ok(strike) => services.block(request, &mut queue, room, strike).await.unwrap_or_else(Place::End),
            Err(status) => Place::End(status),
        };
        let ends = matches!(place, Place::End(_) | Place::Lost { .. });
        // Nobody answers any more when the client is gone.
        if places.send(place).await.is_err() || ends {
            return;
        }
    }
}

/// What an entry takes while it waits, nearly; exactly would cost a walk over its wire form.
fn waiting_bytes(entry: &v1::SendEntry) -> usize {
    let attribute = |it: &v1::MessageAttribute| match &it.value {
        Some(v1::message_attribute::Value::StringValue(text)) => it.name.len() + it.data_type.len() + text.len(),
        Some(v1::message_attribute::Value::BinaryValue(bytes)) => it.name.len() + it.data_type.len() + bytes.len(),
        None => it.name.len() + it.data_type.len(),
    };
    let ids = entry.message_group_id.len() + entry.message_deduplication_id.len() + entry.aws_trace_header.len();
    size_of::<v1::SendEntry>() + entry.body.len() + ids + entry.attributes.iter().map(attribute).sum::<usize>()
}

impl Services {
    /// Puts a block before the broker. An error breaks the protocol.
    async fn block(
        &self,
        request: v1::ProduceRequest,
        queue: &mut Option<QueueRef>,
        room: OwnedSemaphorePermit,
        strike: Strike,
    ) -> Result<Place, Status> {
        let broken = |invalid: Invalid| invalid_status(&invalid);
        let v1::ProduceRequest { queue: name, queue_generation, entries: given, session } = request;
        if !name.is_empty() || queue.is_none() {
            *queue = Some(input::queue(&name, queue_generation).map_err(broken)?);
        }
        let queue = queue.clone().expect("it was just set");
        let session = session.map(input::session).transpose().map_err(broken)?;
        let entries = given.len();
        input::batch(entries, engine_limits::BATCH_ENTRIES).map_err(broken)?;
        match messages(&queue.name, given) {
            Ok(messages) => {
                if entries > 1 {
                    input::sum(messages.iter().map(input::message_bytes).sum()).map_err(broken)?;
                }
                self.ask(queue, session, messages, room, strike).await
            }
            Err(invalid) => {
                let refusal = of_block(Code::InvalidArgument, invalid_refusal(&invalid));
                Ok(Place::Refused { entries, refusal })
            }
        }
    }

    async fn ask(
        &self,
        queue: QueueRef,
        session: Option<NewSession>,
        messages: Vec<NewMessage>,
        room: OwnedSemaphorePermit,
        strike: Strike,
    ) -> Result<Place, Status> {
        let block = Block { entries: messages.len(), fifo: queue.name.is_fifo() };
        let refuse = |failure: Failure| self.refuse(&failure);
        if strike.twice {
            // The first answer is nobody's.
            let first = self.handle.begin_send(queue.clone(), session.clone(), messages.clone()).await;
            drop(first.map_err(refuse)?);
        }
        let pending = self.handle.begin_send(queue, session, messages).await.map_err(refuse)?;
        Ok(match strike.answer {
            Some(how) => Place::Lost { pending, how },
            None => Place::Asked { block, pending, room },
        })
    }

    /// The results of a block, or the end of the stream where the outcome is unknown.
    fn block_results(
        &self,
        Block { entries, fifo }: Block,
        outcomes: Result<Outcomes<Accepted>, Failure>,
        results: &mut Vec<v1::SendResult>,
    ) -> Result<(), Status> {
        match outcomes {
            Ok(outcomes) => results.extend(outcomes.into_iter().map(|outcome| self.send_result(outcome, fifo))),
            Err(Failure::Rejected(rejected)) => refuse_all(entries, &self.block_refused(&rejected), results),
            Err(
                failure @ (Failure::Invalid(_)
                | Failure::Unavailable(_)
                | Failure::Overloaded
                | Failure::ClockNotManual
                | Failure::Draining
                | Failure::BackupRunning
                | Failure::BackupFailed(_)
                | Failure::Damaged { .. }),
            ) => return Err(self.refuse(&failure)),
        }
        Ok(())
    }

    fn block_refused(&self, rejected: &Rejected) -> v1::Refusal {
        of_block(code(rejected).0, refusal(rejected, &self.handle, None))
    }
}

fn messages(queue: &QueueName, given: Vec<v1::SendEntry>) -> Result<Vec<NewMessage>, Invalid> {
    if given.len() == 1 {
        return given.into_iter().map(|entry| input::message(queue, Some(entry))).collect();
    }
    let message = |(index, entry)| input::message(queue, Some(entry)).map_err(input::in_entry(index));
    given.into_iter().enumerate().map(message).collect()
}

fn refuse_all(entries: usize, refusal: &v1::Refusal, results: &mut Vec<v1::SendResult>) {
    let refused = || v1::SendResult { outcome: Some(v1::send_result::Outcome::Refused(refusal.clone())) };
    results.extend(std::iter::repeat_with(refused).take(entries));
}

/// Answers places in their order; what is ready at the same time goes out in one message.
async fn answer(
    services: Services,
    mut places: mpsc::Receiver<Place>,
    responses: mpsc::Sender<Result<v1::ProduceResponse, Status>>,
) {
    let mut next = places.recv().await;
    while let Some(place) = next.take() {
        let mut results = Vec::new();
        // Room in the window is given back once the answers are handed over: who does not read is not read.
        let mut rooms = Vec::new();
        let mut end = match place {
            Place::Asked { block, pending, room } => {
                rooms.push(room);
                services.block_results(block, pending.answer(&services.handle).await, &mut results).err()
            }
            Place::Refused { entries, refusal } => {
                refuse_all(entries, &refusal, &mut results);
                None
            }
            Place::Lost { pending, how } => {
                // Its answer is nobody's; what it says is durable when it is given.
                drop(pending.answer(&services.handle).await);
                tokio::select! {
                    status = how.end() => Some(status),
                    () = responses.closed() => return,
                }
            }
            Place::End(status) => Some(status),
        };
        while end.is_none() && results.len() < limits::PRODUCE_RESULTS {
            match places.try_recv() {
                Ok(Place::Asked { block, mut pending, room }) => match pending.ready(&services.handle) {
                    Some(outcomes) => {
                        rooms.push(room);
                        end = services.block_results(block, outcomes, &mut results).err();
                    }
                    None => {
                        next = Some(Place::Asked { block, pending, room });
                        break;
                    }
                },
                Ok(Place::Refused { entries, refusal }) => refuse_all(entries, &refusal, &mut results),
                Ok(place @ Place::Lost { .. }) => {
                    next = Some(place);
                    break;
                }
                Ok(Place::End(status)) => end = Some(status),
                Err(_) => break,
            }
        }
        if !results.is_empty() && responses.send(Ok(v1::ProduceResponse { results })).await.is_err() {
            return;
        }
        drop(rooms);
        if let Some(status) = end {
            // The client may be gone.
            return drop(responses.send(Err(status)).await);
        }
        if next.is_none() {
            next = places.recv().await;
        }
    }
}
