//! What a message in line holds (its share of the buffer) and what its sender holds (the ticket for its outcome).

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::{Error, message::Sent};

/// The outcome of a message in line: a future of what [`Producer::send`](crate::Producer::send) answers. Dropping it
/// changes nothing for the message.
#[derive(Debug)]
pub struct Ticket {
    pub(super) deduplication_id: String,
    pub(super) outcome: oneshot::Receiver<Result<Sent, Error>>,
}

impl Ticket {
    /// The key under which the message is sent, also when the producer made it up.
    #[must_use]
    pub fn deduplication_id(&self) -> &str {
        &self.deduplication_id
    }
}

impl Future for Ticket {
    type Output = Result<Sent, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(Pin::new(&mut self.outcome).poll(context));
        let ended =
            |_| Error::Unavailable { message: "the runtime of the producer ended before the answer".to_owned() };
        Poll::Ready(outcome.map_err(ended).flatten())
    }
}

/// The room of messages that came together, given back piece by piece as they are answered.
pub(super) struct Room {
    rest: Option<OwnedSemaphorePermit>,
    shares: usize,
}

impl Room {
    pub(super) fn of(room: OwnedSemaphorePermit, shares: usize) -> Self {
        Room { rest: Some(room), shares }
    }

    /// An equal share of what is left; the last one is all of it.
    pub(super) fn share(&mut self) -> Option<OwnedSemaphorePermit> {
        if self.shares <= 1 {
            return self.rest.take();
        }
        let rest = self.rest.as_mut()?;
        let share = rest.split(rest.num_permits() / self.shares);
        self.shares -= 1;
        share
    }
}
