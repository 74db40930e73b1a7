//! The same state through both doors: what gRPC sends SQS receives, and the other way round.

use lockstep_proto::v1;
use serde_json::json;

use super::Sqs;
use crate::support::entry;

#[tokio::test]
async fn what_one_door_sends_the_other_receives_with_all_it_has() {
    let mut sqs = Sqs::start().await;
    sqs.create("q.fifo", json!({})).await;
    let attribute = v1::MessageAttribute {
        name: "Foo".into(),
        data_type: "String".into(),
        value: Some(v1::message_attribute::Value::StringValue("Bar".into())),
    };
    let entry = v1::SendEntry {
        attributes: vec![attribute.clone()],
        aws_trace_header: "Root=1".into(),
        ..entry("g", "id", "msg")
    };
    let send = v1::SendRequest { queue: "q.fifo".into(), entry: Some(entry), ..v1::SendRequest::default() };
    let sent = sqs.served.messages.send(send).await.expect("sent").into_inner().accepted.expect("accepted");
    let receive = json!({ "QueueUrl": "q.fifo", "MessageSystemAttributeNames": ["All"],
        "MessageAttributeNames": ["All"], "VisibilityTimeout": 0 });
    let received = sqs.ok("ReceiveMessage", receive).await;
    let message = &received["Messages"][0];
    assert_eq!((&message["Body"], &message["MessageId"]), (&json!("msg"), &json!(sent.message_id)));
    assert_eq!(message["MD5OfMessageAttributes"], "ae7155c6026991b6d54b11589678bf9c");
    assert_eq!(message["Attributes"]["MessageDeduplicationId"], "id");
    assert_eq!(message["Attributes"]["AWSTraceHeader"], "Root=1");
    let number: u64 = message["Attributes"]["SequenceNumber"].as_str().expect("digits").parse().expect("a number");
    assert_eq!(number, sent.sequence_number);
    let twin = json!({ "QueueUrl": "q.fifo", "MessageBody": "other", "MessageGroupId": "h",
        "MessageDeduplicationId": "id" });
    assert_eq!(sqs.ok("SendMessage", twin).await["MessageId"], json!(sent.message_id), "one window for both doors");
    let send = json!({ "QueueUrl": "q.fifo", "MessageBody": "two", "MessageGroupId": "h",
        "MessageDeduplicationId": "2", "MessageAttributes": {
            "b": { "DataType": "Binary.png", "BinaryValue": "AP8=" },
            "Foo": { "DataType": "String", "StringValue": "Bar" } } });
    sqs.ok("SendMessage", send).await;
    let deliveries = sqs.served.receive("q.fifo", 10).await;
    assert_eq!(deliveries.iter().map(|it| &it.body[..]).collect::<Vec<_>>(), [&b"msg"[..], b"two"]);
    assert!(deliveries[1].attributes.contains(&attribute), "{:?}", deliveries[1]);
    let binary = deliveries[1].attributes.iter().find(|it| it.name == "b").expect("there").value.clone();
    assert_eq!(binary, Some(v1::message_attribute::Value::BinaryValue(vec![0, 255].into())));
    let handle = &deliveries[1].receipt_handle;
    sqs.ok("DeleteMessage", json!({ "QueueUrl": "q.fifo", "ReceiptHandle": handle })).await;
    sqs.stop().await;
}
