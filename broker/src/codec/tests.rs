//! Every event survives its encoding; what this version does not know is refused with its place.

use fastrand::Rng;
use lockstep_engine::{
    Attributes, AwsAttributes, DeduplicationScope, Event, GroupDelivery, RedriveAllow, RedrivePolicy, ThroughputLimit,
    event::{
        BurnCause, Counted, Destination, Letters, MoveTask, MoveTaskEnd, MoveTaskFact, NumberUsed, Outcomes, Restored,
        RestoredLease, RestoredOutcome, ReturnCause, SendRefusal, ValueChanged,
    },
    reply::{Accepted, Origin},
    words::{
        ActiveTime, AttemptKey, BodyOwner, BodyRef, ClaimNumber, CommitNumber, ContentDigest, DeduplicationKey, Epoch,
        GroupId, KmsKey, Label, Policy, Position, QueueGeneration, QueueName, ReaderId, SendNumber, SequenceNumber,
        TagKey, TagValue, Tags, TaskNumber, Timestamp, ValueKey,
    },
};

use super::*;

/// Numbers of every size, so that each length of a varint is met, and the extremes.
fn number(rng: &mut Rng) -> u64 {
    match rng.u8(..10) {
        0 => 0,
        1 => u64::MAX,
        _ => rng.u64(..) >> rng.u32(..64),
    }
}

fn small(rng: &mut Rng) -> u32 {
    u32::try_from(number(rng) >> 32).expect("32 bits")
}

fn text(rng: &mut Rng, most: usize) -> String {
    (0..rng.usize(1..=most)).map(|_| char::from(rng.u8(b'a'..=b'z'))).collect()
}

fn label(rng: &mut Rng) -> Label {
    Label::parse(&text(rng, 80)).expect("a label")
}

fn group(rng: &mut Rng) -> GroupId {
    GroupId::parse(&text(rng, 128)).expect("a group")
}

fn key(rng: &mut Rng) -> ValueKey {
    ValueKey::parse(&format!("{}/ü", text(rng, 200))).expect("a key")
}

fn name(rng: &mut Rng) -> QueueName {
    QueueName::parse(&format!("{}.fifo", text(rng, 75))).expect("a name")
}

fn sixteen(rng: &mut Rng) -> [u8; 16] {
    rng.u128(..).to_be_bytes()
}

fn body(rng: &mut Rng) -> BodyRef {
    BodyRef { position: Position { frame: number(rng), index: small(rng) }, size: small(rng) }
}

fn maybe<T>(rng: &mut Rng, make: fn(&mut Rng) -> T) -> Option<T> {
    rng.bool().then(|| make(rng))
}

fn list<T>(rng: &mut Rng, make: fn(&mut Rng) -> T) -> Vec<T> {
    (0..rng.usize(..20)).map(|_| make(rng)).collect()
}

fn queue(rng: &mut Rng) -> QueueGeneration {
    QueueGeneration(number(rng))
}

fn reader(rng: &mut Rng) -> ReaderId {
    ReaderId(number(rng))
}

fn claim(rng: &mut Rng) -> ClaimNumber {
    ClaimNumber(number(rng))
}

fn epoch(rng: &mut Rng) -> Epoch {
    Epoch(number(rng))
}

fn at(rng: &mut Rng) -> Timestamp {
    Timestamp(number(rng))
}

fn active(rng: &mut Rng) -> ActiveTime {
    ActiveTime(number(rng))
}

fn sequence(rng: &mut Rng) -> SequenceNumber {
    SequenceNumber(number(rng))
}

fn counted(rng: &mut Rng) -> Counted {
    (sequence(rng), small(rng))
}

fn digest(rng: &mut Rng) -> ContentDigest {
    ContentDigest(sixteen(rng))
}

fn commit(rng: &mut Rng) -> CommitNumber {
    CommitNumber(number(rng))
}

fn accepted(rng: &mut Rng) -> Accepted {
    Accepted { generation: queue(rng), sequence: sequence(rng), duplicate: rng.bool() }
}

fn tags(rng: &mut Rng) -> Tags {
    let tag = |rng: &mut Rng| {
        let value = if rng.bool() { String::new() } else { format!("ü=, {}", text(rng, 200)) };
        (TagKey::parse(&text(rng, 128)).expect("a key"), TagValue::parse(&value).expect("a value"))
    };
    list(rng, tag).into_iter().collect()
}

