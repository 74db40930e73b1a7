//! Sending, receiving and finishing over the SQS wire, one at a time and in batches.

use serde_json::{Value, json};

use super::{Sqs, refusal, text};

const FIFO: &str = "q.fifo";

#[tokio::test]
async fn s1_s2_s10_l2_l5_l6_what_a_fifo_send_must_and_must_not_have() {
    let mut sqs = Sqs::start().await;
    sqs.create(FIFO, json!({})).await;
    let mut send = async |change: Value| {
        let mut request = json!({ "QueueUrl": FIFO, "MessageBody": "m", "MessageGroupId": "g",
            "MessageDeduplicationId": "d" });
        for (name, value) in change.as_object().expect("a map") {
            request[name] = value.clone();
        }
        sqs.no("SendMessage", request).await
    };
    let missing = |name: &str| {
        let text = format!("The request must contain the parameter {name}.");
        refusal("MissingRequiredParameterException", &text)
    };
    assert_eq!(send(json!({ "MessageGroupId": null })).await, missing("MessageGroupId"));
    assert_eq!(send(json!({ "MessageBody": "" })).await, missing("MessageBody"));
    assert_eq!(send(json!({ "MessageBody": null })).await, missing("MessageBody"));
    assert_eq!(send(json!({ "QueueUrl": null })).await, missing("QueueUrl"));
    let invalid = |text: &str| refusal("InvalidParameterValueException", text);
    let text = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                explicitly";
    assert_eq!(send(json!({ "MessageDeduplicationId": null })).await, invalid(text));
    let text = "Value 2 for parameter DelaySeconds is invalid. Reason: The request include parameter that is not valid \
                for this queue type.";
    assert_eq!(send(json!({ "DelaySeconds": 2 })).await, invalid(text));
    for parameter in ["MessageGroupId", "MessageDeduplicationId"] {
        for bad in ["", "a b", &"x".repeat(129)] {
            let text = format!(
                "Value {bad} for parameter {parameter} is invalid. Reason: {parameter} can only include alphanumeric \
                 and punctuation characters. 1 to 128 in length."
            );
            assert_eq!(send(json!({ parameter: bad })).await, invalid(&text));
        }
    }
    assert_eq!(send(json!({ "MessageBody": "\u{1}" })).await.1, "InvalidMessageContents");
    assert_eq!(send(json!({ "MessageBody": "\u{FFFF}" })).await.1, "InvalidMessageContents");
    let gone = refusal("QueueDoesNotExist", "The specified queue does not exist.");
    assert_eq!(send(json!({ "QueueUrl": "http://x/000000000000/gone.fifo" })).await, gone);
    let text = "One or more parameters are invalid. Reason: Message must be shorter than 1048576 bytes.";
    assert_eq!(send(json!({ "MessageBody": "x".repeat((1 << 20) + 1) })).await, invalid(text));
    assert_eq!(sqs.bodies(FIFO, 10).await, [""; 0]);
    sqs.stop().await;
}

#[tokio::test]
async fn s6_s12_p5_a_message_there_and_back() {
    let mut sqs = Sqs::start().await;
    let url = sqs.create(FIFO, json!({ "ContentBasedDeduplication": "true" })).await;
    assert_eq!(url, "http://broker.test:9324/123456789012/q.fifo", "P6: the host that the caller named");
    let mut request = json!({
        "QueueUrl": url, "MessageBody": "msg", "MessageGroupId": "g", "DelaySeconds": 0,
        "MessageAttributes": { "Foo": { "DataType": "String", "StringValue": "Bar" } },
        "MessageSystemAttributes": { "AWSTraceHeader": { "DataType": "String", "StringValue": "Root=1-2-3" } },
    });
    let sent = sqs.ok("SendMessage", request.clone()).await;
    assert_eq!(sent["MD5OfMessageBody"], "6e2baaf3b97dbeef01c0043275f9a0e7");
    assert_eq!(sent["MD5OfMessageAttributes"], "ae7155c6026991b6d54b11589678bf9c");
    assert!(sent["MD5OfMessageSystemAttributes"].is_string(), "{sent}");
    assert_eq!(text(&sent["SequenceNumber"]).len(), 20);
    request["MessageAttributes"] = json!({ "n": { "DataType": "Number.int", "StringValue": "7" } });
    let twin = sqs.ok("SendMessage", request).await;
    assert_eq!((&twin["MessageId"], &twin["SequenceNumber"]), (&sent["MessageId"], &sent["SequenceNumber"]));
    assert_ne!(twin["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"], "S6: of the new request");
    let receive = json!({ "QueueUrl": url, "AttributeNames": ["All"], "MessageAttributeNames": ["F.*", "Foo", "no"],
        "MaxNumberOfMessages": 10 });
    let received = sqs.ok("ReceiveMessage", receive).await;
    let [message] = &received["Messages"].as_array().expect("messages")[..] else { panic!("{received}") };
    assert_eq!((&message["Body"], &message["MessageId"]), (&json!("msg"), &sent["MessageId"]));
    assert_eq!(message["MD5OfBody"], sent["MD5OfMessageBody"]);
    assert_eq!(message["MD5OfMessageAttributes"], sent["MD5OfMessageAttributes"]);
    assert_eq!(message["MessageAttributes"], json!({ "Foo": { "DataType": "String", "StringValue": "Bar" } }));
    let attributes = message["Attributes"].as_object().expect("attributes");
    let mut names: Vec<_> = attributes.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "AWSTraceHeader",
            "ApproximateFirstReceiveTimestamp",
            "ApproximateReceiveCount",
            "MessageDeduplicationId",
            "MessageGroupId",
            "SenderId",
            "SentTimestamp",
            "SequenceNumber"
        ]
    );
    assert_eq!(attributes["SequenceNumber"], sent["SequenceNumber"]);
    assert_eq!((&attributes["MessageGroupId"], &attributes["AWSTraceHeader"]), (&json!("g"), &json!("Root=1-2-3")));
    assert_eq!(attributes["SentTimestamp"].as_str().map(str::len), Some(13), "milliseconds");
    let handle = &message["ReceiptHandle"];
    for _ in 0..2 {
        let deleted = sqs.ok("DeleteMessage", json!({ "QueueUrl": url, "ReceiptHandle": handle })).await;
        assert_eq!(deleted, json!({}), "R4");
    }
    assert_eq!(sqs.ok("ReceiveMessage", json!({ "QueueUrl": url })).await, json!({}), "R1: no Messages key");
    sqs.stop().await;
}

