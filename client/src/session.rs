//! A producer's session (B3): every message has a number before its first try, and keeps it, so that no repeat is ever
//! stored twice, however late it comes. Which numbers are used is decided here; how a number reaches the broker is
//! `produce_stream`'s, how many go out ahead of their answers is `numbered`'s.

use std::collections::VecDeque;

use lockstep_proto::v1;
use tokio_stream::Stream;

use crate::{
    Client, Error,
    error::EARLIER_REJECTED,
    message::{Message, Sent, entry_size},
    numbered::Sending,
    produce_stream::{Block, ProduceStream},
    retry::{Limit, Start},
};

/// Sends to one queue under the dense numbers of a named producer. See
/// [`ProducerBuilder::session`](crate::ProducerBuilder::session).
///
/// There is no window in which a message must be sent again: a number that was used is recognised for ever. A message
/// needs no deduplication id; one that is named holds as well, within its window.
#[derive(Debug)]
pub struct Session {
    client: Client,
    name: String,
    generation: u64,
    epoch: u64,
    next: u64,
    /// Messages from `next` on whose outcome is unknown.
    unanswered: VecDeque<v1::SendEntry>,
    /// So many of them are in the stream's line, in blocks; each block knows how many it has.
    stream: ProduceStream<usize>,
    in_line: usize,
    /// Bytes of the unanswered.
    bytes: usize,
    /// A message used no number, and what is under way behind it is refused as a gap.
    stopped: bool,
}

impl Session {
    pub(crate) async fn open(
        client: Client,
        queue: String,
        queue_generation: Option<u64>,
        name: String,
        instance: String,
    ) -> Result<Self, Error> {
        let producer = name.clone();
        let request = v1::OpenProducerRequest { queue: queue.clone(), producer, instance, queue_generation };
        let opened = client.open_producer(request).await?;
        let v1::OpenProducerResponse { queue_generation: generation, epoch, last_number } = opened;
        let stream = ProduceStream::new(client.clone(), queue, Some(generation));
        let (next, unanswered) = (last_number + 1, VecDeque::new());
        Ok(Session { client, name, generation, epoch, next, unanswered, stream, in_line: 0, bytes: 0, stopped: false })
    }

