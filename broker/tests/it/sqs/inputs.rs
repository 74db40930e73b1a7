//! Bad input to every operation, and callers who are not let in.

use lockstep_broker::{BrokerSettings, Security, Tokens};
use serde_json::{Value, json};

use super::{Sqs, refusal};
use crate::support::memory;

/// Every operation that names a queue by its URL, with fields that mean something.
fn of_queue() -> [(&'static str, Value); 18] {
    [
        ("AddPermission", json!({ "Label": "l", "AWSAccountIds": ["111111111111"], "Actions": ["*"] })),
        ("ChangeMessageVisibility", json!({ "ReceiptHandle": "h", "VisibilityTimeout": 1 })),
        (
            "ChangeMessageVisibilityBatch",
            json!({ "Entries": [{ "Id": "a", "ReceiptHandle": "h", "VisibilityTimeout": 1 }] }),
        ),
        ("DeleteMessage", json!({ "ReceiptHandle": "h" })),
        ("DeleteMessageBatch", json!({ "Entries": [{ "Id": "a", "ReceiptHandle": "h" }] })),
        ("DeleteQueue", json!({})),
        ("GetQueueAttributes", json!({})),
        ("ListDeadLetterSourceQueues", json!({})),
        ("ListQueueTags", json!({})),
        ("PurgeQueue", json!({})),
        ("ReceiveMessage", json!({})),
        ("RemovePermission", json!({ "Label": "l" })),
        ("SendMessage", json!({ "MessageBody": "m" })),
        ("SendMessageBatch", json!({ "Entries": [{ "Id": "a", "MessageBody": "m" }] })),
        ("SetQueueAttributes", json!({ "Attributes": {} })),
        ("SetQueueAttributes", json!({ "Attributes": { "DelaySeconds": "1" } })),
        ("TagQueue", json!({ "Tags": { "a": "" } })),
        ("UntagQueue", json!({ "TagKeys": ["a"] })),
    ]
}

#[tokio::test]
async fn a_queue_that_is_missing_gone_or_no_text() {
    let mut sqs = Sqs::start().await;
    let missing = refusal("MissingRequiredParameterException", "The request must contain the parameter QueueUrl.");
    let gone = refusal("QueueDoesNotExist", "The specified queue does not exist.");
    for (operation, mut request) in of_queue() {
        assert_eq!(sqs.no(operation, request.clone()).await, missing, "{operation}");
        for url in ["http://x:1/000000000000/gone", "gone", "http://x/no name"] {
            request["QueueUrl"] = json!(url);
            assert_eq!(sqs.no(operation, request.clone()).await, gone, "{operation}");
        }
        request["QueueUrl"] = json!(1);
        assert_eq!(sqs.no(operation, request).await.1, "SerializationException", "{operation}");
    }
    sqs.stop().await;
}

#[tokio::test]
async fn a_field_that_must_be_there() {
    let mut sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    for (operation, field) in [
        ("AddPermission", "Label"),
        ("CancelMessageMoveTask", "TaskHandle"),
        ("ChangeMessageVisibility", "ReceiptHandle"),
        ("CreateQueue", "QueueName"),
        ("DeleteMessage", "ReceiptHandle"),
        ("GetQueueUrl", "QueueName"),
        ("ListMessageMoveTasks", "SourceArn"),
        ("RemovePermission", "Label"),
        ("SendMessage", "MessageBody"),
        ("SetQueueAttributes", "Attributes"),
        ("StartMessageMoveTask", "SourceArn"),
        ("TagQueue", "Tags"),
        ("UntagQueue", "TagKeys"),
    ] {
        let text = format!("The request must contain the parameter {field}.");
        let refused = sqs.no(operation, json!({ "QueueUrl": "q" })).await;
        assert_eq!(refused, refusal("MissingRequiredParameterException", &text), "{operation}");
    }
    sqs.stop().await;
}

#[tokio::test]
async fn l7_b5_attributes_and_ids_that_a_message_cannot_have() {
    let mut sqs = Sqs::start().await;
    sqs.create("q", json!({})).await;
    let text = |value: &str| json!({ "DataType": "String", "StringValue": value });
    let many: serde_json::Map<_, _> = (0..11).map(|number| (format!("a{number}"), text("v"))).collect();
    for attributes in [
        json!({ "aws.x": text("v") }),
        json!({ "a b": text("v") }),
        json!({ "a": { "DataType": "String" } }),
        json!({ "a": { "StringValue": "v" } }),
        json!({ "a": { "DataType": "Text", "StringValue": "v" } }),
        json!({ "a": { "DataType": "Number", "StringValue": "one" } }),
        json!({ "a": { "DataType": "Binary", "StringValue": "v" } }),
        json!({ "a": { "DataType": "String", "StringValue": "v", "BinaryValue": "AP8=" } }),
        json!(many),
    ] {
        let request = json!({ "QueueUrl": "q", "MessageBody": "m", "MessageAttributes": attributes });
        let refused = sqs.no("SendMessage", request).await;
        assert_eq!(refused.1, "InvalidParameterValueException", "{attributes}");
    }
    let lists = json!({ "a": { "DataType": "String", "StringValue": "v", "StringListValues": ["v"] } });
    let request = json!({ "QueueUrl": "q", "MessageBody": "m", "MessageAttributes": lists });
    assert_eq!(sqs.no("SendMessage", request).await.1, "UnsupportedOperation");
    let system = json!({ "Other": text("v") });
    let request = json!({ "QueueUrl": "q", "MessageBody": "m", "MessageSystemAttributes": system });
    assert_eq!(sqs.no("SendMessage", request).await.1, "InvalidParameterValueException");
    let request = json!({ "QueueUrl": "q", "MessageBody": "m", "MessageDeduplicationId": "d" });
    let refused = sqs.no("SendMessage", request).await;
    assert!(refused.2.starts_with("Value d for parameter MessageDeduplicationId is invalid."), "{refused:?}");
    // A standard queue keeps a group that is given, and shows no number (S12).
    let request = json!({ "QueueUrl": "q", "MessageBody": "m", "MessageGroupId": "fair" });
    assert!(sqs.ok("SendMessage", request).await.get("SequenceNumber").is_none());
    let request = json!({ "QueueUrl": "q", "AttributeNames": ["MessageGroupId", "SequenceNumber", "Nothing"] });
    let attributes = sqs.ok("ReceiveMessage", request).await["Messages"][0]["Attributes"].take();
    assert_eq!(attributes, json!({ "MessageGroupId": "fair" }));
    sqs.stop().await;
}

#[tokio::test]
async fn a_broker_that_asks_for_tokens_lets_no_signature_in_that_it_cannot_check() {
    let tokens = Tokens::parse(&format!("all {}", "0".repeat(64))).expect("tokens");
    let settings = BrokerSettings { security: Security { tokens: Some(tokens), ..Security::default() }, ..memory() };
    let mut sqs = Sqs::with(&settings).await;
    let text = "The security token included in the request is invalid.";
    let refused = sqs.no("ListQueues", json!({})).await;
    assert_eq!(refused, (403, "UnrecognizedClientException".to_owned(), text.to_owned()));
    let answer = sqs.call("ListQueues", json!({})).await;
    assert_eq!(answer.headers["x-amzn-query-error"], "InvalidClientTokenId;Sender");
    sqs.stop().await;
}
