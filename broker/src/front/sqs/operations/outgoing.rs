//! A message on its way in, as SendMessage and an entry of SendMessageBatch have it alike: judged by what SQS says of its
//! fields (L2, L5, L6, L7, S1, S10), and its digests (P5). Each field is parsed once.

use lockstep_engine::words::{DeduplicationId, GroupId, QueueName};

use super::Answered;
use crate::{
    front::sqs::{
        digest,
        errors::{Code, SqsError},
        model::{
            Text,
            messages::{AttributeIn, AttributesIn},
        },
    },
    handle::{AttributeValue, MessageAttribute, MessageAttributes, NewMessage, is_message_text},
    limits,
};

/// The only system attribute that a sender may give (R8).
const TRACE_HEADER: &str = "AWSTraceHeader";

/// The fields of a message, as they came.
pub(super) struct Outgoing<'a> {
    pub(super) body: Option<Text<'a>>,
    pub(super) delay: Option<i64>,
    pub(super) attributes: Option<AttributesIn<'a>>,
    pub(super) system_attributes: Option<AttributesIn<'a>>,
    pub(super) deduplication_id: Option<Text<'a>>,
    pub(super) group: Option<Text<'a>>,
}

/// The MD5s of a message.
pub(super) struct Digests {
    pub(super) body: String,
    pub(super) attributes: Option<String>,
    pub(super) system_attributes: Option<String>,
}

impl Outgoing<'_> {
    /// Bytes by L2.
    pub(super) fn size(&self) -> usize {
        let of = |(name, value): &(Text<'_>, AttributeIn<'_>)| {
            let binary = value.binary_value.as_ref().map_or(0, |bytes| bytes.0.len());
            name.len() + length(&value.data_type) + length(&value.string_value) + binary
        };
        let attributes: usize = self.attributes.iter().flat_map(|it| &it.0).map(of).sum();
        length(&self.body) + attributes
    }

    /// Parses it for a queue; `sender` is an account.
    pub(super) fn parse(self, queue: &QueueName, sender: &str) -> Answered<(NewMessage, Digests)> {
        let body = self.body.filter(|body| !body.is_empty()).ok_or_else(|| SqsError::missing("MessageBody"))?;
        if !is_message_text(&body) {
            return Err(SqsError::characters());
        }
        let (group, deduplication_id) = ids(queue, self.group, self.deduplication_id)?;
        let delay = match self.delay {
            // The queue's delay, not none (S10).
            None | Some(0) if queue.is_fifo() => None,
            Some(delay) if queue.is_fifo() => return Err(SqsError::wrong_kind(delay, "DelaySeconds")),
            delay => super::ranged(delay, 0, 900, "DelaySeconds", "DelaySeconds must be >= 0 and <= 900.")?,
        };
        let attributes = self.attributes.unwrap_or_default().0.into_iter().map(attribute).collect::<Result<_, _>>()?;
        let attributes = MessageAttributes::parse(attributes)
            .map_err(|invalid| SqsError::new(Code::InvalidParameterValue, invalid.message))?;
        let system = system_attributes(self.system_attributes.unwrap_or_default())?;
        let body = body.into_bytes();
        let digests = Digests {
            body: digest::of_body(&body),
            attributes: digest::of_attributes(attributes.iter()),
            system_attributes: digest::of_attributes(system.iter()),
        };
        let trace_header = system.map_or_else(String::new, |it| match it.value {
            AttributeValue::Text(text) => text,
            AttributeValue::Binary(_) => String::new(),
        });
        let delay = delay.map(|seconds| seconds * 1_000);
        let sender_id = sender.to_owned();
        Ok((NewMessage { group, deduplication_id, body, delay, attributes, trace_header, sender_id }, digests))
    }
}

fn length(text: &Option<Text<'_>>) -> usize {
    text.as_ref().map_or(0, |text| text.len())
}

/// Group and deduplication id (L5): the first is required on a FIFO queue (S1), the second is for no other (B5).
fn ids(
    queue: &QueueName,
    group: Option<Text<'_>>,
    deduplication_id: Option<Text<'_>>,
) -> Answered<(GroupId, Option<DeduplicationId>)> {
    let group = match group {
        Some(group) => GroupId::parse(&group).map_err(|_| SqsError::id(&group, "MessageGroupId"))?,
        None if queue.is_fifo() => return Err(SqsError::missing("MessageGroupId")),
        None => GroupId::none(),
    };
    let id = match deduplication_id {
        Some(id) if !queue.is_fifo() => return Err(SqsError::wrong_kind(&*id, "MessageDeduplicationId")),
        Some(id) => Some(DeduplicationId::parse(&id).map_err(|_| SqsError::id(&id, "MessageDeduplicationId"))?),
        None => None,
    };
    Ok((group, id))
}

fn attribute((name, given): (Text<'_>, AttributeIn<'_>)) -> Answered<MessageAttribute> {
    let AttributeIn { data_type, string_value, binary_value, string_list_values, binary_list_values } = given;
    if string_list_values.is_some_and(|it| !it.is_empty()) || binary_list_values.is_some_and(|it| !it.is_empty()) {
        let text = "Message attribute list values in SendMessage operation are not supported.";
        return Err(SqsError::new(Code::UnsupportedOperation, text));
    }
    let data_type = data_type.filter(|it| !it.is_empty()).ok_or_else(|| {
        let text = format!("The message attribute '{}' must contain a DataType.", &*name);
        SqsError::new(Code::InvalidParameterValue, text)
    })?;
    let value = match (string_value, binary_value) {
        (Some(_), Some(_)) => {
            let text = format!("Message (user) attribute '{}' must contain one value, not two.", &*name);
            return Err(SqsError::new(Code::InvalidParameterValue, text));
        }
        (Some(text), None) if !text.is_empty() => AttributeValue::Text(text.0.into_owned()),
        (None, Some(bytes)) if !bytes.0.is_empty() => AttributeValue::Binary(bytes.0),
        (Some(_), None) | (None, Some(_) | None) => {
            let kind = data_type.split('.').next().unwrap_or_default();
            let text =
                format!("Message (user) attribute '{}' must contain a non-empty value of type '{kind}'.", &*name);
            return Err(SqsError::new(Code::InvalidParameterValue, text));
        }
    };
    Ok(MessageAttribute { name: name.0.into_owned(), data_type: data_type.0.into_owned(), value })
}

/// The trace header, if there is one (R8).
fn system_attributes(given: AttributesIn<'_>) -> Answered<Option<MessageAttribute>> {
    let mut trace = None;
    for (name, value) in given.0 {
        let (is_trace, is_string) = (&*name == TRACE_HEADER, value.data_type.as_deref() == Some("String"));
        let attribute = attribute((name, value))?;
        if !is_trace || !is_string || attribute.value.as_bytes().len() > limits::TRACE_HEADER {
            let text = format!(
                "Message system attribute '{}' is not valid: only {TRACE_HEADER} can be given, of type 'String' and of \
                 at most {} bytes.",
                attribute.name,
                limits::TRACE_HEADER
            );
            return Err(SqsError::new(Code::InvalidParameterValue, text));
        }
        trace = Some(attribute);
    }
    Ok(trace)
}
