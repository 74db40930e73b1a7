//! The delivery contract over the wire: delays (S10, S11, O7), receive attempts (R7), message
//! attributes (L7), standard queues (B5). What the engine decides is told in its own stories; here
//! it is seen that the words arrive.

use lockstep_proto::v1;
use tonic::Code;

use crate::support::{Served, entry, memory, reason};

const Q: &str = "q.fifo";

fn attempt(id: &str) -> v1::ReceiveRequest {
    let receive_request_attempt_id = id.into();
    v1::ReceiveRequest { queue: Q.into(), max_messages: 2, receive_request_attempt_id, ..v1::ReceiveRequest::default() }
}

#[tokio::test]
async fn r7_a_repeat_under_the_attempt_id_answers_the_same_handles_until_one_is_used() {
    let mut served = Served::start(&memory()).await;
    served.create(Q, v1::QueueAttributes::default()).await;
    for id in ["1", "2", "3"] {
        served.send(Q, id, id, id).await;
    }
    let mut receive = async |id: &str| served.messages.receive(attempt(id)).await.map(|it| it.into_inner().deliveries);
    let refused = receive("no space").await.expect_err("L5");
    assert_eq!(reason(&refused).1["rule"], "L5");
    let first = receive("one").await.expect("received");
    let again = receive("one").await.expect("repeated");
    let handles = |of: &[v1::Delivery]| of.iter().map(|it| it.receipt_handle.clone()).collect::<Vec<_>>();
    assert_eq!((handles(&first), again[0].receive_count), (handles(&again), 1));
    assert_eq!(receive("another").await.expect("received")[0].body, "3");
    let delete = v1::DeleteRequest { queue: Q.into(), receipt_handle: handles(&again)[1].clone() };
    served.messages.delete(delete).await.expect("deleted");
    let refused = served.messages.receive(attempt("one")).await.expect_err("R7");
    let (reason_, facts) = reason(&refused);
    assert_eq!((reason_.as_str(), facts["rule"].as_str()), ("RECEIVE_ATTEMPT_INVALID", "R7"));
    assert_eq!(refused.code(), Code::FailedPrecondition);
    served.stop().await.expect("a clean end");
}

async fn describe(served: &mut Served) -> v1::QueueDescription {
    let request = v1::DescribeQueueRequest { queue: Q.into() };
    served.queues.describe_queue(request).await.expect("there").into_inner().queue.expect("a queue")
}

#[tokio::test]
async fn s10_a_delay_of_its_own_is_refused_on_a_fifo_queue_and_the_queue_has_one() {
    let mut served = Served::start(&memory()).await;
    let attributes = v1::QueueAttributes { delay_seconds: Some(900), ..v1::QueueAttributes::default() };
    served.create(Q, attributes).await;
    let mut send = async |delay_seconds| {
        let entry = Some(v1::SendEntry { delay_seconds, ..entry("g", "one", "1") });
        served.messages.send(v1::SendRequest { queue: Q.into(), queue_generation: None, entry, session: None }).await
    };
    let (reason_, facts) = reason(&send(Some(2)).await.expect_err("refused"));
    assert_eq!((reason_.as_str(), facts["rule"].as_str()), ("DELAY_NOT_ALLOWED", "S10"));
    let refused = send(Some(901)).await.expect_err("out of range");
    assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::InvalidArgument, "OUT_OF_RANGE"));
    assert!(send(Some(0)).await.is_ok());
    let seen = describe(&mut served).await;
    assert_eq!((seen.messages_available, seen.messages_delayed), (0, 1));
    assert_eq!(seen.attributes.expect("attributes").delay_seconds, Some(900));
    let peeked = served.messages.peek(v1::PeekRequest { queue: Q.into(), ..v1::PeekRequest::default() }).await;
    let peeked = peeked.expect("seen").into_inner().messages.remove(0);
    assert_eq!(peeked.state(), v1::MessageState::Delayed);
    assert_eq!(peeked.visible_unix_ms, Some(peeked.sent_unix_ms + 900_000));
    served.stop().await.expect("a clean end");
}

fn text(name: &str, data_type: &str, value: &str) -> v1::MessageAttribute {
    let value = Some(v1::message_attribute::Value::StringValue(value.to_owned()));
    v1::MessageAttribute { name: name.to_owned(), data_type: data_type.to_owned(), value }
}

