//! Batches over the SQS wire: what fails them whole, and what fails an entry alone (L3, P4).

use serde_json::{Value, json};

use super::{Sqs, refusal, text};

const FIFO: &str = "q.fifo";

fn entry(id: &str, body: &str) -> Value {
    json!({ "Id": id, "MessageBody": body, "MessageGroupId": "g", "MessageDeduplicationId": id })
}

fn batch(entries: Vec<Value>) -> Value {
    json!({ "QueueUrl": FIFO, "Entries": Value::from(entries) })
}

/// The ids of entries.
fn ids(entries: &Value) -> Vec<String> {
    entries.as_array().map(|entries| entries.iter().map(|it| text(&it["Id"])).collect()).unwrap_or_default()
}

#[tokio::test]
async fn p4_l3_s1_what_fails_a_batch_whole() {
    let mut sqs = Sqs::start().await;
    sqs.create(FIFO, json!({})).await;
    let mut no = async |entries: Vec<Value>| sqs.no("SendMessageBatch", batch(entries)).await;
    let many = (0..20).map(|number| entry(&number.to_string(), "m")).collect();
    let text = "Maximum number of entries per request are 10. You have sent 20.";
    assert_eq!(no(many).await, refusal("TooManyEntriesInBatchRequest", text));
    let text = "There should be at least one SendMessageBatchRequestEntry in the request.";
    assert_eq!(no(Vec::new()).await, refusal("EmptyBatchRequest", text));
    let text = "Id a repeated.";
    assert_eq!(no(vec![entry("a", "1"), entry("a", "2")]).await, refusal("BatchEntryIdsNotDistinct", text));
    for bad in ["", "a b", &"x".repeat(81)] {
        assert_eq!(no(vec![entry("good", "1"), entry(bad, "2")]).await.1, "InvalidBatchEntryId", "{bad}");
    }
    let half = "x".repeat(1 << 19);
    let text = "Batch requests cannot be longer than 1048576 bytes. You have sent 1048577 bytes.";
    let entries = vec![entry("a", &half), entry("b", &half), entry("c", "1")];
    assert_eq!(no(entries).await, refusal("BatchRequestTooLong", text));
    let mut without = entry("b", "2");
    without["MessageGroupId"] = Value::Null;
    let text = "The request must contain the parameter MessageGroupId.";
    let refused = no(vec![entry("a", "1"), without.clone()]).await;
    assert_eq!(refused, refusal("InvalidParameterValueException", text), "S1: another code than of one message");
    without = entry("b", "2");
    without["MessageDeduplicationId"] = Value::Null;
    let text = "The queue should either have ContentBasedDeduplication enabled or MessageDeduplicationId provided \
                explicitly";
    assert_eq!(no(vec![entry("a", "1"), without]).await, refusal("InvalidParameterValueException", text));
    let text = "The request must contain the parameter SendMessageBatchRequestEntry.2.MessageBody.";
    let refused = no(vec![entry("a", "1"), entry("b", "")]).await;
    assert_eq!(refused, refusal("MissingRequiredParameterException", text));
    assert_eq!(sqs.bodies(FIFO, 10).await, [""; 0], "nothing of any batch was stored");
    let gone = json!({ "QueueUrl": "gone.fifo", "Entries": [entry("a", "\u{1}")] });
    assert_eq!(sqs.no("SendMessageBatch", gone).await.1, "QueueDoesNotExist");
    sqs.stop().await;
}

