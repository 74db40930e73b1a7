//! The stream `Messages.Consume`: as long as the client has granted credit a receive is before the broker, and what the
//! client finishes, extends or gives back is answered in its order. A stream that is lost gives nothing back (H8).

use std::{collections::VecDeque, future::Future, pin::Pin, task::Poll};

use lockstep_engine::{
    command::{ChangeVisibility, Delete, QueueRef, Receive},
    limits as engine_limits,
};
use lockstep_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::{
    Services,
    errors::invalid_status,
    guard::end_leases,
    input,
    messages::timeout,
    output,
    queues::parsed,
    streams::{Next, Responses, broken},
    strikes::{Lost, Strike},
};
use crate::{
    failure::{Failure, Invalid},
    handle::Delivery,
    limits,
};

type Sender = mpsc::Sender<Result<v1::ConsumeResponse, Status>>;
type Place = mpsc::OwnedPermit<Result<v1::ConsumeResponse, Status>>;
/// What a receive brought, and its place among the responses.
type Delivered = Result<(Place, Vec<Delivery>), Failure>;
type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Serves one stream.
pub(super) fn serve(services: Services, requests: Streaming<v1::ConsumeRequest>) -> Responses<v1::ConsumeResponse> {
    let (responses_in, responses) = mpsc::channel(limits::STREAM_RESPONSES);
    tokio::spawn(async move {
        if let Err(status) = run(services, requests, responses_in.clone()).await {
            // The client may be gone.
            drop(responses_in.send(Err(status)).await);
        }
    });
    ReceiverStream::new(responses)
}

async fn run(services: Services, mut requests: Streaming<v1::ConsumeRequest>, responses: Sender) -> Result<(), Status> {
    let first = tokio::select! {
        () = responses.closed() => return Ok(()),
        () = services.closing() => return Err(services.stopping()),
        first = requests.message() => first,
    };
    let Some(first) = first.or_else(|status| match broken(status) {
        Next::Request(request) => Ok(Some(request)),
        Next::End => Ok(None),
        Next::Broken(status) => Err(status),
    })?
    else {
        return Ok(());
    };
    let mut stream = Stream::open(services, responses, first).await?;
    stream.serve(requests).await
}

/// One stream after its start.
struct Stream {
    services: Services,
    responses: Sender,
    /// With its generation: another life of the name is another stream's (B8).
    queue: QueueRef,
    visibility: Option<u64>,
    credit: u32,
    /// Answers to come, in the order of the requests.
    answers: VecDeque<Boxed<Result<v1::ConsumeAnswer, Status>>>,
    /// The receive that is before the broker, and its place among the responses.
    poll: Option<Boxed<Delivered>>,
    /// A fault of a plan, for the next deliveries.
    strike: Strike,
}

/// What happened next.
enum Turn {
    Gone,
    Closing,
    Answered(Result<v1::ConsumeAnswer, Status>),
    Read(Result<Option<v1::ConsumeRequest>, Status>),
    Delivered(Delivered),
}

impl Stream {
    async fn open(services: Services, responses: Sender, mut first: v1::ConsumeRequest) -> Result<Self, Status> {
        let start = parsed(first.start.take().ok_or_else(|| {
            Invalid::new("FIELD_MISSING", "H1", "the first request of a Consume stream must have a start")
        }))?;
        let queue = parsed(input::queue(&start.queue, start.queue_generation))?;
        let seconds = |value| input::seconds("visibility_timeout_seconds", value, engine_limits::VISIBILITY, "L4");
        let visibility = parsed(start.visibility_timeout_seconds.map(seconds).transpose())?;
        let view = services.handle.describe_queue(queue).await.map_err(|failure| services.refuse(&failure))?;
        let queue = QueueRef { name: view.name, generation: Some(view.generation) };
        let (answers, poll, strike) = (VecDeque::new(), None, Strike::default());
        let mut stream = Self { services, responses, queue, visibility, credit: 0, answers, poll, strike };
        stream.take(first).await?;
        Ok(stream)
    }

