//! What an SDK must ask again, and is told so: a broker that drains, a journal that is full (H4, H5).

use lockstep_broker::{Broker, Receipts};
use lockstep_journal::MemoryJournal;
use lockstep_proto::v1::{self, admin_client::AdminClient};
use serde_json::{Value, json};

use super::Sqs;
use crate::support::{Served, memory};

const FIFO: &str = "q.fifo";

fn entry(id: &str, bytes: usize) -> Value {
    json!({ "Id": id, "MessageBody": "x".repeat(bytes), "MessageGroupId": id, "MessageDeduplicationId": id })
}

#[tokio::test]
async fn h5_a_full_journal_fails_a_request_for_a_while_and_an_entry_as_the_receivers_fault() {
    let receipts = Receipts::ephemeral().expect("a key");
    let broker = Broker::start_on(MemoryJournal::new(), receipts, None, Some(16_000), &memory()).expect("it starts");
    let mut sqs = Sqs::serve(Served::serve(broker).await).await;
    sqs.create(FIFO, json!({})).await;
    let mut large = entry("large", 100_000);
    large["QueueUrl"] = json!(FIFO);
    let answer = sqs.call("SendMessage", large).await;
    assert_eq!((answer.status, answer.refused().1.as_str()), (503, "ServiceUnavailableException"));
    assert_eq!(answer.headers["x-amzn-query-error"], "ServiceUnavailable;Receiver");
    let batch = |entries: Vec<Value>| json!({ "QueueUrl": FIFO, "Entries": entries });
    let refused = sqs.no("SendMessageBatch", batch(vec![entry("a", 100_000), entry("b", 100_000)])).await;
    assert_eq!(refused.0, 503, "no SDK repeats entries, so the request fails");
    let answer = sqs.ok("SendMessageBatch", batch(vec![entry("a", 100_000), entry("b", 10)])).await;
    assert_eq!(answer["Successful"][0]["Id"], "b");
    let failed = &answer["Failed"][0];
    assert_eq!((&failed["Code"], &failed["SenderFault"]), (&json!("ServiceUnavailable"), &json!(false)));
    sqs.stop().await;
}

#[tokio::test]
async fn h4_a_broker_that_drains_takes_no_sends_and_gives_the_rest() {
    let mut sqs = Sqs::start().await;
    sqs.create(FIFO, json!({})).await;
    sqs.send(FIFO, "g", "1").await;
    let mut admin = AdminClient::new(sqs.served.channel.clone());
    admin.drain(v1::DrainRequest { cancel: false, wait_seconds: 0 }).await.expect("answered");
    let mut send = entry("2", 1);
    send["QueueUrl"] = json!(FIFO);
    assert_eq!(sqs.no("SendMessage", send.clone()).await.0, 503);
    assert_eq!(sqs.bodies(FIFO, 10).await, ["1"]);
    admin.drain(v1::DrainRequest { cancel: true, wait_seconds: 0 }).await.expect("answered");
    sqs.ok("SendMessage", send).await;
    sqs.stop().await;
}
