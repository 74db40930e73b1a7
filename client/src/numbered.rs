//! A run of numbered messages: read from their source ahead of the answers, as far as the window allows, put in blocks,
//! and answered in order. What a number is and when it is used is `session`'s.

use std::{collections::VecDeque, pin::Pin, task::Poll};

use lockstep_proto::v1;
use tokio_stream::Stream;

use crate::{
    Error, Session,
    message::{Message, Sent, entry_size},
    produce_stream::{MAX_ENTRY_BYTES, NUMBERED_WINDOW, WINDOW_BYTES},
    session::{Settled, behind, unsettled},
};

/// The most entries of a block: a quarter of the window, so that there is always more than one under way.
const BLOCK_ENTRIES: usize = NUMBERED_WINDOW / 4;
/// The most bytes of a block; a longer message goes alone.
const BLOCK_BYTES: usize = WINDOW_BYTES / 16;

/// A run of messages on its way in a [`Session`]; see [`Session::send_all`].
pub struct Sending<'a, S> {
    session: &'a mut Session,
    /// Unset when all were read.
    messages: Option<Pin<Box<S>>>,
    /// A message that is too long to be sent, and waits for those before it.
    held: Option<v1::SendEntry>,
    ready: VecDeque<Result<Sent, Error>>,
    /// What every further message hears.
    end: Option<fn() -> Error>,
    /// What is under way is behind a message that used no number, and is still answered.
    stopping: bool,
}

impl<S> std::fmt::Debug for Sending<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending").field("session", &self.session).finish_non_exhaustive()
    }
}

impl<'a> Sending<'a, tokio_stream::Empty<Message>> {
    /// Sends again what has no answer.
    pub(crate) fn resuming(session: &'a mut Session) -> Self {
        let stopping = session.is_stopped();
        let end = stopping.then_some(behind as fn() -> Error);
        Sending { session, messages: None, held: None, ready: VecDeque::new(), end, stopping }
    }
}

impl<'a, S: Stream<Item = Message>> Sending<'a, S> {
    pub(crate) fn new(session: &'a mut Session, messages: S) -> Self {
        let end = (session.unanswered() > 0).then_some(unsettled as fn() -> Error);
        let messages = Some(Box::pin(messages));
        Sending { session, messages, held: None, ready: VecDeque::new(), end, stopping: false }
    }

    /// The next outcome, one for each message in order; `None` when all were answered. Its future may be dropped and
    /// asked for again: nothing is lost.
    pub async fn next(&mut self) -> Option<Result<Sent, Error>> {
        loop {
            if let Some(outcome) = self.ready.pop_front() {
                return Some(outcome);
            }
            if self.end.is_none() {
                self.push_blocks();
            } else if self.stopping && self.session.in_line() == 0 {
                self.stopping = false;
                self.ready.extend((0..self.session.end_stop()).map(|_| Err(behind())));
                continue;
            }
            let answers = self.session.in_line() > 0 && (self.end.is_none() || self.stopping);
            let reads = self.reads();
            let (session, messages, held) = (&mut *self.session, &mut self.messages, &mut self.held);
            let room = NUMBERED_WINDOW.saturating_sub(session.unanswered()).min(BLOCK_ENTRIES);
            let alone = session.unanswered() == 0;
            tokio::select! {
                biased;
                settled = session.settle(), if answers => self.take(settled),
                entries = gather(messages, held, room, alone), if reads => match self.end {
                    Some(error) => self.ready.extend(entries.iter().map(|_| Err(error()))),
                    None => self.session.number(entries),
                },
                else => return None,
            }
        }
    }

    /// Whether another message may be read now.
    fn reads(&self) -> bool {
        let fits = self.session.unanswered() < NUMBERED_WINDOW && self.session.pending_bytes() < WINDOW_BYTES;
        match &self.held {
            Some(_) => !self.stopping && (self.end.is_some() || self.session.unanswered() == 0),
            None => self.messages.is_some() && !self.stopping && (self.end.is_some() || fits),
        }
    }

    /// Puts what is numbered in line, in blocks.
    fn push_blocks(&mut self) {
        while self.session.not_pushed().len() > 0 {
            let (mut entries, mut bytes) = (0, 0);
            for entry in self.session.not_pushed() {
                bytes += entry_size(entry);
                if entries > 0 && (bytes > BLOCK_BYTES || entries == BLOCK_ENTRIES) {
                    break;
                }
                entries += 1;
            }
            self.session.push_block(entries);
        }
    }

    fn take(&mut self, settled: Settled) {
        match settled {
            Settled::Known(outcomes) => self.ready.extend(outcomes),
            Settled::Open(error) => {
                self.ready.extend(self.session.pending().map(|_| Err(error.clone())));
                self.end = Some(unsettled);
            }
            Settled::Stopped(outcomes) => {
                self.ready.extend(outcomes);
                self.end = Some(behind);
                self.stopping = true;
            }
        }
    }
}

/// Reads what is there, up to `room` messages and a block's bytes, and at least one; none when all were read. A message
/// that is too long to be sent comes `alone` or is held back.
async fn gather<S: Stream<Item = Message>>(
    messages: &mut Option<Pin<Box<S>>>,
    held: &mut Option<v1::SendEntry>,
    room: usize,
    alone: bool,
) -> Vec<v1::SendEntry> {
    if let Some(entry) = held.take() {
        return vec![entry];
    }
    std::future::poll_fn(|context| {
        let (mut entries, mut bytes) = (Vec::new(), 0);
        while let Some(source) = messages
            && entries.len() < room.max(1)
            && bytes < BLOCK_BYTES
        {
            match source.as_mut().poll_next(context) {
                Poll::Ready(Some(message)) => {
                    let entry = message.into_entry(|_| String::new());
                    bytes += entry_size(&entry);
                    if entry_size(&entry) > MAX_ENTRY_BYTES && !(alone && entries.is_empty()) {
                        *held = Some(entry);
                        break;
                    }
                    entries.push(entry);
                }
                Poll::Ready(None) => *messages = None,
                Poll::Pending if entries.is_empty() => return Poll::Pending,
                Poll::Pending => break,
            }
        }
        Poll::Ready(entries)
    })
    .await
}