    /// The highest number that was used, accepted or refused, as far as this session knows: right after its opening,
    /// where the producer stopped. The message sent next gets the number after it.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.next - 1
    }

    /// The epoch of this instance: another instance of the same name gets a higher one, and fences this one.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The life of the queue that it numbers messages of.
    #[must_use]
    pub fn queue_generation(&self) -> u64 {
        self.generation
    }

    /// Sends a message and waits for its outcome; as [`Session::send_all`].
    ///
    /// # Errors
    /// See [`Session::send_all`].
    pub async fn send(&mut self, message: Message) -> Result<Sent, Error> {
        let mut outcomes = self.send_batch(vec![message]).await;
        outcomes.pop().expect("one message has one outcome")
    }

    /// Sends messages in order and waits for all of them: one outcome for each; as [`Session::send_all`].
    pub async fn send_batch(&mut self, messages: Vec<Message>) -> Vec<Result<Sent, Error>> {
        let mut outcomes = Vec::with_capacity(messages.len());
        let mut sending = self.send_all(tokio_stream::iter(messages));
        while let Some(outcome) = sending.next().await {
            outcomes.push(outcome);
        }
        outcomes
    }

    /// Sends a stream of messages (an iterator: `tokio_stream::iter`) in its order, up to 1,000 of them and 4 MiB ahead
    /// of their answers, in blocks of what is there at the time; [`Sending::next`] answers one outcome for each, in
    /// order, and nothing is sent unless it is awaited. When the stream to the broker breaks, what is unanswered goes
    /// out again under the numbers that it has, within the client's time limit, counted from the first try.
    ///
    /// A refused message has used its number. It does not stop those behind it, except for the later ones of its group
    /// in the same block (H1). When no number was used (`STORAGE_FULL`, a block that was turned away as a whole, a
    /// newer instance), nothing behind it is accepted: the rest answers the reason `EARLIER_REJECTED` and
    /// [`Session::last_number`] says where it stopped. After [`Error::Unavailable`] the outcome of the rest is unknown:
    /// nothing more is sent until [`Session::resume`] has settled it. Dropping a send is the same.
    pub fn send_all<S: Stream<Item = Message>>(&mut self, messages: S) -> Sending<'_, S> {
        Sending::new(self, messages)
    }

    /// Sends what is unanswered again, under the numbers that it has: one outcome for each, in order; none when
    /// everything is settled.
    pub async fn resume(&mut self) -> Vec<Result<Sent, Error>> {
        if !self.stopped {
            self.leave_line();
        }
        let mut outcomes = Vec::with_capacity(self.unanswered.len());
        let mut sending = Sending::resuming(self);
        while let Some(outcome) = sending.next().await {
            outcomes.push(outcome);
        }
        outcomes
    }

    /// How many messages have an unknown outcome.
    #[must_use]
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// The messages that are under way or may have been.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &v1::SendEntry> {
        self.unanswered.iter()
    }

    /// Their bytes.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.bytes
    }

    /// Gives messages the next numbers; they are under way once they are pushed.
    pub(crate) fn number(&mut self, entries: Vec<v1::SendEntry>) {
        self.bytes += entries.iter().map(entry_size).sum::<usize>();
        self.unanswered.extend(entries);
    }

    /// The numbered messages that are not in the stream's line.
    pub(crate) fn not_pushed(&self) -> impl ExactSizeIterator<Item = &v1::SendEntry> {
        self.unanswered.range(self.in_line..)
    }

    /// Puts so many of them in line, as one block.
    pub(crate) fn push_block(&mut self, entries: usize) {
        let first_number = self.next + self.in_line as u64;
        let session = v1::SendSession { producer: self.name.clone(), epoch: self.epoch, first_number };
        let limit = self.client.retry_policy().time_limit;
        let limit = if limit.is_zero() { Limit::Once } else { Limit::Total(limit) };
        let numbered: Vec<_> = self.unanswered.range(self.in_line..self.in_line + entries).cloned().collect();
        let block = Block { entries: numbered.into(), session: Some(session), start: Start::now(), limit };
        self.stream.push(block, entries);
        self.in_line += entries;
    }

    /// Waits for the answer to a block.
    pub(crate) async fn settle(&mut self) -> Settled {
        let (_, entries, answer) = self.stream.next().await;
        if self.stopped {
            // It left a gap. The broker's own word is waited for, so that no straggler meets its number later.
            let outcomes = answer.unwrap_or_default().into_iter().map(|outcome| outcome.map_err(|_| behind()));
            let outcomes = outcomes.chain(std::iter::repeat_with(|| Err(behind()))).take(entries).collect();
            self.answered(entries);
            return Settled::Known(outcomes);
        }
        let outcomes = match answer {
            Ok(outcomes) => outcomes,
            Err(gave_up) => {
                let error = self.client.error(gave_up);
                if error.is_retryable() {
                    // The rest of the line is as unknown as this.
                    self.leave_line();
                    return Settled::Open(error);
                }
                vec![Err(error); entries]
            }
        };
        let used = outcomes.iter().take_while(|outcome| !outcome.as_ref().is_err_and(leaves_its_number)).count();
        self.next += used as u64;
        self.stopped = used < entries;
        self.answered(entries);
        if self.stopped { Settled::Stopped(outcomes) } else { Settled::Known(outcomes) }
    }

    fn answered(&mut self, entries: usize) {
        self.in_line -= entries;
        self.bytes -= self.unanswered.drain(..entries).map(|entry| entry_size(&entry)).sum::<usize>();
    }

    /// How many messages are under way.
    pub(crate) fn in_line(&self) -> usize {
        self.in_line
    }

    /// Whether a message used no number, so that nothing behind it is accepted.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Ends a stop, once nothing is under way: how many messages were numbered and not sent. Their numbers are free.
    pub(crate) fn end_stop(&mut self) -> usize {
        (self.stopped, self.bytes) = (false, 0);
        std::mem::take(&mut self.unanswered).len()
    }

    /// Forgets what is under way, but for its messages.
    fn leave_line(&mut self) {
        self.stream.clear();
        self.in_line = 0;
    }
}

/// What the answer to a block settles.
pub(crate) enum Settled {
    /// Each of its messages has its outcome.
    Known(Vec<Result<Sent, Error>>),
    /// The same, and from one on no number was used.
    Stopped(Vec<Result<Sent, Error>>),
    /// Unknown, for everything that is numbered.
    Open(Error),
}

/// A refusal after which its number, and every later one, is free still.
fn leaves_its_number(error: &Error) -> bool {
    match error {
        // The whole block, or one entry.
        Error::Refused { code: Some(_), .. } => true,
        Error::Refused { code: None, reason, .. } => matches!(reason.as_str(), "STORAGE_FULL" | "SEND_NUMBER_INVALID"),
        Error::Unavailable { .. } | Error::Unreachable { .. } | Error::OutcomeUnknown { .. } => false,
        Error::Protocol(_) => true,
    }
}

pub(crate) fn unsettled() -> Error {
    let message = "earlier messages of the session have an unknown outcome; settle them first, nothing was sent (B3)";
    Error::Unavailable { message: message.to_owned() }
}

/// What stands behind a message that used no number.
pub(crate) fn behind() -> Error {
    Error::Refused {
        code: None,
        reason: EARLIER_REJECTED.to_owned(),
        message: "an earlier message of the session was not accepted and used no number; it was not sent".to_owned(),
        rule: "B3".to_owned(),
    }
}
