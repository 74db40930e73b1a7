//! The end on request: what was accepted is answered, polls end empty at once, nothing holds it up (2 s).

use std::time::{Duration, Instant};

use lockstep_broker::{Broker, Failure};
use lockstep_proto::v1;
use tokio::{io::AsyncReadExt, net::TcpStream};

use crate::support::{Pending, Served, create, glance, memory, park, queue, receive, sled};

const Q: &str = "q.fifo";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_comes_within_2_s_whatever_is_open() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    broker.send(Q, "g", "1", "x").await;
    // A connection that never says a word, a client that keeps its connection, and a poll of 20 s.
    let mut silent = TcpStream::connect(broker.address).await.expect("connected");
    let idle = broker.messages.clone();
    let mut messages = broker.messages.clone();
    broker.receive(Q, 1).await;
    let request = v1::ReceiveRequest { queue: Q.into(), wait_seconds: Some(20), ..v1::ReceiveRequest::default() };
    let mut poll: Pending<'static, _> = Box::pin(async move { messages.receive(request).await });
    assert!(glance(&mut poll).await.is_none());
    let poll = tokio::spawn(poll);
    // Answered over the same connection, so the poll before it has reached the broker.
    broker.send(Q, "g", "2", "x").await;
    let handle = broker.handle.clone();
    let began = Instant::now();
    broker.stop().await.expect("a clean end");
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let answer = poll.await.expect("no panic").expect("answered, not cut off").into_inner();
    assert!(answer.deliveries.is_empty());
    // Whatever the server said to it, it ends.
    let mut said = Vec::new();
    drop(tokio::time::timeout(Duration::from_secs(5), silent.read_to_end(&mut said)).await.expect("dropped"));
    let late = handle.describe_queue(queue(Q)).await.expect_err("it is over");
    assert!(matches!(late, Failure::Unavailable(_)));
    drop(idle);

    let broker = Broker::start(&sled(&directory)).expect("the lock is free");
    let view = broker.handle().describe_queue(queue(Q)).await.expect("there");
    assert_eq!((view.available, view.in_flight), (1, 1));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn dropping_the_broker_ends_it_too() {
    let broker = Broker::start(&memory()).expect("it starts");
    let handle = broker.handle().clone();
    create(&handle, Q).await;
    let poll = park(&handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    drop(broker);
    assert!(poll.await.expect("answered").is_empty());
}
