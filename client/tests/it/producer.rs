//! What a producer promises, one promise a test: keys, order, stops, windows, packing.

use std::{task::Poll, time::Duration};

use lockstep_client::{Client, Error, Message, Producer, Sent, Ticket, content_id};
use tokio_stream::StreamExt as _;
use tonic::{Code, Status};

use crate::fake::{Broker, accepted, entry_refusal};

const QUEUE: &str = "orders.fifo";

fn message(group: &str, id: &str) -> Message {
    Message::new(group, format!("body of {id}")).deduplication_id(id)
}

/// A broker, and a producer that already knows the window of 300 s.
async fn started(options: impl Fn(&Client) -> Producer) -> (Broker, Producer) {
    let mut broker = Broker::start().await;
    let producer = options(&broker.client().await);
    let first = tokio::spawn({
        let producer = producer.clone();
        async move { producer.send(message("first", "first")).await }
    });
    broker.answer_window(300).await;
    broker.next_send().await.accept();
    first.await.expect("no panic").expect("it is accepted");
    (broker, producer)
}

async fn plain() -> (Broker, Producer) {
    started(|client| client.producer(QUEUE).build()).await
}

#[tokio::test]
async fn every_try_of_a_message_has_the_key_of_the_first() {
    for content_based in [false, true] {
        let (mut broker, producer) = started(|client| match content_based {
            true => client.producer(QUEUE).content_based().build(),
            false => client.producer(QUEUE).build(),
        })
        .await;
        let ticket = producer.enqueue(Message::new("g", "hello")).await;
        let key = ticket.deduplication_id().to_owned();
        if content_based {
            assert_eq!(key, content_id(b"hello"), "equal to the broker's content id (S3)");
        } else {
            assert!((17..=27).contains(&key.len()), "96 random bits and a counter: {key}");
        }
        for lost in 0..5 {
            let call = broker.next_send().await;
            assert_eq!(call.ids(), [&key], "after {lost} lost answers");
            match lost {
                0 => call.lose(),
                1 => call.fail(Status::internal("crashed")),
                2 => call.fail(Status::deadline_exceeded("late")),
                3 => broker.cut(),
                _ => call.accept(),
            }
        }
        assert_eq!(ticket.await.unwrap().message_id, key);
    }
}

#[tokio::test]
async fn a_duplicate_is_a_success_with_the_first_identity() {
    let (mut broker, producer) = plain().await;
    let ticket = producer.enqueue(message("g", "a")).await;
    let call = broker.next_send().await;
    let mut first = accepted(&call.entries[0]);
    first.message_id = "the first one's".to_owned();
    first.duplicate = true;
    call.answer(vec![Ok(first)]);
    let sent = ticket.await.unwrap();
    assert!(sent.duplicate && sent.message_id == "the first one's");
}

#[tokio::test]
async fn one_block_of_a_group_is_unanswered_and_other_groups_do_not_wait() {
    let (mut broker, producer) = plain().await;
    let a1 = producer.enqueue(message("a", "a1")).await;
    let first = broker.next_send().await;
    let a2 = producer.enqueue(message("a", "a2")).await;
    let a3 = producer.enqueue(message("a", "a3")).await;
    let b1 = producer.enqueue(message("b", "b1")).await;
    // b1 was put in line last and arrives next: a2 and a3 wait for a1. Its answer is lost, and b1's with the stream;
    // both come again, in their order.
    let other = broker.next_send().await;
    assert_eq!(other.ids(), ["b1"]);
    other.accept();
    assert_eq!(first.ids(), ["a1"]);
    first.lose();
    for again in ["a1", "b1"] {
        let call = broker.next_send().await;
        assert_eq!(call.ids(), [again]);
        call.accept();
    }
    a1.await.unwrap();
    b1.await.unwrap();
    let rest = broker.next_send().await;
    assert_eq!(rest.ids(), ["a2", "a3"], "what waited together goes together");
    rest.accept();
    a2.await.unwrap();
    a3.await.unwrap();
    broker.assert_idle();
}

#[tokio::test]
async fn a_group_stops_at_its_first_refusal_until_it_is_resumed() {
    let (mut broker, producer) = plain().await;
    let outcomes = tokio::spawn({
        let producer = producer.clone();
        let messages = [("a", "a1"), ("b", "b1"), ("a", "a2"), ("a", "a3"), ("b", "b2")];
        async move { producer.send_batch(messages.map(|(group, id)| message(group, id)).into()).await }
    });
    let call = broker.next_send().await;
    assert_eq!(call.ids(), ["a1", "b1", "a2", "a3", "b2"]);
    let (a1, b1, b2) = (accepted(&call.entries[0]), accepted(&call.entries[1]), accepted(&call.entries[4]));
    let refused = [Err(entry_refusal("TOO_LONG")), Err(entry_refusal("EARLIER_REJECTED"))];
    let [too_long, behind] = refused;
    call.answer(vec![Ok(a1), Ok(b1), too_long, behind, Ok(b2)]);
    let outcomes = outcomes.await.unwrap();
    let reasons: Vec<_> =
        outcomes.iter().map(|outcome| outcome.as_ref().map_or_else(Error::reason, |_| None)).collect();
    assert_eq!(reasons, [None, None, Some("TOO_LONG"), Some("EARLIER_REJECTED"), None]);
    assert_eq!(producer.stopped_groups(), ["a"]);

    let turned_away = producer.send(message("a", "a4")).await.unwrap_err();
    assert_eq!(turned_away.reason(), Some("EARLIER_REJECTED"));
    broker.assert_idle();
    assert!(producer.resume_group("a"));
    let ticket = producer.enqueue(message("a", "a5")).await;
    let call = broker.next_send().await;
    assert_eq!(call.ids(), ["a5"]);
    call.accept();
    ticket.await.unwrap();
}

