//! SendMessage and SendMessageBatch.

use lockstep_engine::{Rejected, command::QueueRef, reply::Accepted, words::SequenceNumber};

use super::{
    Answered, batches, failure,
    outgoing::{Digests, Outgoing},
    plain,
};
use crate::{
    front::sqs::{
        Services,
        caller::Caller,
        errors::{Code, Named, SqsError, rejected},
        model::{
            batches::{Batch, BatchAnswer, SendEntry, SentEntry},
            messages::{SendMessage, SendMessageAnswer},
        },
    },
    handle::NewMessage,
};

/// What the service's model calls an entry.
const ENTRY: &str = "SendMessageBatchRequestEntry";
/// Most bytes of a batch, whatever its queue allows a message (L3).
const BATCH_BYTES: usize = 1 << 20;

/// A sequence number as SQS shows it: 20 digits (S12).
pub(super) fn sequence(number: SequenceNumber) -> String {
    format!("{:020}", number.0)
}

pub(super) async fn send_message(
    services: &Services,
    caller: &Caller,
    request: SendMessage<'_>,
) -> Answered<SendMessageAnswer> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let outgoing = Outgoing {
        body: request.message_body,
        delay: request.delay_seconds,
        attributes: request.message_attributes,
        system_attributes: request.message_system_attributes,
        deduplication_id: request.message_deduplication_id,
        group: request.message_group_id,
    };
    let (message, digests) = outgoing.parse(&queue.name)?;
    let fifo = queue.name.is_fifo();
    let outcomes = services.handle.send(queue, vec![message]).await.map_err(|it| plain(&it))?;
    let outcome = outcomes.into_iter().next().expect("one outcome for each entry");
    let accepted = outcome.map_err(|it| rejected(&it, Named::Nothing))?;
    let Digests { body, attributes, system_attributes } = digests;
    Ok(SendMessageAnswer {
        md5_of_body: body,
        md5_of_attributes: attributes,
        md5_of_system_attributes: system_attributes,
        message_id: services.handle.message_id(accepted.generation, accepted.sequence).to_string(),
        sequence_number: fifo.then(|| sequence(accepted.sequence)),
    })
}

/// An entry that can be sent, and what it will be answered with.
struct Entry {
    index: usize,
    message: NewMessage,
}

pub(super) async fn send_message_batch(
    services: &Services,
    caller: &Caller,
    request: Batch<'_, SendEntry<'_>>,
) -> Answered<BatchAnswer<SentEntry>> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let entries = batches::entries(request.entries, ENTRY, |entry| entry.id.as_ref())?;
    let fifo = queue.name.is_fifo();
    let (mut ids, mut parsed, mut sendable) = (Vec::new(), Vec::new(), Vec::new());
    let outgoing = whole(&queue, entries)?;
    for (index, (id, outgoing)) in outgoing.into_iter().enumerate() {
        ids.push(id);
        parsed.push(outgoing.parse(&queue.name).map(|(message, digests)| {
            sendable.push(Entry { index, message });
            digests
        }));
    }
    let mut outcomes = send_all(services, &queue, sendable, parsed.len()).await?;
    let mut answer = BatchAnswer { successful: Vec::new(), failed: Vec::new() };
    for ((id, parsed), outcome) in ids.into_iter().zip(parsed).zip(outcomes.drain(..)) {
        let accepted = outcome.map(|it| it.map_err(|it| rejected(&it, Named::Entry)));
        let sent = parsed.and_then(|digests| Ok((digests, accepted.expect("what was parsed was sent")?)));
        match sent {
            Ok((digests, accepted)) => answer.successful.push(SentEntry {
                id,
                message_id: services.handle.message_id(accepted.generation, accepted.sequence).to_string(),
                md5_of_body: digests.body,
                md5_of_attributes: digests.attributes,
                md5_of_system_attributes: digests.system_attributes,
                sequence_number: fifo.then(|| sequence(accepted.sequence)),
            }),
            Err(error) => answer.failed.push(batches::failed(id, error)),
        }
    }
    Ok(answer)
}

/// The faults that fail a batch as a whole (P4): a body or a group that is missing, too many bytes.
fn whole<'a>(queue: &QueueRef, entries: Vec<SendEntry<'a>>) -> Answered<Vec<(String, Outgoing<'a>)>> {
    let mut outgoing = Vec::with_capacity(entries.len());
    let mut bytes = 0;
    for (number, entry) in entries.into_iter().enumerate() {
        if entry.message_body.as_ref().is_none_or(|body| body.is_empty()) {
            return Err(batches::missing(ENTRY, number, "MessageBody"));
        }
        if queue.name.is_fifo() && entry.message_group_id.is_none() {
            // The same text as of a single send, under another code (S1).
            return Err(SqsError { code: Code::InvalidParameterValue, ..SqsError::missing("MessageGroupId") });
        }
        let id = entry.id.map(|id| id.0.into_owned()).unwrap_or_default();
        let message = Outgoing {
            body: entry.message_body,
            delay: entry.delay_seconds,
            attributes: entry.message_attributes,
            system_attributes: entry.message_system_attributes,
            deduplication_id: entry.message_deduplication_id,
            group: entry.message_group_id,
        };
        bytes += message.size();
        outgoing.push((id, message));
    }
    if bytes > BATCH_BYTES {
        let text = format!("Batch requests cannot be longer than {BATCH_BYTES} bytes. You have sent {bytes} bytes.");
        return Err(SqsError::new(Code::BatchRequestTooLong, text));
    }
    Ok(outgoing)
}

/// The outcomes by the entries' places; none for one that was not to be sent.
type Outcomes = Vec<Option<Result<Accepted, Rejected>>>;

/// Sends a batch. The engine refuses what follows a refused message of its group (H1); SQS does not, so those are sent
/// once more without it, in their order.
async fn send_all(services: &Services, queue: &QueueRef, mut entries: Vec<Entry>, places: usize) -> Answered<Outcomes> {
    let mut outcomes: Outcomes = vec![None; places];
    without_ids(services, queue, &entries).await?;
    while !entries.is_empty() {
        let messages = entries.iter().map(|entry| entry.message.clone()).collect();
        let sent = services.handle.send(queue.clone(), messages).await.map_err(|it| plain(&it))?;
        let mut again = Vec::new();
        for (entry, outcome) in entries.into_iter().zip(sent) {
            match outcome {
                Err(Rejected::EarlierRejected) => again.push(entry),
                outcome => outcomes[entry.index] = Some(outcome),
            }
        }
        entries = again;
    }
    let refused = |refusal: Rejected| outcomes.iter().flatten().all(|it| it.as_ref().err() == Some(&refusal));
    // An SDK asks again for a request that failed as a whole, and for no entry.
    if outcomes.iter().any(Option::is_some) && refused(Rejected::StorageFull) {
        return Err(failure(&Rejected::StorageFull.into(), Named::Nothing));
    }
    Ok(outcomes)
}

/// On a queue without content-based deduplication a message without an id fails the whole batch (S1), so it must be
/// known before anything is sent.
async fn without_ids(services: &Services, queue: &QueueRef, entries: &[Entry]) -> Answered<()> {
    if !queue.name.is_fifo() || entries.iter().all(|entry| entry.message.deduplication_id.is_some()) {
        return Ok(());
    }
    let view = services.handle.describe_queue(queue.clone()).await.map_err(|it| plain(&it))?;
    if view.attributes.content_based {
        return Ok(());
    }
    Err(rejected(&Rejected::DeduplicationIdMissing, Named::Nothing))
}
