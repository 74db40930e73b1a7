//! What a failed append means to callers (H4), what space means to senders (H5), and what a bad body stops (H6).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use lockstep_broker::{Broker, BrokerSettings, Failure, Receipts, ServeError};
use lockstep_engine::{Rejected, command::Delete, words::SequenceNumber};
use lockstep_journal::{Fault, FaultyJournal, FrameNumber, Journal, MemoryDisk, MemoryJournal, Position};
use lockstep_proto::v1;

use crate::{
    http::{get, series},
    support::{Served, create, memory, message, park, queue, receive, send},
};

const Q: &str = "q.fifo";

fn start_on<J: Journal>(journal: J, backlog: Option<u64>, settings: &BrokerSettings) -> Broker {
    Broker::start_on(journal, Receipts::ephemeral().expect("a key"), None, backlog, settings).expect("it starts")
}

/// Many senders against a journal whose `nth` append fails: who was accepted is there after a restart, everybody else
/// was told that the outcome is unknown, and the broker says that it is over.
async fn fail_under_load(nth: u64, fault: Fault) {
    let disk = MemoryDisk::new();
    let journal = MemoryJournal::open(&disk).expect("a fresh disk");
    let broker = start_on(FaultyJournal::new(journal, nth, fault), None, &memory());
    let handle = broker.handle().clone();
    let failed = broker.failed();
    create(&handle, Q).await;
    create(&handle, "idle.fifo").await;
    let idle = park(&handle, handle.receive(receive("idle.fifo", 1), Some(20_000))).await;
    let mut sending = tokio::task::JoinSet::new();
    for sender in 0..20 {
        let handle = handle.clone();
        sending.spawn(async move {
            let mut accepted = Vec::new();
            for n in 0..1_000 {
                let id = format!("{sender}-{n}");
                match handle.send(queue(Q), vec![message("g", &id, id.clone())]).await {
                    Ok(outcomes) => accepted.push((id, outcomes[0].clone().expect("accepted").sequence)),
                    Err(failure) => {
                        assert!(matches!(failure, Failure::Unavailable(_)), "{failure}");
                        return accepted;
                    }
                }
            }
            panic!("the journal never failed");
        });
    }
    let accepted: Vec<(String, SequenceNumber)> = sending.join_all().await.into_iter().flatten().collect();
    assert!(matches!(idle.await, Err(Failure::Unavailable(_))), "the poll hears of it too");
    assert!(failed.await.contains("injected"), "the owner is told the reason");
    let late = handle.list_queues(String::new(), String::new(), 1).await;
    assert!(matches!(late, Err(Failure::Unavailable(reason)) if reason.contains("injected")));
    broker.stop().await.expect_err("it failed");

    let broker = start_on(MemoryJournal::open(&disk).expect("free again"), None, &memory());
    let handle = broker.handle();
    let stored = handle.peek(queue(Q), None, SequenceNumber(0), 1_000_000, 0).await.expect("there");
    let there =
        |id: &String, sequence| stored.iter().any(|it| it.peeked.sequence == sequence && it.body == id.as_bytes());
    for (id, sequence) in &accepted {
        assert!(there(id, *sequence), "{id} was accepted and is gone");
        let again = send(handle, Q, "g", id).await;
        assert!(again.duplicate && again.sequence == *sequence, "the repeat meets its key");
    }
    broker.stop().await.expect("a clean end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_accepted_whose_frame_was_lost() {
    for nth in 3..10 {
        fail_under_load(nth, Fault::Lost).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frame_that_was_stored_after_all_is_met_again() {
    for nth in 3..10 {
        fail_under_load(nth, Fault::Stored).await;
    }
}

#[tokio::test]
async fn serve_ends_with_the_reason() {
    let broker = start_on(FaultyJournal::new(MemoryJournal::new(), 2, Fault::Lost), None, &memory());
    let broker = Served::serve(broker).await;
    create(&broker.handle, Q).await;
    let mut messages = broker.messages.clone();
    let entry = Some(crate::support::entry("g", "1", "x"));
    let request = lockstep_proto::v1::SendRequest {
        queue: Q.into(),
        queue_generation: None,
        entry,
        ..lockstep_proto::v1::SendRequest::default()
    };
    let status = messages.send(request).await.expect_err("it fails");
    assert_eq!(status.code(), tonic::Code::Unavailable);
    let error = broker.ended().await.expect_err("it failed");
    assert!(matches!(&error, ServeError::Journal(reason) if reason.contains("frame 2")), "{error}");
}

#[tokio::test]
async fn a_full_backlog_refuses_sends_and_lets_finish() {
    let broker = start_on(MemoryJournal::new(), Some(20_000), &memory());
    let handle = broker.handle();
    create(handle, Q).await;
    let body = "x".repeat(5_000);
    let mut sent = 0;
    let refused = loop {
        let outcomes = handle.send(queue(Q), vec![message("g", &sent.to_string(), body.clone())]).await;
        match outcomes.expect("judged").remove(0) {
            Ok(_) => sent += 1,
            Err(rejected) => break rejected,
        }
    };
    assert_eq!(refused, Rejected::StorageFull);
    assert_eq!(sent, 3, "3 of 5,256 bytes and their frames");
    let deliveries = handle.receive(receive(Q, 10), Some(0)).await.expect("received");
    let receipts = deliveries.iter().map(|it| handle.receipt(&it.receipt_handle).expect("ours")).collect();
    let outcomes = handle.delete(Delete { queue: queue(Q), receipts }).await.expect("judged");
    assert!(outcomes.len() == 3 && outcomes.iter().all(Result::is_ok));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn space_is_reduced_within_a_turn_too() {
    let broker = start_on(MemoryJournal::new(), Some(20_000), &memory());
    let handle = broker.handle();
    create(handle, Q).await;
    let sends = (0..10).map(|n| {
        let handle = handle.clone();
        tokio::spawn(async move {
            let message = message("g", &n.to_string(), "x".repeat(5_000));
            handle.send(queue(Q), vec![message]).await.expect("judged").remove(0).is_ok()
        })
    });
    let mut accepted = 0;
    for send in sends.collect::<Vec<_>>() {
        accepted += u32::from(send.await.expect("no panic"));
    }
    assert_eq!(accepted, 3);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_bad_body_stops_its_group_and_nothing_else() {
    let journal = FaultyJournal::new(MemoryJournal::new(), 0, Fault::Lost);
    // Frame 1 makes the queue; each send that is waited for makes one more.
    journal.damage_body(Position { frame: FrameNumber(2), index: 0 });
    let broker = start_on(journal, None, &BrokerSettings { cache_bytes: 0, ..memory() });
    let handle = broker.handle();
    create(handle, Q).await;
    for (group, id) in [("bad", "1"), ("bad", "2"), ("good", "3")] {
        send(handle, Q, group, id).await;
    }
    let deliveries = handle.receive(receive(Q, 10), Some(0)).await.expect("the good one");
    assert_eq!(deliveries.iter().map(|it| it.body.clone()).collect::<Vec<_>>(), ["3"]);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_damaged_body_is_counted_before_somebody_needs_it() {
    let journal = FaultyJournal::new(MemoryJournal::new(), 0, Fault::Lost);
    // Frame 1 makes the queue; each send that is waited for makes one more.
    journal.damage_body(Position { frame: FrameNumber(3), index: 0 });
    let pause = Some(Duration::from_millis(5));
    let settings = BrokerSettings { cache_bytes: 0, scrub_pause: pause, ..memory() };
    let mut broker = Served::serve(start_on(journal, None, &settings)).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    for id in ["1", "2", "3"] {
        broker.send(Q, "g", id, "body").await;
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while series(&get(&broker, "/metrics", "").await.1, "lockstep_damaged_bodies") < 1.0 {
        assert!(Instant::now() < deadline, "nobody looked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn bodies_come_from_the_journal_when_the_cache_let_them_go() {
    let broker = start_on(MemoryJournal::new(), None, &BrokerSettings { cache_bytes: 1_000, ..memory() });
    let handle: Arc<_> = Arc::new(broker.handle().clone());
    create(&handle, Q).await;
    for n in 0..50 {
        send(&handle, Q, "g", &n.to_string()).await;
    }
    let deliveries = handle.receive(receive(Q, 100), Some(0)).await.expect("all");
    let bodies: Vec<_> = deliveries.iter().map(|it| it.body.clone()).collect();
    assert_eq!(bodies, (0..50).map(|n| n.to_string()).collect::<Vec<_>>());
    broker.stop().await.expect("a clean end");
}
