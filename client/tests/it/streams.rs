//! The streams of the client against a real broker whose clock stands still until a test moves it: what was delivered is
//! finished or lapses by its time, whatever becomes of the connection (H8).

use std::time::Duration;

use lockstep_client::{Client, ConsumeStream, Error, GroupDelivery, Message, QueueAttributes};

use crate::session_laws::{QUEUE, World};

const LEASE: u64 = 30_000;

async fn queue(client: &Client) {
    let attributes = QueueAttributes {
        visibility_timeout: Some(Duration::from_millis(LEASE)),
        group_delivery: Some(GroupDelivery::Strict),
        ..QueueAttributes::default()
    };
    client.create_queue(QUEUE, attributes).await.expect("created");
}

async fn send(client: &Client, groups: u64, messages: std::ops::Range<u64>) {
    let message = |n: u64| Message::new(format!("g{}", n % groups), n.to_string());
    for sent in client.producer(QUEUE).build().send_batch(messages.map(message).collect()).await {
        sent.expect("accepted");
    }
}

fn stream(client: &Client, ahead: u32) -> ConsumeStream {
    client.consumer(QUEUE).max_messages(ahead).stream()
}

async fn next(stream: &mut ConsumeStream) -> lockstep_client::Delivery {
    tokio::time::timeout(Duration::from_secs(20), stream.next()).await.expect("a message comes").expect("a message")
}

/// What a receive that does not wait brings.
async fn free(client: &Client) -> Vec<(String, u32)> {
    let consumer = client.consumer(QUEUE).max_messages(100).wait(Duration::ZERO).build();
    let deliveries = consumer.receive().await.expect("an answer");
    deliveries.iter().map(|it| (String::from_utf8_lossy(&it.body).into_owned(), it.receive_count)).collect()
}

async fn in_flight(client: &Client) -> u64 {
    client.describe_queue(QUEUE).await.expect("described").messages_in_flight
}

