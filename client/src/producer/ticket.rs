//! What the sender of a message in line holds: the ticket for its outcome.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use crate::{Error, message::Sent, outcomes};

/// What becomes of a message.
pub(super) type Outcome = Result<Sent, Error>;
/// What becomes of messages that were put in line together.
pub(super) type Outcomes = outcomes::Outcomes<Outcome>;
/// Who carries a message owes this.
pub(super) type Promise = outcomes::Promise<Outcome>;

/// The outcome of a message in line: a future of what [`Producer::send`](crate::Producer::send) answers. Dropping it
/// changes nothing for the message.
#[derive(Debug)]
pub struct Ticket {
    pub(super) deduplication_id: String,
    pub(super) outcomes: Arc<Outcomes>,
}

impl Ticket {
    /// The key under which the message is sent, also when the producer made it up.
    #[must_use]
    pub fn deduplication_id(&self) -> &str {
        &self.deduplication_id
    }
}

impl Future for Ticket {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.outcomes.poll_one(0, context).map(told)
    }
}

/// What a sender hears.
pub(super) fn told(outcome: Option<Outcome>) -> Outcome {
    let ended = || Error::Unavailable { message: "the runtime of the producer ended before the answer".to_owned() };
    outcome.unwrap_or_else(|| Err(ended()))
}