#[tokio::test]
async fn l7_attributes_are_kept_with_the_message_count_in_its_size_and_are_no_part_of_its_key() {
    let mut served = Served::start(&memory()).await;
    let attributes = v1::QueueAttributes {
        content_based_deduplication: Some(true),
        maximum_message_size_bytes: Some(1_024),
        ..v1::QueueAttributes::default()
    };
    served.create(Q, attributes).await;
    let mut send = async |body: &str, attributes: &[v1::MessageAttribute]| {
        let aws_trace_header = "Root=1-5759e988-bd862e3fe1be46a994272793".to_owned();
        let entry = v1::SendEntry { attributes: attributes.to_vec(), aws_trace_header, ..entry("g", "", body) };
        let request = v1::SendRequest { queue: Q.into(), entry: Some(entry), ..v1::SendRequest::default() };
        served.messages.send(request).await.map(|it| it.into_inner().accepted.expect("accepted"))
    };
    let given = [text("tenant.id", "String", "blue"), text("tenant.size", "Number.int", "7"), text("x", "String", "y")];
    let body = "b".repeat(1_024 - (9 + 6 + 4) - (11 + 10 + 1) - (1 + 6 + 1));
    let first = send(&body, &given).await.expect("just fits (L2)");
    let again = send(&body, &[]).await.expect("a duplicate (S3)");
    assert_eq!((again.duplicate, again.message_id), (true, first.message_id));
    let refused = send(&format!("{body}c"), &given).await.expect_err("one byte too long");
    assert_eq!(reason(&refused).0, "MESSAGE_TOO_LONG");
    let refused = send("other", &[text("AWS.x", "String", "y")]).await.expect_err("L7");
    assert_eq!((reason(&refused).0.as_str(), reason(&refused).1["rule"].as_str()), ("MESSAGE_ATTRIBUTE_INVALID", "L7"));
    let peeked = served.messages.peek(v1::PeekRequest { queue: Q.into(), ..v1::PeekRequest::default() }).await;
    assert_eq!(peeked.expect("seen").into_inner().messages[0].attributes, given);
    let attribute_names = vec!["tenant.*".to_owned(), "nobody".to_owned()];
    let request = v1::ReceiveRequest { attribute_names, ..attempt("one") };
    let some = served.messages.receive(request).await.expect("received").into_inner().deliveries.remove(0);
    assert_eq!((&some.attributes[..], &some.aws_trace_header[..6]), (&given[..2], "Root=1"));
    let all = served.messages.receive(attempt("one")).await.expect("repeated").into_inner().deliveries.remove(0);
    assert_eq!(all.attributes, given);
    served.stop().await.expect("a clean end");
}

#[tokio::test]
async fn b5_a_standard_queue_keeps_the_group_and_shows_no_number() {
    let mut served = Served::start(&memory()).await;
    served.create("plain", v1::QueueAttributes { visibility_timeout_seconds: Some(0), ..Default::default() }).await;
    let window = v1::QueueAttributes { deduplication_window_seconds: Some(300), ..v1::QueueAttributes::default() };
    let create = v1::CreateQueueRequest { queue: "other".into(), attributes: Some(window), tags: Vec::new() };
    let (reason_, facts) = reason(&served.queues.create_queue(create).await.expect_err("L8"));
    assert_eq!((reason_.as_str(), facts["rule"].as_str()), ("ATTRIBUTE_UNKNOWN", "L8"));
    let sent = [served.send("plain", "given", "", "same").await, served.send("plain", "", "", "same").await];
    assert!(sent.iter().all(|it| it.sequence_number == 0 && !it.duplicate), "S12: {sent:?}");
    assert_ne!(sent[0].message_id, sent[1].message_id);
    let entry_ = Some(entry("given", "id", "body"));
    let request = v1::SendRequest { queue: "plain".into(), entry: entry_, ..v1::SendRequest::default() };
    assert_eq!(reason(&served.messages.send(request).await.expect_err("B5")).0, "DEDUPLICATION_ID_NOT_ALLOWED");
    let nameless = v1::SendRequest { queue: Q.into(), entry: Some(entry("", "id", "body")), ..Default::default() };
    assert_eq!(reason(&served.messages.send(nameless).await.expect_err("S1")).1["rule"], "L5");
    let received = served.receive("plain", 10).await;
    let groups: Vec<_> = received.iter().map(|it| (it.message_group_id.as_str(), it.sequence_number)).collect();
    assert_eq!(groups, [("given", 0), ("", 0)]);
    let request = v1::PeekRequest { queue: "plain".into(), ..v1::PeekRequest::default() };
    let peeked = served.messages.peek(request.clone()).await.expect("seen").into_inner().messages;
    assert_eq!(peeked[0].message_group_id, "given");
    let of_group = v1::PeekRequest { message_group_id: "given".into(), ..request };
    assert_eq!(reason(&served.messages.peek(of_group).await.expect_err("B5")).0, "NOT_FIFO");
    for delivery in &received {
        // Their leases ended at once (R3).
        let delete = v1::DeleteRequest { queue: "plain".into(), receipt_handle: delivery.receipt_handle.clone() };
        assert!(!served.messages.delete(delete).await.expect("deleted").into_inner().already_gone);
    }
    let request = v1::DescribeQueueRequest { queue: "plain".into() };
    let seen = served.queues.describe_queue(request).await.expect("there").into_inner().queue.expect("a queue");
    assert_eq!((seen.messages_available, seen.last_sequence_number), (0, 0));
    assert_eq!(seen.attributes.expect("attributes").deduplication_window_seconds, None);
    served.stop().await.expect("a clean end");
}
