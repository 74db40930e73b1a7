//! The streams Produce and Consume: order, windows, credit, and every way to end them.

use std::time::Duration;

use lockstep_proto::v1::{
    self, delete_result, messages_client::MessagesClient, send_result::Outcome, visibility_result,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{
    Code, Status, Streaming,
    transport::{Channel, Endpoint},
};

use crate::support::{Served, entry, memory, reason, sled};

const Q: &str = "q.fifo";
/// A stream that says nothing is a failure, not a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client's end of a stream.
struct Stream<Q, A> {
    requests: mpsc::Sender<Q>,
    answers: Streaming<A>,
}

impl<Q, A> Stream<Q, A> {
    async fn say(&self, request: Q) {
        self.requests.send(request).await.expect("the stream is open");
    }

    async fn hear(&mut self) -> Result<Option<A>, Status> {
        tokio::time::timeout(PATIENCE, self.answers.message()).await.expect("the broker said nothing")
    }

    /// How the broker ends it, with nothing more before.
    async fn ended(&mut self) -> Status {
        match self.hear().await {
            Err(status) => status,
            Ok(Some(_)) => panic!("an answer, where the end was to come"),
            Ok(None) => Status::ok(""),
        }
    }

    /// The client has said all.
    fn half_close(self) -> Streaming<A> {
        self.answers
    }
}

type Produce = Stream<v1::ProduceRequest, v1::ProduceResponse>;
type Consume = Stream<v1::ConsumeRequest, v1::ConsumeResponse>;

async fn produce(broker: &Served) -> Produce {
    produce_with(broker.messages.clone()).await
}

async fn produce_with(mut messages: MessagesClient<Channel>) -> Produce {
    let (requests, stream) = mpsc::channel(1);
    let answers = messages.produce(ReceiverStream::new(stream)).await.expect("opened").into_inner();
    Stream { requests, answers }
}

async fn consume(broker: &Served, first: v1::ConsumeRequest) -> Consume {
    let (requests, stream) = mpsc::channel(1);
    requests.send(first).await.expect("there is room");
    let answers = broker.messages.clone().consume(ReceiverStream::new(stream)).await.expect("opened").into_inner();
    Stream { requests, answers }
}

fn start(credit: u32) -> v1::ConsumeRequest {
    let start = v1::ConsumeStart { queue: Q.into(), ..v1::ConsumeStart::default() };
    v1::ConsumeRequest { start: Some(start), credit, ..v1::ConsumeRequest::default() }
}

fn block(entries: Vec<v1::SendEntry>) -> v1::ProduceRequest {
    v1::ProduceRequest { queue: Q.into(), entries, ..v1::ProduceRequest::default() }
}

fn one(n: usize) -> v1::ProduceRequest {
    block(vec![entry("g", &n.to_string(), "x")])
}

impl Produce {
    async fn results(&mut self, many: usize) -> Vec<Result<u64, String>> {
        let mut results = Vec::new();
        while results.len() < many {
            let response = self.hear().await.expect("it goes on").expect("answers to come");
            results.extend(response.results.into_iter().map(|result| match result.outcome.expect("an outcome") {
                Outcome::Accepted(accepted) => Ok(accepted.sequence_number),
                Outcome::Refused(refusal) => Err(refusal.reason),
            }));
        }
        assert_eq!(results.len(), many, "one result for each entry");
        results
    }
}

impl Consume {
    async fn deliveries(&mut self, many: usize) -> Vec<v1::Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < many {
            let response = self.hear().await.expect("it goes on").expect("messages to come");
            assert!(response.answers.is_empty(), "nothing was asked");
            deliveries.extend(response.deliveries);
        }
        assert_eq!(deliveries.len(), many, "never more than the credit");
        deliveries
    }

    async fn answers(&mut self, many: usize) -> Vec<v1::ConsumeAnswer> {
        let mut answers = Vec::new();
        while answers.len() < many {
            answers.extend(self.hear().await.expect("it goes on").expect("answers to come").answers);
        }
        answers
    }
}

fn bodies(deliveries: &[v1::Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| String::from_utf8_lossy(&delivery.body).into_owned()).collect()
}

async fn in_flight(broker: &mut Served) -> u64 {
    let request = v1::DescribeQueueRequest { queue: Q.into() };
    let answer = broker.queues.describe_queue(request).await.expect("there").into_inner();
    answer.queue.expect("a description").messages_in_flight
}

