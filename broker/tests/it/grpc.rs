//! The gRPC door on every journal: the ordinary ways, and how each kind of fault looks.

use bytes::Bytes;
use lockstep_broker::BrokerSettings;
use lockstep_proto::v1;
use tonic::Code;

use crate::support::{Served, entry, memory, reason, sled};

const Q: &str = "orders.fifo";

#[tokio::test]
async fn a_message_goes_all_the_way_on_every_journal() {
    all_the_way(&memory()).await;
    let directory = tempfile::tempdir().expect("a directory");
    all_the_way(&sled(&directory)).await;
}

async fn all_the_way(settings: &BrokerSettings) {
    let mut broker = Served::start(settings).await;
    let generation = broker.create(Q, v1::QueueAttributes::default()).await;
    let first = broker.send(Q, "g", "1", "one").await;
    let again = broker.send(Q, "g", "1", "one").await;
    assert!(!first.duplicate && again.duplicate);
    assert_eq!((&again.message_id, again.sequence_number), (&first.message_id, first.sequence_number), "S6");
    let batch = v1::SendBatchRequest {
        queue: Q.into(),
        queue_generation: Some(generation),
        entries: vec![entry("g", "2", "two"), entry("h", "3", "three")],
        ..v1::SendBatchRequest::default()
    };
    let results = broker.messages.send_batch(batch).await.expect("sent").into_inner().results;
    assert_eq!(results.len(), 2);
    let deliveries = broker.receive(Q, 10).await;
    let bodies: Vec<_> = deliveries.iter().map(|it| (it.message_group_id.as_str(), it.body.as_ref())).collect();
    assert_eq!(bodies, [("g", &b"one"[..]), ("g", b"two"), ("h", b"three")], "O1");
    assert_eq!(deliveries[0].message_id, first.message_id);
    assert_eq!(deliveries[0].message_deduplication_id, "1");
    assert_eq!(deliveries[0].receive_count, 1);
    let handles = deliveries.iter().map(|it| it.receipt_handle.clone()).collect();
    let delete = v1::DeleteBatchRequest { queue: Q.into(), receipt_handles: handles };
    let results = broker.messages.delete_batch(delete.clone()).await.expect("deleted").into_inner().results;
    let gone = |already_gone| v1::delete_result::Outcome::Deleted(v1::DeleteResponse { already_gone });
    assert!(results.iter().all(|it| it.outcome == Some(gone(false))), "{results:?}");
    let results = broker.messages.delete_batch(delete).await.expect("deleted").into_inner().results;
    assert!(results.iter().all(|it| it.outcome == Some(gone(true))), "R4: {results:?}");
    let describe = v1::DescribeQueueRequest { queue: Q.into() };
    let view = broker.queues.describe_queue(describe).await.expect("there").into_inner().queue.expect("a view");
    assert_eq!((view.messages_available, view.messages_in_flight, view.last_sequence_number), (0, 0, 3));
    assert_eq!(view.attributes.expect("attributes").visibility_timeout_seconds, Some(30));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_body_of_1_mib_passes_and_a_sum_above_does_not() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let large = "x".repeat(1 << 20);
    broker.send(Q, "g", "1", &large).await;
    let deliveries = broker.receive(Q, 1).await;
    assert_eq!(deliveries[0].body.len(), 1 << 20);
    let entries = vec![entry("g", "2", &large), entry("g", "3", "x")];
    let batch =
        v1::SendBatchRequest { queue: Q.into(), queue_generation: None, entries, ..v1::SendBatchRequest::default() };
    let status = broker.messages.send_batch(batch).await.expect_err("too long");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::InvalidArgument, "REQUEST_TOO_LONG"));
    let too_long = v1::SendRequest {
        queue: Q.into(),
        queue_generation: None,
        entry: Some(entry("g", "4", &"x".repeat((1 << 20) + 1))),
        ..v1::SendRequest::default()
    };
    let status = broker.messages.send(too_long).await.expect_err("too long");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::InvalidArgument, "MESSAGE_TOO_LONG"));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_means_nothing_is_refused_with_its_rule() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let send = |entry| v1::SendRequest { queue: Q.into(), queue_generation: None, entry, ..v1::SendRequest::default() };
    let bad_sends = [
        (None, "FIELD_MISSING", "H1"),
        (Some(entry("", "1", "x")), "MESSAGE_GROUP_ID_INVALID", "L5"),
        (Some(entry("a b", "1", "x")), "MESSAGE_GROUP_ID_INVALID", "L5"),
        (Some(entry("g", &"i".repeat(129), "x")), "MESSAGE_DEDUPLICATION_ID_INVALID", "L5"),
        (Some(entry("g", "1", "")), "BODY_EMPTY", "L2"),
        (Some(entry("g", "1", "\u{1}")), "BODY_CHARACTERS", "L6"),
        (Some(entry("g", "", "x")), "DEDUPLICATION_ID_MISSING", "S2"),
    ];
    for (entry, wanted, rule) in bad_sends {
        let status = broker.messages.send(send(entry)).await.expect_err(wanted);
        let (found, facts) = reason(&status);
        assert_eq!((status.code(), found.as_str(), facts["rule"].as_str()), (Code::InvalidArgument, wanted, rule));
        assert!(status.message().contains(rule), "{}", status.message());
    }
    let name = v1::CreateQueueRequest { queue: "orders.std".into(), attributes: None, tags: Vec::new() };
    let status = broker.queues.create_queue(name).await.expect_err("a dot");
    assert_eq!(reason(&status).0, "QUEUE_NAME_INVALID");
    let wait = v1::ReceiveRequest { queue: Q.into(), wait_seconds: Some(21), ..v1::ReceiveRequest::default() };
    let status = broker.messages.receive(wait).await.expect_err("21 s");
    assert_eq!(reason(&status).1["rule"], "R1");
    let empty = v1::SendBatchRequest {
        queue: Q.into(),
        queue_generation: None,
        entries: Vec::new(),
        ..v1::SendBatchRequest::default()
    };
    assert_eq!(reason(&broker.messages.send_batch(empty).await.expect_err("empty")).0, "BATCH_EMPTY");
    let many = vec![entry("g", "1", "x"); 1_001];
    let many = v1::SendBatchRequest {
        queue: Q.into(),
        queue_generation: None,
        entries: many,
        ..v1::SendBatchRequest::default()
    };
    assert_eq!(reason(&broker.messages.send_batch(many).await.expect_err("1,001")).0, "BATCH_TOO_LONG");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn garbage_receipts_are_refused_and_do_not_touch_the_rest_of_a_batch() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    broker.send(Q, "g", "1", "one").await;
    let good = broker.receive(Q, 1).await.remove(0).receipt_handle;
    let garbage = v1::DeleteRequest { queue: Q.into(), receipt_handle: "garbage".into() };
    let status = broker.messages.delete(garbage).await.expect_err("garbage");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::InvalidArgument, "RECEIPT_HANDLE_INVALID"));
    assert_eq!(reason(&status).1["rule"], "R4");
    let batch = v1::DeleteBatchRequest { queue: Q.into(), receipt_handles: vec!["garbage".into(), good] };
    let results = broker.messages.delete_batch(batch).await.expect("judged").into_inner().results;
    let outcomes: Vec<_> = results.into_iter().map(|it| it.outcome.expect("an outcome")).collect();
    assert!(matches!(&outcomes[0], v1::delete_result::Outcome::Refused(it) if it.rule == "R4"), "{outcomes:?}");
    assert!(matches!(&outcomes[1], v1::delete_result::Outcome::Deleted(_)), "{outcomes:?}");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn refusals_have_codes_reasons_and_facts() {
    let mut broker = Served::start(&memory()).await;
    let missing = v1::DescribeQueueRequest { queue: Q.into() };
    let status = broker.queues.describe_queue(missing).await.expect_err("not there");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::NotFound, "QUEUE_NOT_FOUND"));
    let generation = broker.create(Q, v1::QueueAttributes::default()).await;
    let other = v1::QueueAttributes { visibility_timeout_seconds: Some(5), ..v1::QueueAttributes::default() };
    let create = v1::CreateQueueRequest { queue: Q.into(), attributes: Some(other), tags: Vec::new() };
    let status = broker.queues.create_queue(create).await.expect_err("differs");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::AlreadyExists, "QUEUE_EXISTS"));
    assert_eq!(reason(&status).1["attribute"], "VisibilityTimeout");
    let purge = v1::PurgeQueueRequest { queue: Q.into(), queue_generation: Some(generation + 1) };
    let status = broker.queues.purge_queue(purge).await.expect_err("another life");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::FailedPrecondition, "QUEUE_GENERATION_CHANGED"));
    let first = broker.send(Q, "g", "1", "one").await;
    broker.send(Q, "g", "2", "two").await;
    let second = broker.receive(Q, 2).await.remove(1);
    let delete = v1::DeleteRequest { queue: Q.into(), receipt_handle: second.receipt_handle };
    let status = broker.messages.delete(delete).await.expect_err("a hole");
    let (found, facts) = reason(&status);
    assert_eq!((status.code(), found.as_str()), (Code::FailedPrecondition, "EARLIER_IN_FLIGHT"));
    assert_eq!(facts["sequence_number"], first.sequence_number.to_string());
    assert_eq!(facts["message_id"], first.message_id);
    broker.stop().await.expect("a clean end");
}

