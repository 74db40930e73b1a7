//! Frames and stored messages that nobody of ours wrote: read or refused, and what is read is written and read alike.

use bytes::Bytes;
use lockstep_engine::Event;
use lockstep_fuzz::{changed, one, tries};
use lockstep_proto::storage::{StoredAttribute, StoredMessage, stored_attribute::Value};

use super::{
    decode_frame, decode_message, encode_message,
    tests::{encoded, frame_of},
};

/// A frame for each event: short ones are changed where it matters.
fn single(events: &[Event]) -> Vec<Bytes> {
    events.chunks(1).map(encoded).collect()
}

#[test]
fn generated_events_come_back() {
    for mut chance in tries(3_000) {
        let events = frame_of(&mut chance);
        assert_eq!(decode_frame(1, encoded(&events)).as_ref(), Ok(&events));
    }
}

#[test]
fn changed_frames_are_read_or_refused_and_what_is_read_is_written_and_read_alike() {
    let frames: Vec<_> = (0..100).flat_map(|seed| single(&frame_of(&mut fastrand::Rng::with_seed(seed)))).collect();
    for mut chance in tries(20_000) {
        let bytes = changed(&mut chance, &frames);
        if let Ok(events) = decode_frame(1, bytes.into()) {
            assert_eq!(decode_frame(1, encoded(&events)).as_ref(), Ok(&events));
        }
    }
}

#[test]
fn changed_messages_are_read_or_refused() {
    let attribute = |name: &str, value| StoredAttribute { name: name.into(), data_type: "String".into(), value };
    let stored = StoredMessage {
        body: b"{\"turn\":1}".as_slice().into(),
        message_deduplication_id: "an-id".to_owned(),
        attributes: vec![
            attribute("text", Some(Value::Text("words".to_owned()))),
            attribute("bytes", Some(Value::Binary(b"\xff\x00".as_slice().into()))),
            attribute("none", None),
        ],
        aws_trace_header: "Root=1".to_owned(),
        message_group_id: "a-group".to_owned(),
        sender_id: "a-sender".to_owned(),
    };
    let bare = StoredMessage { body: vec![b'x'; 300].into(), ..StoredMessage::default() };
    let valid = [encode_message(&stored), encode_message(&bare)];
    for mut chance in tries(50_000) {
        assert!(decode_message(one(&mut chance, &valid).clone()).is_ok());
        if let Ok(read) = decode_message(changed(&mut chance, &valid).into()) {
            assert_eq!(decode_message(encode_message(&read)), Ok(read));
        }
    }
}
