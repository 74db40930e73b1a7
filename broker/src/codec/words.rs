//! The words that several events share, in both directions: lists of pairs, places, attributes, ids.
//! No whole event is mapped here.

use bytes::Bytes;
use lockstep_engine::{
    Attributes, DeduplicationScope, GroupDelivery, RedriveAllow, RedrivePolicy,
    event::{Counted, Letters, Outcomes, ValueChanged},
    reply::{Accepted, Origin},
    words::{
        BodyOwner, BodyRef, Epoch, GroupId, Label, Position, QueueGeneration, QueueName, ReaderId, SequenceNumber,
        TagKey, TagValue, Tags, Timestamp, ValueKey, WordError,
    },
};
use lockstep_proto::storage as wire;

use super::aws;

/// What is wrong with an event; the caller knows where it stood.
pub(super) type Fault = String;

// A difference is taken and undone with wrap-around, so that every list of numbers has an encoding.

/// The first number, then differences.
pub(super) fn steps(numbers: impl Iterator<Item = u64>) -> Vec<i64> {
    let mut before = 0_u64;
    numbers.map(|number| number.wrapping_sub(std::mem::replace(&mut before, number)).cast_signed()).collect()
}

/// Undoes [`steps`].
pub(super) fn sum(steps: &[i64]) -> impl Iterator<Item = u64> {
    steps.iter().scan(0_u64, |sum, step| {
        *sum = sum.wrapping_add_signed(*step);
        Some(*sum)
    })
}

pub(super) fn sequence_steps(sequences: &[SequenceNumber]) -> Vec<i64> {
    steps(sequences.iter().map(|sequence| sequence.0))
}

pub(super) fn sequences(steps: &[i64]) -> Vec<SequenceNumber> {
    sum(steps).map(SequenceNumber).collect()
}

pub(super) fn counted_steps(messages: &[Counted]) -> (Vec<i64>, Vec<u32>) {
    (steps(messages.iter().map(|(sequence, _)| sequence.0)), messages.iter().map(|(_, receives)| *receives).collect())
}

pub(super) fn counted(steps: &[i64], receives: &[u32]) -> Result<Vec<Counted>, Fault> {
    same_length(steps.len(), receives.len())?;
    Ok(sum(steps).map(SequenceNumber).zip(receives.iter().copied()).collect())
}

/// Messages with the epochs under which they were delivered.
pub(super) fn delivered_steps(messages: &[(SequenceNumber, Epoch)]) -> (Vec<i64>, Vec<i64>) {
    (steps(messages.iter().map(|(sequence, _)| sequence.0)), steps(messages.iter().map(|(_, epoch)| epoch.0)))
}

pub(super) fn delivered(sequences: &[i64], epochs: &[i64]) -> Result<Vec<(SequenceNumber, Epoch)>, Fault> {
    same_length(sequences.len(), epochs.len())?;
    Ok(sum(sequences).map(SequenceNumber).zip(sum(epochs).map(Epoch)).collect())
}

/// Two lists that belong together must be of one length.
pub(super) fn same_length(left: usize, right: usize) -> Result<(), Fault> {
    if left == right { Ok(()) } else { Err(format!("lists of {left} and {right} numbers do not belong together")) }
}

pub(super) fn body(body: BodyRef) -> wire::Body {
    wire::Body { frame: body.position.frame, index: body.position.index, size: body.size }
}

pub(super) fn read_body(body: Option<wire::Body>) -> Result<BodyRef, Fault> {
    Ok(body_ref(body.ok_or("a body's place is missing")?))
}

fn body_ref(body: wire::Body) -> BodyRef {
    BodyRef { position: Position { frame: body.frame, index: body.index }, size: body.size }
}

pub(super) fn sixteen(bytes: &Bytes) -> Result<[u8; 16], Fault> {
    <[u8; 16]>::try_from(bytes.as_ref()).map_err(|_| format!("a key or digest has {} bytes, not 16", bytes.len()))
}

pub(super) fn digest_bytes(digest: [u8; 16]) -> Bytes {
    Bytes::copy_from_slice(&digest)
}

pub(super) fn texts(groups: &[GroupId]) -> Vec<String> {
    groups.iter().map(ToString::to_string).collect()
}

pub(super) fn groups(texts: &[String]) -> Result<Vec<GroupId>, Fault> {
    texts.iter().map(|text| group(text)).collect()
}

fn letters(letters: &Letters) -> wire::Letters {
    wire::Letters {
        to: letters.to.0,
        sequence_steps: steps(letters.messages.iter().map(|(from, _)| from.0)),
        placed_steps: steps(letters.messages.iter().map(|(_, placed)| placed.0)),
    }
}