struct Opened {
    generation: u64,
    reader: v1::OpenReaderResponse,
}

async fn open_reader(broker: &mut Served) -> Opened {
    let generation = broker.create(Q, v1::QueueAttributes::default()).await;
    broker.create("out.fifo", v1::QueueAttributes::default()).await;
    let open = v1::OpenReaderRequest {
        queue: Q.into(),
        reader: "pool".into(),
        instance: "one".into(),
        ..v1::OpenReaderRequest::default()
    };
    let reader = broker.readers.open_reader(open).await.expect("opened").into_inner();
    assert_eq!(reader.journal_id, broker.handle.identity().journal_id().to_string());
    Opened { generation, reader }
}

async fn read_claim(
    broker: &mut Served,
    opened: &Opened,
    epoch: u64,
) -> (Vec<v1::StoredValue>, Vec<v1::ClaimedMessage>) {
    let read = v1::ReadClaimRequest {
        queue: Q.into(),
        queue_generation: opened.generation,
        reader: "pool".into(),
        number: 1,
        epoch,
        ..v1::ReadClaimRequest::default()
    };
    let mut stream = broker.readers.read_claim(read).await.expect("read").into_inner();
    let (mut values, mut messages) = (Vec::new(), Vec::new());
    while let Some(page) = stream.message().await.expect("a page") {
        assert!(page.values.is_empty() || messages.is_empty(), "values come first");
        let bytes: usize = page.messages.iter().map(|it| it.body.len()).sum();
        assert!(bytes <= 1 << 20 || page.messages.len() == 1, "a page of {bytes} bytes");
        values.extend(page.values);
        messages.extend(page.messages);
    }
    (values, messages)
}

