//! DeleteMessage and DeleteMessageBatch (R3, R4, O6).

use lockstep_engine::command::{Delete, QueueRef};

use super::{Answered, batches, plain, required};
use crate::front::sqs::{
    Services,
    caller::Caller,
    errors::SqsError,
    model::{
        Nothing,
        batches::{Batch, BatchAnswer, DeleteEntry, DoneEntry},
        messages::DeleteMessage,
    },
    refusals::{Named, hole},
};

/// What the service's model calls an entry.
const ENTRY: &str = "DeleteMessageBatchRequestEntry";

pub(super) async fn delete_message(
    services: &Services,
    caller: &Caller,
    request: DeleteMessage<'_>,
) -> Answered<Nothing> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let handle = required(&request.receipt_handle, "ReceiptHandle")?;
    let outcomes = delete(services, queue, &[handle], Named::Handle).await?;
    outcomes.into_iter().next().expect("one outcome for each handle").map(|()| Nothing {})
}

pub(super) async fn delete_message_batch(
    services: &Services,
    caller: &Caller,
    request: Batch<'_, DeleteEntry<'_>>,
) -> Answered<BatchAnswer<DoneEntry>> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let entries = batches::entries(request.entries, ENTRY, |entry| entry.id.as_ref())?;
    let mut handles = Vec::with_capacity(entries.len());
    for (number, entry) in entries.iter().enumerate() {
        let handle =
            required(&entry.receipt_handle, "").map_err(|_| batches::missing(ENTRY, number, "ReceiptHandle"))?;
        handles.push(handle);
    }
    let outcomes = delete(services, queue, &handles, Named::HandleOfEntry).await?;
    Ok(batches::done(entries.iter().map(|entry| entry.id.as_deref()), outcomes))
}

/// Deletes what the handles stand for, judged as a set: on a strict queue only what is behind a hole fails.
async fn delete<'a>(
    services: &Services,
    queue: QueueRef,
    handles: &[&'a str],
    named: fn(&'a str) -> Named<'a>,
) -> Answered<Vec<Answered<()>>> {
    let opened = batches::receipts(services, handles);
    let receipts: Vec<_> = opened.iter().flatten().copied().collect();
    let mut outcomes = if receipts.is_empty() {
        // A queue that is not there is the greater fault.
        services.handle.describe_queue(queue).await.map_err(|it| plain(&it))?;
        Vec::new()
    } else {
        services.handle.delete(Delete { queue, receipts }).await.map_err(|it| plain(&it))?
    }
    .into_iter();
    let outcome = |(receipt, handle): (Result<_, SqsError>, &&'a str)| {
        let receipt: lockstep_engine::words::Receipt = receipt?;
        let outcome = outcomes.next().expect("one outcome for each receipt");
        outcome.map(|_| ()).map_err(|it| hole(&services.handle, &it, named(handle), receipt.generation))
    };
    Ok(opened.into_iter().zip(handles).map(outcome).collect())
}
