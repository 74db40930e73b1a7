//! What comes in: wire fields to the engine's words, parsed once. A field that cannot mean anything is refused with
//! the number of its rule.

use lockstep_engine::{
    AttributeChanges, AwsChanges, DeduplicationScope, GroupDelivery, RedriveAllow, RedriveChange, RedrivePolicy,
    command::{QueueRef, ReaderRef},
    limits as engine_limits,
    words::{
        AttemptId, ClaimNumber, DeduplicationId, Epoch, GroupId, Label, QueueGeneration, QueueName, SendNumber, TagKey,
        TagValue, Tags,
    },
};
use lockstep_proto::v1;

use crate::{
    failure::Invalid,
    handle::{AttributeValue, MessageAttribute, MessageAttributes, NewMessage, NewSession},
    limits,
};

pub(super) type Parsed<T> = Result<T, Invalid>;

/// A queue by name, and by generation where one is given.
pub(super) fn queue(name: &str, generation: Option<u64>) -> Parsed<QueueRef> {
    Ok(QueueRef { name: QueueName::parse(name)?, generation: generation.map(QueueGeneration) })
}

/// A queue whose generation must be named (B8).
pub(super) fn queue_life(name: &str, generation: u64) -> Parsed<QueueRef> {
    queue(name, Some(required("queue_generation", generation, "B8")?))
}

/// A reader under the generation that its controller was given (B6).
pub(super) fn controlled(queue: QueueRef, name: &str, generation: u64) -> Parsed<ReaderRef> {
    let generation = required("reader_generation", generation, "B6")?;
    Ok(ReaderRef { queue, name: Label::parse(name)?, generation: Some(Epoch(generation)) })
}

/// A reader by name alone.
pub(super) fn reader(queue: QueueRef, name: &str) -> Parsed<ReaderRef> {
    Ok(ReaderRef { queue, name: Label::parse(name)?, generation: None })
}

/// A claim's number: from 1.
pub(super) fn claim_number(number: u64) -> Parsed<ClaimNumber> {
    required("number", number, "B6").map(ClaimNumber)
}

/// A number that is never 0.
pub(super) fn required(field: &str, value: u64, rule: &'static str) -> Parsed<u64> {
    if value == 0 { Err(missing(field, rule)) } else { Ok(value) }
}

/// A field that must be there.
pub(super) fn missing(field: &str, rule: &'static str) -> Invalid {
    Invalid::new("FIELD_MISSING", rule, format!("{field} is missing ({rule})"))
}

/// A number within a range; 0 stands for `default`.
pub(super) fn count(field: &str, value: u32, default: u32, most: u32, rule: &'static str) -> Parsed<u32> {
    match value {
        0 => Ok(default),
        value if value <= most => Ok(value),
        value => Err(out_of_range(field, value.into(), 1, most.into(), rule)),
    }
}

/// Seconds within 0 and `most`, both counted in milliseconds from here on.
pub(super) fn seconds(field: &str, value: u32, most: u64, rule: &'static str) -> Parsed<u64> {
    let milliseconds = u64::from(value) * 1_000;
    if milliseconds <= most { Ok(milliseconds) } else { Err(out_of_range(field, value.into(), 0, most / 1_000, rule)) }
}

/// How long a poll may wait (R1).
pub(super) fn wait(seconds_: u32) -> Parsed<u64> {
    seconds("wait_seconds", seconds_, engine_limits::WAIT, "R1")
}

/// A value outside of its range.
pub(super) fn out_of_range(field: &str, value: u64, low: u64, high: u64, rule: &'static str) -> Invalid {
    Invalid::new("OUT_OF_RANGE", rule, format!("{field} is {value}; it must be between {low} and {high} ({rule})"))
}

/// How many entries a batch may have (H1).
pub(super) fn batch(entries: usize, most: usize) -> Parsed<()> {
    if (1..=most).contains(&entries) {
        Ok(())
    } else {
        let text = format!("the batch has {entries} entries; it must have 1 to {most} (H1)");
        Err(Invalid::new(if entries == 0 { "BATCH_EMPTY" } else { "BATCH_TOO_LONG" }, "H1", text))
    }
}

/// The bodies and ids of a request, together (H1).
pub(super) fn sum(bytes: u64) -> Parsed<()> {
    if bytes <= engine_limits::REQUEST_BYTES {
        Ok(())
    } else {
        let text = format!(
            "bodies and ids are {bytes} bytes together; they must not be more than {} (H1)",
            engine_limits::REQUEST_BYTES
        );
        Err(Invalid::new("REQUEST_TOO_LONG", "H1", text))
    }
}

