//! Commands that are put before the sequencer in one step and answered in another, for callers that send many without
//! waiting for each. They wait for room instead of being turned away, and are run in the order in which they began.

use std::sync::Arc;

use bytes::Bytes;
use lockstep_engine::{
    Rejected,
    command::{ChangeVisibility, Command, Delete, QueueRef, Send, SendSession},
    reply::{Accepted, Deleted},
    words::{SendNumber, Timestamp},
};
use tokio::sync::oneshot;

use super::{
    Handle,
    messages::{NewMessage, NewSession},
};
use crate::{failure::Failure, limits, request::CommandRequest};

/// One outcome for each entry of a command.
pub type Outcomes<T> = Vec<Result<T, Rejected>>;

/// An answer that is still to come.
#[derive(Debug)]
#[must_use = "the answer says what became of the command"]
pub struct Pending<T>(oneshot::Receiver<Result<T, Failure>>);

impl<T> Pending<T> {
    /// Waits until the answer's reasons are durable.
    ///
    /// # Errors
    /// Those of the command.
    pub async fn answer(self, handle: &Handle) -> Result<T, Failure> {
        self.0.await.unwrap_or_else(|_| Err(handle.unavailable()))
    }

    /// The answer, if it is there already.
    pub fn ready(&mut self, handle: &Handle) -> Option<Result<T, Failure>> {
        match self.0.try_recv() {
            Ok(answer) => Some(answer),
            Err(oneshot::error::TryRecvError::Empty) => None,
            Err(oneshot::error::TryRecvError::Closed) => Some(Err(handle.unavailable())),
        }
    }
}

/// A send as the engine judges it, its bodies, and the bytes that they and the ids count in a frame.
pub(super) fn prepare_send(
    queue: QueueRef,
    session: Option<NewSession>,
    messages: Vec<NewMessage>,
) -> (Send, Vec<Bytes>, u64) {
    let (mut entries, mut bodies) = (Vec::with_capacity(messages.len()), Vec::with_capacity(messages.len()));
    let mut bytes = 0;
    let mut keep = |(entry, body, size)| {
        entries.push(entry);
        bodies.push(body);
        bytes += size;
    };
    let session = session.map(|NewSession { producer, epoch, first }| {
        let digests = messages.iter().map(NewMessage::digest).collect();
        SendSession { producer, epoch, first, digests }
    });
    match &session {
        None => {
            let fifo = queue.name.is_fifo();
            messages.into_iter().map(|message| message.prepare(fifo)).for_each(keep);
        }
        Some(session) => messages
            .into_iter()
            .zip(session.first.0..)
            .for_each(|(message, n)| keep(message.prepare_numbered(&session.producer, session.epoch, SendNumber(n)))),
    }
    (Send { queue, session, entries }, bodies, bytes)
}

impl Handle {
    /// As [`Handle::send`], or within a session as [`Handle::send_numbered`].
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: the broker takes nothing any more; [`Failure::Draining`].
    pub async fn begin_send(
        &self,
        queue: QueueRef,
        session: Option<NewSession>,
        messages: Vec<NewMessage>,
    ) -> Result<Pending<Outcomes<Accepted>>, Failure> {
        let (send, bodies, bytes) = prepare_send(queue, session, messages);
        self.begin(send, bodies, bytes, true).await
    }

    /// As [`Handle::delete`].
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: the broker takes nothing any more.
    pub async fn begin_delete(&self, command: Delete) -> Result<Pending<Outcomes<Deleted>>, Failure> {
        self.begin(command, Vec::new(), 0, false).await
    }

    /// As [`Handle::change_visibility`].
    ///
    /// # Errors
    /// [`Failure::Unavailable`]: the broker takes nothing any more.
    pub async fn begin_change(&self, command: ChangeVisibility) -> Result<Pending<Outcomes<Timestamp>>, Failure> {
        self.begin(command, Vec::new(), 0, false).await
    }

    /// `sends`: not while the broker drains.
    async fn begin<C>(
        &self,
        command: C,
        bodies: Vec<Bytes>,
        bytes: u64,
        sends: bool,
    ) -> Result<Pending<C::Reply>, Failure>
    where
        C: Command + std::marker::Send + 'static,
        C::Reply: std::marker::Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let place = self.requests.reserve().await.map_err(|_| self.unavailable())?;
        let kib = u32::try_from((bytes + limits::REQUEST_OVERHEAD).div_ceil(1_024)).unwrap_or(u32::MAX);
        let share = match bytes {
            0 => None,
            _ => Some(Arc::clone(&self.shares).acquire_many_owned(kib).await.expect("the semaphore is never closed")),
        };
        let _open = if sends { Some(self.drain.admit()?) } else { None };
        place.send(Box::new(CommandRequest { command, bodies, bytes, answer, _share: share }));
        Ok(Pending(answered))
    }
}
