//! Makes a producer's calls: one call is tried with the same keys until its outcome is known or its time ends. Which
//! messages it holds is decided in `lanes`.

use std::{sync::Arc, time::Duration};

use lockstep_proto::v1;
use tonic::{Code, Response};

use super::{Shared, lanes::Entry};
use crate::{
    Error,
    calls::{part, same_length},
    message::{Sent, send_result},
    retry::{self, GaveUp, Limit, Repeat, Start},
};

/// What a queue has that does not say otherwise (S4).
const DEFAULT_WINDOW: Duration = Duration::from_secs(300);
/// So long before the window's end no try is made any more (H11).
const SAFETY: Duration = Duration::from_secs(30);

/// Starts every call that may go now, each in a task of its own, which starts the next when it is answered: so a
/// message in line is sent, whoever still waits for it.
pub(super) fn start_calls(shared: &Arc<Shared>) {
    let mut lanes = shared.lanes();
    while let Some(call) = lanes.next_call() {
        let shared = shared.clone();
        tokio::spawn(async move {
            post(&shared, call).await;
            start_calls(&shared);
        });
    }
}

async fn post(shared: &Shared, mut call: Vec<Entry>) {
    let outcome = match window(shared).await {
        Ok(window) => try_until_known(shared, &mut call, window).await,
        Err(error) => Err(Failed::Same(error)),
    };
    let outcomes = match outcome {
        Ok(outcomes) => outcomes,
        // One bad entry may have turned away its neighbours, which other tasks sent: each is asked again by itself.
        // Nothing was accepted, and the keys stay.
        Err(Failed::Same(Error::Refused { code: Some(Code::InvalidArgument), .. })) if call.len() > 1 => {
            return shared.lanes().turned_away(call);
        }
        Err(Failed::Same(error)) => vec![Err(error); call.len()],
        Err(Failed::WindowEnds { window, message }) => {
            call.iter().map(|entry| Err(outcome_unknown(entry, window, &message))).collect()
        }
    };
    shared.lanes().answered(call, outcomes);
}

/// Why a call has no outcomes.
enum Failed {
    /// The same for each of its entries.
    Same(Error),
    /// Unanswered, and the broker would soon forget its keys (H11).
    WindowEnds { window: Duration, message: String },
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

async fn try_until_known(
    shared: &Shared,
    call: &mut [Entry],
    window: Duration,
) -> Result<Vec<Result<Sent, Error>>, Failed> {
    let now = Start::now();
    // The time of a call is the time of its oldest entry: one that was turned away before has been under way longer.
    let start = call.iter().filter_map(|entry| entry.first_try).max_by_key(Start::elapsed).unwrap_or(now);
    call.iter_mut().for_each(|entry| _ = entry.first_try.get_or_insert(now));
    let safe = window.saturating_sub(SAFETY);
    let patience = shared.options.give_up_after.unwrap_or(Duration::MAX);
    let limit = Limit::Total(safe.min(patience));
    let entries: Vec<_> = call.iter().map(|entry| entry.wire.clone()).collect();
    let tried = match entries.as_slice() {
        [entry] => send_one(shared, entry, start, limit).await,
        entries => send_many(shared, entries, start, limit).await,
    };
    tried.map_err(|gave_up| match gave_up {
        GaveUp::Unknown(message) if safe <= patience => Failed::WindowEnds { window, message },
        GaveUp::Final(_) | GaveUp::Unknown(_) | GaveUp::Unsent(_) => Failed::Same(shared.options.client.error(gave_up)),
    })
}

type Tried = Result<Vec<Result<Sent, Error>>, GaveUp>;

/// A single message has a call of its own: it may be larger than a batch, and its refusal has a code.
async fn send_one(shared: &Shared, entry: &v1::SendEntry, start: Start, limit: Limit) -> Tried {
    let client = &shared.options.client;
    let request = v1::SendRequest {
        queue: shared.options.queue.clone(),
        queue_generation: shared.options.generation,
        entry: Some(entry.clone()),
        session: None,
    };
    let rpc = || {
        let (mut rpc, request) = (client.messages(), request.clone());
        async move { rpc.send(request).await }
    };
    let answer =
        retry::run(client.retry_policy(), Repeat::Always, start, limit, rpc).await.map(Response::into_inner)?;
    Ok(vec![part(answer.accepted, "accepted message").map(Sent::from)])
}

async fn send_many(shared: &Shared, entries: &[v1::SendEntry], start: Start, limit: Limit) -> Tried {
    let client = &shared.options.client;
    let request = v1::SendBatchRequest {
        queue: shared.options.queue.clone(),
        queue_generation: shared.options.generation,
        entries: entries.to_vec(),
        session: None,
    };
    let rpc = || {
        let (mut rpc, request) = (client.messages(), request.clone());
        async move { rpc.send_batch(request).await }
    };
    let answer =
        retry::run(client.retry_policy(), Repeat::Always, start, limit, rpc).await.map(Response::into_inner)?;
    same_length(answer.results.len(), entries.len()).map_err(GaveUp::Final)?;
    Ok(answer.results.into_iter().map(send_result).collect())
}
