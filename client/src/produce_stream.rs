//! One line of blocks to a queue over the stream `Produce`: several are under way at a time, answers come in their order,
//! and when the stream breaks it is opened again and everything unanswered goes out once more, in the same order, under
//! the same keys. Which messages make a block, and what is done with an outcome, is its owner's affair: `producer` or
//! `session`.

use std::{collections::VecDeque, fmt, future::Future, pin::Pin, sync::Arc, task::Poll};

use lockstep_proto::v1;
use tokio::{sync::mpsc, time::Instant};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Status, Streaming};

use crate::{
    Client, Error,
    error::Failure,
    message::{Sent, entry_size, send_result},
    retry::{GaveUp, Limit, SHORTEST_TRY, Start, within},
    wire::{self, Outgoing},
};

/// A message above this is not sent: no queue takes it (L2), and a broker does not even read it to its end.
pub(crate) const MAX_ENTRY_BYTES: usize = 3 * 1024 * 1024;

/// What became of a block: one outcome for each entry, or why there are none.
pub(crate) type Answer = Result<Vec<Result<Sent, Error>>, GaveUp>;

/// Messages that go out together.
#[derive(Debug)]
pub(crate) struct Block {
    /// Shared with what carries them: they are written to the wire from where they are, at every try.
    pub(crate) entries: Arc<Vec<v1::SendEntry>>,
    pub(crate) session: Option<v1::SendSession>,
    /// When its first try began, and how long it may be tried.
    pub(crate) start: Start,
    pub(crate) limit: Limit,
}

/// A block in line, with what its owner wants back with the answer.
struct Place<T> {
    block: Block,
    owners: T,
    /// What the last try met that may have had an effect.
    unknown: Option<String>,
}

/// The connection.
enum Wire {
    /// Not before this time.
    Closed(Option<Instant>),
    Opening(Pin<Box<dyn Future<Output = Result<Open, Status>> + Send>>),
    Open(Box<Open>),
}

struct Open {
    requests: mpsc::UnboundedSender<Outgoing>,
    answers: Streaming<v1::ProduceResponse>,
    /// So many places, from the head of the line on, are under way.
    sent: usize,
    /// Results for the head of the line, as far as they came.
    results: Vec<v1::SendResult>,
    /// When the broker last gave a sign, or had no reason to.
    heard: Instant,
}

/// The line and its stream. Its futures may be dropped at any time: nothing is lost, and the next one goes on.
pub(crate) struct ProduceStream<T> {
    client: Client,
    queue: String,
    generation: Option<u64>,
    line: VecDeque<Place<T>>,
    /// Answers that were not fetched yet.
    known: VecDeque<(Block, T, Answer)>,
    wire: Wire,
    /// Failures in a row.
    failed: u32,
}

impl<T> fmt::Debug for ProduceStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProduceStream")
            .field("queue", &self.queue)
            .field("line", &self.line.len())
            .finish_non_exhaustive()
    }
}

impl<T> ProduceStream<T> {
    /// Nothing is asked of the broker before there is a block.
    pub(crate) fn new(client: Client, queue: String, generation: Option<u64>) -> Self {
        let (line, known) = (VecDeque::new(), VecDeque::new());
        ProduceStream { client, queue, generation, line, known, wire: Wire::Closed(None), failed: 0 }
    }

    /// Puts a block at the end of the line; one that cannot be sent is answered before what is in line.
    pub(crate) fn push(&mut self, block: Block, owners: T) {
        if let [entry] = block.entries.as_slice()
            && entry_size(entry) > MAX_ENTRY_BYTES
        {
            let error = too_long(entry);
            return self.known.push_back((block, owners, Err(GaveUp::Final(error))));
        }
        if let (true, Wire::Open(open)) = (self.line.is_empty(), &mut self.wire) {
            open.heard = Instant::now();
        }
        self.line.push_back(Place { block, owners, unknown: None });
    }

