//! The parts that a message passes, each alone and ready to be measured: the engine without IO, the codec, the journal's
//! append, the parsing of both doors. `pieces` takes their time, `instructions` counts what they execute.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::path::Path;

use lockstep_broker::{NewMessage, codec, parsing};
use lockstep_engine::{
    AttributeChanges, Engine, Event,
    command::{Command, Context, CreateQueue, Delete, QueueRef, Receive, Send, SendEntry, Space},
    words::{DeduplicationKey, GroupId, QueueName, Receipt, Tags, Timestamp},
};
use lockstep_journal::{Frame, FrameNumber, Journal, SegmentsJournal, SegmentsOptions, SledJournal, SledOptions};
use lockstep_proto::v1;
use prost::Message as _;

/// Messages of a batch, and of a frame.
pub(crate) const BATCH: u64 = 100;
const BODY: usize = 256;

pub(crate) fn queue_name() -> QueueName {
    QueueName::parse("bench.fifo").expect("a queue name")
}

/// An engine with an empty queue.
pub(crate) struct Lives {
    engine: Engine,
    now: u64,
    queue: QueueRef,
    sent: u64,
}

impl Lives {
    pub(crate) fn new() -> Self {
        let queue = QueueRef { name: queue_name(), generation: None };
        let mut lives = Self { engine: Engine::new(), now: 1, queue, sent: 0 };
        let attributes = AttributeChanges::default();
        lives.apply(&CreateQueue { name: queue_name(), attributes, tags: Tags::default() });
        lives
    }

    fn apply<C: Command>(&mut self, command: &C) -> (Vec<Event>, C::Reply) {
        self.now += 1;
        let context = Context { now: Timestamp(self.now), frame: self.now, next_body: 0, space: Space::UNLIMITED };
        self.engine.settle(context.now).events.iter().for_each(|event| self.engine.evolve(event));
        let decision = self.engine.decide(command, &context);
        decision.events.iter().for_each(|event| self.engine.evolve(event));
        (decision.events, decision.reply.expect("nothing here is refused"))
    }

    /// Sends a batch to 1,000 groups in turn; its events.
    pub(crate) fn send(&mut self) -> Vec<Event> {
        let numbers = self.sent + 1..=self.sent + BATCH;
        self.sent += BATCH;
        self.apply(&Send { queue: self.queue.clone(), session: None, entries: numbers.map(entry).collect() }).0
    }

    /// A batch sent, received and deleted.
    pub(crate) fn live(&mut self) {
        self.send();
        let max_messages = u32::try_from(BATCH).expect("a small batch");
        let queue = self.queue.clone();
        let (_, delivered) = self.apply(&Receive { queue, max_messages, visibility: None, attempt: None });
        let receipt = |message: &lockstep_engine::reply::Delivered| Receipt {
            generation: message.generation,
            sequence: message.sequence,
            epoch: message.epoch,
        };
        let receipts = delivered.iter().map(receipt).collect();
        self.apply(&Delete { queue: self.queue.clone(), receipts });
    }
}

fn entry(number: u64) -> SendEntry {
    let mut key = [0; 16];
    // Spread as a hash would be.
    key[..8].copy_from_slice(&number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
    SendEntry {
        group: GroupId::parse(&format!("g{}", number % 1_000)).expect("a group id"),
        explicit_id: true,
        queue_key: DeduplicationKey(key),
        group_key: DeduplicationKey(key),
        size: u32::try_from(BODY).expect("a small body"),
        delay: None,
    }
}

/// The events of a batch as a frame has them.
pub(crate) fn encode(events: &[Event]) -> bytes::Bytes {
    let mut buffer = codec::EventBuffer::default();
    events.iter().for_each(|event| buffer.push(event));
    buffer.finish()
}

pub(crate) fn decode(bytes: &bytes::Bytes) -> Vec<Event> {
    codec::decode_frame(1, bytes.clone()).expect("the frame was encoded by us")
}

/// A journal that takes frames of a batch, one after the other.
pub(crate) struct Appends<J> {
    journal: J,
    frame: Frame,
    number: FrameNumber,
}

impl<J: Journal> Appends<J> {
    fn new(journal: J) -> Self {
        let bodies = (0..BATCH).map(|_| bytes::Bytes::from(vec![b'x'; BODY])).collect();
        let frame = Frame { events: encode(&Lives::new().send()), bodies };
        Self { journal, frame, number: FrameNumber::FIRST }
    }

    /// Appends a frame and syncs it.
    pub(crate) fn append(&mut self) {
        self.journal.append(self.number, &self.frame, &[]).expect("the disk takes it");
        self.number = self.number.next();
    }
}

pub(crate) fn segments(folder: &Path) -> Appends<SegmentsJournal> {
    Appends::new(SegmentsJournal::open(&folder.join("segments"), SegmentsOptions::default()).expect("a new journal"))
}

pub(crate) fn sled(folder: &Path) -> Appends<SledJournal> {
    Appends::new(SledJournal::open(&folder.join("sled"), SledOptions::default()).expect("a new journal"))
}

/// A message as it comes over gRPC.
pub(crate) fn grpc_request() -> bytes::Bytes {
    let entry = v1::SendEntry {
        message_group_id: "conversation-42".to_owned(),
        message_deduplication_id: "9f86d081884c7d659a2feaa0c55ad015".to_owned(),
        body: vec![b'x'; BODY].into(),
        ..v1::SendEntry::default()
    };
    entry.encode_to_vec().into()
}

pub(crate) fn parse_grpc(queue: &QueueName, request: &bytes::Bytes) -> NewMessage {
    let entry = v1::SendEntry::decode(request.clone()).expect("the request was encoded by us");
    parsing::grpc(queue, entry).expect("a good message")
}

/// A message as it comes over the SQS wire.
pub(crate) fn sqs_request() -> Vec<u8> {
    let body = "x".repeat(BODY);
    format!(
        r#"{{"QueueUrl":"http://127.0.0.1:9324/000000000000/bench.fifo","MessageBody":"{body}","MessageGroupId":"conversation-42","MessageDeduplicationId":"9f86d081884c7d659a2feaa0c55ad015"}}"#
    )
    .into_bytes()
}

pub(crate) fn parse_sqs(queue: &QueueName, request: &[u8]) -> NewMessage {
    parsing::sqs(queue, request).expect("a good message")
}