fn owner(rng: &mut Rng) -> BodyOwner {
    if rng.bool() {
        return BodyOwner::Message(sequence(rng));
    }
    BodyOwner::Value { reader: reader(rng), group: maybe(rng, group), key: key(rng) }
}

fn value(rng: &mut Rng) -> ValueChanged {
    ValueChanged { group: maybe(rng, group), key: key(rng), body: maybe(rng, body) }
}

fn attributes(rng: &mut Rng) -> Attributes {
    Attributes {
        delivery: if rng.bool() { GroupDelivery::Strict } else { GroupDelivery::Prefix },
        content_based: rng.bool(),
        scope: if rng.bool() { DeduplicationScope::Queue } else { DeduplicationScope::MessageGroup },
        window: number(rng),
        visibility: number(rng),
        retention: number(rng),
        max_message_size: small(rng),
        wait: number(rng),
        redrive: maybe(rng, |rng| RedrivePolicy { dead_letter_queue: name(rng), max_receives: small(rng) }),
        redrive_allow: redrive_allow(rng),
        delay: number(rng),
        aws: if rng.bool() { AwsAttributes::default() } else { aws(rng) },
    }
}

fn aws(rng: &mut Rng) -> AwsAttributes {
    let policy = |rng: &mut Rng| Policy::parse(&format!("{{\"Id\":\"{}\"}}", number(rng))).expect("a policy");
    let scope = |rng: &mut Rng| {
        if rng.bool() { DeduplicationScope::Queue } else { DeduplicationScope::MessageGroup }
    };
    AwsAttributes {
        policy: maybe(rng, policy),
        kms_key: maybe(rng, |rng| KmsKey::parse(&format!("alias/{}", number(rng))).expect("a key")),
        kms_reuse: maybe(rng, number),
        managed_sse: rng.bool(),
        throughput: if rng.bool() { ThroughputLimit::PerQueue } else { ThroughputLimit::PerMessageGroup },
        shown_scope: maybe(rng, scope),
    }
}

fn redrive_allow(rng: &mut Rng) -> RedriveAllow {
    match rng.u8(..3) {
        0 => RedriveAllow::AllowAll,
        1 => RedriveAllow::DenyAll,
        _ => RedriveAllow::ByQueue(vec![name(rng), name(rng)]),
    }
}

fn origin(rng: &mut Rng) -> Origin {
    Origin { generation: queue(rng), sequence: sequence(rng), source: name(rng) }
}

fn lease(rng: &mut Rng) -> RestoredLease {
    RestoredLease { epoch: epoch(rng), received_at: active(rng), visible_at: active(rng) }
}

fn outcome(rng: &mut Rng) -> RestoredOutcome {
    if rng.bool() {
        return RestoredOutcome::Burnt;
    }
    RestoredOutcome::Committed {
        id: label(rng),
        digest: digest(rng),
        commit: commit(rng),
        outputs: list(rng, accepted),
    }
}

fn send_number(rng: &mut Rng) -> SendNumber {
    SendNumber(number(rng))
}

fn used(rng: &mut Rng) -> NumberUsed {
    let outcome = match rng.u8(..6) {
        5 => Err(SendRefusal::DelayNotAllowed),
        0 => Ok((sequence(rng), false)),
        1 => Ok((sequence(rng), true)),
        2 => Err(SendRefusal::MessageTooLong { limit: small(rng) }),
        3 => Err(SendRefusal::DeduplicationIdMissing),
        _ => Err(SendRefusal::EarlierRejected),
    };
    NumberUsed { digest: digest(rng), outcome }
}

fn outcomes(rng: &mut Rng) -> Outcomes {
    let letters = |rng: &mut Rng| Letters { to: queue(rng), messages: list(rng, |r| (sequence(r), sequence(r))) };
    let (returned, parked) = (list(rng, counted), list(rng, group));
    Outcomes { returned, parked, at: at(rng), letters: rng.bool().then(|| letters(rng)) }
}

const EVENTS: u8 = 34;

