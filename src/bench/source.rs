//! Singly over the stream: a session reads messages from a source as far as it may, as an application would give them.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll},
};

use lockstep_client::Message;
use tokio_stream::Stream;

use super::{
    body,
    deck::{Deck, Drawn},
    pace::Ticks,
    record::Recorder,
    run::Run,
};

/// What the source and the reader of its outcomes share; one task uses both.
struct Shared {
    deck: Deck,
    /// When those that have no answer were to be sent, in order.
    unanswered: VecDeque<u64>,
}

/// Messages, as many as may be unanswered, or as their time comes.
struct Source {
    run: Arc<Run>,
    shared: Arc<Mutex<Shared>>,
    ticks: Option<Ticks>,
}

fn locked(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("nobody panics with the deck")
}

/// The message that is sent for what was drawn.
pub(super) fn message(run: &Run, drawn: &Drawn) -> Message {
    Message::new(run.name(drawn), drawn.body.clone()).deduplication_id(body::id(&drawn.body))
}

impl Stream for Source {
    type Item = Message;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Message>> {
        let this = &mut *self;
        let mut shared = locked(&this.shared);
        // Answers make room, and whoever takes them asks here again: nobody needs to be woken.
        if shared.unanswered.len() >= this.run.plan.in_flight as usize {
            return Poll::Pending;
        }
        let time = match &mut this.ticks {
            Some(ticks) => match ticks.poll_recv(context) {
                Poll::Ready(Some(time)) => time,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            },
            None => this.run.now(),
        };
        if time >= this.run.window.until {
            return Poll::Ready(None);
        }
        let Some(place) = shared.deck.draw() else { return Poll::Ready(None) };
        let drawn = shared.deck.message(place, time);
        shared.unanswered.push_back(time);
        Poll::Ready(Some(message(&this.run, &drawn)))
    }
}

/// Sends what a producer has to send; what it recorded, and the deck it sent from.
pub(super) async fn send(
    run: Arc<Run>,
    name: String,
    deck: Deck,
    ticks: Option<Ticks>,
) -> anyhow::Result<(Recorder, Deck)> {
    let client = run.client().await?;
    let mut session = client.producer(run.queue.as_str()).session(name, format!("{:016x}", fastrand::u64(..))).await?;
    let shared = Arc::new(Mutex::new(Shared { deck, unanswered: VecDeque::new() }));
    let source = Source { run: Arc::clone(&run), shared: Arc::clone(&shared), ticks };
    let mut recorder = Recorder::new(run.window);
    let mut outcomes = session.send_all(source);
    while let Some(outcome) = outcomes.next().await {
        run.accepted(outcome)?;
        let began = locked(&shared).unanswered.pop_front();
        recorder.done(run.now(), began.unwrap_or_default());
    }
    drop(outcomes);
    let shared = Arc::into_inner(shared).expect("the source has ended");
    Ok((recorder, shared.into_inner().expect("nobody panics with the deck").deck))
}
