//! The one event that every message has of its own, written without an intermediate: the same bytes as `encode` makes, in
//! a fraction of the time. Nothing else is worth that.

use lockstep_engine::{Event, words::BodyRef};

const VARINT: u8 = 0;
const BYTES: u8 = 2;
/// The field `message_sent` of `Event`.
const MESSAGE_SENT: u8 = 7;

/// Appends the event with its length, if it is that one.
pub(super) fn push(bytes: &mut Vec<u8>, event: &Event) -> bool {
    let Event::MessageSent { queue, sequence, group, key, key_expires_at, body, at, delayed_until } = event else {
        return false;
    };
    let (group, body_length) = (group.as_str().as_bytes(), body_length(*body));
    let delay_length = delayed_until.map_or(0, |until| 1 + varint_length(until.0));
    let length = number_length(queue.0)
        + number_length(sequence.0)
        + bytes_length(group.len())
        + bytes_length(key.0.len())
        + number_length(key_expires_at.0)
        + 1
        + varint_length(body_length as u64)
        + body_length
        + number_length(at.0)
        + delay_length;
    bytes.reserve(length + 2 * 10);
    varint(bytes, (1 + varint_length(length as u64) + length) as u64);
    tag(bytes, MESSAGE_SENT, BYTES);
    varint(bytes, length as u64);
    number(bytes, 1, queue.0);
    number(bytes, 2, sequence.0);
    text(bytes, 3, group);
    text(bytes, 4, &key.0);
    number(bytes, 5, key_expires_at.0);
    tag(bytes, 6, BYTES);
    varint(bytes, body_length as u64);
    number(bytes, 1, body.position.frame);
    number(bytes, 2, body.position.index.into());
    number(bytes, 3, body.size.into());
    number(bytes, 7, at.0);
    if let Some(until) = delayed_until {
        tag(bytes, 8, VARINT);
        varint(bytes, until.0);
    }
    true
}

fn body_length(body: BodyRef) -> usize {
    number_length(body.position.frame) + number_length(body.position.index.into()) + number_length(body.size.into())
}

/// A number that is 0 is not written.
fn number(bytes: &mut Vec<u8>, field: u8, value: u64) {
    if value != 0 {
        tag(bytes, field, VARINT);
        varint(bytes, value);
    }
}

fn number_length(value: u64) -> usize {
    if value == 0 { 0 } else { 1 + varint_length(value) }
}

/// A text that is empty is not written.
fn text(bytes: &mut Vec<u8>, field: u8, value: &[u8]) {
    if !value.is_empty() {
        tag(bytes, field, BYTES);
        varint(bytes, value.len() as u64);
        bytes.extend_from_slice(value);
    }
}

fn bytes_length(length: usize) -> usize {
    if length == 0 { 0 } else { 1 + varint_length(length as u64) + length }
}

fn tag(bytes: &mut Vec<u8>, field: u8, kind: u8) {
    bytes.push(field << 3 | kind);
}

fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value.to_le_bytes()[0] | 0x80);
        value >>= 7;
    }
    bytes.push(value.to_le_bytes()[0]);
}

fn varint_length(value: u64) -> usize {
    // Seven bits a byte.
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use lockstep_engine::words::{
        ActiveTime, DeduplicationKey, GroupId, Position, QueueGeneration, SequenceNumber, Timestamp,
    };
    use prost::Message as _;

    use super::*;

    /// Numbers of every length, each field absent and present.
    #[test]
    fn writes_what_the_general_encoder_writes() {
        let values = (0..64).flat_map(|bit| [1_u64 << bit, (1 << bit) - 1]).chain([u64::MAX]);
        let groups = ["g", "conversation-12345", &"x".repeat(128)].map(|id| GroupId::parse(id).expect("valid"));
        for (value, index) in values.zip(0..) {
            let low = u32::try_from(value & u64::from(u32::MAX)).expect("masked");
            let event = Event::MessageSent {
                queue: QueueGeneration(value),
                sequence: SequenceNumber(value),
                group: if index % 5 == 0 { GroupId::none() } else { groups[index % groups.len()].clone() },
                key: DeduplicationKey([low.to_le_bytes()[0]; 16]),
                key_expires_at: ActiveTime(value),
                body: BodyRef { position: Position { frame: value, index: low }, size: low },
                at: Timestamp(value),
                delayed_until: (index % 2 == 0).then_some(Timestamp(value)),
            };
            let mut bytes = Vec::new();
            assert!(push(&mut bytes, &event));
            assert_eq!(bytes, super::super::encode::event(&event).encode_length_delimited_to_vec(), "{event:?}");
        }
    }
}