/// One event of each kind; the compiler's exhaustive matches in `encode` see to it that none is forgotten there.
fn event(rng: &mut Rng, kind: u8) -> Event {
    let (queue, r) = (queue(rng), rng);
    match kind {
        0 => Event::Ticked { at: at(r) },
        1 => Event::Resumed { at: at(r), gap: number(r) },
        2 => Event::QueueCreated { queue, name: name(r), attributes: attributes(r).into(), at: at(r) },
        3 => Event::QueueChanged { queue, attributes: attributes(r).into(), at: at(r) },
        4 => Event::QueuePurged { queue, at: at(r) },
        5 => Event::QueueDeleted { queue, at: at(r) },
        6 => Event::MessageSent {
            queue,
            sequence: sequence(r),
            group: group(r),
            key: DeduplicationKey(sixteen(r)),
            key_expires_at: active(r),
            body: body(r),
            at: at(r),
            delayed_until: maybe(r, at),
        },
        21 => Event::DelaysElapsed { queue, messages: list(r, sequence) },
        25 => Event::AttemptNoted {
            queue,
            attempt: AttemptKey(sixteen(r)),
            expires_at: active(r),
            messages: list(r, |r| (sequence(r), epoch(r))),
        },
        26 => Event::AttemptRepeated { queue, attempt: AttemptKey(sixteen(r)), visible_at: active(r) },
        27 => Event::BodiesMoved { queue, bodies: list(r, |r| (owner(r), body(r))) },
        7 => Event::MessagesReceived {
            queue,
            epoch: epoch(r),
            at: at(r),
            received_at: active(r),
            visible_at: active(r),
            messages: list(r, counted),
        },
        8 => Event::MessagesReturned {
            queue,
            cause: if r.bool() { ReturnCause::Lapsed } else { ReturnCause::GivenBack },
            messages: list(r, counted),
        },
        9 => Event::MessagesDeleted { queue, messages: list(r, sequence) },
        10 => Event::VisibilityChanged { queue, messages: list(r, |r| (sequence(r), active(r))) },
        11 => Event::MessagesExpired { queue, messages: list(r, sequence) },
        12 => Event::KeysForgotten { queue, through: active(r) },
        13 => Event::ReaderOpened {
            queue,
            reader: reader(r),
            name: label(r),
            generation: epoch(r),
            instance: label(r),
            claim_limit: maybe(r, number),
            epochs: list(r, |r| (claim(r), epoch(r))),
        },
        14 => Event::ReaderDropped { queue, reader: reader(r) },
        15 => Event::ClaimOpened {
            queue,
            reader: reader(r),
            number: claim(r),
            epoch: epoch(r),
            at: at(r),
            lapses_at: maybe(r, active),
            messages: list(r, counted),
        },
        16 => Event::ClaimTaken {
            queue,
            reader: reader(r),
            number: claim(r),
            epoch: epoch(r),
            worker: label(r),
            messages: list(r, counted),
        },
        17 => Event::ClaimBurnt {
            queue,
            reader: reader(r),
            number: claim(r),
            cause: if r.bool() { BurnCause::Abandoned } else { BurnCause::Lapsed },
        },
        18 => Event::ClaimCommitted {
            queue,
            reader: reader(r),
            number: claim(r),
            id: label(r),
            digest: digest(r),
            commit: commit(r),
            outputs: list(r, accepted),
            values: list(r, value),
            outcomes: outcomes(r).into(),
        },
        19 => Event::DeliveriesCommitted {
            queue,
            id: label(r),
            digest: digest(r),
            messages: list(r, sequence),
            outputs: list(r, accepted),
        },
        20 => Event::MessagesDeadLettered {
            queue,
            to: QueueGeneration(number(r)),
            at: at(r),
            messages: list(r, |r| (sequence(r), sequence(r))),
        },
        22 => Event::ProducerOpened { queue, producer: label(r), epoch: epoch(r), instance: label(r), at: at(r) },
        23 => Event::NumbersUsed { queue, epoch: epoch(r), first: send_number(r), uses: list(r, used) },
        24 => Event::ProducerForgotten { queue, epoch: epoch(r) },
        28 => Event::GroupParked { queue, group: group(r), at: at(r) },
        30 => Event::QueueTagged { queue, tags: tags(r) },
        32 => Event::MoveTask { queue, task: TaskNumber(number(r)), fact: move_fact(r).into() },
        33 => {
            let task = move_task(r);
            Event::MoveTask { queue, task: task.number, fact: MoveTaskFact::Started(task).into() }
        }
        29 => Event::GroupsUnparked { queue, groups: list(r, group) },
        _ => Event::ValuesCommitted {
            queue,
            reader: reader(r),
            id: label(r),
            digest: digest(r),
            outputs: list(r, accepted),
            values: list(r, value),
        },
    }
}

