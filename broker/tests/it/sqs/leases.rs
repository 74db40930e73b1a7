//! Time over the SQS wire, under a clock that the test moves: leases, attempts, long polls, delays, and the minutes that
//! AWS makes callers wait.

use lockstep_broker::{BrokerSettings, ClockChoice, ManualClock, SqsSettings, Timestamp};
use serde_json::{Value, json};

use super::{HEAD, Http, Sqs, refusal, text};
use crate::{http, support::memory};

const FIFO: &str = "q.fifo";

async fn with_clock(sqs: SqsSettings) -> (Sqs, ManualClock) {
    let clock = ManualClock::new(Timestamp(1_000_000));
    let settings = BrokerSettings { clock: ClockChoice::Manual(clock.clone()), sqs, ..memory() };
    (Sqs::with(&settings).await, clock)
}

#[tokio::test]
async fn r3_r5_a_fifo_handle_dies_with_its_lease_and_a_standard_one_does_not() {
    let (mut sqs, clock) = with_clock(SqsSettings::default()).await;
    sqs.create(FIFO, json!({ "VisibilityTimeout": "5" })).await;
    sqs.create("q", json!({ "VisibilityTimeout": "5" })).await;
    sqs.send(FIFO, "g", "1").await;
    sqs.ok("SendMessage", json!({ "QueueUrl": "q", "MessageBody": "1" })).await;
    let fifo = text(&sqs.receive(FIFO, 1).await[0]["ReceiptHandle"]);
    let standard = text(&sqs.receive("q", 1).await[0]["ReceiptHandle"]);
    let of = |queue: &str, handle: &str| json!({ "QueueUrl": queue, "ReceiptHandle": handle });
    let change = |queue: &str, handle: &str, to: u32| json!({ "QueueUrl": queue, "ReceiptHandle": handle, "VisibilityTimeout": to });
    sqs.ok("ChangeMessageVisibility", change(FIFO, &fifo, 7)).await;
    clock.advance(6_000);
    sqs.ok("ChangeMessageVisibility", change(FIFO, &fifo, 43_194)).await;
    let beyond = "Total VisibilityTimeout for the message is beyond the limit [43200 seconds]";
    let refused = sqs.no("ChangeMessageVisibility", change(FIFO, &fifo, 43_195)).await;
    assert_eq!(refused, refusal("InvalidParameterValueException", beyond), "R6");
    sqs.ok("ChangeMessageVisibility", change(FIFO, &fifo, 1)).await;
    clock.advance(1_000);
    let expired =
        format!("Value {fifo} for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.");
    let expired = refusal("InvalidParameterValueException", &expired);
    assert_eq!(sqs.no("DeleteMessage", of(FIFO, &fifo)).await, expired, "nobody received it again, and yet");
    assert_eq!(sqs.no("ChangeMessageVisibility", change(FIFO, &fifo, 1)).await, expired);
    sqs.ok("ChangeMessageVisibility", change("q", &standard, 1)).await;
    sqs.ok("DeleteMessage", of("q", &standard)).await;
    assert_eq!(sqs.bodies("q", 10).await, [""; 0]);
    assert_eq!(sqs.bodies(FIFO, 10).await, ["1"]);
    sqs.stop().await;
}

#[tokio::test]
async fn r7_an_attempt_is_repeated_until_one_of_its_messages_is_used() {
    let (mut sqs, clock) = with_clock(SqsSettings::default()).await;
    sqs.create(FIFO, json!({ "VisibilityTimeout": "10" })).await;
    for body in ["1", "2"] {
        sqs.send(FIFO, "g", body).await;
    }
    let attempt = |max: u32| {
        json!({ "QueueUrl": FIFO, "ReceiveRequestAttemptId": "try", "MaxNumberOfMessages": max,
            "AttributeNames": ["ApproximateReceiveCount"] })
    };
    let first = sqs.ok("ReceiveMessage", attempt(2)).await;
    clock.advance(9_000);
    assert_eq!(sqs.ok("ReceiveMessage", attempt(1)).await, first, "same messages, same handles, not counted");
    clock.advance(9_000);
    let handle = text(&first["Messages"][0]["ReceiptHandle"]);
    sqs.ok("DeleteMessage", json!({ "QueueUrl": FIFO, "ReceiptHandle": handle })).await;
    let gone = "Value try for parameter ReceiveRequestAttemptId is invalid. Reason: The receiveRequestAttemptId is not \
                valid anymore since the receive call is not retryable.";
    assert_eq!(sqs.no("ReceiveMessage", attempt(2)).await, refusal("InvalidParameterValueException", gone));
    let bad = json!({ "QueueUrl": FIFO, "ReceiveRequestAttemptId": "a b" });
    assert!(sqs.no("ReceiveMessage", bad).await.2.starts_with("Value a b for parameter ReceiveRequestAttemptId"), "L5");
    sqs.stop().await;
}

/// Waits until so many receives wait.
async fn parked(sqs: &Sqs, polls: u32) {
    let line = format!("lockstep_waiting_polls {polls}\n");
    while !http::get(&sqs.served, "/metrics", "").await.1.contains(&line) {
        tokio::task::yield_now().await;
    }
}

