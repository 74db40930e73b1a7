//! Fault plans: each action does to a call what docs/faults.md says, and no more. Crashes need processes: they are in
//! the command's own tests.

use std::time::{Duration, Instant};

use lockstep_broker::{BrokerSettings, CallFault, FaultAction, FaultRule, Faults, Trigger};
use lockstep_proto::v1;
use tonic::Code;

use crate::support::{Served, entry, memory, reason};

const Q: &str = "orders.fifo";

/// A broker that does `fault` to the first call of `operation`.
async fn broken(fault: CallFault, operation: &str) -> Served {
    broken_at(fault, operation, 1).await
}

/// The same at another match.
async fn broken_at(fault: CallFault, operation: &str, at: u64) -> Served {
    let action = FaultAction::Call(fault, vec![operation.to_owned()]);
    let rule = FaultRule { name: "the rule".into(), trigger: Trigger::At(vec![at]), action };
    let settings = BrokerSettings { faults: Some(Faults::new(vec![rule], 1)), ..memory() };
    let mut broker = Served::start(&settings).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    broker
}

fn one() -> v1::SendRequest {
    v1::SendRequest { queue: Q.into(), entry: Some(entry("g", "1", "one")), ..v1::SendRequest::default() }
}

async fn refused(broker: &mut Served, code: Code) {
    let status = broker.messages.send(one()).await.expect_err("the fault");
    assert_eq!((status.code(), reason(&status).0.as_str()), (code, "FAULT_INJECTED"));
}

#[tokio::test]
async fn what_is_not_carried_out_leaves_nothing_behind() {
    for (fault, code) in [(CallFault::Unavailable, Code::Unavailable), (CallFault::Throttle, Code::ResourceExhausted)] {
        let mut broker = broken(fault, "Send").await;
        refused(&mut broker, code).await;
        assert!(!broker.send(Q, "g", "1", "one").await.duplicate);
        broker.stop().await.expect("a clean end");
    }
}

