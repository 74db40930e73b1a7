//! Time travel (H2): under a manual clock a long step ends like many short ones, and everything that follows time
//! follows it.

use bytes::Bytes;
use lockstep_broker::{Broker, BrokerSettings, ClockChoice, Delivery, Failure, Handle, StartError};
use lockstep_engine::{command::Receive, words::Timestamp};
use lockstep_proto::v1::{self, clock_client::ClockClient};
use tonic::Code;

use crate::support::{Pending, Served, create, glance, memory, message, park, queue, reason, receive, send, sled};

const Q: &str = "orders.fifo";
const START: u64 = 1_000_000;
const SECOND: u64 = 1_000;
const HOUR: u64 = 3_600 * SECOND;

fn manual() -> BrokerSettings {
    BrokerSettings { clock: ClockChoice::Served(Timestamp(START)), ..memory() }
}

fn bodies(deliveries: &[Delivery]) -> Vec<Bytes> {
    deliveries.iter().map(|delivery| delivery.body.clone()).collect()
}

/// What was seen of a broker in the end.
#[derive(Debug, PartialEq)]
struct Seen {
    polls: Vec<Option<Vec<Bytes>>>,
    queue: lockstep_engine::view::QueueView,
    rest: Vec<(Bytes, u32)>,
    duplicate: bool,
}

/// Leases of 15 s and 25 s, polls that wait 5, 10 and 20 s: who gets what depends on the instants.
async fn scenario(steps: &[u64]) -> Seen {
    let broker = Broker::start(&manual()).expect("it starts");
    let handle = broker.handle().clone();
    create(&handle, Q).await;
    for (group, id) in [("g", "1"), ("g", "2"), ("h", "3")] {
        send(&handle, Q, group, id).await;
    }
    for visibility in [15 * SECOND, 25 * SECOND] {
        let asked = Receive { visibility: Some(visibility), ..receive(Q, 1) };
        handle.receive(asked, Some(0)).await.expect("received");
    }
    let mut polls: Vec<Pending<'_, Result<Vec<Delivery>, Failure>>> = Vec::new();
    for wait in [5, 10, 20] {
        let asked = Receive { visibility: Some(7 * SECOND), ..receive(Q, 10) };
        polls.push(park(&handle, handle.receive(asked, Some(wait * SECOND))).await);
    }
    for step in steps {
        handle.advance(*step).await.expect("moved");
    }
    let mut answers = Vec::new();
    for poll in &mut polls {
        answers.push(glance(poll).await.map(|answer| bodies(&answer.expect("answered"))));
    }
    let view = handle.describe_queue(queue(Q)).await.expect("there");
    let duplicate = send(&handle, Q, "g", "1").await.duplicate;
    let rest = handle.receive(receive(Q, 10), Some(0)).await.expect("received");
    let rest = rest.into_iter().map(|delivery| (delivery.body, delivery.delivered.receives)).collect();
    broker.stop().await.expect("a clean end");
    Seen { polls: answers, queue: view, rest, duplicate }
}

#[tokio::test]
async fn one_long_step_ends_like_many_short_ones() {
    let total: u64 = 310 * SECOND;
    let at_once = scenario(&[total]).await;
    assert_eq!(at_once, scenario(&vec![SECOND; 310]).await);
    let mut chance = fastrand::Rng::with_seed(7);
    for _ in 0..3 {
        let mut steps = Vec::new();
        while steps.iter().sum::<u64>() < total {
            let left = total - steps.iter().sum::<u64>();
            steps.push(chance.u64(1..=left.min(60 * SECOND)));
        }
        assert_eq!(at_once, scenario(&steps).await, "{steps:?}");
    }
    let text = |at: usize| at_once.polls[at].clone().expect("its time came");
    assert_eq!((text(0), text(1)), (Vec::new(), Vec::new()), "their waits ended before the first lapse");
    assert_eq!(text(2), [Bytes::from_static(b"1"), Bytes::from_static(b"2")], "the lapse at 15 s woke it");
    assert_eq!(at_once.rest.iter().map(|(_, count)| *count).collect::<Vec<_>>(), [3, 1, 1, 2]);
    assert!(!at_once.duplicate, "the window of 300 s is over");
}

#[tokio::test]
async fn an_answer_comes_when_the_woken_polls_have_theirs() {
    let broker = Broker::start(&manual()).expect("it starts");
    let handle = &broker.handle().clone();
    create(handle, Q).await;
    send(handle, Q, "g", "1").await;
    handle.receive(receive(Q, 1), Some(0)).await.expect("received");
    let mut poll = park(handle, handle.receive(receive(Q, 1), Some(20 * SECOND))).await;
    let arrival = handle.advance(19 * SECOND).await.expect("moved");
    assert_eq!((arrival.now, arrival.next_due), (Timestamp(START + 19 * SECOND), Some(Timestamp(START + 30 * SECOND))));
    assert!(glance(&mut poll).await.is_none(), "it waits on");
    handle.advance(SECOND).await.expect("moved");
    assert!(glance(&mut poll).await.expect("its wait is over").expect("answered").is_empty());
    let mut poll = park(handle, handle.receive(receive(Q, 1), Some(20 * SECOND))).await;
    handle.advance(10 * SECOND).await.expect("moved");
    assert_eq!(glance(&mut poll).await.expect("the lease lapsed").expect("answered").len(), 1);
    drop(poll);
    broker.stop().await.expect("a clean end");
}

async fn idle(handle: &Handle, within: u64, at_most: u64) -> (u64, Option<u64>) {
    let arrival = handle.run_until_idle(within, at_most).await.expect("moved");
    (arrival.now.0 - START, arrival.next_due.map(|due| due.0 - START))
}