fn move_end(r: &mut Rng) -> MoveTaskEnd {
    let ends = [MoveTaskEnd::Completed, MoveTaskEnd::Cancelled, MoveTaskEnd::DestinationGone, MoveTaskEnd::TooLong];
    ends[r.usize(..ends.len())]
}

fn move_task(r: &mut Rng) -> MoveTask {
    MoveTask {
        number: TaskNumber(number(r)),
        destination: maybe(r, |r| Destination { generation: queue(r), name: name(r) }),
        rate: small(r),
        through: sequence(r),
        looked_through: sequence(r),
        started_at: at(r),
        next_at: at(r),
        to_move: number(r),
        moved: number(r),
        passed_over: number(r),
        ended: maybe(r, |r| (at(r), move_end(r))),
    }
}

fn move_fact(r: &mut Rng) -> MoveTaskFact {
    match r.u8(..3) {
        0 => MoveTaskFact::Moved { to: queue(r), at: at(r), messages: list(r, |r| (sequence(r), sequence(r))) },
        1 => MoveTaskFact::Advanced { looked_through: sequence(r), passed_over: number(r), next_at: at(r) },
        _ => MoveTaskFact::Ended { at: at(r), end: move_end(r) },
    }
}

const PIECES: u8 = 16;

fn piece(rng: &mut Rng, kind: u8) -> Restored {
    let (queue, r) = (queue(rng), rng);
    match kind {
        0 => Restored::Clock { time: at(r), downtime: number(r), last_generation: queue },
        1 => Restored::Queue {
            queue,
            name: name(r),
            attributes: attributes(r),
            created_at: at(r),
            modified_at: at(r),
            last_sequence: sequence(r),
            last_epoch: epoch(r),
            last_reader: reader(r),
            next_turn: number(r),
            purged_at: maybe(r, at),
        },
        2 => Restored::Message {
            queue,
            sequence: sequence(r),
            group: group(r),
            body: body(r),
            sent_at: at(r),
            first_received_at: maybe(r, at),
            receives: small(r),
            lease: maybe(r, lease),
            origin: maybe(r, origin),
            delayed_until: maybe(r, at),
        },
        10 => Restored::Attempt {
            queue,
            attempt: AttemptKey(sixteen(r)),
            expires_at: active(r),
            messages: list(r, |r| (sequence(r), epoch(r))),
        },
        15 => Restored::Deletion { name: name(r), at: at(r) },
        3 => Restored::FreeGroup { queue, group: group(r), turn: number(r) },
        4 => Restored::Key { queue, key: DeduplicationKey(sixteen(r)), sequence: sequence(r), expires_at: active(r) },
        5 => Restored::Reader {
            queue,
            reader: reader(r),
            name: label(r),
            generation: epoch(r),
            instance: label(r),
            claim_limit: maybe(r, number),
            last_number: claim(r),
            last_ended: claim(r),
            commits: commit(r),
        },
        6 => Restored::Claim {
            queue,
            reader: reader(r),
            number: claim(r),
            epoch: epoch(r),
            worker: maybe(r, label),
            opened_at: at(r),
            lapses_at: maybe(r, active),
            messages: list(r, sequence),
        },
        7 => Restored::EndedClaim { queue, reader: reader(r), number: claim(r), outcome: outcome(r) },
        8 => Restored::Value { queue, reader: reader(r), group: maybe(r, group), key: key(r), body: body(r) },
        9 => Restored::Producer {
            queue,
            producer: label(r),
            epoch: epoch(r),
            instance: label(r),
            opened_at: at(r),
            last: send_number(r),
            uses: list(r, used),
        },
        12 => Restored::Tags { queue, tags: tags(r) },
        13 => Restored::MoveTask { queue, task: move_task(r) },
        11 => Restored::ParkedGroup { queue, group: group(r), at: at(r) },
        _ => Restored::PastCommit { queue, id: label(r), digest: digest(r), outputs: list(r, accepted) },
    }
}

