//! Sending in order, each message once: keys fixed before the first try, one unanswered block a group, groups in
//! parallel over one stream. This file is what a caller sees; the order is kept in `lanes`, the blocks are sent in `post`.

mod lanes;
mod post;
mod ticket;

use std::{
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::sync::{Notify, OnceCell, Semaphore, oneshot};
use tokio_stream::{Stream, StreamExt as _, wrappers::ReceiverStream};
use uuid::Uuid;

pub use self::ticket::Ticket;
use self::{
    lanes::{Entry, Lanes, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES},
    ticket::Room,
};
use crate::{
    Client, Error, Session,
    message::{Message, Sent, content_id, entry_size},
    produce_stream::ProduceStream,
};

/// What a waiting message costs beside its bytes: its place in the queue, its answer's channel.
const ENTRY_OVERHEAD: usize = 256;
/// How many results [`Producer::send_all`] lets run ahead of its reader.
const MAX_AHEAD: usize = 8 * MAX_BATCH_ENTRIES;

/// Options of a [`Producer`]; see [`Client::producer`].
#[derive(Clone, Debug)]
pub struct ProducerBuilder {
    client: Client,
    queue: String,
    generation: Option<u64>,
    content_based: bool,
    max_blocks: usize,
    buffer_bytes: usize,
    give_up_after: Option<Duration>,
}

impl ProducerBuilder {
    pub(crate) fn new(client: Client, queue: String) -> Self {
        let (max_blocks, buffer_bytes) = (8, 16 * 1024 * 1024);
        ProducerBuilder {
            client,
            queue,
            generation: None,
            content_based: false,
            max_blocks,
            buffer_bytes,
            give_up_after: None,
        }
    }

    /// Every send names this queue generation: when the queue was made anew, each is refused with
    /// `QUEUE_GENERATION_CHANGED`, and nothing is resumed by itself (B8).
    #[must_use]
    pub fn generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// A message without a deduplication id gets the SHA-256 of its body as its id, instead of a random one: the same
    /// body is sent once a window. It is computed here, equals the broker's own content id (S3), and works whether or
    /// not the queue has content-based deduplication.
    #[must_use]
    pub fn content_based(mut self) -> Self {
        self.content_based = true;
        self
    }

    /// How many blocks of messages may be unanswered at a time, over all groups; at least 1, 8 unless said otherwise.
    #[must_use]
    pub fn max_blocks_in_flight(mut self, blocks: usize) -> Self {
        self.max_blocks = blocks.max(1);
        self
    }

    /// How many bytes of messages, with 256 bytes more for each, may wait for their answers; at least 4 KiB, 16 MiB
    /// unless said otherwise. Beyond it, sending waits for room.
    #[must_use]
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        self.buffer_bytes = bytes.clamp(4 * 1024, Semaphore::MAX_PERMITS.min(1 << 30));
        self
    }

    /// Ends the tries of a message after so long with [`Error::Unavailable`]. Without it a message is tried until its
    /// outcome is known or the deduplication window is nearly over (H11): 270 s by default, but days on a queue with a
    /// long window.
    #[must_use]
    pub fn give_up_after(mut self, limit: Duration) -> Self {
        self.give_up_after = Some(limit);
        self
    }

    /// Opens a session under this name (1 to 80 of `[A-Za-z0-9_-]`) instead: its messages have numbers, and a repeat is
    /// recognised for ever (B3). `instance` is the caller's own id, fresh for each start of it; another instance of the
    /// same name fences this one. Of the options only [`ProducerBuilder::generation`] counts.
    ///
    /// # Errors
    /// As [`Client::open_producer`].
    pub async fn session(self, name: impl Into<String>, instance: impl Into<String>) -> Result<Session, Error> {
        Session::open(self.client, self.queue, self.generation, name.into(), instance.into()).await
    }

    /// The producer. Nothing is asked of the broker before the first send.
    #[must_use]
    pub fn build(self) -> Producer {
        let lanes = Mutex::new(Lanes::new(self.max_blocks));
        let room = Arc::new(Semaphore::new(self.buffer_bytes));
        let stream = ProduceStream::new(self.client.clone(), self.queue.clone(), self.generation);
        let (stream, more, window) = (tokio::sync::Mutex::new(stream), Notify::new(), OnceCell::new());
        Producer { shared: Arc::new(Shared { options: self, lanes, room, stream, more, window }) }
    }
}

