//! Making, finding, describing, changing, tagging and removing queues over the SQS wire.

use serde_json::{Value, json};

use super::{Sqs, refusal, text};

#[tokio::test]
async fn l1_l8_names_and_attributes_of_the_wrong_kind() {
    let mut sqs = Sqs::start().await;
    let mut create = async |name: &str, attributes: Value| {
        sqs.no("CreateQueue", json!({ "QueueName": name, "Attributes": attributes })).await
    };
    let name = "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length";
    for bad in ["q.fifo", "a b", &"x".repeat(81)] {
        assert_eq!(create(bad, json!({})).await, refusal("InvalidParameterValueException", name), "{bad}");
    }
    assert!(create("q", json!({ "FifoQueue": "true" })).await.2.contains(".fifo suffix"));
    let unknown = |text: &str| refusal("InvalidAttributeName", text);
    let content = json!({ "ContentBasedDeduplication": "true" });
    assert_eq!(create("q", content).await, unknown("Unknown Attribute ContentBasedDeduplication."));
    let text = "You can specify the DeduplicationScope only when FifoQueue is set to true.";
    assert_eq!(create("q", json!({ "DeduplicationScope": "queue" })).await, unknown(text));
    assert_eq!(create("q", json!({ "FifoQueue": "false" })).await, unknown("Unknown Attribute FifoQueue."));
    assert_eq!(create("q", json!({ "Nothing": "1" })).await, unknown("Unknown Attribute Nothing."));
    for bad in ["-1", "43201", "x", ""] {
        let text = "Invalid value for the parameter VisibilityTimeout.";
        assert_eq!(create("q", json!({ "VisibilityTimeout": bad })).await, refusal("InvalidAttributeValue", text));
    }
    let missing = "The request must contain the parameter QueueName.";
    assert_eq!(create("", json!({})).await, refusal("MissingRequiredParameterException", missing));
    assert_eq!(sqs.ok("ListQueues", json!({})).await, json!({}), "no QueueUrls key");
    sqs.stop().await;
}

#[tokio::test]
async fn a1_a_queue_is_created_once_and_its_attributes_must_agree() {
    let mut sqs = Sqs::start().await;
    let url = sqs.create("q", json!({ "VisibilityTimeout": "5", "DelaySeconds": "1" })).await;
    assert_eq!(sqs.create("q", json!({ "DelaySeconds": "1" })).await, url);
    assert_eq!(sqs.create("q", json!({})).await, url);
    let refused = sqs.no("CreateQueue", json!({ "QueueName": "q", "Attributes": { "DelaySeconds": "2" } })).await;
    let text = "A queue already exists with the same name and a different value for attribute DelaySeconds";
    assert_eq!(refused, refusal("QueueNameExists", text));
    assert_eq!(sqs.ok("GetQueueUrl", json!({ "QueueName": "q" })).await["QueueUrl"], url.as_str());
    let gone = refusal("QueueDoesNotExist", "The specified queue does not exist.");
    assert_eq!(sqs.no("GetQueueUrl", json!({ "QueueName": "r" })).await, gone);
    sqs.ok("DeleteQueue", json!({ "QueueUrl": url })).await;
    assert_eq!(sqs.no("DeleteQueue", json!({ "QueueUrl": url })).await, gone);
    sqs.stop().await;
}

#[tokio::test]
async fn l9_all_attributes_and_no_others() {
    let mut sqs = Sqs::start().await;
    let url = sqs.create("q.fifo", json!({ "VisibilityTimeout": "7" })).await;
    let standard = sqs.create("q", json!({})).await;
    let mut names = async |url: &str, wanted: Value| {
        let answer = sqs.ok("GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": wanted })).await;
        let mut names: Vec<String> =
            answer["Attributes"].as_object().map(|map| map.keys().cloned().collect()).unwrap_or_default();
        names.sort_unstable();
        names
    };
    let all = [
        "ApproximateNumberOfMessages",
        "ApproximateNumberOfMessagesDelayed",
        "ApproximateNumberOfMessagesNotVisible",
        "ContentBasedDeduplication",
        "CreatedTimestamp",
        "DeduplicationScope",
        "DelaySeconds",
        "FifoQueue",
        "FifoThroughputLimit",
        "LastModifiedTimestamp",
        "MaximumMessageSize",
        "MessageRetentionPeriod",
        "QueueArn",
        "ReceiveMessageWaitTimeSeconds",
        "SqsManagedSseEnabled",
        "VisibilityTimeout",
    ];
    assert_eq!(names(&url, json!(["All"])).await, all);
    let of_fifo = ["ContentBasedDeduplication", "DeduplicationScope", "FifoQueue", "FifoThroughputLimit"];
    let of_all: Vec<_> = all.iter().filter(|name| !of_fifo.contains(name)).collect();
    assert!(names(&standard, json!(["All"])).await.iter().eq(of_all));
    assert_eq!(names(&url, json!([])).await, [""; 0]);
    assert_eq!(names(&url, json!(["QueueArn", "Policy"])).await, ["QueueArn"]);
    assert_eq!(sqs.attribute(&url, "QueueArn").await, "arn:aws:sqs:eu-west-1:123456789012:q.fifo");
    assert_eq!(sqs.attribute(&url, "VisibilityTimeout").await, "7");
    let refused = sqs.no("GetQueueAttributes", json!({ "QueueUrl": url, "AttributeNames": ["Nothing"] })).await;
    assert_eq!(refused, refusal("InvalidAttributeName", "Unknown Attribute Nothing."));
    sqs.stop().await;
}

#[tokio::test]
async fn l13_lists_are_paged_only_where_a_number_is_asked_for() {
    let mut sqs = Sqs::start().await;
    for name in ["a1", "a2", "a3", "b1"] {
        sqs.create(name, json!({})).await;
    }
    let all = sqs.ok("ListQueues", json!({})).await;
    assert_eq!((all["QueueUrls"].as_array().map(Vec::len), all.get("NextToken")), (Some(4), None));
    let mut token = json!(null);
    let mut pages = Vec::new();
    loop {
        let request = json!({ "QueueNamePrefix": "a", "MaxResults": 2, "NextToken": token });
        let page = sqs.ok("ListQueues", request).await;
        let names = page["QueueUrls"].as_array().expect("queues").iter().map(text);
        pages.push(names.map(|url| url.rsplit('/').next().expect("a name").to_owned()).collect::<Vec<_>>());
        match page.get("NextToken") {
            Some(next) => token = next.clone(),
            None => break,
        }
    }
    assert_eq!(pages, [vec!["a1", "a2"], vec!["a3"]]);
    for (field, value) in [("MaxResults", json!(0)), ("MaxResults", json!(1_001)), ("NextToken", json!("%"))] {
        let refused = sqs.no("ListQueues", json!({ field: value })).await;
        assert_eq!(refused.1, "InvalidParameterValueException");
    }
    sqs.stop().await;
}
