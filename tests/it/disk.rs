//! A full disk and a failing one under a broker that serves. Full: sends are refused and the rest goes on (H5). Failing:
//! nobody is answered whose reasons may be lost, and the process ends with the reason (H4).

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lockstep_client::{
    BatchReader, ClaimAnswer, ClaimOptions, Client, Commit, Error, QueueAttributes, RetryPolicy, Sent, v1,
};

use crate::{
    forgetfs::ForgetFs,
    load::{Load, flags},
    world::{BrokerProcess, ended, run},
};

const QUEUE: &str = "disk.fifo";
const BODY: usize = 900_000;
const MIB: u64 = 1 << 20;

async fn send(client: &Client, id: u64, bytes: usize) -> Result<Sent, Error> {
    let entry = v1::SendEntry {
        message_group_id: format!("g{}", id % 4),
        message_deduplication_id: id.to_string(),
        body: id.to_string().repeat(bytes / id.to_string().len()).into(),
        ..v1::SendEntry::default()
    };
    client.send(v1::SendRequest { queue: QUEUE.to_owned(), entry: Some(entry), ..v1::SendRequest::default() }).await
}

async fn receive(client: &Client, max_messages: u32) -> Vec<v1::Delivery> {
    let request = v1::ReceiveRequest { queue: QUEUE.to_owned(), max_messages, ..v1::ReceiveRequest::default() };
    client.receive(request).await.unwrap()
}

fn check(fs: &ForgetFs) {
    let (code, out, err) = ended(&run(&["journal", "check", fs.data().to_str().unwrap()]));
    assert_eq!(code, 0, "{out}{err}");
}

/// A broker on a disk, and what its clients were told.
struct Story {
    client: Client,
    reader: BatchReader,
    next: u64,
    claims: u64,
    accepted: BTreeSet<u64>,
    finished: BTreeSet<u64>,
}

impl Story {
    async fn begin(endpoint: &str) -> Self {
        let client = Client::connect(endpoint).await.unwrap();
        client.create_queue(QUEUE, QueueAttributes::default()).await.unwrap();
        let reader = client.open_reader(QUEUE, "reader", "instance").await.unwrap();
        Self { client, reader, next: 1, claims: 0, accepted: BTreeSet::new(), finished: BTreeSet::new() }
    }

    /// Sends until it is refused for want of space; how many were accepted.
    async fn fill(&mut self) -> usize {
        let before = self.accepted.len();
        loop {
            match send(&self.client, self.next, BODY).await {
                Ok(sent) => assert!(self.accepted.insert(sent.sequence_number) && !sent.duplicate),
                Err(error) => {
                    assert_eq!(error.reason(), Some("STORAGE_FULL"), "{error}");
                    return self.accepted.len() - before;
                }
            }
            self.next += 1;
            assert!(self.accepted.len() < 400, "the disk is never full");
        }
    }

    /// Waits until what was refused is accepted, under the same key.
    async fn goes_on(&mut self, what: &str) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match send(&self.client, self.next, BODY).await {
                Ok(sent) => break assert!(self.accepted.insert(sent.sequence_number) && !sent.duplicate),
                Err(error) => assert_eq!(error.reason(), Some("STORAGE_FULL"), "{error}"),
            }
            assert!(Instant::now() < deadline, "{what}: it stays full");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.next += 1;
    }

    /// Receives and deletes; how many.
    async fn finish(&mut self, most: u32) -> usize {
        let deliveries = receive(&self.client, most).await;
        for delivery in &deliveries {
            self.client.delete(QUEUE, &delivery.receipt_handle).await.unwrap();
            let number = delivery.sequence_number;
            assert!(self.accepted.contains(&number) && self.finished.insert(number), "{number}");
        }
        deliveries.len()
    }

    /// Claims a message and commits it with a value.
    async fn commit(&mut self) {
        self.claims += 1;
        let options = ClaimOptions { max_messages: 1, ..ClaimOptions::default() };
        let ClaimAnswer::Open(claim) = self.reader.claim(self.claims, options).await.unwrap() else {
            panic!("there are messages")
        };
        let contents = self.reader.read(self.claims, claim.epoch).await.unwrap();
        let message = contents.messages.first().unwrap();
        let commit = Commit::new(format!("commit-{}", self.claims), self.claims, claim.epoch);
        let commit = commit.set(&message.message_group_id, "state", vec![7; 10_000]);
        self.reader.commit(&commit).await.unwrap();
        assert!(self.finished.insert(message.sequence_number));
    }

    async fn drain(&mut self) {
        while self.finish(10).await > 0 {}
        assert_eq!(self.finished, self.accepted, "each once, none lost");
    }
}