#[tokio::test]
async fn p4_s9_s10_an_entry_fails_alone() {
    let mut sqs = Sqs::start().await;
    sqs.create(FIFO, json!({ "MaximumMessageSize": "1024" })).await;
    let mut delayed = entry("delayed", "m");
    delayed["DelaySeconds"] = json!(2);
    let mut spaced = entry("spaced", "m");
    spaced["MessageGroupId"] = json!("a b");
    let mut attribute = entry("attribute", "m");
    attribute["MessageAttributes"] = json!({ "N": { "DataType": "String", "StringValue": "" } });
    let mut twin = entry("twin", "another");
    twin["MessageDeduplicationId"] = json!("first");
    let entries = vec![
        entry("first", "1"),
        entry("long", &"x".repeat(1_025)),
        entry("control", "\u{1}"),
        delayed,
        spaced,
        attribute,
        twin,
        entry("last", "2"),
    ];
    let answer = sqs.ok("SendMessageBatch", batch(entries)).await;
    assert_eq!(ids(&answer["Successful"]), ["first", "twin", "last"], "a refused entry refuses no other: {answer}");
    let sent = &answer["Successful"];
    assert_eq!(
        (&sent[0]["MessageId"], &sent[0]["SequenceNumber"]),
        (&sent[1]["MessageId"], &sent[1]["SequenceNumber"])
    );
    assert_ne!(sent[0]["MD5OfMessageBody"], sent[1]["MD5OfMessageBody"]);
    let failed: Vec<_> = answer["Failed"].as_array().expect("failed").iter().collect();
    assert!(failed.iter().all(|it| it["SenderFault"] == true), "{answer}");
    let of = |id: &str| {
        let it = failed.iter().find(|it| it["Id"] == id).unwrap_or_else(|| panic!("{id} did not fail: {answer}"));
        (text(&it["Code"]), text(&it["Message"]))
    };
    let invalid = |text: &str| ("InvalidParameterValue".to_owned(), text.to_owned());
    let too_long = "One or more parameters cannot be validated. Reason: Message must be shorter than 1024 bytes.";
    assert_eq!(of("long"), invalid(too_long));
    assert_eq!(of("control").0, "InvalidMessageContents");
    assert!(of("delayed").1.starts_with("Value 2 for parameter DelaySeconds is invalid."));
    assert!(of("spaced").1.starts_with("Value a b for parameter MessageGroupId is invalid."));
    let empty = "Message (user) attribute 'N' must contain a non-empty value of type 'String'.";
    assert_eq!(of("attribute"), invalid(empty), "L7");
    assert_eq!(sqs.bodies(FIFO, 10).await, ["1", "2"]);
    let answer = sqs.ok("SendMessageBatch", batch(vec![entry("a", "1")])).await;
    assert!(answer.get("Failed").is_none(), "P4: a list without entries is left out: {answer}");
    sqs.stop().await;
}