#[tokio::test]
async fn it_runs_until_nothing_is_due_within_the_limit() {
    let broker = Broker::start(&manual()).expect("it starts");
    let handle = broker.handle();
    create(handle, Q).await;
    assert_eq!(idle(handle, HOUR, HOUR).await, (0, None), "nothing is due ever");
    send(handle, Q, "g", "1").await;
    handle.receive(receive(Q, 1), Some(0)).await.expect("received");
    let poll = park(handle, handle.receive(receive("orders.fifo", 1), Some(20 * SECOND))).await;
    assert_eq!(idle(handle, SECOND, HOUR).await, (0, Some(30 * SECOND)), "a poll alone is no reason");
    drop(poll);
    let (now, due) = idle(handle, HOUR, HOUR).await;
    assert!((300 * SECOND..302 * SECOND).contains(&now), "lease and key are through: {now}");
    assert_eq!(due, Some(96 * HOUR), "only retention is left");
    assert_eq!(idle(handle, 100 * HOUR, HOUR).await, (now + HOUR, due), "the limit ends it");
    assert_eq!(idle(handle, 100 * HOUR, 100 * HOUR).await, (96 * HOUR, None));
    assert_eq!(handle.describe_queue(queue(Q)).await.expect("there").available, 0);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_restart_goes_on_where_time_stood() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = |start| BrokerSettings { clock: ClockChoice::Served(Timestamp(start)), ..sled(&directory) };
    let broker = Broker::start(&settings(START)).expect("it starts");
    create(broker.handle(), Q).await;
    send(broker.handle(), Q, "g", "1").await;
    broker.handle().receive(receive(Q, 1), Some(0)).await.expect("received");
    broker.handle().advance(29_999).await.expect("moved");
    broker.stop().await.expect("a clean end");

    let broker = Broker::start(&settings(START * 1_000)).expect("it starts");
    let handle = broker.handle();
    assert_eq!(handle.manual_now().await.expect("told"), Timestamp(START + 29_999), "whatever start is asked for");
    assert!(handle.receive(receive(Q, 1), Some(0)).await.expect("asked").is_empty(), "the lease lives");
    handle.advance(1).await.expect("moved");
    assert_eq!(handle.receive(receive(Q, 1), Some(0)).await.expect("asked").len(), 1);
    broker.stop().await.expect("a clean end");

    let error = Broker::start(&sled(&directory)).expect_err("far from the machine's time");
    assert!(matches!(&error, StartError::Clock(_)) && error.to_string().contains("--force-clock"), "{error}");
}

#[tokio::test]
async fn requests_that_come_while_time_goes_see_the_time_it_came_to() {
    let broker = Broker::start(&manual()).expect("it starts");
    let handle = broker.handle();
    create(handle, Q).await;
    let (moved, sent) = tokio::join!(handle.advance(HOUR), handle.send(queue(Q), vec![message("g", "1", "late")]),);
    assert_eq!(moved.expect("moved").now, Timestamp(START + HOUR));
    sent.expect("sent")[0].as_ref().expect("accepted");
    let peeked = handle.peek(queue(Q), None, lockstep_engine::words::SequenceNumber(0), 1, 0).await.expect("seen");
    assert_eq!(peeked[0].peeked.sent_at, Timestamp(START + HOUR));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn over_the_wire_it_is_told_refused_and_bounded() {
    let served = Served::start(&manual()).await;
    let mut clock = ClockClient::new(served.channel.clone());
    assert_eq!(clock.freeze(v1::FreezeRequest {}).await.expect("frozen").into_inner().now_unix_ms, START);
    let moved = clock.advance(v1::AdvanceRequest { milliseconds: 5 }).await.expect("moved").into_inner();
    assert_eq!((moved.now_unix_ms, moved.next_due_unix_ms), (START + 5, None));
    assert_eq!(clock.now(v1::ClockNowRequest {}).await.expect("told").into_inner().now_unix_ms, START + 5);
    let run = clock.run_until_idle(v1::RunUntilIdleRequest::default()).await.expect("idle").into_inner();
    assert_eq!((run.now_unix_ms, run.idle, run.stops), (START + 5, true, 0));
    let far = v1::AdvanceRequest { milliseconds: 400 * 24 * HOUR + 1 };
    let status = clock.advance(far).await.expect_err("too far");
    assert_eq!((status.code(), reason(&status).0.as_str()), (Code::InvalidArgument, "OUT_OF_RANGE"));
    let far = v1::RunUntilIdleRequest { within_ms: Some(u64::MAX), at_most_ms: None };
    assert!(clock.run_until_idle(far).await.expect_err("too far").message().contains("within_ms"));
    served.stop().await.expect("a clean end");

    let served = Served::start(&memory()).await;
    let mut clock = ClockClient::new(served.channel.clone());
    let refusals = [
        clock.now(v1::ClockNowRequest {}).await.expect_err("the machine's"),
        clock.freeze(v1::FreezeRequest {}).await.expect_err("the machine's"),
        clock.advance(v1::AdvanceRequest { milliseconds: 5 }).await.expect_err("the machine's"),
        clock.run_until_idle(v1::RunUntilIdleRequest::default()).await.expect_err("the machine's"),
    ];
    for status in refusals {
        assert_eq!((status.code(), reason(&status).0.as_str()), (Code::FailedPrecondition, "CLOCK_NOT_MANUAL"));
        assert!(status.message().contains("--clock manual"), "{status}");
    }
    served.stop().await.expect("a clean end");
}
