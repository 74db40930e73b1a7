//! Producer sessions over the wire, and across restarts (B3).

use lockstep_proto::v1;
use tonic::{Code, Status};

use crate::support::{Served, entry, memory, reason, sled};

const Q: &str = "q.fifo";

async fn open(broker: &mut Served, instance: &str) -> v1::OpenProducerResponse {
    let request = v1::OpenProducerRequest {
        queue: Q.into(),
        producer: "day".into(),
        instance: instance.into(),
        queue_generation: None,
    };
    broker.producers.open_producer(request).await.expect("opened").into_inner()
}

fn numbered(epoch: u64, first_number: u64, bodies: &[&str]) -> v1::SendBatchRequest {
    let session = Some(v1::SendSession { producer: "day".into(), epoch, first_number });
    let entries = bodies.iter().map(|body| entry("g", "", body)).collect();
    v1::SendBatchRequest { queue: Q.into(), entries, session, ..v1::SendBatchRequest::default() }
}

async fn send(broker: &mut Served, request: v1::SendBatchRequest) -> Result<Vec<v1::SendResult>, Status> {
    broker.messages.send_batch(request).await.map(|answer| answer.into_inner().results)
}

fn accepted(result: &v1::SendResult) -> (u64, bool) {
    match &result.outcome {
        Some(v1::send_result::Outcome::Accepted(accepted)) => (accepted.sequence_number, accepted.duplicate),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_session_outlives_the_broker_and_its_windows() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    broker.create(Q, v1::QueueAttributes { maximum_message_size_bytes: Some(1_024), ..Default::default() }).await;
    let first = open(&mut broker, "one").await;
    assert_eq!(first.last_number, 0);
    let long = "x".repeat(1_025);
    let results = send(&mut broker, numbered(first.epoch, 1, &["a", "a", long.as_str()])).await.expect("judged");
    assert_eq!([accepted(&results[0]), accepted(&results[1])], [(1, false), (2, false)], "the number is the key");
    broker.stop().await.expect("a clean end");

    let mut broker = Served::start(&sled(&directory)).await;
    let again = open(&mut broker, "one").await;
    assert_eq!((again.epoch, again.last_number), (first.epoch, 3), "the refused one used its number too");
    let repeated = send(&mut broker, numbered(first.epoch, 1, &["a", "a", long.as_str()])).await.expect("judged");
    assert_eq!([accepted(&repeated[0]), accepted(&repeated[1])], [(1, true), (2, true)]);
    assert_eq!(repeated[2], results[2], "the same refusal");
    let delivered = broker.receive(Q, 10).await;
    let seen: Vec<_> = delivered.iter().map(|it| (it.body.as_ref(), it.message_deduplication_id.as_str())).collect();
    let id = |number: u64| format!("day/{}/{number}", first.epoch);
    assert_eq!(seen, [(&b"a"[..], id(1).as_str()), (b"a", id(2).as_str())]);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_a_session_forbids_is_refused_as_a_whole() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let unknown = send(&mut broker, numbered(1, 1, &["a"])).await.expect_err("never opened");
    assert_eq!((unknown.code(), reason(&unknown).0.as_str()), (Code::NotFound, "PRODUCER_NOT_FOUND"));
    let old = open(&mut broker, "one").await.epoch;
    send(&mut broker, numbered(old, 1, &["a"])).await.expect("accepted");
    let gap = send(&mut broker, numbered(old, 3, &["c"])).await.expect_err("a gap");
    let (name, facts) = reason(&gap);
    assert_eq!((name.as_str(), facts["next"].as_str(), facts["rule"].as_str()), ("SEND_NUMBER_INVALID", "2", "B3"));
    let other = send(&mut broker, numbered(old, 1, &["b", "c"])).await.expect_err("another content");
    assert_eq!((reason(&other).0.as_str(), reason(&other).1["number"].as_str()), ("SEND_NUMBER_CONFLICT", "1"));
    let new = open(&mut broker, "two").await;
    assert_eq!(new.last_number, 1);
    let fenced = send(&mut broker, numbered(old, 2, &["b"])).await.expect_err("fenced");
    assert_eq!((reason(&fenced).0.as_str(), fenced.code()), ("PRODUCER_FENCED", Code::FailedPrecondition));
    for (epoch, first, field) in [(0, 1, "session.epoch"), (new.epoch, 0, "session.first_number")] {
        let missing = send(&mut broker, numbered(epoch, first, &["b"])).await.expect_err("a number from 1");
        assert!(missing.message().contains(field), "{missing}");
    }
    let session = Some(v1::SendSession { producer: "day".into(), epoch: new.epoch, first_number: 2 });
    let single = v1::SendRequest { queue: Q.into(), entry: Some(entry("g", "", "b")), session, ..Default::default() };
    assert!(!broker.messages.send(single.clone()).await.expect("sent").into_inner().accepted.expect("it").duplicate);
    assert!(broker.messages.send(single).await.expect("sent").into_inner().accepted.expect("it").duplicate);
    assert_eq!(broker.receive(Q, 10).await.len(), 2, "nothing else was stored");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn sessions_are_listed_and_forgotten_by_hand() {
    let mut broker = Served::start(&memory()).await;
    let generation = broker.create(Q, v1::QueueAttributes::default()).await;
    let epoch = open(&mut broker, "one").await.epoch;
    send(&mut broker, numbered(epoch, 1, &["a", "b"])).await.expect("accepted");
    let list = v1::ListProducersRequest { queue: Q.into(), ..v1::ListProducersRequest::default() };
    let listed = broker.producers.list_producers(list.clone()).await.expect("listed").into_inner();
    let [one] = listed.producers.as_slice() else { panic!("{listed:?}") };
    assert_eq!((one.producer.as_str(), one.instance.as_str(), one.last_number, one.epoch), ("day", "one", 2, epoch));
    assert_eq!((one.queue_generation, listed.next.as_str()), (generation, ""));
    let forget = |epoch| v1::ForgetProducerRequest { queue: Q.into(), producer: "day".into(), epoch };
    let stale = broker.producers.forget_producer(forget(Some(epoch + 1))).await.expect_err("another epoch");
    assert_eq!(reason(&stale).0, "PRODUCER_FENCED");
    broker.producers.forget_producer(forget(Some(epoch))).await.expect("forgotten");
    let gone = broker.producers.forget_producer(forget(None)).await.expect_err("gone");
    assert_eq!(reason(&gone).0, "PRODUCER_NOT_FOUND");
    assert!(broker.producers.list_producers(list).await.expect("listed").into_inner().producers.is_empty());
    let nameless = v1::OpenProducerRequest { queue: Q.into(), producer: "a b".into(), ..Default::default() };
    let nameless = broker.producers.open_producer(nameless).await.expect_err("no name");
    assert_eq!((reason(&nameless).0.as_str(), reason(&nameless).1["rule"].as_str()), ("NAME_INVALID", "B3"));
    broker.stop().await.expect("a clean end");
}
