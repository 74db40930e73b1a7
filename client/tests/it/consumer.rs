//! Receiving and finishing: options on the wire, deletes until they are answered, receives under their attempt ids.

use std::time::{Duration, UNIX_EPOCH};

use lockstep_client::{Consumer, Deleted, Error, v1};
use tonic::Code;

use crate::fake::{Broker, Call, entry_refusal};

fn delivery(number: u64) -> v1::Delivery {
    v1::Delivery {
        message_id: format!("m{number}"),
        message_group_id: "g".to_owned(),
        message_deduplication_id: format!("d{number}"),
        sequence_number: number,
        body: format!("body {number}").into(),
        receipt_handle: format!("r{number}"),
        epoch: 9,
        receive_count: 2,
        sent_unix_ms: 1_000,
        first_received_unix_ms: 2_000,
        visible_unix_ms: 32_000,
        dead_letter_source: String::new(),
        ..v1::Delivery::default()
    }
}

async fn started() -> (Broker, Consumer) {
    let broker = Broker::start().await;
    let options = broker.client().await.consumer("q.fifo");
    let consumer = options.max_messages(3).wait(Duration::from_secs(5)).visibility_timeout(Duration::from_secs(30));
    (broker, consumer.build())
}

#[tokio::test]
async fn next_hands_out_one_by_one_and_asks_again_when_nothing_is_left() {
    let (mut broker, mut consumer) = started().await;
    let reading = tokio::spawn(async move {
        let mut read = Vec::new();
        for _ in 0..3 {
            read.push(consumer.next().await.unwrap());
        }
        read
    });
    for answer in [vec![], vec![delivery(1), delivery(2)], vec![delivery(3)]] {
        let Call::ReceiveRequest(request, reply) = broker.next().await else { panic!("not a receive") };
        assert_eq!((request.queue.as_str(), request.max_messages), ("q.fifo", 3));
        assert_eq!((request.wait_seconds, request.visibility_timeout_seconds), (Some(5), Some(30)));
        reply.ok(v1::ReceiveResponse { deliveries: answer });
    }
    let read = reading.await.unwrap();
    assert_eq!(read.iter().map(|delivery| delivery.sequence_number).collect::<Vec<_>>(), [1, 2, 3]);
    let first = &read[0];
    assert_eq!((first.group.as_str(), first.epoch, first.receive_count), ("g", 9, 2));
    assert_eq!(first.visible_until, UNIX_EPOCH + Duration::from_secs(32));
    assert_eq!((first.body.as_ref(), first.message_id.as_str()), (&b"body 1"[..], "m1"));
    broker.assert_idle();
}

#[tokio::test]
async fn r7_a_lost_receive_is_asked_for_again_under_its_attempt_id_and_another_has_another() {
    let (mut broker, mut consumer) = started().await;
    let reading = tokio::spawn(async move { (consumer.next().await.unwrap(), consumer.next().await.unwrap()) });
    let Call::ReceiveRequest(first, reply) = broker.next().await else { panic!("not a receive") };
    reply.lose();
    let Call::ReceiveRequest(again, reply) = broker.next().await else { panic!("not a receive") };
    assert!(!first.receive_request_attempt_id.is_empty() && again == first);
    reply.ok(v1::ReceiveResponse { deliveries: vec![delivery(1)] });
    let Call::ReceiveRequest(next, reply) = broker.next().await else { panic!("not a receive") };
    assert_ne!(next.receive_request_attempt_id, first.receive_request_attempt_id);
    reply.ok(v1::ReceiveResponse { deliveries: vec![delivery(2)] });
    let (one, two) = reading.await.unwrap();
    assert_eq!((one.sequence_number, two.sequence_number), (1, 2));
}

