//! A restart keeps everything: messages, leases and their handles, keys, readers, values; and time (H2, H9).

use lockstep_broker::{Broker, BrokerSettings, ClockChoice, ManualClock, StartError};
use lockstep_engine::{command::Delete, words::Timestamp};
use lockstep_proto::v1;

use crate::support::{Served, create, queue, receive, send, sled};

const Q: &str = "orders.fifo";

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    let generation = broker.create(Q, v1::QueueAttributes::default()).await;
    let sent = broker.send(Q, "g", "1", "one").await;
    broker.send(Q, "g", "2", "two").await;
    broker.send(Q, "h", "3", "three").await;
    let held = broker.receive(Q, 1).await.remove(0);
    let open = v1::OpenReaderRequest {
        queue: Q.into(),
        reader: "pool".into(),
        instance: "one".into(),
        ..v1::OpenReaderRequest::default()
    };
    let opened = broker.readers.open_reader(open.clone()).await.expect("opened").into_inner();
    let claim = v1::ClaimRequest {
        queue: Q.into(),
        queue_generation: generation,
        reader: "pool".into(),
        reader_generation: opened.reader_generation,
        number: 1,
        ..v1::ClaimRequest::default()
    };
    let claimed = broker.readers.claim(claim.clone()).await.expect("claimed").into_inner();
    broker.stop().await.expect("a clean end");

    let mut broker = Served::start(&sled(&directory)).await;
    let again = broker.send(Q, "g", "1", "one").await;
    assert!(again.duplicate, "the key is remembered");
    assert_eq!((again.message_id, again.sequence_number), (sent.message_id, sent.sequence_number));
    assert_eq!(broker.readers.claim(claim).await.expect("again").into_inner(), claimed, "the claim is open still");
    let reopened = broker.readers.open_reader(open).await.expect("opened").into_inner();
    assert_eq!(reopened.reader_generation, opened.reader_generation, "the same instance (B6)");
    let delete = v1::DeleteRequest { queue: Q.into(), receipt_handle: held.receipt_handle };
    let deleted = broker.messages.delete(delete).await.expect("the handle lives").into_inner();
    assert!(!deleted.already_gone);
    let rest = broker.receive(Q, 10).await;
    assert_eq!(rest.iter().map(|it| it.body.as_ref()).collect::<Vec<_>>(), [b"two"], "three is claimed");
    let next = broker.send(Q, "g", "4", "four").await;
    assert_eq!(next.sequence_number, 4, "no number twice (S12)");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn two_brokers_do_not_share_a_directory() {
    let directory = tempfile::tempdir().expect("a directory");
    let first = Broker::start(&sled(&directory)).expect("it starts");
    let error = Broker::start(&sled(&directory)).expect_err("in use");
    assert!(matches!(&error, StartError::Journal(_)) && error.to_string().contains("in use"), "{error}");
    first.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_long_downtime_that_expires_messages_must_be_accepted() {
    let directory = tempfile::tempdir().expect("a directory");
    // The past ends in 2001, under a clock that the test moves.
    let past = ClockChoice::Manual(ManualClock::new(Timestamp(1_000_000_000_000)));
    let broker = Broker::start(&BrokerSettings { clock: past, ..sled(&directory) }).expect("it starts");
    create(broker.handle(), Q).await;
    send(broker.handle(), Q, "g", "1").await;
    broker.stop().await.expect("a clean end");

    let error = Broker::start(&sled(&directory)).expect_err("25 years");
    assert!(matches!(&error, StartError::TimeJump(_)), "{error}");
    let text = error.to_string();
    assert!(text.contains(Q) && text.contains("1 messages") && text.contains("--accept-time-jump"), "{text}");
    let accepted = BrokerSettings { accept_time_jump: true, ..sled(&directory) };
    let broker = Broker::start(&accepted).expect("by hand");
    let view = broker.handle().describe_queue(queue(Q)).await.expect("there");
    assert_eq!(view.available, 0, "retention passed (R9)");
    assert_eq!(view.deduplication_keys, 1, "downtime does not count against the key (H2)");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn downtime_does_not_count_against_a_lease_under_a_manual_clock() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |clock: &ManualClock| BrokerSettings { clock: ClockChoice::Manual(clock.clone()), ..sled(&directory) };
    let broker = Broker::start(&at(&ManualClock::new(Timestamp(1_000_000)))).expect("it starts");
    create(broker.handle(), Q).await;
    send(broker.handle(), Q, "g", "1").await;
    let held = broker.handle().receive(receive(Q, 1), Some(0)).await.expect("received").remove(0);
    broker.stop().await.expect("a clean end");

    // A clock that begins before the journalled time resumes there.
    let clock = ManualClock::new(Timestamp(0));
    let broker = Broker::start(&at(&clock)).expect("it starts");
    assert_eq!(clock.time(), Timestamp(1_000_000));
    clock.advance(29_999);
    let handle = broker.handle();
    assert!(handle.receive(receive(Q, 1), Some(0)).await.expect("asked").is_empty(), "the lease lives");
    let receipts = vec![handle.receipt(&held.receipt_handle).expect("ours")];
    let outcomes = handle.delete(Delete { queue: queue(Q), receipts }).await.expect("judged");
    assert!(outcomes[0].as_ref().is_ok_and(|deleted| !deleted.already_gone));
    broker.stop().await.expect("a clean end");
}
