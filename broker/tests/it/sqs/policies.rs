//! What AWS keeps on a queue and Lockstep keeps for it: permissions, encryption, tags, a scope that is shown (L8, L9, L12,
//! S8).

use serde_json::{Value, json};

use super::{Sqs, refusal};

#[tokio::test]
async fn l12_permissions_are_statements_of_a_policy_by_their_labels() {
    let mut sqs = Sqs::start().await;
    let url = sqs.create("q", json!({})).await;
    let add = |label: &str, accounts: Value, actions: Value| json!({ "QueueUrl": url, "Label": label, "AWSAccountIds": accounts, "Actions": actions });
    sqs.ok("AddPermission", add("one", json!(["111111111111"]), json!(["SendMessage"]))).await;
    sqs.ok("AddPermission", add("two", json!(["111111111111", "222222222222"]), json!(["*", "GetQueueUrl"]))).await;
    let policy = sqs.attribute(&url, "Policy").await;
    let policy: Value = serde_json::from_str(policy.as_str().expect("a policy")).expect("JSON");
    let arn = "arn:aws:sqs:eu-west-1:123456789012:q";
    let whole = json!({ "Version": "2008-10-17", "Id": format!("{arn}/SQSDefaultPolicy"), "Statement": [
        { "Sid": "one", "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::111111111111:root" },
            "Action": "SQS:SendMessage", "Resource": arn },
        { "Sid": "two", "Effect": "Allow", "Resource": arn, "Action": ["SQS:*", "SQS:GetQueueUrl"],
            "Principal": { "AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::222222222222:root"] } } ] });
    assert_eq!(policy, whole);
    let invalid = |text: &str| refusal("InvalidParameterValueException", text);
    let one = json!(["111111111111"]);
    for (request, refused) in [
        (
            add("one", one.clone(), json!(["*"])),
            invalid("Value one for parameter Label is invalid. Reason: Already exists."),
        ),
        (
            add("x", json!(["1"]), json!(["*"])),
            invalid("Value 1 for parameter PrincipalId is invalid. Reason: Unable to verify."),
        ),
        (
            add("x", one.clone(), json!(["CreateQueue"])),
            invalid(
                "Value SQS:CreateQueue for parameter ActionName is invalid. Reason: Only the queue owner is allowed to \
                 invoke this action.",
            ),
        ),
    ] {
        assert_eq!(sqs.no("AddPermission", request).await, refused);
    }
    assert_eq!(
        sqs.no("AddPermission", add("a b", one.clone(), json!(["*"]))).await.1,
        "InvalidParameterValueException"
    );
    let missing = sqs.no("AddPermission", add("x", json!([]), json!(["*"]))).await;
    assert_eq!(missing.2, "The request must contain the parameter AWSAccountIds.");
    let many = vec!["SendMessage"; 8];
    assert_eq!(sqs.no("AddPermission", add("x", one.clone(), json!(many))).await.0, 403, "OverLimit");
    for number in 3..=20 {
        sqs.ok("AddPermission", add(&format!("n{number}"), one.clone(), json!(["*"]))).await;
    }
    let refused = sqs.no("AddPermission", add("n21", one, json!(["*"]))).await;
    assert_eq!((refused.0, refused.1.as_str()), (403, "OverLimit"));
    let remove = |label: &str| json!({ "QueueUrl": url, "Label": label });
    let gone = "Value none for parameter Label is invalid. Reason: can't find label.";
    assert_eq!(sqs.no("RemovePermission", remove("none")).await, invalid(gone));
    for label in ["one", "two"].map(str::to_owned).into_iter().chain((3..=20).map(|number| format!("n{number}"))) {
        sqs.ok("RemovePermission", remove(&label)).await;
    }
    assert_eq!(sqs.attribute(&url, "Policy").await, json!(null));
    sqs.stop().await;
}

#[tokio::test]
async fn l8_l9_s8_what_is_kept_is_shown_and_a_scope_is_shown_only() {
    let mut sqs = Sqs::start().await;
    sqs.create("q.fifo", json!({ "KmsMasterKeyId": "alias/k", "KmsDataKeyReusePeriodSeconds": "60" })).await;
    for (name, value) in
        [("KmsMasterKeyId", "alias/k"), ("KmsDataKeyReusePeriodSeconds", "60"), ("SqsManagedSseEnabled", "false")]
    {
        assert_eq!(sqs.attribute("q.fifo", name).await, value, "{name}");
    }
    let set = |attributes: Value| json!({ "QueueUrl": "q.fifo", "Attributes": attributes });
    for (attributes, shape) in [
        (json!({ "FifoThroughputLimit": "perMessageGroupId" }), "InvalidAttributeValue"),
        (json!({ "FifoThroughputLimit": "x" }), "InvalidAttributeValue"),
        (json!({ "KmsDataKeyReusePeriodSeconds": "59" }), "InvalidAttributeValue"),
        (json!({ "FifoQueue": "false" }), "InvalidAttributeValue"),
        (json!({ "QueueArn": "x" }), "InvalidAttributeName"),
    ] {
        assert_eq!(sqs.no("SetQueueAttributes", set(attributes.clone())).await.1, shape, "{attributes}");
    }
    sqs.ok("SetQueueAttributes", set(json!({ "FifoQueue": "true", "KmsMasterKeyId": "" }))).await;
    assert_eq!(sqs.attribute("q.fifo", "KmsMasterKeyId").await, json!(null));
    let scope = json!({ "DeduplicationScope": "messageGroup", "FifoThroughputLimit": "perMessageGroupId" });
    sqs.ok("SetQueueAttributes", set(scope)).await;
    assert_eq!(sqs.attribute("q.fifo", "DeduplicationScope").await, "messageGroup");
    let first = sqs.send("q.fifo", "g", "same").await;
    assert_eq!(sqs.send("q.fifo", "h", "same").await["MessageId"], first["MessageId"], "the scope of its creation");
    let text = "Invalid value for the parameter FifoQueue. Reason: Modifying queue type is not supported.";
    let refused = sqs.no("SetQueueAttributes", set(json!({ "FifoQueue": "false" }))).await;
    assert_eq!(refused, refusal("InvalidAttributeValue", text));
    sqs.stop().await;
}

#[tokio::test]
async fn l12_tags_come_with_the_queue_and_go() {
    let mut sqs = Sqs::start().await;
    let request = json!({ "QueueName": "q", "tags": { "a": "1" } });
    let url = sqs.ok("CreateQueue", request).await["QueueUrl"].take();
    sqs.ok("TagQueue", json!({ "QueueUrl": url, "Tags": { "b": "", "a": "2" } })).await;
    let of = json!({ "QueueUrl": url });
    assert_eq!(sqs.ok("ListQueueTags", of.clone()).await, json!({ "Tags": { "a": "2", "b": "" } }));
    sqs.ok("UntagQueue", json!({ "QueueUrl": url, "TagKeys": ["a", "b", "never"] })).await;
    assert_eq!(sqs.ok("ListQueueTags", of).await, json!({}));
    let many: serde_json::Map<_, _> = (0..51).map(|number| (number.to_string(), json!(""))).collect();
    for (operation, request) in [
        ("TagQueue", json!({ "QueueUrl": url, "Tags": many })),
        ("TagQueue", json!({ "QueueUrl": url, "Tags": { "": "" } })),
        ("TagQueue", json!({ "QueueUrl": url, "Tags": { "x".repeat(129): "" } })),
    ] {
        assert_eq!(sqs.no(operation, request).await.1, "InvalidParameterValueException");
    }
    sqs.stop().await;
}