#[tokio::test]
async fn r7_a_repeat_that_comes_too_late_is_a_fresh_receive_unless_the_caller_chose_the_id() {
    let (mut broker, mut consumer) = started().await;
    let reading = tokio::spawn(async move { consumer.next().await.unwrap() });
    let Call::ReceiveRequest(first, reply) = broker.next().await else { panic!("not a receive") };
    reply.refuse(Code::FailedPrecondition, "RECEIVE_ATTEMPT_INVALID");
    let Call::ReceiveRequest(fresh, reply) = broker.next().await else { panic!("not a receive") };
    assert_ne!(fresh.receive_request_attempt_id, first.receive_request_attempt_id);
    reply.ok(v1::ReceiveResponse { deliveries: vec![delivery(1)] });
    assert_eq!(reading.await.unwrap().sequence_number, 1);
    let chosen = broker.client().await.consumer("q.fifo").attempt_id("mine").build();
    let reading = tokio::spawn(async move { chosen.receive().await.unwrap_err() });
    let Call::ReceiveRequest(request, reply) = broker.next().await else { panic!("not a receive") };
    assert_eq!(request.receive_request_attempt_id, "mine");
    reply.refuse(Code::FailedPrecondition, "RECEIVE_ATTEMPT_INVALID");
    assert!(matches!(reading.await.unwrap(), Error::Refused { reason, .. } if reason == "RECEIVE_ATTEMPT_INVALID"));
}

#[tokio::test]
async fn delete_extend_and_give_back_are_tried_until_they_are_answered() {
    let (mut broker, mut consumer) = started().await;
    let working = tokio::spawn(async move {
        let delivery = consumer.next().await.unwrap();
        let extended = delivery.extend(Duration::from_secs(60)).await.unwrap();
        let deleted = delivery.delete().await.unwrap();
        (extended, deleted, delivery.give_back().await.unwrap_err())
    });
    let Call::ReceiveRequest(_, reply) = broker.next().await else { panic!("not a receive") };
    reply.ok(v1::ReceiveResponse { deliveries: vec![delivery(1)] });
    for lost in [true, false] {
        let Call::ChangeVisibilityRequest(request, reply) = broker.next().await else { panic!("not an extend") };
        let entry = request.entry.unwrap();
        assert_eq!((entry.receipt_handle.as_str(), entry.visibility_timeout_seconds), ("r1", 60));
        if lost { reply.lose() } else { reply.ok(v1::ChangeVisibilityResponse { visible_unix_ms: 62_000 }) }
    }
    for tries in 0..3 {
        let Call::DeleteRequest(request, reply) = broker.next().await else { panic!("not a delete") };
        assert_eq!(request.receipt_handle, "r1");
        match tries {
            0 => reply.lose(),
            1 => broker.cut(),
            _ => reply.ok(v1::DeleteResponse { already_gone: true }),
        }
    }
    let Call::ChangeVisibilityRequest(request, reply) = broker.next().await else { panic!("not a give-back") };
    assert_eq!(request.entry.unwrap().visibility_timeout_seconds, 0);
    reply.refuse(Code::InvalidArgument, "MESSAGE_GONE");
    let (extended, deleted, gone) = working.await.unwrap();
    assert_eq!(extended, UNIX_EPOCH + Duration::from_secs(62));
    assert_eq!(deleted, Deleted { already_gone: true });
    assert_eq!(gone.reason(), Some("MESSAGE_GONE"));
}

#[tokio::test]
async fn many_deletes_go_in_order_in_calls_of_a_thousand() {
    let (mut broker, consumer) = started().await;
    let working = tokio::spawn(async move {
        let deliveries = consumer.receive().await.unwrap();
        consumer.delete_all(&deliveries).await
    });
    let Call::ReceiveRequest(_, reply) = broker.next().await else { panic!("not a receive") };
    reply.ok(v1::ReceiveResponse { deliveries: (0..1_002).map(delivery).collect() });
    for (from, to) in [(0, 1_000), (1_000, 1_002)] {
        let Call::DeleteBatchRequest(request, reply) = broker.next().await else { panic!("not a delete") };
        assert_eq!(request.receipt_handles, (from..to).map(|n| format!("r{n}")).collect::<Vec<_>>());
        let outcome = |n| match n {
            1_001 => v1::delete_result::Outcome::Refused(entry_refusal("EXPIRED")),
            _ => v1::delete_result::Outcome::Deleted(v1::DeleteResponse { already_gone: false }),
        };
        let results = (from..to).map(|n| v1::DeleteResult { outcome: Some(outcome(n)) }).collect();
        reply.ok(v1::DeleteBatchResponse { results });
    }
    let results = working.await.unwrap();
    assert_eq!(results.len(), 1_002);
    assert!(results[..1_001].iter().all(Result::is_ok));
    assert_eq!(results[1_001].as_ref().unwrap_err().reason(), Some("EXPIRED"));
}
