//! Carries a producer's blocks over its stream: each is tried with the same keys until its outcome is known or its time
//! ends. Which messages it holds is decided in `lanes`.

use std::{sync::Arc, time::Duration};

use lockstep_proto::v1;
use tokio::sync::MutexGuard;
use tonic::Code;

use super::{Shared, lanes::Place};
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
    let shared = shared.clone();
    tokio::spawn(async move {
        let mut stream = shared.stream.lock().await;
        loop {
            push_what_may_go(&shared, &mut stream).await;
            if stream.is_empty() && shared.in_line(|lanes| lanes.rest()) {
                return;
            }
            tokio::select! {
                (block, places, answer) = stream.next() => answered(&shared, block, places, answer),
                () = shared.more.notified() => {}
            }
        }
    });
}

type Stream<'a> = MutexGuard<'a, ProduceStream<Vec<Place>>>;

async fn push_what_may_go(shared: &Shared, stream: &mut Stream<'_>) {
    while let Some((wires, mut places)) = shared.in_line(|lanes| lanes.next_block()) {
        match window(shared).await {
            Ok(window) => {
                let start = tried(&mut places);
                let block = Block { entries: Arc::new(wires), session: None, start, limit: limit(shared, window).0 };
                stream.push(block, places);
            }
            Err(error) => {
                let outcomes = vec![Err(error); places.len()];
                shared.in_line(|lanes| lanes.answered(places, outcomes));
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

/// The time of a block is the time of its oldest entry: one that was turned away before has been under way longer.
fn tried(places: &mut [Place]) -> Start {
    let now = Start::now();
    let start = places.iter().filter_map(|place| place.first_try).max_by_key(Start::elapsed).unwrap_or(now);
    places.iter_mut().for_each(|place| _ = place.first_try.get_or_insert(now));
    start
}

fn answered(shared: &Shared, block: Block, places: Vec<Place>, answer: Answer) {
    let outcomes = match answer {
        Ok(outcomes) => outcomes,
        // One bad entry may have turned away its neighbours, which other tasks sent: each is asked again by itself.
        // Nothing was accepted, and the keys stay.
        Err(GaveUp::Final(Error::Refused { code: Some(Code::InvalidArgument), .. })) if places.len() > 1 => {
            let wires = Arc::unwrap_or_clone(block.entries);
            return shared.in_line(|lanes| lanes.turned_away(wires, places));
        }
        Err(GaveUp::Unknown(message)) if let Some(window) = window_that_ended(shared) => {
            block.entries.iter().map(|entry| Err(outcome_unknown(entry, window, &message))).collect()
        }
        Err(gave_up @ (GaveUp::Final(_) | GaveUp::Unknown(_) | GaveUp::Unsent(_))) => {
            vec![Err(shared.options.client.error(gave_up)); places.len()]
        }
    };
    shared.in_line(|lanes| lanes.answered(places, outcomes));
}

/// The window that the broker would soon forget a block's keys by, where that and no impatience ends the tries (H11).
fn window_that_ended(shared: &Shared) -> Option<Duration> {
    shared.window.get().copied().filter(|window| limit(shared, *window).1)
}

fn outcome_unknown(entry: &v1::SendEntry, window: Duration, message: &str) -> Error {
    Error::OutcomeUnknown {
        group: entry.message_group_id.clone(),
        deduplication_id: entry.message_deduplication_id.clone(),
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