/// What a long poll answers that waits while something happens.
async fn poll_while(sqs: &mut Sqs, http: &mut Http, act: impl AsyncFnOnce(&mut Sqs)) -> Value {
    let head = format!("{HEAD}X-Amz-Target: AmazonSQS.ReceiveMessage\r\n");
    let request = json!({ "QueueUrl": FIFO, "WaitTimeSeconds": 20 }).to_string();
    let acts = async {
        parked(sqs, 1).await;
        act(sqs).await;
    };
    let (answer, ()) = tokio::join!(http.ask("POST /", &head, request.as_bytes()), acts);
    answer.json()
}

#[tokio::test]
async fn r1_r2_o4_a_long_poll_wakes_when_a_lease_ends_or_what_blocks_goes() {
    let (mut sqs, clock) = with_clock(SqsSettings::default()).await;
    sqs.create(FIFO, json!({ "VisibilityTimeout": "5" })).await;
    let mut http = Http::to(&sqs.served).await;
    sqs.send(FIFO, "g", "1").await;
    sqs.receive(FIFO, 1).await;
    let answer = poll_while(&mut sqs, &mut http, async |_| clock.advance(5_000)).await;
    assert_eq!(answer["Messages"][0]["Body"], "1", "the lease ended");
    let handle = text(&answer["Messages"][0]["ReceiptHandle"]);
    let give_back = json!({ "QueueUrl": FIFO, "ReceiptHandle": handle, "VisibilityTimeout": 0 });
    let answer = poll_while(&mut sqs, &mut http, async |sqs| {
        sqs.ok("ChangeMessageVisibility", give_back).await;
    })
    .await;
    assert_eq!(answer["Messages"][0]["Body"], "1", "it was given back");
    let handle = text(&answer["Messages"][0]["ReceiptHandle"]);
    sqs.send(FIFO, "g", "2").await;
    let answer = poll_while(&mut sqs, &mut http, async |sqs| {
        sqs.ok("DeleteMessage", json!({ "QueueUrl": FIFO, "ReceiptHandle": handle })).await;
    })
    .await;
    assert_eq!(answer["Messages"][0]["Body"], "2", "what blocked it was deleted");
    let answer = poll_while(&mut sqs, &mut http, async |sqs| {
        sqs.ok("DeleteQueue", json!({ "QueueUrl": FIFO })).await;
    })
    .await;
    assert_eq!(answer["__type"], "com.amazonaws.sqs#QueueDoesNotExist");
    drop(http);
    sqs.stop().await;
}

#[tokio::test]
async fn s10_s11_a_delay_is_the_queues_on_fifo_and_may_be_ones_own_on_standard() {
    let (mut sqs, clock) = with_clock(SqsSettings::default()).await;
    sqs.create(FIFO, json!({ "DelaySeconds": "10" })).await;
    sqs.create("q", json!({ "DelaySeconds": "10" })).await;
    let request = json!({ "QueueUrl": FIFO, "MessageBody": "1", "MessageGroupId": "g", "MessageDeduplicationId": "1",
        "DelaySeconds": 0 });
    sqs.ok("SendMessage", request).await;
    let mut own = json!({ "QueueUrl": "q", "MessageBody": "1", "DelaySeconds": 0 });
    sqs.ok("SendMessage", own.clone()).await;
    assert_eq!((sqs.bodies(FIFO, 1).await.len(), sqs.bodies("q", 1).await.len()), (0, 1));
    assert_eq!(sqs.attribute(FIFO, "ApproximateNumberOfMessagesDelayed").await, "1");
    own["DelaySeconds"] = json!(901);
    let text = "Value 901 for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.";
    assert_eq!(sqs.no("SendMessage", own).await, refusal("InvalidParameterValueException", text));
    sqs.ok("SetQueueAttributes", json!({ "QueueUrl": FIFO, "Attributes": { "DelaySeconds": "1" } })).await;
    clock.advance(1_000);
    assert_eq!(sqs.bodies(FIFO, 1).await, ["1"], "S11: re-timed");
    sqs.stop().await;
}

#[tokio::test]
async fn a2_a3_with_aws_timing_names_and_purges_wait_a_minute() {
    let (mut sqs, clock) = with_clock(SqsSettings { aws_timing: true, ..SqsSettings::default() }).await;
    let url = sqs.create("q", json!({})).await;
    sqs.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
    clock.advance(59_999);
    let text = "Only one PurgeQueue operation on q is allowed every 60 seconds.";
    let refused = sqs.no("PurgeQueue", json!({ "QueueUrl": url })).await;
    assert_eq!(refused, (403, "PurgeQueueInProgress".to_owned(), text.to_owned()));
    clock.advance(1);
    sqs.ok("PurgeQueue", json!({ "QueueUrl": url })).await;
    sqs.ok("DeleteQueue", json!({ "QueueUrl": url })).await;
    let text = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    let refused = sqs.no("CreateQueue", json!({ "QueueName": "q" })).await;
    assert_eq!(refused, refusal("QueueDeletedRecently", text));
    clock.advance(60_000);
    sqs.create("q", json!({})).await;
    sqs.stop().await;
}