/// One event of every kind, in any order.
pub(super) fn frame_of(rng: &mut Rng) -> Vec<Event> {
    let mut events: Vec<_> = (0..EVENTS).map(|kind| event(rng, kind)).collect();
    events.extend((0..PIECES).map(|kind| Event::from(piece(rng, kind))));
    rng.shuffle(&mut events);
    events
}

pub(super) fn encoded(events: &[Event]) -> Bytes {
    let mut buffer = EventBuffer::default();
    events.iter().for_each(|event| buffer.push(event));
    buffer.finish()
}

#[test]
fn every_event_survives_its_encoding() {
    for seed in 0..300 {
        let events = frame_of(&mut Rng::with_seed(seed));
        assert_eq!(decode_frame(seed, encoded(&events)).as_ref(), Ok(&events), "seed {seed}");
    }
}

#[test]
fn a_long_list_of_neighbours_stays_small() {
    let messages = (0..10_000).map(|n| (SequenceNumber(1 << 40 | n), 1)).collect();
    let (queue, reader, number, epoch) = (QueueGeneration(1), ReaderId(1), ClaimNumber(1), Epoch(1));
    let opened = Event::ClaimOpened { queue, reader, number, epoch, at: Timestamp(1), lapses_at: None, messages };
    assert!(encoded(&[opened]).len() < 21_000, "2 bytes a message");
}

#[test]
fn what_this_version_does_not_know_is_refused_with_its_place() {
    let known = wire::Event { fact: Some(wire::event::Fact::Ticked(wire::Ticked { at: 1 })) };
    let refused = |fact: Option<wire::event::Fact>| {
        let frame = wire::FrameEvents { events: vec![known.clone(), wire::Event { fact }] };
        decode_frame(7, frame.encode_to_vec().into()).expect_err("refused").to_string()
    };
    let place = "event 1 of frame 7";
    let unknown = refused(None);
    assert!(unknown.contains(place) && unknown.contains("newer version"), "{unknown}");
    let nameless = wire::QueueCreated { queue: 1, name: "n o".into(), attributes: None, at: 1 };
    let nameless = refused(Some(wire::event::Fact::QueueCreated(nameless)));
    assert!(nameless.contains(place) && nameless.contains("L1"), "{nameless}");
    let causeless = wire::MessagesReturned { queue: 1, cause: 9, sequence_steps: vec![1], receives: vec![1] };
    assert!(refused(Some(wire::event::Fact::MessagesReturned(causeless))).contains("cause 9"));
    let uneven = wire::MessagesReturned { queue: 1, cause: 1, sequence_steps: vec![1, 2], receives: vec![1] };
    assert!(refused(Some(wire::event::Fact::MessagesReturned(uneven))).contains("2 and 1"));
    let short = wire::RestoredKey { queue: 1, key: Bytes::from_static(b"short"), sequence: 1, expires_at_active: 1 };
    assert!(refused(Some(wire::event::Fact::RestoredKey(short))).contains("5 bytes"));
    let garbage = decode_frame(8, Bytes::from_static(b"\xff\xff")).expect_err("no frame").to_string();
    assert!(garbage.contains("frame 8"), "{garbage}");
}

#[test]
fn an_event_of_the_future_is_not_skipped() {
    // Field 99 of `Event`, a fact that does not exist yet: 2 bytes of tag, an empty message.
    let mut event = vec![];
    prost::encoding::encode_key(99, prost::encoding::WireType::LengthDelimited, &mut event);
    event.push(0);
    let mut frame = vec![EVENTS_TAG, u8::try_from(event.len()).expect("short")];
    frame.extend(event);
    let error = decode_frame(3, frame.into()).expect_err("refused").to_string();
    assert!(error.contains("event 0 of frame 3"), "{error}");
}

#[test]
fn a_stored_message_survives_its_encoding() {
    use lockstep_proto::storage::{StoredAttribute, StoredMessage, stored_attribute::Value};
    let value = Some(Value::Binary(Bytes::from_static(b"\xff")));
    let stored = StoredMessage {
        body: Bytes::from_static(b"body"),
        message_deduplication_id: "id".to_owned(),
        attributes: vec![StoredAttribute { name: "n".to_owned(), data_type: "Binary.x".to_owned(), value }],
        aws_trace_header: "Root=1".to_owned(),
        message_group_id: "given".to_owned(),
        sender_id: "somebody".to_owned(),
    };
    assert_eq!(decode_message(encode_message(&stored)), Ok(stored));
}