/// What a producer's handles and its stream share.
#[derive(Debug)]
struct Shared {
    options: ProducerBuilder,
    lanes: Mutex<Lanes>,
    room: Arc<Semaphore>,
    /// Held by the task that drives it.
    stream: tokio::sync::Mutex<ProduceStream<Vec<Entry>>>,
    /// Tells that task that there are messages in line.
    more: Notify,
    /// The queue's deduplication window, read once, before the first send.
    window: OnceCell<Duration>,
}

impl Shared {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.lanes.lock().expect("no code panics while it holds the lanes")
    }

    /// The key of a message that names none.
    /// A standard queue deduplicates nothing and takes no id (B5).
    fn key(&self, body: &[u8]) -> String {
        if !self.options.queue.ends_with(".fifo") {
            return String::new();
        }
        if self.options.content_based { content_id(body) } else { Uuid::new_v4().to_string() }
    }
}

/// Sends to one queue. Cheap to clone, and used from many tasks at once; messages of one group go in the order in
/// which their sends began.
///
/// What it keeps, without a session (B3):
/// - a message's key is fixed before its first try, and every further try uses it, so no message is stored twice;
/// - at most one block of a group is unanswered at a time, and a group **stops** at its first message that was not
///   accepted, for whatever reason: its later messages are not sent and answer the reason `EARLIER_REJECTED`, until
///   [`Producer::resume_group`] is called. So nothing overtakes;
/// - groups do not wait for each other, up to the limit of blocks; messages that wait at the same time share blocks of
///   at most 1,000 messages and 1 MiB (H1). All go over one `Produce` stream; when it breaks it is opened again, and what
///   is unanswered goes out again in the same order;
/// - it stops trying 30 s before the queue's deduplication window ends, counted from the first try, and says
///   [`Error::OutcomeUnknown`] (H11). The window is read once: a window made shorter later is not noticed.
///
/// A message begun is sent, also when the future of its send is dropped; a later message of its group waits for it.
#[derive(Clone, Debug)]
pub struct Producer {
    shared: Arc<Shared>,
}

impl Producer {
    /// The queue's name.
    #[must_use]
    pub fn queue(&self) -> &str {
        &self.shared.options.queue
    }

    /// Sends a message and waits for its outcome. A duplicate is a success with the first one's identity (S6).
    ///
    /// # Errors
    /// - [`Error::Refused`] with the rule, or `EARLIER_REJECTED` when its group is stopped: it is not stored.
    /// - [`Error::OutcomeUnknown`] when the deduplication window is nearly over: it may or may not be stored (H11).
    /// - [`Error::Unavailable`] when the outcome is unknown after the time given to it, or as the window is unknown
    ///   after the client's own time limit; the same message with the same id may be sent again within the window.
    /// - [`Error::Unreachable`] when no try got a connection: it is not stored.
    ///
    /// After each of them the group is stopped.
    pub async fn send(&self, message: Message) -> Result<Sent, Error> {
        self.enqueue(message).await.await
    }

    /// Waits for room and puts a message in its group's line; its place there is fixed when this returns. The
    /// [`Ticket`] tells its outcome, and the message is sent whether or not anybody waits for it.
    pub async fn enqueue(&self, message: Message) -> Ticket {
        let mut tickets = self.enqueue_together(vec![message]).await;
        tickets.pop().expect("one message has one ticket")
    }