#[tokio::test]
async fn a_claim_is_read_in_pages_and_committed_once() {
    let mut broker = Served::start(&memory()).await;
    let opened = open_reader(&mut broker).await;
    for n in 0..5 {
        broker.send(Q, "g", &n.to_string(), &format!("{n}{}", "x".repeat(400 << 10))).await;
    }
    let claim = v1::ClaimRequest {
        queue: Q.into(),
        queue_generation: opened.generation,
        reader: "pool".into(),
        reader_generation: opened.reader.reader_generation,
        number: 1,
        max_bytes: 64 << 20,
        ..v1::ClaimRequest::default()
    };
    let claimed = broker.readers.claim(claim.clone()).await.expect("claimed").into_inner();
    assert_eq!(broker.readers.claim(claim).await.expect("again").into_inner(), claimed, "the same number (B6)");
    let Some(v1::claim_response::Outcome::Open(open)) = claimed.outcome else { panic!("{claimed:?}") };
    assert_eq!((open.messages, open.groups), (5, 1));
    let (values, messages) = read_claim(&mut broker, &opened, open.epoch).await;
    let order: Vec<_> = messages.iter().map(|it| it.body[0]).collect();
    assert_eq!((values.len(), order.as_slice()), (0, &b"01234"[..]));
    let commit = commit_request(&opened, open.epoch);
    let done = broker.readers.commit(commit.clone()).await.expect("committed").into_inner();
    assert_eq!((done.commit_number, done.outputs.len(), done.already_committed), (1, 1, false));
    let again = broker.readers.commit(commit.clone()).await.expect("committed").into_inner();
    assert_eq!(again, v1::CommitResponse { already_committed: true, ..done }, "the same answer (B1)");
    let mut other = commit;
    other.values.clear();
    let status = broker.readers.commit(other).await.expect_err("another content");
    assert_eq!(reason(&status).0, "COMMIT_CONFLICT");
    let output = broker.receive("out.fifo", 1).await.remove(0);
    assert_eq!((output.body.as_ref(), output.message_deduplication_id.len()), (&b"out"[..], 64));
    let read = v1::ReadValuesRequest { queue: Q.into(), reader: "pool".into(), ..v1::ReadValuesRequest::default() };
    let values = broker.readers.read_values(read.clone()).await.expect("read").into_inner().values;
    assert_eq!((values.len(), values[0].key.as_str()), (1, "published/00000000000000000001"), "B9");
    assert_eq!(values[0].value.as_ref(), b"record");
    let of_group = v1::ReadValuesRequest { message_group_id: Some("g".into()), ..read };
    let values = broker.readers.read_values(of_group).await.expect("read").into_inner();
    assert_eq!((values.values[0].value.as_ref(), values.next.as_str()), (&b"state"[..], ""));
    broker.stop().await.expect("a clean end");
}

