//! Dead letters and their way back over the SQS wire (Q1 to Q7).

use serde_json::{Value, json};

use super::{Sqs, refusal, text};

const FIFO: &str = "q.fifo";
const DEAD: &str = "dead.fifo";

fn arn(queue: &str) -> String {
    format!("arn:aws:sqs:eu-west-1:123456789012:{queue}")
}

fn policy(target: &str, count: impl Into<Value>) -> Value {
    let count: Value = count.into();
    json!(json!({ "deadLetterTargetArn": arn(target), "maxReceiveCount": count }).to_string())
}

async fn set(sqs: &mut Sqs, queue: &str, name: &str, value: Value) {
    sqs.ok("SetQueueAttributes", json!({ "QueueUrl": queue, "Attributes": { name: value } })).await;
}

#[tokio::test]
async fn q1_q5_policies_that_can_be_and_that_cannot() {
    let mut sqs = Sqs::start().await;
    for queue in [FIFO, DEAD, "standard"] {
        sqs.create(queue, json!({})).await;
    }
    let mut no = async |name: &str, value: Value| {
        let attributes = json!({ name: value });
        let refused = sqs.no("SetQueueAttributes", json!({ "QueueUrl": FIFO, "Attributes": attributes })).await;
        assert_eq!(refused.0, 400);
        (refused.1, refused.2)
    };
    let invalid = "InvalidParameterValueException".to_owned();
    for (policy, reason) in [
        (policy("gone.fifo", json!(1)), "Reason: Dead letter target does not exist."),
        (policy(FIFO, json!(1)), "cannot be its own"),
        (policy("standard", json!(1)), "both FIFO, or both standard"),
        (
            policy(DEAD, json!(0)),
            "Invalid value for maxReceiveCount: 0, valid values are from 1 to 1000 both inclusive.",
        ),
        (policy(DEAD, json!("1001")), "Invalid value for maxReceiveCount: 1001"),
        (policy(DEAD, json!("x")), "Invalid value for maxReceiveCount: x"),
        (json!("{}"), "does not contain mandatory attribute: deadLetterTargetArn."),
        (json!(format!("{{\"deadLetterTargetArn\":\"{}\"}}", arn(DEAD))), "mandatory attribute: maxReceiveCount."),
        (json!("x"), "Redrive policy is not a valid JSON map."),
        (json!("{\"deadLetterTargetArn\":\"dead.fifo\",\"maxReceiveCount\":1}"), "deadLetterTargetArn"),
    ] {
        let refused = no("RedrivePolicy", policy.clone()).await;
        let text = format!("Value {} for parameter RedrivePolicy is invalid.", policy.as_str().expect("text"));
        assert!(refused.0 == invalid && refused.1.starts_with(&text) && refused.1.contains(reason), "{refused:?}");
    }
    for bad in [
        "x",
        "{}",
        r#"{"redrivePermission":"some"}"#,
        r#"{"redrivePermission":"byQueue"}"#,
        r#"{"redrivePermission":"denyAll","sourceQueueArns":[]}"#,
    ] {
        assert_eq!(no("RedriveAllowPolicy", json!(bad)).await.0, invalid, "{bad}");
    }
    set(&mut sqs, FIFO, "RedrivePolicy", policy(DEAD, json!("3"))).await;
    let shown = format!("{{\"deadLetterTargetArn\":\"{}\",\"maxReceiveCount\":3}}", arn(DEAD));
    assert_eq!(sqs.attribute(FIFO, "RedrivePolicy").await, shown.as_str());
    let sources = sqs.ok("ListDeadLetterSourceQueues", json!({ "QueueUrl": DEAD })).await;
    assert_eq!(sources["queueUrls"].as_array().map(Vec::len), Some(1));
    set(&mut sqs, FIFO, "RedrivePolicy", json!("")).await;
    assert_eq!(sqs.attribute(FIFO, "RedrivePolicy").await, json!(null));
    let sources = sqs.ok("ListDeadLetterSourceQueues", json!({ "QueueUrl": DEAD })).await;
    assert_eq!(sources, json!({ "queueUrls": [] }));
    let only = json!({ "redrivePermission": "byQueue", "sourceQueueArns": [arn("another.fifo")] }).to_string();
    set(&mut sqs, DEAD, "RedriveAllowPolicy", json!(only)).await;
    assert_eq!(sqs.attribute(DEAD, "RedriveAllowPolicy").await, only.as_str());
    let request = json!({ "QueueUrl": FIFO, "Attributes": { "RedrivePolicy": policy(DEAD, json!(1)) } });
    assert_eq!(sqs.no("SetQueueAttributes", request).await.1, invalid);
    sqs.stop().await;
}

