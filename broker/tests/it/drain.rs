//! Drain mode: sends are turned away, the rest goes on, and an empty broker ends.

use lockstep_proto::v1::{self, admin_client::AdminClient};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::{
    http::get,
    support::{Served, entry, memory, reason},
};

const Q: &str = "q.fifo";

async fn drain(admin: &mut AdminClient<tonic::transport::Channel>, cancel: bool, wait: u32) -> (bool, u64, u64) {
    let answer = admin.drain(v1::DrainRequest { cancel, wait_seconds: wait }).await.expect("answered").into_inner();
    (answer.draining, answer.messages, answer.queues_with_messages)
}

#[tokio::test]
async fn a_draining_broker_takes_no_sends_and_ends_when_it_is_empty() {
    let mut broker = Served::start(&memory()).await;
    let mut admin = AdminClient::new(broker.channel.clone());
    let mut health = HealthClient::new(broker.channel.clone());
    let status = async |health: &mut HealthClient<_>, service: &str| {
        health.check(HealthCheckRequest { service: service.into() }).await.expect("known").into_inner().status
    };
    broker.create(Q, v1::QueueAttributes::default()).await;
    broker.create("empty.fifo", v1::QueueAttributes::default()).await;
    let first = broker.send(Q, "g", "1", "x").await;
    assert_eq!(drain(&mut admin, false, 0).await, (true, 1, 1));
    assert_eq!(drain(&mut admin, false, 0).await, (true, 1, 1), "harmless to repeat");
    let send = v1::SendRequest { queue: Q.into(), entry: Some(entry("g", "2", "x")), ..v1::SendRequest::default() };
    let refused = broker.messages.send(send.clone()).await.expect_err("it drains");
    assert_eq!((refused.code(), reason(&refused).0.as_str()), (Code::Unavailable, "DRAINING"));
    // Health follows a moment later.
    for service in ["", "lockstep.v1.Messages"] {
        while status(&mut health, service).await != 2 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(get(&broker, "/healthz", "").await.1, "draining\n");
    assert_eq!(drain(&mut admin, true, 0).await, (false, 1, 1));
    let second = broker.messages.send(send).await.expect("the same key").into_inner().accepted.expect("accepted");
    assert!(!second.duplicate && second.sequence_number == first.sequence_number + 1, "nothing had been decided");
    while status(&mut health, "").await != 1 {
        tokio::task::yield_now().await;
    }
    drain(&mut admin, false, 0).await;
    let waiting = tokio::spawn(async move { drain(&mut admin, false, 20).await });
    let handles = broker.receive(Q, 10).await.into_iter().map(|delivery| delivery.receipt_handle).collect();
    let delete = v1::DeleteBatchRequest { queue: Q.into(), receipt_handles: handles };
    assert_eq!(broker.messages.delete_batch(delete).await.expect("deleted").into_inner().results.len(), 2);
    assert_eq!(waiting.await.expect("no panic"), (true, 0, 0));
    broker.ended().await.expect("it ends by itself, cleanly");
}

#[tokio::test]
async fn a_wait_beyond_its_limit_is_refused_and_status_tells_the_rest() {
    let broker = Served::start(&memory()).await;
    let mut admin = AdminClient::new(broker.channel.clone());
    let refused = admin.drain(v1::DrainRequest { cancel: true, wait_seconds: 21 }).await.expect_err("over 20");
    assert_eq!(refused.code(), Code::InvalidArgument);
    let status = admin.status(v1::StatusRequest {}).await.expect("answered").into_inner();
    assert_eq!((status.version.as_str(), status.draining, status.queues), (env!("CARGO_PKG_VERSION"), false, 0));
    assert!(status.now_unix_ms > 0 && status.started_unix_ms > 0 && status.space_for_sends_bytes.is_none());
    broker.stop().await.expect("a clean end");
}