/// A message to send to a queue; only for a standard one may the group be absent (S1, S12).
pub(super) fn message(queue: &QueueName, entry: Option<v1::SendEntry>) -> Parsed<NewMessage> {
    let v1::SendEntry { message_group_id, message_deduplication_id, body, delay_seconds, attributes, aws_trace_header } =
        entry.ok_or_else(|| missing("entry", "H1"))?;
    check_body(&body)?;
    if aws_trace_header.len() > limits::TRACE_HEADER {
        return Err(out_of_range(
            "the length of aws_trace_header",
            aws_trace_header.len() as u64,
            0,
            limits::TRACE_HEADER as u64,
            "R8",
        ));
    }
    Ok(NewMessage {
        group: match message_group_id.as_str() {
            "" if !queue.is_fifo() => GroupId::none(),
            group => GroupId::parse(group)?,
        },
        deduplication_id: optional_id(&message_deduplication_id)?,
        body,
        delay: delay_seconds.map(|value| seconds("delay_seconds", value, engine_limits::DELAY, "L4")).transpose()?,
        attributes: MessageAttributes::parse(attributes.into_iter().map(attribute).collect())?,
        trace_header: aws_trace_header,
        sender_id: String::new(),
    })
}

/// An attribute as it was given; one without a value has an empty text, which is refused (L7).
fn attribute(given: v1::MessageAttribute) -> MessageAttribute {
    use v1::message_attribute::Value;
    let v1::MessageAttribute { name, data_type, value } = given;
    let value = match value {
        Some(Value::StringValue(text)) => AttributeValue::Text(text),
        Some(Value::BinaryValue(bytes)) => AttributeValue::Binary(bytes),
        None => AttributeValue::Text(String::new()),
    };
    MessageAttribute { name, data_type, value }
}

/// Names the entry of a batch that is meant.
pub(super) fn in_entry(index: usize) -> impl FnOnce(Invalid) -> Invalid {
    move |invalid| Invalid { message: format!("entry {index}: {}", invalid.message), ..invalid }
}

/// The numbers of a send within a session (B3).
pub(super) fn session(given: v1::SendSession) -> Parsed<NewSession> {
    let v1::SendSession { producer, epoch, first_number } = given;
    Ok(NewSession {
        producer: Label::parse(&producer)?,
        epoch: Epoch(required("session.epoch", epoch, "B3")?),
        first: SendNumber(required("session.first_number", first_number, "B3")?),
    })
}

/// The bytes of a message that count in a request's sum: its body and its ids (H1).
pub(super) fn message_bytes(message: &NewMessage) -> u64 {
    let id = message.deduplication_id.as_ref().map_or(0, |id| id.as_str().len());
    let beside = message.attributes.size() + message.trace_header.len();
    (message.body.len() + message.group.as_str().len() + id + beside) as u64
}

fn optional_id(text: &str) -> Parsed<Option<DeduplicationId>> {
    if text.is_empty() { Ok(None) } else { Ok(Some(DeduplicationId::parse(text)?)) }
}

/// A receive request attempt id, where an empty text means none (R7).
pub(super) fn attempt(text: &str) -> Parsed<Option<AttemptId>> {
    if text.is_empty() { Ok(None) } else { Ok(Some(AttemptId::parse(text)?)) }
}

/// A group, where an empty text means none.
pub(super) fn optional_group(text: &str) -> Parsed<Option<GroupId>> {
    if text.is_empty() { Ok(None) } else { Ok(Some(GroupId::parse(text)?)) }
}

/// A body is UTF-8 text of at least one character, with only the characters of L6.
fn check_body(body: &[u8]) -> Parsed<()> {
    let control = |byte: u8| byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r');
    // Most bodies are plain ASCII: seen in one pass that looks at many bytes at a time, because it never stops early.
    if !body.is_empty() && body.iter().fold(true, |fine, byte| fine & byte.is_ascii() & !control(*byte)) {
        return Ok(());
    }
    if body.is_empty() {
        return Err(Invalid::new(
            "BODY_EMPTY",
            "L2",
            "the message body is empty; it needs at least one character (L2)",
        ));
    }
    let fault = |text: String| Invalid::new("BODY_CHARACTERS", "L6", text);
    let text =
        std::str::from_utf8(body).map_err(|error| fault(format!("the message body is no UTF-8: {error} (L6)")))?;
    let forbidden = ['\u{FFFE}', '\u{FFFF}'];
    let place = body.iter().position(|byte| control(*byte)).or_else(|| text.find(forbidden));
    match place {
        Some(place) => Err(fault(format!(
            "the message body has a forbidden character at byte {place}; allowed are #x9, #xA, #xD, #x20 to #xD7FF, \
             #xE000 to #xFFFD and #x10000 to #x10FFFF (L6)"
        ))),
        None => Ok(()),
    }
}

/// How many tags one call may name: at least one (L12).
pub(super) fn tag_count(field: &str, given: usize) -> Parsed<()> {
    let most = engine_limits::TAGS;
    if (1..=most).contains(&given) {
        return Ok(());
    }
    Err(out_of_range(&format!("the number of {field}"), given as u64, 1, most as u64, "L12"))
}

/// Tags that were given, of different keys; the engine judges how many a queue may have (L12).
pub(super) fn tags(given: &[v1::Tag]) -> Parsed<Tags> {
    let mut tags = Tags::new();
    for v1::Tag { key, value } in given {
        if tags.insert(TagKey::parse(key)?, TagValue::parse(value)?).is_some() {
            return Err(Invalid::new("TAG_REPEATED", "L12", format!("tag {key:?} is given twice; give it once (L12)")));
        }
    }
    Ok(tags)
}