#[tokio::test]
async fn one_bad_message_does_not_turn_away_the_neighbours_of_its_block() {
    let (mut broker, producer) = plain().await;
    let tickets = tokio::spawn(async move {
        producer.send_batch([("a", "a1"), ("b", "bad"), ("c", "c1")].map(|(g, id)| message(g, id)).into()).await
    });
    let call = broker.next_send().await;
    assert_eq!(call.entries.len(), 3);
    call.refuse(Code::InvalidArgument, "BAD_ID");
    for _ in 0..3 {
        let call = broker.next_send().await;
        match call.ids()[..] {
            ["bad"] => call.refuse(Code::InvalidArgument, "BAD_ID"),
            [_] => call.accept(),
            _ => panic!("each goes alone"),
        }
    }
    let outcomes = tickets.await.unwrap();
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert_eq!(outcomes[1].as_ref().unwrap_err().reason(), Some("BAD_ID"));
    broker.assert_idle();
}

#[tokio::test]
async fn a_changed_queue_generation_is_final() {
    let (mut broker, producer) = started(|client| client.producer(QUEUE).generation(7).build()).await;
    let ticket = producer.enqueue(message("g", "a")).await;
    let call = broker.next_send().await;
    assert_eq!(call.generation, Some(7));
    call.refuse(Code::FailedPrecondition, "QUEUE_GENERATION_CHANGED");
    assert_eq!(ticket.await.unwrap_err().reason(), Some("QUEUE_GENERATION_CHANGED"));
    assert_eq!(producer.stopped_groups(), ["g"]);
    broker.assert_idle();
}

/// Keeps a paused clock where it is: tokio moves it on by itself only while nothing blocks.
struct Frozen(Option<std::sync::mpsc::Sender<()>>);

impl Frozen {
    fn clock() -> Self {
        tokio::time::pause();
        let (hold, held) = std::sync::mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        Frozen(Some(hold))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        self.0.take();
    }
}

async fn is_pending<F: Future + Unpin>(future: &mut F) -> bool {
    let mut future = std::pin::Pin::new(future);
    std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// The outcome, which is due: with a clock that stands, waiting for one that never comes would be endless.
async fn due(mut ticket: Ticket) -> Result<Sent, Error> {
    for _ in 0..10_000 {
        let mut ticket = std::pin::Pin::new(&mut ticket);
        let polled = std::future::poll_fn(|context| Poll::Ready(ticket.as_mut().poll(context))).await;
        if let Poll::Ready(outcome) = polled {
            return outcome;
        }
        tokio::task::yield_now().await;
    }
    panic!("no outcome though its time is over");
}

#[tokio::test]
async fn half_a_minute_before_the_window_ends_the_outcome_is_unknown_and_no_try_is_made() {
    let (mut broker, producer) = plain().await;
    let _clock = Frozen::clock();
    let mut ticket = producer.enqueue(message("g", "a")).await;
    let unanswered = broker.next_send().await;
    let mut behind = producer.enqueue(message("g", "b")).await;
    tokio::time::advance(Duration::from_secs(269)).await;
    assert!(is_pending(&mut ticket).await && is_pending(&mut behind).await);
    tokio::time::advance(Duration::from_secs(2)).await;
    let unknown = due(ticket).await.unwrap_err();
    let Error::OutcomeUnknown { group, deduplication_id, window, .. } = &unknown else { panic!("{unknown:?}") };
    assert_eq!((group.as_str(), deduplication_id.as_str(), window.as_secs()), ("g", "a", 300));
    assert!(!unknown.is_retryable(), "sending it again could store it twice");
    assert_eq!(due(behind).await.unwrap_err().reason(), Some("EARLIER_REJECTED"));
    assert_eq!(producer.stopped_groups(), ["g"]);
    unanswered.accept();
    broker.assert_idle();
}

#[tokio::test]
async fn the_window_counts_from_the_first_try_and_not_from_the_last() {
    let (mut broker, producer) = plain().await;
    let _clock = Frozen::clock();
    let ticket = producer.enqueue(message("g", "a")).await;
    let first = broker.next_send().await;
    tokio::time::advance(Duration::from_secs(268)).await;
    first.lose();
    // The pause of a millisecond at most does not end by itself while the clock stands; a stream takes real time to open.
    let second = 'opened: loop {
        tokio::time::advance(Duration::from_millis(1)).await;
        for _ in 0..10_000 {
            tokio::select! {
                biased;
                call = broker.next_send() => break 'opened call,
                () = tokio::task::yield_now() => {}
            }
        }
    };
    assert_eq!(second.ids(), ["a"]);
    tokio::time::advance(Duration::from_secs(2)).await;
    assert!(matches!(due(ticket).await, Err(Error::OutcomeUnknown { .. })));
}

