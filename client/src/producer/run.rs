//! A stream of messages on its way: read ahead of its outcomes, what is there at a time together, and answered in
//! order. The sending itself is the producer's.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use lockstep_proto::v1;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::{Stream, StreamExt as _};

use super::{
    Producer, cost,
    lanes::{MAX_BATCH_BYTES, MAX_BATCH_ENTRIES},
    ticket::{Outcome, Outcomes, told},
};
use crate::Message;

/// How many messages a run is ahead of who reads its outcomes.
const MAX_AHEAD: usize = 8 * MAX_BATCH_ENTRIES;
/// How many messages are put in line together at most: enough to make the step cheap, and few enough that the first of
/// them do not wait for the reading of the last.
const TOGETHER: usize = 256;

/// Sends what the stream gives; where the outcomes come.
pub(super) fn start<S>(producer: Producer, messages: S) -> Run
where
    S: Stream<Item = Message> + Send + 'static,
{
    let (parts, answers) = mpsc::unbounded_channel();
    let ahead = Arc::new(Semaphore::new(MAX_AHEAD));
    tokio::spawn(carry(producer, messages, parts, Arc::clone(&ahead)));
    Run { parts: answers, part: None, known: VecDeque::new(), read: 0, ahead }
}

async fn carry<S>(producer: Producer, messages: S, parts: mpsc::UnboundedSender<Arc<Outcomes>>, ahead: Arc<Semaphore>)
where
    S: Stream<Item = Message>,
{
    let mut messages = std::pin::pin!(messages.fuse());
    let most_bytes = (producer.shared.options.buffer_bytes / 4).min(MAX_BATCH_BYTES);
    loop {
        // Room ahead comes first, so that no message is taken that nobody will hear of.
        let room = tokio::select! {
            biased;
            () = parts.closed() => return,
            room = ahead.acquire() => room.expect("the semaphore is never closed"),
        };
        let most = TOGETHER.min(ahead.available_permits() + 1);
        let entries = tokio::select! {
            biased;
            () = parts.closed() => return,
            entries = gather(messages.as_mut(), &producer, most, most_bytes) => entries,
        };
        if entries.is_empty() {
            return;
        }
        room.forget();
        ahead.forget_permits(entries.len() - 1);
        // Who reads may have gone; what was taken is sent.
        let _ = parts.send(producer.put(entries).await);
    }
}

/// What the stream has ready, and at least one; none at its end.
async fn gather<S: Stream<Item = Message>>(
    mut messages: Pin<&mut S>,
    producer: &Producer,
    most: usize,
    most_bytes: usize,
) -> Vec<v1::SendEntry> {
    let (mut entries, mut bytes) = (Vec::new(), 0);
    std::future::poll_fn(|context| {
        while entries.len() < most && bytes < most_bytes {
            match messages.as_mut().poll_next(context) {
                Poll::Ready(Some(message)) => {
                    let entry = producer.entry(message);
                    bytes += cost(&entry);
                    entries.push(entry);
                }
                Poll::Pending if entries.is_empty() => return Poll::Pending,
                // A fused stream says its end again.
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        Poll::Ready(std::mem::take(&mut entries))
    })
    .await
}

/// The outcomes of a run.
pub(super) struct Run {
    parts: mpsc::UnboundedReceiver<Arc<Outcomes>>,
    /// What was put in line together, and how many of its outcomes were taken.
    part: Option<(Arc<Outcomes>, usize)>,
    known: VecDeque<Option<Outcome>>,
    /// Outcomes that were read, and whose room was not given back yet.
    read: usize,
    ahead: Arc<Semaphore>,
}

impl Stream for Run {
    type Item = Outcome;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let run = self.get_mut();
        loop {
            if let Some(outcome) = run.known.pop_front() {
                run.read += 1;
                return Poll::Ready(Some(told(outcome)));
            }
            run.ahead.add_permits(std::mem::take(&mut run.read));
            let (outcomes, from) = match run.part.take() {
                Some(part) => run.part.insert(part),
                None => match std::task::ready!(run.parts.poll_recv(context)) {
                    Some(outcomes) => run.part.insert((outcomes, 0)),
                    None => return Poll::Ready(None),
                },
            };
            std::task::ready!(outcomes.poll_from(from, &mut run.known, context));
            if *from == outcomes.len() {
                run.part = None;
            }
        }
    }
}