#[tokio::test]
async fn r3_r4_r5_batches_of_handles() {
    let mut sqs = Sqs::start().await;
    sqs.create(FIFO, json!({})).await;
    for body in ["1", "2", "3"] {
        sqs.send(FIFO, "g", body).await;
    }
    let handles: Vec<_> = sqs.receive(FIFO, 10).await.iter().map(|it| text(&it["ReceiptHandle"])).collect();
    let delete = |id: &str, handle: &str| json!({ "Id": id, "ReceiptHandle": handle });
    let change =
        |id: &str, handle: &str, to: i64| json!({ "Id": id, "ReceiptHandle": handle, "VisibilityTimeout": to });
    let entries = vec![change("a", &handles[0], 60), change("b", "garbage", 1), change("c", &handles[1], 43_201)];
    let answer = sqs.ok("ChangeMessageVisibilityBatch", batch(entries)).await;
    assert_eq!(ids(&answer["Successful"]), ["a"]);
    assert_eq!(ids(&answer["Failed"]), ["b", "c"]);
    assert_eq!(answer["Failed"][0]["Code"], "ReceiptHandleIsInvalid");
    // A queue made over SQS hands out its groups as SQS does: deletes in any order (O6).
    let answer = sqs.ok("DeleteMessageBatch", batch(vec![delete("b", &handles[1]), delete("x", "garbage")])).await;
    assert_eq!(answer["Successful"], json!([{ "Id": "b" }]));
    let text = "The input receipt handle \"garbage\" is not a valid receipt handle.";
    let failed = json!([{ "Id": "x", "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": text }]);
    assert_eq!(answer["Failed"], failed);
    // The lease of the first ends with this; its handle is dead.
    sqs.ok("ChangeMessageVisibilityBatch", batch(vec![change("a", &handles[0], 0)])).await;
    let answer = sqs.ok("DeleteMessageBatch", batch(vec![delete("a", &handles[0]), delete("c", &handles[2])])).await;
    assert_eq!(ids(&answer["Successful"]), ["c"]);
    let text = "The receipt handle has expired";
    let failed = json!([{ "Id": "a", "SenderFault": true, "Code": "ReceiptHandleIsInvalid", "Message": text }]);
    assert_eq!(answer["Failed"], failed, "R3: another code than of one message");
    let text =
        format!("Value {} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", handles[0]);
    let single = json!({ "QueueUrl": FIFO, "ReceiptHandle": handles[0] });
    assert_eq!(sqs.no("DeleteMessage", single).await, refusal("InvalidParameterValueException", &text));
    for (operation, kind) in [
        ("DeleteMessageBatch", "DeleteMessageBatchRequestEntry"),
        ("ChangeMessageVisibilityBatch", "ChangeMessageVisibilityBatchRequestEntry"),
    ] {
        assert_eq!(sqs.no(operation, batch(Vec::new())).await.1, "EmptyBatchRequest");
        let refused = sqs.no(operation, batch(vec![json!({ "Id": "a" })])).await;
        assert_eq!(refused.2, format!("The request must contain the parameter {kind}.1.ReceiptHandle."));
        let gone = json!({ "QueueUrl": "gone.fifo", "Entries": [change("a", "garbage", 1)] });
        assert_eq!(sqs.no(operation, gone).await.1, "QueueDoesNotExist");
    }
    sqs.stop().await;
}

#[tokio::test]
async fn o6_on_a_strict_queue_a_delete_behind_a_hole_names_what_is_in_the_way() {
    let mut sqs = Sqs::start().await;
    let request = json!({ "QueueName": FIFO, "Attributes": { "FifoQueue": "true" },
        "tags": { "lockstep:GroupDelivery": "strict" } });
    sqs.ok("CreateQueue", request).await;
    let first = text(&sqs.send(FIFO, "g", "1").await["MessageId"]);
    for (group, body) in [("g", "2"), ("g", "3"), ("h", "4")] {
        sqs.send(FIFO, group, body).await;
    }
    let handles: Vec<_> = sqs.receive(FIFO, 10).await.iter().map(|it| text(&it["ReceiptHandle"])).collect();
    let single = json!({ "QueueUrl": FIFO, "ReceiptHandle": handles[1] });
    let refused = sqs.no("DeleteMessage", single).await;
    assert!(refused.1 == "InvalidParameterValueException" && refused.2.contains(&first), "{refused:?}");
    let delete = |id: &str, handle: &str| json!({ "Id": id, "ReceiptHandle": handle });
    let entries = vec![delete("3", &handles[2]), delete("4", &handles[3])];
    let answer = sqs.ok("DeleteMessageBatch", batch(entries)).await;
    assert_eq!(ids(&answer["Successful"]), ["4"]);
    assert_eq!(ids(&answer["Failed"]), ["3"]);
    assert_eq!(answer["Failed"][0]["Code"], "InvalidParameterValue");
    let entries = vec![delete("2", &handles[1]), delete("1", &handles[0])];
    let answer = sqs.ok("DeleteMessageBatch", batch(entries)).await;
    assert_eq!(ids(&answer["Successful"]), ["2", "1"], "a batch is judged as a set");
    let request = json!({ "QueueName": "r.fifo", "Attributes": { "FifoQueue": "true" },
        "tags": { "lockstep:GroupDelivery": "loose" } });
    assert_eq!(sqs.no("CreateQueue", request).await.1, "InvalidParameterValueException");
    sqs.stop().await;
}