    /// Until the client is gone or has said all, the protocol is broken, or the broker stops; then what was asked is
    /// still answered, and what was taken delivered.
    async fn serve(&mut self, mut requests: Streaming<v1::ConsumeRequest>) -> Result<(), Status> {
        let mut end = None;
        let (services, responses) = (self.services.clone(), self.responses.clone());
        let (mut gone, mut closing) = (std::pin::pin!(responses.closed()), std::pin::pin!(services.closing()));
        loop {
            match end {
                None => self.ask_for_more(),
                Some(end) if self.answers.is_empty() && self.poll.is_none() => return end,
                Some(_) => {}
            }
            let may_read = end.is_none() && self.answers.len() < limits::CONSUME_REQUESTS;
            let turn = tokio::select! {
                biased;
                () = gone.as_mut() => Turn::Gone,
                () = closing.as_mut(), if end.is_none() => Turn::Closing,
                answer = first(&mut self.answers) => Turn::Answered(answer),
                request = requests.message(), if may_read => Turn::Read(request),
                delivered = whenever(&mut self.poll) => Turn::Delivered(delivered),
            };
            match turn {
                // Nobody waits for the receive any more: it is forgotten, and takes nothing (H8).
                Turn::Gone => return Ok(()),
                Turn::Closing => end = Some(Err(self.services.stopping())),
                Turn::Answered(answer) => self.answer(answer).await?,
                Turn::Read(Ok(Some(request))) => {
                    if let Err(status) = self.next(request).await {
                        self.poll = None;
                        end = Some(Err(status));
                    }
                }
                Turn::Read(Ok(None)) => {
                    self.poll = None;
                    end = Some(Ok(()));
                }
                Turn::Read(Err(status)) => {
                    self.poll = None;
                    end = Some(match broken::<()>(status) {
                        Next::Broken(status) => Err(status),
                        Next::Request(()) | Next::End => Ok(()),
                    });
                }
                Turn::Delivered(delivered) => self.deliver(delivered).await?,
            }
        }
    }

    async fn next(&mut self, request: v1::ConsumeRequest) -> Result<(), Status> {
        if request.start.is_some() {
            let text = "a Consume stream has one start, in its first request";
            return Err(invalid_status(&Invalid::new("STARTED_TWICE", "H1", text)));
        }
        self.take(request).await
    }

    /// Takes the credit of a request, and puts what it wants before the broker.
    async fn take(&mut self, request: v1::ConsumeRequest) -> Result<(), Status> {
        let v1::ConsumeRequest { start: _, credit, tag, delete_handles, changes } = request;
        let strike = self.services.strike("Consume").await?;
        let granted = u64::from(self.credit) + u64::from(credit);
        let most = limits::CONSUME_CREDIT;
        self.credit = match u32::try_from(granted) {
            Ok(credit) if credit <= most => credit,
            Ok(_) | Err(_) => {
                return parsed(Err(input::out_of_range("credit, in all,", granted, 0, most.into(), "H1")));
            }
        };
        self.strike.ends_leases |= strike.ends_leases;
        if delete_handles.is_empty() && changes.is_empty() {
            // What it is answered with are deliveries.
            self.strike.answer = self.strike.answer.or(strike.answer);
            return Ok(());
        }
        parsed(input::batch(delete_handles.len() + changes.len(), engine_limits::BATCH_ENTRIES))?;
        let with_timeout = |(index, entry): (usize, v1::VisibilityEntry)| {
            let timeout = timeout(&entry).map_err(input::in_entry(index))?;
            Ok((entry.receipt_handle, timeout))
        };
        let changes: Vec<_> = parsed(changes.into_iter().enumerate().map(with_timeout).collect())?;
        let services = self.services.clone();
        let refuse = |failure| services.refuse(&failure);
        let deletes = services.receipts(delete_handles.into_iter().map(|handle| (handle, ())).collect());
        let receipts: Vec<_> = deletes.iter().flatten().map(|(receipt, ())| *receipt).collect();
        let changes = services.receipts(changes);
        let entries: Vec<_> = changes.iter().flatten().copied().collect();
        let queue = || self.queue.clone();
        if strike.twice && !receipts.is_empty() {
            let first = Delete { queue: queue(), receipts: receipts.clone() };
            drop(services.handle.begin_delete(first).await.map_err(refuse)?);
        }
        // Both are before the broker, in this order, before anything later of this stream.
        let deleted = match receipts.as_slice() {
            [] => None,
            [..] => Some(services.handle.begin_delete(Delete { queue: queue(), receipts }).await.map_err(refuse)?),
        };
        let changed = match entries.as_slice() {
            [] => None,
            [..] => {
                let command = ChangeVisibility { queue: queue(), entries };
                Some(services.handle.begin_change(command).await.map_err(refuse)?)
            }
        };
        self.answers.push_back(Box::pin(async move {
            let refuse = |failure| services.refuse(&failure);
            let deleted = match deleted {
                Some(pending) => pending.answer(&services.handle).await.map_err(refuse)?,
                None => Vec::new(),
            };
            let changed = match changed {
                Some(pending) => pending.answer(&services.handle).await.map_err(refuse)?,
                None => Vec::new(),
            };
            if let Some(how) = strike.answer {
                return Err(how.end().await);
            }
            let deleted = services.delete_results(deletes, deleted);
            let changed = services.change_results(changes, changed);
            Ok(v1::ConsumeAnswer { tag, deleted, changed })
        }));
        Ok(())
    }

