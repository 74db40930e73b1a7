//! What is no request at all, and how every refusal looks on the wire (P1, P3).

use serde_json::json;

use super::{HEAD, Http, Sqs};
use crate::support::{Served, memory};

#[tokio::test]
async fn p1_p3_a_refusal_has_a_shape_a_query_code_and_an_id() {
    let mut sqs = Sqs::start().await;
    let answer = sqs.call("GetQueueUrl", json!({ "QueueName": "q" })).await;
    assert_eq!(answer.headers["x-amzn-query-error"], "AWS.SimpleQueueService.NonExistentQueue;Sender");
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.0");
    let whole = r#"{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"The specified queue does not exist."}"#;
    assert_eq!(answer.text, whole);
    let first = answer.headers["x-amzn-requestid"].clone();
    let answer = sqs.call("ListQueues", json!({})).await;
    assert!(answer.headers["x-amzn-requestid"].len() == 36 && answer.headers["x-amzn-requestid"] != first);
    assert_eq!(answer.headers["content-type"], "application/x-amz-json-1.0");
    sqs.stop().await;
}

#[tokio::test]
async fn p1_what_cannot_be_read_is_refused_on_a_connection_that_lives_on() {
    let mut sqs = Sqs::start().await;
    for body in ["{", "[]", "1", r#"{"QueueName": 1}"#, r#"{"QueueName": ["q"]}"#, "\u{1}"] {
        let refused = sqs.raw("GetQueueUrl", body.as_bytes()).await.refused();
        assert_eq!((refused.0, refused.1.as_str()), (400, "SerializationException"), "{body}");
    }
    for (operation, request) in [
        ("ReceiveMessage", json!({ "QueueUrl": "q", "MaxNumberOfMessages": "many" })),
        ("SendMessageBatch", json!({ "QueueUrl": "q", "Entries": { "Id": "1" } })),
        ("CreateQueue", json!({ "QueueName": "q", "Attributes": ["x"] })),
        (
            "SendMessage",
            json!({ "QueueUrl": "q", "MessageBody": "m",
            "MessageAttributes": { "a": { "DataType": "Binary", "BinaryValue": "no base64" } } }),
        ),
    ] {
        assert_eq!(sqs.no(operation, request).await.1, "SerializationException", "{operation}");
    }
    assert_eq!(sqs.no("Nothing", json!({})).await.1, "UnknownOperationException");
    assert_eq!(sqs.raw("ListQueues", b"").await.status, 200, "no fields, no body");
    sqs.stop().await;
}

#[tokio::test]
async fn p1_heads_that_are_no_call() {
    let served = Served::start(&memory()).await;
    let mut http = Http::to(&served).await;
    let answer = http.ask("POST /", HEAD, b"{}").await;
    assert_eq!(answer.refused().1, "UnknownOperationException", "no target");
    let answer = http.ask("POST /", "Host: x\r\n", b"{}").await;
    assert_eq!((answer.status, answer.text.as_str()), (404, "<UnknownOperationException/>\n"));
    let target = format!("{HEAD}X-Amz-Target: AmazonSQS.ListQueues\r\n");
    let encoded = format!("{target}Content-Encoding: gzip\r\n");
    assert_eq!(http.ask("POST /", &encoded, b"{}").await.status, 415);
    let browser = format!("{target}Origin: https://evil.example\r\n");
    assert_eq!(http.ask("POST /", &browser, b"{}").await.refused().0, 403);
    let foreign = "Host: x\r\nX-Amz-Target: DynamoDB_20120810.ListTables\r\n";
    assert_eq!(http.ask("POST /", foreign, b"{}").await.refused().1, "UnknownOperationException");
    let body = vec![b' '; (4 << 20) + 1];
    let mut other = Http::to(&served).await;
    assert_eq!(other.ask("POST /", &target, &body).await.status, 413);
    let queue_path = "POST /123456789012/q.fifo";
    let on_path = format!("{HEAD}X-Amz-Target: AmazonSQS.DeleteQueue\r\n");
    assert_eq!(http.ask(queue_path, &on_path, b"").await.refused().1, "QueueDoesNotExist", "the path names the queue");
    drop((http, other));
    served.stop().await.expect("a clean end");
}