#[tokio::test]
async fn o1_r1_l4_a_receive_is_judged_before_it_waits() {
    let mut sqs = Sqs::start().await;
    sqs.create(FIFO, json!({})).await;
    for (group, body) in [("g1", "1"), ("g2", "2"), ("g1", "3"), ("g1", "4")] {
        sqs.send(FIFO, group, body).await;
    }
    for (field, value, reason) in [
        ("MaxNumberOfMessages", 11, "Must be between 1 and 10, if provided."),
        ("MaxNumberOfMessages", 0, "Must be between 1 and 10, if provided."),
        ("WaitTimeSeconds", 21, "Must be >= 0 and <= 20, if provided."),
        ("WaitTimeSeconds", -1, "Must be >= 0 and <= 20, if provided."),
        ("VisibilityTimeout", 43_201, "Must be between 0 and 43200, if provided."),
    ] {
        let text = format!("Value {value} for parameter {field} is invalid. Reason: {reason}");
        let refused = sqs.no("ReceiveMessage", json!({ "QueueUrl": FIFO, field: value })).await;
        assert_eq!(refused, refusal("InvalidParameterValueException", &text));
    }
    assert_eq!(sqs.bodies(FIFO, 10).await, ["1", "3", "4", "2"]);
    sqs.stop().await;
}

#[tokio::test]
async fn r4_r5_r6_handles_that_are_nothing_or_stand_for_nothing() {
    let mut sqs = Sqs::start().await;
    sqs.create(FIFO, json!({})).await;
    sqs.create("other.fifo", json!({})).await;
    sqs.send(FIFO, "g", "1").await;
    let handle = text(&sqs.receive(FIFO, 1).await[0]["ReceiptHandle"]);
    let of = |queue: &str, handle: &str| json!({ "QueueUrl": queue, "ReceiptHandle": handle });
    let garbage =
        refusal("ReceiptHandleIsInvalid", "The input receipt handle \"garbage\" is not a valid receipt handle.");
    assert_eq!(sqs.no("DeleteMessage", of(FIFO, "garbage")).await, garbage);
    assert_eq!(sqs.no("DeleteMessage", of("other.fifo", &handle)).await.1, "ReceiptHandleIsInvalid");
    assert_eq!(sqs.no("DeleteMessage", of("gone.fifo", "garbage")).await.1, "QueueDoesNotExist");
    let change = |handle: &str, seconds: Value| json!({ "QueueUrl": FIFO, "ReceiptHandle": handle, "VisibilityTimeout": seconds });
    assert_eq!(sqs.no("ChangeMessageVisibility", change("garbage", json!(1))).await, garbage);
    let missing = sqs.no("ChangeMessageVisibility", change(&handle, json!(null))).await;
    assert_eq!(missing.2, "The request must contain the parameter VisibilityTimeout.");
    let refused = sqs.no("ChangeMessageVisibility", change(&handle, json!(43_201))).await;
    assert_eq!(refused.1, "InvalidParameterValueException");
    sqs.ok("ChangeMessageVisibility", change(&handle, json!(100))).await;
    sqs.ok("DeleteMessage", of(FIFO, &handle)).await;
    let text = format!(
        "Value {handle} for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for \
         visibility timeout change."
    );
    let refused = sqs.no("ChangeMessageVisibility", change(&handle, json!(1))).await;
    assert_eq!(refused, refusal("InvalidParameterValueException", &text));
    sqs.stop().await;
}
