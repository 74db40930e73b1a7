//! SendMessage and SendMessageBatch.

use lockstep_engine::{
    Rejected,
    command::QueueRef,
    reply::Accepted,
    words::{QueueName, SequenceNumber},
};

use super::{
    Answered, batches,
    outgoing::{Digests, Outgoing},
    plain,
};
use crate::{
    front::sqs::{
        Services,
        caller::Caller,
        errors::{Code, SqsError},
        model::{
            batches::{Batch, BatchAnswer, SendEntry, SentEntry},
            messages::{SendMessage, SendMessageAnswer},
        },
        refusals::{Named, rejected},
    },
    handle::{NewMessage, Outcomes},
};

/// What the service's model calls an entry.
const ENTRY: &str = "SendMessageBatchRequestEntry";
/// Most bytes of a batch, whatever its queue allows a message (L3).
const BATCH_BYTES: usize = 1 << 20;

/// A sequence number as SQS shows it: 20 digits (S12).
pub(super) fn sequence(number: SequenceNumber) -> String {
    format!("{:020}", number.0)
}

/// A message alone, before anybody is asked.
pub(crate) fn sent_message(queue: &QueueName, fields: &[u8]) -> Result<NewMessage, String> {
    let request = serde_json::from_slice(fields).map_err(|error| error.to_string())?;
    outgoing(request).parse(queue, "").map(|(message, _)| message).map_err(|refusal| refusal.text.into())
}

fn outgoing(request: SendMessage<'_>) -> Outgoing<'_> {
    Outgoing {
        body: request.message_body,
        delay: request.delay_seconds,
        attributes: request.message_attributes,
        system_attributes: request.message_system_attributes,
        deduplication_id: request.message_deduplication_id,
        group: request.message_group_id,
    }
}

pub(super) async fn send_message(
    services: &Services,
    caller: &Caller,
    request: SendMessage<'_>,
) -> Answered<SendMessageAnswer> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let outgoing = outgoing(request);
    let (message, digests) = outgoing.parse(&queue.name, &caller.account)?;
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

pub(super) async fn send_message_batch(
    services: &Services,
    caller: &Caller,
    request: Batch<'_, SendEntry<'_>>,
) -> Answered<BatchAnswer<SentEntry>> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let entries = batches::entries(request.entries, ENTRY, |entry| entry.id.as_ref())?;
    let fifo = queue.name.is_fifo();
    let (mut parsed, mut messages) = (Vec::new(), Vec::new());
    for (id, outgoing) in whole(&queue, entries)? {
        let digests = outgoing.parse(&queue.name, &caller.account).map(|(message, digests)| {
            messages.push(message);
            digests
        });
        parsed.push((id, digests));
    }
    let mut outcomes = send_all(services, queue, messages).await?.into_iter();
    let mut answer = BatchAnswer { successful: Vec::new(), failed: Vec::new() };
    for (id, digests) in parsed {
        let sent = digests.and_then(|digests| {
            let outcome = outcomes.next().expect("one outcome for each message");
            Ok((digests, outcome.map_err(|it| rejected(&it, Named::Entry))?))
        });
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

/// Sends what of a batch can be sent, each judged by itself (P4).
async fn send_all(services: &Services, queue: QueueRef, messages: Vec<NewMessage>) -> Answered<Outcomes<Accepted>> {
    if messages.is_empty() {
        // A queue that is not there is the greater fault.
        services.handle.describe_queue(queue).await.map_err(|it| plain(&it))?;
        return Ok(Vec::new());
    }
    let outcomes = services.handle.send_separately(queue, messages).await.map_err(|it| plain(&it))?;
    // An SDK asks again for a request that failed as a whole, and for no entry.
    if outcomes.iter().all(|outcome| *outcome == Err(Rejected::StorageFull)) {
        return Err(rejected(&Rejected::StorageFull, Named::Nothing));
    }
    Ok(outcomes)
}
