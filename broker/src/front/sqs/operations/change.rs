//! ChangeMessageVisibility and ChangeMessageVisibilityBatch (R5, R6).

use lockstep_engine::command::{ChangeVisibility, QueueRef};

use super::{Answered, batches, plain, required, visibility};
use crate::front::sqs::{
    Services,
    caller::Caller,
    errors::SqsError,
    model::{
        Nothing,
        batches::{Batch, BatchAnswer, ChangeEntry, DoneEntry},
        messages::ChangeMessageVisibility,
    },
    refusals::{Named, rejected},
};

/// What the service's model calls an entry.
const ENTRY: &str = "ChangeMessageVisibilityBatchRequestEntry";
const TIMEOUT: &str = "VisibilityTimeout";

pub(super) async fn change_message_visibility(
    services: &Services,
    caller: &Caller,
    request: ChangeMessageVisibility<'_>,
) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let handle = required(&request.receipt_handle, "ReceiptHandle")?;
    let timeout = visibility(request.visibility_timeout)?.ok_or_else(|| SqsError::missing(TIMEOUT))?;
    let outcomes = change(services, queue, vec![(handle, Ok(timeout))], Named::Handle).await?;
    outcomes.into_iter().next().expect("one outcome for each handle").map(|()| Nothing {})
}

pub(super) async fn change_message_visibility_batch(
    services: &Services,
    caller: &Caller,
    request: Batch<'_, ChangeEntry<'_>>,
) -> Answered<BatchAnswer<DoneEntry>> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let entries = batches::entries(request.entries, ENTRY, |entry| entry.id.as_ref())?;
    let mut changes = Vec::with_capacity(entries.len());
    for (number, entry) in entries.iter().enumerate() {
        let missing = |field| move |_| batches::missing(ENTRY, number, field);
        let handle = required(&entry.receipt_handle, "").map_err(missing("ReceiptHandle"))?;
        let seconds = entry.visibility_timeout.ok_or(()).map_err(|()| batches::missing(ENTRY, number, TIMEOUT))?;
        let timeout = visibility(Some(seconds)).map(Option::unwrap_or_default);
        changes.push((handle, timeout));
    }
    let outcomes = change(services, queue, changes, Named::HandleOfEntry).await?;
    Ok(batches::done(entries.iter().map(|entry| entry.id.as_deref()), outcomes))
}

/// Changes what the handles stand for, one after the other.
async fn change<'a>(
    services: &Services,
    queue: QueueRef,
    changes: Vec<(&'a str, Answered<u64>)>,
    named: fn(&'a str) -> Named<'a>,
) -> Answered<Vec<Answered<()>>> {
    let handles: Vec<_> = changes.iter().map(|(handle, _)| *handle).collect();
    let opened = batches::receipts(services, &handles);
    let judged = opened.into_iter().zip(changes).map(|(receipt, (_, timeout))| Ok((receipt?, timeout?)));
    let judged: Vec<Answered<_>> = judged.collect();
    let entries: Vec<_> = judged.iter().flatten().copied().collect();
    let mut outcomes = if entries.is_empty() {
        // A queue that is not there is the greater fault.
        services.handle.describe_queue(queue).await.map_err(|it| plain(&it))?;
        Vec::new()
    } else {
        services.handle.change_visibility(ChangeVisibility { queue, entries }).await.map_err(|it| plain(&it))?
    }
    .into_iter();
    let outcome = |(judged, handle): (Answered<_>, &&'a str)| {
        judged?;
        let outcome = outcomes.next().expect("one outcome for each receipt");
        outcome.map(|_| ()).map_err(|it| rejected(&it, named(handle)))
    };
    Ok(judged.into_iter().zip(&handles).map(outcome).collect())
}
