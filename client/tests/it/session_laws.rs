//! A session against a real broker on a real journal, many seeds: answers are lost, the broker restarts, the producer
//! restarts and asks where it stopped, and every deduplication window passes in between. Each message is stored exactly
//! once, in order (B3, S13).

use std::time::Duration;

use lockstep_broker::{Broker, BrokerSettings, ClockChoice, JournalChoice, ManualClock, ServeError, Timestamp};
use lockstep_client::{Client, Message, QueueAttributes, RetryPolicy, Session, v1};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};

pub(crate) const QUEUE: &str = "day.fifo";
const MESSAGES: u64 = 300;
const MINUTE: u64 = 60_000;

/// How a broker is stopped, and its end.
type Running = (oneshot::Sender<()>, JoinHandle<Result<(), ServeError>>);

/// A broker that comes back on the same port and the same directory.
pub(crate) struct World {
    settings: BrokerSettings,
    pub(crate) clock: ManualClock,
    port: std::net::TcpListener,
    running: Option<Running>,
}

impl World {
    pub(crate) fn new(directory: &tempfile::TempDir) -> Self {
        let clock = ManualClock::new(Timestamp(1_000_000));
        let mut settings = BrokerSettings::new(JournalChoice::Sled(directory.path().to_path_buf()));
        settings.clock = ClockChoice::Manual(clock.clone());
        let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        port.set_nonblocking(true).expect("a socket");
        let mut world = World { settings, clock, port, running: None };
        world.start();
        world
    }

    fn start(&mut self) {
        let broker = Broker::start(&self.settings).expect("it starts");
        let listener = TcpListener::from_std(self.port.try_clone().expect("a socket")).expect("a socket");
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(broker.serve(listener, async move {
            let _ = stopped.await;
        }));
        self.running = Some((stop, serving));
    }

    pub(crate) async fn restart(&mut self) {
        let (stop, serving) = self.running.take().expect("it runs");
        stop.send(()).expect("it runs");
        serving.await.expect("no panic").expect("a clean end");
        self.start();
    }

    pub(crate) fn client(&self) -> Client {
        let retry = RetryPolicy {
            first_backoff: Duration::from_millis(2),
            max_backoff: Duration::from_millis(20),
            ..RetryPolicy::default()
        };
        let address = self.port.local_addr().expect("an address").to_string();
        Client::builder(address).retry(retry).connect_lazy().expect("an address")
    }
}

fn message(number: u64) -> Message {
    Message::new(format!("g{}", number % 3), number.to_string())
}

async fn opened(client: &Client, life: u32) -> Session {
    client.producer(QUEUE).session("day", format!("life-{life}")).await.expect("opened")
}

/// Everything that was stored, in order.
async fn stored(client: &Client) -> Vec<u64> {
    let mut bodies = Vec::new();
    let mut after = 0;
    loop {
        let request = v1::PeekRequest {
            queue: QUEUE.to_owned(),
            after_sequence_number: after,
            max_messages: 1_000,
            ..v1::PeekRequest::default()
        };
        let page = client.peek(request).await.expect("peeked");
        let Some(last) = page.last() else { return bodies };
        after = last.sequence_number;
        bodies.extend(page.iter().map(|it| String::from_utf8_lossy(&it.body).parse::<u64>().expect("a number")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_message_is_stored_once_and_in_order_whatever_is_lost() {
    for seed in 0..4 {
        let mut random = fastrand::Rng::with_seed(seed);
        let directory = tempfile::tempdir().expect("a directory");
        let mut world = World::new(&directory);
        let client = world.client();
        client.create_queue(QUEUE, QueueAttributes::default()).await.expect("created");
        let (mut life, mut restarts, mut duplicates) = (0, 0, 0);
        let mut session = opened(&client, life).await;
        while session.last_number() < MESSAGES || session.unanswered() > 0 {
            let first = session.last_number() + 1;
            let batch: Vec<_> = (first..=MESSAGES.min(first + random.u64(0..20))).map(message).collect();
            let loses = random.u8(0..4) == 0;
            let patience = Duration::from_micros(random.u64(0..4_000));
            let sending = async {
                let mut outcomes = session.resume().await;
                if outcomes.is_empty() {
                    outcomes = session.send_batch(batch).await;
                }
                outcomes
            };
            let heard = if loses { tokio::time::timeout(patience, sending).await.ok() } else { Some(sending.await) };
            let outcomes = heard.unwrap_or_default().into_iter().map(|outcome| outcome.expect("accepted"));
            duplicates += outcomes.filter(|sent| sent.duplicate).count();
            if random.u8(0..12) == 0 && restarts < 4 {
                restarts += 1;
                world.restart().await;
            }
            if random.u8(0..6) == 0 {
                life += 1;
                session = opened(&client, life).await;
            }
            if random.bool() {
                world.clock.advance(6 * MINUTE);
            }
        }
        assert_eq!(stored(&client).await, (1..=MESSAGES).collect::<Vec<_>>(), "seed {seed}");
        println!("seed {seed}: {life} lives, {restarts} restarts, {duplicates} repeats recognised");
    }
}

#[tokio::test]
async fn a_second_instance_fences_the_first_and_refusals_use_their_numbers() {
    let directory = tempfile::tempdir().expect("a directory");
    let world = World::new(&directory);
    let client = world.client();
    let attributes = QueueAttributes { maximum_message_size: Some(1_024), ..QueueAttributes::default() };
    client.create_queue(QUEUE, attributes).await.expect("created");
    let mut first = opened(&client, 1).await;
    let batch = vec![message(1), Message::new("g2", "x".repeat(2_000)), message(3)];
    let outcomes = first.send_batch(batch).await;
    assert_eq!(outcomes[1].as_ref().expect_err("too long").reason(), Some("MESSAGE_TOO_LONG"));
    assert!(outcomes[0].is_ok() && outcomes[2].is_ok());
    assert_eq!(first.last_number(), 3);
    let mut second = opened(&client, 2).await;
    assert_eq!(second.last_number(), 3);
    assert_eq!(first.send(message(4)).await.expect_err("fenced").reason(), Some("PRODUCER_FENCED"));
    assert_eq!((first.last_number(), first.unanswered()), (3, 0));
    second.send(message(4)).await.expect("accepted");
    let listed = client.list_producers(QUEUE).await.expect("listed");
    assert_eq!((listed.len(), listed[0].last_number, listed[0].epoch), (1, 4, second.epoch()));
    client.forget_producer(QUEUE, "day", Some(second.epoch())).await.expect("forgotten");
    assert_eq!(second.send(message(5)).await.expect_err("gone").reason(), Some("PRODUCER_NOT_FOUND"));
}