#[tokio::test]
async fn q2_q3_q6_q7_a_dead_letter_and_its_way_back() {
    let mut sqs = Sqs::start().await;
    sqs.create(DEAD, json!({})).await;
    sqs.create(FIFO, json!({ "RedrivePolicy": policy(DEAD, json!(1)), "VisibilityTimeout": "0" })).await;
    let sent = sqs.send(FIFO, "g", "poison").await;
    sqs.send(FIFO, "g", "good").await;
    assert_eq!(sqs.bodies(FIFO, 1).await, ["poison"]);
    assert_eq!(sqs.bodies(FIFO, 1).await, ["good"], "Q2: the group goes on");
    let receive = json!({ "QueueUrl": DEAD, "AttributeNames": ["All"], "VisibilityTimeout": 0 });
    let message = sqs.ok("ReceiveMessage", receive.clone()).await["Messages"][0].take();
    assert_eq!(message["MessageId"], sent["MessageId"]);
    let attributes = &message["Attributes"];
    assert_eq!(attributes["DeadLetterQueueSourceArn"], arn(FIFO).as_str());
    assert_eq!(attributes["MessageDeduplicationId"], sent["MessageId"], "Q3");
    let invalid = |text: &str| refusal("InvalidParameterValueException", text);
    let not_found = |text: &str| (404, "ResourceNotFoundException".to_owned(), text.to_owned());
    for (request, refused) in [
        (json!({}), refusal("MissingRequiredParameterException", "The request must contain the parameter SourceArn.")),
        (json!({ "SourceArn": arn(FIFO) }), invalid("Source queue must be configured as a Dead Letter Queue.")),
        (
            json!({ "SourceArn": arn("gone.fifo") }),
            not_found("The resource that you specified for the SourceArn parameter doesn't exist."),
        ),
        (
            json!({ "SourceArn": arn(DEAD), "DestinationArn": arn("gone.fifo") }),
            not_found("The resource that you specified for the DestinationArn parameter doesn't exist."),
        ),
        (
            json!({ "SourceArn": DEAD }),
            invalid(
                "You must use this format to specify the SourceArn: \
                 arn:<partition>:<service>:<region>:<account-id>:<resource-id>",
            ),
        ),
    ] {
        assert_eq!(sqs.no("StartMessageMoveTask", request).await, refused);
    }
    let rate = json!({ "SourceArn": arn(DEAD), "MaxNumberOfMessagesPerSecond": 501 });
    assert_eq!(sqs.no("StartMessageMoveTask", rate).await.1, "InvalidParameterValueException");
    let started = sqs.ok("StartMessageMoveTask", json!({ "SourceArn": arn(DEAD) })).await;
    let task = loop {
        let list = sqs.ok("ListMessageMoveTasks", json!({ "SourceArn": arn(DEAD) })).await;
        let task = list["Results"][0].clone();
        if task["Status"] == "COMPLETED" {
            break task;
        }
        assert_eq!((&task["Status"], &task["TaskHandle"]), (&json!("RUNNING"), &started["TaskHandle"]));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    assert!(task.get("TaskHandle").is_none() && task["StartedTimestamp"].is_u64(), "{task}");
    assert_eq!((&task["ApproximateNumberOfMessagesMoved"], &task["SourceArn"]), (&json!(1), &json!(arn(DEAD))));
    let cancel = json!({ "TaskHandle": started["TaskHandle"] });
    assert_eq!(sqs.no("CancelMessageMoveTask", cancel).await.1, "InvalidParameterValueException", "it has ended");
    for (handle, refused) in [
        ("garbage", invalid("Value for parameter TaskHandle is invalid.")),
        ("move-task-99-1", not_found("Task does not exist.")),
    ] {
        assert_eq!(sqs.no("CancelMessageMoveTask", json!({ "TaskHandle": handle })).await, refused);
    }
    let gone = sqs.no("ListMessageMoveTasks", json!({ "SourceArn": arn("gone.fifo") })).await;
    assert_eq!(gone.0, 404);
    assert_eq!(sqs.ok("ReceiveMessage", receive).await, json!({}), "the dead-letter queue is empty");
    sqs.stop().await;
}

#[tokio::test]
async fn q6_one_task_a_source_and_it_can_be_cancelled_through_the_other_door() {
    let mut sqs = Sqs::start().await;
    sqs.create(DEAD, json!({})).await;
    sqs.create(FIFO, json!({ "RedrivePolicy": policy(DEAD, json!(1)) })).await;
    for body in ["1", "2", "3"] {
        sqs.send(DEAD, "g", body).await;
    }
    let start = json!({ "SourceArn": arn(DEAD), "DestinationArn": arn(FIFO), "MaxNumberOfMessagesPerSecond": 1 });
    let started = sqs.ok("StartMessageMoveTask", start.clone()).await;
    let text_ =
        "There is already a task running. Only one active task is allowed for a source queue arn at a given time.";
    assert_eq!(sqs.no("StartMessageMoveTask", start).await, refusal("InvalidParameterValueException", text_));
    let mut client = lockstep_proto::v1::dead_letters_client::DeadLettersClient::new(sqs.served.channel.clone());
    let task_handle = text(&started["TaskHandle"]);
    let request = lockstep_proto::v1::CancelMessageMoveTaskRequest { task_handle };
    client.cancel_message_move_task(request).await.expect("one handle for both doors");
    let list = sqs.ok("ListMessageMoveTasks", json!({ "SourceArn": arn(DEAD), "MaxResults": 10 })).await;
    assert_eq!(list["Results"][0]["Status"], "CANCELLED");
    assert_eq!(list["Results"][0]["DestinationArn"], arn(FIFO).as_str());
    sqs.stop().await;
}