#[tokio::test]
async fn a_dropped_answer_was_true() {
    let mut broker = broken(CallFault::DropAnswer, "Send").await;
    refused(&mut broker, Code::Unavailable).await;
    assert!(broker.send(Q, "g", "1", "one").await.duplicate, "it was stored");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn an_answer_that_never_comes_was_true_and_holds_up_nothing() {
    let mut broker = broken(CallFault::NeverAnswer, "Send").await;
    let mut patient = broker.messages.clone();
    let silent = tokio::spawn(async move { patient.send(one()).await });
    // The call behind it on the same connection is answered once the first was carried out.
    while broker.receive(Q, 1).await.is_empty() {}
    assert!(broker.send(Q, "g", "1", "one").await.duplicate);
    assert!(!silent.is_finished());
    broker.stop().await.expect("a clean end");
    assert!(silent.await.expect("no panic").is_err());
}

#[tokio::test]
async fn a_repeated_call_meets_its_own_key() {
    let mut broker = broken(CallFault::Repeat, "Send").await;
    let sent = broker.send(Q, "g", "1", "one").await;
    assert!(sent.duplicate && sent.sequence_number == 1, "{sent:?}");
    broker.stop().await.expect("a clean end");

    let mut broker = broken(CallFault::Repeat, "Delete").await;
    broker.send(Q, "g", "1", "one").await;
    let held = broker.receive(Q, 1).await.remove(0);
    let delete = v1::DeleteRequest { queue: Q.into(), receipt_handle: held.receipt_handle };
    assert!(broker.messages.delete(delete).await.expect("deleted").into_inner().already_gone);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_delayed_call_is_slow_and_right() {
    let mut broker = broken(CallFault::Delay(Duration::from_millis(80)), "Send").await;
    let began = Instant::now();
    assert!(!broker.send(Q, "g", "1", "one").await.duplicate);
    assert!(began.elapsed() >= Duration::from_millis(80));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn an_expired_lease_is_learnt_at_the_delete() {
    let mut broker = broken(CallFault::ExpireLease, "Receive").await;
    broker.send(Q, "g", "1", "one").await;
    let lost = broker.receive(Q, 1).await.remove(0);
    assert_eq!(lost.body, "one");
    let delete = |receipt_handle| v1::DeleteRequest { queue: Q.into(), receipt_handle };
    let status = broker.messages.delete(delete(lost.receipt_handle)).await.expect_err("its handle is dead");
    assert_eq!(reason(&status).0, "RECEIPT_EXPIRED");
    let again = broker.receive(Q, 1).await.remove(0);
    assert_eq!(again.sequence_number, lost.sequence_number);
    assert!(broker.messages.delete(delete(again.receipt_handle)).await.is_ok());
    broker.stop().await.expect("a clean end");
}

/// A stream, with what was said on it at once.
async fn produced(broker: &Served, blocks: Vec<v1::ProduceRequest>) -> tonic::Streaming<v1::ProduceResponse> {
    broker.messages.clone().produce(tokio_stream::iter(blocks)).await.expect("opened").into_inner()
}

fn block(id: &str) -> v1::ProduceRequest {
    let entries = vec![entry("g", id, "one")];
    v1::ProduceRequest { queue: Q.into(), entries, ..v1::ProduceRequest::default() }
}

async fn injected<T: std::fmt::Debug>(answers: &mut tonic::Streaming<T>, code: Code) {
    let status = answers.message().await.expect_err("the fault");
    assert_eq!((status.code(), reason(&status).0.as_str()), (code, "FAULT_INJECTED"));
}

fn duplicate(response: Option<v1::ProduceResponse>) -> bool {
    match response.expect("an answer").results.remove(0).outcome.expect("an outcome") {
        v1::send_result::Outcome::Accepted(accepted) => accepted.duplicate,
        v1::send_result::Outcome::Refused(refusal) => panic!("{refusal:?}"),
    }
}

#[tokio::test]
async fn each_block_of_a_stream_is_struck_by_itself() {
    for (fault, code, stored) in [
        (CallFault::Unavailable, Code::Unavailable, false),
        (CallFault::Throttle, Code::ResourceExhausted, false),
        (CallFault::DropAnswer, Code::Unavailable, true),
    ] {
        let mut broker = broken_at(fault, "Produce", 2).await;
        let mut answers = produced(&broker, vec![block("1"), block("2"), block("3")]).await;
        assert!(!duplicate(answers.message().await.expect("what stands before it is answered")));
        injected(&mut answers, code).await;
        assert_eq!(broker.send(Q, "g", "2", "one").await.duplicate, stored, "{fault:?}");
        assert!(!broker.send(Q, "g", "3", "one").await.duplicate, "{fault:?}: what stands behind it was not read");
        broker.stop().await.expect("a clean end");
    }
    let broker = broken_at(CallFault::Repeat, "Produce", 1).await;
    let mut answers = produced(&broker, vec![block("1")]).await;
    assert!(duplicate(answers.message().await.expect("an answer")), "the second one");
    broker.stop().await.expect("a clean end");
    let mut broker = broken_at(CallFault::NeverAnswer, "Produce", 1).await;
    let mut answers = produced(&broker, vec![block("1")]).await;
    while !broker.send(Q, "g", "1", "one").await.duplicate {}
    let silence = tokio::time::timeout(Duration::from_millis(100), answers.message()).await;
    assert!(silence.is_err(), "{silence:?}");
    drop(answers);
    broker.stop().await.expect("a clean end");
}

/// A stream that was granted two messages, and its requests to come.
async fn consumed(
    broker: &Served,
) -> (tokio::sync::mpsc::Sender<v1::ConsumeRequest>, tonic::Streaming<v1::ConsumeResponse>) {
    let (requests, said) = tokio::sync::mpsc::channel(4);
    let start = Some(v1::ConsumeStart { queue: Q.into(), ..v1::ConsumeStart::default() });
    requests.send(v1::ConsumeRequest { start, credit: 2, ..v1::ConsumeRequest::default() }).await.expect("room");
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    (requests, broker.messages.clone().consume(said).await.expect("opened").into_inner())
}

fn delete(handle: String) -> v1::ConsumeRequest {
    v1::ConsumeRequest { tag: 1, delete_handles: vec![handle], ..v1::ConsumeRequest::default() }
}

#[tokio::test]
async fn each_request_of_a_consumer_is_struck_by_itself() {
    // The grant's answer are deliveries: they are leased, and lost.
    let mut broker = broken_at(CallFault::DropAnswer, "Consume", 1).await;
    broker.send(Q, "g", "1", "one").await;
    let (_requests, mut deliveries) = consumed(&broker).await;
    injected(&mut deliveries, Code::Unavailable).await;
    assert!(broker.receive(Q, 1).await.is_empty(), "H8: it is leased");
    broker.stop().await.expect("a clean end");

    for (fault, gone) in [(CallFault::DropAnswer, true), (CallFault::Unavailable, false)] {
        let mut broker = broken_at(fault, "Consume", 2).await;
        broker.send(Q, "g", "1", "one").await;
        let (requests, mut deliveries) = consumed(&broker).await;
        let handle = deliveries.message().await.expect("good").expect("one").deliveries.remove(0).receipt_handle;
        requests.send(delete(handle.clone())).await.expect("open");
        injected(&mut deliveries, Code::Unavailable).await;
        let (requests, mut deliveries) = consumed(&broker).await;
        requests.send(delete(handle)).await.expect("open");
        let answer = deliveries.message().await.expect("good").expect("one").answers.remove(0);
        let deleted = v1::DeleteResponse { already_gone: gone };
        assert_eq!(answer.deleted[0].outcome, Some(v1::delete_result::Outcome::Deleted(deleted)), "{fault:?}");
        drop((requests, deliveries));
        broker.stop().await.expect("a clean end");
    }

    let mut broker = broken_at(CallFault::ExpireLease, "Consume", 1).await;
    broker.send(Q, "g", "1", "one").await;
    let (requests, mut deliveries) = consumed(&broker).await;
    let handle = deliveries.message().await.expect("good").expect("one").deliveries.remove(0).receipt_handle;
    requests.send(delete(handle)).await.expect("open");
    // It is delivered again, and its first handle is dead.
    let (mut again, mut refused) = (0, None);
    while again == 0 || refused.is_none() {
        let response = deliveries.message().await.expect("good").expect("one");
        again += response.deliveries.len();
        for answer in response.answers {
            let Some(v1::delete_result::Outcome::Refused(refusal)) = &answer.deleted[0].outcome else { panic!("gone") };
            refused = Some(refusal.reason.clone());
        }
    }
    assert_eq!((again, refused.as_deref()), (1, Some("RECEIPT_EXPIRED")));
    drop((requests, deliveries));
    broker.stop().await.expect("a clean end");
}
