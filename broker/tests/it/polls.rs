//! Long polls under a clock that only the test moves: what wakes them, and in which order (R1, R2, B6, H8).

use lockstep_broker::{Failure, NewCommit, NewTarget};
use lockstep_engine::{
    AttributeChanges, Rejected,
    command::{
        Abandon, ChangeVisibility, Claim, CreateQueue, Delete, DeleteQueue, GroupOutcome, OpenReader, ReaderRef,
        Receive, Rest, SetQueueAttributes,
    },
    reply::{Claimed, ReaderOpened},
    words::{AttemptKey, ClaimNumber, ContentDigest, GroupId, SequenceNumber, Tags},
};

use crate::support::{create, glance, label, park, queue, receive, send, with_clock};

const Q: &str = "q.fifo";

#[tokio::test]
async fn a_send_wakes_the_one_who_came_first() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    let first = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    let mut second = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    send(handle, Q, "g", "1").await;
    assert_eq!(first.await.expect("woken")[0].body, "1");
    assert!(glance(&mut second).await.is_none(), "one message, one receiver");
    send(handle, Q, "h", "2").await;
    assert_eq!(second.await.expect("woken")[0].body, "2");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn deleting_the_blocking_message_wakes() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    send(handle, Q, "g", "1").await;
    let held = handle.receive(receive(Q, 1), Some(0)).await.expect("received").remove(0);
    send(handle, Q, "g", "2").await;
    let poll = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    let receipts = vec![handle.receipt(&held.receipt_handle).expect("ours")];
    handle.delete(Delete { queue: queue(Q), receipts }).await.expect("deleted");
    assert_eq!(poll.await.expect("woken")[0].body, "2");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn the_end_of_a_lease_wakes() {
    let (broker, clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    send(handle, Q, "g", "1").await;
    let short = Receive { visibility: Some(5_000), ..receive(Q, 1) };
    let held = handle.receive(short, Some(0)).await.expect("received").remove(0);
    let poll = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    clock.advance(5_000);
    let again = poll.await.expect("woken").remove(0);
    assert_eq!((again.message_id, again.delivered.receives), (held.message_id, 2));
    assert_ne!(again.receipt_handle, held.receipt_handle, "R3");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn r2_the_end_of_a_delay_wakes() {
    let (broker, clock) = with_clock();
    let handle = broker.handle();
    let delay = |delay| AttributeChanges { delay: Some(delay), ..AttributeChanges::default() };
    let name = queue(Q).name;
    handle.create_queue(CreateQueue { name, attributes: delay(15_000), tags: Tags::default() }).await.expect("created");
    send(handle, Q, "g", "1").await;
    let mut poll = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    clock.advance(14_999);
    assert!(glance(&mut poll).await.is_none(), "not yet");
    clock.advance(1);
    assert_eq!(poll.await.expect("woken")[0].body, "1");
    // S11: so does a lowered delay.
    send(handle, Q, "h", "2").await;
    let poll = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    let change = SetQueueAttributes { queue: queue(Q), changes: delay(0) };
    handle.set_queue_attributes(change).await.expect("changed");
    assert_eq!(poll.await.expect("woken")[0].body, "2");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn h8_a_later_poll_under_the_same_attempt_id_replaces_the_first() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    let attempt = Some(AttemptKey([7; 16]));
    let under = || Receive { attempt, ..receive(Q, 1) };
    let first = park(handle, handle.receive(under(), Some(20_000))).await;
    let other = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    let second = park(handle, handle.receive(under(), Some(20_000))).await;
    assert!(first.await.expect("answered").is_empty(), "its caller asks elsewhere by now");
    send(handle, Q, "g", "1").await;
    assert_eq!(other.await.expect("woken")[0].body, "1", "it came before the second");
    send(handle, Q, "h", "2").await;
    let delivered = second.await.expect("woken");
    let again = handle.receive(under(), Some(0)).await.expect("repeated");
    assert_eq!(again[0].receipt_handle, delivered[0].receipt_handle);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn giving_back_wakes() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    send(handle, Q, "g", "1").await;
    let held = handle.receive(receive(Q, 1), Some(0)).await.expect("received").remove(0);
    let poll = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    let entries = vec![(handle.receipt(&held.receipt_handle).expect("ours"), 0)];
    handle.change_visibility(ChangeVisibility { queue: queue(Q), entries }).await.expect("given back");
    assert_eq!(poll.await.expect("woken")[0].body, "1");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_wait_ends_empty_at_its_own_time() {
    let (broker, clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    let mut poll = park(handle, handle.receive(receive(Q, 1), Some(7_000))).await;
    clock.advance(6_999);
    handle.list_queues(String::new(), String::new(), 1).await.expect("a turn at that time");
    assert!(glance(&mut poll).await.is_none());
    clock.advance(1);
    assert!(poll.await.expect("ended").is_empty());
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn the_end_of_a_queue_answers_its_waiters() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    let receiving = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    let peeking = park(handle, handle.peek(queue(Q), None, SequenceNumber(0), 10, 20_000)).await;
    handle.delete_queue(DeleteQueue { queue: queue(Q) }).await.expect("deleted");
    assert_eq!(receiving.await.expect_err("gone"), Failure::Rejected(Rejected::QueueNotFound));
    assert_eq!(peeking.await.expect_err("gone"), Failure::Rejected(Rejected::QueueNotFound));
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_peek_waits_for_the_first_message_after_a_number() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    let first = send(handle, Q, "g", "1").await;
    let poll = park(handle, handle.peek(queue(Q), None, first.sequence, 10, 20_000)).await;
    let second = send(handle, Q, "g", "2").await;
    let peeked = poll.await.expect("woken");
    assert_eq!(peeked.iter().map(|it| it.peeked.sequence).collect::<Vec<_>>(), [second.sequence]);
    let view = handle.describe_queue(queue(Q)).await.expect("there");
    assert_eq!((view.available, view.in_flight), (2, 0), "nothing was taken");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_poll_whose_caller_went_gets_nothing() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    let gone = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    let there = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
    drop(gone);
    send(handle, Q, "g", "1").await;
    assert_eq!(there.await.expect("woken")[0].delivered.receives, 1, "H8");
    broker.stop().await.expect("a clean end");
}

async fn opened(handle: &lockstep_broker::Handle) -> ReaderOpened {
    create(handle, Q).await;
    let open = OpenReader { queue: queue(Q), reader: label("pool"), instance: label("one"), claim_limit: None };
    handle.open_reader(open).await.expect("opened")
}

fn claim(opened: &ReaderOpened, number: u64, at_least: u32) -> Claim {
    let reader = ReaderRef { queue: queue(Q), name: label("pool"), generation: Some(opened.generation) };
    Claim { reader, number: ClaimNumber(number), max_messages: 100, max_bytes: 1 << 20, at_least }
}

fn messages(claimed: &Claimed) -> u32 {
    if let Claimed::Open(claim) = claimed { claim.messages } else { 0 }
}

#[tokio::test]
async fn a_claim_lingers_for_more_but_not_for_ever() {
    let (broker, clock) = with_clock();
    let handle = broker.handle();
    let reader = opened(handle).await;
    let mut poll = park(handle, handle.claim(claim(&reader, 1, 3), 20_000, 2_000)).await;
    clock.advance(10_000);
    send(handle, Q, "g", "1").await;
    assert!(glance(&mut poll).await.is_none(), "1 of 3");
    clock.advance(1_999);
    send(handle, Q, "g", "2").await;
    assert!(glance(&mut poll).await.is_none(), "2 of 3, and it lingers still");
    clock.advance(1);
    assert_eq!(messages(&poll.await.expect("woken")), 2, "2 s after something was first there");
    let poll = park(handle, handle.claim(claim(&reader, 2, 2), 20_000, 2_000)).await;
    send(handle, Q, "h", "3").await;
    send(handle, Q, "i", "4").await;
    assert_eq!(messages(&poll.await.expect("woken")), 2, "as soon as there are enough");
    let empty = park(handle, handle.claim(claim(&reader, 3, 1), 20_000, 0)).await;
    clock.advance(20_000);
    assert_eq!(empty.await.expect("ended"), Claimed::Empty);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_waiting_claim_hears_of_its_successor() {
    let (broker, _clock) = with_clock();
    let handle = broker.handle();
    let reader = opened(handle).await;
    let poll = park(handle, handle.claim(claim(&reader, 1, 1), 20_000, 0)).await;
    let open = OpenReader { queue: queue(Q), reader: label("pool"), instance: label("two"), claim_limit: None };
    handle.open_reader(open).await.expect("opened by another");
    let failure = poll.await.expect_err("fenced");
    assert!(matches!(failure, Failure::Rejected(Rejected::ReaderFenced { .. })), "{failure}");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn ten_thousand_idle_polls_are_parked_and_all_answered_at_the_end() {
    let (broker, _clock) = with_clock();
    let handle = &broker.handle().clone();
    create(handle, Q).await;
    create(handle, "other.fifo").await;
    let mut polls = Vec::new();
    for n in 0..10_000 {
        let mut poll: crate::support::Pending<'_, _> = Box::pin(handle.receive(receive(Q, 1), Some(20_000)));
        assert!(glance(&mut poll).await.is_none());
        polls.push(poll);
        if n % 1_000 == 0 {
            handle.list_queues(String::new(), String::new(), 1).await.expect("a turn");
        }
    }
    for n in 0..200 {
        send(handle, "other.fifo", "g", &n.to_string()).await;
    }
    send(handle, Q, "g", "1").await;
    let mut answers = polls.drain(..1);
    assert_eq!(answers.next().expect("the first").await.expect("woken").len(), 1);
    drop(answers);
    let stopped = tokio::spawn(broker.stop());
    for poll in polls {
        assert!(poll.await.expect("answered").is_empty());
    }
    stopped.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn nothing_is_decided_before_all_that_is_due_is_settled() {
    let (broker, clock) = with_clock();
    let handle = broker.handle();
    create(handle, Q).await;
    for batch in 0..3 {
        let messages =
            (0..1_000).map(|n| crate::support::message(&format!("g{batch}-{n}"), &format!("{batch}-{n}"), "x"));
        handle.send(queue(Q), messages.collect()).await.expect("sent");
    }
    while !handle.receive(receive(Q, 1_000), Some(0)).await.expect("received").is_empty() {}
    let view = handle.describe_queue(queue(Q)).await.expect("there");
    assert_eq!(view.in_flight, 3_000);
    clock.advance(30_000);
    let view = handle.describe_queue(queue(Q)).await.expect("there");
    assert_eq!((view.available, view.in_flight), (3_000, 0), "3 turns of settling come first (H3)");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_a_claim_gives_back_after_its_retention_reaches_nobody() {
    for by_commit in [false, true] {
        let (broker, clock) = with_clock();
        let handle = broker.handle();
        let attributes = AttributeChanges { retention: Some(60_000), ..AttributeChanges::default() };
        let name = queue(Q).name;
        handle.create_queue(CreateQueue { name, attributes, tags: Tags::default() }).await.expect("created");
        send(handle, Q, "g", "old").await;
        let generation = Some(opened(handle).await.generation);
        let reader = ReaderRef { queue: queue(Q), name: label("pool"), generation };
        let number = ClaimNumber(1);
        let claim = Claim { reader: reader.clone(), number, max_messages: 1, max_bytes: 1 << 20, at_least: 1 };
        let Ok(Claimed::Open(claimed)) = handle.claim(claim, 0, 0).await else { panic!("there is a message") };
        clock.advance(60_000);
        let poll = park(handle, handle.receive(receive(Q, 1), Some(20_000))).await;
        if by_commit {
            // A commit that finishes nothing of the group gives it back (B7).
            let group = GroupId::parse("g").expect("a group");
            let outcomes = vec![GroupOutcome { group, done_through: None, rest: Rest::GivenBack }];
            let target = NewTarget::Claim { reader, number, epoch: claimed.epoch, record: None, outcomes };
            let (id, digest) = (label("c"), ContentDigest([0; 16]));
            let (values, outputs) = (Vec::new(), Vec::new());
            let commit = NewCommit { queue: queue(Q), id, digest, target, values, outputs };
            handle.commit(commit).await.expect("committed");
        } else {
            handle.abandon(Abandon { reader, number: None }).await.expect("given back");
        }
        send(handle, Q, "h", "new").await;
        let received = poll.await.expect("woken");
        assert_eq!(received[0].body, "new", "B8: judged when it is given back");
        broker.stop().await.expect("a clean end");
    }
}