#[tokio::test]
async fn answers_come_in_the_order_of_the_requests_refusals_in_their_place() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes { maximum_message_size_bytes: Some(1_024), ..Default::default() }).await;
    let mut stream = produce(&broker).await;
    let long = "x".repeat(2_000);
    stream.say(one(1)).await;
    // Later requests need not name the queue.
    let entries = vec![entry("g", "2", "x"), entry("g", "3", &long), entry("g", "4", "x"), entry("h", "5", "x")];
    stream.say(v1::ProduceRequest { entries, ..v1::ProduceRequest::default() }).await;
    stream.say(block(vec![entry("no group", "6", "x")])).await;
    stream.say(one(1)).await;
    stream.say(v1::ProduceRequest { queue: "none.fifo".into(), ..one(7) }).await;
    stream.say(one(8)).await;
    let too_long = Err("MESSAGE_TOO_LONG".into());
    let earlier = Err("EARLIER_REJECTED".into());
    let (bad, gone) = (Err("MESSAGE_GROUP_ID_INVALID".into()), Err("QUEUE_NOT_FOUND".into()));
    assert_eq!(stream.results(9).await, [Ok(1), Ok(2), too_long, earlier, Ok(3), bad, Ok(1), gone, Ok(4)]);
    let mut answers = stream.half_close();
    assert!(answers.message().await.expect("a clean end").is_none());
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_long_stream_of_single_messages_is_answered_whole_after_a_half_close() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut broker = Served::start(&sled(&directory)).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let mut stream = produce(&broker).await;
    let requests = stream.requests.clone();
    tokio::spawn(async move {
        for n in 1..=5_000 {
            requests.send(one(n)).await.expect("the stream is open");
        }
    });
    assert!(stream.results(5_000).await.into_iter().eq((1..=5_000).map(Ok)));
    stream.say(one(5_001)).await;
    let mut answers = stream.half_close();
    assert_eq!(answers.message().await.expect("an answer").expect("one").results.len(), 1);
    assert!(answers.message().await.expect("a clean end").is_none());
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn numbers_of_a_session_are_pipelined() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let open = v1::OpenProducerRequest {
        queue: Q.into(),
        producer: "day".into(),
        instance: "one".into(),
        queue_generation: None,
    };
    let epoch = broker.producers.open_producer(open).await.expect("opened").into_inner().epoch;
    let numbered = |epoch, first_number| v1::ProduceRequest {
        session: Some(v1::SendSession { producer: "day".into(), epoch, first_number }),
        ..block(vec![entry("g", "", &first_number.to_string())])
    };
    let mut stream = produce(&broker).await;
    for number in [1, 2, 2, 4, 3] {
        stream.say(numbered(epoch, number)).await;
    }
    stream.say(numbered(epoch + 1, 4)).await;
    let (gap, fenced) = (Err("SEND_NUMBER_INVALID".into()), Err("PRODUCER_FENCED".into()));
    assert_eq!(stream.results(6).await, [Ok(1), Ok(2), Ok(2), gap, Ok(3), fenced]);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_a_produce_stream_after_the_answers_before_it() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let many = (0..1_001).map(|n| entry("g", &n.to_string(), "x")).collect();
    let half = "x".repeat(700_000);
    let both = vec![entry("g", "a", &half), entry("h", "b", &half)];
    let huge = vec![v1::SendEntry { body: vec![b'x'; 5 << 20].into(), ..entry("g", "c", "") }];
    let nameless = v1::ProduceRequest { queue: "no name".into(), ..one(1) };
    let epochless = v1::ProduceRequest { session: Some(v1::SendSession::default()), ..one(1) };
    for (broken, expected) in [
        (v1::ProduceRequest::default(), "BATCH_EMPTY"),
        (block(many), "BATCH_TOO_LONG"),
        (block(both), "REQUEST_TOO_LONG"),
        (block(huge), "REQUEST_TOO_LONG"),
        (nameless, "QUEUE_NAME_INVALID"),
        (epochless, "NAME_INVALID"),
    ] {
        let mut stream = produce(&broker).await;
        stream.say(one(1)).await;
        stream.say(broken).await;
        assert_eq!(stream.results(1).await, [Ok(1)], "{expected}");
        let status = stream.ended().await;
        assert_eq!((status.code(), reason(&status).0.as_str()), (Code::InvalidArgument, expected), "{status}");
    }
    let mut stream = produce(&broker).await;
    stream.say(v1::ProduceRequest { queue: String::new(), ..one(1) }).await;
    assert_eq!(reason(&stream.ended().await).0, "QUEUE_NAME_INVALID", "the first request must name it");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn who_does_not_read_answers_is_not_read() {
    const MANY: usize = 60_000;
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", broker.address)).expect("a URL");
    let channel = endpoint.initial_stream_window_size(16 << 10).connect().await.expect("up");
    let mut stream = produce_with(MessagesClient::new(channel)).await;
    let mut said = 0;
    while said < MANY {
        match tokio::time::timeout(Duration::from_millis(700), stream.requests.send(one(said))).await {
            Ok(sent) => sent.expect("the stream is open"),
            Err(_) => break,
        }
        said += 1;
    }
    assert!(said < MANY, "the window never closed");
    assert_eq!(stream.results(said).await.len(), said, "and it opens again");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_stop_ends_the_streams_after_what_was_taken_is_answered() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let mut sending = produce(&broker).await;
    let mut receiving = consume(&broker, start(10)).await;
    sending.say(one(1)).await;
    assert_eq!(sending.results(1).await, [Ok(1)]);
    let handle = receiving.deliveries(1).await.remove(0).receipt_handle;
    let delete = v1::ConsumeRequest { tag: 7, delete_handles: vec![handle], ..Default::default() };
    receiving.say(delete).await;
    assert_eq!(receiving.answers(1).await[0].tag, 7);
    let stopping = tokio::spawn(broker.stop());
    for status in [sending.ended().await, receiving.ended().await] {
        assert_eq!((status.code(), reason(&status).0.as_str()), (Code::Unavailable, "OUTCOME_UNKNOWN"), "{status}");
    }
    stopping.await.expect("no panic").expect("a clean end");
}