/// Waits until so many are in flight.
async fn until_in_flight(client: &Client, many: u64) {
    while in_flight(client).await != many {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h8_a_consumer_that_vanishes_leaves_leases_that_lapse_by_their_time() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(&directory);
    let client = world.client();
    queue(&client).await;
    send(&client, 1, 0..3).await;
    let mut vanishing = stream(&client, 10);
    assert_eq!(next(&mut vanishing).await.body, "0");
    until_in_flight(&client, 3).await;
    drop(vanishing);
    assert_eq!(free(&client).await, [], "nothing is given back");
    world.clock.advance(LEASE - 1);
    assert_eq!(free(&client).await, [], "no earlier than its time");
    world.clock.advance(1);
    let again = free(&client).await;
    assert_eq!(again.iter().map(|(body, _)| body.as_str()).collect::<Vec<_>>(), ["0", "1", "2"]);
    assert_eq!(again[0].1, 2, "the lapsed one was received before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn h8_what_had_arrived_is_finished_on_the_next_stream() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut world = World::new(&directory);
    let client = world.client();
    queue(&client).await;
    send(&client, 1, 0..3).await;
    let mut consumer = stream(&client, 10);
    let first = next(&mut consumer).await;
    until_in_flight(&client, 3).await;
    world.restart().await;
    assert!(!first.delete().await.expect("its handle is good").already_gone);
    let second = next(&mut consumer).await;
    let until = second.extend(Duration::from_secs(60)).await.expect("extended");
    assert!(until > second.visible_until);
    let third = next(&mut consumer).await;
    let deleted = consumer.delete_all(&[third, second.clone()]).await;
    assert!(deleted.into_iter().all(|one| one.is_ok()), "one request, judged as a set");
    assert!(second.delete().await.expect("R4").already_gone);
    assert_eq!(in_flight(&client).await, 0);
    // A handle is as good when its stream is gone.
    send(&client, 1, 3..4).await;
    let last = next(&mut consumer).await;
    drop(consumer);
    assert!(!last.delete().await.expect("finished by a call").already_gone);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_closed_gives_back_what_was_not_taken() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(&directory);
    let client = world.client();
    queue(&client).await;
    send(&client, 3, 0..6).await;
    let mut consumer = stream(&client, 6);
    let taken = next(&mut consumer).await;
    until_in_flight(&client, 6).await;
    assert_eq!(consumer.close().await.expect("given back"), 5);
    let mut left: Vec<_> = free(&client).await.into_iter().map(|(body, _)| body).collect();
    left.sort();
    assert_eq!(left, ["1", "2", "4", "5"], "the rest of its group waits for the one that was taken");
    taken.delete().await.expect("it is held still");
    assert_eq!(free(&client).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_is_leased_than_is_wanted() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(&directory);
    let client = world.client();
    queue(&client).await;
    send(&client, 40, 0..40).await;
    let mut slow = stream(&client, 5);
    until_in_flight(&client, 5).await;
    for taken in 1..=20 {
        next(&mut slow).await.delete().await.expect("deleted");
        assert!(in_flight(&client).await <= 5, "after {taken}");
    }
    slow.close().await.expect("closed");
    let mut some = client.consumer(QUEUE).max_messages(10).at_most(3).stream();
    for _ in 0..3 {
        next(&mut some).await.delete().await.expect("deleted");
    }
    assert_eq!(in_flight(&client).await, 0, "three in all");
    assert_eq!(some.close().await.expect("closed"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_without_a_queue_says_so_and_goes_on_when_there_is_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(&directory);
    let client = world.client();
    let mut consumer = stream(&client, 5);
    for _ in 0..2 {
        let error = consumer.next().await.expect_err("no queue");
        assert_eq!(error.reason(), Some("QUEUE_NOT_FOUND"), "{error}");
    }
    queue(&client).await;
    send(&client, 1, 0..1).await;
    assert_eq!(next(&mut consumer).await.body, "0");
    client.delete_queue(QUEUE, None).await.expect("deleted");
    let error = consumer.next().await.expect_err("its queue ended");
    assert_eq!(error.reason(), Some("QUEUE_GENERATION_CHANGED"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_to_nobody_ends_with_the_patience_and_is_tried_again() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    let retry = lockstep_client::RetryPolicy {
        time_limit: Duration::from_millis(200),
        ..lockstep_client::RetryPolicy::default()
    };
    let client = Client::builder(port.to_string()).retry(retry).connect_lazy().expect("an address");
    let mut consumer = client.consumer(QUEUE).stream();
    for _ in 0..2 {
        assert!(matches!(consumer.next().await, Err(Error::Unreachable { .. })));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_is_too_long_stops_its_group_and_no_other() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(&directory);
    let client = world.client();
    let attributes = QueueAttributes { maximum_message_size: Some(1_024), ..QueueAttributes::default() };
    client.create_queue(QUEUE, attributes).await.expect("created");
    let lengths = [("a", 1), ("b", 2), ("a", 3_000), ("a", 4), ("b", 5), ("c", 5 << 20), ("c", 6), ("b", 7)];
    let messages = || lengths.map(|(group, length)| Message::new(group, "x".repeat(length)));
    let producer = client.producer(QUEUE).build();
    let sent = producer.send_batch(messages().into()).await;
    let reasons = |sent: &[Result<_, Error>]| -> Vec<String> {
        let reason =
            |one: &Result<_, Error>| one.as_ref().err().map_or("", |error| error.reason().unwrap_or("?")).to_owned();
        sent.iter().map(reason).collect()
    };
    let expected = ["", "", "MESSAGE_TOO_LONG", "EARLIER_REJECTED", "", "MESSAGE_TOO_LONG", "EARLIER_REJECTED", ""];
    assert_eq!(reasons(&sent), expected, "H1: the later ones of the group");
    assert!(producer.send(Message::new("b", "goes on")).await.is_ok());
    // Within a session a message that the broker judges uses its number; one that it never sees stops the rest.
    let mut session = client.producer(QUEUE).session("day", "life-1").await.expect("opened");
    let sent = session.send_batch(messages().into()).await;
    let expected = [
        "",
        "",
        "MESSAGE_TOO_LONG",
        "EARLIER_REJECTED",
        "",
        "MESSAGE_TOO_LONG",
        "EARLIER_REJECTED",
        "EARLIER_REJECTED",
    ];
    assert_eq!(reasons(&sent), expected);
    assert_eq!((session.last_number(), session.unanswered()), (5, 0));
    assert!(session.send(Message::new("b", "goes on")).await.is_ok());
    assert_eq!(session.last_number(), 6);
}