/// On a disk of so many MiB.
async fn the_disk_fills(journal: &str, size: u64) {
    let Some(fs) = ForgetFs::mount("ext4") else { return };
    fs.control(&["enospc", &(size * MIB).to_string()]);
    let broker = BrokerProcess::start_with(&fs.data(), &flags(journal));
    let mut story = Story::begin(&broker.endpoint).await;
    let sent = story.fill().await;
    assert!(sent > 5, "{journal}: {sent} until it was full");
    // What finishes messages goes on.
    assert!(story.finish(2).await > 0);
    story.commit().await;
    assert!(story.finish(2).await > 0);
    println!("{journal}: {sent} messages filled the disk, {} bytes of files", fs.used());

    fs.control(&["enospc", "off"]);
    story.goes_on("space was made").await;
    fs.control(&["enospc", &(fs.used() + 68 * MIB).to_string()]);
    let sent = story.fill().await;
    println!("{journal}: {sent} messages filled it again, {} bytes of files", fs.used());
    story.drain().await;
    if journal == "segments" {
        // A whole segment goes. sled keeps its file, and fills it again before it grows.
        let deadline = Instant::now() + Duration::from_secs(30);
        while fs.named() > 64 * MIB {
            assert!(Instant::now() < deadline, "{} bytes stay", fs.named());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        fs.count_again();
        story.goes_on("everything was finished").await;
        println!("{journal}: it goes on with {} bytes of files", fs.used());
        story.fill().await;
    }
    assert_eq!(broker.terminate(), Some(0), "it ends cleanly on a full disk");
    check(&fs);
    let broker = BrokerProcess::start_with(&fs.data(), &flags(journal));
    story.client = Client::connect(&broker.endpoint).await.unwrap();
    story.drain().await;
    assert_eq!(broker.terminate(), Some(0));
    check(&fs);
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_a_full_disk_refuses_sends_and_nothing_else_on_sled() {
    the_disk_fills("sled", 96).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h5_a_full_disk_refuses_sends_and_nothing_else_on_segments() {
    the_disk_fills("segments", 180).await;
}

/// Sends until the broker is gone: what was accepted, by its number, and the id whose outcome is unknown.
async fn send_until_the_end(endpoint: String, first: u64) -> (Vec<(u64, u64)>, u64) {
    let client = Client::builder(endpoint).retry(RetryPolicy::ONCE).connect().await.unwrap();
    let mut accepted = Vec::new();
    for id in first.. {
        match send(&client, id, 1_000).await {
            Ok(sent) => accepted.push((id, sent.sequence_number)),
            Err(Error::Unavailable { .. }) => return (accepted, id),
            Err(error) => panic!("whoever was held is told that the outcome is unknown: {error}"),
        }
    }
    unreachable!("ids do not end")
}

async fn the_disk_fails(journal: &str) {
    let Some(fs) = ForgetFs::mount("ext4") else { return };
    let log = fs.beside("stderr");
    let broker = BrokerProcess::start_logged(&fs.data(), &flags(journal), &log);
    let client = Client::connect(&broker.endpoint).await.unwrap();
    client.create_queue(QUEUE, QueueAttributes::default()).await.unwrap();
    // A sync that takes its time has others held behind it.
    fs.control(&["slow", "5"]);
    let senders: Vec<_> =
        (1..=8).map(|sender| tokio::spawn(send_until_the_end(broker.endpoint.clone(), sender * 1_000_000))).collect();
    let load = Load::default();
    let mut clients = load.start(&broker.endpoint, &mut fastrand::Rng::with_seed(4), 200).await;
    fs.control(&["eio", "fsync", "1"]);
    let mut accepted = Vec::new();
    let mut unknown = Vec::new();
    for sender in senders {
        let (sent, lost) = sender.await.unwrap();
        accepted.extend(sent);
        unknown.push(lost);
    }
    while clients.join_next().await.is_some() {}
    assert_eq!(broker.ended(), Some(1), "{journal}");
    let said = std::fs::read_to_string(&log).unwrap();
    let reason = said.lines().find(|line| line.starts_with("lockstep:")).unwrap_or_else(|| panic!("{said}"));
    assert!(reason.contains("Input/output error") && reason.contains("sync"), "{reason}");
    println!("{journal}: {reason}");

    // What a failed sync left is taken for clean by the system: a start must not trust it (H7).
    fs.control(&["slow", "0"]);
    let broker = BrokerProcess::start_with(&fs.data(), &flags(journal));
    fs.cut_power(broker, 0.0, 1);
    let broker = BrokerProcess::start_with(&fs.data(), &flags(journal));
    let client = Client::connect(&broker.endpoint).await.unwrap();
    for (id, number) in &accepted {
        let again = send(&client, *id, 1_000).await.unwrap();
        assert!(again.duplicate && again.sequence_number == *number, "{journal}: {id} was accepted: {again:?}");
    }
    let mut numbers: BTreeSet<u64> = accepted.iter().map(|(_, number)| *number).collect();
    for id in unknown {
        assert!(numbers.insert(send(&client, id, 1_000).await.unwrap().sequence_number), "{journal}: {id}");
    }
    load.judge(&broker.endpoint, &format!("{journal}, after a sync that failed")).await;
    let mut there = BTreeSet::new();
    loop {
        let deliveries = receive(&client, 1_000).await;
        if deliveries.is_empty() {
            break;
        }
        there.extend(deliveries.into_iter().map(|delivery| delivery.sequence_number));
    }
    assert_eq!(there, numbers, "{journal}: each once, none lost");
    assert_eq!(broker.terminate(), Some(0));
    check(&fs);
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_a_sync_that_fails_ends_the_process_and_loses_nothing_acknowledged_on_sled() {
    the_disk_fails("sled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn h4_a_sync_that_fails_ends_the_process_and_loses_nothing_acknowledged_on_segments() {
    the_disk_fails("segments").await;
}
