//! Carries a producer's blocks over its stream: each is tried with the same keys until its outcome is known or its time
//! ends. Which messages it holds is decided in `lanes`.

use std::{sync::Arc, time::Duration};

use tokio::sync::MutexGuard;
use tonic::Code;

use super::{Shared, lanes::Entry};
use crate::{
    Error,
    produce_stream::{Answer, Block, ProduceStream},
    retry::{GaveUp, Limit, Start},
};

/// What a queue has that does not say otherwise (S4).
const DEFAULT_WINDOW: Duration = Duration::from_secs(300);
/// So long before the window's end no try is made any more (H11).
const SAFETY: Duration = Duration::from_secs(30);

/// Sees that what is in line is sent, by a task that ends when nothing is: so a message in line is sent, whoever still
/// waits for it.
pub(super) fn start(shared: &Arc<Shared>) {
    if !shared.lanes().drive() {
        return shared.more.notify_one();
    }
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut stream = shared.stream.lock().await;
        loop {
            push_what_may_go(&shared, &mut stream).await;
            if stream.is_empty() && shared.lanes().rest() {
                return;
            }
            tokio::select! {
                (block, answer) = stream.next() => answered(&shared, block, answer),
                () = shared.more.notified() => {}
            }
        }
    });
}

type Stream<'a> = MutexGuard<'a, ProduceStream<Vec<Entry>>>;

async fn push_what_may_go(shared: &Shared, stream: &mut Stream<'_>) {
    loop {
        let Some(mut entries) = shared.lanes().next_block() else { return };
        match window(shared).await {
            Ok(window) => {
                let block = tried(&mut entries, limit(shared, window).0);
                stream.push(block, entries);
            }
            Err(error) => {
                let outcomes = vec![Err(error); entries.len()];
                shared.lanes().answered(entries, outcomes);
            }
        }
    }
}

/// How long a block is tried, and whether it is the window that ends it (H11).
fn limit(shared: &Shared, window: Duration) -> (Limit, bool) {
    let safe = window.saturating_sub(SAFETY);
    let patience = shared.options.give_up_after.unwrap_or(Duration::MAX);
    (Limit::Total(safe.min(patience)), safe <= patience)
}

fn tried(entries: &mut [Entry], limit: Limit) -> Block {
    let now = Start::now();
    // The time of a block is the time of its oldest entry: one that was turned away before has been under way longer.
    let start = entries.iter().filter_map(|entry| entry.first_try).max_by_key(Start::elapsed).unwrap_or(now);
    entries.iter_mut().for_each(|entry| _ = entry.first_try.get_or_insert(now));
    Block { entries: entries.iter().map(|entry| entry.wire.clone()).collect(), session: None, start, limit }
}

fn answered(shared: &Shared, block: Vec<Entry>, answer: Answer) {
    let outcomes = match answer {
        Ok(outcomes) => outcomes,
        // One bad entry may have turned away its neighbours, which other tasks sent: each is asked again by itself.
        // Nothing was accepted, and the keys stay.
        Err(GaveUp::Final(Error::Refused { code: Some(Code::InvalidArgument), .. })) if block.len() > 1 => {
            return shared.lanes().turned_away(block);
        }
        Err(GaveUp::Unknown(message)) if let Some(window) = window_that_ended(shared) => {
            block.iter().map(|entry| Err(outcome_unknown(entry, window, &message))).collect()
        }
        Err(gave_up @ (GaveUp::Final(_) | GaveUp::Unknown(_) | GaveUp::Unsent(_))) => {
            vec![Err(shared.options.client.error(gave_up)); block.len()]
        }
    };
    shared.lanes().answered(block, outcomes);
}

/// The window that the broker would soon forget a block's keys by, where that and no impatience ends the tries (H11).
fn window_that_ended(shared: &Shared) -> Option<Duration> {
    shared.window.get().copied().filter(|window| limit(shared, *window).1)
}

fn outcome_unknown(entry: &Entry, window: Duration, message: &str) -> Error {
    Error::OutcomeUnknown {
        group: entry.wire.message_group_id.clone(),
        deduplication_id: entry.wire.message_deduplication_id.clone(),
        window,
        message: message.to_owned(),
    }
}

/// The queue's deduplication window, read before the first send. A window that is made longer later is safe, one that
/// is made shorter is not noticed.
async fn window(shared: &Shared) -> Result<Duration, Error> {
    let read = || async {
        let queue = shared.options.client.describe_queue(&shared.options.queue).await?;
        let seconds = queue.attributes.and_then(|attributes| attributes.deduplication_window_seconds);
        Ok(seconds.map_or(DEFAULT_WINDOW, |seconds| Duration::from_secs(seconds.into())))
    };
    shared.window.get_or_try_init(read).await.copied()
}