fn read_letters(letters: &wire::Letters) -> Result<Letters, Fault> {
    same_length(letters.sequence_steps.len(), letters.placed_steps.len())?;
    let pairs = sequences(&letters.sequence_steps).into_iter().zip(sequences(&letters.placed_steps));
    Ok(Letters { to: QueueGeneration(letters.to), messages: pairs.collect() })
}

pub(super) fn outcomes(outcomes: &Outcomes) -> wire::Outcomes {
    let (returned_steps, returned_receives) = counted_steps(&outcomes.returned);
    wire::Outcomes {
        returned_steps,
        returned_receives,
        parked: texts(&outcomes.parked),
        at: outcomes.at.0,
        letters: outcomes.letters.as_ref().map(letters),
    }
}

/// Absent in commits that were written before there were outcomes.
pub(super) fn read_outcomes(outcomes: Option<&wire::Outcomes>) -> Result<Outcomes, Fault> {
    let Some(outcomes) = outcomes else {
        return Ok(Outcomes { returned: Vec::new(), parked: Vec::new(), at: Timestamp(0), letters: None });
    };
    Ok(Outcomes {
        returned: counted(&outcomes.returned_steps, &outcomes.returned_receives)?,
        parked: groups(&outcomes.parked)?,
        at: Timestamp(outcomes.at),
        letters: outcomes.letters.as_ref().map(read_letters).transpose()?,
    })
}

pub(super) fn tags(tags: &Tags) -> Vec<wire::Tag> {
    tags.iter().map(|(key, value)| wire::Tag { key: key.to_string(), value: value.to_string() }).collect()
}

pub(super) fn read_tags(tags: &[wire::Tag]) -> Result<Tags, Fault> {
    tags.iter().map(|tag| Ok((word(TagKey::parse(&tag.key))?, word(TagValue::parse(&tag.value))?))).collect()
}

pub(super) fn word<T>(parsed: Result<T, WordError>) -> Result<T, Fault> {
    parsed.map_err(|error| error.to_string())
}

pub(super) fn queue_name(text: &str) -> Result<QueueName, Fault> {
    word(QueueName::parse(text))
}

pub(super) fn group(text: &str) -> Result<GroupId, Fault> {
    word(GroupId::parse(text))
}

pub(super) fn optional_group(text: Option<&str>) -> Result<Option<GroupId>, Fault> {
    text.map(group).transpose()
}

pub(super) fn label(text: &str) -> Result<Label, Fault> {
    word(Label::parse(text))
}

pub(super) fn value_key(text: &str) -> Result<ValueKey, Fault> {
    word(ValueKey::parse(text))
}

pub(super) fn accepted(outputs: &[Accepted]) -> Vec<wire::Accepted> {
    let one =
        |it: &Accepted| wire::Accepted { queue: it.generation.0, sequence: it.sequence.0, duplicate: it.duplicate };
    outputs.iter().map(one).collect()
}

pub(super) fn read_accepted(outputs: &[wire::Accepted]) -> Vec<Accepted> {
    let one = |it: &wire::Accepted| Accepted {
        generation: QueueGeneration(it.queue),
        sequence: SequenceNumber(it.sequence),
        duplicate: it.duplicate,
    };
    outputs.iter().map(one).collect()
}

pub(super) fn values(values: &[ValueChanged]) -> Vec<wire::ValueChanged> {
    let one = |it: &ValueChanged| wire::ValueChanged {
        group: it.group.as_ref().map(ToString::to_string),
        key: it.key.to_string(),
        body: it.body.map(body),
    };
    values.iter().map(one).collect()
}

pub(super) fn read_values(values: Vec<wire::ValueChanged>) -> Result<Vec<ValueChanged>, Fault> {
    let one = |it: wire::ValueChanged| {
        Ok(ValueChanged {
            group: optional_group(it.group.as_deref())?,
            key: value_key(&it.key)?,
            body: it.body.map(body_ref),
        })
    };
    values.into_iter().map(one).collect()
}

pub(super) fn moved(bodies: &[(BodyOwner, BodyRef)]) -> Vec<wire::MovedBody> {
    let one = |(owner, place): &(BodyOwner, BodyRef)| {
        let owner = match owner {
            BodyOwner::Message(sequence) => wire::moved_body::Owner::Sequence(sequence.0),
            BodyOwner::Value { reader, group, key } => wire::moved_body::Owner::Value(wire::ValueOwner {
                reader: reader.0,
                group: group.as_ref().map(ToString::to_string),
                key: key.to_string(),
            }),
        };
        wire::MovedBody { owner: Some(owner), body: Some(body(*place)) }
    };
    bodies.iter().map(one).collect()
}

