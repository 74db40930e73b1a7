//! A valid request of every method, to a queue in which something waits, is held, is claimed and is finished. What is
//! done to them is said in `fuzz`.

use bytes::Bytes;
use lockstep_proto::v1::{
    self, commit_request::Target, explain_request::Subject, message_attribute::Value, messages_client::MessagesClient,
    producers_client::ProducersClient, queues_client::QueuesClient, readers_client::ReadersClient,
};
use prost::Message;
use tonic::transport::Channel;

/// The queue that the requests are about.
pub(super) const QUEUE: &str = "orders.fifo";
const DEAD: &str = "dead.fifo";

/// `Service/Method` and a request of it.
pub(super) type Valid = (&'static str, Vec<u8>);

fn request(path: &'static str, message: &impl Message) -> Valid {
    (path, message.encode_to_vec())
}

/// What the requests name: it exists.
pub(super) struct Known {
    queue: u64,
    epoch: u64,
    reader: u64,
    claim: u64,
    handles: Vec<String>,
    message: String,
}

/// A message of group `g`, with all that a message may have.
pub(super) fn entry(id: &str) -> v1::SendEntry {
    let attribute = |data_type: &str, value| v1::MessageAttribute {
        name: data_type.to_lowercase(),
        data_type: data_type.into(),
        value: Some(value),
    };
    v1::SendEntry {
        message_group_id: "g".into(),
        message_deduplication_id: id.into(),
        body: Bytes::from_static("{\"text\":\"ü\"}".as_bytes()),
        delay_seconds: Some(0),
        attributes: vec![
            attribute("Number", Value::StringValue("-1.5e3".into())),
            attribute("Binary", Value::BinaryValue(Bytes::from_static(b"\xff"))),
        ],
        aws_trace_header: "Root=1".into(),
    }
}

fn attributes() -> v1::QueueAttributes {
    v1::QueueAttributes {
        group_delivery: Some(1),
        content_based_deduplication: Some(true),
        visibility_timeout_seconds: Some(30),
        message_retention_seconds: Some(86_400),
        redrive_policy: Some(v1::RedrivePolicy { dead_letter_queue: DEAD.into(), max_receive_count: 5 }),
        ..v1::QueueAttributes::default()
    }
}

fn tags() -> Vec<v1::Tag> {
    vec![v1::Tag { key: "team".into(), value: "blue".into() }, v1::Tag { key: "ü".into(), value: String::new() }]
}

fn claim(queue_generation: u64, reader_generation: u64) -> v1::ClaimRequest {
    v1::ClaimRequest {
        queue: QUEUE.into(),
        queue_generation,
        reader: "r".into(),
        reader_generation,
        number: 1,
        max_messages: 5,
        ..<_>::default()
    }
}

fn take(queue_generation: u64, reader_generation: u64) -> v1::TakeClaimRequest {
    let (queue, reader, worker) = (QUEUE.into(), "r".into(), "w".into());
    v1::TakeClaimRequest { queue, queue_generation, reader, reader_generation, number: 1, worker, ..<_>::default() }
}

/// Makes what is named: group `g` is in flight, group `h` is claimed.
pub(super) async fn known(channel: &Channel) -> Known {
    let mut queues = QueuesClient::new(channel.clone());
    let mut messages = MessagesClient::new(channel.clone());
    let mut readers = ReadersClient::new(channel.clone());
    let create = |queue: &str, attributes| v1::CreateQueueRequest {
        queue: queue.into(),
        attributes: Some(attributes),
        tags: tags(),
    };
    queues.create_queue(create(DEAD, v1::QueueAttributes::default())).await.expect("created");
    let queue = queues.create_queue(create(QUEUE, attributes())).await.expect("created").into_inner().queue_generation;
    let (instance, name) = (|| "i".to_owned(), || QUEUE.to_owned());
    let open = v1::OpenProducerRequest { queue: name(), producer: "p".into(), instance: instance(), ..<_>::default() };
    let epoch = ProducersClient::new(channel.clone()).open_producer(open).await.expect("opened").into_inner().epoch;
    let open = v1::OpenReaderRequest { queue: name(), reader: "r".into(), instance: instance(), ..<_>::default() };
    let reader = readers.open_reader(open).await.expect("opened").into_inner().reader_generation;
    let entries = ["a", "b", "c", "d", "e"].map(entry);
    let send = v1::SendBatchRequest { queue: name(), entries: entries.into(), ..<_>::default() };
    messages.send_batch(send).await.expect("sent");
    let other = v1::SendEntry { message_group_id: "h".into(), ..entry("f") };
    let send = v1::SendRequest { queue: name(), entry: Some(other), ..<_>::default() };
    messages.send(send).await.expect("sent");
    let receive = v1::ReceiveRequest { queue: name(), max_messages: 3, ..<_>::default() };
    let received = messages.receive(receive).await.expect("received").into_inner().deliveries;
    readers.claim(claim(queue, reader)).await.expect("claimed");
    let taken = readers.take_claim(take(queue, reader)).await.expect("taken").into_inner().claim;
    Known {
        queue,
        epoch,
        reader,
        claim: taken.expect("a claim").epoch,
        message: received[0].message_id.clone(),
        handles: received.into_iter().map(|delivery| delivery.receipt_handle).collect(),
    }
}

/// A valid request of every method, and several of those that have several kinds. Those that ruin what is known come
/// last.
pub(super) fn valid(known: &Known) -> Vec<Valid> {
    let mut valid = of_queues(known);
    valid.extend(of_messages(known));
    valid.extend(of_streams(known));
    valid.extend(of_readers(known));
    valid.extend(of_others(known));
    valid
}

fn of_queues(known: &Known) -> Vec<Valid> {
    let queue = || QUEUE.to_owned();
    let allow = v1::RedriveAllowPolicy { permission: 3, source_queues: vec![queue()] };
    let allowing = v1::QueueAttributes { redrive_allow_policy: Some(allow), ..<_>::default() };
    let explain = |subject| {
        let explain = v1::ExplainRequest { queue: queue(), subject, max_groups: 5, after_group: "a".into() };
        request("Queues/Explain", &explain)
    };
    let create = v1::CreateQueueRequest { queue: queue(), attributes: Some(attributes()), tags: tags() };
    let set = v1::SetQueueAttributesRequest { queue: DEAD.into(), attributes: Some(allowing) };
    let untag = v1::UntagQueueRequest { queue: queue(), keys: vec!["team".into()] };
    vec![
        request("Queues/CreateQueue", &create),
        request("Queues/CreateQueue", &v1::CreateQueueRequest { queue: "standard".into(), ..<_>::default() }),
        request("Queues/DescribeQueue", &v1::DescribeQueueRequest { queue: queue() }),
        request("Queues/ListQueues", &v1::ListQueuesRequest { prefix: "o".into(), ..<_>::default() }),
        request("Queues/SetQueueAttributes", &set),
        request("Queues/TagQueue", &v1::TagQueueRequest { queue: queue(), tags: tags() }),
        request("Queues/UntagQueue", &untag),
        request("Queues/ListQueueTags", &v1::ListQueueTagsRequest { queue: queue() }),
        request("Queues/PurgeQueue", &v1::PurgeQueueRequest { queue: DEAD.into(), ..<_>::default() }),
        request("Queues/DeleteQueue", &v1::DeleteQueueRequest { queue: "standard".into(), ..<_>::default() }),
        explain(None),
        explain(Some(Subject::MessageGroupId("g".into()))),
        explain(Some(Subject::SequenceNumber(1))),
        explain(Some(Subject::MessageId(known.message.clone()))),
        explain(Some(Subject::ReceiptHandle(known.handles[0].clone()))),
    ]
}

fn of_messages(known: &Known) -> Vec<Valid> {
    let (queue, handle) = (|| QUEUE.to_owned(), || known.handles[0].clone());
    let session = Some(v1::SendSession { producer: "p".into(), epoch: known.epoch, first_number: 1 });
    let change = || v1::VisibilityEntry { receipt_handle: handle(), visibility_timeout_seconds: 60 };
    let send = v1::SendRequest { queue: queue(), entry: Some(entry("z")), ..<_>::default() };
    let numbered = v1::SendBatchRequest {
        queue: queue(),
        queue_generation: Some(known.queue),
        entries: ["x", "y", ""].map(entry).into(),
        session,
    };
    let receive = v1::ReceiveRequest {
        queue: queue(),
        max_messages: 10,
        visibility_timeout_seconds: Some(1),
        wait_seconds: Some(0),
        receive_request_attempt_id: "again".into(),
        attribute_names: vec!["Num.*".into(), "All".into()],
    };
    let changes = v1::ChangeVisibilityBatchRequest { queue: queue(), entries: vec![change(), change()] };
    let deletes = v1::DeleteBatchRequest { queue: queue(), receipt_handles: known.handles.clone() };
    let peek = v1::PeekRequest { queue: queue(), message_group_id: "g".into(), ..<_>::default() };
    vec![
        request("Messages/Send", &send),
        request("Messages/SendBatch", &numbered),
        request("Messages/Receive", &receive),
        request("Messages/ChangeVisibility", &v1::ChangeVisibilityRequest { queue: queue(), entry: Some(change()) }),
        request("Messages/ChangeVisibilityBatch", &changes),
        request("Messages/Delete", &v1::DeleteRequest { queue: queue(), receipt_handle: handle() }),
        request("Messages/DeleteBatch", &deletes),
        request("Messages/Peek", &peek),
    ]
}

fn of_streams(known: &Known) -> Vec<Valid> {
    let produce = v1::ProduceRequest { queue: QUEUE.into(), entries: vec![entry("s")], ..<_>::default() };
    let start = v1::ConsumeStart { queue: QUEUE.into(), ..<_>::default() };
    let change = v1::VisibilityEntry { receipt_handle: known.handles[0].clone(), visibility_timeout_seconds: 1 };
    let consume = v1::ConsumeRequest {
        start: Some(start),
        credit: 3,
        tag: 1,
        delete_handles: known.handles.clone(),
        changes: vec![change],
    };
    vec![request("Messages/Produce", &produce), request("Messages/Consume", &consume)]
}

fn of_readers(known: &Known) -> Vec<Valid> {
    let (queue, reader) = (|| QUEUE.to_owned(), || "r".to_owned());
    let outcome = v1::GroupOutcome { message_group_id: "h".into(), done_through: 6, rest: 1 };
    let claimed = v1::ClaimTarget {
        reader: reader(),
        reader_generation: known.reader,
        number: 1,
        epoch: known.claim,
        record: Bytes::from_static(b"record"),
        outcomes: vec![outcome],
    };
    let deliveries = v1::DeliveryTarget { receipt_handles: known.handles.clone() };
    let controlled = v1::ReaderTarget { reader: reader(), reader_generation: known.reader };
    let value = |group: Option<&str>, key: &str, value: Option<&'static [u8]>| v1::ValueChange {
        message_group_id: group.map(str::to_owned),
        key: key.into(),
        value: value.map(Bytes::from_static),
    };
    let commit = |id: &str, target, values| {
        let (queue, commit_id) = (queue(), id.to_owned());
        let outputs = vec![v1::Output { queue: DEAD.into(), entry: Some(entry("out")) }];
        let (queue_generation, target) = (known.queue, Some(target));
        let commit = v1::CommitRequest { queue, queue_generation, commit_id, target, values, outputs };
        request("Readers/Commit", &commit)
    };
    let read = v1::ReadClaimRequest {
        queue: queue(),
        queue_generation: known.queue,
        reader: reader(),
        number: 1,
        epoch: known.claim,
        shard: 0,
        shards: 1,
    };
    let open = v1::OpenReaderRequest { queue: queue(), reader: "other".into(), instance: "i".into(), ..<_>::default() };
    let values = v1::ReadValuesRequest { queue: queue(), reader: reader(), key_prefix: "k".into(), ..<_>::default() };
    let abandon = v1::AbandonRequest { queue: queue(), reader: "other".into(), number: 1, ..<_>::default() };
    vec![
        request("Readers/OpenReader", &open),
        request("Readers/Claim", &claim(known.queue, known.reader)),
        request("Readers/TakeClaim", &take(known.queue, known.reader)),
        request("Readers/ReadClaim", &read),
        commit("1", Target::Claim(claimed), vec![value(Some("h"), "k", Some(b"v")), value(Some("h"), "gone", None)]),
        commit("2", Target::Deliveries(deliveries), Vec::new()),
        commit("3", Target::Reader(controlled), vec![value(None, "k", Some(b"v"))]),
        request("Readers/ReadValues", &values),
        request("Readers/ListReaders", &v1::ListReadersRequest { queue: queue(), ..<_>::default() }),
        request("Readers/DescribeReader", &v1::DescribeReaderRequest { queue: queue(), reader: reader() }),
        request("Readers/Abandon", &abandon),
        request(
            "Readers/DropReader",
            &v1::DropReaderRequest { queue: queue(), reader: "other".into(), ..<_>::default() },
        ),
    ]
}