    /// Whether nothing is in line and no answer is left to fetch.
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty() && self.known.is_empty()
    }

    /// Forgets the line; what was under way may have had an effect.
    pub(crate) fn clear(&mut self) {
        self.line.clear();
        self.known.clear();
        self.wire = Wire::Closed(None);
        self.failed = 0;
    }

    /// The next answer with its block, in the order of the line, but for blocks whose time is over. Waits for ever while
    /// nothing is in line.
    pub(crate) async fn next(&mut self) -> (Block, T, Answer) {
        loop {
            if let Some(answer) = self.known.pop_front() {
                return answer;
            }
            if self.line.is_empty() {
                return std::future::pending().await;
            }
            if let Err(failure) = self.step().await {
                self.broke(failure);
            }
        }
    }

    /// When the time of some block is over.
    fn time_over(&self) -> Option<Instant> {
        let left = |place: &Place<T>| place.block.limit.sent().saturating_sub(place.block.start.elapsed());
        let left = self.line.iter().map(left).min()?;
        Instant::now().checked_add(left.max(SHORTEST_TRY))
    }

    /// One step towards an answer.
    async fn step(&mut self) -> Result<(), Failure> {
        let over = self.time_over();
        match &mut self.wire {
            Wire::Closed(until) => {
                if let Some(until) = *until {
                    tokio::time::sleep_until(until).await;
                }
                self.wire = Wire::Opening(Box::pin(open(self.client.clone())));
            }
            Wire::Opening(opening) => {
                let late = || Failure::Unsent("the broker did not open a stream in time".to_owned());
                self.wire = Wire::Open(Box::new(within(over, opening).await.ok_or_else(late)??));
            }
            Wire::Open(open) => {
                if open.sent == 0 && is_over(&mut open.answers).await {
                    // It ended while nothing was under way: nobody lost anything.
                    self.wire = Wire::Closed(None);
                    return Ok(());
                }
                for place in self.line.range(open.sent..) {
                    let (queue, queue_generation) = (self.queue.clone(), self.generation);
                    let (entries, session) = (Arc::clone(&place.block.entries), place.block.session.clone());
                    let head = v1::ProduceRequest { queue, queue_generation, entries: Vec::new(), session };
                    // What cannot be sent any more is learnt from the answers.
                    let _ = open.requests.send(Outgoing { head, entries });
                    open.sent += 1;
                }
                let silent = open.heard.checked_add(self.client.retry_policy().try_limit);
                let until = silent.into_iter().chain(over).min();
                let began = open.heard;
                let late = || Failure::Unknown(format!("no answer within {:.1} s", began.elapsed().as_secs_f32()));
                let response = within(until, open.answers.message()).await.ok_or_else(late)??;
                let ended = || Failure::Unknown("the broker ended the stream".to_owned());
                self.take(response.ok_or_else(ended)?.results)?;
            }
        }
        Ok(())
    }

    /// Takes results for the head of the line.
    fn take(&mut self, results: Vec<v1::SendResult>) -> Result<(), Failure> {
        let Wire::Open(open) = &mut self.wire else { return Ok(()) };
        self.failed = 0;
        open.heard = Instant::now();
        for result in results {
            let surplus = || Failure::Unknown("the broker gave more results than it was sent messages".to_owned());
            let place = self.line.front().filter(|_| open.sent > 0).ok_or_else(surplus)?;
            open.results.push(result);
            if open.results.len() == place.block.entries.len() {
                let Place { block, owners, .. } = self.line.pop_front().expect("it was just looked at");
                open.sent -= 1;
                self.known.push_back((block, owners, outcomes(std::mem::take(&mut open.results))));
            }
        }
        Ok(())
    }

    /// The stream is lost. A final word is about the first block without an answer, because those before it were
    /// answered and those behind it not read; else everything goes out again after a pause, but for what has no time
    /// left.
    fn broke(&mut self, failure: Failure) {
        let under_way = match &self.wire {
            Wire::Open(open) => open.sent,
            Wire::Closed(_) | Wire::Opening(_) => 0,
        };
        let (text, under_way) = match failure {
            Failure::Final(error) => {
                self.wire = Wire::Closed(None);
                let head = self.line.pop_front();
                return self.known.extend(head.map(|head| (head.block, head.owners, Err(GaveUp::Final(error)))));
            }
            Failure::Unsent(text) => (text, 0),
            Failure::Unknown(text) => (text, under_way),
        };
        self.line.iter_mut().take(under_way).for_each(|place| place.unknown = Some(text.clone()));
        let pause = self.client.retry_policy().pause(self.failed);
        tracing::debug!(failed = self.failed, ?pause, text, "a stream of messages is lost and opened again");
        self.failed = self.failed.saturating_add(1);
        let over = |place: &Place<T>| {
            let next_try = place.block.limit.next_try(place.unknown.is_some());
            place.block.start.elapsed().saturating_add(pause) >= next_try
        };
        for place in std::mem::take(&mut self.line) {
            if over(&place) {
                let gave_up = place.unknown.map_or_else(|| GaveUp::Unsent(text.clone()), GaveUp::Unknown);
                self.known.push_back((place.block, place.owners, Err(gave_up)));
            } else {
                self.line.push_back(place);
            }
        }
        self.wire = Wire::Closed(Instant::now().checked_add(pause));
    }
}

/// Opens a stream, within the time of one try.
async fn open(client: Client) -> Result<Open, Status> {
    let (requests, blocks) = mpsc::unbounded_channel();
    let opening = wire::produce(client.stream_wire(), UnboundedReceiverStream::new(blocks));
    let limit = client.retry_policy().try_limit;
    let late = |_| Status::unavailable("the broker did not open a stream in time");
    let answers = tokio::time::timeout(limit, opening).await.map_err(late)??;
    Ok(Open { requests, answers, sent: 0, results: Vec::new(), heard: Instant::now() })
}

/// Whether a stream on which nothing is expected has ended.
async fn is_over(answers: &mut Streaming<v1::ProduceResponse>) -> bool {
    let mut message = std::pin::pin!(answers.message());
    std::future::poll_fn(|context| Poll::Ready(message.as_mut().poll(context).is_ready())).await
}

/// The outcomes of a block. Refused as a whole, it has one word for all.
fn outcomes(results: Vec<v1::SendResult>) -> Answer {
    let outcomes: Vec<_> = results.into_iter().map(send_result).collect();
    match outcomes.first() {
        Some(Err(error @ Error::Refused { code: Some(_), .. })) => Err(GaveUp::Final(error.clone())),
        Some(_) | None => Ok(outcomes),
    }
}

fn too_long(entry: &v1::SendEntry) -> Error {
    Error::Refused {
        code: Some(Code::InvalidArgument),
        reason: "MESSAGE_TOO_LONG".to_owned(),
        message: format!("the message has {} bytes with its ids and attributes; 1 MiB is the most", entry_size(entry)),
        rule: "L2".to_owned(),
    }
}

/// So many messages may be unanswered on a line whose broker keeps the answers of the last 1,000 (B3).
pub(crate) const NUMBERED_WINDOW: usize = 1_000;
/// So many bytes: what a broker reads of a stream before it answers.
pub(crate) const WINDOW_BYTES: usize = 4 * 1024 * 1024;
