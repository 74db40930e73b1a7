//! Sending in order, each message once: keys fixed before the first try, one unanswered block a group, groups in
//! parallel over one stream. This file is what a caller sees; the order is kept in `lanes`, the blocks are sent in `post`.

mod ids;
mod lanes;
mod post;
mod run;
mod ticket;

use std::{
    future::poll_fn,
    sync::{Arc, Mutex},
    time::Duration,
};

use lockstep_proto::v1;
use tokio::sync::{Notify, OnceCell, Semaphore};
use tokio_stream::Stream;

pub use self::ticket::Ticket;
use self::{
    ids::Ids,
    lanes::{Entry, Lanes, MAX_BATCH_BYTES, MAX_BATCH_ENTRIES, Place},
    ticket::{Outcomes, Promise, told},
};
use crate::{
    Client, Error, Session,
    message::{Message, Sent, content_id, entry_size},
    produce_stream::ProduceStream,
};

/// What a waiting message costs beside its bytes: its places in line and among the outcomes.
const ENTRY_OVERHEAD: usize = 256;

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
        let (lanes, ids) = (Mutex::new(Lanes::new(self.max_blocks)), Ids::new());
        let room = Semaphore::new(self.buffer_bytes);
        let stream = ProduceStream::new(self.client.clone(), self.queue.clone(), self.generation);
        let (stream, more, window) = (tokio::sync::Mutex::new(stream), Notify::new(), OnceCell::new());
        Producer { shared: Arc::new(Shared { options: self, ids, lanes, room, stream, more, window }) }
    }
}

/// What a producer's handles and its stream share.
#[derive(Debug)]
struct Shared {
    options: ProducerBuilder,
    ids: Ids,
    lanes: Mutex<Lanes>,
    /// Taken by what is put in line, given back by `in_line` when it is answered.
    room: Semaphore,
    /// Held by the task that drives it.
    stream: tokio::sync::Mutex<ProduceStream<Vec<Place>>>,
    /// Tells that task that there are messages in line.
    more: Notify,
    /// The queue's deduplication window, read once, before the first send.
    window: OnceCell<Duration>,
}

impl Shared {
    /// Does something with the lines, and gives back the room of what was answered by it.
    fn in_line<T>(&self, change: impl FnOnce(&mut Lanes) -> T) -> T {
        let (done, freed) = {
            let mut lanes = self.lanes.lock().expect("no code panics while it holds the lanes");
            (change(&mut lanes), lanes.freed())
        };
        if freed > 0 {
            self.room.add_permits(freed);
        }
        done
    }

    /// The key of a message that names none.
    /// A standard queue deduplicates nothing and takes no id (B5).
    fn key(&self, body: &[u8]) -> String {
        if !self.options.queue.ends_with(".fifo") {
            return String::new();
        }
        if self.options.content_based { content_id(body) } else { self.ids.next() }
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
        let outcomes = self.put(vec![self.entry(message)]).await;
        told(poll_fn(|context| outcomes.poll_one(0, context)).await)
    }

    /// Waits for room and puts a message in its group's line; its place there is fixed when this returns. The
    /// [`Ticket`] tells its outcome, and the message is sent whether or not anybody waits for it.
    pub async fn enqueue(&self, message: Message) -> Ticket {
        let entry = self.entry(message);
        let deduplication_id = entry.message_deduplication_id.clone();
        Ticket { deduplication_id, outcomes: self.put(vec![entry]).await }
    }

    /// Sends many messages in as few blocks as the limits and the groups' order allow, and waits for all outcomes: one
    /// for each, in order. They need not fit into one block, nor into the buffer.
    ///
    /// A refused message stops its group only; outcomes are as for [`Producer::send`].
    pub async fn send_batch(&self, messages: Vec<Message>) -> Vec<Result<Sent, Error>> {
        let (count, mut parts) = (messages.len(), Vec::new());
        let mut entries = messages.into_iter().map(|message| self.entry(message)).peekable();
        while entries.peek().is_some() {
            let (mut together, mut size) = (Vec::with_capacity(entries.len().min(MAX_BATCH_ENTRIES)), 0);
            while let Some(entry) = entries.next_if(|entry| {
                size += entry_size(entry);
                together.is_empty() || (together.len() < MAX_BATCH_ENTRIES && size <= MAX_BATCH_BYTES)
            }) {
                together.push(entry);
            }
            parts.push(self.put(together).await);
        }
        let mut all = Vec::with_capacity(count);
        for part in parts {
            all.extend(part.all().await.into_iter().map(told));
        }
        all
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
        run::start(self.clone(), messages)
    }

    /// Lets a stopped group go on with the messages sent from now on; false when it was not stopped. Decide first what
    /// becomes of the message it stopped at: sent again it must go first, with the same id if its outcome is unknown.
    pub fn resume_group(&self, group: &str) -> bool {
        self.shared.in_line(|lanes| lanes.resume(group))
    }

    /// The groups that stopped at a message that was not accepted, in no particular order.
    #[must_use]
    pub fn stopped_groups(&self) -> Vec<String> {
        self.shared.in_line(|lanes| lanes.stopped())
    }

    /// The wire form of a message, with the key that it has from now on.
    fn entry(&self, message: Message) -> v1::SendEntry {
        message.into_entry(|body| self.shared.key(body))
    }

    /// Takes room for all of them, puts them in line in one step, and sees that they are sent.
    async fn put(&self, entries: Vec<v1::SendEntry>) -> Arc<Outcomes> {
        let shared = &self.shared;
        let cost = entries.iter().map(cost).sum::<usize>().min(shared.options.buffer_bytes);
        // The semaphore is fair: who asked first is let in first, and nothing is awaited between here and the line.
        let room = shared.room.acquire_many(u32::try_from(cost).expect("the buffer is at most 1 GiB")).await;
        room.expect("the semaphore is never closed").forget();
        let outcomes = Outcomes::of(entries.len());
        let drive = shared.in_line(|lanes| {
            let mut left = cost;
            for (wire, index) in entries.into_iter().zip(0..) {
                let room = self::cost(&wire).min(left);
                left -= room;
                lanes.push(Entry::new(wire, Promise::new(&outcomes, index), room));
            }
            lanes.drive()
        });
        if drive {
            post::start(shared);
        } else {
            shared.more.notify_one();
        }
        outcomes
    }
}

/// What a message takes of the buffer.
fn cost(entry: &v1::SendEntry) -> usize {
    entry_size(entry) + ENTRY_OVERHEAD
}
