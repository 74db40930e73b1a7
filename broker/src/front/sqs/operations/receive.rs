//! ReceiveMessage (O1, R1, R7, R8).

use lockstep_engine::{command::Receive, words::AttemptId};

use super::{Answered, failure, ranged, send::sequence, visibility};
use crate::{
    front::sqs::{
        Services,
        caller::Caller,
        digest,
        errors::SqsError,
        model::{
            Blob, Pairs, Text, Utf8,
            messages::{AttributeOut, Message, ReceiveMessage, ReceiveMessageAnswer},
        },
        refusals::Named,
    },
    handle::{AttributeValue, Delivery, MessageAttribute, is_wanted},
};

/// Who sent a message of which nobody said it, because it came by gRPC: SDKs expect a name.
const SENDER: &str = "000000000000";

pub(super) async fn receive_message(
    services: &Services,
    caller: &Caller,
    request: ReceiveMessage<'_>,
) -> Answered<ReceiveMessageAnswer> {
    let queue = caller.queue(request.queue_url.as_deref())?;
    let reason = "Must be between 1 and 10, if provided.";
    let max = ranged(request.max_number_of_messages, 1, 10, "MaxNumberOfMessages", reason)?.unwrap_or(1);
    let reason = "Must be >= 0 and <= 20, if provided.";
    let wait = ranged(request.wait_time_seconds, 0, 20, "WaitTimeSeconds", reason)?.map(|seconds| seconds * 1_000);
    let visibility = visibility(request.visibility_timeout)?;
    let attempt = request.receive_request_attempt_id.as_deref();
    let parsed = attempt.map(|id| AttemptId::parse(id).map_err(|_| SqsError::id(id, "ReceiveRequestAttemptId")));
    let key = parsed.transpose()?.map(|id| services.handle.attempt_key(&id));
    let max_messages = u32::try_from(max).expect("at most ten");
    let command = Receive { queue, max_messages, visibility, attempt: key };
    let deliveries = services.handle.receive(command, wait).await;
    let deliveries = deliveries.map_err(|it| failure(&it, attempt.map_or(Named::Nothing, Named::Attempt)))?;
    let system = [&request.attribute_names, &request.message_system_attribute_names];
    let system = Wanted(system.into_iter().flatten().flatten().collect());
    let names: Vec<String> = owned(request.message_attribute_names);
    let messages = deliveries.into_iter().map(|delivery| message(caller, delivery, &system, &names)).collect();
    Ok(ReceiveMessageAnswer { messages })
}

fn owned(names: Option<Vec<Text<'_>>>) -> Vec<String> {
    names.unwrap_or_default().into_iter().map(|name| name.0.into_owned()).collect()
}

/// The names of system attributes that were asked for, in either of the two fields; unknown ones are ignored.
struct Wanted<'a>(Vec<&'a Text<'a>>);

impl Wanted<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|wanted| &***wanted == name || &***wanted == "All")
    }
}

fn message(caller: &Caller, delivery: Delivery, system: &Wanted<'_>, names: &[String]) -> Message {
    let attributes = system_attributes(caller, &delivery, system);
    let wanted: Vec<&MessageAttribute> =
        delivery.attributes.iter().filter(|attribute| is_wanted(names, &attribute.name)).collect();
    let md5_of_message_attributes = digest::of_attributes(wanted.iter().copied());
    let message_attributes = Pairs(wanted.into_iter().map(attribute).collect());
    Message {
        message_id: delivery.message_id.to_string(),
        receipt_handle: delivery.receipt_handle,
        md5_of_body: digest::of_body(&delivery.body),
        body: Utf8(delivery.body),
        attributes,
        md5_of_message_attributes,
        message_attributes,
    }
}

fn attribute(attribute: &MessageAttribute) -> (String, AttributeOut) {
    let (string_value, binary_value) = match &attribute.value {
        AttributeValue::Text(text) => (Some(text.clone()), None),
        AttributeValue::Binary(bytes) => (None, Some(Blob(bytes.clone()))),
    };
    let data_type = attribute.data_type.clone();
    (attribute.name.clone(), AttributeOut { string_value, binary_value, data_type })
}

/// What the broker says of a message, as far as it is asked for; times in milliseconds.
fn system_attributes(caller: &Caller, delivery: &Delivery, wanted: &Wanted<'_>) -> Pairs<&'static str, String> {
    let delivered = &delivery.delivered;
    let mut found = Vec::new();
    let mut add = |name: &'static str, value: &dyn Fn() -> Option<String>| {
        if wanted.has(name) {
            found.extend(value().map(|value| (name, value)));
        }
    };
    let text = |text: &str| Some(text).filter(|text| !text.is_empty()).map(str::to_owned);
    let (group, number) = &delivery.place;
    add("SenderId", &|| text(&delivery.sender_id).or_else(|| text(SENDER)));
    add("SentTimestamp", &|| Some(delivered.sent_at.0.to_string()));
    add("ApproximateReceiveCount", &|| Some(delivered.receives.to_string()));
    add("ApproximateFirstReceiveTimestamp", &|| Some(delivered.first_received_at.0.to_string()));
    add("SequenceNumber", &|| number.map(sequence));
    add("MessageDeduplicationId", &|| number.and_then(|_| text(&delivery.deduplication_id)));
    add("MessageGroupId", &|| text(group));
    add("AWSTraceHeader", &|| text(&delivery.trace_header));
    add("DeadLetterQueueSourceArn", &|| delivered.origin.as_ref().map(|origin| caller.arn(&origin.source)));
    Pairs(found)
}
