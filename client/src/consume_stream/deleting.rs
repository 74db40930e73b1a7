//! The outcome of a delete that nobody waited for when it was asked for.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::sync::oneshot::{self, error::TryRecvError};

use super::Done;
use crate::{Deleted, Error};

/// A delete that is under way; a future of what [`Delivery::delete`](crate::Delivery::delete) answers. Dropping it
/// changes nothing for the message.
#[derive(Debug)]
pub struct Deleting {
    pub(super) answer: oneshot::Receiver<Result<Done, Error>>,
}

impl Deleting {
    /// The outcome, if it is there already; once only.
    ///
    /// # Errors
    /// As the future.
    pub fn try_answer(&mut self) -> Option<Result<Deleted, Error>> {
        match self.answer.try_recv() {
            Ok(done) => Some(deleted(Some(done))),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(deleted(None)),
        }
    }
}

/// [`Error::Unavailable`] when the stream ended before the answer: the message may be deleted or not, and asking again
/// with its receipt handle is harmless (R4).
impl Future for Deleting {
    type Output = Result<Deleted, Error>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(deleted(ready!(Pin::new(&mut self.answer).poll(context)).ok()))
    }
}

fn deleted(done: Option<Result<Done, Error>>) -> Result<Deleted, Error> {
    let ended = || Error::Unavailable { message: "the stream ended before the answer to a delete".to_owned() };
    done.ok_or_else(ended).flatten().map(|done| Deleted { already_gone: done.already_gone() })
}