#[tokio::test]
async fn patience_that_ends_before_the_window_leaves_the_outcome_open() {
    let limit = Duration::from_millis(20);
    let mut broker = Broker::start().await;
    let producer = broker.client().await.producer(QUEUE).give_up_after(limit).build();
    let ticket = producer.enqueue(message("g", "a")).await;
    broker.answer_window(300).await;
    let unanswered = broker.next_send().await;
    let error = ticket.await.unwrap_err();
    assert!(error.is_retryable() && matches!(error, Error::Unavailable { .. }), "{error:?}");
    drop(unanswered);
}

#[tokio::test]
async fn a_batch_is_packed_to_a_thousand_entries_and_a_mebibyte() {
    let (mut broker, producer) = plain().await;
    let count = 2_500;
    let sending = tokio::spawn({
        let producer = producer.clone();
        async move {
            let one = |n| Message::new("g", format!("{n}")).deduplication_id(format!("{n}"));
            producer.send_batch((0..count).map(one).collect()).await
        }
    });
    let mut seen = Vec::new();
    for expected in [1_000, 1_000, 500] {
        let call = broker.next_send().await;
        assert_eq!(call.entries.len(), expected);
        seen.extend(call.bodies().iter().map(|body| body.parse::<usize>().unwrap()));
        call.accept();
    }
    assert_eq!(seen, (0..count).collect::<Vec<_>>());
    assert!(sending.await.unwrap().iter().all(Result::is_ok));

    let third = 1024 * 1024 / 3;
    let big = tokio::spawn(async move {
        let one = |n| Message::new("g", "x".repeat(third)).deduplication_id(format!("{n}"));
        producer.send_batch((0..7).map(one).collect()).await
    });
    for expected in [2, 2, 2, 1] {
        let call = broker.next_send().await;
        assert_eq!(call.entries.len(), expected, "three bodies and their ids are over 1 MiB");
        call.accept();
    }
    assert!(big.await.unwrap().iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_message_begun_is_sent_though_nobody_waits_for_it() {
    let (mut broker, producer) = plain().await;
    drop(producer.enqueue(message("g", "a")).await);
    let call = broker.next_send().await;
    assert_eq!(call.ids(), ["a"]);
    let behind = producer.enqueue(message("g", "b")).await;
    drop(producer);
    call.accept();
    let call = broker.next_send().await;
    assert_eq!(call.ids(), ["b"]);
    call.accept();
    behind.await.unwrap();
}

#[tokio::test]
async fn a_full_buffer_makes_senders_wait_and_answers_make_room() {
    let (mut broker, producer) = started(|client| client.producer(QUEUE).buffer_bytes(4_096).build()).await;
    let first = producer.enqueue(Message::new("a", "x".repeat(3_000))).await;
    let mut second = Box::pin(producer.enqueue(Message::new("b", "y".repeat(3_000))));
    assert!(is_pending(&mut second).await);
    broker.next_send().await.accept();
    first.await.unwrap();
    let second = second.await;
    broker.next_send().await.accept();
    second.await.unwrap();
}

#[tokio::test]
async fn a_stream_of_messages_gives_a_stream_of_outcomes_in_order() {
    let (mut broker, producer) = plain().await;
    let messages = (0..300).map(|n| message(&format!("g{}", n % 5), &format!("{n}")));
    let mut outcomes = producer.send_all(tokio_stream::iter(messages.collect::<Vec<_>>()));
    let reading = tokio::spawn(async move {
        let mut ids = Vec::new();
        while let Some(outcome) = outcomes.next().await {
            ids.push(outcome.unwrap().message_id);
        }
        ids
    });
    let mut answered = 0;
    while answered < 300 {
        let call = broker.next_send().await;
        answered += call.entries.len();
        call.accept();
    }
    assert_eq!(reading.await.unwrap(), (0..300).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_window_that_cannot_be_read_stops_the_group_and_sends_nothing() {
    let mut broker = Broker::start().await;
    let producer = broker.client().await.producer(QUEUE).build();
    let ticket = producer.enqueue(message("g", "a")).await;
    let crate::fake::Call::DescribeQueueRequest(request, reply) = broker.next().await else { panic!("not a describe") };
    assert_eq!(request.queue, QUEUE);
    reply.refuse(Code::NotFound, "QUEUE_DOES_NOT_EXIST");
    assert_eq!(ticket.await.unwrap_err().reason(), Some("QUEUE_DOES_NOT_EXIST"));
    assert_eq!(producer.stopped_groups(), ["g"]);
    broker.assert_idle();
}
