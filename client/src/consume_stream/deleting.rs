//! The outcome of a delete that nobody waited for when it was asked for.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use super::Done;
use crate::{Deleted, Error, outcomes::Outcomes};

/// A delete that is under way; a future of what [`Delivery::delete`](crate::Delivery::delete) answers. Dropping it
/// changes nothing for the message.
#[derive(Debug)]
pub struct Deleting {
    pub(super) answer: Arc<Outcomes<Result<Done, Error>>>,
}

impl Deleting {
    /// The outcome, if it is there already; once only.
    ///
    /// # Errors
    /// As the future.
    pub fn try_answer(&mut self) -> Option<Result<Deleted, Error>> {
        match self.answer.poll_one(0, &mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => Some(deleted(done)),
            Poll::Pending => None,
        }
    }
}

/// [`Error::Unavailable`] when the stream ended before the answer: the message may be deleted or not, and asking again
/// with its receipt handle is harmless (R4).
impl Future for Deleting {
    type Output = Result<Deleted, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.answer.poll_one(0, context).map(deleted)
    }
}

fn deleted(done: Option<Result<Done, Error>>) -> Result<Deleted, Error> {
    let ended = || Error::Unavailable { message: "the stream ended before the answer to a delete".to_owned() };
    done.ok_or_else(ended).flatten().map(|done| Deleted { already_gone: done.already_gone() })
}
