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
    let action = FaultAction::Call(fault, vec![operation.to_owned()]);
    let rule = FaultRule { name: "the rule".into(), trigger: Trigger::At(vec![1]), action };
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