fn of_others(known: &Known) -> Vec<Valid> {
    let queue = || QUEUE.to_owned();
    let (group, producer) = (|| "x".to_owned(), || "p".to_owned());
    let start = v1::StartMessageMoveTaskRequest { source_queue: DEAD.into(), ..<_>::default() };
    let to =
        v1::StartMessageMoveTaskRequest { destination_queue: queue(), max_messages_per_second: 9, ..start.clone() };
    let moves = v1::ListMessageMoveTasksRequest { source_queue: DEAD.into(), max_results: 3 };
    let sources = v1::ListDeadLetterSourceQueuesRequest { queue: DEAD.into(), ..<_>::default() };
    let open = v1::OpenProducerRequest {
        queue: queue(),
        producer: producer(),
        instance: "i".into(),
        queue_generation: Some(known.queue),
    };
    let forget = v1::ForgetProducerRequest { queue: queue(), producer: producer(), epoch: Some(known.epoch) };
    let idle = v1::RunUntilIdleRequest { within_ms: Some(1_000), at_most_ms: Some(10) };
    vec![
        request("Groups/Park", &v1::ParkRequest { queue: queue(), message_group_id: group() }),
        request("Groups/ListParkedGroups", &v1::ListParkedGroupsRequest { queue: queue(), ..<_>::default() }),
        request("Groups/Unpark", &v1::UnparkRequest { queue: queue(), message_group_id: group(), all: false }),
        request("Groups/Unpark", &v1::UnparkRequest { queue: queue(), all: true, ..<_>::default() }),
        request("DeadLetters/ListDeadLetterSourceQueues", &sources),
        request("DeadLetters/StartMessageMoveTask", &start),
        request("DeadLetters/StartMessageMoveTask", &to),
        request("DeadLetters/ListMessageMoveTasks", &moves),
        request(
            "DeadLetters/CancelMessageMoveTask",
            &v1::CancelMessageMoveTaskRequest { task_handle: "move-task-1-1".into() },
        ),
        request("Producers/OpenProducer", &open),
        request("Producers/ListProducers", &v1::ListProducersRequest { queue: queue(), ..<_>::default() }),
        request("Producers/ForgetProducer", &forget),
        request("Clock/Now", &v1::ClockNowRequest {}),
        request("Clock/Freeze", &v1::FreezeRequest {}),
        request("Clock/Advance", &v1::AdvanceRequest { milliseconds: 10 }),
        request("Clock/RunUntilIdle", &idle),
        request("Admin/Status", &v1::StatusRequest {}),
        request("Admin/Backup", &v1::BackupRequest {}),
        request("Admin/Drain", &v1::DrainRequest { cancel: true, wait_seconds: 0 }),
    ]
}