#[tokio::test]
async fn credit_is_never_passed_and_a_send_wakes_the_stream() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    for n in 1..=5 {
        broker.send(Q, &format!("g{n}"), &n.to_string(), &n.to_string()).await;
    }
    let mut stream = consume(&broker, start(2)).await;
    assert_eq!(bodies(&stream.deliveries(2).await), ["1", "2"]);
    // An answer without a credit: nothing is delivered before it.
    let garbage = v1::ConsumeRequest { tag: 1, delete_handles: vec!["x".into()], ..Default::default() };
    stream.say(garbage).await;
    let answer = stream.answers(1).await.remove(0);
    let Some(delete_result::Outcome::Refused(refusal)) = &answer.deleted[0].outcome else { panic!("{answer:?}") };
    assert_eq!((refusal.reason.as_str(), in_flight(&mut broker).await), ("RECEIPT_HANDLE_INVALID", 2));
    stream.say(v1::ConsumeRequest { credit: 4, ..Default::default() }).await;
    assert_eq!(bodies(&stream.deliveries(3).await), ["3", "4", "5"]);
    broker.send(Q, "h", "6", "6").await;
    broker.send(Q, "h", "7", "7").await;
    assert_eq!(bodies(&stream.deliveries(1).await), ["6"]);
    assert_eq!(broker.receive(Q, 10).await.len(), 0, "group h is held");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_stream_finishes_extends_and_gives_back_what_it_was_delivered() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    for n in 1..=3 {
        broker.send(Q, &format!("g{n}"), &n.to_string(), &n.to_string()).await;
    }
    let mut stream = consume(&broker, start(3)).await;
    let held = stream.deliveries(3).await;
    let handle = |n: usize| held[n].receipt_handle.clone();
    let change =
        |n: usize, seconds| v1::VisibilityEntry { receipt_handle: handle(n), visibility_timeout_seconds: seconds };
    let both = v1::ConsumeRequest {
        tag: 9,
        delete_handles: vec![handle(0), "garbage".into()],
        changes: vec![change(1, 600), change(0, 5)],
        ..Default::default()
    };
    stream.say(both).await;
    stream.say(v1::ConsumeRequest { tag: 9, changes: vec![change(2, 0)], credit: 1, ..Default::default() }).await;
    let (mut answers, mut again) = (Vec::new(), Vec::new());
    while answers.len() < 2 || again.is_empty() {
        let response = stream.hear().await.expect("it goes on").expect("more");
        answers.extend(response.answers);
        again.extend(response.deliveries);
    }
    assert!(answers.iter().all(|answer| answer.tag == 9), "the tag is the client's");
    assert!(matches!(answers[0].deleted[0].outcome, Some(delete_result::Outcome::Deleted(_))));
    assert!(matches!(answers[0].deleted[1].outcome, Some(delete_result::Outcome::Refused(_))));
    assert!(matches!(answers[0].changed[0].outcome, Some(visibility_result::Outcome::Changed(_))));
    let Some(visibility_result::Outcome::Refused(gone)) = &answers[0].changed[1].outcome else { panic!("deleted") };
    assert_eq!(gone.reason, "MESSAGE_NOT_IN_FLIGHT", "deletes come first");
    assert_eq!((bodies(&again), again[0].receive_count), (vec!["3".to_owned()], 2), "given back, delivered again");
    assert_eq!(in_flight(&mut broker).await, 2);
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_a_consume_stream() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let only_credit = v1::ConsumeRequest { credit: 1, ..Default::default() };
    let of = |queue: &str| v1::ConsumeRequest {
        start: Some(v1::ConsumeStart { queue: queue.into(), ..Default::default() }),
        ..Default::default()
    };
    let long = v1::ConsumeRequest {
        start: Some(v1::ConsumeStart {
            queue: Q.into(),
            visibility_timeout_seconds: Some(50_000),
            ..Default::default()
        }),
        ..Default::default()
    };
    for (first, expected) in [
        (only_credit, "FIELD_MISSING"),
        (of("no name"), "QUEUE_NAME_INVALID"),
        (of("none.fifo"), "QUEUE_NOT_FOUND"),
        (long, "OUT_OF_RANGE"),
        (start(10_001), "OUT_OF_RANGE"),
    ] {
        let status = consume(&broker, first).await.ended().await;
        assert_eq!(reason(&status).0, expected, "{status}");
    }
    let many = v1::ConsumeRequest { delete_handles: vec![String::new(); 1_001], ..Default::default() };
    let huge = v1::ConsumeRequest { delete_handles: vec!["x".repeat(5 << 20)], ..Default::default() };
    for (second, expected) in [
        (start(0), "STARTED_TWICE"),
        (v1::ConsumeRequest { credit: u32::MAX, ..Default::default() }, "OUT_OF_RANGE"),
        (many, "BATCH_TOO_LONG"),
        (huge, "REQUEST_TOO_LONG"),
    ] {
        let mut stream = consume(&broker, start(1)).await;
        stream.say(second).await;
        let status = stream.ended().await;
        assert_eq!((status.code(), reason(&status).0.as_str()), (Code::InvalidArgument, expected), "{status}");
    }
    let mut stream = consume(&broker, start(1)).await;
    broker.queues.delete_queue(v1::DeleteQueueRequest { queue: Q.into(), queue_generation: None }).await.expect("gone");
    assert_eq!(reason(&stream.ended().await).0, "QUEUE_GENERATION_CHANGED", "B8: its queue ended");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_lost_stream_takes_nothing_more_and_gives_nothing_back() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    broker.send(Q, "held", "0", "0").await;
    let mut stream = consume(&broker, start(10_000)).await;
    stream.deliveries(1).await;
    drop(stream);
    // Its end is seen soon; what was sent before that may be leased to nobody.
    let deadline = std::time::Instant::now() + PATIENCE;
    for n in 0.. {
        assert!(std::time::Instant::now() < deadline, "the lost stream is served still");
        broker.send(Q, &format!("a{n}"), &format!("a{n}"), "x").await;
        if !broker.receive(Q, 1).await.is_empty() {
            break;
        }
    }
    for n in 0..20 {
        broker.send(Q, &format!("b{n}"), &format!("b{n}"), "x").await;
        assert_eq!(broker.receive(Q, 1).await.len(), 1, "H8: its end was seen before");
    }
    broker.send(Q, "held", "1", "1").await;
    assert!(broker.receive(Q, 1).await.is_empty(), "a lease ends by its time alone");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn little_is_leased_to_who_does_not_read() {
    const MANY: u64 = 64;
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    let body = "x".repeat(500_000);
    for n in 0..MANY {
        broker.send(Q, &format!("g{n}"), &n.to_string(), &body).await;
    }
    let mut stream = consume(&broker, start(10_000)).await;
    while in_flight(&mut broker).await == 0 {
        tokio::task::yield_now().await;
    }
    for _ in 0..200 {
        assert!(in_flight(&mut broker).await < MANY / 2, "32 MB are on their way to nobody");
    }
    assert_eq!(stream.deliveries(64).await.len(), 64, "and the rest comes when it is read");
    broker.stop().await.expect("a clean end");
}

#[tokio::test]
async fn a_half_closed_consumer_is_answered_and_delivered_nothing_more() {
    let mut broker = Served::start(&memory()).await;
    broker.create(Q, v1::QueueAttributes::default()).await;
    broker.send(Q, "g", "1", "1").await;
    let mut stream = consume(&broker, start(5)).await;
    let handle = stream.deliveries(1).await.remove(0).receipt_handle;
    stream.say(v1::ConsumeRequest { tag: 3, delete_handles: vec![handle], ..Default::default() }).await;
    let mut answers = stream.half_close();
    let answer = answers.message().await.expect("an answer").expect("one").answers.remove(0);
    assert!(matches!(answer.deleted[0].outcome, Some(delete_result::Outcome::Deleted(_))));
    assert!(answers.message().await.expect("a clean end").is_none());
    broker.stop().await.expect("a clean end");
}