pub(super) fn read_moved(bodies: Vec<wire::MovedBody>) -> Result<Vec<(BodyOwner, BodyRef)>, Fault> {
    let one = |it: wire::MovedBody| {
        let owner = match it.owner.ok_or("a moved body has no owner")? {
            wire::moved_body::Owner::Sequence(sequence) => BodyOwner::Message(SequenceNumber(sequence)),
            wire::moved_body::Owner::Value(value) => BodyOwner::Value {
                reader: ReaderId(value.reader),
                group: optional_group(value.group.as_deref())?,
                key: value_key(&value.key)?,
            },
        };
        Ok((owner, it.body.map(body_ref).ok_or("a moved body has no place")?))
    };
    bodies.into_iter().map(one).collect()
}

pub(super) fn attributes(attributes: &Attributes) -> wire::Attributes {
    let delivery = match attributes.delivery {
        GroupDelivery::Strict => wire::GroupDelivery::Strict,
        GroupDelivery::Prefix => wire::GroupDelivery::Prefix,
    };
    let scope = match attributes.scope {
        DeduplicationScope::Queue => wire::DeduplicationScope::Queue,
        DeduplicationScope::MessageGroup => wire::DeduplicationScope::MessageGroup,
    };
    wire::Attributes {
        delivery: delivery.into(),
        content_based: attributes.content_based,
        scope: scope.into(),
        window_ms: attributes.window,
        visibility_ms: attributes.visibility,
        retention_ms: attributes.retention,
        max_message_size: attributes.max_message_size,
        wait_ms: attributes.wait,
        redrive: attributes.redrive.as_ref().map(|policy| wire::RedrivePolicy {
            dead_letter_queue: policy.dead_letter_queue.to_string(),
            max_receives: policy.max_receives,
        }),
        redrive_allow: match &attributes.redrive_allow {
            RedriveAllow::AllowAll => None,
            RedriveAllow::DenyAll => Some(wire::RedriveAllow { sources: Vec::new() }),
            RedriveAllow::ByQueue(sources) => {
                Some(wire::RedriveAllow { sources: sources.iter().map(ToString::to_string).collect() })
            }
        },
        delay_ms: attributes.delay,
        aws: aws::attributes(&attributes.aws),
    }
}

fn read_redrive(policy: Option<&wire::RedrivePolicy>) -> Result<Option<RedrivePolicy>, Fault> {
    let read = |policy: &wire::RedrivePolicy| {
        let dead_letter_queue = queue_name(&policy.dead_letter_queue)?;
        Ok(RedrivePolicy { dead_letter_queue, max_receives: policy.max_receives })
    };
    policy.map(read).transpose()
}

fn read_redrive_allow(allow: Option<&wire::RedriveAllow>) -> Result<RedriveAllow, Fault> {
    match allow {
        None => Ok(RedriveAllow::AllowAll),
        Some(allow) if allow.sources.is_empty() => Ok(RedriveAllow::DenyAll),
        Some(allow) => {
            let sources = allow.sources.iter().map(|name| queue_name(name));
            Ok(RedriveAllow::ByQueue(sources.collect::<Result<_, _>>()?))
        }
    }
}

pub(super) fn origin(origin: &Origin) -> wire::Origin {
    wire::Origin { queue: origin.generation.0, sequence: origin.sequence.0, source: origin.source.to_string() }
}

pub(super) fn read_origin(origin: Option<&wire::Origin>) -> Result<Option<Origin>, Fault> {
    let read = |origin: &wire::Origin| {
        let source = queue_name(&origin.source)?;
        let (generation, sequence) = (QueueGeneration(origin.queue), SequenceNumber(origin.sequence));
        Ok(Origin { generation, sequence, source })
    };
    origin.map(read).transpose()
}

pub(super) fn read_attributes(attributes: Option<&wire::Attributes>) -> Result<Attributes, Fault> {
    let attributes = attributes.ok_or("the attributes are missing")?;
    let delivery = match attributes.delivery() {
        wire::GroupDelivery::Strict => GroupDelivery::Strict,
        wire::GroupDelivery::Prefix => GroupDelivery::Prefix,
        wire::GroupDelivery::Unspecified => return Err(format!("unknown group delivery {}", attributes.delivery)),
    };
    let scope = match attributes.scope() {
        wire::DeduplicationScope::Queue => DeduplicationScope::Queue,
        wire::DeduplicationScope::MessageGroup => DeduplicationScope::MessageGroup,
        wire::DeduplicationScope::Unspecified => return Err(format!("unknown scope {}", attributes.scope)),
    };
    Ok(Attributes {
        delivery,
        content_based: attributes.content_based,
        scope,
        window: attributes.window_ms,
        visibility: attributes.visibility_ms,
        retention: attributes.retention_ms,
        max_message_size: attributes.max_message_size,
        wait: attributes.wait_ms,
        redrive: read_redrive(attributes.redrive.as_ref())?,
        redrive_allow: read_redrive_allow(attributes.redrive_allow.as_ref())?,
        delay: attributes.delay_ms,
        aws: aws::read_attributes(attributes.aws.as_ref())?,
    })
}