    /// Keeps a receive before the broker as long as there is credit, and room for what it brings.
    fn ask_for_more(&mut self) {
        if self.poll.is_some() || self.credit == 0 {
            return;
        }
        let (handle, responses) = (self.services.handle.clone(), self.responses.clone());
        let max_messages = self.credit.min(engine_limits::RECEIVE_MESSAGES);
        // No attempt id: what a lost stream was leased comes again when the leases end (H8).
        let (queue, visibility) = (self.queue.clone(), self.visibility);
        let receive = Receive { queue, max_messages, visibility, attempt: None };
        self.poll = Some(Box::pin(async move {
            // The place comes first: nothing is leased for a client that does not read.
            let Ok(place) = responses.reserve_owned().await else { return std::future::pending().await };
            Ok((place, handle.receive(receive, Some(engine_limits::WAIT)).await?))
        }));
    }

    async fn deliver(&mut self, delivered: Delivered) -> Result<(), Status> {
        self.poll = None;
        let (place, deliveries) = delivered.map_err(|failure| self.services.refuse(&failure))?;
        let taken = u32::try_from(deliveries.len()).expect("a receive brings at most 1,000 messages");
        self.credit = self.credit.saturating_sub(taken);
        if taken > 0 {
            let strike = std::mem::take(&mut self.strike);
            let deliveries: Vec<_> = deliveries.into_iter().map(|delivery| output::delivery(delivery, &[])).collect();
            if strike.ends_leases {
                end_leases(&self.services.handle, self.queue.clone(), &deliveries).await;
            }
            match strike.answer {
                None => {}
                Some(how @ Lost::Ends) => return Err(how.end().await),
                Some(Lost::Silence) => return Ok(()),
            }
            place.send(Ok(v1::ConsumeResponse { deliveries, answers: Vec::new() }));
        }
        Ok(())
    }

    /// Sends an answer, with those behind it that are ready too.
    async fn answer(&mut self, answer: Result<v1::ConsumeAnswer, Status>) -> Result<(), Status> {
        let mut answers = Vec::new();
        let mut next = Some(answer);
        let mut failed = None;
        while let Some(answer) = next {
            match answer {
                Ok(answer) => answers.push(answer),
                Err(status) => {
                    failed = Some(status);
                    break;
                }
            }
            next = ready(&mut self.answers).await;
        }
        if !answers.is_empty() {
            let response = v1::ConsumeResponse { deliveries: Vec::new(), answers };
            // A client that is gone is noticed in the next turn.
            let _ = self.responses.send(Ok(response)).await;
        }
        failed.map_or(Ok(()), Err)
    }
}

/// The first of the answers, once it is there; never, when none is to come. Not waiting for it any more loses nothing.
async fn first<T>(line: &mut VecDeque<Boxed<T>>) -> T {
    std::future::poll_fn(|context| match line.front_mut() {
        Some(front) => front.as_mut().poll(context).map(|value| {
            line.pop_front();
            value
        }),
        None => Poll::Pending,
    })
    .await
}

/// The first of the answers, if it is there now.
async fn ready<T>(line: &mut VecDeque<Boxed<T>>) -> Option<T> {
    let mut first = std::pin::pin!(first(line));
    std::future::poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}

/// A future that may not be there.
async fn whenever<T>(future: &mut Option<Boxed<T>>) -> T {
    match future {
        Some(future) => future.as_mut().await,
        None => std::future::pending().await,
    }
}
