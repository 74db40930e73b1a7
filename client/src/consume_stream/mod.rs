//! Receiving as messages come: a stream that has some delivered ahead, and takes deletes and extensions on the same way.
//! This file is what a caller sees; the connection and what is unanswered on it are `drive`'s.

mod ask;
mod credit;
mod deleting;
mod drive;

use std::{collections::VecDeque, time::Duration};

use lockstep_proto::v1;
use tokio::sync::{mpsc, oneshot};

pub(crate) use self::ask::{Ask, Asks, Done};
pub use self::deleting::Deleting;
use self::{
    credit::{Credit, worth},
    drive::Came,
};
use crate::{
    Client, Error,
    delivery::{Deleted, Delivery},
};

/// The most entries of one call (H1).
const MAX_ENTRIES: usize = 1_000;

/// Takes messages of one queue as they come. See [`ConsumerBuilder::stream`](crate::ConsumerBuilder::stream).
///
/// What it keeps:
/// - at most [`max_messages`](crate::ConsumerBuilder::max_messages) are delivered and not yet taken by
///   [`ConsumeStream::next`]: the broker leases no more to a consumer that is slow. Their leases run while they wait, so
///   with slow work ask for few, or for longer leases;
/// - [`Delivery::delete`], [`Delivery::extend`] and [`Delivery::give_back`] go over the stream, in the order in which they
///   were asked for, many in one request when they are asked together ([`ConsumeStream::delete_all`]);
/// - when the stream breaks it is opened again under the client's retry policy, and what has no answer is asked again,
///   in order. Nothing is given back by that (H8): what was delivered and lost on the way comes again when its lease
///   ends, and what had arrived is taken and finished as if nothing had happened;
/// - dropping it is like vanishing: leases run out. [`ConsumeStream::close`] gives back what was not taken.
#[derive(Debug)]
pub struct ConsumeStream {
    client: Client,
    queue: String,
    deliveries: mpsc::UnboundedReceiver<Came>,
    /// What came and was not taken.
    here: VecDeque<Delivery>,
    /// Taken, and not said yet; said when it is worth a word.
    taken: u32,
    worth: u32,
    asks: Asks,
    /// The last answer was an error: the driver waits to be told that somebody still wants messages.
    failed: bool,
}

impl ConsumeStream {
    pub(crate) fn open(client: Client, queue: String, visibility: Option<u32>, ahead: u32, left: u64) -> Self {
        let (asks, asked) = mpsc::unbounded_channel();
        let start =
            v1::ConsumeStart { queue: queue.clone(), queue_generation: None, visibility_timeout_seconds: visibility };
        let (ahead, here) = (ahead.clamp(1, 10_000), VecDeque::new());
        let deliveries = drive::start(client.clone(), start, Credit::new(ahead, left), asks.downgrade(), asked);
        ConsumeStream { client, queue, deliveries, here, taken: 0, worth: worth(ahead), asks, failed: false }
    }

    /// The next message, however long it takes to come. Dropping the future loses nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Unreachable`] when no stream could be opened within the client's time limit,
    /// [`Error::Refused`] when the broker ends it for good: a missing queue, a missing right. The next call tries again;
    /// deliveries that were taken before can be finished meanwhile.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        if std::mem::take(&mut self.failed) {
            self.say(Ask::GoOn);
        }
        loop {
            if let Some(delivery) = self.take() {
                return Ok(delivery);
            }
            let ended = || Error::Unavailable { message: "the runtime of the consumer ended".to_owned() };
            let came = self.deliveries.recv().await.unwrap_or_else(|| Err(ended()));
            self.came(came)?;
        }
    }

    /// The next message, if it is there already.
    ///
    /// # Errors
    /// As [`ConsumeStream::next`].
    pub fn try_next(&mut self) -> Option<Result<Delivery, Error>> {
        if let Some(delivery) = self.take() {
            return Some(Ok(delivery));
        }
        let came = self.deliveries.try_recv().ok()?;
        match self.came(came) {
            Ok(()) => self.take().map(Ok),
            Err(error) => Some(Err(error)),
        }
    }

    fn came(&mut self, came: Came) -> Result<(), Error> {
        self.failed = came.is_err();
        self.here = came?;
        Ok(())
    }

    /// One of those that are here. What was taken is said when it is worth a word, or when no more is here.
    fn take(&mut self) -> Option<Delivery> {
        let delivery = self.here.pop_front();
        self.taken += u32::from(delivery.is_some());
        if self.taken >= if delivery.is_some() { self.worth } else { 1 } {
            let taken = std::mem::take(&mut self.taken);
            self.say(Ask::Taken(taken));
        }
        delivery
    }

    fn say(&self, ask: Ask) {
        // A driver that ended with its runtime is noticed by the next receive.
        let _ = self.asks.send(ask);
    }

    /// Finishes deliveries of this queue in as few requests as they fit in, each judged as a set: their order does not
    /// matter. One result for each, in order; as [`Delivery::delete`].
    pub async fn delete_all(&self, deliveries: &[Delivery]) -> Vec<Result<Deleted, Error>> {
        // All are asked before any is waited for.
        let handles = deliveries.iter().map(|delivery| delivery.receipt_handle.clone());
        let (ask, outcomes) = Ask::to_delete_all(handles);
        self.say(ask);
        let mut results = Vec::with_capacity(deliveries.len());
        for (delivery, outcome) in deliveries.iter().zip(outcomes.all().await) {
            results.push(match outcome {
                Some(outcome) => outcome.map(|done| Deleted { already_gone: done.already_gone() }),
                None => self.client.delete(&self.queue, &delivery.receipt_handle).await,
            });
        }
        results
    }

    /// Asks to finish a delivery of this stream and does not wait: the outcome is awaited, or looked for, later. For
    /// callers that finish message by message and still keep many under way; what is asked while the line is busy shares
    /// requests, in the order of the asking.
    pub fn start_delete(&self, delivery: &Delivery) -> Deleting {
        let (ask, answer) = Ask::to_delete(delivery.receipt_handle.clone());
        self.say(ask);
        Deleting { answer }
    }

    /// Ends the stream: no more is delivered, everything that was asked is answered, and what was delivered and not
    /// taken is given back, so that it is delivered again at once. How many messages those were.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Unreachable`] when they could not be given back: their leases run out.
    pub async fn close(mut self) -> Result<usize, Error> {
        let (ended, end) = oneshot::channel();
        self.say(Ask::Close(ended));
        // A driver that is gone has nothing more to say.
        let _ = tokio::time::timeout(self.client.retry_policy().try_limit.min(LONGEST_CLOSE), end).await;
        let mut handles: Vec<_> = self.here.drain(..).map(|delivery| delivery.receipt_handle).collect();
        while let Ok(came) = self.deliveries.try_recv() {
            handles.extend(came.into_iter().flatten().map(|delivery| delivery.receipt_handle));
        }
        for part in handles.chunks(MAX_ENTRIES) {
            let back =
                |handle: &String| v1::VisibilityEntry { receipt_handle: handle.clone(), visibility_timeout_seconds: 0 };
            // One that is refused has lapsed already, or went back with an earlier one of its group.
            self.client.change_visibility_batch(&self.queue, part.iter().map(back).collect()).await?;
        }
        Ok(handles.len())
    }
}

/// How long the end of a stream is waited for when the policy says no limit.
const LONGEST_CLOSE: Duration = Duration::from_secs(60);