    /// Sends many messages in as few blocks as the limits and the groups' order allow, and waits for all outcomes: one
    /// for each, in order. They need not fit into one block, nor into the buffer.
    ///
    /// A refused message stops its group only; outcomes are as for [`Producer::send`].
    pub async fn send_batch(&self, messages: Vec<Message>) -> Vec<Result<Sent, Error>> {
        let mut tickets = Vec::with_capacity(messages.len());
        let mut messages = messages.into_iter().peekable();
        while messages.peek().is_some() {
            let (mut together, mut size) = (Vec::new(), 0);
            while let Some(message) = messages.next_if(|message| {
                size += message.body().len();
                together.is_empty() || (together.len() < MAX_BATCH_ENTRIES && size <= MAX_BATCH_BYTES)
            }) {
                together.push(message);
            }
            tickets.extend(self.enqueue_together(together).await);
        }
        let mut outcomes = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            outcomes.push(ticket.await);
        }
        outcomes
    }

    /// Sends a stream of messages (an iterator: `tokio_stream::iter`) and answers their outcomes in order, running
    /// ahead of whoever reads them by at most 8,000 messages and the producer's buffer. Dropping the returned stream
    /// ends the reading of messages; those already in line are sent.
    ///
    /// Outcomes are as for [`Producer::send`]; the messages after a failure go on, each group on its own.
    pub fn send_all<S>(&self, messages: S) -> impl Stream<Item = Result<Sent, Error>> + Send + Unpin + use<S>
    where
        S: Stream<Item = Message> + Send + 'static,
    {
        let (tickets, outcomes) = tokio::sync::mpsc::channel::<Ticket>(MAX_AHEAD);
        let producer = self.clone();
        tokio::spawn(async move {
            let mut messages = std::pin::pin!(messages);
            // Room in the channel comes first, so that no message is taken that nobody will hear of.
            while let Ok(place) = tickets.reserve().await {
                let message = tokio::select! {
                    biased;
                    () = tickets.closed() => break,
                    message = messages.next() => message,
                };
                let Some(message) = message else { break };
                place.send(producer.enqueue(message).await);
            }
        });
        ReceiverStream::new(outcomes).then(|ticket| ticket)
    }

    /// Lets a stopped group go on with the messages sent from now on; false when it was not stopped. Decide first what
    /// becomes of the message it stopped at: sent again it must go first, with the same id if its outcome is unknown.
    pub fn resume_group(&self, group: &str) -> bool {
        self.shared.lanes().resume(group)
    }

    /// The groups that stopped at a message that was not accepted, in no particular order.
    #[must_use]
    pub fn stopped_groups(&self) -> Vec<String> {
        self.shared.lanes().stopped()
    }

    /// Takes room for all of them, puts them in line in one step, and sees that they are sent.
    async fn enqueue_together(&self, messages: Vec<Message>) -> Vec<Ticket> {
        let shared = &self.shared;
        let entries: Vec<_> = messages.into_iter().map(|message| message.into_entry(|body| shared.key(body))).collect();
        let cost = entries.iter().map(|entry| entry_size(entry) + ENTRY_OVERHEAD).sum::<usize>();
        let cost = u32::try_from(cost.min(shared.options.buffer_bytes)).expect("the buffer is at most 1 GiB");
        // The semaphore is fair: who asked first is let in first, and nothing is awaited between here and the line.
        let room = shared.room.clone().acquire_many_owned(cost).await.expect("the semaphore is never closed");
        let mut room = Room::of(room, entries.len());
        let mut tickets = Vec::with_capacity(entries.len());
        {
            let mut lanes = shared.lanes();
            for wire in entries {
                let (answer, outcome) = oneshot::channel();
                tickets.push(Ticket { deduplication_id: wire.message_deduplication_id.clone(), outcome });
                lanes.push(Entry::new(wire, answer, room.share()));
            }
        }
        post::start(shared);
        tickets
    }
}
