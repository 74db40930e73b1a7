//! What the tests with kills and power cuts share: clients that send and consume until their broker dies, and the
//! ledger of what they were told, which is all that may be judged. How a broker dies is not known here.

#![allow(clippy::needless_update, reason = "requests grow fields that these clients do not need")]

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use lockstep_client::{Client, QueueAttributes, RetryPolicy, v1};
use tokio::task::JoinSet;

/// The journals on disk.
pub(crate) const JOURNALS: [&str; 2] = ["sled", "segments"];

const QUEUE: &str = "proof.fifo";
const SENDERS: u64 = 4;
const CONSUMERS: u64 = 2;

/// What clients were told.
#[derive(Clone, Default)]
pub(crate) struct Ledger {
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

/// Clients of one broker after the other, and what they all were told.
#[derive(Clone, Default)]
pub(crate) struct Load {
    ledger: Arc<Mutex<Ledger>>,
    acknowledged: Arc<AtomicU64>,
}

impl Load {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// What they were told until now, for a journal that goes no further.
    pub(crate) fn until_now(&self) -> Self {
        Self { ledger: Arc::new(Mutex::new(self.ledger().clone())), acknowledged: Arc::default() }
    }

    /// What is known of a journal that was saved after `self`, and before all of `later` was told.
    pub(crate) fn saved_before(&self, later: &Self) -> Self {
        let mut ledger = self.ledger().clone();
        let later = later.ledger();
        ledger.doubtful = later.deleted.union(&later.doubtful).copied().collect();
        ledger.doubtful = ledger.doubtful.difference(&ledger.deleted).copied().collect();
        Self { ledger: Arc::new(Mutex::new(ledger)), acknowledged: Arc::default() }
    }

    /// Waits until so many more answers came.
    pub(crate) async fn more(&self, tasks: &JoinSet<()>, answers: u64) {
        let goal = self.acknowledged.load(Ordering::Relaxed) + answers;
        while self.acknowledged.load(Ordering::Relaxed) < goal {
            assert!(!tasks.is_empty(), "every client gave up before {answers} answers");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Starts the clients, and returns when so many more answers came.
    pub(crate) async fn start(&self, endpoint: &str, rng: &mut fastrand::Rng, answers: u64) -> JoinSet<()> {
        client(endpoint).create_queue(QUEUE, QueueAttributes::default()).await.unwrap();
        let mut tasks = JoinSet::new();
        for sender in 0..SENDERS {
            tasks.spawn(self.clone().send(endpoint.to_owned(), sender, rng.u64(..)));
        }
        for _ in 0..CONSUMERS {
            tasks.spawn(self.clone().consume(endpoint.to_owned()));
        }
        self.more(&tasks, answers).await;
        tasks
    }

    async fn send(self, endpoint: String, sender: u64, seed: u64) {
        let client = client(&endpoint);
        let mut rng = fastrand::Rng::with_seed(seed);
        for number in 0.. {
            let group = format!("g{sender}-{}", rng.u8(0..5));
            let body = format!("{seed}/{number}");
            let entry = v1::SendEntry {
                message_group_id: group.clone(),
                message_deduplication_id: format!("{sender}/{body}"),
                body: body.clone().into(),
                ..v1::SendEntry::default()
            };
            let entry = Some(entry);
            let request = v1::SendRequest { queue: QUEUE.to_owned(), entry, ..v1::SendRequest::default() };
            let Ok(sent) = client.send(request).await else { return };
            self.ledger().accepted.insert(sent.sequence_number, (group, body));
            self.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn consume(self, endpoint: String) {
        let client = client(&endpoint);
        loop {
            let Ok(deliveries) = client.receive(receive(5, Some(2), 1)).await else { return };
            for delivery in deliveries {
                let (number, group) = (delivery.sequence_number, delivery.message_group_id);
                let body = String::from_utf8(delivery.body.to_vec()).unwrap();
                self.ledger().delivered(number, &group, &body);
                let answer = client.delete(QUEUE, &delivery.receipt_handle).await;
                match answer {
                    Ok(_) => self.ledger().deleted(number, &group),
                    // Its lease ran out: it will come again, with all later ones of its group.
                    Err(error) if error.reason().is_some() => break,
                    Err(_) => {
                        self.ledger().doubtful.insert(number);
                        return;
                    }
                }
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Fails with the story when the clients saw something that must not be.
    pub(crate) fn check(&self, story: &str) {
        let violations = &self.ledger().violations;
        assert!(violations.is_empty(), "{story}: {violations:?}");
    }

    /// Takes everything that is left; then whatever was acknowledged has come, or may have gone.
    pub(crate) async fn judge(&self, endpoint: &str, story: &str) {
        let left = self.drain(endpoint).await;
        self.check(story);
        let ledger = self.ledger();
        let known = |number: &&u64| {
            left.contains(number) || ledger.deleted.contains(number) || ledger.doubtful.contains(number)
        };
        let lost: Vec<_> = ledger.accepted.keys().filter(|number| !known(number)).collect();
        assert!(lost.is_empty(), "{story}: acknowledged and lost: {lost:?}");
        let (sends, deletes) = (ledger.accepted.len(), ledger.deleted.len());
        println!("{story}: {sends} sends and {deletes} deletes were acknowledged, none lost");
    }

    async fn drain(&self, endpoint: &str) -> BTreeSet<u64> {
        let client = client(endpoint);
        let mut left = BTreeSet::new();
        loop {
            let waiting = client.describe_queue(QUEUE).await.unwrap();
            if waiting.messages_available + waiting.messages_in_flight == 0 {
                return left;
            }
            let deliveries = client.receive(receive(1_000, None, 5)).await.unwrap();
            let handles = deliveries.iter().map(|delivery| delivery.receipt_handle.clone()).collect();
            for delivery in &deliveries {
                let body = std::str::from_utf8(&delivery.body).unwrap();
                self.ledger().delivered(delivery.sequence_number, &delivery.message_group_id, body);
                left.insert(delivery.sequence_number);
            }
            if !deliveries.is_empty() {
                assert!(client.delete_batch(QUEUE, handles).await.unwrap().iter().all(Result::is_ok));
            }
        }
    }
}

/// A client that soon gives up: what it is not told, it does not know.
fn client(endpoint: &str) -> Client {
    let retry = RetryPolicy { time_limit: Duration::from_millis(500), ..RetryPolicy::default() };
    Client::builder(endpoint).retry(retry).connect_lazy().unwrap()
}

fn receive(max_messages: u32, visibility_timeout_seconds: Option<u32>, wait_seconds: u32) -> v1::ReceiveRequest {
    v1::ReceiveRequest {
        queue: QUEUE.to_owned(),
        max_messages,
        visibility_timeout_seconds,
        wait_seconds: Some(wait_seconds),
        ..v1::ReceiveRequest::default()
    }
}

/// A number from the environment, for a longer or another run.
pub(crate) fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Flags for a broker whose deaths also fall between the slices of checkpoints.
pub(crate) fn flags(journal: &str) -> [&str; 4] {
    ["--journal", journal, "--checkpoint-floor", "16384"]
}
