//! A sink that stores epochs (B2): a consumer that woke up too late changes nothing, and a crash neither loses nor
//! doubles an effect. The broker is real, its clock the test's.

use std::{path::PathBuf, time::Duration};

use lockstep_broker::{Broker, BrokerSettings, ClockChoice, JournalChoice, ManualClock, Timestamp};
use lockstep_client::{Client, Delivery, Error, FenceError, FencedFile, Judgement, Mark, Message, QueueAttributes};

const Q: &str = "orders.fifo";

struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("lockstep-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a directory");
        Self(path)
    }

    fn file(&self) -> PathBuf {
        self.0.join("effects")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of a test is no failure of it.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn applied(sink: &mut FencedFile, generation: u64, delivery: &Delivery) -> Judgement {
    sink.apply(generation, &delivery.group, delivery.mark(), &delivery.body).expect("the disk works")
}

#[tokio::test]
async fn a_consumer_whose_lease_lapsed_cannot_write_any_more() {
    let clock = ManualClock::new(Timestamp(1_700_000_000_000));
    let settings =
        BrokerSettings { clock: ClockChoice::Manual(clock.clone()), ..BrokerSettings::new(JournalChoice::Memory) };
    let broker = Broker::start(&settings).expect("it starts");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let client = Client::connect(listener.local_addr().expect("an address").to_string());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(broker.serve(listener, async move {
        let _ = stopped.await;
    }));
    let client = client.await.expect("it is up");
    let generation = client.create_queue(Q, QueueAttributes::default()).await.expect("made").queue_generation;
    let producer = client.producer(Q).build();
    for body in ["one", "two"] {
        producer.send(Message::new("g", body)).await.expect("accepted");
    }
    let scratch = Scratch::new("zombie");
    let mut sink = FencedFile::open(scratch.file()).expect("opened");
    let consumer = || client.consumer(Q).wait(Duration::ZERO).visibility_timeout(Duration::from_secs(30)).build();
    let zombie = consumer().receive().await.expect("received");
    assert_eq!(applied(&mut sink, generation, &zombie[0]), Judgement::Apply);
    clock.advance(30_000);
    let other = consumer().receive().await.expect("received");
    assert_eq!((other.len(), other[0].receive_count), (2, 2));
    assert_eq!(applied(&mut sink, generation, &other[0]), Judgement::AlreadyApplied, "its delete was what was missing");
    assert_eq!(applied(&mut sink, generation, &other[1]), Judgement::Apply);
    let fenced = Judgement::Fenced { current: other[1].epoch };
    assert_eq!(applied(&mut sink, generation, &zombie[1]), fenced);
    let refused = zombie[1].delete().await.expect_err("its lease lapsed");
    assert!(matches!(&refused, Error::Refused { reason, .. } if reason == "RECEIPT_EXPIRED"), "{refused}");
    for delivery in &other {
        delivery.delete().await.expect("held");
    }
    drop(sink);
    let effects = FencedFile::read(scratch.file()).expect("whole");
    let effects: Vec<_> = effects.iter().map(|effect| effect.effect.as_slice()).collect();
    assert_eq!(effects, [&b"one"[..], b"two"], "each once");
    drop(stop);
    serving.await.expect("no panic").expect("a clean end");
}

fn mark(epoch: u64, sequence_number: u64) -> Mark {
    Mark { epoch, sequence_number }
}

#[test]
fn a_crash_at_any_byte_of_an_append_loses_only_what_was_not_answered() {
    let scratch = Scratch::new("torn");
    let mut sink = FencedFile::open(scratch.file()).expect("opened");
    sink.apply(1, "g", mark(1, 1), b"first").expect("written");
    let before = std::fs::metadata(scratch.file()).expect("there").len();
    sink.apply(1, "g", mark(2, 2), b"second").expect("written");
    drop(sink);
    let whole = std::fs::read(scratch.file()).expect("there");
    for end in usize::try_from(before).expect("small")..whole.len() {
        std::fs::write(scratch.file(), &whole[..end]).expect("written");
        let mut sink = FencedFile::open(scratch.file()).expect("a torn tail is cut");
        assert_eq!(sink.mark(1, "g"), Some(mark(1, 1)));
        assert_eq!(sink.apply(1, "g", mark(2, 2), b"second").expect("written"), Judgement::Apply);
        drop(sink);
        assert_eq!(std::fs::read(scratch.file()).expect("there"), whole);
    }
    let mut bad = whole.clone();
    bad[20] ^= 1;
    std::fs::write(scratch.file(), &bad).expect("written");
    assert!(matches!(FencedFile::open(scratch.file()), Err(FenceError::Damaged { offset: 0, .. })));
    assert_eq!(std::fs::read(scratch.file()).expect("there"), bad, "left as it is");
}

#[test]
fn a_file_has_one_owner_and_each_life_of_a_queue_its_own_marks() {
    let scratch = Scratch::new("owner");
    let mut sink = FencedFile::open(scratch.file()).expect("opened");
    assert!(matches!(FencedFile::open(scratch.file()), Err(FenceError::Locked(_))));
    assert_eq!(sink.apply(1, "g", mark(9, 9), b"old").expect("written"), Judgement::Apply);
    assert_eq!(sink.apply(2, "g", mark(1, 1), b"made anew").expect("written"), Judgement::Apply);
    assert_eq!(sink.apply(1, "h", mark(1, 1), b"another group").expect("written"), Judgement::Apply);
    assert!(matches!(sink.apply(1, "", mark(1, 1), b""), Err(FenceError::TooLong { .. })));
    drop(sink);
    let sink = FencedFile::open(scratch.file()).expect("opened");
    assert_eq!((sink.mark(1, "g"), sink.mark(2, "g"), sink.mark(3, "g")), (Some(mark(9, 9)), Some(mark(1, 1)), None));
}
