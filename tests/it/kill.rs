//! SIGKILL for the broker in the middle of load, round after round on one data directory: no acknowledged message is
//! lost, none is delivered again after an acknowledged delete, groups stay in order. `LOCKSTEP_KILL_COUNT` rounds from
//! `LOCKSTEP_KILL_SEED`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lockstep_client::{Client, QueueAttributes, RetryPolicy, v1};

use crate::world::BrokerProcess;

const QUEUE: &str = "kill.fifo";
const SENDERS: u64 = 4;
const CONSUMERS: u64 = 2;

/// What clients were told.
#[derive(Default)]
struct Ledger {
    /// Acknowledged sends: number -> (group, body).
    accepted: BTreeMap<u64, (String, String)>,
    /// Acknowledged deletes.
    deleted: BTreeSet<u64>,
    /// Deletes whose answer was lost.
    doubtful: BTreeSet<u64>,
    /// The newest deleted number of a group.
    newest: BTreeMap<String, u64>,
    violations: Vec<String>,
}

impl Ledger {
    fn delivered(&mut self, number: u64, group: &str, body: &str) {
        if self.deleted.contains(&number) {
            self.violations.push(format!("#{number} delivered after its acknowledged delete"));
        }
        if self.newest.get(group).is_some_and(|newest| *newest > number) {
            self.violations.push(format!("#{number} of {group} delivered after a later one was deleted"));
        }
        if self.accepted.get(&number).is_some_and(|(of, sent)| of != group || sent != body) {
            self.violations.push(format!("#{number} is not what was sent"));
        }
    }

    fn deleted(&mut self, number: u64, group: &str) {
        self.deleted.insert(number);
        let newest = self.newest.entry(group.to_owned()).or_default();
        *newest = number.max(*newest);
    }
}

/// A client that soon gives up: what it is not told, it does not know.
async fn client(endpoint: &str) -> Client {
    let retry = RetryPolicy { time_limit: Duration::from_millis(500), ..RetryPolicy::default() };
    Client::builder(endpoint).retry(retry).connect_lazy().unwrap()
}

async fn send(endpoint: String, sender: u64, ledger: Arc<Mutex<Ledger>>, acknowledged: Arc<AtomicU64>, seed: u64) {
    let client = client(&endpoint).await;
    let mut rng = fastrand::Rng::with_seed(seed);
    for number in 0.. {
        let group = format!("g{sender}-{}", rng.u8(0..5));
        let body = format!("{seed}/{number}");
        let entry = v1::SendEntry {
            message_group_id: group.clone(),
            message_deduplication_id: format!("{sender}/{body}"),
            body: body.clone().into(),
        };
        let request = v1::SendRequest { queue: QUEUE.to_owned(), queue_generation: None, entry: Some(entry) };
        match client.send(request).await {
            Ok(sent) => {
                ledger.lock().unwrap().accepted.insert(sent.sequence_number, (group, body));
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => return,
        }
    }
}

async fn consume(endpoint: String, ledger: Arc<Mutex<Ledger>>, acknowledged: Arc<AtomicU64>) {
    let client = client(&endpoint).await;
    loop {
        let request = v1::ReceiveRequest {
            queue: QUEUE.to_owned(),
            max_messages: 5,
            visibility_timeout_seconds: Some(2),
            wait_seconds: Some(1),
        };
        let Ok(deliveries) = client.receive(request).await else { return };
        for delivery in deliveries {
            let (number, group) = (delivery.sequence_number, delivery.message_group_id);
            let body = String::from_utf8(delivery.body.to_vec()).unwrap();
            ledger.lock().unwrap().delivered(number, &group, &body);
            let answer = client.delete(QUEUE, &delivery.receipt_handle).await;
            let mut ledger = ledger.lock().unwrap();
            match answer {
                Ok(_) => {
                    ledger.deleted(number, &group);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                // Its lease ran out: it will come again, with all later ones of its group.
                Err(error) if error.reason().is_some() => break,
                Err(_) => {
                    ledger.doubtful.insert(number);
                    return;
                }
            }
        }
    }
}

/// Takes everything that is left.
async fn drain(endpoint: &str, ledger: &Arc<Mutex<Ledger>>) -> BTreeSet<u64> {
    let client = client(endpoint).await;
    let mut left = BTreeSet::new();
    loop {
        let waiting = client.describe_queue(QUEUE).await.unwrap();
        if waiting.messages_available + waiting.messages_in_flight == 0 {
            return left;
        }
        let request = v1::ReceiveRequest {
            queue: QUEUE.to_owned(),
            max_messages: 1_000,
            visibility_timeout_seconds: None,
            wait_seconds: Some(5),
        };
        let deliveries = client.receive(request).await.unwrap();
        let handles = deliveries.iter().map(|delivery| delivery.receipt_handle.clone()).collect();
        for delivery in &deliveries {
            let body = std::str::from_utf8(&delivery.body).unwrap();
            ledger.lock().unwrap().delivered(delivery.sequence_number, &delivery.message_group_id, body);
            left.insert(delivery.sequence_number);
        }
        if !deliveries.is_empty() {
            assert!(client.delete_batch(QUEUE, handles).await.unwrap().iter().all(Result::is_ok));
        }
    }
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().map_or(default, |text| text.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_broker_keeps_what_it_acknowledged() {
    let (seed, count) = (setting("LOCKSTEP_KILL_SEED", 1), setting("LOCKSTEP_KILL_COUNT", 10));
    let mut rng = fastrand::Rng::with_seed(seed);
    let data = tempfile::tempdir().unwrap();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    for round in 0..count {
        if rng.u8(0..4) == 0 {
            // Also while it starts.
            let mut starting = BrokerProcess::spawn(data.path());
            tokio::time::sleep(Duration::from_millis(rng.u64(0..40))).await;
            starting.kill().unwrap();
            starting.wait().unwrap();
        }
        let broker = BrokerProcess::start(data.path());
        client(&broker.endpoint).await.create_queue(QUEUE, QueueAttributes::default()).await.unwrap();
        let acknowledged = Arc::new(AtomicU64::new(0));
        let mut tasks = tokio::task::JoinSet::new();
        for sender in 0..SENDERS {
            let (endpoint, seed) = (broker.endpoint.clone(), rng.u64(..));
            tasks.spawn(send(endpoint, sender, Arc::clone(&ledger), Arc::clone(&acknowledged), seed));
        }
        for _ in 0..CONSUMERS {
            tasks.spawn(consume(broker.endpoint.clone(), Arc::clone(&ledger), Arc::clone(&acknowledged)));
        }
        let moment = rng.u64(20..400);
        while acknowledged.load(Ordering::Relaxed) < moment {
            tokio::task::yield_now().await;
        }
        broker.kill();
        while tasks.join_next().await.is_some() {}
        let violations = &ledger.lock().unwrap().violations;
        assert!(violations.is_empty(), "seed {seed}, round {round}: {violations:?}");
    }
    let broker = BrokerProcess::start(data.path());
    let left = drain(&broker.endpoint, &ledger).await;
    let ledger = ledger.lock().unwrap();
    let known =
        |number: &&u64| left.contains(number) || ledger.deleted.contains(number) || ledger.doubtful.contains(number);
    let lost: Vec<_> = ledger.accepted.keys().filter(|number| !known(number)).collect();
    assert!(ledger.violations.is_empty(), "seed {seed}: {:?}", ledger.violations);
    assert!(lost.is_empty(), "seed {seed}: acknowledged and lost: {lost:?}");
    println!("{count} kills: {} sends and {} deletes were acknowledged", ledger.accepted.len(), ledger.deleted.len());
}