fn commit_request(opened: &Opened, epoch: u64) -> v1::CommitRequest {
    let target = v1::ClaimTarget {
        reader: "pool".into(),
        reader_generation: opened.reader.reader_generation,
        number: 1,
        epoch,
        outcomes: Vec::new(),
        record: Bytes::from_static(b"record"),
    };
    let value = v1::ValueChange {
        message_group_id: Some("g".into()),
        key: "state".into(),
        value: Some(Bytes::from_static(b"state")),
    };
    v1::CommitRequest {
        queue: Q.into(),
        queue_generation: opened.generation,
        commit_id: "c1".into(),
        target: Some(v1::commit_request::Target::Claim(target)),
        values: vec![value],
        outputs: vec![v1::Output { queue: "out.fifo".into(), entry: Some(entry("o", "", "out")) }],
    }
}

#[tokio::test]
async fn values_are_paged_and_the_end_of_the_pages_is_known() {
    let mut broker = Served::start(&memory()).await;
    let opened = open_reader(&mut broker).await;
    let value = |n: u32| v1::ValueChange {
        message_group_id: None,
        key: format!("k{n:02}"),
        value: Some(Bytes::from(vec![7; 10])),
    };
    let target = v1::ReaderTarget { reader: "pool".into(), reader_generation: opened.reader.reader_generation };
    let commit = v1::CommitRequest {
        queue: Q.into(),
        queue_generation: opened.generation,
        commit_id: "values".into(),
        target: Some(v1::commit_request::Target::Reader(target)),
        values: (0..25).map(value).collect(),
        outputs: Vec::new(),
    };
    broker.readers.commit(commit).await.expect("committed");
    let (mut keys, mut after, mut pages) = (Vec::new(), String::new(), 0);
    loop {
        let read = v1::ReadValuesRequest {
            queue: Q.into(),
            reader: "pool".into(),
            after,
            max_results: 10,
            ..v1::ReadValuesRequest::default()
        };
        let page = broker.readers.read_values(read).await.expect("read").into_inner();
        keys.extend(page.values.into_iter().map(|it| it.key));
        pages += 1;
        if page.next.is_empty() {
            break;
        }
        after = page.next;
    }
    assert_eq!((keys.len(), pages), (25, 3));
    assert!(keys.is_sorted());
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn health_and_reflection_answer() {
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let broker = Served::start(&memory()).await;
    let mut health = HealthClient::new(broker.channel.clone());
    for service in ["", "lockstep.v1.Queues", "lockstep.v1.Messages", "lockstep.v1.Producers", "lockstep.v1.Readers"] {
        let answer = health.check(HealthCheckRequest { service: service.into() }).await.expect("known").into_inner();
        assert_eq!(answer.status, 1, "{service} serves");
    }
    let list = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut reflection = ServerReflectionClient::new(broker.channel.clone());
    let answers = reflection.server_reflection_info(tokio_stream::iter([list])).await.expect("asked");
    let answer = answers.into_inner().message().await.expect("an answer").expect("one").message_response;
    let Some(MessageResponse::ListServicesResponse(services)) = answer else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.iter().map(|it| it.name.as_str()).collect();
    assert!(names.contains(&"lockstep.v1.Messages") && names.contains(&"grpc.health.v1.Health"), "{names:?}");
    drop(reflection);
    drop(health);
    broker.stop().await.expect("a clean end");
}