/// Attributes that were given; the engine judges their ranges.
pub(super) fn attributes(given: Option<v1::QueueAttributes>) -> Parsed<AttributeChanges> {
    let given = given.unwrap_or_default();
    let unknown = |field: &str, value: i32| {
        Invalid::new("ATTRIBUTE_INVALID", "L8", format!("{field} has the unknown value {value}"))
    };
    let delivery = match given.group_delivery.map(|value| (value, v1::GroupDelivery::try_from(value))) {
        None | Some((_, Ok(v1::GroupDelivery::Unspecified))) => None,
        Some((_, Ok(v1::GroupDelivery::Strict))) => Some(GroupDelivery::Strict),
        Some((_, Ok(v1::GroupDelivery::Prefix))) => Some(GroupDelivery::Prefix),
        Some((value, Err(_))) => return Err(unknown("group_delivery", value)),
    };
    let scope = match given.deduplication_scope.map(|value| (value, v1::DeduplicationScope::try_from(value))) {
        None | Some((_, Ok(v1::DeduplicationScope::Unspecified))) => None,
        Some((_, Ok(v1::DeduplicationScope::Queue))) => Some(DeduplicationScope::Queue),
        Some((_, Ok(v1::DeduplicationScope::MessageGroup))) => Some(DeduplicationScope::MessageGroup),
        Some((value, Err(_))) => return Err(unknown("deduplication_scope", value)),
    };
    let milliseconds = |seconds: Option<u32>| seconds.map(|seconds| u64::from(seconds) * 1_000);
    Ok(AttributeChanges {
        delivery,
        content_based: given.content_based_deduplication,
        scope,
        window: milliseconds(given.deduplication_window_seconds),
        visibility: milliseconds(given.visibility_timeout_seconds),
        retention: milliseconds(given.message_retention_seconds),
        max_message_size: given.maximum_message_size_bytes,
        wait: milliseconds(given.receive_wait_seconds),
        redrive: given.redrive_policy.map(redrive).transpose()?,
        redrive_allow: given.redrive_allow_policy.as_ref().map(redrive_allow).transpose()?,
        delay: milliseconds(given.delay_seconds),
        aws: AwsChanges::default(),
    })
}

/// A redrive policy; without a queue, the word to remove it (Q1).
fn redrive(given: v1::RedrivePolicy) -> Parsed<RedriveChange> {
    let v1::RedrivePolicy { dead_letter_queue, max_receive_count: max_receives } = given;
    if !dead_letter_queue.is_empty() {
        let dead_letter_queue = QueueName::parse(&dead_letter_queue)?;
        return Ok(RedriveChange::Set(RedrivePolicy { dead_letter_queue, max_receives }));
    }
    if max_receives == 0 { Ok(RedriveChange::Remove) } else { Err(missing("redrive_policy.dead_letter_queue", "Q1")) }
}

fn redrive_allow(given: &v1::RedriveAllowPolicy) -> Parsed<RedriveAllow> {
    let invalid = |text: String| Invalid::new("ATTRIBUTE_INVALID", "Q5", text);
    let sources: Result<Vec<_>, _> = given.source_queues.iter().map(|name| QueueName::parse(name)).collect();
    let none_named = |allow| {
        let text = || invalid("source_queues are for the permission BY_QUEUE alone (Q5)".to_owned());
        if given.source_queues.is_empty() { Ok(allow) } else { Err(text()) }
    };
    match v1::RedrivePermission::try_from(given.permission) {
        Ok(v1::RedrivePermission::AllowAll) => none_named(RedriveAllow::AllowAll),
        Ok(v1::RedrivePermission::DenyAll) => none_named(RedriveAllow::DenyAll),
        Ok(v1::RedrivePermission::ByQueue) => Ok(RedriveAllow::ByQueue(sources?)),
        Ok(v1::RedrivePermission::Unspecified) => Err(missing("redrive_allow_policy.permission", "Q5")),
        Err(_) => Err(invalid(format!("permission has the unknown value {} (Q5)", given.permission))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_judged_by_their_characters() {
        for good in ["a", "\t\n\r ~\u{7f}", "\u{D7FF}\u{E000}\u{FFFD}\u{10000}\u{10FFFF}"] {
            assert_eq!(check_body(good.as_bytes()), Ok(()), "{good:?}");
        }
        for (bad, reason) in [
            (&b""[..], "BODY_EMPTY"),
            (b"\0", "BODY_CHARACTERS"),
            (b"a\x0b", "BODY_CHARACTERS"),
            (b"\xff", "BODY_CHARACTERS"),
            ("x\u{FFFE}".as_bytes(), "BODY_CHARACTERS"),
            ("\u{FFFF}".as_bytes(), "BODY_CHARACTERS"),
        ] {
            assert_eq!(check_body(bad).expect_err("forbidden").reason, reason, "{bad:?}");
        }
    }
}
